/* What the operators over windows share: rows without nulls, moments. Pure, no allocation. */
#ifndef WEIR_FEATURES_OPS_WINDOW_H
#define WEIR_FEATURES_OPS_WINDOW_H

#include "features/operator.h"

/* Windows of an operator that needs its records at hand. */
#define WEIR_WINDOWS_AT_HAND (1u << WEIR_WINDOW_SLIDING | 1u << WEIR_WINDOW_LAST | 1u << WEIR_WINDOW_TUMBLING | 1u << WEIR_WINDOW_HOPPING)

/* What an operator over one column with its records at hand has in common with the others. */
#define WEIR_SERIES_OPERATOR .abi = WEIR_OPERATOR_ABI, .inputs_min = 1, .inputs_max = 1, .windows = WEIR_WINDOWS_AT_HAND

/** Row numbers, oldest first, of the newest `newest` records (0: all) in which none of the first `inputs` inputs is null. rows [window->count]. Returns how many. */
int weir_window_rows(const weir_window *window, int inputs, int newest, double *rows);
/** The newest `newest` values (0: all) of the first input that are not null, oldest first, into window->scratch. Returns how many. */
int weir_window_values(const weir_window *window, int newest);

typedef struct weir_moments {
    double mean;
    double m2, m3, m4; /* sums of powers of the deviations from the mean; 0 exactly when all values are equal */
} weir_moments;
/** x [n], n ≥ 1. Two passes. */
weir_moments weir_moments_of(const double *x, int n);

#endif
