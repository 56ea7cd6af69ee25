#include "core/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Under AddressSanitizer what is not handed out is poisoned, so that use after a reset is caught like use after free. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#endif
#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#define poison(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define poison(p, n) ((void)(p), (void)(n))
#define unpoison(p, n) ((void)(p), (void)(n))
#endif

enum { ALIGNMENT = 16, FIRST_BLOCK_BYTES = 16 * 1024, LARGEST_STEP_BYTES = 1024 * 1024, FIRST_BUF_BYTES = 64 };

static void *system_realloc(void *old, size_t size) {
    if (size) return realloc(old, size);
    free(old);
    return NULL;
}

weir_allocator weir_mem = {.realloc = system_realloc};

void weir_mem_prefer_large_pages(void *array, size_t bytes) {
    enum { LARGE = 2 << 20 };
    uintptr_t first = ((uintptr_t)array + LARGE - 1) & ~(uintptr_t)(LARGE - 1), end = ((uintptr_t)array + bytes) & ~(uintptr_t)(LARGE - 1);
    if (first < end) (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
}

/* first → … → current → blocks kept from before the last reset, all unused → NULL */
struct weir_arena_block {
    struct weir_arena_block *next;
    size_t capacity, used;
    size_t reserved; /* keeps data on a 16-byte boundary */
    unsigned char data[];
};
_Static_assert(sizeof(struct weir_arena_block) % ALIGNMENT == 0, "block data must be aligned");

void weir_arena_init(weir_arena *arena, size_t max_bytes) {
    *arena = (weir_arena){.max_bytes = max_bytes};
}

static void free_blocks(struct weir_arena_block *block) {
    while (block) {
        struct weir_arena_block *next = block->next;
        unpoison(block->data, block->capacity);
        weir_mem.realloc(block, 0);
        block = next;
    }
}

void weir_arena_done(weir_arena *arena) {
    free_blocks(arena->first);
    weir_arena_init(arena, arena->max_bytes);
}

static void take_block(weir_arena *arena, struct weir_arena_block *block) {
    arena->current = block;
    if (block) {
        block->used = 0;
        poison(block->data, block->capacity);
    }
}

void weir_arena_reset(weir_arena *arena) {
    for (struct weir_arena_block *block = arena->first; block; block = block->next) {
        poison(block->data, block->capacity);
        if (block == arena->current) break;
    }
    arena->used = 0;
    take_block(arena, arena->first);
}

static size_t sum_capacity(const weir_arena *arena) {
    size_t sum = 0;
    for (const struct weir_arena_block *block = arena->first; block; block = block->next) sum += block->capacity;
    return sum;
}

static bool add_block(weir_arena *arena, size_t size) {
    struct weir_arena_block *current = arena->current;
    size_t sum = sum_capacity(arena);
    if (size > arena->max_bytes - sum && current) {
        /* Kept blocks that are too small for today's load make room for one that is not. */
        free_blocks(current->next);
        current->next = NULL;
        sum = sum_capacity(arena);
    }
    size_t room = arena->max_bytes - sum;
    if (size > room) return false;
    size_t capacity = current ? current->capacity * 2 : FIRST_BLOCK_BYTES;
    if (capacity > LARGEST_STEP_BYTES) capacity = LARGEST_STEP_BYTES;
    if (capacity > room) capacity = room & ~(size_t)(ALIGNMENT - 1);
    if (capacity < size) capacity = size;
    if (capacity > SIZE_MAX - sizeof *current) return false;

    struct weir_arena_block *block = weir_mem.realloc(NULL, sizeof *block + capacity);
    if (!block) return false;
    block->capacity = capacity;
    block->next = current ? current->next : NULL;
    if (current)
        current->next = block;
    else
        arena->first = block;
    take_block(arena, block);
    return true;
}

void *weir_arena_alloc(weir_arena *arena, size_t size) {
    if (size > arena->max_bytes) return NULL;
    size_t rounded = size ? (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1) : ALIGNMENT;
    if (rounded < size) return NULL;
    struct weir_arena_block *block = arena->current;
    if (!block || rounded > block->capacity - block->used) {
        if (block && block->next && rounded <= block->next->capacity)
            take_block(arena, block->next);
        else if (!add_block(arena, rounded))
            return NULL;
        block = arena->current;
    }
    void *at = block->data + block->used;
    block->used += rounded;
    arena->used += rounded;
    unpoison(at, size);
    return at;
}

char *weir_arena_copy(weir_arena *arena, const void *bytes, size_t len) {
    if (len == SIZE_MAX) return NULL;
    char *copy = weir_arena_alloc(arena, len + 1);
    if (!copy) return NULL;
    if (len) memcpy(copy, bytes, len);
    copy[len] = 0;
    return copy;
}

void weir_buf_done(weir_buf *buf) {
    weir_mem.realloc(buf->data, 0);
    *buf = (weir_buf){0};
}

bool weir_buf_reserve(weir_buf *buf, size_t more) {
    if (more > SIZE_MAX / 2 - buf->len - 1) return false;
    size_t need = buf->len + more + 1;
    if (need <= buf->capacity) return true;
    size_t capacity = buf->capacity ? buf->capacity : FIRST_BUF_BYTES;
    while (capacity < need) capacity *= 2;
    char *data = weir_mem.realloc(buf->data, capacity);
    if (!data) return false;
    buf->data = data;
    buf->capacity = capacity;
    data[buf->len] = 0;
    return true;
}

bool weir_buf_append(weir_buf *buf, const void *bytes, size_t len) {
    if (!weir_buf_reserve(buf, len)) return false;
    if (len) memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = 0;
    return true;
}

bool weir_buf_printf(weir_buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !weir_buf_reserve(buf, (size_t)len)) return false;
    va_start(args, format);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
    return true;
}

