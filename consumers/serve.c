/* serve: predictions, features and pushes over HTTP.
 *
 *   GET  /v2  /v2/health/live  /v2/health/ready  /v2/models/M[/versions/V][/ready]      Open Inference Protocol v2; V: a number or an alias
 *   POST /v2/models/M[/versions/V]/infer                                               M: a served model, or the pipeline for the arm that each entity gets
 *   POST /v2/repository/index                                                          what is served
 *   POST /get-online-features  /push  /write-to-online-store                           Feast's feature server
 *
 * Requests run on the HTTP server's threads; each has its own reader of the replica. This worker's own thread only watches over the serving state. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kinds.h"
#include "consumers/serve_openapi.h"
#include "consumers/serve_parts.h"
#include "core/log.h"

#define TOKENS_EVERY_US (5 * WEIR_SECOND_US)
enum { TICK_MS = 1000, ARENA_BYTES_MAX = 256 << 20, READY_POLL_US = 20000 };

static const char *const endpoint_names[ENDPOINT_COUNT] = {"health", "metadata", "infer", "features", "push"};
static const char *const outcome_names[OUTCOME_COUNT] = {"2xx", "4xx", "5xx"};

weir_status serve_no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for this request");
}

/* ---- threads ---- */

static void free_thread(serve_thread *thread) {
    weir_serving_reader_free(thread->reader);
    for (int f = 0; f < SERVE_FEEDS; f++) weir_serde_free(thread->serdes[f]);
    weir_arena_done(&thread->arena);
    weir_buf_done(&thread->buf);
    free(thread);
}

static weir_status new_thread(serve *s, serve_thread **ret_thread, weir_err *err) {
    serve_thread *thread = weir_mem.realloc(NULL, sizeof *thread);
    if (!thread) return serve_no_memory(err);
    *thread = (serve_thread){0};
    weir_arena_init(&thread->arena, ARENA_BYTES_MAX);
    weir_status status = weir_serving_reader_new(s->serving, &thread->reader, err);
    if (status) {
        free_thread(thread);
        return status;
    }
    pthread_mutex_lock(&s->threads_lock);
    thread->next = s->threads;
    s->threads = thread;
    pthread_mutex_unlock(&s->threads_lock);
    *ret_thread = thread;
    return WEIR_OK;
}

/* The calling thread's own, remembered by the thread itself: a worker that was made anew, perhaps at the same address, has another id. */
static weir_status take_thread(serve *s, serve_thread **ret_thread, weir_err *err) {
    static _Thread_local struct {
        uint64_t serve_id;
        serve_thread *thread;
    } own;
    if (own.serve_id != s->id) {
        weir_status status = new_thread(s, &own.thread, err);
        own.serve_id = status ? 0 : s->id;
        if (status) return status;
    }
    weir_arena_reset(&own.thread->arena);
    *ret_thread = own.thread;
    return WEIR_OK;
}

/* ---- who may what ---- */

static const weir_grant everything = {.tenant = WEIR_EVERY_TENANT, .access = WEIR_ACCESS_WRITE};

/* *ret_grant may be NULL. 401 says that a token is missing or not valid, 403 that it is valid and not enough. */
static weir_status authorise(const serve *s, const weir_http_request *request, weir_access access, weir_http_response *response, weir_grant *ret_grant,
                             weir_err *err) {
    weir_grant grant = everything;
    weir_status status = s->tokens ? weir_tokens_check(s->tokens, weir_http_header(request, "authorization"), &grant, err) : WEIR_OK;
    if (status) {
        response->status = 401;
        return status;
    }
    if (access > grant.access) return WEIR_REJECT(err, WEIR_EDENIED, "this token may read; to push, a token with write access is needed");
    if (ret_grant) *ret_grant = grant;
    return WEIR_OK;
}

