/* Plans of folds.
 *
 * Schemes that do not go by time give every row the number of the fold that tests it. Schemes by time keep, for every fold, the times at which its parts begin
 * and end:
 *
 *     train [from, to)   gap   validation [from, to)   gap   test [from, to)
 *
 * so that rows of one time are always in one part, and a row's role is found from its time alone. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "models/memory.h"
#include "models/random.h"
#include "models/split.h"

static const int64_t TIME_MAX_US = INT64_C(1) << 60; /* sums of a time and four durations do not overflow */

typedef struct span {
    int64_t from_us, to_us; /* half-open */
} span;

/* One fold. */
typedef struct window {
    uint32_t tenant;
    int number; /* of the fold among its tenant's */
    span train, validation, test; /* schemes by time */
    int64_t quiet_until_us; /* purged_k_fold: training rows up to here are left out if their label is known at test.from_us or later; else INT64_MIN */
} window;

struct weir_split_plan {
    weir_split split;
    weir_split_rows rows;
    bool by_time;
    uint16_t *fold_of; /* [row_count] the fold that tests a row; NULL by time */
    window *windows; /* [fold_count] */
    int fold_count, window_room;
};

typedef struct keyed {
    int64_t key, row;
} keyed;

/* Rows that are split together: all of them, or one tenant's. */
typedef struct subset {
    uint32_t tenant;
    int64_t count;
    const int64_t *row; /* [count] ascending */
    keyed *sorted, *spare; /* [count] scratch */
    uint64_t *random;
} subset;

static int by_key(const void *left, const void *right) {
    const keyed *a = left, *b = right;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static void sort_rows(keyed *rows, int64_t count) {
    qsort(rows, (size_t)count, sizeof *rows, by_key);
}

static void shuffle_rows(keyed *rows, int64_t count, uint64_t *random) {
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t other = (int64_t)weir_models_random_below(random, (uint64_t)i + 1);
        keyed row = rows[i];
        rows[i] = rows[other];
        rows[other] = row;
    }
}

/* Where the run of equal keys that begins at `from` ends. */
static int64_t run_end(const keyed *rows, int64_t count, int64_t from) {
    int64_t end = from;
    while (end < count && rows[end].key == rows[from].key) end++;
    return end;
}

/* First row of block f of `folds`: the first count mod folds blocks have one row more. */
static int64_t block_start(int64_t count, int64_t folds, int64_t f) {
    int64_t longer = count % folds;
    return f * (count / folds) + (f < longer ? f : longer);
}

static weir_status too_few(const weir_split_plan *plan, const subset *s, const char *what, int64_t found, int64_t expected, weir_err *err) {
    const char *name = weir_split_schemes()[plan->split.scheme].name;
    if (plan->split.tenants != WEIR_TENANTS_IGNORED)
        return WEIR_FAIL(err, WEIR_EDATA, "%s: tenant %u has %lld %s, expected at least %lld", name, s->tenant, (long long)found, what, (long long)expected);
    return WEIR_FAIL(err, WEIR_EDATA, "%s: found %lld %s, expected at least %lld", name, (long long)found, what, (long long)expected);
}

/* Room for one fold more; NULL when memory ran out. */
static window *add_fold(weir_split_plan *plan, const subset *s, int number) {
    if (plan->fold_count == plan->window_room) {
        int room = plan->window_room ? plan->window_room * 2 : 16;
        window *longer = weir_mem.realloc(plan->windows, (size_t)room * sizeof *longer);
        if (!longer) return NULL;
        plan->windows = longer;
        plan->window_room = room;
    }
    window *w = &plan->windows[plan->fold_count++];
    *w = (window){.tenant = s->tenant, .number = number, .quiet_until_us = INT64_MIN};
    return w;
}

static weir_status no_memory(const weir_split_plan *plan, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to split %lld rows", (long long)plan->rows.row_count);
}

/* Folds of a scheme that does not go by time. When tenants are pooled, the first of them adds the folds for all. */
static weir_status add_folds(weir_split_plan *plan, const subset *s, int folds, weir_err *err) {
    if (plan->split.tenants == WEIR_TENANTS_POOLED && plan->fold_count > 0) return WEIR_OK;
    for (int f = 0; f < folds; f++)
        if (!add_fold(plan, s, f)) return no_memory(plan, err);
    return WEIR_OK;
}

