/* POST /get-online-features, /push and /write-to-online-store, in the form of Feast's feature server.
 *
 * Features are values at a time. That time is event_timestamp where the request gives one, otherwise each entity's newest event time in that view, because the store
 * replays history as well as today: those features stand ready in the store. A view's ttl counts back from the time asked for to the newest record at or before it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "consumers/serve_parts.h"

enum { FLUSH_MS = 10000 };

/* A feature that was asked for. */
typedef struct wanted_feature {
    int view, feature;
    const char *name; /* in the answer */
} wanted_feature;

/* One request on its way; arrays are in the thread's arena. */
typedef struct lookup {
    serve *s;
    serve_thread *thread;
    weir_features_request *request;
    int row_count, column_count, wanted_count;
    wanted_feature *wanted; /* [wanted_count] */
    weir_datum *rows; /* [row_count][column_count] */
    weir_datum *values; /* [wanted_count][row_count] */
    const char **statuses; /* [wanted_count][row_count] */
    int64_t *event_times_us[WEIR_VIEWS_MAX]; /* [row_count] of each view that is wanted */
    int64_t now_us;
    double *scratch; /* [WEIR_FEATURES_MAX] */
} lookup;

/* ---- what was asked for ---- */

/* The feature of that name in a view, looked for from `from` on and round: features are mostly asked for in their order. -1: none that is served. */
static int feature_of(const weir_view_def *def, const char *name, int from) {
    for (int i = 0; i < def->feature_count; i++) {
        int f = from + i < def->feature_count ? from + i : from + i - def->feature_count;
        if (!strcmp(def->features[f].name, name)) return def->features[f].hidden ? -1 : f;
    }
    return -1;
}

/* view NULL: in any. */
static bool find_feature(const lookup *l, const char *view, size_t view_len, const char *name, int *ret_view, int *ret_feature) {
    const weir_pipeline *pipeline = l->s->pipeline;
    const wanted_feature *before = l->wanted_count ? &l->wanted[l->wanted_count - 1] : NULL;
    for (int v = 0; v < pipeline->view_count; v++) {
        const weir_view_def *def = &pipeline->views[v];
        if (view && (strncmp(def->name, view, view_len) || def->name[view_len])) continue;
        int f = feature_of(def, name, before && before->view == v ? before->feature + 1 : 0);
        if (f < 0) continue;
        *ret_view = v;
        *ret_feature = f;
        return true;
    }
    return false;
}

static weir_status add_wanted(lookup *l, int view, int feature, weir_err *err) {
    const weir_view_def *def = &l->s->pipeline->views[view];
    const char *name = def->features[feature].name;
    const char *shown = name;
    if (l->request->full_names) {
        size_t room = strlen(def->name) + strlen(name) + 3;
        char *full = weir_arena_alloc(&l->thread->arena, room);
        if (!full) return serve_no_memory(err);
        snprintf(full, room, "%s__%s", def->name, name);
        shown = full;
    }
    l->wanted[l->wanted_count++] = (wanted_feature){view, feature, shown};
    return WEIR_OK;
}

/* "view:feature" or "feature" */
static weir_status want_listed(lookup *l, weir_err *err) {
    weir_status status = WEIR_OK;
    for (const char **reference = l->request->features; !status && *reference; reference++) {
        const char *colon = strchr(*reference, ':');
        int view, feature;
        if (!find_feature(l, colon ? *reference : NULL, colon ? (size_t)(colon - *reference) : 0, colon ? colon + 1 : *reference, &view, &feature)) {
            return WEIR_REJECT(err, WEIR_ENOTFOUND, "no feature \"%s\": expected \"view:feature\" as pipeline %s declares them", *reference,
                               l->s->pipeline->name);
        }
        status = add_wanted(l, view, feature, err);
    }
    return status;
}

/* A feature service is a served model, or the pipeline for its champion: the features that it reads. */
static weir_status want_service(lookup *l, weir_err *err) {
    const weir_served *served = NULL;
    weir_model_path path = {0};
    if (snprintf(path.name, sizeof path.name, "%s", l->request->service) >= (int)sizeof path.name)
        return WEIR_REJECT(err, WEIR_ENOTFOUND, "\"feature_service\" is longer than any model's name");
    weir_arms *arms = weir_serving_arms(l->s->serving);
    weir_status status = serve_find(l->s, arms, &path, &served, err);
    for (int c = 0; !status && c < weir_model_column_count(served->model); c++) {
        int view, feature;
        if (find_feature(l, NULL, 0, weir_model_columns(served->model)[c], &view, &feature)) status = add_wanted(l, view, feature, err);
    }
    weir_arms_drop(arms);
    return status;
}

