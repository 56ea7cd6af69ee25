#include "features/latest.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, FEW = 24 };

typedef struct added {
    int64_t time_us, label;
    uint32_t entity;
} added;

/* The best row that was offered to a label. */
typedef struct best {
    int64_t event_us, offset, version;
    int64_t place; /* -1: none */
    int64_t label;
    int32_t partition;
} best;

/* The labels of entity e are entities[e].start … entities[e + 1].start - 1, by time. */
typedef struct group {
    uint32_t start;
    atomic_flag busy; /* some thread changes its labels */
} group;

struct weir_latest {
    int64_t capacity;
    uint32_t count, entity_count;
    added *added; /* [count] as they came; NULL once started */
    group *entities; /* [entity_count + 1] */
    int64_t *times; /* [count] */
    best *best; /* [count] */
};

int64_t weir_latest_bytes(int64_t label_count) {
    return label_count * (int64_t)(sizeof(added) + sizeof(int64_t) + sizeof(best) + sizeof(group) + 2 * sizeof(weir_latest_match));
}

static weir_status no_memory(int64_t labels, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for joining %lld labels", (long long)labels);
}

static void *alloc(size_t count, size_t size) {
    void *array = weir_mem.realloc(NULL, count * size + 1);
    if (array) weir_mem_prefer_large_pages(array, count * size);
    return array;
}

weir_status weir_latest_new(int64_t label_count, weir_latest **ret_latest, weir_err *err) {
    if (label_count >= UINT32_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "%lld labels are too many to be joined in memory", (long long)label_count);
    weir_latest *latest = alloc(1, sizeof *latest);
    if (!latest) return no_memory(label_count, err);
    *latest = (weir_latest){.capacity = label_count, .added = alloc((size_t)label_count, sizeof(added))};
    if (!latest->added) {
        weir_latest_free(latest);
        return no_memory(label_count, err);
    }
    *ret_latest = latest;
    return WEIR_OK;
}

void weir_latest_free(weir_latest *latest) {
    if (!latest) return;
    free(latest->added);
    free(latest->entities);
    free(latest->times);
    free(latest->best);
    free(latest);
}

void weir_latest_add(weir_latest *latest, uint32_t entity, int64_t time_us, int64_t label) {
    latest->added[latest->count++] = (added){time_us, label, entity};
}

/* --- labels by entity and time --- */

static int by_time(const void *a, const void *b) {
    const added *x = a, *y = b;
    if (x->time_us != y->time_us) return x->time_us < y->time_us ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

/* The start of e + 1 runs from the beginning of entity e to its end while `to` is filled. */
static void deal(weir_latest *latest, added *to) {
    group *entities = latest->entities;
    memset(entities, 0, ((size_t)latest->entity_count + 2) * sizeof *entities);
    for (uint32_t i = 0; i < latest->count; i++) entities[latest->added[i].entity + 2].start++;
    for (uint32_t e = 1; e < latest->entity_count; e++) entities[e + 1].start += entities[e].start;
    for (uint32_t i = 0; i < latest->count; i++) to[entities[latest->added[i].entity + 1].start++] = latest->added[i];
}

/* An entity has few labels as a rule, and those are put in order in place. */
static void sort_by_time(added *labels, size_t count) {
    if (count > FEW) {
        qsort(labels, count, sizeof *labels, by_time);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        added label = labels[i];
        size_t at = i;
        for (; at && by_time(&labels[at - 1], &label) > 0; at--) labels[at] = labels[at - 1];
        labels[at] = label;
    }
}

weir_status weir_latest_start(weir_latest *latest, uint32_t entity_count, weir_err *err) {
    latest->entity_count = entity_count;
    latest->entities = alloc((size_t)entity_count + 2, sizeof *latest->entities);
    latest->times = alloc(latest->count, sizeof *latest->times);
    latest->best = alloc(latest->count, sizeof *latest->best);
    added *dealt = alloc(latest->count, sizeof *dealt);
    if (!latest->entities || !latest->times || !latest->best || !dealt) {
        free(dealt);
        return no_memory(latest->count, err);
    }
    deal(latest, dealt);
    for (uint32_t e = 0; e < entity_count; e++) {
        atomic_flag_clear(&latest->entities[e].busy);
        sort_by_time(dealt + latest->entities[e].start, latest->entities[e + 1].start - latest->entities[e].start);
    }
    for (uint32_t i = 0; i < latest->count; i++) {
        latest->times[i] = dealt[i].time_us;
        latest->best[i] = (best){.place = -1, .label = dealt[i].label};
    }
    free(dealt);
    free(latest->added);
    latest->added = NULL;
    return WEIR_OK;
}

/* --- rows --- */

/* Whether a row counts before what was found so far. Of two that are alike in everything the later place counts, so that the order of threads does not matter. */
static bool better(const best *b, int64_t event_us, int32_t partition, int64_t offset, int64_t version, int64_t place) {
    if (b->place < 0) return true;
    if (event_us != b->event_us) return event_us > b->event_us;
    if (partition != b->partition) return partition > b->partition;
    if (offset != b->offset) return offset > b->offset;
    if (version != b->version) return version > b->version;
    return place > b->place;
}

static void offer(weir_latest *latest, const weir_latest_row *row) {
    group *of = &latest->entities[row->entity];
    int64_t from_us = row->event_us > row->known_us ? row->event_us : row->known_us;
    uint32_t low = of[0].start, end = of[1].start, high = end;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (latest->times[mid] < from_us)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == end) return;
    best *b = &latest->best[low];
    while (atomic_flag_test_and_set_explicit(&of->busy, memory_order_acquire)) sched_yield();
    if (better(b, row->event_us, row->partition, row->offset, row->version, row->place)) {
        b->event_us = row->event_us;
        b->offset = row->offset;
        b->version = row->version;
        b->place = row->place;
        b->partition = row->partition;
    }
    atomic_flag_clear_explicit(&of->busy, memory_order_release);
}

