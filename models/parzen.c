/* Parzen estimators: mixtures of products of truncated Gaussians and smoothed choices. */
#include "models/parzen.h"

#include <math.h>
#include <string.h>

/* Beyond so many deviations a Gaussian's tail is below half a unit in the last place of 1. */
#define TAIL_DEVIATIONS 8.3
/* exp(−40) is below that as well: a term this far under the largest adds nothing to a sum. */
#define LOG_NOTHING (-40)
enum { BUCKETS_MIN = 32, BUCKET_FULL = 24 };

/* One parameter of all kernels; the prior is the last kernel. */
typedef struct dimension {
    int index; /* of the parameter in the space */
    const weir_param *param;
    double low, high; /* on the parameter's scale, half a step wider on both sides */
    double *mean; /* [kernel_count] on that scale; of a choice: the observed one, −1 for the prior */
    double *deviation; /* [kernel_count]; not of a choice */
    double *scale; /* [kernel_count] 1 / deviation */
    double *shift; /* [kernel_count] what is the same for every x: −log(mass inside the bounds), − log(deviation) when continuous */
    double log_hit, log_miss, log_prior; /* of a choice */
} dimension;

struct weir_parzen {
    dimension *dimensions; /* [count] */
    int count, kernel_count;
    double *log_weight; /* [kernel_count] of the normalised weights */
    double *cumulative; /* [kernel_count] */
};

static double to_scale(const weir_param *p, double x) {
    return p->log ? log(x) : x;
}

static double upper_tail(double z) {
    return z > TAIL_DEVIATIONS ? 0 : 0.5 * erfc(z * M_SQRT1_2);
}

/* log of the normal distribution's mass between a and b. Where that is too small for a double: of the tail beyond the nearer end, Abramowitz and Stegun
 * 26.2.12, first term. */
static double log_mass(double a, double b) {
    if (b < 0) {
        double swap = -a;
        a = -b;
        b = swap;
    }
    if (a < -TAIL_DEVIATIONS && b > TAIL_DEVIATIONS) return 0;
    if (a <= 0) return log1p(-(upper_tail(-a) + upper_tail(b)));
    double mass = 0.5 * (erfc(a * M_SQRT1_2) - erfc(b * M_SQRT1_2));
    return mass > 0 ? log(mass) : -0.5 * a * a - log(a * sqrt(2 * M_PI));
}

typedef struct placed {
    double value;
    int kernel;
} placed;

/* Merge sort: qsort's calls to its comparison would cost as much as everything else. Returns rows or room [n], whichever holds the result. */
static placed *merge_placed(placed *rows, placed *room, int n) {
    for (int width = 1; width < n; width *= 2) {
        for (int start = 0; start < n; start += 2 * width) {
            int middle = start + width < n ? start + width : n, end = middle + width < n ? middle + width : n, a = start, b = middle;
            for (int i = start; i < end; i++) room[i] = b == end || (a < middle && rows[a].value <= rows[b].value) ? rows[a++] : rows[b++];
        }
        placed *swap = rows;
        rows = room;
        room = swap;
    }
    return rows;
}

/* Into as many buckets of equal width as there are rows, then by insertion, which moves a row within its bucket only. Rows that crowd are merged. Either way equal rows
 * keep their order. start [n + 1] is room as well. */
static placed *sort_placed(const dimension *d, placed *rows, placed *room, int *start, int n) {
    double scale = (n - 1) / (d->high - d->low);
    int fullest = 0;
    if (n < BUCKETS_MIN || !isfinite(scale)) return merge_placed(rows, room, n);
    memset(start, 0, ((size_t)n + 1) * sizeof *start);
    for (int i = 0; i < n; i++) {
        int count = ++start[(int)((rows[i].value - d->low) * scale) + 1];
        if (count > fullest) fullest = count;
    }
    if (fullest > BUCKET_FULL) return merge_placed(rows, room, n);
    for (int b = 1; b <= n; b++) start[b] += start[b - 1];
    for (int i = 0; i < n; i++) room[start[(int)((rows[i].value - d->low) * scale)]++] = rows[i];
    for (int i = 1; i < n; i++) {
        placed row = room[i];
        int at = i;
        for (; at > 0 && room[at - 1].value > row.value; at--) room[at] = room[at - 1];
        room[at] = row;
    }
    return room;
}

