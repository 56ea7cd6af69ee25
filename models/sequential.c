/* Anytime-valid evidence: mixtures of bets, the empirical Bernstein confidence sequence, and the asymptotic one. */
#include "models/sequential.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { UP, DOWN, SIDES }; /* against mean ≤ better_than, against mean ≥ worse_than; of an interval, its lower and its upper end */
enum { NEITHER = -1, CHAMPION, CHALLENGER };
enum { BISECTIONS = 80, HEAD_BYTES = 8 };

/* Fractions f_k of the stake, four to a decade: effects that take ten outcomes and those that take millions. */
static const double BETS[WEIR_BETS] = {0.9, 0.5, 0.28, 0.16, 0.09, 0.05, 0.028, 0.016, 0.009, 0.005, 0.0028, 0.0016, 0.0009, 0.0005, 0.00028, 0.00016};
/* The part of the stake on each: more where effects usually are, so that less is lost on bets that do not fit. */
static const double STAKES[WEIR_BETS] = {0.02, 0.04, 0.06, 0.09, 0.11, 0.11, 0.1, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.03, 0.02};
static const double WEALTH_MAX = 1e280; /* decided long ago; keeps the next factor finite */
static const double WEALTH_MIN = 1e-280; /* lost; zero from here on, which only errs on the safe side */
static const double VALUE_MAX = 1e140; /* squares of as many as a double counts still sum to a number */
static const double SCALE_MIN = 1.0 / 16; /* of the range: keeps the weights of the Bernstein sums even while the prediction moves */
static const double TUNED_NUMERATOR = 7.936; /* −2 ln α + ln(1 − 2 ln α) at α = 0.05; Waudby-Smith et al. 2024, appendix C.3 */
static const double POOLED_WEIGHT = 20; /* outcomes' worth of the pooled mean in the running mean of an arm */

/* What is known of a value before it is seen. */
typedef struct bounds {
    double low, high, predicted;
} bounds;

/* ---- settings ---- */

static weir_status check_settings(const weir_evidence_settings *s, bool arms, weir_err *err) {
    if (!isfinite(s->better_than) || !isfinite(s->worse_than) || s->worse_than > s->better_than)
        return WEIR_FAIL(err, WEIR_EINVAL, "better than %g and worse than %g: expected finite numbers, worse_than at most better_than", s->better_than,
                         s->worse_than);
    if (s->method == WEIR_ASYMPTOTIC) {
        if (!(s->first_look >= 2 && isfinite(s->first_look)))
            return WEIR_FAIL(err, WEIR_EINVAL, "first look after %g outcomes, expected at least 2", s->first_look);
        if (!(s->tuned_count >= 1 && isfinite(s->tuned_count)))
            return WEIR_FAIL(err, WEIR_EINVAL, "tuned for %g outcomes, expected at least 1", s->tuned_count);
        return WEIR_OK;
    }
    if (s->method != WEIR_BETTING) return WEIR_FAIL(err, WEIR_EINVAL, "method %d: expected betting or asymptotic", (int)s->method);
    double range = s->high - s->low;
    if (!(range > 0 && range <= VALUE_MAX && fabs(s->low) <= VALUE_MAX))
        return WEIR_FAIL(err, WEIR_EINVAL, "bounds %g and %g: expected finite numbers, low below high", s->low, s->high);
    double low = arms ? -range : s->low, high = arms ? range : s->high;
    if (!(s->better_than > low && s->better_than < high && s->worse_than > low && s->worse_than < high))
        return WEIR_FAIL(err, WEIR_EINVAL, "better than %g and worse than %g: expected numbers between %g and %g, which a mean can pass", s->better_than,
                         s->worse_than, low, high);
    return WEIR_OK;
}

static weir_evidence fresh(void) {
    weir_evidence evidence = {.peak = {1, 1}};
    for (int side = UP; side < SIDES; side++)
        for (int k = 0; k < WEIR_BETS; k++) evidence.wealth[side][k] = 1;
    return evidence;
}

