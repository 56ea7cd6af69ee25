#include "core/pg.h"

#include <stdio.h>
#include <string.h>

#include "core/pg_binary.h"

enum { COPY_CHUNK_BYTES = 1024 * 1024 };

struct weir_pg {
    PGconn *conn; /* NULL until first used */
    bool in_transaction; /* between begin and commit or rollback, whatever became of the connection */
    char url[];
};

/* libpq's messages are several lines, "ERROR:  …\nDETAIL:  …\n": one sentence is wanted, and the rest may quote data. */
static int first_line(const char *message) {
    return (int)strcspn(message, "\r\n");
}

weir_status weir_pg_new(const char *url, weir_pg **ret_pg, weir_err *err) {
    char *why = NULL;
    PQconninfoOption *parsed = PQconninfoParse(url, &why);
    /* libpq's own words quote the URL, and with it a password. */
    PQfreemem(why);
    if (!parsed) return WEIR_FAIL(err, WEIR_EINVAL, "the PostgreSQL URL is not understood; expected postgresql://user@host:port/database");
    PQconninfoFree(parsed);
    size_t len = strlen(url);
    weir_pg *pg = weir_mem.realloc(NULL, sizeof *pg + len + 1);
    if (!pg) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a PostgreSQL connection");
    *pg = (weir_pg){0};
    memcpy(pg->url, url, len + 1);
    *ret_pg = pg;
    return WEIR_OK;
}

static void drop_connection(weir_pg *pg) {
    PQfinish(pg->conn);
    pg->conn = NULL;
}

void weir_pg_free(weir_pg *pg) {
    if (!pg) return;
    drop_connection(pg);
    weir_mem.realloc(pg, 0);
}

/* Notices would go to stderr; libraries do not log. */
static void ignore_notice(void *context, const PGresult *result) {
    (void)context, (void)result;
}

static weir_status connect_now(weir_pg *pg, weir_err *err) {
    drop_connection(pg);
    /* Defaults come first, so that the URL may say otherwise. A server that vanished without a word is noticed in 20 s. */
    static const char *const keys[] = {"connect_timeout",
                                       "fallback_application_name",
                                       "keepalives_idle",
                                       "keepalives_interval",
                                       "keepalives_count",
                                       "tcp_user_timeout",
                                       "dbname",
                                       "client_encoding",
                                       NULL};
    const char *values[] = {"5", "weir", "10", "5", "2", "20000", pg->url, "UTF8", NULL};
    pg->conn = PQconnectdbParams(keys, values, 1);
    if (!pg->conn) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a PostgreSQL connection");
    PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
    PGresult *result = PQstatus(pg->conn) == CONNECTION_OK ? PQexec(pg->conn, "SET timezone TO 'UTC'") : NULL;
    bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    if (ok) return WEIR_OK;
    const char *message = PQerrorMessage(pg->conn);
    weir_status status = WEIR_RETRY(err, WEIR_ENET, "PostgreSQL is not reachable: %.*s", first_line(message), message);
    drop_connection(pg);
    return status;
}

static weir_status ensure_connected(weir_pg *pg, weir_err *err) {
    if (pg->conn && PQstatus(pg->conn) == CONNECTION_OK) return WEIR_OK;
    /* A new connection would run the rest of the transaction without its beginning. */
    if (pg->in_transaction) return WEIR_RETRY(err, WEIR_ENET, "the connection to PostgreSQL was lost inside a transaction");
    return connect_now(pg, err);
}

/* 08 connection, 53 out of resources, 57P0x shutdown and start-up, 25P03 idle in transaction, 40001 serialisation, 40P01 deadlock, 55P03 lock not available. */
static bool is_retriable(const char *sqlstate) {
    static const char *const prefixes[] = {"08", "53", "57P0", "25P03", "40001", "40P01", "55P03"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncmp(sqlstate, prefixes[i], strlen(prefixes[i]))) return true;
    return false;
}

static weir_status sql_failure(weir_pg *pg, const PGresult *result, weir_err *err) {
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE), *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!sqlstate || !message) {
        message = PQerrorMessage(pg->conn);
        if (PQstatus(pg->conn) != CONNECTION_OK) return WEIR_RETRY(err, WEIR_ENET, "the connection to PostgreSQL was lost: %.*s", first_line(message), message);
        return WEIR_FAIL(err, WEIR_EINTERNAL, "PostgreSQL: %.*s", first_line(message), message);
    }
    if (is_retriable(sqlstate) || PQstatus(pg->conn) != CONNECTION_OK) return WEIR_RETRY(err, WEIR_ENET, "PostgreSQL: SQLSTATE %s: %s", sqlstate, message);
    weir_status code = !strcmp(sqlstate, "23505") ? WEIR_ECONFLICT : !strcmp(sqlstate, "42501") ? WEIR_EDENIED : WEIR_EINTERNAL;
    return WEIR_FAIL(err, code, "PostgreSQL: SQLSTATE %s: %s", sqlstate, message);
}

