/* Which windows are judged for drift, and when: slots, watermarks over partitions, the next window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumers/drift_windows.h"

#define NONE INT64_MIN
#define S INT64_C(1000000)
#define H (3600 * S)

static void a_slot_holds_its_begin_and_not_its_end_also_before_1970(void **state) {
    (void)state;
    assert_true(weir_drift_slot_of(0, H) == 0 && weir_drift_slot_of(H - 1, H) == 0 && weir_drift_slot_of(H, H) == H);
    assert_true(weir_drift_slot_of(-1, H) == -H && weir_drift_slot_of(-H, H) == -H && weir_drift_slot_of(-H - 1, H) == -2 * H);
}

static void the_slowest_partition_that_is_not_idle_holds_windows_back(void **state) {
    (void)state;
    const int64_t now = 1000 * H;
    weir_drift_progress p[] = {{10 * H, now - S, now - S}, {7 * H, now - 2 * S, now - 2 * S}};
    assert_true(weir_drift_watermark(p, 2, now) == 7 * H);
    p[1].moved_us = now - WEIR_DRIFT_IDLE_US; /* nothing came, and somebody looks */
    assert_true(weir_drift_watermark(p, 2, now) == 10 * H);
    p[0].moved_us = now - WEIR_DRIFT_IDLE_US - 1;
    assert_true(weir_drift_watermark(p, 2, now) == now); /* all idle: by the clock */
    p[1].caught_up_us = now - 4 * WEIR_DRIFT_LOOK_US; /* nobody looks: its worker was killed */
    assert_true(weir_drift_watermark(p, 2, now) == 7 * H);
    p[1].caught_up_us = NONE; /* records wait since it was first read */
    assert_true(weir_drift_watermark(p, 2, now) == 7 * H);
}

static void a_partition_that_was_never_read_holds_all_back_and_an_empty_one_does_not(void **state) {
    (void)state;
    const int64_t now = 1000 * H;
    weir_drift_progress p[] = {{10 * H, now, now}, {NONE, NONE, NONE}};
    assert_true(weir_drift_watermark(p, 2, now) == NONE);
    p[1].caught_up_us = now;
    assert_true(weir_drift_watermark(p, 2, now) == 10 * H);
    assert_true(weir_drift_watermark(p, 0, now) == NONE);
}

static void a_record_from_the_future_closes_nothing(void **state) {
    (void)state;
    const weir_drift_progress p = {2000 * H, 1000 * H, 1000 * H};
    assert_true(weir_drift_watermark(&p, 1, 1000 * H) == 1000 * H);
}

static int64_t next(weir_drift_due due, int64_t watermark_us) {
    int64_t to_us = NONE;
    return weir_drift_next(&due, watermark_us, &to_us) ? to_us : NONE;
}

static void the_first_window_is_full_and_judged_when_event_time_passes_its_end(void **state) {
    (void)state;
    const weir_drift_due due = {H, 24 * H, NONE, 100 * H, 130 * H};
    assert_true(next(due, 124 * H - 1) == NONE);
    assert_true(next(due, 124 * H) == 124 * H);
    assert_true(next(due, NONE) == NONE);
    assert_true(next((weir_drift_due){H, 24 * H, NONE, NONE, NONE}, 1000 * H) == NONE); /* no records, no window */
}

static void a_window_is_judged_once_and_the_next_ends_a_slot_later(void **state) {
    (void)state;
    weir_drift_due due = {H, 24 * H, 124 * H, 124 * H, 126 * H};
    assert_true(next(due, 125 * H - 1) == NONE);
    assert_true(next(due, 125 * H) == 125 * H);
    due.judged_us = due.first_us = 125 * H;
    assert_true(next(due, 125 * H) == NONE);
    assert_true(next(due, 126 * H) == 126 * H);
}

static void windows_without_new_records_are_passed_over(void **state) {
    (void)state;
    const weir_drift_due due = {H, 24 * H, 124 * H, 500 * H, 500 * H};
    assert_true(next(due, 501 * H - 1) == NONE);
    assert_true(next(due, 501 * H) == 501 * H);
    assert_true(next((weir_drift_due){H, 24 * H, 124 * H, NONE, NONE}, 1000 * H) == NONE); /* the stream stopped */
}

static void who_is_far_behind_judges_windows_side_by_side_to_the_newest_record(void **state) {
    (void)state;
    weir_drift_due due = {H, 24 * H, 124 * H, 124 * H, 160 * H};
    assert_true(next(due, 1000 * H) == 148 * H);
    due.judged_us = due.first_us = 148 * H;
    assert_true(next(due, 1000 * H) == 161 * H); /* a full window that ends with the newest slot */
    due.last_us = 147 * H + 24 * H;
    assert_true(next(due, 150 * H) == 149 * H); /* less than a window behind: every slot ends one */
}

/* Whatever the watermark does, each slot with records is in a judged window and ends strictly rise. */
static void every_record_is_in_a_judged_window(void **state) {
    (void)state;
    for (int64_t step = 1; step < 60; step++) {
        weir_drift_due due = {H, 6 * H, NONE, 0, 199 * H};
        int64_t covered = 0, to_us;
        for (int64_t watermark = 0; watermark <= 200 * H; watermark += step * H) {
            while (weir_drift_next(&due, watermark, &to_us)) {
                assert_true(due.judged_us == NONE || to_us > due.judged_us);
                assert_true(to_us <= watermark && to_us - due.window_us <= covered);
                due.judged_us = covered = to_us;
                due.first_us = to_us;
            }
            assert_true(watermark < due.window_us || watermark - covered < H);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_holds_its_begin_and_not_its_end_also_before_1970),
        cmocka_unit_test(the_slowest_partition_that_is_not_idle_holds_windows_back),
        cmocka_unit_test(a_partition_that_was_never_read_holds_all_back_and_an_empty_one_does_not),
        cmocka_unit_test(a_record_from_the_future_closes_nothing),
        cmocka_unit_test(the_first_window_is_full_and_judged_when_event_time_passes_its_end),
        cmocka_unit_test(a_window_is_judged_once_and_the_next_ends_a_slot_later),
        cmocka_unit_test(windows_without_new_records_are_passed_over),
        cmocka_unit_test(who_is_far_behind_judges_windows_side_by_side_to_the_newest_record),
        cmocka_unit_test(every_record_is_in_a_judged_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
