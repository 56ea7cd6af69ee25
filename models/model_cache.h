/* Loaded models by digest, within a budget of memory: what was used longest ago goes first.
 *
 *   absent ──take──> loading ──> ready ──no room, and nobody holds it──> absent
 *                       └──────> failed ──after retry_us──> absent
 *
 * A load runs on the thread that asked, without the lock: who wants another model never waits for it, who wants the same one waits for that one load. A model
 * that failed to load is not tried again before retry_us have passed; whoever holds another one, and what it is made of, is not touched by that. Thread-safe. */
#ifndef WEIR_MODELS_MODEL_CACHE_H
#define WEIR_MODELS_MODEL_CACHE_H

#include "core/clock.h"
#include "models/model.h"

typedef struct weir_model_cache weir_model_cache;
/* A model that is held: it stays loaded until it is given back, whatever the budget says. */
typedef struct weir_held_model weir_held_model;

typedef struct weir_model_cache_settings {
    const char *objects_dir; /* copied by nobody: outlives the cache */
    int64_t budget_bytes; /* of models by weir_model_memory_bytes; those that are held count, but are not dropped */
    int64_t retry_us; /* how long a failure is remembered */
    weir_clock *clock;
    /* Instead of weir_artifact_load, for tests; may be NULL. */
    weir_status (*load)(void *context, const char *path, weir_model **ret_model, weir_err *err);
    void *context;
} weir_model_cache_settings;

typedef struct weir_model_cache_stats {
    int64_t models, bytes; /* loaded now */
    int64_t hits, loads, failures, evictions; /* since it was made; refusals of a remembered failure are hits */
} weir_model_cache_stats;

weir_status weir_model_cache_new(const weir_model_cache_settings *settings, weir_model_cache **ret_cache, weir_err *err) WEIR_MUST_CHECK;
/** Nothing may be held any more. NULL is fine. */
void weir_model_cache_free(weir_model_cache *cache);

/** The model with this digest, loaded from path (below objects_dir) unless it is there. A model that is loaded has scored a row of zeros: what is slow about the
 *  first row is over, and one that cannot score does not get in.
 *  Errors: those of weir_artifact_load and weir_model_predict, of this call or of a failed load not long ago; WEIR_EDATA where the artifact has another digest;
 *  WEIR_ENOMEM. */
weir_status weir_model_cache_take(weir_model_cache *cache, const char *digest, const char *path, weir_held_model **ret_held, weir_err *err) WEIR_MUST_CHECK;
void weir_model_cache_give_back(weir_model_cache *cache, weir_held_model *held); /* NULL is fine */
weir_model *weir_held_model_of(const weir_held_model *held);

weir_model_cache_stats weir_model_cache_stats_of(weir_model_cache *cache);

#endif
