/* Folders are made with those above them, again without harm, and what is in the way is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/folder.h"

static char base[64], path[256];

static bool is_folder(const char *name) {
    struct stat info;
    return !stat(name, &info) && S_ISDIR(info.st_mode);
}

static int setup(void **state) {
    (void)state;
    snprintf(base, sizeof base, "/tmp/weir-folder-XXXXXX");
    return !mkdtemp(base);
}

static int teardown(void **state) {
    (void)state;
    static const char *const made[] = {"a/b/c", "a/b", "a/file", "a"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        snprintf(path, sizeof path, "%s/%s", base, made[i]);
        remove(path);
    }
    return rmdir(base);
}

static void folders_are_made_with_those_above(void **state) {
    (void)state;
    weir_err err;
    snprintf(path, sizeof path, "%s/a/b/c", base);
    assert_int_equal(weir_folder_make(path, &err), WEIR_OK);
    assert_true(is_folder(path));
    assert_int_equal(weir_folder_make(path, &err), WEIR_OK);
}

static void those_above_a_file_are_made_and_no_more(void **state) {
    (void)state;
    weir_err err;
    snprintf(path, sizeof path, "%s/a/b/c", base);
    assert_int_equal(weir_folder_make_above(path, &err), WEIR_OK);
    assert_false(is_folder(path));
    *strrchr(path, '/') = 0;
    assert_true(is_folder(path));
}

static void what_is_in_the_way_is_named(void **state) {
    (void)state;
    weir_err err;
    char longer[5000];
    snprintf(path, sizeof path, "%s/a", base);
    assert_int_equal(weir_folder_make(path, &err), WEIR_OK);
    snprintf(path, sizeof path, "%s/a/file", base);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    snprintf(path, sizeof path, "%s/a/file/more", base);
    assert_int_equal(weir_folder_make(path, &err), WEIR_EIO);
    assert_non_null(strstr(err.message, "/a/file"));
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(weir_folder_make(longer, &err), WEIR_EINVAL);
    assert_int_equal(weir_folder_make_above(longer, &err), WEIR_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders_are_made_with_those_above, setup, teardown),
        cmocka_unit_test_setup_teardown(those_above_a_file_are_made_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_in_the_way_is_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
