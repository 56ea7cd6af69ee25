/* The sections that every task has: models beside each other, slices, what the model goes by, the search, the data, the run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/assessment_page.h"
#include "models/memory.h"

enum { COLUMNS_SHOWN = 80, IMPORTANT = 20, LEADERS_SHOWN = 25, COLUMN_CELLS = 10, SLICES_SHOWN = 60, NAME = 300 };

/* ---- models ---- */

static const char *const *shown_metrics(const weir_section *s) {
    static const char *const binary[] = {"roc_auc", "average_precision", "f1", "precision", "recall", "log_loss", NULL};
    static const char *const multiclass[] = {"accuracy", "f1_macro", "f1_weighted", "auc_ovr_macro", "log_loss", NULL};
    static const char *const regression[] = {"rmse", "mae", "r2", "mape", "median_absolute_error", NULL};
    const char *task = weir_section_text(s->json, "task");
    return !strcmp(task, "binary") ? binary : !strcmp(task, "multiclass") ? multiclass : regression;
}

static const cJSON *metric_of(const cJSON *model, const char *name) {
    return weir_section_get(weir_section_get(model, "metrics"), name);
}

static bool falls(const char *metric) {
    static const char *const names[] = {"rmse", "mae", "mape", "median_absolute_error", "log_loss", "brier"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], metric)) return true;
    return false;
}

static double best_of(const cJSON *models, const char *metric) {
    double best = NAN;
    const cJSON *m;
    cJSON_ArrayForEach(m, models) {
        double v = weir_section_number(metric_of(m, metric), "value");
        best = falls(metric) ? fmin(best, v) : fmax(best, v);
    }
    return cJSON_GetArraySize(models) > 1 ? best : NAN;
}

static void models_table(weir_section *s, const cJSON *models) {
    const char *const *metrics = shown_metrics(s);
    const cJSON *m;
    bool validated = weir_section_get(s->chosen, "validation");
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
    weir_page_put(&s->page, "<div class=\"scroll\"><table class=\"small\"><thead><tr><th>Model</th>");
    for (int i = 0; metrics[i]; i++) weir_page_printf(&s->page, "<th>%s</th>", weir_section_metric(metrics[i]));
    if (validated) weir_section_escaped(s, "<th>", weir_section_metric(s->metric), " in cross-<br>validation</th><th>Seconds<br>to fit</th>");
    weir_page_put(&s->page, "</tr></thead><tbody>");
    cJSON_ArrayForEach(m, models) {
        weir_section_escaped(s, "<tr><td>", weir_section_text(m, "name"), "");
        if (isfinite(weir_section_number(m, "model_version"))) weir_page_printf(&s->page, " v%.0f", weir_section_number(m, "model_version"));
        if (cJSON_IsTrue(weir_section_get(m, "chosen"))) weir_page_put(&s->page, "<span class=\"tag chosen\">chosen</span>");
        if (strcmp(weir_section_text(m, "name"), weir_section_text(m, "description")))
            weir_section_escaped(s, "<small>", weir_section_text(m, "description"), "</small>");
        if (isfinite(weir_section_number(m, "threshold")))
            weir_page_printf(&s->page, "<small>positive from %s on</small>", weir_words_number(weir_section_number(m, "threshold"), 3, a));
        weir_page_put(&s->page, "</td>");
        for (int i = 0; metrics[i]; i++) {
            const cJSON *metric = metric_of(m, metrics[i]);
            double v = weir_section_number(metric, "value");
            weir_section_cell(s, v, weir_section_number(metric, "low"), weir_section_number(metric, "high"), isfinite(v) && v == best_of(models, metrics[i]));
        }
        const cJSON *v = weir_section_get(m, "validation");
        if (validated)
            weir_page_printf(&s->page, "<td>%s<small>± %s</small></td><td>%s</td>", weir_words_number(weir_section_number(v, "mean"), 3, a),
                             weir_words_number(weir_section_number(v, "deviation"), 2, b),
                             weir_words_number(weir_section_number(v, "fit_seconds"), 2, (char[WEIR_WORDS_MAX]){0}));
        weir_page_put(&s->page, "</tr>");
    }
    weir_page_put(&s->page, "</tbody></table></div>");
}

