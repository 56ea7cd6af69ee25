/* Correlations of numeric columns; see profile_internal.h. */
#include <math.h>
#include <stdlib.h>

#include "features/profile_internal.h"
#include "features/sort.h"

enum { SAMPLE_VALUES = 1 << 20, SAMPLE_ROWS_MIN = 16384, SAMPLE_ROWS_MAX = 50000 };

weir_status profile_sample_init(profile_sample *sample, const weir_profile *profile, weir_err *err) {
    *sample = (profile_sample){.random = UINT64_C(0x9e3779b97f4a7c15)};
    for (int i = 0; i < profile->column_count && sample->column_count < WEIR_PROFILE_PAIRS_MAX; i++) {
        weir_profile_type type = profile->columns[i].field.type;
        if (type == WEIR_PROFILE_NUMBER || type == WEIR_PROFILE_BOOL) sample->columns[sample->column_count++] = i;
    }
    if (!sample->column_count) return WEIR_OK;
    sample->capacity = SAMPLE_VALUES / sample->column_count;
    if (sample->capacity < SAMPLE_ROWS_MIN) sample->capacity = SAMPLE_ROWS_MIN;
    if (sample->capacity > SAMPLE_ROWS_MAX) sample->capacity = SAMPLE_ROWS_MAX;
    sample->values = weir_mem.realloc(NULL, (size_t)sample->capacity * (size_t)sample->column_count * sizeof(double));
    return sample->values ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a sample of %lld rows", (long long)sample->capacity);
}

void profile_sample_done(profile_sample *sample) {
    free(sample->values);
}

void profile_sample_add(profile_sample *sample, const weir_datum *row) {
    int64_t at = sample->seen++;
    if (!sample->column_count) return;
    if (at >= sample->capacity) {
        sample->random ^= sample->random << 13; /* xorshift64, Marsaglia 2003 */
        sample->random ^= sample->random >> 7;
        sample->random ^= sample->random << 17;
        at = (int64_t)(sample->random % (uint64_t)sample->seen);
        if (at >= sample->capacity) return;
    } else {
        sample->held++;
    }
    for (int i = 0; i < sample->column_count; i++) {
        double v = weir_datum_number(&row[sample->columns[i]]);
        sample->values[(int64_t)i * sample->capacity + at] = isfinite(v) ? v : NAN;
    }
}

/* Pearson's r of n pairs, in two passes; NaN when one does not vary. */
static double pearson(const double *x, const double *y, int n) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    if (n < 2) return NAN;
    for (int i = 0; i < n; i++) {
        mx += x[i];
        my += y[i];
    }
    mx /= n;
    my /= n;
    for (int i = 0; i < n; i++) {
        double dx = x[i] - mx, dy = y[i] - my;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    return xx > 0 && yy > 0 ? fmin(fmax(xy / sqrt(xx) / sqrt(yy), -1), 1) : NAN;
}

/* Ranks from 1, equal values share their mean rank. */
static void rank(const double *values, int n, weir_pair *pairs, double *ranks) {
    for (int i = 0; i < n; i++) pairs[i] = (weir_pair){values[i], i};
    weir_sort_pairs(pairs, n);
    for (int i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && pairs[end].key == pairs[i].key; end++) continue;
        for (int k = i; k < end; k++) ranks[(int)pairs[k].with] = (i + 1 + end) / 2.0;
    }
}

/* Room for one pair of columns. */
typedef struct scratch {
    double *x, *y, *rank_x, *rank_y, *whole; /* [n]; whole: ranks of the columns without nulls, [column][n] */
    bool full[WEIR_PROFILE_PAIRS_MAX]; /* the column has no null */
    weir_pair *pairs; /* [n] */
} scratch;

static void correlate(const profile_sample *s, int a, int b, scratch *t, double *ret_pearson, double *ret_spearman) {
    const double *x = s->values + (int64_t)a * s->capacity, *y = s->values + (int64_t)b * s->capacity;
    int n = 0, held = (int)s->held;
    if (t->full[a] && t->full[b]) {
        *ret_pearson = pearson(x, y, held);
        *ret_spearman = pearson(t->whole + (int64_t)a * held, t->whole + (int64_t)b * held, held);
        return;
    }
    for (int i = 0; i < held; i++) {
        if (isnan(x[i]) || isnan(y[i])) continue;
        t->x[n] = x[i];
        t->y[n++] = y[i];
    }
    rank(t->x, n, t->pairs, t->rank_x);
    rank(t->y, n, t->pairs, t->rank_y);
    *ret_pearson = pearson(t->x, t->y, n);
    *ret_spearman = pearson(t->rank_x, t->rank_y, n);
}

static void rank_whole(const profile_sample *s, scratch *t) {
    int held = (int)s->held;
    for (int c = 0; c < s->column_count; c++) {
        const double *x = s->values + (int64_t)c * s->capacity;
        t->full[c] = true;
        for (int i = 0; i < held; i++) t->full[c] &= !isnan(x[i]);
        if (t->full[c]) rank(x, held, t->pairs, t->whole + (int64_t)c * held);
    }
}

weir_status profile_correlate(profile_sample *s, weir_profile *p, weir_err *err) {
    size_t k = (size_t)s->column_count, n = (size_t)s->held + 1;
    scratch t = {0};
    p->pair_count = s->column_count;
    p->sample_rows = s->held;
    memcpy(p->pair_columns, s->columns, sizeof(p->pair_columns));
    if (!k) return WEIR_OK;
    double *room = weir_mem.realloc(NULL, (4 + k) * n * sizeof(double));
    t.pairs = weir_mem.realloc(NULL, n * sizeof(*t.pairs));
    p->pearson = weir_mem.realloc(NULL, k * k * sizeof(double));
    p->spearman = weir_mem.realloc(NULL, k * k * sizeof(double));
    bool ok = room && t.pairs && p->pearson && p->spearman;
    if (ok) {
        t.x = room;
        t.y = t.x + n;
        t.rank_x = t.y + n;
        t.rank_y = t.rank_x + n;
        t.whole = t.rank_y + n;
        rank_whole(s, &t);
        for (size_t a = 0; a < k; a++) {
            for (size_t b = a; b < k; b++) {
                correlate(s, (int)a, (int)b, &t, &p->pearson[a * k + b], &p->spearman[a * k + b]);
                p->pearson[b * k + a] = p->pearson[a * k + b];
                p->spearman[b * k + a] = p->spearman[a * k + b];
            }
        }
    }
    free(room);
    free(t.pairs);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the correlations of %zu columns", k);
}
