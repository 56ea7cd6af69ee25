#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/distributions.h"

/* Closed forms: Q(1, x) = e^−x, Q(½, x) = erfc(√x), I_x(1, b) = 1 − (1 − x)^b, t with one degree is Cauchy, with two P = 1 − t / √(2 + t²). */
static void values_agree_with_closed_forms(void **state) {
    (void)state;
    for (double x = 0.01; x < 600; x *= 1.7) {
        assert_true(fabs(weir_gamma_upper(1, x) - exp(-x)) <= 1e-12 * exp(-x));
        assert_true(fabs(weir_gamma_upper(0.5, x) - erfc(sqrt(x))) <= 1e-12 * erfc(sqrt(x)));
        assert_true(fabs(weir_chi_square_tail(x, 2) - exp(-x / 2)) <= 1e-12 * exp(-x / 2));
        double cauchy = 2 / M_PI * atan(1 / x), two = 2 / (2 + x * x + x * sqrt(2 + x * x));
        assert_true(fabs(weir_student_two_sided(x, 1) - cauchy) <= 1e-12 * cauchy);
        assert_true(fabs(weir_student_two_sided(-x, 2) - two) <= 1e-12 * two);
    }
    for (double x = 0.02; x < 1; x += 0.07) {
        assert_float_equal(weir_beta_lower(x, 1, 5), 1 - pow(1 - x, 5), 1e-14);
        assert_float_equal(weir_beta_lower(x, 3, 2) + weir_beta_lower(1 - x, 2, 3), 1, 1e-14);
    }
}

static void ends_and_nan_have_the_stated_values(void **state) {
    (void)state;
    assert_true(weir_gamma_upper(3, 0) == 1 && weir_gamma_upper(3, INFINITY) == 0);
    assert_true(weir_chi_square_tail(-1, 3) == 1 && weir_chi_square_tail(1e5, 3) == 0);
    assert_true(weir_beta_lower(0, 2, 3) == 0 && weir_beta_lower(1, 2, 3) == 1);
    assert_true(weir_student_two_sided(0, 5) == 1 && weir_student_two_sided(INFINITY, 5) == 0 && weir_student_two_sided(-INFINITY, 5) == 0);
    assert_true(weir_student_two_sided(1e200, 5) == 0);
    assert_true(weir_normal_two_sided(0) == 1 && weir_normal_two_sided(INFINITY) == 0);
    assert_true(isnan(weir_gamma_upper(NAN, 1)) && isnan(weir_gamma_upper(1, NAN)) && isnan(weir_beta_lower(NAN, 1, 1)) &&
                isnan(weir_student_two_sided(NAN, 1)));
    assert_true(isnan(weir_chi_square_tail(NAN, 1)) && isnan(weir_normal_two_sided(NAN)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_agree_with_closed_forms),
        cmocka_unit_test(ends_and_nan_have_the_stated_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
