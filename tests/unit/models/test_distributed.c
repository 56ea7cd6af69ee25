/* Models trained by several processes, which are this program again: equal to those of one where nothing is left to chance, equal to themselves whoever was lost on the way, refused where they cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "models/distributed.h"
#include "models/distributed_wire.h"
#include "models/interrupt.h"
#include "models/metrics.h"
#include "models/spec.h"
#include "models/trainset.h"
#include "models/xgb_part.h"
#include "tests/unit/starve.h"

enum { ROWS = 3001, COLUMNS = 6 };

static double values[COLUMNS][ROWS], targets[3][ROWS], row_weight[ROWS];
static weir_trainset sets[3], weighed;

static double uniform(uint64_t *random) {
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(*random >> 11) * 0x1p-53;
}

static void make_set(weir_task task, const double *weight, weir_trainset *ret_set) {
    static const weir_prep_column columns[COLUMNS] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}, {.name = "e"}, {.name = "f"}};
    static const char *const names[] = {"y"};
    const double *pointers[COLUMNS], *target = targets[task];
    weir_err err;
    for (int c = 0; c < COLUMNS; c++) pointers[c] = values[c];
    const weir_trainset_source source = {.row_count = ROWS,
                                         .column_count = COLUMNS,
                                         .columns = columns,
                                         .values = pointers,
                                         .task = task,
                                         .class_count = task == WEIR_TASK_MULTICLASS ? 3 : 0,
                                         .target_names = names,
                                         .targets = &target,
                                         .weight = weight};
    assert_int_equal(weir_trainset_make(&source, ret_set, &err), WEIR_OK);
}

/* Columns of 200 values, which 256 bins tell apart: thresholds are the same ones whoever finds them. Gaps in each. */
static int make_sets(void **state) {
    (void)state;
    uint64_t random = 5;
    for (int r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int c = 0; c < COLUMNS; c++) {
            double x = floor(uniform(&random) * 200) / 200;
            values[c][r] = uniform(&random) < 0.03 ? NAN : x;
            sum += c < 4 ? x : 0;
        }
        double noisy = sum + uniform(&random) / 2;
        targets[WEIR_TASK_BINARY][r] = noisy > 2.6;
        targets[WEIR_TASK_MULTICLASS][r] = noisy > 2.8 ? 2 : noisy > 2 ? 1 : 0;
        targets[WEIR_TASK_REGRESSION][r] = exp(noisy);
        row_weight[r] = floor(uniform(&random) * 3);
    }
    for (int task = 0; task < WEIR_TASK_COUNT; task++) make_set((weir_task)task, NULL, &sets[task]);
    make_set(WEIR_TASK_BINARY, row_weight, &weighed);
    return 0;
}

static int drop_sets(void **state) {
    (void)state;
    for (int task = 0; task < WEIR_TASK_COUNT; task++) weir_trainset_done(&sets[task]);
    weir_trainset_done(&weighed);
    return 0;
}

/* What a leader told, and whom it started. */
typedef struct told {
    int counts[WEIR_DISTRIBUTED_LOST + 1];
    pid_t children[64];
    int child_count, kill_at, kill_which, began_at;
    bool killed;
} told;

static void listen_to(void *context, weir_distributed_what what, int64_t number, const char *words) {
    told *t = context;
    (void)words;
    t->counts[what]++;
    if (what == WEIR_DISTRIBUTED_STARTED) t->children[t->child_count++] = (pid_t)number;
    if (what == WEIR_DISTRIBUTED_TRAINS) t->began_at = (int)number;
    if (what != WEIR_DISTRIBUTED_ROUND || number != t->kill_at || t->killed) return;
    t->killed = true;
    kill(t->children[t->kill_which], SIGKILL);
}

static weir_status fit_with(const char *text, const weir_trainset *set, const weir_distributed *how, weir_buf *ret_artifact, weir_err *err) {
    cJSON *spec = cJSON_Parse(text);
    assert_non_null(spec);
    const weir_fit_options options = {.seed = 7, .threads = 1, .distributed = how};
    weir_status status = weir_spec_fit(spec, set, &options, ret_artifact, err);
    cJSON_Delete(spec);
    return status;
}

static weir_buf fit(const char *text, int workers, const weir_trainset *set, const weir_distributed *how) {
    char with[512];
    weir_buf artifact = {0};
    weir_err err;
    if (workers)
        snprintf(with, sizeof with, "{\"workers\": %d, %s}", workers, text);
    else
        snprintf(with, sizeof with, "{%s}", text);
    if (fit_with(with, set, how, &artifact, &err)) fail_msg("%s: %s", with, err.message);
    return artifact;
}

