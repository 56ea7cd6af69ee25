/* What the tests of simulators share: a run from start to end, and one in which memory runs out. Included after <cmocka.h>. */
#ifndef WEIR_TESTS_SIMULATED_H
#define WEIR_TESTS_SIMULATED_H

#include "producers/simulate.h"
#include "tests/unit/starve.h"

/* All records, in the order of time, to take; their Avro bytes are added to bytes. */
static inline void run_simulator(const weir_simulator *simulator, const weir_pipeline *of, const weir_simulate_conf *conf,
                                 void (*take)(void *run, const weir_record *record), void *run, weir_buf *bytes) {
    weir_err err;
    weir_records *records = NULL;
    assert_int_equal(simulator->open(of, conf, &records, &err), WEIR_OK);
    weir_record record;
    bool more;
    int64_t last_us = INT64_MIN;
    for (;;) {
        assert_int_equal(weir_records_next(records, &record, &more, &err), WEIR_OK);
        if (!more) break;
        assert_true(record.at_us >= last_us);
        last_us = record.at_us;
        const weir_feed_def *feed = record.feed == WEIR_FROM_EVENTS ? &of->events : &of->labels;
        assert_int_equal(weir_avro_encode(feed->schema, record.row, bytes, &err), WEIR_OK);
        take(run, &record);
    }
    assert_int_equal(weir_records_next(records, &record, &more, &err), WEIR_OK); /* the end stays the end */
    assert_false(more);
    weir_records_free(records);
}

/* Every allocation fails once, of those behind the first `dense` every 37th. inject: NULL for the records as they are. */
static inline void starve_simulator(const weir_simulator *simulator, const weir_pipeline *of, const weir_simulate_conf *conf, const weir_inject_conf *inject,
                                    int dense) {
    weir_allocator before = weir_mem;
    bool succeeded = false;
    for (int n = 0; !succeeded && n < 2000; n += n < dense ? 1 : 37) {
        weir_err err = {0};
        weir_records *records = NULL;
        weir_mem.realloc = failing_realloc;
        allocations_left = n;
        weir_status st = inject ? weir_records_simulate(simulator, of, conf, inject, &records, &err) : simulator->open(of, conf, &records, &err);
        bool more = true;
        weir_record record;
        while (!st && more) st = weir_records_next(records, &record, &more, &err);
        weir_records_free(records);
        weir_mem = before;
        succeeded = !st;
        if (st) assert_int_equal(st, WEIR_ENOMEM);
    }
    assert_true(succeeded);
}

#endif
