/* The registry of samplers, random numbers, and the sampler that only uses these. */
#include <math.h>
#include <string.h>

#include "models/sampler.h"

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t next_bits(weir_draw *draw) {
    return mix(draw->state += UINT64_C(0x9e3779b97f4a7c15));
}

weir_draw weir_draw_of(uint64_t seed, int number) {
    return (weir_draw){mix(mix(seed + UINT64_C(0x9e3779b97f4a7c15)) ^ ((uint64_t)number + 1))};
}

double weir_draw_uniform(weir_draw *draw) {
    return ((double)(next_bits(draw) >> 12) + 0.5) * 0x1p-52;
}

/* Box and Muller, A note on the generation of random normal deviates, 1958; the second one of a pair is left, so that a draw has no memory. */
double weir_draw_normal(weir_draw *draw) {
    double radius = sqrt(-2 * log(weir_draw_uniform(draw)));
    return radius * cos(2 * M_PI * weir_draw_uniform(draw));
}

/* Values with steps own an interval of one step each, so that the first and the last are as likely as the others; on a logarithmic scale, one that is one
 * step wide before it is logged. */
double weir_param_at(const weir_param *param, double u) {
    double low = param->low - param->step / 2, high = param->high + param->step / 2;
    double x = param->log ? exp(log(low) + u * (log(high) - log(low))) : low + u * (high - low);
    return weir_param_snap(param, x);
}

double weir_draw_param(weir_draw *draw, const weir_param *param) {
    return weir_param_at(param, weir_draw_uniform(draw));
}

void weir_draw_point(weir_draw *draw, const weir_space *space, double *ret_point) {
    for (int i = 0; i < weir_space_size(space); i++)
        ret_point[i] = weir_space_active(space, i, ret_point) ? weir_draw_param(draw, weir_space_at(space, i)) : NAN;
}

static weir_status suggest(const void *settings, const weir_trials *history, int number, uint64_t seed, double *ret_point, weir_err *err) {
    (void)settings;
    (void)err;
    weir_draw draw = weir_draw_of(seed, number);
    weir_draw_point(&draw, history->space, ret_point);
    return WEIR_OK;
}

static const weir_conf_item no_settings[] = {{0}};

const weir_sampler weir_sampler_random = {
    .abi = WEIR_SAMPLER_ABI,
    .name = "random",
    .doc = "independent draws, uniform on each parameter's scale",
    .settings = no_settings,
    .settings_size = 1,
    .suggest = suggest,
};

const weir_sampler *const *weir_samplers(void) {
    static const weir_sampler *const samplers[] = {&weir_sampler_grid, &weir_sampler_random, &weir_sampler_tpe, NULL};
    return samplers;
}

const weir_sampler *weir_sampler_find(const char *name) {
    for (const weir_sampler *const *s = weir_samplers(); *s; s++)
        if (!strcmp((*s)->name, name)) return *s;
    return NULL;
}
