/* Which folds a job takes, and which rows it tests when time cannot say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/folds.h"
#include "tests/unit/starve.h"

enum { MOST = 200 };

static const char *const names[] = {"calm", "rough", "storm"}, *const target = "sea";

/* What rows may have beside a column of numbers. */
typedef struct rows {
    int count;
    weir_task task;
    double label[MOST];
    int64_t time_us[MOST];
    uint32_t entity[MOST];
    bool timed, entities;
} rows;

static weir_trainset set_of(const rows *r) {
    static double x[MOST];
    const double *values = x, *targets = r->label;
    const weir_prep_column column = {.name = "x"};
    for (int i = 0; i < r->count; i++) x[i] = i;
    const weir_trainset_source source = {
        .row_count = r->count,
        .column_count = 1,
        .columns = &column,
        .values = &values,
        .task = r->task,
        .class_count = r->task == WEIR_TASK_MULTICLASS ? 3 : 0,
        .class_names = r->task == WEIR_TASK_REGRESSION ? NULL : names,
        .target_count = 1,
        .target_names = &target,
        .targets = &targets,
        .time_us = r->timed ? r->time_us : NULL,
        .entity = r->entities ? r->entity : NULL,
        .entity_count = MOST,
    };
    weir_trainset set;
    weir_err err;
    if (weir_trainset_make(&source, &set, &err)) fail_msg("%s", err.message);
    return set;
}

/* Every third row is of class 1, all at one time. */
static rows simple_rows(int count) {
    rows r = {.count = count, .task = WEIR_TASK_BINARY, .timed = true};
    for (int i = 0; i < count; i++) {
        r.label[i] = i % 3 == 0;
        r.time_us[i] = 5 * INT64_C(86400000000);
        r.entity[i] = (uint32_t)i;
    }
    return r;
}

static weir_folds chosen(const rows *r, const weir_split *wanted) {
    weir_trainset set = set_of(r);
    weir_folds folds;
    weir_err err;
    if (weir_folds_choose(&set, wanted, 5, 1, &folds, &err)) fail_msg("%s", err.message);
    weir_trainset_done(&set);
    return folds;
}

/* ---- folds ---- */

static void what_can_be_done_is_done_as_asked(void **state) {
    (void)state;
    rows r = simple_rows(60);
    const weir_split wanted = {.scheme = WEIR_SPLIT_STRATIFIED_K_FOLD, .folds = 4, .shuffle = true};
    weir_folds f = chosen(&r, &wanted);
    assert_true(f.as_asked && f.count == 4);
    assert_string_equal(f.words, "stratified_k_fold, 4 folds");
}

static void times_that_do_not_order_rows_make_no_folds(void **state) {
    (void)state;
    rows r = simple_rows(60);
    const weir_split wanted = {.scheme = WEIR_SPLIT_WALK_FORWARD, .folds = 4};
    weir_folds f = chosen(&r, &wanted);
    assert_false(f.as_asked);
    assert_int_equal(f.split.scheme, WEIR_SPLIT_STRATIFIED_K_FOLD);
    assert_int_equal(f.count, 4);
    assert_non_null(strstr(f.words, "stratified_k_fold, 4 folds, not those that were asked for: walk_forward: fold 0 has no rows to train on"));
    f = chosen(&r, NULL);
    assert_string_equal(f.words, "stratified_k_fold, 5 folds: most rows have the same time, which does not order them");
    r.entities = true;
    for (int i = 0; i < 60; i++) r.entity[i] = (uint32_t)i / 4;
    f = chosen(&r, &wanted);
    assert_int_equal(f.split.scheme, WEIR_SPLIT_GROUPED_K_FOLD);
    r.time_us[58] += 1000; /* all but a few */
    r.time_us[59] += 2000;
    f = chosen(&r, &wanted);
    assert_int_equal(f.split.scheme, WEIR_SPLIT_GROUPED_K_FOLD);
}

static void a_class_that_a_fold_would_lack_means_fewer_or_other_folds(void **state) {
    (void)state;
    rows r = simple_rows(60);
    r.timed = false;
    const weir_split blocks = {.scheme = WEIR_SPLIT_K_FOLD, .folds = 5};
    for (int i = 0; i < 60; i++) r.label[i] = i >= 27 && i < 33; /* in the third of five blocks, and in both of two */
    weir_folds f = chosen(&r, &blocks);
    assert_int_equal(f.split.scheme, WEIR_SPLIT_K_FOLD);
    assert_int_equal(f.count, 4);
    assert_non_null(strstr(f.words, "k_fold, 4 folds, not those that were asked for: k_fold: fold 3 has no rows of class 'rough' to train on"));
    for (int i = 0; i < 60; i++) r.label[i] = i < 3;
    f = chosen(&r, &blocks);
    assert_int_equal(f.split.scheme, WEIR_SPLIT_STRATIFIED_K_FOLD);
    assert_int_equal(f.count, 3); /* a row of the class in each */
}

