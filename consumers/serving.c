/* The serving state: one thread tails the features topics into LMDB, and weir.models and weir.rollouts into the arms; readers take snapshots of both. */
#include "consumers/serving.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/catalogue.h"
#include "consumers/changelog.h"
#include "consumers/events.h"
#include "consumers/rollout_state.h"
#include "core/log.h"
#include "core/metrics.h"
#include "models/model_cache.h"

enum { TAIL_BATCH = 4096, TAIL_POLL_MS = 20, ASK_FLUSH_MS = 2000, ASK_TIMEOUT_MS = 10000, TOPIC_MODELS = 0, TOPIC_ROLLOUTS };
#define RELOAD_AFTER_US (5 * WEIR_SECOND_US)
#define STATS_EVERY_US (5 * WEIR_SECOND_US)
#define ONLINE_MAX_BYTES (INT64_C(64) << 30)
#define MEMORY_BYTES (INT64_C(1) << 30)

/* What the newest alias event says an arm should serve. */
typedef struct wanted_model {
    weir_catalogue_entry of; /* version 0: nobody */
    int64_t event_id, moved_us; /* of the move that said so */
    bool dirty;
} wanted_model;

/* What weir.rollouts said last of this pipeline. */
typedef struct rollout_shares {
    struct {
        char version[96]; /* MODEL/VERSION; empty: none */
        double shares[WEIR_BUCKETS_MAX], shadow; /* by bucket; without a context the first */
    } challengers[WEIR_CHALLENGERS_MAX];
    int64_t at_us;
} rollout_shares;

/* A challenger that broke a guard: not used again before its alias is moved. */
typedef struct stopped_challenger {
    char challenger[96], guard[16]; /* empty: none */
    int64_t alias_us;
    bool asked; /* its rollback was asked for */
} stopped_challenger;

enum { ARM_CHAMPION, ARM_CHALLENGERS, ARM_COUNT = ARM_CHALLENGERS + WEIR_CHALLENGERS_MAX };

static const char *arm_name(int arm) {
    return arm == ARM_CHAMPION ? "champion" : weir_challenger_names[arm - ARM_CHALLENGERS];
}

/* What is known of one challenger. */
typedef struct challenger_slot {
    int64_t alias_us; /* when the alias of the challenger in arms was moved */
    stopped_challenger stopped;
    weir_guard guard;
    bool guarded; /* guard is there: made when the slot is first used */
} challenger_slot;

struct weir_serving {
    const weir_worker_env *env;
    const weir_pipeline *pipeline;
    weir_online *online;
    weir_view *views[WEIR_VIEWS_MAX];
    weir_features_codec codecs[WEIR_VIEWS_MAX];
    weir_entities *entities[WEIR_VIEWS_MAX];
    weir_changelog *logs[WEIR_VIEWS_MAX];
    char *topics[WEIR_VIEWS_MAX];
    uint32_t features_id; /* of the pipeline file: features that were stored under another are not used */
    int first_input[WEIR_VIEWS_MAX], event_columns, input_count;

    pthread_t thread;
    bool thread_started;
    _Atomic bool stop, ready, settled; /* features, and aliases, as they stood at start have been read, and the champion that those name is served */
    unsigned replicated; /* a bit for each view that the replica has */
    weir_consumer *features_tail, *models_tail; /* features_tail: NULL where no view is replicated */
    weir_event_codec model_events, rollout_events;
    weir_producer *producer; /* NULL until a guard is broken */
    weir_bus_record *records; /* [TAIL_BATCH] */
    weir_partition *positions; /* [views × partitions] scratch */
    int64_t *ends; /* [views][partitions] ends of the features topics at start; -1: reached */
    weir_partition *models_ends,
        *models_positions; /* [models_partitions] of weir.models and weir.rollouts: offset is where it ended at start, -1: reached; scratch */
    size_t models_partitions;
    wanted_model wanted[ARM_COUNT];
    int64_t reload_at_us, stats_at_us, fallback_at_us;
    weir_served *fallback; /* of serving.features, held so that who needs it does not wait for its loading; NULL: none, or it cannot be had */
    weir_model_cache *cache;
    weir_model_cache_stats told; /* of the cache, by the counters */

    pthread_mutex_t lock; /* guards what follows */
    weir_arms *arms;
    weir_catalogue catalogue;
    rollout_shares rollout;
    challenger_slot slots[WEIR_CHALLENGERS_MAX];
    weir_err failure;
};

/* ---- arms ---- */

/* An arm's model is shared by successive weir_arms values, so it is counted too: by moving it, never copying, the newest arms own it; old ones keep theirs alive. */
typedef struct served_box {
    weir_served served; /* first: a weir_served * is a served_box * */
    _Atomic int references;
    weir_model_cache *cache; /* of held */
    weir_held_model *held;
} served_box;

static void free_served(weir_served *served) {
    served_box *box = (served_box *)served;
    if (!served) return;
    weir_model_cache_give_back(box->cache, box->held);
    free(served->columns);
    free(box);
}

static weir_served *keep_served(weir_served *served) {
    if (served) ((served_box *)served)->references++;
    return served;
}

static void drop_served(weir_served *served) {
    if (served && --((served_box *)served)->references == 0) free_served(served);
}

void weir_served_drop(weir_served *served) {
    drop_served(served);
}

void weir_arms_drop(weir_arms *arms) {
    if (!arms || --arms->references > 0) return;
    drop_served(arms->champion);
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) drop_served(arms->challengers[c]);
    free(arms);
}

weir_arms *weir_serving_arms(weir_serving *serving) {
    pthread_mutex_lock(&serving->lock);
    weir_arms *arms = serving->arms;
    arms->references++;
    pthread_mutex_unlock(&serving->lock);
    return arms;
}

/* By request the time is part of what is drawn by. */
static double point_of(const weir_arms *arms, const char *salt, const char *key, size_t key_len, int64_t t_us) {
    char text[WEIR_KEY_MAX + 24];
    if (!arms->by_request || key_len > WEIR_KEY_MAX) return weir_split_point(salt, key, key_len);
    memcpy(text, key, key_len);
    return weir_split_point(salt, text, key_len + (size_t)snprintf(text + key_len, 24, "@%lld", (long long)t_us));
}

weir_status weir_arms_split_init(weir_arms_split *split, const double shares[WEIR_CHALLENGERS_MAX], int zones, weir_err *err) {
    double sum = 0;
    int sharing = 0, used;
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) {
        sum += shares[c];
        sharing += shares[c] > 0;
    }
    *split = (weir_arms_split){.champion_share = sum > 1 ? 0 : 1 - sum};
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) split->shares[c] = sum > 1 ? shares[c] / sum : shares[c];
    weir_status status = weir_split_map_init(&split->map, split->shares, zones, err);
    if (status) *split = (weir_arms_split){.champion_share = 1};
    if (status || sharing == (split->shares[0] > 0)) return status;
    used = snprintf(split->policy, sizeof split->policy, "champion %.9g", split->champion_share);
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) {
        if (split->shares[c] > 0)
            used += snprintf(split->policy + used, sizeof split->policy - (size_t)used, ",%s %.9g", weir_challenger_names[c], split->shares[c]);
    }
    return WEIR_OK;
}

