/* The rendezvous of the collective: what is read, who is next to whom, and workers, garbage and silence over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "models/tracker.h"
#include "tests/unit/starve.h"

enum { MAGIC = 0xff99 };
#define TOKEN "secret"

/* ---- messages ---- */

static size_t put_int(char *at, int value) {
    memcpy(at, &value, 4);
    return 4;
}

static size_t put_text(char *at, const char *text) {
    size_t len = strlen(text);
    put_int(at, (int)len);
    memcpy(at + 4, text, len);
    return 4 + len;
}

static size_t put_hello(char *at, int rank, int world, const char *task, const char *command) {
    size_t len = put_int(at, rank);
    len += put_int(at + len, world);
    len += put_text(at + len, task);
    return len + put_text(at + len, command);
}

static void a_hello_is_read_whole_or_not_at_all(void **state) {
    (void)state;
    char bytes[256];
    weir_tracker_hello hello = {0};
    size_t used = 0, len = put_hello(bytes, -1, 3, TOKEN ".2", "start");
    for (size_t n = 0; n < len; n++) assert_int_equal(weir_tracker_read_hello(bytes, n, TOKEN, 3, &hello, &used), WEIR_TRACKER_MORE);
    assert_int_equal(weir_tracker_read_hello(bytes, len + 9, TOKEN, 3, &hello, &used), WEIR_TRACKER_WHOLE);
    assert_int_equal(used, len);
    assert_int_equal(hello.task, 2);
    assert_int_equal(hello.rank, -1);
    assert_int_equal(hello.command, WEIR_TRACKER_START);
    len = put_hello(bytes, 1, -1, TOKEN ".1", "shutdown");
    assert_int_equal(weir_tracker_read_hello(bytes, len, TOKEN, 3, &hello, &used), WEIR_TRACKER_WHOLE);
    assert_int_equal(hello.command, WEIR_TRACKER_SHUTDOWN);
}

static void a_wrong_hello_is_bad(void **state) {
    (void)state;
    static const struct {
        int rank, world;
        const char *task, *command;
    } wrong[] = {
        {-1, 3, "guess.2", "start"},  {-1, 3, TOKEN ".3", "start"},   {-1, 3, TOKEN ".02", "start"},   {-1, 3, TOKEN "2", "start"},
        {-1, 3, TOKEN ".", "start"},  {-1, 3, "", "start"},           {-1, 3, TOKEN ".2", "stop"},     {-1, 3, TOKEN ".2", "recover"},
        {-1, 2, TOKEN ".2", "start"}, {-1, 4, TOKEN ".2", "start"},   {3, 3, TOKEN ".2", "start"},     {-2, 3, TOKEN ".2", "start"},
        {2, 3, TOKEN ".2", "start"},  {1, 3, TOKEN ".2", "shutdown"}, {-1, 3, TOKEN ".2", "shutdown"}, {-1, 3, TOKEN ".2 ", "start"},
    };
    char bytes[512];
    weir_tracker_hello hello = {0};
    size_t used = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t len = put_hello(bytes, wrong[i].rank, wrong[i].world, wrong[i].task, wrong[i].command);
        if (weir_tracker_read_hello(bytes, len, TOKEN, 3, &hello, &used) != WEIR_TRACKER_BAD) fail_msg("%zu is not bad", i);
    }
    /* lengths that are below 0, or promise more than there may be */
    const int lengths[] = {-1, WEIR_TRACKER_TEXT_MAX + 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++) {
        size_t len = put_int(bytes, -1);
        len += put_int(bytes + len, 3);
        len += put_int(bytes + len, lengths[i]);
        assert_int_equal(weir_tracker_read_hello(bytes, len, TOKEN, 3, &hello, &used), WEIR_TRACKER_BAD);
    }
}

static void links_are_read_as_bits(void **state) {
    (void)state;
    char bytes[64];
    uint64_t ranks = 0;
    size_t used = 0, len = put_int(bytes, 2);
    len += put_int(bytes + len, 63);
    len += put_int(bytes + len, 0);
    for (size_t n = 0; n < len; n++) assert_int_equal(weir_tracker_read_links(bytes, n, 64, &ranks, &used), WEIR_TRACKER_MORE);
    assert_int_equal(weir_tracker_read_links(bytes, len, 64, &ranks, &used), WEIR_TRACKER_WHOLE);
    assert_true(ranks == (UINT64_C(1) << 63 | 1) && used == len);
    assert_int_equal(weir_tracker_read_links(bytes, len, 63, &ranks, &used), WEIR_TRACKER_BAD);
    put_int(bytes, 65);
    assert_int_equal(weir_tracker_read_links(bytes, len, 64, &ranks, &used), WEIR_TRACKER_BAD);
}

