/* The rollout worker with doubles for PostgreSQL, Kafka and the aliases: what begins, what ends, which aliases move, what is answered, and what happens when something fails or memory is short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/alert.h"
#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/rollout_rows.h"
#include "consumers/shared.h"
#include "models/registry.h"
#include "tests/unit/starve.h"

/* ---- doubles ---- */

static weir_pipeline *pipeline;
static weir_shared shared;
static weir_worker_env env;
static weir_clock_manual stopped_clock;
static void *worker;

static struct {
    weir_rollout_aliases aliases;
    weir_rollout_record newest;
    char told[16][16], answer[WEIR_ROLLOUT_REASON_MAX], moves[512];
    int told_count, transactions, deleted_outcomes;
    bool feed_fails, open;
    weir_status pg_status;
    weir_datum asked[ROLL_COUNT];
} world;

const weir_worker_env *weir_worker_env_of(const weir_worker *w) {
    (void)w;
    return &env;
}
weir_producer *weir_worker_producer(weir_worker *w) {
    (void)w;
    return NULL;
}
weir_status weir_worker_reject(weir_worker *w, const weir_bus_record *record, const char *error_class, const weir_err *why, weir_err *err) {
    (void)w, (void)record, (void)why, (void)err;
    snprintf(world.answer, sizeof world.answer, "rejected: %s", error_class);
    return WEIR_OK;
}
weir_status weir_worker_subscribe(weir_worker *w, const char *const *topics, size_t count, weir_err *err) {
    (void)w, (void)err;
    assert_true(count == 1 && !strcmp(topics[0], "weir.rollouts"));
    return WEIR_OK;
}
weir_status weir_producer_flush(weir_producer *producer, int timeout_ms, weir_err *err) {
    (void)producer, (void)timeout_ms, (void)err;
    return WEIR_OK;
}
weir_status weir_registry_register(weir_registry *registry, const char *subject, const char *schema, uint32_t *ret_id, weir_err *err) {
    (void)registry, (void)subject, (void)schema, (void)err;
    *ret_id = 1;
    return WEIR_OK;
}
weir_status weir_event_codec_init(weir_event_codec *codec, weir_registry *registry, const char *schema_path, const char *topic, weir_err *err) {
    (void)registry, (void)topic;
    const weir_embedded_file *file = weir_embedded_find(schema_path);
    return weir_schema_parse(file->data, strlen(file->data), &codec->schema, err);
}
void weir_event_codec_done(weir_event_codec *codec) {
    weir_schema_free(codec->schema);
    *codec = (weir_event_codec){0};
}
weir_status weir_event_send(weir_event_codec *codec, weir_producer *producer, const char *topic, const char *key, const char *type, const char *id,
                            int64_t time_us, const weir_datum *row, weir_err *err) {
    (void)codec, (void)producer, (void)topic, (void)key, (void)type, (void)id, (void)time_us, (void)row, (void)err;
    return WEIR_OK;
}
weir_status weir_alert_codec_init(weir_event_codec *codec, weir_registry *registry, weir_err *err) {
    (void)registry, (void)err;
    *codec = (weir_event_codec){0};
    return WEIR_OK;
}
weir_status weir_alert_send(weir_event_codec *codec, weir_producer *producer, const char *name, const weir_alert *alert, int64_t at_us, weir_err *err) {
    (void)codec, (void)producer, (void)name, (void)alert, (void)at_us, (void)err;
    return WEIR_OK;
}
weir_status weir_shared_set_deadletter(const weir_shared *s, weir_worker *w, weir_err *err) {
    (void)s, (void)w, (void)err;
    return WEIR_OK;
}
weir_status weir_serde_decode(weir_serde *serde, const void *data, size_t len, weir_datum *row, uint32_t *ret_id, weir_err *err) {
    (void)serde, (void)data, (void)len, (void)ret_id, (void)err;
    memcpy(row, world.asked, sizeof world.asked);
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
weir_status weir_pg_begin(weir_pg *pg, weir_err *err) {
    (void)pg;
    if (world.pg_status) return WEIR_RETRY(err, world.pg_status, "PostgreSQL is away");
    assert_false(world.open);
    world.open = true;
    world.transactions++;
    return WEIR_OK;
}
weir_status weir_pg_commit(weir_pg *pg, weir_err *err) {
    (void)pg, (void)err;
    world.open = false;
    return WEIR_OK;
}
void weir_pg_rollback(weir_pg *pg) {
    (void)pg;
    world.open = false;
}
weir_status weir_pg_transaction(weir_pg *pg, weir_status (*work)(void *context, weir_err *err), void *context, weir_err *err) {
    (void)pg;
    return work(context, err);
}
weir_status weir_pg_exec(weir_pg *pg, const char *sql, int param_count, const char *const *params, PGresult **ret_result, weir_err *err) {
    (void)pg, (void)param_count, (void)err;
    if (strstr(sql, "DELETE FROM weir.rollout_outcomes")) world.deleted_outcomes++;
    if (strstr(sql, "aliases_due = false")) world.newest.aliases_due = false;
    if (strstr(sql, "SET rollout_id = $2, answer")) snprintf(world.answer, sizeof world.answer, "%s", params[2]);
    if (!ret_result) return WEIR_OK;
    char number[32], name[] = "c";
    static int64_t offsets;
    PGresAttDesc column = {.name = name};
    snprintf(number, sizeof number, "%lld", (long long)++offsets);
    *ret_result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    assert_true(PQsetResultAttrs(*ret_result, 1, &column));
    bool row = strstr(sql, "weir.sink_offsets") || strstr(sql, "INSERT INTO weir.rollout_events");
    if (row) assert_true(PQsetvalue(*ret_result, 0, 0, number, (int)strlen(number)));
    return WEIR_OK;
}

static weir_rollout_version *alias_at(const char *alias) {
    for (int slot = 0; slot < WEIR_CHALLENGERS_MAX; slot++) {
        if (!strcmp(weir_challenger_names[slot], alias)) return &world.aliases.challengers[slot];
    }
    return &world.aliases.champion;
}
static void point(const char *alias, int version) {
    weir_rollout_version *v = alias_at(alias);
    *v = (weir_rollout_version){.version = version};
    if (!version) return;
    snprintf(v->model, sizeof v->model, "m");
    snprintf(v->digest, sizeof v->digest, "digest-%d", version);
}
weir_status weir_alias_move(weir_pg *pg, const char *name, const char *alias, const char *expected, const char *model, int version, const char *actor,
                            const char *reason, weir_err *err) {
    (void)pg, (void)name, (void)actor, (void)reason;
    if (strcmp(expected ? expected : "", alias_at(alias)->digest) != 0) return WEIR_FAIL(err, WEIR_ECONFLICT, "moved meanwhile");
    size_t used = strlen(world.moves);
    snprintf(world.moves + used, sizeof world.moves - used, "%s=%d ", alias, model ? version : 0);
    point(alias, model ? version : 0);
    return WEIR_OK;
}

void weir_rollout_settings_text(const weir_rollout_def *def, char text[WEIR_ROLLOUT_SETTINGS_MAX]) {
    snprintf(text, 128, "alpha %g", def->alpha);
}
weir_status weir_rollout_newest(weir_pg *pg, const weir_pipeline *p, bool lock, weir_rollout_record *ret_record, weir_err *err) {
    (void)pg, (void)p, (void)lock, (void)err;
    *ret_record = world.newest;
    return WEIR_OK;
}
weir_status weir_rollout_insert(weir_pg *pg, const char *name, const weir_rollout_record *record, weir_err *err) {
    (void)pg, (void)name, (void)err;
    assert_true(world.open);
    world.newest = *record;
    return WEIR_OK;
}
weir_status weir_rollout_save(weir_pg *pg, const weir_rollout_record *record, weir_err *err) {
    (void)pg, (void)err;
    assert_true(world.open);
    world.newest = *record;
    return WEIR_OK;
}
weir_status weir_rollout_note(weir_pg *pg, const weir_pipeline *p, weir_rollout_record *record, const weir_rollout_change *change, const char *actor,
                              weir_err *err) {
    (void)p, (void)actor;
    snprintf(world.told[world.told_count++ % 16], sizeof world.told[0], "%s", change->type);
    record->aliases_due = record->aliases_due || !weir_rollout_active(&record->rollout) || !strcmp(change->type, "stopped");
    snprintf(record->reason, sizeof record->reason, "%s", change->reason);
    return weir_rollout_save(pg, record, err);
}
weir_status weir_rollout_read_aliases(weir_pg *pg, const char *name, weir_rollout_aliases *ret_aliases, weir_err *err) {
    (void)pg, (void)name, (void)err;
    *ret_aliases = world.aliases;
    for (int slot = 0; slot < WEIR_CHALLENGERS_MAX; slot++) {
        ret_aliases->is_new[slot] = world.aliases.challengers[slot].version && !*world.newest.id;
    }
    return WEIR_OK;
}
weir_status weir_rollout_feed(weir_pg *pg, const weir_pipeline *p, weir_rollout_record *record, int *ret_count, int *ret_bad, weir_err *ret_why,
                              weir_err *err) {
    (void)pg, (void)p, (void)record, (void)ret_why;
    *ret_count = *ret_bad = 0;
    return world.feed_fails ? WEIR_FAIL(err, WEIR_EDATA, "the column is gone") : WEIR_OK;
}

/* ---- driving it ---- */

static void tick(void) {
    weir_err err = {0};
    stopped_clock.now_us += WEIR_SECOND_US;
    if (weir_rollout_ops.tick(worker, stopped_clock.now_us, &err)) fail_msg("%s", err.message);
    assert_false(world.open);
}

static void ask(const char *type, const char *versions, bool shadow) {
    weir_err err = {0};
    const weir_bus_record record = {.value = "x", .value_len = 1};
    const weir_datum row[ROLL_COUNT] = {[ROLL_EVENT_ID] = weir_text("id"),
                                        [ROLL_PIPELINE] = weir_text("fraud"),
                                        [ROLL_AT] = weir_i64(stopped_clock.now_us),
                                        [ROLL_TYPE] = weir_text(type),
                                        [ROLL_CHALLENGER] = versions ? weir_text(versions) : weir_null(),
                                        [ROLL_ACTOR] = weir_text("somebody"),
                                        [ROLL_REASON] = weir_text("because"),
                                        [ROLL_SHADOW] = weir_bool(shadow)};
    memcpy(world.asked, row, sizeof row);
    *world.answer = 0;
    if (weir_rollout_ops.batch(worker, &record, 1, &err)) fail_msg("%s", err.message);
    assert_false(world.open);
}

static const char *last_told(void) {
    return world.told_count ? world.told[(world.told_count - 1) % 16] : "";
}

static int setup(void **state) {
    (void)state;
    weir_err err = {0};
    memset(&world, 0, sizeof world);
    weir_clock_manual_init(&stopped_clock, INT64_C(1700000000000000));
    env = (weir_worker_env){.clock = &stopped_clock.base, .shared = &shared};
    shared.pipeline = pipeline;
    point("champion", 1);
    if (weir_rollout_ops.init(NULL, &worker, &err)) fail_msg("%s", err.message);
    return weir_rollout_ops.assigned(worker, NULL, 1, &err);
}

static int teardown(void **state) {
    (void)state;
    weir_rollout_ops.done(worker);
    return 0;
}

/* ---- tests ---- */

static void challengers_without_a_gap_begin_together(void **state) {
    (void)state;
    tick();
    assert_int_equal(world.told_count, 0);
    point("challenger", 2);
    point("challenger-2", 3);
    point("challenger-4", 5);
    tick();
    assert_string_equal(last_told(), "started");
    assert_int_equal(world.newest.rollout.arm_count, 2);
    assert_true(world.newest.challengers[1].version == 3);
}

static void versions_that_are_asked_for_become_challengers(void **state) {
    (void)state;
    point("challenger", 9);
    ask("ask.start", "m/2,m:3", true);
    assert_string_equal(world.answer, "done");
    assert_string_equal(world.moves, "challenger=2 challenger-2=3 ");
    assert_true(world.newest.rollout.arm_count == 2 && world.newest.rollout.step == WEIR_ROLLOUT_SHADOW_STEP);
    ask("ask.start", "m/4", false);
    assert_string_equal(world.answer, "refused: a rollout is active");
}

static void what_is_no_version_is_rejected_and_what_cannot_be_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"m", "m/", "/2", "m/x", "m/2,m", "m/-1", "m/1/x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ask("ask.start", wrong[i], false);
        assert_string_equal(world.answer, "rejected: decode");
    }
    ask("ask.start", "m/2,m/3,m/4,m/5,m/6,m/7,m/8,m/9", false);
    assert_string_equal(world.answer, "rejected: decode");
    ask("ask.start", "m/2,m/2", false);
    assert_string_equal(world.answer, "refused: a version is named twice");
    ask("ask.start", "m/1", false);
    assert_non_null(strstr(world.answer, "refused"));
    ask("ask.dance", NULL, false);
    assert_string_equal(world.answer, "refused: no such command");
    ask("ask.pause", NULL, false);
    assert_string_equal(world.answer, "refused: there is no rollout");
}

