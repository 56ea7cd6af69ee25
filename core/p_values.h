/* P-values of many tests together. */
#ifndef WEIR_CORE_P_VALUES_H
#define WEIR_CORE_P_VALUES_H

#include <stdint.h>

#include "core/err.h"

/** Benjamini and Hochberg's correction: adjusted [count] p-values; of those at most α, the share that is by chance alone is at most α in the mean, when tests are
 *  independent or positively dependent. adjusted may be p itself.
 *  Errors: WEIR_EDATA for a p that is not in [0, 1]; WEIR_ENOMEM. Source: Y. Benjamini, Y. Hochberg, Controlling the False Discovery Rate, Journal of the Royal
 *  Statistical Society B 57 (1995); positive dependence: Y. Benjamini, D. Yekutieli, Annals of Statistics 29 (2001). */
weir_status weir_benjamini_hochberg_adjust(const double *p, int64_t count, double *adjusted, weir_err *err) WEIR_MUST_CHECK;

/** Holm's correction: adjusted [count] p-values that hold for all comparisons together; those at most α are significant at level α. adjusted may be p itself.
 *  Errors: WEIR_EDATA for a p that is not in [0, 1]; WEIR_ENOMEM. Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian
 *  Journal of Statistics 6 (1979). */
weir_status weir_holm_adjust(const double *p, int64_t count, double *adjusted, weir_err *err) WEIR_MUST_CHECK;

#endif
