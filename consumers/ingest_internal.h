/* What the parts of ingest share: ingest.c (records in), ingest_align.c (partitions side by side), ingest_emit.c (features and corrections out), ingest_checkpoint.c (what becomes
 * durable), ingest_checks.c (checks counted), ingest_restore.c (states back). */
#ifndef WEIR_CONSUMERS_INGEST_INTERNAL_H
#define WEIR_CONSUMERS_INGEST_INTERNAL_H

#include "consumers/changelog.h"
#include "consumers/shared.h"
#include "core/metrics.h"
#include "features/checks.h"

enum { INGEST_FLUSH_MS = 30000 };
#define INGEST_HEADER_TRACE "traceparent"

/* A record for the features topic that is not sent yet; its bytes are in the view's outbox. */
typedef struct ingest_out {
    const weir_entity *entity;
    size_t at, len;
} ingest_out;

enum { INGEST_OUTBOX = 256 };

/* One view and everything its records pass through. */
typedef struct ingest_view {
    const weir_view_def *def;
    const weir_feed_def *feed;
    weir_view *view;
    int index;
    weir_features_codec codec;
    char *topic, *repartition;
    double *slots; /* [slot_count] scratch */
    double *values, *values_without; /* [feature_count] scratch */
    weir_entities *entities;
    weir_changelog *log;
    weir_buf outbox; /* records are sent many at a time: at the end of each batch at the latest */
    ingest_out outs[INGEST_OUTBOX];
    size_t out_count;
    int64_t *ends; /* [partitions] where the features topic must end when all that was sent is there, and nothing else */
    int64_t *begun; /* [partitions] where it ended when this worker began to write */
    int next_segment; /* to be written back in turn */
    int64_t swept_at_us, values_unswept; /* when that was last, monotonic; values since */
    int64_t feature_count, correction_count; /* since the counters were told */
    weir_metric *features, *corrections, *stored, *memory;
} ingest_view;

enum { OUTCOME_ACCEPTED, OUTCOME_DUPLICATE, OUTCOME_REKEYED, OUTCOME_REJECTED, OUTCOME_COUNT };

/* One consumed topic: a feed, or the repartition topic of a view (which carries records of that view's feed). */
typedef struct ingest_topic {
    weir_feed feed;
    int view; /* -1: every view of the feed */
    int64_t counts[OUTCOME_COUNT]; /* of the batch */
    weir_metric *outcomes[OUTCOME_COUNT], *event_time, *freshness; /* freshness: of a feed; NULL */
    int64_t newest_us;
} ingest_topic;

/* A correction that was made while restoring: it may be in the topic already, or not. bytes point into the pending buffer. */
typedef struct ingest_pending {
    ingest_view *view;
    weir_entity *entity;
    size_t at, len;
} ingest_pending;

typedef struct ingest_align ingest_align;

typedef struct ingest {
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    weir_online *online;
    weir_online_reader *reader;
    bool reading; /* the reader has a snapshot */
    weir_serde *serde[2]; /* by weir_feed */
    int columns[2]; /* of a row, by weir_feed */
    ingest_align *align[2]; /* by weir_feed; NULL: no such feed */
    ingest_view views[WEIR_VIEWS_MAX];
    ingest_topic topics[WEIR_VIEWS_MAX + 2];
    int topic_count;
    size_t dirty_most; /* bytes of a view that may be dirty before a checkpoint is asked for */
    bool failed; /* states may have what was not sent: they must not be written back */
    int64_t batch_at_us; /* monotonic time of the last batch */
    int64_t now_us; /* wall time of the batch */
    int64_t stats_at_us; /* monotonic */
    bool *assigned, *held; /* [partitions] of the group's; and restored */
    weir_partition *ends; /* [views × partitions] scratch */

    bool restoring;
    weir_buf pending_bytes;
    ingest_pending *pending;
    size_t pending_count, pending_capacity;

    bool has_checks; /* that look at other records */
    int64_t *check_counts; /* [check_count] failures since the counters were told */
    bool checks_failed; /* one of them is not 0 */
    int64_t *warned_at_us; /* [check_count] monotonic time of the last log line */
    weir_metric **check_failures; /* [check_count] */
    weir_stream_checks *stream; /* NULL: there are no checks of the stream */

    weir_metric *online_bytes, *checkpoint_seconds, *restore_left;
} ingest;

