/* Each fold is a training set of its own: what is fitted never sees a row that it is judged by. */
#include "models/crossval.h"

#include <math.h>

#include "core/clock.h"
#include "models/memory.h"

/* What stays the same from fold to fold. */
typedef struct crossval_run {
    const cJSON *spec;
    const weir_trainset *set;
    const weir_split_plan *plan;
    const weir_crossval_options *options;
    weir_crossval *result;
    uint8_t *role; /* [row_count] weir_role in the fold at hand */
    int64_t *rows; /* [row_count] its training rows, then its test rows */
    double *values; /* [row_count][column_count] of the test rows */
    double *scores; /* [row_count][output_count] of the test rows */
    double *label, *score, *weight; /* [row_count] of the test rows and one target; score of one output */
} crossval_run;

static double seconds_since(int64_t mono_us) {
    return (double)(weir_clock_mono_us(weir_clock_system()) - mono_us) / 1e6;
}

static void run_done(crossval_run *run) {
    weir_models_free(run->role);
    weir_models_free(run->rows);
    weir_models_free(run->values);
    weir_models_free(run->scores);
    weir_models_free(run->label);
    weir_models_free(run->score);
    weir_models_free(run->weight);
}

static weir_status run_init(crossval_run *run, weir_err *err) {
    const weir_matrix *m = &run->set->matrix;
    weir_crossval *result = run->result;
    size_t rows = (size_t)m->row_count, outputs = (size_t)(m->task == WEIR_TASK_MULTICLASS ? m->class_count : run->set->target_count);
    result->fold_count = weir_split_plan_folds(run->plan);
    result->output_count = (int)outputs;
    result->folds = weir_models_calloc((size_t)result->fold_count, sizeof *result->folds);
    result->scores = weir_models_calloc(rows * outputs, sizeof *result->scores);
    run->role = weir_models_calloc(rows, sizeof *run->role);
    run->rows = weir_models_calloc(rows, sizeof *run->rows);
    run->values = weir_models_calloc(rows * (size_t)m->column_count, sizeof *run->values);
    run->scores = weir_models_calloc(rows * outputs, sizeof *run->scores);
    run->label = weir_models_calloc(rows, sizeof *run->label);
    run->score = weir_models_calloc(rows, sizeof *run->score);
    run->weight = weir_models_calloc(rows, sizeof *run->weight);
    if (!result->folds || !result->scores || !run->role || !run->rows || !run->values || !run->scores || !run->label || !run->score || !run->weight)
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to validate on %lld rows of %d columns", (long long)m->row_count, m->column_count);
    for (size_t i = 0; i < rows * outputs; i++) result->scores[i] = NAN;
    for (int f = 0; f < result->fold_count; f++) result->folds[f].value = NAN;
    return WEIR_OK;
}

static int64_t rows_of(crossval_run *run, weir_role role) {
    int64_t n = 0;
    for (int64_t r = 0; r < run->set->matrix.row_count; r++)
        if (run->role[r] == role) run->rows[n++] = r;
    return n;
}

/* Fits on the fold's training rows. */
static weir_status fit_fold(crossval_run *run, weir_crossval_fold *fold, weir_model **ret_model, weir_err *err) {
    weir_trainset train = {0};
    weir_buf artifact = {0};
    int64_t count = rows_of(run, WEIR_ROLE_TRAIN), started = weir_clock_mono_us(weir_clock_system());
    weir_status status = weir_trainset_take(run->set, run->rows, count, &train, err);
    if (!status) status = weir_spec_fit(run->spec, &train, &run->options->fit, &artifact, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, ret_model, err);
    fold->fit_s = seconds_since(started);
    if (!status) memcpy(fold->digest, weir_model_digest(*ret_model), sizeof fold->digest);
    weir_trainset_done(&train);
    weir_buf_done(&artifact);
    return status;
}

