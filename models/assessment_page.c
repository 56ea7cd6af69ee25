/* The page of an assessment from top to bottom, and what its sections are written with. It reads the document alone, so a report can be drawn again from
 * report.json. */
#include "models/assessment_page.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "models/assessment.h"
#include "models/memory.h"

static const char more_style[] =
    "section{break-inside:auto}h2,h3{break-after:avoid}.note{max-width:none}figure>.note{min-height:0;margin-bottom:10px}"
    ".pair{grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr))}figure h3{margin-bottom:2px}td.best "
    "small{font-weight:400}td.worse{font-weight:650;color:var(--c4)}.tag.chosen{background:var(--c2)}"
    ".mini{width:96px;height:22px;display:inline-block;vertical-align:-4px;min-width:0}.small{font-size:13.5px}.small td{padding:5px 8px}.small th{padding:5px "
    "8px}"
    "pre{font:12.5px/1.45 ui-monospace,\"SF Mono\",Menlo,Consolas,\"DejaVu Sans Mono\",monospace;background:var(--panel);padding:12px 14px;border-radius:8px;"
    "white-space:pre-wrap;overflow-wrap:anywhere;margin:10px 0}"
    ".facts{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;font-size:14.5px;margin:12px 0}.facts dt{color:var(--soft)}.facts "
    "dd{margin:0;overflow-wrap:anywhere}td.wrapped{white-space:normal;min-width:200px;text-align:left}.verdicts{padding-left:20px}.verdicts li{margin:0 0 "
    "6px;max-width:54em}"
    "@page{size:A4;margin:14mm 13mm}@media "
    "print{main{padding:0;max-width:none}body{font-size:13.5px}h1{font-size:28px}.lead{font-size:16px}section{margin-top:24px;"
    "padding-top:16px}.pair{grid-template-columns:1fr 1fr;gap:18px 22px}svg.wide{min-width:0}.scroll{overflow:visible}table{font-size:12.5px;break-inside:auto}"
    "tr{break-inside:avoid}thead{display:table-header-group}td,th{padding-left:5px;padding-right:5px}.flow{break-inside:avoid}.small{font-size:11.5px}td "
    "small{font-size:10px}}";

/* ---- reading ---- */

