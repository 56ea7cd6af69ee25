/* The view engine against brute force: whatever the order of arrival, with repeats, through bytes, folded or not, a value has the bits that the sorted set gives. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "features/view.h"
#include "tests/unit/starve.h"

enum { TIME, A, B, FLAG, KIND, COLUMNS, FEATURES_MAX = 40, RECORDS_MAX = 400 };
#define S WEIR_SECOND_US
#define T0 (INT64_C(1522540800) * S) /* 2018-04-01 */

static const char schema_json[] =
    "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},"
    "{\"name\":\"a\",\"type\":[\"null\",\"double\"]},{\"name\":\"b\",\"type\":\"double\"},{\"name\":\"flag\",\"type\":\"boolean\"},"
    "{\"name\":\"kind\",\"type\":\"string\"}]}";

/* Every kind of window, with and without condition and delay; operators with and without eval, with one, two and no inputs. */
#define FEATURE_OR(or, n, o, ...)                                                                                                                              \
    { .name = n, .doc = o, .fallback = or, __VA_ARGS__ }
#define FEATURE(...) FEATURE_OR(NAN, __VA_ARGS__)
#define OF(column) .of = {column}, .of_count = 1
static const weir_feature_def all_features[] = {
    FEATURE("n20", "count", .window_us = 20 * S),
    FEATURE("n60", "count", .window_us = 60 * S),
    FEATURE("sum20", "sum", OF("a"), .window_us = 20 * S),
    FEATURE_OR(-1, "mean60", "mean", OF("a"), .window_us = 60 * S),
    FEATURE("min60", "min", OF("a"), .window_us = 60 * S),
    FEATURE("max_b", "max", OF("b"), .window_us = 30 * S, .delay_us = 10 * S),
    FEATURE("n_flag", "count", .where = "flag", .window_us = 60 * S),
    FEATURE("mean_flag", "mean", OF("a"), .where = "flag", .window_us = 45 * S),
    FEATURE("std60", "std", OF("a"), .window_us = 60 * S, .params = {.value = {1}}),
    FEATURE("std_where", "std", OF("a + b"), .where = "b > 50", .window_us = 60 * S, .params = {.value = {1}}),
    FEATURE("last_a", "last", OF("a"), .window_us = 60 * S),
    FEATURE("since", "time_since", .where = "flag", .window_us = 60 * S, .params = {.value = {1e6}}),
    FEATURE("ratio", "ratio", .of = {"a", "b"}, .of_count = 2, .window_us = 30 * S),
    FEATURE("tumbling", "sum", OF("a"), .window = WEIR_WINDOW_TUMBLING, .window_us = 25 * S),
    FEATURE("tumbling_late", "count", .window = WEIR_WINDOW_TUMBLING, .window_us = 25 * S, .delay_us = 7 * S),
    FEATURE("hopping", "mean", OF("b"), .window = WEIR_WINDOW_HOPPING, .window_us = 40 * S, .every_us = 10 * S),
    FEATURE("hopping_where", "max", OF("a"), .where = "flag", .window = WEIR_WINDOW_HOPPING, .window_us = 10 * S, .every_us = 40 * S),
    FEATURE("last5", "range", OF("a"), .window = WEIR_WINDOW_LAST, .last_n = 5),
    FEATURE("last9_late", "sum", OF("b"), .window = WEIR_WINDOW_LAST, .last_n = 9, .delay_us = 15 * S),
    FEATURE("last4_flag", "mean", OF("a"), .where = "flag", .window = WEIR_WINDOW_LAST, .last_n = 4),
    FEATURE("last6_rare", "sum", .of = {"b"}, .of_count = 1, .where = "kind = \"rare\"", .window = WEIR_WINDOW_LAST, .last_n = 6, .delay_us = 5 * S),
    FEATURE("rate", "rate", .window = WEIR_WINDOW_TO_DATE, .window_us = 100 * S, .params = {.value = {1e6}}),
    FEATURE("to_date", "sum", OF("a"), .window = WEIR_WINDOW_TO_DATE, .window_us = 100 * S),
    FEATURE("to_date_late", "max", OF("a"), .where = "flag", .window = WEIR_WINDOW_TO_DATE, .window_us = 60 * S, .delay_us = 20 * S),
    FEATURE("all_sum", "sum", OF("a"), .window = WEIR_WINDOW_ALL),
    FEATURE_OR(0, "all_sum_too", "sum", OF("a"), .window = WEIR_WINDOW_ALL),
    FEATURE("all_std", "std", OF("b"), .where = "flag", .window = WEIR_WINDOW_ALL, .delay_us = 12 * S, .params = {.value = {1}}),
    FEATURE("all_n", "count", .window = WEIR_WINDOW_ALL),
    FEATURE("session_n", "count", .window = WEIR_WINDOW_SESSION, .window_us = 4 * S),
    FEATURE("session_mean", "mean", OF("a"), .where = "flag", .window = WEIR_WINDOW_SESSION, .window_us = 9 * S, .delay_us = 3 * S),
    FEATURE("tiled_sum", "sum", OF("a"), .window_us = 60 * S, .tile_us = 10 * S),
    FEATURE("tiled_std", "std", OF("a"), .where = "flag", .window_us = 90 * S, .tile_us = 7 * S, .delay_us = 11 * S, .params = {.value = {1}}),
    FEATURE("tiled_n", "count", .window_us = 50 * S, .tile_us = 50 * S),
    FEATURE("over", NULL, .expr = "a / mean60"),
    FEATURE_OR(7, "twice", NULL, .expr = "over * 2 + if(kind = \"rare\", 1, 0)"),
    FEATURE("second", NULL, .expr = "event_time - time"),
};
enum { FEATURES = sizeof(all_features) / sizeof(*all_features) };

