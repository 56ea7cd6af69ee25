#include "cli/demo_story.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/events.h"
#include "core/json.h"
#include "core/page.h"

enum { TOPICS = WEIR_STORY_DEMO, BATCH = 64, ROW_MAX = 32, SHOWN_COLUMNS = 4, KIND_MAX = 16 };

const char *const weir_story_names[] = {"drift", "alert", "decision", "request", "run", "model", "rollout", "demo", NULL};

static const struct {
    const char *topic, *schema;
    int at, pipeline, columns;
} sources[TOPICS] = {
    [WEIR_STORY_DRIFT] = {WEIR_TOPIC_DRIFT, "schemas/drift.avsc", DRIFT_AT, DRIFT_PIPELINE, DRIFT_COUNT},
    [WEIR_STORY_ALERT] = {WEIR_TOPIC_ALERTS, "schemas/alert.avsc", ALERT_AT, ALERT_PIPELINE, ALERT_COUNT},
    [WEIR_STORY_DECISION] = {WEIR_TOPIC_DECISIONS, "schemas/training_decision.avsc", DECIDE_AT, DECIDE_PIPELINE, DECIDE_COUNT},
    [WEIR_STORY_REQUEST] = {WEIR_TOPIC_REQUESTS, "schemas/training_request.avsc", REQ_REQUESTED_AT, REQ_PIPELINE, REQ_COUNT},
    [WEIR_STORY_RUN] = {WEIR_TOPIC_RUNS, "schemas/training_run.avsc", RUN_AT, RUN_PIPELINE, RUN_COUNT},
    [WEIR_STORY_MODEL] = {WEIR_TOPIC_MODELS, "schemas/model_event.avsc", MOD_AT, MOD_PIPELINE, MOD_COUNT},
    [WEIR_STORY_ROLLOUT] = {WEIR_TOPIC_ROLLOUTS, "schemas/rollout.avsc", ROLL_AT, ROLL_PIPELINE, ROLL_COUNT},
};

struct weir_story {
    const weir_pipeline *pipeline;
    weir_event_codec codecs[TOPICS];
    weir_consumer *consumer;
};

/* ---- words ---- */

static void copy(char *to, size_t size, const weir_datum *from) {
    snprintf(to, size, "%.*s", from->type == WEIR_T_STR ? (int)from->len : 0, from->type == WEIR_T_STR ? from->p : "");
}

static bool is_text(const weir_datum *d, const char *text) {
    return d->type == WEIR_T_STR && d->len == strlen(text) && !memcmp(d->p, text, d->len);
}

static cJSON *json_of(const weir_datum *d) {
    return d->type == WEIR_T_STR ? cJSON_ParseWithLength(d->p, d->len) : NULL;
}

/* The first columns that drifted. */
static void drifted_columns(const weir_datum *detail, char *text, size_t size) {
    cJSON *json = json_of(detail);
    const cJSON *column;
    int shown = 0, count = 0;
    size_t used = 0;
    *text = 0;
    cJSON_ArrayForEach(column, cJSON_GetObjectItemCaseSensitive(json, "columns")) {
        if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(column, "drifted")) || count++ >= SHOWN_COLUMNS || used >= size) continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s", shown++ ? ", " : ": ", weir_json_text(column, "name"));
    }
    if (count > shown && used < size) snprintf(text + used, size - used, " and %d more", count - shown);
    cJSON_Delete(json);
}

static void read_drift(const weir_datum *row, weir_story_entry *e) {
    char columns[240], day[WEIR_WORDS_MAX];
    copy(e->state, sizeof e->state, &row[DRIFT_SEVERITY]);
    if (row[DRIFT_TENANT].type == WEIR_T_STR) {
        snprintf(e->about, sizeof e->about, "%.*s of a tenant", (int)(row[DRIFT_KIND].len < KIND_MAX ? row[DRIFT_KIND].len : KIND_MAX), row[DRIFT_KIND].p);
        copy(e->subject, sizeof e->subject, &row[DRIFT_TENANT]);
    } else {
        copy(e->about, sizeof e->about, &row[DRIFT_KIND]);
    }
    e->share = row[DRIFT_SHARE].f;
    e->until_us = row[DRIFT_WINDOW_TO].i;
    drifted_columns(&row[DRIFT_DETAIL], columns, sizeof columns);
    snprintf(e->text, sizeof e->text, "%s%s%s%s until %s: %lld of %lld columns drifted%s", *e->subject ? "tenant " : "", e->subject, *e->subject ? ": " : "",
             e->state, weir_words_date(row[DRIFT_WINDOW_TO].i, day), (long long)row[DRIFT_DRIFTED].i, (long long)row[DRIFT_COLUMNS].i, columns);
}

