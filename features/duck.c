/* DuckDB's C API: data chunks and vectors only. Of its deprecated functions one is used, duckdb_execute_prepared_streaming, because nothing else streams. */
#include "features/duck.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "core/folder.h"
#include "features/duck_library.h"

enum { FUNCTION_COLUMNS_MAX = 2048 };

struct weir_duck {
    duckdb_database database;
    duckdb_connection connection;
    char *spill_dir;
    const _Atomic bool *cancel;
};

typedef struct column {
    duckdb_type type;
    const void *data;
    uint64_t *validity; /* NULL: nothing is null */
} column;

struct weir_duck_cursor {
    duckdb_connection connection; /* its own: a connection streams one result at a time */
    duckdb_prepared_statement statement;
    duckdb_result result;
    duckdb_data_chunk chunk;
    idx_t row, row_count;
    bool ended;
    column *columns;
    int column_count;
};

struct weir_duck_chunk {
    duckdb_data_chunk chunk;
    int64_t row_count;
};

struct weir_duck_appender {
    duckdb_appender appender;
    int column_count;
    duckdb_type *types;
};

static void *zeroed(size_t size) {
    void *p = weir_mem.realloc(NULL, size);
    if (p) memset(p, 0, size);
    return p;
}

/* ---- errors ---- */

static weir_status code_of(duckdb_error_type type) {
    switch (type) {
    case DUCKDB_ERROR_IO:
    case DUCKDB_ERROR_PERMISSION: return WEIR_EIO;
    case DUCKDB_ERROR_OUT_OF_MEMORY: return WEIR_ENOMEM;
    case DUCKDB_ERROR_INTERNAL:
    case DUCKDB_ERROR_FATAL: return WEIR_EINTERNAL;
    default: return WEIR_EDATA;
    }
}

static weir_status fail(weir_err *err, weir_status code, const char *words) {
    char line[WEIR_ERR_MESSAGE_MAX];
    size_t n = 0;
    for (const char *p = words ? words : "DuckDB failed without saying why"; *p && n < sizeof line - 1; p++) {
        char c = *p == '\n' || *p == '\t' ? ' ' : *p;
        if (c == ' ' && n && line[n - 1] == ' ') continue;
        line[n++] = c;
    }
    line[n] = 0;
    return WEIR_FAIL(err, code, "%s", line);
}

static weir_status result_fail(weir_err *err, duckdb_result *result) {
    return fail(err, code_of(duckdb.result_error_type(result)), duckdb.result_error(result));
}

/* Of what failed before it had a result: all that says what kind of failure it was is how the words begin. */
static weir_status words_fail(weir_err *err, const char *words) {
    static const struct {
        const char *start;
        weir_status code;
    } kinds[] = {{"IO Error", WEIR_EIO},
                 {"Permission Error", WEIR_EIO},
                 {"Out of Memory Error", WEIR_ENOMEM},
                 {"INTERNAL Error", WEIR_EINTERNAL},
                 {"FATAL Error", WEIR_EINTERNAL}};
    weir_status code = WEIR_EDATA;
    for (size_t i = 0; words && i < sizeof kinds / sizeof *kinds; i++)
        if (!strncmp(words, kinds[i].start, strlen(kinds[i].start))) code = kinds[i].code;
    return fail(err, code, words);
}

/* ---- the database ---- */

static weir_status make_spill_dir(weir_duck *duck, weir_err *err) {
    const char *base = getenv("TMPDIR");
    if (!base || !*base) base = "/tmp";
    size_t size = strlen(base) + sizeof "/weir-XXXXXX";
    char *path = weir_mem.realloc(NULL, size);
    if (!path) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a path");
    snprintf(path, size, "%s/weir-XXXXXX", base);
    if (!mkdtemp(path)) {
        weir_status st = WEIR_FAIL(err, WEIR_EIO, "cannot make a folder in %s: %s", base, strerror(errno));
        weir_mem.realloc(path, 0);
        return st;
    }
    duck->spill_dir = path;
    return WEIR_OK;
}

