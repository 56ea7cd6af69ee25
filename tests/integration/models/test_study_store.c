/* Studies on a real PostgreSQL: WEIR_PG_URL names a server where this test may make a database of its own. Skipped without. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/study_store.h"

#define LEASE_US (60 * WEIR_SECOND_US)
#define SPACE                                                                                                                                                  \
    "\"space\": {\"k\": [\"p\", \"q\", null], \"n\": {\"int\": [1, 99], \"log\": true, \"when\": {\"k\": [\"p\"]}}, \"x\": {\"float\": [0.001, 1], \"log\": "  \
    "true}}"

static char url[1024], database[64]; /* of this run */
static weir_pg *pg, *other_pg, *server;
static char pipeline[64]; /* a new name for every test */

static void ok(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail_msg("%s", err->message);
}

static weir_study_store *open_with(weir_pg *connection, const char *definition, const char *worker) {
    weir_study_store *store = NULL;
    weir_err err;
    cJSON *json = cJSON_Parse(definition);
    assert_non_null(json);
    ok(weir_study_store_open(connection, pipeline, "study", json, worker, LEASE_US, &store, &err), &err);
    cJSON_Delete(json);
    return store;
}

static int claim(weir_study_store *store, cJSON **ret_params) {
    int number;
    cJSON *params;
    weir_err err;
    ok(weir_study_store_claim(store, &number, &params, &err), &err);
    if (ret_params)
        *ret_params = params;
    else
        cJSON_Delete(params);
    return number;
}

static void tell(weir_study_store *store, int number, double value) {
    weir_err err;
    ok(weir_study_store_tell(store, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {value}}, &err), &err);
}

/* Every lease of this test's study has run out. */
static void let_leases_end(void) {
    weir_err err;
    ok(weir_pg_exec(pg, "UPDATE weir.trials SET lease_until = clock_timestamp() - interval '1 second' WHERE pipeline = $1 AND state = 'running'", 1,
                    (const char *const[]){pipeline}, NULL, &err),
       &err);
}

static double value_of(const cJSON *params) {
    double x = cJSON_GetObjectItem(params, "x")->valuedouble;
    return fabs(log(x) + 3) + (cJSON_HasObjectItem(params, "n") ? 0.1 : 1);
}

/* Two workers over two connections and one study in memory: the same parameters, trial by trial, while some trials stay running and others are pruned or fail. */
static void workers_ask_what_one_study_in_memory_would(void **state) {
    (void)state;
    const char *definition = "{" SPACE ", \"seed\": 5, \"directions\": [\"maximise\"], \"cost_weight\": 0.3}";
    weir_study_store *workers[2] = {open_with(pg, definition, "a"), open_with(other_pg, definition, "b")};
    weir_study *study;
    weir_err err;
    cJSON *json = cJSON_Parse(definition);
    ok(weir_study_from_json(json, "$", NULL, &study, &err), &err);
    for (int i = 0; i < 45; i++) {
        weir_study_store *worker = workers[i % 3 == 1];
        cJSON *params, *expected;
        int expected_number, number = claim(worker, &params);
        ok(weir_study_ask(study, &expected_number, &expected, &err), &err);
        assert_int_equal(number, expected_number);
        if (!cJSON_Compare(params, expected, true)) fail_msg("trial %d: %s, expected %s", i, cJSON_Print(params), cJSON_Print(expected));
        weir_outcome outcome = {.state = i % 7 == 2    ? WEIR_TRIAL_PRUNED
                                         : i % 10 == 9 ? WEIR_TRIAL_FAILED
                                                       : WEIR_TRIAL_COMPLETE,
                                .values = {-value_of(params) / 3},
                                .cost = i / 30.0,
                                .note = "n"};
        if (i % 7 == 2) {
            bool prune;
            ok(weir_study_store_report(worker, number, 3, i % 2 ? NAN : -1.0 / i, &prune, &err), &err);
            ok(weir_study_report(study, number, 3, i % 2 ? NAN : -1.0 / i, &err), &err);
        }
        if (i % 6 != 5) {
            ok(weir_study_store_tell(worker, number, &outcome, &err), &err);
            ok(weir_study_tell(study, number, &outcome, &err), &err);
        }
        cJSON_Delete(params);
        cJSON_Delete(expected);
    }
    weir_study *loaded;
    int best, best_in_memory;
    ok(weir_study_store_load(workers[0], &loaded, &err), &err);
    ok(weir_study_best(loaded, &best, &err), &err);
    ok(weir_study_best(study, &best_in_memory, &err), &err);
    assert_int_equal(best, best_in_memory);
    assert_true(weir_study_history(loaded)->trials[best].loss[0] == weir_study_history(study)->trials[best].loss[0]);
    weir_study_free(loaded);
    weir_study_free(study);
    cJSON_Delete(json);
    weir_study_store_close(workers[0]);
    weir_study_store_close(workers[1]);
}