/* Takes the result. */
static weir_status settle(weir_pg *pg, PGresult *result, PGresult **ret_result, weir_err *err) {
    weir_status status = WEIR_OK;
    switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY: break;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        /* The protocol is now in the middle of a COPY that nobody will finish. */
        drop_connection(pg);
        status = WEIR_FAIL(err, WEIR_EINTERNAL, "COPY needs weir_pg_copy_in or weir_pg_copy_out");
        break;
    default: status = sql_failure(pg, result, err); break;
    }
    if (status == WEIR_OK && ret_result)
        *ret_result = result;
    else
        PQclear(result);
    return status;
}

weir_status weir_pg_exec(weir_pg *pg, const char *sql, int param_count, const char *const *params, PGresult **ret_result, weir_err *err) {
    weir_status status = ensure_connected(pg, err);
    if (status != WEIR_OK) return status;
    return settle(pg, PQexecParams(pg->conn, sql, param_count, NULL, params, NULL, NULL, 0), ret_result, err);
}

weir_status weir_pg_script(weir_pg *pg, const char *sql, weir_err *err) {
    weir_status status = ensure_connected(pg, err);
    if (status != WEIR_OK) return status;
    status = settle(pg, PQexec(pg->conn, sql), NULL, err);
    if (status == WEIR_OK && pg->in_transaction && PQtransactionStatus(pg->conn) != PQTRANS_INTRANS)
        return WEIR_FAIL(err, WEIR_EINTERNAL, "the script ended the transaction that it ran in");
    return status;
}

weir_status weir_pg_begin(weir_pg *pg, weir_err *err) {
    if (pg->in_transaction) return WEIR_FAIL(err, WEIR_EINTERNAL, "a transaction is open already");
    bool had_connection = pg->conn && PQstatus(pg->conn) == CONNECTION_OK;
    weir_status status = weir_pg_script(pg, "BEGIN", err);
    /* A server that was restarted since the last call shows only now; BEGIN may be said twice. */
    if (status == WEIR_ENET && had_connection && PQstatus(pg->conn) != CONNECTION_OK) status = weir_pg_script(pg, "BEGIN", err);
    pg->in_transaction = status == WEIR_OK;
    return status;
}

weir_status weir_pg_commit(weir_pg *pg, weir_err *err) {
    if (!pg->in_transaction) return WEIR_FAIL(err, WEIR_EINTERNAL, "there is no transaction to commit");
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, "COMMIT", 0, NULL, &result, err);
    pg->in_transaction = false;
    if (status != WEIR_OK) return status;
    /* After an error in the transaction COMMIT succeeds and rolls back. */
    bool committed = !strcmp(PQcmdStatus(result), "COMMIT");
    PQclear(result);
    return committed ? WEIR_OK : WEIR_FAIL(err, WEIR_EINTERNAL, "the transaction had failed before and was rolled back");
}

void weir_pg_rollback(weir_pg *pg) {
    pg->in_transaction = false;
    if (!pg->conn) return;
    PGTransactionStatusType state = PQtransactionStatus(pg->conn);
    if (state == PQTRANS_IDLE) return;
    PGresult *result = state == PQTRANS_INTRANS || state == PQTRANS_INERROR ? PQexec(pg->conn, "ROLLBACK") : NULL;
    if (PQresultStatus(result) != PGRES_COMMAND_OK) drop_connection(pg);
    PQclear(result);
}

weir_status weir_pg_transaction(weir_pg *pg, weir_status (*step)(void *context, weir_err *err), void *context, weir_err *err) {
    weir_status status = weir_pg_begin(pg, err);
    if (status) return status;
    status = step(context, err);
    if (!status) status = weir_pg_commit(pg, err);
    if (status) weir_pg_rollback(pg);
    return status;
}

