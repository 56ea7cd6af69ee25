/* Codecs of the control events, the feature records and the predictions. Schemas that depend on a pipeline are made here, from its columns. */
#include "consumers/events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/pg.h"

weir_status weir_event_codec_init_json(weir_event_codec *codec, weir_registry *registry, const char *schema_json, const char *topic, weir_err *err) {
    *codec = (weir_event_codec){0};
    char subject[300];
    snprintf(subject, sizeof subject, "%s-value", topic);
    weir_status status = weir_schema_parse(schema_json, strlen(schema_json), &codec->schema, err);
    if (!status) status = weir_serde_new(registry, subject, codec->schema, &codec->serde, err);
    if (status) {
        weir_event_codec_done(codec);
        return weir_err_prefix(err, "schema of %s", topic);
    }
    return WEIR_OK;
}

weir_status weir_event_codec_init(weir_event_codec *codec, weir_registry *registry, const char *schema_path, const char *topic, weir_err *err) {
    const weir_embedded_file *file = weir_embedded_find(schema_path);
    if (!file) {
        *codec = (weir_event_codec){0};
        return WEIR_FAIL(err, WEIR_EINTERNAL, "%s is not embedded in this program", schema_path);
    }
    return weir_event_codec_init_json(codec, registry, file->data, topic, err);
}

void weir_event_codec_done(weir_event_codec *codec) {
    weir_serde_free(codec->serde);
    weir_schema_free(codec->schema);
    weir_buf_done(&codec->buf);
    *codec = (weir_event_codec){0};
}

weir_status weir_event_send(weir_event_codec *codec, weir_producer *producer, const char *topic, const char *key, const char *type, const char *id,
                            int64_t time_us, const weir_datum *row, weir_err *err) {
    weir_buf_clear(&codec->buf);
    weir_status status = weir_serde_encode(codec->serde, row, &codec->buf, err);
    if (status) return weir_err_prefix(err, "%s", topic);
    char time[WEIR_TIME_TEXT_MAX];
    weir_time_format(time_us, time);
    const weir_bus_header headers[] = {
        {"ce_specversion", "1.0", 3},    {"ce_id", id, strlen(id)},       {"ce_source", "weir", 4},
        {"ce_type", type, strlen(type)}, {"ce_time", time, strlen(time)}, {"content-type", "application/avro", 16},
    };
    return weir_producer_send(producer, topic, -1, key, strlen(key), codec->buf.data, codec->buf.len, headers, sizeof headers / sizeof *headers, 0, err);
}

