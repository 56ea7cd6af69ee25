/* Every algorithm's fit ends soon after somebody wished it to, with the error that says so, whatever memory there is; one that nobody stops is the same whether
 * it was asked or not. */
#include "fixture.h"

#include <stdio.h>

#include "models/algorithms.h"
#include "models/interrupt.h"
#include "tests/unit/starve.h"

enum { CHECKS_MAX = 12 };

static fixture data;

/* Blocks of the project's allocator that are held at the moment. */
static int held;
static void *counting_realloc(void *old, size_t size) {
    held += (!old && size) - (old && !size);
    if (size) return realloc(old, size);
    free(old);
    return NULL;
}

/* True from the `after`-th question on. */
typedef struct counted {
    int after, asked;
} counted;

static bool is_enough(void *context) {
    counted *c = context;
    return ++c->asked > c->after;
}

static const char *params_of(const char *algorithm) {
    if (!strcmp(algorithm, "lasso") || !strcmp(algorithm, "elastic_net")) return "{\"alpha\": 0.01, \"tol\": 1e-12}";
    if (!strcmp(algorithm, "svr")) return "{\"c\": 10}";
    return quick(algorithm);
}

static weir_status fit_counted(const char *algorithm, weir_task task, counted *c, weir_buf *artifact, weir_err *err) {
    weir_matrix matrix = fixture_matrix(&data, task);
    const char *text = params_of(algorithm);
    cJSON *params = text ? cJSON_Parse(text) : NULL;
    if (c) weir_interrupt_ask(is_enough, c);
    weir_status status = weir_model_fit(algorithm, params, NULL, &matrix, "hash", 3, 1, artifact, err);
    weir_interrupt_ask(NULL, NULL);
    cJSON_Delete(params);
    return status;
}

/* Stopped at the n-th question it asks no more often, leaves nothing behind, and says why. */
static void expect_stop(const char *algorithm, weir_task task, int after) {
    counted c = {.after = after};
    weir_buf artifact = {0};
    weir_err err;
    weir_allocator real = weir_mem;
    held = 0;
    weir_mem.realloc = counting_realloc;
    weir_status status = fit_counted(algorithm, task, &c, &artifact, &err);
    weir_mem = real;
    if (c.asked <= after) {
        if (status != WEIR_OK) fail_msg("%s asked %d times: %s", algorithm, c.asked, err.message);
        weir_buf_done(&artifact);
        return;
    }
    if (status != WEIR_ETIMEOUT || c.asked != after + 1)
        fail_msg("%s: status %d after %d questions, expected a stop at %d", algorithm, status, c.asked, after + 1);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_non_null(strstr(err.message, "asked to stop"));
    assert_int_equal(artifact.len, 0);
    if (held != (artifact.data != NULL)) fail_msg("%s holds %d blocks after a stop at question %d", algorithm, held, after + 1);
    weir_buf_done(&artifact);
}

static void every_fit_asks_and_stops(void **state) {
    (void)state;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++)
        for (int task = 0; task < 3; task++) {
            if (!weir_algorithm_can(*a, (weir_task)task)) continue;
            counted never = {.after = INT32_MAX};
            weir_buf free_run = {0}, asked_run = {0};
            weir_err err;
            if (fit_counted((*a)->name, (weir_task)task, NULL, &free_run, &err) != WEIR_OK) fail_msg("%s: %s", (*a)->name, err.message);
            assert_int_equal(fit_counted((*a)->name, (weir_task)task, &never, &asked_run, &err), WEIR_OK);
            if (!never.asked) fail_msg("%s never asks whether it is to stop", (*a)->name);
            assert_int_equal(free_run.len, asked_run.len);
            assert_memory_equal(free_run.data, asked_run.data, free_run.len);
            weir_buf_done(&free_run);
            weir_buf_done(&asked_run);
            for (int n = 0; n < CHECKS_MAX && n < never.asked; n++) expect_stop((*a)->name, (weir_task)task, n);
            expect_stop((*a)->name, (weir_task)task, never.asked - 1);
        }
}

/* A forest asks before each of its trees, of several classes before those of all classes. */
static void a_forest_asks_before_every_tree(void **state) {
    (void)state;
    for (int task = 0; task < 3; task++) {
        counted never = {.after = INT32_MAX};
        weir_buf artifact = {0};
        weir_err err;
        assert_int_equal(fit_counted("random_forest", (weir_task)task, &never, &artifact, &err), WEIR_OK);
        assert_int_equal(never.asked, 10);
        weir_buf_done(&artifact);
    }
}

/* Wherever memory runs out before the stop: an error, and nothing is left behind (the sanitizers say so). */
static void a_stop_without_memory_is_an_error(void **state) {
    (void)state;
    static const char *const names[] = {"svr", "random_forest", "lasso", "sgd"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        weir_allocator real = weir_mem;
        weir_status status = WEIR_ENOMEM;
        weir_matrix matrix = fixture_matrix(&data, WEIR_TASK_REGRESSION);
        matrix.row_count = 100;
        for (int n = 0; status == WEIR_ENOMEM; n++) {
            counted c = {.after = 1};
            weir_buf artifact = {0};
            allocations_left = n;
            weir_mem.realloc = failing_realloc;
            weir_interrupt_ask(is_enough, &c);
            status = weir_model_fit(names[i], NULL, NULL, &matrix, NULL, 1, 1, &artifact, NULL);
            weir_interrupt_ask(NULL, NULL);
            weir_mem = real;
            weir_buf_done(&artifact);
        }
        if (status != WEIR_ETIMEOUT && status != WEIR_OK) fail_msg("%s: status %d", names[i], status); /* 100 rows of sgd are one question */
    }
}

static void a_flag_stops_this_thread_only_while_it_is_set(void **state) {
    (void)state;
    _Atomic bool stop = false;
    weir_err err;
    weir_interrupt_set(&stop);
    assert_int_equal(weir_interrupt_check(&err), WEIR_OK);
    stop = true;
    assert_int_equal(weir_interrupt_check(&err), WEIR_ETIMEOUT);
    weir_interrupt_set(NULL);
    assert_int_equal(weir_interrupt_check(&err), WEIR_OK);
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fit_asks_and_stops),
        cmocka_unit_test(a_forest_asks_before_every_tree),
        cmocka_unit_test(a_stop_without_memory_is_an_error),
        cmocka_unit_test(a_flag_stops_this_thread_only_while_it_is_set),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
