/* `weir simulate`: made-up events and labels of a domain, published or written to a file. */
#include <string.h>

#include "cli/command.h"
#include "cli/publishing.h"
#include "producers/simulate.h"

typedef struct simulate_options {
    char *pipeline, *domain, *out;
    weir_simulate_conf conf;
    weir_inject_conf inject;
    weir_publishing how;
} simulate_options;

#define FIELD(member) .offset = offsetof(simulate_options, member)
#define SHARE(option, member, ...)                                                                                                                             \
    { .name = option, .type = WEIR_CONF_NUMBER, FIELD(inject.member), .min = 0, __VA_ARGS__ }

static const weir_conf_item simulate_table[] = {
    WEIR_PIPELINE_ITEM(simulate_options, pipeline),
    {.name = "domain", .type = WEIR_CONF_STRING, FIELD(domain), .doc = "which simulator (fraud); not given: the pipeline's name"},
    {.name = "entities",
     .type = WEIR_CONF_INT,
     FIELD(conf.entities),
     .min = 1,
     .max = 1e6,
     .doc = "how many of what the domain has; not given: its own number"},
    {.name = "days", .type = WEIR_CONF_INT, FIELD(conf.days), .min = 1, .max = 36500, .unit = "days", .doc = "how long; not given: the domain's own span"},
    {.name = "seed", .type = WEIR_CONF_INT, FIELD(conf.seed), .fallback = "42", .doc = "the same seed gives the same events on any machine"},
    {.name = "start", .type = WEIR_CONF_TIME, FIELD(conf.start_us), .doc = "first day; not given: the domain's own"},
    SHARE("drift", drift, .max = 100, .doc = "growth of measured numbers by the end of the run, from its middle on: 0.2 is a fifth"),
    SHARE("faults", faults, .max = 1, .doc = "share of events with one absurd measured value"),
    SHARE("missing", missing, .max = 1, .doc = "share of measured values that are missing, where they may be"),
    SHARE("duplicates", duplicates, .max = 1, .doc = "share of events that come twice"),
    SHARE("late", late, .max = 1, .doc = "share of events that arrive late"),
    {.name = "late_by", .type = WEIR_CONF_DURATION, FIELD(inject.late_by_us), .doc = "how late at most; not given: half as much again as the pipeline allows"},
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

static weir_status no_simulator(const char *domain, weir_err *err) {
    char known[256] = "";
    const weir_simulator *other;
    for (int i = 0; (other = weir_simulator_at(i)); i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", other->domain);
    }
    return WEIR_FAIL(err, WEIR_EINVAL, "there is no simulator for '%s'; --domain names one of %s", domain, known);
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
    const weir_simulator *simulator = st ? NULL : weir_simulator_find(domain);
    if (!st && !simulator) st = no_simulator(domain, err);
    if (!st && to_file && (o->how.rate > 0 || o->how.speed > 0 || o->how.until_us))
        st = WEIR_FAIL(err, WEIR_EINVAL, "--out writes a file at once: --rate, --speed and --until do not go with it");
    if (!st) st = weir_records_simulate(simulator, pipeline, &o->conf, &o->inject, &records, err);
    if (!st && to_file) st = write_file(pipeline, records, o->out, err);
    if (!st && !to_file) st = weir_publish_records(settings, pipeline, records, &o->how, ret_exit, err);
    weir_records_free(records);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_simulate = {
    .name = "simulate",
    .args = "PIPELINE [--entities N] [--days N] [--seed S] [--start DATE] [--drift X] [--faults P] [--missing P] [--duplicates P] [--late P] [--rate N | "
            "--speed X | --out FILE]",
    .doc = "Publishes simulated events and their labels, or writes them to a file.\n"
           "What goes wrong on the way can be put in: drift, faulty readings, missing "
           "values, duplicates, late events.\n\n"
           "fraud: card payments of customers (--entities) at terminals with the three frauds of the Fraud Detection Handbook.",
    .options = simulate_table,
    .options_size = sizeof(simulate_options),
    .run = run_simulate,
};
