/* `weir demo PIPELINE`: plays history through running workers, from the first event to the verdict on champion and challenger, and writes the report.
 *
 *   load      everything known before the models go live, as fast as the workers take it
 *   train     one training request; until champion and challenger are served
 *   serve     the rest, paced, so that predictions flow and their outcomes arrive days of event time later
 *   evaluate  until all is scored, stored and judged; then the report
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/demo_flow.h"
#include "cli/demo_scenario.h"
#include "cli/report.h"
#include "cli/topic_count.h"
#include "consumers/events.h"
#include "core/clock.h"
#include "core/json.h"
#include "features/history.h"
#include "models/recipe.h"
#include "models/registry.h"
#include "producers/simulate.h"

#define POLL_US (WEIR_SECOND_US / 10)
#define SAMPLE_US (WEIR_SECOND_US / 2)
#define SILENCE_US (20 * WEIR_SECOND_US) /* workers that do not answer for so long are gone */
#define PATIENCE_US (90 * WEIR_SECOND_US) /* without any progress */
#define TRAINING_PATIENCE_US (600 * WEIR_SECOND_US)
#define QUIET_US (10 * WEIR_SECOND_US)
#define DEFAULT_HISTORY_DAYS 30
/* Of a simulation without a scenario, where the command line says nothing. */
enum { DEFAULT_ENTITIES = 2000, DEFAULT_DAYS = 75 };
#define DEFAULT_START_US INT64_C(1522540800000000) /* 2018-04-01 */
/* The paced part takes about so long, between these rates. */
#define SERVE_S 35
#define RATE_MIN 500.0
#define RATE_MAX 10000.0

typedef struct demo_options {
    char *pipeline, *out, *domain, *prepare;
    char **data, **map;
    int64_t train_from, entities, days, seed, start;
    int scenario; /* weir_scenario_kind */
} demo_options;

enum { LOAD, TRAIN, SERVE, EVALUATE };

typedef struct demo {
    const weir_settings *settings;
    const demo_options *options;
    weir_clock *clock;
    weir_pipeline *pipeline;
    weir_recipe recipe;
    weir_records *records;
    weir_registry *registry;
    weir_publisher *publisher;
    weir_pg *pg;
    weir_watch watch;
    weir_live live;
    weir_live_view view;
    weir_report report;
    char metrics_url[128], request_id[64];
    int64_t first_us, last_us; /* event times of the data */
    int64_t live_from_us, test_to_us; /* models go live; end of the test days */
    int64_t started_us, phase_started_us, answered_us, sample_us, quiet_since_us; /* monotonic */
    double sampled_records, taken_events, taken_features, made_predictions; /* at the last samples */
    int64_t rate_from_us;
    weir_status failed; /* of a look that could not return it */
    weir_err failure;
} demo;

static volatile int stop_signal;

static void on_signal(int number) {
    stop_signal = number;
}

/* ---- looking ---- */

/* Rates are over at least a second, so that one large batch does not look like a record. */
static void take_rates(demo *d, int64_t now_us) {
    double seconds = (double)(now_us - d->rate_from_us) / 1e6;
    double predictions = (double)(d->view.arms[0].predictions + d->view.arms[1].predictions);
    if (d->rate_from_us && seconds < 1) return;
    if (d->rate_from_us) {
        d->view.events_per_s = ((double)d->view.events - d->taken_events) / seconds;
        d->view.features_per_s = ((double)d->view.features - d->taken_features) / seconds;
        d->view.predictions_per_s = (predictions - d->made_predictions) / seconds;
        if (!(d->report.rates.events_peak >= d->view.events_per_s)) d->report.rates.events_peak = d->view.events_per_s;
    }
    d->rate_from_us = now_us;
    d->taken_events = (double)d->view.events;
    d->taken_features = (double)d->view.features;
    d->made_predictions = predictions;
}

static void show_progress(demo *d, int phase) {
    int64_t from = phase == LOAD ? d->first_us : d->live_from_us, to = phase == LOAD ? d->live_from_us : d->last_us;
    bool moving = (phase == LOAD || phase == SERVE) && to > from;
    d->view.progress = !moving ? NAN : d->view.event_time_us == INT64_MIN ? 0 : fmax(0, (double)(d->view.event_time_us - from) / (double)(to - from));
}