static void expect_equal(weir_buf *a, weir_buf *b) {
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
    weir_buf_done(a);
    weir_buf_done(b);
}

/* The largest difference of two models' scores on the rows they were fitted on. */
static double difference(weir_buf *a, weir_buf *b, const weir_trainset *set) {
    static double scores[2][ROWS * 3];
    weir_model *models[2] = {NULL, NULL};
    weir_err err;
    double most = 0;
    assert_int_equal(weir_model_load(a->data, a->len, &models[0], &err), WEIR_OK);
    assert_int_equal(weir_model_load(b->data, b->len, &models[1], &err), WEIR_OK);
    for (int i = 0; i < 2; i++) assert_int_equal(weir_model_predict(models[i], set->matrix.values, ROWS, scores[i], &err), WEIR_OK);
    for (int64_t i = 0; i < (int64_t)ROWS * weir_model_output_count(models[0]); i++) most = fmax(most, fabs(scores[0][i] - scores[1][i]));
    for (int i = 0; i < 2; i++) weir_model_free(models[i]);
    weir_buf_done(a);
    weir_buf_done(b);
    return most;
}

#define BOOSTED "\"algorithm\": \"xgboost\", \"params\": {\"rounds\": 20, \"max_bin\": 256, "
static const char whole[] = BOOSTED "\"subsample\": 1, \"colsample_bytree\": 1}";
static const char drawn[] = BOOSTED "\"subsample\": 0.7, \"colsample_bytree\": 0.7}";
static const char stopping[] =
    "\"algorithm\": \"xgboost\", \"params\": {\"max_bin\": 256, \"rounds\": 200, \"eta\": 0.5, \"early_stopping_rounds\": 5, \"validation_share\": 0.2}";
static const char forest[] = "\"algorithm\": \"random_forest\", \"params\": {\"trees\": 12, \"max_depth\": 8, \"max_bin\": 256}";
/* Long enough that a worker is killed in the middle, though the others go on for a moment. */
#define LONG "\"algorithm\": \"xgboost\", \"params\": {\"max_bin\": 256, \"eta\": 0.03, "
static const char long_whole[] = LONG "\"rounds\": 150, \"subsample\": 1, \"colsample_bytree\": 1}";
static const char long_drawn[] = LONG "\"rounds\": 150, \"subsample\": 0.7, \"colsample_bytree\": 0.7}";
static const char long_stopping[] = LONG "\"rounds\": 1000, \"early_stopping_rounds\": 10, \"validation_share\": 0.2}";
static const char long_forest[] = "\"algorithm\": \"random_forest\", \"params\": {\"trees\": 100, \"max_depth\": 5, \"max_bin\": 256}";

/* ---- as one worker ---- */

/* Nothing is drawn and columns have fewer values than bins: sums in another order are all that differs. */
static void several_workers_fit_the_model_of_a_process_alone(void **state) {
    (void)state;
    for (int task = 0; task < WEIR_TASK_COUNT; task++)
        for (int workers = 1; workers <= 3; workers++) {
            weir_buf alone = fit(whole, 0, &sets[task], NULL), together = fit(whole, workers, &sets[task], NULL);
            double most = difference(&alone, &together, &sets[task]);
            if (!(most < 1e-4)) fail_msg("task %d, %d workers: scores differ by %g", task, workers, most);
        }
}

static void drawn_rows_and_columns_do_not_depend_on_the_number_of_workers(void **state) {
    (void)state;
    const char *const specs[] = {drawn, stopping, forest};
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++)
        for (int task = 0; task < WEIR_TASK_COUNT; task++)
            for (int workers = 2; workers <= 3; workers++) {
                weir_buf one = fit(specs[s], 1, &sets[task], NULL), several = fit(specs[s], workers, &sets[task], NULL);
                double most = difference(&one, &several, &sets[task]);
                if (!(most < 1e-3)) fail_msg("spec %zu, task %d, %d workers: scores differ by %g", s, task, workers, most);
            }
}

