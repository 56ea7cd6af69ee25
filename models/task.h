/* What a model is to tell: the kinds of supervised task. Alone in its file, so that plugins and metrics need nothing else of Weir. */
#ifndef WEIR_MODELS_TASK_H
#define WEIR_MODELS_TASK_H

#include <stdbool.h>

#include "core/err.h"

typedef enum weir_task {
    WEIR_TASK_BINARY, /* label 0 or 1; one score a row: the probability of 1, or for metrics anything that rises with it */
    WEIR_TASK_MULTICLASS, /* label 0 … class_count − 1; class_count scores a row: probabilities that sum to 1; the class of the highest is called, the first of equals */
    WEIR_TASK_REGRESSION, /* any finite label; one score a row: the value */
} weir_task;
enum { WEIR_TASK_COUNT = WEIR_TASK_REGRESSION + 1 };

/** "binary", "multiclass", "regression": as in an artifact's header. */
const char *weir_task_name(weir_task task);
/** False, and *ret_task untouched, when no task has that name. */
bool weir_task_find(const char *name, weir_task *ret_task) WEIR_MUST_CHECK;

#endif
