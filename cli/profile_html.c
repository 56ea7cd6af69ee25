/* The quality report; see profile_html.h. */
#include "cli/profile_html.h"

#include <math.h>
#include <stdio.h>

#include "core/chart.h"

static const char more_style[] =
    ".overview{font-size:13.5px}.overview th{font-size:12.5px}.overview td,.overview th{padding:6px}"
    ".bars{margin:6px 0 0}.bars td{padding:4px 10px;font-size:13.5px}.bars td.text{max-width:240px;overflow:hidden;text-overflow:ellipsis}"
    ".facts{color:var(--soft);font-size:14px;margin:2px 0 10px}.verdicts{padding-left:20px;max-width:52em}.verdicts li{margin:0 0 6px}"
    ".column{break-inside:avoid;border-top:1px solid var(--rule);padding-top:16px;margin-top:22px}"
    ".matrix td,.matrix th{padding:3px 4px;font-size:12px;text-align:center;border-bottom:0}.matrix td:first-child,.matrix th:first-child{text-align:left}"
    ".matrix td.r{color:#1c2126}.matrix th{writing-mode:vertical-rl;transform:rotate(180deg);max-height:150px;border:0}"
    ".matrix th:first-child{writing-mode:horizontal-tb;transform:none}";

static char *number(double value, char text[WEIR_WORDS_MAX]) {
    if (isfinite(value))
        snprintf(text, WEIR_WORDS_MAX, "%.6g", value);
    else
        snprintf(text, WEIR_WORDS_MAX, "\u2013");
    return text;
}

static char *percent(double part, double whole, char text[WEIR_WORDS_MAX]) {
    snprintf(text, WEIR_WORDS_MAX, "%.3g\u00a0%%", whole > 0 ? 100 * part / whole : 0);
    return text;
}

static void cell(weir_page *page, const char *figure, const char *what, const char *more) {
    weir_page_printf(page, "<div><b>%s</b><span class=\"what\">%s</span><span>", figure, what);
    weir_page_text(page, more);
    weir_page_put(page, "</span></div>");
}

static void put_flow(weir_page *page, const weir_profile *p) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
    int64_t missing = 0;
    for (int i = 0; i < p->column_count; i++) missing += p->columns[i].missing;
    weir_page_put(page, "<div class=\"flow\">");
    cell(page, weir_words_count(p->rows, a), "rows", "");
    cell(page, weir_words_count(p->column_count, a), "columns", "");
    cell(page, percent((double)missing, (double)p->rows * p->column_count, a), "of the values missing", "");
    cell(page, weir_words_count(p->duplicates, a), "repeated rows",
         p->duplicates_exact ? "like an earlier one in every column" : "about; estimated from a sketch");
    if (isfinite(p->coverage.coverage) && p->coverage.known) cell(page, weir_words_count(p->coverage.gap_count, a), "gaps in time", "of more than five steps");
    weir_page_put(page, "</div>");
    if (p->coverage.known)
        weir_page_printf(page, "<p class=\"note\">%s to %s.</p>", weir_words_moment(p->coverage.first_us, a), weir_words_moment(p->coverage.last_us, b));
}

static void put_verdicts(weir_page *page, const weir_profile *p) {
    weir_page_put(page, "<section><h2>What stands out</h2>");
    if (!p->verdict_count) weir_page_put(page, "<p>Nothing.</p>");
    weir_page_put(page, "<ul class=\"verdicts\">");
    for (int i = 0; i < p->verdict_count; i++) {
        weir_page_put(page, "<li>");
        weir_page_text(page, p->verdicts[i]);
        weir_page_put(page, "</li>");
    }
    weir_page_put(page, "</ul></section>");
}

