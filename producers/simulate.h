/* Simulators: made-up events and labels of a domain, one file each. The table in simulate.c names them all. */
#ifndef WEIR_PRODUCERS_SIMULATE_H
#define WEIR_PRODUCERS_SIMULATE_H

#include "producers/inject.h"
#include "producers/records.h"

typedef struct weir_simulate_conf {
    int64_t seed, entities, days;
    int64_t start_us; /* first day */
} weir_simulate_conf;

typedef struct weir_simulator {
    const char *domain; /* "fraud": the pipeline's name, or what --domain says */
    const char *doc; /* what it makes, one sentence */
    const char *entity; /* "customers": what conf.entities counts */
    weir_simulate_conf fallback; /* for what is 0 in a conf; the seed is the caller's */
    const char *const *measured; /* columns of the events that sensors or people fill in, NULL-terminated: injection drifts and spoils these */
    /** Starts a simulation of all of conf, nothing 0. The seed alone decides, and more days only add to the end. Errors: WEIR_EINVAL for a conf out of the simulator's range or a
     *  schema with a column that it cannot fill. */
    weir_status (*open)(const weir_pipeline *pipeline, const weir_simulate_conf *conf, weir_records **ret_records, weir_err *err);
} weir_simulator;

/** By domain; NULL when there is none. */
const weir_simulator *weir_simulator_find(const char *domain);
/** Every simulator: index from 0, NULL after the last. */
const weir_simulator *weir_simulator_at(int index);
/** A simulation with what conf leaves 0 filled in, and what `inject` asks for put into it. */
weir_status weir_records_simulate(const weir_simulator *simulator, const weir_pipeline *pipeline, const weir_simulate_conf *conf,
                                  const weir_inject_conf *inject, weir_records **ret_records, weir_err *err) WEIR_MUST_CHECK;

/* What a simulator fills: its columns in an order of its own, mapped once onto those of a feed's schema. */
typedef enum weir_sim_role { WEIR_SIM_NAMED, WEIR_SIM_TIME, WEIR_SIM_AVAILABLE, WEIR_SIM_TENANT, WEIR_SIM_LABEL, WEIR_SIM_ID } weir_sim_role;
typedef struct weir_sim_column {
    const char *name; /* of the schema's column, too when none has the role; NULL with role NAMED ends the list */
    weir_type type; /* BOOL, I64, F64 or STR; an I64 fills a text column as its digits, a number column as a number */
    weir_sim_role role; /* the feed's column of that role, whatever it is called; ID: the one that joins labels to events */
} weir_sim_column;
enum { WEIR_SIM_DIGITS_MAX = 24 };
typedef struct weir_sim_feed {
    const weir_feed_def *feed;
    int count; /* columns of the schema */
    int *source; /* [count] column of the simulator, or -1: constant */
    weir_datum *row; /* [count] */
    char (*digits)[WEIR_SIM_DIGITS_MAX]; /* [count] */
} weir_sim_feed;
/** Schema columns that the simulator does not have take their default, or null; a tenant it does not have is the pipeline's. Errors: WEIR_EINVAL naming a column that cannot be filled. */
weir_status weir_sim_feed_init(weir_sim_feed *feed, const weir_pipeline *pipeline, weir_feed which, const weir_sim_column *columns,
                               weir_err *err) WEIR_MUST_CHECK;
/** values: in the simulator's columns. The row is the feed's, until the next call; texts stay the caller's. */
const weir_datum *weir_sim_feed_row(weir_sim_feed *feed, const weir_datum *values);
void weir_sim_feed_done(weir_sim_feed *feed);

/* What has happened and is not yet told, oldest first. A simulator adds to its end; events come out at their time, labels of the same items max_delay later:
 *     [ 0 … label_next … event_next … count ): labels are out before label_next, events before event_next */
typedef struct weir_sim_timeline {
    char *items;
    size_t item_size, label_next, event_next, count, capacity; /* in items */
} weir_sim_timeline;
/** Room for one more item at the end, zeroed; valid until the next call. Its first member is an int64_t, its time in µs: never before the one ahead of it. NULL: no memory. */
void *weir_sim_add(weir_sim_timeline *timeline);

typedef struct weir_sim_ops {
    const weir_sim_column *columns;
    size_t item_size;
    /** Adds the items of the next span of time, perhaps none; *ret_more false when there will never be more. Runs past end_us, as far as labels of items before it reach. */
    weir_status (*advance)(void *context, weir_sim_timeline *timeline, bool *ret_more, weir_err *err);
    /** values in `columns`, texts borrowed until the next call. A label is asked for when everything up to its time has been advanced over. */
    void (*fill)(void *context, const void *item, bool label, weir_datum *values);
    void (*done)(void *context);
} weir_sim_ops;
/** A source from a simulation: events of items before end_us, labels of the same ones. Takes context, also on failure. */
weir_status weir_sim_records(const weir_sim_ops *ops, void *context, const weir_pipeline *pipeline, int64_t end_us, weir_records **ret_records,
                             weir_err *err) WEIR_MUST_CHECK;
/** Zeroed memory from weir_mem; NULL: none left. */
void *weir_sim_zeroed(size_t count, size_t size);

extern const weir_simulator weir_simulator_churn; /* simulate_churn.c */
extern const weir_simulator weir_simulator_fraud; /* simulate_fraud.c */
extern const weir_simulator weir_simulator_market; /* simulate_market.c */
extern const weir_simulator weir_simulator_maritime; /* simulate_maritime.c */
extern const weir_simulator weir_simulator_traffic; /* simulate_traffic.c */

#endif
