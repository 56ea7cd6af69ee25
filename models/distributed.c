/* The leader of a distributed training: one loop over the parts' connections, which ends what it began whatever happens. */
#include "models/distributed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "models/algorithms.h"
#include "models/artifact_file.h"
#include "models/distributed_wire.h"
#include "models/interrupt.h"
#include "models/memory.h"
#include "models/tracker.h"

enum {
    GUESTS_MAX = 32, /* connections that have not said who they are */
    CHECKPOINT_ROUNDS = 10,
    RESTARTS = 3,
    WAIT_S = 120,
    SILENT_MS = 30000, /* a part that says nothing for so long is lost */
    HELLO_MS = 10000,
    LEAVE_MS = 5000, /* for children to end by themselves */
    POLL_MS = 50, /* how often the wish to stop is looked at */
    RECV_BYTES = 256 << 10,
    OUT_BYTES = 1 << 20, /* rows are made when less than this waits to be sent */
    RECORD_MAX = WEIR_MODEL_FITTED_MAX + WEIR_MODEL_CLASSES_MAX + 1,
};
static const char checkpoint_magic[8] = {'W', 'E', 'I', 'R', 'C', 'K', 'P', '1'};

static _Thread_local const weir_distributed *now;

void weir_distributed_set(const weir_distributed *how) {
    now = how;
}

const weir_distributed *weir_distributed_now(void) {
    return now;
}

/* ---- what can be distributed ---- */

weir_status weir_distributed_check(const char *algorithm, const cJSON *params, weir_err *err) {
    if (strcmp(algorithm, weir_algorithm_xgboost.name) != 0 && strcmp(algorithm, weir_algorithm_forest.name) != 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "several workers cannot fit a model of %s together; those of %s and %s they can", algorithm,
                         weir_algorithm_xgboost.name, weir_algorithm_forest.name);
    const char *objective = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(params, "objective"));
    if (objective && (!strcmp(objective, "absolute_error") || !strcmp(objective, "quantile")))
        return WEIR_FAIL(err, WEIR_EINVAL, "several workers cannot fit objective %s together: its leaves are quantiles of rows that no worker has all of",
                         objective);
    return WEIR_OK;
}

/* ---- what a training is ---- */

typedef enum place { NOBODY, SAYS_HELLO, LOADS, LOADED, TRAINS, DONE } place;

/* A connection. */
typedef struct part {
    int fd;
    place place;
    int rank;
    weir_buf in, out;
    size_t out_at; /* what of out was sent */
    int set; /* of the rows that are sent next; 2: all were */
    int64_t next; /* among the rows of its part */
    bool all_sent;
    int64_t heard_ms;
    uint64_t digest;
    int64_t have[2];
    char model_digest[65];
} part;

typedef struct leader {
    const weir_distributed *how;
    const weir_distributed_job *job;
    const char *address, *program;
    char token[WEIR_DISTRIBUTED_TOKEN_MAX + 1];
    int workers, listener, port;
    weir_tracker *tracker;
    weir_xgb_work work;
    cJSON *work_json;
    int64_t rows[2];
    uint64_t digest; /* of all rows */
    part parts[WEIR_DISTRIBUTED_MAX + GUESTS_MAX];
    pid_t children[WEIR_DISTRIBUTED_MAX];
    int64_t began_ms;
    weir_xgb_progress at; /* of the checkpoint; round 0: none */
    weir_buf checkpoint, body;
    char checkpoint_path[96]; /* below objects_dir; empty: in memory only */
    bool lost; /* a worker is, and lost_why says how */
    char lost_why[256];
    int lost_count;
} leader;

static int64_t now_ms(void) {
    return weir_clock_mono_us(weir_clock_system()) / 1000;
}

static void tell(const leader *l, weir_distributed_what what, int64_t number, const char *words) {
    if (l->how->tell) l->how->tell(l->how->context, what, number, words);
}

static void __attribute__((format(printf, 2, 3))) lose(leader *l, const char *format, ...) {
    va_list args;
    if (l->lost) return; /* the first is the reason, the others follow from it */
    l->lost = true;
    va_start(args, format);
    vsnprintf(l->lost_why, sizeof l->lost_why, format, args);
    va_end(args);
}

static int width_of(const leader *l) {
    return l->work.column_count + l->work.target_count + 1;
}

