/* Decode plans: schema resolution is done once, per pair of schemas; decoding walks a flat list of steps in the writer's order.
 * Source: Apache Avro 1.11 specification, "Schema Resolution" and "Binary Encoding". */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/avro_type.h"

#define PLAN_MAX ((size_t)64 << 20)

typedef enum leaf_code {
    LEAF_NULL,
    LEAF_BOOLEAN,
    LEAF_INT,
    LEAF_LONG,
    LEAF_INT_DOUBLE,
    LEAF_LONG_DOUBLE,
    LEAF_FLOAT,
    LEAF_DOUBLE,
    LEAF_STRING,
    LEAF_BYTES,
    LEAF_FIXED,
    LEAF_ENUM,
    LEAF_SKIP,
    LEAF_MISFIT, /* a branch that the reader's column cannot take: an error only when it occurs */
} leaf_code;

typedef struct leaf {
    leaf_code code;
    bool millis; /* × 1000 */
    const weir_avro_type *type;
    const char **symbols; /* by the writer's index, as the reader knows them; NULL where it does not */
} leaf;

/* slot < 0: skipped. branch_count 0: no union, one leaf. A record that may be null is a step without leaves, its branch alone, before the steps of its members. */
typedef struct step {
    const char *name;
    int slot;
    int branch_count;
    leaf *leaves; /* NULL: says whether a record is there */
    int null_branch, span, jump; /* of such a step: the columns that are null with it, the steps of its members */
} step;

typedef struct filler {
    int slot;
    weir_datum value;
} filler;

struct weir_avro_plan {
    weir_arena arena;
    int step_count, step_capacity, filler_count, filler_capacity;
    step *steps;
    filler *fillers;
};

typedef struct builder {
    weir_avro_plan *plan;
    const weir_schema *reader;
    weir_err *err;
} builder;

/* ---- making a plan ---- */

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a decode plan");
}

static weir_status add_step(builder *b, step s) {
    weir_avro_plan *plan = b->plan;
    if (plan->step_count == plan->step_capacity) {
        int capacity = plan->step_capacity ? 2 * plan->step_capacity : 16;
        step *steps = weir_mem.realloc(plan->steps, (size_t)capacity * sizeof *steps);
        if (!steps) return no_memory(b->err);
        plan->steps = steps;
        plan->step_capacity = capacity;
    }
    plan->steps[plan->step_count++] = s;
    return WEIR_OK;
}

static weir_status add_filler(builder *b, int slot, weir_datum value) {
    weir_avro_plan *plan = b->plan;
    if (plan->filler_count == plan->filler_capacity) {
        int capacity = plan->filler_capacity ? 2 * plan->filler_capacity : 16;
        filler *fillers = weir_mem.realloc(plan->fillers, (size_t)capacity * sizeof *fillers);
        if (!fillers) return no_memory(b->err);
        plan->fillers = fillers;
        plan->filler_capacity = capacity;
    }
    plan->fillers[plan->filler_count++] = (filler){slot, value};
    return WEIR_OK;
}

static bool resolve_enum(builder *b, const weir_avro_type *writer, const weir_avro_type *reader, leaf *out) {
    out->symbols = weir_arena_alloc(&b->plan->arena, (size_t)writer->count * sizeof *out->symbols + 1);
    if (!out->symbols) return false;
    for (int i = 0; i < writer->count; i++) {
        out->symbols[i] = reader->fallback >= 0 ? reader->symbols[reader->fallback] : NULL;
        for (int k = 0; k < reader->count; k++)
            if (!strcmp(writer->symbols[i], reader->symbols[k])) out->symbols[i] = reader->symbols[k];
    }
    return true;
}

