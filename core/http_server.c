/* The server half of core/http.h over libmicrohttpd: epoll, a pool of internal threads, handlers run on those threads.
 *
 * A request lives from begin_request (headers read) to request_completed (answer sent or connection lost); what is known of it is kept with its connection (http_peer), so that a
 * request allocates nothing of its own. Its body is collected up to the limit; one that is longer, or that there is no room for now, is swallowed and answered with 413 or 429,
 * because closing a connection with unread bytes would take the answer away from the client. A thread of its own watches over the deadlines. */
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
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/http_internal.h"

enum {
    IDLE_TIMEOUT_MS = 60000,
    REQUEST_TIMEOUT_MS = 30000,
    CONNECTIONS_MAX = 1024,
    REQUESTS_MAX = 1024,
    RETRY_AFTER_S = 1,
    WATCH_MS = 250,
    CONNECTION_MEMORY_BYTES = 32 * 1024, /* which libmicrohttpd clears for each request; headers have to fit */
    STOP_DEADLINE_S = 5,
    POLL_US = 2000,
    SWALLOW_BYTES_MAX = 64 * 1024 * 1024,
    ALLOW_MAX = 64
};

#define BODY_BYTES_MAX (INT64_C(256) << 20)
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

typedef struct route {
    struct route *next;
    weir_http_handler handler;
    void *context;
    size_t path_len; /* without the '*' */
    bool prefix;
    _Atomic unsigned running; /* handlers inside right now */
    char method[16];
    char path[];
} route;

struct weir_http_server {
    struct MHD_Daemon *daemon;
    int port;
    size_t max_body_bytes;
    int requests_max;
    int64_t body_bytes_max;
    http_peers peers;
    http_access *access; /* NULL: none */
    weir_metric *busy, *too_long; /* refused requests */
    _Atomic int requests, bodies; /* begun and not completed; those of them that have a body */
    _Atomic int64_t body_bytes; /* of all bodies that are kept */
    _Atomic bool draining;
    pthread_rwlock_t routes_lock; /* guards routes; held while one is looked for, not while it runs */
    route *routes;
    pthread_t watch;
    bool watched;
    pthread_mutex_t watch_lock; /* guards stopping, which changed tells of */
    pthread_cond_t changed;
    bool stopping;
};

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
    pthread_rwlock_rdlock(&server->routes_lock);
    route *r = find_route(server, method, path, allow);
    if (r) atomic_fetch_add_explicit(&r->running, 1, memory_order_relaxed);
    pthread_rwlock_unlock(&server->routes_lock);
    return r;
}

static void leave_route(route *r) {
    atomic_fetch_sub_explicit(&r->running, 1, memory_order_release);
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

    pthread_rwlock_wrlock(&server->routes_lock);
    route *same = server->routes;
    while (same && (same->prefix != added->prefix || strcmp(same->path, added->path) || strcmp(same->method, added->method))) same = same->next;
    if (!same) {
        added->next = server->routes;
        server->routes = added;
    }
    pthread_rwlock_unlock(&server->routes_lock);
    if (!same) return WEIR_OK;
    weir_mem.realloc(added, 0);
    return WEIR_FAIL(err, WEIR_ECONFLICT, "the route \"%s %s\" exists already", spec->method, spec->path);
}

