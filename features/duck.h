/* DuckDB as Weir uses it to read and write files of users: an in-memory database that spills, errors as values, streamed results, appended rows.
 * No type of DuckDB's appears here. */
#ifndef WEIR_FEATURES_DUCK_H
#define WEIR_FEATURES_DUCK_H

#include "core/mem.h"
#include "core/row.h"

typedef struct weir_duck weir_duck;

/** An empty database: at most 1 GB of memory and 2 threads, the rest spills to a folder of its own below $TMPDIR (/tmp), removed by weir_duck_free. UTC; extensions are never
 *  downloaded. */
weir_status weir_duck_new(weir_duck **ret_duck, weir_err *err) WEIR_MUST_CHECK;
/** Changes how much memory it may hold before it spills, in bytes. */
weir_status weir_duck_set_memory(weir_duck *duck, int64_t bytes, weir_err *err) WEIR_MUST_CHECK;
/** How many threads its queries may have. */
weir_status weir_duck_set_threads(weir_duck *duck, int threads, weir_err *err) WEIR_MUST_CHECK;
/** Statements of weir_duck_exec and weir_duck_number end with WEIR_ETIMEOUT soon after *cancel is true; NULL: they run to their end. Borrowed. */
void weir_duck_set_cancel(weir_duck *duck, const _Atomic bool *cancel);
void weir_duck_free(weir_duck *duck); /* after its cursors and appenders */

/** Runs a statement. Errors: WEIR_EIO (files, disk), WEIR_ENOMEM, else WEIR_EDATA; the message is DuckDB's, on one line. */
weir_status weir_duck_exec(weir_duck *duck, const char *sql, weir_err *err) WEIR_MUST_CHECK;

/* Rows of a query, streamed: memory stays bounded however many there are. Several cursors may be open at once. */
typedef struct weir_duck_cursor weir_duck_cursor;
weir_status weir_duck_query(weir_duck *duck, const char *sql, weir_duck_cursor **ret_cursor, weir_err *err) WEIR_MUST_CHECK;
/** Moves to the first or next row; *ret_more false past the end. */
weir_status weir_duck_next(weir_duck_cursor *cursor, bool *ret_more, weir_err *err) WEIR_MUST_CHECK;
int weir_duck_column_count(const weir_duck_cursor *cursor);
/** A value of the current row: BOOLEAN, INTEGER, BIGINT, DOUBLE, VARCHAR, BLOB and TIMESTAMP (as micros) columns; text is borrowed until weir_duck_next. */
weir_datum weir_duck_get(const weir_duck_cursor *cursor, int column);
void weir_duck_cursor_free(weir_duck_cursor *cursor);

/* The same rows in chunks, a column at a time. */
/** Moves to the next chunk; *ret_rows 0 past the end. weir_duck_get then reads the row that weir_duck_seek chose. Not to be mixed with weir_duck_next. */
weir_status weir_duck_next_chunk(weir_duck_cursor *cursor, int64_t *ret_rows, weir_err *err) WEIR_MUST_CHECK;
static inline bool weir_duck_bit(const uint64_t *bits, int64_t row) {
    return !bits || (bits[row / 64] >> (row % 64) & 1);
}
void weir_duck_seek(weir_duck_cursor *cursor, int64_t row);
/** Values of a DOUBLE, BIGINT, INTEGER or TIMESTAMP column of the chunk, as they lie in memory; *ret_valid: see weir_duck_bit. */
const void *weir_duck_values(const weir_duck_cursor *cursor, int column, const uint64_t **ret_valid);

/* The same chunks as objects of their own, which other threads may read and which live after their cursor. Not to be mixed with the two above. */
typedef struct weir_duck_chunk weir_duck_chunk;
/** *ret_chunk NULL past the end. */
weir_status weir_duck_take_chunk(weir_duck_cursor *cursor, weir_duck_chunk **ret_chunk, weir_err *err) WEIR_MUST_CHECK;
int64_t weir_duck_chunk_rows(const weir_duck_chunk *chunk);
/** As weir_duck_values; of VARCHAR columns for weir_duck_text_at. */
const void *weir_duck_chunk_values(const weir_duck_chunk *chunk, int column, const uint64_t **ret_valid);
void weir_duck_chunk_free(weir_duck_chunk *chunk);

