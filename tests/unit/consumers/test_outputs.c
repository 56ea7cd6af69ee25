/* What stands for a row where a model gives several scores: against models that were fitted here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/outputs.h"

static const double values[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
static const char *const columns[] = {"x"};

static weir_model *fit(weir_task task, const double *labels, int class_count, const char *const *names) {
    const weir_matrix train = {.row_count = 9,
                               .column_count = 1,
                               .values = values,
                               .label = labels,
                               .column_names = columns,
                               .task = task,
                               .class_count = class_count,
                               .class_names = names};
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_err err = {0};
    if (weir_model_fit("logistic", NULL, NULL, &train, "hash", 1, 1, &artifact, &err)) fail_msg("%s", err.message);
    if (weir_model_load(artifact.data, artifact.len, &model, &err)) fail_msg("%s", err.message);
    weir_buf_done(&artifact);
    return model;
}

static weir_model *of_three(const char *const *names) {
    static const double labels[] = {0, 1, 0, 1, 2, 1, 2, 2, 0};
    return fit(WEIR_TASK_MULTICLASS, labels, 3, names);
}

static void the_highest_score_is_the_class(void **state) {
    (void)state;
    static const char *const names[] = {"normal", "a \"wide\" bay", "lost"};
    static const double scores[] = {0.2, 0.5, 0.3}, ties[] = {0.4, 0.2, 0.4};
    weir_model *model = of_three(names);
    int class;
    char number[16];
    assert_true(weir_outputs_score(model, scores, &class) == 0.5 && class == 1);
    assert_true(weir_outputs_score(model, ties, &class) == 0.4 && class == 0);
    const weir_datum name = weir_outputs_class(model, 1, number);
    assert_true(name.len == strlen(names[1]) && !memcmp(name.p, names[1], name.len));
    weir_buf text = {0};
    assert_true(weir_outputs_json(model, scores, &text));
    assert_string_equal(text.data, "{\"normal\":0.20000000000000001,\"a \\\"wide\\\" bay\":0.5,\"lost\":0.29999999999999999}");
    weir_buf_done(&text);
    weir_model_free(model);
}

static void classes_without_names_have_numbers(void **state) {
    (void)state;
    static const double scores[] = {0, 0, 1};
    weir_model *model = of_three(NULL);
    int class;
    char number[16];
    assert_true(weir_outputs_score(model, scores, &class) == 1 && class == 2);
    const weir_datum name = weir_outputs_class(model, class, number);
    assert_true(name.len == 1 && name.p[0] == '2');
    weir_buf text = {0};
    assert_true(weir_outputs_json(model, scores, &text));
    assert_string_equal(text.data, "{\"0\":0,\"1\":0,\"2\":1}");
    weir_buf_done(&text);
    weir_model_free(model);
}

static void one_score_that_is_not_finite_spoils_the_row(void **state) {
    (void)state;
    static const double scores[][3] = {{0.2, NAN, 0.3}, {INFINITY, 0, 0}, {0.5, 0.4, -INFINITY}};
    weir_model *model = of_three(NULL);
    for (int i = 0; i < 3; i++) {
        int class = 7;
        assert_true(isnan(weir_outputs_score(model, scores[i], &class)) && class == -1);
    }
    weir_model_free(model);
}

static void a_single_score_is_taken_as_it_is(void **state) {
    (void)state;
    static const double labels[] = {0, 1, 0, 1, 0, 1, 1, 1, 0}, score = 0.7, nan = NAN;
    weir_model *model = fit(WEIR_TASK_BINARY, labels, 0, NULL);
    int class;
    char number[16];
    assert_true(weir_outputs_score(model, &score, &class) == 0.7 && class == -1);
    assert_true(isnan(weir_outputs_score(model, &nan, &class)));
    assert_int_equal(weir_outputs_class(model, class, number).type, WEIR_T_NULL);
    weir_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_score_is_the_class),
        cmocka_unit_test(classes_without_names_have_numbers),
        cmocka_unit_test(one_score_that_is_not_finite_spoils_the_row),
        cmocka_unit_test(a_single_score_is_taken_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
