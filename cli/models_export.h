/* Versions for other programs, for `weir models export`. */
#ifndef WEIR_CLI_MODELS_EXPORT_H
#define WEIR_CLI_MODELS_EXPORT_H

#include <cjson/cJSON.h>

#include "core/pg.h"
#include "models/export.h"

/** Writes a version, as weir_version_list gives it, to a file; what was there is replaced when all is written. */
weir_status weir_models_export_file(const char *objects_dir, const cJSON *version, weir_export_format format, const char *out, weir_err *err) WEIR_MUST_CHECK;
/** Writes it into a folder of models (models/layout.h), with every export that can hold it and what else its run made. What cannot be exported is told on stderr and in metadata.json. */
weir_status weir_models_export_layout(weir_pg *pg, const char *objects_dir, const cJSON *version, const char *dir, weir_err *err) WEIR_MUST_CHECK;

#endif
