/* Characteristics of a series of values that come from its order in time: dependence on lagged values, trend, entropies. Nulls are skipped, as in ops_series.c. */
#include <math.h>
#include <string.h>

#include "features/ops_window.h"
#include "features/sort.h"

enum {
    QUADRATIC_MAX = 2048, /* values that O(n^2) operators look at: the newest */
    LAG_MAX = 65535,
    PARTIAL_LAG_MAX = 64,
    BINS_MAX = 1000,
    DIMENSION_MAX = 12, /* 12^12 patterns are whole numbers in a double */
};
#define TSFRESH "tsfresh 0.21, function of the same name"

static const weir_param_def lag_params[] = {
    {"lag", WEIR_PARAM_WHOLE, .fallback = 1, .min = 1, .max = LAG_MAX, .doc = "steps between the values that are compared"}, {NULL}};

/* Dependence on lagged values. */

/* sum((x[i]-mean)(x[i+lag]-mean)) / (n-lag). lag < n. */
static double autocovariance(const double *x, int n, double mean, int lag) {
    double sum = 0;
    for (int i = 0; i + lag < n; i++) sum += (x[i] - mean) * (x[i + lag] - mean);
    return sum / (n - lag);
}

static double autocorrelation(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), lag = (int)params->value[0];
    if (n <= lag) return NAN;
    weir_moments m = weir_moments_of(window->scratch, n);
    return m.m2 > 0 ? autocovariance(window->scratch, n, m.mean, lag) / (m.m2 / n) : NAN;
}

static const weir_param_def partial_lag_params[] = {
    {"lag", WEIR_PARAM_WHOLE, .fallback = 1, .min = 1, .max = PARTIAL_LAG_MAX, .doc = "steps between the values that are compared"}, {NULL}};

/* Durbin's recursion: the last coefficient of the autoregression of order lag with covariances c [lag + 1]; NaN when one of lower order fits exactly. */
static double last_coefficient(const double *c, int lag) {
    double phi[PARTIAL_LAG_MAX + 1] = {0}, before[PARTIAL_LAG_MAX + 1] = {0}, variance = c[0];
    for (int k = 1; k <= lag; k++) {
        double rest = c[k];
        if (variance == 0) return NAN;
        for (int j = 1; j < k; j++) rest -= before[j] * c[k - j];
        phi[k] = rest / variance;
        for (int j = 1; j < k; j++) phi[j] = before[j] - phi[k] * before[k - j];
        variance *= 1 - phi[k] * phi[k];
        memcpy(before, phi, sizeof(phi));
    }
    return phi[lag];
}

static double partial_autocorrelation(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), lag = (int)params->value[0];
    double covariances[PARTIAL_LAG_MAX + 1];
    if (lag >= n / 2) return NAN;
    weir_moments m = weir_moments_of(window->scratch, n);
    if (m.m2 == 0) return NAN;
    for (int k = 0; k <= lag; k++) covariances[k] = autocovariance(window->scratch, n, m.mean, k);
    return last_coefficient(covariances, lag);
}

static double c3(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), lag = (int)params->value[0], terms = n - 2 * lag;
    const double *x = window->scratch;
    double sum = 0;
    for (int i = 0; i < terms; i++) sum += x[i + 2 * lag] * x[i + lag] * x[i];
    return terms > 0 ? sum / terms : NAN;
}

static double time_reversal_asymmetry(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), lag = (int)params->value[0], terms = n - 2 * lag;
    const double *x = window->scratch;
    double sum = 0;
    for (int i = 0; i < terms; i++) sum += x[i + 2 * lag] * x[i + 2 * lag] * x[i + lag] - x[i + lag] * x[i] * x[i];
    return terms > 0 ? sum / terms : NAN;
}

/* Trend. */

typedef enum trend_output { TREND_SLOPE, TREND_INTERCEPT, TREND_R, TREND_STDERR } trend_output;
typedef enum trend_against { AGAINST_INDEX, AGAINST_TIME } trend_against;
static const char *const trend_outputs[] = {"slope", "intercept", "r", "stderr", NULL};
static const char *const trend_axes[] = {"index", "time", NULL};
static const weir_param_def trend_params[] = {{"output", WEIR_PARAM_CHOICE, .fallback = TREND_SLOPE, .choices = trend_outputs, .doc = "which of the four"},
                                              {"against", WEIR_PARAM_CHOICE, .fallback = AGAINST_INDEX, .choices = trend_axes,
                                               .doc = "index: number of the value, from 0; time: seconds since the first value's record"},
                                              {NULL}};