typedef struct fixture {
    weir_pipeline pipeline;
    weir_feature_def features[FEATURES_MAX];
    weir_view_def def;
    weir_view *view;
    weir_state state;
} fixture;

static void make_view(fixture *f, int64_t lateness_us) {
    weir_err err = {0};
    weir_view_free(f->view);
    f->view = NULL;
    f->pipeline.events.allowed_lateness_us = lateness_us;
    if (weir_view_new(&f->pipeline, &f->def, &f->view, &err)) fail_msg("%s", err.message);
}

static void use_features(fixture *f, const weir_feature_def *features, int count) {
    memcpy(f->features, features, (size_t)count * sizeof(*features));
    for (int i = 0; i < count; i++) {
        weir_feature_def *feature = &f->features[i];
        feature->op = feature->doc ? weir_operator_find(feature->doc) : NULL;
        if (feature->doc) assert_non_null(feature->op);
    }
    f->def = (weir_view_def){.name = "v", .features = f->features, .feature_count = count};
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    weir_err err = {0};
    f->pipeline = (weir_pipeline){.name = "p"};
    if (weir_schema_parse(schema_json, strlen(schema_json), &f->pipeline.events.schema, &err)) fail_msg("%s", err.message);
    use_features(f, all_features, FEATURES);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    weir_state_done(&f->state);
    weir_view_free(f->view);
    weir_schema_free(f->pipeline.events.schema);
    free(f);
    return 0;
}

/* --- records --- */

typedef struct record {
    int64_t time;
    weir_source source;
    double a, b;
    bool flag, rare;
    int64_t arrival; /* order in which it comes */
} record;

static int by_order(const void *a, const void *b) {
    const record *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    if (x->source.partition != y->source.partition) return x->source.partition - y->source.partition;
    return (x->source.offset > y->source.offset) - (x->source.offset < y->source.offset);
}

static int by_arrival(const void *a, const void *b) {
    const record *x = a, *y = b;
    if (x->arrival != y->arrival) return x->arrival < y->arrival ? -1 : 1;
    return by_order(a, b);
}

/* Bursts, pauses, equal times, nulls, three partitions; every record comes less than lateness behind any later one. */
static void make_records(record *records, int n, int64_t lateness_us, unsigned *seed) {
    int64_t time = T0;
    int64_t offsets[3] = {100, 5, INT64_C(1) << 40};
    for (int i = 0; i < n; i++) {
        int gap = rand_r(seed) % 20;
        time += gap < 4 ? 0 : gap < 19 ? rand_r(seed) % 4000 * 1000 : rand_r(seed) % 90 * S;
        records[i] = (record){.time = time,
                              .a = rand_r(seed) % 8 ? rand_r(seed) % 100000 / 100.0 + 1e-7 * (rand_r(seed) % 3) : NAN,
                              .b = rand_r(seed) % 1000 / 7.0 - 20,
                              .flag = rand_r(seed) % 3 == 0,
                              .rare = rand_r(seed) % 12 == 0,
                              .arrival = time + (lateness_us ? rand_r(seed) % lateness_us : 0)};
    }
    qsort(records, (size_t)n, sizeof(*records), by_arrival);
    for (int i = 0; i < n; i++) {
        int32_t partition = rand_r(seed) % 3;
        records[i].source = (weir_source){partition, offsets[partition] += 1 + rand_r(seed) % 3};
    }
}

static void fill_slots(const fixture *f, const record *r, double *slots) {
    weir_datum row[COLUMNS] = {weir_i64(r->time), isnan(r->a) ? weir_null() : weir_f64(r->a), weir_f64(r->b), weir_bool(r->flag),
                               weir_text(r->rare ? "rare" : "common")};
    weir_view_slots(f->view, row, slots);
}

static weir_applied apply(fixture *f, const record *r, int *ret_position) {
    double slots[16];
    weir_applied applied;
    weir_err err = {0};
    fill_slots(f, r, slots);
    if (weir_view_apply(f->view, &f->state, r->time, r->source, slots, 0, &applied, ret_position, &err)) fail_msg("%s", err.message);
    return applied;
}

/* --- straight from the definitions --- */

static double brute_term(const char *of, const record *r) {
    if (!strcmp(of, "a")) return r->a;
    if (!strcmp(of, "b")) return r->b;
    assert_string_equal(of, "a + b");
    return r->a + r->b;
}

static bool brute_where(const char *where, const record *r) {
    if (!where) return true;
    if (!strcmp(where, "flag")) return r->flag;
    if (!strcmp(where, "b > 50")) return r->b > 50;
    assert_string_equal(where, "kind = \"rare\"");
    return r->rare;
}

