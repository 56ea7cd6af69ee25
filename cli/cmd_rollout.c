/* `weir rollout PIPELINE`: the rollout worker; --status shows how the rollout stands, and the others ask the worker for something and say what it answered. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/table.h"
#include "cli/workers.h"
#include "consumers/events.h"
#include "consumers/rollout_rows.h"
#include "core/clock.h"

enum { FLUSH_MS = 10000, ANSWER_POLL_US = 100000 };

typedef struct rollout_options {
    char *pipeline, *start, *version, *reason;
    int64_t wait_us;
    int output;
    bool status, shadow, pause, resume, promote, abort, rollback;
} rollout_options;

#define FIELD(member) .offset = offsetof(rollout_options, member)
static const weir_conf_item rollout_table[] = {
    WEIR_PIPELINE_ITEM(rollout_options, pipeline),
    {.name = "status", .type = WEIR_CONF_BOOL, FIELD(status), .doc = "print how the newest rollout stands, and end"},
    {.name = "start",
     .type = WEIR_CONF_STRING,
     FIELD(start),
     .doc = "ask that this version, MODEL:VERSION, or several, separated by commas, become challengers and are rolled out"},
    {.name = "shadow",
     .type = WEIR_CONF_BOOL,
     FIELD(shadow),
     .doc = "with --start: they first score beside the champion without answering anybody; rollout.shadow of the pipeline file says so for all"},
    {.name = "version", .type = WEIR_CONF_STRING, FIELD(version), .doc = "with --promote or --rollback: which of several challengers, MODEL:VERSION"},
    {.name = "pause", .type = WEIR_CONF_BOOL, FIELD(pause), .doc = "ask that shares stay as they are and nothing is promoted; harm is still rolled back"},
    {.name = "resume", .type = WEIR_CONF_BOOL, FIELD(resume), .doc = "ask that a paused rollout goes on"},
    {.name = "promote",
     .type = WEIR_CONF_BOOL,
     FIELD(promote),
     .doc = "ask that the challenger (of several: --version) becomes champion, whatever the evidence says"},
    {.name = "abort", .type = WEIR_CONF_BOOL, FIELD(abort), .doc = "ask that the rollout ends without a decision; the champion stays"},
    {.name = "rollback",
     .type = WEIR_CONF_BOOL,
     FIELD(rollback),
     .doc = "ask that the challengers (or only --version) lose their traffic; after promotion: that the champion before it is champion again"},
    {.name = "reason", .type = WEIR_CONF_STRING, FIELD(reason), .fallback = "by hand", .doc = "kept with the event"},
    {.name = "wait", .type = WEIR_CONF_DURATION, FIELD(wait_us), .fallback = "15s", .doc = "for the worker's answer"},
    WEIR_OUTPUT_ITEM(rollout_options, output),
    {.name = NULL},
};

/* What is asked for; NULL: nothing. */
static const char *asked(const rollout_options *o, int *ret_count) {
    const struct {
        bool is;
        const char *type;
    } asks[] = {{o->start && *o->start, "ask.start"}, {o->pause, "ask.pause"}, {o->resume, "ask.resume"},
                {o->promote, "ask.promote"},          {o->abort, "ask.abort"}, {o->rollback, "ask.rollback"}};
    const char *type = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
        if (!asks[i].is) continue;
        type = asks[i].type;
        ++*ret_count;
    }
    return type;
}

/* ---- status ---- */

static bool add_version(cJSON *to, const char *name, const weir_rollout_version *version) {
    char text[96];
    snprintf(text, sizeof text, "%s/%d", version->model, version->version);
    return cJSON_AddStringToObject(to, name, text) != NULL;
}

static weir_status status_json(const weir_pipeline *pipeline, const weir_rollout_record *r, cJSON **ret_json, weir_err *err) {
    char started[WEIR_TIME_TEXT_MAX];
    const weir_rollout *rollout = &r->rollout;
    cJSON *json = weir_rollout_evidence_json(&pipeline->rollout, rollout), *arms = cJSON_GetObjectItemCaseSensitive(json, "arms");
    bool ok = json && cJSON_AddStringToObject(json, "rollout_id", r->id) && cJSON_AddStringToObject(json, "state", weir_rollout_state_names[rollout->state]) &&
              cJSON_AddStringToObject(json, "reason", r->reason) && cJSON_AddNumberToObject(json, "share", rollout->arms[0].share) &&
              cJSON_AddNumberToObject(json, "step", rollout->step) && cJSON_AddBoolToObject(json, "in_shadow", rollout->step == WEIR_ROLLOUT_SHADOW_STEP) &&
              cJSON_AddStringToObject(json, "routing", pipeline->rollout.thompson ? "thompson" : "steps") && add_version(json, "champion", &r->champion) &&
              add_version(json, "challenger", &r->challengers[0]) &&
              cJSON_AddStringToObject(json, "started_at", weir_time_format(rollout->started_us, started)) &&
              (*r->known_to ? cJSON_AddStringToObject(json, "known_to", r->known_to) : cJSON_AddNullToObject(json, "known_to"));
    ok = ok && (rollout->winner == WEIR_ROLLOUT_NOBODY ? cJSON_AddNullToObject(json, "winner") != NULL
                                                       : add_version(json, "winner", &r->challengers[rollout->winner]));
    if (ok && pipeline->rollout.context) ok = cJSON_AddStringToObject(json, "context", pipeline->rollout.context) != NULL;
    for (int a = 0; ok && a < rollout->arm_count; a++)
        ok = add_version(cJSON_GetObjectItemCaseSensitive(arms, weir_challenger_names[a]), "version", &r->challengers[a]);
    if (ok) {
        *ret_json = json;
        return WEIR_OK;
    }
    cJSON_Delete(json);
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the status of a rollout");
}

