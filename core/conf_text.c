/* Text helpers of the configuration: ${NAME} and "did you mean". */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "core/mem.h"

enum { WORD_MAX = 64, NAME_MAX_BYTES = 128, DISTANCE_MAX = 3 };

static size_t name_length(const char *text) {
    size_t len = 0;
    while (isalpha((unsigned char)text[len]) || text[len] == '_' || (len && isdigit((unsigned char)text[len]))) len++;
    return len;
}

/* One "${NAME}" at *at, moved past it. */
static weir_status expand_name(const char **at, weir_buf *out, weir_err *err) {
    const char *name = *at + 2;
    size_t len = name_length(name);
    if (len == 0 || len >= NAME_MAX_BYTES || name[len] != '}')
        return WEIR_FAIL(err, WEIR_EINVAL, "\"${\" is not followed by the name of an environment variable and \"}\"");
    char copy[NAME_MAX_BYTES];
    memcpy(copy, name, len);
    copy[len] = 0;
    const char *value = getenv(copy);
    if (!value) return WEIR_FAIL(err, WEIR_EINVAL, "the environment variable %s is not set", copy);
    if (!weir_buf_append(out, value, strlen(value))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the value of %s", copy);
    *at = name + len + 1;
    return WEIR_OK;
}

weir_status weir_conf_expand(const char *text, char **ret_text, weir_err *err) {
    weir_buf out = {0};
    weir_status status = weir_buf_reserve(&out, strlen(text)) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a setting");
    for (const char *at = text; status == WEIR_OK && *at;) {
        const char *next = strstr(at, "${");
        size_t plain = next ? (size_t)(next - at) : strlen(at);
        if (!weir_buf_append(&out, at, plain)) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a setting");
        at += plain;
        if (status == WEIR_OK && next) status = expand_name(&at, &out, err);
    }
    if (status != WEIR_OK) {
        weir_buf_done(&out);
        return status;
    }
    *ret_text = out.data;
    return WEIR_OK;
}

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours. Source: optimal string alignment, L. Boytsov, "Indexing Methods for Approximate Dictionary Searching", 2.1. */
static int edit_distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    int rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++) rows[0][j] = (int)j;
    for (size_t i = 1; i <= a_len; i++) {
        int *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= b_len; j++) {
            int replace = last[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = least(replace, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) now[j] = least(now[j], before[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const char *weir_conf_nearest(const char *word, const char *const *candidates) {
    size_t word_len = strlen(word);
    const char *best = NULL;
    int best_distance = DISTANCE_MAX + 1;
    for (; word_len <= WORD_MAX && *candidates; candidates++) {
        size_t len = strlen(*candidates);
        if (len > WORD_MAX) continue;
        int distance = edit_distance(word, word_len, *candidates, len);
        /* A word that shares no letter with another is not near it, however short both are. */
        if (distance >= (int)(len > word_len ? len : word_len)) continue;
        if (distance < best_distance) {
            best = *candidates;
            best_distance = distance;
        }
    }
    return best;
}
