/* Its second metric has a name that is taken in its task; the first one, the same name of another task, is free. */
#include "models/metrics.h"

static weir_status measure(const weir_model_metric *self, const weir_outcomes *outcomes, double *ret_value, weir_err *err) {
    (void)self, (void)outcomes, (void)err;
    *ret_value = 0;
    return WEIR_OK;
}

static const weir_model_metric metrics[] = {
    {.abi = WEIR_METRIC_ABI, .name = "brier", .task = WEIR_TASK_REGRESSION, .doc = "Nothing", .measure = measure},
    {.abi = WEIR_METRIC_ABI, .name = "brier", .task = WEIR_TASK_BINARY, .doc = "Nothing", .measure = measure},
    {.name = NULL},
};

const weir_model_metric *weir_plugin_metrics(void) {
    return metrics;
}
