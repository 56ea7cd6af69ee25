/* The data of a training file: read, checked against metrics and models, and split. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"
#include "models/random.h"
#include "models/training_file.h"
#include "models/training_metrics.h"

/* ---- the split ---- */

/* A row in a drawn order: by class, and within it by chance. */
typedef struct drawn_row {
    double class_number;
    uint64_t chance;
    int64_t row;
} drawn_row;

static int by_class_and_chance(const void *left, const void *right) {
    const drawn_row *a = left, *b = right;
    if (a->class_number != b->class_number) return a->class_number < b->class_number ? -1 : 1;
    if (a->chance != b->chance) return a->chance < b->chance ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* 0 train, 1 validation, 2 test, classes in proportion. */
static weir_status draw_parts(const weir_training_file *file, const weir_trainset *set, uint8_t *part, weir_err *err) {
    int64_t n = set->matrix.row_count;
    uint64_t state = (uint64_t)file->training.random_state;
    drawn_row *rows = weir_models_calloc((size_t)n, sizeof *rows);
    if (!rows) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to split %lld rows", (long long)n);
    for (int64_t r = 0; r < n; r++) rows[r] = (drawn_row){set->matrix.task == WEIR_TASK_REGRESSION ? 0 : set->matrix.label[r], weir_models_random(&state), r};
    qsort(rows, (size_t)n, sizeof *rows, by_class_and_chance);
    for (int64_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && rows[to].class_number == rows[from].class_number; to++) {
        }
        for (int64_t i = from; i < to; i++) {
            double place = ((double)(i - from) + 0.5) / (double)(to - from);
            part[rows[i].row] = place < file->data.train_ratio ? 0 : place < file->data.train_ratio + file->data.val_ratio ? 1 : 2;
        }
    }
    weir_models_free(rows);
    return WEIR_OK;
}

static weir_status take_part(const weir_trainset *set, const uint8_t *part, int low, int high, int64_t *rows, weir_trainset *ret_set, weir_err *err) {
    int64_t n = 0;
    for (int64_t r = 0; r < set->matrix.row_count; r++)
        if (part[r] >= low && part[r] <= high) rows[n++] = r;
    return n ? weir_trainset_take(set, rows, n, ret_set, err) : WEIR_OK;
}

static weir_status split_at_random(const weir_training_file *file, weir_training_sets *sets, weir_err *err) {
    size_t n = (size_t)sets->whole.matrix.row_count;
    uint8_t *part = weir_models_calloc(n, sizeof *part);
    int64_t *rows = weir_models_calloc(n, sizeof *rows);
    weir_status status = part && rows ? draw_parts(file, &sets->whole, part, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to split %zu rows", n);
    if (!status) status = take_part(&sets->whole, part, 0, 0, rows, &sets->train, err);
    if (!status) status = take_part(&sets->whole, part, 1, 1, rows, &sets->validation, err);
    if (!status) status = take_part(&sets->whole, part, 2, 2, rows, &sets->test, err);
    if (!status) status = take_part(&sets->whole, part, 0, 1, rows, &sets->fit, err);
    weir_models_free(part);
    weir_models_free(rows);
    return status;
}

static weir_status split_by_time(const weir_training_file *file, weir_training_sets *sets, weir_err *err) {
    const weir_training_data *d = &file->data;
    weir_status status = weir_trainset_cut(&sets->whole, d->test_ratio, 0, &sets->fit, &sets->test, err);
    if (status) return status;
    if (d->val_ratio > 0) return weir_trainset_cut(&sets->fit, d->val_ratio / (d->val_ratio + d->train_ratio), 0, &sets->train, &sets->validation, err);
    int64_t n = sets->fit.matrix.row_count, *rows = weir_models_calloc((size_t)n, sizeof *rows);
    if (!rows) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to split %lld rows", (long long)n);
    for (int64_t r = 0; r < n; r++) rows[r] = r;
    status = weir_trainset_take(&sets->fit, rows, n, &sets->train, err);
    weir_models_free(rows);
    return status;
}

static weir_status split(const weir_training_file *file, weir_training_sets *sets, weir_err *err) {
    weir_status status = file->data.time_column ? split_by_time(file, sets, err) : split_at_random(file, sets, err);
    if (status) return status;
    if (sets->train.matrix.row_count && sets->test.matrix.row_count && (sets->validation.matrix.row_count || file->data.val_ratio <= 0)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EDATA, "%lld rows cannot be split %g : %g : %g, a part would be empty", (long long)sets->whole.matrix.row_count,
                     file->data.train_ratio, file->data.val_ratio, file->data.test_ratio);
}

/* ---- what the task allows ---- */

static weir_status check_metrics(const weir_training_file *file, weir_training_sets *sets, weir_err *err) {
    weir_task task = sets->whole.matrix.task;
    const char *const *names = (const char *const *)file->evaluation.metrics;
    sets->metric = weir_model_metric_find(task, weir_training_metric_name(file->training.primary_metric));
    if (!sets->metric)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.training.primary_metric: '%s' is no metric of a %s task, which target '%s' is", file->training.primary_metric,
                         weir_task_name(task), sets->whole.target_names[0]);
    for (int i = 0; names && names[i]; i++) {
        const weir_model_metric *metric = weir_model_metric_find(task, weir_training_metric_name(names[i]));
        if (!metric) return WEIR_FAIL(err, WEIR_EINVAL, "$.evaluation.metrics[%d]: '%s' is no metric of a %s task", i, names[i], weir_task_name(task));
        sets->metrics[sets->metric_count++] = metric;
    }
    return WEIR_OK;
}

