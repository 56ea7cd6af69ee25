#include "models/layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/folder.h"
#include "core/json.h"
#include "models/artifact_file.h"
#include "models/memory.h"
#include "models/model.h"

enum { NAME_LEN_MAX = 128 };
#define METADATA_FILE "metadata.json"

typedef char path_text[4096];

static weir_status join(path_text ret_path, weir_err *err, const char *a, const char *b, const char *c) {
    int len = snprintf(ret_path, sizeof(path_text), "%s/%s%s%s", a, b, c ? "/" : "", c ? c : "");
    return len >= (int)sizeof(path_text) ? WEIR_FAIL(err, WEIR_EINVAL, "the name %s/… is too long", a) : WEIR_OK;
}

static weir_status no_memory(const char *dir, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the models of %s", dir);
}

/* ---- names ---- */

static bool is_name(const char *name) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    size_t len = strlen(name);
    return len && len <= NAME_LEN_MAX && *name != '.' && strspn(name, allowed) == len;
}

/* Parts that are names, with a '/' between them. */
static bool is_file_name(const char *name) {
    char part[NAME_LEN_MAX + 2];
    for (;;) {
        size_t len = strcspn(name, "/");
        snprintf(part, sizeof part, "%.*s", (int)len, name);
        if (len > NAME_LEN_MAX || !is_name(part)) return false;
        if (!name[len]) return true;
        name += len + 1;
    }
}

static weir_status check_model_name(const char *model, weir_err *err) {
    if (is_name(model)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "'%s' cannot be the name of a model's folder; expected letters, digits, '_', '-' or '.', at most %d, not '.' first",
                     model, NAME_LEN_MAX);
}

static weir_status check_version(const weir_layout_version *v, weir_semver *ret_version, const weir_buf **ret_model, weir_err *err) {
    weir_status status = check_model_name(v->model, err);
    if (status) return status;
    if (!weir_semver_parse(v->version, ret_version))
        return WEIR_FAIL(err, WEIR_EINVAL, "version '%s' of model %s is no MAJOR.MINOR.PATCH", v->version, v->model);
    *ret_model = NULL;
    for (size_t i = 0; i < v->file_count; i++) {
        const weir_layout_file *file = &v->files[i];
        if (!is_file_name(file->name) || !strcmp(file->name, METADATA_FILE))
            return WEIR_FAIL(err, WEIR_EINVAL, "'%s' cannot be a file of model %s version %s", file->name, v->model, v->version);
        if (!strcmp(file->name, WEIR_LAYOUT_MODEL_FILE)) *ret_model = file->bytes;
    }
    return *ret_model ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "model %s version %s has no file %s", v->model, v->version, WEIR_LAYOUT_MODEL_FILE);
}

/* ---- one version ---- */

static weir_status write_json(const char *folder, const char *name, const cJSON *json, weir_err *err) {
    char *text = cJSON_Print(json);
    if (!text) return no_memory(folder, err);
    const weir_buf bytes = {.data = text, .len = strlen(text)};
    weir_status status = weir_artifact_write(folder, name, &bytes, err);
    cJSON_free(text);
    return status;
}

static weir_status read_json(const char *path, cJSON **ret_json, weir_err *err) {
    weir_buf text = {0};
    weir_status status = weir_artifact_read_file(path, &text, err);
    if (status) return status;
    cJSON *json = cJSON_ParseWithLength(text.data, text.len);
    weir_buf_done(&text);
    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        return WEIR_FAIL(err, WEIR_EDATA, "%s is no JSON object", path);
    }
    *ret_json = json;
    return WEIR_OK;
}

/* Bytes that are empty may have no address. */
static void digest_of(const weir_buf *bytes, char text[65]) {
    weir_sha256_hex(bytes->data ? bytes->data : "", bytes->len, text);
}

static bool replace(cJSON *object, const char *name, cJSON *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    if (value && cJSON_AddItemToObject(object, name, value)) return true;
    cJSON_Delete(value);
    return false;
}

static cJSON *describe_files(const weir_layout_version *v) {
    cJSON *files = cJSON_CreateObject();
    bool made = files;
    for (size_t i = 0; made && i < v->file_count; i++) {
        char sha256[65];
        digest_of(v->files[i].bytes, sha256);
        cJSON *file = cJSON_AddObjectToObject(files, v->files[i].name);
        made = cJSON_AddNumberToObject(file, "bytes", (double)v->files[i].bytes->len) && cJSON_AddStringToObject(file, "sha256", sha256);
    }
    if (made) return files;
    cJSON_Delete(files);
    return NULL;
}

