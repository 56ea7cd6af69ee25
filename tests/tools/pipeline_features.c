/* The features of a pipeline over a data file, as a scorer would see them live: for tests that compare them with an independent implementation or with themselves.
 *
 *   pipeline_features PIPELINE FILE [COLUMN=SQL…]     (as weir replay --set)
 *
 * Records come as `weir replay` would publish them; what the pipeline's checks reject is left out and counted on stderr. For every event that is accepted one CSV line: number among
 * the accepted events, tenant/key, event time in µs, then the features of all views, hidden ones too, in the order of the pipeline file: of the views of the events as this record leaves them, of
 * the views of the labels as they are read at its time. Null is empty.
 * Checks that only mark or warn are counted on stderr, too: "# COUNT NAME". */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/view.h"
#include "producers/records.h"

enum { BUCKETS = 1 << 20, CLASSES_MAX = 64 };

typedef struct entity {
    char *key;
    weir_state state;
    struct entity *next;
} entity;

typedef struct lane {
    weir_view *view;
    const weir_view_def *def;
    entity **buckets; /* [BUCKETS] by key */
    int columns[WEIR_KEY_COLUMNS_MAX]; /* entity columns of the events' schema */
    double *slots;
} lane;

typedef struct tally {
    char text[160];
    int64_t count;
} tally;

static tally rejected[CLASSES_MAX];
static int64_t failed[WEIR_CHECKS_MAX]; /* by check */

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "pipeline_features: %s\n", what);
    exit(1);
}

static void count_rejected(const char *class, const char *message) {
    char text[160];
    snprintf(text, sizeof text, "%s: %s", class, message);
    for (char *p = text; *p; p++)
        if (*p >= '0' && *p <= '9') *p = '#'; /* values differ, what is wrong does not */
    int i = 0;
    while (i < CLASSES_MAX - 1 && rejected[i].count && strcmp(rejected[i].text, text)) i++;
    snprintf(rejected[i].text, sizeof rejected[i].text, "%s", text);
    rejected[i].count++;
}

static void count_failed(const weir_pipeline *pipeline, const weir_check_hits *hits) {
    for (int i = 0; i < pipeline->check_count; i++) failed[i] += weir_check_is_hit(hits, i);
}

static entity *find_entity(lane *l, const char *key) {
    uint64_t hash = UINT64_C(1469598103934665603);
    for (const char *p = key; *p; p++) hash = (hash ^ (unsigned char)*p) * UINT64_C(1099511628211);
    entity **at = &l->buckets[hash % BUCKETS];
    while (*at && strcmp((*at)->key, key)) at = &(*at)->next;
    if (*at) return *at;
    *at = calloc(1, sizeof **at);
    if (!*at || !((*at)->key = strdup(key))) fail("no memory");
    return *at;
}

static void open_lanes(const weir_pipeline *pipeline, lane *lanes) {
    weir_err err;
    for (int i = 0; i < pipeline->view_count; i++) {
        const weir_view_def *def = &pipeline->views[i];
        lanes[i] = (lane){.def = def, .buckets = calloc(BUCKETS, sizeof(entity *))};
        if (!lanes[i].buckets || weir_view_new(pipeline, def, &lanes[i].view, &err)) fail(err.message);
        lanes[i].slots = calloc((size_t)weir_view_slot_count(lanes[i].view) + 1, sizeof(double));
        for (int k = 0; k < def->entity_count; k++) {
            lanes[i].columns[k] = weir_schema_find(pipeline->events.schema, def->entity[k]);
            if (lanes[i].columns[k] < 0) fail("a view whose entity the events do not have");
        }
    }
}

static void close_lanes(const weir_pipeline *pipeline, lane *lanes) {
    for (int i = 0; i < pipeline->view_count; i++) {
        for (int b = 0; b < BUCKETS; b++)
            for (entity *e = lanes[i].buckets[b], *next; e; e = next) {
                next = e->next;
                weir_state_done(&e->state);
                free(e->key);
                free(e);
            }
        free(lanes[i].buckets);
        free(lanes[i].slots);
        weir_view_free(lanes[i].view);
    }
}

