/* The model registry on a real PostgreSQL: WEIR_PG_URL names a server where this test may make a database of its own. Skipped without. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/artifact_file.h"
#include "models/registry.h"
#include "tests/integration/models/database.h"

static char pipeline[64]; /* a new name for every test */

static void ok(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail_msg("%s", err->message);
}

static const char *text_of(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "(none)";
}

static int int_of(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valueint : -1;
}

static weir_version_new new_version(const char *model, const char *digest) {
    return (weir_version_new){.pipeline = pipeline,
                              .model = model,
                              .algorithm = "logistic",
                              .digest = digest,
                              .artifact_path = "models/a.model",
                              .feature_hash = "f",
                              .dataset_digest = "d"};
}

static int register_version(const char *model, const char *digest) {
    weir_version_new v = new_version(model, digest);
    int number = 0;
    weir_err err;
    ok(weir_version_register(pg, &v, &number, &err), &err);
    return number;
}

/* Events of this test's pipeline that are not sent yet; other pipelines' are left alone. */
static cJSON *own_events(void) {
    cJSON *all = NULL, *own = cJSON_CreateArray();
    weir_err err;
    ok(weir_outbox_take(pg, &all, &err), &err);
    while (cJSON_GetArraySize(all)) {
        cJSON *event = cJSON_DetachItemFromArray(all, 0);
        if (!strcmp(text_of(event, "pipeline"), pipeline))
            cJSON_AddItemToArray(own, event);
        else
            cJSON_Delete(event);
    }
    cJSON_Delete(all);
    return own;
}

static void runs_go_through_their_states(void **state) {
    (void)state;
    weir_run first, second;
    weir_err err;
    cJSON *request = cJSON_Parse("{\"train_from_us\": 1526342400000000}"), *detail = cJSON_Parse("{\"rows\": 5}"), *more = cJSON_Parse("{\"seconds\": 1.5}"),
          *runs;
    ok(weir_run_start(pg, pipeline, request, &first, &err), &err);
    ok(weir_run_start(pg, pipeline, NULL, &second, &err), &err);
    assert_true(strncmp(first.id, "run-", 4) == 0 && strcmp(first.id, second.id) < 0);
    ok(weir_run_update(pg, first.id, "awaiting_labels", detail, &err), &err);
    ok(weir_run_update(pg, first.id, "succeeded", more, &err), &err);
    ok(weir_run_list(pg, pipeline, NULL, &runs, &err), &err);
    assert_int_equal(cJSON_GetArraySize(runs), 2);
    assert_string_equal(text_of(cJSON_GetArrayItem(runs, 0), "id"), second.id);
    assert_string_equal(text_of(cJSON_GetArrayItem(runs, 0), "status"), "running");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(runs, 0), "ended_at")));
    const cJSON *done = cJSON_GetArrayItem(runs, 1);
    assert_string_equal(text_of(done, "status"), "succeeded");
    assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(done, "request"), "train_from_us")->valuedouble == 1526342400000000.0);
    assert_int_equal(int_of(cJSON_GetObjectItem(done, "detail"), "rows"), 5);
    assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(done, "detail"), "seconds")->valuedouble == 1.5);
    assert_int_equal(strlen(text_of(done, "ended_at")), strlen("2018-05-15T10:00:00.000000Z"));
    cJSON_Delete(runs);
    ok(weir_run_update(pg, first.id, "queued", NULL, &err), &err); /* taken up again: not ended any more */
    ok(weir_run_list(pg, pipeline, "queued", &runs, &err), &err);
    assert_int_equal(cJSON_GetArraySize(runs), 1);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(runs, 0), "ended_at")));
    cJSON_Delete(runs);
    assert_int_equal(weir_run_update(pg, first.id, "finished", NULL, &err), WEIR_EINVAL);
    assert_int_equal(weir_run_update(pg, "run-0", "failed", NULL, &err), WEIR_ENOTFOUND);
    cJSON_Delete(request);
    cJSON_Delete(detail);
    cJSON_Delete(more);
}

static void versions_count_by_model_and_a_digest_counts_once(void **state) {
    (void)state;
    weir_err err;
    cJSON *list;
    assert_int_equal(register_version("m", "aa"), 1);
    assert_int_equal(register_version("m", "bb"), 2);
    assert_int_equal(register_version("n", "aa"), 1);
    assert_int_equal(register_version("m", "aa"), 1);
    assert_int_equal(register_version("m", "cc"), 3);
    ok(weir_version_list(pg, pipeline, "m", &list, &err), &err);
    assert_int_equal(cJSON_GetArraySize(list), 3);
    assert_int_equal(int_of(cJSON_GetArrayItem(list, 0), "version"), 3);
    assert_string_equal(text_of(cJSON_GetArrayItem(list, 2), "digest"), "aa");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 0), "metrics")));
    cJSON_Delete(list);
    ok(weir_version_list(pg, pipeline, NULL, &list, &err), &err);
    assert_int_equal(cJSON_GetArraySize(list), 4);
    cJSON_Delete(list);
}