static int phase_of(const demo *d) {
    for (int i = 0; i < WEIR_LIVE_PHASES; i++)
        if (d->view.phases[i].state == WEIR_LIVE_RUNNING) return i;
    return EVALUATE;
}

/* Takes a sample when it is time and draws. A failure is kept in d and ends the work. */
static void look(demo *d) {
    int64_t now_us = weir_clock_mono_us(d->clock);
    int phase = phase_of(d);
    if (!d->failed && now_us >= d->sample_us) {
        weir_err err;
        weir_status status = weir_watch_fetch(&d->watch, d->metrics_url, &err);
        now_us = weir_clock_mono_us(d->clock);
        if (!status) {
            d->answered_us = now_us;
            weir_flow_show(&d->watch, d->pipeline, &d->view);
            take_rates(d, now_us);
            double records = weir_watch_sum(&d->watch, "weir_worker_records_total", WEIR_WATCH_WITH({"pipeline", d->pipeline->name}));
            if (records > d->sampled_records || !d->quiet_since_us) d->quiet_since_us = now_us;
            d->sampled_records = records;
        } else if (err.action != WEIR_ACTION_RETRY || now_us - d->answered_us > SILENCE_US) {
            d->failure = err;
            d->failed = weir_err_prefix(&d->failure, "the workers of %s cannot be watched", d->pipeline->name);
            stop_signal = -1;
        }
        d->sample_us = now_us + SAMPLE_US;
    }
    d->view.elapsed_s = (double)(now_us - d->started_us) / 1e6;
    d->view.phases[phase].seconds = (double)(now_us - d->phase_started_us) / 1e6;
    show_progress(d, phase);
    weir_live_draw(&d->live, &d->view, now_us, false);
}

static void on_publish(void *context, int64_t events, int64_t labels, int64_t at_us) {
    (void)events, (void)labels, (void)at_us;
    look(context);
}

/* What a stopped step returns: the kept failure, or "interrupted", which the command turns into an exit code. */
static weir_status stopped(demo *d, weir_err *err) {
    if (d->failed) {
        if (err) *err = d->failure;
        return d->failed;
    }
    return stop_signal ? WEIR_FAIL(err, WEIR_EINTERNAL, "interrupted") : WEIR_OK;
}

/* Calls done until it says so. Patience ends when what it waits for has read the same for so long; *ret_in_time (may be NULL) then is false instead of an error. */
typedef weir_status (*done_fn)(demo *d, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err);
static weir_status wait_for(demo *d, done_fn done, int64_t patience_us, bool *ret_in_time, weir_err *err) {
    char why[WEIR_WAITING_MAX] = "";
    weir_patience patience = {0};
    for (bool ready = false;;) {
        look(d);
        weir_status status = stopped(d, err);
        if (!status) status = done(d, &ready, why, err);
        if (ret_in_time) *ret_in_time = ready;
        if (status || ready) return status;
        snprintf(d->view.phases[phase_of(d)].text, sizeof d->view.phases[0].text, "%.150s", why);
        if (weir_patience_over(&patience, why, weir_clock_mono_us(d->clock), patience_us))
            return ret_in_time ? WEIR_OK : WEIR_FAIL(err, WEIR_ETIMEOUT, "nothing moved for %lld s: %s", (long long)(patience_us / WEIR_SECOND_US), why);
        weir_clock_sleep_us(d->clock, POLL_US);
    }
}

static void begin_phase(demo *d, int phase, const char *text) {
    d->phase_started_us = weir_clock_mono_us(d->clock);
    d->view.phases[phase].state = WEIR_LIVE_RUNNING;
    snprintf(d->view.phases[phase].text, sizeof d->view.phases[phase].text, "%s", text);
    look(d);
}

static void end_phase(demo *d, int phase, double *ret_seconds) {
    look(d);
    *ret_seconds = d->view.phases[phase].seconds;
    d->view.phases[phase].state = WEIR_LIVE_DONE;
    d->view.progress = NAN;
}

