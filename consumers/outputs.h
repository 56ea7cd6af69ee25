/* What a row's scores say where a model gives several: one number, a class, and all of them as a text. */
#ifndef WEIR_CONSUMERS_OUTPUTS_H
#define WEIR_CONSUMERS_OUTPUTS_H

#include "core/mem.h"
#include "core/row.h"
#include "models/model.h"

/** The one number that stands for a row, scores [weir_model_output_count]: the score itself; of a multiclass model that of the class which is called, the highest
 *  (the first of several); of several targets the first one's. NaN when any of them is not finite, NaN of a single score as it is. *ret_class: the class that is
 *  called, −1 where the model knows no classes but yes and no. */
double weir_outputs_score(const weir_model *model, const double *scores, int *ret_class);
/** The name of a class of a multiclass model, its number where classes have no names (written into number); null for −1. */
weir_datum weir_outputs_class(const weir_model *model, int class, char number[16]);
/** {"class or target": score, …} in the order of the outputs, appended; each number reads back as the same. */
bool weir_outputs_json(const weir_model *model, const double *scores, weir_buf *out) WEIR_MUST_CHECK;

#endif
