/* Texts as dense numbers: 0, 1, 2, … in the order in which they were first met. */
#ifndef WEIR_FEATURES_INTERN_H
#define WEIR_FEATURES_INTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"

#define WEIR_INTERN_NONE UINT32_MAX

/* Zero-initialised is empty. */
typedef struct weir_intern {
    weir_buf text; /* all texts, one after the other */
    struct weir_intern_entry *entries;
    uint64_t *slots; /* open addressing; hash << 32 | an entry's number + 1, 0: free */
    uint32_t count, capacity, slot_count;
} weir_intern;

void weir_intern_done(weir_intern *intern);
/** The text's number; WEIR_INTERN_NONE when it was never added. */
uint32_t weir_intern_find(const weir_intern *intern, const char *text, size_t len);
/** Adds it if need be; WEIR_INTERN_NONE when memory ran out. */
uint32_t weir_intern_add(weir_intern *intern, const char *text, size_t len);
/* The look-up in steps, for many keys at a time: hash them, which brings their slots on the way, then find them. A key is the texts of its parts, one after the other. */
typedef struct weir_intern_part {
    const char *text;
    size_t len;
} weir_intern_part;
#define WEIR_INTERN_HASH_START UINT64_C(14695981039346656037)
static inline uint64_t weir_intern_hash(uint64_t hash, const char *text, size_t len) { /* of one part after the other, from WEIR_INTERN_HASH_START; FNV-1a */
    for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    return hash;
}
static inline void weir_intern_prefetch(const weir_intern *intern, uint64_t hash) {
    if (intern->slots) __builtin_prefetch(&intern->slots[(uint32_t)(hash ^ hash >> 32) & (intern->slot_count - 1)]);
}
/** When the slots are there: brings the texts on the way. */
void weir_intern_prefetch_text(const weir_intern *intern, uint64_t hash);
/** As weir_intern_find, of a key of `count` parts with that hash. From any thread while nothing is added. */
uint32_t weir_intern_find_hashed(const weir_intern *intern, uint64_t hash, const weir_intern_part *parts, int count);
/** As weir_intern_add, of a text with that hash. */
uint32_t weir_intern_add_hashed(weir_intern *intern, uint64_t hash, const char *text, size_t len);
/** Text of a number (below count), not terminated. */
const char *weir_intern_text(const weir_intern *intern, uint32_t number, size_t *ret_len);

#endif
