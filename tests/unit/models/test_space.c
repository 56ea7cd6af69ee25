#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/space.h"
#include "tests/unit/starve.h"

static weir_space *space_of(const char *text) {
    cJSON *json = cJSON_Parse(text);
    weir_space *space = NULL;
    weir_err err;
    assert_non_null(json);
    if (weir_space_new(json, "$.space", &space, &err) != WEIR_OK) fail_msg("%s", err.message);
    cJSON_Delete(json); /* the space has its own copy */
    return space;
}

static void every_kind_of_parameter_is_read(void **state) {
    (void)state;
    weir_space *space =
        space_of("{\"max_depth\": {\"int\": [2, 10]}, \"eta\": {\"float\": [0.01, 0.3], \"log\": true}, \"subsample\": {\"float\": [0.5, 1.0], \"step\": 0.1},"
                 " \"kernel\": {\"choice\": [\"rbf\", \"linear\"]}, \"n\": {\"int\": [1, 1024], \"log\": true}, \"grid\": [5, 10, 15, null], \"odd\": "
                 "{\"int\": [1, 10], \"step\": 4}}");
    const char *names[] = {"eta", "grid", "kernel", "max_depth", "n", "odd", "subsample"};
    const int64_t counts[] = {0, 4, 2, 9, 1024, 3, 6};
    assert_int_equal(weir_space_size(space), 7);
    for (int i = 0; i < 7; i++) {
        assert_string_equal(weir_space_at(space, i)->name, names[i]);
        assert_int_equal(weir_param_count(weir_space_at(space, i)), counts[i]);
    }
    assert_true(weir_space_at(space, 0)->log && weir_space_at(space, 4)->log && !weir_space_at(space, 3)->log);
    assert_true(weir_space_at(space, 5)->high == 9); /* 1, 5, 9 */
    weir_space_free(space);
}

static void parents_stand_before_what_depends_on_them(void **state) {
    (void)state;
    weir_space *space = space_of(
        "{\"a\": {\"int\": [2, 5], \"when\": {\"c\": [\"p\", null]}}, \"b\": {\"choice\": [1, 2], \"when\": {\"z\": [true]}}, \"c\": [\"p\", \"q\", null],"
        " \"d\": {\"float\": [0, 1], \"when\": {\"b\": [2], \"c\": [\"q\"]}}, \"z\": [true, false]}");
    const char *names[] = {"c", "a", "z", "b", "d"};
    for (int i = 0; i < 5; i++) assert_string_equal(weir_space_at(space, i)->name, names[i]);
    double point[5] = {2, NAN, 0, 1, NAN}; /* c = null, z = true, b = 2 */
    assert_true(weir_space_active(space, 1, point) && weir_space_active(space, 3, point) && !weir_space_active(space, 4, point));
    point[0] = 1; /* c = q */
    assert_true(!weir_space_active(space, 1, point) && weir_space_active(space, 4, point));
    point[3] = NAN; /* b is not there, so what depends on it is not */
    assert_false(weir_space_active(space, 4, point));
    weir_space_free(space);
}

