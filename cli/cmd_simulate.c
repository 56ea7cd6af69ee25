/* `weir simulate`: made-up events and labels of a domain, published or written to a file. */
#include <string.h>

#include "cli/command.h"
#include "cli/publishing.h"

typedef weir_status (*simulator)(const weir_pipeline *pipeline, const weir_simulate_conf *conf, weir_records **ret_records, weir_err *err);

/* By the pipeline's name; a pipeline of another name says which with --domain. */
static const struct {
    const char *domain;
    simulator simulate;
} simulators[] = {{"fraud", weir_records_simulate_fraud}};

typedef struct simulate_options {
    char *pipeline, *domain, *out;
    weir_simulate_conf conf;
    weir_publishing how;
} simulate_options;

#define FIELD(member) .offset = offsetof(simulate_options, member)

static const weir_conf_item simulate_table[] = {
    WEIR_PIPELINE_ITEM(simulate_options, pipeline),
    {.name = "domain", .type = WEIR_CONF_STRING, FIELD(domain), .doc = "which simulator (fraud); not given: the pipeline's name"},
    {.name = "entities",
     .type = WEIR_CONF_INT,
     FIELD(conf.entities),
     .min = 1,
     .max = 1e6,
     .fallback = "2000",
     .doc = "customers; each pays twice a day on average"},
    {.name = "days", .type = WEIR_CONF_INT, FIELD(conf.days), .min = 1, .max = 36500, .fallback = "75", .unit = "days", .doc = "how long"},
    {.name = "seed", .type = WEIR_CONF_INT, FIELD(conf.seed), .fallback = "42", .doc = "the same seed gives the same events on any machine"},
    {.name = "start", .type = WEIR_CONF_TIME, FIELD(conf.start_us), .fallback = "2018-04-01", .doc = "first day"},
    {.name = "rate", .type = WEIR_CONF_NUMBER, FIELD(how.rate), .min = 0, .max = 1e9, .unit = "events/s", .doc = "pace; 0: as fast as possible"},
    {.name = "speed",
     .type = WEIR_CONF_NUMBER,
     FIELD(how.speed),
     .min = 0,
     .max = 1e9,
     .unit = "times",
     .doc = "pace by event time: 3600 makes an hour a second; 0: not"},
    {.name = "until", .type = WEIR_CONF_TIME, FIELD(how.until_us), .doc = "stop before what is known at or after; labels go on after the last day otherwise"},
    {.name = "out", .type = WEIR_CONF_STRING, FIELD(out), .doc = "write a file (.csv, .parquet, .jsonl) that `weir replay` reads, instead of publishing"},
    {.name = NULL},
};

static simulator find_simulator(const char *domain) {
    for (size_t i = 0; i < sizeof simulators / sizeof *simulators; i++)
        if (!strcmp(simulators[i].domain, domain)) return simulators[i].simulate;
    return NULL;
}

static weir_status write_file(const weir_pipeline *pipeline, weir_records *records, const char *path, weir_err *err) {
    int64_t events = 0;
    weir_status st = weir_records_to_file(pipeline, records, path, &events, err);
    if (!st) fprintf(stderr, "%lld events written to %s\n", (long long)events, path);
    return st;
}

static weir_status run_simulate(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const simulate_options *o = options;
    bool to_file = o->out && *o->out;
    weir_pipeline *pipeline = NULL;
    weir_records *records = NULL;
    weir_status st = weir_pipeline_load(o->pipeline, &pipeline, err);
    const char *domain = st ? NULL : o->domain && *o->domain ? o->domain : pipeline->name;
    simulator simulate = st ? NULL : find_simulator(domain);
    if (!st && !simulate) st = WEIR_FAIL(err, WEIR_EINVAL, "there is no simulator for '%s'; there is one for fraud (--domain fraud)", domain);
    if (!st && to_file && (o->how.rate > 0 || o->how.speed > 0 || o->how.until_us))
        st = WEIR_FAIL(err, WEIR_EINVAL, "--out writes a file at once: --rate, --speed and --until do not go with it");
    if (!st) st = simulate(pipeline, &o->conf, &records, err);
    if (!st && to_file) st = write_file(pipeline, records, o->out, err);
    if (!st && !to_file) st = weir_publish_records(settings, pipeline, records, &o->how, ret_exit, err);
    weir_records_free(records);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_simulate = {
    .name = "simulate",
    .args = "PIPELINE [--entities N] [--days N] [--seed S] [--start DATE] [--rate N | --speed X | --out FILE]",
    .doc = "Publishes simulated events and their labels, or writes them to a file.\n\nfraud: card payments of customers at terminals with the three frauds of "
           "the Fraud Detection Handbook.",
    .options = simulate_table,
    .options_size = sizeof(simulate_options),
    .run = run_simulate,
};
