/* Between the parts of the score worker: score.c (life, batches, models), score_rows.c (what is scored: feature records and requests, with their inputs), score_emit.c (what is written). */
#ifndef WEIR_CONSUMERS_SCORE_PARTS_H
#define WEIR_CONSUMERS_SCORE_PARTS_H

#include "consumers/answered.h"
#include "consumers/events.h"
#include "consumers/feature_policy.h"
#include "consumers/requests.h"
#include "consumers/shared.h"
#include "core/metrics.h"
#include "models/recipe.h"

enum { SCORE_TOPIC_FEATURES, SCORE_TOPIC_REQUESTS };

typedef enum score_outcome { SCORE_SCORED, SCORE_FALLBACK, SCORE_ABSTAINED, SCORE_REFUSED, SCORE_REPEATED, SCORE_OUTCOMES } score_outcome;

/* The vectors of one batch that one served version scores; in the scratch arena. */
typedef struct score_arm {
    const weir_served *served; /* NULL: of one that is no arm, that it could not be had */
    double *rows, *outputs; /* [count][columns], [count][outputs of the model] */
    int *record; /* [count] which record of the batch each row is */
    int count;
    /* of one that is no arm */
    struct score_arm *next;
    weir_served *owned;
    const char *what, *label, *why; /* what it was asked for by, and what for; why it could not be had */
    bool for_champion; /* who fails is stood in for by the champion */
} score_arm;

/* What is known of one record of the batch; in the scratch arena. */
typedef struct scored {
    const weir_bus_record *record;
    const weir_served *served; /* NULL: not scored */
    bool answered; /* there is a prediction, though nobody may have scored it */
    bool drawn; /* the arm was: no challenger failed before the champion */
    int bucket; /* by whose shares it was drawn */
    double propensity, score;
    const double *outputs; /* of the model that answers: score is one of them, or all there is */
    int class; /* that is called; -1: the model knows none */
    weir_datum tenant, entity, request_id; /* request_id: null of a feature record */
    const weir_datum *event; /* its columns */
    int64_t t_us;
    weir_source source;
    double *inputs; /* [input_count] */
    const bool *given; /* [input_count] what a request says itself; NULL: nothing */
    weir_view_read read[WEIR_VIEWS_MAX];
    score_outcome outcome;
    const char *reason; /* NULL: nothing is the matter */
    double oldest_s; /* of the features that its model read; NaN: none */
} scored;

typedef enum score_stage { SCORE_DECODE, SCORE_LOOKUP, SCORE_SCORE, SCORE_EMIT, SCORE_STAGES } score_stage;

/* One batch. */
typedef struct score_run {
    int64_t took_us[SCORE_STAGES];
    weir_arms *arms;
    scored *rows;
    size_t count;
    score_arm arm[1 + WEIR_CHALLENGERS_MAX]; /* the champion's, the challengers' */
    score_arm *others; /* those of tenants, fallbacks, and models that requests name */
} score_run;

typedef struct score {
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    weir_shared *shared;
    weir_serving *serving;
    weir_serving_reader *reader;
    weir_recipe recipe;
    weir_features_codec features;
    weir_requests requests; /* where the pipeline answers any */
    weir_answered *answered; /* [partitions] of the requests */
    int32_t *epochs, *batch_epochs; /* [partitions] of the features' writers; and as far as the batch has gone */
    weir_prediction_codec predictions;
    weir_event_codec shadows;
    weir_buf text; /* the scores of a prediction */
    weir_producer *shadow_producer; /* NULL until there is a shadow: its own, so that what fails there is not taken for a failure of predictions */
    char *topic, *shadow_topic, *source_topic, *requests_topic;
    int primary, join_column;
    int *entity_columns[WEIR_VIEWS_MAX]; /* of each view, in the events' schema */
    int *input_columns; /* [recipe.column_count] index into the inputs */
    weir_metric *unserved, *latency, *age[WEIR_VIEWS_MAX], *answers[WEIR_VIEWS_MAX][WEIR_ANSWERS], *outcomes[2][SCORE_OUTCOMES]; /* by topic */
    weir_metric *stages[SCORE_STAGES], *batch_rows, *oldest;
} score;

static inline bool score_is_request(const scored *r) {
    return r->request_id.type != WEIR_T_NULL;
}
/* What passed since *at counts to the stage; *at is now. */
static inline void score_passed(score *s, score_run *run, score_stage stage, int64_t *at_us) {
    int64_t now_us = weir_clock_mono_us(s->env->clock);
    run->took_us[stage] += now_us - *at_us;
    *at_us = now_us;
}
static inline void score_abstain(scored *r, const char *reason) {
    r->served = NULL;
    r->outcome = SCORE_ABSTAINED;
    r->reason = reason;
}

/** A row of the arm's vectors. */
weir_status score_add_to_arm(score *s, score_arm *arm, const scored *r, int record, size_t batch, weir_err *err) WEIR_MUST_CHECK;
/** Decodes, chooses models, gathers inputs. Records that cannot be read go to the dead letters. */
weir_status score_prepare(score *s, score_run *run, const weir_bus_record *records, weir_err *err) WEIR_MUST_CHECK;
/** The prediction of a row, to be flushed by the caller. */
weir_status score_emit(score *s, const weir_arms *arms, const scored *r, int64_t now_us, weir_err *err) WEIR_MUST_CHECK;
/** Scores and classes of rows; tells the guards how that went. Shapes: outputs [count][outputs of the model], scores, classes [count]. */
weir_status score_predict(score *s, const weir_served *served, const double *rows, int count, double *outputs, double *scores, int *classes,
                          weir_err *err) WEIR_MUST_CHECK;
/** What challengers say of the batch beside the champion, when its predictions are acknowledged. What is not written here is lost, and that is no reason to score
 *  the batch again: shadows are for comparison only. When Kafka does not take them as fast as they come, none are scored: nobody waits for them. */
void score_shadows(score *s, const weir_arms *arms, const scored *batch, size_t count);

#endif
