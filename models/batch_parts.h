/* The finished parts of a batch job beside the file that they will become; see models/batch_file.h. Private to it. */
#ifndef WEIR_MODELS_BATCH_PARTS_H
#define WEIR_MODELS_BATCH_PARTS_H

#include "features/duck.h"

/* What the parts are of. Borrowed. */
typedef struct weir_batch_identity {
    const char *input, *model, *options; /* texts that differ where these do */
} weir_batch_identity;

/* Zeroed memory at first. */
typedef struct weir_batch_parts {
    char *folder;
    int lock; /* of the folder; 0: not held */
    int count; /* parts that are finished */
    int64_t rows; /* in those that were there */
    const char *changed; /* what was other than in the parts that were there, which are gone: "the input has changed" */
    weir_sql from; /* all of them behind FROM */
} weir_batch_parts;

/** Takes the folder for itself, keeps the parts of the same job and removes those of another. Errors: WEIR_ECONFLICT while somebody else has it; WEIR_EIO; WEIR_ENOMEM. */
weir_status weir_batch_parts_open(weir_batch_parts *parts, const char *out, const weir_batch_identity *identity, weir_duck *duck,
                                  weir_err *err) WEIR_MUST_CHECK;
/** Writes a table as the next part, and drops it. */
weir_status weir_batch_parts_add(weir_batch_parts *parts, weir_duck *duck, const char *table, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_batch_parts_from(weir_batch_parts *parts, weir_err *err) WEIR_MUST_CHECK;
/** remove: the parts are not needed any more. */
void weir_batch_parts_close(weir_batch_parts *parts, bool remove);

#endif