static void a_bad_space_is_refused_with_path_found_and_expected(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "$.space: found an array of 0, expected an object of 1 to 64 parameters"},
        {"{}", "$.space: found an object of 0, expected an object of 1 to 64 parameters"},
        {"{\"a\": 5}", "$.space.a: found a number, expected an object or an array of values"},
        {"{\"a\": {}}", "$.space.a: found 0 of 'int', 'float' and 'choice', expected exactly one"},
        {"{\"a\": {\"int\": [1, 2], \"float\": [1, 2]}}", "$.space.a: found 2 of 'int', 'float' and 'choice', expected exactly one"},
        {"{\"a\": {\"flaot\": [1, 2]}}", "$.space.a.flaot: unknown key; did you mean 'float'?"},
        {"{\"a\": {\"int\": [1, 2], \"int\": [1, 3]}}", "$.space.a.int: the key is there twice"},
        {"{\"a\": [1], \"a\": [2]}", "$.space.a: the key is there twice"},
        {"{\"\": [1]}", "$.space: found an empty name, expected the name of a parameter"},
        {"{\"a\": {\"int\": 5}}", "$.space.a.int: found a number of 0, expected [low, high]"},
        {"{\"a\": {\"int\": [1, 2, 3]}}", "$.space.a.int: found an array of 3, expected [low, high]"},
        {"{\"a\": {\"int\": [1, 2.5]}}", "$.space.a.int: found 2.5, expected a whole number up to 10^15"},
        {"{\"a\": {\"int\": [1, 1e17]}}", "$.space.a.int: found 1e+17, expected a whole number up to 10^15"},
        {"{\"a\": {\"float\": [1, 1e999]}}", "$.space.a.float: found inf, expected a finite number"},
        {"{\"a\": {\"float\": [-1e308, 1e308]}}", "$.space.a.float: found [-1e+308, 1e+308], expected a finite range"},
        {"{\"a\": {\"float\": [\"1\", 2]}}", "$.space.a.float: found a string, expected a finite number"},
        {"{\"a\": {\"float\": [2, 1]}}", "$.space.a.float: found [2, 1], expected low ≤ high"},
        {"{\"a\": {\"float\": [0, 1], \"log\": true}}", "$.space.a: found a low of 0, expected more than 0 for a logarithmic scale"},
        {"{\"a\": {\"int\": [0, 9], \"log\": true}}", "$.space.a: found a low of 0, expected at least 1 for a logarithmic scale"},
        {"{\"a\": {\"int\": [1, 9], \"log\": 1}}", "$.space.a.log: found a number, expected true or false"},
        {"{\"a\": {\"int\": [1, 9], \"log\": true, \"step\": 2}}", "$.space.a.step: found a step and a logarithmic scale, expected one of them"},
        {"{\"a\": {\"int\": [1, 9], \"step\": 0}}", "$.space.a.step: found 0, expected more than 0 and at most 1e+09 steps"},
        {"{\"a\": {\"int\": [1, 9], \"step\": 0.5}}", "$.space.a.step: found 0.5, expected a whole number up to 10^15"},
        {"{\"a\": {\"float\": [0, 1], \"step\": -0.1}}", "$.space.a.step: found -0.1, expected more than 0 and at most 1e+09 steps"},
        {"{\"a\": {\"float\": [0, 1], \"step\": 1e-12}}", "$.space.a.step: found 1e-12, expected more than 0 and at most 1e+09 steps"},
        {"{\"a\": {\"choice\": []}}", "$.space.a.choice: found an array of 0, expected an array of 1 to 1024 values"},
        {"{\"a\": {\"choice\": [1], \"log\": true}}", "$.space.a.log: a choice has no scale"},
        {"{\"a\": [1, \"x\", 1]}", "$.space.a[2]: the same value as [0], expected each once"},
        {"{\"a\": {\"choice\": [1], \"when\": []}}", "$.space.a.when: found an array of 0, expected an object of 1 to 8 conditions"},
        {"{\"a\": {\"choice\": [1], \"when\": {\"kernal\": [1]}}, \"kernel\": [1, 2]}",
         "$.space.a.when.kernal: there is no such parameter; did you mean 'kernel'?"},
        {"{\"a\": {\"choice\": [1], \"when\": {\"b\": [1]}}, \"b\": {\"int\": [1, 2]}}", "$.space.a.when.b: 'b' is a range of numbers, expected a choice"},
        {"{\"a\": {\"choice\": [1], \"when\": {\"b\": [1, 3]}}, \"b\": [1, 2]}", "$.space.a.when.b[1]: this value is not among the choices of 'b'"},
        {"{\"a\": {\"choice\": [1], \"when\": {\"b\": 1}}, \"b\": [1, 2]}", "$.space.a.when.b: found a number of 0, expected an array of values"},
        {"{\"a\": {\"choice\": [1], \"when\": {\"a\": [1]}}}", "$.space.a.when: the conditions of parameters run in a circle"},
        {"{\"a\": {\"choice\": [1], \"when\": {\"b\": [1]}}, \"b\": {\"choice\": [1], \"when\": {\"a\": [1]}}}",
         "$.space.a.when: the conditions of parameters run in a circle"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = cJSON_Parse(cases[i].text);
        weir_space *space = NULL;
        weir_err err;
        assert_non_null(json);
        assert_int_equal(weir_space_new(json, "$.space", &space, &err), WEIR_EINVAL);
        assert_string_equal(err.message, cases[i].message);
        assert_null(space);
        cJSON_Delete(json);
    }
    weir_err err;
    weir_space *space = NULL;
    assert_int_equal(weir_space_new(NULL, "$.space", &space, &err), WEIR_EINVAL);
}

