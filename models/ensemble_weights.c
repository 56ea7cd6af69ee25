/* Weights of an ensemble are a point of the simplex { w : w ≥ 0, Σ w = 1 }.
 *
 * Squared error: with e_i the errors of member i, Σ_r (y_r − Σ_i w_i s_ir)² = w'Ew where E_ij = Σ_r e_ir e_jr, because the weights sum to 1: one quadratic
 * programme.
 *
 * Log loss: f(w) = −Σ_r v_r ln q_r / Σ v, q_r = Σ_i w_i p_ir, where p_ir is what member i gives to what happened; f is convex. Newton's method: each step
 * solves the quadratic programme of f's second-order expansion over the simplex, and goes as far towards its solution as lowers f. With c_i = mean(p_i / q)
 * the gradient is −c, the Hessian H_ij = mean(p_i p_j / q²), and Hw = c. No point of the simplex is better than w by more than max c_i − 1, which ends the
 * search.
 *
 * The quadratic programmes are solved by an active set: least squares on the members that have weight, without regard to signs; where a sign is wrong, the
 * way there ends at the first weight that becomes 0; where none is, the member whose weight would lower the sum fastest comes in. With a handful of members
 * that is exact and ends after a few rounds.
 *
 * Sources: Breiman, Stacked regressions, Machine Learning 24, 1996 (weights that are not negative); Lawson and Hanson, Solving Least Squares Problems, 1974,
 * ch. 23 (NNLS), here with the sum as a constraint; Nocedal and Wright, Numerical Optimization, 2nd ed., 16.5 (active sets), 18.1 (Newton by quadratic
 * programmes); Jaggi, Revisiting Frank–Wolfe, 2013 (the bound that ends the search). */
#include "models/ensemble_weights.h"

#include <lapacke.h>
#include <math.h>
#include <string.h>

#include "models/memory.h"

enum { NEWTON_MAX = 50, HALVINGS_MAX = 30 };
static const double RIDGE = 1e-12, GAP = 1e-10;

/* minimise ½ u'Hu + c'u over the simplex; H [m][m]. Members that are alike make H singular: a ridge far below its size decides for them. */
typedef struct programme {
    int m;
    double *h, *c, *u; /* u: the solution */
    bool *active; /* members that may have weight */
    double *system, *right; /* [m][m], [2][m] scratch: the equations of the active members */
    int *place; /* [m] which these are */
} programme;

static void programme_done(programme *p) {
    weir_models_free(p->h);
    weir_models_free(p->c);
    weir_models_free(p->u);
    weir_models_free(p->active);
    weir_models_free(p->system);
    weir_models_free(p->right);
    weir_models_free(p->place);
}

static weir_status programme_init(programme *p, int m, weir_err *err) {
    size_t n = (size_t)m;
    *p = (programme){
        .m = m,
        .h = weir_models_calloc(n * n, sizeof *p->h),
        .c = weir_models_calloc(n, sizeof *p->c),
        .u = weir_models_calloc(n, sizeof *p->u),
        .active = weir_models_calloc(n, sizeof *p->active),
        .system = weir_models_calloc(n * n, sizeof *p->system),
        .right = weir_models_calloc(2 * n, sizeof *p->right),
        .place = weir_models_calloc(n, sizeof *p->place),
    };
    if (p->h && p->c && p->u && p->active && p->system && p->right && p->place) return WEIR_OK;
    programme_done(p);
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the weights of %d members", m);
}

/* The best weights of the active members but for their signs, in right [k]: H u = λ1 − c with Σ u = 1. Returns k; 0 when rounding
 * left no equations to solve. */
