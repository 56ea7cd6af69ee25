/* Characteristics of a series of values: size, change, moments, counts and runs, places, repeats. Nulls are skipped: what is said of neighbours is said of values that follow
 * each other when nulls are left out. Those that look at dependence in time stand in ops_dynamics.c, at frequencies in ops_spectrum.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "features/ops_window.h"
#include "features/sort.h"

#define TSFRESH "tsfresh 0.21, function of the same name"
#define NULL_WHEN_EMPTY "nulls are skipped; null without a value"
#define NULL_BELOW_TWO "nulls are skipped; null with fewer than 2 values"

/* Size. */

static double abs_energy(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    double sum = 0;
    for (int i = 0; i < n; i++) sum += window->scratch[i] * window->scratch[i];
    return n ? sum : NAN;
}

static double root_mean_square(const weir_window *window, const weir_params *params) {
    double energy = abs_energy(window, params);
    return isnan(energy) ? NAN : sqrt(energy / weir_window_values(window, 0));
}

/* The values' magnitudes in scratch: how many. */
static int magnitudes_of(const weir_window *window) {
    int n = weir_window_values(window, 0);
    for (int i = 0; i < n; i++) window->scratch[i] = fabs(window->scratch[i]);
    return n;
}

static double largest(const double *x, int n) {
    double most = x[0];
    for (int i = 1; i < n; i++) most = fmax(most, x[i]);
    return most;
}

static double absolute_maximum(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = magnitudes_of(window);
    return n ? largest(window->scratch, n) : NAN;
}

static const weir_param_def largest_params[] = {{"k", WEIR_PARAM_WHOLE, .required = true, .min = 1, .max = 65536, .doc = "magnitudes that are averaged"},
                                                {NULL}};

static double mean_n_absolute_max(const weir_window *window, const weir_params *params) {
    int n = magnitudes_of(window), k = (int)params->value[0];
    double sum = 0;
    if (n < k) return NAN;
    weir_sort(window->scratch, n);
    for (int i = n - k; i < n; i++) sum += window->scratch[i];
    return sum / k;
}

static double crest_factor(const weir_window *window, const weir_params *params) {
    double rms = root_mean_square(window, params);
    return rms > 0 ? absolute_maximum(window, params) / rms : NAN;
}

static double impulse_factor(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = magnitudes_of(window);
    double sum = 0;
    for (int i = 0; i < n; i++) sum += window->scratch[i];
    return sum > 0 ? largest(window->scratch, n) / (sum / n) : NAN;
}

/* Change. */

static double sum_of_changes(const double *x, int n) {
    double sum = 0;
    for (int i = 1; i < n; i++) sum += fabs(x[i] - x[i - 1]);
    return sum;
}

static double absolute_sum_of_changes(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    return n ? sum_of_changes(window->scratch, n) : NAN;
}

static double mean_abs_change(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    return n > 1 ? sum_of_changes(window->scratch, n) / (n - 1) : NAN;
}

static double mean_change(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    return n > 1 ? (window->scratch[n - 1] - window->scratch[0]) / (n - 1) : NAN;
}

static double mean_second_derivative_central(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    const double *x = window->scratch;
    return n > 2 ? (x[n - 1] - x[n - 2] - x[1] + x[0]) / (2.0 * (n - 2)) : NAN;
}

static const char *const no_yes[] = {"no", "yes", NULL};
static const weir_param_def cid_params[] = {
    {"normalize", WEIR_PARAM_CHOICE, .fallback = 1, .choices = no_yes, .doc = "yes: of the values in standard deviations"}, {NULL}};

static double cid_ce(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0);
    const double *x = window->scratch;
    double sum = 0, variance = 1;
    if (n == 0) return NAN;
    if (params->value[0] == 1) variance = weir_moments_of(x, n).m2 / n;
    if (variance == 0) return 0;
    for (int i = 1; i < n; i++) sum += (x[i] - x[i - 1]) * (x[i] - x[i - 1]);
    return sqrt(sum / variance);
}

