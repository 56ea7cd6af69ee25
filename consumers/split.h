/* The deterministic split of traffic between arms. */
#ifndef WEIR_CONSUMERS_SPLIT_H
#define WEIR_CONSUMERS_SPLIT_H

#include <stddef.h>

#include "core/err.h"
#include "core/row.h"

enum { WEIR_CHALLENGERS_MAX = 7, WEIR_SPLIT_PARTS_MAX = 3 * WEIR_CHALLENGERS_MAX };

/** A number in [0, 1) that depends on salt and key alone, uniform over keys and independent between salts. FNV-1a over salt, NUL, key, then MurmurHash3's 64-bit
 *  finaliser. */
double weir_split_point(const char *salt, const char *key, size_t key_len);

/** The bucket of a context's value among 1 to `buckets`, and 0 for null: booleans and whole numbers from 0 to below `buckets` have one each (1 + value), other numbers (in decimals) and texts
 *  share all of them by their points under the salt. The same salt, value and number of buckets, the same bucket. */
int weir_split_bucket(const char *salt, const weir_datum *value, int buckets);

/* Which points belong to which challenger; all others are the champion's.
 *
 *   three challengers, shares 0.1, 0.25, 0:
 *   0         1/3        2/3         1
 *   |1·········|2222222···|···········|       every challenger grows from the start of its own zone
 *   shares 0.4, 0, 0: |111111111 11········|  and, where that is full, into the zones of others that they do not use, from the left
 *
 * So with one challenger its points are those below its share. Raising a share moves keys from the champion to that challenger and nobody else, as long as no share is above
 * 1 / challengers, or that challenger is the only one that has any. */
typedef struct weir_split_map {
    int count;
    struct {
        double from, to; /* [from, to) */
        int challenger;
    } parts[WEIR_SPLIT_PARTS_MAX];
} weir_split_map;

/** shares [count]: of the challengers; each in [0, 1], together at most 1 (within 1e-9). 1 ≤ count ≤ WEIR_CHALLENGERS_MAX.
 *  Errors: WEIR_EINVAL for shares or a count out of range. */
weir_status weir_split_map_init(weir_split_map *map, const double *shares, int count, weir_err *err) WEIR_MUST_CHECK;
/** The challenger that a point in [0, 1) belongs to; -1: the champion. O(parts), no allocation. */
int weir_split_map_at(const weir_split_map *map, double point);

#endif
