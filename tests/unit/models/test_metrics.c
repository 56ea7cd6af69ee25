#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/plugin.h"
#include "models/metrics.h"
#include "tests/unit/starve.h"

static weir_metrics_regression regression(const double *label, const double *score, const double *weight, int64_t n) {
    weir_metrics_regression m;
    weir_err err;
    weir_outcomes o = {.row_count = n, .label = label, .score = score, .weight = weight};
    if (weir_measure_regression(&o, &m, &err) != WEIR_OK) fail_msg("%s", err.message);
    return m;
}

/* Errors 1, −1, 2, 0 of labels 2, 0, 4, 6 (mean 3): squares 6 of 20; mean error ½, their variance 1.25 of 5. */
static void errors_of_values_are_as_worked_by_hand(void **state) {
    (void)state;
    const double label[] = {2, 0, 4, NAN, 6}, score[] = {1, 1, 2, NAN, 6};
    weir_metrics_regression m = regression(label, score, NULL, 5);
    assert_int_equal(m.rows, 4);
    assert_int_equal(m.rows_of_zero, 1);
    assert_float_equal(m.rmse, sqrt(1.5), 1e-15);
    assert_float_equal(m.mae, 1, 1e-15);
    assert_float_equal(m.mape, (0.5 + 0.5 + 0) / 3, 1e-15);
    assert_float_equal(m.smape, (2.0 / 3 + 2 + 4.0 / 6 + 0) / 4, 1e-15);
    assert_float_equal(m.r2, 1 - 6.0 / 20, 1e-15);
    assert_float_equal(m.explained_variance, 1 - 1.25 / 5, 1e-15);
    assert_float_equal(m.median_absolute_error, 1, 1e-15);
    assert_float_equal(m.max_error, 2, 1e-15);
}

static void the_median_of_an_even_count_is_between_two(void **state) {
    (void)state;
    const double label[] = {10, 3, 1, 2}, zero[] = {0, 0, 0, 0}, weight[] = {1, 2, 1, 2};
    assert_float_equal(regression(label, zero, NULL, 4).median_absolute_error, 2.5, 1e-15);
    assert_float_equal(regression(label, zero, weight, 4).median_absolute_error, 2.5, 1e-15);
    assert_float_equal(regression(label, zero, weight, 3).median_absolute_error, 3, 1e-15);
}

static void a_weight_counts_as_that_many_rows(void **state) {
    (void)state;
    const double label[] = {2, 0, 4, 6, 5}, score[] = {1, 1, 2, 6, 99}, weight[] = {3, 1, 2, 1, 0};
    const double repeated[] = {2, 2, 2, 0, 4, 4, 6}, repeated_score[] = {1, 1, 1, 1, 2, 2, 6};
    weir_metrics_regression a = regression(label, score, weight, 5), b = regression(repeated, repeated_score, NULL, 7);
    assert_float_equal(a.rmse, b.rmse, 1e-15);
    assert_float_equal(a.mape, b.mape, 1e-15);
    assert_float_equal(a.smape, b.smape, 1e-15);
    assert_float_equal(a.r2, b.r2, 1e-15);
    assert_float_equal(a.explained_variance, b.explained_variance, 1e-15);
    assert_float_equal(a.median_absolute_error, b.median_absolute_error, 1e-15);
    assert_float_equal(a.max_error, b.max_error, 1e-15);
}

static void degenerate_values_have_the_stated_results(void **state) {
    (void)state;
    const double constant[] = {3, 3}, off[] = {3, 4}, zero[] = {0, 0};
    assert_true(regression(constant, constant, NULL, 2).r2 == 1);
    assert_true(regression(constant, off, NULL, 2).r2 == 0);
    assert_true(isnan(regression(constant, off, NULL, 1).r2));
    assert_true(isnan(regression(zero, off, NULL, 2).mape));
    assert_true(regression(zero, zero, NULL, 2).smape == 0);
    const double huge[] = {1.5e308, 1}, tiny[] = {1e-320, 1};
    weir_metrics_regression m = regression(huge, zero, NULL, 2);
    assert_true(isfinite(m.rmse) && m.smape == 2 && m.max_error == 1.5e308);
    assert_true(isfinite(regression(tiny, zero, NULL, 2).r2));
}

