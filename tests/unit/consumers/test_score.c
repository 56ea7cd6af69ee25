/* What the score worker does with challengers, in shadow and not: every record has exactly one answer whatever they do, and what is scored in shadow is written beside it, within its time, or not at all. The
 * codecs are real; models, the serving state and Kafka are doubles. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/answered.h"
#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "models/model.h"

enum { BATCH_MAX = 400, EVENT_FIELDS = 6, INPUTS = 64 };

/* ---- doubles ---- */

static weir_pipeline *pipeline;
static weir_shared shared;
static weir_worker_env env;
static weir_arena scratch;
static void *worker;
static weir_model *model; /* of all versions: what tells them apart is the column that they read */
static weir_served versions[4];
static weir_served stand_in; /* what is found by name; without a model nothing is */
static int dropped, abstained, fell_back;
static weir_arms arms;
static int finite_column[1], infinite_column[1]; /* a model fails where it is given what is infinite */
static int noted_failed[4], noted_rows[4], answers_before_shadows;
static int64_t clock_now_us = 1000000, clock_step_us; /* how much later it is at each look */

static int64_t look_at_clock(weir_clock *clock) {
    (void)clock;
    return clock_now_us += clock_step_us;
}
static void sleep_on_clock(weir_clock *clock, int64_t duration_us) {
    (void)clock;
    clock_now_us += duration_us;
}
static weir_clock ticking = {look_at_clock, look_at_clock, sleep_on_clock};
static int served, in_shadow, shadows_of_version[4], answers_of_version[4], answers_in_bucket[WEIR_BUCKETS_MAX], with_policy;
static bool kafka_refuses_shadows, kafka_is_behind;
static int refused_from = -1; /* rows served when the group goes on without this worker; -1: it does not */

const weir_worker_env *weir_worker_env_of(const weir_worker *w) {
    (void)w;
    return &env;
}
weir_producer *weir_worker_producer(weir_worker *w) {
    (void)w;
    return NULL;
}
weir_arena *weir_worker_scratch(weir_worker *w) {
    (void)w;
    return &scratch;
}
bool weir_worker_stopping(const weir_worker *w) {
    (void)w;
    return false;
}
weir_status weir_worker_reject(weir_worker *w, const weir_bus_record *record, const char *error_class, const weir_err *why, weir_err *err) {
    (void)w, (void)record, (void)error_class, (void)why, (void)err;
    return WEIR_OK;
}
weir_status weir_worker_subscribe(weir_worker *w, const char *const *topics, size_t count, weir_err *err) {
    (void)w, (void)topics, (void)count, (void)err;
    return WEIR_OK;
}
weir_consumer *weir_worker_consumer(weir_worker *w) {
    (void)w;
    return NULL;
}
weir_status weir_worker_confirm(weir_worker *w, const weir_bus_record *first, weir_err *err) {
    (void)w;
    assert_int_equal(first->offset, 0);
    return served == refused_from ? WEIR_RETRY(err, WEIR_ECONFLICT, "another process may have the partition") : WEIR_OK;
}
weir_status weir_serving_find(weir_serving *s, const char *what, const char *arm, weir_served **ret_served, weir_err *err) {
    (void)s, (void)what, (void)arm;
    if (!stand_in.model) return WEIR_FAIL(err, WEIR_ENOTFOUND, "no model %s", what);
    *ret_served = &stand_in;
    return WEIR_OK;
}
void weir_served_drop(weir_served *of) {
    dropped += of != NULL;
}
void weir_answered_done(weir_answered *answered) {
    (void)answered;
}
void weir_answered_forget(weir_answered *answered) {
    (void)answered;
}
bool weir_answered_has(const weir_answered *answered, int64_t offset) {
    (void)answered, (void)offset;
    return false;
}
weir_status weir_answered_read(weir_answered *answered, weir_consumer *asker, const char *brokers, weir_clock *clock, const char *predictions_topic,
                               int32_t partition, int64_t first_offset, int64_t since_ms, weir_err *err) {
    (void)answered, (void)asker, (void)brokers, (void)clock, (void)predictions_topic, (void)partition, (void)first_offset, (void)since_ms, (void)err;
    return WEIR_OK;
}
weir_status weir_shared_take_serving(weir_shared *s, const weir_worker_env *e, weir_serving **ret_serving, weir_err *err) {
    (void)s, (void)e, (void)err;
    *ret_serving = NULL;
    return WEIR_OK;
}
void weir_shared_drop_serving(weir_shared *s, weir_serving **serving) {
    (void)s, (void)serving;
}
weir_status weir_shared_set_deadletter(const weir_shared *s, weir_worker *w, weir_err *err) {
    (void)s, (void)w, (void)err;
    return WEIR_OK;
}