static void one_of_several_that_is_rolled_back_loses_its_alias_only(void **state) {
    (void)state;
    ask("ask.start", "m/2,m/3,m/4", false);
    *world.moves = 0;
    ask("ask.rollback", "m/3", false);
    assert_string_equal(world.answer, "done");
    assert_string_equal(last_told(), "stopped");
    tick();
    tick();
    assert_string_equal(world.moves, "challenger-2=0 ");
    assert_true(world.deleted_outcomes == 0 && weir_rollout_active(&world.newest.rollout) && world.newest.rollout.arms[1].stopped);
    tick(); /* that its alias is gone ends nothing */
    assert_true(weir_rollout_active(&world.newest.rollout));
    ask("ask.rollback", "m/7", false);
    assert_string_equal(world.answer, "refused: the rollout is of another version");
}

static void a_promotion_moves_champion_and_removes_all_challengers(void **state) {
    (void)state;
    ask("ask.start", "m/2,m/3", false);
    *world.moves = 0;
    ask("ask.promote", "m/3", false);
    tick();
    tick();
    assert_string_equal(world.moves, "champion=3 challenger=0 challenger-2=0 ");
    assert_true(world.deleted_outcomes == 1 && !world.newest.aliases_due);
    *world.moves = 0;
    ask("ask.rollback", NULL, false);
    tick();
    tick();
    assert_string_equal(world.moves, "champion=1 ");
}

