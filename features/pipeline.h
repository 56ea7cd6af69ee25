/* The pipeline file: what a pipeline reads, checks, computes, learns and serves. Parsed and validated once; read-only afterwards. */
#ifndef WEIR_FEATURES_PIPELINE_H
#define WEIR_FEATURES_PIPELINE_H

#include <cjson/cJSON.h>

#include "core/avro.h"
#include "core/bus.h"
#include "core/err.h"
#include "features/operator.h"
#include "features/pipeline_batches.h"
#include "features/pipeline_decisions.h"
#include "features/pipeline_serving.h"

enum { WEIR_VIEWS_MAX = 16, WEIR_FEATURES_MAX = 512, WEIR_KEY_COLUMNS_MAX = 4, WEIR_CHECKS_MAX = 256 };

typedef enum weir_feed { WEIR_FROM_EVENTS, WEIR_FROM_LABELS } weir_feed;

/* One feature of a view: an operator over a window of the entity's records, or an expression over the newest record and other features. */
typedef struct weir_feature_def {
    const char *name; /* unique in the pipeline */
    const weir_operator *op; /* "op" (or "agg"); NULL: an expression */
    const char *expr; /* "expr": over columns of the newest record, event_time, and features of the same view (whatever their order; no cycle) */
    const char *of[WEIR_INPUTS_MAX]; /* expressions over columns of the feed; mostly just the name of one */
    int of_count;
    const char *where; /* expression over columns of the feed: only records for which it is true count; NULL: all */
    weir_window_kind window;
    int64_t window_us; /* sliding, tumbling, hopping, to date: its size; session: the gap */
    int64_t every_us; /* hopping */
    int64_t tile_us; /* sliding: 0 exact; else kept as tiles of this size, the far edge rounded back to a tile's start */
    int last_n; /* last */
    int64_t delay_us; /* 0: the record itself is included */
    weir_params params;
    double fallback; /* "default": what null becomes; NaN when not given */
    bool hidden; /* only for other features: not in the features topic, the stores or the models */
    const char *was; /* what it was called in rows that were written before it was renamed; NULL */
    const char *unit, *doc;
} weir_feature_def;

/* At which time a view's features are read: at the time that is asked for (windows move on while nothing comes), or at the entity's newest record before it. */
typedef enum weir_view_at { WEIR_AT_READ, WEIR_AT_EVENT } weir_view_at;

typedef struct weir_view_def {
    const char *name;
    const char *entity[WEIR_KEY_COLUMNS_MAX]; /* columns of the feed */
    int entity_count;
    weir_feed from;
    int64_t ttl_us; /* 0: none */
    weir_view_at at; /* "at": "read" (default) or "event" */
    weir_feature_def *features;
    int feature_count;
    bool rekeyed; /* entity differs from the feed's key: records pass through <pipeline>.repartition.<view> */
} weir_view_def;

typedef enum weir_check_kind {
    WEIR_CHECK_COLUMN, /* conditions on one column */
    WEIR_CHECK_RULE, /* an expression over columns */
    WEIR_CHECK_PREVIOUS, /* an expression that also reads the entity's record before; "monotone" is one */
    WEIR_CHECK_UNIQUE,
    /* of the stream, not of a record; only warn: */
    WEIR_CHECK_FRESHNESS,
    WEIR_CHECK_COMPLETENESS,
    WEIR_CHECK_DISTRIBUTION
} weir_check_kind;
typedef enum weir_severity { WEIR_REJECTS, WEIR_MARKS, WEIR_WARNS } weir_severity;
extern const char *const weir_severity_names[]; /* "reject", "mark", "warn" */

enum { WEIR_UNIQUE_COLUMNS_MAX = 8 };

/* Values of "in" and "not_in": numbers, or texts as weir_text_number. */
typedef struct weir_check_values {
    const double *values; /* [count] ascending; NULL: no such condition */
    int count;
    double *owned; /* to be freed; NULL: the values are a list's */
    const char *text; /* the first of them, or the list's name, for messages */
} weir_check_values;

