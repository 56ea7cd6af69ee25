/* See the header for what a job makes. */
#include "models/tenant_job.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "models/artifact_file.h"
#include "models/lifecycle.h"
#include "models/memory.h"
#include "models/scorer_gate.h"
#include "models/shared_models.h"
#include "models/tracking.h"
#include "models/training.h"
#include "models/use_cases.h"

typedef struct working {
    const weir_tenant_job *job;
    const weir_candidate *candidate;
    const cJSON *section; /* training of the file */
    weir_training training;
    weir_pg *pg;
    weir_trainset train, test; /* test.matrix.row_count 0: there is none */
    weir_shared_comparison comparison;
    cJSON *request, *json, *models;
} working;

/* A model while it is made. tenant −1: of all. */
typedef struct made {
    int tenant;
    const char *tenant_id, *mode;
    char name[400], experiment[WEIR_EXPERIMENT_MAX + 1], path[1024];
    weir_trainset rows;
    weir_model *model;
    weir_gate_count compared;
    weir_run run;
    int version;
    cJSON *metrics, *tags, *entry; /* entry: of `models` */
} made;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to train models of tenants");
}

static bool add_time(cJSON *json, const char *name, int64_t time_us) {
    char text[WEIR_TIME_TEXT_MAX];
    return cJSON_AddStringToObject(json, name, weir_time_format(time_us, text));
}

static void tell(const working *w, const char *step) {
    if (w->job->tell) w->job->tell(w->job->context, step);
}

/* ---- names ---- */

/* A tenant may be any text, a model's name is part of a path: other characters become ~ and their bytes in hex. */
static bool append_safely(char *name, size_t size, const char *tenant) {
    size_t used = strlen(name);
    for (const unsigned char *c = (const unsigned char *)tenant; *c; c++) {
        bool plain = isalnum(*c) || *c == '-' || *c == '_';
        int put = used < size ? snprintf(name + used, size - used, plain ? "%c" : "~%02x", *c) : 0;
        if (put < 1 || used + (size_t)put >= size) return false;
        used += (size_t)put;
    }
    return true;
}

static weir_status name_model(const working *w, made *m, weir_err *err) {
    const char *pipeline = w->job->pipeline->name, *use_case = w->job->recipe->use_case;
    int used = snprintf(m->name, sizeof m->name, "%s-%s%s", pipeline, use_case, m->tenant < 0 ? "" : "-");
    if (used >= (int)sizeof m->name || (m->tenant >= 0 && !append_safely(m->name, sizeof m->name, m->tenant_id)))
        return WEIR_FAIL(err, WEIR_EINVAL, "the name of tenant '%.60s' is too long for a model's name", m->tenant_id);
    return weir_use_case_experiment(w->section, pipeline, m->tenant_id, use_case, m->experiment, err);
}

/* ---- rows ---- */

/* Rows of a tenant by name: the sets number them each in its own way. WEIR_ENOTFOUND. */
static weir_status take_tenant(const weir_trainset *set, const char *tenant, weir_trainset *ret_set, weir_err *err) {
    uint32_t number = 0;
    while (number < set->tenant_count && strcmp(set->tenant_names[number], tenant) != 0) number++;
    if (number == set->tenant_count) return WEIR_FAIL(err, WEIR_ENOTFOUND, "tenant %.80s has no rows", tenant);
    return weir_shared_own_set(set, number, ret_set, err);
}

static weir_status read_sets(working *w, weir_err *err) {
    weir_err none;
    tell(w, "training rows");
    weir_status status = weir_training_set(&w->training, false, &w->train, err);
    if (status) return status;
    tell(w, "test rows");
    status = weir_training_set(&w->training, true, &w->test, &none);
    if (!status || status == WEIR_ENOTFOUND) return WEIR_OK; /* the comparison needs no test days */
    *err = none;
    return status;
}

/* ---- one model ---- */

static weir_fit_options fit_options(const working *w) {
    const weir_recipe *recipe = w->job->recipe;
    return (weir_fit_options){.split = recipe->has_validation ? &recipe->validation : NULL,
                              .feature_hash = w->job->pipeline->feature_hash,
                              .seed = recipe->seed,
                              .threads = recipe->threads,
                              .cancel = w->job->cancel};
}