/* Row `number` of a set, as float32: values, labels, weight. */
static void make_record(const leader *l, int set, int64_t number, float *record) {
    const weir_matrix *train = l->job->train;
    int64_t r = number + (set ? l->job->fitted : 0);
    const double *values = train->values + r * train->column_count;
    for (int c = 0; c < train->column_count; c++) *record++ = weir_xgb_narrow(values[c]);
    if (l->job->plan->one_target_a_class)
        for (int k = 0; k < l->work.target_count; k++) *record++ = train->label[r] == k;
    else
        *record++ = weir_xgb_narrow(train->label[r]);
    *record = train->weight ? weir_xgb_narrow(train->weight[r]) : 1;
}

/* Parameters but for those that parts draw by themselves. */
static void take_params(leader *l, const weir_xgb_params *params) {
    weir_xgb_work *w = &l->work;
    w->subsample = 1;
    for (int i = 0; i < params->count; i++) {
        const weir_xgb_param *p = &params->items[i];
        bool columns = !strncmp(p->name, "colsample_", strlen("colsample_"));
        if (!strcmp(p->name, "subsample"))
            w->subsample = strtod(p->value, NULL);
        else
            w->params.items[w->params.count++] = *p;
        if (columns && strtod(p->value, NULL) < 1) w->samples_columns = true;
    }
}

static weir_status check_plan(const leader *l, weir_err *err) {
    const weir_xgb_params *params = l->job->params;
    bool absolute = false;
    for (int i = 0; i < params->count; i++) absolute = absolute || !strcmp(params->items[i].value, "reg:absoluteerror");
    if (l->job->plan->quantile || absolute)
        return WEIR_FAIL(err, WEIR_EINVAL, "several workers cannot fit objective %s together: its leaves are quantiles of rows that no worker has all of",
                         absolute ? "absolute_error" : "quantile");
    if (l->how->workers < 1 || l->how->workers > WEIR_DISTRIBUTED_MAX || l->how->remote < 0 || l->how->remote > l->how->workers)
        return WEIR_FAIL(err, WEIR_EINVAL, "%d workers, %d of other hosts, expected 1 to %d of which no more are", l->how->workers, l->how->remote,
                         WEIR_DISTRIBUTED_MAX);
    if (l->rows[0] < l->workers || (l->rows[1] && l->rows[1] < l->workers))
        return WEIR_FAIL(err, WEIR_EDATA, "%lld rows to fit and %lld held out cannot be dealt out to %d workers", (long long)l->rows[0], (long long)l->rows[1],
                         l->workers);
    return WEIR_OK;
}

static weir_status describe_work(leader *l, weir_err *err) {
    const weir_distributed_job *job = l->job;
    int checkpoint = l->how->checkpoint_rounds ? l->how->checkpoint_rounds : CHECKPOINT_ROUNDS, threads = job->threads / l->workers;
    float record[RECORD_MAX];
    bool gaps = false;
    l->rows[0] = job->fitted;
    l->rows[1] = job->train->row_count - job->fitted;
    weir_status status = check_plan(l, err);
    if (status) return status;
    take_params(l, job->params);
    l->work.rounds = job->plan->rounds;
    l->work.early_stopping_rounds = job->plan->early_stopping_rounds;
    l->work.checkpoint_rounds = checkpoint;
    l->work.forest = job->plan->forest;
    l->work.weighted = job->train->weight != NULL;
    l->work.base = job->base;
    l->work.seed = job->seed;
    l->work.threads = threads > 1 ? threads : 1;
    l->work.column_count = job->train->column_count;
    l->work.column_names = job->train->column_names;
    l->work.target_count = job->plan->one_target_a_class ? job->train->class_count : 1;
    l->work.workers = l->workers;
    for (int set = 0; set < 2; set++)
        for (int64_t i = 0; i < l->rows[set]; i++) {
            make_record(l, set, i, record);
            for (int c = 0; c < l->work.column_count && !set && !gaps; c++) gaps = isnan(record[c]);
            l->digest += weir_wire_row_digest(set, i, record, width_of(l));
        }
    l->work_json = weir_wire_work_write(&l->work, l->rows, gaps);
    return l->work_json ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to describe a training");
}

/* ---- checkpoints ---- */

/* Named by all that decides what the model becomes. */
static weir_status name_checkpoint(leader *l, weir_err *err) {
    char *text = l->how->objects_dir ? cJSON_PrintUnformatted(l->work_json) : NULL;
    weir_buf all = {0};
    char digest[65];
    if (!l->how->objects_dir) return WEIR_OK;
    bool ok = text && weir_buf_printf(&all, "%s %llu %s", text, (unsigned long long)l->digest, WEIR_VERSION);
    if (ok) weir_sha256_hex(all.data, all.len, digest);
    if (ok) snprintf(l->checkpoint_path, sizeof l->checkpoint_path, "checkpoints/%s", digest);
    cJSON_free(text);
    weir_buf_done(&all);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to name a checkpoint");
}

