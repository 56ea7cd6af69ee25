/* Compaction: closed days of the offline store's feature tables move from PostgreSQL to Parquet files
 *
 *     <objects>/<pipeline>/features_<view>/tenant=<tenant>/day=<YYYY-MM-DD>/part-00001.parquet
 *
 * which DuckDB, polars, pandas, Spark or Trino read as they are (hive partitioning; names percent-encoded where they must be). Retrieval reads both, each row once: a day's rows
 * are in PostgreSQL until the transaction that lists its files in weir.offline_files and drops its partition. Files are never changed: what comes for a day afterwards becomes
 * a further part. */
#ifndef WEIR_FEATURES_COMPACT_H
#define WEIR_FEATURES_COMPACT_H

#include <stdatomic.h>

#include "core/pg.h"
#include "features/pipeline.h"

typedef struct weir_compact_conf {
    const char *pg_url, *objects_dir;
    int64_t before_us; /* days that end at or before this time */
    int lock_timeout_ms; /* longest wait for the lock of a table, behind which its writers wait, too; 0: 5000 */
    const _Atomic bool *stop; /* may be NULL; ends it between two days */
    void (*progress)(void *context, const char *table, int64_t rows); /* after each day; may be NULL */
    void *progress_context;
} weir_compact_conf;

typedef struct weir_compacted {
    int64_t days, files, rows, bytes;
    int64_t repeats; /* rows that a file had already */
} weir_compacted;

/** Who rewrites rows of the pipeline, one at a time: a compaction, or a rebuild. Until the connection ends. Errors: WEIR_ECONFLICT RETRY when somebody else does. */
weir_status weir_compact_turn(weir_pg *pg, const weir_pipeline *pipeline, weir_err *err) WEIR_MUST_CHECK;

/** Crash at any point: nothing is lost and nothing doubled; the next run does the day again. Errors: those of weir_compact_turn; RETRY
 *  when readers held a table for long, or rows of a day kept coming. *ret_done says what was done, also on failure. */
weir_status weir_compact(const weir_pipeline *pipeline, const weir_compact_conf *conf, weir_compacted *ret_done, weir_err *err) WEIR_MUST_CHECK;

#endif
