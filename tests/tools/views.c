/* The views of the fraud pipeline over lines on stdin, for tests that compare them with an independent implementation.
 *
 *   a VIEW ENTITY TIME_US OFFSET VALUE     a record of the entity (a number): VALUE is the amount (customer) or the fraud flag (terminal)
 *   e VIEW ENTITY TIME_US OFFSET           its features at the time, comma-separated in the order of the pipeline file, on stdout; for the primary view as
 *                                          record OFFSET sees them
 *
 * Every state is written to bytes and read back before it is evaluated, as it is on its way through Kafka. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "features/view.h"

enum { ENTITIES_MAX = 1 << 20, COLUMNS_MAX = 64 };

typedef struct lane {
    weir_view *view;
    weir_state *states; /* [ENTITIES_MAX] */
    bool primary;
} lane;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "views: %s\n", what);
    exit(1);
}

static void apply(lane *l, weir_state *state, int64_t time, int64_t offset, double value) {
    weir_datum row[COLUMNS_MAX] = {0};
    double slots[COLUMNS_MAX];
    weir_applied applied;
    weir_err err;
    int count;
    const int *columns = weir_view_columns(l->view, &count);
    for (int c = 0; c < count; c++) row[columns[c]] = weir_f64(value);
    row[weir_view_feed(l->view)->time_index] = weir_i64(time);
    weir_view_slots(l->view, row, slots);
    if (weir_view_apply(l->view, state, time, (weir_source){0, offset}, slots, 0, &applied, NULL, &err)) fail(err.message);
    if (applied != WEIR_APPLIED) fail("a record is late or there already");
}

static void evaluate(lane *l, const weir_state *state, int64_t time, int64_t offset) {
    static weir_buf bytes;
    static weir_state copy;
    double out[WEIR_FEATURES_MAX];
    weir_err err;
    const weir_view_def *def = weir_view_def_of(l->view);
    weir_buf_clear(&bytes);
    if (!weir_state_encode(l->view, state, &bytes)) fail("no memory");
    if (weir_state_decode(l->view, bytes.data, bytes.len, &copy, &err)) fail(err.message);
    weir_view_eval(l->view, &copy, time, l->primary ? &(weir_source){0, offset} : NULL, out);
    for (int i = 0; i < def->feature_count; i++) printf("%s%.17g", i ? "," : "", out[i]);
    putchar('\n');
}

int main(void) {
    weir_pipeline *pipeline;
    weir_err err;
    lane lanes[WEIR_VIEWS_MAX];
    if (weir_pipeline_load("fraud", &pipeline, &err)) fail(err.message);
    for (int i = 0; i < pipeline->view_count; i++) {
        lanes[i] = (lane){.states = calloc(ENTITIES_MAX, sizeof(weir_state)), .primary = i == pipeline->primary_view};
        if (!lanes[i].states || weir_view_new(pipeline, &pipeline->views[i], &lanes[i].view, &err)) fail("no view");
    }
    char kind, view[64];
    long long entity, time, offset;
    double value;
    while (scanf(" %c %63s %lld %lld %lld", &kind, view, &entity, &time, &offset) == 5) {
        const weir_view_def *def = weir_pipeline_view(pipeline, view);
        if (!def || entity < 0 || entity >= ENTITIES_MAX) fail("an unknown view or entity");
        lane *l = &lanes[def - pipeline->views];
        if (kind == 'e')
            evaluate(l, &l->states[entity], time, offset);
        else if (kind == 'a' && scanf("%lf", &value) == 1)
            apply(l, &l->states[entity], time, offset, value);
        else
            fail("a line that is not understood");
    }
    if (!feof(stdin)) fail("a line that is not understood");
    fflush(stdout);
    _Exit(ferror(stdout) ? 1 : 0); /* a million states need not be freed one by one */
}