static int64_t floor_to(int64_t t, int64_t size) {
    return t / size * size; /* the tests' times are after 1970 */
}

/* The records of a feature's window among the sorted ones at or before now: their indexes. */
static int brute_window(const weir_feature_def *f, const record *records, int end, int64_t now, int *index, int64_t *ret_start, int64_t *ret_end) {
    int n = 0, from = 0;
    int64_t last = INT64_MIN;
    *ret_start = *ret_end = now;
    for (int i = 0; i < end; i++) {
        const record *r = &records[i];
        int64_t t = r->time;
        bool in = brute_where(f->where, r);
        int64_t closed = floor_to(now, f->window == WEIR_WINDOW_HOPPING ? f->every_us : f->window_us ? f->window_us : 1);
        switch (f->window) {
        case WEIR_WINDOW_SLIDING: in &= f->tile_us ? t >= floor_to(now - f->window_us + 1, f->tile_us) : t > now - f->window_us; break;
        case WEIR_WINDOW_TUMBLING:
        case WEIR_WINDOW_HOPPING: in &= t >= closed - f->window_us && t < closed; break;
        case WEIR_WINDOW_TO_DATE: in &= t >= floor_to(now, f->window_us); break;
        case WEIR_WINDOW_SESSION:
            if (in && last != INT64_MIN && t - last > f->window_us) n = 0;
            if (in) last = t;
            break;
        default: break;
        }
        if (in) index[n++] = i;
        if (f->window == WEIR_WINDOW_TUMBLING || f->window == WEIR_WINDOW_HOPPING) *ret_start = closed - f->window_us, *ret_end = closed;
    }
    if (f->window == WEIR_WINDOW_SLIDING) *ret_start = now - f->window_us;
    if (f->window == WEIR_WINDOW_TO_DATE) *ret_start = floor_to(now, f->window_us);
    if (f->window == WEIR_WINDOW_SESSION && n && now - last > f->window_us) n = 0;
    if (f->window == WEIR_WINDOW_LAST && n > f->last_n) from = n - f->last_n;
    memmove(index, index + from, (size_t)(n - from) * sizeof(*index));
    return n - from;
}

static void brute_fold(const weir_feature_def *f, const record *records, const int *index, int n, void *acc) {
    f->op->init(acc, &f->params);
    for (int i = 0; i < n; i++) {
        double in[WEIR_INPUTS_MAX];
        for (int k = 0; k < f->of_count; k++) in[k] = brute_term(f->of[k], &records[index[i]]);
        f->op->add(acc, records[index[i]].time, f->of_count ? in : NULL, &f->params);
    }
}

static double brute_tiles(const weir_feature_def *f, const record *records, const int *index, int n, int64_t now) {
    _Alignas(16) static unsigned char acc[WEIR_ACC_MAX], tile[WEIR_ACC_MAX];
    int from = 0;
    brute_fold(f, records, index, 0, acc);
    while (from < n) {
        int to = from;
        while (to < n && records[index[to]].time / f->tile_us == records[index[from]].time / f->tile_us) to++;
        brute_fold(f, records, index + from, to - from, from ? tile : acc);
        if (from) f->op->merge(acc, tile, &f->params);
        from = to;
    }
    return f->op->value(acc, now, &f->params);
}

static double brute_eval(const weir_feature_def *f, const record *records, const int *index, int n, int64_t start, int64_t end) {
    static double in[WEIR_INPUTS_MAX][RECORDS_MAX], scratch[2 * RECORDS_MAX];
    static int64_t time[RECORDS_MAX];
    weir_window w = {.count = n, .time_us = time, .start_us = start, .end_us = end, .scratch = scratch};
    for (int i = 0; i < n; i++) {
        time[i] = records[index[i]].time;
        for (int k = 0; k < f->of_count; k++) in[k][i] = brute_term(f->of[k], &records[index[i]]);
    }
    for (int k = 0; k < f->of_count; k++) w.in[k] = in[k];
    return f->op->eval(&w, &f->params);
}

static double brute_operator(const weir_feature_def *f, const record *records, int n, int64_t t, const weir_source *upto) {
    _Alignas(16) static unsigned char acc[WEIR_ACC_MAX];
    int index[RECORDS_MAX], end = 0;
    int64_t now = t - f->delay_us, from, to;
    const record limit = {.time = t, .source = upto ? *upto : (weir_source){INT32_MAX, INT64_MAX}};
    while (end < n && (f->delay_us ? records[end].time <= now : by_order(&records[end], &limit) <= 0)) end++;
    int count = brute_window(f, records, end, now, index, &from, &to);
    if (f->window == WEIR_WINDOW_LAST && count) from = records[index[0]].time, to = records[index[count - 1]].time;
    if (f->tile_us) return brute_tiles(f, records, index, count, now);
    bool folds = f->window == WEIR_WINDOW_ALL || f->window == WEIR_WINDOW_SESSION || (f->window == WEIR_WINDOW_TO_DATE && f->op->add) || !f->op->eval;
    if (!folds) return brute_eval(f, records, index, count, from, to);
    brute_fold(f, records, index, count, acc);
    return f->op->value(acc, now, &f->params);
}

