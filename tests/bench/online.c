/* Online reads of 30 features, in this process and over HTTP.
 *
 *   weir_bench_online embedded ENTITIES…        key → values out of the online store, with states of 30 days of payments (three a day):
 *                                                 look-up   the bare LMDB look-up (with its snapshot), the ceiling
 *                                                 newest    the features as of the newest record, which stand beside the state
 *                                                 at time   as of any time: the state is decoded and evaluated
 *                                               then batches of 10 000 keys in random order and in the order of the keys
 *   weir_bench_online http PORT RATE READS CONNECTIONS FILE [PATH]
 *                                               POST /get-online-features (or PATH) with the bodies of FILE (one a line, in turn) on keep-alive connections, one request at a time on
 *                                               each; request i is due at i / RATE, and latency counts from then, so that a server that stalls is not spared;
 *                                               RATE 0: each connection asks again as soon as it is answered, and latency counts from the request
 *   weir_bench_online echo PORT                 a server that does nothing but answer each request with the same bytes: what the machine and the load leave to any server; ends by a signal
 *
 * Medians of RUNS repetitions; percentiles are of all calls of the median run. */
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/pg.h"
#include "features/online.h"
#include "tests/bench/harness.h"

enum { RUNS = 5, READS = 100000, TEMPLATES = 64, DAYS = 31, PER_DAY = 3, KEYS_AT_ONCE = 10000, FEATURES_ID = 1, HEAD_BYTES_MAX = 400 };

