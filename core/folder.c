#include "core/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_ROOM = 4096, WALK_FILES_MAX = 16 };

/* All folders that end with a slash. */
static weir_status make(char *path, weir_err *err) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0777) && errno != EEXIST) return WEIR_FAIL(err, WEIR_EIO, "cannot make the folder %s: %s", path, strerror(errno));
        *slash = '/';
    }
    return WEIR_OK;
}

static weir_status too_long(const char *path, weir_err *err) {
    return WEIR_FAIL(err, WEIR_EINVAL, "the name of the folder %.60s… is too long", path);
}

weir_status weir_folder_make(const char *path, weir_err *err) {
    char copy[NAME_ROOM];
    return snprintf(copy, sizeof copy, "%s/", path) < (int)sizeof copy ? make(copy, err) : too_long(path, err);
}

weir_status weir_folder_make_above(const char *file_path, weir_err *err) {
    char copy[NAME_ROOM];
    return snprintf(copy, sizeof copy, "%s", file_path) < (int)sizeof copy ? make(copy, err) : too_long(file_path, err);
}

static weir_status sync_path(const char *path, int flags, weir_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    weir_status status = fd < 0 || fsync(fd) ? WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", path, strerror(errno)) : WEIR_OK;
    if (fd >= 0) close(fd);
    return status;
}

weir_status weir_file_publish(const char *aside, const char *path, weir_err *err) {
    char folder[NAME_ROOM];
    const char *slash = strrchr(path, '/');
    int len = slash ? snprintf(folder, sizeof folder, "%.*s/", (int)(slash - path), path) : snprintf(folder, sizeof folder, ".");
    if (len >= (int)sizeof folder) return too_long(path, err);
    weir_status status = sync_path(aside, 0, err);
    if (!status && rename(aside, path) != 0) status = WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", path, strerror(errno));
    return status ? status : sync_path(folder, O_DIRECTORY, err);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

weir_status weir_folder_remove(const char *path, weir_err *err) {
    if (!nftw(path, remove_one, WALK_FILES_MAX, FTW_DEPTH | FTW_PHYS) || errno == ENOENT) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EIO, "cannot remove %s: %s", path, strerror(errno));
}
