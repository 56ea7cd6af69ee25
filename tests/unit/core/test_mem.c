#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

static weir_allocator real;
static int allocations, fail_at; /* the fail_at-th allocation from now fails; 0: none */

static void *counting_realloc(void *old, size_t size) {
    if (size && ++allocations == fail_at) return NULL;
    return real.realloc(old, size);
}

static int install(void **state) {
    (void)state;
    real = weir_mem;
    weir_mem.realloc = counting_realloc;
    allocations = fail_at = 0;
    return 0;
}

static int restore(void **state) {
    (void)state;
    weir_mem = real;
    return 0;
}

static void arena_gives_aligned_memory_that_does_not_overlap(void **state) {
    (void)state;
    weir_arena arena;
    weir_arena_init(&arena, 1 << 20);
    unsigned char *parts[100];
    for (size_t i = 0; i < 100; i++) {
        parts[i] = weir_arena_alloc(&arena, i * 7);
        assert_non_null(parts[i]);
        assert_int_equal((uintptr_t)parts[i] % 16, 0);
        memset(parts[i], (int)i, i * 7);
    }
    for (size_t i = 0; i < 100; i++)
        for (size_t j = 0; j < i * 7; j++) assert_int_equal(parts[i][j], i);
    weir_arena_done(&arena);
}

static void arena_allocates_nothing_under_a_steady_load(void **state) {
    (void)state;
    weir_arena arena;
    weir_arena_init(&arena, 4 << 20);
    int after_first = 0;
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < 200; i++) assert_non_null(weir_arena_alloc(&arena, 100 + (i * 977) % 9000));
        if (round == 0) after_first = allocations;
        weir_arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
    assert_true(after_first > 1);
    assert_int_equal(allocations, after_first);
    weir_arena_done(&arena);
}

static void arena_keeps_its_maximum(void **state) {
    (void)state;
    weir_arena arena;
    weir_arena_init(&arena, 1000);
    assert_null(weir_arena_alloc(&arena, 1001));
    assert_null(weir_arena_alloc(&arena, SIZE_MAX));
    assert_null(weir_arena_copy(&arena, "", SIZE_MAX));
    size_t got = 0;
    while (weir_arena_alloc(&arena, 16)) got += 16;
    assert_int_equal(got, 992); /* 62 steps of the alignment */
    weir_arena_reset(&arena);
    assert_non_null(weir_arena_alloc(&arena, 900));
    weir_arena_done(&arena);
}

static void arena_gives_small_kept_blocks_up_for_a_large_one(void **state) {
    (void)state;
    weir_arena arena;
    weir_arena_init(&arena, 200 * 1024);
    for (int i = 0; i < 100; i++) assert_non_null(weir_arena_alloc(&arena, 1024));
    weir_arena_reset(&arena);
    /* 16 + 32 + 64 KiB are kept; 150 KiB more fit only when they go. */
    assert_non_null(weir_arena_alloc(&arena, 150 * 1024));
    weir_arena_done(&arena);
}

static void arena_survives_failed_allocation(void **state) {
    (void)state;
    weir_arena arena;
    weir_arena_init(&arena, 1 << 20);
    fail_at = 1;
    assert_null(weir_arena_alloc(&arena, 10));
    assert_non_null(weir_arena_alloc(&arena, 10));
    fail_at = allocations + 1;
    assert_null(weir_arena_alloc(&arena, 100000));
    char *copy = weir_arena_copy(&arena, "abc\0d", 5);
    assert_memory_equal(copy, "abc\0d", 6);
    weir_arena_done(&arena);
}

static void buf_always_ends_with_nul(void **state) {
    (void)state;
    weir_buf buf = {0};
    weir_buf_clear(&buf);
    assert_null(buf.data);
    assert_true(weir_buf_append(&buf, "", 0));
    assert_string_equal(buf.data, "");
    for (int i = 0; i < 1000; i++) {
        assert_true(weir_buf_append(&buf, "xyz", 3));
        assert_int_equal(buf.data[buf.len], 0);
    }
    assert_int_equal(buf.len, 3000);
    weir_buf_clear(&buf);
    assert_string_equal(buf.data, "");
    assert_true(weir_buf_printf(&buf, "%05d|%s", 42, "é"));
    assert_string_equal(buf.data, "00042|é");
    weir_buf_done(&buf);
    assert_null(buf.data);
    weir_buf_done(&buf);
}

