#include "features/asof.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 256 }; /* a power of two */

struct weir_asof {
    weir_asof_conf conf;
    weir_spill *labels, *rows;
    uint32_t entity_count[PARTITIONS]; /* numbers in the partition: the largest + 1 */
};

weir_status weir_asof_new(const weir_asof_conf *conf, weir_asof **ret_asof, weir_err *err) {
    weir_asof *asof = weir_mem.realloc(NULL, sizeof *asof);
    if (!asof) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a join");
    memset(asof, 0, sizeof *asof);
    asof->conf = *conf;
    if (asof->conf.thread_count < 1) asof->conf.thread_count = 1;
    if (asof->conf.thread_count > WEIR_ASOF_THREADS_MAX) asof->conf.thread_count = WEIR_ASOF_THREADS_MAX;
    weir_status status = weir_spill_new(PARTITIONS, sizeof(weir_asof_label), conf->budget, &asof->labels, err);
    if (!status) status = weir_spill_new(PARTITIONS, sizeof(weir_asof_row) + (size_t)conf->value_count * sizeof(double), conf->budget, &asof->rows, err);
    if (status) {
        weir_asof_free(asof);
        return status;
    }
    *ret_asof = asof;
    return WEIR_OK;
}

void weir_asof_free(weir_asof *asof) {
    if (!asof) return;
    weir_spill_free(asof->labels);
    weir_spill_free(asof->rows);
    free(asof);
}

weir_status weir_asof_add_label(weir_asof *asof, const weir_asof_label *label, weir_err *err) {
    uint32_t partition = label->entity % PARTITIONS, local = label->entity / PARTITIONS;
    weir_asof_label *to = weir_spill_add(asof->labels, (int)partition, err);
    if (!to) return err ? err->code : WEIR_ENOMEM;
    *to = *label;
    if (local >= asof->entity_count[partition]) asof->entity_count[partition] = local + 1;
    return WEIR_OK;
}

weir_asof_row *weir_asof_add_row(weir_asof *asof, uint32_t entity, weir_err *err) {
    weir_asof_row *row = weir_spill_add(asof->rows, (int)(entity % PARTITIONS), err);
    if (row) row->entity = entity;
    return row;
}

int64_t weir_asof_row_count(const weir_asof *asof) {
    return weir_spill_total(asof->rows);
}

/* --- order --- */

static int compare_source(int32_t p, int64_t o, int32_t q, int64_t r) {
    if (p != q) return p < q ? -1 : 1;
    return (o > r) - (o < r);
}