weir_arms *weir_serving_arms(weir_serving *s) {
    (void)s;
    return &arms;
}
void weir_arms_drop(weir_arms *a) {
    (void)a;
}
/* Record i of a batch has the key "i". */
const weir_served *weir_arms_choose(const weir_arms *a, int bucket, const char *key, size_t key_len, int64_t t_us, double *ret_propensity) {
    (void)key_len, (void)t_us;
    const weir_arms_split *split = &a->splits[bucket];
    int challenger = atoi(key) % 4 - 1;
    bool drawn = challenger >= 0 && split->shares[challenger] > 0;
    *ret_propensity = drawn ? split->shares[challenger] : split->champion_share;
    return drawn ? a->challengers[challenger] : a->champion;
}
bool weir_arms_shadows(const weir_arms *a, int challenger, const char *key, size_t key_len, int64_t t_us) {
    (void)key, (void)key_len, (void)t_us;
    return a->challengers[challenger] && a->shadows[challenger] > 0;
}
bool weir_serving_ready(const weir_serving *s) {
    (void)s;
    return true;
}
bool weir_serving_settled(const weir_serving *s) {
    (void)s;
    return true;
}
weir_status weir_serving_check(weir_serving *s, weir_err *err) {
    (void)s, (void)err;
    return WEIR_OK;
}
void weir_serving_note(weir_serving *s, const weir_served *of, const weir_guard_rows *rows) {
    (void)s;
    if (of == &stand_in) return;
    noted_failed[of - versions] += (int)(rows->failed + rows->nan);
    noted_rows[of - versions] += (int)rows->rows;
}
weir_status weir_serving_reader_new(weir_serving *s, weir_serving_reader **ret_reader, weir_err *err) {
    (void)s, (void)err;
    *ret_reader = NULL;
    return WEIR_OK;
}
void weir_serving_reader_free(weir_serving_reader *reader) {
    (void)reader;
}
weir_status weir_serving_read_begin(weir_serving_reader *reader, weir_err *err) {
    (void)reader, (void)err;
    return WEIR_OK;
}
void weir_serving_read_end(weir_serving_reader *reader) {
    (void)reader;
}
weir_status weir_serving_read_view(weir_serving_reader *reader, int view, const char *key, size_t key_len, int64_t t_us, const weir_datum *row, double *out,
                                   weir_view_read *ret_read, weir_err *err) {
    (void)reader, (void)view, (void)key, (void)key_len, (void)t_us, (void)row, (void)out, (void)err;
    *ret_read = (weir_view_read){0};
    return WEIR_OK;
}
int weir_serving_input_of_view(const weir_serving *s, int view) {
    (void)s;
    return EVENT_FIELDS + (view ? pipeline->views[0].feature_count : 0);
}
int weir_serving_input_count(const weir_serving *s) {
    (void)s;
    return EVENT_FIELDS + pipeline->views[0].feature_count + pipeline->views[1].feature_count;
}
const char *weir_serving_input_name(const weir_serving *s, int index) {
    if (index < EVENT_FIELDS) return weir_schema_field_at(pipeline->events.schema, index)->name;
    int view = index >= weir_serving_input_of_view(s, 1);
    return pipeline->views[view].features[index - weir_serving_input_of_view(s, view)].name;
}

