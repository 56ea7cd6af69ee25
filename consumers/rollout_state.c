#include "consumers/rollout_state.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOG_LOSS_MAX 6.907755278982137 /* ln 1000: a score that is surer than that is not told from one that is as sure */
#define FIRST_LOOK 100
#define TUNED_COUNT 10000
#define SHARE_TOLERANCE 1e-9
#define ROUTED_BY 0.01 /* shares that move by less are not worth an event */
#define SURE 0.95 /* posterior probability of a bucket's best arm to be the best, from which on the bucket speaks against what is claimed of all */

const char *const weir_rollout_state_names[] = {
    [WEIR_ROLLOUT_RUNNING] = "running", [WEIR_ROLLOUT_PAUSED] = "paused", [WEIR_ROLLOUT_PROMOTED] = "promoted", [WEIR_ROLLOUT_ROLLED_BACK] = "rolled_back",
    [WEIR_ROLLOUT_ABORTED] = "aborted", [WEIR_ROLLOUT_KEPT] = "kept",     [WEIR_ROLLOUT_STATES] = NULL};
const char *const weir_rollout_command_names[] = {[WEIR_ROLLOUT_PAUSE] = "pause", [WEIR_ROLLOUT_RESUME] = "resume",     [WEIR_ROLLOUT_PROMOTE] = "promote",
                                                  [WEIR_ROLLOUT_ABORT] = "abort", [WEIR_ROLLOUT_ROLLBACK] = "rollback", [WEIR_ROLLOUT_COMMANDS] = NULL};

const char *const weir_challenger_names[WEIR_CHALLENGERS_MAX] = {"challenger",   "challenger-2", "challenger-3", "challenger-4",
                                                                 "challenger-5", "challenger-6", "challenger-7"};

static const weir_evidence_settings ratio_settings = {.method = WEIR_BETTING, .low = -1, .high = 1, .first_look = FIRST_LOOK, .tuned_count = TUNED_COUNT};

/* ---- losses ---- */

static bool is_bounded(weir_loss loss) {
    return loss == WEIR_LOSS_LOG || loss == WEIR_LOSS_BRIER || loss == WEIR_LOSS_ERROR;
}

static double greatest(weir_loss loss) {
    return loss == WEIR_LOSS_LOG ? LOG_LOSS_MAX : 1;
}

weir_arms_settings weir_rollout_settings(const weir_rollout_def *def) {
    return (weir_arms_settings){
        .evidence = {.method = is_bounded(def->loss) ? WEIR_BETTING : WEIR_ASYMPTOTIC,
                     .low = 0,
                     .high = greatest(def->loss),
                     .better_than = -def->margin,
                     .worse_than = -def->margin,
                     .first_look = FIRST_LOOK,
                     .tuned_count = TUNED_COUNT},
        .smaller_is_better = true,
    };
}

weir_evidence_settings weir_rollout_pair_settings(const weir_rollout_def *def) {
    weir_evidence_settings settings = weir_rollout_settings(def).evidence;
    settings.low = -settings.high;
    return settings;
}

weir_status weir_rollout_loss(weir_loss loss, const weir_rollout_score *answer, double label, double *ret_loss, weir_err *err) {
    double difference = answer->score - label, value = NAN;
    switch (loss) {
    case WEIR_LOSS_LOG: value = fmin(-log(label > 0.5 ? answer->score : 1 - answer->score), LOG_LOSS_MAX); break;
    case WEIR_LOSS_BRIER:
    case WEIR_LOSS_SQUARED: value = difference * difference; break;
    case WEIR_LOSS_ERROR: value = answer->decision != (label > 0.5); break;
    case WEIR_LOSS_ABSOLUTE: value = fabs(difference); break;
    }
    if (!isfinite(answer->score) || !isfinite(label) || !isfinite(value)) /* fmin passes over the NaN of a score beyond 0 and 1 */
        return WEIR_REJECT(err, WEIR_EDATA, "a prediction of %g with the label %g has no %s", answer->score, label, weir_loss_names[loss]);
    if (loss == WEIR_LOSS_LOG && !(answer->score >= 0 && answer->score <= 1))
        return WEIR_REJECT(err, WEIR_EDATA, "a prediction of %g is no probability: it has no log_loss", answer->score);
    *ret_loss = value;
    return WEIR_OK;
}

/* ---- what there is ---- */

int weir_rollout_compared(const weir_rollout *rollout) {
    int count = 0;
    for (int a = 0; a < rollout->arm_count; a++) count += !rollout->arms[a].stopped;
    return count;
}

double weir_rollout_champion_share(const weir_rollout *rollout) {
    double share = 1;
    for (int a = 0; a < rollout->arm_count; a++) share -= rollout->arms[a].share;
    return fmax(share, 0);
}

double weir_rollout_better_needed(const weir_rollout_def *def, const weir_rollout *rollout) {
    return 2 * rollout->arm_count / def->alpha;
}

