/* The cache of models: what is kept, what goes, who waits for whom, and what a failure costs. Artifacts are real; where they are loaded from is a double that can fail and be slow. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/model_cache.h"
#include "tests/unit/starve.h"

enum { MODELS = 6, READERS = 4, ROUNDS = 400 };
#define RETRY_US (10 * WEIR_SECOND_US)

static weir_buf artifacts[MODELS];
static char digests[MODELS][65], paths[MODELS][8];
static int64_t model_bytes; /* of each: they differ in a number only */
static weir_clock_manual now;
static atomic_int loads, failing, waiting;
static atomic_bool held_up; /* the loading of model 0 */

static weir_status load(void *context, const char *path, weir_model **ret_model, weir_err *err) {
    (void)context;
    int i = atoi(path);
    loads++;
    if (failing & (1 << i)) return WEIR_FAIL(err, WEIR_EIO, "the disk of %s is away", path);
    if (i == 0) {
        waiting++;
        while (held_up) usleep(1000);
        waiting--;
    }
    return weir_model_load(artifacts[i].data, artifacts[i].len, ret_model, err);
}

static weir_model_cache *make(int models) {
    const weir_model_cache_settings settings = {
        .objects_dir = "o", .budget_bytes = models * model_bytes, .retry_us = RETRY_US, .clock = &now.base, .load = load};
    weir_model_cache *cache = NULL;
    weir_err err;
    loads = failing = 0;
    held_up = false;
    if (weir_model_cache_new(&settings, &cache, &err)) fail_msg("%s", err.message);
    return cache;
}

static weir_held_model *take(weir_model_cache *cache, int i) {
    weir_held_model *held = NULL;
    weir_err err;
    if (weir_model_cache_take(cache, digests[i], paths[i], &held, &err)) fail_msg("%s", err.message);
    assert_string_equal(weir_model_digest(weir_held_model_of(held)), digests[i]);
    return held;
}

static void use(weir_model_cache *cache, int i) {
    weir_model_cache_give_back(cache, take(cache, i));
}

static void what_was_used_longest_ago_goes_first(void **state) {
    (void)state;
    weir_model_cache *cache = make(3);
    for (int i = 0; i < 3; i++) use(cache, i);
    use(cache, 0);
    assert_int_equal(loads, 3);
    use(cache, 3); /* 1 goes */
    const weir_model_cache_stats full = weir_model_cache_stats_of(cache);
    assert_true(full.models == 3 && full.bytes == 3 * model_bytes && full.evictions == 1 && full.hits == 1 && full.loads == 4);
    use(cache, 0);
    use(cache, 2);
    assert_int_equal(loads, 4);
    use(cache, 1);
    assert_int_equal(loads, 5);
    weir_model_cache_free(cache);
}

static void what_is_held_stays_and_counts(void **state) {
    (void)state;
    weir_model_cache *cache = make(1);
    weir_held_model *held[3];
    for (int i = 0; i < 3; i++) held[i] = take(cache, i);
    assert_int_equal(weir_model_cache_stats_of(cache).models, 3);
    double row[1] = {1}, score = -1;
    assert_int_equal(weir_model_predict(weir_held_model_of(held[0]), row, 1, &score, NULL), WEIR_OK);
    assert_true(score > 0 && score < 1);
    for (int i = 0; i < 3; i++) weir_model_cache_give_back(cache, held[i]);
    assert_int_equal(weir_model_cache_stats_of(cache).models, 1);
    weir_model_cache_give_back(cache, NULL);
    weir_model_cache_free(cache);
}

static void without_a_budget_a_model_lives_as_long_as_it_is_held(void **state) {
    (void)state;
    weir_model_cache *cache = make(0);
    use(cache, 0);
    use(cache, 0);
    assert_true(loads == 2 && weir_model_cache_stats_of(cache).models == 0 && weir_model_cache_stats_of(cache).bytes == 0);
    weir_model_cache_free(cache);
}

static void a_failure_is_remembered_for_a_while_and_touches_nobody(void **state) {
    (void)state;
    weir_model_cache *cache = make(MODELS);
    weir_held_model *serving = take(cache, 1), *none = NULL;
    weir_err err;
    failing = 1 << 2;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(weir_model_cache_take(cache, digests[2], paths[2], &none, &err), WEIR_EIO);
        assert_non_null(strstr(err.message, "the disk of 2 is away"));
    }
    assert_true(loads == 2 && none == NULL && weir_model_cache_stats_of(cache).failures == 1);
    failing = 0;
    assert_int_equal(weir_model_cache_take(cache, digests[2], paths[2], &none, &err), WEIR_EIO);
    now.now_us += RETRY_US;
    use(cache, 2);
    assert_true(loads == 3 && weir_held_model_of(serving) && weir_model_cache_stats_of(cache).models == 2);
    weir_model_cache_give_back(cache, serving);
    weir_model_cache_free(cache);
}

static void another_digest_and_damaged_bytes_do_not_get_in(void **state) {
    (void)state;
    weir_model_cache *cache = make(MODELS);
    weir_held_model *none = NULL;
    weir_err err;
    assert_int_equal(weir_model_cache_take(cache, digests[3], paths[4], &none, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "the registry says"));
    artifacts[5].data[artifacts[5].len / 2] ^= 1;
    assert_int_equal(weir_model_cache_take(cache, digests[5], paths[5], &none, &err), WEIR_EDATA);
    artifacts[5].data[artifacts[5].len / 2] ^= 1;
    assert_true(none == NULL && weir_model_cache_stats_of(cache).models == 0);
    weir_model_cache_free(cache);
}

