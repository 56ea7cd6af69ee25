/* `weir tenants`: who may read whose features. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"
#include "features/tenants.h"

typedef struct tenants_options {
    char *action, *name, *login, *doc;
    int access, output;
    int64_t expires;
} tenants_options;

static const char *const accesses[] = {"read", "write", NULL}; /* as weir_access */

#define FIELD(member) .offset = offsetof(tenants_options, member)

static const weir_conf_item tenants_table[] = {
    {.name = "action",
     .type = WEIR_CONF_STRING,
     FIELD(action),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "list, add, drop, grant, revoke, token, tokens or revoke-token"},
    {.name = "name",
     .type = WEIR_CONF_STRING,
     FIELD(name),
     .flags = WEIR_CONF_POSITIONAL,
     .doc = "tenant; token also '*' for all of them; revoke-token: id of the token"},
    {.name = "login", .type = WEIR_CONF_STRING, FIELD(login), .doc = "grant, revoke: login of the database"},
    {.name = "access", .type = WEIR_CONF_ENUM, FIELD(access), .choices = accesses, .fallback = "read", .doc = "token: write may also push records"},
    {.name = "expires", .type = WEIR_CONF_DURATION, FIELD(expires), .doc = "token: valid for so long; not given: until it is revoked"},
    {.name = "doc", .type = WEIR_CONF_STRING, FIELD(doc), .fallback = "", .doc = "token: what it is for"},
    WEIR_OUTPUT_ITEM(tenants_options, output),
    {.name = NULL},
};

static const weir_table_column tenant_columns[] = {{"tenant", "TENANT"}, {"role", "ROLE"}, {"logins", "LOGINS"}, {"tokens", "TOKENS"}, {NULL, NULL}};
static const weir_table_column token_columns[] = {{"token_id", "TOKEN"},     {"tenant", "TENANT"},      {"access", "ACCESS"},      {"doc", "FOR"},
                                                  {"created_at", "CREATED"}, {"expires_at", "EXPIRES"}, {"revoked_at", "REVOKED"}, {NULL, NULL}};

static weir_status print_list(weir_pg *pg, weir_status (*list)(weir_pg *, cJSON **, weir_err *), const weir_table_column *columns, int output, weir_err *err) {
    cJSON *rows = NULL;
    weir_status st = list(pg, &rows, err);
    if (!st) st = weir_table_print(rows, columns, (weir_output)output, stdout, err);
    cJSON_Delete(rows);
    return st;
}

static weir_status make_token(weir_pg *pg, const tenants_options *o, weir_err *err) {
    char token[WEIR_TOKEN_MAX];
    int64_t expires_us = o->expires ? weir_clock_wall_us(weir_clock_system()) + o->expires : INT64_MAX;
    weir_status st = weir_token_make(pg, o->name, (weir_access)o->access, o->doc, expires_us, token, err);
    if (st) return st;
    fputs("Shown this once; send it as `Authorization: Bearer …`:\n", stderr);
    puts(token);
    return WEIR_OK;
}

static weir_status act(weir_pg *pg, int action, const tenants_options *o, weir_err *err) {
    switch (action) {
    case 0: return print_list(pg, weir_tenant_list, tenant_columns, o->output, err);
    case 1: return weir_tenant_add(pg, o->name, err);
    case 2: return weir_tenant_drop(pg, o->name, err);
    case 3: return weir_tenant_grant(pg, o->name, o->login, true, err);
    case 4: return weir_tenant_grant(pg, o->name, o->login, false, err);
    case 5: return make_token(pg, o, err);
    case 6: return print_list(pg, weir_token_list, token_columns, o->output, err);
    default: return weir_token_revoke(pg, o->name, err);
    }
}

static weir_status run_tenants(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    static const char *const actions[] = {"list", "add", "drop", "grant", "revoke", "token", "tokens", "revoke-token", NULL}; /* as act */
    (void)ret_exit;
    const tenants_options *o = options;
    weir_pg *pg = NULL;
    int action = 0;
    weir_status st = weir_action_find(o->action, actions, &action, err);
    if (st) return st;
    bool lists = action == 0 || action == 6, grants = action == 3 || action == 4;
    if (!lists && (!o->name || !*o->name)) return WEIR_FAIL(err, WEIR_EINVAL, "%s needs %s", o->action, action == 7 ? "the id of a token" : "a tenant");
    if (grants && (!o->login || !*o->login)) return WEIR_FAIL(err, WEIR_EINVAL, "%s needs --login", o->action);
    st = weir_pg_new(settings->pg_url, &pg, err);
    if (!st) st = weir_pg_migrate(pg, err);
    if (!st) st = act(pg, action, o, err);
    weir_pg_free(pg);
    return st;
}

const weir_command weir_command_tenants = {
    .name = "tenants",
    .args = "list|add|drop|grant|revoke|token|tokens|revoke-token [NAME] [--login L] [--access read|write] [--expires D]",
    .doc = "Who may read whose features: tenants, the database logins that read their rows, the tokens of the HTTP API.\n"
           "`add` makes a tenant and its database role; `grant` lets a login read the tenant's rows of the offline store, and no others; `token` makes a token "
           "for the\n"
           "API of workers that run with http_auth=token. A token's requests see that tenant only.",
    .options = tenants_table,
    .options_size = sizeof(tenants_options),
    .run = run_tenants,
};
