/* All columns of a set against their reference: tests, false discoveries, severity, reasons. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/p_values.h"
#include "features/drift_internal.h"

const char *const weir_drift_severity_names[] = {"none", "some", "high", "critical"};

void weir_drift_report_free(weir_drift_report *report) {
    if (!report) return;
    for (int i = 0; i < report->column_count; i++) weir_mem.realloc(report->columns[i].name, 0);
    if (report->columns) weir_mem.realloc(report->columns, 0);
    weir_mem.realloc(report, 0);
}

/* --- tests of a column --- */

/* Tests that the two sides have enough records for. Where nothing is missing, or nothing unseen is possible, there is no question to ask. */
static weir_status test_column(const weir_drift_profile *reference, const weir_drift_profile *current, weir_drift_statistic statistic,
                               const weir_drift_settings *settings, weir_drift_column *column, weir_err *err) {
    weir_drift_statistic wanted[WEIR_DRIFT_TESTS] = {statistic};
    int count = 1;
    if (statistic >= WEIR_DRIFT_MISSING) return WEIR_FAIL(err, WEIR_EINVAL, "column %s: there is no statistic %d to choose", column->name, (int)statistic);
    if (reference->missing || current->missing) wanted[count++] = WEIR_DRIFT_MISSING;
    if (reference->type == WEIR_DRIFT_CATEGORY) wanted[count++] = WEIR_DRIFT_UNSEEN;
    for (int i = 0; i < count; i++) {
        weir_err why = {0};
        weir_status status = weir_drift_test_columns(reference, current, wanted[i], settings, &column->tests[column->test_count], &why);
        if (status == WEIR_OK) {
            column->test_count++;
        } else if (status != WEIR_EDATA) {
            if (err) *err = why;
            return weir_err_prefix(err, "column %s", column->name), status;
        } else if (i == 0) {
            snprintf(column->reason, sizeof(column->reason), "not compared: %.200s", why.message);
        }
    }
    column->tested = column->test_count > 0;
    return WEIR_OK;
}

/* --- reasons --- */

typedef struct sentence {
    char *text;
    size_t len, size;
} sentence;

static void WEIR_PRINTF(2, 3) say(sentence *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(s->text + s->len, s->size - s->len, format, args);
    va_end(args);
    s->len += n < 0 ? 0 : (size_t)n;
    if (s->len >= s->size) s->len = s->size - 1;
    while (s->len == s->size - 1 && s->len && ((unsigned char)s->text[s->len - 1] & 0x80)) s->text[--s->len] = 0; /* not within a character */
}