/* Labels 0 0 1 1 2, called 0 1 1 1 0: class 2 is never called, class 3 does not occur at all. */
static void classes_are_as_worked_by_hand(void **state) {
    (void)state;
    const double label[] = {0, 0, 1, 1, 2, NAN};
    const double score[] = {0.7, 0.1, 0.1, 0.1, 0.2, 0.4, 0.3, 0.1, 0.1, 0.8, 0.1, 0, 0.2, 0.5, 0.2, 0.1, 0.5, 0.1, 0.4, 0, NAN, 0, 0, 0};
    weir_outcomes o = {.row_count = 6, .class_count = 4, .label = label, .score = score};
    weir_metrics_classes m;
    assert_int_equal(weir_measure_classes(&o, &m, NULL), WEIR_OK);
    assert_int_equal(m.rows, 5);
    const double confusion[16] = {1, 1, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    for (int i = 0; i < 16; i++) assert_true(m.confusion[i] == confusion[i]);
    assert_float_equal(m.accuracy, 0.6, 1e-15);
    assert_float_equal(m.precision_macro, (0.5 + 2.0 / 3 + 0) / 3, 1e-15);
    assert_float_equal(m.recall_macro, (0.5 + 1 + 0) / 3, 1e-15);
    assert_float_equal(m.f1_macro, (0.5 + 0.8 + 0) / 3, 1e-15);
    assert_float_equal(m.f1_weighted, (2 * 0.5 + 2 * 0.8 + 0) / 5, 1e-15);
    assert_float_equal(m.log_loss, -(log(0.7) + log(0.2) + log(0.8) + log(0.5) + log(0.4)) / 5, 1e-15);
    assert_float_equal(m.cohen_kappa, (0.6 - (2 * 2 + 2 * 3 + 0) / 25.0) / (1 - 10 / 25.0), 1e-15);
    assert_float_equal(m.classes[0].auc, 4.5 / 6, 1e-15); /* 0.7 above 0.1, 0.2 and 0.5; 0.2 above one of them and level with one */
    assert_true(isnan(m.classes[3].auc));
    weir_metrics_classes_done(&m);
    assert_null(m.confusion);
}

static void scores_that_are_no_probabilities_have_no_log_loss(void **state) {
    (void)state;
    const double label[] = {0, 1}, score[] = {0.5, 0.6, 0.1, 0.9};
    weir_outcomes o = {.row_count = 2, .class_count = 2, .label = label, .score = score};
    weir_metrics_classes m;
    assert_int_equal(weir_measure_classes(&o, &m, NULL), WEIR_OK);
    assert_true(isnan(m.log_loss));
    weir_metrics_classes_done(&m);
}

static void one_class_alone_has_neither_auc_nor_kappa(void **state) {
    (void)state;
    const double label[] = {1, 1, 1}, score[] = {0.1, 0.9, 0.2, 0.8, 0.3, 0.7}, weight[] = {0.1, 0.2, 0.7};
    weir_outcomes o = {.row_count = 3, .class_count = 2, .label = label, .score = score, .weight = weight};
    weir_metrics_classes m;
    assert_int_equal(weir_measure_classes(&o, &m, NULL), WEIR_OK);
    assert_true(m.accuracy == 1 && m.f1_macro == 1 && isnan(m.auc_macro) && isnan(m.cohen_kappa));
    weir_metrics_classes_done(&m);
}

/* Called: 0.9 (+), 0.6 (−), 0.6 (+); passed: 0.4 (+), 0.1 (−). */
static void decisions_are_as_worked_by_hand(void **state) {
    (void)state;
    const double label[] = {1, 0, 1, 1, 0}, score[] = {0.9, 0.6, 0.6, 0.4, 0.1};
    weir_outcomes o = {.row_count = 5, .label = label, .score = score, .threshold = 0.6, .k = 2};
    weir_metrics_decisions m;
    assert_int_equal(weir_measure_decisions(&o, &m, NULL), WEIR_OK);
    assert_true(m.true_positive == 2 && m.false_positive == 1 && m.true_negative == 1 && m.false_negative == 1);
    assert_float_equal(m.balanced_accuracy, (2.0 / 3 + 0.5) / 2, 1e-15);
    assert_float_equal(m.mcc, (2 * 1 - 1 * 1) / sqrt(3.0 * 3 * 2 * 2), 1e-15);
    assert_float_equal(m.precision_at_k, 1.5 / 2, 1e-15); /* the second place is shared by a positive and a negative */
    o.k = 99;
    assert_int_equal(weir_measure_decisions(&o, &m, NULL), WEIR_OK);
    assert_float_equal(m.precision_at_k, 0.6, 1e-15);
    o.threshold = 2;
    o.k = 0;
    assert_int_equal(weir_measure_decisions(&o, &m, NULL), WEIR_OK);
    assert_true(m.mcc == 0 && m.balanced_accuracy == 0.5 && isnan(m.precision_at_k));
    o.row_count = 1;
    assert_int_equal(weir_measure_decisions(&o, &m, NULL), WEIR_OK);
    assert_true(isnan(m.balanced_accuracy));
}

static void every_metric_is_described_and_measured(void **state) {
    (void)state;
    const double label[] = {0, 1, 1}, score[] = {0.2, 0.7, 0.4}, classes[] = {0.8, 0.2, 0.3, 0.7, 0.6, 0.4}, weight[] = {1, 2, 1};
    for (int i = 0; weir_model_metric_at(i); i++) {
        const weir_model_metric *m = weir_model_metric_at(i);
        double value = NAN;
        weir_err err;
        weir_outcomes o = {
            .row_count = 3, .class_count = 2, .label = label, .score = m->task == WEIR_TASK_MULTICLASS ? classes : score, .threshold = 0.5, .k = 2};
        assert_int_equal(m->abi, WEIR_METRIC_ABI);
        assert_non_null(m->doc);
        assert_ptr_equal(weir_model_metric_find(m->task, m->name), m);
        if (weir_model_metric_measure(m, &o, &value, &err) != WEIR_OK) fail_msg("%s: %s", m->name, err.message);
        assert_true(isfinite(value));
        o.weight = weight;
        value = -77;
        assert_int_equal(weir_model_metric_measure(m, &o, &value, &err), m->weighted ? WEIR_OK : WEIR_EINVAL);
        assert_true((value == -77) == !m->weighted);
    }
    assert_null(weir_model_metric_find(WEIR_TASK_BINARY, "rmse"));
    assert_null(weir_model_metric_find(WEIR_TASK_REGRESSION, "rms"));
    assert_false(weir_model_metric_find(WEIR_TASK_REGRESSION, "rmse")->greater_is_better);
    assert_true(weir_model_metric_find(WEIR_TASK_MULTICLASS, "f1_macro")->greater_is_better);
}

/* Perfect predictions are never worse than poor ones, in the direction that the table tells. */
static void the_table_knows_which_way_is_better(void **state) {
    (void)state;
    const double label[] = {0, 1, 1, 0}, good[] = {0, 1, 1, 0}, poor[] = {0.8, 0.3, 0.1, 0.9}, good_classes[] = {1, 0, 0, 1, 0, 1, 1, 0},
                 poor_classes[] = {0.2, 0.8, 0.7, 0.3, 0.9, 0.1, 0.1, 0.9};
    for (int i = 0; weir_model_metric_at(i); i++) {
        const weir_model_metric *m = weir_model_metric_at(i);
        bool classes = m->task == WEIR_TASK_MULTICLASS;
        weir_outcomes o = {.row_count = 4, .class_count = 2, .label = label, .score = classes ? good_classes : good, .threshold = 0.5, .k = 2};
        double best, worst;
        assert_int_equal(weir_model_metric_measure(m, &o, &best, NULL), WEIR_OK);
        o.score = classes ? poor_classes : poor;
        assert_int_equal(weir_model_metric_measure(m, &o, &worst, NULL), WEIR_OK);
        if (m->greater_is_better ? best <= worst : best >= worst) fail_msg("%s: %g for good predictions, %g for poor ones", m->name, best, worst);
    }
}

static void expect_refusal(weir_outcomes o, weir_task task, weir_status code, const char *message) {
    for (int i = 0; weir_model_metric_at(i); i++) {
        const weir_model_metric *m = weir_model_metric_at(i);
        double value = -77;
        weir_err err;
        if (m->task != task || (o.weight && !m->weighted)) continue;
        assert_int_equal(weir_model_metric_measure(m, &o, &value, &err), code);
        if (!strstr(err.message, message)) fail_msg("%s: \"%s\" does not say \"%s\"", m->name, err.message, message);
        assert_true(value == -77);
    }
}

static void rows_that_cannot_be_measured_are_refused(void **state) {
    (void)state;
    const double label[] = {0, 1}, halves[] = {0, 0.5}, endless[] = {0, INFINITY}, none[] = {NAN, NAN}, three[] = {0, 3};
    const double score[] = {0.5, 0.5, 0.5, 0.5}, broken[] = {0.5, NAN, 0.5, 0.5}, negative[] = {1, -1}, zero[] = {0, 0};
    weir_outcomes good = {.row_count = 2, .class_count = 2, .label = label, .score = score, .threshold = 0.5}, o;
    for (int task = WEIR_TASK_BINARY; task <= WEIR_TASK_REGRESSION; task++) {
        o = good, o.score = broken;
        expect_refusal(o, (weir_task)task, WEIR_ENUMERIC, "is nan, expected a finite number");
        o = good, o.label = none;
        expect_refusal(o, (weir_task)task, WEIR_EDATA, "none of the 2 rows");
        o = good, o.row_count = 0;
        expect_refusal(o, (weir_task)task, WEIR_EDATA, "none of the 0 rows");
        o = good, o.label = endless;
        expect_refusal(o, (weir_task)task, WEIR_EDATA, "label of row 1 is inf");
        o = good, o.weight = negative;
        expect_refusal(o, (weir_task)task, WEIR_EDATA, "weight of row 1 is -1");
        o = good, o.weight = zero;
        expect_refusal(o, (weir_task)task, WEIR_EDATA, "none of the 2 rows");
        if (task == WEIR_TASK_REGRESSION) continue;
        o = good, o.label = halves;
        expect_refusal(o, (weir_task)task, WEIR_EDATA, "label of row 1 is 0.5, expected a whole number from 0 to 1");
        o = good, o.label = three;
        expect_refusal(o, (weir_task)task, WEIR_EDATA, "label of row 1 is 3");
    }
    o = good, o.class_count = 1;
    expect_refusal(o, WEIR_TASK_MULTICLASS, WEIR_EINVAL, "1 classes, expected 2 to 1000");
    const double huge[] = {-1e308, -1e308}, opposite[] = {1e308, 1};
    o = good, o.label = opposite, o.score = huge;
    expect_refusal(o, WEIR_TASK_REGRESSION, WEIR_ENUMERIC, "larger than a double");
    weir_metrics_decisions m;
    o = good, o.threshold = NAN;
    assert_int_equal(weir_measure_decisions(&o, &m, NULL), WEIR_EINVAL);
    o = good, o.k = -1;
    assert_int_equal(weir_measure_decisions(&o, &m, NULL), WEIR_EINVAL);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    const double label[] = {0, 1, 1}, score[] = {0.2, 0.8, 0.7, 0.3, 0.4, 0.6};
    weir_outcomes o = {.row_count = 3, .class_count = 2, .label = label, .score = score, .threshold = 0.5, .k = 1};
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    int failures = 0, wrong = 0;
    for (int i = 0; weir_model_metric_at(i); i++) {
        const weir_model_metric *m = weir_model_metric_at(i);
        for (int n = 0;; n++) {
            double value;
            allocations_left = n;
            weir_status status = weir_model_metric_measure(m, &o, &value, NULL);
            wrong += status != WEIR_OK && status != WEIR_ENOMEM;
            if (status != WEIR_ENOMEM) break;
            failures++;
        }
    }
    weir_mem = before;
    assert_int_equal(wrong, 0);
    assert_true(failures > 30);
}

/* With those of the example plugin, which have the same to keep. */
static int load_plugin(void **state) {
    (void)state;
    weir_err err;
    if (weir_plugin_load(WEIR_PLUGINS_DIR "/pinball.so", &err) != WEIR_OK) fail_msg("%s", err.message);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_values_are_as_worked_by_hand),
        cmocka_unit_test(the_median_of_an_even_count_is_between_two),
        cmocka_unit_test(a_weight_counts_as_that_many_rows),
        cmocka_unit_test(degenerate_values_have_the_stated_results),
        cmocka_unit_test(classes_are_as_worked_by_hand),
        cmocka_unit_test(scores_that_are_no_probabilities_have_no_log_loss),
        cmocka_unit_test(one_class_alone_has_neither_auc_nor_kappa),
        cmocka_unit_test(decisions_are_as_worked_by_hand),
        cmocka_unit_test(every_metric_is_described_and_measured),
        cmocka_unit_test(the_table_knows_which_way_is_better),
        cmocka_unit_test(rows_that_cannot_be_measured_are_refused),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, load_plugin, NULL);
}