static weir_status configure(weir_duck *duck, weir_err *err) {
    static const char *const settings[] = {
        "SET memory_limit='1GB'", "SET threads=2", "SET autoinstall_known_extensions=false", "SET autoload_known_extensions=false", "SET TimeZone='UTC'", NULL};
    weir_status st = WEIR_OK;
    for (int i = 0; !st && settings[i]; i++) st = weir_duck_exec(duck, settings[i], err);
    if (st) return st;
    weir_sql sql = {0};
    weir_sql_add(&sql, "SET temp_directory=");
    weir_sql_literal(&sql, duck->spill_dir, strlen(duck->spill_dir));
    st = weir_sql_end(&sql, err);
    if (!st) st = weir_duck_exec(duck, sql.text.data, err);
    weir_sql_done(&sql);
    return st;
}

weir_status weir_duck_new(weir_duck **ret_duck, weir_err *err) {
    weir_duck *duck = zeroed(sizeof *duck);
    if (!duck) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a database");
    char *words = NULL;
    weir_status st = weir_duck_load(err);
    if (!st) st = make_spill_dir(duck, err);
    if (!st && (duckdb.open_ext(NULL, &duck->database, NULL, &words) != DuckDBSuccess || duckdb.connect(duck->database, &duck->connection) != DuckDBSuccess))
        st = fail(err, WEIR_EINTERNAL, words);
    if (words) duckdb.free(words);
    if (!st) st = configure(duck, err);
    if (st) {
        weir_duck_free(duck);
        return st;
    }
    *ret_duck = duck;
    return WEIR_OK;
}

void weir_duck_free(weir_duck *duck) {
    if (!duck) return;
    if (duck->connection) duckdb.disconnect(&duck->connection);
    if (duck->database) duckdb.close(&duck->database);
    weir_err err; /* a folder below /tmp that stays is nobody's trouble */
    if (duck->spill_dir && weir_folder_remove(duck->spill_dir, &err)) (void)err;
    weir_mem.realloc(duck->spill_dir, 0);
    weir_mem.realloc(duck, 0);
}

weir_status weir_duck_set_memory(weir_duck *duck, int64_t bytes, weir_err *err) {
    char sql[64];
    snprintf(sql, sizeof sql, "SET memory_limit='%lldB'", (long long)bytes);
    return weir_duck_exec(duck, sql, err);
}

weir_status weir_duck_set_threads(weir_duck *duck, int threads, weir_err *err) {
    char sql[64];
    snprintf(sql, sizeof sql, "SET threads=%d", threads);
    return weir_duck_exec(duck, sql, err);
}

void weir_duck_set_cancel(weir_duck *duck, const _Atomic bool *cancel) {
    duck->cancel = cancel;
}

/* Runs what is prepared. While its other threads have all the work, this one sleeps: DuckDB's own loop spins on a lock. */
static weir_status run_prepared(const weir_duck *duck, duckdb_prepared_statement statement, duckdb_result *result, weir_err *err) {
    static const struct timespec moment = {.tv_nsec = 200000};
    duckdb_pending_result pending = NULL;
    weir_status st = WEIR_OK;
    bool stopped = false;
    if (duckdb.pending_prepared(statement, &pending) != DuckDBSuccess) st = words_fail(err, duckdb.pending_error(pending));
    duckdb_pending_state state = DUCKDB_PENDING_RESULT_NOT_READY;
    while (!st && (state == DUCKDB_PENDING_RESULT_NOT_READY || state == DUCKDB_PENDING_NO_TASKS_AVAILABLE)) {
        state = duckdb.pending_execute_task(pending);
        if (state == DUCKDB_PENDING_NO_TASKS_AVAILABLE) nanosleep(&moment, NULL);
        if (!stopped && duck->cancel && *duck->cancel) {
            stopped = true; /* and the loop goes on until the statement has ended by it: one that is only dropped leaks */
            duckdb.interrupt(duck->connection);
        }
    }
    if (!st && state == DUCKDB_PENDING_ERROR) st = words_fail(err, duckdb.pending_error(pending));
    if (!st && duckdb.execute_pending(pending, result) != DuckDBSuccess) st = result_fail(err, result);
    duckdb.destroy_pending(&pending);
    if (st && stopped) st = WEIR_RETRY(err, WEIR_ETIMEOUT, "stopped as it was asked to");
    return st;
}

