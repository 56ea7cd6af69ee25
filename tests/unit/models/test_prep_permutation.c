/* Selection by permutation: what p-values are by hand, how often it is wrong and how often right over simulated data sets, and what may happen on the way. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "models/interrupt.h"
#include "models/prepared.h"
#include "tests/unit/models/fixture.h"
#include "tests/unit/starve.h"

static fixture data;

static cJSON *parsed(const char *text) {
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    return json;
}

/* ---- p-values, by a model that says what it is told to ---- */

enum { FEW = 40, TOLD = 3 };

/* Importances in the order in which they are asked for; what it saw of the labels. */
typedef struct teller {
    const double (*says)[TOLD];
    int calls, stop_at;
    double label_sum, first_label[FEW], last_label[FEW];
    _Atomic bool stop;
} teller;

static weir_status tell(void *context, const char *method, const double *values, const double *label, const char *const *names, int64_t row_count,
                        int column_count, double *ret_importance, weir_err *err) {
    (void)err;
    teller *t = context;
    assert_string_equal(method, "permutation");
    assert_true(row_count == FEW && column_count == TOLD && !strcmp(names[2], "c"));
    t->label_sum = 0;
    for (int r = 0; r < FEW; r++) {
        assert_true(values[r * TOLD] == values[r * TOLD + 1] && values[r * TOLD] == -values[r * TOLD + 2]); /* rows stay together */
        t->label_sum += t->last_label[r] = label[r];
        if (!t->calls) assert_true(label[r] == 10 * values[r * TOLD]); /* the first time labels are those of the rows */
    }
    if (!t->calls) memcpy(t->first_label, label, sizeof t->first_label);
    memcpy(ret_importance, t->says[t->calls], sizeof t->says[0]);
    t->stop = ++t->calls == t->stop_at;
    return WEIR_OK;
}

static weir_status fit_told(const char *chain, teller *t, int labelled, weir_buf *ret_json, weir_err *err) {
    static const weir_prep_column columns[TOLD] = {{"a", WEIR_PREP_NUMBER, NULL}, {"b", WEIR_PREP_NUMBER, NULL}, {"c", WEIR_PREP_NUMBER, NULL}};
    double values[FEW * TOLD + TOLD], label[FEW + 1];
    for (int r = 0; r <= FEW; r++) {
        values[r * TOLD] = values[r * TOLD + 1] = r;
        values[r * TOLD + 2] = -r;
        label[r] = r < labelled ? 10 * r : NAN; /* of the last row nothing is known */
    }
    const weir_prep_rows rows = {
        .row_count = FEW + 1, .values = values, .label = label, .task = WEIR_PREP_REAL, .importance = t ? tell : NULL, .importance_context = t};
    weir_prep *prep = NULL;
    cJSON *spec = parsed(chain);
    weir_status status = weir_prep_fit(spec, "$", columns, TOLD, &rows, &prep, NULL, err);
    if (!status && ret_json) status = weir_prep_to_json(prep, ret_json, err);
    weir_prep_free(prep);
    cJSON_Delete(spec);
    return status;
}

#define NINE "[{\"select\": \"permutation\", \"permutations\": 9, \"fdr\": 0.5}]"

/* Nine times chance: a is beaten by none, b by two and met by one, c is always met. */
static const double said[10][TOLD] = {{5, 1, 0}, {4, 1, 0}, {-9, 2, 0}, {4.9, 3, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, -5, 0}, {0, 0, 0}, {0, 0, 0}};

static void test_p_values_count_what_chance_did_as_well(void **state) {
    (void)state;
    teller t = {.says = said};
    weir_buf json = {0};
    weir_err err;
    if (fit_told(NINE, &t, FEW, &json, &err)) fail_msg("%s", err.message);
    assert_int_equal(t.calls, 10);
    assert_true(t.label_sum == 10.0 * FEW * (FEW - 1) / 2); /* dealt out, not changed */
    assert_memory_not_equal(t.first_label, t.last_label, sizeof t.first_label);
    assert_non_null(strstr(json.data, "\"column\": \"a\", \"value\": \"0.10000000000000001\", \"kept\": true"));
    assert_non_null(strstr(json.data, "\"column\": \"b\", \"value\": \"0.40000000000000002\", \"kept\": false")); /* 2 / 3 of 0.5 is less */
    assert_non_null(strstr(json.data, "\"column\": \"c\", \"value\": \"1\", \"kept\": false"));
    weir_buf_done(&json);
}

