/* The endpoints of the API as one table: the routes are made of it, and the OpenAPI document, which so cannot say anything else. */
#ifndef WEIR_CONSUMERS_SERVE_OPENAPI_H
#define WEIR_CONSUMERS_SERVE_OPENAPI_H

#include "core/http.h"
#include "core/mem.h"

typedef struct serve_operation {
    const char *method; /* "GET", "POST" */
    const char *path; /* "/v2/models/{model_name}/infer" */
    weir_http_handler handler;
    const char *id, *doc; /* operationId; a sentence */
    const char *request, *answer; /* schemas of schemas/http_api.json; request NULL: no body */
    bool open; /* asks nobody for a token */
    bool binary; /* takes and gives tensors as bytes after the JSON, too */
} serve_operation;

enum { SERVE_ROUTE_MAX = 64 };
/** The route of an operation: its path up to the first parameter, and '*' for what follows. */
void serve_operation_route(const serve_operation *operation, char route[SERVE_ROUTE_MAX]);
/** Whether an earlier operation of the table has the same method and route. */
bool serve_operation_is_routed(const serve_operation *table, size_t index);

/** Appends an OpenAPI 3.1 document of the operations. tokens: whether bearer tokens are asked for. Errors: WEIR_ENOMEM. */
weir_status serve_openapi(const serve_operation *table, size_t count, const char *title, bool tokens, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

#endif
