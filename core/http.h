/* HTTP: a small server over libmicrohttpd (routes, limits, keep-alive) and a client over libcurl. */
#ifndef WEIR_CORE_HTTP_H
#define WEIR_CORE_HTTP_H

#include <stdint.h>

#include "core/err.h"
#include "core/mem.h"

typedef struct weir_http_request {
    const char *method, *path; /* path is decoded, without the query */
    const char *body; /* NUL-terminated, body_len bytes */
    size_t body_len;
    void *connection; /* for weir_http_query / weir_http_header */
} weir_http_request;

enum { WEIR_HTTP_HEADERS_MAX = 4 };
typedef struct weir_http_response {
    int status; /* 200 unless changed */
    const char *content_type; /* static; "application/json" unless changed */
    weir_buf body;
    int header_count;
    struct {
        const char *name; /* static */
        char value[48];
    } headers[WEIR_HTTP_HEADERS_MAX]; /* further ones: weir_http_add_header */
} weir_http_response;

const char *weir_http_query(const weir_http_request *request, const char *name); /* NULL when absent */
const char *weir_http_header(const weir_http_request *request, const char *name); /* NULL when absent */
/** A further header of the answer. name: static; at most WEIR_HTTP_HEADERS_MAX of them, with values of less than 48 bytes. */
void weir_http_add_header(weir_http_response *response, const char *name, const char *format, ...) WEIR_PRINTF(3, 4);
/** Sets status and a JSON body {"error": message}. An answer with status 401 asks for a bearer token (WWW-Authenticate).
 *  Headers that were added are forgotten. */
void weir_http_error(weir_http_response *response, int status, const char *format, ...) WEIR_PRINTF(3, 4);

typedef void (*weir_http_handler)(const weir_http_request *request, weir_http_response *response, void *context);

typedef struct weir_http_route {
    const char *method; /* "GET", "POST", "*" */
    const char *path; /* exact, or a prefix when it ends with '*' */
    weir_http_handler handler;
    void *context;
} weir_http_route;

typedef struct weir_http_server weir_http_server;

/** Listens on host:port (port 0: any) with `threads` epoll threads. Bodies above max_body_bytes get 413, unknown paths 404, wrong methods 405.
 *  /metrics is built in. A busy port is WEIR_ECONFLICT with a sentence that names it. */
weir_status weir_http_server_start(const char *host, int port, unsigned threads, size_t max_body_bytes, weir_http_server **ret_server,
                                   weir_err *err) WEIR_MUST_CHECK;

/* What a server allows. Zero means the default. */
typedef struct weir_http_options {
    const char *host;
    int port;
    unsigned threads;
    size_t max_body_bytes;
    int connections_max; /* further clients wait until one leaves; 1024 */
    int address_connections_max; /* of one address: further ones are closed; no limit */
    int requests_max; /* with a body and in flight (from their headers to the end of their answer): further ones get 429; 1024 */
    int64_t body_bytes_max; /* of all bodies in memory: what would go beyond gets 429; 256 MiB */
    int request_timeout_ms; /* from the request line to the last byte of the body, however it drips, and for taking the answer: 408; 30 s */
    int idle_timeout_ms; /* for the next request line of a connection; 60 s */
    const char *tls_certificate, *tls_key; /* PEM files, both or neither: HTTPS alone, with TLS 1.2 and 1.3 */
    const char *access_log; /* a file, "-" for standard error, NULL or empty for none */
} weir_http_options;
/** As above, with these limits. Errors, beside those above: WEIR_EINVAL for a certificate or key that cannot serve, saying which and why. */
weir_status weir_http_server_start_with(const weir_http_options *options, weir_http_server **ret_server, weir_err *err) WEIR_MUST_CHECK;
/** From here on the server says that it leaves: every answer closes its connection, and what is asked for at a path that has gone gets 503 rather than 404. */
void weir_http_server_drain(weir_http_server *server);

/** Routes may be added while the server runs; path and method are copied. */
weir_status weir_http_server_route(weir_http_server *server, const weir_http_route *route, weir_err *err) WEIR_MUST_CHECK;
/** Removes every route with this context and waits until no handler runs with it. */
void weir_http_server_unroute(weir_http_server *server, void *context);
int weir_http_server_port(const weir_http_server *server);
void weir_http_server_stop(weir_http_server *server); /* NULL is fine; running requests finish first */

/** One request; response body replaces *ret_body. Transport failure: WEIR_ENET or WEIR_ETIMEOUT, action RETRY. Any HTTP status is success.
 *  content_type and body may be NULL. Thread-safe; connections are reused per thread. */
weir_status weir_http_call(const char *method, const char *url, const char *content_type, const void *body, size_t body_len, int timeout_ms, int *ret_status,
                           weir_buf *ret_body, weir_err *err) WEIR_MUST_CHECK;
/** The same with "Authorization: Bearer TOKEN"; token NULL: without. */
weir_status weir_http_call_as(const char *token, const char *method, const char *url, const char *content_type, const void *body, size_t body_len,
                              int timeout_ms, int *ret_status, weir_buf *ret_body, weir_err *err) WEIR_MUST_CHECK;

#endif