static void stratified_folds_are_no_more_than_the_rarest_class_has_rows(void **state) {
    (void)state;
    rows r = simple_rows(90);
    r.task = WEIR_TASK_MULTICLASS;
    for (int i = 0; i < 90; i++) r.label[i] = i % 45 == 7 ? 2 : i % 2;
    const weir_split wanted = {.scheme = WEIR_SPLIT_STRATIFIED_K_FOLD, .folds = 10, .shuffle = true};
    weir_folds f = chosen(&r, &wanted);
    assert_true(!f.as_asked && f.count == 2);
    assert_string_equal(f.words, "stratified_k_fold, 2 folds instead of 10, for class 'storm' has 2 training rows");
    weir_trainset set = set_of(&r);
    weir_err err;
    assert_int_equal(weir_trainset_split_check(&set, &f.split, &err), WEIR_OK);
    weir_trainset_done(&set);
}

static void a_class_with_one_row_is_refused(void **state) {
    (void)state;
    rows r = simple_rows(30);
    weir_folds f;
    weir_err err;
    for (int i = 0; i < 30; i++) r.label[i] = i == 3;
    weir_trainset set = set_of(&r);
    assert_int_equal(weir_folds_choose(&set, NULL, 5, 1, &f, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "class 'rough' of sea has 1 training row of 30, expected at least 2"));
    const weir_split grouped = {.scheme = WEIR_SPLIT_GROUPED_K_FOLD, .folds = 3};
    weir_trainset_done(&set);
    r = simple_rows(30);
    set = set_of(&r);
    assert_int_equal(weir_folds_choose(&set, &grouped, 5, 1, &f, &err), WEIR_EINVAL); /* not a matter of rows: nobody said what the groups are */
    weir_trainset_done(&set);
}

/* ---- a hold-out ---- */

static weir_holdout drawn(const rows *r, uint64_t seed, weir_trainset *train, weir_trainset *test) {
    weir_trainset set = set_of(r);
    weir_holdout h;
    weir_err err;
    if (weir_holdout_draw(&set, seed, train, test, &h, &err)) fail_msg("%s", err.message);
    assert_int_equal(train->matrix.row_count + test->matrix.row_count, r->count);
    weir_trainset_done(&set);
    return h;
}

static double share_of_ones(const weir_trainset *set) {
    double sum = 0;
    for (int64_t r = 0; r < set->matrix.row_count; r++) sum += set->matrix.label[r];
    return sum / (double)set->matrix.row_count;
}

static void a_fifth_of_the_rows_is_drawn_with_every_classs_share(void **state) {
    (void)state;
    rows r = simple_rows(150);
    weir_trainset train, test, train_again, test_again, train_other, test_other;
    weir_holdout h = drawn(&r, 7, &train, &test);
    assert_int_equal(test.matrix.row_count, 30);
    assert_true(share_of_ones(&train) == 1.0 / 3 && share_of_ones(&test) == 1.0 / 3);
    assert_int_equal(h.split.scheme, WEIR_SPLIT_STRATIFIED_K_FOLD);
    assert_true(h.same_time == 1 && h.time_us == r.time_us[0]);
    assert_non_null(strstr(h.words, "all 150 rows have one time, 1970-01-06, so time cannot tell"));
    (void)drawn(&r, 7, &train_again, &test_again);
    assert_string_equal(test.digest, test_again.digest);
    assert_string_equal(train.digest, train_again.digest);
    (void)drawn(&r, 8, &train_other, &test_other);
    assert_string_not_equal(test.digest, test_other.digest);
    weir_trainset *sets[] = {&train, &test, &train_again, &test_again, &train_other, &test_other};
    for (int i = 0; i < 6; i++) weir_trainset_done(sets[i]);
}

