/* Fuzzes requests for scores: what anybody may write to <pipeline>.requests.
 *   a byte: how long the key is | the key | 8 bytes: the record's timestamp | the value's body, in the pipeline's schema of requests
 * What is accepted must be about its key, at a time that an event may have, and must give only inputs that there are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/requests.h"
#include "core/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLUMNS_MAX = 64, AMOUNT_INPUT = 5, COUNT_INPUT = 20, MEAN_INPUT = 21, INPUTS = 22 };
#define NOW_US (INT64_C(1700000000) * WEIR_SECOND_US)

static const char pipeline_json[] =
    "{\"pipeline\":\"pay\",\"partitions\":1,\"source\":{\"topic\":\"pay.events\",\"schema\":\"schemas/transaction.avsc\","
    "\"key\":[\"customer_id\"],\"tenant\":\"tenant\",\"time\":\"tx_time\",\"max_future\":\"1d\"},\"serving\":{\"requests\":true},"
    "\"views\":[{\"name\":\"customer\",\"entity\":[\"customer_id\"],\"from\":\"events\",\"features\":["
    "{\"name\":\"count_1d\",\"agg\":\"count\",\"window\":\"1d\"},{\"name\":\"mean_1d\",\"agg\":\"mean\",\"of\":\"amount\",\"window\":\"1d\"}]}]}";

static weir_pipeline *pipeline;
static weir_requests requests;
static weir_avro_plan *plan;

/* In place of a registry: the body alone, in the schema that it is read in. */
weir_status weir_serde_new(weir_registry *registry, const char *subject, const weir_schema *reader, weir_serde **ret_serde, weir_err *err) {
    (void)registry, (void)subject;
    *ret_serde = NULL;
    return weir_avro_plan_new(reader, reader, &plan, err);
}
void weir_serde_free(weir_serde *serde) {
    (void)serde;
}
weir_status weir_serde_encode(weir_serde *serde, const weir_datum *row, weir_buf *out, weir_err *err) {
    (void)serde;
    return weir_avro_encode(requests.codec.schema, row, out, err);
}
weir_status weir_serde_decode(weir_serde *serde, const void *data, size_t len, weir_datum *row, uint32_t *ret_id, weir_err *err) {
    (void)serde, (void)ret_id;
    return weir_avro_decode(plan, data, len, row, err);
}

static void init(void) {
    static const char *const columns[] = {"amount", "count_1d", "mean_1d"};
    static const int inputs[] = {AMOUNT_INPUT, COUNT_INPUT, MEAN_INPUT};
    weir_err err;
    if (pipeline) return;
    if (weir_pipeline_parse(pipeline_json, NULL, &pipeline, &err) || weir_requests_init(&requests, NULL, pipeline, columns, inputs, 3, &err)) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
}

static void check(const weir_bus_record *record, const weir_request *request, const char *key) {
    double values[INPUTS];
    bool given[INPUTS] = {false};
    int count = weir_requests_override(&requests, values, given), found = 0;
    for (int i = 0; i < INPUTS; i++) found += given[i];
    if (found != count || given[AMOUNT_INPUT]) abort(); /* which is a column of the event */
    if (request->key_len != record->key_len || memcmp(key, record->key, record->key_len) != 0 || request->tenant_len >= request->key_len) abort();
    if (request->t_us < WEIR_TIME_MIN_US || request->t_us > NOW_US + pipeline->events.max_future_us) abort();
    if (request->id.type != WEIR_T_STR || !request->id.len) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weir_datum event[COLUMNS_MAX];
    char key[WEIR_KEY_MAX];
    weir_request request;
    const char *class = NULL;
    weir_err err = {0};
    init();
    if (size < 1 + sizeof(int64_t) || size - 1 - sizeof(int64_t) < data[0]) return 0;
    size_t key_len = data[0], value_len = size - 1 - key_len - sizeof(int64_t);
    char *value = malloc(value_len + 1), *record_key = malloc(key_len + 1); /* of their own: what is read behind them shows */
    if (!value || !record_key) abort();
    weir_bus_record record = {
        .topic = "pay.requests", .key = memcpy(record_key, data + 1, key_len), .key_len = key_len, .value = value, .value_len = value_len};
    memcpy(&record.timestamp_ms, data + 1 + key_len, sizeof record.timestamp_ms);
    memcpy(value, data + 1 + key_len + sizeof record.timestamp_ms, value_len);
    weir_status status = weir_requests_read(&requests, &record, NOW_US, event, key, &request, &class, &err);
    if (!status) check(&record, &request, key);
    if (status && (err.action != WEIR_ACTION_REJECT || !err.message[0] || !class)) abort();
    free(value);
    free(record_key);
    return 0;
}
