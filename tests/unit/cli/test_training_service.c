/* What settings say about training runs: limits, what the processes of runs are told, want of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/training_service.h"
#include "core/clock.h"
#include "core/mem.h"
#include "tests/unit/starve.h"

static weir_settings settings;

static int defaults(void **state) {
    (void)state;
    weir_err err;
    settings = (weir_settings){0};
    return weir_conf_defaults(weir_settings_table, &settings, &err) != WEIR_OK;
}

static int forget(void **state) {
    (void)state;
    weir_conf_done(weir_settings_table, &settings);
    return 0;
}

static bool has(const weir_training_service *service, const char *variable) {
    for (const char *const *v = service->service.environment; *v; v++)
        if (!strcmp(*v, variable)) return true;
    return false;
}

static void two_run_on_a_host_and_three_in_all(void **state) {
    (void)state;
    weir_training_service service;
    weir_err err;
    assert_int_equal(weir_training_service_init(&service, &settings, &err), WEIR_OK);
    const weir_train_limits *limits = &service.service.limits;
    assert_int_equal(limits->runs_host, 2);
    assert_int_equal(limits->runs_overall, 3);
    assert_int_equal(limits->failures_max, 6);
    assert_int_equal(limits->retry_first_us, 10 * WEIR_SECOND_US);
    assert_int_equal(limits->lease_us, 30 * WEIR_SECOND_US);
    assert_int_equal(limits->memory_bytes, 0);
    assert_int_equal(limits->nice, 10);
    weir_training_service_done(&service);
}

static void runs_are_told_what_flags_said(void **state) {
    (void)state;
    weir_training_service service;
    weir_err err;
    assert_int_equal(weir_conf_set(weir_settings_table, &settings, "pg_url", "postgresql://u:p@h/d", &err), WEIR_OK);
    assert_int_equal(weir_conf_set(weir_settings_table, &settings, "plugins", "a.so,b.so", &err), WEIR_OK);
    assert_int_equal(weir_conf_set(weir_settings_table, &settings, "log_level", "debug", &err), WEIR_OK);
    assert_int_equal(weir_conf_set(weir_settings_table, &settings, "train_threads", "4", &err), WEIR_OK);
    assert_int_equal(weir_conf_set(weir_settings_table, &settings, "train_memory_mib", "3", &err), WEIR_OK);
    assert_int_equal(weir_training_service_init(&service, &settings, &err), WEIR_OK);
    static const char *const expected[] = {"WEIR_PG_URL=postgresql://u:p@h/d", "WEIR_PLUGINS=a.so,b.so", "WEIR_LOG_LEVEL=debug",
                                           "WEIR_OBJECTS_DIR=.weir/objects", "OPENBLAS_NUM_THREADS=4"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!has(&service, expected[i])) fail_msg("%s is missing", expected[i]);
    assert_int_equal(service.service.limits.memory_bytes, 3 << 20);
    weir_training_service_done(&service);
}

static void times_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"train_lease", "2s"}, {"train_time_limit", "0s"}, {"train_retry", "20m"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_training_service service;
        weir_err err;
        assert_int_equal(weir_conf_set(weir_settings_table, &settings, cases[i][0], cases[i][1], &err), WEIR_OK);
        assert_int_equal(weir_training_service_init(&service, &settings, &err), WEIR_EINVAL);
        assert_int_equal(forget(state), 0);
        assert_int_equal(defaults(state), 0);
    }
}

static void want_of_memory_is_an_error(void **state) {
    (void)state;
    weir_allocator usual = weir_mem;
    int tried = 0;
    for (weir_status status = WEIR_ENOMEM; status; tried++) {
        weir_training_service service;
        weir_err err;
        weir_mem.realloc = failing_realloc;
        allocations_left = tried;
        status = weir_training_service_init(&service, &settings, &err);
        weir_mem = usual;
        if (!status) weir_training_service_done(&service);
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
    }
    assert_true(tried > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_run_on_a_host_and_three_in_all, defaults, forget),
        cmocka_unit_test_setup_teardown(runs_are_told_what_flags_said, defaults, forget),
        cmocka_unit_test_setup_teardown(times_that_are_none_are_refused, defaults, forget),
        cmocka_unit_test_setup_teardown(want_of_memory_is_an_error, defaults, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
