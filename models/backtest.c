/* See backtest.h. */
#include "models/backtest.h"

#include <math.h>
#include <stdlib.h>

#include "core/distributions.h"
#include "models/memory.h"
#include "models/random.h"

enum { PERIODS_MIN = 3 };
static const double bps = 1e-4, year_us = 365.25 * 86400e6;

/* ---- figures of returns ---- */

void weir_performance_measure(const double *returns, const int64_t *time_us, int64_t count, double periods_per_year, weir_performance *ret_performance) {
    double sum = 0, second = 0, third = 0, fourth = 0, equity = 1, high = 1;
    weir_performance p = {.sharpe = NAN, .sharpe_error = NAN, .sharpe_p = NAN, .drawdown_from_us = INT64_MIN, .drawdown_to_us = INT64_MIN};
    int64_t high_at = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += returns[i];
        equity *= 1 + returns[i];
        if (equity > high) high = equity, high_at = i;
        if (1 - equity / high > p.drawdown) {
            p.drawdown = 1 - equity / high;
            if (time_us) p.drawdown_from_us = time_us[high_at], p.drawdown_to_us = time_us[i];
        }
    }
    double mean = sum / (double)count, n = (double)count;
    for (int64_t i = 0; i < count; i++) {
        double d = returns[i] - mean;
        second += d * d;
        third += d * d * d;
        fourth += d * d * d * d;
    }
    double deviation = sqrt(second / (n - 1));
    p.total = equity - 1;
    p.annual = pow(fmax(equity, 0), periods_per_year / n) - 1;
    p.volatility = deviation * sqrt(periods_per_year);
    if (deviation > 1e-14 * fmax(fabs(mean), 1e-300)) {
        double skewness = third / n / pow(second / n, 1.5), kurtosis = fourth / n / (second / n * (second / n)), ratio = mean / deviation;
        /* Mertens: Var = (1 − γ₃ SR + (γ₄ − 1) / 4 SR²) / (n − 1), which is positive because γ₄ ≥ γ₃² + 1 */
        double error = sqrt(fmax(1 - skewness * ratio + (kurtosis - 1) / 4 * ratio * ratio, 0) / (n - 1));
        p.sharpe = ratio * sqrt(periods_per_year);
        p.sharpe_error = error * sqrt(periods_per_year);
        if (error > 0) p.sharpe_p = 0.5 * erfc(ratio / error / sqrt(2));
    }
    *ret_performance = p;
}

/* ---- positions ---- */

typedef struct book {
    double *weight; /* [symbols] held, as a share of the capital, moved by returns */
    double *part; /* [symbols] of buy-and-hold: value of the symbol's part in units of all the capital */
    int8_t *position; /* [symbols] −1, 0, 1: what the rule last said */
    bool *bought; /* [symbols] by buy-and-hold */
    int64_t *seen; /* [symbols] 1 + number of the period in which it was last */
} book;

static void book_done(book *b) {
    weir_models_free(b->weight);
    weir_models_free(b->part);
    weir_models_free(b->position);
    weir_models_free(b->bought);
    weir_models_free(b->seen);
}

static bool book_new(uint32_t symbols, book *b) {
    *b = (book){.weight = weir_models_calloc(symbols, sizeof *b->weight),
                .part = weir_models_calloc(symbols, sizeof *b->part),
                .position = weir_models_calloc(symbols, sizeof *b->position),
                .bought = weir_models_calloc(symbols, sizeof *b->bought),
                .seen = weir_models_calloc(symbols, sizeof *b->seen)};
    return b->weight && b->part && b->position && b->bought && b->seen;
}

static uint32_t symbol_of(const weir_backtest_input *in, int64_t row) {
    return in->symbol ? in->symbol[row] : 0;
}

static bool counts(const weir_backtest_input *in, int64_t row) {
    return !isnan(in->next_return[row]);
}

