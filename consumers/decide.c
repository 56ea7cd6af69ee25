#include "consumers/decide.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/cron.h"

#include "core/clock.h"

const char *const weir_cause_names[] = {[WEIR_CAUSE_SCHEDULE] = "schedule",
                                        [WEIR_CAUSE_DRIFT] = "drift",
                                        [WEIR_CAUSE_PERFORMANCE] = "performance",
                                        [WEIR_CAUSE_VOLUME] = "volume",
                                        [WEIR_CAUSE_MANUAL] = "manual",
                                        [WEIR_CAUSE_EVENT] = "event",
                                        NULL};

static weir_decision WEIR_PRINTF(3, 4) answer(weir_decision decision, bool train, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(decision.why, sizeof decision.why, format, args);
    va_end(args);
    decision.train = train;
    return decision;
}

static double hours(int64_t us) {
    return (double)us / 3.6e9;
}

/* Labels come later than what they are about: a run that is fitted too soon learns the world as it was, and costs what a good one costs. */
static bool learns_the_past(const weir_decision_state *state) {
    return state->changed_us != INT64_MIN && state->changed_us > state->train_from_us + (state->train_to_us - state->train_from_us) / 2;
}

static const char *day_text(int64_t time_us, char text[WEIR_TIME_TEXT_MAX]) {
    weir_time_format(time_us, text);
    text[10] = 0;
    return text;
}

weir_decision weir_decide_training(const weir_trigger_policy *policy, weir_cause cause, const weir_decision_state *state) {
    weir_decision d = {.gain = state->expected_drop * policy->metric_value * state->predictions_ahead / 1000, .cost = policy->training_cost};
    bool weighed = isfinite(d.gain), asked = state->last_asked_us != INT64_MIN;
    if (!weighed) d.gain = d.cost = NAN;
    if (state->now_us - state->asked_us > WEIR_CAUSE_MAX_AGE_US)
        return answer(d, false, "it is %.1f hours old, and what is older than %.0f is over", hours(state->now_us - state->asked_us),
                      hours(WEIR_CAUSE_MAX_AGE_US));
    if (cause == WEIR_CAUSE_MANUAL) return answer(d, true, "somebody asked for it");
    if (state->pending) return answer(d, false, "a run that was asked for has not been fitted yet");
    if (cause != WEIR_CAUSE_SCHEDULE && state->rolling_out)
        return answer(d, false, "the version of the last run is being rolled out, and another would end that");
    if (cause != WEIR_CAUSE_SCHEDULE && asked && state->now_us - state->last_asked_us < policy->cool_down_us)
        return answer(d, false, "the last run was asked for %.1f hours ago, and cool_down is %.1f hours", hours(state->now_us - state->last_asked_us),
                      hours(policy->cool_down_us));
    if (policy->max_runs && state->runs_in_period >= policy->max_runs)
        return answer(d, false, "%d runs were asked for in the last %.1f hours, and max_runs is %d", state->runs_in_period, hours(policy->per_us),
                      policy->max_runs);
    if (learns_the_past(state)) {
        char changed[WEIR_TIME_TEXT_MAX], from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
        return answer(d, false, "it began on %s, and labels are known for training on %s to %s: less than half of these days come after it",
                      day_text(state->changed_us, changed), day_text(state->train_from_us, from), day_text(state->train_to_us - 1, to));
    }
    if (weighed && d.gain <= d.cost) return answer(d, false, "the gain that is expected, %.4g, does not exceed the cost, %.4g", d.gain, d.cost);
    if (weighed) return answer(d, true, "the gain that is expected, %.4g, exceeds the cost, %.4g", d.gain, d.cost);
    return answer(d, true, "%s asks for it, and the policy does not object", weir_cause_names[cause]);
}

int64_t weir_until_training_us(const weir_triggers *triggers, int64_t now_us) {
    int64_t nearest_us = triggers->policy.per_us;
    for (int i = 0; i < triggers->schedule_count; i++) {
        weir_cron cron;
        weir_zone *zone = NULL;
        const weir_schedule_def *def = &triggers->schedules[i];
        if (strcmp(def->action, "train") != 0 || weir_cron_parse(def->cron, &cron, NULL) || weir_zone_load(def->time_zone, &zone, NULL)) continue;
        int64_t until_us = weir_cron_next(&cron, zone, now_us) - now_us;
        if (until_us < nearest_us) nearest_us = until_us;
        weir_zone_free(zone);
    }
    return nearest_us;
}
