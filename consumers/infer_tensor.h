/* The datatypes of Open Inference Protocol v2: which there are, and their elements as JSON and as bytes (the binary tensor data extension).
 * Pure, and hard on what it reads: nothing is read past the bytes given, and a value that a datatype cannot hold is refused rather than rounded or cut. */
#ifndef WEIR_CONSUMERS_INFER_TENSOR_H
#define WEIR_CONSUMERS_INFER_TENSOR_H

#include <cjson/cJSON.h>

#include "core/mem.h"
#include "core/row.h"

typedef enum weir_tensor_kind { WEIR_TENSOR_BOOL, WEIR_TENSOR_WHOLE, WEIR_TENSOR_REAL, WEIR_TENSOR_TEXT } weir_tensor_kind;
typedef struct weir_tensor_type {
    const char *name; /* "FP64" */
    weir_tensor_kind kind;
    size_t bytes; /* of an element; 0: its length stands before it */
    bool is_signed;
    double min, max; /* WHOLE in JSON; 64 bits are cut to what a JSON number can say exactly */
} weir_tensor_type;

/** NULL when there is no datatype of that name. */
const weir_tensor_type *weir_tensor_type_find(const char *name);

/** A JSON value as it stands: NULL, BOOL, I64 (whole numbers up to 2^53), F64, STR. Errors (here and below): WEIR_EDATA. */
weir_status weir_datum_of_json(const cJSON *item, weir_datum *ret_value, weir_err *err) WEIR_MUST_CHECK;
/** A member "data": flat, or one array a row. values [rows][width]. null is a value of every datatype. FP16 and BF16 have no JSON form. */
weir_status weir_tensor_of_json(const weir_tensor_type *type, const cJSON *data, int64_t rows, int width, weir_datum *values, weir_err *err) WEIR_MUST_CHECK;
/** Exactly `count` elements in exactly `len` bytes, row-major and little-endian; BYTES are a length of four bytes each and UTF-8 without NUL, to which the values then point. A NaN is
 *  NULL, the missing value; what is infinite is refused. */
weir_status weir_tensor_of_bytes(const weir_tensor_type *type, const char *bytes, size_t len, int64_t count, weir_datum *values, weir_err *err) WEIR_MUST_CHECK;

/** Whether every value has a form in bytes: a NULL has one in FP64 alone, as NaN. */
bool weir_tensor_has_bytes(const weir_tensor_type *type, const weir_datum *values, int64_t count);
/** Appends values that have one. type: BOOL, INT64, FP64 or BYTES, and the values are that. False when memory ran out. */
bool weir_tensor_put_bytes(const weir_tensor_type *type, const weir_datum *values, int64_t count, weir_buf *out) WEIR_MUST_CHECK;

#endif
