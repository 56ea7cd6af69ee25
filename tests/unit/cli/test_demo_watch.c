/* Reading metrics from outside, and what they say about a pipeline. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/demo_flow.h"
#include "cli/demo_watch.h"

static void assert_near(double value, double expected, double tolerance) {
    if (!(fabs(value - expected) <= tolerance)) fail_msg("%.17g is not within %g of %.17g", value, tolerance, expected);
}

static void take(weir_watch *watch, const char *text) {
    weir_err err;
    assert_int_equal(weir_watch_take(watch, text, strlen(text), &err), WEIR_OK);
}

static double sum(const weir_watch *watch, const char *name) {
    return weir_watch_sum(watch, name, WEIR_WATCH_ANY);
}

static void test_counters_count_from_the_first_text_and_survive_a_restart(void **state) {
    (void)state;
    weir_watch watch = {0};
    take(&watch, "# TYPE weir_a counter\nweir_a_total{p=\"x\"} 100\n");
    assert_near(sum(&watch, "weir_a_total"), 0, 0);
    take(&watch, "weir_a_total{p=\"x\"} 130\nweir_a_total{p=\"y\"} 5\n"); /* y is new after the first text: it began at 0 */
    assert_near(sum(&watch, "weir_a_total"), 35, 0);
    take(&watch, "weir_a_total{p=\"x\"} 7\n"); /* a new process; y is not there yet and keeps what it had */
    assert_near(sum(&watch, "weir_a_total"), 42, 0);
    take(&watch, "weir_a_total{p=\"x\"} 8\nweir_a_total{p=\"y\"} 1\n");
    assert_near(sum(&watch, "weir_a_total"), 44, 0);
    weir_watch_done(&watch);
}

static void test_gauges_are_as_they_are_and_go_when_they_are_gone(void **state) {
    (void)state;
    weir_watch watch = {0};
    take(&watch, "weir_lag{t=\"a\"} 10\nweir_lag{t=\"b\"} 2.5\n");
    assert_near(sum(&watch, "weir_lag"), 12.5, 0);
    take(&watch, "weir_lag{t=\"b\"} 1e3 1700000000\n");
    assert_near(sum(&watch, "weir_lag"), 1000, 0);
    weir_watch_done(&watch);
}

static void test_labels_are_matched_and_unescaped(void **state) {
    (void)state;
    weir_watch watch = {0};
    take(&watch, "weir_g{a=\"one\",b=\"x y\"} 1\nweir_g{a=\"one\",b=\"q\\\"}\\\\\\n\"} 2\nweir_g{a=\"two\",b=\"x y\"} 4\nweir_g 8\n");
    assert_int_equal(watch.count, 4);
    assert_near(weir_watch_sum(&watch, "weir_g", WEIR_WATCH_WITH({"a", "one"})), 3, 0);
    assert_near(weir_watch_sum(&watch, "weir_g", WEIR_WATCH_WITH({"a", "one"}, {"b", "x y"})), 1, 0);
    assert_near(weir_watch_sum(&watch, "weir_g", WEIR_WATCH_WITH({"b", "q\"}\\\n"})), 2, 0);
    assert_near(weir_watch_sum(&watch, "weir_g", WEIR_WATCH_WITH({"c", "one"})), 0, 0);
    assert_string_equal(weir_series_label(weir_watch_next(&watch, "weir_g", WEIR_WATCH_WITH({"a", "two"}), NULL), "b"), "x y");
    weir_watch_done(&watch);
}

static void test_what_is_no_sample_of_ours_is_skipped(void **state) {
    (void)state;
    weir_watch watch = {0};
    take(&watch, "");
    take(&watch,
         "# EOF\nprocess_cpu 3\nweir_h_bucket{le=\"1\"} 4\nweir_h_created 4\nweir_broken{a=\"x} 1\nweir_broken{a=x} 1\nweir_none\nweir_word abc\nweir_long "
         "11111111111111111111111111111111111111111111111111111111111111111111111\nweir_h_count 9");
    assert_int_equal(watch.count, 1);
    assert_near(sum(&watch, "weir_h_count"), 9, 0);
    weir_watch_done(&watch);
}

/* ---- the pipeline ---- */

