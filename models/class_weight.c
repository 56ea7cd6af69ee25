#include "models/class_weight.h"

#include <math.h>

#include "models/memory.h"

/* totals [class_count]: what each class weighs. */
static weir_status add_up(const double *label, const double *weight, int64_t row_count, int class_count, double *totals, weir_err *err) {
    for (int64_t r = 0; r < row_count; r++) {
        double y = label[r], v = weight ? weight[r] : 1;
        if (!(y >= 0 && y < class_count && y == floor(y)))
            return WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is %g, expected a whole number from 0 to %d", (long long)r, y, class_count - 1);
        if (!(v >= 0) || isinf(v)) return WEIR_FAIL(err, WEIR_EDATA, "weight of row %lld is %g, expected a finite number from 0", (long long)r, v);
        totals[(int)y] += v;
    }
    return WEIR_OK;
}

weir_status weir_class_weights(const double *label, const double *weight, int64_t row_count, int class_count, double *ret_weight, weir_err *err) {
    if (class_count < 2) return WEIR_FAIL(err, WEIR_EINVAL, "%d classes, expected at least 2", class_count);
    double *totals = weir_models_calloc((size_t)class_count, sizeof *totals), all = 0;
    if (!totals) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d classes", class_count);
    weir_status status = add_up(label, weight, row_count, class_count, totals, err);
    for (int k = 0; !status && k < class_count; k++) {
        all += totals[k];
        if (!(totals[k] > 0))
            status = WEIR_FAIL(err, WEIR_EDATA, "no row of class %d weighs anything, expected some of each of the %d classes", k, class_count);
    }
    if (!status && !isfinite(all)) status = WEIR_FAIL(err, WEIR_ENUMERIC, "the weights add up to more than a double can hold");
    for (int k = 0; !status && k < class_count; k++) ret_weight[k] = all / (class_count * totals[k]);
    weir_models_free(totals);
    return status;
}

weir_status weir_class_weight_rows(const double *label, const double *weight, int64_t row_count, int class_count, double *ret_row_weight, weir_err *err) {
    double *of_class = weir_models_calloc(class_count > 0 ? (size_t)class_count : 1, sizeof *of_class);
    if (!of_class) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d classes", class_count);
    weir_status status = weir_class_weights(label, weight, row_count, class_count, of_class, err);
    for (int64_t r = 0; !status && r < row_count; r++) ret_row_weight[r] = (weight ? weight[r] : 1) * of_class[(int)label[r]];
    weir_models_free(of_class);
    return status;
}