static void read_alert(const weir_datum *row, weir_story_entry *e) {
    char summary[300];
    copy(e->state, sizeof e->state, &row[ALERT_STATE]);
    copy(e->about, sizeof e->about, &row[ALERT_NAME]);
    copy(summary, sizeof summary, &row[ALERT_SUMMARY]);
    snprintf(e->text, sizeof e->text, "%s %s: %s", e->about, e->state, summary);
}

static void read_decision(const weir_datum *row, weir_story_entry *e) {
    char why[240];
    snprintf(e->state, sizeof e->state, "%s", row[DECIDE_TRAIN].i ? "train" : "wait");
    copy(e->about, sizeof e->about, &row[DECIDE_CAUSE]);
    copy(e->subject, sizeof e->subject, &row[DECIDE_REQUEST_ID]);
    copy(why, sizeof why, &row[DECIDE_WHY]);
    snprintf(e->text, sizeof e->text, "%s: %s", e->state, why);
}

static void read_request(const weir_datum *row, weir_story_entry *e) {
    char day[WEIR_WORDS_MAX];
    copy(e->about, sizeof e->about, &row[REQ_REASON]);
    copy(e->subject, sizeof e->subject, &row[REQ_ID]);
    if (row[REQ_TRAIN_FROM].type == WEIR_T_I64)
        snprintf(e->text, sizeof e->text, "a run is asked for that learns from %s on", weir_words_date(row[REQ_TRAIN_FROM].i, day));
    else
        snprintf(e->text, sizeof e->text, "a run is asked for");
}

static void read_run(const weir_datum *row, weir_story_entry *e) {
    char run[64];
    cJSON *detail = json_of(&row[RUN_DETAIL]);
    double rows = weir_json_number(cJSON_GetObjectItemCaseSensitive(detail, "dataset"), "rows", NAN), seconds = weir_json_number(detail, "fit_seconds", NAN);
    copy(run, sizeof run, &row[RUN_ID]);
    copy(e->state, sizeof e->state, &row[RUN_STATUS]);
    copy(e->subject, sizeof e->subject, &row[RUN_REQUEST_ID]);
    if (!strcmp(e->state, "awaiting_labels") && isnan(rows)) /* told again by whoever measures it */
        snprintf(e->text, sizeof e->text, "%.20s… is measured: the outcomes of its test days are known", run);
    else if (!strcmp(e->state, "awaiting_labels"))
        snprintf(e->text, sizeof e->text, "fitted on %.0f rows in %.1f s; will be measured when the outcomes of its test days are known", rows, seconds);
    else
        snprintf(e->text, sizeof e->text, "%.20s… %s%s%.200s", run, e->state, *weir_json_text(detail, "error") ? ": " : "", weir_json_text(detail, "error"));
    cJSON_Delete(detail);
}

static void read_model(const weir_datum *row, weir_story_entry *e) {
    char model[96] = "";
    copy(e->state, sizeof e->state, &row[MOD_TYPE]);
    copy(e->about, sizeof e->about, &row[MOD_ALIAS]);
    if (row[MOD_MODEL].type == WEIR_T_STR) {
        copy(model, sizeof model, &row[MOD_MODEL]);
        snprintf(e->subject, sizeof e->subject, "%s/%lld", model, (long long)row[MOD_VERSION].i);
    }
    if (strcmp(e->state, "alias.moved") != 0)
        snprintf(e->text, sizeof e->text, "%s: %s", e->subject, e->state);
    else
        snprintf(e->text, sizeof e->text, "%s is %s", *e->subject ? e->subject : "nobody", e->about);
}

