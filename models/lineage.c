/* The graph is put together version by version; nodes that several versions share are found by their id. */
#include "models/lineage.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "features/offline.h"
#include "models/past_model.h"
#include "models/pg_json.h"
#include "models/why.h"

enum { LINE_MAX = 400, ID_MAX = 300, VERSIONS_MAX = 64, PARENTS_MAX = 16 };

const char *const weir_lineage_kinds[] = {"data", "features", "dataset", "run", "version", "deployment", "predictions", NULL};

typedef struct tracing {
    weir_pg *pg;
    const weir_pipeline *pipeline;
    cJSON *nodes[WEIR_LINEAGE_KINDS], *edges;
    bool failed; /* memory ran out */
} tracing;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the lineage");
}

/* ---- nodes and edges ---- */

/* A new node, or NULL when there is one of this id already (or no memory). detail is taken, and may be NULL. */
static cJSON *add_node(tracing *l, weir_lineage_kind kind, const char *id, const char *title, cJSON *detail) {
    cJSON *node;
    cJSON_ArrayForEach(node, l->nodes[kind]) {
        if (strcmp(weir_json_text(node, "id"), id) != 0) continue;
        cJSON_Delete(detail);
        return NULL;
    }
    if (!detail) detail = cJSON_CreateObject();
    node = cJSON_CreateObject();
    bool ok = node && detail && cJSON_AddStringToObject(node, "id", id) && cJSON_AddStringToObject(node, "kind", weir_lineage_kinds[kind]) &&
              cJSON_AddStringToObject(node, "title", title) && cJSON_AddArrayToObject(node, "lines");
    if (ok) {
        cJSON_AddItemToObject(node, "detail", detail);
        cJSON_AddItemToArray(l->nodes[kind], node);
        return node;
    }
    l->failed = true;
    cJSON_Delete(node);
    cJSON_Delete(detail);
    return NULL;
}

static void add_line(tracing *l, cJSON *node, const char *format, ...) WEIR_PRINTF(3, 4);
static void add_line(tracing *l, cJSON *node, const char *format, ...) {
    char line[LINE_MAX];
    va_list arguments;
    if (!node) return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    cJSON *text = cJSON_CreateString(line);
    l->failed |= !text || !cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(node, "lines"), text);
}

static void add_edge(tracing *l, const char *from, const char *to) {
    const cJSON *edge;
    cJSON_ArrayForEach(edge, l->edges) if (!strcmp(weir_json_text(edge, "from"), from) && !strcmp(weir_json_text(edge, "to"), to)) return;
    cJSON *added = cJSON_CreateObject();
    bool ok = added && cJSON_AddStringToObject(added, "from", from) && cJSON_AddStringToObject(added, "to", to);
    if (ok)
        ok = cJSON_AddItemToArray(l->edges, added);
    else
        cJSON_Delete(added);
    l->failed |= !ok;
}

/* ---- data and features ---- */

/* Where the rows of the training days are in the events' topic, as far as PostgreSQL has them. */
static weir_status read_offsets(tracing *l, const cJSON *window, cJSON **ret_partitions, weir_err *err) {
    const weir_view_def *primary = &l->pipeline->views[l->pipeline->primary_view];
    char table[128], sql[700];
    bool there = false;
    snprintf(table, sizeof table, "features_%s", primary->name);
    *ret_partitions = NULL;
    weir_status status = cJSON_IsObject(window) ? weir_offline_has_table(l->pg, l->pipeline, table, &there, err) : WEIR_OK;
    if (status || !there) return status;
    snprintf(sql, sizeof sql,
             "SELECT coalesce(json_agg(json_build_object('partition', source_partition, 'first_offset', first, 'last_offset', last, 'events', events) ORDER BY "
             "source_partition), '[]') FROM (SELECT source_partition, min(source_offset) AS first, max(source_offset) AS last, count(*) AS events FROM "
             "\"%s\".\"%s\" "
             "WHERE event_time >= $1::timestamptz AND event_time < $2::timestamptz AND seq = version GROUP BY 1) p",
             l->pipeline->name, table);
    return weir_pg_query_json(l->pg, sql, 2, (const char *const[]){weir_json_text(window, "train_from"), weir_json_text(window, "train_to")}, ret_partitions,
                              err);
}

