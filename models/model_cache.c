/* A list from the model used last to the one used longest ago. Its length is what fits the budget, so finding one by its digest is a walk over some hundred entries; who scores holds on to
 * what it took and does not come by again for each row. */
#include "models/model_cache.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "models/artifact_file.h"
#include "models/memory.h"

enum { FAILURES_MAX = 1024 }; /* remembered at once */

typedef enum held_state { HELD_LOADING, HELD_READY, HELD_FAILED } held_state;

struct weir_held_model {
    weir_held_model *newer, *older;
    char digest[65];
    held_state state;
    int users; /* who hold it, or wait for it to be loaded */
    weir_model *model; /* READY */
    int64_t bytes;
    weir_err failure; /* FAILED */
    int64_t retry_at_us;
};

struct weir_model_cache {
    weir_model_cache_settings settings;
    pthread_mutex_t lock; /* guards what follows, and all entries */
    pthread_cond_t loaded; /* some load is over */
    weir_held_model *newest, *oldest;
    int64_t failed_count;
    weir_model_cache_stats stats;
};

/* ---- the list; locked ---- */

static void unlink_held(weir_model_cache *cache, weir_held_model *held) {
    *(held->newer ? &held->newer->older : &cache->newest) = held->older;
    *(held->older ? &held->older->newer : &cache->oldest) = held->newer;
    held->newer = held->older = NULL;
}

static void link_newest(weir_model_cache *cache, weir_held_model *held) {
    held->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = held;
    cache->newest = held;
}

static weir_held_model *find(const weir_model_cache *cache, const char *digest) {
    for (weir_held_model *held = cache->newest; held; held = held->older) {
        if (!strcmp(held->digest, digest)) return held;
    }
    return NULL;
}

/* Out of the list; its model is for the caller to free when the lock is open again. */
static void drop(weir_model_cache *cache, weir_held_model *held) {
    unlink_held(cache, held);
    if (held->state == HELD_FAILED) cache->failed_count--;
    if (held->state != HELD_READY) return;
    cache->stats.models--;
    cache->stats.bytes -= held->bytes;
}

static void free_held(weir_held_model *held) {
    while (held) {
        weir_held_model *next = held->older;
        weir_model_free(held->model);
        weir_models_free(held);
        held = next;
    }
}

/* What is too much, from the one used longest ago on; as a chain by `older`. */
static weir_held_model *make_room(weir_model_cache *cache) {
    weir_held_model *dropped = NULL;
    for (weir_held_model *held = cache->oldest, *newer; held; held = newer) {
        bool is_full = cache->stats.bytes > cache->settings.budget_bytes;
        newer = held->newer;
        if (held->users || (held->state == HELD_READY ? !is_full : cache->failed_count <= FAILURES_MAX)) continue;
        if (held->state == HELD_READY) cache->stats.evictions++;
        drop(cache, held);
        held->older = dropped;
        dropped = held;
    }
    return dropped;
}

/* ---- loading; not locked ---- */

/* That the row of zeros has no score says something of that row: which rows come is not known here, and guards watch them. */
static weir_status warm_up(weir_model *model, weir_err *err) {
    size_t columns = (size_t)weir_model_column_count(model), outputs = (size_t)weir_model_output_count(model);
    double *row = weir_models_calloc(columns + outputs, sizeof *row);
    if (!row) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to score a first row");
    weir_status status = weir_model_predict(model, row, 1, row + columns, err);
    weir_models_free(row);
    return status && status != WEIR_ENUMERIC ? weir_err_prefix(err, "the model cannot score") : WEIR_OK;
}

static weir_status load(weir_model_cache *cache, const char *digest, const char *path, weir_model **ret_model, weir_err *err) {
    const weir_model_cache_settings *s = &cache->settings;
    weir_model *model = NULL;
    weir_status status = s->load ? s->load(s->context, path, &model, err) : weir_artifact_load(s->objects_dir, path, &model, err);
    if (!status && strcmp(weir_model_digest(model), digest) != 0)
        status = WEIR_FAIL(err, WEIR_EDATA, "%s/%s has digest %s, the registry says %s", s->objects_dir, path, weir_model_digest(model), digest);
    if (!status) status = warm_up(model, err);
    if (status)
        weir_model_free(model);
    else
        *ret_model = model;
    return status;
}

