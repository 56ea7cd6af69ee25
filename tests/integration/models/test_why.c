/* Predictions told, scored again and traced on a small store that is made by hand, and the audit log under many writers. WEIR_PG_URL names a server where this test may make a database of
 * its own. Skipped without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>

#include "models/artifact_file.h"
#include "models/audit.h"
#include "models/json.h"
#include "models/lineage.h"
#include "models/registry.h"
#include "models/rescore.h"
#include "models/why.h"
#include "tests/integration/models/database.h"
#include "tests/unit/starve.h"

enum { PREDICTIONS = 1300, INPUTS = 2, WRITERS = 4, CHANGES = 25, STARVE_MAX = 4000 };

static weir_err err;
static weir_pipeline *pipeline;
static char objects[] = "/tmp/weir-why-XXXXXX";

static void ok(weir_status status) {
    if (status) fail_msg("%s", err.message);
}

static void run_sql(const char *sql) {
    if (weir_pg_script(pg, sql, &err)) fail_msg("%s: %s", sql, err.message);
}

static const cJSON *at(const cJSON *json, const char *path) {
    char copy[256], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *part; json && (part = strsep(&rest, "/"));)
        json = cJSON_IsArray(json) ? cJSON_GetArrayItem(json, atoi(part)) : cJSON_GetObjectItemCaseSensitive(json, part);
    return json;
}

static const char *text(const cJSON *json, const char *path) {
    const char *found = cJSON_GetStringValue(at(json, path));
    return found ? found : "(none)";
}

/* Rows of two columns, so that a model of 300 rows and predictions on others are made of the same. */
static void make_row(int i, double *row) {
    row[0] = fmod(i * 0.6180339887498949, 1) * 10;
    row[1] = i % 7 ? fmod(i * 0.41421356237, 1) - 0.5 : NAN;
}

/* Fits, writes the artifact, registers it as the next version of `name`. */
static int add_version(const char *name, const char *algorithm, const char *params, uint64_t seed, weir_model **ret_model) {
    enum { ROWS = 300 };
    static const char *const names[] = {"amount", "tx_during_night"};
    double values[ROWS * INPUTS], label[ROWS];
    weir_buf artifact = {0};
    char path[300];
    int version;
    bool regression = !strcmp(algorithm, "svr");
    for (int r = 0; r < ROWS; r++) {
        make_row(r * 3 + (int)seed, values + r * INPUTS);
        label[r] = regression ? values[r * INPUTS] * 2 : values[r * INPUTS] > 5;
    }
    const weir_matrix train = {.row_count = ROWS,
                               .column_count = INPUTS,
                               .values = values,
                               .label = label,
                               .column_names = names,
                               .task = regression ? WEIR_TASK_REGRESSION : WEIR_TASK_BINARY};
    cJSON *json = params ? cJSON_Parse(params) : NULL,
          *signature = cJSON_Parse("{\"inputs\": [{\"name\": \"amount\"}, {\"name\": \"tx_during_night\"}], \"threshold\": 0.4}");
    cJSON *lineage = cJSON_Parse("{\"seed\": 1, \"params\": {}, \"code_version\": \"9.9\", \"dataset\": {\"rows\": 300, \"query\": \"what was asked\"},"
                                 " \"window\": {\"train_from\": \"2024-01-01T00:00:00.000000Z\", \"train_to\": \"2024-01-02T00:00:00.000000Z\"}}");
    ok(weir_model_fit(algorithm, json, NULL, &train, "hash", seed, 1, &artifact, &err));
    ok(weir_model_load(artifact.data, artifact.len, ret_model, &err));
    snprintf(path, sizeof path, "models/w/%s/%s.weirmodel", name, weir_model_digest(*ret_model));
    ok(weir_artifact_write(objects, path, &artifact, &err));
    const weir_version_new new = {.pipeline = pipeline->name,
                                  .model = name,
                                  .algorithm = algorithm,
                                  .digest = weir_model_digest(*ret_model),
                                  .artifact_path = path,
                                  .feature_hash = "of another day",
                                  .dataset_digest = "dddd",
                                  .lineage = lineage,
                                  .signature = signature};
    ok(weir_version_register(pg, &new, &version, &err));
    weir_buf_done(&artifact);
    cJSON_Delete(json);
    cJSON_Delete(signature);
    cJSON_Delete(lineage);
    return version;
}

