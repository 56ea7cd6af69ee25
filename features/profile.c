/* Profiling in two readings; see profile.h. */
#include "features/profile.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "features/profile_internal.h"

enum { DISTINCT_PRECISION = 13, QUANTILE_BINS = 4000, FREQUENT_SLOTS = 500, PROGRESS_ROWS = 16384 };
enum { ROWS_KNOWN_MAX = 1 << 22 };
#define QUANTILE_ERROR 0.005

const double weir_profile_quantiles[WEIR_PROFILE_QUANTILES] = {0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99};
enum { Q1 = 2, Q3 = 4 };
const char *const weir_profile_type_names[] = {"number", "boolean", "text", "time"};

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the profile");
}

static void *zeroed(size_t size) {
    void *p = weir_mem.realloc(NULL, size + 1);
    return p ? memset(p, 0, size + 1) : NULL;
}

/* What is kept of a column while rows are read. */
typedef struct gauge {
    int64_t count;
    double mean, m2; /* Welford, Technometrics 4 (1962) */
    weir_distinct *distinct;
    weir_quantiles *quantiles; /* numbers */
    weir_frequent *frequent; /* not of times */
    double q1, q3; /* second reading */
} gauge;

typedef struct work {
    const weir_profile_source *source;
    weir_profile *profile;
    gauge *gauges; /* [column_count] */
    uint64_t *known; /* [2 × ROWS_KNOWN_MAX] hashes of rows, open addressing; 0: free */
    int64_t known_count;
    weir_distinct *rows_distinct; /* for more rows than that */
    profile_sample sample;
    profile_times *times;
    int64_t seen;
    const char *step;
} work;

/* --- first reading --- */

static uint64_t hash_datum(uint64_t hash, const weir_datum *d) {
    const unsigned char *p = d->type >= WEIR_T_STR ? (const unsigned char *)d->p : (const unsigned char *)&d->i;
    size_t len = d->type == WEIR_T_NULL ? 0 : d->type >= WEIR_T_STR ? d->len : sizeof(d->i);
    hash = (hash ^ d->type) * UINT64_C(1099511628211);
    for (; len--; p++) hash = (hash ^ *p) * UINT64_C(1099511628211);
    return (hash ^ 0xff) * UINT64_C(1099511628211); /* where a value ends */
}

static void know_row(work *w, const weir_datum *row) {
    uint64_t hash = UINT64_C(14695981039346656037), mask = 2 * (uint64_t)ROWS_KNOWN_MAX - 1;
    for (int i = 0; i < w->profile->column_count; i++) hash = hash_datum(hash, &row[i]);
    hash ^= hash >> 29;
    hash *= UINT64_C(0xbf58476d1ce4e5b9);
    hash ^= hash >> 32;
    weir_distinct_add(w->rows_distinct, (double)(hash >> 11));
    if (w->known_count >= ROWS_KNOWN_MAX) {
        w->profile->duplicates_exact = false;
        return;
    }
    uint64_t mark = hash ? hash : 1, at = mark & mask;
    while (w->known[at] && w->known[at] != mark) at = (at + 1) & mask;
    w->profile->duplicates += w->known[at] == mark;
    w->known_count += !w->known[at];
    w->known[at] = mark;
}

static int64_t characters(const weir_datum *d) {
    int64_t n = 0;
    for (uint32_t i = 0; i < d->len; i++) n += (d->p[i] & 0xc0) != 0x80;
    return n;
}

static bool is_missing(const weir_datum *d) {
    return d->type == WEIR_T_NULL || (d->type == WEIR_T_F64 && !isfinite(d->f));
}

static void gauge_value(weir_profile_column *c, gauge *g, const weir_datum *d) {
    if (is_missing(d)) {
        c->missing++;
        return;
    }
    double v = weir_check_number(d);
    g->count++;
    weir_distinct_add(g->distinct, v);
    if (g->frequent) weir_frequent_add(g->frequent, v);
    if (c->field.type == WEIR_PROFILE_TEXT) {
        int64_t n = characters(d);
        if (g->count == 1 || n < c->min_length) c->min_length = n;
        if (n > c->max_length) c->max_length = n;
        return;
    }
    if (!(c->min <= v)) c->min = v;
    if (!(c->max >= v)) c->max = v;
    if (!g->quantiles) return; /* a time */
    double delta = v - g->mean;
    g->mean += delta / (double)g->count;
    g->m2 += delta * (v - g->mean);
    c->zeros += v == 0;
    weir_quantiles_add(g->quantiles, v);
}

static void tick(work *w) {
    if (w->source->progress && ++w->seen % PROGRESS_ROWS == 0) w->source->progress(w->source->progress_context, w->step, w->seen);
}

static weir_status first_row(void *context, const weir_datum *row, weir_err *err) {
    work *w = context;
    w->profile->rows++;
    for (int i = 0; i < w->profile->column_count; i++) gauge_value(&w->profile->columns[i], &w->gauges[i], &row[i]);
    know_row(w, row);
    profile_sample_add(&w->sample, row);
    tick(w);
    return w->times ? profile_times_add(w->times, row, err) : WEIR_OK;
}

