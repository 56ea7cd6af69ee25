/* The registry of stores: own ones, then those of plugins. */
#include "models/artifact_store.h"

#include <string.h>

#include "core/plugin.h"

static const weir_artifact_store *const own[] = {&weir_artifact_store_file, &weir_artifact_store_memory};
enum { OWN_COUNT = sizeof own / sizeof *own };

static weir_plugin_kind plugins;

const weir_artifact_store *weir_artifact_store_at(int index) {
    if (index < OWN_COUNT) return own[index];
    index -= OWN_COUNT;
    for (int i = 0; i < plugins.count; i++)
        for (const weir_artifact_store *s = plugins.tables[i]; s->name; s++)
            if (!index--) return s;
    return NULL;
}

const weir_artifact_store *weir_artifact_store_find(const char *name) {
    const weir_artifact_store *s;
    for (int i = 0; (s = weir_artifact_store_at(i)); i++)
        if (!strcmp(s->name, name)) return s;
    return NULL;
}

/* What is missing in a store; NULL when it is complete. */
static const char *incomplete(const weir_artifact_store *s) {
    if (!*s->name || s->name[strspn(s->name, "abcdefghijklmnopqrstuvwxyz0123456789+-.")]) return "a name that can be a scheme";
    if (!s->doc) return "a doc";
    if (!s->open || !s->write || !s->read || !s->remove || !s->list || !s->close) return "a method (open, write, read, remove, list or close)";
    return NULL;
}

static weir_status check_stores(const char *path, const void *table, weir_err *err) {
    const weir_artifact_store *stores = table;
    for (const weir_artifact_store *s = stores; s->name; s++) {
        const char *missing;
        if (s->abi != WEIR_ARTIFACT_STORE_ABI)
            return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: store %s has ABI %d, expected %d", path, s->name, s->abi, WEIR_ARTIFACT_STORE_ABI);
        if ((missing = incomplete(s))) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: store %s lacks %s", path, s->name, missing);
        if (weir_artifact_store_find(s->name)) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: there is a store %s already", path, s->name);
        for (const weir_artifact_store *other = stores; other < s; other++)
            if (!strcmp(other->name, s->name)) return WEIR_FAIL(err, WEIR_EINVAL, "plugin %s: it has two stores %s", path, s->name);
    }
    return WEIR_OK;
}

static const void *call(void *function) {
    const weir_artifact_store *(*stores)(void);
    *(void **)&stores = function; /* as POSIX has it */
    return stores();
}

static weir_plugin_kind plugins = {.function = WEIR_PLUGIN_STORES, .call = call, .check = check_stores};

__attribute__((constructor)) static void name_kind(void) {
    weir_plugin_kind_add(&plugins);
}