static void intervals_note(weir_section *s) {
    const cJSON *i = weir_section_get(s->json, "intervals");
    const char *unit = weir_section_text(i, "unit"), *none = weir_section_text(i, "none");
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
    if (*none) {
        weir_section_escaped(s, "<p class=\"note\">No intervals: ", none, ".</p>");
        return;
    }
    weir_page_printf(&s->page, "<p class=\"note\">Small print: 95\u00a0%% intervals from %s bootstrap samples of the test rows, drawing ",
                     weir_section_plain(weir_section_number(i, "replicates"), a));
    if (!strcmp(unit, "entities"))
        weir_page_printf(&s->page, "whole entities (%s), because rows of one entity are alike.", weir_section_plain(weir_section_number(i, "units"), b));
    else if (!strcmp(unit, "times"))
        weir_page_printf(&s->page, "runs of %s neighbouring times, because rows near in time are alike.",
                         weir_section_plain(weir_section_number(i, "block"), b));
    else
        weir_page_put(&s->page, "rows one by one.");
    weir_page_put(&s->page, " ± is the standard deviation over the folds. The best value of a column is bold.</p>");
}

static void models_chart(weir_section *s, const cJSON *models) {
    enum { MOST = 20 };
    weir_chart_bar rows[MOST];
    char texts[MOST][4 * WEIR_WORDS_MAX];
    int count = 0;
    const cJSON *m;
    cJSON_ArrayForEach(m, models) {
        if (count == MOST) break;
        const cJSON *metric = metric_of(m, s->metric);
        weir_chart_bar *row = &rows[count];
        *row = (weir_chart_bar){.name = weir_section_text(m, "name"),
                                .text = texts[count],
                                .value = weir_section_number(metric, "value"),
                                .low = weir_section_number(metric, "low"),
                                .high = weir_section_number(metric, "high"),
                                .series = count > 0};
        char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX];
        weir_words_number(row->value, 3, a);
        if (isfinite(row->low + row->high))
            snprintf(texts[count], sizeof texts[count], "%s (%s to %s)", a, weir_words_number(row->low, 3, b), weir_words_number(row->high, 3, c));
        else
            snprintf(texts[count], sizeof texts[count], "%s", a);
        count++;
    }
    if (count < 2) return;
    weir_page_put(&s->page, "<div style=\"margin-top:24px\">");
    char title[NAME];
    snprintf(title, sizeof title, "%.200s on the test rows", weir_section_metric(s->metric));
    weir_section_figure(s, title, "%s is better. Bars that overlap can still be told apart, because both models met the same rows: see the table below.",
                        s->greater ? "Further right" : "Further left");
    weir_page_put(&s->page, "<div class=\"scroll\">");
    weir_chart_points(&s->page, title, rows, count, rows[0].value, true);
    weir_page_put(&s->page, "</div>");
    weir_section_figure_end(s);
    weir_page_put(&s->page, "</div>");
}

static void comparisons_table(weir_section *s) {
    const cJSON *list = weir_section_get(s->json, "comparisons"), *c;
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX];
    if (!cJSON_GetArraySize(list)) return;
    weir_section_escaped(
        s, "<h3 style=\"margin-top:26px\">Against the chosen model</h3><div class=\"scroll\"><table><thead><tr><th>Model</th><th>Difference of ",
        weir_section_metric(s->metric),
        "</th><th>p on<br>the test rows</th><th>p of losses<br>(Wilcoxon)</th><th>p over folds</th><th class=\"text\">Verdict</th></tr></thead><tbody>");
    cJSON_ArrayForEach(c, list) {
        double low = weir_section_number(c, "low"), high = weir_section_number(c, "high");
        weir_section_escaped(s, "<tr><td>", weir_section_text(c, "model"), "</td>");
        weir_section_cell(s, weir_section_number(c, "difference"), low, high, false);
        weir_page_printf(&s->page, "<td>%s</td>", weir_section_p(weir_section_number(c, "p_test_adjusted"), a));
        weir_page_printf(&s->page, "<td>%s</td><td>%s</td>", weir_section_p(weir_section_number(c, "p_wilcoxon_adjusted"), b),
                         weir_section_p(weir_section_number(c, "p_folds_adjusted"), d));
        weir_section_escaped(s, "<td class=\"text\">", weir_section_text(c, "verdict"), "</td></tr>");
    }
    weir_page_put(&s->page, "</tbody></table></div><p class=\"note\">p: the probability of a difference at least as large if both were equally good, corrected "
                            "for the number of models (Holm). "
                            "Over folds the correction of Nadeau and Bengio applies. The verdict goes by the test rows, at 5\u00a0%.</p>");
}

void weir_section_models(weir_section *s) {
    const cJSON *models = weir_section_get(s->json, "models");
    weir_page_printf(&s->page, "<section><h2>%s</h2>", cJSON_GetArraySize(models) > 1 ? "The models beside each other" : "The figures");
    weir_section_escaped(s, "<p>Chosen by <b>", weir_section_metric(s->metric), "</b>");
    weir_section_escaped(s, ": ", weir_section_text(weir_section_get(s->json, "metric"), "doc"), ".</p>");
    models_table(s, models);
    intervals_note(s);
    models_chart(s, models);
    comparisons_table(s);
    weir_page_put(&s->page, "</section>");
}