static void a_version_keeps_what_it_was_registered_with(void **state) {
    (void)state;
    weir_run run;
    weir_err err;
    weir_version_new v = new_version("m", "aa");
    cJSON *lineage = cJSON_Parse("{\"seed\": 42, \"note\": \"it's \\\"quoted\\\"\"}"), *signature = cJSON_Parse("{\"columns\": [\"a\", \"b\"]}"),
          *metrics = cJSON_Parse("{\"auc_roc\": 0.8951234567890123}"), *list;
    int number;
    ok(weir_run_start(pg, pipeline, NULL, &run, &err), &err);
    v.run_id = run.id;
    v.lineage = lineage;
    v.signature = signature;
    ok(weir_version_register(pg, &v, &number, &err), &err);
    ok(weir_version_metrics(pg, pipeline, "m", number, metrics, &err), &err);
    assert_int_equal(weir_version_metrics(pg, pipeline, "m", 2, metrics, &err), WEIR_ENOTFOUND);
    ok(weir_alias_move(pg, pipeline, "champion", NULL, "m", 1, "test", "first", &err), &err);
    ok(weir_alias_move(pg, pipeline, "best", NULL, "m", 1, "test", "first", &err), &err);
    ok(weir_version_list(pg, pipeline, NULL, &list, &err), &err);
    const cJSON *got = cJSON_GetArrayItem(list, 0);
    assert_string_equal(text_of(got, "run_id"), run.id);
    assert_string_equal(text_of(got, "artifact_path"), "models/a.model");
    assert_true(cJSON_Compare(cJSON_GetObjectItem(got, "lineage"), lineage, true));
    assert_true(cJSON_Compare(cJSON_GetObjectItem(got, "signature"), signature, true));
    assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(got, "metrics"), "auc_roc")->valuedouble == 0.8951234567890123);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(got, "aliases")), 2);
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(got, "aliases"), 0)->valuestring, "best");
    cJSON_Delete(list);
    v.digest = "bb";
    v.run_id = "run-of-nobody";
    number = -1;
    assert_int_not_equal(weir_version_register(pg, &v, &number, &err), WEIR_OK);
    assert_int_equal(number, -1);
    v.run_id = run.id; /* the failed transaction left nothing open */
    ok(weir_version_register(pg, &v, &number, &err), &err);
    assert_int_equal(number, 2);
    cJSON_Delete(lineage);
    cJSON_Delete(signature);
    cJSON_Delete(metrics);
}

static void a_version_decides_by_the_threshold_of_its_first_registration(void **state) {
    (void)state;
    weir_err err;
    weir_version_new v = new_version("m", "aa");
    cJSON *first = cJSON_Parse("{\"threshold\": 0.17}"), *second = cJSON_Parse("{\"threshold\": 0.9}");
    int number;
    double threshold = 7;
    assert_int_equal(weir_version_threshold(pg, pipeline, "m", 1, &threshold, &err), WEIR_ENOTFOUND);
    assert_true(threshold == 7);
    v.signature = first;
    ok(weir_version_register(pg, &v, &number, &err), &err);
    v.signature = second;
    ok(weir_version_register(pg, &v, &number, &err), &err);
    assert_int_equal(number, 1);
    ok(weir_version_threshold(pg, pipeline, "m", 1, &threshold, &err), &err);
    assert_true(threshold == 0.17);
    assert_int_equal(register_version("m", "bb"), 2);
    ok(weir_version_threshold(pg, pipeline, "m", 2, &threshold, &err), &err);
    assert_true(isnan(threshold));
    cJSON_Delete(first);
    cJSON_Delete(second);
}