const weir_served *weir_arms_choose(const weir_arms *arms, int bucket, const char *key, size_t key_len, int64_t t_us, double *ret_propensity) {
    const weir_arms_split *split = &arms->splits[bucket];
    *ret_propensity = 1;
    if (!arms->champion || !split->map.count) return arms->champion;
    int challenger = weir_split_map_at(&split->map, point_of(arms, arms->salt, key, key_len, t_us));
    *ret_propensity = challenger < 0 ? split->champion_share : split->shares[challenger];
    return challenger < 0 ? arms->champion : arms->challengers[challenger];
}

bool weir_arms_shadows(const weir_arms *arms, int challenger, const char *key, size_t key_len, int64_t t_us) {
    char salt[sizeof arms->salt + 16];
    if (!arms->challengers[challenger] || arms->shadows[challenger] <= 0) return false;
    snprintf(salt, sizeof salt, "%s/shadow", arms->salt);
    return arms->shadows[challenger] >= 1 || point_of(arms, salt, key, key_len, t_us) < arms->shadows[challenger];
}

static weir_status new_arms(const weir_pipeline *pipeline, weir_arms **ret_arms, weir_err *err) {
    weir_arms *arms = calloc(1, sizeof *arms);
    if (!arms) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the arms");
    arms->references = 1;
    arms->by_request = pipeline->rollout.by_request;
    arms->bucket_count = weir_rollout_bucket_count(&pipeline->rollout);
    arms->context_index = pipeline->rollout.context_index;
    for (int b = 0; b < WEIR_BUCKETS_MAX; b++) arms->splits[b].champion_share = 1;
    snprintf(arms->salt, sizeof arms->salt, "%s", pipeline->rollout.salt);
    snprintf(arms->context_salt, sizeof arms->context_salt, "%s/context", pipeline->rollout.salt); /* which bucket must say nothing about which arm */
    *ret_arms = arms;
    return WEIR_OK;
}

int weir_serving_input_count(const weir_serving *serving) {
    return serving->input_count;
}
int weir_serving_input_of_view(const weir_serving *serving, int view) {
    return serving->first_input[view];
}

const char *weir_serving_input_name(const weir_serving *serving, int index) {
    if (index < serving->event_columns) return weir_schema_field_at(serving->pipeline->events.schema, index)->name;
    int view = 0;
    while (view + 1 < serving->pipeline->view_count && index >= serving->first_input[view + 1]) view++;
    return serving->pipeline->views[view].features[index - serving->first_input[view]].name;
}

static int input_index(const weir_serving *serving, const char *name) {
    for (int i = 0; i < serving->input_count; i++)
        if (!strcmp(weir_serving_input_name(serving, i), name)) return i;
    return -1;
}

static double serving_threshold(const weir_pipeline *pipeline) {
    const cJSON *threshold = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(pipeline->json, "serving"), "threshold");
    return cJSON_IsNumber(threshold) ? threshold->valuedouble : 0.5;
}

/* Where the model finds its columns among the inputs, and which views those are of. */
static weir_status map_columns(const weir_serving *s, weir_served *served, weir_err *err) {
    int count = weir_model_column_count(served->model);
    if (!(served->columns = calloc((size_t)count, sizeof *served->columns))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for model %s", served->name);
    for (int i = 0; i < count; i++) {
        const char *name = weir_model_columns(served->model)[i];
        int at = served->columns[i] = input_index(s, name);
        if (at < 0)
            return WEIR_FAIL(err, WEIR_EDATA, "model %s version %d wants input %s, which pipeline %s does not have", served->name, served->version, name,
                             s->pipeline->name);
        for (int v = 0; v < s->pipeline->view_count; v++) {
            if (at >= s->first_input[v] && at < s->first_input[v] + s->pipeline->views[v].feature_count) served->views |= 1u << v;
        }
    }
    return WEIR_OK;
}

static weir_status load_served(const weir_serving *s, const weir_catalogue_entry *of, const char *arm, weir_served **ret_served, weir_err *err) {
    served_box *box = calloc(1, sizeof *box);
    if (!box) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for model %s", of->name);
    *box = (served_box){.references = 1, .cache = s->cache};
    weir_served *served = &box->served;
    snprintf(served->arm, sizeof served->arm, "%s", arm);
    snprintf(served->name, sizeof served->name, "%s", of->name);
    served->version = of->version;
    weir_status status = weir_model_cache_take(s->cache, of->digest, of->path, &box->held, err);
    if (status) weir_err_prefix(err, "model %s version %d", of->name, of->version);
    if (!status) served->model = weir_held_model_of(box->held);
    bool decides = !status && weir_model_task(served->model) == WEIR_TASK_BINARY;
    served->threshold = !decides ? NAN : isnan(of->threshold) ? serving_threshold(s->pipeline) : of->threshold;
    if (!status) status = map_columns(s, served, err);
    if (status)
        free_served(served);
    else
        *ret_served = served;
    return status;
}

weir_status weir_serving_find(weir_serving *serving, const char *what, const char *arm, weir_served **ret_served, weir_err *err) {
    weir_catalogue_entry of = {0};
    pthread_mutex_lock(&serving->lock);
    const weir_catalogue_entry *found = weir_catalogue_find(&serving->catalogue, what);
    if (found) of = *found;
    pthread_mutex_unlock(&serving->lock);
    if (!found) return WEIR_FAIL(err, WEIR_ENOTFOUND, "pipeline %s has no model or alias %s", serving->pipeline->name, what);
    return load_served(serving, &of, arm, ret_served, err);
}

static weir_metric *model_info(const weir_serving *s, const weir_served *served) {
    char version[16];
    snprintf(version, sizeof version, "%d", served->version);
    return WEIR_METRIC("weir_score_model_info", s->pipeline->name, served->arm, served->name, version, weir_model_digest(served->model));
}

static void name_version(char text[96], const char *model, int version) {
    snprintf(text, 96, "%.64s/%d", model, version);
}

/* A rollout's word holds for the version that it is about, unless the alias was set anew after it. Without one the first challenger has the share of the pipeline file. Locked. */
static void find_share(const weir_serving *s, const weir_served *challenger, int slot, int bucket, double *ret_share, double *ret_shadow) {
    char name[96];
    *ret_share = *ret_shadow = 0;
    if (!challenger) return;
    name_version(name, challenger->name, challenger->version);
    if (!strcmp(s->slots[slot].stopped.challenger, name)) return;
    for (int c = 0; c < WEIR_CHALLENGERS_MAX && s->rollout.at_us >= s->slots[slot].alias_us; c++) {
        if (strcmp(s->rollout.challengers[c].version, name) != 0) continue;
        *ret_share = s->rollout.challengers[c].shares[bucket];
        *ret_shadow = s->rollout.challengers[c].shadow;
        return;
    }
    if (slot == 0) *ret_share = s->pipeline->rollout.challenger_share;
}

/* Shares of a bucket, and the split by them. It has as many zones as the rollout has challengers, and at least one for each that has a share. Locked. */
static void set_split(const weir_serving *s, weir_arms *arms, int bucket) {
    double shares[WEIR_CHALLENGERS_MAX];
    int zones = 1;
    weir_err err;
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) {
        find_share(s, arms->challengers[c], c, bucket, &shares[c], &arms->shadows[c]);
        if (*s->rollout.challengers[c].version || shares[c] > 0) zones = c + 1;
    }
    if (weir_arms_split_init(&arms->splits[bucket], shares, zones, &err)) weir_log_err(WEIR_LOG_ERROR, "shares that cannot be split by", &err);
}