/* The column as seen by one of the writer's types (no union). LEAF_MISFIT when it does not resolve. */
static leaf_code leaf_for(const weir_avro_type *w, const weir_avro_column *column) {
    const weir_avro_type *r = column->type;
    bool wide = r->kind == WEIR_AVRO_DOUBLE, floating = wide || r->kind == WEIR_AVRO_FLOAT;
    switch (w->kind) {
    case WEIR_AVRO_NULL: return column->null_branch >= 0 || r->kind == WEIR_AVRO_NULL ? LEAF_NULL : LEAF_MISFIT;
    case WEIR_AVRO_BOOLEAN: return r->kind == WEIR_AVRO_BOOLEAN ? LEAF_BOOLEAN : LEAF_MISFIT;
    case WEIR_AVRO_INT: return floating ? LEAF_INT_DOUBLE : r->kind == WEIR_AVRO_INT || r->kind == WEIR_AVRO_LONG ? LEAF_INT : LEAF_MISFIT;
    case WEIR_AVRO_LONG: return floating ? LEAF_LONG_DOUBLE : r->kind == WEIR_AVRO_LONG ? LEAF_LONG : LEAF_MISFIT;
    case WEIR_AVRO_FLOAT: return floating ? LEAF_FLOAT : LEAF_MISFIT;
    case WEIR_AVRO_DOUBLE: return wide ? LEAF_DOUBLE : LEAF_MISFIT;
    case WEIR_AVRO_STRING:
    case WEIR_AVRO_BYTES: return r->kind == WEIR_AVRO_STRING ? LEAF_STRING : r->kind == WEIR_AVRO_BYTES ? LEAF_BYTES : LEAF_MISFIT;
    case WEIR_AVRO_FIXED: return r->kind == WEIR_AVRO_FIXED && r->size == w->size ? LEAF_FIXED : LEAF_MISFIT;
    case WEIR_AVRO_ENUM: return r->kind == WEIR_AVRO_ENUM ? LEAF_ENUM : LEAF_MISFIT;
    default: return LEAF_MISFIT;
    }
}

static weir_status resolve_leaf(builder *b, const weir_avro_type *w, const weir_avro_column *column, leaf *out) {
    *out = (leaf){.code = leaf_for(w, column), .type = w};
    /* The writer says what the number means; when it does not, the reader does. */
    weir_avro_logical unit = w->logical ? w->logical : column->type->logical;
    out->millis = column->type->logical && unit == WEIR_AVRO_TIMESTAMP_MILLIS;
    if (out->code == LEAF_ENUM && !resolve_enum(b, w, column->type, out)) return no_memory(b->err);
    return WEIR_OK;
}

static weir_status resolve_column(builder *b, const weir_avro_type *w, int slot) {
    const weir_avro_column *column = &b->reader->columns[slot];
    int branch_count = w->kind == WEIR_AVRO_UNION ? w->count : 0;
    step s = {.name = b->reader->fields[slot].name, .slot = slot, .branch_count = branch_count};
    s.leaves = weir_arena_alloc(&b->plan->arena, (size_t)(branch_count ? branch_count : 1) * sizeof *s.leaves);
    if (!s.leaves) return no_memory(b->err);
    bool any = false;
    for (int i = 0; i < (branch_count ? branch_count : 1); i++) {
        weir_status status = resolve_leaf(b, branch_count ? w->branches[i] : w, column, &s.leaves[i]);
        if (status) return status;
        any |= s.leaves[i].code != LEAF_MISFIT;
    }
    if (!any || (w->kind == WEIR_AVRO_UNION && w->count == 0))
        return WEIR_REJECT(b->err, WEIR_EDATA, "field \"%s\": the writer's %s does not resolve to the reader's %s", s.name, weir_avro_kind_name(w->kind),
                           weir_avro_kind_name(column->type->kind));
    return add_step(b, s);
}

static weir_status add_skip(builder *b, const weir_avro_member *w) {
    step s = {.name = w->name, .slot = -1};
    s.leaves = weir_arena_alloc(&b->plan->arena, sizeof *s.leaves);
    if (!s.leaves) return no_memory(b->err);
    *s.leaves = (leaf){.code = LEAF_SKIP, .type = w->type};
    return add_step(b, s);
}

