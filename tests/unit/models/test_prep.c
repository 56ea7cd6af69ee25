/* Preprocessing chains: hand-worked cases of every step, what serving must never do, and what is said about bad chains and damaged JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../starve.h"
#include "features/operator.h"
#include "models/prep.h"

static const char *const skies[] = {"Rain", "Clear", "Snow", NULL};
static const weir_prep_column columns[] = {{"temp", WEIR_PREP_NUMBER, NULL}, {"wind", WEIR_PREP_NUMBER, NULL}, {"sky", WEIR_PREP_CATEGORY, skies}};
enum { COLUMNS = 3, ROWS = 6, OUTPUTS_MAX = 64 };

static double sky(const char *text) {
    return weir_text_number(text, strlen(text));
}

/* Two entities, alternating; temp has gaps of entity 0 at its first and third row, and of entity 1 at its last. */
typedef struct table {
    double values[ROWS * COLUMNS], label[ROWS];
    int64_t time_us[ROWS];
    uint32_t entity[ROWS];
    weir_prep_rows rows;
} table;

static void table_init(table *t) {
    static const double temp[ROWS] = {NAN, 10, 20, 30, NAN, NAN}, wind[ROWS] = {1, 2, 3, 4, 100, 5};
    static const char *const text[ROWS] = {"Clear", "Rain", "Rain", "Clear", "Clear", NULL};
    *t = (table){.rows = {.row_count = ROWS, .task = WEIR_PREP_BINARY}};
    for (int r = 0; r < ROWS; r++) {
        double *x = t->values + r * COLUMNS;
        x[0] = temp[r];
        x[1] = wind[r];
        x[2] = text[r] ? sky(text[r]) : NAN;
        t->label[r] = r >= 3;
        t->time_us[r] = 1000 * r;
        t->entity[r] = (uint32_t)r % 2;
    }
    t->rows.values = t->values;
    t->rows.time_us = t->time_us;
    t->rows.entity = t->entity;
    t->rows.label = t->label;
}

static weir_status try_fit(const char *spec, const weir_prep_rows *rows, weir_prep **ret_prep, bool *ret_keep, weir_err *err) {
    cJSON *json = cJSON_Parse(spec);
    assert_non_null(json);
    weir_status status = weir_prep_fit(json, "$", columns, COLUMNS, rows, ret_prep, ret_keep, err);
    cJSON_Delete(json);
    return status;
}

static weir_prep *fit(const char *spec, const weir_prep_rows *rows) {
    weir_prep *prep = NULL;
    weir_err err;
    if (try_fit(spec, rows, &prep, NULL, &err) != WEIR_OK) fail_msg("%s: %s", spec, err.message);
    return prep;
}

static weir_buf to_json(const weir_prep *prep) {
    weir_buf json = {0};
    weir_err err;
    if (weir_prep_to_json(prep, &json, &err) != WEIR_OK) fail_msg("%s", err.message);
    return json;
}

static bool same(double a, double b) {
    return isnan(a) ? isnan(b) : !memcmp(&a, &b, sizeof a);
}

/* One row through a fitted chain: names and values of all outputs. */
static void expect_row(const weir_prep *prep, const double *row, int count, const char *const *names, const double *expected) {
    double out[OUTPUTS_MAX];
    assert_int_equal(weir_prep_output_count(prep), count);
    weir_prep_apply(prep, row, 1, out);
    for (int o = 0; o < count; o++) {
        assert_string_equal(weir_prep_output_names(prep)[o], names[o]);
        if (!(isnan(expected[o]) ? isnan(out[o]) : out[o] == expected[o])) fail_msg("%s: %g, expected %g", names[o], out[o], expected[o]);
    }
}

static void no_steps_change_nothing(void **state) {
    (void)state;
    table t;
    table_init(&t);
    weir_prep *prep = fit("[]", &t.rows);
    static const char *const names[] = {"temp", "wind", "sky"};
    expect_row(prep, (double[]){NAN, 2, 7}, 3, names, (double[]){NAN, 2, 7});
    assert_int_equal(weir_prep_input_count(prep), 3);
    assert_string_equal(weir_prep_input_names(prep)[2], "sky");
    weir_prep_free(prep);
    weir_prep_free(NULL);
}

