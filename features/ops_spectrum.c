/* Characteristics of a series of values that come from its discrete Fourier transform. Values are taken as evenly spaced: frequencies are in cycles a record, up to 1/2.
 * Nulls are skipped, as in ops_series.c. Of more than SPECTRUM_MAX values the newest count, so that everything fits on the stack. */
#include <math.h>

#include "features/ops_window.h"

enum { SPECTRUM_MAX = 2048 };
#define FAST "O(n log n) when n has small factors, O(n^2) when it is prime; of more than 2048 values the newest 2048; "
#define PERIODOGRAM                                                                                                                                            \
    "P. Welch, The use of the fast Fourier transform for the estimation of power spectra (1967); SciPy 1.17 signal.periodogram(detrend='constant')"

typedef struct bin {
    double re, im;
} bin;

typedef struct spectrum {
    int n;
    bin turns[SPECTRUM_MAX]; /* e^(-2 pi i k / n) */
    bin terms[SPECTRUM_MAX]; /* of one butterfly */
    bin out[SPECTRUM_MAX];
} spectrum;

/* Cooley and Tukey by the smallest factor of n: out [n] := transform of in[0], in[stride], ...; stride · n is the whole length. */
static void transform(spectrum *s, bin *out, const double *in, int stride, int n) {
    int factor = 2, part;
    if (n == 1) {
        *out = (bin){*in, 0};
        return;
    }
    while (n % factor) factor++;
    part = n / factor;
    for (int q = 0; q < factor; q++) transform(s, out + q * part, in + q * stride, stride * factor, part);
    for (int k = 0; k < part; k++) {
        for (int q = 0; q < factor; q++) s->terms[q] = out[q * part + k];
        for (int r = 0; r < factor; r++) {
            bin sum = s->terms[0];
            for (int q = 1, turn = 0, step = (k + r * part) * stride; q < factor; q++) {
                turn = (turn + step) % s->n;
                sum.re += s->terms[q].re * s->turns[turn].re - s->terms[q].im * s->turns[turn].im;
                sum.im += s->terms[q].re * s->turns[turn].im + s->terms[q].im * s->turns[turn].re;
            }
            out[r * part + k] = sum;
        }
    }
}

/* Transform of the newest values: how many. Without the mean while it is made, so that a large one does not drown the rest; that is then put in, unless centred. */
static int spectrum_of(const weir_window *window, bool centred, spectrum *s) {
    int n = weir_window_values(window, SPECTRUM_MAX);
    double *x = window->scratch;
    s->n = n;
    if (n == 0) return 0;
    double mean = weir_moments_of(x, n).mean;
    for (int i = 0; i < n; i++) {
        x[i] -= mean;
        s->turns[i] = (bin){cos(2 * M_PI * i / n), -sin(2 * M_PI * i / n)};
    }
    transform(s, s->out, x, 1, n);
    s->out[0] = (bin){centred ? 0 : n * mean, 0};
    return n;
}

static double magnitude(bin b) {
    return hypot(b.re, b.im);
}

typedef enum part { PART_REAL, PART_IMAG, PART_ABS, PART_ANGLE } part;
static const char *const parts[] = {"real", "imag", "abs", "angle", NULL};
static const weir_param_def coefficient_params[] = {{"k", WEIR_PARAM_WHOLE, .required = true, .min = 0, .max = SPECTRUM_MAX / 2, .doc = "cycles in the window"},
                                                    {"output", WEIR_PARAM_CHOICE, .fallback = PART_ABS, .choices = parts, .doc = "angle in degrees"},
                                                    {NULL}};

static double fft_coefficient(const weir_window *window, const weir_params *params) {
    spectrum s;
    int n = spectrum_of(window, false, &s), k = (int)params->value[0];
    if (n == 0 || k > n / 2) return NAN;
    switch ((part)params->value[1]) {
    case PART_REAL: return s.out[k].re;
    case PART_IMAG: return s.out[k].im;
    case PART_ABS: return magnitude(s.out[k]);
    case PART_ANGLE: return atan2(s.out[k].im, s.out[k].re) * 180 / M_PI;
    }
    return NAN;
}

typedef enum spectral_moment { MOMENT_CENTROID, MOMENT_VARIANCE, MOMENT_SKEW } spectral_moment;
static const char *const spectral_moments[] = {"centroid", "variance", "skew", NULL};
static const weir_param_def moment_params[] = {
    {"output", WEIR_PARAM_CHOICE, .fallback = MOMENT_CENTROID, .choices = spectral_moments, .doc = "which of the three"}, {NULL}};

static double fft_aggregated(const weir_window *window, const weir_params *params) {
    spectrum s;
    int n = spectrum_of(window, false, &s);
    double total = 0, centroid = 0, m2 = 0, m3 = 0;
    if (n == 0) return NAN;
    for (int k = 0; k <= n / 2; k++) {
        total += magnitude(s.out[k]);
        centroid += k * magnitude(s.out[k]);
    }
    if (!(total > 0)) return NAN;
    centroid /= total;
    for (int k = 0; k <= n / 2; k++) {
        double d = k - centroid, weight = magnitude(s.out[k]) / total;
        m2 += weight * d * d;
        m3 += weight * d * d * d;
    }
    switch ((spectral_moment)params->value[0]) {
    case MOMENT_CENTROID: return centroid;
    case MOMENT_VARIANCE: return m2;
    case MOMENT_SKEW: return m2 < 0.5 ? NAN : m3 / pow(m2, 1.5);
    }
    return NAN;
}

/* Power of frequency k/n of a real series without its mean, 1 ≤ k ≤ n/2: both of the pair ±k, but for n/2, which is alone. */
static double power_at(const spectrum *s, int k) {
    double power = s->out[k].re * s->out[k].re + s->out[k].im * s->out[k].im;
    return 2 * k == s->n ? power : 2 * power;
}

