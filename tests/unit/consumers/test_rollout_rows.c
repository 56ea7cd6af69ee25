/* Rollouts in rows: what is written is what is read, also what was written before there were several challengers; policies of predictions; what feeds on results; every allocation may fail. PostgreSQL is a double that
 * keeps the parameters of what is written and gives them back. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/rollout_rows.h"
#include "tests/unit/starve.h"

enum { PARAMS_MAX = 20, TEXT_MAX = 10240, ROWS_MAX = 4, COLUMNS_MAX = 16 };

/* ---- the double ---- */

static struct {
    char inserted[PARAMS_MAX][TEXT_MAX], updated[PARAMS_MAX][TEXT_MAX], arms[WEIR_CHALLENGERS_MAX][PARAMS_MAX][TEXT_MAX], event[PARAMS_MAX][TEXT_MAX];
    bool winner_is_null, has_update;
    int arm_count, events, fed, shadow_fed;
    const char *rows[ROWS_MAX][COLUMNS_MAX]; /* of the next feeding */
    int row_count, column_count;
} pg;

static void keep(char kept[PARAMS_MAX][TEXT_MAX], const char *const *params, int count) {
    for (int i = 0; i < count; i++) snprintf(kept[i], TEXT_MAX, "%s", params[i] ? params[i] : "");
}

static PGresult *result_of(const char *const *values, int rows, int columns) {
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc names[COLUMNS_MAX] = {{0}};
    static char name[] = "c";
    for (int c = 0; c < columns; c++) names[c].name = name;
    assert_true(PQsetResultAttrs(result, columns, names));
    for (int i = 0; i < rows * columns; i++) {
        const char *value = values[i];
        assert_true(PQsetvalue(result, i / columns, i % columns, value ? (char *)(uintptr_t)value : NULL, value ? (int)strlen(value) : -1));
    }
    return result;
}

/* As PostgreSQL gives back what insert and update wrote. */
static PGresult *newest_row(void) {
    const char *row[] = {pg.inserted[0],
                         pg.inserted[2],
                         pg.inserted[3],
                         pg.inserted[4],
                         pg.has_update ? pg.updated[1] : "running",
                         pg.has_update ? pg.updated[3] : pg.inserted[11],
                         *pg.inserted[12] == 't' ? "t" : "f",
                         pg.winner_is_null ? NULL : pg.updated[12],
                         pg.has_update ? pg.updated[7] : NULL,
                         "1700000000000000",
                         pg.inserted[9],
                         pg.updated[2],
                         pg.updated[8],
                         "1",
                         pg.has_update && *pg.updated[10] == 't' ? "t" : "f",
                         *pg.updated[13] ? pg.updated[13] : NULL};
    return result_of(row, *pg.inserted[0] ? 1 : 0, 16);
}

static PGresult *arm_rows(void) {
    const char *rows[WEIR_CHALLENGERS_MAX * 9];
    for (int a = 0; a < pg.arm_count; a++) {
        for (int c = 0; c < 9; c++) rows[9 * a + c] = pg.arms[a][1 + c];
        rows[9 * a + 5] = *pg.arms[a][6] == 't' ? "t" : "f";
    }
    return result_of(rows, pg.arm_count, 9);
}