weir_status serve_own_rows(const weir_grant *grant, const weir_json_table *table, const weir_feed_def *feed, weir_datum *rows, weir_err *err) {
    if (!strcmp(grant->tenant, WEIR_EVERY_TENANT)) return WEIR_OK;
    size_t columns = (size_t)weir_schema_field_count(feed->schema);
    if (feed->tenant_index < 0) {
        const char *constant = feed->tenant ? feed->tenant : "default";
        return strcmp(constant, grant->tenant)
                   ? WEIR_REJECT(err, WEIR_EDENIED, "this token is for tenant \"%s\", the pipeline belongs to another", grant->tenant)
                   : WEIR_OK;
    }
    const char *name = weir_schema_field_at(feed->schema, feed->tenant_index)->name;
    bool given = false;
    for (int c = 0; c < table->column_count; c++) given |= !strcmp(table->columns[c].name, name);
    for (int row = 0; row < table->row_count; row++) {
        weir_datum *tenant = &rows[(size_t)row * columns + (size_t)feed->tenant_index];
        if (given && (tenant->type != WEIR_T_STR || tenant->len != strlen(grant->tenant) || memcmp(tenant->p, grant->tenant, tenant->len)))
            return WEIR_REJECT(err, WEIR_EDENIED, "row %d: this token is for tenant \"%s\" only", row, grant->tenant);
        *tenant = weir_text(grant->tenant);
    }
    return WEIR_OK;
}

/* ---- answers ---- */

static int http_status(const weir_err *err) {
    switch (err->code) {
    case WEIR_EINVAL:
    case WEIR_EDATA:
    case WEIR_ENUMERIC:
    case WEIR_ELIMIT: return 400;
    case WEIR_ENOTFOUND: return 404;
    case WEIR_EDENIED: return 403;
    case WEIR_ENET:
    case WEIR_ETIMEOUT:
    case WEIR_ENOMEM: return 503;
    default: return 500;
    }
}

static void finish(serve *s, serve_endpoint endpoint, int64_t began_us, weir_status status, const weir_err *err, weir_http_response *response) {
    if (status) {
        weir_buf_clear(&response->body);
        weir_http_error(response, response->status == 401 || response->status == 405 ? response->status : http_status(err), "%s", err->message);
        if (response->status == 405) weir_http_add_header(response, "Allow", "%s", endpoint == ENDPOINT_INFER ? "GET, HEAD" : "POST");
        if (response->status >= 500) weir_log_err(WEIR_LOG_WARN, "a request could not be answered", err);
    }
    int outcome = response->status >= 500 ? 2 : response->status >= 400 ? 1 : 0;
    weir_metric_add(s->requests[endpoint][outcome], 1);
    weir_metric_observe(s->seconds[endpoint], (double)(weir_clock_mono_us(s->env->clock) - began_us) / 1e6);
}

static weir_status written(bool ok, weir_err *err) {
    return ok ? WEIR_OK : serve_no_memory(err);
}

/* ---- health and metadata ---- */

static bool is_ready(serve *s, const weir_arms *arms) {
    weir_err err;
    return !weir_worker_stopping(s->worker) && weir_serving_ready(s->serving) && !weir_serving_check(s->serving, &err) && arms->champion;
}

static weir_status answer_health(serve *s, const char *path, weir_http_response *response, weir_err *err) {
    if (!strcmp(path, "/v2/health/live")) return written(weir_buf_printf(&response->body, "{\"live\":true}"), err);
    weir_arms *arms = weir_serving_arms(s->serving);
    bool ready = is_ready(s, arms);
    weir_arms_drop(arms);
    response->status = ready ? 200 : 503;
    return written(weir_buf_printf(&response->body, "{\"ready\":%s}", ready ? "true" : "false"), err);
}

static void on_health(const weir_http_request *request, weir_http_response *response, void *context) {
    serve *s = context;
    weir_err err;
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    weir_status status = answer_health(s, request->path, response, &err);
    finish(s, ENDPOINT_HEALTH, began_us, status, &err, response);
}

static void on_server(const weir_http_request *request, weir_http_response *response, void *context) {
    serve *s = context;
    weir_err err;
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    weir_status status = authorise(s, request, WEIR_ACCESS_READ, response, NULL, &err);
    if (!status)
        status =
            written(weir_buf_printf(&response->body, "{\"name\":\"weir\",\"version\":\"%s\",\"extensions\":[\"binary_tensor_data\"]}", WEIR_VERSION), &err);
    finish(s, ENDPOINT_METADATA, began_us, status, &err, response);
}

/* Without its closing brace. */
static bool open_tensor(weir_buf *out, bool first, const char *name, const char *datatype) {
    return weir_buf_printf(out, "%s{\"name\":", first ? "" : ",") && weir_json_put_text(out, name) &&
           weir_buf_printf(out, ",\"datatype\":\"%s\",\"shape\":[-1]", datatype);
}

static bool put_tensor(weir_buf *out, bool first, const char *name, const char *datatype) {
    return open_tensor(out, first, name, datatype) && weir_buf_append(out, "}", 1);
}

