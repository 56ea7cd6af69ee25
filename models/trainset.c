/* Training sets in memory: made of columns, taken apart by rows. Everything of a set lives in one arena. */
#include "models/trainset.h"

#include <assert.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"

enum { BLOCK_ROWS = 256 };

struct weir_trainset_memory {
    weir_arena arena;
};

static weir_status no_memory(int64_t rows, int columns, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a training set of %lld rows and %d columns", (long long)rows, columns);
}

/* ---- what is to be copied ---- */

static weir_status check_shape(const weir_trainset_source *s, int targets, weir_err *err) {
    if (s->column_count < 1 || s->column_count > WEIR_MODEL_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "the training set has %d columns, expected 1 to %d", s->column_count, WEIR_MODEL_COLUMNS_MAX);
    for (int c = 0; c < s->column_count; c++) {
        if (!s->columns[c].name || !*s->columns[c].name) return WEIR_FAIL(err, WEIR_EINVAL, "column %d has no name", c);
        for (int other = 0; other < c; other++)
            if (!strcmp(s->columns[c].name, s->columns[other].name)) return WEIR_FAIL(err, WEIR_EINVAL, "column '%s' is there twice", s->columns[c].name);
    }
    if (targets > WEIR_TRAINSET_TARGETS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%d targets, expected at most %d", targets, WEIR_TRAINSET_TARGETS_MAX);
    if (targets > 1 && s->task != WEIR_TASK_REGRESSION)
        return WEIR_FAIL(err, WEIR_EINVAL, "%d targets of a %s task, expected one: several are of a regression only", targets, weir_task_name(s->task));
    if (s->label_until_us && !s->time_us) return WEIR_FAIL(err, WEIR_EINVAL, "times from which labels are known, but no times of the rows");
    return WEIR_OK;
}

static bool has_label(const weir_trainset_source *s, int targets, int64_t r) {
    for (int t = 0; t < targets; t++)
        if (isnan(s->targets[t][r])) return false;
    return true;
}

static weir_status check_label(const weir_trainset_source *s, int targets, int64_t r, weir_err *err) {
    double y = s->targets[0][r], classes = s->task == WEIR_TASK_BINARY ? 2 : s->class_count ? s->class_count : WEIR_MODEL_CLASSES_MAX;
    if (s->task != WEIR_TASK_REGRESSION && !(y >= 0 && y < classes && y == floor(y)))
        return WEIR_FAIL(err, WEIR_EDATA, "label '%s' of row %lld is %g, expected a whole number from 0 to %g", s->target_names[0], (long long)r, y,
                         classes - 1);
    for (int t = 0; t < targets; t++)
        if (isinf(s->targets[t][r]))
            return WEIR_FAIL(err, WEIR_EDATA, "label '%s' of row %lld is %g, expected a finite number", s->target_names[t], (long long)r, s->targets[t][r]);
    if (s->label_until_us && s->label_until_us[r] < s->time_us[r])
        return WEIR_FAIL(err, WEIR_EDATA, "the label of row %lld is known %lld us before the row's time", (long long)r,
                         (long long)(s->time_us[r] - s->label_until_us[r]));
    if (s->entity && s->entity[r] >= s->entity_count)
        return WEIR_FAIL(err, WEIR_EDATA, "entity of row %lld is %u, expected one below %u", (long long)r, s->entity[r], s->entity_count);
    if (s->weight && !(s->weight[r] >= 0 && isfinite(s->weight[r])))
        return WEIR_FAIL(err, WEIR_EDATA, "weight of row %lld is %g, expected a finite number from 0", (long long)r, s->weight[r]);
    return WEIR_OK;
}

/* Row numbers with their times, to be sorted. */
typedef struct timed_row {
    int64_t time_us, row;
} timed_row;

static int by_time(const void *left, const void *right) {
    const timed_row *a = left, *b = right;
    if (a->time_us != b->time_us) return a->time_us < b->time_us ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static weir_status sort_rows(const int64_t *time_us, int64_t *order, int64_t count, weir_err *err) {
    bool ascends = true;
    for (int64_t i = 1; ascends && i < count; i++) ascends = time_us[order[i - 1]] <= time_us[order[i]];
    if (ascends) return WEIR_OK;
    timed_row *rows = weir_models_calloc((size_t)count, sizeof *rows);
    if (!rows) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to sort %lld rows", (long long)count);
    for (int64_t i = 0; i < count; i++) rows[i] = (timed_row){time_us[order[i]], order[i]};
    qsort(rows, (size_t)count, sizeof *rows, by_time);
    for (int64_t i = 0; i < count; i++) order[i] = rows[i].row;
    weir_models_free(rows);
    return WEIR_OK;
}

/* The rows that have a label, in the order of time: order [source->row_count], of which *ret_count are filled. */
static weir_status choose_rows(const weir_trainset_source *s, int targets, int64_t *order, int64_t *ret_count, weir_err *err) {
    int64_t n = 0;
    for (int64_t r = 0; r < s->row_count; r++) {
        if (!has_label(s, targets, r)) continue;
        weir_status status = check_label(s, targets, r, err);
        if (status) return status;
        order[n++] = r;
    }
    if (!n) return WEIR_FAIL(err, WEIR_ENOTFOUND, "none of the %lld rows has a label '%s'", (long long)s->row_count, s->target_names[0]);
    *ret_count = n;
    return s->time_us ? sort_rows(s->time_us, order, n, err) : WEIR_OK;
}

/* ---- room ---- */

static void *room(weir_trainset *set, size_t count, size_t size) {
    if (size && count > SIZE_MAX / 4 / size) return NULL;
    return weir_arena_alloc(&set->memory->arena, count * size + 1);
}

static char *copy_text(weir_trainset *set, const char *text) {
    return weir_arena_copy(&set->memory->arena, text ? text : "", text ? strlen(text) : 0);
}

/* *ret_texts [count] and a NULL after them. */
static bool copy_texts(weir_trainset *set, const char *const *texts, size_t count, char ***ret_texts) {
    char **copy = room(set, count + 1, sizeof *copy);
    bool ok = copy != NULL;
    for (size_t i = 0; ok && i < count; i++) ok = (copy[i] = copy_text(set, texts[i])) != NULL;
    if (ok) copy[count] = NULL;
    *ret_texts = copy;
    return ok;
}

static size_t text_count(const char *const *texts) {
    size_t n = 0;
    while (texts && texts[n]) n++;
    return n;
}

static bool copy_columns(weir_trainset *set, const weir_trainset_source *s) {
    size_t count = (size_t)s->column_count;
    weir_prep_column *kinds = room(set, count, sizeof *kinds);
    const char **names = room(set, count + 1, sizeof *names);
    bool ok = kinds && names;
    for (size_t c = 0; ok && c < count; c++) {
        char **texts = NULL;
        kinds[c] = (weir_prep_column){.name = names[c] = copy_text(set, s->columns[c].name), .kind = s->columns[c].kind};
        ok = names[c] && (!s->columns[c].texts || copy_texts(set, s->columns[c].texts, text_count(s->columns[c].texts), &texts));
        kinds[c].texts = (const char *const *)texts;
    }
    if (ok) names[count] = NULL;
    set->matrix.kinds = kinds;
    set->matrix.column_names = names;
    return ok;
}

static bool make_room(weir_trainset *set, const weir_trainset_source *s) {
    size_t n = (size_t)set->matrix.row_count;
    bool ok = true;
    if (s->time_us) ok = (set->time_us = room(set, n, sizeof *set->time_us)) != NULL;
    if (ok && s->label_until_us) ok = (set->label_until_us = room(set, n, sizeof *set->label_until_us)) != NULL;
    if (ok && s->entity) ok = (set->entity = room(set, n, sizeof *set->entity)) != NULL;
    if (ok && s->tenant) ok = (set->tenant = room(set, n, sizeof *set->tenant)) != NULL;
    double *values = NULL, *weight = NULL;
    if (ok && s->weight) ok = (weight = room(set, n, sizeof *weight)) != NULL;
    ok = ok && (set->targets = room(set, n * (size_t)set->target_count, sizeof *set->targets)) &&
         (values = room(set, n * (size_t)s->column_count, sizeof *values));
    if (ok) weir_mem_prefer_large_pages(values, n * (size_t)s->column_count * sizeof *values);
    set->matrix.values = values;
    set->matrix.weight = weight;
    set->matrix.label = set->targets;
    return ok;
}

/* A set of row_count rows whose arrays are not filled yet. */
static weir_status start(const weir_trainset_source *s, int64_t row_count, weir_trainset *set, weir_err *err) {
    *set = (weir_trainset){
        .matrix = {.row_count = row_count, .column_count = s->column_count, .task = s->task, .class_count = s->class_count},
        .entity_count = s->entity_count,
        .tenant_count = s->tenant_count,
        .target_count = s->target_count ? s->target_count : 1,
        .memory = weir_models_calloc(1, sizeof *set->memory),
    };
    if (!set->memory) return no_memory(row_count, s->column_count, err);
    weir_arena_init(&set->memory->arena, SIZE_MAX / 2);
    size_t classes = s->task == WEIR_TASK_BINARY ? 2 : (size_t)s->class_count;
    bool ok = copy_columns(set, s) && copy_texts(set, s->target_names, (size_t)set->target_count, &set->target_names) &&
              (!s->class_names || copy_texts(set, s->class_names, classes, &set->class_names)) &&
              (!s->tenant_names || copy_texts(set, s->tenant_names, s->tenant_count, &set->tenant_names)) && (set->source = copy_text(set, s->source)) &&
              (set->query = copy_text(set, s->query)) && make_room(set, s);
    set->matrix.class_names = (const char *const *)set->class_names;
    if (ok) return WEIR_OK;
    weir_trainset_done(set);
    return no_memory(row_count, s->column_count, err);
}

void weir_trainset_done(weir_trainset *set) {
    if (set->memory) weir_arena_done(&set->memory->arena);
    weir_models_free(set->memory);
    *set = (weir_trainset){0};
}

/* ---- filling ---- */

static void gather_times(int64_t *to, const int64_t *from, const int64_t *order, int64_t count) {
    for (int64_t i = 0; to && i < count; i++) to[i] = from[order[i]];
}

static void gather_numbers(uint32_t *to, const uint32_t *from, const int64_t *order, int64_t count) {
    for (int64_t i = 0; to && i < count; i++) to[i] = from[order[i]];
}

static void gather_values(double *to, const double *from, const int64_t *order, int64_t count) {
    for (int64_t i = 0; to && i < count; i++) to[i] = from[order[i]];
}

/* All arrays but the values. */
static void gather(const weir_trainset_source *s, const int64_t *order, weir_trainset *set) {
    int64_t n = set->matrix.row_count;
    gather_times(set->time_us, s->time_us, order, n);
    gather_times(set->label_until_us, s->label_until_us, order, n);
    gather_numbers(set->entity, s->entity, order, n);
    gather_numbers(set->tenant, s->tenant, order, n);
    gather_values((double *)set->matrix.weight, s->weight, order, n);
    for (int t = 0; t < set->target_count; t++) gather_values(set->targets + t * n, s->targets[t], order, n);
}

/* Columns become rows, block by block, so that a block's rows stay in the cache until all their columns are there. One NaN for all: equal sets have equal
 * digests. */
static weir_status turn(const weir_trainset_source *s, const int64_t *order, weir_trainset *set, weir_err *err) {
    int columns = s->column_count;
    int64_t n = set->matrix.row_count;
    double *values = (double *)set->matrix.values;
    for (int64_t first = 0; first < n; first += BLOCK_ROWS) {
        int64_t end = n - first < BLOCK_ROWS ? n : first + BLOCK_ROWS;
        for (int c = 0; c < columns; c++) {
            const double *from = s->values[c];
            double bad = 0;
            for (int64_t i = first; i < end; i++) {
                double x = from[order[i]];
                bad = isinf(x) ? x : bad;
                values[i * columns + c] = isnan(x) ? NAN : x;
            }
            if (bad != 0) return WEIR_FAIL(err, WEIR_ENUMERIC, "column '%s' holds the infinite value %g", s->columns[c].name, bad);
        }
    }
    return WEIR_OK;
}

static bool digest_texts(EVP_MD_CTX *context, const char *const *texts, size_t count) {
    bool ok = EVP_DigestUpdate(context, &count, sizeof count);
    for (size_t i = 0; ok && i < count; i++) ok = EVP_DigestUpdate(context, texts[i], strlen(texts[i]) + 1);
    return ok;
}

/* An array, or that there is none. */
static bool digest_array(EVP_MD_CTX *context, const void *array, size_t bytes) {
    unsigned char there = array != NULL;
    return EVP_DigestUpdate(context, &there, 1) && (!array || EVP_DigestUpdate(context, array, bytes));
}

static bool digest_all(EVP_MD_CTX *context, const weir_trainset *set) {
    const weir_matrix *m = &set->matrix;
    size_t n = (size_t)m->row_count;
    int64_t shape[] = {m->row_count, m->column_count, m->task, m->class_count, set->target_count};
    bool ok = EVP_DigestUpdate(context, shape, sizeof shape) && digest_texts(context, m->column_names, (size_t)m->column_count) &&
              digest_texts(context, (const char *const *)set->target_names, (size_t)set->target_count);
    for (int c = 0; ok && c < m->column_count; c++) {
        int64_t kind = m->kinds[c].kind;
        ok = EVP_DigestUpdate(context, &kind, sizeof kind) && digest_texts(context, m->kinds[c].texts, text_count(m->kinds[c].texts));
    }
    return ok && digest_array(context, m->values, n * (size_t)m->column_count * sizeof *m->values) &&
           digest_array(context, set->targets, n * (size_t)set->target_count * sizeof *set->targets) &&
           digest_array(context, m->weight, n * sizeof *m->weight) && digest_array(context, set->time_us, n * sizeof *set->time_us) &&
           digest_array(context, set->label_until_us, n * sizeof *set->label_until_us) && digest_array(context, set->entity, n * sizeof *set->entity) &&
           digest_array(context, set->tenant, n * sizeof *set->tenant);
}

/* Of the whole set, or where it is part of another one of that one's digest and the rows. */
static weir_status digest(weir_trainset *set, const char *whole, const int64_t *rows, weir_err *err) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    if (whole)
        ok = ok && EVP_DigestUpdate(context, whole, strlen(whole)) && EVP_DigestUpdate(context, rows, (size_t)set->matrix.row_count * sizeof *rows);
    else
        ok = ok && digest_all(context, set);
    ok = ok && EVP_DigestFinal_ex(context, bytes, NULL) && (set->digest = room(set, 65, 1));
    EVP_MD_CTX_free(context);
    if (!ok) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the digest of a training set");
    for (size_t i = 0; i < 32; i++) snprintf(set->digest + 2 * i, 3, "%02x", bytes[i]);
    return WEIR_OK;
}

/* How many different entities the rows are of. */
static weir_status count_entities(weir_trainset *set, weir_err *err) {
    if (!set->entity) return WEIR_OK;
    unsigned char *seen = weir_models_calloc((size_t)set->entity_count, 1);
    if (!seen) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to count %u entities", set->entity_count);
    for (int64_t r = 0; r < set->matrix.row_count; r++) {
        set->entities_seen += !seen[set->entity[r]];
        seen[set->entity[r]] = 1;
    }
    weir_models_free(seen);
    return WEIR_OK;
}

static weir_status finish(weir_status status, weir_trainset *set, weir_trainset *ret_set) {
    if (status)
        weir_trainset_done(set);
    else
        *ret_set = *set;
    return status;
}

/* ---- making ---- */

static int highest_class(const weir_trainset_source *s, const int64_t *order, int64_t count) {
    double highest = 1; /* a set with rows of one class only is still one of two: fitting says what is missing */
    for (int64_t i = 0; i < count; i++)
        if (s->targets[0][order[i]] > highest) highest = s->targets[0][order[i]];
    return (int)highest + 1;
}

weir_status weir_trainset_make(const weir_trainset_source *source, weir_trainset *ret_set, weir_err *err) {
    weir_trainset_source s = *source;
    weir_trainset set = {0};
    int64_t count = 0;
    s.target_count = s.target_count ? s.target_count : 1;
    weir_status status = check_shape(&s, s.target_count, err);
    if (status) return status;
    int64_t *order = weir_models_calloc((size_t)s.row_count, sizeof *order);
    if (!order) return no_memory(s.row_count, s.column_count, err);
    status = choose_rows(&s, s.target_count, order, &count, err);
    if (!status) {
        if (s.task != WEIR_TASK_MULTICLASS)
            s.class_count = 0;
        else if (!s.class_count)
            s.class_count = highest_class(&s, order, count);
        status = start(&s, count, &set, err);
    }
    if (!status) {
        set.without_label = s.row_count - count;
        gather(&s, order, &set);
        status = turn(&s, order, &set, err);
        if (!status) status = count_entities(&set, err);
        if (!status) status = digest(&set, NULL, NULL, err);
        status = finish(status, &set, ret_set);
    }
    weir_models_free(order);
    return status;
}

weir_status weir_trainset_from_history(const weir_history *history, const char *source, const char *target, weir_task task, int64_t label_delay_us,
                                       weir_trainset *ret_set, weir_err *err) {
    size_t columns = (size_t)history->column_count, rows = (size_t)history->row_count;
    weir_prep_column *kinds = weir_models_calloc(columns, sizeof *kinds);
    const double **values = weir_models_calloc(columns, sizeof *values);
    int64_t *until = label_delay_us ? weir_models_calloc(rows, sizeof *until) : NULL;
    weir_status status = WEIR_OK;
    if (!kinds || !values || (label_delay_us && !until)) status = no_memory(history->row_count, history->column_count, err);
    for (size_t c = 0; !status && c < columns; c++) {
        kinds[c] = (weir_prep_column){.name = history->column_names[c], .kind = WEIR_PREP_NUMBER};
        values[c] = history->values + c * rows;
    }
    for (size_t r = 0; !status && until && r < rows; r++) until[r] = history->event_time_us[r] + label_delay_us;
    const double *label = history->label;
    const weir_trainset_source s = {
        .row_count = history->row_count,
        .column_count = history->column_count,
        .columns = kinds,
        .values = values,
        .task = task,
        .target_names = &target,
        .targets = &label,
        .time_us = history->event_time_us,
        .label_until_us = until,
        .entity = history->entity,
        .entity_count = history->entity_count,
        .source = source,
        .query = history->query_text,
    };
    if (!status) status = weir_trainset_make(&s, ret_set, err);
    weir_models_free(until);
    weir_models_free(values);
    weir_models_free(kinds);
    return status;
}

/* ---- parts ---- */

weir_trainset_source weir_trainset_as_source(const weir_trainset *set, const double **targets) {
    for (int t = 0; t < set->target_count; t++) targets[t] = set->targets + t * set->matrix.row_count;
    return (weir_trainset_source){
        .row_count = set->matrix.row_count,
        .column_count = set->matrix.column_count,
        .columns = set->matrix.kinds,
        .task = set->matrix.task,
        .class_count = set->matrix.class_count,
        .class_names = (const char *const *)set->class_names,
        .target_count = set->target_count,
        .target_names = (const char *const *)set->target_names,
        .targets = targets,
        .weight = set->matrix.weight,
        .time_us = set->time_us,
        .label_until_us = set->label_until_us,
        .entity = set->entity,
        .entity_count = set->entity_count,
        .tenant = set->tenant,
        .tenant_count = set->tenant_count,
        .tenant_names = (const char *const *)set->tenant_names,
        .source = set->source,
        .query = set->query,
    };
}

weir_status weir_trainset_take(const weir_trainset *set, const int64_t *rows, int64_t row_count, weir_trainset *ret_set, weir_err *err) {
    const double *targets[WEIR_TRAINSET_TARGETS_MAX];
    weir_trainset part = {0};
    if (row_count < 1) return WEIR_FAIL(err, WEIR_EINVAL, "no rows to take from the training set");
    const weir_trainset_source s = weir_trainset_as_source(set, targets);
    weir_status status = start(&s, row_count, &part, err);
    if (status) return status;
    gather(&s, rows, &part);
    size_t width = (size_t)s.column_count;
    for (int64_t i = 0; i < row_count; i++) {
        assert(rows[i] >= 0 && rows[i] < set->matrix.row_count);
        memcpy((double *)part.matrix.values + (size_t)i * width, set->matrix.values + (size_t)rows[i] * width, width * sizeof *set->matrix.values);
    }
    status = count_entities(&part, err);
    if (!status) status = digest(&part, set->digest, rows, err);
    return finish(status, &part, ret_set);
}

/* The first row of the last part: where a time begins, as near as may be before the place that the share names, else after it. */
static int64_t cut_at(const weir_trainset *set, double last_share) {
    int64_t n = set->matrix.row_count, place = (int64_t)floor((1 - last_share) * (double)n + 0.5), at = place < 1 ? 1 : place > n - 1 ? n - 1 : place;
    if (!set->time_us) return at;
    int64_t first = at, next = at;
    while (first > 0 && set->time_us[first - 1] == set->time_us[at]) first--;
    if (first > 0) return first;
    while (next < n && set->time_us[next] == set->time_us[at]) next++;
    return next;
}

weir_status weir_trainset_cut(const weir_trainset *set, double last_share, int64_t gap_us, weir_trainset *ret_first, weir_trainset *ret_last, weir_err *err) {
    int64_t n = set->matrix.row_count, kept = 0;
    if (!(last_share > 0 && last_share < 1)) return WEIR_FAIL(err, WEIR_EINVAL, "a share of %g for the last rows, expected one between 0 and 1", last_share);
    if (n < 2) return WEIR_FAIL(err, WEIR_EDATA, "%lld rows cannot be cut in two", (long long)n);
    int64_t at = cut_at(set, last_share);
    if (at >= n) return WEIR_FAIL(err, WEIR_EDATA, "all %lld rows have one time, they cannot be cut in two by time", (long long)n);
    int64_t *rows = weir_models_calloc((size_t)n, sizeof *rows);
    if (!rows) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to cut %lld rows", (long long)n);
    for (int64_t r = 0; r < at; r++) {
        bool known = !set->label_until_us || set->label_until_us[r] < set->time_us[at];
        bool clear = !set->time_us || gap_us <= 0 || set->time_us[r] < set->time_us[at] - gap_us;
        if (known && clear) rows[kept++] = r;
    }
    weir_trainset first = {0}, last = {0};
    weir_status status = WEIR_OK;
    if (!kept) status = WEIR_FAIL(err, WEIR_EDATA, "of the %lld rows before the cut the gap and labels that were not known yet leave none", (long long)at);
    if (!status) status = weir_trainset_take(set, rows, kept, &first, err);
    for (int64_t r = at; r < n; r++) rows[r - at] = r;
    if (!status) status = weir_trainset_take(set, rows, n - at, &last, err);
    weir_models_free(rows);
    if (status) {
        weir_trainset_done(&first);
        return status;
    }
    *ret_first = first;
    *ret_last = last;
    return WEIR_OK;
}

weir_trainset weir_trainset_one_target(const weir_trainset *set, int target) {
    weir_trainset one = *set;
    assert(target >= 0 && target < set->target_count);
    one.memory = NULL;
    one.target_count = 1;
    one.target_names += target;
    one.targets += target * set->matrix.row_count;
    one.matrix.label = one.targets;
    return one;
}

/* ---- splitting ---- */

weir_split_rows weir_trainset_split_rows(const weir_trainset *set) {
    return (weir_split_rows){
        .row_count = set->matrix.row_count,
        .label = set->matrix.task == WEIR_TASK_REGRESSION ? NULL : set->matrix.label,
        .time_us = set->time_us,
        .label_until_us = set->label_until_us,
        .group = set->entity,
        .tenant = set->tenant,
    };
}

/* At least `expected` different times. */
static bool has_times(const weir_trainset *set, int expected) {
    int found = set->time_us != NULL;
    for (int64_t r = 1; set->time_us && found < expected && r < set->matrix.row_count; r++) found += set->time_us[r] != set->time_us[r - 1];
    return found >= expected;
}

/* The longest time from a row to when its label was known. */
static int64_t label_horizon_us(const weir_trainset *set) {
    int64_t longest = 0;
    for (int64_t r = 0; set->label_until_us && r < set->matrix.row_count; r++)
        if (set->label_until_us[r] - set->time_us[r] > longest) longest = set->label_until_us[r] - set->time_us[r];
    return longest;
}

/* Purging a block in the middle takes two horizons from what the folds leave for training; half of it at least has to remain. */
static bool can_purge(const weir_trainset *set, int folds) {
    int64_t span_us = set->time_us[set->matrix.row_count - 1] - set->time_us[0], horizon_us = label_horizon_us(set);
    return horizon_us && horizon_us <= span_us / folds * (folds - 1) / 4;
}

/* 0: a regression. */
static int count_classes(const weir_trainset *set) {
    return set->matrix.task == WEIR_TASK_REGRESSION ? 0 : set->matrix.task == WEIR_TASK_BINARY ? 2 : set->matrix.class_count;
}

/* How many rows from the first on it takes until there was one of each class. */
static int64_t rows_with_every_class(const weir_trainset *set) {
    bool seen[WEIR_MODEL_CLASSES_MAX] = {false};
    int64_t last_new = 0;
    for (int64_t r = 0; r < set->matrix.row_count; r++) {
        bool *class_seen = &seen[(int)set->matrix.label[r]];
        if (!*class_seen) last_new = r;
        *class_seen = true;
    }
    return last_new + 1;
}

/* The first training part has rows of every class: test windows become shorter where the usual ones would begin too early. False when they would have no
 * rows. */
static bool walk_forward(const weir_trainset *set, weir_split *split) {
    int64_t n = set->matrix.row_count, usual = n / (split->folds + 1);
    if (set->matrix.task != WEIR_TASK_REGRESSION) {
        int64_t least = (n - rows_with_every_class(set)) / split->folds;
        if (least < 1) return false;
        if (least < usual) split->test_rows = least;
    }
    split->scheme = WEIR_SPLIT_WALK_FORWARD;
    return true;
}

int64_t weir_trainset_rarest_class(const weir_trainset *set, int *ret_class) {
    int64_t rows[WEIR_MODEL_CLASSES_MAX] = {0}, fewest = INT64_MAX;
    int classes = count_classes(set);
    *ret_class = 0;
    for (int64_t r = 0; classes && r < set->matrix.row_count; r++) rows[(int)set->matrix.label[r]]++;
    for (int k = 0; k < classes; k++) {
        if (rows[k] >= fewest) continue;
        fewest = rows[k];
        *ret_class = k;
    }
    return fewest;
}

int weir_trainset_fold_lacks(const weir_trainset *set, const weir_split_plan *plan, int fold, weir_role wanted, uint8_t *role) {
    bool seen[WEIR_MODEL_CLASSES_MAX] = {false};
    int classes = count_classes(set);
    weir_fold counts;
    weir_err err;
    if (weir_split_plan_roles(plan, fold, role, &counts, &err)) return 0;
    for (int64_t r = 0; r < set->matrix.row_count; r++)
        if (role[r] == wanted) seen[classes ? (int)set->matrix.label[r] : 0] = true;
    for (int k = 0; k < (classes ? classes : 1); k++)
        if (!seen[k]) return k;
    return WEIR_LACKS_NOTHING;
}

/* A class that one entity has, or one stretch of time, may be in no other fold: nothing can be fitted where it is tested. */
static weir_status check_fold(const weir_trainset *set, const weir_split_plan *plan, int fold, const char *scheme, uint8_t *role, weir_err *err) {
    int class = weir_trainset_fold_lacks(set, plan, fold, WEIR_ROLE_TRAIN, role);
    if (class == WEIR_LACKS_NOTHING) return WEIR_OK;
    if (!count_classes(set)) return WEIR_FAIL(err, WEIR_EDATA, "%s: fold %d has no rows to train on", scheme, fold + 1);
    if (set->class_names) return WEIR_FAIL(err, WEIR_EDATA, "%s: fold %d has no rows of class '%.60s' to train on", scheme, fold + 1, set->class_names[class]);
    return WEIR_FAIL(err, WEIR_EDATA, "%s: fold %d has no rows of class %d to train on", scheme, fold + 1, class);
}

weir_status weir_trainset_split_check(const weir_trainset *set, const weir_split *split, weir_err *err) {
    const weir_split_rows rows = weir_trainset_split_rows(set);
    weir_split_plan *plan = NULL;
    weir_status status = weir_split_plan_new(split, &rows, &plan, err);
    if (status) return status;
    uint8_t *role = weir_models_calloc((size_t)set->matrix.row_count, sizeof *role);
    if (!role) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the folds of %lld rows", (long long)set->matrix.row_count);
    for (int fold = 0; !status && fold < weir_split_plan_folds(plan); fold++)
        status = check_fold(set, plan, fold, weir_split_schemes()[split->scheme].name, role, err);
    weir_split_plan_free(plan);
    weir_models_free(role);
    return status;
}

static bool works(const weir_trainset *set, const weir_split *split) {
    weir_err err;
    return !weir_trainset_split_check(set, split, &err);
}

weir_split weir_trainset_default_split(const weir_trainset *set, int folds, uint64_t seed) {
    weir_split split = {.folds = folds, .seed = (int64_t)(seed & ((UINT64_C(1) << 53) - 1))};
    bool timed = has_times(set, folds + 1);
    bool purged = timed && can_purge(set, folds);
    if (timed && !purged && walk_forward(set, &split) && works(set, &split)) return split;
    split.test_rows = 0;
    split.scheme = WEIR_SPLIT_PURGED_K_FOLD;
    if (purged && works(set, &split)) return split;
    split.scheme = WEIR_SPLIT_GROUPED_K_FOLD;
    if (set->entity && set->entities_seen >= (uint32_t)folds && set->entities_seen < set->matrix.row_count && works(set, &split)) return split;
    int class;
    int64_t most = weir_trainset_rarest_class(set, &class);
    split.scheme = set->matrix.task == WEIR_TASK_REGRESSION ? WEIR_SPLIT_K_FOLD : WEIR_SPLIT_STRATIFIED_K_FOLD;
    split.folds = most >= folds ? folds : most < 2 ? 2 : most;
    split.shuffle = true;
    return split;
}