static void dotted(char out[WEIR_AVRO_NAME_MAX], const char *prefix, const char *name) {
    (void)snprintf(out, WEIR_AVRO_NAME_MAX, "%s%s%s", prefix, *prefix ? "." : "", name);
}

/* The writer has no record that may be null, and its default is null. */
static weir_status fill_absent(builder *b, int slot) {
    weir_status status = add_filler(b, slot, weir_bool(false));
    for (int i = 1; !status && i <= b->reader->columns[slot].span; i++) status = add_filler(b, slot + i, weir_null());
    return status;
}

/* The writer has no such member: its columns take json, the default of it or of the record around it. */
static weir_status resolve_missing(builder *b, const weir_avro_member *r, const cJSON *json, const char *path) {
    int null_branch;
    const weir_avro_type *record = weir_avro_record_of(r->type, &null_branch);
    if (record && null_branch >= 0 && json) {
        int slot = weir_schema_find(b->reader, path);
        if (slot < 0) return WEIR_OK;
        if (cJSON_IsNull(json)) return fill_absent(b, slot);
        weir_status status = add_filler(b, slot, weir_bool(true));
        if (status) return status;
    }
    if (record && (json || null_branch < 0)) {
        for (int i = 0; i < record->count; i++) {
            const weir_avro_member *member = &record->members[i];
            const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, member->name);
            char name[WEIR_AVRO_NAME_MAX];
            dotted(name, path, member->name);
            weir_status status = resolve_missing(b, member, value ? value : member->fallback, name);
            if (status) return status;
        }
        return WEIR_OK;
    }
    int slot = weir_schema_find(b->reader, path);
    if (slot < 0) return WEIR_OK;
    if (!json) return WEIR_REJECT(b->err, WEIR_EDATA, "field \"%s\": the writer does not have it and it has no default", path);
    weir_datum value;
    if (!weir_avro_json_datum(b->reader->columns[slot].type, json, &b->plan->arena, &value)) return no_memory(b->err);
    return add_filler(b, slot, value);
}

static weir_status resolve_record(builder *b, const weir_avro_type *writer, const weir_avro_type *reader, const char *path);

/* A member that is a record for the reader: of the two, either may allow null. */
static weir_status resolve_nested(builder *b, const weir_avro_type *writer, const weir_avro_type *reader, const char *path) {
    int w_null, r_null;
    const weir_avro_type *w = weir_avro_record_of(writer, &w_null), *r = weir_avro_record_of(reader, &r_null);
    if (!w) return WEIR_REJECT(b->err, WEIR_EDATA, "field \"%s\": the writer has a %s, the reader a record", path, weir_avro_kind_name(writer->kind));
    int slot = r_null >= 0 ? weir_schema_find(b->reader, path) : -1, at = b->plan->step_count;
    weir_status status = WEIR_OK;
    if (w_null >= 0) {
        const char *name = slot >= 0 ? b->reader->fields[slot].name : weir_arena_copy(&b->plan->arena, path, strlen(path));
        if (!name) return no_memory(b->err);
        status =
            add_step(b, (step){.name = name, .slot = slot, .branch_count = 2, .null_branch = w_null, .span = slot >= 0 ? b->reader->columns[slot].span : 0});
    } else if (slot >= 0) {
        status = add_filler(b, slot, weir_bool(true));
    }
    if (!status) status = resolve_record(b, w, r, path);
    if (!status && w_null >= 0) b->plan->steps[at].jump = b->plan->step_count - at - 1;
    return status;
}

