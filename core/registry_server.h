/* The small schema registry: Confluent's REST API over PostgreSQL, for machines that have none. */
#ifndef WEIR_CORE_REGISTRY_SERVER_H
#define WEIR_CORE_REGISTRY_SERVER_H

#include "core/err.h"
#include "core/http.h"

typedef struct weir_registry_server weir_registry_server;
/** Serves on an HTTP server that is already running; schemas live in table weir.schemas / weir.subjects / weir.subject_config of the database. */
weir_status weir_registry_server_new(weir_http_server *http, const char *pg_url, weir_registry_server **ret_server, weir_err *err) WEIR_MUST_CHECK;
void weir_registry_server_free(weir_registry_server *server);

/** Can data written with `writer` be read with `reader`? Both are any Avro schema as JSON text. *ret_compatible says; reason (may be NULL) gets one sentence when not. */
weir_status weir_schema_can_read(const char *reader, const char *writer, bool *ret_compatible, weir_buf *reason, weir_err *err) WEIR_MUST_CHECK;

#endif
