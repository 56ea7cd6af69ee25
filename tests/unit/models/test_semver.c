/* Semantic versions: their text, their order, and the rule that chooses the next one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "models/semver.h"

static void texts_are_three_numbers_and_nothing_else(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        "1",
                                        "1.2",
                                        "1.2.",
                                        "1.2.3.4",
                                        "1.2.3-rc1",
                                        "01.2.3",
                                        "1.02.3",
                                        " 1.2.3",
                                        "1.2.3 ",
                                        "V1.2.3",
                                        "vv1.2.3",
                                        "-1.2.3",
                                        "1..3",
                                        "latest",
                                        "1.2.1000000000",
                                        "99999999999999999999.0.0"};
    weir_semver v = {7, 7, 7};
    char text[WEIR_SEMVER_TEXT_MAX];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(weir_semver_parse(wrong[i], &v));
        assert_int_equal(v.major, 7);
    }
    assert_true(weir_semver_parse("v1.20.300", &v));
    assert_true(v.major == 1 && v.minor == 20 && v.patch == 300);
    assert_true(weir_semver_parse("0.0.999999999", &v));
    assert_string_equal(weir_semver_format(&v, text), "0.0.999999999");
}

static void order_is_by_number_not_by_text(void **state) {
    (void)state;
    static const char *const ascending[] = {"0.0.1", "0.0.10", "0.2.0", "0.10.0", "1.0.0", "1.0.2", "2.0.0", "10.0.0"};
    for (size_t i = 0; i < sizeof ascending / sizeof *ascending; i++) {
        for (size_t j = 0; j < sizeof ascending / sizeof *ascending; j++) {
            weir_semver a, b;
            assert_true(weir_semver_parse(ascending[i], &a) && weir_semver_parse(ascending[j], &b));
            int order = weir_semver_compare(&a, &b);
            assert_true(i < j ? order < 0 : i > j ? order > 0 : order == 0);
        }
    }
}

static void a_step_resets_what_is_below_it(void **state) {
    (void)state;
    const weir_semver v = {1, 2, 3};
    weir_semver next = weir_semver_next(&v, WEIR_SEMVER_PATCH);
    assert_true(next.major == 1 && next.minor == 2 && next.patch == 4);
    next = weir_semver_next(&v, WEIR_SEMVER_MINOR);
    assert_true(next.major == 1 && next.minor == 3 && next.patch == 0);
    next = weir_semver_next(&v, WEIR_SEMVER_MAJOR);
    assert_true(next.major == 2 && next.minor == 0 && next.patch == 0);
}

#define INPUTS(list) "{\"inputs\": [" list "], \"target\": {\"name\": \"y\", \"classes\": [\"0\", \"1\"]}, \"output\": {\"name\": \"probability\"}}"
#define A "{\"name\": \"a\", \"type\": \"double\", \"min\": 0, \"max\": 1}"
#define A_WIDER "{\"name\": \"a\", \"type\": \"double\", \"min\": -5, \"max\": 9}"
#define A_TEXT "{\"name\": \"a\", \"type\": \"category\", \"categories\": [\"x\"]}"
#define A_MORE_TEXTS "{\"name\": \"a\", \"type\": \"category\", \"categories\": [\"w\", \"x\"]}"
#define B "{\"name\": \"b\", \"type\": \"double\"}"
#define LINEAGE "{\"params\": {\"depth\": 3}, \"seed\": 1, \"datasets\": [{\"dataset\": \"c.s.train\", \"version\": 1, \"digest\": \"x\"}]}"

/* Each row changes one thing of the first version. */
static void the_rule_names_the_change(void **state) {
    (void)state;
    static const struct {
        const char *algorithm, *features, *before, *after, *lineage;
        weir_semver_change change;
        const char *why;
    } rows[] = {
        {"logistic", "f", INPUTS(A "," B), INPUTS(A "," B), LINEAGE, WEIR_SEMVER_PATCH, "again"},
        {"logistic", "f", INPUTS(A "," B), INPUTS(A_WIDER "," B), LINEAGE, WEIR_SEMVER_PATCH, "again"},
        {"logistic", "f", INPUTS(A_TEXT), INPUTS(A_MORE_TEXTS), LINEAGE, WEIR_SEMVER_PATCH, "again"},
        {"logistic", "f", INPUTS(A "," B), INPUTS(A "," B),
         "{\"params\": {\"depth\": 3}, \"seed\": 2, \"datasets\": [{\"dataset\": \"c.s.train\", \"version\": 2, \"digest\": \"y\"}]}", WEIR_SEMVER_PATCH,
         "again"},
        {"logistic", "f", INPUTS(A "," B), INPUTS(B), LINEAGE, WEIR_SEMVER_MINOR, "fewer"},
        {"logistic", "f", INPUTS(A "," B), INPUTS(B "," A), LINEAGE, WEIR_SEMVER_MINOR, "order"},
        {"logistic", "g", INPUTS(A), INPUTS(A), LINEAGE, WEIR_SEMVER_MINOR, "features"},
        {"xgboost", "f", INPUTS(A), INPUTS(A), LINEAGE, WEIR_SEMVER_MINOR, "algorithm"},
        {"logistic", "f", INPUTS(A), INPUTS(A), "{\"params\": {\"depth\": 4}, \"datasets\": [{\"dataset\": \"c.s.train\"}]}", WEIR_SEMVER_MINOR, "parameters"},
        {"logistic", "f", INPUTS(A), INPUTS(A), "{\"params\": {\"depth\": 3, \"baseline_f1\": 0.9}, \"datasets\": [{\"dataset\": \"c.s.train\"}]}",
         WEIR_SEMVER_PATCH, "again"},
        {"logistic", "f", INPUTS(A), INPUTS(A), "{\"params\": {\"depth\": 3, \"eta\": 1}, \"datasets\": [{\"dataset\": \"c.s.train\"}]}", WEIR_SEMVER_MINOR,
         "parameters"},
        {"logistic", "f", INPUTS(A), INPUTS(A), "{\"params\": {}, \"datasets\": [{\"dataset\": \"c.s.train\"}]}", WEIR_SEMVER_MINOR, "parameters"},
        {"logistic", "f", INPUTS(A), INPUTS(A), "{\"params\": {\"depth\": 3}, \"datasets\": [{\"dataset\": \"c.s.other\"}]}", WEIR_SEMVER_MINOR, "data set"},
        {"logistic", "f", INPUTS(A), INPUTS(A), "{\"params\": {\"depth\": 3}, \"preprocessing\": [], \"datasets\": [{\"dataset\": \"c.s.train\"}]}",
         WEIR_SEMVER_MINOR, "preprocessing"},
        {"logistic", "f", INPUTS(A), INPUTS(A "," B), LINEAGE, WEIR_SEMVER_MAJOR, "needs"},
        {"logistic", "f", INPUTS(A), INPUTS(A_TEXT), LINEAGE, WEIR_SEMVER_MAJOR, "type"},
        {"logistic", "f", INPUTS(A), "{\"inputs\": [" A "], \"target\": {\"name\": \"z\"}, \"output\": {\"name\": \"probability\"}}", LINEAGE,
         WEIR_SEMVER_MAJOR, "target"},
        {"logistic", "f", INPUTS(A), "{\"inputs\": [" A "], \"target\": {\"name\": \"y\", \"classes\": [\"0\", \"1\"]}, \"output\": {\"name\": \"value\"}}",
         LINEAGE, WEIR_SEMVER_MAJOR, "output"},
        {"xgboost", "g", INPUTS(A), INPUTS(A "," B), "{}", WEIR_SEMVER_MAJOR, "needs"}, /* the greatest change counts */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cJSON *before = cJSON_Parse(rows[i].before), *after = cJSON_Parse(rows[i].after), *old = cJSON_Parse(LINEAGE), *lineage = cJSON_Parse(rows[i].lineage);
        assert_true(before && after && old && lineage);
        const weir_semver_facts was = {"logistic", "f", before, old}, is = {rows[i].algorithm, rows[i].features, after, lineage};
        const char *why = NULL;
        if (weir_semver_change_of(&was, &is, &why) != rows[i].change || !strstr(why, rows[i].why)) fail_msg("row %zu: %s", i, why);
        cJSON_Delete(before);
        cJSON_Delete(after);
        cJSON_Delete(old);
        cJSON_Delete(lineage);
    }
    const weir_semver_facts nothing = {0};
    assert_int_equal(weir_semver_change_of(&nothing, &nothing, NULL), WEIR_SEMVER_PATCH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_three_numbers_and_nothing_else),
        cmocka_unit_test(order_is_by_number_not_by_text),
        cmocka_unit_test(a_step_resets_what_is_below_it),
        cmocka_unit_test(the_rule_names_the_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
