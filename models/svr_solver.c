/* Support vector regression by sequential minimal optimisation.
 *
 * With β_i = α_i − α_i* the dual of models/svr.c's problem is
 *
 *   min  ½ β'Kβ − y'β + ε Σ (α_i + α_i*)   so that  Σ β_i = 0,  0 ≤ α_i, α_i* ≤ C
 *
 * Let u = y − Kβ. A step raises one β_i and lowers one β_j by the same t; how much the objective falls a unit of t at first is v_i − v_j, where v is u − ε for a
 * side α and u + ε for a side α*:
 *
 *   can rise   α_i < C  (v = u_i − ε)      α_i* > 0  (v = u_i + ε)
 *   can fall   α_j > 0  (v = u_j − ε)      α_j* < C  (v = u_j + ε)
 *
 * i is the side with the largest v of those that can rise; j the side, of those that can fall, with which the step gains most, (v_i − v_j)² / (K_ii + K_jj −
 * 2 K_ij). At the minimum no v that can rise exceeds one that can fall; training ends when none does by more than tol.
 *
 * This is what libsvm does without its shrinking, on one u a row instead of a gradient a side. It is here because libsvm's training can neither be stopped nor
 * survives that memory runs out: its one callback returns to it, leaving that by an exception or a jump leaks what it allocated, a child process would be a fork
 * among threads, and a limit from the number of rows says nothing about C and γ, by which the steps differ a hundredfold.
 *
 * Sources: Fan, Chen, Lin, Working set selection using second order information for training support vector machines, 2005, section 2 (WSS 2, and τ for
 * kernels that are not positive definite); Chang and Lin, LIBSVM, 2011, 4.1.5 (b). */
#include <math.h>

#include "models/interrupt.h"
#include "models/memory.h"
#include "models/svr.h"

#define TAU 1e-12
enum { ROWS_CACHED_MIN = 2, STEPS_MIN = 10000000, STEPS_A_ROW = 100 };

/* Kernel rows, those used last. */
typedef struct row_cache {
    int64_t slots, used;
    int64_t *slot_of; /* [rows] −1: not here */
    int64_t *row_in; /* [slots] */
    int64_t *when, uses; /* [slots] number of the last use */
    float *values; /* [slots][rows] */
} row_cache;

typedef struct smo {
    const weir_svr_problem *problem;
    double *alpha; /* [2][rows]: α, then α* */
    double *u; /* [rows] y − Kβ */
    double *diagonal; /* [rows] K_ii */
    row_cache cache;
} smo;

/* A side of a row: 0 α, 1 α*. row −1: none. */
typedef struct side {
    int64_t row;
    int star;
    double v;
} side;

static void smo_done(smo *s) {
    weir_models_free(s->alpha);
    weir_models_free(s->cache.slot_of);
    weir_models_free(s->cache.values);
}

static double kernel_of(const weir_svr_problem *p, int64_t a, int64_t b) {
    return weir_svr_kernel(p->kernel, p->z + a * p->column_count, p->z + b * p->column_count, p->column_count);
}

