#include "features/tenants.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_BYTES = 6, SECRET_BYTES = 32, HASH_BYTES = 32 };
#define TOKEN_PREFIX "weir_"

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for tenants and tokens");
}

/* --- roles --- */

static weir_status check_tenant_name(const char *tenant, weir_err *err) {
    size_t n = strlen(tenant);
    if (!n || n > WEIR_TENANT_MAX || !strcmp(tenant, WEIR_EVERY_TENANT) || strpbrk(tenant, "/\"\\"))
        return WEIR_FAIL(err, WEIR_EINVAL, "tenant \"%.60s\": expected 1 to %d bytes without '/', '\"' and '\\'", tenant, WEIR_TENANT_MAX);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)tenant[i] < ' ') return WEIR_FAIL(err, WEIR_EINVAL, "tenant: found a control character in its name");
    }
    return WEIR_OK;
}

static void role_of(const char *tenant, char role[64]) {
    snprintf(role, 64, "weir_tenant_%s", tenant);
}

/* Runs SQL that format() of PostgreSQL makes of the parameters, so that names are quoted by the server. */
static weir_status exec_format(weir_pg *pg, const char *format, const char *a, const char *b, weir_err *err) {
    const char *params[] = {a, b};
    PGresult *result = NULL;
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT format('%s', $1::text, $2::text)", format);
    weir_status status = weir_pg_exec(pg, sql, 2, params, &result, err);
    if (!status) status = weir_pg_exec(pg, PQgetvalue(result, 0, 0), 0, NULL, NULL, err);
    PQclear(result);
    return status;
}

static weir_status is_there(weir_pg *pg, const char *sql, const char *name, bool *ret_there, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, sql, 1, &name, &result, err);
    if (status) return status;
    *ret_there = PQntuples(result) > 0;
    PQclear(result);
    return WEIR_OK;
}

static weir_status make_role(weir_pg *pg, const char *role, weir_err *err) {
    bool there;
    weir_status status = is_there(pg, "SELECT 1 FROM pg_roles WHERE rolname = $1", role, &there, err);
    return status || there ? status : exec_format(pg, "CREATE ROLE %1$I NOLOGIN", role, NULL, err);
}

static weir_status need_tenant(weir_pg *pg, const char *tenant, weir_err *err) {
    bool there;
    weir_status status = is_there(pg, "SELECT 1 FROM weir.tenants WHERE tenant = $1", tenant, &there, err);
    if (!status && !there) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no tenant \"%s\"; `weir tenants add` makes one", tenant);
    return status;
}

static weir_status end_transaction(weir_pg *pg, weir_status status, weir_err *err) {
    if (!status) status = weir_pg_commit(pg, err);
    if (status) weir_pg_rollback(pg);
    return status;
}

weir_status weir_tenant_add(weir_pg *pg, const char *tenant, weir_err *err) {
    char role[64];
    weir_status status = check_tenant_name(tenant, err);
    if (status || (status = weir_pg_begin(pg, err))) return status;
    role_of(tenant, role);
    const char *params[] = {tenant, role};
    if (!(status = weir_pg_exec(pg, "SELECT pg_advisory_xact_lock(hashtextextended('weir.tenants', 0))", 0, NULL, NULL, err)) &&
        !(status = make_role(pg, "weir_reader", err)) && !(status = make_role(pg, role, err)) &&
        !(status = exec_format(pg, "GRANT weir_reader TO %1$I", role, NULL, err)) &&
        !(status = weir_pg_exec(pg, "GRANT USAGE ON SCHEMA weir TO weir_reader", 0, NULL, NULL, err)) &&
        !(status = weir_pg_exec(pg, "INSERT INTO weir.tenants (tenant, role) VALUES ($1, $2) ON CONFLICT DO NOTHING", 2, params, NULL, err)))
        status = weir_pg_exec(pg, "SELECT weir.protect_all()", 0, NULL, NULL, err);
    return end_transaction(pg, status, err);
}

static weir_status need_no_logins(weir_pg *pg, const char *tenant, const char *role, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg,
                                      "SELECT string_agg(m.rolname, ', ' ORDER BY m.rolname) FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN "
                                      "pg_roles r ON r.oid = a.roleid WHERE r.rolname = $1",
                                      1, &role, &result, err);
    if (status) return status;
    if (!PQgetisnull(result, 0, 0))
        status = WEIR_FAIL(err, WEIR_ECONFLICT, "tenant \"%s\" still has logins: %s; revoke them first", tenant, PQgetvalue(result, 0, 0));
    PQclear(result);
    return status;
}

