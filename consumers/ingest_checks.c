/* ingest, what checks find: counted, logged at most once a minute each, and the stream as a whole watched. */
#include <stdlib.h>

#include "consumers/ingest_internal.h"
#include "core/log.h"

#define WARN_EVERY_US (60 * WEIR_SECOND_US)

weir_status ingest_checks_init(ingest *g, weir_err *err) {
    const weir_pipeline *p = g->pipeline;
    size_t n = (size_t)p->check_count + 1;
    g->check_counts = calloc(n, sizeof *g->check_counts);
    g->warned_at_us = calloc(n, sizeof *g->warned_at_us);
    g->check_failures = calloc(n, sizeof(weir_metric *));
    if (!g->check_counts || !g->warned_at_us || !g->check_failures) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d checks", p->check_count);
    for (int i = 0; i < p->check_count; i++) {
        const weir_check_def *check = &p->checks[i];
        g->warned_at_us[i] = INT64_MIN;
        g->check_failures[i] = WEIR_METRIC("weir_ingest_checks_total", p->name, check->name, weir_severity_names[check->severity]);
    }
    return weir_stream_checks_new(p, weir_clock_wall_us(g->env->clock), &g->stream, err);
}

void ingest_checks_done(ingest *g) {
    free(g->check_counts);
    free(g->warned_at_us);
    free(g->check_failures);
    weir_stream_checks_free(g->stream);
}

static bool may_warn(ingest *g, int check) {
    int64_t now_us = weir_clock_mono_us(g->env->clock);
    if (g->warned_at_us[check] != INT64_MIN && now_us - g->warned_at_us[check] < WARN_EVERY_US) return false;
    g->warned_at_us[check] = now_us;
    return true;
}

void ingest_checks_count(ingest *g, weir_feed feed, const weir_check_hits *hits, weir_source source) {
    if (!hits->any) return;
    g->checks_failed = true;
    for (int i = 0; i < g->pipeline->check_count; i++) {
        const weir_check_def *check = &g->pipeline->checks[i];
        if (!weir_check_is_hit(hits, i)) continue;
        g->check_counts[i]++;
        if (check->severity == WEIR_WARNS && may_warn(g, i))
            WEIR_WARN("a record failed a check", WEIR_S("pipeline", g->pipeline->name), WEIR_S("check", check->name),
                      WEIR_S("feed", feed == WEIR_FROM_LABELS ? "labels" : "events"), WEIR_I("partition", source.partition), WEIR_I("offset", source.offset));
    }
}

static void found(void *context, const weir_stream_finding *finding) {
    ingest *g = context;
    const weir_check_def *check = &g->pipeline->checks[finding->check];
    weir_metric_set(WEIR_METRIC("weir_ingest_check_value", g->pipeline->name, check->name), finding->value);
    weir_metric_set(WEIR_METRIC("weir_ingest_check_failing", g->pipeline->name, check->name), finding->failed);
    if (!finding->failed) return;
    g->check_counts[finding->check]++;
    g->checks_failed = true;
    if (may_warn(g, finding->check))
        WEIR_WARN("the stream failed a check", WEIR_S("pipeline", g->pipeline->name), WEIR_S("check", check->name), WEIR_S("found", finding->message));
}

void ingest_checks_see(ingest *g, weir_feed feed, const weir_datum *row) {
    if (g->stream) weir_stream_checks_add(g->stream, feed, row, found, g);
}

void ingest_checks_tell(ingest *g) {
    if (!g->checks_failed) return;
    g->checks_failed = false;
    for (int i = 0; i < g->pipeline->check_count; i++) {
        if (g->check_counts[i]) weir_metric_add(g->check_failures[i], (double)g->check_counts[i]);
        g->check_counts[i] = 0;
    }
}

void ingest_checks_tick(ingest *g) {
    if (!g->stream) return;
    weir_stream_checks_tick(g->stream, weir_clock_wall_us(g->env->clock), found, g);
    ingest_checks_tell(g);
}
