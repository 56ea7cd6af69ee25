/* Models of several: averages, weighted averages, stacking, and one model a target, each as one artifact.
 *
 * The body of the artifact; numbers are little-endian:
 *
 *   offset      bytes
 *   0           4       format version, 1
 *   4           4       weir_composition
 *   8           4       number of members M
 *   12          4       number of meta models, 1 of stacking, else 0
 *   16          8 M     weights of the members, float64; of stacking and targets 0
 *   16+8M               for each member, then the meta model: 8 bytes length, and its whole artifact */
#ifndef WEIR_MODELS_COMPOSITE_H
#define WEIR_MODELS_COMPOSITE_H

#include "models/model.h"

/* What is loaded. */
typedef struct weir_composite {
    weir_composition kind;
    int member_count;
    weir_model **members; /* [member_count] */
    double *weights; /* [member_count] */
    weir_model *meta; /* stacking only */
} weir_composite;

/* Their fit only says that they are fitted by models/spec.h; neither is among weir_algorithms(). */
extern const weir_algorithm weir_algorithm_ensemble, weir_algorithm_multi_target;

/** "average", "weighted", "stacking", "targets". */
const char *weir_composition_name(weir_composition kind);
/** Appends a body. members [member_count] and meta (NULL but for stacking) are artifacts; weights [member_count] may be NULL. Errors: WEIR_ENOMEM. */
weir_status weir_composite_write(weir_composition kind, const weir_buf *members, int member_count, const double *weights, const weir_buf *meta,
                                 weir_buf *ret_body, weir_err *err) WEIR_MUST_CHECK;

#endif