/* ---- slices ---- */

static int slices_figure(weir_section *s, const cJSON *list) {
    weir_chart_bar *rows = weir_models_calloc(SLICES_SHOWN, sizeof *rows);
    char(*names)[NAME] = weir_models_calloc(SLICES_SHOWN, sizeof *names), (*texts)[WEIR_WORDS_MAX + 32] = weir_models_calloc(SLICES_SHOWN, sizeof *texts);
    const cJSON *slice;
    int count = 0, worse = 0;
    double all = weir_section_number(metric_of(s->chosen, s->metric), "value");
    s->page.failed = s->page.failed || !rows || !names || !texts;
    if (rows && names && texts) cJSON_ArrayForEach(slice, list) {
            if (count == SLICES_SHOWN) break;
            char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
            bool bad = cJSON_IsTrue(weir_section_get(slice, "worse"));
            snprintf(names[count], NAME, "%s = %s", weir_section_text(slice, "column"), weir_section_text(slice, "value"));
            rows[count] = (weir_chart_bar){.name = names[count],
                                           .text = texts[count],
                                           .value = weir_section_number(slice, "metric"),
                                           .low = weir_section_number(slice, "low"),
                                           .high = weir_section_number(slice, "high"),
                                           .series = bad ? 4 : 0};
            snprintf(texts[count], sizeof *texts, "%.40s · n = %.40s", weir_words_number(rows[count].value, 3, a),
                     weir_section_plain(weir_section_number(slice, "rows"), b));
            worse += bad;
            count++;
        }
    if (count) {
        weir_page_put(&s->page, "<figure class=\"scroll\">");
        weir_chart_points(&s->page, "Metric by slice", rows, count, all, true);
        weir_page_put(&s->page, "</figure>");
    }
    weir_models_free(rows);
    weir_models_free(names);
    weir_models_free(texts);
    return worse;
}

void weir_section_slices(weir_section *s) {
    const cJSON *slices = weir_section_get(s->json, "slices"), *list = weir_section_get(slices, "list"), *slice;
    if (!cJSON_GetArraySize(list)) return; /* a document that says why there are none is no reason for a section */
    int worse = 0;
    cJSON_ArrayForEach(slice, list) worse += cJSON_IsTrue(weir_section_get(slice, "worse"));
    weir_page_put(&s->page, "<section><h2>Is it as good for everybody?</h2>");
    weir_section_escaped(s, "<p>", weir_section_metric(s->metric), " on parts of the test rows; the dashed line is all of them. ");
    if (worse)
        weir_page_printf(&s->page, "<b>%d %s worse than the rest beyond chance</b> (marked; corrected for the number of slices by Holm).</p>", worse,
                         worse == 1 ? "slice is" : "slices are");
    else
        weir_page_put(&s->page, "No slice is worse than the rest beyond chance (corrected for the number of slices by Holm).</p>");
    slices_figure(s, list);
    if (worse) {
        weir_page_put(
            &s->page,
            "<div class=\"scroll\"><table><thead><tr><th>Worse than the rest</th><th>Rows</th><th>Here</th><th>Elsewhere</th><th>p</th></tr></thead><tbody>");
        cJSON_ArrayForEach(slice, list) {
            char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX];
            if (!cJSON_IsTrue(weir_section_get(slice, "worse"))) continue;
            weir_section_escaped(s, "<tr><td>", weir_section_text(slice, "column"), " = ");
            weir_section_escaped(s, "", weir_section_text(slice, "value"), "</td>");
            weir_page_printf(&s->page, "<td>%s</td>", weir_section_plain(weir_section_number(slice, "rows"), a));
            weir_section_cell(s, weir_section_number(slice, "metric"), weir_section_number(slice, "low"), weir_section_number(slice, "high"), false);
            weir_page_printf(&s->page, "<td>%s</td><td>%s</td></tr>", weir_words_number(weir_section_number(slice, "rest"), 3, b),
                             weir_section_p(weir_section_number(slice, "p_adjusted"), c));
        }
        weir_page_put(&s->page, "</tbody></table></div>");
    }
    if (weir_section_number(slices, "left_out") > 0) weir_page_put(&s->page, "<p class=\"note\">More values were there than are shown.</p>");
    weir_page_put(&s->page, "</section>");
}