static weir_status add_events(tracing *l, const cJSON *window, const char *dataset, weir_err *err) {
    char id[ID_MAX];
    cJSON *partitions = NULL;
    const cJSON *p;
    weir_status status = read_offsets(l, window, &partitions, err);
    if (status) return status;
    snprintf(id, sizeof id, "data:%s", l->pipeline->events.topic);
    cJSON *detail = cJSON_CreateObject(), *sets = detail ? cJSON_AddArrayToObject(detail, "training_sets") : NULL;
    cJSON *node = add_node(l, WEIR_LINEAGE_DATA, id, l->pipeline->events.topic, detail);
    if (node) add_line(l, node, "events");
    cJSON_ArrayForEach(node, l->nodes[WEIR_LINEAGE_DATA]) if (!strcmp(weir_json_text(node, "id"), id)) break;
    sets = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(node, "detail"), "training_sets");
    cJSON_ArrayForEach(p, sets) if (!strcmp(weir_json_text(p, "dataset"), dataset)) {
        cJSON_Delete(partitions);
        return WEIR_OK;
    }
    add_line(l, node, "%.10s to %.10s", weir_json_text(window, "train_from"), weir_json_text(window, "train_to"));
    cJSON_ArrayForEach(p, partitions) add_line(l, node, "partition %.0f: %.0f … %.0f", weir_json_number(p, "partition", 0),
                                               weir_json_number(p, "first_offset", 0), weir_json_number(p, "last_offset", 0));
    cJSON *set = cJSON_CreateObject();
    bool ok = set && cJSON_AddStringToObject(set, "dataset", dataset);
    if (ok && cJSON_IsObject(window)) ok = cJSON_AddItemToObject(set, "window", cJSON_Duplicate(window, true));
    if (ok && partitions)
        ok = cJSON_AddItemToObject(set, "partitions", partitions);
    else
        cJSON_Delete(partitions);
    if (!ok || !cJSON_AddItemToArray(sets, set)) l->failed = true;
    return WEIR_OK;
}

/* The definitions as the pipeline file has them; they are those of the version when the hash is the same. */
static void add_views(tracing *l, const char *hash, const char *dataset) {
    const weir_pipeline *p = l->pipeline;
    bool same = !strcmp(hash, p->feature_hash);
    char id[ID_MAX], topic[ID_MAX];
    for (int v = 0; v < p->view_count; v++) {
        const weir_view_def *view = &p->views[v];
        bool labels = view->from == WEIR_FROM_LABELS;
        snprintf(id, sizeof id, "features:%s@%.12s", view->name, hash);
        snprintf(topic, sizeof topic, "data:%s", labels ? p->labels.topic : p->events.topic);
        cJSON *node = labels ? add_node(l, WEIR_LINEAGE_DATA, topic, p->labels.topic, NULL) : NULL;
        add_line(l, node, "labels, up to %.1f days late", (double)p->max_delay_us / (double)WEIR_DAY_US);
        cJSON *detail = cJSON_CreateObject(), *names = detail ? cJSON_AddArrayToObject(detail, "features") : NULL;
        bool ok = names && cJSON_AddStringToObject(detail, "feature_hash", hash) && cJSON_AddBoolToObject(detail, "same_definitions", same);
        for (int f = 0; ok && same && f < view->feature_count; f++) {
            cJSON *feature = cJSON_CreateObject();
            const weir_feature_def *def = &view->features[f];
            ok = feature && cJSON_AddStringToObject(feature, "name", def->name) &&
                 cJSON_AddStringToObject(feature, "made_by", def->expr ? def->expr : def->op->name) &&
                 cJSON_AddStringToObject(feature, "doc", def->doc ? def->doc : "") && cJSON_AddItemToArray(names, feature);
        }
        l->failed |= !ok;
        node = add_node(l, WEIR_LINEAGE_FEATURES, id, view->name, detail);
        add_line(l, node, "view of %s", labels ? "labels" : "events");
        add_line(l, node, "definitions %.12s", hash);
        if (!same) add_line(l, node, "the pipeline file has others now");
        for (int f = 0; same && f < view->feature_count && f < 8; f++) add_line(l, node, "· %s", view->features[f].name);
        if (same && view->feature_count > 8) add_line(l, node, "and %d more", view->feature_count - 8);
        add_edge(l, topic, id);
        add_edge(l, id, dataset);
    }
}