/* The values in scratch and what they are set against behind them; how many. */
static int trend_points(const weir_window *window, trend_against against) {
    int n = weir_window_rows(window, 1, 0, window->scratch);
    double *axis = window->scratch + window->count;
    int64_t start = n ? window->time_us[(int)window->scratch[0]] : 0;
    for (int i = 0; i < n; i++) {
        int row = (int)window->scratch[i];
        axis[i] = against == AGAINST_TIME ? (double)(window->time_us[row] - start) / 1e6 : i;
        window->scratch[i] = window->in[0][row];
    }
    return n;
}

static double linear_trend(const weir_window *window, const weir_params *params) {
    int n = trend_points(window, (trend_against)params->value[1]);
    const double *y = window->scratch, *x = window->scratch + window->count;
    if (n < 2) return NAN;
    weir_moments mx = weir_moments_of(x, n), my = weir_moments_of(y, n);
    double sxy = 0, rest = 0;
    if (mx.m2 == 0) return NAN;
    for (int i = 0; i < n; i++) sxy += (x[i] - mx.mean) * (y[i] - my.mean);
    if (my.m2 == 0) sxy = 0;
    double slope = sxy / mx.m2;
    switch ((trend_output)params->value[0]) {
    case TREND_SLOPE: return slope;
    case TREND_INTERCEPT: return my.mean - slope * mx.mean;
    case TREND_R: return my.m2 > 0 ? fmax(-1, fmin(1, sxy / sqrt(mx.m2) / sqrt(my.m2))) : NAN;
    case TREND_STDERR: break;
    }
    for (int i = 0; i < n; i++) {
        double residual = (y[i] - my.mean) - slope * (x[i] - mx.mean);
        rest += residual * residual;
    }
    return n > 2 ? sqrt(rest / (n - 2) / mx.m2) : 0;
}

/* Entropies. */

/* Bin of x in `bins` equal parts of [low, high], the last one closed: the quotient, moved where its rounding put x on the wrong side of an edge. */
static int bin_of(double x, double low, double high, int bins) {
    double width = (high - low) / bins;
    int bin = (int)((x - low) / (high - low) * bins);
    if (bin >= bins) bin = bins - 1;
    if (x < bin * width + low) bin--;
    if (bin + 1 < bins && x >= (bin + 1) * width + low) bin++;
    return bin < 0 ? 0 : bin;
}

static const weir_param_def bins_params[] = {{"max_bins", WEIR_PARAM_WHOLE, .fallback = 10, .min = 1, .max = BINS_MAX, .doc = "equal parts of the range"},
                                             {NULL}};

static double binned_entropy(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), bins = (int)params->value[0], counts[BINS_MAX] = {0};
    const double *x = window->scratch;
    double low = INFINITY, high = -INFINITY, entropy = 0;
    for (int i = 0; i < n; i++) {
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
    }
    if (n == 0 || !isfinite(high - low)) return NAN;
    if (low == high) return 0;
    for (int i = 0; i < n; i++) counts[bin_of(x[i], low, high, bins)]++;
    for (int b = 0; b < bins; b++)
        if (counts[b] > 0) entropy -= (double)counts[b] / n * log((double)counts[b] / n);
    return entropy;
}

static const weir_param_def permutation_params[] = {
    {"dimension", WEIR_PARAM_WHOLE, .fallback = 3, .min = 2, .max = DIMENSION_MAX, .doc = "values in a pattern"},
    {"delay_steps", WEIR_PARAM_WHOLE, .fallback = 1, .min = 1, .max = 10000, .doc = "steps between the values of a pattern"},
    {NULL}};

/* A number for the order of x[0], x[delay], ...; equal values rank by place. */
static double order_pattern(const double *x, int dimension, int delay) {
    double pattern = 0;
    for (int i = 0; i < dimension; i++) {
        int rank = 0;
        for (int j = 0; j < dimension; j++) rank += x[j * delay] < x[i * delay] || (x[j * delay] == x[i * delay] && j < i);
        pattern = pattern * dimension + rank;
    }
    return pattern;
}

