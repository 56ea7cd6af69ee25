/* `weir migrate`: brings the database to what this version of Weir needs. */
#include "cli/command.h"
#include "core/pg.h"

static weir_status run_migrate(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    (void)options, (void)ret_exit;
    weir_pg *pg = NULL;
    weir_status st = weir_pg_new(settings->pg_url, &pg, err);
    if (!st) st = weir_pg_migrate(pg, err);
    weir_pg_free(pg);
    return st;
}

const weir_command weir_command_migrate = {
    .name = "migrate",
    .args = "",
    .doc = "Brings the database to what this version needs; harmless when it is there already.",
    .run = run_migrate,
};