static double interpolated(const double *sorted, int n, double q) {
    double place = q * (n - 1);
    int below = (int)place;
    return below + 1 < n ? sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]) : sorted[n - 1];
}

typedef enum change_statistic { CHANGE_MEAN, CHANGE_VARIANCE } change_statistic;
static const char *const change_statistics[] = {"mean", "variance", NULL};
static const weir_param_def corridor_params[] = {
    {"low", WEIR_PARAM_NUMBER, .fallback = 0, .min = 0, .max = 1, .doc = "quantile of the corridor's lower edge"},
    {"high", WEIR_PARAM_NUMBER, .fallback = 1, .min = 0, .max = 1, .doc = "quantile of the corridor's upper edge, above low"},
    {"absolute", WEIR_PARAM_CHOICE, .fallback = 1, .choices = no_yes, .doc = "yes: of the changes' magnitudes"},
    {"output", WEIR_PARAM_CHOICE, .fallback = CHANGE_MEAN, .choices = change_statistics, .doc = "of the changes"},
    {NULL}};
static const char *corridor_prepare(weir_params *params) {
    return params->value[0] < params->value[1] ? NULL : "low must be below high";
}

static double change_quantiles(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), changes = 0;
    double *x = window->scratch, *sorted = window->scratch + window->count;
    if (n < 2) return NAN;
    memcpy(sorted, x, (size_t)n * sizeof(*x));
    weir_sort(sorted, n);
    double low = interpolated(sorted, n, params->value[0]), high = interpolated(sorted, n, params->value[1]);
    for (int i = 1; i < n; i++) {
        if (x[i - 1] < low || x[i - 1] > high || x[i] < low || x[i] > high) continue;
        double change = x[i] - x[i - 1];
        sorted[changes++] = params->value[2] == 1 ? fabs(change) : change;
    }
    if (changes == 0) return 0;
    weir_moments m = weir_moments_of(sorted, changes);
    return params->value[3] == CHANGE_MEAN ? m.mean : m.m2 / changes;
}

/* Moments. */

static double variation_coefficient(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    if (n == 0) return NAN;
    weir_moments m = weir_moments_of(window->scratch, n);
    return m.mean != 0 ? sqrt(m.m2 / n) / m.mean : NAN;
}

static double skewness(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    if (n < 3) return NAN;
    weir_moments m = weir_moments_of(window->scratch, n);
    return m.m2 > 0 ? n * sqrt(n - 1.0) / (n - 2) * m.m3 / pow(m.m2, 1.5) : NAN;
}

static double kurtosis(const weir_window *window, const weir_params *params) {
    (void)params;
    double n = weir_window_values(window, 0);
    if (n < 4) return NAN;
    weir_moments m = weir_moments_of(window->scratch, (int)n);
    return m.m2 > 0 ? (n + 1) * n * (n - 1) / ((n - 2) * (n - 3)) * m.m4 / (m.m2 * m.m2) - 3 * (n - 1) * (n - 1) / ((n - 2) * (n - 3)) : NAN;
}

static const weir_param_def sigma_params[] = {{"r", WEIR_PARAM_NUMBER, .fallback = 1, .min = 0, .max = 1e6, .doc = "standard deviations"}, {NULL}};

static double ratio_beyond_r_sigma(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), beyond = 0;
    if (n == 0) return NAN;
    weir_moments m = weir_moments_of(window->scratch, n);
    double limit = params->value[0] * sqrt(m.m2 / n);
    for (int i = 0; i < n; i++) beyond += fabs(window->scratch[i] - m.mean) > limit;
    return (double)beyond / n;
}

static const weir_param_def share_params[] = {{"r", WEIR_PARAM_NUMBER, .fallback = 0.05, .min = 0, .max = 1, .doc = "share of the range"}, {NULL}};