/* magic, SHA-256 in hex of the rest, progress, model. */
static weir_status write_checkpoint(leader *l, const unsigned char *progress, weir_err *err) {
    weir_buf rest = {0}, file = {0};
    char digest[65];
    if (!*l->checkpoint_path) return WEIR_OK;
    bool ok = weir_buf_append(&rest, progress, WEIR_WIRE_PROGRESS) && weir_buf_append(&rest, l->checkpoint.data, l->checkpoint.len);
    if (ok) weir_sha256_hex(rest.data, rest.len, digest);
    ok = ok && weir_buf_append(&file, checkpoint_magic, sizeof checkpoint_magic) && weir_buf_append(&file, digest, 64) &&
         weir_buf_append(&file, rest.data, rest.len);
    weir_status status =
        ok ? weir_artifact_write(l->how->objects_dir, l->checkpoint_path, &file, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a checkpoint");
    weir_buf_done(&rest);
    weir_buf_done(&file);
    return status;
}

/* One that is not whole is as none. */
static bool parse_checkpoint(leader *l, const weir_buf *file) {
    const size_t front = sizeof checkpoint_magic + 64;
    char digest[65];
    if (file->len < front + WEIR_WIRE_PROGRESS || memcmp(file->data, checkpoint_magic, sizeof checkpoint_magic) != 0) return false;
    weir_sha256_hex(file->data + front, file->len - front, digest);
    if (memcmp(digest, file->data + sizeof checkpoint_magic, 64) != 0 || !weir_wire_progress_read(file->data + front, file->len - front, &l->at)) return false;
    if (weir_buf_append(&l->checkpoint, file->data + front + WEIR_WIRE_PROGRESS, file->len - front - WEIR_WIRE_PROGRESS)) return true;
    l->at.round = 0;
    return false;
}

static weir_status find_checkpoint(leader *l, weir_err *err) {
    weir_buf file = {0};
    weir_status status = name_checkpoint(l, err);
    if (status || !*l->checkpoint_path) return status;
    status = weir_artifact_read(l->how->objects_dir, l->checkpoint_path, &file, err);
    if (!status && parse_checkpoint(l, &file)) tell(l, WEIR_DISTRIBUTED_CHECKPOINT, l->at.round, "found");
    weir_buf_done(&file);
    return status == WEIR_ENOTFOUND ? WEIR_OK : status;
}

static weir_status keep_checkpoint(leader *l, const weir_buf *in, size_t at, size_t len, weir_err *err) {
    weir_xgb_progress progress;
    const char *body = in->data + at;
    if (!weir_wire_progress_read(body, len, &progress)) return WEIR_FAIL(err, WEIR_EDATA, "a worker sent a checkpoint that is none");
    weir_buf_clear(&l->checkpoint);
    if (!weir_buf_append(&l->checkpoint, body + WEIR_WIRE_PROGRESS, len - WEIR_WIRE_PROGRESS)) {
        l->at.round = 0;
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a checkpoint of %zu bytes", len);
    }
    l->at = progress;
    /* A disk that is full does not end a training: what is in memory is enough for all but the leader's own death. */
    weir_err why;
    tell(l, WEIR_DISTRIBUTED_CHECKPOINT, progress.round, write_checkpoint(l, (const unsigned char *)body, &why) ? why.message : NULL);
    return WEIR_OK;
}

/* ---- processes ---- */

/* The environment with the token; the strings but for the first are borrowed. */
static char **make_environment(const leader *l, char *variable, size_t size) {
    size_t count = 0, len = strlen(WEIR_DISTRIBUTED_TOKEN_VARIABLE "="), n = 1;
    while (environ[count]) count++;
    char **list = weir_models_calloc(count + 2, sizeof *list);
    if (!list) return NULL;
    snprintf(variable, size, "%s=%s", WEIR_DISTRIBUTED_TOKEN_VARIABLE, l->token);
    list[0] = variable;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], WEIR_DISTRIBUTED_TOKEN_VARIABLE "=", len) != 0) list[n++] = environ[i];
    return list;
}

