/* Avro 1.11 schema parser: JSON → type tree. Names are resolved to full names, references to their definitions.
 * Source: Apache Avro 1.11 specification, "Schema Declaration" and "Names". */
#include "core/avro_type.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMED_TYPES_MAX 1024
#define ARENA_MAX ((size_t)64 << 20)

typedef struct named {
    weir_avro_type *type;
    struct named *next;
} named;

typedef struct parser {
    weir_avro_doc *doc;
    named *names;
    int name_count;
    weir_avro_member *fallbacks;
    int depth;
    weir_err *err;
} parser;

static const char *const kind_names[] = {"null",   "boolean", "int",  "long",  "float", "double", "bytes",
                                         "string", "fixed",   "enum", "array", "map",   "union",  "record"};

const char *weir_avro_kind_name(weir_avro_kind kind) {
    return kind_names[kind];
}

static weir_status parse_type(parser *p, const cJSON *json, const char *space, weir_avro_type **ret_type);

static void *take(parser *p, size_t count, size_t size) {
    void *memory = weir_arena_alloc(&p->doc->arena, count * size + 1);
    if (memory)
        memset(memory, 0, count * size + 1);
    else
        (void)WEIR_FAIL(p->err, WEIR_ENOMEM, "out of memory for a schema");
    return memory;
}

static weir_avro_type *new_type(parser *p, weir_avro_kind kind) {
    weir_avro_type *type = take(p, 1, sizeof *type);
    if (type) {
        type->kind = kind;
        type->fallback = -1;
    }
    return type;
}

