#include "models/reproduce.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "models/artifact_file.h"
#include "models/memory.h"
#include "models/past_model.h"
#include "models/pg_json.h"
#include "models/spec.h"
#include "models/training.h"

typedef struct making {
    const weir_pipeline *pipeline;
    const char *pg_url, *objects_dir;
    weir_pg *pg;
    weir_recipe recipe;
    weir_training training;
    weir_trainset set;
    cJSON *run, *report;
    const char **columns; /* what the versions were fitted on */
    bool equal;
} making;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to make a run again");
}

static weir_status read_run(making *m, const char *run_id, weir_err *err) {
    weir_status status = weir_pg_query_json(
        m->pg,
        "SELECT coalesce((SELECT json_build_object('id', id, 'request', request, 'detail', detail) FROM weir.runs WHERE pipeline = $1 AND id = $2), 'null')", 2,
        (const char *const[]){m->pipeline->name, run_id}, &m->run, err);
    if (!status && !cJSON_IsObject(m->run)) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no run %s", m->pipeline->name, run_id);
    if (!status && !cJSON_GetArraySize(weir_json_at(weir_json_at(m->run, "detail"), "versions")))
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "run %s made no versions", run_id);
    return status;
}

/* Of a version that went on learning the rows that it learnt, of which everything was known by their end. */
static weir_status read_continued(const cJSON *continues, weir_training_periods *w, weir_err *err) {
    weir_status status = weir_time_parse(weir_json_text(continues, "from"), &w->train_from_us, err);
    if (!status) status = weir_time_parse(weir_json_text(continues, "to"), &w->train_to_us, err);
    if (!status) status = weir_time_parse(weir_json_text(continues, "as_of"), &w->deploy_us, err);
    w->test_to_us = w->deploy_us;
    return status;
}

static weir_status read_window(making *m, weir_err *err) {
    const cJSON *detail = weir_json_at(m->run, "detail"), *window = weir_json_at(detail, "window"),
                *as_of = weir_json_at(weir_json_at(m->run, "request"), "as_of_us");
    weir_training_periods *w = &m->training.window;
    m->training.as_of_us = INT64_MAX;
    if (weir_json_at(detail, "continues")) return read_continued(weir_json_at(detail, "continues"), w, err);
    if (!*weir_json_text(window, "test_from"))
        return WEIR_FAIL(err, WEIR_ENOTFOUND, "run %s has no window of training and test days: it is none that the train worker led",
                         weir_json_text(m->run, "id"));
    if (cJSON_IsNumber(as_of)) m->training.as_of_us = (int64_t)as_of->valuedouble;
    weir_status status = weir_time_parse(weir_json_text(window, "train_from"), &w->train_from_us, err);
    if (!status) status = weir_time_parse(weir_json_text(window, "train_to"), &w->train_to_us, err);
    if (!status) status = weir_time_parse(weir_json_text(window, "test_from"), &w->deploy_us, err);
    if (!status) status = weir_time_parse(weir_json_text(window, "test_to"), &w->test_to_us, err);
    return status ? weir_err_prefix(err, "the run's window") : WEIR_OK;
}

/* Of the use case that the run was for. */
static weir_status load_recipe(making *m, weir_err *err) {
    const char *use_case = weir_json_text(weir_json_at(m->run, "request"), "use_case");
    return weir_recipe_load_use_case(m->pipeline, *use_case ? use_case : NULL, &m->recipe, err);
}

/* The columns of the record take the place of the recipe's: the file may name others by now. */
static weir_status use_columns(making *m, const cJSON *version, weir_err *err) {
    const cJSON *input, *inputs = weir_json_at(weir_json_at(version, "signature"), "inputs");
    int count = 0;
    if (!(m->columns = weir_models_calloc((size_t)cJSON_GetArraySize(inputs) + 1, sizeof *m->columns))) return no_memory(err);
    cJSON_ArrayForEach(input, inputs) m->columns[count++] = weir_json_text(input, "name");
    if (!count) return WEIR_FAIL(err, WEIR_EDATA, "version %s has no signature", weir_json_text(version, "model"));
    m->recipe.columns = m->columns;
    m->recipe.column_count = count;
    return WEIR_OK;
}

/* ---- the report ---- */

