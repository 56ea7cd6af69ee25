/* The online store on LMDB: a database a view, one for offsets.
 *
 *   key    hash (4 bytes big-endian) "tenant/entity" | topic, NUL, partition (4 bytes big-endian)
 *   value  int64 event time | int64 offset | int32 partition | uint32 format (4) | int64 version | int64 time of the newest record |
 *          uint32 id of the features' definitions | uint32 features | double each | state                  | int64 next offset
 *
 * The features stand before the state: a read that needs nothing else touches the value's first page only, however long the state is. The hash (weir_entities_hash) stands
 * before the key so that what is written back a segment of hashes at a time (features/entities.h) shares its pages: LMDB writes whole ones.
 *
 * Among the offsets, "layout" holds the number of this layout. A store of another one is emptied, and is made anew from the features topics.
 *
 * Durability. MDB_NOSYNC without MDB_WRITEMAP: a commit writes pages into the page cache, data first, then the meta page that makes them reachable, so a process that is
 * killed at any point leaves the last commit. What is lost with the page cache (power, kernel) may leave pages out of order, and LMDB cannot tell: the file "boot" holds the
 * kernel's boot id while the store is open, and a store that was left open under another boot is thrown away and rebuilt from the features topics. */
#include "features/online.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/folder.h"
#include "features/entities.h"

enum { VALUE_FORMAT = 4, READERS_MAX = 512, HASH_LEN = 4, KEY_LEN_MAX = 511 - HASH_LEN, TOPIC_LEN_MAX = 249, BOOT_LEN = 36, MIN_BYTES = 1 << 20 };

typedef struct value_head {
    int64_t event_time_us, offset;
    int32_t partition;
    uint32_t format;
    int64_t version, newest_us;
    uint32_t features_id, feature_count;
} value_head;
_Static_assert(sizeof(value_head) == 48, "the head is written as it is");

struct weir_online {
    MDB_env *env;
    MDB_txn *batch; /* the writer's; NULL when none is open */
    MDB_dbi views[WEIR_VIEWS_MAX], offsets;
    int lock_fd; /* holds the flock; -1 before */
    int64_t max_bytes;
    char dir[PATH_MAX];
};

struct weir_online_reader {
    weir_online *store;
    MDB_txn *txn;
    bool reading;
};

static weir_status lmdb_failed(const weir_online *store, int code, const char *what, weir_err *err) {
    if (code == MDB_MAP_FULL)
        return WEIR_FAIL(err, WEIR_ELIMIT, "the online store %s is full: its limit of %" PRId64 " MiB is reached; give it a higher one", store->dir,
                         store->max_bytes >> 20);
    if (code == MDB_READERS_FULL) return WEIR_FAIL(err, WEIR_ELIMIT, "the online store %s has %d readers, the most it takes", store->dir, READERS_MAX);
    if (code == ENOMEM) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to %s the online store %s", what, store->dir);
    return WEIR_FAIL(err, WEIR_EIO, "cannot %s the online store %s: %s", what, store->dir, mdb_strerror(code));
}

static weir_status file_failed(const weir_online *store, const char *name, weir_err *err) {
    return WEIR_FAIL(err, WEIR_EIO, "%s/%s: %s", store->dir, name, strerror(errno));
}

/* --- opening --- */

static int open_in(const weir_online *store, const char *name, int flags) {
    char path[PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/%s", store->dir, name);
    return open(path, flags | O_CLOEXEC, 0666);
}

/* flock is released by the kernel however the process ends. */
static weir_status lock(weir_online *store, weir_err *err) {
    char pid[24] = "";
    store->lock_fd = open_in(store, "lock", O_RDWR | O_CREAT);
    if (store->lock_fd < 0) return file_failed(store, "lock", err);
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK) return file_failed(store, "lock", err);
        ssize_t n = read(store->lock_fd, pid, sizeof(pid) - 1);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
        return WEIR_FAIL(err, WEIR_ECONFLICT, "process %s writes to the online store %s already", *pid ? pid : "(unknown)", store->dir);
    }
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(store->lock_fd, 0) || pwrite(store->lock_fd, pid, (size_t)n, 0) != n) return file_failed(store, "lock", err);
    return WEIR_OK;
}

