/* Indicators that are folded record by record: those recursive by definition (over everything, with TA-Lib's seeds and warm-up), and sums and extremes that any window can
 * have. Accumulators are doubles only, so that no byte is left unwritten. */
#include <math.h>
#include <stdbool.h>

#include "features/operator.h"

enum { PERIOD_MAX = 100000 };

static bool any_null(const double *in, int n) {
    for (int i = 0; i < n; i++)
        if (isnan(in[i])) return true;
    return false;
}

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
    if (any_null(in, 3)) return;
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

/* Two sums over the records. */

typedef struct sums_acc {
    double first, second;
} sums_acc;

static size_t sums_size(const weir_params *params) {
    (void)params;
    return sizeof(sums_acc);
}

static void sums_init(void *acc, const weir_params *params) {
    (void)params;
    *(sums_acc *)acc = (sums_acc){0};
}

static void sums_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    sums_acc *a = acc;
    const sums_acc *b = later;
    a->first += b->first;
    a->second += b->second;
}

static void vwap_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    sums_acc *a = acc;
    if (any_null(in, 2)) return;
    a->first += in[0] * in[1];
    a->second += in[1];
}

static double vwap_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    const sums_acc *a = acc;
    return a->second > 0 ? a->first / a->second : NAN;
}

static void imbalance_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    sums_acc *a = acc;
    if (any_null(in, 2)) return;
    a->first += in[0];
    a->second += in[1];
}

static double imbalance_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    const sums_acc *a = acc;
    return a->first + a->second > 0 ? (a->first - a->second) / (a->first + a->second) : NAN;
}

/* Changes from record to record. */

typedef struct obv_acc {
    double count; /* of bars, 1 at most: whether there is one */
    double total;
    double first_price, first_volume, last_price;
} obv_acc;

static size_t obv_size(const weir_params *params) {
    (void)params;
    return sizeof(obv_acc);
}

static void obv_init(void *acc, const weir_params *params) {
    (void)params;
    *(obv_acc *)acc = (obv_acc){0};
}

static double signed_volume(double before, double now, double volume) {
    return now > before ? volume : now < before ? -volume : 0;
}

static void obv_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    obv_acc *a = acc;
    if (any_null(in, 2)) return;
    if (a->count == 0)
        *a = (obv_acc){1, in[1], in[0], in[1], in[0]};
    else
        a->total += signed_volume(a->last_price, in[0], in[1]);
    a->last_price = in[0];
}

static double obv_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    const obv_acc *a = acc;
    return a->count > 0 ? a->total : NAN;
}

static void obv_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    obv_acc *a = acc;
    const obv_acc *b = later;
    if (b->count == 0) return;
    if (a->count == 0) {
        *a = *b;
        return;
    }
    a->total += signed_volume(a->last_price, b->first_price, b->first_volume) + (b->total - b->first_volume);
    a->last_price = b->last_price;
}

typedef struct quote {
    double bid, bid_size, ask, ask_size;
} quote;

typedef struct flow_acc {
    double count; /* of quotes, 2 at most */
    double sum;
    quote first, last;
} flow_acc;

static size_t flow_size(const weir_params *params) {
    (void)params;
    return sizeof(flow_acc);
}

static void flow_init(void *acc, const weir_params *params) {
    (void)params;
    *(flow_acc *)acc = (flow_acc){0};
}

/* e_n, the contribution of one quote. */
static double flow_between(const quote *before, const quote *now) {
    double e = 0;
    if (now->bid >= before->bid) e += now->bid_size;
    if (now->bid <= before->bid) e -= before->bid_size;
    if (now->ask <= before->ask) e -= now->ask_size;
    if (now->ask >= before->ask) e += before->ask_size;
    return e;
}

static void flow_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    flow_acc *a = acc;
    if (any_null(in, 4)) return;
    quote now = {in[0], in[1], in[2], in[3]};
    if (a->count == 0)
        a->first = now;
    else
        a->sum += flow_between(&a->last, &now);
    a->last = now;
    a->count = fmin(a->count + 1, 2);
}

static double flow_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    const flow_acc *a = acc;
    return a->count > 1 ? a->sum : NAN;
}

