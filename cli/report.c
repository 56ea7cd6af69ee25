/* A report: its counts, curves and verdict, and its files. report_collect.c reads PostgreSQL; report_json.c and report_html.c render. */
#include "cli/report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/folder.h"

enum { DAYS_MAX = 3660 };

void weir_report_init(weir_report *report) {
    *report = (weir_report){0};
    report->started_us = report->ended_us = report->source.first_us = report->source.last_us = report->train_from_us = INT64_MIN;
    report->rates.events_peak = report->rates.events_mean = report->rates.features_mean = report->rates.predictions_mean = NAN;
    report->durations.load = report->durations.train = report->durations.serve = report->durations.evaluate = report->durations.total = NAN;
}

void weir_report_done(weir_report *report) {
    for (char **file = report->source.files; file && *file; file++) free(*file);
    free(report->source.files);
    free(report->days);
    for (int i = 0; i < report->model_count; i++) {
        cJSON_Delete(report->models[i].metrics);
        cJSON_Delete(report->models[i].lineage);
    }
    weir_report_init(report);
}

void weir_report_count(weir_report_counts *counts, const char *name, int64_t more) {
    int i = 0;
    while (i < counts->count && strcmp(counts->items[i].name, name) != 0) i++;
    if (i == WEIR_REPORT_COUNTS_MAX) return;
    if (i == counts->count) {
        snprintf(counts->items[i].name, sizeof counts->items[i].name, "%s", name);
        counts->items[i].count = 0;
        counts->count++;
    }
    counts->items[i].count += more;
}

int64_t weir_report_total(const weir_report_counts *counts) {
    int64_t total = 0;
    for (int i = 0; i < counts->count; i++) total += counts->items[i].count;
    return total;
}

int64_t weir_report_predictions(const weir_report *report, const char *arm) {
    int64_t total = 0;
    for (int i = 0; i < report->measure.arm_count; i++)
        if (!arm || !strcmp(report->measure.arms[i].arm, arm)) total += report->measure.arms[i].predictions;
    return total;
}

/* ---- curves ---- */

/* By arm, then from the highest score down. */
static int compare_scored(const void *a, const void *b) {
    const weir_report_scored *x = a, *y = b;
    if (x->arm != y->arm) return x->arm < y->arm ? -1 : 1;
    return (x->score < y->score) - (x->score > y->score);
}

/* Labelled rows of the days [from, to], highest score first: what a cut after each distinct score would catch. */
typedef struct cut_walk {
    const weir_report_scored *rows;
    int64_t count, next;
    int32_t from_day, to_day;
    int64_t caught, false_alarms; /* positives and negatives so far */
    int64_t group_caught, group_false;
} cut_walk;

static bool cut_next(cut_walk *w) {
    w->group_caught = w->group_false = 0;
    while (w->next < w->count) {
        double score = w->rows[w->next].score;
        for (; w->next < w->count && w->rows[w->next].score == score; w->next++) {
            const weir_report_scored *row = &w->rows[w->next];
            if (row->label < 0 || row->day < w->from_day || row->day > w->to_day) continue;
            if (row->label)
                w->group_caught++;
            else
                w->group_false++;
        }
        if (w->group_caught + w->group_false > 0) {
            w->caught += w->group_caught;
            w->false_alarms += w->group_false;
            return true;
        }
    }
    return false;
}

/* Mann–Whitney with ties at half, as in models/evaluate.h, over some days of rows that are sorted once. */
static double auc_of_days(const weir_report_scored *rows, int64_t count, int32_t from_day, int32_t to_day) {
    cut_walk w = {.rows = rows, .count = count, .from_day = from_day, .to_day = to_day};
    double area = 0;
    while (cut_next(&w)) area += (double)w.group_false * ((double)(w.caught - w.group_caught) + 0.5 * (double)w.group_caught);
    double pairs = (double)w.caught * (double)w.false_alarms;
    return pairs > 0 ? area / pairs : NAN;
}

static void add_point(weir_report_curve *curve, double x, double y) {
    if (curve->count < WEIR_CURVE_POINTS_MAX) curve->points[curve->count++] = (weir_point){x, y};
}

/* Points nearer than this to the last one are left out, which keeps a curve below WEIR_CURVE_POINTS_MAX: each point moves x or y on by it, and both end at 1. */
static const double roc_step = 1.0 / 190, pr_step = 1.0 / 390;

