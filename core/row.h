/* A row: typed values in slots, the form in which records travel between codec, operators and sinks. */
#ifndef WEIR_CORE_ROW_H
#define WEIR_CORE_ROW_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef enum weir_type { WEIR_T_NULL, WEIR_T_BOOL, WEIR_T_I64, WEIR_T_F64, WEIR_T_STR, WEIR_T_BYTES } weir_type;

/* 16 bytes. Strings and bytes are borrowed (not NUL-terminated): whoever makes the row says for how long. */
typedef struct weir_datum {
    uint32_t type; /* weir_type */
    uint32_t len; /* STR, BYTES */
    union {
        int64_t i; /* BOOL (0/1), I64; timestamps are microseconds since 1970 */
        double f;
        const char *p;
    };
} weir_datum;

static inline weir_datum weir_null(void) {
    return (weir_datum){.type = WEIR_T_NULL};
}
static inline weir_datum weir_bool(bool v) {
    return (weir_datum){.type = WEIR_T_BOOL, .i = v};
}
static inline weir_datum weir_i64(int64_t v) {
    return (weir_datum){.type = WEIR_T_I64, .i = v};
}
static inline weir_datum weir_f64(double v) {
    return (weir_datum){.type = WEIR_T_F64, .f = v};
}
static inline weir_datum weir_str(const char *p, size_t len) {
    return (weir_datum){.type = WEIR_T_STR, .len = (uint32_t)len, .p = p};
}
static inline weir_datum weir_text(const char *s) {
    return weir_str(s, strlen(s));
}
static inline weir_datum weir_bytes(const void *p, size_t len) {
    return (weir_datum){.type = WEIR_T_BYTES, .len = (uint32_t)len, .p = (const char *)p};
}
/** As a number: BOOL and I64 converted, NULL and text NaN. */
static inline double weir_datum_number(const weir_datum *d) {
    switch (d->type) {
    case WEIR_T_BOOL:
    case WEIR_T_I64: return (double)d->i;
    case WEIR_T_F64: return d->f;
    default: return __builtin_nan("");
    }
}

#endif