static void an_alias_moves_only_from_where_it_is_expected(void **state) {
    (void)state;
    weir_err err;
    cJSON *list;
    register_version("m", "aa");
    register_version("m", "bb");
    assert_int_equal(weir_alias_move(pg, pipeline, "champion", "aa", "m", 2, "test", "", &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "nothing"));
    assert_int_equal(weir_alias_move(pg, pipeline, "champion", NULL, "m", 3, "test", "", &err), WEIR_ENOTFOUND);
    ok(weir_alias_move(pg, pipeline, "champion", NULL, "m", 1, "test", "first", &err), &err);
    assert_int_equal(weir_alias_move(pg, pipeline, "champion", NULL, "m", 2, "test", "", &err), WEIR_ECONFLICT);
    assert_int_equal(weir_alias_move(pg, pipeline, "champion", "bb", "m", 2, "test", "", &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "aa"));
    ok(weir_alias_move(pg, pipeline, "champion", "aa", "m", 2, "test", "better", &err), &err);
    ok(weir_alias_list(pg, pipeline, &list, &err), &err);
    assert_int_equal(cJSON_GetArraySize(list), 1);
    assert_string_equal(text_of(cJSON_GetArrayItem(list, 0), "alias"), "champion");
    assert_string_equal(text_of(cJSON_GetArrayItem(list, 0), "digest"), "bb");
    assert_int_equal(int_of(cJSON_GetArrayItem(list, 0), "version"), 2);
    assert_string_equal(text_of(cJSON_GetArrayItem(list, 0), "algorithm"), "logistic");
    cJSON_Delete(list);
    assert_int_equal(weir_alias_move(pg, pipeline, "champion", "aa", NULL, 0, "test", "", &err), WEIR_ECONFLICT);
    ok(weir_alias_move(pg, pipeline, "champion", "bb", NULL, 0, "test", "withdrawn", &err), &err);
    ok(weir_alias_move(pg, pipeline, "champion", NULL, NULL, 0, "test", "is away already", &err), &err);
    ok(weir_alias_list(pg, pipeline, &list, &err), &err);
    assert_int_equal(cJSON_GetArraySize(list), 0);
    cJSON_Delete(list);
    PGresult *history = NULL;
    const char *const params[] = {pipeline};
    ok(weir_pg_exec(pg,
                    "SELECT string_agg(concat_ws(' ', coalesce(from_version, 0), coalesce(to_version, 0), actor, reason), ';' ORDER BY id) FROM "
                    "weir.alias_history WHERE pipeline = $1",
                    1, params, &history, &err),
       &err);
    assert_string_equal(PQgetvalue(history, 0, 0), "0 1 test first;1 2 test better;2 0 test withdrawn");
    PQclear(history);
}

static void every_change_is_in_the_outbox_once_and_in_order(void **state) {
    (void)state;
    static const char *const expected[] = {"version.registered", "version.registered", "version.evaluated", "alias.moved", "alias.moved", "alias.moved"};
    weir_err err;
    cJSON *metrics = cJSON_Parse("{\"f1\": 0.5}");
    register_version("m", "aa");
    register_version("n", "bb");
    register_version("n", "bb"); /* known: no event */
    ok(weir_version_metrics(pg, pipeline, "n", 1, metrics, &err), &err);
    ok(weir_alias_move(pg, pipeline, "champion", NULL, "m", 1, "test", "first", &err), &err);
    ok(weir_alias_move(pg, pipeline, "champion", "aa", "m", 1, "test", "again", &err), &err); /* there already: no event */
    ok(weir_alias_move(pg, pipeline, "champion", "aa", "n", 1, "test", "better", &err), &err);
    assert_int_equal(weir_alias_move(pg, pipeline, "champion", "aa", "n", 1, "test", "late", &err), WEIR_ECONFLICT);
    ok(weir_alias_move(pg, pipeline, "champion", "bb", NULL, 0, "test", "withdrawn", &err), &err);
    cJSON_Delete(metrics);

    cJSON *events = own_events();
    assert_int_equal(cJSON_GetArraySize(events), 6);
    double last = 0;
    for (int i = 0; i < 6; i++) {
        const cJSON *event = cJSON_GetArrayItem(events, i);
        assert_string_equal(text_of(event, "type"), expected[i]);
        assert_string_equal(text_of(event, "key"), pipeline);
        assert_true(cJSON_GetObjectItem(event, "id")->valuedouble > last);
        last = cJSON_GetObjectItem(event, "id")->valuedouble;
        assert_true(cJSON_GetObjectItem(event, "time_us")->valuedouble > 1.5e15);
        cJSON *payload = cJSON_Parse(text_of(event, "payload"));
        assert_true(cJSON_IsObject(payload));
        cJSON_Delete(payload);
    }
    const cJSON *moved = cJSON_GetArrayItem(events, 4), *removed = cJSON_GetArrayItem(events, 5);
    assert_string_equal(text_of(moved, "model"), "n");
    assert_string_equal(text_of(moved, "digest"), "bb");
    assert_string_equal(text_of(moved, "alias"), "champion");
    assert_string_equal(text_of(moved, "artifact_path"), "models/a.model");
    assert_non_null(strstr(text_of(moved, "payload"), "better"));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(removed, "model")) && cJSON_IsNull(cJSON_GetObjectItem(removed, "version")) &&
                cJSON_IsNull(cJSON_GetObjectItem(removed, "digest")));

    int64_t third = (int64_t)cJSON_GetObjectItem(cJSON_GetArrayItem(events, 2), "id")->valuedouble;
    cJSON_Delete(events);
    ok(weir_outbox_done(pg, third, &err), &err);
    events = own_events();
    assert_int_equal(cJSON_GetArraySize(events), 3);
    ok(weir_outbox_done(pg, (int64_t)last, &err), &err);
    cJSON_Delete(events);
    events = own_events();
    assert_int_equal(cJSON_GetArraySize(events), 0);
    cJSON_Delete(events);
}

