/* The report on a training set; what is counted is counted here by hand, the counting itself is tested with the profile. */
#include "fixture.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "../starve.h"
#include "features/operator.h"
#include "models/quality.h"

static const char *const weather_texts[] = {"Clear", "Rain", NULL};

static weir_trainset make_set(const weir_trainset_source *source) {
    weir_trainset set = {0};
    weir_err err;
    if (weir_trainset_make(source, &set, &err)) fail_msg("%s", err.message);
    return set;
}

/* Twelve rows a minute apart but for a gap of 28 minutes; an outlier, two missing values, a constant, a row that is there twice. */
static weir_trainset small_set(void) {
    double rain = weir_text_number("Rain", 4), clear = weir_text_number("Clear", 5);
    const double temp[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 1000, NAN}, wet[] = {clear, rain, rain, clear, clear, rain, rain, rain, rain, rain, NAN, rain},
                 same[] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}, *values[] = {temp, wet, same}, label[] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
                 *targets[] = {label};
    int64_t times[12];
    for (int i = 0; i < 12; i++) times[i] = INT64_C(1700000000000000) + (i < 6 ? i : i + 28) * INT64_C(60000000);
    times[9] = times[8];
    static const char *const names[] = {"no", "yes"}, *const target[] = {"busy"};
    const weir_prep_column columns[] = {{"temp", WEIR_PREP_NUMBER, NULL}, {"weather", WEIR_PREP_CATEGORY, weather_texts}, {"same", WEIR_PREP_NUMBER, NULL}};
    return make_set(&(weir_trainset_source){.row_count = 12,
                                            .column_count = 3,
                                            .columns = columns,
                                            .values = values,
                                            .task = WEIR_TASK_BINARY,
                                            .class_names = names,
                                            .target_names = target,
                                            .targets = targets,
                                            .time_us = times,
                                            .source = "small"});
}

static const cJSON *member(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item) fail_msg("no %s", key);
    return item;
}

static double number(const cJSON *object, const char *key) {
    return cJSON_GetNumberValue(member(object, key));
}

static void everything_is_counted(void **state) {
    (void)state;
    weir_trainset set = small_set();
    cJSON *report = NULL;
    weir_err err;
    if (weir_quality_report(&set, &report, &err)) fail_msg("%s", err.message);
    assert_true(number(report, "rows") == 12 && number(report, "rows_profiled") == 12);
    assert_true(number(report, "missing_cells") == 2 && number(report, "missing_share") == 2.0 / 36);
    assert_int_equal(cJSON_GetArraySize(member(report, "constants")), 1);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(member(report, "constants"), 0)), "same");
    assert_true(number(report, "duplicates") == 1);
    const cJSON *columns = member(report, "columns"), *temp = cJSON_GetArrayItem(columns, 0), *weather = cJSON_GetArrayItem(columns, 1);
    assert_true(number(temp, "missing") == 1 && number(temp, "outliers_iqr") == 1 && number(temp, "outliers_z") == 1); /* (1000 - 95.8) / 299.9 = 3.02 */
    assert_true(number(member(temp, "quantiles"), "0.5") == 6);
    const cJSON *top = cJSON_GetArrayItem(member(weather, "top"), 0);
    assert_string_equal(cJSON_GetStringValue(member(top, "value")), "Rain");
    assert_true(number(top, "count") == 8);
    const cJSON *target = cJSON_GetArrayItem(member(report, "targets"), 0), *yes = cJSON_GetArrayItem(member(target, "classes"), 1);
    assert_string_equal(cJSON_GetStringValue(member(yes, "name")), "yes");
    assert_true(number(yes, "rows") == 2 && number(yes, "share") == 2.0 / 12 && number(target, "imbalance") == 5);
    const cJSON *coverage = member(report, "coverage");
    assert_true(number(coverage, "repeated_times") == 1 && number(coverage, "gaps") == 1 && number(coverage, "step_seconds") == 60);
    cJSON_Delete(report);
    weir_trainset_done(&set);
}