static bool add_comparison(cJSON *to, const char *recorded, const char *again, const char *why, bool equal) {
    return cJSON_AddStringToObject(to, "recorded", recorded) && (again ? cJSON_AddStringToObject(to, "again", again) : cJSON_AddNullToObject(to, "again")) &&
           cJSON_AddBoolToObject(to, "equal", equal) && (why ? cJSON_AddStringToObject(to, "why", why) : cJSON_AddNullToObject(to, "why"));
}

static weir_status compare_set(making *m, weir_err *err) {
    const char *recorded = weir_json_text(weir_json_at(weir_json_at(m->run, "detail"), "dataset"), "digest");
    bool equal = !strcmp(recorded, m->set.digest);
    cJSON *dataset = cJSON_AddObjectToObject(m->report, "dataset");
    m->equal = m->equal && equal;
    bool ok = dataset && add_comparison(dataset, recorded, m->set.digest, equal ? NULL : "the rows are not those that the run was fitted on", equal) &&
              cJSON_AddNumberToObject(dataset, "rows", (double)m->set.matrix.row_count);
    return ok ? WEIR_OK : no_memory(err);
}

/* ---- fits ---- */

/* Of the artifact when it is there: its header has them, and so has its digest. */
static int threads_of(const making *m, const cJSON *version) {
    weir_model *model = NULL;
    weir_err err;
    int threads = m->recipe.threads;
    if (weir_past_model(m->objects_dir, version, &model, &err)) return threads;
    const cJSON *recorded = weir_json_at(weir_model_header(model), "threads");
    if (cJSON_IsNumber(recorded) && recorded->valuedouble >= 1) threads = (int)recorded->valuedouble;
    weir_model_free(model);
    return threads;
}

/* The parent's artifact, and the rows. */
static weir_status continue_again(const making *m, const cJSON *continues, weir_buf *ret_artifact, weir_err *err) {
    cJSON *parent = NULL;
    weir_buf bytes = {0};
    weir_status status = weir_past_version(m->pg, m->pipeline->name, weir_json_text(continues, "model"),
                                           (int)cJSON_GetNumberValue(weir_json_at(continues, "version")), weir_json_text(continues, "digest"), &parent, err);
    if (!status && !cJSON_IsObject(parent)) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "the registry does not know the version that it went on from any more");
    if (!status) status = weir_artifact_read(m->objects_dir, weir_json_text(parent, "artifact_path"), &bytes, err);
    if (!status) status = weir_model_continue(bytes.data, bytes.len, &m->set.matrix, ret_artifact, err);
    weir_buf_done(&bytes);
    cJSON_Delete(parent);
    return status;
}

static weir_status fit_again(making *m, const cJSON *version, char digest[65], weir_err *err) {
    const cJSON *continues = weir_json_at(weir_json_at(m->run, "detail"), "continues"), *record = weir_json_at(version, "lineage"),
                *seed = weir_json_at(record, "seed");
    weir_buf artifact = {0};
    weir_model *model = NULL;
    const weir_fit_options options = {
        .split = m->recipe.has_validation ? &m->recipe.validation : NULL,
        .feature_hash = weir_json_text(version, "feature_hash"),
        .seed = cJSON_IsNumber(seed) ? (uint64_t)seed->valuedouble : m->recipe.seed,
        .threads = threads_of(m, version),
    };
    weir_status status =
        continues ? continue_again(m, continues, &artifact, err) : weir_spec_fit(weir_json_at(record, "spec"), &m->set, &options, &artifact, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, err);
    if (!status) snprintf(digest, 65, "%s", weir_model_digest(model));
    weir_model_free(model);
    weir_buf_done(&artifact);
    return status;
}

static weir_status make_version(making *m, cJSON *versions, const cJSON *version, weir_err *err) {
    char digest[65] = "";
    const char *recorded = weir_json_text(version, "digest"), *why = NULL;
    weir_err why_not;
    if (!cJSON_IsObject(weir_json_at(weir_json_at(version, "lineage"), "spec")))
        why = "its record has no spec";
    else if (fit_again(m, version, digest, &why_not))
        why = why_not.message;
    else if (strcmp(digest, recorded) != 0)
        why = "the fit gave another model";
    m->equal = m->equal && !why;
    cJSON *entry = cJSON_CreateObject();
    bool ok = entry && cJSON_AddStringToObject(entry, "model", weir_json_text(version, "model")) &&
              cJSON_AddNumberToObject(entry, "version", cJSON_GetNumberValue(weir_json_at(version, "version"))) &&
              add_comparison(entry, recorded, *digest ? digest : NULL, why, !why);
    if (!ok) cJSON_Delete(entry);
    return ok && cJSON_AddItemToArray(versions, entry) ? WEIR_OK : no_memory(err);
}