static cJSON *describe(const weir_layout_version *v, const weir_semver *version, const char digest[65]) {
    char text[WEIR_SEMVER_TEXT_MAX];
    cJSON *metadata = v->metadata ? cJSON_Duplicate(v->metadata, true) : cJSON_CreateObject();
    bool made = metadata && replace(metadata, "model", cJSON_CreateString(v->model)) &&
                replace(metadata, "version", cJSON_CreateString(weir_semver_format(version, text))) &&
                replace(metadata, "digest", cJSON_CreateString(digest)) && replace(metadata, "files", describe_files(v));
    if (made) return metadata;
    cJSON_Delete(metadata);
    return NULL;
}

static weir_status sync_folder(const char *path, weir_err *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    weir_status status = fd < 0 || fsync(fd) ? WEIR_FAIL(err, WEIR_EIO, "cannot write the folder %s: %s", path, strerror(errno)) : WEIR_OK;
    if (fd >= 0) close(fd);
    return status;
}

static weir_status write_files(const char *folder, const weir_layout_version *v, const weir_semver *version, const char digest[65], weir_err *err) {
    path_text artifacts;
    weir_status status = join(artifacts, err, folder, "artifacts", NULL);
    if (!status) status = weir_folder_make(artifacts, err);
    for (size_t i = 0; !status && i < v->file_count; i++) status = weir_artifact_write(folder, v->files[i].name, v->files[i].bytes, err);
    cJSON *metadata = status ? NULL : describe(v, version, digest);
    if (!status) status = metadata ? write_json(folder, METADATA_FILE, metadata, err) : no_memory(folder, err);
    cJSON_Delete(metadata);
    return status;
}

/* *ret_there: the version is there, with this model. */
static weir_status look_at_version(const char *folder, const char digest[65], bool *ret_there, weir_err *err) {
    path_text path;
    cJSON *metadata = NULL;
    struct stat st;
    *ret_there = !lstat(folder, &st);
    weir_status status = *ret_there ? join(path, err, folder, METADATA_FILE, NULL) : WEIR_OK;
    if (!status && *ret_there) status = read_json(path, &metadata, err);
    if (!status && metadata && strcmp(weir_json_text(metadata, "digest"), digest) != 0)
        status = WEIR_FAIL(err, WEIR_ECONFLICT, "%s is there already, with the model %.12s…; versions do not change, so %.12s… needs another one", folder,
                           weir_json_text(metadata, "digest"), digest);
    cJSON_Delete(metadata);
    return status;
}

static weir_status write_version(const char *dir, const weir_layout_version *v, const weir_semver *version, const weir_buf *model, weir_err *err) {
    char number[WEIR_SEMVER_TEXT_MAX], name[WEIR_SEMVER_TEXT_MAX + 16], digest[65];
    path_text folder, aside, parent;
    bool there = false;
    weir_semver_format(version, number);
    digest_of(model, digest);
    weir_status status = join(parent, err, dir, v->model, NULL);
    snprintf(name, sizeof name, "v%s", number);
    if (!status) status = join(folder, err, dir, v->model, name);
    snprintf(name, sizeof name, ".v%s.part", number);
    if (!status) status = join(aside, err, dir, v->model, name);
    if (!status) status = look_at_version(folder, digest, &there, err);
    if (status || there) return status;
    if (!(status = weir_folder_remove(aside, err))) status = write_files(aside, v, version, digest, err);
    if (!status && rename(aside, folder)) status = WEIR_FAIL(err, WEIR_EIO, "cannot name %s: %s", folder, strerror(errno));
    return status ? status : sync_folder(parent, err);
}

/* ---- what there is ---- */

/* Names in a folder that are wanted, in order. */
typedef struct name_list {
    char (*names)[NAME_LEN_MAX + 1];
    size_t count, room;
} name_list;

static bool add_name(name_list *list, const char *name) {
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        char(*names)[NAME_LEN_MAX + 1] = weir_mem.realloc(list->names, room * sizeof *names);
        if (!names) return false;
        list->names = names;
        list->room = room;
    }
    snprintf(list->names[list->count++], NAME_LEN_MAX + 1, "%.*s", NAME_LEN_MAX, name);
    return true;
}

