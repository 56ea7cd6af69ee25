/* What a market's scores would have earned, as part of the report; see backtest.h. */
#include <math.h>

#include "models/assess_internal.h"

enum { REPLICATES = 2000, POINTS = 600 };

static void put_performance(weir_assess_state *s, cJSON *parent, const char *key, const weir_performance *p) {
    cJSON *object = weir_assess_object(s, parent, key);
    weir_assess_number(s, object, "total", p->total);
    weir_assess_number(s, object, "annual", p->annual);
    weir_assess_number(s, object, "volatility", p->volatility);
    weir_assess_number(s, object, "sharpe", p->sharpe);
    weir_assess_number(s, object, "sharpe_error", p->sharpe_error);
    weir_assess_number(s, object, "sharpe_p", p->sharpe_p);
    weir_assess_number(s, object, "drawdown", p->drawdown);
    if (p->drawdown > 0) {
        weir_assess_time(s, object, "drawdown_from_us", p->drawdown_from_us);
        weir_assess_time(s, object, "drawdown_to_us", p->drawdown_to_us);
    }
}

static void put_points(weir_assess_state *s, cJSON *parent, const weir_backtest *b) {
    cJSON *array = weir_assess_array(s, parent, "points");
    int64_t every = (b->count + POINTS - 1) / POINTS;
    for (int64_t i = 0; i < b->count && !s->no_memory; i++) {
        const weir_backtest_point *p = &b->points[i];
        if (i % every && i < b->count - 1) continue;
        cJSON *point = weir_assess_object(s, array, NULL);
        weir_assess_time(s, point, "time_us", p->time_us);
        weir_assess_number(s, point, "equity", p->equity);
        weir_assess_number(s, point, "hold", p->hold_equity);
        weir_assess_number(s, point, "drawdown", p->drawdown);
        weir_assess_number(s, point, "hold_drawdown", p->hold_drawdown);
        weir_assess_number(s, point, "exposure", p->exposure);
    }
}

static void put_all(weir_assess_state *s, cJSON *object, const weir_backtest_rule *rule, const weir_backtest *b) {
    cJSON *r = weir_assess_object(s, object, "rule");
    weir_assess_number(s, r, "upper", rule->upper);
    weir_assess_number(s, r, "lower", rule->lower);
    weir_assess_flag(s, r, "with_short", rule->with_short);
    weir_assess_number(s, r, "cost_bps", rule->cost_bps);
    weir_assess_number(s, r, "slippage_bps", rule->slippage_bps);
    weir_assess_number(s, object, "periods", (double)b->count);
    weir_assess_number(s, object, "periods_per_year", b->periods_per_year);
    weir_assess_number(s, object, "rows", (double)b->rows);
    weir_assess_number(s, object, "symbols", (double)b->symbols);
    put_performance(s, object, "strategy", &b->strategy);
    put_performance(s, object, "hold", &b->hold);
    weir_assess_number(s, object, "turnover", b->turnover);
    weir_assess_number(s, object, "costs", b->costs);
    weir_assess_number(s, object, "exposure", b->exposure);
    weir_assess_number(s, object, "positions", (double)b->positions);
    weir_assess_number(s, object, "hit_rate", b->hit_rate);
    weir_assess_number(s, object, "trials", rule->trials);
    weir_assess_number(s, object, "deflated_p", b->deflated_p);
    weir_assess_number(s, object, "excess", b->excess);
    weir_assess_number(s, object, "excess_low", b->excess_low);
    weir_assess_number(s, object, "excess_high", b->excess_high);
    weir_assess_number(s, object, "sharpe_difference", b->sharpe_difference);
    weir_assess_number(s, object, "sharpe_difference_low", b->sharpe_difference_low);
    weir_assess_number(s, object, "sharpe_difference_high", b->sharpe_difference_high);
    weir_assess_number(s, object, "block", (double)b->block);
    put_points(s, object, b);
}

/* The same positions at other costs: at which does what is earned go? */
static weir_status costs(weir_assess_state *s, cJSON *object, const weir_backtest_input *in, const weir_backtest_rule *rule, weir_err *err) {
    static const double bps[] = {0, 2, 5, 10, 20, 50};
    cJSON *array = weir_assess_array(s, object, "at_costs");
    for (size_t i = 0; i < sizeof bps / sizeof *bps; i++) {
        weir_backtest_rule other = *rule;
        weir_backtest b;
        other.cost_bps = bps[i];
        other.slippage_bps = 0;
        weir_status status = weir_backtest_run(in, &other, 100, s->a->seed, &b, err);
        if (status) return status;
        cJSON *row = weir_assess_object(s, array, NULL);
        weir_assess_number(s, row, "bps", bps[i]);
        weir_assess_number(s, row, "annual", b.strategy.annual);
        weir_assess_number(s, row, "sharpe", b.strategy.sharpe);
        weir_backtest_done(&b);
    }
    return WEIR_OK;
}

weir_status weir_assess_backtest(weir_assess_state *s, weir_err *err) {
    if (!s->a->market) return WEIR_OK;
    const weir_backtest_rule *given = &s->a->rule;
    weir_backtest_rule rule = *given;
    bool none = given->upper == 0 && given->lower == 0 && !given->with_short && given->cost_bps == 0 && given->slippage_bps == 0;
    if (none) {
        rule.upper = rule.lower = s->task == WEIR_TASK_BINARY ? 0.5 : 0; /* scores that are returns: above zero */
        rule.cost_bps = rule.slippage_bps = 5;
    }
    if (!rule.trials) rule.trials = s->a->board ? s->a->board->trials : s->a->model_count;
    if (s->task == WEIR_TASK_MULTICLASS) {
        weir_assess_none(s, s->json, "backtest", "positions are taken by one score a row, not by classes");
        return WEIR_OK;
    }
    weir_backtest_input in = {.row_count = s->rows,
                              .time_us = s->test->time_us,
                              .symbol = s->test->entity,
                              .symbol_count = s->test->entity_count,
                              .score = s->score[0],
                              .next_return = s->a->test_returns};
    weir_backtest b;
    weir_err why = {0};
    weir_status status = weir_backtest_run(&in, &rule, REPLICATES, s->a->seed, &b, &why);
    if (status == WEIR_EDATA) {
        weir_assess_none(s, s->json, "backtest", why.message);
        return WEIR_OK;
    }
    if (status) {
        if (err) *err = why;
        return status;
    }
    cJSON *object = weir_assess_object(s, s->json, "backtest");
    put_all(s, object, &rule, &b);
    weir_backtest_done(&b);
    return costs(s, object, &in, &rule, err);
}
