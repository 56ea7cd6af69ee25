/* Operators that look at single records and their order: the first, the last, the one n back, changes, times between, streaks, order statistics, counts of values.
 *
 * A value that is not finite counts as null. A condition is a number: true when it is neither null nor 0. Where an input may be left out, window->in[0], or `in` of a fold,
 * is NULL then. Ages are taken from the time of the value, which only folds are told. */
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "features/operator.h"
#include "features/sketch.h"
#include "features/sort.h"

static bool is_true(double condition) {
    return isfinite(condition) && condition != 0;
}

static double seconds(int64_t us) {
    return (double)us / (double)WEIR_SECOND_US;
}

/* --- One record that is kept: first, last, time_since, time_since_max, time_since_min --- */

typedef struct mark {
    double value;
    int64_t time_us;
    uint64_t seen;
} mark;

enum { NULLS }; /* of first and last */
enum { SKIP, KEEP };
static const char *const nulls_choices[] = {"skip", "keep", NULL};
static const weir_param_def nulls_params[] = {
    {"nulls", WEIR_PARAM_CHOICE, .choices = nulls_choices, .doc = "skip: records whose value is null are passed over; keep: they count, and may give null"},
    {NULL},
};

static size_t mark_size(const weir_params *params) {
    (void)params;
    return sizeof(mark);
}

static void mark_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(mark));
}

static void mark_set(mark *m, int64_t time_us, double value) {
    *m = (mark){isfinite(value) ? value : NAN, time_us, 1};
}

static void first_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    mark *m = acc;
    if (!m->seen && (isfinite(in[0]) || params->value[NULLS] == KEEP)) mark_set(m, time_us, in[0]);
}

static void last_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    if (isfinite(in[0]) || params->value[NULLS] == KEEP) mark_set(acc, time_us, in[0]);
}

static void true_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)params;
    if (!in || is_true(in[0])) mark_set(acc, time_us, 0);
}

static void max_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    mark *m = acc;
    (void)params;
    if (isfinite(in[0]) && (!m->seen || in[0] >= m->value)) mark_set(m, time_us, in[0]);
}

static void min_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    mark *m = acc;
    (void)params;
    if (isfinite(in[0]) && (!m->seen || in[0] <= m->value)) mark_set(m, time_us, in[0]);
}

static void first_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    if (!((const mark *)acc)->seen) memcpy(acc, later, sizeof(mark));
}

static void last_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    if (((const mark *)later)->seen) memcpy(acc, later, sizeof(mark));
}

static void max_merge(void *acc, const void *later, const weir_params *params) {
    const mark *l = later;
    if (l->seen) max_add(acc, l->time_us, &l->value, params);
}

static void min_merge(void *acc, const void *later, const weir_params *params) {
    const mark *l = later;
    if (l->seen) min_add(acc, l->time_us, &l->value, params);
}

static double mark_value(const void *acc, int64_t t_us, const weir_params *params) {
    const mark *m = acc;
    (void)t_us;
    (void)params;
    return m->seen ? m->value : NAN;
}

static double mark_age(const void *acc, int64_t t_us, const weir_params *params) {
    const mark *m = acc;
    (void)params;
    return m->seen ? seconds(t_us - m->time_us) : NAN;
}

static double first_eval(const weir_window *window, const weir_params *params) {
    mark m = {0};
    for (int k = 0; k < window->count && !m.seen; k++) first_add(&m, window->time_us[k], &window->in[0][k], params);
    return mark_value(&m, 0, params);
}

static double last_eval(const weir_window *window, const weir_params *params) {
    mark m = {0};
    for (int k = window->count; k-- > 0 && !m.seen;) last_add(&m, window->time_us[k], &window->in[0][k], params);
    return mark_value(&m, 0, params);
}

/* --- The n-th record: nth --- */

enum { NTH_N, NTH_FROM, NTH_NULLS };
enum { FROM_NEWEST, FROM_OLDEST };
enum { BACK_MAX = 1000 };
static const char *const from_choices[] = {"newest", "oldest", NULL};
static const weir_param_def nth_params[] = {
    {"n", WEIR_PARAM_WHOLE, .required = true, .min = 1, .max = BACK_MAX, .doc = "which record, from 1"},
    {"from", WEIR_PARAM_CHOICE, .choices = from_choices, .doc = "counted back from the newest record, or on from the oldest"},
    {"nulls", WEIR_PARAM_CHOICE, .choices = nulls_choices, .doc = "skip: records whose value is null are not counted; keep: they are, and may give null"},
    {NULL},
};

static double nth_eval(const weir_window *window, const weir_params *params) {
    bool newest = params->value[NTH_FROM] == FROM_NEWEST;
    int left = (int)params->value[NTH_N];
    for (int i = 0; i < window->count; i++) {
        double value = window->in[0][newest ? window->count - 1 - i : i];
        if ((isfinite(value) || params->value[NTH_NULLS] == KEEP) && --left == 0) return isfinite(value) ? value : NAN;
    }
    return NAN;
}

