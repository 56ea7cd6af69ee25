/* What every store must keep, and how one is chosen. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/plugin.h"
#include "fixture.h"
#include "models/artifact_file.h"
#include "models/artifact_store.h"
#include "tests/unit/starve.h"

static char folder[] = "/tmp/weir-test-store-XXXXXX";

static void write_text(const char *dir, const char *path, const char *text) {
    weir_err err;
    weir_buf bytes = {.data = (char *)(uintptr_t)text, .len = strlen(text)};
    if (weir_artifact_write(dir, path, &bytes, &err) != WEIR_OK) fail_msg("%s", err.message);
}

static void expect_text(const char *dir, const char *path, const char *text) {
    weir_err err;
    weir_buf bytes = {0};
    assert_true(weir_buf_append(&bytes, "before ", 7));
    if (weir_artifact_read(dir, path, &bytes, &err) != WEIR_OK) fail_msg("%s", err.message);
    assert_int_equal(bytes.len, 7 + strlen(text));
    assert_memory_equal(bytes.data, "before ", 7);
    assert_string_equal(bytes.data + 7, text);
    weir_buf_done(&bytes);
}

static void expect_missing(const char *dir, const char *path) {
    weir_err err;
    weir_buf bytes = {0};
    assert_int_equal(weir_artifact_read(dir, path, &bytes, &err), WEIR_ENOTFOUND);
    if (!strstr(err.message, path)) fail_msg("'%s' does not name %s", err.message, path);
    assert_int_equal(weir_artifact_remove(dir, path, &err), WEIR_ENOTFOUND);
    assert_int_equal(bytes.len, 0);
    weir_buf_done(&bytes);
}

/* expected: paths with a '\n' behind each. */
static void expect_list(const char *dir, const char *below, const char *expected) {
    weir_err err;
    weir_buf paths = {0};
    if (weir_artifact_list(dir, below, &paths, &err) != WEIR_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < paths.len; i++)
        if (!paths.data[i]) paths.data[i] = '\n';
    assert_string_equal(paths.len ? paths.data : "", expected);
    weir_buf_done(&paths);
}

static void expect_error(weir_status status, weir_status expected, const weir_err *err, const char *part) {
    assert_int_equal(status, expected);
    if (!strstr(err->message, part)) fail_msg("'%s' is not in '%s'", part, err->message);
}

static void check_bytes(const char *dir) {
    expect_list(dir, "", "");
    expect_list(dir, "models", "");
    expect_missing(dir, "models/a");
    write_text(dir, "models/b/two", "second");
    write_text(dir, "models/b-side", "no child of models/b");
    write_text(dir, "models/a", "first");
    write_text(dir, "models/a", "");
    expect_text(dir, "models/a", "");
    write_text(dir, "models/a", "again, and longer");
    expect_text(dir, "models/a", "again, and longer");
    expect_text(dir, "models/b/two", "second");
    expect_list(dir, "", "models/a\nmodels/b-side\nmodels/b/two\n");
    expect_list(dir, "models/b", "models/b/two\n");
    expect_list(dir, "models/a", "");
}

static void check_removal(const char *dir) {
    weir_err err;
    write_text(dir, "models/c/same", "second"); /* the same bytes under two names: one may go */
    assert_int_equal(weir_artifact_remove(dir, "models/b/two", &err), WEIR_OK);
    expect_missing(dir, "models/b/two");
    expect_text(dir, "models/c/same", "second");
    assert_int_equal(weir_artifact_remove_below(dir, "models", &err), WEIR_OK);
    expect_list(dir, "", "");
    assert_int_equal(weir_artifact_remove_below(dir, "models", &err), WEIR_OK);
}

static void check_paths(const char *dir) {
    static const char *const bad[] = {"", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/."};
    char longest[WEIR_ARTIFACT_PATH_MAX + 2];
    weir_err err;
    weir_buf bytes = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_error(weir_artifact_write(dir, bad[i], &bytes, &err), WEIR_EINVAL, &err, "path");
        expect_error(weir_artifact_read(dir, bad[i], &bytes, &err), WEIR_EINVAL, &err, "path");
        expect_error(weir_artifact_remove(dir, bad[i], &err), WEIR_EINVAL, &err, "path");
    }
    memset(longest, 'x', sizeof longest);
    for (size_t i = 200; i < sizeof longest; i += 200) longest[i] = '/'; /* parts are as long as a file's name may be */
    longest[WEIR_ARTIFACT_PATH_MAX] = 0;
    write_text(dir, longest, "far down");
    expect_text(dir, longest, "far down");
    assert_int_equal(weir_artifact_remove(dir, longest, &err), WEIR_OK);
    longest[WEIR_ARTIFACT_PATH_MAX] = 'x';
    longest[WEIR_ARTIFACT_PATH_MAX + 1] = 0;
    expect_error(weir_artifact_write(dir, longest, &bytes, &err), WEIR_EINVAL, &err, "1025 bytes");
}

