/* Scenarios; see demo_scenario.h.
 *
 *   load     the days before the first champion, as fast as workers take them
 *   train    a first champion, by request
 *   live     day after day of the stream, at a pace that workers keep up with, until all steps of the way were told by the control topics (cli/demo_story.h)
 *   verify   half a day more: who answers now?
 *
 * Nothing is decided here: event time alone is compressed. */
#include "cli/demo_scenario.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/demo_flow.h"
#include "cli/demo_harm.h"
#include "cli/report.h"
#include "cli/scenario_report.h"
#include "cli/stop.h"
#include "consumers/events.h"
#include "core/clock.h"
#include "core/folder.h"
#include "core/page.h"
#include "models/recipe.h"
#include "models/registry.h"
#include "producers/simulate.h"

#define LOOK_US (WEIR_SECOND_US / 2)
#define POLL_US (WEIR_SECOND_US / 10)
#define SILENCE_US (20 * WEIR_SECOND_US) /* workers that do not answer for so long are gone */
#define PATIENCE_US (120 * WEIR_SECOND_US) /* without any progress */
#define SLICE_US (WEIR_DAY_US / 4) /* of the stream, between two looks at who lags */
#define BEHIND_S 2.0 /* how far workers may be behind the stream */
/* Of the stream, how far the drift worker may be: it stores what it has counted every 10 s. Where a view is fed by labels, a window waits for these, too. */
#define UNJUDGED_US (10 * WEIR_DAY_US)

const char *const weir_scenario_names[] = {"none", "drift", "harm", NULL};

/* A simulated world, and how fast it may pass. */
typedef struct world {
    const char *domain, *things; /* things: what an event is */
    int64_t entities, start_us;
    int warm_days; /* before the first training day, until windows of features are full */
    int calm_days, change_days, more_days; /* after the first champion: as before; numbers grow; they stay so */
    double growth; /* of measured numbers */
    double days_per_s;
} world;

static const world worlds[] = {
    {"fraud", "payments", 400, INT64_C(1522540800000000), 40, 5, 2, 70, 1.5, 1.0}, /* 2018-04-01 */
    {"maritime", "reports", 16, INT64_C(1641168000000000), 7, 4, 2, 70, 0.25, 0.5}, /* 2022-01-03 */
};

/* A step of the way, as its topic tells it. state and about NULL: any. */
typedef struct mark {
    const char *name;
    weir_story_kind kind;
    const char *state, *about;
    enum { ANY_SUBJECT, SOMEBODY, NOBODY, THE_VERSION, A_DECISION } subject;
} mark;

static const mark drift_marks[] = {
    {"drift is judged", WEIR_STORY_DRIFT, NULL, "features", ANY_SUBJECT},
    {"somebody is alerted", WEIR_STORY_ALERT, "firing", "WeirDrift", ANY_SUBJECT},
    {"training is decided", WEIR_STORY_DECISION, "train", "drift", A_DECISION},
    {"a run is asked for", WEIR_STORY_REQUEST, NULL, "drift", A_DECISION},
    {"the run begins", WEIR_STORY_RUN, "running", NULL, A_DECISION},
    {"a version is registered", WEIR_STORY_MODEL, "version.registered", NULL, SOMEBODY},
    {"it becomes challenger", WEIR_STORY_MODEL, "alias.moved", "challenger", SOMEBODY},
    {"it gets its first traffic", WEIR_STORY_ROLLOUT, "started", NULL, SOMEBODY},
    {"it gets more", WEIR_STORY_ROLLOUT, "stepped", NULL, SOMEBODY},
    {"it is promoted", WEIR_STORY_ROLLOUT, "promoted", NULL, SOMEBODY},
    {"it is champion", WEIR_STORY_MODEL, "alias.moved", "champion", SOMEBODY},
};
/* Of a version whose scores are no numbers, and of one whose are wrong: for that nobody needs a guard. */
static const mark units_marks[] = {
    {"a version without numbers is registered", WEIR_STORY_MODEL, "version.registered", NULL, THE_VERSION},
    {"it becomes challenger", WEIR_STORY_MODEL, "alias.moved", "challenger", THE_VERSION},
    {"it gets its first traffic", WEIR_STORY_ROLLOUT, "started", NULL, THE_VERSION},
    {"a guard is broken", WEIR_STORY_ROLLOUT, "ask.rollback", "guard", THE_VERSION},
    {"it is rolled back", WEIR_STORY_ROLLOUT, "rolled_back", NULL, THE_VERSION},
    {"somebody is alerted", WEIR_STORY_ALERT, "firing", "WeirRolledBack", ANY_SUBJECT},
    {"nobody is challenger", WEIR_STORY_MODEL, "alias.moved", "challenger", NOBODY},
};
static const mark labels_marks[] = {
    {"a version that is wrong is registered", WEIR_STORY_MODEL, "version.registered", NULL, THE_VERSION},
    {"it becomes challenger", WEIR_STORY_MODEL, "alias.moved", "challenger", THE_VERSION},
    {"it gets its first traffic", WEIR_STORY_ROLLOUT, "started", NULL, THE_VERSION},
    {"it is rolled back", WEIR_STORY_ROLLOUT, "rolled_back", NULL, THE_VERSION},
    {"somebody is alerted", WEIR_STORY_ALERT, "firing", "WeirRolledBack", ANY_SUBJECT},
    {"nobody is challenger", WEIR_STORY_MODEL, "alias.moved", "challenger", NOBODY},
};
static const struct {
    const mark *marks;
    int count;
} harm_marks[] = {[WEIR_HARM_UNITS] = {units_marks, sizeof units_marks / sizeof *units_marks},
                  [WEIR_HARM_LABELS] = {labels_marks, sizeof labels_marks / sizeof *labels_marks}};

