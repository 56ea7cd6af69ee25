#include "models/tracker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "models/memory.h"

enum { MAGIC = 0xff99, BACKLOG = 128, IN_MAX = 1024, OUT_MAX = 8192, HOST_MAX = INET6_ADDRSTRLEN };

/* ---- what is read ---- */

weir_tracker_read weir_tracker_read_int(const void *bytes, size_t len, int min, int max, int *ret_value, size_t *ret_used) {
    int32_t value;
    if (len < sizeof value) return WEIR_TRACKER_MORE;
    memcpy(&value, bytes, sizeof value);
    if (value < min || value > max) return WEIR_TRACKER_BAD;
    *ret_value = value;
    *ret_used = sizeof value;
    return WEIR_TRACKER_WHOLE;
}

/* A text at *at, which goes behind it. text[max + 1]. */
static weir_tracker_read read_text(const char *bytes, size_t len, size_t *at, size_t max, char *text) {
    int size = 0;
    size_t used = 0;
    weir_tracker_read read = weir_tracker_read_int(bytes + *at, len - *at, 0, (int)max, &size, &used);
    if (read != WEIR_TRACKER_WHOLE) return read;
    if (len - *at - used < (size_t)size) return WEIR_TRACKER_MORE;
    memcpy(text, bytes + *at + used, (size_t)size);
    text[size] = 0;
    if (strlen(text) != (size_t)size) return WEIR_TRACKER_BAD;
    *at += used + (size_t)size;
    return WEIR_TRACKER_WHOLE;
}

/* "TOKEN.RANK", the rank as %d writes it. */
static bool read_task(const char *text, const char *token, int workers, int *ret_task) {
    size_t len = strlen(token);
    if (strncmp(text, token, len) != 0 || text[len] != '.') return false;
    for (int rank = 0; rank < workers; rank++) {
        char name[16];
        snprintf(name, sizeof name, "%d", rank);
        if (strcmp(text + len + 1, name) != 0) continue;
        *ret_task = rank;
        return true;
    }
    return false;
}

static bool read_command(const char *text, weir_tracker_command *ret_command) {
    static const char *const names[] = {[WEIR_TRACKER_START] = "start", [WEIR_TRACKER_PRINT] = "print", [WEIR_TRACKER_SHUTDOWN] = "shutdown"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *ret_command = (weir_tracker_command)i;
        return true;
    }
    return false;
}

weir_tracker_read weir_tracker_read_hello(const void *bytes, size_t len, const char *token, int workers, weir_tracker_hello *ret_hello, size_t *ret_used) {
    char id[WEIR_TRACKER_TEXT_MAX + 1], command[WEIR_TRACKER_TEXT_MAX + 1];
    weir_tracker_hello hello = {0};
    int world = 0;
    size_t used = 0, at = 0;
    weir_tracker_read read = weir_tracker_read_int(bytes, len, -1, workers - 1, &hello.rank, &used);
    if (read != WEIR_TRACKER_WHOLE) return read;
    at += used;
    read = weir_tracker_read_int((const char *)bytes + at, len - at, -1, workers, &world, &used);
    if (read != WEIR_TRACKER_WHOLE) return read;
    at += used;
    read = read_text(bytes, len, &at, WEIR_TRACKER_TEXT_MAX, id);
    if (read != WEIR_TRACKER_WHOLE) return read;
    if (!read_task(id, token, workers, &hello.task)) return WEIR_TRACKER_BAD;
    read = read_text(bytes, len, &at, WEIR_TRACKER_TEXT_MAX, command);
    if (read != WEIR_TRACKER_WHOLE) return read;
    if (!read_command(command, &hello.command) || (world >= 0 && world != workers)) return WEIR_TRACKER_BAD;
    if (hello.command == WEIR_TRACKER_START && hello.rank != -1) return WEIR_TRACKER_BAD;
    if (hello.command == WEIR_TRACKER_SHUTDOWN && hello.rank != hello.task) return WEIR_TRACKER_BAD;
    *ret_hello = hello;
    *ret_used = at;
    return WEIR_TRACKER_WHOLE;
}

