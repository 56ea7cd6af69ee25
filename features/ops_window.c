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
    for (int i = 0; i < n; i++) rest += x[i] - m.mean; /* what rounding left in the mean */
    m.mean += rest / n;
    for (int i = 0; i < n; i++) {
        double d = x[i] - m.mean, d2 = d * d;
        m.m2 += d2;
        m.m3 += d2 * d;
        m.m4 += d2 * d2;
    }
    return m;
}

/* Heapsort: sifts x[at] down among x [n]. */
static void sift_down(double *x, int at, int n) {
    double value = x[at];
    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && x[child + 1] > x[child]) child++;
        if (x[child] <= value) break;
        x[at] = x[child];
    }
    x[at] = value;
}

void weir_sort_values(double *x, int n) {
    for (int i = n / 2 - 1; i >= 0; i--) sift_down(x, i, n);
    for (int end = n - 1; end > 0; end--) {
        double top = x[0];
        x[0] = x[end];
        x[end] = top;
        sift_down(x, 0, end);
    }
}
