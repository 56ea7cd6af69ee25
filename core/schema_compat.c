/* Can data of one Avro schema be read with another? Any schema: unions, named types, aliases, recursion.
 * Source: Apache Avro 1.11 specification, "Schema Resolution"; names as in Java's SchemaCompatibility (unqualified name, or an alias of the reader). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/avro_type.h"
#include "core/registry_server.h"

enum { PAIRS_MAX = 20000, PATH_MAX_BYTES = 400, WHY_MAX = 300 };

/* A pair of records that was met. While it is being decided it counts as readable, which makes recursive types end. */
typedef struct pair {
    const weir_avro_type *reader, *writer;
    bool readable;
} pair;

typedef struct check {
    pair *pairs;
    size_t pair_count, pair_capacity;
    bool exhausted; /* memory or PAIRS_MAX */
    char path[PATH_MAX_BYTES]; /* of the field that is being compared */
    char why[WHY_MAX + PATH_MAX_BYTES + 4];
} check;

static bool can_read(check *c, const weir_avro_type *reader, const weir_avro_type *writer);

WEIR_PRINTF(2, 3) static bool no(check *c, const char *format, ...) {
    char text[WHY_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)snprintf(c->why, sizeof c->why, "%s%s%s", c->path, *c->path ? ": " : "", text);
    return false;
}

