/* The free share of a file system, against what statvfs of an existing folder says, and the gauge that a process shows of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "core/disk.h"
#include "core/metrics.h"
#include "tests/unit/starve.h"

static double free_of(const char *folder) {
    struct statvfs fs;
    assert_int_equal(statvfs(folder, &fs), 0);
    return (double)fs.f_bavail / (double)(fs.f_blocks - fs.f_bfree + fs.f_bavail);
}

static void a_folder_that_is_not_made_counts_as_the_one_above(void **state) {
    (void)state;
    double ratio = -1;
    assert_int_equal(weir_disk_free("/tmp", &ratio, NULL), WEIR_OK);
    assert_true(ratio >= 0 && ratio <= 1 && fabs(ratio - free_of("/tmp")) < 0.01);
    assert_int_equal(weir_disk_free("/tmp/not-there/nor-this", &ratio, NULL), WEIR_OK);
    assert_true(fabs(ratio - free_of("/tmp")) < 0.01);
    assert_int_equal(weir_disk_free("not-there", &ratio, NULL), WEIR_OK);
    assert_true(fabs(ratio - free_of(".")) < 0.01);
    assert_int_equal(weir_disk_free("/not-there", &ratio, NULL), WEIR_OK);
    assert_true(fabs(ratio - free_of("/")) < 0.01);
}

static void what_cannot_be_looked_at_is_an_error(void **state) {
    (void)state;
    char name[5000];
    double ratio = -1;
    weir_err err;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(weir_disk_free(name, &ratio, &err), WEIR_EINVAL);
    assert_int_equal(weir_disk_free("/dev/null/below", &ratio, &err), WEIR_EIO);
    assert_true(ratio == -1);
}

static bool is_shown(const char *series) {
    weir_buf text = {0};
    assert_int_equal(weir_metrics_render(&text, NULL), WEIR_OK);
    bool found = strstr(text.data, series) != NULL;
    weir_buf_done(&text);
    return found;
}

static void a_process_shows_its_places_at_once(void **state) {
    (void)state;
    const weir_disk_place places[] = {{"state", "/tmp"}, {"objects", "/dev/null/below"}};
    const struct timespec moment = {0, 10 * 1000 * 1000};
    weir_disk_watch *watch = NULL;
    assert_int_equal(weir_disk_watch_start(places, 2, &watch, NULL), WEIR_OK);
    for (int i = 0; i < 1000 && !is_shown("weir_disk_free_ratio{place=\"state\"}"); i++) nanosleep(&moment, NULL);
    weir_disk_watch_stop(watch);
    assert_true(is_shown("weir_disk_free_ratio{place=\"state\"}"));
    assert_false(is_shown("weir_disk_free_ratio{place=\"objects\"}"));
    weir_disk_watch_stop(NULL);
}

static void without_memory_it_says_so(void **state) {
    (void)state;
    const weir_allocator before = weir_mem;
    weir_disk_watch *watch = NULL;
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    weir_status status = weir_disk_watch_start(&(weir_disk_place){"state", "/tmp"}, 1, &watch, NULL);
    weir_mem = before;
    assert_int_equal(status, WEIR_ENOMEM);
    assert_null(watch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_that_is_not_made_counts_as_the_one_above),
        cmocka_unit_test(what_cannot_be_looked_at_is_an_error),
        cmocka_unit_test(a_process_shows_its_places_at_once),
        cmocka_unit_test(without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