weir_tracker_read weir_tracker_read_links(const void *bytes, size_t len, int workers, uint64_t *ret_ranks, size_t *ret_used) {
    int count = 0, rank = 0;
    uint64_t ranks = 0;
    size_t used = 0, at = 0;
    weir_tracker_read read = weir_tracker_read_int(bytes, len, 0, workers, &count, &used);
    for (int i = 0; read == WEIR_TRACKER_WHOLE && i < count; i++) {
        at += used;
        read = weir_tracker_read_int((const char *)bytes + at, len - at, 0, workers - 1, &rank, &used);
        if (read == WEIR_TRACKER_WHOLE) ranks |= UINT64_C(1) << rank;
    }
    if (read != WEIR_TRACKER_WHOLE) return read;
    *ret_ranks = ranks;
    *ret_used = at + used;
    return WEIR_TRACKER_WHOLE;
}

/* ---- who is next to whom ---- */

/* Nodes of the tree below `node`, it first, so that neighbours in the list tend to be neighbours in the tree; the last child's list is turned round. list has room for all. Returns how many. */
static int share_ring(int workers, int node, int *list) {
    int children[2] = {2 * node + 1, 2 * node + 2}, count = 1;
    list[0] = node;
    for (int c = 0; c < 2 && children[c] < workers; c++) {
        int more = share_ring(workers, children[c], list + count);
        bool last = c == 1 || children[1] >= workers;
        for (int a = 0, b = more - 1; last && a < b; a++, b--) {
            int other = list[count + a];
            list[count + a] = list[count + b];
            list[count + b] = other;
        }
        count += more;
    }
    return count;
}

/* Ranks go round the ring: the node at place i of the list has rank i. */
void weir_tracker_places(int workers, weir_tracker_place *places) {
    int list[WEIR_TRACKER_WORKERS_MAX], rank_of[WEIR_TRACKER_WORKERS_MAX];
    int count = share_ring(workers, 0, list);
    for (int i = 0; i < count; i++) rank_of[list[i]] = i;
    for (int node = 0; node < workers; node++) {
        int rank = rank_of[node];
        weir_tracker_place *p = &places[rank];
        *p = (weir_tracker_place){.parent = node ? rank_of[(node - 1) / 2] : -1, .before = (rank + workers - 1) % workers, .after = (rank + 1) % workers};
        if (node) p->neighbours[p->neighbour_count++] = p->parent;
        for (int child = 2 * node + 1; child <= 2 * node + 2 && child < workers; child++) p->neighbours[p->neighbour_count++] = rank_of[child];
        if (workers == 1) p->before = p->after = -1;
    }
}

/* ---- connections ---- */

typedef enum step {
    SAYS_MAGIC,
    SAYS_HELLO,
    WAITS, /* for the others; says nothing */
    SAYS_LINKS,
    SAYS_ERRORS,
    SAYS_PORT,
    SAYS_TEXT, /* of "print" */
    LEAVES, /* what is left to send is sent, then it is closed */
} step;

typedef struct connection {
    int fd;
    step step;
    int64_t since_ms; /* of this step */
    char host[HOST_MAX];
    int rank; /* from WAITS on */
    int told; /* workers that it was told to connect to, of the last answer */
    int skip; /* bytes of "print" that are still to come */
    size_t in_len, out_len;
    char in[IN_MAX], out[OUT_MAX];
} connection;

/* A worker that has its links. */
typedef struct member {
    connection *connection; /* while it waits for the others, or is linked */
    bool linked;
    char host[HOST_MAX];
    int port;
} member;

struct weir_tracker {
    int listener, wake, port, workers;
    char token[WEIR_TRACKER_TOKEN_MAX + 1];
    pthread_t thread;
    weir_tracker_place places[WEIR_TRACKER_WORKERS_MAX];
    member members[WEIR_TRACKER_WORKERS_MAX]; /* by rank */
    int next; /* the rank whose links are given out */
    connection *connections[WEIR_TRACKER_CONNECTIONS_MAX];
    int connection_count;
    _Atomic bool end;
    _Atomic int state; /* weir_tracker_state */
    _Atomic int ended;
    _Atomic int64_t dropped;
};

static int64_t now_ms(void) {
    return weir_clock_mono_us(weir_clock_system()) / 1000;
}

static void go_to(connection *c, step next) {
    c->step = next;
    c->since_ms = now_ms();
}

static bool put(connection *c, const void *bytes, size_t len) {
    if (len > sizeof c->out - c->out_len) return false;
    memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
    return true;
}

