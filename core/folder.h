/* Folders that are made where they are missing. */
#ifndef WEIR_CORE_FOLDER_H
#define WEIR_CORE_FOLDER_H

#include "core/err.h"

/** Makes the folder and those that it is in. Errors: WEIR_EIO, WEIR_EINVAL (name too long). */
weir_status weir_folder_make(const char *path, weir_err *err) WEIR_MUST_CHECK;
/** Makes the folders that a file of this path would be in. */
weir_status weir_folder_make_above(const char *file_path, weir_err *err) WEIR_MUST_CHECK;
/** Gives a file that was written as `aside`, in the same folder, its name: a reader sees what was there before or all of it, also after a power failure. Errors: WEIR_EIO, WEIR_EINVAL. */
weir_status weir_file_publish(const char *aside, const char *path, weir_err *err) WEIR_MUST_CHECK;
/** Removes a folder and all in it; nothing there is no error. Errors: WEIR_EIO. */
weir_status weir_folder_remove(const char *path, weir_err *err) WEIR_MUST_CHECK;

#endif