static double percent(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

static void say_change(sentence *s, const weir_drift_profile *reference, const weir_drift_profile *current) {
    weir_drift_summary before = weir_drift_profile_summary(reference), now = weir_drift_profile_summary(current);
    if (reference->type == WEIR_DRIFT_BOOL)
        say(s, "; %.3g %% are true, were %.3g %%", 100 * now.mean, 100 * before.mean);
    else if (reference->type == WEIR_DRIFT_NUMBER)
        say(s, "; mean %.4g, was %.4g, standard deviation %.4g, was %.4g", now.mean, before.mean, now.std, before.std);
}

/* The most frequent values of current that reference has not. */
static void say_unseen(sentence *s, const weir_drift_profile *reference, const weir_drift_profile *current, double share) {
    enum { SHOWN = 3 };
    const weir_frequent *now = drift_frequent(current), *before = drift_frequent(reference);
    const weir_frequent_slot *shown[SHOWN] = {0};
    for (uint32_t i = 0; i < now->held; i++) {
        const weir_frequent_slot *slot = &now->slot[i];
        bool known = false;
        for (uint32_t k = 0; k < before->held && !known; k++) known = before->slot[k].value == slot->value;
        for (int k = 0; k < SHOWN && !known; k++) {
            if (shown[k] && shown[k]->count >= slot->count) continue;
            const weir_frequent_slot *moved = shown[k];
            shown[k] = slot;
            slot = moved;
            known = !slot;
        }
    }
    say(s, "%.3g %% of the values are ones that the reference has not", 100 * share);
    char text[WEIR_DRIFT_TEXT_MAX + 1];
    for (int k = 0; k < SHOWN && shown[k]; k++) say(s, "%s%s", k ? ", " : ": ", weir_drift_profile_text(current, shown[k]->value, text));
}

static const char *effect_name(weir_drift_statistic statistic) {
    switch (statistic) {
    case WEIR_DRIFT_WASSERSTEIN: return "standard deviations of the reference";
    case WEIR_DRIFT_CHI_SQUARED: return "(Cohen's w)";
    case WEIR_DRIFT_PROPORTION:
    case WEIR_DRIFT_MISSING: return "(Cohen's h)";
    default: return "";
    }
}

static void say_test(sentence *s, const weir_drift_test *t, const weir_drift_profile *reference, const weir_drift_profile *current) {
    if (s->len) say(s, "; ");
    if (t->statistic == WEIR_DRIFT_MISSING) {
        say(s, "%.3g %% are missing, were %.3g %%", percent((double)current->missing, (double)current->count),
            percent((double)reference->missing, (double)reference->count));
    } else if (t->statistic == WEIR_DRIFT_UNSEEN) {
        say_unseen(s, reference, current, t->value);
    } else {
        const char *effect = effect_name(t->statistic);
        say(s, "%s is %.3g%s%s, limit %.3g", weir_drift_statistic_names[t->statistic], t->effect, *effect ? " " : "", effect, t->threshold);
        say_change(s, reference, current);
    }
}

static void give_reason(weir_drift_column *column, const weir_drift_profile *reference, const weir_drift_profile *current, double alpha) {
    sentence s = {column->reason, 0, sizeof(column->reason)};
    if (!column->tested) return;
    for (int i = 0; i < column->test_count; i++)
        if (column->tests[i].drifted) say_test(&s, &column->tests[i], reference, current);
    for (int i = 0; i < column->test_count && !s.len; i++) {
        const weir_drift_test *t = &column->tests[i];
        if (t->adjusted_p <= alpha)
            say(&s, "no drift: %s differs beyond chance (p %.2g), but its effect %.3g is below the limit %.3g", weir_drift_statistic_names[t->statistic],
                t->adjusted_p, t->effect, t->threshold);
    }
    if (!s.len && !*column->reason) say(&s, "no drift: what differs may be chance");
}

/* --- all columns --- */

static weir_status adjust(weir_drift_report *report, weir_err *err) {
    int count = 0;
    double *p = weir_mem.realloc(NULL, ((size_t)report->column_count * WEIR_DRIFT_TESTS + 1) * sizeof(*p));
    if (!p) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the p-values of %d columns", report->column_count);
    for (int i = 0; i < report->column_count; i++)
        for (int k = 0; k < report->columns[i].test_count; k++) p[count++] = report->columns[i].tests[k].p;
    weir_status status = weir_benjamini_hochberg_adjust(p, count, p, err);
    count = 0;
    for (int i = 0; i < report->column_count && status == WEIR_OK; i++) {
        for (int k = 0; k < report->columns[i].test_count; k++) {
            weir_drift_test *t = &report->columns[i].tests[k];
            t->adjusted_p = p[count++];
            t->drifted = t->adjusted_p <= report->alpha && t->effect >= t->threshold;
            report->columns[i].drifted |= t->drifted;
        }
    }
    weir_mem.realloc(p, 0);
    return status;
}

static void sum_up(weir_drift_report *report, const weir_drift_settings *settings) {
    for (int i = 0; i < report->column_count; i++) {
        const weir_drift_column *c = &report->columns[i];
        bool feature = c->role == WEIR_DRIFT_FEATURE && c->tested;
        report->features += feature;
        report->drifted_features += feature && c->drifted;
        report->score_drifted |= c->role == WEIR_DRIFT_SCORE && c->drifted;
        report->label_drifted |= c->role == WEIR_DRIFT_LABEL && c->drifted;
    }
    report->share = report->features ? (double)report->drifted_features / report->features : 0;
    report->severity = report->share > settings->critical_share ? WEIR_DRIFT_CRITICAL
                       : report->share > settings->high_share   ? WEIR_DRIFT_HIGH
                       : report->drifted_features               ? WEIR_DRIFT_SOME
                                                                : WEIR_DRIFT_NONE;
}

static weir_drift_column *new_column(weir_drift_report *report, const weir_drift_field *field, weir_err *err) {
    weir_drift_column *column = &report->columns[report->column_count];
    size_t size = strlen(field->name) + 1;
    *column = (weir_drift_column){.name = weir_mem.realloc(NULL, size), .type = field->type, .role = field->role};
    if (!column->name) {
        (void)WEIR_FAIL(err, WEIR_ENOMEM, "no memory for column %s", field->name);
        return NULL;
    }
    memcpy(column->name, field->name, size);
    report->column_count++;
    return column;
}

static weir_status judge_column(const weir_drift_table *reference, int at, const weir_drift_table *current, weir_drift_statistic statistic,
                                const weir_drift_settings *settings, weir_drift_report *report, weir_err *err) {
    const weir_drift_field *field = &reference->fields[at];
    weir_drift_column *column = new_column(report, field, err);
    int now = weir_drift_table_find(current, field->name);
    if (!column) return WEIR_ENOMEM;
    if (now < 0) {
        column->drifted = column->tested = true;
        snprintf(column->reason, sizeof(column->reason), "the column is gone");
        return WEIR_OK;
    }
    const weir_drift_field *other = &current->fields[now];
    if (other->type != field->type || other->role != field->role)
        return WEIR_FAIL(err, WEIR_EINVAL, "column %s is a %s (%s) now, was a %s (%s)", field->name, weir_drift_type_names[other->type],
                         weir_drift_role_names[other->role], weir_drift_type_names[field->type], weir_drift_role_names[field->role]);
    return test_column(&reference->profiles[at], &current->profiles[now], statistic, settings, column, err);
}

static weir_status judge_columns(const weir_drift_table *reference, const weir_drift_table *current, const weir_drift_statistic *statistics,
                                 const weir_drift_settings *settings, weir_drift_report *report, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; i < reference->count && status == WEIR_OK; i++)
        status = judge_column(reference, i, current, statistics ? statistics[i] : WEIR_DRIFT_AUTO, settings, report, err);
    for (int i = 0; i < current->count && status == WEIR_OK; i++) {
        if (weir_drift_table_find(reference, current->fields[i].name) >= 0) continue;
        weir_drift_column *column = new_column(report, &current->fields[i], err);
        if (column)
            snprintf(column->reason, sizeof(column->reason), "not compared: the reference has no such column");
        else
            status = WEIR_ENOMEM;
    }
    return status == WEIR_OK ? adjust(report, err) : status;
}

