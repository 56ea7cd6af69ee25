/* The registry's tables: queries behind the REST API. Internal to core. Not thread-safe: one connection. */
#ifndef WEIR_CORE_REGISTRY_STORE_H
#define WEIR_CORE_REGISTRY_STORE_H

#include <cjson/cJSON.h>

#include "core/pg.h"

#define WEIR_REGISTRY_LATEST 0 /* in place of a version */

/* One version of a subject. */
typedef struct weir_registry_entry {
    char id[16], version[16];
    bool deleted;
    char *schema; /* heap */
} weir_registry_entry;
void weir_registry_entry_done(weir_registry_entry *entry);

/** Rows of a query with one column (text or integers), or with the two columns subject and version, as a JSON array. */
weir_status weir_registry_list(weir_pg *pg, const char *sql, int param_count, const char *const *params, cJSON **ret_array, weir_err *err) WEIR_MUST_CHECK;
/** A version of a subject, or its latest. WEIR_ENOTFOUND when there is none; those softly deleted count when with_deleted. */
weir_status weir_registry_version(weir_pg *pg, const char *subject, int version, bool with_deleted, weir_registry_entry *ret_entry,
                                  weir_err *err) WEIR_MUST_CHECK;
/** The newest version of a subject that is this schema. WEIR_ENOTFOUND when there is none. */
weir_status weir_registry_same(weir_pg *pg, const char *subject, const char *fingerprint, bool with_deleted, weir_registry_entry *ret_entry,
                               weir_err *err) WEIR_MUST_CHECK;
/** Schema text of an id. WEIR_ENOTFOUND. */
weir_status weir_registry_text(weir_pg *pg, const char *id, char **ret_schema, weir_err *err) WEIR_MUST_CHECK;
/** Compatibility level of a subject ("" : the global one, which always is there). WEIR_ENOTFOUND when the subject has none of its own. */
weir_status weir_registry_level(weir_pg *pg, const char *subject, char ret_level[32], weir_err *err) WEIR_MUST_CHECK;
/** The same, the global level when the subject has none. */
weir_status weir_registry_level_for(weir_pg *pg, const char *subject, char ret_level[32], weir_err *err) WEIR_MUST_CHECK;
/** May the subject go on with this schema? Compared with one version, or (version NULL) with those that the subject's level asks for. */
weir_status weir_registry_compatible(weir_pg *pg, const char *subject, const char *schema, const weir_registry_entry *version, bool *ret_compatible,
                                     weir_buf *reason, weir_err *err) WEIR_MUST_CHECK;
/** Adds the schema as the subject's next version, unless it is one already. Takes part in no transaction. An incompatible one: *ret_compatible false, nothing changed. */
weir_status weir_registry_add(weir_pg *pg, const char *subject, const char *schema, const char *fingerprint, weir_registry_entry *ret_entry,
                              bool *ret_compatible, weir_buf *reason, weir_err *err) WEIR_MUST_CHECK;
/** SHA-256 of the canonical text (members sorted, no white space, {"type": T} written as T), as hexadecimal digits. */
weir_status weir_registry_fingerprint(const char *schema, char ret_text[65], weir_err *err) WEIR_MUST_CHECK;

#endif
