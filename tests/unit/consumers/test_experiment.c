/* The experiment worker with doubles for PostgreSQL, the measurement and Kafka: when it measures, what it says, what it remembers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/degrade.h"
#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/measure.h"
#include "consumers/shared.h"
#include "consumers/slices.h"
#include "core/metrics.h"

enum { EVENTS_MAX = 16 };

/* ---- doubles ---- */

static weir_pipeline *pipeline;
static weir_shared shared;
static weir_worker_env env;
static weir_clock_manual stopped_clock;
static void *worker;

static int64_t stored_offsets;
static weir_measure now_measured;
static weir_arm_rows tenant_rows; /* of the first arm; count 0: none */
static int measurements;
static int64_t measuring_takes_us;
static weir_status pg_status, flush_status;
static struct {
    char arm[16], id[256], slice[WEIR_SLICE_NAME_MAX];
    int64_t rows;
    bool has_auc;
} events[EVENTS_MAX];
static int event_count, acknowledged, told;

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
    if (flush_status) return WEIR_RETRY(err, flush_status, "the broker is away");
    acknowledged = event_count;
    return WEIR_OK;
}
weir_status weir_pg_new(const char *url, weir_pg **ret_pg, weir_err *err) {
    (void)url, (void)err;
    *ret_pg = NULL;
    return WEIR_OK;
}
void weir_pg_free(weir_pg *pg) {
    (void)pg;
}
weir_status weir_pg_migrate(weir_pg *pg, weir_err *err) {
    (void)pg, (void)err;
    return WEIR_OK;
}
weir_status weir_pg_exec(weir_pg *pg, const char *sql, int param_count, const char *const *params, PGresult **ret_result, weir_err *err) {
    (void)pg;
    if (pg_status) return WEIR_RETRY(err, pg_status, "PostgreSQL is away");
    assert_non_null(strstr(sql, "weir.sink_offsets"));
    assert_int_equal(param_count, 3);
    assert_string_equal(params[0], "fraud");
    assert_string_equal(params[1], "fraud.predictions");
    assert_string_equal(params[2], "fraud.labels");
    char text[32], name[] = "sum";
    snprintf(text, sizeof text, "%lld", (long long)stored_offsets);
    PGresAttDesc column = {.name = name};
    *ret_result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    assert_true(PQsetResultAttrs(*ret_result, 1, &column) && PQsetvalue(*ret_result, 0, 0, text, (int)strlen(text)));
    return WEIR_OK;
}
weir_status weir_measure_arms(weir_pg *pg, const weir_pipeline *p, const weir_measure_options *o, weir_measure *ret_measure, weir_err *err) {
    (void)pg, (void)p;
    assert_true(o->task == WEIR_TASK_BINARY && o->threshold == 0.5 && o->card_k == 100 && !o->columns); /* as the pipeline file says */
    measurements++;
    stopped_clock.now_us += measuring_takes_us;
    *ret_measure = now_measured;
    return tenant_rows.count ? o->on_arm(o->context, &now_measured.arms[0], &tenant_rows, err) : WEIR_OK;
}
/* Each slice's score is the AUC. */
weir_status weir_measure_rows(const weir_arm_rows *rows, weir_task task, int card_k, weir_arm_measure *measure, weir_err *err) {
    (void)task, (void)card_k, (void)err;
    measure->labelled = rows->count;
    measure->metrics.average_precision = rows->score[0];
    return WEIR_OK;
}
weir_status weir_degrade_new(weir_worker *w, weir_pg *pg, const weir_recipe *recipe, weir_degrade **ret_degrade, weir_err *err) {
    (void)w, (void)pg, (void)recipe, (void)err;
    *ret_degrade = NULL;
    return WEIR_OK;
}
void weir_degrade_free(weir_degrade *degrade) {
    assert_null(degrade);
}
weir_status weir_degrade_arm(void *degrade, const weir_arm_measure *arm, const weir_arm_rows *rows, weir_err *err) {
    (void)degrade, (void)arm, (void)rows, (void)err;
    return WEIR_OK;
}
weir_status weir_degrade_tell(weir_degrade *degrade, weir_err *err) {
    (void)degrade, (void)err;
    told++;
    return WEIR_OK;
}
weir_status weir_event_codec_init(weir_event_codec *codec, weir_registry *registry, const char *schema_path, const char *topic, weir_err *err) {
    (void)codec, (void)registry, (void)err;
    assert_string_equal(schema_path, "schemas/performance.avsc");
    assert_string_equal(topic, "weir.performance");
    return WEIR_OK;
}
void weir_event_codec_done(weir_event_codec *codec) {
    (void)codec;
}
weir_status weir_event_send(weir_event_codec *codec, weir_producer *producer, const char *topic, const char *key, const char *type, const char *id,
                            int64_t time_us, const weir_datum *row, weir_err *err) {
    (void)codec, (void)producer, (void)time_us;
    if (event_count == EVENTS_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "the double holds %d events", EVENTS_MAX);
    assert_string_equal(topic, "weir.performance");
    assert_string_equal(key, "fraud");
    assert_string_equal(type, "weir.performance.measured");
    snprintf(events[event_count].id, sizeof events[0].id, "%s", id);
    snprintf(events[event_count].arm, sizeof events[0].arm, "%.*s", (int)row[PERF_ARM].len, row[PERF_ARM].p);
    events[event_count].rows = row[PERF_ROWS].i;
    events[event_count].has_auc = row[PERF_AUC].type == WEIR_T_F64;
    snprintf(events[event_count].slice, sizeof events[0].slice, "%.*s", row[PERF_SLICE].type == WEIR_T_STR ? (int)row[PERF_SLICE].len : 0,
             row[PERF_SLICE].type == WEIR_T_STR ? (const char *)row[PERF_SLICE].p : "");
    event_count++;
    return WEIR_OK;
}