static void die(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(3);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double at_share(const double *sorted, int n, double share) {
    int i = (int)(share * n);
    return sorted[i < n ? i : n - 1];
}

static uint64_t next_random(uint64_t *state) { /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* ---- embedded ---- */

/* The fraud pipeline's customer view with five aggregates over six windows. */
static weir_pipeline *thirty_features(void) {
    static const char *const aggs[] = {"count", "mean", "min", "max", "std"}, *const windows[] = {"1h", "1d", "3d", "7d", "14d", "30d"};
    const weir_embedded_file *file = weir_embedded_find("pipelines/fraud.json");
    cJSON *json = cJSON_Parse(file->data), *views = cJSON_GetObjectItemCaseSensitive(json, "views"), *view = cJSON_GetArrayItem(views, 0);
    cJSON *features = cJSON_CreateArray();
    for (size_t a = 0; a < 5; a++) {
        for (size_t w = 0; w < 6; w++) {
            char name[32];
            cJSON *feature = cJSON_CreateObject();
            snprintf(name, sizeof name, "amount_%s_%s", aggs[a], windows[w]);
            cJSON_AddStringToObject(feature, "name", name);
            cJSON_AddStringToObject(feature, "op", aggs[a]);
            if (a) cJSON_AddStringToObject(feature, "of", "amount");
            cJSON_AddStringToObject(feature, "window", windows[w]);
            cJSON_AddItemToArray(features, feature);
        }
    }
    cJSON_ReplaceItemInObjectCaseSensitive(view, "features", features);
    cJSON_DeleteItemFromArray(views, 1);
    static const char *const sections[] = {"training", "rollout", "serving"};
    for (size_t i = 0; i < 3; i++) cJSON_DeleteItemFromObjectCaseSensitive(json, sections[i]);
    return pipeline_from(json);
}

/* A customer's month as it would stand in the store. */
typedef struct month {
    weir_buf bytes;
    double features[64];
    int64_t newest_us;
    weir_source source;
    uint32_t version;
} month;

static void make_month(const weir_pipeline *pipeline, weir_view *view, uint64_t *random, month *ret) {
    weir_err err;
    weir_state state = {0};
    weir_datum row[32];
    double slots[32];
    weir_applied applied;
    int64_t t_us = INT64_C(1522540800000000);
    const weir_schema *schema = pipeline->events.schema;
    for (int f = 0; f < weir_schema_field_count(schema); f++) row[f] = weir_text("x");
    *ret = (month){0};
    for (int i = 0; i < DAYS * PER_DAY; i++) {
        t_us += (int64_t)(next_random(random) % (2 * 86400 / PER_DAY)) * 1000000;
        row[pipeline->events.time_index] = weir_i64(t_us);
        row[weir_schema_find(schema, "amount")] = weir_f64((double)(next_random(random) % 30000) / 100);
        weir_view_slots(view, row, slots);
        ret->source = (weir_source){(int32_t)(next_random(random) % 4), 1000000 + i * 1000};
        die_on(weir_view_apply(view, &state, t_us, ret->source, slots, 0, &applied, NULL, &err), &err);
    }
    ret->newest_us = t_us;
    ret->version = state.version;
    weir_view_eval(view, &state, t_us, NULL, ret->features);
    if (!weir_state_encode(view, &state, &ret->bytes)) exit(3);
    weir_state_done(&state);
}

static size_t key_of(int entity, char key[32]) {
    return (size_t)snprintf(key, 32, "default/%08d", entity);
}

static void fill(weir_online *online, const weir_pipeline *pipeline, const month *months, int entities) {
    enum { BATCH = 100000 };
    weir_err err;
    char key[32];
    for (int i = 0; i < entities; i++) {
        const month *m = &months[i % TEMPLATES];
        const weir_online_value value = {.event_time_us = m->newest_us,
                                         .source = m->source,
                                         .version = m->version,
                                         .newest_us = m->newest_us,
                                         .features_id = FEATURES_ID,
                                         .feature_count = pipeline->views[0].feature_count,
                                         .features = m->features,
                                         .state = m->bytes.data,
                                         .state_len = m->bytes.len};
        if (i % BATCH == 0) die_on(weir_online_begin(online, &err), &err);
        die_on(weir_online_put(online, 0, key, key_of(i, key), &value, &err), &err);
        if (i % BATCH == BATCH - 1 || i == entities - 1) die_on(weir_online_commit(online, &err), &err);
    }
}

typedef enum mode { MODE_LOOK_UP, MODE_NEWEST, MODE_AT_TIME, MODE_COUNT } mode;
static const char *const mode_names[] = {"look-up", "newest", "at time"};

typedef struct bench {
    const weir_pipeline *pipeline;
    weir_view *view;
    weir_online_reader *reader;
    weir_state state;
    int entities;
    double checksum; /* so that nothing is left out */
} bench;

static void read_one(bench *b, mode how, const char *key, size_t key_len) {
    weir_err err;
    weir_online_value value;
    double out[64];
    die_on(weir_online_read(b->reader, 0, key, key_len, &value, &err), &err);
    if (how == MODE_LOOK_UP) return;
    if (how == MODE_NEWEST) {
        memcpy(out, value.features, (size_t)value.feature_count * sizeof *out);
    } else {
        die_on(weir_state_decode(b->view, value.state, value.state_len, &b->state, &err), &err);
        weir_view_eval(b->view, &b->state, value.newest_us + 1000000, NULL, out);
    }
    b->checksum += out[5] + out[b->pipeline->views[0].feature_count - 1];
}

/* p50 and p99 of one read with a snapshot of its own. */
static void time_reads(bench *b, mode how, double *ret_p50_us, double *ret_p99_us) {
    static double us[READS];
    weir_err err;
    uint64_t random = 88172645463325252u;
    char key[32];
    for (int i = 0; i < READS; i++) {
        size_t len = key_of((int)(next_random(&random) % (uint64_t)b->entities), key);
        int64_t begun = now_ns();
        die_on(weir_online_read_begin(b->reader, &err), &err);
        read_one(b, how, key, len);
        weir_online_read_end(b->reader);
        us[i] = (double)(now_ns() - begun) / 1e3;
    }
    qsort(us, READS, sizeof *us, by_value);
    *ret_p50_us = at_share(us, READS, 0.5);
    *ret_p99_us = at_share(us, READS, 0.99);
}

static int by_key(const void *a, const void *b) {
    return strcmp(a, b);
}

/* µs a key of one call with KEYS_AT_ONCE of them; in order: sorting included. */
static double time_batch(bench *b, bool in_order) {
    static char keys[KEYS_AT_ONCE][32];
    weir_err err;
    uint64_t random = (uint64_t)now_ns() | 1;
    for (int i = 0; i < KEYS_AT_ONCE; i++) key_of((int)(next_random(&random) % (uint64_t)b->entities), keys[i]);
    int64_t begun = now_ns();
    if (in_order) qsort(keys, KEYS_AT_ONCE, sizeof *keys, by_key);
    die_on(weir_online_read_begin(b->reader, &err), &err);
    for (int i = 0; i < KEYS_AT_ONCE; i++) read_one(b, MODE_NEWEST, keys[i], strlen(keys[i]));
    weir_online_read_end(b->reader);
    return (double)(now_ns() - begun) / 1e3 / KEYS_AT_ONCE;
}

static double median_of(double *values) {
    qsort(values, RUNS, sizeof *values, by_value);
    return values[RUNS / 2];
}

static void bench_entities(bench *b, const month *months) {
    char dir[] = "/tmp/weir-bench-XXXXXX", command[64];
    weir_err err;
    weir_online *online = NULL;
    double p50[MODE_COUNT][RUNS], p99[MODE_COUNT][RUNS], random[RUNS], in_order[RUNS];
    int64_t entities, bytes;
    if (!mkdtemp(dir)) die(dir);
    die_on(weir_online_open(dir, INT64_C(64) << 30, &online, &err), &err);
    fill(online, b->pipeline, months, b->entities);
    die_on(weir_online_stats(online, 0, &entities, &bytes, &err), &err);
    die_on(weir_online_reader_new(online, &b->reader, &err), &err);
    for (int run = 0; run < RUNS; run++) {
        for (int how = 0; how < MODE_COUNT; how++) time_reads(b, (mode)how, &p50[how][run], &p99[how][run]);
        random[run] = time_batch(b, false);
        in_order[run] = time_batch(b, true);
    }
    printf("%d entities, %d features, states of %d records and %zu bytes, store of %lld MiB\n", b->entities, b->pipeline->views[0].feature_count,
           DAYS * PER_DAY, months[0].bytes.len, (long long)(bytes >> 20));
    double bare = median_of(p50[MODE_LOOK_UP]);
    for (int how = 0; how < MODE_COUNT; how++) {
        double middle = how ? median_of(p50[how]) : bare;
        printf("  %-10s p50 %7.2f us   p99 %7.2f us   p50 / look-up %.2f\n", mode_names[how], middle, median_of(p99[how]), middle / bare);
    }
    printf("  %d keys at once: %.2f us a key as they come, %.2f us in the order of the keys, sorting included\n", KEYS_AT_ONCE, median_of(random),
           median_of(in_order));
    weir_online_reader_free(b->reader);
    weir_online_close(online);
    snprintf(command, sizeof command, "rm -r %s", dir);
    if (system(command)) die(command);
}

static void bench_embedded(char **entities) {
    static month months[TEMPLATES];
    weir_err err;
    uint64_t random = 1;
    weir_pipeline *pipeline = thirty_features();
    bench b = {.pipeline = pipeline};
    die_on(weir_view_new(pipeline, &pipeline->views[0], &b.view, &err), &err);
    for (int i = 0; i < TEMPLATES; i++) make_month(pipeline, b.view, &random, &months[i]);
    for (; *entities; entities++) {
        b.entities = atoi(*entities);
        if (b.entities < 1) exit(2);
        bench_entities(&b, months);
    }
    for (int i = 0; i < TEMPLATES; i++) weir_buf_done(&months[i].bytes);
    weir_state_done(&b.state);
    weir_view_free(b.view);
    weir_pipeline_free(pipeline);
    if (isnan(b.checksum)) puts("some features were null");
}

/* ---- over HTTP ---- */

typedef struct connection {
    int fd;
    int64_t due_ns; /* of the request under way; 0: idle */
    char answer[1 << 17];
    size_t len;
} connection;

typedef struct load {
    const char *path;
    char **requests; /* whole, head and body */
    int request_count, port, connection_count, epoll_fd, timer_fd;
    connection *connections;
    double *us; /* [total] latencies */
    double *late_us; /* [total] from due to sent: what of them is this program's own waiting, for a core or for an idle connection */
    int64_t begun_ns, interval_ns;
    int total, sent, answered;
} load;

static void read_requests(load *l, const char *path) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    if (!file) die(path);
    while ((len = getline(&line, &room, file)) > 0) {
        if (line[len - 1] == '\n') line[--len] = 0;
        char **requests = realloc(l->requests, (size_t)(l->request_count + 1) * sizeof *requests), *request = malloc((size_t)len + HEAD_BYTES_MAX);
        if (!requests || !request) die("no memory");
        snprintf(request, (size_t)len + HEAD_BYTES_MAX,
                 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %zd\r\n\r\n%s", l->path, l->port, len, line);
        l->requests = requests;
        l->requests[l->request_count++] = request;
    }
    free(line);
    fclose(file);
    if (!l->request_count) die("no requests");
}

static void connect_all(load *l) {
    l->connections = calloc((size_t)l->connection_count, sizeof *l->connections);
    l->epoll_fd = epoll_create1(0);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, 0);
    if (!l->connections || l->epoll_fd < 0 || l->timer_fd < 0) die("setting up");
    for (int i = 0; i < l->connection_count; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &l->connections[i]};
        int on = 1, fd = l->connections[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
            epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event))
            die("connecting");
    }
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->timer_fd, &event)) die("the timer");
}