const cJSON *weir_section_get(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

double weir_section_number(const cJSON *object, const char *key) {
    const cJSON *item = weir_section_get(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

int64_t weir_section_time(const cJSON *object, const char *key) {
    double value = weir_section_number(object, key);
    return fabs(value) < 9e18 ? (int64_t)value : INT64_MIN;
}

const char *weir_section_text(const cJSON *object, const char *key) {
    const cJSON *item = weir_section_get(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

weir_point *weir_section_pairs(weir_section *s, const cJSON *array, int *ret_count) {
    int count = 0;
    weir_point *points = weir_models_calloc((size_t)cJSON_GetArraySize(array), sizeof *points);
    *ret_count = 0;
    if (!points) {
        s->page.failed = true;
        return NULL;
    }
    const cJSON *pair;
    cJSON_ArrayForEach(pair, array) {
        const cJSON *x = cJSON_GetArrayItem(pair, 0), *y = cJSON_GetArrayItem(pair, 1);
        points[count++] = (weir_point){cJSON_IsNumber(x) ? x->valuedouble : NAN, cJSON_IsNumber(y) ? y->valuedouble : NAN};
    }
    *ret_count = count;
    return points;
}

double *weir_section_numbers(weir_section *s, const cJSON *array, int *ret_count) {
    int count = 0;
    double *numbers = weir_models_calloc((size_t)cJSON_GetArraySize(array), sizeof *numbers);
    *ret_count = 0;
    if (!numbers) {
        s->page.failed = true;
        return NULL;
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, array) numbers[count++] = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    *ret_count = count;
    return numbers;
}

/* ---- words ---- */

const char *weir_section_metric(const char *name) {
    static const char *const names[][2] = {
        {"rmse", "RMSE"},
        {"mae", "MAE"},
        {"r2", "R²"},
        {"mape", "MAPE"},
        {"smape", "sMAPE"},
        {"explained_variance", "Explained variance"},
        {"median_absolute_error", "Median absolute error"},
        {"max_error", "Largest error"},
        {"roc_auc", "ROC AUC"},
        {"average_precision", "Average precision"},
        {"f1", "F1"},
        {"precision", "Precision"},
        {"recall", "Recall"},
        {"accuracy", "Accuracy"},
        {"balanced_accuracy", "Balanced accuracy"},
        {"mcc", "MCC"},
        {"log_loss", "Log loss"},
        {"brier", "Brier score"},
        {"expected_calibration_error", "Calibration error"},
        {"precision_at_k", "Precision at k"},
        {"f1_macro", "F1, macro"},
        {"f1_weighted", "F1, weighted"},
        {"precision_macro", "Precision, macro"},
        {"recall_macro", "Recall, macro"},
        {"auc_ovr_macro", "ROC AUC, macro"},
        {"cohen_kappa", "Cohen’s κ"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i][0], name)) return names[i][1];
    return name;
}

char *weir_section_p(double p, char text[WEIR_WORDS_MAX]) {
    if (isfinite(p) && p < 0.001) return strcpy(text, "below 0.001");
    return weir_words_ratio(p, p < 0.1 ? 3 : 2, text);
}

char *weir_section_plain(double value, char text[WEIR_WORDS_MAX]) {
    return value == floor(value) && fabs(value) < 1e12 ? weir_words_count(llround(value), text) : weir_words_number(value, 3, text);
}

char *weir_section_percent(double share, int digits, char text[WEIR_WORDS_MAX]) {
    char number[WEIR_WORDS_MAX];
    if (!isfinite(share)) return weir_words_ratio(share, digits, text);
    snprintf(text, WEIR_WORDS_MAX, "%.50s\u00a0%%", weir_words_ratio(100 * share, digits, number));
    return text;
}

void weir_section_escaped(weir_section *s, const char *before, const char *text, const char *after) {
    weir_page_put(&s->page, before);
    weir_page_text(&s->page, text);
    weir_page_put(&s->page, after);
}

void weir_section_cell(weir_section *s, double value, double low, double high, bool best) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX];
    weir_page_printf(&s->page, "<td%s>%s", best ? " class=\"best\"" : "", weir_words_number(value, 3, a));
    if (isfinite(low + high)) weir_page_printf(&s->page, "<small>%s to %s</small>", weir_words_number(low, 3, b), weir_words_number(high, 3, c));
    weir_page_put(&s->page, "</td>");
}

/* ---- figures ---- */

void weir_section_figure(weir_section *s, const char *title, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    weir_section_escaped(s, "<figure><h3>", title, "</h3>");
    weir_section_escaped(s, "<p class=\"note\">", text, "</p>");
}

void weir_section_figure_end(weir_section *s) {
    weir_page_put(&s->page, "</figure>");
}

void weir_section_legend(weir_section *s, const char *const *names, int count) {
    weir_page_put(&s->page, "<div class=\"legend\">");
    for (int i = 0; i < count; i++) {
        weir_page_printf(&s->page, "<span><i class=\"f%d\"></i>", i);
        weir_section_escaped(s, "", names[i], "</span>");
    }
    weir_page_put(&s->page, "</div>");
}

void weir_section_pair_begin(weir_section *s) {
    weir_page_put(&s->page, "<div class=\"pair\">");
}

void weir_section_pair_end(weir_section *s) {
    weir_page_put(&s->page, "</div>");
}

bool weir_section_none(weir_section *s, const cJSON *part, const char *title) {
    const cJSON *none = weir_section_get(part, "none");
    if (!cJSON_IsString(none)) return false;
    weir_section_escaped(s, "<p class=\"note\"><b>", title, ":</b> ");
    weir_section_escaped(s, "not shown, because ", none->valuestring, ".</p>");
    return true;
}

/* ---- top ---- */

static const cJSON *metric_of(const weir_section *s, const char *name) {
    return weir_section_get(weir_section_get(s->chosen, "metrics"), name);
}

static double value_of(const weir_section *s, const char *name) {
    return weir_section_number(metric_of(s, name), "value");
}

/* " (95 % interval 0.1 to 0.2)", or nothing. */
static const char *interval_words(const weir_section *s, const char *name, bool percent, char text[3 * WEIR_WORDS_MAX]) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
    double low = weir_section_number(metric_of(s, name), "low"), high = weir_section_number(metric_of(s, name), "high");
    text[0] = 0;
    if (!isfinite(low + high)) return text;
    snprintf(text, 3 * WEIR_WORDS_MAX, " (95\u00a0%% interval %s to %s)", percent ? weir_section_percent(low, 1, a) : weir_words_number(low, 3, a),
             percent ? weir_section_percent(high, 1, b) : weir_words_number(high, 3, b));
    return text;
}

static void lead_of_task(weir_section *s) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX], i[3 * WEIR_WORDS_MAX];
    const char *task = weir_section_text(s->json, "task"), *target = weir_section_text(weir_section_get(s->json, "dataset"), "target");
    if (!strcmp(task, "regression")) {
        weir_page_printf(&s->page, " it is off by %s on average%s", weir_words_number(value_of(s, "mae"), 3, a), interval_words(s, "mae", false, i));
        weir_page_printf(&s->page, " and explains %s of the variation in ", weir_section_percent(fmax(value_of(s, "r2"), 0), 1, b));
        weir_section_escaped(s, "<b>", *target ? target : "the target", "</b>.");
    } else if (!strcmp(task, "binary")) {
        weir_page_printf(&s->page, " it ranks a positive row above a negative one in %s of all pairs%s.", weir_section_percent(value_of(s, "roc_auc"), 1, a),
                         interval_words(s, "roc_auc", true, i));
        if (weir_section_number(metric_of(s, "roc_auc"), "low") <= 0.5)
            weir_page_put(&s->page, " Chance alone would give 50\u00a0%, so <b>nothing shows that it knows anything</b>.");
        weir_page_printf(&s->page, " At its threshold it finds %s of the positives, and %s of what it raises is right.",
                         weir_section_percent(value_of(s, "recall"), 0, b), weir_section_percent(value_of(s, "precision"), 0, c));
    } else {
        weir_page_printf(&s->page, " it calls the right class for %s%s.", weir_section_percent(value_of(s, "accuracy"), 1, a),
                         interval_words(s, "accuracy", true, i));
    }
}

