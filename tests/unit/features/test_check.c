/* Checks of records, texts and keys. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/pg.h"
#include "features/pipeline.h"

#define NOW (INT64_C(1522540800) * WEIR_SECOND_US)
enum { TENANT, ID, TIME, CUSTOMER, TERMINAL, AMOUNT };

static weir_pipeline *pipeline;

static int setup(void **state) {
    (void)state;
    return (int)weir_pipeline_parse(weir_embedded_find("pipelines/fraud.json")->data, NULL, &pipeline, NULL);
}

static int teardown(void **state) {
    (void)state;
    weir_pipeline_free(pipeline);
    return 0;
}

static void good(weir_datum row[6]) {
    row[TENANT] = weir_text("acme");
    row[ID] = weir_text("17");
    row[TIME] = weir_i64(NOW);
    row[CUSTOMER] = weir_text("c1");
    row[TERMINAL] = weir_text("t9");
    row[AMOUNT] = weir_f64(12.5);
}

static void assert_rejected(const weir_datum *row, const char *class, const char *column, const char *found) {
    const char *ret_class = NULL;
    weir_err err = {0};
    assert_int_equal(weir_pipeline_check(pipeline, WEIR_FROM_EVENTS, row, NOW, &ret_class, &err), WEIR_EDATA);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    assert_string_equal(ret_class, class);
    if (!strstr(err.message, column) || !strstr(err.message, found)) fail_msg("%s", err.message);
}

static void a_good_record_passes(void **state) {
    (void)state;
    weir_datum row[6];
    const char *class;
    good(row);
    assert_int_equal(weir_pipeline_check(pipeline, WEIR_FROM_EVENTS, row, NOW, &class, NULL), WEIR_OK);
    row[TIME] = weir_i64(NOW + WEIR_DAY_US); /* max_future is a day, and that is still allowed */
    row[AMOUNT] = weir_f64(0);
    row[CUSTOMER] = weir_text("Zoë 客户 🙂");
    assert_int_equal(weir_pipeline_check(pipeline, WEIR_FROM_EVENTS, row, NOW, &class, NULL), WEIR_OK);
}

static void values_out_of_bounds_are_rejected(void **state) {
    (void)state;
    weir_datum row[6];
    good(row);
    row[AMOUNT] = weir_f64(-0.01);
    assert_rejected(row, "check", "amount", "at least 0");
    row[AMOUNT] = weir_f64(1000001);
    assert_rejected(row, "check", "amount", "at most 1000000");
    row[AMOUNT] = weir_f64(NAN);
    assert_rejected(row, "check", "amount", "NaN");
    row[AMOUNT] = weir_f64(INFINITY);
    assert_rejected(row, "check", "amount", "inf");
    good(row);
    row[ID] = weir_null();
    assert_rejected(row, "check", "transaction_id", "null");
    good(row);
    row[TIME] = weir_i64(0);
    assert_rejected(row, "check", "after the year 2000", "at least");
}

static void times_and_texts_that_no_store_takes_are_rejected(void **state) {
    (void)state;
    weir_datum row[6];
    good(row);
    row[TIME] = weir_i64(NOW + WEIR_DAY_US + 1);
    assert_rejected(row, "future", "tx_time", "2018-04-02");
    row[TIME] = weir_i64(INT64_MAX);
    assert_rejected(row, "check", "tx_time", "years 1 to 9999");
    row[TIME] = weir_i64(INT64_MIN);
    assert_rejected(row, "check", "tx_time", "years 1 to 9999");
    good(row);
    row[TERMINAL] = weir_str("a\0b", 3);
    assert_rejected(row, "check", "terminal_id", "UTF-8");
}

static void utf8_is_told_from_what_is_not(void **state) {
    (void)state;
    static const char *const bad[] = {
        "\xff",     "\x80",         "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xe2\x82", "\xf0\x9f\x99", "a\xc3",    "\xc3(",    "\xe2\x28\xa1"};
    static const char *const fine[] = {
        "", "abc", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) assert_false(weir_text_valid(bad[i], strlen(bad[i])));
    for (size_t i = 0; i < sizeof(fine) / sizeof(*fine); i++) assert_true(weir_text_valid(fine[i], strlen(fine[i])));
    assert_false(weir_text_valid("", 1));
}

static weir_status key_of(const weir_feed_def *feed, const int *columns, int n, const weir_datum *row, char key[WEIR_KEY_MAX], weir_err *err) {
    size_t len = 0;
    weir_status status = weir_key_make(feed, columns, n, row, key, &len, err);
    if (!status) assert_int_equal(strlen(key), len);
    return status;
}

