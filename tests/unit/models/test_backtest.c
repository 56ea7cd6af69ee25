/* What scores would have earned. Oracles: positions, costs and buy-and-hold in numpy 2, moments and normal tails of scipy 1; tolerance 1e-12 relative. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/distributions.h"
#include "models/backtest.h"
#include "models/random.h"
#include "tests/unit/starve.h"

#include "core/mem.h"

enum { PERIODS = 60, SYMBOLS = 3, ROWS = PERIODS * SYMBOLS };
#define DAY_US INT64_C(86400000000)

static int64_t times[ROWS];
static uint32_t symbols[ROWS];
static double scores[ROWS], returns[ROWS];

static weir_backtest_input waves(void) {
    for (int t = 0; t < PERIODS; t++)
        for (int s = 0; s < SYMBOLS; s++) {
            int r = t * SYMBOLS + s;
            times[r] = t * DAY_US;
            symbols[r] = (uint32_t)s;
            scores[r] = 0.5 + 0.4 * sin(1.7 * t + s);
            returns[r] = 0.02 * cos(2.3 * t + 1.1 * s) + 0.001;
        }
    return (weir_backtest_input){.row_count = ROWS, .time_us = times, .symbol = symbols, .symbol_count = SYMBOLS, .score = scores, .next_return = returns};
}

static void assert_near(double value, double expected, double relative) {
    if (!(fabs(value - expected) <= relative * fmax(fabs(expected), 1e-3))) fail_msg("%.17g is not %.17g", value, expected);
}

/* A is held at 1/2 (0.0495 earned), then kept by a score between the bounds while B is bought, then both: A is sold, B stays. */
static void test_three_periods_by_hand(void **state) {
    (void)state;
    const int64_t t[] = {0, 0, DAY_US, DAY_US, 2 * DAY_US, 2 * DAY_US};
    const uint32_t symbol[] = {0, 1, 0, 1, 0, 1};
    const double score[] = {.7, .3, .5, .8, .1, .5}, ret[] = {.1, .2, -.1, 0, .3, .1};
    weir_backtest_input in = {.row_count = 6, .time_us = t, .symbol = symbol, .symbol_count = 2, .score = score, .next_return = ret};
    weir_backtest_rule rule = {.upper = .6, .lower = .4, .cost_bps = 10, .periods_per_year = 12};
    weir_backtest b;
    weir_err err;
    assert_int_equal(weir_backtest_run(&in, &rule, 100, 1, &b, &err), WEIR_OK);
    assert_int_equal(b.count, 3);
    assert_near(b.points[0].turnover, 0.5, 1e-15);
    assert_near(b.points[0].net, 0.5 * 0.1 - 0.5 * 0.001, 1e-13);
    double drifted = 0.5 * 1.1 / 1.0495; /* A's share after it rose */
    assert_near(b.points[1].turnover, 0.5 + drifted - 0.5, 1e-13);
    assert_near(b.points[1].net, 0.5 * -0.1 - drifted * 0.001, 1e-13);
    assert_near(b.points[2].gross, 0.5 * 0.1, 1e-13);
    assert_near(b.strategy.total, 0.04579996250000007, 1e-12);
    assert_near(b.strategy.drawdown, 0.050524059075750305, 1e-12);
    assert_int_equal(b.strategy.drawdown_from_us, 0);
    assert_int_equal(b.strategy.drawdown_to_us, DAY_US);
    assert_near(b.hold.total, (1.1 * 0.9 * 1.3 + 1.2 * 1.0 * 1.1) / 2 * 0.999 - 1, 1e-12);
    assert_near(b.turnover, 6.098444085434506, 1e-12);
    assert_int_equal(b.positions, 4);
    assert_int_equal(b.hits, 2); /* A at first, B at last; B earned 0 in between, A lost */
    weir_backtest_done(&b);
}

