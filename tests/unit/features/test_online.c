/* The online store: batches, snapshots, limits, one writer, kill -9, a crash of the machine. */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "features/online.h"

enum { SMALL = 1 << 20, LARGE = 64 << 20 };

typedef struct fixture {
    char dir[64], path[80];
    weir_online *store;
} fixture;

static weir_online *open_or_fail(const char *path, int64_t bytes) {
    weir_online *store = NULL;
    weir_err err = {0};
    if (weir_online_open(path, bytes, &store, &err)) fail_msg("%s", err.message);
    return store;
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    strcpy(f->dir, "/tmp/weir_online_XXXXXX");
    if (!mkdtemp(f->dir)) return -1;
    snprintf(f->path, sizeof(f->path), "%s/a/b", f->dir); /* folders are made */
    f->store = open_or_fail(f->path, LARGE);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    static const char *const names[] = {"a/b/data.mdb", "a/b/lock.mdb", "a/b/lock", "a/b/boot", "a/b", "a", ""};
    fixture *f = *state;
    weir_online_close(f->store);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        remove(path);
    }
    int left = access(f->dir, F_OK);
    free(f);
    return left == 0; /* something else was written there */
}

static weir_status put(weir_online *store, int view, const char *key, int64_t offset, const char *bytes, weir_err *err) {
    weir_online_value value = {.event_time_us = offset * 1000, .source = {3, offset}, .state = bytes, .state_len = strlen(bytes)};
    return weir_online_put(store, view, key, strlen(key), &value, err);
}

static void begin(weir_online *store) {
    assert_int_equal(weir_online_begin(store, NULL), WEIR_OK);
}
static void commit(weir_online *store) {
    assert_int_equal(weir_online_commit(store, NULL), WEIR_OK);
}

/* What a fresh snapshot holds under the key. */
static void assert_stored(weir_online *store, int view, const char *key, int64_t offset, const char *bytes) {
    weir_online_reader *reader;
    weir_online_value value;
    assert_int_equal(weir_online_reader_new(store, &reader, NULL), WEIR_OK);
    assert_int_equal(weir_online_read_begin(reader, NULL), WEIR_OK);
    weir_status status = weir_online_read(reader, view, key, strlen(key), &value, NULL);
    if (!bytes)
        assert_int_equal(status, WEIR_ENOTFOUND);
    else {
        assert_int_equal(status, WEIR_OK);
        assert_int_equal(value.source.partition, 3);
        assert_int_equal(value.source.offset, offset);
        assert_int_equal(value.event_time_us, offset * 1000);
        assert_int_equal(value.state_len, strlen(bytes));
        assert_memory_equal(value.state, bytes, value.state_len);
    }
    weir_online_read_end(reader);
    weir_online_reader_free(reader);
}

static void what_was_committed_is_read(void **state) {
    fixture *f = *state;
    int64_t next, entities, bytes;
    begin(f->store);
    assert_int_equal(put(f->store, 0, "acme/1", 5, "one", NULL), WEIR_OK);
    assert_int_equal(put(f->store, 1, "acme/1", 6, "", NULL), WEIR_OK);
    assert_int_equal(weir_online_put_offset(f->store, "fraud.events", 2, INT64_C(1) << 40, NULL), WEIR_OK);
    commit(f->store);
    begin(f->store);
    assert_int_equal(put(f->store, 0, "acme/1", 7, "two", NULL), WEIR_OK);
    commit(f->store);
    assert_stored(f->store, 0, "acme/1", 7, "two");
    assert_stored(f->store, 1, "acme/1", 6, "");
    assert_stored(f->store, 0, "acme/2", 0, NULL);
    assert_int_equal(weir_online_offset(f->store, "fraud.events", 2, &next, NULL), WEIR_OK);
    assert_int_equal(next, INT64_C(1) << 40);
    assert_int_equal(weir_online_offset(f->store, "fraud.events", 1, &next, NULL), WEIR_OK);
    assert_int_equal(next, -1);
    assert_int_equal(weir_online_offset(f->store, "fraud.event", 2, &next, NULL), WEIR_OK);
    assert_int_equal(next, -1);
    assert_int_equal(weir_online_stats(f->store, 0, &entities, &bytes, NULL), WEIR_OK);
    assert_int_equal(entities, 1);
    assert_true(bytes >= 4096);
    weir_online_close(f->store);
    f->store = open_or_fail(f->path, LARGE);
    assert_stored(f->store, 0, "acme/1", 7, "two");
}