/* What the rows that the model was fitted on held in that input, as far as its signature says. */
static bool put_range(const weir_input_range *range, weir_buf *out) {
    const char *const names[] = {"min", "max", "missing"};
    const double values[] = {range->min, range->max, range->missing};
    bool ok = true, any = false;
    for (int i = 0; ok && i < 3; i++) {
        if (!isfinite(values[i])) continue;
        ok = weir_buf_printf(out, "%s\"%s\":", any ? "," : ",\"parameters\":{", names[i]) &&
             weir_json_put(out, &(weir_datum){.type = WEIR_T_F64, .f = values[i]});
        any = true;
    }
    return ok && (!any || weir_buf_append(out, "}", 1));
}

static bool put_model_inputs(const weir_served *served, weir_buf *out) {
    bool ok = true;
    for (int c = 0; ok && c < weir_model_column_count(served->model); c++)
        ok = open_tensor(out, !c, weir_model_columns(served->model)[c], "FP64") && (!served->ranges || put_range(&served->ranges[c], out)) &&
             weir_buf_append(out, "}", 1);
    return ok;
}

/* What the columns of a score are, where there are several. */
static bool put_score_columns(const weir_model *model, weir_buf *out) {
    const char *const *targets = weir_model_target_names(model), *const *names = targets ? targets : weir_model_class_names(model);
    int count = weir_model_output_count(model);
    bool ok =
        weir_buf_printf(out, "{\"name\":\"score\",\"datatype\":\"FP64\",\"shape\":[-1,%d],\"parameters\":{\"%s\":[", count, targets ? "targets" : "classes");
    for (int i = 0; ok && i < count; i++) {
        ok = !i || weir_buf_append(out, ",", 1);
        ok = ok && (names ? weir_json_put_text(out, names[i]) : weir_buf_printf(out, "\"%d\"", i));
    }
    return ok && weir_buf_printf(out, "]}}");
}

static bool put_outputs(const weir_served *served, weir_buf *out) {
    if (weir_model_output_count(served->model) == 1)
        return put_tensor(out, true, "score", "FP64") && (isnan(served->threshold) || put_tensor(out, false, "decision", "BOOL"));
    bool classes = weir_model_task(served->model) == WEIR_TASK_MULTICLASS;
    return put_score_columns(served->model, out) && (!classes || put_tensor(out, false, "class", "BYTES"));
}

/* The pipeline takes columns of events, a model its own inputs. */
static bool put_inputs(const serve *s, const weir_served *served, bool pipeline, weir_buf *out) {
    static const char *const datatypes[] = {"BYTES", "BOOL", "INT64", "FP64", "BYTES", "BYTES"}; /* by weir_type */
    const weir_schema *schema = s->pipeline->events.schema;
    bool ok = true;
    if (!pipeline) return put_model_inputs(served, out);
    for (int f = 0; ok && f < weir_schema_field_count(schema); f++) {
        const weir_schema_field *field = weir_schema_field_at(schema, f);
        ok = put_tensor(out, !f, field->name, datatypes[field->type]);
    }
    return ok;
}

enum { SERVED_MAX = 1 + WEIR_CHALLENGERS_MAX };

static bool is_same(const weir_served *a, const weir_served *b) {
    return a->version == b->version && !strcmp(a->name, b->name);
}

/* Champion and challengers that are there; each version once. */
static int list_served(const weir_arms *arms, const weir_served *served[SERVED_MAX]) {
    int count = 0;
    for (int i = -1; i < WEIR_CHALLENGERS_MAX; i++) {
        const weir_served *one = i < 0 ? arms->champion : arms->challengers[i];
        bool again = false;
        for (int j = 0; one && j < count; j++) again |= is_same(served[j], one);
        if (one && !again) served[count++] = one;
    }
    return count;
}

/* The arms that are there; of a version those that it serves. */
static bool put_aliases(const weir_arms *arms, const weir_served *of, weir_buf *out) {
    bool ok = true, any = false;
    for (int i = -1; ok && i < WEIR_CHALLENGERS_MAX; i++) {
        const weir_served *one = i < 0 ? arms->champion : arms->challengers[i];
        if (!one || (of && !is_same(one, of))) continue;
        ok = weir_buf_printf(out, "%s\"%s\"", any ? "," : "", one->arm);
        any = true;
    }
    return ok;
}

