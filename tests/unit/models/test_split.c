#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/random.h"
#include "models/split.h"
#include "tests/unit/starve.h"

enum { ROWS = 300 };

/* Rows in no order, with ties in time, labels known up to some time later, entities of very different sizes, three tenants. */
typedef struct data {
    double label[ROWS];
    int64_t time_us[ROWS], label_until_us[ROWS];
    uint32_t group[ROWS], tenant[ROWS];
    weir_split_rows rows;
} data;

static void make_data(data *d, uint64_t seed, int64_t row_count, int64_t time_range) {
    for (int r = 0; r < row_count; r++) {
        d->label[r] = (double)(weir_models_random_below(&seed, 10) * weir_models_random_below(&seed, 10) / 20);
        d->time_us[r] = (int64_t)weir_models_random_below(&seed, (uint64_t)time_range) - time_range / 2;
        d->label_until_us[r] = d->time_us[r] + (int64_t)weir_models_random_below(&seed, (uint64_t)time_range / 8 + 1);
        d->group[r] = (uint32_t)(weir_models_random_below(&seed, 30) * weir_models_random_below(&seed, 30));
        d->tenant[r] = (uint32_t)weir_models_random_below(&seed, 3) * 7;
    }
    d->rows = (weir_split_rows){row_count, d->label, d->time_us, d->label_until_us, d->group, d->tenant};
}

static weir_split read_split(const char *text) {
    weir_split split;
    weir_err err;
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    if (weir_split_from_json(json, "$.split", &split, &err) != WEIR_OK) fail_msg("%s: %s", text, err.message);
    cJSON_Delete(json);
    return split;
}

static weir_split_plan *plan_of(const char *text, const weir_split_rows *rows) {
    weir_split split = read_split(text);
    weir_split_plan *plan = NULL;
    weir_err err;
    if (weir_split_plan_new(&split, rows, &plan, &err) != WEIR_OK) fail_msg("%s: %s", text, err.message);
    return plan;
}

static weir_fold roles_of(const weir_split_plan *plan, int fold, uint8_t *role) {
    weir_fold counts;
    weir_err err;
    if (weir_split_plan_roles(plan, fold, role, &counts, &err) != WEIR_OK) fail_msg("%s", err.message);
    return counts;
}

static void expect_roles(const char *text, const weir_split_rows *rows, const char *const *folds) {
    weir_split_plan *plan = plan_of(text, rows);
    int fold = 0;
    for (; folds[fold]; fold++) {
        uint8_t role[64];
        char shown[65] = "";
        assert_true(fold < weir_split_plan_folds(plan));
        (void)roles_of(plan, fold, role);
        for (int64_t r = 0; r < rows->row_count; r++) shown[r] = ".rvT"[role[r]];
        assert_string_equal(shown, folds[fold]);
    }
    assert_int_equal(weir_split_plan_folds(plan), fold);
    weir_split_plan_free(plan);
}

static void expect_refusal(const char *text, const weir_split_rows *rows, weir_status code, const char *message) {
    weir_split split = read_split(text);
    weir_split_plan *plan = NULL;
    weir_err err;
    assert_int_equal(weir_split_plan_new(&split, rows, &plan, &err), code);
    assert_null(plan);
    if (!strstr(err.message, message)) fail_msg("%s: \"%s\" does not say \"%s\"", text, err.message, message);
}

