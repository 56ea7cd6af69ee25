/* The join core against a search through everything: rows in disorder, known late, corrected, repeated, expired; in memory and spilled. */
#include "features/asof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 20000, LABELS = 5000, VALUES = 2, SPAN = 5000 };

typedef struct flat_row {
    uint32_t entity;
    int32_t partition;
    int64_t event_us, known_us, offset, version;
} flat_row;

typedef struct world {
    flat_row rows[ROWS];
    weir_asof_label labels[LABELS];
    int64_t found[LABELS]; /* place; -1: none, -2: expired */
    int64_t entered[LABELS]; /* rows of the entity that were known at the label */
    int64_t known[WEIR_ASOF_THREADS_MAX];
} world;

static uint64_t seed;

static int64_t pick(int64_t n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

static world *make_world(uint64_t from, int entities) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    seed = from;
    for (int i = 0; i < ROWS; i++) {
        flat_row *r = &w->rows[i];
        *r = (flat_row){.entity = (uint32_t)pick(entities), .partition = (int32_t)pick(3), .event_us = pick(SPAN), .offset = i};
        r->known_us = r->event_us + (pick(3) ? 0 : pick(500));
        if (i && !pick(5)) { /* corrects an earlier one, or repeats it */
            flat_row *of = &w->rows[pick(i)];
            bool repeat = !pick(3);
            *r = *of;
            r->version += !repeat;
            r->known_us += repeat ? 0 : pick(400);
        }
    }
    for (int i = 0; i < LABELS; i++) {
        int64_t t = pick(SPAN);
        bool event = !pick(3);
        w->labels[i] = (weir_asof_label){.entity = (uint32_t)pick(entities + 20),
                                         .time_us = t,
                                         .cutoff_us = event ? t + pick(300) : t,
                                         .row = i,
                                         .upto_partition = INT32_MAX,
                                         .upto_offset = INT64_MAX};
        if (event) {
            w->labels[i].upto_partition = (int32_t)pick(3);
            w->labels[i].upto_offset = pick(ROWS);
        }
    }
    return w;
}

static void begin(void *context, int thread) {
    ((world *)context)->known[thread] = 0;
}

static weir_status enter(void *context, int thread, const weir_asof_row *row, weir_err *err) {
    (void)err;
    ((world *)context)->known[thread]++;
    return row->values[0] == (double)row->place && row->values[1] == -(double)row->place ? WEIR_OK : WEIR_FAIL(err, WEIR_EINTERNAL, "values moved");
}

static weir_status at(void *context, int thread, const weir_asof_label *label, const weir_asof_row *newest, bool expired, weir_err *err) {
    (void)err;
    world *w = context;
    w->found[label->row] = expired ? -2 : newest ? newest->place : -1;
    w->entered[label->row] = w->known[thread];
    return WEIR_OK;
}

static int64_t search(const world *w, const weir_asof_label *l, int64_t ttl_us, int64_t *ret_known) {
    int64_t best = -1;
    *ret_known = 0;
    for (int i = 0; i < ROWS; i++) {
        const flat_row *r = &w->rows[i], *b = best < 0 ? NULL : &w->rows[best];
        if (r->entity != l->entity || r->known_us > l->cutoff_us) continue;
        ++*ret_known;
        if (r->event_us > l->time_us) continue;
        if (r->event_us == l->time_us && (r->partition > l->upto_partition || (r->partition == l->upto_partition && r->offset > l->upto_offset))) continue;
        if (b &&
            (r->event_us < b->event_us ||
             (r->event_us == b->event_us && (r->partition < b->partition || (r->partition == b->partition &&
                                                                             (r->offset < b->offset || (r->offset == b->offset && r->version < b->version)))))))
            continue;
        best = i;
    }
    return best >= 0 && ttl_us && l->time_us - w->rows[best].event_us > ttl_us ? -2 : best;
}

static bool same_row(const flat_row *a, const flat_row *b) {
    return a->partition == b->partition && a->offset == b->offset && a->version == b->version;
}