/* A feature record of the primary view: what a real one has, as far as scoring reads it. */
weir_status weir_serde_decode(weir_serde *serde, const void *data, size_t len, weir_datum *row, uint32_t *ret_id, weir_err *err) {
    (void)serde, (void)len, (void)ret_id, (void)err;
    int n = *(const int *)data;
    const weir_schema *events = pipeline->events.schema;
    weir_schema *schema = NULL;
    char *json = NULL;
    assert_int_equal(weir_features_schema_json(pipeline, &pipeline->views[pipeline->primary_view], &json, NULL), WEIR_OK);
    assert_int_equal(weir_schema_parse(json, strlen(json), &schema, NULL), WEIR_OK);
    for (int i = 0; i < weir_schema_field_count(schema); i++) row[i] = weir_null();
    weir_schema_free(schema);
    free(json);
    row[FEAT_TENANT] = row[FEAT_ENTITY] = weir_text("a");
    row[FEAT_EVENT_TIME] = row[FEAT_AVAILABLE_TIME] = weir_i64(1);
    row[FEAT_SOURCE_PARTITION] = weir_i64(0);
    row[FEAT_SOURCE_OFFSET] = weir_i64(n);
    row[FEAT_SEQ] = row[FEAT_VERSION] = row[FEAT_EPOCH] = weir_i64(1);
    row[FEAT_HAS_RECORD] = weir_bool(true);
    const char *place = n % 3 ? n % 3 == 1 ? "one" : "two" : NULL;
    for (int f = 0; f < weir_schema_field_count(events); f++) {
        weir_type type = weir_schema_field_at(events, f)->type;
        row[FEAT_RECORD + f] = type == WEIR_T_STR ? weir_text("1") : type == WEIR_T_F64 ? weir_f64(INFINITY) : weir_i64(1);
        if (f == arms.context_index && arms.bucket_count) row[FEAT_RECORD + f] = place ? weir_text(place) : weir_null();
    }
    return WEIR_OK;
}

weir_status weir_serde_new(weir_registry *registry, const char *subject, const weir_schema *reader, weir_serde **ret_serde, weir_err *err) {
    (void)registry, (void)subject, (void)reader, (void)err;
    *ret_serde = NULL;
    return WEIR_OK;
}
void weir_serde_free(weir_serde *serde) {
    (void)serde;
}

static int version_of(const weir_datum *row, int at) {
    return (int)row[at].i;
}

/* The bucket of the request, and policy and propensity of that bucket; without a context none. */
static void check_bucket(const weir_datum *row) {
    if (!arms.bucket_count) {
        assert_int_equal(row[PRED_BUCKET].type, WEIR_T_NULL);
        return;
    }
    static const char *const places[] = {NULL, "one", "two"};
    const char *place = places[row[PRED_SOURCE_OFFSET].i % 3];
    const weir_datum value = place ? weir_text(place) : weir_null();
    int bucket = weir_split_bucket(arms.context_salt, &value, arms.bucket_count - 1);
    const weir_arms_split *split = &arms.splits[bucket];
    assert_true(row[PRED_BUCKET].type == WEIR_T_I64 && row[PRED_BUCKET].i == bucket);
    assert_true(row[PRED_POLICY].len == strlen(split->policy) && !memcmp(row[PRED_POLICY].p, split->policy, row[PRED_POLICY].len));
    assert_true(row[PRED_PROPENSITY].f == (row[PRED_VERSION].i ? split->shares[row[PRED_VERSION].i - 1] : split->champion_share));
    answers_in_bucket[bucket]++;
}

static bool is(const weir_datum *d, const char *text) {
    return d->type == WEIR_T_STR && d->len == strlen(text) && !memcmp(d->p, text, d->len);
}

