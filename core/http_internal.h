/* What the files of the HTTP server share; used by core/http_*.c only. */
#ifndef WEIR_CORE_HTTP_INTERNAL_H
#define WEIR_CORE_HTTP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/http.h"
#include "core/metrics.h"

/* ---- connections (http_peers.c) ---- */

/* What a connection is at, and until when it may be. One word, so that the thread that serves it and the one that watches over it agree on who was first:
 *
 *      IDLE ──request line──> READING ──body there──> HANDLING ──answer made──> SENDING ──sent──> IDLE
 *        └────────────────────────┴────────── deadline passed: LATE ────────────────┘              (closed) */
typedef enum http_phase { HTTP_IDLE, HTTP_READING, HTTP_HANDLING, HTTP_SENDING, HTTP_LATE } http_phase;

enum { HTTP_METHOD_MAX = 16, HTTP_PATH_MAX = 256, HTTP_TRACE_MAX = 33 };

typedef struct http_peer {
    struct http_peer *next, **link; /* guarded by http_peers.lock */
    int fd;
    _Atomic int64_t phase; /* deadline in milliseconds of the monotonic clock × 8 + http_phase */
    /* Of the request that it is at; touched by the thread that serves the connection alone. */
    bool has_body, busy, no_memory;
    weir_buf body;
    size_t received_bytes, counted_bytes;
    int64_t began_us;
    int status;
    size_t answer_bytes;
    char method[HTTP_METHOD_MAX], path[HTTP_PATH_MAX], trace[HTTP_TRACE_MAX], address[48]; /* for the access log */
} http_peer;

typedef struct http_peers {
    pthread_mutex_t lock;
    http_peer *first;
    int idle_ms, request_ms;
    weir_metric *late; /* counts them */
    bool silent; /* a late request is not told so: over TLS nobody but its own thread may write */
} http_peers;

int64_t http_now_us(void);
http_peer *http_peer_new(http_peers *peers, int fd); /* NULL: no memory */
void http_peer_free(http_peers *peers, http_peer *peer); /* before its socket is closed */
/** False when its deadline had passed before: it is being closed. */
bool http_peer_enter(http_peers *peers, http_peer *peer, http_phase phase);
/** Ends the connections whose deadline has passed. */
void http_peers_end_late(http_peers *peers);

/* ---- the access log (http_access.c) ---- */

typedef struct http_access http_access;
/** path: a file, which is appended to, or "-" for standard error. Errors: WEIR_EIO naming the file. */
weir_status http_access_open(const char *path, http_access **ret_access, weir_err *err) WEIR_MUST_CHECK;
/** One line of JSON. Kept for a moment: a lock is held while some two hundred bytes are copied, never while a file is written. What cannot be written, or kept, is counted and said
 *  in the next line that can. */
void http_access_add(http_access *access, const http_peer *peer);
void http_access_flush(http_access *access);
void http_access_close(http_access *access); /* NULL is fine */

/* ---- TLS (http_tls.c) ---- */

typedef struct http_tls {
    weir_buf certificate, key; /* PEM */
} http_tls;
/** Reads both and checks that they belong together. Errors: WEIR_EINVAL saying which file, and what is wrong with it. */
weir_status http_tls_read(const char *certificate_path, const char *key_path, http_tls *ret_tls, weir_err *err) WEIR_MUST_CHECK;
void http_tls_done(http_tls *tls); /* the key is wiped */

#endif
