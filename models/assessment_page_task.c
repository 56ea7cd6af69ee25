/* The sections that depend on the task: how good the chosen model is, and in what way it is wrong. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/assessment_page.h"
#include "models/memory.h"

/* ---- regression ---- */

static void cloud(weir_section *s, const cJSON *part, const char *title, const char *x_label, const char *y_label, bool diagonal) {
    const cJSON *list = weir_section_get(part, "points");
    int count = 0;
    weir_chart_plot plot = {
        .title = title, .x_label = x_label, .y_label = y_label, .x0 = INFINITY, .x1 = -INFINITY, .y0 = INFINITY, .y1 = -INFINITY, .height = 290};
    weir_point *points = list ? weir_section_pairs(s, list, &count) : NULL;
    double *cells = list ? NULL : weir_section_numbers(s, weir_section_get(part, "counts"), &count);
    for (int i = 0; points && i < count; i++) {
        plot.x0 = fmin(plot.x0, points[i].x), plot.x1 = fmax(plot.x1, points[i].x);
        plot.y0 = fmin(plot.y0, points[i].y), plot.y1 = fmax(plot.y1, points[i].y);
    }
    weir_chart_range x = {.low = weir_section_number(part, "x_low"), .high = weir_section_number(part, "x_high")};
    weir_chart_range y = {.low = weir_section_number(part, "y_low"), .high = weir_section_number(part, "y_high")};
    if (cells) plot.x0 = x.low, plot.x1 = x.high, plot.y0 = y.low, plot.y1 = y.high;
    if (diagonal) plot.x0 = plot.y0 = fmin(plot.x0, plot.y0), plot.x1 = plot.y1 = fmax(plot.x1, plot.y1);
    weir_chart_plot_open(&s->page, &plot);
    double columns = weir_section_number(part, "columns");
    int side = columns > 0 && columns < 1000 ? (int)columns : 0;
    if (points) weir_chart_plot_dots(&s->page, &plot, points, count, 0, 2.6, 0.5);
    if (cells && side > 0 && side * side == count) weir_chart_plot_cells(&s->page, &plot, x, y, cells, side, side, 0);
    if (diagonal)
        weir_chart_plot_rule(&s->page, &plot, plot.x0, plot.x0, plot.x1, plot.x1, "chance");
    else
        weir_chart_plot_rule(&s->page, &plot, plot.x0, 0, plot.x1, 0, "chance");
    weir_chart_plot_close(&s->page);
    weir_models_free(points);
    weir_models_free(cells);
}

static void predicted(weir_section *s, const cJSON *r) {
    const cJSON *tests = weir_section_get(r, "residuals");
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
    double mean = weir_section_number(tests, "mean"), deviation = weir_section_number(tests, "deviation"),
           p = weir_section_number(weir_section_get(tests, "breusch_pagan"), "p");
    weir_section_pair_begin(s);
    weir_section_figure(s, "Predicted against actual",
                        "Rows on the dashed line are exact; above it the model said too little. On average the actual value is %s %s than predicted.",
                        weir_words_number(fabs(mean), 3, a), mean < 0 ? "lower" : "higher");
    cloud(s, weir_section_get(r, "predicted"), "Predicted against actual values", "predicted", "actual", true);
    weir_section_figure_end(s);
    weir_section_figure(s, "Errors against the prediction",
                        p < 0.05 ? "Actual minus predicted, standard deviation %s. Their size depends on the prediction (Breusch–Pagan, p %s), so some rows "
                                   "are much less certain than others."
                                 : "Actual minus predicted, standard deviation %s. No sign that their size depends on the prediction (Breusch–Pagan, p %s).",
                        weir_words_number(deviation, 3, a), weir_section_p(p, b));
    cloud(s, weir_section_get(r, "residuals_by_prediction"), "Errors against predictions", "predicted", "actual − predicted", false);
    weir_section_figure_end(s);
    weir_section_pair_end(s);
}