/* Scores the fold's test rows, whose numbers run->rows then holds. */
static weir_status predict_fold(crossval_run *run, weir_model *model, weir_crossval_fold *fold, int64_t *ret_count, weir_err *err) {
    const weir_matrix *m = &run->set->matrix;
    size_t width = (size_t)m->column_count, outputs = (size_t)run->result->output_count;
    int64_t count = rows_of(run, WEIR_ROLE_TEST), started = weir_clock_mono_us(weir_clock_system());
    if (weir_model_output_count(model) != run->result->output_count)
        return WEIR_FAIL(err, WEIR_EINVAL, "what was fitted gives %d scores a row, expected %d", weir_model_output_count(model), run->result->output_count);
    for (int64_t i = 0; i < count; i++) memcpy(run->values + (size_t)i * width, m->values + (size_t)run->rows[i] * width, width * sizeof *m->values);
    weir_status status = weir_model_predict(model, run->values, count, run->scores, err);
    if (status) return status;
    for (int64_t i = 0; i < count; i++)
        memcpy(run->result->scores + (size_t)run->rows[i] * outputs, run->scores + (size_t)i * outputs, outputs * sizeof *run->scores);
    fold->predict_s = seconds_since(started);
    *ret_count = count;
    return WEIR_OK;
}

/* Of one target; its scores [count][scores_a_row] are given. */
static weir_status measure_target(crossval_run *run, int target, const double *scores, int64_t count, double *ret_value, weir_err *err) {
    const weir_crossval_options *options = run->options;
    const weir_matrix *m = &run->set->matrix;
    const double *label = run->set->targets + target * m->row_count;
    bool weighted = m->weight && options->metric->weighted;
    for (int64_t i = 0; i < count; i++) {
        run->label[i] = label[run->rows[i]];
        if (weighted) run->weight[i] = m->weight[run->rows[i]];
    }
    const weir_outcomes outcomes = {
        .row_count = count,
        .class_count = m->class_count,
        .label = run->label,
        .score = scores,
        .weight = weighted ? run->weight : NULL,
        .threshold = options->threshold ? options->threshold : 0.5,
    };
    return weir_model_metric_measure(options->metric, &outcomes, ret_value, err);
}

/* Several targets: the mean over them. */
static weir_status measure_fold(crossval_run *run, int64_t count, double *ret_value, weir_err *err) {
    int targets = run->set->target_count;
    if (!run->options->metric) return WEIR_OK;
    if (targets == 1) return measure_target(run, 0, run->scores, count, ret_value, err);
    double sum = 0;
    for (int t = 0; t < targets; t++) {
        double value = NAN;
        for (int64_t i = 0; i < count; i++) run->score[i] = run->scores[i * targets + t];
        weir_status status = measure_target(run, t, run->score, count, &value, err);
        if (status) return status;
        sum += value;
    }
    *ret_value = sum / targets;
    return WEIR_OK;
}

/* Mean and deviation over what is there so far. */
static void summarise(weir_crossval *result) {
    double sum = 0, squares = 0, ratio = 0;
    int n = 0;
    for (int f = 0; f < result->done_count; f++) {
        const weir_crossval_fold *fold = &result->folds[f];
        ratio += (double)fold->rows.test_count / (double)fold->rows.train_count;
        if (isnan(fold->value)) continue;
        sum += fold->value;
        n++;
    }
    result->mean = n ? sum / n : NAN;
    for (int f = 0; f < result->done_count; f++)
        if (!isnan(result->folds[f].value)) squares += (result->folds[f].value - result->mean) * (result->folds[f].value - result->mean);
    result->deviation = n > 1 ? sqrt(squares / (n - 1)) : NAN;
    result->test_to_train = result->done_count ? ratio / result->done_count : NAN;
}

