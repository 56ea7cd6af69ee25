/* What goes wrong on the way: shares, order, what stays as it was; and the simulators of vessels and roads under it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/clock.h"
#include "producers/simulate.h"
#include "tests/unit/producers/simulated.h"

typedef struct seen {
    int64_t events, labels, known_late, out_of_order;
    double latest_by_us, sum; /* of the first measured column */
    int64_t values, nulls, absurd;
    weir_buf bytes; /* every record, encoded */
} seen;

static weir_pipeline *maritime, *traffic;

static int load(void **state) {
    (void)state;
    weir_err err;
    if (!weir_pipeline_load("maritime", &maritime, &err) && !weir_pipeline_load("traffic", &traffic, &err)) return 0;
    fprintf(stderr, "%s\n", err.message);
    return -1;
}

static int unload(void **state) {
    (void)state;
    weir_pipeline_free(maritime);
    weir_pipeline_free(traffic);
    return 0;
}

static void look(const weir_pipeline *pipeline, const weir_record *record, seen *s) {
    const weir_feed_def *feed = record->feed == WEIR_FROM_LABELS ? &pipeline->labels : &pipeline->events;
    weir_err err;
    s->labels += record->feed == WEIR_FROM_LABELS;
    assert_int_equal(weir_avro_encode(feed->schema, record->row, &s->bytes, &err), WEIR_OK);
    if (record->feed == WEIR_FROM_LABELS) return;
    s->events++;
    double late = (double)(record->at_us - record->row[feed->time_index].i);
    assert_true(late >= 0);
    s->known_late += late > 0;
    if (late > s->latest_by_us) s->latest_by_us = late;
    const weir_datum *value = &record->row[weir_schema_find(feed->schema, pipeline == maritime ? "wind_speed" : "temperature")];
    if (value->type == WEIR_T_NULL) {
        s->nulls++;
        return;
    }
    s->values++;
    s->sum += value->f;
    s->absurd += value->f <= 0 || value->f > 400;
}

static seen simulate(const weir_pipeline *pipeline, const weir_simulate_conf *conf, const weir_inject_conf *inject) {
    seen s = {0};
    weir_records *records = NULL;
    weir_record record;
    weir_err err;
    bool more = true;
    int64_t at = INT64_MIN;
    assert_int_equal(weir_records_simulate(weir_simulator_find(pipeline->name), pipeline, conf, inject, &records, &err), WEIR_OK);
    while (true) {
        assert_int_equal(weir_records_next(records, &record, &more, &err), WEIR_OK);
        if (!more) break;
        s.out_of_order += record.at_us < at;
        at = record.at_us;
        look(pipeline, &record, &s);
    }
    weir_records_free(records);
    assert_int_equal(s.out_of_order, 0);
    return s;
}

static const weir_simulate_conf roads = {.seed = 4, .entities = 10, .days = 40}, vessels = {.seed = 4, .entities = 6, .days = 5};

static void nothing_asked_for_changes_nothing(void **state) {
    (void)state;
    seen plain = simulate(traffic, &roads, NULL), empty = simulate(traffic, &roads, &(weir_inject_conf){0});
    assert_int_equal(plain.events, 10 * 40 * 24);
    assert_int_equal(plain.labels, plain.events);
    assert_int_equal(plain.bytes.len, empty.bytes.len);
    assert_memory_equal(plain.bytes.data, empty.bytes.data, plain.bytes.len);
    assert_int_equal(plain.known_late, 0);
    weir_buf_done(&plain.bytes);
    weir_buf_done(&empty.bytes);
}

static void a_share(double found, double expected, int64_t of) {
    assert_true(fabs(found - expected) < 5 * sqrt(expected * (1 - expected) / (double)of));
}

static void shares_are_what_was_asked_for(void **state) {
    (void)state;
    int64_t count = 10 * 40 * 24;
    seen s = simulate(traffic, &roads, &(weir_inject_conf){.duplicates = 0.05});
    a_share((double)(s.events - count) / (double)count, 0.05, count);
    assert_true(s.latest_by_us > 0 && s.latest_by_us <= 60e6);
    weir_buf_done(&s.bytes);
    s = simulate(traffic, &roads, &(weir_inject_conf){.late = 0.1, .late_by_us = 2 * 3600 * WEIR_SECOND_US});
    assert_int_equal(s.events, count);
    a_share((double)s.known_late / (double)count, 0.1, count);
    assert_true(s.latest_by_us > 6e9 && s.latest_by_us <= 7.2e9);
    weir_buf_done(&s.bytes);
    s = simulate(traffic, &roads, &(weir_inject_conf){.missing = 0.2});
    a_share((double)s.nulls / (double)count, 0.2, count);
    weir_buf_done(&s.bytes);
    s = simulate(traffic, &roads, &(weir_inject_conf){.faults = 0.4}); /* a quarter of them hits this column, and always visibly */
    a_share((double)s.absurd / (double)count, 0.1, count);
    weir_buf_done(&s.bytes);
}

static void late_events_without_a_bound_pass_what_the_pipeline_allows(void **state) {
    (void)state;
    seen s = simulate(traffic, &roads, &(weir_inject_conf){.late = 0.2});
    assert_true(s.latest_by_us > 1.4 * (double)traffic->events.allowed_lateness_us && s.latest_by_us <= 1.5 * (double)traffic->events.allowed_lateness_us);
    weir_buf_done(&s.bytes);
}

