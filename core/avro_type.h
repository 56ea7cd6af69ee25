/* Avro schemas as a tree: what the codec compiles from and what compatibility is decided on. Internal to core. */
#ifndef WEIR_CORE_AVRO_TYPE_H
#define WEIR_CORE_AVRO_TYPE_H

#include <cjson/cJSON.h>

#include "core/avro.h"

#define WEIR_AVRO_JSON_MAX (1u << 20) /* a longer schema text is refused */
#define WEIR_AVRO_DEPTH_MAX 64 /* nesting of types in a schema, and of values that are skipped */
#define WEIR_AVRO_NAME_MAX 512 /* full and dotted names */

typedef enum weir_avro_kind {
    WEIR_AVRO_NULL,
    WEIR_AVRO_BOOLEAN,
    WEIR_AVRO_INT,
    WEIR_AVRO_LONG,
    WEIR_AVRO_FLOAT,
    WEIR_AVRO_DOUBLE,
    WEIR_AVRO_BYTES,
    WEIR_AVRO_STRING,
    WEIR_AVRO_FIXED,
    WEIR_AVRO_ENUM,
    WEIR_AVRO_ARRAY,
    WEIR_AVRO_MAP,
    WEIR_AVRO_UNION,
    WEIR_AVRO_RECORD,
} weir_avro_kind;

/* The logical types that change what a value means to Weir; others are read as their base type. */
typedef enum weir_avro_logical { WEIR_AVRO_PLAIN, WEIR_AVRO_TIMESTAMP_MILLIS, WEIR_AVRO_TIMESTAMP_MICROS } weir_avro_logical;

typedef struct weir_avro_type weir_avro_type;

typedef struct weir_avro_member {
    const char *name;
    const char *doc; /* may be NULL */
    const char **aliases;
    int alias_count;
    const weir_avro_type *type;
    const cJSON *fallback; /* its default; NULL when it has none */
    struct weir_avro_member *next_fallback;
} weir_avro_member;

/* Named types may refer to themselves: follow members with a depth limit or a memo. */
struct weir_avro_type {
    weir_avro_kind kind;
    weir_avro_logical logical;
    enum { WEIR_AVRO_EMPTY_UNKNOWN, WEIR_AVRO_EMPTY_BUSY, WEIR_AVRO_EMPTY_NO, WEIR_AVRO_EMPTY_YES } empty; /* YES: every value is zero bytes long */
    const char *name; /* full name of a record, enum or fixed */
    const char **aliases; /* full names */
    int alias_count;
    size_t size; /* fixed */
    int count; /* of symbols, branches or members */
    const char **symbols;
    int fallback; /* enum: index of the default symbol, -1 without */
    weir_avro_type **branches;
    weir_avro_member *members;
    weir_avro_type *items; /* array; map values */
};

/* A parsed schema text; owns everything the tree points to. */
typedef struct weir_avro_doc {
    weir_arena arena;
    cJSON *json;
    weir_avro_type *root;
} weir_avro_doc;

/** Parses any Avro schema (not only records). Errors: WEIR_EINVAL saying what is wrong and where. */
weir_status weir_avro_doc_parse(const char *text, size_t len, weir_avro_doc **ret_doc, weir_err *err) WEIR_MUST_CHECK;
void weir_avro_doc_free(weir_avro_doc *doc);
const char *weir_avro_kind_name(weir_avro_kind kind);
/** Is the JSON value a default that the type may have? For a union, one that any branch may have. */
bool weir_avro_json_fits(const weir_avro_type *type, const cJSON *json, int depth);
/** The default as a datum of the column; text points into the JSON or the type, bytes into the arena. False when memory ran out. json must fit. */
bool weir_avro_json_datum(const weir_avro_type *type, const cJSON *json, weir_arena *arena, weir_datum *ret_datum);

/* How one column of a record is encoded. */
typedef struct weir_avro_column {
    const weir_avro_type *type; /* the branch that is not null; the null type when there is no other */
    int branch_count; /* 0: no union */
    int null_branch; /* -1: none */
    int value_branch;
    int span; /* of the boolean column that says whether a record is there: how many columns after it are the record's; else 0 */
} weir_avro_column;

/** The record that the type is or, in a union with null, may be; NULL for any other type. *ret_null_branch: -1 when it is always there. */
const weir_avro_type *weir_avro_record_of(const weir_avro_type *type, int *ret_null_branch);

struct weir_schema {
    weir_avro_doc *doc;
    char *json;
    int count, capacity;
    weir_schema_field *fields;
    weir_avro_column *columns;
    const char *opaque; /* dotted name of the first member that cannot be a column; NULL when there is none */
};

/** The member of the writer's record that the reader's member reads: the one of its name, else of one of its aliases; NULL when there is none. */
const weir_avro_member *weir_avro_member_of(const weir_avro_type *writer, const weir_avro_member *r);

#endif
