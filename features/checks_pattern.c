/* Regular expressions of checks; see checks.h. */
#include <regex.h>
#include <stdlib.h>

#include "core/mem.h"
#include "features/checks.h"

struct weir_pattern {
    regex_t regex;
    const char *text; /* as written, behind this struct */
};

/* Matching a back-reference is NP-complete; a record's text could hold the worker for ever. */
static bool has_back_reference(const char *text) {
    for (const char *p = text; *p; p++) {
        if (*p != '\\') continue;
        if (p[1] >= '1' && p[1] <= '9') return true;
        p += p[1] != 0;
    }
    return false;
}

static weir_status compile(const char *text, const char *shown, int flags, regex_t *regex, weir_err *err) {
    int wrong = regcomp(regex, text, REG_EXTENDED | flags);
    if (!wrong) return WEIR_OK;
    char why[128];
    regerror(wrong, regex, why, sizeof(why));
    if (wrong == REG_ESPACE) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the regular expression \"%.64s\"", shown);
    return WEIR_FAIL(err, WEIR_EINVAL, "found \"%.64s\", expected a POSIX extended regular expression: %s", shown, why);
}

weir_status weir_pattern_new(const char *text, weir_pattern **ret_pattern, weir_err *err) {
    enum { PATTERN_MAX = 1000 };
    char whole[PATTERN_MAX + 8];
    size_t len = strlen(text);
    regex_t alone;
    if (len > PATTERN_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "found a regular expression of %zu bytes, expected at most %d", len, PATTERN_MAX);
    if (has_back_reference(text)) return WEIR_FAIL(err, WEIR_EINVAL, "found \"%.64s\", expected a regular expression without back-references", text);
    weir_status status = compile(text, text, REG_NOSUB, &alone, err); /* "a)(b" is none, "^(a)(b)$" is one */
    if (status) return status;
    regfree(&alone);
    weir_pattern *pattern = weir_mem.realloc(NULL, sizeof(*pattern) + len + 1);
    if (!pattern) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the regular expression \"%.64s\"", text);
    pattern->text = memcpy(pattern + 1, text, len + 1);
    memcpy(whole, "^(", 2);
    memcpy(whole + 2, text, len);
    memcpy(whole + 2 + len, ")$", 3);
    if ((status = compile(whole, text, 0, &pattern->regex, err))) {
        free(pattern);
        return status;
    }
    *ret_pattern = pattern;
    return WEIR_OK;
}

void weir_pattern_free(weir_pattern *pattern) {
    if (!pattern) return;
    regfree(&pattern->regex);
    free(pattern);
}

bool weir_pattern_matches(const weir_pattern *pattern, const char *text, size_t len) {
    regmatch_t span = {.rm_so = 0, .rm_eo = (regoff_t)len};
    return !regexec(&pattern->regex, text ? text : "", 1, &span, REG_STARTEND); /* the span stands for a NUL behind the text */
}

const char *weir_pattern_text(const weir_pattern *pattern) {
    return pattern->text;
}
