/* Binary scores at every threshold: ROC and precision–recall curves, calibration, and the threshold that costs least. */
#ifndef WEIR_MODELS_CURVES_H
#define WEIR_MODELS_CURVES_H

#include "models/metrics.h"

/* The outcomes of every function here are WEIR_TASK_BINARY; errors as of weir_outcomes. */

typedef struct weir_curve_point {
    double x, y;
    double threshold; /* rows with score ≥ threshold are called positive; infinite at the first point, where none is */
} weir_curve_point;

typedef struct weir_curve {
    weir_curve_point *points; /* [count] by falling threshold, x never falling */
    int count;
    double area; /* below the whole curve, before it was thinned */
} weir_curve;

enum { WEIR_CURVE_POINTS_MIN = 8, WEIR_CURVE_POINTS_MAX = 1000000, WEIR_BINS_MAX = 1000 };

/** ROC: x false positive rate, y true positive rate, from (0, 0) to (1, 1), straight between points; area is the AUC.
 *  At most max_points of its points are kept; the area below these differs by at most 1e-3 from that of all. O(n log n), 72 bytes a row; freed by
 *  weir_curve_done.
 *  Errors: WEIR_EDATA with one class; WEIR_EINVAL for max_points out of range; WEIR_ELIMIT when so few points cannot keep the area. */
weir_status weir_roc_curve(const weir_outcomes *outcomes, int max_points, weir_curve *ret_curve, weir_err *err) WEIR_MUST_CHECK;
/** Precision–recall: x recall, y precision, from (0, 1). area is the average precision: every point's precision times the recall that it adds. What thinning
 *  keeps is the area below straight lines between the points. Else as weir_roc_curve. */
weir_status weir_precision_recall_curve(const weir_outcomes *outcomes, int max_points, weir_curve *ret_curve, weir_err *err) WEIR_MUST_CHECK;
void weir_curve_done(weir_curve *curve);

typedef enum weir_binning {
    WEIR_BINS_EQUAL_WIDTH, /* (i / bins, (i + 1) / bins], the first one with 0: as scikit-learn's calibration_curve, "uniform" */
    WEIR_BINS_EQUAL_COUNT, /* bins of equal weight by rank; rows of one score stay together, in the bin of the first of them */
    WEIR_BINS_EQUAL_INFORMATION, /* as equal counts, of weight × score (1 − score): shares of all bins are about equally sure, and of rare positives not all bins lie at 0 */
} weir_binning;

typedef struct weir_calibration_bin {
    double low, high; /* the range of scores: of the bin, or where widths differ of its rows */
    int64_t rows;
    double weight, mean_score, positive_share;
} weir_calibration_bin;

/* 48 kB: not for small stacks. */
typedef struct weir_calibration {
    weir_calibration_bin bins[WEIR_BINS_MAX]; /* those that have rows, by rising score */
    int count;
    double expected_error; /* mean of |positive_share − mean_score| by weight */
    double maximum_error; /* the largest of them */
} weir_calibration;

/** Source of the expected error: Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
 *  O(n log n), 24 bytes a row. Errors: WEIR_EDATA for a score outside of [0, 1]; WEIR_EINVAL for bins out of 1 … WEIR_BINS_MAX. */
weir_status weir_calibrate(const weir_outcomes *outcomes, weir_binning binning, int bins, weir_calibration *ret_calibration, weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_cost_choice {
    double threshold; /* one of the scores, the highest of equals; the next number above all scores when calling no row positive costs least */
    double cost; /* there, the sum over all rows */
    double false_positive, false_negative; /* there, weights */
} weir_cost_choice;

/** The threshold with the least cost_false_positive · FP + cost_false_negative · FN. O(n log n), 24 bytes a row.
 *  Errors: WEIR_EINVAL for a cost that is negative or not finite. */
weir_status weir_threshold_by_cost(const weir_outcomes *outcomes, double cost_false_positive, double cost_false_negative, weir_cost_choice *ret_choice,
                                   weir_err *err) WEIR_MUST_CHECK;

#endif