static bool is_version_folder(const char *name) {
    weir_semver version;
    return *name == 'v' && weir_semver_parse(name, &version);
}

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

static int by_version(const void *a, const void *b) {
    weir_semver x = {0}, y = {0};
    bool both = weir_semver_parse(a, &x) && weir_semver_parse(b, &y);
    return both ? weir_semver_compare(&x, &y) : 0;
}

/* A folder that is not there has no names. */
static weir_status list_names(const char *folder, bool (*wanted)(const char *name), int (*order)(const void *, const void *), name_list *ret_list,
                              weir_err *err) {
    DIR *opened = opendir(folder);
    if (!opened && (errno == ENOENT || errno == ENOTDIR)) return WEIR_OK;
    if (!opened) return WEIR_FAIL(err, WEIR_EIO, "cannot read the folder %s: %s", folder, strerror(errno));
    weir_status status = WEIR_OK;
    for (const struct dirent *entry; !status && (entry = readdir(opened));)
        if (wanted(entry->d_name) && !add_name(ret_list, entry->d_name)) status = no_memory(folder, err);
    closedir(opened);
    if (!status && ret_list->count) qsort(ret_list->names, ret_list->count, sizeof *ret_list->names, order);
    return status;
}

static weir_status list_versions(const char *dir, const char *model, name_list *ret_list, weir_err *err) {
    path_text folder;
    weir_status status = join(folder, err, dir, model, NULL);
    return status ? status : list_names(folder, is_version_folder, by_version, ret_list, err);
}

/* Readers see the old link or the new one. */
static weir_status point_latest(const char *dir, const char *model, const name_list *versions, weir_err *err) {
    path_text link_path, aside;
    const char *highest = versions->names[versions->count - 1];
    weir_status status = join(link_path, err, dir, model, "latest");
    if (!status) status = join(aside, err, dir, model, ".latest.part");
    if (status) return status;
    (void)unlink(aside);
    if (symlink(highest, aside) || rename(aside, link_path)) return WEIR_FAIL(err, WEIR_EIO, "cannot point %s at %s: %s", link_path, highest, strerror(errno));
    return WEIR_OK;
}

/* ---- summaries ---- */

static bool copy_member(cJSON *to, const cJSON *from, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, name);
    return !item || replace(to, name, cJSON_Duplicate(item, true));
}

static bool add_file_names(cJSON *entry, const cJSON *metadata) {
    const cJSON *file;
    cJSON *names = cJSON_AddArrayToObject(entry, "files");
    cJSON_ArrayForEach(file, cJSON_GetObjectItemCaseSensitive(metadata, "files")) {
        cJSON *name = cJSON_CreateString(file->string);
        if (!name || !cJSON_AddItemToArray(names, name)) {
            cJSON_Delete(name);
            return false;
        }
    }
    return names;
}

/* One metric of one version into {count, mean, min{value, model, version}, max{…}}; `sum` is there until the end. */
static bool fold_metric(cJSON *totals, const cJSON *metric, const char *model, const char *version) {
    static const char *const ends[] = {"min", "max"};
    double value = metric->valuedouble;
    cJSON *total = cJSON_GetObjectItemCaseSensitive(totals, metric->string);
    if (!total &&
        !((total = cJSON_AddObjectToObject(totals, metric->string)) && cJSON_AddNumberToObject(total, "count", 0) && cJSON_AddNumberToObject(total, "sum", 0)))
        return false;
    cJSON *count = cJSON_GetObjectItemCaseSensitive(total, "count"), *sum = cJSON_GetObjectItemCaseSensitive(total, "sum");
    cJSON_SetNumberValue(count, count->valuedouble + 1);
    cJSON_SetNumberValue(sum, sum->valuedouble + value);
    for (int e = 0; e < 2; e++) {
        const cJSON *best = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(total, ends[e]), "value");
        if (best && (e ? value <= best->valuedouble : value >= best->valuedouble)) continue;
        cJSON *whose = cJSON_CreateObject();
        if (!replace(total, ends[e], whose) || !cJSON_AddNumberToObject(whose, "value", value) || !cJSON_AddStringToObject(whose, "model", model) ||
            !cJSON_AddStringToObject(whose, "version", version))
            return false;
    }
    return true;
}

