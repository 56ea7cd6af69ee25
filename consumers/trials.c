#include "consumers/trials.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consumers/shared.h"
#include "consumers/train_run.h"
#include "consumers/train_service.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/study_store.h"
#include "models/training.h"

enum { INVITATIONS_MAX = 64, FLUSH_TIMEOUT_MS = 30000, TEXT_MAX_BYTES = 256 };

/* An invitation that was heard: its own texts. */
typedef struct heard {
    char study[TEXT_MAX_BYTES], run_id[TEXT_MAX_BYTES], target[TEXT_MAX_BYTES], dataset_digest[80], recipe_digest[80];
    weir_task task;
    int64_t from_us, to_us, as_of_us, label_delay_us;
} heard;

struct weir_trial_helper {
    weir_worker *worker;
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    const weir_recipe *recipe;
    weir_event_codec codec;
    weir_consumer *consumer;
    heard waiting[INVITATIONS_MAX]; /* newest last; of more than fit the oldest is forgotten */
    int waiting_count;
    heard now; /* what the thread works on */
    bool active;
    pthread_t thread;
    _Atomic bool finished, cancel;
    int trial_count;
    weir_status status;
    weir_err err;
};

/* ---- inviting ---- */

static void digest_recipe(const weir_pipeline *pipeline, char text[65]) {
    char *json = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(pipeline->json, "training"));
    weir_sha256_hex(json ? json : "", json ? strlen(json) : 0, text);
    cJSON_free(json);
}

weir_status weir_trials_invite(weir_registry *registry, weir_producer *producer, const weir_pipeline *pipeline, const weir_trial_invitation *invitation,
                               weir_err *err) {
    weir_event_codec codec = {0};
    char recipe_digest[65];
    int64_t now_us = weir_clock_wall_us(weir_clock_system());
    digest_recipe(pipeline, recipe_digest);
    const weir_datum row[TRI_COUNT] = {
        [TRI_STUDY] = weir_text(invitation->study),
        [TRI_PIPELINE] = weir_text(invitation->pipeline),
        [TRI_RUN_ID] = weir_text(invitation->run_id),
        [TRI_AT] = weir_i64(now_us),
        [TRI_TASK] = weir_text(weir_task_name(invitation->task)),
        [TRI_TARGET] = weir_text(invitation->target),
        [TRI_FROM] = weir_i64(invitation->from_us),
        [TRI_TO] = weir_i64(invitation->to_us),
        [TRI_AS_OF] = invitation->as_of_us == INT64_MAX ? weir_null() : weir_i64(invitation->as_of_us),
        [TRI_LABEL_DELAY] = weir_i64(invitation->label_delay_us),
        [TRI_RECIPE_DIGEST] = weir_text(recipe_digest),
        [TRI_DATASET_DIGEST] = weir_text(invitation->dataset_digest),
    };
    weir_status status = weir_event_codec_init(&codec, registry, "schemas/training_trial.avsc", WEIR_TOPIC_TRIALS, err);
    if (!status)
        status = weir_event_send(&codec, producer, WEIR_TOPIC_TRIALS, invitation->pipeline, "weir.training.trials", invitation->study, now_us, row, err);
    if (!status) status = weir_producer_flush(producer, FLUSH_TIMEOUT_MS, err);
    weir_event_codec_done(&codec);
    return status;
}

/* ---- the rows ---- */

weir_status weir_trials_read_rows(const weir_trials_rows *rows, const weir_trial_invitation *invitation, weir_trainset *ret_set, weir_err *err) {
    const weir_training training = {
        .pipeline = rows->pipeline,
        .recipe = rows->recipe,
        .pg_url = rows->pg_url,
        .objects_dir = rows->objects_dir,
        .as_of_us = invitation->as_of_us,
        .window = {.train_from_us = invitation->from_us, .train_to_us = invitation->to_us, .deploy_us = invitation->as_of_us},
    };
    return weir_training_set(&training, false, ret_set, err);
}

/* ---- the thread ---- */

