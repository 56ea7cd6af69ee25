/* Tenants: roles of the database for the offline store, tokens for the HTTP API. */
#ifndef WEIR_FEATURES_TENANTS_H
#define WEIR_FEATURES_TENANTS_H

#include <cjson/cJSON.h>

#include "core/clock.h"
#include "core/pg.h"

enum { WEIR_TENANT_MAX = 51 /* its role's name has 63 bytes at most */, WEIR_TOKEN_MAX = 96 };
#define WEIR_EVERY_TENANT "*"

typedef enum weir_access { WEIR_ACCESS_READ, WEIR_ACCESS_WRITE } weir_access;

/* --- administration --- */

/** Makes the tenant and its role weir_tenant_<tenant> (and weir_reader, and its rights, where they are missing). Is there already: OK.
 *  Errors: WEIR_EINVAL for a name that cannot be one; WEIR_EDENIED when this login may not make roles. */
weir_status weir_tenant_add(weir_pg *pg, const char *tenant, weir_err *err) WEIR_MUST_CHECK;
/** Removes tenant, role and tokens; rows stay. WEIR_ENOTFOUND; WEIR_ECONFLICT when logins are still members of the role. */
weir_status weir_tenant_drop(weir_pg *pg, const char *tenant, weir_err *err) WEIR_MUST_CHECK;
/** Lets a login that exists read the tenant's rows (or no longer). */
weir_status weir_tenant_grant(weir_pg *pg, const char *tenant, const char *login, bool grant, weir_err *err) WEIR_MUST_CHECK;
/** Array of {tenant, role, logins[], tokens}. cJSON_Delete it. */
weir_status weir_tenant_list(weir_pg *pg, cJSON **ret_tenants, weir_err *err) WEIR_MUST_CHECK;

/** Makes a token of 256 random bits for a tenant that exists, or for all (WEIR_EVERY_TENANT). It is shown this once; the database has its hash. expires_us: INT64_MAX never. */
weir_status weir_token_make(weir_pg *pg, const char *tenant, weir_access access, const char *doc, int64_t expires_us, char ret_token[WEIR_TOKEN_MAX],
                            weir_err *err) WEIR_MUST_CHECK;
weir_status weir_token_revoke(weir_pg *pg, const char *token_id, weir_err *err) WEIR_MUST_CHECK; /* WEIR_ENOTFOUND */
/** Array of {token_id, tenant, access, doc, created_at, expires_at, revoked_at}. */
weir_status weir_token_list(weir_pg *pg, cJSON **ret_tokens, weir_err *err) WEIR_MUST_CHECK;

/* --- checking --- */

/* What a caller may do. */
typedef struct weir_grant {
    char tenant[WEIR_TENANT_MAX + 1]; /* WEIR_EVERY_TENANT: all */
    weir_access access;
} weir_grant;

/* The valid tokens, kept in memory; any thread may ask while one refreshes. */
typedef struct weir_tokens weir_tokens;
weir_status weir_tokens_new(const char *pg_url, weir_clock *clock, weir_tokens **ret_tokens, weir_err *err) WEIR_MUST_CHECK;
void weir_tokens_free(weir_tokens *tokens);
/** Reads them anew from the database; on error the old ones stay. */
weir_status weir_tokens_refresh(weir_tokens *tokens, weir_err *err) WEIR_MUST_CHECK;
/** authorization: value of the HTTP header, "Bearer T"; NULL is fine. Errors: WEIR_EDENIED REJECT, the same words whatever is wrong with the token. */
weir_status weir_tokens_check(weir_tokens *tokens, const char *authorization, weir_grant *ret_grant, weir_err *err) WEIR_MUST_CHECK;

#endif