/* ---- importance ---- */

static int by_value_down(const void *a, const void *b) {
    const weir_chart_bar *x = a, *y = b;
    return (x->value < y->value) - (x->value > y->value);
}

static void importance_chart(weir_section *s, const cJSON *list, bool gain, const char *metric) {
    int n = cJSON_GetArraySize(list), count = 0;
    weir_chart_bar *bars = weir_models_calloc((size_t)n, sizeof *bars);
    const cJSON *c;
    if (!bars) {
        s->page.failed = true;
        return;
    }
    cJSON_ArrayForEach(c, list) {
        double v = weir_section_number(c, gain ? "gain" : "permutation"), d = gain ? NAN : weir_section_number(c, "permutation_deviation");
        if (isfinite(v))
            bars[count++] = (weir_chart_bar){.name = weir_section_text(c, "name"), .value = v, .low = v - d, .high = v + d, .series = gain ? 0 : 2};
    }
    qsort(bars, (size_t)count, sizeof *bars, by_value_down);
    if (count > IMPORTANT) count = IMPORTANT;
    if (count && gain) {
        double three = 0;
        char a[WEIR_WORDS_MAX];
        for (int i = 0; i < count && i < 3; i++) three += bars[i].value;
        weir_section_figure(s, "What the model uses", "Each input’s share of what the fit gained by it. The first %d make up %s.", count < 3 ? count : 3,
                            weir_section_percent(three, 0, a));
    } else if (count) {
        weir_section_figure(s, "What it would lose",
                            "How much worse %s gets on test rows when the input is shuffled (mean and standard deviation of five). Most is lost without “%s”.",
                            metric, bars[0].name);
    }
    if (count) {
        weir_chart_bars(&s->page, gain ? "Importance by gain" : "Importance by permutation", bars, count, false);
        weir_section_figure_end(s);
    }
    weir_models_free(bars);
}

void weir_section_importance(weir_section *s) {
    const cJSON *part = weir_section_get(s->json, "importance"), *list = weir_section_get(part, "columns"), *c;
    bool gain = false, permutation = false;
    cJSON_ArrayForEach(c, list) {
        gain = gain || isfinite(weir_section_number(c, "gain"));
        permutation = permutation || isfinite(weir_section_number(c, "permutation"));
    }
    if (!gain && !permutation) return;
    weir_page_put(&s->page, "<section><h2>What does it go by?</h2><p>Importance says what the model makes use of, not what causes the outcome. Inputs that say "
                            "the same share it between them.</p>");
    if (*weir_section_text(part, "no_gain")) weir_section_escaped(s, "<p class=\"note\">", weir_section_text(part, "no_gain"), ".</p>");
    weir_section_pair_begin(s);
    if (gain) importance_chart(s, list, true, "");
    if (permutation) importance_chart(s, list, false, weir_section_metric(weir_section_text(part, "permutation_metric")));
    weir_section_pair_end(s);
    int columns = cJSON_GetArraySize(list);
    if (columns > IMPORTANT) weir_page_printf(&s->page, "<p class=\"note\">The first %d of %d inputs.</p>", IMPORTANT, columns);
    weir_page_put(&s->page, "</section>");
}

/* ---- single rows ---- */

static void explained_row(weir_section *s, const cJSON *row) {
    enum { MOST = 16 };
    weir_chart_bar bars[MOST];
    char names[MOST][NAME], texts[MOST][WEIR_WORDS_MAX], score[WEIR_WORDS_MAX], title[NAME], label[NAME], words[WEIR_WORDS_MAX];
    const cJSON *list = weir_section_get(row, "contributions"), *c;
    bool value = !strcmp(weir_section_text(s->json, "task"), "regression");
    int count = 0;
    double largest = fabs(weir_section_number(cJSON_GetArrayItem(list, 0), "contribution")); /* they come by size */
    int digits = largest >= 100 ? 0 : largest >= 10 ? 1 : largest >= 1 ? 2 : largest >= 0.1 ? 3 : 5;
    cJSON_ArrayForEach(c, list) {
        if (count == MOST - 1) break;
        double v = weir_section_number(c, "contribution");
        if (v == 0) continue;
        snprintf(names[count], NAME, "%s = %s", weir_section_text(c, "column"), weir_section_text(c, "value"));
        weir_words_difference(v, digits, texts[count]);
        bars[count] = (weir_chart_bar){.name = names[count], .text = texts[count], .value = v, .low = NAN, .high = NAN, .series = v > 0};
        count++;
    }
    double others = weir_section_number(row, "others");
    if (isfinite(others) && others != 0) {
        weir_words_difference(others, digits, texts[count]);
        bars[count] = (weir_chart_bar){.name = "all other inputs", .text = texts[count], .value = others, .low = NAN, .high = NAN, .series = others > 0};
        count++;
    }
    const char *why = weir_section_text(row, "why");
    snprintf(title, sizeof title, "%c%s", why[0] >= 'a' && why[0] <= 'z' ? why[0] - 32 : why[0], why[0] ? why + 1 : "");
    if (value)
        snprintf(label, sizeof label, "%s", weir_words_number(weir_section_number(row, "label"), 4, words));
    else
        snprintf(label, sizeof label, "%.200s", weir_section_text(row, "label"));
    char when[WEIR_WORDS_MAX] = "";
    if (isfinite(weir_section_number(row, "time_us"))) weir_words_moment(weir_section_time(row, "time_us"), when);
    weir_section_figure(s, title, "%s%s%s %s%s%s. What happened: %s.", when, *when ? ": " : "",
                        *when   ? value ? "predicted" : "score"
                        : value ? "Predicted"
                                : "Score",
                        weir_words_number(weir_section_number(row, "score"), 4, score), *weir_section_text(row, "called") ? " for " : "",
                        weir_section_text(row, "called"), label);
    if (count) weir_chart_bars(&s->page, title, bars, count, false);
    weir_section_figure_end(s);
}