static void check_binary(const char *dir) {
    char all[256];
    weir_err err;
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    weir_buf bytes = {.data = all, .len = sizeof all}, back = {0};
    assert_int_equal(weir_artifact_write(dir, "x", &bytes, &err), WEIR_OK);
    assert_int_equal(weir_artifact_read(dir, "x", &back, &err), WEIR_OK);
    assert_int_equal(back.len, sizeof all);
    assert_memory_equal(back.data, all, sizeof all);
    assert_int_equal(weir_artifact_remove(dir, "x", &err), WEIR_OK);
    weir_buf_done(&back);
}

static weir_status use_all(const char *dir, weir_err *err) {
    weir_buf bytes = {.data = (char *)(uintptr_t) "abc", .len = 3}, back = {0}, paths = {0};
    weir_status status = weir_artifact_write(dir, "starved/a", &bytes, err);
    if (!status) status = weir_artifact_read(dir, "starved/a", &back, err);
    if (!status) status = weir_artifact_list(dir, "starved", &paths, err);
    if (!status) status = weir_artifact_remove(dir, "starved/a", err);
    weir_buf_done(&back);
    weir_buf_done(&paths);
    return status;
}

static void check_starving(const char *dir) {
    weir_allocator before = weir_mem;
    weir_status status = WEIR_ENOMEM;
    weir_err err;
    int n = 0;
    for (; status == WEIR_ENOMEM; n++) {
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = use_all(dir, &err);
        weir_mem = before;
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(n > 2);
}

/* ---- at once ---- */

enum { WRITERS = 4, ROUNDS = 20, LONG = 100000 };
typedef struct writer {
    const char *dir;
    char byte;
    int failures;
} writer;

static void *write_often(void *context) {
    writer *w = context;
    weir_buf bytes = {.data = malloc(LONG), .len = LONG};
    if (bytes.data) memset(bytes.data, w->byte, LONG);
    for (int i = 0; bytes.data && i < ROUNDS; i++) w->failures += weir_artifact_write(w->dir, "models/same", &bytes, NULL) != WEIR_OK;
    w->failures += !bytes.data;
    free(bytes.data);
    return NULL;
}

/* A reader sees the bytes of one writer, all of them. */
static void check_writers(const char *dir) {
    pthread_t threads[WRITERS];
    writer writers[WRITERS];
    weir_err err;
    write_text(dir, "models/same", "");
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (writer){dir, (char)('a' + i % 2), 0}; /* two of each, so that some write the same bytes */
        assert_int_equal(pthread_create(&threads[i], NULL, write_often, &writers[i]), 0);
    }
    for (int i = 0; i < 2 * ROUNDS; i++) {
        weir_buf bytes = {0};
        if (weir_artifact_read(dir, "models/same", &bytes, &err) != WEIR_OK) fail_msg("%s", err.message);
        assert_true(bytes.len == 0 || bytes.len == LONG);
        for (size_t at = 1; at < bytes.len; at++)
            if (bytes.data[at] != bytes.data[0]) fail_msg("bytes of two writers");
        weir_buf_done(&bytes);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].failures, 0);
    }
    expect_list(dir, "", "models/same\n");
}

/* Runs a check in a place of its own of every store. */
static void for_each_store(const char *name, void (*check)(const char *dir)) {
    char dir[256];
    for (int i = 0; weir_artifact_store_at(i); i++) {
        const weir_artifact_store *s = weir_artifact_store_at(i);
        assert_int_equal(s->abi, WEIR_ARTIFACT_STORE_ABI);
        assert_ptr_equal(weir_artifact_store_find(s->name), s);
        snprintf(dir, sizeof dir, "%s://%s/%s-%s", s->name, folder, s->name, name);
        check(dir);
    }
    snprintf(dir, sizeof dir, "%s/plain-%s", folder, name);
    check(dir);
}

static void every_store_gives_back_what_was_written_last(void **state) {
    (void)state;
    for_each_store("bytes", check_bytes);
    for_each_store("bytes", check_removal); /* where the other check has left its artifacts */
}

static void every_store_takes_paths_up_to_their_longest_and_none_that_leads_out(void **state) {
    (void)state;
    for_each_store("paths", check_paths);
}

static void every_store_keeps_all_bytes(void **state) {
    (void)state;
    for_each_store("binary", check_binary);
}

static void memory_that_runs_out_is_an_error_of_every_store(void **state) {
    (void)state;
    for_each_store("starving", check_starving);
}

