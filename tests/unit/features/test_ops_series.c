/* Series operators: what every operator keeps, hand-worked values, edges. Oracles: tests/integration/features/test_ops_series_oracle.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ops_contract.h"

static const weir_operator *const families[] = {weir_ops_series, weir_ops_dynamics, weir_ops_spectrum};
enum { FAMILIES = sizeof(families) / sizeof(*families), LONG = 3000 };

static const weir_operator *series(const char *name) {
    return operator_of(families, FAMILIES, name);
}

static void every_operator_keeps_the_contract(void **state) {
    (void)state;
    for (int f = 0; f < FAMILIES; f++)
        for (const weir_operator *op = families[f]; op->name; op++) check_contract(op, "");
}

static void names_are_unique(void **state) {
    (void)state;
    const weir_operator *const all[] = {weir_ops_market, weir_ops_indicators, weir_ops_series, weir_ops_dynamics, weir_ops_spectrum};
    const char *names[256];
    int count = 0;
    for (size_t f = 0; f < sizeof(all) / sizeof(*all); f++)
        for (const weir_operator *op = all[f]; op->name; op++) {
            for (int i = 0; i < count; i++) assert_string_not_equal(names[i], op->name);
            names[count++] = op->name;
        }
}

typedef struct worked {
    const char *name, *params;
    double x[8];
    int n;
    double value;
} worked;

static void hand_worked(void **state) {
    (void)state;
    static const worked cases[] = {
        {"abs_energy", "", {3, -4}, 2, 25},
        {"root_mean_square", "", {1, -7}, 2, 5},
        {"absolute_maximum", "", {3, -4, 2}, 3, 4},
        {"mean_n_absolute_max", "k=2", {3, -4, 2}, 3, 3.5},
        {"mean_n_absolute_max", "k=4", {3, -4, 2}, 3, NAN},
        {"crest_factor", "", {1, -7}, 2, 1.4},
        {"crest_factor", "", {0, 0}, 2, NAN},
        {"impulse_factor", "", {1, -3}, 2, 1.5},
        {"absolute_sum_of_changes", "", {1, 4, 2}, 3, 5},
        {"absolute_sum_of_changes", "", {1}, 1, 0},
        {"mean_abs_change", "", {1, 4, 2}, 3, 2.5},
        {"mean_change", "", {1, 4, 2}, 3, 0.5},
        {"mean_change", "", {1}, 1, NAN},
        {"mean_second_derivative_central", "", {1, 4, 2}, 3, -2.5},
        {"mean_second_derivative_central", "", {1, 4}, 2, NAN},
        {"cid_ce", "normalize=no", {0, 3, -1}, 3, 5},
        {"cid_ce", "", {1, 3}, 2, 2},
        {"cid_ce", "", {3, 3}, 2, 0},
        {"change_quantiles", "low=0 high=0.75 absolute=no", {1, 3, 2, 9, 1}, 5, 0.5},
        {"change_quantiles", "low=0 high=0.25 absolute=no", {1, 9, 2, 8, 3}, 5, 0},
        {"change_quantiles", "output=variance", {1, 2, 4}, 3, 0.25},
        {"variation_coefficient", "", {1, 3}, 2, 0.5},
        {"variation_coefficient", "", {-1, 1}, 2, NAN},
        {"skewness", "", {1, 2, 3}, 3, 0},
        {"skewness", "", {0, 0, 3}, 3, 1.7320508075688772},
        {"skewness", "", {2, 2, 2}, 3, NAN},
        {"kurtosis", "", {0, 0, 0, 1}, 4, 4},
        {"kurtosis", "", {0, 0, 1}, 3, NAN},
        {"ratio_beyond_r_sigma", "r=1", {0, 0, 0, 4}, 4, 0.25},
        {"symmetry_looking", "", {1, 2, 3}, 3, 1},
        {"symmetry_looking", "r=0.1", {0, 0, 9}, 3, 0},
        {"large_standard_deviation", "r=0.4", {0, 2}, 2, 1},
        {"large_standard_deviation", "r=0.5", {0, 2}, 2, 0},
        {"count_above_mean", "", {1, 2, 3, 10}, 4, 1},
        {"count_below_mean", "", {1, 2, 3, 10}, 4, 3},
        {"longest_strike_above_mean", "", {5, 6, 0, 5, 0, 0}, 6, 2},
        {"longest_strike_below_mean", "", {0, 0, 5, 0, 0, 0}, 6, 3},
        {"number_crossing", "m=1", {0, 2, 1, 3, 3}, 5, 3},
        {"zero_crossing_rate", "", {-1, 1, -1, -2, 4}, 5, 0.75},
        {"number_peaks", "", {0, 2, 1, 3, 3, 0}, 6, 1},
        {"number_peaks", "support=2", {0, 1, 5, 1, 2}, 5, 1},
        {"number_peaks", "support=3", {0, 1, 5, 1, 2}, 5, 0},
        {"first_location_of_maximum", "", {1, 5, 5, 0}, 4, 0.25},
        {"last_location_of_maximum", "", {1, 5, 5, 0}, 4, 0.75},
        {"first_location_of_minimum", "", {1, 0, 0, 4}, 4, 0.25},
        {"last_location_of_minimum", "", {1, 0, 0, 4}, 4, 0.75},
        {"index_mass_quantile", "q=0.5", {1, 1, 0, -8}, 4, 1},
        {"index_mass_quantile", "q=0.2", {1, 1, 0, -8}, 4, 0.5},
        {"energy_ratio_by_chunks", "segments=2 segment=0", {1, 1, 2}, 3, 1.0 / 3},
        {"energy_ratio_by_chunks", "segments=5 segment=4", {1, 1, 2}, 3, 0},
        {"has_duplicate", "", {1, 2, 1}, 3, 1},
        {"has_duplicate", "", {1, 2, 3}, 3, 0},
        {"has_duplicate_max", "", {1, 2, 2}, 3, 1},
        {"has_duplicate_max", "", {1, 1, 2}, 3, 0},
        {"has_duplicate_min", "", {1, 1, 2}, 3, 1},
        {"has_duplicate_min", "", {1, 2, 2}, 3, 0},
        {"reoccurring_values_ratio", "", {1, 1, 2, 3}, 4, 1.0 / 3},
        {"reoccurring_records_ratio", "", {1, 1, 2, 3}, 4, 0.5},
        {"sum_of_reoccurring_values", "", {4, 4, 4, 3}, 4, 4},
        {"sum_of_reoccurring_data_points", "", {4, 4, 4, 3}, 4, 12},
        {"distinct_ratio", "", {4, 4, 4, 3}, 4, 0.5},
        {"benford_correlation", "", {0, 0}, 2, NAN},
        {"autocorrelation", "lag=2", {1, -1, 1, -1}, 4, 1},
        {"autocorrelation", "lag=1", {1, -1, 1, -1}, 4, -1},
        {"autocorrelation", "lag=4", {1, -1, 1, -1}, 4, NAN},
        {"autocorrelation", "", {0.1, 0.1, 0.1}, 3, NAN},
        {"partial_autocorrelation", "lag=2", {1, 2, 0, 3}, 4, NAN},
        {"c3", "", {1, 2, 3, 4}, 4, 15},
        {"c3", "lag=2", {1, 2, 3, 4}, 4, NAN},
        {"time_reversal_asymmetry", "", {1, 2, 3}, 3, 16},
        {"linear_trend", "", {1, 3, 5}, 3, 2},
        {"linear_trend", "output=intercept", {1, 3, 5}, 3, 1},
        {"linear_trend", "output=r", {1, 3, 5}, 3, 1},
        {"linear_trend", "output=stderr", {0, 1, 0}, 3, 0.5773502691896258},
        {"linear_trend", "output=r", {2, 2, 2}, 3, NAN},
        {"linear_trend", "", {2}, 1, NAN},
        {"linear_trend", "output=stderr", {2, 5}, 2, 0},
        {"linear_trend", "against=time", {1, 3, 5}, 3, 2},
        {"binned_entropy", "max_bins=2", {0, 1, 2, 2}, 4, 0.5623351446188083},
        {"binned_entropy", "max_bins=2", {3, 3}, 2, 0},
        {"permutation_entropy", "dimension=2", {1, 2, 1}, 3, 0.6931471805599453},
        {"permutation_entropy", "", {1, 2, 3, 4}, 4, 0},
        {"permutation_entropy", "", {1, 2}, 2, NAN},
        {"sample_entropy", "m=1 r=0.1", {1, 2, 1, 2, 1}, 5, 0.6931471805599453}, /* 4 pairs of one value, 2 of two: ... (1 2) (2 1) (1 2) (2 1) */
        {"sample_entropy", "", {1, 2, 3}, 3, NAN},
        {"sample_entropy", "templates=equal", {5, 5, 5, 5, 5}, 5, 0},
        {"approximate_entropy", "", {5, 5, 5, 5, 5}, 5, 0},
        {"fft_coefficient", "k=0", {1, 2, 4}, 3, 7},
        {"fft_coefficient", "k=1 output=real", {1, 2, 3, 5}, 4, -2},
        {"fft_coefficient", "k=1 output=imag", {1, 2, 3, 5}, 4, 3},
        {"fft_coefficient", "k=1 output=angle", {0, 1, 0, 0}, 4, -90},
        {"fft_coefficient", "k=2", {1, 2, 4}, 3, NAN},
        {"fft_aggregated", "", {1, -1, 1, -1}, 4, 2},
        {"dominant_frequency", "", {1, 0, -1, 0}, 4, 0.25},
        {"dominant_frequency", "", {7, 7}, 2, NAN},
        {"spectral_centroid", "", {1, -1, 1, -1}, 4, 0.5},
        {"spectral_energy_share", "low=0.3", {1, -1, 1, -1}, 4, 1},
        {"spectral_energy_share", "high=0.3", {1, -1, 1, -1}, 4, 0},
        {"spectral_entropy", "", {1, 0, -1, 0}, 4, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char label[96];
        snprintf(label, sizeof(label), "%s %s (case %zu)", cases[i].name, cases[i].params, i);
        assert_close(label, value_of_one(series(cases[i].name), cases[i].params, cases[i].x, cases[i].n), cases[i].value);
    }
}

