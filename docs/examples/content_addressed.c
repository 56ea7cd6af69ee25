/* A plugin: a store that keeps bytes under their own SHA-256, so that equal artifacts are kept once and damaged ones are noticed. An example of a storage back end to begin from;
 * docs/plugins.md goes through it.
 *
 *   cc -shared -fPIC -O2 -I. -o content_addressed.so docs/examples/content_addressed.c -lcrypto
 *
 * WEIR_OBJECTS_DIR=content:///srv/weir keeps
 *   /srv/weir/bytes/DIGEST    the bytes
 *   /srv/weir/names/PATH      the digest that a path stands for, 64 characters
 * Removing a path leaves the bytes: another path may stand for them. Of Weir it calls weir_buf_append, weir_buf_reserve and weir_err_set. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/artifact_store.h"

enum { ROOT_MAX = 2048, FULL_MAX = ROOT_MAX + WEIR_ARTIFACT_PATH_MAX + 64, DIGEST_LEN = 64 };

typedef struct store {
    char root[ROOT_MAX];
} store;

static weir_status content_open(const char *place, void **ret_store, weir_err *err) {
    if (*place != '/' || strlen(place) >= ROOT_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "found '%.100s', expected the absolute path of a folder", place);
    store *s = malloc(sizeof *s);
    if (!s) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a store");
    strcpy(s->root, place);
    *ret_store = s;
    return WEIR_OK;
}

static void full_path(const store *s, const char *kind, const char *path, char full[FULL_MAX]) {
    if (snprintf(full, FULL_MAX, "%s/%s/%s", s->root, kind, path) >= FULL_MAX) abort(); /* root and path have their bounds */
}

static void digest_of(const void *bytes, size_t len, char text[DIGEST_LEN + 1]) {
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256(bytes, len, sum);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) snprintf(text + 2 * i, 3, "%02x", sum[i]);
}

static weir_status sync_folder(char *full, weir_err *err) {
    char *slash = strrchr(full, '/');
    *slash = 0;
    int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC), failed = fd < 0 || fsync(fd);
    weir_status status = failed ? WEIR_FAIL(err, WEIR_EIO, "cannot write the folder %s: %s", full, strerror(errno)) : WEIR_OK;
    if (fd >= 0) close(fd);
    *slash = '/';
    return status;
}

static weir_status put_bytes(int fd, const char *aside, const char *bytes, size_t len, weir_err *err) {
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, bytes + done, len - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", aside, strerror(errno));
    }
    return fsync(fd) ? WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", aside, strerror(errno)) : WEIR_OK;
}

/* Aside, synced, renamed; folders are made. */
static weir_status put_file(char *full, const void *bytes, size_t len, weir_err *err) {
    static _Atomic unsigned number;
    char aside[FULL_MAX + 40];
    int fd = -1;
    for (char *p = full + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        int failed = mkdir(full, 0755) && errno != EEXIST;
        *p = '/';
        if (failed) return WEIR_FAIL(err, WEIR_EIO, "cannot make the folders of %s: %s", full, strerror(errno));
    }
    do { /* of a name that no other writer has */
        snprintf(aside, sizeof aside, "%s.%ld-%u.part", full, (long)getpid(), number++);
        fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0) return WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", aside, strerror(errno));
    weir_status status = put_bytes(fd, aside, bytes, len, err);
    close(fd);
    if (!status && rename(aside, full)) status = WEIR_FAIL(err, WEIR_EIO, "cannot name %s: %s", full, strerror(errno));
    if (status) unlink(aside);
    return status ? status : sync_folder(full, err);
}

/* Appends at most `most` bytes. */
static weir_status get_file(const char *full, int64_t most, weir_buf *bytes, weir_err *err) {
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0) return WEIR_FAIL(err, errno == ENOENT ? WEIR_ENOTFOUND : WEIR_EIO, "%s: %s", full, strerror(errno));
    weir_status status = fstat(fd, &info) ? WEIR_FAIL(err, WEIR_EIO, "%s: %s", full, strerror(errno)) : WEIR_OK;
    if (!status && info.st_size > most)
        status = WEIR_FAIL(err, WEIR_ELIMIT, "%s has %lld bytes, expected at most %lld", full, (long long)info.st_size, (long long)most);
    if (!status && !weir_buf_reserve(bytes, (size_t)info.st_size)) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %s", full);
    for (size_t left = status ? 0 : (size_t)info.st_size; left && !status;) {
        ssize_t got = read(fd, bytes->data + bytes->len, left);
        if (got > 0) {
            bytes->len += (size_t)got;
            left -= (size_t)got;
        } else if (!got || errno != EINTR) {
            status = WEIR_FAIL(err, WEIR_EIO, "%s: %s", full, got ? strerror(errno) : "it became shorter while it was read");
        }
    }
    close(fd);
    return status;
}

