/* What the writers of formats share. */
#ifndef WEIR_MODELS_EXPORT_INTERNAL_H
#define WEIR_MODELS_EXPORT_INTERNAL_H

#include "models/export.h"
#include "models/model_parts.h"

/** Each appends the whole file. Errors: WEIR_EINVAL says which part of the model the format cannot hold; WEIR_ENOMEM. */
weir_status weir_export_json(const weir_model *model, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_export_onnx(const weir_model *model, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_export_pmml(const weir_model *model, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

/** The trees of a model, read for this export; the caller frees them. */
weir_status weir_export_trees(const weir_model *model, weir_trees **ret_trees, weir_err *err) WEIR_MUST_CHECK;
/** WEIR_EINVAL for a model that is not trees, linear or support vectors, or whose chain has an operation that other formats lack. */
weir_status weir_export_check(const weir_model *model, const char *format, weir_err *err) WEIR_MUST_CHECK;

#endif