static void read_rollout(const weir_datum *row, weir_story_entry *e) {
    char reason[240];
    cJSON *evidence = json_of(&row[ROLL_EVIDENCE]);
    const cJSON *arms = cJSON_GetObjectItemCaseSensitive(evidence, "arms"), *values = cJSON_GetObjectItemCaseSensitive(evidence, "e_values");
    static const char *const names[] = {"champion", "challenger"};
    for (int i = 0; i < 2; i++) {
        e->outcomes[i] = weir_json_number(cJSON_GetObjectItemCaseSensitive(arms, names[i]), "outcomes", NAN);
        e->loss[i] = weir_json_number(cJSON_GetObjectItemCaseSensitive(arms, names[i]), "loss", NAN);
    }
    e->better = weir_json_number(values, "better", NAN);
    e->worse = weir_json_number(values, "worse", NAN);
    e->share = row[ROLL_SHARE].f;
    copy(e->state, sizeof e->state, &row[ROLL_TYPE]);
    copy(e->about, sizeof e->about, &row[ROLL_ACTOR]);
    copy(e->subject, sizeof e->subject, &row[ROLL_CHALLENGER]);
    copy(reason, sizeof reason, &row[ROLL_REASON]);
    if (!strncmp(e->state, "ask.", 4))
        snprintf(e->text, sizeof e->text, "%s asks for %s of %s: %s", e->about, e->state + 4, *e->subject ? e->subject : "the challenger", reason);
    else if (!strcmp(e->state, "started") || !strcmp(e->state, "stepped"))
        snprintf(e->text, sizeof e->text, "%s gets %g %% of the traffic: %s", e->subject, 100 * e->share, reason);
    else
        snprintf(e->text, sizeof e->text, "%s %s: %s", e->subject, e->state, reason);
    cJSON_Delete(evidence);
}

bool weir_story_read(weir_story_kind kind, const char *pipeline, const weir_datum *row, weir_story_entry *ret_entry) {
    static void (*const readers[TOPICS])(const weir_datum *row, weir_story_entry *e) = {read_drift, read_alert, read_decision, read_request,
                                                                                        read_run,   read_model, read_rollout};
    if (!is_text(&row[sources[kind].pipeline], pipeline)) return false;
    *ret_entry = (weir_story_entry){.kind = kind,
                                    .at_us = row[sources[kind].at].i,
                                    .until_us = INT64_MIN,
                                    .share = NAN,
                                    .outcomes = {NAN, NAN},
                                    .loss = {NAN, NAN},
                                    .better = NAN,
                                    .worse = NAN};
    readers[kind](row, ret_entry);
    return true;
}

/* ---- the topics ---- */

void weir_story_free(weir_story *story) {
    if (!story) return;
    weir_consumer_free(story->consumer);
    for (int i = 0; i < TOPICS; i++) weir_event_codec_done(&story->codecs[i]);
    free(story);
}

weir_status weir_story_open(const char *brokers, weir_registry *registry, const weir_pipeline *pipeline, weir_story **ret_story, weir_err *err) {
    const char *topics[TOPICS];
    weir_story *s = calloc(1, sizeof *s);
    if (!s) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to follow what happens");
    s->pipeline = pipeline;
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < TOPICS; i++) {
        topics[i] = sources[i].topic;
        status = weir_event_codec_init(&s->codecs[i], registry, sources[i].schema, sources[i].topic, err);
    }
    if (!status) status = weir_consumer_new_tail(brokers, topics, TOPICS, true, &s->consumer, err);
    if (status)
        weir_story_free(s);
    else
        *ret_story = s;
    return status;
}

/* What is told of one moment: a decision comes before its request, an alert after what it is about. */
static int rank_of(weir_story_kind kind) {
    return kind == WEIR_STORY_ALERT ? WEIR_STORY_KINDS : (int)kind;
}

static int by_time(const void *a, const void *b) {
    const weir_story_entry *x = a, *y = b;
    int order = (x->at_us > y->at_us) - (x->at_us < y->at_us);
    return order ? order : rank_of(x->kind) - rank_of(y->kind);
}

weir_status weir_story_poll(weir_story *s, int timeout_ms, void (*told)(void *context, const weir_story_entry *entry), void *context, weir_err *err) {
    weir_bus_record records[BATCH];
    size_t count = 0, found = 0;
    weir_story_entry *entries = malloc(BATCH * sizeof *entries);
    if (!entries) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to follow what happens");
    weir_status status = weir_consumer_poll(s->consumer, records, BATCH, timeout_ms, &count, err);
    for (size_t i = 0; !status && i < count; i++) {
        const weir_bus_record *r = &records[i];
        weir_datum row[ROW_MAX];
        weir_err why;
        if (!r->value) continue;
        if (weir_serde_decode(s->codecs[r->topic_index].serde, r->value, r->value_len, row, NULL, &why)) {
            if (why.action == WEIR_ACTION_REJECT) continue;
            status = why.code;
            if (err) *err = why;
            break;
        }
        found += weir_story_read((weir_story_kind)r->topic_index, s->pipeline->name, row, &entries[found]);
    }
    if (!status) weir_consumer_release(s->consumer, records, count);
    qsort(entries, found, sizeof *entries, by_time);
    for (size_t i = 0; i < found; i++) told(context, &entries[i]);
    free(entries);
    return status;
}