weir_status weir_evidence_init(const weir_evidence_settings *settings, weir_evidence *ret_evidence, weir_err *err) {
    weir_status status = check_settings(settings, false, err);
    if (status != WEIR_OK) return status;
    *ret_evidence = fresh();
    return WEIR_OK;
}

/* ---- e-values ---- */

static double clamp_wealth(double wealth) {
    return wealth > WEALTH_MAX ? WEALTH_MAX : wealth < WEALTH_MIN ? 0 : wealth;
}

static double mean_wealth(const double wealth[WEIR_BETS]) {
    double sum = 0;
    for (int k = 0; k < WEIR_BETS; k++) sum += STAKES[k] * wealth[k];
    return sum;
}

static double deviation_of(const weir_evidence *e) {
    return e->count > 1 ? sqrt(e->deviations / (e->count - 1)) : 0;
}

/* The half-normal mixture of exp(λ S − λ² n / 2) over λ ≥ 0, S being the sum in standard deviations: 2 Φ(z) exp(z² / 2) / √(1 + n ρ²), z = ρ S / √(1 + n ρ²). */
static double normal_mixture(const weir_evidence_settings *s, const weir_evidence *e, int side) {
    double deviation = deviation_of(e);
    if (!(deviation > 0)) return 1;
    double sum = e->count * (side == UP ? e->mean - s->better_than : s->worse_than - e->mean) / deviation;
    double rho_squared = TUNED_NUMERATOR / s->tuned_count, spread = 1 + e->count * rho_squared, z = sum * sqrt(rho_squared / spread);
    return fmin(WEALTH_MAX, erfc(-z / M_SQRT2) * exp(fmin(z * z / 2, 700)) / sqrt(spread));
}

static double e_value(const weir_evidence_settings *s, const weir_evidence *e, int side, bool ready) {
    if (s->method == WEIR_BETTING) return mean_wealth(e->wealth[side]);
    return ready ? normal_mixture(s, e, side) : 1;
}

static weir_e_values e_values(const weir_evidence_settings *s, const weir_evidence *e, bool ready) {
    return (weir_e_values){.better = e_value(s, e, UP, ready), .worse = e_value(s, e, DOWN, ready), .better_peak = e->peak[UP], .worse_peak = e->peak[DOWN]};
}

static void raise_peaks(const weir_evidence_settings *s, weir_evidence *e, bool ready) {
    for (int side = UP; side < SIDES; side++) e->peak[side] = fmax(e->peak[side], e_value(s, e, side, ready));
}

/* ---- one value ---- */

/* odds: (x − h) / (h − low) of the side's hypothesis, at least −1. */
static void bet(double wealth[WEIR_BETS], double odds) {
    for (int k = 0; k < WEIR_BETS; k++) wealth[k] = clamp_wealth(wealth[k] * (1 + BETS[k] * odds));
}

static void add_scaled(weir_evidence *e, int side, double x, double scale, double surprise) {
    e->scaled_sum[side] += x / scale;
    e->scaled_weight[side] += 1 / scale;
    e->scaled_squares[side] += surprise / scale * (surprise / scale);
}

/* x is within the bounds when the method is betting. */
static void take(const weir_evidence_settings *s, weir_evidence *e, double x, const bounds *b) {
    e->count++;
    double step = x - e->mean;
    e->mean += step / e->count;
    e->deviations += step * (x - e->mean);
    if (s->method == WEIR_BETTING) {
        double least = SCALE_MIN * (s->high - s->low);
        bet(e->wealth[UP], (x - s->better_than) / (s->better_than - b->low));
        bet(e->wealth[DOWN], (s->worse_than - x) / (b->high - s->worse_than));
        add_scaled(e, UP, x, fmax(b->predicted - b->low, least), x - b->predicted);
        add_scaled(e, DOWN, x, fmax(b->high - b->predicted, least), x - b->predicted);
    }
}