static void lead_of_others(weir_section *s) {
    const cJSON *comparisons = weir_section_get(s->json, "comparisons"), *c;
    int better = 0, alike = 0, worse = 0;
    cJSON_ArrayForEach(c, comparisons) {
        better += !strcmp(weir_section_text(c, "verdict"), "better");
        alike += !strcmp(weir_section_text(c, "verdict"), "not told apart");
        worse += !strcmp(weir_section_text(c, "verdict"), "worse");
    }
    if (better)
        weir_page_printf(&s->page, " On these rows %d other model%s better beyond chance: the choice was made before, by cross-validation.", better,
                         better == 1 ? " is" : "s are");
    else if (worse && !alike)
        weir_page_put(&s->page, worse == 1 ? " The other model is worse beyond chance." : " Every other model is worse beyond chance.");
    else if (alike)
        weir_page_printf(&s->page,
                         alike + worse == 1 ? " The other model cannot be told apart from it on these rows."
                                            : " Of the %d other models, %d cannot be told apart from it on these rows%s.",
                         alike + worse, alike, worse ? "; the rest are worse" : "");
}

static void lead(weir_section *s) {
    const cJSON *test = weir_section_get(weir_section_get(s->json, "dataset"), "test");
    double rows = weir_section_number(test, "rows");
    int64_t from = weir_section_time(test, "from_us"), to = weir_section_time(test, "to_us");
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX];
    weir_section_escaped(s, "<p class=\"lead\">The chosen model is <b>", weir_section_text(s->chosen, "name"), "</b>");
    const char *description = weir_section_text(s->chosen, "description");
    if (*description && strcmp(description, weir_section_text(s->chosen, "name"))) weir_section_escaped(s, " (", description, ")");
    if (!(rows >= 1)) {
        weir_page_put(&s->page, ". There are no test rows, so nothing is known of how good it is.</p>");
        return;
    }
    weir_page_printf(&s->page, ". On %s rows that it had not seen", weir_section_plain(rows, a));
    if (from != INT64_MIN && !strcmp(weir_words_date(from, b), weir_words_date(to, c)))
        weir_page_printf(&s->page, ", of %s,", b);
    else if (from != INT64_MIN)
        weir_page_printf(&s->page, ", %s to %s,", b, c);
    lead_of_task(s);
    if (cJSON_IsTrue(weir_section_get(weir_section_get(weir_section_get(s->json, "split"), "test"), "drawn")))
        weir_page_put(&s->page, " These rows were drawn, for time does not order them: of later rows nothing is known.");
    lead_of_others(s);
    const char *none = weir_section_text(weir_section_get(s->json, "intervals"), "none");
    if (*none) weir_page_put(&s->page, " <b>So few rows do not say how good it is.</b>");
    weir_page_put(&s->page, "</p>");
}

static void tile(weir_section *s, const char *value, const char *what, const char *more) {
    weir_page_printf(&s->page, "<div><b>%s</b><span class=\"what\">", value);
    weir_page_text(&s->page, what);
    weir_section_escaped(s, "</span><span>", more, "</span></div>");
}