static void a_batch_sees_its_own_writes_and_an_abort_undoes_them(void **state) {
    fixture *f = *state;
    weir_online_value value;
    weir_err err = {0};
    begin(f->store);
    assert_int_equal(weir_online_get_own(f->store, 0, "k", 1, &value, &err), WEIR_ENOTFOUND);
    assert_string_equal(err.message, "");
    assert_int_equal(put(f->store, 0, "k", 1, "mine", NULL), WEIR_OK);
    assert_int_equal(weir_online_get_own(f->store, 0, "k", 1, &value, NULL), WEIR_OK);
    assert_memory_equal(value.state, "mine", 4);
    assert_stored(f->store, 0, "k", 0, NULL); /* nobody else sees them yet */
    assert_int_equal(weir_online_begin(f->store, &err), WEIR_EINTERNAL);
    weir_online_abort(f->store);
    assert_stored(f->store, 0, "k", 0, NULL);
    assert_int_equal(put(f->store, 0, "k", 1, "x", &err), WEIR_EINTERNAL);
    assert_int_equal(weir_online_commit(f->store, &err), WEIR_EINTERNAL);
    weir_online_abort(f->store);
}

static void a_reader_keeps_its_snapshot(void **state) {
    fixture *f = *state;
    weir_online_reader *reader;
    weir_online_value value;
    weir_err err = {0};
    begin(f->store);
    assert_int_equal(put(f->store, 0, "k", 1, "old", NULL), WEIR_OK);
    commit(f->store);
    assert_int_equal(weir_online_reader_new(f->store, &reader, NULL), WEIR_OK);
    assert_int_equal(weir_online_read(reader, 0, "k", 1, &value, &err), WEIR_EINTERNAL);
    assert_int_equal(weir_online_read_begin(reader, NULL), WEIR_OK);
    assert_int_equal(weir_online_read_begin(reader, &err), WEIR_EINTERNAL);
    assert_int_equal(weir_online_read(reader, 0, "k", 1, &value, NULL), WEIR_OK);
    for (int i = 2; i < 50; i++) {
        begin(f->store);
        assert_int_equal(put(f->store, 0, "k", i, "new", NULL), WEIR_OK);
        commit(f->store);
    }
    assert_memory_equal(value.state, "old", 3);
    weir_online_read_end(reader);
    assert_int_equal(weir_online_read_begin(reader, NULL), WEIR_OK);
    assert_int_equal(weir_online_read(reader, 0, "k", 1, &value, NULL), WEIR_OK);
    assert_int_equal(value.source.offset, 49);
    weir_online_reader_free(reader);
}

static void keys_and_views_out_of_bounds_are_refused(void **state) {
    fixture *f = *state;
    char key[600];
    weir_err err = {0};
    weir_online_value value;
    memset(key, 'k', sizeof(key));
    key[508] = 0;
    begin(f->store);
    assert_int_equal(put(f->store, 0, key, 1, "x", &err), WEIR_EDATA);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    assert_int_equal(put(f->store, 0, "", 1, "x", &err), WEIR_EDATA);
    assert_int_equal(weir_online_get_own(f->store, 0, key, 508, &value, NULL), WEIR_ENOTFOUND);
    key[507] = 0;
    assert_int_equal(put(f->store, 0, key, 1, "x", &err), WEIR_OK);
    assert_int_equal(put(f->store, -1, "k", 1, "x", &err), WEIR_EINVAL);
    assert_int_equal(put(f->store, WEIR_VIEWS_MAX, "k", 1, "x", &err), WEIR_EINVAL);
    assert_int_equal(put(f->store, WEIR_VIEWS_MAX - 1, "k", 1, "x", &err), WEIR_OK);
    commit(f->store);
    assert_stored(f->store, 0, key, 1, "x");
}

static void a_full_store_says_so_and_keeps_what_it_has(void **state) {
    fixture *f = *state;
    char bytes[2000], key[16];
    weir_err err = {0};
    weir_status status = WEIR_OK;
    weir_online_close(f->store);
    f->store = open_or_fail(f->path, SMALL);
    memset(bytes, 'b', sizeof(bytes) - 1);
    bytes[sizeof(bytes) - 1] = 0;
    begin(f->store);
    assert_int_equal(put(f->store, 0, "first", 1, "kept", NULL), WEIR_OK);
    commit(f->store);
    begin(f->store);
    for (int i = 0; !status && i < 2000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        status = put(f->store, 0, key, i, bytes, &err);
    }
    assert_int_equal(status, WEIR_ELIMIT);
    assert_non_null(strstr(err.message, "limit of 1 MiB"));
    weir_online_abort(f->store);
    assert_stored(f->store, 0, "first", 1, "kept");
    assert_stored(f->store, 0, "0", 0, NULL);
    weir_online_close(f->store);
    f->store = open_or_fail(f->path, LARGE); /* a higher limit is all it takes */
    begin(f->store);
    assert_int_equal(put(f->store, 0, "second", 2, bytes, NULL), WEIR_OK);
    commit(f->store);
    weir_online *tiny;
    assert_int_equal(weir_online_open(f->dir, 100, &tiny, &err), WEIR_EINVAL);
}

