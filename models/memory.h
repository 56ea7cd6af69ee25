/* Heap blocks through the injectable allocator. */
#ifndef WEIR_MODELS_MEMORY_H
#define WEIR_MODELS_MEMORY_H

#include <stdint.h>
#include <string.h>

#include "core/mem.h"

/* Zeroed; NULL when memory ran out or count · size is no size. */
static inline void *weir_models_calloc(size_t count, size_t size) {
    if (size && count > ((size_t)PTRDIFF_MAX - 1) / size) return NULL;
    size_t bytes = count * size + 1; /* an empty array is a block too */
    void *block = weir_mem.realloc(NULL, bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

static inline void weir_models_free(void *block) {
    if (block) weir_mem.realloc(block, 0);
}

#endif