/* Bytes of a whole answer; 0: more has to come. Anything but a 200 ends the run. */
static size_t answer_length(const connection *c) {
    const char *end = strstr(c->answer, "\r\n\r\n"), *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (!end || !length || length > end) return 0;
    if (strncmp(c->answer, "HTTP/1.1 200", 12)) {
        fprintf(stderr, "bench: %.400s\n", c->answer);
        exit(1);
    }
    return (size_t)(end - c->answer) + 4 + strtoul(length + 17, NULL, 10);
}

static void receive(load *l, connection *c) {
    ssize_t n = read(c->fd, c->answer + c->len, sizeof c->answer - 1 - c->len);
    if (n <= 0) die("reading an answer");
    c->len += (size_t)n;
    c->answer[c->len] = 0;
    size_t whole = answer_length(c);
    if (!whole || c->len < whole) return;
    l->us[l->answered++] = (double)(now_ns() - c->due_ns) / 1e3;
    c->due_ns = 0;
    c->len = 0;
}

/* Everything that is due and finds an idle connection. */
static void send_due(load *l) {
    int64_t now = now_ns();
    for (int i = 0; i < l->connection_count && l->sent < l->total; i++) {
        int64_t due = l->begun_ns + l->sent * l->interval_ns;
        if (due > now) return;
        connection *c = &l->connections[i];
        if (c->due_ns) continue;
        const char *request = l->requests[l->sent % l->request_count];
        size_t len = strlen(request);
        if (write(c->fd, request, len) != (ssize_t)len) die("sending a request");
        c->due_ns = l->interval_ns ? due : now;
        l->late_us[l->sent] = (double)(now - c->due_ns) / 1e3;
        l->sent++;
    }
}

