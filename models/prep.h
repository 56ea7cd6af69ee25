/* Preprocessing as a fitted part of a model: a chain of steps that is fitted on the training rows, kept with the model, and applied to every row it scores.
 *
 * A chain is a JSON array of steps; each names what it does first, then the input columns it is for ("columns"; without: all that it can take):
 *
 *   {"impute": "mean" | "median" | "most_frequent" | "constant" | "forward_fill" | "interpolate", "value": 0, "text": "none", "indicator": true}
 *   {"outliers": "iqr" | "zscore", "factor": 1.5, "threshold": 3, "action": "clip" | "null" | "mark" | "drop_rows"}
 *   {"scale": "standard" | "minmax" | "robust", "min": 0, "max": 1, "clip": false}
 *   {"encode": "one_hot" | "ordinal" | "hashing", "max_levels": 50, "buckets": 16, "unseen": "other" | "none", "missing": "none" | "other" | "own"}
 *   {"select": "variance" | "correlation" | "mutual_information" | "relevance" | "importance" | "l1" | "permutation", "threshold": 0.95, "k": 20, "fdr": 0.05, "bins": 16,
 *    "permutations": 0, "rows": 1000, "seed": 1}
 *
 * What each does exactly, and which keys go together, stands at the top of its file, models/prep_impute.c and so on. "columns" names columns of the rows; a step takes
 * what earlier steps made of them, as far as it is of a kind that the step can take. So a step may follow a selection that left nothing of its columns, and it then does
 * nothing.
 *
 * Two imputations need neighbours in time: forward_fill and interpolate fill gaps from rows of the same entity, as weir_prep_apply_batch has them. A gap without such a
 * neighbour (before the first value; for interpolate after the last one too), and every gap of a row that is applied alone, gets the fitted median (of a category its most
 * frequent value). Models know rows alone: models/prepared.c fits without times and applies row by row, as scoring does, so that gaps are filled the same way in training,
 * validation and scoring. Whoever applies a batch gets other values than for its rows alone, and interpolate looks ahead, to the next value in the batch: what it fills a row
 * with was not known at that row's time. */
#ifndef WEIR_MODELS_PREP_H
#define WEIR_MODELS_PREP_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "core/err.h"
#include "core/mem.h"

enum {
    WEIR_PREP_STEPS_MAX = 32,
    WEIR_PREP_COLUMNS_MAX = 16384, /* at any point of a chain */
    WEIR_PREP_LEVELS_MAX = 4096, /* of one category */
};

typedef enum weir_prep_kind {
    WEIR_PREP_NUMBER,
    WEIR_PREP_CATEGORY, /* weir_text_number of a text, or a small whole number; only equality means anything */
    WEIR_PREP_FLAG, /* 0 or 1, made by a step: an indicator, a level of a category */
} weir_prep_kind;

/* A column of the rows: a NUMBER or a CATEGORY. */
typedef struct weir_prep_column {
    const char *name;
    weir_prep_kind kind;
    const char *const *texts; /* of a category, where known: names its levels and puts them in order; NULL-terminated; may be NULL */
} weir_prep_column;

typedef enum weir_prep_task { WEIR_PREP_NO_TASK, WEIR_PREP_BINARY, WEIR_PREP_REAL, WEIR_PREP_CLASSES } weir_prep_task;

/** How much each column matters, from a model that the caller fits: "importance" (say a forest's), "l1" (the coefficients of a linear model with an L1 penalty) or
 *  "permutation" (how much worse a model does on rows that it was not fitted on when the column is dealt out; a function of values and label and of nothing else).
 *  values [row_count][column_count] row-major and label [row_count]: the training rows as they are at this step; of permutation some of them in random order, and again and
 *  again with labels of other rows. ret_importance [column_count]: its size counts, not its sign, but of permutation. */
typedef weir_status (*weir_prep_importance)(void *context, const char *method, const double *values, const double *label, const char *const *names,
                                            int64_t row_count, int column_count, double *ret_importance, weir_err *err);