enum { THREADS = 6, EACH = 15 };

typedef struct writer {
    int number, versions[EACH], moved;
    weir_status status;
    weir_err err;
} writer;

/* Registers versions of its own, and one that all share; takes the alias when nobody has it. */
static void *write_concurrently(void *context) {
    writer *w = context;
    weir_pg *own = NULL;
    w->status = weir_pg_new(url, &own, &w->err);
    for (int i = 0; w->status == WEIR_OK && i < EACH; i++) {
        char digest[32];
        snprintf(digest, sizeof digest, i == EACH - 1 ? "shared" : "%d-%d", w->number, i);
        weir_version_new v = new_version("m", digest);
        w->status = weir_version_register(own, &v, &w->versions[i], &w->err);
    }
    if (w->status == WEIR_OK) {
        weir_status moved = weir_alias_move(own, pipeline, "champion", NULL, "m", w->number + 1, "thread", "race", &w->err);
        w->moved = moved == WEIR_OK;
        if (moved != WEIR_OK && moved != WEIR_ECONFLICT) w->status = moved;
    }
    weir_pg_free(own);
    return NULL;
}

static void concurrent_writers_leave_no_gap_no_repeat_and_one_winner(void **state) {
    (void)state;
    static writer writers[THREADS];
    pthread_t threads[THREADS];
    bool seen[THREADS * EACH + 1] = {false};
    int distinct = 0, winners = 0, total = THREADS * (EACH - 1) + 1;
    for (int t = 0; t < THREADS; t++) {
        writers[t] = (writer){.number = t};
        assert_int_equal(pthread_create(&threads[t], NULL, write_concurrently, &writers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    for (int t = 0; t < THREADS; t++) {
        ok(writers[t].status, &writers[t].err);
        winners += writers[t].moved;
        assert_int_equal(writers[t].versions[EACH - 1], writers[0].versions[EACH - 1]);
        for (int i = 0; i < EACH; i++) {
            int v = writers[t].versions[i];
            assert_true(v >= 1 && v <= total);
            if (i < EACH - 1) assert_false(seen[v]);
            distinct += !seen[v];
            seen[v] = true;
        }
    }
    assert_int_equal(distinct, total);
    assert_int_equal(winners, 1);
    cJSON *events = own_events(); /* at most 100 are taken at once */
    assert_int_equal(cJSON_GetArraySize(events), total + 1);
    for (int i = 0; i < total; i++) assert_true(int_of(cJSON_GetArrayItem(events, i), "version") >= 1);
    weir_err err;
    ok(weir_outbox_done(pg, (int64_t)cJSON_GetObjectItem(cJSON_GetArrayItem(events, total), "id")->valuedouble, &err), &err);
    cJSON_Delete(events);
}

/* ---- semantic versions ---- */

static const char *semver_of(const char *model, int version) {
    static char text[32];
    char number[16];
    PGresult *row = NULL;
    weir_err err;
    snprintf(number, sizeof number, "%d", version);
    ok(weir_pg_exec(pg, "SELECT array_to_string(semver, '.') FROM weir.model_versions WHERE pipeline = $1 AND model = $2 AND version = $3::int", 3,
                    (const char *const[]){pipeline, model, number}, &row, &err),
       &err);
    snprintf(text, sizeof text, "%s", PQntuples(row) ? PQgetvalue(row, 0, 0) : "");
    PQclear(row);
    return text;
}

static void a_semantic_version_follows_from_what_changed(void **state) {
    (void)state;
    weir_err err;
    int number = 0;
    cJSON *one = cJSON_Parse("{\"inputs\": [{\"name\": \"a\", \"type\": \"double\"}]}"),
          *two = cJSON_Parse("{\"inputs\": [{\"name\": \"a\", \"type\": \"double\"}, {\"name\": \"b\", \"type\": \"double\"}]}");
    weir_version_new v = new_version("m", "d1");
    v.signature = one;
    ok(weir_version_register(pg, &v, &number, &err), &err);
    assert_string_equal(semver_of("m", 1), "1.0.0");
    v.digest = "d2"; /* fitted again */
    ok(weir_version_register(pg, &v, &number, &err), &err);
    assert_string_equal(semver_of("m", 2), "1.0.1");
    v.digest = "d3";
    v.algorithm = "xgboost";
    ok(weir_version_register(pg, &v, &number, &err), &err);
    assert_string_equal(semver_of("m", 3), "1.1.0");
    v.digest = "d4";
    v.signature = two;
    ok(weir_version_register(pg, &v, &number, &err), &err);
    assert_string_equal(semver_of("m", 4), "2.0.0");
    v.digest = "d5";
    v.semver = "v2.7.0";
    ok(weir_version_register(pg, &v, &number, &err), &err);
    assert_string_equal(semver_of("m", 5), "2.7.0");
    v.digest = "d6";
    assert_int_equal(weir_version_register(pg, &v, &number, &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "2.7.0"));
    v.semver = "2.7";
    assert_int_equal(weir_version_register(pg, &v, &number, &err), WEIR_EINVAL);
    v.semver = NULL; /* nothing is left open; the rule goes on from the highest */
    ok(weir_version_register(pg, &v, &number, &err), &err);
    assert_int_equal(number, 6);
    assert_string_equal(semver_of("m", 6), "2.7.1");
    cJSON_Delete(one);
    cJSON_Delete(two);
}

static void a_version_is_found_by_every_name_it_has(void **state) {
    (void)state;
    weir_err err;
    register_version("m", "aa");
    register_version("m", "bb");
    register_version("n", "cc");
    ok(weir_alias_move(pg, pipeline, "champion", NULL, "m", 1, "test", "", &err), &err);
    static const struct {
        const char *name;
        int version;
    } rows[] = {{"1", 1}, {"2", 2}, {"1.0.0", 1}, {"v1.0.1", 2}, {"latest", 2}, {NULL, 2}, {"champion", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int number = 0;
        ok(weir_version_resolve(pg, pipeline, "m", rows[i].name, &number, &err), &err);
        assert_int_equal(number, rows[i].version);
    }
    static const char *const absent[] = {"3", "0", "1.0.2", "challenger", "1.0", "99999999999", ""};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        int number = -1;
        assert_int_equal(weir_version_resolve(pg, pipeline, "m", absent[i], &number, &err), WEIR_ENOTFOUND);
        assert_int_equal(number, -1);
        assert_non_null(strstr(err.message, "1 (1.0.0), 2 (1.0.1)"));
    }
    int number = -1;
    assert_int_equal(weir_version_resolve(pg, pipeline, "n", "champion", &number, &err), WEIR_ENOTFOUND); /* it is m's */
    assert_int_equal(weir_version_resolve(pg, pipeline, "o", NULL, &number, &err), WEIR_ENOTFOUND);
    assert_non_null(strstr(err.message, "no model o"));
}

/* ---- going back ---- */

static const char *champion(void) {
    static char digest[80];
    cJSON *list = NULL;
    weir_err err;
    ok(weir_alias_list(pg, pipeline, &list, &err), &err);
    snprintf(digest, sizeof digest, "%s", cJSON_GetArraySize(list) ? text_of(cJSON_GetArrayItem(list, 0), "digest") : "");
    cJSON_Delete(list);
    return digest;
}

static void rolling_back_twice_goes_back_two_moves(void **state) {
    (void)state;
    weir_err err;
    assert_int_equal(weir_alias_rollback(pg, pipeline, "champion", NULL, "test", "", &err), WEIR_ENOTFOUND);
    register_version("m", "aa");
    register_version("m", "bb");
    register_version("m", "cc");
    ok(weir_alias_move(pg, pipeline, "champion", NULL, "m", 1, "test", "", &err), &err);
    ok(weir_alias_move(pg, pipeline, "champion", "aa", "m", 2, "test", "", &err), &err);
    ok(weir_alias_move(pg, pipeline, "champion", "bb", "m", 3, "test", "", &err), &err);
    ok(weir_alias_rollback(pg, pipeline, "champion", "cc", "test", "worse", &err), &err);
    assert_string_equal(champion(), "bb");
    assert_int_equal(weir_alias_rollback(pg, pipeline, "champion", "cc", "test", "too late", &err), WEIR_ECONFLICT);
    assert_string_equal(champion(), "bb");
    ok(weir_alias_rollback(pg, pipeline, "champion", "bb", "test", "worse still", &err), &err);
    assert_string_equal(champion(), "aa");
    assert_int_equal(weir_alias_rollback(pg, pipeline, "champion", "aa", "test", "", &err), WEIR_ENOTFOUND);
    assert_non_null(strstr(err.message, "first version"));
    /* A new move is what is taken back next, not what was taken back before. */
    ok(weir_alias_move(pg, pipeline, "champion", "aa", "m", 3, "test", "", &err), &err);
    ok(weir_alias_rollback(pg, pipeline, "champion", "cc", "test", "", &err), &err);
    assert_string_equal(champion(), "aa");
    /* An alias that was removed comes back. */
    ok(weir_alias_move(pg, pipeline, "champion", "aa", NULL, 0, "test", "withdrawn", &err), &err);
    ok(weir_alias_rollback(pg, pipeline, "champion", NULL, "test", "", &err), &err);
    assert_string_equal(champion(), "aa");
    cJSON *events = own_events();
    const cJSON *last = cJSON_GetArrayItem(events, cJSON_GetArraySize(events) - 1);
    assert_string_equal(text_of(last, "type"), "alias.moved");
    assert_string_equal(text_of(last, "digest"), "aa");
    assert_non_null(strstr(text_of(last, "payload"), "\"rollback\": true"));
    cJSON_Delete(events);
}

/* Two who saw the same champion: of rollbacks as of promotions one is told. */
typedef struct mover {
    bool back;
    int version;
    weir_status status;
} mover;

static void *move_once(void *context) {
    mover *m = context;
    weir_pg *own = NULL;
    weir_err err;
    m->status = weir_pg_new(url, &own, &err);
    if (!m->status)
        m->status = m->back ? weir_alias_rollback(own, pipeline, "champion", "bb", "t", "race", &err)
                            : weir_alias_move(own, pipeline, "champion", "bb", "m", m->version, "t", "race", &err);
    weir_pg_free(own);
    return NULL;
}

static void of_two_who_move_at_once_one_is_told(void **state) {
    (void)state;
    weir_err err;
    for (int round = 0; round < 2; round++) {
        mover movers[2] = {{round == 1, 3, WEIR_OK}, {round == 1, 4, WEIR_OK}};
        pthread_t threads[2];
        if (!round) {
            static const char *const digests[] = {"aa", "bb", "cc", "dd"};
            for (int i = 0; i < 4; i++) register_version("m", digests[i]);
            ok(weir_alias_move(pg, pipeline, "champion", NULL, "m", 1, "test", "", &err), &err);
        }
        ok(weir_alias_move(pg, pipeline, "champion", champion(), "m", 2, "test", "", &err), &err);
        for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, move_once, &movers[i]), 0);
        for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
        int told = (movers[0].status == WEIR_ECONFLICT) + (movers[1].status == WEIR_ECONFLICT);
        int done = (movers[0].status == WEIR_OK) + (movers[1].status == WEIR_OK);
        assert_true(told == 1 && done == 1);
    }
}

static void what_was_checked_stays_with_the_move(void **state) {
    (void)state;
    weir_err err;
    PGresult *row = NULL;
    cJSON *verdict = cJSON_Parse("{\"environment\": \"prod\", \"passed\": false, \"forced\": true}");
    register_version("m", "aa");
    ok(weir_alias_promote(pg, pipeline, "prod", NULL, "m", 1, "test", "hotfix", verdict, &err), &err);
    ok(weir_pg_exec(pg, "SELECT verdict->>'forced' FROM weir.alias_history WHERE pipeline = $1", 1, (const char *const[]){pipeline}, &row, &err), &err);
    assert_string_equal(PQgetvalue(row, 0, 0), "true");
    PQclear(row);
    cJSON *events = own_events();
    assert_non_null(strstr(text_of(cJSON_GetArrayItem(events, 1), "payload"), "\"forced\": true"));
    cJSON_Delete(events);
    cJSON_Delete(verdict);
}

/* ---- deleting ---- */

static char objects[64];

static void write_artifact(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", objects, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("model", file);
    fclose(file);
}

static bool is_there(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", objects, name);
    return !access(path, F_OK);
}

static int register_with(const char *model, const char *digest, const char *artifact, const char *run_id) {
    weir_version_new v = new_version(model, digest);
    weir_err err;
    int number = 0;
    v.artifact_path = artifact;
    v.run_id = run_id;
    ok(weir_version_register(pg, &v, &number, &err), &err);
    return number;
}

static void a_version_that_is_in_use_is_not_deleted(void **state) {
    (void)state;
    weir_err err;
    weir_run run;
    weir_artifact_fate fate;
    write_artifact("a");
    ok(weir_run_start(pg, pipeline, NULL, &run, &err), &err);
    register_with("m", "aa", "a", run.id);
    ok(weir_alias_move(pg, pipeline, "champion", NULL, "m", 1, "test", "", &err), &err);
    assert_int_equal(weir_version_delete(pg, objects, pipeline, "m", 1, "test", "", &fate, &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "champion"));
    ok(weir_alias_move(pg, pipeline, "champion", "aa", NULL, 0, "test", "", &err), &err);
    assert_int_equal(weir_version_delete(pg, objects, pipeline, "m", 1, "test", "", &fate, &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, run.id));
    assert_true(is_there("a"));
    ok(weir_run_update(pg, run.id, "succeeded", NULL, &err), &err);
    ok(weir_version_delete(pg, objects, pipeline, "m", 1, "test", "old", &fate, &err), &err);
    assert_int_equal(fate, WEIR_ARTIFACT_REMOVED);
    assert_false(is_there("a"));
    assert_int_equal(weir_version_delete(pg, objects, pipeline, "m", 1, "test", "again", &fate, &err), WEIR_ENOTFOUND);
    assert_int_equal(weir_alias_move(pg, pipeline, "champion", NULL, "m", 1, "test", "", &err), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "deleted"));
    assert_int_equal(weir_alias_rollback(pg, pipeline, "champion", NULL, "test", "", &err), WEIR_ECONFLICT);
    cJSON *events = own_events(), *list = NULL;
    assert_string_equal(text_of(cJSON_GetArrayItem(events, cJSON_GetArraySize(events) - 1), "type"), "version.deleted");
    cJSON_Delete(events);
    ok(weir_version_list(pg, pipeline, NULL, &list, &err), &err);
    assert_int_equal(cJSON_GetArraySize(list), 0);
    cJSON_Delete(list);
}

