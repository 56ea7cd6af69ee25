/* Answers that stand already: in whatever order they are met, each once. How they are read is test_requests.py's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "consumers/answered.h"
#include "core/mem.h"
#include "tests/unit/starve.h"

enum { COUNT = 5000 };

static void offsets_are_found_in_any_order_of_coming(void **state) {
    (void)state;
    weir_answered answered = {0};
    assert_false(weir_answered_has(&answered, 0));
    for (int64_t i = 0; i < COUNT; i++) {
        int64_t offset = i * 2377 % COUNT * 3; /* 2377 is prime: every one comes once */
        assert_int_equal(weir_answered_add(&answered, offset, NULL), WEIR_OK);
        if (i % 7 == 0) assert_int_equal(weir_answered_add(&answered, offset, NULL), WEIR_OK);
    }
    assert_int_equal(answered.count, COUNT);
    for (int64_t offset = -1; offset <= 3 * COUNT; offset++)
        assert_true(weir_answered_has(&answered, offset) == (offset >= 0 && offset < 3 * COUNT && offset % 3 == 0));
    weir_answered_forget(&answered);
    assert_true(!weir_answered_has(&answered, 3) && !answered.known);
    weir_answered_done(&answered);
}

static void without_memory_it_stays_as_it_was(void **state) {
    (void)state;
    weir_answered answered = {0};
    const weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    assert_int_equal(weir_answered_add(&answered, 5, NULL), WEIR_ENOMEM);
    weir_mem = before;
    assert_false(weir_answered_has(&answered, 5));
    assert_int_equal(weir_answered_add(&answered, 5, NULL), WEIR_OK);
    assert_true(weir_answered_has(&answered, 5));
    weir_answered_done(&answered);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_found_in_any_order_of_coming),
        cmocka_unit_test(without_memory_it_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