/* Counted, or without lag and without any movement for a while: a worker that was killed may have lost the last half second of its counters. */
static weir_status flow_done(demo *d, bool scoring, bool *ret_done, char why[WEIR_WAITING_MAX]) {
    const weir_published published = {weir_publisher_events(d->publisher), weir_publisher_labels(d->publisher)};
    *ret_done = weir_flow_idle(&d->watch, d->pipeline, &published, scoring, why);
    if (!*ret_done && weir_clock_mono_us(d->clock) - d->quiet_since_us > QUIET_US) *ret_done = weir_flow_idle(&d->watch, d->pipeline, NULL, false, why);
    return WEIR_OK;
}

static weir_status loaded(demo *d, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    (void)err;
    return flow_done(d, false, ret_done, why);
}

static weir_status scored(demo *d, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    (void)err;
    return flow_done(d, true, ret_done, why);
}

/* ---- the source and the calendar ---- */

static int64_t midnight(int64_t time_us) {
    return time_us - ((time_us % WEIR_DAY_US) + WEIR_DAY_US) % WEIR_DAY_US;
}

static weir_status keep_files(demo *d, weir_err *err) {
    size_t count = 0;
    while (d->options->data[count]) count++;
    d->report.source.files = calloc(count + 1, sizeof(char *));
    for (size_t i = 0; d->report.source.files && i < count; i++)
        if (!(d->report.source.files[i] = strdup(d->options->data[i]))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the names of the files");
    return d->report.source.files ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the names of the files");
}

/* The simulator makes payments as it goes: it does not know beforehand how many, but when. */
static weir_status open_simulator(demo *d, weir_err *err) {
    const demo_options *o = d->options;
    const weir_simulate_conf conf = {.seed = o->seed,
                                     .entities = o->entities ? o->entities : DEFAULT_ENTITIES,
                                     .days = o->days ? o->days : DEFAULT_DAYS,
                                     .start_us = o->start ? o->start : DEFAULT_START_US};
    char count[WEIR_WORDS_MAX], first[WEIR_WORDS_MAX], last[WEIR_WORDS_MAX];
    snprintf(d->report.source.kind, sizeof d->report.source.kind, "simulator");
    d->report.source.entities = conf.entities;
    d->report.source.days = conf.days;
    d->report.source.seed = o->seed;
    d->first_us = conf.start_us;
    d->last_us = conf.start_us + conf.days * WEIR_DAY_US - 1;
    snprintf(d->view.source, sizeof d->view.source, "simulated payments of %s customers, %s to %s", weir_words_count(conf.entities, count),
             weir_words_date(d->first_us, first), weir_words_date(d->last_us, last));
    return weir_simulator_fraud.open(d->pipeline, &conf, &d->records, err);
}

static weir_status open_files(demo *d, weir_err *err) {
    const demo_options *o = d->options;
    char count[WEIR_WORDS_MAX], first[WEIR_WORDS_MAX], last[WEIR_WORDS_MAX];
    snprintf(d->report.source.kind, sizeof d->report.source.kind, "files");
    weir_status status = keep_files(d, err);
    if (!status) status = weir_records_from_files(d->pipeline, (const char *const *)o->data, (const char *const *)o->map, NULL, &d->records, err);
    if (status) return status;
    if (d->records->event_count <= 0) return WEIR_FAIL(err, WEIR_EINVAL, "there are no events in %s", o->data[0]);
    d->first_us = d->records->first_us;
    d->last_us = d->records->last_us;
    const char *slash = strrchr(o->data[0], '/');
    snprintf(d->view.source, sizeof d->view.source, "%.60s%s: %s payments, %s to %s", slash ? slash + 1 : o->data[0], o->data[1] ? " and others" : "",
             weir_words_count(d->records->event_count, count), weir_words_date(d->first_us, first), weir_words_date(d->last_us, last));
    return WEIR_OK;
}

static weir_status plan(demo *d, weir_err *err) {
    const weir_recipe *r = &d->recipe;
    int64_t first_day = midnight(d->first_us), from = d->options->train_from;
    char a[WEIR_WORDS_MAX], b[WEIR_WORDS_MAX], c[WEIR_WORDS_MAX];
    if (!from) {
        from = midnight(d->last_us) - DEFAULT_HISTORY_DAYS * WEIR_DAY_US;
        if (from < first_day) from = first_day;
    }
    int64_t needed = from + r->train_us + r->delay_us + WEIR_DAY_US;
    if (first_day > from)
        return WEIR_FAIL(err, WEIR_EINVAL, "the data begins on %s, after the first training day, %s", weir_words_date(d->first_us, a),
                         weir_words_date(from, b));
    if (d->last_us < needed)
        return WEIR_FAIL(err, WEIR_EINVAL,
                         "the data ends on %s, but training from %s needs it to reach %s: the training days, the delay of their labels, and a day to score",
                         weir_words_date(d->last_us, a), weir_words_date(from, b), weir_words_date(needed, c));
    d->report.source.first_us = d->first_us;
    d->report.source.last_us = d->last_us;
    d->live_from_us = from + r->train_us + r->delay_us;
    d->test_to_us = d->live_from_us + r->test_us;
    d->report.train_from_us = from;
    d->report.train_us = r->train_us;
    d->report.delay_us = r->delay_us;
    d->report.test_us = r->test_us;
    d->report.label_delay_us = d->pipeline->max_delay_us;
    d->report.card_k = r->card_k;
    d->report.exclude_known = r->exclude_known;
    return WEIR_OK;
}

/* The demo plays history from its beginning, so it wants a pipeline that holds nothing yet. */
static weir_status want_empty(demo *d, weir_err *err) {
    int64_t last_us = INT64_MIN;
    char date[WEIR_WORDS_MAX];
    weir_status status = weir_history_span(d->settings->pg_url, d->pipeline, NULL, &last_us, NULL, err);
    if (status == WEIR_ENOTFOUND || (!status && last_us == INT64_MIN)) return WEIR_OK;
    if (status) return status;
    return WEIR_FAIL(err, WEIR_ECONFLICT, "pipeline %s already holds events up to %s; stop its workers and clear it with `weir reset %s` first",
                     d->pipeline->name, weir_words_date(last_us, date), d->pipeline->name);
}

/* ---- phases ---- */

static weir_status workers_ready(demo *d, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    weir_status status = weir_flow_ready(d->settings->http_host, d->settings->http_port, ret_done, why, err);
    if (!*ret_done) d->answered_us = weir_clock_mono_us(d->clock); /* they may still be starting: patience, not silence, ends this */
    return status;
}

static weir_status publish(demo *d, int64_t until_us, double rate, weir_err *err) {
    weir_publisher_set_rate(d->publisher, rate);
    weir_status status = weir_publisher_run(d->publisher, d->records, until_us, &stop_signal, err);
    weir_status stop = stopped(d, status ? NULL : err);
    return status ? status : stop;
}

static weir_status load(demo *d, weir_err *err) {
    const weir_publish_conf conf = {
        .brokers = d->settings->brokers, .registry_url = d->settings->registry_url, .until_us = INT64_MAX, .progress = on_publish, .progress_context = d};
    char count[WEIR_WORDS_MAX], day[WEIR_WORDS_MAX];
    begin_phase(d, LOAD, "waiting for the workers");
    weir_status status = wait_for(d, workers_ready, PATIENCE_US, NULL, err);
    d->phase_started_us = weir_clock_mono_us(d->clock);
    if (!status) status = weir_publisher_new(d->pipeline, &conf, &d->publisher, err);
    if (!status) status = publish(d, d->live_from_us, 0, err);
    d->quiet_since_us = weir_clock_mono_us(d->clock);
    if (!status) status = wait_for(d, loaded, PATIENCE_US, NULL, err);
    if (status) return weir_err_prefix(err, "load");
    end_phase(d, LOAD, &d->report.durations.load);
    double seconds = fmax(d->report.durations.load, 0.001);
    d->report.rates.events_mean = (double)d->view.events / seconds;
    d->report.rates.features_mean = (double)d->view.features / seconds;
    snprintf(d->view.phases[LOAD].text, sizeof d->view.phases[LOAD].text, "%s payments, known by %s",
             weir_words_count(weir_publisher_events(d->publisher), count), weir_words_date(d->live_from_us, day));
    return WEIR_OK;
}

static weir_status ask_for_training(demo *d, weir_err *err) {
    weir_event_codec codec = {0};
    weir_producer *producer = NULL;
    int64_t now_us = weir_clock_wall_us(d->clock);
    snprintf(d->request_id, sizeof d->request_id, "demo-%lld-%d", (long long)now_us, (int)getpid());
    const weir_datum row[REQ_COUNT] = {
        [REQ_ID] = weir_text(d->request_id),
        [REQ_PIPELINE] = weir_text(d->pipeline->name),
        [REQ_REASON] = weir_text("demo"),
        [REQ_REQUESTED_AT] = weir_i64(now_us),
        [REQ_TRAIN_FROM] = weir_i64(d->report.train_from_us),
        [REQ_AS_OF] = weir_null(), /* nothing later has been published yet */
        [REQ_CONTINUE] = weir_null(),
    };
    weir_status status = weir_event_codec_init(&codec, d->registry, "schemas/training_request.avsc", WEIR_TOPIC_REQUESTS, err);
    if (!status) status = weir_producer_new(d->settings->brokers, "weir-demo", &producer, err);
    if (!status) status = weir_event_send(&codec, producer, WEIR_TOPIC_REQUESTS, d->pipeline->name, "weir.training.requested", d->request_id, now_us, row, err);
    if (!status) status = weir_producer_flush(producer, 30000, err);
    weir_producer_free(producer);
    weir_event_codec_done(&codec);
    return status;
}

/* Our run's id and status into the report; a run that failed or was cancelled is an error. */
static weir_status read_run(demo *d, char why[WEIR_WAITING_MAX], weir_err *err) {
    cJSON *runs = NULL, *run;
    weir_status status = weir_run_list(d->pg, d->pipeline->name, NULL, &runs, err);
    if (status) return err->action == WEIR_ACTION_RETRY ? WEIR_OK : status;
    cJSON_ArrayForEach(run, runs) {
        if (strcmp(weir_json_text(cJSON_GetObjectItemCaseSensitive(run, "request"), "request_id"), d->request_id) != 0) continue;
        snprintf(d->report.run_id, sizeof d->report.run_id, "%s", weir_json_text(run, "id"));
        snprintf(d->report.run_status, sizeof d->report.run_status, "%s", weir_json_text(run, "status"));
        if (!strcmp(d->report.run_status, "failed") || !strcmp(d->report.run_status, "cancelled"))
            status = WEIR_FAIL(err, WEIR_EDATA, "training run %s %s: %s", d->report.run_id, d->report.run_status,
                               weir_json_text(cJSON_GetObjectItemCaseSensitive(run, "detail"), "error"));
    }
    cJSON_Delete(runs);
    if (!d->report.run_id[0])
        snprintf(why, WEIR_WAITING_MAX, "the train worker has not taken up the request");
    else if (!strcmp(d->report.run_status, "running"))
        snprintf(why, WEIR_WAITING_MAX, "fitting %d models", d->recipe.candidate_count);
    else if (!strcmp(d->report.run_status, "awaiting_labels"))
        snprintf(why, WEIR_WAITING_MAX, "training run %s awaits the outcomes of its test days", d->report.run_id);
    else
        snprintf(why, WEIR_WAITING_MAX, "training run %s: %s", d->report.run_id, d->report.run_status);
    return status;
}

static weir_status models_served(demo *d, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    weir_status status = read_run(d, why, err);
    bool fitted = !strcmp(d->report.run_status, "awaiting_labels") || !strcmp(d->report.run_status, "succeeded");
    if (status || !fitted) return status;
    const char *const arms[] = {"champion", "challenger"}, *const wanted[] = {d->recipe.champion, d->recipe.challenger};
    for (int i = 0; i < 2; i++)
        if (wanted[i] && !weir_watch_next(&d->watch, "weir_score_model_info", WEIR_WATCH_WITH({"pipeline", d->pipeline->name}, {"arm", arms[i]}), NULL)) {
            snprintf(why, WEIR_WAITING_MAX, "the models are fitted; no %s is served yet", arms[i]);
            return WEIR_OK;
        }
    *ret_done = true;
    return WEIR_OK;
}

static weir_status train(demo *d, weir_err *err) {
    char from[WEIR_WORDS_MAX], to[WEIR_WORDS_MAX];
    begin_phase(d, TRAIN, "asking for a training run");
    weir_status status = ask_for_training(d, err);
    if (!status) status = wait_for(d, models_served, TRAINING_PATIENCE_US, NULL, err);
    if (status) return weir_err_prefix(err, "train");
    end_phase(d, TRAIN, &d->report.durations.train);
    snprintf(d->view.phases[TRAIN].text, sizeof d->view.phases[TRAIN].text, "%d models, fitted on %s to %s", d->recipe.candidate_count,
             weir_words_day(d->report.train_from_us, from), weir_words_day(d->report.train_from_us + d->recipe.train_us - 1, to));
    return WEIR_OK;
}

static weir_status serve(demo *d, weir_err *err) {
    char count[WEIR_WORDS_MAX];
    double loaded_days = (double)(d->live_from_us - d->first_us), rest_days = (double)(d->last_us - d->live_from_us);
    double rest = (double)weir_publisher_events(d->publisher) * rest_days / fmax(loaded_days, 1); /* as many a day as before */
    begin_phase(d, SERVE, "publishing the rest");
    weir_status status = publish(d, INT64_MAX, fmin(fmax(rest / SERVE_S, RATE_MIN), RATE_MAX), err);
    d->quiet_since_us = weir_clock_mono_us(d->clock);
    if (!status) status = wait_for(d, scored, PATIENCE_US, NULL, err);
    if (status) return weir_err_prefix(err, "serve");
    end_phase(d, SERVE, &d->report.durations.serve);
    int64_t predictions = d->view.arms[0].predictions + d->view.arms[1].predictions;
    d->report.rates.predictions_mean = (double)predictions / fmax(d->report.durations.serve, 0.001);
    snprintf(d->view.phases[SERVE].text, sizeof d->view.phases[SERVE].text, "%s predictions", weir_words_count(predictions, count));
    return WEIR_OK;
}

static weir_status run_evaluated(demo *d, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    weir_status status = read_run(d, why, err);
    *ret_done = !status && !strcmp(d->report.run_status, "succeeded");
    return status;
}

/* Values in the offline store, each record once, whatever was killed in between; corrections of them have rows of their own. */
static weir_status count_rows(demo *d, const char *view, weir_err *err) {
    char sql[300];
    PGresult *result = NULL;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM \"%s\".\"features_%s\" WHERE seq = version", d->pipeline->name, view);
    weir_status status = weir_pg_exec(d->pg, sql, 0, NULL, &result, err);
    if (status) return status;
    weir_report_count(&d->report.features_out, view, strtoll(PQgetvalue(result, 0, 0), NULL, 10));
    PQclear(result);
    return WEIR_OK;
}