/* r: train, v: validation, T: test, a dot: neither. */
static void folds_are_as_worked_by_hand(void **state) {
    (void)state;
    const double label[10] = {0, 0, 0, 1, 1, 0, 0, 0, 0, 1};
    const int64_t time[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, until[10] = {1, 2, 5, 4, 5, 8, 7, 8, 9, 10};
    const uint32_t group[10] = {5, 5, 5, 2, 2, 9, 9, 9, 9, 1};
    weir_split_rows rows = {10, label, time, until, group, NULL};
    expect_roles("{\"scheme\": \"k_fold\", \"folds\": 3, \"shuffle\": false}", &rows, (const char *[]){"TTTTrrrrrr", "rrrrTTTrrr", "rrrrrrrTTT", NULL});
    /* class 0 occurs first and is dealt to places 0–6: folds 0 0 0 0, 1 1 1; class 1 to places 7–9: fold 1, 0, 1 */
    expect_roles("{\"scheme\": \"stratified_k_fold\", \"folds\": 2, \"shuffle\": false}", &rows, (const char *[]){"TTTTrTrrrr", "rrrrTrTTTT", NULL});
    expect_roles("{\"scheme\": \"grouped_k_fold\", \"folds\": 2}", &rows, (const char *[]){"rrrrrTTTTT", "TTTTTrrrrr", NULL});
    expect_roles("{\"scheme\": \"time_split\", \"train\": 0.5, \"validation\": 0.3, \"test\": 0.2}", &rows, (const char *[]){"rrrrrvvvTT", NULL});
    expect_roles("{\"scheme\": \"holdout\", \"share\": 0.3, \"by_time\": true}", &rows, (const char *[]){"rrrrrrrTTT", NULL});
    expect_roles("{\"scheme\": \"walk_forward\", \"folds\": 2, \"test_rows\": 2, \"gap_rows\": 1}", &rows, (const char *[]){"rrrrr.TT..", "rrrrrrr.TT", NULL});
    expect_roles("{\"scheme\": \"walk_forward\", \"folds\": 2, \"test_rows\": 2, \"step_rows\": 3, \"rolling\": true, \"train_rows\": 4}", &rows,
                 (const char *[]){".rrrrTT...", "....rrrrTT", NULL});
    /* block 4–6 is known at 8: rows 2 (until 5), 3 (until 4, ends included), 7 and 8 overlap */
    expect_roles("{\"scheme\": \"purged_k_fold\", \"folds\": 3}", &rows, (const char *[]){"TTTT..rrrr", "rr..TTT..r", "rrrrr..TTT", NULL});
}

static void durations_are_half_open_windows_from_the_first_row(void **state) {
    (void)state;
    int64_t time[12];
    for (int i = 0; i < 12; i++) time[i] = 1000000 + i * INT64_C(1000); /* a row a millisecond */
    time[8] = time[7];
    weir_split_rows rows = {.row_count = 12, .time_us = time};
    const char *expanding = "{\"scheme\": \"walk_forward\", \"train\": \"4ms\", \"test\": \"3ms\", \"gap\": \"1ms\"}";
    expect_roles(expanding, &rows, (const char *[]){"rrrr.TTTT...", "rrrrrrr..TT.", "rrrrrrrrrr.T", NULL});
    expect_roles("{\"scheme\": \"walk_forward\", \"train\": \"4ms\", \"test\": \"3ms\", \"gap\": \"1ms\", \"folds\": 2, \"rolling\": true}", &rows,
                 (const char *[]){"...rrrr..TT.", "......rrrr.T", NULL});
}

/* Every row is tested exactly once and trained on in every other fold. */
static void check_partition(const weir_split_plan *plan, const weir_split_rows *rows, bool purged) {
    int tested[ROWS] = {0};
    uint8_t role[ROWS];
    for (int f = 0; f < weir_split_plan_folds(plan); f++) {
        weir_fold counts = roles_of(plan, f, role);
        int64_t trained = 0, now = 0;
        for (int64_t r = 0; r < rows->row_count; r++) {
            trained += role[r] == WEIR_ROLE_TRAIN;
            now += role[r] == WEIR_ROLE_TEST;
            tested[r] += role[r] == WEIR_ROLE_TEST;
        }
        assert_int_equal(counts.train_count, trained);
        assert_int_equal(counts.test_count, now);
        assert_true(purged || trained + now == rows->row_count);
    }
    for (int64_t r = 0; r < rows->row_count; r++) assert_int_equal(tested[r], 1);
}

static void every_row_is_tested_once_by_every_k_fold(void **state) {
    (void)state;
    static const char *const schemes[] = {"k_fold\"",
                                          "k_fold\", \"shuffle\": false",
                                          "k_fold\", \"tenants\": \"pooled\"",
                                          "stratified_k_fold\"",
                                          "stratified_k_fold\", \"tenants\": \"pooled\"",
                                          "grouped_k_fold\"",
                                          "purged_k_fold\""};
    static data d;
    for (size_t s = 0; s < sizeof schemes / sizeof *schemes; s++) {
        for (int folds = 2; folds < 9; folds++) {
            char text[200];
            make_data(&d, s * 100 + (size_t)folds, 150 + 17 * folds, 100000);
            snprintf(text, sizeof text, "{\"scheme\": \"%s, \"folds\": %d}", schemes[s], folds);
            weir_split_plan *plan = plan_of(text, &d.rows);
            assert_int_equal(weir_split_plan_folds(plan), folds);
            check_partition(plan, &d.rows, strstr(schemes[s], "purged") != NULL);
            weir_split_plan_free(plan);
        }
    }
}

static void every_class_has_its_share_in_every_fold_within_a_row(void **state) {
    (void)state;
    static data d;
    uint8_t role[ROWS];
    for (int folds = 2; folds < 12; folds++) {
        char text[100];
        make_data(&d, (uint64_t)folds, ROWS, 1000);
        snprintf(text, sizeof text, "{\"scheme\": \"stratified_k_fold\", \"folds\": %d, \"shuffle\": %s}", folds, folds % 2 ? "true" : "false");
        weir_split_plan *plan = plan_of(text, &d.rows);
        for (int f = 0; f < folds; f++) {
            weir_fold counts = roles_of(plan, f, role);
            assert_true(fabs((double)counts.test_count - (double)ROWS / folds) < 1);
            for (int c = 0; c < 5; c++) {
                int all = 0, tested = 0;
                for (int r = 0; r < ROWS; r++) {
                    all += d.label[r] == c;
                    tested += d.label[r] == c && role[r] == WEIR_ROLE_TEST;
                }
                assert_true(fabs(tested - (double)all / folds) < 1);
            }
        }
        weir_split_plan_free(plan);
    }
}

static void no_group_is_in_two_folds_and_folds_are_balanced(void **state) {
    (void)state;
    static data d;
    uint8_t role[ROWS];
    make_data(&d, 5, ROWS, 1000);
    weir_split_plan *plan = plan_of("{\"scheme\": \"grouped_k_fold\", \"folds\": 4}", &d.rows);
    for (int f = 0; f < 4; f++) {
        weir_fold counts = roles_of(plan, f, role);
        assert_true(counts.test_count >= ROWS / 4 - 5 && counts.test_count <= ROWS / 4 + 5);
        for (int a = 0; a < ROWS; a++)
            for (int b = 0; b < a; b++)
                if (d.group[a] == d.group[b]) assert_int_equal(role[a], role[b]);
    }
    weir_split_plan_free(plan);
}

/* Earliest and latest time of a part. */
static bool times_of(const data *d, const uint8_t *role, weir_role part, int64_t *ret_first, int64_t *ret_last) {
    *ret_first = INT64_MAX;
    *ret_last = INT64_MIN;
    for (int64_t r = 0; r < d->rows.row_count; r++) {
        if (role[r] != part) continue;
        if (d->time_us[r] < *ret_first) *ret_first = d->time_us[r];
        if (d->time_us[r] > *ret_last) *ret_last = d->time_us[r];
    }
    return *ret_first <= *ret_last;
}

static void training_ends_a_gap_before_the_test_when_walking_forward(void **state) {
    (void)state;
    static const char *const schemes[] = {
        "walk_forward\", \"folds\": 4, \"gap_rows\": 7",
        "walk_forward\", \"folds\": 4, \"gap_rows\": 3, \"rolling\": true, \"train_rows\": 40",
        "walk_forward\", \"train\": \"20ms\", \"test\": \"10ms\", \"step\": \"5ms\", \"gap\": \"3ms\"",
        "walk_forward\", \"train\": \"20ms\", \"test\": \"10ms\", \"gap\": \"3ms\", \"rolling\": true",
        "time_split\", \"gap\": \"3ms\"",
        "holdout\", \"by_time\": true",
        "time_split\", \"train\": 0.6, \"validation\": 0, \"test\": 0.4, \"gap\": \"3ms\"",
    };
    static data d;
    uint8_t role[ROWS];
    for (size_t s = 0; s < sizeof schemes / sizeof *schemes; s++) {
        for (int64_t range = strstr(schemes[s], "ms\"") ? 90000 : 30; range <= 100000; range *= 10) { /* from many ties to few */
            char text[200];
            snprintf(text, sizeof text, "{\"scheme\": \"%s}", schemes[s]);
            make_data(&d, s, ROWS, range);
            weir_split_plan *plan = plan_of(text, &d.rows);
            int64_t gap = strstr(schemes[s], "\"gap\"") ? 3000 : 0, gap_rows = strstr(schemes[s], "gap_rows\": 7") ? 7 : strstr(schemes[s], "gap_rows") ? 3 : 0;
            for (int f = 0; f < weir_split_plan_folds(plan); f++) {
                int64_t train_first, train_last, test_first, test_last, between = 0;
                (void)roles_of(plan, f, role);
                assert_true(times_of(&d, role, WEIR_ROLE_TRAIN, &train_first, &train_last));
                assert_true(times_of(&d, role, WEIR_ROLE_TEST, &test_first, &test_last));
                assert_true(train_last < test_first - gap);
                for (int r = 0; r < ROWS; r++) between += d.time_us[r] > train_last && d.time_us[r] < test_first;
                assert_true(between >= gap_rows);
                int64_t first, last;
                if (times_of(&d, role, WEIR_ROLE_VALIDATION, &first, &last)) assert_true(train_last < first - gap && last < test_first - gap);
                if (strstr(schemes[s], "rolling") && strstr(schemes[s], "ms\"")) assert_true(train_last - train_first < 20000);
            }
            weir_split_plan_free(plan);
        }
    }
}

/* By brute force over pairs: a row is trained on unless its label's interval meets that of the whole block, or it begins within the embargo. */
static void purging_removes_exactly_what_overlaps(void **state) {
    (void)state;
    static data d;
    uint8_t role[ROWS];
    for (int round = 0; round < 12; round++) {
        int64_t embargo = round % 3 * INT64_C(1000);
        char text[100];
        make_data(&d, (uint64_t)round, ROWS, round % 2 ? 200 : 100000);
        snprintf(text, sizeof text, "{\"scheme\": \"purged_k_fold\", \"folds\": 4, \"embargo\": \"%dms\"}", (int)(round % 2 ? 0 : embargo / 1000));
        if (round % 2) embargo = 0;
        weir_split_plan *plan = plan_of(text, &d.rows);
        for (int f = 0; f < 4; f++) {
            int64_t first, last, known = INT64_MIN;
            (void)roles_of(plan, f, role);
            assert_true(times_of(&d, role, WEIR_ROLE_TEST, &first, &last));
            for (int r = 0; r < ROWS; r++)
                if (role[r] == WEIR_ROLE_TEST && d.label_until_us[r] > known) known = d.label_until_us[r];
            for (int r = 0; r < ROWS; r++) {
                bool in_block = d.time_us[r] >= first && d.time_us[r] <= last;
                assert_int_equal(in_block, role[r] == WEIR_ROLE_TEST); /* contiguous, ties included */
                bool begins_within = d.time_us[r] >= first && d.time_us[r] <= known, ends_within = d.label_until_us[r] >= first && d.label_until_us[r] <= known;
                bool holds = d.time_us[r] < first && d.label_until_us[r] > known, embargoed = d.time_us[r] > known && d.time_us[r] <= known + embargo;
                if (!in_block) assert_int_equal(role[r] == WEIR_ROLE_NONE, begins_within || ends_within || holds || embargoed);
            }
        }
        weir_split_plan_free(plan);
    }
}

static void tenants_are_split_by_themselves(void **state) {
    (void)state;
    static data d;
    uint8_t role[ROWS];
    make_data(&d, 3, ROWS, 100000);
    weir_split_plan *plan = plan_of("{\"scheme\": \"purged_k_fold\", \"folds\": 3, \"tenants\": \"separate\"}", &d.rows);
    assert_int_equal(weir_split_plan_folds(plan), 9);
    for (int f = 0; f < 9; f++) {
        weir_fold fold = roles_of(plan, f, role);
        assert_int_equal(fold.tenant, f / 3 * 7);
        for (int r = 0; r < ROWS; r++)
            if (d.tenant[r] != fold.tenant) assert_int_equal(role[r], WEIR_ROLE_NONE);
    }
    weir_split_plan_free(plan);
    plan = plan_of("{\"scheme\": \"k_fold\", \"folds\": 3, \"tenants\": \"pooled\"}", &d.rows);
    assert_int_equal(weir_split_plan_folds(plan), 3);
    for (int f = 0; f < 3; f++) {
        (void)roles_of(plan, f, role);
        for (uint32_t tenant = 0; tenant <= 14; tenant += 7) {
            int all = 0, tested = 0;
            for (int r = 0; r < ROWS; r++) {
                all += d.tenant[r] == tenant;
                tested += d.tenant[r] == tenant && role[r] == WEIR_ROLE_TEST;
            }
            assert_true(fabs(tested - all / 3.0) < 1);
        }
    }
    weir_split_plan_free(plan);
}

static void the_seed_decides_alone(void **state) {
    (void)state;
    static data d;
    uint8_t first[ROWS], again[ROWS], other[ROWS];
    make_data(&d, 3, ROWS, 100000);
    static const char *const schemes[] = {"holdout", "k_fold", "stratified_k_fold"};
    for (int s = 0; s < 3; s++) {
        char text[100];
        uint8_t *const roles[] = {first, again, other};
        for (int i = 0; i < 3; i++) {
            snprintf(text, sizeof text, "{\"scheme\": \"%s\", \"seed\": %d}", schemes[s], i / 2);
            weir_split_plan *plan = plan_of(text, &d.rows);
            weir_fold fold = roles_of(plan, 0, roles[i]);
            assert_true(s != 0 || (weir_split_plan_folds(plan) == 1 && fold.test_count == 60));
            weir_split_plan_free(plan);
        }
        assert_memory_equal(first, again, ROWS);
        assert_memory_not_equal(first, other, ROWS);
    }
}

static void rows_that_cannot_be_split_are_refused(void **state) {
    (void)state;
    static data d;
    make_data(&d, 1, 4, 1000);
    for (int r = 0; r < 4; r++) d.time_us[r] = d.label_until_us[r] = 77;
    expect_refusal("{\"scheme\": \"k_fold\"}", &d.rows, WEIR_EDATA, "found 4 rows, expected at least 5");
    expect_refusal("{\"scheme\": \"stratified_k_fold\"}", &d.rows, WEIR_EDATA, "found 4 rows, expected at least 5");
    expect_refusal("{\"scheme\": \"walk_forward\"}", &d.rows, WEIR_EDATA, "found 4 rows, expected at least 6");
    expect_refusal("{\"scheme\": \"purged_k_fold\", \"folds\": 2}", &d.rows, WEIR_EDATA, "fold 0 has no rows to test");
    expect_refusal("{\"scheme\": \"time_split\"}", &d.rows, WEIR_EDATA, "has no rows to train on");
    expect_refusal("{\"scheme\": \"holdout\", \"by_time\": true}", &d.rows, WEIR_EDATA, "has no rows to");
    expect_refusal("{\"scheme\": \"walk_forward\", \"folds\": 2}", &d.rows, WEIR_EDATA, "has no rows to train on");
    expect_refusal("{\"scheme\": \"walk_forward\", \"train\": \"1d\", \"test\": \"1d\"}", &d.rows, WEIR_EDATA, "the rows cover 0 days");
    for (int r = 0; r < 4; r++) d.group[r] = 3;
    expect_refusal("{\"scheme\": \"grouped_k_fold\", \"folds\": 2}", &d.rows, WEIR_EDATA, "found 1 groups, expected at least 2");
    d.tenant[2] = 99;
    expect_refusal("{\"scheme\": \"k_fold\", \"folds\": 2, \"tenants\": \"separate\"}", &d.rows, WEIR_EDATA, "has 1 rows, expected at least 2");
    d.label[1] = NAN;
    expect_refusal("{\"scheme\": \"stratified_k_fold\", \"folds\": 2}", &d.rows, WEIR_EDATA, "label of row 1 is nan");
    d.label[1] = 0.5;
    expect_refusal("{\"scheme\": \"stratified_k_fold\", \"folds\": 2}", &d.rows, WEIR_EDATA, "label of row 1 is 0.5");
    d.label_until_us[3] = 76;
    expect_refusal("{\"scheme\": \"purged_k_fold\", \"folds\": 2}", &d.rows, WEIR_EDATA, "label of row 3 is known at 76");
    d.time_us[2] = INT64_MAX;
    expect_refusal("{\"scheme\": \"time_split\"}", &d.rows, WEIR_EDATA, "time of row 2");
    d.time_us[2] = 77 + 2000000;
    expect_refusal("{\"scheme\": \"walk_forward\", \"train\": \"1ms\", \"test\": \"1ms\"}", &d.rows, WEIR_EINVAL, "test windows, expected at most 1000");
    weir_split_rows bare = {.row_count = 4};
    expect_refusal("{\"scheme\": \"grouped_k_fold\"}", &bare, WEIR_EINVAL, "no groups");
    expect_refusal("{\"scheme\": \"stratified_k_fold\"}", &bare, WEIR_EINVAL, "no labels");
    expect_refusal("{\"scheme\": \"holdout\", \"by_time\": true}", &bare, WEIR_EINVAL, "no times");
    expect_refusal("{\"scheme\": \"k_fold\", \"tenants\": \"pooled\"}", &bare, WEIR_EINVAL, "no tenants");
    bare.row_count = 0;
    expect_refusal("{\"scheme\": \"k_fold\"}", &bare, WEIR_EDATA, "there are no rows");
    bare.row_count = 1;
    expect_refusal("{\"scheme\": \"holdout\"}", &bare, WEIR_EDATA, "found 1 rows");
}

static void one_class_is_split_like_rows(void **state) {
    (void)state;
    const double label[4] = {3, 3, 3, 3};
    weir_split_rows rows = {.row_count = 4, .label = label};
    expect_roles("{\"scheme\": \"stratified_k_fold\", \"folds\": 4, \"shuffle\": false}", &rows, (const char *[]){"Trrr", "rTrr", "rrTr", "rrrT", NULL});
}

static void a_fold_that_purging_leaves_without_training_rows_says_so(void **state) {
    (void)state;
    const int64_t time[4] = {1, 2, 3, 4}, until[4] = {9, 9, 9, 9};
    weir_split_rows rows = {.row_count = 4, .time_us = time, .label_until_us = until};
    weir_split_plan *plan = plan_of("{\"scheme\": \"purged_k_fold\", \"folds\": 2}", &rows);
    uint8_t role[4];
    weir_fold fold;
    weir_err err;
    assert_int_equal(weir_split_plan_roles(plan, 0, role, &fold, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "fold 0 has no row to train on"));
    assert_int_equal(fold.test_count, 2);
    weir_split_plan_free(plan);
}

static void settings_that_are_wrong_are_refused_with_their_place(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "$.split: found no object"},
        {"{}", "$.split.scheme: found nothing, expected holdout"},
        {"{\"scheme\": 3}", "$.split.scheme: found no string"},
        {"{\"scheme\": \"kfold\"}", "did you mean \"k_fold\"?"},
        {"{\"scheme\": \"leave one out\"}", "expected holdout, k_fold"},
        {"{\"scheme\": \"k_fold\", \"fold\": 5}", "$.split.fold: unknown key; did you mean \"folds\"?"},
        {"{\"scheme\": \"k_fold\", \"embargo\": \"1d\"}", "$.split.embargo: unknown key"},
        {"{\"scheme\": \"k_fold\", \"folds\": 1}", "$.split.folds: found \"1\", expected a whole number from 2 to 1000"},
        {"{\"scheme\": \"k_fold\", \"folds\": 2.5}", "$.split.folds: found \"2.5\""},
        {"{\"scheme\": \"k_fold\", \"folds\": \"5\"}", "$.split.folds: found \"5\""},
        {"{\"scheme\": \"k_fold\", \"shuffle\": 1}", "$.split.shuffle: found \"1\""},
        {"{\"scheme\": \"purged_k_fold\", \"embargo\": 5}", "$.split.embargo: found \"5\""},
        {"{\"scheme\": \"purged_k_fold\", \"embargo\": \"20000000d\"}", "$.split.embargo: found 1728000000000 seconds"},
        {"{\"scheme\": \"purged_k_fold\", \"tenants\": \"pooled\"}", "$.split.tenants: found \"pooled\", expected"},
        {"{\"scheme\": \"holdout\", \"share\": 0}", "$.split.share: found 0"},
        {"{\"scheme\": \"holdout\", \"by_time\": true, \"tenants\": \"pooled\"}", "$.split.tenants: found \"pooled\" with by_time"},
        {"{\"scheme\": \"time_split\", \"train\": 0.7, \"test\": 0.2}", "add up to 1.1, expected 1"},
        {"{\"scheme\": \"time_split\", \"train\": 0, \"test\": 0.8}", "$.split.train: found 0"},
        {"{\"scheme\": \"time_split\", \"train\": 0.8, \"test\": 0}", "$.split.test: found 0"},
        {"{\"scheme\": \"walk_forward\", \"test\": \"1d\"}", "$.split.train: found nothing"},
        {"{\"scheme\": \"walk_forward\", \"test\": \"0d\", \"train\": \"1d\"}", "$.split.test: found 0"},
        {"{\"scheme\": \"walk_forward\", \"test\": \"1d\", \"train\": \"1d\", \"step\": \"0d\"}", "$.split.step: found 0"},
        {"{\"scheme\": \"walk_forward\", \"test\": \"1d\", \"train\": \"1d\", \"gap_rows\": 3}", "$.split.gap_rows: \"test\" is a duration"},
        {"{\"scheme\": \"walk_forward\", \"gap\": \"1d\"}", "$.split.gap: it needs the duration \"test\""},
        {"{\"scheme\": \"walk_forward\", \"rolling\": true}", "$.split.train_rows: found nothing"},
        {"{\"scheme\": \"walk_forward\", \"train_rows\": 5}", "the window is not rolling"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = cJSON_Parse(cases[i][0]);
        weir_split split = {.folds = 99};
        weir_err err;
        assert_non_null(json);
        assert_int_equal(weir_split_from_json(json, "$.split", &split, &err), WEIR_EINVAL);
        if (!strstr(err.message, cases[i][1])) fail_msg("%s: \"%s\" does not say \"%s\"", cases[i][0], err.message, cases[i][1]);
        assert_int_equal(split.folds, 99);
        cJSON_Delete(json);
    }
}

