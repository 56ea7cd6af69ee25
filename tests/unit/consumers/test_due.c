/* Which firings of a schedule are due: on time, missed, told or passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/due.h"
#include "core/clock.h"

#define MINUTE_US (60 * WEIR_SECOND_US)
#define HOUR_US (60 * MINUTE_US)

static weir_due due[WEIR_DUE_MAX];

static int look(const char *expression, weir_catch_up catch_up, int64_t last_us, int64_t now_us) {
    weir_cron cron;
    weir_zone *zone = NULL;
    assert_int_equal(weir_cron_parse(expression, &cron, NULL), WEIR_OK);
    assert_int_equal(weir_zone_load("UTC", &zone, NULL), WEIR_OK);
    memset(due, 0xff, sizeof due);
    int count = weir_schedule_due(&cron, zone, catch_up, last_us, now_us, due);
    weir_zone_free(zone);
    return count;
}

static void nothing_before_its_time_and_once_at_it(void **state) {
    (void)state;
    for (int catch_up = WEIR_CATCH_UP_LAST; catch_up <= WEIR_CATCH_UP_NONE; catch_up++) {
        assert_int_equal(look("0 * * * *", (weir_catch_up)catch_up, 0, HOUR_US - 1), 0);
        assert_int_equal(look("0 * * * *", (weir_catch_up)catch_up, 0, HOUR_US), 1);
        assert_true(due[0].at_us == HOUR_US && due[0].missed == 0 && due[0].told);
        assert_int_equal(look("0 * * * *", (weir_catch_up)catch_up, HOUR_US, HOUR_US + 1), 0);
    }
}

static void of_those_that_were_missed_the_last_stands_for_all(void **state) {
    (void)state;
    assert_int_equal(look("0 * * * *", WEIR_CATCH_UP_LAST, 0, 5 * HOUR_US + HOUR_US / 2), 1);
    assert_true(due[0].at_us == 5 * HOUR_US && due[0].missed == 4 && due[0].told);
}

static void all_are_told_in_parts_where_they_are_many(void **state) {
    (void)state;
    assert_int_equal(look("0 * * * *", WEIR_CATCH_UP_ALL, 0, 5 * HOUR_US), 5);
    for (int i = 0; i < 5; i++) assert_true(due[i].at_us == (i + 1) * HOUR_US && due[i].told && !due[i].missed);
    assert_int_equal(look("* * * * *", WEIR_CATCH_UP_ALL, 0, 1000 * MINUTE_US), WEIR_DUE_MAX);
    assert_int_equal(look("* * * * *", WEIR_CATCH_UP_ALL, due[WEIR_DUE_MAX - 1].at_us, 300 * MINUTE_US), 300 - WEIR_DUE_MAX);
    assert_true(due[0].at_us == (WEIR_DUE_MAX + 1) * MINUTE_US);
}

static void none_is_told_of_those_that_were_missed(void **state) {
    (void)state;
    assert_int_equal(look("0 * * * *", WEIR_CATCH_UP_NONE, 0, 5 * HOUR_US + HOUR_US / 2), 1);
    assert_true(due[0].at_us == 5 * HOUR_US && !due[0].told && due[0].missed == 4);
    assert_int_equal(look("0 * * * *", WEIR_CATCH_UP_NONE, 0, 5 * HOUR_US + WEIR_SCHEDULE_GRACE_US), 1); /* the last of them is in time */
    assert_true(due[0].at_us == 5 * HOUR_US && due[0].told && due[0].missed == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_before_its_time_and_once_at_it),
        cmocka_unit_test(of_those_that_were_missed_the_last_stands_for_all),
        cmocka_unit_test(all_are_told_in_parts_where_they_are_many),
        cmocka_unit_test(none_is_told_of_those_that_were_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
