/* What serving reads: a replica of every view's states (LMDB, fed from the features topics by a thread of its own) and the models that the arms serve
 * (fed from the alias events on weir.models). Used by score (Kafka) and serve (HTTP). */
#ifndef WEIR_CONSUMERS_SERVING_H
#define WEIR_CONSUMERS_SERVING_H

#include <math.h>
#include <stdbool.h>

#include "consumers/rollout_guard.h"
#include "consumers/split.h"
#include "core/worker.h"
#include "features/online.h"
#include "models/model.h"

/* One served model version; immutable once published. */
typedef struct weir_served {
    char arm[16]; /* "champion", "challenger", "challenger-2", …; of a model that is no arm why it scores: "fallback", "request", "tenant" */
    char name[64]; /* model name */
    int version;
    weir_model *model; /* the cache's */
    unsigned views; /* a bit for each view that it reads */
    double threshold; /* a score of this or more is a positive decision; NaN: the model decides nothing */
    int *columns; /* [weir_model_column_count] how to fill each input: see weir_serving_columns */
} weir_served;

enum { WEIR_POLICY_MAX = 32 * (1 + WEIR_CHALLENGERS_MAX) };

/* How requests are divided: all of them, or those of one bucket of the rollout's context. */
typedef struct weir_arms_split {
    double shares[WEIR_CHALLENGERS_MAX]; /* by their rollout, else of the first challenger by the pipeline file; 0 when a guard stopped it */
    double champion_share;
    weir_split_map map; /* by the shares */
    char policy[WEIR_POLICY_MAX]; /* "champion 0.5,challenger 0.25,…"; empty where no challenger but the first has a share: the propensity says it */
} weir_arms_split;
/** By these shares, in so many zones (weir_split_map); shares that are too much together, as between two events they might be, are scaled down.
 *  Errors: of weir_split_map_init; then the champion has everything. */
weir_status weir_arms_split_init(weir_arms_split *split, const double shares[WEIR_CHALLENGERS_MAX], int zones, weir_err *err) WEIR_MUST_CHECK;

/* The arms at one moment. Held by reference, so a swap never changes what a batch or request sees. */
typedef struct weir_arms {
    _Atomic int references;
    weir_served *champion, *challengers[WEIR_CHALLENGERS_MAX]; /* NULL: nobody */
    double shadows[WEIR_CHALLENGERS_MAX]; /* of the requests that a challenger scores beside the champion */
    bool by_request; /* the arm belongs to the request, else to the entity */
    char salt[64];
    int bucket_count; /* of the context; 0: every request alike, by the first split */
    int context_index; /* which column of the events is the context */
    char context_salt[WEIR_SALT_MAX + 16];
    weir_arms_split splits[WEIR_BUCKETS_MAX]; /* by bucket */
} weir_arms;

typedef struct weir_serving weir_serving;
/** views: a bit for each view that the replica is to have; of another one nothing may be read. name: of the replica's folder, <state_dir>/<pipeline>/<name>-<instance>, which
 *  one process has for itself. */
weir_status weir_serving_start(const weir_worker_env *env, const weir_pipeline *pipeline, weir_registry *registry, unsigned views, const char *name,
                               weir_serving **ret_serving, weir_err *err) WEIR_MUST_CHECK;
void weir_serving_stop(weir_serving *serving); /* NULL is fine */

/** The arms now; give them back with weir_arms_drop. Never NULL. */
weir_arms *weir_serving_arms(weir_serving *serving);
void weir_arms_drop(weir_arms *arms);
/** The bucket by whose split a request's arm is drawn; event: its columns, in the order of the events' schema. */
static inline int weir_arms_bucket(const weir_arms *arms, const weir_datum *event) {
    return arms->bucket_count ? weir_split_bucket(arms->context_salt, &event[arms->context_index], arms->bucket_count - 1) : 0;
}
/** The arm that this key gets in its bucket and the probability with which it does. NULL without a champion. key: "tenant/entity"; t_us: the event's time, which with the key is what a
 *  request is known by where arms are drawn by request. No allocation, no lock. */
