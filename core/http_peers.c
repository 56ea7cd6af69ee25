/* The connections of an HTTP server and their deadlines. libmicrohttpd ends a connection that is silent; one that drips a byte a second is never silent, and is ended here. */
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "core/http_internal.h"

enum { PHASE_BITS = 3, BODY_KEPT_MAX = 256 * 1024 };

int64_t http_now_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static int64_t phase_word(const http_peers *peers, http_phase phase) {
    if (phase == HTTP_HANDLING || phase == HTTP_LATE) return phase;
    int64_t due_ms = http_now_us() / 1000 + (phase == HTTP_IDLE ? peers->idle_ms : peers->request_ms);
    return due_ms << PHASE_BITS | phase;
}

http_peer *http_peer_new(http_peers *peers, int fd) {
    http_peer *peer = weir_mem.realloc(NULL, sizeof *peer);
    if (!peer) return NULL;
    *peer = (http_peer){.fd = fd};
    atomic_init(&peer->phase, phase_word(peers, HTTP_IDLE));
    pthread_mutex_lock(&peers->lock);
    peer->next = peers->first;
    peer->link = &peers->first;
    if (peer->next) peer->next->link = &peer->next;
    peers->first = peer;
    pthread_mutex_unlock(&peers->lock);
    return peer;
}

void http_peer_free(http_peers *peers, http_peer *peer) {
    if (!peer) return;
    pthread_mutex_lock(&peers->lock);
    *peer->link = peer->next;
    if (peer->next) peer->next->link = peer->link;
    pthread_mutex_unlock(&peers->lock);
    weir_buf_done(&peer->body);
    weir_mem.realloc(peer, 0);
}

bool http_peer_enter(http_peers *peers, http_peer *peer, http_phase phase) {
    int64_t before = atomic_load(&peer->phase), after = phase_word(peers, phase);
    do {
        if (before == HTTP_LATE) return false;
    } while (!atomic_compare_exchange_weak(&peer->phase, &before, after));
    if (phase == HTTP_IDLE && peer->body.capacity > BODY_KEPT_MAX) weir_buf_done(&peer->body);
    return true;
}

static void end_late(const http_peers *peers, http_peer *peer, http_phase was) {
    static const char answer[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 56\r\n\r\n"
                                 "{\"error\":\"the request did not arrive whole within time\"}";
    if (was == HTTP_READING) weir_metric_add(peers->late, 1);
    if (was == HTTP_READING && !peers->silent) (void)!send(peer->fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(peer->fd, SHUT_RDWR);
}

void http_peers_end_late(http_peers *peers) {
    int64_t now_ms = http_now_us() / 1000;
    pthread_mutex_lock(&peers->lock);
    for (http_peer *peer = peers->first; peer; peer = peer->next) {
        int64_t word = atomic_load(&peer->phase);
        http_phase was = (http_phase)(word & ((1 << PHASE_BITS) - 1));
        bool timed = was != HTTP_HANDLING && was != HTTP_LATE;
        if (timed && word >> PHASE_BITS < now_ms && atomic_compare_exchange_strong(&peer->phase, &word, HTTP_LATE)) end_late(peers, peer, was);
    }
    pthread_mutex_unlock(&peers->lock);
}
