/* The table: slots of (hash, pointer) probed linearly, removal by shifting back, so that there are no tombstones and a look-up touches one line of slots and one entity.
 * A hash's highest bits are its slot and its segment.
 * Source of the removal: Knuth, The Art of Computer Programming, vol. 3, 6.4, algorithm R. */
#include "features/entities.h"

#include <assert.h>
#include <string.h>

enum {
    FIRST_SLOT_BITS = 10,
    FIRST_SLOTS = 1 << FIRST_SLOT_BITS,
    HASH_BITS = 32,
    SEGMENT_SHIFT = 24,
    EVICTION_STEPS = 1 << 18,
    CACHE_LINE = 64,
    SHORT_TAIL = 64
};
_Static_assert(1 << (HASH_BITS - SEGMENT_SHIFT) == WEIR_ENTITY_SEGMENTS, "a segment is the first bits of a hash");

typedef struct slot {
    weir_entity *entity; /* NULL: free */
    uint32_t hash;
} slot;

typedef struct dirty_segment {
    weir_entity **dirty;
    size_t count, capacity, bytes; /* bytes: of the dirty ones without their values */
    size_t value_bytes; /* of all values since it was clean */
    weir_buf values; /* the newest of each dirty one */
} dirty_segment;

struct weir_entities {
    slot *slots;
    uint32_t mask, count, hand; /* slots - 1; entities; where eviction goes on */
    int shift; /* of a hash, to its slot */
    size_t limit, bytes, dirty_count, dirty_bytes, values_capacity;
    dirty_segment segments[WEIR_ENTITY_SEGMENTS];
    int64_t (*since)[WEIR_ENTITY_SEGMENTS]; /* [partitions] lowest offset by segment; INT64_MAX: none */
    int32_t partitions;
};

weir_status weir_entities_new(size_t limit_bytes, weir_entities **ret_table, weir_err *err) {
    weir_entities *table = weir_mem.realloc(NULL, sizeof *table);
    slot *slots = weir_mem.realloc(NULL, FIRST_SLOTS * sizeof *slots);
    if (!table || !slots) {
        (void)weir_mem.realloc(table, 0);
        (void)weir_mem.realloc(slots, 0);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for entity states");
    }
    memset(slots, 0, FIRST_SLOTS * sizeof *slots);
    *table = (weir_entities){.slots = slots, .mask = FIRST_SLOTS - 1, .shift = HASH_BITS - FIRST_SLOT_BITS, .limit = limit_bytes};
    *ret_table = table;
    return WEIR_OK;
}

static uint32_t home(const weir_entities *table, uint32_t hash) {
    return hash >> table->shift;
}

static void free_entity(weir_entity *entity) {
    weir_state_done(&entity->state);
    (void)weir_mem.realloc(entity, 0);
}

/* The buffer shrinks to nothing: what one segment needs at its time is room for another. */
static void empty_segment(weir_entities *table, int i) {
    dirty_segment *s = &table->segments[i];
    table->dirty_count -= s->count;
    table->dirty_bytes -= s->bytes + s->values.len;
    table->values_capacity -= s->values.capacity;
    s->count = s->bytes = s->value_bytes = 0;
    weir_buf_done(&s->values);
    for (int32_t p = 0; p < table->partitions; p++) table->since[p][i] = INT64_MAX;
}

void weir_entities_clear(weir_entities *table) {
    for (int i = 0; i < WEIR_ENTITY_SEGMENTS; i++) empty_segment(table, i);
    for (uint32_t i = 0; i <= table->mask; i++) {
        if (!table->slots[i].entity) continue;
        free_entity(table->slots[i].entity);
        table->slots[i].entity = NULL;
    }
    table->count = 0;
    table->hand = 0;
    table->bytes = 0;
}

void weir_entities_free(weir_entities *table) {
    if (!table) return;
    weir_entities_clear(table);
    for (int i = 0; i < WEIR_ENTITY_SEGMENTS; i++) (void)weir_mem.realloc(table->segments[i].dirty, 0);
    (void)weir_mem.realloc(table->since, 0);
    (void)weir_mem.realloc(table->slots, 0);
    (void)weir_mem.realloc(table, 0);
}

