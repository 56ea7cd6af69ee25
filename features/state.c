/* The state of an entity: its tail of records, what was folded of those before, and what was seen. */
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/clock.h"
#include "features/view_internal.h"

enum { ADDED_MAX = 1 << 28 };

/* --- memory --- */

void weir_state_done(weir_state *state) {
    free(state->time);
    free(state->seen);
    free(state->base);
    free(state->head);
    free(state->anchors);
    *state = (weir_state){0};
}

void weir_state_clear(weir_state *state) {
    state->first = state->count = state->seen_count = 0;
    state->max_time = INT64_MIN;
    state->version = 0;
    state->dropped = 0;
    state->base_used = state->head_valid = state->anchors_valid = false;
}

size_t weir_state_bytes(const weir_state *state) {
    return sizeof(*state) + state->bytes;
}

static size_t record_bytes(const weir_state *state) {
    return sizeof(*state->time) + sizeof(*state->source) + sizeof(*state->seq) + (size_t)state->slot_count * sizeof(*state->values);
}

/* The tail moves into arrays of another size, or to the front of its own. */
static bool move_tail(weir_state *state, size_t capacity) {
    size_t slots = (size_t)state->slot_count, record = record_bytes(state);
    size_t n = (size_t)state->count, first = (size_t)state->first;
    int64_t *time = state->time;
    if (capacity != (size_t)state->capacity && !(time = weir_mem.realloc(NULL, capacity * record))) return false;
    weir_source *source = (weir_source *)(time + capacity);
    double *values = (double *)(source + capacity);
    uint32_t *seq = (uint32_t *)(values + capacity * slots);
    if (n) {
        memmove(time, state->time + first, n * sizeof(*time));
        memmove(source, state->source + first, n * sizeof(*source));
        for (size_t s = 0; s < slots; s++) memmove(values + s * capacity, state->values + s * (size_t)state->capacity + first, n * sizeof(*values));
        memmove(seq, state->seq + first, n * sizeof(*seq));
    }
    if (time != state->time) {
        free(state->time);
        state->bytes += (capacity - (size_t)state->capacity) * record;
    }
    state->time = time;
    state->source = source;
    state->values = values;
    state->seq = seq;
    state->capacity = (int)capacity;
    state->first = 0;
    return true;
}

/* Records that left the front are room again: while they are a quarter, the tail just moves, so that a record costs a few moves, however many there are. */
bool state_reserve(const weir_view *view, weir_state *state, int more) {
    if (state->slot_count != view->slot_count) { /* it served another view before */
        assert(!state->count);
        state->bytes -= (size_t)state->capacity * record_bytes(state);
        free(state->time);
        state->time = NULL;
        state->capacity = state->first = 0;
        state->slot_count = view->slot_count;
    }
    if (state->first + state->count + more <= state->capacity) return true;
    size_t wanted = (size_t)(state->count + more), capacity = state->capacity ? (size_t)state->capacity : 4;
    while (wanted > capacity - capacity / 4) capacity += capacity / 2;
    return move_tail(state, capacity);
}

static bool reserve_block(weir_state *state, unsigned char **block, size_t *block_bytes, size_t bytes) {
    if (*block_bytes == bytes) return true;
    assert(!*block_bytes || !state->count || block == &state->anchors); /* of another size only when it served another view before */
    unsigned char *grown = weir_mem.realloc(*block, bytes);
    if (!grown) return false;
    state->bytes = state->bytes - *block_bytes + bytes;
    *block = grown;
    *block_bytes = bytes;
    return true;
}

bool state_reserve_folds(const weir_view *view, weir_state *state) {
    return !view->fold_count || (reserve_block(state, &state->base, &state->base_bytes, view->fold_bytes) &&
                                 reserve_block(state, &state->head, &state->head_bytes, fold_head_bytes(view)) &&
                                 (state->count < FOLD_ANCHOR_FROM || reserve_block(state, &state->anchors, &state->anchor_bytes, fold_anchor_bytes(view))));
}

bool state_reserve_seen(weir_state *state, int count) {
    if (count <= state->seen_capacity) return true;
    int capacity = count < 2 ? 2 : 2 * count;
    weir_source *seen = weir_mem.realloc(state->seen, (size_t)capacity * sizeof(*seen));
    if (!seen) return false;
    state->bytes += (size_t)(capacity - state->seen_capacity) * sizeof(*seen);
    state->seen = seen;
    state->seen_capacity = capacity;
    return true;
}

/* Scratch memory is a thread's, not a state's: there are millions of states. */
typedef struct scratch {
    size_t size;
    double values[];
} scratch;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static _Thread_local scratch *thread_scratch;