typedef struct scenario {
    const weir_settings *settings;
    const weir_scenario_options *options;
    const volatile int *stop;
    weir_clock *clock;
    world world;
    weir_pipeline *pipeline;
    weir_recipe recipe;
    weir_records *records;
    weir_registry *registry;
    weir_publisher *publisher;
    weir_pg *pg;
    weir_story *story;
    weir_watch watch;
    weir_scenario_report report;
    const mark *marks; /* of the steps from first_step on; NULL: nobody waits for anything */
    int mark_count, first_step;
    char metrics_url[128], request_id[64], version[160]; /* version: the harmful one */
    char champion[160]; /* the first one */
    int64_t train_from_us, settled_us, end_us, at_us; /* at: published until */
    int64_t judged_us; /* windows of features until then are judged */
    int64_t began_us; /* wall time */
    int64_t started_us, looked_us, answered_us, drawn_us; /* monotonic */
    double events_per_day, changed_wall_s;
    bool terminal, status_shown;
    int waits; /* decisions to wait that were not printed */
    char severity[24]; /* that was printed last */
    char run_said[640]; /* the last of a run */
    weir_status failed; /* of a look that could not return it */
    weir_err failure;
} scenario;

/* ---- telling ---- */

static double seconds_of(const scenario *s) {
    return (double)(weir_clock_mono_us(s->clock) - s->started_us) / 1e6;
}

/* By the event itself: hearing of it takes as long as a fetch does. */
static weir_scenario_told told_of(const scenario *s, const weir_story_entry *e) {
    return (weir_scenario_told){.wall_s = (double)(e->at_us - s->began_us) / 1e6, .stream_us = s->at_us, .entry = *e};
}

static void erase_status(scenario *s) {
    if (s->status_shown) printf("\r\033[K");
    s->status_shown = false;
}

static void print_line(scenario *s, const weir_scenario_told *told) {
    char day[WEIR_WORDS_MAX] = "";
    erase_status(s);
    if (told->stream_us != INT64_MIN) weir_words_date(told->stream_us, day);
    printf("%7.1f s  %-11s  %-9s %s\n", told->wall_s, day, weir_story_names[told->entry.kind], told->entry.text);
    fflush(stdout);
}

static bool firing(const char *severity) {
    return !strcmp(severity, "high") || !strcmp(severity, "critical");
}

/* A reader wants what changes; the report has everything. */
static bool is_news(scenario *s, const weir_story_entry *e) {
    bool drift = e->kind == WEIR_STORY_DRIFT && !strcmp(e->about, "features") && strcmp(e->state, s->severity) != 0;
    if (drift) snprintf(s->severity, sizeof s->severity, "%s", e->state);
    if (e->kind == WEIR_STORY_DRIFT) return drift;
    if (e->kind == WEIR_STORY_RUN) return strcmp(e->state, "queued") != 0 && strcmp(e->text, s->run_said) != 0;
    if (e->kind == WEIR_STORY_MODEL) return !strcmp(e->state, "version.registered") || !strcmp(e->state, "alias.moved");
    return true;
}

static void tell(scenario *s, const weir_story_entry *e) {
    const weir_scenario_told told = told_of(s, e);
    if (s->report.told_count < WEIR_SCENARIO_TOLD_MAX) s->report.told[s->report.told_count++] = told;
    bool waits = e->kind == WEIR_STORY_DECISION && !strcmp(e->state, "wait");
    if (waits && s->waits++) return;
    if (!is_news(s, e)) return;
    if (!waits && e->kind == WEIR_STORY_DECISION && s->waits > 1) {
        erase_status(s);
        printf("%36s(and waits %d times more)\n", "", s->waits - 1);
        s->waits = 0;
    }
    if (e->kind == WEIR_STORY_RUN) snprintf(s->run_said, sizeof s->run_said, "%s", e->text); /* a run that goes on says so at every step */
    print_line(s, &told);
}

