#include "consumers/split.h"

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#define SLACK 1e-9 /* of the sum of shares */

static uint64_t fnv1a(uint64_t hash, const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

double weir_split_point(const char *salt, const char *key, size_t key_len) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    size_t salt_len = 0;
    while (salt[salt_len]) salt_len++;
    h = fnv1a(h, salt, salt_len + 1); /* with the NUL, so that ("ab", "c") and ("a", "bc") differ */
    h = fnv1a(h, key, key_len);
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    h ^= h >> 33;
    return (double)(h >> 11) * 0x1.0p-53;
}

int weir_split_bucket(const char *salt, const weir_datum *value, int buckets) {
    char number[24];
    if (value->type == WEIR_T_NULL) return 0;
    if (value->type == WEIR_T_STR) return 1 + (int)(weir_split_point(salt, value->p, value->len) * buckets);
    if (value->i >= 0 && value->i < buckets) return 1 + (int)value->i;
    return 1 + (int)(weir_split_point(salt, number, (size_t)snprintf(number, sizeof number, "%" PRId64, value->i)) * buckets);
}

/* ---- several challengers ---- */

/* Gives [from, from + length) to a challenger; returns how much of `wanted` that was. */
static double give(weir_split_map *map, int challenger, double from, double length, double wanted) {
    double taken = fmin(length, wanted);
    if (taken <= 0) return 0;
    map->parts[map->count].from = from;
    map->parts[map->count].to = from + taken;
    map->parts[map->count++].challenger = challenger;
    return taken;
}

static weir_status check(const double *shares, int count, weir_err *err) {
    double sum = 0;
    if (count < 1 || count > WEIR_CHALLENGERS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%d challengers, expected 1 to %d", count, WEIR_CHALLENGERS_MAX);
    for (int c = 0; c < count; c++) {
        if (!(shares[c] >= 0 && shares[c] <= 1)) return WEIR_FAIL(err, WEIR_EINVAL, "share of challenger %d is %g, expected 0 to 1", c + 1, shares[c]);
        sum += shares[c];
    }
    return sum <= 1 + SLACK ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "shares of the challengers sum to %.12g, expected at most 1", sum);
}

weir_status weir_split_map_init(weir_split_map *map, const double *shares, int count, weir_err *err) {
    double used[WEIR_CHALLENGERS_MAX], zone = 1.0 / count;
    weir_status status = check(shares, count, err);
    if (status) return status;
    *map = (weir_split_map){0};
    for (int c = 0; c < count; c++) used[c] = give(map, c, c * zone, zone, shares[c]);
    for (int c = 0; c < count; c++) {
        double wanted = shares[c] - used[c];
        for (int z = 0; z < count && shares[c] > zone && wanted > 0; z++) {
            double taken = give(map, c, z * zone + used[z], zone - used[z], wanted);
            used[z] += taken;
            wanted -= taken;
        }
    }
    return WEIR_OK;
}

int weir_split_map_at(const weir_split_map *map, double point) {
    for (int i = 0; i < map->count; i++) {
        if (point >= map->parts[i].from && point < map->parts[i].to) return map->parts[i].challenger;
    }
    return -1;
}