/* --- between --- */

static void set_histogram(weir_profile_column *c, double q1, double q3) {
    double iqr = q3 - q1, low = c->min, high = c->max; /* a few absurd values shall not flatten all others */
    if (iqr > 0) {
        low = fmax(low, q1 - 3 * iqr);
        high = fmin(high, q3 + 3 * iqr);
    }
    c->histogram_low = low;
    /* 1 more than 2^53 is the same number */
    c->histogram_high = high > low ? high : fmin(low + fmax(1, 1e-9 * fabs(low)), DBL_MAX);
}

/* By halves: the range of all finite numbers is none itself. */
static int histogram_bin(const weir_profile_column *c, double v) {
    double place = (v / 2 - c->histogram_low / 2) / (c->histogram_high / 2 - c->histogram_low / 2) * WEIR_PROFILE_HISTOGRAM;
    return !(place >= 0) ? 0 : place >= WEIR_PROFILE_HISTOGRAM ? WEIR_PROFILE_HISTOGRAM - 1 : (int)place;
}

/* Tenths of the values as bins, fewer where many are equal. */
static void set_bins(weir_profile_column *c, const weir_quantiles *quantiles) {
    int n = 0;
    for (int i = 1; i < 10; i++) {
        double edge = weir_quantiles_value(quantiles, i / 10.0);
        if (!n || edge > c->bins.edges[n - 1]) c->bins.edges[n++] = edge;
    }
    c->bins.count = n + 1;
}

static int by_count(const void *a, const void *b) {
    const weir_frequent_slot *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->value > y->value) - (x->value < y->value);
}

static void choose_top(weir_profile_column *c, weir_frequent *frequent) {
    qsort(frequent->slot, frequent->held, sizeof(*frequent->slot), by_count); /* nothing is added any more */
    int n = frequent->held < WEIR_PROFILE_TOP ? (int)frequent->held : WEIR_PROFILE_TOP;
    for (int i = 0; i < n; i++) c->top[i] = (weir_profile_value){.number = frequent->slot[i].value};
    if (c->field.type != WEIR_PROFILE_TEXT) return;
    c->bins.texts = true;
    c->bins.count = n + 1;
}

static void settle(weir_profile_column *c, gauge *g) {
    c->distinct = weir_distinct_value(g->distinct);
    c->distinct_error = g->distinct->sketched ? 1.04 / sqrt((double)(1 << DISTINCT_PRECISION)) : 0;
    if (!g->count) return;
    if (g->frequent) choose_top(c, g->frequent);
    if (!g->quantiles) return;
    c->mean = g->mean;
    if (g->count > 1) c->std = sqrt(g->m2 / (double)(g->count - 1));
    for (int i = 0; i < WEIR_PROFILE_QUANTILES; i++) c->quantiles[i] = weir_quantiles_value(g->quantiles, weir_profile_quantiles[i]);
    c->quantile_error = weir_quantiles_error(g->quantiles);
    g->q1 = c->quantiles[Q1];
    g->q3 = c->quantiles[Q3];
    set_histogram(c, g->q1, g->q3);
    set_bins(c, g->quantiles);
}

/* --- second reading --- */

static bool count_top(weir_profile_column *c, const weir_datum *d, double v) {
    for (int i = 0; i < WEIR_PROFILE_TOP; i++) {
        weir_profile_value *top = &c->top[i];
        if (top->number != v) continue;
        if (c->field.type == WEIR_PROFILE_TEXT && !top->text) {
            if (!(top->text = zeroed(d->len))) return false;
            memcpy(top->text, d->p, d->len);
        }
        top->count++;
        if (c->bins.texts) c->bin_counts[i]++;
        return true;
    }
    if (c->bins.texts) c->bin_counts[c->bins.count - 1]++;
    return true;
}

static bool count_value(weir_profile_column *c, const gauge *g, const weir_datum *d) {
    if (is_missing(d)) {
        c->bin_counts[c->bins.count]++;
        return true;
    }
    double v = weir_check_number(d);
    if (g->frequent && !count_top(c, d, v)) return false;
    if (!g->quantiles) return true;
    double iqr = g->q3 - g->q1;
    c->histogram[histogram_bin(c, v)]++;
    c->iqr_outliers += v < g->q1 - 1.5 * iqr || v > g->q3 + 1.5 * iqr;
    c->z_outliers += fabs(v - c->mean) > 3 * c->std;
    c->bin_counts[weir_bins_of(&c->bins, d)]++;
    return true;
}

static weir_status second_row(void *context, const weir_datum *row, weir_err *err) {
    work *w = context;
    for (int i = 0; i < w->profile->column_count; i++) {
        if (!count_value(&w->profile->columns[i], &w->gauges[i], &row[i])) return no_memory(err);
    }
    tick(w);
    return WEIR_OK;
}

