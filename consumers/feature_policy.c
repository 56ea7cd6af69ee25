#include "consumers/feature_policy.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const weir_answer_names[WEIR_ANSWERS] = {
    [WEIR_ANSWER_PRESENT] = "present", [WEIR_ANSWER_NO_RECORD] = "no_record", [WEIR_ANSWER_EXPIRED] = "expired", [WEIR_ANSWER_OUT_OF_REACH] = "out_of_reach"};

/* What does not fit is cut off: there are at most 16 views, and the first ones say it. */
static void WEIR_PRINTF(2, 3) add_reason(weir_policy_verdict *verdict, const char *format, ...) {
    size_t used = strlen(verdict->reason);
    va_list args;
    if (used) used += (size_t)snprintf(verdict->reason + used, sizeof verdict->reason - used, "; ");
    if (used >= sizeof verdict->reason) return;
    va_start(args, format);
    vsnprintf(verdict->reason + used, sizeof verdict->reason - used, format, args);
    va_end(args);
}

weir_policy_verdict weir_policy_judge(const weir_pipeline *pipeline, unsigned views, const weir_view_read *reads, int64_t t_us) {
    weir_policy_verdict verdict = {.policy = WEIR_POLICY_SCORE, .oldest_s = NAN};
    for (int v = 0; v < pipeline->view_count; v++) {
        const weir_view_read *read = &reads[v];
        const weir_view_policy policy = pipeline->serving.views ? pipeline->serving.views[v] : (weir_view_policy){0};
        weir_feature_policy says = WEIR_POLICY_SCORE;
        if (!(views >> v & 1)) continue;
        int64_t age_us = read->found && t_us > read->event_time_us ? t_us - read->event_time_us : 0;
        if (read->found && !((double)age_us / 1e6 <= verdict.oldest_s)) verdict.oldest_s = (double)age_us / 1e6;
        if (!read->found || read->answer != WEIR_ANSWER_PRESENT) {
            says = policy.missing;
            add_reason(&verdict, "%s %s", pipeline->views[v].name, weir_answer_names[read->answer ? read->answer : WEIR_ANSWER_NO_RECORD]);
        } else if (policy.max_age_us && age_us > policy.max_age_us) {
            says = policy.late;
            add_reason(&verdict, "%s %.0f s old", pipeline->views[v].name, (double)age_us / 1e6);
        }
        if (says > verdict.policy) verdict.policy = says;
    }
    return verdict;
}