/* ---- places ---- */

static bool is_neighbour(const weir_tracker_place *p, int rank) {
    for (int i = 0; i < p->neighbour_count; i++)
        if (p->neighbours[i] == rank) return true;
    return false;
}

static void places_are_one_tree_and_one_ring(void **state) {
    (void)state;
    weir_tracker_place places[WEIR_TRACKER_WORKERS_MAX];
    for (int workers = 1; workers <= WEIR_TRACKER_WORKERS_MAX; workers++) {
        int links = 0;
        weir_tracker_places(workers, places);
        for (int r = 0; r < workers; r++) {
            const weir_tracker_place *p = &places[r];
            links += p->neighbour_count;
            assert_true(r ? p->parent >= 0 && is_neighbour(p, p->parent) : p->parent == -1);
            for (int i = 0; i < p->neighbour_count; i++) assert_true(is_neighbour(&places[p->neighbours[i]], r));
            if (workers > 1) assert_true(places[p->after].before == r && p->after == (r + 1) % workers);
            int steps = 0;
            for (int at = r; at; at = places[at].parent) assert_true(++steps < workers);
        }
        assert_int_equal(links, 2 * (workers - 1));
    }
    assert_true(places[0].neighbour_count == 2);
    weir_tracker_places(1, places);
    assert_true(places[0].before == -1 && places[0].after == -1);
}

/* By hand from tracker.py of the Python package, for five workers: nodes 0-(1-(3, 4), 2) go round as 0, 1, 3, 4, 2. */
static void five_workers_are_placed_as_by_the_python_tracker(void **state) {
    (void)state;
    weir_tracker_place p[5];
    weir_tracker_places(5, p);
    const int parents[] = {-1, 0, 1, 1, 0};
    for (int r = 0; r < 5; r++) assert_int_equal(p[r].parent, parents[r]);
    assert_true(is_neighbour(&p[1], 2) && is_neighbour(&p[1], 3) && p[1].neighbour_count == 3 && p[4].neighbour_count == 1);
}

/* ---- sockets ---- */

static int connect_to(int port) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return fd;
}

