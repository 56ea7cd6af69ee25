/* Elementary functions against those of libm, and their identities. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "producers/portable.h"

static void near(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance)) fail_msg("found %.17g, expected %.17g", found, expected);
}

static void sines_are_those_of_libm(void **state) {
    (void)state;
    for (int i = -20000; i <= 20000; i++) {
        double x = i * 0.00731;
        near(weir_portable_sin(x), sin(x), 1e-15);
        near(weir_portable_cos(x), cos(x), 1e-15);
    }
    near(weir_portable_sin(123456.789), sin(123456.789), 1e-12);
    assert_true(weir_portable_sin(0) == 0 && weir_portable_cos(0) == 1);
}

static void angles_are_those_of_libm_in_every_quarter(void **state) {
    (void)state;
    for (int i = -50; i <= 50; i++)
        for (int j = -50; j <= 50; j++)
            if (i || j > 0) near(weir_portable_atan2(i * 0.37, j * 1.13), atan2(i * 0.37, j * 1.13), 2e-15);
    near(weir_portable_atan2(0, -1), 3.141592653589793, 1e-15);
    assert_true(weir_portable_atan2(0, 0) == 0);
}

static void powers_and_roots_are_those_of_libm(void **state) {
    (void)state;
    for (int i = -7000; i <= 7000; i++) {
        double x = i * 0.0999;
        near(weir_portable_exp(x) / exp(x), 1, 2e-15);
    }
    for (int i = 1; i <= 5000; i++) {
        double x = i * i * 0.0137;
        near(weir_portable_cbrt(x) / cbrt(x), 1, 1e-15);
    }
    near(weir_portable_cbrt(1e-300) / cbrt(1e-300), 1, 1e-15);
    near(weir_portable_cbrt(1e300) / cbrt(1e300), 1, 1e-15);
    assert_true(weir_portable_cbrt(0) == 0 && weir_portable_exp(0) == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sines_are_those_of_libm),
        cmocka_unit_test(angles_are_those_of_libm_in_every_quarter),
        cmocka_unit_test(powers_and_roots_are_those_of_libm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
