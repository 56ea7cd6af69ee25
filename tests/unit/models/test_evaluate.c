#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "core/clock.h"
#include "core/mem.h"
#include "models/evaluate.h"

static weir_metrics_binary evaluate(const double *score, const double *label, int64_t n, double threshold) {
    weir_metrics_binary m;
    weir_err err;
    weir_eval_input input = {.row_count = n, .score = score, .label = label, .threshold = threshold};
    assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_OK);
    return m;
}

/* Scores from the top: 0.9 (+), 0.8 (−), 0.7 (+), 0.6 (−): 3 of 4 pairs are in order; precision 1 at recall 1/2, 2/3 at recall 1. */
static void ranking_without_ties_is_as_worked_by_hand(void **state) {
    (void)state;
    const double score[] = {0.6, 0.9, 0.8, 0.7}, label[] = {0, 1, 0, 1};
    weir_metrics_binary m = evaluate(score, label, 4, 0.75);
    assert_int_equal(m.rows, 4);
    assert_int_equal(m.positives, 2);
    assert_float_equal(m.auc_roc, 0.75, 1e-15);
    assert_float_equal(m.average_precision, 0.5 * 1 + 0.5 * 2 / 3, 1e-15);
    assert_float_equal(m.precision, 0.5, 1e-15);
    assert_float_equal(m.recall, 0.5, 1e-15);
    assert_float_equal(m.f1, 0.5, 1e-15);
    assert_float_equal(m.accuracy, 0.5, 1e-15);
    assert_float_equal(m.brier, (0.36 + 0.01 + 0.64 + 0.09) / 4, 1e-15);
    assert_float_equal(m.log_loss, -(log(0.4) + log(0.9) + log(0.2) + log(0.7)) / 4, 1e-15);
    assert_true(isnan(m.card_precision));
}

/* 0.5 holds two positives and one negative, 0.2 one of each: pairs 2·1·½ + 2·1 + 1·1·½ of 3·2. */
static void ties_count_a_half_and_enter_the_precision_together(void **state) {
    (void)state;
    const double score[] = {0.5, 0.2, 0.5, 0.2, 0.5}, label[] = {1, 0, 0, 1, 1};
    weir_metrics_binary m = evaluate(score, label, 5, 0.5);
    assert_float_equal(m.auc_roc, 3.5 / 6, 1e-15);
    assert_float_equal(m.average_precision, 2.0 / 3 * 2 / 3 + 1.0 / 3 * 3 / 5, 1e-15);
    assert_float_equal(m.precision, 2.0 / 3, 1e-15);
    assert_float_equal(m.recall, 2.0 / 3, 1e-15);
}

static void the_order_of_rows_and_rows_without_label_change_nothing(void **state) {
    (void)state;
    const double score[] = {0.1, 0.4, 0.35, 0.8}, label[] = {0, 0, 1, 1};
    const double shuffled[] = {0.8, NAN, 0.35, 0.1, 0.99, 0.4}, shuffled_label[] = {1, NAN, 1, 0, NAN, 0};
    weir_metrics_binary a = evaluate(score, label, 4, 0.5), b = evaluate(shuffled, shuffled_label, 6, 0.5);
    assert_int_equal(b.rows, 4);
    assert_true(a.auc_roc == b.auc_roc && a.average_precision == b.average_precision && a.f1 == b.f1 && a.log_loss == b.log_loss && a.brier == b.brier);
    assert_float_equal(a.auc_roc, 0.75, 1e-15);
    assert_float_equal(a.average_precision, 0.5 + 0.5 * 2 / 3, 1e-15);
}

static void one_class_has_no_ranking(void **state) {
    (void)state;
    const double score[] = {0.1, 0.6}, positive[] = {1, 1}, negative[] = {0, 0};
    weir_metrics_binary m = evaluate(score, positive, 2, 0.5);
    assert_true(isnan(m.auc_roc) && isnan(m.average_precision));
    assert_float_equal(m.recall, 0.5, 1e-15);
    m = evaluate(score, negative, 2, 0.5);
    assert_true(isnan(m.auc_roc) && isnan(m.average_precision));
    assert_true(m.recall == 0 && m.precision == 0 && m.f1 == 0);
    assert_float_equal(m.accuracy, 0.5, 1e-15);
    m = evaluate(score, positive, 0, 0.5);
    assert_true(m.rows == 0 && isnan(m.auc_roc) && isnan(m.accuracy) && isnan(m.log_loss));
}

