/* The grammar that is read:
 *
 *   value     'Z' 'N' 'T' 'F' | 'i' int8 | 'U' uint8 | 'I' int16 | 'l' int32 | 'L' int64 | 'd' float | 'D' double | 'C' char | 'S' text | 'H' text | array | object
 *   text      length bytes
 *   array     '[' ['$' type] '#' count element…   or   '[' value… ']'
 *   object    '{' [['$' type] '#' count] (text value)… , closed by '}' where there is no count
 *
 * Lengths and counts are numbers with their markers; all numbers are big-endian. With '$' the elements are written without their markers. */
#include "models/ubjson.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

/* A place in the bytes. */
typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

static bool take_marker(cursor *c, uint8_t *ret_marker) {
    do { /* 'N' stands for nothing and may stand anywhere */
        if (c->at >= c->end) return false;
        *ret_marker = *c->at++;
    } while (*ret_marker == 'N');
    return true;
}

/* Bytes of a value of fixed size; -1: it has none. */
static int fixed_size(uint8_t type) {
    switch (type) {
    case 'Z':
    case 'T':
    case 'F': return 0;
    case 'i':
    case 'U':
    case 'C': return 1;
    case 'I': return 2;
    case 'l':
    case 'd': return 4;
    case 'L':
    case 'D': return 8;
    default: return -1;
    }
}