/* ---- side by side: ingest_align.c ---- */

weir_status ingest_align_new(const ingest *g, const weir_feed_def *def, weir_registry *registry, ingest_align **ret_align, weir_err *err) WEIR_MUST_CHECK;
void ingest_align_free(ingest_align *a);
/** The feed's partitions that are assigned from now on are read side by side in event time. */
weir_status ingest_align_start(ingest_align *a, weir_err *err) WEIR_MUST_CHECK;

/* ---- out: ingest_emit.c ---- */

/* The record behind a value. */
typedef struct ingest_origin {
    weir_source source;
    int64_t event_time_us, available_us;
    const weir_datum *row; /* of the feed's schema */
    const weir_check_hits *hits; /* checks that it failed; NULL: not known */
    const weir_bus_header *trace; /* NULL: none */
} ingest_origin;

/** Queues the value of the record that is the entity's newest, and keeps its bytes for the snapshot. */
weir_status ingest_emit_value(ingest *g, ingest_view *v, weir_entity *entity, const ingest_origin *origin, weir_err *err) WEIR_MUST_CHECK;
/** Queues (or, while restoring, keeps) what the record at a position of the tail, the entity's newest to arrive, changed at later records. */
weir_status ingest_emit_corrections(ingest *g, ingest_view *v, weir_entity *entity, int position, const ingest_origin *late, weir_err *err) WEIR_MUST_CHECK;
/** Sends what is in the outboxes. */
weir_status ingest_send(ingest *g, weir_err *err) WEIR_MUST_CHECK;
/** Under the writer's new epoch: the newest values of dirty entities, and the corrections that were kept while restoring, which are queued. */
weir_status ingest_reissue(ingest *g, weir_err *err) WEIR_MUST_CHECK;

/** Puts a record for the entity's partition of the features topic into the outbox. The entity must stay until that is sent. */
weir_status ingest_post(ingest *g, ingest_view *v, const weir_entity *entity, const weir_buf *bytes, const weir_bus_header *trace,
                        weir_err *err) WEIR_MUST_CHECK;

/* ---- durable: ingest_checkpoint.c ---- */

/** Everything so far becomes durable: some dirty entities written back, flush, states and positions into the online store. */
weir_status ingest_checkpoint(void *context, weir_err *err) WEIR_MUST_CHECK;
/** The same with all that are dirty, for half of drain_ms at most, so that the others of the group need not wait longer; nothing after a failure. */
weir_status ingest_write_all_back(ingest *g, weir_err *err) WEIR_MUST_CHECK;
/** Whether a checkpoint should be soon: too much is dirty, or there is time for it. */
bool ingest_needs_checkpoint(const ingest *g);

/* ---- checks: ingest_checks.c ---- */

weir_status ingest_checks_init(ingest *g, weir_err *err) WEIR_MUST_CHECK;
void ingest_checks_done(ingest *g);
/** Counts what a record failed, and logs what warns, at most once a minute a check. */
void ingest_checks_count(ingest *g, weir_feed feed, const weir_check_hits *hits, weir_source source);
/** An accepted record, for the checks of the stream. */
void ingest_checks_see(ingest *g, weir_feed feed, const weir_datum *row);
/** Every few seconds. */
void ingest_checks_tick(ingest *g);
/** The counts into the metrics. */
void ingest_checks_tell(ingest *g);

/* ---- back: ingest_restore.c ---- */

weir_status ingest_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) WEIR_MUST_CHECK;
weir_status ingest_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) WEIR_MUST_CHECK;
weir_status ingest_reset(void *context, weir_err *err) WEIR_MUST_CHECK;
/** The features topics of the held partitions, into g->ends; returns how many. */
size_t ingest_list_held(ingest *g);

#endif