static double number_in(const cJSON *object, const char *name) {
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(at) ? at->valuedouble : 0;
}

/* value, and the interval where there is one */
static void print_interval(const char *name, const cJSON *object, const char *kind) {
    if (!cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(object, "value"))) return;
    printf("  %-10s%.6g", name, number_in(object, "value"));
    if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(object, "low"))) printf(", %s %.6g to %.6g", kind, number_in(object, "low"), number_in(object, "high"));
    printf("\n");
}

/* What the loss would be if the arm had all the traffic. */
static void print_all_traffic(const cJSON *arm) {
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(arm, "all_traffic");
    if (!cJSON_IsObject(all)) return;
    printf("  alone     IPS %.6g, SNIPS %.6g, doubly robust %.6g (95 %% interval %.6g to %.6g)%s\n",
           number_in(cJSON_GetObjectItemCaseSensitive(all, "ips"), "value"), number_in(cJSON_GetObjectItemCaseSensitive(all, "snips"), "value"),
           number_in(cJSON_GetObjectItemCaseSensitive(all, "robust"), "value"), number_in(cJSON_GetObjectItemCaseSensitive(all, "robust"), "low"),
           number_in(cJSON_GetObjectItemCaseSensitive(all, "robust"), "high"),
           cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(all, "extreme")) ? "; few requests say so" : "");
}

static void print_test(const cJSON *arm) {
    const cJSON *e = cJSON_GetObjectItemCaseSensitive(arm, "e_values"), *split = cJSON_GetObjectItemCaseSensitive(arm, "split");
    const cJSON *shadow = cJSON_GetObjectItemCaseSensitive(arm, "shadow");
    print_interval("gain", cJSON_GetObjectItemCaseSensitive(arm, "gain"), "confidence sequence");
    printf("  e-values  better %.4g, promoted at %.4g; worse %.4g, stopped at %.4g\n", number_in(e, "better"), number_in(e, "needed"), number_in(e, "worse"),
           number_in(e, "worse_needed"));
    printf("  split     %.4f of its outcomes and the champion's, planned %.4f; e-value %.4g, alarm at %.4g\n", number_in(split, "measured"),
           number_in(split, "planned"), number_in(split, "e_value"), number_in(split, "alarm"));
    if (!shadow) return;
    printf("  in shadow %.0f pairs, e-values better %.4g, worse %.4g\n", number_in(shadow, "pairs"), number_in(shadow, "better"), number_in(shadow, "worse"));
    print_interval("  gain", cJSON_GetObjectItemCaseSensitive(shadow, "gain"), "confidence sequence");
}

static void print_arm(const cJSON *arms, const char *name, const weir_rollout_version *version, const char *loss) {
    const cJSON *arm = cJSON_GetObjectItemCaseSensitive(arms, name);
    printf("%-12s%s/%d, share %g%s, %.0f outcomes, %s %.6g\n", name, version->model, version->version, number_in(arm, "share"),
           cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(arm, "stopped")) ? " (stopped)" : "", number_in(arm, "outcomes"), loss, number_in(arm, "loss"));
    print_all_traffic(arm);
    if (cJSON_GetObjectItemCaseSensitive(arm, "e_values")) print_test(arm);
}

/* Why a claim is not acted on, though the evidence is there. */
static void print_opposed(const weir_rollout_def *def, const weir_rollout *rollout, int challenger, bool promotion) {
    const weir_arms_settings settings = weir_rollout_settings(def);
    const weir_e_values e = weir_arms_e(&settings, &rollout->arms[challenger].test);
    double peak = promotion ? e.better_peak : e.worse_peak;
    int bucket = WEIR_ROLLOUT_NO_BUCKET;
    if (!weir_rollout_active(rollout) || rollout->arms[challenger].stopped) return;
    if (peak >= (promotion ? weir_rollout_better_needed(def, rollout) : weir_rollout_worse_needed(def, rollout)))
        bucket = weir_rollout_opposing_bucket(def, rollout, challenger, promotion);
    if (bucket != WEIR_ROLLOUT_NO_BUCKET)
        printf("  held      not %s: %s is best in bucket %d\n", promotion ? "promoted" : "stopped", promotion ? "another arm" : "it", bucket);
}

