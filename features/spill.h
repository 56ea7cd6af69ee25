/* Records of one size in buckets, in the order in which they were added: in memory while a budget allows, else in a file without a name that the system removes by itself. */
#ifndef WEIR_FEATURES_SPILL_H
#define WEIR_FEATURES_SPILL_H

#include "core/mem.h"

/* Memory that several spills share, whatever thread they are used by. */
typedef struct weir_budget {
    int64_t max_bytes;
    _Atomic int64_t used_bytes;
    _Atomic int64_t spilled_bytes; /* written to files so far, for reports */
} weir_budget;

typedef struct weir_spill weir_spill;
/** stride: bytes of a record, a multiple of 8. The budget is borrowed. Errors: WEIR_ENOMEM. */
weir_status weir_spill_new(int bucket_count, size_t stride, weir_budget *budget, weir_spill **ret_spill, weir_err *err) WEIR_MUST_CHECK;
void weir_spill_free(weir_spill *spill);
/** Room for one more record of the bucket, 8-aligned, good until the next call; NULL with *err set: no memory, or the file could not be written. */
void *weir_spill_add(weir_spill *spill, int bucket, weir_err *err) WEIR_MUST_CHECK;
int64_t weir_spill_count(const weir_spill *spill, int bucket);
int64_t weir_spill_total(const weir_spill *spill); /* of all buckets */
/** Takes the bucket's oldest records out, at most max_count: heap, the caller's to free; NULL when it has none. Several threads may take at once, each from a bucket of its
 *  own, once nothing is added any more. */
weir_status weir_spill_take(weir_spill *spill, int bucket, int64_t max_count, void **ret_records, int64_t *ret_count, weir_err *err) WEIR_MUST_CHECK;

#endif
