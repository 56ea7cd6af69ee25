/* Down the trees. A row alone goes down eight trees at once, so that the processor always has a comparison to make while it waits for the node of another tree; rows together go down one tree
 * eight at a time, or through the comparisons of sliced trees (sliced.c). Sums are in the order of the trees. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "models/scorer/internal.h"

enum { ABREAST = 8 };

/* Values become float32 as in training: what it cannot hold becomes its largest number, on the same side of every threshold. */
static inline float narrow(double value) {
    return value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : (float)value;
}

static inline void set_slots(float value, float *slots) {
    bool missing = isnan(value);
    slots[0] = missing ? -INFINITY : value;
    slots[1] = missing ? INFINITY : value;
}

void score_fill_slots(const weirscore *s, const score_model *m, const double *row, float *values) {
    const uint32_t *columns = score_at(s, m->columns);
    values[0] = 0; /* for trees that split nothing */
    for (size_t i = 0; i < m->columns.count; i++) set_slots(narrow(row[columns[i]]), values + 2 * i);
}

/* ---- one row ---- */

/* depth is a constant where this is called: the loops are unrolled. */
static inline __attribute__((always_inline)) void perfect_row(const weirscore *s, const score_model *m, const float *values, float *sums, uint32_t depth) {
    const score_tree *trees = score_at(s, m->trees);
    const score_node *nodes = score_at(s, m->nodes);
    const float *leaves = score_at(s, m->leaves);
    const size_t splits = ((size_t)1 << depth) - 1;
    size_t t = 0;
    for (; t + ABREAST <= m->trees.count; t += ABREAST, nodes += ABREAST * splits, leaves += ABREAST * (splits + 1)) {
        uint32_t at[ABREAST] = {0};
        for (uint32_t level = 0; level < depth; level++) {
            for (uint32_t k = 0; k < ABREAST; k++) {
                const score_node *node = &nodes[k * splits + at[k]];
                at[k] = 2 * at[k] + 1 + !(values[node->slot] < node->threshold);
            }
        }
        for (uint32_t k = 0; k < ABREAST; k++) sums[trees[t + k].output] += leaves[k * (splits + 1) + at[k] - splits];
    }
    for (; t < m->trees.count; t++, nodes += splits, leaves += splits + 1) {
        size_t at = 0;
        for (uint32_t level = 0; level < depth; level++) at = 2 * at + 1 + !(values[nodes[at].slot] < nodes[at].threshold);
        sums[trees[t].output] += leaves[at - splits];
    }
}

/* The sets of a model's splits by categories. */
typedef struct set_list {
    const score_slot *sets;
    const uint32_t *words;
} set_list;

static set_list sets_of(const weirscore *s, const score_model *m) {
    return (set_list){score_at(s, m->slots), score_at(s, m->words)};
}

/* What is no category goes left as one that is in no set does. Missing values are at ∓∞, where no other is. */
static bool left_of_set(const set_list *list, uint32_t number, float x) {
    const score_slot *set = &list->sets[number];
    if (!(x >= 0 && x < (float)SCORE_CATEGORY_END)) return x != INFINITY;
    uint32_t category = (uint32_t)x;
    return category / 32 >= set->word_count || !(list->words[set->first_word + category / 32] >> category % 32 & 1);
}

/* with_sets is a constant where this is called: models without sets pay nothing for them. */
static inline __attribute__((always_inline)) uint32_t next_linked(const set_list *list, const score_link_node *node, float x, bool with_sets) {
    bool left = with_sets && isnan(node->threshold) ? left_of_set(list, node->set, x) : x < node->threshold;
    return node->left + !left;
}

