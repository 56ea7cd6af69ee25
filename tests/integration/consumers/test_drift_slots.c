/* Slots for drift on a real PostgreSQL: what is stored comes back, parts become one, of two owners of a partition one counts, and tenants have the same names for all. Needs WEIR_PG_URL; skipped without. */
#include <pthread.h>
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
#include "consumers/drift_tenants.h"

#define HOUR INT64_C(3600000000)
#define START (INT64_C(475000) * HOUR)

static const weir_drift_field fields[] = {{"x", WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE}, {"y", WEIR_DRIFT_CATEGORY, WEIR_DRIFT_FEATURE}};
static const weir_drift_stream stream = {"features/v", "t.features.v", fields, 2};
static char name[64];
static int tenants; /* that are told apart */

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
    if (weir_drift_slots_new(pg, name, &stream, 1, 2, HOUR, tenants, memory, &slots, &err)) fail_msg("%s", err.message);
    for (int32_t p = 0; p < 2; p++)
        if (weir_drift_slots_take(slots, 0, p, &next, &err)) fail_msg("%s", err.message);
    if (weir_drift_slots_take(slots, 0, 0, &next, &err)) fail_msg("%s", err.message);
    assert_true(next == expected_next);
    return slots;
}

/* Records [from, to) of a partition, ten an hour. of: tenants of one letter each, in turn; NULL: records have none. */
static void count_of(weir_drift_slots *slots, int32_t partition, const char *of, int64_t from, int64_t to) {
    weir_err err = {0};
    for (int64_t i = from; i < to; i++) {
        weir_drift_table *table = NULL;
        const weir_datum tenant = weir_str(of ? of + i % (int64_t)strlen(of) : "", 1);
        if (weir_drift_slots_add(slots, 0, partition, START + i * HOUR / 10, of ? &tenant : NULL, &table, &err)) fail_msg("%s", err.message);
        const weir_datum row[] = {weir_f64((double)i), weir_text(i % 2 ? "odd" : "even")};
        weir_drift_table_add_row(table, row);
        weir_drift_slots_advance(slots, 0, partition, i + 1, START);
    }
}

static void count(weir_drift_slots *slots, int32_t partition, int64_t from, int64_t to) {
    count_of(slots, partition, NULL, from, to);
}

static void flush(weir_drift_slots *slots) {
    weir_err err = {0};
    if (weir_drift_slots_flush(slots, &err)) fail_msg("%s", err.message);
}

/* The mean is exact whatever was merged, so it tells which records were counted. */
static void expect_of(weir_pg *pg, const char *tenant, int64_t from_us, int64_t to_us, int64_t records, double mean) {
    weir_drift_table *table = NULL;
    weir_err err = {0};
    int64_t found = 0;
    assert_int_equal(weir_drift_table_new(fields, 2, 1, &table, &err), WEIR_OK);
    if (weir_drift_slots_read(pg, name, stream.name, from_us, to_us, tenant, table, &found, &err)) fail_msg("%s", err.message);
    weir_drift_summary s = weir_drift_profile_summary(weir_drift_table_profile(table, 0));
    assert_int_equal(found, records);
    assert_int_equal(s.count, records);
    if (records) assert_true(s.mean > mean - 1e-9 && s.mean < mean + 1e-9);
    weir_drift_table_free(table);
}

static void expect(weir_pg *pg, int64_t from_us, int64_t to_us, int64_t records, double mean) {
    expect_of(pg, NULL, from_us, to_us, records, mean);
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
    tenants = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) return 0;
    weir_pg *pg = connect_pg();
    const char *params[] = {name};
    int failed = weir_pg_exec(pg, "DELETE FROM weir.drift_slots WHERE pipeline = $1", 1, params, NULL, NULL) ||
                 weir_pg_exec(pg, "DELETE FROM weir.drift_offsets WHERE pipeline = $1", 1, params, NULL, NULL) ||
                 weir_pg_exec(pg, "DELETE FROM weir.drift_tenants WHERE pipeline = $1", 1, params, NULL, NULL);
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
    assert_int_equal(weir_drift_slots_add(slots, 0, 1, START, NULL, &table, &err), WEIR_OK);
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

/* Of "abc" in turn a has records 0, 3, 6, …, b 1, 4, … and c, which comes third, is the rest. */
static void tenants_are_counted_apart_and_all_of_them_are_the_whole(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) skip();
    weir_pg *pg = connect_pg();
    weir_err err = {0};
    tenants = 2;
    weir_drift_slots *slots = open_slots(pg, INT64_C(1) << 28, -1);
    count_of(slots, 0, "abc", 0, 30);
    count_of(slots, 1, "abc", 0, 30);
    flush(slots);
    for (int joined = 0; joined < 2; joined++) {
        expect(pg, START, START + 3 * HOUR, 60, 14.5);
        expect_of(pg, "a", START, START + 3 * HOUR, 20, 13.5);
        expect_of(pg, "b", START, START + 3 * HOUR, 20, 14.5);
        expect_of(pg, "", START, START + 3 * HOUR, 20, 15.5);
        expect_of(pg, "c", START, START + 3 * HOUR, 0, 0);
        expect_of(pg, "a", START + HOUR, START + 2 * HOUR, 6, 15); /* 12, 15, 18 of both partitions */
        assert_int_equal(number_of(pg, "SELECT count(*) FROM weir.drift_slots WHERE pipeline = $1"), joined ? 9 : 18);
        if (!joined && weir_drift_slots_join(pg, name, &stream, START + 3 * HOUR, &err)) fail_msg("%s", err.message);
    }
    weir_drift_slots_free(slots);
    weir_pg_free(pg);
}