/* Locked. */
static void set_shares(const weir_serving *s, weir_arms *arms) {
    for (int b = 0; b < (arms->bucket_count ? arms->bucket_count : 1); b++) set_split(s, arms, b);
}

/* The same arms with the shares that hold now. `arms` is theirs; locked. Returns the old ones, to be dropped without the lock. */
static weir_arms *publish(weir_serving *s, weir_arms *arms) {
    weir_arms *old = s->arms;
    arms->champion = keep_served(old->champion);
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) arms->challengers[c] = keep_served(old->challengers[c]);
    set_shares(s, arms);
    s->arms = arms;
    return old;
}

/* The guard of a challenger that comes into its slot; all forget what they saw when the champion changes. Locked. */
static weir_status guard_anew(weir_serving *s, int arm, bool serves, weir_err *err) {
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) {
        challenger_slot *slot = &s->slots[c];
        if (arm == ARM_CHALLENGERS + c && serves && !slot->guarded) {
            weir_status status = weir_guard_init(&slot->guard, &s->pipeline->rollout, err);
            if (status) return status;
            slot->guarded = true;
        }
        if (slot->guarded && (arm == ARM_CHAMPION || arm == ARM_CHALLENGERS + c)) weir_guard_reset(&slot->guard);
    }
    return WEIR_OK;
}

/* Locked. */
static void take_slot(weir_serving *s, int arm) {
    challenger_slot *slot = &s->slots[arm - ARM_CHALLENGERS];
    slot->alias_us = s->wanted[arm].moved_us;
    if (slot->alias_us != slot->stopped.alias_us) slot->stopped = (stopped_challenger){0};
}

/* Publishes new arms in which `arm` is served by `served` (NULL: by nobody). */
static weir_status swap_arm(weir_serving *s, int arm, weir_served *served, weir_err *err) {
    weir_arms *arms = NULL;
    weir_status status = new_arms(s->pipeline, &arms, err);
    pthread_mutex_lock(&s->lock);
    if (!status) status = guard_anew(s, arm, served != NULL, err);
    if (status) {
        pthread_mutex_unlock(&s->lock);
        weir_arms_drop(arms);
        drop_served(served);
        return status;
    }
    weir_arms *old = s->arms;
    arms->champion = arm == ARM_CHAMPION ? served : keep_served(old->champion);
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) arms->challengers[c] = arm == ARM_CHALLENGERS + c ? served : keep_served(old->challengers[c]);
    if (arm != ARM_CHAMPION) take_slot(s, arm);
    set_shares(s, arms);
    s->arms = arms;
    pthread_mutex_unlock(&s->lock);
    weir_served *replaced = arm == ARM_CHAMPION ? old->champion : old->challengers[arm - ARM_CHALLENGERS];
    if (replaced) weir_metric_hide(model_info(s, replaced));
    if (served) weir_metric_set(model_info(s, served), 1);
    weir_arms_drop(old);
    return WEIR_OK;
}

/* ---- guards ---- */

/* Without memory for new arms the next rows try again. */
static void stop_challenger(weir_serving *s, const weir_served *served, int challenger, const char *guard) {
    challenger_slot *slot = &s->slots[challenger];
    weir_arms *arms = NULL, *old = NULL;
    weir_err err;
    if (new_arms(s->pipeline, &arms, &err)) return;
    pthread_mutex_lock(&s->lock);
    bool is_first = !*slot->stopped.challenger && s->arms->challengers[challenger] == served;
    if (is_first) {
        slot->stopped = (stopped_challenger){.alias_us = slot->alias_us};
        name_version(slot->stopped.challenger, served->name, served->version);
        snprintf(slot->stopped.guard, sizeof slot->stopped.guard, "%s", guard);
        old = publish(s, arms);
    }
    pthread_mutex_unlock(&s->lock);
    weir_arms_drop(is_first ? old : arms);
    if (!is_first) return;
    weir_metric_add(WEIR_METRIC("weir_rollout_guard_breaches_total", s->pipeline->name, guard), 1);
    WEIR_WARN("the challenger broke a guard and is not used any more", WEIR_S("model", served->name), WEIR_I("version", served->version),
              WEIR_S("guard", guard));
}

/* The guard that these rows break of one challenger; NULL: none. Locked. */
static const char *watch(weir_serving *s, int challenger, const weir_served *served, const weir_guard_rows *rows) {
    const weir_served *of = s->arms->challengers[challenger];
    challenger_slot *slot = &s->slots[challenger];
    if (!of || !slot->guarded || (served != of && served != s->arms->champion)) return NULL;
    const char *broken = weir_guard_add(&slot->guard, served == of, rows);
    return served == of && !*slot->stopped.challenger ? broken : NULL;
}

void weir_serving_note(weir_serving *s, const weir_served *served, const weir_guard_rows *rows) {
    const char *broken = NULL;
    int challenger = 0;
    if (rows->rows <= 0) return;
    pthread_mutex_lock(&s->lock);
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) {
        const char *one = watch(s, c, served, rows);
        if (!one) continue;
        broken = one;
        challenger = c;
    }
    pthread_mutex_unlock(&s->lock);
    if (broken) stop_challenger(s, served, challenger, broken);
}

