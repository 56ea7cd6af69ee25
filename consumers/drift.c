/* drift: are the records of now like those that the champion was trained on?
 *
 *   <pipeline>.features.<view>  → columns that the models see
 *   <pipeline>.predictions      → scores, a column an arm
 *   <pipeline>.labels           → the label
 *   weir.schedule               → who has its first partition judges, and answers firings with the action "drift"
 *
 * One pass over the topics: each record goes into the profile of its slot of event time, and of its tenant where tenants are told apart (consumers/drift_slots.h). A window is so many slots; it is judged when event time has
 * passed its end (consumers/drift_judge.h). Runs at low priority: it takes what others leave of the processor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "consumers/alert.h"
#include "consumers/drift_judge.h"
#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/recipe.h"

enum { STREAM_NAME_MAX = 80, ASK_TIMEOUT_MS = 10000, PRIORITY = 10, ARMS = 2, JUDGED_A_TICK = 16, FIRING_MAX = 256, FLUSH_PAUSES = 4 };
#define FLUSH_EVERY_US WEIR_DRIFT_LOOK_US
#define JUDGE_EVERY_US (2 * WEIR_SECOND_US)
#define LEAVE_AFTER_US (60 * WEIR_SECOND_US) /* a rebalance takes the lead for a moment, too */
#define JUDGE_FOR_US (30 * WEIR_SECOND_US) /* then the consumer is to be polled */
#define FIRING_AGE_US (INT64_C(3600) * WEIR_SECOND_US) /* an older firing was for records that are gone */
#define DEFAULT_MEMORY (INT64_C(1) << 30)

static const char *const arms[ARMS] = {"champion", "challenger"};

/* One topic. */
typedef struct drift_source {
    weir_drift_kind kind;
    int view; /* features: of the pipeline */
    char *topic;
    char name[STREAM_NAME_MAX];
    weir_features_codec features;
    weir_event_codec labels;
    weir_prediction_codec predictions;
    weir_serde *serde; /* of one of the codecs */
    weir_datum *row;
    int *at; /* features: [columns of the view] places in row */
    weir_metric *records;
} drift_source;

typedef struct drift {
    weir_worker *worker;
    const weir_pipeline *pipeline;
    weir_clock *clock;
    weir_pg *pg;
    weir_recipe recipe;
    weir_drift_columns columns;
    weir_drift_field scores[ARMS], label;
    drift_source sources[WEIR_DRIFT_STREAMS_MAX];
    weir_drift_stream streams[WEIR_DRIFT_STREAMS_MAX]; /* of the same places */
    weir_drift_kind kinds[WEIR_DRIFT_STREAMS_MAX];
    int source_count; /* topic index of the schedules */
    weir_drift_slots *slots;
    weir_drift_judge *judge;
    weir_event_codec schedules, events, alerts;
    bool leads, conflict; /* conflict: another worker has counted one of our partitions */
    int64_t flush_at_us, judge_at_us, left_us; /* monotonic; left: when it ceased to lead, 0: it leads, or has forgotten that it did */
} drift;

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the drift worker");
}

/* ---- sources ---- */

static drift_source *add_source(drift *d, weir_drift_kind kind, char *topic, const char *name, const weir_drift_field *fields, int field_count) {
    int at = d->source_count++;
    drift_source *s = &d->sources[at];
    s->kind = kind;
    s->topic = topic;
    snprintf(s->name, sizeof s->name, "%s", name);
    s->records = WEIR_METRIC("weir_drift_records_total", d->pipeline->name, weir_drift_kind_names[kind]);
    d->kinds[at] = kind;
    d->streams[at] = (weir_drift_stream){s->name, topic, fields, field_count};
    return s;
}