static bool say(int fd, const void *bytes, size_t len) {
    return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool say_int(int fd, int value) {
    return say(fd, &value, sizeof value);
}

static int hear_int(int fd) {
    int value = -99;
    return recv(fd, &value, sizeof value, MSG_WAITALL) == sizeof value ? value : -99;
}

static bool is_closed(int fd) {
    char byte;
    return recv(fd, &byte, 1, 0) <= 0;
}

static void greet(int fd, int rank, const char *task, const char *command) {
    char bytes[256];
    assert_true(say_int(fd, MAGIC));
    assert_int_equal(hear_int(fd), MAGIC);
    assert_true(say(fd, bytes, put_hello(bytes, rank, -1, task, command)));
}

/* A worker that does as XGBoost's does, but for the links themselves. */
typedef struct worker {
    pthread_t thread;
    int port, task, workers; /* of the tracker */
    int rank, told, waits, errors; /* what it heard; errors: how often it says first that a connection failed */
    bool ok;
} worker;

static bool hear_links(worker *w, int fd) {
    char host[64];
    if (!say_int(fd, 0)) return false;
    w->told = hear_int(fd);
    w->waits = hear_int(fd);
    for (int i = 0; i < w->told; i++) {
        int len = hear_int(fd);
        if (len < 1 || len >= (int)sizeof host || recv(fd, host, (size_t)len, MSG_WAITALL) != len) return false;
        host[len] = 0;
        if (strcmp(host, "127.0.0.1") != 0) return false;
        int port = hear_int(fd), rank = hear_int(fd);
        if (port != 40000 + rank || rank >= w->rank) return false;
    }
    return w->told >= 0 && w->waits >= 0;
}

static void *work(void *context) {
    worker *w = context;
    char task[32];
    weir_tracker_place places[WEIR_TRACKER_WORKERS_MAX];
    int fd = connect_to(w->port);
    snprintf(task, sizeof task, "%s.%d", TOKEN, w->task);
    greet(fd, -1, task, "start");
    weir_tracker_places(w->workers, places);
    w->rank = hear_int(fd);
    w->ok = w->rank == w->task && hear_int(fd) == places[w->rank].parent && hear_int(fd) == w->workers;
    int count = hear_int(fd);
    w->ok = w->ok && count == places[w->rank].neighbour_count;
    for (int i = 0; i < count; i++) w->ok = w->ok && is_neighbour(&places[w->rank], hear_int(fd));
    w->ok = w->ok && hear_int(fd) == places[w->rank].before && hear_int(fd) == places[w->rank].after;
    for (int left = w->errors; w->ok && left >= 0; left--) {
        w->ok = hear_links(w, fd);
        w->ok = w->ok && say_int(fd, left && w->told ? 1 : 0);
        if (!w->told) break;
    }
    w->ok = w->ok && say_int(fd, 40000 + w->rank) && is_closed(fd);
    close(fd);
    return NULL;
}

static void begin(worker *w, int port, int task, int workers) {
    *w = (worker){.port = port, .task = task, .workers = workers, .errors = task % 3};
    assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static weir_tracker *start(int workers) {
    weir_tracker *tracker = NULL;
    weir_err err;
    assert_int_equal(weir_tracker_new("127.0.0.1", workers, TOKEN, &tracker, &err), WEIR_OK);
    return tracker;
}

static bool becomes(const weir_tracker *tracker, weir_tracker_state state) {
    for (int i = 0; i < 2000 && weir_tracker_state_now(tracker) != state; i++) weir_clock_sleep_us(weir_clock_system(), 10000);
    return weir_tracker_state_now(tracker) == state;
}

static void shut_down(int port, int workers) {
    char task[32];
    for (int r = 0; r < workers; r++) {
        int fd = connect_to(port);
        snprintf(task, sizeof task, "%s.%d", TOKEN, r);
        greet(fd, r, task, "shutdown");
        assert_true(is_closed(fd));
        close(fd);
    }
}

/* Every link is made once: one end is told to connect, the other waits. */
static void finish(worker *workers, int count) {
    int told = 0, waits = 0;
    for (int i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_true(workers[i].ok);
        told += workers[i].told;
        waits += workers[i].waits;
    }
    assert_int_equal(told, waits);
    assert_true(told >= count - 1);
}

static void workers_are_linked_whatever_their_number(void **state) {
    (void)state;
    worker workers[WEIR_TRACKER_WORKERS_MAX];
    const int counts[] = {1, 2, 3, 5, 17, WEIR_TRACKER_WORKERS_MAX};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        weir_tracker *tracker = start(counts[c]);
        for (int i = counts[c] - 1; i >= 0; i--) begin(&workers[i], weir_tracker_port(tracker), i, counts[c]);
        finish(workers, counts[c]);
        assert_true(becomes(tracker, WEIR_TRACKER_LINKED));
        shut_down(weir_tracker_port(tracker), counts[c]);
        assert_int_equal(weir_tracker_ended(tracker), counts[c]);
        assert_int_equal(weir_tracker_dropped(tracker), 0);
        weir_tracker_free(tracker);
    }
}

/* Garbage comes first, beside and after; it is dropped, and the workers do not notice. */
static void garbage_is_dropped_and_hurts_nobody(void **state) {
    (void)state;
    enum { WORKERS = 3, STRANGERS = 8 };
    worker workers[WORKERS];
    char bytes[4096];
    int fds[STRANGERS], silent[4];
    weir_tracker *tracker = start(WORKERS);
    int port = weir_tracker_port(tracker);
    begin(&workers[0], port, 0, WORKERS);
    for (int i = 0; i < STRANGERS; i++) fds[i] = connect_to(port);
    for (int i = 0; i < 4; i++) silent[i] = connect_to(port);
    memset(bytes, 0x5a, sizeof bytes);
    assert_true(say(fds[0], "GET / HTTP/1.1\r\n\r\n", 18));
    assert_true(say(fds[1], bytes, sizeof bytes));
    greet(fds[2], -1, "guess.1", "start");
    greet(fds[3], -1, TOKEN ".1", "recover");
    greet(fds[4], 1, TOKEN ".1", "start");
    greet(fds[5], -1, TOKEN ".0", "print");
    assert_true(say_int(fds[5], WEIR_TRACKER_PRINT_MAX + 1));
    greet(fds[6], -1, TOKEN ".7", "start");
    assert_true(say_int(fds[7], MAGIC));
    assert_int_equal(hear_int(fds[7]), MAGIC);
    assert_true(say(fds[7], bytes, 8)); /* rank 0x5a5a5a5a */
    for (int i = 0; i < STRANGERS; i++) {
        assert_true(is_closed(fds[i]));
        close(fds[i]);
    }
    begin(&workers[2], port, 2, WORKERS);
    begin(&workers[1], port, 1, WORKERS);
    finish(workers, WORKERS);
    assert_true(becomes(tracker, WEIR_TRACKER_LINKED));
    assert_int_equal(weir_tracker_dropped(tracker), STRANGERS);
    shut_down(port, WORKERS);
    for (int i = 0; i < 4; i++) close(silent[i]);
    weir_tracker_free(tracker);
}

static void what_is_printed_is_taken_and_dropped(void **state) {
    (void)state;
    char text[WEIR_TRACKER_PRINT_MAX] = {0};
    weir_tracker *tracker = start(1);
    int fd = connect_to(weir_tracker_port(tracker));
    greet(fd, -1, TOKEN ".0", "print");
    assert_true(say_int(fd, sizeof text));
    assert_true(say(fd, text, sizeof text));
    assert_true(is_closed(fd));
    close(fd);
    assert_int_equal(weir_tracker_dropped(tracker), 0);
    weir_tracker_free(tracker);
}

/* Before the links are given out a place is free again; a second worker of the same rank does not take it while it is not. */
static void a_worker_that_goes_early_may_come_again(void **state) {
    (void)state;
    worker workers[2];
    weir_tracker *tracker = start(2);
    int port = weir_tracker_port(tracker), first = connect_to(port);
    greet(first, -1, TOKEN ".0", "start");
    weir_clock_sleep_us(weir_clock_system(), 100000);
    int twin = connect_to(port);
    greet(twin, -1, TOKEN ".0", "start");
    assert_true(is_closed(twin));
    close(twin);
    close(first);
    while (weir_tracker_dropped(tracker) < 2) weir_clock_sleep_us(weir_clock_system(), 10000);
    begin(&workers[0], port, 0, 2);
    begin(&workers[1], port, 1, 2);
    finish(workers, 2);
    assert_true(becomes(tracker, WEIR_TRACKER_LINKED));
    weir_tracker_free(tracker);
}

/* One that goes while links are given out breaks the group: the leader begins another. So does one that lies about errors. */
static void a_worker_that_goes_late_breaks_the_group(void **state) {
    (void)state;
    for (int lies = 0; lies < 2; lies++) {
        weir_tracker *tracker = start(2);
        int port = weir_tracker_port(tracker), a = connect_to(port), b = connect_to(port);
        greet(a, -1, TOKEN ".0", "start");
        greet(b, -1, TOKEN ".1", "start");
        assert_int_equal(hear_int(a), 0);
        for (int i = 0; lies && i < 6; i++) (void)hear_int(a); /* parent, world, count, a neighbour, before, after */
        if (lies) assert_true(say_int(a, 0) && hear_int(a) == 0 && hear_int(a) == 1 && say_int(a, 7));
        if (!lies) close(a);
        assert_true(becomes(tracker, WEIR_TRACKER_FAILED));
        if (lies) close(a);
        close(b);
        weir_tracker_free(tracker);
    }
}

static void wrong_trackers_are_refused(void **state) {
    (void)state;
    weir_tracker *tracker = NULL;
    weir_err err;
    assert_int_equal(weir_tracker_new("localhost", 2, TOKEN, &tracker, &err), WEIR_EINVAL);
    assert_int_equal(weir_tracker_new("192.0.2.1", 2, TOKEN, &tracker, &err), WEIR_ENET);
    assert_int_equal(weir_tracker_new("127.0.0.1", 0, TOKEN, &tracker, &err), WEIR_EINVAL);
    assert_int_equal(weir_tracker_new("127.0.0.1", WEIR_TRACKER_WORKERS_MAX + 1, TOKEN, &tracker, &err), WEIR_EINVAL);
    assert_int_equal(weir_tracker_new("127.0.0.1", 2, "", &tracker, &err), WEIR_EINVAL);
    const weir_allocator before = weir_mem;
    allocations_left = 0;
    weir_mem.realloc = failing_realloc;
    assert_int_equal(weir_tracker_new("127.0.0.1", 2, TOKEN, &tracker, &err), WEIR_ENOMEM);
    weir_mem = before;
    assert_null(tracker);
    weir_tracker_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_is_read_whole_or_not_at_all),
        cmocka_unit_test(a_wrong_hello_is_bad),
        cmocka_unit_test(links_are_read_as_bits),
        cmocka_unit_test(places_are_one_tree_and_one_ring),
        cmocka_unit_test(five_workers_are_placed_as_by_the_python_tracker),
        cmocka_unit_test(workers_are_linked_whatever_their_number),
        cmocka_unit_test(garbage_is_dropped_and_hurts_nobody),
        cmocka_unit_test(what_is_printed_is_taken_and_dropped),
        cmocka_unit_test(a_worker_that_goes_early_may_come_again),
        cmocka_unit_test(a_worker_that_goes_late_breaks_the_group),
        cmocka_unit_test(wrong_trackers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