/* Predictions of one version on the events `first`, first + step, …, as score would record them. */
static void add_predictions(const char *name, int version, weir_model *model, int first, int step) {
    weir_buf rows = {0};
    for (int i = first; i < PREDICTIONS; i += step) {
        double row[INPUTS], score;
        make_row(i, row);
        ok(weir_model_predict(model, row, 1, &score, &err));
        assert_true(weir_buf_printf(
            &rows,
            "%s('fraud-%d-%d','default','c%d','tx%d','2024-03-01'::timestamptz + interval '1 minute' * %d, now(), %d, %d, now(), '%s', %d, '%s', "
            "'%s', 0.5, %.17g, %s, 'of another day', %d, %d, '2024-03-01'::timestamptz, 0, 7, %.17g, %s%.17g)",
            rows.len ? "," : "", i % 4, i, i % 9, i, i, i % 4, i, name, version, weir_model_digest(model), step == 2 && !first ? "champion" : "challenger",
            score, score >= 0.4 ? "true" : "false", i % 4, i, row[0], isnan(row[1]) ? "NULL::float8 + " : "", isnan(row[1]) ? 0 : row[1]));
    }
    weir_buf sql = {0};
    assert_true(weir_buf_printf(&sql, "INSERT INTO fraud.predictions VALUES %s", rows.data));
    run_sql(sql.data);
    weir_buf_done(&sql);
    weir_buf_done(&rows);
}

static weir_model *boosted, *linear, *kernel;

static int make_all(void **state) {
    (void)state;
    if (make_database_named("why") || !mkdtemp(objects)) return 1;
    ok(weir_pipeline_load("fraud", &pipeline, &err));
    run_sql("CREATE SCHEMA fraud; CREATE TABLE fraud.predictions (prediction_id text, tenant text, entity text, join_id text, event_time timestamptz, "
            "available_time timestamptz, "
            "source_partition int4, source_offset int8, predicted_at timestamptz, model text, version int8, digest text, arm text, propensity float8, score "
            "float8, decision boolean, "
            "feature_hash text, views_customer_source_partition int8, views_customer_source_offset int8, views_customer_event_time timestamptz, "
            "views_customer_age_seconds float8, "
            "views_customer_version int8, features_amount float8, features_tx_during_night float8);"
            "CREATE TABLE fraud.labels (tenant text, transaction_id text, event_time timestamptz, available_time timestamptz, source_partition int4, "
            "source_offset int8, fraud boolean)");
    int b = add_version("w-boosted", "xgboost", "{\"rounds\": 12, \"max_bin\": 64}", 1, &boosted), l = add_version("w-linear", "logistic", NULL, 1, &linear);
    int k = add_version("w-kernel", "svr", "{\"kernel\": \"rbf\"}", 1, &kernel);
    add_predictions("w-boosted", b, boosted, 0, 2);
    add_predictions("w-linear", l, linear, 1, 2);
    (void)k;
    run_sql("INSERT INTO fraud.labels SELECT 'default', join_id, event_time, event_time, source_partition, source_offset, features_amount > 5 FROM "
            "fraud.predictions WHERE "
            "source_offset % 3 > 0;"
            "INSERT INTO fraud.labels SELECT 'default', join_id, event_time, event_time + interval '1 day', source_partition, source_offset + 10000, NOT "
            "features_amount > 5 FROM "
            "fraud.predictions WHERE source_offset = 1"); /* told again, otherwise: the later one holds */
    ok(weir_alias_move(pg, "fraud", "champion", NULL, "w-boosted", b, "tester", "because", &err));
    return 0;
}

static int drop_all(void **state) {
    weir_model_free(boosted);
    weir_model_free(linear);
    weir_model_free(kernel);
    weir_pipeline_free(pipeline);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", objects);
    return drop_database(state) || system(command) != 0;
}

static cJSON *why_of(const char *id) {
    cJSON *why = NULL;
    ok(weir_why(pg, pipeline, objects, id, &why, &err));
    return why;
}

