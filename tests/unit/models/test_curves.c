#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/curves.h"
#include "models/random.h"
#include "tests/unit/starve.h"

enum { ROWS = 5000 };

typedef weir_status (*curve_function)(const weir_outcomes *, int, weir_curve *, weir_err *);

static const curve_function curves[] = {weir_roc_curve, weir_precision_recall_curve};

static void make_rows(double *label, double *score, uint64_t seed) {
    for (int r = 0; r < ROWS; r++) {
        label[r] = (double)(weir_models_random_below(&seed, 5) == 0);
        score[r] = ((double)weir_models_random_below(&seed, 1000000) + 200000 * label[r]) / 1200000;
    }
}

static double area_below(const weir_curve *c) {
    double area = 0;
    for (int i = 1; i < c->count; i++) area += (c->points[i].x - c->points[i - 1].x) * (c->points[i].y + c->points[i - 1].y) / 2;
    return area;
}

/* From the top: 0.9 (+), 0.8 (−), 0.5 (+, −, tied), 0.1 (−). */
static const double hand_label[] = {0, 1, 0, 1, 0}, hand_score[] = {0.1, 0.9, 0.8, 0.5, 0.5};

static void curves_are_as_worked_by_hand(void **state) {
    (void)state;
    weir_outcomes o = {.row_count = 5, .label = hand_label, .score = hand_score};
    const weir_curve_point roc[] = {{0, 0, INFINITY}, {0, 0.5, 0.9}, {1.0 / 3, 0.5, 0.8}, {2.0 / 3, 1, 0.5}, {1, 1, 0.1}};
    const weir_curve_point pr[] = {{0, 1, INFINITY}, {0.5, 1, 0.9}, {0.5, 0.5, 0.8}, {1, 0.5, 0.5}, {1, 0.4, 0.1}};
    const double area[] = {0.5 / 3 + 0.75 / 3 + 1.0 / 3, 0.5 * 1 + 0.5 * 0.5};
    for (int k = 0; k < 2; k++) {
        weir_curve c;
        assert_int_equal(curves[k](&o, WEIR_CURVE_POINTS_MIN, &c, NULL), WEIR_OK);
        assert_int_equal(c.count, 5);
        assert_float_equal(c.area, area[k], 1e-15);
        for (int i = 0; i < 5; i++) {
            const weir_curve_point *p = k ? &pr[i] : &roc[i];
            assert_float_equal(c.points[i].x, p->x, 1e-15);
            assert_float_equal(c.points[i].y, p->y, 1e-15);
            assert_true(c.points[i].threshold == p->threshold);
        }
        weir_curve_done(&c);
        assert_null(c.points);
    }
}

static void thinning_keeps_the_area(void **state) {
    (void)state;
    static double label[ROWS], score[ROWS];
    for (uint64_t seed = 1; seed <= 5; seed++) {
        make_rows(label, score, seed);
        weir_outcomes o = {.row_count = ROWS, .label = label, .score = score};
        for (int k = 0; k < 2; k++) {
            weir_curve all, few;
            assert_int_equal(curves[k](&o, WEIR_CURVE_POINTS_MAX, &all, NULL), WEIR_OK);
            for (int points = 50; points <= 400; points *= 2) {
                assert_int_equal(curves[k](&o, points, &few, NULL), WEIR_OK);
                assert_true(few.count <= points && few.count > points / 3);
                assert_true(fabs(area_below(&few) - area_below(&all)) <= 1e-3);
                assert_true(few.area == all.area);
                assert_true(few.points[0].x == 0 && few.points[few.count - 1].x == 1);
                for (int i = 1; i < few.count; i++)
                    assert_true(few.points[i].x >= few.points[i - 1].x && few.points[i].threshold < few.points[i - 1].threshold);
                weir_curve_done(&few);
            }
            weir_curve_done(&all);
        }
    }
}

static void too_few_points_for_the_area_are_refused(void **state) {
    (void)state;
    static double label[ROWS], score[ROWS];
    for (int r = 0; r < ROWS; r++) { /* a staircase: a run of positives, then one of negatives, ever longer */
        score[r] = -r;
        label[r] = (int)sqrt(r / 4.0) % 2;
    }
    weir_outcomes o = {.row_count = ROWS, .label = label, .score = score};
    weir_curve c;
    weir_err err;
    weir_status status = weir_precision_recall_curve(&o, WEIR_CURVE_POINTS_MIN, &c, &err);
    assert_int_equal(status, WEIR_ELIMIT);
    assert_non_null(strstr(err.message, "expected more points"));
}