static weir_status check_models(const weir_training_file *file, const weir_trainset *set, weir_err *err) {
    for (int i = 0; i < file->models.count; i++) {
        const weir_training_candidate *c = &file->models.items[i];
        char path[160];
        cJSON *spec = NULL;
        snprintf(path, sizeof path, "$.models.%s", c->name);
        if (!weir_algorithm_can(c->algorithm, set->matrix.task))
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: it cannot do a %s task, which target '%s' is", path, weir_task_name(set->matrix.task),
                             set->target_names[0]);
        weir_status status = weir_training_file_spec(file, i, NULL, set, &spec, err);
        if (!status) status = weir_spec_check(spec, path, set->matrix.task, set->matrix.kinds, set->matrix.column_count, err);
        cJSON_Delete(spec);
        if (status) return status;
    }
    return WEIR_OK;
}

static weir_status read_sets(const weir_training_file *file, weir_training_sets *sets, weir_err *err) {
    const weir_training_data *d = &file->data;
    weir_file_query query = {.path = d->source,
                             .format = d->format,
                             .targets = (const char *const *)d->target_columns,
                             .features = (const char *const *)d->feature_columns,
                             .categories = (const char *const *)d->categorical_columns,
                             .time_column = d->time_column,
                             .entity_column = d->entity_column,
                             .tenant_column = d->tenant_column};
    if (d->task) query.task_known = weir_task_find(d->task, &query.task);
    for (int t = 0; !d->task && t < WEIR_TASK_COUNT; t++) {
        if (file->tasks != WEIR_TASK_BIT(t)) continue;
        query.task = (weir_task)t;
        query.task_known = true;
    }
    weir_status status = weir_trainset_from_file(&query, &sets->whole, &sets->schema, err);
    if (status == WEIR_EINVAL) (void)weir_err_prefix(err, "$.data");
    if (!status) status = check_metrics(file, sets, err);
    if (!status) status = check_models(file, &sets->whole, err);
    return status ? status : split(file, sets, err);
}

weir_status weir_training_file_sets(const weir_training_file *file, weir_training_sets *ret_sets, weir_err *err) {
    weir_training_sets sets = {0};
    weir_status status = read_sets(file, &sets, err);
    if (status)
        weir_training_sets_done(&sets);
    else
        *ret_sets = sets;
    return status;
}

void weir_training_sets_done(weir_training_sets *sets) {
    weir_trainset_done(&sets->whole);
    weir_trainset_done(&sets->train);
    weir_trainset_done(&sets->validation);
    weir_trainset_done(&sets->test);
    weir_trainset_done(&sets->fit);
    cJSON_Delete(sets->schema);
    *sets = (weir_training_sets){0};
}
