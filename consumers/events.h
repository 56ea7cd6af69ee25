/* The control events of the weir topics, and the prediction record: Avro schemas (in schemas/) and the columns that code names. */
#ifndef WEIR_CONSUMERS_EVENTS_H
#define WEIR_CONSUMERS_EVENTS_H

#include "core/avro.h"
#include "core/bus.h"
#include "features/pipeline.h"

#define WEIR_TOPIC_REQUESTS "weir.training.requests"
#define WEIR_TOPIC_TRIALS "weir.training.trials"
#define WEIR_TOPIC_RUNS "weir.training.runs"
#define WEIR_TOPIC_MODELS "weir.models"
#define WEIR_TOPIC_PERFORMANCE "weir.performance"
#define WEIR_TOPIC_SCHEDULE "weir.schedule"
#define WEIR_TOPIC_DRIFT "weir.drift"
#define WEIR_TOPIC_DECISIONS "weir.training.decisions"
#define WEIR_TOPIC_ROLLOUTS "weir.rollouts"
#define WEIR_TOPIC_ALERTS "weir.alerts"
#define WEIR_TOPIC_LINEAGE "weir.lineage"

/* schemas/training_request.avsc */
enum { REQ_ID, REQ_PIPELINE, REQ_REASON, REQ_REQUESTED_AT, REQ_TRAIN_FROM, REQ_AS_OF, REQ_CONTINUE, REQ_CANCEL, REQ_COUNT };
/* schemas/training_trial.avsc */
enum {
    TRI_STUDY,
    TRI_PIPELINE,
    TRI_RUN_ID,
    TRI_AT,
    TRI_TASK,
    TRI_TARGET,
    TRI_FROM,
    TRI_TO,
    TRI_AS_OF,
    TRI_LABEL_DELAY,
    TRI_RECIPE_DIGEST,
    TRI_DATASET_DIGEST,
    TRI_COUNT
};
/* schemas/training_run.avsc */
enum { RUN_ID, RUN_PIPELINE, RUN_STATUS, RUN_AT, RUN_REQUEST_ID, RUN_DETAIL, RUN_COUNT };
/* schemas/model_event.avsc */
enum { MOD_ID, MOD_TYPE, MOD_PIPELINE, MOD_AT, MOD_MODEL, MOD_VERSION, MOD_DIGEST, MOD_ALIAS, MOD_ARTIFACT, MOD_PAYLOAD, MOD_COUNT };
/* schemas/performance.avsc */
enum {
    PERF_PIPELINE,
    PERF_AT,
    PERF_ARM,
    PERF_MODEL,
    PERF_VERSION,
    PERF_DIGEST,
    PERF_ROWS,
    PERF_POSITIVES,
    PERF_AUC,
    PERF_AP,
    PERF_F1,
    PERF_PRECISION,
    PERF_RECALL,
    PERF_BRIER,
    PERF_CARD,
    PERF_RMSE,
    PERF_MAE,
    PERF_R2,
    PERF_SLICE,
    PERF_COUNT
};