/* Length of the well-formed UTF-8 sequence at text (Unicode 15, table 3-7), 0 when there is none. */
static size_t utf8_sequence(const unsigned char *text, size_t len) {
    unsigned char lead = text[0], low = 0x80, high = 0xBF;
    if (lead < 0x80) return 1;
    size_t need = lead >= 0xC2 && lead <= 0xDF ? 2 : lead >= 0xE0 && lead <= 0xEF ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
    if (need == 0 || need > len) return 0;
    if (lead == 0xE0) low = 0xA0; /* overlong */
    if (lead == 0xED) high = 0x9F; /* surrogates */
    if (lead == 0xF0) low = 0x90; /* overlong */
    if (lead == 0xF4) high = 0x8F; /* above U+10FFFF */
    if (text[1] < low || text[1] > high) return 0;
    for (size_t i = 2; i < need; i++)
        if ((text[i] & 0xC0) != 0x80) return 0;
    return need;
}

/* What stands for one byte that cannot stand for itself. */
static bool append_escape(weir_buf *buf, unsigned char byte) {
    switch (byte) {
    case '"': return weir_buf_append(buf, "\\\"", 2);
    case '\\': return weir_buf_append(buf, "\\\\", 2);
    case '\n': return weir_buf_append(buf, "\\n", 2);
    case '\r': return weir_buf_append(buf, "\\r", 2);
    case '\t': return weir_buf_append(buf, "\\t", 2);
    default: break;
    }
    if (byte < 0x20 || byte == 0x7F) return weir_buf_printf(buf, "\\u%04x", byte);
    return weir_buf_append(buf, "\xEF\xBF\xBD", 3);
}

bool weir_buf_json_escape(weir_buf *buf, const char *text, size_t len) {
    const unsigned char *bytes = (const unsigned char *)text;
    size_t start_len = buf->len, run = 0, at = 0;
    bool ok = weir_buf_reserve(buf, len);
    while (ok && at < len) {
        unsigned char byte = bytes[at];
        bool plain = byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7F;
        size_t sequence = plain ? utf8_sequence(bytes + at, len - at) : 0;
        if (sequence) {
            at += sequence;
            continue;
        }
        ok = weir_buf_append(buf, text + run, at - run) && append_escape(buf, byte);
        run = ++at;
    }
    ok = ok && (run == at || weir_buf_append(buf, text + run, at - run));
    if (!ok && buf->data) {
        buf->len = start_len;
        buf->data[start_len] = 0;
    }
    return ok;
}
