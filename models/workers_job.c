#include "models/workers_job.h"

#include <stdio.h>
#include <string.h>

#include "models/interrupt.h"
#include "models/memory.h"
#include "models/spec.h"
#include "models/tracking.h"
#include "models/training.h"

typedef struct working {
    const weir_workers_job *job;
    weir_recipe recipe; /* the job's, with one candidate */
    weir_distributed distributed;
    weir_training training;
    weir_pg *pg;
    weir_run run;
    char experiment[WEIR_EXPERIMENT_NAME_MAX + 1];
    cJSON *spec, *request, *detail;
    int lost; /* workers */
} working;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a run of several workers");
}

/* ---- which candidate ---- */

static bool is_for_several(const weir_candidate *c) {
    weir_err err;
    return !cJSON_GetObjectItemCaseSensitive(c->spec, "ensemble") &&
           !weir_distributed_check(c->algorithm, cJSON_GetObjectItemCaseSensitive(c->spec, "params"), &err);
}

static weir_status find_candidate(const weir_workers_job *job, const weir_candidate **ret_candidate, weir_err *err) {
    const weir_recipe *r = job->recipe;
    char names[256] = "";
    for (int i = 0; i < r->candidate_count; i++) {
        const weir_candidate *c = &r->candidates[i];
        size_t len = strlen(names);
        if (job->candidate ? !strcmp(c->name, job->candidate) : is_for_several(c)) {
            *ret_candidate = c;
            return WEIR_OK;
        }
        snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "", c->name);
    }
    if (job->candidate) return WEIR_FAIL(err, WEIR_EINVAL, "there is no candidate '%s', but %s", job->candidate, names);
    return WEIR_FAIL(err, WEIR_EINVAL, "none of the candidates %s is boosted trees or a forest, which are what several workers can fit together", names);
}

/* The recipe with this candidate alone, and how many fit it. */
static weir_status narrow_recipe(working *w, weir_err *err) {
    const weir_candidate *found = NULL;
    weir_status status = find_candidate(w->job, &found, err);
    if (status) return status;
    if (cJSON_GetObjectItemCaseSensitive(found->spec, "ensemble"))
        return WEIR_FAIL(err, WEIR_EINVAL, "candidate %s is an ensemble, of which no model could be fitted by several workers", found->name);
    if (!(w->spec = cJSON_Duplicate(found->spec, true))) return no_memory(err);
    cJSON_DeleteItemFromObjectCaseSensitive(w->spec, "workers");
    if (!cJSON_AddNumberToObject(w->spec, "workers", w->job->distributed.workers)) return no_memory(err);
    w->recipe = *w->job->recipe;
    w->recipe.candidates[0] = (weir_candidate){.name = found->name, .algorithm = found->algorithm, .spec = w->spec};
    w->recipe.candidate_count = 1;
    status = weir_distributed_check(found->algorithm, cJSON_GetObjectItemCaseSensitive(w->spec, "params"), err);
    return status ? weir_err_prefix(err, "candidate %s", found->name) : WEIR_OK;
}

/* ---- the run ---- */

static void hear(void *context, weir_distributed_what what, int64_t number, const char *words) {
    working *w = context;
    const weir_distributed *asked = &w->job->distributed;
    w->lost += what == WEIR_DISTRIBUTED_LOST;
    if (asked->tell) asked->tell(asked->context, what, number, words);
}

static weir_status start_run(working *w, weir_err *err) {
    const weir_workers_job *job = w->job;
    const char *pipeline = job->pipeline->name;
    w->request = cJSON_CreateObject();
    w->detail = cJSON_CreateObject();
    bool ok = w->request && w->detail && cJSON_AddStringToObject(w->request, "pipeline", pipeline) && cJSON_AddStringToObject(w->request, "kind", "workers") &&
              cJSON_AddStringToObject(w->request, "use_case", job->recipe->use_case) &&
              cJSON_AddNumberToObject(w->request, "workers", job->distributed.workers) &&
              (job->as_of_us == INT64_MAX || cJSON_AddNumberToObject(w->request, "as_of_us", (double)job->as_of_us));
    const cJSON *training = cJSON_GetObjectItemCaseSensitive(job->pipeline->json, "training");
    weir_status status = ok ? weir_track_experiment(training, pipeline, job->recipe->use_case, w->experiment, err) : no_memory(err);
    return status ? status : weir_track_start(w->pg, pipeline, w->experiment, w->recipe.candidates[0].name, w->request, &w->run, err);
}