static void test_figures_are_those_of_numpy(void **state) {
    (void)state;
    weir_backtest_input in = waves();
    weir_backtest_rule rule = {.upper = .6, .lower = .4, .with_short = true, .cost_bps = 7, .slippage_bps = 5, .periods_per_year = 252, .trials = 20};
    weir_backtest b;
    weir_err err;
    assert_int_equal(weir_backtest_run(&in, &rule, 500, 1, &b, &err), WEIR_OK);
    assert_near(b.strategy.total, -0.08507944148174162, 1e-12);
    assert_near(b.strategy.annual, -0.31164856365267957, 1e-12);
    assert_near(b.strategy.volatility, 0.15031920477410055, 1e-12);
    assert_near(b.strategy.sharpe, -2.408573339861254, 1e-11);
    assert_near(b.strategy.sharpe_error, 2.0717791582985594, 1e-11);
    assert_near(b.strategy.sharpe_p, 0.8774965305551613, 1e-11);
    assert_near(b.strategy.drawdown, 0.10328686942445797, 1e-12);
    assert_near(b.turnover, 272.0668974154675, 1e-12);
    assert_near(b.costs, 272.0668974154675 * 12e-4, 1e-12);
    assert_near(b.hold.total, 0.052536449594300594, 1e-12);
    assert_near(b.hold.sharpe, 1.5705720181311935, 1e-11);
    assert_near(b.excess, -0.5873013482118405, 1e-12);
    assert_near(b.deflated_p, 0.9988881200346418, 1e-11);
    assert_true(b.excess_low < b.excess && b.excess < b.excess_high);
    assert_true(b.sharpe_difference_low < b.sharpe_difference && b.sharpe_difference < b.sharpe_difference_high);
    weir_backtest again;
    assert_int_equal(weir_backtest_run(&in, &rule, 500, 1, &again, &err), WEIR_OK);
    assert_true(b.excess_low == again.excess_low && b.excess_high == again.excess_high);
    weir_backtest_done(&b);
    weir_backtest_done(&again);
}

/* Scores that know nothing of the returns: the ratio's p must not fall below 5 % more often than it should, and deflation makes it rarer. */
static void test_noise_shows_no_edge(void **state) {
    (void)state;
    enum { RUNS = 300, DAYS = 250 };
    static double score[DAYS], ret[DAYS];
    static int64_t t[DAYS];
    int found = 0, deflated = 0;
    uint64_t random = 11;
    for (int k = 0; k < RUNS; k++) {
        for (int i = 0; i < DAYS; i++) {
            t[i] = i * DAY_US;
            score[i] = (double)weir_models_random(&random) * 0x1p-64;
            ret[i] = ((double)weir_models_random(&random) * 0x1p-64 - 0.5) * 0.04;
        }
        weir_backtest_input in = {.row_count = DAYS, .time_us = t, .score = score, .next_return = ret};
        weir_backtest_rule rule = {.upper = .5, .lower = .5, .with_short = true, .periods_per_year = 252, .trials = 10};
        weir_backtest b;
        weir_err err;
        assert_int_equal(weir_backtest_run(&in, &rule, 100, 1, &b, &err), WEIR_OK);
        found += b.strategy.sharpe_p < 0.05;
        deflated += b.deflated_p < 0.05;
        weir_backtest_done(&b);
    }
    assert_in_range(found, 4, 28); /* binomial(300, 0.05): 15 ± 13 */
    assert_true(deflated <= found / 2);
}

/* A symbol that is missing is sold; unknown returns are left out; knowing the sign of every return earns in every period. */
static void test_gaps_and_a_perfect_score(void **state) {
    (void)state;
    weir_backtest_input in = waves();
    weir_backtest_rule rule = {.upper = .5, .lower = .5, .periods_per_year = 252};
    weir_backtest b;
    weir_err err;
    for (int r = 0; r < ROWS; r++) scores[r] = returns[r] > 0;
    returns[3 * SYMBOLS] = NAN;
    assert_int_equal(weir_backtest_run(&in, &rule, 100, 1, &b, &err), WEIR_OK);
    assert_int_equal(b.rows, ROWS - 1);
    assert_near(b.hit_rate, 1, 0);
    for (int i = 0; i < b.count; i++) assert_true(b.points[i].gross >= 0);
    assert_near(b.strategy.drawdown, 0, 0);
    assert_true(isnan(b.deflated_p));
    weir_backtest_done(&b);
}