static void certain_scores_have_a_finite_log_loss_and_others_than_probabilities_none(void **state) {
    (void)state;
    const double certain[] = {0, 1}, wild[] = {-2, 3}, wrong[] = {1, 0}, right[] = {0, 1};
    assert_float_equal(evaluate(certain, wrong, 2, 0.5).log_loss, 52 * log(2), 1e-12);
    assert_float_equal(evaluate(certain, right, 2, 0.5).log_loss, 0, 1e-15);
    weir_metrics_binary m = evaluate(wild, right, 2, 0.5);
    assert_true(isnan(m.log_loss) && isnan(m.brier));
    assert_float_equal(m.auc_roc, 1, 0);
}

static void bad_scores_and_labels_are_refused(void **state) {
    (void)state;
    const double label[] = {0, 1}, bad_label[] = {0, 2}, score[] = {0.1, 0.2}, nan_score[] = {0.1, NAN}, inf_score[] = {INFINITY, 0.2};
    weir_metrics_binary m = {.rows = -1};
    weir_err err;
    weir_eval_input input = {.row_count = 2, .score = nan_score, .label = label, .threshold = 0.5};
    assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_ENUMERIC);
    input.score = inf_score;
    assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_ENUMERIC);
    input.score = score;
    input.label = bad_label;
    assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_EDATA);
    input.label = label;
    input.threshold = NAN;
    assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_EINVAL);
    assert_int_equal(m.rows, -1);
}

/* Two cards a day are looked at.
 *   day 0: card 0 (best 0.9, fraud on another payment), card 1 (0.8, honest), card 2 (0.1, fraud)  → 0 is found: 1/2
 *   day 1: card 0 is known; card 2 (0.7, fraud), card 3 (0.6, fraud), card 1 (0.5)                → 2 and 3 are found: 2/2
 *   day 3: card 1 (0.2, fraud) only; its unlabelled payment does not count                         → 1/2 */
static void card_precision_is_as_worked_by_hand(void **state) {
    (void)state;
    const double score[] = {0.9, 0.3, 0.8, 0.1, 0.99, 0.7, 0.6, 0.5, 0.2, 0.95}, label[] = {0, 1, 0, 1, 1, 1, 1, 0, 1, NAN};
    const uint32_t card[] = {0, 0, 1, 2, 0, 2, 3, 1, 1, 2};
    const int64_t hour[] = {1, 2, 3, 23, 24, 25, 26, 47, 73, 74};
    int64_t time[10];
    for (int i = 0; i < 10; i++) time[i] = (hour[i] - 48) * 3600 * WEIR_SECOND_US; /* before 1970 too */
    weir_metrics_binary m;
    weir_err err;
    weir_eval_input input = {
        .row_count = 10, .score = score, .label = label, .event_time_us = time, .entity = card, .entity_count = 4, .threshold = 0.5, .card_k = 2};
    assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_OK);
    assert_float_equal(m.card_precision, (0.5 + 1 + 0.5) / 3, 1e-15);
    assert_int_equal(m.card_k, 2);
    input.entity_count = 3;
    assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_EINVAL);
}

static void equally_suspicious_cards_are_taken_by_number(void **state) {
    (void)state;
    const double score[] = {0.5, 0.5, 0.5}, label[] = {0, 1, 1};
    const uint32_t card[] = {2, 1, 0};
    const int64_t time[] = {0, 0, 0};
    weir_metrics_binary m;
    weir_err err;
    weir_eval_input input = {.row_count = 3, .score = score, .label = label, .event_time_us = time, .entity = card, .entity_count = 3, .card_k = 2};
    assert_int_equal(weir_evaluate_binary(&input, &m, &err), WEIR_OK);
    assert_float_equal(m.card_precision, 1, 0);
}