/* ---- training ---- */

static bool copy_member(cJSON *to, const char *name, const cJSON *from) {
    const cJSON *item = weir_json_at(from, name);
    return !item || cJSON_AddItemToObject(to, name, cJSON_Duplicate(item, true));
}

static void add_dataset(tracing *l, const cJSON *version, const char *id) {
    const cJSON *lineage = weir_json_at(version, "lineage"), *dataset = weir_json_at(lineage, "dataset"), *window = weir_json_at(lineage, "window");
    cJSON *detail = cJSON_IsObject(dataset) ? cJSON_Duplicate(dataset, true) : cJSON_CreateObject();
    l->failed |= !detail || !copy_member(detail, "window", lineage) || !copy_member(detail, "signature", version);
    cJSON *node = add_node(l, WEIR_LINEAGE_DATASET, id, "training set", detail);
    add_line(l, node, "%.0f rows, %d columns", weir_json_number(dataset, "rows", 0),
             cJSON_GetArraySize(weir_json_at(weir_json_at(version, "signature"), "inputs")));
    if (weir_json_at(dataset, "positives")) add_line(l, node, "%.0f positive", weir_json_number(dataset, "positives", 0));
    add_line(l, node, "digest %.12s", weir_json_text(version, "dataset_digest"));
    if (cJSON_IsObject(window)) add_line(l, node, "%.10s to %.10s", weir_json_text(window, "train_from"), weir_json_text(window, "train_to"));
}

static void add_run(tracing *l, const cJSON *version, const char *id) {
    const cJSON *run = weir_json_at(version, "run"), *lineage = weir_json_at(version, "lineage");
    cJSON *detail = cJSON_CreateObject();
    bool ok = detail && copy_member(detail, "run_id", version) && copy_member(detail, "seed", lineage);
    static const char *const members[] = {"status", "request", "code_version", "started_at", "ended_at", NULL};
    for (int i = 0; ok && members[i]; i++) ok = copy_member(detail, members[i], run);
    l->failed |= !ok;
    cJSON *node = add_node(l, WEIR_LINEAGE_RUN, id, weir_json_text(version, "run_id"), detail);
    add_line(l, node, "%s, %.19s", cJSON_IsObject(run) ? weir_json_text(run, "status") : "not in the registry any more", weir_json_text(run, "started_at"));
    add_line(l, node, "code version %s", weir_json_text(lineage, "code_version"));
    add_line(l, node, "seed %.0f", weir_json_number(lineage, "seed", 0));
    if (*weir_json_text(weir_json_at(run, "request"), "reason")) add_line(l, node, "asked for: %s", weir_json_text(weir_json_at(run, "request"), "reason"));
}

static void add_version(tracing *l, const cJSON *version, const char *id) {
    char title[ID_MAX];
    char *params = cJSON_PrintUnformatted(weir_json_at(weir_json_at(version, "lineage"), "params"));
    snprintf(title, sizeof title, "%.200s %.0f", weir_json_text(version, "model"), weir_json_number(version, "version", 0));
    cJSON *detail = cJSON_Duplicate(version, true);
    cJSON_DeleteItemFromObjectCaseSensitive(detail, "run"); /* a node of its own */
    cJSON *node = add_node(l, WEIR_LINEAGE_VERSION, id, title, detail);
    add_line(l, node, "%s %s", weir_json_text(version, "algorithm"), weir_json_text(version, "semver"));
    add_line(l, node, "digest %.12s", weir_json_text(version, "digest"));
    if (params && strcmp(params, "{}") != 0) add_line(l, node, "%s", params);
    if (weir_json_at(weir_json_at(version, "lineage"), "continues"))
        add_line(l, node, "went on from version %.0f", weir_json_number(weir_json_at(weir_json_at(version, "lineage"), "continues"), "version", 0));
    if (*weir_json_text(version, "deleted_at")) add_line(l, node, "deleted %.19s", weir_json_text(version, "deleted_at"));
    cJSON_free(params);
}

/* ---- what became of a version ---- */

