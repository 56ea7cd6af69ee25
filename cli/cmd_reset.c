/* `weir reset PIPELINE`: everything that a pipeline has left behind goes away, so that it can begin again from nothing.
 *
 * In this order, so that it fails before it has changed anything while workers run, and can simply be called again when it was interrupted:
 *   consumer groups     Kafka refuses to delete a group that has members
 *   what was asked      skipped: training requests, causes to train, asks about rollouts stand in topics of all pipelines, and a deleted group would begin these anew
 *   aliases             taken back on weir.models, which belongs to all pipelines as well
 *   topics, PostgreSQL, local state, models
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "consumers/events.h"
#include "consumers/rollout_state.h"
#include "consumers/shared.h"
#include "core/clock.h"
#include "core/pg.h"
#include "models/artifact_file.h"
#include "models/artifact_store.h"
#include "models/audit.h"

enum { TOPICS_MAX = 6 + 2 * WEIR_VIEWS_MAX, GROUPS_MAX = 16, OPEN_FOLDERS = 16, POLL_MS = 200 };
#define JOIN_PATIENCE_US (20 * WEIR_SECOND_US)

typedef struct reset_options {
    char *pipeline;
} reset_options;

/* Workers that act on what topics of all pipelines ask them. */
enum { ASKED_TOPICS_MAX = 3 };
static const struct asked {
    const char *worker;
    const char *topics[ASKED_TOPICS_MAX]; /* NULL: no more */
} askeds[] = {
    {"train", {WEIR_TOPIC_REQUESTS}},
    {"trigger", {WEIR_TOPIC_SCHEDULE, WEIR_TOPIC_DRIFT, WEIR_TOPIC_ALERTS}},
    {"rollout", {WEIR_TOPIC_ROLLOUTS}},
};
enum { ASKED_COUNT = sizeof askeds / sizeof *askeds };

static bool is_asked(const char *worker) {
    for (int i = 0; i < ASKED_COUNT; i++)
        if (!strcmp(askeds[i].worker, worker)) return true;
    return false;
}

static weir_status delete_groups(const weir_settings *settings, const weir_pipeline *pipeline, weir_err *err) {
    char names[GROUPS_MAX][200];
    const char *groups[GROUPS_MAX];
    size_t count = 0;
    for (const weir_worker_ops *const *kind = weir_worker_kinds(); *kind && count < GROUPS_MAX; kind++) {
        if (is_asked((*kind)->name)) continue;
        snprintf(names[count], sizeof names[count], "weir.%s.%s", (*kind)->name, pipeline->name);
        groups[count] = names[count];
        count++;
    }
    weir_status status = weir_bus_groups_delete(settings->brokers, groups, count, err);
    return status ? weir_err_prefix(err, "are workers of %s still running", pipeline->name) : WEIR_OK;
}

static weir_status skip_partition(weir_consumer *consumer, const weir_partition *partition, weir_err *err) {
    int64_t first, end;
    weir_status status = weir_consumer_range(consumer, partition->topic, partition->partition, &first, &end, 10000, err);
    return status ? status : weir_consumer_store(consumer, partition->topic, partition->partition, end, err);
}

/* The broker gives a group its partitions when all members have said what they read; ours alone gets all of them. */
static weir_status join(weir_consumer *consumer, const char *group, weir_partition *held, size_t max, size_t *ret_count, weir_err *err) {
    weir_clock *clock = weir_clock_system();
    int64_t deadline_us = weir_clock_mono_us(clock) + JOIN_PATIENCE_US;
    weir_status status = WEIR_OK;
    *ret_count = 0;
    while (!status && !*ret_count) {
        weir_bus_record record;
        size_t count = 0;
        status = weir_consumer_poll(consumer, &record, 1, POLL_MS, &count, err);
        if (!status && count) weir_consumer_release(consumer, &record, count);
        *ret_count = weir_consumer_assignment(consumer, held, max);
        if (*ret_count > max) *ret_count = max;
        if (!status && !*ret_count && weir_clock_mono_us(clock) > deadline_us)
            status = WEIR_FAIL(err, WEIR_ECONFLICT, "consumer group %s gave no partition in time; is one of its workers still running?", group);
    }
    return status;
}

/* Joins the worker's group for a moment and commits the end of its topics. */
static weir_status skip_asked(const weir_settings *settings, const weir_pipeline *pipeline, const char *worker, const char *const *topics, size_t topic_count,
                              weir_err *err) {
    char group[200];
    weir_consumer *consumer = NULL;
    weir_partition held[64];
    size_t count = 0;
    snprintf(group, sizeof group, "weir.%s.%s", worker, pipeline->name);
    weir_status status = weir_consumer_new(settings->brokers, group, topics, topic_count, NULL, &consumer, err);
    if (!status) status = join(consumer, group, held, sizeof held / sizeof *held, &count, err);
    for (size_t i = 0; !status && i < count; i++) status = skip_partition(consumer, &held[i], err);
    if (!status) status = weir_consumer_commit(consumer, err);
    weir_consumer_free(consumer);
    return status;
}

