/* The report as one HTML page that needs nothing else: style sheet and charts are inside. Written for somebody who runs a fraud desk, not for a data scientist. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/report.h"
#include "core/clock.h"

static const char *const arm_names[WEIR_REPORT_ARMS] = {"champion", "challenger"};

/* The version that the arm served last. */
static const weir_arm_measure *arm_last(const weir_report *r, int arm) {
    const weir_arm_measure *found = NULL;
    for (int i = 0; i < r->measure.arm_count; i++)
        if (!strcmp(r->measure.arms[i].arm, arm_names[arm])) found = &r->measure.arms[i];
    return found;
}

static int arm_number(const char *alias) {
    for (int i = 0; i < WEIR_REPORT_ARMS; i++)
        if (strstr(alias, arm_names[i])) return i;
    return -1;
}

static void tag(weir_page *p, const char *alias) {
    int arm = arm_number(alias);
    if (arm >= 0) weir_page_printf(p, "<span class=\"tag t%d\">%s</span>", arm, arm_names[arm]);
}

/* ---- top of the page ---- */

static void flow_cell(weir_page *p, const char *number, const char *what, const char *more) {
    weir_page_printf(p, "<div><b>%s</b><span class=\"what\">%s</span><span>", number, what);
    weir_page_text(p, more);
    weir_page_put(p, "</span></div>");
}

static void flow(weir_page *p, const weir_report *r) {
    char number[WEIR_WORDS_MAX], a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], more[200];
    weir_page_put(p, "<div class=\"flow\">");
    snprintf(more, sizeof more, "%s a second, at most %s", weir_words_rate(r->rates.events_mean, a), weir_words_rate(r->rates.events_peak, b));
    flow_cell(p, weir_words_count(r->events_in, number), "payments in", more);
    snprintf(more, sizeof more, "%s a second, in %d views", weir_words_rate(r->rates.features_mean, a), r->features_out.count);
    flow_cell(p, weir_words_count(weir_report_total(&r->features_out), number), "feature records out", more);
    snprintf(more, sizeof more, "%s champion, %s challenger", weir_words_count(weir_report_predictions(r, "champion"), a),
             weir_words_count(weir_report_predictions(r, "challenger"), b));
    flow_cell(p, weir_words_count(weir_report_predictions(r, NULL), number), "predictions", more);
    snprintf(more, sizeof more, "known up to %s days after the payment", weir_words_ratio((double)r->label_delay_us / (double)WEIR_DAY_US, 0, a));
    flow_cell(p, weir_words_count(r->labels_in, number), "outcomes in", more);
    int64_t dead = weir_report_total(&r->dead_letters);
    flow_cell(p, weir_words_count(dead, number), "dead letters", dead ? "kept with their reason" : "nothing was refused");
    weir_page_put(p, "</div>");
}

/* What the figures mean at a desk: alarms raised and frauds found at the threshold that is served. */
static void alarms(weir_page *p, const weir_report *r) {
    bool any = false;
    for (int a = 0; a < WEIR_REPORT_ARMS; a++) {
        const weir_arm_measure *arm = arm_last(r, a);
        if (!arm || !isfinite(arm->metrics.recall) || !isfinite(arm->metrics.precision)) continue;
        char found[WEIR_WORDS_MAX], right[WEIR_WORDS_MAX];
        weir_page_printf(p, "%sThe %s, ", any ? " " : "<p>", arm_names[a]);
        any = true;
        weir_page_text(p, arm->model);
        weir_page_printf(p, ", finds %s\u00a0%% of the frauds among its payments, and %s\u00a0%% of its alarms are right.",
                         weir_words_ratio(100 * arm->metrics.recall, 0, found), weir_words_ratio(100 * arm->metrics.precision, 0, right));
    }
    if (any) weir_page_put(p, "</p>");
}