static double permutation_entropy(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, 0), dimension = (int)params->value[0], delay = (int)params->value[1], patterns = n - (dimension - 1) * delay;
    double *found = window->scratch + window->count, entropy = 0;
    if (patterns < 1) return NAN;
    for (int i = 0; i < patterns; i++) found[i] = order_pattern(window->scratch + i, dimension, delay);
    weir_sort(found, patterns);
    for (int i = 0, next; i < patterns; i = next) {
        for (next = i + 1; next < patterns && found[next] == found[i];) next++;
        double share = (double)(next - i) / patterns;
        entropy -= share * log(share);
    }
    return fmax(0, entropy);
}

static bool near(const double *a, const double *b, int length, double tolerance) {
    for (int i = 0; i < length; i++)
        if (!(fabs(a[i] - b[i]) <= tolerance)) return false;
    return true;
}

typedef enum templates { TEMPLATES_ALL, TEMPLATES_EQUAL } templates;
static const char *const template_choices[] = {"all", "equal", NULL};
static const weir_param_def sample_params[] = {
    {"m", WEIR_PARAM_WHOLE, .fallback = 2, .min = 1, .max = 16, .doc = "values in a template"},
    {"r", WEIR_PARAM_NUMBER, .fallback = 0.2, .min = 0, .max = 100, .doc = "tolerance in standard deviations"},
    {"templates", WEIR_PARAM_CHOICE, .fallback = TEMPLATES_ALL, .choices = template_choices,
     .doc = "of length m: all n - m + 1 as in tsfresh, or equal in number to those of length m + 1 (n - m) as in the paper"},
    {NULL}};

static double sample_entropy(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, QUADRATIC_MAX), m = (int)params->value[0], last = params->value[2] == TEMPLATES_EQUAL ? n - m - 1 : n - m;
    const double *x = window->scratch;
    double shorter = 0, longer = 0;
    if (n < m + 2) return NAN;
    double tolerance = params->value[1] * sqrt(weir_moments_of(x, n).m2 / n);
    for (int i = 0; i < last; i++)
        for (int j = i + 1; j <= last; j++) {
            if (!near(x + i, x + j, m, tolerance)) continue;
            shorter++;
            if (j + m < n && fabs(x[i + m] - x[j + m]) <= tolerance) longer++;
        }
    return longer > 0 ? log(shorter / longer) : NAN;
}

static const weir_param_def approximate_params[] = {{"m", WEIR_PARAM_WHOLE, .fallback = 2, .min = 1, .max = 16, .doc = "values in a template"},
                                                    {"r", WEIR_PARAM_NUMBER, .fallback = 0.2, .min = 0, .max = 100, .doc = "tolerance in standard deviations"},
                                                    {NULL}};

/* Mean logarithm of the share of templates of length m that are near to each; each is near to itself. */
static double mean_log_share(const double *x, int n, int m, double tolerance) {
    int count = n - m + 1;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        int matches = 0;
        for (int j = 0; j < count; j++) matches += near(x + i, x + j, m, tolerance);
        sum += log((double)matches / count);
    }
    return sum / count;
}

static double approximate_entropy(const weir_window *window, const weir_params *params) {
    int n = weir_window_values(window, QUADRATIC_MAX), m = (int)params->value[0];
    const double *x = window->scratch;
    if (n < m + 2) return NAN;
    double tolerance = params->value[1] * sqrt(weir_moments_of(x, n).m2 / n);
    if (!isfinite(tolerance)) return NAN;
    return fabs(mean_log_share(x, n, m, tolerance) - mean_log_share(x, n, m + 1, tolerance));
}