static double clip(const weir_evidence_settings *s, double value, double *clipped) {
    if (s->method != WEIR_BETTING || (value >= s->low && value <= s->high)) return value;
    (*clipped)++;
    return value < s->low ? s->low : s->high;
}

static void add_distance(weir_evidence *e, double away) {
    e->distance += fabs(away);
    e->squares += away * away;
}

double weir_evidence_effective(const weir_evidence *evidence) {
    return evidence->squares > 0 ? evidence->distance * evidence->distance / evidence->squares : 0;
}

static bool is_ready(const weir_evidence_settings *s, const weir_evidence *e) {
    return weir_evidence_effective(e) >= s->first_look;
}

weir_status weir_evidence_add(const weir_evidence_settings *settings, weir_evidence *evidence, double value, weir_err *err) {
    if (!(fabs(value) <= VALUE_MAX)) return WEIR_FAIL(err, WEIR_ENUMERIC, "value is %g, expected a number of size up to %g", value, VALUE_MAX);
    const weir_evidence *e = evidence;
    bounds b = {.low = settings->low, .high = settings->high};
    b.predicted = ((b.low + b.high) / 2 + e->count * e->mean) / (1 + e->count); /* the middle counts as one value */
    if (settings->method == WEIR_ASYMPTOTIC) b.predicted = e->count > 0 ? e->mean : value;
    double x = clip(settings, value, &evidence->clipped);
    add_distance(evidence, x - b.predicted);
    take(settings, evidence, x, &b);
    raise_peaks(settings, evidence, is_ready(settings, evidence));
    return WEIR_OK;
}

/* ---- merging ---- */

static void merge_moments(double *count, double *mean, double *deviations, double other_count, double other_mean, double other_deviations) {
    double total = *count + other_count, gap = other_mean - *mean;
    if (total == 0) return;
    *deviations += other_deviations + gap * gap * *count * other_count / total;
    *mean += gap * other_count / total;
    *count = total;
}

static void merge_sums(weir_evidence *e, const weir_evidence *other) {
    merge_moments(&e->count, &e->mean, &e->deviations, other->count, other->mean, other->deviations);
    e->clipped += other->clipped;
    e->distance += other->distance;
    e->squares += other->squares;
    for (int side = UP; side < SIDES; side++) {
        e->scaled_sum[side] += other->scaled_sum[side];
        e->scaled_weight[side] += other->scaled_weight[side];
        e->scaled_squares[side] += other->scaled_squares[side];
        for (int k = 0; k < WEIR_BETS; k++) e->wealth[side][k] = clamp_wealth(e->wealth[side][k] * other->wealth[side][k]);
        e->peak[side] = 1; /* the peak of a part is none of the whole */
    }
}

static bool is_count(double count) {
    return count >= 0 && count <= 0x1p53 && count == floor(count);
}

/* What every state is that came about by adding. */
static bool holds(const weir_evidence *e) {
    bool sound = is_count(e->count) && is_count(e->clipped) && e->clipped <= e->count && isfinite(e->mean) && isfinite(e->deviations) && e->deviations >= 0;
    sound = sound && isfinite(e->distance) && e->distance >= 0 && isfinite(e->squares) && e->squares >= 0;
    for (int side = UP; side < SIDES; side++) {
        sound = sound && isfinite(e->scaled_sum[side]) && isfinite(e->scaled_weight[side]) && e->scaled_weight[side] >= 0;
        sound = sound && isfinite(e->scaled_squares[side]) && e->scaled_squares[side] >= 0 && e->peak[side] >= 1 && e->peak[side] <= WEALTH_MAX;
        for (int k = 0; k < WEIR_BETS; k++) sound = sound && e->wealth[side][k] >= 0 && e->wealth[side][k] <= WEALTH_MAX;
    }
    return sound;
}

