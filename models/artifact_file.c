#include "models/artifact_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/artifact_store.h"
#include "models/memory.h"

typedef struct handle {
    const weir_artifact_store *ops;
    void *store;
    const char *dir; /* for messages */
} handle;

static weir_status check_path(const char *path, bool may_be_empty, weir_err *err) {
    size_t len = strlen(path);
    bool good = len <= WEIR_ARTIFACT_PATH_MAX && (len || may_be_empty);
    for (const char *part = path; good && len && part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        size_t n = strcspn(part, "/");
        good = n && !(n == 1 && *part == '.') && !(n == 2 && part[0] == '.' && part[1] == '.');
    }
    if (good) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "the artifact's path '%.200s' has %zu bytes, expected 1 to %d, and no part that is empty, '.' or '..'", path, len,
                     WEIR_ARTIFACT_PATH_MAX);
}

/* "scheme://place", otherwise a folder. */
static weir_status open_store(const char *dir, handle *ret_handle, weir_err *err) {
    const char *separator = strstr(dir, "://");
    char scheme[64];
    handle h = {.ops = &weir_artifact_store_file, .dir = dir};
    if (separator) {
        snprintf(scheme, sizeof scheme, "%.*s", (int)(separator - dir), dir);
        h.ops = weir_artifact_store_find(scheme);
        if (!h.ops) return WEIR_FAIL(err, WEIR_EINVAL, "objects directory %s: there is no store '%s'; a plugin may bring it", dir, scheme);
    }
    weir_status status = h.ops->open(separator ? separator + 3 : dir, &h.store, err);
    if (status) return err ? weir_err_prefix(err, "objects directory %s", dir) : status;
    *ret_handle = h;
    return WEIR_OK;
}

/* Closes; a failure gets its context, where the store has not said it. */
static weir_status finish(handle *h, const char *path, weir_status status, weir_err *err) {
    h->ops->close(h->store);
    return status && err && !strstr(err->message, path) ? weir_err_prefix(err, "%s/%s", h->dir, path) : status;
}

weir_status weir_artifact_write(const char *objects_dir, const char *relative, const weir_buf *artifact, weir_err *err) {
    handle h;
    weir_status status = check_path(relative, false, err);
    if (!status) status = open_store(objects_dir, &h, err);
    return status ? status : finish(&h, relative, h.ops->write(h.store, relative, artifact->data, artifact->len, err), err);
}

weir_status weir_artifact_read(const char *objects_dir, const char *relative, weir_buf *ret_bytes, weir_err *err) {
    handle h;
    weir_status status = check_path(relative, false, err);
    if (!status) status = open_store(objects_dir, &h, err);
    if (status) return status;
    size_t begin = ret_bytes->len;
    status = finish(&h, relative, h.ops->read(h.store, relative, ret_bytes, err), err);
    if (status) ret_bytes->len = begin;
    if (ret_bytes->data) ret_bytes->data[ret_bytes->len] = 0;
    return status;
}

weir_status weir_artifact_remove(const char *objects_dir, const char *relative, weir_err *err) {
    handle h;
    weir_status status = check_path(relative, false, err);
    if (!status) status = open_store(objects_dir, &h, err);
    return status ? status : finish(&h, relative, h.ops->remove(h.store, relative, err), err);
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends the NUL-ended texts of `from` in order. */
static weir_status append_sorted(const weir_buf *from, weir_buf *to, weir_err *err) {
    size_t count = 0, i = 0;
    for (size_t at = 0; at < from->len; at++) count += !from->data[at];
    const char **texts = weir_models_calloc(count, sizeof *texts);
    bool ok = texts && weir_buf_reserve(to, from->len);
    for (size_t at = 0; ok && i < count; at += strlen(from->data + at) + 1) texts[i++] = from->data + at;
    if (ok && count) qsort(texts, count, sizeof *texts, by_bytes);
    for (i = 0; ok && i < count; i++) ok = weir_buf_append(to, texts[i], strlen(texts[i]) + 1);
    weir_models_free(texts);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %zu paths", count);
}

weir_status weir_artifact_list(const char *objects_dir, const char *folder, weir_buf *ret_paths, weir_err *err) {
    handle h;
    weir_buf paths = {0};
    weir_status status = check_path(folder, true, err);
    if (!status) status = open_store(objects_dir, &h, err);
    if (status) return status;
    status = finish(&h, folder, h.ops->list(h.store, folder, &paths, err), err);
    if (!status) status = append_sorted(&paths, ret_paths, err);
    weir_buf_done(&paths);
    return status;
}

weir_status weir_artifact_remove_below(const char *objects_dir, const char *folder, weir_err *err) {
    weir_buf paths = {0};
    weir_status status = weir_artifact_list(objects_dir, folder, &paths, err);
    for (size_t at = 0; !status && at < paths.len; at += strlen(paths.data + at) + 1) status = weir_artifact_remove(objects_dir, paths.data + at, err);
    weir_buf_done(&paths);
    return status;
}

weir_status weir_artifact_load(const char *objects_dir, const char *relative, weir_model **ret_model, weir_err *err) {
    weir_buf bytes = {0};
    weir_status status = weir_artifact_read(objects_dir, relative, &bytes, err);
    if (!status) {
        status = weir_model_load(bytes.data ? bytes.data : "", bytes.len, ret_model, err);
        if (status && err) status = weir_err_prefix(err, "%s/%s", objects_dir, relative);
    }
    weir_buf_done(&bytes);
    return status;
}