static void top(weir_page *p, const weir_report *r) {
    char moment[WEIR_WORDS_MAX], total[WEIR_WORDS_MAX];
    weir_page_put(p, "<header><p class=\"over\">Weir \u00b7 pipeline ");
    weir_page_text(p, r->pipeline);
    weir_page_printf(p, " \u00b7 %s \u00b7 took %s</p><h1>", weir_words_moment(r->ended_us, moment), weir_words_duration(r->durations.total, total));
    weir_page_text(p, r->headline);
    weir_page_put(p, "</h1><p class=\"lead\">");
    weir_page_text(p, r->verdict);
    weir_page_put(p, "</p>");
    alarms(p, r);
    flow(p, r);
    weir_page_put(p, "</header>");
}

/* ---- champion and challenger ---- */

static void arms_table(weir_page *p, const weir_report *r) {
    weir_page_printf(p,
                     "<div class=\"scroll\"><table><thead><tr><th>Model</th><th>Predictions</th><th>Outcome known</th><th>Frauds among "
                     "them</th><th>AUC</th><th>Average<br>precision</th>"
                     "<th>Card<br>precision@%d</th><th>Precision</th><th>Recall</th></tr></thead><tbody>",
                     r->card_k);
    for (int i = 0; i < r->measure.arm_count; i++) {
        const weir_arm_measure *arm = &r->measure.arms[i];
        const weir_metrics_binary *m = &arm->metrics;
        char w[8][WEIR_WORDS_MAX];
        weir_page_put(p, "<tr><td>");
        weir_page_text(p, arm->model);
        weir_page_printf(p, " v%d", arm->version);
        tag(p, arm->arm);
        weir_page_printf(p, "</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>",
                         weir_words_count(arm->predictions, w[0]), weir_words_count(arm->labelled, w[1]), weir_words_count(m->positives, w[2]),
                         weir_words_ratio(m->auc_roc, 3, w[3]), weir_words_ratio(m->average_precision, 3, w[4]), weir_words_ratio(m->card_precision, 3, w[5]),
                         weir_words_ratio(m->precision, 3, w[6]), weir_words_ratio(m->recall, 3, w[7]));
    }
    if (r->measure.arm_count == 0) weir_page_put(p, "<tr><td colspan=\"9\">No predictions were made.</td></tr>");
    weir_page_put(p, "</tbody></table></div>");
}

/* which: 0 none, 1 AUC, 2 average precision, 3 predictions beside the names. */
static void legend(weir_page *p, const weir_report *r, int which) {
    weir_page_put(p, "<div class=\"legend\">");
    for (int a = 0; a < WEIR_REPORT_ARMS; a++) {
        const weir_arm_measure *arm = arm_last(r, a);
        char words[WEIR_WORDS_MAX];
        if (!arm) continue;
        weir_page_printf(p, "<span><i class=\"f%d\"></i>%s ", a, arm_names[a]);
        weir_page_text(p, arm->model);
        if (which == 1) weir_page_printf(p, ", %s", weir_words_ratio(arm->metrics.auc_roc, 3, words));
        if (which == 2) weir_page_printf(p, ", %s", weir_words_ratio(arm->metrics.average_precision, 3, words));
        if (which == 3) weir_page_printf(p, ", %s", weir_words_count(weir_report_predictions(r, arm_names[a]), words));
        weir_page_put(p, "</span>");
    }
    weir_page_put(p, "</div>");
}

static void figure_open(weir_page *p, const weir_report *r, const char *title, const char *note, int which) {
    weir_page_printf(p, "<figure><h3>%s</h3><p class=\"note\">%s</p>", title, note);
    legend(p, r, which);
}

