/* `weir why PREDICTION_ID`: everything that is known of one prediction. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"
#include "core/clock.h"
#include "core/json.h"
#include "models/json.h"
#include "models/why.h"

enum { RECORD_PATIENCE_MS = 3000, POLL_MS = 100, CELL_TEXT = 32 };

typedef struct why_options {
    char *prediction, *pipeline;
    int output;
} why_options;

static const weir_conf_item why_table[] = {
    {.name = "prediction",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(why_options, prediction),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "id of the prediction: PIPELINE-PARTITION-OFFSET"},
    {.name = "pipeline",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(why_options, pipeline),
     .doc = "name of its pipeline, or path of the file; not given: the name that the id begins with"},
    WEIR_OUTPUT_ITEM(why_options, output),
    {.name = NULL},
};

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to tell about a prediction");
}

static const char *text_of(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(weir_json_at(object, name));
    return text && *text ? text : "-";
}

/* ---- the event in Kafka ---- */

/* Adds schema_id and record_time of the record at the offset, or "record": why they are not known. A broker that is away costs no answer. */
static weir_status read_record(weir_consumer *consumer, cJSON *source, const weir_partition *at, weir_err *why_not) {
    int64_t first, end, deadline_us = weir_clock_mono_us(weir_clock_system()) + RECORD_PATIENCE_MS * INT64_C(1000);
    weir_status status = weir_consumer_range(consumer, at->topic, at->partition, &first, &end, RECORD_PATIENCE_MS, why_not);
    if (status) return status;
    if (at->offset < first || at->offset >= end)
        return WEIR_FAIL(why_not, WEIR_ENOTFOUND, "the topic now holds offsets %" PRId64 " to %" PRId64 " of this partition", first, end);
    while (weir_clock_mono_us(weir_clock_system()) < deadline_us) {
        weir_bus_record record;
        size_t count = 0;
        if ((status = weir_consumer_poll(consumer, &record, 1, POLL_MS, &count, why_not))) return status;
        if (!count) continue;
        const unsigned char *v = record.value;
        bool found = record.offset == at->offset, framed = found && v && record.value_len >= 5 && v[0] == 0;
        char time[WEIR_TIME_TEXT_MAX];
        bool ok = !found || cJSON_AddStringToObject(source, "record_time", weir_time_format(weir_bus_time_us(&record), time));
        if (framed) ok = ok && cJSON_AddNumberToObject(source, "schema_id", (double)((uint32_t)v[1] << 24 | (uint32_t)v[2] << 16 | (uint32_t)v[3] << 8 | v[4]));
        weir_consumer_release(consumer, &record, count);
        if (!ok) return no_memory(why_not);
        return framed ? WEIR_OK : WEIR_FAIL(why_not, WEIR_ENOTFOUND, found ? "the record has no schema id" : "the record was removed from the topic");
    }
    return WEIR_FAIL(why_not, WEIR_ETIMEOUT, "the broker did not answer in time");
}

static weir_status tell_record(const weir_settings *settings, cJSON *out, weir_err *err) {
    cJSON *source = cJSON_GetObjectItemCaseSensitive(out, "source");
    weir_consumer *consumer = NULL;
    weir_err why_not;
    const weir_partition at = {
        .topic = text_of(source, "topic"),
        .partition = (int32_t)cJSON_GetNumberValue(weir_json_at(source, "partition")),
        .offset = (int64_t)cJSON_GetNumberValue(weir_json_at(source, "offset")),
    };
    weir_status failed = weir_consumer_new_assigned(settings->brokers, &at, 1, &consumer, &why_not);
    if (!failed) failed = read_record(consumer, source, &at, &why_not);
    weir_consumer_free(consumer);
    return failed && !cJSON_AddStringToObject(source, "record", why_not.message) ? no_memory(err) : WEIR_OK;
}

/* ---- a prediction that is not in the store ---- */

/* Records of the predictions' topic that the store has not taken yet; −1: not known. */
static int64_t behind_of(const weir_settings *settings, const weir_pipeline *pipeline, weir_pg *pg, int32_t partition) {
    char *topic = weir_topic_of(pipeline, "predictions"), number[16];
    weir_consumer *consumer = NULL;
    PGresult *result = NULL;
    weir_err err;
    int64_t first, end, behind = -1;
    snprintf(number, sizeof number, "%" PRId32, partition);
    const weir_partition at = {.topic = topic, .partition = partition};
    if (topic &&
        !weir_pg_exec(pg, "SELECT next_offset FROM weir.sink_offsets WHERE pipeline = $1 AND sink = 'store' AND topic = $2 AND partition = $3::int4", 3,
                      (const char *const[]){pipeline->name, topic, number}, &result, &err) &&
        !weir_consumer_new_assigned(settings->brokers, &at, 1, &consumer, &err) &&
        !weir_consumer_range(consumer, topic, partition, &first, &end, RECORD_PATIENCE_MS, &err)) {
        int64_t next = PQntuples(result) ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : first;
        behind = end > next ? end - next : 0;
    }
    PQclear(result);
    weir_consumer_free(consumer);
    free(topic);
    return behind;
}