void weir_section_explanations(weir_section *s) {
    const cJSON *part = weir_section_get(s->json, "explanations"), *rows = weir_section_get(part, "rows"), *row;
    if (!part) return;
    weir_page_put(&s->page, "<section><h2>Why did these rows get their scores?</h2>");
    if (!weir_section_none(s, part, "Explanations") && cJSON_GetArraySize(rows)) {
        char a[WEIR_WORDS_MAX];
        bool value = !strcmp(weir_section_text(s->json, "task"), "regression");
        weir_page_printf(&s->page,
                         "<p>Exact contributions (Shapley values of the model) of the inputs of single test rows%s. They begin at %s, what is expected of any "
                         "row, and add up to the row’s %s.</p>",
                         value ? "" : ", in log odds", weir_words_number(weir_section_number(cJSON_GetArrayItem(rows, 0), "expected"), 3, a),
                         value ? "prediction" : "score");
        weir_section_pair_begin(s);
        cJSON_ArrayForEach(row, rows) explained_row(s, row);
        weir_section_pair_end(s);
    }
    weir_page_put(&s->page, "</section>");
}

/* ---- learning curve ---- */

void weir_section_learning(weir_section *s) {
    enum { MOST = 16 };
    const cJSON *part = weir_section_get(s->json, "learning_curve"), *p;
    weir_point train[MOST], held[MOST];
    int count = 0;
    if (!part) return;
    weir_page_put(&s->page, "<section><h2>Would more data help?</h2>");
    if (weir_section_none(s, part, "Learning curve")) {
        weir_page_put(&s->page, "</section>");
        return;
    }
    weir_chart_plot plot = {.title = "Learning curve",
                            .x_label = "rows fitted on",
                            .y_label = weir_section_metric(weir_section_text(part, "metric")),
                            .x0 = 0,
                            .y0 = INFINITY,
                            .y1 = -INFINITY,
                            .wide = true,
                            .height = 220};
    cJSON_ArrayForEach(p, weir_section_get(part, "points")) {
        if (count == MOST) break;
        double rows = weir_section_number(p, "rows");
        train[count] = (weir_point){rows, weir_section_number(p, "train")};
        held[count] = (weir_point){rows, weir_section_number(p, "held")};
        plot.x1 = fmax(plot.x1, rows);
        if (isfinite(train[count].y))
            plot.y0 = fmin(plot.y0, fmin(train[count].y, held[count].y)), plot.y1 = fmax(plot.y1, fmax(train[count].y, held[count].y));
        count++;
    }
    double last = count > 1 ? held[count - 1].y : NAN, before = count > 1 ? held[count - 2].y : NAN, first = count ? held[0].y : NAN;
    double step = s->greater ? last - before : before - last, whole = s->greater ? last - first : first - last;
    char a[WEIR_WORDS_MAX];
    weir_section_figure(s, "Learning curve", "The chosen model fitted on growing parts of the training rows, %s, and judged on %s others. %s.",
                        weir_section_text(part, "grows"), weir_section_plain(weir_section_number(part, "held_rows"), a),
                        !(isfinite(step) && isfinite(whole))    ? "There is too little to say more"
                        : step > 0.15 * fabs(whole) && step > 0 ? "The last step still helped: more rows would probably help too"
                                                                : "The last step hardly helped: more rows alone would probably change little");
    weir_section_legend(s, (const char *const[]){"on the rows fitted on", "on others"}, 2);
    weir_page_put(&s->page, "<div class=\"scroll\">");
    weir_chart_plot_open(&s->page, &plot);
    weir_chart_plot_line(&s->page, &plot, train, count, 0);
    weir_chart_plot_dots(&s->page, &plot, train, count, 0, 4, 1);
    weir_chart_plot_line(&s->page, &plot, held, count, 1);
    weir_chart_plot_dots(&s->page, &plot, held, count, 1, 4, 1);
    weir_chart_plot_close(&s->page);
    weir_page_put(&s->page, "</div>");
    weir_section_figure_end(s);
    weir_page_put(&s->page, "</section>");
}