weir_status weir_pg_exec(weir_pg *connection, const char *sql, int param_count, const char *const *params, PGresult **ret_result, weir_err *err) {
    (void)connection, (void)err;
    static const char *const yes[] = {"t"};
    if (strstr(sql, "INSERT INTO weir.rollout_arms")) {
        int slot = atoi(params[1]);
        keep(pg.arms[slot], params, param_count);
        pg.arm_count = slot + 1 > pg.arm_count ? slot + 1 : pg.arm_count;
    } else if (strstr(sql, "INSERT INTO weir.rollouts")) {
        keep(pg.inserted, params, param_count);
    } else if (strstr(sql, "UPDATE weir.rollouts")) {
        keep(pg.updated, params, param_count);
        pg.winner_is_null = !params[12];
        pg.has_update = true;
    } else if (strstr(sql, "INSERT INTO weir.rollout_events")) {
        keep(pg.event, params, param_count);
        pg.events++;
    } else if (strstr(sql, "FROM weir.rollouts WHERE")) {
        *ret_result = newest_row();
    } else if (strstr(sql, "FROM weir.rollout_arms")) {
        *ret_result = arm_rows();
    } else if (strstr(sql, "pg_catalog.pg_tables")) {
        *ret_result = result_of(yes, 1, 1);
    } else if (strstr(sql, "json_to_recordset")) {
        bool shadow = strstr(sql, ".shadows s") != NULL;
        *(shadow ? &pg.shadow_fed : &pg.fed) += 1;
        *ret_result = result_of(&pg.rows[0][0], pg.row_count, COLUMNS_MAX);
    }
    return WEIR_OK;
}

/* ---- a rollout ---- */

static weir_pipeline *pipeline;
static weir_rollout_def by_steps; /* of its file */

static void route_by_context(void) {
    weir_rollout_def *def = &pipeline->rollout;
    def->thompson = def->by_request = true;
    def->context = "terminal_id";
    def->context_index = weir_schema_find(pipeline->events.schema, "terminal_id");
    def->buckets = 16;
}

static weir_rollout_record begin(int challengers, bool shadow) {
    weir_rollout_record r = {.id = "fraud-1", .champion = {"fraud-flat", "aaaa", 6}, .settings = "settings"};
    weir_err err = {0};
    if (weir_rollout_begin(&pipeline->rollout, challengers, shadow, INT64_C(1700000000000000), &r.rollout, &err)) fail_msg("%s", err.message);
    for (int a = 0; a < challengers; a++) {
        snprintf(r.challengers[a].model, sizeof r.challengers[a].model, "fraud-%d", a);
        snprintf(r.challengers[a].digest, sizeof r.challengers[a].digest, "bb%d", a);
        r.challengers[a].version = 10 + a;
    }
    return r;
}

static void feed(weir_rollout *rollout, int rows) {
    for (int i = 0; i < rows; i++) {
        weir_rollout_row row = {.arm = i % (1 + rollout->arm_count) - 1, .champion_share = weir_rollout_champion_share(rollout), .label = i % 5 == 0};
        for (int a = 0; a < rollout->arm_count; a++) row.shares[a] = rollout->arms[a].share;
        row.bucket = i % 23 - 1; /* also none, and such as there are not */
        row.answer.score = 0.1 + 0.01 * (i % 13);
        assert_int_equal(weir_rollout_add(&pipeline->rollout, rollout, &row, NULL), WEIR_OK);
    }
}

static void what_is_written_is_read_back_bit_for_bit(void **state) {
    (void)state;
    for (int challengers = 1; challengers <= WEIR_CHALLENGERS_MAX; challengers += 3) {
        weir_rollout_record r = begin(challengers, false), again;
        const weir_rollout_change change = {.type = "stepped", .reason = "because"};
        assert_int_equal(weir_rollout_insert(NULL, "fraud", &r, NULL), WEIR_OK);
        feed(&r.rollout, 200);
        if (challengers > 1) (void)weir_rollout_do(&r.rollout, WEIR_ROLLOUT_ROLLBACK, 1, "a guard");
        assert_int_equal(weir_rollout_note(NULL, pipeline, &r, &change, "weir", NULL), WEIR_OK);
        assert_int_equal(weir_rollout_newest(NULL, pipeline, true, &again, NULL), WEIR_OK);
        assert_memory_equal(&r.rollout, &again.rollout, sizeof r.rollout);
        assert_memory_equal(r.challengers, again.challengers, sizeof r.challengers);
        assert_string_equal(again.reason, "because");
        assert_string_equal(pg.event[3], "stepped");
    }
}

