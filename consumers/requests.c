#include "consumers/requests.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The flattened row: the two records are a column each, that says whether they are there. */
enum { ASK_ID, ASK_TIME, ASK_MODEL, ASK_EVENT, ASK_EVENT_FIRST };

static const char *avro_type(const weir_schema_field *field) {
    if (field->is_timestamp) return "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}";
    switch (field->type) {
    case WEIR_T_BOOL: return "\"boolean\"";
    case WEIR_T_I64: return "\"long\"";
    case WEIR_T_F64: return "\"double\"";
    case WEIR_T_BYTES: return "\"bytes\"";
    default: return "\"string\"";
    }
}

static bool put_member(weir_buf *out, bool first, const char *name, const char *type) {
    return weir_buf_printf(out, "%s{\"name\":\"%s\",\"type\":[\"null\",%s],\"default\":null}", first ? "" : ",", name, type);
}

static bool is_plain(const char *name) {
    return !strchr(name, '.');
}

static bool put_schema(weir_requests *r, const char *const *columns, const int *inputs, int column_count, weir_buf *out) {
    const weir_schema *events = r->pipeline->events.schema;
    int field_count = weir_schema_field_count(events);
    bool ok = weir_buf_printf(
        out,
        "{\"type\":\"record\",\"name\":\"Request\",\"namespace\":\"weir.%s\",\"doc\":\"Who asks for a score, of what. The key of the record "
        "is tenant/entity.\",\"fields\":["
        "{\"name\":\"request_id\",\"type\":\"string\",\"doc\":\"comes back with the answer\"},"
        "{\"name\":\"time\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"default\":null,\"doc\":\"as of when; "
        "without: the time in the event, else the record's timestamp\"},"
        "{\"name\":\"model\",\"type\":[\"null\",\"string\"],\"default\":null,\"doc\":\"an alias, MODEL or MODEL/VERSION\"},"
        "{\"name\":\"event\",\"default\":null,\"doc\":\"without: the entity is the one of the key\",\"type\":[\"null\",{\"type\":\"record\","
        "\"name\":\"Event\",\"fields\":[",
        r->pipeline->name);
    for (int c = 0; ok && c < field_count; c++) {
        const weir_schema_field *field = weir_schema_field_at(events, c);
        if (!is_plain(field->name)) continue;
        ok = put_member(out, !r->event_count, field->name, avro_type(field));
        r->columns[r->event_count++] = c;
    }
    ok = ok && weir_buf_printf(out, "]}]},{\"name\":\"features\",\"default\":null,\"doc\":\"what is given here is not looked up\",\"type\":[\"null\",{\"type\":"
                                    "\"record\",\"name\":\"Features\",\"fields\":[");
    for (int i = 0; ok && i < column_count; i++) {
        if (inputs[i] < field_count) continue;
        ok = put_member(out, !r->feature_count, columns[i], "\"double\"");
        r->inputs[r->feature_count++] = inputs[i];
    }
    return ok && weir_buf_printf(out, "]}]}]}");
}

weir_status weir_requests_init(weir_requests *requests, weir_registry *registry, const weir_pipeline *pipeline, const char *const *columns, const int *inputs,
                               int column_count, weir_err *err) {
    *requests = (weir_requests){.pipeline = pipeline};
    weir_buf json = {0};
    char *topic = weir_topic_of(pipeline, "requests");
    requests->columns = calloc((size_t)weir_schema_field_count(pipeline->events.schema) + 1, sizeof *requests->columns);
    requests->inputs = calloc((size_t)column_count + 1, sizeof *requests->inputs);
    bool ok = topic && requests->columns && requests->inputs && put_schema(requests, columns, inputs, column_count, &json);
    weir_status status = ok ? weir_event_codec_init_json(&requests->codec, registry, json.data, topic, err)
                            : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the schema of requests");
    if (!status && !(requests->row = calloc((size_t)weir_schema_field_count(requests->codec.schema), sizeof *requests->row)))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of %s", topic);
    if (status) weir_requests_done(requests);
    weir_buf_done(&json);
    free(topic);
    return status;
}

