/* Checks of the stream as a whole: is it fresh, is a column filled, is it spread as it was? See checks.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "features/checks.h"

/* One check of the pipeline under way. */
typedef struct watch {
    const weir_check_def *def;
    int check;
    int64_t newest_us; /* FRESHNESS: event time; before the first record the clock at the start */
    int64_t started_us; /* COMPLETENESS: of the window */
    int64_t rows, filled; /* of the window */
    int64_t *counts; /* DISTRIBUTION: [bins + 1] */
    bool any;
} watch;

struct weir_stream_checks {
    const weir_pipeline *pipeline;
    int count;
    watch watches[];
};

/* --- bins --- */

int weir_bins_of(const weir_bins *bins, const weir_datum *value) {
    double v = weir_check_number(value);
    if (value->type == WEIR_T_NULL || isnan(v)) return bins->count;
    int low = 0, high = bins->count - 1; /* the first edge that is not below v */
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (bins->edges[mid] < v)
            low = mid + 1;
        else
            high = mid;
    }
    if (!bins->texts) return low;
    return low < bins->count - 1 && bins->edges[low] == v ? low : bins->count - 1;
}

double weir_bins_psi(const weir_bins *bins, const int64_t *counts) {
    const double least = 1e-4; /* an empty bin says "rare", not "impossible" */
    int64_t rows = 0;
    double psi = 0;
    for (int i = 0; i <= bins->count; i++) rows += counts[i];
    if (!rows) return 0;
    for (int i = 0; i <= bins->count; i++) {
        double a = fmax((double)counts[i] / (double)rows, least), e = fmax(bins->expected[i], least);
        psi += (a - e) * log(a / e);
    }
    return psi;
}

/* --- watches --- */

static bool is_of_stream(const weir_check_def *check) {
    return check->kind == WEIR_CHECK_FRESHNESS || check->kind == WEIR_CHECK_COMPLETENESS || check->kind == WEIR_CHECK_DISTRIBUTION;
}

weir_status weir_stream_checks_new(const weir_pipeline *pipeline, int64_t now_us, weir_stream_checks **ret_checks, weir_err *err) {
    size_t count = 0;
    for (int i = 0; i < pipeline->check_count; i++) count += is_of_stream(&pipeline->checks[i]);
    *ret_checks = NULL;
    if (!count) return WEIR_OK;
    weir_stream_checks *checks = weir_mem.realloc(NULL, sizeof(*checks) + count * sizeof(watch));
    if (!checks) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the checks of the stream");
    checks->pipeline = pipeline;
    checks->count = 0;
    for (int i = 0; i < pipeline->check_count; i++) {
        const weir_check_def *def = &pipeline->checks[i];
        if (!is_of_stream(def)) continue;
        watch *w = &checks->watches[checks->count++];
        *w = (watch){.def = def, .check = i, .newest_us = now_us, .started_us = now_us};
        if (def->kind != WEIR_CHECK_DISTRIBUTION) continue;
        size_t size = ((size_t)def->bins->count + 1) * sizeof(*w->counts);
        if (!(w->counts = weir_mem.realloc(NULL, size))) {
            weir_stream_checks_free(checks);
            return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the checks of the stream");
        }
        memset(w->counts, 0, size);
    }
    *ret_checks = checks;
    return WEIR_OK;
}

void weir_stream_checks_free(weir_stream_checks *checks) {
    if (!checks) return;
    for (int i = 0; i < checks->count; i++) free(checks->watches[i].counts);
    free(checks);
}

static void end_distribution(watch *w, weir_stream_finding_fn on_finding, void *context) {
    weir_stream_finding found = {.check = w->check, .value = weir_bins_psi(w->def->bins, w->counts)};
    found.failed = found.value > w->def->max_psi;
    if (found.failed)
        snprintf(found.message, sizeof(found.message), "%.64s: stability index %.3g over %lld records, expected at most %.3g", w->def->column, found.value,
                 (long long)w->rows, w->def->max_psi);
    memset(w->counts, 0, ((size_t)w->def->bins->count + 1) * sizeof(*w->counts));
    w->rows = 0;
    on_finding(context, &found);
}

void weir_stream_checks_add(weir_stream_checks *checks, weir_feed feed, const weir_datum *row, weir_stream_finding_fn on_finding, void *context) {
    const weir_feed_def *def = feed == WEIR_FROM_LABELS ? &checks->pipeline->labels : &checks->pipeline->events;
    for (int i = 0; i < checks->count; i++) {
        watch *w = &checks->watches[i];
        if (w->def->on != feed) continue;
        int64_t time_us = row[def->time_index].i;
        switch (w->def->kind) {
        case WEIR_CHECK_FRESHNESS:
            if (!w->any || time_us > w->newest_us) w->newest_us = time_us;
            w->any = true;
            break;
        case WEIR_CHECK_COMPLETENESS:
            w->rows++;
            w->filled += row[w->def->column_index].type != WEIR_T_NULL;
            break;
        default:
            w->counts[weir_bins_of(w->def->bins, &row[w->def->column_index])]++;
            if (++w->rows == w->def->records) end_distribution(w, on_finding, context);
        }
    }
}

static void judge_freshness(watch *w, int64_t now_us, weir_stream_finding_fn on_finding, void *context) {
    int64_t behind_us = now_us > w->newest_us ? now_us - w->newest_us : 0;
    weir_stream_finding found = {.check = w->check, .failed = behind_us > w->def->duration_us, .value = (double)behind_us / 1e6};
    if (found.failed)
        snprintf(found.message, sizeof(found.message),
                 w->any ? "the newest event time is %lld s behind the clock, expected at most %lld s"
                        : "no record has come for %lld s, expected one every %lld s",
                 (long long)(behind_us / WEIR_SECOND_US), (long long)(w->def->duration_us / WEIR_SECOND_US));
    on_finding(context, &found);
}

/* A window in which nothing came says nothing of the column. */
static void end_completeness(watch *w, int64_t now_us, weir_stream_finding_fn on_finding, void *context) {
    if (w->rows) {
        weir_stream_finding found = {.check = w->check, .value = (double)w->filled / (double)w->rows};
        found.failed = found.value < w->def->min_share;
        if (found.failed)
            snprintf(found.message, sizeof(found.message), "%.64s: found in %.4g of %lld records, expected in at least %.4g", w->def->column, found.value,
                     (long long)w->rows, w->def->min_share);
        on_finding(context, &found);
    }
    w->rows = w->filled = 0;
    w->started_us = now_us;
}

void weir_stream_checks_tick(weir_stream_checks *checks, int64_t now_us, weir_stream_finding_fn on_finding, void *context) {
    for (int i = 0; i < checks->count; i++) {
        watch *w = &checks->watches[i];
        if (w->def->kind == WEIR_CHECK_FRESHNESS) judge_freshness(w, now_us, on_finding, context);
        if (w->def->kind == WEIR_CHECK_COMPLETENESS && now_us - w->started_us >= w->def->duration_us) end_completeness(w, now_us, on_finding, context);
    }
}