static weir_status fit(const working *w, made *m, weir_err *err) {
    const weir_fit_options options = fit_options(w);
    weir_buf artifact = {0};
    weir_status status = m->tenant < 0 ? weir_shared_set(&w->train, &m->rows, err) : take_tenant(&w->train, m->tenant_id, &m->rows, err);
    if (!status) status = weir_spec_fit(w->candidate->spec, &m->rows, &options, &artifact, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &m->model, err);
    if (!status) status = weir_scorer_gate(m->model, m->rows.matrix.values, m->rows.matrix.row_count, &m->compared, err);
    if (!status) {
        snprintf(m->path, sizeof m->path, "models/%s/%s/%s.weirmodel", w->job->pipeline->name, m->name, weir_model_digest(m->model));
        status = weir_artifact_write(w->job->objects_dir, m->path, &artifact, err);
    }
    weir_buf_done(&artifact);
    return status;
}

/* A row of the shared model has columns of tenants; those of the test days may be others than it knows. */
static weir_status score_row(const made *m, const weir_trainset *rows, int64_t row, double *scratch, double *out, weir_err *err) {
    const double *values = rows->matrix.values + row * rows->matrix.column_count;
    bool known;
    if (m->tenant >= 0) return weir_model_predict(m->model, values, 1, out, err);
    weir_shared_row(m->model, rows->tenant_names[rows->tenant[row]], values, scratch, &known);
    return weir_model_predict(m->model, scratch, 1, out, err);
}

static weir_status measure_rows(const working *w, const made *m, const weir_trainset *rows, cJSON *metrics, weir_err *err) {
    int outputs = weir_model_output_count(m->model);
    double *scores = weir_models_calloc((size_t)(rows->matrix.row_count * outputs), sizeof *scores);
    double *scratch = weir_models_calloc((size_t)weir_model_column_count(m->model), sizeof *scratch);
    weir_status status = scores && scratch ? WEIR_OK : no_memory(err);
    for (int64_t r = 0; !status && r < rows->matrix.row_count; r++) status = score_row(m, rows, r, scratch, scores + r * outputs, err);
    if (!status) status = weir_training_measure(&w->training, rows, scores, w->job->recipe->threshold.value, metrics, err);
    weir_models_free(scores);
    weir_models_free(scratch);
    return status;
}

/* On the test days, and out of fold in the comparison. What has no value on these rows is not there. */
static weir_status measure(const working *w, made *m, weir_err *err) {
    weir_trainset rows = {0};
    char name[80];
    weir_err none;
    const weir_shared_tenant *compared = m->tenant < 0 ? NULL : &w->comparison.tenants[m->tenant];
    weir_status status = !w->test.matrix.row_count ? WEIR_ENOTFOUND : m->tenant < 0 ? WEIR_OK : take_tenant(&w->test, m->tenant_id, &rows, &none);
    if (!status) status = measure_rows(w, m, m->tenant < 0 ? &w->test : &rows, m->metrics, &none);
    weir_trainset_done(&rows);
    if (status && status != WEIR_ENOTFOUND && status != WEIR_EDATA) {
        *err = none;
        return status;
    }
    if (compared && compared->compared) {
        snprintf(name, sizeof name, "cv_%s", w->comparison.metric->name);
        cJSON_AddNumberToObject(m->metrics, name, compared->own);
        snprintf(name, sizeof name, "cv_%s_of_shared", w->comparison.metric->name);
        cJSON_AddNumberToObject(m->metrics, name, compared->shared);
        cJSON_AddNumberToObject(m->metrics, "cv_gap", compared->gap);
    }
    return WEIR_OK;
}

static bool describe(const working *w, made *m) {
    char number[16];
    snprintf(number, sizeof number, "%d", w->job->recipe->column_count);
    return (m->tags = cJSON_CreateObject()) && (m->metrics = cJSON_CreateObject()) && cJSON_AddStringToObject(m->tags, "tenant_id", m->tenant_id) &&
           cJSON_AddStringToObject(m->tags, "use_case", w->job->recipe->use_case) && cJSON_AddStringToObject(m->tags, "training_mode", m->mode) &&
           cJSON_AddStringToObject(m->tags, "feature_count", number) && add_time(m->tags, "trained_until", w->training.window.train_to_us) &&
           (m->entry = cJSON_CreateObject()) && cJSON_AddItemToArray(w->models, m->entry) && cJSON_AddStringToObject(m->entry, "tenant", m->tenant_id) &&
           cJSON_AddStringToObject(m->entry, "training_mode", m->mode) && cJSON_AddStringToObject(m->entry, "model", m->name) &&
           cJSON_AddStringToObject(m->entry, "experiment", m->experiment) && cJSON_AddStringToObject(m->entry, "run", m->run.id);
}