/* all: the run's versions as the registry has them. */
static weir_status make_all(making *m, const cJSON *all, weir_err *err) {
    const cJSON *version, *first = all->child;
    cJSON *versions = cJSON_AddArrayToObject(m->report, "versions");
    if (!versions) return no_memory(err);
    if (strcmp(weir_json_text(first, "feature_hash"), m->pipeline->feature_hash) != 0) {
        char why[200];
        m->equal = false;
        snprintf(why, sizeof why, "the pipeline file has other definitions (%.12s) than the run had (%.12s)", m->pipeline->feature_hash,
                 weir_json_text(first, "feature_hash"));
        return cJSON_AddStringToObject(m->report, "why", why) ? WEIR_OK : no_memory(err);
    }
    weir_status status = use_columns(m, first, err);
    if (!status) status = weir_training_set(&m->training, false, &m->set, err);
    if (!status) status = compare_set(m, err);
    cJSON_ArrayForEach(version, all) if (!status) status = make_version(m, versions, version, err);
    if (!status && !cJSON_AddNullToObject(m->report, "why")) status = no_memory(err);
    return status;
}

static weir_status read_versions(making *m, cJSON *all, weir_err *err) {
    const cJSON *named;
    weir_status status = WEIR_OK;
    cJSON_ArrayForEach(named, weir_json_at(weir_json_at(m->run, "detail"), "versions")) {
        cJSON *version = NULL;
        status = weir_past_version(m->pg, m->pipeline->name, weir_json_text(named, "name"), (int)cJSON_GetNumberValue(weir_json_at(named, "version")),
                                   weir_json_text(named, "digest"), &version, err);
        if (!status && !cJSON_IsObject(version))
            status = WEIR_FAIL(err, WEIR_ENOTFOUND, "the registry does not know version %.0f of %s any more",
                               cJSON_GetNumberValue(weir_json_at(named, "version")), weir_json_text(named, "name"));
        if (!status && !cJSON_AddItemToArray(all, version)) status = no_memory(err);
        if (status) {
            cJSON_Delete(version);
            return status;
        }
    }
    return status;
}

weir_status weir_reproduce(const char *pg_url, const char *objects_dir, const weir_pipeline *pipeline, const char *run_id, cJSON **ret_report, weir_err *err) {
    making m = {.pipeline = pipeline, .pg_url = pg_url, .objects_dir = objects_dir, .report = cJSON_CreateObject(), .equal = true};
    cJSON *all = cJSON_CreateArray();
    m.training = (weir_training){.pipeline = pipeline, .recipe = &m.recipe, .pg_url = pg_url, .objects_dir = objects_dir, .run_id = run_id};
    weir_status status = m.report && all && cJSON_AddStringToObject(m.report, "run", run_id) ? weir_pg_new(pg_url, &m.pg, err) : no_memory(err);
    if (!status) status = read_run(&m, run_id, err);
    if (!status) status = load_recipe(&m, err);
    const char **own = m.recipe.columns;
    int own_count = m.recipe.column_count;
    if (!status) status = read_window(&m, err);
    if (!status) status = read_versions(&m, all, err);
    if (!status) status = make_all(&m, all, err);
    if (!status && !cJSON_AddBoolToObject(m.report, "equal", m.equal)) status = no_memory(err);
    if (status)
        cJSON_Delete(m.report);
    else
        *ret_report = m.report;
    m.recipe.columns = own;
    m.recipe.column_count = own_count;
    weir_recipe_done(&m.recipe);
    weir_trainset_done(&m.set);
    weir_models_free(m.columns);
    cJSON_Delete(all);
    cJSON_Delete(m.run);
    weir_pg_free(m.pg);
    return status;
}
