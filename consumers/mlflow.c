/* mlflow: shows runs and model versions in an MLflow server.
 *
 *   weir.training.runs, weir.models ──> what PostgreSQL says of the run, version or alias now ──> MLflow's REST API
 *
 * An event only says where to look, so a replay shows nothing twice and a late event shows nothing old (consumers/mlflow_mirror.h). While the server is away the events wait in Kafka.
 * What it refuses for good goes to the dead letters, and the mirror goes on. Of the lifecycle commands, whose "pipeline" is "catalog.schema", the mirrors of all pipelines show what
 * is registered; a lock keeps two from creating the same thing at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/events.h"
#include "consumers/kinds.h"
#include "consumers/mlflow_mirror.h"
#include "consumers/shared.h"
#include "core/log.h"
#include "core/metrics.h"

enum {
    MARKS_MAX = 64,
    FAILURES_MAX = 10, /* of the server at one event, before that is given up */
    TOPIC_RUNS = 0,
    TOPIC_MODELS = 1,
};
#define TURN_US (60 * WEIR_SECOND_US) /* longer than that the loop is not kept from polling */

/* How far a partition is mirrored, though its offsets are not stored yet. */
typedef struct mark {
    int topic_index;
    int32_t partition;
    int64_t next;
} mark;

typedef struct mlflow {
    weir_worker *worker;
    const weir_pipeline *pipeline;
    weir_clock *clock;
    weir_pg *pg;
    weir_mirror mirror;
    char *url;
    weir_event_codec runs, models;
    mark marks[MARKS_MAX];
    int mark_count;
    int64_t failing_offset; /* of the event at which the server fails, and how often it did */
    int failures;
} mlflow;

/* What an event is about. */
typedef struct subject {
    char pipeline[256], run_id[64], type[40], model[256], alias[64];
    int version;
} subject;

static void copy_text(char *to, size_t size, const weir_datum *from) {
    bool is_text = from->type == WEIR_T_STR;
    snprintf(to, size, "%.*s", is_text ? (int)from->len : 0, is_text ? from->p : "");
}

static weir_status decode(mlflow *m, const weir_bus_record *record, subject *s, weir_err *err) {
    weir_datum row[(int)MOD_COUNT > (int)RUN_COUNT ? (int)MOD_COUNT : (int)RUN_COUNT];
    const weir_event_codec *codec = record->topic_index == TOPIC_RUNS ? &m->runs : &m->models;
    *s = (subject){0};
    weir_status status = weir_serde_decode(codec->serde, record->value, record->value_len, row, NULL, err);
    if (status) return status;
    if (record->topic_index == TOPIC_RUNS) {
        copy_text(s->pipeline, sizeof s->pipeline, &row[RUN_PIPELINE]);
        copy_text(s->run_id, sizeof s->run_id, &row[RUN_ID]);
        return WEIR_OK;
    }
    copy_text(s->pipeline, sizeof s->pipeline, &row[MOD_PIPELINE]);
    copy_text(s->type, sizeof s->type, &row[MOD_TYPE]);
    copy_text(s->model, sizeof s->model, &row[MOD_MODEL]);
    copy_text(s->alias, sizeof s->alias, &row[MOD_ALIAS]);
    s->version = row[MOD_VERSION].type == WEIR_T_NULL ? 0 : (int)row[MOD_VERSION].i;
    return WEIR_OK;
}

static bool is_space(const char *pipeline) {
    return strchr(pipeline, '.') != NULL;
}

static weir_status show(mlflow *m, const subject *s, weir_err *err) {
    if (*s->run_id) return weir_mirror_run(&m->mirror, s->run_id, err);
    if (*s->alias) return weir_mirror_alias(&m->mirror, s->pipeline, is_space(s->pipeline) ? s->model : NULL, s->alias, err);
    return *s->model && s->version > 0 ? weir_mirror_version(&m->mirror, s->pipeline, s->model, s->version, err) : WEIR_OK;
}

/* Between looking whether a thing is there and making it, no other mirror does the same. */
static weir_status show_alone(mlflow *m, const subject *s, weir_err *err) {
    weir_err late;
    const char *const key[] = {s->pipeline};
    weir_status status = weir_pg_exec(m->pg, "SELECT pg_advisory_lock(hashtextextended('weir mlflow ' || $1, 0))", 1, key, NULL, err);
    if (status) return status;
    status = show(m, s, err);
    /* A connection that is lost has let go of it. */
    if (weir_pg_exec(m->pg, "SELECT pg_advisory_unlock(hashtextextended('weir mlflow ' || $1, 0))", 1, key, NULL, &late))
        weir_log_err(WEIR_LOG_WARN, "the lock of the MLflow mirror was lost", &late);
    return status;
}

/* A server that fails at one event again and again, while it is there for others, would hold all of them up. */
static void count_failure(mlflow *m, const weir_bus_record *record, weir_err *why) {
    if (why->code != WEIR_EINTERNAL || why->action != WEIR_ACTION_RETRY) return;
    if (m->failing_offset != record->offset) m->failures = 0;
    m->failing_offset = record->offset;
    if (++m->failures >= FAILURES_MAX) why->action = WEIR_ACTION_REJECT;
}

static void count_event(const mlflow *m, const char *outcome) {
    weir_metric_add(WEIR_METRIC("weir_mlflow_events_total", m->pipeline->name, outcome), 1);
}