static void WEIR_PRINTF(2, 3) say(scenario *s, const char *format, ...) {
    weir_story_entry e = {.kind = WEIR_STORY_DEMO, .at_us = weir_clock_wall_us(s->clock), .share = NAN};
    va_list args;
    va_start(args, format);
    vsnprintf(e.text, sizeof e.text, format, args);
    va_end(args);
    tell(s, &e);
}

/* ---- the way ---- */

static bool matches(const scenario *s, const mark *m, const weir_story_entry *e) {
    if (e->kind != m->kind || (m->state && strcmp(e->state, m->state) != 0) || (m->about && strcmp(e->about, m->about) != 0)) return false;
    if (m->kind == WEIR_STORY_DRIFT && !firing(e->state)) return false;
    switch (m->subject) {
    case SOMEBODY: return *e->subject && strcmp(e->subject, s->champion) != 0;
    case NOBODY: return !*e->subject;
    case THE_VERSION: return !strcmp(e->subject, s->version);
    case A_DECISION: return !strncmp(e->subject, "decision-", 9);
    default: return true;
    }
}

static void on_told(void *context, const weir_story_entry *e) {
    scenario *s = context;
    for (int i = 0; i < s->mark_count; i++) {
        weir_scenario_step *step = &s->report.steps[s->first_step + i];
        if (step->done || !matches(s, &s->marks[i], e)) continue;
        step->done = true;
        step->told = told_of(s, e);
        break;
    }
    if (e->kind == WEIR_STORY_DRIFT && !strcmp(e->about, "features") && e->until_us > s->judged_us) s->judged_us = e->until_us;
    tell(s, e);
    bool ended = !strcmp(e->state, "failed") || !strcmp(e->state, "cancelled");
    if (e->kind == WEIR_STORY_RUN && ended && s->mark_count && !s->failed)
        s->failed = WEIR_FAIL(&s->failure, WEIR_EDATA, "the training run %s: %.300s", e->state, e->text);
}

static void await_steps(scenario *s, const mark *marks, int count) {
    s->marks = marks;
    s->mark_count = count;
    s->first_step = s->report.step_count;
    for (int i = 0; i < count && s->report.step_count < WEIR_SCENARIO_STEPS_MAX; i++)
        s->report.steps[s->report.step_count++] = (weir_scenario_step){.name = marks[i].name};
}

static bool steps_done(const scenario *s) {
    for (int i = 0; i < s->mark_count; i++)
        if (!s->report.steps[s->first_step + i].done) return false;
    return true;
}

/* The event of the step with this state. */
static const weir_scenario_told *step_told(const scenario *s, const char *state) {
    int at = 0;
    while (at + 1 < s->mark_count && (!s->marks[at].state || strcmp(s->marks[at].state, state) != 0)) at++;
    return &s->report.steps[s->first_step + at].told;
}

/* ---- looking ---- */

static double served_by(const scenario *s, const char *arm) {
    return weir_watch_sum(&s->watch, "weir_score_predictions_total", WEIR_WATCH_WITH({"pipeline", s->pipeline->name}, {"arm", arm}));
}

static void draw_status(scenario *s, int64_t now_us) {
    char day[WEIR_WORDS_MAX], lag[WEIR_WORDS_MAX];
    if (!s->terminal || now_us < s->drawn_us + LOOK_US || s->at_us == INT64_MIN) return;
    s->drawn_us = now_us;
    printf("\r\033[K%7.1f s  %-11s  … %s %s wait; champion answered %.0f, challenger %.0f", seconds_of(s), weir_words_date(s->at_us, day),
           weir_words_count(weir_flow_lag(&s->watch, s->pipeline), lag), "records", served_by(s, "champion"), served_by(s, "challenger"));
    fflush(stdout);
    s->status_shown = true;
}

static void sample(scenario *s, int64_t now_us) {
    weir_err err;
    weir_status status = weir_watch_fetch(&s->watch, s->metrics_url, &err);
    if (!status) {
        s->answered_us = now_us;
    } else if (err.action != WEIR_ACTION_RETRY || now_us - s->answered_us > SILENCE_US) {
        s->failure = err;
        s->failed = weir_err_prefix(&s->failure, "the workers of %s cannot be watched", s->pipeline->name);
    }
    s->looked_us = now_us;
}