static double symmetry_looking(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0);
    double *x = window->scratch;
    if (n == 0) return NAN;
    double mean = weir_moments_of(x, n).mean;
    weir_sort(x, n);
    return fabs(mean - interpolated(x, n, 0.5)) < params->value[0] * (x[n - 1] - x[0]);
}

static double large_standard_deviation(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0);
    double *x = window->scratch;
    if (n == 0) return NAN;
    double deviation = sqrt(weir_moments_of(x, n).m2 / n);
    weir_sort(x, n);
    return deviation > params->value[0] * (x[n - 1] - x[0]);
}

/* Counts and runs. */

/* Values above (side 1) or below (side -1) the mean. */
static double count_beside_mean(const weir_window *window, int side) {
    int n = weir_window_values(window, 0), count = 0;
    if (n == 0) return NAN;
    double mean = weir_moments_of(window->scratch, n).mean;
    for (int i = 0; i < n; i++) count += (window->scratch[i] - mean) * side > 0;
    return count;
}

static double longest_run_beside_mean(const weir_window *window, int side) {
    int n = weir_window_values(window, 0), run = 0, longest = 0;
    if (n == 0) return NAN;
    double mean = weir_moments_of(window->scratch, n).mean;
    for (int i = 0; i < n; i++) {
        run = (window->scratch[i] - mean) * side > 0 ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    return longest;
}

static double count_above_mean(const weir_window *window, const weir_params *params) {
    (void)params;
    return count_beside_mean(window, 1);
}

static double count_below_mean(const weir_window *window, const weir_params *params) {
    (void)params;
    return count_beside_mean(window, -1);
}

static double longest_strike_above_mean(const weir_window *window, const weir_params *params) {
    (void)params;
    return longest_run_beside_mean(window, 1);
}

static double longest_strike_below_mean(const weir_window *window, const weir_params *params) {
    (void)params;
    return longest_run_beside_mean(window, -1);
}

static const weir_param_def level_params[] = {{"m", WEIR_PARAM_NUMBER, .fallback = 0, .min = -1e300, .max = 1e300, .doc = "level that is crossed"}, {NULL}};

static int crossings(const double *x, int n, double level) {
    int count = 0;
    for (int i = 1; i < n; i++) count += (x[i] > level) != (x[i - 1] > level);
    return count;
}

static double number_crossing(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0);
    return n ? crossings(window->scratch, n, params->value[0]) : NAN;
}

static double zero_crossing_rate(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    return n > 1 ? (double)crossings(window->scratch, n, 0) / (n - 1) : NAN;
}

static const weir_param_def support_params[] = {
    {"support", WEIR_PARAM_WHOLE, .fallback = 1, .min = 1, .max = 1000, .doc = "neighbours on each side that a peak exceeds"}, {NULL}};

static bool is_peak(const double *at, int support) {
    for (int i = 1; i <= support; i++)
        if (!(at[0] > at[-i] && at[0] > at[i])) return false;
    return true;
}

static double number_peaks(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), support = (int)params->value[0], count = 0;
    for (int i = support; i + support < n; i++) count += is_peak(window->scratch + i, support);
    return n ? count : NAN;
}

/* Places. */

/* Index of the first or the last largest value, of the smallest ones for sign -1. n ≥ 1. */
static int place_of(const double *x, int n, int sign, bool last) {
    int place = 0;
    for (int i = 1; i < n; i++)
        if (x[i] * sign > x[place] * sign || (last && x[i] == x[place])) place = i;
    return place;
}

static double location_of(const weir_window *window, int sign, bool last) {
    int n = weir_window_values(window, 0);
    return n ? (double)(place_of(window->scratch, n, sign, last) + last) / n : NAN;
}

static double first_location_of_maximum(const weir_window *window, const weir_params *params) {
    (void)params;
    return location_of(window, 1, false);
}

static double last_location_of_maximum(const weir_window *window, const weir_params *params) {
    (void)params;
    return location_of(window, 1, true);
}

static double first_location_of_minimum(const weir_window *window, const weir_params *params) {
    (void)params;
    return location_of(window, -1, false);
}

