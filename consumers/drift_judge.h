/* Judging windows for drift: one of the drift workers does, whoever has the schedules' partition. Results, events and alerts are made in PostgreSQL first, so that none comes twice. */
#ifndef WEIR_CONSUMERS_DRIFT_JUDGE_H
#define WEIR_CONSUMERS_DRIFT_JUDGE_H

#include "consumers/drift_slots.h"
#include "consumers/events.h"
#include "core/clock.h"
#include "features/drift_columns.h"

typedef enum weir_drift_kind { WEIR_DRIFT_FEATURES, WEIR_DRIFT_PREDICTIONS, WEIR_DRIFT_LABELS, WEIR_DRIFT_KINDS } weir_drift_kind;
extern const char *const weir_drift_kind_names[]; /* "features", "predictions", "labels" */

/* Borrowed by the judge. */
typedef struct weir_drift_bench {
    weir_pg *pg;
    const char *pg_url, *objects_dir;
    const weir_pipeline *pipeline;
    const weir_drift_columns *columns; /* of the features */
    const weir_drift_stream *streams; /* [stream_count] */
    const weir_drift_kind *kinds; /* [stream_count] */
    int stream_count;
    weir_producer *producer;
    weir_event_codec *events, *alerts;
    weir_clock *clock;
} weir_drift_bench;

typedef struct weir_drift_judge weir_drift_judge;
weir_status weir_drift_judge_new(const weir_drift_bench *bench, weir_drift_judge **ret_judge, weir_err *err) WEIR_MUST_CHECK;
void weir_drift_judge_free(weir_drift_judge *judge);
/** Judges the next window of each kind that has one: *ret_more when there may be more. */
weir_status weir_drift_judge_due(weir_drift_judge *judge, bool *ret_more, weir_err *err) WEIR_MUST_CHECK;
/** Judges the newest records of each kind now, because firing_id of a schedule asked; once. */
weir_status weir_drift_judge_now(weir_drift_judge *judge, const char *schedule, const char *firing_id, weir_err *err) WEIR_MUST_CHECK;
/** Another worker judges from now on: what this one shows of tenants would hold for ever. */
void weir_drift_judge_leave(weir_drift_judge *judge);
/** Sends what is judged and not sent. */
weir_status weir_drift_judge_send(weir_drift_judge *judge, weir_err *err) WEIR_MUST_CHECK;

#endif