static weir_status check(const weir_backtest_input *in, const weir_backtest_rule *rule, uint32_t symbols, weir_err *err) {
    if (!(rule->lower <= rule->upper))
        return WEIR_FAIL(err, WEIR_EINVAL, "the rule's lower bound %g is not at or below its upper bound %g", rule->lower, rule->upper);
    if (!(rule->cost_bps >= 0 && rule->slippage_bps >= 0 && rule->cost_bps + rule->slippage_bps < 1e4))
        return WEIR_FAIL(err, WEIR_EINVAL, "costs of %g and %g basis points; expected 0 to 10000", rule->cost_bps, rule->slippage_bps);
    if (!(rule->periods_per_year >= 0 && isfinite(rule->periods_per_year)))
        return WEIR_FAIL(err, WEIR_EINVAL, "%g periods in a year; expected a positive number, or 0", rule->periods_per_year);
    if (symbols < 1 || symbols > WEIR_BACKTEST_SYMBOLS_MAX)
        return WEIR_FAIL(err, WEIR_EDATA, "%u symbols; expected 1 to %d", symbols, WEIR_BACKTEST_SYMBOLS_MAX);
    for (int64_t r = 0; r < in->row_count; r++) {
        if (r > 0 && in->time_us[r] < in->time_us[r - 1]) return WEIR_FAIL(err, WEIR_EDATA, "row %lld is earlier than the row before it", (long long)r);
        if (!counts(in, r)) continue;
        if (!isfinite(in->score[r]) || !isfinite(in->next_return[r]))
            return WEIR_FAIL(err, WEIR_ENUMERIC, "row %lld has score %g and return %g", (long long)r, in->score[r], in->next_return[r]);
        if (in->next_return[r] <= -1)
            return WEIR_FAIL(err, WEIR_EDATA, "row %lld has a return of %g; a price does not fall below 0", (long long)r, in->next_return[r]);
        if (symbol_of(in, r) >= symbols) return WEIR_FAIL(err, WEIR_EDATA, "row %lld is of symbol %u of %u", (long long)r, symbol_of(in, r), symbols);
    }
    return WEIR_OK;
}

/* The rows [from, to) of one time. Marks the symbols that are there and counts them. */
static weir_status meet(const weir_backtest_input *in, int64_t from, int64_t to, int64_t period, book *b, int *ret_present, weir_err *err) {
    int present = 0;
    for (int64_t r = from; r < to; r++) {
        if (!counts(in, r)) continue;
        uint32_t s = symbol_of(in, r);
        if (b->seen[s] == period + 1) return WEIR_FAIL(err, WEIR_EDATA, "row %lld: symbol %u is twice in one period", (long long)r, s);
        b->seen[s] = period + 1;
        present++;
    }
    *ret_present = present;
    return WEIR_OK;
}

/* Trades at the begin of a period, then lets the returns move the weights. */
static void trade(const weir_backtest_input *in, const weir_backtest_rule *rule, int64_t from, int64_t to, int64_t period, uint32_t symbols, int present,
                  book *b, weir_backtest *t) {
    weir_backtest_point *p = &t->points[period];
    for (uint32_t s = 0; s < symbols; s++)
        if (b->seen[s] != period + 1) {
            p->turnover += fabs(b->weight[s]);
            b->weight[s] = 0;
            b->position[s] = 0;
        }
    for (int64_t r = from; r < to; r++) {
        if (!counts(in, r)) continue;
        uint32_t s = symbol_of(in, r);
        if (in->score[r] > rule->upper)
            b->position[s] = 1;
        else if (in->score[r] < rule->lower)
            b->position[s] = rule->with_short ? -1 : 0;
        double target = (double)b->position[s] / present;
        p->turnover += fabs(target - b->weight[s]);
        p->exposure += fabs(target);
        p->gross += target * in->next_return[r];
        b->weight[s] = target;
        t->positions += b->position[s] != 0;
        t->hits += b->position[s] * in->next_return[r] > 0;
    }
    p->net = fmax(p->gross - p->turnover * (rule->cost_bps + rule->slippage_bps) * bps, -1);
    for (int64_t r = from; r < to; r++)
        if (counts(in, r)) b->weight[symbol_of(in, r)] *= p->net > -1 ? (1 + in->next_return[r]) / (1 + p->net) : 0;
}

