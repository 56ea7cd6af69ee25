/* What decisions cost a prediction and a rollout, in microseconds: medians and 99 % quantiles of ROUNDS means over EACH calls (route: single calls).
 *
 *   split      the arm of a request among a champion and three challengers, and whether it is scored in shadow
 *   context    the same where each bucket of a text has a split of its own
 *   log        the prediction record of the fraud pipeline encoded and handed to the producer; without its arm and propensity it would be written, too, so this is an upper bound
 *   outcome    one labelled prediction taken in by a rollout of three challengers
 *   decide     what follows from it
 *   route      shares by Thompson sampling of four arms
 *
 * Settings come from the environment, as for the program (WEIR_BROKERS, …); ./run bench decisions sets them, and then measures the swaps of running workers (decisions.py). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/settings.h"
#include "consumers/events.h"
#include "consumers/rollout_state.h"
#include "consumers/serving.h"
#include "core/log.h"
#include "models/recipe.h"
#include "tests/bench/harness.h"

enum { ROUNDS = 200, EACH = 200, CHALLENGERS = 3, FLUSH_MS = 30000 };

/* Calls `work` `each` times a round. */
static void measure(const char *what, int each, void (*work)(void *context, int call), void *context) {
    double us[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double began = now_s();
        for (int call = 0; call < each; call++) work(context, round * each + call);
        us[round] = (now_s() - began) * 1e6 / each;
    }
    qsort(us, ROUNDS, sizeof *us, by_value);
    printf("%-10s %12.3f us median %12.3f us p99\n", what, us[ROUNDS / 2], us[ROUNDS * 99 / 100]);
    fflush(stdout);
}

/* ---- a prediction ---- */

static void split(void *context, int call) {
    const weir_arms *arms = context;
    char key[32];
    double propensity;
    size_t len = (size_t)snprintf(key, sizeof key, "default/%d", call);
    const weir_datum event[] = {weir_str(key, len)};
    const weir_served *served = weir_arms_choose(arms, weir_arms_bucket(arms, event), key, len, call, &propensity);
    if (!served || weir_arms_shadows(arms, 0, key, len, call)) exit(3); /* the first has a share, so no shadow */
}

static void bench_split(void) {
    weir_served served[1 + CHALLENGERS] = {0};
    weir_arms arms = {.champion = &served[0], .by_request = true, .salt = "bench", .context_salt = "bench/context"};
    weir_err err;
    for (int c = 0; c < CHALLENGERS; c++) arms.challengers[c] = &served[1 + c];
    static const double shares[WEIR_CHALLENGERS_MAX] = {0.1, 0.1, 0.1};
    for (int b = 0; b < WEIR_BUCKETS_MAX; b++) die_on(weir_arms_split_init(&arms.splits[b], shares, CHALLENGERS, &err), &err);
    measure("split", EACH, split, &arms);
    arms.bucket_count = WEIR_BUCKETS_MAX;
    measure("context", EACH, split, &arms);
}

typedef struct logging {
    weir_prediction_codec codec;
    weir_producer *producer;
    const char *topic;
} logging;

static void log_prediction(void *context, int call) {
    logging *l = context;
    weir_err err;
    char key[32];
    size_t len = (size_t)snprintf(key, sizeof key, "default/%d", call);
    l->codec.row[PRED_ENTITY] = weir_str(key, len);
    l->codec.row[PRED_SOURCE_OFFSET] = weir_i64(call);
    weir_buf_clear(&l->codec.codec.buf);
    die_on(weir_serde_encode(l->codec.codec.serde, l->codec.row, &l->codec.codec.buf, &err), &err);
    die_on(weir_producer_send(l->producer, l->topic, 0, key, len, l->codec.codec.buf.data, l->codec.codec.buf.len, NULL, 0, 0, &err), &err);
    if (call % (EACH * 20) == EACH * 20 - 1) die_on(weir_producer_flush(l->producer, FLUSH_MS, &err), &err);
}