/* ---- not by time ---- */

static void take_rows(const subset *s) {
    for (int64_t i = 0; i < s->count; i++) s->sorted[i] = (keyed){.row = s->row[i]};
}

static weir_status plan_k_fold(weir_split_plan *plan, const subset *s, weir_err *err) {
    int folds = (int)plan->split.folds;
    if (s->count < folds) return too_few(plan, s, "rows", s->count, folds, err);
    take_rows(s);
    if (plan->split.shuffle) shuffle_rows(s->sorted, s->count, s->random);
    for (int f = 0; f < folds; f++)
        for (int64_t i = block_start(s->count, folds, f); i < block_start(s->count, folds, f + 1); i++) plan->fold_of[s->sorted[i].row] = (uint16_t)f;
    return add_folds(plan, s, folds, err);
}

/* Classes are ordered by the row in which they first occur; rows of the list of all classes, one after the other, are dealt to the folds in turn, which says
 * how many rows of a class each fold gets. Source: scikit-learn, StratifiedKFold._make_test_folds. */
static weir_status plan_stratified(weir_split_plan *plan, const subset *s, weir_err *err) {
    int folds = (int)plan->split.folds;
    if (s->count < folds) return too_few(plan, s, "rows", s->count, folds, err);
    for (int64_t i = 0; i < s->count; i++) {
        double label = plan->rows.label[s->row[i]];
        if (!(fabs(label) <= 0x1p53) || label != floor(label))
            return WEIR_FAIL(err, WEIR_EDATA, "stratified_k_fold: label of row %lld is %g, expected a whole number", (long long)s->row[i], label);
        s->sorted[i] = (keyed){(int64_t)label, s->row[i]};
    }
    sort_rows(s->sorted, s->count);
    for (int64_t from = 0, end; from < s->count; from = end) {
        end = run_end(s->sorted, s->count, from);
        for (int64_t i = from; i < end; i++) s->spare[i] = (keyed){s->sorted[from].row, s->sorted[i].row};
    }
    sort_rows(s->spare, s->count);
    for (int64_t from = 0, end; from < s->count; from = end) {
        end = run_end(s->spare, s->count, from);
        if (plan->split.shuffle) shuffle_rows(s->spare + from, end - from, s->random);
        int64_t next = from;
        for (int f = 0; f < folds; f++) {
            int64_t first = from + (f - from % folds + folds) % folds; /* first place of this class that is dealt to fold f */
            for (int64_t dealt = first; dealt < end; dealt += folds) plan->fold_of[s->spare[next++].row] = (uint16_t)f;
        }
    }
    return add_folds(plan, s, folds, err);
}

/* Greedy: the largest group first, each to the fold with the fewest rows so far; of equals the smaller number. */
static weir_status plan_grouped(weir_split_plan *plan, const subset *s, weir_err *err) {
    int folds = (int)plan->split.folds;
    int64_t load[WEIR_FOLDS_MAX] = {0}, groups = 0;
    for (int64_t i = 0; i < s->count; i++) s->sorted[i] = (keyed){plan->rows.group[s->row[i]], s->row[i]};
    sort_rows(s->sorted, s->count);
    for (int64_t from = 0, end; from < s->count; from = end) {
        end = run_end(s->sorted, s->count, from);
        s->spare[groups++] = (keyed){from - end, from};
    }
    if (groups < folds) return too_few(plan, s, "groups", groups, folds, err);
    sort_rows(s->spare, groups);
    for (int64_t g = 0; g < groups; g++) {
        int lightest = 0;
        for (int f = 1; f < folds; f++)
            if (load[f] < load[lightest]) lightest = f;
        int64_t from = s->spare[g].row, size = -s->spare[g].key;
        for (int64_t i = from; i < from + size; i++) plan->fold_of[s->sorted[i].row] = (uint16_t)lightest;
        load[lightest] += size;
    }
    return add_folds(plan, s, folds, err);
}

/* A share of n rows, but neither none nor all. */
static int64_t share_of(double share, int64_t n) {
    int64_t count = llround(share * (double)n);
    return count < 1 ? 1 : count > n - 1 ? n - 1 : count;
}

