/* Its function is there, and returns no table. */
#include "models/metrics.h"

const weir_model_metric *weir_plugin_metrics(void) {
    return NULL;
}