/* ---- why ---- */

static void a_prediction_is_told_with_contributions_that_add_up(void **state) {
    (void)state;
    static const char *const ids[] = {"fraud-0-100", "fraud-1-101", "fraud-0-0"}; /* boosted, linear, and one with a missing value */
    for (int i = 0; i < 3; i++) {
        cJSON *why = why_of(ids[i]);
        double sum = weir_json_value(at(why, "explanation/base")), score = weir_json_value(at(why, "prediction/score"));
        for (int c = 0; c < INPUTS; c++) sum += weir_json_value(cJSON_GetObjectItem(cJSON_GetArrayItem(at(why, "inputs"), c), "contribution"));
        assert_true(fabs(sum - weir_json_value(at(why, "explanation/sum"))) < 1e-12);
        assert_string_equal(text(why, "explanation/unit"), "log odds");
        assert_true(fabs(1 / (1 + exp(-sum)) - score) < 1e-5);
        assert_true(cJSON_IsTrue(at(why, "reproduced")));
        assert_true(weir_json_value(at(why, "prediction/threshold")) == 0.4);
        assert_string_equal(text(why, "training/query"), "what was asked");
        assert_string_equal(text(why, "training/code_version"), "9.9");
        assert_true(cJSON_IsFalse(at(why, "model/same_definitions")));
        assert_int_equal(cJSON_GetArraySize(at(why, "views")), 1);
        cJSON_Delete(why);
    }
}

static void the_label_that_was_told_last_holds(void **state) {
    (void)state;
    cJSON *why = why_of("fraud-1-1");
    assert_string_equal(text(why, "label/value"), "false"); /* its amount is 6.18, so that it was true at first */
    assert_string_equal(text(why, "label/available_time"), "2024-03-02T00:01:00.000000Z");
    cJSON_Delete(why);
    why = why_of("fraud-3-3");
    assert_true(cJSON_IsNull(at(why, "label")));
    cJSON_Delete(why);
}

static void ids_that_are_none_and_predictions_that_are_not_there(void **state) {
    (void)state;
    static const char *const bad[] = {"", "fraud", "fraud-1", "-1-2", "fraud-x-2", "fraud-1-2x", "fraud--2", "fraud-1-", "fraud-99999999999-2"};
    weir_prediction_id id;
    cJSON *why = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(weir_prediction_id_parse(bad[i], &id, &err), WEIR_EINVAL);
    ok(weir_prediction_id_parse("card-payments-12-345678901234", &id, &err));
    assert_string_equal(id.pipeline, "card-payments");
    assert_true(id.partition == 12 && id.offset == 345678901234);
    assert_int_equal(weir_why(pg, pipeline, objects, "fraud-0-999999", &why, &err), WEIR_ENOTFOUND);
    assert_int_equal(weir_why(pg, pipeline, objects, "fraud-1-100", &why, &err), WEIR_ENOTFOUND); /* another partition */
    assert_null(why);
}

/* ---- again ---- */

static int mismatches;
static void count_mismatch(void *context, const char *prediction, double recorded, double again) {
    (void)context;
    assert_string_equal(prediction, "fraud-3-51");
    assert_true(recorded != again);
    mismatches++;
}

static const weir_rescore_query everything = {.from_us = WEIR_TIME_MIN_US, .to_us = WEIR_TIME_MAX_US, .objects_dir = objects, .on_mismatch = count_mismatch};

static void recorded_inputs_give_recorded_bits(void **state) {
    (void)state;
    weir_rescore_result r;
    ok(weir_rescore(url, pipeline, &everything, &r, &err));
    assert_true(r.predictions == PREDICTIONS && r.scored == PREDICTIONS && r.equal == PREDICTIONS && !mismatches);
    assert_int_equal(cJSON_GetArraySize(r.versions), 2);
    weir_rescore_result_done(&r);
    run_sql("UPDATE fraud.predictions SET features_amount = features_amount + 3 WHERE source_offset = 51");
    ok(weir_rescore(url, pipeline, &everything, &r, &err));
    assert_true(r.equal == PREDICTIONS - 1 && mismatches == 1);
    weir_rescore_result_done(&r);
    run_sql("UPDATE fraud.predictions SET features_amount = features_amount - 3 WHERE source_offset = 51");
}

