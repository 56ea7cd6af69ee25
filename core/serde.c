/* Confluent's wire format over the codec:
 *
 *     byte  0      1..4                      5..
 *           0x00   schema id, big-endian     Avro body
 */
#include <string.h>

#include "core/avro.h"

enum { HEADER_BYTES = 5, WRITERS_MAX = 65536 };

/* One schema id that was seen. What cannot be read with it is remembered too: its records fail without asking the registry again. */
typedef struct writer {
    uint32_t id;
    weir_schema *schema;
    weir_avro_plan *plan; /* NULL: why says why not */
    weir_err *why;
} writer;

struct weir_serde {
    weir_registry *registry;
    const weir_schema *reader;
    char *subject;
    bool registered;
    uint32_t id; /* under which rows are written, once registered */
    int count, capacity, last;
    writer *writers; /* by id */
};

weir_status weir_serde_new(weir_registry *registry, const char *subject, const weir_schema *reader, weir_serde **ret_serde, weir_err *err) {
    weir_serde *serde = weir_mem.realloc(NULL, sizeof *serde);
    if (!serde) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a serde");
    *serde = (weir_serde){.registry = registry, .reader = reader};
    if (subject) {
        size_t len = strlen(subject) + 1;
        serde->subject = weir_mem.realloc(NULL, len);
        if (!serde->subject) {
            weir_serde_free(serde);
            return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a serde");
        }
        memcpy(serde->subject, subject, len);
    }
    *ret_serde = serde;
    return WEIR_OK;
}

static void done_writer(writer *w) {
    weir_avro_plan_free(w->plan);
    weir_schema_free(w->schema);
    (void)weir_mem.realloc(w->why, 0);
}

void weir_serde_free(weir_serde *serde) {
    if (!serde) return;
    for (int i = 0; i < serde->count; i++) done_writer(&serde->writers[i]);
    (void)weir_mem.realloc(serde->writers, 0);
    (void)weir_mem.realloc(serde->subject, 0);
    (void)weir_mem.realloc(serde, 0);
}

/* Index of the id, or of where it belongs. */
static int position(const weir_serde *serde, uint32_t id) {
    int low = 0, high = serde->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (serde->writers[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static weir_status insert(weir_serde *serde, const writer *w, weir_err *err) {
    if (serde->count == WRITERS_MAX) return WEIR_REJECT(err, WEIR_ELIMIT, "more than %d schemas in one topic", WRITERS_MAX);
    if (serde->count == serde->capacity) {
        int capacity = serde->capacity ? 2 * serde->capacity : 8;
        writer *writers = weir_mem.realloc(serde->writers, (size_t)capacity * sizeof *writers);
        if (!writers) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
        serde->writers = writers;
        serde->capacity = capacity;
    }
    int at = position(serde, w->id);
    memmove(&serde->writers[at + 1], &serde->writers[at], (size_t)(serde->count - at) * sizeof *w);
    serde->writers[at] = *w;
    serde->count++;
    return WEIR_OK;
}

/* Makes the plan for a writer's schema. One that cannot be read is not an error here: w->why says so. */
static weir_status compile(const weir_serde *serde, const char *json, writer *w, weir_err *err) {
    weir_err why = {0};
    weir_status status = weir_schema_parse(json, strlen(json), &w->schema, &why);
    if (!status) status = weir_avro_plan_new(w->schema, serde->reader, &w->plan, &why);
    if (!status) return WEIR_OK;
    if (status == WEIR_ENOMEM) return WEIR_FAIL(err, WEIR_ENOMEM, "%s", why.message);
    w->why = weir_mem.realloc(NULL, sizeof *w->why);
    if (!w->why) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
    (void)weir_err_set(w->why, WEIR_EDATA, WEIR_ACTION_REJECT, __func__, "schema id %u cannot be read here: %.400s", w->id, why.message);
    return WEIR_OK;
}

static weir_status learn(weir_serde *serde, uint32_t id, weir_err *err) {
    char *json = NULL;
    weir_status status = weir_registry_schema(serde->registry, id, &json, err);
    if (status) return status;
    writer w = {.id = id};
    status = compile(serde, json, &w, err);
    if (!status) status = insert(serde, &w, err);
    if (status) done_writer(&w);
    (void)weir_mem.realloc(json, 0);
    return status;
}

static weir_status find_writer(weir_serde *serde, uint32_t id, const writer **ret_writer, weir_err *err) {
    int at = serde->last;
    if (at >= serde->count || serde->writers[at].id != id) at = position(serde, id);
    if (at >= serde->count || serde->writers[at].id != id) {
        weir_status status = learn(serde, id, err);
        if (status) return status;
        at = position(serde, id);
    }
    serde->last = at;
    *ret_writer = &serde->writers[at];
    return WEIR_OK;
}

weir_status weir_serde_decode(weir_serde *serde, const void *bytes, size_t len, weir_datum *row, uint32_t *ret_id, weir_err *err) {
    const uint8_t *p = bytes;
    if (len < HEADER_BYTES) return WEIR_REJECT(err, WEIR_EDATA, "a value of %zu bytes is too short for the wire format", len);
    if (p[0] != 0) return WEIR_REJECT(err, WEIR_EDATA, "the value starts with 0x%02x, expected the magic byte 0x00 of the wire format", p[0]);
    uint32_t id = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (ret_id) *ret_id = id;
    const writer *w;
    weir_status status = find_writer(serde, id, &w, err);
    if (status) return status;
    if (!w->plan) {
        if (err) *err = *w->why;
        return WEIR_EDATA;
    }
    return weir_avro_decode(w->plan, p + HEADER_BYTES, len - HEADER_BYTES, row, err);
}

weir_status weir_serde_encode(weir_serde *serde, const weir_datum *row, weir_buf *out, weir_err *err) {
    if (!serde->registered) {
        if (!serde->subject) return WEIR_FAIL(err, WEIR_EINVAL, "no subject to write under");
        weir_status status = weir_registry_register(serde->registry, serde->subject, weir_schema_json(serde->reader), &serde->id, err);
        if (status) return status;
        serde->registered = true;
    }
    size_t before = out->len;
    const uint8_t header[HEADER_BYTES] = {0, (uint8_t)(serde->id >> 24), (uint8_t)(serde->id >> 16), (uint8_t)(serde->id >> 8), (uint8_t)serde->id};
    if (!weir_buf_append(out, header, sizeof header)) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a record");
    weir_status status = weir_avro_encode(serde->reader, row, out, err);
    if (status) {
        out->len = before;
        out->data[before] = 0;
    }
    return status;
}