static void test_the_seed_decides_what_is_dealt_out(void **state) {
    (void)state;
    teller a = {.says = said}, b = {.says = said}, c = {.says = said};
    weir_err err;
    assert_int_equal(fit_told(NINE, &a, FEW, NULL, &err), WEIR_OK);
    assert_int_equal(fit_told(NINE, &b, FEW, NULL, &err), WEIR_OK);
    assert_int_equal(fit_told("[{\"select\": \"permutation\", \"permutations\": 9, \"fdr\": 0.5, \"seed\": 2}]", &c, FEW, NULL, &err), WEIR_OK);
    assert_memory_equal(a.last_label, b.last_label, sizeof a.last_label);
    assert_memory_not_equal(a.last_label, c.last_label, sizeof a.last_label);
}

static void test_what_cannot_be_judged_is_said(void **state) {
    (void)state;
    static const double infinite[1][TOLD] = {{1, INFINITY, 0}};
    teller t = {.says = infinite};
    weir_err err;
    assert_int_equal(fit_told(NINE, NULL, FEW, NULL, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "$[0]: found no model"));
    assert_int_equal(fit_told(NINE, &t, 29, NULL, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "$[0]: found 29 rows with a label, expected at least 30"));
    assert_int_equal(fit_told(NINE, &t, FEW, NULL, &err), WEIR_ENUMERIC);
    assert_non_null(strstr(err.message, "column 'b'"));
}

static void test_it_stops_when_it_is_asked_to(void **state) {
    (void)state;
    teller t = {.says = said, .stop_at = 3};
    weir_err err;
    weir_interrupt_set(&t.stop);
    weir_status status = fit_told(NINE, &t, FEW, NULL, &err);
    weir_interrupt_set(NULL);
    assert_int_equal(status, WEIR_ETIMEOUT);
    assert_int_equal(t.calls, 3);
}

static void test_without_p_memory(void **state) {
    (void)state;
    weir_allocator before = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int failures = 0;
    for (; status != WEIR_OK; failures++) {
        teller t = {.says = said};
        weir_err err;
        allocations_left = failures;
        weir_mem.realloc = failing_realloc;
        status = fit_told(NINE, &t, FEW, NULL, &err);
        weir_mem = before;
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
    }
    assert_true(failures > 20);
}

/* ---- how often it is wrong, and how often right ---- */

/* Data sets of columns of which the first make the label, and the others depend on each other alone: each is ±0.8 times the one before, and noise. */
enum { WIDTH_MAX = 12 };
typedef struct design {
    int sets, rows, columns, relevant;
    const char *chain;
    double fdr;
    weir_prep_importance importance; /* NULL: the forest of models */
} design;

static double normal(uint64_t *random) {
    return sqrt(-2 * log(uniform(random) + 0x1p-54)) * cos(2 * M_PI * uniform(random));
}

static void draw_set(const design *d, uint64_t seed, double *values, double *label) {
    uint64_t random = seed * 1000003;
    for (int r = 0; r < d->rows; r++) {
        double *x = values + r * d->columns;
        label[r] = normal(&random);
        for (int c = 0; c < d->columns; c++) {
            double own = normal(&random);
            x[c] = c <= d->relevant ? own : (c % 2 ? 0.8 : -0.8) * x[c - 1] + 0.6 * own;
            if (c < d->relevant) label[r] += 0.7 * x[c];
        }
    }
}

/* Gauss's elimination of a [m][m + 1], symmetric and positive definite, so that no row needs to be chosen; the solution ends up in the last column. */
static void solve(double a[WIDTH_MAX + 1][WIDTH_MAX + 2], int m) {
    for (int p = 0; p < m; p++)
        for (int i = 0; i < m; i++) {
            double share = i == p ? 0 : a[i][p] / a[p][p];
            for (int j = p; share != 0 && j <= m; j++) a[i][j] -= share * a[p][j];
        }
    for (int i = 0; i < m; i++) a[i][m] /= a[i][i];
}

/* Least squares on two thirds; on the rest, how much the mean square of errors grows when each row gets the column of the row before it. */
static weir_status by_least_squares(void *context, const char *method, const double *values, const double *label, const char *const *names, int64_t row_count,
                                    int column_count, double *ret_importance, weir_err *err) {
    (void)context, (void)method, (void)names, (void)err;
    double a[WIDTH_MAX + 1][WIDTH_MAX + 2] = {0};
    int n = (int)row_count, m = column_count, fitted = n - n / 3;
    for (int r = 0; r < fitted; r++)
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < m; j++) a[i][j] += values[r * m + i] * values[r * m + j];
            a[i][m] += values[r * m + i] * label[r];
        }
    solve(a, m);
    for (int c = 0; c < m; c++) ret_importance[c] = 0;
    for (int r = fitted; r < n; r++) {
        const double *x = values + r * m, *other = values + (r > fitted ? r - 1 : n - 1) * m;
        double left = label[r];
        for (int c = 0; c < m; c++) left -= a[c][m] * x[c];
        for (int c = 0; c < m; c++) {
            double worse = left + a[c][m] * (x[c] - other[c]);
            ret_importance[c] += (worse * worse - left * left) / (n - fitted);
        }
    }
    return WEIR_OK;
}

