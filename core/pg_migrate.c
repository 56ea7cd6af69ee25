/* Migrations: schemas/sql/NNN_name.sql, in the order of their names, each applied once and never changed afterwards. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "core/pg.h"

enum { SHA256_BYTES = 32, SHA256_TEXT = 2 * SHA256_BYTES + 1 };

/* Everybody who migrates a Weir database takes this lock first: any fixed number, "weirmigr" in ASCII. */
#define LOCK_SQL "SELECT pg_advisory_xact_lock(8603398603344013170)"

static const char folder[] = "schemas/sql/";

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* "001_core.sql" of "schemas/sql/001_core.sql", NULL for other files. */
static const char *migration_name(const char *path) {
    if (strncmp(path, folder, sizeof folder - 1) != 0) return NULL;
    const char *name = path + sizeof folder - 1;
    bool numbered = is_digit(name[0]) && is_digit(name[1]) && is_digit(name[2]) && name[3] == '_';
    return numbered ? name : NULL;
}

static weir_status digest(const weir_embedded_file *file, char text[SHA256_TEXT], weir_err *err) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(file->data, file->len, bytes, &len, EVP_sha256(), NULL) != 1 || len != SHA256_BYTES)
        return WEIR_FAIL(err, WEIR_EINTERNAL, "SHA-256 is not available");
    for (unsigned i = 0; i < len; i++) snprintf(text + 2 * (size_t)i, 3, "%02x", bytes[i]);
    return WEIR_OK;
}

static weir_status begin_locked(weir_pg *pg, weir_err *err) {
    weir_status status = weir_pg_begin(pg, err);
    return status != WEIR_OK ? status : weir_pg_exec(pg, LOCK_SQL, 0, NULL, NULL, err);
}

static weir_status prepare(weir_pg *pg, weir_err *err) {
    weir_status status = begin_locked(pg, err);
    if (status == WEIR_OK)
        status = weir_pg_script(
            pg,
            "CREATE SCHEMA IF NOT EXISTS weir;"
            "CREATE TABLE IF NOT EXISTS weir.migrations (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
            err);
    return status == WEIR_OK ? weir_pg_commit(pg, err) : status;
}

/* *ret_applied tells whether it is there; another checksum than ours is an error. */
static weir_status find_applied(weir_pg *pg, const char *name, const char *sha256, bool *ret_applied, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, "SELECT sha256 FROM weir.migrations WHERE name = $1", 1, (const char *const[]){name}, &result, err);
    if (status != WEIR_OK) return status;
    bool applied = PQntuples(result) == 1, same = applied && !strcmp(PQgetvalue(result, 0, 0), sha256);
    PQclear(result);
    if (applied && !same) return WEIR_FAIL(err, WEIR_ECONFLICT, "it was changed after it had been applied to this database; changes need a new migration");
    *ret_applied = applied;
    return WEIR_OK;
}

static weir_status apply(weir_pg *pg, const weir_embedded_file *file, const char *name, weir_err *err) {
    char sha256[SHA256_TEXT];
    bool applied = false;
    weir_status status = digest(file, sha256, err);
    if (status == WEIR_OK) status = begin_locked(pg, err);
    if (status == WEIR_OK) status = find_applied(pg, name, sha256, &applied, err);
    if (status == WEIR_OK && !applied) {
        status = weir_pg_script(pg, file->data, err);
        if (status == WEIR_OK)
            status = weir_pg_exec(pg, "INSERT INTO weir.migrations (name, sha256) VALUES ($1, $2)", 2, (const char *const[]){name, sha256}, NULL, err);
    }
    if (status == WEIR_OK) status = weir_pg_commit(pg, err);
    if (status == WEIR_OK) return WEIR_OK;
    weir_pg_rollback(pg);
    (void)weir_err_prefix(err, "migration %s", name);
    return status;
}

weir_status weir_pg_migrate_files(weir_pg *pg, const weir_embedded_file *files, weir_err *err) {
    weir_status status = prepare(pg, err);
    if (status != WEIR_OK) weir_pg_rollback(pg);
    for (const weir_embedded_file *file = files; status == WEIR_OK && file->path; file++) {
        const char *name = migration_name(file->path);
        if (name) status = apply(pg, file, name, err);
    }
    return status;
}

weir_status weir_pg_migrate(weir_pg *pg, weir_err *err) {
    return weir_pg_migrate_files(pg, weir_embedded_files, err);
}
