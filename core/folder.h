/* Folders that are made where they are missing. */
#ifndef WEIR_CORE_FOLDER_H
#define WEIR_CORE_FOLDER_H

#include "core/err.h"

/** Makes the folder and those that it is in. Errors: WEIR_EIO, WEIR_EINVAL (name too long). */
weir_status weir_folder_make(const char *path, weir_err *err) WEIR_MUST_CHECK;
/** Makes the folders that a file of this path would be in. */
weir_status weir_folder_make_above(const char *file_path, weir_err *err) WEIR_MUST_CHECK;

#endif
