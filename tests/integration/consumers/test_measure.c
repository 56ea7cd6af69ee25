/* Predictions and labels joined on a real PostgreSQL. Needs WEIR_PG_URL; skipped without. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "consumers/measure.h"

typedef struct fixture {
    weir_pipeline *pipeline;
    weir_pg *pg;
} fixture;

static const char *url(void) {
    return getenv("WEIR_PG_URL");
}

static void run(fixture *f, const char *sql) {
    weir_err err = {0};
    char *text = malloc(strlen(sql) + 4096);
    char *out = text;
    for (const char *c = sql; *c; c++) out += *c == '@' ? sprintf(out, "\"%s\"", f->pipeline->name) : (*out = *c, 1);
    *out = 0;
    if (weir_pg_script(f->pg, text, &err)) fail_msg("%s: %s", text, err.message);
    free(text);
}

static void measure(fixture *f, weir_measure *ret_measure) {
    weir_err err = {0};
    if (weir_measure_arms(f->pg, f->pipeline, &(weir_measure_options){.task = WEIR_TASK_BINARY, .threshold = 0.5, .card_k = 1}, ret_measure, &err))
        fail_msg("%s", err.message);
}

static int setup(void **state) {
    char json[2048];
    weir_err err = {0};
    if (!url()) return 0;
    fixture *f = calloc(1, sizeof *f);
    snprintf(json, sizeof json,
             "{\"pipeline\":\"measure_test_%d\",\"source\":{\"schema\":\"schemas/"
             "transaction.avsc\",\"key\":[\"customer_id\"],\"tenant\":\"tenant\",\"time\":\"tx_time\"},"
             "\"labels\":{\"schema\":\"schemas/"
             "transaction_label.avsc\",\"key\":[\"customer_id\"],\"tenant\":\"tenant\",\"time\":\"tx_time\",\"available\":\"labelled_at\","
             "\"column\":\"fraud\",\"join\":[\"transaction_id\",\"transaction_id\"],\"max_delay\":\"7d\"},"
             "\"views\":[{\"name\":\"v\",\"entity\":[\"customer_id\"],\"features\":[{\"name\":\"n\",\"agg\":\"count\",\"window\":\"1d\"}]}]}",
             (int)getpid());
    if (weir_pipeline_parse(json, NULL, &f->pipeline, &err)) fail_msg("%s", err.message);
    if (weir_pg_new(url(), &f->pg, &err)) fail_msg("%s", err.message);
    run(f, "CREATE SCHEMA @");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    if (!f) return 0;
    run(f, "DROP SCHEMA @ CASCADE");
    weir_pg_free(f->pg);
    weir_pipeline_free(f->pipeline);
    free(f);
    return 0;
}

#define NEED(f)                                                                                                                                                \
    if (!(f)) {                                                                                                                                                \
        print_message("skipped: WEIR_PG_URL is not set\n");                                                                                                    \
        skip();                                                                                                                                                \
    }

/* As the offline store makes them: whole numbers are int8 whatever their width in Avro. */
static const char tables[] = "CREATE TABLE @.predictions (tenant text, entity text, join_id text, event_time timestamptz, source_partition int8, source_offset "
                             "int8, predicted_at timestamptz,"
                             " model text, version int8, digest text, arm text, score float8);"
                             "CREATE TABLE @.labels (tenant text, transaction_id text, event_time timestamptz, available_time timestamptz, source_partition "
                             "int4, source_offset int8, fraud boolean);";

/* (entity, id, hour, offset, arm, version, score) */
static void predict(fixture *f, const char *entity, const char *id, int hour, int offset, const char *arm, int version, double score) {
    char sql[512];
    snprintf(sql, sizeof sql,
             "INSERT INTO @.predictions VALUES ('t', '%s', '%s', '2018-04-01 %02d:00:00+00', 0, %d, '2018-04-01 %02d:00:01+00', 'm', %d, 'd%d', '%s', %.17g)",
             entity, id, hour, offset, hour, version, version, arm, score);
    run(f, sql);
}

/* day: of April, when it became known; offset orders labels of one moment */
static void label(fixture *f, const char *tenant, const char *id, int day, int offset, const char *fraud) {
    char sql[512];
    snprintf(sql, sizeof sql, "INSERT INTO @.labels VALUES ('%s', '%s', '2018-04-01 12:00:00+00', '2018-04-%02d 00:00:00+00', 0, %d, %s)", tenant, id, day,
             offset, fraud);
    run(f, sql);
}

static void nothing_is_measured_before_there_is_a_store(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    measure(f, &m);
    assert_int_equal(m.arm_count, 0);
    assert_false(m.has_difference);
}