static void another_version_is_compared_and_measured(void **state) {
    (void)state;
    weir_rescore_query query = everything;
    weir_rescore_result r;
    query.model = "w-linear";
    query.version = 1;
    ok(weir_rescore(url, pipeline, &query, &r, &err));
    int64_t changed = 0, labelled = 0, own = 0, positive = 0;
    double sum = 0;
    for (int i = 0; i < PREDICTIONS; i++) {
        double row[INPUTS], was, is;
        make_row(i, row);
        ok(weir_model_predict(i % 2 ? linear : boosted, row, 1, &was, &err));
        ok(weir_model_predict(linear, row, 1, &is, &err));
        changed += (was >= 0.4) != (is >= 0.4);
        labelled += i % 3 > 0;
        own += i % 3 > 0 && i % 2;
        positive += i % 3 > 0 && i % 2 && (row[0] > 5) == (i != 1); /* of the first one the later label holds */
        sum += is - was;
    }
    assert_true(r.scored == PREDICTIONS && r.equal >= PREDICTIONS / 2 && r.decisions == PREDICTIONS && r.decisions_changed == changed);
    assert_true(r.labelled == labelled && r.measured == labelled);
    assert_true(fabs(r.mean_difference - sum / PREDICTIONS) < 1e-12);
    assert_true(r.has_outcome && fabs(r.outcome.ips.value - (double)positive / 0.5 / (double)labelled) < 1e-12);
    assert_true(fabs(r.outcome.snips.value - (double)positive / (double)own) < 1e-12);
    assert_true(weir_json_value(at(r.metrics, "again/auc_roc")) > 0.9 && weir_json_value(at(r.metrics, "recorded/auc_roc")) > 0.9);
    weir_rescore_result_done(&r);
    query.model = "w-kernel"; /* of another task: no decisions of its own */
    ok(weir_rescore(url, pipeline, &query, &r, &err));
    assert_true(!r.has_outcome && r.decisions == 0 && r.max_absolute_difference > 1 && cJSON_GetObjectItem(at(r.metrics, "again"), "rmse"));
    weir_rescore_result_done(&r);
    query.version = 9;
    assert_int_equal(weir_rescore(url, pipeline, &query, &r, &err), WEIR_ENOTFOUND);
    weir_rescore_result_done(&r);
}

/* Recorded as the kernel's, its prediction is told without contributions, and why. */
static void a_model_without_exact_contributions_says_so(void **state) {
    (void)state;
    char sql[300];
    double row[INPUTS], score;
    make_row(1204, row);
    ok(weir_model_predict(kernel, row, 1, &score, &err));
    snprintf(sql, sizeof sql, "UPDATE fraud.predictions SET model = 'w-kernel', version = 1, digest = '%s', score = %.17g WHERE source_offset = 1204",
             weir_model_digest(kernel), score);
    run_sql(sql);
    cJSON *why = why_of("fraud-0-1204");
    assert_non_null(strstr(text(why, "explanation/none"), "svr"));
    assert_true(cJSON_IsNull(at(why, "inputs/0/contribution")) && cJSON_IsTrue(at(why, "reproduced")));
    cJSON_Delete(why);
}

static void a_prediction_of_a_deleted_version_tells_the_rest(void **state) {
    (void)state;
    weir_artifact_fate fate;
    weir_rescore_result r;
    ok(weir_version_delete(pg, objects, "fraud", "w-kernel", 1, "tester", "old", &fate, &err));
    cJSON *why = why_of("fraud-0-1204");
    assert_non_null(strstr(text(why, "model/artifact"), "was deleted on"));
    assert_string_equal(text(why, "model/algorithm"), "svr");
    assert_string_equal(text(why, "training/query"), "what was asked");
    assert_true(cJSON_IsNull(at(why, "reproduced")) && cJSON_GetArraySize(at(why, "inputs")) == INPUTS);
    cJSON_Delete(why);
    ok(weir_rescore(url, pipeline, &everything, &r, &err));
    assert_true(r.predictions == PREDICTIONS && r.scored == PREDICTIONS - 1 && r.equal == r.scored);
    weir_rescore_result_done(&r);
}