/* [A-Za-z_][A-Za-z0-9_]*, with dots between such names when dotted. */
static bool is_name(const char *text, bool dotted) {
    bool start = true;
    for (const char *c = text; *c; c++) {
        bool letter = (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') || *c == '_';
        bool digit = *c >= '0' && *c <= '9';
        if (*c == '.' && dotted && !start)
            start = true;
        else if (letter || (digit && !start))
            start = false;
        else
            return false;
    }
    return !start && strlen(text) < WEIR_AVRO_NAME_MAX / 2;
}

/* "name" in namespace space → "space.name"; a dotted name is full already. */
static const char *full_name(parser *p, const char *name, const char *space) {
    char text[WEIR_AVRO_NAME_MAX];
    int len = strchr(name, '.') || !*space ? snprintf(text, sizeof text, "%s", name) : snprintf(text, sizeof text, "%s.%s", space, name);
    char *copy = weir_arena_copy(&p->doc->arena, text, (size_t)len);
    if (!copy) (void)WEIR_FAIL(p->err, WEIR_ENOMEM, "out of memory for a schema");
    return copy;
}

static const char *string_of(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static weir_avro_type *find_named(parser *p, const char *full) {
    for (named *n = p->names; n; n = n->next)
        if (!strcmp(n->type->name, full)) return n->type;
    return NULL;
}

static int primitive_of(const char *name) {
    for (int k = WEIR_AVRO_NULL; k <= WEIR_AVRO_STRING; k++)
        if (!strcmp(name, kind_names[k])) return k;
    return -1;
}

static weir_status parse_reference(parser *p, const char *name, const char *space, weir_avro_type **ret_type) {
    int primitive = primitive_of(name);
    if (primitive >= 0) return (*ret_type = new_type(p, (weir_avro_kind)primitive)) ? WEIR_OK : WEIR_ENOMEM;
    if (!is_name(name, true)) return WEIR_FAIL(p->err, WEIR_EINVAL, "\"%.80s\" is not a type name", name);
    const char *full = full_name(p, name, space);
    if (!full) return WEIR_ENOMEM;
    weir_avro_type *type = find_named(p, full);
    if (!type) type = find_named(p, name);
    if (!type) return WEIR_FAIL(p->err, WEIR_EINVAL, "type \"%.80s\" is not defined", name);
    *ret_type = type;
    return WEIR_OK;
}

/* A JSON array of names; with a space they become full names. */
static weir_status parse_names(parser *p, const cJSON *array, const char *what, const char *space, const char ***ret_names, int *ret_count) {
    int count = cJSON_GetArraySize(array), n = 0;
    const char **names = take(p, (size_t)count, sizeof *names);
    if (!names) return WEIR_ENOMEM;
    const cJSON *item;
    cJSON_ArrayForEach(item, array) {
        if (!cJSON_IsString(item) || !is_name(item->valuestring, space != NULL))
            return WEIR_FAIL(p->err, WEIR_EINVAL, "%s holds something that is not a name", what);
        names[n] = space ? full_name(p, item->valuestring, space) : item->valuestring;
        if (!names[n++]) return WEIR_ENOMEM;
    }
    *ret_names = names;
    *ret_count = count;
    return WEIR_OK;
}

/* Gives a record, enum or fixed its full name and makes it known; *ret_space is the namespace of what is inside. */
static weir_status define_name(parser *p, const cJSON *json, const char *space, weir_avro_type *type, const char **ret_space) {
    const char *name = string_of(json, "name"), *own = string_of(json, "namespace");
    if (!name || !is_name(name, true)) return WEIR_FAIL(p->err, WEIR_EINVAL, "a %s has no valid \"name\"", kind_names[type->kind]);
    if (own && *own && !is_name(own, true)) return WEIR_FAIL(p->err, WEIR_EINVAL, "\"%.80s\" is not a namespace", own);
    if (primitive_of(name) >= 0) return WEIR_FAIL(p->err, WEIR_EINVAL, "a %s may not be called \"%s\"", kind_names[type->kind], name);
    type->name = full_name(p, name, own ? own : space);
    if (!type->name) return WEIR_ENOMEM;
    if (find_named(p, type->name)) return WEIR_FAIL(p->err, WEIR_EINVAL, "type \"%s\" is defined twice", type->name);
    if (++p->name_count > NAMED_TYPES_MAX) return WEIR_FAIL(p->err, WEIR_EINVAL, "more than %d named types", NAMED_TYPES_MAX);
    const char *dot = strrchr(type->name, '.');
    *ret_space = dot ? weir_arena_copy(&p->doc->arena, type->name, (size_t)(dot - type->name)) : "";
    named *n = take(p, 1, sizeof *n);
    if (!n || !*ret_space) return WEIR_FAIL(p->err, WEIR_ENOMEM, "out of memory for a schema");
    *n = (named){type, p->names};
    p->names = n;
    const cJSON *aliases = cJSON_GetObjectItemCaseSensitive(json, "aliases");
    return aliases ? parse_names(p, aliases, "aliases", *ret_space, &type->aliases, &type->alias_count) : WEIR_OK;
}

static weir_status parse_member(parser *p, const cJSON *json, const char *space, weir_avro_member *member) {
    member->name = string_of(json, "name");
    if (!member->name || !is_name(member->name, false)) return WEIR_FAIL(p->err, WEIR_EINVAL, "a field has no valid \"name\"");
    member->doc = string_of(json, "doc");
    member->fallback = cJSON_GetObjectItemCaseSensitive(json, "default");
    const cJSON *type_json = cJSON_GetObjectItemCaseSensitive(json, "type");
    weir_status status;
    if (!type_json)
        status = WEIR_FAIL(p->err, WEIR_EINVAL, "no \"type\"");
    else {
        weir_avro_type *type = NULL;
        status = parse_type(p, type_json, space, &type);
        member->type = type;
    }
    const cJSON *aliases = cJSON_GetObjectItemCaseSensitive(json, "aliases");
    if (!status && aliases) status = parse_names(p, aliases, "aliases", NULL, &member->aliases, &member->alias_count);
    if (status) return p->err ? weir_err_prefix(p->err, "field \"%s\"", member->name) : status;
    if (member->fallback) {
        member->next_fallback = p->fallbacks;
        p->fallbacks = member;
    }
    return WEIR_OK;
}

static int compare_members(const void *a, const void *b) {
    return strcmp((*(weir_avro_member *const *)a)->name, (*(weir_avro_member *const *)b)->name);
}

static weir_status check_members_distinct(parser *p, const weir_avro_type *type) {
    weir_avro_member **sorted = take(p, (size_t)type->count, sizeof *sorted);
    if (!sorted) return WEIR_ENOMEM;
    for (int i = 0; i < type->count; i++) sorted[i] = &type->members[i];
    qsort(sorted, (size_t)type->count, sizeof *sorted, compare_members);
    for (int i = 1; i < type->count; i++)
        if (!strcmp(sorted[i - 1]->name, sorted[i]->name)) return WEIR_FAIL(p->err, WEIR_EINVAL, "field \"%s\" is there twice", sorted[i]->name);
    return WEIR_OK;
}

static weir_status parse_record(parser *p, const cJSON *json, const char *space, weir_avro_type *type) {
    const char *inner;
    weir_status status = define_name(p, json, space, type, &inner);
    if (status) return status;
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(json, "fields");
    if (!cJSON_IsArray(fields)) return WEIR_FAIL(p->err, WEIR_EINVAL, "record \"%s\" has no \"fields\"", type->name);
    type->members = take(p, (size_t)cJSON_GetArraySize(fields), sizeof *type->members);
    if (!type->members) return WEIR_ENOMEM;
    const cJSON *field;
    cJSON_ArrayForEach(field, fields) {
        status = parse_member(p, field, inner, &type->members[type->count]);
        if (status) return status;
        type->count++;
    }
    return check_members_distinct(p, type);
}

static weir_status parse_enum(parser *p, const cJSON *json, const char *space, weir_avro_type *type) {
    const char *inner;
    weir_status status = define_name(p, json, space, type, &inner);
    if (status) return status;
    const cJSON *symbols = cJSON_GetObjectItemCaseSensitive(json, "symbols");
    if (!cJSON_IsArray(symbols)) return WEIR_FAIL(p->err, WEIR_EINVAL, "enum \"%s\" has no \"symbols\"", type->name);
    status = parse_names(p, symbols, "symbols", NULL, &type->symbols, &type->count);
    if (status) return status;
    if (type->count > 4096) return WEIR_FAIL(p->err, WEIR_EINVAL, "enum \"%s\" has more than 4096 symbols", type->name);
    const cJSON *fallback = cJSON_GetObjectItemCaseSensitive(json, "default");
    for (int i = 0; i < type->count; i++) {
        for (int k = 0; k < i; k++)
            if (!strcmp(type->symbols[i], type->symbols[k]))
                return WEIR_FAIL(p->err, WEIR_EINVAL, "enum \"%s\" has symbol %s twice", type->name, type->symbols[i]);
        if (cJSON_IsString(fallback) && !strcmp(fallback->valuestring, type->symbols[i])) type->fallback = i;
    }
    if (fallback && type->fallback < 0) return WEIR_FAIL(p->err, WEIR_EINVAL, "the default of enum \"%s\" is not one of its symbols", type->name);
    return WEIR_OK;
}

static weir_status parse_fixed(parser *p, const cJSON *json, const char *space, weir_avro_type *type) {
    const char *inner;
    weir_status status = define_name(p, json, space, type, &inner);
    if (status) return status;
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(json, "size");
    if (!cJSON_IsNumber(size) || size->valuedouble < 0 || size->valuedouble > 1 << 30 || size->valuedouble != floor(size->valuedouble))
        return WEIR_FAIL(p->err, WEIR_EINVAL, "fixed \"%s\" has no valid \"size\"", type->name);
    type->size = (size_t)size->valuedouble;
    return WEIR_OK;
}

/* A union may hold each unnamed type once and each name once, and no union. */
static weir_status parse_union(parser *p, const cJSON *json, const char *space, weir_avro_type **ret_type) {
    weir_avro_type *type = new_type(p, WEIR_AVRO_UNION);
    if (!type) return WEIR_ENOMEM;
    int count = cJSON_GetArraySize(json);
    if (count > 1024) return WEIR_FAIL(p->err, WEIR_EINVAL, "a union of more than 1024 types");
    type->branches = take(p, (size_t)count, sizeof *type->branches);
    if (!type->branches) return WEIR_ENOMEM;
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        weir_avro_type *branch;
        weir_status status = parse_type(p, item, space, &branch);
        if (status) return status;
        if (branch->kind == WEIR_AVRO_UNION) return WEIR_FAIL(p->err, WEIR_EINVAL, "a union directly inside a union");
        for (int i = 0; i < type->count; i++) {
            const weir_avro_type *other = type->branches[i];
            if (other->kind == branch->kind && (!branch->name || !strcmp(other->name, branch->name)))
                return WEIR_FAIL(p->err, WEIR_EINVAL, "a union holds %s twice", branch->name ? branch->name : kind_names[branch->kind]);
        }
        type->branches[type->count++] = branch;
    }
    *ret_type = type;
    return WEIR_OK;
}

static void read_logical(const cJSON *json, weir_avro_type *type) {
    const char *logical = string_of(json, "logicalType");
    if (!logical || type->kind != WEIR_AVRO_LONG) return;
    if (!strcmp(logical, "timestamp-millis")) type->logical = WEIR_AVRO_TIMESTAMP_MILLIS;
    if (!strcmp(logical, "timestamp-micros")) type->logical = WEIR_AVRO_TIMESTAMP_MICROS;
}

static weir_status parse_object(parser *p, const cJSON *json, const char *space, weir_avro_type **ret_type) {
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(json, "type");
    if (cJSON_IsObject(kind) || cJSON_IsArray(kind)) return parse_type(p, kind, space, ret_type);
    if (!cJSON_IsString(kind)) return WEIR_FAIL(p->err, WEIR_EINVAL, "a type without \"type\"");
    const char *name = kind->valuestring;
    for (int k = WEIR_AVRO_FIXED; k <= WEIR_AVRO_RECORD; k++) {
        if (k == WEIR_AVRO_UNION || strcmp(name, kind_names[k])) continue;
        weir_avro_type *type = new_type(p, (weir_avro_kind)k);
        if (!type) return WEIR_ENOMEM;
        *ret_type = type;
        if (k == WEIR_AVRO_RECORD) return parse_record(p, json, space, type);
        if (k == WEIR_AVRO_ENUM) return parse_enum(p, json, space, type);
        if (k == WEIR_AVRO_FIXED) return parse_fixed(p, json, space, type);
        const char *key = k == WEIR_AVRO_ARRAY ? "items" : "values";
        const cJSON *items = cJSON_GetObjectItemCaseSensitive(json, key);
        if (!items) return WEIR_FAIL(p->err, WEIR_EINVAL, "a type \"%s\" without \"%s\"", name, key);
        return parse_type(p, items, space, &type->items);
    }
    weir_status status = parse_reference(p, name, space, ret_type);
    if (!status) read_logical(json, *ret_type);
    return status;
}

static weir_status parse_type(parser *p, const cJSON *json, const char *space, weir_avro_type **ret_type) {
    if (p->depth >= WEIR_AVRO_DEPTH_MAX) return WEIR_FAIL(p->err, WEIR_EINVAL, "types are nested deeper than %d", WEIR_AVRO_DEPTH_MAX);
    p->depth++;
    weir_status status;
    if (cJSON_IsString(json))
        status = parse_reference(p, json->valuestring, space, ret_type);
    else if (cJSON_IsArray(json))
        status = parse_union(p, json, space, ret_type);
    else if (cJSON_IsObject(json))
        status = parse_object(p, json, space, ret_type);
    else
        status = WEIR_FAIL(p->err, WEIR_EINVAL, "a type must be a name, an object or an array");
    p->depth--;
    return status;
}

/* A type is always zero bytes long or never: skipping a long array of such values must not loop over them. */
static bool find_empty(weir_avro_type *type) {
    if (type->empty != WEIR_AVRO_EMPTY_UNKNOWN) return type->empty == WEIR_AVRO_EMPTY_YES;
    type->empty = WEIR_AVRO_EMPTY_BUSY;
    bool empty = type->kind == WEIR_AVRO_NULL || (type->kind == WEIR_AVRO_FIXED && type->size == 0);
    if (type->kind == WEIR_AVRO_RECORD) empty = true;
    for (int i = 0; type->kind == WEIR_AVRO_RECORD && i < type->count; i++)
        if (!find_empty((weir_avro_type *)type->members[i].type)) empty = false;
    for (int i = 0; type->kind == WEIR_AVRO_UNION && i < type->count; i++) (void)find_empty(type->branches[i]);
    if (type->items) (void)find_empty(type->items);
    type->empty = empty ? WEIR_AVRO_EMPTY_YES : WEIR_AVRO_EMPTY_NO;
    return empty;
}

static weir_status parse_doc(weir_avro_doc *doc, const char *text, size_t len, weir_err *err) {
    doc->json = cJSON_ParseWithLength(text, len);
    if (!doc->json) return WEIR_FAIL(err, WEIR_EINVAL, "the schema is not JSON");
    parser p = {.doc = doc, .err = err};
    weir_status status = parse_type(&p, doc->json, "", &doc->root);
    if (status) return status;
    for (const weir_avro_member *m = p.fallbacks; m; m = m->next_fallback)
        if (!weir_avro_json_fits(m->type, m->fallback, 0)) return WEIR_FAIL(err, WEIR_EINVAL, "field \"%s\": its default does not fit its type", m->name);
    (void)find_empty(doc->root);
    return WEIR_OK;
}

weir_status weir_avro_doc_parse(const char *text, size_t len, weir_avro_doc **ret_doc, weir_err *err) {
    if (len > WEIR_AVRO_JSON_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "the schema has %zu bytes, more than %u", len, WEIR_AVRO_JSON_MAX);
    weir_avro_doc *doc = weir_mem.realloc(NULL, sizeof *doc);
    if (!doc) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
    *doc = (weir_avro_doc){0};
    weir_arena_init(&doc->arena, ARENA_MAX);
    weir_status status = parse_doc(doc, text, len, err);
    if (status) {
        weir_avro_doc_free(doc);
        return status;
    }
    *ret_doc = doc;
    return WEIR_OK;
}

void weir_avro_doc_free(weir_avro_doc *doc) {
    if (!doc) return;
    cJSON_Delete(doc->json);
    weir_arena_done(&doc->arena);
    (void)weir_mem.realloc(doc, 0);
}

/* Bytes in JSON are text whose code points are the bytes. Returns their number, or -1 when a code point is above 255. out may be NULL. */
static long latin1(const char *text, char *out) {
    long n = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; n++) {
        unsigned code = *c++;
        if (code >= 0x80) {
            if (code > 0xC3 || code < 0xC2 || (*c & 0xC0) != 0x80) return -1;
            code = (code & 3) << 6 | (*c++ & 0x3F);
        }
        if (out) out[n] = (char)code;
    }
    return n;
}