static weir_status send_rollback(weir_serving *s, const stopped_challenger *stopped, weir_err *err) {
    char id[300], reason[96];
    int64_t now_us = weir_clock_wall_us(s->env->clock);
    snprintf(id, sizeof id, "%.64s/guard/%s/%lld/%.32s", s->pipeline->name, stopped->challenger, (long long)stopped->alias_us, s->env->instance);
    snprintf(reason, sizeof reason, "guard %s was broken in scorer %.32s", stopped->guard, s->env->instance);
    const weir_datum row[ROLL_COUNT] = {
        [ROLL_EVENT_ID] = weir_text(id),
        [ROLL_ROLLOUT_ID] = weir_text(""),
        [ROLL_PIPELINE] = weir_text(s->pipeline->name),
        [ROLL_AT] = weir_i64(now_us),
        [ROLL_TYPE] = weir_text("ask.rollback"),
        [ROLL_STATE] = weir_text(""),
        [ROLL_CHAMPION] = weir_null(),
        [ROLL_CHALLENGER] = weir_text(stopped->challenger),
        [ROLL_SHARE] = weir_f64(0),
        [ROLL_ACTOR] = weir_text("guard"),
        [ROLL_REASON] = weir_text(reason),
        [ROLL_EVIDENCE] = weir_text("{}"),
        [ROLL_ARMS] = weir_text("[]"),
        [ROLL_SHADOW] = weir_bool(false),
    };
    weir_status status = s->producer ? WEIR_OK : weir_producer_new(s->env->brokers, "weir-guard", &s->producer, err);
    if (!status)
        status = weir_event_send(&s->rollout_events, s->producer, WEIR_TOPIC_ROLLOUTS, s->pipeline->name, "weir.rollout.ask.rollback", id, now_us, row, err);
    return status ? status : weir_producer_flush(s->producer, ASK_FLUSH_MS, err);
}

/* Once for each challenger that was stopped; a question that could not be sent is asked again. */
static weir_status ask_for_rollback(weir_serving *s, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int c = 0; !status && c < WEIR_CHALLENGERS_MAX; c++) {
        challenger_slot *slot = &s->slots[c];
        pthread_mutex_lock(&s->lock);
        const stopped_challenger stopped = slot->stopped;
        pthread_mutex_unlock(&s->lock);
        if (!*stopped.challenger || stopped.asked || (status = send_rollback(s, &stopped, err))) continue;
        pthread_mutex_lock(&s->lock);
        slot->stopped.asked = true;
        pthread_mutex_unlock(&s->lock);
    }
    return status;
}

/* Loads what the events asked for. A model that cannot be loaded leaves the arm as it is and is tried again later. */
static void apply_wanted(weir_serving *s, int64_t now_us) {
    if (now_us < s->reload_at_us) return;
    for (int arm = 0; arm < ARM_COUNT; arm++) {
        wanted_model *wanted = &s->wanted[arm];
        if (!wanted->dirty) continue;
        weir_err err;
        weir_served *served = NULL;
        weir_status status = wanted->of.version ? load_served(s, &wanted->of, arm_name(arm), &served, &err) : WEIR_OK;
        if (!status) status = swap_arm(s, arm, served, &err);
        if (status) {
            weir_log_err(WEIR_LOG_ERROR, "a model could not be swapped in; the arm stays as it is", &err);
            s->reload_at_us = now_us + RELOAD_AFTER_US;
            continue;
        }
        wanted->dirty = false;
        weir_metric_observe(WEIR_METRIC("weir_score_swap_seconds", s->pipeline->name), (double)(weir_clock_mono_us(s->env->clock) - now_us) / 1e6);
        WEIR_INFO("serving", WEIR_S("arm", arm_name(arm)), WEIR_S("model", wanted->of.version ? wanted->of.name : "nobody"),
                  WEIR_I("version", wanted->of.version));
    }
}

/* Scoring finds it in memory, then: what loads a model waits for it, and this thread may. */
static void hold_fallback(weir_serving *s, int64_t now_us) {
    weir_served *fallback = NULL;
    weir_err err;
    if (!s->pipeline->serving.fallback || now_us < s->fallback_at_us) return;
    s->fallback_at_us = now_us + RELOAD_AFTER_US;
    weir_status status = weir_serving_find(s, s->pipeline->serving.fallback, "fallback", &fallback, &err);
    if (status && status != WEIR_ENOTFOUND) weir_log_err(WEIR_LOG_WARN, "the fallback cannot be loaded", &err);
    drop_served(s->fallback);
    s->fallback = fallback;
}

static void copy_text(char *out, size_t size, const weir_datum *text) {
    snprintf(out, size, "%.*s", text->type == WEIR_T_STR ? (int)text->len : 0, text->type == WEIR_T_STR ? text->p : "");
}

static bool is_text(const weir_datum *d, const char *text) {
    return d->type == WEIR_T_STR && d->len == strlen(text) && !memcmp(d->p, text, d->len);
}

/* Of the signature in an alias event; NaN where a version was registered without one. */
static double threshold_of(const weir_datum *payload) {
    cJSON *json = payload->type == WEIR_T_STR ? cJSON_ParseWithLength(payload->p, payload->len) : NULL;
    const cJSON *threshold = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "signature"), "threshold");
    double value = cJSON_IsNumber(threshold) ? threshold->valuedouble : NAN;
    cJSON_Delete(json);
    return value;
}

/* A repeat of a move that a later one has followed, as a broker that was away can make it. A database that was made anew counts from 1 again, but later. */
static bool is_late(const wanted_model *wanted, const weir_datum row[MOD_COUNT]) {
    return row[MOD_ID].i < wanted->event_id && row[MOD_AT].i <= wanted->moved_us;
}

static weir_catalogue_entry entry_of(const weir_datum row[MOD_COUNT], bool of_alias) {
    weir_catalogue_entry entry = {.version = row[MOD_MODEL].type == WEIR_T_NULL ? 0 : (int)row[MOD_VERSION].i, .threshold = threshold_of(&row[MOD_PAYLOAD])};
    if (of_alias) copy_text(entry.alias, sizeof entry.alias, &row[MOD_ALIAS]);
    copy_text(entry.name, sizeof entry.name, &row[MOD_MODEL]);
    copy_text(entry.digest, sizeof entry.digest, &row[MOD_DIGEST]);
    copy_text(entry.path, sizeof entry.path, &row[MOD_ARTIFACT]);
    return entry;
}

/* All versions and aliases of the pipeline, those of arms among them. */
static weir_status take_into_catalogue(weir_serving *s, const weir_datum row[MOD_COUNT], const weir_catalogue_entry *entry, weir_err *err) {
    weir_status status = WEIR_OK;
    pthread_mutex_lock(&s->lock);
    if (is_text(&row[MOD_TYPE], "version.deleted"))
        weir_catalogue_drop_version(&s->catalogue, entry->name, entry->version);
    else if (*entry->alias && !entry->version)
        weir_catalogue_drop_alias(&s->catalogue, entry->alias);
    else if (entry->version && (*entry->alias || is_text(&row[MOD_TYPE], "version.registered")))
        status = weir_catalogue_put(&s->catalogue, entry, err);
    pthread_mutex_unlock(&s->lock);
    return status;
}