/* 0.1 a hundred times adds up to something that is not 10: it must still count as equal values. */
static void equal_values_have_no_spread(void **state) {
    (void)state;
    double x[100];
    for (int i = 0; i < 100; i++) x[i] = 0.1;
    assert_close("autocorrelation", value_of_one(series("autocorrelation"), "", x, 100), NONE);
    assert_close("partial_autocorrelation", value_of_one(series("partial_autocorrelation"), "", x, 100), NONE);
    assert_close("variation_coefficient", value_of_one(series("variation_coefficient"), "", x, 100), 0);
    assert_close("skewness", value_of_one(series("skewness"), "", x, 100), NONE);
    assert_close("linear_trend", value_of_one(series("linear_trend"), "", x, 100), 0);
    assert_close("count_above_mean", value_of_one(series("count_above_mean"), "", x, 100), 0);
    assert_close("spectral_centroid", value_of_one(series("spectral_centroid"), "", x, 100), NONE);
}

/* First digits of the powers of 2 follow the law; 0.3 and 3e-300 start with a 3. */
static void first_digits_are_decimal(void **state) {
    (void)state;
    double powers[1000], threes[3] = {0.3, 3e-300, -3e300}, share[9] = {0}, xx = 0;
    for (int i = 0; i < 1000; i++) powers[i] = ldexp(1, i - 500);
    assert_true(value_of_one(series("benford_correlation"), "", powers, 1000) > 0.9999);
    share[2] = 1; /* correlation with a single digit: its own deviation against the length of all */
    for (int d = 0; d < 9; d++) xx += pow(log10(1 + 1.0 / (d + 1)) - 1.0 / 9, 2);
    double expected = 0;
    for (int d = 0; d < 9; d++) expected += (share[d] - 1.0 / 9) * (log10(1 + 1.0 / (d + 1)) - 1.0 / 9);
    assert_close("benford_correlation", value_of_one(series("benford_correlation"), "", threes, 3), expected / sqrt(xx * 8 / 9));
}