/* cJSON ends text at U+0000, so a default that is shorter than the fixed type had zero bytes there. */
static bool fixed_fits(const weir_avro_type *type, const char *text) {
    long n = latin1(text, NULL);
    return n >= 0 && (size_t)n <= type->size;
}

static int symbol_of(const weir_avro_type *type, const char *text) {
    for (int i = 0; i < type->count; i++)
        if (!strcmp(type->symbols[i], text)) return i;
    return -1;
}

static bool is_whole(const cJSON *json, double limit) {
    return cJSON_IsNumber(json) && json->valuedouble == floor(json->valuedouble) && json->valuedouble >= -limit && json->valuedouble < limit;
}

static bool record_fits(const weir_avro_type *type, const cJSON *json, int depth) {
    if (!cJSON_IsObject(json)) return false;
    for (int i = 0; i < type->count; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, type->members[i].name);
        if (value ? !weir_avro_json_fits(type->members[i].type, value, depth + 1) : !type->members[i].fallback) return false;
    }
    return true;
}

bool weir_avro_json_fits(const weir_avro_type *type, const cJSON *json, int depth) {
    if (depth > WEIR_AVRO_DEPTH_MAX) return false;
    switch (type->kind) {
    case WEIR_AVRO_NULL: return cJSON_IsNull(json);
    case WEIR_AVRO_BOOLEAN: return cJSON_IsBool(json);
    case WEIR_AVRO_INT: return is_whole(json, 0x1p31);
    case WEIR_AVRO_LONG: return is_whole(json, type->logical == WEIR_AVRO_TIMESTAMP_MILLIS ? 0x1p53 : 0x1p63);
    case WEIR_AVRO_FLOAT:
    case WEIR_AVRO_DOUBLE: return cJSON_IsNumber(json);
    case WEIR_AVRO_STRING: return cJSON_IsString(json);
    case WEIR_AVRO_BYTES: return cJSON_IsString(json) && latin1(json->valuestring, NULL) >= 0;
    case WEIR_AVRO_FIXED: return cJSON_IsString(json) && fixed_fits(type, json->valuestring);
    case WEIR_AVRO_ENUM: return cJSON_IsString(json) && symbol_of(type, json->valuestring) >= 0;
    case WEIR_AVRO_RECORD: return record_fits(type, json, depth);
    case WEIR_AVRO_ARRAY:
    case WEIR_AVRO_MAP: {
        if (type->kind == WEIR_AVRO_ARRAY ? !cJSON_IsArray(json) : !cJSON_IsObject(json)) return false;
        const cJSON *item;
        cJSON_ArrayForEach(item, json) if (!weir_avro_json_fits(type->items, item, depth + 1)) return false;
        return true;
    }
    case WEIR_AVRO_UNION:
        for (int i = 0; i < type->count; i++)
            if (weir_avro_json_fits(type->branches[i], json, depth + 1)) return true;
        return false;
    }
    return false;
}

