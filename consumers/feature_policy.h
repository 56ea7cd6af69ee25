/* What becomes of a prediction whose features are missing or late, by serving.features of the pipeline file; and how old its oldest feature is. */
#ifndef WEIR_CONSUMERS_FEATURE_POLICY_H
#define WEIR_CONSUMERS_FEATURE_POLICY_H

#include "consumers/serving.h"
#include "features/pipeline.h"

enum { WEIR_REASON_MAX = 192 };

typedef struct weir_policy_verdict {
    weir_feature_policy policy;
    double oldest_s; /* age of the oldest feature at the time asked for, of the views that have a record; NaN where none has */
    char reason[WEIR_REASON_MAX]; /* which views are missing or late, and how: "terminal no_record; customer 7200 s old"; empty: none */
} weir_policy_verdict;

extern const char *const weir_answer_names[WEIR_ANSWERS]; /* "present", "no_record", "expired", "out_of_reach" */

/** views: a bit for each view that is read. reads [view_count]. */
weir_policy_verdict weir_policy_judge(const weir_pipeline *pipeline, unsigned views, const weir_view_read *reads, int64_t t_us);

#endif
