/* The tree-structured Parzen estimator: trials are split into the best few and the rest, a density is estimated of each, candidates are drawn from the
 * density of the best, and the one with the highest ratio l(x) / g(x) of the two is tried next.
 *
 * Sources: Bergstra, Bardenet, Bengio, Kégl, Algorithms for hyper-parameter optimization, 2011, section 4. Several objectives: Ozaki, Tanigaki, Watanabe,
 * Onishi, Multiobjective tree-structured Parzen estimator, 2020. Settings, the split and the weights are those of Optuna 5.0.0's TPESampler,
 * but that a front of three or more objectives is thinned out by crowding distance instead of hypervolume.
 *
 * Trials that run now are counted among the rest (with constant_liar), so that workers who ask at the same time do not all try the same corner. Failed
 * trials count nowhere. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"
#include "models/pareto.h"
#include "models/parzen.h"
#include "models/sampler.h"

enum { JOINTLY_AUTO, JOINTLY_NO, JOINTLY_YES };
enum { BELOW_MAX = 25, FLAT_WEIGHTS = 25, CANDIDATES_MAX = 10000, STRATA_MAX = 64 };

typedef struct tpe_settings {
    int64_t startup_trials, candidates;
    int multivariate;
    bool constant_liar;
    double prior_weight;
} tpe_settings;

static const char *const jointly[] = {"auto", "no", "yes", NULL};

static const weir_conf_item settings_table[] = {
    {.name = "startup_trials",
     .type = WEIR_CONF_INT,
     .offset = offsetof(tpe_settings, startup_trials),
     .min = 1,
     .max = 1e6,
     .fallback = "10",
     .doc = "trials that are spread evenly before the first estimate"},
    {.name = "candidates",
     .type = WEIR_CONF_INT,
     .offset = offsetof(tpe_settings, candidates),
     .min = 1,
     .max = CANDIDATES_MAX,
     .fallback = "24",
     .doc = "points drawn per trial, of which the best is tried"},
    {.name = "multivariate",
     .type = WEIR_CONF_ENUM,
     .offset = offsetof(tpe_settings, multivariate),
     .choices = jointly,
     .fallback = "auto",
     .doc = "estimate parameters without conditions jointly; auto: with one objective"},
    {.name = "constant_liar",
     .type = WEIR_CONF_BOOL,
     .offset = offsetof(tpe_settings, constant_liar),
     .fallback = "true",
     .doc = "count running trials as bad ones"},
    {.name = "prior_weight",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(tpe_settings, prior_weight),
     .min = 1e-6,
     .max = 1e6,
     .fallback = "1",
     .doc = "weight of the uninformed kernel; an observation's is at most 1"},
    {0},
};

/* One suggestion on its way. */
typedef struct search {
    const tpe_settings *settings;
    const weir_trials *history;
    weir_arena *arena;
    const weir_trial **below, **above; /* in the order of their numbers */
    int below_count, above_count;
    weir_draw draw;
} search;

static weir_status no_memory(const search *s, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to search among %d trials", s->history->trial_count);
}

static int by_loss(const void *a, const void *b) {
    const weir_trial *s = *(const weir_trial *const *)a, *t = *(const weir_trial *const *)b;
    int order = (s->loss[0] > t->loss[0]) - (s->loss[0] < t->loss[0]);
    return order ? order : s->number - t->number;
}

/* Pruned trials: who came further is better; at the same step the last value decides, one that is no number coming last. */
static int by_progress(const void *a, const void *b) {
    const weir_trial *s = *(const weir_trial *const *)a, *t = *(const weir_trial *const *)b;
    int64_t s_step = s->report_count ? s->reports[s->report_count - 1].step : -1, t_step = t->report_count ? t->reports[t->report_count - 1].step : -1;
    if (s_step != t_step) return s_step > t_step ? -1 : 1;
    double x = s->report_count ? s->reports[s->report_count - 1].loss : 0, y = t->report_count ? t->reports[t->report_count - 1].loss : 0;
    if (isnan(x)) x = INFINITY;
    if (isnan(y)) y = INFINITY;
    return x != y ? (x > y ? 1 : -1) : s->number - t->number;
}