static void predictions_without_labels_are_counted(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    run(f, tables);
    predict(f, "a", "1", 1, 1, "champion", 1, 0.9);
    measure(f, &m);
    assert_int_equal(m.arm_count, 1);
    assert_int_equal(m.arms[0].predictions, 1);
    assert_int_equal(m.arms[0].labelled, 0);
    assert_true(isnan(m.arms[0].metrics.auc_roc));
}

static void arms_are_measured_on_their_own_labels(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    predict(f, "a", "2", 2, 2, "champion", 1, 0.4);
    predict(f, "b", "3", 3, 3, "champion", 1, 0.6);
    predict(f, "b", "4", 4, 4, "champion", 1, 0.2);
    predict(f, "c", "5", 5, 5, "challenger", 2, 0.8);
    predict(f, "c", "6", 6, 6, "challenger", 2, 0.1);
    predict(f, "c", "7", 7, 7, "challenger", 2, 0.1); /* never labelled */
    label(f, "t", "1", 8, 1, "true");
    label(f, "t", "2", 8, 2, "false");
    label(f, "t", "3", 8, 3, "false");
    label(f, "t", "4", 8, 4, "true");
    label(f, "t", "5", 8, 5, "true");
    label(f, "t", "6", 8, 6, "false");
    label(f, "other", "7", 8, 7, "true"); /* another tenant's */
    measure(f, &m);
    assert_int_equal(m.arm_count, 2);
    const weir_arm_measure *challenger = &m.arms[0], *champion = &m.arms[1];
    assert_string_equal(challenger->arm, "challenger");
    assert_string_equal(challenger->model, "m");
    assert_string_equal(challenger->digest, "d2");
    assert_int_equal(challenger->version, 2);
    assert_int_equal(challenger->predictions, 3);
    assert_int_equal(challenger->labelled, 2);
    assert_true(challenger->metrics.auc_roc == 1);
    /* champion: 0.9 +, 0.6 −, 0.4 −, 0.2 +: two of four pairs in order; above 0.5: one hit of two */
    assert_int_equal(champion->labelled, 4);
    assert_int_equal(champion->metrics.positives, 2);
    assert_true(champion->metrics.auc_roc == 0.5 && champion->metrics.precision == 0.5 && champion->metrics.recall == 0.5);
    /* the card of the day with the highest score is a's, and it was compromised */
    assert_true(champion->metrics.card_precision == 1);
    assert_true(m.has_difference);
    assert_float_equal(m.auc_difference, 0.5, 1e-15);
}

static void register_version(fixture *f, int version, const char *digest, const char *signature) {
    char sql[512];
    snprintf(sql, sizeof sql,
             "INSERT INTO weir.model_versions (pipeline, model, version, semver, algorithm, digest, artifact_path, feature_hash, dataset_digest, signature) "
             "VALUES ('%s', 'm', %d, '{1, %d, 0}', 'logistic', '%s', 'a', 'f', 'd', '%s')",
             f->pipeline->name, version, version, digest, signature);
    run(f, sql);
}

static void forget_versions(fixture *f) {
    char sql[160];
    snprintf(sql, sizeof sql, "DELETE FROM weir.model_versions WHERE pipeline = '%s'", f->pipeline->name);
    run(f, sql);
}

static void each_version_decides_by_its_own_threshold(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    weir_err err = {0};
    if (weir_pg_migrate(f->pg, &err)) fail_msg("%s", err.message);
    register_version(f, 1, "d1", "{\"threshold\": 0.3}");
    register_version(f, 2, "another artifact", "{\"threshold\": 0.05}"); /* not what predicted as version 2 */
    measure(f, &m);
    const weir_metrics_binary *challenger = &m.arms[0].metrics, *champion = &m.arms[1].metrics;
    /* champion: 0.9 +, 0.6 -, 0.4 -, 0.2 +: from 0.3 on one hit of three */
    assert_true(champion->threshold == 0.3 && challenger->threshold == 0.5);
    assert_true(champion->precision == 1.0 / 3 && champion->recall == 0.5 && champion->auc_roc == 0.5);
    assert_true(challenger->precision == 1 && challenger->recall == 1);
    forget_versions(f);
    register_version(f, 1, "d1", "{\"threshold\": 0.1}");
    register_version(f, 2, "d2", "{\"task\": \"binary\"}"); /* served by the pipeline's threshold */
    measure(f, &m);
    assert_true(m.arms[1].metrics.recall == 1 && m.arms[1].metrics.precision == 0.5 && m.arms[1].metrics.accuracy == 0.5);
    assert_true(m.arms[0].metrics.threshold == 0.5);
    forget_versions(f);
}

