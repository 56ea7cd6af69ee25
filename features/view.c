/* A compiled view: which columns its states keep, and a plan that computes every windowed feature in one pass over them. */
#include "features/view.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "core/clock.h"

enum { STATE_FORMAT = 1, ADDED_MAX = 1 << 28 };

typedef enum agg { AGG_COUNT, AGG_MEAN, AGG_SUM, AGG_MIN, AGG_MAX } agg;
typedef enum op { OP_WEEKEND, OP_HOUR_BETWEEN } op;

/* A windowed feature, in the order of evaluation: by (delay, column), then by ascending window. */
typedef struct step {
    int64_t delay_us, window_us;
    int slot; /* into view->columns; -1: count of records */
    agg agg;
    int feature; /* where the value goes */
    double fallback;
} step;

/* A feature of the record itself. */
typedef struct row_step {
    op op;
    int column; /* of the feed's schema */
    int64_t from, to;
    int feature;
} row_step;

struct weir_view {
    const weir_view_def *def;
    const weir_feed_def *feed;
    int entity_columns[WEIR_KEY_COLUMNS_MAX];
    int64_t horizon_us;
    int column_count;
    int *columns;
    uint32_t columns_hash; /* of their names: a state is read only by a view that keeps the same ones */
    int step_count, row_step_count;
    step *steps;
    row_step *row_steps;
};

/* Event times may be anything that fits 64 bits. */
static int64_t minus(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_sub_overflow(a, b, &r)) return r;
    return b > 0 ? INT64_MIN : INT64_MAX;
}

/* --- compiling --- */

static agg agg_of(const char *name) {
    static const char *const names[] = {[AGG_COUNT] = "count", [AGG_MEAN] = "mean", [AGG_SUM] = "sum", [AGG_MIN] = "min", [AGG_MAX] = "max"};
    for (int i = 0; i <= AGG_MAX; i++) {
        if (!strcmp(names[i], name)) return (agg)i;
    }
    assert(!"the pipeline was validated");
    return AGG_COUNT;
}

static int slot_of(weir_view *view, int column) {
    for (int i = 0; i < view->column_count; i++) {
        if (view->columns[i] == column) return i;
    }
    view->columns[view->column_count] = column;
    return view->column_count++;
}

static int compare_steps(const void *a, const void *b) {
    const step *x = a, *y = b;
    if (x->delay_us != y->delay_us) return x->delay_us < y->delay_us ? -1 : 1;
    if (x->slot != y->slot) return x->slot < y->slot ? -1 : 1;
    if (x->window_us != y->window_us) return x->window_us < y->window_us ? -1 : 1;
    return x->feature - y->feature;
}

static weir_status compile_feature(weir_view *view, int index, weir_err *err) {
    const weir_feature_def *f = &view->def->features[index];
    int column = f->of ? weir_schema_find(view->feed->schema, f->of) : -1;
    if (f->of && column < 0) return WEIR_FAIL(err, WEIR_EINVAL, "feature %s: the schema has no column %s", f->name, f->of);
    if (f->op) {
        view->row_steps[view->row_step_count++] = (row_step){.op = strcmp(f->op, "weekend") ? OP_HOUR_BETWEEN : OP_WEEKEND,
                                                             .column = f->of ? column : view->feed->time_index,
                                                             .from = f->from,
                                                             .to = f->to,
                                                             .feature = index};
        return WEIR_OK;
    }
    view->steps[view->step_count++] = (step){.delay_us = f->delay_us,
                                             .window_us = f->window_us,
                                             .slot = f->of ? slot_of(view, column) : -1,
                                             .agg = agg_of(f->agg),
                                             .feature = index,
                                             .fallback = f->fallback};
    if (f->delay_us + f->window_us > view->horizon_us) view->horizon_us = f->delay_us + f->window_us;
    return WEIR_OK;
}

static uint32_t hash_columns(const weir_view *view) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (int i = 0; i < view->column_count; i++) {
        const char *p = weir_schema_field_at(view->feed->schema, view->columns[i])->name;
        do hash = (hash ^ (unsigned char)*p) * 16777619u;
        while (*p++);
    }
    return hash;
}