static weir_status add_view(drift *d, weir_registry *registry, int v, weir_err *err) {
    const weir_view_def *view = &d->pipeline->views[v];
    int first = d->columns.first[v], count = d->columns.first[v + 1] - first;
    char name[STREAM_NAME_MAX];
    if (!count) return WEIR_OK;
    snprintf(name, sizeof name, "features/%.60s", view->name);
    drift_source *s = add_source(d, WEIR_DRIFT_FEATURES, weir_topic_features(d->pipeline, view), name, d->columns.fields + first, count);
    s->view = v;
    s->at = weir_mem.realloc(NULL, (size_t)count * sizeof *s->at);
    if (!s->topic || !s->at) return no_memory(err);
    weir_status status = weir_features_codec_init(&s->features, registry, d->pipeline, view, err);
    if (status) return status;
    s->serde = s->features.codec.serde;
    s->row = s->features.row;
    for (int i = 0; i < count; i++) {
        const weir_drift_place *place = &d->columns.places[first + i];
        s->at[i] = FEAT_RECORD + place->event;
        for (int k = 0; k < s->features.feature_count; k++)
            if (place->feature >= 0 && s->features.features[k] == place->feature) s->at[i] = s->features.feature_base + k;
    }
    return WEIR_OK;
}

static weir_status add_predictions(drift *d, weir_registry *registry, weir_err *err) {
    for (int i = 0; i < ARMS; i++) d->scores[i] = (weir_drift_field){arms[i], WEIR_DRIFT_NUMBER, WEIR_DRIFT_SCORE};
    drift_source *s = add_source(d, WEIR_DRIFT_PREDICTIONS, weir_topic_of(d->pipeline, "predictions"), "predictions", d->scores, ARMS);
    if (!s->topic) return no_memory(err);
    weir_status status = weir_prediction_codec_init(&s->predictions, registry, d->pipeline, d->recipe.columns, d->recipe.column_count, err);
    s->serde = s->predictions.codec.serde;
    s->row = s->predictions.row;
    return status;
}

static weir_status add_labels(drift *d, weir_registry *registry, weir_err *err) {
    const weir_feed_def *feed = &d->pipeline->labels;
    const weir_schema_field *f = weir_schema_field_at(feed->schema, d->pipeline->label_column);
    if (f->is_timestamp || f->type == WEIR_T_BYTES) return WEIR_OK;
    d->label = (weir_drift_field){f->name,
                                  f->type == WEIR_T_BOOL  ? WEIR_DRIFT_BOOL
                                  : f->type == WEIR_T_STR ? WEIR_DRIFT_CATEGORY
                                                          : WEIR_DRIFT_NUMBER,
                                  WEIR_DRIFT_LABEL};
    drift_source *s = add_source(d, WEIR_DRIFT_LABELS, strdup(feed->topic), "labels", &d->label, 1);
    if (!s->topic) return no_memory(err);
    weir_status status = weir_event_codec_init_json(&s->labels, registry, weir_schema_json(feed->schema), s->topic, err);
    s->serde = s->labels.serde;
    s->row = weir_mem.realloc(NULL, (size_t)weir_schema_field_count(feed->schema) * sizeof *s->row);
    return status || s->row ? status : no_memory(err);
}

/* ---- records ---- */

/* Whether a record of features counts: not written behind the fence of another writer, and the one value record of its source. */
static bool is_value(drift *d, drift_source *s, const weir_bus_record *record) {
    int64_t epoch = s->row[FEAT_EPOCH].i;
    if (weir_drift_slots_epoch(d->slots, record->topic_index, record->partition, epoch) > epoch) return false;
    return weir_features_kind_of(&s->features, s->row) == WEIR_FEATURES_VALUE;
}

static void add_datum(weir_drift_table *table, int column, const weir_datum *value) {
    weir_drift_profile *profile = weir_drift_table_profile(table, column);
    if (value->type == WEIR_T_STR)
        weir_drift_profile_add_text(profile, value->p, value->len);
    else
        weir_drift_profile_add(profile, weir_datum_number(value));
}

static int arm_of(const weir_datum *arm) {
    for (int i = 0; i < ARMS; i++)
        if (arm->type == WEIR_T_STR && arm->len == strlen(arms[i]) && !memcmp(arm->p, arms[i], arm->len)) return i;
    return -1;
}