/* Hears what was told, samples the metrics when it is time. A failure is kept in s and ends the work. */
static void look(scenario *s) {
    int64_t now_us = weir_clock_mono_us(s->clock);
    if (s->failed) return;
    s->failed = weir_story_poll(s->story, 0, on_told, s, &s->failure);
    if (!s->failed && now_us >= s->looked_us + LOOK_US) sample(s, now_us);
    draw_status(s, now_us);
}

/* All before at_us is published. */
static void go_on_to(scenario *s, int64_t at_us) {
    char day[WEIR_WORDS_MAX];
    bool changes = s->at_us < s->report.changed_us && at_us >= s->report.changed_us;
    if (at_us > s->at_us) s->at_us = at_us;
    if (!changes) return;
    s->changed_wall_s = seconds_of(s);
    say(s, "from here on measured numbers grow, by %g %% until %s", 100 * s->world.growth, weir_words_date(s->settled_us, day));
}

static void on_publish(void *context, int64_t events, int64_t labels, int64_t at_us) {
    scenario *s = context;
    (void)events, (void)labels;
    go_on_to(s, at_us);
    look(s);
}

static weir_status stopped(const scenario *s, weir_err *err) {
    if (s->failed) {
        if (err) *err = s->failure;
        return s->failed;
    }
    return *s->stop ? WEIR_FAIL(err, WEIR_EINTERNAL, "interrupted") : WEIR_OK;
}

/* Calls done until it says so; fails when it says the same for PATIENCE_US. */
typedef weir_status (*done_fn)(scenario *s, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err);
static weir_status wait_for(scenario *s, done_fn done, weir_err *err) {
    char why[WEIR_WAITING_MAX] = "";
    weir_patience patience = {0};
    for (;;) {
        bool ready = false;
        look(s);
        weir_status status = stopped(s, err);
        if (!status) status = done(s, &ready, why, err);
        if (status || ready) return status;
        if (weir_patience_over(&patience, why, weir_clock_mono_us(s->clock), PATIENCE_US))
            return WEIR_FAIL(err, WEIR_ETIMEOUT, "nothing moved for %lld s: %s", (long long)(PATIENCE_US / WEIR_SECOND_US), why);
        weir_clock_sleep_us(s->clock, POLL_US);
    }
}

static weir_status workers_ready(scenario *s, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    weir_status status = weir_flow_ready(s->settings->http_host, s->settings->http_port, ret_done, why, err);
    if (!*ret_done) s->answered_us = weir_clock_mono_us(s->clock); /* they may still be starting: patience, not silence, ends this */
    return status;
}

static weir_status all_taken(scenario *s, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    const weir_published published = {weir_publisher_events(s->publisher), weir_publisher_labels(s->publisher)};
    (void)err;
    *ret_done = weir_flow_idle(&s->watch, s->pipeline, &published, *s->champion, why);
    return WEIR_OK;
}

/* ---- the stream ---- */

static weir_status publish(scenario *s, int64_t until_us, double rate, weir_err *err) {
    weir_publisher_set_rate(s->publisher, rate);
    weir_status status = weir_publisher_run(s->publisher, s->records, until_us, s->stop, err);
    if (!status) go_on_to(s, until_us);
    weir_status stop = stopped(s, status ? NULL : err);
    return status ? status : stop;
}

static weir_status kept_up(scenario *s, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    double waiting = (double)weir_flow_lag(&s->watch, s->pipeline),
           most = 4 * s->events_per_day * s->world.days_per_s * BEHIND_S; /* an event makes records of four topics */
    bool judges = s->options->kind == WEIR_SCENARIO_DRIFT && s->at_us - s->judged_us > s->pipeline->max_delay_us + UNJUDGED_US;
    char day[WEIR_WORDS_MAX];
    (void)err;
    *ret_done = waiting <= most && !judges;
    if (judges)
        snprintf(why, WEIR_WAITING_MAX, "drift is judged until %s", weir_words_date(s->judged_us, day));
    else
        snprintf(why, WEIR_WAITING_MAX, "%.0f records wait", waiting);
    return WEIR_OK;
}

/* Day after day until the steps are done, or there are no more days. */
static weir_status live(scenario *s, weir_err *err) {
    double rate = s->events_per_day * s->world.days_per_s;
    weir_status status = WEIR_OK;
    while (!status && !steps_done(s) && s->at_us < s->end_us) {
        status = publish(s, s->at_us + SLICE_US, rate, err);
        if (!status) status = wait_for(s, kept_up, err);
    }
    return status;
}