static void tiles(weir_section *s) {
    static const char *const shown[3][4] = {
        {"roc_auc", "average_precision", "f1", "log_loss"}, {"accuracy", "f1_macro", "log_loss", "auc_ovr_macro"}, {"rmse", "mae", "r2", "mape"}};
    const char *task = weir_section_text(s->json, "task");
    int row = !strcmp(task, "binary") ? 0 : !strcmp(task, "multiclass") ? 1 : 2;
    weir_page_put(&s->page, "<div class=\"flow\">");
    for (int i = 0; i < 4; i++) {
        char value[WEIR_WORDS_MAX], a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], more[3 * WEIR_WORDS_MAX];
        double v = value_of(s, shown[row][i]), low = weir_section_number(metric_of(s, shown[row][i]), "low"),
               high = weir_section_number(metric_of(s, shown[row][i]), "high");
        bool percent = !strcmp(shown[row][i], "mape");
        snprintf(more, sizeof more, "95\u00a0%%: %s to %s", percent ? weir_section_percent(low, 1, a) : weir_words_number(low, 3, a),
                 percent ? weir_section_percent(high, 1, b) : weir_words_number(high, 3, b));
        tile(s, percent ? weir_section_percent(v, 1, value) : weir_words_number(v, 4, value), weir_section_metric(shown[row][i]),
             isfinite(low + high) ? more : "");
    }
    weir_page_put(&s->page, "</div>");
}

static void top(weir_section *s) {
    const cJSON *run = weir_section_get(s->json, "run");
    weir_page_put(&s->page, "<header><p class=\"over\">Model report");
    const char *const keys[] = {"pipeline", "id", "started_at"};
    for (int i = 0; i < 3; i++)
        if (*weir_section_text(run, keys[i])) weir_section_escaped(s, " · ", weir_section_text(run, keys[i]), "");
    weir_section_escaped(s, "</p><h1>", weir_section_text(s->json, "title"), "</h1>");
    lead(s);
    tiles(s);
    weir_page_put(&s->page, "</header>");
}

/* ---- the whole ---- */

static weir_status check(const cJSON *json, weir_err *err) {
    static const char *const needed[] = {"task", "metric", "models", "dataset"};
    if (!cJSON_IsObject(json) || strcmp(weir_section_text(json, "format"), "weir-assessment"))
        return WEIR_FAIL(err, WEIR_EDATA, "the document is no assessment: its \"format\" is not \"weir-assessment\"");
    if (weir_section_number(json, "version") != 1) return WEIR_FAIL(err, WEIR_EDATA, "the assessment's \"version\" is not 1");
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!weir_section_get(json, needed[i])) return WEIR_FAIL(err, WEIR_EDATA, "the assessment lacks \"%s\"", needed[i]);
    if (!cJSON_IsObject(cJSON_GetArrayItem(weir_section_get(json, "models"), 0))) return WEIR_FAIL(err, WEIR_EDATA, "the assessment's \"models\" are empty");
    return WEIR_OK;
}

weir_status weir_assessment_page(const cJSON *json, weir_buf *ret_html, weir_err *err) {
    static void (*const sections[])(weir_section *) = {weir_section_regression, weir_section_binary,      weir_section_multiclass, weir_section_models,
                                                       weir_section_backtest,   weir_section_slices,      weir_section_importance, weir_section_explanations,
                                                       weir_section_learning,   weir_section_leaderboard, weir_section_dataset,    weir_section_run};
    weir_status status = check(json, err);
    if (status) return status;
    const cJSON *metric = weir_section_get(json, "metric");
    weir_section s = {.page = {.buf = ret_html},
                      .json = json,
                      .metric = weir_section_text(metric, "name"),
                      .greater = cJSON_IsTrue(weir_section_get(metric, "greater_is_better"))};
    s.chosen = cJSON_GetArrayItem(weir_section_get(json, "models"), 0);
    weir_section_escaped(
        &s, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
        weir_section_text(json, "title"), "</title><style>");
    weir_page_put(&s.page, weir_page_style);
    weir_page_put(&s.page, more_style);
    weir_page_put(&s.page, "</style></head><body><main>");
    top(&s);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) sections[i](&s);
    weir_section_escaped(&s, "<footer>Made by ", weir_section_text(json, "made_by"),
                         ". The same figures for programs, and more of them: <code>report.json</code>.</footer></main></body></html>\n");
    return s.page.failed ? WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the page of the assessment") : WEIR_OK;
}
