/* A training set: rows with what is known of them beside their values. Everything that fits, validates, searches or judges takes one of these, whatever it
 * was read from. */
#ifndef WEIR_MODELS_TRAINSET_H
#define WEIR_MODELS_TRAINSET_H

#include "features/history.h"
#include "models/model.h"
#include "models/prep.h"
#include "models/split.h"

enum { WEIR_TRAINSET_TARGETS_MAX = 64 };

/* Rows ascend by time where they have one; every row has a label. Arrays are [matrix.row_count]; NULL: not known. matrix.kinds is always there. */
typedef struct weir_trainset {
    weir_matrix matrix; /* label is the first target's */
    int64_t *time_us;
    int64_t *label_until_us; /* when the label was fully known: for purging */
    uint32_t *entity; /* dense number, for grouped folds */
    uint32_t entity_count, entities_seen; /* numbers that there are; those that the rows have */
    uint32_t *tenant; /* place in tenant_names */
    uint32_t tenant_count;
    char **tenant_names; /* [tenant_count] */
    char **class_names; /* [matrix.class_count], or two of a binary task; NULL: numbers */
    int target_count; /* 1, or more of a regression with several targets */
    char **target_names; /* [target_count] */
    double *targets; /* [target_count][row_count]; the first is matrix.label */
    int64_t without_label; /* rows that were left out */
    char *source; /* what it was read from, for people: a file's path, a pipeline's name */
    char *query; /* the same for lineage: what was asked */
    char *digest; /* hex SHA-256, see weir_trainset_make */
    struct weir_trainset_memory *memory; /* what the pointers above point into */
} weir_trainset;

/* Columns in memory that a set is made of; everything is borrowed and may be freed after. Members that are not named are zero, which means what is said in
 * brackets. */
typedef struct weir_trainset_source {
    int64_t row_count; /* in any order */
    int column_count;
    const weir_prep_column *columns; /* [column_count] names, kinds and texts */
    const double *const *values; /* [column_count] of [row_count]; NaN: missing */
    weir_task task;
    int class_count; /* of a multiclass task; [the highest label + 1] */
    const char *const *class_names; /* [class_count], or two of a binary task; NULL: [numbers] */
    int target_count; /* [1] */
    const char *const *target_names; /* [target_count] */
    const double *const *targets; /* [target_count] of [row_count]; NaN: no label; of classes their numbers */
    const double *weight; /* [row_count]; [1 each] */
    const int64_t *time_us, *label_until_us; /* [row_count]; [not known]; the latter not before the former */
    const uint32_t *entity; /* [row_count] below entity_count; [not known] */
    uint32_t entity_count;
    const uint32_t *tenant; /* [row_count] places in tenant_names; [one tenant] */
    uint32_t tenant_count;
    const char *const *tenant_names;
    const char *source, *query; /* [empty] */
} weir_trainset_source;

/** Copies what has a label, by time where there is one (of equal times, the earlier row first). Rows in which a target is missing are left out and counted.
 *  The digest is over all that can change a fit: names and kinds of columns, values, targets, weights, times, entities and tenants of the rows that are kept.
 *  Errors: WEIR_EINVAL for no columns, names that are empty or there twice, several targets of a task that is no regression, a label_until_us without
 *  time_us; WEIR_EDATA naming the row for labels that are none of the task's, or known before their row's time; WEIR_ENUMERIC for an infinite value;
 *  WEIR_ENOTFOUND when no row has a label. O(n log n) when rows are not in the order of time, else O(n). */
weir_status weir_trainset_make(const weir_trainset_source *source, weir_trainset *ret_set, weir_err *err) WEIR_MUST_CHECK;
/** A set as a source, to make another one of: all but the values, which lie row by row in a set. Borrowed from it; targets [target_count] is the caller's. */
weir_trainset_source weir_trainset_as_source(const weir_trainset *set, const double **targets);

/** Of a pipeline's history: weir_trainset_make of its columns, all of them numbers. label_until_us is the event time + label_delay_us (0: not known). history
 *  is borrowed and may be freed after. */
weir_status weir_trainset_from_history(const weir_history *history, const char *source, const char *target, weir_task task, int64_t label_delay_us,
                                       weir_trainset *ret_set, weir_err *err) WEIR_MUST_CHECK;
void weir_trainset_done(weir_trainset *set);

/** The rows at `rows` [row_count], in that order, copied; what a set of all of them would be, but for the digest, which is the whole one's with the rows'
 *  added. */
weir_status weir_trainset_take(const weir_trainset *set, const int64_t *rows, int64_t row_count, weir_trainset *ret_set, weir_err *err) WEIR_MUST_CHECK;
/** A set is cut by time: *ret_first has the rows before the first row whose time is at least (1 − share) of the way through the rows, *ret_last the others;
 *  rows of one time stay together.
 *  Without times by the order of rows. gap_us: rows of ret_first whose label was not known when ret_last begins, or whose time is within gap_us of it, are in
 *  neither. */
weir_status weir_trainset_cut(const weir_trainset *set, double last_share, int64_t gap_us, weir_trainset *ret_first, weir_trainset *ret_last,
                              weir_err *err) WEIR_MUST_CHECK;
/** The set with one of its targets only; it borrows everything from the whole one and needs no weir_trainset_done. Its digest is the whole one's. */
weir_trainset weir_trainset_one_target(const weir_trainset *set, int target);
/** What a splitter sees of the set; borrowed. */
weir_split_rows weir_trainset_split_rows(const weir_trainset *set);
/** The class with the fewest rows, and how many these are, 0 included; INT64_MAX of a regression. The first of equals. O(n). */
int64_t weir_trainset_rarest_class(const weir_trainset *set, int *ret_class);
#define WEIR_LACKS_NOTHING (-1)
/** The first class of which no row has the role in a fold; 0 of a regression that has no such row; else WEIR_LACKS_NOTHING. role [row_count] is filled as by weir_split_plan_roles. */
int weir_trainset_fold_lacks(const weir_trainset *set, const weir_split_plan *plan, int fold, weir_role wanted, uint8_t *role);
/** Whether the folds can be made, and each of them trains on rows of every class. Errors: those of weir_split_plan_new; WEIR_EDATA naming the fold and the class that it lacks. */
weir_status weir_trainset_split_check(const weir_trainset *set, const weir_split *split, weir_err *err) WEIR_MUST_CHECK;
/** The scheme for a set that nobody named one for: purged_k_fold where labels become known later than their rows, but early enough that purging leaves
 *  something to train on (within a quarter of what the other folds span); walk_forward where rows have times, with shorter test windows where it would train
 *  on too few rows to have every class; grouped where entities repeat, stratified for classes, else k_fold. Blocks and groups only where every fold trains on
 *  rows of every class, by time only where every fold then has rows to train on and to test; no more stratified folds than the rarest class has rows, but
 *  two at least. folds ≥ 2. */
weir_split weir_trainset_default_split(const weir_trainset *set, int folds, uint64_t seed);

#endif
