/* Degradation with doubles for PostgreSQL and Kafka: when it looks, what it asks the database, that no failure is swallowed. The whole of it, over the real ones: tests/integration/consumers/test_degradation.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/alert.h"
#include "consumers/degrade.h"
#include "consumers/shared.h"
#include "core/metrics.h"
#include "tests/unit/starve.h"

enum { ROWS = 200, MIN_ROWS = 50 };

static weir_pipeline pipeline;
static weir_shared shared;
static weir_worker_env env;
static weir_clock_manual stopped_clock;
static weir_recipe recipe;
static weir_degrade *degrade;

/* What the database holds and was asked. */
static bool serves, waits, firing;
static int metrics_read, scores_read, fired, resolved, ended, sent_marked, events, committed, rolled_back;
static weir_status pg_status, send_status, flush_status;

static double score[ROWS], label[ROWS];
static int64_t time_us[ROWS], known_us[ROWS];
static uint32_t entity[ROWS];

/* ---- doubles ---- */

const weir_worker_env *weir_worker_env_of(const weir_worker *w) {
    (void)w;
    return &env;
}
weir_producer *weir_worker_producer(weir_worker *w) {
    (void)w;
    return NULL;
}
weir_status weir_producer_flush(weir_producer *producer, int timeout_ms, weir_err *err) {
    (void)producer, (void)timeout_ms;
    return flush_status ? WEIR_RETRY(err, flush_status, "the broker is away") : WEIR_OK;
}
weir_status weir_alert_codec_init(weir_event_codec *codec, weir_registry *registry, weir_err *err) {
    (void)codec, (void)registry, (void)err;
    return WEIR_OK;
}
void weir_event_codec_done(weir_event_codec *codec) {
    (void)codec;
}
weir_status weir_alert_send(weir_event_codec *codec, weir_producer *producer, const char *name, const weir_alert *alert, int64_t at_us, weir_err *err) {
    (void)codec, (void)producer;
    if (send_status) return WEIR_RETRY(err, send_status, "the queue is full");
    assert_string_equal(name, "fraud");
    assert_string_equal(alert->name, "WeirDegradation");
    assert_true(alert->firing && at_us == 12 && cJSON_IsObject(alert->detail));
    events++;
    return WEIR_OK;
}
weir_status weir_pg_transaction(weir_pg *pg, weir_status (*step)(void *context, weir_err *err), void *context, weir_err *err) {
    (void)pg;
    weir_status status = step(context, err);
    *(status ? &rolled_back : &committed) += 1;
    return status;
}

static PGresult *row_of(int count, const char *const *values) {
    PGresAttDesc columns[8] = {0};
    char name[] = "column";
    for (int i = 0; i < count; i++) columns[i].name = name;
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    assert_true(PQsetResultAttrs(result, count, columns));
    for (int i = 0; values && i < count; i++) assert_true(PQsetvalue(result, 0, i, (char *)(uintptr_t)values[i], (int)strlen(values[i])));
    return result;
}

weir_status weir_pg_exec(weir_pg *pg, const char *sql, int count, const char *const *params, PGresult **ret_result, weir_err *err) {
    (void)pg, (void)count;
    static const char *const metrics[] = {"{\"accuracy\": 0.9, \"threshold\": 0.5, \"rows\": 1000, \"positives\": 500}"};
    static const char *const waiting[] = {"fraud/degradation/champion/m/1", "t", "12", "worse", "{}"}, *const shown[] = {"m", "1", "champion", "t"};
    if (pg_status) return WEIR_RETRY(err, pg_status, "PostgreSQL is away");
    if (strstr(sql, "SELECT v.metrics")) {
        metrics_read++;
        *ret_result = row_of(1, serves ? metrics : NULL);
    } else if (strstr(sql, "SELECT score")) {
        scores_read++;
        *ret_result = row_of(1, NULL);
    } else if (strstr(sql, "INSERT INTO weir.degradations")) {
        assert_string_equal(params[0], "fraud/degradation/champion/m/1");
        assert_non_null(strstr(params[3], "\"expected_drop\":0.4"));
        fired++;
        waits = firing = true;
    } else if (strstr(sql, "alert_id = $1 AND firing")) {
        resolved++;
    } else if (strstr(sql, "NOT EXISTS")) {
        ended++;
    } else if (strstr(sql, "sent_at IS NULL")) {
        *ret_result = row_of(5, waits ? waiting : NULL);
    } else if (strstr(sql, "SET sent_at = clock_timestamp()")) {
        sent_marked++;
        waits = false;
    } else {
        assert_non_null(strstr(sql, "SELECT model, version, arm, firing"));
        *ret_result = row_of(4, firing ? shown : NULL);
    }
    return WEIR_OK;
}

/* ---- fixture ---- */

static int setup(void **state) {
    (void)state;
    pipeline = (weir_pipeline){.name = "fraud"};
    pipeline.triggers.performance = (weir_degradation_def){.enabled = true, .metric = "accuracy", .drop = 0.05, .min_rows = MIN_ROWS};
    recipe = (weir_recipe){.task = WEIR_TASK_BINARY};
    shared = (weir_shared){.pipeline = &pipeline};
    weir_clock_manual_init(&stopped_clock, WEIR_DAY_US);
    env = (weir_worker_env){.clock = &stopped_clock.base, .shared = &shared};
    serves = true;
    waits = firing = false;
    metrics_read = scores_read = fired = resolved = ended = sent_marked = events = committed = rolled_back = 0;
    pg_status = send_status = flush_status = WEIR_OK;
    weir_err err = {0};
    if (weir_degrade_new(NULL, NULL, &recipe, &degrade, &err)) fail_msg("%s", err.message);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    weir_degrade_free(degrade);
    return 0;
}