static weir_status take(mlflow *m, const weir_bus_record *record, weir_err *err) {
    subject s;
    weir_err why;
    if (!record->value) return WEIR_OK;
    weir_status status = decode(m, record, &s, &why);
    if (!status && strcmp(s.pipeline, m->pipeline->name) != 0 && !is_space(s.pipeline)) return WEIR_OK;
    if (!status) status = show_alone(m, &s, &why);
    if (!status) {
        count_event(m, "mirrored");
        return WEIR_OK;
    }
    count_failure(m, record, &why);
    if (why.action == WEIR_ACTION_REJECT) {
        weir_log_err(WEIR_LOG_ERROR, "an event could not be shown in MLflow", &why);
        count_event(m, "rejected");
        return weir_worker_reject(m->worker, record, "mlflow", &why, err);
    }
    count_event(m, "waiting");
    *err = why;
    return status;
}

/* ---- the batch ---- */

static mark *mark_of(mlflow *m, const weir_bus_record *record) {
    for (int i = 0; i < m->mark_count; i++)
        if (m->marks[i].topic_index == record->topic_index && m->marks[i].partition == record->partition) return &m->marks[i];
    if (m->mark_count == MARKS_MAX) return NULL;
    m->marks[m->mark_count] = (mark){.topic_index = record->topic_index, .partition = record->partition};
    return &m->marks[m->mark_count++];
}

/* After RETRY the same records come again; those that are done are passed over. */
static weir_status mlflow_batch(void *context, const weir_bus_record *records, size_t count, weir_err *err) {
    mlflow *m = context;
    int64_t until_us = weir_clock_mono_us(m->clock) + TURN_US;
    for (size_t i = 0; i < count; i++) {
        mark *done = mark_of(m, &records[i]);
        if (done && records[i].offset < done->next) continue;
        weir_status status = take(m, &records[i], err);
        if (status) return status;
        if (done) done->next = records[i].offset + 1;
        if (i + 1 == count) break;
        if (weir_worker_stopping(m->worker)) return WEIR_RETRY(err, WEIR_ETIMEOUT, "the mirror was asked to stop");
        if (weir_clock_mono_us(m->clock) > until_us) return WEIR_RETRY(err, WEIR_ETIMEOUT, "%zu events were mirrored, %zu follow", i + 1, count - i - 1);
    }
    return WEIR_OK;
}

static weir_status mlflow_assigned(void *context, weir_partition *partitions, size_t count, weir_err *err) {
    (void)partitions, (void)count, (void)err;
    ((mlflow *)context)->mark_count = 0;
    return WEIR_OK;
}

/* ---- life ---- */

static void mlflow_done(void *context) {
    mlflow *m = context;
    if (!m) return;
    weir_event_codec_done(&m->runs);
    weir_event_codec_done(&m->models);
    weir_pg_free(m->pg);
    free(m->url);
    free(m);
}

static weir_status copy_url(const char *url, char **ret_url, weir_err *err) {
    if (!url || !*url)
        return WEIR_FAIL(err, WEIR_EINVAL, "there is no MLflow server to show runs in: --mlflow-tracking-uri (WEIR_MLFLOW_TRACKING_URI) names one");
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "--mlflow-tracking-uri is no http or https URL; stores without a server are not written to");
    char *copy = strdup(url);
    if (!copy) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the mlflow worker");
    for (size_t len = strlen(copy); len && copy[len - 1] == '/'; len--) copy[len - 1] = 0;
    *ret_url = copy;
    return WEIR_OK;
}

static weir_status mlflow_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    const weir_shared *shared = env->shared;
    mlflow *m = calloc(1, sizeof *m);
    if (!m) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the mlflow worker");
    *ret_context = m;
    m->worker = worker;
    m->pipeline = shared->pipeline;
    m->clock = env->clock;
    weir_status status = copy_url(shared->mlflow_uri, &m->url, err);
    if (!status) status = weir_pg_new(env->pg_url, &m->pg, err);
    if (!status) status = weir_event_codec_init(&m->runs, shared->registry, "schemas/training_run.avsc", WEIR_TOPIC_RUNS, err);
    if (!status) status = weir_event_codec_init(&m->models, shared->registry, "schemas/model_event.avsc", WEIR_TOPIC_MODELS, err);
    if (status) return status;
    m->mirror = (weir_mirror){
        .api = {.url = m->url,
                .token = shared->mlflow_token && *shared->mlflow_token ? shared->mlflow_token : NULL,
                .seconds = WEIR_METRIC("weir_mlflow_request_seconds", m->pipeline->name)},
        .pg = m->pg,
        .objects_dir = env->objects_dir,
    };
    if ((status = weir_shared_set_deadletter(shared, worker, err))) return status;
    return weir_worker_subscribe(worker, (const char *const[]){[TOPIC_RUNS] = WEIR_TOPIC_RUNS, [TOPIC_MODELS] = WEIR_TOPIC_MODELS}, 2, err);
}

const weir_worker_ops weir_mlflow_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "mlflow",
    .doc = "shows runs and model versions in an MLflow server",
    .init = mlflow_init,
    .assigned = mlflow_assigned,
    .batch = mlflow_batch,
    .done = mlflow_done,
    .needs_training = true,
    .is_aside = true,
};