static void error_histogram(weir_section *s, const cJSON *r) {
    const cJSON *h = weir_section_get(r, "histogram"), *tests = weir_section_get(r, "residuals");
    int count = 0;
    double *counts = weir_section_numbers(s, weir_section_get(h, "counts"), &count), most = 1, total = 0;
    double low = weir_section_number(h, "low"), high = weir_section_number(h, "high"), mean = weir_section_number(tests, "mean"),
           deviation = weir_section_number(tests, "deviation");
    char a[WEIR_WORDS_MAX];
    for (int i = 0; i < count; i++) most = fmax(most, counts[i]), total += counts[i];
    weir_chart_plot plot = {
        .title = "Distribution of errors", .x_label = "actual − predicted", .y_label = "rows", .x0 = low, .x1 = high, .y1 = most, .exact_x = true};
    weir_section_figure(s, "Distribution of errors",
                        "Bars: errors on the test rows. Curve: a normal distribution of the same mean and spread. %s errors lie outside the picture.",
                        weir_section_plain(weir_section_number(h, "outside"), a));
    if (count && high > low) {
        weir_point curve[101];
        for (int i = 0; i <= 100; i++) {
            double x = low + (high - low) * i / 100, z = (x - mean) / deviation;
            curve[i] = (weir_point){x, total * (high - low) / count / deviation * exp(-z * z / 2) / sqrt(2 * M_PI)};
            plot.y1 = fmax(plot.y1, curve[i].y);
        }
        weir_chart_plot_open(&s->page, &plot);
        weir_chart_plot_bars(&s->page, &plot, low, high, counts, count, 0, 0);
        if (deviation > 0) weir_chart_plot_line(&s->page, &plot, curve, 101, 1);
        weir_chart_plot_close(&s->page);
    }
    weir_section_figure_end(s);
    weir_models_free(counts);
}

static void quantiles(weir_section *s, const cJSON *r) {
    int count = 0;
    weir_point *points = weir_section_pairs(s, weir_section_get(r, "quantiles"), &count);
    double kurtosis = weir_section_number(weir_section_get(r, "residuals"), "excess_kurtosis");
    char a[WEIR_WORDS_MAX];
    if (count) {
        weir_chart_plot plot = {.title = "Quantiles of errors",
                                .x_label = "normal distribution",
                                .y_label = "errors, in standard deviations",
                                .x0 = -2.5,
                                .x1 = 2.5,
                                .y0 = -2.5,
                                .y1 = 2.5,
                                .exact_x = true};
        for (int i = 0; i < count; i++) plot.y0 = fmin(plot.y0, points[i].y), plot.y1 = fmax(plot.y1, points[i].y);
        weir_section_figure(s, "Are errors normal?", "Errors of a normal distribution lie on the dashed line. %s (excess kurtosis %s).",
                            kurtosis > 1    ? "Here large errors are more frequent than a normal distribution has them"
                            : kurtosis < -1 ? "Here large errors are rarer than a normal distribution has them"
                                            : "Here the tails are about as a normal distribution has them",
                            weir_words_ratio(kurtosis, 1, a));
        weir_chart_plot_open(&s->page, &plot);
        weir_chart_plot_rule(&s->page, &plot, -2.5, -2.5, 2.5, 2.5, "chance");
        weir_chart_plot_dots(&s->page, &plot, points, count, 0, 2.8, 0.8);
        weir_chart_plot_close(&s->page);
        weir_section_figure_end(s);
    }
    weir_models_free(points);
}

static void autocorrelation(weir_section *s, const cJSON *r) {
    const cJSON *tests = weir_section_get(r, "residuals"), *ljung = weir_section_get(tests, "ljung_box");
    int count = 0;
    double *values = weir_section_numbers(s, weir_section_get(tests, "autocorrelation"), &count), bound = weir_section_number(tests, "autocorrelation_bound"),
           low = -0.1, high = 0.1;
    char a[WEIR_WORDS_MAX];
    for (int i = 0; i < count; i++) low = fmin(low, values[i]), high = fmax(high, values[i]);
    if (count) {
        weir_chart_plot plot = {
            .title = "Autocorrelation of errors", .x_label = "rows apart", .x0 = 0.5, .x1 = count + 0.5, .y0 = low, .y1 = high, .exact_x = true};
        weir_section_figure(s, "Do errors follow on each other?", "Correlation of each error with earlier ones; inside the dashed lines it may be chance. %s",
                            weir_section_number(ljung, "p") < 0.05 ? "Here earlier errors tell something about later ones." : "No sign of it here.");
        weir_chart_plot_open(&s->page, &plot);
        weir_chart_plot_bars(&s->page, &plot, 0.5, count + 0.5, values, count, 0, 0);
        weir_chart_plot_rule(&s->page, &plot, 0.5, bound, count + 0.5, bound, "chance");
        weir_chart_plot_rule(&s->page, &plot, 0.5, -bound, count + 0.5, -bound, "chance");
        weir_chart_plot_close(&s->page);
        weir_page_printf(&s->page, "<p class=\"note\">Durbin–Watson %s; Ljung–Box p ",
                         weir_words_ratio(weir_section_number(weir_section_get(tests, "durbin_watson"), "statistic"), 2, a));
        weir_page_printf(&s->page, "%s. Rows in order of ", weir_section_p(weir_section_number(ljung, "p"), a));
        weir_section_escaped(s, "", weir_section_text(tests, "order"), ".</p>");
        weir_section_figure_end(s);
    }
    weir_models_free(values);
}

