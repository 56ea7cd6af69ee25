/* What every command of a process is told: where the services are, where state lives, how to log. */
#ifndef WEIR_CLI_SETTINGS_H
#define WEIR_CLI_SETTINGS_H

#include "core/conf.h"

typedef struct weir_settings {
    char *brokers, *registry_url, *pg_url;
    char *state_dir, *objects_dir, *instance;
    char *http_host;
    int64_t http_port;
    int http_auth; /* index into http_auths: none, token */
    int log_format, log_level; /* weir_log_format, weir_log_level */
    int compression; /* of what is produced; see weir_settings_apply */
    char *mlflow_tracking_uri, *mlflow_token;
    int64_t batch_max, poll_ms, drain_ms, checkpoint_ms, memory_mib;
} weir_settings;

/* From the environment (WEIR_BROKERS, …), then from flags (--brokers, …). */
extern const weir_conf_item weir_settings_table[];
/** Those that hold for the whole process: how what is produced is compressed. */
void weir_settings_apply(const weir_settings *settings);

#endif