/* Shares and losses by the buckets of the context that have outcomes. */
static void print_buckets(const weir_rollout_def *def, const weir_rollout *rollout) {
    for (int b = 0; b < rollout->bucket_count; b++) {
        double outcomes = 0;
        for (int a = WEIR_ROLLOUT_NOBODY; a < rollout->arm_count; a++) outcomes += weir_rollout_bucket_outcomes(rollout, b, a);
        if (!(outcomes > 0)) continue;
        printf("bucket %-5d", b);
        for (int a = WEIR_ROLLOUT_NOBODY; a < rollout->arm_count; a++) {
            double loss = weir_rollout_bucket_loss(def, rollout, b, a);
            printf("%s%s share %.4g, %.0f outcomes", a == WEIR_ROLLOUT_NOBODY ? "" : "; ", a == WEIR_ROLLOUT_NOBODY ? "champion" : weir_challenger_names[a],
                   weir_rollout_bucket_share(rollout, b, a), weir_rollout_bucket_outcomes(rollout, b, a));
            if (!isnan(loss)) printf(", %s %.6g", weir_loss_names[def->loss], loss);
        }
        printf("\n");
    }
}

static void print_status(const cJSON *json, const weir_pipeline *pipeline, const weir_rollout_record *r) {
    const weir_rollout_def *def = &pipeline->rollout;
    const weir_rollout *rollout = &r->rollout;
    const cJSON *arms = cJSON_GetObjectItemCaseSensitive(json, "arms");
    printf("rollout     %s\nstate       %s: %s\n", r->id, weir_rollout_state_names[rollout->state], r->reason);
    if (rollout->step == WEIR_ROLLOUT_SHADOW_STEP)
        printf("step        in shadow, until each challenger has %lld pairs\n", (long long)def->min_rows);
    else if (def->thompson)
        printf("routing     Thompson sampling%s%s, every arm at least %g\n", rollout->bucket_count ? " in buckets of " : "",
               rollout->bucket_count && def->context ? def->context : "", def->floor);
    else
        printf("step        %d of %d; %.0f of %lld outcomes at this share\n", rollout->step + 1, def->step_count, rollout->arms[0].step_rows,
               (long long)def->min_rows);
    print_arm(arms, "champion", &r->champion, weir_loss_names[def->loss]);
    for (int a = 0; a < rollout->arm_count; a++) {
        print_arm(arms, weir_challenger_names[a], &r->challengers[a], weir_loss_names[def->loss]);
        for (int promotion = 0; promotion < 2; promotion++) print_opposed(def, rollout, a, promotion);
    }
    print_buckets(def, rollout);
}

static weir_status show(weir_pg *pg, const weir_pipeline *pipeline, const rollout_options *o, int *ret_exit, weir_err *err) {
    weir_rollout_record r;
    cJSON *json = NULL;
    weir_status status = weir_rollout_newest(pg, pipeline, false, &r, err);
    if (status) return status;
    if (!*r.id) {
        fprintf(stderr, "%s has had no rollout\n", pipeline->name);
        *ret_exit = 1;
        return WEIR_OK;
    }
    status = status_json(pipeline, &r, &json, err);
    if (!status && o->output == WEIR_OUTPUT_JSON) status = weir_json_print(json, stdout, err);
    if (!status && o->output != WEIR_OUTPUT_JSON) print_status(json, pipeline, &r);
    cJSON_Delete(json);
    return status;
}

/* ---- asking ---- */

