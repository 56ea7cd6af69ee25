/* Protocol buffers on the wire, as far as writing ONNX takes: a message is appended field by field, an inner one is written to a buffer of its own first.
 * Source: Protocol Buffers, Encoding. */
#ifndef WEIR_MODELS_EXPORT_WIRE_H
#define WEIR_MODELS_EXPORT_WIRE_H

#include "core/mem.h"

/* A message that is being written. Once memory ran out ok is false, and nothing more is written. */
typedef struct weir_wire {
    weir_buf bytes;
    bool ok;
} weir_wire;

static inline weir_wire weir_wire_new(void) {
    return (weir_wire){.ok = true};
}

void weir_wire_int(weir_wire *wire, int field, int64_t value);
void weir_wire_float(weir_wire *wire, int field, float value);
void weir_wire_bytes(weir_wire *wire, int field, const void *bytes, size_t len);
void weir_wire_text(weir_wire *wire, int field, const char *text);
/** Appends an inner message and frees it. */
void weir_wire_message(weir_wire *wire, int field, weir_wire *inner);
/** Packed, as one field. */
void weir_wire_ints(weir_wire *wire, int field, const int64_t *values, size_t count);
void weir_wire_floats(weir_wire *wire, int field, const float *values, size_t count);

#endif
