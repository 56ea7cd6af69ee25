#include "core/pg_binary.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <string.h>

/* PostgreSQL counts from 2000-01-01; its ends of int64 mean ±infinity. */
#define PG_EPOCH_US INT64_C(946684800000000)

static bool put_field(weir_buf *rows, const void *big_endian, int32_t len) {
    uint32_t length = htobe32((uint32_t)len);
    return weir_buf_reserve(rows, sizeof length + (size_t)len) && weir_buf_append(rows, &length, sizeof length) &&
           weir_buf_append(rows, big_endian, (size_t)len);
}

bool weir_pg_put_tuple(weir_buf *rows, int column_count) {
    assert(column_count >= 0 && column_count <= WEIR_PG_COLUMNS_MAX);
    uint16_t count = htobe16((uint16_t)column_count);
    return weir_buf_append(rows, &count, sizeof count);
}

bool weir_pg_put_null(weir_buf *rows) {
    return weir_buf_append(rows, "\377\377\377\377", 4);
}

bool weir_pg_put_bool(weir_buf *rows, bool value) {
    return put_field(rows, value ? "\1" : "\0", 1);
}

bool weir_pg_put_int4(weir_buf *rows, int32_t value) {
    uint32_t bits = htobe32((uint32_t)value);
    return put_field(rows, &bits, sizeof bits);
}

bool weir_pg_put_int8(weir_buf *rows, int64_t value) {
    uint64_t bits = htobe64((uint64_t)value);
    return put_field(rows, &bits, sizeof bits);
}

bool weir_pg_put_float8(weir_buf *rows, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return weir_pg_put_int8(rows, (int64_t)bits);
}

bool weir_pg_put_bytes(weir_buf *rows, const void *bytes, size_t len) {
    return len <= INT32_MAX && put_field(rows, bytes, (int32_t)len);
}

bool weir_pg_put_timestamptz(weir_buf *rows, int64_t time_us) {
    int64_t shifted = time_us;
    if (time_us != INT64_MAX && time_us != INT64_MIN && __builtin_sub_overflow(time_us, PG_EPOCH_US, &shifted)) shifted = INT64_MIN;
    return weir_pg_put_int8(rows, shifted);
}

static uint16_t read_u16(const char *at) {
    uint16_t bits;
    memcpy(&bits, at, sizeof bits);
    return be16toh(bits);
}

static uint32_t read_u32(const char *at) {
    uint32_t bits;
    memcpy(&bits, at, sizeof bits);
    return be32toh(bits);
}

static uint64_t read_u64(const char *at) {
    uint64_t bits;
    memcpy(&bits, at, sizeof bits);
    return be64toh(bits);
}

int64_t weir_pg_get_int8(const weir_pg_field *field) {
    switch (field->len) {
    case 8: return (int64_t)read_u64(field->data);
    case 4: return (int32_t)read_u32(field->data);
    case 2: return (int16_t)read_u16(field->data);
    case 1: return field->data[0] != 0; /* bool */
    default: return 0;
    }
}

int32_t weir_pg_get_int4(const weir_pg_field *field) {
    return (int32_t)weir_pg_get_int8(field);
}

double weir_pg_get_float8(const weir_pg_field *field) {
    if (field->len == 8) {
        uint64_t bits = read_u64(field->data);
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    if (field->len == 4) {
        uint32_t bits = read_u32(field->data);
        float value;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    }
    return NAN;
}

int64_t weir_pg_get_timestamptz(const weir_pg_field *field) {
    int64_t shifted = weir_pg_get_int8(field), time_us = shifted;
    if (shifted == INT64_MAX || shifted == INT64_MIN) return shifted;
    return __builtin_add_overflow(shifted, PG_EPOCH_US, &time_us) ? INT64_MAX : time_us;
}

/* The three steps below return how many bytes they used, 0 when they need more than there is, -1 when the bytes are wrong. */

static int64_t parse_header(const char *data, size_t len) {
    if (len < WEIR_PG_COPY_HEADER_LEN) return 0;
    if (memcmp(data, WEIR_PG_COPY_HEADER, 11) != 0) return -1;
    uint32_t flags = read_u32(data + 11), extension_len = read_u32(data + 15);
    /* Bits 16 up change the format (bit 16: with OIDs). */
    if (flags >> 16 || extension_len > INT32_MAX) return -1;
    return len - WEIR_PG_COPY_HEADER_LEN < extension_len ? 0 : WEIR_PG_COPY_HEADER_LEN + (int64_t)extension_len;
}

static int64_t parse_tuple(weir_pg_copy_parser *parser, const char *data, size_t len, int *ret_count) {
    if (len < 2) return 0;
    int count = (int16_t)read_u16(data);
    *ret_count = count;
    if (count == -1) return 2;
    if (count < 0 || count > WEIR_PG_COLUMNS_MAX) return -1;
    size_t at = 2;
    for (int i = 0; i < count; i++) {
        if (len - at < 4) return 0;
        int32_t field_len = (int32_t)read_u32(data + at);
        at += 4;
        if (field_len < -1) return -1;
        size_t bytes = field_len < 0 ? 0 : (size_t)field_len;
        if (len - at < bytes) return 0;
        parser->fields[i] = (weir_pg_field){.len = field_len, .data = field_len < 0 ? NULL : data + at};
        at += bytes;
    }
    return (int64_t)at;
}

static weir_status parse_all(weir_pg_copy_parser *parser, const char *data, size_t len, size_t *ret_used, weir_err *err) {
    size_t at = 0;
    while (at < len) {
        int count = 0;
        int64_t used = parser->trailer_seen ? -1 : !parser->header_done ? parse_header(data + at, len - at) : parse_tuple(parser, data + at, len - at, &count);
        if (used < 0) return WEIR_FAIL(err, WEIR_EDATA, "what COPY sent is not PostgreSQL's binary format");
        if (used == 0) break;
        at += (size_t)used;
        if (!parser->header_done) {
            parser->header_done = true;
        } else if (count == -1) {
            parser->trailer_seen = true;
        } else {
            weir_status status = parser->on_row(parser->context, parser->fields, count, err);
            if (status != WEIR_OK) return status;
        }
    }
    *ret_used = at;
    return WEIR_OK;
}

weir_status weir_pg_copy_parser_feed(weir_pg_copy_parser *parser, const char *data, size_t len, weir_err *err) {
    weir_buf *pending = &parser->pending;
    size_t used = 0;
    if (pending->len) {
        if (!weir_buf_append(pending, data, len)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of %zu bytes", pending->len + len);
        weir_status status = parse_all(parser, pending->data, pending->len, &used, err);
        if (status != WEIR_OK) return status;
        memmove(pending->data, pending->data + used, pending->len - used);
        pending->len -= used;
        return WEIR_OK;
    }
    /* Rows are read where libpq put them; only a cut one is copied. */
    weir_status status = parse_all(parser, data, len, &used, err);
    if (status != WEIR_OK) return status;
    if (!weir_buf_append(pending, data + used, len - used)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of %zu bytes", len - used);
    return WEIR_OK;
}

weir_status weir_pg_copy_parser_finish(const weir_pg_copy_parser *parser, weir_err *err) {
    if (parser->trailer_seen) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EDATA, "what COPY sent ended before its trailer");
}

void weir_pg_copy_parser_done(weir_pg_copy_parser *parser) {
    weir_buf_done(&parser->pending);
}