weir_status weir_duck_exec(weir_duck *duck, const char *sql, weir_err *err) {
    duckdb_extracted_statements all = NULL;
    idx_t count = duckdb.extract_statements(duck->connection, sql, &all);
    weir_status st = count ? WEIR_OK : words_fail(err, duckdb.extract_statements_error(all));
    for (idx_t i = 0; !st && i < count; i++) {
        duckdb_prepared_statement statement = NULL;
        duckdb_result result = {0};
        if (duckdb.prepare_extracted_statement(duck->connection, all, i, &statement) != DuckDBSuccess) st = words_fail(err, duckdb.prepare_error(statement));
        if (!st) st = run_prepared(duck, statement, &result, err);
        duckdb.destroy_result(&result);
        duckdb.destroy_prepare(&statement);
    }
    duckdb.destroy_extracted(&all);
    return st;
}

/* ---- cursors ---- */

static weir_status open_cursor(weir_duck *duck, const char *sql, weir_duck_cursor *cursor, weir_err *err) {
    if (duckdb.connect(duck->database, &cursor->connection) != DuckDBSuccess) return fail(err, WEIR_EINTERNAL, "cannot connect to the in-memory database");
    if (duckdb.prepare(cursor->connection, sql, &cursor->statement) != DuckDBSuccess) return fail(err, WEIR_EDATA, duckdb.prepare_error(cursor->statement));
    if (duckdb.execute_prepared_streaming(cursor->statement, &cursor->result) != DuckDBSuccess) return result_fail(err, &cursor->result);
    cursor->column_count = (int)duckdb.column_count(&cursor->result);
    cursor->columns = zeroed((size_t)cursor->column_count * sizeof *cursor->columns + 1);
    if (!cursor->columns) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", cursor->column_count);
    for (int i = 0; i < cursor->column_count; i++) cursor->columns[i].type = duckdb.column_type(&cursor->result, (idx_t)i);
    return WEIR_OK;
}

weir_status weir_duck_query(weir_duck *duck, const char *sql, weir_duck_cursor **ret_cursor, weir_err *err) {
    weir_duck_cursor *cursor = zeroed(sizeof *cursor);
    if (!cursor) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a query");
    weir_status st = open_cursor(duck, sql, cursor, err);
    if (st) {
        weir_duck_cursor_free(cursor);
        return st;
    }
    *ret_cursor = cursor;
    return WEIR_OK;
}

weir_status weir_duck_next_chunk(weir_duck_cursor *cursor, int64_t *ret_rows, weir_err *err) {
    *ret_rows = 0;
    if (cursor->ended) return WEIR_OK;
    do {
        duckdb.destroy_data_chunk(&cursor->chunk); /* NULL is fine; sets it to NULL */
        cursor->chunk = duckdb.fetch_chunk(cursor->result);
        const char *words = cursor->chunk ? NULL : duckdb.result_error(&cursor->result);
        if (words && *words) return result_fail(err, &cursor->result);
        cursor->row_count = cursor->chunk ? duckdb.data_chunk_get_size(cursor->chunk) : 0;
    } while (cursor->chunk && !cursor->row_count);
    cursor->row = 0;
    for (int i = 0; cursor->chunk && i < cursor->column_count; i++) {
        duckdb_vector vector = duckdb.data_chunk_get_vector(cursor->chunk, (idx_t)i);
        cursor->columns[i].data = duckdb.vector_get_data(vector);
        cursor->columns[i].validity = duckdb.vector_get_validity(vector);
    }
    cursor->ended = !cursor->chunk;
    *ret_rows = (int64_t)cursor->row_count;
    return WEIR_OK;
}

