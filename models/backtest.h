/* What scores would have earned: positions taken by a rule, paid for, and compared with holding everything. No market impact, no borrowing fees, no
 * dividends beyond those in the returns. */
#ifndef WEIR_MODELS_BACKTEST_H
#define WEIR_MODELS_BACKTEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

enum { WEIR_BACKTEST_SYMBOLS_MAX = 100000 };

/* When to hold what. */
typedef struct weir_backtest_rule {
    double upper, lower; /* long when score > upper; short (or out) when score < lower; in between the position stays as it was. lower ≤ upper */
    bool with_short;
    double cost_bps, slippage_bps; /* of the value traded, each ≥ 0 */
    double periods_per_year; /* for annual figures; 0: from the times, by their number and span */
    int trials; /* models among which the one that made the scores was chosen; 0 or 1: no deflation */
} weir_backtest_rule;

typedef struct weir_backtest_input {
    int64_t row_count;
    const int64_t *time_us; /* [row_count] ascending; rows of one time are one period of several symbols */
    const uint32_t *symbol; /* [row_count] dense number; NULL: one symbol */
    uint32_t symbol_count; /* of which there are so many; not looked at without symbols */
    const double *score; /* [row_count] known at time_us */
    const double *next_return; /* [row_count] simple return from time_us until the next period, > −1; NaN: unknown, the row is left out */
} weir_backtest_input;

/* Figures of a row of returns by period. */
typedef struct weir_performance {
    double total, annual; /* return over the whole span, and a year's at that rate */
    double volatility; /* deviation of the periods' returns, for a year */
    double sharpe, sharpe_error; /* annual, against no interest; error: standard error for returns of any distribution. NaN when returns do not vary */
    double sharpe_p; /* one-sided: the probability of such a ratio if the true one were 0 */
    double drawdown; /* largest loss from an earlier high, as a fraction, ≥ 0 */
    int64_t drawdown_from_us, drawdown_to_us; /* from the high to the low */
} weir_performance;

typedef struct weir_backtest_point {
    int64_t time_us; /* when the period began */
    double gross, net; /* return of the strategy before and after costs */
    double hold; /* of buying and holding */
    double turnover, exposure; /* share of the capital traded at time_us; sum of |weights| held in the period */
    double equity, hold_equity; /* after the period; 1 before the first */
    double drawdown, hold_drawdown; /* from the highest so far, ≥ 0 */
} weir_backtest_point;

typedef struct weir_backtest {
    weir_backtest_point *points; /* [count] by time */
    int64_t count, rows, symbols;
    double periods_per_year;
    weir_performance strategy, hold;
    double turnover; /* a year, in units of the capital */
    double costs; /* a year, as a fraction of the capital */
    double exposure; /* mean */
    int64_t positions, hits; /* rows with a position, and those whose return had its sign */
    double hit_rate; /* NaN without positions */
    double deflated_p; /* as strategy.sharpe_p, against the best of `trials` worthless strategies; NaN without deflation */
    /* Strategy − hold, annual, with 95 % intervals by a circular block bootstrap of pairs of periods. */
    double excess, excess_low, excess_high; /* of arithmetic mean returns */
    double sharpe_difference, sharpe_difference_low, sharpe_difference_high;
    int64_t block; /* periods in a block */
} weir_backtest;

/** A symbol's weight is position / number of symbols in the period, the rest is cash without interest. Every period brings the weights, which returns moved,
 *  back to their targets:
 *  the sum of what is traded × (cost + slippage) is paid from the return of the period. A symbol that is not in a period is sold before it. Capital that is
 *  lost stays lost.
 *  Buy-and-hold: each symbol of the input gets an equal part of the capital, which buys it (at the same costs) when it first appears and keeps it.
 *  O(n + replicates · periods). Errors: WEIR_EDATA for fewer than 3 periods, times that fall, a symbol twice in one period, a return ≤ −1, a symbol number
 *  out of range; WEIR_ENUMERIC
 *  for a score or return that is not finite; WEIR_EINVAL for a rule out of range; WEIR_ENOMEM. *ret_backtest is then untouched.
 *  Sources: E. Mertens, Comments on variance of the IID estimator in Lo (2002), 2002, for the error of the ratio; D. Bailey, M. López de Prado, The Deflated
 *  Sharpe Ratio, Journal of
 *  Portfolio Management 40 (2014), equations 1 and 2, with the variance that the ratio has when the true one is 0; D. Politis, J. Romano, A Circular
 *  Block-Resampling Procedure for
 *  Stationary Data, 1992. */
weir_status weir_backtest_run(const weir_backtest_input *input, const weir_backtest_rule *rule, int replicates, uint64_t seed, weir_backtest *ret_backtest,
                              weir_err *err) WEIR_MUST_CHECK;
void weir_backtest_done(weir_backtest *backtest);

/** Of returns by period. times may be NULL: no times of the drawdown. Shapes: [count], count ≥ 2. */
void weir_performance_measure(const double *returns, const int64_t *time_us, int64_t count, double periods_per_year, weir_performance *ret_performance);

#endif
