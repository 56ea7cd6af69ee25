/* libFuzzer target: Avro bodies and schema texts are input from outside.
 *   first byte even: the rest is a body of a schema that has every type, read by three readers; what decodes must encode to something that decodes to the same row
 *   first byte odd:  the rest is a schema text; what parses is resolved against itself and must read itself */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/avro.h"
#include "core/registry_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COLUMNS                                                                                                                                                \
    "{\"name\":\"b\",\"type\":\"boolean\"},{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"l\",\"type\":[\"null\",\"long\"]},{\"name\":\"f\",\"type\":"          \
    "\"float\"},"                                                                                                                                              \
    "{\"name\":\"d\",\"type\":[\"double\",\"null\"]},{\"name\":\"s\",\"type\":\"string\"},{\"name\":\"y\",\"type\":\"bytes\"},"                                \
    "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}},{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\","  \
    "\"B\"]}},"                                                                                                                                                \
    "{\"name\":\"m\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},"                                                                      \
    "{\"name\":\"p\",\"type\":{\"type\":\"record\",\"name\":\"P\",\"fields\":[{\"name\":\"u\",\"type\":\"int\"},{\"name\":\"v\",\"type\":\"null\"}]}}"

#define OPAQUE                                                                                                                                                 \
    "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"P\",\"string\"]}},{\"name\":\"k\",\"type\":{\"type\":\"map\",\"values\":{\"type\":"    \
    "\"array\",\"items\":\"null\"}}},"                                                                                                                         \
    "{\"name\":\"w\",\"type\":[\"null\",\"int\",\"string\",\"float\"]},{\"name\":\"t\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"T\",\"fields\":["    \
    "{\"name\":\"c\",\"type\":{\"type\":\"array\",\"items\":\"T\"}}]}]},"

static const char *const texts[] = {
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" COLUMNS "]}",
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" COLUMNS "," OPAQUE "{\"name\":\"z\",\"type\":\"int\"}]}",
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"w\",\"type\":[\"null\",\"double\"],\"default\":null},{\"name\":\"s\",\"type\":\"bytes\"},{"
    "\"name\":\"i\",\"type\":\"double\"},"
    "{\"name\":\"m\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},{\"name\":\"new\",\"type\":\"string\",\"default\":\"x\"}]}",
};

enum { SCHEMAS = sizeof texts / sizeof *texts, ROW_MAX = 4096 };

static weir_schema *schemas[SCHEMAS];
static weir_avro_plan *plans[SCHEMAS][SCHEMAS];
static weir_datum row[ROW_MAX], again[ROW_MAX];

static void set_up(void) {
    for (int i = 0; i < SCHEMAS; i++)
        if (weir_schema_parse(texts[i], strlen(texts[i]), &schemas[i], NULL)) abort();
    for (int w = 0; w < 2; w++)
        for (int r = 0; r < SCHEMAS; r++)
            if ((w || r != 1) && weir_avro_plan_new(schemas[w], schemas[r], &plans[w][r], NULL)) abort();
}

static void same_row(int count) {
    for (int i = 0; i < count; i++) {
        if (row[i].type != again[i].type) abort();
        if (row[i].type >= WEIR_T_STR ? row[i].len != again[i].len || memcmp(row[i].p, again[i].p, row[i].len)
                                      : row[i].type != WEIR_T_NULL && row[i].i != again[i].i)
            abort();
    }
}

static void fuzz_body(const uint8_t *data, size_t size) {
    for (int w = 0; w < 2; w++)
        for (int r = 0; r < SCHEMAS; r++)
            if (plans[w][r] && weir_avro_decode(plans[w][r], data, size, row, NULL)) continue;
    if (weir_avro_decode(plans[0][0], data, size, row, NULL)) return;
    weir_buf out = {0};
    weir_err err = {0};
    if (weir_avro_encode(schemas[0], row, &out, &err) || weir_avro_decode(plans[0][0], out.data, out.len, again, &err)) abort();
    same_row(weir_schema_field_count(schemas[0]));
    weir_buf_done(&out);
}

static void fuzz_schema(const char *text, size_t size) {
    weir_schema *schema;
    weir_avro_plan *plan;
    if (weir_schema_parse(text, size, &schema, NULL)) return;
    assert(weir_schema_field_count(schema) <= ROW_MAX);
    if (weir_avro_plan_new(schema, schema, &plan, NULL)) abort();
    weir_err err = {0};
    bool compatible = false;
    weir_status decoded = weir_avro_decode(plan, text, size, row, &err); /* any answer will do, as long as it ends */
    (void)decoded;
    if (!weir_schema_can_read(weir_schema_json(schema), weir_schema_json(schema), &compatible, NULL, &err) && !compatible) abort();
    weir_avro_plan_free(plan);
    weir_schema_free(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!schemas[0]) set_up();
    if (size < 1) return 0;
    if (data[0] & 1)
        fuzz_schema((const char *)data + 1, size - 1);
    else
        fuzz_body(data + 1, size - 1);
    return 0;
}