/* The boot under which the store was left open; empty when it was closed, or new. */
static weir_status read_boot(const weir_online *store, char boot[BOOT_LEN + 1], weir_err *err) {
    boot[0] = 0;
    int fd = open_in(store, "boot", O_RDONLY);
    if (fd < 0) return errno == ENOENT ? WEIR_OK : file_failed(store, "boot", err);
    ssize_t n = read(fd, boot, BOOT_LEN);
    close(fd);
    if (n < 0) return file_failed(store, "boot", err);
    boot[n] = 0;
    return WEIR_OK;
}

static weir_status write_boot(const weir_online *store, const char *boot, weir_err *err) {
    size_t n = strlen(boot);
    int fd = open_in(store, "boot", O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) return file_failed(store, "boot", err);
    bool ok = write(fd, boot, n) == (ssize_t)n && !fsync(fd);
    weir_status status = ok ? WEIR_OK : file_failed(store, "boot", err);
    close(fd);
    return status;
}

static weir_status this_boot(char boot[BOOT_LEN + 1], weir_err *err) {
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, boot, BOOT_LEN);
    if (fd >= 0) close(fd);
    boot[n > 0 ? n : 0] = 0;
    return n == BOOT_LEN ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "/proc/sys/kernel/random/boot_id cannot be read");
}

/* Throws away what a crash of the machine may have torn, and marks the store as open. */
static weir_status check_boot(const weir_online *store, weir_err *err) {
    char left[BOOT_LEN + 1], now[BOOT_LEN + 1];
    weir_status status;
    if ((status = read_boot(store, left, err)) || (status = this_boot(now, err))) return status;
    if (*left && strcmp(left, now)) {
        static const char *const files[] = {"data.mdb", "lock.mdb"};
        for (int i = 0; i < 2; i++) {
            char path[PATH_MAX + 16];
            snprintf(path, sizeof(path), "%s/%s", store->dir, files[i]);
            if (unlink(path) && errno != ENOENT) return file_failed(store, files[i], err);
        }
    }
    return write_boot(store, now, err);
}

/* Empties a store that is laid out otherwise: its offsets would say that states are there which nobody finds. */
static int check_layout(const weir_online *store, MDB_txn *txn) {
    static const char name[] = "layout";
    uint32_t layout = VALUE_FORMAT;
    MDB_val k = {.mv_data = (void *)name, .mv_size = sizeof(name) - 1}, v;
    int code = mdb_get(txn, store->offsets, &k, &v);
    if (!code && v.mv_size == sizeof(layout) && !memcmp(v.mv_data, &layout, sizeof(layout))) return 0;
    if (code && code != MDB_NOTFOUND) return code;
    code = mdb_drop(txn, store->offsets, 0);
    for (int i = 0; !code && i < WEIR_VIEWS_MAX; i++) code = mdb_drop(txn, store->views[i], 0);
    v = (MDB_val){.mv_data = &layout, .mv_size = sizeof(layout)};
    return code ? code : mdb_put(txn, store->offsets, &k, &v, 0);
}

static weir_status open_databases(weir_online *store, weir_err *err) {
    MDB_txn *txn = NULL;
    char name[16];
    int code = mdb_txn_begin(store->env, NULL, 0, &txn);
    for (int i = 0; !code && i < WEIR_VIEWS_MAX; i++) {
        snprintf(name, sizeof(name), "view%d", i);
        code = mdb_dbi_open(txn, name, MDB_CREATE, &store->views[i]);
    }
    if (!code) code = mdb_dbi_open(txn, "offsets", MDB_CREATE, &store->offsets);
    if (!code) code = check_layout(store, txn);
    if (code)
        mdb_txn_abort(txn);
    else
        code = mdb_txn_commit(txn);
    return code ? lmdb_failed(store, code, "open", err) : WEIR_OK;
}