/* --- Against the record n back: lag, difference, relative_change, rate_of_change --- */

enum { BACK_N, BACK_NULLS, BACK_PER };
static const weir_param_def back_params[] = {
    {"n", WEIR_PARAM_WHOLE, .fallback = 1, .min = 1, .max = BACK_MAX, .doc = "records back from the newest"},
    {"nulls", WEIR_PARAM_CHOICE, .fallback = KEEP, .choices = nulls_choices,
     .doc = "keep: records whose value is null are counted, and give null; skip: they are passed over"},
    {NULL},
};
static const weir_param_def rate_params[] = {
    {"n", WEIR_PARAM_WHOLE, .fallback = 1, .min = 1, .max = BACK_MAX, .doc = "records back from the newest"},
    {"nulls", WEIR_PARAM_CHOICE, .fallback = KEEP, .choices = nulls_choices,
     .doc = "keep: records whose value is null are counted, and give null; skip: they are passed over"},
    {"per", WEIR_PARAM_DURATION, .fallback = 1e6, .min = 1, .max = 1e15, .doc = "unit of time of the result"},
    {NULL},
};

/* The newest n + 1 records: values, and for rate_of_change behind them their times (µs, exact in a double until 2255). Record i is at i mod (n + 1). */
typedef struct ring {
    uint64_t count; /* records that came */
    double slot[];
} ring;

static size_t ring_capacity(const weir_params *params) {
    return (size_t)params->value[BACK_N] + 1;
}

static size_t ring_size(const weir_params *params) {
    return sizeof(ring) + ring_capacity(params) * sizeof(double);
}

static size_t timed_ring_size(const weir_params *params) {
    return ring_size(params) + ring_capacity(params) * sizeof(double);
}

static void ring_init(void *acc, const weir_params *params) {
    memset(acc, 0, ring_size(params));
}

static void timed_ring_init(void *acc, const weir_params *params) {
    memset(acc, 0, timed_ring_size(params));
}

static void ring_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    ring *r = acc;
    (void)time_us;
    if (!isfinite(in[0]) && params->value[BACK_NULLS] == SKIP) return;
    r->slot[r->count++ % ring_capacity(params)] = isfinite(in[0]) ? in[0] : NAN;
}

static void timed_ring_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    ring *r = acc;
    size_t capacity = ring_capacity(params), at = r->count % capacity;
    uint64_t before = r->count;
    ring_add(acc, time_us, in, params);
    if (r->count != before) r->slot[capacity + at] = (double)time_us;
}

/** Places of the newest record and of the one n before it; false while there are not so many. */
static bool ring_ends(const ring *r, const weir_params *params, size_t *ret_newest, size_t *ret_back) {
    size_t capacity = ring_capacity(params);
    if (r->count < capacity) return false;
    *ret_newest = (r->count - 1) % capacity;
    *ret_back = r->count % capacity;
    return true;
}

static double lag_value(const void *acc, int64_t t_us, const weir_params *params) {
    size_t newest, back;
    (void)t_us;
    return ring_ends(acc, params, &newest, &back) ? ((const ring *)acc)->slot[back] : NAN;
}

static double difference_value(const void *acc, int64_t t_us, const weir_params *params) {
    const ring *r = acc;
    size_t newest, back;
    (void)t_us;
    return ring_ends(r, params, &newest, &back) ? r->slot[newest] - r->slot[back] : NAN;
}

static double relative_change_value(const void *acc, int64_t t_us, const weir_params *params) {
    double before = lag_value(acc, t_us, params);
    return before != 0 ? difference_value(acc, t_us, params) / before : NAN;
}

static double rate_of_change_value(const void *acc, int64_t t_us, const weir_params *params) {
    const ring *r = acc;
    size_t newest, back;
    (void)t_us;
    if (!ring_ends(r, params, &newest, &back)) return NAN;
    const double *time = r->slot + ring_capacity(params);
    double apart = time[newest] - time[back];
    return apart > 0 ? (r->slot[newest] - r->slot[back]) / (apart / params->value[BACK_PER]) : NAN;
}

/* --- Times between records: time_between --- */

enum { BETWEEN_OUTPUT };
enum { BETWEEN_MEAN, BETWEEN_MIN, BETWEEN_MAX, BETWEEN_STD };
static const char *const between_choices[] = {"mean", "min", "max", "std", NULL};
static const weir_param_def between_params[] = {
    {"output", WEIR_PARAM_CHOICE, .choices = between_choices, .doc = "of the gaps between consecutive records; std with n - 1"},
    {NULL},
};

