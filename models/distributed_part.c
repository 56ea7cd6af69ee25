/* A part of a distributed training: a process that is given rows, trains with the others, and ends. */
#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "models/distributed.h"
#include "models/distributed_wire.h"
#include "models/memory.h"

enum { EXIT_OVER = 1, RECORD_MAX = WEIR_MODEL_FITTED_MAX + WEIR_MODEL_CLASSES_MAX + 1 };

typedef struct part {
    int fd, wake;
    pthread_t watcher;
    bool watched;
    pthread_mutex_t saying; /* whoever sends a message holds it: the watcher says that we are alive */
    weir_buf in; /* the body of the last message */
    cJSON *json;
    weir_wire_work told;
    weir_xgb_part xgb;
    int64_t have[2]; /* rows that have come */
    weir_buf checkpoint;
    uint64_t digest;
} part;

/* ---- the connection ---- */

static weir_status connect_once(const struct addrinfo *list, int *ret_fd) {
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
            *ret_fd = fd;
            return WEIR_OK;
        }
        if (fd >= 0) close(fd);
    }
    return WEIR_ENET;
}

static weir_status connect_to(const char *leader, int wait_s, int *ret_fd, weir_err *err) {
    const char *colon = strrchr(leader, ':');
    char host[256];
    if (!colon || colon == leader || !colon[1] || (size_t)(colon - leader) >= sizeof host)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%s' is no address of a leader, expected ADDRESS:PORT", leader);
    snprintf(host, sizeof host, "%.*s", (int)(colon - leader), leader);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(host, colon + 1, &hints, &list);
    if (failed) return WEIR_FAIL(err, WEIR_EINVAL, "'%s' is no address of a leader: %s", leader, gai_strerror(failed));
    weir_clock *clock = weir_clock_system();
    int64_t deadline = weir_clock_mono_us(clock) + wait_s * WEIR_SECOND_US;
    weir_status status;
    while ((status = connect_once(list, ret_fd)) && weir_clock_mono_us(clock) < deadline) weir_clock_sleep_us(clock, WEIR_SECOND_US / 4);
    freeaddrinfo(list);
    return status ? WEIR_FAIL(err, WEIR_ENET, "nobody leads a training at %s: %s", leader, strerror(errno)) : WEIR_OK;
}

static weir_status send_all(int fd, const void *bytes, size_t len, weir_err *err) {
    const char *at = bytes;
    while (len) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return WEIR_RETRY(err, WEIR_ENET, "the leader has gone: %s", strerror(errno));
        at += sent;
        len -= (size_t)sent;
    }
    return WEIR_OK;
}

static weir_status say(part *p, weir_wire_kind kind, const void *front, size_t front_len, const void *body, size_t len, weir_err *err) {
    unsigned char head[WEIR_WIRE_HEAD];
    weir_wire_head_write(head, kind, front_len + len);
    pthread_mutex_lock(&p->saying);
    weir_status status = send_all(p->fd, head, sizeof head, err);
    if (!status && front_len) status = send_all(p->fd, front, front_len, err);
    if (!status && len) status = send_all(p->fd, body, len, err);
    pthread_mutex_unlock(&p->saying);
    return status;
}