/* Eight bytes a step, multiplied and folded. Source: wyhash's mixing step, Wang Yi, 2019. */
static uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint32_t weir_entities_hash(const void *key, size_t len) {
    const unsigned char *p = key;
    uint64_t hash = UINT64_C(0xa0761d6478bd642f) ^ len, word;
    for (; len >= 8; p += 8, len -= 8) {
        memcpy(&word, p, 8);
        hash = mix(hash ^ word, UINT64_C(0xe7037ed1a0b428db));
    }
    word = 0;
    memcpy(&word, p, len);
    hash = mix(hash ^ word, UINT64_C(0x8ebc6af09c88c6e3));
    return (uint32_t)(hash ^ hash >> 32);
}

void weir_entities_prefetch(const weir_entities *table, uint32_t hash) {
    __builtin_prefetch(&table->slots[home(table, hash)]);
}

void weir_entities_prefetch_entity(const weir_entities *table, uint32_t hash) {
    const weir_entity *entity = table->slots[home(table, hash)].entity;
    if (!entity) return;
    for (size_t at = 0; at < sizeof *entity + CACHE_LINE; at += CACHE_LINE) __builtin_prefetch((const char *)entity + at);
}

static void prefetch_range(const void *from, size_t bytes) {
    for (size_t at = 0; at < bytes + CACHE_LINE; at += CACHE_LINE) __builtin_prefetch((const char *)from + at);
}

/* A short tail whole, since windows end anywhere in it; of a long one both ends. */
static void prefetch_tail(const weir_state *state) {
    if (!state->count) return;
    int last = state->first + state->count - 1;
    if (state->count <= SHORT_TAIL) {
        prefetch_range(&state->time[state->first], (size_t)state->count * sizeof *state->time);
        if (state->slot_count) prefetch_range(&state->values[state->first], (size_t)state->count * sizeof *state->values);
    } else {
        __builtin_prefetch(&state->time[state->first]);
        __builtin_prefetch(&state->time[last], 1);
        if (state->slot_count) __builtin_prefetch(&state->values[last], 1);
    }
    __builtin_prefetch(&state->source[last], 1);
    __builtin_prefetch(&state->seq[last], 1);
    if (state->seen) __builtin_prefetch(state->seen, 1);
}

void weir_entities_prefetch_state(const weir_entities *table, uint32_t hash) {
    const weir_entity *entity = table->slots[home(table, hash)].entity;
    if (entity) prefetch_tail(&entity->state);
}

void weir_entities_prefetch_written(const weir_entities *table, const weir_entity *entity) {
    prefetch_tail(&entity->state);
    const char *value = weir_entities_value(table, entity);
    prefetch_range(value, entity->value_len);
}

weir_entity *weir_entities_find(weir_entities *table, uint32_t hash, const void *key, size_t len) {
    for (uint32_t i = home(table, hash); table->slots[i].entity; i = (i + 1) & table->mask) {
        weir_entity *entity = table->slots[i].entity;
        if (table->slots[i].hash != hash || entity->key_len != len || memcmp(entity->key, key, len)) continue;
        entity->used = true;
        return entity;
    }
    return NULL;
}

static void put(weir_entities *table, slot s) {
    uint32_t i = home(table, s.hash);
    while (table->slots[i].entity) i = (i + 1) & table->mask;
    table->slots[i] = s;
}

static bool grow(weir_entities *table) {
    if (table->mask > UINT32_MAX / 4) return false;
    size_t old_count = (size_t)table->mask + 1, count = 2 * old_count;
    slot *old = table->slots;
    slot *slots = weir_mem.realloc(NULL, count * sizeof *slots);
    if (!slots) return false;
    memset(slots, 0, count * sizeof *slots);
    table->slots = slots;
    table->mask = (uint32_t)(count - 1);
    table->shift--;
    table->hand = 0;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].entity) put(table, old[i]);
    (void)weir_mem.realloc(old, 0);
    return true;
}