/* ---- studies that somebody leads ---- */

static void leader_goes_away(void) {
    weir_err err;
    ok(weir_pg_exec(pg, "UPDATE weir.studies SET leader_until = clock_timestamp() - interval '1 second' WHERE pipeline = $1", 1,
                    (const char *const[]){pipeline}, NULL, &err),
       &err);
}

static weir_status try_claim(weir_study_store *store, weir_err *err) {
    int number;
    cJSON *params = NULL;
    weir_status status = weir_study_store_claim(store, &number, &params, err);
    cJSON_Delete(params);
    return status;
}

static void a_led_study_gives_trials_while_its_leader_lives_and_up_to_its_maximum(void **state) {
    (void)state;
    weir_study_store *leader = open_with(pg, "{" SPACE "}", "leader"), *helper = open_with(other_pg, "{" SPACE "}", "helper");
    weir_err err;
    char why[32];
    double spent = -1;
    ok(weir_study_store_lead(leader, 3, &spent, &err), &err);
    assert_true(spent == 0);
    assert_int_equal(weir_study_store_lead(helper, 3, NULL, &err), WEIR_ECONFLICT);
    assert_int_equal(weir_study_store_lead_on(helper, 5, &err), WEIR_ECONFLICT);
    assert_int_equal(claim(helper, NULL), 0);
    assert_int_equal(claim(leader, NULL), 1);
    ok(weir_study_store_lead_on(leader, 12.5, &err), &err);
    ok(weir_study_store_over(helper, why, &err), &err);
    assert_string_equal(why, "");
    leader_goes_away();
    assert_int_equal(try_claim(helper, &err), WEIR_ELIMIT);
    ok(weir_study_store_over(helper, why, &err), &err);
    assert_string_equal(why, "abandoned");
    ok(weir_study_store_lead(helper, 3, &spent, &err), &err); /* its place is free */
    assert_true(spent == 12.5);
    assert_int_equal(weir_study_store_lead_on(leader, 13, &err), WEIR_ECONFLICT);
    assert_int_equal(claim(leader, NULL), 2);
    assert_int_equal(try_claim(leader, &err), WEIR_ELIMIT); /* three are what it wanted */
    weir_study_store_close(leader);
    weir_study_store_close(helper);
}