static void calibration_bins_are_as_worked_by_hand(void **state) {
    (void)state;
    const double label[] = {0, 0, 1, 1, 0, 1}, score[] = {0, 0.5, 0.5, 0.6, 0.75, 1}, weight[] = {1, 1, 2, 1, 1, 1};
    weir_outcomes o = {.row_count = 6, .label = label, .score = score, .weight = weight};
    static weir_calibration c;
    assert_int_equal(weir_calibrate(&o, WEIR_BINS_EQUAL_WIDTH, 4, &c, NULL), WEIR_OK);
    assert_int_equal(c.count, 4); /* 0 | 0.5, an edge belongs to the bin below | 0.6 0.75 | 1 */
    assert_true(c.bins[1].low == 0.25 && c.bins[1].high == 0.5 && c.bins[1].rows == 2 && c.bins[1].weight == 3);
    assert_float_equal(c.bins[1].positive_share, 2.0 / 3, 1e-15);
    assert_float_equal(c.bins[2].mean_score, 0.675, 1e-15);
    assert_float_equal(c.expected_error, (0 + 3 * (2.0 / 3 - 0.5) + 2 * (0.675 - 0.5) + 0) / 7, 1e-15);
    assert_float_equal(c.maximum_error, 0.175, 1e-15);
    o.weight = NULL;
    assert_int_equal(weir_calibrate(&o, WEIR_BINS_EQUAL_COUNT, 3, &c, NULL), WEIR_OK);
    assert_int_equal(c.count, 3); /* 0 0.5 0.5, together | 0.6 | 0.75 1 */
    assert_true(c.bins[0].rows == 3 && c.bins[1].rows == 1 && c.bins[2].rows == 2);
    assert_true(c.bins[0].low == 0 && c.bins[0].high == 0.5 && c.bins[2].high == 1);
}

/* 95 rows at 0.01 hold 0.94 of score (1 - score), four of 0.5 hold 1, one that is certain next to nothing. */
static void bins_of_equal_information_do_not_all_lie_at_zero(void **state) {
    (void)state;
    double label[100] = {0}, score[100];
    for (int i = 0; i < 100; i++) score[i] = i < 95 ? 0.01 : i < 99 ? 0.5 : 1;
    label[98] = label[99] = 1;
    weir_outcomes o = {.row_count = 100, .label = label, .score = score};
    static weir_calibration c;
    assert_int_equal(weir_calibrate(&o, WEIR_BINS_EQUAL_COUNT, 2, &c, NULL), WEIR_OK);
    assert_true(c.count == 2 && c.bins[0].rows == 95);
    assert_int_equal(weir_calibrate(&o, WEIR_BINS_EQUAL_INFORMATION, 4, &c, NULL), WEIR_OK);
    assert_int_equal(c.count, 3);
    assert_true(c.bins[0].rows == 95 && c.bins[1].rows == 4 && c.bins[1].positive_share == 0.25 && c.bins[2].rows == 1);
    for (int i = 0; i < 100; i++) score[i] = i >= 98; /* all are certain */
    assert_int_equal(weir_calibrate(&o, WEIR_BINS_EQUAL_INFORMATION, 2, &c, NULL), WEIR_OK);
    assert_true(c.count == 2 && c.bins[1].rows == 2 && c.expected_error == 0);
}

static void constant_scores_are_one_bin(void **state) {
    (void)state;
    const double label[] = {0, 1, 1}, score[] = {0.3, 0.3, 0.3};
    weir_outcomes o = {.row_count = 3, .label = label, .score = score};
    static weir_calibration c;
    for (int binning = WEIR_BINS_EQUAL_WIDTH; binning <= WEIR_BINS_EQUAL_INFORMATION; binning++) {
        assert_int_equal(weir_calibrate(&o, (weir_binning)binning, 10, &c, NULL), WEIR_OK);
        assert_int_equal(c.count, 1);
        assert_float_equal(c.expected_error, 2.0 / 3 - 0.3, 1e-15);
    }
}