/* One in `wrong_in` decisions is wrong. */
static weir_status look(int64_t count, int wrong_in) {
    weir_arm_measure arm = {.arm = "champion", .model = "m", .digest = "d", .version = 1, .predictions = count, .labelled = count};
    const weir_arm_rows rows = {count, score, label, time_us, known_us, entity};
    weir_err err;
    for (int i = 0; i < count; i++) {
        label[i] = i % 3 == 0;
        score[i] = (i % wrong_in == 0) != (label[i] == 1) ? 0.8 : 0.3;
        entity[i] = (uint32_t)i;
        time_us[i] = known_us[i] = i;
    }
    return weir_degrade_arm(degrade, &arm, &rows, &err);
}

static weir_status tell(void) {
    return weir_degrade_tell(degrade, &(weir_err){0});
}

/* ---- tests ---- */

static void it_looks_when_enough_labels_came(void **state) {
    (void)state;
    assert_int_equal(look(MIN_ROWS - 1, 100), WEIR_OK);
    assert_int_equal(metrics_read, 0);
    assert_int_equal(look(MIN_ROWS, 100), WEIR_OK);
    assert_int_equal(look(MIN_ROWS + 1, 100), WEIR_OK);
    assert_true(metrics_read == 1 && scores_read == 1 && fired == 0 && resolved == 1); /* good: whatever fired is over */
    serves = false; /* asked for again until it serves */
    assert_int_equal(look(2 * MIN_ROWS, 2), WEIR_OK);
    assert_int_equal(look(2 * MIN_ROWS, 2), WEIR_OK);
    assert_true(metrics_read == 3 && fired == 0);
}

static void what_degraded_is_told_and_shown(void **state) {
    (void)state;
    assert_int_equal(look(ROWS, 2), WEIR_OK); /* accuracy 0.5 */
    assert_int_equal(fired, 1);
    assert_int_equal(tell(), WEIR_OK);
    assert_true(events == 1 && sent_marked == 1 && ended == 1 && committed == 1);
    assert_true(weir_metric_value(WEIR_METRIC("weir_experiment_degraded", "fraud", "m", "1", "champion")) == 1);
    assert_float_equal(weir_metric_value(WEIR_METRIC("weir_experiment_degradation_ratio", "fraud", "m", "1", "champion")), 4.0 / 9, 1e-6);
    assert_int_equal(tell(), WEIR_OK);
    assert_int_equal(events, 1);
}

static void what_was_not_acknowledged_is_told_again(void **state) {
    (void)state;
    assert_int_equal(look(ROWS, 2), WEIR_OK);
    send_status = WEIR_ENET;
    assert_int_equal(tell(), WEIR_ENET);
    send_status = WEIR_OK;
    flush_status = WEIR_ENET;
    assert_int_equal(tell(), WEIR_ENET);
    assert_true(sent_marked == 0 && rolled_back == 2);
    flush_status = WEIR_OK;
    assert_int_equal(tell(), WEIR_OK);
    assert_true(sent_marked == 1 && events == 2);
}

static void a_database_that_is_away_is_a_matter_of_trying_again(void **state) {
    (void)state;
    pg_status = WEIR_ENET;
    assert_int_equal(look(ROWS, 2), WEIR_ENET);
    assert_int_equal(tell(), WEIR_ENET);
    pg_status = WEIR_OK;
    assert_int_equal(look(ROWS, 2), WEIR_OK);
    assert_int_equal(fired, 1);
}

static void without_memory_it_looks_again(void **state) {
    (void)state;
    const weir_allocator before = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int failures = 0;
    weir_mem.realloc = failing_realloc;
    for (int n = 0; status && n < 400; n++) {
        allocations_left = n;
        status = look(ROWS, 2);
        failures += status != WEIR_OK;
        if (status) assert_int_equal(status, WEIR_ENOMEM);
    }
    allocations_left = 0;
    weir_degrade *none = NULL;
    weir_status starved = weir_degrade_new(NULL, NULL, &recipe, &none, NULL);
    weir_mem = before;
    assert_int_equal(status, WEIR_OK);
    assert_true(failures > 5 && fired == 1);
    assert_int_equal(starved, WEIR_ENOMEM);
    assert_null(none);
}

static void who_does_not_ask_gets_nothing_and_bad_metrics_are_refused(void **state) {
    (void)state;
    weir_degrade *none = degrade;
    weir_err err = {0};
    pipeline.triggers.performance.metric = "precision_at_k";
    assert_int_equal(weir_degrade_new(NULL, NULL, &recipe, &none, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "number of rows"));
    pipeline.triggers.performance.metric = "rmse";
    assert_int_equal(weir_degrade_new(NULL, NULL, &recipe, &none, &err), WEIR_EINVAL);
    pipeline.triggers.performance.enabled = false;
    assert_int_equal(weir_degrade_new(NULL, NULL, &recipe, &none, &err), WEIR_OK);
    assert_null(none);
    assert_int_equal(weir_degrade_arm(none, NULL, NULL, &err), WEIR_OK);
    assert_int_equal(weir_degrade_tell(none, &err), WEIR_OK);
    weir_degrade_free(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_looks_when_enough_labels_came, setup, teardown),
        cmocka_unit_test_setup_teardown(what_degraded_is_told_and_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_acknowledged_is_told_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_database_that_is_away_is_a_matter_of_trying_again, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_it_looks_again, setup, teardown),
        cmocka_unit_test_setup_teardown(who_does_not_ask_gets_nothing_and_bad_metrics_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
