/* Routing by Thompson sampling, with the propensities that off-policy estimates need. */
#ifndef WEIR_MODELS_BANDIT_H
#define WEIR_MODELS_BANDIT_H

#include "core/err.h"

enum { WEIR_BANDIT_ARMS_MAX = 8 };

typedef enum weir_reward {
    WEIR_REWARD_BERNOULLI, /* 0 to 1; a fraction counts as that much of a success. Beta(1, 1) before anything is known */
    WEIR_REWARD_GAUSSIAN, /* any; a normal with unknown mean and variance, normal-inverse-gamma prior by the settings */
} weir_reward;

typedef struct weir_bandit_settings {
    weir_reward reward;
    int arms; /* 2 to WEIR_BANDIT_ARMS_MAX */
    double floor; /* every arm's least propensity, in (0, 1 / arms): what later estimates rest on */
    double prior_mean, prior_deviation; /* Gaussian: where rewards are expected and how far they spread; deviation > 0. Counts as one reward */
    double memory; /* 0: all rewards count; else ≥ 10: an arm's earlier rewards fade so that it never knows more than this many */
} weir_bandit_settings;

/* One context's knowledge: plain data, zero-initialised. A contextual bandit is an array of these, one for each bucket of the context, each routed by itself. */
typedef struct weir_bandit {
    double count[WEIR_BANDIT_ARMS_MAX], mean[WEIR_BANDIT_ARMS_MAX], deviations[WEIR_BANDIT_ARMS_MAX];
} weir_bandit;

/** A reward, in any order, whenever it becomes known. Errors: WEIR_EINVAL for the settings or arm; WEIR_ENUMERIC for a reward that is not finite; WEIR_EDATA for a Bernoulli reward
 *  outside [0, 1]; the state is then unchanged. */
weir_status weir_bandit_add(const weir_bandit_settings *settings, weir_bandit *bandit, int arm, double reward, weir_err *err) WEIR_MUST_CHECK;

/** propensities [arms]: the probability that a draw from each arm's posterior mean is the greatest, ∫ f_a ∏ F_b, by quadrature (absolute error below 1e-6 up to 1e6 rewards an arm), then
 *  floor + (1 − arms · floor) p, so they sum to 1 within rounding. A function of the state alone: no random numbers. 0.1 to 20 ms, so for a batch of requests
 *  rather than each.
 *  Errors: WEIR_EINVAL for the settings; WEIR_ENUMERIC when the integrals do not sum to 1 within 1e-4.
 *  Source: W. R. Thompson, Biometrika 25 (1933); K. P. Murphy, Conjugate Bayesian analysis of the Gaussian distribution (2007), section 6, for the Student
 *  posterior. */
weir_status weir_bandit_propensities(const weir_bandit_settings *settings, const weir_bandit *bandit, double *propensities, weir_err *err) WEIR_MUST_CHECK;

/** The arm of a request: point in [0, 1), e.g. weir_split_point of salt and key, falls into an arm's part of the propensities. The same point and state, the same arm. */
int weir_bandit_route(const double *propensities, int arms, double point);

#endif