static weir_status open_env(weir_online *store, weir_err *err) {
    int dead = 0, code = mdb_env_create(&store->env);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = ((size_t)store->max_bytes + page - 1) / page * page;
    if (!code) code = mdb_env_set_mapsize(store->env, bytes);
    if (!code) code = mdb_env_set_maxdbs(store->env, WEIR_VIEWS_MAX + 1);
    if (!code) code = mdb_env_set_maxreaders(store->env, READERS_MAX);
    /* NOTLS: a reader belongs to its object, not to a thread. NORDAHEAD: lookups are random. */
    if (!code) code = mdb_env_open(store->env, store->dir, MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD, 0666);
    if (!code) code = mdb_reader_check(store->env, &dead); /* readers of killed processes would keep pages from being reused */
    return code ? lmdb_failed(store, code, "open", err) : WEIR_OK;
}

weir_status weir_online_open(const char *dir, int64_t max_bytes, weir_online **ret_store, weir_err *err) {
    size_t len = strlen(dir);
    if (!len || len >= PATH_MAX - 16) return WEIR_FAIL(err, WEIR_EINVAL, "the path of the online store has %zu bytes, expected 1 to %d", len, PATH_MAX - 17);
    if (max_bytes < MIN_BYTES) return WEIR_FAIL(err, WEIR_EINVAL, "the online store is given %" PRId64 " bytes, expected at least %d", max_bytes, MIN_BYTES);
    weir_online *store = weir_mem.realloc(NULL, sizeof(*store));
    if (!store) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the online store");
    *store = (weir_online){.lock_fd = -1, .max_bytes = max_bytes};
    memcpy(store->dir, dir, len + 1);
    weir_status status;
    if ((status = weir_folder_make(dir, err)) || (status = lock(store, err)) || (status = check_boot(store, err)) || (status = open_env(store, err)) ||
        (status = open_databases(store, err))) {
        if (store->env) mdb_env_close(store->env);
        if (store->lock_fd >= 0) close(store->lock_fd);
        free(store);
        return status;
    }
    *ret_store = store;
    return WEIR_OK;
}

void weir_online_close(weir_online *store) {
    if (!store) return;
    weir_online_abort(store);
    /* On disk, hence good under any boot; when that fails the mark stays and a later boot starts over. */
    if (!mdb_env_sync(store->env, 1)) (void)!write_boot(store, "", NULL);
    mdb_env_close(store->env);
    close(store->lock_fd);
    free(store);
}

/* --- writing --- */

static weir_status need_batch(const weir_online *store, weir_err *err) {
    return store->batch ? WEIR_OK : WEIR_FAIL(err, WEIR_EINTERNAL, "the online store %s has no open batch", store->dir);
}

static weir_status need_view(const weir_online *store, int view, weir_err *err) {
    return view >= 0 && view < WEIR_VIEWS_MAX
               ? WEIR_OK
               : WEIR_FAIL(err, WEIR_EINVAL, "view %d: the online store %s has views 0 to %d", view, store->dir, WEIR_VIEWS_MAX - 1);
}

weir_status weir_online_begin(weir_online *store, weir_err *err) {
    if (store->batch) return WEIR_FAIL(err, WEIR_EINTERNAL, "the online store %s has an open batch already", store->dir);
    int code = mdb_txn_begin(store->env, NULL, 0, &store->batch);
    return code ? lmdb_failed(store, code, "begin a batch in", err) : WEIR_OK;
}

/* The key as LMDB has it, in `bytes`. */
static MDB_val stored_key(const void *key, size_t key_len, char bytes[HASH_LEN + KEY_LEN_MAX]) {
    uint32_t hash = weir_entities_hash(key, key_len);
    for (int i = 0; i < HASH_LEN; i++) bytes[i] = (char)(hash >> (24 - 8 * i));
    memcpy(bytes + HASH_LEN, key, key_len);
    return (MDB_val){.mv_data = bytes, .mv_size = HASH_LEN + key_len};
}

