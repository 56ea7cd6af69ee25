/* The look-up of newest rows against a search through everything: rows in disorder, known late, corrected, at the labels' very times, offered by several threads, expired. */
#include "features/latest.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROWS = 20000, LABELS = 5000, SPAN = 3000, THREADS = 4 };

typedef struct label {
    uint32_t entity;
    int64_t time_us;
} label;

typedef struct world {
    weir_latest_row rows[ROWS];
    label labels[LABELS];
    weir_latest *latest;
} world;

static uint64_t seed;

static int64_t pick(int64_t n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

/* Sources are few, so that rows often differ in their version or place alone. */
static world *make_world(uint64_t from, int entities) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    seed = from;
    for (int i = 0; i < ROWS; i++) {
        int64_t event_us = pick(SPAN);
        w->rows[i] = (weir_latest_row){.entity = (uint32_t)pick(entities),
                                       .event_us = event_us,
                                       .known_us = event_us + (pick(3) ? 0 : pick(SPAN / 4)) - (pick(20) ? 0 : 5),
                                       .offset = pick(4),
                                       .version = pick(4),
                                       .partition = (int32_t)pick(2),
                                       .place = (i % 3 ? INT64_C(0) : INT64_C(1) << 41) + i};
    }
    for (int i = 0; i < LABELS; i++) w->labels[i] = (label){(uint32_t)pick(entities), pick(SPAN)};
    w->labels[0].time_us = -100; /* before all rows */
    return w;
}

static int compare(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static bool newer(const weir_latest_row *a, const weir_latest_row *b) {
    int order = compare(a->event_us, b->event_us);
    if (!order) order = compare(a->partition, b->partition);
    if (!order) order = compare(a->offset, b->offset);
    if (!order) order = compare(a->version, b->version);
    return (order ? order : compare(a->place, b->place)) > 0;
}

/* Place of the newest row; -1: none, or it has expired. */
static int64_t search(const world *w, const label *l, int64_t ttl_us) {
    const weir_latest_row *found = NULL;
    for (int i = 0; i < ROWS; i++) {
        const weir_latest_row *r = &w->rows[i];
        if (r->entity != l->entity || r->event_us > l->time_us || r->known_us > l->time_us) continue;
        if (!found || newer(r, found)) found = r;
    }
    return found && (!ttl_us || l->time_us - found->event_us <= ttl_us) ? found->place : -1;
}

typedef struct offerer {
    const world *w;
    int thread;
    pthread_t id;
} offerer;

static void *offer(void *context) {
    const offerer *o = context;
    enum { SHARE = ROWS / THREADS };
    const weir_latest_row *rows = o->w->rows + o->thread * SHARE;
    for (int i = 0, count; i < SHARE; i += count) {
        count = i % 7 + 1 < SHARE - i ? i % 7 + 1 : SHARE - i;
        weir_latest_offer(o->w->latest, rows + i, count);
    }
    return NULL;
}

static void check_matches(const world *w, int64_t ttl_us, const weir_latest_match *matches, int64_t count) {
    int64_t *found = malloc(LABELS * sizeof *found), nothing = 0;
    for (int i = 0; i < LABELS; i++) found[i] = -1;
    for (int64_t i = 0; i < count; i++) {
        assert_in_range(matches[i].label, 0, LABELS - 1);
        assert_int_equal(found[matches[i].label], -1);
        found[matches[i].label] = matches[i].place;
        if (!i) continue;
        assert_true(matches[i - 1].place <= matches[i].place);
        if (matches[i - 1].place == matches[i].place) assert_true(w->labels[matches[i - 1].label].time_us <= w->labels[matches[i].label].time_us);
    }
    for (int i = 0; i < LABELS; i++) {
        assert_int_equal(found[i], search(w, &w->labels[i], ttl_us));
        nothing += found[i] < 0;
    }
    assert_in_range(nothing, 1, LABELS - 1);
    free(found);
}

static void offer_all(const world *w, int64_t ttl_us) {
    offerer offerers[THREADS];
    weir_latest_match *matches = NULL;
    int64_t count = 0;
    weir_err err;
    for (int t = 0; t < THREADS; t++) {
        offerers[t] = (offerer){.w = w, .thread = t};
        assert_int_equal(pthread_create(&offerers[t].id, NULL, offer, &offerers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) pthread_join(offerers[t].id, NULL);
    assert_int_equal(weir_latest_end(w->latest, ttl_us, &matches, &count, &err), WEIR_OK);
    check_matches(w, ttl_us, matches, count);
    free(matches);
}

/* The labels serve for two sets of rows; of the first nothing is left. */
static void run(uint64_t from, int entities, int64_t ttl_us) {
    world *w = make_world(from, entities);
    weir_err err;
    assert_int_equal(weir_latest_new(LABELS, &w->latest, &err), WEIR_OK);
    for (int i = 0; i < LABELS; i++) weir_latest_add(w->latest, w->labels[i].entity, w->labels[i].time_us, i);
    assert_int_equal(weir_latest_start(w->latest, (uint32_t)entities, &err), WEIR_OK);
    offer_all(w, ttl_us);
    for (int i = 0; i < ROWS; i++) w->rows[i].event_us += pick(SPAN / 3);
    offer_all(w, ttl_us);
    weir_latest_free(w->latest);
    free(w);
}

static void each_label_finds_the_newest_row_known_by_then(void **state) {
    (void)state;
    run(1, 700, 0);
    run(2, 40, 0);
    run(3, 1, 0);
}

static void rows_that_are_too_old_are_none(void **state) {
    (void)state;
    run(4, 300, 20);
}

static void without_labels_nothing_is_found(void **state) {
    (void)state;
    weir_latest *latest = NULL;
    weir_latest_match *matches = NULL;
    int64_t count = -1;
    weir_err err;
    assert_int_equal(weir_latest_new(0, &latest, &err), WEIR_OK);
    assert_int_equal(weir_latest_start(latest, 0, &err), WEIR_OK);
    assert_int_equal(weir_latest_end(latest, 0, &matches, &count, &err), WEIR_OK);
    assert_int_equal(count, 0);
    free(matches);
    weir_latest_free(latest);
}

static void too_many_labels_are_refused(void **state) {
    (void)state;
    weir_latest *latest = NULL;
    weir_err err;
    assert_int_equal(weir_latest_new(UINT32_MAX, &latest, &err), WEIR_ELIMIT);
    assert_null(latest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_label_finds_the_newest_row_known_by_then),
        cmocka_unit_test(rows_that_are_too_old_are_none),
        cmocka_unit_test(without_labels_nothing_is_found),
        cmocka_unit_test(too_many_labels_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
