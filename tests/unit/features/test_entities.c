/* The table of entities: found, dirty, evicted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "features/entities.h"
#include "tests/unit/starve.h"

static weir_entities *table_of(size_t limit) {
    weir_err err;
    weir_entities *table = NULL;
    if (weir_entities_new(limit, &table, &err)) fail_msg("%s", err.message);
    return table;
}

static weir_entity *find(weir_entities *table, const char *key) {
    return weir_entities_find(table, weir_entities_hash(key, strlen(key)), key, strlen(key));
}

static weir_entity *add(weir_entities *table, const char *key) {
    weir_entity *entity = weir_entities_add(table, weir_entities_hash(key, strlen(key)), key, strlen(key), 3);
    assert_non_null(entity);
    return entity;
}

static void name(int i, char key[32]) {
    snprintf(key, 32, "tenant/%d", i);
}

static void what_was_added_is_found_and_nothing_else(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    weir_entities *table = table_of(SIZE_MAX);
    char key[32];
    for (int i = 0; i < COUNT; i++) {
        name(i, key);
        assert_null(find(table, key));
        add(table, key)->event_time_us = i;
    }
    assert_int_equal(weir_entities_count(table), COUNT);
    for (int i = 0; i < COUNT; i++) {
        name(i, key);
        weir_entity *entity = find(table, key);
        assert_non_null(entity);
        assert_string_equal(entity->key, key);
        assert_true(entity->event_time_us == i && entity->partition == 3);
        assert_ptr_equal(weir_entities_find(table, entity->hash, key, strlen(key) - 1), NULL);
    }
    weir_entities_clear(table);
    assert_int_equal(weir_entities_count(table), 0);
    assert_null(find(table, "tenant/1"));
    weir_entities_free(table);
}

/* Of keys that share their slots: removing one must not hide another. */
static void keys_of_one_hash_are_told_apart_and_survive_removal(void **state) {
    (void)state;
    enum { COUNT = 40 };
    weir_entities *table = table_of(SIZE_MAX);
    weir_entity *all[COUNT];
    char key[32];
    for (int i = 0; i < COUNT; i++) {
        name(i, key);
        assert_non_null(all[i] = weir_entities_add(table, (1020u + (uint32_t)i % 5) << 22, key, strlen(key), 0)); /* round the end of the slots */
    }
    for (int i = 0; i < COUNT; i += 3) weir_entities_remove(table, all[i]);
    for (int i = 0; i < COUNT; i++) {
        name(i, key);
        weir_entity *found = weir_entities_find(table, (1020u + (uint32_t)i % 5) << 22, key, strlen(key));
        assert_ptr_equal(found, i % 3 ? all[i] : NULL);
    }
    weir_entities_free(table);
}

static void a_dirty_entity_keeps_the_bytes_of_its_newest_value(void **state) {
    (void)state;
    weir_entities *table = table_of(SIZE_MAX);
    weir_entity *a = add(table, "t/a"), *b = add(table, "t/b");
    char large[4000];
    memset(large, 'x', sizeof large);
    assert_true(weir_entities_touch(table, a, 7, "first", 5));
    assert_true(weir_entities_touch(table, b, 8, "other", 5));
    assert_true(weir_entities_touch(table, a, 9, large, sizeof large));
    assert_int_equal(weir_entities_dirty_count(table), 2);
    assert_true(a->dirty && a->value_len == sizeof large);
    assert_memory_equal(weir_entities_value(table, a), large, sizeof large);
    assert_memory_equal(weir_entities_value(table, b), "other", 5);
    assert_true(weir_entities_dirty_bytes(table) > sizeof large);
    weir_entities_clean(table, a);
    weir_entities_clean(table, a); /* once is enough */
    assert_int_equal(weir_entities_dirty_count(table), 1);
    assert_ptr_equal(weir_entities_dirty_at(table, weir_entities_segment_of(b->hash), 0), b);
    weir_entities_clean_all(table);
    assert_true(!b->dirty && weir_entities_dirty_count(table) == 0 && weir_entities_dirty_bytes(table) == 0);
    weir_entities_free(table);
}