static void numbers_are_not_used_again_and_a_digest_may_come_back(void **state) {
    (void)state;
    weir_err err;
    weir_artifact_fate fate;
    int number = 0;
    register_with("m", "aa", "gone", NULL);
    ok(weir_version_delete(pg, objects, pipeline, "m", 1, "test", "", &fate, &err), &err);
    assert_int_equal(fate, WEIR_ARTIFACT_ABSENT);
    assert_int_equal(weir_version_resolve(pg, pipeline, "m", "1", &number, &err), WEIR_ENOTFOUND);
    assert_int_equal(register_with("m", "aa", "gone", NULL), 2);
    assert_string_equal(semver_of("m", 2), "1.0.1");
    assert_string_equal(semver_of("m", 1), "1.0.0"); /* the row stays */
}

static void an_artifact_goes_with_the_last_version_that_has_it(void **state) {
    (void)state;
    weir_err err;
    weir_artifact_fate fate;
    write_artifact("s");
    register_with("m", "aa", "s", NULL);
    register_with("n", "aa", "s", NULL);
    ok(weir_version_delete(pg, objects, pipeline, "m", 1, "test", "", &fate, &err), &err);
    assert_int_equal(fate, WEIR_ARTIFACT_KEPT);
    assert_true(is_there("s"));
    /* Fitted again just now: the file is new, its version is about to be registered. */
    ok(weir_pg_exec(pg, "UPDATE weir.model_versions SET created_at = created_at - interval '1 hour' WHERE pipeline = $1", 1, (const char *const[]){pipeline},
                    NULL, &err),
       &err);
    ok(weir_version_delete(pg, objects, pipeline, "n", 1, "test", "", &fate, &err), &err);
    assert_int_equal(fate, WEIR_ARTIFACT_KEPT);
    assert_true(is_there("s"));
    register_with("o", "aa", "s", NULL);
    ok(weir_version_delete(pg, objects, pipeline, "o", 1, "test", "", &fate, &err), &err);
    assert_int_equal(fate, WEIR_ARTIFACT_REMOVED);
    assert_false(is_there("s"));
}