/* One check. Members that its kind does not name are zero. */
typedef struct weir_check_def {
    weir_check_kind kind;
    weir_severity severity;
    weir_feed on; /* "on": "events" (default) or "labels" */
    const char *name; /* shown in messages, metrics and marks; default the column */
    const char *column; /* checked column */
    int column_index; /* its place in the feed's schema */
    bool not_null; /* RULE, PREVIOUS: null is not good */
    /* COLUMN */
    bool has_min, has_max;
    double min, max;
    weir_check_values in, not_in;
    int64_t min_length, max_length; /* of texts, in Unicode code points; max_length 0: any */
    struct weir_pattern *matches; /* NULL: any text */
    /* RULE, PREVIOUS; variables are numbered by weir_check_variable */
    const char *rule; /* as written */
    struct weir_expr *expr;
    /* UNIQUE */
    int unique[WEIR_UNIQUE_COLUMNS_MAX], unique_count;
    int64_t within_us; /* -1: as far as the view's windows reach */
    /* FRESHNESS: newest event time behind the clock; COMPLETENESS: length of a window by the clock */
    int64_t duration_us;
    double min_share; /* COMPLETENESS: of records in which the column is not null */
    /* DISTRIBUTION */
    struct weir_bins *bins; /* of the profile */
    double max_psi;
    int64_t records; /* that are compared at a time */
} weir_check_def;

/* Which of a pipeline's checks a record failed. Zero-initialised: none. */
typedef struct weir_check_hits {
    uint64_t bits[WEIR_CHECKS_MAX / 64];
    bool any;
} weir_check_hits;
static inline void weir_check_hit(weir_check_hits *hits, int check) {
    hits->bits[check / 64] |= UINT64_C(1) << (check % 64);
    hits->any = true;
}
static inline bool weir_check_is_hit(const weir_check_hits *hits, int check) {
    return hits->bits[check / 64] >> (check % 64) & 1;
}

/* Where records come from: the events or the labels. */
typedef struct weir_feed_def {
    char *topic;
    char *schema_path; /* as written, relative to the pipeline file or an embedded "schemas/…" */
    weir_schema *schema; /* compiled */
    const char *key[WEIR_KEY_COLUMNS_MAX]; /* entity columns of the record key */
    int key_count;
    int key_index[WEIR_KEY_COLUMNS_MAX]; /* their columns */
    int tenant_index; /* column, or -1: everything belongs to `tenant` */
    const char *tenant; /* constant tenant when there is no column; "default" */
    int time_index; /* event time column */
    int available_index; /* column saying when the record could first be known; -1: the event time */
    int64_t allowed_lateness_us; /* behind the newest event time of the same entity and source partition */
    int64_t max_future_us; /* ahead of the clock; default 1 day */
    int64_t max_bytes; /* larger values are rejected as oversize; default 65536 */
} weir_feed_def;

/* A named list: holidays, sectors. See weir_expr_names. */
typedef struct weir_list_def {
    const char *name;
    double *values; /* [count] ascending, no repeats */
    int count;
    bool texts; /* the values are weir_text_number of texts; else numbers, or dates as days since 1970 */
} weir_list_def;

/* What one partition of the offline tables covers: a day suits millions of rows a day, a year suits daily bars. */
typedef enum weir_period { WEIR_PERIOD_DAY, WEIR_PERIOD_MONTH, WEIR_PERIOD_YEAR } weir_period;

typedef struct weir_pipeline {
    char *name;
    char *path;
    int partitions; /* of every topic of the pipeline */
    int64_t retention_ms; /* of events, labels, predictions, dead letters; -1: for ever */
    weir_period partition_by; /* "partition_by": "day" (default), "month", "year" */
    int64_t compact_after_us; /* days of features that ended so long ago become files; -1: not by themselves */
    weir_feed_def events, labels; /* labels.topic is NULL when the pipeline has none */
    int label_column; /* of labels.schema: what happened; -1 */
    int label_join[2]; /* columns that join label to event: [0] in events.schema, [1] in labels.schema ("id") */
    int64_t max_delay_us; /* labels come at most this much after the event */
    weir_view_def *views;
    int view_count;
    int primary_view; /* the view of the events whose entity is the events' key: its records drive scoring */
    weir_check_def *checks;
    int check_count;
    weir_list_def *lists; /* "lists": named values for `x in name` */
    int list_count;
    weir_triggers triggers;
    weir_rollout_def rollout;
    weir_serving_def serving;
    weir_batch_def *batches; /* serving.batches */
    int batch_count;
    cJSON *json; /* the whole file, ${ENV} expanded: models/ read `training` */
    char *feature_hash; /* hex SHA-256 of source, labels, lists and views: the version of the feature definitions */
} weir_pipeline;

