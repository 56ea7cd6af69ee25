/* The server half of core/http.h over libmicrohttpd: epoll, a pool of internal threads, handlers run on those threads.
 *
 * A request lives from begin_request (headers read) to request_completed (answer sent or connection lost). Its body is collected up to the limit; one that is longer is
 * swallowed and answered with 413, because closing a connection with unread bytes would take the answer away from the client. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/http.h"
#include "core/metrics.h"

enum {
    IDLE_TIMEOUT_S = 60,
    CONNECTIONS_MAX = 1024,
    CONNECTION_MEMORY_BYTES = 64 * 1024,
    STOP_DEADLINE_S = 5,
    SWALLOW_BYTES_MAX = 64 * 1024 * 1024,
    ALLOW_MAX = 64
};

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

typedef struct route {
    struct route *next;
    weir_http_handler handler;
    void *context;
    size_t path_len; /* without the '*' */
    bool prefix;
    unsigned running; /* handlers inside right now */
    char method[16];
    char path[];
} route;

struct weir_http_server {
    struct MHD_Daemon *daemon;
    int port;
    size_t max_body_bytes;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    route *routes;
    unsigned requests; /* begun and not completed */
};

typedef struct request {
    weir_buf body;
    size_t received_bytes;
    bool no_memory;
} request;

const char *weir_http_query(const weir_http_request *req, const char *name) {
    const char *value = NULL;
    if (MHD_lookup_connection_value_n(req->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value, NULL) == MHD_NO) return NULL;
    return value ? value : "";
}

const char *weir_http_header(const weir_http_request *req, const char *name) {
    return MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, name);
}

void weir_http_add_header(weir_http_response *response, const char *name, const char *format, ...) {
    va_list args;
    assert(response->header_count < WEIR_HTTP_HEADERS_MAX);
    int i = response->header_count++;
    response->headers[i].name = name;
    va_start(args, format);
    vsnprintf(response->headers[i].value, sizeof response->headers[i].value, format, args);
    va_end(args);
}