static weir_status add_deployments(tracing *l, const cJSON *version, const char *version_id, weir_err *err) {
    char number[16], id[ID_MAX];
    cJSON *stretches = NULL;
    const cJSON *s;
    snprintf(number, sizeof number, "%.0f", weir_json_number(version, "version", 0));
    weir_status status = weir_pg_query_json(
        l->pg,
        "SELECT coalesce(json_agg(json_build_object('move', id, 'alias', alias, 'since', " WEIR_PG_TIME("moved_at") ", 'until', " WEIR_PG_TIME(
            "ends_at") ", 'actor', actor, 'reason', reason, 'verdict', verdict) ORDER BY id), '[]') FROM (SELECT *, lead(moved_at) OVER "
                       "(PARTITION BY alias ORDER BY id) "
                       "AS ends_at FROM weir.alias_history WHERE pipeline = $1) h WHERE to_model = $2 AND to_version = $3::int",
        3, (const char *const[]){l->pipeline->name, weir_json_text(version, "model"), number}, &stretches, err);
    if (status) return status;
    cJSON_ArrayForEach(s, stretches) {
        snprintf(id, sizeof id, "deployment:%.0f", weir_json_number(s, "move", 0));
        cJSON *node = add_node(l, WEIR_LINEAGE_DEPLOYMENT, id, weir_json_text(s, "alias"), cJSON_Duplicate(s, true));
        add_line(l, node, "since %.19s", weir_json_text(s, "since"));
        add_line(l, node, *weir_json_text(s, "until") ? "until %.19s" : "until now%.0s", weir_json_text(s, "until"));
        add_line(l, node, "by %s", weir_json_text(s, "actor"));
        add_line(l, node, "%s", weir_json_text(s, "reason"));
        add_edge(l, version_id, id);
    }
    cJSON_Delete(stretches);
    return WEIR_OK;
}

/* One node an arm; its deployment is every stretch of the arm's alias, for the arm is named after it. */
static weir_status add_predictions(tracing *l, const cJSON *version, const char *version_id, weir_err *err) {
    char sql[900], id[ID_MAX], number[16];
    bool there;
    cJSON *arms = NULL;
    const cJSON *arm, *node;
    weir_status status = weir_offline_has_table(l->pg, l->pipeline, "predictions", &there, err);
    if (status || !there) return status;
    snprintf(number, sizeof number, "%.0f", weir_json_number(version, "version", 0));
    snprintf(sql, sizeof sql,
             "SELECT coalesce(json_agg(a ORDER BY arm), '[]') FROM (SELECT arm, sum(n) AS predictions, min(first) AS first, max(last) AS last, "
             "json_agg(json_build_object('day', day, 'predictions', n) ORDER BY day) AS days FROM (SELECT arm, (event_time AT TIME ZONE 'UTC')::date AS day, "
             "count(*) AS n, "
             "min(event_time AT TIME ZONE 'UTC') AS first, max(event_time AT TIME ZONE 'UTC') AS last FROM \"%s\".predictions "
             "WHERE model = $1 AND version = $2::int AND digest = $3 GROUP BY 1, 2) d GROUP BY arm) a",
             l->pipeline->name);
    status = weir_pg_query_json(l->pg, sql, 3, (const char *const[]){weir_json_text(version, "model"), number, weir_json_text(version, "digest")}, &arms, err);
    if (status) return status;
    cJSON_ArrayForEach(arm, arms) {
        bool linked = false;
        snprintf(id, sizeof id, "predictions:%s/%s/%s", weir_json_text(version, "model"), number, weir_json_text(arm, "arm"));
        cJSON *added = add_node(l, WEIR_LINEAGE_PREDICTIONS, id, "predictions", cJSON_Duplicate(arm, true));
        add_line(l, added, "%.0f as %s", weir_json_number(arm, "predictions", 0), weir_json_text(arm, "arm"));
        add_line(l, added, "of events from %.10s", weir_json_text(arm, "first"));
        add_line(l, added, "to %.10s", weir_json_text(arm, "last"));
        cJSON_ArrayForEach(node, l->nodes[WEIR_LINEAGE_DEPLOYMENT]) {
            const cJSON *edge;
            if (strcmp(weir_json_text(node, "title"), weir_json_text(arm, "arm")) != 0) continue;
            cJSON_ArrayForEach(edge, l->edges) if (!strcmp(weir_json_text(edge, "from"), version_id) &&
                                                   !strcmp(weir_json_text(edge, "to"), weir_json_text(node, "id"))) linked = true;
            if (linked) add_edge(l, weir_json_text(node, "id"), id);
        }
        if (!linked) add_edge(l, version_id, id);
    }
    cJSON_Delete(arms);
    return WEIR_OK;
}