static void over_time(weir_section *s, const cJSON *r) {
    const cJSON *list = weir_section_get(r, "over_time"), *b;
    int n = cJSON_GetArraySize(list), count = 0;
    if (!cJSON_IsArray(list) || n < 2) return;
    weir_point *rmse = weir_models_calloc((size_t)n, 2 * sizeof *rmse), *mean = rmse + n;
    if (!rmse) {
        s->page.failed = true;
        return;
    }
    weir_chart_plot plot = {.title = "Errors over time", .y_label = "error", .x_time = true, .y0 = 0, .y1 = 0};
    cJSON_ArrayForEach(b, list) {
        double t = weir_section_number(b, "time_us");
        rmse[count] = (weir_point){t, weir_section_number(b, "rmse")};
        mean[count++] = (weir_point){t, weir_section_number(b, "mean_error")};
    }
    for (int i = 0; i < count; i++)
        if (isfinite(rmse[i].y)) plot.y0 = fmin(plot.y0, mean[i].y), plot.y1 = fmax(plot.y1, rmse[i].y);
    plot.x0 = rmse[0].x;
    plot.x1 = rmse[count - 1].x;
    weir_section_figure(
        s, "Errors over time",
        "The size of errors (RMSE) and their mean, by stretch of time. A mean that stays away from zero is a drift that the model does not follow.");
    weir_section_legend(s, (const char *const[]){"RMSE", "mean error"}, 2);
    weir_chart_plot_open(&s->page, &plot);
    weir_chart_plot_line(&s->page, &plot, rmse, count, 0);
    weir_chart_plot_line(&s->page, &plot, mean, count, 1);
    weir_chart_plot_close(&s->page);
    weir_section_figure_end(s);
    weir_models_free(rmse);
}

static void last_rows(weir_section *s, const cJSON *intervals) {
    const cJSON *list = weir_section_get(intervals, "last_rows"), *row;
    int n = cJSON_GetArraySize(list), count = 0;
    if (n < 2) return;
    weir_point *label = weir_models_calloc((size_t)n, 2 * sizeof *label), *prediction = label + n;
    weir_chart_range *band = weir_models_calloc((size_t)n, sizeof *band);
    weir_chart_plot plot = {.title = "The last test rows", .x_time = true, .wide = true, .height = 240, .y0 = INFINITY, .y1 = -INFINITY};
    if (!label || !band) s->page.failed = true;
    if (label && band) {
        cJSON_ArrayForEach(row, list) {
            double t = weir_section_number(row, "time_us");
            label[count] = (weir_point){t, weir_section_number(row, "label")};
            prediction[count] = (weir_point){t, weir_section_number(row, "prediction")};
            band[count] = (weir_chart_range){t, weir_section_number(row, "low"), weir_section_number(row, "high")};
            plot.y0 = fmin(plot.y0, fmin(label[count].y, band[count].low));
            plot.y1 = fmax(plot.y1, fmax(label[count].y, band[count].high));
            count++;
        }
        plot.x0 = label[0].x;
        plot.x1 = label[count - 1].x;
        weir_page_put(&s->page, "<div style=\"margin-top:26px\">");
        weir_section_figure(s, "The last test rows", "What happened, what was predicted, and the interval around it, for the last %d rows.", count);
        weir_section_legend(s, (const char *const[]){"actual", "predicted, with its interval"}, 2);
        weir_page_put(&s->page, "<div class=\"scroll\">");
        weir_chart_plot_open(&s->page, &plot);
        weir_chart_plot_band(&s->page, &plot, band, count, 1);
        weir_chart_plot_line(&s->page, &plot, label, count, 0);
        weir_chart_plot_line(&s->page, &plot, prediction, count, 1);
        weir_chart_plot_close(&s->page);
        weir_page_put(&s->page, "</div>");
        weir_section_figure_end(s);
        weir_page_put(&s->page, "</div>");
    }
    weir_models_free(label);
    weir_models_free(band);
}

