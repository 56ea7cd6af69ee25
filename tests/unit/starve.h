/* An allocator that fails from the n-th allocation on: weir_mem.realloc = failing_realloc, allocations_left = n. */
#ifndef WEIR_TESTS_STARVE_H
#define WEIR_TESTS_STARVE_H

#include <stdlib.h>

static _Atomic int allocations_left; /* of all threads */
static void *failing_realloc(void *old, size_t size) {
    if (size && allocations_left-- <= 0) return NULL;
    if (size) return realloc(old, size);
    free(old);
    return NULL;
}

#endif