static weir_view_def views[] = {{.name = "customer"}, {.name = "terminal"}};
static char pipeline_name[] = "fraud", events_topic[] = "fraud.events", labels_topic[] = "fraud.labels";
static const weir_pipeline pipeline = {
    .name = pipeline_name, .events = {.topic = events_topic}, .labels = {.topic = labels_topic}, .views = views, .view_count = 2, .primary_view = 0};

#define TAKEN(worker, topic, n) "weir_worker_records_total{pipeline=\"fraud\",worker=\"" worker "\",topic=\"" topic "\"} " n "\n"
#define FEATURES(view, n) "weir_ingest_features_total{pipeline=\"fraud\",view=\"" view "\"} " n "\n"
#define INGESTED TAKEN("ingest", "fraud.events", "10") TAKEN("ingest", "fraud.labels", "4") FEATURES("customer", "10") FEATURES("terminal", "4")
#define STORED TAKEN("store", "fraud.features.customer", "10") TAKEN("store", "fraud.features.terminal", "4")

static bool idle(const char *text, bool scoring, const char *expected_why) {
    weir_watch watch = {0};
    char why[WEIR_WAITING_MAX] = "";
    take(&watch, "");
    take(&watch, text);
    bool done = weir_flow_idle(&watch, &pipeline, &(weir_published){10, 4}, scoring, why);
    assert_string_equal(why, expected_why);
    weir_watch_done(&watch);
    return done;
}

static void test_idle_means_that_everybody_took_what_they_were_given(void **state) {
    (void)state;
    assert_true(idle(INGESTED STORED, false, ""));
    assert_false(idle("", false, "ingest has still to take 10 records of fraud.events"));
    assert_false(idle(TAKEN("ingest", "fraud.events", "10") TAKEN("ingest", "fraud.labels", "1"), false, "ingest has still to take 3 records of fraud.labels"));
    assert_false(idle(INGESTED TAKEN("store", "fraud.features.customer", "9"), false, "store has still to take 1 records of fraud.features.customer"));
    assert_false(idle(INGESTED STORED TAKEN("store", "fraud.labels", "2"), false, "store has still to take 2 records of fraud.labels"));
    /* training takes its time, and the topics of others are none of ours */
    assert_true(idle(INGESTED STORED TAKEN("train", "weir.training.requests", "0") TAKEN("store", "other.features.x", "0"), false, ""));
}

static void test_idle_needs_no_lag_and_workers_that_are_ready(void **state) {
    (void)state;
    assert_false(idle(INGESTED STORED "weir_worker_lag_records{pipeline=\"fraud\",worker=\"store\",topic=\"t\",partition=\"0\"} 3\n", false,
                      "store is 3 records behind"));
    assert_true(idle(INGESTED STORED "weir_worker_lag_records{pipeline=\"fraud\",worker=\"train\",topic=\"t\",partition=\"0\"} 3\n", false, ""));
    assert_false(idle(INGESTED STORED "weir_worker_ready{pipeline=\"fraud\",worker=\"ingest\"} 0\n", false, "ingest is not ready"));
}

static void test_idle_counts_predictions_when_there_is_scoring(void **state) {
    (void)state;
#define SCORED(n) "weir_score_predictions_total{pipeline=\"fraud\",model=\"m\",arm=\"champion\"} " n "\n"
    assert_false(idle(INGESTED STORED, true, "score has still to score 10 records"));
    assert_false(idle(INGESTED STORED SCORED("7"), true, "score has still to score 3 records"));
    assert_true(idle(INGESTED STORED SCORED(
                         "7") "weir_score_unserved_total{pipeline=\"fraud\"} 2\nweir_score_errors_total{pipeline=\"fraud\",model=\"m\",arm=\"champion\"} 1\n",
                     true, ""));
    assert_false(idle(INGESTED STORED SCORED("10") TAKEN("store", "fraud.predictions", "8"), true, "store has still to take 2 records of fraud.predictions"));
}

/* After a worker was killed its counters say less than was done. */
static void test_idle_without_counts_still_needs_no_lag(void **state) {
    (void)state;
    weir_watch watch = {0};
    char why[WEIR_WAITING_MAX];
    take(&watch, "");
    take(&watch, TAKEN("store", "fraud.features.customer", "3") FEATURES("customer", "10"));
    assert_false(weir_flow_idle(&watch, &pipeline, &(weir_published){0, 0}, false, why));
    assert_true(weir_flow_idle(&watch, &pipeline, NULL, true, why));
    take(&watch, "weir_worker_lag_records{pipeline=\"fraud\",worker=\"store\",topic=\"t\",partition=\"0\"} 1\n");
    assert_false(weir_flow_idle(&watch, &pipeline, NULL, true, why));
    weir_watch_done(&watch);
}

