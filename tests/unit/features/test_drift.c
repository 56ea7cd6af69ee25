/* Drift: profiles and their merging, bytes, tests by hand-worked cases, comparisons, what is refused. Values against SciPy: tests/integration/features/test_drift_oracle.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "features/drift_internal.h"
#include "features/operator.h"
#include "tests/unit/starve.h"

/* A 64-bit linear congruential generator (Knuth's MMIX constants): values in [0, 1). */
static double uniform(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*seed >> 11) * 0x1p-53;
}

static weir_drift_profile *new_profile(weir_drift_type type, uint64_t seed) {
    weir_drift_profile *p = weir_drift_profile_new(type, WEIR_DRIFT_FEATURE, seed);
    assert_non_null(p);
    return p;
}

static weir_drift_profile *profile_of(weir_drift_type type, const double *values, int count) {
    weir_drift_profile *p = new_profile(type, 3);
    for (int i = 0; i < count; i++) weir_drift_profile_add(p, values[i]);
    return p;
}

static weir_drift_test tested(weir_drift_type type, weir_drift_statistic statistic, const double *a, int n, const double *b, int m) {
    weir_drift_profile *reference = profile_of(type, a, n), *current = profile_of(type, b, m);
    weir_drift_settings settings = weir_drift_defaults;
    weir_drift_test t;
    weir_err err = {0};
    settings.values_min = 1;
    assert_int_equal(weir_drift_test_columns(reference, current, statistic, &settings, &t, &err), WEIR_OK);
    weir_drift_profile_free(reference);
    weir_drift_profile_free(current);
    return t;
}

/* --- profiles --- */

static void summary_is_as_worked_by_hand(void **state) {
    (void)state;
    const double values[] = {1, -0.0, NAN, 4, 0, 5, INFINITY, 2};
    weir_drift_profile *p = profile_of(WEIR_DRIFT_NUMBER, values, 8);
    weir_drift_summary s = weir_drift_profile_summary(p);
    assert_true(s.count == 8 && s.missing == 2 && s.zeros == 2 && s.min == 0 && s.max == 5 && s.mean == 2 && s.exact && s.sampled == 6);
    assert_float_equal(s.std, sqrt(22.0 / 5), 1e-15);
    assert_true(s.distinct == 5 && s.distinct_error == 0 && s.quantile_error == 0);
    assert_true(weir_drift_profile_quantile(p, 0.5) == 1.5);
    weir_drift_profile_clear(p, 3);
    s = weir_drift_profile_summary(p);
    assert_true(!s.count && isnan(s.min) && isnan(s.mean) && isnan(s.std) && isnan(weir_drift_profile_quantile(p, 0.5)));
    weir_drift_profile_free(p);
}

/* Everything but mean and standard deviation, which differ in rounding. */
static void many_at_once_are_one_after_the_other(void **state) {
    (void)state;
    enum { RECORDS = 9000, COLUMNS = 3 };
    static double rows[RECORDS][COLUMNS];
    static const weir_drift_field fields[COLUMNS] = {{"number", WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE},
                                                     {"flag", WEIR_DRIFT_BOOL, WEIR_DRIFT_FEATURE},
                                                     {"category", WEIR_DRIFT_CATEGORY, WEIR_DRIFT_FEATURE}};
    uint64_t seed = 8;
    for (int i = 0; i < RECORDS; i++) {
        rows[i][0] = i % 40 == 7 ? NAN : i % 40 == 8 ? -0.0 : 100 * uniform(&seed) - 30;
        rows[i][1] = uniform(&seed) < 0.3;
        rows[i][2] = i % 17 ? floor(400 * uniform(&seed) * uniform(&seed)) : INFINITY;
    }
    for (int count = 100; count <= RECORDS; count += count < 2000 ? 300 : 3400) {
        weir_drift_table *one = NULL, *many = NULL;
        weir_err err;
        assert_int_equal(weir_drift_table_new(fields, COLUMNS, 4, &one, &err), WEIR_OK);
        assert_int_equal(weir_drift_table_new(fields, COLUMNS, 4, &many, &err), WEIR_OK);
        for (int i = 0; i < count; i++) weir_drift_table_add(one, rows[i]);
        weir_drift_table_add_block(many, rows[0], count / 2);
        weir_drift_table_add_block(many, rows[count / 2], count - count / 2);
        for (int c = 0; c < COLUMNS; c++) {
            weir_drift_profile *a = weir_drift_table_profile(one, c), *b = weir_drift_table_profile(many, c);
            weir_drift_summary before = weir_drift_profile_summary(a), now = weir_drift_profile_summary(b);
            if (c < 2) {
                assert_float_equal(before.mean, now.mean, 1e-12 * fabs(before.mean));
                assert_float_equal(before.std, now.std, 1e-12 * before.std);
            }
            a->mean = b->mean;
            a->m2 = b->m2;
            assert_int_equal(a->held, b->held);
            memcpy(b->sample + b->held, a->sample + a->held, (size_t)(WEIR_DRIFT_SAMPLE - a->held) * sizeof(*a->sample)); /* nobody reads that */
            assert_memory_equal(a, b, sizeof(*a));
        }
        weir_drift_table_free(one);
        weir_drift_table_free(many);
    }
}