static cJSON *describe_lineage(const working *w, const made *m) {
    cJSON *lineage = cJSON_CreateObject(), *dataset = cJSON_AddObjectToObject(lineage, "dataset");
    cJSON_AddStringToObject(lineage, "code_version", WEIR_VERSION);
    cJSON_AddStringToObject(lineage, "feature_hash", w->job->pipeline->feature_hash);
    cJSON_AddStringToObject(dataset, "query", m->rows.query);
    cJSON_AddStringToObject(dataset, "digest", m->rows.digest);
    cJSON_AddNumberToObject(dataset, "rows", (double)m->rows.matrix.row_count);
    cJSON_AddItemToObject(lineage, "spec", cJSON_Duplicate(w->candidate->spec, true));
    cJSON_AddItemToObject(lineage, "request", cJSON_Duplicate(w->request, true));
    cJSON_AddNumberToObject(lineage, "seed", (double)w->job->recipe->seed);
    (void)weir_gate_describe(lineage, &m->compared);
    return lineage;
}

/* The shared model's inputs are those of the recipe and the tenants; what serving would have to give it is in the signature. */
static cJSON *describe_signature(const working *w, const made *m) {
    cJSON *signature = weir_recipe_signature(w->job->recipe, w->job->recipe->threshold.value);
    cJSON *inputs = cJSON_GetObjectItemCaseSensitive(signature, "inputs");
    for (int c = w->job->recipe->column_count; m->tenant < 0 && c < weir_model_column_count(m->model); c++) {
        cJSON *input = cJSON_CreateObject();
        cJSON_AddStringToObject(input, "name", weir_model_columns(m->model)[c]);
        cJSON_AddStringToObject(input, "type", "double");
        cJSON_AddItemToArray(inputs, input);
    }
    return signature;
}

static weir_status register_model(const working *w, made *m, weir_err *err) {
    const char *pipeline = w->job->pipeline->name;
    char text[200];
    cJSON *lineage = describe_lineage(w, m), *signature = describe_signature(w, m);
    const weir_version_new version = {
        .pipeline = pipeline,
        .model = m->name,
        .algorithm = weir_model_algorithm(m->model),
        .run_id = m->run.id,
        .digest = weir_model_digest(m->model),
        .artifact_path = m->path,
        .feature_hash = w->job->pipeline->feature_hash,
        .dataset_digest = m->rows.digest,
        .lineage = lineage,
        .signature = signature,
    };
    weir_status status = weir_version_register(w->pg, &version, &m->version, err);
    if (!status) status = weir_version_metrics(w->pg, pipeline, m->name, m->version, m->metrics, err);
    snprintf(text, sizeof text, "%s of %s", w->candidate->name, m->tenant < 0 ? "all tenants" : "one tenant");
    if (!status) status = weir_lifecycle_version_describe(w->pg, pipeline, m->name, m->version, NULL, m->tags, NULL, text, err);
    cJSON_Delete(lineage);
    cJSON_Delete(signature);
    return status;
}

static weir_status track(const working *w, const made *m, weir_err *err) {
    weir_track *log = NULL;
    const weir_track_dataset rows = {.context = "train",
                                     .space = w->job->pipeline->name,
                                     .name = m->name,
                                     .version = WEIR_DATASET_BY_DIGEST,
                                     .query = m->rows.query,
                                     .digest = m->rows.digest,
                                     .rows = m->rows.matrix.row_count};
    weir_status status = weir_track_new(m->run.id, &log, err);
    if (!status) status = weir_track_param(log, "candidate", w->candidate->name, err);
    if (!status) status = weir_track_params(log, NULL, w->candidate->spec, err);
    if (!status) status = weir_track_metrics(log, NULL, m->metrics, err);
    if (!status) status = weir_track_tags(log, m->tags, err);
    if (!status) status = weir_track_dataset_add(log, &rows, err);
    if (!status) status = weir_track_artifact(log, "model", m->path, weir_model_digest(m->model), -1, err);
    if (!status) status = weir_track_flush(log, w->pg, err);
    weir_track_free(log);
    return status;
}