/* NULL: it has none, as labels and what is made of them need not. */
static const weir_datum *tenant_of(const drift *d, const drift_source *s) {
    const weir_feed_def *labels = &d->pipeline->labels;
    bool of_labels = s->kind == WEIR_DRIFT_LABELS || (s->kind == WEIR_DRIFT_FEATURES && d->pipeline->views[s->view].from == WEIR_FROM_LABELS);
    if (of_labels && labels->tenant_index < 0) return NULL;
    return &s->row[s->kind == WEIR_DRIFT_FEATURES ? FEAT_TENANT : s->kind == WEIR_DRIFT_PREDICTIONS ? PRED_TENANT : labels->tenant_index];
}

static weir_status count_record(drift *d, drift_source *s, const weir_bus_record *record, weir_err *err) {
    const weir_datum *row = s->row;
    weir_drift_table *table = NULL;
    int64_t event_us = s->kind == WEIR_DRIFT_FEATURES      ? row[FEAT_EVENT_TIME].i
                       : s->kind == WEIR_DRIFT_PREDICTIONS ? row[PRED_EVENT_TIME].i
                                                           : row[d->pipeline->labels.time_index].i;
    int arm = s->kind == WEIR_DRIFT_PREDICTIONS ? arm_of(&row[PRED_ARM]) : -1;
    if (s->kind == WEIR_DRIFT_PREDICTIONS && arm < 0) return WEIR_OK;
    weir_status status = weir_drift_slots_add(d->slots, record->topic_index, record->partition, event_us, tenant_of(d, s), &table, err);
    if (status) return status;
    if (s->kind == WEIR_DRIFT_FEATURES) {
        for (int i = 0; i < weir_drift_table_count(table); i++) add_datum(table, i, &row[s->at[i]]);
    } else if (s->kind == WEIR_DRIFT_PREDICTIONS) {
        add_datum(table, arm, &row[PRED_SCORE]); /* the other arm's score is not missing, it was not asked for */
    } else {
        add_datum(table, 0, &row[d->pipeline->label_column]);
    }
    weir_metric_add(s->records, 1);
    return WEIR_OK;
}

/* What cannot be read is in the dead letters already: ingest reads labels, and the store the other topics. */
static weir_status take_record(drift *d, const weir_bus_record *record, weir_err *err) {
    drift_source *s = &d->sources[record->topic_index];
    const char *error_class;
    weir_err why = {0};
    int32_t fence = s->kind == WEIR_DRIFT_FEATURES ? weir_features_fence_of(record) : -1;
    if (fence >= 0) (void)weir_drift_slots_epoch(d->slots, record->topic_index, record->partition, fence);
    if (!record->value) return WEIR_OK;
    if (s->kind == WEIR_DRIFT_LABELS && record->value_len > (size_t)d->pipeline->labels.max_bytes) return WEIR_OK;
    weir_status status = weir_serde_decode(s->serde, record->value, record->value_len, s->row, NULL, &why);
    if (!status && s->kind == WEIR_DRIFT_LABELS)
        status = weir_pipeline_check(d->pipeline, WEIR_FROM_LABELS, s->row, weir_clock_wall_us(d->clock), &error_class, &why);
    if (status && why.action == WEIR_ACTION_REJECT) return WEIR_OK;
    if (status) {
        if (err) *err = why;
        return status;
    }
    if (s->kind == WEIR_DRIFT_FEATURES && !is_value(d, s, record)) return WEIR_OK;
    return count_record(d, s, record, err);
}

static void copy_text(char *text, size_t size, const weir_datum *d) {
    snprintf(text, size, "%.*s", (int)d->len, d->p);
}

static bool is_text(const weir_datum *d, const char *text) {
    return d->type == WEIR_T_STR && d->len == strlen(text) && !memcmp(d->p, text, d->len);
}

