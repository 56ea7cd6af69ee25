/* Indicators that are recursive by definition: folds over everything, with TA-Lib's seeds and warm-up. Accumulators are doubles only, so that no byte is left unwritten. */
#include <math.h>
#include <stdbool.h>

#include "features/operator.h"

enum { PERIOD_MAX = 100000 };

static double step_of(double n) {
    return 2 / (n + 1);
} /* weight of the newest value in an average "of n" */

/* Exponential moving average. */

typedef enum ema_seed { SEED_SMA, SEED_FIRST, SEED_ADJUSTED } ema_seed;
static const char *const ema_seeds[] = {"sma", "first", "adjusted", NULL};
static const weir_param_def ema_params[] = {
    {"n", WEIR_PARAM_WHOLE, .required = true, .min = 1, .max = PERIOD_MAX, .doc = "period: the newest value has the weight 2/(n+1)"},
    {"seed", WEIR_PARAM_CHOICE, .fallback = SEED_SMA, .choices = ema_seeds,
     .doc = "sma: starts as the average of the first n values; first: as the first value; adjusted: weights always add up to 1"},
    {NULL}};

typedef struct ema_acc {
    double count; /* of values */
    double sum; /* the average; before the seed is complete the sum of the values; adjusted: the weighted sum */
    double weight; /* adjusted: sum of the weights */
} ema_acc;

static size_t ema_size(const weir_params *params) {
    (void)params;
    return sizeof(ema_acc);
}

static void ema_init(void *acc, const weir_params *params) {
    (void)params;
    *(ema_acc *)acc = (ema_acc){0};
}

static void ema_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    ema_acc *a = acc;
    double x = in[0], k = step_of(params->value[0]), seed_count = params->value[1] == SEED_SMA ? params->value[0] : 1;
    if (isnan(x)) return;
    a->count++;
    if (params->value[1] == SEED_ADJUSTED) {
        a->sum = a->sum * (1 - k) + x;
        a->weight = a->weight * (1 - k) + 1;
        return;
    }
    if (a->count > seed_count) {
        a->sum += (x - a->sum) * k;
        return;
    }
    a->sum += x;
    if (a->count == seed_count) a->sum /= seed_count;
}

static double ema_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    const ema_acc *a = acc;
    if (params->value[1] == SEED_ADJUSTED) return a->sum / a->weight; /* NaN before the first */
    return a->count >= (params->value[1] == SEED_SMA ? params->value[0] : 1) ? a->sum : NAN;
}

/* Wilder's averages: the mean of the first n, then (n-1)/n of the old one and 1/n of the new value. */

static void wilder_add(double *average, double x, double count, double n) {
    *average = count <= n ? *average + x : (*average * (n - 1) + x) / n;
    if (count == n) *average /= n;
}

static const weir_param_def rsi_params[] = {{"n", WEIR_PARAM_WHOLE, .fallback = 14, .min = 2, .max = PERIOD_MAX, .doc = "period of Wilder's averages"}, {NULL}};

typedef struct rsi_acc {
    double count; /* of values */
    double last, gain, loss;
} rsi_acc;

static size_t rsi_size(const weir_params *params) {
    (void)params;
    return sizeof(rsi_acc);
}

static void rsi_init(void *acc, const weir_params *params) {
    (void)params;
    *(rsi_acc *)acc = (rsi_acc){0};
}

static void rsi_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    rsi_acc *a = acc;
    if (isnan(in[0])) return;
    if (a->count > 0) {
        double change = in[0] - a->last;
        wilder_add(&a->gain, change > 0 ? change : 0, a->count, params->value[0]);
        wilder_add(&a->loss, change < 0 ? -change : 0, a->count, params->value[0]);
    }
    a->count++;
    a->last = in[0];
}

static double rsi_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    const rsi_acc *a = acc;
    if (a->count <= params->value[0]) return NAN;
    return a->gain + a->loss > 0 ? 100 * (a->gain / (a->gain + a->loss)) : 0;
}

static const weir_param_def atr_params[] = {{"n", WEIR_PARAM_WHOLE, .fallback = 14, .min = 1, .max = PERIOD_MAX, .doc = "period of Wilder's average"}, {NULL}};

typedef struct atr_acc {
    double count; /* of bars */
    double close, range;
} atr_acc;

static size_t atr_size(const weir_params *params) {
    (void)params;
    return sizeof(atr_acc);
}

static void atr_init(void *acc, const weir_params *params) {
    (void)params;
    *(atr_acc *)acc = (atr_acc){0};
}

static void atr_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    atr_acc *a = acc;
    double high = in[0], low = in[1];
    if (isnan(high) || isnan(low) || isnan(in[2])) return;
    if (a->count > 0) wilder_add(&a->range, fmax(high - low, fmax(fabs(high - a->close), fabs(low - a->close))), a->count, params->value[0]);
    a->count++;
    a->close = in[2];
}

static double atr_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    const atr_acc *a = acc;
    return a->count > params->value[0] ? a->range : NAN;
}

/* Moving average convergence divergence. */

