/* Where artifacts are kept: back ends behind one vtable, chosen by the scheme of the objects directory. models/artifact_file.h is what the rest of Weir calls. */
#ifndef WEIR_MODELS_ARTIFACT_STORE_H
#define WEIR_MODELS_ARTIFACT_STORE_H

#include "core/mem.h"

#define WEIR_ARTIFACT_STORE_ABI 1
enum { WEIR_ARTIFACT_PATH_MAX = 1024 };
#define WEIR_ARTIFACT_BYTES_MAX (INT64_C(4) << 30)

/* Paths are relative, "models/fraud/fraud-xgboost/DIGEST.weirmodel": parts between '/' that are not empty, "." or "..", together at most WEIR_ARTIFACT_PATH_MAX bytes; callers see to
 * that. Errors: WEIR_ENOTFOUND for what is not there, WEIR_EIO or WEIR_ENET for what failed, WEIR_ENOMEM. A store that was opened is used by one thread; the same
 * place may be open several times, in several processes. */
typedef struct weir_artifact_store {
    int abi; /* WEIR_ARTIFACT_STORE_ABI */
    const char *name; /* the scheme: "file" of file:///var/lib/weir; lower-case letters, digits, '+', '-', '.' */
    const char *doc;
    /** place: what stands behind "name://". */
    weir_status (*open)(const char *place, void **ret_store, weir_err *err);
    /** A reader, also one after a power failure, sees what was there before or all of the new bytes. */
    weir_status (*write)(void *store, const char *path, const void *bytes, size_t len, weir_err *err);
    /** Appends what was written last, without a NUL behind; what was appended before a failure is taken back by the caller. WEIR_ELIMIT beyond WEIR_ARTIFACT_BYTES_MAX. */
    weir_status (*read)(void *store, const char *path, weir_buf *ret_bytes, weir_err *err);
    weir_status (*remove)(void *store, const char *path, weir_err *err);
    /** Appends every path that begins with "folder/", of an empty folder all, each ended by a NUL; in any order. Nothing there is no error. */
    weir_status (*list)(void *store, const char *folder, weir_buf *ret_paths, weir_err *err);
    void (*close)(void *store);
} weir_artifact_store;

/** Built-in ones first, then those of plugins: index from 0, NULL after the last. */
const weir_artifact_store *weir_artifact_store_at(int index);
const weir_artifact_store *weir_artifact_store_find(const char *name); /* NULL when there is none */

extern const weir_artifact_store weir_artifact_store_file; /* a folder; artifact_folder.c */
extern const weir_artifact_store weir_artifact_store_memory; /* of this process, for tests; artifact_memory.c */

/** What a plugin with stores exports (core/plugin.h): an array ended by an entry without a name. docs/examples/content_addressed.c is one. */
const weir_artifact_store *weir_plugin_stores(void);
#define WEIR_PLUGIN_STORES "weir_plugin_stores"

#endif