static weir_status take_model_event(weir_serving *s, const weir_bus_record *record, weir_err *err) {
    weir_datum row[MOD_COUNT];
    if (!record->value) return WEIR_OK;
    weir_status status = weir_serde_decode(s->model_events.serde, record->value, record->value_len, row, NULL, err);
    if (status) return status;
    if (!is_text(&row[MOD_PIPELINE], s->pipeline->name)) return WEIR_OK;
    bool moved = is_text(&row[MOD_TYPE], "alias.moved");
    const weir_catalogue_entry entry = entry_of(row, moved);
    if ((status = take_into_catalogue(s, row, &entry, err))) return status;
    for (int arm = 0; moved && arm < ARM_COUNT; arm++) {
        wanted_model *wanted = &s->wanted[arm];
        if (!is_text(&row[MOD_ALIAS], arm_name(arm)) || is_late(wanted, row)) continue;
        *wanted = (wanted_model){.of = entry, .event_id = row[MOD_ID].i, .moved_us = row[MOD_AT].i, .dirty = true};
        s->reload_at_us = 0;
    }
    return WEIR_OK;
}

/* A challenger's share in each bucket: its share of all where the event does not speak of these buckets. */
static void read_buckets(const cJSON *arm, int bucket_count, double shares[WEIR_BUCKETS_MAX]) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(arm, "shares");
    bool by_bucket = bucket_count && cJSON_GetArraySize(list) == bucket_count;
    for (int b = 0; b < WEIR_BUCKETS_MAX; b++)
        shares[b] = cJSON_GetNumberValue(by_bucket && b < bucket_count ? cJSON_GetArrayItem(list, b) : cJSON_GetObjectItemCaseSensitive(arm, "share"));
}

/* Of every challenger; an event from before there were several says the first one's share. */
static weir_status read_shares(const weir_datum row[ROLL_COUNT], int bucket_count, rollout_shares *ret_shares, weir_err *err) {
    rollout_shares shares = {.at_us = row[ROLL_AT].i};
    cJSON *arms = cJSON_ParseWithLength(row[ROLL_ARMS].p, row[ROLL_ARMS].len), *arm;
    int count = 0;
    if (!cJSON_IsArray(arms)) {
        cJSON_Delete(arms);
        return WEIR_REJECT(err, WEIR_EDATA, "the arms of a rollout are no JSON array");
    }
    cJSON_ArrayForEach(arm, arms) {
        const char *version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(arm, "version"));
        if (!version || count == WEIR_CHALLENGERS_MAX) continue;
        snprintf(shares.challengers[count].version, sizeof shares.challengers[count].version, "%s", version);
        read_buckets(arm, bucket_count, shares.challengers[count].shares);
        shares.challengers[count++].shadow = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(arm, "shadow"));
    }
    cJSON_Delete(arms);
    if (!count) {
        copy_text(shares.challengers[0].version, sizeof shares.challengers[0].version, &row[ROLL_CHALLENGER]);
        for (int b = 0; b < WEIR_BUCKETS_MAX; b++) shares.challengers[0].shares[b] = row[ROLL_SHARE].f;
    }
    *ret_shares = shares;
    return WEIR_OK;
}

static weir_status take_rollout_event(weir_serving *s, const weir_bus_record *record, weir_err *err) {
    weir_datum row[ROLL_COUNT];
    rollout_shares shares;
    weir_arms *arms = NULL;
    if (!record->value) return WEIR_OK;
    weir_status status = weir_serde_decode(s->rollout_events.serde, record->value, record->value_len, row, NULL, err);
    if (status) return status;
    bool asks = row[ROLL_TYPE].len >= 4 && !memcmp(row[ROLL_TYPE].p, "ask.", 4);
    if (!is_text(&row[ROLL_PIPELINE], s->pipeline->name) || asks || row[ROLL_CHALLENGER].type != WEIR_T_STR) return WEIR_OK;
    if ((status = read_shares(row, weir_rollout_bucket_count(&s->pipeline->rollout), &shares, err)) || (status = new_arms(s->pipeline, &arms, err)))
        return status;
    pthread_mutex_lock(&s->lock);
    s->rollout = shares;
    weir_arms *old = publish(s, arms);
    pthread_mutex_unlock(&s->lock);
    weir_arms_drop(old);
    return WEIR_OK;
}

/* After a failure: the first record of each partition is where it goes on. Returns what failed, or that going back did. */
static weir_status go_back(weir_consumer *consumer, const weir_bus_record *records, size_t count, weir_status failed, weir_err *err) {
    for (size_t i = count; i-- > 0;) {
        weir_err why;
        weir_status status = weir_consumer_seek(consumer, records[i].topic, records[i].partition, records[i].offset, &why);
        if (status) return WEIR_FAIL(err, status, "cannot go back after a failure: %s", why.message);
    }
    return failed;
}

static weir_status poll_models(weir_serving *s, weir_err *err) {
    size_t count = 0;
    weir_status status = weir_consumer_poll(s->models_tail, s->records, TAIL_BATCH, 0, &count, err);
    for (size_t i = 0; !status && i < count; i++) {
        status = s->records[i].topic_index == TOPIC_ROLLOUTS ? take_rollout_event(s, &s->records[i], err) : take_model_event(s, &s->records[i], err);
        if (status && err->action == WEIR_ACTION_REJECT) { /* somebody else's bytes on a control topic must not stop serving */
            weir_log_err(WEIR_LOG_WARN, "an unreadable record on a control topic was passed over", err);
            status = WEIR_OK;
        }
    }
    if (status) status = go_back(s->models_tail, s->records, count, status, err); /* an alias that is passed over would never be served */
    weir_consumer_release(s->models_tail, s->records, count);
    if (!status && count < TAIL_BATCH) {
        apply_wanted(s, weir_clock_mono_us(s->env->clock));
        hold_fallback(s, weir_clock_mono_us(s->env->clock));
    }
    return status;
}

/* ---- replica ---- */

/* What values changed goes into the store, where readers find it. An entity whose earlier values were compacted away waits for its snapshot. */
static weir_status write_dirty(weir_serving *s, int view, weir_err *err) {
    weir_entities *entities = s->entities[view];
    weir_status status = WEIR_OK;
    for (int segment = 0; segment < WEIR_ENTITY_SEGMENTS; segment++)
        for (size_t i = 0; !status && i < weir_entities_dirty_in(entities, segment); i++) {
            weir_entity *entity = weir_entities_dirty_at(entities, segment, i);
            if (!entity->gap) status = weir_changelog_put(s->logs[view], entity, NULL, err);
        }
    return status;
}

static weir_status replicate(weir_serving *s, size_t count, weir_err *err) {
    weir_status status = WEIR_OK;
    for (size_t i = 0, first = 0; !status && i < count; first = i) {
        while (i < count && s->records[i].topic_index == s->records[first].topic_index) i++;
        status = weir_changelog_apply(s->logs[s->records[first].topic_index], s->records + first, i - first, err);
    }
    for (int v = 0; !status && v < s->pipeline->view_count; v++) status = write_dirty(s, v, err);
    for (size_t i = 0; !status && i < count; i++) {
        const weir_bus_record *r = &s->records[i];
        if (i + 1 < count && r[1].topic_index == r->topic_index && r[1].partition == r->partition) continue;
        status = weir_online_put_offset(s->online, r->topic, r->partition, r->offset + 1, err);
        if (!status) status = weir_changelog_put_epoch(s->logs[r->topic_index], r->topic, r->partition, err);
    }
    return status;
}