static bool finish_means(cJSON *totals) {
    cJSON *total;
    cJSON_ArrayForEach(total, totals) {
        double mean =
            cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(total, "sum")) / cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(total, "count"));
        cJSON_DeleteItemFromObjectCaseSensitive(total, "sum");
        if (!cJSON_AddNumberToObject(total, "mean", mean)) return false;
    }
    return true;
}

static bool summarise(cJSON *versions, cJSON *totals, const cJSON *metadata, const char *model, const char *number) {
    char path[2 * NAME_LEN_MAX + 4];
    const cJSON *metric;
    snprintf(path, sizeof path, "%s/v%s", model, number);
    cJSON *entry = cJSON_AddObjectToObject(versions, number);
    bool made = cJSON_AddStringToObject(entry, "path", path) && copy_member(entry, metadata, "digest") && copy_member(entry, metadata, "algorithm") &&
                copy_member(entry, metadata, "created_at") && copy_member(entry, metadata, "metrics") && add_file_names(entry, metadata);
    cJSON_ArrayForEach(metric, cJSON_GetObjectItemCaseSensitive(metadata, "metrics")) {
        if (made && cJSON_IsNumber(metric)) made = fold_metric(totals, metric, model, number);
    }
    return made;
}

/* Adds a model to {models} and its metrics to totals. */
static weir_status summarise_model(const char *dir, const char *model, cJSON *models, cJSON *totals, int *version_count, weir_err *err) {
    name_list list = {0};
    weir_status status = list_versions(dir, model, &list, err);
    cJSON *entry = !status && list.count ? cJSON_AddObjectToObject(models, model) : NULL;
    cJSON *versions = entry && cJSON_AddStringToObject(entry, "latest", list.names[list.count - 1] + 1) ? cJSON_AddObjectToObject(entry, "versions") : NULL;
    if (!status && list.count && !versions) status = no_memory(dir, err);
    for (size_t i = 0; !status && i < list.count; i++) {
        path_text folder, path;
        cJSON *metadata = NULL;
        status = join(folder, err, dir, model, list.names[i]);
        if (!status) status = join(path, err, folder, METADATA_FILE, NULL);
        if (!status) status = read_json(path, &metadata, err);
        if (!status && !summarise(versions, totals, metadata, model, list.names[i] + 1)) status = no_memory(dir, err);
        cJSON_Delete(metadata);
    }
    *version_count += (int)list.count;
    weir_models_free(list.names);
    return status;
}

static bool stamp(cJSON *json) {
    char now[WEIR_TIME_TEXT_MAX];
    return cJSON_AddNumberToObject(json, "format", 1) &&
           cJSON_AddStringToObject(json, "updated_at", weir_time_format(weir_clock_wall_us(weir_clock_system()), now));
}

static weir_status write_summaries(const char *dir, weir_err *err) {
    name_list list = {0};
    int versions = 0;
    cJSON *registry = cJSON_CreateObject(), *global = cJSON_CreateObject();
    bool made = stamp(registry) && stamp(global);
    cJSON *models = made ? cJSON_AddObjectToObject(registry, "models") : NULL, *totals = models ? cJSON_AddObjectToObject(global, "metrics") : NULL;
    weir_status status = totals ? list_names(dir, is_name, by_name, &list, err) : no_memory(dir, err);
    for (size_t i = 0; !status && i < list.count; i++) status = summarise_model(dir, list.names[i], models, totals, &versions, err);
    if (!status && !(cJSON_AddNumberToObject(global, "models", cJSON_GetArraySize(models)) && cJSON_AddNumberToObject(global, "versions", versions) &&
                     finish_means(totals)))
        status = no_memory(dir, err);
    if (!status) status = write_json(dir, "model_registry.json", registry, err);
    if (!status) status = write_json(dir, "global_metrics.json", global, err);
    weir_models_free(list.names);
    cJSON_Delete(registry);
    cJSON_Delete(global);
    return status;
}

/* ---- public ---- */

static weir_status lock_folder(const char *dir, int *ret_fd, weir_err *err) {
    weir_status status = weir_folder_make(dir, err);
    if (status) return status;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return WEIR_FAIL(err, WEIR_EIO, "cannot open the folder %s: %s", dir, strerror(errno));
    int failed;
    do failed = flock(fd, LOCK_EX);
    while (failed && errno == EINTR);
    if (failed) {
        status = WEIR_FAIL(err, WEIR_EIO, "cannot lock the folder %s: %s", dir, strerror(errno));
        close(fd);
        return status;
    }
    *ret_fd = fd;
    return WEIR_OK;
}