/* A leaf leads to itself, so all go on until none moves. */
static inline __attribute__((always_inline)) void linked_row(const weirscore *s, const score_model *m, const float *values, float *sums, bool with_sets) {
    const set_list sets = sets_of(s, m);
    const score_tree *trees = score_at(s, m->trees);
    const score_link_node *nodes = score_at(s, m->nodes);
    for (size_t t = 0; t < m->trees.count; t += ABREAST) {
        size_t count = m->trees.count - t < ABREAST ? m->trees.count - t : ABREAST;
        const score_link_node *roots[ABREAST];
        uint32_t at[ABREAST] = {0}, moved = 1;
        for (size_t k = 0; k < ABREAST; k++) roots[k] = nodes + trees[t + (k < count ? k : 0)].first;
        while (moved) {
            moved = 0;
            for (size_t k = 0; k < ABREAST; k++) {
                const score_link_node *node = &roots[k][at[k]];
                uint32_t next = next_linked(&sets, node, values[node->slot], with_sets);
                moved |= next ^ at[k];
                at[k] = next;
            }
        }
        for (size_t k = 0; k < count; k++) sums[trees[t + k].output] += roots[k][at[k]].value;
    }
}

void score_trees_row(const weirscore *s, const score_model *m, const float *values, float *sums) {
    for (uint32_t k = 0; k < m->output_count; k++) sums[k] = m->base;
    if (!m->perfect) {
        if (m->slots.count)
            linked_row(s, m, values, sums, true);
        else
            linked_row(s, m, values, sums, false);
        return;
    }
    switch (m->depth) {
    case 0: perfect_row(s, m, values, sums, 0); return;
    case 1: perfect_row(s, m, values, sums, 1); return;
    case 2: perfect_row(s, m, values, sums, 2); return;
    case 3: perfect_row(s, m, values, sums, 3); return;
    case 4: perfect_row(s, m, values, sums, 4); return;
    case 5: perfect_row(s, m, values, sums, 5); return;
    case 6: perfect_row(s, m, values, sums, 6); return;
    case 7: perfect_row(s, m, values, sums, 7); return;
    default: perfect_row(s, m, values, sums, 8); return;
    }
}

/* ---- several rows ---- */

/* values [slots][ABREAST] of eight rows, one tree. */
static void perfect_eight(const score_node *nodes, const float *leaves, uint32_t depth, const float *values, float *sums) {
    uint32_t at[ABREAST] = {0};
    for (uint32_t level = 0; level < depth; level++) {
        for (uint32_t k = 0; k < ABREAST; k++) {
            const score_node *node = &nodes[at[k]];
            at[k] = 2 * at[k] + 1 + !(values[node->slot * ABREAST + k] < node->threshold);
        }
    }
    for (uint32_t k = 0; k < ABREAST; k++) sums[k] += leaves[at[k] - ((UINT32_C(1) << depth) - 1)];
}

static inline __attribute__((always_inline)) void linked_eight(const set_list *sets, const score_link_node *root, const float *values, float *sums,
                                                               bool with_sets) {
    uint32_t at[ABREAST] = {0}, moved = 1;
    while (moved) {
        moved = 0;
        for (uint32_t k = 0; k < ABREAST; k++) {
            const score_link_node *node = &root[at[k]];
            uint32_t next = next_linked(sets, node, values[node->slot * ABREAST + k], with_sets);
            moved |= next ^ at[k];
            at[k] = next;
        }
    }
    for (uint32_t k = 0; k < ABREAST; k++) sums[k] += root[at[k]].value;
}

/* rows beyond n are taken as the last one: nobody looks at their sums. */
static void fill_eight(const weirscore *s, const score_model *m, const double *rows, size_t n, float *values) {
    const uint32_t *columns = score_at(s, m->columns);
    for (size_t k = 0; k < ABREAST; k++) {
        const double *row = rows + (k < n ? k : n - 1) * m->fitted_count;
        values[k] = 0;
        for (size_t i = 0; i < m->columns.count; i++) {
            float both[2];
            set_slots(narrow(row[columns[i]]), both);
            values[2 * i * ABREAST + k] = both[0];
            values[(2 * i + 1) * ABREAST + k] = both[1];
        }
    }
}

enum { EIGHT_SLOTS_MAX = 2048 }; /* 64 KiB on the stack */