const weir_served *weir_arms_choose(const weir_arms *arms, int bucket, const char *key, size_t key_len, int64_t t_us, double *ret_propensity);
/** Whether a challenger is to score this request in shadow: of as many requests (entities, where they keep their arms) as arms->shadows says, drawn independently of the arm. */
bool weir_arms_shadows(const weir_arms *arms, int challenger, const char *key, size_t key_len, int64_t t_us);
/** How scoring went, in shadow or not, for the guards of a challenger. Where one is broken, this process stops using it before the call returns, and asks for its rollback. Any thread. */
void weir_serving_note(weir_serving *serving, const weir_served *served, const weir_guard_rows *rows);

/** A version that is no arm, by what it is called (weir_catalogue_find), loaded when it is not in memory: then this takes as long as that does. Give it back with
 *  weir_served_drop. arm: what its `arm` is to say. WEIR_ENOTFOUND: nobody heard of it; otherwise as of weir_model_cache_take, or its columns are not the pipeline's. */
weir_status weir_serving_find(weir_serving *serving, const char *what, const char *arm, weir_served **ret_served, weir_err *err) WEIR_MUST_CHECK;
void weir_served_drop(weir_served *served); /* NULL is fine */

/** A score's decision: null where the version decides nothing, or the score is not finite. */
static inline weir_datum weir_served_decision(const weir_served *served, double score) {
    return isnan(served->threshold) || !isfinite(score) ? weir_null() : weir_bool(score >= served->threshold);
}

/** Caught up with the features topics as they stood at start. */
bool weir_serving_ready(const weir_serving *serving);
/** Has read the aliases as they stood at start, and serves the champion that they name; true, too, when they name none. */
bool weir_serving_settled(const weir_serving *serving);
/** First failure of the feeding thread, if any: then serving is stale and workers fail with it. */
weir_status weir_serving_check(weir_serving *serving, weir_err *err) WEIR_MUST_CHECK;
weir_online *weir_serving_online(weir_serving *serving);
/** Compiled views, in the pipeline's order. */
weir_view *const *weir_serving_views(const weir_serving *serving);

/* All inputs that any model of the pipeline may name form one flat vector: first the numeric columns of the events' schema (schema order, text columns included as NaN),
 * then the features of each view in the pipeline's order. weir_served.columns are indexes into it. */
int weir_serving_input_count(const weir_serving *serving);
const char *weir_serving_input_name(const weir_serving *serving, int index);
int weir_serving_input_of_view(const weir_serving *serving, int view); /* index of the view's first feature */

/* The state that a view was read from, for the prediction record. */
typedef struct weir_view_read {
    bool found;
    weir_source source;
    int64_t event_time_us; /* of the record that was applied last */
    int64_t version; /* of the state: it is made from the records of the entity with seq up to this */
    int64_t newest_us; /* event time of the newest record that counts at the time asked for; INT64_MIN: none does */
    weir_answer answer; /* whether the features are null, and why */
} weir_view_read;

/* One reader per thread. */
typedef struct weir_serving_reader weir_serving_reader;
weir_status weir_serving_reader_new(weir_serving *serving, weir_serving_reader **ret_reader, weir_err *err) WEIR_MUST_CHECK;
void weir_serving_reader_free(weir_serving_reader *reader);
weir_status weir_serving_read_begin(weir_serving_reader *reader, weir_err *err) WEIR_MUST_CHECK;
void weir_serving_read_end(weir_serving_reader *reader);
/** Features of one view for an entity at time t, from the replica. Shapes: out [feature_count of the view]. An entity that is not there has the features of an empty state.
 *  row (may be NULL): a record of the view's feed that is not in the state yet; it is applied to a copy first, so that "this payment" counts. */
weir_status weir_serving_read_view(weir_serving_reader *reader, int view, const char *key, size_t key_len, int64_t t_us, const weir_datum *row, double *out,
                                   weir_view_read *ret_read, weir_err *err) WEIR_MUST_CHECK;
/** The same as of the entity's newest record. They are stored beside the state, so the state is neither read nor decoded. */
weir_status weir_serving_read_newest(weir_serving_reader *reader, int view, const char *key, size_t key_len, double *out, weir_view_read *ret_read,
                                     weir_err *err) WEIR_MUST_CHECK;

#endif
