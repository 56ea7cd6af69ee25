/* The serve worker over real HTTP, with real views and models. Its surroundings are doubles: the replica is a few states in memory, Kafka an array. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/http.h"
#include "models/model.h"

#define NOON (INT64_C(1522584000) * WEIR_SECOND_US) /* Sunday 2018-04-01 12:00 */
#define HOUR (INT64_C(3600) * WEIR_SECOND_US)
enum { TENANT, TRANSACTION, TX_TIME, CUSTOMER, TERMINAL, AMOUNT, EVENT_FIELDS };
enum { CUSTOMER_VIEW, TERMINAL_VIEW, STATES_MAX = 8, SENT_MAX = 8 };

/* ---- doubles ---- */

typedef struct entity_state {
    int view;
    char key[64];
    weir_state state;
    weir_view_read read;
} entity_state;

struct weir_serving {
    const weir_pipeline *pipeline;
    weir_view *views[2];
    entity_state states[STATES_MAX];
    int state_count;
    weir_arms arms;
    bool ready;
};
struct weir_serving_reader {
    weir_serving *serving;
    pthread_t owner;
    weir_state scratch;
};
static struct weir_serving fake;
static _Atomic int readers_open;
static weir_worker_env env;

weir_arms *weir_serving_arms(weir_serving *s) {
    return &s->arms;
}
void weir_arms_drop(weir_arms *arms) {
    (void)arms;
}
bool weir_serving_ready(const weir_serving *s) {
    return s->ready;
}
weir_status weir_serving_check(weir_serving *s, weir_err *err) {
    (void)s, (void)err;
    return WEIR_OK;
}
weir_view *const *weir_serving_views(const weir_serving *s) {
    return s->views;
}
int weir_serving_input_of_view(const weir_serving *s, int view) {
    return EVENT_FIELDS + (view ? s->pipeline->views[0].feature_count : 0);
}
int weir_serving_input_count(const weir_serving *s) {
    return EVENT_FIELDS + s->pipeline->views[0].feature_count + s->pipeline->views[1].feature_count;
}

/* Odd customers get the challenger. */
const weir_served *weir_arms_choose(const weir_arms *arms, int bucket, const char *key, size_t key_len, int64_t t_us, double *ret_propensity) {
    (void)bucket, (void)t_us;
    bool odd = arms->challengers[0] && (key[key_len - 1] - '0') % 2;
    *ret_propensity = !arms->challengers[0] ? 1 : odd ? 0.25 : 0.75;
    return odd ? arms->challengers[0] : arms->champion;
}

static int64_t noted_failed; /* rows of the challenger */
void weir_serving_note(weir_serving *s, const weir_served *served, const weir_guard_rows *rows) {
    (void)s;
    if (!strcmp(served->arm, "challenger")) noted_failed += rows->failed;
}

weir_status weir_serving_reader_new(weir_serving *s, weir_serving_reader **ret_reader, weir_err *err) {
    (void)err;
    *ret_reader = calloc(1, sizeof **ret_reader);
    (*ret_reader)->serving = s;
    (*ret_reader)->owner = pthread_self();
    readers_open++;
    return WEIR_OK;
}
void weir_serving_reader_free(weir_serving_reader *reader) {
    if (!reader) return;
    readers_open--;
    weir_state_done(&reader->scratch);
    free(reader);
}
weir_status weir_serving_read_begin(weir_serving_reader *reader, weir_err *err) {
    return pthread_equal(reader->owner, pthread_self()) ? WEIR_OK : WEIR_FAIL(err, WEIR_EINTERNAL, "a reader on another thread than its own");
}
void weir_serving_read_end(weir_serving_reader *reader) {
    (void)reader;
}

static int input_of(const char *name);

/* No view gives what is not finite; this customer's does. */
static bool broken_customer(int view, const char *key, size_t key_len) {
    return view == CUSTOMER_VIEW && key_len == 10 && !memcmp(key, "default/13", 10);
}

weir_status weir_serving_read_view(weir_serving_reader *reader, int view, const char *key, size_t key_len, int64_t t_us, const weir_datum *row, double *out,
                                   weir_view_read *ret_read, weir_err *err) {
    const weir_serving *s = reader->serving;
    double slots[EVENT_FIELDS];
    weir_applied applied;
    weir_buf bytes = {0};
    weir_status status = WEIR_OK;
    *ret_read = (weir_view_read){.newest_us = INT64_MIN};
    weir_state_clear(&reader->scratch);
    for (int i = 0; !status && i < s->state_count; i++) {
        if (s->states[i].view != view || strlen(s->states[i].key) != key_len || memcmp(s->states[i].key, key, key_len)) continue;
        *ret_read = s->states[i].read;
        if (!weir_state_encode(s->views[view], &s->states[i].state, &bytes)) status = WEIR_ENOMEM;
        if (!status) status = weir_state_decode(s->views[view], bytes.data, bytes.len, &reader->scratch, err);
    }
    weir_buf_done(&bytes);
    row = weir_view_reaches(s->views[view], &reader->scratch, t_us) ? row : NULL;
    if (row) weir_view_slots(s->views[view], row, slots);
    if (!status && row) status = weir_view_apply(s->views[view], &reader->scratch, t_us, (weir_source){INT32_MAX, INT64_MAX}, slots, 0, &applied, NULL, err);
    if (!status) ret_read->answer = weir_view_ask(s->views[view], &reader->scratch, t_us, NULL, out, &ret_read->newest_us);
    if (broken_customer(view, key, key_len)) out[input_of("customer_amount_mean_1d") - weir_serving_input_of_view(s, view)] = INFINITY;
    return status;
}