/* ---- fixture ---- */

static weir_arm_measure arm_of(const char *arm, const char *model, int version, int64_t predictions, int64_t labelled, double auc) {
    weir_arm_measure m = {.version = version, .predictions = predictions, .labelled = labelled};
    m.metrics = (weir_metrics_binary){
        .rows = labelled, .auc_roc = auc, .average_precision = NAN, .f1 = NAN, .precision = NAN, .recall = NAN, .brier = NAN, .card_precision = NAN};
    m.errors = (weir_metrics_regression){.rmse = NAN, .mae = NAN, .mape = NAN, .r2 = NAN, .median_absolute_error = NAN, .max_error = NAN};
    snprintf(m.arm, sizeof m.arm, "%s", arm);
    snprintf(m.model, sizeof m.model, "%s", model);
    snprintf(m.digest, sizeof m.digest, "digest-of-%s-%d", model, version);
    return m;
}

static int setup(void **state) {
    weir_err err = {0};
    (void)state;
    if (weir_pipeline_load("fraud", &pipeline, &err)) fail_msg("%s", err.message);
    shared = (weir_shared){.pipeline = pipeline};
    weir_clock_manual_init(&stopped_clock, WEIR_DAY_US);
    env = (weir_worker_env){.pg_url = "", .clock = &stopped_clock.base, .shared = &shared};
    stored_offsets = measurements = event_count = acknowledged = told = 0;
    measuring_takes_us = 0;
    pg_status = flush_status = WEIR_OK;
    now_measured = (weir_measure){0};
    tenant_rows = (weir_arm_rows){0};
    if (weir_experiment_ops.init(NULL, &worker, &err)) fail_msg("%s", err.message);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    weir_experiment_ops.done(worker);
    weir_pipeline_free(pipeline);
    return 0;
}

static weir_status tick(void) {
    return weir_experiment_ops.tick(worker, stopped_clock.now_us, &(weir_err){0});
}

static weir_metric *auc_gauge(const char *model, const char *version, const char *arm) {
    return WEIR_METRIC("weir_experiment_metric_ratio", "fraud", model, version, arm, "auc_roc");
}
static double joined(const char *arm) {
    return weir_metric_value(WEIR_METRIC("weir_experiment_predictions_joined_total", "fraud", arm));
}

static bool is_shown(const char *series) {
    weir_buf text = {0};
    assert_int_equal(weir_metrics_render(&text, NULL), WEIR_OK);
    bool found = strstr(text.data, series) != NULL;
    weir_buf_done(&text);
    return found;
}

/* ---- tests ---- */

static void it_measures_only_when_something_was_stored(void **state) {
    (void)state;
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(measurements, 1); /* once at the start: a restart finds what was there */
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(measurements, 1);
    stored_offsets = 10;
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(measurements, 2);
    assert_int_equal(told, 2); /* of degradation, after each */
    assert_int_equal(event_count, 0);
}

static void long_measurements_are_spaced_out(void **state) {
    (void)state;
    measuring_takes_us = 3 * WEIR_SECOND_US;
    assert_int_equal(tick(), WEIR_OK);
    stored_offsets = 10;
    stopped_clock.now_us += 11 * WEIR_SECOND_US;
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(measurements, 1);
    stopped_clock.now_us += WEIR_SECOND_US;
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(measurements, 2);
}