static bool put_int(connection *c, int value) {
    int32_t number = value;
    return put(c, &number, sizeof number);
}

static void used(connection *c, size_t count) {
    c->in_len -= count;
    memmove(c->in, c->in + count, c->in_len);
}

/* Ranks that a worker must be linked to. */
static uint64_t links_of(const weir_tracker_place *p) {
    uint64_t links = 0;
    for (int i = 0; i < p->neighbour_count; i++) links |= UINT64_C(1) << p->neighbours[i];
    if (p->before >= 0) links |= UINT64_C(1) << p->before;
    if (p->after >= 0) links |= UINT64_C(1) << p->after;
    return links;
}

static bool tell_place(weir_tracker *t, connection *c) {
    const weir_tracker_place *p = &t->places[c->rank];
    bool ok = put_int(c, c->rank) && put_int(c, p->parent) && put_int(c, t->workers) && put_int(c, p->neighbour_count);
    for (int i = 0; ok && i < p->neighbour_count; i++) ok = put_int(c, p->neighbours[i]);
    return ok && put_int(c, p->before) && put_int(c, p->after);
}

/* The next worker's turn. */
static bool begin_next(weir_tracker *t) {
    if (t->next == t->workers) {
        t->state = WEIR_TRACKER_LINKED;
        return true;
    }
    connection *c = t->members[t->next].connection;
    go_to(c, SAYS_LINKS);
    return tell_place(t, c);
}

/* With whom it is to connect: those before it that it has no link to. */
static bool answer_links(weir_tracker *t, connection *c, uint64_t good) {
    uint64_t wanted = links_of(&t->places[c->rank]) & ~good;
    int later = 0;
    c->told = 0;
    for (int r = 0; r < t->workers; r++) {
        if (!(wanted >> r & 1)) continue;
        if (t->members[r].linked)
            c->told++;
        else
            later++;
    }
    bool ok = put_int(c, c->told) && put_int(c, later);
    for (int r = 0; ok && r < t->workers; r++) {
        const member *m = &t->members[r];
        if (wanted >> r & 1 && m->linked) ok = put_int(c, (int)strlen(m->host)) && put(c, m->host, strlen(m->host)) && put_int(c, m->port) && put_int(c, r);
    }
    go_to(c, SAYS_ERRORS);
    return ok;
}

/* ---- steps; false: the connection is dropped ---- */

static bool begin_worker(weir_tracker *t, connection *c, int rank) {
    if (t->state != WEIR_TRACKER_GATHERING || t->members[rank].connection) return false;
    t->members[rank].connection = c;
    c->rank = rank;
    go_to(c, WAITS);
    for (int r = 0; r < t->workers; r++)
        if (!t->members[r].connection) return true;
    t->state = WEIR_TRACKER_LINKING;
    if (begin_next(t)) return true;
    t->state = WEIR_TRACKER_FAILED;
    return false;
}

static bool hear_hello(weir_tracker *t, connection *c, const weir_tracker_hello *hello) {
    switch (hello->command) {
    case WEIR_TRACKER_START: return begin_worker(t, c, hello->task);
    case WEIR_TRACKER_PRINT: go_to(c, SAYS_TEXT); return true;
    case WEIR_TRACKER_SHUTDOWN:
        t->ended++;
        go_to(c, LEAVES);
        return true;
    }
    return false;
}

static bool linked(weir_tracker *t, connection *c, int port) {
    member *m = &t->members[c->rank];
    m->linked = true;
    m->port = port;
    memcpy(m->host, c->host, sizeof m->host);
    go_to(c, LEAVES);
    t->next++;
    return begin_next(t);
}

