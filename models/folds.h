/* The folds of a training job: those that were asked for, as far as the rows allow them. */
#ifndef WEIR_MODELS_FOLDS_H
#define WEIR_MODELS_FOLDS_H

#include "models/trainset.h"

enum { WEIR_FOLDS_WORDS = 640 };

typedef struct weir_folds {
    weir_split split;
    int count;
    bool as_asked; /* the split is the one that was asked for */
    char words[WEIR_FOLDS_WORDS]; /* which folds these are, and why not others; a sentence or two */
} weir_folds;

/** The folds of `wanted`; NULL: of weir_trainset_default_split with `folds` and seed. Where these cannot be made of the rows (times that do not order them, a class that some fold would
 *  not train on), fewer folds of the same scheme are taken, and where none will do the default ones. Stratified folds are never more than the rarest class has rows,
 *  so that each of them tests every class.
 *  Errors: WEIR_EDATA naming the class and its rows when one has fewer than two (a fold that tests one row has to train on another), or when there are fewer
 *  than two rows; those of weir_split_plan_new that are not about the rows; WEIR_ENOMEM. */
weir_status weir_folds_choose(const weir_trainset *set, const weir_split *wanted, int folds, uint64_t seed, weir_folds *ret_folds,
                              weir_err *err) WEIR_MUST_CHECK;

/* Test rows that chance chose, because time could not. */
typedef struct weir_holdout {
    weir_split split; /* of which the test rows are one fold */
    double same_time; /* share of the rows that have the most frequent time */
    int64_t time_us; /* that time */
    char words[WEIR_FOLDS_WORDS]; /* how the rows were told apart, and why; two sentences */
} weir_holdout;

/** The share of the rows that have the most frequent time, and that time; 0 without times. O(n). */
double weir_trainset_same_time(const weir_trainset *set, int64_t *ret_time_us);
/** Cuts a set whose times do not order its rows: a fifth of the rows is for the test, with every class's share; where entities repeat a fifth of the entities with all their rows,
 *  as long as a fifth with every class can be found. Same set and seed, same rows.
 *  Errors: WEIR_EDATA when there are fewer than five rows; WEIR_ENOMEM. */
weir_status weir_holdout_draw(const weir_trainset *set, uint64_t seed, weir_trainset *ret_train, weir_trainset *ret_test, weir_holdout *ret_holdout,
                              weir_err *err) WEIR_MUST_CHECK;

#endif