static weir_status resolve_record(builder *b, const weir_avro_type *writer, const weir_avro_type *reader, const char *path) {
    for (int i = 0; i < writer->count; i++) {
        const weir_avro_member *w = &writer->members[i], *r = NULL;
        for (int k = 0; k < reader->count && !r; k++)
            if (weir_avro_member_of(writer, &reader->members[k]) == w) r = &reader->members[k];
        char name[WEIR_AVRO_NAME_MAX];
        weir_status status;
        dotted(name, path, r ? r->name : w->name);
        int slot = r ? weir_schema_find(b->reader, name) : -1;
        int null_branch;
        if (r && weir_avro_record_of(r->type, &null_branch) && (null_branch < 0 || slot >= 0))
            status = resolve_nested(b, w->type, r->type, name);
        else
            status = slot >= 0 ? resolve_column(b, w->type, slot) : add_skip(b, w);
        if (status) return status;
    }
    for (int k = 0; k < reader->count; k++) {
        const weir_avro_member *r = &reader->members[k];
        if (weir_avro_member_of(writer, r)) continue;
        char name[WEIR_AVRO_NAME_MAX];
        dotted(name, path, r->name);
        weir_status status = resolve_missing(b, r, r->fallback, name);
        if (status) return status;
    }
    return WEIR_OK;
}

weir_status weir_avro_plan_new(const weir_schema *writer, const weir_schema *reader, weir_avro_plan **ret_plan, weir_err *err) {
    weir_avro_plan *plan = weir_mem.realloc(NULL, sizeof *plan);
    if (!plan) return no_memory(err);
    *plan = (weir_avro_plan){0};
    weir_arena_init(&plan->arena, PLAN_MAX);
    builder b = {plan, reader, err};
    weir_status status = resolve_record(&b, writer->doc->root, reader->doc->root, "");
    if (status) {
        weir_avro_plan_free(plan);
        return status;
    }
    *ret_plan = plan;
    return WEIR_OK;
}

void weir_avro_plan_free(weir_avro_plan *plan) {
    if (!plan) return;
    weir_arena_done(&plan->arena);
    (void)weir_mem.realloc(plan->steps, 0);
    (void)weir_mem.realloc(plan->fillers, 0);
    (void)weir_mem.realloc(plan, 0);
}

/* ---- decoding ---- */

typedef struct cursor {
    const uint8_t *p, *end;
    const char *why; /* what is wrong, after a helper returned false */
} cursor;

static bool wrong(cursor *c, const char *why) {
    c->why = why;
    return false;
}

static bool read_long(cursor *c, int64_t *ret) {
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (c->p == c->end) return wrong(c, "the input ends inside a number");
        uint8_t byte = *c->p++;
        if (shift == 63 && byte > 1) return wrong(c, "a number of more than 64 bits");
        n |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret = (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
            return true;
        }
    }
    return wrong(c, "a number of more than 10 bytes");
}

static bool read_int(cursor *c, int64_t *ret) {
    if (!read_long(c, ret)) return false;
    return (*ret >= INT32_MIN && *ret <= INT32_MAX) || wrong(c, "an int of more than 32 bits");
}

/* Little-endian on the wire, whatever this machine is. */
static uint64_t little_endian(const uint8_t *p, int size) {
    uint64_t bits = 0;
    for (int i = size; i-- > 0;) bits = bits << 8 | p[i];
    return bits;
}

static bool read_double(cursor *c, double *ret) {
    if (c->end - c->p < 8) return wrong(c, "the input ends inside a double");
    uint64_t bits = little_endian(c->p, 8);
    memcpy(ret, &bits, sizeof *ret);
    c->p += 8;
    return true;
}

static bool read_float(cursor *c, double *ret) {
    if (c->end - c->p < 4) return wrong(c, "the input ends inside a float");
    uint32_t bits = (uint32_t)little_endian(c->p, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    *ret = (double)value;
    c->p += 4;
    return true;
}

static bool read_sized(cursor *c, const char **ret, uint32_t *ret_len) {
    int64_t len;
    if (!read_long(c, &len)) return false;
    if (len < 0) return wrong(c, "a negative length");
    if (len > c->end - c->p) return wrong(c, "a length beyond the end of the input");
    *ret = (const char *)c->p;
    *ret_len = (uint32_t)len;
    c->p += len;
    return true;
}

/* Source: The Unicode Standard, table 3-7, "Well-Formed UTF-8 Byte Sequences". */
static bool is_utf8(const uint8_t *p, size_t len) {
    const uint8_t *end = p + len;
    while (p < end) {
        if (*p < 0x80) {
            p++;
            continue;
        }
        int more = *p >= 0xF0 ? 3 : *p >= 0xE0 ? 2 : 1;
        if (*p < 0xC2 || *p > 0xF4 || end - p <= more) return false;
        if ((*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F) || (*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] > 0x8F)) return false;
        for (p++; more; more--, p++)
            if ((*p & 0xC0) != 0x80) return false;
    }
    return true;
}

