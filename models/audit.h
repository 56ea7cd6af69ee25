/* The audit log (schemas/sql/017_audit.sql): PostgreSQL writes it in the transaction of each change; here it is read, and its chain computed again. */
#ifndef WEIR_MODELS_AUDIT_H
#define WEIR_MODELS_AUDIT_H

#include <cjson/cJSON.h>

#include "core/pg.h"

/** The newest `limit` rows of a pipeline (NULL: of all), oldest first: JSON array of {seq, at, actor, action, pipeline, subject, detail, hash}; the caller deletes it. */
weir_status weir_audit_list(weir_pg *pg, const char *pipeline, int limit, cJSON **ret_rows, weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_audit_result {
    int64_t rows, of_pipeline;
    int64_t broken_seq; /* the first row that is not what it was, or that is missing; 0: the chain is whole */
    char why[160]; /* of broken_seq */
    char head[65]; /* hash of the last row, hex: who keeps it elsewhere also notices a log that was replaced as a whole */
} weir_audit_result;
/** Computes the whole chain again, here and not by functions of the database. pipeline (may be NULL) is only counted. Errors: WEIR_ENET, WEIR_ENOMEM. O(rows), one row in memory. */
weir_status weir_audit_verify(weir_pg *pg, const char *pipeline, weir_audit_result *ret_result, weir_err *err) WEIR_MUST_CHECK;
/** Appends a row of its own, in the transaction that is open or alone. detail may be NULL. */
weir_status weir_audit_write(weir_pg *pg, const char *actor, const char *action, const char *pipeline, const char *subject, const cJSON *detail,
                             weir_err *err) WEIR_MUST_CHECK;

#endif