static void brute_values(const fixture *f, const record *records, int n, int64_t t, const weir_source *upto, double *out) {
    const record limit = {.time = t, .source = upto ? *upto : (weir_source){INT32_MAX, INT64_MAX}};
    const record *newest = NULL;
    double mean60 = NAN, over = NAN;
    for (int i = 0; i < n && by_order(&records[i], &limit) <= 0; i++) newest = &records[i];
    for (int i = 0; i < f->def.feature_count; i++) {
        const weir_feature_def *feature = &f->def.features[i];
        double v;
        if (feature->op)
            v = brute_operator(feature, records, n, t, upto);
        else if (!strcmp(feature->name, "over"))
            v = newest ? newest->a / mean60 : NAN;
        else if (!strcmp(feature->name, "twice"))
            v = over * 2 + (newest && newest->rare);
        else
            v = newest ? 0 : NAN;
        out[i] = isfinite(v) ? v : feature->fallback;
        if (!strcmp(feature->name, "mean60")) mean60 = out[i];
        if (!strcmp(feature->name, "over")) over = out[i];
    }
}

static bool same_bits(double a, double b) {
    return !memcmp(&a, &b, sizeof(a)) || (isnan(a) && isnan(b));
}

static void assert_values(const fixture *f, const double *got, const double *expected, const char *when) {
    for (int i = 0; i < f->def.feature_count; i++) {
        if (!same_bits(got[i], expected[i])) fail_msg("%s, %s: %.17g is not %.17g", f->def.features[i].name, when, got[i], expected[i]);
    }
}

/* --- every order of arrival --- */

static void reread(fixture *f) {
    weir_buf bytes = {0};
    weir_err err = {0};
    assert_true(weir_state_encode(f->view, &f->state, &bytes));
    if (weir_state_decode(f->view, bytes.data, bytes.len, &f->state, &err)) fail_msg("%s", err.message);
    weir_buf_done(&bytes);
}

static void arrive(fixture *f, const record *arriving, int n, int64_t lateness_us, unsigned *seed) {
    static record sorted[RECORDS_MAX];
    double out[FEATURES_MAX], expected[FEATURES_MAX];
    int64_t newest = INT64_MIN;
    weir_state_clear(&f->state);
    for (int i = 0; i < n; i++) {
        const record *r = &arriving[i];
        int position;
        assert_int_equal(apply(f, r, &position), WEIR_APPLIED);
        if (r->time > newest) newest = r->time;
        memcpy(sorted, arriving, (size_t)(i + 1) * sizeof(*sorted));
        qsort(sorted, (size_t)i + 1, sizeof(*sorted), by_order);
        weir_view_eval(f->view, &f->state, r->time, &r->source, out);
        brute_values(f, sorted, i + 1, r->time, &r->source, expected);
        assert_values(f, out, expected, "at the record");
        int64_t later = newest - (lateness_us ? rand_r(seed) % (lateness_us + 1) : 0) + (rand_r(seed) % 3 ? 0 : rand_r(seed) % 100 * S);
        weir_view_eval(f->view, &f->state, later, NULL, out);
        brute_values(f, sorted, i + 1, later, NULL, expected);
        assert_values(f, out, expected, "at some time");
        if (rand_r(seed) % 4 == 0) assert_int_equal(apply(f, &arriving[rand_r(seed) % (i + 1)], NULL), WEIR_DUPLICATE);
        if (rand_r(seed) % 6 == 0) reread(f);
        weir_tail_record tail;
        assert_int_equal(weir_view_affected(f->view, &f->state, position), weir_state_at(&f->state, position + 1, &tail));
        for (int p = position + 1; p < position + 4 && weir_state_at(&f->state, p, &tail); p++) {
            if (tail.event_time_us < newest - lateness_us) continue;
            weir_view_eval_without(f->view, &f->state, tail.event_time_us, &tail.source, position, out);
            record *at = sorted;
            while (by_order(at, r)) at++;
            record removed = *at;
            memmove(at, at + 1, (size_t)(sorted + i - at) * sizeof(*at));
            brute_values(f, sorted, i, tail.event_time_us, &tail.source, expected);
            assert_values(f, out, expected, "without the record");
            memmove(at + 1, at, (size_t)(sorted + i - at) * sizeof(*at));
            *at = removed;
            weir_view_eval(f->view, &f->state, tail.event_time_us, &tail.source, out);
            brute_values(f, sorted, i + 1, tail.event_time_us, &tail.source, expected);
            assert_values(f, out, expected, "at a later record");
        }
    }
}

static void values_have_the_bits_of_the_sorted_set(void **state) {
    static const int64_t lateness[] = {0, 2 * S, 15 * S, 200 * S, 100000 * S};
    static record records[RECORDS_MAX];
    fixture *f = *state;
    unsigned seed = 11;
    for (size_t l = 0; l < sizeof(lateness) / sizeof(*lateness); l++) {
        make_view(f, lateness[l]);
        for (int round = 0; round < 6; round++) {
            make_records(records, 150, lateness[l], &seed);
            arrive(f, records, 150, lateness[l], &seed);
            bool folded = f->state.base_used;
            assert_true(lateness[l] > 1000 * S || folded); /* both sides of the border were tried */
            assert_false(lateness[l] > 1000 * S && folded);
        }
    }
}