static weir_status plan_drawn_holdout(weir_split_plan *plan, const subset *s, weir_err *err) {
    if (s->count < 2) return too_few(plan, s, "rows", s->count, 2, err);
    take_rows(s);
    shuffle_rows(s->sorted, s->count, s->random);
    int64_t tested = share_of(plan->split.test_share, s->count);
    for (int64_t i = 0; i < s->count; i++) plan->fold_of[s->sorted[i].row] = i < tested ? 0 : 1; /* fold 1 does not exist: these are never tested */
    return add_folds(plan, s, 1, err);
}

/* ---- by time; s->sorted holds rows in order of time ---- */

static weir_status sort_by_time(const weir_split_plan *plan, const subset *s, weir_err *err) {
    for (int64_t i = 0; i < s->count; i++) {
        int64_t row = s->row[i], time = plan->rows.time_us[row];
        if (time > TIME_MAX_US || time < -TIME_MAX_US)
            return WEIR_FAIL(err, WEIR_EDATA, "time of row %lld is %lld µs, expected one within 2^60 µs of 1970", (long long)row, (long long)time);
        s->sorted[i] = (keyed){time, row};
    }
    sort_rows(s->sorted, s->count);
    return WEIR_OK;
}

/* The time at which a part that begins with the i-th row begins; i = count: just after the last. */
static int64_t time_at(const subset *s, int64_t i) {
    return i < s->count ? s->sorted[i].key : s->sorted[s->count - 1].key + 1;
}