/* Trials in one state, into an array of the arena. */
static const weir_trial **collect(const search *s, weir_trial_state state, int *ret_count) {
    const weir_trials *h = s->history;
    const weir_trial **trials = weir_arena_alloc(s->arena, (size_t)h->trial_count * sizeof *trials);
    *ret_count = 0;
    for (int i = 0; trials && i < h->trial_count; i++)
        if (h->trials[i].state == state) trials[(*ret_count)++] = &h->trials[i];
    return trials;
}

/* good [trial_count] gets the `want` best: whole ranks, and of the rank that is too large for what is left those that cover it well. */
static weir_status choose_by_rank(const search *s, const weir_trial *const *complete, int count, int want, bool *good, weir_err *err) {
    int width = s->history->objective_count, room = count + 1, left = want, size = 0;
    double *loss = weir_arena_alloc(s->arena, (size_t)(room * width) * sizeof *loss);
    int *rank = weir_arena_alloc(s->arena, (size_t)room * sizeof *rank), *tied = weir_arena_alloc(s->arena, (size_t)room * sizeof *tied);
    bool *chosen = weir_arena_alloc(s->arena, (size_t)room * sizeof *chosen);
    if (!loss || !rank || !tied || !chosen) return no_memory(s, err);
    for (int i = 0; i < count; i++) memcpy(&loss[i * width], complete[i]->loss, (size_t)width * sizeof *loss);
    weir_status status = weir_pareto_rank(loss, count, width, rank, err);
    for (int r = 0; status == WEIR_OK && left > 0; r++, left -= size) {
        size = 0;
        for (int i = 0; i < count; i++)
            if (rank[i] == r) tied[size++] = i;
        if (size > left) break;
        for (int i = 0; i < size; i++) good[complete[tied[i]]->number] = true;
    }
    if (status != WEIR_OK || left <= 0) return status;
    for (int i = 0; i < size; i++) memmove(&loss[i * width], complete[tied[i]]->loss, (size_t)width * sizeof *loss);
    status = weir_pareto_spread(loss, size, width, left, chosen, err);
    for (int i = 0; status == WEIR_OK && i < size; i++)
        if (chosen[i]) good[complete[tied[i]]->number] = true;
    return status;
}

/* The best tenth, at most 25 of them with one objective. Complete trials are better than pruned ones. */
static weir_status choose_good(const search *s, bool *good, weir_err *err) {
    int complete_count, pruned_count;
    const weir_trial **complete = collect(s, WEIR_TRIAL_COMPLETE, &complete_count), **pruned = collect(s, WEIR_TRIAL_PRUNED, &pruned_count);
    if (!complete || !pruned) return no_memory(s, err);
    int want = (int)ceil(0.1 * (complete_count + pruned_count));
    bool single = s->history->objective_count == 1;
    if (single && want > BELOW_MAX) want = BELOW_MAX;
    int of_complete = want < complete_count ? want : complete_count;
    weir_status status = WEIR_OK;
    if (single) {
        qsort(complete, (size_t)complete_count, sizeof(const weir_trial *), by_loss);
        for (int i = 0; i < of_complete; i++) good[complete[i]->number] = true;
    } else {
        status = choose_by_rank(s, complete, complete_count, of_complete, good, err);
    }
    qsort(pruned, (size_t)pruned_count, sizeof(const weir_trial *), by_progress);
    for (int i = 0; i < want - of_complete; i++) good[pruned[i]->number] = true;
    return status;
}