/* What was told last may still be on its way. */
static weir_status listen(scenario *s, double seconds, weir_err *err) {
    int64_t until_us = weir_clock_mono_us(s->clock) + (int64_t)(seconds * 1e6);
    weir_status status = WEIR_OK;
    while (!status && !steps_done(s) && weir_clock_mono_us(s->clock) < until_us) {
        weir_clock_sleep_us(s->clock, POLL_US);
        look(s);
        status = stopped(s, err);
    }
    return status;
}

/* ---- the first champion ---- */

/* What row leaves null is the schema's default, where it has one. */
static void fill_defaults(const weir_schema *schema, weir_datum *row) {
    for (int i = 0; i < weir_schema_field_count(schema); i++) {
        const weir_schema_field *field = weir_schema_field_at(schema, i);
        if (row[i].type == WEIR_T_NULL && field->has_default) row[i] = field->fallback;
    }
}

static weir_status send_event(scenario *s, const char *schema, const char *topic, const char *type, const char *id, weir_datum *row, weir_err *err) {
    weir_event_codec codec = {0};
    weir_producer *producer = NULL;
    weir_status status = weir_event_codec_init(&codec, s->registry, schema, topic, err);
    if (!status) fill_defaults(codec.schema, row);
    if (!status) status = weir_producer_new(s->settings->brokers, "weir-demo", &producer, err);
    if (!status) status = weir_event_send(&codec, producer, topic, s->pipeline->name, type, id, weir_clock_wall_us(s->clock), row, err);
    if (!status) status = weir_producer_flush(producer, 30000, err);
    weir_producer_free(producer);
    weir_event_codec_done(&codec);
    return status;
}

static weir_status ask_for_training(scenario *s, weir_err *err) {
    int64_t now_us = weir_clock_wall_us(s->clock);
    snprintf(s->request_id, sizeof s->request_id, "demo-%lld-%d", (long long)now_us, (int)getpid());
    weir_datum row[REQ_COUNT] = {[REQ_ID] = weir_text(s->request_id),
                                 [REQ_PIPELINE] = weir_text(s->pipeline->name),
                                 [REQ_REASON] = weir_text("first champion"),
                                 [REQ_REQUESTED_AT] = weir_i64(now_us),
                                 [REQ_TRAIN_FROM] = weir_i64(s->train_from_us)};
    return send_event(s, "schemas/training_request.avsc", WEIR_TOPIC_REQUESTS, "weir.training.requested", s->request_id, row, err);
}

/* Who answers; "" when nobody does. */
static void served_version(const scenario *s, const char *arm, char version[160]) {
    const weir_series *info = weir_watch_next(&s->watch, "weir_score_model_info", WEIR_WATCH_WITH({"pipeline", s->pipeline->name}, {"arm", arm}), NULL);
    *version = 0;
    if (info && info->value == 1) snprintf(version, 160, "%s/%s", weir_series_label(info, "model"), weir_series_label(info, "version"));
}

static weir_status first_served(scenario *s, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    char version[160];
    (void)err;
    served_version(s, "champion", version);
    *ret_done = *version;
    if (*version) snprintf(s->champion, sizeof s->champion, "%s", version);
    snprintf(why, WEIR_WAITING_MAX, "no champion is served yet");
    return WEIR_OK;
}

static weir_status begin(scenario *s, weir_err *err) {
    char count[WEIR_WORDS_MAX], day[WEIR_WORDS_MAX];
    const weir_publish_conf conf = {
        .brokers = s->settings->brokers, .registry_url = s->settings->registry_url, .until_us = INT64_MAX, .progress = on_publish, .progress_context = s};
    weir_status status = wait_for(s, workers_ready, err);
    if (!status) sample(s, weir_clock_mono_us(s->clock)); /* from here on is counted */
    if (!status) status = stopped(s, err);
    if (!status) status = weir_publisher_new(s->pipeline, &conf, &s->publisher, err);
    if (!status) status = publish(s, s->report.live_us, 0, err);
    if (!status) status = wait_for(s, all_taken, err);
    if (status) return weir_err_prefix(err, "load");
    double days = (double)(s->report.live_us - s->report.first_us) / (double)WEIR_DAY_US;
    s->events_per_day = (double)weir_publisher_events(s->publisher) / days;
    say(s, "%s %s until %s are taken; a first champion is to be trained", weir_words_count(weir_publisher_events(s->publisher), count), s->world.things,
        weir_words_date(s->report.live_us, day));
    status = ask_for_training(s, err);
    if (!status) status = wait_for(s, first_served, err);
    if (!status) say(s, "%s is champion, and answers from here on", s->champion);
    return status ? weir_err_prefix(err, "first champion") : WEIR_OK;
}

/* ---- who answers in the end ---- */

