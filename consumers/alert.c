#include "consumers/alert.h"

#include <stdio.h>

weir_status weir_alert_codec_init(weir_event_codec *codec, weir_registry *registry, weir_err *err) {
    return weir_event_codec_init(codec, registry, "schemas/alert.avsc", WEIR_TOPIC_ALERTS, err);
}

weir_status weir_alert_send(weir_event_codec *codec, weir_producer *producer, const char *pipeline, const weir_alert *alert, int64_t at_us, weir_err *err) {
    char *detail = alert->detail ? cJSON_PrintUnformatted(alert->detail) : NULL, id[256];
    if (alert->detail && !detail) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for alert %s", alert->id);
    const weir_datum row[ALERT_COUNT] = {
        [ALERT_ALERT_ID] = weir_text(alert->id),
        [ALERT_PIPELINE] = weir_text(pipeline),
        [ALERT_AT] = weir_i64(at_us),
        [ALERT_NAME] = weir_text(alert->name),
        [ALERT_SEVERITY] = weir_text(alert->critical ? "critical" : "warning"),
        [ALERT_STATE] = weir_text(alert->firing ? "firing" : "resolved"),
        [ALERT_SUMMARY] = weir_text(alert->summary),
        [ALERT_RUNBOOK] = weir_text(alert->runbook),
        [ALERT_DETAIL] = weir_text(detail ? detail : "{}"),
    };
    snprintf(id, sizeof id, "%.200s-%lld", alert->id, (long long)at_us);
    weir_status status =
        weir_event_send(codec, producer, WEIR_TOPIC_ALERTS, pipeline, alert->firing ? "weir.alert.firing" : "weir.alert.resolved", id, at_us, row, err);
    cJSON_free(detail);
    return status;
}