typedef struct gaps {
    int64_t first_us, last_us;
    uint64_t seen; /* 1 once there was a record */
    uint64_t count; /* gaps */
    double mean, squares; /* seconds; squares: sum of squared distances from the mean (Welford) */
    double min, max;
} gaps;

static size_t gaps_size(const weir_params *params) {
    (void)params;
    return sizeof(gaps);
}

static void gaps_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(gaps));
}

/* Chan, Golub, LeVeque (1979): means and squares of two sets together. */
static void gaps_join(gaps *g, uint64_t count, double mean, double squares, double min, double max) {
    double n = (double)g->count + (double)count, delta = mean - g->mean;
    g->min = g->count ? fmin(g->min, min) : min;
    g->max = g->count ? fmax(g->max, max) : max;
    g->squares += squares + delta * delta * ((double)g->count * (double)count / n);
    g->mean += delta * ((double)count / n);
    g->count += count;
}

static void gaps_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    gaps *g = acc;
    (void)params;
    if (in && !is_true(in[0])) return;
    if (g->seen) {
        double gap = seconds(time_us - g->last_us);
        gaps_join(g, 1, gap, 0, gap, gap);
    } else {
        g->first_us = time_us;
    }
    g->last_us = time_us;
    g->seen = 1;
}

static void gaps_merge(void *acc, const void *later, const weir_params *params) {
    gaps *g = acc;
    const gaps *l = later;
    if (!l->seen) return;
    gaps_add(g, l->first_us, NULL, params); /* with the gap between the two */
    if (l->count) gaps_join(g, l->count, l->mean, l->squares, l->min, l->max);
    g->last_us = l->last_us;
}

static double gaps_value(const void *acc, int64_t t_us, const weir_params *params) {
    const gaps *g = acc;
    (void)t_us;
    if (!g->count) return NAN;
    switch ((int)params->value[BETWEEN_OUTPUT]) {
    case BETWEEN_MEAN: return seconds(g->last_us - g->first_us) / (double)g->count;
    case BETWEEN_MIN: return g->min;
    case BETWEEN_MAX: return g->max;
    default: return g->count > 1 ? sqrt(g->squares / (double)(g->count - 1)) : NAN;
    }
}

/* --- How long a condition has held: streak --- */

enum { STREAK_OUTPUT };
enum { STREAK_RECORDS, STREAK_SECONDS };
static const char *const streak_choices[] = {"records", "seconds", NULL};
static const weir_param_def streak_params[] = {
    {"output", WEIR_PARAM_CHOICE, .choices = streak_choices, .doc = "how many records, or the time from the first of them to the newest"},
    {NULL},
};

typedef struct run {
    int64_t first_us, last_us; /* of the streak */
    uint64_t length;
    uint64_t broken; /* a record was not true */
} run;

static size_t run_size(const weir_params *params) {
    (void)params;
    return sizeof(run);
}

static void run_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(run));
}

static void run_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    run *r = acc;
    (void)params;
    if (!is_true(in[0]))
        *r = (run){.broken = 1};
    else
        *r = (run){r->length ? r->first_us : time_us, time_us, r->length + 1, r->broken};
}

static void run_merge(void *acc, const void *later, const weir_params *params) {
    run *r = acc;
    const run *l = later;
    (void)params;
    if (l->broken)
        *r = *l;
    else if (l->length)
        *r = (run){r->length ? r->first_us : l->first_us, l->last_us, r->length + l->length, r->broken};
}

static double run_value(const void *acc, int64_t t_us, const weir_params *params) {
    const run *r = acc;
    (void)t_us;
    return params->value[STREAK_OUTPUT] == STREAK_RECORDS ? (double)r->length : seconds(r->last_us - r->first_us);
}

static double streak_eval(const weir_window *window, const weir_params *params) {
    int from = window->count;
    while (from > 0 && is_true(window->in[0][from - 1])) from--;
    int length = window->count - from;
    if (params->value[STREAK_OUTPUT] == STREAK_RECORDS) return length;
    return length ? seconds(window->time_us[window->count - 1] - window->time_us[from]) : 0;
}

/* --- Changes of the value: change_count, time_since_change --- */

typedef struct changes {
    double first, last;
    int64_t first_us, changed_us; /* changed_us: of the newest change; of the first record while there was none */
    uint64_t count, seen;
} changes;

static size_t changes_size(const weir_params *params) {
    (void)params;
    return sizeof(changes);
}

static void changes_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(changes));
}

static void changes_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    changes *c = acc;
    (void)params;
    if (!isfinite(in[0])) return;
    if (!c->seen) {
        *c = (changes){in[0], in[0], time_us, time_us, 0, 1};
    } else if (in[0] != c->last) {
        c->last = in[0];
        c->changed_us = time_us;
        c->count++;
    }
}