static void gaps_get_what_was_fitted(void **state) {
    (void)state;
    table t;
    table_init(&t);
    static const char *const names[] = {"temp", "temp=<filled>", "wind", "wind=<filled>", "sky"};
    const double row[] = {NAN, 7, NAN};
    weir_prep *prep = fit("[{\"impute\": \"mean\", \"indicator\": true}]", &t.rows);
    expect_row(prep, row, 5, names, (double[]){20, 1, 7, 0, NAN});
    weir_prep_free(prep);
    static const char *const plain[] = {"temp", "wind", "sky"};
    prep = fit("[{\"impute\": \"most_frequent\", \"columns\": [\"sky\"]}, {\"impute\": \"median\"}]", &t.rows);
    expect_row(prep, row, 3, plain, (double[]){20, 7, sky("Clear")});
    weir_prep_free(prep);
    prep = fit("[{\"impute\": \"constant\", \"value\": -1}, {\"impute\": \"constant\", \"text\": \"none\"}]", &t.rows);
    expect_row(prep, row, 3, plain, (double[]){-1, 7, sky("none")});
    weir_prep_free(prep);
}

static void gaps_are_filled_from_the_same_entity_in_time(void **state) {
    (void)state;
    table t;
    double out[ROWS * COLUMNS];
    weir_err err;
    table_init(&t);
    t.values[5 * COLUMNS] = 50; /* entity 1: 10, 30, 50; entity 0: a gap, 20, a gap */
    t.values[3 * COLUMNS] = NAN;
    weir_prep *prep = fit("[{\"impute\": \"forward_fill\"}]", &t.rows);
    assert_int_equal(weir_prep_apply_batch(prep, &t.rows, out, &err), WEIR_OK);
    static const double forward[ROWS] = {20, 10, 20, 10, 20, 50};
    for (int r = 0; r < ROWS; r++) assert_true(out[r * COLUMNS] == forward[r]);
    assert_true(out[5 * COLUMNS + 2] == sky("Clear")); /* its entity's last value */
    weir_prep_free(prep);
    prep = fit("[{\"impute\": \"interpolate\"}]", &t.rows);
    assert_int_equal(weir_prep_apply_batch(prep, &t.rows, out, &err), WEIR_OK);
    static const double line[ROWS] = {20, 10, 20, 30, 20, 50};
    for (int r = 0; r < ROWS; r++) assert_true(out[r * COLUMNS] == line[r]);
    t.rows.time_us = NULL; /* then nothing is known of neighbours */
    assert_int_equal(weir_prep_apply_batch(prep, &t.rows, out, &err), WEIR_OK);
    assert_true(out[3 * COLUMNS] == 20);
    weir_prep_free(prep);
}

static void of_equal_times_the_earlier_row_comes_first(void **state) {
    (void)state;
    table t;
    double out[ROWS * COLUMNS];
    weir_err err;
    table_init(&t);
    for (int r = 0; r < ROWS; r++) t.time_us[r] = r % 2 ? INT64_MAX : INT64_MIN;
    t.rows.entity = NULL;
    weir_prep *prep = fit("[{\"impute\": \"interpolate\"}]", &t.rows);
    assert_int_equal(weir_prep_apply_batch(prep, &t.rows, out, &err), WEIR_OK);
    /* order: 0 2 4 | 1 3 5, values: gap 20 gap | 10 30 gap; the gap of row 4 is at the time of row 2 */
    assert_true(out[0] == 20 && out[4 * COLUMNS] == 20 && out[5 * COLUMNS] == 20);
    weir_prep_free(prep);
}

static void outliers_are_clipped_nulled_marked_or_dropped(void **state) {
    (void)state;
    table t;
    bool keep[ROWS];
    weir_err err;
    table_init(&t);
    /* wind 1 2 3 4 5 100: quartiles 2.25 and 4.75, bounds -1.5 and 8.5 */
    static const char *const names[] = {"temp", "wind", "sky"}, *const marked[] = {"temp", "wind", "wind=<outlier>", "sky"};
    const double row[] = {10, 9, 1};
    weir_prep *prep = fit("[{\"outliers\": \"iqr\", \"columns\": [\"wind\"]}]", &t.rows);
    expect_row(prep, row, 3, names, (double[]){10, 8.5, 1});
    weir_prep_free(prep);
    prep = fit("[{\"outliers\": \"iqr\", \"columns\": [\"wind\"], \"action\": \"null\"}, {\"impute\": \"median\"}]", &t.rows);
    expect_row(prep, row, 3, names, (double[]){10, 3, 1}); /* of 1 2 3 4 5 */
    weir_prep_free(prep);
    prep = fit("[{\"outliers\": \"iqr\", \"columns\": [\"wind\"], \"action\": \"mark\"}]", &t.rows);
    expect_row(prep, row, 4, marked, (double[]){10, 9, 1, 1});
    expect_row(prep, (double[]){10, NAN, 1}, 4, marked, (double[]){10, NAN, 0, 1});
    weir_prep_free(prep);
    prep = NULL;
    assert_int_equal(
        try_fit("[{\"outliers\": \"iqr\", \"columns\": [\"wind\"], \"action\": \"drop_rows\"}, {\"scale\": \"minmax\"}]", &t.rows, &prep, keep, &err), WEIR_OK);
    for (int r = 0; r < ROWS; r++) assert_int_equal(keep[r], r != 4);
    expect_row(prep, row, 3, names, (double[]){0, 2, 1}); /* 1 to 5 become 0 to 1; no row is dropped */
    weir_prep_free(prep);
}