/* Of its own process group: a Ctrl-C is the leader's, which ends its children in its way. */
static int spawn(const leader *l, char **environment, pid_t *ret_pid) {
    char where[INET6_ADDRSTRLEN + 8];
    char *argv[] = {(char *)"weir", (char *)"train", (char *)"--join", where, (char *)"--wait", (char *)"0s", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    snprintf(where, sizeof where, "%s:%d", l->address, l->port);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0); /* what went wrong comes as a message */
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int failed = posix_spawn(ret_pid, l->program, &files, &attributes, argv, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

static weir_status start_children(leader *l, weir_err *err) {
    char variable[sizeof WEIR_DISTRIBUTED_TOKEN_VARIABLE + 1 + WEIR_DISTRIBUTED_TOKEN_MAX];
    char **environment = make_environment(l, variable, sizeof variable);
    if (!environment) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to start workers");
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < l->workers - l->how->remote; i++) {
        int failed = spawn(l, environment, &l->children[i]);
        if (failed)
            status = WEIR_FAIL(err, WEIR_ELIMIT, "no worker could be started as %s: %s", l->program, strerror(failed));
        else
            tell(l, WEIR_DISTRIBUTED_STARTED, l->children[i], NULL);
        if (failed) l->children[i] = 0;
    }
    weir_models_free(environment);
    return status;
}

static bool all_done(const leader *l) {
    int done = 0;
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++) done += l->parts[i].place == DONE;
    return done == l->workers;
}

/* A child that ends before all are done takes the group with it. Returns how many there still are. */
static int look_at_children(leader *l, bool may_end) {
    int how = 0, left = 0;
    for (int i = 0; i < l->workers; i++) {
        if (!l->children[i]) continue;
        if (waitpid(l->children[i], &how, WNOHANG) != l->children[i]) {
            left++;
            continue;
        }
        if (!may_end && WIFSIGNALED(how)) lose(l, "worker process %d was ended by signal %d", (int)l->children[i], WTERMSIG(how));
        if (!may_end && WIFEXITED(how)) lose(l, "worker process %d ended with exit code %d", (int)l->children[i], WEXITSTATUS(how));
        l->children[i] = 0;
    }
    return left;
}

static void end_children(leader *l, bool kindly) {
    int64_t deadline = now_ms() + LEAVE_MS;
    while (kindly && look_at_children(l, true) && now_ms() < deadline) weir_clock_sleep_us(weir_clock_system(), 5000);
    for (int i = 0; i < l->workers; i++) {
        if (!l->children[i]) continue;
        kill(l->children[i], SIGKILL);
        while (waitpid(l->children[i], NULL, 0) < 0 && errno == EINTR) continue;
        l->children[i] = 0;
    }
}

/* ---- parts ---- */

static void drop(leader *l, part *p, const char *why) {
    if (p->place != NOBODY && p->place != SAYS_HELLO && !all_done(l)) lose(l, "worker %d of %d %s", p->rank + 1, l->workers, why);
    if (p->place != NOBODY) close(p->fd);
    weir_buf_done(&p->in);
    weir_buf_done(&p->out);
    *p = (part){.rank = -1};
}

static void accept_one(leader *l) {
    int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++) {
        if (l->parts[i].place != NOBODY) continue;
        l->parts[i] = (part){.fd = fd, .place = SAYS_HELLO, .rank = -1, .heard_ms = now_ms()};
        return;
    }
    close(fd);
}

static bool is_welcome(const leader *l, const char *text, size_t len) {
    cJSON *json = cJSON_ParseWithLength(text, len);
    const char *version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "weir")),
               *token = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "token"));
    bool yes = version && token && !strcmp(version, WEIR_VERSION) && strlen(token) == strlen(l->token);
    unsigned char different = 0;
    for (size_t i = 0; yes && i < strlen(l->token); i++) different |= (unsigned char)(token[i] ^ l->token[i]);
    cJSON_Delete(json);
    return yes && !different;
}

static int free_rank(const leader *l) {
    bool taken[WEIR_DISTRIBUTED_MAX] = {false};
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++)
        if (l->parts[i].place != NOBODY && l->parts[i].rank >= 0) taken[l->parts[i].rank] = true;
    for (int rank = 0; rank < l->workers; rank++)
        if (!taken[rank]) return rank;
    return -1;
}

