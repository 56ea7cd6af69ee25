/* States as bytes.
 *
 *   u8 format (2) | u8 time unit: 0 µs, 1 ms, 2 s | varint slots | their hashes, u32 little-endian each | varint version |
 *   varint partitions seen | each: varint zigzag partition, varint zigzag offset minus the one before's |
 *   varint records | varint zigzag time of the first, in units |
 *   records, ascending: varint time since the one before, varint zigzag partition, varint zigzag offset minus the one before's (at first: the last one seen's),
 *                       varint zigzag seq minus the one before's minus 1, values in the order of the slots |
 *   varint blocks | each: u32 hash, varint bytes that follow, varint entries, each: varint zigzag key, payload | u32 checksum of all before it
 *
 *   value: varint v, low two bits say what: 0 a whole number (zigzag v >> 2), 1 hundredths, 2 null, 3 eight bytes of a double follow
 *   payload: the accumulator's bytes as they are, or a record's values
 *
 * Size counts: an amount in cents takes 3 bytes in place of 8. Hundredths are used only where k / 100.0 is the value bit for bit. Accumulators are whatever their operator
 * makes of them, and it trusts them; therefore the checksum. */
#include <math.h>
#include <stdlib.h>

#include "features/view_internal.h"

enum { STATE_FORMAT = 2, VARINT_MAX = 10, VALUE_MAX = 9, SEEN_MAX = 1 << 16 };

static const int64_t units[] = {1, 1000, 1000000};