static int compare_labels(const weir_asof_label *a, const weir_asof_label *b) {
    if (a->cutoff_us != b->cutoff_us) return a->cutoff_us < b->cutoff_us ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* The order in which rows count, whenever they became known. */
static int compare_rows(const weir_asof_row *a, const weir_asof_row *b) {
    if (a->event_us != b->event_us) return a->event_us < b->event_us ? -1 : 1;
    int order = compare_source(a->partition, a->offset, b->partition, b->offset);
    return order ? order : (a->version > b->version) - (a->version < b->version);
}

static int compare_known(const weir_asof_row *a, const weir_asof_row *b) {
    if (a->known_us != b->known_us) return a->known_us < b->known_us ? -1 : 1;
    return compare_rows(a, b);
}

typedef int (*compare_fn)(const void *a, const void *b);

static int by_label(const void *a, const void *b) {
    return compare_labels(*(const weir_asof_label *const *)a, *(const weir_asof_label *const *)b);
}

static int by_known(const void *a, const void *b) {
    return compare_known(*(const weir_asof_row *const *)a, *(const weir_asof_row *const *)b);
}

/* Mostly there is nothing to do: input comes by time. */
static void order(const void **items, int64_t count, compare_fn compare) {
    for (int64_t i = 1; i < count; i++) {
        if (compare(&items[i - 1], &items[i]) <= 0) continue;
        qsort(items, (size_t)count, sizeof *items, compare);
        return;
    }
}

/* --- a partition --- */

/* Records by entity: those of local number k are items[start[k] … start[k + 1]). */
typedef struct grouped {
    void *records;
    int64_t count;
    const void **items; /* [count] */
    uint32_t *start; /* [entities + 1] */
} grouped;

static void grouped_done(grouped *g) {
    free(g->records);
    free(g->items);
    free(g->start);
}

/* Both kinds of records begin with the entity. A row of an entity that no label has is left out. */
static weir_status group(weir_spill *spill, int partition, size_t stride, uint32_t entities, grouped *g, weir_err *err) {
    weir_status status = weir_spill_take(spill, partition, INT64_MAX, &g->records, &g->count, err);
    if (status) return status;
    if (g->count > UINT32_MAX - 1) return WEIR_FAIL(err, WEIR_ELIMIT, "%lld records in one partition of the join", (long long)g->count);
    g->items = weir_mem.realloc(NULL, (size_t)(g->count + 1) * sizeof *g->items);
    g->start = weir_mem.realloc(NULL, ((size_t)entities + 2) * sizeof *g->start);
    if (!g->items || !g->start) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the %lld records of a partition", (long long)g->count);
    memset(g->start, 0, ((size_t)entities + 2) * sizeof *g->start);
    const char *record = g->records;
    for (int64_t i = 0; i < g->count; i++, record += stride) {
        uint32_t local = *(const uint32_t *)record / PARTITIONS;
        if (local < entities) g->start[local + 2]++;
    }
    for (uint32_t k = 1; k < entities; k++) g->start[k + 1] += g->start[k];
    record = g->records; /* start[k + 1] runs from the beginning of k to its end */
    for (int64_t i = 0; i < g->count; i++, record += stride) {
        uint32_t local = *(const uint32_t *)record / PARTITIONS;
        if (local < entities) g->items[g->start[local + 1]++] = record;
    }
    return WEIR_OK;
}

/* Rows that became known so far, in the order of compare_rows. */
typedef struct entered {
    const weir_asof_row **rows;
    int64_t count, capacity;
} entered;

static weir_status enter(entered *e, const weir_asof_row *row, weir_err *err) {
    if (e->count == e->capacity) {
        int64_t capacity = e->capacity ? 2 * e->capacity : 256;
        const weir_asof_row **rows = weir_mem.realloc(e->rows, (size_t)capacity * sizeof *rows);
        if (!rows) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the rows of an entity");
        e->rows = rows;
        e->capacity = capacity;
    }
    int64_t low = 0, high = e->count;
    if (high && compare_rows(e->rows[high - 1], row) <= 0) low = high; /* in order */
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (compare_rows(e->rows[mid], row) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    memmove(e->rows + low + 1, e->rows + low, (size_t)(e->count - low) * sizeof *e->rows);
    e->rows[low] = row;
    e->count++;
    return WEIR_OK;
}

static bool counts(const weir_asof_label *label, const weir_asof_row *row) {
    if (row->event_us != label->time_us) return row->event_us < label->time_us;
    return compare_source(row->partition, row->offset, label->upto_partition, label->upto_offset) <= 0;
}

/* The last row that counts. Rows that do not are all behind those that do. */
static const weir_asof_row *newest(const entered *e, const weir_asof_label *label) {
    int64_t low = 0, high = e->count;
    if (high && counts(label, e->rows[high - 1])) return e->rows[high - 1];
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (counts(label, e->rows[mid]))
            low = mid + 1;
        else
            high = mid;
    }
    return low ? e->rows[low - 1] : NULL;
}

typedef struct run {
    weir_asof *asof;
    const weir_asof_ops *ops;
    void *context;
    atomic_int next; /* partition to be done */
    atomic_bool failed;
} run;

typedef struct runner {
    run *run;
    int thread;
    pthread_t id;
    entered entered;
    weir_status status;
    weir_err err;
} runner;

static weir_status walk_entity(runner *r, const grouped *labels, const grouped *rows, uint32_t local) {
    const weir_asof_ops *ops = r->run->ops;
    void *context = r->run->context;
    int64_t ttl_us = r->run->asof->conf.ttl_us;
    uint32_t next = rows->start[local], end = rows->start[local + 1];
    order(labels->items + labels->start[local], labels->start[local + 1] - labels->start[local], by_label);
    order(rows->items + next, end - next, by_known);
    r->entered.count = 0;
    if (ops->begin) ops->begin(context, r->thread);
    weir_status status = WEIR_OK;
    for (uint32_t i = labels->start[local]; !status && i < labels->start[local + 1]; i++) {
        const weir_asof_label *label = labels->items[i];
        for (; !status && next < end; next++) {
            const weir_asof_row *row = rows->items[next];
            if (row->known_us > label->cutoff_us) break;
            status = enter(&r->entered, row, &r->err);
            if (!status && ops->enter) status = ops->enter(context, r->thread, row, &r->err);
        }
        if (status) break;
        const weir_asof_row *found = newest(&r->entered, label);
        bool expired = found && ttl_us && label->time_us - found->event_us > ttl_us;
        status = ops->at(context, r->thread, label, expired ? NULL : found, expired, &r->err);
    }
    return status;
}

static weir_status walk_partition(runner *r, int partition) {
    weir_asof *asof = r->run->asof;
    grouped labels = {0}, rows = {0};
    uint32_t entities = asof->entity_count[partition];
    size_t row_stride = sizeof(weir_asof_row) + (size_t)asof->conf.value_count * sizeof(double);
    if (!entities) return WEIR_OK;
    weir_status status = group(asof->labels, partition, sizeof(weir_asof_label), entities, &labels, &r->err);
    if (!status) status = group(asof->rows, partition, row_stride, entities, &rows, &r->err);
    for (uint32_t k = 0; !status && k < entities; k++) {
        if (labels.start[k] < labels.start[k + 1]) status = walk_entity(r, &labels, &rows, k);
    }
    grouped_done(&labels);
    grouped_done(&rows);
    return status;
}

static void *run_thread(void *context) {
    runner *r = context;
    int partition;
    while (!r->status && !atomic_load(&r->run->failed) && (partition = atomic_fetch_add(&r->run->next, 1)) < PARTITIONS)
        r->status = walk_partition(r, partition);
    if (r->status) atomic_store(&r->run->failed, true);
    return NULL;
}

weir_status weir_asof_run(weir_asof *asof, const weir_asof_ops *ops, void *context, weir_err *err) {
    run all = {.asof = asof, .ops = ops, .context = context};
    runner *runners = weir_mem.realloc(NULL, (size_t)asof->conf.thread_count * sizeof *runners);
    if (!runners) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the threads of a join");
    int started = 1;
    for (int t = 0; t < asof->conf.thread_count; t++) runners[t] = (runner){.run = &all, .thread = t};
    /* A thread that cannot be started is no harm: the others do its work. */
    while (started < asof->conf.thread_count && !pthread_create(&runners[started].id, NULL, run_thread, &runners[started])) started++;
    run_thread(&runners[0]);
    weir_status status = WEIR_OK;
    for (int t = 0; t < started; t++) {
        if (t) pthread_join(runners[t].id, NULL);
        if (runners[t].status && !status) {
            status = runners[t].status;
            if (err) *err = runners[t].err;
        }
        free(runners[t].entered.rows);
    }
    free(runners);
    return status;
}
