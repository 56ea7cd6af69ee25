#include "models/pg_json.h"

weir_status weir_pg_query_json(weir_pg *pg, const char *sql, int param_count, const char *const *params, cJSON **ret_json, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, sql, param_count, params, &result, err);
    if (status != WEIR_OK) return status;
    cJSON *json = PQntuples(result) == 1 ? cJSON_Parse(PQgetvalue(result, 0, 0)) : NULL;
    PQclear(result);
    if (!json) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a JSON text from PostgreSQL");
    *ret_json = json;
    return WEIR_OK;
}