static void changes_merge(void *acc, const void *later, const weir_params *params) {
    changes *c = acc;
    const changes *l = later;
    if (!l->seen) return;
    changes_add(c, l->first_us, &l->first, params);
    c->last = l->last;
    c->count += l->count;
    if (l->count) c->changed_us = l->changed_us;
}

static double changes_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    (void)params;
    return (double)((const changes *)acc)->count;
}

static double changes_age(const void *acc, int64_t t_us, const weir_params *params) {
    const changes *c = acc;
    (void)params;
    return c->seen ? seconds(t_us - c->changed_us) : NAN;
}

static double change_count_eval(const weir_window *window, const weir_params *params) {
    changes c = {0};
    for (int k = 0; k < window->count; k++) changes_add(&c, window->time_us[k], &window->in[0][k], params);
    return (double)c.count;
}

/* --- Counts beyond a threshold: count_above, count_below --- */

enum { BEYOND_THRESHOLD, BEYOND_OUTPUT };
enum { BEYOND_COUNT, BEYOND_SHARE };
static const char *const count_choices[] = {"count", "share", NULL};
static const weir_param_def beyond_params[] = {
    {"threshold", WEIR_PARAM_NUMBER, .required = true, .min = -INFINITY, .max = INFINITY, .doc = "a value equal to it does not count"},
    {"output", WEIR_PARAM_CHOICE, .choices = count_choices, .doc = "how many, or their share of the values that are not null"},
    {NULL},
};

typedef struct beyond {
    uint64_t count, of;
} beyond;

static size_t beyond_size(const weir_params *params) {
    (void)params;
    return sizeof(beyond);
}

static void beyond_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(beyond));
}

static void above_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    beyond *b = acc;
    (void)time_us;
    b->of += isfinite(in[0]);
    b->count += isfinite(in[0]) && in[0] > params->value[BEYOND_THRESHOLD];
}

static void below_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    beyond *b = acc;
    (void)time_us;
    b->of += isfinite(in[0]);
    b->count += isfinite(in[0]) && in[0] < params->value[BEYOND_THRESHOLD];
}

static void beyond_merge(void *acc, const void *later, const weir_params *params) {
    beyond *b = acc;
    const beyond *l = later;
    (void)params;
    b->count += l->count;
    b->of += l->of;
}

static double beyond_value(const void *acc, int64_t t_us, const weir_params *params) {
    const beyond *b = acc;
    (void)t_us;
    if (params->value[BEYOND_OUTPUT] == BEYOND_COUNT) return (double)b->count;
    return b->of ? (double)b->count / (double)b->of : NAN;
}

static double above_eval(const weir_window *window, const weir_params *params) {
    beyond b = {0};
    for (int k = 0; k < window->count; k++) above_add(&b, 0, &window->in[0][k], params);
    return beyond_value(&b, 0, params);
}

static double below_eval(const weir_window *window, const weir_params *params) {
    beyond b = {0};
    for (int k = 0; k < window->count; k++) below_add(&b, 0, &window->in[0][k], params);
    return beyond_value(&b, 0, params);
}

/* --- Order statistics: quantile, median, iqr, percent_rank --- */

enum { QUANTILE_ERROR, QUANTILE_BINS, QUANTILE_Q };
static const weir_param_def quantile_params[] = {
    {"error", WEIR_PARAM_NUMBER, .fallback = 0.01, .min = 1e-4, .max = 0.5, .doc = "relative error of the sketch that folds keep"},
    {"bins", WEIR_PARAM_WHOLE, .fallback = 512, .min = WEIR_QUANTILES_BINS_MIN, .max = WEIR_QUANTILES_BINS_MAX,
     .doc = "size of that sketch: 4 bytes a bin; even"},
    {"q", WEIR_PARAM_NUMBER, .required = true, .min = 0, .max = 1, .doc = "which quantile"},
    {NULL},
};
static const weir_param_def median_params[] = {
    {"error", WEIR_PARAM_NUMBER, .fallback = 0.01, .min = 1e-4, .max = 0.5, .doc = "relative error of the sketch that folds keep"},
    {"bins", WEIR_PARAM_WHOLE, .fallback = 512, .min = WEIR_QUANTILES_BINS_MIN, .max = WEIR_QUANTILES_BINS_MAX,
     .doc = "size of that sketch: 4 bytes a bin; even"},
    {NULL},
};

static const char *quantile_prepare(weir_params *params) {
    return (int)params->value[QUANTILE_BINS] % 2 ? "bins is odd; it must be even" : NULL;
}

static size_t quantile_size(const weir_params *params) {
    return weir_quantiles_size((int)params->value[QUANTILE_BINS]);
}

static void quantile_init(void *acc, const weir_params *params) {
    weir_quantiles_init(acc, (int)params->value[QUANTILE_BINS], params->value[QUANTILE_ERROR]);
}

