/* Operators of markets over windows whose records are at hand: averages and bands, returns, volatility, quotes. Those that are folded stand in ops_indicators.c. */
#include <math.h>

#include "features/ops_window.h"

enum { STEPS_MAX = 65535 }; /* one less than the records that a state may hold */

#define STEPS(text)                                                                                                                                            \
    { "n", WEIR_PARAM_WHOLE, .min = 1, .max = STEPS_MAX, .doc = text }
#define PERIODS                                                                                                                                                \
    {                                                                                                                                                          \
        "periods", WEIR_PARAM_NUMBER, .fallback = 1, .min = 1e-9, .max = 1e9,                                                                                  \
                                      .doc = "returns in a year (252 for daily bars): the value is for that time; 1: for one return"                           \
    }

static int steps_of(const weir_params *params) {
    return (int)params->value[0];
} /* 0: not given, the whole window */

/* Averages and bands. */

static double mean_of(const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

/* The newest n values, or all of the window: how many, 0 when there are fewer than n or none. */
static int newest_values(const weir_window *window, int n) {
    int count = weir_window_values(window, n);
    return count < n ? 0 : count;
}

static double sma(const weir_window *window, const weir_params *params) {
    int count = newest_values(window, steps_of(params));
    return count ? mean_of(window->scratch, count) : NAN;
}
static const weir_param_def sma_params[] = {STEPS("values; not given: all of the window"), {NULL}};

typedef enum band { BAND_UPPER, BAND_MIDDLE, BAND_LOWER, BAND_WIDTH, BAND_PERCENT } band;
static const char *const bands[] = {"upper", "middle", "lower", "width", "percent", NULL};
static const weir_param_def bollinger_params[] = {{"n", WEIR_PARAM_WHOLE, .fallback = 20, .min = 1, .max = STEPS_MAX, .doc = "values"},
                                                  {"k", WEIR_PARAM_NUMBER, .fallback = 2, .min = 0, .max = 1e6, .doc = "half width in standard deviations"},
                                                  {"output", WEIR_PARAM_CHOICE, .fallback = BAND_MIDDLE, .choices = bands, .doc = "which of the five"},
                                                  {NULL}};

static double bollinger(const weir_window *window, const weir_params *params) {
    int count = newest_values(window, steps_of(params));
    if (count == 0) return NAN;
    weir_moments m = weir_moments_of(window->scratch, count);
    double half = params->value[1] * sqrt(m.m2 / count), last = window->scratch[count - 1];
    switch ((band)params->value[2]) {
    case BAND_UPPER: return m.mean + half;
    case BAND_MIDDLE: return m.mean;
    case BAND_LOWER: return m.mean - half;
    case BAND_WIDTH: return m.mean != 0 ? 2 * half / m.mean : NAN;
    case BAND_PERCENT: return half > 0 ? (last - (m.mean - half)) / (2 * half) : NAN;
    }
    return NAN;
}

/* Returns. */

static double simple_step(double before, double now) {
    return now / before - 1;
}
static double log_step(double before, double now) {
    return log(now / before);
}

/* The returns of the newest n + 1 prices (n 0: of all) in scratch, oldest first: how many; 0 when prices are too few or one is not positive. */
static int returns_of(const weir_window *window, int n, double (*step)(double before, double now)) {
    double *x = window->scratch;
    int prices = weir_window_values(window, n ? n + 1 : 0);
    if (prices < (n ? n + 1 : 2)) return 0;
    for (int i = 0; i < prices; i++)
        if (!(x[i] > 0)) return 0;
    for (int i = 0; i + 1 < prices; i++) x[i] = step(x[i], x[i + 1]);
    return prices - 1;
}

/* The value n steps back (n 0: the window's oldest) and the newest one; false when there are too few. */
static bool ends_of(const weir_window *window, int n, double *ret_before, double *ret_now) {
    int count = weir_window_values(window, n ? n + 1 : 0);
    if (count < (n ? n + 1 : 2)) return false;
    *ret_before = window->scratch[0];
    *ret_now = window->scratch[count - 1];
    return true;
}

static int one_more(const weir_params *params) {
    return steps_of(params) ? steps_of(params) + 1 : 0;
}
static const weir_param_def step_params[] = {STEPS("steps between the two; not given: from the oldest of the window"), {NULL}};

static double momentum(const weir_window *window, const weir_params *params) {
    double before, now;
    return ends_of(window, steps_of(params), &before, &now) ? now - before : NAN;
}

static double simple_return(const weir_window *window, const weir_params *params) {
    double before, now;
    return ends_of(window, steps_of(params), &before, &now) && before > 0 && now > 0 ? simple_step(before, now) : NAN;
}

static double log_return(const weir_window *window, const weir_params *params) {
    double before, now;
    return ends_of(window, steps_of(params), &before, &now) && before > 0 && now > 0 ? log_step(before, now) : NAN;
}

/* Volatility and what is measured by it. */

static const weir_param_def volatility_params[] = {STEPS("returns; not given: all of the window"), PERIODS, {NULL}};

static double realised_volatility(const weir_window *window, const weir_params *params) {
    int count = returns_of(window, steps_of(params), log_step);
    if (count < 2) return NAN;
    return sqrt(weir_moments_of(window->scratch, count).m2 / (count - 1) * params->value[1]);
}

static const weir_param_def sharpe_params[] = {STEPS("returns; not given: all of the window"),
                                               PERIODS,
                                               {"risk_free", WEIR_PARAM_NUMBER, .min = -1, .max = 10, .doc = "risk-free return of one period, a ratio"},
                                               {NULL}};

static double sharpe(const weir_window *window, const weir_params *params) {
    int count = returns_of(window, steps_of(params), simple_step);
    if (count < 2) return NAN;
    weir_moments m = weir_moments_of(window->scratch, count);
    return m.m2 > 0 ? (m.mean - params->value[2]) / sqrt(m.m2 / (count - 1)) * sqrt(params->value[1]) : NAN;
}

static double parkinson(const weir_window *window, const weir_params *params) {
    int n = steps_of(params), count = weir_window_rows(window, 2, n, window->scratch);
    if (count == 0 || count < n) return NAN;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        int row = (int)window->scratch[i];
        double high = window->in[0][row], low = window->in[1][row];
        if (!(high > 0 && low > 0)) return NAN;
        sum += log(high / low) * log(high / low);
    }
    return sqrt(sum / (4 * count * log(2)) * params->value[1]);
}
static const weir_param_def bar_params[] = {STEPS("bars; not given: all of the window"), PERIODS, {NULL}};

