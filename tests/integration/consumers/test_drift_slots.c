/* Slots for drift on a real PostgreSQL: what is stored comes back, parts become one, and of two owners of a partition one counts. Needs WEIR_PG_URL; skipped without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "consumers/drift_slots.h"

#define HOUR INT64_C(3600000000)
#define START (INT64_C(475000) * HOUR)

static const weir_drift_field fields[] = {{"x", WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE}, {"y", WEIR_DRIFT_CATEGORY, WEIR_DRIFT_FEATURE}};
static const weir_drift_stream stream = {"features/v", "t.features.v", fields, 2};
static char name[64];

static weir_pg *connect_pg(void) {
    weir_pg *pg = NULL;
    weir_err err = {0};
    if (weir_pg_new(getenv("WEIR_PG_URL"), &pg, &err) || weir_pg_migrate(pg, &err)) fail_msg("%s", err.message);
    return pg;
}

static weir_drift_slots *open_slots(weir_pg *pg, int64_t memory, int64_t expected_next) {
    weir_drift_slots *slots = NULL;
    weir_err err = {0};
    int64_t next = 0;
    if (weir_drift_slots_new(pg, name, &stream, 1, 2, HOUR, memory, &slots, &err)) fail_msg("%s", err.message);
    for (int32_t p = 0; p < 2; p++)
        if (weir_drift_slots_take(slots, 0, p, &next, &err)) fail_msg("%s", err.message);
    if (weir_drift_slots_take(slots, 0, 0, &next, &err)) fail_msg("%s", err.message);
    assert_true(next == expected_next);
    return slots;
}

/* Records [from, to) of a partition, ten an hour. */
static void count(weir_drift_slots *slots, int32_t partition, int64_t from, int64_t to) {
    weir_err err = {0};
    for (int64_t i = from; i < to; i++) {
        weir_drift_table *table = NULL;
        if (weir_drift_slots_add(slots, 0, partition, START + i * HOUR / 10, &table, &err)) fail_msg("%s", err.message);
        const weir_datum row[] = {weir_f64((double)i), weir_text(i % 2 ? "odd" : "even")};
        weir_drift_table_add_row(table, row);
        weir_drift_slots_advance(slots, 0, partition, i + 1, START);
    }
}

static void flush(weir_drift_slots *slots) {
    weir_err err = {0};
    if (weir_drift_slots_flush(slots, &err)) fail_msg("%s", err.message);
}

/* The mean is exact whatever was merged, so it tells which records were counted. */
static void expect(weir_pg *pg, int64_t from_us, int64_t to_us, int64_t records, double mean) {
    weir_drift_table *table = NULL;
    weir_err err = {0};
    int64_t found = 0;
    assert_int_equal(weir_drift_table_new(fields, 2, 1, &table, &err), WEIR_OK);
    if (weir_drift_slots_read(pg, name, stream.name, from_us, to_us, table, &found, &err)) fail_msg("%s", err.message);
    weir_drift_summary s = weir_drift_profile_summary(weir_drift_table_profile(table, 0));
    assert_int_equal(found, records);
    assert_int_equal(s.count, records);
    if (records) assert_true(s.mean > mean - 1e-9 && s.mean < mean + 1e-9);
    weir_drift_table_free(table);
}

static int64_t number_of(weir_pg *pg, const char *sql) {
    PGresult *result = NULL;
    weir_err err = {0};
    const char *params[] = {name};
    if (weir_pg_exec(pg, sql, 1, params, &result, &err)) fail_msg("%s", err.message);
    int64_t number = atoll(PQgetvalue(result, 0, 0));
    PQclear(result);
    return number;
}

static int setup(void **state) {
    static int test;
    (void)state;
    snprintf(name, sizeof name, "drift_test_%d_%d", (int)getpid(), test++);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) return 0;
    weir_pg *pg = connect_pg();
    const char *params[] = {name};
    int failed = weir_pg_exec(pg, "DELETE FROM weir.drift_slots WHERE pipeline = $1", 1, params, NULL, NULL) ||
                 weir_pg_exec(pg, "DELETE FROM weir.drift_offsets WHERE pipeline = $1", 1, params, NULL, NULL);
    weir_pg_free(pg);
    return failed;
}

static void what_was_stored_goes_on_after_a_restart_and_what_was_not_comes_again(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) skip();
    weir_pg *pg = connect_pg();
    weir_drift_slots *slots = open_slots(pg, INT64_C(1) << 28, -1);
    count(slots, 0, 0, 25);
    flush(slots);
    count(slots, 0, 25, 40); /* lost: the worker is killed */
    weir_drift_slots_free(slots);
    expect(pg, START, START + 100 * HOUR, 25, 12);
    slots = open_slots(pg, INT64_C(1) << 28, 25);
    count(slots, 0, 25, 50);
    flush(slots);
    flush(slots); /* nothing new */
    expect(pg, START, START + 100 * HOUR, 50, 24.5);
    expect(pg, START + HOUR, START + 3 * HOUR, 20, 19.5);
    weir_drift_slots_free(slots);
    weir_pg_free(pg);
}