static weir_status fit(working *w, const char **ret_state, weir_err *err) {
    weir_training *t = &w->training;
    bool complete = false;
    t->run_id = w->run.id;
    weir_status status = weir_training_window(w->job->pipeline, &w->recipe, w->job->pg_url, w->job->train_from_us, &t->window, err);
    if (!status) status = weir_training_fit(t, w->pg, w->detail, err);
    if (!status && !cJSON_AddNumberToObject(w->detail, "workers_lost", w->lost)) status = no_memory(err);
    if (!status) status = weir_training_labels_complete(t, &complete, err);
    if (!status && complete) status = weir_training_evaluate(t, w->pg, w->detail, err);
    *ret_state = status ? "failed" : complete ? "succeeded" : "awaiting_labels";
    return status;
}

/* The job's own error goes first. What cannot be kept must not leave a run without its end. */
static weir_status end_run(working *w, weir_status status, const char *state, weir_err *err) {
    weir_err late, later;
    if (status) (void)cJSON_AddStringToObject(w->detail, "error", err->message);
    weir_status tracked = weir_track_pipeline_run(w->pg, w->job->pipeline->name, w->run.id, w->experiment, w->request, w->detail, &late);
    weir_status ended = weir_run_update(w->pg, w->run.id, state, w->detail, &later);
    if (status || (!tracked && !ended)) return status;
    *err = ended ? later : late;
    return weir_err_prefix(err, "what is known of run %s could not be kept", w->run.id);
}

static weir_status find_run(working *w, cJSON **ret_run, weir_err *err) {
    cJSON *runs = NULL, *run;
    weir_status status = weir_run_list(w->pg, w->job->pipeline->name, NULL, &runs, err);
    *ret_run = NULL;
    cJSON_ArrayForEach(run, runs) {
        const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(run, "id"));
        if (!id || strcmp(id, w->run.id) != 0) continue;
        *ret_run = cJSON_DetachItemViaPointer(runs, run);
        break;
    }
    cJSON_Delete(runs);
    return status || *ret_run ? status : WEIR_FAIL(err, WEIR_ENOTFOUND, "run %s is gone", w->run.id);
}

weir_status weir_workers_job_run(const weir_workers_job *job, cJSON **ret_run, weir_err *err) {
    working w = {.job = job, .distributed = job->distributed};
    const char *state = "failed";
    w.distributed.objects_dir = job->objects_dir;
    w.distributed.tell = hear;
    w.distributed.context = &w;
    w.training = (weir_training){.pipeline = job->pipeline,
                                 .recipe = &w.recipe,
                                 .pg_url = job->pg_url,
                                 .objects_dir = job->objects_dir,
                                 .as_of_us = job->as_of_us,
                                 .cancel = job->cancel,
                                 .distributed = &w.distributed};
    weir_interrupt_set(job->cancel);
    weir_status status = narrow_recipe(&w, err);
    if (!status) status = weir_pg_new(job->pg_url, &w.pg, err);
    if (!status) status = start_run(&w, err);
    if (!status) {
        status = fit(&w, &state, err);
        status = end_run(&w, status, state, err);
        if (!status) status = find_run(&w, ret_run, err);
    }
    weir_interrupt_set(NULL);
    cJSON_Delete(w.spec);
    cJSON_Delete(w.request);
    cJSON_Delete(w.detail);
    weir_pg_free(w.pg);
    return status;
}