static weir_status resolve(lookup *l, weir_err *err) {
    int room = 0;
    for (const char **reference = l->request->features; reference && *reference; reference++) room++;
    if (!room) room = WEIR_FEATURES_MAX;
    l->wanted = weir_arena_alloc(&l->thread->arena, (size_t)room * sizeof *l->wanted);
    if (!l->wanted) return serve_no_memory(err);
    return l->request->service ? want_service(l, err) : want_listed(l, err);
}

static weir_status allocate(lookup *l, weir_err *err) {
    weir_arena *arena = &l->thread->arena;
    size_t cells = (size_t)l->row_count * (size_t)(l->wanted_count ? l->wanted_count : 1);
    if (cells > WEIR_JSON_VALUES_MAX) return WEIR_REJECT(err, WEIR_ELIMIT, "%zu values: at most %d in one request", cells, WEIR_JSON_VALUES_MAX);
    l->rows = weir_arena_alloc(arena, (size_t)l->row_count * (size_t)l->column_count * sizeof *l->rows);
    l->values = weir_arena_alloc(arena, cells * sizeof *l->values);
    l->statuses = weir_arena_alloc(arena, cells * sizeof *l->statuses);
    l->scratch = weir_arena_alloc(arena, WEIR_FEATURES_MAX * sizeof *l->scratch);
    bool ok = l->rows && l->values && l->statuses && l->scratch;
    for (int w = 0; ok && w < l->wanted_count; w++) {
        int64_t **times = &l->event_times_us[l->wanted[w].view];
        if (!*times) ok = (*times = weir_arena_alloc(arena, (size_t)l->row_count * sizeof **times)) != NULL;
    }
    return ok ? WEIR_OK : serve_no_memory(err);
}

/* ---- values ---- */

/* The time at which a row's features are asked for; false: its newest. */
static bool asked_time(const lookup *l, int row, const weir_datum *entity, int64_t *ret_us) {
    const weir_datum *time = &entity[l->s->pipeline->events.time_index];
    if (l->request->at_now) {
        *ret_us = l->now_us;
    } else if (l->request->at_us) {
        *ret_us = l->request->at_us[row];
    } else if (time->type == WEIR_T_I64) {
        *ret_us = time->i;
    } else {
        return false;
    }
    return true;
}

/* What is wrong with all features of the row; NULL: nothing. */
static const char *row_status(const weir_view_read *read) {
    if (!read->found) return "NOT_FOUND";
    switch (read->answer) {
    case WEIR_ANSWER_NO_RECORD: return "NOT_FOUND";
    case WEIR_ANSWER_EXPIRED: return "OUTSIDE_MAX_AGE";
    case WEIR_ANSWER_OUT_OF_REACH: return "INVALID";
    default: return NULL;
    }
}

/* The wanted features of one view for one row. */
static weir_status read_row(lookup *l, int view, int row, weir_err *err) {
    const weir_view_def *def = &l->s->pipeline->views[view];
    const weir_datum *entity = l->rows + (size_t)row * (size_t)l->column_count;
    weir_serving_reader *reader = l->thread->reader;
    weir_view_read read;
    char key[WEIR_KEY_MAX];
    size_t key_len;
    int64_t t_us = 0;
    bool asked = asked_time(l, row, entity, &t_us);
    weir_status status = weir_key_make(&l->s->pipeline->events, l->s->entity_columns[view], def->entity_count, entity, key, &key_len, err);
    if (!status)
        status = asked ? weir_serving_read_view(reader, view, key, key_len, t_us, NULL, l->scratch, &read, err)
                       : weir_serving_read_newest(reader, view, key, key_len, l->scratch, &read, err);
    if (status) return weir_err_prefix(err, "view %s, row %d", def->name, row);
    const char *wrong = row_status(&read);
    l->event_times_us[view][row] = read.newest_us == INT64_MIN ? 0 : read.newest_us;
    for (int w = 0; w < l->wanted_count; w++) {
        if (l->wanted[w].view != view) continue;
        size_t cell = (size_t)w * (size_t)l->row_count + (size_t)row;
        double value = l->scratch[l->wanted[w].feature];
        l->values[cell] = wrong || !isfinite(value) ? weir_null() : weir_f64(value);
        l->statuses[cell] = wrong ? wrong : isfinite(value) ? "PRESENT" : "NULL_VALUE";
    }
    return WEIR_OK;
}