static void somebody_who_moves_an_alias_ends_it(void **state) {
    (void)state;
    ask("ask.start", "m/2,m/3", false);
    point("challenger-2", 8);
    *world.moves = 0;
    tick();
    tick();
    assert_string_equal(last_told(), "aborted");
    assert_string_equal(world.newest.reason, "the alias challenger-2 was moved");
    assert_string_equal(world.moves, "challenger=0 "); /* not what somebody else set */
}

static void what_cannot_be_had_pauses_and_the_worker_stays(void **state) {
    (void)state;
    ask("ask.start", "m/2", false);
    world.feed_fails = true;
    tick();
    assert_string_equal(last_told(), "paused");
    assert_non_null(strstr(world.newest.reason, "the column is gone"));
    tick();
    assert_int_equal(world.newest.rollout.state, WEIR_ROLLOUT_PAUSED);
}

static void a_version_without_a_rollout_is_rolled_back_as_well(void **state) {
    (void)state;
    point("challenger", 2);
    ask("ask.rollback", "m/2", false);
    assert_string_equal(world.answer, "done");
    assert_string_equal(last_told(), "rolled_back");
    tick();
    assert_string_equal(world.moves, "challenger=0 ");
}

static void a_database_that_is_away_is_a_matter_of_trying_again(void **state) {
    (void)state;
    weir_err err = {0};
    world.pg_status = WEIR_ENET;
    assert_int_equal(weir_rollout_ops.tick(worker, stopped_clock.now_us + WEIR_SECOND_US, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
}

static void who_does_not_lead_decides_nothing(void **state) {
    (void)state;
    weir_err err = {0};
    point("challenger", 2);
    assert_int_equal(weir_rollout_ops.revoked(worker, NULL, 1, false, &err), WEIR_OK);
    tick();
    assert_int_equal(world.told_count, 0);
}

static void every_failed_allocation_is_an_error(void **state) {
    (void)state;
    const weir_allocator own = weir_mem;
    weir_status status = WEIR_ENOMEM;
    for (int left = 0; status; left++) {
        void *one = NULL;
        weir_err err = {0};
        assert_true(left < 1000);
        weir_mem.realloc = failing_realloc;
        allocations_left = left;
        status = weir_rollout_ops.init(NULL, &one, &err);
        weir_mem = own;
        if (status) assert_int_equal(err.code, WEIR_ENOMEM);
        weir_rollout_ops.done(one);
    }
    status = WEIR_ENOMEM;
    for (int left = 0; status; left++) {
        weir_err err = {0};
        stopped_clock.now_us += 20 * WEIR_SECOND_US;
        weir_mem.realloc = failing_realloc;
        allocations_left = left;
        status = weir_rollout_ops.tick(worker, stopped_clock.now_us, &err);
        weir_mem = own;
        if (status) assert_true(err.code == WEIR_ENOMEM && err.action == WEIR_ACTION_RETRY && !world.open);
    }
}

static int load(void **state) {
    (void)state;
    weir_err err = {0};
    if (weir_pipeline_load("pipelines/fraud.json", &pipeline, &err)) return -1;
    pipeline->rollout.automatic = true;
    return 0;
}

static int unload(void **state) {
    (void)state;
    weir_pipeline_free(pipeline);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(challengers_without_a_gap_begin_together, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_that_are_asked_for_become_challengers, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_version_is_rejected_and_what_cannot_be_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(one_of_several_that_is_rolled_back_loses_its_alias_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_promotion_moves_champion_and_removes_all_challengers, setup, teardown),
        cmocka_unit_test_setup_teardown(somebody_who_moves_an_alias_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_had_pauses_and_the_worker_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_version_without_a_rollout_is_rolled_back_as_well, setup, teardown),
        cmocka_unit_test_setup_teardown(a_database_that_is_away_is_a_matter_of_trying_again, setup, teardown),
        cmocka_unit_test_setup_teardown(who_does_not_lead_decides_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(every_failed_allocation_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