static void flow_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    flow_acc *a = acc;
    const flow_acc *b = later;
    if (b->count == 0) return;
    if (a->count == 0) {
        *a = *b;
        return;
    }
    a->sum += flow_between(&a->last, &b->first) + b->sum;
    a->last = b->last;
    a->count = 2;
}

/* Falls from a maximum. */

typedef struct fall_acc {
    double max, min, last; /* of the values; -inf, +inf, NaN before the first */
    double worst; /* lowest x / (maximum so far) - 1 */
} fall_acc;

static size_t fall_size(const weir_params *params) {
    (void)params;
    return sizeof(fall_acc);
}

static void fall_init(void *acc, const weir_params *params) {
    (void)params;
    *(fall_acc *)acc = (fall_acc){-INFINITY, INFINITY, NAN, 0};
}

static void fall_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us, (void)params;
    fall_acc *a = acc;
    if (!(in[0] > 0)) return;
    a->max = fmax(a->max, in[0]);
    a->min = fmin(a->min, in[0]);
    a->last = in[0];
    a->worst = fmin(a->worst, in[0] / a->max - 1);
}

static void fall_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    fall_acc *a = acc;
    const fall_acc *b = later;
    if (isnan(b->last)) return;
    /* Against the maximum of both: below either of the two maxima alone, whichever is further down. */
    double across = isnan(a->last) ? 0 : b->min / a->max - 1;
    a->worst = fmin(fmin(a->worst, b->worst), across);
    a->max = fmax(a->max, b->max);
    a->min = fmin(a->min, b->min);
    a->last = b->last;
}

static double drawdown_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    const fall_acc *a = acc;
    return a->last / a->max - 1; /* NaN before the first value */
}

static double max_drawdown_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us, (void)params;
    const fall_acc *a = acc;
    return isnan(a->last) ? NAN : a->worst;
}

#define ONE_INPUT .abi = WEIR_OPERATOR_ABI, .inputs_min = 1, .inputs_max = 1, .windows = WEIR_WINDOWS_EVERY
#define TWO_INPUTS .abi = WEIR_OPERATOR_ABI, .inputs_min = 2, .inputs_max = 2, .windows = WEIR_WINDOWS_EVERY
#define ALL_OF_ONE .abi = WEIR_OPERATOR_ABI, .inputs_min = 1, .inputs_max = 1, .windows = 1u << WEIR_WINDOW_ALL

