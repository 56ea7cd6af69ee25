/* Guarantee 4: what the compiled form of a model gives is what the library that trained it gives, to the last bit. Run before a version is registered. */
#ifndef WEIR_MODELS_SCORER_GATE_H
#define WEIR_MODELS_SCORER_GATE_H

#include "models/model.h"

/* What was compared: rows of scores, all to the bit. */
typedef struct weir_gate_count {
    int64_t training_rows, random_rows;
    int64_t thresholds; /* each with the float32 (of Hoeffding trees float64) below and above it */
    int64_t splits; /* that were reached with their threshold, its neighbours, and a missing value; of large ensembles not all */
} weir_gate_count;

enum {
    WEIR_GATE_ROWS_MAX = 20000, /* of the training rows, evenly */
    WEIR_GATE_RANDOM_ROWS = 2048,
    WEIR_GATE_SPLITS_MAX = 5000, /* of all trees of a model, evenly */
    WEIR_GATE_TREES = 500, /* of more trees than that proportionally fewer training rows and splits, a twentieth at least */
};

/** Compares weir_model_predict with weir_model_predict_by_library: on rows [row_count][column_count] (NULL: none), on random ones between and far from them, on rows alone and rows together;
 *  and, tree by tree, on every threshold and its neighbours. A model without compiled form passes: it is scored by its library anyway. Equal model and rows, equal comparisons.
 *  Errors: WEIR_EDATA naming the row's values and both scores; those of scoring; WEIR_ENOMEM. */
weir_status weir_scorer_gate(weir_model *model, const double *rows, int64_t row_count, weir_gate_count *ret_count, weir_err *err) WEIR_MUST_CHECK;

/** Adds "gate": {"training_rows", "random_rows", "thresholds", "splits"} to the lineage of a version. False when memory ran out. */
bool weir_gate_describe(cJSON *lineage, const weir_gate_count *compared);

#endif
