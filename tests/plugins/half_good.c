/* A good metric, and an algorithm that says nothing of itself: nothing of it may be added. */
#include "models/metrics.h"
#include "models/model.h"

static weir_status measure(const weir_model_metric *self, const weir_outcomes *outcomes, double *ret_value, weir_err *err) {
    (void)self, (void)outcomes, (void)err;
    *ret_value = 0;
    return WEIR_OK;
}

static const weir_model_metric metrics[] = {
    {.abi = WEIR_METRIC_ABI, .name = "half_good", .task = WEIR_TASK_REGRESSION, .doc = "Nothing", .measure = measure},
    {.name = NULL},
};
static const weir_algorithm algorithms[] = {{.abi = WEIR_ALGORITHM_ABI, .name = "half_bad"}, {.name = NULL}};

const weir_model_metric *weir_plugin_metrics(void) {
    return metrics;
}

const weir_algorithm *weir_plugin_algorithms(void) {
    return algorithms;
}