/* Who abstains says why, and no number; the terminal's record is always missing here. */
static void check_outcome(const weir_datum *row) {
    if (is(&row[PRED_OUTCOME], "abstained")) {
        assert_true(is(&row[PRED_ARM], "none") && is(&row[PRED_MODEL], "") && row[PRED_SCORE].type == WEIR_T_NULL && row[PRED_DECISION].type == WEIR_T_NULL);
        assert_true(row[PRED_REASON].type == WEIR_T_STR && !memcmp(row[PRED_REASON].p, "terminal no_record", 18));
        abstained++;
    } else if (is(&row[PRED_OUTCOME], "fallback")) {
        assert_true(is(&row[PRED_ARM], "fallback") && row[PRED_SCORE].type == WEIR_T_F64 && is(&row[PRED_REASON], "terminal no_record"));
        fell_back++;
    } else {
        assert_true(is(&row[PRED_OUTCOME], "scored") && row[PRED_SCORE].type == WEIR_T_F64);
    }
    assert_true(row[PRED_REQUEST].type == WEIR_T_NULL);
}

static bool encoding_shadow;
static int encoded_version;
static bool encoded_policy;
weir_status weir_serde_encode(weir_serde *serde, const weir_datum *row, weir_buf *out, weir_err *err) {
    (void)serde, (void)err;
    encoding_shadow = row[SHADOW_ARM].type == WEIR_T_STR && row[SHADOW_ARM].len == 6 && !memcmp(row[SHADOW_ARM].p, "shadow", 6);
    encoded_version = version_of(row, encoding_shadow ? SHADOW_VERSION : PRED_VERSION);
    encoded_policy = !encoding_shadow && row[PRED_POLICY].type == WEIR_T_STR;
    if (!encoding_shadow) check_bucket(row);
    if (!encoding_shadow) check_outcome(row);
    return weir_buf_append(out, "x", 1) ? WEIR_OK : WEIR_ENOMEM;
}
static weir_producer *const shadow_producer = (weir_producer *)&in_shadow;
weir_status weir_producer_new(const char *brokers, const char *client, weir_producer **ret_producer, weir_err *err) {
    (void)brokers, (void)client, (void)err;
    *ret_producer = shadow_producer;
    return WEIR_OK;
}
void weir_producer_free(weir_producer *producer) {
    (void)producer;
}
size_t weir_producer_pending(weir_producer *producer) {
    assert_ptr_equal(producer, shadow_producer);
    return kafka_is_behind ? 1000000 : 0;
}
weir_status weir_producer_flush(weir_producer *producer, int timeout_ms, weir_err *err) {
    (void)timeout_ms;
    if (producer == shadow_producer && kafka_refuses_shadows) return WEIR_RETRY(err, WEIR_ENET, "the broker is away");
    return WEIR_OK;
}
weir_status weir_producer_send(weir_producer *producer, const char *topic, int32_t partition, const void *key, size_t key_len, const void *value, size_t len,
                               const weir_bus_header *headers, size_t header_count, int64_t timestamp_ms, weir_err *err) {
    (void)partition, (void)key, (void)key_len, (void)value, (void)len, (void)headers, (void)header_count, (void)timestamp_ms;
    assert_true(encoding_shadow == (producer == shadow_producer));
    assert_string_equal(topic, encoding_shadow ? "fraud.shadows" : "fraud.predictions");
    if (encoding_shadow && kafka_refuses_shadows) return WEIR_RETRY(err, WEIR_ENET, "the broker is away");
    *(encoding_shadow ? &in_shadow : &served) += 1;
    (encoding_shadow ? shadows_of_version : answers_of_version)[encoded_version]++;
    if (encoding_shadow && in_shadow == 1) answers_before_shadows = served;
    with_policy += encoded_policy;
    return WEIR_OK;
}
bool weir_bus_header_get(const weir_bus_record *record, const char *name, weir_bus_header *ret_header) {
    (void)record, (void)name, (void)ret_header;
    return false;
}

