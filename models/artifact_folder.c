/* The store "file": artifacts are files below a folder. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/folder.h"
#include "models/artifact_file.h"
#include "models/artifact_store.h"
#include "models/memory.h"

enum { FILE_PATH_MAX = 4096, ASIDE_MAX = 40 };
static const char aside_suffix[] = ".part";

/* So that the name of a file survives a power failure as its bytes do: the registry is about to name it. */
static weir_status sync_folder(char *path, weir_err *err) {
    char *slash = strrchr(path, '/');
    *slash = 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    weir_status status = fd < 0 || fsync(fd) ? WEIR_FAIL(err, WEIR_EIO, "cannot write the folder %s: %s", path, strerror(errno)) : WEIR_OK;
    if (fd >= 0) close(fd);
    *slash = '/';
    return status;
}

static weir_status read_whole(int fd, const char *path, weir_buf *bytes, weir_err *err) {
    struct stat info;
    if (fstat(fd, &info) != 0) return WEIR_FAIL(err, WEIR_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return WEIR_FAIL(err, WEIR_EDATA, "%s is not a file", path);
    if (info.st_size > WEIR_ARTIFACT_BYTES_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "%s has %lld bytes, expected at most %lld", path, (long long)info.st_size, (long long)WEIR_ARTIFACT_BYTES_MAX);
    if (!weir_buf_reserve(bytes, (size_t)info.st_size)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %s, %lld bytes", path, (long long)info.st_size);
    for (size_t left = (size_t)info.st_size; left;) {
        ssize_t got = read(fd, bytes->data + bytes->len, left);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return WEIR_FAIL(err, WEIR_EIO, "%s: %s", path, strerror(errno));
        if (got == 0) break; /* cut while we read: the checks of the artifact say so */
        bytes->len += (size_t)got;
        left -= (size_t)got;
    }
    bytes->data[bytes->len] = 0;
    return WEIR_OK;
}

weir_status weir_artifact_read_file(const char *path, weir_buf *ret_bytes, weir_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return WEIR_FAIL(err, errno == ENOENT ? WEIR_ENOTFOUND : WEIR_EIO, "%s: %s", path, strerror(errno));
    weir_status status = read_whole(fd, path, ret_bytes, err);
    close(fd);
    return status;
}

/* The store is the folder's name. */
static weir_status folder_open(const char *place, void **ret_store, weir_err *err) {
    size_t len = strlen(place);
    if (!len || len + WEIR_ARTIFACT_PATH_MAX + 2 > FILE_PATH_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "the folder's name has %zu bytes, expected 1 to %d", len, FILE_PATH_MAX - WEIR_ARTIFACT_PATH_MAX - 2);
    char *folder = weir_models_calloc(len + 1, 1);
    if (!folder) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the name of a folder");
    memcpy(folder, place, len);
    *ret_store = folder;
    return WEIR_OK;
}

static void full_path(const char *folder, const char *path, char full[FILE_PATH_MAX]) {
    int len = snprintf(full, FILE_PATH_MAX, "%s%s%s", folder, *path ? "/" : "", path);
    assert(len < FILE_PATH_MAX); /* folder_open and the callers' check of paths leave room */
    (void)len;
}

static weir_status write_all(int fd, const char *aside, const char *bytes, size_t len, weir_err *err) {
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, bytes + done, len - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", aside, strerror(errno));
    }
    return fsync(fd) ? WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", aside, strerror(errno)) : WEIR_OK;
}

/* A file beside path, of a name that no other writer has: not in this process, nor in another, nor on another machine that has the folder too. */
static int open_aside(const char *path, char aside[FILE_PATH_MAX + ASIDE_MAX]) {
    static _Atomic unsigned number;
    int fd = -1;
    do {
        snprintf(aside, FILE_PATH_MAX + ASIDE_MAX, "%s.%ld-%u%s", path, (long)getpid(), number++, aside_suffix);
        fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    } while (fd < 0 && errno == EEXIST);
    return fd;
}

static weir_status folder_write(void *store, const char *relative, const void *bytes, size_t len, weir_err *err) {
    char path[FILE_PATH_MAX], aside[FILE_PATH_MAX + ASIDE_MAX];
    full_path(store, relative, path);
    weir_status status = weir_folder_make_above(path, err);
    if (status) return status;
    int fd = open_aside(path, aside);
    if (fd < 0) return WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", aside, strerror(errno));
    status = write_all(fd, aside, bytes, len, err);
    close(fd);
    if (!status && rename(aside, path)) status = WEIR_FAIL(err, WEIR_EIO, "cannot name %s: %s", path, strerror(errno));
    if (status) unlink(aside);
    return status ? status : sync_folder(path, err);
}

static weir_status folder_read(void *store, const char *relative, weir_buf *ret_bytes, weir_err *err) {
    char path[FILE_PATH_MAX];
    full_path(store, relative, path);
    return weir_artifact_read_file(path, ret_bytes, err);
}

static weir_status folder_remove(void *store, const char *relative, weir_err *err) {
    char path[FILE_PATH_MAX];
    full_path(store, relative, path);
    if (unlink(path)) return WEIR_FAIL(err, errno == ENOENT ? WEIR_ENOTFOUND : WEIR_EIO, "cannot remove %s: %s", path, strerror(errno));
    return WEIR_OK;
}

static bool is_aside(const char *name) {
    size_t len = strlen(name), suffix = sizeof aside_suffix - 1;
    return len >= suffix && !strcmp(name + len - suffix, aside_suffix);
}

static weir_status list_below(const char *folder, const char *relative, weir_buf *paths, weir_err *err);

static weir_status list_entry(const char *folder, const char *relative, const char *name, weir_buf *paths, weir_err *err) {
    char path[WEIR_ARTIFACT_PATH_MAX + 1], full[FILE_PATH_MAX];
    struct stat info;
    if (!strcmp(name, ".") || !strcmp(name, "..") || is_aside(name)) return WEIR_OK;
    if (snprintf(path, sizeof path, "%s%s%s", relative, *relative ? "/" : "", name) >= (int)sizeof path) return WEIR_OK; /* none that was written here */
    full_path(folder, path, full);
    if (lstat(full, &info)) return errno == ENOENT ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "%s: %s", full, strerror(errno));
    if (S_ISDIR(info.st_mode)) return list_below(folder, path, paths, err);
    if (S_ISREG(info.st_mode) && !weir_buf_append(paths, path, strlen(path) + 1)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the files of %s", folder);
    return WEIR_OK;
}

static weir_status list_below(const char *folder, const char *relative, weir_buf *paths, weir_err *err) {
    char full[FILE_PATH_MAX];
    full_path(folder, relative, full);
    DIR *dir = opendir(full);
    if (!dir) return errno == ENOENT || errno == ENOTDIR ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "cannot list %s: %s", full, strerror(errno));
    weir_status status = WEIR_OK;
    struct dirent *entry;
    while (!status && (entry = readdir(dir))) status = list_entry(folder, relative, entry->d_name, paths, err);
    closedir(dir);
    return status;
}

static weir_status folder_list(void *store, const char *folder, weir_buf *ret_paths, weir_err *err) {
    return list_below(store, folder, ret_paths, err);
}

const weir_artifact_store weir_artifact_store_file = {
    .abi = WEIR_ARTIFACT_STORE_ABI,
    .name = "file",
    .doc = "files below a folder, written aside, synced and renamed",
    .open = folder_open,
    .write = folder_write,
    .read = folder_read,
    .remove = folder_remove,
    .list = folder_list,
    .close = weir_models_free,
};
