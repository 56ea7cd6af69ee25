/* Use cases: several things that one pipeline learns from the same events. The `training` section is the first of them; `training.use_cases` names others, each
 * with the keys in which it differs:
 *
 *     "training": {"use_case": "maintenance", "target": "maintenance_needed", …,
 *                  "use_cases": {"fuel": {"task": "regression", "target": "optimal_fuel_rate", "candidates": […]}}}
 *
 * A key that a use case does not name is that of `training`, except what speaks of another target: classes, metric, baseline, threshold and split.exclude_known
 * where it names a task or a target, champion and challenger where it names candidates. */
#ifndef WEIR_MODELS_USE_CASES_H
#define WEIR_MODELS_USE_CASES_H

#include <cjson/cJSON.h>

#include "core/err.h"

enum { WEIR_USE_CASES_MAX = 32, WEIR_USE_CASE_NAME_MAX = 60, WEIR_EXPERIMENT_MAX = 300 };
#define WEIR_USE_CASE_DEFAULT "default" /* of a `training` that gives itself no name */

/** The name of the use case that `training` itself is. */
const char *weir_use_case_default(const cJSON *training);
/** The `training` section of a use case, as if it stood alone; the caller deletes it. WEIR_EINVAL names those that there are, or with path for
 *  sections that are no objects, or names that are no part of a model's name. */
weir_status weir_use_case_section(const cJSON *training, const char *name, cJSON **ret_section, weir_err *err) WEIR_MUST_CHECK;
/** The experiment of a use case's runs: `training.experiment` with {pipeline}, {tenant} and {use_case} filled in; without it "/{pipeline}/{use_case}".
 *  text [WEIR_EXPERIMENT_MAX + 1]. WEIR_EINVAL for other braces, and for what gets too long. */
weir_status weir_use_case_experiment(const cJSON *training, const char *pipeline, const char *tenant, const char *use_case, char *text,
                                     weir_err *err) WEIR_MUST_CHECK;

#endif
