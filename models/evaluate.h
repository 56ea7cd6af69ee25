/* How good are scores: ranking and threshold metrics, and the Fraud Detection Handbook's protocol. */
#ifndef WEIR_MODELS_EVALUATE_H
#define WEIR_MODELS_EVALUATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

typedef struct weir_metrics_binary {
    int64_t rows, positives;
    double auc_roc; /* Mann–Whitney with ties at half; NaN with one class */
    double average_precision; /* sum of (R_k − R_{k−1}) P_k over distinct scores, as scikit-learn; NaN with one class */
    double f1, precision, recall, accuracy; /* a row is called positive when score ≥ `threshold`; 0 where a ratio has no denominator */
    double log_loss, brier; /* NaN when a score is no probability */
    double threshold;
    double card_precision; /* card precision@k of the handbook; NaN when no days/entities were given */
    int card_k;
} weir_metrics_binary;

typedef struct weir_eval_input {
    int64_t row_count;
    const double *score; /* [row_count] */
    const double *label; /* [row_count] 0/1; rows with NaN are left out */
    const int64_t *event_time_us; /* may be NULL */
    const uint32_t *entity; /* dense number; may be NULL */
    uint32_t entity_count;
    double threshold; /* for f1, precision, recall */
    int card_k; /* 0: no card precision */
} weir_eval_input;

/** Non-finite scores of labelled rows are WEIR_ENUMERIC, labels other than 0, 1 and NaN WEIR_EDATA. Days are UTC days. O(n log n). */
weir_status weir_evaluate_binary(const weir_eval_input *input, weir_metrics_binary *ret_metrics, weir_err *err) WEIR_MUST_CHECK;

/** The handbook's test protocol: keep[r] says whether row r of the test days counts. A row is left out when its entity had a positive label in [train_from, train_to), or
 *  (for a row on test day d) after train_to on a day before d − delay_days, the days of the delay period included: what was known when day d began. Days are counted from test_from.
 *  Rows are in any order. Source: Fraud Detection Handbook, ch. 3, get_train_test_set. */
weir_status weir_exclude_known_positives(const int64_t *event_time_us, const double *label, const uint32_t *entity, int64_t row_count, uint32_t entity_count,
                                         int64_t train_from_us, int64_t train_to_us, int delay_days, int64_t test_from_us, int64_t test_to_us, bool *keep,
                                         weir_err *err) WEIR_MUST_CHECK;

/** The threshold (one of the scores; the highest of equals) that maximises F1 on scores with labels (validation or training rows). Without a positive row: WEIR_EDATA. */
weir_status weir_best_f1_threshold(const double *score, const double *label, int64_t row_count, double *ret_threshold, weir_err *err) WEIR_MUST_CHECK;

#endif
