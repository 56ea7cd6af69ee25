/* The drift report; see drift_page.h. Columns that drifted come first, those furthest above their limit before the others. */
#include "cli/drift_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/chart.h"

enum { BINS = 24, CATEGORIES = 10 };

static const char more_style[] =
    "section{break-inside:auto}h2{break-after:avoid}figure h3{margin-bottom:2px}"
    ".pair{grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr))}figure{min-width:0}figure .note{margin:0 0 8px;overflow-wrap:anywhere}"
    ".tests{font-size:13.5px}.tests th{font-size:12.5px}.tests td,.tests th{padding:6px 7px}.tests td:first-child{white-space:normal;overflow-wrap:anywhere;"
    "min-width:130px}"
    ".tests tr.drifted td{font-weight:600}.mark{display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:8px;background:var(--rule)}"
    ".drifted .mark,.mark.on{background:var(--c4)}"
    ".shares{font-size:13.5px;margin:4px 0 0}.shares td{padding:4px 8px;vertical-align:middle}.shares td:first-child{white-space:normal;overflow-wrap:anywhere;"
    "width:36%}.shares .lane{width:64%;padding-right:0}.shares i{display:inline-block;height:8px;border-radius:2px;min-width:1px;vertical-align:1px;"
    "margin-right:6px}.shares small{display:block;line-height:1.35;white-space:nowrap}.shares i.f0{background:var(--c0)}.shares i.f1{background:var(--c1)}"
    "@page{size:A4;margin:14mm 13mm}@media print{main{padding:0;max-width:none}body{font-size:13.5px}h1{font-size:28px}.lead{font-size:16px}"
    "section{margin-top:24px;padding-top:16px}.pair{grid-template-columns:1fr 1fr;gap:18px 22px}.scroll{overflow:visible}.tests{font-size:11.5px;"
    "break-inside:auto}.tests tr{break-inside:avoid}thead{display:table-header-group}.flow{break-inside:avoid}}";

static const char *const statistic_words[] = {
    [WEIR_DRIFT_AUTO] = "",
    [WEIR_DRIFT_KS] = "Kolmogorov\u2013Smirnov",
    [WEIR_DRIFT_WASSERSTEIN] = "Wasserstein",
    [WEIR_DRIFT_PSI] = "PSI",
    [WEIR_DRIFT_JENSEN_SHANNON] = "Jensen\u2013Shannon",
    [WEIR_DRIFT_CHI_SQUARED] = "\u03c7\u00b2",
    [WEIR_DRIFT_PROPORTION] = "proportion",
    [WEIR_DRIFT_MISSING] = "missing",
    [WEIR_DRIFT_UNSEEN] = "unseen values",
};

static char *p_words(double p, char text[WEIR_WORDS_MAX]) {
    if (isfinite(p) && p < 0.0001) return strcpy(text, "&lt;\u202f0.0001");
    return weir_words_ratio(p, 4, text);
}

static char *percent(double share, char text[WEIR_WORDS_MAX]) {
    snprintf(text, WEIR_WORDS_MAX, "%.3g\u202f%%", 100 * share);
    return text;
}

/* How far above its limit the worst of a column's tests is; drifted columns come before all others. */
static double rank_of(const weir_drift_column *c) {
    double most = c->tested ? 0 : -1;
    for (int i = 0; i < c->test_count; i++) most = fmax(most, c->tests[i].threshold > 0 ? c->tests[i].effect / c->tests[i].threshold : c->tests[i].effect);
    return most + (c->drifted ? 1e9 : 0) + (c->drifted && !c->test_count ? 1e9 : 0);
}

static int by_rank(const void *a, const void *b) {
    double x = rank_of(*(const weir_drift_column *const *)a), y = rank_of(*(const weir_drift_column *const *)b);
    return (x < y) - (x > y);
}

/* --- parts --- */

static void cell(weir_page *page, const char *figure, const char *what, const char *more) {
    weir_page_printf(page, "<div><b>%s</b><span class=\"what\">%s</span><span>", figure, what);
    weir_page_text(page, more);
    weir_page_put(page, "</span></div>");
}

static void put_summary(weir_page *page, const weir_drift_page *p) {
    static const char *const words[] = {"No drift", "Little drift", "High drift", "Critical drift"};
    const weir_drift_report *r = p->report;
    char a[WEIR_WORDS_MAX], more[2 * WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX];
    weir_page_put(page, "<p class=\"lead\">");
    if (r->drifted_features)
        weir_page_printf(page, "%d of %d columns no longer look like the reference", r->drifted_features, r->features);
    else
        weir_page_printf(page, "None of %d columns differs from the reference by more than its limit", r->features);
    weir_page_printf(page, ". Severity is high above %s of the columns, critical above %s.</p>", percent(p->high_share, a), percent(p->critical_share, b));
    weir_page_put(page, "<div class=\"flow\">");
    snprintf(more, sizeof more, "%d of %d columns", r->drifted_features, r->features);
    cell(page, percent(r->share, a), "of the columns drifted", more);
    cell(page, words[r->severity], "severity", "");
    cell(page, weir_words_count(r->reference_records, a), "reference records", p->reference_name);
    cell(page, weir_words_count(r->current_records, a), "current records", p->current_name);
    weir_page_put(page, "</div>");
    snprintf(c, sizeof c, "%g", r->alpha);
    weir_page_printf(page,
                     "<p class=\"note\" style=\"margin-top:16px\">A column has drifted when a difference is both beyond chance (p after Benjamini and Hochberg "
                     "over all tests at most %s) and large enough to matter (effect at least the limit of its statistic).</p>",
                     c);
}