weir_status weir_serving_read_newest(weir_serving_reader *reader, int view, const char *key, size_t key_len, double *out, weir_view_read *ret_read,
                                     weir_err *err) {
    weir_status status = weir_serving_read_view(reader, view, key, key_len, INT64_MAX, NULL, out, ret_read, err);
    return status ? status : weir_serving_read_view(reader, view, key, key_len, ret_read->newest_us, NULL, out, ret_read, err);
}

weir_status weir_shared_take_serving(weir_shared *shared, const weir_worker_env *e, weir_serving **ret_serving, weir_err *err) {
    (void)shared, (void)e, (void)err;
    *ret_serving = &fake;
    return WEIR_OK;
}
void weir_shared_drop_serving(weir_shared *shared, weir_serving **serving) {
    (void)shared;
    *serving = NULL;
}
const weir_worker_env *weir_worker_env_of(const weir_worker *worker) {
    (void)worker;
    return &env;
}
static _Atomic bool stopping;
bool weir_worker_stopping(const weir_worker *worker) {
    (void)worker;
    return stopping;
}

static struct {
    char topic[64], key[64];
    double amount;
    bool traced;
} sent[SENT_MAX];
static int sent_count;
static weir_status flush_status;

weir_status weir_producer_new(const char *brokers, const char *client_id, weir_producer **ret_producer, weir_err *err) {
    (void)brokers, (void)client_id, (void)err;
    *ret_producer = NULL;
    return WEIR_OK;
}
void weir_producer_free(weir_producer *producer) {
    (void)producer;
}
weir_status weir_producer_send(weir_producer *producer, const char *topic, int32_t partition, const void *key, size_t key_len, const void *value,
                               size_t value_len, const weir_bus_header *headers, size_t header_count, int64_t timestamp_ms, weir_err *err) {
    (void)producer, (void)partition, (void)timestamp_ms, (void)value_len;
    if (sent_count == SENT_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "the double holds %d records", SENT_MAX);
    snprintf(sent[sent_count].topic, sizeof sent[0].topic, "%s", topic);
    snprintf(sent[sent_count].key, sizeof sent[0].key, "%.*s", (int)key_len, (const char *)key);
    memcpy(&sent[sent_count].amount, value, sizeof(double));
    sent[sent_count].traced = header_count == 1 && !strcmp(headers[0].name, "traceparent");
    sent_count++;
    return WEIR_OK;
}
weir_status weir_producer_flush(weir_producer *producer, int timeout_ms, weir_err *err) {
    (void)producer, (void)timeout_ms;
    return flush_status ? WEIR_RETRY(err, flush_status, "the broker is away") : WEIR_OK;
}

/* The double's wire format: the amount. */
weir_status weir_serde_new(weir_registry *registry, const char *subject, const weir_schema *reader, weir_serde **ret_serde, weir_err *err) {
    (void)registry, (void)reader, (void)err;
    assert_string_equal(subject, "fraud.events-value");
    *ret_serde = malloc(1);
    return WEIR_OK;
}
void weir_serde_free(weir_serde *serde) {
    free(serde);
}
weir_status weir_serde_encode(weir_serde *serde, const weir_datum *row, weir_buf *out, weir_err *err) {
    (void)serde, (void)err;
    return weir_buf_append(out, &row[AMOUNT].f, sizeof(double)) ? WEIR_OK : WEIR_ENOMEM;
}

/* ---- fixture ---- */

static weir_pipeline *pipeline;
static weir_shared shared;
static weir_served champion, challenger, sorter;
static const char *const classes[] = {"fine", "odd", "stolen"};
static weir_http_server *http;
static void *worker;
static weir_clock_manual stopped_clock;

static int input_of(const char *name) {
    int column = weir_schema_find(pipeline->events.schema, name);
    for (int v = 0; column < 0 && v < 2; v++) {
        for (int f = 0; f < pipeline->views[v].feature_count; f++) {
            if (!strcmp(pipeline->views[v].features[f].name, name)) column = weir_serving_input_of_view(&fake, v) + f;
        }
    }
    assert_true(column >= 0);
    return column;
}

/* class_names: of three classes; NULL: two. */
static void make_served(weir_served *served, const char *arm, const char *name, int version, const char *const columns[2], const char *const *class_names) {
    double values[40], label[20];
    weir_buf artifact = {0};
    weir_err err = {0};
    for (int i = 0; i < 20; i++) {
        values[2 * i] = (i * 7) % 20;
        values[2 * i + 1] = version * i % 5;
        label[i] = class_names ? i % 3 : i % 3 == 0;
    }
    weir_matrix matrix = {20, 2, values, label, columns};
    if (class_names) {
        matrix.task = WEIR_TASK_MULTICLASS;
        matrix.class_count = 3;
        matrix.class_names = class_names;
    }
    if (weir_model_fit("logistic", NULL, NULL, &matrix, "hash", 1, 1, &artifact, &err)) fail_msg("%s", err.message);
    *served = (weir_served){.version = version, .threshold = class_names ? NAN : 0.5, .columns = malloc(2 * sizeof(int))};
    snprintf(served->arm, sizeof served->arm, "%s", arm);
    snprintf(served->name, sizeof served->name, "%s", name);
    if (weir_model_load(artifact.data, artifact.len, &served->model, &err)) fail_msg("%s", err.message);
    for (int c = 0; c < 2; c++) served->columns[c] = input_of(columns[c]);
    weir_buf_done(&artifact);
}