/* Scorers learn from weir.models whom to serve, from its beginning: without this they would look for models that are gone. */
static weir_status take_aliases_back(const weir_settings *settings, const weir_pipeline *pipeline, weir_err *err) {
    weir_registry *registry = NULL;
    weir_producer *producer = NULL;
    weir_event_codec codec = {0};
    int64_t now_us = weir_clock_wall_us(weir_clock_system());
    weir_status status = weir_registry_new(settings->registry_url, &registry, err);
    if (!status) status = weir_event_codec_init(&codec, registry, "schemas/model_event.avsc", WEIR_TOPIC_MODELS, err);
    if (!status) status = weir_producer_new(settings->brokers, "weir-reset", &producer, err);
    for (int i = 0; !status && i <= WEIR_CHALLENGERS_MAX; i++) {
        char id[80];
        snprintf(id, sizeof id, "reset-%lld-%d", (long long)now_us, i);
        const weir_datum row[MOD_COUNT] = {
            [MOD_ID] = weir_i64(0), /* not from the outbox */
            [MOD_TYPE] = weir_text("alias.moved"),
            [MOD_PIPELINE] = weir_text(pipeline->name),
            [MOD_AT] = weir_i64(now_us),
            [MOD_ALIAS] = weir_text(i ? weir_challenger_names[i - 1] : "champion"),
            [MOD_PAYLOAD] = weir_text("{\"actor\":\"reset\"}"),
        };
        status = weir_event_send(&codec, producer, WEIR_TOPIC_MODELS, pipeline->name, "weir.model.alias.moved", id, now_us, row, err);
    }
    if (!status) status = weir_producer_flush(producer, 30000, err);
    weir_producer_free(producer);
    weir_event_codec_done(&codec);
    weir_registry_free(registry);
    return status;
}

static bool topic_exists(const weir_settings *settings, const char *topic, weir_status *ret_status, weir_err *err) {
    int partitions;
    weir_status status = weir_bus_partitions(settings->brokers, topic, &partitions, err);
    *ret_status = status == WEIR_ENOTFOUND ? WEIR_OK : status;
    return !status;
}

static weir_status leave_control_topics(const weir_settings *settings, const weir_pipeline *pipeline, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < ASKED_COUNT; i++) {
        const char *there[ASKED_TOPICS_MAX];
        size_t count = 0;
        for (int k = 0; !status && k < ASKED_TOPICS_MAX && askeds[i].topics[k]; k++)
            if (topic_exists(settings, askeds[i].topics[k], &status, err)) there[count++] = askeds[i].topics[k];
        if (!status && count) status = skip_asked(settings, pipeline, askeds[i].worker, there, count, err);
    }
    if (status) return status;
    if (topic_exists(settings, WEIR_TOPIC_MODELS, &status, err)) status = take_aliases_back(settings, pipeline, err);
    return status;
}

static weir_status delete_topics(const weir_settings *settings, const weir_pipeline *pipeline, weir_err *err) {
    char *names[TOPICS_MAX];
    size_t count = 0;
    names[count++] = strdup(pipeline->events.topic);
    if (pipeline->labels.topic) names[count++] = strdup(pipeline->labels.topic);
    for (int v = 0; v < pipeline->view_count; v++) {
        names[count++] = weir_topic_features(pipeline, &pipeline->views[v]);
        names[count++] = weir_topic_repartition(pipeline, &pipeline->views[v]); /* every view may have one: records under a wrong key are re-keyed */
    }
    names[count++] = weir_topic_of(pipeline, "predictions");
    names[count++] = weir_topic_of(pipeline, "shadows");
    names[count++] = weir_topic_of(pipeline, "deadletter");
    if (pipeline->serving.requests) names[count++] = weir_topic_of(pipeline, "requests");
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < count; i++)
        if (!names[i]) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the names of topics");
    if (!status) status = weir_bus_topics_delete(settings->brokers, (const char *const *)names, count, err);
    for (size_t i = 0; i < count; i++) free(names[i]);
    return status;
}

/* Rows of the pipeline; what refers to others goes first. A table that no migration has made yet holds nothing. */
static weir_status delete_rows(weir_pg *pg, const char *table, const char *pipeline, weir_err *err) {
    PGresult *result = NULL;
    char sql[200];
    weir_status status = weir_pg_exec(pg, "SELECT to_regclass($1) IS NOT NULL", 1, (const char *const[]){table}, &result, err);
    if (status) return status;
    bool exists = !strcmp(PQgetvalue(result, 0, 0), "t");
    PQclear(result);
    snprintf(sql, sizeof sql, "DELETE FROM %s WHERE pipeline = $1", table);
    return exists ? weir_pg_exec(pg, sql, 1, &pipeline, NULL, err) : WEIR_OK;
}