double weir_rollout_worse_needed(const weir_rollout_def *def, const weir_rollout *rollout) {
    return (rollout->shadow ? 4 : 2) * rollout->arm_count / def->alpha;
}

double weir_rollout_ratio_e(const weir_rollout_arm *arm) {
    const weir_e_values e = weir_evidence_e(&ratio_settings, &arm->ratio);
    return fmax(e.better_peak, e.worse_peak);
}

/* ---- shares ---- */

/* Of a challenger at a step: they divide the step's share, and the last one that is left has it for itself. */
static double share_at(const weir_rollout_def *def, const weir_rollout *rollout, int step) {
    return def->steps[step] / (weir_rollout_compared(rollout) > 1 ? rollout->arm_count : 1);
}

/* In every bucket. */
static void give(weir_rollout *rollout, int arm, double share) {
    rollout->arms[arm].share = share;
    for (int b = 0; b < rollout->bucket_count; b++) rollout->buckets[b].shares[arm] = share;
}

static void set_share(weir_rollout *rollout, int arm, double share) {
    give(rollout, arm, share);
    rollout->arms[arm].step_rows = 0;
}

/* Thompson sampling begins where it knows nothing: everybody gets the same. */
static double first_share(const weir_rollout_def *def, const weir_rollout *rollout) {
    return def->thompson ? 1.0 / (1 + weir_rollout_compared(rollout)) : share_at(def, rollout, 0);
}

/* ---- evidence ---- */

static weir_status begin_arm(const weir_rollout_def *def, weir_rollout_arm *arm, weir_err *err) {
    const weir_arms_settings settings = weir_rollout_settings(def);
    const weir_evidence_settings pairs = weir_rollout_pair_settings(def);
    weir_status status = weir_arms_init(&settings, &arm->test, err);
    if (!status) status = weir_evidence_init(&ratio_settings, &arm->ratio, err);
    return status ? status : weir_evidence_init(&pairs, &arm->pairs, err);
}