/* ---- public ---- */

weir_status weir_model_cache_new(const weir_model_cache_settings *settings, weir_model_cache **ret_cache, weir_err *err) {
    weir_model_cache *cache = weir_models_calloc(1, sizeof *cache);
    if (!cache) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a cache of models");
    cache->settings = *settings;
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->loaded, NULL);
    *ret_cache = cache;
    return WEIR_OK;
}

void weir_model_cache_free(weir_model_cache *cache) {
    if (!cache) return;
    free_held(cache->newest);
    pthread_cond_destroy(&cache->loaded);
    pthread_mutex_destroy(&cache->lock);
    weir_models_free(cache);
}

/* Locked. Waits for a load that is under way; a failure that is due again, and one that nobody else still waits for, is forgotten. */
static weir_held_model *wait_for(weir_model_cache *cache, const char *digest) {
    weir_held_model *held = find(cache, digest);
    if (!held) return NULL;
    held->users++;
    while (held->state == HELD_LOADING) pthread_cond_wait(&cache->loaded, &cache->lock);
    if (held->state == HELD_FAILED && held->users == 1 && weir_clock_mono_us(cache->settings.clock) >= held->retry_at_us) {
        drop(cache, held);
        free_held(held);
        return NULL;
    }
    unlink_held(cache, held);
    link_newest(cache, held);
    cache->stats.hits++;
    return held;
}

/* Locked, and again when it returns. */
static void load_into(weir_model_cache *cache, weir_held_model *held, const char *path) {
    weir_model *model = NULL;
    weir_err why = {0};
    link_newest(cache, held);
    pthread_mutex_unlock(&cache->lock);
    weir_status status = load(cache, held->digest, path, &model, &why);
    int64_t bytes = status ? 0 : weir_model_memory_bytes(model);
    pthread_mutex_lock(&cache->lock);
    held->state = status ? HELD_FAILED : HELD_READY;
    if (status) {
        held->failure = why;
        held->retry_at_us = weir_clock_mono_us(cache->settings.clock) + cache->settings.retry_us;
        cache->failed_count++;
        cache->stats.failures++;
    } else {
        held->model = model;
        held->bytes = bytes;
        cache->stats.models++;
        cache->stats.bytes += bytes;
        cache->stats.loads++;
    }
    pthread_cond_broadcast(&cache->loaded);
}

weir_status weir_model_cache_take(weir_model_cache *cache, const char *digest, const char *path, weir_held_model **ret_held, weir_err *err) {
    weir_status status = WEIR_OK;
    weir_held_model *fresh = weir_models_calloc(1, sizeof *fresh), *dropped = NULL;
    if (!fresh) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for model %s", digest);
    snprintf(fresh->digest, sizeof fresh->digest, "%s", digest);
    fresh->users = 1;
    pthread_mutex_lock(&cache->lock);
    weir_held_model *held = wait_for(cache, fresh->digest);
    if (!held) {
        held = fresh;
        fresh = NULL;
        load_into(cache, held, path);
    }
    if (held->state == HELD_FAILED) {
        held->users--;
        status = held->failure.code;
        if (err) *err = held->failure;
    }
    dropped = make_room(cache);
    pthread_mutex_unlock(&cache->lock);
    free_held(dropped);
    weir_models_free(fresh);
    if (!status) *ret_held = held;
    return status;
}

void weir_model_cache_give_back(weir_model_cache *cache, weir_held_model *held) {
    if (!held) return;
    pthread_mutex_lock(&cache->lock);
    held->users--;
    weir_held_model *dropped = make_room(cache);
    pthread_mutex_unlock(&cache->lock);
    free_held(dropped);
}

weir_model *weir_held_model_of(const weir_held_model *held) {
    return held->model;
}

weir_model_cache_stats weir_model_cache_stats_of(weir_model_cache *cache) {
    pthread_mutex_lock(&cache->lock);
    const weir_model_cache_stats stats = cache->stats;
    pthread_mutex_unlock(&cache->lock);
    return stats;
}