/* What the report counts is counted where it lies; the workers' counters, which the live view shows, do not survive kill -9. */
static weir_status fill_counts(demo *d, weir_err *err) {
    static const char *const classes[] = {"decode", "schema", "check", "future", "late", "oversize"};
    weir_report *r = &d->report;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) weir_report_count(&r->dead_letters, classes[i], 0);
    r->unserved = llround(weir_watch_sum(&d->watch, "weir_score_unserved_total", WEIR_WATCH_WITH({"pipeline", d->pipeline->name})));
    r->source.events = weir_publisher_events(d->publisher);
    r->source.labels = weir_publisher_labels(d->publisher);
    char *deadletter = weir_topic_of(d->pipeline, "deadletter");
    weir_status status = deadletter ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the name of a topic");
    if (!status) status = weir_deadletters_count(d->settings->brokers, deadletter, &r->dead_letters, err);
    if (!status) status = weir_topic_count(d->settings->brokers, d->pipeline->events.topic, &r->events_in, err);
    if (!status && d->pipeline->labels.topic) status = weir_topic_count(d->settings->brokers, d->pipeline->labels.topic, &r->labels_in, err);
    for (int v = 0; !status && v < d->pipeline->view_count; v++) status = count_rows(d, d->pipeline->views[v].name, err);
    free(deadletter);
    return status;
}

