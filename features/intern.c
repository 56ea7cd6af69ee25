#include "features/intern.h"

#include <stdlib.h>
#include <string.h>

struct weir_intern_entry {
    size_t at;
    uint32_t len;
    uint32_t hash;
};

static uint32_t hash_of(const char *text, size_t len) {
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return (uint32_t)(hash ^ hash >> 32);
}

void weir_intern_done(weir_intern *intern) {
    weir_buf_done(&intern->text);
    free(intern->entries);
    free(intern->slots);
    *intern = (weir_intern){0};
}

/* The slot that holds the text, or the free one where it belongs. There is always a free one. */
static uint32_t *slot_of(const weir_intern *intern, const char *text, size_t len, uint32_t hash) {
    uint32_t mask = intern->slot_count - 1;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t n = intern->slots[i];
        if (!n) return &intern->slots[i];
        const struct weir_intern_entry *e = &intern->entries[n - 1];
        if (e->hash == hash && e->len == len && !memcmp(intern->text.data + e->at, text, len)) return &intern->slots[i];
    }
}

uint32_t weir_intern_find(const weir_intern *intern, const char *text, size_t len) {
    if (!intern->count) return WEIR_INTERN_NONE;
    uint32_t n = *slot_of(intern, text, len, hash_of(text, len));
    return n ? n - 1 : WEIR_INTERN_NONE;
}

/* Slots are at most half full, so that probes stay short. */
static bool grow(weir_intern *intern) {
    if (intern->count < intern->capacity) return true;
    if (intern->capacity >= UINT32_MAX / 8) return false;
    uint32_t capacity = intern->capacity ? 2 * intern->capacity : 1024, slot_count = 2 * capacity;
    struct weir_intern_entry *entries = weir_mem.realloc(intern->entries, capacity * sizeof(*entries));
    if (!entries) return false;
    intern->entries = entries;
    uint32_t *slots = weir_mem.realloc(NULL, slot_count * sizeof(*slots));
    if (!slots) return false;
    memset(slots, 0, slot_count * sizeof(*slots));
    free(intern->slots);
    intern->slots = slots;
    intern->slot_count = slot_count;
    intern->capacity = capacity;
    for (uint32_t n = 0; n < intern->count; n++) *slot_of(intern, intern->text.data + entries[n].at, entries[n].len, entries[n].hash) = n + 1;
    return true;
}

uint32_t weir_intern_add(weir_intern *intern, const char *text, size_t len) {
    if (len > UINT32_MAX || !grow(intern)) return WEIR_INTERN_NONE;
    uint32_t hash = hash_of(text, len), *slot = slot_of(intern, text, len, hash);
    if (*slot) return *slot - 1;
    size_t at = intern->text.len;
    if (!weir_buf_append(&intern->text, text, len)) return WEIR_INTERN_NONE;
    intern->entries[intern->count] = (struct weir_intern_entry){.at = at, .len = (uint32_t)len, .hash = hash};
    *slot = intern->count + 1;
    return intern->count++;
}

const char *weir_intern_text(const weir_intern *intern, uint32_t number, size_t *ret_len) {
    *ret_len = intern->entries[number].len;
    return intern->text.data + intern->entries[number].at;
}