static void put_test(weir_page *page, const weir_drift_column *c, int i) {
    char a[WEIR_WORDS_MAX];
    const weir_drift_test *t = &c->tests[i];
    weir_page_printf(page, "<tr%s><td>", t->drifted ? " class=\"drifted\"" : "");
    weir_page_printf(page, "<span class=\"mark%s\"%s></span>", c->drifted ? " on" : "", i ? " style=\"visibility:hidden\"" : "");
    if (!i) weir_page_text(page, c->name);
    weir_page_printf(page, "<td class=\"text\">%s<td class=\"text\">%s", i ? "" : weir_drift_type_names[c->type], statistic_words[t->statistic]);
    weir_page_printf(page, "<td>%s", weir_words_number(t->value, 3, a));
    weir_page_printf(page, "<td>%s", weir_words_number(t->effect, 3, a));
    weir_page_printf(page, "<td>%s", weir_words_number(t->threshold, 3, a));
    weir_page_printf(page, "<td>%s", p_words(t->p, a));
    weir_page_printf(page, "<td>%s", p_words(t->adjusted_p, a));
    weir_page_printf(page, "<td class=\"text\">%s</tr>", t->drifted ? "drift" : "\u2013");
}

static void put_table(weir_page *page, const weir_drift_column *const *columns, int count) {
    weir_page_put(page, "<section><h2>Tests</h2><div class=\"scroll\"><table class=\"tests\"><thead><tr><th>Column<th class=\"text\">Type<th class=\"text\">"
                        "Statistic<th>Value<th>Effect<th>Limit<th>p<th>Adjusted p<th class=\"text\">Verdict</tr></thead><tbody>");
    for (int i = 0; i < count; i++) {
        const weir_drift_column *c = columns[i];
        for (int k = 0; k < c->test_count; k++) put_test(page, c, k);
        if (c->test_count) continue;
        weir_page_printf(page, "<tr%s><td><span class=\"mark\"></span>", c->drifted ? " class=\"drifted\"" : "");
        weir_page_text(page, c->name);
        weir_page_printf(page, "<td class=\"text\">%s<td class=\"text wrap\" colspan=\"7\">", weir_drift_type_names[c->type]);
        weir_page_text(page, c->reason);
        weir_page_put(page, "</tr>");
    }
    weir_page_put(
        page,
        "</tbody></table></div><p class=\"note\">Effects: of Wasserstein over the standard deviation of the reference; of \u03c7\u00b2 Cohen\u2019s w; of "
        "proportions and missing values Cohen\u2019s h; else the statistic itself.</p></section>");
}

/* --- pictures --- */

static void put_numbers(weir_page *page, const char *name, const weir_drift_spread *s) {
    double most = 0;
    for (int i = 0; i < s->count; i++) most = fmax(most, 100 * fmax(s->reference[i], s->current[i]));
    weir_chart_plot plot = {.title = name, .y_label = "% of values", .x0 = s->low, .x1 = s->high, .y1 = most > 0 ? most : 1, .exact_x = true, .height = 170};
    double reference[WEIR_DRIFT_SPREAD_MAX], current[WEIR_DRIFT_SPREAD_MAX];
    for (int i = 0; i < s->count; i++) reference[i] = 100 * s->reference[i], current[i] = 100 * s->current[i];
    weir_chart_plot_open(page, &plot);
    weir_chart_plot_bars(page, &plot, s->low, s->high, reference, s->count, 0, -1);
    weir_chart_plot_bars(page, &plot, s->low, s->high, current, s->count, 1, 1);
    weir_chart_plot_close(page);
}

/* What a category is called. Either side remembers only so many texts; of one that neither does there is just its number. */
static const char *category_name(const weir_drift_profile *reference, const weir_drift_profile *current, double value, char text[WEIR_DRIFT_TEXT_MAX + 1]) {
    char number[WEIR_DRIFT_TEXT_MAX + 1];
    snprintf(number, sizeof number, "%.17g", value);
    if (weir_drift_profile_summary(reference).type == WEIR_DRIFT_BOOL) return value != 0 ? "true" : "false";
    if (strcmp(weir_drift_profile_text(reference, value, text), number) != 0) return text;
    if (strcmp(weir_drift_profile_text(current, value, text), number) != 0) return text;
    return value > 1e9 ? "(a text not remembered)" : text;
}