/* A tenant's rows may allow no model; that is no reason for the others to have none. */
static bool is_of_tenant(const made *m, weir_status status) {
    return m->tenant >= 0 && (status == WEIR_EDATA || status == WEIR_ENUMERIC || status == WEIR_ENOTFOUND);
}

static weir_status end_run(const working *w, const made *m, weir_status status, weir_err *err) {
    weir_err why;
    cJSON *detail = cJSON_CreateObject();
    if (status) cJSON_AddStringToObject(detail, "error", err->message);
    weir_status ended = weir_run_update(w->pg, m->run.id, status ? "failed" : "succeeded", detail, &why);
    cJSON_Delete(detail);
    if (is_of_tenant(m, status)) {
        cJSON_AddStringToObject(m->entry, "error", err->message);
        status = WEIR_OK;
    }
    if (status || !ended) return status;
    *err = why;
    return ended;
}

static weir_status make(const working *w, int tenant, weir_err *err) {
    made m = {.tenant = tenant, .tenant_id = tenant < 0 ? WEIR_TENANTS_ALL : w->train.tenant_names[tenant], .mode = tenant < 0 ? "shared" : "tenant"};
    weir_status status = name_model(w, &m, err);
    tell(w, m.name);
    if (!status) status = weir_track_start(w->pg, w->job->pipeline->name, m.experiment, m.name, w->request, &m.run, err);
    if (status) return status;
    status = describe(w, &m) ? fit(w, &m, err) : no_memory(err);
    if (!status) status = measure(w, &m, err);
    if (!status) status = register_model(w, &m, err);
    if (!status) status = track(w, &m, err);
    if (!status) {
        cJSON_AddNumberToObject(m.entry, "version", m.version);
        cJSON_AddNumberToObject(m.entry, "rows", (double)m.rows.matrix.row_count);
        cJSON_AddItemToObject(m.entry, "test_metrics", cJSON_Duplicate(m.metrics, true));
    }
    status = end_run(w, &m, status, err);
    weir_trainset_done(&m.rows);
    weir_model_free(m.model);
    cJSON_Delete(m.metrics);
    cJSON_Delete(m.tags);
    return status ? weir_err_prefix(err, "%s", m.name) : WEIR_OK;
}

/* ---- the job ---- */

static weir_status find_candidate(working *w, weir_err *err) {
    const weir_recipe *recipe = w->job->recipe;
    char names[600] = "";
    size_t used = 0;
    w->candidate = w->job->candidate ? NULL : &recipe->candidates[0];
    for (int i = 0; !w->candidate && i < recipe->candidate_count; i++) {
        if (!strcmp(recipe->candidates[i].name, w->job->candidate)) w->candidate = &recipe->candidates[i];
        if (used < sizeof names) used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", recipe->candidates[i].name);
    }
    return w->candidate ? WEIR_OK
                        : WEIR_FAIL(err, WEIR_EINVAL, "use case %s has no candidate '%.80s'; there are %s", recipe->use_case, w->job->candidate, names);
}

static weir_status write_request(working *w, weir_err *err) {
    const weir_training_periods *window = &w->training.window;
    cJSON *json = w->request = cJSON_CreateObject(), *spec = cJSON_Duplicate(w->candidate->spec, true);
    bool ok = json && spec && cJSON_AddItemToObject(json, "spec", spec) && cJSON_AddStringToObject(json, "pipeline", w->job->pipeline->name) &&
              cJSON_AddStringToObject(json, "kind", "tenants") && cJSON_AddStringToObject(json, "use_case", w->job->recipe->use_case) &&
              cJSON_AddStringToObject(json, "candidate", w->candidate->name);
    cJSON *periods = ok ? cJSON_AddObjectToObject(json, "window") : NULL;
    ok = periods && add_time(periods, "train_from", window->train_from_us) && add_time(periods, "train_to", window->train_to_us) &&
         add_time(periods, "test_from", window->deploy_us) && add_time(periods, "test_to", window->test_to_us);
    return ok ? WEIR_OK : no_memory(err);
}