static void every_scheme_describes_its_settings(void **state) {
    (void)state;
    int count = 0;
    for (const weir_split_scheme *s = weir_split_schemes(); s->name; s++, count++) {
        weir_split split = {0};
        assert_int_equal(weir_conf_defaults(s->settings, &split, NULL), WEIR_OK);
        assert_int_equal(split.scheme, count);
        assert_non_null(s->doc);
    }
    assert_int_equal(count, WEIR_SPLIT_PURGED_K_FOLD + 1);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    static data d;
    make_data(&d, 3, ROWS, 100000);
    static const char *const texts[] = {"{\"scheme\": \"k_fold\", \"folds\": 20}", "{\"scheme\": \"purged_k_fold\", \"folds\": 20}"};
    for (int t = 0; t < 2; t++) {
        weir_split split = read_split(texts[t]);
        weir_allocator before = weir_mem;
        weir_mem.realloc = failing_realloc;
        weir_split_plan *plan = NULL;
        int failures = 0;
        for (;; failures++) {
            allocations_left = failures;
            weir_status status = weir_split_plan_new(&split, &d.rows, &plan, NULL);
            if (status == WEIR_OK || status != WEIR_ENOMEM) break;
        }
        weir_split_plan_free(plan);
        weir_mem = before;
        assert_int_equal(failures, t ? 6 : 7);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_are_as_worked_by_hand),
        cmocka_unit_test(durations_are_half_open_windows_from_the_first_row),
        cmocka_unit_test(every_row_is_tested_once_by_every_k_fold),
        cmocka_unit_test(every_class_has_its_share_in_every_fold_within_a_row),
        cmocka_unit_test(no_group_is_in_two_folds_and_folds_are_balanced),
        cmocka_unit_test(training_ends_a_gap_before_the_test_when_walking_forward),
        cmocka_unit_test(purging_removes_exactly_what_overlaps),
        cmocka_unit_test(tenants_are_split_by_themselves),
        cmocka_unit_test(the_seed_decides_alone),
        cmocka_unit_test(rows_that_cannot_be_split_are_refused),
        cmocka_unit_test(one_class_is_split_like_rows),
        cmocka_unit_test(a_fold_that_purging_leaves_without_training_rows_says_so),
        cmocka_unit_test(settings_that_are_wrong_are_refused_with_their_place),
        cmocka_unit_test(every_scheme_describes_its_settings),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