static void bench_log(const weir_settings *settings, const weir_pipeline *pipeline) {
    weir_err err;
    weir_registry *registry = NULL;
    weir_recipe recipe;
    logging l = {0};
    char *topic = weir_topic_of(pipeline, "predictions");
    die_on(weir_registry_new(settings->registry_url, &registry, &err), &err);
    die_on(weir_recipe_load(pipeline, &recipe, &err), &err);
    die_on(weir_prediction_codec_init(&l.codec, registry, pipeline, recipe.columns, recipe.column_count, &err), &err);
    die_on(weir_producer_new(settings->brokers, "weir-bench", &l.producer, &err), &err);
    l.topic = topic;
    for (int i = 0; i < l.codec.column_count; i++) l.codec.row[i] = weir_f64(i);
    static const int texts[] = {PRED_ID, PRED_TENANT, PRED_JOIN_ID, PRED_MODEL, PRED_DIGEST, PRED_ARM, PRED_FEATURE_HASH};
    static const int numbers[] = {PRED_EVENT_TIME, PRED_SOURCE_PARTITION, PRED_PREDICTED_AT, PRED_VERSION, PRED_BUCKET};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) l.codec.row[texts[i]] = weir_text("0123456789abcdef");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) l.codec.row[numbers[i]] = weir_i64(1);
    l.codec.row[PRED_DECISION] = weir_bool(true);
    l.codec.row[PRED_POLICY] = weir_text("champion 0.7,challenger 0.1,challenger-2 0.1,challenger-3 0.1");
    for (int v = PRED_VIEWS; v < l.codec.input_base; v++) l.codec.row[v] = weir_null();
    measure("log", EACH, log_prediction, &l);
    die_on(weir_producer_flush(l.producer, FLUSH_MS, &err), &err);
    weir_producer_free(l.producer);
    weir_prediction_codec_done(&l.codec);
    weir_recipe_done(&recipe);
    weir_registry_free(registry);
    free(topic);
}

/* ---- a rollout ---- */

typedef struct deciding {
    weir_rollout_def def;
    weir_rollout rollout;
} deciding;

static void add_outcome(void *context, int call) {
    deciding *d = context;
    weir_err err;
    weir_rollout_row row = {.arm = call % 4 - 1, .label = call % 5 == 0, .champion_share = weir_rollout_champion_share(&d->rollout)};
    for (int c = 0; c < CHALLENGERS; c++) row.shares[c] = d->rollout.arms[c].share;
    row.answer.score = 0.2 + 0.001 * (call % 7);
    die_on(weir_rollout_add(&d->def, &d->rollout, &row, &err), &err);
}

static void decide(void *context, int call) {
    deciding *d = context;
    (void)call;
    (void)weir_rollout_decide(&d->def, &d->rollout, 1);
}

static void route(void *context, int call) {
    deciding *d = context;
    weir_rollout_change change;
    weir_err err;
    (void)call;
    die_on(weir_rollout_route(&d->def, &d->rollout, &change, &err), &err);
}

static void bench_rollout(void) {
    weir_err err;
    deciding d = {
        .def = {.steps = {0.4, 1}, .step_count = 2, .loss = WEIR_LOSS_BRIER, .alpha = 1e-6, .min_rows = 1000000000, .patience_us = INT64_MAX, .floor = 0.05}};
    die_on(weir_rollout_begin(&d.def, CHALLENGERS, false, 0, &d.rollout, &err), &err);
    for (int c = 0; c < CHALLENGERS; c++) d.rollout.arms[c].share = 0.25;
    measure("outcome", EACH, add_outcome, &d);
    measure("decide", EACH, decide, &d);
    d.def.thompson = true;
    d.def.by_request = true;
    measure("route", 1, route, &d);
}

int main(void) {
    weir_err err;
    weir_settings settings = {0};
    die_on(weir_conf_defaults(weir_settings_table, &settings, &err), &err);
    die_on(weir_conf_from_env(weir_settings_table, &settings, &err), &err);
    die_on(weir_settings_apply(&settings, &err), &err);
    weir_log_init(stderr, WEIR_LOG_AUTO, WEIR_LOG_WARN);
    weir_pipeline *pipeline = fraud_pipeline("bench_decisions", "bench_decisions", "bench_decisions", false);
    die_on(weir_pipeline_create_topics(pipeline, settings.brokers, &err), &err);
    bench_split();
    bench_log(&settings, pipeline);
    bench_rollout();
    weir_pipeline_free(pipeline);
    weir_conf_done(weir_settings_table, &settings);
    return 0;
}
