/* The access log of an HTTP server: a line of JSON for each request, written in pieces by whoever watches over the connections. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/http_internal.h"

enum { KEPT_BYTES_MAX = 4 << 20 };

struct http_access {
    int fd;
    pthread_mutex_t lock; /* guards kept and lost */
    weir_buf kept;
    int64_t lost; /* lines */
    pthread_mutex_t writing; /* held by whoever writes; guards out */
    weir_buf out;
};

weir_status http_access_open(const char *path, http_access **ret_access, weir_err *err) {
    http_access *access = weir_mem.realloc(NULL, sizeof *access);
    if (!access) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the access log");
    *access = (http_access){.fd = STDERR_FILENO};
    if (strcmp(path, "-") != 0) access->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (access->fd < 0) {
        weir_mem.realloc(access, 0);
        return WEIR_FAIL(err, WEIR_EIO, "the access log %s cannot be written: %s", path, strerror(errno));
    }
    pthread_mutex_init(&access->lock, NULL);
    pthread_mutex_init(&access->writing, NULL);
    *ret_access = access;
    return WEIR_OK;
}

/* Returns whether all of it was written. */
static bool write_all(int fd, const char *bytes, size_t len) {
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

void http_access_flush(http_access *access) {
    pthread_mutex_lock(&access->writing);
    pthread_mutex_lock(&access->lock);
    weir_buf taken = access->kept;
    access->kept = access->out;
    int64_t lost = access->lost;
    access->lost = 0;
    pthread_mutex_unlock(&access->lock);
    access->out = taken;
    bool said = !lost || weir_buf_printf(&access->out, "{\"lost_lines\":%lld}\n", (long long)lost);
    if ((access->out.len && !write_all(access->fd, access->out.data, access->out.len)) || !said) {
        pthread_mutex_lock(&access->lock);
        access->lost += lost + 1;
        pthread_mutex_unlock(&access->lock);
    }
    weir_buf_clear(&access->out);
    pthread_mutex_unlock(&access->writing);
}

void http_access_close(http_access *access) {
    if (!access) return;
    http_access_flush(access);
    if (access->fd != STDERR_FILENO) close(access->fd);
    weir_buf_done(&access->kept);
    weir_buf_done(&access->out);
    pthread_mutex_destroy(&access->writing);
    pthread_mutex_destroy(&access->lock);
    weir_mem.realloc(access, 0);
}

static bool put_text(weir_buf *out, const char *name, const char *text) {
    return weir_buf_printf(out, ",\"%s\":\"", name) && weir_buf_json_escape(out, text, strlen(text)) && weir_buf_append(out, "\"", 1);
}

static bool put_line(weir_buf *out, const http_peer *peer) {
    char time[WEIR_TIME_TEXT_MAX];
    weir_time_format(weir_clock_wall_us(weir_clock_system()), time);
    return weir_buf_printf(out, "{\"time\":\"%s\"", time) && put_text(out, "client", peer->address) && put_text(out, "method", peer->method) &&
           put_text(out, "path", peer->path) &&
           weir_buf_printf(out, ",\"status\":%d,\"request_bytes\":%zu,\"answer_bytes\":%zu,\"duration_us\":%lld", peer->status, peer->received_bytes,
                           peer->answer_bytes, (long long)(http_now_us() - peer->began_us)) &&
           (!*peer->trace || put_text(out, "trace_id", peer->trace)) && weir_buf_append(out, "}\n", 2);
}

void http_access_add(http_access *access, const http_peer *peer) {
    weir_buf line = {0};
    bool ok = put_line(&line, peer);
    pthread_mutex_lock(&access->lock);
    ok = ok && access->kept.len + line.len <= KEPT_BYTES_MAX && weir_buf_append(&access->kept, line.data, line.len);
    access->lost += !ok;
    pthread_mutex_unlock(&access->lock);
    weir_buf_done(&line);
}
