/* An assessment from end to end: what it is of, the scores, and one part after the other; see assessment.h. */
#include <math.h>
#include <string.h>

#include "models/assess_internal.h"
#include "models/curves.h"
#include "models/memory.h"

/* ---- what is given ---- */

static weir_status check_model(const weir_assess_state *s, const weir_assessed *m, weir_err *err) {
    const char *const *columns = weir_model_columns(m->model);
    const weir_matrix *t = &s->test->matrix;
    if (weir_model_task(m->model) != s->task)
        return WEIR_FAIL(err, WEIR_EINVAL, "model %s is of %s, the test rows are of %s", m->name, weir_task_name(weir_model_task(m->model)),
                         weir_task_name(s->task));
    if (weir_model_column_count(m->model) != t->column_count)
        return WEIR_FAIL(err, WEIR_EINVAL, "model %s takes %d columns, the test rows have %d", m->name, weir_model_column_count(m->model), t->column_count);
    for (int c = 0; c < t->column_count; c++)
        if (strcmp(columns[c], t->column_names[c]))
            return WEIR_FAIL(err, WEIR_EINVAL, "model %s: column %d is %s, that of the test rows %s", m->name, c, columns[c], t->column_names[c]);
    int outputs = weir_model_output_count(m->model), targets = s->test->target_count;
    bool fits = s->task == WEIR_TASK_MULTICLASS ? outputs == t->class_count : outputs == 1 || (s->task == WEIR_TASK_REGRESSION && outputs == targets);
    return fits ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "model %s gives %d scores a row, which is not what the test rows have", m->name, outputs);
}

static weir_status check(const weir_assess_state *s, weir_err *err) {
    const weir_assessment *a = s->a;
    if (a->model_count < 1 || a->model_count > WEIR_ASSESSED_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%d models to assess; expected 1 to %d", a->model_count, WEIR_ASSESSED_MAX);
    if (a->metric->task != s->task) return WEIR_FAIL(err, WEIR_EINVAL, "metric %s is not of the task %s", a->metric->name, weir_task_name(s->task));
    if (s->train->matrix.task != s->task || s->train->matrix.column_count != s->test->matrix.column_count)
        return WEIR_FAIL(err, WEIR_EINVAL, "training and test rows are of different tasks or columns");
    if (a->interval_level && !(a->interval_level > 0 && a->interval_level < 1))
        return WEIR_FAIL(err, WEIR_EINVAL, "prediction intervals at level %g; expected between 0 and 1", a->interval_level);
    if (!(a->cost_false_positive >= 0 && a->cost_false_negative >= 0)) return WEIR_FAIL(err, WEIR_EINVAL, "costs of wrong decisions are negative");
    if (a->market && (!a->test_returns || !s->test->time_us)) return WEIR_FAIL(err, WEIR_EINVAL, "a backtest needs returns and times of the test rows");
    for (int m = 0; m < a->model_count; m++) {
        weir_status status = check_model(s, &a->models[m], err);
        if (status) return status;
        if (a->models[m].decides && isnan(a->models[m].threshold))
            return WEIR_FAIL(err, WEIR_EINVAL, "model %s decides by a threshold that is NaN", a->models[m].name);
    }
    return WEIR_OK;
}

/* ---- scores and thresholds ---- */

static weir_status predict(weir_assess_state *s, int m, weir_err *err) {
    const weir_assessed *model = &s->a->models[m];
    int outputs = weir_model_output_count(model->model);
    double *all = weir_models_calloc((size_t)(s->rows * outputs), sizeof *all);
    if (!all) return weir_assess_no_memory(err);
    weir_status status = s->rows ? weir_model_predict(model->model, s->test->matrix.values, s->rows, all, err) : WEIR_OK;
    if (status) weir_err_prefix(err, "model %s", model->name);
    for (int64_t r = 0; !status && outputs > s->width && r < s->rows; r++)
        all[r] = all[r * outputs]; /* the first target; the others have a table of their own */
    s->score[m] = all;
    return status;
}

/* Out-of-fold scores of the training rows choose the threshold, so that the test rows do not. */
static weir_status choose_threshold(weir_assess_state *s, int m, weir_err *err) {
    const weir_assessment *a = s->a;
    const weir_crossval *v = a->models[m].validation;
    double fp = a->cost_false_positive, fn = a->cost_false_negative;
    if (fp == 0 && fn == 0) fp = fn = 1;
    s->threshold[m] = 0.5;
    s->threshold_how[m] = "0.5, for there was nothing to choose it by";
    if (a->models[m].decides || !isnan(a->threshold)) {
        s->threshold[m] = a->models[m].decides ? a->models[m].threshold : a->threshold;
        s->threshold_how[m] = a->models[m].decides && a->models[m].threshold_how ? a->models[m].threshold_how : "given";
        return WEIR_OK;
    }
    int64_t n = s->train->matrix.row_count, known = 0;
    double *kept = weir_models_calloc((size_t)n, 2 * sizeof *kept);
    if (!kept) return weir_assess_no_memory(err);
    for (int64_t r = 0; v && v->scores && r < n; r++)
        if (isfinite(v->scores[r])) {
            kept[known] = v->scores[r];
            kept[n + known++] = s->train->matrix.label[r];
        }
    bool folds = known > 0;
    weir_outcomes o = {.row_count = folds ? known : s->rows, .label = folds ? kept + n : s->test->matrix.label, .score = folds ? kept : s->score[m]};
    weir_cost_choice choice;
    weir_status status = WEIR_OK;
    if (o.row_count) {
        status = weir_threshold_by_cost(&o, fp, fn, &choice, err);
        if (!status) s->threshold[m] = choice.threshold;
        s->threshold_how[m] = folds ? "least cost on the training rows, out of fold" : "least cost on the test rows themselves, which flatters it";
    }
    weir_models_free(kept);
    return status;
}

static weir_status score_all(weir_assess_state *s, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int m = 0; !status && m < s->a->model_count; m++) {
        status = predict(s, m, err);
        if (!status && s->task == WEIR_TASK_BINARY) status = choose_threshold(s, m, err);
    }
    return status;
}

