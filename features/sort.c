/* Quicksort and quickselect with the median of three as pivot, insertion sort for what is short, heapsort where pivots keep being bad.
 * Source: Musser, Introspective sorting and selection algorithms (1997). */
#include "features/sort.h"

#include <stdbool.h>

enum { SHORT = 16 };

/** Partitions before heapsort takes over: twice log2(n). */
static int patience(int n) {
    int rounds = 0;
    for (; n > 1; n /= 2) rounds += 2;
    return rounds;
}

static double median3(double a, double b, double c) {
    if (a > b) return b > c ? b : a < c ? a : c;
    return a > c ? a : b < c ? b : c;
}

static void sink(double *heap, int from, int n) {
    double value = heap[from];
    for (int child; (child = 2 * from + 1) < n; from = child) {
        if (child + 1 < n && heap[child] < heap[child + 1]) child++;
        if (!(value < heap[child])) break;
        heap[from] = heap[child];
    }
    heap[from] = value;
}

static void heap_sort(double *values, int n) {
    for (int i = n / 2 - 1; i >= 0; i--) sink(values, i, n);
    for (int end = n - 1; end > 0; end--) {
        double top = values[0];
        values[0] = values[end];
        values[end] = top;
        sink(values, 0, end);
    }
}

static void insertion_sort(double *values, int n) {
    for (int i = 1; i < n; i++) {
        double value = values[i];
        int at = i;
        for (; at > 0 && value < values[at - 1]; at--) values[at] = values[at - 1];
        values[at] = value;
    }
}

/** Hoare's: afterwards [0, *ret_low) ≤ pivot ≤ [*ret_high, n), what lies between equals it, and both parts are shorter than n. n > 1. */
static void partition(double *values, int n, int *ret_low, int *ret_high) {
    double pivot = median3(values[0], values[n / 2], values[n - 1]);
    int i = 0, j = n - 1;
    while (i <= j) {
        while (values[i] < pivot) i++;
        while (values[j] > pivot) j--;
        if (i > j) break;
        double swapped = values[i];
        values[i++] = values[j];
        values[j--] = swapped;
    }
    *ret_low = j + 1;
    *ret_high = i;
}

/* Recurses into the shorter part: no deeper than log2(n). */
static void sort_within(double *values, int n, int rounds) {
    while (n > SHORT) {
        if (rounds-- == 0) {
            heap_sort(values, n);
            return;
        }
        int low, high;
        partition(values, n, &low, &high);
        if (low < n - high) {
            sort_within(values, low, rounds);
            values += high;
            n -= high;
        } else {
            sort_within(values + high, n - high, rounds);
            n = low;
        }
    }
    insertion_sort(values, n);
}

void weir_sort(double *values, int n) {
    sort_within(values, n, patience(n));
}

void weir_select(double *values, int n, int k) {
    for (int rounds = patience(n); n > SHORT;) {
        if (rounds-- == 0) {
            heap_sort(values, n);
            return;
        }
        int low, high;
        partition(values, n, &low, &high);
        if (k < low) {
            n = low;
        } else if (k >= high) {
            values += high;
            n -= high;
            k -= high;
        } else {
            return;
        }
    }
    insertion_sort(values, n);
}

/* Pairs: the same over keys of two parts. */

static bool pair_before(weir_pair a, weir_pair b) {
    return a.key < b.key || (a.key == b.key && a.with < b.with);
}

static void sink_pair(weir_pair *heap, int from, int n) {
    weir_pair value = heap[from];
    for (int child; (child = 2 * from + 1) < n; from = child) {
        if (child + 1 < n && pair_before(heap[child], heap[child + 1])) child++;
        if (!pair_before(value, heap[child])) break;
        heap[from] = heap[child];
    }
    heap[from] = value;
}

static void heap_sort_pairs(weir_pair *pairs, int n) {
    for (int i = n / 2 - 1; i >= 0; i--) sink_pair(pairs, i, n);
    for (int end = n - 1; end > 0; end--) {
        weir_pair top = pairs[0];
        pairs[0] = pairs[end];
        pairs[end] = top;
        sink_pair(pairs, 0, end);
    }
}

static weir_pair median3_pair(weir_pair a, weir_pair b, weir_pair c) {
    if (pair_before(b, a)) return pair_before(c, b) ? b : pair_before(a, c) ? a : c;
    return pair_before(c, a) ? a : pair_before(b, c) ? b : c;
}

static void sort_pairs_within(weir_pair *pairs, int n, int rounds) {
    while (n > SHORT) {
        if (rounds-- == 0) {
            heap_sort_pairs(pairs, n);
            return;
        }
        weir_pair pivot = median3_pair(pairs[0], pairs[n / 2], pairs[n - 1]);
        int i = 0, j = n - 1;
        while (i <= j) {
            while (pair_before(pairs[i], pivot)) i++;
            while (pair_before(pivot, pairs[j])) j--;
            if (i > j) break;
            weir_pair swapped = pairs[i];
            pairs[i++] = pairs[j];
            pairs[j--] = swapped;
        }
        if (j + 1 < n - i) {
            sort_pairs_within(pairs, j + 1, rounds);
            pairs += i;
            n -= i;
        } else {
            sort_pairs_within(pairs + i, n - i, rounds);
            n = j + 1;
        }
    }
    for (int i = 1; i < n; i++) {
        weir_pair pair = pairs[i];
        int at = i;
        for (; at > 0 && pair_before(pair, pairs[at - 1]); at--) pairs[at] = pairs[at - 1];
        pairs[at] = pair;
    }
}

void weir_sort_pairs(weir_pair *pairs, int n) {
    sort_pairs_within(pairs, n, patience(n));
}