static void values_snap_to_bounds_and_steps(void **state) {
    (void)state;
    weir_space *space = space_of("{\"f\": {\"float\": [0.1, 0.75], \"step\": 0.1}, \"i\": {\"int\": [-3, 9], \"step\": 3}, \"x\": {\"float\": [0, 1]}}");
    const weir_param *f = weir_space_at(space, 0), *i = weir_space_at(space, 1), *x = weir_space_at(space, 2);
    assert_true(weir_param_snap(f, 0.31) == 0.3 && weir_param_snap(f, 0.9) == 0.7 && weir_param_snap(f, -5) == 0.1);
    assert_true(weir_param_snap(i, 1.4) == 0 && weir_param_snap(i, 1.6) == 3 && weir_param_snap(i, 1e300) == 9);
    assert_true(weir_param_snap(x, 1.0 / 3) == 0.333333333333333 && weir_param_snap(x, 2) == 1);
    weir_space_free(space);
}

static void points_survive_json(void **state) {
    (void)state;
    weir_space *space =
        space_of("{\"c\": [[64, 32], \"p\", null, false], \"n\": {\"int\": [-1000000000000000, 1000000000000000]}, \"x\": {\"float\": [0, 1]}}");
    for (int k = 0; k < 1000; k++) {
        double point[3] = {k % 4, weir_param_snap(weir_space_at(space, 1), (k - 500) * 1999999999999.98),
                           weir_param_snap(weir_space_at(space, 2), fmod(k * 0.6180339887498949, 1))},
               again[3];
        cJSON *params = weir_space_params(space, point);
        char *text = cJSON_PrintUnformatted(params);
        cJSON *parsed = cJSON_Parse(text);
        weir_err err;
        if (weir_space_point(space, parsed, again, &err) != WEIR_OK) fail_msg("%s: %s", text, err.message);
        assert_memory_equal(point, again, sizeof point);
        cJSON_free(text);
        cJSON_Delete(parsed);
        cJSON_Delete(params);
    }
    weir_space_free(space);
}

static void parameters_that_are_no_point_are_refused(void **state) {
    (void)state;
    weir_space *space = space_of("{\"k\": [\"p\", \"q\"], \"n\": {\"int\": [1, 9], \"when\": {\"k\": [\"p\"]}}, \"x\": {\"float\": [0, 1], \"step\": 0.25}}");
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "parameters: found an array, expected an object"},
        {"{\"k\": \"q\"}", "$.x: found nothing, expected a value"},
        {"{\"k\": \"q\", \"x\": 0.5, \"y\": 1}", "parameters: found 3, but 2 of them belong to the search space"},
        {"{\"k\": \"r\", \"x\": 0.5}", "$.k: this value is not among the choices"},
        {"{\"k\": \"q\", \"n\": 1, \"x\": 0.5}", "$.n: found a number, expected nothing"},
        {"{\"k\": \"p\", \"n\": \"1\", \"x\": 0.5}", "$.n: found a string, expected a number"},
        {"{\"k\": \"p\", \"n\": 10, \"x\": 0.5}", "$.n: found 10, expected 1 to 9 in steps"},
        {"{\"k\": \"p\", \"n\": 5, \"x\": 0.6}", "$.x: found 0.59999999999999998, expected 0 to 1 in steps"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = cJSON_Parse(cases[i].text);
        double point[3] = {7, 7, 7};
        weir_err err;
        assert_int_equal(weir_space_point(space, json, point, &err), WEIR_EDATA);
        assert_string_equal(err.message, cases[i].message);
        assert_true(point[0] == 7 && point[1] == 7 && point[2] == 7);
        cJSON_Delete(json);
    }
    weir_space_free(space);
}

static void memory_that_runs_out_leaves_nothing_behind(void **state) {
    (void)state;
    cJSON *json = cJSON_Parse("{\"k\": [\"p\", \"q\"], \"n\": {\"int\": [1, 9], \"when\": {\"k\": [\"p\"]}}}");
    weir_allocator before = weir_mem;
    int tries = 0;
    for (weir_status status = WEIR_ENOMEM; status != WEIR_OK; tries++) {
        weir_space *space = NULL;
        allocations_left = tries;
        weir_mem.realloc = failing_realloc;
        status = weir_space_new(json, "$", &space, NULL);
        weir_mem = before;
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
        weir_space_free(space);
    }
    assert_true(tries > 3);
    cJSON_Delete(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_parameter_is_read),
        cmocka_unit_test(parents_stand_before_what_depends_on_them),
        cmocka_unit_test(a_bad_space_is_refused_with_path_found_and_expected),
        cmocka_unit_test(values_snap_to_bounds_and_steps),
        cmocka_unit_test(points_survive_json),
        cmocka_unit_test(parameters_that_are_no_point_are_refused),
        cmocka_unit_test(memory_that_runs_out_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