static weir_status take_schedule(drift *d, const weir_bus_record *record, weir_err *err) {
    weir_datum row[SCHED_COUNT];
    char schedule[FIRING_MAX], firing[FIRING_MAX];
    weir_err why = {0};
    if (!record->value) return WEIR_OK;
    weir_status status = weir_serde_decode(d->schedules.serde, record->value, record->value_len, row, NULL, &why);
    if (status && why.action == WEIR_ACTION_REJECT) return WEIR_OK; /* trigger has it in the dead letters */
    if (status) {
        if (err) *err = why;
        return status;
    }
    if (!is_text(&row[SCHED_PIPELINE], d->pipeline->name) || !is_text(&row[SCHED_ACTION], "drift")) return WEIR_OK;
    if (row[SCHED_FIRED_AT].i < weir_clock_wall_us(d->clock) - FIRING_AGE_US) return WEIR_OK;
    copy_text(schedule, sizeof schedule, &row[SCHED_SCHEDULE]);
    copy_text(firing, sizeof firing, &row[SCHED_FIRING_ID]);
    status = weir_drift_slots_flush(d->slots, err); /* with what has come so far */
    return status ? status : weir_drift_judge_now(d->judge, schedule, firing, err);
}

/* ---- partitions ---- */

/* PostgreSQL says where to begin. */
static weir_status place(drift *d, weir_partition *at, weir_err *err) {
    int64_t next = -1, first = 0, end = 0;
    if (at->partition >= d->pipeline->partitions)
        return WEIR_FAIL(err, WEIR_ECONFLICT, "topic %s has a partition %d, the pipeline file says %d partitions", at->topic, (int)at->partition,
                         d->pipeline->partitions);
    weir_status status = weir_drift_slots_take(d->slots, at->topic_index, at->partition, &next, err);
    if (!status && next > 0) status = weir_consumer_range(weir_worker_consumer(d->worker), at->topic, at->partition, &first, &end, ASK_TIMEOUT_MS, err);
    if (status) return status;
    if (next > end)
        return WEIR_FAIL(err, WEIR_ECONFLICT, "what is counted for drift is ahead of %s [%d] (%lld > %lld): the topic was made anew; `weir reset` clears both",
                         at->topic, (int)at->partition, (long long)next, (long long)end);
    at->offset = next >= 0 ? next : 0; /* not at Kafka's commits: these may be ahead of what was counted */
    return WEIR_OK;
}

static weir_status drift_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    drift *d = context;
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count; i++) {
        if (partitions[i].topic_index < d->source_count)
            status = place(d, &partitions[i], err);
        else if (partitions[i].partition == 0) {
            d->leads = true;
            d->left_us = 0;
        }
    }
    d->conflict = false;
    return status;
}

static weir_status drift_revoked(void *context, const weir_partition *partitions, size_t count, bool lost, weir_err *err) {
    drift *d = context;
    weir_err why = {0};
    (void)err;
    if (!lost && weir_drift_slots_flush(d->slots, &why))
        weir_log_err(WEIR_LOG_WARN, "last counts were not stored; the next owner counts these records again", &why);
    for (size_t i = 0; i < count; i++) {
        if (partitions[i].topic_index < d->source_count)
            weir_drift_slots_drop(d->slots, partitions[i].topic_index, partitions[i].partition);
        else if (partitions[i].partition == 0) {
            d->leads = false;
            d->left_us = weir_clock_mono_us(d->clock);
        }
    }
    return WEIR_OK;
}

/* Another worker had a partition meanwhile, or a commit went through whose answer was lost: all begins again where PostgreSQL is. */
static weir_status begin_again(drift *d, weir_err *err) {
    weir_partition held[512];
    size_t count = weir_consumer_assignment(weir_worker_consumer(d->worker), held, sizeof held / sizeof *held);
    weir_status status = WEIR_OK;
    for (size_t i = 0; !status && i < count && i < sizeof held / sizeof *held; i++) {
        if (held[i].topic_index >= d->source_count) continue;
        status = place(d, &held[i], err);
        if (!status) status = weir_consumer_seek(weir_worker_consumer(d->worker), held[i].topic, held[i].partition, held[i].offset, err);
    }
    d->conflict = status != WEIR_OK;
    return status;
}