static int solve_active(programme *p, double ridge) {
    int k = 0;
    for (int i = 0; i < p->m; i++)
        if (p->active[i]) p->place[k++] = i;
    for (int i = 0; i < k; i++) {
        for (int j = 0; j < k; j++) p->system[i * k + j] = p->h[p->place[i] * p->m + p->place[j]] + (i == j ? ridge : 0);
        p->right[i] = -p->c[p->place[i]];
        p->right[k + i] = 1;
    }
    if (LAPACKE_dposv(LAPACK_COL_MAJOR, 'U', k, 2, p->system, k, p->right, k) != 0) return 0;
    double sum = 0, ones = 0;
    for (int i = 0; i < k; i++) {
        sum += p->right[i];
        ones += p->right[k + i];
    }
    for (int i = 0; i < k; i++) p->right[i] += (1 - sum) / ones * p->right[k + i];
    return k;
}

/* From u towards the k weights in right, until the first becomes 0; true when nothing did. */
static bool go_there(programme *p, int k) {
    double far = 1;
    for (int i = 0; i < k; i++) {
        double now = p->u[p->place[i]], there = p->right[i];
        if (there <= 0 && now / (now - there) < far) far = now > 0 ? now / (now - there) : 0;
    }
    bool whole = true;
    for (int i = 0; i < k; i++) {
        double *u = &p->u[p->place[i]];
        bool ends = p->right[i] <= 0 && (*u <= 0 || *u / (*u - p->right[i]) <= far);
        *u = ends ? 0 : *u + far * (p->right[i] - *u);
        if (ends) p->active[p->place[i]] = whole = false;
    }
    return whole;
}

/* Lets in the member that lowers the sum fastest; false when none does. */
static bool let_in(programme *p, double size) {
    double slope = INFINITY, best = INFINITY;
    int in = -1;
    for (int i = 0; i < p->m; i++) {
        double gradient = p->c[i];
        for (int j = 0; j < p->m; j++) gradient += p->h[i * p->m + j] * p->u[j];
        if (p->active[i]) {
            slope = fmin(slope, gradient);
        } else if (gradient < best) {
            best = gradient;
            in = i;
        }
    }
    if (in < 0 || best >= slope - 1e-10 * size) return false;
    p->active[in] = true;
    return true;
}

static void solve(programme *p) {
    int m = p->m, best = 0;
    double size = 0;
    for (int i = 0; i < m; i++) {
        double value = p->h[i * m + i] / 2 + p->c[i];
        size = fmax(size, fmax(fabs(p->h[i * m + i]), fabs(p->c[i])));
        if (value < p->h[best * m + best] / 2 + p->c[best]) best = i;
        p->active[i] = false;
        p->u[i] = 0;
    }
    p->active[best] = true;
    p->u[best] = 1;
    for (int round = 0; round < 10 * m + 10; round++) { /* each let-in lowers the sum; rounding could make it go round, which the count ends */
        int k = solve_active(p, RIDGE * size);
        if (!k) break;
        if (go_there(p, k) && !let_in(p, size)) break;
    }
    double sum = 0;
    for (int i = 0; i < m; i++) sum += p->u[i];
    for (int i = 0; i < m; i++) p->u[i] /= sum;
}

/* ---- squared error ---- */

static double row_weight(const weir_ensemble_scores *s, int64_t r) {
    return s->weight ? s->weight[r] : 1;
}

static void put_errors(programme *p, const weir_ensemble_scores *s, double total) {
    int m = p->m;
    double error[WEIR_ENSEMBLE_MAX];
    for (int64_t r = 0; r < s->row_count; r++) {
        double v = row_weight(s, r) / total;
        for (int i = 0; i < m; i++) error[i] = s->label[r] - s->scores[i * s->row_count + r];
        for (int i = 0; i < m; i++)
            for (int j = 0; j <= i; j++) p->h[i * m + j] += v * error[i] * error[j];
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < i; j++) p->h[j * m + i] = p->h[i * m + j];
}

/* ---- log loss ---- */

/* What member i gives to what happened. */
static double given(weir_task task, const weir_ensemble_scores *s, int i, int64_t r) {
    const double *score = s->scores + (i * s->row_count + r) * s->output_count;
    double p = task == WEIR_TASK_MULTICLASS ? score[(int)s->label[r]] : s->label[r] > 0 ? score[0] : 1 - score[0];
    return fmax(p, 0x1p-52);
}

