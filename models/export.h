/* Models for other programs: JSON that says everything, ONNX and PMML that score the same. */
#ifndef WEIR_MODELS_EXPORT_H
#define WEIR_MODELS_EXPORT_H

#include "models/model.h"

typedef enum weir_export_format { WEIR_EXPORT_NATIVE, WEIR_EXPORT_JSON, WEIR_EXPORT_ONNX, WEIR_EXPORT_PMML, WEIR_EXPORT_SCORE } weir_export_format;
enum { WEIR_EXPORT_FORMAT_COUNT = WEIR_EXPORT_SCORE + 1 };
/** "native", "json", "onnx", "pmml", "score"; also the files' extensions, but for native's "weirmodel". */
const char *weir_export_format_name(weir_export_format format);
bool weir_export_format_find(const char *name, weir_export_format *ret_format) WEIR_MUST_CHECK;

/** Appends the model, preprocessing included.
 *    native   the artifact itself
 *    json     all of it: models/export.c says how
 *    onnx     input "input" double [N, columns], NaN: missing; outputs "output" double [N, scores a row] and, of classes, "label" int64 [N] (of a binary task 1 from a score of 1/2 on)
 *    pmml     4.4: fields by the columns' names, left out: missing; output fields "predicted" and, of classes, "probability(0)", "probability(1)", …
 *    score    the compiled form, for libweirscore (models/scorer/weirscore.h): the same bits
 *  Categories are the numbers that they are in rows (weir_text_number of a text). In onnxruntime and PMML4S scores equal weir_model_predict's, relative to the largest, to 1e-6 of trees
 *  (the same leaves, float32 sums in another order), 1e-11 (PMML 1e-9) of linear models and 1e-9 of support vectors.
 *  Errors: WEIR_EINVAL when the format cannot hold the model exactly, with the part of it: hashed categories, splits by sets of categories, algorithms of plugins; in all but native and score Hoeffding trees too; in PMML several targets, and columns whose names begin
 *  with "weir."; WEIR_ELIMIT for ONNX of 2 GB; WEIR_ENOMEM. *ret_bytes is then as it was. */
weir_status weir_model_export(const weir_model *model, weir_export_format format, weir_buf *ret_bytes, weir_err *err) WEIR_MUST_CHECK;

#endif
