/* The multinomial part of logistic regression. */
#ifndef WEIR_MODELS_SOFTMAX_H
#define WEIR_MODELS_SOFTMAX_H

#include "models/linear_form.h"

/** Fits the form's intercepts and coefficients to a multiclass matrix; its standardisation is there already. Memory: a probability a row and class, and a chunk
 *  of rows.
 *  Errors: WEIR_ENOMEM; WEIR_ENUMERIC when the fit does not converge in max_iterations Newton steps. */
weir_status weir_softmax_fit(const weir_matrix *train, double l2, int64_t max_iterations, weir_linear_form *form, weir_err *err) WEIR_MUST_CHECK;

/** score [count] → e^{score} / Σ e^{score}, in place and without overflow. Returns ln Σ e^{score}. */
double weir_softmax(double *score, int count);

#endif
