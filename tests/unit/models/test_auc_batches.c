#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/auc_batches.h"

/* Positives 3, 1 and negatives 2, 0 of the champion: 3 of 4 pairs in order; the challenger has 3, 2 and 2, 0: one of 4 pairs is a tie. */
static void a_full_batch_gives_the_difference_of_pairs(void **state) {
    (void)state;
    const double champion[] = {3, 1, 2, 0}, challenger[] = {3, 2, 2, 0}, label[] = {1, 1, 0, 0};
    weir_auc_batches batches = {.rows_wanted = 2};
    for (int round = 0; round < 2; round++) /* a batch leaves nothing behind */
        for (int i = 0; i < 4; i++) {
            bool full = i == 0;
            double difference = NAN;
            assert_int_equal(weir_auc_add_paired(&batches, champion[i], challenger[i], label[i], &full, &difference, NULL), WEIR_OK);
            assert_int_equal(full, i == 3);
            if (full) assert_float_equal(difference, 0.875 - 0.75, 1e-15);
        }
    assert_int_equal(batches.left_out, 0);
}

static void arms_fill_their_own_rows(void **state) {
    (void)state;
    weir_auc_batches batches = {.rows_wanted = 2};
    bool full = false;
    double difference = 0;
    for (int i = 0; i < 8; i++) {
        bool challenger = i >= 4, positive = i % 2;
        assert_int_equal(weir_auc_add(&batches, challenger, challenger == positive ? 0.9 : 0.1, positive, &full, &difference, NULL), WEIR_OK);
        assert_int_equal(full, i == 7);
    }
    assert_float_equal(difference, 1, 0); /* the challenger orders all pairs right, the champion all wrong */
}

static void rows_without_room_are_left_out(void **state) {
    (void)state;
    weir_auc_batches batches = {.rows_wanted = 2};
    bool full = false;
    double difference = 0;
    for (int i = 0; i < WEIR_AUC_ROWS_MAX + 10; i++) assert_int_equal(weir_auc_add_paired(&batches, i, i, 0, &full, &difference, NULL), WEIR_OK);
    for (int i = 0; i < WEIR_AUC_ROWS_MAX + 5; i++) assert_int_equal(weir_auc_add(&batches, false, i, 0, &full, &difference, NULL), WEIR_OK);
    assert_int_equal(batches.left_out, 10 + WEIR_AUC_ROWS_MAX + 5);
    assert_false(full);
}

static void wrong_rows_are_refused(void **state) {
    (void)state;
    weir_auc_batches batches = {.rows_wanted = 2}, few = {.rows_wanted = 1}, broken = {.rows_wanted = 2, .count = {{-1, 0}}};
    bool full = false;
    double difference = 0;
    assert_int_equal(weir_auc_add(&batches, true, NAN, 1, &full, &difference, NULL), WEIR_ENUMERIC);
    assert_int_equal(weir_auc_add(&batches, true, 1, 0.5, &full, &difference, NULL), WEIR_EDATA);
    assert_int_equal(weir_auc_add_paired(&batches, 1, INFINITY, 1, &full, &difference, NULL), WEIR_ENUMERIC);
    assert_int_equal(weir_auc_add_paired(&batches, 1, 1, NAN, &full, &difference, NULL), WEIR_EDATA);
    assert_int_equal(weir_auc_add(&few, true, 1, 1, &full, &difference, NULL), WEIR_EINVAL);
    assert_int_equal(weir_auc_add(&broken, true, 1, 1, &full, &difference, NULL), WEIR_EINVAL);
    assert_true(batches.count[0][1] == 0 && batches.count[1][1] == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_batch_gives_the_difference_of_pairs),
        cmocka_unit_test(arms_fill_their_own_rows),
        cmocka_unit_test(rows_without_room_are_left_out),
        cmocka_unit_test(wrong_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
