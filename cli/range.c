#include "cli/range.h"

#include <string.h>

#include "core/clock.h"
#include "features/pipeline.h"

bool weir_range_parse(const char *text, int64_t *ret_from_us, int64_t *ret_to_us, weir_status *ret_status, weir_err *err) {
    const char *dots = strstr(text, "..");
    char from[64];
    size_t len = dots ? (size_t)(dots - text) : 0;
    *ret_status = WEIR_OK;
    if (!dots || len >= sizeof from || strchr(text, '/')) return false;
    memcpy(from, text, len);
    from[len] = 0;
    *ret_from_us = WEIR_TIME_MIN_US;
    *ret_to_us = WEIR_TIME_MAX_US;
    if (len) *ret_status = weir_time_parse(from, ret_from_us, err);
    if (!*ret_status && dots[2]) *ret_status = weir_time_parse(dots + 2, ret_to_us, err);
    if (!*ret_status && *ret_to_us <= *ret_from_us) *ret_status = WEIR_FAIL(err, WEIR_EINVAL, "\"%s\" is no range: it ends before it begins", text);
    return true;
}