/* How many rows lie before time_us. */
static int64_t rows_before(const subset *s, int64_t time_us) {
    int64_t low = 0, high = s->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (s->sorted[middle].key < time_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The place nearest to i where the time changes; the earlier of two. */
static int64_t snap(const subset *s, int64_t i) {
    if (i <= 0) return 0;
    if (i >= s->count) return s->count;
    int64_t first = rows_before(s, s->sorted[i].key), next = rows_before(s, s->sorted[i].key + 1);
    return i - first <= next - i ? first : next;
}

static bool has_rows(const subset *s, span part) {
    return part.to_us > part.from_us && rows_before(s, part.to_us) > rows_before(s, part.from_us);
}

static weir_status empty_part(const weir_split_plan *plan, int fold, const char *what, weir_err *err) {
    return WEIR_FAIL(err, WEIR_EDATA, "%s: fold %d has no rows to %s: too few different times, or too long a gap",
                     weir_split_schemes()[plan->split.scheme].name, fold, what);
}

/* Training from the first row, `gap` before what follows. train_end and validation_end count rows; equal: no validation. */
static weir_status plan_parts(weir_split_plan *plan, const subset *s, int64_t train_end, int64_t validation_end, weir_err *err) {
    int64_t gap = plan->split.gap_us, middle = time_at(s, snap(s, train_end)), last = time_at(s, snap(s, validation_end));
    bool validates = train_end < validation_end;
    window *w = add_fold(plan, s, 0);
    if (!w) return no_memory(plan, err);
    w->train = (span){time_at(s, 0), middle - gap};
    if (validates) w->validation = (span){middle, last - gap};
    w->test = (span){last, time_at(s, s->count)};
    if (!has_rows(s, w->train)) return empty_part(plan, 0, "train on", err);
    if (validates && !has_rows(s, w->validation)) return empty_part(plan, 0, "validate on", err);
    if (!has_rows(s, w->test)) return empty_part(plan, 0, "test", err);
    return WEIR_OK;
}

static weir_status plan_late_holdout(weir_split_plan *plan, const subset *s, weir_err *err) {
    if (s->count < 2) return too_few(plan, s, "rows", s->count, 2, err);
    int64_t train = s->count - share_of(plan->split.test_share, s->count);
    return plan_parts(plan, s, train, train, err);
}

static weir_status plan_time_split(weir_split_plan *plan, const subset *s, weir_err *err) {
    const weir_split *split = &plan->split;
    bool validates = split->validation_share > 0;
    int64_t parts = validates ? 3 : 2;
    if (s->count < parts) return too_few(plan, s, "rows", s->count, parts, err);
    int64_t validation_end = share_of(split->train_share + split->validation_share, s->count), train_end = validation_end;
    if (validates) {
        if (validation_end < 2) validation_end = 2; /* every part has a row */
        train_end = llround(split->train_share * (double)s->count);
        train_end = train_end < 1 ? 1 : train_end > validation_end - 1 ? validation_end - 1 : train_end;
    }
    return plan_parts(plan, s, train_end, validation_end, err);
}

/* As scikit-learn's TimeSeriesSplit: test windows lie side by side (or `step` apart) and the last ends with the last row. */
static weir_status walk_by_rows(weir_split_plan *plan, const subset *s, weir_err *err) {
    const weir_split *split = &plan->split;
    int64_t folds = split->folds, test = split->test_rows ? split->test_rows : s->count / (folds + 1), step = split->step_rows ? split->step_rows : test;
    int64_t wanted = (folds - 1) * step + test + split->gap_rows + 1;
    if (test == 0) return too_few(plan, s, "rows", s->count, folds + 1, err);
    if (s->count < wanted) return too_few(plan, s, "rows", s->count, wanted, err);
    for (int64_t f = 0; f < folds; f++) {
        int64_t start = s->count - test - (folds - 1 - f) * step, test_from = snap(s, start), train_to = test_from - split->gap_rows;
        window *w = add_fold(plan, s, (int)f);
        if (!w) return no_memory(plan, err);
        w->test = (span){time_at(s, test_from), time_at(s, snap(s, start + test))};
        w->train = (span){time_at(s, split->rolling ? snap(s, train_to - split->train_rows) : 0), time_at(s, train_to > 0 ? train_to : 0)};
        if (!has_rows(s, w->train)) return empty_part(plan, (int)f, "train on", err);
        if (!has_rows(s, w->test)) return empty_part(plan, (int)f, "test", err);
    }
    return WEIR_OK;
}

static weir_status walk_by_duration(weir_split_plan *plan, const subset *s, weir_err *err) {
    const weir_split *split = &plan->split;
    int64_t start = time_at(s, 0), last = time_at(s, s->count) - 1, first_test = start + split->train_us + split->gap_us;
    int64_t count = last < first_test ? 0 : (last - first_test) / split->step_us + 1, skipped = 0;
    if (count == 0)
        return WEIR_FAIL(err, WEIR_EDATA, "walk_forward: the rows cover %.6g days, expected more than train and gap, which are %.6g",
                         (double)(last - start) / 86400e6, (double)(first_test - start) / 86400e6);
    if (split->folds && count > split->folds) skipped = count - split->folds;
    if (count - skipped > WEIR_FOLDS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "walk_forward: %lld test windows, expected at most %d: give a longer step, or folds", (long long)count,
                         WEIR_FOLDS_MAX);
    int number = 0;
    for (int64_t i = skipped; i < count; i++) {
        int64_t test_from = first_test + i * split->step_us, train_to = test_from - split->gap_us;
        span test = {test_from, test_from + split->test_us}, train = {split->rolling ? train_to - split->train_us : start, train_to};
        if (!has_rows(s, train) || !has_rows(s, test)) continue; /* a hole in the data */
        window *w = add_fold(plan, s, number++);
        if (!w) return no_memory(plan, err);
        w->train = train;
        w->test = test;
    }
    return number ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "walk_forward: no window has rows both to train on and to test");
}

static weir_status plan_walk_forward(weir_split_plan *plan, const subset *s, weir_err *err) {
    if (s->count < 2) return too_few(plan, s, "rows", s->count, 2, err);
    return plan->split.test_us ? walk_by_duration(plan, s, err) : walk_by_rows(plan, s, err);
}

static weir_status check_label_until(const weir_split_plan *plan, const subset *s, weir_err *err) {
    for (int64_t i = 0; i < s->count; i++) {
        int64_t row = s->row[i], until = plan->rows.label_until_us[row], time = plan->rows.time_us[row];
        if (until < time || until > TIME_MAX_US)
            return WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is known at %lld µs, expected a time from the row's %lld µs to 2^60 µs", (long long)row,
                             (long long)until, (long long)time);
    }
    return WEIR_OK;
}

