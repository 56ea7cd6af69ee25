/* Universal Binary JSON, read in place: XGBoost writes its models in it. Nothing is copied or allocated, and arrays of numbers are stepped over in one go, so that a forest
 * of millions of nodes costs no more than its bytes. Bytes are not trusted. Source: UBJSON, draft 12. */
#ifndef WEIR_MODELS_UBJSON_H
#define WEIR_MODELS_UBJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"

/* A value: its type marker ('{', '[', 'S', 'd', 'L', …) and where its contents are. It points into the bytes that it was read from. */
typedef struct weir_ubjson {
    uint8_t type; /* 0: there is none */
    const uint8_t *at, *end; /* contents, and the end of all bytes */
} weir_ubjson;

/* The elements of an array that are still to come. */
typedef struct weir_ubjson_array {
    uint8_t type; /* of each element; 0: each has its own */
    int64_t left; /* elements; -1: up to the closing bracket */
    const uint8_t *at, *end;
} weir_ubjson_array;

/** The outermost value. False when the bytes begin with none. */
bool weir_ubjson_open(const void *bytes, size_t len, weir_ubjson *ret_value);
/** The first member of that name. False when there is none, it is no object, or its bytes are damaged on the way there; *ret_value then has type 0. */
bool weir_ubjson_find(weir_ubjson object, const char *name, weir_ubjson *ret_value);
/** False when it is no array. */
bool weir_ubjson_begin(weir_ubjson array, weir_ubjson_array *ret_array);
/** The next element. False when there is none, or it is damaged. */
bool weir_ubjson_next(weir_ubjson_array *array, weir_ubjson *ret_value);
/** A number of any type. */
bool weir_ubjson_number(weir_ubjson value, double *ret_number);
/** How many bytes a value has behind its marker. False when it is damaged. */
bool weir_ubjson_length(weir_ubjson value, size_t *ret_len);
/** How many numbers an array begins with, counted up to most + 1; 0 when it is no array. */
int weir_ubjson_count_numbers(weir_ubjson array, int most);
/** The numbers of an array. False when it is none of just so many. */
bool weir_ubjson_read_numbers(weir_ubjson array, double *out, int count);
/** A string; it is not terminated. */
bool weir_ubjson_text(weir_ubjson value, const char **ret_text, size_t *ret_len);

/** Appends what a JSON text says, as UBJSON; NaN and Infinity are numbers, and escapes in texts stay. WEIR_EDATA when it is not JSON or lies too deep, WEIR_ENOMEM. */
weir_status weir_ubjson_of_json(const char *text, size_t len, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

#endif