static void features_stand_beside_the_state(void **state) {
    fixture *f = *state;
    const double features[] = {1.5, -2, 1e300};
    const weir_online_value with = {.event_time_us = 5,
                                    .source = {1, 2},
                                    .version = 3,
                                    .newest_us = 7,
                                    .features_id = 99,
                                    .feature_count = 3,
                                    .features = features,
                                    .state = "abc",
                                    .state_len = 3};
    weir_online_value found;
    begin(f->store);
    assert_int_equal(weir_online_put(f->store, 0, "key", 3, &with, NULL), WEIR_OK);
    assert_int_equal(weir_online_get_own(f->store, 0, "key", 3, &found, NULL), WEIR_OK);
    assert_int_equal(found.newest_us, 7);
    assert_int_equal(found.features_id, 99);
    assert_int_equal(found.feature_count, 3);
    assert_memory_equal(found.features, features, sizeof features);
    assert_int_equal(found.version, 3);
    assert_int_equal(found.state_len, 3);
    assert_memory_equal(found.state, "abc", 3);
    commit(f->store);
}

static void a_second_writer_is_told_who_the_first_is(void **state) {
    fixture *f = *state;
    weir_online *second = NULL;
    weir_err err = {0};
    char pid[32];
    assert_int_equal(weir_online_open(f->path, LARGE, &second, &err), WEIR_ECONFLICT);
    assert_null(second);
    snprintf(pid, sizeof(pid), "process %d ", (int)getpid());
    assert_non_null(strstr(err.message, pid));
    assert_int_equal(weir_online_open("/proc/nothing", LARGE, &second, &err), WEIR_EIO);
    assert_int_equal(weir_online_open("", LARGE, &second, &err), WEIR_EINVAL);
}

/* Runs a writer in a child until it is killed; returns how many batches it had committed at least. */
static int64_t kill_a_writer(const char *path) {
    int pipes[2], status;
    int64_t told = -1, n;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (!pid) {
        weir_online *store;
        if (weir_online_open(path, LARGE, &store, NULL)) _exit(1);
        weir_online_reader *reader; /* left behind too */
        if (weir_online_reader_new(store, &reader, NULL) || weir_online_read_begin(reader, NULL)) _exit(1);
        if (weir_online_offset(store, "t", 0, &n, NULL)) _exit(1);
        for (n = n < 0 ? 0 : n;; n++) {
            char key[16];
            if (weir_online_begin(store, NULL)) _exit(1);
            for (int i = 0; i < 100; i++) {
                snprintf(key, sizeof(key), "e%d", i);
                if (put(store, i % 2, key, n, "some bytes of a state", NULL)) _exit(1);
            }
            if (weir_online_put_offset(store, "t", 0, n, NULL) || weir_online_commit(store, NULL)) _exit(1);
            if (write(pipes[1], &n, sizeof(n)) != sizeof(n)) _exit(1);
        }
    }
    close(pipes[1]);
    for (int i = 0; i < 50 && read(pipes[0], &n, sizeof(n)) == sizeof(n); i++) told = n;
    kill(pid, SIGKILL);
    while (read(pipes[0], &n, sizeof(n)) == sizeof(n)) told = n;
    close(pipes[0]);
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    return told;
}

static void a_killed_writer_leaves_its_last_commit_whole(void **state) {
    fixture *f = *state;
    char key[16];
    weir_online_close(f->store);
    f->store = NULL;
    for (int round = 0; round < 5; round++) {
        int64_t told = kill_a_writer(f->path), stored;
        weir_online *store = open_or_fail(f->path, LARGE);
        assert_int_equal(weir_online_offset(store, "t", 0, &stored, NULL), WEIR_OK);
        assert_true(told >= 0 && (stored == told || stored == told + 1));
        for (int i = 0; i < 100; i++) {
            snprintf(key, sizeof(key), "e%d", i);
            assert_stored(store, i % 2, key, stored, "some bytes of a state");
        }
        weir_online_close(store);
    }
    f->store = open_or_fail(f->path, LARGE);
}