static double amihud(const weir_window *window, const weir_params *params) {
    int n = steps_of(params), count = weir_window_rows(window, 2, n ? n + 1 : 0, window->scratch), used = 0;
    if (count < (n ? n + 1 : 2)) return NAN;
    double sum = 0;
    for (int i = 1; i < count; i++) {
        int row = (int)window->scratch[i];
        double before = window->in[0][(int)window->scratch[i - 1]], now = window->in[0][row], volume = window->in[1][row];
        if (!(before > 0 && now > 0)) return NAN;
        if (!(volume > 0)) continue;
        sum += fabs(simple_step(before, now)) / (now * volume);
        used++;
    }
    return used ? sum / used : NAN;
}

static int two(const weir_params *params) {
    (void)params;
    return 2;
}

static double true_range(const weir_window *window, const weir_params *params) {
    (void)params;
    if (weir_window_rows(window, 3, 2, window->scratch) < 2) return NAN;
    int row = (int)window->scratch[1];
    double high = window->in[0][row], low = window->in[1][row], close = window->in[2][(int)window->scratch[0]];
    return fmax(high - low, fmax(fabs(high - close), fabs(low - close)));
}

static const char *const stochastic_lines[] = {"k", "d", NULL};
static const weir_param_def stochastic_params[] = {
    {"n", WEIR_PARAM_WHOLE, .fallback = 14, .min = 1, .max = 10000, .doc = "bars of the range"},
    {"slowing", WEIR_PARAM_WHOLE, .fallback = 3, .min = 1, .max = 1000, .doc = "values averaged to %K; 1: the fast one"},
    {"signal", WEIR_PARAM_WHOLE, .fallback = 3, .min = 1, .max = 1000, .doc = "values of %K averaged to %D"},
    {"output", WEIR_PARAM_CHOICE, .choices = stochastic_lines, .doc = "%K or %D"},
    {NULL}};
static int stochastic_records(const weir_params *params) {
    return (int)(params->value[0] + params->value[1] + params->value[2]) - 2;
}