static void set_timer(load *l) {
    int64_t due = l->begun_ns + l->sent * l->interval_ns;
    struct itimerspec at = {.it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};
    if (timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL)) die("the timer");
}

static void run_load(load *l) {
    struct epoll_event events[64];
    l->sent = l->answered = 0;
    l->begun_ns = now_ns() + 1000000;
    while (l->answered < l->total) {
        send_due(l);
        if (l->sent < l->total && l->begun_ns + l->sent * l->interval_ns > now_ns()) set_timer(l);
        int n = epoll_wait(l->epoll_fd, events, 64, 1000);
        for (int i = 0; i < n; i++) {
            uint64_t ticks;
            if (events[i].data.ptr)
                receive(l, events[i].data.ptr);
            else if (read(l->timer_fd, &ticks, sizeof ticks) != sizeof ticks)
                die("the timer");
        }
        if (now_ns() - l->begun_ns > 3 * l->total * (l->interval_ns ? l->interval_ns : 1000000) + INT64_C(10000000000))
            die("the server cannot keep up with a third of the rate");
    }
}

static void bench_http(int port, double rate, int reads, int connections, const char *file, const char *path) {
    load l = {.path = path, .port = port, .connection_count = connections, .total = reads, .interval_ns = rate > 0 ? (int64_t)(1e9 / rate) : 0};
    prctl(PR_SET_TIMERSLACK, 1);
    l.us = calloc((size_t)l.total, sizeof *l.us);
    l.late_us = calloc((size_t)l.total, sizeof *l.late_us);
    if (!l.us || !l.late_us) die("no memory");
    read_requests(&l, file);
    connect_all(&l);
    run_load(&l);
    double took_s = (double)(now_ns() - l.begun_ns) / 1e9;
    qsort(l.us, (size_t)l.total, sizeof *l.us, by_value);
    qsort(l.late_us, (size_t)l.total, sizeof *l.late_us, by_value);
    printf("{\"reads_per_s\": %.0f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, \"sent_late_p99_us\": %.1f}\n",
           l.total / took_s, at_share(l.us, l.total, 0.5), at_share(l.us, l.total, 0.9), at_share(l.us, l.total, 0.99), at_share(l.us, l.total, 0.999),
           l.us[l.total - 1], at_share(l.late_us, l.total, 0.99));
    for (int i = 0; i < l.request_count; i++) free(l.requests[i]);
    for (int i = 0; i < connections; i++) close(l.connections[i].fd);
    free(l.requests);
    free(l.connections);
    free(l.us);
    free(l.late_us);
    close(l.epoll_fd);
    close(l.timer_fd);
}