static double served_threshold(const weir_pipeline *pipeline) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(pipeline->json, "serving"), "threshold");
    return cJSON_IsNumber(value) ? value->valuedouble : 0.5;
}

/* Where the data ends before the test days do, their labels never become complete: the models stay without test metrics, which is no error. */
static weir_status evaluate(demo *d, weir_err *err) {
    bool complete = d->last_us >= d->test_to_us - WEIR_DAY_US, in_time = true;
    begin_phase(d, EVALUATE, "judging the models on the test days");
    weir_status status = wait_for(d, run_evaluated, complete ? TRAINING_PATIENCE_US : 2 * QUIET_US, complete ? NULL : &in_time, err);
    if (!status) {
        snprintf(d->view.phases[EVALUATE].text, sizeof d->view.phases[EVALUATE].text, "comparing champion and challenger");
        look(d);
        status = fill_counts(d, err);
    }
    if (!status) status = weir_report_collect(&d->report, d->pg, d->pipeline, served_threshold(d->pipeline), err);
    if (status) return weir_err_prefix(err, "evaluate");
    end_phase(d, EVALUATE, &d->report.durations.evaluate);
    snprintf(d->view.phases[EVALUATE].text, sizeof d->view.phases[EVALUATE].text, "%s",
             in_time ? "done" : "the data ends before the test days do: no test metrics");
    return WEIR_OK;
}

