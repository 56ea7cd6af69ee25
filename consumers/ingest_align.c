/* ingest, partitions side by side: a feed with a view whose entity is not the topic's key is read in order of event time across the partitions that this worker holds, as far
 * as they have a backlog (core/bus_align.c).
 *
 * An entity of such a view, whose records come through several partitions, has one newest event time, and what comes more than allowed_lateness behind it is late. Read at
 * full speed, one partition may be days ahead of another, and what was in time would be late. The slack between partitions is a quarter of allowed_lateness: what is left is for
 * records that are out of order within their partition, and for what passes through repartition topics.
 *
 * Only the time is decoded here: Avro's schema resolution skips what the reader does not ask for. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/ingest_internal.h"

enum { SLACK_SHARE = 4 };

struct ingest_align {
    const ingest *g;
    const weir_feed_def *def;
    weir_schema *schema; /* of the time alone, or of what holds it */
    weir_serde *serde;
    weir_datum *row;
    int time_index;
    int64_t latest_us; /* that is taken, when the clock was read last */
};

/* The feed's schema with the one top-level field that the time is in. Heap. */
static char *time_schema_json(const weir_feed_def *def) {
    const char *time = weir_schema_field_at(def->schema, def->time_index)->name;
    size_t first = strcspn(time, ".");
    cJSON *schema = cJSON_Parse(weir_schema_json(def->schema));
    cJSON *fields = cJSON_GetObjectItemCaseSensitive(schema, "fields"), *next;
    for (cJSON *field = fields ? fields->child : NULL; field; field = next) {
        next = field->next;
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(field, "name"));
        if (!name || strlen(name) != first || strncmp(name, time, first)) cJSON_Delete(cJSON_DetachItemViaPointer(fields, field));
    }
    char *json = cJSON_PrintUnformatted(schema);
    cJSON_Delete(schema);
    return json;
}

/* A field may use a type that another one names; then all is decoded. */
static weir_status parse_time_schema(const weir_feed_def *def, weir_schema **ret_schema, weir_err *err) {
    char *json = time_schema_json(def);
    if (!json) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a schema");
    weir_err why;
    weir_status status = weir_schema_parse(json, strlen(json), ret_schema, &why);
    free(json);
    const char *whole = weir_schema_json(def->schema);
    return status ? weir_schema_parse(whole, strlen(whole), ret_schema, err) : WEIR_OK;
}

weir_status ingest_align_new(const ingest *g, const weir_feed_def *def, weir_registry *registry, ingest_align **ret_align, weir_err *err) {
    ingest_align *a = *ret_align = calloc(1, sizeof *a);
    if (!a) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for topic %s", def->topic);
    a->g = g;
    a->def = def;
    weir_status status = parse_time_schema(def, &a->schema, err);
    if (status) return status;
    a->time_index = weir_schema_find(a->schema, weir_schema_field_at(def->schema, def->time_index)->name);
    a->row = calloc((size_t)weir_schema_field_count(a->schema), sizeof *a->row);
    if (!a->row) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for topic %s", def->topic);
    return weir_serde_new(registry, NULL, a->schema, &a->serde, err);
}

void ingest_align_free(ingest_align *a) {
    if (!a) return;
    weir_serde_free(a->serde);
    weir_schema_free(a->schema);
    free(a->row);
    free(a);
}

/* What will be rejected as it is has no time: it must not stop the others. */
static bool time_of(void *context, const weir_bus_record *record, int64_t *ret_time_us) {
    ingest_align *a = context;
    weir_err why;
    if (!record->value || record->value_len > (size_t)a->def->max_bytes) return false;
    if (weir_serde_decode(a->serde, record->value, record->value_len, a->row, NULL, &why)) return false;
    const weir_datum *time = &a->row[a->time_index];
    if (time->type != WEIR_T_I64) return false;
    if (time->i > a->latest_us) a->latest_us = weir_clock_wall_us(a->g->env->clock) + a->def->max_future_us;
    if (time->i > a->latest_us) return false;
    *ret_time_us = time->i;
    return true;
}

weir_status ingest_align_start(ingest_align *a, weir_err *err) {
    const weir_alignment alignment = {
        .time_of = time_of,
        .context = a,
        .slack_us = a->def->allowed_lateness_us / SLACK_SHARE,
        .live_us = a->def->allowed_lateness_us,
    };
    return weir_consumer_align(weir_worker_consumer(a->g->worker), a->def->topic, &alignment, err);
}
