/* Stages: what a version must have reached before it may stand for an environment. The rule is the pipeline's:
 *
 *     "training": {"metric": "roc_auc", "baseline": {"dev": 0.70, "aut": 0.80, "prod": 0.85}, …}
 *
 * For a metric that is better the smaller it is, the value is the greatest that will do. An environment without a baseline has no rule. */
#ifndef WEIR_MODELS_STAGE_H
#define WEIR_MODELS_STAGE_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "core/err.h"

/** "dev", "aut", "prod", NULL. */
extern const char *const weir_stage_environments[];

/** Whether a version with these metrics (as the registry has them; may be null) may stand for an environment. training: the section of the pipeline file; NULL: there is none, as for
 *  models of train_model, and F1 must reach 0.70, 0.80 or 0.85.
 *  *ret_verdict, which the caller deletes: {environment, passed, metric, limit, better, value}; without a rule only the first two.
 *  Errors: WEIR_EINVAL (no such environment, a rule that is none), WEIR_ENOMEM. */
weir_status weir_stage_check(const cJSON *training, const char *environment, const cJSON *metrics, cJSON **ret_verdict, weir_err *err) WEIR_MUST_CHECK;
bool weir_stage_passed(const cJSON *verdict);
/** "f1 is 0.81; prod needs at least 0.85": for people. text [size]. */
void weir_stage_describe(const cJSON *verdict, char *text, size_t size);

#endif
