/* Heapsort for what must not be slow on any input, quickselect (Hoare's FIND, median of three) that falls back to it.
 * Source: Knuth, The Art of Computer Programming 3, 5.2.3 and 5.2.2. */
#include "features/sort.h"

#include <stdbool.h>

static bool pair_before(weir_pair a, weir_pair b) {
    return a.key < b.key || (a.key == b.key && a.with < b.with);
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

static void sink_pair(weir_pair *heap, int from, int n) {
    weir_pair value = heap[from];
    for (int child; (child = 2 * from + 1) < n; from = child) {
        if (child + 1 < n && pair_before(heap[child], heap[child + 1])) child++;
        if (!pair_before(value, heap[child])) break;
        heap[from] = heap[child];
    }
    heap[from] = value;
}

void weir_sort(double *values, int n) {
    for (int i = n / 2 - 1; i >= 0; i--) sink(values, i, n);
    for (int end = n - 1; end > 0; end--) {
        double top = values[0];
        values[0] = values[end];
        values[end] = top;
        sink(values, 0, end);
    }
}

void weir_sort_pairs(weir_pair *pairs, int n) {
    for (int i = n / 2 - 1; i >= 0; i--) sink_pair(pairs, i, n);
    for (int end = n - 1; end > 0; end--) {
        weir_pair top = pairs[0];
        pairs[0] = pairs[end];
        pairs[end] = top;
        sink_pair(pairs, 0, end);
    }
}

static double median3(double a, double b, double c) {
    if (a > b) return b > c ? b : a < c ? a : c;
    return a > c ? a : b < c ? b : c;
}

void weir_select(double *values, int n, int k) {
    int low = 0, high = n - 1, left = 8;
    for (int size = n; size > 1; size /= 2) left += 2;
    while (low < high) {
        if (left-- == 0) { /* the pivots were bad: 2 log2(n) rounds halve the range on any usual input */
            weir_sort(values + low, high - low + 1);
            return;
        }
        double pivot = median3(values[low], values[low + (high - low) / 2], values[high]);
        int i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot) i++;
            while (values[j] > pivot) j--;
            if (i > j) break;
            double swapped = values[i];
            values[i++] = values[j];
            values[j--] = swapped;
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            return;
    }
}
