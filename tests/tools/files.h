/* What the tools do with files: read and written whole, or the tool ends. What lives as long as the process is named here, so that what looks for leaks finds it. */
#ifndef WEIR_TESTS_TOOLS_FILES_H
#define WEIR_TESTS_TOOLS_FILES_H

#include <stdio.h>
#include <stdlib.h>

enum { KEPT_MAX = 1024 };
static void *kept[KEPT_MAX];
static int kept_count;

static inline _Noreturn void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void *keep(void *block) {
    if (!block || kept_count == KEPT_MAX) fail("no memory");
    return kept[kept_count++] = block;
}

static inline char *read_file(const char *path, size_t *ret_len) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) fail(path);
    *ret_len = (size_t)ftell(file);
    rewind(file);
    char *bytes = keep(calloc(1, *ret_len + 1));
    if (fread(bytes, 1, *ret_len, file) != *ret_len) fail(path);
    fclose(file);
    return bytes;
}

static inline void write_file(const char *path, const void *bytes, size_t len) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, len, file) != len || fclose(file)) fail(path);
}

#endif