static void numbers_as_targets_have_a_spread(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4}, *values[] = {x}, a[] = {1, 2, 3, 10}, b[] = {5, 5, 5, 5}, *targets[] = {a, b};
    static const char *const names[] = {"a", "b"};
    const weir_prep_column column = {"x", WEIR_PREP_NUMBER, NULL};
    weir_trainset set = make_set(&(weir_trainset_source){.row_count = 4,
                                                         .column_count = 1,
                                                         .columns = &column,
                                                         .values = values,
                                                         .task = WEIR_TASK_REGRESSION,
                                                         .target_count = 2,
                                                         .target_names = names,
                                                         .targets = targets});
    cJSON *report = NULL;
    weir_err err;
    assert_int_equal(weir_quality_report(&set, &report, &err), WEIR_OK);
    const cJSON *first = cJSON_GetArrayItem(member(report, "targets"), 0), *second = cJSON_GetArrayItem(member(report, "targets"), 1);
    assert_true(number(first, "mean") == 4 && fabs(number(first, "deviation") - sqrt(50.0 / 3)) < 1e-12 && number(first, "least") == 1 &&
                number(first, "greatest") == 10);
    assert_true(number(second, "deviation") == 0);
    cJSON_Delete(report);
    weir_trainset_done(&set);
}

/* One more than such a number is the same number, and the range of such numbers is none. */
static void the_largest_numbers_have_a_histogram(void **state) {
    (void)state;
    const double huge[] = {1e308, 1e308, 1e308}, wide[] = {-DBL_MAX, 0, DBL_MAX}, most[] = {DBL_MAX, DBL_MAX, DBL_MAX}, id[] = {1e17, 1e17, 1e17};
    const double *values[] = {huge, wide, most, id}, y[] = {1, 2, 3}, *targets[] = {y};
    static const char *const names[] = {"y"};
    const weir_prep_column columns[] = {
        {"huge", WEIR_PREP_NUMBER, NULL}, {"wide", WEIR_PREP_NUMBER, NULL}, {"most", WEIR_PREP_NUMBER, NULL}, {"id", WEIR_PREP_NUMBER, NULL}};
    weir_trainset set = make_set(&(weir_trainset_source){
        .row_count = 3, .column_count = 4, .columns = columns, .values = values, .task = WEIR_TASK_REGRESSION, .target_names = names, .targets = targets});
    cJSON *report = NULL;
    weir_err err;
    if (weir_quality_report(&set, &report, &err)) fail_msg("%s", err.message);
    for (int c = 0; c < 4; c++) {
        const cJSON *count, *histogram = member(cJSON_GetArrayItem(member(report, "columns"), c), "histogram");
        double sum = 0;
        cJSON_ArrayForEach(count, member(histogram, "counts")) sum += count->valuedouble;
        assert_true(sum == 3);
        assert_true(isfinite(number(histogram, "low")) && isfinite(number(histogram, "high")));
    }
    cJSON_Delete(report);
    weir_trainset_done(&set);
}

static void a_large_set_is_profiled_by_every_nth_row(void **state) {
    (void)state;
    int64_t rows = 2 * WEIR_QUALITY_ROWS_MAX + 1;
    double *x = calloc((size_t)rows, sizeof *x);
    for (int64_t i = 0; i < rows; i++) x[i] = (double)(i % 1000);
    x[1] = NAN; /* in none of the rows that are profiled */
    const double *values[] = {x}, *targets[] = {x + 2};
    static const char *const names[] = {"y"};
    const weir_prep_column column = {"x", WEIR_PREP_NUMBER, NULL};
    weir_trainset set = make_set(&(weir_trainset_source){.row_count = rows - 2,
                                                         .column_count = 1,
                                                         .columns = &column,
                                                         .values = values,
                                                         .task = WEIR_TASK_REGRESSION,
                                                         .target_names = names,
                                                         .targets = targets});
    cJSON *report = NULL;
    weir_err err;
    assert_int_equal(weir_quality_report(&set, &report, &err), WEIR_OK);
    assert_true(number(report, "rows") == (double)rows - 2 && number(report, "rows_profiled") == WEIR_QUALITY_ROWS_MAX);
    assert_true(number(report, "missing_cells") == 1);
    cJSON_Delete(report);
    weir_trainset_done(&set);
    free(x);
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    weir_trainset set = small_set();
    int failures = 0;
    for (int n = 0, done = 0; !done; n += 1 + n / 8) {
        cJSON *report = NULL;
        weir_err err;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_quality_report(&set, &report, &err);
        weir_mem.realloc = real;
        assert_true(!status || status == WEIR_ENOMEM);
        failures += status != WEIR_OK;
        done = !status;
        cJSON_Delete(report);
    }
    assert_true(failures > 10);
    weir_trainset_done(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_counted),
        cmocka_unit_test(numbers_as_targets_have_a_spread),
        cmocka_unit_test(the_largest_numbers_have_a_histogram),
        cmocka_unit_test(a_large_set_is_profiled_by_every_nth_row),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
