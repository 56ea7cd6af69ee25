/* quality.html: the profile of a table as one page that needs nothing else. */
#ifndef WEIR_CLI_PROFILE_HTML_H
#define WEIR_CLI_PROFILE_HTML_H

#include "features/profile.h"

/** name: of what was profiled. */
weir_status weir_profile_html(const weir_profile *profile, const char *name, int64_t made_at_us, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

#endif