static void fill_event(weir_datum row[EVENT_FIELDS], const char *customer, const char *terminal, int64_t t_us, double amount) {
    row[TENANT] = weir_text("default");
    row[TRANSACTION] = weir_null();
    row[TX_TIME] = weir_i64(t_us);
    row[CUSTOMER] = weir_text(customer);
    row[TERMINAL] = weir_text(terminal);
    row[AMOUNT] = weir_f64(amount);
}

/* A payment that the replica knows. */
static void store_payment(const char *customer, int64_t t_us, double amount) {
    char key[64];
    weir_datum row[EVENT_FIELDS];
    double slots[EVENT_FIELDS];
    weir_applied applied;
    int i = 0;
    fill_event(row, customer, "1", t_us, amount);
    snprintf(key, sizeof key, "default/%s", customer);
    while (i < fake.state_count && strcmp(fake.states[i].key, key)) i++;
    if (i == fake.state_count) fake.states[fake.state_count++] = (entity_state){.view = CUSTOMER_VIEW, .state = {.max_time = INT64_MIN}};
    entity_state *entity = &fake.states[i];
    snprintf(entity->key, sizeof entity->key, "%s", key);
    weir_source source = {0, entity->state.count};
    weir_view_slots(fake.views[CUSTOMER_VIEW], row, slots);
    assert_int_equal(weir_view_apply(fake.views[CUSTOMER_VIEW], &entity->state, t_us, source, slots, 0, &applied, NULL, NULL), WEIR_OK);
    entity->read = (weir_view_read){true, source, t_us};
}

static int setup(void **state) {
    static const char *const counted[] = {"amount", "customer_tx_count_1d"}, *const meant[] = {"amount", "customer_amount_mean_1d"};
    weir_err err = {0};
    (void)state;
    if (weir_pipeline_load("fraud", &pipeline, &err)) fail_msg("%s", err.message);
    fake.pipeline = pipeline;
    for (int v = 0; v < 2; v++) assert_int_equal(weir_view_new(pipeline, &pipeline->views[v], &fake.views[v], NULL), WEIR_OK);
    make_served(&champion, "champion", "fraud-logistic", 3, counted, NULL);
    make_served(&challenger, "challenger", "fraud-boosted", 4, meant, NULL);
    make_served(&sorter, "champion", "fraud-sorter", 5, counted, classes);
    store_payment("10", NOON - 2 * HOUR, 20);
    store_payment("10", NOON - HOUR, 30);
    store_payment("11", NOON - HOUR, 50);
    store_payment("13", NOON - 2 * HOUR, 1);
    store_payment("13", NOON - HOUR, 1);
    fake.arms = (weir_arms){.champion = &champion, .challengers = {&challenger}};
    fake.ready = true;
    if (weir_http_server_start("127.0.0.1", 0, 2, 1 << 20, &http, &err)) fail_msg("%s", err.message);
    shared = (weir_shared){.pipeline = pipeline};
    weir_clock_manual_init(&stopped_clock, NOON);
    env = (weir_worker_env){.brokers = "nowhere", .instance = "0", .clock = &stopped_clock.base, .http = http, .shared = &shared};
    if (weir_serve_ops.init(NULL, &worker, &err)) fail_msg("%s", err.message);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    weir_serve_ops.done(worker);
    assert_int_equal(readers_open, 0);
    weir_http_server_stop(http);
    for (int i = 0; i < fake.state_count; i++) weir_state_done(&fake.states[i].state);
    weir_model_free(champion.model);
    weir_model_free(challenger.model);
    weir_model_free(sorter.model);
    free(sorter.columns);
    free(champion.columns);
    free(challenger.columns);
    for (int v = 0; v < 2; v++) weir_view_free(fake.views[v]);
    weir_pipeline_free(pipeline);
    return 0;
}

/* ---- helpers ---- */

/* The answer's JSON; the caller deletes it. */
static cJSON *call(const char *method, const char *path, const char *body, int expected) {
    char url[256];
    int status = 0;
    weir_buf answer = {0};
    weir_err err = {0};
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", weir_http_server_port(http), path);
    if (weir_http_call(method, url, "application/json", body, body ? strlen(body) : 0, 10000, &status, &answer, &err)) fail_msg("%s", err.message);
    if (status != expected) fail_msg("%s %s: %d, expected %d: %s", method, path, status, expected, answer.data);
    cJSON *json = cJSON_Parse(answer.data);
    if (!json) fail_msg("%s %s: no JSON: %s", method, path, answer.data);
    weir_buf_done(&answer);
    return json;
}