static void make_scratch_key(void) {
    int failed = pthread_key_create(&scratch_key, free);
    assert(!failed);
    (void)failed;
}

double *state_scratch(const weir_view *view, const weir_state *state) {
    /* Of a window with a condition: times, inputs, and twice as much for the operator; behind it a block. */
    size_t longest = (size_t)state->count + view->block_max / sizeof(double) + 1;
    size_t size = ((size_t)WEIR_INPUTS_MAX + 3) * longest + view->block_max / sizeof(double) + 1;
    if (thread_scratch && thread_scratch->size >= size) return thread_scratch->values;
    pthread_once(&scratch_once, make_scratch_key);
    size += size / 2;
    scratch *grown = weir_mem.realloc(thread_scratch, sizeof(*grown) + size * sizeof(double));
    if (!grown) return NULL;
    grown->size = size;
    thread_scratch = grown;
    (void)pthread_setspecific(scratch_key, grown); /* so that it is freed with the thread */
    return grown->values;
}

/* --- order --- */

int state_upper_bound(const weir_state *state, int64_t t, const weir_source *source) {
    if (!state->count) return 0;
    const int64_t *time = state->time + state->first;
    int low = 0, n = state->count;
    /* Records mostly arrive in order, and are evaluated as they arrive. */
    if (time[n - 1] < t || (time[n - 1] == t && (!source || compare_source(&state->source[state->first + n - 1], source) <= 0))) return n;
    while (n > 1) {
        int half = n / 2;
        low += time[low + half - 1] <= t ? half : 0;
        n -= half;
    }
    low += time[low] <= t;
    if (!source) return low;
    while (low > 0 && time[low - 1] == t && compare_source(&state->source[state->first + low - 1], source) > 0) low--;
    return low;
}

