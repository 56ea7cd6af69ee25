/* Ranges in a signature: what of each input the training set held, so that whoever calls a model can see what is outside it. */
#ifndef WEIR_MODELS_SIGNATURE_H
#define WEIR_MODELS_SIGNATURE_H

#include "models/model.h"

/** Adds to each of the signature's inputs that is a column of the matrix: "missing", the share of rows without a value, and, unless it is a category or never
 *  there, "min" and "max".
 *  What was there under these names is replaced. Shapes: inputs in any order, found by name. Errors: WEIR_EINVAL (a signature without inputs), WEIR_ENOMEM.
 *  O(rows × columns), in one pass over the rows. */
weir_status weir_signature_add_ranges(cJSON *signature, const weir_matrix *train, weir_err *err) WEIR_MUST_CHECK;

/* What a signature says of one input; NaN: nothing. */
typedef struct weir_input_range {
    double min, max, missing; /* missing: the share of rows without a value */
} weir_input_range;
/** Of the input that is called so. A signature of any shape will do, NULL too: what is no number says nothing. */
weir_input_range weir_signature_range(const cJSON *signature, const char *name);

#endif
