/* Splits by sets of categories, as XGBoost's files have them. */
#ifndef WEIR_MODELS_TREES_CATEGORIES_H
#define WEIR_MODELS_TREES_CATEGORIES_H

#include "core/mem.h"
#include "models/trees.h"
#include "models/ubjson.h"

/* The sets of one tree as its file has them; what is wrong in it was refused. */
typedef struct weir_raw_sets {
    int set_count, category_count;
    double *nodes, *first, *sizes; /* [set_count]; nodes ascending */
    double *categories; /* [category_count]: those of set i begin at first[i] */
} weir_raw_sets;

/** Reads and checks the sets of tree `number`. Shapes: split_type [node_count]. *word_count grows by the words that the sets need.
 *  Errors: WEIR_EDATA naming the field, WEIR_ENOMEM; *ret_sets holds nothing then. */
weir_status weir_raw_sets_read(weir_ubjson tree, int number, const double *split_type, int node_count, uint64_t *word_count, weir_raw_sets *ret_sets,
                               weir_err *err) WEIR_MUST_CHECK;
void weir_raw_sets_done(weir_raw_sets *sets);
/** Which set is that of a node; -1: none. */
int weir_raw_sets_find(const weir_raw_sets *sets, int node);
/** A set as trees have it, in the arena. NULL: no memory. */
weir_tree_set *weir_raw_sets_make(const weir_raw_sets *sets, int set, weir_arena *arena);

#endif