static bool put_work(leader *l, part *p) {
    cJSON *json = cJSON_Duplicate(l->work_json, true), *meeting = json ? cJSON_AddObjectToObject(json, "meeting") : NULL;
    bool ok = meeting && cJSON_AddNumberToObject(json, "rank", p->rank) && cJSON_AddStringToObject(meeting, "address", l->address) &&
              cJSON_AddNumberToObject(meeting, "port", weir_tracker_port(l->tracker)) && cJSON_AddStringToObject(meeting, "token", l->token);
    char *text = ok ? cJSON_PrintUnformatted(json) : NULL;
    ok = text && weir_wire_put(&p->out, WEIR_WIRE_WORK, text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(json);
    return ok;
}

static weir_status welcome(leader *l, part *p, const char *text, size_t len, weir_err *err) {
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    char host[INET6_ADDRSTRLEN] = "";
    int rank = is_welcome(l, text, len) ? free_rank(l) : -1;
    if (rank < 0) {
        drop(l, p, "");
        return WEIR_OK;
    }
    p->rank = rank;
    p->place = LOADS;
    if (getpeername(p->fd, (struct sockaddr *)&from, &from_len) == 0)
        inet_ntop(from.ss_family,
                  from.ss_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)&from)->sin6_addr
                                             : (const void *)&((struct sockaddr_in *)&from)->sin_addr,
                  host, sizeof host);
    tell(l, WEIR_DISTRIBUTED_JOINED, rank, host);
    return put_work(l, p) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to tell a worker what is trained");
}

/* What waits to be sent is kept short: rows are made as they go. */
static bool put_rows(leader *l, part *p) {
    int width = width_of(l);
    size_t record_bytes = (size_t)width * sizeof(float);
    int64_t share = weir_wire_share(l->rows[p->set], p->rank, l->workers), most = (int64_t)(WEIR_WIRE_ROWS_BYTES / record_bytes);
    int64_t count = share - p->next < most ? share - p->next : most;
    unsigned char head[WEIR_WIRE_HEAD];
    float record[RECORD_MAX];
    if (!count) {
        p->set++;
        p->next = 0;
        return true;
    }
    const weir_wire_rows front = {(uint32_t)p->set, (uint32_t)count};
    weir_wire_head_write(head, WEIR_WIRE_ROWS, sizeof front + (uint64_t)count * record_bytes);
    bool ok = weir_buf_append(&p->out, head, sizeof head) && weir_buf_append(&p->out, &front, sizeof front) &&
              weir_buf_reserve(&p->out, (size_t)count * record_bytes);
    for (int64_t i = 0; ok && i < count; i++, p->next++) {
        make_record(l, p->set, p->rank + p->next * l->workers, record);
        ok = weir_buf_append(&p->out, record, record_bytes);
    }
    return ok;
}

static bool put_rest(leader *l, part *p) {
    unsigned char head[WEIR_WIRE_HEAD], progress[WEIR_WIRE_PROGRESS];
    p->all_sent = true;
    if (!l->at.round) return weir_wire_put(&p->out, WEIR_WIRE_ALL_SENT, NULL, 0);
    weir_wire_head_write(head, WEIR_WIRE_CHECKPOINT, sizeof progress + l->checkpoint.len);
    weir_wire_progress_write(progress, &l->at);
    return weir_buf_append(&p->out, head, sizeof head) && weir_buf_append(&p->out, progress, sizeof progress) &&
           weir_buf_append(&p->out, l->checkpoint.data, l->checkpoint.len) && weir_wire_put(&p->out, WEIR_WIRE_ALL_SENT, NULL, 0);
}

static weir_status refill(leader *l, part *p, weir_err *err) {
    bool ok = true;
    if (p->out_at == p->out.len) {
        weir_buf_clear(&p->out);
        p->out_at = 0;
    }
    while (ok && p->place == LOADS && !p->all_sent && p->out.len - p->out_at < OUT_BYTES) ok = p->set < 2 ? put_rows(l, p) : put_rest(l, p);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for rows on their way");
}

/* ---- what parts say ---- */

static weir_status read_loaded(part *p, const char *text, size_t len, weir_err *err) {
    cJSON *json = cJSON_ParseWithLength(text, len);
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(json, "rows"), *held = cJSON_GetObjectItemCaseSensitive(json, "held");
    const char *digest = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "digest"));
    bool ok = cJSON_IsNumber(rows) && cJSON_IsNumber(held) && digest;
    if (ok) {
        p->have[0] = (int64_t)rows->valuedouble;
        p->have[1] = (int64_t)held->valuedouble;
        p->digest = strtoull(digest, NULL, 10);
        p->place = LOADED;
    }
    cJSON_Delete(json);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "worker %d does not say what it has", p->rank + 1);
}