/* schemas/schedule.avsc */
enum { SCHED_FIRING_ID, SCHED_PIPELINE, SCHED_SCHEDULE, SCHED_ACTION, SCHED_DUE_AT, SCHED_FIRED_AT, SCHED_MISSED, SCHED_PAYLOAD, SCHED_COUNT };
/* schemas/drift.avsc */
enum {
    DRIFT_DRIFT_ID,
    DRIFT_PIPELINE,
    DRIFT_AT,
    DRIFT_KIND,
    DRIFT_TENANT,
    DRIFT_WINDOW_FROM,
    DRIFT_WINDOW_TO,
    DRIFT_REFERENCE,
    DRIFT_ROWS,
    DRIFT_REFERENCE_ROWS,
    DRIFT_COLUMNS,
    DRIFT_DRIFTED,
    DRIFT_SHARE,
    DRIFT_SEVERITY,
    DRIFT_FALSE_ALARM_RATE,
    DRIFT_DETAIL,
    DRIFT_COUNT
};
/* schemas/training_decision.avsc */
enum {
    DECIDE_DECISION_ID,
    DECIDE_PIPELINE,
    DECIDE_AT,
    DECIDE_CAUSE,
    DECIDE_CAUSE_ID,
    DECIDE_TRAIN,
    DECIDE_WHY,
    DECIDE_REQUEST_ID,
    DECIDE_EXPECTED_GAIN,
    DECIDE_EXPECTED_COST,
    DECIDE_EVIDENCE,
    DECIDE_COUNT
};
/* schemas/rollout.avsc */
enum {
    ROLL_EVENT_ID,
    ROLL_ROLLOUT_ID,
    ROLL_PIPELINE,
    ROLL_AT,
    ROLL_TYPE,
    ROLL_STATE,
    ROLL_CHAMPION,
    ROLL_CHALLENGER,
    ROLL_SHARE,
    ROLL_ACTOR,
    ROLL_REASON,
    ROLL_EVIDENCE,
    ROLL_ARMS,
    ROLL_SHADOW,
    ROLL_COUNT
};
/* schemas/shadow.avsc, on <pipeline>.shadows */
enum {
    SHADOW_PREDICTION_ID,
    SHADOW_TENANT,
    SHADOW_ENTITY,
    SHADOW_JOIN_ID,
    SHADOW_EVENT_TIME,
    SHADOW_PARTITION,
    SHADOW_OFFSET,
    SHADOW_PREDICTED_AT,
    SHADOW_MODEL,
    SHADOW_VERSION,
    SHADOW_DIGEST,
    SHADOW_ARM,
    SHADOW_PROPENSITY,
    SHADOW_SCORE,
    SHADOW_DECISION,
    SHADOW_CLASS,
    SHADOW_SCORES,
    SHADOW_COUNT
};
/* schemas/alert.avsc */
enum { ALERT_ALERT_ID, ALERT_PIPELINE, ALERT_AT, ALERT_NAME, ALERT_SEVERITY, ALERT_STATE, ALERT_SUMMARY, ALERT_RUNBOOK, ALERT_DETAIL, ALERT_COUNT };
/* schemas/lineage.avsc */
enum { LINE_EVENT_ID, LINE_PIPELINE, LINE_AT, LINE_RUN_ID, LINE_JOB, LINE_EVENT, LINE_COUNT };

/* A serde for an embedded schema and a topic's value subject. */
typedef struct weir_event_codec {
    weir_schema *schema;
    weir_serde *serde;
    weir_buf buf;
} weir_event_codec;
weir_status weir_event_codec_init(weir_event_codec *codec, weir_registry *registry, const char *schema_path, const char *topic, weir_err *err) WEIR_MUST_CHECK;
/** The same for a schema that is made at run time. */
weir_status weir_event_codec_init_json(weir_event_codec *codec, weir_registry *registry, const char *schema_json, const char *topic,
                                       weir_err *err) WEIR_MUST_CHECK;
void weir_event_codec_done(weir_event_codec *codec);
/** Encodes and queues one control event with CloudEvents headers (ce_id, ce_source "weir", ce_specversion, ce_type, ce_time). type: "weir.training.requested". */
weir_status weir_event_send(weir_event_codec *codec, weir_producer *producer, const char *topic, const char *key, const char *type, const char *id,
                            int64_t time_us, const weir_datum *row, weir_err *err) WEIR_MUST_CHECK;

/* <pipeline>.features.<view>: fixed columns, then the feed's columns, the features that are not hidden, the state. Three kinds of record:
 *   value       has a record, no state; version = seq. One for each accepted record. The record is what its entity's state takes in.
 *   correction  has neither: a late record changed the features at a later record, the source. version = seq of the late one.
 *   snapshot    has both: the entity's newest value again, with the whole state, so that compaction always leaves one.
 * Of records with the same source the one with the highest version holds. */
enum {
    FEAT_TENANT,
    FEAT_ENTITY,
    FEAT_EVENT_TIME,
    FEAT_AVAILABLE_TIME,
    FEAT_SOURCE_PARTITION,
    FEAT_SOURCE_OFFSET,
    FEAT_SEQ,
    FEAT_VERSION,
    FEAT_EPOCH,
    FEAT_MARKS, /* of a value: names of the checks that marked its record; null: none */
    FEAT_HAS_RECORD, /* boolean */
    FEAT_RECORD
};
/* Header of a snapshot whose state was made anew from history (consumers/rebuild.h): it also replaces a state of the same version. */
#define WEIR_HEADER_REBUILT "weir.rebuilt"
typedef enum weir_features_kind { WEIR_FEATURES_VALUE, WEIR_FEATURES_CORRECTION, WEIR_FEATURES_SNAPSHOT } weir_features_kind;