/* ---- the command ---- */

static weir_status prepare(demo *d, weir_err *err) {
    const char *host = d->settings->http_host;
    snprintf(d->metrics_url, sizeof d->metrics_url, "http://%s:%lld/metrics", host, (long long)d->settings->http_port);
    weir_status status = weir_pipeline_load(d->options->pipeline, &d->pipeline, err);
    if (!status) status = weir_recipe_load(d->pipeline, &d->recipe, err);
    if (!status) {
        snprintf(d->report.pipeline, sizeof d->report.pipeline, "%s", d->pipeline->name);
        snprintf(d->view.title, sizeof d->view.title, "Weir demo \u00b7 %.40s", d->pipeline->name);
        status = d->options->data && d->options->data[0] ? open_files(d, err) : open_simulator(d, err);
    }
    if (!status) status = plan(d, err);
    if (!status) status = want_empty(d, err);
    if (!status) status = weir_registry_new(d->settings->registry_url, &d->registry, err);
    if (!status) status = weir_pg_new(d->settings->pg_url, &d->pg, err);
    return status;
}

static weir_status play(demo *d, weir_err *err) {
    d->started_us = d->answered_us = weir_clock_mono_us(d->clock);
    d->report.started_us = weir_clock_wall_us(d->clock);
    weir_status status = load(d, err);
    if (!status) status = train(d, err);
    if (!status) status = serve(d, err);
    if (!status) status = evaluate(d, err);
    d->report.ended_us = weir_clock_wall_us(d->clock);
    d->report.durations.total = (double)(weir_clock_mono_us(d->clock) - d->started_us) / 1e6;
    if (status) d->view.phases[phase_of(d)].state = WEIR_LIVE_FAILED;
    weir_live_draw(&d->live, &d->view, weir_clock_mono_us(d->clock), true);
    return status ? status : weir_report_write(&d->report, d->options->out, err);
}