void weir_requests_done(weir_requests *requests) {
    weir_event_codec_done(&requests->codec);
    free(requests->columns);
    free(requests->inputs);
    free(requests->row);
    *requests = (weir_requests){0};
}

/* ---- whom it is about ---- */

static weir_status wrong_key(const weir_bus_record *record, weir_err *err) {
    return WEIR_REJECT(err, WEIR_EDATA, "a request without an event needs the key tenant/entity of whom it is about; found '%.*s'",
                       (int)(record->key_len > 100 ? 100 : record->key_len), record->key ? (const char *)record->key : "");
}

/* A part of the key as the column that it was made from. */
static weir_status take_part(const weir_bus_record *record, const weir_schema_field *field, const char *part, size_t len, weir_datum *out, weir_err *err) {
    char text[24], *end;
    if (!len) return wrong_key(record, err);
    if (field->type == WEIR_T_STR) {
        *out = weir_str(part, len);
        return WEIR_OK;
    }
    if (field->type != WEIR_T_I64 || len >= sizeof text) return wrong_key(record, err);
    memcpy(text, part, len);
    text[len] = 0;
    errno = 0;
    *out = weir_i64(strtoll(text, &end, 10));
    return *end || errno ? wrong_key(record, err) : WEIR_OK;
}

/* The entity columns of the event from the record's key: parts joined by '|', after the tenant. */
static weir_status take_key(const weir_feed_def *feed, const weir_bus_record *record, weir_datum *event, weir_err *err) {
    const char *key = record->key, *end = key + record->key_len, *slash = key ? memchr(key, '/', record->key_len) : NULL;
    weir_status status = WEIR_OK;
    if (!slash) return wrong_key(record, err);
    if (feed->tenant_index >= 0) event[feed->tenant_index] = weir_str(key, (size_t)(slash - key));
    const char *part = slash + 1;
    for (int i = 0; !status && i < feed->key_count; i++) {
        const char *bar = i + 1 < feed->key_count ? memchr(part, '|', (size_t)(end - part)) : end;
        if (!bar) return wrong_key(record, err);
        status = take_part(record, weir_schema_field_at(feed->schema, feed->key_index[i]), part, (size_t)(bar - part), &event[feed->key_index[i]], err);
        part = bar < end ? bar + 1 : end;
    }
    return status;
}

/* Whether the event says nothing of whom it is about. */
static bool is_nameless(const weir_feed_def *feed, const weir_datum *event) {
    bool none = feed->tenant_index < 0 || event[feed->tenant_index].type == WEIR_T_NULL;
    for (int i = 0; i < feed->key_count; i++) none &= event[feed->key_index[i]].type == WEIR_T_NULL;
    return none;
}

static weir_status find_entity(weir_requests *r, const weir_bus_record *record, weir_datum *event, char key[WEIR_KEY_MAX], weir_request *request,
                               const char **ret_class, weir_err *err) {
    const weir_feed_def *feed = &r->pipeline->events;
    weir_status status = is_nameless(feed, event) ? take_key(feed, record, event, err) : WEIR_OK;
    *ret_class = "key";
    if (!status) status = weir_key_make(feed, feed->key_index, feed->key_count, event, key, &request->key_len, err);
    if (status) return status;
    if (record->key_len != request->key_len || !record->key || memcmp(record->key, key, request->key_len) != 0)
        return WEIR_REJECT(err, WEIR_EDATA, "the request is about '%s' and came under the key '%.*s': the key has to be tenant/entity of whom it is about", key,
                           (int)(record->key_len > 100 ? 100 : record->key_len), record->key ? (const char *)record->key : "");
    request->tenant_len = (size_t)((const char *)memchr(key, '/', request->key_len) - key);
    return WEIR_OK;
}

/* ---- the rest ---- */

