#include "features/intern.h"

#include <stdlib.h>
#include <string.h>

struct weir_intern_entry {
    size_t at;
    uint32_t len;
    uint32_t hash;
};

static uint32_t fold(uint64_t hash) {
    return (uint32_t)(hash ^ hash >> 32);
}

void weir_intern_done(weir_intern *intern) {
    weir_buf_done(&intern->text);
    free(intern->entries);
    free(intern->slots);
    *intern = (weir_intern){0};
}

static bool same(const weir_intern *intern, const struct weir_intern_entry *e, const weir_intern_part *parts, int count) {
    const char *text = intern->text.data + e->at;
    size_t left = e->len;
    for (int i = 0; i < count; i++) {
        if (parts[i].len > left || memcmp(text, parts[i].text, parts[i].len) != 0) return false;
        text += parts[i].len;
        left -= parts[i].len;
    }
    return !left;
}

/* The slot that holds the key, or the free one where it belongs. There is always a free one. Other keys are mostly told by their hash, without a look at their text. */
static uint64_t *slot_of(const weir_intern *intern, uint32_t hash, const weir_intern_part *parts, int count) {
    uint32_t mask = intern->slot_count - 1;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        uint64_t slot = intern->slots[i];
        if (!slot || (slot >> 32 == hash && same(intern, &intern->entries[(uint32_t)slot - 1], parts, count))) return &intern->slots[i];
    }
}

uint32_t weir_intern_find_hashed(const weir_intern *intern, uint64_t hash, const weir_intern_part *parts, int count) {
    if (!intern->count) return WEIR_INTERN_NONE;
    uint32_t n = (uint32_t)*slot_of(intern, fold(hash), parts, count);
    return n ? n - 1 : WEIR_INTERN_NONE;
}

uint32_t weir_intern_find(const weir_intern *intern, const char *text, size_t len) {
    return weir_intern_find_hashed(intern, weir_intern_hash(WEIR_INTERN_HASH_START, text, len), &(weir_intern_part){text, len}, 1);
}

/* Slots are at most half full, so that probes stay short. */
static bool grow(weir_intern *intern) {
    if (intern->count < intern->capacity) return true;
    if (intern->capacity >= UINT32_MAX / 8) return false;
    uint32_t capacity = intern->capacity ? 2 * intern->capacity : 1024, slot_count = 2 * capacity;
    struct weir_intern_entry *entries = weir_mem.realloc(intern->entries, capacity * sizeof(*entries));
    if (!entries) return false;
    intern->entries = entries;
    uint64_t *slots = weir_mem.realloc(NULL, slot_count * sizeof(*slots));
    if (!slots) return false;
    memset(slots, 0, slot_count * sizeof(*slots));
    free(intern->slots);
    intern->slots = slots;
    intern->slot_count = slot_count;
    intern->capacity = capacity;
    for (uint32_t n = 0; n < intern->count; n++) { /* all differ */
        uint32_t i = entries[n].hash & (slot_count - 1);
        while (slots[i]) i = (i + 1) & (slot_count - 1);
        slots[i] = (uint64_t)entries[n].hash << 32 | (n + 1);
    }
    return true;
}

uint32_t weir_intern_add_hashed(weir_intern *intern, uint64_t long_hash, const char *text, size_t len) {
    if (len > UINT32_MAX || !grow(intern)) return WEIR_INTERN_NONE;
    uint32_t hash = fold(long_hash);
    uint64_t *slot = slot_of(intern, hash, &(weir_intern_part){text, len}, 1);
    if (*slot) return (uint32_t)*slot - 1;
    size_t at = intern->text.len;
    if (!weir_buf_append(&intern->text, text, len)) return WEIR_INTERN_NONE;
    intern->entries[intern->count] = (struct weir_intern_entry){.at = at, .len = (uint32_t)len, .hash = hash};
    *slot = (uint64_t)hash << 32 | (intern->count + 1);
    return intern->count++;
}

uint32_t weir_intern_add(weir_intern *intern, const char *text, size_t len) {
    return weir_intern_add_hashed(intern, weir_intern_hash(WEIR_INTERN_HASH_START, text, len), text, len);
}

void weir_intern_prefetch_text(const weir_intern *intern, uint64_t hash) {
    if (!intern->slots) return;
    uint32_t n = (uint32_t)intern->slots[fold(hash) & (intern->slot_count - 1)];
    if (n) __builtin_prefetch(intern->text.data + intern->entries[n - 1].at);
}

const char *weir_intern_text(const weir_intern *intern, uint32_t number, size_t *ret_len) {
    *ret_len = intern->entries[number].len;
    return intern->text.data + intern->entries[number].at;
}