static weir_status help(weir_trial_helper *t, weir_err *err) {
    const heard *h = &t->now;
    char name[TEXT_MAX_BYTES], host[64] = "";
    weir_trainset set = {0};
    const weir_trials_rows rows = {t->pipeline, t->recipe, t->env->pg_url, t->env->objects_dir};
    const weir_trial_invitation invitation = {h->study, t->pipeline->name, h->run_id, h->target,   h->dataset_digest,
                                              h->task,  h->from_us,        h->to_us,  h->as_of_us, h->label_delay_us};
    weir_pg *pg = NULL;
    cJSON *definition = NULL;
    weir_status status = weir_pg_new(t->env->pg_url, &pg, err);
    if (!status)
        status = weir_study_store_definition(pg, t->pipeline->name, h->study, &definition, err); /* before all rows are read for a study that is over */
    weir_pg_free(pg);
    cJSON_Delete(definition);
    if (!status) status = weir_trials_read_rows(&rows, &invitation, &set, err);
    if (!status && strcmp(set.digest, h->dataset_digest) != 0)
        status = WEIR_FAIL(err, WEIR_ECONFLICT, "the training set has digest %s here, expected %s: the history has changed, or the pipeline file is another",
                           set.digest, h->dataset_digest);
    (void)gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "%s/%s/%d", host, t->env->instance, (int)getpid());
    const weir_automl_settings settings = {.set = &set,
                                           .pg_url = t->env->pg_url,
                                           .pipeline = t->pipeline->name,
                                           .study = h->study,
                                           .worker = name,
                                           .threads = t->recipe->threads > 0 ? t->recipe->threads : 1,
                                           .cancel = &t->cancel};
    if (!status) status = weir_automl_help(&settings, &t->trial_count, err);
    weir_trainset_done(&set);
    return status;
}

static void *work(void *context) {
    weir_trial_helper *t = context;
    const weir_log_field fields[] = {WEIR_S("worker", "train"), WEIR_S("pipeline", t->pipeline->name), WEIR_S("study", t->now.study)};
    weir_log_context(fields, 3);
    weir_train_lower_priority(((const weir_shared *)t->env->shared)->training->limits.nice);
    t->trial_count = 0;
    t->status = help(t, &t->err);
    t->finished = true;
    return NULL;
}

static void start(weir_trial_helper *t) {
    t->now = t->waiting[--t->waiting_count];
    t->finished = t->cancel = false;
    if (pthread_create(&t->thread, NULL, work, t)) {
        WEIR_WARN("cannot start a thread for trials", WEIR_S("study", t->now.study));
        return;
    }
    t->active = true;
}

static void join(weir_trial_helper *t) {
    pthread_join(t->thread, NULL);
    t->active = false;
    if (t->status && t->status != WEIR_ENOTFOUND) weir_log_err(WEIR_LOG_WARN, "did not help with a search", &t->err);
    if (t->trial_count) WEIR_INFO("helped with a search", WEIR_S("study", t->now.study), WEIR_I("trials", t->trial_count));
    weir_metric_add(WEIR_METRIC("weir_train_trials_total", t->pipeline->name), (double)t->trial_count);
    /* It was interrupted by work of its own: the study may go on longer than that. */
    if (t->cancel && t->waiting_count < INVITATIONS_MAX) t->waiting[t->waiting_count++] = t->now;
}

/* ---- hearing ---- */

static void copy_text(const weir_datum *datum, char *text, size_t size) {
    snprintf(text, size, "%.*s", (int)datum->len, datum->p);
}

