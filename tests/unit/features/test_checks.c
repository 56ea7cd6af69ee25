/* Checks of the pipeline file: every kind, every severity, and what is wrong with a file. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/pg.h"
#include "features/checks.h"
#include "features/view.h"

#define NOW (INT64_C(1522540800) * WEIR_SECOND_US)
enum { TENANT, ID, TIME, CUSTOMER, TERMINAL, AMOUNT, COLUMNS };

/* The fraud pipeline with other checks. */
static weir_status parse(const char *checks, weir_pipeline **ret_pipeline, weir_err *err) {
    cJSON *json = cJSON_Parse(weir_embedded_find("pipelines/fraud.json")->data), *list = cJSON_Parse(checks);
    assert_non_null(list);
    cJSON_ReplaceItemInObject(json, "checks", list);
    cJSON_AddItemToObject(json, "lists", cJSON_Parse("{\"known\": [\"t1\", \"t2\"], \"sizes\": [1, 2]}"));
    char *text = cJSON_Print(json);
    weir_status status = weir_pipeline_parse(text, "/tmp", ret_pipeline, err);
    cJSON_free(text);
    cJSON_Delete(json);
    return status;
}

static weir_pipeline *with(const char *checks) {
    weir_pipeline *p = NULL;
    weir_err err = {0};
    if (parse(checks, &p, &err)) fail_msg("%s", err.message);
    return p;
}

static const weir_datum *row(const char *terminal, double amount) {
    static weir_datum r[COLUMNS];
    r[TENANT] = weir_text("acme");
    r[ID] = weir_text("tx-17");
    r[TIME] = weir_i64(NOW);
    r[CUSTOMER] = weir_text("c1");
    r[TERMINAL] = weir_text(terminal);
    r[AMOUNT] = isnan(amount) ? weir_null() : weir_f64(amount);
    return r;
}

/* Whether the only check lets the row through. */
static bool passes(const weir_pipeline *p, const weir_datum *r) {
    const char *class = NULL;
    weir_err err = {0};
    weir_check_hits hits = {0};
    weir_status status = weir_pipeline_check_hits(p, WEIR_FROM_EVENTS, r, NOW, &hits, &class, &err);
    assert_string_equal(class, "check");
    if (status) assert_int_equal(err.action, WEIR_ACTION_REJECT);
    assert_int_equal(hits.any, status != WEIR_OK);
    assert_int_equal(weir_check_is_hit(&hits, 0), status != WEIR_OK);
    return status == WEIR_OK;
}

typedef struct sample {
    const char *check, *terminal;
    double amount;
    bool good;
} sample;