weir_status weir_features_codec_init(weir_features_codec *codec, weir_registry *registry, const weir_pipeline *pipeline, const weir_view_def *view,
                                     weir_err *err) {
    *codec = (weir_features_codec){0};
    char *json = NULL, *topic = weir_topic_features(pipeline, view);
    weir_status status = topic ? weir_features_schema_json(pipeline, view, &json, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a topic name");
    if (!status) status = weir_event_codec_init_json(&codec->codec, registry, json, topic, err);
    if (!status) {
        const weir_feed_def *feed = view->from == WEIR_FROM_EVENTS ? &pipeline->events : &pipeline->labels;
        codec->record_count = weir_schema_field_count(feed->schema);
        codec->feature_base = FEAT_RECORD + codec->record_count;
        for (int i = 0; i < view->feature_count; i++) codec->feature_count += !view->features[i].hidden;
        codec->state_index = codec->feature_base + codec->feature_count;
        codec->column_count = codec->state_index + 1;
        if (weir_schema_field_count(codec->codec.schema) != codec->column_count || weir_schema_find(codec->codec.schema, "state") != codec->state_index)
            status = WEIR_FAIL(err, WEIR_EINTERNAL, "schema of %s has other columns than its codec expects", topic);
    }
    if (!status && (!(codec->row = calloc((size_t)codec->column_count, sizeof *codec->row)) ||
                    !(codec->features = calloc((size_t)codec->feature_count + 1, sizeof *codec->features))))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of %s", topic);
    for (int i = 0, n = 0; !status && i < view->feature_count; i++)
        if (!view->features[i].hidden) codec->features[n++] = i;
    if (status) weir_features_codec_done(codec);
    free(json);
    free(topic);
    return status;
}

void weir_features_codec_done(weir_features_codec *codec) {
    weir_event_codec_done(&codec->codec);
    free(codec->row);
    free(codec->features);
    *codec = (weir_features_codec){0};
}

weir_features_kind weir_features_kind_of(const weir_features_codec *codec, const weir_datum *row) {
    if (row[codec->state_index].type != WEIR_T_NULL) return WEIR_FEATURES_SNAPSHOT;
    return row[FEAT_HAS_RECORD].i ? WEIR_FEATURES_VALUE : WEIR_FEATURES_CORRECTION;
}

void weir_features_values(const weir_features_codec *codec, const weir_view_def *view, const weir_datum *row, double *out) {
    for (int i = 0; i < view->feature_count; i++) out[i] = NAN;
    for (int i = 0; i < codec->feature_count; i++) out[codec->features[i]] = weir_datum_number(&row[codec->feature_base + i]);
}

#define HEADER_EPOCH "weir.epoch"

weir_status weir_features_fence(weir_producer *producer, const char *topic, int32_t partition, int32_t epoch, weir_err *err) {
    char text[16];
    const weir_bus_header header = {HEADER_EPOCH, text, (size_t)snprintf(text, sizeof text, "%d", (int)epoch)};
    return weir_producer_send(producer, topic, partition, "", 0, NULL, 0, &header, 1, 0, err);
}

int32_t weir_features_fence_of(const weir_bus_record *record) {
    weir_bus_header header;
    char text[16];
    if (record->value || record->key_len || !weir_bus_header_get(record, HEADER_EPOCH, &header) || header.len >= sizeof text) return -1;
    memcpy(text, header.value, header.len);
    text[header.len] = 0;
    char *end;
    long epoch = strtol(text, &end, 10);
    return *end || end == text || epoch < 0 || epoch > INT32_MAX ? -1 : (int32_t)epoch;
}

static bool add_field(weir_buf *out, const char *name, const char *type) {
    return weir_buf_printf(out, "%s{\"name\":\"%s\",\"type\":%s}", out->data[out->len - 1] == '[' ? "" : ",", name, type);
}

static const char *const time_type = "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}";
static const char *const nullable_time_type = "[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}]";

/* The fixed columns of a prediction, in the order of PRED_…. */
static const struct {
    const char *name;
    const char *const *type;
} prediction_fields[PRED_VIEWS] = {
#define TEXT(n)                                                                                                                                                \
    {                                                                                                                                                          \
        n, (const char *const[]) {                                                                                                                             \
            "\"string\""                                                                                                                                       \
        }                                                                                                                                                      \
    }
#define TYPE(n, t)                                                                                                                                             \
    {                                                                                                                                                          \
        n, (const char *const[]) {                                                                                                                             \
            t                                                                                                                                                  \
        }                                                                                                                                                      \
    }
    [PRED_ID] = TEXT("prediction_id"),
    [PRED_TENANT] = TEXT("tenant"),
    [PRED_ENTITY] = TEXT("entity"),
    [PRED_JOIN_ID] = TYPE("join_id", "[\"null\",\"string\"]"),
    [PRED_EVENT_TIME] = {"event_time", &time_type},
    [PRED_SOURCE_PARTITION] = TYPE("source_partition", "\"int\""),
    [PRED_SOURCE_OFFSET] = TYPE("source_offset", "\"long\""),
    [PRED_PREDICTED_AT] = {"predicted_at", &time_type},
    [PRED_MODEL] = TEXT("model"),
    [PRED_VERSION] = TYPE("version", "\"int\""),
    [PRED_DIGEST] = TEXT("digest"),
    [PRED_ARM] = TEXT("arm"),
    [PRED_PROPENSITY] = TYPE("propensity", "\"double\""),
    [PRED_SCORE] = TYPE("score", "[\"null\",\"double\"]"),
    [PRED_DECISION] = TYPE("decision", "[\"null\",\"boolean\"]"),
    [PRED_FEATURE_HASH] = TEXT("feature_hash"),
    [PRED_POLICY] = TYPE("policy", "[\"null\",\"string\"],\"default\":null"),
    [PRED_BUCKET] = TYPE("bucket", "[\"null\",\"int\"],\"default\":null"),
    [PRED_CLASS] = TYPE("class", "[\"null\",\"string\"],\"default\":null"),
    [PRED_SCORES] = TYPE("scores", "[\"null\",\"string\"],\"default\":null"),
    [PRED_OUTCOME] = TYPE("outcome", "[\"null\",\"string\"],\"default\":null"),
    [PRED_REASON] = TYPE("reason", "[\"null\",\"string\"],\"default\":null"),
    [PRED_AGE] = TYPE("age_seconds", "[\"null\",\"double\"],\"default\":null"),
    [PRED_REQUEST] = TYPE("request_id", "[\"null\",\"string\"],\"default\":null"),
#undef TEXT
#undef TYPE
};

static bool prediction_schema(const weir_pipeline *pipeline, const char *const *columns, int column_count, weir_buf *out) {
    bool ok = weir_buf_printf(
        out, "{\"type\":\"record\",\"name\":\"Prediction\",\"namespace\":\"weir.%s\",\"doc\":\"A score, who gave it, and what it was made of.\",\"fields\":[",
        pipeline->name);
    for (int i = 0; ok && i < PRED_VIEWS; i++) ok = add_field(out, prediction_fields[i].name, *prediction_fields[i].type);
    ok = ok && weir_buf_printf(out, ",{\"name\":\"views\",\"type\":{\"type\":\"record\",\"name\":\"Views\",\"fields\":[");
    for (int v = 0; ok && v < pipeline->view_count; v++) {
        const char *name = pipeline->views[v].name;
        ok = weir_buf_printf(out, "%s{\"name\":\"%s\",\"type\":{\"type\":\"record\",\"name\":\"Read_%s\",\"fields\":[", v ? "," : "", name, name) &&
             add_field(out, "source_partition", "[\"null\",\"int\"]") && add_field(out, "source_offset", "[\"null\",\"long\"]") &&
             add_field(out, "event_time", nullable_time_type) && add_field(out, "age_seconds", "[\"null\",\"double\"]") &&
             weir_buf_printf(out, ",{\"name\":\"version\",\"type\":[\"null\",\"long\"],\"default\":null}]}}");
    }
    ok = ok && weir_buf_printf(out, "]}},{\"name\":\"features\",\"type\":{\"type\":\"record\",\"name\":\"Inputs\",\"fields\":[");
    for (int i = 0; ok && i < column_count; i++)
        ok = weir_buf_printf(out, "%s{\"name\":\"%s\",\"type\":[\"null\",\"double\"],\"default\":null}", i ? "," : "", columns[i]);
    return ok && weir_buf_printf(out, "]}}]}");
}

weir_status weir_prediction_codec_init(weir_prediction_codec *codec, weir_registry *registry, const weir_pipeline *pipeline, const char *const *columns,
                                       int column_count, weir_err *err) {
    *codec = (weir_prediction_codec){0};
    weir_buf json = {0};
    char *topic = weir_topic_of(pipeline, "predictions");
    weir_status status = topic && prediction_schema(pipeline, columns, column_count, &json)
                             ? weir_event_codec_init_json(&codec->codec, registry, json.data, topic, err)
                             : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the schema of predictions");
    if (!status) {
        codec->input_base = PRED_VIEWS + PRED_VIEW_COLUMNS * pipeline->view_count;
        codec->input_count = column_count;
        codec->column_count = codec->input_base + column_count;
        if (!(codec->row = calloc((size_t)codec->column_count, sizeof *codec->row))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of %s", topic);
    }
    if (status) weir_prediction_codec_done(codec);
    weir_buf_done(&json);
    free(topic);
    return status;
}

void weir_prediction_codec_done(weir_prediction_codec *codec) {
    weir_event_codec_done(&codec->codec);
    free(codec->row);
    *codec = (weir_prediction_codec){0};
}
