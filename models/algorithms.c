/* The algorithms of this build. */
#include "models/algorithms.h"

#include <string.h>

static const weir_algorithm *const algorithms[] = {&weir_algorithm_logistic,    &weir_algorithm_xgboost, &weir_algorithm_forest,
                                                   &weir_algorithm_linear,      &weir_algorithm_ridge,   &weir_algorithm_lasso,
                                                   &weir_algorithm_elastic_net, &weir_algorithm_svr,     NULL};

const weir_algorithm *const *weir_algorithms(void) {
    return algorithms;
}

const weir_algorithm *weir_algorithm_find(const char *name) {
    for (const weir_algorithm *const *a = algorithms; *a; a++)
        if (!strcmp((*a)->name, name)) return *a;
    return NULL;
}