static void a_study_that_was_ended_fails_what_runs_and_can_be_led_again(void **state) {
    (void)state;
    weir_study_store *leader = open_with(pg, "{" SPACE "}", "leader"), *helper = open_with(other_pg, "{" SPACE "}", "helper");
    weir_err err;
    char why[32];
    cJSON *definition = NULL;
    weir_study *study;
    ok(weir_study_store_lead(leader, 0, NULL, &err), &err);
    ok(weir_study_store_definition(other_pg, pipeline, "study", &definition, &err), &err);
    assert_true(cJSON_HasObjectItem(definition, "space"));
    cJSON_Delete(definition);
    assert_int_equal(claim(leader, NULL), 0);
    tell(leader, 0, 1);
    assert_int_equal(claim(helper, NULL), 1);
    assert_int_equal(weir_study_store_end(helper, "budget", 1, &err), WEIR_ECONFLICT);
    ok(weir_study_store_end(leader, "budget", 7, &err), &err);
    ok(weir_study_store_over(helper, why, &err), &err);
    assert_string_equal(why, "budget");
    assert_int_equal(weir_study_store_tell(helper, 1, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE}, &err), WEIR_ECONFLICT);
    assert_int_equal(try_claim(helper, &err), WEIR_ELIMIT);
    assert_int_equal(weir_study_store_definition(other_pg, pipeline, "study", &definition, &err), WEIR_ENOTFOUND);
    ok(weir_study_store_load(leader, &study, &err), &err);
    assert_int_equal(weir_study_history(study)->trials[0].state, WEIR_TRIAL_COMPLETE);
    assert_int_equal(weir_study_history(study)->trials[1].state, WEIR_TRIAL_FAILED);
    assert_string_equal(weir_study_history(study)->trials[1].note, "the search ended");
    weir_study_free(study);
    double spent;
    ok(weir_study_store_lead(helper, 0, &spent, &err), &err);
    assert_true(spent == 7);
    assert_int_equal(claim(leader, NULL), 2);
    weir_study_store_close(leader);
    weir_study_store_close(helper);
}

/* More often than a trial may be attempted: an attempt that was given back does not count. */
static void a_trial_that_is_given_back_is_anothers_at_once(void **state) {
    (void)state;
    weir_study_store *one = open_with(pg, "{" SPACE "}", "one"), *two = open_with(other_pg, "{" SPACE "}", "two");
    weir_err err;
    assert_int_equal(claim(one, NULL), 0);
    for (int i = 0; i < 2 * WEIR_TRIAL_ATTEMPTS_MAX; i++) {
        weir_study_store *has = i % 2 ? two : one, *next = i % 2 ? one : two;
        assert_int_equal(weir_study_store_release(next, 0, &err), WEIR_ECONFLICT);
        ok(weir_study_store_release(has, 0, &err), &err);
        assert_int_equal(claim(next, NULL), 0);
    }
    weir_study_store_close(one);
    weir_study_store_close(two);
}

static void a_dead_workers_trial_is_given_to_another(void **state) {
    (void)state;
    const char *definition = "{" SPACE ", \"pruner\": \"median\"}";
    weir_study_store *dead = open_with(pg, definition, "dead"), *alive = open_with(other_pg, definition, "alive");
    cJSON *first, *again;
    bool prune;
    weir_err err;
    int number = claim(dead, &first);
    ok(weir_study_store_report(dead, number, 0, 0.5, &prune, &err), &err);
    assert_int_equal(claim(alive, NULL), 1); /* the lease of 0 lasts */
    tell(alive, 1, 1);
    let_leases_end();
    assert_int_equal(claim(alive, &again), number);
    assert_true(cJSON_Compare(first, again, true));
    assert_int_equal(claim(alive, NULL), 2); /* nothing is left to take over */
    assert_int_equal(weir_study_store_tell(dead, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE}, &err), WEIR_ECONFLICT);
    assert_string_equal(err.message, "trial 0 of study 'study' is not run by 'dead' any more");
    assert_int_equal(weir_study_store_renew(dead, number, &err), WEIR_ECONFLICT);
    assert_int_equal(weir_study_store_report(dead, number, 1, 0.5, &prune, &err), WEIR_ECONFLICT);
    ok(weir_study_store_report(alive, number, 0, 0.25, &prune, &err), &err); /* from its first step again */
    tell(alive, number, 0.25);
    weir_study *study;
    ok(weir_study_store_load(alive, &study, &err), &err);
    assert_int_equal(weir_study_history(study)->trials[0].report_count, 1);
    assert_true(weir_study_history(study)->trials[0].reports[0].loss == 0.25);
    weir_study_free(study);
    cJSON_Delete(first);
    cJSON_Delete(again);
    weir_study_store_close(dead);
    weir_study_store_close(alive);
}

