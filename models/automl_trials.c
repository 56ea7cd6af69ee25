/* Where the trials of a search come from: a study in memory, or one in PostgreSQL that other workers share. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "models/automl_internal.h"
#include "models/memory.h"

#define LEASE_S 30
#define BEAT_MAX_S 1.0
enum { ATTEMPTS_MAX = 6, FIRST_PAUSE_MS = 100, SPLIT_FIELDS = 14 };

struct weir_trial_source {
    weir_study *study; /* in memory, or what load made */
    weir_pg *pg, *side_pg; /* the second is the watching thread's */
    weir_study_store *store, *side;
    bool leads;
    int objective_count;
    double spent_s, lease_s;
};

static void pause_ms(long ms) {
    const struct timespec duration = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&duration, NULL);
}

/* Does the database deserve another try? A second of a failing connection, or a deadlock, must not end a search of hours. */
static bool try_again(weir_status status, const weir_err *err, int *attempt) {
    if (status != WEIR_ENET || err->action != WEIR_ACTION_RETRY || ++*attempt >= ATTEMPTS_MAX) return false;
    pause_ms(FIRST_PAUSE_MS << *attempt);
    return true;
}

/* ---- the definition ---- */

static bool put_text(cJSON *object, const char *name, const char *text) {
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

static bool put_copy(cJSON *object, const char *name, const cJSON *value) {
    cJSON *copy = cJSON_Duplicate(value, true);
    if (copy && cJSON_AddItemToObject(object, name, copy)) return true;
    cJSON_Delete(copy);
    return false;
}

/* Numbers of a split in their order; all fit a double exactly. */
static void list_split(weir_split *p, void *field[SPLIT_FIELDS], bool is_real[SPLIT_FIELDS]) {
    int64_t *const whole[] = {&p->folds,    &p->seed,    &p->train_rows, &p->test_rows, &p->step_rows, &p->gap_rows,
                              &p->train_us, &p->test_us, &p->step_us,    &p->gap_us,    &p->embargo_us};
    double *const real[] = {&p->train_share, &p->validation_share, &p->test_share};
    int n = 0;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++, n++) {
        field[n] = whole[i];
        is_real[n] = false;
    }
    for (size_t i = 0; i < sizeof real / sizeof *real; i++, n++) {
        field[n] = real[i];
        is_real[n] = true;
    }
}

static bool put_split(cJSON *about, const weir_split *split) {
    weir_split copy = *split;
    void *field[SPLIT_FIELDS];
    bool is_real[SPLIT_FIELDS];
    double numbers[SPLIT_FIELDS + 5] = {split->scheme, split->tenants, split->shuffle, split->by_time, split->rolling};
    list_split(&copy, field, is_real);
    for (int i = 0; i < SPLIT_FIELDS; i++) numbers[5 + i] = is_real[i] ? *(double *)field[i] : (double)*(int64_t *)field[i];
    cJSON *array = cJSON_CreateDoubleArray(numbers, SPLIT_FIELDS + 5);
    if (array && cJSON_AddItemToObject(about, "split", array)) return true;
    cJSON_Delete(array);
    return false;
}

static bool get_split(const cJSON *array, weir_split *ret_split) {
    void *field[SPLIT_FIELDS];
    bool is_real[SPLIT_FIELDS];
    double numbers[SPLIT_FIELDS + 5];
    if (cJSON_GetArraySize(array) != SPLIT_FIELDS + 5) return false;
    for (int i = 0; i < SPLIT_FIELDS + 5; i++) {
        const cJSON *item = cJSON_GetArrayItem(array, i);
        if (!cJSON_IsNumber(item)) return false;
        numbers[i] = item->valuedouble;
    }
    *ret_split =
        (weir_split){.scheme = (int)numbers[0], .tenants = (int)numbers[1], .shuffle = numbers[2] != 0, .by_time = numbers[3] != 0, .rolling = numbers[4] != 0};
    list_split(ret_split, field, is_real);
    for (int i = 0; i < SPLIT_FIELDS; i++) {
        if (is_real[i])
            *(double *)field[i] = numbers[5 + i];
        else
            *(int64_t *)field[i] = (int64_t)numbers[5 + i];
    }
    return true;
}

static double lease_of(const weir_automl_settings *s) {
    return s->lease_s > 0 ? fmax(s->lease_s, 1) : LEASE_S;
}

