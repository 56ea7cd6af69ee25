/* Differences of AUC over disjoint batches. */
#include "models/auc_batches.h"

#include <math.h>

enum { CHAMPION, CHALLENGER, ARMS };
enum { NEGATIVE, POSITIVE, CLASSES };

static weir_status check(const weir_auc_batches *b, double score, double label, weir_err *err) {
    if (!isfinite(score)) return WEIR_FAIL(err, WEIR_ENUMERIC, "score is %g, expected a finite number", score);
    if (label != 0 && label != 1) return WEIR_FAIL(err, WEIR_EDATA, "label is %g, expected 0 or 1", label);
    if (b->rows_wanted < WEIR_AUC_ROWS_MIN || b->rows_wanted > WEIR_AUC_ROWS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "batches of %d rows of a class, expected %d to %d", b->rows_wanted, WEIR_AUC_ROWS_MIN, WEIR_AUC_ROWS_MAX);
    for (int arm = 0; arm < ARMS; arm++)
        for (int class = 0; class < CLASSES; class ++)
            if (b->count[arm][class] < 0 || b->count[arm][class] > WEIR_AUC_ROWS_MAX)
                return WEIR_FAIL(err, WEIR_EINVAL, "a batch holds %d rows of a class, expected 0 to %d", b->count[arm][class], WEIR_AUC_ROWS_MAX);
    return WEIR_OK;
}

static void keep(weir_auc_batches *b, int arm, int class, double score) {
    b->scores[arm][class][b->count[arm][class]++] = score;
}

static bool has_room(const weir_auc_batches *b, int arm, int class) {
    return b->count[arm][class] < WEIR_AUC_ROWS_MAX;
}

static double auc(const weir_auc_batches *b, int arm) {
    int64_t twice = 0;
    for (int p = 0; p < b->count[arm][POSITIVE]; p++)
        for (int n = 0; n < b->count[arm][NEGATIVE]; n++) {
            double positive = b->scores[arm][POSITIVE][p], negative = b->scores[arm][NEGATIVE][n];
            twice += (positive > negative) + (positive >= negative);
        }
    return (double)twice / (2.0 * b->count[arm][POSITIVE] * b->count[arm][NEGATIVE]);
}

/* The count of every class decides, never a score: a batch that ended by its scores would be biased. */
static bool end_when_full(weir_auc_batches *b, double *ret_difference) {
    for (int arm = 0; arm < ARMS; arm++)
        for (int class = 0; class < CLASSES; class ++)
            if (b->count[arm][class] < b->rows_wanted) return false;
    *ret_difference = auc(b, CHALLENGER) - auc(b, CHAMPION);
    for (int arm = 0; arm < ARMS; arm++) b->count[arm][NEGATIVE] = b->count[arm][POSITIVE] = 0;
    return true;
}

weir_status weir_auc_add(weir_auc_batches *batches, bool challenger, double score, double label, bool *ret_full, double *ret_difference, weir_err *err) {
    weir_status status = check(batches, score, label, err);
    if (status != WEIR_OK) return status;
    int arm = challenger ? CHALLENGER : CHAMPION, class = label == 1 ? POSITIVE : NEGATIVE;
    if (has_room(batches, arm, class))
        keep(batches, arm, class, score);
    else
        batches->left_out++;
    *ret_full = end_when_full(batches, ret_difference);
    return WEIR_OK;
}

weir_status weir_auc_add_paired(weir_auc_batches *batches, double champion_score, double challenger_score, double label, bool *ret_full, double *ret_difference,
                                weir_err *err) {
    weir_status status = check(batches, champion_score, label, err);
    if (status == WEIR_OK) status = check(batches, challenger_score, label, err);
    if (status != WEIR_OK) return status;
    int class = label == 1 ? POSITIVE : NEGATIVE;
    if (has_room(batches, CHAMPION, class) && has_room(batches, CHALLENGER, class)) {
        keep(batches, CHAMPION, class, champion_score);
        keep(batches, CHALLENGER, class, challenger_score);
    } else {
        batches->left_out++;
    }
    *ret_full = end_when_full(batches, ret_difference);
    return WEIR_OK;
}
