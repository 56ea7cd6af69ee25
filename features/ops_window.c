#include "features/ops_window.h"

#include <math.h>

static bool row_is_whole(const weir_window *window, int inputs, int row) {
    for (int i = 0; i < inputs; i++)
        if (isnan(window->in[i][row])) return false;
    return true;
}

int weir_window_rows(const weir_window *window, int inputs, int newest, double *rows) {
    int start = 0, count = 0;
    if (newest > 0)
        for (start = window->count; start > 0 && count < newest;) count += row_is_whole(window, inputs, --start);
    count = 0;
    for (int row = start; row < window->count; row++)
        if (row_is_whole(window, inputs, row)) rows[count++] = row;
    return count;
}

int weir_window_values(const weir_window *window, int newest) {
    int count = weir_window_rows(window, 1, newest, window->scratch);
    for (int i = 0; i < count; i++) window->scratch[i] = window->in[0][(int)window->scratch[i]];
    return count;
}

weir_moments weir_moments_of(const double *x, int n) {
    bool equal = true;
    double sum = 0, rest = 0;
    for (int i = 0; i < n; i++) {
        sum += x[i];
        equal = equal && x[i] == x[0];
    }
    if (equal) return (weir_moments){.mean = x[0]};
    weir_moments m = {.mean = sum / n};
    for (int i = 0; i < n; i++) {
        double d = x[i] - m.mean, d2 = d * d;
        rest += d;
        m.m2 += d2;
        m.m3 += d2 * d;
        m.m4 += d2 * d2;
    }
    /* The deviations are from a rounded mean: moved to the mean itself, which is `rest` away. */
    rest /= n;
    m.mean += rest;
    m.m4 += rest * (-4 * m.m3 + rest * (6 * m.m2 - 3 * n * rest * rest));
    m.m3 += rest * (-3 * m.m2 + 2 * n * rest * rest);
    m.m2 -= n * rest * rest;
    return m;
}