static weir_status read_all(lookup *l, weir_err *err) {
    weir_status status = weir_json_rows(&l->request->entities, &l->s->pipeline->events, false, l->rows, err);
    if (!status) status = serve_own_rows(&l->thread->grant, &l->request->entities, &l->s->pipeline->events, l->rows, err);
    if (!status) status = weir_serving_read_begin(l->thread->reader, err);
    if (status) return status;
    for (int view = 0; view < l->s->pipeline->view_count; view++) {
        for (int row = 0; l->event_times_us[view] && !status && row < l->row_count; row++) status = read_row(l, view, row, err);
    }
    weir_serving_read_end(l->thread->reader);
    return status;
}

/* The entity columns as they were given, then the features as they were asked for. */
static weir_status encode(lookup *l, weir_buf *out, weir_err *err) {
    const weir_json_table *entities = &l->request->entities;
    int count = 0;
    size_t rows = (size_t)l->row_count;
    weir_features_result *results = weir_arena_alloc(&l->thread->arena, (size_t)(entities->column_count + l->wanted_count) * sizeof *results);
    const char **present = weir_arena_alloc(&l->thread->arena, rows * sizeof *present);
    int64_t *never = weir_arena_alloc(&l->thread->arena, rows * sizeof *never);
    if (!results || !present || !never) return serve_no_memory(err);
    for (size_t row = 0; row < rows; row++) {
        present[row] = "PRESENT";
        never[row] = 0;
    }
    for (int c = 0; c < entities->column_count; c++)
        results[count++] = (weir_features_result){entities->columns[c].name, entities->columns[c].values, present, never};
    for (int w = 0; w < l->wanted_count; w++) {
        size_t first = (size_t)w * rows;
        results[count++] = (weir_features_result){l->wanted[w].name, l->values + first, l->statuses + first, l->event_times_us[l->wanted[w].view]};
    }
    return weir_features_encode(results, count, l->row_count, out) ? WEIR_OK : serve_no_memory(err);
}

weir_status serve_online_features(serve *s, serve_thread *thread, const weir_http_request *request, weir_http_response *response, weir_err *err) {
    weir_features_request parsed;
    lookup l = {.s = s,
                .thread = thread,
                .request = &parsed,
                .column_count = weir_schema_field_count(s->pipeline->events.schema),
                .now_us = weir_clock_wall_us(s->env->clock)};
    weir_status status = weir_features_parse(request->body, request->body_len, &parsed, err);
    l.row_count = parsed.entities.row_count;
    if (!status) status = resolve(&l, err);
    if (!status) status = allocate(&l, err);
    if (!status) status = read_all(&l, err);
    if (!status) status = encode(&l, &response->body, err);
    weir_features_request_done(&parsed);
    return status;
}

/* ---- push ---- */

static weir_status push_feed(const serve *s, const char *source, weir_feed *ret_feed, weir_err *err) {
    const weir_pipeline *pipeline = s->pipeline;
    for (int v = 0; v < pipeline->view_count; v++) {
        if (strcmp(pipeline->views[v].name, source)) continue;
        const char *feed = pipeline->views[v].from == WEIR_FROM_EVENTS ? "events" : "labels";
        return WEIR_REJECT(err, WEIR_EDATA, "the features of view %s are computed from the %s: push those, to \"%s\"", source, feed, feed);
    }
    if (!strcmp(source, "events") || !strcmp(source, pipeline->events.topic)) {
        *ret_feed = WEIR_FROM_EVENTS;
    } else if (pipeline->labels.topic && (!strcmp(source, "labels") || !strcmp(source, pipeline->labels.topic))) {
        *ret_feed = WEIR_FROM_LABELS;
    } else {
        return WEIR_REJECT(err, WEIR_ENOTFOUND, "no push source \"%.64s\": expected %s", source,
                           pipeline->labels.topic ? "\"events\" or \"labels\"" : "\"events\"");
    }
    return WEIR_OK;
}

