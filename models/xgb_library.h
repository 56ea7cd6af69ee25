/* The functions of XGBoost that we call. */
#ifndef WEIR_MODELS_XGB_LIBRARY_H
#define WEIR_MODELS_XGB_LIBRARY_H

#include <xgboost/c_api.h>

#include "core/err.h"

// clang-format off
#define WEIR_XGB_FUNCTIONS(X) \
    X(XGBGetLastError) X(XGBoosterBoostOneIter) X(XGBoosterCreate) X(XGBoosterEvalOneIter) X(XGBoosterFree) X(XGBoosterGetNumFeature) \
    X(XGBoosterGetStrFeatureInfo) X(XGBoosterLoadModelFromBuffer) X(XGBoosterPredictFromDMatrix) X(XGBoosterPredictFromDense) \
    X(XGBoosterSaveModelToBuffer) X(XGBoosterSetParam) X(XGBoosterSetStrFeatureInfo) X(XGBoosterSlice) X(XGBoosterUpdateOneIter) \
    X(XGCommunicatorFinalize) X(XGCommunicatorGetRank) X(XGCommunicatorGetWorldSize) X(XGCommunicatorInit) X(XGDMatrixCreateFromDense) \
    X(XGDMatrixCreateFromMat) X(XGDMatrixFree) X(XGDMatrixSetFloatInfo) X(XGDMatrixSetInfoFromInterface) X(XGDMatrixSetStrFeatureInfo)
// clang-format on

/* weir_xgb.XGBoosterCreate is XGBoosterCreate, and so on, once weir_xgb_load_library was well. */
typedef struct weir_xgb_functions {
#define WEIR_XGB_FUNCTION(name) __typeof__(&name) name;
    WEIR_XGB_FUNCTIONS(WEIR_XGB_FUNCTION)
#undef WEIR_XGB_FUNCTION
} weir_xgb_functions;

extern weir_xgb_functions weir_xgb;

/** Before any of them is called. */
weir_status weir_xgb_load_library(weir_err *err) WEIR_MUST_CHECK;

#endif