weir_status weir_view_new(const weir_pipeline *pipeline, const weir_view_def *def, weir_view **ret_view, weir_err *err) {
    size_t n = (size_t)def->feature_count + 1; /* never an allocation of 0 */
    weir_view *view = weir_mem.realloc(NULL, sizeof(*view));
    if (!view) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for view %s", def->name);
    *view = (weir_view){.def = def, .feed = def->from == WEIR_FROM_LABELS ? &pipeline->labels : &pipeline->events};
    weir_status status = WEIR_OK;
    view->columns = weir_mem.realloc(NULL, n * sizeof(*view->columns));
    view->steps = weir_mem.realloc(NULL, n * sizeof(*view->steps));
    view->row_steps = weir_mem.realloc(NULL, n * sizeof(*view->row_steps));
    if (!view->columns || !view->steps || !view->row_steps) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for view %s", def->name);
    for (int i = 0; !status && i < def->entity_count; i++) {
        view->entity_columns[i] = weir_schema_find(view->feed->schema, def->entity[i]);
        if (view->entity_columns[i] < 0) status = WEIR_FAIL(err, WEIR_EINVAL, "view %s: the schema has no column %s", def->name, def->entity[i]);
    }
    for (int i = 0; !status && i < def->feature_count; i++) status = compile_feature(view, i, err);
    if (status) {
        weir_view_free(view);
        return status;
    }
    qsort(view->steps, (size_t)view->step_count, sizeof(*view->steps), compare_steps);
    view->columns_hash = hash_columns(view);
    *ret_view = view;
    return WEIR_OK;
}

void weir_view_free(weir_view *view) {
    if (!view) return;
    free(view->columns);
    free(view->steps);
    free(view->row_steps);
    free(view);
}

const weir_view_def *weir_view_def_of(const weir_view *view) {
    return view->def;
}
const weir_feed_def *weir_view_feed(const weir_view *view) {
    return view->feed;
}
const int *weir_view_entity_columns(const weir_view *view) {
    return view->entity_columns;
}
int64_t weir_view_horizon_us(const weir_view *view) {
    return view->horizon_us;
}
int weir_view_column_count(const weir_view *view) {
    return view->column_count;
}
const int *weir_view_columns(const weir_view *view) {
    return view->columns;
}

/* --- state --- */

void weir_state_done(weir_state *state) {
    free(state->time);
    free(state->source);
    free(state->values);
    *state = (weir_state){0};
}

void weir_state_clear(weir_state *state) {
    state->count = 0;
}

/* Capacity grows only when all three arrays did; one that grew alone is just larger than it needs to be. */
static bool grow(const weir_view *view, weir_state *state, int count) {
    if (count <= state->capacity) return true;
    size_t capacity = state->capacity ? (size_t)state->capacity : 8;
    while (capacity < (size_t)count) capacity *= 2;
    int64_t *time = weir_mem.realloc(state->time, capacity * sizeof(*time));
    if (!time) return false;
    state->time = time;
    weir_source *source = weir_mem.realloc(state->source, capacity * sizeof(*source));
    if (!source) return false;
    state->source = source;
    if (view->column_count) {
        double *values = weir_mem.realloc(state->values, capacity * (size_t)view->column_count * sizeof(*values));
        if (!values) return false;
        state->values = values;
    }
    state->capacity = (int)capacity;
    return true;
}

