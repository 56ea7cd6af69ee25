/* What goes wrong on the way to a pipeline. A record that is to come later waits in a heap by the time at which it becomes known:
 *
 *     source ──> spoil ──┬──────────────> on time ──┐
 *                        └─> late, again ──> heap ──┴─> by known_at, then in the order of the source */
#include "producers/inject.h"

#include <string.h>

#include "producers/random.h"

enum { MEASURED_MAX = 64 };
#define DUPLICATE_WITHIN_US (60 * WEIR_SECOND_US)

typedef struct held {
    int64_t known_at_us, number; /* number: order in which they were put aside */
    weir_datum *row; /* one block with its texts behind it */
} held;

typedef struct injection {
    weir_records *inner;
    weir_inject_conf conf;
    weir_random random;
    int column_count; /* of the events */
    int measured[MEASURED_MAX], measured_count;
    bool may_be_null[MEASURED_MAX];
    weir_datum *row; /* [column_count] the event on time, spoiled */
    weir_record next; /* on time, when has_next */
    bool has_next, ended;
    held *heap;
    size_t held_count, held_capacity;
    int64_t held_number;
    weir_datum *out; /* block of the record given last */
} injection;

bool weir_inject_any(const weir_inject_conf *conf) {
    return conf->drift > 0 || conf->faults > 0 || conf->missing > 0 || conf->duplicates > 0 || conf->late > 0;
}

/* ---- spoiling ---- */

static bool chance(injection *x, double share) {
    return share > 0 && weir_random_unit(&x->random) < share;
}

static void set_number(weir_datum *d, double value) {
    *d = d->type == WEIR_T_I64 ? weir_i64((int64_t)value) : weir_f64(value);
}

static bool is_number(const weir_datum *d) {
    return d->type == WEIR_T_I64 || d->type == WEIR_T_F64;
}

static double drift_factor(const weir_inject_conf *conf, int64_t at_us) {
    int64_t middle = conf->start_us + (conf->end_us - conf->start_us) / 2;
    if (at_us <= middle) return 1;
    double part = (double)(at_us - middle) / (double)(conf->end_us - middle);
    return 1 + conf->drift * (part < 1 ? part : 1);
}

static void spoil(injection *x, weir_datum *row, int64_t at_us) {
    double factor = x->conf.drift > 0 ? drift_factor(&x->conf, at_us) : 1;
    for (int i = 0; factor != 1 && i < x->measured_count; i++) {
        weir_datum *d = &row[x->measured[i]];
        if (is_number(d)) set_number(d, weir_datum_number(d) * factor);
    }
    if (x->measured_count && chance(x, x->conf.faults)) {
        static const double absurd[] = {0, -1000, 10};
        weir_datum *d = &row[x->measured[weir_random_below(&x->random, (uint64_t)x->measured_count)]];
        double times = absurd[weir_random_below(&x->random, sizeof absurd / sizeof *absurd)];
        if (is_number(d)) set_number(d, weir_datum_number(d) * times);
    }
    for (int i = 0; i < x->measured_count; i++)
        if (x->may_be_null[i] && chance(x, x->conf.missing)) row[x->measured[i]] = weir_null();
}

/* ---- the heap ---- */

static bool sooner(const held *a, const held *b) {
    return a->known_at_us != b->known_at_us ? a->known_at_us < b->known_at_us : a->number < b->number;
}

static weir_datum *copy_row(const weir_datum *row, int count) {
    size_t head = (size_t)count * sizeof *row, texts = 0;
    for (int i = 0; i < count; i++)
        if (row[i].type == WEIR_T_STR || row[i].type == WEIR_T_BYTES) texts += row[i].len;
    weir_datum *copy = weir_mem.realloc(NULL, head + texts + 1);
    if (!copy) return NULL;
    memcpy(copy, row, head);
    char *text = (char *)copy + head;
    for (int i = 0; i < count; i++) {
        if (row[i].type != WEIR_T_STR && row[i].type != WEIR_T_BYTES) continue;
        if (row[i].len) memcpy(text, row[i].p, row[i].len);
        copy[i].p = text;
        text += row[i].len;
    }
    return copy;
}

static weir_status hold(injection *x, const weir_datum *row, int64_t known_at_us, weir_err *err) {
    if (x->held_count == x->held_capacity) {
        size_t wanted = x->held_capacity ? 2 * x->held_capacity : 64;
        held *grown = weir_mem.realloc(x->heap, wanted * sizeof *grown);
        if (!grown) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for late events");
        x->heap = grown;
        x->held_capacity = wanted;
    }
    held h = {known_at_us, x->held_number++, copy_row(row, x->column_count)};
    if (!h.row) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for late events");
    size_t at = x->held_count++;
    for (; at && sooner(&h, &x->heap[(at - 1) / 2]); at = (at - 1) / 2) x->heap[at] = x->heap[(at - 1) / 2];
    x->heap[at] = h;
    return WEIR_OK;
}

