/* Topics of a pipeline: their names, their creation, and the schema of what goes through the feature topics. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "features/pipeline.h"

enum {
    CONTROL_TOPIC_PARTITIONS = 1, /* weir.*: order across the platform matters more than throughput */
    STATE_MESSAGE_BYTES = 4 << 20, /* feature records carry the state of a busy entity; as much as producers send */
    DEADLETTER_MESSAGE_BYTES = 2 << 20 /* anything that fitted the broker's default, and the headers that say why */
};

static const char *const control_topics[] = {"weir.schedule",        "weir.drift",
                                             "weir.performance",     "weir.training.requests",
                                             "weir.training.trials", "weir.training.decisions",
                                             "weir.training.runs",   "weir.models",
                                             "weir.rollouts",        "weir.alerts",
                                             "weir.lineage"};
enum { CONTROL_TOPIC_COUNT = sizeof(control_topics) / sizeof(*control_topics) };

static char *WEIR_PRINTF(1, 2) name_of(const char *format, ...) {
    weir_buf name = {0};
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof(text) || !weir_buf_append(&name, text, (size_t)n)) return NULL;
    return name.data;
}

char *weir_topic_features(const weir_pipeline *pipeline, const weir_view_def *view) {
    return name_of("%s.features.%s", pipeline->name, view->name);
}
char *weir_topic_repartition(const weir_pipeline *pipeline, const weir_view_def *view) {
    return name_of("%s.repartition.%s", pipeline->name, view->name);
}
char *weir_topic_of(const weir_pipeline *pipeline, const char *what) {
    return name_of("%s.%s", pipeline->name, what);
}

weir_status weir_pipeline_create_topics(const weir_pipeline *pipeline, const char *brokers, weir_err *err) {
    enum { OWN_MAX = 6 + 2 * WEIR_VIEWS_MAX };
    weir_topic_spec specs[OWN_MAX + CONTROL_TOPIC_COUNT];
    char *made[OWN_MAX];
    size_t n = 0, made_count = 0;
    weir_topic_spec stream = {.partitions = pipeline->partitions, .retention_ms = pipeline->retention_ms};
    weir_topic_spec state = {.partitions = pipeline->partitions, .compact = true, .retention_ms = -1, .max_message_bytes = STATE_MESSAGE_BYTES};
    specs[n] = stream;
    specs[n++].name = pipeline->events.topic;
    if (pipeline->labels.topic) {
        specs[n] = stream;
        specs[n++].name = pipeline->labels.topic;
    }
    for (int i = 0; i < pipeline->view_count; i++) {
        specs[n] = state;
        specs[n++].name = made[made_count++] = weir_topic_features(pipeline, &pipeline->views[i]);
        specs[n] = stream; /* for every view: also records of a view keyed like its feed may arrive under another key */
        specs[n++].name = made[made_count++] = weir_topic_repartition(pipeline, &pipeline->views[i]);
    }
    specs[n] = stream;
    specs[n++].name = made[made_count++] = weir_topic_of(pipeline, "predictions");
    specs[n] = stream;
    specs[n++].name = made[made_count++] = weir_topic_of(pipeline, "shadows");
    if (pipeline->serving.requests) {
        specs[n] = stream;
        specs[n++].name = made[made_count++] = weir_topic_of(pipeline, "requests");
    }
    specs[n] = stream;
    specs[n].max_message_bytes = DEADLETTER_MESSAGE_BYTES;
    specs[n++].name = made[made_count++] = weir_topic_of(pipeline, "deadletter");
    for (int i = 0; i < CONTROL_TOPIC_COUNT; i++)
        specs[n++] = (weir_topic_spec){.name = control_topics[i], .partitions = CONTROL_TOPIC_PARTITIONS, .retention_ms = -1};
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < n; i++) {
        if (!specs[i].name) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the names of topics");
    }
    if (!status) status = weir_bus_topics_create(brokers, specs, n, err);
    for (size_t i = 0; i < made_count; i++) free(made[i]);
    return status;
}

/* ,"doc":"…" */
static bool put_doc(weir_buf *out, const weir_feature_def *f) {
    if (!f->doc && !f->unit) return true;
    bool ok = weir_buf_printf(out, ",\"doc\":\"");
    if (f->doc) ok = ok && weir_buf_json_escape(out, f->doc, strlen(f->doc));
    if (f->unit)
        ok = ok && weir_buf_printf(out, "%s(unit: ", f->doc ? " " : "") && weir_buf_json_escape(out, f->unit, strlen(f->unit)) && weir_buf_printf(out, ")");
    return ok && weir_buf_printf(out, "\"");
}

weir_status weir_features_schema_json(const weir_pipeline *pipeline, const weir_view_def *view, char **ret_json, weir_err *err) {
    static const char head[] =
        "{\"type\":\"record\",\"name\":\"features_%s\",\"namespace\":\"weir.%s.features\",\"doc\":\"Features of %s after a record, and the state they "
        "were made from.\",\"fields\":["
        "{\"name\":\"tenant\",\"type\":\"string\"},{\"name\":\"entity\",\"type\":\"string\"},"
        "{\"name\":\"event_time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},"
        "{\"name\":\"available_time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},"
        "{\"name\":\"source_partition\",\"type\":\"int\"},{\"name\":\"source_offset\",\"type\":\"long\"},"
        "{\"name\":\"seq\",\"type\":\"long\",\"default\":0,\"doc\":\"arrival number of the source record in the entity, from 1\"},"
        "{\"name\":\"version\",\"type\":\"long\",\"default\":0,\"doc\":\"the features count the records with seq up to this; of several with one source the "
        "highest "
        "holds\"},"
        "{\"name\":\"epoch\",\"type\":\"int\",\"default\":0,\"doc\":\"of the writer that owned the partition; what comes behind a higher one is void\"},"
        "{\"name\":\"marks\",\"type\":[\"null\",\"string\"],\"default\":null,\"doc\":\"names of the checks that marked the record, separated by commas\"},"
        "{\"name\":\"record\",\"doc\":\"the source record; null in a correction of an earlier value\",\"default\":null,\"type\":[\"null\",";
    const weir_schema *feed = view->from == WEIR_FROM_LABELS ? pipeline->labels.schema : pipeline->events.schema;
    weir_buf out = {0};
    bool ok = weir_buf_printf(&out, head, view->name, pipeline->name, view->name) && weir_buf_printf(&out, "%s", weir_schema_json(feed)) &&
              weir_buf_printf(&out, "]},{\"name\":\"features\",\"type\":{\"type\":\"record\",\"name\":\"features_%s_values\",\"fields\":[", view->name);
    for (int i = 0, shown = 0; ok && i < view->feature_count; i++) {
        const weir_feature_def *f = &view->features[i];
        if (f->hidden) continue;
        ok = weir_buf_printf(&out, "%s{\"name\":\"%s\",\"type\":[\"null\",\"double\"],\"default\":null", shown++ ? "," : "", f->name) && put_doc(&out, f) &&
             weir_buf_printf(&out, "}");
    }
    ok = ok && weir_buf_printf(&out, "]}},{\"name\":\"state\",\"type\":[\"null\",\"bytes\"],\"default\":null,\"doc\":\"the entity's whole state: then the "
                                     "record repeats its newest value\"}]}");
    if (!ok) {
        weir_buf_done(&out);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the schema of view %s", view->name);
    }
    *ret_json = out.data;
    return WEIR_OK;
}