static void a_worker_that_renews_keeps_its_trial(void **state) {
    (void)state;
    weir_study_store *slow = open_with(pg, "{" SPACE "}", "slow"), *other = open_with(other_pg, "{" SPACE "}", "other");
    weir_err err;
    assert_int_equal(claim(slow, NULL), 0);
    let_leases_end();
    ok(weir_study_store_renew(slow, 0, &err), &err); /* nobody took it meanwhile */
    assert_int_equal(claim(other, NULL), 1);
    tell(slow, 0, 1);
    assert_int_equal(weir_study_store_tell(slow, 0, &(weir_outcome){.state = WEIR_TRIAL_FAILED}, &err), WEIR_ECONFLICT);
    weir_study_store_close(slow);
    weir_study_store_close(other);
}

static void a_trial_that_kills_its_workers_is_given_up(void **state) {
    (void)state;
    weir_study_store *store = open_with(pg, "{" SPACE ", \"trials\": 1}", "w");
    int number;
    cJSON *params;
    weir_err err;
    for (int i = 0; i < WEIR_TRIAL_ATTEMPTS_MAX; i++) {
        assert_int_equal(claim(store, NULL), 0);
        let_leases_end();
    }
    assert_int_equal(weir_study_store_claim(store, &number, &params, &err), WEIR_ELIMIT);
    weir_study *study;
    ok(weir_study_store_load(store, &study, &err), &err);
    assert_int_equal(weir_study_history(study)->trials[0].state, WEIR_TRIAL_FAILED);
    assert_string_equal(weir_study_history(study)->trials[0].note, "its workers went away");
    weir_study_free(study);
    weir_study_store_close(store);
}

static void budgets_hold_over_all_workers(void **state) {
    (void)state;
    const char *definition = "{" SPACE ", \"trials\": 3, \"time\": \"1h\"}";
    weir_study_store *a = open_with(pg, definition, "a"), *b = open_with(other_pg, definition, "b");
    int number;
    cJSON *params;
    weir_err err;
    assert_int_equal(claim(a, NULL), 0);
    assert_int_equal(claim(b, NULL), 1);
    ok(weir_pg_exec(pg, "UPDATE weir.studies SET began_at = began_at - interval '1 hour' WHERE pipeline = $1", 1, (const char *const[]){pipeline}, NULL, &err),
       &err);
    assert_int_equal(weir_study_store_claim(b, &number, &params, &err), WEIR_ELIMIT);
    assert_string_equal(err.message, "the study is over after 2 trials: its budget of time is spent");
    ok(weir_pg_exec(pg, "UPDATE weir.studies SET began_at = clock_timestamp() WHERE pipeline = $1", 1, (const char *const[]){pipeline}, NULL, &err), &err);
    assert_int_equal(claim(a, NULL), 2);
    assert_int_equal(weir_study_store_claim(b, &number, &params, &err), WEIR_ELIMIT);
    assert_string_equal(err.message, "the study is over after 3 trials: its budget of trials is spent");
    weir_study_store_close(a);
    weir_study_store_close(b);
}