/* p-values by permutation, of the two ways to the same: bits here, values put side by side there. */
static void permutations_are_fair_for_sides_of_any_size(void **state) {
    (void)state;
    static const int sizes[][2] = {{40, 40}, {35, 400}, {400, 35}, {3000, 500}};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        enum { WINDOWS = 200 };
        int n = sizes[s][0], m = sizes[s][1], low = 0, middle = 0;
        uint64_t seed = 77 + s;
        double values[3500];
        for (int w = 0; w < WINDOWS; w++) {
            for (int i = 0; i < n + m; i++) values[i] = i % 3 ? uniform(&seed) : floor(8 * uniform(&seed)) / 8; /* some values are there often */
            double p = tested(WEIR_DRIFT_NUMBER, WEIR_DRIFT_WASSERSTEIN, values, n, values + n, m).p;
            low += p <= 0.1;
            middle += p <= 0.5;
        }
        assert_in_range(low, 6, 37); /* 20 ± 4 standard errors of 4.2 */
        assert_in_range(middle, 72, 128); /* 100 ± 4 × 7.1 */
    }
}

static int by_tag(const void *left, const void *right) {
    const drift_draw *a = left, *b = right;
    return (a->tag > b->tag) - (a->tag < b->tag);
}

static void merging_in_any_order_gives_the_same(void **state) {
    (void)state;
    enum { PARTS = 5, EACH = 3000 };
    weir_drift_profile *parts[PARTS], *forward = new_profile(WEIR_DRIFT_NUMBER, 100), *backward = new_profile(WEIR_DRIFT_NUMBER, 100);
    uint64_t seed = 5;
    for (int k = 0; k < PARTS; k++) {
        parts[k] = new_profile(WEIR_DRIFT_NUMBER, (uint64_t)k);
        for (int i = 0; i < EACH >> k; i++) weir_drift_profile_add(parts[k], i % 50 == 3 ? NAN : exp(4 * uniform(&seed)));
    }
    for (int k = 0; k < PARTS; k++) {
        assert_int_equal(weir_drift_profile_merge(forward, parts[k], NULL), WEIR_OK);
        assert_int_equal(weir_drift_profile_merge(backward, parts[PARTS - 1 - k], NULL), WEIR_OK);
    }
    weir_drift_summary a = weir_drift_profile_summary(forward), b = weir_drift_profile_summary(backward);
    assert_true(a.count == b.count && a.missing == b.missing && a.min == b.min && a.max == b.max && a.sampled == WEIR_DRIFT_SAMPLE && !a.exact);
    assert_float_equal(a.mean, b.mean, 1e-12 * a.mean);
    assert_float_equal(a.std, b.std, 1e-12 * a.std);
    assert_true(a.distinct == b.distinct && weir_drift_profile_quantile(forward, 0.3) == weir_drift_profile_quantile(backward, 0.3));
    qsort(forward->sample, WEIR_DRIFT_SAMPLE, sizeof(drift_draw), by_tag);
    qsort(backward->sample, WEIR_DRIFT_SAMPLE, sizeof(drift_draw), by_tag);
    assert_memory_equal(forward->sample, backward->sample, sizeof(forward->sample));
    for (int k = 0; k < PARTS; k++) weir_drift_profile_free(parts[k]);
    weir_drift_profile_free(forward);
    weir_drift_profile_free(backward);
}

/* Each tenth of a stream has a tenth of the sample: its standard deviation is at most √(4096 · 0.09) = 19. */
static void the_sample_is_uniform(void **state) {
    (void)state;
    weir_drift_profile *p = new_profile(WEIR_DRIFT_NUMBER, 8);
    int tenths[10] = {0};
    for (int i = 0; i < 100000; i++) weir_drift_profile_add(p, i);
    for (int i = 0; i < WEIR_DRIFT_SAMPLE; i++) tenths[(int)p->sample[i].value / 10000]++;
    for (int i = 0; i < 10; i++) assert_in_range(tenths[i], 410 - 80, 410 + 80);
    weir_drift_profile_free(p);
}