weir_status weir_duck_next(weir_duck_cursor *cursor, bool *ret_more, weir_err *err) {
    int64_t rows = 1;
    weir_status status = WEIR_OK;
    if (!cursor->chunk || ++cursor->row >= cursor->row_count) status = weir_duck_next_chunk(cursor, &rows, err);
    *ret_more = !status && rows;
    return status;
}

void weir_duck_seek(weir_duck_cursor *cursor, int64_t row) {
    cursor->row = (idx_t)row;
}

const void *weir_duck_values(const weir_duck_cursor *cursor, int index, const uint64_t **ret_valid) {
    *ret_valid = cursor->columns[index].validity;
    return cursor->columns[index].data;
}

int weir_duck_column_count(const weir_duck_cursor *cursor) {
    return cursor->column_count;
}

weir_datum weir_duck_get(const weir_duck_cursor *cursor, int index) {
    const column *c = &cursor->columns[index];
    if (c->validity && !duckdb.validity_row_is_valid(c->validity, cursor->row)) return weir_null();
    switch (c->type) {
    case DUCKDB_TYPE_BOOLEAN: return weir_bool(((const bool *)c->data)[cursor->row]);
    case DUCKDB_TYPE_INTEGER: return weir_i64(((const int32_t *)c->data)[cursor->row]);
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ: return weir_i64(((const int64_t *)c->data)[cursor->row]);
    case DUCKDB_TYPE_DOUBLE: return weir_f64(((const double *)c->data)[cursor->row]);
    case DUCKDB_TYPE_VARCHAR:
    case DUCKDB_TYPE_BLOB: {
        duckdb_string_t *text = (duckdb_string_t *)c->data + cursor->row;
        weir_datum d = weir_str(duckdb.string_t_data(text), duckdb.string_t_length(*text));
        if (c->type == DUCKDB_TYPE_BLOB) d.type = WEIR_T_BYTES;
        return d;
    }
    default: return weir_null();
    }
}

void weir_duck_cursor_free(weir_duck_cursor *cursor) {
    if (!cursor) return;
    duckdb.destroy_data_chunk(&cursor->chunk);
    duckdb.destroy_result(&cursor->result);
    duckdb.destroy_prepare(&cursor->statement);
    if (cursor->connection) duckdb.disconnect(&cursor->connection);
    weir_mem.realloc(cursor->columns, 0);
    weir_mem.realloc(cursor, 0);
}

weir_status weir_duck_take_chunk(weir_duck_cursor *cursor, weir_duck_chunk **ret_chunk, weir_err *err) {
    int64_t rows = 0;
    *ret_chunk = NULL;
    weir_status status = weir_duck_next_chunk(cursor, &rows, err);
    if (status || !rows) return status;
    weir_duck_chunk *chunk = zeroed(sizeof *chunk);
    if (!chunk) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows", (long long)rows);
    *chunk = (weir_duck_chunk){cursor->chunk, rows};
    cursor->chunk = NULL;
    *ret_chunk = chunk;
    return WEIR_OK;
}

int64_t weir_duck_chunk_rows(const weir_duck_chunk *chunk) {
    return chunk->row_count;
}

const void *weir_duck_chunk_values(const weir_duck_chunk *chunk, int index, const uint64_t **ret_valid) {
    duckdb_vector vector = duckdb.data_chunk_get_vector(chunk->chunk, (idx_t)index);
    *ret_valid = duckdb.vector_get_validity(vector);
    return duckdb.vector_get_data(vector);
}

void weir_duck_chunk_free(weir_duck_chunk *chunk) {
    if (!chunk) return;
    duckdb.destroy_data_chunk(&chunk->chunk);
    weir_mem.realloc(chunk, 0);
}