static void put_overview(weir_page *page, const weir_profile *p) {
    char a[WEIR_WORDS_MAX];
    weir_page_put(page, "<section><h2>Columns</h2><div class=\"scroll\"><table class=\"overview\"><tr><th>Column<th "
                        "class=\"text\">Type<th>Missing<th>Distinct<th>Min<th>Median<th>Mean<th>Max<th>Std"
                        "<th>Outliers, IQR<th>Outliers, z</tr>");
    for (int i = 0; i < p->column_count; i++) {
        const weir_profile_column *c = &p->columns[i];
        bool numbers = c->field.type == WEIR_PROFILE_NUMBER || c->field.type == WEIR_PROFILE_BOOL;
        weir_page_put(page, "<tr><td>");
        weir_page_text(page, c->field.name);
        weir_page_printf(page, "<td class=\"text\">%s<td>%s", weir_profile_type_names[c->field.type], percent((double)c->missing, (double)p->rows, a));
        weir_page_printf(page, "<td>%s%s", c->distinct_error > 0 ? "\u2248\u202f" : "", weir_words_count(llround(c->distinct), a));
        if (numbers) {
            const double values[] = {c->min, c->quantiles[3], c->mean, c->max, c->std};
            for (int k = 0; k < 5; k++) weir_page_printf(page, "<td>%s", number(values[k], a));
            weir_page_printf(page, "<td>%s", weir_words_count(c->iqr_outliers, a));
            weir_page_printf(page, "<td>%s", weir_words_count(c->z_outliers, a));
        } else if (c->field.type == WEIR_PROFILE_TIME && c->missing < p->rows) {
            weir_page_printf(page, "<td>%s", weir_words_date((int64_t)c->min, a));
            weir_page_printf(page, "<td><td><td>%s<td><td><td>", weir_words_date((int64_t)c->max, a));
        } else {
            weir_page_put(page, "<td><td><td><td><td><td><td>");
        }
        weir_page_put(page, "</tr>");
    }
    weir_page_put(page, "</table></div><p class=\"note\">Outliers by IQR lie more than 1.5 interquartile ranges outside the middle half, those by z more than "
                        "3 standard deviations from the "
                        "mean. \u2248: estimated, standard error 1.1 %. Quantiles of more than 2000 values are known to within 0.5 % of their value, unless a "
                        "column says otherwise.</p></section>");
}

static void put_top(weir_page *page, const weir_profile *p, const weir_profile_column *c) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
    double there = (double)(p->rows - c->missing);
    weir_page_put(page, "<table class=\"bars\">");
    for (int i = 0; i < 8 && c->top[i].count; i++) {
        weir_page_put(page, "<tr><td class=\"text\">");
        weir_page_text(page, c->top[i].text ? c->top[i].text : number(c->top[i].number, a));
        weir_page_printf(page, "<td>%s<td>%s<td class=\"text\"><span class=\"bar\" style=\"width:%.0fpx\"></span></tr>", weir_words_count(c->top[i].count, a),
                         percent((double)c->top[i].count, there, b), 140 * (double)c->top[i].count / there);
    }
    weir_page_put(page, "</table>");
}

static void put_column(weir_page *page, const weir_profile *p, const weir_profile_column *c) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX];
    if (c->missing == p->rows || c->field.type == WEIR_PROFILE_TIME) return;
    weir_page_put(page, "<div class=\"column\"><h3>");
    weir_page_text(page, c->field.name);
    weir_page_put(page, "</h3>");
    if (c->field.type == WEIR_PROFILE_TEXT) {
        weir_page_printf(page, "<p class=\"facts\">%lld to %lld characters, %s distinct</p>", (long long)c->min_length, (long long)c->max_length,
                         weir_words_count(llround(c->distinct), a));
        put_top(page, p, c);
    } else {
        weir_page_printf(page, "<p class=\"facts\">1 %%: %s, quartiles %s and %s, ", number(c->quantiles[0], a), number(c->quantiles[2], b),
                         number(c->quantiles[4], d));
        weir_page_printf(page, "99 %%: %s, zeros %s", number(c->quantiles[6], a), weir_words_count(c->zeros, b));
        if (c->quantile_error > 0.0051) weir_page_printf(page, ", quantiles within %.2g %%", 100 * c->quantile_error);
        weir_page_put(page, "</p><div class=\"pair\"><figure>");
        weir_chart_histogram(page, c->field.name, c->histogram_low, c->histogram_high, c->histogram, WEIR_PROFILE_HISTOGRAM);
        if (c->min < c->histogram_low || c->max > c->histogram_high)
            weir_page_put(page, "<p class=\"note\">Values beyond the picture are in its first and last bar.</p>");
        weir_page_put(page, "</figure><figure>");
        put_top(page, p, c);
        weir_page_put(page, "</figure></div>");
    }
    weir_page_put(page, "</div>");
}