static weir_status split(search *s, weir_err *err) {
    const weir_trials *h = s->history;
    size_t room = (size_t)h->trial_count + 1;
    bool *good = weir_arena_alloc(s->arena, room * sizeof *good);
    s->below = weir_arena_alloc(s->arena, room * sizeof *s->below);
    s->above = weir_arena_alloc(s->arena, room * sizeof *s->above);
    if (!good || !s->below || !s->above) return no_memory(s, err);
    memset(good, 0, room * sizeof *good);
    weir_status status = choose_good(s, good, err);
    for (int i = 0; status == WEIR_OK && i < h->trial_count; i++) {
        const weir_trial *t = &h->trials[i];
        if (t->state == WEIR_TRIAL_FAILED || (t->state == WEIR_TRIAL_RUNNING && !s->settings->constant_liar)) continue;
        if (good[i])
            s->below[s->below_count++] = t;
        else
            s->above[s->above_count++] = t;
    }
    return status;
}

/* The newest 25 count in full, those before less the older they are: Optuna's default_weights. */
static void fill_weights(double *weight, int count, bool flat) {
    int ramp = flat ? 0 : count - FLAT_WEIGHTS;
    for (int i = 0; i < count; i++) weight[i] = i < ramp ? (ramp == 1 ? 1.0 / count : 1.0 / count + (1 - 1.0 / count) * i / (ramp - 1)) : 1;
}

/* The density of those of the trials that have the parameters; either all of params are without conditions, or there is one. */
static weir_status estimate(const search *s, const weir_trial *const *trials, int count, bool flat, const int *params, int param_count,
                            const weir_parzen **ret_parzen, weir_err *err) {
    const double **points = weir_arena_alloc(s->arena, ((size_t)count + 1) * sizeof *points);
    double *weight = weir_arena_alloc(s->arena, ((size_t)count + 1) * sizeof *weight);
    int n = 0;
    if (!points || !weight) return no_memory(s, err);
    for (int i = 0; i < count; i++)
        if (!isnan(trials[i]->point[params[0]])) points[n++] = trials[i]->point;
    fill_weights(weight, n, flat);
    return weir_parzen_new(s->history->space, params, param_count, points, weight, n, s->settings->prior_weight, s->arena, ret_parzen, err);
}

/* Sets point[params[…]] to the candidate with the highest ratio of densities; the first of equals. */
static weir_status choose(search *s, const int *params, int param_count, double *point, weir_err *err) {
    int count = (int)s->settings->candidates, size = weir_space_size(s->history->space), best = 0;
    bool several = s->history->objective_count > 1;
    const weir_parzen *below, *above;
    weir_status status = estimate(s, s->below, s->below_count, several, params, param_count, &below, err);
    if (status == WEIR_OK) status = estimate(s, s->above, s->above_count, false, params, param_count, &above, err);
    if (status != WEIR_OK) return status;
    double *values = weir_arena_alloc(s->arena, (size_t)count * (size_t)size * sizeof *values),
           *ratio = weir_arena_alloc(s->arena, (size_t)count * sizeof *ratio), *base = weir_arena_alloc(s->arena, (size_t)count * sizeof *base);
    const double **candidates = weir_arena_alloc(s->arena, (size_t)count * sizeof *candidates);
    if (!values || !ratio || !base || !candidates) return no_memory(s, err);
    for (int c = 0; c < count; c++) {
        weir_parzen_sample(below, &s->draw, &values[c * size]);
        candidates[c] = &values[c * size];
    }
    status = weir_parzen_log_density(below, candidates, count, s->arena, ratio, err);
    if (status == WEIR_OK) status = weir_parzen_log_density(above, candidates, count, s->arena, base, err);
    if (status != WEIR_OK) return status;
    for (int c = 0; c < count; c++) {
        ratio[c] -= base[c];
        if (ratio[c] > ratio[best]) best = c;
    }
    for (int i = 0; i < param_count; i++) point[params[i]] = weir_param_snap(weir_space_at(s->history->space, params[i]), candidates[best][params[i]]);
    return WEIR_OK;
}