static double last_location_of_minimum(const weir_window *window, const weir_params *params) {
    (void)params;
    return location_of(window, -1, true);
}

static const weir_param_def quantile_params[] = {{"q", WEIR_PARAM_NUMBER, .fallback = 0.5, .min = 0, .max = 1, .doc = "share of the sum of magnitudes"},
                                                 {NULL}};

static double index_mass_quantile(const weir_window *window, const weir_params *params) {
    int n = magnitudes_of(window);
    double total = 0, mass = 0;
    for (int i = 0; i < n; i++) total += window->scratch[i];
    if (!(total > 0)) return NAN;
    for (int i = 0; i < n; i++) {
        mass += window->scratch[i];
        if (mass / total >= params->value[0]) return (i + 1.0) / n;
    }
    return 1;
}

static const weir_param_def segment_params[] = {
    {"segments", WEIR_PARAM_WHOLE, .fallback = 10, .min = 1, .max = 65536, .doc = "parts of (nearly) equal length, the longer ones first"},
    {"segment", WEIR_PARAM_WHOLE, .required = true, .min = 0, .max = 65535, .doc = "which of them, 0 the oldest; below segments"},
    {NULL}};
static const char *segment_prepare(weir_params *params) {
    return params->value[1] < params->value[0] ? NULL : "segment must be below segments";
}

static double energy_ratio_by_chunks(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), segments = (int)params->value[0], segment = (int)params->value[1];
    int size = n / segments, longer = n % segments, start = segment * size + (segment < longer ? segment : longer), end = start + size + (segment < longer);
    double total = 0, part = 0;
    for (int i = 0; i < n; i++) {
        double energy = window->scratch[i] * window->scratch[i];
        total += energy;
        if (i >= start && i < end) part += energy;
    }
    return total > 0 ? part / total : NAN;
}

/* Repeats. */

typedef struct repeats {
    int n; /* values */
    int distinct; /* different ones */
    int repeated; /* different ones that are there more than once */
    int copies; /* values that are not the only one of their kind */
    double sum, copies_sum; /* of the repeated ones, each once; of all copies */
} repeats;

static repeats repeats_of(const weir_window *window) {
    double *x = window->scratch;
    repeats r = {.n = weir_window_values(window, 0)};
    weir_sort(x, r.n);
    for (int i = 0, next; i < r.n; i = next) {
        for (next = i + 1; next < r.n && x[next] == x[i];) next++;
        r.distinct++;
        if (next - i < 2) continue;
        r.repeated++;
        r.copies += next - i;
        r.sum += x[i];
        r.copies_sum += x[i] * (next - i);
    }
    return r;
}

static double has_duplicate(const weir_window *window, const weir_params *params) {
    (void)params;
    repeats r = repeats_of(window);
    return r.n ? r.repeated > 0 : NAN;
}

static double has_duplicate_max(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    return n ? place_of(window->scratch, n, 1, false) != place_of(window->scratch, n, 1, true) : NAN;
}

static double has_duplicate_min(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    return n ? place_of(window->scratch, n, -1, false) != place_of(window->scratch, n, -1, true) : NAN;
}

static double reoccurring_values_ratio(const weir_window *window, const weir_params *params) {
    (void)params;
    repeats r = repeats_of(window);
    return r.n ? (double)r.repeated / r.distinct : NAN;
}

static double reoccurring_records_ratio(const weir_window *window, const weir_params *params) {
    (void)params;
    repeats r = repeats_of(window);
    return r.n ? (double)r.copies / r.n : NAN;
}

static double sum_of_reoccurring_values(const weir_window *window, const weir_params *params) {
    (void)params;
    repeats r = repeats_of(window);
    return r.n ? r.sum : NAN;
}

static double sum_of_reoccurring_data_points(const weir_window *window, const weir_params *params) {
    (void)params;
    repeats r = repeats_of(window);
    return r.n ? r.copies_sum : NAN;
}