static void categories_become_columns(void **state) {
    (void)state;
    table t;
    table_init(&t);
    static const char *const names[] = {"temp", "wind", "sky=Clear", "sky=Rain", "sky=<other>", "sky=<missing>"};
    weir_prep *prep = fit("[{\"encode\": \"one_hot\", \"missing\": \"own\"}]", &t.rows);
    expect_row(prep, (double[]){1, 2, sky("Rain")}, 6, names, (double[]){1, 2, 0, 1, 0, 0});
    expect_row(prep, (double[]){1, 2, sky("Snow")}, 6, names, (double[]){1, 2, 0, 0, 1, 0}); /* known to the caller, not to the training rows */
    expect_row(prep, (double[]){1, 2, NAN}, 6, names, (double[]){1, 2, 0, 0, 0, 1});
    weir_prep_free(prep);
    prep = fit("[{\"encode\": \"one_hot\", \"max_levels\": 1, \"missing\": \"other\"}]", &t.rows);
    static const char *const few[] = {"temp", "wind", "sky=Clear", "sky=<other>"};
    expect_row(prep, (double[]){1, 2, sky("Rain")}, 4, few, (double[]){1, 2, 0, 1});
    expect_row(prep, (double[]){1, 2, NAN}, 4, few, (double[]){1, 2, 0, 1});
    weir_prep_free(prep);
    static const char *const plain[] = {"temp", "wind", "sky"};
    prep = fit("[{\"encode\": \"ordinal\", \"unseen\": \"none\", \"missing\": \"own\"}]", &t.rows);
    expect_row(prep, (double[]){1, 2, sky("Rain")}, 3, plain, (double[]){1, 2, 1});
    expect_row(prep, (double[]){1, 2, 3}, 3, plain, (double[]){1, 2, NAN});
    expect_row(prep, (double[]){1, 2, NAN}, 3, plain, (double[]){1, 2, 2});
    weir_prep_free(prep);
    /* A text that an imputation brought in is a level with its name. */
    prep = fit("[{\"impute\": \"constant\", \"text\": \"none\"}, {\"encode\": \"one_hot\", \"unseen\": \"none\"}]", &t.rows);
    static const char *const filled[] = {"temp", "wind", "sky=Clear", "sky=Rain", "sky=none"};
    expect_row(prep, (double[]){1, 2, NAN}, 5, filled, (double[]){1, 2, 0, 0, 1});
    weir_prep_free(prep);
}

static void hashing_puts_each_value_into_one_bucket(void **state) {
    (void)state;
    table t;
    double out[OUTPUTS_MAX];
    table_init(&t);
    weir_prep *prep = fit("[{\"encode\": \"hashing\", \"buckets\": 7}]", &t.rows);
    assert_int_equal(weir_prep_output_count(prep), 9);
    assert_string_equal(weir_prep_output_names(prep)[8], "sky=#6");
    for (int i = 0; i < 50; i++) {
        double sum = 0;
        weir_prep_apply(prep, (double[]){0, 0, i}, 1, out);
        for (int b = 2; b < 9; b++) sum += out[b];
        assert_true(sum == 1);
    }
    weir_prep_apply(prep, (double[]){0, 0, NAN}, 1, out);
    for (int b = 2; b < 9; b++) assert_true(out[b] == 0);
    weir_prep_free(prep);
}

/* Says that wind matters most and temp, the wrong way round, a little. */
static weir_status say_importance(void *context, const char *method, const double *values, const double *label, const char *const *names, int64_t row_count,
                                  int column_count, double *ret_importance, weir_err *err) {
    (void)err;
    assert_string_equal(method, context);
    assert_true(row_count == ROWS && column_count == 2 && label[5] == 1 && values[2 * 4 + 1] == 100);
    assert_string_equal(names[0], "temp");
    ret_importance[0] = -0.5;
    ret_importance[1] = 2;
    return WEIR_OK;
}