static void texts_are_remembered_within_their_bounds(void **state) {
    (void)state;
    weir_drift_profile *p = new_profile(WEIR_DRIFT_CATEGORY, 1);
    char text[WEIR_DRIFT_TEXT_MAX + 1], name[64];
    weir_drift_profile_add_text(p, "grün", strlen("grün"));
    const char *long_text = "a name of thirty bytes, and moä ü";
    weir_drift_profile_add_text(p, long_text, strlen(long_text));
    assert_string_equal(weir_drift_profile_text(p, weir_text_number("grün", 5), text), "grün");
    assert_string_equal(weir_drift_profile_text(p, weir_text_number(long_text, strlen(long_text)), text), "a name of thirty bytes, and mo");
    assert_string_equal(weir_drift_profile_text(p, 17, text), "17");
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "user %d", i);
        weir_drift_profile_add_text(p, name, strlen(name));
    }
    assert_int_equal(p->names, DRIFT_NAMES);
    assert_string_equal(weir_drift_profile_text(p, weir_text_number("user 100", 8), text), "user 100");
    assert_int_equal(weir_drift_profile_summary(p).count, 1002);
    weir_drift_profile_free(p);
}

/* --- bytes --- */

static weir_drift_profile *sized_profile(weir_drift_type type, int count, int distinct) {
    weir_drift_profile *p = new_profile(type, (uint64_t)count);
    uint64_t seed = 77;
    char name[32];
    for (int i = 0; i < count; i++) {
        double v = floor(uniform(&seed) * distinct) - distinct / 3;
        snprintf(name, sizeof(name), "c%g", v);
        if (type == WEIR_DRIFT_CATEGORY)
            weir_drift_profile_add_text(p, name, strlen(name));
        else
            weir_drift_profile_add(p, i % 9 == 4 ? NAN : type == WEIR_DRIFT_BOOL ? v > 0 : v);
    }
    return p;
}

static void bytes_give_the_profile_again(void **state) {
    (void)state;
    static const int sizes[][2] = {{0, 1}, {1, 1}, {100, 50}, {600, 1000}, {3000, 20}, {9000, 100000}};
    for (int type = WEIR_DRIFT_NUMBER; type <= WEIR_DRIFT_CATEGORY; type++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            weir_drift_profile *p = sized_profile((weir_drift_type)type, sizes[i][0], sizes[i][1]), *again = NULL;
            weir_buf bytes = {0}, twice = {0};
            weir_err err = {0};
            assert_true(weir_drift_profile_encode(p, &bytes));
            assert_int_equal(weir_drift_profile_decode(bytes.data, bytes.len, &again, &err), WEIR_OK);
            assert_true(weir_drift_profile_encode(again, &twice));
            assert_int_equal(bytes.len, twice.len);
            assert_memory_equal(bytes.data, twice.data, bytes.len);
            for (int k = 0; k < 5000; k++) {
                weir_drift_profile_add(p, k % 2);
                weir_drift_profile_add(again, k % 2);
            }
            weir_buf_clear(&bytes);
            weir_buf_clear(&twice);
            assert_true(weir_drift_profile_encode(p, &bytes) && weir_drift_profile_encode(again, &twice));
            assert_memory_equal(bytes.data, twice.data, bytes.len);
            weir_buf_done(&bytes);
            weir_buf_done(&twice);
            weir_drift_profile_free(p);
            weir_drift_profile_free(again);
        }
    }
}

static void damaged_bytes_are_refused(void **state) {
    (void)state;
    weir_drift_profile *p = sized_profile(WEIR_DRIFT_NUMBER, 60, 40), *again = NULL;
    weir_drift_table *table = NULL;
    weir_buf bytes = {0};
    weir_err err = {0};
    assert_true(weir_drift_profile_encode(p, &bytes));
    for (size_t len = 0; len < bytes.len; len++) assert_int_equal(weir_drift_profile_decode(bytes.data, len, &again, &err), WEIR_EDATA);
    for (size_t at = 0; at < bytes.len; at++) {
        bytes.data[at] ^= 16;
        assert_int_equal(weir_drift_profile_decode(bytes.data, bytes.len, &again, &err), WEIR_EDATA);
        bytes.data[at] ^= 16;
    }
    assert_int_equal(weir_drift_table_decode(bytes.data, bytes.len, &table, &err), WEIR_EDATA);
    assert_null(again);
    weir_buf_done(&bytes);
    weir_drift_profile_free(p);
}