static void refused(const weir_backtest_input *in, const weir_backtest_rule *rule, weir_status expected, const char *word) {
    weir_backtest b = {.count = 77};
    weir_err err = {0};
    assert_int_equal(weir_backtest_run(in, rule, 100, 1, &b, &err), expected);
    if (!strstr(err.message, word)) fail_msg("\"%s\" does not say %s", err.message, word);
    assert_int_equal(b.count, 77);
}

static void test_what_cannot_be_is_refused(void **state) {
    (void)state;
    weir_backtest_rule good = {.upper = .5, .lower = .5}, bad = {.upper = .4, .lower = .5}, dear = {.cost_bps = -1};
    weir_backtest_input in = waves();
    refused(&in, &bad, WEIR_EINVAL, "lower bound");
    refused(&in, &dear, WEIR_EINVAL, "basis points");
    returns[5] = -1;
    refused(&in, &good, WEIR_EDATA, "below 0");
    in = waves();
    scores[5] = INFINITY;
    refused(&in, &good, WEIR_ENUMERIC, "row 5");
    in = waves();
    symbols[1] = 0;
    refused(&in, &good, WEIR_EDATA, "twice");
    in = waves();
    symbols[1] = SYMBOLS;
    refused(&in, &good, WEIR_EDATA, "symbol 3 of 3");
    in = waves();
    times[6] = 0;
    refused(&in, &good, WEIR_EDATA, "earlier");
    in = waves();
    in.row_count = 2 * SYMBOLS;
    refused(&in, &good, WEIR_EDATA, "2 periods");
}

static void test_without_memory(void **state) {
    (void)state;
    weir_backtest_input in = waves();
    weir_backtest_rule rule = {.upper = .5, .lower = .5};
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    weir_status status = WEIR_ENOMEM;
    int n = 0;
    for (; status != WEIR_OK; n++) {
        weir_backtest b;
        weir_err err;
        allocations_left = n;
        status = weir_backtest_run(&in, &rule, 100, 1, &b, &err);
        if (status == WEIR_OK)
            weir_backtest_done(&b);
        else
            assert_int_equal(status, WEIR_ENOMEM);
    }
    weir_mem = before;
    assert_int_equal(n, 10); /* points, five arrays of the book, returns, draws, times, and one that sufficed */
}

/* scipy.stats.norm.ppf */
static void test_normal_quantiles(void **state) {
    (void)state;
    const double p[] = {1e-300, 1e-5, .025, .3, .5, .9, .975, 1 - 1e-9};
    const double x[] = {-37.0470962993612,  -4.264890793922825, -1.9599639845400545, -0.5244005127080409, 0.0,
                        1.2815515655446004, 1.959963984540054,  5.997807019601637};
    for (int i = 0; i < 8; i++)
        if (!(fabs(weir_normal_inverse(p[i]) - x[i]) <= 1e-12 * fmax(fabs(x[i]), 1))) fail_msg("%g: %.17g", p[i], weir_normal_inverse(p[i]));
    assert_true(weir_normal_inverse(0) == -INFINITY && weir_normal_inverse(1) == INFINITY);
    assert_true(isnan(weir_normal_inverse(1.5)) && isnan(weir_normal_inverse(NAN)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_periods_by_hand),    cmocka_unit_test(test_figures_are_those_of_numpy), cmocka_unit_test(test_noise_shows_no_edge),
        cmocka_unit_test(test_gaps_and_a_perfect_score), cmocka_unit_test(test_what_cannot_be_is_refused),  cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_normal_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
