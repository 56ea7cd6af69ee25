/* Champion against challenger with a look after every outcome: evidence that stays valid whenever one looks and stops.
 *
 * An e-value is what a bet against a hypothesis has made of a stake of 1. Under the hypothesis the chance that it ever reaches 1 / α is at most α (Ville), so
 * "promote when the e-value against 'not better' has reached 1 / α" may be asked after every outcome.
 *
 * Order and filtration. Outcomes are fed in the order in which they become known, whatever the order of the requests. "Past" below means the outcomes fed
 * before. What must hold: given the past, the arm of the next outcome was drawn with the stated propensity. That is so when arms are drawn independently of
 * everything (or by a router that knows no more than what was fed) and the delay of a label does not depend on the arm. A delay that depends on the outcome
 * (fraud is found sooner than its absence) is then harmless under "both arms do alike", but the estimated difference is one of outcomes as they come in; to
 * have it unbiased feed every row at the same age. Outcomes of one entity that depend on each other are to be made one outcome first.
 *
 * All state is plain data of fixed size without pointers: copy it, keep it, encode it. Every function is deterministic. One thread per state. */
#ifndef WEIR_MODELS_SEQUENTIAL_H
#define WEIR_MODELS_SEQUENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum {
    WEIR_BETS = 16, /* fractions of the stake at risk, mixed */
    WEIR_EVIDENCE_BYTES = 376, /* encoded */
    WEIR_ARMS_TEST_BYTES = 424,
};

/* Arms are drawn with known propensities within these; beyond, a single outcome would decide. */
#define WEIR_PROPENSITY_MIN 0.001
#define WEIR_PROPENSITY_MAX 0.999

typedef enum weir_evidence_method {
    WEIR_BETTING, /* exact at every sample size; needs bounds of an outcome. Values beyond them are clipped, so it is about means of clipped outcomes */
    WEIR_ASYMPTOTIC, /* no bounds, finite variance; valid only in the limit, so nothing is said before first_look. Heavy tails need a late first look */
} weir_evidence_method;

/* Better and worse are hypotheses that are rejected: "better" is evidence against mean ≤ better_than, "worse" against mean ≥ worse_than. Both 0: better or worse at
 * all. better_than > 0: better by a margin; better_than < 0 with worse_than ≤ better_than: not worse by more than that is enough. */
typedef struct weir_evidence_settings {
    weir_evidence_method method;
    double low, high; /* betting: bounds of a value (of an outcome, when there are arms), in its units */
    double better_than, worse_than; /* units of a value; worse_than ≤ better_than; betting: inside the bounds, with arms inside ± (high − low) */
    double first_look; /* asymptotic: fewest effective outcomes, with arms in each arm; ≥ 2. See weir_evidence_effective */
    double tuned_count; /* asymptotic: the number of outcomes at which the interval is narrowest; ≥ 1 */
} weir_evidence_settings;

/* About the mean of one stream: paired differences (both arms scored the row), or differences by batch. Made by weir_evidence_init; only doubles. */
typedef struct weir_evidence {
    double count, mean, deviations; /* Welford: deviations = Σ (x − mean)² */
    double clipped; /* values beyond the bounds */
    double distance, squares; /* Σ |x − predicted|, Σ (x − predicted)²; with arms of outcomes from their centre */
    double scaled_sum[2], scaled_weight[2], scaled_squares[2]; /* empirical Bernstein: Σ x / c, Σ 1 / c, Σ ((x − predicted) / c)², upwards and downwards */
    double wealth[2][WEIR_BETS]; /* against mean ≤ better_than, against mean ≥ worse_than */
    double peak[2]; /* the greatest e-values so far */
} weir_evidence;

typedef enum weir_verdict {
    WEIR_UNDECIDED,
    WEIR_BETTER, /* promote */
    WEIR_WORSE, /* roll back; also when both were found, which needs a world that changed */
} weir_verdict;

typedef struct weir_e_values {
    double better, worse; /* now */
    double better_peak, worse_peak; /* the greatest so far; 1 / peak is an anytime-valid p-value */
} weir_e_values;

typedef struct weir_sequence_interval {
    double value; /* mean so far: of a stream the plain one, of arms the doubly robust difference */
    double low, high; /* holds at all times together with probability 1 − alpha; infinite where nothing can be said */
} weir_sequence_interval;

