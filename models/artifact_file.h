/* Artifacts below the objects directory, written so that a name always stands for whole bytes. */
#ifndef WEIR_MODELS_ARTIFACT_FILE_H
#define WEIR_MODELS_ARTIFACT_FILE_H

#include "core/mem.h"

/** Writes objects_dir/relative, its folders included: aside, synced, renamed, so that a reader sees the whole artifact or none, also after a power failure. WEIR_EIO, WEIR_EINVAL (name too long). */
weir_status weir_artifact_write(const char *objects_dir, const char *relative, const weir_buf *artifact, weir_err *err) WEIR_MUST_CHECK;
/** Makes the folders that the path is in: all that end with a '/'. WEIR_EIO. */
weir_status weir_artifact_folders(const char *path, weir_err *err) WEIR_MUST_CHECK;
/** The whole file, with a NUL behind it; *ret_bytes is empty before. WEIR_ENOTFOUND, WEIR_EIO, WEIR_ENOMEM, all with the path. */
weir_status weir_artifact_read(const char *path, weir_buf *ret_bytes, weir_err *err) WEIR_MUST_CHECK;

#endif
