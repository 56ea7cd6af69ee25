/* `serving.batches` of the pipeline file: files that are scored on a schedule. Texts belong to the pipeline's JSON. */
#ifndef WEIR_FEATURES_PIPELINE_BATCHES_H
#define WEIR_FEATURES_PIPELINE_BATCHES_H

#include "core/err.h"
#include "core/mem.h"
#include "features/pipeline_decisions.h"

enum { WEIR_BATCHES_MAX = 32, WEIR_BATCH_COLUMNS_MAX = 256 };

typedef struct weir_batch_def {
    const char *name; /* unique in the pipeline */
    const char *cron, *time_zone; /* "schedule"; "UTC" */
    weir_catch_up catch_up; /* of due times that were missed: last (default) or none */
    const char *file, *out, *errors; /* may hold %Y %m %d %H %M %j of the due time in the zone; errors may be NULL */
    const char *format; /* of file; "auto" */
    const char *model, *version; /* NULL: see models/batch_model.h */
    const char *columns[WEIR_BATCH_COLUMNS_MAX + 1]; /* NULL-terminated; none: all */
    int column_count;
} weir_batch_def;

/** A path of the file with the numbers of a time. O(length). Errors: WEIR_EINVAL for another letter behind '%'; WEIR_ENOMEM. */
weir_status weir_batch_path(const char *pattern, int64_t local_us, weir_buf *ret_path, weir_err *err) WEIR_MUST_CHECK;

#endif