/* The parts are disjoint and complete: their counts and digests add up to those of all rows. */
static weir_status begin_when_loaded(leader *l, weir_err *err) {
    int64_t have[2] = {0, 0};
    uint64_t digest = 0;
    int loaded = 0;
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++) {
        if (l->parts[i].place != LOADED) continue;
        loaded++;
        have[0] += l->parts[i].have[0];
        have[1] += l->parts[i].have[1];
        digest += l->parts[i].digest;
    }
    if (loaded < l->workers) return WEIR_OK;
    if (have[0] != l->rows[0] || have[1] != l->rows[1] || digest != l->digest)
        return WEIR_FAIL(err, WEIR_EINTERNAL, "the workers have %lld and %lld rows with digest %016llx, expected %lld and %lld with %016llx",
                         (long long)have[0], (long long)have[1], (unsigned long long)digest, (long long)l->rows[0], (long long)l->rows[1],
                         (unsigned long long)l->digest);
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++) {
        if (l->parts[i].place != LOADED) continue;
        l->parts[i].place = TRAINS;
        if (!weir_wire_put(&l->parts[i].out, WEIR_WIRE_GO, NULL, 0)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to begin");
    }
    tell(l, WEIR_DISTRIBUTED_TRAINS, l->at.round, NULL);
    return WEIR_OK;
}

static weir_status keep_body(leader *l, const char *bytes, size_t len, weir_err *err) {
    weir_buf_clear(&l->body);
    return weir_buf_append(&l->body, bytes, len) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %zu bytes", len);
}

/* A message of a part that is at[len] of what came. What cannot be said now loses the worker. */
static weir_status hear_one(leader *l, part *p, uint32_t kind, size_t at, size_t len, weir_err *err) {
    const char *body = p->in.data + at;
    weir_xgb_progress progress;
    bool trains = p->place == TRAINS;
    if (p->place == SAYS_HELLO && kind == WEIR_WIRE_HELLO) return welcome(l, p, body, len, err);
    if (p->place == LOADS && p->all_sent && kind == WEIR_WIRE_LOADED) {
        weir_status status = read_loaded(p, body, len, err);
        return status ? status : begin_when_loaded(l, err);
    }
    if (kind == WEIR_WIRE_ALIVE && p->place > SAYS_HELLO) return WEIR_OK;
    if (kind == WEIR_WIRE_FAILED && p->place > SAYS_HELLO) {
        lose(l, "worker %d of %d: %.*s", p->rank + 1, l->workers, (int)(len < 180 ? len : 180), body);
        return WEIR_OK;
    }
    if (trains && p->rank == 0 && kind == WEIR_WIRE_CHECKPOINT) return keep_checkpoint(l, &p->in, at, len, err);
    if (trains && p->rank == 0 && kind == WEIR_WIRE_MODEL) return keep_body(l, body, len, err);
    if (trains && p->rank == 0 && kind == WEIR_WIRE_ROUND && weir_wire_progress_read(body, len, &progress)) {
        tell(l, WEIR_DISTRIBUTED_ROUND, progress.round, NULL);
        return WEIR_OK;
    }
    if (trains && kind == WEIR_WIRE_DONE && len == sizeof p->model_digest - 1) {
        memcpy(p->model_digest, body, len);
        p->place = DONE;
        return WEIR_OK;
    }
    drop(l, p, "said something else than expected");
    return WEIR_OK;
}

static weir_status hear_messages(leader *l, part *p, weir_err *err) {
    size_t at = 0;
    weir_status status = WEIR_OK;
    while (!status && p->place != NOBODY && p->in.len - at >= WEIR_WIRE_HEAD) {
        uint32_t kind = 0;
        uint64_t len = 0;
        bool good =
            weir_wire_head_read(p->in.data + at, &kind, &len) && (p->place != SAYS_HELLO || kind == WEIR_WIRE_HELLO); /* who is not known is given no room */
        if (!good) {
            drop(l, p, "said something that is no message");
            return WEIR_OK;
        }
        if (p->in.len - at - WEIR_WIRE_HEAD < len) break;
        status = hear_one(l, p, kind, at + WEIR_WIRE_HEAD, len, err);
        at += WEIR_WIRE_HEAD + len;
    }
    if (p->place == NOBODY || !at) return status;
    memmove(p->in.data, p->in.data + at, p->in.len - at);
    p->in.len -= at;
    return status;
}