static void assert_refused(const char *method, const char *path, const char *body, int status, const char *words) {
    cJSON *json = call(method, path, body, status);
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(json, "error"));
    if (!message || !strstr(message, words)) fail_msg("%s %s: \"%s\" does not say \"%s\"", method, path, message, words);
    cJSON_Delete(json);
}

static const cJSON *output(const cJSON *answer, const char *name, int row) {
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(answer, "outputs")) {
        if (!strcmp(cJSON_GetObjectItem(item, "name")->valuestring, name)) return cJSON_GetArrayItem(cJSON_GetObjectItem(item, "data"), row);
    }
    return NULL;
}

static double parameter(const cJSON *answer, const char *name) {
    return cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(answer, "parameters"), name));
}

static double score_of(const weir_served *served, double first, double second) {
    double row[] = {first, second}, score;
    assert_int_equal(weir_model_predict(served->model, row, 1, &score, NULL), WEIR_OK);
    return score;
}

#define EVENTS(customers, n)                                                                                                                                   \
    "{\"inputs\":[{\"name\":\"customer_id\",\"datatype\":\"BYTES\",\"shape\":[" n "],\"data\":[" customers                                                     \
    "]},{\"name\":\"terminal_id\",\"datatype\":\"BYTES\",\"shape\":[" n "],\"data\":["
#define AMOUNTS(n) "]},{\"name\":\"amount\",\"datatype\":\"FP64\",\"shape\":[" n "],\"data\":["

/* ---- tests ---- */

static void health_follows_the_replica_and_the_champion(void **state) {
    (void)state;
    cJSON_Delete(call("GET", "/v2", NULL, 200));
    cJSON_Delete(call("GET", "/v2/health/live", NULL, 200));
    cJSON_Delete(call("GET", "/v2/health/ready", NULL, 200));
    fake.ready = false;
    cJSON_Delete(call("GET", "/v2/health/ready", NULL, 503));
    cJSON_Delete(call("GET", "/v2/models/fraud-logistic/ready", NULL, 503));
    fake.ready = true;
    fake.arms.champion = NULL;
    cJSON_Delete(call("GET", "/v2/health/ready", NULL, 503));
    assert_refused("POST", "/v2/models/fraud/infer", EVENTS("\"10\"", "1") "\"1\"" AMOUNTS("1") "5]}]}", 503, "no model is served yet");
    fake.arms.champion = &champion;
}

static void a_worker_that_stops_is_not_ready_and_goes_on_answering(void **state) {
    (void)state;
    stopping = true;
    cJSON_Delete(call("GET", "/v2/health/ready", NULL, 503));
    cJSON_Delete(call("GET", "/v2/health/live", NULL, 200));
    cJSON_Delete(call("POST", "/v2/models/fraud/infer", EVENTS("\"10\"", "1") "\"1\"" AMOUNTS("1") "5]}]}", 200));
    stopping = false;
    cJSON_Delete(call("GET", "/v2/health/ready", NULL, 200));
}

static void metadata_names_versions_and_tensors(void **state) {
    (void)state;
    cJSON *model = call("GET", "/v2/models/fraud-logistic", NULL, 200);
    assert_string_equal(cJSON_GetObjectItem(model, "platform")->valuestring, "weir_logistic");
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(model, "versions"), 0)->valuestring, "3");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(model, "inputs")), 2);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(model, "outputs")), 2);
    assert_null(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(model, "inputs"), 0), "parameters"));
    cJSON_Delete(model);
    cJSON *whole = call("GET", "/v2/models/fraud", NULL, 200);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(whole, "inputs")), EVENT_FIELDS);
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(whole, "versions"), 1)->valuestring, "challenger");
    cJSON_Delete(whole);
    cJSON_Delete(call("GET", "/v2/models/fraud-boosted/versions/4/ready", NULL, 200));
    cJSON *index = call("POST", "/v2/repository/index", "", 200);
    assert_int_equal(cJSON_GetArraySize(index), 2);
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetArrayItem(index, 1), "name")->valuestring, "fraud-boosted");
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetArrayItem(index, 1), "version")->valuestring, "4");
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetArrayItem(index, 1), "state")->valuestring, "READY");
    cJSON_Delete(index);
    assert_refused("GET", "/v2/models/fraud-boosted/versions/3", NULL, 404, "served now: fraud-logistic version 3 and fraud-boosted version 4");
    assert_refused("GET", "/v2/models/fraud/versions/3", NULL, 404, "no model \"fraud\" version 3");
}

static void inputs_tell_what_the_model_was_fitted_on(void **state) {
    (void)state;
    weir_input_range ranges[] = {{0.25, 512, 0}, {NAN, NAN, 1}};
    champion.ranges = ranges;
    cJSON *want =
        cJSON_Parse("[{\"name\": \"amount\", \"datatype\": \"FP64\", \"shape\": [-1], \"parameters\": {\"min\": 0.25, \"max\": 512, \"missing\": 0}}, "
                    "{\"name\": \"customer_tx_count_1d\", \"datatype\": \"FP64\", \"shape\": [-1], \"parameters\": {\"missing\": 1}}]");
    cJSON *model = call("GET", "/v2/models/fraud-logistic/versions/champion", NULL, 200);
    assert_true(cJSON_Compare(cJSON_GetObjectItem(model, "inputs"), want, true));
    cJSON_Delete(model);
    ranges[1].missing = NAN; /* its signature says nothing of it */
    model = call("GET", "/v2/models/fraud-logistic", NULL, 200);
    cJSON_DeleteItemFromObject(cJSON_GetArrayItem(want, 1), "parameters");
    assert_true(cJSON_Compare(cJSON_GetObjectItem(model, "inputs"), want, true));
    cJSON_Delete(model);
    cJSON_Delete(want);
    champion.ranges = NULL;
}

