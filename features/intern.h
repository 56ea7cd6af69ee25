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
    uint32_t *slots; /* open addressing; an entry's number + 1, 0: free */
    uint32_t count, capacity, slot_count;
} weir_intern;

void weir_intern_done(weir_intern *intern);
/** The text's number; WEIR_INTERN_NONE when it was never added. */
uint32_t weir_intern_find(const weir_intern *intern, const char *text, size_t len);
/** Adds it if need be; WEIR_INTERN_NONE when memory ran out. */
uint32_t weir_intern_add(weir_intern *intern, const char *text, size_t len);
/** Text of a number (below count), not terminated. */
const char *weir_intern_text(const weir_intern *intern, uint32_t number, size_t *ret_len);

#endif