static void intermediate_values_of_all_workers_prune(void **state) {
    (void)state;
    const char *definition = "{" SPACE ", \"pruner\": \"median\", \"pruner_settings\": {\"startup_trials\": 2}, \"directions\": [\"maximise\"]}";
    weir_study_store *a = open_with(pg, definition, "a"), *b = open_with(other_pg, definition, "b");
    bool prune;
    weir_err err;
    for (int i = 0; i < 2; i++) {
        int number = claim(a, NULL);
        ok(weir_study_store_report(a, number, 5, i + 1, &prune, &err), &err);
        assert_false(prune);
        tell(a, number, i);
    }
    int number = claim(b, NULL); /* median at step 5: 1.5 */
    ok(weir_study_store_report(b, number, 4, 0, &prune, &err), &err);
    assert_false(prune);
    ok(weir_study_store_report(b, number, 5, 1.4, &prune, &err), &err);
    assert_true(prune);
    assert_int_equal(weir_study_store_report(b, number, 5, 1.4, &prune, &err), WEIR_EINVAL);
    assert_int_equal(weir_study_store_report(b, number, -1, 1.4, &prune, &err), WEIR_EINVAL);
    ok(weir_study_store_tell(b, number, &(weir_outcome){.state = WEIR_TRIAL_PRUNED}, &err), &err);
    number = claim(b, NULL);
    ok(weir_study_store_tell(b, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {INFINITY}}, &err), &err);
    weir_study *study;
    ok(weir_study_store_load(a, &study, &err), &err);
    assert_int_equal(weir_study_history(study)->trials[2].state, WEIR_TRIAL_PRUNED);
    assert_int_equal(weir_study_history(study)->trials[3].state, WEIR_TRIAL_FAILED);
    assert_string_equal(weir_study_history(study)->trials[3].note, "a value is not finite");
    weir_study_free(study);
    weir_study_store_close(a);
    weir_study_store_close(b);
}

static void a_name_stands_for_one_definition(void **state) {
    (void)state;
    weir_study_store *first = open_with(pg, "{" SPACE ", \"seed\": 1}", "a"), *store = NULL;
    weir_err err;
    static const struct {
        const char *definition, *worker;
        int64_t lease_us;
        weir_status status;
    } cases[] = {{"{" SPACE ", \"seed\": 2}", "b", LEASE_US, WEIR_ECONFLICT},
                 {"{\"seed\": 1.0, " SPACE "}", "b", LEASE_US, WEIR_OK},
                 {"{" SPACE ", \"sede\": 1}", "b", LEASE_US, WEIR_EINVAL},
                 {"{" SPACE ", \"seed\": 1}", "", LEASE_US, WEIR_EINVAL},
                 {"{" SPACE ", \"seed\": 1}", "b", 1, WEIR_EINVAL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = cJSON_Parse(cases[i].definition);
        assert_int_equal(weir_study_store_open(pg, pipeline, "study", json, cases[i].worker, cases[i].lease_us, &store, &err), cases[i].status);
        if (cases[i].status == WEIR_OK) weir_study_store_close(store);
        cJSON_Delete(json);
    }
    weir_study_store_close(first);
}

enum { WORKERS = 4, TRIALS = 40 };

typedef struct worker {
    char name[16];
    int runs[TRIALS]; /* how often this worker ended each trial */
    weir_status status;
    char message[WEIR_ERR_MESSAGE_MAX];
} worker;

/* A worker of its own connection, until the study is over; it abandons every ninth trial it is given. */
static void *run_worker(void *argument) {
    worker *w = argument;
    weir_pg *own = NULL;
    weir_study_store *store = NULL;
    weir_err err = {0};
    cJSON *definition = cJSON_Parse("{" SPACE ", \"trials\": 40}");
    w->status = weir_pg_new(url, &own, &err);
    if (w->status == WEIR_OK) w->status = weir_study_store_open(own, pipeline, "study", definition, w->name, LEASE_US, &store, &err);
    for (int i = 1; w->status == WEIR_OK; i++) {
        int number;
        cJSON *params = NULL;
        w->status = weir_study_store_claim(store, &number, &params, &err);
        if (w->status != WEIR_OK) break;
        if (i % 9 != 0) {
            w->status = weir_study_store_tell(store, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {value_of(params)}}, &err);
            w->runs[number]++;
        }
        cJSON_Delete(params);
    }
    if (w->status == WEIR_ELIMIT) w->status = WEIR_OK;
    snprintf(w->message, sizeof w->message, "%s", err.message);
    weir_study_store_close(store);
    weir_pg_free(own);
    cJSON_Delete(definition);
    return NULL;
}