static weir_status champion_serves(scenario *s, bool *ret_done, char why[WEIR_WAITING_MAX], weir_err *err) {
    char champion[160], challenger[160];
    (void)err;
    served_version(s, "champion", champion);
    served_version(s, "challenger", challenger);
    *ret_done = !strcmp(champion, s->champion) && !*challenger;
    snprintf(why, WEIR_WAITING_MAX, "%.60s answers as champion, %.60s as challenger; expected is %.60s alone", *champion ? champion : "nobody",
             *challenger ? challenger : "nobody", s->champion);
    return WEIR_OK;
}

/* Half a day more: all of it is answered by the champion. */
static weir_status verify(scenario *s, weir_err *err) {
    weir_status status = wait_for(s, champion_serves, err);
    if (!status) status = wait_for(s, all_taken, err);
    double before[2] = {served_by(s, "champion"), served_by(s, "challenger")};
    if (!status) status = publish(s, s->at_us + WEIR_DAY_US / 2, 0, err);
    if (!status) status = wait_for(s, all_taken, err);
    if (status) return weir_err_prefix(err, "who answers in the end");
    double champion = served_by(s, "champion") - before[0], challenger = served_by(s, "challenger") - before[1];
    if (champion < 1 || challenger > 0)
        return WEIR_FAIL(err, WEIR_EINTERNAL, "of the last half day the champion answered %.0f, the challenger %.0f", champion, challenger);
    say(s, "%s answers alone: all %.0f %s of half a day", s->champion, champion, s->world.things);
    return WEIR_OK;
}

/* ---- drift ---- */

static void sum_up_drift(scenario *s) {
    const weir_scenario_told *promoted = step_told(s, "promoted");
    const weir_story_entry *e = &promoted->entry;
    snprintf(s->champion, sizeof s->champion, "%s", e->subject);
    snprintf(
        s->report.outcome, sizeof s->report.outcome,
        "%s was promoted by evidence, %.1f days of the stream and %.0f s after numbers began to grow: mean loss %.4f on %.0f outcomes, the champion's %.4f "
        "on %.0f",
        e->subject, (double)(promoted->stream_us - s->report.changed_us) / (double)WEIR_DAY_US, promoted->wall_s - s->changed_wall_s, e->loss[1],
        e->outcomes[1], e->loss[0], e->outcomes[0]);
}

static weir_status play_drift(scenario *s, weir_err *err) {
    await_steps(s, drift_marks, sizeof drift_marks / sizeof *drift_marks);
    s->judged_us = s->report.live_us; /* before, nobody was champion whom windows could be compared with */
    weir_status status = live(s, err);
    if (!status) status = listen(s, 5, err);
    if (status || !steps_done(s)) return status;
    sum_up_drift(s);
    s->mark_count = 0;
    status = verify(s, err);
    s->report.complete = !status;
    return status;
}

/* ---- harm ---- */

static weir_status ask_for_rollout(scenario *s, weir_harm harm, weir_err *err) {
    char id[200], now[WEIR_TIME_TEXT_MAX];
    int64_t now_us = weir_clock_wall_us(s->clock);
    snprintf(id, sizeof id, "%.64s/demo/%s-%ld", s->pipeline->name, weir_time_format(now_us, now), (long)getpid());
    weir_datum row[ROLL_COUNT] = {[ROLL_EVENT_ID] = weir_text(id),
                                  [ROLL_ROLLOUT_ID] = weir_text(""),
                                  [ROLL_PIPELINE] = weir_text(s->pipeline->name),
                                  [ROLL_AT] = weir_i64(now_us),
                                  [ROLL_TYPE] = weir_text("ask.start"),
                                  [ROLL_STATE] = weir_text(""),
                                  [ROLL_CHALLENGER] = weir_text(s->version),
                                  [ROLL_ACTOR] = weir_text("demo"),
                                  [ROLL_REASON] = weir_text(weir_harm_docs[harm])};
    return send_event(s, "schemas/rollout.avsc", WEIR_TOPIC_ROLLOUTS, "weir.rollout.ask.start", id, row, err);
}

static weir_status make_harm(scenario *s, weir_harm harm, weir_err *err) {
    const weir_training training = {
        .pipeline = s->pipeline,
        .recipe = &s->recipe,
        .pg_url = s->settings->pg_url,
        .objects_dir = s->settings->objects_dir,
        .as_of_us = INT64_MAX,
        .window = {.train_from_us = s->train_from_us, .train_to_us = s->train_from_us + s->recipe.train_us, .deploy_us = s->report.live_us},
    };
    weir_status status = weir_harm_register(&training, harm, s->pg, s->version, err);
    if (status) return status;
    await_steps(s, harm_marks[harm].marks, harm_marks[harm].count);
    say(s, "%s is to be rolled out: %s", s->version, weir_harm_docs[harm]);
    return ask_for_rollout(s, harm, err);
}