/* What two studies must agree in beside their space: the rows, the folds and the metric; and how long their workers' leases are. */
static bool put_about(cJSON *definition, const weir_automl_settings *s) {
    cJSON *about = cJSON_AddObjectToObject(definition, "about"), *objectives = about ? cJSON_AddArrayToObject(about, "objectives") : NULL;
    bool ok = objectives != NULL;
    for (int i = 0; ok && s->objectives && s->objectives[i]; i++) {
        cJSON *name = cJSON_CreateString(s->objectives[i]);
        ok = name && cJSON_AddItemToArray(objectives, name);
    }
    return ok && put_text(about, "dataset", s->set->digest ? s->set->digest : "") && put_text(about, "metric", s->metric->name) && put_split(about, s->split) &&
           cJSON_AddNumberToObject(about, "lease_seconds", lease_of(s)) != NULL;
}

static bool put_pruner(cJSON *definition, const weir_automl_settings *s, int fold_count) {
    /* Medians are over all algorithms, and on the first, small folds of a walk forward simple ones lead that are not the best in the end: unless told otherwise a
     * trial is measured by its own algorithm's best only (is_out_of_the_race in automl.c). */
    const char *usual = s->pruner_settings ? "median" : "none", *pruner = s->objectives && s->objectives[0] ? "none" : s->pruner ? s->pruner : usual;
    if (!put_text(definition, "pruner", pruner)) return false;
    if (s->pruner_settings) return put_copy(definition, "pruner_settings", s->pruner_settings);
    bool median = !strcmp(pruner, "median"), halving = !strcmp(pruner, "halving");
    if (!median && !halving) return true;
    /* A fold's value says more about the fold than about the trial: means over folds are compared, and after a fold or two only. */
    cJSON *settings = cJSON_AddObjectToObject(definition, "pruner_settings");
    if (!settings || !put_text(settings, "compare", "mean")) return false;
    return median ? cJSON_AddNumberToObject(settings, "warmup_steps", fold_count >= 4 ? 2 : 1) != NULL
                  : cJSON_AddNumberToObject(settings, "reduction_factor", 2) != NULL;
}

static bool put_directions(cJSON *definition, const weir_automl_settings *s) {
    cJSON *directions = cJSON_AddArrayToObject(definition, "directions");
    bool greater = s->metric->greater_is_better;
    for (int i = 0; directions; i++) {
        cJSON *direction = cJSON_CreateString(greater ? "maximise" : "minimise");
        if (!direction || !cJSON_AddItemToArray(directions, direction)) return false;
        if (!s->objectives || !s->objectives[i]) return true;
        const weir_model_metric *metric = weir_model_metric_find(s->set->matrix.task, s->objectives[i]);
        greater = metric && metric->greater_is_better;
    }
    return false;
}

/* Takes space. */
static weir_status define(const weir_automl_settings *s, cJSON *space, int fold_count, cJSON **ret_definition, weir_err *err) {
    cJSON *definition = cJSON_CreateObject(), *first = NULL;
    const char *sampler_name = s->sampler ? s->sampler : "tpe";
    const weir_sampler *sampler = weir_sampler_find(sampler_name);
    weir_status status = WEIR_OK;
    if (!definition || !cJSON_AddItemToObject(definition, "space", space)) {
        cJSON_Delete(space);
        cJSON_Delete(definition);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the definition of a study");
    }
    if (sampler && !sampler->size) status = weir_automl_first(s->set, space, "$.tuning.space", &first, err);
    bool ok = status != WEIR_OK || !first || cJSON_AddItemToObject(definition, "first", first);
    if (status == WEIR_OK)
        ok = ok && put_text(definition, "sampler", sampler_name) && (!s->sampler_settings || put_copy(definition, "sampler_settings", s->sampler_settings)) &&
             put_pruner(definition, s, fold_count) && put_directions(definition, s) &&
             cJSON_AddNumberToObject(definition, "seed", (double)(s->seed & ((UINT64_C(1) << 53) - 1))) &&
             (s->cost_weight <= 0 || cJSON_AddNumberToObject(definition, "cost_weight", s->cost_weight)) && put_about(definition, s) &&
             (s->pg_url || s->trial_max <= 0 || cJSON_AddNumberToObject(definition, "trials", s->trial_max));
    if (status == WEIR_OK && !ok) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the definition of a study");
    if (status == WEIR_OK)
        *ret_definition = definition;
    else
        cJSON_Delete(definition);
    return status;
}

/* ---- opening ---- */

static weir_status open_store(weir_trial_source *source, const weir_automl_settings *s, const cJSON *definition, weir_err *err) {
    int64_t lease_us = (int64_t)(source->lease_s * 1e6);
    weir_status status = weir_pg_new(s->pg_url, &source->pg, err);
    if (status == WEIR_OK) status = weir_pg_new(s->pg_url, &source->side_pg, err);
    int attempt = 0;
    while (status == WEIR_OK && !source->side) {
        status = source->store ? WEIR_OK : weir_study_store_open(source->pg, s->pipeline, s->study, definition, s->worker, lease_us, &source->store, err);
        if (status == WEIR_OK) status = weir_study_store_open(source->side_pg, s->pipeline, s->study, definition, s->worker, lease_us, &source->side, err);
        if (status != WEIR_OK && try_again(status, err, &attempt)) status = WEIR_OK;
    }
    return status;
}