/* A long tail has anchors, from which values go on after a record that came out of order. */
static void a_long_tail_in_disorder_gives_the_same_bits(void **state) {
    static record records[RECORDS_MAX];
    fixture *f = *state;
    unsigned seed = 23;
    make_view(f, 100000 * S);
    make_records(records, RECORDS_MAX, 15 * S, &seed);
    arrive(f, records, RECORDS_MAX, 15 * S, &seed);
    assert_true(f->state.anchors_valid);
    assert_int_equal(f->state.count, RECORDS_MAX);
}

/* Alone in a view, a feature has no other's windows to keep what it needs. */
static void each_feature_keeps_what_it_needs(void **state) {
    static record records[RECORDS_MAX];
    fixture *f = *state;
    unsigned seed = 17;
    for (int i = 0; i < FEATURES; i++) {
        if (all_features[i].expr) continue;
        use_features(f, &all_features[i], 1);
        for (int round = 0; round < 4; round++) {
            int64_t lateness_us = round % 2 ? 3 * S : 0;
            make_view(f, lateness_us);
            make_records(records, 120, lateness_us, &seed);
            arrive(f, records, 120, lateness_us, &seed);
            assert_true(f->state.count < 120); /* and no more than that */
        }
    }
}

/* History adds in any order, without regard to lateness. */
static void added_in_any_order_values_are_the_same(void **state) {
    static record records[RECORDS_MAX], sorted[RECORDS_MAX];
    fixture *f = *state;
    unsigned seed = 5;
    double out[FEATURES_MAX], expected[FEATURES_MAX], slots[16];
    make_view(f, 0);
    make_records(records, 120, 100000 * S, &seed);
    for (int i = 0; i < 120; i++) {
        fill_slots(f, &records[i], slots);
        for (int twice = 0; twice < 2; twice++) assert_int_equal(weir_state_add(f->view, &f->state, records[i].time, records[i].source, slots, NULL), WEIR_OK);
        assert_int_equal(f->state.count, i + 1);
        memcpy(sorted, records, (size_t)(i + 1) * sizeof(*sorted));
        qsort(sorted, (size_t)i + 1, sizeof(*sorted), by_order);
        const record *at = &sorted[rand_r(&seed) % (i + 1)];
        weir_view_eval(f->view, &f->state, at->time, &at->source, out);
        brute_values(f, sorted, i + 1, at->time, &at->source, expected);
        assert_values(f, out, expected, "at a record");
    }
    assert_false(f->state.base_used);
}

/* What comes after a time moves nothing at or before it. */
static void the_future_changes_nothing(void **state) {
    static record records[RECORDS_MAX];
    fixture *f = *state;
    unsigned seed = 3;
    static double before[RECORDS_MAX][FEATURES_MAX];
    double out[FEATURES_MAX];
    make_view(f, 100000 * S);
    make_records(records, 100, 0, &seed);
    qsort(records, 100, sizeof(*records), by_order);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(apply(f, &records[i], NULL), WEIR_APPLIED);
        weir_view_eval(f->view, &f->state, records[i].time, &records[i].source, before[i]);
    }
    for (int i = 0; i < 100; i++) {
        weir_view_eval(f->view, &f->state, records[i].time, &records[i].source, out);
        assert_values(f, out, before[i], "with the future there");
    }
}

static record plain(int64_t second, int64_t offset, double a) {
    return (record){.time = T0 + second * S, .source = {0, offset}, .a = a};
}

static void use(fixture *f, int64_t lateness_us, const weir_feature_def *features, int count) {
    use_features(f, features, count);
    make_view(f, lateness_us);
}

static double value_at(fixture *f, int64_t t, int feature) {
    double out[FEATURES_MAX];
    weir_view_eval(f->view, &f->state, t, NULL, out);
    return out[feature];
}

static void what_was_folded_is_known_when_it_comes_again(void **state) {
    static const weir_feature_def features[] = {FEATURE("sum", "sum", OF("a"), .window = WEIR_WINDOW_ALL), FEATURE("n", "count", .window_us = 5 * S)};
    fixture *f = *state;
    weir_buf before = {0}, after = {0};
    use(f, 10 * S, features, 2);
    for (int i = 1; i <= 100; i++) assert_int_equal(apply(f, &(record){.time = T0 + i * S, .source = {0, i}, .a = 1}, NULL), WEIR_APPLIED);
    assert_true(f->state.count < 20);
    assert_int_equal(f->state.version, 100);
    assert_true(weir_state_encode(f->view, &f->state, &before));
    record again = plain(5, 5, 1), late = plain(5, 101, 1), elsewhere = plain(5, 1, 1), at_the_edge = plain(90, 101, 1);
    elsewhere.source.partition = 7;
    assert_int_equal(apply(f, &again, NULL), WEIR_DUPLICATE);
    assert_int_equal(apply(f, &late, NULL), WEIR_LATE);
    assert_int_equal(apply(f, &elsewhere, NULL), WEIR_LATE);
    reread(f);
    assert_int_equal(apply(f, &again, NULL), WEIR_DUPLICATE);
    assert_int_equal(apply(f, &late, NULL), WEIR_LATE);
    assert_true(weir_state_encode(f->view, &f->state, &after));
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    assert_int_equal(apply(f, &at_the_edge, NULL), WEIR_APPLIED);
    assert_true(value_at(f, T0 + 100 * S, 0) == 101);
    assert_true(value_at(f, T0 + 90 * S, 1) == 6);
    weir_buf_done(&before);
    weir_buf_done(&after);
}