static size_t bytes_of(const weir_entity *entity) {
    return sizeof *entity - sizeof entity->state + weir_state_bytes(&entity->state) + entity->key_len + 1 + 2 * sizeof(slot);
}

weir_entity *weir_entities_add(weir_entities *table, uint32_t hash, const void *key, size_t len, int32_t partition) {
    assert(len <= UINT16_MAX);
    if (4 * ((uint64_t)table->count + 1) > 3 * ((uint64_t)table->mask + 1) && !grow(table)) return NULL;
    weir_entity *entity = weir_mem.realloc(NULL, sizeof *entity + len + 1);
    if (!entity) return NULL;
    memset(entity, 0, sizeof *entity);
    entity->hash = hash;
    entity->partition = partition;
    entity->key_len = (uint16_t)len;
    entity->used = true;
    memcpy(entity->key, key, len);
    entity->key[len] = 0;
    weir_state_clear(&entity->state);
    put(table, (slot){entity, hash});
    table->count++;
    entity->bytes = bytes_of(entity);
    table->bytes += entity->bytes;
    return entity;
}

/* Frees slot i and moves those behind it that would no longer be found. */
static void remove_slot(weir_entities *table, uint32_t i) {
    for (uint32_t j = i;;) {
        table->slots[i].entity = NULL;
        for (;;) {
            j = (j + 1) & table->mask;
            if (!table->slots[j].entity) return;
            uint32_t at = home(table, table->slots[j].hash);
            bool stays = i <= j ? i < at && at <= j : i < at || at <= j;
            if (!stays) break;
        }
        table->slots[i] = table->slots[j];
        i = j;
    }
}

static void drop(weir_entities *table, uint32_t i) {
    weir_entity *entity = table->slots[i].entity;
    table->bytes -= entity->bytes;
    table->count--;
    remove_slot(table, i);
    free_entity(entity);
}

void weir_entities_remove(weir_entities *table, weir_entity *entity) {
    assert(!entity->dirty);
    uint32_t i = home(table, entity->hash);
    while (table->slots[i].entity != entity) i = (i + 1) & table->mask;
    drop(table, i);
}

int weir_entities_segment_of(uint32_t hash) {
    return (int)(hash >> SEGMENT_SHIFT);
}

static dirty_segment *segment_of(weir_entities *table, const weir_entity *entity) {
    return &table->segments[weir_entities_segment_of(entity->hash)];
}

void weir_entities_resized(weir_entities *table, weir_entity *entity) {
    size_t now = bytes_of(entity);
    table->bytes += now - entity->bytes;
    if (entity->dirty) {
        segment_of(table, entity)->bytes += now - entity->bytes;
        table->dirty_bytes += now - entity->bytes;
    }
    entity->bytes = now;
}

static bool reserve_partition(weir_entities *table, int32_t partition) {
    if (partition < table->partitions) return true;
    int64_t(*since)[WEIR_ENTITY_SEGMENTS] = weir_mem.realloc(table->since, ((size_t)partition + 1) * sizeof *since);
    if (!since) return false;
    table->since = since;
    for (; table->partitions <= partition; table->partitions++)
        for (int i = 0; i < WEIR_ENTITY_SEGMENTS; i++) since[table->partitions][i] = INT64_MAX;
    return true;
}

static bool add_dirty(weir_entities *table, weir_entity *entity, int64_t since) {
    dirty_segment *s = segment_of(table, entity);
    if (!reserve_partition(table, entity->partition)) return false;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 16;
        weir_entity **dirty = weir_mem.realloc(s->dirty, capacity * sizeof(weir_entity *));
        if (!dirty) return false;
        s->dirty = dirty;
        s->capacity = capacity;
    }
    int64_t *first = &table->since[entity->partition][weir_entities_segment_of(entity->hash)];
    if (since < *first) *first = since;
    entity->dirty = true;
    entity->dirty_index = (uint32_t)s->count;
    entity->value_room = 0;
    s->dirty[s->count++] = entity;
    s->bytes += entity->bytes;
    table->dirty_count++;
    table->dirty_bytes += entity->bytes;
    return true;
}