static weir_status plan_purged(weir_split_plan *plan, const subset *s, weir_err *err) {
    int folds = (int)plan->split.folds;
    if (s->count < folds) return too_few(plan, s, "rows", s->count, folds, err);
    weir_status status = check_label_until(plan, s, err);
    if (status != WEIR_OK) return status;
    for (int f = 0; f < folds; f++) {
        int64_t from = snap(s, block_start(s->count, folds, f)), to = snap(s, block_start(s->count, folds, f + 1)), known_us = INT64_MIN;
        if (from >= to) return empty_part(plan, f, "test", err);
        for (int64_t i = from; i < to; i++) {
            int64_t until = plan->rows.label_until_us[s->sorted[i].row];
            if (until > known_us) known_us = until;
        }
        window *w = add_fold(plan, s, f);
        if (!w) return no_memory(plan, err);
        w->train = (span){time_at(s, 0), time_at(s, s->count)};
        w->test = (span){time_at(s, from), time_at(s, to)};
        w->quiet_until_us = known_us + plan->split.embargo_us;
    }
    return WEIR_OK;
}

/* ---- plans ---- */

static weir_status plan_subset(weir_split_plan *plan, const subset *s, weir_err *err) {
    if (plan->by_time) {
        weir_status status = sort_by_time(plan, s, err);
        if (status != WEIR_OK) return status;
    }
    switch ((weir_split_kind)plan->split.scheme) {
    case WEIR_SPLIT_HOLDOUT: return plan->by_time ? plan_late_holdout(plan, s, err) : plan_drawn_holdout(plan, s, err);
    case WEIR_SPLIT_K_FOLD: return plan_k_fold(plan, s, err);
    case WEIR_SPLIT_STRATIFIED_K_FOLD: return plan_stratified(plan, s, err);
    case WEIR_SPLIT_GROUPED_K_FOLD: return plan_grouped(plan, s, err);
    case WEIR_SPLIT_TIME: return plan_time_split(plan, s, err);
    case WEIR_SPLIT_WALK_FORWARD: return plan_walk_forward(plan, s, err);
    case WEIR_SPLIT_PURGED_K_FOLD: return plan_purged(plan, s, err);
    }
    return WEIR_FAIL(err, WEIR_EINVAL, "there is no scheme number %d", plan->split.scheme);
}

/* row [n] is filled with the numbers of all rows, tenant by tenant; sorted and spare [n] are scratch. */
static weir_status plan_tenants(weir_split_plan *plan, int64_t *row, keyed *sorted, keyed *spare, weir_err *err) {
    const weir_split_rows *rows = &plan->rows;
    bool ignored = plan->split.tenants == WEIR_TENANTS_IGNORED;
    uint64_t random = (uint64_t)plan->split.seed;
    weir_status status = WEIR_OK;
    for (int64_t i = 0; i < rows->row_count; i++) sorted[i] = (keyed){ignored ? 0 : rows->tenant[i], i};
    if (!ignored) sort_rows(sorted, rows->row_count);
    for (int64_t i = 0; i < rows->row_count; i++) row[i] = sorted[i].row;
    for (int64_t from = 0, end; status == WEIR_OK && from < rows->row_count; from = end) {
        uint32_t tenant = ignored ? 0 : rows->tenant[row[from]];
        for (end = from; end < rows->row_count && (ignored || rows->tenant[row[end]] == tenant);) end++;
        subset s = {.tenant = tenant, .count = end - from, .row = row + from, .sorted = sorted, .spare = spare, .random = &random};
        status = plan_subset(plan, &s, err);
    }
    return status;
}

static weir_status check_rows(const weir_split *split, const weir_split_rows *rows, bool by_time, weir_err *err) {
    const weir_split_scheme *scheme = &weir_split_schemes()[split->scheme];
    const char *missing = scheme->needs_label && !rows->label                  ? "labels"
                          : by_time && !rows->time_us                          ? "times"
                          : scheme->needs_label_until && !rows->label_until_us ? "times at which labels are known"
                          : scheme->needs_group && !rows->group                ? "groups"
                          : split->tenants && !rows->tenant                    ? "tenants"
                                                                               : NULL;
    if (missing) return WEIR_FAIL(err, WEIR_EINVAL, "%s: the rows have no %s, which the scheme needs", scheme->name, missing);
    if (rows->row_count < 1) return WEIR_FAIL(err, WEIR_EDATA, "%s: there are no rows", scheme->name);
    return WEIR_OK;
}

