/* A ring of slots. Counters only grow; slot i % room is in its state by where the counters stand:
 *
 *   taken ≤ scored … ≤ claimed ≤ read ≤ taken + room
 *
 * A slot between claimed and read waits for a scorer; one between taken and claimed is being scored or is `scored`. */
#include "models/batch_scorer.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "models/memory.h"

typedef struct slot {
    void *block;
    int64_t row_count, room_rows;
    double *scores; /* [room_rows][outputs] */
    char **reasons; /* [room_rows] */
    int64_t rejected;
    bool scored;
} slot;

typedef struct scoring {
    weir_model *model;
    const weir_batch_ops *ops;
    void *context;
    const weir_batch_how *how;
    int columns, outputs;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    slot *slots; /* [room] */
    int64_t room, read, claimed, taken;
    bool ended, stopping;
    weir_status status; /* the first error */
    weir_err err;
} scoring;

bool weir_batch_reject(char **reasons, int64_t row, const char *format, ...) {
    char text[WEIR_BATCH_REASON_MAX];
    va_list args;
    if (reasons[row]) return true;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t size = strlen(text) + 1;
    if (!(reasons[row] = weir_models_calloc(size, 1))) return false;
    memcpy(reasons[row], text, size);
    return true;
}

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a block of rows");
}

static bool is_cancelled(const scoring *s) {
    return s->how->cancel && *s->how->cancel;
}

/* ---- one block ---- */

static void clear_slot(slot *s) {
    for (int64_t r = 0; s->rejected && r < s->row_count; r++) {
        weir_models_free(s->reasons[r]);
        s->reasons[r] = NULL;
    }
    s->rejected = 0;
    s->scored = false;
    s->block = NULL;
}

static weir_status make_room(slot *s, int outputs, weir_err *err) {
    if (s->row_count <= s->room_rows) return WEIR_OK;
    weir_models_free(s->scores);
    weir_models_free(s->reasons);
    s->room_rows = 0;
    s->scores = weir_models_calloc((size_t)s->row_count * (size_t)outputs, sizeof *s->scores);
    s->reasons = weir_models_calloc((size_t)s->row_count, sizeof *s->reasons);
    if (!s->scores || !s->reasons) return no_memory(err);
    s->room_rows = s->row_count;
    return WEIR_OK;
}

static bool check_infinite(const scoring *g, slot *s, double *rows) {
    const char *const *names = weir_model_columns(g->model);
    for (int64_t i = 0; i < s->row_count * g->columns; i++) {
        if (!isinf(rows[i])) continue;
        if (!g->how->infinite_is_missing &&
            !weir_batch_reject(s->reasons, i / g->columns, "column '%s': found %g, expected a finite number", names[i % g->columns], rows[i]))
            return false;
        rows[i] = NAN;
    }
    return true;
}

/* Rows that a model refuses are found by asking for each. */
static weir_status predict_one_by_one(const scoring *g, slot *s, const double *rows, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int64_t r = 0; !status && r < s->row_count; r++) {
        weir_err why;
        status = weir_model_predict(g->model, rows + r * g->columns, 1, s->scores + r * g->outputs, &why);
        if (status && why.action == WEIR_ACTION_REJECT)
            status = weir_batch_reject(s->reasons, r, "the model gives no finite score") ? WEIR_OK : no_memory(&why);
        if (status) *err = why;
    }
    return status;
}

static weir_status score_slot(const scoring *g, slot *s, double *rows, weir_err *err) {
    weir_err why;
    weir_status status = g->ops->fill(g->context, s->block, rows, s->reasons, err);
    if (!status && !check_infinite(g, s, rows)) status = no_memory(err);
    s->rejected = s->row_count; /* as many as there may be, until they are counted */
    if (status) return status;
    status = weir_model_predict(g->model, rows, s->row_count, s->scores, &why);
    if (status && why.action == WEIR_ACTION_REJECT)
        status = predict_one_by_one(g, s, rows, err);
    else if (status)
        *err = why;
    if (status) return status;
    s->rejected = 0;
    for (int64_t r = 0; r < s->row_count; r++) {
        if (!s->reasons[r]) continue;
        s->rejected++;
        for (int k = 0; k < g->outputs; k++) s->scores[r * g->outputs + k] = NAN;
    }
    return WEIR_OK;
}

/* ---- threads; every function below holds the lock where it looks at the ring ---- */

static void fail(scoring *g, weir_status status, const weir_err *err) {
    if (!g->status) {
        g->status = status;
        g->err = *err;
    }
    g->stopping = true;
    pthread_cond_broadcast(&g->changed);
}