/* One message of what has come. */
static weir_tracker_read hear_one(weir_tracker *t, connection *c) {
    weir_tracker_hello hello;
    uint64_t ranks = 0;
    size_t count = 0;
    int value = 0;
    weir_tracker_read read = WEIR_TRACKER_BAD;
    bool ok = true;
    switch (c->step) {
    case SAYS_MAGIC:
        if ((read = weir_tracker_read_int(c->in, c->in_len, MAGIC, MAGIC, &value, &count)) != WEIR_TRACKER_WHOLE) return read;
        c->step = SAYS_HELLO; /* in the time of the magic number */
        ok = put_int(c, MAGIC);
        break;
    case SAYS_HELLO:
        if ((read = weir_tracker_read_hello(c->in, c->in_len, t->token, t->workers, &hello, &count)) != WEIR_TRACKER_WHOLE) return read;
        ok = hear_hello(t, c, &hello);
        break;
    case SAYS_LINKS:
        if ((read = weir_tracker_read_links(c->in, c->in_len, t->workers, &ranks, &count)) != WEIR_TRACKER_WHOLE) return read;
        ok = answer_links(t, c, ranks);
        break;
    case SAYS_ERRORS:
        if ((read = weir_tracker_read_int(c->in, c->in_len, 0, c->told, &value, &count)) != WEIR_TRACKER_WHOLE) return read;
        go_to(c, value ? SAYS_LINKS : SAYS_PORT);
        break;
    case SAYS_PORT:
        if ((read = weir_tracker_read_int(c->in, c->in_len, 1, 65535, &value, &count)) != WEIR_TRACKER_WHOLE) return read;
        ok = linked(t, c, value);
        break;
    case SAYS_TEXT:
        if ((read = weir_tracker_read_int(c->in, c->in_len, 0, WEIR_TRACKER_PRINT_MAX, &c->skip, &count)) != WEIR_TRACKER_WHOLE) return read;
        go_to(c, LEAVES);
        break;
    case WAITS: return WEIR_TRACKER_BAD; /* it has nothing to say */
    case LEAVES:
        count = c->in_len < (size_t)c->skip ? c->in_len : (size_t)c->skip;
        c->skip -= (int)count;
        used(c, count);
        return c->in_len ? WEIR_TRACKER_BAD : WEIR_TRACKER_MORE;
    }
    used(c, count);
    return ok ? WEIR_TRACKER_WHOLE : WEIR_TRACKER_BAD;
}

static bool hear(weir_tracker *t, connection *c) {
    ssize_t got = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    c->in_len += (size_t)got;
    weir_tracker_read read = WEIR_TRACKER_WHOLE;
    while (read == WEIR_TRACKER_WHOLE && c->in_len) read = hear_one(t, c);
    return read != WEIR_TRACKER_BAD && c->in_len < sizeof c->in;
}

static bool say(connection *c) {
    ssize_t sent = send(c->fd, c->out, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    c->out_len -= (size_t)sent;
    memmove(c->out, c->out + sent, c->out_len);
    return true;
}

/* ---- the loop ---- */

/* A worker that goes while links are given out takes the group with it; before that its place is free again. What a linked one does afterwards is not the tracker's. */
static void close_connection(weir_tracker *t, int i, bool dropped) {
    connection *c = t->connections[i];
    bool gone_well = c->step == LEAVES && !c->out_len && !c->skip;
    if (dropped && !gone_well) t->dropped++;
    if (c->rank >= 0 && t->members[c->rank].connection == c) {
        if (t->state == WEIR_TRACKER_GATHERING) t->members[c->rank].connection = NULL;
        if (t->state == WEIR_TRACKER_LINKING && !t->members[c->rank].linked) t->state = WEIR_TRACKER_FAILED;
    }
    close(c->fd);
    weir_models_free(c);
    t->connections[i] = t->connections[--t->connection_count];
}

static void accept_one(weir_tracker *t) {
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int fd = accept4(t->listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    connection *c = t->connection_count < WEIR_TRACKER_CONNECTIONS_MAX ? weir_models_calloc(1, sizeof *c) : NULL;
    const void *address =
        from.ss_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)&from)->sin6_addr : (const void *)&((struct sockaddr_in *)&from)->sin_addr;
    if (!c || !inet_ntop(from.ss_family, address, c->host, sizeof c->host)) {
        t->dropped++;
        close(fd);
        weir_models_free(c);
        return;
    }
    c->fd = fd;
    c->rank = -1;
    go_to(c, SAYS_MAGIC);
    t->connections[t->connection_count++] = c;
}

static bool too_slow(const connection *c, int64_t now) {
    return c->step != WAITS && now - c->since_ms > WEIR_TRACKER_SAY_MS;
}

/* events: what poll found, of the connections that there were. */
static void serve_connections(weir_tracker *t, const struct pollfd *events, int count) {
    int64_t now = now_ms();
    for (int i = count - 1; i >= 0; i--) { /* from the end: a closed one's place is taken by one that was served, or is new */
        connection *c = t->connections[i];
        bool ok = true;
        if (events[i].revents & (POLLIN | POLLHUP | POLLERR)) ok = hear(t, c);
        if (ok && c->out_len) ok = say(c);
        bool over = c->step == LEAVES && !c->out_len && !c->skip;
        if (!ok || over || too_slow(c, now)) close_connection(t, i, !over);
    }
}

