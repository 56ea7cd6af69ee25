#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/random.h"
#include "models/residuals.h"
#include "tests/unit/starve.h"

enum { ROWS = 2000 };

/* Residuals 1, −1, 1, −1 (mean 0, squares all 1): every step is 2, r_1 = −3/4, kurtosis 1 − 3. */
static void alternating_residuals_are_as_worked_by_hand(void **state) {
    (void)state;
    const double label[] = {2, 1, NAN, 4, 3}, prediction[] = {1, 2, NAN, 3, 4};
    weir_residuals t;
    assert_int_equal(weir_residuals_test(label, prediction, 5, 1, &t, NULL), WEIR_OK);
    assert_int_equal(t.rows, 4);
    assert_true(t.mean == 0 && t.skewness == 0 && t.excess_kurtosis == -2);
    assert_float_equal(t.deviation, sqrt(4.0 / 3), 1e-15);
    assert_float_equal(t.durbin_watson, 3 * 4 / 4.0, 1e-15);
    assert_float_equal(t.ljung_box.statistic, 4 * 6 * (0.75 * 0.75 / 3), 1e-14);
    assert_float_equal(t.ljung_box.p, erfc(sqrt(4.5 / 2)), 1e-14);
    assert_float_equal(t.jarque_bera.statistic, 4.0 / 6 * (4 / 4.0), 1e-15);
    assert_float_equal(t.jarque_bera.p, exp(-1.0 / 3), 1e-14);
    assert_true(isnan(t.breusch_pagan.statistic) && isnan(t.breusch_pagan.p)); /* squares do not vary */
}

/* A sum of twelve uniforms is near enough to normal. */
static double noise(uint64_t *random) {
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += (double)(weir_models_random(random) >> 11) * 0x1p-53;
    return sum;
}

static void each_test_finds_what_it_is_for(void **state) {
    (void)state;
    static double label[ROWS], prediction[ROWS];
    for (int kind = 0; kind < 4; kind++) {
        uint64_t random = 11;
        double before = 0;
        for (int r = 0; r < ROWS; r++) {
            prediction[r] = (double)weir_models_random_below(&random, 100);
            double e = noise(&random);
            if (kind == 1) e += 0.3 * before;
            if (kind == 2) e *= 1 + prediction[r] / 50;
            if (kind == 3) e = e * e;
            label[r] = prediction[r] + e;
            before = e;
        }
        weir_residuals t;
        assert_int_equal(weir_residuals_test(label, prediction, ROWS, 5, &t, NULL), WEIR_OK);
        assert_true((t.ljung_box.p < 1e-6) == (kind == 1));
        assert_true((fabs(t.durbin_watson - 2) > 0.3) == (kind == 1 || kind == 3)); /* Durbin–Watson reads a mean other than 0 as autocorrelation */
        assert_true((t.breusch_pagan.p < 1e-6) == (kind == 2));
        assert_true((t.jarque_bera.p < 1e-6) == (kind >= 2));
    }
}

static void constant_residuals_leave_nothing_to_test(void **state) {
    (void)state;
    const double label[] = {1, 2, 3, 4}, exact[] = {1, 2, 3, 4}, off[] = {0.5, 1.5, 2.5, 3.5};
    weir_residuals t;
    assert_int_equal(weir_residuals_test(label, exact, 4, 1, &t, NULL), WEIR_OK);
    assert_true(t.mean == 0 && t.deviation == 0 && isnan(t.durbin_watson) && isnan(t.ljung_box.p) && isnan(t.jarque_bera.p) && isnan(t.skewness));
    assert_int_equal(weir_residuals_test(label, off, 4, 1, &t, NULL), WEIR_OK);
    assert_true(t.mean == 0.5 && t.deviation == 0 && t.durbin_watson == 0 && isnan(t.breusch_pagan.p));
}

static void bad_input_is_refused(void **state) {
    (void)state;
    const double label[] = {1, 2, 3, 5}, prediction[] = {1, 1, 1, 1}, broken[] = {1, NAN, 1, 1}, endless[] = {1, 2, INFINITY, 5}, huge[] = {-1e308, 1, 1, 1},
                 huge_label[] = {1e308, 2, 3, 5};
    weir_residuals t = {.rows = 99};
    weir_err err;
    assert_int_equal(weir_residuals_test(label, broken, 4, 1, &t, &err), WEIR_ENUMERIC);
    assert_non_null(strstr(err.message, "row 1 has label 2 and prediction nan"));
    assert_int_equal(weir_residuals_test(endless, prediction, 4, 1, &t, &err), WEIR_ENUMERIC);
    assert_int_equal(weir_residuals_test(huge_label, huge, 4, 1, &t, &err), WEIR_ENUMERIC);
    assert_int_equal(weir_residuals_test(label, prediction, 2, 1, &t, &err), WEIR_EDATA);
    assert_int_equal(weir_residuals_test(label, prediction, 0, 1, &t, &err), WEIR_EDATA);
    assert_int_equal(weir_residuals_test(label, prediction, 4, 4, &t, &err), WEIR_EINVAL);
    assert_int_equal(weir_residuals_test(label, prediction, 4, 0, &t, &err), WEIR_EINVAL);
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    weir_status status[2];
    for (int n = 0; n < 2; n++) {
        allocations_left = n;
        status[n] = weir_residuals_test(label, prediction, 4, 1, &t, NULL);
    }
    weir_mem = before;
    assert_true(status[0] == WEIR_ENOMEM && status[1] == WEIR_ENOMEM);
    assert_int_equal(t.rows, 99);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alternating_residuals_are_as_worked_by_hand),
        cmocka_unit_test(each_test_finds_what_it_is_for),
        cmocka_unit_test(constant_residuals_leave_nothing_to_test),
        cmocka_unit_test(bad_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