weir_status weir_tenant_drop(weir_pg *pg, const char *tenant, weir_err *err) {
    char role[64];
    weir_status status = check_tenant_name(tenant, err);
    if (status || (status = weir_pg_begin(pg, err))) return status;
    role_of(tenant, role);
    if (!(status = need_tenant(pg, tenant, err)) && !(status = need_no_logins(pg, tenant, role, err)) &&
        !(status = weir_pg_exec(pg, "DELETE FROM weir.tokens WHERE tenant = $1", 1, &tenant, NULL, err)) &&
        !(status = weir_pg_exec(pg, "DELETE FROM weir.tenants WHERE tenant = $1", 1, &tenant, NULL, err)))
        status = exec_format(pg, "DROP ROLE %1$I", role, NULL, err);
    return end_transaction(pg, status, err);
}

weir_status weir_tenant_grant(weir_pg *pg, const char *tenant, const char *login, bool grant, weir_err *err) {
    char role[64];
    bool there;
    role_of(tenant, role);
    weir_status status = need_tenant(pg, tenant, err);
    if (!status) status = is_there(pg, "SELECT 1 FROM pg_roles WHERE rolname = $1", login, &there, err);
    if (status) return status;
    if (!there) return WEIR_FAIL(err, WEIR_ENOTFOUND, "the database has no login \"%s\"; CREATE ROLE … LOGIN makes one", login);
    return exec_format(pg, grant ? "GRANT %1$I TO %2$I" : "REVOKE %1$I FROM %2$I", role, login, err);
}

/* The one JSON value of a query, an array. */
static weir_status query_json(weir_pg *pg, const char *sql, cJSON **ret_json, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, sql, 0, NULL, &result, err);
    if (status) return status;
    *ret_json = cJSON_Parse(PQgetvalue(result, 0, 0));
    PQclear(result);
    return *ret_json ? WEIR_OK : no_memory(err);
}

weir_status weir_tenant_list(weir_pg *pg, cJSON **ret_tenants, weir_err *err) {
    return query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('tenant', t.tenant, 'role', t.role, "
        "'logins', (SELECT coalesce(json_agg(m.rolname ORDER BY m.rolname), '[]') FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member "
        "JOIN pg_roles r ON r.oid = a.roleid WHERE r.rolname = t.role), "
        "'tokens', (SELECT count(*) FROM weir.tokens k WHERE k.tenant = t.tenant AND k.revoked_at IS NULL)) ORDER BY t.tenant), '[]') FROM weir.tenants t",
        ret_tenants, err);
}

/* --- tokens --- */

