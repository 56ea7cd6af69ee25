/* What goes wrong on the way to a pipeline, put into any source of records: drift, faulty readings, missing values, duplicates, late arrivals. */
#ifndef WEIR_PRODUCERS_INJECT_H
#define WEIR_PRODUCERS_INJECT_H

#include "producers/records.h"

/* Shares are of the events, each drawn for itself; labels pass untouched. */
typedef struct weir_inject_conf {
    int64_t seed;
    double drift; /* from the middle of the run on, measured numbers grow linearly, to (1 + drift) times at its end */
    double faults; /* share with one measured value that is absurd: 0, negated and a thousandfold, or tenfold */
    double missing; /* share of measured values, of columns that may be null, that are null */
    double duplicates; /* share that comes a second time, up to a minute later */
    double late; /* share that arrives up to late_by after its time */
    int64_t late_by_us; /* 0: the pipeline's allowed_lateness and half of it again, so that some come too late to count */
    int64_t start_us, end_us; /* of the run, for the drift */
} weir_inject_conf;

/** Wraps a source. measured: names of event columns, NULL-terminated; those the schema lacks are passed over. Takes *records, which becomes NULL, also on failure.
 *  The records come by the time at which they become known: an event that is late is known later than it happened. */
weir_status weir_records_inject(weir_records **records, const weir_pipeline *pipeline, const weir_inject_conf *conf, const char *const *measured,
                                weir_records **ret_records, weir_err *err) WEIR_MUST_CHECK;
/** Whether there is anything to put in. */
bool weir_inject_any(const weir_inject_conf *conf);

#endif
