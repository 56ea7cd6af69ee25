/* JSON that PostgreSQL makes. */
#ifndef WEIR_MODELS_PG_JSON_H
#define WEIR_MODELS_PG_JSON_H

#include <cjson/cJSON.h>

#include "core/pg.h"

/* SQL of a timestamptz as text, as 2026-11-23T01:02:03.000000Z. */
#define WEIR_PG_TIME(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/** Runs a query whose one value is a JSON text; the caller deletes it. Errors: those of weir_pg_exec, WEIR_ENOMEM. */
weir_status weir_pg_query_json(weir_pg *pg, const char *sql, int param_count, const char *const *params, cJSON **ret_json, weir_err *err) WEIR_MUST_CHECK;

#endif