weir_status weir_rollout_begin(const weir_rollout_def *def, int challengers, bool shadow, int64_t now_us, weir_rollout *ret_rollout, weir_err *err) {
    weir_rollout rollout = {.state = WEIR_ROLLOUT_RUNNING,
                            .started_us = now_us,
                            .winner = WEIR_ROLLOUT_NOBODY,
                            .shadow = shadow,
                            .step = shadow ? WEIR_ROLLOUT_SHADOW_STEP : 0,
                            .arm_count = challengers,
                            .bucket_count = weir_rollout_bucket_count(def)};
    if (challengers < 1 || challengers > WEIR_CHALLENGERS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%d challengers, expected 1 to %d", challengers, WEIR_CHALLENGERS_MAX);
    weir_status status = WEIR_OK;
    for (int a = 0; !status && a < challengers; a++) status = begin_arm(def, &rollout.arms[a], err);
    for (int a = 0; !status && !shadow && a < challengers; a++) set_share(&rollout, a, first_share(def, &rollout));
    if (!status) *ret_rollout = rollout;
    return status;
}

static bool was_drawn(double propensity) {
    return propensity >= WEIR_PROPENSITY_MIN && propensity <= WEIR_PROPENSITY_MAX;
}

static bool has_bucket(const weir_rollout *rollout, int bucket) {
    return bucket >= 0 && bucket < rollout->bucket_count;
}

/* Whether a request could have gone to either of both. */
static bool is_compared(const weir_rollout_def *def, const weir_rollout *rollout, const weir_rollout_row *row, int slot) {
    double champion = row->champion_share, challenger = row->shares[slot];
    return rollout->bucket_count ? fmin(champion, challenger) >= def->floor - SHARE_TOLERANCE : was_drawn(challenger / (champion + challenger));
}

/* Where shares depend on the request: with the stakes of the floor for all, also those that other arms answered. */
static weir_status add_in_context(const weir_rollout_def *def, weir_arms_test *test, int slot, const weir_rollout_row *row, double loss, weir_err *err) {
    const weir_arms_settings settings = weir_rollout_settings(def);
    double propensity = row->arm == slot ? row->shares[slot] : row->champion_share;
    const weir_context_outcome outcome = {.arm = row->arm == slot                  ? 1
                                                 : row->arm == WEIR_ROLLOUT_NOBODY ? 0
                                                                                   : -1,
                                          .propensity = fmax(propensity, def->floor),
                                          .least = def->floor,
                                          .value = loss};
    return weir_arms_add_in_context(&settings, test, &outcome, err);
}

/* Given that it was one of both, the challenger was drawn with its part of their shares. */
static weir_status add_to(const weir_rollout_def *def, weir_rollout *rollout, int slot, const weir_rollout_row *row, double loss, weir_err *err) {
    const weir_arms_settings settings = weir_rollout_settings(def);
    weir_rollout_arm *arm = &rollout->arms[slot];
    bool challenger = row->arm == slot;
    double share = row->shares[slot], present = has_bucket(rollout, row->bucket) ? rollout->buckets[row->bucket].shares[slot] : arm->share;
    const weir_arm_outcome outcome = {.challenger = challenger, .propensity = share / (row->champion_share + share), .value = loss, .expected = NAN};
    if (!is_compared(def, rollout, row, slot)) {
        arm->left_out++;
        return WEIR_OK;
    }
    weir_status status = rollout->bucket_count ? add_in_context(def, &arm->test, slot, row, loss, err) : weir_arms_add(&settings, &arm->test, &outcome, err);
    if (status || (!challenger && row->arm != WEIR_ROLLOUT_NOBODY)) return status;
    if (challenger && fabs(share - present) < SHARE_TOLERANCE) arm->step_rows++;
    return weir_evidence_add(&ratio_settings, &arm->ratio, (challenger ? 1 : 0) - outcome.propensity, err);
}

/* The mean loss of an arm so far, a plain model of its loss: 0 before there is any. */
static double mean_loss(const weir_rollout *rollout, int arm) {
    if (arm != WEIR_ROLLOUT_NOBODY) return rollout->arms[arm].test.mean[1];
    for (int a = 0; a < rollout->arm_count; a++) {
        if (rollout->arms[a].test.count[0] > 0) return rollout->arms[a].test.mean[0];
    }
    return 0;
}

static double propensity_of(const weir_rollout_row *row) {
    return row->arm == WEIR_ROLLOUT_NOBODY ? row->champion_share : row->shares[row->arm];
}

/* What the loss would have been if one arm had all the traffic, by this outcome of whichever arm. */
static weir_status add_estimates(weir_rollout *rollout, const weir_rollout_row *row, double loss, weir_err *err) {
    weir_status status = WEIR_OK;
    weir_logged logged = {.propensity = propensity_of(row), .reward = loss};
    if (!was_drawn(logged.propensity)) return WEIR_OK;
    logged.predicted = mean_loss(rollout, row->arm);
    for (int target = WEIR_ROLLOUT_NOBODY; !status && target < rollout->arm_count; target++) {
        logged.target = target == row->arm;
        logged.predicted_target = mean_loss(rollout, target);
        status = weir_offpolicy_add(target == WEIR_ROLLOUT_NOBODY ? &rollout->champion : &rollout->arms[target].all, &logged, err);
    }
    return status;
}

/* Rewards are losses with the sign turned, of the loss "error" right decisions. */
static double turned(const weir_rollout_def *def, double loss) {
    return def->loss == WEIR_LOSS_ERROR ? 1 - loss : -loss;
}

static weir_bandit_settings bandit_settings(const weir_rollout_def *def, int arms) {
    return (weir_bandit_settings){
        .reward = def->loss == WEIR_LOSS_ERROR ? WEIR_REWARD_BERNOULLI : WEIR_REWARD_GAUSSIAN, .arms = arms, .floor = def->floor, .prior_deviation = 1};
}

/* What its bucket has earned by it, if its arm was drawn. */
static weir_status add_to_bucket(const weir_rollout_def *def, weir_rollout *rollout, const weir_rollout_row *row, double loss, weir_err *err) {
    const weir_bandit_settings settings = bandit_settings(def, 1 + rollout->arm_count);
    if (!has_bucket(rollout, row->bucket) || !was_drawn(propensity_of(row))) return WEIR_OK;
    return weir_bandit_add(&settings, &rollout->buckets[row->bucket].earned, 1 + row->arm, turned(def, loss), err);
}

weir_status weir_rollout_add(const weir_rollout_def *def, weir_rollout *rollout, const weir_rollout_row *row, weir_err *err) {
    const weir_rollout before = *rollout;
    double loss;
    weir_status status = weir_rollout_loss(def->loss, &row->answer, row->label, &loss, err);
    if (!status) status = add_estimates(rollout, row, loss, err); /* before the means have it in them */
    if (!status) status = add_to_bucket(def, rollout, row, loss, err);
    for (int a = 0; !status && a < rollout->arm_count; a++) {
        bool is_other = row->arm != WEIR_ROLLOUT_NOBODY && row->arm != a;
        if (rollout->arms[a].stopped || (is_other && !rollout->bucket_count)) continue;
        status = add_to(def, rollout, a, row, loss, err);
    }
    if (status) *rollout = before;
    return status;
}

weir_status weir_rollout_add_pair(const weir_rollout_def *def, weir_rollout *rollout, const weir_rollout_pair *pair, weir_err *err) {
    const weir_evidence_settings settings = weir_rollout_pair_settings(def);
    double champion = 0, challenger = 0;
    weir_status status = weir_rollout_loss(def->loss, &pair->champion, pair->label, &champion, err);
    if (!status) status = weir_rollout_loss(def->loss, &pair->challenger, pair->label, &challenger, err);
    if (status || rollout->arms[pair->arm].stopped) return status;
    return weir_evidence_add(&settings, &rollout->arms[pair->arm].pairs, champion - challenger, err);
}

/* ---- changes ---- */

static weir_rollout_change WEIR_PRINTF(2, 3) changed(const char *type, const char *format, ...) {
    weir_rollout_change change = {.type = type};
    va_list args;
    va_start(args, format);
    vsnprintf(change.reason, sizeof change.reason, format, args);
    va_end(args);
    return change;
}

/* The one function through which a state changes. */
static void become(weir_rollout *rollout, weir_rollout_state state) {
    rollout->state = state;
    if (weir_rollout_active(rollout)) return;
    for (int a = 0; a < rollout->arm_count; a++) give(rollout, a, state == WEIR_ROLLOUT_PROMOTED && a == rollout->winner ? 1 : 0);
}

/* One of several leaves, the others go on; with the last one the rollout ends. */
static const char *stop(weir_rollout *rollout, int arm) {
    if (weir_rollout_compared(rollout) == 1) {
        become(rollout, WEIR_ROLLOUT_ROLLED_BACK);
        return "rolled_back";
    }
    rollout->arms[arm].stopped = true;
    set_share(rollout, arm, 0);
    return "stopped";
}

/* ---- what buckets say of it ---- */

double weir_rollout_bucket_share(const weir_rollout *rollout, int bucket, int arm) {
    const weir_rollout_bucket *in = &rollout->buckets[bucket];
    double share = 1;
    if (arm != WEIR_ROLLOUT_NOBODY) return in->shares[arm];
    for (int a = 0; a < rollout->arm_count; a++) share -= in->shares[a];
    return fmax(share, 0);
}

double weir_rollout_bucket_outcomes(const weir_rollout *rollout, int bucket, int arm) {
    return rollout->buckets[bucket].earned.count[1 + arm];
}

double weir_rollout_bucket_loss(const weir_rollout_def *def, const weir_rollout *rollout, int bucket, int arm) {
    const weir_bandit *earned = &rollout->buckets[bucket].earned;
    return earned->count[1 + arm] > 0 ? turned(def, earned->mean[1 + arm]) : NAN; /* turned twice it is what it was */
}

/* What the bandit knows, of the champion and those that are not stopped. */
static int collect(const weir_rollout_def *def, const weir_rollout *rollout, weir_bandit *bandit, int arms[WEIR_BANDIT_ARMS_MAX]) {
    int count = 0;
    for (int a = WEIR_ROLLOUT_NOBODY; a < rollout->arm_count; a++) {
        const weir_arms_test *test = &rollout->arms[a < 0 ? 0 : a].test;
        int side = a >= 0;
        if (a >= 0 && rollout->arms[a].stopped) continue;
        for (int b = 0; a < 0 && b < rollout->arm_count; b++) { /* of the champion's outcomes those of the comparison that has seen most */
            if (rollout->arms[b].test.count[0] > test->count[0]) test = &rollout->arms[b].test;
        }
        bandit->count[count] = test->count[side];
        bandit->mean[count] = test->count[side] > 0 ? turned(def, test->mean[side]) : 0;
        bandit->deviations[count] = test->deviations[side];
        arms[count++] = a;
    }
    return count;
}

/* The prior of losses of unknown size: where the champion's lie. */
static weir_bandit_settings routing_settings(const weir_rollout_def *def, const weir_bandit *bandit, int count) {
    weir_bandit_settings settings = bandit_settings(def, count);
    double deviation = bandit->count[0] > 1 ? sqrt(bandit->deviations[0] / (bandit->count[0] - 1)) : 1;
    settings.prior_mean = bandit->mean[0];
    if (deviation > 0) settings.prior_deviation = deviation;
    return settings;
}

/* Of these arms, as many as the settings say, by what a bucket knows. */
static weir_status shares_in(const weir_rollout_bucket *bucket, const weir_bandit_settings *settings, const int *arms, double *shares, weir_err *err) {
    weir_bandit known = {0};
    for (int i = 0; i < settings->arms; i++) {
        known.count[i] = bucket->earned.count[1 + arms[i]];
        known.mean[i] = bucket->earned.mean[1 + arms[i]];
        known.deviations[i] = bucket->earned.deviations[1 + arms[i]];
    }
    return weir_bandit_propensities(settings, &known, shares, err);
}

static double outcomes_in(const weir_rollout *rollout, int bucket) {
    double outcomes = 0;
    for (int a = WEIR_ROLLOUT_NOBODY; a < rollout->arm_count; a++) outcomes += weir_rollout_bucket_outcomes(rollout, bucket, a);
    return outcomes;
}

/* Whether a bucket is sure of its best arm, as things stand now. That takes its part of min_rows. */
static bool find_best(const weir_rollout_def *def, const weir_rollout *rollout, int bucket, int *ret_arm) {
    weir_bandit all = {0};
    int arms[WEIR_BANDIT_ARMS_MAX], count = collect(def, rollout, &all, arms);
    double shares[WEIR_BANDIT_ARMS_MAX], sure = def->floor + (1 - count * def->floor) * SURE;
    const weir_bandit_settings settings = routing_settings(def, &all, count);
    if (outcomes_in(rollout, bucket) < (double)def->min_rows / (rollout->bucket_count - 1)) return false;
    if (shares_in(&rollout->buckets[bucket], &settings, arms, shares, NULL)) return false;
    for (int i = 0; i < count; i++) {
        *ret_arm = arms[i];
        if (shares[i] > sure) return true;
    }
    return false;
}

int weir_rollout_opposing_bucket(const weir_rollout_def *def, const weir_rollout *rollout, int challenger, bool promotion) {
    for (int b = 0; b < rollout->bucket_count; b++) {
        int best;
        if (find_best(def, rollout, b, &best) && (best == challenger) != promotion) return b;
    }
    return WEIR_ROLLOUT_NO_BUCKET;
}

static bool is_opposed(const weir_rollout_def *def, const weir_rollout *rollout, int challenger, bool promotion) {
    return weir_rollout_opposing_bucket(def, rollout, challenger, promotion) != WEIR_ROLLOUT_NO_BUCKET;
}

/* ---- decisions ---- */

static weir_rollout_change stop_worse(const weir_rollout_def *def, weir_rollout *rollout) {
    const weir_arms_settings settings = weir_rollout_settings(def);
    const weir_evidence_settings pair_settings = weir_rollout_pair_settings(def);
    double needed = weir_rollout_worse_needed(def, rollout);
    for (int a = 0; a < rollout->arm_count; a++) {
        const weir_rollout_arm *arm = &rollout->arms[a];
        const weir_e_values e = weir_arms_e(&settings, &arm->test), pairs = weir_evidence_e(&pair_settings, &arm->pairs);
        double peak = fmax(e.worse_peak, pairs.worse_peak);
        if (arm->stopped || !(peak >= needed) || is_opposed(def, rollout, a, false)) continue;
        bool in_shadow = pairs.worse_peak >= e.worse_peak;
        return changed(stop(rollout, a), "%s is worse%s: an e-value of %.3g where %.3g was asked for", weir_challenger_names[a], in_shadow ? " in shadow" : "",
                       peak, needed);
    }
    return (weir_rollout_change){0};
}

static weir_rollout_change hold_wrong_split(weir_rollout *rollout) {
    for (int a = 0; a < rollout->arm_count; a++) {
        double ratio = weir_rollout_ratio_e(&rollout->arms[a]);
        char reason[WEIR_ROLLOUT_REASON_MAX];
        if (rollout->arms[a].stopped || !(ratio >= 2 / WEIR_ROLLOUT_RATIO_ALPHA)) continue;
        snprintf(reason, sizeof reason, "%s and the champion did not get their shares of the outcomes: an e-value of %.3g", weir_challenger_names[a], ratio);
        return weir_rollout_hold(rollout, reason);
    }
    return (weir_rollout_change){0};
}

/* The last step at which the champion still answers: there it is decided. */
static int last_compared(const weir_rollout_def *def) {
    int last = def->step_count - 1;
    while (last > 0 && def->steps[last] > WEIR_PROPENSITY_MAX) last--;
    return last;
}

/* Of those that are better the one with the most evidence. */
static weir_rollout_change promote_best(const weir_rollout_def *def, weir_rollout *rollout) {
    const weir_arms_settings settings = weir_rollout_settings(def);
    double best = weir_rollout_better_needed(def, rollout), needed = best;
    int winner = WEIR_ROLLOUT_NOBODY;
    for (int a = 0; a < rollout->arm_count; a++) {
        const weir_rollout_arm *arm = &rollout->arms[a];
        double rows = def->thompson ? arm->test.count[1] : arm->step_rows; /* shares that move all the time are no steps */
        double peak = weir_arms_e(&settings, &arm->test).better_peak;
        if (arm->stopped || rows < (double)def->min_rows || !(peak >= best) || is_opposed(def, rollout, a, true)) continue;
        best = peak;
        winner = a;
    }
    if (winner == WEIR_ROLLOUT_NOBODY) return (weir_rollout_change){0};
    rollout->winner = winner;
    become(rollout, WEIR_ROLLOUT_PROMOTED);
    return changed("promoted", "%s is better: an e-value of %.3g where %.3g was asked for", weir_challenger_names[winner], best, needed);
}

/* Out of the shadow, when there are enough pairs. */
static weir_rollout_change leave_shadow(const weir_rollout_def *def, weir_rollout *rollout) {
    double fewest = INFINITY;
    int fine = 0;
    for (int a = 0; a < rollout->arm_count; a++) {
        if (rollout->arms[a].stopped) continue;
        fewest = fmin(fewest, rollout->arms[a].pairs.count);
        fine += rollout->arms[a].pairs.mean >= -def->margin;
    }
    if (fewest < (double)def->min_rows || !fine) return (weir_rollout_change){0};
    rollout->step = 0;
    for (int a = 0; a < rollout->arm_count; a++) {
        const weir_rollout_arm *arm = &rollout->arms[a];
        if (!arm->stopped && arm->pairs.mean >= -def->margin) set_share(rollout, a, first_share(def, rollout));
    }
    return changed("stepped", "%.0f pairs in shadow, and no harm is seen", fewest);
}

/* Shares of the next step for those that do not look worse. */
static weir_rollout_change raise_shares(const weir_rollout_def *def, weir_rollout *rollout) {
    double fewest = INFINITY;
    int fine = 0;
    for (int a = 0; a < rollout->arm_count; a++) {
        const weir_rollout_arm *arm = &rollout->arms[a];
        if (arm->stopped || arm->share == 0) continue;
        fewest = fmin(fewest, arm->step_rows);
        fine += arm->test.evidence.mean >= -def->margin;
    }
    if (fewest < (double)def->min_rows || !fine) return (weir_rollout_change){0};
    rollout->step++;
    for (int a = 0; a < rollout->arm_count; a++) {
        const weir_rollout_arm *arm = &rollout->arms[a];
        bool raised = !arm->stopped && arm->share > 0 && arm->test.evidence.mean >= -def->margin;
        set_share(rollout, a, raised ? fmax(arm->share, share_at(def, rollout, rollout->step)) : arm->share);
    }
    return changed("stepped", "%.0f outcomes at step %d, and no harm is seen", fewest, rollout->step);
}

static weir_rollout_change advance(const weir_rollout_def *def, weir_rollout *rollout) {
    if (rollout->step == WEIR_ROLLOUT_SHADOW_STEP) return leave_shadow(def, rollout);
    if (def->thompson || rollout->step >= last_compared(def)) return promote_best(def, rollout);
    return raise_shares(def, rollout);
}

weir_rollout_change weir_rollout_decide(const weir_rollout_def *def, weir_rollout *rollout, int64_t now_us) {
    weir_rollout_change change = {0};
    if (!weir_rollout_active(rollout)) return change;
    change = stop_worse(def, rollout);
    if (change.type || rollout->state == WEIR_ROLLOUT_PAUSED) return change;
    change = hold_wrong_split(rollout);
    if (!change.type) change = advance(def, rollout);
    if (change.type || now_us - rollout->started_us < def->patience_us) return change;
    become(rollout, WEIR_ROLLOUT_KEPT);
    return changed("kept", "rollout.patience is over without a decision");
}

weir_rollout_change weir_rollout_hold(weir_rollout *rollout, const char *reason) {
    if (rollout->state != WEIR_ROLLOUT_RUNNING) return (weir_rollout_change){0};
    become(rollout, WEIR_ROLLOUT_PAUSED);
    return changed("paused", "%s", reason);
}

/* ---- routing ---- */

/* Of the traffic, if it falls into the buckets as what is known of it did. */
static double share_of_all(const weir_rollout *rollout, int arm) {
    double share = 0, outcomes = 0;
    for (int b = 0; b < rollout->bucket_count; b++) {
        double rows = outcomes_in(rollout, b);
        outcomes += rows;
        share += rows * rollout->buckets[b].shares[arm];
    }
    return outcomes > 0 ? share / outcomes : rollout->buckets[0].shares[arm]; /* before there is an outcome all buckets are alike */
}

/* Each bucket by itself; arms: those that are routed, as many as the settings say. */
static weir_status route_buckets(weir_rollout *rollout, const weir_bandit_settings *settings, const int *arms, weir_rollout_change *ret_change, weir_err *err) {
    double shares[WEIR_BUCKETS_MAX][WEIR_BANDIT_ARMS_MAX], moved = 0;
    weir_status status = WEIR_OK;
    int count = 0;
    for (int b = 0; !status && b < rollout->bucket_count; b++) {
        double here = 0;
        status = shares_in(&rollout->buckets[b], settings, arms, shares[b], err);
        for (int i = 1; !status && i < settings->arms; i++) here = fmax(here, fabs(shares[b][i] - rollout->buckets[b].shares[arms[i]]));
        count += here >= ROUTED_BY;
        moved = fmax(moved, here);
    }
    if (status || moved < ROUTED_BY) return status;
    for (int b = 0; b < rollout->bucket_count; b++) {
        for (int i = 1; i < settings->arms; i++) rollout->buckets[b].shares[arms[i]] = shares[b][i];
    }
    for (int i = 1; i < settings->arms; i++) {
        rollout->arms[arms[i]].share = share_of_all(rollout, arms[i]);
        rollout->arms[arms[i]].step_rows = 0;
    }
    *ret_change = changed("routed", "shares moved in %d of %d buckets, by what their outcomes say", count, rollout->bucket_count);
    return WEIR_OK;
}

weir_status weir_rollout_route(const weir_rollout_def *def, weir_rollout *rollout, weir_rollout_change *ret_change, weir_err *err) {
    weir_bandit bandit = {0};
    int arms[WEIR_BANDIT_ARMS_MAX];
    double shares[WEIR_BANDIT_ARMS_MAX], moved = 0;
    *ret_change = (weir_rollout_change){0};
    if (!def->thompson || rollout->state != WEIR_ROLLOUT_RUNNING || rollout->step == WEIR_ROLLOUT_SHADOW_STEP) return WEIR_OK;
    int count = collect(def, rollout, &bandit, arms);
    const weir_bandit_settings settings = routing_settings(def, &bandit, count);
    if (rollout->bucket_count) return route_buckets(rollout, &settings, arms, ret_change, err);
    weir_status status = weir_bandit_propensities(&settings, &bandit, shares, err);
    for (int i = 1; !status && i < count; i++) moved = fmax(moved, fabs(shares[i] - rollout->arms[arms[i]].share));
    if (status || moved < ROUTED_BY) return status;
    for (int i = 1; i < count; i++) set_share(rollout, arms[i], shares[i]);
    *ret_change = changed("routed", "shares by what %.0f outcomes say", rollout->arms[arms[1]].test.count[0] + rollout->arms[arms[1]].test.count[1]);
    return WEIR_OK;
}

/* ---- commands ---- */

static weir_rollout_change refuse(const weir_rollout *rollout, weir_rollout_command command) {
    return changed(NULL, "%s is refused: the rollout is %s", weir_rollout_command_names[command], weir_rollout_state_names[rollout->state]);
}

/* The one that is meant, or the only one that is left; WEIR_ROLLOUT_NOBODY: not to be told. */
static int meant(const weir_rollout *rollout, int arm) {
    if (arm != WEIR_ROLLOUT_NOBODY || weir_rollout_compared(rollout) > 1) return arm;
    for (int a = 0; a < rollout->arm_count; a++) {
        if (!rollout->arms[a].stopped) return a;
    }
    return arm;
}

/* Who resumes has looked at the split; it is judged anew. */
static void judge_split_anew(weir_rollout *rollout) {
    for (int a = 0; a < rollout->arm_count; a++) (void)!weir_evidence_init(&ratio_settings, &rollout->arms[a].ratio, NULL); /* these settings are right */
}

weir_rollout_change weir_rollout_do(weir_rollout *rollout, weir_rollout_command command, int arm, const char *reason) {
    static const struct {
        bool from[WEIR_ROLLOUT_STATES];
        weir_rollout_state to;
        const char *type;
    } commands[WEIR_ROLLOUT_COMMANDS] = {
        [WEIR_ROLLOUT_PAUSE] = {{[WEIR_ROLLOUT_RUNNING] = true}, WEIR_ROLLOUT_PAUSED, "paused"},
        [WEIR_ROLLOUT_RESUME] = {{[WEIR_ROLLOUT_PAUSED] = true}, WEIR_ROLLOUT_RUNNING, "resumed"},
        [WEIR_ROLLOUT_PROMOTE] = {{[WEIR_ROLLOUT_RUNNING] = true, [WEIR_ROLLOUT_PAUSED] = true}, WEIR_ROLLOUT_PROMOTED, "promoted"},
        [WEIR_ROLLOUT_ABORT] = {{[WEIR_ROLLOUT_RUNNING] = true, [WEIR_ROLLOUT_PAUSED] = true}, WEIR_ROLLOUT_ABORTED, "aborted"},
        [WEIR_ROLLOUT_ROLLBACK] = {{[WEIR_ROLLOUT_RUNNING] = true, [WEIR_ROLLOUT_PAUSED] = true, [WEIR_ROLLOUT_PROMOTED] = true},
                                   WEIR_ROLLOUT_ROLLED_BACK,
                                   "rolled_back"},
    };
    if (!commands[command].from[rollout->state]) return refuse(rollout, command);
    if (arm != WEIR_ROLLOUT_NOBODY && weir_rollout_active(rollout) && rollout->arms[arm].stopped)
        return changed(NULL, "%s is refused: this challenger was stopped", weir_rollout_command_names[command]);
    if (command == WEIR_ROLLOUT_ROLLBACK && weir_rollout_active(rollout) && arm != WEIR_ROLLOUT_NOBODY) return changed(stop(rollout, arm), "%s", reason);
    if (command == WEIR_ROLLOUT_PROMOTE && (arm = meant(rollout, arm)) == WEIR_ROLLOUT_NOBODY)
        return changed(NULL, "promote is refused: several challengers are compared, say which");
    if (command == WEIR_ROLLOUT_PROMOTE) rollout->winner = arm;
    if (command == WEIR_ROLLOUT_RESUME) judge_split_anew(rollout);
    become(rollout, commands[command].to);
    return changed(commands[command].type, "%s", reason);
}

/* ---- at rest ---- */

static void put_numbers(const double *numbers, size_t count, uint8_t *bytes) {
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &numbers[i], sizeof bits);
        for (int b = 0; b < 8; b++) bytes[8 * i + (size_t)b] = (uint8_t)(bits >> 8 * b);
    }
}