/* --- statistics --- */

/* D = 3/4 after 3: orders of 4 + 4 that lead so far are 2 · (8 over 1) = 16, less those counted twice (none), of 70. W1: areas 1/4·1 + 1/2·1 + 3/4·7 + 1/2 · 1 + 1/4 · 1. */
static void distances_are_as_worked_by_hand(void **state) {
    (void)state;
    const double a[] = {1, 2, 3, 11}, b[] = {10, 12, 13, 14};
    weir_drift_test t = tested(WEIR_DRIFT_NUMBER, WEIR_DRIFT_KS, a, 4, b, 4);
    assert_float_equal(t.value, 0.75, 1e-15);
    assert_float_equal(t.p, 16.0 / 70, 1e-15);
    t = tested(WEIR_DRIFT_NUMBER, WEIR_DRIFT_WASSERSTEIN, a, 4, b, 4);
    assert_float_equal(t.value, (9 + 10 + 10 + 3) / 4.0, 1e-14);
    assert_true(t.p > 0.02 && t.p < 0.3);
}

/* 10 of 100 against 30 of 100: expected 20 and 80; χ² = 4 · 10² (1/20 + 1/80) / 2 = 12.5. */
static void shares_are_as_worked_by_hand(void **state) {
    (void)state;
    double a[100] = {0}, b[100] = {0};
    for (int i = 0; i < 30; i++) a[i] = i < 10, b[i] = 1;
    weir_drift_test t = tested(WEIR_DRIFT_CATEGORY, WEIR_DRIFT_CHI_SQUARED, a, 100, b, 100);
    assert_float_equal(t.value, 12.5, 1e-12);
    assert_float_equal(t.effect, 0.5, 1e-12);
    assert_float_equal(t.p, erfc(sqrt(12.5 / 2)), 1e-12);
    t = tested(WEIR_DRIFT_BOOL, WEIR_DRIFT_PROPORTION, a, 100, b, 100);
    assert_float_equal(t.value, sqrt(12.5), 1e-12);
    t = tested(WEIR_DRIFT_CATEGORY, WEIR_DRIFT_PSI, a, 100, b, 100);
    assert_float_equal(t.value, 0.2 * log(3) - 0.2 * log(7.0 / 9), 1e-12);
    t = tested(WEIR_DRIFT_NUMBER, WEIR_DRIFT_JENSEN_SHANNON, a, 100, b, 100);
    assert_float_equal(t.value * t.value * 2, 0.1 * log2(0.5) + 0.9 * log2(0.9 / 0.8) + 0.3 * log2(1.5) + 0.7 * log2(0.7 / 0.8), 1e-12);
}

static void columns_without_a_difference_have_p_1(void **state) {
    (void)state;
    double same[40];
    for (int i = 0; i < 40; i++) same[i] = 7;
    for (int k = WEIR_DRIFT_KS; k < WEIR_DRIFT_STATISTICS; k++) {
        for (int type = WEIR_DRIFT_NUMBER; type <= WEIR_DRIFT_CATEGORY; type++) {
            if (!weir_drift_statistic_fits((weir_drift_statistic)k, (weir_drift_type)type)) continue;
            weir_drift_test t = tested((weir_drift_type)type, (weir_drift_statistic)k, same, 40, same, 40);
            assert_true(t.value == 0 && t.p == 1 && t.effect == 0);
        }
    }
}

static void another_constant_is_as_far_as_can_be(void **state) {
    (void)state;
    double a[400], b[400];
    for (int i = 0; i < 400; i++) a[i] = 7, b[i] = 9;
    static const double values[] = {[WEIR_DRIFT_KS] = 1, [WEIR_DRIFT_WASSERSTEIN] = 2, [WEIR_DRIFT_JENSEN_SHANNON] = 1, [WEIR_DRIFT_CHI_SQUARED] = 800};
    for (int k = WEIR_DRIFT_KS; k <= WEIR_DRIFT_CHI_SQUARED; k++) {
        weir_drift_test t = tested(WEIR_DRIFT_NUMBER, (weir_drift_statistic)k, a, 400, b, 400);
        if (k != WEIR_DRIFT_PSI) assert_float_equal(t.value, values[k], 1e-12);
        assert_true(t.p < 1e-50 && t.effect >= t.threshold && isfinite(t.effect));
    }
}