static void coverage_chart(weir_section *s, const cJSON *intervals) {
    const cJSON *list = weir_section_get(intervals, "by_prediction"), *b;
    weir_point points[16];
    int count = 0;
    double level = weir_section_number(intervals, "level");
    weir_chart_plot plot = {.title = "Coverage by prediction",
                            .x_label = "mean prediction of a tenth of the rows",
                            .y_label = "share inside",
                            .x0 = INFINITY,
                            .x1 = -INFINITY,
                            .y0 = 0.6,
                            .y1 = 1};
    cJSON_ArrayForEach(b, list) {
        if (count == 16) break;
        points[count] = (weir_point){weir_section_number(b, "prediction"), weir_section_number(b, "coverage")};
        plot.x0 = fmin(plot.x0, points[count].x), plot.x1 = fmax(plot.x1, points[count].x);
        plot.y0 = fmin(plot.y0, points[count++].y);
    }
    if (!count) return;
    double least = 1, most = 0;
    for (int i = 0; i < count; i++) least = fmin(least, points[i].y), most = fmax(most, points[i].y);
    char a[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX];
    weir_section_figure(s, "Does the interval hold everywhere?",
                        "One width for all rows holds %s to %s of them, depending on the prediction. Dashed: the level that was asked for.",
                        weir_section_percent(least, 0, a), weir_section_percent(most, 0, c));
    weir_chart_plot_open(&s->page, &plot);
    weir_chart_plot_rule(&s->page, &plot, plot.x0, level, plot.x1, level, "chance");
    weir_chart_plot_line(&s->page, &plot, points, count, 0);
    weir_chart_plot_dots(&s->page, &plot, points, count, 0, 3.4, 1);
    weir_chart_plot_close(&s->page);
    weir_section_figure_end(s);
}

static void interval_words(weir_section *s, const cJSON *i) {
    const cJSON *normal = weir_section_get(i, "normal");
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX];
    weir_page_printf(&s->page, "<p>A prediction ± %s is meant to hold the actual value in %s of cases; on the test rows it did in <b>%s</b>",
                     weir_words_number(weir_section_number(i, "radius"), 3, a), weir_section_percent(weir_section_number(i, "level"), 0, b),
                     weir_section_percent(weir_section_number(i, "coverage"), 1, c));
    if (isfinite(weir_section_number(i, "coverage_low")))
        weir_page_printf(&s->page, " (95\u00a0%% interval %s to %s)", weir_section_percent(weir_section_number(i, "coverage_low"), 1, a),
                         weir_section_percent(weir_section_number(i, "coverage_high"), 1, b));
    weir_page_printf(&s->page, ". The width is that of %s errors that were set aside (", weir_section_plain(weir_section_number(i, "radius_rows"), a));
    weir_section_escaped(s, "", weir_section_text(i, "radius_from"), "); ");
    weir_page_printf(&s->page, "assuming normal errors instead it would be ± %s and hold %s.</p>",
                     weir_words_number(weir_section_number(normal, "radius"), 3, c), weir_section_percent(weir_section_number(normal, "coverage"), 1, d));
}

static void tests_table(weir_section *s, const cJSON *r) {
    static const char *const rows[][2] = {
        {"durbin_watson", "Durbin–Watson"}, {"ljung_box", "Ljung–Box"}, {"breusch_pagan", "Breusch–Pagan"}, {"jarque_bera", "Jarque–Bera"}};
    const cJSON *tests = weir_section_get(r, "residuals");
    weir_page_put(&s->page, "<div class=\"scroll\"><table><thead><tr><th>Test of the errors</th><th>Statistic</th><th>p</th><th class=\"text\">What it "
                            "means</th></tr></thead><tbody>");
    for (int i = 0; i < 4; i++) {
        const cJSON *t = weir_section_get(tests, rows[i][0]);
        char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
        weir_page_printf(&s->page, "<tr><td>%s</td><td>%s</td><td>%s</td>", rows[i][1], weir_words_number(weir_section_number(t, "statistic"), 3, a),
                         weir_section_p(weir_section_number(t, "p"), b));
        weir_section_escaped(s, "<td class=\"wrapped\">", weir_section_text(t, "words"), "</td></tr>");
    }
    weir_page_put(&s->page, "</tbody></table></div>");
}