static weir_status do_fold(crossval_run *run, int f, weir_err *err) {
    weir_crossval_fold *fold = &run->result->folds[f];
    weir_model *model = NULL;
    int64_t tested = 0;
    weir_status status = weir_fit_may_go_on(&run->options->fit, err);
    if (!status) status = weir_split_plan_roles(run->plan, f, run->role, &fold->rows, err);
    if (!status) status = fit_fold(run, fold, &model, err);
    if (!status) status = predict_fold(run, model, fold, &tested, err);
    if (!status) status = measure_fold(run, tested, &fold->value, err);
    weir_model_free(model);
    return status ? weir_err_prefix(err, "fold %d", f + 1) : WEIR_OK;
}

weir_status weir_crossval_run(const cJSON *spec, const weir_trainset *set, const weir_split_plan *plan, const weir_crossval_options *options,
                              weir_crossval *ret_result, weir_err *err) {
    weir_crossval result = {0};
    crossval_run run = {.spec = spec, .set = set, .plan = plan, .options = options, .result = &result};
    if (options->metric && options->metric->task != set->matrix.task)
        return WEIR_FAIL(err, WEIR_EINVAL, "metric %s is of a %s task, the rows are of a %s one", options->metric->name, weir_task_name(options->metric->task),
                         weir_task_name(set->matrix.task));
    weir_status status = run_init(&run, err);
    for (int f = 0; !status && f < result.fold_count; f++) {
        status = do_fold(&run, f, err);
        if (status) break;
        result.done_count++;
        summarise(&result);
        if (options->on_fold && !options->on_fold(options->context, f, &result)) break;
    }
    run_done(&run);
    if (status)
        weir_crossval_done(&result);
    else
        *ret_result = result;
    return status;
}

/* The rows that a fold tested, as predict_fold left them. */
static weir_status recall_fold(crossval_run *run, int f, int64_t *ret_count, weir_err *err) {
    size_t outputs = (size_t)run->result->output_count;
    weir_fold counts;
    int64_t kept = 0;
    weir_status status = weir_split_plan_roles(run->plan, f, run->role, &counts, err);
    if (status) return status;
    int64_t count = rows_of(run, WEIR_ROLE_TEST);
    for (int64_t i = 0; i < count; i++) {
        const double *scores = run->result->scores + (size_t)run->rows[i] * outputs;
        if (isnan(*scores)) continue;
        run->rows[kept] = run->rows[i];
        memcpy(run->scores + (size_t)kept++ * outputs, scores, outputs * sizeof *scores);
    }
    *ret_count = kept;
    return WEIR_OK;
}

weir_status weir_crossval_measure(const weir_trainset *set, const weir_split_plan *plan, const weir_model_metric *metric, double threshold,
                                  weir_crossval *result, weir_err *err) {
    /* 0 would say 0.5: the next number below calls the same rows positive. */
    const weir_crossval_options options = {.metric = metric, .threshold = threshold == 0 ? -0x1p-1074 : threshold};
    weir_crossval scratch = {0};
    crossval_run run = {.set = set, .plan = plan, .options = &options, .result = &scratch};
    weir_status status = run_init(&run, err);
    if (!status) memcpy(scratch.scores, result->scores, (size_t)(set->matrix.row_count * scratch.output_count) * sizeof *scratch.scores);
    for (int f = 0; !status && f < result->done_count; f++) {
        int64_t tested = 0;
        scratch.folds[f] = result->folds[f];
        status = recall_fold(&run, f, &tested, err);
        if (!status && tested) status = measure_fold(&run, tested, &scratch.folds[f].value, err);
        if (status) (void)weir_err_prefix(err, "fold %d", f + 1);
    }
    run_done(&run);
    if (!status) {
        memcpy(result->folds, scratch.folds, (size_t)result->done_count * sizeof *result->folds);
        summarise(result);
    }
    weir_crossval_done(&scratch);
    return status;
}

void weir_crossval_done(weir_crossval *result) {
    weir_models_free(result->folds);
    weir_models_free(result->scores);
    *result = (weir_crossval){0};
}