weir_status weir_evidence_merge(const weir_evidence_settings *settings, weir_evidence *evidence, const weir_evidence *other, weir_err *err) {
    if (!holds(evidence) || !holds(other)) return WEIR_FAIL(err, WEIR_EDATA, "a state of evidence to merge cannot have come about by adding values");
    merge_sums(evidence, other);
    raise_peaks(settings, evidence, is_ready(settings, evidence));
    return WEIR_OK;
}

weir_e_values weir_evidence_e(const weir_evidence_settings *settings, const weir_evidence *evidence) {
    return e_values(settings, evidence, is_ready(settings, evidence));
}

weir_verdict weir_evidence_verdict(const weir_e_values *e, double alpha_better, double alpha_worse) {
    if (!(alpha_better > 0 && alpha_better < 1 && alpha_worse > 0 && alpha_worse < 1)) return WEIR_UNDECIDED;
    if (e->worse_peak >= 1 / alpha_worse) return WEIR_WORSE;
    return e->better_peak >= 1 / alpha_better ? WEIR_BETTER : WEIR_UNDECIDED;
}

/* ---- intervals ---- */

/* The e-value against a mean on the near side of `mean`, by the mixture of Bernstein supermartingales. */
static double bernstein(const weir_evidence *e, int side, double mean) {
    double sum = 0, gap = e->scaled_sum[side] - mean * e->scaled_weight[side];
    if (side == DOWN) gap = -gap;
    for (int k = 0; k < WEIR_BETS; k++) {
        double f = BETS[k], cost = -log1p(-f) - f;
        sum += STAKES[k] * exp(fmin(f * gap - cost * e->scaled_squares[side], 600));
    }
    return sum;
}

/* The mean nearest to `out`, a bound of every mean, that the evidence does not exclude at level alpha. */
static double bernstein_end(const weir_evidence *e, int side, double out, double alpha) {
    if (e->count == 0 || bernstein(e, side, out) < 1 / alpha) return out;
    double inside = e->scaled_sum[side] / e->scaled_weight[side]; /* there no bet has won */
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = out + (inside - out) / 2;
        if (bernstein(e, side, middle) < 1 / alpha)
            inside = middle;
        else
            out = middle;
    }
    return out;
}

static weir_sequence_interval asymptotic_interval(const weir_evidence_settings *s, const weir_evidence *e, double alpha, bool ready) {
    double deviation = deviation_of(e), n = e->count, rho_squared = TUNED_NUMERATOR / s->tuned_count;
    if (!ready || !(deviation > 0)) return (weir_sequence_interval){.value = n > 0 ? e->mean : NAN, .low = -INFINITY, .high = INFINITY};
    double spread = n * rho_squared + 1, half = deviation * sqrt(2 * spread / (n * n * rho_squared) * log(sqrt(spread) / alpha));
    return (weir_sequence_interval){.value = e->mean, .low = e->mean - half, .high = e->mean + half};
}

static weir_status interval(const weir_evidence_settings *s, const weir_evidence *e, double low, double high, bool ready, double alpha,
                            weir_sequence_interval *ret_interval, weir_err *err) {
    if (!(alpha > 0 && alpha < 1)) return WEIR_FAIL(err, WEIR_EINVAL, "alpha is %g, expected a number between 0 and 1", alpha);
    if (s->method == WEIR_ASYMPTOTIC) {
        *ret_interval = asymptotic_interval(s, e, alpha, ready);
        return WEIR_OK;
    }
    *ret_interval = (weir_sequence_interval){
        .value = e->count > 0 ? e->mean : NAN, .low = bernstein_end(e, UP, low, alpha / 2), .high = bernstein_end(e, DOWN, high, alpha / 2)};
    return WEIR_OK;
}

weir_status weir_evidence_interval(const weir_evidence_settings *settings, const weir_evidence *evidence, double alpha, weir_sequence_interval *ret_interval,
                                   weir_err *err) {
    return interval(settings, evidence, settings->low, settings->high, is_ready(settings, evidence), alpha, ret_interval, err);
}

/* ---- two arms ---- */