/* ---- a batch ---- */

static weir_status score(int count) {
    static int numbers[BATCH_MAX];
    static char keys[BATCH_MAX][16];
    static weir_bus_record records[BATCH_MAX];
    weir_err err = {0};
    for (int i = 0; i < count; i++) {
        numbers[i] = i;
        size_t len = (size_t)snprintf(keys[i], sizeof keys[i], "%d", i);
        records[i] = (weir_bus_record){.topic = "t", .key = keys[i], .key_len = len, .value = &numbers[i], .value_len = sizeof numbers[i], .timestamp_ms = 1};
    }
    weir_status status = weir_score_ops.batch(worker, records, (size_t)count, &err);
    weir_arena_reset(&scratch);
    if (status) print_message("%s\n", err.message);
    return status;
}

static int setup(void **state) {
    (void)state;
    weir_err err = {0};
    static const char *const names[] = {"champion", "challenger", "challenger-2", "challenger-3"};
    clock_step_us = 0;
    weir_arena_init(&scratch, 64 << 20);
    memset(noted_failed, 0, sizeof noted_failed);
    memset(shadows_of_version, 0, sizeof shadows_of_version);
    memset(answers_of_version, 0, sizeof answers_of_version);
    memset(answers_in_bucket, 0, sizeof answers_in_bucket);
    served = in_shadow = with_policy = dropped = abstained = fell_back = 0;
    stand_in = (weir_served){0};
    memset(pipeline->serving.views, 0, sizeof *pipeline->serving.views * (size_t)pipeline->view_count);
    kafka_refuses_shadows = kafka_is_behind = false;
    refused_from = -1;
    arms = (weir_arms){.champion = &versions[0], .splits = {{.champion_share = 1}}};
    for (int v = 0; v < 4; v++) {
        versions[v] = (weir_served){.version = v, .model = model, .threshold = 0.5, .columns = finite_column};
        snprintf(versions[v].arm, sizeof versions[v].arm, "%s", names[v]);
        snprintf(versions[v].name, sizeof versions[v].name, "m");
    }
    env = (weir_worker_env){.clock = &ticking, .shared = &shared};
    if (weir_score_ops.init(NULL, &worker, &err)) fail_msg("%s", err.message);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    weir_score_ops.done(worker);
    weir_arena_done(&scratch);
    return 0;
}

/* ---- tests ---- */

/* All arms have a quarter each. */
static void quarters(void) {
    for (int c = 0; c < 3; c++) {
        arms.challengers[c] = &versions[1 + c];
        arms.splits[0].shares[c] = 0.25;
    }
    arms.splits[0].champion_share = 0.25;
}

static void each_arm_answers_for_its_own_and_says_the_shares(void **state) {
    (void)state;
    quarters();
    snprintf(arms.splits[0].policy, sizeof arms.splits[0].policy, "champion 0.25,challenger 0.25,challenger-2 0.25,challenger-3 0.25");
    assert_int_equal(score(400), WEIR_OK);
    for (int v = 0; v < 4; v++) assert_int_equal(answers_of_version[v], 100);
    assert_true(with_policy == 400 && in_shadow == 0);
}

static void who_is_no_member_any_more_writes_nothing_from_then_on(void **state) {
    (void)state;
    refused_from = 150;
    assert_int_equal(score(400), WEIR_ECONFLICT);
    assert_int_equal(served, 150);
    refused_from = -1;
    assert_int_equal(score(400), WEIR_OK); /* the batch comes again */
    assert_int_equal(served, 550);
}

