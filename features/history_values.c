/* The features of a set until they are written: whole in memory when they fit into half of the budget, else in blocks of rows that spill. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "features/history_internal.h"

enum { BLOCK_ROWS = 1 << 17, BLOCKS_MAX = 1024 };

static void fill_nulls(double *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) values[i] = NAN;
}

static weir_status no_memory(int64_t rows, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the features of %lld rows", (long long)rows);
}

static weir_status init_blocks(history_values *v, history_reader *r, weir_err *err) {
    v->block_rows = v->row_count / BLOCKS_MAX > BLOCK_ROWS ? v->row_count / BLOCKS_MAX + 1 : BLOCK_ROWS;
    v->block = weir_mem.realloc(NULL, (size_t)(v->column_count * v->block_rows + 1) * sizeof *v->block);
    if (!v->block) return no_memory(v->block_rows, err);
    int blocks = (int)(v->row_count / v->block_rows) + 1;
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < r->view_count; i++)
        status = weir_spill_new(blocks, sizeof(int64_t) + (size_t)r->views[i].count * sizeof(double), &r->budget, &v->blocks[i], err);
    return status;
}

weir_status history_values_init(history_values *v, history_reader *r, bool whole, weir_err *err) {
    int64_t bytes = r->row_count * r->column_count * (int64_t)sizeof(double);
    v->row_count = r->row_count;
    v->column_count = r->column_count;
    v->block_number = -1;
    if (!whole && bytes > r->budget.max_bytes / 2) return init_blocks(v, r, err);
    v->whole = weir_mem.realloc(NULL, (size_t)bytes + 1);
    if (!v->whole) return no_memory(r->row_count, err);
    v->row_step = whole ? 1 : v->column_count;
    v->column_step = whole ? v->row_count : 1;
    weir_mem_prefer_large_pages(v->whole, (size_t)bytes);
    r->budget.used_bytes += bytes; /* the joins have what is left */
    return WEIR_OK;
}

void history_values_done(history_values *v) {
    for (int i = 0; i < WEIR_VIEWS_MAX; i++) weir_spill_free(v->blocks[i]);
    free(v->whole);
    free(v->block);
    pthread_mutex_destroy(&v->lock);
}

void history_values_clear(history_reader *r, int view, const uint64_t *found) {
    const history_values *v = &r->values;
    const history_view *use = &r->views[view];
    for (int64_t row = 0; v->whole && row < v->row_count; row++) {
        if (found && found[row / 64] >> (row % 64) & 1) continue;
        for (int i = 0; i < use->count; i++) v->whole[use->column[i] * v->column_step + row * v->row_step] = NAN;
    }
}

void history_values_expect(const history_reader *r, int view, int64_t row) {
    const history_values *v = &r->values;
    const history_view *use = &r->views[view];
    if (!v->whole || v->column_step != 1 || !use->count) return;
    const double *first = v->whole + row * v->row_step + use->column[0];
    __builtin_prefetch(first, 1);
    __builtin_prefetch(first + use->count - 1, 1);
}

weir_status history_values_put(history_reader *r, int view, int64_t row, const double *values, weir_err *err) {
    history_values *v = &r->values;
    const history_view *use = &r->views[view];
    if (v->whole) {
        for (int i = 0; i < use->count; i++) v->whole[use->column[i] * v->column_step + row * v->row_step] = values[i];
        return WEIR_OK;
    }
    pthread_mutex_lock(&v->lock);
    int64_t *record = weir_spill_add(v->blocks[view], (int)(row / v->block_rows), err);
    if (record) {
        *record = row;
        memcpy(record + 1, values, (size_t)use->count * sizeof *values);
    }
    pthread_mutex_unlock(&v->lock);
    return record ? WEIR_OK : err ? err->code : WEIR_ENOMEM;
}

static weir_status load_block(history_reader *r, int64_t number, weir_err *err) {
    history_values *v = &r->values;
    weir_status status = WEIR_OK;
    fill_nulls(v->block, v->column_count * v->block_rows);
    for (int i = 0; !status && i < r->view_count; i++) {
        const history_view *use = &r->views[i];
        size_t stride = 1 + (size_t)use->count;
        void *records = NULL;
        int64_t count;
        status = weir_spill_take(v->blocks[i], (int)number, INT64_MAX, &records, &count, err);
        for (int64_t k = 0; k < count; k++) {
            const int64_t *record = (const int64_t *)records + (size_t)k * stride;
            const double *values = (const double *)(record + 1);
            for (int f = 0; f < use->count; f++) v->block[*record % v->block_rows * v->column_count + use->column[f]] = values[f];
        }
        free(records);
    }
    v->block_number = number;
    return status;
}

weir_status history_values_row(history_reader *r, int64_t row, const double **ret_values, weir_err *err) {
    history_values *v = &r->values;
    weir_status status = WEIR_OK;
    if (v->whole) {
        *ret_values = v->whole + row * v->column_count;
        return WEIR_OK;
    }
    if (row / v->block_rows != v->block_number) status = load_block(r, row / v->block_rows, err);
    *ret_values = v->block + row % v->block_rows * v->column_count;
    return status;
}
