#include "core/folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_ROOM = 4096 };

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
