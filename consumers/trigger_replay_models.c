/* The models of a replay of triggers: what a training run at a given moment would have made of what was known then. */
#include <math.h>
#include <stdlib.h>

#include "consumers/trigger_replay.h"
#include "core/clock.h"
#include "features/drift_columns.h"
#include "models/evaluate.h"
#include "models/memory.h"
#include "models/spec.h"
#include "models/training.h"

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to replay triggers");
}

/* ---- which columns are watched ---- */

static int column_of(const weir_matrix *matrix, const char *name) {
    for (int c = 0; c < matrix->column_count; c++)
        if (!strcmp(matrix->column_names[c], name)) return c;
    return -1;
}

weir_status weir_replay_shop_init(const weir_trigger_replay *replay, const weir_model_metric *metric, weir_replay_shop *ret_shop, weir_err *err) {
    weir_drift_columns watched;
    weir_status status = weir_drift_columns_init(replay->pipeline, replay->recipe->columns, &watched, err);
    if (status) return status;
    weir_replay_shop shop = {.replay = replay, .metric = metric};
    shop.fields = weir_models_calloc((size_t)watched.count, sizeof *shop.fields);
    shop.columns = weir_models_calloc((size_t)watched.count, sizeof *shop.columns);
    if (!shop.fields || !shop.columns) status = no_memory(err);
    for (int i = 0; !status && i < watched.count; i++) {
        int column = column_of(&replay->rows->matrix, watched.fields[i].name);
        if (column < 0) continue;
        shop.fields[shop.field_count] = watched.fields[i];
        shop.columns[shop.field_count++] = column;
    }
    weir_drift_columns_done(&watched);
    if (status)
        weir_replay_shop_done(&shop);
    else
        *ret_shop = shop;
    return status;
}

void weir_replay_shop_done(weir_replay_shop *shop) {
    weir_models_free(shop->fields);
    weir_models_free(shop->columns);
    *shop = (weir_replay_shop){0};
}

/* ---- rows ---- */