static weir_status hear(leader *l, part *p, weir_err *err) {
    if (!weir_buf_reserve(&p->in, RECV_BYTES)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for what a worker says");
    ssize_t got = recv(p->fd, p->in.data + p->in.len, RECV_BYTES, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return WEIR_OK;
    if (got <= 0) {
        drop(l, p, "has gone");
        return WEIR_OK;
    }
    p->in.len += (size_t)got;
    p->heard_ms = now_ms();
    return hear_messages(l, p, err);
}

static void say(leader *l, part *p) {
    if (p->out_at == p->out.len) return;
    ssize_t sent = send(p->fd, p->out.data + p->out_at, p->out.len - p->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0)
        p->out_at += (size_t)sent;
    else if (errno != EAGAIN && errno != EINTR)
        drop(l, p, "has gone");
}

/* ---- the loop ---- */

static weir_status serve(leader *l, part *p, short events, weir_err *err) {
    weir_status status = WEIR_OK;
    if (events & (POLLIN | POLLHUP | POLLERR)) status = hear(l, p, err);
    if (!status && p->place != NOBODY) status = refill(l, p, err);
    if (!status && p->place != NOBODY) say(l, p);
    return status;
}

static void drop_silent(leader *l) {
    int64_t at = now_ms();
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++) {
        part *p = &l->parts[i];
        if (p->place == NOBODY || p->place == DONE) continue;
        if (at - p->heard_ms > (p->place == SAYS_HELLO ? HELLO_MS : SILENT_MS)) drop(l, p, "has said nothing for half a minute");
    }
}

static weir_status step(leader *l, weir_err *err) {
    struct pollfd fds[WEIR_DISTRIBUTED_MAX + GUESTS_MAX + 1];
    part *who[WEIR_DISTRIBUTED_MAX + GUESTS_MAX];
    nfds_t count = 0;
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++) {
        part *p = &l->parts[i];
        if (p->place == NOBODY) continue;
        who[count] = p;
        fds[count++] = (struct pollfd){.fd = p->fd, .events = (short)(POLLIN | (p->out_at < p->out.len ? POLLOUT : 0))};
    }
    fds[count] = (struct pollfd){.fd = l->listener, .events = POLLIN};
    if (poll(fds, count + 1, POLL_MS) < 0 && errno != EINTR) return WEIR_FAIL(err, WEIR_EINTERNAL, "poll: %s", strerror(errno));
    weir_status status = WEIR_OK;
    for (nfds_t i = 0; i < count && !status; i++) status = serve(l, who[i], fds[i].revents, err);
    if (fds[count].revents) accept_one(l);
    drop_silent(l);
    (void)look_at_children(l, all_done(l));
    if (!status && weir_tracker_state_now(l->tracker) == WEIR_TRACKER_FAILED) lose(l, "the workers could not be linked with each other");
    return status ? status : weir_interrupt_check(err);
}

static bool all_came(const leader *l) {
    return free_rank(l) < 0;
}

static weir_status lead(leader *l, weir_err *err) {
    int64_t wait_ms = 1000 * (int64_t)(l->how->wait_s ? l->how->wait_s : WAIT_S);
    weir_status status = WEIR_OK;
    l->began_ms = now_ms();
    while (!status && !l->lost && !all_done(l)) {
        status = step(l, err);
        if (!status && !l->lost && !all_came(l) && now_ms() - l->began_ms > wait_ms)
            status =
                WEIR_RETRY(err, WEIR_ENET, "%d workers were to train together, not all of them came within %lld s", l->workers, (long long)(wait_ms / 1000));
    }
    return status;
}

/* over: the group will not begin anew. */
static void disband(leader *l, bool over) {
    unsigned char head[WEIR_WIRE_HEAD];
    weir_wire_head_write(head, WEIR_WIRE_END, 0);
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++) {
        part *p = &l->parts[i];
        if (p->place == NOBODY) continue;
        /* where something else is on its way, or nobody hears any more, the end of the connection says it */
        if (over && p->out_at == p->out.len) (void)!send(p->fd, head, sizeof head, MSG_DONTWAIT | MSG_NOSIGNAL);
        p->place = SAYS_HELLO; /* nothing is lost with it now */
        drop(l, p, "");
    }
}

static weir_status compare_models(const leader *l, weir_err *err) {
    char digest[65];
    weir_sha256_hex(l->body.data, l->body.len, digest);
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++)
        if (l->parts[i].place == DONE && strcmp(l->parts[i].model_digest, digest) != 0)
            return WEIR_FAIL(err, WEIR_EINTERNAL, "worker %d ended with another model than the first", l->parts[i].rank + 1);
    return WEIR_OK;
}

static int most_restarts(const leader *l) {
    return l->how->restart_max < 0 ? 0 : l->how->restart_max ? l->how->restart_max : RESTARTS;
}

