/* Models for other programs: JSON that says everything, ONNX and PMML that score the same. */
#ifndef WEIR_MODELS_EXPORT_H
#define WEIR_MODELS_EXPORT_H

#include "models/model.h"

typedef enum weir_export_format { WEIR_EXPORT_NATIVE, WEIR_EXPORT_JSON, WEIR_EXPORT_ONNX, WEIR_EXPORT_PMML } weir_export_format;
enum { WEIR_EXPORT_FORMAT_COUNT = WEIR_EXPORT_PMML + 1 };
/** "native", "json", "onnx", "pmml"; also the files' extensions, but for native's "weirmodel". */
const char *weir_export_format_name(weir_export_format format);
bool weir_export_format_find(const char *name, weir_export_format *ret_format) WEIR_MUST_CHECK;

/** Appends the model, preprocessing included. A model that the format cannot hold exactly is WEIR_EINVAL and says which part of it. */
weir_status weir_model_export(const weir_model *model, weir_export_format format, weir_buf *ret_bytes, weir_err *err) WEIR_MUST_CHECK;

#endif