static bool put_versions(const weir_arms *arms, const char *name, weir_buf *out) {
    const weir_served *served[SERVED_MAX];
    int count = list_served(arms, served);
    bool ok = true, any = false;
    for (int i = 0; ok && i < count; i++) {
        if (strcmp(served[i]->name, name) != 0) continue;
        ok = weir_buf_printf(out, "%s\"%d\"", any ? "," : "", served[i]->version);
        any = true;
    }
    return ok;
}

/* Of one version: what it is and which arms it serves. */
static bool put_about(const weir_arms *arms, const weir_served *served, weir_buf *out) {
    bool ok = weir_buf_printf(out, ",\"parameters\":{\"version\":%d,\"algorithm\":\"%s\",\"task\":\"%s\",\"digest\":\"%s\"", served->version,
                              weir_model_algorithm(served->model), weir_task_name(weir_model_task(served->model)), weir_model_digest(served->model));
    if (ok && !isnan(served->threshold))
        ok = weir_buf_printf(out, ",\"threshold\":") && weir_json_put(out, &(weir_datum){.type = WEIR_T_F64, .f = served->threshold});
    return ok && weir_buf_printf(out, ",\"aliases\":[") && put_aliases(arms, served, out) && weir_buf_printf(out, "]}");
}

static weir_status answer_metadata(serve *s, const weir_arms *arms, const weir_model_path *path, weir_http_response *response, weir_err *err) {
    const weir_served *served = NULL;
    weir_buf *out = &response->body;
    bool pipeline = serve_is_split(s, path);
    weir_status status = serve_find(s, arms, path, &served, err);
    if (status) return status;
    const char *name = pipeline ? path->name : served->name;
    bool ok = weir_buf_printf(out, "{\"name\":") && weir_json_put_text(out, name) && weir_buf_printf(out, ",\"versions\":[") &&
              (pipeline ? put_aliases(arms, NULL, out) : put_versions(arms, name, out)) &&
              weir_buf_printf(out, "],\"platform\":\"weir_%s\",\"inputs\":[", pipeline ? "pipeline" : weir_model_algorithm(served->model)) &&
              put_inputs(s, served, pipeline, out) && weir_buf_printf(out, "],\"outputs\":[") && put_outputs(served, out) && weir_buf_printf(out, "]") &&
              (pipeline || put_about(arms, served, out)) && weir_buf_append(out, "}", 1);
    return written(ok, err);
}

static weir_status answer_model_ready(serve *s, const weir_arms *arms, const weir_model_path *path, weir_http_response *response, weir_err *err) {
    const weir_served *served = NULL;
    weir_buf *out = &response->body;
    weir_status status = serve_find(s, arms, path, &served, err);
    if (status) return status;
    bool ready = is_ready(s, arms);
    response->status = ready ? 200 : 503;
    return written(
        weir_buf_printf(out, "{\"name\":") && weir_json_put_text(out, path->name) && weir_buf_printf(out, ",\"ready\":%s}", ready ? "true" : "false"), err);
}

static weir_status no_such_model(const weir_arms *arms, const weir_model_path *path, weir_err *err) {
    const weir_served *served[SERVED_MAX];
    char wanted[32] = "", names[96 * SERVED_MAX] = "nobody";
    int count = list_served(arms, served);
    size_t used = 0;
    if (path->version) snprintf(wanted, sizeof wanted, " version %d", path->version);
    if (path->alias[0]) snprintf(wanted, sizeof wanted, " as %s", path->alias);
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s version %d", i ? " and " : "", served[i]->name, served[i]->version);
    return WEIR_REJECT(err, WEIR_ENOTFOUND, "no model \"%s\"%s is served; served now: %s", path->name, wanted, names);
}

/* An alias is that of an arm; of the pipeline, or of a model while that has it. */
static bool means(const serve *s, const weir_model_path *path, const weir_served *served) {
    bool named = !strcmp(path->name, served->name);
    if (path->alias[0]) return !strcmp(path->alias, served->arm) && (named || !strcmp(path->name, s->pipeline->name));
    return named && (!path->version || path->version == served->version);
}