/* ---- leaderboard ---- */

/* "eta 0.05, max_depth 6", small, below the name of a model. */
static void put_params(weir_section *s, const cJSON *params) {
    const cJSON *param;
    const char *before = "<div class=\"note\">";
    cJSON_ArrayForEach(param, params) {
        char number[WEIR_WORDS_MAX];
        if (!cJSON_IsNumber(param) && !cJSON_IsString(param)) continue;
        weir_section_escaped(s, before, param->string, " ");
        weir_page_text(&s->page, cJSON_IsString(param) ? param->valuestring : weir_words_number(param->valuedouble, 3, number));
        before = ", ";
    }
    if (*before == ',') weir_page_put(&s->page, "</div>");
}

void weir_section_leaderboard(weir_section *s) {
    const cJSON *part = weir_section_get(s->json, "leaderboard"), *list = weir_section_get(part, "leaders"), *l;
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX];
    int shown = 0;
    if (!cJSON_GetArraySize(list)) return;
    weir_page_put(&s->page, "<section><h2>What was tried</h2>");
    weir_page_printf(&s->page, "<p>%s trials in %s, %s of which failed and %s were stopped early. What ended the search: ",
                     weir_section_plain(weir_section_number(part, "trials"), a), weir_words_duration(weir_section_number(part, "seconds"), b),
                     weir_section_plain(weir_section_number(part, "failed"), c), weir_section_plain(weir_section_number(part, "pruned"), d));
    weir_section_escaped(s, "", weir_section_text(part, "ended"),
                         ".</p><div class=\"scroll\"><table class=\"small\"><thead><tr><th>Rank</th><th class=\"text\">What</th><th>");
    weir_section_escaped(s, "", weir_section_metric(s->metric),
                         "</th><th>± over folds</th><th>Seconds to fit</th><th>p against the first</th></tr></thead><tbody>");
    cJSON_ArrayForEach(l, list) {
        if (shown++ == LEADERS_SHOWN) break;
        weir_page_printf(&s->page, "<tr><td>%s%s</td>", weir_section_plain(weir_section_number(l, "rank"), a),
                         cJSON_IsTrue(weir_section_get(l, "winner")) ? "<span class=\"tag chosen\">taken</span>" : "");
        weir_section_escaped(s, "<td class=\"wrapped\">", weir_section_text(l, "name"), "");
        put_params(s, weir_section_get(weir_section_get(l, "spec"), "params"));
        weir_page_put(&s->page, "</td>");
        weir_page_printf(&s->page, "<td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>", weir_words_number(weir_section_number(l, "mean"), 4, a),
                         weir_words_number(weir_section_number(l, "deviation"), 2, b), weir_words_number(weir_section_number(l, "fit_seconds"), 2, c),
                         weir_section_p(weir_section_number(l, "p_worse"), d));
    }
    weir_page_put(&s->page, "</tbody></table></div>");
    if (cJSON_GetArraySize(list) > LEADERS_SHOWN)
        weir_page_printf(&s->page, "<p class=\"note\">The first %d of %d.</p>", LEADERS_SHOWN, cJSON_GetArraySize(list));
    weir_page_put(&s->page, "</section>");
}

/* ---- data ---- */

static void mini_histogram(weir_section *s, const cJSON *h) {
    int count = 0;
    double *counts = weir_section_numbers(s, weir_section_get(h, "counts"), &count), most = 0;
    for (int i = 0; i < count; i++) most = fmax(most, counts[i]);
    if (count && most > 0) {
        weir_page_put(&s->page, "<svg class=\"mini\" viewBox=\"0 0 96 22\" aria-hidden=\"true\">");
        for (int i = 0; i < count; i++)
            if (counts[i] > 0)
                weir_page_printf(&s->page, "<rect class=\"f0\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", 96.0 * i / count,
                                 22 - 21 * counts[i] / most, 96.0 / count - 0.8, 21 * counts[i] / most);
        weir_page_put(&s->page, "</svg>");
    }
    weir_models_free(counts);
}