static double total_power(const spectrum *s) {
    double total = 0;
    for (int k = 1; k <= s->n / 2; k++) total += power_at(s, k);
    return total;
}

static double spectral_centroid(const weir_window *window, const weir_params *params) {
    (void)params;
    spectrum s;
    int n = spectrum_of(window, true, &s);
    double total = total_power(&s), sum = 0;
    for (int k = 1; k <= n / 2; k++) sum += power_at(&s, k) * k / n;
    return total > 0 ? sum / total : NAN;
}

static double dominant_frequency(const weir_window *window, const weir_params *params) {
    (void)params;
    spectrum s;
    int n = spectrum_of(window, true, &s), highest = 1;
    if (!(total_power(&s) > 0)) return NAN;
    for (int k = 2; k <= n / 2; k++)
        if (power_at(&s, k) > power_at(&s, highest)) highest = k;
    return (double)highest / n;
}

static const weir_param_def band_params[] = {
    {"low", WEIR_PARAM_NUMBER, .fallback = 0, .min = 0, .max = 0.5, .doc = "lower edge in cycles a record, itself included"},
    {"high", WEIR_PARAM_NUMBER, .fallback = 0.5, .min = 0, .max = 0.5, .doc = "upper edge in cycles a record, itself included"},
    {NULL}};
static const char *band_prepare(weir_params *params) {
    return params->value[0] <= params->value[1] ? NULL : "low must not be above high";
}

static double spectral_energy_share(const weir_window *window, const weir_params *params) {
    spectrum s;
    int n = spectrum_of(window, true, &s);
    double total = total_power(&s), sum = 0;
    for (int k = 1; k <= n / 2; k++)
        if ((double)k / n >= params->value[0] && (double)k / n <= params->value[1]) sum += power_at(&s, k);
    return total > 0 ? sum / total : NAN;
}

static double spectral_entropy(const weir_window *window, const weir_params *params) {
    (void)params;
    spectrum s;
    int n = spectrum_of(window, true, &s);
    double total = total_power(&s), entropy = 0;
    if (!(total > 0)) return NAN;
    for (int k = 1; k <= n / 2; k++) {
        double share = power_at(&s, k) / total;
        if (share > 0) entropy -= share * log(share);
    }
    return entropy;
}

const weir_operator weir_ops_spectrum[] = {
    {WEIR_SERIES_OPERATOR, .name = "fft_coefficient", .doc = "One coefficient of the discrete Fourier transform.",
     .formula = "X[k] = sum(x[j] e^(-2 pi i j k / n)), j = 0..n-1", .unit = "as the column; angle: degrees",
     .edges = FAST "nulls are skipped; null without a value and for k above n/2", .source = "tsfresh 0.21, fft_coefficient; NumPy fft.rfft",
     .params = coefficient_params, .eval = fft_coefficient},
    {WEIR_SERIES_OPERATOR, .name = "fft_aggregated", .doc = "Moments of the frequencies (in cycles a window), weighted by magnitude, the mean's included.",
     .formula = "w[k] = |X[k]| / sum(|X|), k = 0..n/2; centroid = sum(k w); variance = sum((k-centroid)^2 w); skew = sum((k-centroid)^3 w) / variance^1.5",
     .unit = "cycles a window; variance: its square; skew: ratio",
     .edges = FAST "nulls are skipped; null without a value other than 0; skew is null when the variance is below 0.5",
     .source = "tsfresh 0.21, fft_aggregated", .params = moment_params, .eval = fft_aggregated},
    {WEIR_SERIES_OPERATOR, .name = "spectral_centroid", .doc = "Mean frequency, weighted by power, the mean of the series taken out.",
     .formula = "sum(f P(f)) / sum(P(f)), P the periodogram of x - mean(x), 0 < f <= 1/2", .unit = "cycles a record, 0 to 1/2",
     .edges = FAST "nulls are skipped; null with fewer than 2 values and when all are equal", .source = PERIODOGRAM, .eval = spectral_centroid},
    {WEIR_SERIES_OPERATOR, .name = "dominant_frequency", .doc = "Frequency of the most power, the mean of the series taken out; of equal ones the lowest.",
     .formula = "argmax over 0 < f <= 1/2 of P(f), P the periodogram of x - mean(x)", .unit = "cycles a record, 0 to 1/2",
     .edges = FAST "nulls are skipped; null with fewer than 2 values and when all are equal", .source = PERIODOGRAM, .eval = dominant_frequency},
    {WEIR_SERIES_OPERATOR, .name = "spectral_energy_share", .doc = "Share of the power (variance) in a band of frequencies.",
     .formula = "sum(P(f), low <= f <= high) / sum(P(f)), P the periodogram of x - mean(x), 0 < f <= 1/2", .unit = "ratio, 0 to 1",
     .edges = FAST "nulls are skipped; null with fewer than 2 values and when all are equal", .source = PERIODOGRAM, .params = band_params,
     .prepare = band_prepare, .eval = spectral_energy_share},
    {WEIR_SERIES_OPERATOR, .name = "spectral_entropy", .doc = "Entropy of the power over the frequencies: low for pure tones, high for noise.",
     .formula = "-sum(p ln p), p = P(f) / sum(P(f)), P the periodogram of x - mean(x), 0 < f <= 1/2", .unit = "nats, 0 to ln(n/2)",
     .edges = FAST "nulls are skipped; null with fewer than 2 values and when all are equal",
     .source = "T. Inouye et al., Quantification of EEG irregularity by use of the entropy of the power spectrum (1991)", .eval = spectral_entropy},
    {.name = NULL},
};