/* From both ends: the longest window ends near the oldest record that is kept, short ones near the newest. */
int state_lower_bound(const weir_state *state, int64_t t, int end) {
    enum { FRONT = 4 };
    const int64_t *time = state->time + state->first;
    int low = 0, high = end, step = 1;
    while (low < FRONT && low < end && time[low] < t) low++;
    if (low < FRONT) return low;
    while (high - step >= low && time[high - step] >= t) {
        high -= step;
        step *= 2;
    }
    if (high - step >= low) low = high - step + 1;
    while (low < high) { /* all before low are earlier, all from high on are not */
        int mid = low + (high - low) / 2;
        if (time[mid] < t)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The record (t, source) is the one before its upper bound, when it is there. */
static bool is_at(const weir_state *state, int upper, int64_t t, const weir_source *source) {
    int i = state->first + upper - 1;
    return upper > 0 && state->time[i] == t && !compare_source(&state->source[i], source);
}

bool state_is_there(const weir_state *state, int64_t t, weir_source source) {
    return is_at(state, state_upper_bound(state, t, &source), t, &source);
}

bool weir_state_at(const weir_state *state, int position, weir_tail_record *ret_record) {
    if (position < 0 || position >= state->count) return false;
    int i = state->first + position;
    *ret_record = (weir_tail_record){.event_time_us = state->time[i], .source = state->source[i], .seq = state->seq[i]};
    return true;
}

bool weir_state_newest(const weir_state *state, weir_source *ret_source, int64_t *ret_time_us) {
    if (!state->count) return false;
    *ret_source = state->source[state->first + state->count - 1];
    *ret_time_us = state->time[state->first + state->count - 1];
    return true;
}

bool weir_view_affected(const weir_view *view, const weir_state *state, int position) {
    (void)view;
    return position < state->count - 1;
}

/* --- records --- */

static weir_source *seen_of(const weir_state *state, int32_t partition) {
    for (int i = 0; i < state->seen_count; i++) {
        if (state->seen[i].partition == partition) return &state->seen[i];
    }
    return NULL;
}

/* Makes a hole and fills it. There is room. */
static void put(const weir_view *view, weir_state *state, int position, int64_t t, weir_source source, const double *slots, uint32_t seq) {
    size_t at = (size_t)(state->first + position), behind = (size_t)(state->count - position), capacity = (size_t)state->capacity;
    double *values = state->values + at;
    if (behind) {
        memmove(state->time + at + 1, state->time + at, behind * sizeof(*state->time));
        memmove(state->source + at + 1, state->source + at, behind * sizeof(*state->source));
        memmove(state->seq + at + 1, state->seq + at, behind * sizeof(*state->seq));
        for (int s = 0; s < view->slot_count; s++) memmove(values + (size_t)s * capacity + 1, values + (size_t)s * capacity, behind * sizeof(*values));
        fold_disturbed(view, state, position);
    }
    state->time[at] = t;
    state->source[at] = source;
    for (int s = 0; s < view->slot_count; s++) values[(size_t)s * capacity] = slots[s];
    state->seq[at] = seq;
    if (!state->count || t > state->max_time) state->max_time = t;
    state->count++;
    state->version = seq;
    weir_source *seen = seen_of(state, source.partition);
    if (!seen)
        state->seen[state->seen_count++] = source;
    else if (source.offset > seen->offset)
        seen->offset = source.offset;
}

int state_leaving(const weir_view *view, const weir_state *state, int64_t newest) {
    if (!state->count) return 0;
    const int64_t *time = state->time + state->first;
    int64_t latest = time_minus(newest, view->feed->allowed_lateness_us), from = time_minus(latest, view->keep_us);
    if (time[0] >= from) return 0;
    if (view->def->at == WEIR_AT_EVENT) { /* whoever asks at `latest` is given the features as of the record before */
        int before = state_lower_bound(state, latest, state->count);
        if (before) latest = time[before - 1];
        from = time_minus(latest, view->keep_us);
    }
    int n = 0;
    while (n < state->count && time[n] < from) n++;
    if (n && (n == state->count || time[n] >= latest))
        n--; /* the newest before `latest` stays: it is the newest of all for whoever asks at that time, and says how old it is */
    for (int i = 0; n && i < view->keep_count; i++) {
        /* Without a delay, a record that comes at that very time may stand before others of the same time. */
        const keep_last *keep = &view->keeps[i];
        int counting = keep->delay_us ? state_upper_bound(state, time_minus(latest, keep->delay_us), NULL) : state_lower_bound(state, latest, state->count);
        if (counting - keep->n < n) n = counting < keep->n ? 0 : counting - keep->n;
    }
    return n;
}

static void drop_oldest(const weir_view *view, weir_state *state, int n) {
    if (!n) return;
    if (view->fold_count) fold_leaving(view, state, n);
    state->first += n;
    state->count -= n;
    state->dropped += n;
}

/* Room for one record from there. Whatever fails, the state is as it was. */
static weir_status reserve(const weir_view *view, weir_state *state, weir_source source, weir_err *err) {
    bool seen = seen_of(state, source.partition) != NULL;
    if ((seen || state_reserve_seen(state, state->seen_count + 1)) && state_reserve_folds(view, state) && state_reserve(view, state, 1) &&
        (!view->gathers || state_scratch(view, state)))
        return WEIR_OK;
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d records of view %s", state->count + 1, view->def->name);
}

weir_status weir_view_apply(const weir_view *view, weir_state *state, int64_t event_time_us, weir_source source, const double *slots, uint32_t seq,
                            weir_applied *ret_applied, int *ret_position, weir_err *err) {
    int at = state_upper_bound(state, event_time_us, &source);
    if (is_at(state, at, event_time_us, &source) || (seq && seq <= state->version)) {
        *ret_applied = WEIR_DUPLICATE;
        return WEIR_OK;
    }
    if (state->count && event_time_us < time_minus(state->max_time, view->feed->allowed_lateness_us)) {
        const weir_source *seen = seen_of(state, source.partition);
        *ret_applied = seen && source.offset <= seen->offset ? WEIR_DUPLICATE : WEIR_LATE;
        return WEIR_OK;
    }
    int drop = state_leaving(view, state, state->count && state->max_time > event_time_us ? state->max_time : event_time_us);
    if (state->count - drop >= WEIR_STATE_RECORDS_MAX)
        return WEIR_REJECT(err, WEIR_ELIMIT, "view %s: this entity has %d records in its windows already, the most that a state holds", view->def->name,
                           state->count - drop);
    if (!seq && state->version == UINT32_MAX)
        return WEIR_REJECT(err, WEIR_ELIMIT, "view %s: this entity has %" PRIu32 " records", view->def->name, state->version);
    weir_status status = reserve(view, state, source, err);
    if (status) return status;
    drop_oldest(view, state, drop);
    put(view, state, at - drop, event_time_us, source, slots, seq ? seq : state->version + 1);
    *ret_applied = WEIR_APPLIED;
    if (ret_position) *ret_position = at - drop;
    return WEIR_OK;
}

weir_status weir_state_add(const weir_view *view, weir_state *state, int64_t event_time_us, weir_source source, const double *slots, weir_err *err) {
    int at = state_upper_bound(state, event_time_us, &source);
    if (is_at(state, at, event_time_us, &source)) return WEIR_OK;
    if (state->count >= ADDED_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "view %s: more than %d records of one entity", view->def->name, ADDED_MAX);
    weir_status status = reserve(view, state, source, err);
    if (status) return status;
    put(view, state, at, event_time_us, source, slots, state->version + 1);
    return WEIR_OK;
}