static void features_are_scored_as_they_are(void **state) {
    (void)state;
    const char body[] = "{\"id\":\"7\",\"inputs\":[{\"name\":\"features\",\"datatype\":\"FP64\",\"shape\":[2,2],\"data\":[5,1,15,4]}]}";
    cJSON *answer = call("POST", "/v2/models/fraud-boosted/infer", body, 200);
    assert_true(output(answer, "score", 0)->valuedouble == score_of(&challenger, 5, 1));
    assert_true(output(answer, "score", 1)->valuedouble == score_of(&challenger, 15, 4));
    assert_true(cJSON_IsTrue(output(answer, "decision", 0)) == (score_of(&challenger, 5, 1) >= 0.5));
    assert_string_equal(cJSON_GetObjectItem(answer, "id")->valuestring, "7");
    assert_string_equal(cJSON_GetObjectItem(answer, "model_version")->valuestring, "4");
    assert_true(parameter(answer, "propensity") == 1 && parameter(answer, "version") == 4);
    cJSON_Delete(answer);
}

/* A version's own threshold decides; a regression has none. */
static void a_version_decides_by_its_threshold_or_not_at_all(void **state) {
    (void)state;
    const char body[] = "{\"inputs\":[{\"name\":\"features\",\"datatype\":\"FP64\",\"shape\":[1,2],\"data\":[5,1]}]}";
    double score = score_of(&challenger, 5, 1);
    for (int above = 0; above < 2; above++) {
        challenger.threshold = above ? nextafter(score, 1) : score;
        cJSON *answer = call("POST", "/v2/models/fraud-boosted/infer", body, 200);
        assert_true(above ? cJSON_IsFalse(output(answer, "decision", 0)) : cJSON_IsTrue(output(answer, "decision", 0)));
        cJSON_Delete(answer);
    }
    challenger.threshold = NAN;
    cJSON *answer = call("POST", "/v2/models/fraud-boosted/infer", body, 200);
    assert_true(output(answer, "score", 0)->valuedouble == score && cJSON_IsNull(output(answer, "decision", 0)));
    cJSON_Delete(answer);
    challenger.threshold = 0.5;
}

static void an_event_counts_in_its_own_features(void **state) {
    (void)state;
    /* no time given: now, which is noon; two payments before and this one make three */
    cJSON *answer = call("POST", "/v2/models/fraud/infer", EVENTS("\"10\"", "1") "\"1\"" AMOUNTS("1") "5]}]}", 200);
    assert_true(output(answer, "score", 0)->valuedouble == score_of(&champion, 5, 3));
    assert_true(parameter(answer, "customer.age_seconds") == 3600 && parameter(answer, "customer.missing") == 0 && parameter(answer, "propensity") == 0.75);
    assert_null(cJSON_GetObjectItem(cJSON_GetObjectItem(answer, "parameters"), "terminal.missing")); /* neither model reads that view */
    assert_null(cJSON_GetObjectItem(answer, "model_version"));
    cJSON *again = call("POST", "/v2/models/fraud/infer", EVENTS("\"10\"", "1") "\"1\"" AMOUNTS("1") "5]}]}", 200);
    assert_true(cJSON_Compare(answer, again, true));
    cJSON_Delete(again);
    cJSON_Delete(answer);
    cJSON *odd = call("POST", "/v2/models/fraud/infer", EVENTS("\"11\"", "1") "\"1\"" AMOUNTS("1") "10]}]}", 200);
    assert_true(output(odd, "score", 0)->valuedouble == score_of(&challenger, 10, 30));
    cJSON_Delete(odd);
}

static void a_batch_is_answered_by_each_entitys_arm(void **state) {
    (void)state;
    cJSON *answer = call("POST", "/v2/models/fraud/infer", EVENTS("\"10\",\"11\",\"98\"", "3") "\"1\",\"1\",\"1\"" AMOUNTS("3") "5,10,7]}]}", 200);
    assert_true(output(answer, "score", 0)->valuedouble == score_of(&champion, 5, 3));
    assert_true(output(answer, "score", 1)->valuedouble == score_of(&challenger, 10, 30));
    assert_true(output(answer, "score", 2)->valuedouble == score_of(&champion, 7, 1));
    assert_string_equal(output(answer, "arm", 0)->valuestring, "champion");
    assert_string_equal(output(answer, "model", 1)->valuestring, "fraud-boosted");
    assert_true(output(answer, "version", 1)->valuedouble == 4 && output(answer, "propensity", 1)->valuedouble == 0.25);
    assert_true(parameter(answer, "customer.missing") == 1 && parameter(answer, "customer.age_seconds") == 3600);
    assert_null(cJSON_GetObjectItem(cJSON_GetObjectItem(answer, "parameters"), "model"));
    cJSON_Delete(answer);
}

