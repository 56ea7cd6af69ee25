/* A folder of models: versions appear whole, never change, and are found by number or as the latest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/folder.h"
#include "models/artifact_file.h"
#include "models/layout.h"
#include "models/model.h"
#include "tests/unit/starve.h"

static char dir[64];
static weir_err err;

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/weir-layout-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int remove_dir(void **state) {
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static weir_buf bytes_of(const char *text) {
    return (weir_buf){.data = (char *)(uintptr_t)text, .len = strlen(text)};
}

static weir_status write_to(const char *folder, const char *model, const char *version, const char *content, const char *metadata_text) {
    const weir_buf body = bytes_of(content), report = bytes_of("<html>"), onnx = bytes_of("onnx");
    const weir_layout_file files[] = {{WEIR_LAYOUT_MODEL_FILE, &body}, {"model.onnx", &onnx}, {"artifacts/report.html", &report}};
    cJSON *metadata = metadata_text ? cJSON_Parse(metadata_text) : NULL;
    const weir_layout_version v = {.model = model, .version = version, .metadata = metadata, .files = files, .file_count = 3};
    weir_status status = weir_model_layout_write(folder, &v, &err);
    cJSON_Delete(metadata);
    return status;
}

static void must(weir_status status) {
    if (status) fail_msg("%s", err.message);
}

static cJSON *read_file(const char *name) {
    char path[512];
    weir_buf text = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    must(weir_artifact_read_file(path, &text, &err));
    cJSON *json = cJSON_Parse(text.data);
    weir_buf_done(&text);
    assert_non_null(json);
    return json;
}

static const cJSON *at(const cJSON *json, const char *path) {
    char copy[256], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *part; json && (part = strsep(&rest, "/"));) json = cJSON_GetObjectItemCaseSensitive(json, part);
    return json;
}

static void a_version_has_the_files_of_the_layout(void **state) {
    (void)state;
    struct stat st;
    char path[512];
    must(write_to(dir, "random_forest", "1.0.0", "one",
                  "{\"algorithm\": \"forest\", \"metrics\": {\"r2\": 0.5}, \"description\": \"first\", \"tags\": [\"a\"]}"));
    static const char *const there[] = {"model_registry.json",
                                        "global_metrics.json",
                                        "random_forest/v1.0.0/model.weirmodel",
                                        "random_forest/v1.0.0/metadata.json",
                                        "random_forest/v1.0.0/model.onnx",
                                        "random_forest/v1.0.0/artifacts/report.html",
                                        "random_forest/latest/metadata.json"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, there[i]);
        assert_int_equal(stat(path, &st), 0);
    }
    snprintf(path, sizeof path, "%s/random_forest/latest", dir);
    char link[64] = "";
    assert_true(readlink(path, link, sizeof link - 1) > 0);
    assert_string_equal(link, "v1.0.0"); /* relative: the folder can be moved */
    cJSON *metadata = read_file("random_forest/v1.0.0/metadata.json");
    assert_string_equal(cJSON_GetStringValue(at(metadata, "version")), "1.0.0");
    assert_string_equal(cJSON_GetStringValue(at(metadata, "description")), "first");
    char digest[65];
    weir_sha256_hex("one", 3, digest);
    assert_string_equal(cJSON_GetStringValue(at(metadata, "digest")), digest);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(at(metadata, "files"), "artifacts/report.html"), "bytes")) == 6);
    cJSON_Delete(metadata);
}

static void latest_is_the_highest_number_whatever_is_written_last(void **state) {
    (void)state;
    weir_layout_found found;
    must(write_to(dir, "m", "1.9.0", "a", NULL));
    must(write_to(dir, "m", "1.10.0", "b", NULL));
    must(write_to(dir, "m", "1.9.1", "c", NULL));
    must(weir_model_layout_find(dir, "m", "latest", &found, &err));
    assert_string_equal(found.version, "1.10.0");
    weir_layout_found_done(&found);
    must(weir_model_layout_find(dir, "m", "v1.9.1", &found, &err));
    assert_string_equal(found.version, "1.9.1");
    weir_buf model = {0};
    must(weir_artifact_read_file(found.model_path, &model, &err));
    assert_string_equal(model.data, "c");
    weir_buf_done(&model);
    weir_layout_found_done(&found);
    char path[128];
    snprintf(path, sizeof path, "%s/m/latest", dir);
    assert_int_equal(unlink(path), 0); /* a copy that knows no links */
    must(weir_model_layout_find(dir, "m", NULL, &found, &err));
    assert_string_equal(found.version, "1.10.0");
    weir_layout_found_done(&found);
    assert_int_equal(symlink("v1.9.0", path), 0); /* somebody went back by hand */
    must(weir_model_layout_find(dir, "m", NULL, &found, &err));
    assert_string_equal(found.version, "1.9.0");
    weir_layout_found_done(&found);
}

