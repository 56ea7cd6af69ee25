/* The algorithms that are compiled in; models/algorithms.c lists them. */
#ifndef WEIR_MODELS_ALGORITHMS_H
#define WEIR_MODELS_ALGORITHMS_H

#include "models/model.h"

extern const weir_algorithm weir_algorithm_logistic, weir_algorithm_xgboost, weir_algorithm_forest;
extern const weir_algorithm weir_algorithm_linear, weir_algorithm_ridge, weir_algorithm_lasso, weir_algorithm_elastic_net, weir_algorithm_svr;
extern const weir_algorithm weir_algorithm_sgd, weir_algorithm_ftrl, weir_algorithm_hoeffding; /* these learn on from a stream */

#endif
