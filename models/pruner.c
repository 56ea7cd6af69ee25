/* Median and successive halving.
 *
 * The median rule (Golovin et al., Google Vizier, 2017, section 3.2.2, with the best instead of the mean of a trial's own values, as in Optuna 5.0.0): a
 * trial stops when its best value so far is worse than the median of what completed trials had told at the same step. With "compare": "mean" it is Vizier's own
 * rule: the mean of a trial's values up to the step against the median of the means of completed trials up to there, for values of which each stands for
  * itself,
 * as those of folds do. The same setting has halving judge means.
 *
 * Successive halving without waiting (Li et al., A system for massively parallel hyperparameter tuning, 2020, algorithm 2, with Optuna's rule that trials go
 * on until they must stop): rung r stands at step min_resource · factor^(r + early_stopping_rate); a trial's value there is its first report at or after
 * that step. With min_resource 1 and factor 2:
 *
 *     step   1   2   3   4   5   6   7   8
 *     rung   0   1       2               3
 *
 * At a rung a trial goes on when it is among the best 1 / factor of the values that trials had at this rung until now; while there are fewer than factor,
 * when it is the best of them. A report that reaches several rungs at once counts at all of them, also when the first one stops the trial (where Optuna leaves
 * out the others). */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"
#include "models/pruner.h"

enum { COMPARE_VALUE, COMPARE_MEAN };
static const char *const median_compares[] = {"best", "mean", NULL}, *const halving_compares[] = {"last", "mean", NULL};

typedef struct median_settings {
    int64_t startup_trials, warmup_steps, interval_steps, min_trials;
    int compare;
} median_settings;

static const weir_conf_item median_table[] = {
    {.name = "startup_trials",
     .type = WEIR_CONF_INT,
     .offset = offsetof(median_settings, startup_trials),
     .min = 0,
     .max = 1e6,
     .fallback = "5",
     .doc = "completed trials before any is pruned"},
    {.name = "warmup_steps",
     .type = WEIR_CONF_INT,
     .offset = offsetof(median_settings, warmup_steps),
     .min = 0,
     .max = 1e12,
     .fallback = "0",
     .doc = "steps of a trial before it may be pruned"},
    {.name = "interval_steps",
     .type = WEIR_CONF_INT,
     .offset = offsetof(median_settings, interval_steps),
     .min = 1,
     .max = 1e12,
     .fallback = "1",
     .doc = "judged once in so many steps"},
    {.name = "min_trials",
     .type = WEIR_CONF_INT,
     .offset = offsetof(median_settings, min_trials),
     .min = 1,
     .max = 1e6,
     .fallback = "1",
     .doc = "completed trials that told a value at the same step, at least"},
    {.name = "compare",
     .type = WEIR_CONF_ENUM,
     .offset = offsetof(median_settings, compare),
     .choices = median_compares,
     .fallback = "best",
     .doc = "a trial's best value with the values at the step, or means up to the step"},
    {0},
};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts. NaN of nothing. */
static double median_of(double *values, int count) {
    if (!count) return NAN;
    qsort(values, (size_t)count, sizeof *values, by_value);
    double low = values[(count - 1) / 2], high = values[count / 2];
    return low == high ? low : low + (high - low) / 2; /* two infinities of one sign have no difference */
}

static int by_step(const void *key, const void *item) {
    int64_t step = *(const int64_t *)key, other = ((const weir_report *)item)->step;
    return (step > other) - (step < other);
}

/* The first report of an interval; the others in it are not judged. */
static bool is_first_of_interval(const median_settings *m, const weir_trial *trial) {
    int64_t step = trial->reports[trial->report_count - 1].step, start = (step - m->warmup_steps) / m->interval_steps * m->interval_steps + m->warmup_steps;
    return trial->report_count == 1 || trial->reports[trial->report_count - 2].step < start;
}

/* Of reports [count], NaN left out; NaN of nothing. */
static double mean_of(const weir_report *reports, int count) {
    double sum = 0;
    int counted = 0;
    for (int i = 0; i < count; i++) {
        if (isnan(reports[i].loss)) continue;
        sum += reports[i].loss;
        counted++;
    }
    return counted ? sum / counted : NAN;
}

/* What completed trials told at this step, or up to it, NaN left out: values [trial_count]. *ret_told counts NaN as well. */
static int values_at(const weir_trials *history, int64_t step, int compare, double *values, int *ret_told) {
    int count = 0;
    *ret_told = 0;
    for (int i = 0; i < history->trial_count; i++) {
        const weir_trial *t = &history->trials[i];
        if (t->state != WEIR_TRIAL_COMPLETE || !t->report_count) continue;
        const weir_report *report = bsearch(&step, t->reports, (size_t)t->report_count, sizeof *t->reports, by_step);
        if (!report) continue;
        ++*ret_told;
        double value = compare == COMPARE_MEAN ? mean_of(t->reports, (int)(report - t->reports) + 1) : report->loss;
        if (!isnan(value)) values[count++] = value;
    }
    return count;
}