static void the_label_known_last_counts_and_repeats_count_once(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    label(f, "t", "4", 9, 0, "false"); /* known later than "true" */
    label(f, "t", "3", 7, 90, "true"); /* known earlier */
    label(f, "t", "2", 8, 91, "true"); /* known at the same time, later in the topic */
    label(f, "t", "6", 10, 0, "NULL"); /* taken back */
    measure(f, &m);
    assert_int_equal(m.arms[1].labelled, 4);
    /* now 0.9 +, 0.6 −, 0.4 +, 0.2 − */
    assert_true(m.arms[1].metrics.auc_roc == 0.75);
    assert_int_equal(m.arms[0].labelled, 1);
    assert_false(m.has_difference);
}

static void labels_out_of_the_predictions_range_do_not_join(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    run(f,
        "INSERT INTO @.labels VALUES ('t', '7', '2018-04-20 00:00:00+00', '2018-04-20 00:00:00+00', 0, 100, true)"); /* more than max_delay after the last prediction */
    measure(f, &m);
    assert_int_equal(m.arms[0].labelled, 1);
}

static void many_predictions_are_joined_and_measured_exactly(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    run(f, "TRUNCATE @.predictions, @.labels;"
           "INSERT INTO @.predictions SELECT 't', 'c' || i % 97, i::text, '2018-04-01'::timestamptz + i * interval '1 minute', i % 4, i, now() + i * interval "
           "'1 second', 'm',"
           " 1 + i % 2, 'd', CASE i % 2 WHEN 0 THEN 'champion' ELSE 'challenger' END, i::float8 / 5000 FROM generate_series(0, 4999) i;"
           "INSERT INTO @.labels SELECT 't', i::text, '2018-04-01'::timestamptz + i * interval '1 minute', '2018-05-01', i % 4, i, i >= 2500 FROM "
           "generate_series(0, 4999) i");
    measure(f, &m);
    assert_int_equal(m.arm_count, 2);
    for (int a = 0; a < 2; a++) {
        assert_int_equal(m.arms[a].predictions, 2500);
        assert_int_equal(m.arms[a].labelled, 2500);
        assert_int_equal(m.arms[a].metrics.positives, 1250);
        assert_true(m.arms[a].metrics.auc_roc == 1 && m.arms[a].metrics.average_precision == 1);
    }
    assert_true(m.has_difference && m.auc_difference == 0 && m.auc_low == 0 && m.auc_high == 0);
}

static void versions_served_long_ago_make_room_for_new_ones(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    run(f, "TRUNCATE @.predictions, @.labels;"
           "INSERT INTO @.predictions SELECT 't', 'c', i::text, '2018-04-01', 0, i, '2018-04-01'::timestamptz + i * interval '1 hour', 'm', i, 'd', "
           "'champion', 0.5"
           " FROM generate_series(1, 20) i;"
           "INSERT INTO @.labels SELECT 't', i::text, '2018-04-01', '2018-04-02', 0, i, true FROM generate_series(1, 20) i");
    measure(f, &m);
    assert_int_equal(m.arm_count, WEIR_ARMS_MAX);
    assert_int_equal(m.arms[0].version, 5);
    assert_int_equal(m.arms[WEIR_ARMS_MAX - 1].version, 20);
    for (int a = 0; a < m.arm_count; a++) assert_int_equal(m.arms[a].labelled, 1);
}

/* Labels of a regression are any numbers; here the boolean column stands for 0 and 1. */
static void a_regression_is_measured_by_its_errors(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    weir_err err = {0};
    run(f, "TRUNCATE @.predictions; TRUNCATE @.labels; ALTER TABLE @.labels ALTER COLUMN fraud TYPE float8 USING fraud::int::float8");
    weir_schema_field *column = (weir_schema_field *)weir_schema_field_at(f->pipeline->labels.schema, f->pipeline->label_column);
    weir_type was = column->type;
    column->type = WEIR_T_F64;
    for (int i = 1; i <= 6; i++) {
        char id[16], value[16];
        snprintf(id, sizeof id, "%d", i);
        snprintf(value, sizeof value, "%d", 10 * i);
        /* errors: champion -1, 2, -3 on 10, 20, 30; challenger 0, 1, -1 on 40, 50, 60 */
        static const double error[] = {-1, 2, -3, 0, 1, -1};
        predict(f, "a", id, i, i, i <= 3 ? "champion" : "challenger", i <= 3 ? 1 : 2, 10 * i + error[i - 1]);
        label(f, "t", id, 8, i, value);
    }
    if (weir_measure_arms(f->pg, f->pipeline, &(weir_measure_options){.task = WEIR_TASK_REGRESSION, .threshold = 0.5, .card_k = 1}, &m, &err))
        fail_msg("%s", err.message);
    column->type = was;
    assert_int_equal(m.arm_count, 2);
    const weir_metrics_regression *challenger = &m.arms[0].errors, *champion = &m.arms[1].errors;
    assert_int_equal(m.arms[1].labelled, 3);
    assert_float_equal(champion->mae, 2, 1e-12);
    assert_float_equal(champion->rmse, sqrt(14.0 / 3), 1e-12);
    assert_float_equal(champion->r2, 1 - 14.0 / 200, 1e-12);
    assert_float_equal(challenger->rmse, sqrt(2.0 / 3), 1e-12);
    assert_true(isnan(m.arms[0].metrics.auc_roc) && !m.has_difference && m.has_error_difference);
    /* squared errors 1, 4, 9 and 0, 1, 1: means 14/3 and 2/3, variances 49/3 and 1/3 */
    double half = 1.959963984540054 * sqrt(49.0 / 9 + 1.0 / 9);
    assert_float_equal(m.mse_difference, -4, 1e-12);
    assert_float_equal(m.mse_low, -4 - half, 1e-9);
    assert_float_equal(m.mse_high, -4 + half, 1e-9);
}

