#include "consumers/slices.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

enum { ROWS_MIN = 30, VALUES_MAX = 12, PARTS = 4, FIRST_ROOM = 16 };

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to measure slices");
}

/* The rows of one group at a time, as columns. */
typedef struct gathered {
    double *score, *label;
    int64_t *time_us;
    uint32_t *entity;
    int16_t *group; /* [rows] of all rows: the group each is in, −1: none */
} gathered;

static void gathered_done(gathered *g) {
    free(g->score);
    free(g->label);
    free(g->time_us);
    free(g->entity);
    free(g->group);
}

static weir_status gathered_make(gathered *g, int64_t count, weir_err *err) {
    size_t n = (size_t)count;
    *g = (gathered){.score = weir_mem.realloc(NULL, n * sizeof *g->score),
                    .label = weir_mem.realloc(NULL, n * sizeof *g->label),
                    .time_us = weir_mem.realloc(NULL, n * sizeof *g->time_us),
                    .entity = weir_mem.realloc(NULL, n * sizeof *g->entity),
                    .group = weir_mem.realloc(NULL, n * sizeof *g->group)};
    return g->score && g->label && g->time_us && g->entity && g->group ? WEIR_OK : no_memory(err);
}

/* NULL in *ret_slice: there are too many. */
static weir_status add_slice(weir_slices *slices, const weir_arm_measure *arm, weir_slice **ret_slice, weir_err *err) {
    *ret_slice = NULL;
    if (slices->count == WEIR_SLICES_LIST_MAX) {
        slices->left_out++;
        return WEIR_OK;
    }
    if (slices->count == slices->room) {
        int room = slices->room ? 2 * slices->room : FIRST_ROOM;
        weir_slice *list = weir_mem.realloc(slices->list, (size_t)room * sizeof *list);
        if (!list) return no_memory(err);
        slices->list = list;
        slices->room = room;
    }
    weir_slice *slice = &slices->list[slices->count];
    *slice = (weir_slice){.measure = *arm};
    slice->measure.predictions = 0;
    *ret_slice = slice;
    return WEIR_OK;
}

/* Everything that measures the groups of one column. */
typedef struct slicing {
    weir_slices *slices;
    const weir_arm_measure *arm;
    const weir_arm_rows *rows;
    weir_task task;
    int card_k;
    gathered g;
} slicing;

static weir_status measure_group(slicing *x, int group, const char *name, weir_err *err) {
    weir_arm_rows part = {.score = x->g.score,
                          .label = x->g.label,
                          .time_us = x->g.time_us,
                          .entity = x->g.entity,
                          .entity_count = x->rows->entity_count,
                          .threshold = x->rows->threshold};
    for (int64_t r = 0; r < x->rows->count; r++) {
        if (x->g.group[r] != group) continue;
        x->g.score[part.count] = x->rows->score[r];
        x->g.label[part.count] = x->rows->label[r];
        x->g.time_us[part.count] = x->rows->time_us[r];
        x->g.entity[part.count++] = x->rows->entity[r];
    }
    if (part.count < ROWS_MIN) return WEIR_OK;
    weir_slice *slice;
    weir_status status = add_slice(x->slices, x->arm, &slice, err);
    if (status || !slice) return status;
    snprintf(slice->name, sizeof slice->name, "%s", name);
    status = weir_measure_rows(&part, x->task, x->card_k, &slice->measure, err);
    if (!status) x->slices->count++;
    return status;
}

static weir_status by_tenant(slicing *x, weir_err *err) {
    weir_status status = WEIR_OK;
    if (x->rows->tenant_count < 2) return WEIR_OK;
    for (int64_t r = 0; r < x->rows->count; r++) x->g.group[r] = (int16_t)x->rows->tenant[r];
    for (int t = 0; !status && t < x->rows->tenant_count; t++) {
        char name[WEIR_SLICE_NAME_MAX];
        snprintf(name, sizeof name, "tenant=%s", x->rows->tenants[t]);
        status = measure_group(x, t, name, err);
    }
    return status;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Upper ends of the groups of ascending values: each value where there are few, otherwise quarters. Returns how many. */
static int find_groups(const double *sorted, int64_t count, double ends[VALUES_MAX], bool *ret_parts) {
    int distinct = 0;
    for (int64_t i = 0; i < count && distinct <= VALUES_MAX; i++) {
        if (i && sorted[i] == sorted[i - 1]) continue;
        if (distinct < VALUES_MAX) ends[distinct] = sorted[i];
        distinct++;
    }
    *ret_parts = distinct > VALUES_MAX;
    for (int k = 0; *ret_parts && k < PARTS; k++) ends[k] = sorted[(count * (k + 1) + PARTS - 1) / PARTS - 1];
    return *ret_parts ? PARTS : distinct;
}

static weir_status by_column(slicing *x, int column, weir_err *err) {
    const double *values = x->rows->columns[column];
    double *sorted = weir_mem.realloc(NULL, (size_t)x->rows->count * sizeof *sorted), ends[VALUES_MAX];
    int64_t known = 0;
    bool parts = false;
    if (!sorted) return no_memory(err);
    for (int64_t r = 0; r < x->rows->count; r++)
        if (!isnan(values[r])) sorted[known++] = values[r];
    qsort(sorted, (size_t)known, sizeof *sorted, by_value);
    int count = find_groups(sorted, known, ends, &parts);
    free(sorted);
    for (int64_t r = 0; r < x->rows->count; r++) {
        int group = 0;
        while (group < count && values[r] > ends[group]) group++;
        x->g.group[r] = (int16_t)(isnan(values[r]) ? count : group);
    }
    weir_status status = WEIR_OK;
    for (int k = 0; !status && k <= count; k++) {
        char name[WEIR_SLICE_NAME_MAX];
        const char *of = x->rows->column_names[column];
        if (k == count)
            snprintf(name, sizeof name, "%.64s missing", of);
        else if (parts)
            snprintf(name, sizeof name, "%.64s in quarter %d", of, k + 1);
        else
            snprintf(name, sizeof name, "%.64s=%.6g", of, ends[k]);
        status = measure_group(x, k, name, err);
    }
    return status;
}

weir_status weir_slices_add(weir_slices *slices, const weir_arm_measure *arm, const weir_arm_rows *rows, weir_task task, int card_k, weir_err *err) {
    slicing x = {.slices = slices, .arm = arm, .rows = rows, .task = task, .card_k = card_k};
    if (rows->count < ROWS_MIN || (rows->tenant_count < 2 && !rows->column_count)) return WEIR_OK;
    weir_status status = gathered_make(&x.g, rows->count, err);
    if (!status) status = by_tenant(&x, err);
    for (int i = 0; !status && i < rows->column_count; i++) status = by_column(&x, i, err);
    gathered_done(&x.g);
    return status;
}

void weir_slices_done(weir_slices *slices) {
    free(slices->list);
    *slices = (weir_slices){0};
}
