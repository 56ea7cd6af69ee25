/* Rows of a table as a model takes them. A signature says how: it is made of the training table and kept with the model, and test tables and samples are read by it.
 *
 *     {"inputs": [{"name": "amount", "type": "double"}, {"name": "channel", "type": "category", "categories": ["app", "shop", "web"]}, …],
 *      "target": {"name": "is_fraud", "classes": ["0", "1"]}, "output": {"name": "probability", "type": "double", "of": "1"}}
 *
 * double: a number as it is. boolean: 0 or 1. time: seconds since 1970. category: the place of the text among `categories`, which are in order of their bytes; a text that is not among
 * them is missing. Null and NaN are missing. Classes are in order of their numbers, or bytes where they are texts; of two the last one is the positive class. With more the output is
 * {"name": "probabilities", "type": "double", "of": ["low", "mid", "high"]}, one a class. */
#ifndef WEIR_MODELS_LIFECYCLE_FRAME_H
#define WEIR_MODELS_LIFECYCLE_FRAME_H

#include "models/lifecycle_tables.h"
#include "models/model.h"

enum { WEIR_CATEGORIES_MAX = 256, WEIR_CLASSES_MAX = 100 };

/** The signature of a model of `target` by all other columns of the table but `left_out` (NULL-terminated, may be NULL). Inside weir_tables_begin.
 *  Errors: WEIR_ENOTFOUND (a column), WEIR_EDATA (a column that cannot be an input, named with what to do; a target with fewer than two classes or more than WEIR_CLASSES_MAX). The caller deletes it. */
weir_status weir_signature_make(weir_pg *pg, const weir_table *table, const char *target, const char *const *left_out, cJSON **ret_signature,
                                weir_err *err) WEIR_MUST_CHECK;
/** Whether this is a signature of a model with these columns in this order; else WEIR_EDATA says what is wrong. */
weir_status weir_signature_check(const cJSON *signature, const weir_model *model, weir_err *err) WEIR_MUST_CHECK;

typedef struct weir_frame {
    weir_matrix matrix; /* label is NULL when it was not asked for; column names are borrowed from the signature */
    int64_t without_target; /* rows that were left out */
    weir_buf values, labels; /* of double */
    const char **names;
} weir_frame;

/** Rows in an order that depends on nothing but themselves. row_max 0: all. labelled: with the target, as 0 … classes − 1; rows without it are left out and counted. Inside
 *  weir_tables_begin. Errors: WEIR_ENOTFOUND (a column), WEIR_EDATA (a column of another type, a class that the signature lacks), WEIR_ENOMEM, WEIR_ENET. */
weir_status weir_frame_read(weir_pg *pg, const weir_table *table, const cJSON *signature, bool labelled, int64_t row_max, weir_frame *ret_frame,
                            weir_err *err) WEIR_MUST_CHECK;
void weir_frame_done(weir_frame *frame);

#endif