/* One that is for another pipeline, or cannot be read here, is passed over: nobody waits for this worker. */
static bool read_invitation(weir_trial_helper *t, const weir_bus_record *record, heard *h) {
    weir_datum row[TRI_COUNT];
    char pipeline[TEXT_MAX_BYTES], task[32], own[65];
    weir_err why;
    if (!record->value) return false;
    if (weir_serde_decode(t->codec.serde, record->value, record->value_len, row, NULL, &why)) {
        weir_log_err(WEIR_LOG_WARN, "an invitation to trials is not readable", &why);
        return false;
    }
    copy_text(&row[TRI_PIPELINE], pipeline, sizeof pipeline);
    if (strcmp(pipeline, t->pipeline->name) != 0) return false;
    *h = (heard){.from_us = row[TRI_FROM].i,
                 .to_us = row[TRI_TO].i,
                 .as_of_us = row[TRI_AS_OF].type == WEIR_T_I64 ? row[TRI_AS_OF].i : INT64_MAX,
                 .label_delay_us = row[TRI_LABEL_DELAY].i};
    copy_text(&row[TRI_STUDY], h->study, sizeof h->study);
    copy_text(&row[TRI_RUN_ID], h->run_id, sizeof h->run_id);
    copy_text(&row[TRI_TARGET], h->target, sizeof h->target);
    copy_text(&row[TRI_DATASET_DIGEST], h->dataset_digest, sizeof h->dataset_digest);
    copy_text(&row[TRI_RECIPE_DIGEST], h->recipe_digest, sizeof h->recipe_digest);
    copy_text(&row[TRI_TASK], task, sizeof task);
    digest_recipe(t->pipeline, own);
    if (strcmp(own, h->recipe_digest) != 0) {
        WEIR_WARN("an invitation is about another training section than this worker's", WEIR_S("study", h->study));
        return false;
    }
    return weir_task_find(task, &h->task);
}

static void remember(weir_trial_helper *t, const heard *h) {
    if (t->waiting_count == INVITATIONS_MAX) memmove(t->waiting, t->waiting + 1, --t->waiting_count * sizeof *t->waiting);
    t->waiting[t->waiting_count++] = *h;
}

static weir_status listen(weir_trial_helper *t, weir_err *err) {
    weir_bus_record records[16];
    size_t count = 0;
    heard h;
    weir_status status = weir_consumer_poll(t->consumer, records, 16, 0, &count, err);
    if (status) return status;
    for (size_t i = 0; i < count; i++)
        if (read_invitation(t, &records[i], &h)) remember(t, &h);
    weir_consumer_release(t->consumer, records, count);
    return WEIR_OK;
}

weir_status weir_trial_helper_tick(weir_trial_helper *t, bool idle, weir_err *err) {
    weir_status status = listen(t, err);
    if (status) return status;
    if (t->active && t->finished) join(t);
    if (t->active && !idle) t->cancel = true;
    if (!t->active && idle && t->waiting_count) start(t);
    return WEIR_OK;
}

/* ---- life ---- */

weir_status weir_trial_helper_new(weir_worker *worker, const weir_pipeline *pipeline, const weir_recipe *recipe, weir_registry *registry,
                                  weir_trial_helper **ret_trials, weir_err *err) {
    weir_trial_helper *t = calloc(1, sizeof *t);
    if (!t) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for trials");
    *t = (weir_trial_helper){.worker = worker, .env = weir_worker_env_of(worker), .pipeline = pipeline, .recipe = recipe};
    weir_status status = weir_event_codec_init(&t->codec, registry, "schemas/training_trial.avsc", WEIR_TOPIC_TRIALS, err);
    if (!status) status = weir_consumer_new_tail(t->env->brokers, (const char *const[]){WEIR_TOPIC_TRIALS}, 1, false, &t->consumer, err);
    if (!status)
        *ret_trials = t;
    else
        (void)!weir_trial_helper_free(t, 0);
    return status;
}

bool weir_trial_helper_free(weir_trial_helper *t, int drain_ms) {
    struct timespec deadline;
    if (!t) return true;
    if (t->active) {
        t->cancel = true;
        (void)clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += drain_ms / 1000;
        if (pthread_timedjoin_np(t->thread, NULL, &deadline) == ETIMEDOUT) {
            (void)pthread_detach(t->thread);
            return false;
        }
    }
    weir_consumer_free(t->consumer);
    weir_event_codec_done(&t->codec);
    free(t);
    return true;
}