static weir_status smo_init(smo *s, const weir_svr_problem *p, weir_err *err) {
    size_t rows = (size_t)p->row_count;
    row_cache *cache = &s->cache;
    *s = (smo){.problem = p};
    cache->slots = (int64_t)fmin((double)rows, fmax(ROWS_CACHED_MIN, floor(p->cache_bytes / (sizeof(float) * (double)rows))));
    s->alpha = weir_models_calloc(4 * rows, sizeof *s->alpha);
    cache->slot_of = weir_models_calloc(rows + 2 * (size_t)cache->slots, sizeof *cache->slot_of);
    cache->values = weir_models_calloc((size_t)cache->slots * rows, sizeof *cache->values);
    if (!s->alpha || !cache->slot_of || !cache->values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the kernel of %zu rows", rows);
    s->u = s->alpha + 2 * rows;
    s->diagonal = s->u + rows;
    cache->row_in = cache->slot_of + rows;
    cache->when = cache->row_in + cache->slots;
    for (size_t r = 0; r < rows; r++) {
        cache->slot_of[r] = -1;
        s->u[r] = p->label[r];
        s->diagonal[r] = kernel_of(p, (int64_t)r, (int64_t)r);
    }
    return WEIR_OK;
}

/* A free slot, or the one that has not been used for longest. */
static int64_t take_slot(row_cache *c) {
    int64_t oldest = 0;
    if (c->used < c->slots) return c->used++;
    for (int64_t i = 1; i < c->slots; i++)
        if (c->when[i] < c->when[oldest]) oldest = i;
    c->slot_of[c->row_in[oldest]] = -1;
    return oldest;
}

/* Stays valid while one other row is asked for. */
static const float *kernel_row(smo *s, int64_t row) {
    row_cache *c = &s->cache;
    int64_t rows = s->problem->row_count, slot = c->slot_of[row];
    if (slot < 0) {
        slot = take_slot(c);
        c->row_in[slot] = row;
        c->slot_of[row] = slot;
        for (int64_t r = 0; r < rows; r++) c->values[slot * rows + r] = (float)kernel_of(s->problem, row, r);
    }
    c->when[slot] = ++c->uses;
    return c->values + slot * rows;
}

static double v_of(const smo *s, int64_t row, int star) {
    return star ? s->u[row] + s->problem->epsilon : s->u[row] - s->problem->epsilon;
}

/* By how much a side may still rise, or fall. */
static double room(const smo *s, side at, bool rise) {
    double alpha = s->alpha[at.star * s->problem->row_count + at.row];
    return rise == !at.star ? s->problem->c - alpha : alpha;
}

static double curvature(const smo *s, int64_t i, int64_t j, const float *row_of_i) {
    double a = s->diagonal[i] + s->diagonal[j] - 2 * (double)row_of_i[j];
    return a > 0 ? a : TAU;
}

static side choose_rising(const smo *s) {
    side best = {.row = -1, .v = -INFINITY};
    for (int star = 0; star < 2; star++)
        for (int64_t r = 0; r < s->problem->row_count; r++) {
            side at = {r, star, v_of(s, r, star)};
            if (at.v > best.v && room(s, at, true) > 0) best = at;
        }
    return best;
}

/* *ret_least: the least v of all that can fall. */
static side choose_falling(const smo *s, side rising, const float *row, double *ret_least) {
    side best = {.row = -1};
    double most = 0;
    *ret_least = INFINITY;
    for (int star = 0; star < 2; star++)
        for (int64_t r = 0; r < s->problem->row_count; r++) {
            side at = {r, star, v_of(s, r, star)};
            double slope = rising.v - at.v;
            if ((at.v >= *ret_least && !(slope > 0)) || !(room(s, at, false) > 0)) continue;
            *ret_least = fmin(*ret_least, at.v);
            double gain = slope > 0 ? slope * slope / curvature(s, rising.row, r, row) : 0;
            if (gain > most) {
                most = gain;
                best = at;
            }
        }
    return best;
}

/* A side that reaches its bound is put on it exactly: it must not seem to have room left. */
static void move(smo *s, side at, bool rise, double by) {
    double *alpha = &s->alpha[at.star * s->problem->row_count + at.row];
    bool up = rise == !at.star;
    if (by == room(s, at, rise))
        *alpha = up ? s->problem->c : 0;
    else
        *alpha += up ? by : -by;
}

static void step(smo *s, side i, side j, const float *row_of_i, const float *row_of_j) {
    double by = fmin((i.v - j.v) / curvature(s, i.row, j.row, row_of_i), fmin(room(s, i, true), room(s, j, false)));
    move(s, i, true, by);
    move(s, j, false, by);
    for (int64_t r = 0; r < s->problem->row_count; r++) s->u[r] -= by * ((double)row_of_i[r] - (double)row_of_j[r]);
}

static weir_status minimise(smo *s, weir_err *err) {
    double most = fmax(STEPS_MIN, STEPS_A_ROW * (double)s->problem->row_count);
    for (int64_t steps = 0; (double)steps < most; steps++) {
        double least;
        weir_status status = weir_interrupt_check(err);
        if (status != WEIR_OK) return status;
        side i = choose_rising(s);
        if (i.row < 0) return WEIR_OK;
        const float *row_of_i = kernel_row(s, i.row);
        side j = choose_falling(s, i, row_of_i, &least);
        if (j.row < 0 || i.v - least < s->problem->tol) return WEIR_OK;
        step(s, i, j, row_of_i, kernel_row(s, j.row));
    }
    return WEIR_FAIL(err, WEIR_ENUMERIC, "no convergence in %.0f steps; a smaller c or a larger tol help", most);
}

/* At the minimum v is b where a side is free; without such a side b lies between those that could rise and those that could fall. */
static double intercept(const smo *s) {
    double sum = 0, low = -INFINITY, high = INFINITY;
    int64_t count = 0;
    for (int star = 0; star < 2; star++)
        for (int64_t r = 0; r < s->problem->row_count; r++) {
            side at = {r, star, v_of(s, r, star)};
            bool rises = room(s, at, true) > 0, falls = room(s, at, false) > 0;
            if (rises && falls) {
                sum += at.v;
                count++;
            }
            if (rises) low = fmax(low, at.v);
            if (falls) high = fmin(high, at.v);
        }
    return count ? sum / (double)count : (low + high) / 2;
}

weir_status weir_svr_solve(const weir_svr_problem *problem, double *ret_coefficient, double *ret_intercept, weir_err *err) {
    smo s;
    weir_status status = smo_init(&s, problem, err);
    if (status == WEIR_OK) status = minimise(&s, err);
    if (status == WEIR_OK) {
        for (int64_t r = 0; r < problem->row_count; r++) ret_coefficient[r] = s.alpha[r] - s.alpha[problem->row_count + r];
        *ret_intercept = intercept(&s);
    }
    smo_done(&s);
    return status;
}
