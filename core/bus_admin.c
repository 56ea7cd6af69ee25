/* Topics and groups over librdkafka's admin client. Requests are idempotent: what is there already, or gone already, is success. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/bus_internal.h"
#include "core/mem.h"

enum { REQUEST_TIMEOUT_MS = 15000, METADATA_TIMEOUT_MS = 5000, SETTLE_TIMEOUT_MS = 30000, SETTLE_STEP_MS = 50 };

/* Errors come back as values; librdkafka's own log lines would go to stderr past the program's log. */
static void ignore_log(const rd_kafka_t *client, int level, const char *facility, const char *text) {
    (void)client, (void)level, (void)facility, (void)text;
}

weir_status weir_bus_client_new(rd_kafka_type_t type, const char *brokers, rd_kafka_conf_t *conf, const weir_bus_setting *settings, rd_kafka_t **ret_client,
                                weir_err *err) {
    /* Back-off is short so that a worker notices within a second that a broker is back. */
    const weir_bus_setting shared[] = {
        {"bootstrap.servers", brokers},       {"reconnect.backoff.ms", "50"},
        {"reconnect.backoff.max.ms", "1000"}, {"socket.keepalive.enable", "true"},
        {"socket.nagle.disable", "true"},     {"topic.metadata.refresh.interval.ms", "10000"},
        {"broker.address.ttl", "5000"},       {NULL, NULL},
    };
    char text[256];
    if (!conf) conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, ignore_log);
    for (int round = 0; round < 2; round++) {
        for (const weir_bus_setting *s = round ? settings : shared; s && s->name; s++) {
            if (rd_kafka_conf_set(conf, s->name, s->value, text, sizeof text) == RD_KAFKA_CONF_OK) continue;
            rd_kafka_conf_destroy(conf);
            return WEIR_FAIL(err, WEIR_EINVAL, "Kafka client: %s", text);
        }
    }
    rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof text);
    if (!client) {
        rd_kafka_conf_destroy(conf);
        return WEIR_FAIL(err, WEIR_EINVAL, "Kafka client: %s", text);
    }
    *ret_client = client;
    return WEIR_OK;
}

static weir_action action_of(rd_kafka_resp_err_t error) {
    switch (error) {
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: /* not a name that a topic may have */
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION: return WEIR_ACTION_FATAL;
    default: return WEIR_ACTION_RETRY;
    }
}

weir_status weir_bus_fail(weir_err *err, const char *where, rd_kafka_resp_err_t error, const char *what, const char *name) {
    bool missing =
        error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
    bool late = error == RD_KAFKA_RESP_ERR__TIMED_OUT || error == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT;
    weir_status code = missing ? WEIR_ENOTFOUND : late ? WEIR_ETIMEOUT : WEIR_ENET;
    return weir_err_set(err, code, action_of(error), where, "%s %s: %s", what, name, rd_kafka_err2str(error));
}

