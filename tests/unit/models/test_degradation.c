#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/degradation.h"
#include "tests/unit/starve.h"

enum { ROWS = 2000 };

static double label[ROWS], score[ROWS];
static uint32_t entity[ROWS];
static uint64_t state_of_draws;

static double uniform(void) {
    state_of_draws = state_of_draws * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state_of_draws >> 11) / 9007199254740992.0;
}

/* Labels that are positive with probability 0.2, and scores that are right with probability `right`; entities of `each` rows, all of one label and score. */
static void draw(double right, int each, uint64_t seed) {
    state_of_draws = seed;
    for (int i = 0; i < ROWS; i++) {
        entity[i] = (uint32_t)(i / each);
        label[i] = i % each ? label[i - 1] : uniform() < 0.2;
        score[i] = i % each ? score[i - 1] : uniform() < right ? label[i] : 1 - label[i];
    }
}

static weir_degradation_settings settings_of(const char *metric, double reference) {
    weir_task task = metric[0] == 'm' ? WEIR_TASK_REGRESSION : WEIR_TASK_BINARY;
    return (weir_degradation_settings){
        .metric = weir_model_metric_find(task, metric), .threshold = 0.5, .reference = reference, .drop = 0.05, .min_rows = 500, .alpha = 0.05};
}

static weir_degradation judge(const weir_degradation_settings *s, int64_t rows, int64_t look) {
    const weir_outcomes outcomes = {.row_count = rows, .label = label, .score = score};
    weir_degradation d;
    weir_err err = {0};
    if (weir_degradation_judge(s, &outcomes, entity, look, &d, &err)) fail_msg("%s", err.message);
    return d;
}

/* Absolute errors 1 and 3, half each: the mean is 2, its standard error about 1/√n. At the first look alpha is 0.025: t of 49 degrees is 2.0096. */
static void a_mean_has_the_interval_of_a_mean(void **state) {
    (void)state;
    weir_degradation_settings s = settings_of("mae", 1.5);
    for (int i = 0; i < ROWS; i++) {
        label[i] = 0;
        score[i] = i % 2 ? 3 : 1;
        entity[i] = (uint32_t)i;
    }
    weir_degradation d = judge(&s, ROWS, 1);
    assert_true(d.value == 2 && d.rows == ROWS);
    assert_float_equal(d.limit, 1.575, 1e-12);
    assert_float_equal(d.share, 1.0 / 3, 1e-12);
    assert_float_equal(d.high - d.value, 2.0096 / sqrt(ROWS), 0.25 * 2.0096 / sqrt(ROWS)); /* a variance by 50 groups is known to a fifth or so */
    assert_true(fabs(d.value - d.low - (d.high - d.value)) < 1e-12);
    assert_true(d.worse);
    s.reference_count = ROWS; /* as uncertain as the live value: √2 */
    weir_degradation wider = judge(&s, ROWS, 1);
    assert_true(fabs(wider.high - wider.value - sqrt(2) * (d.high - d.value)) < 1e-12);
    assert_true(judge(&s, ROWS, 100).high > wider.high);
    s.reference = 2;
    assert_false(judge(&s, ROWS, 1).worse);
}

static void a_drop_beyond_chance_is_found_and_a_smaller_one_is_not(void **state) {
    (void)state;
    weir_degradation_settings s = settings_of("roc_auc", 0.9);
    draw(0.7, 1, 1);
    weir_degradation d = judge(&s, ROWS, 4);
    assert_true(d.worse && d.high < d.limit && d.share > 0.15);
    draw(0.88, 1, 2);
    assert_false(judge(&s, ROWS, 4).worse);
    draw(0.99, 1, 3);
    assert_true(judge(&s, ROWS, 4).share < 0);
    draw(0.7, 1, 1);
    assert_false(judge(&s, 40, 1).worse); /* too few to say */
}

/* Ten rows of an entity say no more than one: √10 wider. */
static void rows_of_one_entity_are_not_counted_as_many(void **state) {
    (void)state;
    const weir_degradation_settings s = settings_of("accuracy", 0.9);
    draw(0.7, 1, 5);
    weir_degradation alone = judge(&s, ROWS, 1);
    draw(0.7, 10, 5);
    weir_degradation together = judge(&s, ROWS, 1);
    double ratio = (together.high - together.low) / (alone.high - alone.low);
    assert_true(ratio > 2.2 && ratio < 4.5);
}

