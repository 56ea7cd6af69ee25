/* FROM..TO on the command line. */
#ifndef WEIR_CLI_RANGE_H
#define WEIR_CLI_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/** Whether the text is a range: times on both sides of "..", either of which may be left out, which means WEIR_TIME_MIN_US and WEIR_TIME_MAX_US. *ret_status is then WEIR_OK, or WEIR_EINVAL for what
 *  is no time, or a range that ends before it begins. */
bool weir_range_parse(const char *text, int64_t *ret_from_us, int64_t *ret_to_us, weir_status *ret_status, weir_err *err);

#endif
