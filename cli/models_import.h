/* `weir models import`: a model that was trained elsewhere becomes a version of a pipeline's model. */
#ifndef WEIR_CLI_MODELS_IMPORT_H
#define WEIR_CLI_MODELS_IMPORT_H

#include "cli/settings.h"
#include "core/pg.h"
#include "features/pipeline.h"

typedef struct weir_models_import {
    const weir_pipeline *pipeline;
    const char *model, *file;
    const char *const *columns; /* NULL-terminated; NULL: as the file names them */
    double threshold; /* of a binary task; NaN: the pipeline's serving.threshold */
} weir_models_import;

/** Reads the file, holds compiled scores against the library's (models/scorer_gate.h), keeps the artifact and registers the version. Prints what was compared to stderr.
 *  Errors: WEIR_EINVAL for a task or column that the pipeline's training does not have; those of weir_import_model, the gate and the registry. */
weir_status weir_models_import_file(const weir_settings *settings, weir_pg *pg, const weir_models_import *import, int *ret_version,
                                    weir_err *err) WEIR_MUST_CHECK;

#endif