static void say_unknown(const weir_settings *settings, const weir_pipeline *pipeline, weir_pg *pg, const weir_prediction_id *id, const weir_err *err) {
    int64_t behind = behind_of(settings, pipeline, pg, id->partition);
    fprintf(stderr, "weir why: %s", err->message);
    if (behind > 0)
        fprintf(stderr, "; its store worker is %" PRId64 " predictions behind in partition %" PRId32 ", so ask again when it has caught up\n", behind,
                id->partition);
    else if (behind == 0)
        fprintf(stderr, "; the store worker has stored every prediction of partition %" PRId32 ", so this one was never made\n", id->partition);
    else
        fprintf(stderr, "; the store worker may be behind: the broker did not say\n");
}

/* ---- text ---- */

static void put_number(char text[CELL_TEXT], const cJSON *item, const char *format) {
    double value = weir_json_value(item);
    if (isnan(value))
        snprintf(text, CELL_TEXT, "-");
    else
        snprintf(text, CELL_TEXT, format, value);
}

static void print_head(const cJSON *out) {
    const cJSON *p = weir_json_at(out, "prediction"), *s = weir_json_at(out, "source"), *m = weir_json_at(out, "model"),
                *decision = weir_json_at(p, "decision");
    char score[CELL_TEXT], threshold[CELL_TEXT], propensity[CELL_TEXT], schema[CELL_TEXT];
    put_number(score, weir_json_at(p, "score"), "%.6g");
    put_number(threshold, weir_json_at(p, "threshold"), "%.6g");
    put_number(propensity, weir_json_at(p, "propensity"), "%g");
    put_number(schema, weir_json_at(s, "schema_id"), "schema %.0f");
    printf("prediction  %s of tenant %s, entity %s, %s\n", text_of(p, "id"), text_of(p, "tenant"), text_of(p, "entity"), text_of(p, "join_id"));
    printf("event       %s, %s partition %.0f, offset %.0f, %s\n", text_of(p, "event_time"), text_of(s, "topic"), weir_json_value(weir_json_at(s, "partition")),
           weir_json_value(weir_json_at(s, "offset")), weir_json_at(s, "schema_id") ? schema : text_of(s, "record"));
    printf("score       %s", score);
    if (cJSON_IsBool(decision)) printf(", threshold %s: %s", threshold, cJSON_IsTrue(decision) ? "yes" : "no");
    printf(", made %s\n", text_of(p, "predicted_at"));
    printf("model       %s version %.0f (%s), %s, digest %s\n", text_of(m, "name"), weir_json_value(weir_json_at(m, "version")), text_of(m, "semver"),
           text_of(m, "algorithm"), text_of(m, "digest"));
    if (strcmp(text_of(m, "artifact"), "loaded") != 0) printf("            %s\n", text_of(m, "artifact"));
    if (cJSON_IsBool(weir_json_at(out, "reproduced")))
        printf("            %s\n", cJSON_IsTrue(weir_json_at(out, "reproduced")) ? "gives this score again from these inputs, bit for bit"
                                                                                 : "does NOT give this score again from these inputs");
    printf("arm         %s, propensity %s\n", text_of(p, "arm"), propensity);
    if (cJSON_IsFalse(weir_json_at(m, "same_definitions")))
        printf("features    made under other definitions than the pipeline file has now (hash %.12s)\n", text_of(m, "feature_hash"));
}

static void print_training(const cJSON *out) {
    const cJSON *t = weir_json_at(out, "training"), *w = weir_json_at(t, "window"), *label = weir_json_at(out, "label");
    if (cJSON_IsObject(t)) {
        char *params = cJSON_PrintUnformatted(weir_json_at(t, "params")), rows[CELL_TEXT], seed[CELL_TEXT];
        put_number(rows, weir_json_at(t, "rows"), "%.0f");
        put_number(seed, weir_json_at(t, "seed"), "%.0f");
        printf("\ntraining    run %s (%s), code version %s, seed %s, params %s\n", text_of(t, "run_id"), text_of(t, "run_status"), text_of(t, "code_version"),
               seed, params ? params : "-");
        printf("            %s rows, digest %s, %.19s to %.19s\n", rows, text_of(t, "dataset_digest"), text_of(w, "train_from"), text_of(w, "train_to"));
        printf("            %s\n", text_of(t, "query"));
        cJSON_free(params);
    } else {
        printf("\ntraining    not known: the registry has no such version (any more)\n");
    }
    if (cJSON_IsObject(label))
        printf("label       %s, known since %s\n", text_of(label, "value"), text_of(label, "available_time"));
    else
        printf("label       none is known\n");
}

