/* Rows to Avro: a schema's columns are in the order of its fields, so encoding is one pass over them. */
#include <float.h>
#include <math.h>

#include "core/avro_type.h"

/* These write into room that was reserved, and return where the next byte goes. */

static uint8_t *put_long(uint8_t *at, int64_t value) {
    uint64_t n = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    for (; n >= 0x80; n >>= 7) *at++ = (uint8_t)(n | 0x80);
    *at++ = (uint8_t)n;
    return at;
}

static uint8_t *put_little_endian(uint8_t *at, uint64_t bits, int size) {
    for (int i = 0; i < size; i++) *at++ = (uint8_t)(bits >> 8 * i);
    return at;
}

static uint8_t *put_double(uint8_t *at, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return put_little_endian(at, bits, 8);
}

static uint8_t *put_float(uint8_t *at, double value) {
    float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    return put_little_endian(at, bits, 4);
}

static uint8_t *put_bytes(uint8_t *at, const weir_datum *d) {
    if (d->len) memcpy(at, d->p, d->len);
    return at + d->len;
}

static int64_t floor_millis(int64_t micros) {
    return micros / 1000 - (micros % 1000 < 0);
}

static int symbol_index(const weir_avro_type *type, const weir_datum *d) {
    for (int i = 0; i < type->count; i++)
        if (strlen(type->symbols[i]) == d->len && !memcmp(type->symbols[i], d->p, d->len)) return i;
    return -1;
}

static uint8_t *put_number(uint8_t *at, const weir_datum *d) {
    if (d->type == WEIR_T_F64) return put_double(at, d->f);
    return d->type == WEIR_T_I64 ? put_double(at, (double)d->i) : NULL;
}

static uint8_t *put_narrow(uint8_t *at, const weir_datum *d) {
    bool fits = d->type == WEIR_T_I64 || (d->type == WEIR_T_F64 && (!isfinite(d->f) || fabs(d->f) <= FLT_MAX));
    return fits ? put_float(at, weir_datum_number(d)) : NULL;
}

/* NULL when the value does not belong into the column's type: what cannot be written without changing it does not. */
static uint8_t *put_value(const weir_avro_type *type, const weir_datum *d, uint8_t *at) {
    int symbol;
    switch (type->kind) {
    case WEIR_AVRO_DOUBLE: return put_number(at, d);
    case WEIR_AVRO_LONG:
        if (d->type != WEIR_T_I64) return NULL;
        return put_long(at, type->logical == WEIR_AVRO_TIMESTAMP_MILLIS ? floor_millis(d->i) : d->i);
    case WEIR_AVRO_STRING: return d->type == WEIR_T_STR ? put_bytes(put_long(at, d->len), d) : NULL;
    case WEIR_AVRO_BYTES: return d->type == WEIR_T_BYTES ? put_bytes(put_long(at, d->len), d) : NULL;
    case WEIR_AVRO_INT: return d->type == WEIR_T_I64 && d->i >= INT32_MIN && d->i <= INT32_MAX ? put_long(at, d->i) : NULL;
    case WEIR_AVRO_BOOLEAN:
        if (d->type != WEIR_T_BOOL) return NULL;
        *at = d->i != 0;
        return at + 1;
    case WEIR_AVRO_FLOAT: return put_narrow(at, d);
    case WEIR_AVRO_FIXED: return d->type == WEIR_T_BYTES && d->len == type->size ? put_bytes(at, d) : NULL;
    case WEIR_AVRO_ENUM: symbol = d->type == WEIR_T_STR ? symbol_index(type, d) : -1; return symbol >= 0 ? put_long(at, symbol) : NULL;
    case WEIR_AVRO_NULL: return d->type == WEIR_T_NULL ? at : NULL; /* which has no bytes */
    default: return NULL;
    }
}

static bool is_null(const weir_avro_column *column, const weir_datum *d) {
    if (column->null_branch < 0) return false;
    return d->type == WEIR_T_NULL || (column->span && d->type == WEIR_T_BOOL && !d->i);
}

static weir_status misfit(const weir_schema *schema, int i, const weir_datum *d, weir_err *err) {
    static const char *const type_names[] = {"null", "boolean", "integer", "number", "text", "bytes"};
    return WEIR_REJECT(err, WEIR_EDATA, "field \"%s\": this %s does not fit its type %s%s", schema->fields[i].name,
                       d->type <= WEIR_T_BYTES ? type_names[d->type] : "value", schema->columns[i].null_branch >= 0 ? "null or " : "",
                       weir_avro_kind_name(schema->columns[i].type->kind));
}

/* Bytes that the row takes at most. */
static size_t room_for(const weir_schema *schema, const weir_datum *row) {
    enum { COLUMN_BYTES_MAX = 11 }; /* branch and length or number; text comes on top */
    size_t room = (size_t)schema->count * COLUMN_BYTES_MAX;
    for (int i = 0; i < schema->count; i++) {
        room += row[i].type >= WEIR_T_STR ? row[i].len : 0;
        if (schema->columns[i].span && is_null(&schema->columns[i], &row[i])) i += schema->columns[i].span;
    }
    return room;
}

weir_status weir_avro_encode(const weir_schema *schema, const weir_datum *row, weir_buf *out, weir_err *err) {
    if (schema->opaque) return WEIR_REJECT(err, WEIR_EDATA, "field \"%s\" is of a type that rows do not have, so the schema cannot be written", schema->opaque);
    if (!weir_buf_reserve(out, room_for(schema, row))) return WEIR_FAIL(err, WEIR_ENOMEM, "out of memory for a record");
    uint8_t *at = (uint8_t *)out->data + out->len;
    for (int i = 0; i < schema->count; i++) {
        const weir_avro_column *column = &schema->columns[i];
        bool null = is_null(column, &row[i]);
        if (column->branch_count) at = put_long(at, null ? column->null_branch : column->value_branch);
        if (null)
            i += column->span; /* a record that is not there has no columns */
        else if (column->span && row[i].type != WEIR_T_BOOL)
            at = NULL;
        else if (!column->span)
            at = put_value(column->type, &row[i], at);
        if (!at) {
            ((uint8_t *)out->data)[out->len] = 0;
            return misfit(schema, i, &row[i], err);
        }
    }
    *at = 0;
    out->len = (size_t)(at - (uint8_t *)out->data);
    return WEIR_OK;
}