/* The larger gap to a neighbour; bounds are neighbours only of a lone observation. sorted [n]: by value, ascending. */
static void set_deviations(dimension *d, const placed *sorted, int n) {
    double range = d->high - d->low, least = range / fmin(100, n + 2.0);
    for (int i = 0; i < n; i++) {
        double at = sorted[i].value, below = at - (i > 0 ? sorted[i - 1].value : d->low), above = (i + 1 < n ? sorted[i + 1].value : d->high) - at;
        double gap = fmax(below, above);
        if (n > 1 && i == 0) gap = above;
        if (n > 1 && i + 1 == n) gap = below;
        d->deviation[sorted[i].kernel] = fmin(fmax(gap, least), range);
    }
}

static weir_status fit_number(dimension *d, int kernel_count, weir_arena *arena, weir_err *err) {
    int n = kernel_count - 1;
    placed *rows = weir_arena_alloc(arena, (size_t)kernel_count * sizeof *rows), *room = weir_arena_alloc(arena, (size_t)kernel_count * sizeof *room);
    int *start = weir_arena_alloc(arena, (size_t)kernel_count * sizeof *start);
    d->deviation = weir_arena_alloc(arena, (size_t)kernel_count * sizeof *d->deviation);
    d->scale = weir_arena_alloc(arena, (size_t)kernel_count * sizeof *d->scale);
    d->shift = weir_arena_alloc(arena, (size_t)kernel_count * sizeof *d->shift);
    if (!rows || !room || !start || !d->deviation || !d->scale || !d->shift) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d kernels", kernel_count);
    for (int k = 0; k < n; k++) {
        d->mean[k] = to_scale(d->param, d->mean[k]);
        rows[k] = (placed){d->mean[k], k};
    }
    set_deviations(d, sort_placed(d, rows, room, start, n), n);
    d->mean[n] = 0.5 * (d->low + d->high);
    d->deviation[n] = d->high - d->low;
    double last = 1, log_last = 0; /* most kernels have the least deviation: one logarithm for all of them */
    for (int k = 0; k < kernel_count; k++) {
        d->scale[k] = 1 / d->deviation[k];
        d->shift[k] = -log_mass((d->low - d->mean[k]) * d->scale[k], (d->high - d->mean[k]) * d->scale[k]);
        if (d->deviation[k] != last) log_last = log(last = d->deviation[k]);
        if (d->param->step == 0) d->shift[k] -= log_last;
    }
    return WEIR_OK;
}

static void fit_choice(dimension *d, int kernel_count, double prior_weight) {
    double choices = (double)weir_param_count(d->param), share = prior_weight / kernel_count, sum = 1 + choices * share;
    d->mean[kernel_count - 1] = -1;
    d->log_hit = log((1 + share) / sum);
    d->log_miss = log(share / sum);
    d->log_prior = -log(choices);
}

static weir_status fit_dimension(dimension *d, const double *const *points, int kernel_count, double prior_weight, weir_arena *arena, weir_err *err) {
    d->mean = weir_arena_alloc(arena, (size_t)kernel_count * sizeof *d->mean);
    if (!d->mean) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d kernels", kernel_count);
    for (int k = 0; k + 1 < kernel_count; k++) d->mean[k] = points[k][d->index];
    if (d->param->kind != WEIR_SPACE_CHOICE) {
        d->low = to_scale(d->param, d->param->low - d->param->step / 2);
        d->high = to_scale(d->param, d->param->high + d->param->step / 2);
        return fit_number(d, kernel_count, arena, err);
    }
    fit_choice(d, kernel_count, prior_weight);
    return WEIR_OK;
}

static void set_weights(weir_parzen *parzen, const double *weight, double prior_weight) {
    int n = parzen->kernel_count - 1;
    double sum = prior_weight, cumulative = 0;
    for (int k = 0; k < n; k++) sum += weight[k];
    for (int k = 0; k <= n; k++) {
        double share = (k < n ? weight[k] : prior_weight) / sum;
        parzen->log_weight[k] = log(share);
        parzen->cumulative[k] = cumulative += share;
    }
}