static void targets_table(weir_section *s, const cJSON *r) {
    static const char *const shown[] = {"rmse", "mae", "r2", "mape"};
    const cJSON *list = weir_section_get(r, "targets"), *t;
    if (!cJSON_GetArraySize(list)) return;
    weir_page_put(
        &s->page,
        "<h3>By target</h3><div class=\"scroll\"><table><thead><tr><th>Target</th><th>RMSE</th><th>MAE</th><th>R²</th><th>MAPE</th></tr></thead><tbody>");
    cJSON_ArrayForEach(t, list) {
        weir_section_escaped(s, "<tr><td>", weir_section_text(t, "name"), "</td>");
        for (int i = 0; i < 4; i++) weir_section_cell(s, weir_section_number(t, shown[i]), NAN, NAN, false);
        weir_page_put(&s->page, "</tr>");
    }
    weir_page_put(&s->page, "</tbody></table></div>");
}

void weir_section_regression(weir_section *s) {
    const cJSON *r = weir_section_get(s->json, "regression"), *intervals = weir_section_get(r, "intervals");
    char a[WEIR_WORDS_MAX];
    if (!r) return;
    weir_page_put(&s->page, "<section><h2>How far off are predictions?</h2>");
    if (!weir_section_none(s, r, "Errors")) {
        if (weir_section_number(r, "rows_of_zero") > 0)
            weir_page_printf(&s->page, "<p class=\"note\">MAPE leaves out %s rows whose actual value is 0.</p>",
                             weir_section_plain(weir_section_number(r, "rows_of_zero"), a));
        predicted(s, r);
        targets_table(s, r);
        weir_page_put(&s->page, "</section><section><h2>How sure are predictions?</h2>");
        if (!weir_section_none(s, intervals, "Prediction intervals")) {
            weir_section_pair_begin(s);
            weir_page_put(&s->page, "<div>");
            interval_words(s, intervals);
            weir_page_put(&s->page, "</div>");
            coverage_chart(s, intervals);
            weir_section_pair_end(s);
            last_rows(s, intervals);
        }
        weir_page_put(&s->page, "</section><section><h2>What is left in the errors?</h2>");
        weir_section_pair_begin(s);
        error_histogram(s, r);
        quantiles(s, r);
        autocorrelation(s, r);
        over_time(s, r);
        weir_section_pair_end(s);
        weir_section_none(s, weir_section_get(r, "over_time"), "Errors over time");
        tests_table(s, r);
    }
    weir_page_put(&s->page, "</section>");
}

/* ---- two classes ---- */

static void curves(weir_section *s, const cJSON *list, bool roc, double base) {
    const cJSON *c;
    const char *names[WEIR_SECTION_SERIES];
    weir_point *points[WEIR_SECTION_SERIES] = {NULL};
    weir_chart_series series[WEIR_SECTION_SERIES];
    int count = 0;
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
    cJSON_ArrayForEach(c, list) {
        if (count == WEIR_SECTION_SERIES) break;
        int n = 0;
        points[count] = weir_section_pairs(s, weir_section_get(c, "points"), &n);
        names[count] = weir_section_text(c, "model");
        series[count] = (weir_chart_series){names[count], points[count], n};
        count++;
    }
    double area = weir_section_number(cJSON_GetArrayItem(list, 0), "area");
    if (roc)
        weir_section_figure(s, "ROC curve",
                            "Share of positives found against share of negatives raised with them, at every threshold. Area of the chosen model: %s; the "
                            "diagonal is chance (0.5).",
                            weir_words_ratio(area, 3, a));
    else
        weir_section_figure(s, "Precision and recall",
                            "How pure the raised rows are, as more of all positives are found. Area of the chosen model: %s; chance would give %s.",
                            weir_words_ratio(area, 3, a), weir_words_ratio(base, 3, b));
    if (count > 1) weir_section_legend(s, names, count);
    weir_chart_unit(&s->page, roc ? "ROC curve" : "Precision-recall curve", roc ? "share of negatives raised" : "recall: share of positives found",
                    roc ? "share of positives found" : "precision: share of the raised that is right", series, count, roc);
    weir_section_figure_end(s);
    for (int i = 0; i < count; i++) weir_models_free(points[i]);
}