static held take_soonest(injection *x) {
    held top = x->heap[0], last = x->heap[--x->held_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < x->held_count; at = child) {
        if (child + 1 < x->held_count && sooner(&x->heap[child + 1], &x->heap[child])) child++;
        if (!sooner(&x->heap[child], &last)) break;
        x->heap[at] = x->heap[child];
    }
    x->heap[at] = last;
    return top;
}

/* ---- the source ---- */

/* One record of the source: it is next, or goes to the heap because it is late. */
static weir_status look(injection *x, weir_err *err) {
    bool more = false;
    weir_status st = weir_records_next(x->inner, &x->next, &more, err);
    x->ended = !st && !more;
    x->has_next = !st && more;
    if (!x->has_next || x->next.feed != WEIR_FROM_EVENTS) return st;
    memcpy(x->row, x->next.row, (size_t)x->column_count * sizeof *x->row);
    spoil(x, x->row, x->next.at_us);
    x->next.row = x->row;
    bool late = chance(x, x->conf.late), again = chance(x, x->conf.duplicates);
    int64_t known_at = x->next.at_us;
    if (late) {
        known_at += 1 + (int64_t)weir_random_below(&x->random, (uint64_t)x->conf.late_by_us);
        x->has_next = false;
        st = hold(x, x->row, known_at, err);
    }
    if (!st && again) st = hold(x, x->row, known_at + 1 + (int64_t)weir_random_below(&x->random, DUPLICATE_WITHIN_US), err);
    return st;
}

static weir_status injection_next(void *context, weir_record *ret_record, bool *ret_more, weir_err *err) {
    injection *x = context;
    weir_mem.realloc(x->out, 0);
    x->out = NULL;
    while (!x->has_next && !x->ended) {
        weir_status st = look(x, err);
        if (st) return st;
    }
    *ret_more = x->has_next || x->held_count;
    if (x->held_count && (!x->has_next || x->heap[0].known_at_us <= x->next.at_us)) {
        held h = take_soonest(x);
        x->out = h.row;
        *ret_record = (weir_record){.feed = WEIR_FROM_EVENTS, .at_us = h.known_at_us, .row = h.row};
    } else if (x->has_next) {
        *ret_record = x->next;
        x->has_next = false;
    }
    return WEIR_OK;
}

static void injection_done(void *context) {
    injection *x = context;
    weir_records_free(x->inner);
    for (size_t i = 0; i < x->held_count; i++) weir_mem.realloc(x->heap[i].row, 0);
    weir_mem.realloc(x->heap, 0);
    weir_mem.realloc(x->out, 0);
    weir_mem.realloc(x->row, 0);
    weir_mem.realloc(x, 0);
}

static const weir_records_ops injection_ops = {.next = injection_next, .done = injection_done};

static void find_measured(injection *x, const weir_pipeline *pipeline, const char *const *measured) {
    const weir_feed_def *feed = &pipeline->events;
    for (; measured && *measured && x->measured_count < MEASURED_MAX; measured++) {
        int at = weir_schema_find(feed->schema, *measured);
        if (at < 0) continue;
        x->may_be_null[x->measured_count] = weir_schema_field_at(feed->schema, at)->nullable;
        x->measured[x->measured_count++] = at;
    }
}

weir_status weir_records_inject(weir_records **records, const weir_pipeline *pipeline, const weir_inject_conf *conf, const char *const *measured,
                                weir_records **ret_records, weir_err *err) {
    weir_records *inner = *records, *outer = weir_mem.realloc(NULL, sizeof *outer);
    injection *x = weir_mem.realloc(NULL, sizeof *x);
    int count = weir_schema_field_count(pipeline->events.schema);
    weir_datum *row = weir_mem.realloc(NULL, (size_t)count * sizeof *row);
    *records = NULL;
    if (!outer || !x || !row) {
        weir_mem.realloc(outer, 0);
        weir_mem.realloc(x, 0);
        weir_mem.realloc(row, 0);
        weir_records_free(inner);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a source of records");
    }
    *x = (injection){.inner = inner, .conf = *conf, .column_count = count, .row = row};
    if (!x->conf.late_by_us) x->conf.late_by_us = pipeline->events.allowed_lateness_us + pipeline->events.allowed_lateness_us / 2;
    if (x->conf.late_by_us < 1) x->conf.late_by_us = 1;
    weir_random_init(&x->random, (uint64_t)conf->seed ^ UINT64_C(0x6a09e667f3bcc908)); /* not the numbers of the simulator with the same seed */
    find_measured(x, pipeline, measured);
    *outer = (weir_records){.ops = &injection_ops, .context = x, .event_count = -1};
    *ret_records = outer;
    return WEIR_OK;
}