static uint64_t zigzag(int64_t v) {
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
static int64_t unzigzag(uint64_t v) {
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}
static int64_t wrapping_minus(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a - (uint64_t)b);
}
static int64_t wrapping_plus(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* Of whole words, for states are read on the way to an answer. Multiplication spreads a difference to all higher bits, and the shift brings it down again. */
uint32_t state_checksum(const void *bytes, size_t len) {
    const unsigned char *p = bytes;
    uint64_t h = len, word;
    for (; len; len -= len < 8 ? len : 8, p += 8) {
        word = 0;
        if (len >= 8)
            memcpy(&word, p, 8);
        else
            memcpy(&word, p, len);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return (uint32_t)h;
}

/* --- writing: into room that is reserved --- */

static unsigned char *put_u32(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) *p++ = (unsigned char)(v >> (8 * i));
    return p;
}

static unsigned char *put_varint(unsigned char *p, uint64_t v) {
    while (v >= 0x80) {
        *p++ = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    *p++ = (unsigned char)v;
    return p;
}

static unsigned char *put_signed(unsigned char *p, int64_t v) {
    return put_varint(p, zigzag(v));
}

static bool same_bits(double a, double b) {
    return !memcmp(&a, &b, sizeof(a));
}

static unsigned char *put_value(unsigned char *p, double v) {
    enum { WHOLE_MAX = 1 << 30 };
    if (isnan(v)) return put_varint(p, 2);
    if (fabs(v) <= WHOLE_MAX) {
        int64_t whole = (int64_t)v, cents = (int64_t)(v * 100 + (v < 0 ? -0.5 : 0.5));
        if (same_bits((double)whole, v)) return put_varint(p, zigzag(whole) << 2);
        if (same_bits((double)cents / 100.0, v)) return put_varint(p, zigzag(cents) << 2 | 1);
    }
    p = put_varint(p, 3);
    memcpy(p, &v, sizeof(v));
    return p + sizeof(v);
}

/* The coarsest unit that divides every time. */
static int unit_of(const weir_state *state) {
    int unit = 2;
    for (int i = 0; unit && i < state->count; i++) {
        while (state->time[state->first + i] % units[unit]) unit--;
    }
    return unit;
}

static unsigned char *put_seen(unsigned char *p, const weir_state *state) {
    int64_t offset = 0;
    p = put_varint(p, (uint64_t)state->seen_count);
    for (int i = 0; i < state->seen_count; i++) {
        p = put_signed(p, state->seen[i].partition);
        p = put_signed(p, wrapping_minus(state->seen[i].offset, offset));
        offset = state->seen[i].offset;
    }
    return p;
}

static unsigned char *put_records(unsigned char *p, const weir_view *view, const weir_state *state, int unit) {
    int64_t offset = state->seen_count ? state->seen[state->seen_count - 1].offset : 0, time = 0;
    uint32_t seq = 0;
    p = put_varint(p, (uint64_t)state->count);
    for (int i = state->first; i < state->first + state->count; i++) {
        int64_t t = state->time[i] / units[unit];
        if (i == state->first) {
            p = put_signed(p, t);
            time = t;
        }
        p = put_varint(p, (uint64_t)t - (uint64_t)time);
        p = put_signed(p, state->source[i].partition);
        p = put_signed(p, wrapping_minus(state->source[i].offset, offset));
        p = put_signed(p, (int64_t)state->seq[i] - (int64_t)seq - 1);
        for (int s = 0; s < view->slot_count; s++) p = put_value(p, state->values[(size_t)s * (size_t)state->capacity + (size_t)i]);
        time = t;
        offset = state->source[i].offset;
        seq = state->seq[i];
    }
    return p;
}

static unsigned char *put_payload(unsigned char *p, const view_fold *fold, const unsigned char *payload) {
    if (fold->acc_size) {
        memcpy(p, payload, fold->acc_size);
        return p + fold->acc_size;
    }
    for (int i = 0; i < fold->in_count; i++) {
        double v;
        memcpy(&v, payload + (size_t)i * sizeof(v), sizeof(v));
        p = put_value(p, v);
    }
    return p;
}

static size_t block_bytes_max(const view_fold *fold, const fold_block *block) {
    return VARINT_MAX + (size_t)block->count * (VARINT_MAX + fold->payload + (size_t)fold->in_count * (VALUE_MAX - sizeof(double)));
}

static size_t blocks_bytes_max(const weir_view *view, const weir_state *state) {
    size_t size = VARINT_MAX + 4;
    for (int i = 0; state->base_used && i < view->fold_count; i++) size += 4 + VARINT_MAX + block_bytes_max(&view->folds[i], fold_base(state, &view->folds[i]));
    return size;
}

static unsigned char *put_block(unsigned char *p, const view_fold *fold, const fold_block *block) {
    unsigned char *start = put_u32(p, fold->hash), *body = start + VARINT_MAX;
    p = put_varint(body, (uint64_t)block->count);
    for (int i = 0; i < block->count; i++) {
        unsigned char *entry = fold_entry(fold, block, i);
        p = put_signed(p, fold_key(entry));
        p = put_payload(p, fold, fold_payload(entry));
    }
    size_t len = (size_t)(p - body);
    start = put_varint(start, len);
    memmove(start, body, len);
    return start + len;
}

static unsigned char *put_blocks(unsigned char *p, const weir_view *view, const weir_state *state) {
    int count = state->base_used ? view->fold_count : 0;
    p = put_varint(p, (uint64_t)count);
    for (int i = 0; i < count; i++) p = put_block(p, &view->folds[i], fold_base(state, &view->folds[i]));
    return p;
}

bool weir_state_encode(const weir_view *view, const weir_state *state, weir_buf *out) {
    size_t slots = (size_t)view->slot_count;
    size_t size = 2 + 5 * VARINT_MAX + 4 * slots + (size_t)state->seen_count * 2 * VARINT_MAX + (size_t)state->count * (4 * VARINT_MAX + slots * VALUE_MAX);
    if (!weir_buf_reserve(out, size + blocks_bytes_max(view, state))) return false;
    unsigned char *start = (unsigned char *)out->data + out->len, *p = start;
    int unit = unit_of(state);
    *p++ = STATE_FORMAT;
    *p++ = (unsigned char)unit;
    p = put_varint(p, slots);
    for (size_t s = 0; s < slots; s++) p = put_u32(p, view->slots[s].hash);
    p = put_varint(p, state->version);
    p = put_seen(p, state);
    p = put_records(p, view, state, unit);
    p = put_blocks(p, view, state);
    p = put_u32(p, state_checksum(start, (size_t)(p - start)));
    out->len += (size_t)(p - start);
    out->data[out->len] = 0;
    return true;
}

/* --- reading --- */

typedef struct reader {
    const unsigned char *p, *end;
    const weir_view *view;
    weir_state *state;
    int unit, slot_count;
    int *slots; /* [slot_count] of the view, for those of the bytes; -1: gone */
    bool same_slots; /* the view's, in its order */
    bool no_memory;
} reader;

static bool get_u32(reader *r, uint32_t *ret) {
    if (r->end - r->p < 4) return false;
    *ret = r->p[0] | (uint32_t)r->p[1] << 8 | (uint32_t)r->p[2] << 16 | (uint32_t)r->p[3] << 24;
    r->p += 4;
    return true;
}

static bool get_varint(reader *r, uint64_t *ret) {
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && r->p < r->end; shift += 7) {
        uint64_t b = *r->p++;
        if (shift == 63 && b > 1) return false;
        v |= (b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool get_signed(reader *r, int64_t *ret) {
    uint64_t v;
    if (!get_varint(r, &v)) return false;
    *ret = unzigzag(v);
    return true;
}

/* A count of things of which each takes a byte at least. */
static bool get_count(reader *r, int max, int *ret) {
    uint64_t v;
    if (!get_varint(r, &v) || v > (uint64_t)max || v > (uint64_t)(r->end - r->p)) return false;
    *ret = (int)v;
    return true;
}

static bool get_value(reader *r, double *ret) {
    uint64_t v;
    if (!get_varint(r, &v)) return false;
    switch (v & 3) {
    case 0: *ret = (double)unzigzag(v >> 2); return true;
    case 1: *ret = (double)unzigzag(v >> 2) / 100.0; return true;
    case 2: *ret = NAN; return v == 2;
    default:
        if (v != 3 || r->end - r->p < (ptrdiff_t)sizeof(*ret)) return false;
        memcpy(ret, r->p, sizeof(*ret));
        r->p += sizeof(*ret);
        return true;
    }
}

static bool get_slots(reader *r) {
    if (!get_count(r, VIEW_SLOTS_MAX, &r->slot_count)) return false;
    r->same_slots = r->slot_count == r->view->slot_count;
    for (int i = 0; i < r->slot_count; i++) {
        uint32_t hash;
        if (!get_u32(r, &hash)) return false;
        int slot = i < r->view->slot_count && r->view->slots[i].hash == hash ? i : -1;
        for (int s = 0; slot < 0 && s < r->view->slot_count; s++) {
            if (r->view->slots[s].hash == hash) slot = s;
        }
        r->slots[i] = slot;
        r->same_slots &= slot == i;
    }
    return true;
}

static bool get_partition(reader *r, int32_t *ret) {
    int64_t v;
    if (!get_signed(r, &v) || v < INT32_MIN || v > INT32_MAX) return false;
    *ret = (int32_t)v;
    return true;
}

static bool get_seen(reader *r) {
    weir_state *state = r->state;
    int64_t ahead, offset = 0;
    int count;
    if (!get_count(r, SEEN_MAX, &count)) return false;
    if (!state_reserve_seen(state, count)) {
        r->no_memory = true;
        return false;
    }
    for (int i = 0; i < count; i++) {
        weir_source *seen = &state->seen[i];
        if (!get_partition(r, &seen->partition) || !get_signed(r, &ahead)) return false;
        seen->offset = offset = wrapping_plus(offset, ahead);
        for (int k = 0; k < i; k++) {
            if (state->seen[k].partition == seen->partition) return false;
        }
        state->seen_count++;
    }
    return true;
}

static bool get_values(reader *r, int at) {
    weir_state *state = r->state;
    size_t capacity = (size_t)state->capacity;
    double dropped;
    if (!r->same_slots) {
        for (int s = 0; s < r->view->slot_count; s++) state->values[(size_t)s * capacity + (size_t)at] = NAN;
    }
    for (int i = 0; i < r->slot_count; i++) {
        double *to = r->slots[i] >= 0 ? &state->values[(size_t)r->slots[i] * capacity + (size_t)at] : &dropped;
        if (!get_value(r, to)) return false;
    }
    return true;
}

/* One record, at the end of the tail; `before` is the time, source and seq of the one before it. */
static bool get_record(reader *r, weir_tail_record *before) {
    weir_state *state = r->state;
    uint64_t since;
    int64_t us, ahead, later;
    int n = state->count;
    weir_source source;
    if (!get_varint(r, &since) || !get_partition(r, &source.partition) || !get_signed(r, &ahead) || !get_signed(r, &later)) return false;
    int64_t t = wrapping_plus(before->event_time_us, (int64_t)since);
    int64_t seq = wrapping_plus((int64_t)before->seq + 1, later);
    if (t < before->event_time_us || __builtin_mul_overflow(t, units[r->unit], &us)) return false;
    if (seq < 1 || seq > (int64_t)state->version) return false;
    source.offset = wrapping_plus(before->source.offset, ahead);
    if (n && state->time[n - 1] == us && compare_source(&state->source[n - 1], &source) >= 0) return false;
    *before = (weir_tail_record){.event_time_us = t, .source = source, .seq = (uint32_t)seq};
    state->time[n] = us;
    state->source[n] = source;
    state->seq[n] = (uint32_t)seq;
    if (!get_values(r, n)) return false;
    state->count++;
    return true;
}

static bool get_records(reader *r) {
    weir_state *state = r->state;
    weir_tail_record before = {.source.offset = state->seen_count ? state->seen[state->seen_count - 1].offset : 0};
    int count;
    if (!get_count(r, WEIR_STATE_RECORDS_MAX, &count)) return false;
    if (!state_reserve(r->view, state, count) || !state_reserve_folds(r->view, state)) {
        r->no_memory = true;
        return false;
    }
    if (count && !get_signed(r, &before.event_time_us)) return false;
    while (state->count < count) {
        if (!get_record(r, &before)) return false;
    }
    state->max_time = count ? state->time[count - 1] : INT64_MIN;
    return true;
}

static bool get_payload(reader *r, const view_fold *fold, unsigned char *payload) {
    if (fold->acc_size) {
        if (r->end - r->p < (ptrdiff_t)fold->acc_size) return false;
        memcpy(payload, r->p, fold->acc_size);
        r->p += fold->acc_size;
        return true;
    }
    for (int i = 0; i < fold->in_count; i++) {
        double v;
        if (!get_value(r, &v)) return false;
        memcpy(payload + (size_t)i * sizeof(v), &v, sizeof(v));
    }
    return true;
}

/* Entries of a block, all that is left of r. */
static bool get_entries(reader *r, const view_fold *fold, fold_block *block) {
    uint64_t count;
    if (!get_varint(r, &count) || count > (uint64_t)fold->ring) return false;
    for (uint64_t i = 0; i < count; i++) {
        unsigned char *entry = fold_entry(fold, block, (int)i);
        int64_t key;
        if (!get_signed(r, &key)) return false;
        int64_t before = i ? fold_key(entry - fold_entry_size(fold)) : INT64_MIN;
        if (key < before || (i && key == before && fold->acc_size)) return false;
        memcpy(entry, &key, sizeof(key));
        if (!get_payload(r, fold, fold_payload(entry))) return false;
        block->count++;
    }
    return r->p == r->end;
}

static bool get_block(reader *r) {
    uint32_t hash;
    int len;
    if (!get_u32(r, &hash) || !get_count(r, INT32_MAX, &len)) return false;
    reader inside = {.p = r->p, .end = r->p + len};
    r->p += len;
    for (int i = 0; i < r->view->fold_count; i++) {
        const view_fold *fold = &r->view->folds[i];
        if (fold->hash != hash) continue;
        fold_block *block = (fold_block *)(void *)(r->state->base + fold->offset);
        return !block->count && get_entries(&inside, fold, block);
    }
    return true; /* of a feature that is gone */
}

static bool get_blocks(reader *r) {
    weir_state *state = r->state;
    const view_fold *folds = r->view->folds;
    int count;
    if (!get_count(r, INT32_MAX, &count)) return false;
    for (int i = 0; count && i < r->view->fold_count; i++) fold_copy(&folds[i], (fold_block *)(void *)(state->base + folds[i].offset), NULL);
    state->base_used = count && r->view->fold_count;
    while (count-- > 0) {
        if (!get_block(r)) return false;
    }
    return r->p == r->end;
}

static bool get_state(reader *r) {
    uint64_t version;
    r->unit = r->p[1];
    r->p += 2;
    if (!get_slots(r) || !get_varint(r, &version) || version > UINT32_MAX) return false;
    r->state->version = (uint32_t)version;
    if (!get_seen(r) || !get_records(r) || !get_blocks(r)) return false;
    if (r->view->gathers && !state_scratch(r->view, r->state)) {
        r->no_memory = true;
        return false;
    }
    return r->state->count > 0 || version == 0;
}

weir_status weir_state_decode(const weir_view *view, const void *bytes, size_t len, weir_state *state, weir_err *err) {
    const char *name = view->def->name;
    const unsigned char *start = bytes;
    weir_state_clear(state);
    if (len && (start[0] != STATE_FORMAT || (len > 1 && start[1] > 2)))
        return WEIR_REJECT(err, WEIR_EDATA, "view %s: state format %d is not known", name, start[0]);
    int slots[VIEW_SLOTS_MAX];
    if (len < 6) return WEIR_REJECT(err, WEIR_EDATA, "view %s: a state of %zu bytes is too short", name, len);
    reader r = {.p = start + len - 4, .end = start + len, .view = view, .state = state, .slots = slots};
    uint32_t expected;
    if (!get_u32(&r, &expected) || state_checksum(start, len - 4) != expected)
        return WEIR_REJECT(err, WEIR_EDATA, "view %s: a state of %zu bytes is damaged: its checksum is another", name, len);
    r.p = start;
    r.end -= 4;
    if (get_state(&r)) return WEIR_OK;
    size_t position = (size_t)(r.p - start);
    weir_state_clear(state);
    if (r.no_memory) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a state of view %s from %zu bytes", name, len);
    return WEIR_REJECT(err, WEIR_EDATA, "view %s: the state is damaged before byte %zu of %zu", name, position, len);
}