static void calibration(weir_section *s, const cJSON *part, const char *x_key, const char *y_key, const char *x_label, const char *y_label, double error) {
    const cJSON *b;
    weir_point points[64];
    weir_chart_range ranges[64];
    int count = 0;
    char a[WEIR_WORDS_MAX];
    double said = 0, happened = 0, rows = 0;
    weir_chart_plot plot = {.title = "Calibration", .x_label = x_label, .y_label = y_label, .x1 = 1, .y1 = 1, .exact_x = true, .exact_y = true, .height = 330};
    cJSON_ArrayForEach(b, weir_section_get(part, "bins")) {
        if (count == 64) break;
        points[count] = (weir_point){weir_section_number(b, x_key), weir_section_number(b, y_key)};
        ranges[count] = (weir_chart_range){points[count].x, weir_section_number(b, "low"), weir_section_number(b, "high")};
        double n = weir_section_number(b, "rows");
        said += n * points[count].x;
        happened += n * points[count].y;
        rows += n;
        count++;
    }
    bool by_chance = fabs(said - happened) < 1.96 * sqrt(happened * (1 - happened / fmax(rows, 1)));
    weir_section_figure(s, "Are the scores probabilities?",
                        "Rows of similar score: what was said against how often it happened. On the dashed line both agree. The mean gap is %s; %s.",
                        weir_words_ratio(error, 3, a),
                        by_chance         ? "on the whole scores are neither too high nor too low"
                        : happened > said ? "on the whole scores are too low"
                                          : "on the whole scores are too high");
    weir_chart_plot_open(&s->page, &plot);
    weir_chart_plot_rule(&s->page, &plot, 0, 0, 1, 1, "chance");
    weir_chart_plot_whiskers(&s->page, &plot, ranges, count, 0);
    weir_chart_plot_line(&s->page, &plot, points, count, 0);
    weir_chart_plot_dots(&s->page, &plot, points, count, 0, 3.6, 1);
    weir_chart_plot_close(&s->page);
    weir_section_figure_end(s);
}

static void score_histogram(weir_section *s, const cJSON *b) {
    const cJSON *h = weir_section_get(b, "scores");
    int count = 0, other = 0;
    double *negative = weir_section_numbers(s, weir_section_get(h, "negative"), &count),
           *positive = weir_section_numbers(s, weir_section_get(h, "positive"), &other);
    double low = weir_section_number(h, "low"), high = weir_section_number(h, "high"), most = 0, sums[2] = {0};
    weir_chart_plot plot = {
        .title = "Scores by class", .x_label = "score", .y_label = "share of the class", .x0 = low, .x1 = high, .exact_x = true, .height = 290};
    for (int i = 0; i < count && i < other; i++) sums[0] += negative[i], sums[1] += positive[i];
    for (int i = 0; i < count && i < other; i++) {
        negative[i] /= fmax(sums[0], 1);
        positive[i] /= fmax(sums[1], 1);
        most = fmax(most, fmax(negative[i], positive[i]));
    }
    plot.y1 = most;
    const cJSON *threshold = weir_section_get(b, "threshold");
    double at = weir_section_number(threshold, "value");
    char a[WEIR_WORDS_MAX];
    weir_section_figure(s, "Scores by class", "The further the two lie apart, the better they can be told apart. The line is the threshold, %s.",
                        weir_words_number(at, 3, a));
    weir_section_legend(s, (const char *const[]){"negative rows", "positive rows"}, 2);
    weir_chart_plot_open(&s->page, &plot);
    weir_chart_plot_bars(&s->page, &plot, low, high, negative, count, 0, -1);
    weir_chart_plot_bars(&s->page, &plot, low, high, positive, other, 1, 1);
    weir_chart_plot_rule(&s->page, &plot, at, 0, at, plot.y1, "mark");
    weir_chart_plot_close(&s->page);
    weir_section_figure_end(s);
    weir_models_free(negative);
    weir_models_free(positive);
}

static const char *class_name(const weir_section *s, int class) {
    return weir_section_text(cJSON_GetArrayItem(weir_section_get(weir_section_get(s->json, "dataset"), "classes"), class), "name");
}