int64_t weir_replay_row_at(const weir_trainset *rows, int64_t time_us) {
    int64_t low = 0, high = rows->matrix.row_count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (rows->time_us[middle] < time_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool known_by(const weir_trainset *rows, int64_t row, int64_t time_us) {
    return (rows->label_until_us ? rows->label_until_us[row] : rows->time_us[row]) <= time_us;
}

weir_status weir_replay_table(const weir_replay_shop *shop, int64_t first, int64_t end, weir_drift_table **ret_table, weir_err *err) {
    const weir_matrix *matrix = &shop->replay->rows->matrix;
    weir_drift_table *table = NULL;
    weir_status status = weir_drift_table_new(shop->fields, shop->field_count, (uint64_t)first + 1, &table, err);
    if (status) return status;
    for (int i = 0; i < shop->field_count; i++) {
        weir_drift_profile *profile = weir_drift_table_profile(table, i);
        for (int64_t r = first; r < end; r++) weir_drift_profile_add(profile, matrix->values[r * matrix->column_count + shop->columns[i]]);
    }
    *ret_table = table;
    return WEIR_OK;
}

/* ---- a run ---- */

int64_t weir_replay_lead_us(const weir_trigger_replay *replay) {
    const weir_recipe *recipe = replay->recipe;
    return recipe->train_us + recipe->delay_us + recipe->test_us + replay->pipeline->max_delay_us;
}

/* The training rows whose labels were known when the window ends; as weir_training_set takes them. */
static weir_status fit(const weir_replay_shop *shop, const weir_training_periods *window, weir_replay_model *m, weir_err *err) {
    const weir_trainset *rows = shop->replay->rows;
    const weir_recipe *recipe = shop->replay->recipe;
    int64_t first = weir_replay_row_at(rows, window->train_from_us), end = weir_replay_row_at(rows, window->train_to_us), count = 0;
    int64_t *chosen = weir_models_calloc((size_t)(end - first), sizeof *chosen);
    weir_trainset set = {0};
    weir_buf artifact = {0};
    weir_status status = chosen ? WEIR_OK : no_memory(err);
    for (int64_t r = first; !status && r < end; r++)
        if (known_by(rows, r, window->deploy_us)) chosen[count++] = r;
    if (!status && !count) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "none of the %lld rows of the training days has a label", (long long)(end - first));
    if (!status) status = weir_trainset_take(rows, chosen, count, &set, err);
    const weir_training training = {.pipeline = shop->replay->pipeline, .recipe = recipe, .cancel = shop->replay->cancel};
    const weir_fit_options options = weir_training_fit_options(&training);
    if (!status) status = weir_spec_fit(recipe->candidates[0].spec, &set, &options, &artifact, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &m->model, err);
    if (!status) status = weir_model_check_single_output(m->model, err);
    if (!status) status = weir_training_threshold(&training, &recipe->candidates[0], &set, &m->threshold, err);
    if (!status) status = weir_replay_table(shop, first, end, &m->trained, err);
    weir_buf_done(&artifact);
    weir_trainset_done(&set);
    weir_models_free(chosen);
    return status;
}

/* Test rows that count: by the handbook's protocol where the recipe asks for it. keep [end - first], of which the test begins at test. */
static weir_status choose_test(const weir_replay_shop *shop, const weir_training_periods *window, int64_t first, int64_t end, bool *keep, weir_err *err) {
    const weir_trainset *rows = shop->replay->rows;
    const weir_recipe *recipe = shop->replay->recipe;
    for (int64_t i = 0; i < end - first; i++) keep[i] = true;
    if (!recipe->exclude_known || !rows->entity) return WEIR_OK;
    return weir_exclude_known_positives(rows->time_us + first, rows->matrix.label + first, rows->entity + first, end - first, rows->entity_count,
                                        window->train_from_us, window->train_to_us, (int)(recipe->delay_us / WEIR_DAY_US), window->deploy_us,
                                        window->test_to_us, keep, err);
}

/* The metric on the test rows, which is what live rows are compared with. */
static weir_status measure(const weir_replay_shop *shop, const weir_training_periods *window, weir_replay_model *m, weir_err *err) {
    const weir_trainset *rows = shop->replay->rows;
    const weir_matrix *matrix = &rows->matrix;
    int64_t first = weir_replay_row_at(rows, window->train_from_us), test = weir_replay_row_at(rows, window->deploy_us);
    int64_t end = weir_replay_row_at(rows, window->test_to_us);
    double *score = weir_models_calloc((size_t)(end - test), sizeof *score), *label = weir_models_calloc((size_t)(end - test), sizeof *label);
    bool *keep = weir_models_calloc((size_t)(end - first), sizeof *keep);
    weir_status status = score && label && keep ? WEIR_OK : no_memory(err);
    m->reference = NAN;
    m->reference_count = 0;
    if (!status && end > test) status = weir_model_predict(m->model, matrix->values + test * matrix->column_count, end - test, score, err);
    if (!status) status = choose_test(shop, window, first, end, keep, err);
    for (int64_t r = test; !status && r < end; r++) {
        label[r - test] = keep[r - first] ? matrix->label[r] : NAN;
        m->reference_count += keep[r - first] && (matrix->task != WEIR_TASK_BINARY || matrix->label[r] == 1);
    }
    const weir_outcomes outcomes = {.row_count = end - test, .label = label, .score = score, .threshold = m->threshold};
    if (!status && m->reference_count > 0) status = weir_model_metric_measure(shop->metric, &outcomes, &m->reference, err);
    weir_models_free(score);
    weir_models_free(label);
    weir_models_free(keep);
    return status;
}

weir_status weir_replay_fit(const weir_replay_shop *shop, int64_t now_us, weir_replay_model *ret_model, weir_err *err) {
    const weir_training_periods window = weir_training_periods_until(shop->replay->recipe, now_us - shop->replay->pipeline->max_delay_us);
    weir_replay_model m = {.tried = true};
    weir_status status = fit(shop, &window, &m, err);
    if (!status) status = measure(shop, &window, &m, err);
    if (status) {
        weir_replay_model_done(&m);
        m.tried = true;
    }
    *ret_model = m;
    return status;
}

void weir_replay_model_done(weir_replay_model *model) {
    weir_model_free(model->model);
    weir_drift_table_free(model->trained);
    *model = (weir_replay_model){0};
}