static void sum_up_harm(scenario *s, weir_harm harm) {
    const weir_scenario_told *back = step_told(s, "rolled_back"), *started = step_told(s, "started"), *breach = step_told(s, "ask.rollback");
    size_t used = strlen(s->report.outcome), left = sizeof s->report.outcome - used;
    if (harm == WEIR_HARM_UNITS)
        snprintf(s->report.outcome + used, left, "%s was rolled back %.3f s after it broke a guard. ", back->entry.subject,
                 (double)(back->entry.at_us - breach->entry.at_us) / 1e6);
    else
        snprintf(s->report.outcome + used, left, "%s was rolled back after %.1f days of the stream, by %.0f of its outcomes.", back->entry.subject,
                 (double)(back->stream_us - started->stream_us) / (double)WEIR_DAY_US, back->entry.outcomes[1]);
}

static weir_status play_harm(scenario *s, weir_err *err) {
    weir_status status = WEIR_OK;
    for (weir_harm harm = 0; !status && harm < WEIR_HARMS; harm++) {
        s->mark_count = 0;
        status = publish(s, s->at_us + WEIR_DAY_US, s->events_per_day * s->world.days_per_s, err);
        if (!status) status = make_harm(s, harm, err);
        if (!status) status = live(s, err);
        if (!status) status = listen(s, 5, err);
        if (status || !steps_done(s)) return status;
        sum_up_harm(s, harm);
    }
    s->mark_count = 0;
    if (!status) status = verify(s, err);
    s->report.complete = !status;
    return status;
}

/* ---- before and after ---- */

static weir_status find_world(scenario *s, weir_err *err) {
    const weir_scenario_options *o = s->options;
    const char *domain = o->domain && *o->domain ? o->domain : s->pipeline->name;
    char known[64] = "";
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", worlds[i].domain);
        if (strcmp(worlds[i].domain, domain) != 0) continue;
        s->world = worlds[i];
        if (o->entities) s->world.entities = o->entities;
        if (o->start_us) s->world.start_us = o->start_us;
        return WEIR_OK;
    }
    return WEIR_FAIL(err, WEIR_EINVAL, "there is no scenario for '%s'; --domain names one of %s", domain, known);
}

/* Numbers grow over change_days and stay so: injection grows them from the middle of its run to the end. */
static weir_status open_stream(scenario *s, weir_err *err) {
    const world *w = &s->world;
    const weir_simulator *simulator = weir_simulator_find(w->domain);
    weir_scenario_report *r = &s->report;
    char count[WEIR_WORDS_MAX], first[WEIR_WORDS_MAX];
    r->first_us = w->start_us;
    s->train_from_us = w->start_us + w->warm_days * WEIR_DAY_US;
    r->live_us = s->train_from_us + s->recipe.train_us + s->recipe.delay_us;
    int64_t grows_us = r->live_us + w->calm_days * WEIR_DAY_US;
    r->changed_us = s->options->kind == WEIR_SCENARIO_DRIFT ? grows_us : INT64_MIN;
    s->settled_us = grows_us + w->change_days * WEIR_DAY_US;
    s->end_us = s->settled_us + (s->options->days ? s->options->days : w->more_days) * WEIR_DAY_US;
    const weir_simulate_conf conf = {
        .seed = s->options->seed, .entities = w->entities, .days = (s->end_us - w->start_us) / WEIR_DAY_US + 1, .start_us = w->start_us};
    const weir_inject_conf drift = {.seed = conf.seed, .drift = w->growth, .start_us = 2 * grows_us - s->settled_us, .end_us = s->settled_us};
    snprintf(r->source, sizeof r->source, "simulated %s of %s %s from %s on", w->things, weir_words_count(w->entities, count), simulator->entity,
             weir_words_date(r->first_us, first));
    weir_status status = simulator->open(s->pipeline, &conf, &s->records, err);
    if (!status && s->options->kind == WEIR_SCENARIO_DRIFT)
        status = weir_records_inject(&s->records, s->pipeline, &drift, simulator->measured, &s->records, err);
    return status;
}

static weir_status check_pipeline(const scenario *s, weir_err *err) {
    const weir_pipeline *p = s->pipeline;
    bool drifts = s->options->kind != WEIR_SCENARIO_DRIFT || p->triggers.drift.enabled;
    if (drifts && p->rollout.automatic && s->recipe.challenger) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s has no %s; `weir demo %s --scenario %s --prepare FILE` writes a pipeline file for it", p->name,
                     !drifts                ? "triggers.drift"
                     : p->rollout.automatic ? "training.challenger"
                                            : "rollout.steps",
                     p->name, weir_scenario_names[s->options->kind]);
}