/* ---- the worker ---- */

static weir_status drift_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    drift *d = context;
    int64_t now_us = weir_clock_wall_us(d->clock);
    weir_status status = WEIR_OK;
    if (d->conflict) return begin_again(d, err); /* these come again */
    for (size_t i = 0; !status && i < count; i++) {
        const weir_bus_record *r = &records[i];
        if (r->topic_index >= d->source_count) {
            status = take_schedule(d, r, err);
        } else if (r->offset >= weir_drift_slots_next(d->slots, r->topic_index, r->partition)) { /* a batch that failed comes again from its start */
            status = take_record(d, r, err);
            if (!status) weir_drift_slots_advance(d->slots, r->topic_index, r->partition, r->offset + 1, now_us);
        }
    }
    if (status == WEIR_ECONFLICT) d->conflict = true;
    return status;
}

static weir_status look(drift *d, weir_err *err) {
    weir_partition held[512], ends[512];
    size_t count = weir_consumer_assignment(weir_worker_consumer(d->worker), held, sizeof held / sizeof *held), asked = 0;
    int64_t now_us = weir_clock_wall_us(d->clock);
    for (size_t i = 0; i < count && i < sizeof held / sizeof *held; i++)
        if (held[i].topic_index < d->source_count) ends[asked++] = held[i];
    if (!asked) return WEIR_OK;
    weir_status status = weir_consumer_ends(weir_worker_consumer(d->worker), ends, asked, ASK_TIMEOUT_MS, err);
    for (size_t i = 0; !status && i < asked; i++) weir_drift_slots_look(d->slots, ends[i].topic_index, ends[i].partition, ends[i].offset, now_us);
    return status;
}

static weir_status flush(drift *d, int64_t mono_us, weir_err *err) {
    if (d->conflict || mono_us < d->flush_at_us) return WEIR_OK;
    weir_status status = look(d, err);
    if (!status) status = weir_drift_slots_flush(d->slots, err);
    /* Profiles of many tenants take seconds to store: then it is done less often, so that it takes a quarter of the time at most. */
    int64_t pause_us = FLUSH_PAUSES * (weir_clock_mono_us(d->clock) - mono_us);
    d->flush_at_us = mono_us + (pause_us > FLUSH_EVERY_US ? pause_us : FLUSH_EVERY_US);
    if (status == WEIR_ECONFLICT) d->conflict = true;
    return status;
}

static weir_status drift_tick(void *context, int64_t mono_us, weir_err *err) {
    drift *d = context;
    bool more = true;
    weir_status status = flush(d, mono_us, err);
    if (!d->leads && d->left_us && mono_us - d->left_us > LEAVE_AFTER_US) {
        weir_drift_judge_leave(d->judge);
        d->left_us = 0;
    }
    if (status || !d->leads || mono_us < d->judge_at_us) return status;
    for (int i = 0; !status && more && i < JUDGED_A_TICK && !weir_worker_stopping(d->worker); i++) {
        status = weir_drift_judge_due(d->judge, &more, err);
        if (weir_clock_mono_us(d->clock) - mono_us > JUDGE_FOR_US) break;
    }
    if (!status) status = weir_drift_judge_send(d->judge, err);
    d->judge_at_us = more && !status ? 0 : mono_us + JUDGE_EVERY_US;
    return status;
}

static void drift_done(void *context) {
    drift *d = context;
    if (!d) return;
    for (int i = 0; i < d->source_count; i++) {
        drift_source *s = &d->sources[i];
        if (s->kind == WEIR_DRIFT_LABELS) weir_mem.realloc(s->row, 0);
        weir_features_codec_done(&s->features);
        weir_event_codec_done(&s->labels);
        weir_prediction_codec_done(&s->predictions);
        free(s->topic);
        weir_mem.realloc(s->at, 0);
    }
    weir_drift_judge_free(d->judge);
    weir_drift_slots_free(d->slots);
    weir_event_codec_done(&d->schedules);
    weir_event_codec_done(&d->events);
    weir_event_codec_done(&d->alerts);
    weir_drift_columns_done(&d->columns);
    weir_recipe_done(&d->recipe);
    weir_pg_free(d->pg);
    free(d);
}

