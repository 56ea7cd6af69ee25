/* Sliced trees: the rows of a block stand side by side in the bytes of vector registers, each split is compared for all of them at once, and the answers choose the leaves from the bottom up.
 * Every split of a tree is looked at, not only those on a row's way; for trees of up to eight levels that is still far less work than walking, which waits for memory at each step.
 *
 *   height 3     a split at p, in preorder: its left subtree begins at p + 1, its right one at p + 4
 *
 *                  leaf(p, h) = split(p) ? 2^(h−1) + leaf(p + 2^(h−1), h − 1) : leaf(p + 1, h − 1)
 *
 * The idea of deciding a tree by all its comparisons is that of Lucchese et al., QuickScorer, SIGIR 2015, and of its vectorised successor (Lucchese et al., Exploiting CPU SIMD
 * Extensions to Speed-up Document Scoring with Tree Ensembles, SIGIR 2016); ranks in place of values that of Ye et al., RapidScorer, KDD 2018. */
#include <math.h>
#include <string.h>

#include "models/scorer/internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx2,popcnt")))
#define AVX2 __attribute__((target("avx2,popcnt")))
#define INLINE static inline __attribute__((always_inline))

/* ---- AVX-512: 64 rows in a register ---- */

AVX512 static void rank_512(const score_ranks *ranks, const float *values, uint8_t *below, uint8_t *above) {
    const __m512 pivots = _mm512_load_ps(ranks->pivot);
    for (int r = 0; r < SCORE_BLOCK_ROWS; r++) {
        __m512 x = _mm512_set1_ps(values[r]);
        uint32_t part = (uint32_t)_mm_popcnt_u32(_mm512_cmp_ps_mask(pivots, x, _CMP_LE_OQ));
        uint32_t rank = 16 * part + (uint32_t)_mm_popcnt_u32(_mm512_cmp_ps_mask(_mm512_load_ps(ranks->threshold + 16 * (part & 15)), x, _CMP_LE_OQ));
        below[r] = (uint8_t)rank; /* of a missing value 0: no threshold is at or below it */
        above[r] = isnan(values[r]) ? (uint8_t)ranks->count : (uint8_t)rank;
    }
}

typedef struct tree_512 {
    const score_slice *slices;
    const uint8_t *bytes;
} tree_512;

AVX512 INLINE __mmask64 split_512(const tree_512 *t, uint32_t p) {
    const score_slice *slice = &t->slices[p];
    return _mm512_cmpgt_epu8_mask(_mm512_load_si512(t->bytes + (size_t)slice->slot * SCORE_BLOCK_ROWS), _mm512_set1_epi8((char)slice->rank));
}

/* The number of the leaf, from 0, of a subtree of h levels whose first split is at p. One function a height: they are laid into each other, and p is a constant in the end. */
AVX512 INLINE __m512i leaf1_512(const tree_512 *t, uint32_t p) {
    return _mm512_maskz_set1_epi8(split_512(t, p), 1);
}
#define LEAF_512(h, lower)                                                                                                                                     \
    AVX512 INLINE __m512i leaf##h##_512(const tree_512 *t, uint32_t p) {                                                                                       \
        const uint32_t half = 1u << (h - 1);                                                                                                                   \
        __m512i left = leaf##lower##_512(t, p + 1), right = _mm512_or_si512(leaf##lower##_512(t, p + half), _mm512_set1_epi8((char)half));                     \
        return _mm512_mask_blend_epi8(split_512(t, p), left, right);                                                                                           \
    }
LEAF_512(2, 1)
LEAF_512(3, 2)
LEAF_512(4, 3)
LEAF_512(5, 4)
LEAF_512(6, 5)
AVX512 static __m512i leaf6_apart_512(const tree_512 *t, uint32_t p) {
    return leaf6_512(t, p);
}
#define leaf6_512 leaf6_apart_512 /* deeper trees call it: code for 255 splits in a row helps nobody */
LEAF_512(7, 6)
LEAF_512(8, 7)
#undef leaf6_512