/* Of a context: what is logged is checked as it is encoded. */
static void each_prediction_logs_its_bucket_and_the_policy_of_that(void **state) {
    (void)state;
    quarters();
    arms.bucket_count = 3;
    arms.context_index = weir_schema_find(pipeline->events.schema, "transaction_id"); /* which no view is looked up by */
    snprintf(arms.context_salt, sizeof arms.context_salt, "s/context");
    for (int b = 0; b < arms.bucket_count; b++) {
        for (int c = 0; c < 3; c++) arms.splits[b].shares[c] = 0.1 * (b + 1);
        arms.splits[b].champion_share = 1 - 0.3 * (b + 1);
        snprintf(arms.splits[b].policy, sizeof arms.splits[b].policy, "champion %g,challenger…", arms.splits[b].champion_share);
    }
    assert_int_equal(score(399), WEIR_OK);
    assert_true(served == 399 && with_policy == 399 && answers_in_bucket[0] == 133 && answers_in_bucket[1] + answers_in_bucket[2] == 266);
}

static void for_challengers_that_fail_the_champion_answers(void **state) {
    (void)state;
    quarters();
    snprintf(arms.splits[0].policy, sizeof arms.splits[0].policy, "champion 0.25,…");
    versions[1].columns = versions[2].columns = infinite_column;
    assert_int_equal(score(400), WEIR_OK);
    assert_true(answers_of_version[0] == 300 && answers_of_version[3] == 100 && served == 400);
    assert_int_equal(with_policy, 200); /* of what was not drawn no shares are told */
    assert_true(noted_failed[1] == 100 && noted_failed[2] == 100);
}

static void a_shadow_scores_what_the_champion_answers(void **state) {
    (void)state;
    arms.challengers[0] = &versions[1];
    arms.challengers[1] = &versions[2];
    arms.splits[0].shares[0] = 0.5;
    arms.shadows[1] = 1;
    assert_int_equal(score(400), WEIR_OK);
    assert_true(served == 400 && answers_of_version[1] == 100 && answers_of_version[2] == 0);
    assert_true(in_shadow == 300 && shadows_of_version[2] == 300);
}

static void a_shadow_that_fails_costs_nobody_anything(void **state) {
    (void)state;
    arms.challengers[0] = &versions[1];
    arms.shadows[0] = 1;
    versions[1].columns = infinite_column;
    assert_int_equal(score(200), WEIR_OK);
    assert_true(served == 200 && in_shadow == 0 && noted_failed[1] == 200);
}

/* Every look at the clock is 10 ms later: of 200 requests only the first few are within the 50 ms. All answers are sent before the first of them. */
static void a_slow_shadow_delays_no_answer_and_has_its_budget(void **state) {
    (void)state;
    arms.challengers[0] = &versions[1];
    arms.challengers[1] = &versions[2];
    arms.shadows[0] = arms.shadows[1] = 1;
    clock_step_us = 10000;
    assert_int_equal(score(200), WEIR_OK);
    assert_true(served == 200 && answers_before_shadows == 200);
    assert_true(in_shadow > 0 && in_shadow <= 6);
}

static void what_kafka_does_not_take_of_shadows_is_lost_and_no_failure(void **state) {
    (void)state;
    arms.challengers[0] = &versions[1];
    arms.shadows[0] = 1;
    kafka_refuses_shadows = true;
    assert_int_equal(score(200), WEIR_OK);
    kafka_refuses_shadows = false;
    kafka_is_behind = true;
    int noted = noted_rows[1];
    assert_int_equal(score(200), WEIR_OK);
    assert_true(served == 400 && in_shadow == 0 && noted_rows[1] == noted);
}

/* ---- features that are missing ---- */

static void policy(weir_feature_policy missing) {
    for (int v = 0; v < pipeline->view_count; v++) {
        pipeline->serving.views[v].missing = missing;
        if (v != pipeline->primary_view) arms.champion->views = 1u << v;
    }
    pipeline->serving.fallback = "rules";
}

static void without_a_policy_what_is_missing_is_scored(void **state) {
    (void)state;
    policy(WEIR_POLICY_SCORE);
    assert_int_equal(score(100), WEIR_OK);
    assert_true(served == 100 && answers_of_version[0] == 100 && abstained == 0 && fell_back == 0);
}