static void columns_are_selected(void **state) {
    (void)state;
    static const char *const only_wind[] = {"wind", "sky"}, *const only_temp[] = {"temp", "sky"}, *const both[] = {"temp", "wind", "sky"};
    char method[] = "importance", l1[] = "l1";
    const double row[] = {1, 2, 3};
    table t;
    table_init(&t);
    t.rows.importance = say_importance;
    t.rows.importance_context = method;
    weir_prep *prep = fit("[{\"select\": \"importance\", \"k\": 1}]", &t.rows);
    expect_row(prep, row, 2, only_wind, (double[]){2, 3});
    weir_prep_free(prep);
    t.rows.importance_context = l1;
    prep = fit("[{\"select\": \"l1\"}]", &t.rows);
    expect_row(prep, row, 3, both, row);
    weir_prep_free(prep);
    prep = fit("[{\"select\": \"variance\", \"threshold\": 100}]", &t.rows); /* 66.7 and 1303 */
    expect_row(prep, row, 2, only_wind, (double[]){2, 3});
    weir_prep_free(prep);
    prep = fit("[{\"select\": \"correlation\", \"threshold\": 0.9}]", &t.rows); /* 10 20 30 with 2 3 4 */
    expect_row(prep, row, 2, only_temp, (double[]){1, 3});
    weir_prep_free(prep);
    prep = fit("[{\"select\": \"mutual_information\", \"threshold\": 0.5}]", &t.rows); /* ln 2 for wind; temp's bins are 10, 20, 30 and missing */
    weir_buf json = to_json(prep);
    assert_non_null(strstr(json.data, "\"column\": \"wind\", \"value\": \"0.69314718055994"));
    weir_buf_done(&json);
    weir_prep_free(prep);
    prep = fit("[{\"select\": \"relevance\", \"fdr\": 0.2}]", &t.rows); /* wind: U = 9 of 9, p = 0.0809; temp: U = 2 of 2, p = 0.54 */
    expect_row(prep, row, 2, only_wind, (double[]){2, 3});
    weir_prep_free(prep);
}

/* A chain of everything, for what must hold of all steps. */
static const char everything[] =
    "[{\"outliers\": \"iqr\", \"factor\": 3, \"columns\": [\"wind\"], \"action\": \"drop_rows\"}, {\"outliers\": \"zscore\", \"action\": \"mark\", "
    "\"columns\": [\"temp\"]},"
    " {\"impute\": \"mean\", \"indicator\": true, \"columns\": [\"temp\"]}, {\"outliers\": \"zscore\", \"threshold\": 1, \"columns\": [\"wind\"]},"
    " {\"scale\": \"robust\", \"columns\": [\"temp\"]}, {\"scale\": \"minmax\", \"clip\": true, \"columns\": [\"wind\"]}, {\"encode\": \"one_hot\", "
    "\"missing\": \"own\"},"
    " {\"select\": \"correlation\", \"threshold\": 0.99}, {\"select\": \"relevance\", \"fdr\": 1}]";

static void the_same_data_give_the_same_json(void **state) {
    (void)state;
    table t;
    table_init(&t);
    weir_prep *a = fit(everything, &t.rows), *b = fit(everything, &t.rows);
    weir_buf of_a = to_json(a), of_b = to_json(b);
    assert_int_equal(of_a.len, of_b.len);
    assert_memory_equal(of_a.data, of_b.data, of_a.len);
    weir_buf_done(&of_a);
    weir_buf_done(&of_b);
    weir_prep_free(a);
    weir_prep_free(b);
}

static void a_chain_that_was_read_back_is_the_same_to_the_bit(void **state) {
    (void)state;
    table t;
    weir_err err;
    double out[OUTPUTS_MAX], again[OUTPUTS_MAX];
    table_init(&t);
    t.values[1 * COLUMNS] = 10.1;
    t.values[2 * COLUMNS] = 1.0 / 3;
    weir_prep *prep = fit(everything, &t.rows), *read = NULL;
    weir_buf json = to_json(prep);
    cJSON *parsed = cJSON_Parse(json.data);
    char *printed = cJSON_Print(parsed); /* as inside of another document */
    cJSON *twice = cJSON_Parse(printed);
    if (weir_prep_from_json(twice, &read, &err) != WEIR_OK) fail_msg("%s", err.message);
    weir_buf rewritten = to_json(read);
    assert_string_equal(json.data, rewritten.data);
    assert_int_equal(weir_prep_output_count(prep), weir_prep_output_count(read));
    for (int r = 0; r < ROWS; r++) {
        weir_prep_apply(prep, t.values + r * COLUMNS, 1, out);
        weir_prep_apply(read, t.values + r * COLUMNS, 1, again);
        for (int o = 0; o < weir_prep_output_count(prep); o++) {
            assert_true(same(out[o], again[o]));
            assert_string_equal(weir_prep_output_names(prep)[o], weir_prep_output_names(read)[o]);
        }
    }
    weir_buf_done(&rewritten);
    weir_buf_done(&json);
    cJSON_free(printed);
    cJSON_Delete(twice);
    cJSON_Delete(parsed);
    weir_prep_free(read);
    weir_prep_free(prep);
}