static int compare_source(const weir_source *a, const weir_source *b) {
    if (a->partition != b->partition) return a->partition < b->partition ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

/* First record after (t, source); source NULL: after everything at t. Records mostly arrive in order, so the end is looked at first. */
static int upper_bound(const weir_state *state, int64_t t, const weir_source *source) {
    int low = 0, high = state->count;
    if (high && state->time[high - 1] < t) return high;
    while (low < high) {
        int mid = low + (high - low) / 2;
        bool after = state->time[mid] > t || (state->time[mid] == t && source && compare_source(&state->source[mid], source) > 0);
        if (after)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* First record at or after t. */
static int lower_bound(const weir_state *state, int64_t t) {
    return t == INT64_MIN ? 0 : upper_bound(state, t - 1, NULL);
}

/* The record (t, source) is the one before its upper bound, when it is there. */
static bool is_at(const weir_state *state, int upper, int64_t t, const weir_source *source) {
    return upper > 0 && state->time[upper - 1] == t && !compare_source(&state->source[upper - 1], source);
}

static void drop_oldest(const weir_view *view, weir_state *state, int n) {
    if (!n) return;
    size_t keep = (size_t)(state->count - n), columns = (size_t)view->column_count;
    memmove(state->time, state->time + n, keep * sizeof(*state->time));
    memmove(state->source, state->source + n, keep * sizeof(*state->source));
    if (columns) memmove(state->values, state->values + (size_t)n * columns, keep * columns * sizeof(*state->values));
    state->count = (int)keep;
}

/* Makes a hole at `at` and fills time and source; returns where the values go. There is room. */
static double *open_slot(const weir_view *view, weir_state *state, int at, int64_t t, weir_source source) {
    size_t tail = (size_t)(state->count - at), columns = (size_t)view->column_count;
    if (tail) {
        memmove(state->time + at + 1, state->time + at, tail * sizeof(*state->time));
        memmove(state->source + at + 1, state->source + at, tail * sizeof(*state->source));
        if (columns) memmove(state->values + (size_t)(at + 1) * columns, state->values + (size_t)at * columns, tail * columns * sizeof(*state->values));
    }
    if (!state->count || t > state->max_time) state->max_time = t;
    state->time[at] = t;
    state->source[at] = source;
    state->count++;
    return columns ? state->values + (size_t)at * columns : NULL;
}

weir_status weir_view_apply(const weir_view *view, weir_state *state, int64_t event_time_us, weir_source source, const weir_datum *row,
                            weir_applied *ret_applied, weir_err *err) {
    int at = upper_bound(state, event_time_us, &source);
    if (is_at(state, at, event_time_us, &source)) {
        *ret_applied = WEIR_DUPLICATE;
        return WEIR_OK;
    }
    if (state->count && event_time_us < minus(state->max_time, view->feed->allowed_lateness_us)) {
        *ret_applied = WEIR_LATE;
        return WEIR_OK;
    }
    /* A record may still come allowed_lateness behind the newest, and its windows reach back by the horizon from there. */
    int64_t newest = state->count && state->max_time > event_time_us ? state->max_time : event_time_us;
    int drop = lower_bound(state, minus(minus(newest, view->horizon_us), view->feed->allowed_lateness_us));
    if (state->count - drop >= WEIR_STATE_RECORDS_MAX)
        return WEIR_REJECT(err, WEIR_ELIMIT, "view %s: this entity has %d records in %" PRId64 " days already, the most that a state holds", view->def->name,
                           state->count - drop, view->horizon_us / WEIR_DAY_US);
    if (!grow(view, state, state->count - drop + 1))
        return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d records of view %s", state->count + 1, view->def->name);
    drop_oldest(view, state, drop);
    double *values = open_slot(view, state, at - drop, event_time_us, source);
    for (int i = 0; i < view->column_count; i++) values[i] = weir_datum_number(&row[view->columns[i]]);
    *ret_applied = WEIR_APPLIED;
    return WEIR_OK;
}

weir_status weir_state_add(const weir_view *view, weir_state *state, int64_t event_time_us, weir_source source, const double *values, weir_err *err) {
    int at = upper_bound(state, event_time_us, &source);
    if (is_at(state, at, event_time_us, &source)) return WEIR_OK;
    if (state->count >= ADDED_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "view %s: more than %d records of one entity", view->def->name, ADDED_MAX);
    if (!grow(view, state, state->count + 1)) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d records of view %s", state->count + 1, view->def->name);
    double *slot = open_slot(view, state, at, event_time_us, source);
    if (view->column_count) memcpy(slot, values, (size_t)view->column_count * sizeof(*values));
    return WEIR_OK;
}

bool weir_state_newest(const weir_state *state, weir_source *ret_source, int64_t *ret_time_us) {
    if (!state->count) return false;
    *ret_source = state->source[state->count - 1];
    *ret_time_us = state->time[state->count - 1];
    return true;
}

/* --- features --- */

/* What is known of records [at, end) of one column, newest first. */
typedef struct running {
    int at;
    int64_t count; /* not null */
    double sum, min, max;
} running;

static double value_of(const step *s, const running *r, int end) {
    if (s->slot < 0) return end - r->at;
    if (s->agg == AGG_COUNT) return (double)r->count;
    if (!r->count) return s->fallback;
    switch (s->agg) {
    case AGG_MEAN: return r->sum / (double)r->count;
    case AGG_SUM: return r->sum;
    case AGG_MIN: return r->min;
    default: return r->max;
    }
}

/* Goes back to the first record at or after `first`. */
static void extend(const weir_view *view, const weir_state *state, const step *s, int64_t first, running *r) {
    if (s->slot < 0) {
        int low = lower_bound(state, first);
        if (low < r->at) r->at = low;
        return;
    }
    const double *column = state->values + s->slot;
    size_t stride = (size_t)view->column_count;
    int at = r->at;
    for (; at > 0 && state->time[at - 1] >= first; at--) {
        double v = column[(size_t)(at - 1) * stride];
        if (isnan(v)) continue;
        r->count++;
        r->sum += v;
        if (v < r->min) r->min = v;
        if (v > r->max) r->max = v;
    }
    r->at = at;
}

static double eval_row(const row_step *s, const weir_datum *row) {
    if (!row || row[s->column].type != WEIR_T_I64) return NAN;
    int64_t us = row[s->column].i;
    int64_t day = us / WEIR_DAY_US - (us % WEIR_DAY_US < 0); /* floor: times before 1970 too */
    if (s->op == OP_WEEKEND) {
        int64_t weekday = ((day % 7) + 7 + 3) % 7; /* Monday is 0; 1970-01-01 was a Thursday */
        return weekday >= 5;
    }
    int64_t hour = (us - day * WEIR_DAY_US) / (3600 * WEIR_SECOND_US);
    return s->from <= s->to ? s->from <= hour && hour <= s->to : hour >= s->from || hour <= s->to;
}

void weir_view_eval(const weir_view *view, const weir_state *state, int64_t t_us, const weir_source *upto, const weir_datum *row, double *out) {
    int end = 0;
    running r = {0};
    for (int i = 0; i < view->step_count; i++) {
        const step *s = &view->steps[i], *before = i ? s - 1 : NULL;
        if (!before || before->delay_us != s->delay_us) end = upper_bound(state, minus(t_us, s->delay_us), s->delay_us ? NULL : upto);
        if (!before || before->delay_us != s->delay_us || before->slot != s->slot) r = (running){.at = end, .min = INFINITY, .max = -INFINITY};
        /* (t-delay-window, t-delay] is left-open: in whole microseconds it starts one later. */
        extend(view, state, s, minus(minus(t_us, s->delay_us), s->window_us - 1), &r);
        out[s->feature] = value_of(s, &r, end);
    }
    for (int i = 0; i < view->row_step_count; i++) out[view->row_steps[i].feature] = eval_row(&view->row_steps[i], row);
}

/* --- bytes ---
 *
 *   u8 format (1) | u8 time unit: 0 µs, 1 ms, 2 s | u32 little-endian hash of the column names | varint records |
 *   varint zigzag time of the first record, in units |
 *   records, ascending: varint time since the one before, varint zigzag partition, varint zigzag offset minus the one before's, values
 *
 *   value: varint v, low two bits say what: 0 a whole number (zigzag v >> 2), 1 hundredths, 2 null, 3 eight bytes of a double follow
 *
 * States travel with every record, so size counts: an amount in cents takes 3 bytes in place of 8. Hundredths are used only where k / 100.0 is
 * the value bit for bit. */

static const int64_t units[] = {1, 1000, 1000000};

static uint64_t zigzag(int64_t v) {
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
static int64_t unzigzag(uint64_t v) {
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static unsigned char *put_varint(unsigned char *p, uint64_t v) {
    while (v >= 0x80) {
        *p++ = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    *p++ = (unsigned char)v;
    return p;
}

static bool get_varint(const unsigned char **p, const unsigned char *end, uint64_t *ret) {
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && *p < end; shift += 7) {
        uint64_t b = *(*p)++;
        if (shift == 63 && b > 1) return false;
        v |= (b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool same_bits(double a, double b) {
    return !memcmp(&a, &b, sizeof(a));
}

static unsigned char *put_value(unsigned char *p, double v) {
    enum { WHOLE_MAX = 1 << 30 };
    if (isnan(v)) return put_varint(p, 2);
    if (fabs(v) <= WHOLE_MAX) {
        int64_t whole = (int64_t)v, cents = (int64_t)(v * 100 + (v < 0 ? -0.5 : 0.5));
        if (same_bits((double)whole, v)) return put_varint(p, zigzag(whole) << 2);
        if (same_bits((double)cents / 100.0, v)) return put_varint(p, zigzag(cents) << 2 | 1);
    }
    p = put_varint(p, 3);
    memcpy(p, &v, sizeof(v));
    return p + sizeof(v);
}

static bool get_value(const unsigned char **p, const unsigned char *end, double *ret) {
    uint64_t v;
    if (!get_varint(p, end, &v)) return false;
    switch (v & 3) {
    case 0: *ret = (double)unzigzag(v >> 2); return true;
    case 1: *ret = (double)unzigzag(v >> 2) / 100.0; return true;
    case 2: *ret = NAN; return v == 2;
    default:
        if (v != 3 || end - *p < (ptrdiff_t)sizeof(*ret)) return false;
        memcpy(ret, *p, sizeof(*ret));
        *p += sizeof(*ret);
        return true;
    }
}

/* The coarsest unit that divides every time. */
static int unit_of(const weir_state *state) {
    int unit = 2;
    for (int i = 0; unit && i < state->count; i++) {
        while (state->time[i] % units[unit]) unit--;
    }
    return unit;
}

bool weir_state_encode(const weir_view *view, const weir_state *state, weir_buf *out) {
    enum { HEAD_MAX = 6 + 5 + 10, RECORD_MAX = 10 + 10 + 10, VALUE_MAX = 9 };
    size_t columns = (size_t)view->column_count;
    if (!weir_buf_reserve(out, HEAD_MAX + (size_t)state->count * (RECORD_MAX + columns * VALUE_MAX))) return false;
    unsigned char *start = (unsigned char *)out->data + out->len, *p = start;
    int unit = unit_of(state);
    *p++ = STATE_FORMAT;
    *p++ = (unsigned char)unit;
    for (int i = 0; i < 4; i++) *p++ = (unsigned char)(view->columns_hash >> (8 * i));
    p = put_varint(p, (uint64_t)state->count);
    int64_t time = 0, offset = 0;
    for (int i = 0; i < state->count; i++) {
        int64_t t = state->time[i] / units[unit];
        if (!i) {
            p = put_varint(p, zigzag(t));
            time = t;
        }
        p = put_varint(p, (uint64_t)t - (uint64_t)time);
        p = put_varint(p, zigzag(state->source[i].partition));
        p = put_varint(p, zigzag((int64_t)((uint64_t)state->source[i].offset - (uint64_t)offset)));
        for (size_t c = 0; c < columns; c++) p = put_value(p, state->values[(size_t)i * columns + c]);
        time = t;
        offset = state->source[i].offset;
    }
    out->len += (size_t)(p - start);
    out->data[out->len] = 0;
    return true;
}

/* One record, at the end of the state; false when the bytes cannot be one. */
static bool get_record(const weir_view *view, weir_state *state, const unsigned char **p, const unsigned char *end, int unit, int64_t *time, int64_t *offset) {
    uint64_t since, partition, ahead;
    if (!get_varint(p, end, &since) || !get_varint(p, end, &partition) || !get_varint(p, end, &ahead)) return false;
    int64_t us, from = unzigzag(partition), t = (int64_t)((uint64_t)*time + since);
    if (t < *time || __builtin_mul_overflow(t, units[unit], &us)) return false;
    if (from < INT32_MIN || from > INT32_MAX) return false;
    *time = t;
    *offset = (int64_t)((uint64_t)*offset + (uint64_t)unzigzag(ahead));
    int n = state->count;
    state->time[n] = us;
    state->source[n] = (weir_source){.partition = (int32_t)from, .offset = *offset};
    if (n && state->time[n - 1] == us && compare_source(&state->source[n - 1], &state->source[n]) >= 0) return false;
    for (int c = 0; c < view->column_count; c++) {
        if (!get_value(p, end, &state->values[(size_t)n * (size_t)view->column_count + (size_t)c])) return false;
    }
    state->count++;
    return true;
}

weir_status weir_state_decode(const weir_view *view, const void *bytes, size_t len, weir_state *state, weir_err *err) {
    const unsigned char *p = bytes, *end = p + len;
    weir_state_clear(state);
    if (len < 7) return WEIR_REJECT(err, WEIR_EDATA, "view %s: a state of %zu bytes is too short", view->def->name, len);
    if (p[0] != STATE_FORMAT || p[1] > 2) return WEIR_REJECT(err, WEIR_EDATA, "view %s: state format %d.%d is not known", view->def->name, p[0], p[1]);
    int unit = p[1];
    uint32_t hash = p[2] | (uint32_t)p[3] << 8 | (uint32_t)p[4] << 16 | (uint32_t)p[5] << 24;
    if (hash != view->columns_hash) return WEIR_REJECT(err, WEIR_EDATA, "view %s: the state was written for other columns", view->def->name);
    p += 6;
    uint64_t count, first = 0;
    if (!get_varint(&p, end, &count) || count > WEIR_STATE_RECORDS_MAX || count > len)
        return WEIR_REJECT(err, WEIR_EDATA, "view %s: the state's count of records is damaged", view->def->name);
    if (!grow(view, state, (int)count)) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d records of view %s", (int)count, view->def->name);
    bool good = !count || get_varint(&p, end, &first);
    int64_t time = unzigzag(first), offset = 0;
    while (good && (uint64_t)state->count < count) good = get_record(view, state, &p, end, unit, &time, &offset);
    if (!good || p != end) {
        size_t position = (size_t)(p - (const unsigned char *)bytes);
        weir_state_clear(state);
        return WEIR_REJECT(err, WEIR_EDATA, "view %s: the state is damaged before byte %zu of %zu", view->def->name, position, len);
    }
    state->max_time = count ? state->time[count - 1] : INT64_MIN;
    return WEIR_OK;
}