/* Buy-and-hold's value after a period, in units of the capital at first. */
static double hold_value(const weir_backtest_input *in, const weir_backtest_rule *rule, int64_t from, int64_t to, uint32_t symbols, book *b) {
    double value = 0;
    for (int64_t r = from; r < to; r++) {
        if (!counts(in, r)) continue;
        uint32_t s = symbol_of(in, r);
        if (!b->bought[s]) b->part[s] *= 1 - (rule->cost_bps + rule->slippage_bps) * bps;
        b->bought[s] = true;
        b->part[s] *= 1 + in->next_return[r];
    }
    for (uint32_t s = 0; s < symbols; s++) value += b->part[s];
    return value;
}

static weir_status walk(const weir_backtest_input *in, const weir_backtest_rule *rule, uint32_t symbols, book *b, weir_backtest *t, weir_err *err) {
    double equity = 1, hold = 1, high = 1, hold_high = 1;
    for (int64_t r = 0; r < in->row_count; r++)
        if (counts(in, r)) b->bought[symbol_of(in, r)] = true;
    int64_t there = 0;
    for (uint32_t s = 0; s < symbols; s++) there += b->bought[s];
    for (uint32_t s = 0; s < symbols; s++) {
        b->part[s] = b->bought[s] ? 1 / (double)there : 0;
        b->bought[s] = false;
    }
    t->symbols = there;
    for (int64_t from = 0, to; from < in->row_count; from = to) {
        int present = 0;
        for (to = from; to < in->row_count && in->time_us[to] == in->time_us[from]; to++) t->rows += counts(in, to);
        weir_status status = meet(in, from, to, t->count, b, &present, err);
        if (status) return status;
        if (!present) continue;
        weir_backtest_point *p = &t->points[t->count];
        *p = (weir_backtest_point){.time_us = in->time_us[from]};
        trade(in, rule, from, to, t->count, symbols, present, b, t);
        double before = hold;
        hold = hold_value(in, rule, from, to, symbols, b);
        p->hold = hold / before - 1;
        p->equity = equity *= 1 + p->net;
        p->hold_equity = hold;
        p->drawdown = 1 - equity / (high = fmax(high, equity));
        p->hold_drawdown = 1 - hold / (hold_high = fmax(hold_high, hold));
        t->count++;
    }
    return WEIR_OK;
}

/* ---- figures of the whole ---- */

static double sharpe_of(double sum, double squares, double n) {
    double mean = sum / n, variance = (squares - n * mean * mean) / (n - 1);
    return variance > 1e-30 ? mean / sqrt(variance) : 0;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void ends_of(double *values, int count, double *ret_low, double *ret_high) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    *ret_low = values[(int)(0.025 * (count - 1) + 0.5)];
    *ret_high = values[(int)(0.975 * (count - 1) + 0.5)];
}

/* Blocks of periods drawn with replacement, wrapped around at the end, pairs kept together. draws [2][replicates]. */
static void bootstrap(weir_backtest *t, int replicates, uint64_t seed, double *draws) {
    uint64_t random = seed ^ UINT64_C(0x9d39247e33776d41);
    double n = (double)t->count, year = t->periods_per_year;
    t->block = (int64_t)ceil(cbrt(n));
    for (int k = 0; k < replicates; k++) {
        double sums[4] = {0};
        for (int64_t done = 0; done < t->count;) {
            int64_t at = (int64_t)weir_models_random_below(&random, (uint64_t)t->count);
            for (int64_t i = 0; i < t->block && done < t->count; i++, done++) {
                const weir_backtest_point *p = &t->points[(at + i) % t->count];
                sums[0] += p->net;
                sums[1] += p->net * p->net;
                sums[2] += p->hold;
                sums[3] += p->hold * p->hold;
            }
        }
        draws[k] = (sums[0] - sums[2]) / n * year;
        draws[replicates + k] = (sharpe_of(sums[0], sums[1], n) - sharpe_of(sums[2], sums[3], n)) * sqrt(year);
    }
    ends_of(draws, replicates, &t->excess_low, &t->excess_high);
    ends_of(draws + replicates, replicates, &t->sharpe_difference_low, &t->sharpe_difference_high);
}

