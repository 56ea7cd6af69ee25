/* Corrections of p-values for how many they are. */
#include "core/p_values.h"

#include <math.h>
#include <stdlib.h>

#include "core/mem.h"

typedef struct indexed {
    double p;
    int64_t index;
} indexed;

static int by_p(const void *left, const void *right) {
    const indexed *a = left, *b = right;
    return (a->p > b->p) - (a->p < b->p);
}

/* Ascending; *ret_sorted is NULL without any. */
static weir_status sort_p(const double *p, int64_t count, indexed **ret_sorted, weir_err *err) {
    *ret_sorted = NULL;
    for (int64_t i = 0; i < count; i++)
        if (!(p[i] >= 0 && p[i] <= 1)) return WEIR_FAIL(err, WEIR_EDATA, "p-value %lld is %g, expected a probability", (long long)i, p[i]);
    if (count <= 0) return WEIR_OK;
    indexed *sorted = (size_t)count < PTRDIFF_MAX / sizeof *sorted ? weir_mem.realloc(NULL, (size_t)count * sizeof *sorted) : NULL;
    if (!sorted) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld p-values", (long long)count);
    for (int64_t i = 0; i < count; i++) sorted[i] = (indexed){p[i], i};
    qsort(sorted, (size_t)count, sizeof *sorted, by_p);
    *ret_sorted = sorted;
    return WEIR_OK;
}

weir_status weir_benjamini_hochberg_adjust(const double *p, int64_t count, double *adjusted, weir_err *err) {
    indexed *sorted;
    weir_status status = sort_p(p, count, &sorted, err);
    double smallest = 1;
    for (int64_t i = count - 1; sorted && i >= 0; i--) {
        smallest = fmin(smallest, sorted[i].p * (double)count / (double)(i + 1));
        adjusted[sorted[i].index] = smallest;
    }
    weir_mem.realloc(sorted, 0);
    return status;
}

weir_status weir_holm_adjust(const double *p, int64_t count, double *adjusted, weir_err *err) {
    indexed *sorted;
    weir_status status = sort_p(p, count, &sorted, err);
    double largest = 0;
    for (int64_t i = 0; sorted && i < count; i++) {
        largest = fmax(largest, fmin(1, (double)(count - i) * sorted[i].p));
        adjusted[sorted[i].index] = largest;
    }
    weir_mem.realloc(sorted, 0);
    return status;
}