static void say_where(const demo *d) {
    printf("\n%s\n%s\n\nreport   %s/report.html (and report.json)\nmetrics  %s\n", d->report.headline, d->report.verdict, d->options->out, d->metrics_url);
}

static void demo_done(demo *d) {
    weir_live_stop(&d->live);
    weir_watch_done(&d->watch);
    weir_publisher_free(d->publisher);
    weir_pg_free(d->pg);
    weir_registry_free(d->registry);
    weir_records_free(d->records);
    weir_recipe_done(&d->recipe);
    weir_pipeline_free(d->pipeline);
    weir_report_done(&d->report);
    free(d);
}

static weir_status run_history(const weir_settings *settings, const demo_options *options, int *ret_exit, weir_err *err) {
    demo *d = calloc(1, sizeof *d);
    if (!d) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the demo");
    d->settings = settings;
    d->options = options;
    d->clock = weir_clock_system();
    weir_live_view_init(&d->view);
    weir_report_init(&d->report);
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    weir_status status = prepare(d, err);
    if (!status && !stop_signal) {
        weir_live_start(&d->live, stdout);
        status = play(d, err);
        weir_live_stop(&d->live);
        if (!status) say_where(d);
    }
    if (stop_signal > 0) {
        *ret_exit = 128 + stop_signal;
        fprintf(stderr, "stopped\n");
        status = WEIR_OK;
    }
    demo_done(d);
    return status;
}

