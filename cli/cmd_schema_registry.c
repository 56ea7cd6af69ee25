/* `weir schema-registry`: the small schema registry, for machines that have none. */
#include <unistd.h>

#include "cli/command.h"
#include "cli/stop.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/pg.h"
#include "core/registry_server.h"

enum { THREADS = 2, BODY_BYTES_MAX = 1 << 20, LOOK_US = 50000 };

typedef struct registry_options {
    char *host;
    int64_t port;
} registry_options;

static const weir_conf_item registry_table[] = {
    {.name = "host", .type = WEIR_CONF_STRING, .offset = offsetof(registry_options, host), .fallback = "127.0.0.1", .doc = "address to serve on"},
    {.name = "port",
     .type = WEIR_CONF_INT,
     .offset = offsetof(registry_options, port),
     .min = 0,
     .max = 65535,
     .fallback = "18081",
     .doc = "port to serve on; 0: any"},
    {.name = NULL},
};

static void healthy(const weir_http_request *request, weir_http_response *response, void *context) {
    (void)request, (void)context;
    if (!weir_buf_printf(&response->body, "{\"status\":\"ok\"}\n")) response->status = 500;
}

static weir_status migrate(const char *pg_url, weir_err *err) {
    weir_pg *pg = NULL;
    weir_status st = weir_pg_new(pg_url, &pg, err);
    if (!st) st = weir_pg_migrate(pg, err);
    weir_pg_free(pg);
    return st;
}

static weir_status run_registry(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    (void)ret_exit;
    const registry_options *o = options;
    weir_http_server *http = NULL;
    weir_registry_server *registry = NULL;
    const volatile int *stop = weir_stop_flag();
    weir_status st = migrate(settings->pg_url, err);
    if (!st) st = weir_http_server_start(o->host, (int)o->port, THREADS, BODY_BYTES_MAX, &http, err);
    if (!st) st = weir_registry_server_new(http, settings->pg_url, &registry, err);
    if (!st) st = weir_http_server_route(http, &(weir_http_route){.method = "GET", .path = "/healthz", .handler = healthy}, err);
    if (!st) st = weir_http_server_route(http, &(weir_http_route){.method = "GET", .path = "/readyz", .handler = healthy}, err);
    if (!st) WEIR_INFO("schema registry ready", WEIR_S("host", o->host), WEIR_I("port", weir_http_server_port(http)));
    while (!st && !*stop) weir_clock_sleep_us(weir_clock_system(), LOOK_US);
    weir_http_server_stop(http); /* running requests still need the registry */
    weir_registry_server_free(registry);
    if (!st) WEIR_INFO("schema registry stopped");
    return st;
}

const weir_command weir_command_schema_registry = {
    .name = "schema-registry",
    .args = "[--host H] [--port N]",
    .doc = "Serves a schema registry (Confluent's REST API) that keeps its schemas in PostgreSQL, until SIGTERM.",
    .options = registry_table,
    .options_size = sizeof(registry_options),
    .is_service = true,
    .run = run_registry,
};