void weir_http_server_unroute(weir_http_server *server, void *context) {
    route *removed = NULL;
    pthread_rwlock_wrlock(&server->routes_lock);
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
    pthread_rwlock_unlock(&server->routes_lock);
    while (removed) {
        while (atomic_load_explicit(&removed->running, memory_order_acquire)) usleep(POLL_US);
        route *next = removed->next;
        weir_mem.realloc(removed, 0);
        removed = next;
    }
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
static enum MHD_Result send_response(weir_http_server *server, struct MHD_Connection *connection, http_peer *peer, weir_http_response *response,
                                     const char *allow) {
    bool draining = atomic_load_explicit(&server->draining, memory_order_relaxed);
    /* For a handler that said no more than a status, or had no memory to say it. */
    static char no_details[] = "{\"error\":\"no details\"}\n";
    if (response->status < 200 || response->status > 599) weir_http_error(response, 500, "the handler gave no answer");
    struct MHD_Response *answer;
    if (response->body.len > 0)
        answer = MHD_create_response_from_buffer_with_free_callback(response->body.len, response->body.data, free_body);
    else
        answer = MHD_create_response_from_buffer(response->status >= 400 ? sizeof no_details - 1 : 0, no_details, MHD_RESPMEM_PERSISTENT);
    if (response->status == MHD_HTTP_TOO_MANY_REQUESTS) weir_metric_add(server->busy, 1);
    if (response->status == MHD_HTTP_CONTENT_TOO_LARGE) weir_metric_add(server->too_long, 1);
    peer->status = response->status;
    peer->answer_bytes = response->body.len;
    if (!answer || response->body.len == 0) weir_buf_done(&response->body);
    response->body = (weir_buf){0};
    if (!answer) return MHD_NO;
    enum MHD_Result queued = MHD_add_response_header(answer, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type);
    for (int i = 0; queued == MHD_YES && i < response->header_count; i++)
        queued = MHD_add_response_header(answer, response->headers[i].name, response->headers[i].value);
    if (queued == MHD_YES && draining) queued = MHD_add_response_header(answer, MHD_HTTP_HEADER_CONNECTION, "close");
    if (queued == MHD_YES && *allow) queued = MHD_add_response_header(answer, MHD_HTTP_HEADER_ALLOW, allow);
    if (queued == MHD_YES && response->status == MHD_HTTP_UNAUTHORIZED)
        queued = MHD_add_response_header(answer, MHD_HTTP_HEADER_WWW_AUTHENTICATE, challenge(connection));
    if (queued == MHD_YES) queued = MHD_queue_response(connection, (unsigned)response->status, answer);
    MHD_destroy_response(answer);
    return queued;
}

static enum MHD_Result send_error(weir_http_server *server, struct MHD_Connection *connection, http_peer *peer, int status, const char *message) {
    weir_http_response response = {0};
    weir_http_error(&response, status, "%s", message);
    if (status == MHD_HTTP_TOO_MANY_REQUESTS) weir_http_add_header(&response, MHD_HTTP_HEADER_RETRY_AFTER, "%d", RETRY_AFTER_S);
    return send_response(server, connection, peer, &response, "");
}

/* What a path and method that have no route are told. */
static void answer_unknown(const weir_http_server *server, const char *method, const char *path, const char *allow, weir_http_response *response) {
    if (*allow) {
        weir_http_error(response, 405, "%s takes %s, not %s", path, allow, method);
    } else if (atomic_load(&server->draining)) {
        weir_http_error(response, 503, "this server is about to stop");
        weir_http_add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "%d", RETRY_AFTER_S);
    } else {
        weir_http_error(response, 404, "there is nothing at %s", path);
    }
}

static bool is_coded(struct MHD_Connection *connection) {
    const char *coding = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_ENCODING);
    return coding && strcasecmp(coding, "identity") != 0;
}

static enum MHD_Result answer(weir_http_server *server, struct MHD_Connection *connection, const char *method, const char *path, http_peer *peer) {
    char allow[ALLOW_MAX];
    weir_http_response response = {.status = 200, .content_type = "application/json"};
    if (!http_peer_enter(&server->peers, peer, HTTP_HANDLING)) return MHD_NO;
    if (peer->no_memory) return send_error(server, connection, peer, 500, "out of memory");
    if (peer->received_bytes > server->max_body_bytes) {
        weir_http_error(&response, 413, "the body has %zu bytes; at most %zu are taken", peer->received_bytes, server->max_body_bytes);
        return send_response(server, connection, peer, &response, "");
    }
    if (peer->busy) return send_error(server, connection, peer, 429, "too many requests at once: try again in a moment");
    if (peer->body.len && is_coded(connection))
        return send_error(server, connection, peer, 415, "a body with a content-encoding is not taken: send it as it is");
    /* libmicrohttpd drops the body of an answer to HEAD, so handlers need not know that there is such a thing. */
    if (!strcmp(method, "HEAD")) method = "GET";
    route *r = enter_route(server, method, path, allow);
    if (r) {
        const char *body = peer->body.data ? peer->body.data : "";
        weir_http_request req = {.method = method, .path = path, .body = body, .body_len = peer->body.len, .connection = connection};
        r->handler(&req, &response, r->context);
        leave_route(r);
        allow[0] = 0;
    } else {
        answer_unknown(server, method, path, allow, &response);
    }
    enum MHD_Result queued = send_response(server, connection, peer, &response, allow);
    return http_peer_enter(&server->peers, peer, HTTP_SENDING) ? queued : MHD_NO;
}

