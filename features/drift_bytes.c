/* Profiles, tables and detectors as bytes. Numbers are little-endian, doubles as their IEEE bits.
 *
 *   frame     u32 magic, its last byte the format's number | u64 bytes of the contents | contents | u64 FNV-1a of all before it
 *   profile   u32 type, role | u64 count, missing, zeros | f64 min, max, mean, M2 | u64 random | sample: u32 n, n × (u64 tag, f64 value), as it is held |
 *             texts: u32 n, n × (f64 code, u32 length, bytes), ascending by code | quantiles (of a number) | distinct | frequent
 *   quantiles u32 sketched | u32 n, n × f64, ascending; or u32 level, u64 zeros, twice (i32 top, u32 span, span × u32 count)
 *   distinct  u32 sketched | u32 n, n × f64, ascending; or 2^precision bytes
 *   frequent  u64 records | u32 n, n × (f64 value, u64 count, u64 newest), ascending
 *   table     u32 n, n × (u32 length, bytes of the name, profile)
 *
 * A profile has one form only: what decodes encodes to the same bytes. */
#include <math.h>
#include <stdlib.h>

#include "features/drift_internal.h"

enum { FRAME_BYTES = 20, PROFILE_BYTES_MIN = 100 };
/* Beyond what any double needs with the least error; levels and bins that come from bytes stay where shifts and sums of them are defined. */
enum { LEVEL_MAX = 24, TOP_MAX = 1 << 20 };

/* --- writing --- */