static weir_status replicate_batch(weir_serving *s, size_t count, weir_err *err) {
    weir_status status = weir_online_begin(s->online, err);
    if (status) return status;
    status = replicate(s, count, err);
    if (status)
        weir_online_abort(s->online);
    else
        status = weir_online_commit(s->online, err);
    for (int v = 0; v < s->pipeline->view_count; v++) {
        if (status)
            weir_entities_clear(s->entities[v]); /* what they have may not be in the store */
        else
            weir_entities_clean_all(s->entities[v]);
        weir_entities_evict(s->entities[v]);
    }
    if (!status) return WEIR_OK;
    weir_err why;
    for (size_t i = 0; i < count; i++) {
        const weir_bus_record *r = &s->records[i];
        if (i && r[-1].topic_index == r->topic_index && r[-1].partition == r->partition) continue;
        if (weir_changelog_get_epoch(s->logs[r->topic_index], r->topic, r->partition, &why)) return WEIR_FAIL(err, why.code, "%s", why.message);
    }
    return go_back(s->features_tail, s->records, count, status, err);
}

static bool models_were_read(weir_serving *s) {
    size_t count = weir_consumer_assignment(s->models_tail, s->models_positions, s->models_partitions), missing = 0;
    for (size_t m = 0; m < s->models_partitions; m++) {
        weir_partition *end = &s->models_ends[m];
        for (size_t i = 0; i < count && i < s->models_partitions; i++)
            if (s->models_positions[i].topic_index == end->topic_index && s->models_positions[i].partition == end->partition &&
                s->models_positions[i].offset >= end->offset)
                end->offset = -1;
        missing += end->offset >= 0;
    }
    return !missing;
}

/* Have all ends known at start been reached? */
static void note_progress(weir_serving *s) {
    size_t total = (size_t)s->pipeline->view_count * (size_t)s->pipeline->partitions, missing = 0;
    size_t count = s->features_tail ? weir_consumer_assignment(s->features_tail, s->positions, total) : 0;
    for (size_t i = 0; i < count && i < total; i++) {
        const weir_partition *at = &s->positions[i];
        int64_t *end = &s->ends[at->topic_index * s->pipeline->partitions + at->partition];
        if (*end >= 0 && at->offset >= *end) *end = -1;
    }
    for (size_t i = 0; i < total; i++) missing += s->ends[i] >= 0;
    if (!missing) s->ready = true;
}

static weir_status poll_features(weir_serving *s, weir_err *err) {
    size_t count = 0;
    if (!s->features_tail) {
        weir_clock_sleep_us(s->env->clock, 1000 * TAIL_POLL_MS);
        return WEIR_OK;
    }
    weir_status status = weir_consumer_poll(s->features_tail, s->records, TAIL_BATCH, TAIL_POLL_MS, &count, err);
    if (!status && count) status = replicate_batch(s, count, err);
    weir_consumer_release(s->features_tail, s->records, count);
    return status;
}

static void report_models(weir_serving *s) {
    const char *pipeline = s->pipeline->name;
    const weir_model_cache_stats now = weir_model_cache_stats_of(s->cache);
    weir_metric_set(WEIR_METRIC("weir_model_cache_models", pipeline), (double)now.models);
    weir_metric_set(WEIR_METRIC("weir_model_cache_bytes", pipeline), (double)now.bytes);
    weir_metric_set(WEIR_METRIC("weir_model_cache_budget_bytes", pipeline), (double)s->pipeline->serving.model_memory_bytes);
    weir_metric_add(WEIR_METRIC("weir_model_cache_loads_total", pipeline, "loaded"), (double)(now.loads - s->told.loads));
    weir_metric_add(WEIR_METRIC("weir_model_cache_loads_total", pipeline, "failed"), (double)(now.failures - s->told.failures));
    weir_metric_add(WEIR_METRIC("weir_model_cache_evictions_total", pipeline), (double)(now.evictions - s->told.evictions));
    s->told = now;
}

static weir_status report_stats(weir_serving *s, weir_err *err) {
    int64_t now_us = weir_clock_mono_us(s->env->clock), entities, of_view, bytes = 0;
    if (now_us < s->stats_at_us) return WEIR_OK;
    s->stats_at_us = now_us + STATS_EVERY_US;
    report_models(s);
    for (int v = 0; v < s->pipeline->view_count; v++) {
        if (!(s->replicated >> v & 1)) continue;
        weir_status status = weir_online_stats(s->online, v, &entities, &of_view, err);
        if (status) return status;
        bytes += of_view;
        weir_metric_set(WEIR_METRIC("weir_online_entities", s->pipeline->name, s->pipeline->views[v].name, "serving"), (double)entities);
    }
    weir_metric_set(WEIR_METRIC("weir_online_bytes", s->pipeline->name, "serving"), (double)bytes);
    return WEIR_OK;
}

static void *tail(void *context) {
    weir_serving *s = context;
    const weir_log_field fields[] = {WEIR_S("worker", "serving"), WEIR_S("pipeline", s->pipeline->name)};
    weir_log_context(fields, 2);
    int64_t backoff_us = 100000;
    while (!s->stop) {
        weir_err err;
        weir_status status = poll_features(s, &err);
        if (!status) status = poll_models(s, &err);
        if (!status) status = ask_for_rollback(s, &err);
        if (!status && !s->ready) note_progress(s);
        if (!status && !s->settled) s->settled = models_were_read(s) && !s->wanted[ARM_CHAMPION].dirty;
        if (!status) status = report_stats(s, &err);
        if (!status) {
            backoff_us = 100000;
        } else if (err.action == WEIR_ACTION_RETRY) {
            weir_log_err(WEIR_LOG_WARN, "serving state falls behind, trying again", &err);
            weir_clock_sleep_us(s->env->clock, backoff_us);
            if (backoff_us < 10 * WEIR_SECOND_US) backoff_us *= 2;
        } else {
            weir_log_err(WEIR_LOG_ERROR, "the serving state can no longer be kept", &err);
            pthread_mutex_lock(&s->lock);
            s->failure = err;
            pthread_mutex_unlock(&s->lock);
            break;
        }
    }
    return NULL;
}

/* ---- life ---- */

/* How far weir.models and weir.rollouts reach now. */
static weir_status find_models_ends(weir_serving *s, weir_err *err) {
    s->models_partitions = weir_consumer_assignment(s->models_tail, NULL, 0);
    s->models_ends = calloc(s->models_partitions + 1, sizeof *s->models_ends);
    s->models_positions = calloc(s->models_partitions + 1, sizeof *s->models_positions);
    if (!s->models_ends || !s->models_positions) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the tails");
    (void)weir_consumer_assignment(s->models_tail, s->models_ends, s->models_partitions);
    (void)weir_consumer_assignment(s->models_tail, s->models_positions, s->models_partitions);
    weir_status status = weir_consumer_firsts(s->models_tail, s->models_positions, s->models_partitions, ASK_TIMEOUT_MS, err);
    if (!status) status = weir_consumer_ends(s->models_tail, s->models_ends, s->models_partitions, ASK_TIMEOUT_MS, err);
    for (size_t i = 0; !status && i < s->models_partitions; i++)
        if (s->models_positions[i].offset == s->models_ends[i].offset) s->models_ends[i].offset = -1;
    return status;
}