static void confusion(weir_section *s, const cJSON *part) {
    int count = 0;
    double *cells = weir_section_numbers(s, weir_section_get(part, "confusion"), &count);
    if (count == 4) {
        const char *const names[] = {class_name(s, 0), class_name(s, 1)};
        char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX];
        weir_section_figure(s, "Decisions at the threshold", "Of %s positive rows %s are raised and %s are missed; %s negative ones are raised with them.",
                            weir_section_plain(cells[2] + cells[3], a), weir_section_plain(cells[3], b), weir_section_plain(cells[2], c),
                            weir_section_plain(cells[1], d));
        weir_chart_heat(&s->page, "Confusion matrix", "actual", "decided", names, cells, 2);
        weir_section_figure_end(s);
    }
    weir_models_free(cells);
}

static void cost(weir_section *s, const cJSON *b) {
    const cJSON *t = weir_section_get(b, "threshold");
    int count = 0;
    weir_point *points = weir_section_pairs(s, weir_section_get(t, "points"), &count);
    char a[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX], e[WEIR_WORDS_MAX], f[WEIR_WORDS_MAX];
    if (count) {
        weir_chart_plot plot = {
            .title = "Cost by threshold", .x_label = "threshold", .y_label = "cost on the test rows", .x0 = points[0].x, .x1 = points[count - 1].x};
        for (int i = 0; i < count; i++) plot.y1 = fmax(plot.y1, points[i].y);
        plot.exact_x = true;
        weir_section_figure(s, "Cost by threshold", "A false alarm costs %s, a miss %s. At %s (%s) the test rows cost %s; raising none would cost %s.",
                            weir_section_plain(weir_section_number(t, "cost_false_positive"), a),
                            weir_section_plain(weir_section_number(t, "cost_false_negative"), c), weir_words_number(weir_section_number(t, "value"), 3, d),
                            weir_section_text(t, "chosen"), weir_section_plain(weir_section_number(t, "cost"), e),
                            weir_section_plain(weir_section_number(t, "cost_of_none"), f));
        weir_chart_plot_open(&s->page, &plot);
        weir_chart_plot_line(&s->page, &plot, points, count, 0);
        double at = weir_section_number(t, "value");
        weir_chart_plot_rule(&s->page, &plot, at, plot.y0, at, plot.y1, "mark");
        weir_chart_plot_close(&s->page);
        weir_section_figure_end(s);
    }
    weir_models_free(points);
}

static void precision_at(weir_section *s, const cJSON *b) {
    const cJSON *list = weir_section_get(b, "precision_at_k"), *k;
    if (!cJSON_GetArraySize(list)) return;
    weir_section_figure(s, "The top of the list",
                        "If only the k rows with the highest scores can be looked at: how many of them are positive, and how many of all positives that is.");
    weir_page_put(&s->page, "<table class=\"small\"><thead><tr><th>k</th><th>Precision</th><th>Recall</th><th>Times chance</th></tr></thead><tbody>");
    cJSON_ArrayForEach(k, list) {
        char a[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX], e[WEIR_WORDS_MAX];
        weir_page_printf(&s->page, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>", weir_section_plain(weir_section_number(k, "k"), a),
                         weir_section_percent(weir_section_number(k, "precision"), 1, c), weir_section_percent(weir_section_number(k, "recall"), 1, d),
                         weir_words_ratio(weir_section_number(k, "lift"), 1, e));
    }
    weir_page_put(&s->page, "</tbody></table>");
    weir_section_figure_end(s);
}

void weir_section_binary(weir_section *s) {
    const cJSON *b = weir_section_get(s->json, "binary");
    if (!b) return;
    weir_page_put(&s->page, "<section><h2>How well are the two classes told apart?</h2>");
    if (!weir_section_none(s, b, "Curves and decisions")) {
        double share = weir_section_number(b, "positives") / weir_section_number(b, "rows");
        const cJSON *roc = weir_section_get(b, "roc"), *pr = weir_section_get(b, "precision_recall");
        if (!weir_section_none(s, roc, "ROC and precision–recall curves")) {
            weir_section_pair_begin(s);
            curves(s, roc, true, share);
            curves(s, pr, false, share);
            weir_section_pair_end(s);
        }
        weir_section_pair_begin(s);
        score_histogram(s, b);
        const cJSON *c = weir_section_get(b, "calibration");
        if (!weir_section_none(s, c, "Calibration"))
            calibration(s, c, "mean_score", "positive_share", "mean score", "share of positives",
                        weir_section_number(weir_section_get(weir_section_get(s->chosen, "metrics"), "expected_calibration_error"), "value"));
        weir_section_pair_end(s);
        weir_page_put(&s->page, "</section><section><h2>What does a threshold decide?</h2>");
        weir_section_pair_begin(s);
        weir_page_put(&s->page, "<div>");
        confusion(s, b);
        weir_page_put(&s->page, "<div style=\"height:26px\"></div>");
        precision_at(s, b);
        weir_page_put(&s->page, "</div>");
        cost(s, b);
        weir_section_pair_end(s);
    }
    weir_page_put(&s->page, "</section>");
}