weir_status serve_find(const serve *s, const weir_arms *arms, const weir_model_path *path, const weir_served **ret_served, weir_err *err) {
    if (serve_is_split(s, path)) {
        if (!arms->champion) return WEIR_RETRY(err, WEIR_ENET, "no model is served yet: pipeline %s has no champion", path->name);
        *ret_served = arms->champion;
        return WEIR_OK;
    }
    for (int i = -1; i < WEIR_CHALLENGERS_MAX; i++) {
        const weir_served *one = i < 0 ? arms->champion : arms->challengers[i];
        if (!one || !means(s, path, one)) continue;
        *ret_served = one;
        return WEIR_OK;
    }
    return no_such_model(arms, path, err);
}

/* Triton's model repository index: what is served, a row a version. */
static weir_status answer_index(serve *s, const weir_arms *arms, weir_http_response *response, weir_err *err) {
    const weir_served *served[SERVED_MAX];
    weir_buf *out = &response->body;
    int count = list_served(arms, served);
    bool ok = weir_buf_append(out, "[", 1), ready = is_ready(s, arms);
    for (int i = 0; ok && i < count; i++)
        ok = weir_buf_printf(out, "%s{\"name\":", i ? "," : "") && weir_json_put_text(out, served[i]->name) &&
             weir_buf_printf(out, ",\"version\":\"%d\",\"state\":\"%s\",\"reason\":\"\"}", served[i]->version, ready ? "READY" : "UNAVAILABLE");
    return written(ok && weir_buf_append(out, "]", 1), err);
}

static void on_index(const weir_http_request *request, weir_http_response *response, void *context) {
    serve *s = context;
    weir_err err;
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    weir_status status = authorise(s, request, WEIR_ACCESS_READ, response, NULL, &err);
    weir_arms *arms = weir_serving_arms(s->serving);
    if (!status) status = answer_index(s, arms, response, &err);
    weir_arms_drop(arms);
    finish(s, ENDPOINT_METADATA, began_us, status, &err, response);
}

static weir_status answer_model(serve *s, const weir_model_path *path, weir_http_response *response, weir_err *err) {
    weir_arms *arms = weir_serving_arms(s->serving);
    weir_status status = path->verb == WEIR_MODEL_READY ? answer_model_ready(s, arms, path, response, err) : answer_metadata(s, arms, path, response, err);
    weir_arms_drop(arms);
    return status;
}

/* Both methods share the route of all models. */
static weir_status wrong_method(weir_http_response *response, const char *words, weir_err *err) {
    response->status = 405;
    return WEIR_REJECT(err, WEIR_EINVAL, "%s", words);
}

static void on_model(const weir_http_request *request, weir_http_response *response, void *context) {
    serve *s = context;
    weir_err err;
    weir_model_path path;
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    weir_status status = authorise(s, request, WEIR_ACCESS_READ, response, NULL, &err);
    if (!status) status = weir_model_path_parse(request->path, &path, &err);
    if (!status && path.verb == WEIR_MODEL_INFER) status = wrong_method(response, "…/infer takes POST", &err);
    if (!status) status = answer_model(s, &path, response, &err);
    finish(s, ENDPOINT_METADATA, began_us, status, &err, response);
}

/* ---- requests that read features ---- */

/* The thread's own, with what the caller may do. */
static weir_status enter(serve *s, const weir_http_request *request, weir_access access, weir_http_response *response, serve_thread **ret_thread,
                         weir_err *err) {
    weir_grant grant;
    weir_status status = authorise(s, request, access, response, &grant, err);
    if (!status) status = take_thread(s, ret_thread, err);
    if (!status) (*ret_thread)->grant = grant;
    return status;
}

static void on_infer(const weir_http_request *request, weir_http_response *response, void *context) {
    serve *s = context;
    weir_err err;
    weir_model_path path;
    serve_thread *thread = NULL;
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    weir_status status = enter(s, request, WEIR_ACCESS_READ, response, &thread, &err);
    if (!status) status = weir_model_path_parse(request->path, &path, &err);
    if (!status && path.verb != WEIR_MODEL_INFER) status = wrong_method(response, "only …/infer takes POST", &err);
    if (!status) status = serve_infer(s, thread, &path, request, response, &err);
    finish(s, ENDPOINT_INFER, began_us, status, &err, response);
}

static void on_features(const weir_http_request *request, weir_http_response *response, void *context) {
    serve *s = context;
    weir_err err;
    serve_thread *thread = NULL;
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    weir_status status = enter(s, request, WEIR_ACCESS_READ, response, &thread, &err);
    if (!status) status = serve_online_features(s, thread, request, response, &err);
    finish(s, ENDPOINT_FEATURES, began_us, status, &err, response);
}

