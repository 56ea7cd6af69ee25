#include "consumers/lineage.h"

#include "core/clock.h"
#include "core/json.h"
#include "models/lineage.h"

enum { FLUSH_TIMEOUT_MS = 30000 };

static weir_status send_one(const weir_pipeline *pipeline, const cJSON *told, weir_event_codec *codec, weir_producer *producer, weir_err *err) {
    int64_t at_us;
    char *event = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(told, "event"));
    weir_status status = event ? weir_time_parse(weir_json_text(told, "at"), &at_us, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an event");
    if (!status) {
        const weir_datum row[LINE_COUNT] = {
            [LINE_EVENT_ID] = weir_text(weir_json_text(told, "id")),   [LINE_PIPELINE] = weir_text(pipeline->name),         [LINE_AT] = weir_i64(at_us),
            [LINE_RUN_ID] = weir_text(weir_json_text(told, "run_id")), [LINE_JOB] = weir_text(weir_json_text(told, "job")), [LINE_EVENT] = weir_text(event),
        };
        status =
            weir_event_send(codec, producer, WEIR_TOPIC_LINEAGE, weir_json_text(told, "job"), "weir.lineage.run", weir_json_text(told, "id"), at_us, row, err);
    }
    cJSON_free(event);
    return status;
}

weir_status weir_lineage_send(weir_pg *pg, const weir_pipeline *pipeline, const char *brokers, const char *run_id, weir_event_codec *codec,
                              weir_producer *producer, cJSON **ret_events, weir_err *err) {
    cJSON *events = NULL;
    const cJSON *told;
    weir_status status = weir_lineage_events(pg, pipeline, brokers, run_id, &events, err);
    cJSON_ArrayForEach(told, events) if (!status) status = send_one(pipeline, told, codec, producer, err);
    if (!status) status = weir_producer_flush(producer, FLUSH_TIMEOUT_MS, err);
    if (status || !ret_events)
        cJSON_Delete(events);
    else
        *ret_events = events;
    return status;
}
