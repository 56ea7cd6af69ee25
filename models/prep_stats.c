/* Statistics of one column that several steps of a chain need. */
#include "models/prep_internal.h"

double weir_prep_sum(const double *values, int n) {
    double sum = 0, lost = 0;
    for (int i = 0; i < n; i++) {
        double x = values[i], next = sum + x;
        lost += fabs(sum) >= fabs(x) ? (sum - next) + x : (x - next) + sum;
        sum = next;
    }
    return sum + lost;
}

double weir_prep_mean(const double *values, int n) {
    return n ? weir_prep_sum(values, n) / n : 0;
}

double weir_prep_variance(const double *values, int n, double mean) {
    double squares = 0, deviations = 0;
    for (int i = 0; i < n; i++) {
        double d = values[i] - mean;
        squares += d * d;
        deviations += d;
    }
    double rest = squares - deviations * deviations / n;
    return rest < 0 ? 0 : rest / n; /* what is too large for a double stays infinite or NaN */
}

/* The two forms of the interpolation are numpy's: each is exact at its end. */
double weir_prep_quantile(const double *sorted, int n, double q) {
    if (!n) return 0;
    double at = q * (n - 1);
    int below = (int)at;
    if (below + 1 >= n) return sorted[n - 1];
    double low = sorted[below], high = sorted[below + 1], t = at - below;
    return t >= 0.5 ? high - (high - low) * (1 - t) : low + (high - low) * t;
}

double weir_prep_mode(const double *sorted, int n) {
    double mode = 0;
    for (int from = 0, most = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && sorted[to] == sorted[from];) to++;
        if (to - from <= most) continue;
        most = to - from;
        mode = sorted[from];
    }
    return mode;
}