static weir_status get_numbers(const uint8_t *bytes, size_t count, double *numbers, weir_err *err) {
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        for (int b = 0; b < 8; b++) bits |= (uint64_t)bytes[8 * i + (size_t)b] << 8 * b;
        memcpy(&numbers[i], &bits, sizeof bits);
        if (!isfinite(numbers[i])) return WEIR_FAIL(err, WEIR_EDATA, "a number of a rollout's evidence is %g", numbers[i]);
    }
    return WEIR_OK;
}

void weir_rollout_encode_sums(const weir_offpolicy *sums, uint8_t bytes[WEIR_ROLLOUT_SUMS_BYTES]) {
    double numbers[WEIR_ROLLOUT_SUMS_BYTES / 8];
    _Static_assert(sizeof numbers == sizeof *sums, "running sums are doubles");
    memcpy(numbers, sums, sizeof numbers);
    put_numbers(numbers, sizeof numbers / sizeof *numbers, bytes);
}

weir_status weir_rollout_decode_sums(const uint8_t *bytes, size_t len, weir_offpolicy *ret_sums, weir_err *err) {
    double numbers[WEIR_ROLLOUT_SUMS_BYTES / 8];
    if (len != sizeof numbers) return WEIR_FAIL(err, WEIR_EDATA, "the sums of an estimate have %zu bytes, expected %zu", len, sizeof numbers);
    weir_status status = get_numbers(bytes, sizeof numbers / sizeof *numbers, numbers, err);
    if (!status) memcpy(ret_sums, numbers, sizeof numbers);
    return status;
}