/* ---- libmicrohttpd's callbacks ---- */

static http_peer *peer_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void connection_changed(void *context, struct MHD_Connection *connection, void **slot, enum MHD_ConnectionNotificationCode what) {
    weir_http_server *server = context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        http_peer_free(&server->peers, *slot);
        *slot = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    http_peer *peer = *slot = info ? http_peer_new(&server->peers, info->connect_fd) : NULL;
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    if (!peer || !server->access || getpeername(peer->fd, (struct sockaddr *)&address, &len)) return;
    const void *number =
        address.ss_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)&address)->sin6_addr : &((struct sockaddr_in *)&address)->sin_addr;
    (void)inet_ntop(address.ss_family, number, peer->address, sizeof peer->address);
}

/* The request line is there: from now on the clock runs. */
static void *request_line(void *context, const char *uri, struct MHD_Connection *connection) {
    (void)uri;
    weir_http_server *server = context;
    http_peer *peer = peer_of(connection);
    if (peer) (void)http_peer_enter(&server->peers, peer, HTTP_READING); /* a late one is being closed */
    return NULL;
}

/* trace-id of a W3C traceparent: 00-<32 hex>-<16 hex>-<flags>. */
static void copy_trace(struct MHD_Connection *connection, http_peer *peer) {
    const char *parent = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "traceparent");
    size_t start = sizeof "00-" - 1, len = HTTP_TRACE_MAX - 1;
    peer->trace[0] = 0;
    if (!parent || strlen(parent) < start + len || strspn(parent + start, "0123456789abcdef") != len) return;
    memcpy(peer->trace, parent + start, len);
    peer->trace[len] = 0;
}

/* Whether so many further bytes of a body find room. */
static bool reserve_body(weir_http_server *server, http_peer *peer, size_t bytes) {
    if (atomic_fetch_add(&server->body_bytes, (int64_t)bytes) + (int64_t)bytes <= server->body_bytes_max) {
        peer->counted_bytes += bytes;
        return true;
    }
    atomic_fetch_sub(&server->body_bytes, (int64_t)bytes);
    return false;
}

static enum MHD_Result begin_request(weir_http_server *server, struct MHD_Connection *connection, const char *method, const char *path, void **slot) {
    http_peer *peer = peer_of(connection);
    if (!peer) return MHD_NO;
    *slot = peer;
    peer->busy = peer->no_memory = false;
    peer->received_bytes = peer->counted_bytes = peer->answer_bytes = 0;
    peer->status = 0;
    weir_buf_clear(&peer->body);
    atomic_fetch_add(&server->requests, 1);
    if (server->access) {
        peer->began_us = http_now_us();
        snprintf(peer->method, sizeof peer->method, "%s", method);
        snprintf(peer->path, sizeof peer->path, "%s", path);
        copy_trace(connection, peer);
    }
    peer->has_body = strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
    if (!peer->has_body) return MHD_YES;
    peer->busy = atomic_fetch_add(&server->bodies, 1) >= server->requests_max;
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned long long announced = length ? strtoull(length, NULL, 10) : 0;
    const char *expect = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT);
    if (!peer->busy && announced && announced <= server->max_body_bytes) peer->busy = !reserve_body(server, peer, (size_t)announced);
    /* A client that asks first, or one that would send for minutes, is told at once. */
    bool refuse = announced > server->max_body_bytes && (expect || announced > server->max_body_bytes + SWALLOW_BYTES_MAX);
    if (refuse) return send_error(server, connection, peer, 413, "the body is too long");
    return peer->busy && expect ? send_error(server, connection, peer, 429, "too many requests at once: try again in a moment") : MHD_YES;
}