static double log_loss(weir_task task, const weir_ensemble_scores *s, const double *w, double total) {
    double sum = 0;
    for (int64_t r = 0; r < s->row_count; r++) {
        double q = 0;
        for (int i = 0; i < s->member_count; i++) q += w[i] * given(task, s, i, r);
        sum -= row_weight(s, r) * log(q);
    }
    return sum / total;
}

/* H and gain: c of the comment above. */
static void expand(programme *p, weir_task task, const weir_ensemble_scores *s, const double *w, double total, double *gain) {
    int m = p->m;
    double ratio[WEIR_ENSEMBLE_MAX];
    memset(p->h, 0, (size_t)m * (size_t)m * sizeof *p->h);
    memset(gain, 0, (size_t)m * sizeof *gain);
    for (int64_t r = 0; r < s->row_count; r++) {
        double q = 0, v = row_weight(s, r) / total;
        for (int i = 0; i < m; i++) q += w[i] * (ratio[i] = given(task, s, i, r));
        for (int i = 0; i < m; i++) {
            ratio[i] /= q;
            gain[i] += v * ratio[i];
            for (int j = 0; j <= i; j++) p->h[i * m + j] += v * ratio[i] * ratio[j];
        }
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < i; j++) p->h[j * m + i] = p->h[i * m + j];
}

static void least_log_loss(programme *p, weir_task task, const weir_ensemble_scores *s, double total, double *w) {
    int m = p->m;
    double gain[WEIR_ENSEMBLE_MAX], next[WEIR_ENSEMBLE_MAX];
    for (int i = 0; i < m; i++) w[i] = 1.0 / m;
    double now = log_loss(task, s, w, total);
    for (int step = 0; step < NEWTON_MAX; step++) {
        double gap = -1, slope = 0, far = 1, then = INFINITY;
        expand(p, task, s, w, total, gain);
        for (int i = 0; i < m; i++) gap = fmax(gap, gain[i] - 1);
        if (gap <= GAP) return;
        for (int i = 0; i < m; i++) p->c[i] = -2 * gain[i]; /* −gain − Hw */
        solve(p);
        for (int i = 0; i < m; i++) slope -= gain[i] * (p->u[i] - w[i]);
        for (int halved = 0; halved < HALVINGS_MAX; halved++, far /= 2) {
            for (int i = 0; i < m; i++) next[i] = w[i] + far * (p->u[i] - w[i]);
            then = log_loss(task, s, next, total);
            if (then <= now + 1e-4 * far * slope) break;
        }
        if (!(then < now)) return; /* rounding: nothing is gained any more */
        memcpy(w, next, (size_t)m * sizeof *w);
        now = then;
    }
}

weir_status weir_ensemble_weights(weir_task task, const weir_ensemble_scores *s, double *ret_weights, weir_err *err) {
    double total = 0;
    programme p;
    if (s->member_count < 1 || s->member_count > WEIR_ENSEMBLE_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%d members, expected 1 to %d", s->member_count, WEIR_ENSEMBLE_MAX);
    for (int64_t r = 0; r < s->row_count; r++) total += row_weight(s, r);
    if (!(total > 0)) return WEIR_FAIL(err, WEIR_EDATA, "none of the %lld rows that were predicted out of fold weighs anything", (long long)s->row_count);
    weir_status status = programme_init(&p, s->member_count, err);
    if (status) return status;
    if (task == WEIR_TASK_REGRESSION) {
        put_errors(&p, s, total);
        solve(&p);
        memcpy(ret_weights, p.u, (size_t)p.m * sizeof *ret_weights);
    } else {
        least_log_loss(&p, task, s, total, ret_weights);
    }
    programme_done(&p);
    return WEIR_OK;
}