static void column_row(weir_section *s, const cJSON *c) {
    static const char *const numbers[] = {"mean", "deviation", "min", "median", "max"};
    char a[WEIR_WORDS_MAX];
    double shift = weir_section_number(c, "shift");
    weir_section_escaped(s, "<tr><td>", weir_section_text(c, "name"), "</td>");
    weir_section_escaped(s, "<td class=\"text\">", weir_section_text(c, "kind"), "</td>");
    weir_page_printf(&s->page, "<td>%s</td>", weir_section_percent(weir_section_number(c, "missing"), 1, a));
    weir_page_printf(&s->page, "<td>%s</td>", weir_section_plain(weir_section_number(c, "distinct"), a));
    for (int i = 0; i < 5; i++) weir_page_printf(&s->page, "<td>%s</td>", weir_section_plain(weir_section_number(c, numbers[i]), a));
    weir_page_printf(&s->page, "<td%s>%s</td><td>", shift > 0.2 ? " class=\"worse\"" : "", weir_words_ratio(shift, 2, a));
    mini_histogram(s, weir_section_get(c, "histogram"));
    weir_page_put(&s->page, "</td></tr>");
}

static void span(weir_section *s, const cJSON *part, const char *what) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
    int64_t from = weir_section_time(part, "from_us"), to = weir_section_time(part, "to_us");
    weir_page_printf(&s->page, "<dt>%s</dt><dd>%s rows", what, weir_section_plain(weir_section_number(part, "rows"), a));
    if (from != INT64_MIN && from == to)
        weir_page_printf(&s->page, ", all of %s", weir_words_moment(from, a));
    else if (from != INT64_MIN)
        weir_page_printf(&s->page, ", %s to %s", weir_words_moment(from, a), weir_words_moment(to, b));
    if (*weir_section_text(part, "digest")) weir_section_escaped(s, "<br><code>", weir_section_text(part, "digest"), "</code>");
    weir_page_put(&s->page, "</dd>");
}

static void class_balance(weir_section *s, const cJSON *dataset) {
    const cJSON *list = weir_section_get(dataset, "classes"), *c;
    double train = weir_section_number(weir_section_get(dataset, "train"), "rows"), test = weir_section_number(weir_section_get(dataset, "test"), "rows");
    if (!cJSON_GetArraySize(list)) return;
    weir_page_put(&s->page, "<div class=\"scroll\"><table class=\"small\"><thead><tr><th>Class</th><th>Training rows</th><th>Share</th><th>Test "
                            "rows</th><th>Share</th></tr></thead><tbody>");
    cJSON_ArrayForEach(c, list) {
        char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], d[WEIR_WORDS_MAX], e[WEIR_WORDS_MAX];
        double in_train = weir_section_number(c, "train"), in_test = weir_section_number(c, "test");
        weir_section_escaped(s, "<tr><td>", weir_section_text(c, "name"), "</td>");
        weir_page_printf(&s->page, "<td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>", weir_section_plain(in_train, a),
                         weir_section_percent(in_train / train, 1, b), weir_section_plain(in_test, d), weir_section_percent(in_test / test, 1, e));
    }
    weir_page_put(&s->page, "</tbody></table></div>");
}