weir_status weir_split_plan_new(const weir_split *split, const weir_split_rows *rows, weir_split_plan **ret_plan, weir_err *err) {
    assert(split->scheme >= 0 && split->scheme <= WEIR_SPLIT_PURGED_K_FOLD);
    bool by_time = weir_split_schemes()[split->scheme].needs_time || split->by_time;
    weir_status status = check_rows(split, rows, by_time, err);
    if (status != WEIR_OK) return status;
    size_t n = (size_t)rows->row_count;
    weir_split_plan *plan = weir_models_calloc(1, sizeof *plan);
    int64_t *row = weir_models_calloc(n, sizeof *row);
    keyed *sorted = weir_models_calloc(n, sizeof *sorted), *spare = weir_models_calloc(n, sizeof *spare);
    if (plan) {
        *plan = (weir_split_plan){.split = *split, .rows = *rows, .by_time = by_time};
        if (!by_time) plan->fold_of = weir_models_calloc(n, sizeof *plan->fold_of);
    }
    if (!plan || !row || !sorted || !spare || (!by_time && !plan->fold_of))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory to split %lld rows", (long long)rows->row_count);
    else
        status = plan_tenants(plan, row, sorted, spare, err);
    weir_models_free(spare);
    weir_models_free(sorted);
    weir_models_free(row);
    if (status == WEIR_OK)
        *ret_plan = plan;
    else
        weir_split_plan_free(plan);
    return status;
}

void weir_split_plan_free(weir_split_plan *plan) {
    if (!plan) return;
    weir_models_free(plan->fold_of);
    weir_models_free(plan->windows);
    weir_models_free(plan);
}

int weir_split_plan_folds(const weir_split_plan *plan) {
    return plan->fold_count;
}

static bool within(span part, int64_t time_us) {
    return time_us >= part.from_us && time_us < part.to_us;
}

static uint8_t role_by_time(const weir_split_plan *plan, const window *w, int64_t row) {
    int64_t time = plan->rows.time_us[row];
    if (within(w->test, time)) return WEIR_ROLE_TEST;
    if (within(w->validation, time)) return WEIR_ROLE_VALIDATION;
    if (!within(w->train, time)) return WEIR_ROLE_NONE;
    /* Overlap: it begins before the block's labels are known, its label is known after the block began. A row of the embargo begins after both, so one
     * comparison does for the two. */
    if (time <= w->quiet_until_us && plan->rows.label_until_us[row] >= w->test.from_us) return WEIR_ROLE_NONE;
    return WEIR_ROLE_TRAIN;
}

weir_status weir_split_plan_roles(const weir_split_plan *plan, int fold, uint8_t *role, weir_fold *ret_fold, weir_err *err) {
    assert(fold >= 0 && fold < plan->fold_count);
    const window *w = &plan->windows[fold];
    bool separate = plan->split.tenants == WEIR_TENANTS_SEPARATE;
    int64_t counts[WEIR_ROLE_TEST + 1] = {0};
    for (int64_t r = 0; r < plan->rows.row_count; r++) {
        if (separate && plan->rows.tenant[r] != w->tenant)
            role[r] = WEIR_ROLE_NONE;
        else if (plan->by_time)
            role[r] = role_by_time(plan, w, r);
        else
            role[r] = plan->fold_of[r] == w->number ? WEIR_ROLE_TEST : WEIR_ROLE_TRAIN;
        counts[role[r]]++;
    }
    *ret_fold = (weir_fold){.tenant = separate ? w->tenant : 0,
                            .train_count = counts[WEIR_ROLE_TRAIN],
                            .validation_count = counts[WEIR_ROLE_VALIDATION],
                            .test_count = counts[WEIR_ROLE_TEST]};
    if (counts[WEIR_ROLE_TRAIN] == 0) return WEIR_FAIL(err, WEIR_EDATA, "fold %d has no row to train on after purging and embargo", fold);
    return WEIR_OK;
}