weir_status weir_online_put(weir_online *store, int view, const void *key, size_t key_len, const weir_online_value *value, weir_err *err) {
    weir_status status;
    if ((status = need_batch(store, err)) || (status = need_view(store, view, err))) return status;
    if (!key_len || key_len > KEY_LEN_MAX) return WEIR_REJECT(err, WEIR_EDATA, "a key has %zu bytes, expected 1 to %d", key_len, KEY_LEN_MAX);
    char bytes[HASH_LEN + KEY_LEN_MAX];
    const value_head head = {.event_time_us = value->event_time_us,
                             .offset = value->source.offset,
                             .partition = value->source.partition,
                             .format = VALUE_FORMAT,
                             .version = value->version,
                             .newest_us = value->newest_us,
                             .features_id = value->features_id,
                             .feature_count = (uint32_t)value->feature_count};
    size_t features_len = (size_t)value->feature_count * sizeof(double);
    MDB_val k = stored_key(key, key_len, bytes), v = {.mv_size = sizeof(head) + features_len + value->state_len};
    int code = mdb_put(store->batch, store->views[view], &k, &v, MDB_RESERVE); /* written in place, without a copy of our own */
    if (code) return lmdb_failed(store, code, "write to", err);
    char *at = v.mv_data;
    memcpy(at, &head, sizeof(head));
    if (features_len) memcpy(at + sizeof(head), value->features, features_len);
    if (value->state_len) memcpy(at + sizeof(head) + features_len, value->state, value->state_len);
    return WEIR_OK;
}

static weir_status offset_key(const char *topic, int32_t partition, char key[TOPIC_LEN_MAX + 5], size_t *ret_len, weir_err *err) {
    size_t n = strlen(topic);
    if (n > TOPIC_LEN_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "a topic's name has %zu bytes, expected at most %d", n, TOPIC_LEN_MAX);
    memcpy(key, topic, n + 1);
    for (int i = 0; i < 4; i++) key[n + 1 + (size_t)i] = (char)((uint32_t)partition >> (24 - 8 * i));
    *ret_len = n + 5;
    return WEIR_OK;
}

weir_status weir_online_put_offset(weir_online *store, const char *topic, int32_t partition, int64_t next_offset, weir_err *err) {
    char key[TOPIC_LEN_MAX + 5];
    size_t key_len = 0;
    weir_status status;
    if ((status = need_batch(store, err)) || (status = offset_key(topic, partition, key, &key_len, err))) return status;
    MDB_val k = {.mv_data = key, .mv_size = key_len}, v = {.mv_data = &next_offset, .mv_size = sizeof(next_offset)};
    int code = mdb_put(store->batch, store->offsets, &k, &v, 0);
    return code ? lmdb_failed(store, code, "write to", err) : WEIR_OK;
}

weir_status weir_online_commit(weir_online *store, weir_err *err) {
    weir_status status = need_batch(store, err);
    if (status) return status;
    MDB_txn *txn = store->batch;
    store->batch = NULL; /* LMDB frees it whether the commit succeeds or not */
    int code = mdb_txn_commit(txn);
    return code ? lmdb_failed(store, code, "commit to", err) : WEIR_OK;
}

void weir_online_abort(weir_online *store) {
    if (store->batch) mdb_txn_abort(store->batch);
    store->batch = NULL;
}

/* --- reading --- */

static weir_status get(const weir_online *store, MDB_txn *txn, int view, const void *key, size_t key_len, weir_online_value *ret_value, weir_err *err) {
    weir_status status = need_view(store, view, err);
    if (status) return status;
    if (!key_len || key_len > KEY_LEN_MAX) return WEIR_ENOTFOUND;
    char bytes[HASH_LEN + KEY_LEN_MAX];
    MDB_val k = stored_key(key, key_len, bytes), v;
    int code = mdb_get(txn, store->views[view], &k, &v);
    if (code == MDB_NOTFOUND) return WEIR_ENOTFOUND;
    if (code) return lmdb_failed(store, code, "read", err);
    value_head head;
    if (v.mv_size < sizeof(head))
        return WEIR_FAIL(err, WEIR_EDATA, "the online store %s holds a value of %zu bytes, which is too short", store->dir, v.mv_size);
    memcpy(&head, v.mv_data, sizeof(head)); /* LMDB aligns values to 2 bytes only */
    if (head.format != VALUE_FORMAT)
        return WEIR_FAIL(err, WEIR_EDATA,
                         "the online store %s holds a value of format %u, expected %d: remove the folder, it is made anew from the features topics", store->dir,
                         head.format, VALUE_FORMAT);
    if (head.feature_count > (v.mv_size - sizeof(head)) / sizeof(double))
        return WEIR_FAIL(err, WEIR_EDATA, "the online store %s holds a value of %zu bytes with %u features, which is too short", store->dir, v.mv_size,
                         head.feature_count);
    size_t features_len = head.feature_count * sizeof(double);
    const char *features = (const char *)v.mv_data + sizeof(head);
    *ret_value = (weir_online_value){.event_time_us = head.event_time_us,
                                     .source = {.partition = head.partition, .offset = head.offset},
                                     .version = head.version,
                                     .newest_us = head.newest_us,
                                     .features_id = head.features_id,
                                     .feature_count = (int)head.feature_count,
                                     .features = features,
                                     .state = features + features_len,
                                     .state_len = v.mv_size - sizeof(head) - features_len};
    return WEIR_OK;
}

