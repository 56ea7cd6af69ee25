/* Elementary functions that are the same bits on every machine: IEEE arithmetic and sqrt only, no libm function whose last bit may differ. For simulators. */
#ifndef WEIR_PRODUCERS_PORTABLE_H
#define WEIR_PRODUCERS_PORTABLE_H

/** |x| ≤ 1e6 radians, absolute error < 1e-15 for |x| ≤ 100. */
double weir_portable_sin(double x);
double weir_portable_cos(double x);
/** Angle of the point (x, y) in (-π, π], as atan2(y, x); 0 for (0, 0). Absolute error < 1e-15. */
double weir_portable_atan2(double y, double x);
/** |x| ≤ 700; relative error < 1e-15. */
double weir_portable_exp(double x);
/** Cube root of x ≥ 0; relative error < 1e-15. */
double weir_portable_cbrt(double x);

#endif