static void every_store_has_several_writers_at_once(void **state) {
    (void)state;
    for_each_store("writers", check_writers);
}

static void a_scheme_that_no_store_has_is_refused(void **state) {
    (void)state;
    weir_err err;
    weir_buf bytes = {0};
    expect_error(weir_artifact_write("s3://bucket", "a", &bytes, &err), WEIR_EINVAL, &err, "objects directory s3://bucket: there is no store 's3'");
    expect_error(weir_artifact_read("content://relative", "a", &bytes, &err), WEIR_EINVAL, &err, "absolute");
    expect_error(weir_artifact_read("file://", "a", &bytes, &err), WEIR_EINVAL, &err, "0 bytes");
}

static void places_of_a_store_do_not_mix(void **state) {
    (void)state;
    weir_err err;
    write_text("memory://one", "a", "1");
    write_text("memory://two", "a", "2");
    expect_text("memory://one", "a", "1");
    expect_text("memory://two", "a", "2");
    assert_int_equal(weir_artifact_remove("memory://one", "a", &err), WEIR_OK);
    expect_text("memory://two", "a", "2");
    assert_int_equal(weir_artifact_remove("memory://two", "a", &err), WEIR_OK);
}

static void a_folder_and_its_uri_are_one_store(void **state) {
    (void)state;
    char uri[128];
    weir_err err;
    snprintf(uri, sizeof uri, "file://%s", folder);
    write_text(folder, "models/m", "plain");
    expect_text(uri, "models/m", "plain");
    assert_int_equal(weir_artifact_remove(uri, "models/m", &err), WEIR_OK);
}

/* A file that was left half written is not an artifact. */
static void what_was_not_written_to_its_end_is_not_listed(void **state) {
    (void)state;
    char dir[64], path[128];
    snprintf(dir, sizeof dir, "%s/half", folder);
    write_text(dir, "models/m", "whole");
    snprintf(path, sizeof path, "%s/models/m.part", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    expect_list(dir, "", "models/m\n");
}

static void bytes_that_do_not_have_their_digest_are_refused(void **state) {
    (void)state;
    char dir[128], path[256];
    weir_err err;
    weir_buf bytes = {0};
    snprintf(dir, sizeof dir, "content://%s/damaged", folder);
    write_text(dir, "models/m", "abc");
    /* SHA-256 of "abc": FIPS 180-2, appendix B.1 */
    snprintf(path, sizeof path, "%s/damaged/bytes/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("abd", file);
    fclose(file);
    expect_error(weir_artifact_read(dir, "models/m", &bytes, &err), WEIR_EDATA, &err, "damaged");
    assert_int_equal(bytes.len, 0);
    weir_buf_done(&bytes);
}

static void a_model_loads_from_a_store_and_a_damaged_one_is_named(void **state) {
    (void)state;
    static fixture data;
    fixture_init(&data);
    weir_buf artifact = fit_artifact("logistic", NULL, &data.matrix, 1, 1);
    weir_model *model = NULL;
    weir_err err;
    assert_int_equal(weir_artifact_write("memory://models", "m", &artifact, &err), WEIR_OK);
    assert_int_equal(weir_artifact_load("memory://models", "m", &model, &err), WEIR_OK);
    assert_string_equal(weir_model_algorithm(model), "logistic");
    weir_model_free(model);
    write_text("memory://models", "n", "no model");
    expect_error(weir_artifact_load("memory://models", "n", &model, &err), WEIR_EDATA, &err, "memory://models/n");
    assert_int_equal(weir_artifact_remove_below("memory://models", "", &err), WEIR_OK);
    weir_buf_done(&artifact);
}

static int prepare(void **state) {
    (void)state;
    weir_err err;
    assert_non_null(mkdtemp(folder));
    if (weir_plugin_load(WEIR_PLUGINS_DIR "/content_addressed.so", &err) != WEIR_OK) fail_msg("%s", err.message);
    return 0;
}

static int clean(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_store_gives_back_what_was_written_last),
        cmocka_unit_test(every_store_takes_paths_up_to_their_longest_and_none_that_leads_out),
        cmocka_unit_test(every_store_keeps_all_bytes),
        cmocka_unit_test(memory_that_runs_out_is_an_error_of_every_store),
        cmocka_unit_test(every_store_has_several_writers_at_once),
        cmocka_unit_test(a_scheme_that_no_store_has_is_refused),
        cmocka_unit_test(places_of_a_store_do_not_mix),
        cmocka_unit_test(a_folder_and_its_uri_are_one_store),
        cmocka_unit_test(what_was_not_written_to_its_end_is_not_listed),
        cmocka_unit_test(bytes_that_do_not_have_their_digest_are_refused),
        cmocka_unit_test(a_model_loads_from_a_store_and_a_damaged_one_is_named),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