static void conditions_hold_or_not(void **state) {
    (void)state;
    const sample samples[] = {
        {"{\"column\":\"terminal_id\",\"in\":[\"t2\",\"t1\",\"t9\"]}", "t9", 1, true},
        {"{\"column\":\"terminal_id\",\"in\":[\"t2\",\"t1\",\"t9\"]}", "t3", 1, false},
        {"{\"column\":\"terminal_id\",\"in\":\"known\"}", "t1", 1, true},
        {"{\"column\":\"terminal_id\",\"in\":\"known\"}", "t9", 1, false},
        {"{\"column\":\"terminal_id\",\"not_in\":\"known\"}", "t1", 1, false},
        {"{\"column\":\"terminal_id\",\"not_in\":\"known\"}", "t9", 1, true},
        {"{\"column\":\"amount\",\"in\":[3,1,2]}", "t", 2, true},
        {"{\"column\":\"amount\",\"in\":[3,1,2]}", "t", 2.5, false},
        {"{\"column\":\"amount\",\"not_in\":[0]}", "t", 0, false},
        {"{\"column\":\"amount\",\"not_in\":\"sizes\"}", "t", 3, true},
        {"{\"column\":\"amount\",\"in\":[3,1,2]}", "t", NAN, true}, /* null is another check's business */
        {"{\"column\":\"terminal_id\",\"matches\":\"t[0-9]+\"}", "t12", 1, true},
        {"{\"column\":\"terminal_id\",\"matches\":\"t[0-9]+\"}", "t12x", 1, false}, /* the whole text */
        {"{\"column\":\"terminal_id\",\"matches\":\"t[0-9]+\"}", "xt12", 1, false},
        {"{\"column\":\"terminal_id\",\"matches\":\"a|b\"}", "ab", 1, false},
        {"{\"column\":\"terminal_id\",\"matches\":\"a|b\"}", "b", 1, true},
        {"{\"column\":\"terminal_id\",\"matches\":\"[a-z]*\"}", "a\nb", 1, false},
        {"{\"column\":\"terminal_id\",\"min_length\":2}", "t", 1, false},
        {"{\"column\":\"terminal_id\",\"min_length\":2,\"max_length\":3}", "t12", 1, true},
        {"{\"column\":\"terminal_id\",\"max_length\":3}", "客户客", 1, true}, /* characters, not bytes */
        {"{\"column\":\"terminal_id\",\"max_length\":3}", "客户客户", 1, false},
        {"{\"name\":\"r\",\"rule\":\"amount > 0 and terminal_id != 't0'\"}", "t1", 1, true},
        {"{\"name\":\"r\",\"rule\":\"amount > 0 and terminal_id != 't0'\"}", "t0", 1, false},
        {"{\"name\":\"r\",\"rule\":\"amount > 0 and terminal_id != 't0'\"}", "t1", -1, false},
        {"{\"name\":\"r\",\"rule\":\"amount > 0\"}", "t1", NAN, true},
        {"{\"name\":\"r\",\"rule\":\"amount > 0\",\"not_null\":true}", "t1", NAN, false},
        {"{\"name\":\"r\",\"rule\":\"hour(event_time) = 0 and terminal_id in known\"}", "t1", 1, true},
        {"{\"name\":\"r\",\"rule\":\"hour(tx_time) = 1\"}", "t1", 1, false},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
        const sample *s = &samples[i];
        char checks[400];
        snprintf(checks, sizeof(checks), "[%s]", s->check);
        weir_pipeline *p = with(checks);
        if (passes(p, row(s->terminal, s->amount)) != s->good) fail_msg("%s: %s, %g", s->check, s->terminal, s->amount);
        weir_pipeline_free(p);
    }
}

static void severities_reject_mark_and_warn(void **state) {
    (void)state;
    weir_pipeline *p = with("[{\"column\":\"amount\",\"max\":10,\"name\":\"large\",\"severity\":\"mark\"},"
                            "{\"column\":\"amount\",\"max\":20,\"name\":\"huge\",\"severity\":\"warn\"},"
                            "{\"name\":\"odd\",\"rule\":\"amount % 2 = 0\",\"severity\":\"mark\"},"
                            "{\"column\":\"amount\",\"max\":1000}]");
    weir_check_hits hits = {0};
    const char *class;
    char marks[WEIR_MARKS_MAX];
    assert_int_equal(weir_pipeline_check_hits(p, WEIR_FROM_EVENTS, row("t", 8), NOW, &hits, &class, NULL), WEIR_OK);
    assert_false(hits.any);
    assert_int_equal(weir_check_marks(p, &hits, marks), 0);
    assert_int_equal(weir_pipeline_check_hits(p, WEIR_FROM_EVENTS, row("t", 21), NOW, &hits, &class, NULL), WEIR_OK);
    size_t len = weir_check_marks(p, &hits, marks);
    assert_int_equal(len, 9);
    assert_memory_equal(marks, "large,odd", 9);
    assert_true(weir_check_is_hit(&hits, 1));
    assert_false(weir_check_is_hit(&hits, 3));
    assert_int_equal(weir_pipeline_check_hits(p, WEIR_FROM_EVENTS, row("t", 2001), NOW, &hits, &class, NULL), WEIR_EDATA);
    assert_true(weir_check_is_hit(&hits, 3));
    weir_pipeline_free(p);
}