static void a_version_does_not_change(void **state) {
    (void)state;
    must(write_to(dir, "m", "1.0.0", "a", "{\"note\": 1}"));
    must(write_to(dir, "m", "1.0.0", "a", "{\"note\": 2}"));
    assert_int_equal(write_to(dir, "m", "1.0.0", "b", NULL), WEIR_ECONFLICT);
    assert_non_null(strstr(err.message, "do not change"));
    cJSON *metadata = read_file("m/v1.0.0/metadata.json");
    assert_true(cJSON_GetNumberValue(at(metadata, "note")) == 1);
    cJSON_Delete(metadata);
}

static void summaries_tell_of_every_model(void **state) {
    (void)state;
    must(write_to(dir, "b", "1.0.0", "x", "{\"algorithm\": \"ridge\", \"metrics\": {\"r2\": 0.25, \"rmse\": 3}}"));
    must(write_to(dir, "b", "1.1.0", "y", "{\"metrics\": {\"r2\": 0.75, \"rmse\": null}}"));
    must(write_to(dir, "a", "2.0.0", "z", "{\"metrics\": {\"r2\": 0.5}}"));
    cJSON *registry = read_file("model_registry.json"), *global = read_file("global_metrics.json");
    const cJSON *b = cJSON_GetObjectItem(at(registry, "models/b"), "versions");
    assert_string_equal(cJSON_GetStringValue(at(registry, "models/b/latest")), "1.1.0");
    assert_int_equal(cJSON_GetArraySize(b), 2);
    assert_string_equal(cJSON_GetStringValue(at(cJSON_GetObjectItem(b, "1.0.0"), "path")), "b/v1.0.0");
    assert_string_equal(cJSON_GetStringValue(at(cJSON_GetObjectItem(b, "1.0.0"), "algorithm")), "ridge");
    assert_int_equal(cJSON_GetArraySize(at(cJSON_GetObjectItem(b, "1.0.0"), "files")), 3);
    assert_true(cJSON_GetNumberValue(at(global, "models")) == 2 && cJSON_GetNumberValue(at(global, "versions")) == 3);
    assert_true(cJSON_GetNumberValue(at(global, "metrics/r2/mean")) == 0.5 && cJSON_GetNumberValue(at(global, "metrics/r2/count")) == 3);
    assert_string_equal(cJSON_GetStringValue(at(global, "metrics/r2/max/version")), "1.1.0");
    assert_string_equal(cJSON_GetStringValue(at(global, "metrics/r2/min/model")), "b");
    assert_true(cJSON_GetNumberValue(at(global, "metrics/rmse/count")) == 1);
    assert_null(at(global, "metrics/r2/sum"));
    cJSON_Delete(registry);
    cJSON_Delete(global);
}