static weir_status compare(working *w, weir_err *err) {
    const weir_recipe *recipe = w->job->recipe;
    const weir_shared_settings settings = {.spec = w->candidate->spec,
                                           .metric = recipe->metric,
                                           .threshold = recipe->threshold.value,
                                           .split = recipe->has_validation ? &recipe->validation : NULL,
                                           .seed = recipe->seed,
                                           .threads = recipe->threads,
                                           .cancel = w->job->cancel};
    tell(w, "comparison");
    weir_status status = weir_shared_compare(&w->train, &settings, &w->comparison, err);
    if (!status) status = weir_shared_json(&w->comparison, &w->json, err);
    if (status) return status;
    cJSON *window = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(w->request, "window"), true);
    bool ok = cJSON_AddStringToObject(w->json, "pipeline", w->job->pipeline->name) && cJSON_AddStringToObject(w->json, "use_case", recipe->use_case) &&
              cJSON_AddStringToObject(w->json, "candidate", w->candidate->name) && window && cJSON_AddItemToObject(w->json, "window", window) &&
              cJSON_AddNumberToObject(w->json, "rows", (double)w->train.matrix.row_count) &&
              cJSON_AddNumberToObject(w->json, "test_rows", (double)w->test.matrix.row_count) && (w->models = cJSON_AddArrayToObject(w->json, "models"));
    return ok ? WEIR_OK : no_memory(err);
}

static weir_status put_text(const working *w, weir_buf *out, weir_err *err) {
    const char *metric = w->job->recipe->metric->name;
    const cJSON *model;
    bool ok = weir_buf_printf(out, "%s, use case %s: %s by %s, %lld training rows of %d tenants\n\n", w->job->pipeline->name, w->job->recipe->use_case,
                              w->candidate->name, metric, (long long)w->train.matrix.row_count, w->comparison.count);
    weir_status status = ok ? weir_shared_text(&w->comparison, out, err) : no_memory(err);
    if (status) return status;
    ok = weir_buf_printf(out, "\n%-40s %8s %9s %12s  %s\n", "model", "version", "rows", "on test days", "experiment");
    cJSON_ArrayForEach(model, w->models) {
        const cJSON *metrics = cJSON_GetObjectItemCaseSensitive(model, "test_metrics"), *value = cJSON_GetObjectItemCaseSensitive(metrics, metric);
        char number[32] = "-";
        if (!value && !strcmp(metric, "roc_auc")) value = cJSON_GetObjectItemCaseSensitive(metrics, "auc_roc");
        if (cJSON_IsNumber(value)) snprintf(number, sizeof number, "%.5g", value->valuedouble);
        ok = ok && (*weir_json_text(model, "error")
                        ? weir_buf_printf(out, "%-40s not fitted: %s\n", weir_json_text(model, "model"), weir_json_text(model, "error"))
                        : weir_buf_printf(out, "%-40s %8d %9.0f %12s  %s\n", weir_json_text(model, "model"),
                                          (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(model, "version")),
                                          cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(model, "rows")), number, weir_json_text(model, "experiment")));
    }
    return ok ? WEIR_OK : no_memory(err);
}

static weir_status prepare(working *w, weir_err *err) {
    const weir_tenant_job *job = w->job;
    weir_status status = find_candidate(w, err);
    if (!status) status = weir_pg_new(job->pg_url, &w->pg, err);
    if (!status) status = weir_training_window(job->pipeline, job->recipe, job->pg_url, job->train_from_us, &w->training.window, err);
    return status ? status : write_request(w, err);
}

weir_status weir_tenant_job_run(const weir_tenant_job *job, cJSON **ret_json, weir_buf *text, weir_err *err) {
    working w = {.job = job,
                 .section = cJSON_GetObjectItemCaseSensitive(job->pipeline->json, "training"),
                 .training = {.pipeline = job->pipeline,
                              .recipe = job->recipe,
                              .pg_url = job->pg_url,
                              .objects_dir = job->objects_dir,
                              .as_of_us = job->as_of_us,
                              .cancel = job->cancel,
                              .tenants = true}};
    weir_status status = prepare(&w, err);
    if (!status) status = read_sets(&w, err);
    if (!status) status = compare(&w, err);
    if (!status) status = make(&w, -1, err);
    for (int t = 0; !status && t < w.comparison.count; t++) status = make(&w, t, err);
    if (!status) status = put_text(&w, text, err);
    if (!status) {
        *ret_json = w.json;
        w.json = NULL;
    }
    cJSON_Delete(w.json);
    cJSON_Delete(w.request);
    weir_shared_comparison_done(&w.comparison);
    weir_trainset_done(&w.train);
    weir_trainset_done(&w.test);
    weir_pg_free(w.pg);
    return status;
}