static void the_default_goes_by_type_and_size(void **state) {
    (void)state;
    static double many[3000], few[3000];
    uint64_t seed = 1;
    for (int i = 0; i < 3000; i++) many[i] = uniform(&seed), few[i] = floor(5 * many[i]);
    assert_int_equal(tested(WEIR_DRIFT_NUMBER, WEIR_DRIFT_AUTO, many, 3000, many, 1000).statistic, WEIR_DRIFT_KS);
    assert_int_equal(tested(WEIR_DRIFT_NUMBER, WEIR_DRIFT_AUTO, many, 3000, many, 1001).statistic, WEIR_DRIFT_WASSERSTEIN);
    assert_int_equal(tested(WEIR_DRIFT_NUMBER, WEIR_DRIFT_AUTO, few, 3000, few, 1000).statistic, WEIR_DRIFT_CHI_SQUARED);
    assert_int_equal(tested(WEIR_DRIFT_NUMBER, WEIR_DRIFT_AUTO, few, 3000, few, 1001).statistic, WEIR_DRIFT_JENSEN_SHANNON);
    assert_int_equal(tested(WEIR_DRIFT_NUMBER, WEIR_DRIFT_AUTO, few, 3000, many, 1000).statistic, WEIR_DRIFT_KS);
    assert_int_equal(tested(WEIR_DRIFT_CATEGORY, WEIR_DRIFT_AUTO, many, 3000, many, 3000).statistic, WEIR_DRIFT_JENSEN_SHANNON);
    assert_int_equal(tested(WEIR_DRIFT_BOOL, WEIR_DRIFT_AUTO, few, 3000, few, 3000).statistic, WEIR_DRIFT_PROPORTION);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    weir_drift_profile *number = sized_profile(WEIR_DRIFT_NUMBER, 100, 50), *flag = sized_profile(WEIR_DRIFT_BOOL, 100, 2);
    weir_drift_test t;
    weir_err err;
    assert_int_equal(weir_drift_test_columns(number, flag, WEIR_DRIFT_AUTO, &weir_drift_defaults, &t, &err), WEIR_EINVAL);
    assert_int_equal(weir_drift_test_columns(number, number, WEIR_DRIFT_UNSEEN, &weir_drift_defaults, &t, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "unseen is not for a number"));
    assert_int_equal(weir_drift_profile_merge(number, flag, &err), WEIR_EINVAL);
    weir_drift_settings wrong[7];
    for (int i = 0; i < 7; i++) wrong[i] = weir_drift_defaults;
    wrong[0].alpha = 1;
    wrong[1].threshold[WEIR_DRIFT_KS] = NAN;
    wrong[2].high_share = 0.6;
    wrong[3].values_min = 0;
    wrong[4].bins = 1;
    wrong[5].permutations = 18;
    wrong[6].values_min = 90;
    for (int i = 0; i < 7; i++) assert_int_equal(weir_drift_test_columns(number, number, WEIR_DRIFT_KS, &wrong[i], &t, &err), i < 6 ? WEIR_EINVAL : WEIR_EDATA);
    assert_non_null(strstr(err.message, "89 values in the reference and 89 now, expected at least 90"));
    assert_int_equal(weir_drift_statistic_find("psi"), WEIR_DRIFT_PSI);
    assert_int_equal(weir_drift_statistic_find("missing"), -1);
    weir_drift_profile_free(number);
    weir_drift_profile_free(flag);
}

/* --- tables and comparisons --- */

enum { COLUMNS = 6 };
static const weir_drift_field fields[COLUMNS] = {{"amount", WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE}, {"channel", WEIR_DRIFT_CATEGORY, WEIR_DRIFT_FEATURE},
                                                 {"night", WEIR_DRIFT_BOOL, WEIR_DRIFT_FEATURE},    {"age", WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE},
                                                 {"score", WEIR_DRIFT_NUMBER, WEIR_DRIFT_SCORE},    {"label", WEIR_DRIFT_BOOL, WEIR_DRIFT_LABEL}};

static weir_drift_table *new_table(int count, uint64_t seed) {
    weir_drift_table *t = NULL;
    assert_int_equal(weir_drift_table_new(fields, count, seed, &t, NULL), WEIR_OK);
    return t;
}

