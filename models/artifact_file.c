#include "models/artifact_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static weir_status make_dirs(char *path, weir_err *err) {
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        int failed = mkdir(path, 0755) && errno != EEXIST;
        *p = '/';
        if (failed) return WEIR_FAIL(err, WEIR_EIO, "cannot make the folders of %s: %s", path, strerror(errno));
    }
    return WEIR_OK;
}

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

weir_status weir_artifact_folders(const char *path, weir_err *err) {
    char copy[4096];
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy) return WEIR_FAIL(err, WEIR_EINVAL, "the name of a folder is too long");
    return make_dirs(copy, err);
}

weir_status weir_artifact_read(const char *path, weir_buf *ret_bytes, weir_err *err) {
    FILE *file = fopen(path, "rbe");
    if (!file) return WEIR_FAIL(err, errno == ENOENT || errno == ENOTDIR ? WEIR_ENOTFOUND : WEIR_EIO, "%s: %s", path, strerror(errno));
    char chunk[16384];
    size_t n;
    bool fits = true;
    while (fits && (n = fread(chunk, 1, sizeof chunk, file)) > 0) fits = weir_buf_append(ret_bytes, chunk, n);
    fits = fits && weir_buf_reserve(ret_bytes, 0);
    bool failed = ferror(file);
    fclose(file);
    if (fits && !failed) return WEIR_OK;
    weir_buf_done(ret_bytes);
    return fits ? WEIR_FAIL(err, WEIR_EIO, "%s cannot be read", path) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to read %s", path);
}

weir_status weir_artifact_write(const char *objects_dir, const char *relative, const weir_buf *artifact, weir_err *err) {
    char path[4096], aside[4096 + 8];
    if (snprintf(path, sizeof path, "%s/%s", objects_dir, relative) >= (int)sizeof path)
        return WEIR_FAIL(err, WEIR_EINVAL, "the objects directory's name is too long");
    weir_status status = make_dirs(path, err);
    if (status) return status;
    snprintf(aside, sizeof aside, "%s.part", path);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", aside, strerror(errno));
    for (size_t done = 0; !status && done < artifact->len;) {
        ssize_t n = write(fd, artifact->data + done, artifact->len - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            status = WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", aside, strerror(errno));
    }
    if (!status && fsync(fd)) status = WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", aside, strerror(errno));
    close(fd);
    if (!status && rename(aside, path)) status = WEIR_FAIL(err, WEIR_EIO, "cannot name %s: %s", path, strerror(errno));
    if (status) unlink(aside);
    return status ? status : sync_folder(path, err);
}
