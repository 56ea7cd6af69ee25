/* A database of a test's own on the server that WEIR_PG_URL names. */
#ifndef WEIR_TESTS_DATABASE_H
#define WEIR_TESTS_DATABASE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/pg.h"

static char url[1024], database[64]; /* of this run */
static weir_pg *pg, *server;

/* A later dbname in a URL or a list of settings takes the place of an earlier one. */
static int make_database_named(const char *name) {
    const char *given = getenv("WEIR_PG_URL"), *join = !strstr(given, "://") ? " " : strchr(given, '?') ? "&" : "?";
    char create[128];
    weir_err err;
    snprintf(database, sizeof database, "weir_test_%s_%ld", name, (long)getpid());
    snprintf(url, sizeof url, "%s%sdbname=%s", given, join, database);
    snprintf(create, sizeof create, "CREATE DATABASE %s", database);
    if (weir_pg_new(given, &server, &err) == WEIR_OK && weir_pg_exec(server, create, 0, NULL, NULL, &err) == WEIR_OK &&
        weir_pg_new(url, &pg, &err) == WEIR_OK && weir_pg_migrate(pg, &err) == WEIR_OK)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

static int drop_database(void **state) {
    (void)state;
    char drop[128];
    weir_err err;
    weir_pg_free(pg);
    snprintf(drop, sizeof drop, "DROP DATABASE %s", database);
    weir_status status = weir_pg_exec(server, drop, 0, NULL, NULL, &err);
    weir_pg_free(server);
    return status != WEIR_OK;
}

#endif