static void a_database_that_is_away_asks_for_a_retry(void **state) {
    (void)state;
    weir_pg *away = NULL;
    weir_err err;
    cJSON *list = NULL;
    weir_version_new v = new_version("m", "aa");
    int number = -1;
    ok(weir_pg_new("postgresql://nobody@127.0.0.1:1/none", &away, &err), &err);
    assert_int_equal(weir_alias_list(away, pipeline, &list, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_int_equal(weir_version_register(away, &v, &number, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_true(number == -1 && !list);
    weir_pg_free(away);
}

/* Events that the test before left would crowd the 100 that are taken at once. */
static int each(void **state) {
    static int count;
    (void)state;
    weir_err err;
    snprintf(pipeline, sizeof pipeline, "registry-test-%d", count++);
    return weir_outbox_done(pg, INT64_MAX, &err) != WEIR_OK;
}

static int make_stores(void **state) {
    (void)state;
    snprintf(objects, sizeof objects, "/tmp/weir-objects-XXXXXX");
    return !mkdtemp(objects) || make_database_named("registry");
}

static int drop_stores(void **state) {
    return drop_database(state) || rmdir(objects);
}

static void register_stored(const char *model, const char *digest) {
    weir_version_new v = new_version(model, digest);
    int number = 0;
    weir_err err;
    v.artifact_path = "models/stored.model";
    ok(weir_version_register(pg, &v, &number, &err), &err);
}

static void an_artifact_goes_from_a_store_too(void **state) {
    (void)state;
    static const char store[] = "memory://registry";
    const weir_buf bytes = {.data = (char *)"m", .len = 1};
    weir_buf read = {0};
    weir_artifact_fate fate;
    weir_err err;
    register_stored("m", "aa");
    register_stored("n", "bb"); /* the same path */
    ok(weir_artifact_write(store, "models/stored.model", &bytes, &err), &err);
    ok(weir_version_delete(pg, store, pipeline, "m", 1, "test", "old", &fate, &err), &err);
    assert_int_equal(fate, WEIR_ARTIFACT_KEPT);
    ok(weir_version_delete(pg, store, pipeline, "n", 1, "test", "old", &fate, &err), &err);
    assert_int_equal(fate, WEIR_ARTIFACT_REMOVED);
    assert_int_equal(weir_artifact_read(store, "models/stored.model", &read, &err), WEIR_ENOTFOUND);
    weir_buf_done(&read);
    register_stored("m", "cc");
    ok(weir_version_delete(pg, store, pipeline, "m", 2, "test", "old", &fate, &err), &err);
    assert_int_equal(fate, WEIR_ARTIFACT_ABSENT);
}

static void events_are_carried_by_one_at_a_time(void **state) {
    (void)state;
    weir_err err;
    weir_pg *one = NULL, *other = NULL;
    bool mine = false, theirs = true;
    ok(weir_pg_new(url, &one, &err), &err);
    ok(weir_pg_new(url, &other, &err), &err);
    ok(weir_pg_begin(one, &err), &err);
    ok(weir_outbox_lock(one, &mine, &err), &err);
    assert_true(mine);
    ok(weir_pg_begin(other, &err), &err);
    ok(weir_outbox_lock(other, &theirs, &err), &err);
    assert_false(theirs);
    register_version("m", "aa"); /* who changes the registry does not wait for who carries its events */
    weir_pg_free(one); /* as of a worker that dies */
    for (int i = 0; !theirs && i < 500; i++) {
        ok(weir_outbox_lock(other, &theirs, &err), &err);
        if (!theirs) usleep(10000);
    }
    assert_true(theirs);
    weir_pg_rollback(other);
    weir_pg_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(runs_go_through_their_states, each),
        cmocka_unit_test_setup(versions_count_by_model_and_a_digest_counts_once, each),
        cmocka_unit_test_setup(a_version_keeps_what_it_was_registered_with, each),
        cmocka_unit_test_setup(a_version_decides_by_the_threshold_of_its_first_registration, each),
        cmocka_unit_test_setup(an_alias_moves_only_from_where_it_is_expected, each),
        cmocka_unit_test_setup(every_change_is_in_the_outbox_once_and_in_order, each),
        cmocka_unit_test_setup(an_artifact_goes_from_a_store_too, each),
        cmocka_unit_test_setup(events_are_carried_by_one_at_a_time, each),
        cmocka_unit_test_setup(concurrent_writers_leave_no_gap_no_repeat_and_one_winner, each),
        cmocka_unit_test_setup(a_semantic_version_follows_from_what_changed, each),
        cmocka_unit_test_setup(a_version_is_found_by_every_name_it_has, each),
        cmocka_unit_test_setup(rolling_back_twice_goes_back_two_moves, each),
        cmocka_unit_test_setup(of_two_who_move_at_once_one_is_told, each),
        cmocka_unit_test_setup(what_was_checked_stays_with_the_move, each),
        cmocka_unit_test_setup(a_version_that_is_in_use_is_not_deleted, each),
        cmocka_unit_test_setup(numbers_are_not_used_again_and_a_digest_may_come_back, each),
        cmocka_unit_test_setup(an_artifact_goes_with_the_last_version_that_has_it, each),
        cmocka_unit_test_setup(a_database_that_is_away_asks_for_a_retry, each),
    };
    const char *given = getenv("WEIR_PG_URL");
    if (!given || !*given) {
        printf("skipped: WEIR_PG_URL is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_stores, drop_stores);
}