bool weir_avro_json_datum(const weir_avro_type *type, const cJSON *json, weir_arena *arena, weir_datum *ret_datum) {
    if (cJSON_IsNull(json)) {
        *ret_datum = weir_null();
        return true;
    }
    switch (type->kind) {
    case WEIR_AVRO_BOOLEAN: *ret_datum = weir_bool(cJSON_IsTrue(json)); return true;
    case WEIR_AVRO_INT:
    case WEIR_AVRO_LONG: *ret_datum = weir_i64((int64_t)json->valuedouble * (type->logical == WEIR_AVRO_TIMESTAMP_MILLIS ? 1000 : 1)); return true;
    case WEIR_AVRO_FLOAT:
    case WEIR_AVRO_DOUBLE: *ret_datum = weir_f64(json->valuedouble); return true;
    case WEIR_AVRO_STRING: *ret_datum = weir_text(json->valuestring); return true;
    case WEIR_AVRO_ENUM: *ret_datum = weir_text(type->symbols[symbol_of(type, json->valuestring)]); return true;
    case WEIR_AVRO_BYTES:
    case WEIR_AVRO_FIXED: {
        size_t room = strlen(json->valuestring) + type->size + 1;
        char *bytes = weir_arena_alloc(arena, room);
        if (!bytes) return false;
        memset(bytes, 0, room);
        long n = latin1(json->valuestring, bytes);
        *ret_datum = weir_bytes(bytes, type->kind == WEIR_AVRO_FIXED ? type->size : (size_t)n);
        return true;
    }
    default: return false; /* no column has such a type */
    }
}

const weir_avro_member *weir_avro_member_of(const weir_avro_type *writer, const weir_avro_member *r) {
    for (int i = 0; i < writer->count; i++)
        if (!strcmp(writer->members[i].name, r->name)) return &writer->members[i];
    for (int i = 0; i < writer->count; i++)
        for (int k = 0; k < r->alias_count; k++)
            if (!strcmp(writer->members[i].name, r->aliases[k])) return &writer->members[i];
    return NULL;
}