static weir_status fetch_number(duckdb_result *result, int64_t *ret_number, weir_err *err) {
    duckdb_data_chunk chunk = duckdb.fetch_chunk(*result);
    duckdb_vector vector = chunk ? duckdb.data_chunk_get_vector(chunk, 0) : NULL;
    uint64_t *valid = vector ? duckdb.vector_get_validity(vector) : NULL;
    bool there = vector && duckdb.data_chunk_get_size(chunk) == 1 && duckdb.column_type(result, 0) == DUCKDB_TYPE_BIGINT;
    if (there) *ret_number = !valid || duckdb.validity_row_is_valid(valid, 0) ? *(const int64_t *)duckdb.vector_get_data(vector) : 0;
    duckdb.destroy_data_chunk(&chunk);
    return there ? WEIR_OK : WEIR_FAIL(err, WEIR_EINTERNAL, "the query did not give one number");
}

weir_status weir_duck_number(weir_duck *duck, const char *sql, int64_t *ret_number, weir_err *err) {
    duckdb_prepared_statement statement = NULL;
    duckdb_result result = {0};
    weir_status status = WEIR_OK;
    if (duckdb.prepare(duck->connection, sql, &statement) != DuckDBSuccess) status = words_fail(err, duckdb.prepare_error(statement));
    if (!status) status = run_prepared(duck, statement, &result, err);
    if (!status) status = fetch_number(&result, ret_number, err);
    duckdb.destroy_result(&result);
    duckdb.destroy_prepare(&statement);
    return status;
}

/* ---- functions ---- */

weir_duck_text weir_duck_text_at(const void *data, int64_t row) {
    const duckdb_string_t *text = (const duckdb_string_t *)data + row;
    uint32_t len = text->value.inlined.length;
    return (weir_duck_text){len <= sizeof text->value.inlined.inlined ? text->value.inlined.inlined : text->value.pointer.ptr, len};
}

bool weir_duck_text_equal(const void *data, int64_t row, int64_t other) {
    const duckdb_string_t *texts = data;
    if (!memcmp(&texts[row], &texts[other], sizeof *texts)) return true; /* short ones lie in place; and long ones are often shared */
    weir_duck_text a = weir_duck_text_at(data, row), b = weir_duck_text_at(data, other);
    return a.len == b.len && !memcmp(a.p, b.p, a.len);
}

static void mark_nulls(duckdb_vector vector, const double *values, int64_t rows) {
    uint64_t *validity = NULL;
    for (int64_t r = 0; r < rows; r++) {
        if (values[r] == values[r]) continue;
        if (!validity) {
            duckdb.vector_ensure_validity_writable(vector);
            validity = duckdb.vector_get_validity(vector);
        }
        duckdb.validity_set_row_invalid(validity, (idx_t)r);
    }
}

static void function_call(duckdb_function_info info, duckdb_data_chunk chunk, duckdb_vector output) {
    const weir_duck_function *f = duckdb.scalar_function_get_extra_info(info);
    const void *data[FUNCTION_COLUMNS_MAX];
    const uint64_t *valid[FUNCTION_COLUMNS_MAX];
    double *results[FUNCTION_COLUMNS_MAX];
    const weir_duck_vectors in = {data, valid, (int64_t)duckdb.data_chunk_get_size(chunk)};
    for (int i = 0; i < f->argument_count; i++) {
        duckdb_vector vector = duckdb.data_chunk_get_vector(chunk, (idx_t)i);
        data[i] = duckdb.vector_get_data(vector);
        valid[i] = duckdb.vector_get_validity(vector);
    }
    for (int i = 0; i < f->member_count; i++) results[i] = duckdb.vector_get_data(duckdb.struct_vector_get_child(output, (idx_t)i));
    weir_err err;
    if (f->call(f->context, &in, results, &err)) {
        duckdb.scalar_function_set_error(info, err.message);
        return;
    }
    for (int i = 0; i < f->member_count; i++) mark_nulls(duckdb.struct_vector_get_child(output, (idx_t)i), results[i], in.rows);
    int64_t *ones = f->member_count ? NULL : duckdb.vector_get_data(output);
    for (int64_t i = 0; ones && i < in.rows; i++) ones[i] = 1;
}

static duckdb_type argument_type(weir_type type) {
    return type == WEIR_T_F64 ? DUCKDB_TYPE_DOUBLE : type == WEIR_T_I64 ? DUCKDB_TYPE_BIGINT : DUCKDB_TYPE_VARCHAR;
}

