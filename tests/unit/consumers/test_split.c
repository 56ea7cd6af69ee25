/* The split of traffic: stable, fair, independent between salts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "consumers/split.h"

static double point_of(const char *salt, int i) {
    char key[32];
    int len = snprintf(key, sizeof key, "default/%d", i);
    return weir_split_point(salt, key, (size_t)len);
}

static void same_key_and_salt_give_the_same_point(void **state) {
    (void)state;
    assert_true(weir_split_point("s", "default/1", 9) == weir_split_point("s", "default/1", 9));
    assert_true(weir_split_point("s", "default/1", 9) != weir_split_point("s", "default/2", 9));
    assert_true(weir_split_point("ab", "c", 1) != weir_split_point("a", "bc", 2));
}

/* Chi-squared over 20 cells of 100 000 keys: 99.9 % quantile with 19 degrees of freedom is 43.8. */
static void points_of_consecutive_keys_are_uniform(void **state) {
    (void)state;
    enum { KEYS = 100000, CELLS = 20 };
    int counts[CELLS] = {0};
    double chi2 = 0;
    for (int i = 0; i < KEYS; i++) {
        double u = point_of("fraud-1", i);
        assert_true(u >= 0 && u < 1);
        counts[(int)(u * CELLS)]++;
    }
    for (int c = 0; c < CELLS; c++) chi2 += pow(counts[c] - (double)KEYS / CELLS, 2) / ((double)KEYS / CELLS);
    assert_true(chi2 < 43.8);
}

/* Whoever was challenged in one experiment is challenged in the next as often as anybody. */
static void another_salt_splits_independently(void **state) {
    (void)state;
    enum { KEYS = 100000 };
    int both = 0, first = 0, second = 0;
    for (int i = 0; i < KEYS; i++) {
        int a = point_of("one", i) < 0.3, b = point_of("two", i) < 0.3;
        first += a;
        second += b;
        both += a && b;
    }
    double expected = (double)first * second / KEYS;
    assert_true(fabs(both - expected) < 4 * sqrt(expected));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_key_and_salt_give_the_same_point),
        cmocka_unit_test(points_of_consecutive_keys_are_uniform),
        cmocka_unit_test(another_salt_splits_independently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
