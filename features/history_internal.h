/* What the parts of retrieval share. A retrieval is: the spine (history_spine.c), a table of DuckDB's with a row for each label; for each view, its values at each row of the
 * spine (history_view.c); both put side by side into a file or into memory (history.c). */
#ifndef WEIR_FEATURES_HISTORY_INTERNAL_H
#define WEIR_FEATURES_HISTORY_INTERNAL_H

#include <pthread.h>

#include "features/asof.h"
#include "features/duck.h"
#include "features/history.h"
#include "features/intern.h"
#include "features/latest.h"
#include "features/rows.h"

enum { HISTORY_COLUMNS_MAX = 1024 };

/* A view that some requested column comes from. */
typedef struct history_view {
    const weir_view_def *def;
    int key; /* the first history_view whose entity's columns are the same: both have one SPINE_KEY */
    weir_view *view; /* compiled; NULL when stored values are joined */
    bool primary;
    int count; /* of features asked for */
    int feature[WEIR_FEATURES_MAX]; /* [count] of the definition */
    int column[WEIR_FEATURES_MAX]; /* [count] where each goes among the set's columns */
} history_view;

/* Values of the set's columns by view, held whole or in blocks of rows that spill. */
typedef struct history_values {
    int64_t row_count, block_rows;
    int column_count;
    double *whole; /* [column][row_count] for the trainers' sake, or [row_count][column] for a file's; NULL: in blocks */
    int64_t row_step, column_step; /* of `whole` */
    weir_spill *blocks[WEIR_VIEWS_MAX]; /* by view: records {int64_t row; double values[count]} */
    pthread_mutex_t lock; /* of the spills while threads add */
    double *block; /* [block_rows][column] the block that is read */
    int64_t block_number;
} history_values;

/* Columns of the spine that Weir puts beside those of the labels; no file has such names. */
#define SPINE_TIME "weir spine time" /* BIGINT: µs */
#define SPINE_CUTOFF "weir spine cutoff"
#define SPINE_PARTITION "weir spine partition" /* of the event, NULL for labels */
#define SPINE_OFFSET "weir spine offset"
#define SPINE_KEY "weir spine key %d" /* VARCHAR tenant/entity, by history_view.key; NULL: it has none */

/* The spine as labels of a look-up (see latest.h), for one view after the other that has the same key. */
typedef struct history_labels {
    weir_intern keys; /* tenant/entity */
    weir_latest *latest; /* NULL: there are none */
    int key; /* history_view.key */
    int64_t bytes; /* of the budget */
} history_labels;

typedef struct history_reader {
    const weir_pipeline *pipeline;
    const weir_history_query *query;
    weir_pg *pg;
    weir_duck *duck;
    weir_budget budget;
    int64_t from_us, to_us, as_of_us; /* within what the stores can hold */
    const weir_schema_field *label; /* of the labels; NULL: there are none */
    history_view views[WEIR_VIEWS_MAX];
    int view_count;
    const char *columns[HISTORY_COLUMNS_MAX]; /* the set's, in the order asked for */
    int column_count;
    int cell[HISTORY_COLUMNS_MAX]; /* [column_count] the events' column it is; -1: a feature */
    weir_sql carried; /* what the spine shows beside the features, as a list for SELECT */
    int64_t row_count, first_us, last_us; /* of the spine */
    int64_t cutoff_us; /* latest of the spine */
    history_labels labels;
    history_values values;
} history_reader;

/** Makes the table "spine", in its order. */
weir_status history_spine(history_reader *r, weir_err *err) WEIR_MUST_CHECK;
/** Evaluates or looks up a view at each row of the spine. */
weir_status history_join(history_reader *r, int view, weir_err *err) WEIR_MUST_CHECK;
/** Whether a view's stored values can be looked up in one pass (see latest.h). */
bool history_can_look_up(const history_reader *r, int view);
/** Gives back what look-ups share. */
void history_labels_done(history_reader *r);
/** Looks them up. */
weir_status history_look_up(history_reader *r, int view, weir_err *err) WEIR_MUST_CHECK;
/** From when on a row of the view can matter, µs. */
int64_t history_earliest(const history_reader *r, const history_view *view);

/** values is zero but for its lock, which is there already. whole: never in blocks, and by column. */
weir_status history_values_init(history_values *values, history_reader *r, bool whole, weir_err *err) WEIR_MUST_CHECK;
void history_values_done(history_values *values);
/** A view's values at rows that `found` does not name (bit row % 64 of word row / 64; NULL: at all rows) are null. What is not put must be cleared. */
void history_values_clear(history_reader *r, int view, const uint64_t *found);
/** Values of a view's features at a row; from any thread. */
weir_status history_values_put(history_reader *r, int view, int64_t row, const double *values, weir_err *err) WEIR_MUST_CHECK;
/** That values will soon be put there: brings the memory on the way. */
void history_values_expect(const history_reader *r, int view, int64_t row);
/** *ret_values [column] of a row, of values that are not by column. Those in blocks are read once, in the order of rows, by one thread. */
weir_status history_values_row(history_reader *r, int64_t row, const double **ret_values, weir_err *err) WEIR_MUST_CHECK;

#endif
