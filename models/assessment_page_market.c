/* The section of a market's backtest. */
#include <math.h>
#include <stdio.h>

#include "models/assessment_page.h"
#include "models/memory.h"

typedef struct lines {
    weir_point *equity, *hold, *drawdown, *hold_drawdown; /* one block */
    int count;
} lines;

static bool read_lines(weir_section *s, const cJSON *list, lines *l) {
    int n = cJSON_GetArraySize(list);
    const cJSON *p;
    *l = (lines){.equity = weir_models_calloc((size_t)n, 4 * sizeof *l->equity)};
    if (!l->equity) s->page.failed = true;
    if (!l->equity || n < 2) return false;
    l->hold = l->equity + n, l->drawdown = l->equity + 2 * n, l->hold_drawdown = l->equity + 3 * n;
    cJSON_ArrayForEach(p, list) {
        double t = weir_section_number(p, "time_us");
        l->equity[l->count] = (weir_point){t, weir_section_number(p, "equity")};
        l->hold[l->count] = (weir_point){t, weir_section_number(p, "hold")};
        l->drawdown[l->count] = (weir_point){t, -100 * weir_section_number(p, "drawdown")};
        l->hold_drawdown[l->count] = (weir_point){t, -100 * weir_section_number(p, "hold_drawdown")};
        l->count++;
    }
    return true;
}

static void two_lines(weir_section *s, const char *title, const char *y_label, const weir_point *a, const weir_point *b, int count, int height) {
    weir_chart_plot plot = {.title = title,
                            .y_label = y_label,
                            .x_time = true,
                            .wide = true,
                            .height = height,
                            .x0 = a[0].x,
                            .x1 = a[count - 1].x,
                            .y0 = INFINITY,
                            .y1 = -INFINITY};
    for (int i = 0; i < count; i++) plot.y0 = fmin(plot.y0, fmin(a[i].y, b[i].y)), plot.y1 = fmax(plot.y1, fmax(a[i].y, b[i].y));
    weir_section_legend(s, (const char *const[]){"by the model’s scores, after costs", "buy and hold"}, 2);
    weir_page_put(&s->page, "<div class=\"scroll\">");
    weir_chart_plot_open(&s->page, &plot);
    weir_chart_plot_line(&s->page, &plot, b, count, 1);
    weir_chart_plot_line(&s->page, &plot, a, count, 0);
    weir_chart_plot_close(&s->page);
    weir_page_put(&s->page, "</div>");
}

static void performance_row(weir_section *s, const char *name, const cJSON *p) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX], e[WEIR_WORDS_MAX], f[WEIR_WORDS_MAX], g[WEIR_WORDS_MAX];
    weir_page_printf(&s->page, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s<small>± %s</small></td><td>%s</td><td>%s</td></tr>", name,
                     weir_section_percent(weir_section_number(p, "total"), 1, a), weir_section_percent(weir_section_number(p, "annual"), 1, b),
                     weir_section_percent(weir_section_number(p, "volatility"), 1, c), weir_words_ratio(weir_section_number(p, "sharpe"), 2, d),
                     weir_words_ratio(weir_section_number(p, "sharpe_error"), 2, e), weir_section_p(weir_section_number(p, "sharpe_p"), f),
                     weir_section_percent(weir_section_number(p, "drawdown"), 1, g));
}

static void verdict(weir_section *s, const cJSON *b) {
    double low = weir_section_number(b, "excess_low"), high = weir_section_number(b, "excess_high"), deflated = weir_section_number(b, "deflated_p");
    char a[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX];
    weir_page_printf(&s->page, "<p class=\"lead\">Against buying and holding it earned <b>%s a year</b> (95\u00a0%% interval %s to %s): ",
                     weir_section_percent(weir_section_number(b, "excess"), 1, a), weir_section_percent(low, 1, c), weir_section_percent(high, 1, d));
    weir_page_put(&s->page, low > 0 ? "more than chance explains." : high < 0 ? "less than chance explains." : "no difference that chance could not make.");
    if (isfinite(deflated))
        weir_page_printf(&s->page, " Taking into account that it is the best of %s tries, its Sharpe ratio %s above what luck gives (deflated p %s).",
                         weir_section_plain(weir_section_number(b, "trials"), c), deflated < 0.05 ? "is" : "is not", weir_section_p(deflated, a));
    weir_page_put(&s->page, "</p>");
}

