/* Between the files of the scorer. */
#ifndef WEIR_MODELS_SCORER_INTERNAL_H
#define WEIR_MODELS_SCORER_INTERNAL_H

#include <stdbool.h>

#include "models/scorer/format.h"
#include "models/scorer/weirscore.h"

enum {
    SCORE_BLOCK_ROWS = 64, /* rows that are worked on together */
    SCORE_ALONE_ROWS = 6, /* so many go down trees sooner one by one than eight abreast */
    SCORE_SCRATCH_NUMBERS = 8192, /* doubles on the stack a model deep: what a block of rows is made into must fit, or there are fewer of them */
};

struct weirscore {
    const uint8_t *bytes;
    const score_head *head;
    const score_model *models;
    size_t mapped_len; /* 0: the bytes are the caller's */
    const char **names; /* [inputs + outputs] */
    char digest[65];
    const struct score_kernels *kernels;
};

/* By way of a number: the offset of a file that is not checked yet may lead anywhere, and it is no mistake to work it out. */
static inline const void *score_at(const weirscore *s, score_span span) {
    return (const void *)((uintptr_t)s->bytes + span.offset);
}

/* Work on trees. Blocks are at most SCORE_BLOCK_ROWS rows; values are float32, missing ones replaced by ∓∞ in their two slots. */
typedef struct score_kernels {
    const char *name;
    /** Writes the ranks of a column: values [SCORE_BLOCK_ROWS] (NaN: missing), below and above [SCORE_BLOCK_ROWS] for its two slots. */
    void (*rank)(const score_ranks *ranks, const float *values, uint8_t *below, uint8_t *above);
    /** Adds the leaves of sliced trees: bytes [slots][SCORE_BLOCK_ROWS], sums [output_count][SCORE_BLOCK_ROWS]. */
    void (*add_sliced)(const weirscore *s, const score_model *m, const uint8_t *bytes, float *sums);
} score_kernels;

/** The kernels for sliced trees of this machine; NULL: it has no instructions for them, and rows go down trees one by one. */
const score_kernels *score_kernels_here(void);

/** Sums of the leaves of one row: values [slots]; sums [output_count] is set. */
void score_trees_row(const weirscore *s, const score_model *m, const float *values, float *sums);
/** The same of several rows, n ≤ SCORE_BLOCK_ROWS: rows [n][fitted_count]; sums [output_count][SCORE_BLOCK_ROWS]. */
void score_trees_block(const weirscore *s, const score_model *m, const double *rows, size_t n, float *sums);
/** values [slots] of a row [fitted_count]. */
void score_fill_slots(const weirscore *s, const score_model *m, const double *row, float *values);

/** Sums of the leaves of a row [fitted_count] down wide trees; sums [output_count] is set. */
void score_wide_row(const weirscore *s, const score_model *m, const double *row, double *sums);

/** A binary model scores by its second class alone, but has numbers of both. */
static inline uint32_t score_bayes_classes(const score_model *m) {
    return m->task == SCORE_BINARY ? 2 : m->output_count;
}
/** Scores of a row [fitted_count] by a Hoeffding tree; out [output_count] is set. */
void score_bayes_row(const weirscore *s, const score_model *m, const double *row, double *out);

/** Scores of a model, preprocessing included. rows [n][input_count], out [n][output_count]. */
void score_model_rows(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out);
/** The same without the preprocessing: rows [n][fitted_count]. */
void score_fitted_rows(const weirscore *s, const score_model *m, const double *rows, size_t n, double *out);

#endif
