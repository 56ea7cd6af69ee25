/* Between the files that write compiled models. */
#ifndef WEIR_MODELS_SCORER_COMPILE_INTERNAL_H
#define WEIR_MODELS_SCORER_COMPILE_INTERNAL_H

#include "models/hoeffding.h"
#include "models/lightgbm.h"
#include "models/scorer/format.h"

typedef struct weir_score_writer {
    weir_buf *out;
    size_t start; /* of the file in out */
    score_model *models; /* [capacity] */
    uint32_t count, capacity; /* capacity: of the model and all its members */
} weir_score_writer;

/** Room for count elements at the next multiple of 64, zeroed; *ret_room is good until the next call. WEIR_ENOMEM. */
weir_status weir_score_room(weir_score_writer *w, uint64_t count, size_t size, score_span *ret_span, void **ret_room, weir_err *err) WEIR_MUST_CHECK;
/** What follows the shape in m. Errors: WEIR_ELIMIT, WEIR_ENOMEM. */
weir_status weir_score_put_lightgbm(weir_score_writer *w, const weir_lgb *lgb, score_model *m, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_score_put_hoeffding(weir_score_writer *w, const weir_hoeffding *tree, score_model *m, weir_err *err) WEIR_MUST_CHECK;

#endif
