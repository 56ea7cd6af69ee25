/* PostgreSQL over libpq: a connection that says RETRY when the server is away, COPY BINARY, migrations. */
#ifndef WEIR_CORE_PG_H
#define WEIR_CORE_PG_H

#include <libpq-fe.h>
#include <stdint.h>

#include "core/err.h"
#include "core/mem.h"

typedef struct weir_pg weir_pg;

/** Remembers the URL and connects lazily; a lost connection is renewed by the next call outside a transaction. One thread at a time. */
weir_status weir_pg_new(const char *url, weir_pg **ret_pg, weir_err *err) WEIR_MUST_CHECK;
void weir_pg_free(weir_pg *pg);
/** Runs one statement with text parameters (NULL is SQL NULL). *ret_result may be NULL when it is not wanted; else PQclear it.
 *  Errors: connection trouble, serialisation failures, deadlocks, shutdown: WEIR_ENET, RETRY. unique_violation: WEIR_ECONFLICT. insufficient_privilege: WEIR_EDENIED. Else WEIR_EINTERNAL, FATAL. */
weir_status weir_pg_exec(weir_pg *pg, const char *sql, int param_count, const char *const *params, PGresult **ret_result, weir_err *err) WEIR_MUST_CHECK;
/** Several statements separated by ';', no parameters, no results. */
weir_status weir_pg_script(weir_pg *pg, const char *sql, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_pg_begin(weir_pg *pg, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_pg_commit(weir_pg *pg, weir_err *err) WEIR_MUST_CHECK;
void weir_pg_rollback(weir_pg *pg); /* never fails; harmless outside a transaction */
/** begin, step, and commit when step gave OK, else rollback. */
weir_status weir_pg_transaction(weir_pg *pg, weir_status (*step)(void *context, weir_err *err), void *context, weir_err *err) WEIR_MUST_CHECK;

/** Sends rows to `COPY … FROM STDIN (FORMAT binary)`: header and trailer are added. rows holds tuples made with weir_pg_put_*. */
weir_status weir_pg_copy_in(weir_pg *pg, const char *copy_sql, const weir_buf *rows, weir_err *err) WEIR_MUST_CHECK;
bool weir_pg_put_tuple(weir_buf *rows, int column_count) WEIR_MUST_CHECK;
bool weir_pg_put_null(weir_buf *rows) WEIR_MUST_CHECK;
bool weir_pg_put_bool(weir_buf *rows, bool value) WEIR_MUST_CHECK;
bool weir_pg_put_int4(weir_buf *rows, int32_t value) WEIR_MUST_CHECK;
bool weir_pg_put_int8(weir_buf *rows, int64_t value) WEIR_MUST_CHECK;
bool weir_pg_put_float8(weir_buf *rows, double value) WEIR_MUST_CHECK;
bool weir_pg_put_bytes(weir_buf *rows, const void *bytes, size_t len) WEIR_MUST_CHECK; /* text, bytea */
bool weir_pg_put_timestamptz(weir_buf *rows, int64_t time_us) WEIR_MUST_CHECK;

/* Rows of `COPY … TO STDOUT (FORMAT binary)`, streamed. Fields point into a buffer that the next row overwrites. */
typedef struct weir_pg_field {
    int32_t len; /* -1: NULL */
    const char *data;
} weir_pg_field;
typedef weir_status (*weir_pg_row_fn)(void *context, const weir_pg_field *fields, int field_count, weir_err *err);
weir_status weir_pg_copy_out(weir_pg *pg, const char *copy_sql, weir_pg_row_fn on_row, void *context, weir_err *err) WEIR_MUST_CHECK;
int32_t weir_pg_get_int4(const weir_pg_field *field);
int64_t weir_pg_get_int8(const weir_pg_field *field);
double weir_pg_get_float8(const weir_pg_field *field);
int64_t weir_pg_get_timestamptz(const weir_pg_field *field); /* microseconds since 1970 */

/** Applies the embedded schemas/sql/NNN_*.sql that are not applied yet, in order, each in a transaction, under an advisory lock, checksums kept. */
weir_status weir_pg_migrate(weir_pg *pg, weir_err *err) WEIR_MUST_CHECK;

/* Files of schemas/ and pipelines/ that are compiled into the program; made by cmake/embed.cmake. */
typedef struct weir_embedded_file {
    const char *path; /* "schemas/sql/001_core.sql" */
    const char *data; /* NUL-terminated */
    size_t len;
} weir_embedded_file;
extern const weir_embedded_file weir_embedded_files[]; /* NULL-path-terminated, sorted by path */
const weir_embedded_file *weir_embedded_find(const char *path);

/** weir_pg_migrate with other files than the embedded ones; for tests. */
weir_status weir_pg_migrate_files(weir_pg *pg, const weir_embedded_file *files, weir_err *err) WEIR_MUST_CHECK;

#endif