weir_status weir_arms_init(const weir_arms_settings *settings, weir_arms_test *ret_test, weir_err *err) {
    weir_status status = check_settings(&settings->evidence, true, err);
    if (status != WEIR_OK) return status;
    *ret_test = (weir_arms_test){.evidence = fresh()};
    return WEIR_OK;
}

/* The mean of both arms so far. With bounds their middle counts as one outcome; without, the first outcome is its own centre and says nothing but where the others lie. */
static double pooled_mean(const weir_evidence_settings *s, const weir_arms_test *t, double value) {
    double n = t->count[CHAMPION] + t->count[CHALLENGER], sum = t->count[CHAMPION] * t->mean[CHAMPION] + t->count[CHALLENGER] * t->mean[CHALLENGER];
    if (s->method == WEIR_BETTING) return (s->low / 2 + s->high / 2 + sum) / (1 + n);
    return n > 0 ? sum / n : value;
}

static double arm_mean(const weir_arms_test *t, int arm, double pooled) {
    return (POOLED_WEIGHT * pooled + t->count[arm] * t->mean[arm]) / (POOLED_WEIGHT + t->count[arm]);
}

static double centre_of(const weir_evidence_settings *s, const weir_arms_test *t, const weir_arm_outcome *o) {
    double pooled = pooled_mean(s, t, o->value);
    double centre = isnan(o->expected) ? (1 - o->propensity) * arm_mean(t, CHALLENGER, pooled) + o->propensity * arm_mean(t, CHAMPION, pooled) : o->expected;
    return s->method == WEIR_BETTING ? fmin(fmax(centre, s->low), s->high) : centre;
}

double weir_arms_effective(const weir_arms_test *test) {
    double least = fmin(test->count[CHAMPION], test->count[CHALLENGER]);
    return least > 0 ? weir_evidence_effective(&test->evidence) * least / test->evidence.count : 0;
}

static bool arms_ready(const weir_evidence_settings *s, const weir_arms_test *t) {
    return weir_arms_effective(t) >= s->first_look;
}

static weir_status check_value(double value, weir_err *err) {
    return fabs(value) <= VALUE_MAX ? WEIR_OK : WEIR_FAIL(err, WEIR_ENUMERIC, "outcome is %g, expected a number of size up to %g", value, VALUE_MAX);
}

static weir_status check_outcome(const weir_arm_outcome *o, weir_err *err) {
    weir_status status = check_value(o->value, err);
    if (status) return status;
    if (!(o->propensity >= WEIR_PROPENSITY_MIN && o->propensity <= WEIR_PROPENSITY_MAX))
        return WEIR_FAIL(err, WEIR_EDATA, "propensity is %g, expected %g to %g", o->propensity, WEIR_PROPENSITY_MIN, WEIR_PROPENSITY_MAX);
    if (fabs(o->expected) > VALUE_MAX)
        return WEIR_FAIL(err, WEIR_EDATA, "expected outcome is %g, expected NaN or a number of size up to %g", o->expected, VALUE_MAX);
    return WEIR_OK;
}

/* The score of an outcome of an arm that lies so far from the centre, within the bounds; both before they are turned. */
static void take_score(const weir_arms_settings *settings, weir_arms_test *test, int arm, double value, double centre, double score, bounds b) {
    if (settings->smaller_is_better) {
        score = -score;
        b = (bounds){.low = -b.high, .high = -b.low};
    }
    double step = value - test->mean[arm];
    test->mean[arm] += step / ++test->count[arm];
    test->deviations[arm] += step * (value - test->mean[arm]);
    add_distance(&test->evidence, value - centre);
    take(&settings->evidence, &test->evidence, score, &b);
    raise_peaks(&settings->evidence, &test->evidence, arms_ready(&settings->evidence, test));
}