static void the_threshold_follows_the_costs(void **state) {
    (void)state;
    weir_outcomes o = {.row_count = 5, .label = hand_label, .score = hand_score};
    weir_cost_choice c;
    assert_int_equal(weir_threshold_by_cost(&o, 1, 1, &c, NULL), WEIR_OK);
    assert_true(c.threshold == 0.9 && c.cost == 1 && c.false_positive == 0 && c.false_negative == 1);
    assert_int_equal(weir_threshold_by_cost(&o, 1, 10, &c, NULL), WEIR_OK);
    assert_true(c.threshold == 0.5 && c.cost == 2 && c.false_negative == 0);
    assert_int_equal(weir_threshold_by_cost(&o, 1, 0, &c, NULL), WEIR_OK);
    assert_true(c.threshold > 0.9 && c.cost == 0 && c.false_negative == 2);
    assert_int_equal(weir_threshold_by_cost(&o, -1, 0, &c, NULL), WEIR_EINVAL);
    assert_int_equal(weir_threshold_by_cost(&o, 1, INFINITY, &c, NULL), WEIR_EINVAL);
    assert_int_equal(weir_threshold_by_cost(&o, 1, NAN, &c, NULL), WEIR_EINVAL);
}

static void bad_input_is_refused(void **state) {
    (void)state;
    const double one_class[] = {1, 1, 1, 1, 1}, large[] = {0.1, 0.2, 1.5, 0.1, 0.1}, broken[] = {0.1, NAN, 0.5, 0.1, 0.1};
    weir_outcomes good = {.row_count = 5, .label = hand_label, .score = hand_score}, o;
    static weir_calibration calibration;
    weir_cost_choice choice;
    weir_curve c;
    weir_err err;
    for (int k = 0; k < 2; k++) {
        o = good, o.label = one_class;
        assert_int_equal(curves[k](&o, 10, &c, &err), WEIR_EDATA);
        assert_non_null(strstr(err.message, "all of the 5 rows are positive"));
        o = good, o.score = broken;
        assert_int_equal(curves[k](&o, 10, &c, &err), WEIR_ENUMERIC);
        assert_int_equal(curves[k](&good, WEIR_CURVE_POINTS_MIN - 1, &c, &err), WEIR_EINVAL);
        o = good, o.row_count = 0;
        assert_int_equal(curves[k](&o, 10, &c, &err), WEIR_EDATA);
    }
    assert_int_equal(weir_calibrate(&good, WEIR_BINS_EQUAL_WIDTH, 0, &calibration, &err), WEIR_EINVAL);
    assert_int_equal(weir_calibrate(&good, WEIR_BINS_EQUAL_WIDTH, WEIR_BINS_MAX + 1, &calibration, &err), WEIR_EINVAL);
    o = good, o.score = large;
    assert_int_equal(weir_calibrate(&o, WEIR_BINS_EQUAL_WIDTH, 5, &calibration, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "scores are from 0.1 to 1.5"));
    o = good, o.score = broken;
    assert_int_equal(weir_threshold_by_cost(&o, 1, 1, &choice, &err), WEIR_ENUMERIC);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    weir_outcomes o = {.row_count = 5, .label = hand_label, .score = hand_score};
    weir_allocator before = weir_mem;
    weir_mem.realloc = failing_realloc;
    int failures = 0;
    for (int k = 0; k < 2; k++) {
        for (int n = 0;; n++) {
            weir_curve c;
            allocations_left = n;
            weir_status status = curves[k](&o, 10, &c, NULL);
            if (status == WEIR_OK) weir_curve_done(&c);
            if (status != WEIR_ENOMEM) break;
            failures++;
        }
    }
    weir_mem = before;
    assert_int_equal(failures, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(curves_are_as_worked_by_hand),
        cmocka_unit_test(thinning_keeps_the_area),
        cmocka_unit_test(too_few_points_for_the_area_are_refused),
        cmocka_unit_test(calibration_bins_are_as_worked_by_hand),
        cmocka_unit_test(bins_of_equal_information_do_not_all_lie_at_zero),
        cmocka_unit_test(constant_scores_are_one_bin),
        cmocka_unit_test(the_threshold_follows_the_costs),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
