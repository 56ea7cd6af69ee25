/* Artifacts below the objects directory, written so that a name always stands for whole bytes. */
#ifndef WEIR_MODELS_ARTIFACT_FILE_H
#define WEIR_MODELS_ARTIFACT_FILE_H

#include "core/mem.h"

/** Writes objects_dir/relative, its folders included: aside, synced, renamed, so that a reader sees the whole artifact or none, also after a power failure. WEIR_EIO, WEIR_EINVAL (name too long). */
weir_status weir_artifact_write(const char *objects_dir, const char *relative, const weir_buf *artifact, weir_err *err) WEIR_MUST_CHECK;

#endif
