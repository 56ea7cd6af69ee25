/* Predictions made again from the inputs that were recorded with them: by the version that made each, which must give the same bits, or by another one, to see what it would have said. */
#ifndef WEIR_MODELS_RESCORE_H
#define WEIR_MODELS_RESCORE_H

#include <cjson/cJSON.h>

#include "core/pg.h"
#include "features/pipeline.h"
#include "models/offpolicy.h"

enum { WEIR_RESCORE_VERSIONS_MAX = 256, WEIR_RESCORE_LABELLED_MAX = 4000000 };

/* Members that are not named are zero, which means what is said in brackets. */
typedef struct weir_rescore_query {
    int64_t from_us, to_us; /* event time, [from, to) */
    const char *tenant; /* [all] */
    bool by_offset; /* only events of one source partition, with offsets [first, last] */
    int32_t partition;
    int64_t first_offset, last_offset;
    const char *model; /* [the version that made each prediction] */
    int version; /* of model */
    const char *objects_dir;
    void (*on_mismatch)(void *context, const char *prediction, double recorded, double again); /* may be NULL */
    void (*progress)(void *context, int64_t done, int64_t total); /* may be NULL */
    void *context;
} weir_rescore_query;

typedef struct weir_rescore_result {
    int64_t predictions; /* in the range */
    int64_t scored; /* of these; the others' models are not there any more */
    int64_t equal; /* of those scored: the same bits as recorded */
    /* With another version: */
    double mean_recorded, mean_again, mean_difference, mean_absolute_difference,
        max_absolute_difference; /* again − recorded; of all scored, in the score's unit */
    int64_t decisions, decisions_changed; /* predictions with a decision by both; those that differ */
    int64_t yes_recorded, yes_again; /* positive decisions of these */
    int64_t labelled; /* scored predictions whose label is known */
    int64_t measured; /* labelled ones in the metrics: the first WEIR_RESCORE_LABELLED_MAX at most */
    cJSON *versions; /* [{model, version, digest, predictions, missing}]: who made the predictions; missing says why it cannot be asked again, else null */
    bool has_outcome; /* the version answered some of the labelled predictions itself */
    weir_offpolicy_report outcome; /* mean label if it had answered all, by the propensities with which its arm was drawn; intervals of 95 % */
    cJSON *metrics; /* {recorded: {…}, again: {…}} over the labelled ones; NULL: none are, or the predictions were to be made by their own versions */
} weir_rescore_result;

/** Streams the predictions of the offline store: memory is that of a batch of rows for each version that made some (at most WEIR_RESCORE_VERSIONS_MAX, else WEIR_ELIMIT), and 24 bytes a
 *  labelled prediction. Decisions again are by the other version's threshold, else the pipeline's. Errors: WEIR_ENOTFOUND when there are no predictions in the store, or the version's
 *  artifact is not there; WEIR_EINVAL when it takes an input that predictions do not record; WEIR_ENET. weir_rescore_result_done frees what the result owns, also after an error. */
weir_status weir_rescore(const char *pg_url, const weir_pipeline *pipeline, const weir_rescore_query *query, weir_rescore_result *ret_result,
                         weir_err *err) WEIR_MUST_CHECK;
void weir_rescore_result_done(weir_rescore_result *result);

#endif