static void records_read_back_keep_their_numbers(void **state) {
    static const weir_feature_def features[] = {FEATURE("n", "count", .window = WEIR_WINDOW_ALL)};
    fixture *f = *state;
    double slots[16] = {0};
    weir_applied applied;
    weir_tail_record tail;
    int position;
    use(f, 100 * S, features, 1);
    assert_int_equal(weir_view_apply(f->view, &f->state, T0, (weir_source){0, 1}, slots, 7, &applied, &position, NULL), WEIR_OK);
    assert_int_equal(applied, WEIR_APPLIED);
    assert_int_equal(weir_view_apply(f->view, &f->state, T0 + 1, (weir_source){0, 2}, slots, 7, &applied, &position, NULL), WEIR_OK);
    assert_int_equal(applied, WEIR_DUPLICATE);
    assert_int_equal(weir_view_apply(f->view, &f->state, T0 - 1, (weir_source){0, 3}, slots, 0, &applied, &position, NULL), WEIR_OK);
    assert_int_equal(applied, WEIR_APPLIED);
    assert_int_equal(position, 0);
    reread(f);
    assert_int_equal(f->state.version, 8);
    assert_true(weir_state_at(&f->state, 0, &tail) && tail.seq == 8 && tail.source.offset == 3);
    assert_true(weir_state_at(&f->state, 1, &tail) && tail.seq == 7 && tail.event_time_us == T0);
    assert_false(weir_state_at(&f->state, 2, &tail));
    assert_false(weir_state_at(&f->state, -1, &tail));
}

static void a_session_ends_with_a_gap_and_by_itself(void **state) {
    static const weir_feature_def features[] = {FEATURE("n", "count", .window = WEIR_WINDOW_SESSION, .window_us = 5 * S)};
    static const int seconds[] = {0, 5, 10, 16, 17};
    static const int counts[] = {1, 2, 3, 1, 2};
    fixture *f = *state;
    use(f, 0, features, 1);
    for (int i = 0; i < 5; i++) {
        record r = plain(seconds[i], i, 1);
        apply(f, &r, NULL);
        assert_true(value_at(f, r.time, 0) == counts[i]);
    }
    assert_true(value_at(f, T0 + 22 * S, 0) == 2); /* exactly the gap */
    assert_true(value_at(f, T0 + 22 * S + 1, 0) == 0);
}

static void tiles_that_fit_the_window_are_exact(void **state) {
    static const weir_feature_def features[] = {FEATURE("tiled", "count", .window_us = 60 * S, .tile_us = 10 * S),
                                                FEATURE("exact", "count", .window_us = 60 * S)};
    fixture *f = *state;
    unsigned seed = 9;
    use(f, 3 * S, features, 2);
    int64_t t = T0;
    int differed = 0;
    for (int i = 0; i < 500; i++) {
        t += rand_r(&seed) % 2000 * 1000;
        assert_int_equal(apply(f, &(record){.time = t, .source = {0, i}}, NULL), WEIR_APPLIED);
        int64_t edge = (t / (10 * S) + 1) * 10 * S - 1;
        assert_true(value_at(f, edge, 0) == value_at(f, edge, 1));
        double more = value_at(f, t, 0) - value_at(f, t, 1);
        assert_true(more >= 0 && more <= 40); /* what lies in the tile that the far edge cuts */
        differed += more > 0;
    }
    assert_true(differed > 100);
}