static void keys_are_tenant_and_entity(void **state) {
    (void)state;
    weir_datum row[6];
    char key[WEIR_KEY_MAX];
    weir_feed_def no_tenant = pipeline->events;
    no_tenant.tenant_index = -1;
    good(row);
    assert_int_equal(key_of(&pipeline->events, (int[]){CUSTOMER}, 1, row, key, NULL), WEIR_OK);
    assert_string_equal(key, "acme/c1");
    assert_int_equal(key_of(&no_tenant, (int[]){CUSTOMER, TIME, TERMINAL}, 3, row, key, NULL), WEIR_OK);
    assert_string_equal(key, "default/c1|1522540800000000|t9");
    row[CUSTOMER] = weir_text("a|b/c"); /* alone it cannot be mistaken */
    assert_int_equal(key_of(&pipeline->events, (int[]){CUSTOMER}, 1, row, key, NULL), WEIR_OK);
    assert_string_equal(key, "acme/a|b/c");
}

static void keys_that_could_be_mistaken_are_rejected(void **state) {
    (void)state;
    static char long_text[WEIR_KEY_MAX];
    const struct {
        int column;
        weir_datum value;
        const char *message;
    } cases[] = {
        {TENANT, weir_text("a/b"), "'/'"},
        {TENANT, weir_text(""), "empty"},
        {TENANT, weir_null(), "null"},
        {CUSTOMER, weir_text("a|b"), "'|'"},
        {CUSTOMER, weir_null(), "null"},
        {CUSTOMER, weir_text(""), "empty"},
        {CUSTOMER, weir_f64(1), "customer_id"},
        {CUSTOMER, weir_str(long_text, 505), "longer than 507"},
        {TERMINAL, weir_str(long_text, 501), "longer than 507"},
    };
    memset(long_text, 'x', sizeof(long_text) - 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        weir_datum row[6];
        char key[WEIR_KEY_MAX];
        weir_err err = {0};
        good(row);
        row[cases[i].column] = cases[i].value;
        assert_int_equal(key_of(&pipeline->events, (int[]){CUSTOMER, TERMINAL}, 2, row, key, &err), WEIR_EDATA);
        assert_int_equal(err.action, WEIR_ACTION_REJECT);
        if (!strstr(err.message, cases[i].message)) fail_msg("case %zu: %s", i, err.message);
    }
    weir_datum row[6];
    char key[WEIR_KEY_MAX];
    good(row);
    row[CUSTOMER] = weir_str(long_text, 502); /* "acme/" and 502 are 507, the most there may be */
    assert_int_equal(key_of(&pipeline->events, (int[]){CUSTOMER}, 1, row, key, NULL), WEIR_OK);
    assert_int_equal(strlen(key), 507);
}

static void texts_are_checked_against_a_list_and_labels_by_their_own_checks(void **state) {
    (void)state;
    weir_pipeline *p = NULL;
    weir_err err = {0};
    const char *class;
    if (weir_pipeline_parse("{\"pipeline\":\"t\",\"source\":{\"schema\":\"schemas/transaction.avsc\",\"key\":[\"customer_id\"],\"time\":\"tx_time\"},"
                            "\"labels\":{\"schema\":\"schemas/transaction_label.avsc\",\"key\":[\"customer_id\"],\"time\":\"tx_time\",\"column\":\"fraud\","
                            "\"join\":[\"transaction_id\",\"transaction_id\"]},"
                            "\"checks\":[{\"column\":\"terminal_id\",\"in\":[\"t1\",\"t9\"]},{\"on\":\"labels\",\"column\":\"scenario\",\"min\":1,\"max\":3}],"
                            "\"views\":[{\"name\":\"v\",\"entity\":[\"customer_id\"],\"features\":[{\"name\":\"n\",\"agg\":\"count\",\"window\":\"1d\"}]}]}",
                            NULL, &p, &err))
        fail_msg("%s", err.message);
    weir_datum row[6], label[8] = {0};
    good(row);
    assert_int_equal(weir_pipeline_check(p, WEIR_FROM_EVENTS, row, NOW, &class, NULL), WEIR_OK);
    row[TERMINAL] = weir_text("t");
    assert_int_equal(weir_pipeline_check(p, WEIR_FROM_EVENTS, row, NOW, &class, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "\"t\""));
    memcpy(label, row, sizeof(*row) * 5);
    label[2] = label[5] = weir_i64(NOW);
    label[6] = weir_bool(true);
    label[7] = weir_null(); /* not checked: not_null is not asked for */
    assert_int_equal(weir_pipeline_check(p, WEIR_FROM_LABELS, label, NOW, &class, NULL), WEIR_OK);
    label[7] = weir_i64(4);
    assert_int_equal(weir_pipeline_check(p, WEIR_FROM_LABELS, label, NOW, &class, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "scenario"));
    weir_pipeline_free(p);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_record_passes),
        cmocka_unit_test(values_out_of_bounds_are_rejected),
        cmocka_unit_test(times_and_texts_that_no_store_takes_are_rejected),
        cmocka_unit_test(utf8_is_told_from_what_is_not),
        cmocka_unit_test(keys_are_tenant_and_entity),
        cmocka_unit_test(keys_that_could_be_mistaken_are_rejected),
        cmocka_unit_test(texts_are_checked_against_a_list_and_labels_by_their_own_checks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