static weir_prep *select_columns(const design *d, const cJSON *chain, const double *values, const double *label) {
    static const char *const names[WIDTH_MAX] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"};
    weir_prep_column columns[WIDTH_MAX];
    weir_matrix matrix = {
        .row_count = d->rows, .column_count = d->columns, .values = values, .label = label, .column_names = names, .task = WEIR_TASK_REGRESSION};
    if (!d->importance) {
        weir_prepared prepared;
        weir_err err;
        weir_status status = weir_prepared_make(chain, "$", &matrix, &prepared, &err);
        if (status && !strstr(err.message, "leaves no column")) fail_msg("%s", err.message);
        if (status) return NULL;
        weir_prep *prep = prepared.prep;
        prepared.prep = NULL;
        weir_prepared_done(&prepared);
        return prep;
    }
    for (int c = 0; c < d->columns; c++) columns[c] = (weir_prep_column){.name = names[c]};
    const weir_prep_rows rows = {.row_count = d->rows, .values = values, .label = label, .task = WEIR_PREP_REAL, .importance = d->importance};
    weir_prep *prep = NULL;
    weir_err err;
    weir_status status = weir_prep_fit(chain, "$", columns, d->columns, &rows, &prep, NULL, &err);
    if (status && !strstr(err.message, "leaves no column")) fail_msg("%s", err.message);
    return prep;
}

/* The mean share of irrelevant columns among those that stay must be no more than the bound and three standard errors; ret_power: the share of relevant ones that stay. */
static double simulate(const char *what, const design *d) {
    static double values[400 * WIDTH_MAX], label[400];
    cJSON *chain = parsed(d->chain);
    double sum = 0, squares = 0, power = 0;
    for (int s = 0; s < d->sets; s++) {
        draw_set(d, (uint64_t)s + 1, values, label);
        weir_prep *prep = select_columns(d, chain, values, label);
        int kept = prep ? weir_prep_output_count(prep) : 0, wrong = 0;
        for (int c = 0; c < kept; c++) wrong += atoi(weir_prep_output_names(prep)[c]) >= d->relevant;
        double share = kept ? (double)wrong / kept : 0;
        sum += share;
        squares += share * share;
        if (d->relevant) power += (double)(kept - wrong) / d->relevant / d->sets;
        weir_prep_free(prep);
    }
    double mean = sum / d->sets,
           error = sqrt(fmax(squares / d->sets - mean * mean, d->fdr * (1 - d->fdr)) / d->sets); /* of nothing or all: the binomial error */
    print_message("%s: false discoveries %.4f of those kept, bound %g, %d sets; power %.3f\n", what, mean, d->fdr, d->sets, power);
    assert_true(mean <= d->fdr + 3 * error);
    cJSON_Delete(chain);
    return power;
}

#define AT_A_FIFTH "[{\"select\": \"permutation\", \"fdr\": 0.2, \"permutations\": 79}]"

static void test_false_discoveries_stay_below_the_bound(void **state) {
    (void)state;
    design d = {.sets = 400, .rows = 90, .columns = 12, .relevant = 4, .chain = AT_A_FIFTH, .fdr = 0.2, .importance = by_least_squares};
    assert_true(simulate("least squares, 4 of 12 relevant", &d) > 0.8);
    d.relevant = 0; /* any discovery is false: the bound holds for the share of sets with one */
    simulate("least squares, none of 12 relevant", &d);
}

static void test_false_discoveries_of_the_forest_stay_below_the_bound(void **state) {
    (void)state;
    const design d = {
        .sets = 200, .rows = 150, .columns = 6, .relevant = 2, .chain = "[{\"select\": \"permutation\", \"fdr\": 0.2, \"permutations\": 19}]", .fdr = 0.2};
    assert_true(simulate("forest, 2 of 6 relevant", &d) > 0.9);
}

/* ---- with the forest that models ask ---- */

static void expect_selected(const char *chain, const weir_matrix *matrix, int count, const char *const *names) {
    weir_prepared prepared;
    weir_err err;
    cJSON *spec = parsed(chain);
    if (weir_prepared_make(spec, "$", matrix, &prepared, &err)) fail_msg("%s", err.message);
    assert_int_equal(prepared.matrix.column_count, count);
    for (int c = 0; c < count; c++) assert_string_equal(prepared.matrix.column_names[c], names[c]);
    weir_prepared_done(&prepared);
    cJSON_Delete(spec);
}

