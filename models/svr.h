/* A support vector machine as algorithm svr loads one. */
#ifndef WEIR_MODELS_SVR_H
#define WEIR_MODELS_SVR_H

#include "models/linear_form.h"

/* Numbers in artifacts; those of libsvm. */
typedef enum weir_svr_kernel_kind { WEIR_SVR_LINEAR, WEIR_SVR_POLY, WEIR_SVR_RBF, WEIR_SVR_SIGMOID } weir_svr_kernel_kind;

/* The part of a body that is the same size in every one. */
typedef struct weir_svr_head {
    int32_t kernel, degree;
    double gamma, coef0, intercept;
    int64_t count; /* of support vectors */
} weir_svr_head;
_Static_assert(sizeof(weir_svr_head) == 40, "the head is written as it lies in memory: it has no gaps");

typedef struct weir_svr {
    weir_linear_form *form; /* the standardisation only */
    weir_svr_head head;
    double *coefficient, *vector; /* [count], [count][column_count] */
} weir_svr;

/** K(a, b) of two standardised rows of `count` columns. */
double weir_svr_kernel(const weir_svr_head *head, const double *a, const double *b, int count);

/* What is minimised: see models/svr_solver.c. */
typedef struct weir_svr_problem {
    const weir_svr_head *kernel;
    const double *z, *label; /* [row_count][column_count], [row_count] */
    int64_t row_count;
    int column_count;
    double c, epsilon, tol;
    double cache_bytes; /* for the rows of the kernel that were used last, two at least; what comes out does not depend on it */
} weir_svr_problem;

/** Coefficients [row_count], those of rows that are no support vectors 0, and the intercept; looks at models/interrupt.h before every step. WEIR_ENUMERIC when
 *  the steps that are allowed do not suffice; the caller checks that numbers are finite. */
weir_status weir_svr_solve(const weir_svr_problem *problem, double *ret_coefficient, double *ret_intercept, weir_err *err) WEIR_MUST_CHECK;

#endif