const weir_operator weir_ops_indicators[] = {
    {ALL_OF_ONE, .name = "ema", .doc = "Exponential moving average by count of values; ewm_mean is the one by time.",
     .formula = "k = 2/(n+1); y[t] = y[t-1] + k (x[t]-y[t-1]); adjusted: sum((1-k)^i x[t-i]) / sum((1-k)^i)", .unit = "as the column",
     .edges = "nulls are skipped; seed sma: null with fewer than n values; first and adjusted: the first value is the average",
     .source = "TA-Lib 0.6, EMA (sma); pandas ewm(span=n, adjust=False or True, ignore_na=True) (first, adjusted)", .params = ema_params, .acc_size = ema_size,
     .init = ema_init, .add = ema_add, .value = ema_value},
    {ALL_OF_ONE, .name = "rsi", .doc = "Relative strength index.",
     .formula = "gain, loss: Wilder's averages of the rises and of the falls from value to value; 100 gain / (gain + loss)", .unit = "percent",
     .edges = "nulls are skipped; null with fewer than n + 1 values; neither rise nor fall: 0, as in TA-Lib",
     .source = "J. W. Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib 0.6, RSI", .params = rsi_params, .acc_size = rsi_size, .init = rsi_init,
     .add = rsi_add, .value = rsi_value},
    {ALL_OF_ONE, .name = "macd", .doc = "Moving average convergence divergence: a fast average less a slow one, and the average of that.",
     .formula = "macd = ema(x, fast) - ema(x, slow); signal = ema(macd, signal); histogram = macd - signal", .unit = "as the column",
     .edges = "nulls are skipped; all three lines are null with fewer than slow + signal - 1 values; the seed of the fast average is the mean of the last "
              "`fast` of the first `slow` values",
     .source = "G. Appel, Technical Analysis (2005); TA-Lib 0.6, MACD", .params = macd_params, .prepare = macd_prepare, .acc_size = macd_size,
     .init = macd_init, .add = macd_add, .value = macd_value},
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
    {TWO_INPUTS, .name = "vwap", .doc = "Volume-weighted average price. Columns: price, volume.", .formula = "sum(price volume) / sum(volume)",
     .unit = "as the price", .edges = "records with a null are skipped; null when the volume is not above 0",
     .source = "S. Berkowitz, D. Logue, E. Noser, The Total Cost of Transactions on the NYSE, Journal of Finance 43 (1988)", .acc_size = sums_size,
     .init = sums_init, .add = vwap_add, .value = vwap_value, .merge = sums_merge},
    {TWO_INPUTS, .name = "obv", .doc = "On-balance volume: volume of rises less volume of falls. Columns: price, volume.",
     .formula = "obv[1] = volume[1]; obv[t] = obv[t-1] + sign(price[t]-price[t-1]) volume[t]", .unit = "as the volume",
     .edges = "records with a null are skipped; the first record of the window gives its volume; null without one",
     .source = "J. Granville, New Key to Stock Market Profits (1963); TA-Lib 0.6, OBV", .acc_size = obv_size, .init = obv_init, .add = obv_add,
     .value = obv_value, .merge = obv_merge},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "order_flow_imbalance",
     .doc = "Net flow of orders at the best quotes. Columns: bid, bid size, ask, ask size.",
     .formula = "sum of e[n] = [b[n]>=b[n-1]] qb[n] - [b[n]<=b[n-1]] qb[n-1] - [a[n]<=a[n-1]] qa[n] + [a[n]>=a[n-1]] qa[n-1]",
     .unit = "as the sizes",
     .edges = "quotes with a null are skipped; changes between quotes of the window; null with fewer than two",
     .source = "R. Cont, A. Kukanov, S. Stoikov, The Price Impact of Order Book Events, Journal of Financial Econometrics 12 (2014), section 2.1",
     .inputs_min = 4,
     .inputs_max = 4,
     .windows = WEIR_WINDOWS_EVERY,
     .acc_size = flow_size,
     .init = flow_init,
     .add = flow_add,
     .value = flow_value,
     .merge = flow_merge},
    {TWO_INPUTS, .name = "volume_imbalance", .doc = "Excess of the first volume over the second. Columns: bid size, ask size (or volume bought, volume sold).",
     .formula = "(sum(bid) - sum(ask)) / (sum(bid) + sum(ask))", .unit = "ratio, -1 to 1",
     .edges = "records with a null are skipped; null when the volume is not above 0",
     .source = "A. Cartea, S. Jaimungal, J. Penalva, Algorithmic and High-Frequency Trading (2015), 3.5", .acc_size = sums_size, .init = sums_init,
     .add = imbalance_add, .value = imbalance_value, .merge = sums_merge},
    {ONE_INPUT, .name = "drawdown", .doc = "How far the newest value is below the highest of the window.", .formula = "x[t] / max(x) - 1",
     .unit = "ratio, -1 to 0", .edges = "nulls and values that are not positive are skipped; null without a value; a single value: 0",
     .source = "M. Magdon-Ismail, A. Atiya, Maximum Drawdown, Risk Magazine 17 (2004)", .acc_size = fall_size, .init = fall_init, .add = fall_add,
     .value = drawdown_value, .merge = fall_merge},
    {ONE_INPUT, .name = "max_drawdown", .doc = "Largest fall from a maximum to a later value.", .formula = "min over i of x[i] / max(x[1..i]) - 1",
     .unit = "ratio, -1 to 0", .edges = "nulls and values that are not positive are skipped; null without a value; a single value: 0",
     .source = "M. Magdon-Ismail, A. Atiya, Maximum Drawdown, Risk Magazine 17 (2004)", .acc_size = fall_size, .init = fall_init, .add = fall_add,
     .value = max_drawdown_value, .merge = fall_merge},
    {.name = NULL},
};
