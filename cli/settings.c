/* The table of process settings; help, JSON Schema and docs are made from it. */
#include "cli/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/bus.h"
#include "core/plugin.h"

static const char *const log_formats[] = {"auto", "json", "logfmt", NULL}; /* as weir_log_format */
static const char *const http_auths[] = {"none", "token", NULL};
static const char *const codecs[] = {"none", "lz4", "zstd", "snappy", "gzip", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL}; /* as weir_log_level */

#define FIELD(member) .offset = offsetof(weir_settings, member)

const weir_conf_item weir_settings_table[] = {
    {.name = "brokers",
     .type = WEIR_CONF_STRING,
     FIELD(brokers),
     .fallback = "127.0.0.1:19092",
     .doc = "Kafka bootstrap servers, host:port separated by commas"},
    {.name = "registry_url",
     .type = WEIR_CONF_STRING,
     FIELD(registry_url),
     .fallback = "http://127.0.0.1:18081",
     .doc = "schema registry (Confluent REST API)"},
    {.name = "pg_url",
     .type = WEIR_CONF_STRING,
     FIELD(pg_url),
     .fallback = "postgresql://weir@127.0.0.1:15432/weir",
     .flags = WEIR_CONF_SECRET,
     .doc = "PostgreSQL: offline store and model registry"},
    {.name = "state_dir", .type = WEIR_CONF_STRING, FIELD(state_dir), .fallback = ".weir/state", .doc = "folder of the workers' local state"},
    {.name = "objects_dir",
     .type = WEIR_CONF_STRING,
     FIELD(objects_dir),
     .fallback = ".weir/objects",
     .doc = "folder of models and other artifacts, shared by all processes; or a store of a plugin, NAME://PLACE, for models alone"},
    {.name = "plugins",
     .type = WEIR_CONF_LIST,
     FIELD(plugins),
     .doc = "shared objects with operators, algorithms, metrics or stores, beside those that the pipeline file names; relative to the working directory"},
    {.name = "instance",
     .type = WEIR_CONF_STRING,
     FIELD(instance),
     .fallback = "0",
     .doc = "name of this process among others of its kind on the same machine"},
    {.name = "http_host", .type = WEIR_CONF_STRING, FIELD(http_host), .fallback = "127.0.0.1", .doc = "address on which workers serve HTTP"},
    {.name = "http_port",
     .type = WEIR_CONF_INT,
     FIELD(http_port),
     .min = 0,
     .max = 65535,
     .fallback = "18400",
     .doc = "port on which workers serve metrics, health and the API; 0: any"},
    {.name = "http_auth",
     .type = WEIR_CONF_ENUM,
     FIELD(http_auth),
     .choices = http_auths,
     .fallback = "none",
     .doc = "who may use the API: none asks nobody (for loopback and trusted networks), token asks for a token of `weir tenants`"},
    {.name = "log_format",
     .type = WEIR_CONF_ENUM,
     FIELD(log_format),
     .choices = log_formats,
     .fallback = "auto",
     .doc = "form of log lines; auto is logfmt on a terminal, else json"},
    {.name = "log_level", .type = WEIR_CONF_ENUM, FIELD(log_level), .choices = log_levels, .fallback = "info", .doc = "least level that is logged"},
    {.name = "compression",
     .type = WEIR_CONF_ENUM,
     FIELD(compression),
     .choices = codecs,
     .fallback = "lz4",
     .doc = "of the batches that are sent to Kafka; none costs the least CPU where the network and the brokers' disks can take it"},
    {.name = "batch_max",
     .type = WEIR_CONF_INT,
     FIELD(batch_max),
     .min = 1,
     .max = 100000,
     .fallback = "5000",
     .unit = "records",
     .doc = "most records a worker takes at once"},
    {.name = "poll_ms",
     .type = WEIR_CONF_INT,
     FIELD(poll_ms),
     .min = 1,
     .max = 10000,
     .fallback = "50",
     .unit = "ms",
     .doc = "longest wait for the first record of a batch"},
    {.name = "drain_ms",
     .type = WEIR_CONF_INT,
     FIELD(drain_ms),
     .min = 0,
     .max = 600000,
     .fallback = "20000",
     .unit = "ms",
     .doc = "deadline for finishing work after SIGTERM"},
    {.name = "checkpoint_ms",
     .type = WEIR_CONF_INT,
     FIELD(checkpoint_ms),
     .min = 10,
     .max = 60000,
     .fallback = "1000",
     .unit = "ms",
     .doc = "time between two checkpoints of ingest: what is done again after a crash"},
    {.name = "memory_mib",
     .type = WEIR_CONF_INT,
     FIELD(memory_mib),
     .min = 1,
     .max = 1048576,
     .fallback = "1024",
     .unit = "MiB",
     .doc = "entity states that ingest keeps in memory, and as many the serving replica; others are on disk"},
    {.name = "mlflow_tracking_uri",
     .type = WEIR_CONF_STRING,
     FIELD(mlflow_tracking_uri),
     .flags = WEIR_CONF_SECRET,
     .doc = "http or https URL of an MLflow server in which runs and model versions are shown; not given: in none"},
    {.name = "mlflow_token", .type = WEIR_CONF_STRING, FIELD(mlflow_token), .flags = WEIR_CONF_SECRET, .doc = "bearer token for it"},
    {.name = NULL},
};

weir_status weir_settings_apply(const weir_settings *settings, weir_err *err) {
    weir_bus_set_compression(codecs[settings->compression]);
    weir_status status = WEIR_OK;
    for (char *const *plugin = settings->plugins; !status && plugin && *plugin; plugin++) {
        char path[4096]; /* with a '/' in it: without one the loader would look along its own path */
        if (snprintf(path, sizeof path, "%s%s", strchr(*plugin, '/') ? "" : "./", *plugin) >= (int)sizeof path)
            return WEIR_FAIL(err, WEIR_EINVAL, "plugins: a path is longer than %zu bytes", sizeof path - 1);
        status = weir_plugin_load(path, err);
    }
    return status;
}