size_t weir_rollout_encode_buckets(const weir_rollout *rollout, uint8_t bytes[WEIR_ROLLOUT_BUCKETS_BYTES]) {
    double numbers[WEIR_ROLLOUT_BUCKET_BYTES / 8];
    _Static_assert(sizeof numbers == sizeof *rollout->buckets, "a bucket is doubles");
    for (int b = 0; b < rollout->bucket_count; b++) {
        memcpy(numbers, &rollout->buckets[b], sizeof numbers);
        put_numbers(numbers, sizeof numbers / sizeof *numbers, bytes + (size_t)b * sizeof numbers);
    }
    return (size_t)rollout->bucket_count * sizeof numbers;
}

weir_status weir_rollout_decode_buckets(const uint8_t *bytes, size_t len, weir_rollout *rollout, weir_err *err) {
    double numbers[WEIR_ROLLOUT_BUCKET_BYTES / 8];
    if (len % sizeof numbers || len > WEIR_ROLLOUT_BUCKETS_BYTES)
        return WEIR_FAIL(err, WEIR_EDATA, "the buckets of a rollout have %zu bytes, expected at most %d times %zu", len, WEIR_BUCKETS_MAX, sizeof numbers);
    weir_status status = WEIR_OK;
    for (size_t b = 0; !status && b < len / sizeof numbers; b++) {
        status = get_numbers(bytes + b * sizeof numbers, sizeof numbers / sizeof *numbers, numbers, err);
        if (!status) memcpy(&rollout->buckets[b], numbers, sizeof numbers);
    }
    if (!status) rollout->bucket_count = (int)(len / sizeof numbers);
    return status;
}

