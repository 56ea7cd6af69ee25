/* Distribution functions for p-values. Pure functions, thread-safe. */
#ifndef WEIR_CORE_DISTRIBUTIONS_H
#define WEIR_CORE_DISTRIBUTIONS_H

/* Relative error below 1e-10 for parameters and degrees of freedom up to 1e4, in the far tail too (until results are denormal). A NaN gives NaN. */

/** Regularised upper incomplete gamma function Q(a, x), a > 0, x ≥ 0. Source: NIST DLMF 8.11.4 (series, x < a + 1) and 8.9.2 (continued fraction). */
double weir_gamma_upper(double a, double x);
/** Regularised incomplete beta function I_x(a, b), a > 0, b > 0, 0 ≤ x ≤ 1. Source: NIST DLMF 8.17.22 (continued fraction) and 8.17.4 (symmetry). */
double weir_beta_lower(double x, double a, double b);
/** P(X ≥ x) of a chi-square variable. x < 0 gives 1. */
double weir_chi_square_tail(double x, double degrees);
/** P(|T| ≥ |t|) of Student's t; infinite t gives 0. */
double weir_student_two_sided(double t, double degrees);
/** P(|Z| ≥ |z|) of the standard normal distribution. */
double weir_normal_two_sided(double z);

/** The x with P(Z ≤ x) = p of the standard normal distribution; 0 gives −∞, 1 gives ∞, what is no probability NaN. By bisection: 60 calls of erfc. */
double weir_normal_inverse(double p);

#endif
