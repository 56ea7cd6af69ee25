#include "models/export_wire.h"

#include <string.h>

enum { VARINT, FIXED32 = 5, LENGTH = 2 };

static void put(weir_wire *wire, const void *bytes, size_t len) {
    wire->ok = wire->ok && weir_buf_append(&wire->bytes, bytes, len);
}

/* Seven bits a byte, the lowest first; the eighth says that more follow. */
static size_t varint(uint64_t value, unsigned char out[10]) {
    size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (unsigned char)value;
    return n;
}

static void put_varint(weir_wire *wire, uint64_t value) {
    unsigned char bytes[10];
    put(wire, bytes, varint(value, bytes));
}

static void put_key(weir_wire *wire, int field, int type) {
    put_varint(wire, (uint64_t)field << 3 | (uint64_t)type);
}

void weir_wire_int(weir_wire *wire, int field, int64_t value) {
    put_key(wire, field, VARINT);
    put_varint(wire, (uint64_t)value);
}

void weir_wire_float(weir_wire *wire, int field, float value) {
    put_key(wire, field, FIXED32);
    put(wire, &value, sizeof value); /* little-endian, as the machine is: models/linear_form.c insists on it */
}

void weir_wire_bytes(weir_wire *wire, int field, const void *bytes, size_t len) {
    put_key(wire, field, LENGTH);
    put_varint(wire, len);
    put(wire, len ? bytes : "", len);
}

void weir_wire_text(weir_wire *wire, int field, const char *text) {
    weir_wire_bytes(wire, field, text, strlen(text));
}

void weir_wire_message(weir_wire *wire, int field, weir_wire *inner) {
    wire->ok = wire->ok && inner->ok;
    weir_wire_bytes(wire, field, inner->bytes.data, inner->bytes.len);
    weir_buf_done(&inner->bytes);
}

void weir_wire_ints(weir_wire *wire, int field, const int64_t *values, size_t count) {
    unsigned char bytes[10];
    size_t len = 0;
    for (size_t i = 0; i < count; i++) len += varint((uint64_t)values[i], bytes);
    put_key(wire, field, LENGTH);
    put_varint(wire, len);
    for (size_t i = 0; i < count; i++) put_varint(wire, (uint64_t)values[i]);
}

void weir_wire_floats(weir_wire *wire, int field, const float *values, size_t count) {
    weir_wire_bytes(wire, field, values, count * sizeof *values);
}