static weir_status serde_of(const serve *s, serve_thread *thread, weir_feed feed, const weir_feed_def *def, weir_serde **ret_serde, weir_err *err) {
    char subject[300];
    weir_status status = WEIR_OK;
    snprintf(subject, sizeof subject, "%s-value", def->topic);
    if (!thread->serdes[feed]) status = weir_serde_new(s->shared->registry, subject, def->schema, &thread->serdes[feed], err);
    *ret_serde = thread->serdes[feed];
    return status;
}

/* Everything is checked before anything is sent: a bad row costs the whole request, and nothing is half there. */
static weir_status check_rows(const serve *s, weir_feed feed, const weir_feed_def *def, const weir_datum *rows, int row_count, weir_err *err) {
    size_t columns = (size_t)weir_schema_field_count(def->schema);
    int64_t now_us = weir_clock_wall_us(s->env->clock);
    for (int row = 0; row < row_count; row++) {
        const char *class;
        char key[WEIR_KEY_MAX];
        size_t key_len;
        weir_status status = weir_pipeline_check(s->pipeline, feed, rows + (size_t)row * columns, now_us, &class, err);
        if (!status) status = weir_key_make(def, def->key_index, def->key_count, rows + (size_t)row * columns, key, &key_len, err);
        if (status) return weir_err_prefix(err, "row %d", row);
    }
    return WEIR_OK;
}

static weir_status send_rows(serve *s, serve_thread *thread, const weir_feed_def *def, weir_serde *serde, const weir_datum *rows, int row_count,
                             const char *trace, weir_err *err) {
    size_t columns = (size_t)weir_schema_field_count(def->schema);
    weir_bus_header header = {"traceparent", trace, trace ? strlen(trace) : 0};
    weir_status status = WEIR_OK;
    pthread_mutex_lock(&s->push_lock);
    for (int row = 0; !status && row < row_count; row++) {
        const weir_datum *record = rows + (size_t)row * columns;
        char key[WEIR_KEY_MAX];
        size_t key_len;
        weir_buf_clear(&thread->buf);
        status = weir_key_make(def, def->key_index, def->key_count, record, key, &key_len, err);
        if (!status) status = weir_serde_encode(serde, record, &thread->buf, err);
        if (!status) status = weir_producer_send(s->producer, def->topic, -1, key, key_len, thread->buf.data, thread->buf.len, &header, trace ? 1 : 0, 0, err);
    }
    if (!status) status = weir_producer_flush(s->producer, FLUSH_MS, err);
    pthread_mutex_unlock(&s->push_lock);
    return status;
}

weir_status serve_push(serve *s, serve_thread *thread, const weir_http_request *request, weir_http_response *response, weir_err *err) {
    weir_push_request parsed;
    weir_feed feed = WEIR_FROM_EVENTS;
    weir_serde *serde = NULL;
    weir_status status = weir_push_parse(request->body, request->body_len, &parsed, err);
    if (!status) status = push_feed(s, parsed.source, &feed, err);
    if (status) goto out;
    const weir_feed_def *def = feed == WEIR_FROM_EVENTS ? &s->pipeline->events : &s->pipeline->labels;
    int row_count = parsed.df.row_count;
    weir_datum *rows = weir_arena_alloc(&thread->arena, (size_t)row_count * (size_t)weir_schema_field_count(def->schema) * sizeof *rows);
    if (!rows) {
        status = serve_no_memory(err);
        goto out;
    }
    status = weir_json_rows(&parsed.df, def, true, rows, err);
    if (!status) status = serve_own_rows(&thread->grant, &parsed.df, def, rows, err);
    if (!status) status = check_rows(s, feed, def, rows, row_count, err);
    if (!status) status = serde_of(s, thread, feed, def, &serde, err);
    if (!status) status = send_rows(s, thread, def, serde, rows, row_count, weir_http_header(request, "traceparent"), err);
    if (!status && !weir_buf_printf(&response->body, "{\"accepted\":%d}", row_count)) status = serve_no_memory(err);
out:
    weir_push_request_done(&parsed);
    return status;
}
