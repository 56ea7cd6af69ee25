/* Fuzzes the HTTP API's bodies: the first byte says which, the rest is the body (of an inference perhaps with bytes after its JSON). What parses must also become rows and inputs without harm, and answers made of it must be
 * JSON again. Build with -DWEIR_SANITIZE=fuzz and clang. */
#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/infer_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const columns[] = {"amount", "count"};
static const char schema_json[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},"
    "{\"name\":\"at\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},{\"name\":\"amount\",\"type\":\"double\"},"
    "{\"name\":\"n\",\"type\":[\"null\",\"int\"],\"default\":null},{\"name\":\"b\",\"type\":[\"null\",\"boolean\"],\"default\":null}]}";

static const weir_feed_def *the_feed(void) {
    static weir_feed_def feed;
    if (!feed.schema && weir_schema_parse(schema_json, sizeof schema_json - 1, &feed.schema, NULL)) abort();
    feed.time_index = 1;
    return &feed;
}

static void use_rows(weir_json_table *table, bool complete) {
    const weir_feed_def *feed = the_feed();
    size_t fields = (size_t)weir_schema_field_count(feed->schema), count = (size_t)table->row_count * fields;
    weir_datum *rows = calloc(count + 1, sizeof *rows);
    weir_buf out = {0};
    if (rows && !weir_json_rows(table, feed, complete, rows, NULL)) {
        for (size_t i = 0; i < count; i++) {
            weir_buf_clear(&out);
            if (!weir_json_put(&out, &rows[i])) abort();
            cJSON *json = cJSON_ParseWithLength(out.data, out.len);
            if (!json) abort();
            cJSON_Delete(json);
        }
    }
    weir_buf_done(&out);
    free(rows);
}

static void use_inputs(const weir_json_table *inputs) {
    double *out = calloc((size_t)inputs->row_count * 2 + 1, sizeof *out);
    if (out && weir_infer_is_features(inputs, columns, 2, the_feed()->schema) && weir_infer_features(inputs, columns, 2, out, NULL) == WEIR_EINTERNAL) abort();
    free(out);
}

/* What was read is answered as it stands, in JSON and in bytes. */
static void answer_with(const weir_json_table *inputs) {
    for (int binary = 0; binary < 2; binary++) {
        weir_buf out = {0};
        size_t json_len;
        for (int c = 0; c < inputs->column_count; c++) {
            const weir_json_column *column = &inputs->columns[c];
            weir_datum *numbers = calloc((size_t)inputs->row_count * (size_t)column->width, sizeof *numbers);
            if (!numbers) abort();
            for (int i = 0; i < inputs->row_count * column->width; i++) numbers[i] = weir_f64(weir_datum_number(&column->values[i]));
            const weir_infer_output output = {.name = column->name, .datatype = "FP64", .values = numbers, .width = column->width, .binary = binary};
            const weir_infer_answer answer = {.model_name = "m", .row_count = inputs->row_count, .output_count = 1, .outputs = &output};
            weir_buf_clear(&out);
            if (!weir_infer_encode(&answer, &out, &json_len) || (json_len == WEIR_INFER_ALL_JSON) == binary) abort();
            cJSON *json = cJSON_ParseWithLength(out.data, binary ? json_len : out.len);
            if (!json) abort();
            cJSON_Delete(json);
            free(numbers);
        }
        weir_buf_done(&out);
    }
}

static void fuzz_infer(const char *body, size_t len, size_t json_len) {
    weir_infer_request request;
    weir_err err;
    if (!weir_infer_parse(body, len, json_len, &request, &err)) {
        use_inputs(&request.inputs);
        use_rows(&request.inputs, false);
        answer_with(&request.inputs);
    }
    weir_infer_request_done(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    const char *body = (const char *)data + 1;
    weir_err err;
    if (data[0] % 4 == 0) {
        fuzz_infer(body, size - 1, WEIR_INFER_ALL_JSON);
    } else if (data[0] % 4 == 3) {
        /* The JSON ends at the first '#', as a header would say; what comes after it is the inputs' bytes. */
        const char *end = memchr(body, '#', size - 1);
        fuzz_infer(body, size - 1, end ? (size_t)(end - body) : size - 1);
    } else if (data[0] % 4 == 1) {
        weir_features_request request;
        if (!weir_features_parse(body, size - 1, &request, &err)) use_rows(&request.entities, false);
        weir_features_request_done(&request);
    } else {
        weir_push_request request;
        if (!weir_push_parse(body, size - 1, &request, &err)) use_rows(&request.df, true);
        weir_push_request_done(&request);
    }
    return 0;
}