/** Errors: WEIR_EINVAL, saying which setting is out of range. */
weir_status weir_evidence_init(const weir_evidence_settings *settings, weir_evidence *ret_evidence, weir_err *err) WEIR_MUST_CHECK;

/** One value of the stream: positive is in favour of the challenger where values are differences. O(WEIR_BETS), no allocation.
 *  Betting: wealth of bet k times 1 + f_k (x − h) / (h − low) against mean ≤ h, likewise from above. Source: I. Waudby-Smith, A. Ramdas, Estimating means of
 *  bounded random variables by betting, JRSS B 86 (2024), section 4, with fixed bets that are mixed instead of one that adapts.
 *  Errors: WEIR_ENUMERIC for a value that is not finite, or beyond 1e140; the state is then unchanged. */
weir_status weir_evidence_add(const weir_evidence_settings *settings, weir_evidence *evidence, double value, weir_err *err) WEIR_MUST_CHECK;

/** Adds what another state saw, where both saw disjoint, independent parts of one stream under the same settings. Wealth of the same bet multiplies. The peaks
 *  become the e-values of both together now: a peak of a part is none of the whole, and asking whether any part ever crossed would be a test for each part.
 *  Who decides on merged states merges copies of all parts at each look and keeps the first decision. Errors: WEIR_EDATA for a state that cannot have come about. */
weir_status weir_evidence_merge(const weir_evidence_settings *settings, weir_evidence *evidence, const weir_evidence *other, weir_err *err) WEIR_MUST_CHECK;

/** How many values the normal limit may count on: (Σ |x − predicted|)² / Σ (x − predicted)², which is all of them when all lie equally far out, 0.64 of normal
 *  ones, and about four for each of the rarer outcomes of a proportion. Rare outcomes and heavy tails are why a plain count is no first look: with 1 % of
 *  successes, 100 outcomes of an arm hold one success or none, and a test by its variance then finds anything. 0 before there is any. */
double weir_evidence_effective(const weir_evidence *evidence);

weir_e_values weir_evidence_e(const weir_evidence_settings *settings, const weir_evidence *evidence);

/** False promotions happen with probability at most alpha_better when mean ≤ better_than, false rollbacks with at most alpha_worse when mean ≥ worse_than; in an
 *  A/A with both 0 their sum bounds both together. alphas in (0, 1): what is not gives WEIR_UNDECIDED. */
weir_verdict weir_evidence_verdict(const weir_e_values *e, double alpha_better, double alpha_worse);

/** A confidence sequence of the mean, alpha / 2 on each side. Betting: by the empirical Bernstein supermartingale under the same mixture of fractions, f (x − μ) / c −
 *  (−ln(1 − f) − f) ((x − predicted) / c)², which is a little wider than what the bets could say: a bet may have decided while 0 is still inside. When the mean
 *  changes over time it is for the mean weighted by 1 / c. Asymptotic: mean ± s √((2 (nρ² + 1) / (n²ρ²)) ln(√(nρ² + 1) / α)).
 *  Errors: WEIR_EINVAL for an alpha outside (0, 1).
 *  Source: S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics 49 (2021),
 *  theorem 4; I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas, Time-uniform central limit theory and asymptotic confidence sequences, Annals of
 *  Statistics 52 (2024), theorem 2.2. */
weir_status weir_evidence_interval(const weir_evidence_settings *settings, const weir_evidence *evidence, double alpha, weir_sequence_interval *ret_interval,
                                   weir_err *err) WEIR_MUST_CHECK;

/* ---- two arms, drawn at random ---- */

/* What became of one request. */
typedef struct weir_arm_outcome {
    bool challenger; /* the arm that answered */
    double propensity; /* of the challenger when the arm was drawn, whichever it became; WEIR_PROPENSITY_MIN to _MAX. May change from request to request */
    double value; /* the outcome: 0 or 1, a loss of the row, an amount */
    double
        expected; /* NaN, or what was expected of the value before the arm was drawn, by the same rule for both arms (the champion's prediction): less variance, never bias */
} weir_arm_outcome;