void weir_http_error(weir_http_response *response, int status, const char *format, ...) {
    char message[WEIR_ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    response->status = status;
    response->content_type = "application/json";
    response->header_count = 0;
    weir_buf_clear(&response->body);
    bool ok = weir_buf_append(&response->body, "{\"error\":\"", 10) && weir_buf_json_escape(&response->body, message, strlen(message)) &&
              weir_buf_append(&response->body, "\"}\n", 3);
    if (!ok) weir_buf_clear(&response->body);
}

/* ---- routes ---- */

static bool path_matches(const route *r, const char *path) {
    return r->prefix ? !strncmp(path, r->path, r->path_len) : !strcmp(path, r->path);
}

static bool method_matches(const route *r, const char *method) {
    return !strcmp(r->method, "*") || !strcmp(r->method, method);
}

/* The most specific route: exact before prefix, longer prefix before shorter. allow lists the methods of the path when none has this one. */
static route *find_route(const weir_http_server *server, const char *method, const char *path, char allow[ALLOW_MAX]) {
    route *best = NULL;
    allow[0] = 0;
    for (route *r = server->routes; r; r = r->next) {
        if (!path_matches(r, path)) continue;
        if (!method_matches(r, method)) {
            size_t used = strlen(allow);
            if (!strstr(allow, r->method))
                snprintf(allow + used, ALLOW_MAX - used, "%s%s%s", used ? ", " : "", r->method, strcmp(r->method, "GET") ? "" : ", HEAD");
            continue;
        }
        if (!best || (best->prefix && (!r->prefix || r->path_len > best->path_len))) best = r;
    }
    return best;
}

static route *enter_route(weir_http_server *server, const char *method, const char *path, char allow[ALLOW_MAX]) {
    pthread_mutex_lock(&server->lock);
    route *r = find_route(server, method, path, allow);
    if (r) r->running++;
    pthread_mutex_unlock(&server->lock);
    return r;
}

static void leave_route(weir_http_server *server, route *r) {
    pthread_mutex_lock(&server->lock);
    if (--r->running == 0) pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

weir_status weir_http_server_route(weir_http_server *server, const weir_http_route *spec, weir_err *err) {
    size_t path_len = strlen(spec->path), method_len = strlen(spec->method);
    if (spec->path[0] != '/' || method_len == 0 || method_len >= sizeof((route *)0)->method)
        return WEIR_FAIL(err, WEIR_EINVAL, "the route \"%s %s\" needs a method and a path that begins with /", spec->method, spec->path);
    route *added = weir_mem.realloc(NULL, sizeof *added + path_len + 1);
    if (!added) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the route %s", spec->path);
    *added = (route){.handler = spec->handler, .context = spec->context};
    added->prefix = spec->path[path_len - 1] == '*';
    added->path_len = path_len - added->prefix;
    memcpy(added->method, spec->method, method_len + 1);
    memcpy(added->path, spec->path, added->path_len);
    added->path[added->path_len] = 0;

    pthread_mutex_lock(&server->lock);
    route *same = server->routes;
    while (same && (same->prefix != added->prefix || strcmp(same->path, added->path) || strcmp(same->method, added->method))) same = same->next;
    if (!same) {
        added->next = server->routes;
        server->routes = added;
    }
    pthread_mutex_unlock(&server->lock);
    if (!same) return WEIR_OK;
    weir_mem.realloc(added, 0);
    return WEIR_FAIL(err, WEIR_ECONFLICT, "the route \"%s %s\" exists already", spec->method, spec->path);
}

void weir_http_server_unroute(weir_http_server *server, void *context) {
    pthread_mutex_lock(&server->lock);
    route *removed = NULL;
    for (route **at = &server->routes; *at;) {
        route *r = *at;
        if (r->context != context) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        r->next = removed;
        removed = r;
    }
    while (removed) {
        while (removed->running) pthread_cond_wait(&server->changed, &server->lock);
        route *next = removed->next;
        weir_mem.realloc(removed, 0);
        removed = next;
    }
    pthread_mutex_unlock(&server->lock);
}

/* ---- answering ---- */

static void free_body(void *data) {
    weir_mem.realloc(data, 0);
}

/* What a 401 has to say (RFC 9110 15.5.2): bearer tokens are taken (RFC 6750 3), and whether one came. */
static const char *challenge(struct MHD_Connection *connection) {
    bool given = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION) != NULL;
    return given ? "Bearer realm=\"weir\", error=\"invalid_token\"" : "Bearer realm=\"weir\"";
}

/* Takes the response's body. */
static enum MHD_Result send_response(struct MHD_Connection *connection, weir_http_response *response, const char *allow) {
    /* For a handler that said no more than a status, or had no memory to say it. */
    static char no_details[] = "{\"error\":\"no details\"}\n";
    if (response->status < 200 || response->status > 599) weir_http_error(response, 500, "the handler gave no answer");
    struct MHD_Response *answer;
    if (response->body.len > 0)
        answer = MHD_create_response_from_buffer_with_free_callback(response->body.len, response->body.data, free_body);
    else
        answer = MHD_create_response_from_buffer(response->status >= 400 ? sizeof no_details - 1 : 0, no_details, MHD_RESPMEM_PERSISTENT);
    if (!answer || response->body.len == 0) weir_buf_done(&response->body);
    response->body = (weir_buf){0};
    if (!answer) return MHD_NO;
    enum MHD_Result queued = MHD_add_response_header(answer, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type);
    for (int i = 0; queued == MHD_YES && i < response->header_count; i++)
        queued = MHD_add_response_header(answer, response->headers[i].name, response->headers[i].value);
    if (queued == MHD_YES && *allow) queued = MHD_add_response_header(answer, MHD_HTTP_HEADER_ALLOW, allow);
    if (queued == MHD_YES && response->status == MHD_HTTP_UNAUTHORIZED)
        queued = MHD_add_response_header(answer, MHD_HTTP_HEADER_WWW_AUTHENTICATE, challenge(connection));
    if (queued == MHD_YES) queued = MHD_queue_response(connection, (unsigned)response->status, answer);
    MHD_destroy_response(answer);
    return queued;
}

static enum MHD_Result send_error(struct MHD_Connection *connection, int status, const char *message) {
    weir_http_response response = {0};
    weir_http_error(&response, status, "%s", message);
    return send_response(connection, &response, "");
}

static enum MHD_Result answer(weir_http_server *server, struct MHD_Connection *connection, const char *method, const char *path, request *state) {
    char allow[ALLOW_MAX];
    weir_http_response response = {.status = 200, .content_type = "application/json"};
    if (state->no_memory) return send_error(connection, 500, "out of memory");
    if (state->received_bytes > server->max_body_bytes) {
        weir_http_error(&response, 413, "the body has %zu bytes; at most %zu are taken", state->received_bytes, server->max_body_bytes);
        return send_response(connection, &response, "");
    }
    /* libmicrohttpd drops the body of an answer to HEAD, so handlers need not know that there is such a thing. */
    if (!strcmp(method, "HEAD")) method = "GET";
    route *r = enter_route(server, method, path, allow);
    if (r) {
        const char *body = state->body.data ? state->body.data : "";
        weir_http_request req = {.method = method, .path = path, .body = body, .body_len = state->body.len, .connection = connection};
        r->handler(&req, &response, r->context);
        leave_route(server, r);
        allow[0] = 0;
    } else if (*allow) {
        weir_http_error(&response, 405, "%s takes %s, not %s", path, allow, method);
    } else {
        weir_http_error(&response, 404, "there is nothing at %s", path);
    }
    return send_response(connection, &response, allow);
}

/* ---- libmicrohttpd's callbacks ---- */

static enum MHD_Result begin_request(weir_http_server *server, struct MHD_Connection *connection, void **slot) {
    request *state = weir_mem.realloc(NULL, sizeof *state);
    if (!state) return MHD_NO;
    *state = (request){0};
    *slot = state;
    pthread_mutex_lock(&server->lock);
    server->requests++;
    pthread_mutex_unlock(&server->lock);
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned long long announced = length ? strtoull(length, NULL, 10) : 0;
    const char *expect = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT);
    /* A client that asks first, or one that would send for minutes, is told at once. */
    bool refuse = announced > server->max_body_bytes && (expect || announced > server->max_body_bytes + SWALLOW_BYTES_MAX);
    return refuse ? send_error(connection, 413, "the body is too long") : MHD_YES;
}

