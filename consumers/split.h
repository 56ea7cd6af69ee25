/* The deterministic split of traffic between arms. */
#ifndef WEIR_CONSUMERS_SPLIT_H
#define WEIR_CONSUMERS_SPLIT_H

#include <stddef.h>

/** A number in [0, 1) that depends on salt and key alone, uniform over keys and independent between salts: the key's arm is the challenger's when it is below the
 *  challenger's share, so raising the share only moves keys towards it. FNV-1a over salt, NUL, key, then MurmurHash3's 64-bit finaliser. */
double weir_split_point(const char *salt, const char *key, size_t key_len);

#endif
