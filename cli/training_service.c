#include "cli/training_service.h"

#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

/* The text of an ENUM setting. */
static const char *choice_of(const char *name, int choice) {
    const weir_conf_item *item = weir_settings_table;
    while (strcmp(item->name, name) != 0) item++;
    return item->choices[choice];
}

/* What was said by flags is said to the processes of runs by their environment, which, unlike a command line, only we can read. */
static weir_status add_variable(weir_training_service *s, size_t *count, const char *name, const char *const *values, weir_err *err) {
    weir_buf text = {0};
    bool ok = weir_buf_printf(&text, "%s=", name);
    for (const char *const *value = values; ok && value && *value; value++) ok = weir_buf_printf(&text, "%s%s", value == values ? "" : ",", *value);
    if (!ok) {
        weir_buf_done(&text);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the settings of training runs");
    }
    s->variables[(*count)++] = text.data;
    return WEIR_OK;
}

static weir_status add_variables(weir_training_service *s, const weir_settings *settings, weir_err *err) {
    char threads[32];
    size_t count = 0;
    const char *const one[][2] = {
        {settings->pg_url}, {settings->objects_dir}, {choice_of("log_format", settings->log_format)}, {choice_of("log_level", settings->log_level)}, {threads}};
    snprintf(threads, sizeof threads, "%lld", (long long)settings->train_threads);
    weir_status status = add_variable(s, &count, "WEIR_PG_URL", one[0], err);
    if (!status) status = add_variable(s, &count, "WEIR_OBJECTS_DIR", one[1], err);
    if (!status) status = add_variable(s, &count, "WEIR_PLUGINS", (const char *const *)settings->plugins, err);
    if (!status) status = add_variable(s, &count, "WEIR_LOG_FORMAT", one[2], err);
    if (!status) status = add_variable(s, &count, "WEIR_LOG_LEVEL", one[3], err);
    if (!status && settings->train_threads) status = add_variable(s, &count, "OPENBLAS_NUM_THREADS", one[4], err);
    return status;
}

static weir_status check_times(const weir_settings *s, weir_err *err) {
    if (s->train_lease < 3 * WEIR_SECOND_US) return WEIR_FAIL(err, WEIR_EINVAL, "--train-lease is less than 3s: leases are renewed every second");
    if (s->train_time_limit < WEIR_SECOND_US) return WEIR_FAIL(err, WEIR_EINVAL, "--train-time-limit is less than 1s");
    if (s->train_retry < 0 || s->train_retry_most < s->train_retry) return WEIR_FAIL(err, WEIR_EINVAL, "--train-retry is not between 0 and --train-retry-most");
    return WEIR_OK;
}

weir_status weir_training_service_init(weir_training_service *service, const weir_settings *settings, weir_err *err) {
    *service = (weir_training_service){.service = {
                                           .limits = {.host = settings->train_host,
                                                      .runs_host = (int)settings->train_runs_per_host,
                                                      .runs_overall = (int)settings->train_runs_overall,
                                                      .failures_max = (int)settings->train_attempts,
                                                      .retry_first_us = settings->train_retry,
                                                      .retry_most_us = settings->train_retry_most,
                                                      .time_us = settings->train_time_limit,
                                                      .lease_us = settings->train_lease,
                                                      .memory_bytes = settings->train_memory_mib << 20,
                                                      .threads = (int)settings->train_threads,
                                                      .nice = (int)settings->train_nice},
                                           .program = "/proc/self/exe", /* what runs, even when its file was replaced since */
                                           .environment = (const char *const *)service->variables,
                                       }};
    weir_status status = check_times(settings, err);
    if (!status) status = add_variables(service, settings, err);
    if (status) weir_training_service_done(service);
    return status;
}

void weir_training_service_done(weir_training_service *service) {
    for (char **v = service->variables; *v; v++) {
        weir_buf text = {.data = *v};
        weir_buf_done(&text);
        *v = NULL;
    }
}
