/* libFuzzer (-DWEIR_SANITIZE=fuzz): weir_trees_parse on arbitrary bytes must refuse them or give trees that can be walked and explained, never crash.
 *
 * The first byte picks the task, the number of columns and of outputs. Seeds: the bodies of small models, with a byte in front. */
#include <math.h>
#include <stdlib.h>

#include "models/trees.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLUMNS_MAX = 8, OUTPUTS = 3 };

/* What is walked must end, and add up: contributions to the margin, unless float32 overflows. */
static void walk(const weir_trees *trees) {
    static const float values[] = {0, 1, -1, 0.5f, NAN, 1e30f, -1e30f, 0.25f};
    float margin[OUTPUTS];
    double contributions[OUTPUTS * (COLUMNS_MAX + 1)];
    weir_err err;
    weir_trees_margin(trees, values, margin);
    if (weir_trees_contributions(trees, values, contributions, &err) != WEIR_OK) return;
    int width = trees->column_count + 1;
    for (int k = 0; k < trees->output_count; k++) {
        double sum = 0, size = fabs((double)trees->base);
        for (int c = 0; c < width; c++) {
            sum += contributions[k * width + c];
            size += fabs(contributions[k * width + c]);
        }
        for (int t = 0; t < trees->tree_count; t++)
            for (int i = 0; i < trees->trees[t].node_count; i++) size += fabs((double)trees->trees[t].nodes[i].value);
        if (isfinite(margin[k]) && isfinite(sum) && fabs(sum - (double)margin[k]) > 1e-3 * size) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weir_trees *trees = NULL;
    weir_err err;
    if (size < 1) return 0;
    weir_task task = (weir_task)(data[0] % WEIR_TASK_COUNT);
    const weir_model_shape shape = {
        .column_count = 1 + data[0] / WEIR_TASK_COUNT % COLUMNS_MAX, .task = task, .output_count = task == WEIR_TASK_MULTICLASS ? OUTPUTS : 1};
    if (weir_trees_parse(data + 1, size - 1, &shape, &trees, &err) != WEIR_OK) {
        if (err.code == WEIR_OK || !*err.message || trees) abort();
        return 0;
    }
    walk(trees);
    weir_trees_free(trees);
    return 0;
}