static void set_result(duckdb_scalar_function function, const weir_duck_function *f) {
    duckdb_logical_type number = duckdb.create_logical_type(f->member_count ? DUCKDB_TYPE_DOUBLE : DUCKDB_TYPE_BIGINT), types[FUNCTION_COLUMNS_MAX];
    const char *names[FUNCTION_COLUMNS_MAX];
    for (int i = 0; i < f->member_count; i++) {
        types[i] = number;
        names[i] = f->members[i];
    }
    duckdb_logical_type result = f->member_count ? duckdb.create_struct_type(types, names, (idx_t)f->member_count) : NULL;
    duckdb.scalar_function_set_return_type(function, result ? result : number);
    if (result) duckdb.destroy_logical_type(&result);
    duckdb.destroy_logical_type(&number);
}

weir_status weir_duck_add_function(weir_duck *duck, const weir_duck_function *f, weir_err *err) {
    if (f->argument_count > FUNCTION_COLUMNS_MAX || f->member_count > FUNCTION_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "function %s takes or gives more than %d columns", f->name, FUNCTION_COLUMNS_MAX);
    duckdb_scalar_function function = duckdb.create_scalar_function();
    duckdb.scalar_function_set_name(function, f->name);
    for (int i = 0; i < f->argument_count; i++) {
        duckdb_logical_type type = duckdb.create_logical_type(argument_type(f->arguments[i]));
        duckdb.scalar_function_add_parameter(function, type);
        duckdb.destroy_logical_type(&type);
    }
    set_result(function, f);
    duckdb.scalar_function_set_extra_info(function, (void *)(uintptr_t)f, NULL);
    duckdb.scalar_function_set_function(function, function_call);
    duckdb.scalar_function_set_volatile(function);
    duckdb.scalar_function_set_special_handling(function); /* it sees nulls */
    bool ok = duckdb.register_scalar_function(duck->connection, function) == DuckDBSuccess;
    duckdb.destroy_scalar_function(&function);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_EINTERNAL, "cannot make the function %s", f->name);
}

/* ---- appending ---- */

static weir_status appender_fail(weir_err *err, weir_duck_appender *appender) {
    duckdb_error_data data = duckdb.appender_error_data(appender->appender);
    weir_status st = fail(err, code_of(duckdb.error_data_error_type(data)), duckdb.error_data_message(data));
    duckdb.destroy_error_data(&data);
    return st;
}

static void appender_free(weir_duck_appender *appender) {
    if (appender->appender) duckdb.appender_destroy(&appender->appender);
    weir_mem.realloc(appender->types, 0);
    weir_mem.realloc(appender, 0);
}

weir_status weir_duck_append_to(weir_duck *duck, const char *table, weir_duck_appender **ret_appender, weir_err *err) {
    weir_duck_appender *appender = zeroed(sizeof *appender);
    if (!appender) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an appender");
    weir_status st = WEIR_OK;
    if (duckdb.appender_create(duck->connection, NULL, table, &appender->appender) != DuckDBSuccess) {
        st = appender_fail(err, appender);
    } else {
        appender->column_count = (int)duckdb.appender_column_count(appender->appender);
        appender->types = zeroed((size_t)appender->column_count * sizeof *appender->types + 1);
        if (!appender->types) st = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", appender->column_count);
    }
    for (int i = 0; !st && i < appender->column_count; i++) {
        duckdb_logical_type type = duckdb.appender_column_type(appender->appender, (idx_t)i);
        appender->types[i] = duckdb.get_type_id(type);
        duckdb.destroy_logical_type(&type);
    }
    if (st) {
        appender_free(appender);
        return st;
    }
    *ret_appender = appender;
    return WEIR_OK;
}