/* Reads what is left of a COPY, so that the connection can be used again. The first failure is told, unless there was one already. */
static weir_status finish_copy(weir_pg *pg, weir_status status, weir_err *err) {
    for (PGresult *result; (result = PQgetResult(pg->conn));) {
        ExecStatusType state = PQresultStatus(result);
        if (state == PGRES_COPY_IN || state == PGRES_COPY_OUT) {
            PQclear(result);
            drop_connection(pg);
            return status != WEIR_OK ? status : WEIR_FAIL(err, WEIR_EINTERNAL, "COPY did not end");
        }
        if (state != PGRES_COMMAND_OK && status == WEIR_OK) status = sql_failure(pg, result, err);
        PQclear(result);
    }
    return status;
}

static weir_status start_copy(weir_pg *pg, const char *copy_sql, ExecStatusType expected, weir_err *err) {
    weir_status status = ensure_connected(pg, err);
    if (status != WEIR_OK) return status;
    PGresult *result = PQexec(pg->conn, copy_sql);
    if (PQresultStatus(result) != expected) {
        status = settle(pg, result, NULL, err);
        return status != WEIR_OK ? status : WEIR_FAIL(err, WEIR_EINTERNAL, "\"%.80s\" is not the COPY that was expected", copy_sql);
    }
    bool binary = PQbinaryTuples(result);
    PQclear(result);
    if (binary) return WEIR_OK;
    drop_connection(pg);
    return WEIR_FAIL(err, WEIR_EINTERNAL, "\"%.80s\" lacks (FORMAT binary)", copy_sql);
}

static bool put_copy(PGconn *conn, const char *data, size_t len) {
    for (size_t at = 0; at < len; at += COPY_CHUNK_BYTES) {
        size_t chunk = len - at < COPY_CHUNK_BYTES ? len - at : COPY_CHUNK_BYTES;
        if (PQputCopyData(conn, data + at, (int)chunk) != 1) return false;
    }
    return true;
}

weir_status weir_pg_copy_in(weir_pg *pg, const char *copy_sql, const weir_buf *rows, weir_err *err) {
    weir_status status = start_copy(pg, copy_sql, PGRES_COPY_IN, err);
    if (status != WEIR_OK) return status;
    bool sent = put_copy(pg->conn, WEIR_PG_COPY_HEADER, WEIR_PG_COPY_HEADER_LEN) && put_copy(pg->conn, rows->data, rows->len) &&
                put_copy(pg->conn, WEIR_PG_COPY_TRAILER, WEIR_PG_COPY_TRAILER_LEN) && PQputCopyEnd(pg->conn, NULL) == 1;
    status = finish_copy(pg, WEIR_OK, err);
    if (status == WEIR_OK && !sent) {
        drop_connection(pg);
        return WEIR_RETRY(err, WEIR_ENET, "the connection to PostgreSQL was lost during COPY");
    }
    return status;
}

/* Tells the server to stop and swallows what is on its way. Without it a reader that gives up would have to read the whole table. */
static void cancel_copy(weir_pg *pg) {
    char why[256];
    PGcancel *cancel = PQgetCancel(pg->conn);
    bool cancelled = cancel && PQcancel(cancel, why, sizeof why);
    PQfreeCancel(cancel);
    if (!cancelled) {
        drop_connection(pg);
        return;
    }
    char *chunk;
    while (PQgetCopyData(pg->conn, &chunk, 0) > 0) PQfreemem(chunk);
}

weir_status weir_pg_copy_out(weir_pg *pg, const char *copy_sql, weir_pg_row_fn on_row, void *context, weir_err *err) {
    weir_pg_copy_parser *parser = weir_mem.realloc(NULL, sizeof *parser);
    if (!parser) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to read rows");
    parser->on_row = on_row;
    parser->context = context;
    parser->pending = (weir_buf){0};
    parser->header_done = parser->trailer_seen = false;

    weir_status status = start_copy(pg, copy_sql, PGRES_COPY_OUT, err);
    if (status == WEIR_OK) {
        char *chunk;
        int len;
        while (status == WEIR_OK && (len = PQgetCopyData(pg->conn, &chunk, 0)) > 0) {
            status = weir_pg_copy_parser_feed(parser, chunk, (size_t)len, err);
            PQfreemem(chunk);
        }
        if (status != WEIR_OK) cancel_copy(pg);
        if (pg->conn) status = finish_copy(pg, status, err);
        if (status == WEIR_OK) status = weir_pg_copy_parser_finish(parser, err);
    }
    weir_pg_copy_parser_done(parser);
    weir_mem.realloc(parser, 0);
    return status;
}