static void drift_grows_from_the_middle_to_the_end(void **state) {
    (void)state;
    seen plain = simulate(traffic, &roads, NULL), drifted = simulate(traffic, &roads, &(weir_inject_conf){.drift = 0.4});
    /* half of the run at 1, half at 1.2 on average */
    assert_true(fabs(drifted.sum / plain.sum - 1.1) < 0.01);
    weir_buf_done(&plain.bytes);
    weir_buf_done(&drifted.bytes);
}

static void a_seed_gives_the_same_bytes_and_another_seed_others(void **state) {
    (void)state;
    weir_inject_conf all = {.drift = 0.1, .faults = 0.01, .missing = 0.05, .duplicates = 0.02, .late = 0.05};
    const struct {
        const weir_pipeline *pipeline;
        const weir_simulate_conf *conf;
    } cases[] = {{traffic, &roads}, {maritime, &vessels}};
    for (int i = 0; i < 2; i++) {
        weir_simulate_conf other = *cases[i].conf;
        other.seed++;
        seen a = simulate(cases[i].pipeline, cases[i].conf, &all), b = simulate(cases[i].pipeline, cases[i].conf, &all),
             c = simulate(cases[i].pipeline, &other, &all);
        assert_int_equal(a.bytes.len, b.bytes.len);
        assert_memory_equal(a.bytes.data, b.bytes.data, a.bytes.len);
        assert_true(a.bytes.len != c.bytes.len || memcmp(a.bytes.data, c.bytes.data, a.bytes.len));
        weir_buf_done(&a.bytes);
        weir_buf_done(&b.bytes);
        weir_buf_done(&c.bytes);
    }
}

/* Events up to the end of the shorter run; labels come after and mix with later events. */
static void more_days_only_add_to_the_end(void **state) {
    (void)state;
    const weir_pipeline *pipelines[] = {traffic, maritime};
    for (int i = 0; i < 2; i++) {
        weir_simulate_conf brief = {.seed = 9, .entities = 3, .days = 3}, lengthy = {.seed = 9, .entities = 3, .days = 8};
        weir_records *a = NULL, *b = NULL;
        weir_err err;
        assert_int_equal(weir_records_simulate(weir_simulator_find(pipelines[i]->name), pipelines[i], &brief, NULL, &a, &err), WEIR_OK);
        assert_int_equal(weir_records_simulate(weir_simulator_find(pipelines[i]->name), pipelines[i], &lengthy, NULL, &b, &err), WEIR_OK);
        weir_buf of[2] = {{0}, {0}};
        weir_records *both[] = {a, b};
        int64_t end_us = weir_simulator_find(pipelines[i]->name)->fallback.start_us + 3 * WEIR_DAY_US;
        for (int k = 0; k < 2; k++) {
            weir_record record;
            bool more = true;
            while (!weir_records_next(both[k], &record, &more, &err) && more) {
                const weir_feed_def *feed = record.feed == WEIR_FROM_LABELS ? &pipelines[i]->labels : &pipelines[i]->events;
                if (record.row[feed->time_index].i < end_us) assert_int_equal(weir_avro_encode(feed->schema, record.row, &of[k], &err), WEIR_OK);
            }
            weir_records_free(both[k]);
        }
        /* the same records, labels of the last hours between events that the shorter run lacks */
        assert_true(of[0].len > 1000);
        assert_int_equal(of[0].len, of[1].len);
        assert_memory_equal(of[0].data, of[1].data, of[0].len);
        weir_buf_done(&of[0]);
        weir_buf_done(&of[1]);
    }
}

static void impossible_numbers_are_refused(void **state) {
    (void)state;
    const weir_pipeline *pipelines[] = {traffic, maritime};
    for (int i = 0; i < 2; i++) {
        const weir_simulator *simulator = weir_simulator_find(pipelines[i]->name);
        weir_err err;
        weir_records *records = NULL;
        assert_int_equal(simulator->open(pipelines[i], &(weir_simulate_conf){.entities = 0, .days = 1}, &records, &err), WEIR_EINVAL);
        assert_int_equal(simulator->open(pipelines[i], &(weir_simulate_conf){.entities = 10001, .days = 1}, &records, &err), WEIR_EINVAL);
        assert_int_equal(simulator->open(pipelines[i], &(weir_simulate_conf){.entities = 1, .days = 0}, &records, &err), WEIR_EINVAL);
        assert_null(records);
    }
    assert_null(weir_simulator_find("space"));
}

static void memory_that_runs_out_is_an_error_and_leaks_nothing(void **state) {
    (void)state;
    const weir_pipeline *pipelines[] = {traffic, maritime};
    for (int i = 0; i < 2; i++)
        starve_simulator(weir_simulator_find(pipelines[i]->name), pipelines[i], &(weir_simulate_conf){.seed = 1, .entities = 2, .days = 1},
                         &(weir_inject_conf){.duplicates = 0.5, .late = 0.5}, 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_asked_for_changes_nothing),
        cmocka_unit_test(shares_are_what_was_asked_for),
        cmocka_unit_test(late_events_without_a_bound_pass_what_the_pipeline_allows),
        cmocka_unit_test(drift_grows_from_the_middle_to_the_end),
        cmocka_unit_test(a_seed_gives_the_same_bytes_and_another_seed_others),
        cmocka_unit_test(more_days_only_add_to_the_end),
        cmocka_unit_test(impossible_numbers_are_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