/* Rows with what is known of them. */
typedef struct weir_prep_rows {
    int64_t row_count;
    const double *values; /* [row_count][column_count] row-major float64; NaN: missing */
    const int64_t *time_us; /* [row_count]; NULL: unknown, and forward_fill and interpolate fill with what they fitted */
    const uint32_t *entity; /* [row_count] numbers of entities; NULL: all of one */
    const double *label; /* [row_count]; for select only, else NULL. 0 and 1 when the task is binary */
    weir_prep_task task; /* what label is */
    weir_prep_importance importance; /* for "importance", "l1" and "permutation", else NULL */
    void *importance_context;
} weir_prep_rows;

typedef struct weir_prep weir_prep;

/** Validates a chain without any rows. path ("$.training.preprocessing") prefixes messages.
 *  Errors: WEIR_EINVAL with the JSON path, what was found and what was expected. */
weir_status weir_prep_check(const cJSON *spec, const char *path, const weir_prep_column *columns, int column_count, weir_err *err) WEIR_MUST_CHECK;

/** The same, and what becomes of each column: ret_kinds [column_count], by its kind after the chain (WEIR_PREP_FLAG of an encoded category); may be NULL. */
weir_status weir_prep_check_kinds(const cJSON *spec, const char *path, const weir_prep_column *columns, int column_count, weir_prep_kind *ret_kinds,
                                  weir_err *err) WEIR_MUST_CHECK;

/** Fits a chain on these rows and no others. ret_keep [row_count] (may be NULL) says which rows a "drop_rows" left for training: the caller leaves out the rest. Later
 *  steps are fitted without them. Rows are dropped while fitting only, never while applying.
 *  Equal input gives an equal chain, to the bit. A column without any value is filled with 0 and neither moved nor scaled.
 *  Errors: as weir_prep_check; WEIR_EDATA when there are no rows, all are dropped, no column is left, or a selection lacks the label or importance it needs;
 *  WEIR_ENUMERIC for an infinite value; WEIR_ELIMIT for more columns, or rows (2^31 - 1), than there may be. */
weir_status weir_prep_fit(const cJSON *spec, const char *path, const weir_prep_column *columns, int column_count, const weir_prep_rows *rows,
                          weir_prep **ret_prep, bool *ret_keep, weir_err *err) WEIR_MUST_CHECK;
void weir_prep_free(weir_prep *prep);

int weir_prep_input_count(const weir_prep *prep);
const char *const *weir_prep_input_names(const weir_prep *prep);
int weir_prep_output_count(const weir_prep *prep);
/** "temp", "temp=<filled>" (an indicator), "temp=<outlier>", "weather=Rain", "weather=<other>", "weather=<missing>", "weather=#3" (a bucket); distinct. */
const char *const *weir_prep_output_names(const weir_prep *prep);

/** For scoring. Shapes: rows [row_count][input_count], out [row_count][output_count] row-major; they do not overlap. Each row by itself: one row gives the bits that it
 *  gives among others. Thread-safe, no allocation, cannot fail; an infinite value is taken as it is. */
void weir_prep_apply(const weir_prep *prep, const double *rows, int64_t row_count, double *out);
/** For training: as weir_prep_apply, but forward_fill and interpolate see the neighbours of each row. Rows come in any order; of equal times, the earlier row is first.
 *  Errors: WEIR_ENOMEM, WEIR_ELIMIT as for fitting. */
weir_status weir_prep_apply_batch(const weir_prep *prep, const weir_prep_rows *rows, double *out, weir_err *err) WEIR_MUST_CHECK;

/** Appends the fitted chain: {"version", "steps", "inputs", "levels", "nodes", "outputs", "evidence"}. Fitted numbers are texts, so that no JSON library rounds them: a
 *  chain that was read back gives the same bits, and the same JSON. evidence is what selections saw: step, column, value (variance, largest correlation with a column that
 *  was kept, mutual information in nats, p-value, importance) and whether the column was kept. Errors: WEIR_ENOMEM; *ret_json is then as it was. */
weir_status weir_prep_to_json(const weir_prep *prep, weir_buf *ret_json, weir_err *err) WEIR_MUST_CHECK;
/** Errors: WEIR_EDATA naming the part of the JSON that is not what weir_prep_to_json writes, WEIR_ELIMIT for more operations on each other than a chain can have. */
weir_status weir_prep_from_json(const cJSON *json, weir_prep **ret_prep, weir_err *err) WEIR_MUST_CHECK;

#endif