static void curves(weir_page *p, const weir_report *r) {
    weir_chart_series roc[WEIR_REPORT_ARMS], pr[WEIR_REPORT_ARMS];
    for (int a = 0; a < WEIR_REPORT_ARMS; a++) {
        roc[a] = (weir_chart_series){arm_names[a], r->roc[a].points, r->roc[a].count};
        pr[a] = (weir_chart_series){arm_names[a], r->pr[a].points, r->pr[a].count};
    }
    figure_open(p, r, "Frauds found against false alarms", "ROC curve: nearer the upper left corner is better, the dashed line is chance.", 1);
    weir_chart_unit(p, "ROC curve of champion and challenger", "share of good payments raised as alarm", "share of frauds found", roc, WEIR_REPORT_ARMS, true);
    weir_page_put(p, "</figure>");
    figure_open(p, r, "How much of an alarm is worth", "Precision-recall curve: of what is raised, how much is fraud, as more of all fraud is found.", 2);
    weir_chart_unit(p, "Precision-recall curve of champion and challenger", "share of frauds found (recall)", "share of alarms that are fraud (precision)", pr,
                    WEIR_REPORT_ARMS, false);
    weir_page_put(p, "</figure>");
}

/* What the two charts by day need, side by side in memory of the stack. */
enum { DRAWN_DAYS_MAX = 370 };

static void days(weir_page *p, const weir_report *r) {
    static const char *const so_far_title = "AUC as outcomes arrive";
    int skip = r->day_count > DRAWN_DAYS_MAX ? r->day_count - DRAWN_DAYS_MAX : 0, count = r->day_count - skip;
    int64_t day_us[DRAWN_DAYS_MAX], predictions[WEIR_REPORT_ARMS * DRAWN_DAYS_MAX];
    weir_point so_far[WEIR_REPORT_ARMS][DRAWN_DAYS_MAX], daily[WEIR_REPORT_ARMS][DRAWN_DAYS_MAX];
    weir_chart_series lines[WEIR_REPORT_ARMS], dots[WEIR_REPORT_ARMS];
    for (int a = 0; a < WEIR_REPORT_ARMS; a++) {
        for (int d = 0; d < count; d++) {
            const weir_report_day *day = &r->days[skip + d];
            day_us[d] = day->day_us;
            predictions[a * count + d] = day->arms[a].predictions;
            so_far[a][d] = (weir_point){d, day->arms[a].auc_so_far};
            daily[a][d] = (weir_point){d, day->arms[a].auc};
        }
        lines[a] = (weir_chart_series){arm_names[a], so_far[a], count};
        dots[a] = (weir_chart_series){arm_names[a], daily[a], count};
    }
    figure_open(p, r, so_far_title, "By day of payment. Line: all days up to then; dots: that day alone. A day's outcomes arrive later.", 0);
    weir_chart_days(p, so_far_title, day_us, count, lines, dots, WEIR_REPORT_ARMS);
    weir_page_put(p, "</figure>");
    figure_open(p, r, "Predictions by day", "Each card belongs to one arm, decided by a salted hash, so the share stays the same.", 3);
    weir_chart_stack(p, "Predictions by arm and day", day_us, count, arm_names, predictions, WEIR_REPORT_ARMS);
    weir_page_put(p, "</figure>");
}

static void experiment(weir_page *p, const weir_report *r) {
    weir_page_put(p, "<section><h2>Champion against challenger, on live payments</h2><p>Both models scored at the same time, each its own share of the cards. "
                     "The outcome of a payment becomes known "
                     "days later; only then does it count here. Cards already known to be compromised are included, so these figures are not those of the test "
                     "days below.</p>");
    arms_table(p, r);
    if (r->measure.has_difference) {
        const weir_measure *m = &r->measure;
        const weir_chart_interval rows[] = {{"AUC", m->auc_difference, m->auc_low, m->auc_high},
                                            {"Average precision", m->ap_difference, m->ap_low, m->ap_high}};
        weir_page_put(p, "<figure class=\"scroll\" style=\"margin-top:26px\"><h3>Challenger minus champion</h3><p class=\"note\">Point: the difference "
                         "measured. Bar: where it lies with 95 % confidence "
                         "(bootstrap). A bar that does not touch zero is a clear difference.</p>");
        weir_chart_intervals(p, "Difference of challenger and champion with 95 % intervals", rows, 2, "\u2190 champion better", "challenger better \u2192");
        weir_page_put(p, "</figure>");
    }
    if (r->roc[0].count + r->roc[1].count > 0) {
        weir_page_put(p, "<div class=\"pair\">");
        curves(p, r);
        weir_page_put(p, "</div>");
    }
    if (r->day_count > 0) {
        weir_page_put(p, "<div class=\"pair\">");
        days(p, r);
        weir_page_put(p, "</div>");
    }
    weir_page_put(p, "</section>");
}