/* Where the newest of n bars closed in their range, in percent; rows [n]. */
static double fast_k(const weir_window *window, const double *rows, int n) {
    double high = -INFINITY, low = INFINITY, close = window->in[2][(int)rows[n - 1]];
    for (int i = 0; i < n; i++) {
        high = fmax(high, window->in[0][(int)rows[i]]);
        low = fmin(low, window->in[1][(int)rows[i]]);
    }
    return high > low ? 100 * (close - low) / (high - low) : 0;
}

static double stochastic(const weir_window *window, const weir_params *params) {
    int n = steps_of(params), slowing = (int)params->value[1], signal = (int)params->value[2], fast_count = slowing + signal - 1;
    double *rows = window->scratch, *fast = window->scratch + window->count, sum = 0;
    if (weir_window_rows(window, 3, stochastic_records(params), rows) < stochastic_records(params)) return NAN;
    for (int i = 0; i < fast_count; i++) fast[i] = fast_k(window, rows + i, n);
    if (params->value[3] == 0) return mean_of(fast + signal - 1, slowing);
    for (int i = 0; i < signal; i++) sum += mean_of(fast + i, slowing);
    return sum / signal;
}

static int one_unless_given(const weir_params *params) {
    return steps_of(params) ? steps_of(params) : 1;
}

static double relative_spread(const weir_window *window, const weir_params *params) {
    int n = steps_of(params), count = weir_window_rows(window, 2, n, window->scratch);
    if (count == 0 || count < n) return NAN;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        int row = (int)window->scratch[i];
        double bid = window->in[0][row], ask = window->in[1][row], mid = (bid + ask) / 2;
        if (!(mid > 0)) return NAN;
        sum += (ask - bid) / mid;
    }
    return sum / count;
}
static const weir_param_def quote_params[] = {STEPS("quotes; not given: all of the window, or the newest one when no window is given"), {NULL}};

