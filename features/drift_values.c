/* The values of two columns side by side, and in bins. Everything that compares columns starts from here. */
#include <math.h>

#include "features/drift_internal.h"
#include "features/sort.h"

/* Different values of one side, ascending. */
typedef struct side {
    int count;
    bool sampled;
    double total;
    double value[WEIR_DRIFT_SAMPLE], times[WEIR_DRIFT_SAMPLE];
} side;

static void from_counts(const weir_frequent *frequent, side *s) {
    for (uint32_t i = 0; i < frequent->held; i++) {
        s->value[i] = frequent->slot[i].value;
        s->times[i] = (double)frequent->slot[i].count;
    }
    s->count = (int)frequent->held;
    s->total = (double)frequent->records;
}

enum { DIGIT_BITS = 11, DIGITS = 6, DIGIT_VALUES = 1 << DIGIT_BITS };

static unsigned digit_of(uint64_t key, int digit) {
    return key >> (digit * DIGIT_BITS) & (DIGIT_VALUES - 1);
}

/* Whole numbers in the order of the doubles: of negative ones all bits are turned over, of others the sign. */
static uint64_t key_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits ^ (bits >> 63 ? ~UINT64_C(0) : UINT64_C(1) << 63);
}

static double value_of(uint64_t key) {
    uint64_t bits = key ^ (key >> 63 ? UINT64_C(1) << 63 : ~UINT64_C(0));
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* By digits from the lowest, as comparing thousands of values mispredicts at every second one. values [count], count ≤ WEIR_DRIFT_SAMPLE. */
static void sort_by_digits(double *values, int count) {
    uint64_t keys[2][WEIR_DRIFT_SAMPLE];
    uint32_t places[DIGITS][DIGIT_VALUES] = {0};
    for (int i = 0; i < count; i++) {
        keys[0][i] = key_of(values[i]);
        for (int d = 0; d < DIGITS; d++) places[d][digit_of(keys[0][i], d)]++;
    }
    int from = 0;
    for (int d = 0; d < DIGITS; d++, from = !from) {
        uint32_t before = 0;
        for (int v = 0; v < DIGIT_VALUES; v++) {
            uint32_t here = places[d][v];
            places[d][v] = before;
            before += here;
        }
        for (int i = 0; i < count; i++) keys[!from][places[d][digit_of(keys[from][i], d)]++] = keys[from][i];
    }
    for (int i = 0; i < count; i++) values[i] = value_of(keys[from][i]);
}

static void from_sample(const weir_drift_profile *p, side *s) {
    double sorted[WEIR_DRIFT_SAMPLE];
    for (int32_t i = 0; i < p->held; i++) sorted[i] = p->sample[i].value;
    if (p->held > WEIR_DRIFT_SAMPLE / 4)
        sort_by_digits(sorted, p->held);
    else
        weir_sort(sorted, p->held);
    for (int32_t i = 0; i < p->held; i++) {
        if (!s->count || s->value[s->count - 1] != sorted[i]) {
            s->value[s->count] = sorted[i];
            s->times[s->count++] = 0;
        }
        s->times[s->count - 1]++;
    }
    s->total = p->held;
    s->sampled = p->held < drift_value_count(p);
}

static void read_side(const weir_drift_profile *p, bool individuals, side *s) {
    s->count = 0;
    s->sampled = false;
    if (drift_counts_all(p) && (!individuals || drift_value_count(p) <= WEIR_DRIFT_SAMPLE))
        from_counts(drift_frequent(p), s);
    else
        from_sample(p, s);
}

static void put_together(const side *a, const side *b, drift_pair *pair) {
    for (int i = 0, k = 0; i < a->count || k < b->count; pair->count++) {
        bool from_a = i < a->count && (k == b->count || a->value[i] <= b->value[k]), from_b = k < b->count && (i == a->count || b->value[k] <= a->value[i]);
        pair->value[pair->count] = from_a ? a->value[i] : b->value[k];
        pair->reference[pair->count] = from_a ? a->times[i++] : 0;
        pair->current[pair->count] = from_b ? b->times[k++] : 0;
    }
    pair->n = a->total;
    pair->m = b->total;
    pair->sampled = a->sampled || b->sampled;
}

weir_status drift_pair_make(const weir_drift_profile *reference, const weir_drift_profile *current, bool individuals, drift_pair *ret_pair, weir_err *err) {
    weir_status status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory to compare two columns");
    side *sides = weir_mem.realloc(NULL, 2 * sizeof(*sides));
    if (!sides) return status;
    read_side(reference, individuals, &sides[0]);
    read_side(current, individuals, &sides[1]);
    size_t room = (size_t)(sides[0].count + sides[1].count) + 1; /* an empty pair is a block too */
    double *block = weir_mem.realloc(NULL, 3 * room * sizeof(*block));
    if (block) {
        *ret_pair = (drift_pair){.value = block, .reference = block + room, .current = block + 2 * room};
        put_together(&sides[0], &sides[1], ret_pair);
        status = WEIR_OK;
    }
    weir_mem.realloc(sides, 0);
    return status;
}

void drift_pair_done(drift_pair *pair) {
    if (pair->value) weir_mem.realloc(pair->value, 0);
    *pair = (drift_pair){0};
}

/* Bin k ends with the first value up to which at least k / bins of the reference lie, so that a value that fills several bins is one of its own. What lies above the
 * reference is in its last bin. */
void drift_pair_bin(drift_pair *pair, int bins) {
    double below = 0, next = 1;
    int made = 0;
    bool open = false;
    for (int i = 0; i < pair->count; i++) {
        double reference = pair->reference[i], current = pair->current[i];
        below += reference;
        pair->value[made] = pair->value[i];
        pair->reference[made] = (open ? pair->reference[made] : 0) + reference;
        pair->current[made] = (open ? pair->current[made] : 0) + current;
        open = below * bins < next * pair->n || below == pair->n;
        if (open) continue;
        made++;
        next = floor(below * bins / pair->n) + 1;
    }
    pair->count = made + open;
}

/* What is rare is decided by both sides together, which says nothing of a difference between them. When the rest is rare itself, the rarest of the others joins it. */
void drift_pair_pool(drift_pair *pair, double expected_min) {
    double enough = expected_min * (pair->n + pair->m) / fmin(pair->n, pair->m), rest_reference = 0, rest_current = 0;
    int kept = 0, rarest = 0;
    for (int i = 0; i < pair->count; i++) {
        double reference = pair->reference[i], current = pair->current[i];
        if (reference + current < enough) {
            rest_reference += reference;
            rest_current += current;
            continue;
        }
        pair->value[kept] = pair->value[i];
        pair->reference[kept] = reference;
        pair->current[kept] = current;
        if (reference + current < pair->reference[rarest] + pair->current[rarest]) rarest = kept;
        kept++;
    }
    pair->count = kept;
    if (rest_reference + rest_current == 0) return;
    if (rest_reference + rest_current < enough && kept) {
        pair->reference[rarest] += rest_reference;
        pair->current[rarest] += rest_current;
        return;
    }
    pair->value[kept] = NAN;
    pair->reference[kept] = rest_reference;
    pair->current[kept] = rest_current;
    pair->count++;
}