AVX512 INLINE __m512i leaf_512(const tree_512 *t, uint32_t depth) {
    switch (depth) {
    case 1: return leaf1_512(t, 0);
    case 2: return leaf2_512(t, 0);
    case 3: return leaf3_512(t, 0);
    case 4: return leaf4_512(t, 0);
    case 5: return leaf5_512(t, 0);
    case 6: return leaf6_512(t, 0);
    case 7: return leaf7_512(t, 0);
    default: return leaf8_512(t, 0);
    }
}

/* Leaves of sixteen rows; of up to 64 leaves they are looked up in registers. */
AVX512 INLINE __m512 value_512(const float *leaves, __m512i index, uint32_t depth) {
    if (depth <= 4) return _mm512_permutexvar_ps(index, _mm512_maskz_loadu_ps((__mmask16)((1u << (1u << depth)) - 1), leaves));
    __m512 low = _mm512_permutex2var_ps(_mm512_loadu_ps(leaves), index, _mm512_loadu_ps(leaves + 16));
    if (depth == 5) return low;
    if (depth > 6) return _mm512_i32gather_ps(index, leaves, 4);
    __m512 high = _mm512_permutex2var_ps(_mm512_loadu_ps(leaves + 32), index, _mm512_loadu_ps(leaves + 48));
    return _mm512_mask_blend_ps(_mm512_test_epi32_mask(index, _mm512_set1_epi32(32)), low, high);
}

AVX512 INLINE void add_512(const weirscore *s, const score_model *m, const uint8_t *bytes, float *sums, uint32_t depth) {
    const score_tree *trees = score_at(s, m->trees);
    const float *leaves = score_at(s, m->leaves);
    tree_512 tree = {score_at(s, m->slices), bytes};
    for (size_t t = 0; t < m->trees.count; t++, leaves += (size_t)1 << depth, tree.slices += ((size_t)1 << depth) - 1) {
        float *sum = sums + (size_t)trees[t].output * SCORE_BLOCK_ROWS;
        __m512i leaf = leaf_512(&tree, depth);
        const __m128i quarters[4] = {_mm512_castsi512_si128(leaf), _mm512_extracti32x4_epi32(leaf, 1), _mm512_extracti32x4_epi32(leaf, 2),
                                     _mm512_extracti32x4_epi32(leaf, 3)};
        for (int q = 0; q < 4; q++)
            _mm512_storeu_ps(sum + 16 * q, _mm512_add_ps(_mm512_loadu_ps(sum + 16 * q), value_512(leaves, _mm512_cvtepu8_epi32(quarters[q]), depth)));
    }
}

AVX512 static void add_sliced_512(const weirscore *s, const score_model *m, const uint8_t *bytes, float *sums) {
    switch (m->depth) {
    case 1: add_512(s, m, bytes, sums, 1); return;
    case 2: add_512(s, m, bytes, sums, 2); return;
    case 3: add_512(s, m, bytes, sums, 3); return;
    case 4: add_512(s, m, bytes, sums, 4); return;
    case 5: add_512(s, m, bytes, sums, 5); return;
    case 6: add_512(s, m, bytes, sums, 6); return;
    case 7: add_512(s, m, bytes, sums, 7); return;
    default: add_512(s, m, bytes, sums, 8); return;
    }
}

/* ---- AVX2: twice 32 rows ---- */

AVX2 static void rank_256(const score_ranks *ranks, const float *values, uint8_t *below, uint8_t *above) {
    const __m256 low = _mm256_loadu_ps(ranks->pivot), high = _mm256_loadu_ps(ranks->pivot + 8);
    for (int r = 0; r < SCORE_BLOCK_ROWS; r++) {
        __m256 x = _mm256_set1_ps(values[r]);
        uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(low, x, _CMP_LE_OQ)) | (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(high, x, _CMP_LE_OQ)) << 8;
        uint32_t part = (uint32_t)_mm_popcnt_u32(mask);
        const float *from = ranks->threshold + 16 * (part & 15);
        mask = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(from), x, _CMP_LE_OQ)) |
               (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(from + 8), x, _CMP_LE_OQ)) << 8;
        uint32_t rank = 16 * part + (uint32_t)_mm_popcnt_u32(mask);
        below[r] = (uint8_t)rank;
        above[r] = isnan(values[r]) ? (uint8_t)ranks->count : (uint8_t)rank;
    }
}

