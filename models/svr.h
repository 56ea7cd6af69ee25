/* A support vector machine as algorithm svr loads one. */
#ifndef WEIR_MODELS_SVR_H
#define WEIR_MODELS_SVR_H

#include "models/linear_form.h"

/* libsvm's numbers. */
typedef enum weir_svr_kernel { WEIR_SVR_LINEAR, WEIR_SVR_POLY, WEIR_SVR_RBF, WEIR_SVR_SIGMOID } weir_svr_kernel;

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

#endif
