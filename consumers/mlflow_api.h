/* The part of MLflow's REST API 2.0 that the mirror needs. A tracking server is away now and then: what may succeed later is RETRY, what the server refuses for good is REJECT. */
#ifndef WEIR_CONSUMERS_MLFLOW_API_H
#define WEIR_CONSUMERS_MLFLOW_API_H

#include <cjson/cJSON.h>

#include "core/err.h"
#include "core/mem.h"
#include "core/metrics.h"

typedef struct weir_mlflow {
    const char *url; /* "http://127.0.0.1:5000", without a '/' at its end; may hold user:password@ */
    const char *token; /* bearer; NULL: none */
    weir_metric *seconds; /* of each request; may be NULL */
} weir_mlflow;

/** One call: method and path below /api/2.0/mlflow ("runs/create"), body (NULL: none; GET has its parameters in the path). ret_answer may be NULL; else the caller deletes it.
 *  Errors: WEIR_ENOTFOUND and WEIR_ECONFLICT (REJECT) when the server says that a thing is not there, or is there already; WEIR_EINVAL (REJECT) for whatever else it refuses;
 *  WEIR_EDENIED (RETRY): the credentials can be put right; WEIR_EINTERNAL (RETRY): it failed at this request; WEIR_ENET, WEIR_ETIMEOUT (RETRY). */
weir_status weir_mlflow_call(const weir_mlflow *mlflow, const char *method, const char *path, const cJSON *body, cJSON **ret_answer,
                             weir_err *err) WEIR_MUST_CHECK;
/** Uploads a file of a run through the server's artifact proxy. artifact_uri: as the server gave it to the run; one that is no "mlflow-artifacts:" URI is WEIR_EINVAL, REJECT: such
 *  a store is not behind the server. path: below it. */
weir_status weir_mlflow_put(const weir_mlflow *mlflow, const char *artifact_uri, const char *path, const weir_buf *bytes, weir_err *err) WEIR_MUST_CHECK;
/** Appends text for a query string or a path: all but letters, digits and "-_.~" (and '/' in a path) as %XX. False: no memory. */
bool weir_mlflow_escape(weir_buf *out, const char *text, bool is_path) WEIR_MUST_CHECK;
/** What MLflow takes as the name of a parameter, metric or tag: letters, digits and "_-. :/", at most 250 bytes; others become '_'. out [251] */
void weir_mlflow_key(const char *name, char *out);

#endif