/* Where the replica of a partition goes on; from: its first offset, then that. end: how far the topic reaches now. */
static weir_status find_start(weir_serving *s, weir_partition *from, int64_t end, weir_err *err) {
    int64_t next = -1;
    weir_status status = weir_online_offset(s->online, from->topic, from->partition, &next, err);
    if (!status) status = weir_changelog_get_epoch(s->logs[from->topic_index], from->topic, from->partition, err);
    if (status) return status;
    if (next > end)
        return WEIR_FAIL(err, WEIR_ECONFLICT, "the replica is ahead of %s [%d] (%lld > %lld): the topic was made anew; remove the state directory", from->topic,
                         from->partition, (long long)next, (long long)end);
    if (from->offset < next) from->offset = next;
    if (from->offset < end) s->ends[from->topic_index * s->pipeline->partitions + from->partition] = end;
    return WEIR_OK;
}

/* Of all partitions together: one by one each would cost the start of a worker two round trips. */
static weir_status open_features_tail(weir_serving *s, weir_partition *from, weir_partition *ends, weir_err *err) {
    size_t count = 0;
    for (int i = 0; i < s->pipeline->view_count * s->pipeline->partitions; i++) {
        int view = i / s->pipeline->partitions;
        s->ends[i] = -1;
        if (s->replicated >> view & 1)
            from[count++] = (weir_partition){.topic = s->topics[view], .topic_index = view, .partition = i % s->pipeline->partitions};
    }
    if (!count) return WEIR_OK;
    memcpy(ends, from, sizeof *from * count);
    weir_status status = weir_consumer_firsts(s->models_tail, from, count, ASK_TIMEOUT_MS, err);
    if (!status) status = weir_consumer_ends(s->models_tail, ends, count, ASK_TIMEOUT_MS, err);
    for (size_t i = 0; !status && i < count; i++) status = find_start(s, &from[i], ends[i].offset, err);
    return status ? status : weir_consumer_new_assigned(s->env->brokers, from, count, &s->features_tail, err);
}

static weir_status open_tails(weir_serving *s, weir_err *err) {
    size_t total = (size_t)s->pipeline->view_count * (size_t)s->pipeline->partitions;
    weir_partition *from = calloc(total, sizeof *from), *ends = calloc(total, sizeof *ends);
    s->ends = calloc(total, sizeof *s->ends);
    s->positions = calloc(total, sizeof *s->positions);
    s->records = calloc(TAIL_BATCH, sizeof *s->records);
    const char *const control[] = {[TOPIC_MODELS] = WEIR_TOPIC_MODELS, [TOPIC_ROLLOUTS] = WEIR_TOPIC_ROLLOUTS};
    weir_status status = from && ends && s->ends && s->positions && s->records
                             ? weir_consumer_new_tail(s->env->brokers, control, 2, false, &s->models_tail, err)
                             : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the tails");
    if (!status) status = find_models_ends(s, err);
    if (!status) status = open_features_tail(s, from, ends, err);
    free(from);
    free(ends);
    return status;
}