/* ---- parts ---- */

static void head(weir_assess_state *s) {
    const weir_assessment *a = s->a;
    weir_assess_text(s, s->json, "format", "weir-assessment");
    weir_assess_number(s, s->json, "version", 1);
    weir_assess_text(s, s->json, "made_by", "Weir " WEIR_VERSION);
    weir_assess_text(s, s->json, "title", a->title ? a->title : "Assessment");
    weir_assess_text(s, s->json, "task", weir_task_name(s->task));
    cJSON *metric = weir_assess_object(s, s->json, "metric");
    weir_assess_text(s, metric, "name", a->metric->name);
    weir_assess_text(s, metric, "doc", a->metric->doc);
    weir_assess_flag(s, metric, "greater_is_better", a->metric->greater_is_better);
    weir_assess_copy(s, s->json, "run", a->run);
    cJSON *units = weir_assess_object(s, s->json, "intervals");
    weir_assess_number(s, units, "level", 0.95);
    weir_assess_text(s, units, "unit", s->units.name);
    weir_assess_number(s, units, "units", s->units.count);
    weir_assess_number(s, units, "block", s->units.block);
    weir_assess_number(s, units, "replicates", s->replicates);
    if (!s->replicates) weir_assess_text(s, units, "none", "too few independent test rows for intervals");
}

static weir_status leaderboard(weir_assess_state *s, weir_err *err) {
    const weir_leaderboard *b = s->a->board;
    if (!b) return WEIR_OK;
    cJSON *object = weir_assess_object(s, s->json, "leaderboard"), *leaders = weir_leaderboard_json(b);
    weir_assess_number(s, object, "trials", b->trials);
    weir_assess_number(s, object, "failed", b->failed);
    weir_assess_number(s, object, "pruned", b->pruned);
    weir_assess_number(s, object, "folds", b->fold_count);
    weir_assess_text(s, object, "ended", b->ended);
    weir_assess_number(s, object, "seconds", b->elapsed_s);
    if (!leaders || !object || !cJSON_AddItemToObject(object, "leaders", leaders)) {
        cJSON_Delete(leaders);
        return weir_assess_no_memory(err);
    }
    return WEIR_OK;
}

static weir_status task_part(weir_assess_state *s, weir_err *err) {
    if (s->rows < WEIR_ASSESS_ROWS_MIN) {
        weir_assess_none(s, s->json, weir_task_name(s->task), s->rows ? "fewer than 10 test rows: nothing to draw" : "there are no test rows");
        return WEIR_OK;
    }
    return s->task == WEIR_TASK_REGRESSION ? weir_assess_regression(s, err)
           : s->task == WEIR_TASK_BINARY   ? weir_assess_binary(s, err)
                                           : weir_assess_multiclass(s, err);
}

static weir_status parts(weir_assess_state *s, weir_err *err) {
    weir_status (*const all[])(weir_assess_state *, weir_err *) = {
        weir_assess_dataset,  weir_assess_models,       weir_assess_comparisons, task_part,   weir_assess_slices, weir_assess_importance,
        weir_assess_learning, weir_assess_explanations, weir_assess_backtest,    leaderboard,
    };
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < sizeof all / sizeof *all; i++) {
        status = weir_assess_cancelled(s, err);
        if (!status) status = all[i](s, err);
        if (!status && s->no_memory) status = weir_assess_no_memory(err);
    }
    return status;
}

weir_status weir_assess(const weir_assessment *assessment, cJSON **ret_json, weir_err *err) {
    weir_assess_state *s = weir_models_calloc(1, sizeof *s);
    if (!s) return weir_assess_no_memory(err);
    s->a = assessment;
    s->train = assessment->train;
    s->test = assessment->test;
    s->task = s->test->matrix.task;
    s->rows = s->test->matrix.row_count;
    s->width = s->task == WEIR_TASK_MULTICLASS ? s->test->matrix.class_count : 1;
    weir_status status = check(s, err);
    if (status) {
        weir_models_free(s);
        return status;
    }
    weir_assess_metrics(s);
    status = score_all(s, err);
    if (!status) status = weir_assess_units_choose(s, err);
    if (!status) status = weir_assess_measure_all(s, err);
    if (!status) s->json = cJSON_CreateObject();
    if (!status && !s->json) status = weir_assess_no_memory(err);
    if (!status) head(s);
    if (!status) status = parts(s, err);
    weir_assess_units_done(s);
    for (int m = 0; m < assessment->model_count; m++) weir_models_free(s->score[m]);
    if (status)
        cJSON_Delete(s->json);
    else
        *ret_json = s->json;
    weir_models_free(s);
    return status;
}
