/* Semantic versions of models: MAJOR.MINOR.PATCH, and the rule by which the next one is chosen.
 *
 *   major   whoever calls the model must change: an input that it did not need before or of another type, another target, other classes or another output
 *   minor   it is another model for the same callers: features, algorithm, hyperparameters, preprocessing or the data set it was made from differ, or it needs
 *  fewer inputs
 *   patch   the same thing fitted again: on other days, or other rows of the same data set */
#ifndef WEIR_MODELS_SEMVER_H
#define WEIR_MODELS_SEMVER_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "core/err.h"

enum { WEIR_SEMVER_TEXT_MAX = 40, WEIR_SEMVER_PART_MAX = 999999999 };

typedef struct weir_semver {
    int major, minor, patch;
} weir_semver;

typedef enum weir_semver_change { WEIR_SEMVER_PATCH, WEIR_SEMVER_MINOR, WEIR_SEMVER_MAJOR } weir_semver_change;

/** "1.2.0" or "v1.2.0": three numbers without leading zeros, nothing behind them. */
bool weir_semver_parse(const char *text, weir_semver *ret_version) WEIR_MUST_CHECK;
/** text [WEIR_SEMVER_TEXT_MAX] */
const char *weir_semver_format(const weir_semver *version, char *text);
/** Below, equal to or above 0 as a is before, equal to or after b. */
int weir_semver_compare(const weir_semver *a, const weir_semver *b);
weir_semver weir_semver_next(const weir_semver *before, weir_semver_change change);

/* What the rule looks at. Anything may be NULL: then it is equal to what is NULL too. */
typedef struct weir_semver_facts {
    const char *algorithm, *feature_hash;
    const cJSON *signature; /* {inputs[{name, type}], target, output} */
    const cJSON *lineage; /* {params, preprocessing, spec, dataset{name}, datasets[{dataset}]} */
} weir_semver_facts;

/** What makes a new version out of the one before. *ret_why (static text) names what differs. */
weir_semver_change weir_semver_change_of(const weir_semver_facts *before, const weir_semver_facts *after, const char **ret_why);

#endif