static void failures_that_are_remembered_have_a_limit(void **state) {
    (void)state;
    weir_model_cache *cache = make(MODELS);
    weir_held_model *none = NULL;
    failing = 1 << 2;
    char digest[65];
    for (int i = 0; i < 1500; i++) {
        snprintf(digest, sizeof digest, "%d", i);
        assert_int_equal(weir_model_cache_take(cache, digest, "2", &none, NULL), WEIR_EIO);
    }
    assert_int_equal(loads, 1500);
    assert_int_equal(weir_model_cache_take(cache, "0", "2", &none, NULL), WEIR_EIO); /* forgotten */
    assert_int_equal(weir_model_cache_take(cache, "1499", "2", &none, NULL), WEIR_EIO);
    assert_int_equal(loads, 1501);
    weir_model_cache_free(cache);
}

static void *take_first(void *cache) {
    use(cache, 0);
    return NULL;
}

/* One load for all who want it; who wants another one is not kept waiting. */
static void a_slow_load_is_one_load_and_delays_nobody_else(void **state) {
    (void)state;
    weir_model_cache *cache = make(MODELS);
    pthread_t threads[READERS];
    held_up = true;
    for (int i = 0; i < READERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, take_first, cache), 0);
    while (!waiting) usleep(1000);
    use(cache, 1);
    use(cache, 2);
    assert_true(waiting == 1);
    held_up = false;
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(loads, 3);
    weir_model_cache_free(cache);
}

static void *read_all(void *context) {
    weir_model_cache *cache = context;
    for (int i = 0; i < ROUNDS; i++) {
        weir_held_model *held = NULL;
        double row[1] = {i}, score = -1;
        weir_err err;
        int m = 1 + (i * 7) % (MODELS - 1);
        if (weir_model_cache_take(cache, digests[m], paths[m], &held, &err)) continue; /* remembered failures are part of it */
        if (weir_model_predict(weir_held_model_of(held), row, 1, &score, NULL) || !(score >= 0 && score <= 1)) abort();
        weir_model_cache_give_back(cache, held);
    }
    return NULL;
}

static void many_threads_share_a_budget_that_is_too_small(void **state) {
    (void)state;
    weir_model_cache *cache = make(2);
    pthread_t threads[READERS];
    failing = 1 << 4;
    for (int i = 0; i < READERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, read_all, cache), 0);
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    const weir_model_cache_stats stats = weir_model_cache_stats_of(cache);
    assert_true(stats.models <= 2 && stats.bytes <= 2 * model_bytes && stats.failures == 1 && stats.evictions > 0);
    weir_model_cache_free(cache);
}

static void without_memory_it_says_so_and_goes_on(void **state) {
    (void)state;
    weir_model_cache *cache = make(MODELS), *none = NULL;
    const weir_model_cache_settings settings = {.objects_dir = "o", .clock = &now.base, .load = load};
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    assert_int_equal(weir_model_cache_new(&settings, &none, NULL), WEIR_ENOMEM);
    int failed = 0;
    for (int room = 0; room < 200; room++) {
        weir_held_model *held = NULL;
        allocations_left = room;
        now.now_us += RETRY_US;
        weir_status status = weir_model_cache_take(cache, digests[1], paths[1], &held, NULL);
        failed += status == WEIR_ENOMEM;
        if (!status) {
            weir_model_cache_give_back(cache, held);
            break;
        }
    }
    weir_mem = before;
    assert_true(failed > 1 && weir_model_cache_stats_of(cache).models == 1);
    weir_model_cache_free(cache);
}

static int fit(void **state) {
    (void)state;
    static const double values[] = {0, 1, 2, 3}, labels[] = {0, 1, 0, 1};
    static const char *const names[] = {"x"};
    const weir_matrix train = {.row_count = 4, .column_count = 1, .values = values, .label = labels, .column_names = names, .task = WEIR_TASK_BINARY};
    weir_clock_manual_init(&now, 0);
    for (int i = 0; i < MODELS; i++) {
        weir_err err;
        weir_model *model = NULL;
        if (weir_model_fit("logistic", NULL, NULL, &train, "hash", (uint64_t)i + 1, 1, &artifacts[i], &err)) fail_msg("%s", err.message);
        if (weir_model_load(artifacts[i].data, artifacts[i].len, &model, &err)) fail_msg("%s", err.message);
        snprintf(digests[i], sizeof digests[i], "%s", weir_model_digest(model));
        snprintf(paths[i], sizeof paths[i], "%d", i);
        model_bytes = weir_model_memory_bytes(model);
        assert_true(model_bytes > (int64_t)artifacts[i].len);
        weir_model_free(model);
    }
    return 0;
}

static int forget(void **state) {
    (void)state;
    for (int i = 0; i < MODELS; i++) weir_buf_done(&artifacts[i]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_used_longest_ago_goes_first),
        cmocka_unit_test(what_is_held_stays_and_counts),
        cmocka_unit_test(without_a_budget_a_model_lives_as_long_as_it_is_held),
        cmocka_unit_test(a_failure_is_remembered_for_a_while_and_touches_nobody),
        cmocka_unit_test(another_digest_and_damaged_bytes_do_not_get_in),
        cmocka_unit_test(failures_that_are_remembered_have_a_limit),
        cmocka_unit_test(a_slow_load_is_one_load_and_delays_nobody_else),
        cmocka_unit_test(many_threads_share_a_budget_that_is_too_small),
        cmocka_unit_test(without_memory_it_says_so_and_goes_on),
    };
    return cmocka_run_group_tests(tests, fit, forget);
}