static bool skip(cursor *c, const weir_avro_type *type, int depth);

static bool skip_bytes(cursor *c, size_t count) {
    if (count > (size_t)(c->end - c->p)) return wrong(c, "the input ends inside a value");
    c->p += count;
    return true;
}

/* Blocks: count, items …, ended by a count of 0; a negative count is followed by the block's size in bytes. */
static bool skip_blocks(cursor *c, const weir_avro_type *type, int depth) {
    bool nothing = type->kind == WEIR_AVRO_ARRAY && type->items->empty == WEIR_AVRO_EMPTY_YES;
    for (;;) {
        int64_t count, size;
        if (!read_long(c, &count)) return false;
        if (count == 0) return true;
        if (count < 0) {
            if (!read_long(c, &size)) return false;
            if (size < 0) return wrong(c, "a block of negative size");
            if (!skip_bytes(c, (size_t)size)) return false;
            continue;
        }
        for (int64_t i = 0; i < count && !nothing; i++) {
            const char *key;
            uint32_t len;
            if (type->kind == WEIR_AVRO_MAP && !read_sized(c, &key, &len)) return false;
            if (!skip(c, type->items, depth)) return false;
        }
    }
}

static bool skip(cursor *c, const weir_avro_type *type, int depth) {
    int64_t n;
    const char *text;
    uint32_t len;
    if (type->empty == WEIR_AVRO_EMPTY_YES) return true;
    if (depth > WEIR_AVRO_DEPTH_MAX) return wrong(c, "values are nested too deeply");
    switch (type->kind) {
    case WEIR_AVRO_NULL: return true;
    case WEIR_AVRO_BOOLEAN: return skip_bytes(c, 1);
    case WEIR_AVRO_INT:
    case WEIR_AVRO_LONG:
    case WEIR_AVRO_ENUM: return read_long(c, &n);
    case WEIR_AVRO_FLOAT: return skip_bytes(c, 4);
    case WEIR_AVRO_DOUBLE: return skip_bytes(c, 8);
    case WEIR_AVRO_BYTES:
    case WEIR_AVRO_STRING: return read_sized(c, &text, &len);
    case WEIR_AVRO_FIXED: return skip_bytes(c, type->size);
    case WEIR_AVRO_ARRAY:
    case WEIR_AVRO_MAP: return skip_blocks(c, type, depth + 1);
    case WEIR_AVRO_UNION:
        if (!read_long(c, &n)) return false;
        if (n < 0 || n >= type->count) return wrong(c, "a union branch that does not exist");
        return skip(c, type->branches[n], depth + 1);
    case WEIR_AVRO_RECORD:
        for (int i = 0; i < type->count; i++)
            if (!skip(c, type->members[i].type, depth + 1)) return false;
        return true;
    }
    return wrong(c, "a type that does not exist");
}

static bool read_enum(cursor *c, const leaf *l, weir_datum *out) {
    int64_t index;
    if (!read_long(c, &index)) return false;
    if (index < 0 || index >= l->type->count) return wrong(c, "an enum symbol that does not exist");
    if (!l->symbols[index]) return wrong(c, "an enum symbol that the reader does not know");
    *out = weir_text(l->symbols[index]);
    return true;
}

