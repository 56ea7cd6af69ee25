#include "features/convert.h"

#include <string.h>

weir_stored weir_stored_of(const char *type, size_t len) {
    static const struct {
        const char *prefix;
        weir_stored stored;
    } types[] = {{"VARCHAR", WEIR_STORED_TEXT}, {"ENUM", WEIR_STORED_TEXT},   {"JSON", WEIR_STORED_TEXT},    {"BOOLEAN", WEIR_STORED_BOOL},
                 {"FLOAT", WEIR_STORED_REAL},   {"DOUBLE", WEIR_STORED_REAL}, {"DECIMAL", WEIR_STORED_REAL}, {"TIMESTAMP", WEIR_STORED_TIME},
                 {"DATE", WEIR_STORED_DATE},    {"BLOB", WEIR_STORED_BYTES}};
    static const char *const whole[] = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"};
    if (len && type[len - 1] == ']') return WEIR_STORED_OTHER; /* a list of something */
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (len >= strlen(types[i].prefix) && !strncmp(type, types[i].prefix, strlen(types[i].prefix))) return types[i].stored;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (len == strlen(whole[i]) && !strncmp(type, whole[i], len)) return WEIR_STORED_WHOLE;
    return WEIR_STORED_OTHER;
}

/* Seconds, ms, µs or ns since 1970, told apart by size: each unit covers the years 1973 to 5138. */
static const char *const epoch_macros[] = {
    "CREATE MACRO epoch_whole(n) AS TRY_CAST(CASE WHEN abs(n) >= 100000000000000000 THEN n // 1000 WHEN abs(n) >= 100000000000000 THEN n WHEN abs(n) >= "
    "100000000000 THEN n * 1000"
    " WHEN abs(n) >= 100000000 THEN n * 1000000 END AS BIGINT)",
    "CREATE MACRO epoch_real(x) AS TRY_CAST(round(CASE WHEN abs(x) >= 1e17 THEN x / 1e3 WHEN abs(x) >= 1e14 THEN x WHEN abs(x) >= 1e11 THEN x * 1e3 WHEN "
    "abs(x) >= 1e8 THEN x * 1e6 END)"
    " AS BIGINT)",
};

static const char *const conversions[WEIR_TARGET_COUNT][WEIR_STORED_COUNT] = {
    [WEIR_TARGET_TEXT] =
        {
            [WEIR_STORED_TEXT] = "CAST(r AS VARCHAR)",
            [WEIR_STORED_BOOL] = "CAST(r AS VARCHAR)",
            [WEIR_STORED_WHOLE] = "CAST(r AS VARCHAR)",
            /* a whole id that a missing value elsewhere made a real */
            [WEIR_STORED_REAL] = "CASE WHEN r = trunc(r) AND abs(r) < 1e15 THEN CAST(CAST(r AS BIGINT) AS VARCHAR) ELSE CAST(r AS VARCHAR) END",
            [WEIR_STORED_TIME] = "CAST(r AS VARCHAR)",
            [WEIR_STORED_DATE] = "CAST(r AS VARCHAR)",
            [WEIR_STORED_BYTES] = "TRY(decode(r))",
            [WEIR_STORED_OTHER] = "CAST(r AS VARCHAR)",
        },
    [WEIR_TARGET_BOOL] =
        {
            [WEIR_STORED_TEXT] =
                "CASE WHEN lower(trim(r)) IN ('true', 't', 'yes', 'y', '1', '1.0') THEN true WHEN lower(trim(r)) IN ('false', 'f', 'no', 'n', '0', "
                "'0.0') THEN false END",
            [WEIR_STORED_BOOL] = "r",
            [WEIR_STORED_WHOLE] = "CASE WHEN r = 0 THEN false WHEN r = 1 THEN true END",
            [WEIR_STORED_REAL] = "CASE WHEN r = 0 THEN false WHEN r = 1 THEN true END",
        },
    [WEIR_TARGET_WHOLE] =
        {
            [WEIR_STORED_TEXT] = "CASE WHEN regexp_full_match(trim(r), '[+-]?[0-9]+([.]0*)?') THEN TRY_CAST(trim(r) AS BIGINT) END",
            [WEIR_STORED_BOOL] = "CAST(r AS BIGINT)",
            [WEIR_STORED_WHOLE] = "TRY_CAST(r AS BIGINT)",
            [WEIR_STORED_REAL] = "CASE WHEN r = trunc(r) THEN TRY_CAST(r AS BIGINT) END",
        },
    [WEIR_TARGET_NUMBER] =
        {
            [WEIR_STORED_TEXT] = "TRY_CAST(r AS DOUBLE)", /* which skips blanks around it */
            [WEIR_STORED_BOOL] = "CAST(r AS DOUBLE)",
            [WEIR_STORED_WHOLE] = "CAST(r AS DOUBLE)",
            [WEIR_STORED_REAL] = "CAST(r AS DOUBLE)",
        },
    [WEIR_TARGET_TIME] =
        {
            [WEIR_STORED_TEXT] = "CASE WHEN regexp_full_match(trim(r), '[+-]?[0-9]+') THEN epoch_whole(TRY_CAST(trim(r) AS HUGEINT))"
                                 " WHEN regexp_full_match(trim(r), '[+-]?[0-9]+[.][0-9]*') THEN epoch_real(TRY_CAST(trim(r) AS DOUBLE))"
                                 " ELSE TRY(epoch_us(TRY_CAST(trim(r) AS TIMESTAMPTZ))) END",
            [WEIR_STORED_WHOLE] = "epoch_whole(CAST(r AS HUGEINT))",
            [WEIR_STORED_REAL] = "epoch_real(CAST(r AS DOUBLE))",
            [WEIR_STORED_TIME] = "TRY(epoch_us(r))",
            [WEIR_STORED_DATE] = "TRY(epoch_us(r))",
        },
    [WEIR_TARGET_BYTES] = {[WEIR_STORED_TEXT] = "encode(r)", [WEIR_STORED_BYTES] = "r"},
};

weir_target weir_target_of(const weir_schema_field *field) {
    if (field->is_timestamp) return WEIR_TARGET_TIME;
    switch (field->type) {
    case WEIR_T_BOOL: return WEIR_TARGET_BOOL;
    case WEIR_T_I64: return WEIR_TARGET_WHOLE;
    case WEIR_T_F64: return WEIR_TARGET_NUMBER;
    case WEIR_T_BYTES: return WEIR_TARGET_BYTES;
    default: return WEIR_TARGET_TEXT;
    }
}

/* to_<target>_<stored>(r) */
weir_status weir_convert_setup(weir_duck *duck, weir_err *err) {
    weir_status st = WEIR_OK;
    for (size_t i = 0; !st && i < sizeof epoch_macros / sizeof *epoch_macros; i++) st = weir_duck_exec(duck, epoch_macros[i], err);
    for (int t = 0; t < WEIR_TARGET_COUNT; t++) {
        for (int s = 0; !st && s < WEIR_STORED_COUNT; s++) {
            weir_sql sql = {0};
            weir_sql_add(&sql, "CREATE MACRO to_%d_%d(r) AS %s", t, s, conversions[t][s] ? conversions[t][s] : "NULL");
            st = weir_sql_end(&sql, err);
            if (!st) st = weir_duck_exec(duck, sql.text.data, err);
            weir_sql_done(&sql);
        }
    }
    return st;
}