/* ---- models ---- */

static double metric_of(const weir_report_model *model, const char *name) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(model->metrics, name);
    return cJSON_IsNumber(value) ? value->valuedouble : NAN;
}

static void models_table(weir_page *p, const weir_report *r) {
    char card[48];
    snprintf(card, sizeof card, "card_precision_%d", r->card_k);
    const char *const names[] = {"auc_roc", "average_precision", card, "f1", "precision", "recall"};
    double best[6];
    for (int k = 0; k < 6; k++) {
        best[k] = NAN;
        for (int i = 0; i < r->model_count; i++) best[k] = fmax(best[k], metric_of(&r->models[i], names[k]));
    }
    weir_page_printf(p,
                     "<div class=\"scroll\"><table><thead><tr><th>Model</th><th "
                     "class=\"text\">Algorithm</th><th>AUC</th><th>Average<br>precision</th><th>Card<br>precision@%d</th><th>F1</th>"
                     "<th>Precision</th><th>Recall</th></tr></thead><tbody>",
                     r->card_k);
    for (int i = 0; i < r->model_count; i++) {
        const weir_report_model *model = &r->models[i];
        weir_page_put(p, "<tr><td>");
        weir_page_text(p, model->name);
        weir_page_printf(p, " v%d", model->version);
        tag(p, model->alias);
        weir_page_put(p, "</td><td class=\"text\">");
        weir_page_text(p, model->algorithm);
        weir_page_put(p, "</td>");
        for (int k = 0; k < 6; k++) {
            char words[WEIR_WORDS_MAX];
            double value = metric_of(model, names[k]);
            weir_page_printf(p, "<td%s>%s</td>", k < 3 && r->model_count > 1 && isfinite(value) && value == best[k] ? " class=\"best\"" : "",
                             weir_words_ratio(value, 3, words));
        }
        weir_page_put(p, "</tr>");
    }
    if (r->model_count == 0) weir_page_put(p, "<tr><td colspan=\"8\">No model was registered.</td></tr>");
    weir_page_put(p, "</tbody></table></div>");
}

static void models(weir_page *p, const weir_report *r) {
    char from[WEIR_WORDS_MAX], to[WEIR_WORDS_MAX];
    int64_t test_from = r->train_from_us + r->train_us + r->delay_us;
    weir_page_put(p, "<section><h2>Models that were trained</h2>");
    if (r->train_from_us != INT64_MIN)
        weir_page_printf(p, "<p>All were fitted on the same training days and judged on the test days, %s to %s%s.</p>", weir_words_day(test_from, from),
                         weir_words_date(test_from + r->test_us - 1, to),
                         r->exclude_known ? ", without the cards that were known to be compromised by then" : "");
    models_table(p, r);
    weir_page_printf(p,
                     "<p class=\"note\"><b>AUC</b>: how often a fraud is ranked above a good payment; 0.5 is chance, 1 is perfect. <b>Average precision</b>: "
                     "how pure the top of the list is, over all "
                     "lengths of the list. <b>Card precision@%d</b>: of the %d cards that look worst on a day, the share that is really compromised. "
                     "<b>Precision</b> and <b>recall</b>: at the "
                     "model\u2019s alarm threshold, how many alarms are fraud, and how many frauds raise an alarm.</p></section>",
                     r->card_k, r->card_k);
}

/* ---- data ---- */