typedef struct seen_rows {
    int calls, column_count;
    int64_t count;
    char tenants[2][8];
    double of_tenant[2], threshold; /* the column's value of each tenant's row */
} seen_rows;

static weir_status see(void *context, const weir_arm_measure *arm, const weir_arm_rows *rows, weir_err *err) {
    seen_rows *seen = context;
    (void)arm, (void)err;
    seen->calls++;
    seen->count = rows->count;
    seen->column_count = rows->column_count;
    seen->threshold = rows->threshold;
    assert_int_equal(rows->tenant_count, 2);
    for (int64_t r = 0; r < rows->count; r++) {
        snprintf(seen->tenants[rows->tenant[r]], sizeof seen->tenants[0], "%s", rows->tenants[rows->tenant[r]]);
        seen->of_tenant[rows->tenant[r]] = rows->columns[0][r];
    }
    return WEIR_OK;
}

/* A column that predictions do not have yet is left out; a value that is missing is NaN. */
static void rows_know_their_tenant_and_the_columns_that_are_asked_for(void **state) {
    fixture *f = *state;
    NEED(f);
    weir_measure m;
    weir_err err = {0};
    seen_rows seen = {0};
    const char *const columns[] = {"not_yet", "loan.sum", NULL};
    run(f, "TRUNCATE @.predictions; TRUNCATE @.labels; ALTER TABLE @.labels ALTER COLUMN fraud TYPE boolean USING fraud <> 0; ALTER TABLE @.predictions ADD "
           "\"features_loan_sum\" float8");
    predict(f, "a", "1", 1, 1, "champion", 1, 0.9);
    predict(f, "b", "2", 2, 2, "champion", 1, 0.1);
    run(f, "UPDATE @.predictions SET tenant = 'u' WHERE entity = 'b'; UPDATE @.predictions SET features_loan_sum = 7 WHERE entity = 'a'");
    label(f, "t", "1", 8, 1, "true");
    label(f, "u", "2", 8, 2, "false");
    const weir_measure_options options = {.task = WEIR_TASK_BINARY, .threshold = 0.25, .card_k = 1, .columns = columns, .on_arm = see, .context = &seen};
    if (weir_measure_arms(f->pg, f->pipeline, &options, &m, &err)) fail_msg("%s", err.message);
    assert_true(seen.calls == 1 && seen.count == 2 && seen.column_count == 1 && seen.threshold == 0.25);
    int t = strcmp(seen.tenants[0], "t") ? 1 : 0;
    assert_string_equal(seen.tenants[t], "t");
    assert_string_equal(seen.tenants[!t], "u");
    assert_true(seen.of_tenant[t] == 7 && isnan(seen.of_tenant[!t]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_measured_before_there_is_a_store),
        cmocka_unit_test(predictions_without_labels_are_counted),
        cmocka_unit_test(arms_are_measured_on_their_own_labels),
        cmocka_unit_test(each_version_decides_by_its_own_threshold),
        cmocka_unit_test(the_label_known_last_counts_and_repeats_count_once),
        cmocka_unit_test(labels_out_of_the_predictions_range_do_not_join),
        cmocka_unit_test(many_predictions_are_joined_and_measured_exactly),
        cmocka_unit_test(versions_served_long_ago_make_room_for_new_ones),
        cmocka_unit_test(a_regression_is_measured_by_its_errors),
        cmocka_unit_test(rows_know_their_tenant_and_the_columns_that_are_asked_for),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
