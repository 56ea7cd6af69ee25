/* Artifacts below the objects directory, written so that a name always stands for whole bytes. The directory is a folder, or the URI of a store ("content:///srv/weir",
 * models/artifact_store.h). */
#ifndef WEIR_MODELS_ARTIFACT_FILE_H
#define WEIR_MODELS_ARTIFACT_FILE_H

#include "core/mem.h"
#include "models/model.h"

/* Every function below: WEIR_EINVAL for a scheme that no store has, and for a relative path that is empty, too long or leads out of the directory; messages name directory and path. */

/** Writes objects_dir/relative, its folders included: a reader sees the whole artifact or none, also after a power failure. WEIR_EIO. */
weir_status weir_artifact_write(const char *objects_dir, const char *relative, const weir_buf *artifact, weir_err *err) WEIR_MUST_CHECK;
/** Appends the artifact's bytes. WEIR_ENOTFOUND, WEIR_EIO. */
weir_status weir_artifact_read(const char *objects_dir, const char *relative, weir_buf *ret_bytes, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_artifact_remove(const char *objects_dir, const char *relative, weir_err *err) WEIR_MUST_CHECK;
/** Appends the paths below a folder ("" for all), each ended by a NUL, ascending by bytes. */
weir_status weir_artifact_list(const char *objects_dir, const char *folder, weir_buf *ret_paths, weir_err *err) WEIR_MUST_CHECK;
/** Removes all that is below a folder. */
weir_status weir_artifact_remove_below(const char *objects_dir, const char *folder, weir_err *err) WEIR_MUST_CHECK;
/** Reads a model. */
weir_status weir_artifact_load(const char *objects_dir, const char *relative, weir_model **ret_model, weir_err *err) WEIR_MUST_CHECK;

/** The whole of any file, appended. WEIR_ENOTFOUND, WEIR_EDATA (no regular file), WEIR_ELIMIT (beyond 4 GiB), WEIR_EIO. */
weir_status weir_artifact_read_file(const char *path, weir_buf *ret_bytes, weir_err *err) WEIR_MUST_CHECK;

#endif