static void the_champion_answers_for_a_challenger_that_fails(void **state) {
    (void)state;
    /* this customer's mean is not finite, which the challenger reads and the champion does not */
    cJSON *answer = call("POST", "/v2/models/fraud/infer", EVENTS("\"13\"", "1") "\"1\"" AMOUNTS("1") "5]}]}", 200);
    assert_true(output(answer, "score", 0)->valuedouble == score_of(&champion, 5, 3));
    assert_true(parameter(answer, "propensity") == 1 && parameter(answer, "version") == 3);
    assert_true(noted_failed == 1); /* which the guards are told */
    cJSON_Delete(answer);
    assert_refused("POST", "/v2/models/fraud-boosted/infer", EVENTS("\"13\"", "1") "\"1\"" AMOUNTS("1") "5]}]}", 400, "infinite value");
}

static void a_model_of_several_classes_gives_a_score_each_and_the_class(void **state) {
    (void)state;
    fake.arms.champion = &sorter; /* the challenger has one score: the champion answers for it */
    cJSON *answer = call("POST", "/v2/models/fraud/infer", EVENTS("\"10\",\"11\"", "2") "\"1\",\"1\"" AMOUNTS("2") "5,10]}]}", 200);
    double rows[] = {5, 3, 10, 2}, scores[6];
    assert_int_equal(weir_model_predict(sorter.model, rows, 2, scores, NULL), WEIR_OK);
    for (int row = 0; row < 2; row++) {
        int best = 0;
        for (int class = 0; class < 3; class ++) {
            assert_true(output(answer, "score", row * 3 + class)->valuedouble == scores[row * 3 + class]);
            if (scores[row * 3 + class] > scores[row * 3 + best]) best = class;
        }
        assert_string_equal(output(answer, "class", row)->valuestring, classes[best]);
    }
    assert_true(output(answer, "version", 0)->valuedouble == 5 && output(answer, "propensity", 1)->valuedouble == 1 && !output(answer, "decision", 0));
    const cJSON *shape = cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(answer, "outputs"), 0), "shape");
    assert_true(cJSON_GetArraySize(shape) == 2 && cJSON_GetArrayItem(shape, 0)->valueint == 2 && cJSON_GetArrayItem(shape, 1)->valueint == 3);
    cJSON_Delete(answer);
    assert_refused("POST", "/v2/models/fraud/infer",
                   "{\"outputs\":[{\"name\":\"decision\"}],\"inputs\":[{\"name\":\"features\",\"datatype\":\"FP64\",\"shape\":[1,2],\"data\":[5,3]}]}", 400,
                   "no output \"decision\": there are score, class, arm");
    cJSON *model = call("GET", "/v2/models/fraud-sorter", NULL, 200);
    const cJSON *score = cJSON_GetArrayItem(cJSON_GetObjectItem(model, "outputs"), 0), *about = cJSON_GetObjectItem(model, "parameters");
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetObjectItem(score, "parameters"), "classes"), 2)->valuestring, "stolen");
    assert_string_equal(cJSON_GetObjectItem(about, "task")->valuestring, "multiclass");
    assert_null(cJSON_GetObjectItem(about, "threshold"));
    cJSON_Delete(model);
    fake.arms.champion = &champion;
}

static void an_alias_is_a_version_of_the_pipeline_or_a_model(void **state) {
    (void)state;
    const char body[] = "{\"inputs\":[{\"name\":\"features\",\"datatype\":\"FP64\",\"shape\":[1,2],\"data\":[5,1]}]}";
    const char *const paths[] = {"/v2/models/fraud/versions/challenger/infer", "/v2/models/fraud-boosted/versions/challenger/infer"};
    for (int i = 0; i < 2; i++) {
        cJSON *answer = call("POST", paths[i], body, 200);
        assert_true(output(answer, "score", 0)->valuedouble == score_of(&challenger, 5, 1));
        assert_string_equal(cJSON_GetObjectItem(answer, "model_name")->valuestring, "fraud-boosted");
        assert_string_equal(cJSON_GetObjectItem(answer, "model_version")->valuestring, "4");
        cJSON_Delete(answer);
    }
    cJSON *model = call("GET", "/v2/models/fraud/versions/champion", NULL, 200);
    const cJSON *about = cJSON_GetObjectItem(model, "parameters");
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(about, "aliases"), 0)->valuestring, "champion");
    assert_true(cJSON_GetObjectItem(about, "version")->valueint == 3 && cJSON_GetObjectItem(about, "threshold")->valuedouble == 0.5);
    assert_string_equal(cJSON_GetObjectItem(about, "digest")->valuestring, weir_model_digest(champion.model));
    cJSON_Delete(model);
    cJSON_Delete(call("GET", "/v2/models/fraud/versions/champion/ready", NULL, 200));
    assert_refused("POST", "/v2/models/fraud-logistic/versions/challenger/infer", body, 404, "no model \"fraud-logistic\" as challenger is served");
    assert_refused("POST", "/v2/models/fraud/versions/challenger-2/infer", body, 404, "no model \"fraud\" as challenger-2 is served");
}