static void pause_ms(int duration_ms) {
    struct timespec t = {.tv_sec = duration_ms / 1000, .tv_nsec = (long)(duration_ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static rd_kafka_resp_err_t metadata_of(rd_kafka_t *client, const char *topic, int timeout_ms, int *ret_count) {
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    if (!handle) return rd_kafka_last_error();
    rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, handle, &metadata, timeout_ms);
    if (!error) {
        const struct rd_kafka_metadata_topic *found = metadata->topic_cnt == 1 ? &metadata->topics[0] : NULL;
        error = !found ? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART : found->err;
        *ret_count = found ? found->partition_cnt : 0;
        if (!error && !*ret_count) error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        for (int i = 0; !error && i < found->partition_cnt; i++)
            if (found->partitions[i].leader < 0) error = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(handle);
    return error;
}

weir_status weir_bus_ask_partitions(rd_kafka_t *client, const char *topic, int timeout_ms, int *ret_count, weir_err *err) {
    int64_t until = now_ms() + timeout_ms;
    for (;;) {
        int count = 0;
        int64_t left = until - now_ms();
        rd_kafka_resp_err_t error = metadata_of(client, topic, left > 100 ? (int)left : 100, &count);
        if (!error) {
            *ret_count = count;
            return WEIR_OK;
        }
        if (error != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE || left <= 0) return weir_bus_fail(err, __func__, error, "topic", topic);
        pause_ms(SETTLE_STEP_MS);
    }
}

/* An admin client is a consumer without a group: unlike a producer it never makes the broker create a topic that it asks about. */
static weir_status open_admin(const char *brokers, rd_kafka_t **ret_client, weir_err *err) {
    static const weir_bus_setting settings[] = {{"client.id", "weir-admin"}, {NULL, NULL}};
    return weir_bus_client_new(RD_KAFKA_CONSUMER, brokers, NULL, settings, ret_client, err);
}

/* One admin request and its answer. */
typedef struct request {
    rd_kafka_t *client;
    rd_kafka_queue_t *queue;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_event_t *event;
} request;

static weir_status open_request(const char *brokers, rd_kafka_admin_op_t op, request *r, weir_err *err) {
    char text[256];
    *r = (request){0};
    weir_status status = open_admin(brokers, &r->client, err);
    if (status) return status;
    r->queue = rd_kafka_queue_new(r->client);
    r->options = rd_kafka_AdminOptions_new(r->client, op);
    if (rd_kafka_AdminOptions_set_request_timeout(r->options, REQUEST_TIMEOUT_MS, text, sizeof text) ||
        (op != RD_KAFKA_ADMIN_OP_DELETEGROUPS && rd_kafka_AdminOptions_set_operation_timeout(r->options, REQUEST_TIMEOUT_MS, text, sizeof text)))
        return WEIR_FAIL(err, WEIR_EINTERNAL, "Kafka admin request: %s", text);
    return WEIR_OK;
}

static weir_status await_answer(request *r, const char *what, weir_err *err) {
    r->event = rd_kafka_queue_poll(r->queue, REQUEST_TIMEOUT_MS + 5000);
    if (!r->event) return WEIR_RETRY(err, WEIR_ETIMEOUT, "%s: Kafka did not answer", what);
    if (!rd_kafka_event_error(r->event)) return WEIR_OK;
    return weir_err_set(err, WEIR_ENET, action_of(rd_kafka_event_error(r->event)), __func__, "%s: %s", what, rd_kafka_event_error_string(r->event));
}

static void close_request(request *r) {
    if (r->event) rd_kafka_event_destroy(r->event);
    if (r->options) rd_kafka_AdminOptions_destroy(r->options);
    if (r->queue) rd_kafka_queue_destroy(r->queue);
    if (r->client) rd_kafka_destroy(r->client);
}

/* ---- creating topics ---- */

#define COMPACTION_LAG_MS "604800000" /* a week */

static weir_status add_new_topic(const weir_topic_spec *spec, rd_kafka_NewTopic_t **ret_topic, weir_err *err) {
    char text[256], retention[32], bytes[32];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(spec->name, spec->partitions, -1, text, sizeof text);
    if (!topic) return WEIR_FAIL(err, WEIR_EINVAL, "topic %s: %s", spec->name, text);
    (void)snprintf(retention, sizeof retention, "%" PRId64, spec->retention_ms < 0 ? -1 : spec->retention_ms);
    (void)snprintf(bytes, sizeof bytes, "%" PRId64, spec->max_message_bytes);
    bool keep_all = spec->retention_ms < 0;
    rd_kafka_resp_err_t error = rd_kafka_NewTopic_set_config(topic, "cleanup.policy", !spec->compact ? "delete" : keep_all ? "compact" : "compact,delete");
    if (!error) error = rd_kafka_NewTopic_set_config(topic, "retention.ms", retention);
    /* Compaction must not take what a sink that is away has not read yet. */
    if (!error && spec->compact) error = rd_kafka_NewTopic_set_config(topic, "min.compaction.lag.ms", COMPACTION_LAG_MS);
    if (!error && spec->max_message_bytes > 0) error = rd_kafka_NewTopic_set_config(topic, "max.message.bytes", bytes);
    if (error) {
        rd_kafka_NewTopic_destroy(topic);
        return weir_bus_fail(err, __func__, error, "topic", spec->name);
    }
    *ret_topic = topic;
    return WEIR_OK;
}

static weir_status check_created(request *r, weir_err *err) {
    weir_status status = await_answer(r, "creating topics", err);
    if (status) return status;
    size_t count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(r->event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
        if (!error || error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) continue;
        return weir_bus_fail(err, __func__, error, "creating topic", rd_kafka_topic_result_name(results[i]));
    }
    return WEIR_OK;
}

/* A topic that was just created takes a moment to be known to the broker that is asked. */
static weir_status check_partitions(rd_kafka_t *client, const weir_topic_spec *spec, weir_err *err) {
    int64_t until = now_ms() + SETTLE_TIMEOUT_MS;
    int count = 0;
    weir_status status;
    while ((status = weir_bus_ask_partitions(client, spec->name, METADATA_TIMEOUT_MS, &count, err)) == WEIR_ENOTFOUND && now_ms() < until)
        pause_ms(SETTLE_STEP_MS);
    if (status) return status;
    if (count != spec->partitions) return WEIR_FAIL(err, WEIR_ECONFLICT, "topic %s has %d partitions, expected %d", spec->name, count, spec->partitions);
    return WEIR_OK;
}

weir_status weir_bus_topics_create(const char *brokers, const weir_topic_spec *specs, size_t count, weir_err *err) {
    if (!count) return WEIR_OK;
    rd_kafka_NewTopic_t **topics = weir_mem.realloc(NULL, count * sizeof(rd_kafka_NewTopic_t *));
    if (!topics) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for topics");
    request r;
    size_t made = 0;
    weir_status status = open_request(brokers, RD_KAFKA_ADMIN_OP_CREATETOPICS, &r, err);
    while (!status && made < count) {
        status = add_new_topic(&specs[made], &topics[made], err);
        if (!status) made++;
    }
    if (!status) {
        rd_kafka_CreateTopics(r.client, topics, made, r.options, r.queue);
        status = check_created(&r, err);
    }
    for (size_t i = 0; !status && i < count; i++) status = check_partitions(r.client, &specs[i], err);
    rd_kafka_NewTopic_destroy_array(topics, made);
    (void)weir_mem.realloc(topics, 0);
    close_request(&r);
    return status;
}

/* ---- deleting ---- */

static weir_status check_deleted(request *r, weir_err *err) {
    weir_status status = await_answer(r, "deleting topics", err);
    if (status) return status;
    size_t count;
    const rd_kafka_topic_result_t **results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(r->event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
        if (!error || error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) continue;
        return weir_bus_fail(err, __func__, error, "deleting topic", rd_kafka_topic_result_name(results[i]));
    }
    return WEIR_OK;
}

static weir_status await_gone(rd_kafka_t *client, const char *topic, weir_err *err) {
    for (int64_t until = now_ms() + SETTLE_TIMEOUT_MS; now_ms() < until; pause_ms(SETTLE_STEP_MS)) {
        int count;
        rd_kafka_resp_err_t error = metadata_of(client, topic, METADATA_TIMEOUT_MS, &count);
        if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) return WEIR_OK;
        if (error && error != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) return weir_bus_fail(err, __func__, error, "topic", topic);
    }
    return WEIR_RETRY(err, WEIR_ETIMEOUT, "topic %s is still there after its deletion", topic);
}

weir_status weir_bus_topics_delete(const char *brokers, const char *const *names, size_t count, weir_err *err) {
    if (!count) return WEIR_OK;
    rd_kafka_DeleteTopic_t **topics = weir_mem.realloc(NULL, count * sizeof(rd_kafka_DeleteTopic_t *));
    if (!topics) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for topics");
    for (size_t i = 0; i < count; i++) topics[i] = rd_kafka_DeleteTopic_new(names[i]);
    request r;
    weir_status status = open_request(brokers, RD_KAFKA_ADMIN_OP_DELETETOPICS, &r, err);
    if (!status) {
        rd_kafka_DeleteTopics(r.client, topics, count, r.options, r.queue);
        status = check_deleted(&r, err);
    }
    for (size_t i = 0; !status && i < count; i++) status = await_gone(r.client, names[i], err);
    rd_kafka_DeleteTopic_destroy_array(topics, count);
    (void)weir_mem.realloc(topics, 0);
    close_request(&r);
    return status;
}

/* A broker that has just started makes and loads its coordinator's topic when somebody first asks for it. */
static bool coordinator_settles(rd_kafka_resp_err_t error) {
    return error == RD_KAFKA_RESP_ERR_NOT_COORDINATOR || error == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
           error == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
}

static weir_status check_groups_deleted(request *r, bool *ret_settles, weir_err *err) {
    weir_status status = await_answer(r, "deleting consumer groups", err);
    if (status) {
        *ret_settles = coordinator_settles(rd_kafka_event_error(r->event));
        return status;
    }
    size_t count;
    const rd_kafka_group_result_t **results = rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(r->event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t error = rd_kafka_error_code(rd_kafka_group_result_error(results[i]));
        if (!error || error == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) continue;
        *ret_settles = coordinator_settles(error);
        return weir_bus_fail(err, __func__, error, "deleting consumer group", rd_kafka_group_result_name(results[i]));
    }
    return WEIR_OK;
}

static weir_status delete_groups(const char *brokers, rd_kafka_DeleteGroup_t **list, size_t count, bool *ret_settles, weir_err *err) {
    request r;
    weir_status status = open_request(brokers, RD_KAFKA_ADMIN_OP_DELETEGROUPS, &r, err);
    if (!status) {
        rd_kafka_DeleteGroups(r.client, list, count, r.options, r.queue);
        status = check_groups_deleted(&r, ret_settles, err);
    }
    close_request(&r);
    return status;
}

weir_status weir_bus_groups_delete(const char *brokers, const char *const *groups, size_t count, weir_err *err) {
    if (!count) return WEIR_OK;
    rd_kafka_DeleteGroup_t **list = weir_mem.realloc(NULL, count * sizeof(rd_kafka_DeleteGroup_t *));
    if (!list) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for consumer groups");
    for (size_t i = 0; i < count; i++) list[i] = rd_kafka_DeleteGroup_new(groups[i]);
    int64_t until = now_ms() + SETTLE_TIMEOUT_MS;
    weir_status status;
    for (;;) {
        bool settles = false;
        status = delete_groups(brokers, list, count, &settles, err);
        if (!status || !settles || now_ms() >= until) break;
        pause_ms(SETTLE_STEP_MS);
    }
    rd_kafka_DeleteGroup_destroy_array(list, count);
    (void)weir_mem.realloc(list, 0);
    return status;
}

weir_status weir_bus_group_members(const char *brokers, const char *group, int *ret_count, weir_err *err) {
    rd_kafka_t *client = NULL;
    const struct rd_kafka_group_list *groups = NULL;
    weir_status status = open_admin(brokers, &client, err);
    if (status) return status;
    rd_kafka_resp_err_t error = rd_kafka_list_groups(client, group, &groups, REQUEST_TIMEOUT_MS);
    *ret_count = 0;
    for (int i = 0; !error && i < groups->group_cnt; i++) {
        error = groups->groups[i].err;
        *ret_count += groups->groups[i].member_cnt;
    }
    if (error == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) error = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (error) status = weir_bus_fail(err, __func__, error, "asking for the members of consumer group", group);
    if (groups) rd_kafka_group_list_destroy(groups);
    rd_kafka_destroy(client);
    return status;
}

weir_status weir_bus_partitions(const char *brokers, const char *topic, int *ret_count, weir_err *err) {
    rd_kafka_t *client = NULL;
    weir_status status = open_admin(brokers, &client, err);
    if (status) return status;
    status = weir_bus_ask_partitions(client, topic, METADATA_TIMEOUT_MS, ret_count, err);
    rd_kafka_destroy(client);
    return status;
}

int32_t weir_bus_partition_of(const void *key, size_t key_len, int partition_count) {
    return rd_kafka_msg_partitioner_murmur2(NULL, key, key_len, partition_count, NULL, NULL);
}
