/* Sorting and selection in place, without allocation, for operators that need order statistics. Values must not be NaN; equal input gives equal output. */
#ifndef WEIR_FEATURES_SORT_H
#define WEIR_FEATURES_SORT_H

/* What is sorted by, and what goes with it: a member and the index of its record. */
typedef struct weir_pair {
    double key, with;
} weir_pair;

/** values [n] ascending. O(n log n) always. */
void weir_sort(double *values, int n);
/** pairs [n] ascending by key, of equal keys by with. O(n log n) always. */
void weir_sort_pairs(weir_pair *pairs, int n);
/** Puts the k-th smallest (from 0) of values [n] at values[k], none larger before it and none smaller behind. 0 ≤ k < n. O(n) as a rule, O(n log n) at worst. */
void weir_select(double *values, int n, int k);

#endif
