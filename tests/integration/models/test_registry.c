/* The model registry on a real PostgreSQL: WEIR_PG_URL names a server where this test may make a database of its own. Skipped without. */
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

#include "models/registry.h"

static char url[1024], database[64]; /* of this run */
static weir_pg *pg, *server;
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

/* A later dbname in a URL or a list of settings takes the place of an earlier one. */
static int make_database(void **state) {
    (void)state;
    const char *given = getenv("WEIR_PG_URL"), *join = !strstr(given, "://") ? " " : strchr(given, '?') ? "&" : "?";
    char create[128];
    weir_err err;
    snprintf(database, sizeof database, "weir_test_registry_%ld", (long)getpid());
    snprintf(url, sizeof url, "%s%sdbname=%s", given, join, database);
    snprintf(create, sizeof create, "CREATE DATABASE %s", database);
    if (weir_pg_new(given, &server, &err) == WEIR_OK && weir_pg_exec(server, create, 0, NULL, NULL, &err) == WEIR_OK &&
        weir_pg_new(url, &pg, &err) == WEIR_OK && weir_pg_migrate(pg, &err) == WEIR_OK)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

static int drop_database(void **state) {
    (void)state;
    char drop[128];
    weir_err err;
    weir_pg_free(pg);
    snprintf(drop, sizeof drop, "DROP DATABASE %s", database);
    weir_status status = weir_pg_exec(server, drop, 0, NULL, NULL, &err);
    weir_pg_free(server);
    return status != WEIR_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(runs_go_through_their_states, each),
        cmocka_unit_test_setup(versions_count_by_model_and_a_digest_counts_once, each),
        cmocka_unit_test_setup(a_version_keeps_what_it_was_registered_with, each),
        cmocka_unit_test_setup(an_alias_moves_only_from_where_it_is_expected, each),
        cmocka_unit_test_setup(every_change_is_in_the_outbox_once_and_in_order, each),
        cmocka_unit_test_setup(concurrent_writers_leave_no_gap_no_repeat_and_one_winner, each),
        cmocka_unit_test_setup(a_database_that_is_away_asks_for_a_retry, each),
    };
    const char *given = getenv("WEIR_PG_URL");
    if (!given || !*given) {
        printf("skipped: WEIR_PG_URL is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_database, drop_database);
}