static weir_status check_texts(const weir_requests *r, weir_err *err) {
    const weir_datum *id = &r->row[ASK_ID], *model = &r->row[ASK_MODEL];
    if (id->type != WEIR_T_STR || !id->len || id->len > WEIR_REQUEST_ID_MAX || !weir_text_valid(id->p, id->len))
        return WEIR_REJECT(err, WEIR_EDATA, "request_id: expected 1 to %d bytes of text", WEIR_REQUEST_ID_MAX);
    if (model->type == WEIR_T_STR && (!model->len || model->len > WEIR_REQUEST_MODEL_MAX || !weir_text_valid(model->p, model->len)))
        return WEIR_REJECT(err, WEIR_EDATA, "model: expected 1 to %d bytes of text", WEIR_REQUEST_MODEL_MAX);
    return WEIR_OK;
}

static weir_status find_time(const weir_requests *r, const weir_bus_record *record, int64_t now_us, weir_datum *event, int64_t *ret_us, const char **ret_class,
                             weir_err *err) {
    const weir_feed_def *feed = &r->pipeline->events;
    weir_datum *time = &event[feed->time_index];
    if (r->row[ASK_TIME].type != WEIR_T_NULL) *time = r->row[ASK_TIME];
    if (time->type == WEIR_T_NULL) *time = weir_i64(record->timestamp_ms > 0 ? weir_bus_time_us(record) : now_us);
    *ret_us = time->i;
    *ret_class = "future";
    if (time->i > now_us + feed->max_future_us)
        return WEIR_REJECT(err, WEIR_EDATA, "the time of the request is further ahead of the clock than max_future allows");
    *ret_class = "check";
    if (time->i < WEIR_TIME_MIN_US || time->i > WEIR_TIME_MAX_US) return WEIR_REJECT(err, WEIR_EDATA, "the time of the request is not in the years 1 to 9999");
    return WEIR_OK;
}

weir_status weir_requests_read(weir_requests *requests, const weir_bus_record *record, int64_t now_us, weir_datum *event, char key[WEIR_KEY_MAX],
                               weir_request *ret_request, const char **ret_class, weir_err *err) {
    const weir_schema *events = requests->pipeline->events.schema;
    weir_request request = {.event = event, .is_event = true};
    *ret_class = "decode";
    if (!record->value) return WEIR_REJECT(err, WEIR_EDATA, "a request without a value");
    weir_status status = weir_serde_decode(requests->codec.serde, record->value, record->value_len, requests->row, NULL, err);
    if (!status) status = check_texts(requests, err);
    if (status) return status;
    for (int c = 0; c < weir_schema_field_count(events); c++) event[c] = weir_null();
    for (int i = 0; i < requests->event_count; i++) event[requests->columns[i]] = requests->row[ASK_EVENT_FIRST + i];
    status = find_entity(requests, record, event, key, &request, ret_class, err);
    if (!status) status = find_time(requests, record, now_us, event, &request.t_us, ret_class, err);
    if (status) return status;
    for (int c = 0; c < weir_schema_field_count(events); c++) request.is_event &= event[c].type != WEIR_T_NULL || weir_schema_field_at(events, c)->nullable;
    request.is_event &= requests->row[ASK_EVENT].type == WEIR_T_BOOL && requests->row[ASK_EVENT].i;
    request.id = requests->row[ASK_ID];
    request.model = requests->row[ASK_MODEL];
    *ret_request = request;
    return WEIR_OK;
}

int weir_requests_override(const weir_requests *requests, double *inputs, bool *given) {
    const weir_datum *features = requests->row + ASK_EVENT_FIRST + requests->event_count + 1;
    int count = 0;
    for (int i = 0; i < requests->feature_count; i++) {
        if (features[i].type == WEIR_T_NULL) continue;
        inputs[requests->inputs[i]] = weir_datum_number(&features[i]);
        given[requests->inputs[i]] = true;
        count++;
    }
    return count;
}