/* ---- lineage, and memory that runs out ---- */

static void the_graph_of_a_version_and_of_a_prediction(void **state) {
    (void)state;
    const weir_lineage_query served = {0}, one = {.model = "w-linear", .version = 1}, made = {.prediction = "fraud-0-100"},
                             none = {.model = "w-linear", .version = 5};
    const weir_lineage_query *const queries[] = {&served, &one, &made};
    cJSON *graph = NULL;
    for (int q = 0; q < 3; q++) {
        ok(weir_lineage_read(pg, pipeline, queries[q], &graph, &err));
        int versions = 0;
        const cJSON *node;
        cJSON_ArrayForEach(node, at(graph, "nodes")) versions += !strcmp(text(node, "kind"), "version");
        assert_int_equal(versions, 1);
        cJSON_Delete(graph);
    }
    assert_int_equal(weir_lineage_read(pg, pipeline, &none, &graph, &err), WEIR_ENOTFOUND);
}

static weir_status starved(int what, int allocations) {
    weir_rescore_query query = everything;
    weir_rescore_result r = {0};
    weir_audit_result audit;
    const weir_lineage_query served = {0};
    cJSON *json = NULL;
    query.model = what == 2 ? "w-linear" : NULL;
    query.version = 1;
    allocations_left = allocations;
    weir_mem.realloc = failing_realloc;
    weir_status status = what == 0   ? weir_why(pg, pipeline, objects, "fraud-0-100", &json, &err)
                         : what == 3 ? weir_lineage_read(pg, pipeline, &served, &json, &err)
                         : what == 4 ? weir_audit_verify(pg, NULL, &audit, &err)
                                     : weir_rescore(url, pipeline, &query, &r, &err);
    weir_rescore_result_done(&r);
    cJSON_Delete(json);
    return status;
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    weir_allocator before = weir_mem;
    for (int what = 0; what < 5; what++) {
        weir_status status = WEIR_ENOMEM;
        int n = 0;
        for (; n < STARVE_MAX && status; n++) {
            status = starved(what, n);
            weir_mem = before;
            if (status && status != WEIR_ENOMEM) fail_msg("%d, allocation %d: %s", what, n, err.message);
        }
        assert_true(n < STARVE_MAX);
    }
}

/* ---- audit ---- */

static void *write_changes(void *context) {
    int writer = *(const int *)context;
    weir_pg *own = NULL;
    weir_err why;
    bool good = weir_pg_new(url, &own, &why) == WEIR_OK;
    for (int i = 0; good && i < CHANGES; i++) {
        weir_run run;
        char alias[16];
        snprintf(alias, sizeof alias, "%s", writer % 2 ? "dev" : "aut");
        good = weir_run_start(own, "fraud", NULL, &run, &why) == WEIR_OK && weir_run_update(own, run.id, "succeeded", NULL, &why) == WEIR_OK;
        weir_status moved = weir_alias_move(own, "fraud", alias, NULL, "w-linear", 1, "writer", "test", &why);
        good = good && (moved == WEIR_OK || moved == WEIR_ECONFLICT);
    }
    if (!good) fprintf(stderr, "%s\n", why.message);
    weir_pg_free(own);
    return good ? context : NULL;
}

static void many_writers_make_one_chain(void **state) {
    (void)state;
    pthread_t threads[WRITERS];
    int numbers[WRITERS];
    weir_audit_result before, after;
    cJSON *rows = NULL;
    ok(weir_audit_verify(pg, "fraud", &before, &err));
    assert_true(before.broken_seq == 0 && before.of_pipeline == 5); /* three versions, one of them deleted, and an alias */
    for (int w = 0; w < WRITERS; w++) {
        numbers[w] = w;
        assert_int_equal(pthread_create(&threads[w], NULL, write_changes, &numbers[w]), 0);
    }
    for (int w = 0; w < WRITERS; w++) {
        void *done = NULL;
        pthread_join(threads[w], &done);
        assert_ptr_equal(done, &numbers[w]);
    }
    ok(weir_audit_verify(pg, "fraud", &after, &err));
    assert_true(after.broken_seq == 0 && after.rows == before.rows + 2 * WRITERS * CHANGES + 2); /* and each alias once */
    ok(weir_audit_list(pg, "fraud", 3, &rows, &err));
    assert_int_equal(cJSON_GetArraySize(rows), 3);
    assert_string_equal(text(rows, "2/hash"), after.head);
    cJSON_Delete(rows);
}