static void curves_of_arm(weir_report *report, int arm, const weir_report_scored *rows, int64_t count) {
    double positives = 0, negatives = 0;
    for (int64_t i = 0; i < count; i++) {
        positives += rows[i].label == 1;
        negatives += rows[i].label == 0;
    }
    weir_report_curve *roc = &report->roc[arm], *pr = &report->pr[arm];
    roc->count = pr->count = 0;
    if (positives == 0 || negatives == 0) return;
    cut_walk w = {.rows = rows, .count = count, .from_day = INT32_MIN, .to_day = INT32_MAX};
    add_point(roc, 0, 0);
    while (cut_next(&w)) {
        double recall = (double)w.caught / positives, fall_out = (double)w.false_alarms / negatives,
               precision = (double)w.caught / (double)(w.caught + w.false_alarms);
        const weir_point *last = &roc->points[roc->count - 1];
        if (fall_out - last->x >= roc_step || recall - last->y >= roc_step) add_point(roc, fall_out, recall);
        if (pr->count == 0 || recall - pr->points[pr->count - 1].x >= pr_step) add_point(pr, recall, precision);
    }
    const weir_point *last = &roc->points[roc->count - 1];
    if (last->x < 1 || last->y < 1) add_point(roc, 1, 1);
}

static weir_status make_days(weir_report *report, const weir_report_scored *rows, int64_t count, weir_err *err) {
    int32_t first = INT32_MAX, last = INT32_MIN;
    for (int64_t i = 0; i < count; i++) {
        first = rows[i].day < first ? rows[i].day : first;
        last = rows[i].day > last ? rows[i].day : last;
    }
    int64_t span = count ? (int64_t)last - first + 1 : 0;
    if (span > DAYS_MAX) return WEIR_FAIL(err, WEIR_EDATA, "predictions lie on days %lld apart, at most %d are drawn", (long long)span, DAYS_MAX);
    free(report->days);
    report->day_count = 0;
    report->days = calloc((size_t)span + 1, sizeof *report->days);
    if (!report->days) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld days of predictions", (long long)span);
    report->day_count = (int)span;
    for (int d = 0; d < report->day_count; d++) report->days[d].day_us = (first + (int64_t)d) * WEIR_DAY_US;
    for (int64_t i = 0; i < count; i++) {
        weir_report_day *day = &report->days[rows[i].day - first];
        day->arms[rows[i].arm].predictions++;
        day->arms[rows[i].arm].labelled += rows[i].label >= 0;
        day->arms[rows[i].arm].positives += rows[i].label == 1;
    }
    return WEIR_OK;
}

weir_status weir_report_curves(weir_report *report, weir_report_scored *rows, int64_t row_count, weir_err *err) {
    for (int64_t i = 0; i < row_count; i++)
        if (!isfinite(rows[i].score) || rows[i].arm < 0 || rows[i].arm >= WEIR_REPORT_ARMS)
            return WEIR_FAIL(err, WEIR_ENUMERIC, "prediction %lld has the score %g of arm %d, expected a number and an arm below %d", (long long)i,
                             rows[i].score, rows[i].arm, WEIR_REPORT_ARMS);
    weir_status status = make_days(report, rows, row_count, err);
    if (status) return status;
    if (row_count) qsort(rows, (size_t)row_count, sizeof *rows, compare_scored);
    int64_t start = 0;
    for (int arm = 0; arm < WEIR_REPORT_ARMS; arm++) {
        int64_t end = start;
        while (end < row_count && rows[end].arm == arm) end++;
        const weir_report_scored *mine = rows + start;
        curves_of_arm(report, arm, mine, end - start);
        for (int d = 0; d < report->day_count; d++) {
            int32_t day = (int32_t)(report->days[d].day_us / WEIR_DAY_US);
            bool any = report->days[d].arms[arm].labelled > 0;
            report->days[d].arms[arm].auc = any ? auc_of_days(mine, end - start, day, day) : NAN;
            report->days[d].arms[arm].auc_so_far = any ? auc_of_days(mine, end - start, INT32_MIN, day) : NAN;
        }
        start = end;
    }
    return WEIR_OK;
}

/* ---- verdict ---- */

/* −1: the champion is clearly better, 1: the challenger is, 0: zero lies in the interval. */
static int clear_side(double low, double high) {
    return low > 0 ? 1 : high < 0 ? -1 : 0;
}

