/* A source of events and labels in order of event time: a file (Parquet, CSV, JSON lines through DuckDB), a topic or a simulator. */
#ifndef WEIR_PRODUCERS_RECORDS_H
#define WEIR_PRODUCERS_RECORDS_H

#include "core/bus.h"
#include "core/clock.h"
#include "features/pipeline.h"

/* One record to publish. Exactly one feed. row is in the columns of the feed's schema, borrowed until the next call. */
typedef struct weir_record {
    weir_feed feed;
    int64_t at_us; /* when it becomes known: the event time of an event, the availability of a label; never decreases */
    const weir_datum *row;
} weir_record;

typedef struct weir_records weir_records;
typedef struct weir_records_ops {
    /** Next record; *ret_more false at the end. */
    weir_status (*next)(void *context, weir_record *ret_record, bool *ret_more, weir_err *err);
    void (*done)(void *context);
} weir_records_ops;
struct weir_records {
    const weir_records_ops *ops;
    void *context;
    int64_t event_count; /* known beforehand; -1 when not */
    int64_t first_us, last_us; /* event times, when event_count ≥ 0 */
};
static inline weir_status weir_records_next(weir_records *records, weir_record *ret_record, bool *ret_more, weir_err *err) {
    return records->ops->next(records->context, ret_record, ret_more, err);
}
void weir_records_free(weir_records *records);
/** Leaves out what is known before from_us, so that `until` one time and `from` the same time next day pass every record exactly once. Takes *records, which becomes NULL, also on failure. */
weir_status weir_records_skip_before(weir_records **records, int64_t from_us, weir_records **ret_records, weir_err *err) WEIR_MUST_CHECK;

/** Files of the user, in any row order, columns matched by name (case-insensitive; `column_map` "TX_AMOUNT=amount" pairs, NULL-terminated, may be NULL; common names of
 *  the handbook are known by the pipeline's `source.aliases`). Events come by event time, then key; when the files have the label column, a label record follows each event
 *  max_delay after it (labels after the last event included). Columns that cannot be found or converted: WEIR_EDATA naming file, column, found, expected.
 *  set: "column=SQL expression" texts (NULL-terminated, may be NULL) computed by DuckDB over the rows of each file, window functions included; the pipeline's `source.derive` does
 *  the same for columns that a file lacks. Such an expression is the user's own SQL, run with the user's own rights. */
weir_status weir_records_from_files(const weir_pipeline *pipeline, const char *const *files, const char *const *column_map, const char *const *set,
                                    weir_records **ret_records, weir_err *err) WEIR_MUST_CHECK;
/** The same of what is no file by its name, too: "schema.table" in the PostgreSQL of pg_url, read as one statement sees it. WEIR_ENOTFOUND: there is no such table. */
weir_status weir_records_from_tables(const weir_pipeline *pipeline, const char *pg_url, const char *const *files, const char *const *column_map,
                                     const char *const *set, weir_records **ret_records, weir_err *err) WEIR_MUST_CHECK;

/** Topics of somebody else with records in the pipeline's schemas (or ones that resolve to them): events and labels, either may be NULL. From their beginning to where they end
 *  now, in order of the column that says when a record is known, across partitions too; a record out of order within its partition comes where it stands. until_us: without
 *  what was known from then on; 0: all. Errors: WEIR_ENOTFOUND (no such topic), WEIR_EDATA naming partition and offset of a record that cannot be decoded. */
weir_status weir_records_from_topics(const weir_pipeline *pipeline, const char *brokers, const char *registry_url, const char *events, const char *labels,
                                     int64_t until_us, weir_records **ret_records, weir_err *err) WEIR_MUST_CHECK;

/** Writes events, each with its label's columns beside it, to a Parquet, CSV or JSON lines file (by extension), in order of event time; weir_records_from_files reads it back as the same
 *  records. The file appears when it is whole. *ret_events counts them. Errors: WEIR_EINVAL (extension), WEIR_EIO. */
weir_status weir_records_to_file(const weir_pipeline *pipeline, weir_records *records, const char *path, int64_t *ret_events, weir_err *err) WEIR_MUST_CHECK;

/* Publishing. */
typedef struct weir_publish_conf {
    const char *brokers, *registry_url;
    double rate; /* records/s of events; 0: as fast as possible */
    double speed; /* event time over wall time; 0: not paced by event time */
    int64_t until_us; /* stop before the first record known at or after this; 0 or INT64_MAX: all */
    weir_clock *clock; /* for pacing; NULL: the machine's */
    const weir_bus_header *headers; /* of every record */
    size_t header_count;
    /** Whether a record, as encoded, is there already and is to be left out; may be NULL. */
    bool (*skip)(void *context, weir_feed feed, const void *value, size_t len);
    void *skip_context;
    void (*progress)(void *context, int64_t events, int64_t labels, int64_t at_us); /* about 10 times a second; may be NULL */
    void *progress_context;
} weir_publish_conf;
typedef struct weir_publisher weir_publisher;
/** Registers the schemas. Topics must exist (weir_pipeline_create_topics). Broker or registry away: WEIR_ENET RETRY. */
weir_status weir_publisher_new(const weir_pipeline *pipeline, const weir_publish_conf *conf, weir_publisher **ret_publisher, weir_err *err) WEIR_MUST_CHECK;
/** Publishes records (Confluent wire format, keys `tenant/entity`) until the end or until_us; may be called again with a later until_us. All are acknowledged when it returns OK.
 *  *stop (may be NULL) ends it early, and is OK too. A record is handed to Kafka once and never again by this layer, because a repeated event would count twice: the producer keeps trying through an outage,
 *  however long, and its idempotence makes one record of all attempts. A run that failed, or was killed, may have published any prefix. */
weir_status weir_publisher_run(weir_publisher *publisher, weir_records *records, int64_t until_us, const volatile int *stop, weir_err *err) WEIR_MUST_CHECK;
int64_t weir_publisher_events(const weir_publisher *publisher); /* any thread */
int64_t weir_publisher_labels(const weir_publisher *publisher); /* any thread */
/** records/s of events, 0: not paced; any thread, at any time. */
void weir_publisher_set_rate(weir_publisher *publisher, double rate);
void weir_publisher_free(weir_publisher *publisher);

#endif