static void of_two_owners_the_one_that_stores_first_counts(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) skip();
    weir_pg *pg = connect_pg(), *other = connect_pg();
    weir_err err = {0};
    int64_t next;
    weir_drift_slots *old = open_slots(pg, INT64_C(1) << 28, -1);
    count(old, 0, 0, 10);
    flush(old);
    count(old, 0, 10, 30); /* it has lost the partition and does not know */
    weir_drift_slots *new = open_slots(other, INT64_C(1) << 28, 10);
    count(new, 0, 10, 20);
    flush(new);
    assert_int_equal(weir_drift_slots_flush(old, &err), WEIR_ECONFLICT);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    expect(pg, START, START + 100 * HOUR, 20, 9.5);
    assert_int_equal(weir_drift_slots_take(old, 0, 0, &next, &err), WEIR_OK); /* begins again where the other is */
    assert_true(next == 20);
    count(old, 0, 20, 30);
    flush(old);
    expect(pg, START, START + 100 * HOUR, 30, 14.5);
    weir_drift_slots_free(old);
    weir_drift_slots_free(new);
    weir_pg_free(pg);
    weir_pg_free(other);
}

static void a_partition_that_was_dropped_is_not_stored(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) skip();
    weir_pg *pg = connect_pg();
    weir_drift_slots *slots = open_slots(pg, INT64_C(1) << 28, -1);
    count(slots, 0, 0, 10);
    count(slots, 1, 10, 20);
    weir_drift_slots_drop(slots, 0, 0);
    flush(slots);
    expect(pg, START, START + 100 * HOUR, 10, 14.5);
    weir_drift_slots_free(slots);
    weir_pg_free(pg);
}

static void parts_of_partitions_become_one_and_late_records_stay_beside(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) skip();
    static const char slots_sql[] = "SELECT count(*) FROM weir.drift_slots WHERE pipeline = $1";
    weir_pg *pg = connect_pg();
    weir_err err = {0};
    weir_drift_slots *slots = open_slots(pg, INT64_C(1) << 28, -1);
    count(slots, 0, 0, 30);
    count(slots, 1, 0, 30);
    flush(slots);
    assert_int_equal(number_of(pg, slots_sql), 6);
    if (weir_drift_slots_join(pg, name, &stream, START + 2 * HOUR, &err)) fail_msg("%s", err.message);
    assert_int_equal(number_of(pg, slots_sql), 4); /* two that have ended are one each */
    expect(pg, START, START + 100 * HOUR, 60, 14.5);
    weir_drift_table *table = NULL;
    assert_int_equal(weir_drift_slots_add(slots, 0, 1, START, &table, &err), WEIR_OK);
    weir_drift_table_add_row(table, (const weir_datum[]){weir_f64(14.5), weir_text("late")});
    weir_drift_slots_advance(slots, 0, 1, 31, START);
    flush(slots);
    expect(pg, START, START + 100 * HOUR, 61, 14.5);
    if (weir_drift_slots_join(pg, name, &stream, START + 2 * HOUR, &err)) fail_msg("%s", err.message);
    assert_int_equal(number_of(pg, slots_sql), 4);
    expect(pg, START, START + 100 * HOUR, 61, 14.5);
    weir_drift_slots_free(slots);
    weir_pg_free(pg);
}

static void little_memory_stores_early_and_counts_the_same(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) skip();
    weir_pg *pg = connect_pg();
    weir_drift_slots *slots = open_slots(pg, 1, -1);
    count(slots, 0, 0, 95); /* ten slots, four at a time */
    assert_true(number_of(pg, "SELECT coalesce(sum(records), 0) FROM weir.drift_slots WHERE pipeline = $1") == 80);
    assert_true(number_of(pg, "SELECT next_offset FROM weir.drift_offsets WHERE pipeline = $1 AND partition = 0") == 80);
    flush(slots);
    expect(pg, START, START + 100 * HOUR, 95, 47);
    weir_drift_slots_free(slots);
    weir_pg_free(pg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_stored_goes_on_after_a_restart_and_what_was_not_comes_again, setup, teardown),
        cmocka_unit_test_setup_teardown(of_two_owners_the_one_that_stores_first_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_partition_that_was_dropped_is_not_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_of_partitions_become_one_and_late_records_stay_beside, setup, teardown),
        cmocka_unit_test_setup_teardown(little_memory_stores_early_and_counts_the_same, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