/* Wrong files: the path, what was found, what was expected. */
static void wrong_checks_are_told(void **state) {
    (void)state;
    static const char *const wrong[][2] = {
        {"{\"column\":\"amnt\",\"min\":1}", "$.checks[0].column~amnt~amount"},
        {"{\"rule\":\"amount > 0\"}", "$.checks[0].name~nothing"},
        {"{\"name\":\"r\",\"rule\":\"amount >\"}", "$.checks[0].rule~column 9"},
        {"{\"name\":\"r\",\"rule\":\"amnt > 0\"}", "$.checks[0].rule~amount"},
        {"{\"name\":\"r\",\"rule\":\"previous.amnt > 0\"}", "$.checks[0].rule~amount"},
        {"{\"name\":\"r\",\"rule\":\"1 > 0\"}", "$.checks[0].rule~reads no column"},
        {"{\"name\":\"r\",\"rule\":\"terminal_id\"}", "$.checks[0].rule~text"},
        {"{\"name\":\"r\",\"on\":\"labels\",\"rule\":\"fraud > previous.fraud\"}", "$.checks[0]~for events"},
        {"{\"column\":\"terminal_id\",\"matches\":\"t[\"}", "$.checks[0].matches~t[~regular expression"},
        {"{\"column\":\"terminal_id\",\"matches\":\"a)(b\"}", "$.checks[0].matches~regular expression"},
        {"{\"column\":\"terminal_id\",\"matches\":\"(a)\\\\1\"}", "$.checks[0].matches~back-references"},
        {"{\"column\":\"amount\",\"matches\":\"a\"}", "$.checks[0]~for texts"},
        {"{\"column\":\"amount\",\"in\":[\"a\"]}", "$.checks[0].in[0]~a number"},
        {"{\"column\":\"terminal_id\",\"in\":[1]}", "$.checks[0].in[0]~a text"},
        {"{\"column\":\"terminal_id\",\"in\":\"knwn\"}", "$.checks[0].in~known"},
        {"{\"column\":\"amount\",\"in\":\"known\"}", "$.checks[0].in~texts"},
        {"{\"column\":\"terminal_id\",\"min_length\":3,\"max_length\":2}", "$.checks[0]~above"},
        {"{\"column\":\"amount\",\"rule\":\"amount > 0\"}", "$.checks[0]~one of them"},
        {"{\"min\":1}", "$.checks[0]~expected one"},
        {"{\"column\":\"amount\",\"min\":1,\"severity\":\"drop\"}", "$.checks[0].severity~reject, mark, warn"},
        {"{\"column\":\"amount\",\"min\":1,\"severity\":\"mark\",\"name\":\"a,b\"}", "$.checks[0].name~','"},
        {"{\"freshness\":\"1h\",\"severity\":\"reject\"}", "$.checks[0].severity~warn"},
        {"{\"freshness\":\"0s\"}", "$.checks[0].freshness~duration"},
        {"{\"monotone\":\"terminal_id\"}", "$.checks[0].monotone~no numbers"},
        {"{\"unique\":[\"amount\"]}", "$.checks[0].name~nothing"},
        {"{\"name\":\"u\",\"unique\":[\"amont\"]}", "$.checks[0].unique[0]~amount"},
        {"{\"completeness\":{\"column\":\"amount\",\"min_share\":2,\"window\":\"1m\"}}", "$.checks[0].completeness.min_share~at most 1"},
        {"{\"distribution\":{\"column\":\"amount\",\"profile\":\"none.json\"}}", "$.checks[0].distribution.profile~none.json"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        char checks[400], expected[200];
        weir_pipeline *p = NULL;
        weir_err err = {0};
        snprintf(checks, sizeof(checks), "[%s]", wrong[i][0]);
        weir_status status = parse(checks, &p, &err);
        if (!status) fail_msg("accepted: %s", wrong[i][0]);
        snprintf(expected, sizeof(expected), "%s", wrong[i][1]);
        for (char *save = NULL, *part = strtok_r(expected, "~", &save); part; part = strtok_r(NULL, "~", &save)) {
            if (!strstr(err.message, part)) fail_msg("%s: \"%s\" lacks \"%s\"", wrong[i][0], err.message, part);
        }
    }
}

/* --- checks that look at other records --- */

typedef struct bench {
    weir_pipeline *pipeline;
    weir_view *view;
    weir_state state;
    int64_t offset;
} bench;

static bench bench_of(const char *checks) {
    bench b = {.pipeline = with(checks)};
    weir_err err = {0};
    if (weir_view_new(b.pipeline, &b.pipeline->views[b.pipeline->primary_view], &b.view, &err)) fail_msg("%s", err.message);
    assert_true(weir_view_has_checks(b.view));
    return b;
}

static void bench_done(bench *b) {
    weir_state_done(&b->state);
    weir_view_free(b->view);
    weir_pipeline_free(b->pipeline);
}

static weir_status check_at(bench *b, int64_t seconds, weir_source source, const char *terminal, double amount, weir_check_hits *hits, weir_err *err) {
    weir_datum r[COLUMNS];
    memcpy(r, row(terminal, amount), sizeof(r));
    r[TIME] = weir_i64(NOW + seconds * WEIR_SECOND_US);
    weir_status status = weir_view_check(b->view, &b->state, r[TIME].i, source, r, hits, err);
    if (status) return status;
    double slots[64];
    weir_applied applied;
    assert_true(weir_view_slot_count(b->view) <= 64);
    weir_view_slots(b->view, r, slots);
    assert_int_equal(weir_view_apply(b->view, &b->state, r[TIME].i, source, slots, 0, &applied, NULL, NULL), WEIR_OK);
    return WEIR_OK;
}

/* Whether a record at a time was taken in; the next offset. */
static bool taken(bench *b, int64_t seconds, const char *terminal, double amount) {
    weir_check_hits hits = {0};
    weir_err err = {0};
    weir_status status = check_at(b, seconds, (weir_source){0, b->offset++}, terminal, amount, &hits, &err);
    if (status) assert_int_equal(err.action, WEIR_ACTION_REJECT);
    return !status;
}

static void rules_read_the_record_before(void **state) {
    (void)state;
    bench b = bench_of("[{\"name\":\"jump\",\"rule\":\"abs(amount - previous.amount) <= 10 and event_time - previous.event_time < 3600000000\"}]");
    assert_true(taken(&b, 0, "t", 100)); /* none before it */
    assert_true(taken(&b, 60, "t", 110));
    assert_false(taken(&b, 120, "t", 121));
    assert_true(taken(&b, 120, "t", 119)); /* compared with 110: what was refused is not there */
    assert_false(taken(&b, 120 + 3600, "t", 119));
    assert_true(taken(&b, 30, "t", 105)); /* came late: before it is the record at 0 */
    assert_false(taken(&b, 40, "t", 116)); /* before it is the one at 30 */
    assert_true(taken(&b, 121, "t", NAN)); /* null is good */
    assert_true(taken(&b, 122, "t", 5000)); /* before it is null */
    weir_err err;
    weir_check_hits hits = {0};
    assert_int_equal(check_at(&b, 123, (weir_source){0, b.offset}, "t", 0, &hits, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "jump"));
    assert_non_null(strstr(err.message, "amount 0, previous.amount 5000"));
    assert_true(weir_check_is_hit(&hits, 0));
    bench_done(&b);
}

static void monotone_columns_do_not_fall(void **state) {
    (void)state;
    bench b = bench_of("[{\"monotone\":\"amount\"}]"), strict = bench_of("[{\"monotone\":\"amount\",\"strict\":true}]");
    assert_true(taken(&b, 0, "t", 1));
    assert_true(taken(&b, 1, "t", 1));
    assert_false(taken(&b, 2, "t", 0.5));
    assert_true(taken(&strict, 0, "t", 1));
    assert_false(taken(&strict, 1, "t", 1));
    assert_true(taken(&strict, 2, "t", 2));
    bench_done(&b);
    bench_done(&strict);
}

static void repeats_of_values_are_refused_in_any_order(void **state) {
    (void)state;
    bench b = bench_of("[{\"name\":\"twice\",\"unique\":[\"terminal_id\",\"amount\"],\"within\":\"60s\"}]");
    assert_true(taken(&b, 1000, "t1", 5));
    assert_false(taken(&b, 1060, "t1", 5)); /* the edge belongs to it */
    assert_true(taken(&b, 1061, "t1", 5));
    assert_true(taken(&b, 1000, "t2", 5));
    assert_true(taken(&b, 1000, "t1", 6));
    assert_false(taken(&b, 945, "t1", 5)); /* came late, and would stand before the one it repeats */
    assert_true(taken(&b, 939, "t1", 5));
    assert_true(taken(&b, 1000, "t1", NAN)); /* null is like nothing */
    assert_true(taken(&b, 1000, "t1", NAN));
    bench_done(&b);
    bench hours = bench_of("[{\"name\":\"once an hour\",\"unique\":[\"tx_time\"]}]");
    assert_true(taken(&hours, 3600, "t1", 1));
    assert_true(taken(&hours, 7200, "t1", 1));
    assert_false(taken(&hours, 3600, "t2", 2));
    bench_done(&hours);
}

static void the_same_delivery_again_is_no_violation(void **state) {
    (void)state;
    bench b = bench_of("[{\"name\":\"twice\",\"unique\":[\"amount\"],\"within\":\"60s\"},{\"monotone\":\"amount\",\"strict\":true}]");
    weir_check_hits hits = {0};
    assert_int_equal(check_at(&b, 0, (weir_source){0, 7}, "t", 5, &hits, NULL), WEIR_OK);
    assert_int_equal(check_at(&b, 0, (weir_source){0, 7}, "t", 5, &hits, NULL), WEIR_OK);
    assert_false(hits.any);
    assert_int_equal(b.state.count, 1);
    assert_int_equal(check_at(&b, 0, (weir_source){0, 8}, "t", 5, &hits, NULL), WEIR_EDATA);
    bench_done(&b);
}

static void marks_and_warnings_do_not_keep_records_out(void **state) {
    (void)state;
    bench b = bench_of("[{\"monotone\":\"amount\",\"severity\":\"mark\",\"name\":\"fell\"},{\"name\":\"again\",\"unique\":[\"amount\"],\"within\":\"1d\","
                       "\"severity\":\"warn\"}]");
    weir_check_hits hits = {0};
    assert_int_equal(check_at(&b, 0, (weir_source){0, 0}, "t", 5, &hits, NULL), WEIR_OK);
    assert_int_equal(check_at(&b, 1, (weir_source){0, 1}, "t", 6, &hits, NULL), WEIR_OK);
    assert_false(hits.any);
    assert_int_equal(check_at(&b, 2, (weir_source){0, 2}, "t", 5, &hits, NULL), WEIR_OK);
    assert_true(weir_check_is_hit(&hits, 0) && weir_check_is_hit(&hits, 1));
    assert_int_equal(b.state.count, 3);
    bench_done(&b);
}

/* The record before stays at hand however long ago it was, and values as far back as "within" says. */
static void what_checks_need_is_kept(void **state) {
    (void)state;
    bench b = bench_of("[{\"monotone\":\"amount\"}]");
    assert_true(taken(&b, 0, "t", 10));
    assert_true(taken(&b, 400 * 86400, "t", 11));
    assert_false(taken(&b, 800 * 86400, "t", 10));
    bench_done(&b);
    b = bench_of("[{\"name\":\"twice\",\"unique\":[\"amount\"],\"within\":\"300d\"}]");
    assert_true(taken(&b, 0, "t", 10));
    assert_true(taken(&b, 299 * 86400, "t", 11));
    assert_false(taken(&b, 299 * 86400 + 1, "t", 10));
    bench_done(&b);
}

/* --- checks of the stream --- */

typedef struct findings {
    int count, failed;
    double value;
    char message[200];
} findings;

static void find(void *context, const weir_stream_finding *finding) {
    findings *f = context;
    f->count++;
    f->failed += finding->failed;
    f->value = finding->value;
    memcpy(f->message, finding->message, sizeof(f->message));
}

static void a_silent_stream_is_not_fresh(void **state) {
    (void)state;
    weir_pipeline *p = with("[{\"freshness\":\"1h\"}]");
    weir_stream_checks *checks;
    findings f = {0};
    assert_int_equal(weir_stream_checks_new(p, NOW, &checks, NULL), WEIR_OK);
    weir_stream_checks_tick(checks, NOW + 3600 * WEIR_SECOND_US, find, &f);
    assert_int_equal(f.failed, 0);
    weir_stream_checks_tick(checks, NOW + 3601 * WEIR_SECOND_US, find, &f);
    assert_int_equal(f.failed, 1);
    assert_non_null(strstr(f.message, "no record"));
    weir_stream_checks_add(checks, WEIR_FROM_EVENTS, row("t", 1), find, &f);
    weir_stream_checks_tick(checks, NOW + 30 * WEIR_SECOND_US, find, &f);
    assert_int_equal(f.failed, 1);
    assert_true(f.value == 30);
    weir_stream_checks_tick(checks, NOW + 3601 * WEIR_SECOND_US, find, &f);
    assert_int_equal(f.failed, 2);
    assert_non_null(strstr(f.message, "behind the clock"));
    weir_stream_checks_free(checks);
    weir_pipeline_free(p);
}

static void a_column_that_empties_is_told(void **state) {
    (void)state;
    weir_pipeline *p = with("[{\"completeness\":{\"column\":\"amount\",\"min_share\":0.75,\"window\":\"1m\"}}]");
    weir_stream_checks *checks;
    findings f = {0};
    assert_int_equal(weir_stream_checks_new(p, NOW, &checks, NULL), WEIR_OK);
    weir_stream_checks_tick(checks, NOW + 60 * WEIR_SECOND_US, find, &f);
    assert_int_equal(f.count, 0); /* nothing came */
    for (int i = 0; i < 4; i++) weir_stream_checks_add(checks, WEIR_FROM_EVENTS, row("t", i ? 1 : NAN), find, &f);
    weir_stream_checks_tick(checks, NOW + 119 * WEIR_SECOND_US, find, &f);
    assert_int_equal(f.count, 0); /* not yet over */
    weir_stream_checks_tick(checks, NOW + 120 * WEIR_SECOND_US, find, &f);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.failed, 0);
    assert_true(f.value == 0.75);
    for (int i = 0; i < 4; i++) weir_stream_checks_add(checks, WEIR_FROM_EVENTS, row("t", i > 1 ? 1 : NAN), find, &f);
    weir_stream_checks_tick(checks, NOW + 180 * WEIR_SECOND_US, find, &f);
    assert_int_equal(f.failed, 1);
    weir_stream_checks_free(checks);
    weir_pipeline_free(p);
}