/* changed: bits of the columns that drift. */
static weir_drift_table *table_of(int rows, unsigned changed, uint64_t seed) {
    static const char *const channels[] = {"web", "shop", "post", "crypto"};
    weir_drift_table *t = new_table(COLUMNS, seed);
    for (int i = 0; i < rows; i++) {
        double u[COLUMNS];
        for (int k = 0; k < COLUMNS; k++) u[k] = uniform(&seed);
        weir_datum row[COLUMNS] = {weir_f64(u[0] + (changed & 1 ? 0.4 : 0)),    weir_text(channels[changed & 2 && u[1] < 0.06 ? 3 : (int)(3 * u[1])]),
                                   weir_bool(u[2] < (changed & 4 ? 0.4 : 0.1)), u[3] < (changed & 8 ? 0.2 : 0.01) ? weir_null() : weir_f64(u[3]),
                                   weir_f64(changed & 16 ? u[4] * u[4] : u[4]), weir_bool(u[5] < (changed & 32 ? 0.3 : 0.05))};
        weir_drift_table_add_row(t, row);
    }
    return t;
}

static weir_drift_report *compared(unsigned changed, const weir_drift_statistic *statistics) {
    weir_drift_table *reference = table_of(2000, 0, 11), *current = table_of(1500, changed, 12);
    weir_drift_report *report = NULL;
    assert_int_equal(weir_drift_compare(reference, current, statistics, &weir_drift_defaults, &report, NULL), WEIR_OK);
    weir_drift_table_free(reference);
    weir_drift_table_free(current);
    return report;
}