/* ---- several classes ---- */

/* Of classes without a test row. */
static void classes_left_out(weir_section *s, const cJSON *list) {
    const cJSON *c;
    int count = 0;
    cJSON_ArrayForEach(c, list) {
        if (!*weir_section_text(c, "none")) continue;
        weir_section_escaped(s, count++ ? ", <b>" : "<p class=\"note\">No test row has the class <b>", weir_section_text(c, "name"), "</b>");
    }
    if (count)
        weir_page_printf(&s->page,
                         ": how well %s told from the rest cannot be said, and the means over classes are without %s, but for rows that were wrongly called so."
                         "</p>",
                         count == 1 ? "it is" : "they are", count == 1 ? "it" : "them");
}

static void classes_table(weir_section *s, const cJSON *m) {
    static const char *const keys[] = {"precision", "recall", "f1", "auc"};
    const cJSON *list = weir_section_get(m, "classes"), *c;
    weir_page_put(&s->page,
                  "<div class=\"scroll\"><table><thead><tr><th>Class</th><th>Test rows</th><th>Precision</th><th>Recall</th><th>F1</th><th>AUC against the "
                  "rest</th></tr></thead><tbody>");
    cJSON_ArrayForEach(c, list) {
        char a[WEIR_WORDS_MAX];
        weir_section_escaped(s, "<tr><td>", weir_section_text(c, "name"), "</td>");
        weir_page_printf(&s->page, "<td>%s</td>", weir_section_plain(weir_section_number(c, "rows"), a));
        for (int i = 0; i < 4; i++) weir_section_cell(s, weir_section_number(c, keys[i]), NAN, NAN, false);
        weir_page_put(&s->page, "</tr>");
    }
    weir_page_put(&s->page, "</tbody></table></div>");
    classes_left_out(s, list);
}

static void confusion_of_classes(weir_section *s, const cJSON *m) {
    enum { MOST = 30 };
    const char *names[MOST];
    const cJSON *list = weir_section_get(m, "classes");
    int count = 0, classes = cJSON_GetArraySize(list), worst = -1;
    double *cells = weir_section_numbers(s, weir_section_get(m, "confusion"), &count);
    if (classes > 0 && classes <= MOST && count == classes * classes) {
        for (int i = 0; i < classes; i++) names[i] = weir_section_text(cJSON_GetArrayItem(list, i), "name");
        for (int i = 0; i < count; i++)
            if (i / classes != i % classes && cells[i] > 0 && (worst < 0 || cells[i] > cells[worst])) worst = i;
        if (worst >= 0)
            weir_section_figure(s, "What is taken for what",
                                "Rows by actual class, columns by called class. The most frequent confusion: %s called %s, %.0f times.", names[worst / classes],
                                names[worst % classes], cells[worst]);
        else
            weir_section_figure(s, "What is taken for what", "Rows by actual class, columns by called class. No row was called wrongly.");
        weir_chart_heat(&s->page, "Confusion matrix", "actual", "called", names, cells, classes);
        weir_section_figure_end(s);
    }
    weir_models_free(cells);
}

void weir_section_multiclass(weir_section *s) {
    const cJSON *m = weir_section_get(s->json, "multiclass");
    if (!m) return;
    weir_page_put(&s->page, "<section><h2>How well are the classes told apart?</h2>");
    if (!weir_section_none(s, m, "Classes")) {
        const cJSON *c = weir_section_get(m, "confidence");
        classes_table(s, m);
        weir_section_none(s, weir_section_get(m, "confusion"), "Confusion matrix");
        weir_section_pair_begin(s);
        confusion_of_classes(s, m);
        if (!weir_section_none(s, c, "Calibration"))
            calibration(s, c, "confidence", "right", "score of the called class", "share called rightly", weir_section_number(c, "expected_error"));
        weir_section_pair_end(s);
    }
    weir_page_put(&s->page, "</section>");
}