static void write_boot(const fixture *f, const char *text) {
    char path[128];
    snprintf(path, sizeof(path), "%s/boot", f->path);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

/* What an older version wrote: no layout among the offsets, keys without a hash. */
static void a_store_of_another_layout_starts_over(void **state) {
    fixture *f = *state;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi offsets;
    MDB_val layout = {.mv_data = "layout", .mv_size = 6};
    int64_t next;
    begin(f->store);
    assert_int_equal(put(f->store, 0, "k", 1, "x", NULL), WEIR_OK);
    assert_int_equal(weir_online_put_offset(f->store, "t", 0, 5, NULL), WEIR_OK);
    commit(f->store);
    weir_online_close(f->store);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, WEIR_VIEWS_MAX + 1), 0);
    assert_int_equal(mdb_env_open(env, f->path, 0, 0666), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "offsets", 0, &offsets), 0);
    assert_int_equal(mdb_del(txn, offsets, &layout, NULL), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    f->store = open_or_fail(f->path, LARGE);
    assert_stored(f->store, 0, "k", 0, NULL);
    assert_int_equal(weir_online_offset(f->store, "t", 0, &next, NULL), WEIR_OK);
    assert_int_equal(next, -1);
}

static void a_store_left_open_by_another_boot_starts_over(void **state) {
    fixture *f = *state;
    int64_t next;
    begin(f->store);
    assert_int_equal(put(f->store, 0, "k", 1, "x", NULL), WEIR_OK);
    assert_int_equal(weir_online_put_offset(f->store, "t", 0, 5, NULL), WEIR_OK);
    commit(f->store);
    weir_online_close(f->store); /* as it should be: nothing is lost under whatever boot comes next */
    f->store = open_or_fail(f->path, LARGE);
    assert_stored(f->store, 0, "k", 1, "x");
    weir_online_close(f->store);
    write_boot(f, "00000000-0000-0000-0000-000000000000"); /* it was open when the machine went down */
    f->store = open_or_fail(f->path, LARGE);
    assert_stored(f->store, 0, "k", 0, NULL);
    assert_int_equal(weir_online_offset(f->store, "t", 0, &next, NULL), WEIR_OK);
    assert_int_equal(next, -1);
}

static atomic_bool stop_reading;
static void *read_all_the_time(void *context) {
    weir_online_reader *reader;
    if (weir_online_reader_new(context, &reader, NULL)) return "no reader";
    char *problem = NULL;
    int64_t before = -1;
    while (!problem && !atomic_load(&stop_reading)) {
        weir_online_value a, b;
        if (weir_online_read_begin(reader, NULL)) return "no snapshot";
        weir_status one = weir_online_read(reader, 0, "a", 1, &a, NULL), two = weir_online_read(reader, 1, "b", 1, &b, NULL);
        if (one != two)
            problem = "half a batch";
        else if (!one && a.source.offset != b.source.offset)
            problem = "two batches at once";
        /* A reader that is begun while two commits end may see the later one, and the next time the earlier: LMDB takes the number of the snapshot before its pages. */
        else if (!one && a.source.offset < before - 1)
            problem = "back in time";
        if (!one) before = a.source.offset;
        weir_online_read_end(reader);
    }
    weir_online_reader_free(reader);
    return problem;
}

static void readers_on_other_threads_see_whole_batches(void **state) {
    fixture *f = *state;
    pthread_t threads[2];
    void *problem;
    atomic_store(&stop_reading, false);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, read_all_the_time, f->store), 0);
    for (int64_t n = 0; n < 2000; n++) {
        begin(f->store);
        assert_int_equal(put(f->store, 0, "a", n, "x", NULL), WEIR_OK);
        assert_int_equal(put(f->store, 1, "b", n, "y", NULL), WEIR_OK);
        commit(f->store);
    }
    atomic_store(&stop_reading, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &problem);
        if (problem) fail_msg("%s", (char *)problem);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_committed_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_sees_its_own_writes_and_an_abort_undoes_them, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_keeps_its_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_and_views_out_of_bounds_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_store_says_so_and_keeps_what_it_has, setup, teardown),
        cmocka_unit_test_setup_teardown(features_stand_beside_the_state, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_writer_is_told_who_the_first_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_writer_leaves_its_last_commit_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_of_another_layout_starts_over, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_left_open_by_another_boot_starts_over, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_on_other_threads_see_whole_batches, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
