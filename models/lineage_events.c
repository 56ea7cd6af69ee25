/* Run events of OpenLineage. Sources: openlineage.io, "Spec" 2-0-2 and the facets named below; dataset names as its "Naming Conventions" has them for Kafka topics. */
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "models/lineage.h"
#include "models/model.h"
#include "models/pg_json.h"

enum { NAME_MAX_LEN = 300, UUID_LEN = 36 };
#define PRODUCER "urn:weir:" WEIR_VERSION
#define SCHEMA_URL "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
#define FACET_URL(version, name) "https://openlineage.io/spec/facets/" version "/" name ".json#/$defs/" name

typedef struct telling {
    const weir_pipeline *pipeline;
    char topics[NAME_MAX_LEN]; /* namespace of topics */
    cJSON *events;
    bool failed; /* memory ran out */
} telling;

/* RFC 9562 version 8: of a name's SHA-256, so that the same run has the same UUID wherever and whenever it is told. */
static void make_uuid(const char *name, char uuid[UUID_LEN + 1]) {
    char hex[65];
    weir_sha256_hex(name, strlen(name), hex);
    hex[12] = '8';
    hex[16] = "89ab"[(hex[16] <= '9' ? hex[16] - '0' : hex[16] - 'a' + 10) & 3];
    snprintf(uuid, UUID_LEN + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* ---- pieces; each is NULL-safe, and t->failed says whether all of them came to be ---- */

static cJSON *put(telling *t, cJSON *object, const char *name, cJSON *item) {
    if (object && item && (name ? cJSON_AddItemToObject(object, name, item) : cJSON_AddItemToArray(object, item))) return item;
    cJSON_Delete(item);
    t->failed = true;
    return NULL;
}

static void put_text(telling *t, cJSON *object, const char *name, const char *text) {
    (void)put(t, object, name, cJSON_CreateString(text));
}

static void put_copy(telling *t, cJSON *object, const char *name, const cJSON *item) {
    if (item) (void)put(t, object, name, cJSON_Duplicate(item, true));
}

static cJSON *put_object(telling *t, cJSON *object, const char *name) {
    return put(t, object, name, cJSON_CreateObject());
}

static cJSON *put_facet(telling *t, cJSON *facets, const char *name, const char *schema_url) {
    cJSON *facet = put_object(t, facets, name);
    put_text(t, facet, "_producer", PRODUCER);
    put_text(t, facet, "_schemaURL", schema_url);
    return facet;
}

/* A dataset in an array, with its facets. */
static cJSON *put_dataset(telling *t, cJSON *list, const char *namespace_name, const char *name, const char *version) {
    cJSON *dataset = put_object(t, list, NULL);
    put_text(t, dataset, "namespace", namespace_name);
    put_text(t, dataset, "name", name);
    cJSON *facets = put_object(t, dataset, "facets");
    if (version && *version) put_text(t, put_facet(t, facets, "version", FACET_URL("1-0-1", "DatasetVersionDatasetFacet")), "datasetVersion", version);
    return dataset;
}

static void put_schema(telling *t, cJSON *dataset, const weir_schema *schema) {
    static const char *const types[] = {
        [WEIR_T_BOOL] = "boolean", [WEIR_T_I64] = "long", [WEIR_T_F64] = "double", [WEIR_T_STR] = "string", [WEIR_T_BYTES] = "bytes"};
    cJSON *facet = put_facet(t, cJSON_GetObjectItemCaseSensitive(dataset, "facets"), "schema", FACET_URL("1-2-0", "SchemaDatasetFacet"));
    cJSON *fields = put(t, facet, "fields", cJSON_CreateArray());
    for (int i = 0; i < weir_schema_field_count(schema); i++) {
        const weir_schema_field *f = weir_schema_field_at(schema, i);
        cJSON *field = put_object(t, fields, NULL);
        put_text(t, field, "name", f->name);
        put_text(t, field, "type", f->is_timestamp ? "timestamp" : types[f->type] ? types[f->type] : "null");
    }
}

static cJSON *start_event(telling *t, const char *type, const char *at, const char *run, const char *job) {
    char uuid[UUID_LEN + 1];
    cJSON *event = cJSON_CreateObject();
    make_uuid(run, uuid);
    if (!event) t->failed = true;
    put_text(t, event, "eventType", type);
    put_text(t, event, "eventTime", at);
    put_text(t, event, "producer", PRODUCER);
    put_text(t, event, "schemaURL", SCHEMA_URL);
    cJSON *about = put_object(t, event, "run");
    put_text(t, about, "runId", uuid);
    cJSON *engine = put_facet(t, put_object(t, about, "facets"), "processing_engine", FACET_URL("1-1-1", "ProcessingEngineRunFacet"));
    put_text(t, engine, "name", "weir");
    put_text(t, engine, "version", WEIR_VERSION);
    cJSON *what = put_object(t, event, "job");
    put_text(t, what, "namespace", "weir");
    put_text(t, what, "name", job);
    cJSON *kind = put_facet(t, put_object(t, what, "facets"), "jobType", FACET_URL("2-0-4", "JobTypeJobFacet"));
    put_text(t, kind, "processingType", "BATCH");
    put_text(t, kind, "integration", "WEIR");
    put_text(t, kind, "jobType", "JOB");
    return event;
}

/* Takes the event. */
static void end_event(telling *t, cJSON *event, const char *run, const char *job) {
    char id[NAME_MAX_LEN];
    cJSON *told = put_object(t, t->events, NULL);
    snprintf(id, sizeof id, "%s-%s", run, weir_json_text(event, "eventType"));
    put_text(t, told, "id", id);
    put_text(t, told, "run_id", run);
    put_text(t, told, "job", job);
    put_text(t, told, "at", weir_json_text(event, "eventTime"));
    (void)put(t, told, "event", event);
}

/* ---- training ---- */

static void put_training_inputs(telling *t, cJSON *event, const cJSON *detail) {
    const weir_pipeline *p = t->pipeline;
    const cJSON *dataset = weir_json_at(detail, "dataset");
    char name[NAME_MAX_LEN];
    cJSON *inputs = put(t, event, "inputs", cJSON_CreateArray());
    put_schema(t, put_dataset(t, inputs, t->topics, p->events.topic, NULL), p->events.schema);
    if (p->labels.topic) put_schema(t, put_dataset(t, inputs, t->topics, p->labels.topic, NULL), p->labels.schema);
    if (!cJSON_IsObject(dataset)) return;
    snprintf(name, sizeof name, "%s.training_set", p->name);
    cJSON *set = put_dataset(t, inputs, "weir", name, weir_json_text(dataset, "digest"));
    cJSON *metrics = put_facet(t, put_object(t, set, "inputFacets"), "dataQualityMetrics", FACET_URL("1-0-3", "DataQualityMetricsInputDatasetFacet"));
    put_copy(t, metrics, "rowCount", weir_json_at(dataset, "rows"));
    (void)put_object(t, metrics, "columnMetrics");
    cJSON *query = put_facet(t, cJSON_GetObjectItemCaseSensitive(set, "facets"), "weir_trainingSet", "urn:weir:facet:trainingSet");
    put_copy(t, query, "query", weir_json_at(dataset, "query"));
    put_copy(t, query, "digest", weir_json_at(dataset, "digest"));
    put_copy(t, query, "window", weir_json_at(detail, "window"));
}

static void put_training_outputs(telling *t, cJSON *event, const cJSON *detail) {
    char name[NAME_MAX_LEN];
    cJSON *outputs = put(t, event, "outputs", cJSON_CreateArray());
    const cJSON *version;
    cJSON_ArrayForEach(version, weir_json_at(detail, "versions")) {
        snprintf(name, sizeof name, "%s.%s", t->pipeline->name, weir_json_text(version, "name"));
        cJSON *model = put_dataset(t, outputs, "weir", name, weir_json_text(version, "digest"));
        cJSON *facet = put_facet(t, cJSON_GetObjectItemCaseSensitive(model, "facets"), "weir_model", "urn:weir:facet:model");
        put_copy(t, facet, "version", weir_json_at(version, "version"));
        put_copy(t, facet, "algorithm", weir_json_at(version, "algorithm"));
        put_copy(t, facet, "digest", weir_json_at(version, "digest"));
        put_copy(t, facet, "metrics", weir_json_at(version, "metrics"));
    }
}

static void tell_run(telling *t, const cJSON *run) {
    char job[NAME_MAX_LEN];
    const cJSON *detail = weir_json_at(run, "detail");
    const char *id = weir_json_text(run, "id"), *ended = weir_json_text(run, "ended_at");
    snprintf(job, sizeof job, "%s.train", t->pipeline->name);
    cJSON *event = start_event(t, "START", weir_json_text(run, "started_at"), id, job);
    put_training_inputs(t, event, detail);
    (void)put(t, event, "outputs", cJSON_CreateArray());
    end_event(t, event, id, job);
    if (!*ended) return;
    const char *run_status = weir_json_text(run, "status");
    event = start_event(t, !strcmp(run_status, "failed") ? "FAIL" : !strcmp(run_status, "cancelled") ? "ABORT" : "COMPLETE", ended, id, job);
    cJSON *facets = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(event, "run"), "facets");
    cJSON *facet = put_facet(t, facets, "weir_run", "urn:weir:facet:run");
    put_text(t, facet, "run_id", id);
    put_copy(t, facet, "request", weir_json_at(run, "request"));
    put_copy(t, facet, "code_version", weir_json_at(run, "code_version"));
    if (!strcmp(run_status, "failed")) {
        const char *why = *weir_json_text(detail, "error") ? weir_json_text(detail, "error") : weir_json_text(detail, "message");
        cJSON *error = put_facet(t, facets, "errorMessage", FACET_URL("1-0-1", "ErrorMessageRunFacet"));
        put_text(t, error, "message", *why ? why : "the run failed");
        put_text(t, error, "programmingLanguage", "C");
    }
    put_training_inputs(t, event, detail);
    put_training_outputs(t, event, detail);
    end_event(t, event, id, job);
}

/* ---- deployments ---- */

static void tell_move(telling *t, const cJSON *move) {
    static const char *const types[] = {"START", "COMPLETE"};
    char job[NAME_MAX_LEN], id[NAME_MAX_LEN], name[NAME_MAX_LEN];
    snprintf(job, sizeof job, "%s.deploy.%s", t->pipeline->name, weir_json_text(move, "alias"));
    snprintf(id, sizeof id, "%s-%s-%.0f", t->pipeline->name, weir_json_text(move, "alias"), cJSON_GetNumberValue(weir_json_at(move, "id")));
    for (int i = 0; i < 2; i++) {
        cJSON *event = start_event(t, types[i], weir_json_text(move, "moved_at"), id, job);
        cJSON *facet = put_facet(t, cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(event, "run"), "facets"), "weir_deployment",
                                 "urn:weir:facet:deployment");
        put_copy(t, facet, "move", move);
        cJSON *inputs = put(t, event, "inputs", cJSON_CreateArray()), *outputs = put(t, event, "outputs", cJSON_CreateArray());
        if (*weir_json_text(move, "to_model")) {
            snprintf(name, sizeof name, "%s.%s", t->pipeline->name, weir_json_text(move, "to_model"));
            (void)put_dataset(t, inputs, "weir", name, weir_json_text(move, "digest"));
        }
        snprintf(name, sizeof name, "%s.%s", t->pipeline->name, weir_json_text(move, "alias"));
        (void)put_dataset(t, outputs, "weir", name, weir_json_text(move, "digest"));
        end_event(t, event, id, job);
    }
}