static weir_status want_empty(const scenario *s, weir_err *err) {
    int64_t last_us = INT64_MIN;
    char date[WEIR_WORDS_MAX];
    weir_status status = weir_history_span(s->settings->pg_url, s->pipeline, NULL, &last_us, NULL, err);
    if (status == WEIR_ENOTFOUND || (!status && last_us == INT64_MIN)) return WEIR_OK;
    if (status) return status;
    return WEIR_FAIL(err, WEIR_ECONFLICT, "pipeline %s already holds events up to %s; stop its workers and clear it with `weir reset %s` first",
                     s->pipeline->name, weir_words_date(last_us, date), s->pipeline->name);
}

static weir_status prepare(scenario *s, weir_err *err) {
    snprintf(s->metrics_url, sizeof s->metrics_url, "http://%s:%lld/metrics", s->settings->http_host, (long long)s->settings->http_port);
    weir_status status = weir_pipeline_load(s->options->pipeline, &s->pipeline, err);
    if (!status) status = weir_recipe_load(s->pipeline, &s->recipe, err);
    if (!status) status = find_world(s, err);
    if (!status) status = check_pipeline(s, err);
    if (!status) status = open_stream(s, err);
    if (!status) status = want_empty(s, err);
    if (!status) status = weir_registry_new(s->settings->registry_url, &s->registry, err);
    if (!status) status = weir_pg_new(s->settings->pg_url, &s->pg, err);
    if (!status) status = weir_pipeline_create_topics(s->pipeline, s->settings->brokers, err);
    if (!status) status = weir_story_open(s->settings->brokers, s->registry, s->pipeline, &s->story, err);
    s->report.pipeline = status ? NULL : s->pipeline->name;
    return status;
}

static void print_way(const scenario *s) {
    char day[WEIR_WORDS_MAX], wall[WEIR_WORDS_MAX];
    printf("\n");
    for (int i = 0; i < s->report.step_count; i++) {
        const weir_scenario_step *step = &s->report.steps[i];
        if (step->done)
            printf("  %-40s %-12s after %s\n", step->name, weir_words_date(step->told.stream_us, day), weir_words_duration(step->told.wall_s, wall));
        else
            printf("  %-40s did not happen\n", step->name);
    }
}

static weir_status finish(scenario *s, int *ret_exit, weir_err *err) {
    weir_scenario_report *r = &s->report;
    r->last_us = s->at_us;
    erase_status(s);
    if (!r->complete) {
        *ret_exit = 1;
        snprintf(r->outcome, sizeof r->outcome, "the days ended before the way did");
    }
    weir_status status = weir_scenario_report_write(r, s->options->out, err);
    print_way(s);
    printf("\n%s\n\nreport   %s/report.html (and report.json)\n", r->outcome, s->options->out);
    return status;
}

static void scenario_done(scenario *s) {
    weir_watch_done(&s->watch);
    weir_story_free(s->story);
    weir_publisher_free(s->publisher);
    weir_pg_free(s->pg);
    weir_registry_free(s->registry);
    weir_records_free(s->records);
    weir_recipe_done(&s->recipe);
    weir_pipeline_free(s->pipeline);
    free(s->report.told);
    free(s);
}

weir_status weir_scenario_play(const weir_settings *settings, const weir_scenario_options *options, int *ret_exit, weir_err *err) {
    scenario *s = calloc(1, sizeof *s);
    if (!s) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the scenario");
    s->settings = settings;
    s->options = options;
    s->clock = weir_clock_system();
    s->stop = weir_stop_flag();
    s->terminal = isatty(STDOUT_FILENO);
    s->at_us = INT64_MIN;
    s->report.scenario = weir_scenario_names[options->kind];
    s->report.told = calloc(WEIR_SCENARIO_TOLD_MAX, sizeof *s->report.told);
    weir_status status = s->report.told ? prepare(s, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the timeline");
    s->started_us = s->answered_us = weir_clock_mono_us(s->clock);
    s->began_us = weir_clock_wall_us(s->clock);
    if (!status) {
        printf("Weir scenario: %s, %s\n%s\n\n", s->pipeline->name, s->report.scenario, s->report.source);
        fflush(stdout);
        status = begin(s, err);
    }
    if (!status) status = options->kind == WEIR_SCENARIO_DRIFT ? play_drift(s, err) : play_harm(s, err);
    if (!status) status = finish(s, ret_exit, err);
    erase_status(s);
    if (*s->stop) {
        *ret_exit = 1;
        fprintf(stderr, "stopped\n");
        status = WEIR_OK;
    }
    scenario_done(s);
    return status;
}