static void every_endpoint_is_in_the_openapi_document(void **state) {
    (void)state;
    cJSON *document = call("GET", "/openapi.json", NULL, 200);
    const cJSON *paths = cJSON_GetObjectItem(document, "paths"), *path, *operation;
    const cJSON *schemas = cJSON_GetObjectItem(cJSON_GetObjectItem(document, "components"), "schemas");
    int posts = 0;
    cJSON_ArrayForEach(path, paths) {
        cJSON_ArrayForEach(operation, path) {
            const cJSON *answer = cJSON_GetObjectItem(cJSON_GetObjectItem(operation, "responses"), "200");
            const char *ref = cJSON_GetStringValue(
                cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetObjectItem(answer, "content"), "application/json"), "schema"), "$ref"));
            assert_non_null(ref);
            assert_non_null(cJSON_GetObjectItem(schemas, strrchr(ref, '/') + 1));
            posts += !strcmp(operation->string, "post");
            /* what the document names is there: a path without parameters has no 404 */
            if (!strchr(path->string, '{') && !strcmp(operation->string, "get")) cJSON_Delete(call("GET", path->string, NULL, 200));
        }
    }
    assert_int_equal(posts, 6);
    assert_int_equal(cJSON_GetArraySize(paths), 14);
    assert_null(cJSON_GetObjectItem(document, "security"));
    cJSON_Delete(document);
}

static void infer_refuses_what_it_cannot_answer(void **state) {
    (void)state;
    const char *infer = "/v2/models/fraud/infer";
    assert_refused("POST", infer, "{", 400, "not JSON");
    assert_refused("POST", infer, "{\"inputs\":[{\"name\":\"amount\",\"datatype\":\"FP64\",\"shape\":[1],\"data\":[5]}]}", 400, "customer_id");
    assert_refused("POST", infer, "{\"inputs\":[{\"name\":\"custmer_id\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[\"5\"]}]}", 400,
                   "did you mean \"customer_id\"?");
    assert_refused("POST", infer,
                   "{\"outputs\":[{\"name\":\"x\"}],\"inputs\":[{\"name\":\"customer_id\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[\"5\"]}]}", 400,
                   "no output \"x\"");
    assert_refused("POST", "/v2/models/none/infer", EVENTS("\"10\"", "1") "\"1\"" AMOUNTS("1") "5]}]}", 404, "no model \"none\" is served");
    assert_refused("POST", "/v2/models/fraud/ready", "{}", 405, "only");
    assert_refused("GET", infer, NULL, 405, "POST");
}

static const cJSON *feature(const cJSON *answer, int column, const char *member, int row) {
    return cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(answer, "results"), column), member), row);
}

static void online_features_are_those_of_the_newest_event(void **state) {
    (void)state;
    cJSON *answer = call("POST", "/get-online-features",
                         "{\"features\":[\"customer:customer_tx_count_1d\",\"customer:customer_amount_mean_1d\",\"customer:tx_during_weekend\"],"
                         "\"entities\":{\"customer_id\":[10,\"99\"]}}",
                         200);
    assert_true(feature(answer, 0, "values", 0)->valuedouble == 10);
    assert_string_equal(feature(answer, 0, "event_timestamps", 0)->valuestring, "1970-01-01T00:00:00.000000Z");
    assert_true(feature(answer, 1, "values", 0)->valuedouble == 2 && feature(answer, 2, "values", 0)->valuedouble == 25);
    assert_true(feature(answer, 3, "values", 0)->valuedouble == 1); /* a Sunday */
    assert_string_equal(feature(answer, 1, "statuses", 0)->valuestring, "PRESENT");
    assert_string_equal(feature(answer, 1, "statuses", 1)->valuestring, "NOT_FOUND");
    assert_true(cJSON_IsNull(feature(answer, 1, "values", 1)));
    assert_string_equal(feature(answer, 1, "event_timestamps", 0)->valuestring, "2018-04-01T11:00:00.000000Z");
    cJSON_Delete(answer);
}

static void online_features_are_asked_for_at_a_time(void **state) {
    (void)state;
    const char *form = "{\"features\":[\"customer:customer_tx_count_1d\",\"customer:customer_amount_mean_1d\"],\"full_feature_names\":true,\"entities\":{"
                       "\"customer_id\":[\"10\"]},"
                       "\"event_timestamp\":\"%s\"}";
    const struct {
        const char *time, *count_status, *mean_status;
        double count;
    } cases[] = {
        {"2018-04-01T10:30:00Z", "PRESENT", "PRESENT", 1}, /* only the first payment was made by then */
        {"2018-04-03T00:00:00Z", "PRESENT", "NULL_VALUE", 0}, /* the window is empty */
        {"2018-08-01T00:00:00Z", "OUTSIDE_MAX_AGE", "OUTSIDE_MAX_AGE", NAN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[512];
        snprintf(body, sizeof body, form, cases[i].time);
        cJSON *answer = call("POST", "/get-online-features", body, 200);
        assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetObjectItem(answer, "metadata"), "feature_names"), 1)->valuestring,
                            "customer__customer_tx_count_1d");
        assert_string_equal(feature(answer, 1, "statuses", 0)->valuestring, cases[i].count_status);
        assert_string_equal(feature(answer, 2, "statuses", 0)->valuestring, cases[i].mean_status);
        double count = cJSON_GetNumberValue(feature(answer, 1, "values", 0));
        assert_true(isnan(cases[i].count) ? isnan(count) : count == cases[i].count);
        cJSON_Delete(answer);
    }
}

