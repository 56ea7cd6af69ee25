/* A record schema as columns: nested records are flattened, unions of null and one type become nullable columns. */
#include <stdio.h>
#include <stdlib.h>

#include "core/avro_type.h"

#define COLUMNS_MAX 4096
#define NESTING_MAX 16

static weir_type datum_type(weir_avro_kind kind) {
    switch (kind) {
    case WEIR_AVRO_BOOLEAN: return WEIR_T_BOOL;
    case WEIR_AVRO_INT:
    case WEIR_AVRO_LONG: return WEIR_T_I64;
    case WEIR_AVRO_FLOAT:
    case WEIR_AVRO_DOUBLE: return WEIR_T_F64;
    case WEIR_AVRO_STRING:
    case WEIR_AVRO_ENUM: return WEIR_T_STR;
    case WEIR_AVRO_BYTES:
    case WEIR_AVRO_FIXED: return WEIR_T_BYTES;
    default: return WEIR_T_NULL;
    }
}

/* False when values of the type do not fit one column. */
static bool column_of(const weir_avro_type *type, weir_avro_column *ret_column) {
    weir_avro_column column = {.type = type, .null_branch = -1};
    if (type->kind == WEIR_AVRO_UNION) {
        if (type->count < 1 || type->count > 2) return false;
        column.branch_count = type->count;
        for (int i = 0; i < type->count; i++) {
            if (type->branches[i]->kind == WEIR_AVRO_NULL)
                column.null_branch = i;
            else
                column.value_branch = i;
        }
        if (type->count == 2 && column.null_branch < 0) return false;
        column.type = type->branches[type->count == 1 ? 0 : column.value_branch];
    }
    if (column.type->kind > WEIR_AVRO_ENUM) return false;
    *ret_column = column;
    return true;
}

const weir_avro_type *weir_avro_record_of(const weir_avro_type *type, int *ret_null_branch) {
    *ret_null_branch = -1;
    if (type->kind == WEIR_AVRO_RECORD) return type;
    if (type->kind != WEIR_AVRO_UNION || type->count != 2) return NULL;
    int null = type->branches[0]->kind == WEIR_AVRO_NULL ? 0 : 1;
    if (type->branches[null]->kind != WEIR_AVRO_NULL || type->branches[1 - null]->kind != WEIR_AVRO_RECORD) return NULL;
    *ret_null_branch = null;
    return type->branches[1 - null];
}

static bool grow(weir_schema *schema) {
    int capacity = schema->capacity ? 2 * schema->capacity : 16;
    weir_schema_field *fields = weir_mem.realloc(schema->fields, (size_t)capacity * sizeof *fields);
    if (!fields) return false;
    schema->fields = fields;
    weir_avro_column *columns = weir_mem.realloc(schema->columns, (size_t)capacity * sizeof *columns);
    if (!columns) return false;
    schema->columns = columns;
    schema->capacity = capacity;
    return true;
}

static weir_status make_room(weir_schema *schema, weir_err *err) {
    if (schema->count == COLUMNS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "the schema has more than %d columns", COLUMNS_MAX);
    if (schema->count == schema->capacity && !grow(schema)) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
    return WEIR_OK;
}

static weir_status add_column(weir_schema *schema, const weir_avro_member *member, const char *name, weir_err *err) {
    weir_avro_column column;
    if (!column_of(member->type, &column)) {
        if (!schema->opaque) schema->opaque = name;
        return WEIR_OK;
    }
    weir_status status = make_room(schema, err);
    if (status) return status;
    weir_schema_field *field = &schema->fields[schema->count];
    *field = (weir_schema_field){
        .name = name,
        .type = datum_type(column.type->kind),
        .nullable = column.null_branch >= 0 || column.type->kind == WEIR_AVRO_NULL,
        .is_timestamp = column.type->logical != WEIR_AVRO_PLAIN,
        .has_default = member->fallback != NULL,
        .doc = member->doc,
    };
    if (member->fallback && !weir_avro_json_datum(column.type, member->fallback, &schema->doc->arena, &field->fallback))
        return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
    schema->columns[schema->count++] = column;
    return WEIR_OK;
}

/* The records around what is being flattened. */
typedef struct nesting {
    const weir_avro_type *record;
    const struct nesting *outer;
    int depth;
} nesting;

static bool is_inside(const nesting *in, const weir_avro_type *record) {
    for (; in; in = in->outer)
        if (in->record == record) return true;
    return false;
}

static weir_status flatten(weir_schema *schema, const weir_avro_type *record, const char *prefix, const nesting *outer, int *visits, weir_err *err);