static void a_shifted_distribution_is_told(void **state) {
    (void)state;
    char path[] = "/tmp/weir_profile_XXXXXX", checks[400];
    int fd = mkstemp(path);
    static const char profile[] = "{\"columns\":[{\"name\":\"amount\",\"missing_share\":0.1,\"bins\":{\"edges\":[10,20],\"shares\":[0.4,0.3,0.2]}},"
                                  "{\"name\":\"terminal_id\",\"missing_share\":0,\"bins\":{\"values\":[\"t2\",\"t1\"],\"shares\":[0.5,0.25,0.25]}}]}";
    assert_int_equal(write(fd, profile, sizeof(profile) - 1), sizeof(profile) - 1);
    close(fd);
    snprintf(checks, sizeof(checks),
             "[{\"distribution\":{\"column\":\"amount\",\"profile\":\"%s\",\"max_psi\":0.1,\"records\":100}},"
             "{\"distribution\":{\"column\":\"terminal_id\",\"profile\":\"%s\",\"records\":1000}}]",
             path, path);
    weir_pipeline *p = with(checks);
    const weir_bins *numbers = p->checks[0].bins, *texts = p->checks[1].bins;
    const weir_datum values[] = {weir_f64(10), weir_f64(10.5), weir_f64(1e9), weir_null(), weir_text("t1"), weir_text("t2"), weir_text("t3")};
    const int bins[] = {0, 1, 2, 3};
    for (int i = 0; i < 4; i++) assert_int_equal(weir_bins_of(numbers, &values[i]), bins[i]);
    assert_true(texts->expected[weir_bins_of(texts, &values[4])] == 0.25);
    assert_true(texts->expected[weir_bins_of(texts, &values[5])] == 0.5);
    assert_int_equal(weir_bins_of(texts, &values[6]), 2);
    /* By hand: 0.1 ln 0.5/0.4 - 0.1 ln 0.2/0.3 for shares 0.5, 0.2, 0.2, 0.1 */
    assert_true(fabs(weir_bins_psi(numbers, (int64_t[]){50, 20, 20, 10}) - (0.1 * log(0.5 / 0.4) - 0.1 * log(0.2 / 0.3))) < 1e-15);
    assert_true(weir_bins_psi(numbers, (int64_t[]){40, 30, 20, 10}) < 1e-15);
    weir_stream_checks *stream;
    findings f = {0};
    assert_int_equal(weir_stream_checks_new(p, NOW, &stream, NULL), WEIR_OK);
    for (int i = 0; i < 100; i++) weir_stream_checks_add(stream, WEIR_FROM_EVENTS, row("t1", i < 40 ? 5 : i < 70 ? 15 : i < 90 ? 25 : NAN), find, &f);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.failed, 0);
    for (int i = 0; i < 100; i++) weir_stream_checks_add(stream, WEIR_FROM_EVENTS, row("t1", 25), find, &f);
    assert_int_equal(f.failed, 1);
    weir_stream_checks_free(stream);
    weir_pipeline_free(p);
    weir_bins *none;
    weir_err err;
    assert_int_equal(weir_bins_read(path, "amnt", false, &none, &err), WEIR_EINVAL);
    assert_int_equal(weir_bins_read(path, "amount", true, &none, &err), WEIR_EINVAL);
    unlink(path);
    assert_int_equal(weir_bins_read(path, "amount", false, &none, &err), WEIR_ENOTFOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_hold_or_not),
        cmocka_unit_test(severities_reject_mark_and_warn),
        cmocka_unit_test(wrong_checks_are_told),
        cmocka_unit_test(rules_read_the_record_before),
        cmocka_unit_test(monotone_columns_do_not_fall),
        cmocka_unit_test(repeats_of_values_are_refused_in_any_order),
        cmocka_unit_test(the_same_delivery_again_is_no_violation),
        cmocka_unit_test(marks_and_warnings_do_not_keep_records_out),
        cmocka_unit_test(what_checks_need_is_kept),
        cmocka_unit_test(a_silent_stream_is_not_fresh),
        cmocka_unit_test(a_column_that_empties_is_told),
        cmocka_unit_test(a_shifted_distribution_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
