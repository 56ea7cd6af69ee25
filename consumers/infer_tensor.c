#include "consumers/infer_tensor.h"

#include <endian.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53: JSON numbers are doubles here */

static const weir_tensor_type types[] = {
    {"BOOL", WEIR_TENSOR_BOOL, 1, false, 0, 0},
    {"UINT8", WEIR_TENSOR_WHOLE, 1, false, 0, 255},
    {"UINT16", WEIR_TENSOR_WHOLE, 2, false, 0, 65535},
    {"UINT32", WEIR_TENSOR_WHOLE, 4, false, 0, 4294967295.0},
    {"UINT64", WEIR_TENSOR_WHOLE, 8, false, 0, WHOLE_MAX},
    {"INT8", WEIR_TENSOR_WHOLE, 1, true, -128, 127},
    {"INT16", WEIR_TENSOR_WHOLE, 2, true, -32768, 32767},
    {"INT32", WEIR_TENSOR_WHOLE, 4, true, -2147483648.0, 2147483647.0},
    {"INT64", WEIR_TENSOR_WHOLE, 8, true, -WHOLE_MAX, WHOLE_MAX},
    {"FP16", WEIR_TENSOR_REAL, 2, true, 0, 0},
    {"BF16", WEIR_TENSOR_REAL, 2, true, 0, 0},
    {"FP32", WEIR_TENSOR_REAL, 4, true, 0, 0},
    {"FP64", WEIR_TENSOR_REAL, 8, true, 0, 0},
    {"BYTES", WEIR_TENSOR_TEXT, 0, false, 0, 0},
};

const weir_tensor_type *weir_tensor_type_find(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!strcmp(types[i].name, name)) return &types[i];
    }
    return NULL;
}

/* ---- JSON ---- */

weir_status weir_datum_of_json(const cJSON *item, weir_datum *ret_value, weir_err *err) {
    if (cJSON_IsNull(item)) {
        *ret_value = weir_null();
    } else if (cJSON_IsBool(item)) {
        *ret_value = weir_bool(cJSON_IsTrue(item));
    } else if (cJSON_IsString(item)) {
        *ret_value = weir_text(item->valuestring);
    } else if (cJSON_IsNumber(item)) {
        double v = item->valuedouble;
        if (!isfinite(v)) return WEIR_REJECT(err, WEIR_EDATA, "number out of range");
        *ret_value = v == floor(v) && fabs(v) <= WHOLE_MAX ? weir_i64((int64_t)v) : weir_f64(v);
    } else {
        return WEIR_REJECT(err, WEIR_EDATA, "expected a string, a number, a boolean or null");
    }
    return WEIR_OK;
}

static weir_status fit_json(const weir_tensor_type *type, const cJSON *item, weir_datum *ret_value, weir_err *err) {
    weir_status status = weir_datum_of_json(item, ret_value, err);
    if (status || ret_value->type == WEIR_T_NULL) return status;
    uint32_t found = ret_value->type;
    double number = weir_datum_number(ret_value);
    switch (type->kind) {
    case WEIR_TENSOR_BOOL:
        if (found == WEIR_T_BOOL) return WEIR_OK;
        break;
    case WEIR_TENSOR_TEXT:
        if (found == WEIR_T_STR) return WEIR_OK;
        break;
    case WEIR_TENSOR_WHOLE:
        if (found == WEIR_T_I64 && number >= type->min && number <= type->max) return WEIR_OK;
        break;
    case WEIR_TENSOR_REAL:
        if (found != WEIR_T_I64 && found != WEIR_T_F64) break;
        if (type->bytes == 4) number = (float)number; /* the value that the client had */
        if (!isfinite(number)) break;
        *ret_value = weir_f64(number);
        return WEIR_OK;
    }
    return WEIR_REJECT(err, WEIR_EDATA, "expected %s that fits %s",
                       type->kind == WEIR_TENSOR_TEXT   ? "a string"
                       : type->kind == WEIR_TENSOR_BOOL ? "a boolean"
                                                        : "a number",
                       type->name);
}

weir_status weir_tensor_of_json(const weir_tensor_type *type, const cJSON *data, int64_t rows, int width, weir_datum *values, weir_err *err) {
    int64_t at = 0, count = rows * width;
    if (type->kind == WEIR_TENSOR_REAL && type->bytes == 2)
        return WEIR_REJECT(err, WEIR_EDATA, "datatype %s has no JSON form: send FP32 or FP64, or the bytes (\"binary_data_size\")", type->name);
    for (const cJSON *item = data->child; item; item = item->next) {
        bool nested = cJSON_IsArray(item);
        if (nested && cJSON_GetArraySize(item) != width)
            return WEIR_REJECT(err, WEIR_EDATA, "\"data\" has a row of %d values: the shape says %d", cJSON_GetArraySize(item), width);
        for (const cJSON *value = nested ? item->child : item; value; value = value->next) {
            if (at == count) return WEIR_REJECT(err, WEIR_EDATA, "\"data\" has more values than the %" PRId64 " of the shape", count);
            weir_status status = fit_json(type, value, &values[at], err);
            if (status) return weir_err_prefix(err, "\"data\", value %" PRId64, at);
            at++;
            if (!nested) break;
        }
    }
    if (at != count) return WEIR_REJECT(err, WEIR_EDATA, "\"data\" has %" PRId64 " values: the shape says %" PRId64, at, count);
    return WEIR_OK;
}

/* ---- bytes ---- */

static uint64_t read_little(const char *at, size_t bytes) {
    uint64_t value = 0;
    memcpy(&value, at, bytes);
    return le64toh(value);
}