weir_status weir_arms_add(const weir_arms_settings *settings, weir_arms_test *test, const weir_arm_outcome *outcome, weir_err *err) {
    const weir_evidence_settings *s = &settings->evidence;
    weir_status status = check_outcome(outcome, err);
    if (status != WEIR_OK) return status;
    double centre = centre_of(s, test, outcome), value = clip(s, outcome->value, &test->evidence.clipped), p = outcome->propensity;
    double score = (value - centre) * (outcome->challenger ? 1 / p : -1 / (1 - p));
    /* A low outcome of the challenger and a high one of the champion are the worst news, and the other way about. */
    bounds b = {.low = fmin((s->low - centre) / p, (centre - s->high) / (1 - p)), .high = fmax((s->high - centre) / p, (centre - s->low) / (1 - p))};
    take_score(settings, test, outcome->challenger ? CHALLENGER : CHAMPION, value, centre, score, b);
    return WEIR_OK;
}

static weir_status check_in_context(const weir_context_outcome *o, weir_err *err) {
    if (o->arm != CHAMPION && o->arm != CHALLENGER && o->arm != NEITHER) return WEIR_FAIL(err, WEIR_EDATA, "arm is %d, expected -1, 0 or 1", o->arm);
    if (!(o->least >= WEIR_PROPENSITY_MIN && o->least <= 0.5))
        return WEIR_FAIL(err, WEIR_EDATA, "least propensity is %g, expected %g to 0.5", o->least, WEIR_PROPENSITY_MIN);
    if (o->arm != NEITHER && !(o->propensity >= o->least && o->propensity <= 1))
        return WEIR_FAIL(err, WEIR_EDATA, "propensity is %g, expected %g to 1", o->propensity, o->least);
    return check_value(o->value, err);
}

weir_status weir_arms_add_in_context(const weir_arms_settings *settings, weir_arms_test *test, const weir_context_outcome *outcome, weir_err *err) {
    const weir_evidence_settings *s = &settings->evidence;
    weir_status status = check_in_context(outcome, err);
    if (status) return status;
    double pooled = pooled_mean(s, test, outcome->value), centre = (arm_mean(test, CHAMPION, pooled) + arm_mean(test, CHALLENGER, pooled)) / 2;
    double low = (s->low - centre) / outcome->least, high = (s->high - centre) / outcome->least;
    const bounds b = {.low = fmin(low, -high), .high = fmax(high, -low)};
    if (outcome->arm == NEITHER) {
        take(s, &test->evidence, 0, &b);
        raise_peaks(s, &test->evidence, arms_ready(s, test));
        return WEIR_OK;
    }
    double value = clip(s, outcome->value, &test->evidence.clipped), score = (value - centre) / outcome->propensity;
    take_score(settings, test, outcome->arm, value, centre, outcome->arm == CHALLENGER ? score : -score, b);
    return WEIR_OK;
}

static bool arms_hold(const weir_arms_test *t) {
    bool sound = holds(&t->evidence) && t->count[CHAMPION] + t->count[CHALLENGER] <= t->evidence.count; /* the others were of neither */
    for (int arm = CHAMPION; arm <= CHALLENGER; arm++)
        sound = sound && is_count(t->count[arm]) && isfinite(t->mean[arm]) && isfinite(t->deviations[arm]) && t->deviations[arm] >= 0;
    return sound;
}

weir_status weir_arms_merge(const weir_arms_settings *settings, weir_arms_test *test, const weir_arms_test *other, weir_err *err) {
    if (!arms_hold(test) || !arms_hold(other)) return WEIR_FAIL(err, WEIR_EDATA, "a state of arms to merge cannot have come about by adding outcomes");
    for (int arm = CHAMPION; arm <= CHALLENGER; arm++)
        merge_moments(&test->count[arm], &test->mean[arm], &test->deviations[arm], other->count[arm], other->mean[arm], other->deviations[arm]);
    merge_sums(&test->evidence, &other->evidence);
    raise_peaks(&settings->evidence, &test->evidence, arms_ready(&settings->evidence, test));
    return WEIR_OK;
}