/* What a row needs is brought on the way in three steps, each for all rows before the next. */
void weir_latest_offer(weir_latest *latest, const weir_latest_row *rows, int count) {
    for (int i = 0; i < count; i++) __builtin_prefetch(&latest->entities[rows[i].entity], 1);
    for (int i = 0; i < count; i++) {
        uint32_t start = latest->entities[rows[i].entity].start;
        __builtin_prefetch(&latest->times[start]);
        __builtin_prefetch(&latest->best[start], 1);
    }
    for (int i = 0; i < count; i++) offer(latest, &rows[i]);
}

/* --- what was found --- */

/* A label may see whatever the one before it saw. */
static void carry_over(best *b, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        const best *before = &b[i - 1];
        if (before->place < 0 || !better(&b[i], before->event_us, before->partition, before->offset, before->version, before->place)) continue;
        int64_t label = b[i].label;
        b[i] = *before;
        b[i].label = label;
    }
}

/* Stable counting sorts by the digits of the place, least first; `spare` is as large. Digits that all places share are passed over. */
static void sort_by_place(weir_latest_match **matches, weir_latest_match **spare, int64_t count) {
    uint64_t differ = 0;
    for (int64_t i = 0; i < count; i++) differ |= (uint64_t)((*matches)[i].place ^ (*matches)[0].place);
    for (int shift = 0; shift < 64; shift += DIGIT_BITS) {
        if (!(differ >> shift & (DIGITS - 1))) continue;
        int64_t at[DIGITS + 1] = {0};
        for (int64_t i = 0; i < count; i++) at[((uint64_t)(*matches)[i].place >> shift & (DIGITS - 1)) + 1]++;
        for (int d = 1; d < DIGITS; d++) at[d] += at[d - 1];
        for (int64_t i = 0; i < count; i++) (*spare)[at[(uint64_t)(*matches)[i].place >> shift & (DIGITS - 1)]++] = (*matches)[i];
        weir_latest_match *sorted = *spare;
        *spare = *matches;
        *matches = sorted;
    }
}

weir_status weir_latest_end(weir_latest *latest, int64_t ttl_us, weir_latest_match **ret_matches, int64_t *ret_count, weir_err *err) {
    weir_latest_match *matches = alloc(latest->count, sizeof *matches), *spare = alloc(latest->count, sizeof *spare);
    if (!matches || !spare) {
        free(matches);
        free(spare);
        return no_memory(latest->count, err);
    }
    int64_t count = 0;
    for (uint32_t e = 0; e < latest->entity_count; e++) {
        const group *of = &latest->entities[e];
        carry_over(latest->best + of[0].start, of[1].start - of[0].start);
    }
    for (uint32_t i = 0; i < latest->count; i++) {
        best *b = &latest->best[i];
        if (b->place >= 0 && (!ttl_us || latest->times[i] - b->event_us <= ttl_us)) matches[count++] = (weir_latest_match){b->place, b->label};
        b->place = -1;
    }
    sort_by_place(&matches, &spare, count);
    free(spare);
    *ret_matches = matches;
    *ret_count = count;
    return WEIR_OK;
}