static const char *unqualified(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static bool same_name(check *c, const weir_avro_type *reader, const weir_avro_type *writer) {
    if (!strcmp(unqualified(reader->name), unqualified(writer->name))) return true;
    for (int i = 0; i < reader->alias_count; i++)
        if (!strcmp(reader->aliases[i], writer->name)) return true;
    return no(c, "the reader's type is called %.100s, the writer's %.100s", reader->name, writer->name);
}

static bool can_read_enum(check *c, const weir_avro_type *reader, const weir_avro_type *writer) {
    if (!same_name(c, reader, writer)) return false;
    for (int i = 0; i < writer->count && reader->fallback < 0; i++) {
        bool known = false;
        for (int k = 0; k < reader->count && !known; k++) known = !strcmp(reader->symbols[k], writer->symbols[i]);
        if (!known) return no(c, "the reader's enum %.100s has neither the symbol %.100s nor a default", reader->name, writer->symbols[i]);
    }
    return true;
}

static bool can_read_members(check *c, const weir_avro_type *reader, const weir_avro_type *writer) {
    for (int i = 0; i < reader->count; i++) {
        const weir_avro_member *r = &reader->members[i], *w = weir_avro_member_of(writer, r);
        if (!w && !r->fallback) return no(c, "the reader's field %.200s is not in the writer's schema and has no default", r->name);
        if (!w) continue;
        size_t before = strlen(c->path);
        (void)snprintf(c->path + before, sizeof c->path - before, "%s%s", before ? "." : "", r->name);
        bool readable = can_read(c, r->type, w->type);
        c->path[before] = 0;
        if (!readable) return false;
    }
    return true;
}

static bool remember(check *c, const weir_avro_type *reader, const weir_avro_type *writer) {
    if (c->pair_count == c->pair_capacity) {
        size_t capacity = c->pair_capacity ? 2 * c->pair_capacity : 16;
        pair *pairs = c->pair_count < PAIRS_MAX ? weir_mem.realloc(c->pairs, capacity * sizeof *pairs) : NULL;
        if (!pairs) {
            c->exhausted = true;
            return false;
        }
        c->pairs = pairs;
        c->pair_capacity = capacity;
    }
    c->pairs[c->pair_count++] = (pair){reader, writer, true};
    return true;
}

static bool can_read_record(check *c, const weir_avro_type *reader, const weir_avro_type *writer) {
    for (size_t i = 0; i < c->pair_count; i++)
        if (c->pairs[i].reader == reader && c->pairs[i].writer == writer) return c->pairs[i].readable || no(c, "record %.100s is not readable", reader->name);
    size_t at = c->pair_count;
    if (!remember(c, reader, writer)) return false;
    if (same_name(c, reader, writer) && can_read_members(c, reader, writer)) return true;
    /* What was decided meanwhile may rest on the assumption that this pair is readable. */
    if (c->pair_count) {
        c->pairs[at].readable = false;
        c->pair_count = at + 1;
    }
    return false;
}

static bool can_promote(weir_avro_kind reader, weir_avro_kind writer) {
    switch (reader) {
    case WEIR_AVRO_LONG: return writer == WEIR_AVRO_INT;
    case WEIR_AVRO_FLOAT: return writer == WEIR_AVRO_INT || writer == WEIR_AVRO_LONG;
    case WEIR_AVRO_DOUBLE: return writer == WEIR_AVRO_INT || writer == WEIR_AVRO_LONG || writer == WEIR_AVRO_FLOAT;
    case WEIR_AVRO_STRING: return writer == WEIR_AVRO_BYTES;
    case WEIR_AVRO_BYTES: return writer == WEIR_AVRO_STRING;
    default: return false;
    }
}

/* Every branch of the writer's union must be readable; of the reader's, one that can read is enough. */
static bool can_read_union(check *c, const weir_avro_type *reader, const weir_avro_type *writer) {
    if (writer->kind == WEIR_AVRO_UNION) {
        for (int i = 0; i < writer->count; i++)
            if (!can_read(c, reader, writer->branches[i])) return false;
        return true;
    }
    for (int i = 0; i < reader->count; i++)
        if (can_read(c, reader->branches[i], writer)) return true;
    if (reader->count == 1 && *c->why) return false;
    return no(c, "the writer's %.100s is in no branch of the reader's union", writer->name ? writer->name : weir_avro_kind_name(writer->kind));
}

static bool can_read(check *c, const weir_avro_type *reader, const weir_avro_type *writer) {
    if (c->exhausted) return false;
    if (reader->kind == WEIR_AVRO_UNION || writer->kind == WEIR_AVRO_UNION) return can_read_union(c, reader, writer);
    if (reader->kind != writer->kind)
        return can_promote(reader->kind, writer->kind) ||
               no(c, "the reader's %s cannot read the writer's %s", weir_avro_kind_name(reader->kind), weir_avro_kind_name(writer->kind));
    switch (reader->kind) {
    case WEIR_AVRO_RECORD: return can_read_record(c, reader, writer);
    case WEIR_AVRO_ENUM: return can_read_enum(c, reader, writer);
    case WEIR_AVRO_FIXED:
        return same_name(c, reader, writer) &&
               (reader->size == writer->size || no(c, "fixed %.100s has another size than the writer's %.100s", reader->name, writer->name));
    case WEIR_AVRO_ARRAY:
    case WEIR_AVRO_MAP: return can_read(c, reader->items, writer->items);
    default: return true;
    }
}

static weir_status decide(const weir_avro_type *reader, const weir_avro_type *writer, bool *ret_compatible, weir_buf *reason, weir_err *err) {
    check c = {0};
    bool readable = can_read(&c, reader, writer);
    (void)weir_mem.realloc(c.pairs, 0);
    if (c.exhausted) return WEIR_FAIL(err, WEIR_ELIMIT, "the schemas are too large to compare");
    if (!readable && reason && !weir_buf_append(reason, c.why, strlen(c.why))) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a reason");
    *ret_compatible = readable;
    return WEIR_OK;
}

weir_status weir_schema_can_read(const char *reader, const char *writer, bool *ret_compatible, weir_buf *reason, weir_err *err) {
    weir_avro_doc *r = NULL, *w = NULL;
    weir_status status = weir_avro_doc_parse(reader, strlen(reader), &r, err);
    if (!status) status = weir_avro_doc_parse(writer, strlen(writer), &w, err);
    if (!status) status = decide(r->root, w->root, ret_compatible, reason, err);
    weir_avro_doc_free(r);
    weir_avro_doc_free(w);
    return status;
}