static void who_abstains_says_so_in_a_prediction_without_a_score(void **state) {
    (void)state;
    policy(WEIR_POLICY_ABSTAIN);
    int noted = noted_rows[0];
    assert_int_equal(score(100), WEIR_OK);
    assert_true(served == 100 && abstained == 100 && noted_rows[0] == noted);
}

static void another_model_stands_in_and_is_given_back(void **state) {
    (void)state;
    policy(WEIR_POLICY_FALLBACK);
    stand_in = (weir_served){.arm = "fallback", .name = "rules", .version = 3, .model = model, .threshold = 0.5, .columns = finite_column};
    assert_int_equal(score(100), WEIR_OK);
    assert_true(served == 100 && fell_back == 100 && answers_of_version[3] == 100 && dropped == 1);
}

static void without_a_stand_in_or_where_it_fails_it_abstains(void **state) {
    (void)state;
    policy(WEIR_POLICY_FALLBACK);
    assert_int_equal(score(100), WEIR_OK);
    assert_true(served == 100 && abstained == 100);
}

static void views_that_the_model_does_not_read_may_be_missing(void **state) {
    (void)state;
    policy(WEIR_POLICY_ABSTAIN);
    arms.champion->views = 1u << pipeline->primary_view;
    assert_int_equal(score(100), WEIR_OK);
    assert_true(served == 100 && abstained == 0);
}

/* One that takes a column; what it says of it does not matter here. */
static void fit(void) {
    static const double values[] = {0, 1, 2, 3}, labels[] = {0, 1, 0, 1};
    static const char *const names[] = {"x"};
    const weir_matrix train = {.row_count = 4, .column_count = 1, .values = values, .label = labels, .column_names = names, .task = WEIR_TASK_BINARY};
    weir_buf artifact = {0};
    weir_err err = {0};
    if (weir_model_fit("logistic", NULL, NULL, &train, "hash", 1, 1, &artifact, &err)) fail_msg("%s", err.message);
    if (weir_model_load(artifact.data, artifact.len, &model, &err)) fail_msg("%s", err.message);
    weir_buf_done(&artifact);
}

static int load(void **state) {
    (void)state;
    weir_err err = {0};
    fit();
    if (weir_pipeline_load("pipelines/fraud.json", &pipeline, &err)) return -1;
    assert_true(weir_schema_field_count(pipeline->events.schema) == EVENT_FIELDS && weir_serving_input_count(NULL) <= INPUTS);
    shared.pipeline = pipeline;
    infinite_column[0] = weir_schema_find(pipeline->events.schema, "amount");
    finite_column[0] = pipeline->events.time_index;
    return weir_registry_new("http://127.0.0.1:1", &shared.registry, &err) ? -1 : 0; /* never asked: registration is lazy */
}

static int unload(void **state) {
    (void)state;
    weir_registry_free(shared.registry);
    weir_model_free(model);
    weir_pipeline_free(pipeline);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_arm_answers_for_its_own_and_says_the_shares, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_no_member_any_more_writes_nothing_from_then_on, setup, teardown),
        cmocka_unit_test_setup_teardown(each_prediction_logs_its_bucket_and_the_policy_of_that, setup, teardown),
        cmocka_unit_test_setup_teardown(for_challengers_that_fail_the_champion_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shadow_scores_what_the_champion_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shadow_that_fails_costs_nobody_anything, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_shadow_delays_no_answer_and_has_its_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_policy_what_is_missing_is_scored, setup, teardown),
        cmocka_unit_test_setup_teardown(who_abstains_says_so_in_a_prediction_without_a_score, setup, teardown),
        cmocka_unit_test_setup_teardown(another_model_stands_in_and_is_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_stand_in_or_where_it_fails_it_abstains, setup, teardown),
        cmocka_unit_test_setup_teardown(views_that_the_model_does_not_read_may_be_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_kafka_does_not_take_of_shadows_is_lost_and_no_failure, setup, teardown),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
