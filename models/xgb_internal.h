/* Between the two ways to train with XGBoost: in this process (xgb_common.c) and as one of several (xgb_part.c). */
#ifndef WEIR_MODELS_XGB_INTERNAL_H
#define WEIR_MODELS_XGB_INTERNAL_H

#include <inttypes.h>

#include "models/xgb_common.h"
#include "models/xgb_library.h"

/* The library's form of an array of float32: address, rows, columns. */
#define WEIR_XGB_ARRAY "{\"data\": [%" PRIuPTR ", true], \"shape\": [%" PRId64 ", %d], \"typestr\": \"<f4\", \"version\": 3}"
enum { WEIR_XGB_ARRAY_MAX = 160 };

/** WEIR_EINTERNAL with the library's message. */
weir_status weir_xgb_failed(const char *what, weir_err *err);
weir_status weir_xgb_booster_set(BoosterHandle booster, const weir_xgb_params *params, uint64_t seed, int threads, weir_err *err) WEIR_MUST_CHECK;
/** Gives the model its columns' names and appends it in UBJSON. */
weir_status weir_xgb_append_model(BoosterHandle booster, const char *const *column_names, int column_count, weir_buf *ret_body, weir_err *err) WEIR_MUST_CHECK;
/** The loss of the objective on held-out rows; of several workers on the rows of all of them. */
weir_status weir_xgb_measure(BoosterHandle booster, int round, DMatrixHandle validation, double *ret_loss, weir_err *err) WEIR_MUST_CHECK;

#endif
