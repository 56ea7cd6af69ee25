/* A prediction's row is read as text, column by column, whatever columns it has: rows outlive the pipeline file that they were made under. PostgreSQL prints doubles so that they
 * read back as they were. */
#include "models/why.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "features/offline.h"
#include "models/explain.h"
#include "models/json.h"
#include "models/memory.h"
#include "models/past_model.h"

#define VIEW_PREFIX "views_"
#define VIEW_SUFFIX "_source_partition"
#define INPUT_PREFIX "features_"

typedef struct why {
    weir_pg *pg;
    const weir_pipeline *pipeline;
    const char *objects_dir;
    PGresult *row; /* the prediction's */
    cJSON *out, *version;
    weir_model *model; /* NULL: not there any more */
} why;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to tell about a prediction");
}

weir_status weir_prediction_id_parse(const char *text, weir_prediction_id *ret_id, weir_err *err) {
    const char *second = strrchr(text, '-'), *first = second;
    char *end = NULL, *end_of_partition = NULL;
    while (first && first > text && *--first != '-') {
    }
    size_t len = first && *first == '-' ? (size_t)(first - text) : 0;
    bool digits = len && first[1] >= '0' && first[1] <= '9' && second[1] >= '0' && second[1] <= '9';
    long partition = digits ? strtol(first + 1, &end_of_partition, 10) : 0;
    long long offset = digits ? strtoll(second + 1, &end, 10) : 0;
    if (!digits || len >= sizeof ret_id->pipeline || end_of_partition != second || *end || partition > INT32_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%.100s' is no id of a prediction; expected PIPELINE-PARTITION-OFFSET, such as fraud-3-12345", text);
    static const char of_request[] = "-request"; /* no pipeline's name has a '-' before the last part of an id of an event */
    ret_id->of_request = len > sizeof of_request - 1 && !memcmp(text + len - (sizeof of_request - 1), of_request, sizeof of_request - 1);
    if (ret_id->of_request) len -= sizeof of_request - 1;
    memcpy(ret_id->pipeline, text, len);
    ret_id->pipeline[len] = 0;
    ret_id->partition = (int32_t)partition;
    ret_id->offset = offset;
    return WEIR_OK;
}

/* ---- cells of the row; NULL where the column is not there or null ---- */

static const char *cell_at(const why *w, int column) {
    return column < 0 || PQgetisnull(w->row, 0, column) ? NULL : PQgetvalue(w->row, 0, column);
}

static const char *cell(const why *w, const char *column) {
    char quoted[256];
    snprintf(quoted, sizeof quoted, "\"%.200s\"", column); /* PQfnumber folds what is not quoted */
    return cell_at(w, PQfnumber(w->row, quoted));
}

static double number(const char *text) {
    return text ? strtod(text, NULL) : NAN;
}

static bool add(cJSON *object, const char *name, cJSON *item) {
    if (item && cJSON_AddItemToObject(object, name, item)) return true;
    cJSON_Delete(item);
    return false;
}

static bool add_text(cJSON *object, const char *name, const char *text) {
    return add(object, name, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static bool add_exact(cJSON *object, const char *name, double value) {
    return add(object, name, weir_json_exact(value));
}

/* A count or an offset; below 2^53. */
static bool add_count(cJSON *object, const char *name, const char *text) {
    return add(object, name, text ? cJSON_CreateNumber(strtod(text, NULL)) : cJSON_CreateNull());
}

/* PostgreSQL's "2024-03-01 10:00:00.5+00" as Weir prints times. */
static bool add_time(cJSON *object, const char *name, const char *text) {
    int64_t us;
    char iso[WEIR_TIME_TEXT_MAX];
    weir_err err;
    return add_text(object, name, text && !weir_time_parse(text, &us, &err) ? weir_time_format(us, iso) : text);
}

static bool add_copy(cJSON *object, const char *name, const cJSON *from, const char *member_name) {
    const cJSON *item = weir_json_at(from, member_name);
    return add(object, name, item ? cJSON_Duplicate(item, true) : cJSON_CreateNull());
}

/* ---- the row ---- */

static weir_status find_row(why *w, const char *id, weir_err *err) {
    weir_prediction_id where;
    char sql[400], partition[16], offset[24];
    weir_err none;
    bool there, placed = !weir_prediction_id_parse(id, &where, &none);
    weir_status status = weir_offline_has_table(w->pg, w->pipeline, "predictions", &there, err);
    if (status) return status;
    if (!there) return WEIR_FAIL(err, WEIR_ENOTFOUND, "the offline store has no predictions of pipeline %s yet", w->pipeline->name);
    snprintf(partition, sizeof partition, "%" PRId32, placed ? weir_prediction_id_source(&where) : 0);
    snprintf(offset, sizeof offset, "%" PRId64, placed ? where.offset : 0);
    snprintf(sql, sizeof sql, "SELECT * FROM \"%s\".predictions WHERE %sprediction_id = $3", w->pipeline->name,
             placed ? "source_partition = $1::int4 AND source_offset = $2::int8 AND " : "$1::text IS NOT NULL AND $2::text IS NOT NULL AND ");
    status = weir_pg_exec(w->pg, sql, 3, (const char *const[]){partition, offset, id}, &w->row, err);
    if (!status && !PQntuples(w->row)) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "the offline store has no prediction %s", id);
    return status;
}

/* A version's own threshold, else the pipeline's, as serving takes it; NaN where nothing is decided. */
static double threshold_of(const why *w) {
    const cJSON *own = weir_json_at(weir_json_at(w->version, "signature"), "threshold"),
                *shared = weir_json_at(weir_json_at(w->pipeline->json, "serving"), "threshold");
    if (!cell(w, "decision")) return NAN;
    return cJSON_IsNumber(own) ? own->valuedouble : cJSON_IsNumber(shared) ? shared->valuedouble : 0.5;
}

static bool tell_prediction(why *w) {
    static const char *const texts[] = {"tenant", "entity", "join_id", "request_id", "outcome", "reason", "class", NULL};
    cJSON *p = cJSON_AddObjectToObject(w->out, "prediction");
    const char *decision = cell(w, "decision");
    bool ok = p && add_text(p, "id", cell(w, "prediction_id")) && add_text(p, "pipeline", w->pipeline->name);
    for (int i = 0; ok && texts[i]; i++) ok = add_text(p, texts[i], cell(w, texts[i]));
    return ok && add_time(p, "event_time", cell(w, "event_time")) && add_time(p, "predicted_at", cell(w, "predicted_at")) &&
           add_text(p, "arm", cell(w, "arm")) && add_exact(p, "propensity", number(cell(w, "propensity"))) && add_exact(p, "score", number(cell(w, "score"))) &&
           add(p, "decision", decision ? cJSON_CreateBool(*decision == 't') : cJSON_CreateNull()) && add_exact(p, "threshold", threshold_of(w));
}

static bool tell_source(why *w) {
    cJSON *source = cJSON_AddObjectToObject(w->out, "source");
    const char *partition = cell(w, "source_partition");
    char requests[160], own[16];
    if (!source || !partition || *partition != '-')
        return source && add_text(source, "topic", w->pipeline->events.topic) && add_count(source, "partition", partition) &&
               add_count(source, "offset", cell(w, "source_offset"));
    snprintf(requests, sizeof requests, "%.128s.requests", w->pipeline->name);
    snprintf(own, sizeof own, "%d", -1 - atoi(partition));
    return add_text(source, "topic", requests) && add_count(source, "partition", own) && add_count(source, "offset", cell(w, "source_offset"));
}

/* ---- views ---- */

static const char *topic_of_view(const why *w, const char *name) {
    const weir_view_def *view = weir_pipeline_view(w->pipeline, name);
    if (!view) return NULL;
    return view->from == WEIR_FROM_LABELS ? w->pipeline->labels.topic : w->pipeline->events.topic;
}

static bool tell_view(why *w, cJSON *views, const char *name) {
    char column[160];
    const char *value[5];
    static const char *const what[] = {"source_partition", "source_offset", "version", "event_time", "age_seconds"};
    for (int i = 0; i < 5; i++) {
        snprintf(column, sizeof column, VIEW_PREFIX "%s_%s", name, what[i]);
        value[i] = cell(w, column);
    }
    cJSON *view = cJSON_CreateObject();
    bool ok = view && add_text(view, "view", name) && add(view, "found", cJSON_CreateBool(value[0] != NULL)) &&
              add_text(view, "topic", topic_of_view(w, name)) && add_count(view, "partition", value[0]) && add_count(view, "offset", value[1]) &&
              add_count(view, "version", value[2]) && add_time(view, "event_time", value[3]) && add_exact(view, "age_seconds", number(value[4]));
    if (!ok) cJSON_Delete(view);
    return ok && cJSON_AddItemToArray(views, view);
}

static bool tell_views(why *w) {
    cJSON *views = cJSON_AddArrayToObject(w->out, "views");
    bool ok = views != NULL;
    for (int i = 0; ok && i < PQnfields(w->row); i++) {
        const char *name = PQfname(w->row, i);
        size_t len = strlen(name), around = strlen(VIEW_PREFIX VIEW_SUFFIX);
        if (len <= around || strncmp(name, VIEW_PREFIX, strlen(VIEW_PREFIX)) != 0 || strcmp(name + len - strlen(VIEW_SUFFIX), VIEW_SUFFIX) != 0) continue;
        char view[80];
        snprintf(view, sizeof view, "%.*s", (int)(len - around), name + strlen(VIEW_PREFIX));
        ok = tell_view(w, views, view);
    }
    return ok;
}

/* ---- inputs ---- */

/* Column of the table that holds an input of this name; −1 when the row has none. */
static int column_of_input(const why *w, const char *input) {
    char name[200];
    int n = snprintf(name, sizeof name, "\"" INPUT_PREFIX "%s\"", input);
    if (n >= (int)sizeof name) return -1;
    for (char *p = name; *p; p++) *p = *p == '.' ? '_' : *p;
    return PQfnumber(w->row, name);
}

/* "event", or the view that a feature is of; NULL: the pipeline file of today does not say. */
static const char *origin_of(const why *w, const char *input, int *ret_view) {
    *ret_view = -1;
    for (int v = 0; v < w->pipeline->view_count; v++)
        for (int f = 0; f < w->pipeline->views[v].feature_count; f++)
            if (!strcmp(w->pipeline->views[v].features[f].name, input)) {
                *ret_view = v;
                return w->pipeline->views[v].name;
            }
    return weir_schema_find(w->pipeline->events.schema, input) >= 0 ? "event" : NULL;
}

static double age_of(const why *w, const char *origin, int view) {
    char column[160];
    if (view < 0) return origin ? 0 : NAN;
    snprintf(column, sizeof column, VIEW_PREFIX "%s_age_seconds", w->pipeline->views[view].name);
    return number(cell(w, column));
}

static bool tell_input(why *w, cJSON *inputs, const char *name, int column, double contribution) {
    int view;
    const char *origin = origin_of(w, name, &view);
    cJSON *input = cJSON_CreateObject();
    bool ok = input && add_text(input, "name", name) && add_exact(input, "value", number(cell_at(w, column))) && add_text(input, "from", origin) &&
              add_exact(input, "age_seconds", age_of(w, origin, view)) && add_exact(input, "contribution", contribution);
    if (!ok) cJSON_Delete(input);
    return ok && cJSON_AddItemToArray(inputs, input);
}

/* Without the model: what the record has, by the names of the table. */
static bool tell_recorded(why *w, cJSON *inputs) {
    bool ok = true;
    for (int i = 0; ok && i < PQnfields(w->row); i++)
        if (!strncmp(PQfname(w->row, i), INPUT_PREFIX, strlen(INPUT_PREFIX))) ok = tell_input(w, inputs, PQfname(w->row, i) + strlen(INPUT_PREFIX), i, NAN);
    return ok;
}

typedef struct ranked {
    int column; /* of the model */
    double size;
} ranked;

static int by_size(const void *left, const void *right) {
    const ranked *a = left, *b = right;
    if (a->size != b->size) return a->size > b->size ? -1 : 1;
    return a->column - b->column;
}

/* What the contributions add up to, in words: some models' sum is the score, others' is on another scale. */
static const char *unit_of(double sum, double score) {
    if (fabs(sum - score) <= 1e-5 * (1 + fabs(score))) return "score";
    if (fabs(1 / (1 + exp(-sum)) - score) <= 1e-5) return "log odds";
    return fabs(exp(sum) - score) <= 1e-5 * (1 + fabs(score)) ? "logarithm" : "margin";
}

static bool tell_explanation(cJSON *explanation, const double *contributions, int count, double score) {
    double sum = contributions[count];
    for (int c = 0; c < count; c++) sum += contributions[c];
    return add_exact(explanation, "base", contributions[count]) && add_exact(explanation, "sum", sum) && add_text(explanation, "unit", unit_of(sum, score));
}

/* contributions [columns + 1], all NaN where there are none. */
static bool tell_ranked(why *w, cJSON *inputs, const double *contributions, int count, ranked *order) {
    bool ok = true;
    for (int c = 0; c < count; c++) order[c] = (ranked){c, isnan(contributions[c]) ? 0 : fabs(contributions[c])};
    qsort(order, (size_t)count, sizeof *order, by_size);
    for (int i = 0; ok && i < count; i++) {
        const char *name = weir_model_columns(w->model)[order[i].column];
        ok = tell_input(w, inputs, name, column_of_input(w, name), contributions[order[i].column]);
    }
    return ok;
}

static weir_status explain_with_model(why *w, cJSON *inputs, cJSON *explanation, weir_err *err) {
    int count = weir_model_column_count(w->model);
    double *row = weir_models_calloc(2 * (size_t)count + 1, sizeof *row), *contributions = row ? row + count : NULL, score = NAN, again = NAN;
    ranked *order = weir_models_calloc((size_t)count, sizeof *order);
    weir_err why_not = {0};
    weir_status status = row && order ? WEIR_OK : no_memory(err);
    for (int c = 0; !status && c < count; c++) row[c] = number(cell_at(w, column_of_input(w, weir_model_columns(w->model)[c])));
    if (!status) {
        score = number(cell(w, "score"));
        weir_status failed = weir_model_check_single_output(w->model, &why_not);
        if (!failed) failed = weir_model_predict(w->model, row, 1, &again, &why_not);
        if (!failed) failed = weir_explain_row(w->model, row, contributions, &why_not);
        for (int c = 0; failed && c <= count; c++) contributions[c] = NAN;
        bool ok = failed ? add_text(explanation, "none", why_not.message) : tell_explanation(explanation, contributions, count, score);
        ok = ok && tell_ranked(w, inputs, contributions, count, order) && add(w->out, "reproduced", cJSON_CreateBool(!memcmp(&again, &score, sizeof score)));
        if (!ok) status = no_memory(err);
    }
    weir_models_free(row);
    weir_models_free(order);
    return status;
}

/* ---- the model and its training ---- */

static weir_status load_model(why *w, weir_err *why_not, weir_err *err) {
    const char *name = cell(w, "model"), *version = cell(w, "version");
    weir_status status = weir_past_version(w->pg, w->pipeline->name, name ? name : "", version ? atoi(version) : 0, cell(w, "digest"), &w->version, err);
    *why_not = (weir_err){0};
    if (!status && weir_past_model(w->objects_dir, w->version, &w->model, why_not)) w->model = NULL;
    return status;
}

static bool tell_model(why *w, const weir_err *why_not) {
    static const char *const members[] = {"semver", "algorithm", "created_at", "deleted_at", "artifact_path", NULL};
    cJSON *model = cJSON_AddObjectToObject(w->out, "model");
    const char *hash = cell(w, "feature_hash");
    bool ok = model && add_text(model, "name", cell(w, "model")) && add_count(model, "version", cell(w, "version")) &&
              add_text(model, "digest", cell(w, "digest")) && add_text(model, "feature_hash", hash) &&
              add(model, "same_definitions", cJSON_CreateBool(hash && !strcmp(hash, w->pipeline->feature_hash)));
    for (int i = 0; ok && members[i]; i++) ok = add_copy(model, members[i], w->version, members[i]);
    return ok && add_text(model, "artifact", w->model ? "loaded" : why_not->message);
}

static bool tell_training(why *w) {
    const cJSON *lineage = weir_json_at(w->version, "lineage"), *run = weir_json_at(w->version, "run"), *dataset = weir_json_at(lineage, "dataset");
    if (!cJSON_IsObject(w->version)) return cJSON_AddNullToObject(w->out, "training") != NULL;
    cJSON *t = cJSON_AddObjectToObject(w->out, "training");
    return t && add_copy(t, "run_id", w->version, "run_id") && add_copy(t, "run_status", run, "status") && add_copy(t, "started_at", run, "started_at") &&
           add_copy(t, "request", run, "request") && add_copy(t, "code_version", lineage, "code_version") && add_copy(t, "query", dataset, "query") &&
           add_copy(t, "dataset_digest", w->version, "dataset_digest") && add_copy(t, "rows", dataset, "rows") && add_copy(t, "window", lineage, "window") &&
           add_copy(t, "seed", lineage, "seed") && add_copy(t, "params", lineage, "params") && add_copy(t, "spec", lineage, "spec");
}

/* ---- the label ---- */

static weir_status tell_label(why *w, weir_err *err) {
    const weir_pipeline *p = w->pipeline;
    const char *join = cell(w, "join_id"), *tenant = cell(w, "tenant"), *time = cell(w, "event_time");
    char sql[900], delay[32];
    bool there = false;
    PGresult *result = NULL;
    weir_status status = p->labels.topic && p->label_column >= 0 && join ? weir_offline_has_table(w->pg, p, "labels", &there, err) : WEIR_OK;
    if (status || !there) return status ? status : cJSON_AddNullToObject(w->out, "label") ? WEIR_OK : no_memory(err);
    char column[64], id[64];
    snprintf(column, sizeof column, "%s", weir_schema_field_at(p->labels.schema, p->label_column)->name);
    snprintf(id, sizeof id, "%s", weir_schema_field_at(p->labels.schema, p->label_join[1])->name);
    for (char *c = column; *c; c++) *c = *c == '.' ? '_' : *c;
    for (char *c = id; *c; c++) *c = *c == '.' ? '_' : *c;
    snprintf(delay, sizeof delay, "%" PRId64 " microseconds", p->max_delay_us);
    snprintf(sql, sizeof sql,
             "SELECT \"%s\"::text, available_time FROM \"%s\".labels WHERE tenant = $1 AND \"%s\"::text = $2 AND event_time BETWEEN $3::timestamptz AND "
             "$3::timestamptz + $4::interval ORDER BY available_time DESC, source_partition DESC, source_offset DESC LIMIT 1",
             column, p->name, id);
    status = weir_pg_exec(w->pg, sql, 4, (const char *const[]){tenant, join, time, delay}, &result, err);
    if (status) return status;
    bool known = PQntuples(result) && !PQgetisnull(result, 0, 0);
    cJSON *label = known ? cJSON_AddObjectToObject(w->out, "label") : cJSON_AddNullToObject(w->out, "label");
    bool ok = label && (!known || (add_text(label, "value", PQgetvalue(result, 0, 0)) && add_time(label, "available_time", PQgetvalue(result, 0, 1))));
    PQclear(result);
    return ok ? WEIR_OK : no_memory(err);
}

static weir_status tell_inputs(why *w, weir_err *err) {
    cJSON *inputs = cJSON_AddArrayToObject(w->out, "inputs"), *explanation = cJSON_AddObjectToObject(w->out, "explanation");
    if (!inputs || !explanation) return no_memory(err);
    if (w->model) return explain_with_model(w, inputs, explanation, err);
    bool ok = tell_recorded(w, inputs) && add_text(explanation, "none", "the model is not there any more") && cJSON_AddNullToObject(w->out, "reproduced");
    return ok ? WEIR_OK : no_memory(err);
}

static weir_status tell_all(why *w, const char *id, weir_err *err) {
    weir_err why_not;
    weir_status status =
        weir_pg_script(w->pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL TIME ZONE 'UTC'; SET LOCAL DateStyle TO ISO", err);
    if (!status) status = find_row(w, id, err);
    if (!status) status = load_model(w, &why_not, err);
    if (!status && !(tell_prediction(w) && tell_source(w) && tell_views(w))) status = no_memory(err);
    if (!status) status = tell_inputs(w, err);
    if (!status && !(tell_model(w, &why_not) && tell_training(w))) status = no_memory(err);
    return status ? status : tell_label(w, err);
}

weir_status weir_why(weir_pg *pg, const weir_pipeline *pipeline, const char *objects_dir, const char *prediction_id, cJSON **ret_why, weir_err *err) {
    why w = {.pg = pg, .pipeline = pipeline, .objects_dir = objects_dir, .out = cJSON_CreateObject()};
    weir_status status = w.out ? weir_pg_begin(pg, err) : no_memory(err);
    if (!status) {
        status = tell_all(&w, prediction_id, err);
        weir_pg_rollback(pg); /* it only read */
    }
    if (status)
        cJSON_Delete(w.out);
    else
        *ret_why = w.out;
    PQclear(w.row);
    cJSON_Delete(w.version);
    weir_model_free(w.model);
    return status;
}