/* Parameters without conditions first, jointly or one by one; then those whose conditions hold, one by one. */
static weir_status fill_point(search *s, double *point, weir_err *err) {
    const weir_space *space = s->history->space;
    int multivariate = s->settings->multivariate, joint[WEIR_SPACE_PARAMS_MAX], joint_count = 0;
    bool jointly_now = multivariate == JOINTLY_YES || (multivariate == JOINTLY_AUTO && s->history->objective_count == 1);
    weir_status status = WEIR_OK;
    for (int i = 0; i < weir_space_size(space); i++) {
        const weir_param *p = weir_space_at(space, i);
        point[i] = weir_param_count(p) == 1 ? p->low : NAN;
        if (jointly_now && !p->condition_count && weir_param_count(p) != 1) joint[joint_count++] = i;
    }
    if (joint_count) status = choose(s, joint, joint_count, point, err);
    for (int i = 0; status == WEIR_OK && i < weir_space_size(space); i++) {
        bool wanted = weir_space_active(space, i, point);
        if (!wanted) point[i] = NAN;
        if (wanted && isnan(point[i])) status = choose(s, &i, 1, point, err);
    }
    return status;
}

/* Before there is an estimate: a Latin hypercube of as many points as there are startup trials, the same for every worker. Each parameter's range is cut into as many strata,
 * and each stratum is tried once, in an order that the parameter and the seed decide. Source: McKay, Beckman, Conover, A comparison of three methods for selecting values of
 * input variables, 1979. */
static void start_point(const weir_space *space, int strata, int number, uint64_t seed, double *point) {
    weir_draw draw = weir_draw_of(seed, number);
    for (int i = 0; i < weir_space_size(space); i++) {
        weir_draw order = weir_draw_of(seed, -2 - i);
        int stratum[STRATA_MAX];
        for (int k = 0; k < strata; k++) { /* Fisher and Yates, from the inside out */
            int at = (int)(weir_draw_uniform(&order) * (k + 1));
            if (at < k) stratum[k] = stratum[at];
            stratum[at] = k;
        }
        double u = (stratum[number % strata] + weir_draw_uniform(&draw)) / strata;
        point[i] = weir_space_active(space, i, point) ? weir_param_at(weir_space_at(space, i), u) : NAN;
    }
}

static weir_status suggest(const void *settings, const weir_trials *history, int number, uint64_t seed, double *ret_point, weir_err *err) {
    const tpe_settings *tpe = settings;
    int64_t finished = 0;
    for (int i = 0; i < history->trial_count; i++) finished += history->trials[i].state == WEIR_TRIAL_COMPLETE || history->trials[i].state == WEIR_TRIAL_PRUNED;
    double point[WEIR_SPACE_PARAMS_MAX];
    if (finished < tpe->startup_trials && history->objective_count > 1)
        return weir_sampler_random.suggest(NULL, history, number, seed, ret_point, err); /* fronts end in corners, which strata keep away from */
    if (finished < tpe->startup_trials) {
        start_point(history->space, tpe->startup_trials < STRATA_MAX ? (int)tpe->startup_trials : STRATA_MAX, number, seed, point);
        memcpy(ret_point, point, (size_t)weir_space_size(history->space) * sizeof *point);
        return WEIR_OK;
    }
    weir_arena arena;
    weir_arena_init(&arena, SIZE_MAX);
    search s = {.settings = tpe, .history = history, .arena = &arena, .draw = weir_draw_of(seed, number)};
    weir_status status = split(&s, err);
    if (status == WEIR_OK) status = fill_point(&s, point, err);
    if (status == WEIR_OK) memcpy(ret_point, point, (size_t)weir_space_size(history->space) * sizeof *point);
    weir_arena_done(&arena);
    return status;
}

const weir_sampler weir_sampler_tpe = {
    .abi = WEIR_SAMPLER_ABI,
    .name = "tpe",
    .doc = "tree-structured Parzen estimator: learns from the trials so far",
    .settings = settings_table,
    .settings_size = sizeof(tpe_settings),
    .suggest = suggest,
};