static void a_row_gives_the_bits_that_it_gives_among_others(void **state) {
    (void)state;
    table t;
    weir_err err;
    double all[ROWS * OUTPUTS_MAX], batch[ROWS * OUTPUTS_MAX], one[OUTPUTS_MAX];
    table_init(&t);
    weir_prep *prep = fit(everything, &t.rows);
    int count = weir_prep_output_count(prep);
    weir_prep_apply(prep, t.values, ROWS, all);
    assert_int_equal(weir_prep_apply_batch(prep, &t.rows, batch, &err), WEIR_OK);
    for (int r = 0; r < ROWS; r++) {
        weir_prep_apply(prep, t.values + r * COLUMNS, 1, one);
        for (int o = 0; o < count; o++) assert_true(same(one[o], all[r * count + o]) && same(one[o], batch[r * count + o]));
    }
    weir_prep_free(prep);
}

static void rows_that_were_not_given_change_nothing(void **state) {
    (void)state;
    table t;
    table_init(&t);
    t.rows.row_count = ROWS - 1; /* the last row is the future */
    weir_prep *prep = fit(everything, &t.rows);
    weir_buf before = to_json(prep);
    weir_prep_free(prep);
    for (int c = 0; c < COLUMNS; c++) t.values[(ROWS - 1) * COLUMNS + c] = 1e6 + c;
    t.label[ROWS - 1] = 0;
    t.entity[ROWS - 1] = 0;
    t.time_us[ROWS - 1] = 1;
    prep = fit(everything, &t.rows);
    weir_buf after = to_json(prep);
    assert_string_equal(before.data, after.data);
    weir_buf_done(&before);
    weir_buf_done(&after);
    weir_prep_free(prep);
}

static void applying_allocates_nothing_and_survives_any_value(void **state) {
    (void)state;
    static const double hostile[] = {NAN, INFINITY, -INFINITY, 1e308, -1e308, 5e-324, -0.0};
    table t;
    double out[OUTPUTS_MAX];
    table_init(&t);
    weir_prep *prep = fit(everything, &t.rows);
    weir_allocator kept = weir_mem;
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        weir_prep_apply(prep, (double[]){hostile[i], hostile[i], hostile[i]}, 1, out);
        double levels = 0;
        for (int o = 0; o < weir_prep_output_count(prep); o++)
            if (!strncmp(weir_prep_output_names(prep)[o], "sky=", 4)) levels += out[o];
        assert_true(levels <= 1);
    }
    assert_int_equal(allocations_left, 0);
    weir_mem = kept;
    weir_prep_free(prep);
}

static void columns_that_say_nothing_are_left_in_peace(void **state) {
    (void)state;
    static const char *const names[] = {"temp", "wind", "sky"};
    const double row[] = {NAN, 0.1, NAN};
    weir_prep *prep = fit("[{\"impute\": \"mean\"}, {\"outliers\": \"zscore\", \"action\": \"clip\"}, {\"scale\": \"standard\"}, {\"encode\": \"ordinal\"}]",
                          &(weir_prep_rows){.row_count = 1, .values = row}); /* one row, two columns without values */
    expect_row(prep, (double[]){NAN, 0.1, NAN}, 3, names, (double[]){0, 0, NAN});
    expect_row(prep, (double[]){0, 0.1, 5}, 3, names, (double[]){0, 0, 0});
    weir_prep_free(prep);
}

