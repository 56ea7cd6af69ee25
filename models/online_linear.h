/* The inside of a model that algorithm sgd or ftrl loaded. */
#ifndef WEIR_MODELS_ONLINE_LINEAR_H
#define WEIR_MODELS_ONLINE_LINEAR_H

#include "models/linear_form.h"

/** Its linear form, before the link, and what a regression makes of a sum: mean + scale · sum. Borrowed. */
void weir_online_scale(const void *predictor, const weir_linear_form **ret_form, double *ret_mean, double *ret_scale);

#endif