typedef struct weir_arms_settings {
    weir_evidence_settings evidence; /* low and high bound an outcome; margins are for the gain */
    bool smaller_is_better; /* the gain is then champion − challenger: losses, errors, latency */
} weir_arms_settings;

/* Made by weir_arms_init; only doubles. What is kept of an arm is for reports, and for the running centre. */
typedef struct weir_arms_test {
    weir_evidence evidence; /* of the gain */
    double count[2], mean[2], deviations[2]; /* champion, challenger; values as given, after clipping. evidence.count has those of neither, too */
} weir_arms_test;

weir_status weir_arms_init(const weir_arms_settings *settings, weir_arms_test *ret_test, weir_err *err) WEIR_MUST_CHECK;

/** The gain is estimated by z = (y − m) (a − π) / (π (1 − π)), a = 1 for the challenger, whose mean given the past is E[y | challenger] − E[y | champion] whatever
 *  m is: the doubly robust score with one centre for both arms. m is `expected`, or the running (1 − π) ȳ_challenger + π ȳ_champion, which has the least
 *  variance. z is bounded by m and π, both known before the draw. Then as weir_evidence_add. O(WEIR_BETS).
 *  Errors: WEIR_ENUMERIC for a value that is not finite, or beyond 1e140; WEIR_EDATA for a propensity out of range or an `expected` beyond 1e140; the state is then
 *  unchanged. */
weir_status weir_arms_add(const weir_arms_settings *settings, weir_arms_test *test, const weir_arm_outcome *outcome, weir_err *err) WEIR_MUST_CHECK;

/* What became of one request whose propensities depend on what is known of it, as where each bucket of a context is routed by itself; another arm than these two may have answered. */
typedef struct weir_context_outcome {
    int arm; /* 1: the challenger answered, 0: the champion, −1: neither of both */
    double propensity; /* of the arm that answered, when it is one of both */
    double least; /* that either of both can have, whatever is known of a request; WEIR_PROPENSITY_MIN to 0.5. The same for all requests */
    double value;
} weir_context_outcome;

/** The same gain of all requests together, also those that neither answered, by z = (y − m) (1[challenger] / π − 1[champion] / π₀). The stakes are those of `least`, for all requests: by their own
 *  propensities more would be at stake where they are even, and what is tested would be a mean of the buckets weighted by that; likewise if only requests counted that one of both answered.
 *  m is half of ȳ_challenger + ȳ_champion. Errors: as weir_arms_add; WEIR_EDATA for an arm, or propensities out of range. */
weir_status weir_arms_add_in_context(const weir_arms_settings *settings, weir_arms_test *test, const weir_context_outcome *outcome,
                                     weir_err *err) WEIR_MUST_CHECK;
weir_status weir_arms_merge(const weir_arms_settings *settings, weir_arms_test *test, const weir_arms_test *other, weir_err *err) WEIR_MUST_CHECK;
/** Effective outcomes of the arm that has fewer: its share of those of both, so that an arm that by chance saw nothing but zeros is not taken for certain. */
double weir_arms_effective(const weir_arms_test *test);
weir_e_values weir_arms_e(const weir_arms_settings *settings, const weir_arms_test *test);
weir_status weir_arms_interval(const weir_arms_settings *settings, const weir_arms_test *test, double alpha, weir_sequence_interval *ret_interval,
                               weir_err *err) WEIR_MUST_CHECK;

/* ---- at rest ---- */

/* "WSQ1", kind (1 byte: 'e' evidence, 'a' arms), 3 bytes 0, then the doubles of the struct, little-endian, in order. Settings are not part of it: keep them beside,
 * and begin anew when they change. */
void weir_evidence_encode(const weir_evidence *evidence, uint8_t bytes[WEIR_EVIDENCE_BYTES]);
/** Errors: WEIR_EDATA for a wrong length, head, or a state that cannot have come about. */
weir_status weir_evidence_decode(const uint8_t *bytes, size_t len, weir_evidence *ret_evidence, weir_err *err) WEIR_MUST_CHECK;
void weir_arms_encode(const weir_arms_test *test, uint8_t bytes[WEIR_ARMS_TEST_BYTES]);
weir_status weir_arms_decode(const uint8_t *bytes, size_t len, weir_arms_test *ret_test, weir_err *err) WEIR_MUST_CHECK;

#endif