static enum MHD_Result take_body(weir_http_server *server, request *state, const char *data, size_t *size) {
    state->received_bytes += *size;
    if (state->received_bytes <= server->max_body_bytes)
        state->no_memory |= !weir_buf_append(&state->body, data, *size);
    else
        weir_buf_done(&state->body);
    *size = 0;
    return state->received_bytes <= server->max_body_bytes + SWALLOW_BYTES_MAX ? MHD_YES : MHD_NO;
}

static enum MHD_Result handle_access(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                     const char *upload, size_t *upload_size, void **slot) {
    (void)version;
    weir_http_server *server = context;
    if (!*slot) return begin_request(server, connection, slot);
    if (*upload_size) return take_body(server, *slot, upload, upload_size);
    return answer(server, connection, method, url, *slot);
}

static void request_completed(void *context, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why) {
    (void)connection, (void)why;
    weir_http_server *server = context;
    request *state = *slot;
    if (!state) return;
    weir_buf_done(&state->body);
    weir_mem.realloc(state, 0);
    *slot = NULL;
    pthread_mutex_lock(&server->lock);
    if (--server->requests == 0) pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoding in place. %00 stays as it is: decoded it would end the path and let "/a%00b" pass for "/a". So does what is no escape. */
static size_t unescape(void *context, struct MHD_Connection *connection, char *text) {
    (void)context, (void)connection;
    char *to = text;
    for (const char *from = text; *from; to++) {
        int high = *from == '%' ? hex_digit(from[1]) : -1;
        int low = high >= 0 ? hex_digit(from[2]) : -1;
        bool escape = low >= 0 && (high || low);
        *to = escape ? (char)(high * 16 + low) : *from;
        from += escape ? 3 : 1;
    }
    *to = 0;
    return (size_t)(to - text);
}

static void serve_metrics(const weir_http_request *req, weir_http_response *response, void *context) {
    (void)req, (void)context;
    weir_err err;
    response->content_type = OPENMETRICS_TYPE;
    if (weir_metrics_render(&response->body, &err) != WEIR_OK) weir_http_error(response, 500, "%s", err.message);
}

/* ---- life ---- */

static weir_status listen_on(const char *host, int port, int *ret_fd, int *ret_port, weir_err *err) {
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed) return WEIR_FAIL(err, WEIR_EINVAL, "cannot listen on \"%s\": %s", host, gai_strerror(failed));
    int on = 1, fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 &&
              listen(fd, SOMAXCONN) == 0;
    int why = errno;
    freeaddrinfo(found);

    struct sockaddr_storage bound = {0};
    socklen_t bound_len = sizeof bound;
    if (ok && getsockname(fd, (struct sockaddr *)&bound, &bound_len) == 0) {
        *ret_port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port);
        *ret_fd = fd;
        return WEIR_OK;
    }
    if (fd >= 0) close(fd);
    if (why == EADDRINUSE) return WEIR_FAIL(err, WEIR_ECONFLICT, "port %d on %s is in use by another program", port, host);
    return WEIR_FAIL(err, WEIR_EIO, "cannot listen on %s port %d: %s", host, port, strerror(why));
}

