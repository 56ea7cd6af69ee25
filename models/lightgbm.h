/* Models that LightGBM saved, as their text has them: numbers are float64, a row goes left where its value is at most the threshold. */
#ifndef WEIR_MODELS_LIGHTGBM_H
#define WEIR_MODELS_LIGHTGBM_H

#include "core/mem.h"
#include "models/model.h"

/* decision_type of a split, as LightGBM's files have it. */
enum {
    WEIR_LGB_CATEGORICAL = 1, /* left where the value is in a set; missing goes right */
    WEIR_LGB_MISSING_LEFT = 2,
    WEIR_LGB_MISSING_MASK = 12,
    WEIR_LGB_MISSING_NONE = 0, /* NaN is taken as 0 */
    WEIR_LGB_MISSING_ZERO = 4, /* NaN and what is next to 0 are missing */
    WEIR_LGB_MISSING_NAN = 8,
};
#define WEIR_LGB_ZERO ((double)1e-35f) /* what is not further from 0 is 0; a float32 there, 1.8e-8 of it more */

/* Splits [leaf_count − 1], leaves [leaf_count]; a child below 0 is leaf ~child, else a later split. */
typedef struct weir_lgb_tree {
    int leaf_count;
    int *column, *decision, *left, *right;
    double *threshold; /* of a categorical split the number of its set */
    double *value; /* of the leaves */
    int *set_first; /* [set_count + 1] where each set's words begin */
    uint32_t *set_words; /* bit c of a set: category c is in it */
    int set_count;
} weir_lgb_tree;

typedef enum weir_lgb_link { WEIR_LGB_VALUE, WEIR_LGB_LOGISTIC, WEIR_LGB_SOFTMAX, WEIR_LGB_EXP } weir_lgb_link;

typedef struct weir_lgb {
    weir_arena arena; /* everything below */
    int column_count, output_count, tree_count; /* tree t is for output t mod output_count */
    weir_lgb_link link;
    double sigmoid; /* of the logistic link: 1 / (1 + e^(−sigmoid · sum)) */
    double divisor; /* of sums: the iterations of a forest, else 1 */
    weir_task task;
    const char **names; /* [column_count] */
    weir_lgb_tree *trees;
} weir_lgb;

/** Errors: WEIR_EDATA naming the line or tree that is damaged or of a kind that is not taken (linear trees, multiclassova, ranking, sqrt), WEIR_ENOMEM. */
weir_status weir_lgb_parse(const void *text, size_t len, weir_lgb **ret_model, weir_err *err) WEIR_MUST_CHECK;
void weir_lgb_free(weir_lgb *model);

static inline bool weir_lgb_in_set(const weir_lgb_tree *tree, int set, double x) {
    int words = tree->set_first[set + 1] - tree->set_first[set];
    if (!(x > -1 && x < 2147483648.0)) return false; /* what an int cannot hold, and what is below 0 */
    uint32_t category = (uint32_t)(int32_t)x;
    return (int64_t)category < (int64_t)words * 32 && (tree->set_words[tree->set_first[set] + (int)(category / 32)] >> category % 32 & 1);
}

/* Models of this kind are made by models/import_model.h and by no fit; it is not among weir_algorithms(). */
extern const weir_algorithm weir_algorithm_lightgbm;
/** What the algorithm loaded. */
const weir_lgb *weir_lgb_of(const void *predictor);

#endif