/* Recall 0 of 3: the jackknife has no width; Wilson's upper bound at z = 1.959964 is z² / (n + z²). */
static void a_proportion_of_few_is_as_wide_as_wilson_says(void **state) {
    (void)state;
    const weir_degradation_settings s = settings_of("recall", 0.5);
    for (int i = 0; i < 300; i++) {
        label[i] = i % 100 == 0;
        score[i] = 0;
        entity[i] = (uint32_t)i;
    }
    weir_degradation d = judge(&s, 300, 1);
    assert_true(d.value == 0 && d.low == 0);
    assert_float_equal(d.high, 3.841459 / (3 + 3.841459), 1e-6);
    assert_false(d.worse);
}

/* 100 versions as good as on their test rows, each looked at every 500 rows up to 2000: about alpha of them at most may ever be called worse. With drop 0 and an exact
 * reference; the seed is fixed, and the count was 3. */
static void looking_often_does_not_make_false_alarms(void **state) {
    (void)state;
    weir_degradation_settings s = settings_of("roc_auc", 0.8);
    int alarms = 0;
    s.drop = 0;
    for (uint64_t version = 0; version < 100; version++) {
        bool worse = false;
        draw(0.8, 1, 1000 + version);
        for (int64_t look = 1; look <= 4; look++) worse = worse || judge(&s, 500 * look, look).worse;
        alarms += worse;
    }
    assert_in_range(alarms, 0, 5);
}

static void looks_come_with_rows(void **state) {
    (void)state;
    assert_true(weir_degradation_look(499, 500) == 0 && weir_degradation_look(500, 500) == 1 && weir_degradation_look(1999, 500) == 3);
    assert_false(weir_degradation_comparable(weir_model_metric_find(WEIR_TASK_BINARY, "precision_at_k")));
    assert_true(weir_degradation_comparable(weir_model_metric_find(WEIR_TASK_BINARY, "roc_auc")));
}

static void one_class_says_nothing_and_bad_input_is_refused(void **state) {
    (void)state;
    weir_degradation_settings s = settings_of("roc_auc", 0.9);
    const weir_outcomes outcomes = {.row_count = 100, .label = label, .score = score};
    weir_degradation d;
    draw(0.7, 1, 1);
    for (int i = 0; i < 100; i++) label[i] = i == 7; /* without the group of row 7 there is one class */
    d = judge(&s, 100, 1);
    assert_true(isfinite(d.value) && isnan(d.high) && !d.worse);
    score[3] = NAN;
    assert_int_equal(weir_degradation_judge(&s, &outcomes, entity, 1, &d, NULL), WEIR_ENUMERIC);
    score[3] = 0;
    assert_int_equal(weir_degradation_judge(&s, &outcomes, entity, 0, &d, NULL), WEIR_EINVAL);
    s.reference = NAN;
    assert_int_equal(weir_degradation_judge(&s, &outcomes, entity, 1, &d, NULL), WEIR_EINVAL);
}

static void without_memory_it_says_so(void **state) {
    (void)state;
    const weir_degradation_settings s = settings_of("roc_auc", 0.9);
    const weir_outcomes outcomes = {.row_count = 200, .label = label, .score = score};
    const weir_allocator before = weir_mem;
    weir_degradation d;
    weir_status status = WEIR_ENOMEM;
    draw(0.7, 1, 1);
    weir_mem.realloc = failing_realloc;
    for (int n = 0; status && n < 200; n++) {
        allocations_left = n;
        status = weir_degradation_judge(&s, &outcomes, entity, 1, &d, NULL);
        if (status) assert_int_equal(status, WEIR_ENOMEM);
    }
    weir_mem = before;
    assert_int_equal(status, WEIR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mean_has_the_interval_of_a_mean),
        cmocka_unit_test(a_drop_beyond_chance_is_found_and_a_smaller_one_is_not),
        cmocka_unit_test(rows_of_one_entity_are_not_counted_as_many),
        cmocka_unit_test(a_proportion_of_few_is_as_wide_as_wilson_says),
        cmocka_unit_test(looking_often_does_not_make_false_alarms),
        cmocka_unit_test(looks_come_with_rows),
        cmocka_unit_test(one_class_says_nothing_and_bad_input_is_refused),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