static weir_status make_sources(drift *d, weir_registry *registry, weir_err *err) {
    bool trains = weir_pipeline_trains(d->pipeline);
    weir_status status = trains ? weir_recipe_load(d->pipeline, &d->recipe, err) : WEIR_OK;
    if (!status) status = weir_drift_columns_init(d->pipeline, trains ? d->recipe.columns : NULL, &d->columns, err);
    for (int v = 0; !status && v < d->pipeline->view_count; v++) status = add_view(d, registry, v, err);
    if (!status && trains) status = add_predictions(d, registry, err);
    if (!status && d->pipeline->labels.topic && d->pipeline->label_column >= 0) status = add_labels(d, registry, err);
    return status;
}

static weir_status make_judge(drift *d, const weir_worker_env *env, weir_err *err) {
    const weir_drift_bench bench = {.pg = d->pg,
                                    .pg_url = env->pg_url,
                                    .objects_dir = env->objects_dir,
                                    .pipeline = d->pipeline,
                                    .columns = &d->columns,
                                    .streams = d->streams,
                                    .kinds = d->kinds,
                                    .stream_count = d->source_count,
                                    .producer = weir_worker_producer(d->worker),
                                    .events = &d->events,
                                    .alerts = &d->alerts,
                                    .clock = d->clock};
    int64_t memory = env->memory_bytes > 0 ? env->memory_bytes : DEFAULT_MEMORY;
    weir_status status = weir_drift_slots_new(d->pg, d->pipeline->name, d->streams, d->source_count, d->pipeline->partitions,
                                              d->pipeline->triggers.drift.every_us, (int)d->pipeline->triggers.drift.tenants, memory / 2, &d->slots, err);
    return status ? status : weir_drift_judge_new(&bench, &d->judge, err);
}

static weir_status drift_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    const weir_shared *shared = env->shared;
    drift *d = calloc(1, sizeof *d);
    if (!d) return no_memory(err);
    *ret_context = d;
    d->worker = worker;
    d->pipeline = shared->pipeline;
    d->clock = env->clock;
    if (!d->pipeline->triggers.drift.enabled)
        return WEIR_FAIL(err, WEIR_EINVAL, "pipeline %s has no triggers.drift: there is nothing for drift to judge", d->pipeline->name);
    (void)setpriority(PRIO_PROCESS, 0, PRIORITY); /* of this thread, on Linux */
    weir_status status = weir_pg_new(env->pg_url, &d->pg, err);
    if (!status) status = weir_pg_migrate(d->pg, err);
    if (!status) status = make_sources(d, shared->registry, err);
    if (!status) status = weir_event_codec_init(&d->schedules, shared->registry, "schemas/schedule.avsc", WEIR_TOPIC_SCHEDULE, err);
    if (!status) status = weir_event_codec_init(&d->events, shared->registry, "schemas/drift.avsc", WEIR_TOPIC_DRIFT, err);
    if (!status) status = weir_alert_codec_init(&d->alerts, shared->registry, err);
    if (!status) status = make_judge(d, env, err);
    if (status) return status;
    const char *topics[WEIR_DRIFT_STREAMS_MAX + 1];
    for (int i = 0; i < d->source_count; i++) topics[i] = d->sources[i].topic;
    topics[d->source_count] = WEIR_TOPIC_SCHEDULE;
    return weir_worker_subscribe(worker, topics, (size_t)d->source_count + 1, err);
}

const weir_worker_ops weir_drift_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "drift",
    .doc = "compares windows of features, predictions and labels with what the champion was trained on",
    .init = drift_init,
    .assigned = drift_assigned,
    .revoked = drift_revoked,
    .batch = drift_batch,
    .tick = drift_tick,
    .done = drift_done,
    .is_aside = true,
};