static void what_is_wrong_is_named_with_its_path(void **state) {
    (void)state;
    static const struct {
        const char *spec, *path, *part;
    } cases[] = {
        {"{}", "$", "array"},
        {"[7]", "$[0]", "object"},
        {"[{}]", "$[0]", "nothing"},
        {"[{\"imptue\": \"mean\"}]", "$[0]", "did you mean \"impute\""},
        {"[{\"impute\": \"mean\"}, {\"impute\": \"average\"}]", "$[1].impute", "average"},
        {"[{\"impute\": 3}]", "$[0].impute", "3"},
        {"[{\"impute\": \"mean\", \"scale\": \"robust\"}]", "$[0].scale", "unknown"},
        {"[{\"impute\": \"mean\", \"indicator\": 1}]", "$[0].indicator", "1"},
        {"[{\"impute\": \"mean\", \"value\": 1}]", "$[0].value", "constant"},
        {"[{\"impute\": \"constant\", \"value\": 1, \"text\": \"x\"}]", "$[0].value", "constant"},
        {"[{\"impute\": \"mean\", \"columns\": [\"tmep\"]}]", "$[0].columns[0]", "did you mean \"temp\""},
        {"[{\"impute\": \"mean\", \"columns\": []}]", "$[0].columns", "empty"},
        {"[{\"impute\": \"mean\", \"columns\": \"temp\"}]", "$[0].columns", "temp"},
        {"[{\"impute\": \"mean\", \"columns\": [\"temp\", \"temp\"]}]", "$[0].columns[1]", "twice"},
        {"[{\"impute\": \"mean\", \"columns\": [\"sky\"]}]", "$[0].columns[0]", "is a category here, expected a number"},
        {"[{\"encode\": \"one_hot\"}, {\"scale\": \"standard\", \"columns\": [\"sky\"]}]", "$[1].columns[0]", "a flag"},
        {"[{\"encode\": \"one_hot\", \"columns\": [\"temp\"]}]", "$[0].columns[0]", "a number"},
        {"[{\"encode\": \"one_hot\", \"max_levels\": 0}]", "$[0].max_levels", "0"},
        {"[{\"encode\": \"one_hot\", \"buckets\": 8}]", "$[0].buckets", "hashing"},
        {"[{\"encode\": \"one_hot\", \"unseen\": \"error\"}]", "$[0].unseen", "error"},
        {"[{\"encode\": \"ordinal\", \"unseen\": \"none\", \"missing\": \"other\"}]", "$[0].missing", "other"},
        {"[{\"scale\": \"minmax\", \"min\": 2}]", "$[0].max", "2"},
        {"[{\"scale\": \"robust\", \"clip\": true}]", "$[0].clip", "minmax"},
        {"[{\"outliers\": \"iqr\", \"threshold\": 2}]", "$[0].threshold", "zscore"},
        {"[{\"outliers\": \"iqr\", \"factor\": -1}]", "$[0].factor", "-1"},
        {"[{\"select\": \"mutual_information\"}]", "$[0]", "neither"},
        {"[{\"select\": \"mutual_information\", \"k\": 2, \"threshold\": 1}]", "$[0].threshold", "without"},
        {"[{\"select\": \"correlation\", \"threshold\": 2}]", "$[0].threshold", "2"},
        {"[{\"select\": \"correlation\"}]", "$[0].threshold", "nothing"},
        {"[{\"select\": \"variance\", \"fdr\": 0.1}]", "$[0].fdr", "relevance"},
        {"[{\"select\": \"permutation\", \"k\": 3}]", "$[0].k", "mutual_information"},
        {"[{\"select\": \"permutation\", \"threshold\": 3}]", "$[0].threshold", "\"permutation\""},
        {"[{\"select\": \"permutation\", \"permutations\": 18}]", "$[0].permutations", "found 18, expected at least 19"},
        {"[{\"select\": \"permutation\", \"fdr\": 0.0005}]", "$[0].fdr", "found 0.0005, expected at least 0.001"},
        {"[{\"select\": \"permutation\", \"fdr\": 0, \"permutations\": 9}]", "$[0].fdr", "found 0"},
        {"[{\"select\": \"permutation\", \"rows\": 99}]", "$[0].rows", "99"},
        {"[{\"select\": \"permutation\", \"seed\": -1}]", "$[0].seed", "-1"},
        {"[{\"select\": \"relevance\", \"permutations\": 99}]", "$[0].permutations", "\"permutation\""},
        {"[{\"select\": \"importance\", \"k\": 2, \"seed\": 3}]", "$[0].seed", "\"permutation\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_err err;
        cJSON *spec = cJSON_Parse(cases[i].spec);
        assert_non_null(spec);
        if (weir_prep_check(spec, "$", columns, COLUMNS, &err) != WEIR_EINVAL) fail_msg("case %zu was accepted", i);
        if (strncmp(err.message, cases[i].path, strlen(cases[i].path)) != 0 || !strstr(err.message, cases[i].part))
            fail_msg("case %zu: '%s' lacks '%s' or '%s'", i, err.message, cases[i].path, cases[i].part);
        cJSON_Delete(spec);
    }
}

static void rows_that_cannot_be_fitted_are_refused(void **state) {
    (void)state;
    weir_prep *prep = NULL;
    weir_err err;
    table t;
    table_init(&t);
    t.values[4] = INFINITY;
    assert_int_equal(try_fit("[]", &t.rows, &prep, NULL, &err), WEIR_ENUMERIC);
    assert_non_null(strstr(err.message, "'wind'"));
    table_init(&t);
    t.values[4] = 1e308;
    t.values[7] = -1e308;
    static const char *const steps[] = {"[{\"scale\": \"standard\"}]", "[{\"scale\": \"minmax\"}]", "[{\"outliers\": \"zscore\", \"action\": \"drop_rows\"}]",
                                        "[{\"outliers\": \"zscore\"}]"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(try_fit(steps[i], &t.rows, &prep, NULL, &err), WEIR_ENUMERIC);
        assert_non_null(strstr(err.message, "'wind'"));
    }
    table_init(&t);
    assert_int_equal(try_fit("[{\"select\": \"variance\", \"threshold\": 1e9}, {\"encode\": \"one_hot\"}, {\"select\": \"variance\", \"threshold\": 9}]",
                             &t.rows, &prep, NULL, &err),
                     WEIR_EDATA);
    assert_non_null(strstr(err.message, "no column"));
    assert_int_equal(try_fit("[{\"select\": \"importance\", \"k\": 1}]", &t.rows, &prep, NULL, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "$[0]: found no model"));
    t.label[0] = 2;
    assert_int_equal(try_fit("[{\"select\": \"relevance\"}]", &t.rows, &prep, NULL, &err), WEIR_EDATA);
    for (int r = 0; r < ROWS; r++) t.label[r] = 1;
    assert_int_equal(try_fit("[{\"select\": \"relevance\"}]", &t.rows, &prep, NULL, &err), WEIR_EDATA);
    t.rows.label = NULL;
    assert_int_equal(try_fit("[{\"select\": \"mutual_information\", \"k\": 1}]", &t.rows, &prep, NULL, &err), WEIR_EDATA);
    t.rows.row_count = 0;
    assert_int_equal(try_fit("[]", &t.rows, &prep, NULL, &err), WEIR_EDATA);
    assert_null(prep);
}

static void damaged_json_is_refused(void **state) {
    (void)state;
    static const char good[] =
        "{\"version\": 1, \"steps\": [], \"inputs\": [{\"name\": \"x\", \"kind\": \"category\"}], \"levels\": [{\"values\": [\"1\"], \"texts\": [null]}],"
        " \"nodes\": [{\"name\": \"y\", \"op\": \"other\", \"kind\": \"flag\", \"of\": 0, \"a\": \"0\", \"b\": \"0\", \"levels\": 0}], \"outputs\": [1],"
        " \"evidence\": [{\"step\": 0, \"column\": \"x\", \"value\": \"nan\", \"kept\": true}]}";
    static const struct {
        const char *from, *to;
    } damages[] = {
        {"\"version\": 1", "\"version\": 2"},
        {"\"steps\": []", "\"steps\": 1"},
        {"\"kind\": \"category\"", "\"kind\": \"flag\""},
        {"[\"1\"]", "[\"1e999\"]"},
        {"[\"1\"]", "[\"nan\"]"},
        {"[\"1\"]", "[]"},
        {"[null]", "[1]"},
        {"\"of\": 0", "\"of\": 1"},
        {"\"of\": 0", "\"of\": -1"},
        {"\"of\": 0", "\"of\": 0.5"},
        {"\"op\": \"other\"", "\"op\": \"input\""},
        {"\"op\": \"other\"", "\"op\": \"fill\""},
        {"\"op\": \"other\"", "\"op\": \"evil\""},
        {"\"levels\": 0", "\"levels\": 1"},
        {"\"levels\": 0", "\"levels\": -1"},
        {"\"a\": \"0\"", "\"a\": 0"},
        {"\"a\": \"0\"", "\"a\": \"0x\""},
        {"\"a\": \"0\"", "\"a\": \"\""},
        {"[1]", "[2]"},
        {"[1]", "[]"},
        {"[1]", "[1, 1]"},
        {"\"kept\": true", "\"kept\": 1"},
        {"\"step\": 0", "\"step\": 99"},
        {"\"op\": \"other\", \"kind\": \"flag\", \"of\": 0, \"a\": \"0\", \"b\": \"0\", \"levels\": 0",
         "\"op\": \"scale\", \"kind\": \"flag\", \"of\": 0, \"a\": \"0\", \"b\": \"0\", \"levels\": -1"},
        {"\"op\": \"other\", \"kind\": \"flag\", \"of\": 0, \"a\": \"0\", \"b\": \"0\", \"levels\": 0",
         "\"op\": \"bucket\", \"kind\": \"flag\", \"of\": 0, \"a\": \"1e300\", \"b\": \"0\", \"levels\": -1"},
    };
    weir_prep *prep = NULL;
    weir_err err;
    cJSON *json = cJSON_Parse(good);
    if (weir_prep_from_json(json, &prep, &err) != WEIR_OK) fail_msg("%s", err.message);
    weir_prep_free(prep);
    cJSON_Delete(json);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        char text[2048];
        const char *at = strstr(good, damages[i].from);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, damages[i].to, at + strlen(damages[i].from));
        json = cJSON_Parse(text);
        assert_non_null(json);
        prep = NULL;
        if (weir_prep_from_json(json, &prep, &err) != WEIR_EDATA || prep) fail_msg("damage %zu was accepted", i);
        cJSON_Delete(json);
    }
}

