/* Samplers: which point of a search space to try next, given the trials so far. A sampler keeps nothing between calls: what it suggests follows from space,
 * seed, the trial's number and the trials so far, so that any worker that knows these suggests the same. */
#ifndef WEIR_MODELS_SAMPLER_H
#define WEIR_MODELS_SAMPLER_H

#include "core/conf.h"
#include "models/space.h"

enum { WEIR_OBJECTIVES_MAX = 4 };

typedef enum weir_trial_state { WEIR_TRIAL_RUNNING, WEIR_TRIAL_COMPLETE, WEIR_TRIAL_PRUNED, WEIR_TRIAL_FAILED } weir_trial_state;

/* An intermediate value, told while the trial runs. */
typedef struct weir_report {
    int64_t step;
    double loss; /* what was told, negated when the study maximises; may be NaN or infinite */
} weir_report;

typedef struct weir_trial {
    int number; /* from 0, in the order of asking */
    weir_trial_state state;
    double *point; /* [space size], as models/space.h says */
    double loss[WEIR_OBJECTIVES_MAX]; /* of a COMPLETE trial: what is to become small, cost included */
    double values[WEIR_OBJECTIVES_MAX]; /* of a COMPLETE trial: as told */
    double cost; /* as told; 0 when nothing was */
    weir_report *reports; /* [report_count], steps ascend */
    int report_count, report_room;
    int64_t started_us, ended_us; /* of the study's clock, monotonic; 0 while it runs */
    char note[64]; /* why it failed, as told */
} weir_trial;

/* What happened so far; trials[i].number is i. */
typedef struct weir_trials {
    const weir_space *space;
    int objective_count;
    const weir_trial *trials;
    int trial_count;
} weir_trials;

#define WEIR_SAMPLER_ABI 1
typedef struct weir_sampler {
    int abi;
    const char *name; /* "grid", "random", "tpe" */
    const char *doc;
    const weir_conf_item *settings; /* config table of an object of settings_size bytes */
    size_t settings_size;
    /** Refuses a space that the sampler cannot search. May be NULL. Errors: WEIR_EINVAL. */
    weir_status (*check)(const weir_space *space, weir_err *err);
    /** How many different points there are, after which the study ends; NULL or 0: no end. */
    int64_t (*size)(const weir_space *space);
    /** The point of trial `number`: ret_point [space size], untouched on failure. Same arguments, same bits. Errors: WEIR_ENOMEM;
     *  WEIR_ELIMIT when number ≥ size. */
    weir_status (*suggest)(const void *settings, const weir_trials *history, int number, uint64_t seed, double *ret_point, weir_err *err);
} weir_sampler;

/** The registered samplers, NULL-terminated. */
const weir_sampler *const *weir_samplers(void);
const weir_sampler *weir_sampler_find(const char *name); /* NULL when there is none */
extern const weir_sampler weir_sampler_grid, weir_sampler_random, weir_sampler_tpe;

/* A stream of random numbers: splitmix64. Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014. */
typedef struct weir_draw {
    uint64_t state;
} weir_draw;

/** The stream of one trial: streams of neighbouring numbers and seeds have nothing in common. */
weir_draw weir_draw_of(uint64_t seed, int number);
double weir_draw_uniform(weir_draw *draw); /* in (0, 1) */
double weir_draw_normal(weir_draw *draw); /* mean 0, deviation 1 */
/** The value at share u, in (0, 1), of the way through what the parameter can be, on its scale. */
double weir_param_at(const weir_param *param, double u);
/** Uniform over what the parameter can be, on its scale: weir_param_at of a uniform draw. */
double weir_draw_param(weir_draw *draw, const weir_param *param);
/** The whole point by weir_draw_param. ret_point [space size]. */
void weir_draw_point(weir_draw *draw, const weir_space *space, double *ret_point);

#endif