static void a_restart_loses_and_doubles_nothing_of_any_tenant_nor_its_name(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) skip();
    weir_pg *pg = connect_pg();
    tenants = 2;
    weir_drift_slots *slots = open_slots(pg, 1, -1); /* so it stores on the way */
    count_of(slots, 0, "abc", 0, 30);
    flush(slots);
    count_of(slots, 0, "c", 30, 36); /* lost: the worker is killed */
    weir_drift_slots_free(slots);
    int64_t stored = number_of(pg, "SELECT next_offset FROM weir.drift_offsets WHERE pipeline = $1 AND partition = 0");
    assert_int_equal(stored, 30);
    slots = open_slots(pg, 1, stored);
    count_of(slots, 0, "cab", stored, 60);
    flush(slots);
    expect(pg, START, START + 100 * HOUR, 60, 29.5);
    expect_of(pg, "a", START, START + 100 * HOUR, 20, (135 + 445) / 20.0); /* 0, 3, … 27 and 31, 34, … 58 */
    expect_of(pg, "", START, START + 100 * HOUR, 20, (155 + 435) / 20.0);
    weir_drift_slots_free(slots);
    weir_pg_free(pg);
}

/* A worker that names tenants in an order of its own, all at the same time. */
typedef struct namer {
    pthread_t thread;
    int first, numbers[8];
    bool failed;
} namer;

static void *name_all(void *context) {
    namer *n = context;
    weir_pg *pg = NULL;
    weir_drift_tenants *t = NULL;
    n->failed = weir_pg_new(getenv("WEIR_PG_URL"), &pg, NULL) || weir_drift_tenants_new(pg, name, 5, &t, NULL);
    for (int i = 0; !n->failed && i < 16; i++) {
        char text = (char)('a' + (n->first + i) % 8);
        int number = -2, *at = &n->numbers[text - 'a'];
        n->failed = weir_drift_tenants_number(t, &text, 1, &number, NULL) || (i >= 8 && number != *at);
        *at = number;
    }
    weir_drift_tenants_free(t);
    weir_pg_free(pg);
    return NULL;
}

static void workers_that_race_for_names_agree(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) skip();
    weir_pg *pg = connect_pg();
    namer namers[4];
    int taken[5] = {0};
    for (int i = 0; i < 4; i++) {
        namers[i] = (namer){.first = 2 * i};
        assert_int_equal(pthread_create(&namers[i].thread, NULL, name_all, &namers[i]), 0);
    }
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(namers[i].thread, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_false(namers[i].failed);
        assert_memory_equal(namers[i].numbers, namers[0].numbers, sizeof namers[0].numbers);
    }
    for (int i = 0; i < 8; i++) {
        assert_in_range(namers[0].numbers[i] + 1, 0, 5);
        if (namers[0].numbers[i] >= 0) taken[namers[0].numbers[i]]++;
    }
    for (int i = 0; i < 5; i++) assert_int_equal(taken[i], 1);
    weir_pg_free(pg);
}

static void names_that_are_none_or_too_long_are_of_the_rest_and_fewer_tenants_keep_the_first(void **state) {
    (void)state;
    if (!getenv("WEIR_PG_URL")) skip();
    weir_pg *pg = connect_pg();
    weir_drift_tenants *t = NULL;
    char longest[WEIR_DRIFT_TENANT_NAME_MAX + 1];
    int number;
    memset(longest, 'x', sizeof longest);
    assert_int_equal(weir_drift_tenants_new(pg, name, 3, &t, NULL), WEIR_OK);
    const struct {
        const char *text;
        size_t len;
        int number;
    } cases[] = {{"one", 3, 0}, {"", 0, -1}, {"on", 2, 1}, {longest, sizeof longest, -1}, {longest, sizeof longest - 1, 2}, {"four", 4, -1}, {"one", 3, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(weir_drift_tenants_number(t, cases[i].text, cases[i].len, &number, NULL), WEIR_OK);
        assert_int_equal(number, cases[i].number);
    }
    weir_drift_tenants_free(t);
    assert_int_equal(weir_drift_tenants_new(pg, name, 1, &t, NULL), WEIR_OK);
    assert_int_equal(weir_drift_tenants_number(t, "on", 2, &number, NULL), WEIR_OK);
    assert_int_equal(number, WEIR_DRIFT_TENANT_REST);
    assert_int_equal(weir_drift_tenants_number(t, "one", 3, &number, NULL), WEIR_OK);
    assert_string_equal(weir_drift_tenants_name(t, number), "one");
    weir_drift_tenants_free(t);
    weir_pg_free(pg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_stored_goes_on_after_a_restart_and_what_was_not_comes_again, setup, teardown),
        cmocka_unit_test_setup_teardown(of_two_owners_the_one_that_stores_first_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_partition_that_was_dropped_is_not_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_of_partitions_become_one_and_late_records_stay_beside, setup, teardown),
        cmocka_unit_test_setup_teardown(little_memory_stores_early_and_counts_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(tenants_are_counted_apart_and_all_of_them_are_the_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_loses_and_doubles_nothing_of_any_tenant_nor_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_that_race_for_names_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_are_none_or_too_long_are_of_the_rest_and_fewer_tenants_keep_the_first, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