static void new_labels_are_announced_counted_and_shown(void **state) {
    (void)state;
    double champion_before = joined("champion"), challenger_before = joined("challenger");
    now_measured.arm_count = 2;
    now_measured.arms[0] = arm_of("challenger", "fraud-boosted", 1, 25, 0, NAN);
    now_measured.arms[1] = arm_of("champion", "fraud-logistic", 1, 75, 20, 0.75);
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(event_count, 1); /* the challenger has no label yet */
    assert_string_equal(events[0].arm, "champion");
    assert_true(events[0].rows == 20 && events[0].has_auc);
    assert_int_equal(acknowledged, 1);
    assert_true(weir_metric_value(auc_gauge("fraud-logistic", "1", "champion")) == 0.75);
    assert_true(weir_metric_value(WEIR_METRIC("weir_experiment_share_ratio", "fraud", "challenger")) == 0.25);
    assert_true(joined("champion") - champion_before == 20);
    now_measured.arms[0] = arm_of("challenger", "fraud-boosted", 1, 25, 5, NAN);
    now_measured.arms[1] = arm_of("champion", "fraud-logistic", 1, 75, 20, 0.75);
    stored_offsets++;
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(event_count, 2);
    assert_string_equal(events[1].arm, "challenger");
    assert_false(events[1].has_auc); /* not a number: null */
    assert_true(joined("champion") - champion_before == 20 && joined("challenger") - challenger_before == 5);
    assert_string_not_equal(events[0].id, events[1].id);
    now_measured.arms[1].metrics.positives++; /* a label was corrected */
    stored_offsets++;
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(event_count, 3);
    assert_string_equal(events[2].arm, "champion");
    assert_true(joined("champion") - champion_before == 20);
}

static void a_version_that_is_gone_is_no_longer_shown(void **state) {
    (void)state;
    const char *series = "weir_experiment_metric_ratio{pipeline=\"fraud\",model=\"fraud-forest\",version=\"7\"";
    now_measured.arm_count = 1;
    now_measured.arms[0] = arm_of("champion", "fraud-forest", 7, 10, 10, 0.5);
    assert_int_equal(tick(), WEIR_OK);
    assert_true(is_shown(series));
    now_measured.arms[0] = arm_of("champion", "fraud-forest", 8, 10, 10, 0.5);
    stored_offsets++;
    assert_int_equal(tick(), WEIR_OK);
    assert_false(is_shown(series));
}

static void tenants_are_told_apart(void **state) {
    (void)state;
    enum { EACH = 40 };
    double score[2 * EACH], label[2 * EACH] = {0};
    int64_t time_us[2 * EACH] = {0};
    uint32_t entity[2 * EACH] = {0};
    int32_t tenant[2 * EACH];
    const char *const names[] = {"acme", "globex"};
    for (int i = 0; i < 2 * EACH; i++) {
        tenant[i] = i % 2;
        score[i] = i % 2 ? 0.25 : 0.75;
    }
    now_measured.arm_count = 1;
    now_measured.arms[0] = arm_of("champion", "fraud-sliced", 3, 100, 2 * EACH, 0.5);
    tenant_rows = (weir_arm_rows){.count = 2 * EACH,
                                  .score = score,
                                  .label = label,
                                  .time_us = time_us,
                                  .entity = entity,
                                  .entity_count = 1,
                                  .tenant = tenant,
                                  .tenants = names,
                                  .tenant_count = 2};
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(event_count, 3);
    assert_string_equal(events[0].slice, "");
    assert_string_equal(events[1].slice, "tenant=acme");
    assert_string_equal(events[2].slice, "tenant=globex");
    assert_true(events[2].rows == EACH);
    assert_string_not_equal(events[1].id, events[2].id);
    assert_true(weir_metric_value(WEIR_METRIC("weir_experiment_slice_value", "fraud", "fraud-sliced", "3", "champion", "tenant=globex")) == 0.25);
    assert_true(weir_metric_value(WEIR_METRIC("weir_experiment_slice_predictions", "fraud", "fraud-sliced", "3", "champion", "tenant=acme")) == EACH);
    tenant_rows.tenant_count = 1; /* of one tenant there is nothing to tell apart */
    stored_offsets++;
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(event_count, 3);
    assert_false(is_shown("slice=\"tenant=globex\""));
}

static void what_was_not_acknowledged_is_said_again_and_counted_once(void **state) {
    (void)state;
    double before = joined("champion");
    now_measured.arm_count = 1;
    now_measured.arms[0] = arm_of("champion", "fraud-logistic", 2, 10, 4, 0.5);
    flush_status = WEIR_ENET;
    assert_int_equal(tick(), WEIR_ENET);
    assert_true(joined("champion") == before);
    flush_status = WEIR_OK;
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(event_count, 2);
    assert_string_equal(events[0].id, events[1].id); /* readers can tell that it is the same */
    assert_true(joined("champion") - before == 4);
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(event_count, 2);
}

static void a_database_that_is_away_is_a_matter_of_trying_again(void **state) {
    (void)state;
    weir_err err = {0};
    pg_status = WEIR_ENET;
    assert_int_equal(weir_experiment_ops.tick(worker, stopped_clock.now_us, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    pg_status = WEIR_OK;
    assert_int_equal(tick(), WEIR_OK);
    assert_int_equal(measurements, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_measures_only_when_something_was_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(long_measurements_are_spaced_out, setup, teardown),
        cmocka_unit_test_setup_teardown(new_labels_are_announced_counted_and_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(a_version_that_is_gone_is_no_longer_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(tenants_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_acknowledged_is_said_again_and_counted_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_database_that_is_away_is_a_matter_of_trying_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