static weir_status init_views(weir_serving *s, weir_registry *registry, weir_err *err) {
    s->event_columns = weir_schema_field_count(s->pipeline->events.schema);
    s->input_count = s->event_columns;
    for (int v = 0; v < s->pipeline->view_count; v++) {
        const weir_view_def *def = &s->pipeline->views[v];
        s->first_input[v] = s->input_count;
        s->input_count += def->feature_count;
        if (!(s->topics[v] = weir_topic_features(s->pipeline, def))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a topic name");
        weir_status status = weir_view_new(s->pipeline, def, &s->views[v], err);
        if (!status) status = weir_features_codec_init(&s->codecs[v], registry, s->pipeline, def, err);
        if (status) return status;
    }
    weir_status status = weir_event_codec_init(&s->model_events, registry, "schemas/model_event.avsc", WEIR_TOPIC_MODELS, err);
    return status ? status : weir_event_codec_init(&s->rollout_events, registry, "schemas/rollout.avsc", WEIR_TOPIC_ROLLOUTS, err);
}

/* Of all that features are computed by: another pipeline file or program may compute others. */
static weir_status identify_features(weir_serving *s, weir_err *err) {
    static const char version[] = WEIR_VERSION;
    char *text = cJSON_PrintUnformatted(s->pipeline->json);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the text of pipeline %s", s->pipeline->name);
    s->features_id = weir_entities_hash(text, strlen(text)) ^ weir_entities_hash(version, sizeof version - 1);
    cJSON_free(text);
    return WEIR_OK;
}

/* What needs the online store. */
static weir_status init_logs(weir_serving *s, weir_err *err) {
    int64_t memory = (s->env->memory_bytes > 0 ? s->env->memory_bytes : MEMORY_BYTES) / (s->pipeline->view_count ? s->pipeline->view_count : 1);
    weir_status status = identify_features(s, err);
    for (int v = 0; !status && v < s->pipeline->view_count; v++) {
        status = weir_entities_new((size_t)memory, &s->entities[v], err);
        if (!status)
            status = weir_changelog_new(s->views[v], &s->codecs[v], s->online, v, s->entities[v], s->pipeline->partitions, NULL, NULL, &s->logs[v], err);
        if (!status) status = weir_changelog_keep_features(s->logs[v], s->features_id, err);
    }
    return status;
}

weir_status weir_serving_start(const weir_worker_env *env, const weir_pipeline *pipeline, weir_registry *registry, unsigned views, const char *name,
                               weir_serving **ret_serving, weir_err *err) {
    weir_serving *s = calloc(1, sizeof *s);
    if (!s) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the serving state");
    s->env = env;
    s->pipeline = pipeline;
    s->replicated = views;
    pthread_mutex_init(&s->lock, NULL);
    const weir_model_cache_settings models = {
        .objects_dir = env->objects_dir, .budget_bytes = pipeline->serving.model_memory_bytes, .retry_us = RELOAD_AFTER_US / 2, .clock = env->clock};
    weir_status status = new_arms(pipeline, &s->arms, err);
    if (!status) status = weir_model_cache_new(&models, &s->cache, err);
    if (!status) status = init_views(s, registry, err);
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/%s/%s-%s", env->state_dir, pipeline->name, name, env->instance);
    if (!status) status = weir_online_open(dir, ONLINE_MAX_BYTES, &s->online, err);
    if (!status) status = init_logs(s, err);
    if (!status) status = open_tails(s, err);
    if (!status && pthread_create(&s->thread, NULL, tail, s)) status = WEIR_FAIL(err, WEIR_ELIMIT, "cannot start the serving thread");
    if (status) {
        weir_serving_stop(s);
        return status;
    }
    s->thread_started = true;
    *ret_serving = s;
    return WEIR_OK;
}

void weir_serving_stop(weir_serving *s) {
    if (!s) return;
    s->stop = true;
    if (s->thread_started) pthread_join(s->thread, NULL);
    weir_consumer_free(s->features_tail);
    weir_consumer_free(s->models_tail);
    weir_producer_free(s->producer);
    weir_event_codec_done(&s->model_events);
    weir_event_codec_done(&s->rollout_events);
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) {
        if (s->slots[c].guarded) weir_guard_done(&s->slots[c].guard);
    }
    for (int v = 0; v < WEIR_VIEWS_MAX; v++) {
        weir_changelog_free(s->logs[v]);
        weir_entities_free(s->entities[v]);
        weir_view_free(s->views[v]);
        weir_features_codec_done(&s->codecs[v]);
        free(s->topics[v]);
    }
    weir_arms_drop(s->arms);
    drop_served(s->fallback);
    weir_catalogue_done(&s->catalogue);
    weir_model_cache_free(s->cache);
    weir_online_close(s->online);
    free(s->records);
    free(s->positions);
    free(s->ends);
    free(s->models_ends);
    free(s->models_positions);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

bool weir_serving_ready(const weir_serving *s) {
    return s->ready;
}

bool weir_serving_settled(const weir_serving *s) {
    return s->settled;
}
weir_online *weir_serving_online(weir_serving *s) {
    return s->online;
}
weir_view *const *weir_serving_views(const weir_serving *s) {
    return s->views;
}

weir_status weir_serving_check(weir_serving *s, weir_err *err) {
    pthread_mutex_lock(&s->lock);
    weir_err failure = s->failure;
    pthread_mutex_unlock(&s->lock);
    if (failure.code && err) *err = failure;
    return failure.code;
}

/* ---- readers ---- */

struct weir_serving_reader {
    weir_serving *serving;
    weir_online_reader *online;
    weir_state state; /* scratch */
    double *slots; /* scratch: as many as the view with most has */
};

weir_status weir_serving_reader_new(weir_serving *serving, weir_serving_reader **ret_reader, weir_err *err) {
    weir_serving_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a reader");
    reader->serving = serving;
    int slots = 0;
    for (int v = 0; v < serving->pipeline->view_count; v++)
        if (weir_view_slot_count(serving->views[v]) > slots) slots = weir_view_slot_count(serving->views[v]);
    reader->slots = calloc((size_t)slots + 1, sizeof *reader->slots);
    weir_status status = reader->slots ? weir_online_reader_new(serving->online, &reader->online, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a reader");
    if (status)
        weir_serving_reader_free(reader);
    else
        *ret_reader = reader;
    return status;
}

void weir_serving_reader_free(weir_serving_reader *reader) {
    if (!reader) return;
    weir_online_reader_free(reader->online);
    weir_state_done(&reader->state);
    free(reader->slots);
    free(reader);
}

weir_status weir_serving_read_begin(weir_serving_reader *reader, weir_err *err) {
    return weir_online_read_begin(reader->online, err);
}
void weir_serving_read_end(weir_serving_reader *reader) {
    weir_online_read_end(reader->online);
}

/* The entity's value in the store; an entity that is not there has an empty state. */
static weir_status find(weir_serving_reader *reader, int view, const char *key, size_t key_len, weir_online_value *ret_value, weir_view_read *ret_read,
                        weir_err *err) {
    weir_status status = weir_online_read(reader->online, view, key, key_len, ret_value, err);
    if (status && status != WEIR_ENOTFOUND) return status;
    *ret_read = (weir_view_read){.newest_us = INT64_MIN};
    if (!status)
        *ret_read = (weir_view_read){.found = true,
                                     .source = ret_value->source,
                                     .event_time_us = ret_value->event_time_us,
                                     .version = ret_value->version,
                                     .newest_us = ret_value->newest_us};
    return WEIR_OK;
}

/* The features that stand beside the state; false when there are none, or of other definitions. */
static bool take_stored(const weir_serving_reader *reader, int view, const weir_online_value *value, double *out) {
    const weir_serving *s = reader->serving;
    if (value->features_id != s->features_id || value->feature_count != s->pipeline->views[view].feature_count) return false;
    memcpy(out, value->features, (size_t)value->feature_count * sizeof *out);
    return true;
}

/* The state of a value that was found, else an empty one. */
static weir_status take_state(weir_serving_reader *reader, int view, const weir_online_value *value, const weir_view_read *read, weir_err *err) {
    if (read->found) return weir_state_decode(reader->serving->views[view], value->state, value->state_len, &reader->state, err);
    weir_state_clear(&reader->state);
    return WEIR_OK;
}

weir_status weir_serving_read_view(weir_serving_reader *reader, int view, const char *key, size_t key_len, int64_t t_us, const weir_datum *row, double *out,
                                   weir_view_read *ret_read, weir_err *err) {
    weir_view *v = reader->serving->views[view];
    weir_online_value value;
    weir_status status = find(reader, view, key, key_len, &value, ret_read, err);
    if (status) return status;
    bool stored =
        ret_read->found && !row && weir_view_def_of(v)->at == WEIR_AT_EVENT && t_us >= value.newest_us && !weir_view_expired(v, value.newest_us, t_us);
    if (stored && take_stored(reader, view, &value, out)) return WEIR_OK;
    if ((status = take_state(reader, view, &value, ret_read, err))) return status;
    if (row && weir_view_reaches(v, &reader->state, t_us)) {
        weir_applied applied;
        const weir_source last = {INT32_MAX, INT64_MAX};
        weir_view_slots(v, row, reader->slots);
        if ((status = weir_view_apply(v, &reader->state, t_us, last, reader->slots, 0, &applied, NULL, err))) return status;
    }
    ret_read->answer = weir_view_ask(v, &reader->state, t_us, NULL, out, &ret_read->newest_us);
    return WEIR_OK;
}

weir_status weir_serving_read_newest(weir_serving_reader *reader, int view, const char *key, size_t key_len, double *out, weir_view_read *ret_read,
                                     weir_err *err) {
    weir_view *v = reader->serving->views[view];
    weir_online_value value;
    weir_source source;
    weir_status status = find(reader, view, key, key_len, &value, ret_read, err);
    if (status || (ret_read->found && take_stored(reader, view, &value, out))) return status;
    if ((status = take_state(reader, view, &value, ret_read, err))) return status;
    if (!weir_state_newest(&reader->state, &source, &ret_read->newest_us)) ret_read->newest_us = INT64_MIN;
    weir_view_eval(v, &reader->state, ret_read->newest_us, NULL, out);
    return WEIR_OK;
}