static enum MHD_Result take_body(weir_http_server *server, http_peer *peer, const char *data, size_t *size) {
    peer->received_bytes += *size;
    if (peer->received_bytes > peer->counted_bytes && !peer->busy && peer->received_bytes <= server->max_body_bytes)
        peer->busy = !reserve_body(server, peer, peer->received_bytes - peer->counted_bytes);
    if (peer->received_bytes <= server->max_body_bytes && !peer->busy)
        peer->no_memory |= !weir_buf_append(&peer->body, data, *size);
    else
        weir_buf_done(&peer->body);
    *size = 0;
    return peer->received_bytes <= server->max_body_bytes + SWALLOW_BYTES_MAX ? MHD_YES : MHD_NO;
}

static enum MHD_Result handle_access(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                     const char *upload, size_t *upload_size, void **slot) {
    (void)version;
    weir_http_server *server = context;
    if (!*slot) return begin_request(server, connection, method, url, slot);
    if (*upload_size) return take_body(server, *slot, upload, upload_size);
    return answer(server, connection, method, url, *slot);
}

static void request_completed(void *context, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why) {
    (void)connection, (void)why;
    weir_http_server *server = context;
    http_peer *peer = *slot;
    if (!peer) return;
    *slot = NULL;
    bool in_time = http_peer_enter(&server->peers, peer, HTTP_IDLE);
    if (!in_time && !peer->status) peer->status = MHD_HTTP_REQUEST_TIMEOUT; /* as http_peers_end_late told it */
    if (server->access) http_access_add(server->access, peer);
    if (peer->counted_bytes) atomic_fetch_sub(&server->body_bytes, (int64_t)peer->counted_bytes);
    if (peer->has_body) atomic_fetch_sub(&server->bodies, 1);
    atomic_fetch_sub(&server->requests, 1);
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

static bool is_given(const char *text) {
    return text && *text;
}

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
    http_access_close(server->access);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->watch_lock);
    pthread_rwlock_destroy(&server->routes_lock);
    pthread_mutex_destroy(&server->peers.lock);
    weir_mem.realloc(server, 0);
}

static void *watch(void *context) {
    weir_http_server *server = context;
    pthread_mutex_lock(&server->watch_lock);
    while (!server->stopping) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WATCH_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        (void)pthread_cond_timedwait(&server->changed, &server->watch_lock, &until);
        pthread_mutex_unlock(&server->watch_lock);
        http_peers_end_late(&server->peers);
        if (server->access) http_access_flush(server->access);
        pthread_mutex_lock(&server->watch_lock);
    }
    pthread_mutex_unlock(&server->watch_lock);
    return NULL;
}

static void stop_watch(weir_http_server *server) {
    if (!server->watched) return;
    pthread_mutex_lock(&server->watch_lock);
    server->stopping = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->watch_lock);
    pthread_join(server->watch, NULL);
}

