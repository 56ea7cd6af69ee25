/* Non-dominated ranks, and a subset of a front that covers it well. */
#include "models/pareto.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"

typedef struct table {
    const double *loss;
    int width;
    int first; /* column compared first */
} table;

static int compare_rows(const table *t, int a, int b) {
    for (int m = 0; m < t->width; m++) {
        int column = (t->first + m) % t->width;
        double x = t->loss[a * t->width + column], y = t->loss[b * t->width + column];
        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}

/* Lexicographic from column `first` on; equal rows by their index. */
static int by_row(const void *a, const void *b, void *context) {
    int i = *(const int *)a, j = *(const int *)b, order = compare_rows(context, i, j);
    return order ? order : (i > j) - (i < j);
}

static void sort_rows(const double *loss, int count, int width, int first, int *order) {
    table t = {loss, width, first};
    for (int i = 0; i < count; i++) order[i] = i;
    qsort_r(order, (size_t)count, sizeof *order, by_row, &t);
}

/* a comes before b lexicographically and differs from it: all that is left to see is that it is nowhere worse. */
static bool is_nowhere_worse(const double *a, const double *b, int width) {
    for (int m = 0; m < width; m++)
        if (a[m] > b[m]) return false;
    return true;
}

weir_status weir_pareto_rank(const double *loss, int count, int objective_count, int *ret_rank, weir_err *err) {
    int *order = weir_models_calloc((size_t)count, sizeof *order);
    if (!order) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to rank %d trials", count);
    sort_rows(loss, count, objective_count, 0, order);
    table t = {loss, objective_count, 0};
    for (int i = 0; i < count; i++) {
        int row = order[i], rank = 0;
        if (i > 0 && compare_rows(&t, order[i - 1], row) == 0) {
            ret_rank[row] = ret_rank[order[i - 1]];
            continue;
        }
        for (int j = 0; j < i; j++) {
            if (ret_rank[order[j]] < rank) continue; /* would change nothing */
            if (is_nowhere_worse(&loss[order[j] * objective_count], &loss[row * objective_count], objective_count)) rank = ret_rank[order[j]] + 1;
        }
        ret_rank[row] = rank;
    }
    weir_models_free(order);
    return WEIR_OK;
}

/* Rows ascend in the first loss, so their second one descends. What row i would add is the rectangle up to its corner; a chosen row cuts the corners on both
 * sides of it.
 *
 *     loss 2 ↑    ┌───┬──── reference
 *            │    │ i │         corner[i] = (first loss of the chosen row to the right,
 *            │    └───┤                      second loss of the chosen row to the left) */
static void spread_by_volume(const double *loss, int count, int want, const int *order, double (*corner)[2], bool *ret_chosen) {
    double reference[2] = {-INFINITY, -INFINITY};
    for (int i = 0; i < 2 * count; i++) reference[i % 2] = fmax(reference[i % 2], fmax(1.1 * loss[i], 0.9 * loss[i]));
    for (int m = 0; m < 2; m++)
        if (reference[m] == 0) reference[m] = 1e-12;
    for (int i = 0; i < count; i++) memcpy(corner[i], reference, sizeof reference);
    for (int picked = 0; picked < want; picked++) {
        int best = -1;
        double most = 0;
        for (int i = 0; i < count; i++) {
            const double *at = &loss[2 * order[i]];
            double volume = (corner[i][0] - at[0]) * (corner[i][1] - at[1]);
            if (ret_chosen[order[i]] || (best >= 0 && !(volume > most))) continue;
            best = i;
            most = volume;
        }
        const double *at = &loss[2 * order[best]];
        ret_chosen[order[best]] = true;
        for (int i = 0; i < best; i++) corner[i][0] = fmin(corner[i][0], at[0]);
        for (int i = best + 1; i < count; i++) corner[i][1] = fmin(corner[i][1], at[1]);
    }
}

/* The gap between a row's neighbours, summed over the objectives, each divided by its range; the outermost rows of each objective are infinitely far. */
static void spread_by_crowding(const double *loss, int count, int width, int want, int *order, double *distance, bool *ret_chosen) {
    memset(distance, 0, (size_t)count * sizeof *distance);
    for (int m = 0; m < width; m++) {
        sort_rows(loss, count, width, m, order);
        double range = loss[order[count - 1] * width + m] - loss[order[0] * width + m];
        if (!(range > 0)) continue;
        distance[order[0]] = distance[order[count - 1]] = INFINITY;
        for (int i = 1; i + 1 < count; i++) distance[order[i]] += (loss[order[i + 1] * width + m] - loss[order[i - 1] * width + m]) / range;
    }
    for (int picked = 0; picked < want; picked++) {
        int best = -1;
        for (int i = 0; i < count; i++)
            if (!ret_chosen[i] && (best < 0 || distance[i] > distance[best])) best = i;
        ret_chosen[best] = true;
    }
}

weir_status weir_pareto_spread(const double *loss, int count, int objective_count, int want, bool *ret_chosen, weir_err *err) {
    int *order = weir_models_calloc((size_t)count, sizeof *order);
    double(*room)[2] = weir_models_calloc((size_t)count, sizeof *room);
    weir_status status = order && room ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to choose among %d trials", count);
    if (status == WEIR_OK) {
        memset(ret_chosen, 0, (size_t)count * sizeof *ret_chosen);
        sort_rows(loss, count, objective_count, 0, order);
        if (objective_count == 2)
            spread_by_volume(loss, count, want, order, room, ret_chosen);
        else
            spread_by_crowding(loss, count, objective_count, want, order, room[0], ret_chosen);
    }
    weir_models_free(order);
    weir_models_free(room);
    return status;
}