static uint64_t checksum(const void *bytes, size_t len) {
    const unsigned char *p = bytes;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

void drift_put(weir_buf *out, bool *failed, const void *bytes, size_t len) {
    *failed = *failed || !weir_buf_append(out, bytes, len);
}

static void put_bytes(weir_buf *out, bool *failed, uint64_t v, int len) {
    unsigned char bytes[8];
    for (int i = 0; i < len; i++) bytes[i] = (unsigned char)(v >> (8 * i));
    drift_put(out, failed, bytes, (size_t)len);
}

void drift_put_u32(weir_buf *out, bool *failed, uint32_t v) {
    put_bytes(out, failed, v, 4);
}

void drift_put_u64(weir_buf *out, bool *failed, uint64_t v) {
    put_bytes(out, failed, v, 8);
}

void drift_put_f64(weir_buf *out, bool *failed, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    put_bytes(out, failed, bits, 8);
}

size_t drift_frame_begin(weir_buf *out, uint32_t magic, bool *failed) {
    size_t begin = out->len;
    drift_put_u32(out, failed, magic);
    drift_put_u64(out, failed, 0);
    return begin;
}

bool drift_frame_end(weir_buf *out, size_t begin, bool failed) {
    if (!failed) {
        uint64_t len = out->len - begin - 12;
        for (int i = 0; i < 8; i++) out->data[begin + 4 + (size_t)i] = (char)(unsigned char)(len >> (8 * i));
        drift_put_u64(out, &failed, checksum(out->data + begin, out->len - begin));
    }
    if (failed && out->data) {
        out->len = begin;
        out->data[begin] = 0;
    }
    return !failed;
}

static int by_code(const void *left, const void *right) {
    const drift_name *a = *(const drift_name *const *)left, *b = *(const drift_name *const *)right;
    return (a->code > b->code) - (a->code < b->code);
}

static void put_names(weir_buf *out, bool *failed, const weir_drift_profile *p) {
    const drift_name *names[DRIFT_NAME_SLOTS];
    size_t count = 0;
    for (int i = 0; i < DRIFT_NAME_SLOTS; i++)
        if (*p->name[i].text) names[count++] = &p->name[i];
    qsort(names, count, sizeof(*names), by_code);
    drift_put_u32(out, failed, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        drift_put_f64(out, failed, names[i]->code);
        drift_put_u32(out, failed, (uint32_t)strlen(names[i]->text));
        drift_put(out, failed, names[i]->text, strlen(names[i]->text));
    }
}

static void put_values(weir_buf *out, bool *failed, const void *body, uint32_t held) {
    drift_put_u32(out, failed, held);
    for (uint32_t i = 0; i < held; i++) drift_put_f64(out, failed, ((const double *)body)[i]);
}

/* Where the count of a bin is, seen from the top of its side. */
static uint32_t *bin_at(weir_quantiles *q, int side, uint32_t from_top) {
    return (uint32_t *)(void *)q->body + (side ? q->bins - 1 - from_top : from_top);
}

static void put_quantiles(weir_buf *out, bool *failed, weir_quantiles *q) {
    drift_put_u32(out, failed, q->sketched);
    if (!q->sketched) {
        put_values(out, failed, q->body, q->held);
        return;
    }
    drift_put_u32(out, failed, q->level);
    drift_put_u64(out, failed, q->zeros);
    for (int side = 0; side < 2; side++) {
        drift_put_u32(out, failed, (uint32_t)q->side[side].top);
        drift_put_u32(out, failed, q->side[side].span);
        for (uint32_t k = 0; k < q->side[side].span; k++) drift_put_u32(out, failed, *bin_at(q, side, k));
    }
}

static void put_distinct(weir_buf *out, bool *failed, const weir_distinct *d) {
    drift_put_u32(out, failed, (uint32_t)d->sketched);
    if (d->sketched)
        drift_put(out, failed, d->body, 1 << DRIFT_PRECISION);
    else
        put_values(out, failed, d->body, d->held);
}

static void put_frequent(weir_buf *out, bool *failed, const weir_frequent *f) {
    drift_put_u64(out, failed, f->records);
    drift_put_u32(out, failed, f->held);
    for (uint32_t i = 0; i < f->held; i++) {
        drift_put_f64(out, failed, f->slot[i].value);
        drift_put_u64(out, failed, f->slot[i].count);
        drift_put_u64(out, failed, f->slot[i].newest);
    }
}

static void put_profile(weir_buf *out, bool *failed, const weir_drift_profile *p) {
    drift_put_u32(out, failed, p->type);
    drift_put_u32(out, failed, p->role);
    drift_put_u64(out, failed, (uint64_t)p->count);
    drift_put_u64(out, failed, (uint64_t)p->missing);
    drift_put_u64(out, failed, (uint64_t)p->zeros);
    drift_put_f64(out, failed, p->min);
    drift_put_f64(out, failed, p->max);
    drift_put_f64(out, failed, p->mean);
    drift_put_f64(out, failed, p->m2);
    drift_put_u64(out, failed, p->random);
    drift_put_u32(out, failed, (uint32_t)p->held);
    for (int32_t i = 0; i < p->held; i++) {
        drift_put_u64(out, failed, p->sample[i].tag);
        drift_put_f64(out, failed, p->sample[i].value);
    }
    put_names(out, failed, p);
    if (p->type == WEIR_DRIFT_NUMBER) put_quantiles(out, failed, drift_quantiles(p));
    put_distinct(out, failed, drift_distinct(p));
    put_frequent(out, failed, drift_frequent(p));
}

bool weir_drift_profile_encode(const weir_drift_profile *profile, weir_buf *out) {
    bool failed = false;
    size_t begin = drift_frame_begin(out, DRIFT_PROFILE_MAGIC, &failed);
    put_profile(out, &failed, profile);
    return drift_frame_end(out, begin, failed);
}

bool weir_drift_table_encode(const weir_drift_table *t, weir_buf *out) {
    bool failed = false;
    size_t begin = drift_frame_begin(out, DRIFT_TABLE_MAGIC, &failed);
    drift_put_u32(out, &failed, (uint32_t)t->count);
    for (int i = 0; i < t->count; i++) {
        drift_put_u32(out, &failed, (uint32_t)strlen(t->fields[i].name));
        drift_put(out, &failed, t->fields[i].name, strlen(t->fields[i].name));
        put_profile(out, &failed, &t->profiles[i]);
    }
    return drift_frame_end(out, begin, failed);
}

/* --- reading --- */

const void *drift_get(drift_reader *r, size_t len) {
    static const unsigned char zeros[1 << DRIFT_PRECISION];
    r->failed = r->failed || (size_t)(r->end - r->p) < len;
    if (r->failed) return zeros;
    r->p += len;
    return r->p - len;
}

static uint64_t get_bytes(drift_reader *r, int len) {
    const unsigned char *p = drift_get(r, (size_t)len);
    uint64_t v = 0;
    for (int i = 0; i < len; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint32_t drift_get_u32(drift_reader *r) {
    return (uint32_t)get_bytes(r, 4);
}

uint64_t drift_get_u64(drift_reader *r) {
    return get_bytes(r, 8);
}

double drift_get_f64(drift_reader *r) {
    uint64_t bits = get_bytes(r, 8);
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

uint32_t drift_get_count(drift_reader *r, uint32_t max) {
    uint32_t count = drift_get_u32(r);
    r->failed = r->failed || count > max;
    return r->failed ? 0 : count;
}

drift_reader drift_frame_open(const void *bytes, size_t len, uint32_t magic) {
    drift_reader r = {bytes, (const unsigned char *)bytes + len, len < FRAME_BYTES}, tail;
    bool ours = drift_get_u32(&r) == magic && drift_get_u64(&r) == len - FRAME_BYTES;
    if (r.failed || !ours) return (drift_reader){.failed = true};
    r.end -= 8;
    tail = (drift_reader){r.end, r.end + 8, false};
    r.failed = drift_get_u64(&tail) != checksum(bytes, len - 8);
    return r;
}

static void require(drift_reader *r, bool ok) {
    r->failed = r->failed || !ok;
}

/* A value that was added: finite, and never -0. */
static double get_value(drift_reader *r) {
    double v = drift_get_f64(r);
    require(r, isfinite(v) && !(v == 0 && signbit(v)));
    return v;
}

static uint32_t get_values(drift_reader *r, void *body, uint32_t max, bool repeats) {
    uint32_t held = drift_get_count(r, max);
    double *values = body;
    for (uint32_t i = 0; i < held; i++) {
        values[i] = get_value(r);
        require(r, !i || values[i - 1] < values[i] || (repeats && values[i - 1] == values[i]));
    }
    return held;
}

static void get_sample(drift_reader *r, weir_drift_profile *p) {
    int64_t values = drift_value_count(p);
    p->held = (int32_t)drift_get_count(r, WEIR_DRIFT_SAMPLE);
    require(r, p->held == (values < WEIR_DRIFT_SAMPLE ? values : WEIR_DRIFT_SAMPLE));
    for (int32_t i = 0; i < p->held; i++) {
        p->sample[i].tag = drift_get_u64(r);
        p->sample[i].value = get_value(r);
        require(r, p->held < WEIR_DRIFT_SAMPLE || !i || p->sample[(i - 1) / 2].tag >= p->sample[i].tag);
    }
}

static void get_names(drift_reader *r, weir_drift_profile *p) {
    double before = -INFINITY;
    p->names = (int32_t)drift_get_count(r, DRIFT_NAMES);
    for (int32_t i = 0; i < p->names; i++) {
        double code = get_value(r);
        uint32_t len = drift_get_count(r, WEIR_DRIFT_TEXT_MAX);
        const void *text = drift_get(r, len);
        require(r, len && code > before && !memchr(text, 0, len));
        if (r->failed) return;
        drift_name *name = (drift_name *)drift_name_find(p, code); /* there are more places than names */
        name->code = before = code;
        memcpy(name->text, text, len);
    }
}

/* Both ends of a side's bins hold something; bins that are full have forgotten how much. */
static uint64_t get_side(drift_reader *r, weir_quantiles *q, int side, uint32_t room, bool *full) {
    uint64_t sum = 0;
    int32_t top = (int32_t)drift_get_u32(r);
    uint32_t span = drift_get_count(r, room);
    require(r, top >= -TOP_MAX && top <= TOP_MAX && (span || !top));
    q->side[side] = (weir_quantiles_side){top, span};
    for (uint32_t k = 0; k < span; k++) {
        uint32_t count = drift_get_u32(r);
        *bin_at(q, side, k) = count;
        sum += count;
        *full = *full || count == UINT32_MAX;
        require(r, count || (k && k + 1 < span));
    }
    return sum;
}

static void get_quantiles(drift_reader *r, weir_drift_profile *p) {
    weir_quantiles *q = drift_quantiles(p);
    bool full = false;
    q->count = (uint64_t)drift_value_count(p);
    q->min = p->min;
    q->max = p->max;
    q->sketched = drift_get_count(r, 1);
    if (!q->sketched) {
        q->held = get_values(r, q->body, DRIFT_BINS / 2, true);
        const double *values = (const double *)(const void *)q->body;
        require(r, q->held == q->count && (!q->held || (values[0] == p->min && values[q->held - 1] == p->max)));
        return;
    }
    q->level = drift_get_count(r, LEVEL_MAX);
    q->zeros = drift_get_u64(r);
    require(r, q->zeros <= q->count && q->count > DRIFT_BINS / 2);
    uint64_t sum = q->zeros;
    for (int side = 0; side < 2; side++) sum += get_side(r, q, side, DRIFT_BINS - (side ? q->side[0].span : 0), &full);
    require(r, sum == q->count || (full && sum < q->count));
}

static void get_distinct(drift_reader *r, weir_distinct *d) {
    d->sketched = drift_get_count(r, 1);
    if (!d->sketched) {
        d->held = get_values(r, d->body, WEIR_DRIFT_VALUES, false);
        return;
    }
    memcpy(d->body, drift_get(r, 1 << DRIFT_PRECISION), 1 << DRIFT_PRECISION);
    for (int i = 0; i < 1 << DRIFT_PRECISION; i++) {
        require(r, d->body[i] <= 64 - DRIFT_PRECISION + 1);
        if (!r->failed) d->registers_at[d->body[i]]++;
    }
    require(r, d->registers_at[0] < 1 << DRIFT_PRECISION);
}

static void get_frequent(drift_reader *r, weir_drift_profile *p) {
    weir_frequent *f = drift_frequent(p);
    const weir_distinct *d = drift_distinct(p);
    uint64_t sum = 0, values = (uint64_t)drift_value_count(p);
    f->records = drift_get_u64(r);
    f->held = drift_get_count(r, WEIR_DRIFT_VALUES);
    require(r, f->records == (d->sketched && p->type != WEIR_DRIFT_CATEGORY ? 0 : values));
    for (uint32_t i = 0; i < f->held; i++) {
        weir_frequent_slot *s = &f->slot[i];
        s->value = get_value(r);
        s->count = drift_get_u64(r);
        s->newest = drift_get_u64(r);
        require(r, s->count && s->count <= f->records - sum && s->newest && s->newest <= f->records && (!i || s[-1].value < s->value));
        require(r, d->sketched || (i < d->held && ((const double *)(const void *)d->body)[i] == s->value));
        sum += s->count;
    }
    require(r, d->sketched || (f->held == d->held && sum == f->records));
}

static void get_moments(drift_reader *r, weir_drift_profile *p) {
    uint64_t count = drift_get_u64(r), missing = drift_get_u64(r), zeros = drift_get_u64(r);
    require(r, count <= (uint64_t)1 << 53 && missing <= count && zeros <= count - missing);
    p->count = (int64_t)count;
    p->missing = (int64_t)missing;
    p->zeros = (int64_t)zeros;
    p->min = drift_get_f64(r);
    p->max = drift_get_f64(r);
    p->mean = drift_get_f64(r);
    p->m2 = drift_get_f64(r);
    bool empty = p->type == WEIR_DRIFT_CATEGORY || count == missing;
    require(r, empty ? p->min == INFINITY && p->max == -INFINITY && p->mean == 0 && p->m2 == 0 : isfinite(p->min) && isfinite(p->max) && p->min <= p->max);
}

static void get_profile(drift_reader *r, weir_drift_profile *p) {
    uint32_t type = drift_get_count(r, WEIR_DRIFT_CATEGORY), role = drift_get_count(r, WEIR_DRIFT_LABEL);
    drift_profile_init(p, (weir_drift_type)type, (weir_drift_role)role, 0);
    get_moments(r, p);
    p->random = drift_get_u64(r);
    get_sample(r, p);
    get_names(r, p);
    if (p->type == WEIR_DRIFT_NUMBER) get_quantiles(r, p);
    get_distinct(r, drift_distinct(p));
    get_frequent(r, p);
}

weir_status weir_drift_profile_decode(const void *bytes, size_t len, weir_drift_profile **ret_profile, weir_err *err) {
    drift_reader r = drift_frame_open(bytes, len, DRIFT_PROFILE_MAGIC);
    if (r.failed) return WEIR_REJECT(err, WEIR_EDATA, "%zu bytes are no profile of a column, or damaged", len);
    weir_drift_profile *p = weir_drift_profile_new(WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE, 0);
    if (!p) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for a profile");
    get_profile(&r, p);
    if (!r.failed && r.p == r.end) {
        *ret_profile = p;
        return WEIR_OK;
    }
    weir_drift_profile_free(p);
    return WEIR_REJECT(err, WEIR_EDATA, "a profile of %zu bytes contradicts itself", len);
}

/* --- tables --- */

static weir_status read_table(drift_reader *r, int count, weir_drift_profile *profile, weir_drift_field *fields, char *names, weir_drift_table **ret_table,
                              weir_err *err) {
    drift_reader again = *r;
    for (int i = 0; i < count && !r->failed; i++) {
        uint32_t len = drift_get_count(r, WEIR_DRIFT_NAME_MAX);
        const void *name = drift_get(r, len);
        require(r, len && !memchr(name, 0, len));
        if (r->failed) break;
        fields[i].name = memcpy(names, name, len);
        names[len] = 0;
        names += len + 1;
        get_profile(r, profile);
        fields[i].type = profile->type;
        fields[i].role = profile->role;
    }
    if (r->failed || r->p != r->end) return WEIR_REJECT(err, WEIR_EDATA, "profiles of %d columns contradict themselves", count);
    weir_status status = weir_drift_table_new(fields, count, 0, ret_table, err);
    if (status != WEIR_OK) return status == WEIR_EINVAL ? WEIR_REJECT(err, WEIR_EDATA, "profiles of %d columns have a name twice", count) : status;
    for (int i = 0; i < count; i++) {
        drift_get(&again, drift_get_u32(&again));
        get_profile(&again, &(*ret_table)->profiles[i]);
    }
    return WEIR_OK;
}

/* Read twice, so that a table takes memory only for columns that are there. */
weir_status weir_drift_table_decode(const void *bytes, size_t len, weir_drift_table **ret_table, weir_err *err) {
    drift_reader r = drift_frame_open(bytes, len, DRIFT_TABLE_MAGIC);
    uint32_t count = drift_get_count(&r, WEIR_DRIFT_COLUMNS_MAX);
    if (r.failed || !count || (size_t)(r.end - r.p) / PROFILE_BYTES_MIN < count)
        return WEIR_REJECT(err, WEIR_EDATA, "%zu bytes are no profiles of columns, or damaged", len);
    weir_drift_profile *profile = weir_drift_profile_new(WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE, 0);
    weir_drift_field *fields = weir_mem.realloc(NULL, count * sizeof(*fields));
    char *names = weir_mem.realloc(NULL, count * (size_t)(WEIR_DRIFT_NAME_MAX + 1));
    weir_status status = profile && fields && names ? read_table(&r, (int)count, profile, fields, names, ret_table, err)
                                                    : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for profiles of %u columns", count);
    weir_drift_profile_free(profile);
    if (fields) weir_mem.realloc(fields, 0);
    if (names) weir_mem.realloc(names, 0);
    return status;
}
