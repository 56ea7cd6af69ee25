/* Models by what they are called. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/catalogue.h"
#include "core/mem.h"
#include "tests/unit/starve.h"

static weir_catalogue_entry entry(const char *alias, const char *name, int version) {
    weir_catalogue_entry e = {.version = version, .threshold = NAN};
    snprintf(e.alias, sizeof e.alias, "%s", alias);
    snprintf(e.name, sizeof e.name, "%s", name);
    snprintf(e.digest, sizeof e.digest, "%s-%d", name, version);
    return e;
}

static void put(weir_catalogue *catalogue, const char *alias, const char *name, int version) {
    const weir_catalogue_entry e = entry(alias, name, version);
    assert_int_equal(weir_catalogue_put(catalogue, &e, NULL), WEIR_OK);
}

static const char *digest_of(const weir_catalogue *catalogue, const char *what) {
    const weir_catalogue_entry *found = weir_catalogue_find(catalogue, what);
    return found ? found->digest : "none";
}

static void models_are_found_by_alias_name_and_version(void **state) {
    (void)state;
    weir_catalogue catalogue = {0};
    assert_null(weir_catalogue_find(&catalogue, "champion"));
    put(&catalogue, "", "fraud-tree", 2);
    put(&catalogue, "", "fraud-tree", 10);
    put(&catalogue, "", "fraud-tree-small", 11);
    put(&catalogue, "", "fraud-tree", 9);
    put(&catalogue, "champion", "fraud-tree", 2);
    put(&catalogue, "tenant:acme/eu", "fraud-tree", 9);
    assert_string_equal(digest_of(&catalogue, "champion"), "fraud-tree-2");
    assert_string_equal(digest_of(&catalogue, "fraud-tree"), "fraud-tree-10");
    assert_string_equal(digest_of(&catalogue, "fraud-tree/9"), "fraud-tree-9");
    assert_string_equal(digest_of(&catalogue, "fraud-tree:2"), "fraud-tree-2");
    assert_string_equal(digest_of(&catalogue, "tenant:acme/eu"), "fraud-tree-9");
    static const char *const wrong[] = {
        "", "/", "fraud", "fraud-tree/", "fraud-tree/3", "fraud-tree/9x", "fraud-tree/-9", "fraud-tree/0", "fraud-tree/99999999999", "challenger"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_string_equal(digest_of(&catalogue, wrong[i]), "none");
    weir_catalogue_done(&catalogue);
}

static void aliases_move_and_versions_go(void **state) {
    (void)state;
    weir_catalogue catalogue = {0};
    put(&catalogue, "", "m", 1);
    put(&catalogue, "", "m", 2);
    put(&catalogue, "", "m", 2);
    put(&catalogue, "champion", "m", 1);
    put(&catalogue, "champion", "m", 2);
    assert_int_equal(catalogue.count, 3);
    assert_string_equal(digest_of(&catalogue, "champion"), "m-2");
    weir_catalogue_drop_alias(&catalogue, "champion");
    weir_catalogue_drop_alias(&catalogue, "champion");
    weir_catalogue_drop_version(&catalogue, "m", 2);
    weir_catalogue_drop_version(&catalogue, "m", 7);
    weir_catalogue_drop_version(&catalogue, "m", 0);
    assert_string_equal(digest_of(&catalogue, "champion"), "none");
    assert_string_equal(digest_of(&catalogue, "m"), "m-1");
    assert_int_equal(catalogue.count, 1);
    weir_catalogue_done(&catalogue);
}

static void there_is_a_limit(void **state) {
    (void)state;
    weir_catalogue catalogue = {0};
    for (int v = 1; v <= WEIR_CATALOGUE_MAX + 5; v++) {
        const weir_catalogue_entry e = entry("", v % 2 ? "odd" : "even", v);
        assert_int_equal(weir_catalogue_put(&catalogue, &e, NULL), WEIR_OK);
    }
    assert_int_equal(catalogue.count, WEIR_CATALOGUE_MAX);
    assert_null(weir_catalogue_find(&catalogue, "odd/5"));
    assert_non_null(weir_catalogue_find(&catalogue, "even/6"));
    weir_catalogue_done(&catalogue);
}

static void without_memory_it_stays_as_it_was(void **state) {
    (void)state;
    weir_catalogue catalogue = {0};
    const weir_allocator before = weir_mem;
    const weir_catalogue_entry e = entry("", "m", 1);
    weir_mem.realloc = failing_realloc;
    for (int room = 0; room < 2; room++) {
        allocations_left = room;
        assert_int_equal(weir_catalogue_put(&catalogue, &e, NULL), WEIR_ENOMEM);
        assert_int_equal(catalogue.count, 0);
    }
    weir_mem = before;
    put(&catalogue, "", "m", 1);
    assert_string_equal(digest_of(&catalogue, "m"), "m-1");
    weir_catalogue_done(&catalogue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_found_by_alias_name_and_version),
        cmocka_unit_test(aliases_move_and_versions_go),
        cmocka_unit_test(there_is_a_limit),
        cmocka_unit_test(without_memory_it_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