static weir_status say_json(part *p, weir_wire_kind kind, cJSON *json, weir_err *err) {
    char *text = json ? cJSON_PrintUnformatted(json) : NULL;
    weir_status status = text ? say(p, kind, NULL, 0, text, strlen(text), err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a message");
    cJSON_free(text);
    cJSON_Delete(json);
    return status;
}

static weir_status recv_all(int fd, void *bytes, size_t len, weir_err *err) {
    char *at = bytes;
    while (len) {
        ssize_t got = recv(fd, at, len, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return WEIR_RETRY(err, WEIR_ENET, "the leader has gone%s%s", got ? ": " : "", got ? strerror(errno) : "");
        at += got;
        len -= (size_t)got;
    }
    return WEIR_OK;
}

/* The next message, into p->in. */
static weir_status hear(part *p, uint32_t *ret_kind, weir_err *err) {
    unsigned char head[WEIR_WIRE_HEAD];
    uint64_t len = 0;
    weir_status status = recv_all(p->fd, head, sizeof head, err);
    if (status) return status;
    if (!weir_wire_head_read(head, ret_kind, &len)) return WEIR_FAIL(err, WEIR_EDATA, "what came is no message of a leader");
    weir_buf_clear(&p->in);
    if (!weir_buf_reserve(&p->in, len)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a message of %llu bytes", (unsigned long long)len);
    status = recv_all(p->fd, p->in.data, len, err);
    if (status) return status;
    p->in.len = len;
    p->in.data[len] = 0;
    return WEIR_OK;
}

/* ---- the watcher: XGBoost may wait for others for ever, and nothing can end that but the end of the process ---- */

static bool is_over(int fd) {
    unsigned char head[WEIR_WIRE_HEAD];
    uint32_t kind;
    uint64_t len;
    return recv(fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT) == sizeof head && weir_wire_head_read(head, &kind, &len) && kind == WEIR_WIRE_END;
}

static void *watch(void *context) {
    part *p = context;
    weir_err err;
    for (;;) {
        struct pollfd fds[2] = {{.fd = p->fd, .events = POLLRDHUP}, {.fd = p->wake, .events = POLLIN}};
        (void)poll(fds, 2, WEIR_WIRE_ALIVE_MS);
        if (fds[1].revents) return NULL;
        if (fds[0].revents || say(p, WEIR_WIRE_ALIVE, NULL, 0, NULL, 0, &err)) _exit(is_over(p->fd) ? EXIT_OVER : WEIR_PART_EXIT_ANEW);
    }
}

static weir_status begin_watch(part *p, weir_err *err) {
    p->wake = eventfd(0, EFD_CLOEXEC);
    if (p->wake < 0 || pthread_create(&p->watcher, NULL, watch, p)) return WEIR_FAIL(err, WEIR_ELIMIT, "no thread could be started to watch the leader");
    p->watched = true;
    return WEIR_OK;
}

static void end_watch(part *p) {
    if (p->watched && eventfd_write(p->wake, 1) == 0) pthread_join(p->watcher, NULL);
    p->watched = false;
}

/* ---- rows ---- */

static weir_status make_room(part *p, weir_err *err) {
    const weir_xgb_work *w = &p->told.work;
    for (int set = 0; set < 2; set++) {
        weir_xgb_rows *rows = &p->xgb.rows[set];
        rows->count = weir_wire_share(p->told.rows[set], w->rank, w->workers);
        size_t room = (size_t)rows->count + 1; /* see fill_gap */
        rows->values = weir_models_calloc(room, (size_t)w->column_count * sizeof *rows->values);
        rows->label = weir_models_calloc(room, (size_t)w->target_count * sizeof *rows->label);
        rows->weight = weir_models_calloc(room, sizeof *rows->weight);
        if (!rows->values || !rows->label || !rows->weight)
            return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows of %d columns", (long long)rows->count, w->column_count);
    }
    return WEIR_OK;
}

static weir_status take_rows(part *p, weir_err *err) {
    const weir_xgb_work *w = &p->told.work;
    int width = w->column_count + w->target_count + 1;
    weir_wire_rows front;
    float record[RECORD_MAX];
    if (p->in.len < sizeof front) return WEIR_FAIL(err, WEIR_EDATA, "rows without a front");
    memcpy(&front, p->in.data, sizeof front);
    bool good = front.set < 2 && (int64_t)front.count <= p->xgb.rows[front.set].count - p->have[front.set] &&
                p->in.len == sizeof front + (size_t)front.count * (size_t)width * sizeof *record;
    if (!good) return WEIR_FAIL(err, WEIR_EDATA, "%u rows in %zu bytes are none that were to come", front.count, p->in.len);
    weir_xgb_rows *rows = &p->xgb.rows[front.set];
    for (uint32_t i = 0; i < front.count; i++) {
        int64_t at = p->have[front.set]++;
        memcpy(record, p->in.data + sizeof front + (size_t)i * (size_t)width * sizeof *record, (size_t)width * sizeof *record);
        memcpy(rows->values + at * w->column_count, record, (size_t)w->column_count * sizeof *record);
        memcpy(rows->label + at * w->target_count, record + w->column_count, (size_t)w->target_count * sizeof *record);
        rows->weight[at] = record[width - 1];
        p->digest += weir_wire_row_digest((int)front.set, w->rank + at * w->workers, record, width);
    }
    return WEIR_OK;
}

static weir_status take_checkpoint(part *p, weir_err *err) {
    if (!weir_wire_progress_read(p->in.data, p->in.len, &p->xgb.from)) return WEIR_FAIL(err, WEIR_EDATA, "a checkpoint that is none");
    if (!weir_buf_append(&p->checkpoint, p->in.data + WEIR_WIRE_PROGRESS, p->in.len - WEIR_WIRE_PROGRESS))
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a checkpoint");
    p->xgb.checkpoint = p->checkpoint.data;
    p->xgb.checkpoint_len = p->checkpoint.len;
    return WEIR_OK;
}

static weir_status take_work(part *p, weir_err *err) {
    p->json = cJSON_ParseWithLength(p->in.data, p->in.len);
    weir_status status = weir_wire_work_read(p->json, &p->told, err);
    p->xgb.work = &p->told.work;
    p->xgb.meeting = p->told.meeting;
    return status ? status : make_room(p, err);
}

/* XGBoost 1.7 asks of each part by itself whether a value is missing in it, and adds up the root's gradients in another way where none is: parts that answer differently would wait for each other for ever.
 * Where values are missing in some part, a part without such gets one more row, which has no value and weighs nothing. */
static void fill_gap(part *p) {
    weir_xgb_rows *rows = &p->xgb.rows[0];
    weir_xgb_work *w = &p->told.work;
    int64_t count = rows->count * w->column_count;
    for (int64_t i = 0; i < count; i++)
        if (isnan(rows->values[i])) return;
    for (int c = 0; c < w->column_count; c++) rows->values[count + c] = NAN;
    memcpy(rows->label + rows->count * w->target_count, rows->label, (size_t)w->target_count * sizeof *rows->label); /* one that the objective takes */
    rows->weight[rows->count++] = 0;
    w->weighted = true;
}

/* What has come adds up: the leader looks at it together with the others'. */
static weir_status say_loaded(part *p, weir_err *err) {
    char digest[24];
    snprintf(digest, sizeof digest, "%llu", (unsigned long long)p->digest);
    cJSON *json = cJSON_CreateObject();
    bool ok = json && cJSON_AddNumberToObject(json, "rows", (double)p->have[0]) && cJSON_AddNumberToObject(json, "held", (double)p->have[1]) &&
              cJSON_AddStringToObject(json, "digest", digest);
    if (!ok) {
        cJSON_Delete(json);
        json = NULL;
    }
    return say_json(p, WEIR_WIRE_LOADED, json, err);
}

/* All that is sent before the training. */
static weir_status load(part *p, weir_err *err) {
    uint32_t kind = 0;
    weir_status status = hear(p, &kind, err);
    if (status == WEIR_ENET)
        return WEIR_FAIL(err, WEIR_EDENIED, "the leader wants no more workers, or none with this token (%s)", WEIR_DISTRIBUTED_TOKEN_VARIABLE);
    if (!status && kind != WEIR_WIRE_WORK) status = WEIR_FAIL(err, WEIR_EDATA, "message %u came first, expected what is trained", kind);
    if (!status) status = take_work(p, err);
    if (!status) status = begin_watch(p, err);
    while (!status) {
        if ((status = hear(p, &kind, err))) return status;
        if (kind == WEIR_WIRE_ALL_SENT) return say_loaded(p, err);
        status = kind == WEIR_WIRE_ROWS         ? take_rows(p, err)
                 : kind == WEIR_WIRE_CHECKPOINT ? take_checkpoint(p, err)
                                                : WEIR_FAIL(err, WEIR_EDATA, "message %u came, expected rows or a checkpoint", kind);
    }
    return status;
}

/* ---- training ---- */

static weir_status done_round(void *context, const weir_xgb_progress *progress, const weir_buf *checkpoint, weir_err *err) {
    part *p = context;
    unsigned char bytes[WEIR_WIRE_PROGRESS];
    weir_wire_progress_write(bytes, progress);
    weir_status status = say(p, WEIR_WIRE_ROUND, bytes, sizeof bytes, NULL, 0, err);
    if (!status && checkpoint) status = say(p, WEIR_WIRE_CHECKPOINT, bytes, sizeof bytes, checkpoint->data, checkpoint->len, err);
    return status;
}

static weir_status train(part *p, weir_err *err) {
    weir_buf model = {0};
    char digest[65];
    uint32_t kind = 0;
    weir_status status = hear(p, &kind, err);
    if (!status && kind != WEIR_WIRE_GO) status = WEIR_FAIL(err, WEIR_EDATA, "message %u came, expected the word to begin", kind);
    if (!status && p->told.gaps) fill_gap(p);
    p->xgb.done_round = done_round;
    p->xgb.context = p;
    if (!status) status = weir_xgb_part_train(&p->xgb, &model, err);
    if (!status) weir_sha256_hex(model.data, model.len, digest);
    if (!status && p->told.work.rank == 0) status = say(p, WEIR_WIRE_MODEL, NULL, 0, model.data, model.len, err);
    if (!status) status = say(p, WEIR_WIRE_DONE, NULL, 0, digest, sizeof digest - 1, err);
    weir_buf_done(&model);
    return status;
}

/* Who is not done is told to come again, or that it is over. */
static weir_part_end wait_for_end(part *p) {
    uint32_t kind = 0;
    weir_err err;
    end_watch(p);
    return hear(p, &kind, &err) == WEIR_OK && kind == WEIR_WIRE_END ? WEIR_PART_DONE : WEIR_PART_ANEW;
}

static void release(part *p) {
    end_watch(p);
    for (int set = 0; set < 2; set++) {
        weir_models_free(p->xgb.rows[set].values);
        weir_models_free(p->xgb.rows[set].label);
        weir_models_free(p->xgb.rows[set].weight);
    }
    if (p->wake >= 0) close(p->wake);
    if (p->fd >= 0) close(p->fd);
    weir_wire_work_done(&p->told);
    cJSON_Delete(p->json);
    weir_buf_done(&p->in);
    weir_buf_done(&p->checkpoint);
    pthread_mutex_destroy(&p->saying);
}

static cJSON *hello(const char *token) {
    cJSON *json = cJSON_CreateObject();
    if (json && cJSON_AddStringToObject(json, "weir", WEIR_VERSION) && cJSON_AddStringToObject(json, "token", token)) return json;
    cJSON_Delete(json);
    return NULL;
}

/* A leader that does not hear it sees the connection end. */
static void say_failed(part *p, const weir_err *why) {
    weir_err ignored;
    (void)!say(p, WEIR_WIRE_FAILED, NULL, 0, why->message, strlen(why->message), &ignored);
}

weir_status weir_distributed_part(const char *leader, const char *token, int wait_s, weir_part_end *ret_end, weir_err *err) {
    part p = {.fd = -1, .wake = -1};
    pthread_mutex_init(&p.saying, NULL);
    *ret_end = WEIR_PART_DONE;
    weir_status status = connect_to(leader, wait_s, &p.fd, err);
    if (!status) status = say_json(&p, WEIR_WIRE_HELLO, hello(token), err);
    if (!status) status = load(&p, err);
    if (!status) status = train(&p, err);
    bool joined = p.watched;
    if (status && joined) say_failed(&p, err);
    if (joined) *ret_end = wait_for_end(&p);
    if (joined && *ret_end == WEIR_PART_ANEW) status = WEIR_OK;
    release(&p);
    return status;
}