/* One try, from the last checkpoint on. */
static weir_status try_once(leader *l, weir_err *err) {
    l->lost = false;
    weir_status status = weir_tracker_new(l->address, l->workers, l->token, &l->tracker, err);
    if (!status) status = start_children(l, err);
    if (!status) status = lead(l, err);
    bool done = !status && !l->lost;
    if (done) status = compare_models(l, err);
    bool again = !status && l->lost && l->lost_count < most_restarts(l);
    disband(l, !again);
    end_children(l, done);
    weir_tracker_free(l->tracker);
    l->tracker = NULL;
    return status;
}

static weir_status listen_at(leader *l, weir_err *err) {
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)l->how->port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->how->port)};
    const int yes = 1;
    bool is_v6 = inet_pton(AF_INET6, l->address, &v6.sin6_addr) == 1;
    if (!is_v6 && inet_pton(AF_INET, l->address, &v4.sin_addr) != 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "'%s' is no numeric address of this host that workers could be told", l->address);
    struct sockaddr *where = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t len = is_v6 ? sizeof v6 : sizeof v4;
    l->listener = socket(where->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->listener >= 0) (void)setsockopt(l->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (l->listener < 0 || bind(l->listener, where, len) || listen(l->listener, WEIR_DISTRIBUTED_MAX) || getsockname(l->listener, where, &len))
        return WEIR_FAIL(err, WEIR_ENET, "workers cannot be awaited at %s:%d: %s", l->address, l->how->port, strerror(errno));
    l->port = ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
    tell(l, WEIR_DISTRIBUTED_LISTENS, l->port, l->address);
    return WEIR_OK;
}

static weir_status take_token(leader *l, weir_err *err) {
    static const char good[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-";
    unsigned char drawn[16];
    const char *given = l->how->token;
    if (!given && getrandom(drawn, sizeof drawn, 0) != sizeof drawn) return WEIR_FAIL(err, WEIR_EINTERNAL, "no random numbers for a token");
    for (size_t i = 0; !given && i < sizeof drawn; i++) snprintf(l->token + 2 * i, 3, "%02x", drawn[i]);
    if (!given) return WEIR_OK;
    if (!*given || strlen(given) > WEIR_DISTRIBUTED_TOKEN_MAX || given[strspn(given, good)])
        return WEIR_FAIL(err, WEIR_EINVAL, "the token of a training has 1 to %d letters, digits and hyphens", WEIR_DISTRIBUTED_TOKEN_MAX);
    strcpy(l->token, given);
    return WEIR_OK;
}

static weir_status lead_all(leader *l, weir_err *err) {
    weir_status status = take_token(l, err);
    if (!status) status = describe_work(l, err);
    if (!status) status = find_checkpoint(l, err);
    if (!status) status = listen_at(l, err);
    while (!status) {
        status = try_once(l, err);
        if (status || !l->lost) return status;
        l->lost_count++;
        tell(l, WEIR_DISTRIBUTED_LOST, l->lost_count, l->lost_why);
        if (l->lost_count > most_restarts(l))
            status = WEIR_RETRY(err, WEIR_ENET, "a distributed training was broken off %d times, at last because %s", l->lost_count, l->lost_why);
    }
    return status;
}

weir_status weir_distributed_fit(const weir_distributed_job *job, weir_buf *ret_body, weir_err *err) {
    leader *l = weir_models_calloc(1, sizeof *l);
    if (!l) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to lead a training");
    l->how = now;
    l->job = job;
    l->workers = now->workers;
    l->listener = -1;
    l->address = now->address ? now->address : "127.0.0.1";
    l->program = now->program ? now->program : "/proc/self/exe";
    for (size_t i = 0; i < sizeof l->parts / sizeof *l->parts; i++) l->parts[i].rank = -1;
    weir_status status = lead_all(l, err);
    if (!status && !weir_buf_append(ret_body, l->body.data, l->body.len))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of %zu bytes", l->body.len);
    if (!status && *l->checkpoint_path && l->at.round) {
        weir_err ignored; /* one that stays does no harm: the same fit would end with the same model */
        if (weir_artifact_remove(l->how->objects_dir, l->checkpoint_path, &ignored)) tell(l, WEIR_DISTRIBUTED_CHECKPOINT, l->at.round, ignored.message);
    }
    if (l->listener >= 0) close(l->listener);
    cJSON_Delete(l->work_json);
    weir_buf_done(&l->checkpoint);
    weir_buf_done(&l->body);
    weir_models_free(l);
    return status;
}