/* Training days 0–1, delay 2 days, test days 4–6. On test day d, frauds up to day d − 3 are known. */
static void known_positives_are_left_out_as_worked_by_hand(void **state) {
    (void)state;
    const struct {
        int day;
        uint32_t card;
        double label;
        bool keep;
    } rows[] = {
        {-1, 0, 1, false}, /* before the training days: not known */
        {4, 0, 0, true},   {0, 1, 1, false}, /* in training: never tested */
        {4, 1, 1, false},  {6, 1, 0, false}, {2, 2, 1, false}, /* in the delay: known from day 5 on */
        {4, 2, 1, true},   {5, 2, 1, false}, {3, 3, 1, false}, /* known from day 6 on */
        {5, 3, 0, true},   {6, 3, 0, false}, {4, 4, 1, true}, /* in the test days: would be known from day 7 on */
        {6, 4, 1, true},   {7, 4, 0, false}, /* after the test days */
        {3, 5, 0, false}, /* in the delay */
        {6, 5, NAN, true},
    };
    enum { N = sizeof rows / sizeof *rows };
    int64_t time[N], start = 17660 * WEIR_DAY_US;
    double label[N];
    uint32_t card[N];
    bool keep[N];
    weir_err err;
    for (int i = 0; i < N; i++) {
        time[i] = start + rows[i].day * WEIR_DAY_US + i * 3600 * WEIR_SECOND_US;
        label[i] = rows[i].label;
        card[i] = rows[i].card;
    }
    assert_int_equal(
        weir_exclude_known_positives(time, label, card, N, 6, start, start + 2 * WEIR_DAY_US, 2, start + 4 * WEIR_DAY_US, start + 7 * WEIR_DAY_US, keep, &err),
        WEIR_OK);
    for (int i = 0; i < N; i++)
        if (keep[i] != rows[i].keep) fail_msg("row %d: keep is %d", i, keep[i]);
    assert_int_equal(weir_exclude_known_positives(time, label, card, N, 5, start, start, 2, start, start, keep, &err), WEIR_EINVAL);
    assert_int_equal(weir_exclude_known_positives(time, label, card, N, 6, start, start - 1, 2, start, start, keep, &err), WEIR_EINVAL);
}

/* From the top: 0.9 + → F1 2/4, 0.8 − → 2/5, 0.7 + + → 6/7, 0.1 − → 6/8. */
static void best_threshold_maximises_f1(void **state) {
    (void)state;
    const double score[] = {0.7, 0.9, 0.1, 0.8, 0.7, NAN}, label[] = {1, 1, 0, 0, 1, NAN}, none[] = {0, 0, 0, 0, 0, NAN};
    double threshold = -1;
    weir_err err;
    assert_int_equal(weir_best_f1_threshold(score, label, 6, &threshold, &err), WEIR_OK);
    assert_true(threshold == 0.7);
    assert_float_equal(evaluate(score, label, 6, threshold).f1, 6.0 / 7, 1e-15);
    threshold = -1;
    assert_int_equal(weir_best_f1_threshold(score, none, 6, &threshold, &err), WEIR_EDATA);
    assert_true(threshold == -1);
}

static void *no_memory(void *old, size_t size) {
    (void)old;
    (void)size;
    return NULL;
}

static void missing_memory_is_an_error(void **state) {
    (void)state;
    const double score[] = {0.1, 0.2}, label[] = {0, 1};
    const uint32_t card[] = {0, 1};
    const int64_t time[] = {0, 0};
    bool keep[2];
    double threshold;
    weir_metrics_binary m;
    weir_err err;
    weir_eval_input input = {.row_count = 2, .score = score, .label = label};
    weir_allocator real = weir_mem;
    weir_mem.realloc = no_memory;
    weir_status evaluated = weir_evaluate_binary(&input, &m, &err), best = weir_best_f1_threshold(score, label, 2, &threshold, &err);
    weir_status excluded = weir_exclude_known_positives(time, label, card, 2, 2, 0, 0, 0, 0, 0, keep, &err);
    weir_mem = real;
    assert_int_equal(evaluated, WEIR_ENOMEM);
    assert_int_equal(best, WEIR_ENOMEM);
    assert_int_equal(excluded, WEIR_ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranking_without_ties_is_as_worked_by_hand),
        cmocka_unit_test(ties_count_a_half_and_enter_the_precision_together),
        cmocka_unit_test(the_order_of_rows_and_rows_without_label_change_nothing),
        cmocka_unit_test(one_class_has_no_ranking),
        cmocka_unit_test(certain_scores_have_a_finite_log_loss_and_others_than_probabilities_none),
        cmocka_unit_test(bad_scores_and_labels_are_refused),
        cmocka_unit_test(card_precision_is_as_worked_by_hand),
        cmocka_unit_test(equally_suspicious_cards_are_taken_by_number),
        cmocka_unit_test(known_positives_are_left_out_as_worked_by_hand),
        cmocka_unit_test(best_threshold_maximises_f1),
        cmocka_unit_test(missing_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
