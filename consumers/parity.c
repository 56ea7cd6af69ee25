/* The parity worker: takes samples of what was served, all the time, and computes it again from history. It consumes nothing; it reads PostgreSQL. */
#include <stdlib.h>

#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/log.h"
#include "core/metrics.h"
#include "features/parity.h"
#include "models/recipe.h"

enum {
    TICK_MS = 1000,
    VECTORS_A_LOOK = 2000, /* about; more predictions make the sample thinner */
    REST_FACTOR = 9, /* looking takes at most a tenth of the time */
};
#define LOOK_EVERY_US (30 * WEIR_SECOND_US)
#define SETTLE_US (15 * WEIR_SECOND_US) /* predictions and the records that they read reach the store within */

typedef struct parity_worker {
    weir_worker *worker;
    const weir_pipeline *pipeline;
    weir_clock *clock;
    const char *pg_url, *objects_dir;
    weir_recipe recipe;
    int64_t looked_to_us; /* predictions made before were looked at */
    int64_t next_us; /* monotonic: not before */
    uint32_t turn; /* which entities are in the sample */
    bool told; /* one difference a look is enough for the log */
    weir_metric *vectors, *mismatches, *incomplete;
} parity_worker;

static void tell(void *context, const weir_parity_difference *d) {
    parity_worker *p = context;
    if (p->told) return;
    p->told = true;
    WEIR_ERROR("a served value is not what history gives", WEIR_S("prediction", d->prediction), WEIR_S("view", d->view), WEIR_S("feature", d->feature),
               WEIR_F("served", d->served), WEIR_F("recomputed", d->recomputed), WEIR_I("version", d->version));
}

/* One look at the predictions of [looked_to, until). */
static weir_status look(parity_worker *p, int64_t until_us, weir_err *err) {
    weir_parity_query query = {
        .from_us = WEIR_TIME_MIN_US,
        .to_us = WEIR_TIME_MAX_US,
        .predicted_from_us = p->looked_to_us,
        .predicted_to_us = until_us,
        .inputs = p->recipe.columns,
        .objects_dir = p->objects_dir,
    };
    int64_t predictions = 0;
    weir_parity_result result;
    weir_status status = weir_parity_count(p->pg_url, p->pipeline, &query, &predictions, err);
    if (status || !predictions) return status;
    query.one_in = (uint32_t)(predictions / VECTORS_A_LOOK) + 1;
    query.which = p->turn++ % query.one_in;
    p->told = false;
    if ((status = weir_parity_run(p->pg_url, p->pipeline, &query, tell, p, &result, err))) return status;
    weir_metric_add(p->vectors, (double)result.vectors);
    weir_metric_add(p->mismatches, (double)result.mismatches);
    weir_metric_add(p->incomplete, (double)result.incomplete);
    return WEIR_OK;
}

static weir_status parity_tick(void *context, int64_t mono_us, weir_err *err) {
    parity_worker *p = context;
    if (mono_us < p->next_us) return WEIR_OK;
    int64_t until_us = weir_clock_wall_us(p->clock) - SETTLE_US, began_us = weir_clock_mono_us(p->clock);
    weir_status status = look(p, until_us, err);
    if (status && status != WEIR_ENOTFOUND) return status; /* not found: nothing was predicted yet */
    int64_t now_us = weir_clock_mono_us(p->clock), rest_us = REST_FACTOR * (now_us - began_us);
    p->looked_to_us = until_us;
    p->next_us = now_us + (rest_us > LOOK_EVERY_US ? rest_us : LOOK_EVERY_US);
    return WEIR_OK;
}

static void parity_done(void *context) {
    parity_worker *p = context;
    if (!p) return;
    weir_recipe_done(&p->recipe);
    free(p);
}

static weir_status parity_init(weir_worker *worker, void **ret_context, weir_err *err) {
    const weir_worker_env *env = weir_worker_env_of(worker);
    const weir_shared *shared = env->shared;
    parity_worker *p = calloc(1, sizeof *p);
    if (!p) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the parity worker");
    *ret_context = p;
    p->worker = worker;
    p->pipeline = shared->pipeline;
    p->clock = env->clock;
    p->pg_url = env->pg_url;
    p->objects_dir = env->objects_dir;
    p->looked_to_us = weir_clock_wall_us(env->clock);
    const char *name = p->pipeline->name;
    p->vectors = WEIR_METRIC("weir_parity_vectors_total", name);
    p->mismatches = WEIR_METRIC("weir_parity_mismatches_total", name);
    p->incomplete = WEIR_METRIC("weir_parity_incomplete_total", name);
    return weir_recipe_load(p->pipeline, &p->recipe, err);
}

const weir_worker_ops weir_parity_ops = {
    .abi = WEIR_WORKER_ABI,
    .name = "parity",
    .doc = "computes samples of what was served again from history and compares",
    .init = parity_init,
    .tick = parity_tick,
    .done = parity_done,
    .needs_training = true,
    .tick_ms = TICK_MS,
};
