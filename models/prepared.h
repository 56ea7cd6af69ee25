/* Training rows after a chain of preprocessing: what an algorithm is fitted on. */
#ifndef WEIR_MODELS_PREPARED_H
#define WEIR_MODELS_PREPARED_H

#include "models/model.h"
#include "models/prep.h"

typedef struct weir_prepared {
    weir_prep *prep; /* fitted on the rows */
    weir_matrix matrix; /* the rows that the chain keeps, with the columns that it makes */
    double *values, *label, *weight; /* what the matrix points into; weight NULL: as the rows had none */
} weir_prepared;

/** Fits the chain on all rows of the matrix and applies it to them row by row, as scoring does. path prefixes messages.
 *  Errors: those of weir_prep_fit; *ret_prepared is then untouched. */
weir_status weir_prepared_make(const cJSON *chain, const char *path, const weir_matrix *train, weir_prepared *ret_prepared, weir_err *err) WEIR_MUST_CHECK;
void weir_prepared_done(weir_prepared *prepared);

/** Validates a chain, NULL: none. kinds [column_count]: the columns; NULL: those of column_names, all numbers.
 *  Errors: as weir_prep_check; WEIR_EINVAL for a column that is a category still when the chain is through, naming it. */
weir_status weir_prepared_check(const cJSON *chain, const char *path, const char *const *column_names, const weir_prep_column *kinds, int column_count,
                                weir_err *err) WEIR_MUST_CHECK;

#endif