static void buckets_are_written_with_the_rest_and_read_back_bit_for_bit(void **state) {
    (void)state;
    route_by_context();
    for (int challengers = 1; challengers <= WEIR_CHALLENGERS_MAX; challengers += 3) {
        weir_rollout_record r = begin(challengers, false), again;
        weir_rollout_change change;
        assert_int_equal(weir_rollout_insert(NULL, "fraud", &r, NULL), WEIR_OK);
        feed(&r.rollout, 400);
        assert_int_equal(weir_rollout_route(&pipeline->rollout, &r.rollout, &change, NULL), WEIR_OK);
        assert_string_equal(change.type, "routed");
        assert_int_equal(weir_rollout_note(NULL, pipeline, &r, &change, "weir", NULL), WEIR_OK);
        assert_int_equal(weir_rollout_newest(NULL, pipeline, true, &again, NULL), WEIR_OK);
        assert_true(again.rollout.bucket_count == 17 && again.rollout.buckets[3].earned.count[0] > 0);
        assert_memory_equal(&r.rollout, &again.rollout, sizeof r.rollout);
    }
    pg.updated[13][4] = 0;
    weir_rollout_record cut;
    assert_int_equal(weir_rollout_newest(NULL, pipeline, true, &cut, NULL), WEIR_EDATA);
}

static void a_context_is_part_of_what_evidence_depends_on(void **state) {
    (void)state;
    char text[WEIR_ROLLOUT_SETTINGS_MAX];
    weir_rollout_settings_text(&pipeline->rollout, text);
    assert_string_equal(text, "log_loss, alpha 0.050000000000000003, margin 0, by entity"); /* as it was before there were contexts */
    route_by_context();
    weir_rollout_settings_text(&pipeline->rollout, text);
    assert_non_null(strstr(text, ", by request, context terminal_id in 16 buckets of fraud-1, floor 0.05"));
}

static void what_was_written_before_there_were_pairs_is_read(void **state) {
    (void)state;
    enum { BEFORE_PAIRS = WEIR_ARMS_TEST_BYTES + WEIR_EVIDENCE_BYTES };
    weir_rollout_record r = begin(1, false), again;
    feed(&r.rollout, 200);
    assert_int_equal(weir_rollout_insert(NULL, "fraud", &r, NULL), WEIR_OK);
    pg.arms[0][9][2 * BEFORE_PAIRS] = 0;
    assert_int_equal(weir_rollout_newest(NULL, pipeline, false, &again, NULL), WEIR_OK);
    assert_memory_equal(&r.rollout.arms[0].test, &again.rollout.arms[0].test, sizeof r.rollout.arms[0].test);
    assert_true(again.rollout.arms[0].pairs.count == 0 && again.rollout.arms[0].all.count == 0);
    pg.arms[0][9][10] = 0;
    assert_int_equal(weir_rollout_newest(NULL, pipeline, false, &again, NULL), WEIR_EDATA);
    pg.arm_count = 0;
    assert_int_equal(weir_rollout_newest(NULL, pipeline, false, &again, NULL), WEIR_EDATA);
    memset(&pg, 0, sizeof pg);
    assert_int_equal(weir_rollout_newest(NULL, pipeline, false, &again, NULL), WEIR_OK);
    assert_true(!*again.id);
}

static void policies_say_the_shares_of_all_arms(void **state) {
    (void)state;
    weir_rollout_row row = {.label = 1};
    weir_rollout_read_policy(WEIR_ROLLOUT_NOBODY, 0.9, "", &row);
    assert_true(row.arm == WEIR_ROLLOUT_NOBODY && row.champion_share == 0.9 && fabs(row.shares[0] - 0.1) < 1e-15 && row.label == 1);
    weir_rollout_read_policy(0, 0.1, "", &row);
    assert_true(row.arm == 0 && row.champion_share == 0.9 && row.shares[0] == 0.1);
    weir_rollout_read_policy(2, 0.2, "champion 0.5,challenger 0.3,challenger-3 0.2", &row);
    assert_true(row.arm == 2 && row.champion_share == 0.5 && row.shares[0] == 0.3 && row.shares[1] == 0 && row.shares[2] == 0.2);
    static const char *const wrong[] = {"champion", "champion x", "nobody 0.5", "champion 0.5;challenger 0.5", "champion 2", "champion nan", ","};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        weir_rollout_read_policy(1, 0.5, wrong[i], &row);
        assert_true(row.arm == WEIR_ROLLOUT_NOBODY && row.champion_share == 1 && row.shares[1] == 0 && row.label == 1);
    }
}