/* There is no comparison of unsigned bytes: x > j just where max(x, j + 1) is x, and j is below 255. */
AVX2 INLINE __m256i split_256(const tree_512 *t, uint32_t p) {
    const score_slice *slice = &t->slices[p];
    __m256i x = _mm256_loadu_si256((const __m256i *)(t->bytes + (size_t)slice->slot * SCORE_BLOCK_ROWS));
    return _mm256_cmpeq_epi8(_mm256_max_epu8(x, _mm256_set1_epi8((char)(slice->rank + 1))), x);
}

AVX2 INLINE __m256i leaf1_256(const tree_512 *t, uint32_t p) {
    return _mm256_and_si256(split_256(t, p), _mm256_set1_epi8(1));
}
#define LEAF_256(h, lower)                                                                                                                                     \
    AVX2 INLINE __m256i leaf##h##_256(const tree_512 *t, uint32_t p) {                                                                                         \
        const uint32_t half = 1u << (h - 1);                                                                                                                   \
        __m256i left = leaf##lower##_256(t, p + 1), right = _mm256_or_si256(leaf##lower##_256(t, p + half), _mm256_set1_epi8((char)half));                     \
        return _mm256_blendv_epi8(left, right, split_256(t, p));                                                                                               \
    }
LEAF_256(2, 1)
LEAF_256(3, 2)
LEAF_256(4, 3)
LEAF_256(5, 4)
LEAF_256(6, 5)
AVX2 static __m256i leaf6_apart_256(const tree_512 *t, uint32_t p) {
    return leaf6_256(t, p);
}
#define leaf6_256 leaf6_apart_256
LEAF_256(7, 6)
LEAF_256(8, 7)
#undef leaf6_256

AVX2 INLINE __m256i leaf_256(const tree_512 *t, uint32_t depth) {
    switch (depth) {
    case 1: return leaf1_256(t, 0);
    case 2: return leaf2_256(t, 0);
    case 3: return leaf3_256(t, 0);
    case 4: return leaf4_256(t, 0);
    case 5: return leaf5_256(t, 0);
    case 6: return leaf6_256(t, 0);
    case 7: return leaf7_256(t, 0);
    default: return leaf8_256(t, 0);
    }
}

AVX2 INLINE void add_256(const weirscore *s, const score_model *m, const uint8_t *bytes, float *sums, uint32_t depth) {
    const score_tree *trees = score_at(s, m->trees);
    for (int half = 0; half < SCORE_BLOCK_ROWS; half += 32) {
        const float *leaves = score_at(s, m->leaves);
        tree_512 tree = {score_at(s, m->slices), bytes + half};
        for (size_t t = 0; t < m->trees.count; t++, leaves += (size_t)1 << depth, tree.slices += ((size_t)1 << depth) - 1) {
            float *sum = sums + (size_t)trees[t].output * SCORE_BLOCK_ROWS + half;
            uint8_t leaf[32];
            _mm256_storeu_si256((__m256i *)leaf, leaf_256(&tree, depth));
            for (int q = 0; q < 32; q += 8) {
                __m256i index = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(leaf + q)));
                _mm256_storeu_ps(sum + q, _mm256_add_ps(_mm256_loadu_ps(sum + q), _mm256_i32gather_ps(leaves, index, 4)));
            }
        }
    }
}

AVX2 static void add_sliced_256(const weirscore *s, const score_model *m, const uint8_t *bytes, float *sums) {
    switch (m->depth) {
    case 1: add_256(s, m, bytes, sums, 1); return;
    case 2: add_256(s, m, bytes, sums, 2); return;
    case 3: add_256(s, m, bytes, sums, 3); return;
    case 4: add_256(s, m, bytes, sums, 4); return;
    case 5: add_256(s, m, bytes, sums, 5); return;
    case 6: add_256(s, m, bytes, sums, 6); return;
    case 7: add_256(s, m, bytes, sums, 7); return;
    default: add_256(s, m, bytes, sums, 8); return;
    }
}

const score_kernels *score_kernels_here(void) {
    static const score_kernels avx512 = {"avx512", rank_512, add_sliced_512}, avx2 = {"avx2", rank_256, add_sliced_256};
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) return &avx512;
    return __builtin_cpu_supports("avx2") ? &avx2 : NULL;
}

#else

const score_kernels *score_kernels_here(void) {
    return NULL;
}

#endif