static void rule_words(weir_section *s, const cJSON *b) {
    const cJSON *r = weir_section_get(b, "rule");
    char a[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX], e[WEIR_WORDS_MAX];
    weir_page_printf(&s->page, "<p>Rule: long above a score of %s, %s below %s, each of %s symbols with an equal part of the capital; ",
                     weir_section_plain(weir_section_number(r, "upper"), a), cJSON_IsTrue(weir_section_get(r, "with_short")) ? "short" : "out",
                     weir_section_plain(weir_section_number(r, "lower"), c), weir_section_plain(weir_section_number(b, "symbols"), d));
    weir_page_printf(&s->page, "%s basis points of costs and %s of slippage on what is traded. ", weir_section_plain(weir_section_number(r, "cost_bps"), a),
                     weir_section_plain(weir_section_number(r, "slippage_bps"), c));
    weir_page_printf(&s->page, "It was invested by %s on average, traded %s times its capital a year and paid %s of it for that; ",
                     weir_section_percent(weir_section_number(b, "exposure"), 0, a), weir_words_number(weir_section_number(b, "turnover"), 2, c),
                     weir_section_percent(weir_section_number(b, "costs"), 1, d));
    weir_page_printf(&s->page, "%s of its positions earned something.</p>", weir_section_percent(weir_section_number(b, "hit_rate"), 1, e));
}

static void costs_table(weir_section *s, const cJSON *b) {
    const cJSON *list = weir_section_get(b, "at_costs"), *row;
    if (!cJSON_GetArraySize(list)) return;
    weir_page_put(&s->page, "<h3 style=\"margin-top:22px\">At other costs</h3><div class=\"scroll\"><table class=\"small\"><thead><tr><th>Basis points, all in "
                            "all</th><th>Return a year</th><th>Sharpe "
                            "ratio</th></tr></thead><tbody>");
    cJSON_ArrayForEach(row, list) {
        char a[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX];
        weir_page_printf(&s->page, "<tr><td>%s</td><td>%s</td><td>%s</td></tr>", weir_section_plain(weir_section_number(row, "bps"), d),
                         weir_section_percent(weir_section_number(row, "annual"), 1, a), weir_words_ratio(weir_section_number(row, "sharpe"), 2, c));
    }
    weir_page_put(&s->page, "</tbody></table></div>");
}

void weir_section_backtest(weir_section *s) {
    const cJSON *b = weir_section_get(s->json, "backtest");
    lines l;
    if (!b) return;
    weir_page_put(&s->page, "<section><h2>What would it have earned?</h2>");
    if (!weir_section_none(s, b, "Backtest")) {
        verdict(s, b);
        rule_words(s, b);
        if (read_lines(s, weir_section_get(b, "points"), &l)) {
            weir_section_figure(s, "Growth of one unit of capital", "On the test rows alone, which the model had not seen.");
            two_lines(s, "Equity", "capital", l.equity, l.hold, l.count, 260);
            weir_section_figure_end(s);
            weir_page_put(&s->page, "<div style=\"margin-top:20px\">");
            weir_section_figure(s, "Drawdown", "How far below its highest value so far, in per cent.");
            two_lines(s, "Drawdown", "%", l.drawdown, l.hold_drawdown, l.count, 150);
            weir_section_figure_end(s);
            weir_page_put(&s->page, "</div>");
        }
        weir_models_free(l.equity);
        weir_page_put(&s->page, "<div class=\"scroll\"><table><thead><tr><th></th><th>Return</th><th>A year</th><th>Volatility</th><th>Sharpe ratio</th><th>p "
                                "of the ratio</th><th>Largest "
                                "drawdown</th></tr></thead><tbody>");
        performance_row(s, "The model’s scores, after costs", weir_section_get(b, "strategy"));
        performance_row(s, "Buy and hold", weir_section_get(b, "hold"));
        weir_page_put(&s->page, "</tbody></table></div><p class=\"note\">± is the standard error of the ratio, without the assumption of normal returns "
                                "(Mertens). p: the probability of such a ratio "
                                "if the true one were 0. Interest, taxes and the effect of one’s own trades on prices are left out.</p>");
        costs_table(s, b);
    }
    weir_page_put(&s->page, "</section>");
}
