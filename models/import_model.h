/* Models that were trained elsewhere become artifacts. */
#ifndef WEIR_MODELS_IMPORT_MODEL_H
#define WEIR_MODELS_IMPORT_MODEL_H

#include "models/model.h"

/** Appends an artifact made of a model that XGBoost saved, in JSON or UBJSON (algorithm xgboost), or LightGBM as text (algorithm lightgbm). columns (NULL-terminated; NULL: the feature names in
 *  the file) are its inputs in order.
 *  Taken of XGBoost: gbtree with binary:logistic, multi:softprob, reg:squarederror, reg:absoluteerror, reg:pseudohubererror, count:poisson, reg:tweedie, reg:gamma; splits by number and by
 *  category, where categories are the numbers of rows; a base_score for each class too, as newer releases estimate it. Of LightGBM: what models/lightgbm.h reads.
 *  Errors: WEIR_EDATA for what is no such model, with what it is; WEIR_EINVAL for a wrong number of columns, or none named; WEIR_ENOMEM. */
weir_status weir_import_model(const void *bytes, size_t len, const char *const *columns, const char *feature_hash, weir_buf *ret_artifact,
                              weir_err *err) WEIR_MUST_CHECK;

#endif
