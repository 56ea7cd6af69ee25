/* Events on weir.alerts: a condition that a person should know began or ended. Prometheus' rules (monitoring/alerts.yml) tell the same conditions to Alertmanager from metrics;
 * the events carry what metrics cannot: which window, which columns, which evidence. */
#ifndef WEIR_CONSUMERS_ALERT_H
#define WEIR_CONSUMERS_ALERT_H

#include <cjson/cJSON.h>

#include "consumers/events.h"

/* Texts are borrowed. */
typedef struct weir_alert {
    const char *id; /* of the condition, such as "fraud/drift/features": when it begins and ends the same */
    const char *name; /* "WeirDrift" */
    const char *summary; /* one sentence */
    const char *runbook; /* page in docs/runbooks: "drift.md" */
    bool critical, firing;
    const cJSON *detail; /* object; NULL: {} */
} weir_alert;

/** Schema and subject of the topic; done with weir_event_codec_done. */
weir_status weir_alert_codec_init(weir_event_codec *codec, weir_registry *registry, weir_err *err) WEIR_MUST_CHECK;
/** Queues the event; it is durable when the producer was flushed. Who calls remembers whether it fires already: an event for each change. */
weir_status weir_alert_send(weir_event_codec *codec, weir_producer *producer, const char *pipeline, const weir_alert *alert, int64_t at_us,
                            weir_err *err) WEIR_MUST_CHECK;

#endif
