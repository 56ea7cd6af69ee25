/* The table: slots of (hash, pointer) probed linearly, removal by shifting back, so that there are no tombstones and a look-up touches one line of slots and one entity.
 * Source of the removal: Knuth, The Art of Computer Programming, vol. 3, 6.4, algorithm R. */
#include "features/entities.h"

#include <assert.h>
#include <string.h>

enum { FIRST_SLOTS = 1024, CACHE_LINE = 64, SHORT_TAIL = 64 };

typedef struct slot {
    weir_entity *entity; /* NULL: free */
    uint32_t hash;
} slot;

struct weir_entities {
    slot *slots;
    uint32_t mask, count, hand; /* slots - 1; entities; where eviction goes on */
    size_t limit, bytes, dirty_bytes;
    weir_entity **dirty;
    size_t dirty_count, dirty_capacity;
    weir_buf values; /* of the dirty ones */
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
    *table = (weir_entities){.slots = slots, .mask = FIRST_SLOTS - 1, .limit = limit_bytes};
    *ret_table = table;
    return WEIR_OK;
}

static void free_entity(weir_entity *entity) {
    weir_state_done(&entity->state);
    (void)weir_mem.realloc(entity, 0);
}

void weir_entities_clear(weir_entities *table) {
    for (uint32_t i = 0; i <= table->mask; i++) {
        if (!table->slots[i].entity) continue;
        free_entity(table->slots[i].entity);
        table->slots[i].entity = NULL;
    }
    table->count = 0;
    table->hand = 0;
    table->bytes = table->dirty_bytes = 0;
    table->dirty_count = 0;
    weir_buf_clear(&table->values);
}

void weir_entities_free(weir_entities *table) {
    if (!table) return;
    weir_entities_clear(table);
    weir_buf_done(&table->values);
    (void)weir_mem.realloc(table->slots, 0);
    (void)weir_mem.realloc(table->dirty, 0);
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
    __builtin_prefetch(&table->slots[hash & table->mask]);
}

void weir_entities_prefetch_entity(const weir_entities *table, uint32_t hash) {
    const weir_entity *entity = table->slots[hash & table->mask].entity;
    if (!entity) return;
    for (size_t at = 0; at < sizeof *entity + CACHE_LINE; at += CACHE_LINE) __builtin_prefetch((const char *)entity + at);
}

static void prefetch_range(const void *from, size_t bytes) {
    for (size_t at = 0; at < bytes + CACHE_LINE; at += CACHE_LINE) __builtin_prefetch((const char *)from + at);
}