void weir_rollout_encode(const weir_rollout_arm *arm, uint8_t bytes[WEIR_ROLLOUT_ARM_BYTES]) {
    weir_arms_encode(&arm->test, bytes);
    weir_evidence_encode(&arm->ratio, bytes + WEIR_ARMS_TEST_BYTES);
    weir_evidence_encode(&arm->pairs, bytes + WEIR_ARMS_TEST_BYTES + WEIR_EVIDENCE_BYTES);
    weir_rollout_encode_sums(&arm->all, bytes + WEIR_ARMS_TEST_BYTES + 2 * WEIR_EVIDENCE_BYTES);
}

weir_status weir_rollout_decode(const uint8_t *bytes, size_t len, weir_rollout_arm *arm, weir_err *err) {
    enum { BEFORE_PAIRS = WEIR_ARMS_TEST_BYTES + WEIR_EVIDENCE_BYTES };
    if (len != WEIR_ROLLOUT_ARM_BYTES && len != BEFORE_PAIRS)
        return WEIR_FAIL(err, WEIR_EDATA, "the evidence of a rollout has %zu bytes, expected %d", len, WEIR_ROLLOUT_ARM_BYTES);
    weir_status status = weir_arms_decode(bytes, WEIR_ARMS_TEST_BYTES, &arm->test, err);
    if (!status) status = weir_evidence_decode(bytes + WEIR_ARMS_TEST_BYTES, WEIR_EVIDENCE_BYTES, &arm->ratio, err);
    if (status || len == BEFORE_PAIRS) return status;
    status = weir_evidence_decode(bytes + BEFORE_PAIRS, WEIR_EVIDENCE_BYTES, &arm->pairs, err);
    return status ? status : weir_rollout_decode_sums(bytes + BEFORE_PAIRS + WEIR_EVIDENCE_BYTES, WEIR_ROLLOUT_SUMS_BYTES, &arm->all, err);
}