typedef enum macd_line { LINE_MACD, LINE_SIGNAL, LINE_HISTOGRAM } macd_line;
static const char *const macd_lines[] = {"macd", "signal", "histogram", NULL};
static const weir_param_def macd_params[] = {
    {"fast", WEIR_PARAM_WHOLE, .fallback = 12, .min = 2, .max = PERIOD_MAX, .doc = "period of the fast average"},
    {"slow", WEIR_PARAM_WHOLE, .fallback = 26, .min = 2, .max = PERIOD_MAX, .doc = "period of the slow average, above fast"},
    {"signal", WEIR_PARAM_WHOLE, .fallback = 9, .min = 1, .max = PERIOD_MAX, .doc = "period of the signal line"},
    {"output", WEIR_PARAM_CHOICE, .fallback = LINE_MACD, .choices = macd_lines, .doc = "which of the three"},
    {NULL}};

static const char *macd_prepare(weir_params *params) {
    return params->value[0] < params->value[1] ? NULL : "fast must be below slow";
}

typedef struct macd_acc {
    double count; /* of values */
    double fast, slow, signal; /* averages; sums until their seeds are complete */
} macd_acc;

static size_t macd_size(const weir_params *params) {
    (void)params;
    return sizeof(macd_acc);
}

static void macd_init(void *acc, const weir_params *params) {
    (void)params;
    *(macd_acc *)acc = (macd_acc){0};
}

/* One value of an average of n: the count'th, from 1; those up to the n'th are its seed. */
static void average_add(double *average, double x, double count, double n) {
    if (count > n) {
        *average += (x - *average) * step_of(n);
        return;
    }
    *average += x;
    if (count == n) *average /= n;
}

static void macd_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    macd_acc *a = acc;
    double fast = params->value[0], slow = params->value[1], signal = params->value[2];
    if (isnan(in[0])) return;
    a->count++;
    average_add(&a->slow, in[0], a->count, slow);
    if (a->count > slow - fast) average_add(&a->fast, in[0], a->count - (slow - fast), fast); /* so that both seeds end at the same value */
    if (a->count >= slow) average_add(&a->signal, a->fast - a->slow, a->count - slow + 1, signal);
}

static double macd_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    const macd_acc *a = acc;
    if (a->count < params->value[1] + params->value[2] - 1) return NAN;
    double macd = a->fast - a->slow;
    switch ((macd_line)params->value[3]) {
    case LINE_MACD: return macd;
    case LINE_SIGNAL: return a->signal;
    case LINE_HISTOGRAM: return macd - a->signal;
    }
    return NAN;
}

const weir_operator weir_ops_indicators[] = {
    {.abi = WEIR_OPERATOR_ABI,
     .name = "ema",
     .doc = "Exponential moving average by count of values; ewm_mean is the one by time.",
     .formula = "k = 2/(n+1); y[t] = y[t-1] + k (x[t]-y[t-1]); adjusted: sum((1-k)^i x[t-i]) / sum((1-k)^i)",
     .unit = "as the column",
     .edges = "nulls are skipped; seed sma: null with fewer than n values; first and adjusted: the first value is the average",
     .source = "TA-Lib 0.6, EMA (sma); pandas ewm(span=n, adjust=False or True, ignore_na=True) (first, adjusted)",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = 1u << WEIR_WINDOW_ALL,
     .params = ema_params,
     .acc_size = ema_size,
     .init = ema_init,
     .add = ema_add,
     .value = ema_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "rsi",
     .doc = "Relative strength index.",
     .formula = "gain, loss: Wilder's averages of the rises and of the falls from value to value; 100 gain / (gain + loss)",
     .unit = "percent",
     .edges = "nulls are skipped; null with fewer than n + 1 values; neither rise nor fall: 0, as in TA-Lib",
     .source = "J. W. Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib 0.6, RSI",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = 1u << WEIR_WINDOW_ALL,
     .params = rsi_params,
     .acc_size = rsi_size,
     .init = rsi_init,
     .add = rsi_add,
     .value = rsi_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "macd",
     .doc = "Moving average convergence divergence: a fast average less a slow one, and the average of that.",
     .formula = "macd = ema(x, fast) - ema(x, slow); signal = ema(macd, signal); histogram = macd - signal",
     .unit = "as the column",
     .edges = "nulls are skipped; all three lines are null with fewer than slow + signal - 1 values; the seed of the fast average is the mean of the last "
              "`fast` of the first `slow` values",
     .source = "G. Appel, Technical Analysis (2005); TA-Lib 0.6, MACD",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = 1u << WEIR_WINDOW_ALL,
     .params = macd_params,
     .prepare = macd_prepare,
     .acc_size = macd_size,
     .init = macd_init,
     .add = macd_add,
     .value = macd_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "atr",
     .doc = "Average true range. Columns: high, low, close.",
     .formula = "Wilder's average of max(high[t]-low[t], |high[t]-close[t-1]|, |low[t]-close[t-1]|): the mean of the first n, then (atr (n-1) + range)/n",
     .unit = "as the columns",
     .edges = "bars with a null are skipped; null with fewer than n + 1 bars",
     .source = "J. W. Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib 0.6, ATR",
     .inputs_min = 3,
     .inputs_max = 3,
     .windows = 1u << WEIR_WINDOW_ALL,
     .params = atr_params,
     .acc_size = atr_size,
     .init = atr_init,
     .add = atr_add,
     .value = atr_value},
    {.name = NULL},
};