static void segments_are_cleaned_one_by_one_and_tell_since_when_they_are_dirty(void **state) {
    (void)state;
    enum { COUNT = 2000, PARTITIONS = 3 };
    weir_entities *table = table_of(SIZE_MAX);
    char key[32];
    int64_t since[PARTITIONS][WEIR_ENTITY_SEGMENTS], first;
    size_t counts[WEIR_ENTITY_SEGMENTS] = {0}, left = COUNT;
    for (int p = 0; p < PARTITIONS; p++)
        for (int s = 0; s < WEIR_ENTITY_SEGMENTS; s++) since[p][s] = INT64_MAX;
    for (int i = 0; i < COUNT; i++) {
        name(i, key);
        uint32_t hash = weir_entities_hash(key, strlen(key));
        int segment = weir_entities_segment_of(hash), partition = i % PARTITIONS;
        weir_entity *entity = weir_entities_add(table, hash, key, strlen(key), partition);
        assert_non_null(entity);
        assert_true(weir_entities_touch(table, entity, 100 + i, "value", 5) && weir_entities_touch(table, entity, 5000 + i, "again", 5));
        if (since[partition][segment] == INT64_MAX) since[partition][segment] = 100 + i;
        counts[segment]++;
    }
    assert_int_equal(weir_entities_since(table, PARTITIONS), INT64_MAX);
    for (int s = 0; s < WEIR_ENTITY_SEGMENTS; s++) {
        for (int p = 0; p < PARTITIONS; p++) {
            first = INT64_MAX;
            for (int k = s; k < WEIR_ENTITY_SEGMENTS; k++) first = since[p][k] < first ? since[p][k] : first;
            assert_int_equal(weir_entities_since(table, p), first);
        }
        assert_int_equal(weir_entities_dirty_in(table, s), counts[s]);
        assert_int_equal(weir_entities_segment_values(table, s), 10 * counts[s]);
        assert_true(!counts[s] || weir_entities_segment_bytes(table, s) > 5 * counts[s]);
        weir_entities_clean_segment(table, s);
        left -= counts[s];
        assert_int_equal(weir_entities_dirty_count(table), left);
        assert_int_equal(weir_entities_segment_values(table, s), 0);
    }
    assert_int_equal(weir_entities_dirty_bytes(table), 0);
    weir_entities_free(table);
}

static void eviction_takes_clean_ones_that_were_not_used_lately(void **state) {
    (void)state;
    enum { COUNT = 1000, HOT = 50 };
    weir_entities *table = table_of(1);
    char key[32];
    for (int i = 0; i < COUNT; i++) {
        name(i, key);
        weir_entity *entity = add(table, key);
        if (i % 100 == 0) assert_true(weir_entities_touch(table, entity, 0, "v", 1));
    }
    assert_true(weir_entities_full(table));
    weir_entities_evict(table);
    assert_int_equal(weir_entities_count(table), COUNT / 100); /* the dirty ones stay, whatever the limit */
    weir_entities_free(table);

    table = table_of(0);
    size_t one = 0;
    for (int i = 0; i < COUNT; i++) {
        name(i, key);
        one = add(table, key)->bytes;
    }
    weir_entities_free(table);
    table = table_of(one * COUNT / 2);
    for (int i = 0; i < COUNT; i++) {
        name(i, key);
        add(table, key);
    }
    weir_entities_evict(table); /* takes the marks, and as many as need be */
    assert_true(!weir_entities_full(table));
    size_t left = weir_entities_count(table);
    assert_true(left >= COUNT / 3 && left < COUNT);
    int hot[HOT], hot_count = 0;
    for (int i = 0; i < COUNT && hot_count < HOT; i++) {
        name(i, key);
        if (find(table, key)) hot[hot_count++] = i; /* used */
    }
    for (int i = 0; i < COUNT / 4; i++) {
        snprintf(key, sizeof key, "new/%d", i);
        add(table, key)->used = false;
    }
    weir_entities_evict(table);
    assert_true(!weir_entities_full(table));
    for (int i = 0; i < hot_count; i++) {
        name(hot[i], key);
        assert_non_null(find(table, key));
    }
    weir_entities_free(table);
}

static void failed_allocations_leave_the_table_as_it_was(void **state) {
    (void)state;
    weir_allocator system = weir_mem;
    int failures = 0;
    for (int n = 0; n < 120; n++) {
        weir_entities *table = NULL;
        weir_mem.realloc = failing_realloc;
        allocations_left = n;
        int added = 0;
        if (!weir_entities_new(SIZE_MAX, &table, NULL)) {
            char key[32];
            for (; added < 20; added++) {
                name(added, key);
                weir_entity *entity = weir_entities_add(table, weir_entities_hash(key, strlen(key)), key, strlen(key), 0);
                if (!entity) break;
                if (!weir_entities_touch(table, entity, 0, key, strlen(key))) break;
            }
        }
        failures += added < 20;
        weir_mem = system;
        for (int i = 0; table && i < added; i++) {
            char key[32];
            name(i, key);
            weir_entity *entity = find(table, key);
            assert_non_null(entity);
            assert_memory_equal(weir_entities_value(table, entity), key, strlen(key));
        }
        weir_entities_free(table);
    }
    assert_true(failures > 10 && failures < 120);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_and_nothing_else),
        cmocka_unit_test(keys_of_one_hash_are_told_apart_and_survive_removal),
        cmocka_unit_test(a_dirty_entity_keeps_the_bytes_of_its_newest_value),
        cmocka_unit_test(eviction_takes_clean_ones_that_were_not_used_lately),
        cmocka_unit_test(segments_are_cleaned_one_by_one_and_tell_since_when_they_are_dirty),
        cmocka_unit_test(failed_allocations_leave_the_table_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
