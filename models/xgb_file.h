/* What XGBoost saved, before the library reads it. */
#ifndef WEIR_MODELS_XGB_FILE_H
#define WEIR_MODELS_XGB_FILE_H

#include "models/model.h"

/** Looks into a model in JSON or UBJSON: whether its arrays fit each other, which the library takes for granted, and whether its categories are the numbers that rows will hold. Takes out
 *  the list of those, whose numbers of one byte the library cannot read.
 *  Errors: WEIR_EDATA naming the field; WEIR_ENOMEM. The file is then as it was. */
weir_status weir_xgb_check_file(weir_buf *file, weir_err *err) WEIR_MUST_CHECK;

#endif
