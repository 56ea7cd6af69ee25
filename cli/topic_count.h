/* Counting what lies in topics: exact, where counters of workers that were killed are not. */
#ifndef WEIR_CLI_TOPIC_COUNT_H
#define WEIR_CLI_TOPIC_COUNT_H

#include "cli/report.h"

/** Records between first and end of every partition. For topics that are neither compacted nor written in transactions. */
weir_status weir_topic_count(const char *brokers, const char *topic, int64_t *ret_count, weir_err *err) WEIR_MUST_CHECK;
/** Reads the topic to its end and adds up its records by the header weir.error.class. Errors: WEIR_ETIMEOUT when nothing comes for 20 s. */
weir_status weir_deadletters_count(const char *brokers, const char *topic, weir_report_counts *counts, weir_err *err) WEIR_MUST_CHECK;

#endif