weir_status weir_model_layout_write(const char *dir, const weir_layout_version *version, weir_err *err) {
    weir_semver number;
    const weir_buf *model = NULL;
    name_list list = {0};
    int lock = -1;
    weir_status status = check_version(version, &number, &model, err);
    if (!status) status = lock_folder(dir, &lock, err);
    if (!status) status = write_version(dir, version, &number, model, err);
    if (!status) status = list_versions(dir, version->model, &list, err);
    if (!status) status = point_latest(dir, version->model, &list, err);
    if (!status) status = write_summaries(dir, err);
    weir_models_free(list.names);
    if (lock >= 0) close(lock);
    return status;
}

/* "v1.1.0" of the link; where it is lost, as in a copy that knows no links, the highest version. */
static weir_status find_latest(const char *dir, const char *model, const name_list *list, char *ret_name, size_t size, weir_err *err) {
    path_text path;
    char name[NAME_LEN_MAX + 1] = "";
    weir_status status = join(path, err, dir, model, "latest");
    if (status) return status;
    ssize_t len = readlink(path, name, sizeof name - 1);
    if (len > 0) name[len] = 0;
    snprintf(ret_name, size, "%s", len > 0 ? name : list->names[list->count - 1]);
    return WEIR_OK;
}

static weir_status explain_no_version(const char *dir, const char *model, const char *version, const name_list *list, weir_err *err) {
    weir_buf names = {0};
    bool fits = true;
    if (!list->count) return WEIR_FAIL(err, WEIR_ENOTFOUND, "%s has no model '%s'", dir, model);
    for (size_t i = 0; fits && i < list->count; i++) fits = weir_buf_printf(&names, "%s%s", i ? ", " : "", list->names[i] + 1);
    weir_status status =
        fits ? WEIR_FAIL(err, WEIR_ENOTFOUND, "%s has no version '%s' of model '%s'; it has %.200s", dir, version, model, names.data) : no_memory(dir, err);
    weir_buf_done(&names);
    return status;
}

static weir_status find_folder(const char *dir, const char *model, const char *version, weir_layout_found *found, weir_err *err) {
    char name[NAME_LEN_MAX + 1] = "";
    weir_semver number;
    name_list list = {0};
    bool latest = !version || !strcmp(version, "latest"), there = false;
    weir_status status = check_model_name(model, err);
    if (!status) status = list_versions(dir, model, &list, err);
    if (!status && list.count) {
        if (latest)
            status = find_latest(dir, model, &list, name, sizeof name, err);
        else
            snprintf(name, sizeof name, "v%s", *version == 'v' ? version + 1 : version);
    }
    for (size_t i = 0; i < list.count; i++) there = there || !strcmp(list.names[i], name);
    if (!status && !there) status = explain_no_version(dir, model, latest ? "latest" : version, &list, err);
    if (!status && weir_semver_parse(name, &number)) weir_semver_format(&number, found->version);
    if (!status) status = join(found->folder, err, dir, model, name);
    if (!status) status = join(found->model_path, err, found->folder, WEIR_LAYOUT_MODEL_FILE, NULL);
    weir_models_free(list.names);
    return status;
}

weir_status weir_model_layout_find(const char *dir, const char *model, const char *version, weir_layout_found *ret_found, weir_err *err) {
    weir_layout_found found = {0};
    weir_buf bytes = {0};
    path_text path;
    char digest[65];
    weir_status status = find_folder(dir, model, version, &found, err);
    if (!status) status = join(path, err, found.folder, METADATA_FILE, NULL);
    if (!status) status = read_json(path, &found.metadata, err);
    if (!status) status = weir_artifact_read_file(found.model_path, &bytes, err);
    if (!status) {
        digest_of(&bytes, digest);
        if (strcmp(digest, weir_json_text(found.metadata, "digest")) != 0)
            status = WEIR_FAIL(err, WEIR_EDATA, "%s is not the model that its metadata.json tells of: its digest is %.12s…, expected %.12s…", found.model_path,
                               digest, weir_json_text(found.metadata, "digest"));
    }
    weir_buf_done(&bytes);
    if (status)
        weir_layout_found_done(&found);
    else
        *ret_found = found;
    return status;
}

void weir_layout_found_done(weir_layout_found *found) {
    cJSON_Delete(found->metadata);
    *found = (weir_layout_found){0};
}