static weir_status send_ask(const weir_settings *settings, const weir_pipeline *pipeline, const char *type, const char *id, const rollout_options *o,
                            weir_err *err) {
    weir_registry *registry = NULL;
    weir_event_codec codec = {0};
    weir_producer *producer = NULL;
    char event_type[64];
    const char *user = getenv("USER");
    int64_t now_us = weir_clock_wall_us(weir_clock_system());
    const weir_datum row[ROLL_COUNT] = {
        [ROLL_EVENT_ID] = weir_text(id),
        [ROLL_ROLLOUT_ID] = weir_text(""),
        [ROLL_PIPELINE] = weir_text(pipeline->name),
        [ROLL_AT] = weir_i64(now_us),
        [ROLL_TYPE] = weir_text(type),
        [ROLL_STATE] = weir_text(""),
        [ROLL_CHAMPION] = weir_null(),
        [ROLL_CHALLENGER] = o->start && *o->start       ? weir_text(o->start)
                            : o->version && *o->version ? weir_text(o->version)
                                                        : weir_null(),
        [ROLL_SHARE] = weir_f64(0),
        [ROLL_ACTOR] = weir_text(user && *user ? user : "somebody"),
        [ROLL_REASON] = weir_text(o->reason),
        [ROLL_EVIDENCE] = weir_text("{}"),
        [ROLL_ARMS] = weir_text("[]"),
        [ROLL_SHADOW] = weir_bool(o->shadow),
    };
    snprintf(event_type, sizeof event_type, "weir.rollout.%s", type);
    weir_status status = weir_pipeline_create_topics(pipeline, settings->brokers, err);
    if (!status) status = weir_registry_new(settings->registry_url, &registry, err);
    if (!status) status = weir_event_codec_init(&codec, registry, "schemas/rollout.avsc", WEIR_TOPIC_ROLLOUTS, err);
    if (!status) status = weir_producer_new(settings->brokers, "weir-rollout", &producer, err);
    if (!status) status = weir_event_send(&codec, producer, WEIR_TOPIC_ROLLOUTS, pipeline->name, event_type, id, now_us, row, err);
    if (!status) status = weir_producer_flush(producer, FLUSH_MS, err);
    weir_producer_free(producer);
    weir_event_codec_done(&codec);
    weir_registry_free(registry);
    return status;
}

/* What a rollout worker wrote to the question; 1 when that is no. */
static weir_status await_answer(weir_pg *pg, const char *id, int64_t wait_us, int *ret_exit, weir_err *err) {
    weir_clock *clock = weir_clock_system();
    int64_t until_us = weir_clock_mono_us(clock) + wait_us;
    do {
        PGresult *result = NULL;
        weir_status status = weir_pg_exec(pg, "SELECT answer FROM weir.rollout_events WHERE event_id = $1 AND answer IS NOT NULL", 1, &id, &result, err);
        if (status) return status;
        bool answered = PQntuples(result) == 1;
        if (answered) {
            fprintf(stderr, "%s\n", PQgetvalue(result, 0, 0));
            *ret_exit = strcmp(PQgetvalue(result, 0, 0), "done") ? 1 : 0;
        }
        PQclear(result);
        if (answered) return WEIR_OK;
        weir_clock_sleep_us(clock, ANSWER_POLL_US);
    } while (weir_clock_mono_us(clock) < until_us);
    return WEIR_FAIL(err, WEIR_ETIMEOUT, "asked, but no rollout worker has answered yet");
}

static bool is_once(const void *options) {
    const rollout_options *o = options;
    int count;
    return asked(o, &count) || o->status;
}

static weir_status run_rollout(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const rollout_options *o = options;
    weir_pipeline *pipeline = NULL;
    weir_pg *pg = NULL;
    char id[200], now[WEIR_TIME_TEXT_MAX];
    int count;
    const char *type = asked(o, &count);
    if (count > 1) return WEIR_FAIL(err, WEIR_EINVAL, "one of --start, --pause, --resume, --promote, --abort and --rollback at a time");
    if (o->shadow && !(o->start && *o->start)) return WEIR_FAIL(err, WEIR_EINVAL, "--shadow goes with --start");
    if (o->version && *o->version && !o->promote && !o->rollback) return WEIR_FAIL(err, WEIR_EINVAL, "--version goes with --promote or --rollback");
    if (!type && !o->status) return weir_run_workers(settings, o->pipeline, "rollout", err);
    weir_status status = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (!status) status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = weir_pg_migrate(pg, err);
    if (!status && type) {
        snprintf(id, sizeof id, "%.64s/%s/%s-%ld", pipeline->name, type, weir_time_format(weir_clock_wall_us(weir_clock_system()), now), (long)getpid());
        status = send_ask(settings, pipeline, type, id, o, err);
        if (!status) status = await_answer(pg, id, o->wait_us, ret_exit, err);
    }
    if (!status && o->status) status = show(pg, pipeline, o, ret_exit, err);
    weir_pg_free(pg);
    weir_pipeline_free(pipeline);
    return status;
}

const weir_command weir_command_rollout = {
    .name = "rollout",
    .args = "PIPELINE [--status] [--start MODEL:VERSION[,…] [--shadow] | --pause | --resume | --promote [--version MODEL:VERSION] | --abort | --rollback "
            "[--version "
            "MODEL:VERSION]] [--reason TEXT]",
    .doc = "Runs the rollout worker: gives challengers their traffic step by step, promotes one or takes it back by evidence.\n"
           "With --status or a request: shows, or asks.",
    .options = rollout_table,
    .options_size = sizeof(rollout_options),
    .is_service = true,
    .is_once = is_once,
    .run = run_rollout,
};