/* The audit log outlives the pipeline, and says who ended it. Last: whoever writes to the log holds it until the commit. */
static weir_status tell_audit(weir_pg *pg, const char *pipeline, weir_err *err) {
    PGresult *result = NULL;
    const char *user = getenv("USER");
    weir_status status = weir_pg_exec(pg, "SELECT to_regclass('weir.audit_log') IS NOT NULL", 0, NULL, &result, err);
    if (status) return status;
    bool exists = !strcmp(PQgetvalue(result, 0, 0), "t");
    PQclear(result);
    return exists ? weir_audit_write(pg, user && *user ? user : "operator", "pipeline.reset", pipeline, pipeline, NULL, err) : WEIR_OK;
}

static weir_status clear_database(const weir_settings *settings, const weir_pipeline *pipeline, weir_err *err) {
    static const char *const tables[] = {"weir.outbox",
                                         "weir.alias_history",
                                         "weir.aliases",
                                         "weir.model_alias_history",
                                         "weir.model_aliases",
                                         "weir.version_tags",
                                         "weir.version_descriptions",
                                         "weir.model_versions",
                                         "weir.training_failures",
                                         "weir.runs",
                                         "weir.sink_offsets",
                                         "weir.batch_runs",
                                         "weir.schedule_firings",
                                         "weir.schedules",
                                         "weir.training_decisions",
                                         "weir.drift_offsets",
                                         "weir.drift_slots",
                                         "weir.drift_references",
                                         "weir.drift_results",
                                         "weir.drift_tenants",
                                         "weir.degradations",
                                         "weir.rollout_events",
                                         "weir.rollouts",
                                         "weir.studies"};
    weir_pg *pg = NULL;
    weir_buf sql = {0};
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status && !weir_buf_printf(&sql, "SET LOCAL client_min_messages = warning; DROP SCHEMA IF EXISTS \"%s\" CASCADE", pipeline->name))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a statement");
    if (!status) status = weir_pg_begin(pg, err);
    if (!status) status = weir_pg_script(pg, sql.data, err);
    for (size_t i = 0; !status && i < sizeof tables / sizeof *tables; i++) status = delete_rows(pg, tables[i], pipeline->name, err);
    if (!status) status = tell_audit(pg, pipeline->name, err);
    if (!status) status = weir_pg_commit(pg, err);
    if (status && pg) weir_pg_rollback(pg);
    weir_buf_done(&sql);
    weir_pg_free(pg);
    return status;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *where) {
    (void)stat, (void)type, (void)where;
    return remove(path);
}

static weir_status delete_folder(const char *parent, const char *middle, const char *name, weir_err *err) {
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s%s/%s", parent, middle, name) >= sizeof path)
        return WEIR_FAIL(err, WEIR_EINVAL, "the folder name %.60s… is too long", parent);
    if (nftw(path, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        return WEIR_FAIL(err, WEIR_EIO, "cannot delete %s: %s", path, strerror(errno));
    return WEIR_OK;
}

/* A store knows no folders; those of a plain folder go with what is in them. */
static weir_status delete_models(const char *objects_dir, const char *name, weir_err *err) {
    char folder[WEIR_ARTIFACT_PATH_MAX];
    if (!strstr(objects_dir, "://")) return delete_folder(objects_dir, "/models", name, err);
    snprintf(folder, sizeof folder, "models/%s", name);
    return weir_artifact_remove_below(objects_dir, folder, err);
}

/* What is deleted is named after the pipeline; these would be others' schemas, or the folder of all pipelines. */
static weir_status check_name(const char *name, weir_err *err) {
    bool taken = !*name || !strcmp(name, "weir") || !strcmp(name, "public") || !strcmp(name, "information_schema") || !strncmp(name, "pg_", 3);
    return taken ? WEIR_FAIL(err, WEIR_EINVAL, "\"%s\" is not a name of a pipeline that could be reset", name) : WEIR_OK;
}

static weir_status run_reset(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    (void)ret_exit;
    weir_pipeline *pipeline = NULL;
    weir_status status = weir_pipeline_load(((const reset_options *)options)->pipeline, &pipeline, err);
    if (status) return status;
    status = check_name(pipeline->name, err);
    if (!status) status = delete_groups(settings, pipeline, err);
    if (!status) status = leave_control_topics(settings, pipeline, err);
    if (!status) status = delete_topics(settings, pipeline, err);
    if (!status) status = clear_database(settings, pipeline, err);
    if (!status) status = delete_folder(settings->state_dir, "", pipeline->name, err);
    if (!status) status = delete_models(settings->objects_dir, pipeline->name, err);
    if (!status) printf("pipeline %s: topics, groups, tables, state and models are gone; the audit log keeps what it says of them\n", pipeline->name);
    weir_pipeline_free(pipeline);
    return status;
}

static const weir_conf_item reset_table[] = {
    WEIR_PIPELINE_ITEM(reset_options, pipeline),
    {0},
};

const weir_command weir_command_reset = {
    .name = "reset",
    .args = "PIPELINE",
    .doc = "Deletes everything a pipeline has made: topics, consumer groups, tables, state, models.\n"
           "Its workers must be stopped. Asks nothing. What other pipelines share (the weir.* topics) stays, and so does the audit log.",
    .options = reset_table,
    .options_size = sizeof(reset_options),
    .run = run_reset,
};