static duckdb_state append_datum(duckdb_appender appender, duckdb_type type, const weir_datum *d) {
    switch ((weir_type)d->type) {
    case WEIR_T_NULL: return duckdb.append_null(appender);
    case WEIR_T_BOOL: return duckdb.append_bool(appender, d->i != 0);
    case WEIR_T_I64:
        if (type == DUCKDB_TYPE_TIMESTAMP) return duckdb.append_timestamp(appender, (duckdb_timestamp){.micros = d->i});
        return duckdb.append_int64(appender, d->i);
    case WEIR_T_F64: return duckdb.append_double(appender, d->f);
    case WEIR_T_STR: return duckdb.append_varchar_length(appender, d->p, d->len);
    case WEIR_T_BYTES: return duckdb.append_blob(appender, d->p, d->len);
    }
    return DuckDBError;
}

weir_status weir_duck_append(weir_duck_appender *appender, const weir_datum *row, int count, weir_err *err) {
    if (count != appender->column_count) return WEIR_FAIL(err, WEIR_EINTERNAL, "%d values for a table of %d columns", count, appender->column_count);
    for (int i = 0; i < count; i++)
        if (append_datum(appender->appender, appender->types[i], &row[i]) != DuckDBSuccess) return appender_fail(err, appender);
    if (duckdb.appender_end_row(appender->appender) != DuckDBSuccess) return appender_fail(err, appender);
    return WEIR_OK;
}

static void set_null(duckdb_vector vector, int64_t row) {
    duckdb.vector_ensure_validity_writable(vector);
    duckdb.validity_set_row_invalid(duckdb.vector_get_validity(vector), (idx_t)row);
}

static void fill_added(duckdb_data_chunk out, int taken, const double *numbers, int number_count, char *const *texts, int64_t rows) {
    for (int k = 0; k < number_count; k++) {
        duckdb_vector vector = duckdb.data_chunk_get_vector(out, (idx_t)(taken + k));
        double *values = duckdb.vector_get_data(vector);
        for (int64_t r = 0; r < rows; r++) values[r] = numbers[r * number_count + k];
        mark_nulls(vector, values, rows);
    }
    duckdb_vector vector = duckdb.data_chunk_get_vector(out, (idx_t)(taken + number_count));
    for (int64_t r = 0; r < rows; r++) {
        if (texts[r])
            duckdb.vector_assign_string_element(vector, (idx_t)r, texts[r]);
        else
            set_null(vector, r);
    }
}

/* The types of the table are those of the chunk that is made: DuckDB would cast others, but vectors are only lent to one of their own type. */
static duckdb_data_chunk make_chunk(const weir_duck_appender *appender) {
    duckdb_logical_type *types = zeroed((size_t)appender->column_count * sizeof *types + 1);
    if (!types) return NULL;
    for (int i = 0; i < appender->column_count; i++) types[i] = duckdb.appender_column_type(appender->appender, (idx_t)i);
    duckdb_data_chunk chunk = duckdb.create_data_chunk(types, (idx_t)appender->column_count);
    for (int i = 0; i < appender->column_count; i++) duckdb.destroy_logical_type(&types[i]);
    weir_mem.realloc(types, 0);
    return chunk;
}

weir_status weir_duck_append_chunk(weir_duck_appender *appender, const weir_duck_chunk *chunk, int taken, const double *numbers, int number_count,
                                   char *const *texts, weir_err *err) {
    if (taken + number_count + 1 != appender->column_count)
        return WEIR_FAIL(err, WEIR_EINTERNAL, "%d columns for a table of %d", taken + number_count + 1, appender->column_count);
    duckdb_data_chunk out = make_chunk(appender);
    if (!out) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows", (long long)chunk->row_count);
    for (int i = 0; i < taken; i++)
        duckdb.vector_reference_vector(duckdb.data_chunk_get_vector(out, (idx_t)i), duckdb.data_chunk_get_vector(chunk->chunk, (idx_t)i));
    fill_added(out, taken, numbers, number_count, texts, chunk->row_count);
    duckdb.data_chunk_set_size(out, (idx_t)chunk->row_count);
    bool ok = duckdb.append_data_chunk(appender->appender, out) == DuckDBSuccess;
    weir_status status = ok ? WEIR_OK : appender_fail(err, appender);
    duckdb.destroy_data_chunk(&out);
    return status;
}

