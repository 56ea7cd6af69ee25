/* A model of one output is by far the most common: nothing here costs it more than a look at the count. */
#include "consumers/outputs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

double weir_outputs_score(const weir_model *model, const double *scores, int *ret_class) {
    int count = weir_model_output_count(model), best = 0;
    *ret_class = -1;
    if (count == 1) return scores[0];
    for (int i = 0; i < count; i++) {
        if (!isfinite(scores[i])) return NAN;
        if (scores[i] > scores[best]) best = i;
    }
    if (weir_model_task(model) != WEIR_TASK_MULTICLASS) return scores[0];
    *ret_class = best;
    return scores[best];
}

/* The number is written only where there is no name. */
static const char *name_of(const weir_model *model, int output, char number[16]) {
    const char *const *names = weir_model_task(model) == WEIR_TASK_MULTICLASS ? weir_model_class_names(model) : weir_model_target_names(model);
    if (names) return names[output];
    snprintf(number, 16, "%d", output);
    return number;
}

weir_datum weir_outputs_class(const weir_model *model, int class, char number[16]) {
    return class < 0 ? weir_null() : weir_text(name_of(model, class, number));
}

bool weir_outputs_json(const weir_model *model, const double *scores, weir_buf *out) {
    bool ok = weir_buf_append(out, "{", 1);
    for (int i = 0; ok && i < weir_model_output_count(model); i++) {
        char number[16];
        const char *name = name_of(model, i, number);
        ok = weir_buf_printf(out, "%s\"", i ? "," : "") && weir_buf_json_escape(out, name, strlen(name)) && weir_buf_printf(out, "\":%.17g", scores[i]);
    }
    return ok && weir_buf_append(out, "}", 1);
}