static weir_status run_demo(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const demo_options *o = options;
    if (o->prepare && *o->prepare) return weir_scenario_prepare(o->pipeline, (weir_scenario_kind)o->scenario, o->prepare, err);
    if (o->scenario == WEIR_SCENARIO_NONE) return run_history(settings, o, ret_exit, err);
    if (o->data && o->data[0]) return WEIR_FAIL(err, WEIR_EINVAL, "--scenario is played on simulated events: --data does not go with it");
    const weir_scenario_options scenario = {.kind = (weir_scenario_kind)o->scenario,
                                            .pipeline = o->pipeline,
                                            .domain = o->domain,
                                            .out = o->out,
                                            .entities = o->entities,
                                            .days = o->days,
                                            .seed = o->seed,
                                            .start_us = o->start};
    return weir_scenario_play(settings, &scenario, ret_exit, err);
}

#define OPTION(member, kind) .name = #member, .type = kind, .offset = offsetof(demo_options, member)

static const weir_conf_item demo_table[] = {
    {OPTION(pipeline, WEIR_CONF_STRING), .flags = WEIR_CONF_REQUIRED | WEIR_CONF_POSITIONAL, .doc = "name of a pipeline, or path of its file"},
    {OPTION(data, WEIR_CONF_LIST),
     .doc = "Parquet, CSV or JSON lines file with payments and their outcome; may be repeated; without it payments are simulated"},
    {OPTION(map, WEIR_CONF_LIST), .doc = "FILE_COLUMN=name, where a column of the files has another name than the pipeline's; may be repeated"},
    {OPTION(train_from, WEIR_CONF_TIME), .doc = "first training day; default 30 days before the last day of the data"},
    {OPTION(out, WEIR_CONF_STRING), .fallback = ".weir/demo", .doc = "folder for report.html and report.json"},
    {OPTION(entities, WEIR_CONF_INT), .min = 10, .max = 1000000,
     .doc = "customers to simulate (vessels, in a maritime scenario); not given: 2000, or the scenario's"},
    {OPTION(days, WEIR_CONF_INT), .min = 1, .max = 3650, .unit = "days", .doc = "days to simulate; not given: 75. Of a scenario: most days after the change"},
    {OPTION(seed, WEIR_CONF_INT), .fallback = "42", .doc = "of the simulator: the same seed gives the same payments"},
    {OPTION(start, WEIR_CONF_TIME), .doc = "first day to simulate; not given: 2018-04-01, or the scenario's"},
    {OPTION(scenario, WEIR_CONF_ENUM), .choices = weir_scenario_names, .fallback = "none",
     .doc = "drift: the world changes, and the pipeline notices, trains and promotes; harm: bad versions are rolled out and rolled back"},
    {OPTION(domain, WEIR_CONF_STRING), .doc = "of a scenario: which simulated world (fraud, maritime); not given: the pipeline's name"},
    {OPTION(prepare, WEIR_CONF_STRING), .doc = "write the pipeline file for the scenario, and end; its workers are to run when it is played"},
    {0},
};

const weir_command weir_command_demo = {
    .name = "demo",
    .args = "PIPELINE [--data FILE]… [--train-from DATE] [--out DIR] [--scenario drift|harm [--prepare FILE]]",
    .doc = "Plays history through the running workers and reports who is better, champion or challenger.\n"
           "`weir run PIPELINE` must be running, and the pipeline must be empty. Shows a live view on a terminal, plain lines in a pipe.\n"
           "A scenario shows that the pipeline looks after itself, and tells what happens; exit code 1 when it did not go the whole way.",
    .options = demo_table,
    .options_size = sizeof(demo_options),
    .run = run_demo,
};
