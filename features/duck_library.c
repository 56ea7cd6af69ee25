#include "features/duck_library.h"

#include "core/library.h"

weir_duck_functions duckdb;

weir_status weir_duck_load(weir_err *err) {
    static const char *const files[] = {WEIR_DUCKDB_LIBRARY, "libduckdb.so", NULL}; /* the one that was built with, wherever it lay; in an image the system's */
#define WEIR_DUCK_NAME(name) "duckdb_" #name,
    static const char *const names[] = {WEIR_DUCK_FUNCTIONS(WEIR_DUCK_NAME)};
#undef WEIR_DUCK_NAME
    static weir_library library = {
        .files = files, .names = names, .count = sizeof names / sizeof *names, .addresses = &duckdb, .lock = PTHREAD_MUTEX_INITIALIZER};
    return weir_library_load(&library, err);
}
