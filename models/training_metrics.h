/* Names of metrics in training files. */
#ifndef WEIR_MODELS_TRAINING_METRICS_H
#define WEIR_MODELS_TRAINING_METRICS_H

/** Weir's name of a metric that scikit-learn names otherwise ("r2_score"); any other name is returned as it is. */
const char *weir_training_metric_name(const char *name);

#endif