weir_status weir_parzen_new(const weir_space *space, const int *params, int param_count, const double *const *points, const double *weight, int point_count,
                            double prior_weight, weir_arena *arena, const weir_parzen **ret_parzen, weir_err *err) {
    size_t kernels = (size_t)point_count + 1;
    weir_parzen *parzen = weir_arena_alloc(arena, sizeof *parzen);
    dimension *dimensions = weir_arena_alloc(arena, (size_t)param_count * sizeof *dimensions);
    double *log_weight = weir_arena_alloc(arena, kernels * sizeof *log_weight), *cumulative = weir_arena_alloc(arena, kernels * sizeof *cumulative);
    if (!parzen || !dimensions || !log_weight || !cumulative) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %zu kernels", kernels);
    *parzen = (weir_parzen){dimensions, param_count, (int)kernels, log_weight, cumulative};
    set_weights(parzen, weight, prior_weight);
    for (int i = 0; i < param_count; i++) {
        dimensions[i] = (dimension){.index = params[i], .param = weir_space_at(space, params[i])};
        weir_status status = fit_dimension(&dimensions[i], points, parzen->kernel_count, prior_weight, arena, err);
        if (status != WEIR_OK) return status;
    }
    *ret_parzen = parzen;
    return WEIR_OK;
}

/* Draws until one falls inside: the mean is inside and the deviation at most the range, so at least Φ(1) − Φ(0) ≈ 0.34 of them do. */
static double sample_number(const dimension *d, int kernel, weir_draw *draw) {
    double x;
    do x = d->mean[kernel] + d->deviation[kernel] * weir_draw_normal(draw);
    while (x < d->low || x > d->high);
    return weir_param_clamp(d->param, d->param->log ? exp(x) : x);
}

static double sample_choice(const dimension *d, int kernel, weir_draw *draw) {
    double u = weir_draw_uniform(draw), choices = d->param->high + 1, observed = d->mean[kernel];
    if (observed < 0) return fmin(floor(u * choices), choices - 1);
    for (int c = 0; c + 1 < choices; c++) {
        u -= exp(c == observed ? d->log_hit : d->log_miss);
        if (u < 0) return c;
    }
    return choices - 1;
}

void weir_parzen_sample(const weir_parzen *parzen, weir_draw *draw, double *point) {
    double u = weir_draw_uniform(draw);
    int kernel = 0;
    while (kernel + 1 < parzen->kernel_count && u > parzen->cumulative[kernel]) kernel++;
    for (int i = 0; i < parzen->count; i++) {
        const dimension *d = &parzen->dimensions[i];
        point[d->index] = d->param->kind == WEIR_SPACE_CHOICE ? sample_choice(d, kernel, draw) : sample_number(d, kernel, draw);
    }
}

static void add_continuous(const dimension *d, int kernel_count, double x, double *terms) {
    for (int k = 0; k < kernel_count; k++) {
        double z = (x - d->mean[k]) * d->scale[k];
        terms[k] += d->shift[k] - 0.5 * z * z;
    }
}

static void add_stepped(const dimension *d, int kernel_count, double x, double *terms) {
    double left = to_scale(d->param, x - d->param->step / 2), right = to_scale(d->param, x + d->param->step / 2);
    for (int k = 0; k < kernel_count; k++) terms[k] += d->shift[k] + log_mass((left - d->mean[k]) * d->scale[k], (right - d->mean[k]) * d->scale[k]);
}

static void add_choice(const dimension *d, int kernel_count, double x, double *terms) {
    for (int k = 0; k + 1 < kernel_count; k++) terms[k] += d->mean[k] == x ? d->log_hit : d->log_miss;
    terms[kernel_count - 1] += d->log_prior;
}

static double log_sum(const double *terms, int count) {
    double most = terms[0], sum = 0;
    for (int k = 1; k < count; k++) most = terms[k] > most ? terms[k] : most;
    for (int k = 0; k < count; k++)
        if (terms[k] - most > LOG_NOTHING) sum += exp(terms[k] - most);
    return most + log(sum);
}

weir_status weir_parzen_log_density(const weir_parzen *parzen, const double *const *points, int point_count, weir_arena *arena, double *ret_log_density,
                                    weir_err *err) {
    int kernels = parzen->kernel_count;
    double *terms = weir_arena_alloc(arena, (size_t)kernels * sizeof *terms);
    if (!terms) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d kernels", kernels);
    for (int i = 0; i < point_count; i++) {
        memcpy(terms, parzen->log_weight, (size_t)kernels * sizeof *terms);
        for (int j = 0; j < parzen->count; j++) {
            const dimension *d = &parzen->dimensions[j];
            double x = points[i][d->index];
            if (d->param->kind == WEIR_SPACE_CHOICE)
                add_choice(d, kernels, x, terms);
            else if (d->param->step > 0)
                add_stepped(d, kernels, x, terms);
            else
                add_continuous(d, kernels, to_scale(d->param, x), terms);
        }
        ret_log_density[i] = log_sum(terms, kernels);
    }
    return WEIR_OK;
}