static weir_status add_all_of(tracing *l, const cJSON *version, int depth, weir_err *err);

/* The version that this one went on from, with all that it was made of. */
static weir_status add_parent(tracing *l, const cJSON *continues, const char *run, int depth, weir_err *err) {
    char id[ID_MAX];
    cJSON *parent = NULL;
    if (!cJSON_IsObject(continues) || depth == PARENTS_MAX) return WEIR_OK;
    weir_status status = weir_past_version(l->pg, l->pipeline->name, weir_json_text(continues, "model"), (int)weir_json_number(continues, "version", 0),
                                           weir_json_text(continues, "digest"), &parent, err);
    if (!status && cJSON_IsObject(parent)) {
        snprintf(id, sizeof id, "version:%s/%.0f", weir_json_text(parent, "model"), weir_json_number(parent, "version", 0));
        status = add_all_of(l, parent, depth + 1, err);
        add_edge(l, id, run);
    }
    cJSON_Delete(parent);
    return status;
}

static weir_status add_all_of(tracing *l, const cJSON *version, int depth, weir_err *err) {
    char dataset[ID_MAX], run[ID_MAX], id[ID_MAX];
    snprintf(dataset, sizeof dataset, "dataset:%s", weir_json_text(version, "dataset_digest"));
    snprintf(run, sizeof run, "run:%s", weir_json_text(version, "run_id"));
    snprintf(id, sizeof id, "version:%s/%.0f", weir_json_text(version, "model"), weir_json_number(version, "version", 0));
    weir_status status = add_events(l, weir_json_at(weir_json_at(version, "lineage"), "window"), weir_json_text(version, "dataset_digest"), err);
    if (status) return status;
    add_views(l, weir_json_text(version, "feature_hash"), dataset);
    add_dataset(l, version, dataset);
    add_run(l, version, run);
    add_version(l, version, id);
    add_edge(l, dataset, run);
    add_edge(l, run, id);
    status = add_parent(l, weir_json_at(weir_json_at(version, "lineage"), "continues"), run, depth, err);
    if (!status) status = add_deployments(l, version, id, err);
    return status ? status : add_predictions(l, version, id, err);
}

/* ---- whose ---- */

static weir_status of_prediction(tracing *l, const char *id, cJSON **ret_wanted, weir_err *err) {
    char sql[300], partition[16], offset[24];
    weir_prediction_id where;
    bool there;
    weir_status status = weir_prediction_id_parse(id, &where, err);
    if (!status) status = weir_offline_has_table(l->pg, l->pipeline, "predictions", &there, err);
    if (status) return status;
    if (!there) return WEIR_FAIL(err, WEIR_ENOTFOUND, "the offline store has no predictions of pipeline %s yet", l->pipeline->name);
    snprintf(partition, sizeof partition, "%" PRId32, weir_prediction_id_source(&where));
    snprintf(offset, sizeof offset, "%" PRId64, where.offset);
    snprintf(sql, sizeof sql,
             "SELECT coalesce(json_agg(json_build_object('model', model, 'version', version)), '[]') FROM \"%s\".predictions "
             "WHERE source_partition = $1::int4 AND source_offset = $2::int8 AND prediction_id = $3",
             l->pipeline->name);
    return weir_pg_query_json(l->pg, sql, 3, (const char *const[]){partition, offset, id}, ret_wanted, err);
}

