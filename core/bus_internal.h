/* What the parts of the bus share. Internal to core. */
#ifndef WEIR_CORE_BUS_INTERNAL_H
#define WEIR_CORE_BUS_INTERNAL_H

#include <librdkafka/rdkafka.h>

#include "core/bus.h"

typedef struct weir_bus_setting {
    const char *name, *value;
} weir_bus_setting;

/** A client of librdkafka with the settings (ended by a NULL name) over those that all clients share. conf, which may be NULL, is taken, also on failure. */
weir_status weir_bus_client_new(rd_kafka_type_t type, const char *brokers, rd_kafka_conf_t *conf, const weir_bus_setting *settings, rd_kafka_t **ret_client,
                                weir_err *err) WEIR_MUST_CHECK;
/** Partition count as the broker tells it; asks again while the topic has no leader yet. */
weir_status weir_bus_ask_partitions(rd_kafka_t *client, const char *topic, int timeout_ms, int *ret_count, weir_err *err) WEIR_MUST_CHECK;
/** The error of a request: what time heals is RETRY, a missing topic WEIR_ENOTFOUND RETRY, the rest FATAL. */
weir_status weir_bus_fail(weir_err *err, const char *where, rd_kafka_resp_err_t error, const char *what, const char *name) WEIR_MUST_CHECK;

#endif
