#include "models/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/model.h"
#include "models/pg_json.h"

enum { HASH_LEN = 64 };
#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"

weir_status weir_audit_list(weir_pg *pg, const char *pipeline, int limit, cJSON **ret_rows, weir_err *err) {
    char number[16];
    snprintf(number, sizeof number, "%d", limit);
    return weir_pg_query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('seq', seq, 'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), 'actor', actor,"
        " 'action', action, 'pipeline', pipeline, 'subject', subject, 'detail', detail, 'hash', hash) ORDER BY seq), '[]')"
        " FROM (SELECT * FROM weir.audit_log WHERE $1::text IS NULL OR pipeline = $1 ORDER BY seq DESC LIMIT $2::int) l",
        2, (const char *const[]){pipeline, number}, ret_rows, err);
}

typedef struct chain {
    weir_audit_result *result;
    const char *pipeline;
    int64_t last_seq;
} chain;

static void break_at(chain *c, int64_t seq, const char *why) {
    if (c->result->broken_seq) return;
    c->result->broken_seq = seq;
    snprintf(c->result->why, sizeof c->result->why, "%s", why);
}

static bool is_text(const weir_pg_field *field, const char *text) {
    return field->len == (int32_t)strlen(text) && !memcmp(field->data, text, (size_t)field->len);
}

static weir_status on_row(void *context, const weir_pg_field *f, int field_count, weir_err *err) {
    enum { SEQ, TEXT, PREVIOUS, HASH, PIPELINE };
    chain *c = context;
    char hash[HASH_LEN + 1];
    (void)field_count, (void)err;
    int64_t seq = weir_pg_get_int8(&f[SEQ]);
    weir_sha256_hex(f[TEXT].data, (size_t)f[TEXT].len, hash);
    c->result->rows++;
    if (c->pipeline && f[PIPELINE].len >= 0 && is_text(&f[PIPELINE], c->pipeline)) c->result->of_pipeline++;
    if (seq != c->last_seq + 1)
        break_at(c, c->last_seq + 1, "it is missing");
    else if (!is_text(&f[HASH], hash))
        break_at(c, seq, "its hash is not that of what it says: it was changed");
    else if (!is_text(&f[PREVIOUS], c->result->head))
        break_at(c, seq, "it does not follow the row before: one of the two was replaced");
    c->last_seq = seq;
    snprintf(c->result->head, sizeof c->result->head, "%.*s", f[HASH].len < HASH_LEN ? (int)f[HASH].len : HASH_LEN, f[HASH].data);
    return WEIR_OK;
}

/* The end of the chain is also written down elsewhere. */
static weir_status check_head(weir_pg *pg, chain *c, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, "SELECT seq, hash FROM weir.audit_head", 0, NULL, &result, err);
    if (status) return status;
    int64_t seq = PQntuples(result) ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;
    if (seq < 0)
        break_at(c, c->last_seq + 1, "the head of the chain is missing");
    else if (seq > c->last_seq)
        break_at(c, c->last_seq + 1, "rows at the end are missing");
    else if (seq < c->last_seq || strcmp(PQgetvalue(result, 0, 1), c->result->head) != 0)
        break_at(c, seq < c->last_seq ? seq + 1 : c->last_seq, "the head of the chain says another row");
    PQclear(result);
    return WEIR_OK;
}

weir_status weir_audit_verify(weir_pg *pg, const char *pipeline, weir_audit_result *ret_result, weir_err *err) {
    *ret_result = (weir_audit_result){.head = NO_HASH};
    chain c = {.result = ret_result, .pipeline = pipeline};
    weir_status status = weir_pg_begin(pg, err);
    if (!status) status = weir_pg_script(pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    if (!status)
        status =
            weir_pg_copy_out(pg,
                             "COPY (SELECT seq, jsonb_build_array(seq, (extract(epoch FROM at) * 1000000)::bigint, actor, action, pipeline, subject, detail, "
                             "previous)::text, previous, hash, pipeline FROM weir.audit_log ORDER BY seq) TO STDOUT (FORMAT binary)",
                             on_row, &c, err);
    if (!status) status = check_head(pg, &c, err);
    weir_pg_rollback(pg); /* it only read */
    return status;
}

weir_status weir_audit_write(weir_pg *pg, const char *actor, const char *action, const char *pipeline, const char *subject, const cJSON *detail,
                             weir_err *err) {
    char *text = detail ? cJSON_PrintUnformatted(detail) : NULL;
    if (detail && !text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of the audit log");
    weir_status status = weir_pg_exec(pg, "SELECT weir.audit($1, $2, $3, $4, $5::jsonb)", 5,
                                      (const char *const[]){actor, action, pipeline, subject, text ? text : "{}"}, NULL, err);
    cJSON_free(text);
    return status;
}