/* Who led it may have been killed a moment ago: its place is free when its lease ends. */
static weir_status take_lead(weir_trial_source *source, const weir_automl_settings *s, weir_err *err) {
    int attempt = 0;
    double waited_s = 0;
    for (;;) {
        weir_status status = weir_study_store_lead(source->store, s->trial_max, &source->spent_s, err);
        if (status == WEIR_OK || (s->cancel && *s->cancel)) return status;
        if (status == WEIR_ECONFLICT && waited_s < source->lease_s + 1) {
            pause_ms(250);
            waited_s += 0.25;
        } else if (!try_again(status, err, &attempt)) {
            return status;
        }
    }
}

static weir_status make_definition(const weir_automl_settings *s, int fold_count, cJSON **ret_definition, weir_err *err) {
    cJSON *space = NULL;
    weir_status status = WEIR_OK;
    if (!s->space)
        status = weir_automl_space(s->set, s->algorithms, &space, err);
    else if (!(space = cJSON_Duplicate(s->space, true)))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a search space");
    return status == WEIR_OK ? define(s, space, fold_count, ret_definition, err) : status;
}

weir_status weir_trial_source_open(const weir_automl_settings *s, int fold_count, const cJSON *joined, weir_trial_source **ret_source, weir_err *err) {
    weir_trial_source *source = weir_models_calloc(1, sizeof *source);
    if (!source) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a study");
    *source = (weir_trial_source){.leads = !joined, .objective_count = 1, .lease_s = lease_of(s)};
    while (s->objectives && s->objectives[source->objective_count - 1]) source->objective_count++;
    cJSON *own = NULL;
    weir_status status = joined ? WEIR_OK : make_definition(s, fold_count, &own, err);
    const cJSON *definition = joined ? joined : own;
    if (status == WEIR_OK) status = weir_study_from_json(definition, "$.tuning", NULL, &source->study, err); /* of a store: for its messages */
    if (status == WEIR_OK && s->pg_url) status = open_store(source, s, definition, err);
    if (status == WEIR_OK && s->pg_url && !joined) status = take_lead(source, s, err);
    cJSON_Delete(own);
    if (status == WEIR_OK)
        *ret_source = source;
    else
        weir_trial_source_close(source);
    return status;
}

static weir_status read_about(const cJSON *definition, weir_automl_settings *s, weir_automl_kept *kept, weir_err *err) {
    const cJSON *about = cJSON_GetObjectItemCaseSensitive(definition, "about"), *item;
    const char *dataset = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(about, "dataset"));
    const char *metric = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(about, "metric"));
    int count = 0;
    if (!dataset || !metric || !get_split(cJSON_GetObjectItemCaseSensitive(about, "split"), &kept->split))
        return WEIR_FAIL(err, WEIR_EDATA, "study '%s' does not say what it is about: it is none of a search", s->study);
    if (strcmp(dataset, s->set->digest ? s->set->digest : "") != 0)
        return WEIR_FAIL(err, WEIR_ECONFLICT, "study '%s' is about rows with digest %.64s, found rows with digest %.64s", s->study, dataset,
                         s->set->digest ? s->set->digest : "none");
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(about, "objectives")) {
        if (count + 1 < WEIR_OBJECTIVES_MAX && cJSON_IsString(item)) kept->objectives[count++] = item->valuestring;
    }
    kept->objectives[count] = NULL;
    s->objectives = count ? kept->objectives : NULL;
    const cJSON *lease = cJSON_GetObjectItemCaseSensitive(about, "lease_seconds");
    s->lease_s = cJSON_IsNumber(lease) ? lease->valuedouble : 0;
    s->split = &kept->split;
    s->metric = weir_model_metric_find(s->set->matrix.task, metric);
    return s->metric ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no metric '%s' of a %s task", metric, weir_task_name(s->set->matrix.task));
}

weir_status weir_trial_source_join(weir_automl_settings *s, weir_automl_kept *kept, cJSON **ret_definition, weir_err *err) {
    weir_pg *pg = NULL;
    cJSON *definition = NULL;
    weir_status status = weir_pg_new(s->pg_url, &pg, err);
    if (status == WEIR_OK) status = weir_study_store_definition(pg, s->pipeline, s->study, &definition, err);
    if (status == WEIR_OK) status = read_about(definition, s, kept, err);
    weir_pg_free(pg);
    if (status != WEIR_OK) {
        cJSON_Delete(definition);
        return status;
    }
    const cJSON *seed = cJSON_GetObjectItemCaseSensitive(definition, "seed"), *cost = cJSON_GetObjectItemCaseSensitive(definition, "cost_weight");
    s->seed = cJSON_IsNumber(seed) ? (uint64_t)seed->valuedouble : 0;
    s->cost_weight = cJSON_IsNumber(cost) ? cost->valuedouble : 0;
    s->candidates = s->space = NULL;
    s->algorithms = NULL;
    *ret_definition = definition;
    return WEIR_OK;
}