/* A function of SQL's, called for vectors of rows, by as many threads at once as the query has. */
typedef struct weir_duck_vectors {
    const void *const *data; /* by argument: int64_t, double, int32_t, or text for weir_duck_text */
    const uint64_t *const *valid; /* by argument; see weir_duck_bit */
    int64_t rows;
} weir_duck_vectors;
typedef struct weir_duck_text {
    const char *p;
    size_t len;
} weir_duck_text;
weir_duck_text weir_duck_text_at(const void *data, int64_t row); /* borrowed until the call returns */
/** Whether two rows hold the same text. */
bool weir_duck_text_equal(const void *data, int64_t row, int64_t other);

typedef struct weir_duck_function {
    const char *name;
    const weir_type *arguments; /* [argument_count] I64, F64 or STR */
    int argument_count;
    const char *const *members; /* [member_count] the result is a STRUCT of doubles, NaN is null; */
    int member_count; /* 0: it is the BIGINT 1, so that sum() of it tells how many rows were seen */
    /** results [member_count][in->rows]. A failing call fails the query with its message. */
    weir_status (*call)(void *context, const weir_duck_vectors *in, double *const *results, weir_err *err);
    void *context;
} weir_duck_function;
/** function and what it points to outlive the queries that use it. It is never folded into a constant. */
weir_status weir_duck_add_function(weir_duck *duck, const weir_duck_function *function, weir_err *err) WEIR_MUST_CHECK;
/** Runs a query whose only row is one BIGINT; null is 0. */
weir_status weir_duck_number(weir_duck *duck, const char *sql, int64_t *ret_number, weir_err *err) WEIR_MUST_CHECK;

/* Fast inserts. */
typedef struct weir_duck_appender weir_duck_appender;
weir_status weir_duck_append_to(weir_duck *duck, const char *table, weir_duck_appender **ret_appender, weir_err *err) WEIR_MUST_CHECK;
/** One value for each column of the table; I64 goes into TIMESTAMP columns as micros. */
weir_status weir_duck_append(weir_duck_appender *appender, const weir_datum *row, int count, weir_err *err) WEIR_MUST_CHECK;
/** As many rows as the chunk has: of it the first `taken` columns, whatever their types, then numbers [number_count] of [rows][number_count], NaN is null, then a text, NULL is null. These are the
 *  columns of the table in its order: the latter DOUBLE and VARCHAR. The chunk stays the caller's. */
weir_status weir_duck_append_chunk(weir_duck_appender *appender, const weir_duck_chunk *chunk, int taken, const double *numbers, int number_count,
                                   char *const *texts, weir_err *err) WEIR_MUST_CHECK;
/** Writes what is buffered and frees the appender, also when it fails. */
weir_status weir_duck_append_end(weir_duck_appender *appender, weir_err *err) WEIR_MUST_CHECK;

/* SQL text in the making. Nothing needs checking until weir_sql_end. */
typedef struct weir_sql {
    weir_buf text;
    bool failed;
} weir_sql;
void weir_sql_add(weir_sql *sql, const char *format, ...) WEIR_PRINTF(2, 3);
void weir_sql_literal(weir_sql *sql, const char *text, size_t len); /* 'it''s' */
void weir_sql_name(weir_sql *sql, const char *name); /* "a ""b""" */
weir_status weir_sql_end(const weir_sql *sql, weir_err *err) WEIR_MUST_CHECK; /* WEIR_ENOMEM when something could not be added */
void weir_sql_done(weir_sql *sql);

/** Column type that holds a datum's type: BOOLEAN, BIGINT, DOUBLE, VARCHAR, BLOB. */
const char *weir_sql_type(weir_type type);

/* Files that are read and written, known by extension; CSV and JSON also with .gz. */
typedef enum weir_file_format { WEIR_FILE_UNKNOWN, WEIR_FILE_PARQUET, WEIR_FILE_CSV, WEIR_FILE_JSON } weir_file_format;
weir_file_format weir_file_format_of(const char *path);
/** "FORMAT parquet, COMPRESSION zstd" and the like, for COPY … TO a file of that name. */
void weir_sql_copy_options(weir_sql *sql, const char *path);
/** The same for a file of another name: the format is said, how it is packed and what stands between its columns is the name's. */
void weir_sql_copy_options_as(weir_sql *sql, weir_file_format format, const char *path);
#define WEIR_FILE_FORMATS ".parquet, .csv, .tsv, .jsonl or .json, the text ones also with .gz"

#endif