static void check(uint64_t from, int entities, int64_t ttl_us, int threads, int64_t memory) {
    world *w = make_world(from, entities);
    weir_budget budget = {.max_bytes = memory};
    weir_asof_conf conf = {.value_count = VALUES, .ttl_us = ttl_us, .thread_count = threads, .budget = &budget};
    const weir_asof_ops ops = {.begin = begin, .enter = enter, .at = at};
    weir_asof *asof;
    weir_err err;
    assert_int_equal(weir_asof_new(&conf, &asof, &err), WEIR_OK);
    for (int i = 0; i < LABELS; i++) assert_int_equal(weir_asof_add_label(asof, &w->labels[i], &err), WEIR_OK);
    for (int i = 0; i < ROWS; i++) {
        const flat_row *r = &w->rows[i];
        weir_asof_row *to = weir_asof_add_row(asof, r->entity, &err);
        assert_non_null(to);
        to->partition = r->partition, to->event_us = r->event_us, to->known_us = r->known_us, to->offset = r->offset, to->version = r->version, to->place = i;
        to->values[0] = i, to->values[1] = -i;
    }
    assert_int_equal(weir_asof_row_count(asof), ROWS);
    assert_true(memory > 1 << 30 ? budget.spilled_bytes == 0 : budget.spilled_bytes > 0);
    assert_int_equal(weir_asof_run(asof, &ops, w, &err), WEIR_OK);
    for (int i = 0; i < LABELS; i++) {
        int64_t known, expected = search(w, &w->labels[i], ttl_us, &known), found = w->found[i];
        assert_int_equal(w->entered[i], known);
        if (expected < 0 || found < 0)
            assert_int_equal(found, expected);
        else
            assert_true(same_row(&w->rows[found], &w->rows[expected]));
    }
    weir_asof_free(asof);
    assert_int_equal(budget.used_bytes, 0);
    free(w);
}

static void finds_what_a_search_finds(void **state) {
    (void)state;
    check(1, 700, 0, 1, INT64_MAX / 2);
    check(2, 700, 0, 2, INT64_MAX / 2);
}

static void rows_older_than_the_ttl_have_expired(void **state) {
    (void)state;
    check(3, 700, 200, 2, INT64_MAX / 2);
}

static void gives_the_same_when_it_spills(void **state) {
    (void)state;
    check(4, 6, 300, 2, 1 << 16);
}

static weir_status fail_at(void *context, int thread, const weir_asof_label *label, const weir_asof_row *newest, bool expired, weir_err *err) {
    (void)context, (void)thread, (void)newest, (void)expired;
    return label->row == 77 ? WEIR_FAIL(err, WEIR_ENUMERIC, "row 77") : WEIR_OK;
}

static void an_error_of_a_visit_is_the_error_of_the_run(void **state) {
    (void)state;
    weir_budget budget = {.max_bytes = INT64_MAX / 2};
    weir_asof_conf conf = {.thread_count = 2, .budget = &budget};
    const weir_asof_ops ops = {.at = fail_at};
    weir_asof *asof;
    weir_err err;
    assert_int_equal(weir_asof_new(&conf, &asof, &err), WEIR_OK);
    for (int i = 0; i < 1000; i++) {
        weir_asof_label label = {.entity = (uint32_t)i, .row = i};
        assert_int_equal(weir_asof_add_label(asof, &label, &err), WEIR_OK);
    }
    assert_int_equal(weir_asof_run(asof, &ops, NULL, &err), WEIR_ENUMERIC);
    assert_string_equal(err.message, "row 77");
    weir_asof_free(asof);
}

static void a_spill_gives_back_what_it_got_in_parts(void **state) {
    (void)state;
    weir_budget budget = {.max_bytes = 1 << 17};
    weir_spill *spill;
    weir_err err;
    assert_int_equal(weir_spill_new(3, 24, &budget, &spill, &err), WEIR_OK);
    for (int64_t i = 0; i < 50000; i++) {
        int64_t *record = weir_spill_add(spill, (int)(i % 3), &err);
        assert_non_null(record);
        record[0] = record[1] = record[2] = i;
    }
    assert_true(budget.spilled_bytes > 0);
    assert_true(budget.used_bytes <= budget.max_bytes + 3 * (1 << 16));
    for (int64_t next = 1; next < 50000;) {
        int64_t *records, count;
        assert_int_equal(weir_spill_take(spill, 1, 1000, (void **)&records, &count, &err), WEIR_OK);
        assert_true(count > 0);
        for (int64_t k = 0; k < count; k++, next += 3) assert_int_equal(records[3 * k + 2], next);
        free(records);
    }
    void *none;
    int64_t count;
    assert_int_equal(weir_spill_take(spill, 1, 1000, &none, &count, &err), WEIR_OK);
    assert_int_equal(count, 0);
    assert_null(none);
    weir_spill_free(spill);
    assert_int_equal(budget.used_bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_a_search_finds),
        cmocka_unit_test(rows_older_than_the_ttl_have_expired),
        cmocka_unit_test(gives_the_same_when_it_spills),
        cmocka_unit_test(an_error_of_a_visit_is_the_error_of_the_run),
        cmocka_unit_test(a_spill_gives_back_what_it_got_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