typedef struct weir_features_codec {
    weir_event_codec codec;
    int record_count, feature_base, feature_count, state_index, column_count;
    int *features; /* [feature_count] which feature of the view each column is: hidden ones have none */
    weir_datum *row; /* [column_count] scratch */
} weir_features_codec;
weir_status weir_features_codec_init(weir_features_codec *codec, weir_registry *registry, const weir_pipeline *pipeline, const weir_view_def *view,
                                     weir_err *err) WEIR_MUST_CHECK;
void weir_features_codec_done(weir_features_codec *codec);
weir_features_kind weir_features_kind_of(const weir_features_codec *codec, const weir_datum *row);
/** Features of a row by their place in the view: out [feature_count of the view]; NaN for null and for hidden ones. */
void weir_features_values(const weir_features_codec *codec, const weir_view_def *view, const weir_datum *row, double *out);

/* Who may write. Every record bears the epoch of its writer, and a new owner of a partition starts with a fence: a record without key and value whose header says its epoch.
 * What a former owner that has not noticed yet writes behind that is void for everybody who reads in order. */
/** Queues a fence. */
weir_status weir_features_fence(weir_producer *producer, const char *topic, int32_t partition, int32_t epoch, weir_err *err) WEIR_MUST_CHECK;
/** The epoch if the record is a fence, else -1. */
int32_t weir_features_fence_of(const weir_bus_record *record);

/* <pipeline>.predictions: fixed columns, then five of each view (views.<view>.source_partition, .source_offset, .event_time, .age_seconds, .version), then the inputs
 * (features.<column of the recipe>, nullable double). */
enum {
    PRED_ID,
    PRED_TENANT,
    PRED_ENTITY,
    PRED_JOIN_ID,
    PRED_EVENT_TIME,
    PRED_SOURCE_PARTITION,
    PRED_SOURCE_OFFSET,
    PRED_PREDICTED_AT,
    PRED_MODEL,
    PRED_VERSION,
    PRED_DIGEST,
    PRED_ARM,
    PRED_PROPENSITY,
    PRED_SCORE, /* null where nobody scored: PRED_OUTCOME abstained, PRED_ARM "none" */
    PRED_DECISION,
    PRED_FEATURE_HASH,
    PRED_POLICY, /* shares of all arms when this one was drawn, "champion 0.5,challenger 0.25,…"; null where the propensity says them: no challenger but the first has one */
    PRED_BUCKET, /* of rollout.context, by whose shares the arm was drawn; null without a context */
    PRED_CLASS, /* of a multiclass model: the name of the class with the highest score, which PRED_SCORE is */
    PRED_SCORES, /* of a model of several outputs: {"class or target": score}, JSON; null of one output */
    PRED_OUTCOME, /* "scored", "fallback" (by the model that stands in for late or missing features), "abstained" */
    PRED_REASON, /* which features were missing or late, or why nobody scored; null: nothing is the matter */
    PRED_AGE, /* of the oldest feature that the model read, in seconds; null where it read none */
    PRED_REQUEST, /* request_id of what it answers; null: of a feature record. Sources of requests count their partitions from -1 down: they are those of no event */
    PRED_VIEWS
};
enum { PRED_VIEW_PARTITION, PRED_VIEW_OFFSET, PRED_VIEW_TIME, PRED_VIEW_AGE, PRED_VIEW_VERSION, PRED_VIEW_COLUMNS }; /* of one view */
typedef struct weir_prediction_codec {
    weir_event_codec codec;
    int input_base, input_count, column_count;
    weir_datum *row; /* [column_count] scratch */
} weir_prediction_codec;
/** columns: the recipe's inputs. */
weir_status weir_prediction_codec_init(weir_prediction_codec *codec, weir_registry *registry, const weir_pipeline *pipeline, const char *const *columns,
                                       int column_count, weir_err *err) WEIR_MUST_CHECK;
void weir_prediction_codec_done(weir_prediction_codec *codec);

#endif