weir_status weir_online_get_own(weir_online *store, int view, const void *key, size_t key_len, weir_online_value *ret_value, weir_err *err) {
    weir_status status = need_batch(store, err);
    return status ? status : get(store, store->batch, view, key, key_len, ret_value, err);
}

weir_status weir_online_reader_new(weir_online *store, weir_online_reader **ret_reader, weir_err *err) {
    weir_online_reader *reader = weir_mem.realloc(NULL, sizeof(*reader));
    if (!reader) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a reader");
    *reader = (weir_online_reader){.store = store};
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &reader->txn);
    if (code) {
        free(reader);
        return lmdb_failed(store, code, "read", err);
    }
    mdb_txn_reset(reader->txn);
    *ret_reader = reader;
    return WEIR_OK;
}

void weir_online_reader_free(weir_online_reader *reader) {
    if (!reader) return;
    mdb_txn_abort(reader->txn);
    free(reader);
}

weir_status weir_online_read_begin(weir_online_reader *reader, weir_err *err) {
    if (reader->reading) return WEIR_FAIL(err, WEIR_EINTERNAL, "this reader of %s reads already", reader->store->dir);
    int code = mdb_txn_renew(reader->txn);
    if (code) return lmdb_failed(reader->store, code, "read", err);
    reader->reading = true;
    return WEIR_OK;
}

weir_status weir_online_read(weir_online_reader *reader, int view, const void *key, size_t key_len, weir_online_value *ret_value, weir_err *err) {
    if (!reader->reading) return WEIR_FAIL(err, WEIR_EINTERNAL, "this reader of %s has no snapshot", reader->store->dir);
    return get(reader->store, reader->txn, view, key, key_len, ret_value, err);
}

void weir_online_read_end(weir_online_reader *reader) {
    if (reader->reading) mdb_txn_reset(reader->txn);
    reader->reading = false;
}

weir_status weir_online_offset(weir_online *store, const char *topic, int32_t partition, int64_t *ret_next_offset, weir_err *err) {
    char key[TOPIC_LEN_MAX + 5];
    size_t key_len = 0;
    MDB_txn *txn = NULL;
    weir_status status = offset_key(topic, partition, key, &key_len, err);
    if (status) return status;
    MDB_val k = {.mv_data = key, .mv_size = key_len}, v;
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (code) return lmdb_failed(store, code, "read", err);
    code = mdb_get(txn, store->offsets, &k, &v);
    if (!code && v.mv_size == sizeof(*ret_next_offset))
        memcpy(ret_next_offset, v.mv_data, sizeof(*ret_next_offset));
    else if (!code)
        code = MDB_CORRUPTED;
    else if (code == MDB_NOTFOUND) {
        *ret_next_offset = -1;
        code = 0;
    }
    mdb_txn_abort(txn);
    return code ? lmdb_failed(store, code, "read", err) : WEIR_OK;
}

weir_status weir_online_stats(weir_online *store, int view, int64_t *ret_entities, int64_t *ret_bytes, weir_err *err) {
    weir_status status = need_view(store, view, err);
    if (status) return status;
    MDB_txn *txn = NULL;
    MDB_stat stat;
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (!code) code = mdb_stat(txn, store->views[view], &stat);
    mdb_txn_abort(txn);
    if (code) return lmdb_failed(store, code, "read", err);
    *ret_entities = (int64_t)stat.ms_entries;
    *ret_bytes = (int64_t)(stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * (int64_t)stat.ms_psize;
    return WEIR_OK;
}