bool weir_entities_touch(weir_entities *table, weir_entity *entity, int64_t since, const void *value, size_t len) {
    dirty_segment *s = segment_of(table, entity);
    if (!entity->dirty && !add_dirty(table, entity, since)) return false;
    if (len > entity->value_room) {
        /* A little more than now, so that the next one, whose numbers may take a byte more, fits too. */
        size_t room = len + len / 8 + 16, capacity = s->values.capacity;
        if (room > UINT32_MAX || !weir_buf_reserve(&s->values, room)) return false;
        table->values_capacity += s->values.capacity - capacity;
        entity->value_at = s->values.len;
        entity->value_room = (uint32_t)room;
        s->values.len += room;
        table->dirty_bytes += room;
    }
    memcpy(s->values.data + entity->value_at, value, len);
    entity->value_len = (uint32_t)len;
    s->value_bytes += len;
    return true;
}

const void *weir_entities_value(const weir_entities *table, const weir_entity *entity) {
    return table->segments[weir_entities_segment_of(entity->hash)].values.data + entity->value_at;
}

void weir_entities_clean(weir_entities *table, weir_entity *entity) {
    if (!entity->dirty) return;
    dirty_segment *s = segment_of(table, entity);
    weir_entity *last = s->dirty[--s->count];
    s->dirty[entity->dirty_index] = last;
    last->dirty_index = entity->dirty_index;
    entity->dirty = false;
    s->bytes -= entity->bytes;
    table->dirty_bytes -= entity->bytes;
    table->dirty_count--;
    if (!s->count) empty_segment(table, weir_entities_segment_of(entity->hash));
}

size_t weir_entities_dirty_count(const weir_entities *table) {
    return table->dirty_count;
}
size_t weir_entities_dirty_in(const weir_entities *table, int segment) {
    return table->segments[segment].count;
}
weir_entity *weir_entities_dirty_at(const weir_entities *table, int segment, size_t index) {
    return table->segments[segment].dirty[index];
}
size_t weir_entities_segment_bytes(const weir_entities *table, int segment) {
    return table->segments[segment].bytes + table->segments[segment].values.len;
}
size_t weir_entities_segment_values(const weir_entities *table, int segment) {
    return table->segments[segment].value_bytes;
}

void weir_entities_clean_segment(weir_entities *table, int segment) {
    for (size_t i = 0; i < table->segments[segment].count; i++) table->segments[segment].dirty[i]->dirty = false;
    empty_segment(table, segment);
}

void weir_entities_clean_all(weir_entities *table) {
    for (int i = 0; i < WEIR_ENTITY_SEGMENTS; i++)
        if (table->segments[i].count) weir_entities_clean_segment(table, i);
}

int64_t weir_entities_since(const weir_entities *table, int32_t partition) {
    int64_t first = INT64_MAX;
    for (int i = 0; partition < table->partitions && i < WEIR_ENTITY_SEGMENTS; i++)
        if (table->since[partition][i] < first) first = table->since[partition][i];
    return first;
}

void weir_entities_evict(weir_entities *table) {
    /* The first look at one that was used takes its mark. Where nearly all are dirty, a call must not go round a large table for the few that are not. */
    for (uint64_t left = EVICTION_STEPS; left && weir_entities_full(table) && table->count > table->dirty_count; left--) {
        weir_entity *entity = table->slots[table->hand].entity;
        if (!entity || entity->dirty || entity->used) {
            if (entity && !entity->dirty) entity->used = false;
            table->hand = (table->hand + 1) & table->mask;
            continue;
        }
        drop(table, table->hand); /* what moves here is looked at next */
    }
}

size_t weir_entities_count(const weir_entities *table) {
    return table->count;
}
size_t weir_entities_bytes(const weir_entities *table) {
    return table->bytes + table->values_capacity;
}
size_t weir_entities_dirty_bytes(const weir_entities *table) {
    return table->dirty_bytes;
}
bool weir_entities_full(const weir_entities *table) {
    return weir_entities_bytes(table) > table->limit;
}
