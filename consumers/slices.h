/* How good an arm is on parts of its rows: each tenant's, and those with one value of a column that training.slices names. */
#ifndef WEIR_CONSUMERS_SLICES_H
#define WEIR_CONSUMERS_SLICES_H

#include "consumers/measure.h"

enum { WEIR_SLICE_NAME_MAX = 96, WEIR_SLICES_LIST_MAX = 256 };

typedef struct weir_slice {
    char name[WEIR_SLICE_NAME_MAX]; /* "tenant=acme", "plan=3", "amount in quarter 4", "plan missing" */
    weir_arm_measure measure; /* arm, model, version and digest are the arm's; predictions 0: not counted by slice */
} weir_slice;

/* Done with weir_slices_done. */
typedef struct weir_slices {
    weir_slice *list; /* [count] */
    int count, room;
    int left_out; /* beyond WEIR_SLICES_LIST_MAX */
} weir_slices;

/** Adds an arm's slices: its tenants, where there are several; of a column each value, or where there are more than 12 the quarters of its rows by rank of the value. Slices of fewer than
 *  30 rows are left out. O(columns × n log n), 20 bytes a row and column.
 *  Errors: WEIR_ENOMEM; those of weir_measure_rows. What was added before stays. */
weir_status weir_slices_add(weir_slices *slices, const weir_arm_measure *arm, const weir_arm_rows *rows, weir_task task, int card_k,
                            weir_err *err) WEIR_MUST_CHECK;
void weir_slices_done(weir_slices *slices);

#endif