static void scorers_are_told_shares_and_shadows(void **state) {
    (void)state;
    weir_rollout_record r = begin(2, true);
    cJSON *json = weir_rollout_arms_json(&pipeline->rollout, &r);
    char *text = cJSON_PrintUnformatted(json);
    assert_string_equal(text, "[{\"arm\":\"challenger\",\"version\":\"fraud-0/10\",\"share\":0,\"shadow\":1},{\"arm\":\"challenger-2\",\"version\":\"fraud-1/"
                              "11\",\"share\":0,\"shadow\":1}]");
    cJSON_free(text);
    cJSON_Delete(json);
}

static void scorers_are_told_the_shares_of_each_bucket(void **state) {
    (void)state;
    route_by_context();
    pipeline->rollout.buckets = 2;
    weir_rollout_record r = begin(1, false);
    r.rollout.buckets[2].shares[0] = 0.75;
    r.rollout.arms[0].share = 0.625;
    cJSON *json = weir_rollout_arms_json(&pipeline->rollout, &r);
    char *text = cJSON_PrintUnformatted(json);
    assert_string_equal(text, "[{\"arm\":\"challenger\",\"version\":\"fraud-0/10\",\"share\":0.625,\"shares\":[0.5,0.5,0.75],\"shadow\":0}]");
    cJSON_free(text);
    cJSON_Delete(json);
}

static void evidence_tells_shares_and_losses_of_each_bucket(void **state) {
    (void)state;
    static const char *const served[][COLUMNS_MAX] = {{"1", "2024-01-01", "0", "0.5", "t", "0.5", "", "2"},
                                                      {"0", "2024-01-02", "-1", "0.5", "f", "0.5", "", NULL}};
    weir_err why;
    int count, bad;
    route_by_context();
    pipeline->rollout.buckets = 2;
    pipeline->rollout.loss = WEIR_LOSS_BRIER;
    weir_rollout_record r = begin(1, false);
    pg.row_count = 2;
    memcpy(pg.rows, served, sizeof served);
    assert_int_equal(weir_rollout_feed(NULL, pipeline, &r, &count, &bad, &why, NULL), WEIR_OK);
    assert_true(count == 2 && bad == 0 && r.rollout.arms[0].test.count[0] == 1 && r.rollout.arms[0].test.count[1] == 1);
    cJSON *json = weir_rollout_evidence_json(&pipeline->rollout, &r.rollout), *arms = cJSON_GetObjectItem(json, "arms");
    const cJSON *champion = cJSON_GetObjectItem(cJSON_GetObjectItem(arms, "champion"), "buckets");
    char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(cJSON_GetObjectItem(arms, "challenger"), "buckets"));
    assert_string_equal(
        text, "[{\"share\":0.5,\"outcomes\":0,\"loss\":null},{\"share\":0.5,\"outcomes\":0,\"loss\":null},{\"share\":0.5,\"outcomes\":1,\"loss\":0.25}]");
    assert_true(cJSON_GetArraySize(champion) == 3 && cJSON_GetObjectItem(cJSON_GetArrayItem(champion, 1), "outcomes")->valuedouble == 0);
    cJSON_free(text);
    cJSON_Delete(json);
}

