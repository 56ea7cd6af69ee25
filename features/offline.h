/* The offline store: PostgreSQL tables fed from topics. One table a topic, its columns the flattened columns of the Avro schema ('.' becomes '_'), in schema <pipeline>,
 * range-partitioned by day (month, year: the pipeline's partition_by) of event time, offsets kept in the same transaction as the rows. */
#ifndef WEIR_FEATURES_OFFLINE_H
#define WEIR_FEATURES_OFFLINE_H

#include "core/avro.h"
#include "core/pg.h"
#include "features/pipeline.h"

typedef struct weir_offline weir_offline;
/** One writer of one pipeline. */
weir_status weir_offline_new(const char *pg_url, const weir_pipeline *pipeline, weir_offline **ret_store, weir_err *err) WEIR_MUST_CHECK;
void weir_offline_free(weir_offline *store);

typedef struct weir_offline_table weir_offline_table;
/* Columns are named by one rule: the dotted name with '_' for '.', nothing else changed; so "fraud"."features_customer" has record_amount and features_tx_during_night.
 * The common columns below come first. Two fields that end up with one name, and names over 63 bytes, are refused. Types: boolean, bigint, double precision, text, bytea,
 * timestamp with time zone (source_partition: integer). Days are UTC; a partition is "<name>_pYYYYMMDD" after its first day.
 * A field whose type was promoted as Avro allows (long to double, text to bytes and back) gets a new column of its name; the old one stays beside it as "<name>_was_<type>"
 * (bigint, text, bytea), where features/rows.h finds it. Writers of the old schema then fail (WEIR_EINVAL). Any other change of type is refused (WEIR_ECONFLICT). */
/** A table "<pipeline>.<name>" for rows of `schema`. Creates it, adds columns that are new in the schema (for rows from before they are the field's default), never rewrites. Besides the schema's columns it has
 *  tenant text, entity text, event_time timestamptz, available_time timestamptz, source_partition int4, source_offset int8 where the schema lacks them.
 *  Unique by (event_time, source_partition, source_offset); rows of a schema with `seq` and `version` may have several versions, so version is part of their key; rows
 *  that a table had before it had versions are version 0. skip: column names not stored (NULL-terminated; "state"). */
weir_status weir_offline_table_open(weir_offline *store, const char *name, const weir_schema *schema, const char *const *skip, weir_offline_table **ret_table,
                                    weir_err *err) WEIR_MUST_CHECK;

/* What every row has; taken from the row itself when the schema has columns of these names. */
typedef struct weir_offline_meta {
    const char *tenant;
    size_t tenant_len;
    const char *entity;
    size_t entity_len;
    int64_t event_time_us, available_time_us;
    int32_t source_partition;
    int64_t source_offset;
} weir_offline_meta;

/** Adds a row to the pending batch (memory only; bytes are copied). meta may be NULL when the schema has all of it.
 *  Errors, the batch is then as before: WEIR_EDATA REJECT for what PostgreSQL would refuse (text that is no UTF-8 or holds NUL, times outside the years 1 to 9999, null in a
 *  common column); WEIR_ELIMIT RETRY when 64 MiB are pending: flush, then add it again. */
weir_status weir_offline_add(weir_offline_table *table, const weir_datum *row, const weir_offline_meta *meta, weir_err *err) WEIR_MUST_CHECK;
/** Remembers, with the pending batch, that the topic partition is done before next_offset. sink: name of the consumer ("store"). */
weir_status weir_offline_add_offset(weir_offline *store, const char *sink, const char *topic, int32_t partition, int64_t next_offset,
                                    weir_err *err) WEIR_MUST_CHECK;
/** One transaction: makes the day partitions needed, COPY BINARY of all pending rows, drops repeats by source, writes offsets. OK: durable together with the offsets
 *  (a crash of the server may take the last fraction of a second back, rows and offsets alike: read on from weir_offline_offset), pending is empty.
 *  Error: nothing happened, pending is dropped. WEIR_ECONFLICT RETRY: another writer of the same sink stored later offsets, so this one lost the partition.
 *  *ret_rows (new ones) and *ret_repeats may be NULL. */
weir_status weir_offline_flush(weir_offline *store, int64_t *ret_rows, int64_t *ret_repeats, weir_err *err) WEIR_MUST_CHECK;
void weir_offline_discard(weir_offline *store);
/** Stored next offset; -1 when there is none. */
weir_status weir_offline_offset(weir_offline *store, const char *sink, const char *topic, int32_t partition, int64_t *ret_next, weir_err *err) WEIR_MUST_CHECK;

/** Whether the pipeline has a table of this name; for readers, on a connection of theirs. */
weir_status weir_offline_has_table(weir_pg *pg, const weir_pipeline *pipeline, const char *name, bool *ret_has, weir_err *err) WEIR_MUST_CHECK;

#endif