static int64_t records_of(const weir_drift_table *t) {
    int64_t most = 0;
    for (int i = 0; i < t->count; i++) most = t->profiles[i].count > most ? t->profiles[i].count : most;
    return most;
}

weir_status weir_drift_compare(const weir_drift_table *reference, const weir_drift_table *current, const weir_drift_statistic *statistics,
                               const weir_drift_settings *settings, weir_drift_report **ret_report, weir_err *err) {
    weir_status status = drift_settings_check(settings, err);
    if (status != WEIR_OK) return status;
    weir_drift_report *report = weir_mem.realloc(NULL, sizeof(*report));
    if (!report) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a report");
    *report = (weir_drift_report){.alpha = settings->alpha, .reference_records = records_of(reference), .current_records = records_of(current)};
    report->columns = weir_mem.realloc(NULL, (size_t)(reference->count + current->count) * sizeof(*report->columns));
    status = report->columns ? judge_columns(reference, current, statistics, settings, report, err)
                             : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a report of %d columns", reference->count);
    if (status != WEIR_OK) {
        weir_drift_report_free(report);
        return status;
    }
    for (int i = 0; i < reference->count; i++) {
        int now = weir_drift_table_find(current, reference->fields[i].name);
        if (now >= 0) give_reason(&report->columns[i], &reference->profiles[i], &current->profiles[now], report->alpha);
    }
    sum_up(report, settings);
    *ret_report = report;
    return WEIR_OK;
}

double weir_drift_share_of_rate(double rate, int comparisons) {
    return comparisons > 1 ? rate / comparisons : rate;
}