/* ---- the ceiling ---- */

static void echo_answer(int fd) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 458\r\n\r\n";
    static char request[1 << 16], answer[sizeof head - 1 + 458]; /* as long as a score with its provenance */
    ssize_t n = read(fd, request, sizeof request); /* the load sends a request by one call, and waits for its answer */
    if (n <= 0) {
        close(fd);
        return;
    }
    memcpy(answer, head, sizeof head - 1);
    memset(answer + sizeof head - 1, ' ', 458);
    if (write(fd, answer, sizeof answer) != (ssize_t)sizeof answer) die("answering");
}

static void bench_echo(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0), epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || bind(listener, (struct sockaddr *)&at, sizeof at) ||
        listen(listener, 64) || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event))
        die("listening");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                echo_answer(events[i].data.fd);
                continue;
            }
            event.data.fd = accept(listener, NULL, NULL);
            if (event.data.fd < 0 || setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
                epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event))
                die("accepting");
        }
    }
}

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "embedded")) {
        bench_embedded(argv + 2);
    } else if ((argc == 7 || argc == 8) && strlen(argv[argc - 1]) < HEAD_BYTES_MAX / 2 && !strcmp(argv[1], "http") && atof(argv[3]) >= 0 && atoi(argv[4]) > 0 &&
               atoi(argv[5]) > 0) {
        bench_http(atoi(argv[2]), atof(argv[3]), atoi(argv[4]), atoi(argv[5]), argv[6], argc == 8 ? argv[7] : "/get-online-features");
    } else if (argc == 3 && !strcmp(argv[1], "echo") && atoi(argv[2]) > 0) {
        bench_echo(atoi(argv[2]));
    } else {
        fprintf(stderr, "usage: %s embedded ENTITIES… | echo PORT | http PORT RATE READS CONNECTIONS FILE [PATH]\n", argv[0]);
        return 2;
    }
    return 0;
}