static void weights_count(void **state) {
    (void)state;
    weir_buf alone = fit(whole, 0, &weighed, NULL), together = fit(whole, 2, &weighed, NULL);
    assert_true(difference(&alone, &together, &weighed) < 1e-4);
    weir_buf one = fit(drawn, 1, &weighed, NULL), two = fit(drawn, 2, &weighed, NULL), without = fit(drawn, 2, &sets[WEIR_TASK_BINARY], NULL);
    assert_true(difference(&one, &two, &weighed) < 1e-3);
    one = fit(drawn, 1, &weighed, NULL);
    assert_true(difference(&one, &without, &weighed) > 1e-3);
}

/* One value of one part is missing: the library's parts would each add up in their own way, and wait for each other. */
static void a_gap_in_one_part_only_is_no_trap(void **state) {
    (void)state;
    enum { N = 400 };
    static double x[N * 2], y[N];
    static const char *const names[] = {"x", "z"};
    const weir_distributed how = {.workers = 2};
    weir_matrix train = {.row_count = N, .column_count = 2, .values = x, .label = y, .column_names = names, .task = WEIR_TASK_REGRESSION};
    for (int r = 0; r < N; r++) {
        x[2 * r] = r % 37;
        x[2 * r + 1] = r % 11;
        y[r] = x[2 * r] * x[2 * r + 1];
    }
    x[21] = NAN;
    for (int forest_too = 0; forest_too < 2; forest_too++) {
        weir_buf alone = {0}, together = {0};
        weir_err err;
        cJSON *params = cJSON_Parse(forest_too ? "{\"trees\": 5, \"subsample\": 1, \"colsample_bynode\": 1, \"max_depth\": 6}"
                                               : "{\"rounds\": 10, \"subsample\": 1, \"colsample_bytree\": 1}");
        const char *algorithm = forest_too ? "random_forest" : "xgboost";
        assert_int_equal(weir_model_fit(algorithm, params, NULL, &train, NULL, 1, 1, &alone, &err), WEIR_OK);
        weir_distributed_set(&how);
        weir_status status = weir_model_fit(algorithm, params, NULL, &train, NULL, 1, 1, &together, &err);
        weir_distributed_set(NULL);
        if (status) fail_msg("%s", err.message);
        cJSON_Delete(params);
        static double scores[2][N];
        weir_model *models[2] = {NULL, NULL};
        assert_int_equal(weir_model_load(alone.data, alone.len, &models[0], &err), WEIR_OK);
        assert_int_equal(weir_model_load(together.data, together.len, &models[1], &err), WEIR_OK);
        for (int i = 0; i < 2; i++) assert_int_equal(weir_model_predict(models[i], x, N, scores[i], &err), WEIR_OK);
        for (int r = 0; r < N; r++) assert_float_equal(scores[0][r], scores[1][r], 1e-3);
        for (int i = 0; i < 2; i++) weir_model_free(models[i]);
        weir_buf_done(&alone);
        weir_buf_done(&together);
    }
}

static void the_same_again_is_the_same_bytes(void **state) {
    (void)state;
    const char *const specs[] = {whole, drawn, stopping, forest};
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
        weir_buf first = fit(specs[s], 3, &sets[WEIR_TASK_BINARY], NULL), again = fit(specs[s], 3, &sets[WEIR_TASK_BINARY], NULL);
        expect_equal(&first, &again);
    }
}

/* ---- losses ---- */

static void a_killed_worker_changes_no_byte(void **state) {
    (void)state;
    const char *const specs[] = {long_whole, long_drawn, long_stopping, long_forest};
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++)
        for (int which = 0; which < 2; which++) {
            told t = {.kill_at = 8, .kill_which = which};
            const weir_distributed how = {.checkpoint_rounds = 3, .tell = listen_to, .context = &t};
            weir_buf undisturbed = fit(specs[s], 2, &sets[WEIR_TASK_BINARY], NULL), disturbed = fit(specs[s], 2, &sets[WEIR_TASK_BINARY], &how);
            assert_true(t.killed);
            assert_int_equal(t.counts[WEIR_DISTRIBUTED_LOST], 1);
            assert_int_equal(t.counts[WEIR_DISTRIBUTED_TRAINS], 2);
            assert_true(t.began_at >= 6);
            expect_equal(&undisturbed, &disturbed);
        }
}