/* Two's complement of so many bytes. */
static int64_t sign_extend(uint64_t value, size_t bytes) {
    unsigned unused = 64 - 8 * (unsigned)bytes;
    return (int64_t)(value << unused) >> unused;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction. */
static double half_value(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent ? ldexp(fraction + 1024, exponent - 25) : ldexp(fraction, -24);
    return bits & 0x8000 ? -size : size;
}

static double single_value(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double real_value(const weir_tensor_type *type, uint64_t bits) {
    double value;
    switch (type->bytes) {
    case 2: return strcmp(type->name, "BF16") ? half_value((uint16_t)bits) : single_value((uint32_t)bits << 16); /* bfloat16: the upper half of a float */
    case 4: return single_value((uint32_t)bits);
    default: memcpy(&value, &bits, sizeof value); return value;
    }
}

/* Length of the UTF-8 character at text, 0 when there is none; no overlong forms, no surrogates, no NUL (RFC 3629). */
static size_t utf8_length(const unsigned char *text, size_t len) {
    unsigned char first = text[0], low = 0x80, high = 0xBF;
    size_t need = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (!first || !need || need > len) return 0;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    for (size_t i = 1; i < need; i++, low = 0x80, high = 0xBF) {
        if (text[i] < low || text[i] > high) return 0;
    }
    return need;
}

static bool is_text(const char *text, size_t len) {
    for (size_t at = 0, step; at < len; at += step) {
        if (!(step = utf8_length((const unsigned char *)text + at, len - at))) return false;
    }
    return true;
}

/* Each a length of four bytes and so many bytes. */
static weir_status texts_of_bytes(const char *bytes, size_t len, int64_t count, weir_datum *values, weir_err *err) {
    size_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        size_t size = len - at >= 4 ? (size_t)read_little(bytes + at, 4) : SIZE_MAX;
        if (size == SIZE_MAX || size > len - at - 4)
            return WEIR_REJECT(err, WEIR_EDATA, "binary data, value %" PRId64 ": it goes on after the end of the %zu bytes", i, len);
        if (!is_text(bytes + at + 4, size)) return WEIR_REJECT(err, WEIR_EDATA, "binary data, value %" PRId64 ": expected UTF-8 without NUL", i);
        values[i] = weir_str(bytes + at + 4, size);
        at += 4 + size;
    }
    if (at != len) return WEIR_REJECT(err, WEIR_EDATA, "the %" PRId64 " values of the shape take %zu bytes of binary data, but there are %zu", count, at, len);
    return WEIR_OK;
}

static weir_status fit_bits(const weir_tensor_type *type, uint64_t bits, weir_datum *ret_value, weir_err *err) {
    double number;
    switch (type->kind) {
    case WEIR_TENSOR_BOOL:
        if (bits > 1) return WEIR_REJECT(err, WEIR_EDATA, "found the byte %u, expected 0 or 1", (unsigned)bits);
        *ret_value = weir_bool(bits == 1);
        return WEIR_OK;
    case WEIR_TENSOR_WHOLE:
        if (!type->is_signed && bits > INT64_MAX) return WEIR_REJECT(err, WEIR_EDATA, "found %" PRIu64 ", expected at most %" PRId64, bits, INT64_MAX);
        *ret_value = weir_i64(type->is_signed ? sign_extend(bits, type->bytes) : (int64_t)bits);
        return WEIR_OK;
    default:
        number = real_value(type, bits);
        if (isinf(number)) return WEIR_REJECT(err, WEIR_EDATA, "it is infinite");
        *ret_value = isnan(number) ? weir_null() : weir_f64(number);
        return WEIR_OK;
    }
}

weir_status weir_tensor_of_bytes(const weir_tensor_type *type, const char *bytes, size_t len, int64_t count, weir_datum *values, weir_err *err) {
    if (!type->bytes) return texts_of_bytes(bytes, len, count, values, err);
    if (len / type->bytes != (size_t)count || len % type->bytes)
        return WEIR_REJECT(err, WEIR_EDATA, "%zu bytes of binary data: %" PRId64 " values of %s are %zu bytes", len, count, type->name,
                           (size_t)count * type->bytes);
    for (int64_t i = 0; i < count; i++) {
        weir_status status = fit_bits(type, read_little(bytes + (size_t)i * type->bytes, type->bytes), &values[i], err);
        if (status) return weir_err_prefix(err, "binary data, value %" PRId64, i);
    }
    return WEIR_OK;
}

bool weir_tensor_has_bytes(const weir_tensor_type *type, const weir_datum *values, int64_t count) {
    if (type->kind == WEIR_TENSOR_REAL) return true;
    for (int64_t i = 0; i < count; i++) {
        if (values[i].type == WEIR_T_NULL) return false;
    }
    return true;
}

static bool put_little(weir_buf *out, uint64_t value, size_t bytes) {
    value = htole64(value);
    return weir_buf_append(out, &value, bytes);
}

bool weir_tensor_put_bytes(const weir_tensor_type *type, const weir_datum *values, int64_t count, weir_buf *out) {
    bool ok = weir_buf_reserve(out, (size_t)count * (type->bytes ? type->bytes : 4));
    for (int64_t i = 0; ok && i < count; i++) {
        const weir_datum *value = &values[i];
        double number = weir_datum_number(value); /* of NULL: NaN */
        uint64_t bits;
        memcpy(&bits, &number, sizeof bits);
        if (type->kind == WEIR_TENSOR_TEXT)
            ok = put_little(out, value->len, 4) && weir_buf_append(out, value->p, value->len);
        else
            ok = put_little(out, type->kind == WEIR_TENSOR_REAL ? bits : (uint64_t)value->i, type->bytes);
    }
    return ok;
}