static void put_share(weir_page *page, int series, double share, double most) {
    char a[WEIR_WORDS_MAX];
    weir_page_put(page, "<small>");
    if (most > 0) weir_page_printf(page, "<i class=\"f%d\" style=\"width:%.1f%%\"></i>", series, 70 * share / most);
    weir_page_printf(page, "%s</small>", percent(share, a));
}

/* The share of all others has no bar: it would dwarf those of the values that are named. */
static void put_categories(weir_page *page, const weir_drift_profile *reference, const weir_drift_profile *current, const weir_drift_spread *s) {
    char text[WEIR_DRIFT_TEXT_MAX + 1];
    int named = s->count - s->rest;
    double most = 1e-9;
    for (int i = 0; i < named; i++) most = fmax(most, fmax(s->reference[i], s->current[i]));
    weir_page_put(page, "<table class=\"shares\">");
    for (int i = 0; i < s->count; i++) {
        weir_page_put(page, "<tr><td>");
        weir_page_text(page, i < named ? category_name(reference, current, s->values[i], text) : "all others");
        weir_page_put(page, "<td class=\"text lane\">");
        put_share(page, 0, s->reference[i], i < named ? most : 0);
        put_share(page, 1, s->current[i], i < named ? most : 0);
        weir_page_put(page, "</tr>");
    }
    weir_page_put(page, "</table>");
}

static weir_status put_column(weir_page *page, const weir_drift_page *p, const weir_drift_column *c, weir_err *err) {
    int before = weir_drift_table_find(p->reference, c->name), now = weir_drift_table_find(p->current, c->name);
    weir_drift_spread spread = {0};
    weir_status status = WEIR_OK;
    if (before < 0 || now < 0) return WEIR_OK;
    const weir_drift_profile *reference = weir_drift_table_profile(p->reference, before), *current = weir_drift_table_profile(p->current, now);
    bool numbers = c->type == WEIR_DRIFT_NUMBER;
    if ((status = weir_drift_spread_of(reference, current, numbers ? BINS : CATEGORIES, &spread, err))) return status;
    weir_page_printf(page, "<figure><h3><span class=\"mark%s\"></span>", c->drifted ? " on" : "");
    weir_page_text(page, c->name);
    weir_page_put(page, "</h3><p class=\"note\">");
    weir_page_text(page, c->reason);
    weir_page_put(page, "</p>");
    if (spread.count && spread.categories)
        put_categories(page, reference, current, &spread);
    else if (spread.count)
        put_numbers(page, c->name, &spread);
    weir_page_put(page, "</figure>");
    return WEIR_OK;
}

static weir_status put_pictures(weir_page *page, const weir_drift_page *p, const weir_drift_column *const *columns, int count, weir_err *err) {
    weir_status status = WEIR_OK;
    weir_page_put(page, "<section><h2>Distributions</h2><div class=\"legend\"><span><i class=\"f0\"></i>reference, ");
    weir_page_text(page, p->reference_name);
    weir_page_put(page, "</span><span><i class=\"f1\"></i>current, ");
    weir_page_text(page, p->current_name);
    weir_page_put(page,
                  "</span></div><p class=\"note\">Shares of each side\u2019s values. Numbers are shown between the 1 % and 99 % quantiles of either side and a "
                  "margin; what lies beyond is in the first and last bar.</p><div class=\"pair\">");
    for (int i = 0; !status && i < count; i++) status = put_column(page, p, columns[i], err);
    weir_page_put(page, "</div></section>");
    return status;
}

weir_status weir_drift_page_write(const weir_drift_page *p, weir_buf *out, weir_err *err) {
    weir_page page = {.buf = out};
    char a[WEIR_WORDS_MAX];
    int count = p->report->column_count;
    const weir_drift_column **columns = weir_mem.realloc(NULL, ((size_t)count + 1) * sizeof *columns);
    if (!columns) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the page");
    for (int i = 0; i < count; i++) columns[i] = &p->report->columns[i];
    qsort(columns, (size_t)count, sizeof *columns, by_rank);
    weir_page_put(&page, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                         "content=\"width=device-width,initial-scale=1\"><title>Drift of ");
    weir_page_text(&page, p->name);
    weir_page_put(&page, "</title><style>");
    weir_page_put(&page, weir_page_style);
    weir_page_put(&page, more_style);
    weir_page_printf(&page, "</style></head><body><main><header><p class=\"over\">Drift, %s</p><h1>", weir_words_moment(p->made_at_us, a));
    weir_page_text(&page, p->name);
    weir_page_put(&page, "</h1></header>");
    put_summary(&page, p);
    put_table(&page, columns, count);
    weir_status status = put_pictures(&page, p, columns, count, err);
    weir_page_put(&page, "<footer>Made by weir drift.</footer></main></body></html>\n");
    weir_mem.realloc(columns, 0);
    if (!status && page.failed) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the page");
    return status;
}