void weir_section_dataset(weir_section *s) {
    const cJSON *d = weir_section_get(s->json, "dataset"), *quality = weir_section_get(d, "quality"), *list = weir_section_get(d, "column_list"), *c;
    int shown = 0, shifted = 0;
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], e[WEIR_WORDS_MAX], f[WEIR_WORDS_MAX];
    weir_page_put(&s->page, "<section><h2>The data</h2><dl class=\"facts\">");
    if (*weir_section_text(d, "source")) weir_section_escaped(s, "<dt>From</dt><dd>", weir_section_text(d, "source"), "</dd>");
    if (*weir_section_text(d, "target")) weir_section_escaped(s, "<dt>Target</dt><dd>", weir_section_text(d, "target"), "</dd>");
    span(s, weir_section_get(d, "train"), "Training");
    span(s, weir_section_get(d, "test"), "Test");
    const cJSON *split = weir_section_get(s->json, "split");
    const char *told = weir_section_text(weir_section_get(split, "test"), "words"), *folds = weir_section_text(weir_section_get(split, "folds"), "words");
    if (*told) weir_section_escaped(s, "<dt>Told apart by</dt><dd>", told, "</dd>");
    if (*folds) weir_section_escaped(s, "<dt>Folds</dt><dd>", folds, "</dd>");
    weir_page_printf(&s->page, "<dt>Quality</dt><dd>%s of the training values are missing, in %s of %s columns; %s columns never vary; ",
                     weir_section_percent(weir_section_number(quality, "missing"), 1, a),
                     weir_section_plain(weir_section_number(quality, "columns_with_missing"), b), weir_section_plain(weir_section_number(d, "columns"), e),
                     weir_section_plain(weir_section_number(quality, "columns_constant"), f));
    weir_page_printf(&s->page, "%s rows had no label and were left out</dd></dl>", weir_section_plain(weir_section_number(quality, "rows_without_label"), b));
    class_balance(s, d);
    cJSON_ArrayForEach(c, list) shifted += weir_section_number(c, "shift") > 0.2;
    weir_page_put(&s->page, "<p class=\"note\">Columns of the training rows. Shift: the largest difference between the distribution functions of training and "
                            "test rows, 0 (the same) to 1 (apart). ");
    if (shifted)
        weir_page_printf(&s->page, "%d column%s moved by more than 0.2: what was learned there may not hold later.</p>", shifted,
                         shifted == 1 ? " has" : "s have");
    else
        weir_page_put(&s->page, "No column has moved by more than 0.2.</p>");
    weir_page_put(&s->page, "<div class=\"scroll\"><table class=\"small\"><thead><tr><th>Column</th><th "
                            "class=\"text\">Kind</th><th>Missing</th><th>Distinct</th><th>Mean</th><th>Deviation</th>"
                            "<th>Least</th><th>Median</th><th>Most</th><th>Shift</th><th>Distribution</th></tr></thead><tbody>");
    cJSON_ArrayForEach(c, list) {
        if (shown++ == COLUMNS_SHOWN) break;
        column_row(s, c);
    }
    weir_page_put(&s->page, "</tbody></table></div>");
    int columns = cJSON_GetArraySize(list);
    if (columns > COLUMNS_SHOWN)
        weir_page_printf(&s->page, "<p class=\"note\">The first %d of %d columns; all are in <code>report.json</code>.</p>", COLUMNS_SHOWN, columns);
    weir_page_put(&s->page, "</section>");
}

/* ---- run ---- */

static void run_facts(weir_section *s, const cJSON *run) {
    const cJSON *item;
    char text[64];
    weir_page_put(&s->page, "<dl class=\"facts\">");
    cJSON_ArrayForEach(item, run) {
        if (!cJSON_IsString(item) && !cJSON_IsNumber(item)) continue;
        weir_section_escaped(s, "<dt>", item->string, "</dt>");
        snprintf(text, sizeof text, "%.12g", cJSON_IsNumber(item) ? item->valuedouble : 0);
        weir_section_escaped(s, "<dd>", cJSON_IsString(item) ? item->valuestring : text, "</dd>");
    }
    weir_section_escaped(s, "<dt>SHA-256 of the chosen model</dt><dd><code>", weir_section_text(s->chosen, "digest"), "</code></dd></dl>");
}

static void steps(weir_section *s, const cJSON *run) {
    enum { MOST = 32 };
    weir_chart_bar bars[MOST];
    char texts[MOST][WEIR_WORDS_MAX];
    int count = 0;
    const cJSON *step;
    cJSON_ArrayForEach(step, weir_section_get(run, "steps")) {
        double seconds = weir_section_number(step, "seconds");
        if (count == MOST || !isfinite(seconds)) continue;
        const char *name = *weir_section_text(step, "name") ? weir_section_text(step, "name") : weir_section_text(step, "id");
        bars[count] = (weir_chart_bar){.name = name, .text = weir_words_duration(seconds, texts[count]), .value = seconds, .low = NAN, .high = NAN};
        count++;
    }
    if (!count) return;
    weir_section_figure(s, "How long each step took", "In order.");
    weir_chart_bars(&s->page, "Seconds by step", bars, count, true);
    weir_section_figure_end(s);
}

void weir_section_run(weir_section *s) {
    const cJSON *run = weir_section_get(s->json, "run"), *spec = weir_section_get(s->chosen, "spec");
    weir_page_put(&s->page, "<section><h2>How it was made</h2>");
    run_facts(s, run);
    steps(s, run);
    if (spec) {
        char *text = cJSON_Print(spec);
        if (text)
            weir_section_escaped(s, "<h3 style=\"margin-top:20px\">What was fitted</h3><pre>", text, "</pre>");
        else
            s->page.failed = true;
        cJSON_free(text);
    }
    weir_page_put(&s->page, "</section>");
}
