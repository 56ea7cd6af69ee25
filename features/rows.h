/* Rows of a table of the offline store, wherever they are: in PostgreSQL, and in the Parquet files of compacted days, as one manifest lists them.
 *
 * Columns are asked for as the pipeline has them today; what was written under another schema is brought into that form: a column that a table or file lacks is its Avro
 * default, or null; one that was renamed or retyped is read from where it was. */
#ifndef WEIR_FEATURES_ROWS_H
#define WEIR_FEATURES_ROWS_H

#include "core/pg.h"
#include "features/duck.h"
#include "features/pipeline.h"
#include "features/view.h"

enum { WEIR_COLUMN_NAME_MAX = 63 };

typedef struct weir_wanted {
    char name[WEIR_COLUMN_NAME_MAX + 1]; /* in the table */
    char was[WEIR_COLUMN_NAME_MAX + 1]; /* what it was called once; "" */
    weir_type type;
    bool is_timestamp; /* comes as µs */
    const weir_datum *fallback; /* for rows from before it existed; NULL: null */
    bool nullable;
} weir_wanted;
/** A column of the schema, of the table's column `prefix` + its name. */
weir_status weir_wanted_field(const weir_schema_field *field, const char *prefix, weir_wanted *ret_wanted, weir_err *err) WEIR_MUST_CHECK;
/** A feature. */
weir_status weir_wanted_feature(const weir_feature_def *feature, weir_wanted *ret_wanted, weir_err *err) WEIR_MUST_CHECK;

/** How a value of a type of PostgreSQL's is carried through; what is no boolean, number, time or bytes comes as text. */
weir_wanted weir_wanted_carried(const char *type);
/** Its type in SQL, PostgreSQL's and DuckDB's. */
const char *weir_wanted_type(const weir_wanted *wanted);
/** A value of it as PostgreSQL sends it; text and bytes are borrowed. */
weir_datum weir_wanted_read(const weir_wanted *wanted, const weir_pg_field *field);

typedef struct weir_rows_query {
    const weir_pipeline *pipeline;
    const char *table; /* "features_customer" */
    const char *objects_dir; /* where files are; may be NULL as long as the manifest has none */
    int64_t from_us, to_us; /* event time, [from, to) */
    int64_t as_of_us; /* nothing that became available later */
    const char *tenant; /* NULL: all */
    bool records_only; /* rows that carry their record: no corrections */
    bool every_row; /* all rows of the files that the other conditions choose, for whoever picks them by place */
    const weir_wanted *wanted;
    int wanted_count;
} weir_rows_query;

/* A row. Text is borrowed until the callback returns. */
typedef struct weir_stored_row {
    const char *tenant, *entity;
    size_t tenant_len, entity_len;
    int64_t event_us, known_us;
    weir_source source;
    int64_t version;
    const weir_datum *values; /* [wanted_count] */
} weir_stored_row;
typedef weir_status (*weir_stored_row_fn)(void *context, const weir_stored_row *row, weir_err *err);

/** Starts a transaction in which tables and manifest agree, and stay as they are until it ends: rows of `tables` (NULL-terminated; absent ones are left out) cannot move from
 *  PostgreSQL to a file meanwhile. Ends with weir_pg_rollback. */
weir_status weir_rows_snapshot(weir_pg *pg, const weir_pipeline *pipeline, const char *const *tables, weir_err *err) WEIR_MUST_CHECK;

/** SELECT that reads the files' part with DuckDB; columns tenant, entity, event_us, known_us, source_partition, source_offset, version, c0, c1, …, place; always in the same order.
 *  place: of a row among all rows of these files, the same for every query of them in one snapshot, below WEIR_PLACES_END; in one file it ascends. An empty text: there are no
 *  such files. */
#define WEIR_PLACES_END (INT64_C(1) << 62)
weir_status weir_rows_files(weir_pg *pg, const weir_rows_query *query, weir_sql *sql, int64_t *ret_rows, weir_err *err) WEIR_MUST_CHECK;
/** Runs such a SELECT, or one with its columns before place. */
weir_status weir_rows_scan_files(weir_duck *duck, const char *select, int wanted_count, weir_stored_row_fn on_row, void *context,
                                 weir_err *err) WEIR_MUST_CHECK;
/** The part in PostgreSQL. A table that does not exist has no rows. */
weir_status weir_rows_scan_table(weir_pg *pg, const weir_rows_query *query, weir_stored_row_fn on_row, void *context, weir_err *err) WEIR_MUST_CHECK;

#endif