/* A record that may be null: whether it is there, then its columns. */
static weir_status add_nullable(weir_schema *schema, const weir_avro_member *member, const char *name, int null_branch, const nesting *in, int *visits,
                                weir_err *err) {
    static const weir_avro_type boolean = {.kind = WEIR_AVRO_BOOLEAN, .fallback = -1};
    weir_status status = make_room(schema, err);
    if (status) return status;
    int at = schema->count++;
    schema->fields[at] = (weir_schema_field){.name = name, .type = WEIR_T_BOOL, .has_default = member->fallback != NULL, .doc = member->doc};
    if (member->fallback) schema->fields[at].fallback = weir_bool(!cJSON_IsNull(member->fallback));
    schema->columns[at] = (weir_avro_column){.type = &boolean, .branch_count = 2, .null_branch = null_branch, .value_branch = 1 - null_branch};
    if ((status = flatten(schema, member->type->branches[1 - null_branch], name, in, visits, err))) return status;
    schema->columns[at].span = schema->count - at - 1;
    for (int i = at + 1; i < schema->count; i++) schema->fields[i].nullable = true;
    return WEIR_OK;
}

static weir_status flatten(weir_schema *schema, const weir_avro_type *record, const char *prefix, const nesting *outer, int *visits, weir_err *err) {
    const nesting in = {record, outer, outer ? outer->depth + 1 : 0};
    if (in.depth > NESTING_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "field \"%s\": records are nested deeper than %d, or in themselves", prefix, NESTING_MAX);
    for (int i = 0; i < record->count; i++) {
        const weir_avro_member *member = &record->members[i];
        char name[WEIR_AVRO_NAME_MAX];
        int len = snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", member->name);
        if (len >= (int)sizeof name) return WEIR_FAIL(err, WEIR_EINVAL, "field \"%.80s…\": its dotted name is longer than %zu bytes", name, sizeof name - 1);
        /* Also bounds what records without columns, nested in each other many times, can cost. */
        if (++*visits > 4 * COLUMNS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "the schema has more than %d fields", 4 * COLUMNS_MAX);
        char *copy = weir_arena_copy(&schema->doc->arena, name, (size_t)len);
        if (!copy) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
        int null_branch;
        const weir_avro_type *inner = weir_avro_record_of(member->type, &null_branch);
        weir_status status;
        if (!inner || (null_branch >= 0 && is_inside(&in, inner))) /* a list's or tree's link to itself has no end */
            status = add_column(schema, member, copy, err);
        else if (null_branch < 0)
            status = flatten(schema, inner, copy, &in, visits, err);
        else
            status = add_nullable(schema, member, copy, null_branch, &in, visits, err);
        if (status) return status;
    }
    return WEIR_OK;
}

static weir_status build(weir_schema *schema, const char *json, size_t len, weir_err *err) {
    weir_status status = weir_avro_doc_parse(json, len, &schema->doc, err);
    if (status) return status;
    const weir_avro_type *root = schema->doc->root;
    if (root->kind != WEIR_AVRO_RECORD) return WEIR_FAIL(err, WEIR_EINVAL, "the schema is of type %s, expected a record", weir_avro_kind_name(root->kind));
    schema->json = weir_arena_copy(&schema->doc->arena, json, len);
    if (!schema->json || !grow(schema)) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
    int visits = 0;
    return flatten(schema, root, "", NULL, &visits, err);
}

weir_status weir_schema_parse(const char *json, size_t len, weir_schema **ret_schema, weir_err *err) {
    weir_schema *schema = weir_mem.realloc(NULL, sizeof *schema);
    if (!schema) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a schema");
    *schema = (weir_schema){0};
    weir_status status = build(schema, json, len, err);
    if (status) {
        weir_schema_free(schema);
        return status;
    }
    *ret_schema = schema;
    return WEIR_OK;
}

void weir_schema_free(weir_schema *schema) {
    if (!schema) return;
    weir_avro_doc_free(schema->doc);
    (void)weir_mem.realloc(schema->fields, 0);
    (void)weir_mem.realloc(schema->columns, 0);
    (void)weir_mem.realloc(schema, 0);
}

const char *weir_schema_name(const weir_schema *schema) {
    return schema->doc->root->name;
}
const char *weir_schema_json(const weir_schema *schema) {
    return schema->json;
}
const char *weir_schema_opaque(const weir_schema *schema) {
    return schema->opaque;
}
int weir_schema_field_count(const weir_schema *schema) {
    return schema->count;
}

const weir_schema_field *weir_schema_field_at(const weir_schema *schema, int index) {
    return index >= 0 && index < schema->count ? &schema->fields[index] : NULL;
}

int weir_schema_find(const weir_schema *schema, const char *name) {
    for (int i = 0; i < schema->count; i++)
        if (!strcmp(schema->fields[i].name, name)) return i;
    return -1;
}