/* The record into the views of its feed. */
static bool apply(const weir_pipeline *pipeline, lane *l, const weir_record *record, weir_source source) {
    char key[WEIR_KEY_MAX];
    size_t len;
    weir_err err;
    weir_applied applied;
    const weir_feed_def *feed = weir_view_feed(l->view);
    if (weir_key_make(feed, weir_view_entity_columns(l->view), l->def->entity_count, record->row, key, &len, &err)) {
        count_rejected("key", err.message);
        return false;
    }
    weir_check_hits hits = {0};
    weir_status refused = weir_view_check(l->view, &find_entity(l, key)->state, record->row[feed->time_index].i, source, record->row, &hits, &err);
    count_failed(pipeline, &hits);
    if (refused) {
        count_rejected("check", err.message);
        return false;
    }
    weir_view_slots(l->view, record->row, l->slots);
    if (weir_view_apply(l->view, &find_entity(l, key)->state, record->row[feed->time_index].i, source, l->slots, 0, &applied, NULL, &err)) fail(err.message);
    if (applied != WEIR_APPLIED) count_rejected(applied == WEIR_LATE ? "late" : "duplicate", l->def->name);
    return applied == WEIR_APPLIED;
}

static void print_features(const weir_pipeline *pipeline, lane *lanes, const weir_record *record, weir_source source) {
    static double out[WEIR_FEATURES_MAX];
    char key[WEIR_KEY_MAX];
    size_t len;
    weir_err err;
    int64_t t = record->row[pipeline->events.time_index].i;
    if (weir_key_make(&pipeline->events, pipeline->events.key_index, pipeline->events.key_count, record->row, key, &len, &err)) fail(err.message);
    printf("%" PRId64 ",\"%s\",%" PRId64, source.offset, key, t);
    for (int i = 0; i < pipeline->view_count; i++) {
        lane *l = &lanes[i];
        if (weir_key_make(&pipeline->events, l->columns, l->def->entity_count, record->row, key, &len, &err)) fail(err.message);
        weir_state *state = &find_entity(l, key)->state;
        bool own = l->def->from == WEIR_FROM_EVENTS;
        int64_t newest_us;
        (void)weir_view_ask(l->view, state, t, own ? &source : NULL, out, &newest_us);
        for (int f = 0; f < l->def->feature_count; f++)
            if (isnan(out[f]))
                putchar(',');
            else
                printf(",%.17g", out[f]);
    }
    putchar('\n');
}

static void run(const weir_pipeline *pipeline, weir_records *records) {
    lane lanes[WEIR_VIEWS_MAX];
    weir_record record;
    bool more;
    weir_err err;
    int64_t offsets[2] = {0, 0};
    open_lanes(pipeline, lanes);
    printf("number,key,time");
    for (int i = 0; i < pipeline->view_count; i++)
        for (int f = 0; f < lanes[i].def->feature_count; f++) printf(",%s", lanes[i].def->features[f].name);
    putchar('\n');
    while (!weir_records_next(records, &record, &more, &err) && more) {
        const char *class = "check";
        weir_check_hits hits = {0};
        weir_status refused = weir_pipeline_check_hits(pipeline, record.feed, record.row, record.at_us, &hits, &class, &err);
        count_failed(pipeline, &hits);
        if (refused) {
            count_rejected(class, err.message);
            continue;
        }
        weir_source source = {0, offsets[record.feed]++};
        bool taken = true;
        for (int i = 0; i < pipeline->view_count; i++)
            if (pipeline->views[i].from == record.feed) taken &= apply(pipeline, &lanes[i], &record, source);
        if (taken && record.feed == WEIR_FROM_EVENTS) print_features(pipeline, lanes, &record, source);
    }
    if (more) fail(err.message);
    close_lanes(pipeline, lanes);
}

int main(int argc, char **argv) {
    weir_pipeline *pipeline;
    weir_records *records;
    weir_err err;
    if (argc < 3) fail("expected PIPELINE FILE [COLUMN=SQL...]");
    const char *files[] = {argv[2], NULL};
    if (weir_pipeline_load(argv[1], &pipeline, &err)) fail(err.message);
    if (weir_records_from_files(pipeline, files, NULL, (const char *const *)argv + 3, &records, &err)) fail(err.message);
    run(pipeline, records);
    for (int i = 0; i < CLASSES_MAX && rejected[i].count; i++) fprintf(stderr, "%" PRId64 " %s\n", rejected[i].count, rejected[i].text);
    for (int i = 0; i < pipeline->check_count; i++)
        if (failed[i] && pipeline->checks[i].severity != WEIR_REJECTS) fprintf(stderr, "# %" PRId64 " %s\n", failed[i], pipeline->checks[i].name);
    weir_records_free(records);
    weir_pipeline_free(pipeline);
    return 0;
}
