#include "core/plugin.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

enum { KINDS_MAX = 8 };

static weir_plugin_kind *kinds;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void weir_plugin_kind_add(weir_plugin_kind *kind) {
    kind->next = kinds;
    kinds = kind;
}

static bool has_table(const weir_plugin_kind *kind, const void *table) {
    for (int i = 0; i < kind->count; i++)
        if (kind->tables[i] == table) return true;
    return false;
}

static weir_status lacks_functions(const char *path, weir_err *err) {
    char names[256] = "";
    size_t len = 0;
    for (const weir_plugin_kind *k = kinds; k && len < sizeof names; k = k->next)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len ? ", " : "", k->function);
    return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: it has none of the functions %s", path, names);
}

/* tables [KINDS_MAX]: of each kind what is to be added, NULL for nothing new. */
static weir_status read_tables(const char *path, void *object, const void **tables, weir_err *err) {
    int i = 0, functions = 0;
    for (const weir_plugin_kind *k = kinds; k; k = k->next, i++) {
        void *function = dlsym(object, k->function);
        if (!function) continue;
        functions++;
        const void *table = k->call(function);
        if (!table) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: function %s returns nothing", path, k->function);
        if (has_table(k, table)) continue; /* a shared object that is open already has the same array again */
        if (k->count == WEIR_PLUGINS_MAX)
            return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: %d plugins are loaded already, the most there may be", path, WEIR_PLUGINS_MAX);
        weir_status status = k->check(path, table, err);
        if (status) return status;
        tables[i] = table;
    }
    return functions ? WEIR_OK : lacks_functions(path, err);
}

static void add_tables(const void *const *tables) {
    int i = 0;
    for (weir_plugin_kind *k = kinds; k; k = k->next, i++) {
        if (!tables[i]) continue;
        k->tables[k->count] = tables[i];
        k->count++;
        if (k->added) k->added(tables[i]);
    }
}

weir_status weir_plugin_load(const char *path, weir_err *err) {
    const void *tables[KINDS_MAX] = {NULL};
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s cannot be loaded: %s", path, dlerror());
    pthread_mutex_lock(&lock);
    weir_status status = read_tables(path, object, tables, err);
    if (!status) add_tables(tables);
    pthread_mutex_unlock(&lock);
    if (status) (void)dlclose(object); /* it stays open otherwise: what it brought lives as long as the program */
    return status;
}