static void many_workers_run_every_trial_once(void **state) {
    (void)state;
    worker workers[WORKERS] = {0};
    int sum[TRIALS] = {0}, open = 0;
    for (int round = 0; round < 2; round++) { /* the second one takes over what was abandoned */
        pthread_t threads[WORKERS];
        for (int i = 0; i < WORKERS; i++) {
            snprintf(workers[i].name, sizeof workers[i].name, "w%d-%d", round, i);
            assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &workers[i]), 0);
        }
        for (int i = 0; i < WORKERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (int i = 0; i < WORKERS; i++)
            if (workers[i].status != WEIR_OK) fail_msg("%s", workers[i].message);
        let_leases_end();
    }
    for (int n = 0; n < TRIALS; n++) {
        for (int i = 0; i < WORKERS; i++) sum[n] += workers[i].runs[n];
        assert_in_range(sum[n], 0, 1);
        open += !sum[n];
    }
    assert_in_range(open, 0, 1); /* a worker of the second round may have been given nine again */
}

static void a_database_that_is_away_asks_for_a_retry(void **state) {
    (void)state;
    weir_pg *away;
    weir_study_store *store;
    weir_err err;
    cJSON *json = cJSON_Parse("{" SPACE "}");
    ok(weir_pg_new("postgresql://127.0.0.1:1/none", &away, &err), &err);
    assert_int_equal(weir_study_store_open(away, pipeline, "study", json, "a", LEASE_US, &store, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    weir_pg_free(away);
    cJSON_Delete(json);
}

static int each(void **state) {
    static int count;
    (void)state;
    snprintf(pipeline, sizeof pipeline, "tuning-test-%d", count++);
    return 0;
}

/* A later dbname in a URL or a list of settings takes the place of an earlier one. */
static int make_database(void **state) {
    (void)state;
    const char *given = getenv("WEIR_PG_URL"), *join = !strstr(given, "://") ? " " : strchr(given, '?') ? "&" : "?";
    char create[128];
    weir_err err;
    snprintf(database, sizeof database, "weir_test_study_%ld", (long)getpid());
    snprintf(url, sizeof url, "%s%sdbname=%s", given, join, database);
    snprintf(create, sizeof create, "CREATE DATABASE %s", database);
    if (weir_pg_new(given, &server, &err) == WEIR_OK && weir_pg_exec(server, create, 0, NULL, NULL, &err) == WEIR_OK &&
        weir_pg_new(url, &pg, &err) == WEIR_OK && weir_pg_new(url, &other_pg, &err) == WEIR_OK && weir_pg_migrate(pg, &err) == WEIR_OK)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

static int drop_database(void **state) {
    (void)state;
    char drop[128];
    weir_err err;
    weir_pg_free(pg);
    weir_pg_free(other_pg);
    snprintf(drop, sizeof drop, "DROP DATABASE %s", database);
    weir_status status = weir_pg_exec(server, drop, 0, NULL, NULL, &err);
    weir_pg_free(server);
    return status != WEIR_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(workers_ask_what_one_study_in_memory_would, each),
        cmocka_unit_test_setup(a_led_study_gives_trials_while_its_leader_lives_and_up_to_its_maximum, each),
        cmocka_unit_test_setup(a_study_that_was_ended_fails_what_runs_and_can_be_led_again, each),
        cmocka_unit_test_setup(a_trial_that_is_given_back_is_anothers_at_once, each),
        cmocka_unit_test_setup(a_dead_workers_trial_is_given_to_another, each),
        cmocka_unit_test_setup(a_worker_that_renews_keeps_its_trial, each),
        cmocka_unit_test_setup(a_trial_that_kills_its_workers_is_given_up, each),
        cmocka_unit_test_setup(budgets_hold_over_all_workers, each),
        cmocka_unit_test_setup(intermediate_values_of_all_workers_prune, each),
        cmocka_unit_test_setup(a_name_stands_for_one_definition, each),
        cmocka_unit_test_setup(many_workers_run_every_trial_once, each),
        cmocka_unit_test_setup(a_database_that_is_away_asks_for_a_retry, each),
    };
    const char *given = getenv("WEIR_PG_URL");
    if (!given || !*given) {
        printf("skipped: WEIR_PG_URL is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, make_database, drop_database);
}