/* The inputs, with numbers as a person reads them. */
static weir_status print_inputs(const cJSON *out, weir_err *err) {
    static const weir_table_column columns[] = {{"name", "INPUT"}, {"value", "VALUE"}, {"contribution", "CONTRIBUTION"},
                                                {"from", "FROM"},  {"age", "AGE (s)"}, {NULL, NULL}};
    cJSON *rows = cJSON_CreateArray();
    const cJSON *input;
    bool ok = rows != NULL;
    cJSON_ArrayForEach(input, weir_json_at(out, "inputs")) {
        char value[CELL_TEXT], contribution[CELL_TEXT], age[CELL_TEXT];
        cJSON *row = cJSON_CreateObject();
        put_number(value, weir_json_at(input, "value"), "%.8g");
        put_number(contribution, weir_json_at(input, "contribution"), "%+.6f");
        put_number(age, weir_json_at(input, "age_seconds"), "%.6g");
        ok = ok && row && cJSON_AddStringToObject(row, "name", text_of(input, "name")) && cJSON_AddStringToObject(row, "value", value) &&
             cJSON_AddStringToObject(row, "contribution", contribution) && cJSON_AddStringToObject(row, "from", text_of(input, "from")) &&
             cJSON_AddStringToObject(row, "age", age);
        if (!ok || !cJSON_AddItemToArray(rows, row)) cJSON_Delete(row);
    }
    weir_status status = ok ? weir_table_print(rows, columns, WEIR_OUTPUT_TABLE, stdout, err) : no_memory(err);
    cJSON_Delete(rows);
    return status;
}

static weir_status print_text(const cJSON *out, weir_err *err) {
    static const weir_table_column views[] = {{"view", "VIEW"},       {"topic", "FROM TOPIC"}, {"partition", "PARTITION"}, {"offset", "OFFSET"},
                                              {"version", "VERSION"}, {"event_time", "AS OF"}, {"age_seconds", "AGE (s)"}, {NULL, NULL}};
    const cJSON *e = weir_json_at(out, "explanation");
    print_head(out);
    printf("\n");
    weir_status status = weir_table_print(weir_json_at(out, "views"), views, WEIR_OUTPUT_TABLE, stdout, err);
    printf("\n");
    if (!status) status = print_inputs(out, err);
    if (status) return status;
    if (weir_json_at(e, "none"))
        printf("no contributions: %s\n", text_of(e, "none"));
    else
        printf("base %.6f, with all contributions %.6f (%s)\n", weir_json_value(weir_json_at(e, "base")), weir_json_value(weir_json_at(e, "sum")),
               text_of(e, "unit"));
    print_training(out);
    return WEIR_OK;
}

/* ---- the command ---- */

static weir_status run_why(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const why_options *o = options;
    weir_prediction_id id;
    weir_pipeline *pipeline = NULL;
    weir_pg *pg = NULL;
    cJSON *out = NULL;
    weir_status status = weir_prediction_id_parse(o->prediction, &id, err);
    if (!status) status = weir_pipeline_load(o->pipeline && *o->pipeline ? o->pipeline : id.pipeline, &pipeline, err);
    if (!status && strcmp(pipeline->name, id.pipeline) != 0)
        status = WEIR_FAIL(err, WEIR_EINVAL, "prediction %s is not one of pipeline %s", o->prediction, pipeline->name);
    if (!status) status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = weir_why(pg, pipeline, settings->objects_dir, o->prediction, &out, err);
    if (status == WEIR_ENOTFOUND) {
        say_unknown(settings, pipeline, pg, &id, err);
        *ret_exit = 1;
        status = WEIR_OK;
    } else if (!status) {
        status = tell_record(settings, out, err);
        if (!status) status = o->output == WEIR_OUTPUT_JSON ? weir_json_print(out, stdout, err) : print_text(out, err);
    }
    cJSON_Delete(out);
    weir_pg_free(pg);
    weir_pipeline_free(pipeline);
    return status;
}

const weir_command weir_command_why = {
    .name = "why",
    .args = "PREDICTION_ID [--pipeline P] [--output table|json]",
    .doc = "Everything about one prediction: its event, inputs with their ages and contributions, model, arm, training set, label.\n"
           "Exit code 1: the offline store has no such prediction. docs/lineage.md tells more.",
    .options = why_table,
    .options_size = sizeof(why_options),
    .run = run_why,
};