weir_status weir_duck_append_end(weir_duck_appender *appender, weir_err *err) {
    weir_status st = WEIR_OK;
    if (duckdb.appender_close(appender->appender) != DuckDBSuccess) st = appender_fail(err, appender);
    appender_free(appender);
    return st;
}

/* ---- SQL text ---- */

void weir_sql_add(weir_sql *sql, const char *format, ...) {
    char small[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0) {
        sql->failed = true;
    } else if ((size_t)n < sizeof small) {
        sql->failed |= !weir_buf_append(&sql->text, small, (size_t)n);
    } else if (!weir_buf_reserve(&sql->text, (size_t)n)) {
        sql->failed = true;
    } else {
        va_start(args, format);
        vsnprintf(sql->text.data + sql->text.len, (size_t)n + 1, format, args);
        va_end(args);
        sql->text.len += (size_t)n;
    }
}

static void add_quoted(weir_sql *sql, char quote, const char *text, size_t len) {
    bool ok = weir_buf_append(&sql->text, &quote, 1);
    for (size_t i = 0; ok && i < len; i++) ok = (text[i] != quote || weir_buf_append(&sql->text, &quote, 1)) && weir_buf_append(&sql->text, text + i, 1);
    sql->failed |= !ok || !weir_buf_append(&sql->text, &quote, 1);
}

void weir_sql_literal(weir_sql *sql, const char *text, size_t len) {
    add_quoted(sql, '\'', text, len);
}

void weir_sql_name(weir_sql *sql, const char *name) {
    add_quoted(sql, '"', name, strlen(name));
}

weir_status weir_sql_end(const weir_sql *sql, weir_err *err) {
    return sql->failed ? WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an SQL statement") : WEIR_OK;
}

void weir_sql_done(weir_sql *sql) {
    weir_buf_done(&sql->text);
}

const char *weir_sql_type(weir_type type) {
    switch (type) {
    case WEIR_T_BOOL: return "BOOLEAN";
    case WEIR_T_I64: return "BIGINT";
    case WEIR_T_F64: return "DOUBLE";
    case WEIR_T_BYTES: return "BLOB";
    default: return "VARCHAR";
    }
}

/* ---- file names ---- */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcasecmp(text + n - m, end);
}

static bool has_extension(const char *path, const char *const *extensions) {
    for (; *extensions; extensions++) {
        char packed[16];
        snprintf(packed, sizeof packed, "%s.gz", *extensions);
        if (ends_with(path, *extensions) || ends_with(path, packed)) return true;
    }
    return false;
}

weir_file_format weir_file_format_of(const char *path) {
    static const char *const csv[] = {".csv", ".tsv", ".txt", NULL}, *const json[] = {".json", ".jsonl", ".ndjson", NULL};
    if (ends_with(path, ".parquet") || ends_with(path, ".pq")) return WEIR_FILE_PARQUET;
    if (has_extension(path, csv)) return WEIR_FILE_CSV;
    return has_extension(path, json) ? WEIR_FILE_JSON : WEIR_FILE_UNKNOWN;
}

void weir_sql_copy_options(weir_sql *sql, const char *path) {
    weir_sql_copy_options_as(sql, weir_file_format_of(path), path);
}

void weir_sql_copy_options_as(weir_sql *sql, weir_file_format format, const char *path) {
    static const char *const formats[] = {
        [WEIR_FILE_UNKNOWN] = "", [WEIR_FILE_PARQUET] = "parquet, COMPRESSION zstd", [WEIR_FILE_CSV] = "csv, HEADER true", [WEIR_FILE_JSON] = "json"};
    weir_sql_add(sql, "FORMAT %s%s%s", formats[format], format == WEIR_FILE_CSV && strstr(path, ".tsv") ? ", DELIMITER '\t'" : "",
                 ends_with(path, ".gz") ? ", COMPRESSION gzip" : "");
}
