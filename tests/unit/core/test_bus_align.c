/* Whose turn it is among the partitions of a topic, by the times of their records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bus_align.h"

#define SECOND_US INT64_C(1000000)
enum { NOBODY = -1 };

/* Records come all the time, and long ago by the clock that they carry. */
static const weir_align_rules catching_up = {.slack_us = 10, .live_after_us = 1000000, .now_us = 100 * SECOND_US};

static weir_align_leg has(int64_t time_us) {
    return (weir_align_leg){.there = true, .time_us = time_us, .given_at_us = catching_up.now_us};
}
static weir_align_leg fetching(int64_t last_us, int64_t since_us) {
    return (weir_align_leg){.time_us = last_us, .behind = true, .given_at_us = catching_up.now_us - since_us};
}
static weir_align_leg at_end(int64_t last_us, int64_t since_us) {
    return (weir_align_leg){.time_us = last_us, .given_at_us = catching_up.now_us - since_us};
}

static int next(weir_align_leg a, weir_align_leg b, const weir_align_rules *rules, int64_t *ret_limit_us) {
    return weir_align_next((const weir_align_leg[]){a, b}, 2, rules, ret_limit_us);
}

static void earliest_goes_as_far_as_the_slack(void **state) {
    (void)state;
    int64_t limit;
    assert_int_equal(next(has(7), has(5), &catching_up, &limit), 1);
    assert_int_equal(limit, 17);
    assert_int_equal(weir_align_next((const weir_align_leg[]){has(30), has(4), has(9)}, 3, &catching_up, &limit), 1);
    assert_int_equal(limit, 19);
    assert_int_equal(weir_align_next((const weir_align_leg[]){has(7)}, 1, &catching_up, &limit), 0);
    assert_int_equal(limit, INT64_MAX);
    assert_int_equal(next(has(INT64_MAX - 1), has(INT64_MAX - 1), &catching_up, &limit), 0); /* no overflow */
    assert_int_equal(limit, INT64_MAX - 1);
}

static void backlog_that_is_being_fetched_is_waited_for(void **state) {
    (void)state;
    int64_t limit;
    assert_int_equal(next(has(15), fetching(5, 0), &catching_up, &limit), 0);
    assert_int_equal(limit, 15);
    assert_int_equal(next(has(16), fetching(5, 0), &catching_up, &limit), NOBODY);
    assert_int_equal(next(has(16), fetching(WEIR_ALIGN_NO_TIME, 0), &catching_up, &limit), NOBODY); /* it may begin anywhere */
}

static void partition_that_gives_nothing_is_not_waited_for_for_ever(void **state) {
    (void)state;
    int64_t limit;
    assert_int_equal(next(has(16), fetching(5, 29 * SECOND_US), &catching_up, &limit), NOBODY);
    assert_int_equal(next(has(16), fetching(5, 30 * SECOND_US), &catching_up, &limit), 0);
    assert_int_equal(limit, INT64_MAX);
    assert_int_equal(next(has(16), fetching(WEIR_ALIGN_NO_TIME, 31 * SECOND_US), &catching_up, &limit), 0);
}

static void end_is_waited_at_for_a_moment_while_history_is_written(void **state) {
    (void)state;
    int64_t limit;
    assert_int_equal(next(has(16), at_end(5, SECOND_US / 10), &catching_up, &limit), NOBODY);
    assert_int_equal(next(has(16), at_end(5, SECOND_US), &catching_up, &limit), 0);
    /* Records begin to come: the others may have some on their way. */
    weir_align_rules woke = catching_up;
    woke.woke_at_us = woke.now_us - SECOND_US / 10;
    assert_int_equal(next(has(16), at_end(WEIR_ALIGN_NO_TIME, 50 * SECOND_US), &woke, &limit), NOBODY);
}

static void live_stream_is_not_delayed(void **state) {
    (void)state;
    int64_t limit;
    /* Young records do not wait at all for who is at his end; nor anybody for one whose time goes with the clock. */
    weir_align_rules live = catching_up;
    live.live_after_us = 15;
    live.woke_at_us = live.now_us;
    assert_int_equal(next(has(16), at_end(5, 0), &live, &limit), 0);
    weir_align_leg slow = at_end(5, SECOND_US / 10);
    slow.slow = true;
    assert_int_equal(next(has(16), slow, &catching_up, &limit), 0);
    assert_true(weir_align_is_slow(100, 100 + SECOND_US, SECOND_US));
    assert_false(weir_align_is_slow(100, 100 + 10 * SECOND_US, SECOND_US));
}

static void record_without_a_time_goes_at_once(void **state) {
    (void)state;
    int64_t limit;
    assert_int_equal(next(has(WEIR_ALIGN_NO_TIME), fetching(5, 0), &catching_up, &limit), 0);
    assert_int_equal(limit, 15);
    assert_int_equal(next(has(3), has(WEIR_ALIGN_NO_TIME), &catching_up, &limit), 1);
}

static void record_goes_with_the_earliest_behind_it(void **state) {
    (void)state;
    const int64_t none = WEIR_ALIGN_NO_TIME;
    /* One that is far ahead (900) stops nobody; one that cannot be read goes with those behind it, or at once. */
    const int64_t times[] = {1, 900, 3, none, 2, 5, 900, none, none};
    const int64_t expected[] = {1, 2, 2, 2, 2, 5, 900, none, none};
    int64_t keys[9];
    weir_align_keys(times, keys, 9);
    assert_memory_equal(keys, expected, sizeof keys);
    weir_align_keys(times, keys, 0);
}

/* Two partitions of different density, fetched a few records at a time: no record goes more than the slack before an earlier one. */
static void merge_keeps_the_slack(void **state) {
    (void)state;
    int64_t at[2] = {0, 0}, last = 0, limit, newest = 0;
    const int64_t step[2] = {1, 50}, end = 5000;
    int left[2] = {0, 0}, fetches = 0;
    while (at[0] < end || at[1] < end) {
        weir_align_leg legs[2];
        for (int i = 0; i < 2; i++)
            legs[i] = at[i] >= end ? at_end(at[i], SECOND_US) : left[i] ? has(at[i]) : fetching(at[i] ? at[i] - step[i] : WEIR_ALIGN_NO_TIME, 0);
        int leg = weir_align_next(legs, 2, &catching_up, &limit);
        if (leg < 0) {
            fetches++;
            for (int i = 0; i < 2; i++)
                if (!left[i]) left[i] = 7;
            continue;
        }
        assert_true(at[leg] <= limit);
        assert_true(at[leg] >= newest - catching_up.slack_us);
        last = at[leg];
        if (last > newest) newest = last;
        at[leg] += step[leg];
        left[leg]--;
    }
    assert_true(fetches > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(earliest_goes_as_far_as_the_slack),
        cmocka_unit_test(backlog_that_is_being_fetched_is_waited_for),
        cmocka_unit_test(partition_that_gives_nothing_is_not_waited_for_for_ever),
        cmocka_unit_test(end_is_waited_at_for_a_moment_while_history_is_written),
        cmocka_unit_test(live_stream_is_not_delayed),
        cmocka_unit_test(record_without_a_time_goes_at_once),
        cmocka_unit_test(record_goes_with_the_earliest_behind_it),
        cmocka_unit_test(merge_keeps_the_slack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