static void what_is_wrong_is_said_and_nothing_is_left(void **state) {
    (void)state;
    weir_layout_found found;
    static const char *const wrong_names[] = {"", ".hidden", "a/b", "..", "a b"};
    for (size_t i = 0; i < sizeof wrong_names / sizeof *wrong_names; i++) assert_int_equal(write_to(dir, wrong_names[i], "1.0.0", "a", NULL), WEIR_EINVAL);
    assert_int_equal(write_to(dir, "m", "1.0", "a", NULL), WEIR_EINVAL);
    const weir_buf body = bytes_of("a");
    static const char *const wrong_files[] = {"../x", "/x", "metadata.json", "a//b", ""};
    for (size_t i = 0; i < sizeof wrong_files / sizeof *wrong_files; i++) {
        const weir_layout_file files[] = {{WEIR_LAYOUT_MODEL_FILE, &body}, {wrong_files[i], &body}};
        const weir_layout_version v = {.model = "m", .version = "1.0.0", .files = files, .file_count = 2};
        assert_int_equal(weir_model_layout_write(dir, &v, &err), WEIR_EINVAL);
    }
    const weir_layout_file other = {"model.onnx", &body};
    const weir_layout_version v = {.model = "m", .version = "1.0.0", .files = &other, .file_count = 1};
    assert_int_equal(weir_model_layout_write(dir, &v, &err), WEIR_EINVAL);
    assert_int_equal(weir_model_layout_find(dir, "m", NULL, &found, &err), WEIR_ENOTFOUND);
    assert_int_equal(rmdir(dir), 0); /* nothing was written */
    assert_int_equal(mkdir(dir, 0700), 0);
    must(write_to(dir, "m", "1.0.0", "a", NULL));
    assert_int_equal(weir_model_layout_find(dir, "m", "1.0.1", &found, &err), WEIR_ENOTFOUND);
    assert_non_null(strstr(err.message, "1.0.0"));
    char path[128];
    snprintf(path, sizeof path, "%s/m/v1.0.0/model.weirmodel", dir);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs("!", file);
    fclose(file);
    assert_int_equal(weir_model_layout_find(dir, "m", "1.0.0", &found, &err), WEIR_EDATA);
}

static void what_a_dead_writer_left_is_not_seen_and_goes(void **state) {
    (void)state;
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/m/.v1.0.0.part/artifacts/", dir);
    must(weir_folder_make(path, &err));
    must(write_to(dir, "m", "1.1.0", "b", NULL));
    cJSON *registry = read_file("model_registry.json");
    assert_int_equal(cJSON_GetArraySize(at(registry, "models/m/versions")), 1);
    cJSON_Delete(registry);
    must(write_to(dir, "m", "1.0.0", "a", NULL));
    snprintf(path, sizeof path, "%s/m/.v1.0.0.part", dir);
    assert_int_not_equal(lstat(path, &st), 0);
}

enum { WRITERS = 4, EACH = 5 };
typedef struct writer {
    int number;
    weir_status status;
} writer;

static void *write_many(void *context) {
    writer *w = context;
    weir_err why;
    for (int i = 0; i < EACH && !w->status; i++) {
        char version[32], content[32];
        snprintf(version, sizeof version, "%d.%d.0", w->number, i);
        snprintf(content, sizeof content, "%d-%d", w->number, i);
        const weir_buf body = bytes_of(content);
        const weir_layout_file file = {WEIR_LAYOUT_MODEL_FILE, &body};
        const weir_layout_version v = {.model = "m", .version = version, .files = &file, .file_count = 1};
        w->status = weir_model_layout_write(dir, &v, &why);
    }
    return NULL;
}

static void writers_wait_for_each_other_and_none_is_lost(void **state) {
    (void)state;
    writer writers[WRITERS];
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.number = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < WRITERS; i++) assert_int_equal(writers[i].status, WEIR_OK);
    cJSON *registry = read_file("model_registry.json");
    assert_int_equal(cJSON_GetArraySize(at(registry, "models/m/versions")), WRITERS * EACH);
    assert_string_equal(cJSON_GetStringValue(at(registry, "models/m/latest")), "4.4.0");
    cJSON_Delete(registry);
}

static void memory_that_runs_out_is_said(void **state) {
    (void)state;
    weir_allocator usual = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int steps = 0;
    for (; status == WEIR_ENOMEM && steps < 100; steps++) {
        weir_layout_found found = {0};
        allocations_left = steps;
        weir_mem.realloc = failing_realloc;
        status = write_to(dir, "m", "1.0.0", "a", NULL);
        if (!status) status = weir_model_layout_find(dir, "m", "latest", &found, &err);
        weir_mem = usual;
        weir_layout_found_done(&found);
    }
    must(status);
    assert_true(steps > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_version_has_the_files_of_the_layout, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(latest_is_the_highest_number_whatever_is_written_last, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_version_does_not_change, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(summaries_tell_of_every_model, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said_and_nothing_is_left, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_a_dead_writer_left_is_not_seen_and_goes, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(writers_wait_for_each_other_and_none_is_lost, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(memory_that_runs_out_is_said, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