static double distinct_ratio(const weir_window *window, const weir_params *params) {
    (void)params;
    repeats r = repeats_of(window);
    return r.n ? (double)r.distinct / r.n : NAN;
}

/* First digit that is not 0 of x in decimal, rounded to 15 digits (0.3 has 3, though its double is below it); 0 for 0 and what is not finite. */
static int first_digit(double x) {
    char text[32];
    if (x == 0 || !isfinite(x)) return 0;
    snprintf(text, sizeof(text), "%.14e", fabs(x));
    return text[0] - '0';
}

static double benford_correlation(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = weir_window_values(window, 0);
    double share[9] = {0}, total = 0, xy = 0, xx = 0, yy = 0;
    for (int i = 0; i < n; i++) {
        int digit = first_digit(window->scratch[i]);
        if (digit > 0) share[digit - 1] += 1.0 / n;
    }
    for (int d = 0; d < 9; d++) total += share[d];
    for (int d = 0; d < 9; d++) {
        double expected = log10(1 + 1.0 / (d + 1)) - 1.0 / 9, found = share[d] - total / 9;
        xy += expected * found;
        xx += expected * expected;
        yy += found * found;
    }
    return total > 0 && yy > 1e-24 ? xy / sqrt(xx * yy) : NAN;
}

const weir_operator weir_ops_series[] = {
    {WEIR_SERIES_OPERATOR, .name = "abs_energy", .doc = "Sum of the squares.", .formula = "sum(x^2)", .unit = "square of the column's",
     .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = abs_energy},
    {WEIR_SERIES_OPERATOR, .name = "root_mean_square", .doc = "Root of the mean square.", .formula = "sqrt(sum(x^2) / n)", .unit = "as the column",
     .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = root_mean_square},
    {WEIR_SERIES_OPERATOR, .name = "absolute_maximum", .doc = "Largest magnitude.", .formula = "max(|x|)", .unit = "as the column", .edges = NULL_WHEN_EMPTY,
     .source = TSFRESH, .eval = absolute_maximum},
    {WEIR_SERIES_OPERATOR, .name = "mean_n_absolute_max", .doc = "Mean of the k largest magnitudes.", .formula = "mean of the k largest |x|",
     .unit = "as the column", .edges = "nulls are skipped; null with fewer than k values",
     .source = "tsfresh 0.21, function of the same name, which needs one value more", .params = largest_params, .eval = mean_n_absolute_max},
    {WEIR_SERIES_OPERATOR, .name = "crest_factor", .doc = "Largest magnitude in units of the root mean square: how much a vibration is made of shocks.",
     .formula = "max(|x|) / sqrt(sum(x^2) / n)", .unit = "ratio, at least 1", .edges = "nulls are skipped; null without a value other than 0",
     .source = "ISO 13373-1:2002, vibration condition monitoring", .eval = crest_factor},
    {WEIR_SERIES_OPERATOR, .name = "impulse_factor", .doc = "Largest magnitude in units of the mean magnitude.", .formula = "max(|x|) / mean(|x|)",
     .unit = "ratio, at least 1", .edges = "nulls are skipped; null without a value other than 0",
     .source = "MathWorks, Predictive Maintenance Toolbox, Signal Features: impulse factor", .eval = impulse_factor},
    {WEIR_SERIES_OPERATOR, .name = "absolute_sum_of_changes", .doc = "Length of the way up and down.", .formula = "sum(|x[i]-x[i-1]|)", .unit = "as the column",
     .edges = "nulls are skipped; null without a value; a single value: 0", .source = TSFRESH, .eval = absolute_sum_of_changes},
    {WEIR_SERIES_OPERATOR, .name = "mean_abs_change", .doc = "Mean magnitude of the changes from value to value.", .formula = "sum(|x[i]-x[i-1]|) / (n-1)",
     .unit = "as the column", .edges = NULL_BELOW_TWO, .source = TSFRESH, .eval = mean_abs_change},
    {WEIR_SERIES_OPERATOR, .name = "mean_change", .doc = "Mean of the changes from value to value.", .formula = "(x[n]-x[1]) / (n-1)", .unit = "as the column",
     .edges = NULL_BELOW_TWO, .source = TSFRESH, .eval = mean_change},
    {WEIR_SERIES_OPERATOR, .name = "mean_second_derivative_central", .doc = "Mean of the central second differences: how a trend bends.",
     .formula = "(x[n]-x[n-1]-x[2]+x[1]) / (2 (n-2))", .unit = "as the column, per step squared", .edges = "nulls are skipped; null with fewer than 3 values",
     .source = TSFRESH, .eval = mean_second_derivative_central},
    {WEIR_SERIES_OPERATOR, .name = "cid_ce", .doc = "Complexity estimate: root of the summed squares of the changes.",
     .formula = "sqrt(sum((x[i]-x[i-1])^2)), divided by sqrt(sum((x-mean)^2)/n) when normalised", .unit = "ratio; not normalised: as the column",
     .edges = "nulls are skipped; null without a value; equal values: 0",
     .source = "G. Batista et al., CID: an efficient complexity-invariant distance for time series (2014); tsfresh 0.21", .params = cid_params, .eval = cid_ce},
    {WEIR_SERIES_OPERATOR, .name = "change_quantiles", .doc = "Changes between successive values that both lie in a corridor between two quantiles.",
     .formula = "mean or variance of x[i]-x[i-1] (or its magnitude), for quantile(low) <= x[i-1], x[i] <= quantile(high)",
     .unit = "as the column; variance: its square",
     .edges = "nulls are skipped; null with fewer than 2 values; no such change: 0; quantiles are interpolated linearly", .source = TSFRESH,
     .params = corridor_params, .prepare = corridor_prepare, .eval = change_quantiles},
    {WEIR_SERIES_OPERATOR, .name = "variation_coefficient", .doc = "Standard deviation relative to the mean.", .formula = "sqrt(sum((x-mean)^2)/n) / mean",
     .unit = "ratio", .edges = "nulls are skipped; null without a value and when the mean is 0", .source = TSFRESH, .eval = variation_coefficient},
    {WEIR_SERIES_OPERATOR, .name = "skewness", .doc = "Asymmetry of the distribution, adjusted for n.",
     .formula = "G1 = n sqrt(n-1)/(n-2) sum((x-mean)^3) / sum((x-mean)^2)^1.5", .unit = "ratio",
     .edges = "nulls are skipped; null with fewer than 3 values and when all are equal",
     .source = "D. Joanes, C. Gill, Comparing measures of sample skewness and kurtosis (1998), G1; pandas skew, which gives 0 for equal values",
     .eval = skewness},
    {WEIR_SERIES_OPERATOR, .name = "kurtosis", .doc = "Weight of the distribution's tails over a normal one's, adjusted for n.",
     .formula = "G2 = (n+1)n(n-1)/((n-2)(n-3)) sum((x-mean)^4)/sum((x-mean)^2)^2 - 3(n-1)^2/((n-2)(n-3))", .unit = "ratio, 0 for a normal distribution",
     .edges = "nulls are skipped; null with fewer than 4 values and when all are equal",
     .source = "D. Joanes, C. Gill, Comparing measures of sample skewness and kurtosis (1998), G2; pandas kurt, which gives 0 for equal values",
     .eval = kurtosis},
    {WEIR_SERIES_OPERATOR, .name = "ratio_beyond_r_sigma", .doc = "Share of the values further from the mean than r standard deviations.",
     .formula = "count(|x-mean| > r sqrt(sum((x-mean)^2)/n)) / n", .unit = "ratio, 0 to 1", .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .params = sigma_params,
     .eval = ratio_beyond_r_sigma},
    {WEIR_SERIES_OPERATOR, .name = "symmetry_looking", .doc = "Whether mean and median are nearer to each other than a share of the range.",
     .formula = "|mean-median| < r (max-min)", .unit = "1 or 0", .edges = "nulls are skipped; null without a value; equal values: 0", .source = TSFRESH,
     .params = share_params, .eval = symmetry_looking},
    {WEIR_SERIES_OPERATOR, .name = "large_standard_deviation", .doc = "Whether the standard deviation is above a share of the range.",
     .formula = "sqrt(sum((x-mean)^2)/n) > r (max-min)", .unit = "1 or 0", .edges = "nulls are skipped; null without a value; equal values: 0",
     .source = TSFRESH, .params = share_params, .eval = large_standard_deviation},
    {WEIR_SERIES_OPERATOR, .name = "count_above_mean", .doc = "Values above the mean.", .formula = "count(x > mean)", .unit = "records",
     .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = count_above_mean},
    {WEIR_SERIES_OPERATOR, .name = "count_below_mean", .doc = "Values below the mean.", .formula = "count(x < mean)", .unit = "records",
     .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = count_below_mean},
    {WEIR_SERIES_OPERATOR, .name = "longest_strike_above_mean", .doc = "Longest run of values above the mean.",
     .formula = "max length of i..j with all x[i..j] > mean", .unit = "records", .edges = NULL_WHEN_EMPTY, .source = TSFRESH,
     .eval = longest_strike_above_mean},
    {WEIR_SERIES_OPERATOR, .name = "longest_strike_below_mean", .doc = "Longest run of values below the mean.",
     .formula = "max length of i..j with all x[i..j] < mean", .unit = "records", .edges = NULL_WHEN_EMPTY, .source = TSFRESH,
     .eval = longest_strike_below_mean},
    {WEIR_SERIES_OPERATOR, .name = "number_crossing", .doc = "How often the series passes a level.", .formula = "count((x[i] > m) != (x[i-1] > m))",
     .unit = "crossings", .edges = "nulls are skipped; null without a value; a single value: 0", .source = "tsfresh 0.21, number_crossing_m",
     .params = level_params, .eval = number_crossing},
    {WEIR_SERIES_OPERATOR, .name = "zero_crossing_rate", .doc = "Share of the steps that pass 0.", .formula = "count((x[i] > 0) != (x[i-1] > 0)) / (n-1)",
     .unit = "ratio, 0 to 1", .edges = NULL_BELOW_TWO, .source = "F. Gouyon, F. Pachet, O. Delerue, On the use of zero-crossing rate (2000)",
     .eval = zero_crossing_rate},
    {WEIR_SERIES_OPERATOR, .name = "number_peaks", .doc = "Values above all of their `support` neighbours on each side.",
     .formula = "count(x[i] > x[i+j] for all 1 <= |j| <= support)", .unit = "peaks",
     .edges = "nulls are skipped; null without a value; fewer than 2 support + 1 values: 0", .source = TSFRESH, .params = support_params, .eval = number_peaks},
    {WEIR_SERIES_OPERATOR, .name = "first_location_of_maximum", .doc = "Where the largest value stands first.", .formula = "(its place from 0) / n",
     .unit = "ratio, 0 the start", .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = first_location_of_maximum},
    {WEIR_SERIES_OPERATOR, .name = "last_location_of_maximum", .doc = "Where the largest value stands last.", .formula = "(its place from 1) / n",
     .unit = "ratio, 1 the end", .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = last_location_of_maximum},
    {WEIR_SERIES_OPERATOR, .name = "first_location_of_minimum", .doc = "Where the smallest value stands first.", .formula = "(its place from 0) / n",
     .unit = "ratio, 0 the start", .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = first_location_of_minimum},
    {WEIR_SERIES_OPERATOR, .name = "last_location_of_minimum", .doc = "Where the smallest value stands last.", .formula = "(its place from 1) / n",
     .unit = "ratio, 1 the end", .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = last_location_of_minimum},
    {WEIR_SERIES_OPERATOR, .name = "index_mass_quantile", .doc = "How far into the series a share of its mass (sum of magnitudes) lies.",
     .formula = "min i/n with sum(|x[1..i]|) >= q sum(|x|)", .unit = "ratio, 0 to 1", .edges = "nulls are skipped; null without a value other than 0",
     .source = TSFRESH, .params = quantile_params, .eval = index_mass_quantile},
    {WEIR_SERIES_OPERATOR, .name = "energy_ratio_by_chunks", .doc = "Share of the energy in one of several parts.",
     .formula = "sum(x^2 in the part) / sum(x^2)", .unit = "ratio, 0 to 1",
     .edges = "nulls are skipped; null without a value other than 0; fewer values than parts: the last ones are empty, 0", .source = TSFRESH,
     .params = segment_params, .prepare = segment_prepare, .eval = energy_ratio_by_chunks},
    {WEIR_SERIES_OPERATOR, .name = "has_duplicate", .doc = "Whether a value occurs twice.", .formula = "distinct(x) < n", .unit = "1 or 0",
     .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = has_duplicate},
    {WEIR_SERIES_OPERATOR, .name = "has_duplicate_max", .doc = "Whether the largest value occurs twice.", .formula = "count(x = max) > 1", .unit = "1 or 0",
     .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = has_duplicate_max},
    {WEIR_SERIES_OPERATOR, .name = "has_duplicate_min", .doc = "Whether the smallest value occurs twice.", .formula = "count(x = min) > 1", .unit = "1 or 0",
     .edges = NULL_WHEN_EMPTY, .source = TSFRESH, .eval = has_duplicate_min},
    {WEIR_SERIES_OPERATOR, .name = "reoccurring_values_ratio", .doc = "Share of the different values that occur more than once.",
     .formula = "distinct(x that occur twice) / distinct(x)", .unit = "ratio, 0 to 1", .edges = NULL_WHEN_EMPTY,
     .source = "tsfresh 0.21, percentage_of_reoccurring_values_to_all_values", .eval = reoccurring_values_ratio},
    {WEIR_SERIES_OPERATOR, .name = "reoccurring_records_ratio", .doc = "Share of the records whose value occurs more than once.",
     .formula = "count(x that occur twice) / n", .unit = "ratio, 0 to 1", .edges = NULL_WHEN_EMPTY,
     .source = "tsfresh 0.21, percentage_of_reoccurring_datapoints_to_all_datapoints", .eval = reoccurring_records_ratio},
    {WEIR_SERIES_OPERATOR, .name = "sum_of_reoccurring_values", .doc = "Sum of the values that occur more than once, each once.",
     .formula = "sum(distinct x that occur twice)", .unit = "as the column", .edges = "nulls are skipped; null without a value; no repeats: 0",
     .source = TSFRESH, .eval = sum_of_reoccurring_values},
    {WEIR_SERIES_OPERATOR, .name = "sum_of_reoccurring_data_points", .doc = "Sum over the records whose value occurs more than once.",
     .formula = "sum(x that occur twice)", .unit = "as the column", .edges = "nulls are skipped; null without a value; no repeats: 0", .source = TSFRESH,
     .eval = sum_of_reoccurring_data_points},
    {WEIR_SERIES_OPERATOR, .name = "distinct_ratio", .doc = "Different values relative to their number.", .formula = "distinct(x) / n", .unit = "ratio, 0 to 1",
     .edges = NULL_WHEN_EMPTY, .source = "tsfresh 0.21, ratio_value_number_to_time_series_length", .eval = distinct_ratio},
    {WEIR_SERIES_OPERATOR, .name = "benford_correlation", .doc = "Correlation of the first digits' shares with Benford's law.",
     .formula = "corr(share of first digit d, log10(1 + 1/d)), d = 1..9", .unit = "correlation, -1 to 1",
     .edges = "nulls are skipped, zeros count as values without a digit; null without a value other than 0 and when all digits are equally frequent; digits "
              "after rounding to 15 of them",
     .source = "F. Benford, The law of anomalous numbers (1938); tsfresh 0.21", .eval = benford_correlation},
    {.name = NULL},
};