const weir_operator weir_ops_dynamics[] = {
    {WEIR_SERIES_OPERATOR, .name = "autocorrelation", .doc = "Correlation of the series with itself, lag steps later.",
     .formula = "sum((x[i]-mean)(x[i+lag]-mean)) / ((n-lag) sum((x-mean)^2)/n)", .unit = "ratio",
     .edges = "nulls are skipped; null with lag values or fewer and when all are equal; near the end of the series it can pass 1", .source = TSFRESH,
     .params = lag_params, .eval = autocorrelation},
    {WEIR_SERIES_OPERATOR, .name = "partial_autocorrelation", .doc = "Autocorrelation at a lag with what shorter lags explain taken out.",
     .formula = "last coefficient of the autoregression of order lag, by Durbin's recursion on sum((x[i]-mean)(x[i+k]-mean))/(n-k)", .unit = "ratio",
     .edges = "nulls are skipped; null unless lag < n/2 (rounded down), and when all are equal",
     .source = "G. Box, G. Jenkins, G. Reinsel, Time Series Analysis, 3.2; statsmodels pacf(method='ld'); tsfresh 0.21", .params = partial_lag_params,
     .eval = partial_autocorrelation},
    {WEIR_SERIES_OPERATOR, .name = "c3", .doc = "Third-order dependence: mean product of three values lag steps apart.",
     .formula = "mean(x[i+2lag] x[i+lag] x[i])", .unit = "cube of the column's", .edges = "nulls are skipped; null with 2 lag values or fewer",
     .source = "T. Schreiber, A. Schmitz, Discrimination power of measures for nonlinearity in a time series (1997); tsfresh 0.21", .params = lag_params,
     .eval = c3},
    {WEIR_SERIES_OPERATOR, .name = "time_reversal_asymmetry", .doc = "How different the series looks run backwards.",
     .formula = "mean(x[i+2lag]^2 x[i+lag] - x[i+lag] x[i]^2)", .unit = "cube of the column's",
     .edges = "nulls are skipped; null with 2 lag values or fewer; a series that is its own mirror: about 0",
     .source = "B. Fulcher, N. Jones, Highly comparative feature-based time-series classification (2014); tsfresh 0.21, time_reversal_asymmetry_statistic",
     .params = lag_params, .eval = time_reversal_asymmetry},
    {WEIR_SERIES_OPERATOR, .name = "linear_trend", .doc = "Least-squares line through the values.",
     .formula = "slope = sxy/sxx; intercept = mean(y) - slope mean(x); r = sxy/sqrt(sxx syy); stderr = sqrt(sum(residual^2)/(n-2)/sxx)",
     .unit = "slope and stderr: as the column, per step or per second; intercept: as the column; r: ratio",
     .edges = "nulls are skipped (an index counts values, not records); null with fewer than 2 values and, against time, when all records have the same; r is "
              "null for equal values; stderr of 2 values: 0",
     .source = "SciPy 1.17 stats.linregress; tsfresh 0.21, linear_trend and linear_trend_timewise (there in hours)", .params = trend_params,
     .eval = linear_trend},
    {WEIR_SERIES_OPERATOR, .name = "binned_entropy", .doc = "Entropy of the distribution over equal parts of its range.",
     .formula = "-sum(p ln p) over the parts, p = count / n", .unit = "nats, 0 to ln max_bins",
     .edges = "nulls are skipped; null without a value and when one is not finite; equal values: 0", .source = TSFRESH, .params = bins_params,
     .eval = binned_entropy},
    {WEIR_SERIES_OPERATOR, .name = "permutation_entropy", .doc = "Entropy of the orders in which successive values stand: low for regular series.",
     .formula = "-sum(p ln p) over the orders of (x[i], x[i+delay_steps], ...), dimension values each", .unit = "nats, 0 to ln dimension!",
     .edges = "nulls are skipped; null without a whole pattern; equal values rank by place",
     .source = "C. Bandt, B. Pompe, Permutation entropy: a natural complexity measure for time series (2002); tsfresh 0.21 for delay_steps 1",
     .params = permutation_params, .eval = permutation_entropy},
    {WEIR_SERIES_OPERATOR, .name = "sample_entropy", .doc = "How seldom patterns that match go on to match: low for regular series.",
     .formula = "-ln(A/B): B pairs of templates of m values, A of m + 1 values, no further apart than r standard deviations in any value", .unit = "nats",
     .edges = "O(n^2), of more than 2048 values the newest 2048; nulls are skipped; null with fewer than m + 2 values and when no template of m + 1 values "
              "matches another",
     .source = "J. Richman, J. R. Moorman, Physiological time-series analysis using approximate entropy and sample entropy (2000); tsfresh 0.21",
     .params = sample_params, .eval = sample_entropy},
    {WEIR_SERIES_OPERATOR, .name = "approximate_entropy", .doc = "How seldom patterns that match go on to match, each pattern counted as matching itself.",
     .formula = "|phi(m) - phi(m+1)|, phi(m) = mean over i of ln(share of templates of m values within r standard deviations of the i-th)", .unit = "nats",
     .edges = "O(n^2), of more than 2048 values the newest 2048; nulls are skipped; null with fewer than m + 2 values; equal values: 0",
     .source = "S. Pincus, Approximate entropy as a measure of system complexity (1991); tsfresh 0.21", .params = approximate_params,
     .eval = approximate_entropy},
    {.name = NULL},
};