void weir_trial_source_close(weir_trial_source *source) {
    if (!source) return;
    weir_study_store_close(source->store);
    weir_study_store_close(source->side);
    weir_pg_free(source->pg);
    weir_pg_free(source->side_pg);
    weir_study_free(source->study);
    weir_models_free(source);
}

double weir_trial_source_spent(const weir_trial_source *source) {
    return source->spent_s;
}

int weir_trial_source_objectives(const weir_trial_source *source) {
    return source->objective_count;
}

/* ---- trials ---- */

weir_status weir_trial_source_claim(weir_trial_source *source, int *ret_number, cJSON **ret_params, weir_err *err) {
    if (!source->store) return weir_study_ask(source->study, ret_number, ret_params, err);
    int attempt = 0;
    weir_status status;
    do status = weir_study_store_claim(source->store, ret_number, ret_params, err);
    while (try_again(status, err, &attempt));
    return status;
}

weir_status weir_trial_source_report(weir_trial_source *source, int number, int step, double value, bool *ret_prune, weir_err *err) {
    if (!source->store) {
        weir_status status = weir_study_report(source->study, number, step, value, err);
        return status == WEIR_OK ? weir_study_judge(source->study, number, ret_prune, err) : status;
    }
    int attempt = 0;
    weir_status status;
    do status = weir_study_store_report(source->store, number, step, value, ret_prune, err);
    while (try_again(status, err, &attempt));
    return attempt && status == WEIR_EINVAL ? WEIR_OK : status; /* the attempt that failed had told it */
}

weir_status weir_trial_source_tell(weir_trial_source *source, int number, const weir_outcome *outcome, weir_err *err) {
    if (!source->store) return weir_study_tell(source->study, number, outcome, err);
    int attempt = 0;
    weir_status status;
    do status = weir_study_store_tell(source->store, number, outcome, err);
    while (try_again(status, err, &attempt));
    return status;
}

weir_status weir_trial_source_release(weir_trial_source *source, int number, weir_err *err) {
    if (!source->store) return weir_study_tell(source->study, number, &(weir_outcome){.state = WEIR_TRIAL_FAILED, .note = "cancelled"}, err);
    int attempt = 0;
    weir_status status;
    do status = weir_study_store_release(source->store, number, err);
    while (try_again(status, err, &attempt));
    return status;
}

weir_status weir_trial_source_load(weir_trial_source *source, const weir_study **ret_study, weir_err *err) {
    int attempt = 0;
    weir_status status = WEIR_OK;
    weir_study *study = NULL;
    if (source->store) {
        do status = weir_study_store_load(source->store, &study, err);
        while (try_again(status, err, &attempt));
        if (status != WEIR_OK) return status;
        weir_study_free(source->study);
        source->study = study;
    }
    *ret_study = source->study;
    return WEIR_OK;
}

weir_status weir_trial_source_end(weir_trial_source *source, const char *why, double spent_s, weir_err *err) {
    if (!source->store || !source->leads) return WEIR_OK;
    int attempt = 0;
    weir_status status;
    do status = weir_study_store_end(source->store, why, spent_s, err);
    while (try_again(status, err, &attempt));
    return status;
}

weir_stop weir_trial_source_beat(weir_trial_source *source, int number, double spent_s) {
    weir_err err;
    char why[32] = "";
    if (!source->side) return WEIR_GO_ON;
    if (number >= 0 && weir_study_store_renew(source->side, number, &err) == WEIR_ECONFLICT) {
        if (!source->leads && weir_study_store_over(source->side, why, &err) == WEIR_OK && *why) return WEIR_STOP_OVER;
        return WEIR_STOP_LOST;
    }
    if (source->leads) return weir_study_store_lead_on(source->side, spent_s, &err) == WEIR_ECONFLICT ? WEIR_STOP_OVER : WEIR_GO_ON;
    return weir_study_store_over(source->side, why, &err) == WEIR_OK && *why ? WEIR_STOP_OVER : WEIR_GO_ON;
}

double weir_trial_source_beat_s(const weir_trial_source *source) {
    return source->side ? fmin(BEAT_MAX_S, source->lease_s / 3) : 0;
}
