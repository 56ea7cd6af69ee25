#include "core/library.h"

#include <dlfcn.h>
#include <string.h>

static weir_status open_first(const char *const *files, void **ret_object, weir_err *err) {
    const char *reason = "no file is named";
    for (*ret_object = NULL; *files && !*ret_object; files++) {
        *ret_object = dlopen(*files, RTLD_LAZY | RTLD_LOCAL);
        if (!*ret_object) reason = dlerror(); /* of the last of them */
    }
    return *ret_object ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "a library cannot be loaded: %s", reason);
}

static weir_status load(weir_library *library, weir_err *err) {
    void *object;
    weir_status status = open_first(library->files, &object, err);
    for (int i = 0; !status && i < library->count; i++) {
        void *address = dlsym(object, library->names[i]);
        if (!address) status = WEIR_FAIL(err, WEIR_EIO, "a library is of another version: %s", dlerror());
        memcpy((char *)library->addresses + (size_t)i * sizeof address, &address, sizeof address);
    }
    if (status && object) dlclose(object);
    return status;
}

weir_status weir_library_load(weir_library *library, weir_err *err) {
    pthread_mutex_lock(&library->lock);
    weir_status status = library->loaded ? WEIR_OK : load(library, err);
    library->loaded = status == WEIR_OK;
    pthread_mutex_unlock(&library->lock);
    return status;
}
