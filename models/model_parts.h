/* The inside of a loaded model, for what explains it or writes it in another format. */
#ifndef WEIR_MODELS_MODEL_PARTS_H
#define WEIR_MODELS_MODEL_PARTS_H

#include "models/model.h"
#include "models/prep.h"
#include "models/svr.h"
#include "models/trees.h"

/* Borrowed from the model. */
typedef struct weir_model_parts {
    const weir_algorithm *algorithm;
    const void *predictor; /* what the algorithm loaded; of trees NULL as long as nobody asked for it by weir_model_predictor */
    const cJSON *header;
    const weir_prep *prep; /* NULL: rows go to the algorithm as they are */
    weir_model_shape shape, fitted; /* of the rows that are scored, and of those that the algorithm gets */
    const void *artifact, *body;
    size_t artifact_len, body_len;
} weir_model_parts;

weir_model_parts weir_model_inside(const weir_model *model);
/** What the algorithm loads from the body, which is done now unless it is done already; borrowed. Thread-safe. Errors: those of the algorithm's load. */
weir_status weir_model_predictor(weir_model *model, void **ret_predictor, weir_err *err) WEIR_MUST_CHECK;
/** Has the algorithm a body of trees? */
bool weir_model_has_trees(const weir_model *model);
/** The linear form of an algorithm that is one (before its link), or NULL. */
const weir_linear_form *weir_model_linear_form(const weir_model *model);
/** The support vectors of algorithm svr, or NULL. */
const weir_svr *weir_model_svr(const weir_model *model);
/** The trees of such a model; they are read once and kept with it. Thread-safe. Errors: those of weir_trees_parse. */
weir_status weir_model_trees(weir_model *model, const weir_trees **ret_trees, weir_err *err) WEIR_MUST_CHECK;

#endif