static int by_exact_count(const void *a, const void *b) {
    const weir_profile_value *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static void conclude(weir_profile *p) {
    for (int i = 0; i < p->column_count; i++) {
        weir_profile_column *c = &p->columns[i];
        for (int k = 0; c->bins.count && k <= c->bins.count; k++) c->bins.expected[k] = (double)c->bin_counts[k] / (double)p->rows;
        if (!c->bins.texts) qsort(c->top, WEIR_PROFILE_TOP, sizeof(*c->top), by_exact_count); /* bins of texts name places in it */
    }
}

/* --- all --- */

static weir_status open_gauge(gauge *g, weir_profile_column *c, weir_err *err) {
    bool numbers = c->field.type == WEIR_PROFILE_NUMBER || c->field.type == WEIR_PROFILE_BOOL;
    c->min = c->max = c->mean = c->std = NAN;
    for (int i = 0; i < WEIR_PROFILE_QUANTILES; i++) c->quantiles[i] = NAN;
    for (int i = 0; i < WEIR_PROFILE_TOP; i++) c->top[i].number = NAN;
    if (!(g->distinct = zeroed(weir_distinct_size(DISTINCT_PRECISION)))) return no_memory(err);
    weir_distinct_init(g->distinct, DISTINCT_PRECISION);
    if (c->field.type != WEIR_PROFILE_TIME) {
        if (!(g->frequent = zeroed(weir_frequent_size(FREQUENT_SLOTS)))) return no_memory(err);
        weir_frequent_init(g->frequent, FREQUENT_SLOTS);
    }
    if (!numbers) return WEIR_OK;
    if (!(g->quantiles = zeroed(weir_quantiles_size(QUANTILE_BINS)))) return no_memory(err);
    weir_quantiles_init(g->quantiles, QUANTILE_BINS, QUANTILE_ERROR);
    return WEIR_OK;
}

static weir_status open_work(work *w, weir_err *err) {
    weir_profile *p = w->profile;
    size_t n = (size_t)w->source->field_count;
    p->columns = zeroed(n * sizeof(*p->columns));
    w->gauges = zeroed(n * sizeof(*w->gauges));
    w->known = zeroed(2 * (size_t)ROWS_KNOWN_MAX * sizeof(*w->known));
    w->rows_distinct = zeroed(weir_distinct_size(DISTINCT_PRECISION));
    if (!p->columns || !w->gauges || !w->known || !w->rows_distinct) return no_memory(err);
    weir_distinct_init(w->rows_distinct, DISTINCT_PRECISION);
    p->duplicates_exact = true;
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < w->source->field_count; i++) {
        weir_profile_column *c = &p->columns[p->column_count];
        c->field = w->source->fields[i];
        status = open_gauge(&w->gauges[p->column_count++], c, err);
    }
    if (!status) status = profile_sample_init(&w->sample, p, err);
    if (!status && w->source->time >= 0) status = profile_times_new(w->source->time, w->source->entity, &w->times, err);
    return status;
}

static void close_work(work *w) {
    for (int i = 0; w->gauges && i < w->profile->column_count; i++) {
        free(w->gauges[i].distinct);
        free(w->gauges[i].quantiles);
        free(w->gauges[i].frequent);
    }
    free(w->gauges);
    free(w->known);
    free(w->rows_distinct);
    profile_sample_done(&w->sample);
    profile_times_free(w->times);
}

static weir_status read_twice(work *w, weir_err *err) {
    weir_profile *p = w->profile;
    w->step = "reading";
    weir_status status = w->source->scan(w->source->context, first_row, w, err);
    if (status) return status;
    if (!p->rows) return WEIR_FAIL(err, WEIR_EDATA, "there are no rows");
    if (!p->duplicates_exact) p->duplicates = (int64_t)fmax((double)p->rows - weir_distinct_value(w->rows_distinct), 0);
    for (int i = 0; i < p->column_count; i++) settle(&p->columns[i], &w->gauges[i]);
    w->seen = 0;
    w->step = "counting";
    if ((status = w->source->scan(w->source->context, second_row, w, err))) return status;
    conclude(p);
    if ((status = profile_correlate(&w->sample, p, err))) return status;
    if (w->times && (status = profile_times_end(w->times, &p->coverage, err))) return status;
    return profile_judge(p, err);
}

weir_status weir_profile_make(const weir_profile_source *source, weir_profile **ret_profile, weir_err *err) {
    work w = {.source = source, .profile = zeroed(sizeof(weir_profile))};
    if (!w.profile) return no_memory(err);
    weir_status status = open_work(&w, err);
    if (!status) status = read_twice(&w, err);
    close_work(&w);
    if (status)
        weir_profile_free(w.profile);
    else
        *ret_profile = w.profile;
    return status;
}

void weir_profile_free(weir_profile *profile) {
    if (!profile) return;
    for (int i = 0; i < profile->column_count; i++) {
        for (int k = 0; k < WEIR_PROFILE_TOP; k++) free(profile->columns[i].top[k].text);
    }
    for (int i = 0; i < profile->coverage.gaps_shown; i++) free(profile->coverage.gaps[i].entity);
    for (int i = 0; i < profile->verdict_count; i++) free(profile->verdicts[i]);
    free(profile->verdicts);
    free(profile->columns);
    free(profile->pearson);
    free(profile->spearman);
    free(profile);
}