/* Blue for together, orange for against each other. */
static void put_matrix(weir_page *page, const char *title, const weir_profile *p, const double *r) {
    weir_page_printf(page, "<h3>%s</h3><div class=\"scroll\"><table class=\"matrix\"><tr><th>", title);
    for (int i = 0; i < p->pair_count; i++) {
        weir_page_put(page, "<th>");
        weir_page_text(page, p->columns[p->pair_columns[i]].field.name);
    }
    weir_page_put(page, "</tr>");
    for (int i = 0; i < p->pair_count; i++) {
        weir_page_put(page, "<tr><td>");
        weir_page_text(page, p->columns[p->pair_columns[i]].field.name);
        for (int k = 0; k < p->pair_count; k++) {
            double v = r[i * p->pair_count + k];
            if (isnan(v))
                weir_page_put(page, "<td>\u2013");
            else
                weir_page_printf(page, "<td class=\"r\" style=\"background:%s%02x\">%.2f", v < 0 ? "#d9741f" : "#5b9bd5", (unsigned)lround(24 + 200 * fabs(v)),
                                 v);
        }
        weir_page_put(page, "</tr>");
    }
    weir_page_put(page, "</table></div>");
}

static void put_correlations(weir_page *page, const weir_profile *p) {
    char a[WEIR_WORDS_MAX];
    if (p->pair_count < 2) return;
    weir_page_put(page, "<section><h2>Correlations</h2><p class=\"note\">");
    if (p->sample_rows < p->rows)
        weir_page_printf(page, "From a uniform sample of %s rows", weir_words_count(p->sample_rows, a));
    else
        weir_page_put(page, "From all rows");
    weir_page_printf(page, ", each pair over the rows that have both.%s</p>", p->pair_count == WEIR_PROFILE_PAIRS_MAX ? " The first 64 numeric columns." : "");
    put_matrix(page, "Pearson", p, p->pearson);
    put_matrix(page, "Spearman (ranks)", p, p->spearman);
    weir_page_put(page, "</section>");
}

static void put_coverage(weir_page *page, const weir_profile *p) {
    const weir_profile_coverage *c = &p->coverage;
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX];
    if (!c->known) return;
    weir_page_printf(page, "<section><h2>Time</h2><p>%s entit%s with %s to ", weir_words_count(c->entities, a), c->entities == 1 ? "y" : "ies",
                     weir_words_count(c->fewest, b));
    weir_page_printf(page, "%s records (median %s), ", weir_words_count(c->most, a), number(c->median_records, b));
    if (isfinite(c->step_s))
        weir_page_printf(page, "%s apart (median), %s of the steps so.", weir_words_duration(c->step_s, a), percent(c->regular, 1, b));
    else
        weir_page_put(page, "none with two times.");
    if (isfinite(c->coverage)) weir_page_printf(page, " %s of the steps have a record.", percent(c->coverage, 1, b));
    weir_page_printf(page, " %s records repeat a time of their entity.</p>", weir_words_count(c->repeated_times, a));
    if (c->gaps_shown) weir_page_put(page, "<table><tr><th>Longest gaps<th>from<th>to<th>length</tr>");
    for (int i = 0; i < c->gaps_shown; i++) {
        weir_page_put(page, "<tr><td>");
        weir_page_text(page, *c->gaps[i].entity ? c->gaps[i].entity : "all");
        weir_page_printf(page, "<td>%s<td>%s<td>%s</tr>", weir_words_moment(c->gaps[i].from_us, a), weir_words_moment(c->gaps[i].to_us, b),
                         weir_words_duration((double)(c->gaps[i].to_us - c->gaps[i].from_us) / 1e6, d));
    }
    if (c->gaps_shown) weir_page_put(page, "</table>");
    weir_page_put(page, "</section>");
}

weir_status weir_profile_html(const weir_profile *p, const char *name, int64_t made_at_us, weir_buf *out, weir_err *err) {
    weir_page page = {.buf = out};
    char a[WEIR_WORDS_MAX];
    weir_page_put(&page, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                         "content=\"width=device-width,initial-scale=1\"><title>Quality of ");
    weir_page_text(&page, name);
    weir_page_put(&page, "</title><style>");
    weir_page_put(&page, weir_page_style);
    weir_page_put(&page, more_style);
    weir_page_printf(&page, "</style></head><body><main><header><p class=\"over\">Data quality, %s</p><h1>", weir_words_moment(made_at_us, a));
    weir_page_text(&page, name);
    weir_page_put(&page, "</h1></header>");
    put_flow(&page, p);
    put_verdicts(&page, p);
    put_overview(&page, p);
    put_coverage(&page, p);
    put_correlations(&page, p);
    weir_page_put(&page, "<section><h2>Column by column</h2>");
    for (int i = 0; i < p->column_count; i++) put_column(&page, p, &p->columns[i]);
    weir_page_put(&page, "</section><footer>Made by weir features profile. quality.json holds the same, and is what \"distribution\" checks compare "
                         "with.</footer></main></body></html>\n");
    return page.failed ? WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the page") : WEIR_OK;
}