static void on_push(const weir_http_request *request, weir_http_response *response, void *context) {
    serve *s = context;
    weir_err err;
    serve_thread *thread = NULL;
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    weir_status status = enter(s, request, WEIR_ACCESS_WRITE, response, &thread, &err);
    if (!status) status = serve_push(s, thread, request, response, &err);
    finish(s, ENDPOINT_PUSH, began_us, status, &err, response);
}

/* ---- the table ---- */

static void on_openapi(const weir_http_request *request, weir_http_response *response, void *context);

static const serve_operation operations[] = {
    {"GET", "/v2", on_server, "server_metadata", "What the server is.", NULL, "Server"},
    {"GET", "/v2/health/live", on_health, "server_live", "Does it live?", NULL, "Live", .open = true},
    {"GET", "/v2/health/ready", on_health, "server_ready", "Can it answer? 503 when not.", NULL, "Ready", .open = true},
    {"GET", "/v2/models/{model_name}", on_model, "model_metadata", "What a model, or the pipeline, takes and gives.", NULL, "Model"},
    {"GET", "/v2/models/{model_name}/versions/{model_version}", on_model, "version_metadata", "What a version of a model takes and gives.", NULL, "Model"},
    {"GET", "/v2/models/{model_name}/ready", on_model, "model_ready", "Can it answer? 503 when not.", NULL, "Ready"},
    {"GET", "/v2/models/{model_name}/versions/{model_version}/ready", on_model, "version_ready", "Can this version answer? 503 when not.", NULL, "Ready"},
    {"POST", "/v2/repository/index", on_index, "repository_index", "The models and versions that are served (of Triton's extension nothing else).", NULL,
     "Index"},
    {"POST", "/v2/models/{model_name}/infer", on_infer, "model_infer", "Scores of a model, or by the pipeline's name of the arm that each entity gets.",
     "InferRequest", "InferResponse", .binary = true},
    {"POST", "/v2/models/{model_name}/versions/{model_version}/infer", on_infer, "version_infer", "Scores of one version.", "InferRequest", "InferResponse",
     .binary = true},
    {"POST", "/get-online-features", on_features, "get_online_features", "Features by entity, as Feast's feature server gives them.", "FeaturesRequest",
     "FeaturesResponse"},
    {"POST", "/push", on_push, "push", "Events or labels in.", "PushRequest", "PushResponse"},
    {"POST", "/write-to-online-store", on_push, "write_to_online_store", "The same as /push, by Feast's other name.", "PushRequest", "PushResponse"},
    {"GET", "/openapi.json", on_openapi, "openapi", "This document.", NULL, "OpenApi", .open = true},
};
enum { OPERATION_COUNT = sizeof operations / sizeof *operations };

static void on_openapi(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request;
    serve *s = context;
    weir_err err;
    int64_t began_us = weir_clock_mono_us(s->env->clock);
    char title[128];
    snprintf(title, sizeof title, "Weir: pipeline %.64s", s->pipeline->name);
    weir_status status = serve_openapi(operations, OPERATION_COUNT, title, s->tokens != NULL, &response->body, &err);
    finish(s, ENDPOINT_METADATA, began_us, status, &err, response);
}

/* ---- life ---- */

/* Not ready first, so that nobody new is sent here; then every answer says that its connection ends; then what is being answered is finished. */
static void leave(serve *s) {
    if (!s->routed) return;
    if (weir_worker_stopping(s->worker)) { /* or else it is about to begin anew */
        int64_t linger_ms = s->env->http_linger_ms < s->env->drain_ms ? s->env->http_linger_ms : s->env->drain_ms;
        weir_http_server_drain(s->env->http);
        if (linger_ms > 0) weir_clock_sleep_us(s->env->clock, 1000 * linger_ms);
    }
    weir_http_server_unroute(s->env->http, s);
}

static void serve_done(void *context) {
    serve *s = context;
    if (!s) return;
    leave(s);
    while (s->threads) {
        serve_thread *next = s->threads->next;
        free_thread(s->threads);
        s->threads = next;
    }
    weir_producer_free(s->producer);
    weir_tokens_free(s->tokens);
    if (s->serving) weir_shared_drop_serving(s->shared, &s->serving);
    pthread_mutex_destroy(&s->push_lock);
    pthread_mutex_destroy(&s->threads_lock);
    free(s);
}