static void a_feature_service_is_a_models_features(void **state) {
    (void)state;
    cJSON *answer = call("POST", "/get-online-features", "{\"feature_service\":\"fraud-boosted\",\"entities\":{\"customer_id\":[\"10\"]}}", 200);
    const cJSON *names = cJSON_GetObjectItem(cJSON_GetObjectItem(answer, "metadata"), "feature_names");
    assert_int_equal(cJSON_GetArraySize(names), 2);
    assert_string_equal(cJSON_GetArrayItem(names, 1)->valuestring, "customer_amount_mean_1d");
    cJSON_Delete(answer);
    assert_refused("POST", "/get-online-features", "{\"feature_service\":\"x\",\"entities\":{\"customer_id\":[\"10\"]}}", 404, "no model \"x\"");
    assert_refused("POST", "/get-online-features", "{\"features\":[\"terminal:customer_tx_count_1d\"],\"entities\":{\"customer_id\":[\"10\"]}}", 404,
                   "no feature");
    assert_refused("POST", "/get-online-features", "{\"features\":[\"customer_tx_count_1d\"],\"entities\":{\"terminal_id\":[\"10\"]}}", 400, "customer_id");
}

#define PUSH(amounts)                                                                                                                                          \
    "{\"push_source_name\":\"events\",\"df\":{\"transaction_id\":[1,2],\"event_timestamp\":[\"2018-04-01 12:00:00\",\"2018-04-01 "                             \
    "12:00:01\"],\"customer_id\":[\"10\",\"11\"],"                                                                                                             \
    "\"terminal_id\":[1,2],\"amount\":" amounts "}}"

static void pushed_rows_are_acknowledged_records(void **state) {
    (void)state;
    cJSON *answer = call("POST", "/push", PUSH("[1.5,2.5]"), 200);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(answer, "accepted")) == 2);
    cJSON_Delete(answer);
    assert_int_equal(sent_count, 2);
    assert_string_equal(sent[1].topic, "fraud.events");
    assert_string_equal(sent[1].key, "default/11");
    assert_true(sent[0].amount == 1.5 && sent[1].amount == 2.5 && !sent[0].traced);
    flush_status = WEIR_ENET;
    assert_refused("POST", "/push", PUSH("[1.5,2.5]"), 503, "the broker is away");
    flush_status = WEIR_OK;
    sent_count = 0;
}

static void one_bad_row_keeps_the_whole_push_out(void **state) {
    (void)state;
    assert_refused("POST", "/push", PUSH("[1.5,-1]"), 400, "row 1");
    assert_refused("POST", "/push", PUSH("[1.5,\"x\"]"), 400, "\"amount\" of row 1");
    assert_refused("POST", "/push", "{\"push_source_name\":\"nope\",\"df\":{\"a\":[1]}}", 404, "no push source \"nope\"");
    assert_int_equal(sent_count, 0);
}

static void *ask_often(void *context) {
    int *wrong = context;
    for (int i = 0; i < 50; i++) {
        cJSON *answer = call("POST", "/v2/models/fraud/infer", EVENTS("\"10\"", "1") "\"1\"" AMOUNTS("1") "5]}]}", 200);
        *wrong += output(answer, "score", 0)->valuedouble != score_of(&champion, 5, 3);
        cJSON_Delete(answer);
    }
    return NULL;
}

static void threads_answer_side_by_side(void **state) {
    (void)state;
    pthread_t threads[4];
    int wrong[4] = {0};
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &wrong[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(wrong[i], 0);
    }
    assert_in_range(readers_open, 1, 2); /* as many as the server has threads */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_follows_the_replica_and_the_champion),
        cmocka_unit_test(a_worker_that_stops_is_not_ready_and_goes_on_answering),
        cmocka_unit_test(metadata_names_versions_and_tensors),
        cmocka_unit_test(inputs_tell_what_the_model_was_fitted_on),
        cmocka_unit_test(features_are_scored_as_they_are),
        cmocka_unit_test(a_version_decides_by_its_threshold_or_not_at_all),
        cmocka_unit_test(an_event_counts_in_its_own_features),
        cmocka_unit_test(a_batch_is_answered_by_each_entitys_arm),
        cmocka_unit_test(the_champion_answers_for_a_challenger_that_fails),
        cmocka_unit_test(a_model_of_several_classes_gives_a_score_each_and_the_class),
        cmocka_unit_test(an_alias_is_a_version_of_the_pipeline_or_a_model),
        cmocka_unit_test(every_endpoint_is_in_the_openapi_document),
        cmocka_unit_test(infer_refuses_what_it_cannot_answer),
        cmocka_unit_test(online_features_are_those_of_the_newest_event),
        cmocka_unit_test(online_features_are_asked_for_at_a_time),
        cmocka_unit_test(a_feature_service_is_a_models_features),
        cmocka_unit_test(pushed_rows_are_acknowledged_records),
        cmocka_unit_test(one_bad_row_keeps_the_whole_push_out),
        cmocka_unit_test(threads_answer_side_by_side),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
