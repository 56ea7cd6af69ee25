/* `serving` of the pipeline file: what becomes of a prediction whose features are missing or late, who may ask for one, and which models stay in memory. */
#ifndef WEIR_FEATURES_PIPELINE_SERVING_H
#define WEIR_FEATURES_PIPELINE_SERVING_H

#include <stdbool.h>
#include <stdint.h>

/* The later one holds where several views of a prediction say different things. */
typedef enum weir_feature_policy {
    WEIR_POLICY_SCORE, /* as it is: features that are missing are null, or what their "default" says */
    WEIR_POLICY_FALLBACK, /* by the model that serving.features.fallback names */
    WEIR_POLICY_ABSTAIN /* not at all: the prediction says why */
} weir_feature_policy;
extern const char *const weir_feature_policy_names[]; /* "score", "fallback", "abstain" */

/* Of one view. */
typedef struct weir_view_policy {
    weir_feature_policy missing; /* it has no record of the entity, or none that still counts */
    weir_feature_policy late; /* what it has is older than max_age */
    int64_t max_age_us; /* 0: it may have any age */
} weir_view_policy;

typedef struct weir_serving_def {
    weir_view_policy *views; /* [view_count] */
    const char *fallback; /* an alias, MODEL or MODEL/VERSION; NULL */
    bool requests; /* <pipeline>.requests are answered, too */
    bool tenants; /* rows of tenant T are scored by the alias "tenant:T" where there is one */
    int64_t model_memory_bytes; /* of models that are kept loaded */
} weir_serving_def;

#endif
