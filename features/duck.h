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

/* Rows that a function makes, as a table function of SQL's: `SELECT * FROM name()`. They are asked for in order, by one thread. */
typedef struct weir_duck_table {
    const char *name;
    const char *const *columns; /* [column_count] names; all are BIGINT when `longs`, else DOUBLE; NaN is null */
    int column_count;
    bool longs;
    int64_t row_count; /* about; for the planner */
    /** Fills up to `capacity` rows: column c goes to columns[c] (double or int64_t [capacity]). *ret_rows 0: that was all. */
    weir_status (*fill)(void *context, void *const *columns, int64_t capacity, int64_t *ret_rows, weir_err *err);
    void *context;
} weir_duck_table;
/** table and what it points to outlive the database. A failing fill fails the query with its message. */
weir_status weir_duck_add_table(weir_duck *duck, const weir_duck_table *table, weir_err *err) WEIR_MUST_CHECK;

/* Fast inserts. */
typedef struct weir_duck_appender weir_duck_appender;
weir_status weir_duck_append_to(weir_duck *duck, const char *table, weir_duck_appender **ret_appender, weir_err *err) WEIR_MUST_CHECK;
/** One value for each column of the table; I64 goes into TIMESTAMP columns as micros. */
weir_status weir_duck_append(weir_duck_appender *appender, const weir_datum *row, int count, weir_err *err) WEIR_MUST_CHECK;
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
#define WEIR_FILE_FORMATS ".parquet, .csv, .tsv, .jsonl or .json, the text ones also with .gz"

#endif
