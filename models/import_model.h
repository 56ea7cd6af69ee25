/* Models that were trained elsewhere become artifacts. */
#ifndef WEIR_MODELS_IMPORT_MODEL_H
#define WEIR_MODELS_IMPORT_MODEL_H

#include "models/model.h"

/** Appends an artifact of algorithm xgboost made of a model that XGBoost saved, in JSON or UBJSON: its trees, objective and feature names. columns (NULL-terminated; NULL: the feature names)
 *  are its inputs in order. Missing values are NaN, and values become float32, as XGBoost itself has it.
 *  Taken: gbtree with binary:logistic, multi:softprob, reg:squarederror, reg:absoluteerror, reg:pseudohubererror, count:poisson, reg:tweedie, reg:gamma; splits by number, one base_score.
 *  Errors: WEIR_EDATA for what is no such model, with what it is; WEIR_EINVAL for a wrong number of columns, or none named; WEIR_ENOMEM. */
weir_status weir_import_xgboost(const void *bytes, size_t len, const char *const *columns, const char *feature_hash, weir_buf *ret_artifact,
                                weir_err *err) WEIR_MUST_CHECK;

#endif
