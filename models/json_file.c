#include "models/json_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "models/artifact_file.h"
#include "models/memory.h"

enum { BYTES_MAX = 64 << 20 };

static weir_status read_open(FILE *file, const char *path, char **ret_text, weir_err *err) {
    struct stat stat;
    if (fstat(fileno(file), &stat) || !S_ISREG(stat.st_mode)) return WEIR_FAIL(err, WEIR_EDATA, "%s is no file", path);
    if (stat.st_size > BYTES_MAX) return WEIR_FAIL(err, WEIR_EDATA, "%s has %lld bytes, expected at most %d", path, (long long)stat.st_size, BYTES_MAX);
    char *text = weir_models_calloc((size_t)stat.st_size + 1, 1);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %s", path);
    if (fread(text, 1, (size_t)stat.st_size, file) != (size_t)stat.st_size) {
        weir_models_free(text);
        return WEIR_FAIL(err, WEIR_EIO, "cannot read %s", path);
    }
    *ret_text = text;
    return WEIR_OK;
}

weir_status weir_json_file_read(const char *folder, const char *name, cJSON **ret_json, weir_err *err) {
    char path[4096], *text = NULL;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return WEIR_FAIL(err, WEIR_EINVAL, "the name of %s is too long", name);
    FILE *file = fopen(path, "re");
    if (!file) return WEIR_FAIL(err, errno == ENOENT ? WEIR_ENOTFOUND : WEIR_EIO, "cannot read %s: %s", path, strerror(errno));
    weir_status status = read_open(file, path, &text, err);
    fclose(file);
    if (status) return status;
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithOpts(text, &end, true);
    if (!json) status = WEIR_FAIL(err, WEIR_EDATA, "%s is no JSON: byte %td", path, end ? end - text : 0);
    weir_models_free(text);
    if (!status) *ret_json = json;
    return status;
}

weir_status weir_json_file_write(const char *folder, const char *name, const cJSON *json, weir_err *err) {
    char *text = cJSON_Print(json);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %s/%s", folder, name);
    const weir_buf bytes = {.data = text, .len = strlen(text)};
    weir_status status = weir_artifact_write(folder, name, &bytes, err);
    cJSON_free(text);
    return status;
}