static void quantile_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    (void)params;
    if (isfinite(in[0])) weir_quantiles_add(acc, in[0]);
}

static void quantile_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    weir_quantiles_merge(acc, later);
}

static double quantile_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    return weir_quantiles_value(acc, params->value[QUANTILE_Q]);
}

static double median_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    (void)params;
    return weir_quantiles_value(acc, 0.5);
}

static double iqr_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    (void)params;
    return weir_quantiles_value(acc, 0.75) - weir_quantiles_value(acc, 0.25);
}

/** Values of the window that are not null, into its scratch; returns how many. */
static int present_values(const weir_window *window) {
    int n = 0;
    for (int k = 0; k < window->count; k++)
        if (isfinite(window->in[0][k])) window->scratch[n++] = window->in[0][k];
    return n;
}

/** Reorders values. */
static double quantile_of(double *values, int n, double q) {
    if (n == 0) return NAN;
    double at = (n - 1) * q, rank = floor(at);
    int below = (int)rank;
    weir_select(values, n, below);
    if (at == rank) return values[below];
    double above = values[below + 1];
    for (int i = below + 2; i < n; i++) above = fmin(above, values[i]);
    return weir_lerp(values[below], above, at - rank);
}

static double quantile_eval(const weir_window *window, const weir_params *params) {
    return quantile_of(window->scratch, present_values(window), params->value[QUANTILE_Q]);
}

static double median_eval(const weir_window *window, const weir_params *params) {
    (void)params;
    return quantile_of(window->scratch, present_values(window), 0.5);
}

static double iqr_eval(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = present_values(window);
    double low = quantile_of(window->scratch, n, 0.25);
    return quantile_of(window->scratch, n, 0.75) - low;
}

static double percent_rank_eval(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = present_values(window), below = 0, equal = 0;
    if (n == 0) return NAN;
    double newest = window->scratch[n - 1];
    for (int i = 0; i < n; i++) {
        below += window->scratch[i] < newest;
        equal += window->scratch[i] == newest;
    }
    return (below + (equal + 1) / 2.0) / n;
}

/* --- Counts of values: distinct_count, most_frequent --- */

enum { DISTINCT_PRECISION };
static const weir_param_def distinct_params[] = {
    {"precision", WEIR_PARAM_WHOLE, .fallback = 11, .min = WEIR_DISTINCT_PRECISION_MIN, .max = WEIR_DISTINCT_PRECISION_MAX,
     .doc = "folds keep 2^precision bytes: exact to an eighth as many values, then with standard error 1.04 / sqrt(2^precision)"},
    {NULL},
};

static size_t distinct_size(const weir_params *params) {
    return weir_distinct_size((int)params->value[DISTINCT_PRECISION]);
}

static void distinct_init(void *acc, const weir_params *params) {
    weir_distinct_init(acc, (int)params->value[DISTINCT_PRECISION]);
}

static void distinct_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    (void)params;
    if (isfinite(in[0])) weir_distinct_add(acc, in[0]);
}

static void distinct_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    weir_distinct_merge(acc, later);
}

static double distinct_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    (void)params;
    return weir_distinct_value(acc);
}

static double distinct_eval(const weir_window *window, const weir_params *params) {
    (void)params;
    int n = present_values(window), distinct = n > 0;
    weir_sort(window->scratch, n);
    for (int i = 1; i < n; i++) distinct += window->scratch[i] != window->scratch[i - 1];
    return distinct;
}

enum { FREQUENT_SLOTS, FREQUENT_OUTPUT };
enum { FREQUENT_VALUE, FREQUENT_COUNT, FREQUENT_SHARE };
static const char *const frequent_choices[] = {"value", "count", "share", NULL};
static const weir_param_def frequent_params[] = {
    {"slots", WEIR_PARAM_WHOLE, .fallback = 64, .min = WEIR_FREQUENT_SLOTS_MIN, .max = WEIR_FREQUENT_SLOTS_MAX,
     .doc = "folds keep this many values, 24 bytes each: exact while no more different ones came, then counts are too small by at most records / (slots + 1)"},
    {"output", WEIR_PARAM_CHOICE, .choices = frequent_choices, .doc = "the value itself, how often it occurs, or its share of the values that are not null"},
    {NULL},
};

static double frequent_result(double value, uint64_t count, uint64_t of, const weir_params *params) {
    switch ((int)params->value[FREQUENT_OUTPUT]) {
    case FREQUENT_VALUE: return value;
    case FREQUENT_COUNT: return (double)count;
    default: return (double)count / (double)of;
    }
}

static size_t frequent_size(const weir_params *params) {
    return weir_frequent_size((int)params->value[FREQUENT_SLOTS]);
}