static void outcomes_and_pairs_are_fed_and_bad_ones_counted(void **state) {
    (void)state;
    static const char *const served[][COLUMNS_MAX] = {{"1", "2024-01-01", "0", "0.4", "t", "0.1", ""}, {"0", "2024-01-02", "-1", "nan", "f", "0.9", ""}};
    static const char *const pairs[][COLUMNS_MAX] = {{"1", "2024-01-03", "0", "0.4", "t", "0.6", "t"}};
    weir_rollout_record r = begin(1, false), shadow = begin(1, true);
    int count, bad;
    weir_err why = {0};
    pg.row_count = 2;
    memcpy(pg.rows, served, sizeof served);
    assert_int_equal(weir_rollout_feed(NULL, pipeline, &r, &count, &bad, &why, NULL), WEIR_OK);
    assert_true(count == 2 && bad == 1 && r.rollout.arms[0].test.count[1] == 1 && pg.fed == 1 && pg.shadow_fed == 0);
    assert_string_equal(r.known_to, "2024-01-02");
    assert_non_null(strstr(why.message, "no log_loss"));
    pg.row_count = 1;
    memcpy(pg.rows, pairs, sizeof pairs);
    assert_int_equal(weir_rollout_feed(NULL, pipeline, &shadow, &count, &bad, &why, NULL), WEIR_OK);
    assert_true(pg.fed == 2 && pg.shadow_fed == 1 && shadow.rollout.arms[0].pairs.count == 1 && shadow.rollout.arms[0].pairs.mean > 0);
}

/* ---- without memory ---- */

static void *failing_malloc(size_t size) {
    return failing_realloc(NULL, size);
}

/* Until everything could be allocated. */
static void starve(weir_status (*work)(weir_err *err)) {
    cJSON_Hooks hooks = {failing_malloc, free};
    const weir_allocator own = weir_mem;
    weir_status status = WEIR_ENOMEM;
    for (int left = 0; status; left++) {
        weir_err err = {0};
        assert_true(left < 5000);
        cJSON_InitHooks(&hooks);
        weir_mem.realloc = failing_realloc;
        allocations_left = left;
        status = work(&err);
        cJSON_InitHooks(NULL);
        weir_mem = own;
        if (status) assert_int_equal(err.code, WEIR_ENOMEM);
    }
}

static weir_status note_starving(weir_err *err) {
    static weir_rollout_record r;
    const weir_rollout_change change = {.type = "started", .reason = "because"};
    r = begin(3, true);
    int before = pg.events;
    weir_status status = weir_rollout_note(NULL, pipeline, &r, &change, "weir", err);
    assert_int_equal(pg.events - before, status ? 0 : 1);
    return status;
}

static weir_status feed_starving(weir_err *err) {
    static weir_rollout_record r;
    int count, bad;
    weir_err why;
    r = begin(2, true);
    return weir_rollout_feed(NULL, pipeline, &r, &count, &bad, &why, err);
}

static void every_failed_allocation_is_an_error(void **state) {
    (void)state;
    starve(note_starving);
    starve(feed_starving);
    route_by_context();
    starve(note_starving);
    starve(feed_starving);
}

static int setup(void **state) {
    (void)state;
    memset(&pg, 0, sizeof pg);
    pg.winner_is_null = true;
    pipeline->rollout = by_steps;
    return 0;
}

static int load(void **state) {
    (void)state;
    weir_err err = {0};
    if (weir_pipeline_load("pipelines/fraud.json", &pipeline, &err)) return -1;
    by_steps = pipeline->rollout;
    return 0;
}

static int unload(void **state) {
    (void)state;
    weir_pipeline_free(pipeline);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_written_is_read_back_bit_for_bit, setup),
        cmocka_unit_test_setup(buckets_are_written_with_the_rest_and_read_back_bit_for_bit, setup),
        cmocka_unit_test_setup(a_context_is_part_of_what_evidence_depends_on, setup),
        cmocka_unit_test_setup(scorers_are_told_the_shares_of_each_bucket, setup),
        cmocka_unit_test_setup(evidence_tells_shares_and_losses_of_each_bucket, setup),
        cmocka_unit_test_setup(what_was_written_before_there_were_pairs_is_read, setup),
        cmocka_unit_test_setup(policies_say_the_shares_of_all_arms, setup),
        cmocka_unit_test_setup(scorers_are_told_shares_and_shadows, setup),
        cmocka_unit_test_setup(outcomes_and_pairs_are_fed_and_bad_ones_counted, setup),
        cmocka_unit_test_setup(every_failed_allocation_is_an_error, setup),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