static void no_entity_is_in_both_parts(void **state) {
    (void)state;
    rows r = simple_rows(150);
    weir_trainset train, test;
    r.entities = true;
    for (int i = 0; i < 150; i++) r.entity[i] = (uint32_t)i / 5;
    r.time_us[149] += 30 * INT64_C(60000000);
    weir_holdout h = drawn(&r, 7, &train, &test);
    assert_int_equal(h.split.scheme, WEIR_SPLIT_GROUPED_K_FOLD);
    assert_non_null(strstr(h.words, "149 of 150 rows have one time"));
    assert_non_null(strstr(h.words, "a fifth of the entities, each with all its rows"));
    assert_int_equal(test.matrix.row_count, 30);
    for (int64_t i = 0; i < test.matrix.row_count; i++)
        for (int64_t k = 0; k < train.matrix.row_count; k++) assert_int_not_equal(test.entity[i], train.entity[k]);
    weir_trainset_done(&train);
    weir_trainset_done(&test);
}

/* One entity has all rows of a class: with it in the test nothing would be left to learn from, so it is learnt from. */
static void entities_with_a_class_of_their_own_stay_for_training(void **state) {
    (void)state;
    rows r = simple_rows(150);
    weir_trainset train, test;
    r.entities = true;
    for (int i = 0; i < 150; i++) {
        r.entity[i] = (uint32_t)i / 10;
        r.label[i] = r.entity[i] == 0;
    }
    weir_holdout h = drawn(&r, 7, &train, &test);
    assert_int_equal(h.split.scheme, WEIR_SPLIT_GROUPED_K_FOLD);
    assert_true(share_of_ones(&train) > 0 && share_of_ones(&test) == 0);
    weir_trainset_done(&train);
    weir_trainset_done(&test);
}

static void a_regression_and_few_rows(void **state) {
    (void)state;
    rows r = simple_rows(20);
    weir_trainset train = {0}, test = {0};
    weir_holdout h;
    weir_err err;
    int64_t time_us;
    r.task = WEIR_TASK_REGRESSION;
    h = drawn(&r, 1, &train, &test);
    assert_int_equal(h.split.scheme, WEIR_SPLIT_K_FOLD);
    assert_int_equal(test.matrix.row_count, 4);
    weir_trainset_done(&train);
    weir_trainset_done(&test);
    r.count = 4;
    weir_trainset set = set_of(&r);
    assert_int_equal(weir_holdout_draw(&set, 1, &train, &test, &h, &err), WEIR_EDATA);
    assert_null(train.memory);
    weir_trainset_done(&set);
    r = simple_rows(10);
    for (int i = 0; i < 10; i++) r.time_us[i] += i / 4; /* 4, 4 and 2 rows */
    set = set_of(&r);
    assert_true(weir_trainset_same_time(&set, &time_us) == 0.4 && time_us == r.time_us[0]);
    weir_trainset_done(&set);
    r.timed = false;
    set = set_of(&r);
    assert_true(weir_trainset_same_time(&set, &time_us) == 0);
    weir_trainset_done(&set);
}

/* ---- memory ---- */

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    rows r = simple_rows(40);
    r.entities = true;
    for (int i = 0; i < 40; i++) r.entity[i] = (uint32_t)i / 2;
    weir_trainset set = set_of(&r);
    const weir_split wanted = {.scheme = WEIR_SPLIT_STRATIFIED_K_FOLD, .folds = 3};
    int failures = 0;
    for (int n = 0, done = 0; !done; n++) {
        weir_trainset train = {0}, test = {0};
        weir_holdout h;
        weir_folds f;
        weir_err err = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_folds_choose(&set, &wanted, 5, 1, &f, &err);
        if (!status) status = weir_holdout_draw(&set, 1, &train, &test, &h, &err);
        weir_mem.realloc = real;
        if (status) assert_int_equal(status, WEIR_ENOMEM);
        if (status) assert_true(!train.memory && !test.memory);
        failures += status != WEIR_OK;
        done = !status && allocations_left > 0;
        weir_trainset_done(&train);
        weir_trainset_done(&test);
    }
    assert_true(failures > 5);
    weir_trainset_done(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_done_is_done_as_asked),
        cmocka_unit_test(times_that_do_not_order_rows_make_no_folds),
        cmocka_unit_test(a_class_that_a_fold_would_lack_means_fewer_or_other_folds),
        cmocka_unit_test(stratified_folds_are_no_more_than_the_rarest_class_has_rows),
        cmocka_unit_test(a_class_with_one_row_is_refused),
        cmocka_unit_test(a_fifth_of_the_rows_is_drawn_with_every_classs_share),
        cmocka_unit_test(no_entity_is_in_both_parts),
        cmocka_unit_test(entities_with_a_class_of_their_own_stay_for_training),
        cmocka_unit_test(a_regression_and_few_rows),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
