/* What every command of a process is told: where the services are, where state lives, how to log. */
#ifndef WEIR_CLI_SETTINGS_H
#define WEIR_CLI_SETTINGS_H

#include "core/conf.h"

typedef struct weir_settings {
    char *brokers, *registry_url, *pg_url;
    char *state_dir, *objects_dir, *instance;
    char **plugins; /* NULL-terminated; may be NULL */
    char *http_host;
    int64_t http_port;
    int http_auth; /* index into http_auths: none, token */
    int64_t http_threads, http_body_mib, http_connections, http_connections_per_address, http_requests, http_bodies_mib, http_linger_ms;
    int64_t http_request_timeout, http_idle_timeout; /* microseconds */
    char *http_tls_cert, *http_tls_key, *http_access_log; /* may be NULL */
    int log_format, log_level; /* weir_log_format, weir_log_level */
    int compression; /* of what is produced; see weir_settings_apply */
    char *mlflow_tracking_uri, *mlflow_token;
    char *train_host;
    int64_t train_runs_per_host, train_runs_overall, train_attempts, train_memory_mib, train_threads, train_nice;
    int64_t train_retry, train_retry_most, train_time_limit, train_lease; /* microseconds */
    int64_t batch_max, poll_ms, drain_ms, checkpoint_ms, memory_mib;
} weir_settings;

/* From the environment (WEIR_BROKERS, …), then from flags (--brokers, …). */
extern const weir_conf_item weir_settings_table[];
/** Those that hold for the whole process: how what is produced is compressed; plugins are loaded. */
weir_status weir_settings_apply(const weir_settings *settings, weir_err *err) WEIR_MUST_CHECK;

#endif