static void source_words(weir_page *p, const weir_report *r) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX];
    if (r->source.files) {
        weir_page_put(p, "<p>From ");
        for (char **file = r->source.files; *file; file++) {
            const char *slash = strrchr(*file, '/');
            weir_page_put(p, file == r->source.files ? "<code>" : ", <code>");
            weir_page_text(p, slash ? slash + 1 : *file);
            weir_page_put(p, "</code>");
        }
    } else {
        weir_page_printf(p, "<p>From the built-in simulator of card payments (%s customers, %s days, seed %lld)", weir_words_count(r->source.entities, a),
                         weir_words_count(r->source.days, b), (long long)r->source.seed);
    }
    weir_page_printf(p, ": %s payments from %s", weir_words_count(r->source.events, a), weir_words_date(r->source.first_us, b));
    weir_page_printf(p, " to %s.", weir_words_date(r->source.last_us, c));
    if (r->train_from_us != INT64_MIN)
        weir_page_printf(
            p, " Models learned from %s of them; then they waited %s, because that is how long it takes until a fraud is known, and were tested on %s.",
            weir_words_duration((double)r->train_us / 1e6, a), weir_words_duration((double)r->delay_us / 1e6, b),
            weir_words_duration((double)r->test_us / 1e6, c));
    weir_page_put(p, "</p>");
}

static void split_chart(weir_page *p, const weir_report *r) {
    int64_t train_to = r->train_from_us + r->train_us, test_from = train_to + r->delay_us, test_to = test_from + r->test_us,
            last = r->source.last_us + r->label_delay_us;
    int64_t end = r->source.last_us > test_to ? r->source.last_us : test_to;
    const weir_chart_span spans[] = {
        {"history for the features", "before", r->source.first_us, r->train_from_us},
        {"train", "train", r->train_from_us, train_to},
        {"delay", "delay", train_to, test_from},
        {"test", "test", test_from, test_to},
        {"live only", "after", test_to, end},
        {"outcomes", "before", end, last},
    };
    const weir_chart_mark marks[] = {{"outcomes of the test days are known", test_to + r->label_delay_us}, {"models go live", test_from}};
    weir_page_put(p, "<figure class=\"scroll\">");
    weir_chart_timeline(p, "How the data was split", r->source.first_us, last > end ? last : end, spans, 6, marks, 2);
    weir_page_put(p, "</figure>");
}

static void data(weir_page *p, const weir_report *r) {
    weir_page_put(p, "<section><h2>Where the data came from, and how it was split</h2>");
    source_words(p, r);
    if (r->train_from_us != INT64_MIN && r->source.first_us != INT64_MIN) split_chart(p, r);
    weir_page_put(p, "<div class=\"scroll\"><table><thead><tr><th>Features written, by view</th><th>Records</th></tr></thead><tbody>");
    for (int i = 0; i < r->features_out.count; i++) {
        char words[WEIR_WORDS_MAX];
        weir_page_put(p, "<tr><td>");
        weir_page_text(p, r->features_out.items[i].name);
        weir_page_printf(p, "</td><td>%s</td></tr>", weir_words_count(r->features_out.items[i].count, words));
    }
    weir_page_put(p, "</tbody></table></div></section>");
}

/* ---- dead letters, time, provenance ---- */

static const char *class_words(const char *name) {
    static const char *const words[][2] = {{"decode", "could not be decoded"},        {"schema", "unknown schema"}, {"check", "failed a check of the pipeline"},
                                           {"future", "dated too far in the future"}, {"late", "came too late"},    {"oversize", "too large"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i][0], name)) return words[i][1];
    return "";
}