static void add_eight(const weirscore *s, const score_model *m, const double *rows, size_t n, float *sums) {
    float values[EIGHT_SLOTS_MAX * ABREAST];
    const score_tree *trees = score_at(s, m->trees);
    const set_list sets = sets_of(s, m);
    size_t splits = ((size_t)1 << m->depth) - 1;
    fill_eight(s, m, rows, n, values);
    for (size_t t = 0; t < m->trees.count; t++) {
        float *sum = sums + (size_t)trees[t].output * SCORE_BLOCK_ROWS;
        if (m->perfect)
            perfect_eight((const score_node *)score_at(s, m->nodes) + t * splits, (const float *)score_at(s, m->leaves) + t * (splits + 1), m->depth, values,
                          sum);
        else if (m->slots.count)
            linked_eight(&sets, (const score_link_node *)score_at(s, m->nodes) + trees[t].first, values, sum, true);
        else
            linked_eight(&sets, (const score_link_node *)score_at(s, m->nodes) + trees[t].first, values, sum, false);
    }
}

static void add_one_by_one(const weirscore *s, const score_model *m, const double *rows, size_t n, float *sums) {
    float values[SCORE_SLOTS_MAX], one[SCORE_OUTPUTS_MAX];
    for (size_t r = 0; r < n; r++) {
        score_fill_slots(s, m, rows + r * m->fitted_count, values);
        score_trees_row(s, m, values, one);
        for (uint32_t k = 0; k < m->output_count; k++) sums[k * SCORE_BLOCK_ROWS + r] = one[k];
    }
}

/* Rows beyond n get the ranks of nothing, and sums that nobody looks at. */
static void add_sliced(const weirscore *s, const score_model *m, const double *rows, size_t n, float *sums) {
    uint8_t bytes[SCORE_SLICED_SLOTS_MAX * SCORE_BLOCK_ROWS] __attribute__((aligned(64)));
    float values[SCORE_BLOCK_ROWS] __attribute__((aligned(64))) = {0};
    const uint32_t *columns = score_at(s, m->columns);
    const score_ranks *ranks = score_at(s, m->ranks);
    for (size_t i = 0; i < m->ranks.count; i++) {
        bool same = i && ranks[i].column == ranks[i - 1].column;
        for (size_t r = 0; r < n && !same; r++) values[r] = narrow(rows[r * m->fitted_count + columns[ranks[i].column]]);
        s->kernels->rank(&ranks[i], values, bytes + 2 * i * SCORE_BLOCK_ROWS, bytes + (2 * i + 1) * SCORE_BLOCK_ROWS);
    }
    s->kernels->add_sliced(s, m, bytes, sums);
}

/* Fewer rows are done sooner without; those of a few trees, too, which do not make up for finding the ranks of values. */
enum { FEW_TREES = 80, SLICED_FROM_ROWS = 16, SLICED_FROM_ROWS_OF_FEW = 32 };

void score_trees_block(const weirscore *s, const score_model *m, const double *rows, size_t n, float *sums) {
    for (size_t i = 0; i < (size_t)m->output_count * SCORE_BLOCK_ROWS; i++) sums[i] = m->base;
    if (s->kernels && m->slices.count && n >= (m->trees.count < FEW_TREES ? SLICED_FROM_ROWS_OF_FEW : SLICED_FROM_ROWS)) {
        add_sliced(s, m, rows, n, sums);
        return;
    }
    if (2 * m->columns.count > EIGHT_SLOTS_MAX) {
        add_one_by_one(s, m, rows, n, sums);
        return;
    }
    for (size_t r = 0, left; r < n; r += ABREAST) {
        left = n - r < ABREAST ? n - r : ABREAST;
        if (left <= SCORE_ALONE_ROWS)
            add_one_by_one(s, m, rows + r * m->fitted_count, left, sums + r);
        else
            add_eight(s, m, rows + r * m->fitted_count, left, sums + r);
    }
}
