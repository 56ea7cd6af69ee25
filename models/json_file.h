/* Documents on disk. */
#ifndef WEIR_MODELS_JSON_FILE_H
#define WEIR_MODELS_JSON_FILE_H

#include <cjson/cJSON.h>

#include "core/err.h"

/** Reads folder/name, of at most 64 MiB; the caller deletes it. Errors: WEIR_ENOTFOUND when there is no such file; WEIR_EDATA, with the place, when it is no JSON; WEIR_EIO; WEIR_ENOMEM. */
weir_status weir_json_file_read(const char *folder, const char *name, cJSON **ret_json, weir_err *err) WEIR_MUST_CHECK;
/** Writes it so that a reader sees the whole document or the one before. Errors: WEIR_EIO, WEIR_ENOMEM. */
weir_status weir_json_file_write(const char *folder, const char *name, const cJSON *json, weir_err *err) WEIR_MUST_CHECK;

#endif