static struct MHD_Daemon *start_daemon(weir_http_server *server, int fd, const weir_http_options *options, const http_tls *tls) {
    enum { ITEMS_MAX = 16 };
    struct MHD_OptionItem items[ITEMS_MAX] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (server->peers.idle_ms > server->peers.request_ms ? server->peers.idle_ms : server->peers.request_ms) / 1000 + 1, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, options->connections_max > 0 ? options->connections_max : CONNECTIONS_MAX, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)request_completed, server},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)connection_changed, server},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)request_line, server},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)unescape, NULL},
    };
    size_t count = 8;
    if (options->address_connections_max > 0)
        items[count++] = (struct MHD_OptionItem){MHD_OPTION_PER_IP_CONNECTION_LIMIT, options->address_connections_max, NULL};
    if (options->threads > 1) items[count++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, options->threads, NULL};
    if (tls->key.len) {
        items[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, tls->certificate.data};
        items[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key.data};
        items[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)TLS_PRIORITIES};
    }
    items[count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | (tls->key.len ? MHD_USE_TLS : 0);
    return MHD_start_daemon(flags, 0, NULL, NULL, handle_access, server, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
}

static weir_status new_server(const weir_http_options *options, weir_http_server **ret_server, weir_err *err) {
    weir_http_server *server = weir_mem.realloc(NULL, sizeof *server);
    if (!server) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an HTTP server");
    *server = (weir_http_server){
        .max_body_bytes = options->max_body_bytes,
        .requests_max = options->requests_max > 0 ? options->requests_max : REQUESTS_MAX,
        .body_bytes_max = options->body_bytes_max > 0 ? options->body_bytes_max : BODY_BYTES_MAX,
        .peers = {.idle_ms = options->idle_timeout_ms > 0 ? options->idle_timeout_ms : IDLE_TIMEOUT_MS,
                  .request_ms = options->request_timeout_ms > 0 ? options->request_timeout_ms : REQUEST_TIMEOUT_MS,
                  .late = WEIR_METRIC("weir_http_refused_total", "late"),
                  .silent = is_given(options->tls_certificate)},
        .busy = WEIR_METRIC("weir_http_refused_total", "busy"),
        .too_long = WEIR_METRIC("weir_http_refused_total", "long"),
    };
    pthread_rwlock_init(&server->routes_lock, NULL);
    pthread_mutex_init(&server->watch_lock, NULL);
    pthread_mutex_init(&server->peers.lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret_server = server;
    return WEIR_OK;
}

static weir_status start_serving(weir_http_server *server, const weir_http_options *options, const http_tls *tls, weir_err *err) {
    int fd = -1;
    weir_http_route metrics = {.method = "GET", .path = "/metrics", .handler = serve_metrics, .context = server};
    weir_status status = weir_http_server_route(server, &metrics, err);
    if (!status && is_given(options->access_log)) status = http_access_open(options->access_log, &server->access, err);
    if (!status) status = listen_on(options->host, options->port, &fd, &server->port, err);
    if (status) return status;
    server->watched = !pthread_create(&server->watch, NULL, watch, server);
    if (server->watched) server->daemon = start_daemon(server, fd, options, tls);
    if (server->daemon) return WEIR_OK;
    status = WEIR_FAIL(err, WEIR_EIO, "the HTTP server on %s port %d did not start: %s", options->host, server->port, strerror(errno));
    close(fd);
    stop_watch(server);
    return status;
}

weir_status weir_http_server_start_with(const weir_http_options *options, weir_http_server **ret_server, weir_err *err) {
    weir_http_server *server = NULL;
    http_tls tls = {0};
    if (options->port < 0 || options->port > 65535) return WEIR_FAIL(err, WEIR_EINVAL, "%d is not a port; expected 0 to 65535", options->port);
    if (is_given(options->tls_certificate) != is_given(options->tls_key))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s is given, %s is not: TLS needs both", is_given(options->tls_key) ? "http_tls_key" : "http_tls_cert",
                         is_given(options->tls_key) ? "http_tls_cert" : "http_tls_key");
    if (is_given(options->tls_key) && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return WEIR_FAIL(err, WEIR_EINVAL, "http_tls_cert: this machine's libmicrohttpd was built without TLS");
    weir_status status = is_given(options->tls_key) ? http_tls_read(options->tls_certificate, options->tls_key, &tls, err) : WEIR_OK;
    if (!status) status = new_server(options, &server, err);
    if (!status && (status = start_serving(server, options, &tls, err))) free_server(server);
    http_tls_done(&tls);
    if (!status) *ret_server = server;
    return status;
}

weir_status weir_http_server_start(const char *host, int port, unsigned threads, size_t max_body_bytes, weir_http_server **ret_server, weir_err *err) {
    return weir_http_server_start_with(&(weir_http_options){.host = host, .port = port, .threads = threads, .max_body_bytes = max_body_bytes}, ret_server, err);
}

int weir_http_server_port(const weir_http_server *server) {
    return server->port;
}

void weir_http_server_drain(weir_http_server *server) {
    atomic_store(&server->draining, true);
}

void weir_http_server_stop(weir_http_server *server) {
    if (!server) return;
    /* No new connections; what was begun is answered, by a deadline against clients that never finish. */
    weir_http_server_drain(server);
    int fd = MHD_quiesce_daemon(server->daemon);
    int64_t until_us = http_now_us() + STOP_DEADLINE_S * INT64_C(1000000);
    while (atomic_load(&server->requests) && http_now_us() < until_us) usleep(POLL_US);
    stop_watch(server);
    MHD_stop_daemon(server->daemon);
    if (fd >= 0) close(fd);
    free_server(server);
}