static const weir_arm_measure *arm_of(const weir_report *report, const char *arm) {
    const weir_arm_measure *newest = NULL;
    for (int i = 0; i < report->measure.arm_count; i++)
        if (!strcmp(report->measure.arms[i].arm, arm)) newest = &report->measure.arms[i];
    return newest;
}

static void words_of_difference(const weir_measure *m, char text[256]) {
    char d[WEIR_WORDS_MAX], l[WEIR_WORDS_MAX], h[WEIR_WORDS_MAX], pd[WEIR_WORDS_MAX], pl[WEIR_WORDS_MAX], ph[WEIR_WORDS_MAX];
    snprintf(text, 256, "AUC %s (95\u00a0%% interval %s to %s), average precision %s (%s to %s)", weir_words_difference(m->auc_difference, 3, d),
             weir_words_difference(m->auc_low, 3, l), weir_words_difference(m->auc_high, 3, h), weir_words_difference(m->ap_difference, 3, pd),
             weir_words_difference(m->ap_low, 3, pl), weir_words_difference(m->ap_high, 3, ph));
}

void weir_report_judge(weir_report *report) {
    const weir_measure *m = &report->measure;
    const weir_arm_measure *champion = arm_of(report, "champion"), *challenger = arm_of(report, "challenger");
    if (!m->has_difference || !champion || !challenger) {
        report->better = WEIR_BETTER_UNKNOWN;
        snprintf(report->headline, sizeof report->headline, "No verdict");
        snprintf(report->verdict, sizeof report->verdict,
                 "Champion and challenger cannot be compared: too few outcomes of the payments that they scored are known.");
        return;
    }
    int auc = clear_side(m->auc_low, m->auc_high), ap = clear_side(m->ap_low, m->ap_high);
    char words[256];
    words_of_difference(m, words);
    if (auc * ap < 0) {
        const char *top = ap > 0 ? challenger->model : champion->model, *whole = ap > 0 ? champion->model : challenger->model;
        report->better = WEIR_BETTER_SPLIT;
        snprintf(report->headline, sizeof report->headline, "%s is better at the top of the list, %s over all of it", top, whole);
        snprintf(report->verdict, sizeof report->verdict, "Challenger minus champion: %s. Who checks only the most suspicious payments should take %s.", words,
                 top);
    } else if (auc + ap != 0) {
        bool up = auc + ap > 0;
        report->better = up ? WEIR_BETTER_CHALLENGER : WEIR_BETTER_CHAMPION;
        snprintf(report->headline, sizeof report->headline, up ? "The challenger, %s, is better" : "The champion, %s, stays ahead",
                 up ? challenger->model : champion->model);
        snprintf(report->verdict, sizeof report->verdict, "Challenger minus champion: %s%s", words,
                 auc && ap ? ". Both differences are clear."
                 : auc     ? ". Only the difference in AUC is clear."
                           : ". Only the difference in average precision is clear.");
    } else {
        report->better = WEIR_BETTER_NEITHER;
        snprintf(report->headline, sizeof report->headline, "No clear difference yet");
        snprintf(report->verdict, sizeof report->verdict, "Challenger minus champion: %s. Both intervals hold zero.", words);
    }
}

/* ---- files ---- */

weir_status weir_report_write_file(const char *dir, const char *name, const weir_buf *text, weir_err *err) {
    char path[4200], draft[4220];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(draft, sizeof draft, "%s.draft", path);
    FILE *file = fopen(draft, "w");
    bool ok = file && fwrite(text->data, 1, text->len, file) == text->len && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int why = errno;
    if (file && fclose(file) != 0 && ok) {
        ok = false;
        why = errno;
    }
    if (ok && rename(draft, path) == 0) return WEIR_OK;
    if (ok) why = errno;
    unlink(draft);
    return WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", path, strerror(why));
}

weir_status weir_report_write(const weir_report *report, const char *dir, weir_err *err) {
    weir_buf json = {0}, html = {0};
    weir_status status = weir_folder_make(dir, err);
    if (!status) status = weir_report_json(report, &json, err);
    if (!status) status = weir_report_html(report, &html, err);
    if (!status) status = weir_report_write_file(dir, "report.json", &json, err);
    if (!status) status = weir_report_write_file(dir, "report.html", &html, err);
    weir_buf_done(&json);
    weir_buf_done(&html);
    return status;
}
