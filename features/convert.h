/* Conversion of what files hold into the types of columns, as macros of SQL's: to_<target>_<stored>(r) is NULL where r does not convert. */
#ifndef WEIR_FEATURES_CONVERT_H
#define WEIR_FEATURES_CONVERT_H

#include "core/avro.h"
#include "features/duck.h"

/* How a file's column is stored, as far as conversion cares. */
typedef enum weir_stored {
    WEIR_STORED_TEXT,
    WEIR_STORED_BOOL,
    WEIR_STORED_WHOLE,
    WEIR_STORED_REAL,
    WEIR_STORED_TIME,
    WEIR_STORED_DATE,
    WEIR_STORED_BYTES,
    WEIR_STORED_OTHER,
    WEIR_STORED_COUNT
} weir_stored;
/** Of a type as DuckDB names it. */
weir_stored weir_stored_of(const char *type, size_t len);

/* What a value is to become. A time is µs since 1970; whole numbers and reals are seconds, ms, µs or ns, told apart by size. */
typedef enum weir_target {
    WEIR_TARGET_TEXT,
    WEIR_TARGET_BOOL,
    WEIR_TARGET_WHOLE,
    WEIR_TARGET_NUMBER,
    WEIR_TARGET_TIME,
    WEIR_TARGET_BYTES,
    WEIR_TARGET_COUNT
} weir_target;
weir_target weir_target_of(const weir_schema_field *field);

/** Makes the macros. */
weir_status weir_convert_setup(weir_duck *duck, weir_err *err) WEIR_MUST_CHECK;

#endif