static void frequent_init(void *acc, const weir_params *params) {
    weir_frequent_init(acc, (int)params->value[FREQUENT_SLOTS]);
}

static void frequent_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    (void)params;
    if (isfinite(in[0])) weir_frequent_add(acc, in[0]);
}

static void frequent_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    weir_frequent_merge(acc, later);
}

static double frequent_value(const void *acc, int64_t t_us, const weir_params *params) {
    const weir_frequent_slot *top = weir_frequent_top(acc);
    (void)t_us;
    return top ? frequent_result(top->value, top->count, ((const weir_frequent *)acc)->records, params) : NAN;
}

static double frequent_eval(const weir_window *window, const weir_params *params) {
    weir_pair *pairs = (weir_pair *)(void *)window->scratch, top = {0};
    int n = 0, most = 0;
    for (int k = 0; k < window->count; k++)
        if (isfinite(window->in[0][k])) pairs[n++] = (weir_pair){window->in[0][k], k};
    weir_sort_pairs(pairs, n);
    for (int from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && pairs[to].key == pairs[from].key;) to++;
        if (to - from > most || (to - from == most && pairs[to - 1].with > top.with)) {
            most = to - from;
            top = pairs[to - 1];
        }
    }
    return n ? frequent_result(top.key, (uint64_t)most, (uint64_t)n, params) : NAN;
}

/* --- The table --- */

#define WINDOWS_AT_HAND (WEIR_WINDOWS_EVERY & ~(1u << WEIR_WINDOW_ALL | 1u << WEIR_WINDOW_SESSION)) /* those whose records have a bound */
#define WINDOW_ALL_ONLY (1u << WEIR_WINDOW_ALL)

#define ONE_INPUT .abi = WEIR_OPERATOR_ABI, .inputs_min = 1, .inputs_max = 1, .windows = WEIR_WINDOWS_EVERY
#define ONE_INPUT_OR_TEXT .abi = WEIR_OPERATOR_ABI, .inputs_min = 1, .inputs_max = 1, .texts = true, .windows = WEIR_WINDOWS_EVERY
#define BACK                                                                                                                                                   \
    .abi = WEIR_OPERATOR_ABI, .inputs_min = 1, .inputs_max = 1, .windows = WINDOW_ALL_ONLY, .params = back_params, .acc_size = ring_size, .init = ring_init,   \
    .add = ring_add