static void free_server(weir_http_server *server) {
    for (route *r = server->routes, *next; r; r = next) {
        next = r->next;
        weir_mem.realloc(r, 0);
    }
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    weir_mem.realloc(server, 0);
}

static struct MHD_Daemon *start_daemon(weir_http_server *server, int fd, unsigned threads) {
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)request_completed, server},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)unescape, NULL},
        {threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, handle_access, server, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

weir_status weir_http_server_start(const char *host, int port, unsigned threads, size_t max_body_bytes, weir_http_server **ret_server, weir_err *err) {
    if (port < 0 || port > 65535) return WEIR_FAIL(err, WEIR_EINVAL, "%d is not a port; expected 0 to 65535", port);
    weir_http_server *server = weir_mem.realloc(NULL, sizeof *server);
    if (!server) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an HTTP server");
    *server = (weir_http_server){.max_body_bytes = max_body_bytes};
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);

    int fd = -1;
    weir_http_route metrics = {.method = "GET", .path = "/metrics", .handler = serve_metrics, .context = server};
    weir_status status = weir_http_server_route(server, &metrics, err);
    if (status == WEIR_OK) status = listen_on(host, port, &fd, &server->port, err);
    if (status == WEIR_OK) {
        server->daemon = start_daemon(server, fd, threads);
        if (!server->daemon) {
            close(fd);
            status = WEIR_FAIL(err, WEIR_EIO, "the HTTP server on %s port %d did not start: %s", host, server->port, strerror(errno));
        }
    }
    if (status != WEIR_OK) {
        free_server(server);
        return status;
    }
    *ret_server = server;
    return WEIR_OK;
}

int weir_http_server_port(const weir_http_server *server) {
    return server->port;
}

void weir_http_server_stop(weir_http_server *server) {
    if (!server) return;
    /* No new connections; what was begun is answered, by a deadline against clients that never finish. */
    int fd = MHD_quiesce_daemon(server->daemon);
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += STOP_DEADLINE_S;
    pthread_mutex_lock(&server->lock);
    while (server->requests && pthread_cond_timedwait(&server->changed, &server->lock, &deadline) == 0) {
    }
    pthread_mutex_unlock(&server->lock);
    MHD_stop_daemon(server->daemon);
    if (fd >= 0) close(fd);
    free_server(server);
}