static weir_status content_write(void *object, const char *path, const void *bytes, size_t len, weir_err *err) {
    char digest[DIGEST_LEN + 1], full[FULL_MAX];
    digest_of(bytes, len, digest);
    full_path(object, "bytes", digest, full);
    weir_status status = access(full, F_OK) ? put_file(full, bytes, len, err) : WEIR_OK;
    if (status) return status;
    full_path(object, "names", path, full); /* last: a name always stands for bytes that are there */
    return put_file(full, digest, DIGEST_LEN, err);
}

static weir_status content_read(void *object, const char *path, weir_buf *ret_bytes, weir_err *err) {
    char full[FULL_MAX], wanted[DIGEST_LEN + 1], digest[DIGEST_LEN + 1];
    size_t begin = ret_bytes->len;
    full_path(object, "names", path, full);
    weir_status status = get_file(full, DIGEST_LEN, ret_bytes, err);
    if (status) return status;
    snprintf(wanted, sizeof wanted, "%.*s", (int)(ret_bytes->len - begin), ret_bytes->data + begin);
    ret_bytes->len = begin;
    if (strspn(wanted, "0123456789abcdef") != DIGEST_LEN) return WEIR_FAIL(err, WEIR_EDATA, "%s does not hold a digest", full);
    full_path(object, "bytes", wanted, full);
    status = get_file(full, WEIR_ARTIFACT_BYTES_MAX, ret_bytes, err);
    if (status) return status;
    digest_of(ret_bytes->data + begin, ret_bytes->len - begin, digest);
    if (!strcmp(digest, wanted)) return WEIR_OK;
    ret_bytes->len = begin;
    return WEIR_FAIL(err, WEIR_EDATA, "%s is damaged: its digest is %s", full, digest);
}

static weir_status content_remove(void *object, const char *path, weir_err *err) {
    char full[FULL_MAX];
    full_path(object, "names", path, full);
    if (unlink(full)) return WEIR_FAIL(err, errno == ENOENT ? WEIR_ENOTFOUND : WEIR_EIO, "cannot remove %s: %s", full, strerror(errno));
    return WEIR_OK;
}

static weir_status list_below(const store *s, const char *folder, weir_buf *paths, weir_err *err) {
    char full[FULL_MAX], path[WEIR_ARTIFACT_PATH_MAX + 300];
    full_path(s, "names", folder, full);
    DIR *dir = opendir(full);
    if (!dir) return errno == ENOENT || errno == ENOTDIR ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "cannot list %s: %s", full, strerror(errno));
    weir_status status = WEIR_OK;
    for (struct dirent *entry; !status && (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name);
        bool aside = len > 5 && !strcmp(entry->d_name + len - 5, ".part");
        int n = snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", entry->d_name);
        struct stat info;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || aside || n > WEIR_ARTIFACT_PATH_MAX) continue;
        full_path(s, "names", path, full);
        if (stat(full, &info)) continue; /* removed by another */
        if (S_ISDIR(info.st_mode))
            status = list_below(s, path, paths, err);
        else if (!weir_buf_append(paths, path, (size_t)n + 1))
            status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for paths");
    }
    closedir(dir);
    return status;
}

static weir_status content_list(void *object, const char *folder, weir_buf *ret_paths, weir_err *err) {
    return list_below(object, folder, ret_paths, err);
}

static const weir_artifact_store stores[] = {
    {
        .abi = WEIR_ARTIFACT_STORE_ABI,
        .name = "content",
        .doc = "files below a folder, named by the SHA-256 of their bytes",
        .open = content_open,
        .write = content_write,
        .read = content_read,
        .remove = content_remove,
        .list = content_list,
        .close = free,
    },
    {.name = NULL},
};

const weir_artifact_store *weir_plugin_stores(void) {
    return stores;
}