const weir_operator weir_ops_order[] = {
    {ONE_INPUT_OR_TEXT, .name = "first", .doc = "The oldest value of the window.", .formula = "x_1", .unit = "as the column",
     .edges = "Empty or all null: null. Nulls are passed over unless nulls is keep.", .source = "pandas GroupBy.first", .params = nulls_params,
     .eval = first_eval, .acc_size = mark_size, .init = mark_init, .add = first_add, .value = mark_value, .merge = first_merge},
    {ONE_INPUT_OR_TEXT, .name = "last", .doc = "The newest value of the window.", .formula = "x_n", .unit = "as the column",
     .edges = "Empty or all null: null. Nulls are passed over unless nulls is keep.", .source = "pandas GroupBy.last", .params = nulls_params,
     .eval = last_eval, .acc_size = mark_size, .init = mark_init, .add = last_add, .value = mark_value, .merge = last_merge},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "nth",
     .doc = "The n-th value of the window, counted from the newest (1) or the oldest.",
     .formula = "x_(N-n+1), or x_n from the oldest",
     .unit = "as the column",
     .edges = "Fewer than n values: null. Nulls are not counted unless nulls is keep.",
     .source = "pandas GroupBy.nth with dropna",
     .inputs_min = 1,
     .inputs_max = 1,
     .texts = true,
     .windows = WINDOWS_AT_HAND,
     .params = nth_params,
     .eval = nth_eval},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "lag",
     .doc = "The value n records before the newest.",
     .formula = "x_(t-n)",
     .unit = "as the column",
     .edges = "Fewer than n + 1 records: null. Records whose value is null are counted, as pandas does, unless nulls is skip.",
     .source = "pandas Series.shift",
     .inputs_min = 1,
     .inputs_max = 1,
     .texts = true,
     .windows = WINDOW_ALL_ONLY,
     .params = back_params,
     .acc_size = ring_size,
     .init = ring_init,
     .add = ring_add,
     .value = lag_value},
    {BACK, .name = "difference", .doc = "The newest value less the one n records before it.", .formula = "x_t - x_(t-n)", .unit = "as the column",
     .edges = "Fewer than n + 1 records, or either value null: null. Records whose value is null are counted unless nulls is skip.",
     .source = "pandas Series.diff", .value = difference_value},
    {BACK, .name = "relative_change", .doc = "The change of the newest value against the one n records before it, as a share of that.",
     .formula = "(x_t - x_(t-n)) / x_(t-n)", .unit = "ratio",
     .edges = "Fewer than n + 1 records, either value null, or the earlier one 0: null. Records whose value is null are counted unless nulls is skip.",
     .source = "pandas Series.pct_change(fill_method=None)", .value = relative_change_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "rate_of_change",
     .doc = "The change of the newest value against the one n records before it, per time between them.",
     .formula = "(x_t - x_(t-n)) / ((t - t_(t-n)) / per)",
     .unit = "as the column, per `per`",
     .edges = "Fewer than n + 1 records, either value null, or both at the same time: null. Records whose value is null are counted unless nulls is skip.",
     .source = "difference quotient",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WINDOW_ALL_ONLY,
     .params = rate_params,
     .acc_size = timed_ring_size,
     .init = timed_ring_init,
     .add = timed_ring_add,
     .value = rate_of_change_value},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "time_since",
     .doc = "Time since the newest record or, with a condition, since the newest one for which it was true.",
     .formula = "t - max t_i (of the i with c_i)",
     .unit = "s",
     .edges = "No such record: null. A null condition is not true.",
     .source = "recency of RFM analysis",
     .inputs_min = 0,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_EVERY,
     .acc_size = mark_size,
     .init = mark_init,
     .add = true_add,
     .value = mark_age,
     .merge = last_merge},
    {ONE_INPUT, .name = "time_since_max", .doc = "Time since the largest value; of equal ones the newest.", .formula = "t - t_argmax(x)", .unit = "s",
     .edges = "Empty or all null: null. Nulls are passed over.", .source = "Aroon indicator (Chande 1995), in time", .acc_size = mark_size, .init = mark_init,
     .add = max_add, .value = mark_age, .merge = max_merge},
    {ONE_INPUT, .name = "time_since_min", .doc = "Time since the smallest value; of equal ones the newest.", .formula = "t - t_argmin(x)", .unit = "s",
     .edges = "Empty or all null: null. Nulls are passed over.", .source = "Aroon indicator (Chande 1995), in time", .acc_size = mark_size, .init = mark_init,
     .add = min_add, .value = mark_age, .merge = min_merge},
    {ONE_INPUT_OR_TEXT, .name = "time_since_change", .doc = "Time since the value became what it is now.",
     .formula = "t - max t_i of the i with x_i != x_(i-1)", .unit = "s",
     .edges = "Empty or all null: null. Never changed: since the first record. Nulls are passed over.", .source = "age of the current run of equal values",
     .acc_size = changes_size, .init = changes_init, .add = changes_add, .value = changes_age, .merge = changes_merge},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "time_between",
     .doc = "Time between consecutive records or, with a condition, between those for which it is true.",
     .formula = "mean, min, max or std of t_i - t_(i-1); mean = (t_n - t_1) / (n - 1)",
     .unit = "s",
     .edges = "Fewer than two records (std: three): null.",
     .source = "interpurchase time of RFM analysis",
     .inputs_min = 0,
     .inputs_max = 1,
     .windows = WEIR_WINDOWS_EVERY,
     .params = between_params,
     .acc_size = gaps_size,
     .init = gaps_init,
     .add = gaps_add,
     .value = gaps_value,
     .merge = gaps_merge},
    {ONE_INPUT, .name = "streak", .doc = "How long a condition has been true without a break: over the newest records, up to the newest.",
     .formula = "max k with c_n, ..., c_(n-k+1) all true; or t_n - t_(n-k+1)", .unit = "records, or s",
     .edges = "Empty, or the newest is not true: 0. Null is not true.", .source = "current run length", .params = streak_params, .eval = streak_eval,
     .acc_size = run_size, .init = run_init, .add = run_add, .value = run_value, .merge = run_merge},
    {ONE_INPUT_OR_TEXT, .name = "change_count", .doc = "How often the value changed from one record to the next.", .formula = "#{i > 1: x_i != x_(i-1)}",
     .unit = "count", .edges = "Empty or a single record: 0. Nulls are passed over.", .source = "pandas (x != x.shift()).sum() - 1, nulls dropped",
     .eval = change_count_eval, .acc_size = changes_size, .init = changes_init, .add = changes_add, .value = changes_value, .merge = changes_merge},
    {ONE_INPUT, .name = "count_above", .doc = "How many values are above a threshold.", .formula = "#{i: x_i > threshold}", .unit = "count, or ratio",
     .edges = "Empty or all null: count 0, share null. Nulls are passed over.", .source = "tsfresh count_above", .params = beyond_params, .eval = above_eval,
     .acc_size = beyond_size, .init = beyond_init, .add = above_add, .value = beyond_value, .merge = beyond_merge},
    {ONE_INPUT, .name = "count_below", .doc = "How many values are below a threshold.", .formula = "#{i: x_i < threshold}", .unit = "count, or ratio",
     .edges = "Empty or all null: count 0, share null. Nulls are passed over.", .source = "tsfresh count_below", .params = beyond_params, .eval = below_eval,
     .acc_size = beyond_size, .init = beyond_init, .add = below_add, .value = beyond_value, .merge = beyond_merge},
    {ONE_INPUT, .name = "quantile", .doc = "The q-quantile. Windows whose records are at hand: exact; folded: exact to bins / 2 values, then a sketch.",
     .formula = "x_(floor h) + (h - floor h) (x_(floor h + 1) - x_(floor h)), h = (n - 1) q, from 0", .unit = "as the column",
     .edges = "Empty or all null: null. A single value: that. Nulls are passed over.",
     .source = "Hyndman and Fan (1996) type 7, as numpy.quantile; sketch: DDSketch with uniform collapse (UDDSketch)", .params = quantile_params,
     .prepare = quantile_prepare, .eval = quantile_eval, .acc_size = quantile_size, .init = quantile_init, .add = quantile_add, .value = quantile_value,
     .merge = quantile_merge,
     .tile_error = "relative error `error` at each of the two neighbours while their magnitudes span less than ((1 + error) / (1 - error))^bins, doubled with "
                   "each doubling of that exponent"},
    {ONE_INPUT, .name = "median", .doc = "The middle value. Windows whose records are at hand: exact; folded: exact to bins / 2 values, then a sketch.",
     .formula = "quantile with q = 0.5", .unit = "as the column", .edges = "Empty or all null: null. A single value: that. Nulls are passed over.",
     .source = "numpy.median; sketch: DDSketch with uniform collapse (UDDSketch)", .params = median_params, .prepare = quantile_prepare, .eval = median_eval,
     .acc_size = quantile_size, .init = quantile_init, .add = quantile_add, .value = median_value, .merge = quantile_merge, .tile_error = "as quantile"},
    {ONE_INPUT, .name = "iqr", .doc = "The interquartile range. Windows whose records are at hand: exact; folded: exact to bins / 2 values, then a sketch.",
     .formula = "quantile(0.75) - quantile(0.25)", .unit = "as the column", .edges = "Empty or all null: null. A single value: 0. Nulls are passed over.",
     .source = "scipy.stats.iqr; sketch: DDSketch with uniform collapse (UDDSketch)", .params = median_params, .prepare = quantile_prepare, .eval = iqr_eval,
     .acc_size = quantile_size, .init = quantile_init, .add = quantile_add, .value = iqr_value, .merge = quantile_merge,
     .tile_error = "the errors of both quantiles, as quantile: at most error × (|q25| + |q75|)"},
    {.abi = WEIR_OPERATOR_ABI,
     .name = "percent_rank",
     .doc = "Where the newest value stands among the values of the window; the largest has 1.",
     .formula = "(#{x_i < x_n} + (#{x_i = x_n} + 1) / 2) / n",
     .unit = "ratio",
     .edges = "Empty or all null: null. A single value: 1. Nulls are passed over.",
     .source = "pandas Rolling.rank(pct=True)",
     .inputs_min = 1,
     .inputs_max = 1,
     .windows = WINDOWS_AT_HAND,
     .eval = percent_rank_eval},
    {ONE_INPUT_OR_TEXT, .name = "distinct_count",
     .doc = "How many different values there are. Windows whose records are at hand: exact; folded: exact to 2^precision / 8, then HyperLogLog.",
     .formula = "#{x_i}", .unit = "count", .edges = "Empty or all null: 0. Nulls are passed over; -0 is 0.",
     .source = "pandas nunique; HyperLogLog (Flajolet et al. 2007) with Ertl's estimator (2017)", .params = distinct_params, .eval = distinct_eval,
     .acc_size = distinct_size, .init = distinct_init, .add = distinct_add, .value = distinct_value, .merge = distinct_merge,
     .tile_error = "relative standard error 1.04 / sqrt(2^precision) beyond 2^precision / 8 values: 2.3 % beyond 256"},
    {ONE_INPUT_OR_TEXT, .name = "most_frequent",
     .doc = "The value that occurs most often, of equally frequent ones that with the newest record. Windows whose records are at hand: exact; folded: exact "
            "to `slots` different ones.",
     .formula = "argmax_v #{i: x_i = v}", .unit = "as the column, count, or ratio", .edges = "Empty or all null: null. Nulls are passed over.",
     .source = "Misra and Gries (1982); merge: Agarwal et al. (2012)", .params = frequent_params, .eval = frequent_eval, .acc_size = frequent_size,
     .init = frequent_init, .add = frequent_add, .value = frequent_value, .merge = frequent_merge,
     .tile_error = "beyond `slots` different values a count is too small by at most records / (slots + 1)"},
    {.name = NULL},
};