static void *read_blocks(void *context) {
    scoring *g = context;
    pthread_mutex_lock(&g->lock);
    while (!g->stopping && !g->ended) {
        if (g->read == g->taken + g->room) {
            pthread_cond_wait(&g->changed, &g->lock);
            continue;
        }
        slot *s = &g->slots[g->read % g->room];
        pthread_mutex_unlock(&g->lock);
        weir_err err;
        weir_status status = is_cancelled(g) ? WEIR_RETRY(&err, WEIR_ETIMEOUT, "stopped as it was asked to") : WEIR_OK;
        if (!status) status = g->ops->next(g->context, &s->block, &s->row_count, &err);
        pthread_mutex_lock(&g->lock);
        if (status)
            fail(g, status, &err);
        else if (s->block)
            g->read++;
        else
            g->ended = true;
        pthread_cond_broadcast(&g->changed);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* Room for the rows of a block, that of the thread before it: *rows grows. */
static weir_status score_claimed(const scoring *g, slot *s, double **rows, int64_t *room_rows, weir_err *err) {
    weir_status status = make_room(s, g->outputs, err);
    if (!status && s->row_count > *room_rows) {
        weir_models_free(*rows);
        *rows = weir_models_calloc((size_t)s->row_count * (size_t)g->columns, sizeof **rows);
        *room_rows = *rows ? s->row_count : 0;
        if (!*rows) status = no_memory(err);
    }
    return status ? status : score_slot(g, s, *rows, err);
}

static void *score_blocks(void *context) {
    scoring *g = context;
    double *rows = NULL;
    int64_t room_rows = 0;
    pthread_mutex_lock(&g->lock);
    while (!g->stopping && !(g->ended && g->claimed == g->read)) {
        if (g->claimed == g->read) {
            pthread_cond_wait(&g->changed, &g->lock);
            continue;
        }
        slot *s = &g->slots[g->claimed++ % g->room];
        pthread_mutex_unlock(&g->lock);
        weir_err err;
        weir_status status = score_claimed(g, s, &rows, &room_rows, &err);
        pthread_mutex_lock(&g->lock);
        s->scored = true;
        if (status) fail(g, status, &err);
        pthread_cond_broadcast(&g->changed);
    }
    pthread_mutex_unlock(&g->lock);
    weir_models_free(rows);
    return NULL;
}

static void take_blocks(scoring *g) {
    pthread_mutex_lock(&g->lock);
    while (!g->stopping && !(g->ended && g->taken == g->read)) {
        slot *s = &g->slots[g->taken % g->room];
        if (g->taken == g->read || !s->scored) {
            pthread_cond_wait(&g->changed, &g->lock);
            continue;
        }
        pthread_mutex_unlock(&g->lock);
        weir_err err;
        const weir_batch_scores scores = {s->row_count, s->scores, s->reasons, s->rejected};
        weir_status status = g->ops->take(g->context, s->block, &scores, &err);
        g->ops->drop(g->context, s->block);
        clear_slot(s);
        pthread_mutex_lock(&g->lock);
        g->taken++;
        if (status) fail(g, status, &err);
        pthread_cond_broadcast(&g->changed);
    }
    pthread_mutex_unlock(&g->lock);
}

/* ---- all of it ---- */

static void run(scoring *g) {
    pthread_t reader, scorers[WEIR_BATCH_THREADS_MAX];
    weir_err err;
    int made = 0;
    bool reads = !pthread_create(&reader, NULL, read_blocks, g);
    while (reads && made < g->how->threads && !pthread_create(&scorers[made], NULL, score_blocks, g)) made++;
    if (made) {
        take_blocks(g);
    } else {
        weir_status status = WEIR_FAIL(&err, WEIR_EIO, "cannot start a thread to score with");
        pthread_mutex_lock(&g->lock);
        fail(g, status, &err);
        pthread_mutex_unlock(&g->lock);
    }
    if (reads) pthread_join(reader, NULL);
    for (int i = 0; i < made; i++) pthread_join(scorers[i], NULL);
}

weir_status weir_batch_score(weir_model *model, const weir_batch_ops *ops, void *context, const weir_batch_how *how, weir_err *err) {
    if (how->threads < 1 || how->threads > WEIR_BATCH_THREADS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%d threads, expected 1 to %d", how->threads, WEIR_BATCH_THREADS_MAX);
    scoring g = {.model = model,
                 .ops = ops,
                 .context = context,
                 .how = how,
                 .columns = weir_model_column_count(model),
                 .outputs = weir_model_output_count(model),
                 .room = 2 * how->threads + 2,
                 .lock = PTHREAD_MUTEX_INITIALIZER,
                 .changed = PTHREAD_COND_INITIALIZER};
    if (!(g.slots = weir_models_calloc((size_t)g.room, sizeof *g.slots))) return no_memory(err);
    run(&g);
    for (int64_t i = 0; i < g.room; i++) {
        slot *s = &g.slots[i];
        if (s->block) ops->drop(context, s->block);
        if (s->room_rows) clear_slot(s);
        weir_models_free(s->scores);
        weir_models_free(s->reasons);
    }
    weir_models_free(g.slots);
    pthread_mutex_destroy(&g.lock);
    pthread_cond_destroy(&g.changed);
    if (g.status) *err = g.err;
    return g.status;
}
