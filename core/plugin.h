/* Plugins: shared objects in C that add to what Weir has. One may bring things of several kinds; each kind has its own function, which returns an array ended by an entry
 * without a name, that lives as long as the program. Entries begin with `int abi; const char *name;`. A plugin may call what cmake/plugin.symbols lists, and nothing else of Weir.
 * docs/plugins.md lists the kinds. */
#ifndef WEIR_CORE_PLUGIN_H
#define WEIR_CORE_PLUGIN_H

#include <stdatomic.h>

#include "core/err.h"

enum { WEIR_PLUGINS_MAX = 64 };

/* A kind of thing that plugins may bring. Static storage; the module that it belongs to names it with weir_plugin_kind_add. Tables are only ever added, each before the count
 * says so: readers need no lock. */
typedef struct weir_plugin_kind {
    const char *function; /* "weir_plugin_operators" */
    const void *(*call)(void *function); /* calls it by its own type */
    /** Nothing is changed; messages begin with "plugin PATH: ". */
    weir_status (*check)(const char *path, const void *table, weir_err *err);
    void (*added)(const void *table); /* may be NULL; called when the table is in, under the loader's lock */
    const void *tables[WEIR_PLUGINS_MAX];
    _Atomic int count;
    struct weir_plugin_kind *next;
} weir_plugin_kind;

/** To be called before main: from a constructor in the file of the kind. */
void weir_plugin_kind_add(weir_plugin_kind *kind);
/** Loads a plugin and adds all it brings, or nothing; one that is loaded already is not loaded again. Errors: WEIR_EINVAL when there is no such file, it exports none of the functions,
 *  or something in it is of another ABI, incomplete or of a name that is taken. */
weir_status weir_plugin_load(const char *path, weir_err *err) WEIR_MUST_CHECK;

#endif
