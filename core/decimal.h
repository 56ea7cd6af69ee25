/* Whole numbers as decimal text, for hot paths. printf is several times slower, more so once a library (libquadmath is one) has registered conversions of its own with it. */
#ifndef WEIR_CORE_DECIMAL_H
#define WEIR_CORE_DECIMAL_H

#include <stdint.h>

enum { WEIR_DECIMAL_MAX = 20 }; /* characters of the longest, -9223372036854775808 and 18446744073709551615 */

/** Writes the digits of v so that they end before `end`, without a NUL, and gives where they begin: up to WEIR_DECIMAL_MAX bytes before it. */
static inline char *weir_digits_before(char *end, uint64_t v) {
    do {
        *--end = (char)('0' + v % 10);
    } while (v /= 10);
    return end;
}

static inline char *weir_decimal_before(char *end, int64_t v) {
    end = weir_digits_before(end, v < 0 ? -(uint64_t)v : (uint64_t)v);
    if (v < 0) *--end = '-';
    return end;
}

#endif
