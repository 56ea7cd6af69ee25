/* What happens in a pipeline, as its control topics tell it: drift, alerts, decisions to train, requests, runs, models, rollouts. For people, in words, and for who waits for
 * something to happen. */
#ifndef WEIR_CLI_DEMO_STORY_H
#define WEIR_CLI_DEMO_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/avro.h"
#include "features/pipeline.h"

typedef enum weir_story_kind {
    WEIR_STORY_DRIFT,
    WEIR_STORY_ALERT,
    WEIR_STORY_DECISION,
    WEIR_STORY_REQUEST,
    WEIR_STORY_RUN,
    WEIR_STORY_MODEL,
    WEIR_STORY_ROLLOUT,
    WEIR_STORY_DEMO, /* not of a topic: what the demo itself did */
    WEIR_STORY_KINDS
} weir_story_kind;
extern const char *const weir_story_names[]; /* "drift", …; NULL-terminated */

/* One event. Texts that do not fit are cut. */
typedef struct weir_story_entry {
    weir_story_kind kind;
    int64_t at_us; /* when it happened, by the machine that says so */
    int64_t until_us; /* drift: event time at which the window ends; else INT64_MIN */
    char state[24]; /* severity; firing, resolved; train, wait; status of the run; type of the model's or the rollout's event */
    char about[32]; /* what is compared, of one tenant "features of a tenant"; the alert's name; cause; cause; ""; alias; actor */
    char subject[160]; /* the tenant, or ""; "", request, request, request, MODEL/VERSION, challenger as MODEL/VERSION */
    double share; /* drift: of the columns; rollout: of the traffic */
    double outcomes[2], loss[2], better, worse; /* rollout: of champion and challenger, and the e-values; NaN: none yet */
    char text[640]; /* for people */
} weir_story_entry;

typedef struct weir_story weir_story;
/** From now on; the topics must exist. Broker or registry away: WEIR_ENET RETRY. */
weir_status weir_story_open(const char *brokers, weir_registry *registry, const weir_pipeline *pipeline, weir_story **ret_story, weir_err *err) WEIR_MUST_CHECK;
/** Waits at most timeout_ms for events of the pipeline, and passes each to told, in the order in which they happened as far as they came together. What cannot be decoded is no event. */
weir_status weir_story_poll(weir_story *story, int timeout_ms, void (*told)(void *context, const weir_story_entry *entry), void *context,
                            weir_err *err) WEIR_MUST_CHECK;
void weir_story_free(weir_story *story);

/** One event from its topic's columns, without its time and kind: what weir_story_poll passes on. False: it is none of the pipeline's. */
bool weir_story_read(weir_story_kind kind, const char *pipeline, const weir_datum *row, weir_story_entry *ret_entry);

#endif
