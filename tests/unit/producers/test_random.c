/* Random numbers: published vectors, moments, quantiles. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "producers/random.h"

static void next_gives_the_published_numbers(void **state) {
    (void)state;
    /* From the authors' reference implementation with state {1, 2, 3, 4}. */
    static const uint64_t expected[] = {41943041, 58720359, UINT64_C(3588806011781223), UINT64_C(3591011842654386), UINT64_C(9228616714210784205)};
    weir_random random = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) assert_int_equal(weir_random_next(&random), expected[i]);
    weir_random_init(&random, 0); /* splitmix64's first output for seed 0 */
    assert_int_equal(random.s[0], UINT64_C(0xe220a8397b1dcdaf));
}

static void below_stays_below_and_reaches_everything(void **state) {
    (void)state;
    weir_random random;
    weir_random_init(&random, 7);
    int seen[5] = {0};
    for (int i = 0; i < 50000; i++) {
        uint64_t v = weir_random_below(&random, 5);
        assert_in_range(v, 0, 4);
        seen[v]++;
    }
    for (int i = 0; i < 5; i++) assert_in_range(seen[i], 9600, 10400); /* 10000 ± 4.5 standard deviations */
    assert_int_equal(weir_random_below(&random, 1), 0);
}

static void log_agrees_with_libm(void **state) {
    (void)state;
    assert_true(weir_portable_log(1) == 0);
    for (double x = 1e-300; x < 1e300; x *= 1.37) assert_true(fabs(weir_portable_log(x) - log(x)) <= 4e-16 * fabs(log(x)));
    for (double x = 0.5; x < 2; x += 1.0 / 4096) assert_true(fabs(weir_portable_log(x) - log(x)) <= 4e-16 * fabs(log(x)));
}

static void quantile_gives_the_tabled_values(void **state) {
    (void)state;
    assert_true(weir_portable_normal_quantile(0.5) == 0);
    assert_true(fabs(weir_portable_normal_quantile(0.975) - 1.9599639845400545) < 1e-14);
    assert_true(fabs(weir_portable_normal_quantile(1e-10) + 6.3613409024040557) < 1e-13);
    assert_true(fabs(weir_portable_normal_quantile(1e-20) + 9.2623400897984088) < 1e-13);
    for (double p = 0.001; p < 1; p += 0.001) assert_true(fabs(0.5 * erfc(-weir_portable_normal_quantile(p) / sqrt(2)) - p) < 1e-14);
}

static void distributions_have_their_moments(void **state) {
    (void)state;
    enum { N = 200000 };
    weir_random random;
    weir_random_init(&random, 42);
    double z = 0, zz = 0, k = 0, kk = 0;
    for (int i = 0; i < N; i++) {
        double normal = weir_random_normal(&random, 0, 1), count = weir_random_poisson(&random, 2.5), unit = weir_random_unit(&random);
        assert_true(unit > 0 && unit < 1);
        z += normal, zz += normal * normal, k += count, kk += count * count;
    }
    assert_true(fabs(z / N) < 0.01 && fabs(zz / N - 1) < 0.015);
    assert_true(fabs(k / N - 2.5) < 0.016 && fabs(kk / N - k / N * (k / N) - 2.5) < 0.04);
    assert_int_equal(weir_random_poisson(&random, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_gives_the_published_numbers), cmocka_unit_test(below_stays_below_and_reaches_everything), cmocka_unit_test(log_agrees_with_libm),
        cmocka_unit_test(quantile_gives_the_tabled_values), cmocka_unit_test(distributions_have_their_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
