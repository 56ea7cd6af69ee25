/* Memory: arenas for what lives together, growable buffers for bytes on their way out. */
#ifndef WEIR_CORE_MEM_H
#define WEIR_CORE_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/* A region that is freed or reset as a whole. Not thread-safe. Blocks are kept over a reset, so a steady load allocates nothing. */
typedef struct weir_arena {
    struct weir_arena_block *first, *current;
    size_t used, max_bytes; /* max_bytes bounds the sum of all blocks */
} weir_arena;

void weir_arena_init(weir_arena *arena, size_t max_bytes);
void weir_arena_done(weir_arena *arena);
void weir_arena_reset(weir_arena *arena);
/** 16-byte aligned, uninitialised; NULL when max_bytes or the machine's memory is exhausted. */
void *weir_arena_alloc(weir_arena *arena, size_t size);
/** Copies len bytes and ends them with a NUL; NULL as for weir_arena_alloc. */
char *weir_arena_copy(weir_arena *arena, const void *bytes, size_t len);

/* A growable byte buffer. data is NULL until the first append; it always has a NUL after len. */
typedef struct weir_buf {
    char *data;
    size_t len, capacity;
} weir_buf;

void weir_buf_done(weir_buf *buf);
static inline void weir_buf_clear(weir_buf *buf) {
    buf->len = 0;
    if (buf->data) buf->data[0] = 0;
}
/** Room for `more` further bytes (and a NUL). False when memory ran out; the buffer is then unchanged. */
bool weir_buf_reserve(weir_buf *buf, size_t more) WEIR_MUST_CHECK;
bool weir_buf_append(weir_buf *buf, const void *bytes, size_t len) WEIR_MUST_CHECK;
bool weir_buf_printf(weir_buf *buf, const char *format, ...) WEIR_PRINTF(2, 3) WEIR_MUST_CHECK;
/** Appends text as the inside of a JSON string (escaped, no quotes). Invalid UTF-8 bytes become U+FFFD. */
bool weir_buf_json_escape(weir_buf *buf, const char *text, size_t len) WEIR_MUST_CHECK;

/** Injectable allocation: tests make the n-th allocation fail. The default is malloc/realloc/free; realloc(old, 0) frees and returns NULL. */
typedef struct weir_allocator {
    void *(*realloc)(void *old, size_t size);
} weir_allocator;
extern weir_allocator weir_mem;

/** Asks for large pages below an array that is reached into at random, or filled at once: fewer faults and fewer misses of the address cache. A hint; nothing comes of small ones. */
void weir_mem_prefer_large_pages(void *array, size_t bytes);

#endif