/* A connection whose turn came by another's message has something to send, though poll did not name it. */
static void serve_turn(weir_tracker *t) {
    for (int i = t->connection_count - 1; i >= 0; i--)
        if (t->connections[i]->out_len && !say(t->connections[i])) close_connection(t, i, true);
}

static void *run(void *context) {
    weir_tracker *t = context;
    struct pollfd fds[WEIR_TRACKER_CONNECTIONS_MAX + 2];
    while (!t->end) {
        int count = t->connection_count;
        for (int i = 0; i < count; i++) {
            const connection *c = t->connections[i];
            fds[i] = (struct pollfd){.fd = c->fd, .events = (short)(POLLIN | (c->out_len ? POLLOUT : 0))};
        }
        fds[count] = (struct pollfd){.fd = t->listener, .events = POLLIN};
        fds[count + 1] = (struct pollfd){.fd = t->wake, .events = POLLIN};
        if (poll(fds, (nfds_t)count + 2, 1000) < 0) continue;
        serve_connections(t, fds, count);
        serve_turn(t);
        if (fds[count].revents) accept_one(t);
    }
    return NULL;
}

static weir_status listen_at(weir_tracker *t, const char *address, weir_err *err) {
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
    if (!is_v6 && inet_pton(AF_INET, address, &v4.sin_addr) != 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%s' is no address of the numeric form that workers could be told", address);
    struct sockaddr *where = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t len = is_v6 ? sizeof v6 : sizeof v4;
    t->listener = socket(where->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->listener < 0 || bind(t->listener, where, len) || listen(t->listener, BACKLOG) || getsockname(t->listener, where, &len))
        return WEIR_FAIL(err, WEIR_ENET, "the tracker cannot listen at %s: %s", address, strerror(errno));
    t->port = ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
    t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return t->wake >= 0 ? WEIR_OK : WEIR_FAIL(err, WEIR_ELIMIT, "no descriptor for the tracker: %s", strerror(errno));
}

static void release(weir_tracker *t) {
    while (t->connection_count) close_connection(t, t->connection_count - 1, false);
    if (t->listener >= 0) close(t->listener);
    if (t->wake >= 0) close(t->wake);
    weir_models_free(t);
}

weir_status weir_tracker_new(const char *address, int workers, const char *token, weir_tracker **ret_tracker, weir_err *err) {
    size_t len = strlen(token);
    if (workers < 1 || workers > WEIR_TRACKER_WORKERS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%d workers, expected 1 to %d", workers, WEIR_TRACKER_WORKERS_MAX);
    if (len < 1 || len > WEIR_TRACKER_TOKEN_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "a token of %zu bytes, expected 1 to %d", len, WEIR_TRACKER_TOKEN_MAX);
    weir_tracker *t = weir_models_calloc(1, sizeof *t);
    if (!t) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a tracker");
    t->listener = t->wake = -1;
    t->workers = workers;
    memcpy(t->token, token, len + 1);
    weir_tracker_places(workers, t->places);
    weir_status status = listen_at(t, address, err);
    if (!status && pthread_create(&t->thread, NULL, run, t)) status = WEIR_FAIL(err, WEIR_ELIMIT, "no thread could be started for the tracker");
    if (status)
        release(t);
    else
        *ret_tracker = t;
    return status;
}

void weir_tracker_free(weir_tracker *tracker) {
    const uint64_t one = 1;
    if (!tracker) return;
    tracker->end = true;
    if (write(tracker->wake, &one, sizeof one) < 0) tracker->end = true; /* the loop looks once a second anyway */
    pthread_join(tracker->thread, NULL);
    release(tracker);
}

int weir_tracker_port(const weir_tracker *tracker) {
    return tracker->port;
}

weir_tracker_state weir_tracker_state_now(const weir_tracker *tracker) {
    return (weir_tracker_state)tracker->state;
}

int weir_tracker_ended(const weir_tracker *tracker) {
    return tracker->ended;
}

int64_t weir_tracker_dropped(const weir_tracker *tracker) {
    return tracker->dropped;
}