/* A short tail whole, since windows end anywhere in it; of a long one both ends. */
void weir_entities_prefetch_state(const weir_entities *table, uint32_t hash) {
    const weir_entity *entity = table->slots[hash & table->mask].entity;
    const weir_state *state = entity ? &entity->state : NULL;
    if (!state || !state->count) return;
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

weir_entity *weir_entities_find(weir_entities *table, uint32_t hash, const void *key, size_t len) {
    for (uint32_t i = hash & table->mask; table->slots[i].entity; i = (i + 1) & table->mask) {
        weir_entity *entity = table->slots[i].entity;
        if (table->slots[i].hash != hash || entity->key_len != len || memcmp(entity->key, key, len)) continue;
        entity->used = true;
        return entity;
    }
    return NULL;
}

static void put(slot *slots, uint32_t mask, slot s) {
    uint32_t i = s.hash & mask;
    while (slots[i].entity) i = (i + 1) & mask;
    slots[i] = s;
}

static bool grow(weir_entities *table) {
    if (table->mask > UINT32_MAX / 4) return false;
    size_t count = 2 * ((size_t)table->mask + 1);
    slot *slots = weir_mem.realloc(NULL, count * sizeof *slots);
    if (!slots) return false;
    memset(slots, 0, count * sizeof *slots);
    for (uint32_t i = 0; i <= table->mask; i++)
        if (table->slots[i].entity) put(slots, (uint32_t)(count - 1), table->slots[i]);
    (void)weir_mem.realloc(table->slots, 0);
    table->slots = slots;
    table->mask = (uint32_t)(count - 1);
    table->hand = 0;
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
    put(table->slots, table->mask, (slot){entity, hash});
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
            uint32_t home = table->slots[j].hash & table->mask;
            bool stays = i <= j ? i < home && home <= j : i < home || home <= j;
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
    uint32_t i = entity->hash & table->mask;
    while (table->slots[i].entity != entity) i = (i + 1) & table->mask;
    drop(table, i);
}

void weir_entities_resized(weir_entities *table, weir_entity *entity) {
    size_t now = bytes_of(entity);
    table->bytes += now - entity->bytes;
    if (entity->dirty) table->dirty_bytes += now - entity->bytes;
    entity->bytes = now;
}

static bool add_dirty(weir_entities *table, weir_entity *entity, int64_t since) {
    if (table->dirty_count == table->dirty_capacity) {
        size_t capacity = table->dirty_capacity ? 2 * table->dirty_capacity : 256;
        weir_entity **dirty = weir_mem.realloc(table->dirty, capacity * sizeof(weir_entity *));
        if (!dirty) return false;
        table->dirty = dirty;
        table->dirty_capacity = capacity;
    }
    entity->dirty = true;
    entity->since = since;
    entity->dirty_index = (uint32_t)table->dirty_count;
    entity->value_room = 0;
    table->dirty[table->dirty_count++] = entity;
    table->dirty_bytes += entity->bytes;
    return true;
}

bool weir_entities_touch(weir_entities *table, weir_entity *entity, int64_t since, const void *value, size_t len) {
    if (!entity->dirty && !add_dirty(table, entity, since)) return false;
    if (len > entity->value_room) {
        /* A little more than now, so that the next one, whose numbers may take a byte more, fits too. */
        size_t room = len + len / 8 + 16;
        if (room > UINT32_MAX || !weir_buf_reserve(&table->values, room)) return false;
        entity->value_at = table->values.len;
        entity->value_room = (uint32_t)room;
        table->values.len += room;
    }
    memcpy(table->values.data + entity->value_at, value, len);
    entity->value_len = (uint32_t)len;
    return true;
}

const void *weir_entities_value(const weir_entities *table, const weir_entity *entity) {
    return table->values.data + entity->value_at;
}

void weir_entities_clean(weir_entities *table, weir_entity *entity) {
    if (!entity->dirty) return;
    weir_entity *last = table->dirty[--table->dirty_count];
    table->dirty[entity->dirty_index] = last;
    last->dirty_index = entity->dirty_index;
    entity->dirty = false;
    table->dirty_bytes -= entity->bytes;
    if (!table->dirty_count) weir_buf_clear(&table->values);
}

size_t weir_entities_dirty_count(const weir_entities *table) {
    return table->dirty_count;
}
weir_entity *weir_entities_dirty_at(const weir_entities *table, size_t index) {
    return table->dirty[index];
}

void weir_entities_clean_all(weir_entities *table) {
    for (size_t i = 0; i < table->dirty_count; i++) table->dirty[i]->dirty = false;
    table->dirty_count = 0;
    table->dirty_bytes = 0;
    weir_buf_clear(&table->values);
}

void weir_entities_evict(weir_entities *table) {
    /* Two rounds, of which the first takes the mark of those that were used; an eviction is a step, too. */
    for (uint64_t left = 3 * ((uint64_t)table->mask + 1); left && weir_entities_full(table) && table->count > table->dirty_count; left--) {
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
    return table->bytes + table->values.capacity;
}
size_t weir_entities_dirty_bytes(const weir_entities *table) {
    return table->dirty_bytes + table->values.len;
}
bool weir_entities_full(const weir_entities *table) {
    return table->bytes > table->limit;
}