static weir_status judge_by_median(const void *settings, const weir_trials *history, const weir_trial *trial, bool *ret_prune, weir_err *err) {
    const median_settings *m = settings;
    int64_t complete = 0, step = trial->reports[trial->report_count - 1].step;
    double best = NAN;
    *ret_prune = false;
    for (int i = 0; i < history->trial_count; i++) complete += history->trials[i].state == WEIR_TRIAL_COMPLETE;
    if (!complete || complete < m->startup_trials || step < m->warmup_steps || !is_first_of_interval(m, trial)) return WEIR_OK;
    for (int i = 0; i < trial->report_count; i++) best = fmin(best, trial->reports[i].loss); /* fmin passes NaN over */
    if (m->compare == COMPARE_MEAN) best = mean_of(trial->reports, trial->report_count);
    if (isnan(best)) {
        *ret_prune = true;
        return WEIR_OK;
    }
    double *values = weir_models_calloc((size_t)history->trial_count, sizeof *values);
    if (!values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the values of %d trials", history->trial_count);
    int told, count = values_at(history, step, m->compare, values, &told);
    *ret_prune = told >= m->min_trials && best > median_of(values, count);
    weir_models_free(values);
    return WEIR_OK;
}

typedef struct halving_settings {
    int64_t min_resource, reduction_factor, min_early_stopping_rate;
    int compare;
} halving_settings;

static const weir_conf_item halving_table[] = {
    {.name = "min_resource",
     .type = WEIR_CONF_INT,
     .offset = offsetof(halving_settings, min_resource),
     .min = 1,
     .max = 1e12,
     .fallback = "1",
     .doc = "steps that every trial gets"},
    {.name = "reduction_factor",
     .type = WEIR_CONF_INT,
     .offset = offsetof(halving_settings, reduction_factor),
     .min = 2,
     .max = 1e6,
     .fallback = "4",
     .doc = "one of so many trials goes on from a rung, for so many times the steps"},
    {.name = "min_early_stopping_rate",
     .type = WEIR_CONF_INT,
     .offset = offsetof(halving_settings, min_early_stopping_rate),
     .min = 0,
     .max = 60,
     .fallback = "0",
     .doc = "rungs that are left out at the beginning"},
    {.name = "compare",
     .type = WEIR_CONF_ENUM,
     .offset = offsetof(halving_settings, compare),
     .choices = halving_compares,
     .fallback = "last",
     .doc = "the value at the rung, or the mean of those up to it"},
    {0},
};

/* The report that stands for the trial at a rung; NULL: it has not come so far. */
static const weir_report *report_at(const weir_trial *trial, double rung_step) {
    for (int i = 0; i < trial->report_count; i++)
        if ((double)trial->reports[i].step >= rung_step) return &trial->reports[i];
    return NULL;
}

/* What a report counts for at a rung. */
static double standing(const halving_settings *h, const weir_trial *trial, const weir_report *report) {
    return h->compare == COMPARE_MEAN ? mean_of(trial->reports, (int)(report - trial->reports) + 1) : report->loss;
}

/* Is the value among the best at this rung? values [trial_count] is room. */
static bool goes_on(const halving_settings *h, const weir_trials *history, double rung_step, double value, double *values) {
    int count = 0;
    for (int i = 0; i < history->trial_count; i++) {
        const weir_report *report = report_at(&history->trials[i], rung_step);
        double its = report ? standing(h, &history->trials[i], report) : NAN;
        if (!isnan(its)) values[count++] = its; /* this trial's own is among them */
    }
    qsort(values, (size_t)count, sizeof *values, by_value);
    int64_t best = count / h->reduction_factor;
    return value <= values[best > 0 ? best - 1 : 0];
}

static weir_status judge_by_halving(const void *settings, const weir_trials *history, const weir_trial *trial, bool *ret_prune, weir_err *err) {
    const halving_settings *h = settings;
    const weir_report *last = &trial->reports[trial->report_count - 1];
    double factor = (double)h->reduction_factor, rung_step = (double)h->min_resource * pow(factor, (double)h->min_early_stopping_rate);
    *ret_prune = false;
    if (!(rung_step <= (double)last->step)) return WEIR_OK;
    double own = standing(h, trial, last), *values = weir_models_calloc((size_t)history->trial_count, sizeof *values);
    if (!values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the values of %d trials", history->trial_count);
    for (; rung_step <= (double)last->step && !*ret_prune; rung_step *= factor) {
        if (report_at(trial, rung_step) != last) continue; /* an earlier report was judged here */
        *ret_prune = isnan(own) || !goes_on(h, history, rung_step, own, values);
    }
    weir_models_free(values);
    return WEIR_OK;
}

static weir_status judge_never(const void *settings, const weir_trials *history, const weir_trial *trial, bool *ret_prune, weir_err *err) {
    (void)settings;
    (void)history;
    (void)trial;
    (void)err;
    *ret_prune = false;
    return WEIR_OK;
}

static const weir_conf_item no_settings[] = {{0}};

static const weir_pruner none = {
    .abi = WEIR_PRUNER_ABI, .name = "none", .doc = "every trial runs to its end", .settings = no_settings, .settings_size = 1, .judge = judge_never};

static const weir_pruner median = {.abi = WEIR_PRUNER_ABI,
                                   .name = "median",
                                   .doc = "stops what is worse than the median of completed trials at the same step",
                                   .settings = median_table,
                                   .settings_size = sizeof(median_settings),
                                   .judge = judge_by_median};

static const weir_pruner halving = {.abi = WEIR_PRUNER_ABI,
                                    .name = "halving",
                                    .doc = "asynchronous successive halving: one of reduction_factor trials goes on from each rung",
                                    .settings = halving_table,
                                    .settings_size = sizeof(halving_settings),
                                    .judge = judge_by_halving};

const weir_pruner *const *weir_pruners(void) {
    static const weir_pruner *const pruners[] = {&none, &median, &halving, NULL};
    return pruners;
}

const weir_pruner *weir_pruner_find(const char *name) {
    for (const weir_pruner *const *p = weir_pruners(); *p; p++)
        if (!strcmp((*p)->name, name)) return *p;
    return NULL;
}