#define QUICK "[{\"select\": \"permutation\", \"fdr\": 0.1, \"permutations\": 39, \"rows\": 600}]"

/* Of amount, rate, noise, gaps and constant, the first two make the labels. */
static void test_the_columns_that_make_the_label_stay(void **state) {
    (void)state;
    static const char *const made[] = {"amount", "rate"};
    static const weir_task tasks[] = {WEIR_TASK_BINARY, WEIR_TASK_REGRESSION, WEIR_TASK_MULTICLASS};
    for (int i = 0; i < 3; i++) {
        weir_matrix matrix = fixture_matrix(&data, tasks[i]);
        expect_selected(QUICK, &matrix, 2, made);
    }
}

/* Classes that the drawn rows do not hold, and one with a single row. */
static void test_classes_may_be_rare(void **state) {
    (void)state;
    static const char *const made[] = {"amount", "rate"};
    static double label[ROWS];
    weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_MULTICLASS);
    for (int r = 0; r < ROWS; r++) label[r] = data.label_of_class[r] + 1;
    label[ROWS - 1] = 0;
    matrix.label = label;
    matrix.class_count = CLASSES + 3;
    expect_selected(QUICK, &matrix, 2, made);
    label[ROWS - 1] = 99;
    weir_prepared prepared;
    weir_err err;
    cJSON *spec = parsed("[{\"select\": \"permutation\", \"rows\": 1000000}]");
    assert_int_equal(weir_prepared_make(spec, "$", &matrix, &prepared, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "label 99"));
    cJSON_Delete(spec);
}

/* A label that is high where two columns have the same sign has to do with neither alone: a test of one column at a time finds nothing. */
static void test_columns_that_matter_together_stay(void **state) {
    (void)state;
    enum { N = 600, M = 4 };
    static const char *const names[M] = {"left", "noise", "right", "bell"}, *const together[] = {"left", "right", "bell"};
    static double values[N * M], label[N];
    uint64_t random = 11;
    for (int r = 0; r < N; r++) {
        double *x = values + r * M;
        for (int c = 0; c < M; c++) x[c] = 2 * uniform(&random) - 1;
        label[r] = (x[0] * x[2] > 0) + 2 * x[3] * x[3] + 0.2 * uniform(&random);
    }
    const weir_matrix matrix = {.row_count = N, .column_count = M, .values = values, .label = label, .column_names = names, .task = WEIR_TASK_REGRESSION};
    expect_selected(QUICK, &matrix, 3, together);
    weir_prepared prepared;
    weir_err err;
    cJSON *alone = parsed("[{\"select\": \"relevance\", \"fdr\": 0.1}]");
    assert_int_equal(weir_prepared_make(alone, "$", &matrix, &prepared, &err), WEIR_EDATA); /* leaves no column */
    cJSON_Delete(alone);
}

static void test_without_forest_memory(void **state) {
    (void)state;
    weir_matrix few = fixture_matrix(&data, WEIR_TASK_MULTICLASS);
    few.row_count = 60;
    cJSON *spec = parsed("[{\"select\": \"permutation\", \"fdr\": 1, \"permutations\": 1}]");
    weir_allocator before = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int failures = 0;
    for (; status != WEIR_OK && failures < 5000; failures++) {
        weir_prepared prepared = {0};
        weir_err err;
        allocations_left = failures;
        weir_mem.realloc = failing_realloc;
        status = weir_prepared_make(spec, "$", &few, &prepared, &err);
        weir_mem = before;
        if (status && status != WEIR_ENOMEM) fail_msg("allocation %d: %s", failures, err.message);
        weir_prepared_done(&prepared);
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(failures > 50);
    cJSON_Delete(spec);
}

int main(void) {
    fixture_init(&data);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_p_values_count_what_chance_did_as_well),
        cmocka_unit_test(test_the_seed_decides_what_is_dealt_out),
        cmocka_unit_test(test_what_cannot_be_judged_is_said),
        cmocka_unit_test(test_it_stops_when_it_is_asked_to),
        cmocka_unit_test(test_without_p_memory),
        cmocka_unit_test(test_false_discoveries_stay_below_the_bound),
        cmocka_unit_test(test_false_discoveries_of_the_forest_stay_below_the_bound),
        cmocka_unit_test(test_the_columns_that_make_the_label_stay),
        cmocka_unit_test(test_classes_may_be_rare),
        cmocka_unit_test(test_columns_that_matter_together_stay),
        cmocka_unit_test(test_without_forest_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
