/* Libraries that are loaded when they are first used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/library.h"

typedef struct functions {
    double (*cosine)(double);
    double (*power)(double, double);
} functions;

static const char *const names[] = {"cos", "pow"}, *const unknown[] = {"cos", "no_such_function"};

static weir_err err;

static weir_library library_of(const char *const *files, const char *const *wanted, functions *addresses) {
    return (weir_library){.files = files, .names = wanted, .count = 2, .addresses = addresses, .lock = PTHREAD_MUTEX_INITIALIZER};
}

static void check_refused(weir_library *library, const char *named) {
    assert_int_equal(weir_library_load(library, &err), WEIR_EIO);
    assert_non_null(strstr(err.message, named));
}

static void test_the_first_file_that_opens_is_taken(void **state) {
    (void)state;
    static const char *const files[] = {"/no/such/folder/libm.so", "libm.so.6", NULL};
    functions f = {0};
    weir_library library = library_of(files, names, &f);
    assert_int_equal(weir_library_load(&library, &err), WEIR_OK);
    assert_true(f.cosine(0) == 1 && f.power(2, 10) == 1024);
    memset(&f, 0, sizeof f);
    assert_int_equal(weir_library_load(&library, &err), WEIR_OK); /* loaded once */
    assert_null(f.cosine);
}

static void test_what_cannot_be_opened_is_named(void **state) {
    (void)state;
    static const char *const files[] = {"/no/such/folder/libm.so", "libweir_no_such.so", NULL};
    functions f;
    weir_library library = library_of(files, names, &f);
    check_refused(&library, "libweir_no_such.so");
}

static void test_a_function_that_is_not_there_is_named(void **state) {
    (void)state;
    static const char *const files[] = {"libm.so.6", NULL};
    functions f;
    weir_library library = library_of(files, unknown, &f);
    check_refused(&library, "no_such_function");
    library.names = names; /* it was not taken as loaded */
    assert_int_equal(weir_library_load(&library, &err), WEIR_OK);
    assert_true(f.power(3, 2) == 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_first_file_that_opens_is_taken), cmocka_unit_test(test_what_cannot_be_opened_is_named),
                                       cmocka_unit_test(test_a_function_that_is_not_there_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