/* Nodes on nodes without end would exhaust the stack of whoever scores. */
static void json_that_is_too_deep_is_refused(void **state) {
    (void)state;
    weir_buf text = {0};
    weir_prep *prep = NULL;
    weir_err err;
    bool ok = weir_buf_printf(&text, "{\"version\": 1, \"steps\": [], \"inputs\": [{\"name\": \"x\", \"kind\": \"number\"}], \"levels\": [], \"nodes\": [");
    for (int i = 0; ok && i < 1000; i++)
        ok = weir_buf_printf(&text, "%s{\"name\": \"x\", \"op\": \"fill\", \"kind\": \"number\", \"of\": %d, \"a\": \"0\", \"b\": \"0\", \"levels\": -1}",
                             i ? "," : "", i);
    assert_true(ok && weir_buf_printf(&text, "], \"outputs\": [1000], \"evidence\": []}"));
    cJSON *json = cJSON_Parse(text.data);
    assert_non_null(json);
    assert_int_equal(weir_prep_from_json(json, &prep, &err), WEIR_ELIMIT);
    cJSON_Delete(json);
    weir_buf_done(&text);
}

static void memory_that_runs_out_is_an_error_wherever_it_does(void **state) {
    (void)state;
    table t;
    double out[ROWS * OUTPUTS_MAX];
    weir_err err;
    table_init(&t);
    cJSON *spec = cJSON_Parse(
        "[{\"impute\": \"interpolate\", \"columns\": [\"temp\"]}, {\"impute\": \"constant\", \"text\": \"none\"}, {\"encode\": \"one_hot\"},"
        " {\"select\": \"mutual_information\", \"k\": 5}, {\"select\": \"correlation\", \"threshold\": 1}, {\"select\": \"relevance\", \"fdr\": 1}]");
    weir_allocator kept = weir_mem;
    weir_mem.realloc = failing_realloc;
    int failures = 0;
    for (int n = 0;; n++) {
        weir_prep *prep = NULL, *read = NULL;
        weir_buf text = {0};
        allocations_left = n;
        weir_status status = weir_prep_fit(spec, "$", columns, COLUMNS, &t.rows, &prep, NULL, &err);
        if (status == WEIR_OK) status = weir_prep_apply_batch(prep, &t.rows, out, &err);
        if (status == WEIR_OK) status = weir_prep_to_json(prep, &text, &err);
        cJSON *json = status == WEIR_OK ? cJSON_Parse(text.data) : NULL;
        if (status == WEIR_OK) status = weir_prep_from_json(json, &read, &err);
        cJSON_Delete(json);
        weir_buf_done(&text);
        weir_prep_free(read);
        weir_prep_free(prep);
        if (status == WEIR_OK) break;
        if (status != WEIR_ENOMEM) fail_msg("allocation %d: %s", n, err.message);
        failures++;
    }
    weir_mem = kept;
    cJSON_Delete(spec);
    assert_true(failures > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_steps_change_nothing),
        cmocka_unit_test(gaps_get_what_was_fitted),
        cmocka_unit_test(gaps_are_filled_from_the_same_entity_in_time),
        cmocka_unit_test(of_equal_times_the_earlier_row_comes_first),
        cmocka_unit_test(outliers_are_clipped_nulled_marked_or_dropped),
        cmocka_unit_test(categories_become_columns),
        cmocka_unit_test(hashing_puts_each_value_into_one_bucket),
        cmocka_unit_test(columns_are_selected),
        cmocka_unit_test(the_same_data_give_the_same_json),
        cmocka_unit_test(a_chain_that_was_read_back_is_the_same_to_the_bit),
        cmocka_unit_test(a_row_gives_the_bits_that_it_gives_among_others),
        cmocka_unit_test(rows_that_were_not_given_change_nothing),
        cmocka_unit_test(applying_allocates_nothing_and_survives_any_value),
        cmocka_unit_test(columns_that_say_nothing_are_left_in_peace),
        cmocka_unit_test(what_is_wrong_is_named_with_its_path),
        cmocka_unit_test(rows_that_cannot_be_fitted_are_refused),
        cmocka_unit_test(damaged_json_is_refused),
        cmocka_unit_test(json_that_is_too_deep_is_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error_wherever_it_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
