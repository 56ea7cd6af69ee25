/* Which model a batch is scored with, and how it takes the columns of a file: from the registry, or a file of its own. */
#ifndef WEIR_MODELS_BATCH_MODEL_H
#define WEIR_MODELS_BATCH_MODEL_H

#include "core/pg.h"
#include "features/pipeline.h"
#include "models/batch_file.h"

typedef struct weir_batch_model {
    weir_model *model, *owned; /* the latter is freed with it; may be NULL */
    char name[128];
    int version; /* 0: it is of no registry */
    double threshold; /* of a binary model; else NaN */
    weir_batch_input *inputs;
    cJSON *schema; /* models/trainset_file.h; NULL: it has none */
    const char **class_names, **target_names; /* of the schema; NULL: the model's own */
    bool infinite_is_missing; /* as it was trained */
} weir_batch_model;

/** A version of the pipeline's registry. model NULL: what an alias points at, version is its name ("champion", NULL too). Else version is "3", "1.2.0", an alias or "latest" (NULL too).
 *  Threshold: the version's, the pipeline's, 0.5. Errors: WEIR_ENOTFOUND names what there is; those of the registry and of loading. */
weir_status weir_batch_model_find(weir_pg *pg, const char *objects_dir, const weir_pipeline *pipeline, const char *model, const char *version,
                                  weir_batch_model *ret_model, weir_err *err) WEIR_MUST_CHECK;
/** A model's file. Beside it may lie the metadata.json of a folder of models, which tells of its columns; else the pipeline does, which may be NULL. */
weir_status weir_batch_model_load(const char *path, const weir_pipeline *pipeline, weir_batch_model *ret_model, weir_err *err) WEIR_MUST_CHECK;
/** The model is borrowed, the schema copied. Errors: WEIR_EDATA when the schema is none, or not the model's. */
weir_status weir_batch_model_of_schema(weir_model *model, const cJSON *schema, weir_batch_model *ret_model, weir_err *err) WEIR_MUST_CHECK;
/** Puts the model into a job. Borrowed. */
void weir_batch_model_use(const weir_batch_model *model, weir_batch_job *job);
void weir_batch_model_done(weir_batch_model *model);

#endif