/* Features come and go; what was kept for those that stay stays. */
static void a_state_is_read_by_a_view_with_other_features(void **state) {
    static record records[RECORDS_MAX];
    static const weir_feature_def old_features[] = {
        FEATURE("n", "count", .window_us = 50 * S),
        FEATURE("sum", "sum", OF("a"), .window = WEIR_WINDOW_ALL),
        FEATURE("std", "std", OF("a"), .window = WEIR_WINDOW_ALL, .params = {.value = {1}}),
        FEATURE("mean", "mean", OF("a"), .window_us = 20 * S),
        FEATURE("gone", "max", OF("a * 2"), .window_us = 20 * S),
        FEATURE("tiled", "sum", OF("a"), .window_us = 80 * S, .tile_us = 10 * S),
    };
    static const weir_feature_def new_features[] = {
        FEATURE("tiled", "sum", OF("a"), .window_us = 80 * S, .tile_us = 10 * S),
        FEATURE("b", "sum", OF("b"), .window_us = 50 * S),
        FEATURE("sum", "sum", OF("a"), .window = WEIR_WINDOW_ALL),
        FEATURE("mean", "mean", OF("a"), .window_us = 20 * S),
        FEATURE("new", "count", .window = WEIR_WINDOW_ALL),
        FEATURE("std", "std", OF("a"), .window = WEIR_WINDOW_ALL),
        FEATURE("n", "count", .window_us = 50 * S),
    };
    fixture *f = *state;
    weir_buf bytes = {0};
    weir_err err = {0};
    double before[FEATURES_MAX], after[FEATURES_MAX];
    unsigned seed = 2;
    use(f, 5 * S, old_features, 6);
    for (int i = 0; i < 200; i++) {
        records[i] = (record){.time = T0 + (i + 1) * S, .source = {0, i + 1}, .a = rand_r(&seed) % 100 / 7.0, .b = 1};
        assert_int_equal(apply(f, &records[i], NULL), WEIR_APPLIED);
    }
    int64_t t = T0 + 200 * S;
    weir_view_eval(f->view, &f->state, t, NULL, before);
    assert_true(weir_state_encode(f->view, &f->state, &bytes));
    use(f, 5 * S, new_features, 7);
    if (weir_state_decode(f->view, bytes.data, bytes.len, &f->state, &err)) fail_msg("%s", err.message);
    weir_view_eval(f->view, &f->state, t, NULL, after);
    assert_true(same_bits(after[0], before[5]));
    assert_true(isnan(after[1])); /* b was not kept */
    assert_true(same_bits(after[2], before[1]));
    assert_true(same_bits(after[3], before[3]));
    assert_true(after[4] == f->state.count); /* from the tail on */
    int in_tail = f->state.count; /* another ddof: another accumulator, from the tail on */
    assert_true(same_bits(after[5], brute_operator(&f->features[5], records + 200 - in_tail, in_tail, t, NULL)));
    assert_true(same_bits(after[6], before[0]));
    assert_int_equal(f->state.version, 200);
    record next = plain(201, 201, 1);
    next.b = 4;
    assert_int_equal(apply(f, &next, NULL), WEIR_APPLIED);
    assert_true(value_at(f, next.time, 1) == 4);
    weir_buf_done(&bytes);
}

static void the_tail_keeps_what_counts_and_no_more(void **state) {
    static const weir_feature_def counted[] = {FEATURE("sum", "sum", OF("a"), .window = WEIR_WINDOW_LAST, .last_n = 25, .delay_us = 10 * S)};
    static const weir_feature_def rare[] = {FEATURE("sum", "sum", OF("a"), .where = "kind = \"rare\"", .window = WEIR_WINDOW_LAST, .last_n = 3)};
    fixture *f = *state;
    use(f, 5 * S, counted, 1);
    for (int i = 1; i <= 1000; i++) apply(f, &(record){.time = T0 + i * S, .source = {0, i}, .a = i}, NULL);
    assert_int_equal(f->state.count, 25 + 10 + 5);
    assert_true(value_at(f, T0 + 995 * S, 0) == 25 * (985 - 12)); /* the oldest time at which a record may still come */
    size_t bytes = weir_state_bytes(&f->state);
    for (int i = 1001; i <= 5000; i++) apply(f, &(record){.time = T0 + i * S, .source = {0, i}, .a = i}, NULL);
    assert_int_equal(weir_state_bytes(&f->state), bytes); /* a steady stream needs no more memory */
    weir_state_done(&f->state);
    use(f, 5 * S, rare, 1);
    for (int i = 1; i <= 1000; i++) apply(f, &(record){.time = T0 + i * S, .source = {0, i}, .a = i, .rare = i % 400 == 1}, NULL);
    assert_true(f->state.count <= 7);
    reread(f);
    assert_true(value_at(f, T0 + 1000 * S, 0) == 1 + 401 + 801);
}

static weir_status refused(fixture *f, const weir_feature_def *features, int count, const char *why) {
    weir_err err = {0};
    weir_view *view = NULL;
    use_features(f, features, count);
    weir_status status = weir_view_new(&f->pipeline, &f->def, &view, &err);
    if (!status || !strstr(err.message, why)) fail_msg("\"%s\" was expected: %s", why, status ? err.message : "it was accepted");
    return status;
}

static void what_cannot_be_computed_is_refused(void **state) {
    static const weir_feature_def tiles[] = {FEATURE("x", "sum", OF("a"), .window_us = 30 * WEIR_DAY_US, .tile_us = S)};
    static const weir_feature_def endless[] = {FEATURE("x", "rate", .window = WEIR_WINDOW_ALL)};
    static const weir_feature_def circle[] = {FEATURE("outside", NULL, .expr = "x1 + 1"), FEATURE("x1", NULL, .expr = "x2 + a"),
                                              FEATURE("x2", NULL, .expr = "x3 * 2"), FEATURE("x3", NULL, .expr = "x1 - 1")};
    static const weir_feature_def unknown[] = {FEATURE("x", "sum", OF("c"), .window_us = S)};
    fixture *f = *state;
    assert_int_equal(refused(f, tiles, 1, "take larger tiles"), WEIR_EINVAL);
    assert_int_equal(refused(f, endless, 1, "without an end"), WEIR_EINVAL);
    assert_int_equal(refused(f, circle, 4, "in a circle: x"), WEIR_EINVAL);
    assert_int_equal(refused(f, unknown, 1, "feature x"), WEIR_EINVAL);
}