static void long_series_are_cut_to_their_newest_values(void **state) {
    (void)state;
    const char *const names[] = {"sample_entropy", "approximate_entropy", "spectral_centroid", "fft_aggregated"};
    double *x = malloc(LONG * sizeof(*x));
    for (int i = 0; i < LONG; i++) x[i] = i < LONG - 2048 ? 1e9 * i : sin(i * 0.3) + i % 7;
    for (int i = 0; i < 4; i++) {
        const weir_operator *op = series(names[i]);
        assert_close(names[i], value_of_one(op, "", x, LONG), value_of_one(op, "", x + LONG - 2048, 2048));
    }
    free(x);
}

/* A pure tone is found at its frequency whatever factors n has: 1 to 130, primes among them. */
static void tones_are_found(void **state) {
    (void)state;
    for (int n = 3; n <= 130; n++)
        for (int k = 1; 2 * k < n; k += 3) {
            double x[130];
            for (int i = 0; i < n; i++) x[i] = 5 + cos(2 * M_PI * k * i / n + 1);
            assert_close("dominant_frequency", value_of_one(series("dominant_frequency"), "", x, n), (double)k / n);
            assert_close("spectral_entropy", value_of_one(series("spectral_entropy"), "", x, n), 0);
        }
}

static void parameters_that_contradict_are_refused(void **state) {
    (void)state;
    weir_params band = {.value = {0.4, 0.2}}, segment = {.value = {3, 3}}, corridor = {.value = {0.5, 0.5}};
    assert_non_null(series("spectral_energy_share")->prepare(&band));
    assert_non_null(series("energy_ratio_by_chunks")->prepare(&segment));
    assert_non_null(series("change_quantiles")->prepare(&corridor));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_keeps_the_contract),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(hand_worked),
        cmocka_unit_test(equal_values_have_no_spread),
        cmocka_unit_test(first_digits_are_decimal),
        cmocka_unit_test(long_series_are_cut_to_their_newest_values),
        cmocka_unit_test(tones_are_found),
        cmocka_unit_test(parameters_that_contradict_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