/* Which columns of the events name the entity of each view. */
static weir_status find_entity_columns(serve *s, weir_err *err) {
    for (int v = 0; v < s->pipeline->view_count; v++) {
        const weir_view_def *def = &s->pipeline->views[v];
        for (int i = 0; i < def->entity_count; i++) {
            s->entity_columns[v][i] = weir_schema_find(s->pipeline->events.schema, def->entity[i]);
            if (s->entity_columns[v][i] < 0) {
                return WEIR_FAIL(err, WEIR_EINVAL, "view %s cannot be joined to an event: the events have no column %s", def->name, def->entity[i]);
            }
        }
    }
    return WEIR_OK;
}

static void name_parameters(serve *s) {
    for (int v = 0; v < s->pipeline->view_count; v++) {
        snprintf(s->age_names[v], SERVE_PARAMETER_MAX, "%.64s.age_seconds", s->pipeline->views[v].name);
        snprintf(s->missing_names[v], SERVE_PARAMETER_MAX, "%.64s.missing", s->pipeline->views[v].name);
    }
}

static void find_metrics(serve *s) {
    for (int e = 0; e < ENDPOINT_COUNT; e++) {
        s->seconds[e] = WEIR_METRIC("weir_serve_request_seconds", s->pipeline->name, endpoint_names[e]);
        for (int o = 0; o < OUTCOME_COUNT; o++)
            s->requests[e][o] = WEIR_METRIC("weir_serve_requests_total", s->pipeline->name, endpoint_names[e], outcome_names[o]);
    }
}

static weir_status add_routes(serve *s, weir_err *err) {
    weir_status status = WEIR_OK;
    s->routed = true;
    for (size_t i = 0; !status && i < OPERATION_COUNT; i++) {
        char path[SERVE_ROUTE_MAX];
        if (serve_operation_is_routed(operations, i)) continue;
        serve_operation_route(&operations[i], path);
        status = weir_http_server_route(s->env->http, &(weir_http_route){operations[i].method, path, operations[i].handler, s}, err);
    }
    return status;
}

static weir_status serve_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    char client[128];
    if (!env->http) return WEIR_FAIL(err, WEIR_EINVAL, "serve needs an HTTP server: set http_port");
    serve *s = weir_mem.realloc(NULL, sizeof *s);
    if (!s) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the serve worker");
    static _Atomic uint64_t last_id;
    *s = (serve){.worker = worker, .env = env, .shared = env->shared, .id = ++last_id};
    *ret_context = s;
    s->pipeline = s->shared->pipeline;
    pthread_mutex_init(&s->threads_lock, NULL);
    pthread_mutex_init(&s->push_lock, NULL);
    find_metrics(s);
    name_parameters(s);
    snprintf(client, sizeof client, "weir-push-%.64s-%.32s", s->pipeline->name, env->instance);
    weir_status status = find_entity_columns(s, err);
    if (!status && env->http_tokens) status = weir_tokens_new(env->pg_url, env->clock, &s->tokens, err);
    if (!status) status = weir_producer_new(env->brokers, client, &s->producer, err);
    if (!status) status = weir_shared_take_serving(s->shared, env, &s->serving, err);
    if (!status) status = add_routes(s, err);
    /* Requests are answered from here on; the worker is ready when the replica holds what the topics held at its start. */
    while (!status && !weir_serving_ready(s->serving) && !weir_worker_stopping(worker)) {
        weir_clock_sleep_us(env->clock, READY_POLL_US);
        status = weir_serving_check(s->serving, err);
    }
    return status;
}

/* Tokens that were made or revoked are known within seconds; while the database is away those of before stay. */
static void refresh_tokens(serve *s, int64_t mono_us) {
    weir_err err;
    if (!s->tokens || mono_us < s->tokens_at_us) return;
    s->tokens_at_us = mono_us + TOKENS_EVERY_US;
    if (weir_tokens_refresh(s->tokens, &err)) weir_log_err(WEIR_LOG_WARN, "tokens could not be read again", &err);
}

static weir_status serve_tick(void *context, int64_t mono_us, weir_err *err) {
    serve *s = context;
    refresh_tokens(s, mono_us);
    return weir_serving_check(s->serving, err);
}

const weir_worker_ops weir_serve_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "serve",
    .doc = "answers predictions, features and pushes over HTTP",
    .init = serve_init,
    .tick = serve_tick,
    .done = serve_done,
    .tick_ms = TICK_MS,
};