static void equal_expressions_are_kept_once(void **state) {
    static const weir_feature_def features[] = {FEATURE("x", "sum", OF("a+b"), .where = "(flag)", .window_us = S),
                                                FEATURE("y", "max", OF("( a +  b )"), .where = "flag", .window_us = S),
                                                FEATURE("z", NULL, .expr = "kind = \"rare\" and x > 0")};
    fixture *f = *state;
    int count;
    use(f, 0, features, 3);
    assert_int_equal(weir_view_slot_count(f->view), 3); /* a + b, flag, kind */
    assert_int_equal(weir_view_slot_column(f->view, 0), -1);
    assert_int_equal(weir_view_slot_column(f->view, 1), FLAG);
    assert_string_equal(weir_view_slot_text(f->view, 2), "kind");
    const int *columns = weir_view_columns(f->view, &count);
    assert_int_equal(count, 4);
    for (int i = 0; i < count; i++) assert_int_equal(columns[i], A + i);
    assert_int_equal(weir_view_horizon_us(f->view), S);
}

/* --- damage, and memory that runs out --- */

static void damage_is_refused(void **state) {
    static record records[RECORDS_MAX];
    fixture *f = *state;
    unsigned seed = 21;
    weir_buf bytes = {0};
    weir_state back = {0};
    weir_err err = {0};
    int refusals = 0;
    make_view(f, 5 * S);
    make_records(records, 150, 5 * S, &seed);
    for (int i = 0; i < 150; i++) assert_int_equal(apply(f, &records[i], NULL), WEIR_APPLIED);
    assert_true(f->state.base_used);
    assert_true(weir_state_encode(f->view, &f->state, &bytes));
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_equal(weir_state_decode(f->view, bytes.data, len, &back, &err), WEIR_EDATA);
        assert_int_equal(err.action, WEIR_ACTION_REJECT);
        assert_int_equal(back.count, 0);
    }
    for (int i = 0; i < 5000; i++) {
        char *at = bytes.data + (size_t)rand_r(&seed) % bytes.len, kept = *at;
        *at ^= (char)(1 << rand_r(&seed) % 8);
        refusals += weir_state_decode(f->view, bytes.data, bytes.len, &back, NULL) == WEIR_EDATA;
        *at = kept;
    }
    assert_int_equal(refusals, 5000);
    assert_int_equal(weir_state_decode(f->view, bytes.data, bytes.len, &back, &err), WEIR_OK);
    weir_state_done(&back);
    weir_buf_done(&bytes);
}

static void memory_that_runs_out_leaves_the_state_as_it_was(void **state) {
    static record records[RECORDS_MAX], sorted[RECORDS_MAX];
    fixture *f = *state;
    weir_allocator kept = weir_mem;
    weir_applied applied;
    weir_buf bytes = {0};
    weir_err err = {0};
    unsigned seed = 4;
    double slots[16], out[FEATURES_MAX], expected[FEATURES_MAX];
    int failures = 0;
    make_view(f, 0);
    make_records(records, 60, 0, &seed);
    for (int i = 0; i < 60; i++) {
        weir_status status = WEIR_ENOMEM;
        fill_slots(f, &records[i], slots);
        weir_mem.realloc = failing_realloc;
        for (int n = 0; status; n++) {
            allocations_left = n;
            uint32_t version = f->state.version;
            status = weir_view_apply(f->view, &f->state, records[i].time, records[i].source, slots, 0, &applied, NULL, &err);
            if (!status) break;
            assert_int_equal(status, WEIR_ENOMEM);
            assert_int_equal(f->state.version, version);
            failures++;
        }
        weir_mem = kept;
        assert_int_equal(applied, WEIR_APPLIED);
        weir_view_eval(f->view, &f->state, records[i].time, NULL, out);
        memcpy(sorted, records, (size_t)(i + 1) * sizeof(*sorted));
        qsort(sorted, (size_t)i + 1, sizeof(*sorted), by_order);
        brute_values(f, sorted, i + 1, records[i].time, NULL, expected);
        assert_values(f, out, expected, "after a failure");
    }
    assert_true(failures >= 6);
    assert_true(weir_state_encode(f->view, &f->state, &bytes));
    weir_state_done(&f->state);
    weir_mem.realloc = failing_realloc;
    for (int n = 0;; n++) {
        allocations_left = n;
        weir_status status = weir_state_decode(f->view, bytes.data, bytes.len, &f->state, &err);
        if (!status) break;
        assert_int_equal(status, WEIR_ENOMEM);
        assert_int_equal(err.action, WEIR_ACTION_RETRY);
        assert_int_equal(f->state.count, 0);
        assert_true(n < 10);
        weir_state_done(&f->state);
    }
    weir_mem = kept;
    weir_view_eval(f->view, &f->state, records[59].time, NULL, out);
    assert_values(f, out, expected, "from bytes");
    weir_buf_done(&bytes);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_have_the_bits_of_the_sorted_set, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_tail_in_disorder_gives_the_same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(each_feature_keeps_what_it_needs, setup, teardown),
        cmocka_unit_test_setup_teardown(added_in_any_order_values_are_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(the_future_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_folded_is_known_when_it_comes_again, setup, teardown),
        cmocka_unit_test_setup_teardown(records_read_back_keep_their_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_ends_with_a_gap_and_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(tiles_that_fit_the_window_are_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_is_read_by_a_view_with_other_features, setup, teardown),
        cmocka_unit_test_setup_teardown(the_tail_keeps_what_counts_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_computed_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_expressions_are_kept_once, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_that_runs_out_leaves_the_state_as_it_was, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
