#include "models/model_parts.h"

#include "models/algorithms.h"
#include "models/least_squares.h"
#include "models/xgb_common.h"

bool weir_model_has_trees(const weir_model *model) {
    return weir_model_inside(model).algorithm->load == weir_xgb_load;
}

const weir_linear_form *weir_model_linear_form(const weir_model *model) {
    weir_model_parts parts = weir_model_inside(model);
    bool linear = parts.algorithm == &weir_algorithm_logistic || parts.algorithm->load == weir_least_squares_load;
    return linear ? parts.predictor : NULL;
}

const weir_svr *weir_model_svr(const weir_model *model) {
    weir_model_parts parts = weir_model_inside(model);
    return parts.algorithm == &weir_algorithm_svr ? parts.predictor : NULL;
}