static void dead_letters(weir_page *p, const weir_report *r) {
    int64_t total = weir_report_total(&r->dead_letters), most = 1;
    weir_page_put(p, "<section><h2>Dead letters</h2>");
    if (total == 0) {
        weir_page_put(p,
                      "<p>None: every record was accepted. What cannot be read or fails a check would be kept unchanged, with its reason, in the topic <code>");
        weir_page_text(p, r->pipeline);
        weir_page_put(p, ".deadletter</code>.</p></section>");
        return;
    }
    for (int i = 0; i < r->dead_letters.count; i++)
        if (r->dead_letters.items[i].count > most) most = r->dead_letters.items[i].count;
    weir_page_put(p, "<p>Records that were refused. They lie unchanged, with their reason, in the topic <code>");
    weir_page_text(p, r->pipeline);
    weir_page_put(p, ".deadletter</code>.</p><div class=\"scroll\"><table><thead><tr><th>Reason</th><th class=\"text\"></th><th "
                     "class=\"text\"></th><th>Records</th></tr></thead><tbody>");
    for (int i = 0; i < r->dead_letters.count; i++) {
        char words[WEIR_WORDS_MAX];
        weir_page_put(p, "<tr><td>");
        weir_page_text(p, r->dead_letters.items[i].name);
        weir_page_printf(p, "</td><td class=\"text\">%s</td><td class=\"text\" style=\"width:40%%\">", class_words(r->dead_letters.items[i].name));
        if (r->dead_letters.items[i].count > 0)
            weir_page_printf(p, "<span class=\"bar\" style=\"width:%.1f%%\"></span>", 100.0 * (double)r->dead_letters.items[i].count / (double)most);
        weir_page_printf(p, "</td><td>%s</td></tr>", weir_words_count(r->dead_letters.items[i].count, words));
    }
    weir_page_put(p, "</tbody></table></div></section>");
}

static void durations(weir_page *p, const weir_report *r) {
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX];
    const char *const names[] = {"load", "train", "serve", "evaluate"};
    const double seconds[] = {r->durations.load, r->durations.train, r->durations.serve, r->durations.evaluate};
    weir_page_printf(p, "<section><h2>How long it took</h2><p>%s in all:", weir_words_duration(r->durations.total, a));
    for (int i = 0; i < 4; i++) weir_page_printf(p, "%s %s %s", i ? "," : "", names[i], weir_words_duration(seconds[i], a));
    weir_page_printf(p, ". Loading ran as fast as the machine could, at most %s payments a second; ", weir_words_rate(r->rates.events_peak, b));
    weir_page_printf(p, "serving was paced, so that it could be watched, and made %s predictions a second.</p><figure class=\"scroll\">",
                     weir_words_rate(r->rates.predictions_mean, a));
    weir_chart_parts(p, "Time by phase", names, seconds, 4);
    weir_page_put(p, "</figure></section>");
}

static void provenance(weir_page *p, const weir_report *r) {
    weir_page_put(p, "<section><h2>Where each model came from</h2><div class=\"scroll\"><table><thead><tr><th>Model</th><th class=\"text\">SHA-256 of the "
                     "model file</th></tr></thead><tbody>");
    for (int i = 0; i < r->model_count; i++) {
        weir_page_put(p, "<tr><td>");
        weir_page_text(p, r->models[i].name);
        weir_page_printf(p, " v%d</td><td class=\"text wrap\"><code>", r->models[i].version);
        weir_page_text(p, r->models[i].digest[0] ? r->models[i].digest : "\u2013");
        weir_page_put(p, "</code></td></tr>");
    }
    weir_page_put(p, "</tbody></table></div>");
    if (r->run_id[0]) {
        weir_page_put(p, "<p class=\"note\">Training run <code>");
        weir_page_text(p, r->run_id);
        weir_page_put(p, "</code>, ");
        weir_page_text(p, r->run_status);
        weir_page_put(p, ". Training sets, parameters, seeds and code version are in <code>report.json</code> and in the model registry.</p>");
    }
    weir_page_put(p, "</section>");
}

weir_status weir_report_html(const weir_report *report, weir_buf *out, weir_err *err) {
    weir_page page = {.buf = out}, *p = &page;
    weir_page_put(p, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                     "content=\"width=device-width,initial-scale=1\"><title>Weir: ");
    weir_page_text(p, report->pipeline);
    weir_page_put(p, " report</title><style>");
    weir_page_put(p, weir_page_style);
    weir_page_put(p, "</style></head><body><main>");
    top(p, report);
    experiment(p, report);
    models(p, report);
    data(p, report);
    dead_letters(p, report);
    durations(p, report);
    provenance(p, report);
    weir_page_put(p, "<footer>Made by Weir " WEIR_VERSION ". The same figures for programs: <code>report.json</code>.</footer></main></body></html>\n");
    return page.failed ? WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the HTML report") : WEIR_OK;
}