static bool read_leaf(cursor *c, const leaf *l, weir_datum *out) {
    switch (l->code) {
    case LEAF_NULL: *out = weir_null(); return true;
    case LEAF_BOOLEAN:
        if (c->p == c->end) return wrong(c, "the input ends before a boolean");
        if (*c->p > 1) return wrong(c, "a boolean that is neither 0 nor 1");
        *out = weir_bool(*c->p++);
        return true;
    case LEAF_INT: out->type = WEIR_T_I64; return read_int(c, &out->i);
    case LEAF_LONG:
        out->type = WEIR_T_I64;
        if (!read_long(c, &out->i)) return false;
        return !l->millis || !__builtin_mul_overflow(out->i, 1000, &out->i) || wrong(c, "a time beyond what microseconds can hold");
    case LEAF_INT_DOUBLE:
    case LEAF_LONG_DOUBLE: {
        int64_t n;
        if (!(l->code == LEAF_INT_DOUBLE ? read_int(c, &n) : read_long(c, &n))) return false;
        *out = weir_f64((double)n);
        return true;
    }
    case LEAF_FLOAT: out->type = WEIR_T_F64; return read_float(c, &out->f);
    case LEAF_DOUBLE: out->type = WEIR_T_F64; return read_double(c, &out->f);
    case LEAF_STRING:
        out->type = WEIR_T_STR;
        if (!read_sized(c, &out->p, &out->len)) return false;
        return is_utf8((const uint8_t *)out->p, out->len) || wrong(c, "text that is not UTF-8");
    case LEAF_BYTES: out->type = WEIR_T_BYTES; return read_sized(c, &out->p, &out->len);
    case LEAF_FIXED: *out = weir_bytes(c->p, l->type->size); return skip_bytes(c, l->type->size);
    case LEAF_ENUM: return read_enum(c, l, out);
    case LEAF_SKIP: return skip(c, l->type, 0);
    case LEAF_MISFIT:
        return wrong(c, l->type->kind == WEIR_AVRO_NULL ? "null, which the reader does not take" : "a union branch that the reader does not take");
    }
    return wrong(c, "a step that does not exist");
}

static bool run_step(cursor *c, const step *s, weir_datum *row) {
    weir_datum unused;
    const leaf *l = s->leaves;
    if (s->branch_count) {
        int64_t branch;
        if (!read_long(c, &branch)) return false;
        if (branch < 0 || branch >= s->branch_count) return wrong(c, "a union branch that does not exist");
        l += branch;
    }
    return read_leaf(c, l, s->slot < 0 ? &unused : &row[s->slot]);
}

/* The branch of a record that may be null; *ret_there: whether its members follow. */
static bool read_presence(cursor *c, const step *s, weir_datum *row, bool *ret_there) {
    int64_t branch;
    if (!read_long(c, &branch)) return false;
    if (branch < 0 || branch >= s->branch_count) return wrong(c, "a union branch that does not exist");
    *ret_there = branch != s->null_branch;
    if (s->slot < 0) return *ret_there || wrong(c, "null, which the reader does not take");
    row[s->slot] = weir_bool(*ret_there);
    for (int i = 1; !*ret_there && i <= s->span; i++) row[s->slot + i] = weir_null();
    return true;
}

weir_status weir_avro_decode(const weir_avro_plan *plan, const void *bytes, size_t len, weir_datum *row, weir_err *err) {
    const uint8_t *start = bytes;
    cursor c = {.p = start, .end = start + len};
    if (len > INT32_MAX) return WEIR_REJECT(err, WEIR_EDATA, "a record of %zu bytes, more than 2 GiB", len);
    for (int i = 0; i < plan->step_count; i++) {
        const uint8_t *from = c.p;
        const step *s = &plan->steps[i];
        bool there = true;
        if (!(s->leaves ? run_step(&c, s, row) : read_presence(&c, s, row, &there)))
            return WEIR_REJECT(err, WEIR_EDATA, "field \"%s\" at byte %td: %s", s->name, from - start, c.why);
        if (!there) i += s->jump;
    }
    if (c.p != c.end) return WEIR_REJECT(err, WEIR_EDATA, "%td bytes are left over after the record's %td", c.end - c.p, c.p - start);
    for (int i = 0; i < plan->filler_count; i++) row[plan->fillers[i].slot] = plan->fillers[i].value;
    return WEIR_OK;
}
