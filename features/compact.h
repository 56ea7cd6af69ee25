/* Compaction: closed days of the offline store's feature tables move from PostgreSQL to Parquet files
 *
 *     <objects>/<pipeline>/features_<view>/tenant=<tenant>/day=<YYYY-MM-DD>/part-00001.parquet
 *
 * which DuckDB, polars, pandas, Spark or Trino read as they are (hive partitioning; names percent-encoded where they must be). Retrieval reads both, each row once: a day's rows
 * are in PostgreSQL until the transaction that lists its files in weir.offline_files and drops its partition. Files are never changed: what comes for a day afterwards becomes
 * a further part. */
#ifndef WEIR_FEATURES_COMPACT_H
#define WEIR_FEATURES_COMPACT_H

#include "features/pipeline.h"

typedef struct weir_compact_conf {
    const char *pg_url, *objects_dir;
    int64_t before_us; /* days that end at or before this time */
    const volatile int *stop; /* may be NULL; ends it between two days */
    void (*progress)(void *context, const char *table, int64_t rows); /* after each day; may be NULL */
    void *progress_context;
} weir_compact_conf;

typedef struct weir_compacted {
    int64_t days, files, rows, bytes;
    int64_t repeats; /* rows that a file had already */
} weir_compacted;

/** Crash at any point: nothing is lost and nothing doubled; the next run does the day again. Errors: WEIR_ECONFLICT when another compaction of the pipeline is under way; RETRY
 *  when readers held a table for long, or rows of a day kept coming. *ret_done says what was done, also on failure. */
weir_status weir_compact(const weir_pipeline *pipeline, const weir_compact_conf *conf, weir_compacted *ret_done, weir_err *err) WEIR_MUST_CHECK;

#endif