/* [{model, version}] */
static weir_status find_wanted(tracing *l, const weir_lineage_query *q, cJSON **ret_wanted, weir_err *err) {
    char number[16];
    snprintf(number, sizeof number, "%d", q->version);
    if (q->prediction) return of_prediction(l, q->prediction, ret_wanted, err);
    if (q->model)
        return weir_pg_query_json(
            l->pg,
            "SELECT coalesce(json_agg(json_build_object('model', model, 'version', version)), '[]') FROM weir.model_versions WHERE pipeline = $1 AND "
            "model = $2 AND version = $3::int",
            3, (const char *const[]){l->pipeline->name, q->model, number}, ret_wanted, err);
    if (q->run)
        return weir_pg_query_json(
            l->pg,
            "SELECT coalesce(json_agg(json_build_object('model', model, 'version', version) ORDER BY model, version), '[]') FROM weir.model_versions "
            "WHERE pipeline = $1 AND run_id = $2",
            2, (const char *const[]){l->pipeline->name, q->run}, ret_wanted, err);
    return weir_pg_query_json(l->pg,
                              "WITH served AS (SELECT DISTINCT model, version FROM weir.aliases WHERE pipeline = $1), newest AS (SELECT model, version FROM "
                              "weir.model_versions WHERE pipeline = $1 "
                              "AND NOT EXISTS (SELECT FROM served) AND run_id = (SELECT max(run_id) FROM weir.model_versions WHERE pipeline = $1)) "
                              "SELECT coalesce(json_agg(json_build_object('model', model, 'version', version) ORDER BY model, version), '[]') FROM (TABLE "
                              "served UNION TABLE newest) v",
                              1, (const char *const[]){l->pipeline->name}, ret_wanted, err);
}

static weir_status read_all(tracing *l, const weir_lineage_query *query, weir_err *err) {
    cJSON *wanted = NULL, *version;
    const cJSON *w;
    weir_status status = find_wanted(l, query, &wanted, err);
    if (status) return status;
    int count = cJSON_GetArraySize(wanted);
    if (!count)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no %s%s", l->pipeline->name,
                           query->prediction || query->model || query->run ? "version that was made by, or is, " : "model version yet",
                           query->prediction ? query->prediction
                           : query->model    ? query->model
                           : query->run      ? query->run
                                             : "");
    if (count > VERSIONS_MAX)
        status = WEIR_FAIL(err, WEIR_ELIMIT, "%d versions, more than the %d that one picture can hold; ask for one of them", count, VERSIONS_MAX);
    cJSON_ArrayForEach(w, wanted) {
        if (status) break;
        version = NULL;
        status = weir_past_version(l->pg, l->pipeline->name, weir_json_text(w, "model"), (int)weir_json_number(w, "version", 0), NULL, &version, err);
        if (!status && !cJSON_IsObject(version))
            status = WEIR_FAIL(err, WEIR_ENOTFOUND, "the registry does not know version %.0f of %s any more", weir_json_number(w, "version", 0),
                               weir_json_text(w, "model"));
        if (!status) status = add_all_of(l, version, 0, err);
        cJSON_Delete(version);
    }
    cJSON_Delete(wanted);
    return !status && l->failed ? no_memory(err) : status;
}

/* All nodes in one array. */
static weir_status make_graph(tracing *l, cJSON **ret_graph, weir_err *err) {
    cJSON *graph = cJSON_CreateObject();
    cJSON *nodes = graph && cJSON_AddStringToObject(graph, "pipeline", l->pipeline->name) ? cJSON_AddArrayToObject(graph, "nodes") : NULL;
    if (!nodes) {
        cJSON_Delete(graph);
        return no_memory(err);
    }
    for (int k = 0; k < WEIR_LINEAGE_KINDS; k++)
        while (cJSON_GetArraySize(l->nodes[k])) cJSON_AddItemToArray(nodes, cJSON_DetachItemFromArray(l->nodes[k], 0));
    cJSON_AddItemToObject(graph, "edges", l->edges);
    l->edges = NULL;
    *ret_graph = graph;
    return WEIR_OK;
}

weir_status weir_lineage_read(weir_pg *pg, const weir_pipeline *pipeline, const weir_lineage_query *query, cJSON **ret_graph, weir_err *err) {
    tracing l = {.pg = pg, .pipeline = pipeline, .edges = cJSON_CreateArray()};
    bool ok = l.edges != NULL;
    for (int k = 0; k < WEIR_LINEAGE_KINDS; k++) ok = (l.nodes[k] = cJSON_CreateArray()) && ok;
    weir_status status = ok ? weir_pg_begin(pg, err) : no_memory(err);
    if (!status) {
        status = weir_pg_script(pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL TIME ZONE 'UTC'", err);
        if (!status) status = read_all(&l, query, err);
        weir_pg_rollback(pg); /* it only read */
    }
    if (!status) status = make_graph(&l, ret_graph, err);
    for (int k = 0; k < WEIR_LINEAGE_KINDS; k++) cJSON_Delete(l.nodes[k]);
    cJSON_Delete(l.edges);
    return status;
}
