/* What is to be fitted, as JSON: the common language of recipes, tuning, leaderboards and lineage.
 *
 *   {"algorithm": "xgboost", "params": {"max_depth": 6}, "preprocessing": [{"impute": "median"}], "class_weight": "balanced"}
 *   {"ensemble": "average" | "weighted" | "stacking", "members": [SPEC, …], "meta": SPEC, "folds": 5}
 *   {"targets": SPEC}                                                   one model a target, together one artifact
 *
 * "workers": 2 in a spec of xgboost or random_forest: so many processes fit it together (models/distributed.h).
 * "class_weight" makes all classes of a task weigh the same in the fit (models/class_weight.h); scores are then no longer shares of the rows as they are.
 * Members are of one algorithm each, and so is "meta"; what is fitted a target may be an ensemble. Each may have a "name", for people.
 *
 * An average is of probabilities, or values of a regression. Weights of "weighted" are those that make the out-of-fold predictions best (squared error, or
 * log loss), none negative, sum 1.
 * "meta" is of stacking only, over the members' scores out of fold ("m0", "m1", … or "m0=CLASS"); without: ridge, or logistic of classes. Weights and meta
 * model are fitted on the rows that are in a test part of the folds: with walk_forward not the first ones. The members themselves are fitted on all rows.
 * Sources: Wolpert, Stacked generalization, Neural Networks 5, 1992; Breiman, Stacked regressions, Machine Learning 24, 1996. */
#ifndef WEIR_MODELS_SPEC_H
#define WEIR_MODELS_SPEC_H

#include "models/distributed.h"
#include "models/trainset.h"

enum { WEIR_SPEC_MEMBERS_MAX = 32 };

typedef struct weir_fit_options {
    const weir_split *split; /* the folds of stacking and weighted; NULL: weir_trainset_default_split with the spec's "folds" */
    const char *feature_hash; /* may be NULL */
    uint64_t seed;
    int threads;
    const weir_distributed *distributed; /* how specs with "workers" are fitted, but for their number; NULL: by processes of this host */
    const _Atomic bool *cancel; /* may be NULL; once true: WEIR_ETIMEOUT, RETRY, at the next member or fold */
} weir_fit_options;

/** WEIR_ETIMEOUT, RETRY, when the caller wants no more. */
weir_status weir_fit_may_go_on(const weir_fit_options *options, weir_err *err) WEIR_MUST_CHECK;

/** Validates a spec for a task over these columns. path ("$.training.candidates[0]") prefixes messages. Errors: WEIR_EINVAL with the path, what was found and
 *  what was expected. */
weir_status weir_spec_check(const cJSON *spec, const char *path, weir_task task, const weir_prep_column *columns, int column_count,
                            weir_err *err) WEIR_MUST_CHECK;
/** How many workers fit a spec of one algorithm together; 0: it is fitted in this process. */
int weir_spec_workers(const cJSON *spec);
/** "xgboost", "stacking of logistic, xgboost": for people. text [size]. */
void weir_spec_describe(const cJSON *spec, char *text, size_t size);
/** Fits a spec on every row of a set; the artifact is appended to *ret_artifact and loads with weir_model_load. Deterministic as weir_model_fit. */
weir_status weir_spec_fit(const cJSON *spec, const weir_trainset *set, const weir_fit_options *options, weir_buf *ret_artifact, weir_err *err) WEIR_MUST_CHECK;

#endif