/* Of N worthless strategies the best one's ratio is expected at √V ((1 − γ) Z(1 − 1/N) + γ Z(1 − 1/(N e))), γ Euler's constant; V = 1 / (n − 1). */
static double deflated(const weir_performance *p, int trials, double periods, double year) {
    static const double euler = 0.57721566490153286;
    if (trials < 2 || !(p->sharpe_error > 0)) return NAN;
    double best = sqrt(1 / (periods - 1)) * ((1 - euler) * weir_normal_inverse(1 - 1.0 / trials) + euler * weir_normal_inverse(1 - 1 / (trials * M_E)));
    return 0.5 * erfc((p->sharpe - best * sqrt(year)) / p->sharpe_error / sqrt(2));
}

static weir_status sum_up(const weir_backtest_rule *rule, int replicates, uint64_t seed, weir_backtest *t, weir_err *err) {
    double *returns = weir_models_calloc((size_t)t->count, 2 * sizeof *returns), *draws = weir_models_calloc((size_t)replicates, 2 * sizeof *draws);
    int64_t *times = weir_models_calloc((size_t)t->count, sizeof *times);
    weir_status status = returns && draws && times ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a backtest of %lld periods", (long long)t->count);
    if (status) goto out;
    double *hold = returns + t->count, turnover = 0, exposure = 0, n = (double)t->count;
    for (int64_t i = 0; i < t->count; i++) {
        const weir_backtest_point *p = &t->points[i];
        returns[i] = p->net;
        hold[i] = p->hold;
        times[i] = p->time_us;
        turnover += p->turnover;
        exposure += p->exposure;
        t->excess += (p->net - p->hold) / n;
    }
    double span = (double)(times[t->count - 1] - times[0]);
    t->periods_per_year = rule->periods_per_year > 0 ? rule->periods_per_year : (n - 1) / (span / year_us);
    weir_performance_measure(returns, times, t->count, t->periods_per_year, &t->strategy);
    weir_performance_measure(hold, times, t->count, t->periods_per_year, &t->hold);
    t->excess *= t->periods_per_year;
    t->sharpe_difference = (isnan(t->strategy.sharpe) ? 0 : t->strategy.sharpe) - (isnan(t->hold.sharpe) ? 0 : t->hold.sharpe);
    t->turnover = turnover / n * t->periods_per_year;
    t->costs = t->turnover * (rule->cost_bps + rule->slippage_bps) * bps;
    t->exposure = exposure / n;
    t->hit_rate = t->positions ? (double)t->hits / (double)t->positions : NAN;
    t->deflated_p = deflated(&t->strategy, rule->trials, n, t->periods_per_year);
    bootstrap(t, replicates, seed, draws);
out:
    weir_models_free(returns);
    weir_models_free(draws);
    weir_models_free(times);
    return status;
}

weir_status weir_backtest_run(const weir_backtest_input *input, const weir_backtest_rule *rule, int replicates, uint64_t seed, weir_backtest *ret_backtest,
                              weir_err *err) {
    uint32_t symbols = input->symbol ? input->symbol_count : 1;
    weir_backtest t = {0};
    book b = {0};
    if (replicates < 100 || replicates > 100000) return WEIR_FAIL(err, WEIR_EINVAL, "%d replicates; expected 100 to 100000", replicates);
    weir_status status = check(input, rule, symbols, err);
    if (status) return status;
    t.points = weir_models_calloc((size_t)input->row_count, sizeof *t.points);
    if (!t.points || !book_new(symbols, &b)) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a backtest of %lld rows", (long long)input->row_count);
    if (!status) status = walk(input, rule, symbols, &b, &t, err);
    if (!status && t.count < PERIODS_MIN)
        status = WEIR_FAIL(err, WEIR_EDATA, "%lld periods with returns; a backtest needs at least %d", (long long)t.count, PERIODS_MIN);
    if (!status) status = sum_up(rule, replicates, seed, &t, err);
    book_done(&b);
    if (status)
        weir_backtest_done(&t);
    else
        *ret_backtest = t;
    return status;
}

void weir_backtest_done(weir_backtest *backtest) {
    if (!backtest) return;
    weir_models_free(backtest->points);
    *backtest = (weir_backtest){0};
}
