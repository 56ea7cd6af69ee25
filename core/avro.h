/* Avro: schemas compiled into plans that decode straight into rows, and the Confluent wire format.
 *
 * Records are flattened: field "features.amount_mean_1d" is the member of a nested record. A column is null, boolean, int, long, float,
 * double, string, bytes, fixed, enum (its symbol as text), a logical type over one of these (timestamp-millis becomes micros), or a union of
 * null and one of these. A union of null and a record is a boolean column of the record's name (is it there?) followed by the record's columns,
 * which are null when it is not. Other shapes (arrays, maps, wider unions) are not columns: they are skipped when
 * read, and a schema that has one cannot be written (weir_schema_opaque names it). */
#ifndef WEIR_CORE_AVRO_H
#define WEIR_CORE_AVRO_H

#include "core/err.h"
#include "core/mem.h"
#include "core/row.h"

typedef struct weir_schema weir_schema;

typedef struct weir_schema_field {
    const char *name; /* dotted */
    weir_type type; /* what a non-null value has; int and long are I64, float and double F64 */
    bool nullable; /* union with null, or inside a record that is */
    bool is_timestamp; /* timestamp-micros or -millis */
    bool has_default;
    weir_datum fallback; /* the default, when has_default */
    const char *doc; /* may be NULL */
} weir_schema_field;

/** Parses and compiles a record schema. Errors: WEIR_EINVAL naming the field and what is wrong with it. */
weir_status weir_schema_parse(const char *json, size_t len, weir_schema **ret_schema, weir_err *err) WEIR_MUST_CHECK;
void weir_schema_free(weir_schema *schema);
const char *weir_schema_name(const weir_schema *schema); /* full name of the record */
const char *weir_schema_json(const weir_schema *schema); /* the text it was parsed from */
int weir_schema_field_count(const weir_schema *schema);
const weir_schema_field *weir_schema_field_at(const weir_schema *schema, int index);
/** Dotted name of the first member that cannot be a column; NULL when every member is one. */
const char *weir_schema_opaque(const weir_schema *schema);
/** Index of the column, or -1. */
int weir_schema_find(const weir_schema *schema, const char *name);

/* Decodes what `writer` wrote into the columns of `reader`: by name, promotions (int→long→double, string↔bytes), aliases, defaults for what is missing.
 * Names of records, enums and fixed types do not matter; a timestamp in milliseconds becomes microseconds. */
typedef struct weir_avro_plan weir_avro_plan;
/** Both schemas must outlive the plan. Errors: WEIR_EDATA naming the field that does not resolve. */
weir_status weir_avro_plan_new(const weir_schema *writer, const weir_schema *reader, weir_avro_plan **ret_plan, weir_err *err) WEIR_MUST_CHECK;
void weir_avro_plan_free(weir_avro_plan *plan);
/** Shapes: row [reader's field count]. Text points into bytes (or into schema and plan, for defaults and enums). The whole input must be used up.
 *  Errors: WEIR_EDATA REJECT naming the field and byte position; row is then unspecified. No allocation; thread-safe. */
weir_status weir_avro_decode(const weir_avro_plan *plan, const void *bytes, size_t len, weir_datum *row, weir_err *err) WEIR_MUST_CHECK;
/** Appends the row's encoding. Errors: WEIR_EDATA naming the field whose value does not fit its type (I64 into a double column is taken); out is then as before. */
weir_status weir_avro_encode(const weir_schema *schema, const weir_datum *row, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

/* --- Schema registry (Confluent REST API) and the wire format 0x00, 4-byte big-endian id, body. --- */

typedef struct weir_registry weir_registry; /* a client with a cache; thread-safe */
weir_status weir_registry_new(const char *url, weir_registry **ret_registry, weir_err *err) WEIR_MUST_CHECK;
void weir_registry_free(weir_registry *registry);
/** Registers (or finds) the schema under the subject. 409 incompatible: WEIR_ECONFLICT FATAL with the registry's words. Away: WEIR_ENET RETRY. */
weir_status weir_registry_register(weir_registry *registry, const char *subject, const char *schema_json, uint32_t *ret_id, weir_err *err) WEIR_MUST_CHECK;
/** The schema text of an id, heap. Unknown: WEIR_ENOTFOUND REJECT. Away: WEIR_ENET RETRY. */
weir_status weir_registry_schema(weir_registry *registry, uint32_t id, char **ret_json, weir_err *err) WEIR_MUST_CHECK;

/* Reads and writes one subject in the wire format. Not thread-safe: one per thread. */
typedef struct weir_serde weir_serde;
/** reader: what decoded rows look like and what is written; registered under the subject on first encode. Borrowed. subject may be NULL when only decoding. */
weir_status weir_serde_new(weir_registry *registry, const char *subject, const weir_schema *reader, weir_serde **ret_serde, weir_err *err) WEIR_MUST_CHECK;
void weir_serde_free(weir_serde *serde);
/** Errors: WEIR_EDATA REJECT (no magic byte, too short, undecodable), WEIR_ENOTFOUND REJECT (unknown id), WEIR_ENET RETRY (registry away). *ret_id may be NULL. */
weir_status weir_serde_decode(weir_serde *serde, const void *bytes, size_t len, weir_datum *row, uint32_t *ret_id, weir_err *err) WEIR_MUST_CHECK;
/** Appends header and body. */
weir_status weir_serde_encode(weir_serde *serde, const weir_datum *row, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

#endif