static void losses_come_to_an_end(void **state) {
    (void)state;
    weir_buf artifact = {0};
    weir_err err;
    told t = {0};
    weir_distributed how = {.program = "/bin/false", .restart_max = 2, .tell = listen_to, .context = &t};
    char text[512];
    snprintf(text, sizeof text, "{\"workers\": 2, %s}", whole);
    assert_int_equal(fit_with(text, &sets[0], &how, &artifact, &err), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_int_equal(t.counts[WEIR_DISTRIBUTED_LOST], 3);
    assert_int_equal(t.child_count, 6);
    how = (weir_distributed){.program = "/nowhere/weir"};
    assert_int_equal(fit_with(text, &sets[0], &how, &artifact, &err), WEIR_ELIMIT);
    assert_non_null(strstr(err.message, "/nowhere/weir"));
    weir_buf_done(&artifact);
}

/* What the second leader begins with is what the first one left on disk. */
static void a_checkpoint_outlives_its_leader(void **state) {
    (void)state;
    char folder[] = "/tmp/weir-distributed-XXXXXX", command[128], text[512];
    weir_buf artifact = {0};
    weir_err err;
    assert_non_null(mkdtemp(folder));
    told first = {.kill_at = 11}, second = {0};
    weir_distributed how = {.objects_dir = folder, .checkpoint_rounds = 5, .restart_max = -1, .tell = listen_to, .context = &first};
    snprintf(text, sizeof text, "{\"workers\": 2, %s}", long_drawn);
    assert_int_equal(fit_with(text, &sets[0], &how, &artifact, &err), WEIR_ENET);
    how.context = &second;
    weir_buf undisturbed = fit(long_drawn, 2, &sets[0], NULL), disturbed = fit(long_drawn, 2, &sets[0], &how);
    assert_true(second.began_at >= 10 && second.began_at % 5 == 0); /* the others may have come to the next one before they noticed */
    expect_equal(&undisturbed, &disturbed);
    /* it is gone with the end of its training */
    second = (told){0};
    weir_buf again = fit(long_drawn, 2, &sets[0], &how);
    assert_int_equal(second.began_at, 0);
    weir_buf_done(&again);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* ---- stopping, refusing ---- */

static bool stop_after(void *context) {
    int *left = context;
    return --*left < 0;
}

static void a_wish_to_stop_ends_the_group(void **state) {
    (void)state;
    weir_buf artifact = {0};
    weir_err err;
    told t = {0};
    const weir_distributed how = {.tell = listen_to, .context = &t};
    int left = 4;
    weir_interrupt_ask(stop_after, &left);
    weir_status status = fit_with("{\"workers\": 2, \"algorithm\": \"xgboost\", \"params\": {\"rounds\": 10000}}", &sets[0], &how, &artifact, &err);
    weir_interrupt_set(NULL);
    assert_int_equal(status, WEIR_ETIMEOUT);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    for (int i = 0; i < t.child_count; i++) assert_int_equal(kill(t.children[i], 0), -1);
    weir_buf_done(&artifact);
}

static void what_cannot_be_distributed_is_refused_in_words(void **state) {
    (void)state;
    static const struct {
        const char *spec, *words;
    } refused[] = {
        {"{\"algorithm\": \"ridge\", \"workers\": 2}", "those of xgboost and random_forest they can"},
        {"{\"algorithm\": \"xgboost\", \"workers\": 2, \"params\": {\"objective\": \"quantile\"}}", "objective quantile"},
        {"{\"algorithm\": \"xgboost\", \"workers\": 2, \"params\": {\"objective\": \"absolute_error\"}}", "objective absolute_error"},
        {"{\"algorithm\": \"xgboost\", \"workers\": 0}", "from 1 to 64"},
        {"{\"algorithm\": \"xgboost\", \"workers\": 1.5}", "found 1.5"},
        {"{\"algorithm\": \"xgboost\", \"workers\": \"2\"}", "expected a number"},
        {"{\"ensemble\": \"average\", \"workers\": 2, \"members\": [{\"algorithm\": \"ridge\"}]}", "workers"},
    };
    weir_buf artifact = {0};
    weir_err err;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(fit_with(refused[i].spec, &sets[WEIR_TASK_REGRESSION], NULL, &artifact, &err), WEIR_EINVAL);
        if (!strstr(err.message, refused[i].words)) fail_msg("%s: %s", refused[i].spec, err.message);
    }
    const weir_distributed wrong[] = {{.address = "localhost"}, {.token = "a b"}, {.remote = 3}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(fit_with("{\"algorithm\": \"xgboost\", \"workers\": 2}", &sets[0], &wrong[i], &artifact, &err), WEIR_EINVAL);
    weir_buf_done(&artifact);
}

static void more_workers_than_rows_are_refused(void **state) {
    (void)state;
    const double x[] = {0, 1, 2}, y[] = {0, 1, 1};
    static const char *const names[] = {"x"};
    const weir_matrix train = {.row_count = 3, .column_count = 1, .values = x, .label = y, .column_names = names};
    const weir_distributed how = {.workers = 4};
    weir_buf artifact = {0};
    weir_err err;
    weir_distributed_set(&how);
    assert_int_equal(weir_model_fit("xgboost", NULL, NULL, &train, NULL, 1, 1, &artifact, &err), WEIR_EDATA);
    weir_distributed_set(NULL);
    assert_non_null(strstr(err.message, "4 workers"));
    weir_buf_done(&artifact);
}

/* ---- who joins ---- */

/* Garbage, a wrong token and silence come before and beside the workers. */
typedef struct nuisance {
    _Atomic int port;
    pthread_t thread;
    int sockets[8];
} nuisance;

static int connect_to(int port) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
    return fd;
}

static void bother(void *context, weir_distributed_what what, int64_t number, const char *words) {
    static const char hello[] = "{\"weir\": \"" WEIR_VERSION "\", \"token\": \"guessed\"}";
    nuisance *n = context;
    unsigned char head[WEIR_WIRE_HEAD];
    (void)words;
    if (what != WEIR_DISTRIBUTED_LISTENS) return;
    for (int i = 0; i < 8; i++) n->sockets[i] = connect_to((int)number);
    assert_true(send(n->sockets[0], "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL) == 18);
    weir_wire_head_write(head, WEIR_WIRE_HELLO, sizeof hello - 1);
    assert_true(send(n->sockets[1], head, sizeof head, MSG_NOSIGNAL) == sizeof head);
    assert_true(send(n->sockets[1], hello, sizeof hello - 1, MSG_NOSIGNAL) == sizeof hello - 1);
    weir_wire_head_write(head, WEIR_WIRE_MODEL, UINT64_C(1) << 31);
    assert_true(send(n->sockets[2], head, sizeof head, MSG_NOSIGNAL) == sizeof head);
    weir_wire_head_write(head, WEIR_WIRE_HELLO, 100);
    assert_true(send(n->sockets[3], head, sizeof head, MSG_NOSIGNAL) == sizeof head);
    shutdown(n->sockets[4], SHUT_RDWR);
}

static void strangers_do_not_disturb(void **state) {
    (void)state;
    nuisance n = {0};
    const weir_distributed how = {.tell = bother, .context = &n};
    weir_buf quiet = fit(whole, 2, &sets[0], NULL), bothered = fit(whole, 2, &sets[0], &how);
    expect_equal(&quiet, &bothered);
    for (int i = 0; i < 8; i++) close(n.sockets[i]);
}

/* A worker that was not started by the leader: another process of this program. */
static void join_from_elsewhere(void *context, weir_distributed_what what, int64_t number, const char *words) {
    (void)context;
    char where[64];
    if (what != WEIR_DISTRIBUTED_LISTENS) return;
    snprintf(where, sizeof where, "%s:%d", words, (int)number);
    setenv(WEIR_DISTRIBUTED_TOKEN_VARIABLE, "of-the-house", 1);
    pid_t child = fork();
    if (!child) execl("/proc/self/exe", "weir", "train", "--join", where, NULL);
    unsetenv(WEIR_DISTRIBUTED_TOKEN_VARIABLE);
}

static void a_worker_may_come_from_elsewhere(void **state) {
    (void)state;
    const weir_distributed how = {.remote = 1, .token = "of-the-house", .tell = join_from_elsewhere};
    weir_buf here = fit(drawn, 2, &sets[0], NULL), joined = fit(drawn, 2, &sets[0], &how);
    expect_equal(&here, &joined);
}

static void workers_that_do_not_come_are_named(void **state) {
    (void)state;
    weir_buf artifact = {0};
    weir_err err;
    const weir_distributed how = {.remote = 1, .token = "alone", .wait_s = 1};
    assert_int_equal(fit_with("{\"algorithm\": \"xgboost\", \"workers\": 2}", &sets[0], &how, &artifact, &err), WEIR_ENET);
    assert_non_null(strstr(err.message, "not all of them came"));
    weir_buf_done(&artifact);
}

static void a_part_says_why_it_cannot_join(void **state) {
    (void)state;
    weir_part_end end;
    weir_err err;
    assert_int_equal(weir_distributed_part("nothing", "x", 0, &end, &err), WEIR_EINVAL);
    assert_int_equal(weir_distributed_part("127.0.0.1:1", "x", 0, &end, &err), WEIR_ENET);
}

/* ---- memory ---- */

static void no_memory_is_an_error_and_leaves_nothing(void **state) {
    (void)state;
    const weir_allocator before = weir_mem;
    weir_err err;
    weir_status status = WEIR_ENOMEM;
    for (int n = 0; status != WEIR_OK && n < 400; n += n < 40 ? 1 : 23) {
        weir_buf artifact = {0};
        told t = {0};
        const weir_distributed how = {.tell = listen_to, .context = &t, .restart_max = -1};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = fit_with("{\"algorithm\": \"xgboost\", \"workers\": 2, \"params\": {\"rounds\": 1}}", &sets[0], &how, &artifact, &err);
        weir_mem = before;
        if (status) assert_true(status == WEIR_ENOMEM || status == WEIR_ENET); /* without memory the tracker drops a worker, which is then lost */
        for (int i = 0; i < t.child_count; i++) assert_int_equal(kill(t.children[i], 0), -1);
        weir_buf_done(&artifact);
    }
    assert_int_equal(status, WEIR_OK);
}

/* ---- rows ---- */

static void shares_are_disjoint_and_complete(void **state) {
    (void)state;
    for (int workers = 1; workers <= 7; workers++)
        for (int64_t rows = 0; rows < 30; rows++) {
            int seen[30] = {0};
            for (int rank = 0; rank < workers; rank++)
                for (int64_t i = 0; i < weir_wire_share(rows, rank, workers); i++) seen[rank + i * workers]++;
            for (int64_t r = 0; r < rows; r++) assert_int_equal(seen[r], 1);
        }
}

/* Of n rows drawn with probability p the count is within five standard deviations of n p, in each round another sample. */
static void rows_are_drawn_as_often_as_they_should_be(void **state) {
    (void)state;
    enum { N = 100000 };
    for (int i = 1; i < 10; i++) {
        double p = i / 10.0, spread = 5 * sqrt(N * p * (1 - p));
        int first = 0, both = 0;
        for (int64_t r = 0; r < N; r++) {
            bool a = weir_xgb_row_is_drawn(42, 0, r, p), b = weir_xgb_row_is_drawn(42, 1, r, p);
            first += a;
            both += a && b;
        }
        assert_true(fabs(first - N * p) < spread);
        assert_true(fabs(both - N * p * p) < spread);
    }
}

static int be_a_part(const char *leader) {
    const char *token = getenv(WEIR_DISTRIBUTED_TOKEN_VARIABLE);
    weir_part_end end;
    weir_err err;
    return weir_distributed_part(leader, token ? token : "", 10, &end, &err) ? 3 : end == WEIR_PART_DONE ? 0 : WEIR_PART_EXIT_ANEW;
}

int main(int argc, char **argv) {
    if (argc >= 4 && !strcmp(argv[1], "train") && !strcmp(argv[2], "--join")) return be_a_part(argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_workers_fit_the_model_of_a_process_alone),
        cmocka_unit_test(drawn_rows_and_columns_do_not_depend_on_the_number_of_workers),
        cmocka_unit_test(weights_count),
        cmocka_unit_test(a_gap_in_one_part_only_is_no_trap),
        cmocka_unit_test(the_same_again_is_the_same_bytes),
        cmocka_unit_test(a_killed_worker_changes_no_byte),
        cmocka_unit_test(losses_come_to_an_end),
        cmocka_unit_test(a_checkpoint_outlives_its_leader),
        cmocka_unit_test(a_wish_to_stop_ends_the_group),
        cmocka_unit_test(what_cannot_be_distributed_is_refused_in_words),
        cmocka_unit_test(more_workers_than_rows_are_refused),
        cmocka_unit_test(strangers_do_not_disturb),
        cmocka_unit_test(a_worker_may_come_from_elsewhere),
        cmocka_unit_test(workers_that_do_not_come_are_named),
        cmocka_unit_test(a_part_says_why_it_cannot_join),
        cmocka_unit_test(no_memory_is_an_error_and_leaves_nothing),
        cmocka_unit_test(shares_are_disjoint_and_complete),
        cmocka_unit_test(rows_are_drawn_as_often_as_they_should_be),
    };
    return cmocka_run_group_tests(tests, make_sets, drop_sets);
}
