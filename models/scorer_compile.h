/* Compiles a fitted model into the flat form that libweirscore scores by (models/scorer/format.h). */
#ifndef WEIR_MODELS_SCORER_COMPILE_H
#define WEIR_MODELS_SCORER_COMPILE_H

#include "models/model.h"
#include "models/scorer/weirscore.h"

/** Has every part of the model a compiled form? The algorithms of plugins have none. */
bool weir_scorer_can(weir_model *model);

/** Appends the file image, whose first byte must be put at a multiple of 64. Same model, same bytes.
 *  Errors: WEIR_EINVAL naming the part that has no compiled form, WEIR_ELIMIT for more columns or outputs than the form has room for, those of weir_trees_parse, WEIR_ENOMEM. */
weir_status weir_scorer_compile(weir_model *model, weir_buf *ret_file, weir_err *err) WEIR_MUST_CHECK;

/* A compiled model in memory of its own. */
typedef struct weir_scorer {
    void *bytes; /* at a multiple of 64 */
    size_t len;
    weirscore *model;
} weir_scorer;
/** Compiles and opens. */
weir_status weir_scorer_make(weir_model *model, weir_scorer *ret_scorer, weir_err *err) WEIR_MUST_CHECK;
void weir_scorer_done(weir_scorer *scorer);

#endif
