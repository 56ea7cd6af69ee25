#include "models/learn_on.h"

#include <stdio.h>

#include "core/clock.h"
#include "models/memory.h"

/* Rows [first, end) of one UTC day. */
typedef struct day {
    int64_t first, end, start_us;
    int known; /* days before it whose labels are all known when it begins */
} day;

/* What goes on while a set is learnt. */
typedef struct learner {
    const weir_trainset *set;
    const weir_learn_settings *settings;
    day *days;
    int day_count;
    weir_learnt learnt; /* its artifact: the model as it is now */
} learner;

static int64_t day_start(int64_t time_us) {
    int64_t since = time_us % WEIR_DAY_US;
    return time_us - since - (since < 0 ? WEIR_DAY_US : 0);
}

/* days NULL: only counts them. */
static int find_days(const weir_trainset *set, int64_t label_delay_us, day *days) {
    int count = 0, known = 0;
    for (int64_t first = 0, end; first < set->matrix.row_count; first = end, count++) {
        int64_t start_us = day_start(set->time_us[first]);
        for (end = first; end < set->matrix.row_count && set->time_us[end] < start_us + WEIR_DAY_US;) end++;
        if (!days) continue;
        while (known < count && days[known].start_us + WEIR_DAY_US + label_delay_us <= start_us) known++;
        days[count] = (day){.first = first, .end = end, .start_us = start_us, .known = known};
    }
    return count;
}

static weir_status start(learner *l, const void *artifact, size_t len, int outputs, weir_err *err) {
    int64_t label_delay_us = l->settings->label_delay_us;
    size_t scores = (size_t)l->set->matrix.row_count * (size_t)outputs;
    weir_learnt *to = &l->learnt;
    l->day_count = to->day_count = find_days(l->set, label_delay_us, NULL);
    l->days = weir_models_calloc((size_t)l->day_count, sizeof *l->days);
    to->row_count = l->set->matrix.row_count;
    to->output_count = outputs;
    to->prequential = weir_models_calloc(scores, sizeof(double));
    to->delayed = weir_models_calloc(scores, sizeof(double));
    to->unchanged = weir_models_calloc(scores, sizeof(double));
    bool ok = l->days && to->prequential && to->delayed && to->unchanged && weir_buf_append(&to->artifact, artifact, len);
    if (!ok) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the scores of %lld rows", (long long)to->row_count);
    (void)find_days(l->set, label_delay_us, l->days);
    return WEIR_OK;
}

static weir_status score(const learner *l, weir_model *model, int64_t first, int64_t end, double *scores, weir_err *err) {
    const weir_matrix *m = &l->set->matrix;
    return weir_model_predict(model, m->values + first * m->column_count, end - first, scores + first * l->learnt.output_count, err);
}

/* What the model says after `learnt` days: of the next day, and of those for which it is the newest that could be. */
static weir_status test(learner *l, weir_model *model, int learnt, int *next_delayed, weir_err *err) {
    weir_status status = score(l, model, l->days[learnt].first, l->days[learnt].end, l->learnt.prequential, err);
    for (; !status && *next_delayed < l->day_count && l->days[*next_delayed].known == learnt; ++*next_delayed)
        status = score(l, model, l->days[*next_delayed].first, l->days[*next_delayed].end, l->learnt.delayed, err);
    return status;
}

static weir_status train(learner *l, const day *of, weir_err *err) {
    const weir_matrix *m = &l->set->matrix;
    weir_matrix rows = *m;
    weir_buf next = {0};
    rows.row_count = of->end - of->first;
    rows.values += of->first * m->column_count;
    rows.label += of->first;
    if (rows.weight) rows.weight += of->first;
    weir_status status = weir_model_continue(l->learnt.artifact.data, l->learnt.artifact.len, &rows, &next, err);
    if (status) {
        weir_buf_done(&next);
        return status;
    }
    weir_buf_done(&l->learnt.artifact);
    l->learnt.artifact = next;
    return WEIR_OK;
}

static weir_status test_then_train(learner *l, weir_err *err) {
    const weir_learn_settings *settings = l->settings;
    weir_status status = WEIR_OK;
    int next_delayed = 0;
    for (int d = 0; !status && d < l->day_count; d++) {
        weir_model *model = NULL;
        if (settings->tell) settings->tell(settings->context, d + 1, l->day_count);
        if (settings->cancel && *settings->cancel) return WEIR_RETRY(err, WEIR_ETIMEOUT, "learning was asked to stop after %d of %d days", d, l->day_count);
        status = weir_model_load(l->learnt.artifact.data, l->learnt.artifact.len, &model, err);
        if (!status && !d) status = score(l, model, 0, l->learnt.row_count, l->learnt.unchanged, err);
        if (!status) status = test(l, model, d, &next_delayed, err);
        weir_model_free(model);
        if (!status) status = train(l, &l->days[d], err);
    }
    return status;
}

/* Whether the rows are for this model is asked before anything is scored with them. */
static weir_status check_rows(const void *artifact, size_t len, const weir_matrix *rows, weir_err *err) {
    weir_matrix none = *rows;
    weir_buf as_it_was = {0};
    none.row_count = 0;
    weir_status status = weir_model_continue(artifact, len, &none, &as_it_was, err);
    weir_buf_done(&as_it_was);
    return status;
}

weir_status weir_learn_on(const void *artifact, size_t len, const weir_trainset *set, const weir_learn_settings *settings, weir_learnt *ret_learnt,
                          weir_err *err) {
    learner l = {.set = set, .settings = settings};
    weir_model *model = NULL;
    if (!set->time_us) return WEIR_FAIL(err, WEIR_EINVAL, "the rows have no times, so there is no order to learn them in");
    weir_status status = check_rows(artifact, len, &set->matrix, err);
    if (!status) status = weir_model_load(artifact, len, &model, err);
    if (!status) status = start(&l, artifact, len, weir_model_output_count(model), err);
    weir_model_free(model);
    if (!status) status = test_then_train(&l, err);
    weir_models_free(l.days);
    if (status)
        weir_learnt_done(&l.learnt);
    else
        *ret_learnt = l.learnt;
    return status;
}

void weir_learnt_done(weir_learnt *learnt) {
    weir_buf_done(&learnt->artifact);
    weir_models_free(learnt->prequential);
    weir_models_free(learnt->delayed);
    weir_models_free(learnt->unchanged);
    *learnt = (weir_learnt){0};
}

weir_status weir_learn_on_check(const weir_model *model, weir_err *err) {
    const weir_algorithm *algorithm = weir_algorithm_find(weir_model_algorithm(model));
    char names[256] = "";
    size_t used = 0;
    if (algorithm && algorithm->learn) return WEIR_OK;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++)
        if ((*a)->learn && used < sizeof names) used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", (*a)->name);
    return WEIR_FAIL(err, WEIR_EINVAL, "algorithm %s cannot go on learning; those that can are %s", weir_model_algorithm(model), names);
}