weir_e_values weir_arms_e(const weir_arms_settings *settings, const weir_arms_test *test) {
    return e_values(&settings->evidence, &test->evidence, arms_ready(&settings->evidence, test));
}

weir_status weir_arms_interval(const weir_arms_settings *settings, const weir_arms_test *test, double alpha, weir_sequence_interval *ret_interval,
                               weir_err *err) {
    const weir_evidence_settings *s = &settings->evidence;
    double range = s->high - s->low;
    return interval(s, &test->evidence, -range, range, arms_ready(s, test), alpha, ret_interval, err);
}

/* ---- at rest ---- */

_Static_assert(sizeof(weir_evidence) == WEIR_EVIDENCE_BYTES - HEAD_BYTES && sizeof(weir_evidence) % sizeof(double) == 0, "only doubles");
_Static_assert(sizeof(weir_arms_test) == WEIR_ARMS_TEST_BYTES - HEAD_BYTES && sizeof(weir_arms_test) % sizeof(double) == 0, "only doubles");

static void encode(char kind, const void *state, size_t size, uint8_t *bytes) {
    const uint8_t head[HEAD_BYTES] = {'W', 'S', 'Q', '1', (uint8_t)kind};
    memcpy(bytes, head, HEAD_BYTES);
    for (size_t at = 0; at < size; at += sizeof(double)) {
        uint64_t bits;
        memcpy(&bits, (const char *)state + at, sizeof bits);
        for (size_t i = 0; i < sizeof bits; i++) bytes[HEAD_BYTES + at + i] = (uint8_t)(bits >> (8 * i));
    }
}

static weir_status decode(char kind, const uint8_t *bytes, size_t len, void *ret_state, size_t size, weir_err *err) {
    const uint8_t head[HEAD_BYTES] = {'W', 'S', 'Q', '1', (uint8_t)kind};
    if (len != size + HEAD_BYTES) return WEIR_FAIL(err, WEIR_EDATA, "state of a test has %zu bytes, expected %zu", len, size + HEAD_BYTES);
    if (memcmp(bytes, head, HEAD_BYTES) != 0) return WEIR_FAIL(err, WEIR_EDATA, "state of a test does not begin with WSQ1 and kind %c", kind);
    for (size_t at = 0; at < size; at += sizeof(double)) {
        uint64_t bits = 0;
        for (size_t i = 0; i < sizeof bits; i++) bits |= (uint64_t)bytes[HEAD_BYTES + at + i] << (8 * i);
        memcpy((char *)ret_state + at, &bits, sizeof bits);
    }
    return WEIR_OK;
}

void weir_evidence_encode(const weir_evidence *evidence, uint8_t bytes[WEIR_EVIDENCE_BYTES]) {
    encode('e', evidence, sizeof *evidence, bytes);
}

weir_status weir_evidence_decode(const uint8_t *bytes, size_t len, weir_evidence *ret_evidence, weir_err *err) {
    weir_evidence evidence = {0};
    weir_status status = decode('e', bytes, len, &evidence, sizeof evidence, err);
    if (status != WEIR_OK) return status;
    if (!holds(&evidence)) return WEIR_FAIL(err, WEIR_EDATA, "decoded state of evidence cannot have come about by adding values");
    *ret_evidence = evidence;
    return WEIR_OK;
}

void weir_arms_encode(const weir_arms_test *test, uint8_t bytes[WEIR_ARMS_TEST_BYTES]) {
    encode('a', test, sizeof *test, bytes);
}

weir_status weir_arms_decode(const uint8_t *bytes, size_t len, weir_arms_test *ret_test, weir_err *err) {
    weir_arms_test test = {0};
    weir_status status = decode('a', bytes, len, &test, sizeof test, err);
    if (status != WEIR_OK) return status;
    if (!arms_hold(&test)) return WEIR_FAIL(err, WEIR_EDATA, "decoded state of arms cannot have come about by adding outcomes");
    *ret_test = test;
    return WEIR_OK;
}