const weir_operator weir_ops_market[] = {
    {.abi = WEIR_OPERATOR_ABI,
     .name = "sma",
     .doc = "Simple moving average.",
     .formula = "sum(x[t-n+1..t]) / n",
     .unit = "as the column",
     .edges = "nulls are skipped; null with fewer than n values",
     .source = "TA-Lib 0.6, SMA",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = sma_params,
     .eval = sma},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "bollinger",
     .doc = "Bollinger bands: the average of n values and k standard deviations above and below it.",
     .formula = "middle = mean(x[t-n+1..t]); s = sqrt(sum((x-middle)^2)/n); upper, lower = middle +- k s; width = (upper-lower)/middle; percent = "
                "(x[t]-lower)/(upper-lower)",
     .unit = "as the column; width and percent: ratio",
     .edges = "nulls are skipped; null with fewer than n values; width is null when the average is 0, percent when upper = lower",
     .source = "J. Bollinger, Bollinger on Bollinger Bands (2001); TA-Lib 0.6, BBANDS",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = bollinger_params,
     .eval = bollinger},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "momentum",
     .doc = "Change over n steps.",
     .formula = "x[t] - x[t-n]",
     .unit = "as the column",
     .edges = "nulls are skipped; null with fewer than n + 1 values (without n: fewer than 2)",
     .source = "TA-Lib 0.6, MOM",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = step_params,
     .eval = momentum,
     .records = one_more},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "simple_return",
     .doc = "Relative change over n steps.",
     .formula = "x[t] / x[t-n] - 1",
     .unit = "ratio",
     .edges = "nulls are skipped; null with fewer than n + 1 values (without n: fewer than 2), and when one of the two is not positive",
     .source = "TA-Lib 0.6, ROCP",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = step_params,
     .eval = simple_return,
     .records = one_more},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "log_return",
     .doc = "Logarithm of the relative change over n steps; adds up over time.",
     .formula = "ln(x[t] / x[t-n])",
     .unit = "ratio",
     .edges = "nulls are skipped; null with fewer than n + 1 values (without n: fewer than 2), and when one of the two is not positive",
     .source = "J. Campbell, A. Lo, A. MacKinlay, The Econometrics of Financial Markets (1997), 1.4",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = step_params,
     .eval = log_return,
     .records = one_more},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "realised_volatility",
     .doc = "Standard deviation of the log returns between successive values, for one period or for a year.",
     .formula = "r[i] = ln(x[i]/x[i-1]); sqrt(periods * sum((r-mean(r))^2) / (n-1))",
     .unit = "ratio, for `periods` returns",
     .edges = "nulls are skipped; null with fewer than n + 1 values, fewer than 2 returns, or a value that is not positive; equal returns: 0",
     .source = "J. Hull, Options, Futures, and Other Derivatives, 15.4",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = volatility_params,
     .eval = realised_volatility,
     .records = one_more},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "sharpe",
     .doc = "Mean excess return between successive values in units of its standard deviation.",
     .formula = "r[i] = x[i]/x[i-1] - 1; sqrt(periods) (mean(r) - risk_free) / sqrt(sum((r-mean(r))^2) / (n-1))",
     .unit = "ratio, for `periods` returns",
     .edges = "nulls are skipped; null with fewer than n + 1 values, fewer than 2 returns, equal returns, or a value that is not positive",
     .source = "W. Sharpe, The Sharpe Ratio, Journal of Portfolio Management 21 (1994)",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = sharpe_params,
     .eval = sharpe,
     .records = one_more},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "parkinson_volatility",
     .doc = "Volatility from the range of each bar. Columns: high, low.",
     .formula = "sqrt(periods * sum(ln(high/low)^2) / (4 n ln 2))",
     .unit = "ratio, for `periods` bars",
     .edges = "bars with a null are skipped; null with fewer than n bars or none, or a price that is not positive",
     .source = "M. Parkinson, The Extreme Value Method for Estimating the Variance of the Rate of Return, Journal of Business 53 (1980)",
     .inputs_min = 2,
     .inputs_max = 2,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = bar_params,
     .eval = parkinson},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "amihud_illiquidity",
     .doc = "Price impact of traded value. Columns: price, volume.",
     .formula = "mean(|x[i]/x[i-1] - 1| / (x[i] volume[i]))",
     .unit = "1 / (currency of the price)",
     .edges = "records with a null are skipped; returns into a record without volume do not count; null with fewer than n + 1 records, no return that counts, "
              "or a price that is not positive",
     .source = "Y. Amihud, Illiquidity and stock returns, Journal of Financial Markets 5 (2002), equation (1)",
     .inputs_min = 2,
     .inputs_max = 2,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = step_params,
     .eval = amihud,
     .records = one_more},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "true_range",
     .doc = "Range of the newest bar, the gap from the close before it included. Columns: high, low, close.",
     .formula = "max(high[t]-low[t], |high[t]-close[t-1]|, |low[t]-close[t-1]|)",
     .unit = "as the columns",
     .edges = "bars with a null are skipped; null with fewer than two bars",
     .source = "J. W. Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib 0.6, TRANGE",
     .inputs_min = 3,
     .inputs_max = 3,
     .windows = WEIR_WINDOWS_AT_HAND,
     .eval = true_range,
     .records = two},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "stochastic",
     .doc = "Stochastic oscillator: where the close stands in the range of n bars. Columns: high, low, close.",
     .formula = "fast = 100 (close-min(low))/(max(high)-min(low)) over n bars; %K = mean of `slowing` fast; %D = mean of `signal` %K",
     .unit = "percent",
     .edges = "bars with a null are skipped; both lines are null with fewer than n + slowing + signal - 2 bars; a range of 0 counts as 0",
     .source = "TA-Lib 0.6, STOCH with simple averages",
     .inputs_min = 3,
     .inputs_max = 3,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = stochastic_params,
     .eval = stochastic,
     .records = stochastic_records},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "relative_spread",
     .doc = "Quoted spread relative to the mid price, the mean over the quotes. Columns: bid, ask.",
     .formula = "mean((ask-bid) / ((ask+bid)/2))",
     .unit = "ratio",
     .edges = "quotes with a null are skipped; null with fewer than n quotes or none, or a mid price that is not positive; crossed quotes count as they are, "
              "below 0",
     .source = "J. Hasbrouck, Empirical Market Microstructure (2007), 2.2",
     .inputs_min = 2,
     .inputs_max = 2,
     .windows = WEIR_WINDOWS_AT_HAND,
     .params = quote_params,
     .eval = relative_spread,
     .records = one_unless_given},
    {.name = NULL},
};
