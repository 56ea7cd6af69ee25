/* Shared libraries that only some commands need: loaded when first used, so that all others start without them. */
#ifndef WEIR_CORE_LIBRARY_H
#define WEIR_CORE_LIBRARY_H

#include <pthread.h>
#include <stdbool.h>

#include "core/err.h"

/* A library and those of its functions that we call. The addresses lie in a struct of pointers to functions, one for each name and in their order:
 *     static struct { __typeof__(&lib_open) open; __typeof__(&lib_close) close; } lib;
 *     static const char *const names[] = {"lib_open", "lib_close"};
 *     static weir_library library = {.files = files, .names = names, .count = 2, .addresses = &lib, .lock = PTHREAD_MUTEX_INITIALIZER}; */
typedef struct weir_library {
    const char *const *files; /* the first that can be opened is taken; ends with NULL */
    const char *const *names;
    int count;
    void *addresses; /* written once */
    pthread_mutex_t lock;
    bool loaded;
} weir_library;

/** Loads the library for as long as the process lives, unless that was done; any thread may. WEIR_EIO when it cannot be opened, or lacks a function: the next call
 *  tries again. */
weir_status weir_library_load(weir_library *library, weir_err *err) WEIR_MUST_CHECK;

#endif
