/* Files of users: formats, mapping, conversions, what cannot be used, order, and labels that come later. Files are written by DuckDB here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "features/duck.h"
#include "producers/simulate.h"

enum { E_TENANT, E_ID, E_TIME, E_CUSTOMER, E_TERMINAL, E_AMOUNT };
enum { L_TENANT, L_ID, L_TIME, L_CUSTOMER, L_TERMINAL, L_LABELLED_AT, L_FRAUD, L_SCENARIO };

#define APRIL INT64_C(1522540800000000) /* 2018-04-01 */

static weir_pipeline *pipeline;
static weir_duck *duck;
static char folder[] = "/tmp/weir-test-XXXXXX";

static int setup(void **state) {
    (void)state;
    weir_err err;
    if (!mkdtemp(folder)) return -1;
    if (!weir_pipeline_load("fraud", &pipeline, &err) && !weir_duck_new(&duck, &err)) return 0;
    fprintf(stderr, "%s\n", err.message);
    return -1;
}

static int teardown(void **state) {
    (void)state;
    weir_pipeline_free(pipeline);
    weir_duck_free(duck);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* A path in the test's folder; four may be in use at once. */
static const char *path_of(const char *name) {
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *write_text(const char *name, const char *text) {
    const char *path = path_of(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}

static const char *write_query(const char *name, const char *query) {
    const char *path = path_of(name);
    weir_sql sql = {0};
    weir_err err;
    weir_sql_add(&sql, "COPY (%s) TO ", query);
    weir_sql_literal(&sql, path, strlen(path));
    assert_int_equal(weir_sql_end(&sql, &err), WEIR_OK);
    if (weir_duck_exec(duck, sql.text.data, &err)) fail_msg("%s", err.message);
    weir_sql_done(&sql);
    return path;
}

static weir_records *open_files(const char *const *files, const char *const *map) {
    weir_records *records = NULL;
    weir_err err;
    if (weir_records_from_files(pipeline, files, map, NULL, &records, &err)) fail_msg("%s", err.message);
    return records;
}

static weir_records *open_file(const char *path) {
    return open_files((const char *const[]){path, NULL}, NULL);
}

static weir_status refused(const char *path, const char *const *map, weir_err *err) {
    weir_records *records = NULL;
    weir_status st = weir_records_from_files(pipeline, (const char *const[]){path, NULL}, map, NULL, &records, err);
    assert_null(records);
    return st;
}

static void assert_said(const weir_err *err, const char *words) {
    if (!strstr(err->message, words)) fail_msg("expected '%s' in: %s", words, err->message);
}

static void assert_text(const weir_datum *d, const char *text) {
    char copy[256] = {0};
    assert_int_equal(d->type, WEIR_T_STR);
    assert_in_range(d->len, 0, sizeof copy - 1);
    memcpy(copy, d->p, d->len);
    assert_string_equal(copy, text);
}

static weir_record next(weir_records *records, weir_feed feed) {
    weir_record record = {0};
    weir_err err;
    bool more = false;
    if (weir_records_next(records, &record, &more, &err)) fail_msg("%s", err.message);
    assert_true(more);
    assert_int_equal(record.feed, feed);
    return record;
}

static void assert_end(weir_records *records) {
    weir_err err;
    weir_record record;
    for (int i = 0; i < 2; i++) { /* the end stays the end */
        bool more = true;
        assert_int_equal(weir_records_next(records, &record, &more, &err), WEIR_OK);
        assert_false(more);
    }
}

static void csv_in_any_order_comes_sorted_with_labels_a_week_later(void **state) {
    (void)state;
    weir_records *records = open_file(write_text("a.csv", "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO\n"
                                                          "2,2018-04-08 00:00:00,007,12,\"1.25\",0,0\n"
                                                          "0,2018-04-01 00:00:00,596,3156,57.16,1,2\n"));
    assert_int_equal(records->event_count, 2);
    assert_int_equal(records->first_us, APRIL);
    assert_int_equal(records->last_us, APRIL + 7 * WEIR_DAY_US);
    weir_record r = next(records, WEIR_FROM_EVENTS);
    assert_int_equal(r.at_us, APRIL);
    assert_text(&r.row[E_TENANT], "default");
    assert_text(&r.row[E_ID], "0");
    assert_int_equal(r.row[E_TIME].i, APRIL);
    assert_text(&r.row[E_CUSTOMER], "596");
    assert_text(&r.row[E_TERMINAL], "3156");
    assert_true(r.row[E_AMOUNT].f == 57.16);
    r = next(records, WEIR_FROM_LABELS); /* known at the very time of the next event: first */
    assert_int_equal(r.at_us, APRIL + 7 * WEIR_DAY_US);
    assert_text(&r.row[L_TENANT], "default");
    assert_text(&r.row[L_ID], "0");
    assert_int_equal(r.row[L_TIME].i, APRIL);
    assert_text(&r.row[L_CUSTOMER], "596");
    assert_text(&r.row[L_TERMINAL], "3156");
    assert_int_equal(r.row[L_LABELLED_AT].i, APRIL + 7 * WEIR_DAY_US);
    assert_int_equal(r.row[L_FRAUD].type, WEIR_T_BOOL);
    assert_int_equal(r.row[L_FRAUD].i, 1);
    assert_int_equal(r.row[L_SCENARIO].i, 2);
    r = next(records, WEIR_FROM_EVENTS);
    assert_text(&r.row[E_CUSTOMER], "007"); /* an id is text, zeros and all */
    r = next(records, WEIR_FROM_LABELS);
    assert_int_equal(r.at_us, APRIL + 14 * WEIR_DAY_US);
    assert_int_equal(r.row[L_FRAUD].i, 0);
    assert_end(records);
    weir_records_free(records);
}

static const char one_payment[] =
    "SELECT 5 AS transaction_id, TIMESTAMP '2018-04-01 10:00:00.000001' AS tx_time, 7 AS customer_id, 8 AS terminal_id, CAST(9 AS INTEGER) AS amount";

static void every_format_gives_the_same_event(void **state) {
    (void)state;
    static const char *const names[] = {"one.parquet", "one.csv", "one.csv.gz", "one.jsonl", "one.json.gz"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        weir_records *records = open_file(write_query(names[i], one_payment));
        weir_record r = next(records, WEIR_FROM_EVENTS);
        assert_text(&r.row[E_ID], "5");
        assert_int_equal(r.at_us, APRIL + 36000 * WEIR_SECOND_US + 1);
        assert_text(&r.row[E_CUSTOMER], "7");
        assert_true(r.row[E_AMOUNT].type == WEIR_T_F64 && r.row[E_AMOUNT].f == 9);
        assert_end(records); /* no label column, no labels */
        weir_records_free(records);
    }
}

static void every_form_of_time_is_understood(void **state) {
    (void)state;
    static const char *const forms[] = {
        "TIMESTAMP '2018-04-01 10:00:00'",
        "TIMESTAMP_S '2018-04-01 10:00:00'",
        "TIMESTAMP_MS '2018-04-01 10:00:00'",
        "TIMESTAMP_NS '2018-04-01 10:00:00'",
        "TIMESTAMPTZ '2018-04-01 12:00:00+02'",
        "'2018-04-01 10:00:00'",
        "'2018-04-01T10:00:00Z'",
        "'2018-04-01T12:00:00.000+02:00'",
        "1522576800",
        "1522576800000",
        "1522576800000000",
        "1522576800000000000",
        "CAST(1522576800 AS DOUBLE)",
        "CAST('1522576800000' AS VARCHAR)",
        "' 1522576800.0 '",
        "CAST(1522576800 AS UBIGINT)",
    };
    char query[512];
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(query, sizeof query, "SELECT 5 AS transaction_id, %s AS tx_time, 7 AS customer_id, 8 AS terminal_id, 9 AS amount", forms[i]);
        weir_records *records = open_file(write_query("time.parquet", query));
        assert_int_equal(records->first_us, APRIL + 36000 * WEIR_SECOND_US);
        weir_records_free(records);
    }
    weir_records *records =
        open_file(write_query("date.parquet", "SELECT 5 AS transaction_id, DATE '2018-04-01' AS tx_time, 7 AS customer_id, 8 AS terminal_id, 9 AS amount"));
    assert_int_equal(records->first_us, APRIL);
    weir_records_free(records);
}

static void names_are_matched_by_the_user_then_directly_then_by_alias(void **state) {
    (void)state;
    const char *path = write_text("map.csv", "transaction_id,Tx_Time,Customer_ID,card,terminal_id,TX_AMOUNT,amount,eur\n1,2018-04-01,direct,mapped,t,1,2,3\n");
    weir_records *records = open_files((const char *const[]){path, NULL}, (const char *const[]){"CARD=customer_id", "eur=AMOUNT", NULL});
    weir_record r = next(records, WEIR_FROM_EVENTS);
    assert_text(&r.row[E_CUSTOMER], "mapped");
    assert_true(r.row[E_AMOUNT].f == 3);
    weir_records_free(records);
    records = open_file(path);
    r = next(records, WEIR_FROM_EVENTS);
    assert_text(&r.row[E_CUSTOMER], "direct");
    assert_true(r.row[E_AMOUNT].f == 2); /* the alias TX_AMOUNT is for files without an `amount` */
    weir_records_free(records);
}

static void wrong_maps_are_refused(void **state) {
    (void)state;
    const char *path = write_query("one.parquet", one_payment);
    weir_err err;
    assert_int_equal(refused(path, (const char *const[]){"amount", NULL}, &err), WEIR_EINVAL);
    assert_said(&err, "expected COLUMN=name");
    assert_int_equal(refused(path, (const char *const[]){"amount=amuont", NULL}, &err), WEIR_EINVAL);
    assert_said(&err, "did you mean 'amount'?");
    assert_int_equal(refused(path, (const char *const[]){"eur=amount", NULL}, &err), WEIR_EDATA);
    assert_said(&err, "no file has a column 'eur'");
}

static void what_does_not_convert_is_named_and_counted(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *said[3];
    } cases[] = {
        {"bad1.csv",
         "1,2018-04-01,c,t,1.5,0\n2,2018-04-01,c,t,abc,0\n3,2018-04-01,c,t,\"1,5\",0\n",
         {"bad1.csv: column amount (for 'amount'): 2 of 3 rows", "such as 'abc'", "expected a number"}},
        {"bad2.csv", "1,01/04/2018 10:00,c,t,1,0\n", {"column tx_time", "such as '01/04/2018 10:00'", "expected a time"}},
        {"bad3.csv", "1,20180401,c,t,1,0\n", {"column tx_time", "such as '20180401'", "expected a time"}},
        {"bad4.csv", "1,2018-04-01,c,t,1,2\n", {"column fraud", "such as '2'", "expected true or false"}},
        {"bad5.csv", "1,2018-04-01,c,t,,1\n", {"column amount", "1 of 1 rows", "such as no value"}},
        {"bad6.csv", "1,,c,t,1,1\n", {"column tx_time", "1 of 1 rows", "such as no value"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        weir_err err;
        snprintf(text, sizeof text, "transaction_id,tx_time,customer_id,terminal_id,amount,fraud\n%s", cases[i].text);
        assert_int_equal(refused(write_text(cases[i].name, text), NULL, &err), WEIR_EDATA);
        for (int k = 0; k < 3; k++) assert_said(&err, cases[i].said[k]);
    }
}

static void what_is_not_there_is_named(void **state) {
    (void)state;
    weir_err err;
    assert_int_equal(refused(path_of("none.parquet"), NULL, &err), WEIR_EINVAL);
    assert_said(&err, "none.parquet: No such file");
    assert_int_equal(refused(write_text("what.xls", "x"), NULL, &err), WEIR_EINVAL);
    assert_said(&err, "expected a file named .parquet");
    assert_int_equal(refused(write_text("few.csv", "transaction_id,tx_time,customer_id,place\n1,2018-04-01,c,t\n"), NULL, &err), WEIR_EDATA);
    assert_said(&err, "few.csv has no column for 'terminal_id' (text); it has transaction_id, tx_time, customer_id, place");
    assert_int_equal(refused(write_text("torn.parquet", "PAR1 and then nothing"), NULL, &err), WEIR_EDATA);
    assert_said(&err, "torn.parquet");
    weir_records *records = NULL;
    assert_int_equal(weir_records_from_files(pipeline, NULL, NULL, NULL, &records, &err), WEIR_EINVAL);
}

static void an_unknown_outcome_is_no_label(void **state) {
    (void)state;
    weir_records *records =
        open_file(write_text("open.csv", "transaction_id,tx_time,customer_id,terminal_id,amount,fraud\n1,2018-04-01,c,t,1,\n2,2018-04-02,c,t,1,true\n"));
    (void)next(records, WEIR_FROM_EVENTS);
    (void)next(records, WEIR_FROM_EVENTS);
    weir_record r = next(records, WEIR_FROM_LABELS);
    assert_text(&r.row[L_ID], "2");
    assert_int_equal(r.row[L_SCENARIO].type, WEIR_T_NULL);
    assert_end(records);
    weir_records_free(records);
}

static void the_files_own_time_of_labelling_wins(void **state) {
    (void)state;
    weir_records *records = open_file(write_text("own.csv", "transaction_id,tx_time,customer_id,terminal_id,amount,fraud,labelled_at\n"
                                                            "1,2018-04-01,c,t,1,1,2018-04-20\n2,2018-04-02,c,t,1,0,2018-04-03\n3,2018-04-03,c,t,1,0,\n"));
    static const struct {
        weir_feed feed;
        const char *id;
        int day;
    } expected[] = {{WEIR_FROM_EVENTS, "1", 0}, {WEIR_FROM_EVENTS, "2", 1}, {WEIR_FROM_LABELS, "2", 2},
                    {WEIR_FROM_EVENTS, "3", 2}, {WEIR_FROM_LABELS, "3", 9}, {WEIR_FROM_LABELS, "1", 19}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        weir_record r = next(records, expected[i].feed);
        assert_text(&r.row[1], expected[i].id);
        assert_int_equal(r.at_us, APRIL + expected[i].day * WEIR_DAY_US);
        if (r.feed == WEIR_FROM_LABELS) assert_int_equal(r.row[L_LABELLED_AT].i, r.at_us);
    }
    assert_end(records);
    weir_records_free(records);
}

static void files_of_several_formats_are_one_stream(void **state) {
    (void)state;
    const char *csv = write_text("x.csv", "transaction_id,tx_time,customer_id,terminal_id,amount\n10,2018-04-02,c,t,1\n");
    const char *parquet = write_query(
        "x.parquet", "SELECT 11 AS TRANSACTION_ID, DATE '2018-04-01' AS TX_DATETIME, 'a''b' AS CUSTOMER_ID, 3.0 AS TERMINAL_ID, 2 AS TX_AMOUNT, 1 AS TX_FRAUD");
    weir_records *records = open_files((const char *const[]){csv, parquet, NULL}, NULL);
    weir_record r = next(records, WEIR_FROM_EVENTS);
    assert_text(&r.row[E_ID], "11");
    assert_text(&r.row[E_CUSTOMER], "a'b");
    assert_text(&r.row[E_TERMINAL], "3");
    r = next(records, WEIR_FROM_EVENTS);
    assert_text(&r.row[E_ID], "10");
    r = next(records, WEIR_FROM_LABELS);
    assert_text(&r.row[L_ID], "11");
    assert_end(records);
    weir_records_free(records);
}

static void an_empty_file_has_no_records(void **state) {
    (void)state;
    weir_records *records = open_file(write_text("empty.csv", "transaction_id,tx_time,customer_id,terminal_id,amount,fraud\n"));
    assert_int_equal(records->event_count, 0);
    assert_end(records);
    weir_records_free(records);
}

static bool encode_next(weir_records *records, weir_buf *bytes, weir_feed *ret_feed) {
    weir_record record;
    weir_err err;
    bool more;
    if (weir_records_next(records, &record, &more, &err)) fail_msg("%s", err.message);
    weir_buf_clear(bytes);
    if (!more) return false;
    *ret_feed = record.feed;
    const weir_feed_def *feed = record.feed == WEIR_FROM_EVENTS ? &pipeline->events : &pipeline->labels;
    assert_int_equal(weir_avro_encode(feed->schema, record.row, bytes, &err), WEIR_OK);
    return true;
}

/* Events against events, labels against labels: those known at the same time may come in another order, so each feed is added up. */
static void compare_records(weir_records *a, weir_records *b, int64_t *ret_events, int64_t *ret_labels) {
    uint64_t sums[2][2] = {{0}};
    int64_t counts[2][2] = {{0}};
    weir_records *const both[2] = {a, b};
    weir_buf bytes = {0};
    for (int k = 0; k < 2; k++) {
        for (weir_feed feed; encode_next(both[k], &bytes, &feed);) {
            uint64_t hash = UINT64_C(1469598103934665603);
            for (size_t i = 0; i < bytes.len; i++) hash = (hash ^ (unsigned char)bytes.data[i]) * UINT64_C(1099511628211);
            sums[k][feed] += hash;
            counts[k][feed]++;
        }
    }
    weir_buf_done(&bytes);
    for (int feed = 0; feed < 2; feed++) {
        assert_int_equal(counts[0][feed], counts[1][feed]);
        assert_true(sums[0][feed] == sums[1][feed]);
    }
    *ret_events = counts[0][WEIR_FROM_EVENTS];
    *ret_labels = counts[0][WEIR_FROM_LABELS];
}

static uint64_t hash_records(const char *path, int64_t *ret_events, int64_t *ret_labels) {
    weir_records *records = open_file(path);
    weir_buf bytes = {0};
    weir_record record;
    weir_err err;
    bool more;
    uint64_t hash = UINT64_C(1469598103934665603); /* FNV-1a */
    int64_t last_us = INT64_MIN, counts[2] = {0};
    for (;;) {
        assert_int_equal(weir_records_next(records, &record, &more, &err), WEIR_OK);
        if (!more) break;
        assert_true(record.at_us >= last_us);
        last_us = record.at_us;
        counts[record.feed]++;
        weir_buf_clear(&bytes);
        const weir_feed_def *feed = record.feed == WEIR_FROM_EVENTS ? &pipeline->events : &pipeline->labels;
        assert_int_equal(weir_avro_encode(feed->schema, record.row, &bytes, &err), WEIR_OK);
        for (size_t i = 0; i < bytes.len; i++) hash = (hash ^ (unsigned char)bytes.data[i]) * UINT64_C(1099511628211);
    }
    assert_int_equal(records->event_count, counts[WEIR_FROM_EVENTS]);
    weir_buf_done(&bytes);
    weir_records_free(records);
    *ret_events = counts[WEIR_FROM_EVENTS], *ret_labels = counts[WEIR_FROM_LABELS];
    return hash;
}

/* Thousands of payments, several a second: whatever the order of rows in the file, the same bytes come out. */
static void the_order_of_rows_does_not_matter(void **state) {
    (void)state;
    static const char rows[] = "SELECT i AS transaction_id, TIMESTAMP '2018-04-01' + to_seconds(CAST(i // 5 AS BIGINT)) AS tx_time, i % 3 AS customer_id, i % "
                               "7 AS terminal_id, i / 100 AS amount, i % 11 = 0 AS fraud FROM range(20000) t(i)";
    char shuffled[512];
    snprintf(shuffled, sizeof shuffled, "SELECT * FROM (%s) ORDER BY hash(transaction_id)", rows);
    int64_t events, labels;
    uint64_t straight = hash_records(write_query("straight.parquet", rows), &events, &labels);
    assert_int_equal(events, 20000);
    assert_int_equal(labels, 20000);
    assert_true(straight == hash_records(write_query("shuffled.parquet", shuffled), &events, &labels));
}

static void what_is_written_is_read_back_the_same(void **state) {
    (void)state;
    static const char *const names[] = {"out.csv", "out.tsv", "out.parquet", "out.jsonl", "out.csv.gz"};
    weir_simulate_conf conf = {.seed = 5, .entities = 30, .days = 12, .start_us = APRIL};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        weir_err err;
        weir_records *simulated = NULL;
        int64_t written = 0, events, labels;
        const char *path = path_of(names[i]);
        assert_int_equal(weir_simulator_fraud.open(pipeline, &conf, &simulated, &err), WEIR_OK);
        if (weir_records_to_file(pipeline, simulated, path, &written, &err)) fail_msg("%s", err.message);
        weir_records_free(simulated);
        assert_int_equal(weir_simulator_fraud.open(pipeline, &conf, &simulated, &err), WEIR_OK);
        weir_records *read = open_file(path);
        assert_int_equal(read->event_count, written);
        compare_records(simulated, read, &events, &labels);
        assert_true(written > 300 && events == written && labels == written);
        weir_records_free(simulated);
        weir_records_free(read);
    }
}

static void a_file_of_unknown_kind_or_place_is_not_written(void **state) {
    (void)state;
    weir_err err;
    weir_records *records = NULL;
    int64_t written = -1;
    weir_simulate_conf conf = {.seed = 5, .entities = 3, .days = 2, .start_us = APRIL};
    assert_int_equal(weir_simulator_fraud.open(pipeline, &conf, &records, &err), WEIR_OK);
    assert_int_equal(weir_records_to_file(pipeline, records, path_of("out.xls"), &written, &err), WEIR_EINVAL);
    assert_int_equal(weir_records_to_file(pipeline, records, path_of("no/such/folder/out.csv"), &written, &err), WEIR_EIO);
    assert_int_equal(written, -1);
    weir_records_free(records);
}

static weir_status open_set(const char *path, const char *const *map, const char *const *set, weir_records **ret_records, weir_err *err) {
    *ret_records = NULL;
    return weir_records_from_files(pipeline, (const char *const[]){path, NULL}, map, set, ret_records, err);
}

static void columns_are_set_by_sql_over_the_rows(void **state) {
    (void)state;
    const char *path = write_text("set.csv", "TRANSACTION_ID,day,CUSTOMER_ID,TX_AMOUNT,note\n3,2018-04-03,c,9,\n1,2018-04-01,c,2,x\n2,2018-04-02,c,5,y\n");
    const char *const set[] = {"tx_time=CAST(day AS TIMESTAMP) + INTERVAL 21 HOUR", "terminal_id=coalesce(note, 'none')", /* what the file calls its own */
                               "amount=amount * coalesce(lag(amount) OVER (PARTITION BY customer_id ORDER BY tx_time), 1)", /* typed, by the pipeline's names */
                               "fraud=amount > 10", NULL};
    weir_records *records;
    weir_err err;
    if (open_set(path, NULL, set, &records, &err)) fail_msg("%s", err.message);
    static const double amounts[] = {2, 10, 45};
    static const char *const terminals[] = {"x", "y", "none"};
    for (int i = 0; i < 3; i++) {
        weir_record r = next(records, WEIR_FROM_EVENTS);
        assert_int_equal(r.at_us, APRIL + i * WEIR_DAY_US + 21 * 3600 * WEIR_SECOND_US);
        assert_true(r.row[E_AMOUNT].f == amounts[i]);
        assert_text(&r.row[E_TERMINAL], terminals[i]);
    }
    for (int i = 0; i < 3; i++) assert_int_equal(next(records, WEIR_FROM_LABELS).row[L_FRAUD].i, i == 2); /* an expression sees those before it */
    assert_end(records);
    weir_records_free(records);
}

static void a_value_that_an_expression_hides_is_still_found(void **state) {
    (void)state;
    const char *path = write_text("bad.csv", "transaction_id,tx_time,customer_id,amount\n1,2018-04-01,c,2\n2,2018-04-02,c,many\n");
    weir_records *records;
    weir_err err;
    assert_int_equal(open_set(path, NULL, (const char *const[]){"terminal_id='t'", NULL}, &records, &err), WEIR_EDATA);
    assert_said(&err, "column amount (for 'amount'): 1 of 2 rows hold what cannot be used, such as 'many'");
}

static void expressions_that_do_not_fit_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *map, *set[3], *words;
        weir_status status;
    } cases[] = {
        {NULL, {"terminal_id"}, "expected COLUMN=EXPRESSION", WEIR_EINVAL},
        {NULL, {"=1"}, "expected COLUMN=EXPRESSION", WEIR_EINVAL},
        {NULL, {"amout=1"}, "did you mean 'amount'?", WEIR_EINVAL},
        {NULL, {"amount=1", "amount=2"}, "column 'amount' is set twice", WEIR_EINVAL},
        {"place=terminal_id", {"terminal_id='t'"}, "both taken from 'place' and set", WEIR_EINVAL},
        {NULL, {"terminal_id=nothing || 't'"}, "no column 'terminal_id', and it cannot be computed as nothing || 't'", WEIR_EDATA},
        {NULL, {"terminal_id='t", NULL}, "cannot be computed", WEIR_EDATA},
    };
    const char *path = write_text("fit.csv", "transaction_id,tx_time,customer_id,place,amount\n1,2018-04-01,c,t,1\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_records *records;
        weir_err err;
        assert_int_equal(open_set(path, cases[i].map ? (const char *const[]){cases[i].map, NULL} : NULL, cases[i].set, &records, &err), cases[i].status);
        assert_said(&err, cases[i].words);
    }
}

