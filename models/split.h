/* Validation schemes as plans of folds: which rows a model is fitted on, and which it is judged by. */
#ifndef WEIR_MODELS_SPLIT_H
#define WEIR_MODELS_SPLIT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/conf.h"
#include "core/err.h"

enum { WEIR_FOLDS_MAX = 1000 };

typedef enum weir_split_kind {
    WEIR_SPLIT_HOLDOUT,
    WEIR_SPLIT_K_FOLD,
    WEIR_SPLIT_STRATIFIED_K_FOLD,
    WEIR_SPLIT_GROUPED_K_FOLD,
    WEIR_SPLIT_TIME,
    WEIR_SPLIT_WALK_FORWARD,
    WEIR_SPLIT_PURGED_K_FOLD,
} weir_split_kind;

typedef enum weir_split_tenants {
    WEIR_TENANTS_IGNORED, /* rows are split as if they were one tenant's */
    WEIR_TENANTS_SEPARATE, /* every tenant has folds of its own; rows of others are in neither part */
    WEIR_TENANTS_POOLED, /* every tenant is split by itself, folds are put together. Not by time: training rows of one would lie after test rows of another */
} weir_split_tenants;

/* A scheme with its settings, as weir_split_from_json checks them; a plain value. What a scheme has no use for is 0. */
typedef struct weir_split {
    int scheme; /* weir_split_kind */
    int tenants; /* weir_split_tenants */
    int64_t folds;
    bool shuffle, by_time, rolling;
    int64_t seed;
    double train_share, validation_share, test_share;
    int64_t train_rows, test_rows, step_rows, gap_rows;
    int64_t train_us, test_us, step_us, gap_us, embargo_us;
} weir_split;

/* What a scheme says about itself, for reading its settings and for docs. */
typedef struct weir_split_scheme {
    const char *name; /* "purged_k_fold" */
    const char *doc;
    const weir_conf_item *settings; /* of a weir_split; the key "scheme" included */
    bool needs_label, needs_time, needs_label_until, needs_group;
} weir_split_scheme;

/** The schemes by weir_split_kind, ended by one without a name. */
const weir_split_scheme *weir_split_schemes(void);

/** Reads {"scheme": "purged_k_fold", "folds": 5, "embargo": "1d"}. path ("$.training.validation") prefixes messages, which say what was found and what was
 *  expected.
 *  Errors: WEIR_EINVAL for an unknown scheme or key, a wrong type, a value out of range, or settings that do not go together. *ret_split is then untouched. */
weir_status weir_split_from_json(const cJSON *json, const char *path, weir_split *ret_split, weir_err *err) WEIR_MUST_CHECK;

/* Rows to split, in any order. Arrays are [row_count]; those that the scheme has no use for may be NULL. */
typedef struct weir_split_rows {
    int64_t row_count;
    const double *label; /* stratified_k_fold: a whole number that names the class */
    const int64_t *time_us; /* schemes by time; within 2^60 µs of 1970 */
    const int64_t *label_until_us; /* purged_k_fold: when the row's label is fully known; not before time_us */
    const uint32_t *group; /* grouped_k_fold: number of the entity */
    const uint32_t *tenant; /* unless tenants are ignored */
} weir_split_rows;

typedef enum weir_role {
    WEIR_ROLE_NONE, /* in a gap, purged, not reached yet, or another tenant's */
    WEIR_ROLE_TRAIN,
    WEIR_ROLE_VALIDATION, /* time_split only */
    WEIR_ROLE_TEST,
} weir_role;

typedef struct weir_fold {
    uint32_t tenant; /* whose fold it is, when tenants are separate; else 0 */
    int64_t train_count, validation_count, test_count;
} weir_fold;

typedef struct weir_split_plan weir_split_plan;

/** Plans the folds. The rows are borrowed until the plan is freed. Same split and rows, same plan. O(n log n); 2 bytes a row for schemes that do not go by
 *  time, else a few numbers a fold are kept; 40 bytes a row while it plans.
 *
 *  holdout            share of the rows is tested: drawn with the seed, or the latest.
 *  k_fold             blocks of rows in their order, or of shuffled rows; as scikit-learn's KFold the first n mod k folds have one row more.
 *  stratified_k_fold  every fold has every class's share, within one row; without shuffle the folds of scikit-learn's StratifiedKFold.
 *  grouped_k_fold     no group is in two folds; from the largest group on, each goes to the fold with the fewest rows.
 *  time_split         the first rows train, the next validate, the last test. Rows at most `gap` before a part are in none.
 *  walk_forward       test windows go forward in time, training ends `gap` before them. By rows (scikit-learn's TimeSeriesSplit): the last test window ends
 *                     with the last row. By duration: windows are half-open [from, to), the first test window begins train + gap after the first row, the last
 *                     one may be cut short by the end of the rows, and a window in which nothing is to be trained on or tested is left out.
 *  purged_k_fold      test blocks are contiguous in time; a training row is purged when [time, label_until] overlaps the block's [first time, last
 *                     label_until], ends included, or when its time is at most `embargo` after that. Source: M. López de Prado, Advances in Financial Machine
 *                     Learning, 2018, ch. 7, snippets 7.1 to 7.3.
 *
 *  Schemes by time never put rows of one time into different parts: a boundary between rows moves to the nearest place where the time changes, a gap only ever
 *  grows by that.
 *  Errors: WEIR_EINVAL when an array that the scheme needs is missing, or the windows are more than WEIR_FOLDS_MAX; WEIR_EDATA for too few rows, classes,
 *  groups or times, a label that is no whole number, a time out of range or a label known before its row; WEIR_ENOMEM. */
weir_status weir_split_plan_new(const weir_split *split, const weir_split_rows *rows, weir_split_plan **ret_plan, weir_err *err) WEIR_MUST_CHECK;
void weir_split_plan_free(weir_split_plan *plan);
int weir_split_plan_folds(const weir_split_plan *plan);
/** The role [row_count] of every row (weir_role) in a fold, 0 ≤ fold < folds. O(n), no allocation, thread-safe.
 *  Errors: WEIR_EDATA when purging and embargo left no row to train on; role and *ret_fold are filled even then. */
weir_status weir_split_plan_roles(const weir_split_plan *plan, int fold, uint8_t *role, weir_fold *ret_fold, weir_err *err) WEIR_MUST_CHECK;

#endif
