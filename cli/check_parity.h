/* `weir check PIPELINE --parity`. */
#ifndef WEIR_CLI_CHECK_PARITY_H
#define WEIR_CLI_CHECK_PARITY_H

#include "cli/command.h"
#include "models/recipe.h"

/** Computes what was served again from history and prints how much of it agrees; *ret_exit 1 when a value differs or could not be compared. from, to: event times, may be
 *  NULL; one_in: a sample of the entities, 1 for all. */
weir_status weir_check_parity(const weir_settings *settings, const weir_pipeline *pipeline, const weir_recipe *recipe, int64_t from_us, int64_t to_us,
                              uint32_t one_in, weir_output output, int *ret_exit, weir_err *err) WEIR_MUST_CHECK;

#endif