/** Loads "fraud" (pipelines/fraud.json in the working directory, then the embedded copy) or a path. Errors: WEIR_EINVAL with JSON path, what was found, what was expected. */
weir_status weir_pipeline_load(const char *name_or_path, weir_pipeline **ret_pipeline, weir_err *err) WEIR_MUST_CHECK;
/** Same, from text; base_dir (may be NULL) is where schema paths start. */
weir_status weir_pipeline_parse(const char *json, const char *base_dir, weir_pipeline **ret_pipeline, weir_err *err) WEIR_MUST_CHECK;
void weir_pipeline_free(weir_pipeline *pipeline);
/** Whether it has a `training` section; without one it makes features and nothing else. */
bool weir_pipeline_trains(const weir_pipeline *pipeline);
const weir_view_def *weir_pipeline_view(const weir_pipeline *pipeline, const char *name); /* NULL when there is none */
/** For weir_expr_names.find_list: context is the (const) weir_pipeline. */
bool weir_pipeline_find_list(void *context, const char *name, const double **ret_values, int *ret_count, bool *ret_texts);

/** Names of topics, made at load: heap strings owned by the caller. */
char *weir_topic_features(const weir_pipeline *pipeline, const weir_view_def *view);
char *weir_topic_repartition(const weir_pipeline *pipeline, const weir_view_def *view);
char *weir_topic_of(const weir_pipeline *pipeline, const char *what); /* "predictions", "deadletter" */
/** Creates every topic of the pipeline and the weir.* topics where absent. */
weir_status weir_pipeline_create_topics(const weir_pipeline *pipeline, const char *brokers, weir_err *err) WEIR_MUST_CHECK;

/** Avro schema (JSON text, heap) of <pipeline>.features.<view>:
 *  tenant, entity: string; event_time, available_time: timestamp-micros; source_partition: int; source_offset, seq, version: long; epoch: int;
 *  record: null or the columns of the feed (nested record); features: one nullable double for each that is not hidden (nested record); state: null or bytes. */
weir_status weir_features_schema_json(const weir_pipeline *pipeline, const weir_view_def *view, char **ret_json, weir_err *err) WEIR_MUST_CHECK;

/* Checks of one record. */
/** Years 1 to 9999: what the stores can hold. */
#define WEIR_TIME_MIN_US (INT64_C(-62135596800) * 1000000)
#define WEIR_TIME_MAX_US (INT64_C(253402300800) * 1000000 - 1)
/** OK, or REJECT with column, found, expected. now_us is the clock; also checks the event time against max_future, times against what the stores can hold and texts with
 *  weir_text_valid. *ret_class: "check" or "future". */
weir_status weir_pipeline_check(const weir_pipeline *pipeline, weir_feed feed, const weir_datum *row, int64_t now_us, const char **ret_class,
                                weir_err *err) WEIR_MUST_CHECK;
/** The same, and into *hits (added to what is there) the checks that the record failed: those that only mark or warn, and the one that rejected. Checks that look at other
 *  records are weir_view_check's, those of the stream features/checks.h's. */
weir_status weir_pipeline_check_hits(const weir_pipeline *pipeline, weir_feed feed, const weir_datum *row, int64_t now_us, weir_check_hits *hits,
                                     const char **ret_class, weir_err *err) WEIR_MUST_CHECK;
/** Names of the failed checks that mark, separated by commas, into text [WEIR_MARKS_MAX]; returns the length. */
enum { WEIR_MARKS_MAX = 65 * WEIR_CHECKS_MAX };
size_t weir_check_marks(const weir_pipeline *pipeline, const weir_check_hits *hits, char text[WEIR_MARKS_MAX]);
/** Text that every store takes: UTF-8 without NUL. */
bool weir_text_valid(const char *text, size_t len);
/** Writes "tenant/entity" (and a NUL) from the given columns into key: the entity columns joined with '|', whole numbers in decimal. Returns its length in *ret_len.
 *  REJECT when a column is null or empty, when the key is longer than WEIR_KEY_MAX - 1 bytes, and when it could be read as another key: '/' in the tenant, '|' in one of
 *  several entity columns. */
enum { WEIR_KEY_MAX = 508 };
weir_status weir_key_make(const weir_feed_def *feed, const int *columns, int column_count, const weir_datum *row, char key[WEIR_KEY_MAX], size_t *ret_len,
                          weir_err *err) WEIR_MUST_CHECK;

#endif
