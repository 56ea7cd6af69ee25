/* The store "memory": artifacts of this process, gone with it. memory://PLACE is the same store wherever it is opened. The double of tests, and the smallest store there is. */
#include <pthread.h>
#include <string.h>

#include "models/artifact_store.h"
#include "models/memory.h"

typedef struct item {
    struct item *next;
    char *place, *path; /* behind the item, in its block */
    weir_buf bytes;
} item;

static item *items;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static weir_status memory_open(const char *place, void **ret_store, weir_err *err) {
    size_t len = strlen(place) + 1;
    char *copy = weir_models_calloc(len, 1);
    if (!copy) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a store");
    *ret_store = memcpy(copy, place, len);
    return WEIR_OK;
}

/* The link that holds the item, or the one at the end. */
static item **find(const char *place, const char *path) {
    item **link = &items;
    while (*link && (strcmp((*link)->place, place) || strcmp((*link)->path, path))) link = &(*link)->next;
    return link;
}

static item *item_new(const char *place, const char *path) {
    size_t place_len = strlen(place) + 1, path_len = strlen(path) + 1;
    item *it = weir_models_calloc(1, sizeof *it + place_len + path_len);
    if (!it) return NULL;
    it->place = memcpy(it + 1, place, place_len);
    it->path = memcpy(it->place + place_len, path, path_len);
    return it;
}

static void item_free(item *it) {
    if (it) weir_buf_done(&it->bytes);
    weir_models_free(it);
}

static weir_status memory_write(void *store, const char *path, const void *bytes, size_t len, weir_err *err) {
    item *fresh = item_new(store, path);
    if (!fresh || !weir_buf_append(&fresh->bytes, bytes, len)) {
        item_free(fresh);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %zu bytes", len);
    }
    pthread_mutex_lock(&lock);
    item **link = find(store, path), *old = *link;
    fresh->next = old ? old->next : NULL;
    *link = fresh;
    pthread_mutex_unlock(&lock);
    item_free(old);
    return WEIR_OK;
}

static weir_status memory_read(void *store, const char *path, weir_buf *ret_bytes, weir_err *err) {
    pthread_mutex_lock(&lock);
    const item *it = *find(store, path);
    bool ok = !it || weir_buf_append(ret_bytes, it->bytes.data, it->bytes.len);
    pthread_mutex_unlock(&lock);
    if (!it) return WEIR_FAIL(err, WEIR_ENOTFOUND, "it is not there");
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an artifact");
}

static weir_status memory_remove(void *store, const char *path, weir_err *err) {
    pthread_mutex_lock(&lock);
    item **link = find(store, path), *old = *link;
    if (old) *link = old->next;
    pthread_mutex_unlock(&lock);
    if (!old) return WEIR_FAIL(err, WEIR_ENOTFOUND, "it is not there");
    item_free(old);
    return WEIR_OK;
}

static weir_status memory_list(void *store, const char *folder, weir_buf *ret_paths, weir_err *err) {
    size_t len = strlen(folder);
    bool ok = true;
    pthread_mutex_lock(&lock);
    for (const item *it = items; ok && it; it = it->next) {
        bool below = !strcmp(it->place, store) && (!len || (!strncmp(it->path, folder, len) && it->path[len] == '/'));
        ok = !below || weir_buf_append(ret_paths, it->path, strlen(it->path) + 1);
    }
    pthread_mutex_unlock(&lock);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for paths");
}

const weir_artifact_store weir_artifact_store_memory = {
    .abi = WEIR_ARTIFACT_STORE_ABI,
    .name = "memory",
    .doc = "of one process, gone with it: for tests",
    .open = memory_open,
    .write = memory_write,
    .read = memory_read,
    .remove = memory_remove,
    .list = memory_list,
    .close = weir_models_free,
};