static void severity_follows_the_share_of_features(void **state) {
    (void)state;
    static const struct {
        unsigned changed;
        weir_drift_severity severity;
    } cases[] = {{0, WEIR_DRIFT_NONE}, {1, WEIR_DRIFT_SOME}, {3, WEIR_DRIFT_HIGH}, {7, WEIR_DRIFT_CRITICAL}, {15, WEIR_DRIFT_CRITICAL}, {48, WEIR_DRIFT_NONE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        weir_drift_report *r = compared(cases[i].changed, NULL);
        assert_int_equal(r->severity, cases[i].severity);
        assert_true(r->features == 4 && r->share == __builtin_popcount(cases[i].changed & 15) / 4.0);
        for (int k = 0; k < COLUMNS; k++) assert_true(r->columns[k].tested && r->columns[k].drifted == (cases[i].changed >> k & 1));
        assert_true(r->score_drifted == (cases[i].changed >> 4 & 1) && r->label_drifted == (cases[i].changed >> 5 & 1));
        assert_true(r->reference_records == 2000 && r->current_records == 1500);
        weir_drift_report_free(r);
    }
}

static void reasons_say_what_changed(void **state) {
    (void)state;
    weir_drift_report *r = compared(2 | 8, NULL);
    assert_non_null(strstr(r->columns[1].reason, "of the values are ones that the reference has not: crypto"));
    assert_non_null(strstr(r->columns[3].reason, "are missing, were"));
    assert_string_equal(r->columns[0].reason, "no drift: what differs may be chance");
    weir_drift_report_free(r);
    const weir_drift_statistic chosen[COLUMNS] = {WEIR_DRIFT_PSI, WEIR_DRIFT_CHI_SQUARED,    WEIR_DRIFT_AUTO,
                                                  WEIR_DRIFT_KS,  WEIR_DRIFT_JENSEN_SHANNON, WEIR_DRIFT_AUTO};
    r = compared(1, chosen);
    assert_true(r->columns[0].tests[0].statistic == WEIR_DRIFT_PSI && r->columns[4].tests[0].statistic == WEIR_DRIFT_JENSEN_SHANNON);
    assert_non_null(strstr(r->columns[0].reason, "psi is "));
    assert_non_null(strstr(r->columns[0].reason, "; mean 0."));
    weir_drift_report_free(r);
}

static void columns_that_come_and_go_are_told(void **state) {
    (void)state;
    weir_drift_field other[] = {fields[0], {"new", WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE}};
    weir_drift_table *reference = table_of(100, 0, 1), *current = NULL;
    assert_int_equal(weir_drift_table_new(other, 2, 1, &current, NULL), WEIR_OK);
    weir_drift_report *r = NULL;
    weir_err err = {0};
    assert_int_equal(weir_drift_compare(reference, current, NULL, &weir_drift_defaults, &r, &err), WEIR_OK);
    assert_int_equal(r->column_count, COLUMNS + 1);
    assert_true(!r->columns[0].tested && !r->columns[0].drifted && strstr(r->columns[0].reason, "0 now, expected at least 30"));
    assert_true(r->columns[1].drifted && !strcmp(r->columns[1].reason, "the column is gone"));
    assert_true(!r->columns[COLUMNS].tested && !strcmp(r->columns[COLUMNS].name, "new"));
    assert_true(r->features == 3 && r->share == 1);
    weir_drift_report_free(r);
    weir_drift_table_free(current);
    other[0].type = WEIR_DRIFT_BOOL;
    assert_int_equal(weir_drift_table_new(other, 2, 1, &current, NULL), WEIR_OK);
    assert_int_equal(weir_drift_compare(reference, current, NULL, &weir_drift_defaults, &r, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "column amount is a boolean"));
    const weir_drift_statistic wrong[COLUMNS] = {WEIR_DRIFT_PROPORTION};
    assert_int_equal(weir_drift_compare(reference, reference, wrong, &weir_drift_defaults, &r, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "column amount: proportion is not for a number"));
    const weir_drift_statistic unchosen[COLUMNS] = {WEIR_DRIFT_MISSING};
    assert_int_equal(weir_drift_compare(reference, reference, unchosen, &weir_drift_defaults, &r, &err), WEIR_EINVAL);
    weir_drift_table_free(current);
    weir_drift_table_free(reference);
}

static void a_column_that_is_all_missing_has_drifted(void **state) {
    (void)state;
    weir_drift_table *reference = new_table(1, 1), *current = new_table(1, 2);
    weir_drift_report *r = NULL;
    for (int i = 0; i < 100; i++) {
        weir_drift_table_add(reference, (const double[]){i % 50 ? i : NAN});
        weir_drift_table_add(current, (const double[]){i % 50 || !i ? i : NAN});
    }
    assert_int_equal(weir_drift_compare(reference, current, NULL, &weir_drift_defaults, &r, NULL), WEIR_OK);
    assert_true(!r->columns[0].drifted && r->columns[0].test_count == 2 && r->severity == WEIR_DRIFT_NONE);
    weir_drift_report_free(r);
    weir_drift_table_clear(current, 3);
    for (int i = 0; i < 100; i++) weir_drift_table_add(current, (const double[]){NAN});
    assert_int_equal(weir_drift_compare(reference, current, NULL, &weir_drift_defaults, &r, NULL), WEIR_OK);
    assert_true(r->columns[0].drifted && r->columns[0].test_count == 1 && r->severity == WEIR_DRIFT_CRITICAL);
    assert_string_equal(r->columns[0].reason, "100 % are missing, were 2 %");
    weir_drift_report_free(r);
    weir_drift_table_free(reference);
    weir_drift_table_free(current);
}

static void tables_merge_by_name_and_travel_as_bytes(void **state) {
    (void)state;
    const weir_drift_field turned[] = {fields[1], fields[0]}, twice[] = {fields[0], fields[0]}, nameless[] = {{"", WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE}};
    weir_drift_table *a = new_table(2, 1), *b = NULL, *c = new_table(3, 1), *again = NULL;
    weir_err err;
    assert_int_equal(weir_drift_table_new(turned, 2, 2, &b, NULL), WEIR_OK);
    weir_drift_table_add(a, (const double[]){1, 2});
    weir_drift_table_add(b, (const double[]){2, 3});
    assert_int_equal(weir_drift_table_merge(a, b, NULL), WEIR_OK);
    assert_true(weir_drift_profile_summary(weir_drift_table_profile(a, 0)).mean == 2);
    assert_int_equal(weir_drift_table_merge(a, c, &err), WEIR_EINVAL);
    assert_int_equal(weir_drift_table_new(twice, 2, 1, &again, &err), WEIR_EINVAL);
    assert_int_equal(weir_drift_table_new(nameless, 1, 1, &again, &err), WEIR_EINVAL);
    weir_buf bytes = {0}, json = {0};
    assert_true(weir_drift_table_encode(a, &bytes));
    assert_int_equal(weir_drift_table_decode(bytes.data, bytes.len, &again, &err), WEIR_OK);
    assert_true(weir_drift_table_count(again) == 2 && weir_drift_table_find(again, "channel") == 1);
    assert_int_equal(weir_drift_table_field(again, 1).type, WEIR_DRIFT_CATEGORY);
    assert_int_equal(weir_drift_profile_summary(weir_drift_table_profile(again, 0)).count, 2);
    assert_true(weir_drift_table_json(again, &json));
    assert_non_null(strstr(json.data, "{\"columns\":[{\"name\":\"amount\",\"type\":\"number\",\"role\":\"feature\",\"count\":2,"));
    weir_buf_done(&bytes);
    weir_buf_done(&json);
    weir_drift_table_free(a);
    weir_drift_table_free(b);
    weir_drift_table_free(c);
    weir_drift_table_free(again);
}

static void spreads_are_shares_of_the_same_bins(void **state) {
    (void)state;
    weir_drift_table *a = table_of(3000, 0, 1), *b = table_of(3000, 3, 2);
    weir_drift_spread s;
    for (int k = 0; k < COLUMNS; k++) {
        assert_int_equal(weir_drift_spread_of(&a->profiles[k], &b->profiles[k], 12, &s, NULL), WEIR_OK);
        double before = 0, now = 0;
        for (int i = 0; i < s.count; i++) before += s.reference[i], now += s.current[i];
        assert_true(s.categories == (fields[k].type != WEIR_DRIFT_NUMBER) && s.count == (k == 1 ? 4 : s.categories ? 2 : 12) && !s.rest);
        assert_float_equal(before, 1, 1e-12);
        assert_float_equal(now, 1, 1e-12);
    }
    assert_int_equal(weir_drift_spread_of(&a->profiles[1], &b->profiles[1], 2, &s, NULL), WEIR_OK);
    assert_true(s.rest && s.count == 2);
    weir_drift_table_free(a);
    weir_drift_table_free(b);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    weir_drift_table *a = table_of(200, 0, 1), *b = table_of(200, 3, 2);
    weir_allocator before = weir_mem;
    weir_buf bytes = {0};
    assert_true(weir_drift_table_encode(a, &bytes));
    bool all_succeeded = false;
    for (int allowed = 0; !all_succeeded; allowed++) {
        weir_drift_table *made = NULL, *read = NULL;
        weir_drift_report *report = NULL;
        weir_drift_profile *profile = NULL;
        weir_buf out = {0};
        weir_err err = {0};
        weir_mem.realloc = failing_realloc;
        allocations_left = allowed;
        weir_status status = weir_drift_table_new(fields, COLUMNS, 1, &made, &err);
        if (status == WEIR_OK) status = weir_drift_table_decode(bytes.data, bytes.len, &read, &err);
        if (status == WEIR_OK) status = weir_drift_compare(a, b, NULL, &weir_drift_defaults, &report, &err);
        if (status == WEIR_OK && !weir_drift_report_json(report, &out)) status = WEIR_ENOMEM;
        if (status == WEIR_OK && !weir_drift_table_json(a, &out)) status = WEIR_ENOMEM;
        if (status == WEIR_OK && !weir_drift_profile_encode(&a->profiles[0], &out)) status = WEIR_ENOMEM;
        if (status == WEIR_OK && !(profile = weir_drift_profile_new(WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE, 1))) status = WEIR_ENOMEM;
        all_succeeded = status == WEIR_OK;
        weir_drift_profile_free(profile);
        weir_drift_report_free(report);
        weir_drift_table_free(made);
        weir_drift_table_free(read);
        weir_buf_done(&out);
        weir_mem = before;
        assert_true(all_succeeded || status == WEIR_ENOMEM);
        assert_in_range(allowed, 0, 300);
    }
    weir_buf_done(&bytes);
    weir_drift_table_free(a);
    weir_drift_table_free(b);
}

static void comparisons_share_the_rate(void **state) {
    (void)state;
    assert_true(weir_drift_share_of_rate(0.01, 1) == 0.01);
    assert_true(weir_drift_share_of_rate(0.01, 0) == 0.01); /* nothing is judged */
    assert_true(weir_drift_share_of_rate(0.01, 64) * 64 == 0.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_is_as_worked_by_hand),
        cmocka_unit_test(merging_in_any_order_gives_the_same),
        cmocka_unit_test(many_at_once_are_one_after_the_other),
        cmocka_unit_test(permutations_are_fair_for_sides_of_any_size),
        cmocka_unit_test(the_sample_is_uniform),
        cmocka_unit_test(texts_are_remembered_within_their_bounds),
        cmocka_unit_test(bytes_give_the_profile_again),
        cmocka_unit_test(damaged_bytes_are_refused),
        cmocka_unit_test(distances_are_as_worked_by_hand),
        cmocka_unit_test(shares_are_as_worked_by_hand),
        cmocka_unit_test(columns_without_a_difference_have_p_1),
        cmocka_unit_test(another_constant_is_as_far_as_can_be),
        cmocka_unit_test(the_default_goes_by_type_and_size),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(severity_follows_the_share_of_features),
        cmocka_unit_test(reasons_say_what_changed),
        cmocka_unit_test(columns_that_come_and_go_are_told),
        cmocka_unit_test(a_column_that_is_all_missing_has_drifted),
        cmocka_unit_test(tables_merge_by_name_and_travel_as_bytes),
        cmocka_unit_test(spreads_are_shares_of_the_same_bins),
        cmocka_unit_test(comparisons_share_the_rate),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
