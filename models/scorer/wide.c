/* Down wide trees: a row is turned into a number a slot, then goes down eight trees at once, as in trees.c. Sums are float64, in the order of the trees. */
#include <math.h>

#include "models/scorer/internal.h"

enum { ABREAST = 8 };
static const double ZERO = (double)1e-35f; /* what is not further from 0 is 0: LightGBM's constant, a float32 */

static double in_set(const weirscore *s, const score_model *m, const score_slot *slot, double x) {
    const uint32_t *words = (const uint32_t *)score_at(s, m->words) + slot->first_word;
    if (!(x > -1 && x < 2147483648.0)) return INFINITY;
    uint32_t category = (uint32_t)(int32_t)x;
    return category / 32 < slot->word_count && (words[category / 32] >> category % 32 & 1) ? -INFINITY : INFINITY;
}

static double slot_value(const weirscore *s, const score_model *m, const score_slot *slot, double x) {
    if (fabs(x) <= ZERO) x = 0;
    switch (slot->kind) {
    case SCORE_SLOT_BELOW: return isnan(x) ? -INFINITY : x;
    case SCORE_SLOT_ABOVE: return isnan(x) ? INFINITY : x;
    case SCORE_SLOT_ZERO: return isnan(x) ? 0 : x;
    case SCORE_SLOT_ZERO_BELOW: return isnan(x) || x == 0 ? -INFINITY : x;
    case SCORE_SLOT_ZERO_ABOVE: return isnan(x) || x == 0 ? INFINITY : x;
    default: return in_set(s, m, slot, x);
    }
}

void score_wide_row(const weirscore *s, const score_model *m, const double *row, double *sums) {
    double values[SCORE_WIDE_SLOTS_MAX];
    const score_slot *slots = score_at(s, m->slots);
    const score_tree *trees = score_at(s, m->trees);
    const score_wide_node *nodes = score_at(s, m->nodes);
    for (uint64_t i = 0; i < m->slots.count; i++) values[i] = slot_value(s, m, &slots[i], row[slots[i].column]);
    for (uint32_t k = 0; k < m->output_count; k++) sums[k] = 0;
    for (size_t t = 0; t < m->trees.count; t += ABREAST) {
        size_t count = m->trees.count - t < ABREAST ? m->trees.count - t : ABREAST;
        const score_wide_node *roots[ABREAST];
        uint32_t at[ABREAST] = {0}, moved = 1;
        for (size_t k = 0; k < ABREAST; k++) roots[k] = nodes + trees[t + (k < count ? k : 0)].first;
        while (moved) {
            moved = 0;
            for (size_t k = 0; k < ABREAST; k++) {
                const score_wide_node *node = &roots[k][at[k]];
                uint32_t next = node->left + !(values[node->slot] < node->threshold);
                moved |= next ^ at[k];
                at[k] = next;
            }
        }
        for (size_t k = 0; k < count; k++) sums[trees[t + k].output] += roots[k][at[k]].value;
    }
}