static void every_kind_of_tampering_is_found(void **state) {
    (void)state;
    static const struct {
        const char *sql;
        int64_t broken;
        const char *back;
    } kinds[] = {
        {"UPDATE weir.audit_log SET detail = detail || '{\"x\": 1}' WHERE seq = 3", 3, "UPDATE weir.audit_log SET detail = detail - 'x' WHERE seq = 3"},
        {"UPDATE weir.audit_log SET at = at + interval '1 microsecond' WHERE seq = 4", 4,
         "UPDATE weir.audit_log SET at = at - interval '1 microsecond' WHERE seq = 4"},
        {"CREATE TABLE kept AS SELECT * FROM weir.audit_log WHERE seq = 2; DELETE FROM weir.audit_log WHERE seq = 2", 2,
         "INSERT INTO weir.audit_log SELECT * FROM kept; DROP TABLE kept"},
        {"CREATE TABLE kept AS SELECT * FROM weir.audit_log WHERE seq = (SELECT seq FROM weir.audit_head); DELETE FROM weir.audit_log WHERE seq = (SELECT seq "
         "FROM weir.audit_head)",
         -1, "INSERT INTO weir.audit_log SELECT * FROM kept; DROP TABLE kept"},
        {"UPDATE weir.audit_head SET hash = repeat('a', 64)", -1,
         "UPDATE weir.audit_head SET hash = (SELECT hash FROM weir.audit_log ORDER BY seq DESC LIMIT 1)"},
    };
    weir_audit_result whole, found;
    static const char *const refused[] = {"UPDATE weir.audit_log SET actor = 'x'", "DELETE FROM weir.audit_log",       "TRUNCATE weir.audit_log",
                                          "DELETE FROM weir.audit_head",           "TRUNCATE weir.training_decisions", "TRUNCATE weir.runs CASCADE"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) assert_int_equal(weir_pg_script(pg, refused[i], &err), WEIR_EDENIED);
    ok(weir_audit_verify(pg, NULL, &whole, &err));
    assert_true(whole.broken_seq == 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        run_sql("ALTER TABLE weir.audit_log DISABLE TRIGGER refuse");
        run_sql(kinds[i].sql);
        ok(weir_audit_verify(pg, NULL, &found, &err));
        assert_true(found.broken_seq == (kinds[i].broken < 0 ? whole.rows : kinds[i].broken));
        run_sql(kinds[i].back);
        run_sql("ALTER TABLE weir.audit_log ENABLE ALWAYS TRIGGER refuse");
        ok(weir_audit_verify(pg, NULL, &found, &err));
        assert_true(found.broken_seq == 0);
    }
}

int main(void) {
    const char *given = getenv("WEIR_PG_URL");
    if (!given || !*given) {
        printf("skipped: WEIR_PG_URL is not set\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prediction_is_told_with_contributions_that_add_up),
        cmocka_unit_test(the_label_that_was_told_last_holds),
        cmocka_unit_test(ids_that_are_none_and_predictions_that_are_not_there),
        cmocka_unit_test(recorded_inputs_give_recorded_bits),
        cmocka_unit_test(another_version_is_compared_and_measured),
        cmocka_unit_test(a_model_without_exact_contributions_says_so),
        cmocka_unit_test(a_prediction_of_a_deleted_version_tells_the_rest),
        cmocka_unit_test(the_graph_of_a_version_and_of_a_prediction),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
        cmocka_unit_test(many_writers_make_one_chain),
        cmocka_unit_test(every_kind_of_tampering_is_found),
    };
    return cmocka_run_group_tests(tests, make_all, drop_all);
}