static void test_show_fills_the_view(void **state) {
    (void)state;
    weir_watch watch = {0};
    weir_live_view view;
    weir_live_view_init(&view);
    take(&watch, "");
    take(&watch, INGESTED STORED "weir_score_model_info{pipeline=\"fraud\",arm=\"challenger\",model=\"boosted\",version=\"3\",digest=\"d\"} 1\n"
                                 "weir_score_predictions_total{pipeline=\"fraud\",model=\"boosted\",arm=\"challenger\"} 6\n"
                                 "weir_experiment_predictions_joined_total{pipeline=\"fraud\",arm=\"challenger\"} 5\n"
                                 "weir_experiment_metric_ratio{pipeline=\"fraud\",model=\"boosted\",version=\"2\",arm=\"challenger\",metric=\"auc_roc\"} 0.5\n"
                                 "weir_experiment_metric_ratio{pipeline=\"fraud\",model=\"boosted\",version=\"3\",arm=\"challenger\",metric=\"auc_roc\"} 0.9\n"
                                 "weir_worker_deadletters_total{pipeline=\"fraud\",worker=\"ingest\",topic=\"fraud.events\",class=\"check\"} 2\n"
                                 "weir_ingest_event_time_seconds{pipeline=\"fraud\",topic=\"fraud.events\"} 1528157039.5\n");
    weir_flow_show(&watch, &pipeline, &view);
    assert_int_equal(view.events, 10);
    assert_int_equal(view.labels, 4);
    assert_int_equal(view.features, 14);
    assert_int_equal(view.dead_letters, 2);
    assert_int_equal(view.event_time_us, INT64_C(1528157039500000));
    assert_string_equal(view.arms[1].model, "boosted");
    assert_int_equal(view.arms[1].version, 3);
    assert_int_equal(view.arms[1].predictions, 6);
    assert_int_equal(view.arms[1].labelled, 5);
    assert_near(view.arms[1].auc, 0.9, 0); /* of the version that is served */
    assert_true(isnan(view.arms[1].average_precision));
    assert_true(isnan(view.arms[0].auc));
    weir_watch_done(&watch);
}

static void patience_ends_when_the_same_was_waited_for_too_long(void **state) {
    (void)state;
    weir_patience patience = {0};
    assert_false(weir_patience_over(&patience, "3 records wait", 1000, 50));
    assert_false(weir_patience_over(&patience, "3 records wait", 1050, 50));
    assert_false(weir_patience_over(&patience, "2 records wait", 1051, 50)); /* something moved */
    assert_false(weir_patience_over(&patience, "2 records wait", 1101, 50));
    assert_true(weir_patience_over(&patience, "2 records wait", 1102, 50));
}

static void nobody_at_the_address_is_no_error_but_not_ready(void **state) {
    (void)state;
    char why[WEIR_WAITING_MAX];
    bool ready = true;
    weir_err err = {0};
    assert_int_equal(weir_flow_ready("127.0.0.1", 1, &ready, why, &err), WEIR_OK);
    assert_false(ready);
    assert_string_equal(why, "waiting for the workers at http://127.0.0.1:1/readyz");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters_count_from_the_first_text_and_survive_a_restart),
        cmocka_unit_test(test_gauges_are_as_they_are_and_go_when_they_are_gone),
        cmocka_unit_test(test_labels_are_matched_and_unescaped),
        cmocka_unit_test(test_what_is_no_sample_of_ours_is_skipped),
        cmocka_unit_test(test_idle_means_that_everybody_took_what_they_were_given),
        cmocka_unit_test(test_idle_needs_no_lag_and_workers_that_are_ready),
        cmocka_unit_test(test_idle_counts_predictions_when_there_is_scoring),
        cmocka_unit_test(test_idle_without_counts_still_needs_no_lag),
        cmocka_unit_test(test_show_fills_the_view),
        cmocka_unit_test(patience_ends_when_the_same_was_waited_for_too_long),
        cmocka_unit_test(nobody_at_the_address_is_no_error_but_not_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