static uint64_t big_endian(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

static bool whole(uint8_t type, const uint8_t *at, int64_t *ret_number) {
    switch (type) {
    case 'i': *ret_number = (int8_t)*at; return true;
    case 'U': *ret_number = *at; return true;
    case 'I': *ret_number = (int16_t)big_endian(at, 2); return true;
    case 'l': *ret_number = (int32_t)big_endian(at, 4); return true;
    case 'L': *ret_number = (int64_t)big_endian(at, 8); return true;
    default: return false;
    }
}

/* A length or count: a whole number from 0, with its marker. */
static bool take_count(cursor *c, int64_t *ret_count) {
    uint8_t type;
    if (!take_marker(c, &type)) return false;
    int size = fixed_size(type);
    if (size < 0 || c->end - c->at < size || !whole(type, c->at, ret_count) || *ret_count < 0) return false;
    c->at += size;
    return true;
}

static bool take_text(cursor *c, const char **ret_text, size_t *ret_len) {
    int64_t len;
    if (!take_count(c, &len) || len > c->end - c->at) return false;
    *ret_text = (const char *)c->at;
    *ret_len = (size_t)len;
    c->at += len;
    return true;
}

/* What may stand behind '[' and '{'. *ret_type 0: none is given; *ret_count -1: none is given. */
static bool take_front(cursor *c, uint8_t *ret_type, int64_t *ret_count) {
    *ret_type = 0;
    *ret_count = -1;
    if (c->at < c->end && *c->at == '$') {
        c->at++;
        if (!take_marker(c, ret_type) || c->at >= c->end || *c->at != '#') return false;
    }
    if (c->at < c->end && *c->at == '#') {
        c->at++;
        return take_count(c, ret_count);
    }
    return true;
}

static bool skip(cursor *c, uint8_t type, int depth);

/* The members of a container, whose front is behind c. */
static bool skip_members(cursor *c, bool named, uint8_t type, int64_t count, int depth) {
    const char *name;
    size_t len;
    int size = type ? fixed_size(type) : -1;
    if (!named && count >= 0 && size >= 0) { /* an array of numbers: in one step */
        if (size > 0 && count > (c->end - c->at) / size) return false;
        c->at += count * size;
        return true;
    }
    for (int64_t i = 0; count < 0 || i < count; i++) {
        uint8_t each = type;
        if (count < 0 && c->at < c->end && *c->at == (named ? '}' : ']')) {
            c->at++;
            return true;
        }
        if (named && !take_text(c, &name, &len)) return false;
        if (!each && !take_marker(c, &each)) return false;
        if (!skip(c, each, depth)) return false;
    }
    return true;
}

static bool skip(cursor *c, uint8_t type, int depth) {
    const char *text;
    size_t len;
    int size = fixed_size(type);
    if (size >= 0) {
        if (c->end - c->at < size) return false;
        c->at += size;
        return true;
    }
    if (type == 'S' || type == 'H') return take_text(c, &text, &len);
    if ((type != '[' && type != '{') || depth == DEPTH_MAX) return false;
    uint8_t each;
    int64_t count;
    return take_front(c, &each, &count) && skip_members(c, type == '{', each, count, depth + 1);
}

bool weir_ubjson_open(const void *bytes, size_t len, weir_ubjson *ret_value) {
    cursor c = {bytes, (const uint8_t *)bytes + len};
    *ret_value = (weir_ubjson){0};
    uint8_t type;
    if (!take_marker(&c, &type)) return false;
    *ret_value = (weir_ubjson){type, c.at, c.end};
    return true;
}

bool weir_ubjson_find(weir_ubjson object, const char *name, weir_ubjson *ret_value) {
    cursor c = {object.at, object.end};
    size_t wanted = strlen(name), len;
    const char *text;
    uint8_t type;
    int64_t count;
    *ret_value = (weir_ubjson){0};
    if (object.type != '{' || !take_front(&c, &type, &count)) return false;
    for (int64_t i = 0; count < 0 || i < count; i++) {
        uint8_t each = type;
        if (count < 0 && c.at < c.end && *c.at == '}') return false;
        if (!take_text(&c, &text, &len) || (!each && !take_marker(&c, &each))) return false;
        if (len == wanted && !memcmp(text, name, len)) {
            *ret_value = (weir_ubjson){each, c.at, c.end};
            return true;
        }
        if (!skip(&c, each, 0)) return false;
    }
    return false;
}

bool weir_ubjson_begin(weir_ubjson array, weir_ubjson_array *ret_array) {
    cursor c = {array.at, array.end};
    *ret_array = (weir_ubjson_array){0};
    if (array.type != '[' || !take_front(&c, &ret_array->type, &ret_array->left)) return false;
    ret_array->at = c.at;
    ret_array->end = c.end;
    return true;
}

bool weir_ubjson_next(weir_ubjson_array *array, weir_ubjson *ret_value) {
    cursor c = {array->at, array->end};
    uint8_t type = array->type;
    *ret_value = (weir_ubjson){0};
    if (array->left == 0 || (array->left < 0 && c.at < c.end && *c.at == ']')) return false;
    if (!type && !take_marker(&c, &type)) return false;
    const uint8_t *contents = c.at;
    if (!skip(&c, type, 0)) return false;
    *ret_value = (weir_ubjson){type, contents, c.end};
    array->at = c.at;
    if (array->left > 0) array->left--;
    return true;
}

bool weir_ubjson_length(weir_ubjson value, size_t *ret_len) {
    cursor c = {value.at, value.end};
    if (!value.type || !skip(&c, value.type, 0)) return false;
    *ret_len = (size_t)(c.at - value.at);
    return true;
}

bool weir_ubjson_number(weir_ubjson value, double *ret_number) {
    int64_t number;
    int size = value.type ? fixed_size(value.type) : -1;
    if (size <= 0 || value.end - value.at < size) return false;
    if (value.type == 'd') {
        uint32_t bits = (uint32_t)big_endian(value.at, 4);
        float x;
        memcpy(&x, &bits, sizeof x);
        *ret_number = (double)x;
        return true;
    }
    if (value.type == 'D') {
        uint64_t bits = big_endian(value.at, 8);
        memcpy(ret_number, &bits, sizeof *ret_number);
        return true;
    }
    if (!whole(value.type, value.at, &number)) return false;
    *ret_number = (double)number;
    return true;
}

bool weir_ubjson_text(weir_ubjson value, const char **ret_text, size_t *ret_len) {
    cursor c = {value.at, value.end};
    return (value.type == 'S' || value.type == 'H') && take_text(&c, ret_text, ret_len);
}

int weir_ubjson_count_numbers(weir_ubjson value, int most) {
    weir_ubjson_array array;
    weir_ubjson element;
    double number;
    int count = 0;
    if (!weir_ubjson_begin(value, &array)) return 0;
    while (count <= most && weir_ubjson_next(&array, &element) && weir_ubjson_number(element, &number)) count++;
    return count;
}

bool weir_ubjson_read_numbers(weir_ubjson value, double *out, int count) {
    weir_ubjson_array array;
    weir_ubjson element;
    if (!weir_ubjson_begin(value, &array)) return false;
    for (int i = 0; i < count; i++)
        if (!weir_ubjson_next(&array, &element) || !weir_ubjson_number(element, &out[i])) return false;
    return !weir_ubjson_next(&array, &element);
}

/* ---- from JSON ---- */

typedef struct writer {
    weir_buf *out;
    bool starved;
} writer;

static void skip_space(cursor *c) {
    while (c->at < c->end && strchr(" \t\r\n", *c->at) && *c->at) c->at++;
}

static bool take_byte(cursor *c, char wanted) {
    skip_space(c);
    if (c->at >= c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

static bool put_bytes(writer *w, const void *bytes, size_t len) {
    w->starved = !weir_buf_append(w->out, bytes, len);
    return !w->starved;
}

static bool put_big_endian(writer *w, char type, uint64_t bits) {
    char bytes[9] = {type};
    for (int i = 0; i < 8; i++) bytes[1 + i] = (char)(bits >> (56 - 8 * i));
    return put_bytes(w, bytes, sizeof bytes);
}

/* Behind its first quote: its length and bytes. */
static bool copy_text(cursor *c, writer *w) {
    const uint8_t *from = c->at;
    while (c->at < c->end && *c->at != '"') c->at += 1 + (*c->at == '\\' && c->end - c->at > 1);
    if (c->at >= c->end) return false;
    size_t len = (size_t)(c->at++ - from);
    return put_big_endian(w, 'L', len) && put_bytes(w, from, len);
}

/* A number, or a word. */
static bool copy_word(cursor *c, writer *w) {
    char word[48], *end;
    size_t len = 0;
    while (c->at < c->end && len < sizeof word - 1 && (isalnum(*c->at) || strchr("+-.", *c->at)) && *c->at) word[len++] = (char)*c->at++;
    word[len] = 0;
    if (!strcmp(word, "true") || !strcmp(word, "false") || !strcmp(word, "null")) return put_bytes(w, word[0] == 't' ? "T" : word[0] == 'f' ? "F" : "Z", 1);
    double number = strtod(word, &end);
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return len && !*end && put_big_endian(w, 'D', bits);
}

static bool copy_value(cursor *c, writer *w, int depth);

static bool copy_members(cursor *c, bool named, writer *w, int depth) {
    char close = named ? '}' : ']';
    if (depth > DEPTH_MAX || !put_bytes(w, named ? "{" : "[", 1)) return false;
    for (bool first = true; !take_byte(c, close); first = false) {
        if (!first && !take_byte(c, ',')) return false;
        if (named && !(take_byte(c, '"') && copy_text(c, w) && take_byte(c, ':'))) return false;
        if (!copy_value(c, w, depth)) return false;
    }
    return put_bytes(w, &close, 1);
}

static bool copy_value(cursor *c, writer *w, int depth) {
    if (take_byte(c, '{')) return copy_members(c, true, w, depth + 1);
    if (take_byte(c, '[')) return copy_members(c, false, w, depth + 1);
    if (take_byte(c, '"')) return put_bytes(w, "S", 1) && copy_text(c, w);
    return copy_word(c, w);
}

weir_status weir_ubjson_of_json(const char *text, size_t len, weir_buf *out, weir_err *err) {
    cursor c = {(const uint8_t *)text, (const uint8_t *)text + len};
    writer w = {.out = out};
    if (copy_value(&c, &w, 0)) return WEIR_OK;
    if (w.starved) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to read JSON of %zu bytes", len);
    return WEIR_FAIL(err, WEIR_EDATA, "byte %zu of %zu is not as JSON goes on", (size_t)(c.at - (const uint8_t *)text), len);
}