static void put_hex(const unsigned char *bytes, size_t n, char *text) {
    for (size_t i = 0; i < n; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static bool hash_token(const char *token, size_t len, unsigned char hash[HASH_BYTES]) {
    unsigned n = 0;
    return EVP_Digest(token, len, hash, &n, EVP_sha256(), NULL) && n == HASH_BYTES;
}

/* weir_<id>_<secret>, both in hexadecimal: the id names it in lists, without it. */
static bool draw_token(char id[2 * ID_BYTES + 1], char token[WEIR_TOKEN_MAX]) {
    unsigned char bytes[ID_BYTES + SECRET_BYTES];
    char secret[2 * SECRET_BYTES + 1];
    if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
    put_hex(bytes, ID_BYTES, id);
    put_hex(bytes + ID_BYTES, SECRET_BYTES, secret);
    snprintf(token, WEIR_TOKEN_MAX, TOKEN_PREFIX "%s_%s", id, secret);
    return true;
}

weir_status weir_token_make(weir_pg *pg, const char *tenant, weir_access access, const char *doc, int64_t expires_us, char ret_token[WEIR_TOKEN_MAX],
                            weir_err *err) {
    unsigned char hash[HASH_BYTES];
    char id[2 * ID_BYTES + 1], hex[2 * HASH_BYTES + 3] = "\\x", expires[WEIR_TIME_TEXT_MAX];
    weir_status status = strcmp(tenant, WEIR_EVERY_TENANT) ? need_tenant(pg, tenant, err) : WEIR_OK;
    if (status) return status;
    if (!draw_token(id, ret_token) || !hash_token(ret_token, strlen(ret_token), hash)) return WEIR_FAIL(err, WEIR_EINTERNAL, "OpenSSL gave no random token");
    put_hex(hash, HASH_BYTES, hex + 2);
    const char *params[] = {id,  tenant, access == WEIR_ACCESS_WRITE ? "write" : "read",
                            hex, doc,    expires_us == INT64_MAX ? NULL : weir_time_format(expires_us, expires)};
    return weir_pg_exec(pg, "INSERT INTO weir.tokens (token_id, tenant, access, sha256, doc, expires_at) VALUES ($1, $2, $3, $4::bytea, $5, $6::timestamptz)",
                        6, params, NULL, err);
}

weir_status weir_token_revoke(weir_pg *pg, const char *token_id, weir_err *err) {
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(pg, "UPDATE weir.tokens SET revoked_at = coalesce(revoked_at, now()) WHERE token_id = $1 RETURNING 1", 1, &token_id, &result, err);
    if (status) return status;
    bool there = PQntuples(result) > 0;
    PQclear(result);
    return there ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no token \"%s\"", token_id);
}

weir_status weir_token_list(weir_pg *pg, cJSON **ret_tokens, weir_err *err) {
    return query_json(
        pg,
        "SELECT coalesce(json_agg(json_build_object('token_id', token_id, 'tenant', tenant, 'access', access, 'doc', doc, 'created_at', created_at, "
        "'expires_at', expires_at, 'revoked_at', revoked_at) ORDER BY created_at, token_id), '[]') FROM weir.tokens",
        ret_tokens, err);
}

/* --- checking --- */

typedef struct token {
    unsigned char hash[HASH_BYTES];
    int64_t expires_us;
    weir_grant grant;
} token;

struct weir_tokens {
    weir_pg *pg;
    weir_clock *clock;
    pthread_rwlock_t lock; /* guards list */
    token *list; /* by hash */
    int count;
};

weir_status weir_tokens_new(const char *pg_url, weir_clock *clock, weir_tokens **ret_tokens, weir_err *err) {
    weir_tokens *tokens = calloc(1, sizeof *tokens);
    if (!tokens) return no_memory(err);
    tokens->clock = clock;
    pthread_rwlock_init(&tokens->lock, NULL);
    weir_status status = weir_pg_new(pg_url, &tokens->pg, err);
    if (!status) status = weir_tokens_refresh(tokens, err);
    if (status)
        weir_tokens_free(tokens);
    else
        *ret_tokens = tokens;
    return status;
}

void weir_tokens_free(weir_tokens *tokens) {
    if (!tokens) return;
    weir_pg_free(tokens->pg);
    pthread_rwlock_destroy(&tokens->lock);
    free(tokens->list);
    free(tokens);
}

static int compare_tokens(const void *a, const void *b) {
    return memcmp(((const token *)a)->hash, ((const token *)b)->hash, HASH_BYTES);
}

static int hex_digit(char c) {
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void take_token(const PGresult *result, int row, token *t) {
    const char *hex = PQgetvalue(result, row, 0);
    for (int i = 0; i < HASH_BYTES; i++) t->hash[i] = (unsigned char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    snprintf(t->grant.tenant, sizeof t->grant.tenant, "%s", PQgetvalue(result, row, 1));
    t->grant.access = strcmp(PQgetvalue(result, row, 2), "write") ? WEIR_ACCESS_READ : WEIR_ACCESS_WRITE;
    t->expires_us = PQgetisnull(result, row, 3) ? INT64_MAX : atoll(PQgetvalue(result, row, 3));
}

weir_status weir_tokens_refresh(weir_tokens *tokens, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(tokens->pg,
                                      "SELECT encode(sha256, 'hex'), tenant, access, (extract(epoch FROM expires_at) * 1000000)::int8 FROM weir.tokens "
                                      "WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
                                      0, NULL, &result, err);
    if (status) return status;
    int count = PQntuples(result);
    token *list = calloc((size_t)count + 1, sizeof *list);
    for (int i = 0; list && i < count; i++) take_token(result, i, &list[i]);
    PQclear(result);
    if (!list) return no_memory(err);
    qsort(list, (size_t)count, sizeof *list, compare_tokens);
    pthread_rwlock_wrlock(&tokens->lock);
    token *old = tokens->list;
    tokens->list = list;
    tokens->count = count;
    pthread_rwlock_unlock(&tokens->lock);
    free(old);
    return WEIR_OK;
}

weir_status weir_tokens_check(weir_tokens *tokens, const char *authorization, weir_grant *ret_grant, weir_err *err) {
    static const char scheme[] = "Bearer ";
    token wanted;
    bool found = false;
    size_t n = strlen(scheme);
    if (authorization && !strncasecmp(authorization, scheme, n) && hash_token(authorization + n, strlen(authorization + n), wanted.hash)) {
        pthread_rwlock_rdlock(&tokens->lock);
        const token *t = tokens->count ? bsearch(&wanted, tokens->list, (size_t)tokens->count, sizeof *t, compare_tokens) : NULL;
        found = t && t->expires_us > weir_clock_wall_us(tokens->clock);
        if (found) *ret_grant = t->grant;
        pthread_rwlock_unlock(&tokens->lock);
    }
    return found ? WEIR_OK : WEIR_REJECT(err, WEIR_EDENIED, "a valid token is needed: Authorization: Bearer …");
}