static void buf_is_unchanged_when_memory_runs_out(void **state) {
    (void)state;
    weir_buf buf = {0};
    assert_true(weir_buf_append(&buf, "kept", 4));
    char large[500];
    memset(large, '"', sizeof large);
    large[sizeof large - 1] = 0;
    fail_at = allocations + 1;
    assert_false(weir_buf_append(&buf, large, sizeof large));
    fail_at = allocations + 1;
    assert_false(weir_buf_printf(&buf, "%s", large));
    /* The second growth fails: quotes double while they are escaped. */
    fail_at = allocations + 2;
    assert_false(weir_buf_json_escape(&buf, large, sizeof large - 1));
    assert_int_equal(buf.len, 4);
    assert_string_equal(buf.data, "kept");
    assert_false(weir_buf_reserve(&buf, SIZE_MAX));
    assert_false(weir_buf_reserve(&buf, SIZE_MAX / 2));
    assert_string_equal(buf.data, "kept");
    weir_buf_done(&buf);
}

static void check_escape(const char *text, size_t len, const char *expected) {
    weir_buf buf = {0};
    assert_true(weir_buf_json_escape(&buf, text, len));
    assert_string_equal(buf.data, expected);
    weir_buf_done(&buf);
}

/* A hint moves no byte, of whatever size and alignment the array is. */
static void large_pages_leave_an_array_as_it_is(void **state) {
    (void)state;
    const size_t sizes[] = {1, 4096, (size_t)5 << 20};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        unsigned char *array = malloc(sizes[k] + 1);
        assert_non_null(array);
        for (size_t i = 0; i <= sizes[k]; i++) array[i] = (unsigned char)(i * 31 >> 4);
        weir_mem_prefer_large_pages(array + 1, sizes[k]);
        for (size_t i = 0; i <= sizes[k]; i++)
            if (array[i] != (unsigned char)(i * 31 >> 4)) fail_msg("byte %zu of %zu changed", i, sizes[k]);
        free(array);
    }
}

static void json_escape_escapes_what_json_forbids(void **state) {
    (void)state;
    check_escape("", 0, "");
    check_escape("plain", 5, "plain");
    check_escape("a\"b\\c\n\r\t", 8, "a\\\"b\\\\c\\n\\r\\t");
    check_escape("\0\x01\x1F\x7F", 4, "\\u0000\\u0001\\u001f\\u007f");
    check_escape("é€😀", 9, "é€😀");
}

static void json_escape_replaces_what_is_not_utf8(void **state) {
    (void)state;
#define R "\xEF\xBF\xBD"
    check_escape("a\xFFz", 3, "a" R "z");
    check_escape("\xC3", 1, R); /* cut */
    check_escape("\xC0\x80", 2, R R); /* overlong NUL */
    check_escape("\xE0\x80\x80", 3, R R R); /* overlong */
    check_escape("\xED\xA0\x80", 3, R R R); /* surrogate */
    check_escape("\xF4\x90\x80\x80", 4, R R R R); /* above U+10FFFF */
    check_escape("\xF4\x8F\xBF\xBF", 4, "\xF4\x8F\xBF\xBF"); /* U+10FFFF */
    check_escape("\xE2\x82", 2, R R); /* cut after two of three */
    check_escape("\x80", 1, R); /* continuation alone */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arena_gives_aligned_memory_that_does_not_overlap, install, restore),
        cmocka_unit_test_setup_teardown(arena_allocates_nothing_under_a_steady_load, install, restore),
        cmocka_unit_test_setup_teardown(arena_keeps_its_maximum, install, restore),
        cmocka_unit_test_setup_teardown(arena_gives_small_kept_blocks_up_for_a_large_one, install, restore),
        cmocka_unit_test_setup_teardown(arena_survives_failed_allocation, install, restore),
        cmocka_unit_test_setup_teardown(buf_always_ends_with_nul, install, restore),
        cmocka_unit_test_setup_teardown(buf_is_unchanged_when_memory_runs_out, install, restore),
        cmocka_unit_test(large_pages_leave_an_array_as_it_is),
        cmocka_unit_test_setup_teardown(json_escape_escapes_what_json_forbids, install, restore),
        cmocka_unit_test_setup_teardown(json_escape_replaces_what_is_not_utf8, install, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