/* The pipeline's own expressions are for what a file lacks. */
static void the_pipeline_derives_only_what_is_missing(void **state) {
    (void)state;
    cJSON *derive = cJSON_AddObjectToObject(cJSON_GetObjectItem(pipeline->json, "source"), "derive");
    cJSON_AddStringToObject(derive, "terminal_id", "'t' || customer_id");
    cJSON_AddStringToObject(derive, "scenario", "2");
    const char *without = write_text("without.csv", "transaction_id,tx_time,customer_id,amount,fraud\n1,2018-04-01,c,1,1\n"),
               *with = write_text("with.csv", "transaction_id,tx_time,customer_id,TERMINAL_ID,amount,fraud,scenario\n1,2018-04-01,c,own,1,1,3\n");
    static const char *const set[] = {"customer_id='d'", "scenario=1", NULL};
    const struct {
        const char *path, *const *set, *terminal;
        int scenario;
    } cases[] = {{without, NULL, "tc", 2}, {with, NULL, "own", 3}, {without, set, "td", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_records *records;
        weir_err err;
        if (open_set(cases[i].path, NULL, cases[i].set, &records, &err)) fail_msg("%s", err.message);
        assert_text(&next(records, WEIR_FROM_EVENTS).row[E_TERMINAL], cases[i].terminal);
        assert_int_equal(next(records, WEIR_FROM_LABELS).row[L_SCENARIO].i, cases[i].scenario);
        weir_records_free(records);
    }
    cJSON_DeleteItemFromObject(cJSON_GetObjectItem(pipeline->json, "source"), "derive");
}

static void records_before_a_time_are_left_out(void **state) {
    (void)state;
    weir_err err;
    weir_records *all = open_file(
                     write_text("from.csv", "transaction_id,tx_time,customer_id,terminal_id,amount,fraud\n1,2018-04-01,c,t,1,1\n2,2018-04-02,c,t,1,0\n")),
                 *later = NULL;
    assert_int_equal(weir_records_skip_before(&all, APRIL + WEIR_DAY_US, &later, &err), WEIR_OK);
    assert_null(all);
    weir_record r = next(later, WEIR_FROM_EVENTS);
    assert_text(&r.row[E_ID], "2");
    r = next(later, WEIR_FROM_LABELS); /* of an event before that time, known after it */
    assert_text(&r.row[L_ID], "1");
    r = next(later, WEIR_FROM_LABELS);
    assert_end(later);
    weir_records_free(later);
}

static void the_handbooks_file_is_read_whole(void **state) {
    (void)state;
    const char *data = getenv("WEIR_TEST_DATA");
    char path[512];
    snprintf(path, sizeof path, "%s/fraud/transactions_2018-04-01_06-14.parquet", data ? data : "../shared/data");
    if (access(path, R_OK)) {
        print_message("skipped: no %s; WEIR_TEST_DATA names the folder\n", path);
        skip();
    }
    int64_t events, labels;
    (void)hash_records(path, &events, &labels);
    assert_int_equal(events, 719307);
    assert_int_equal(labels, 719307);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_in_any_order_comes_sorted_with_labels_a_week_later),
        cmocka_unit_test(every_format_gives_the_same_event),
        cmocka_unit_test(every_form_of_time_is_understood),
        cmocka_unit_test(names_are_matched_by_the_user_then_directly_then_by_alias),
        cmocka_unit_test(wrong_maps_are_refused),
        cmocka_unit_test(what_does_not_convert_is_named_and_counted),
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(an_unknown_outcome_is_no_label),
        cmocka_unit_test(the_files_own_time_of_labelling_wins),
        cmocka_unit_test(files_of_several_formats_are_one_stream),
        cmocka_unit_test(an_empty_file_has_no_records),
        cmocka_unit_test(the_order_of_rows_does_not_matter),
        cmocka_unit_test(what_is_written_is_read_back_the_same),
        cmocka_unit_test(a_file_of_unknown_kind_or_place_is_not_written),
        cmocka_unit_test(columns_are_set_by_sql_over_the_rows),
        cmocka_unit_test(a_value_that_an_expression_hides_is_still_found),
        cmocka_unit_test(expressions_that_do_not_fit_are_refused),
        cmocka_unit_test(the_pipeline_derives_only_what_is_missing),
        cmocka_unit_test(records_before_a_time_are_left_out),
        cmocka_unit_test(the_handbooks_file_is_read_whole),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