/* ---- all ---- */

static weir_status read_and_tell(telling *t, weir_pg *pg, const char *run_id, weir_err *err) {
    cJSON *runs = NULL, *moves = NULL;
    const cJSON *item;
    const char *const params[] = {t->pipeline->name, run_id};
    weir_status status = weir_pg_query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('id', id, 'status', status, 'request', request, 'detail', detail, 'code_version', code_version, "
        "'started_at', " WEIR_PG_TIME("started_at") ", 'ended_at', " WEIR_PG_TIME(
            "ended_at") ") ORDER BY started_at, id), '[]') FROM weir.runs WHERE pipeline = $1 AND ($2::text IS NULL OR id = $2)",
        2, params, &runs, err);
    if (!status && !run_id)
        status = weir_pg_query_json(pg,
                                    "SELECT coalesce(json_agg(json_build_object('id', h.id, 'alias', h.alias, 'from_model', h.from_model, 'from_version', "
                                    "h.from_version, 'to_model', h.to_model, "
                                    "'to_version', h.to_version, 'digest', v.digest, 'actor', h.actor, 'reason', h.reason, 'moved_at', " WEIR_PG_TIME(
                                        "h.moved_at") ") ORDER BY h.id), '[]') FROM weir.alias_history h LEFT JOIN weir.model_versions v ON v.pipeline = "
                                                      "h.pipeline AND v.model = h.to_model AND "
                                                      "v.version = h.to_version WHERE h.pipeline = $1",
                                    1, params, &moves, err);
    if (!status) {
        cJSON_ArrayForEach(item, runs) tell_run(t, item);
        cJSON_ArrayForEach(item, moves) tell_move(t, item);
    }
    cJSON_Delete(runs);
    cJSON_Delete(moves);
    return status;
}

weir_status weir_lineage_events(weir_pg *pg, const weir_pipeline *pipeline, const char *brokers, const char *run_id, cJSON **ret_events, weir_err *err) {
    telling t = {.pipeline = pipeline, .events = cJSON_CreateArray()};
    snprintf(t.topics, sizeof t.topics, "kafka://%.*s", (int)strcspn(brokers, ","), brokers);
    weir_status status = t.events ? read_and_tell(&t, pg, run_id, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the lineage");
    if (!status && t.failed) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the lineage");
    if (status)
        cJSON_Delete(t.events);
    else
        *ret_events = t.events;
    return status;
}
