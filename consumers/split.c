#include "consumers/split.h"

#include <stdint.h>

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
