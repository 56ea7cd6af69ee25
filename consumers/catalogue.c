#include "consumers/catalogue.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

void weir_catalogue_done(weir_catalogue *catalogue) {
    for (int i = 0; i < catalogue->count; i++) weir_mem.realloc(catalogue->entries[i], 0);
    if (catalogue->entries) weir_mem.realloc(catalogue->entries, 0);
    *catalogue = (weir_catalogue){0};
}

static void drop_at(weir_catalogue *catalogue, int i) {
    weir_mem.realloc(catalogue->entries[i], 0);
    memmove(&catalogue->entries[i], &catalogue->entries[i + 1], sizeof(weir_catalogue_entry *) * (size_t)(catalogue->count - i - 1));
    catalogue->count--;
}

static int find_alias(const weir_catalogue *catalogue, const char *alias) {
    for (int i = 0; i < catalogue->count; i++) {
        if (*catalogue->entries[i]->alias && !strcmp(catalogue->entries[i]->alias, alias)) return i;
    }
    return -1;
}

static int find_version(const weir_catalogue *catalogue, const char *name, size_t name_len, int version) {
    int best = -1;
    for (int i = 0; i < catalogue->count; i++) {
        const weir_catalogue_entry *entry = catalogue->entries[i];
        if (*entry->alias || strncmp(entry->name, name, name_len) != 0 || entry->name[name_len] || (version && entry->version != version)) continue;
        if (best < 0 || entry->version > catalogue->entries[best]->version) best = i;
    }
    return best;
}

weir_status weir_catalogue_put(weir_catalogue *catalogue, const weir_catalogue_entry *entry, weir_err *err) {
    int at = *entry->alias ? find_alias(catalogue, entry->alias) : find_version(catalogue, entry->name, strlen(entry->name), entry->version);
    if (at >= 0) {
        *catalogue->entries[at] = *entry;
        return WEIR_OK;
    }
    if (catalogue->count == catalogue->capacity) {
        int capacity = catalogue->capacity ? 2 * catalogue->capacity : 64;
        weir_catalogue_entry **entries = weir_mem.realloc(catalogue->entries, sizeof *entries * (size_t)capacity);
        if (!entries) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d versions of models", capacity);
        catalogue->entries = entries;
        catalogue->capacity = capacity;
    }
    weir_catalogue_entry *copy = weir_mem.realloc(NULL, sizeof *copy);
    if (!copy) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a version of a model");
    *copy = *entry;
    if (catalogue->count == WEIR_CATALOGUE_MAX) drop_at(catalogue, 0);
    catalogue->entries[catalogue->count++] = copy;
    return WEIR_OK;
}

void weir_catalogue_drop_alias(weir_catalogue *catalogue, const char *alias) {
    int at = find_alias(catalogue, alias);
    if (at >= 0) drop_at(catalogue, at);
}

void weir_catalogue_drop_version(weir_catalogue *catalogue, const char *name, int version) {
    int at = version > 0 ? find_version(catalogue, name, strlen(name), version) : -1;
    if (at >= 0) drop_at(catalogue, at);
}

const weir_catalogue_entry *weir_catalogue_find(const weir_catalogue *catalogue, const char *what) {
    int at = find_alias(catalogue, what);
    if (at < 0) at = find_version(catalogue, what, strlen(what), 0);
    size_t len = strcspn(what, "/:");
    char *end = NULL;
    long version = what[len] ? strtol(what + len + 1, &end, 10) : 0;
    if (at < 0 && end && !*end && version > 0 && version < INT32_MAX) at = find_version(catalogue, what, len, (int)version);
    return at < 0 ? NULL : catalogue->entries[at];
}
