/* Models of LightGBM as wide trees: "at most t" is "below the next number above t", and every way of a split with missing values, zeros and sets is a slot of its own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"
#include "models/scorer_compile_internal.h"

/* A slot as it is looked for: equal ones are one. */
typedef struct wanted_slot {
    const weir_lgb_tree *tree; /* of a set */
    int set;
    uint32_t kind, column;
} wanted_slot;

typedef struct slot_list {
    wanted_slot slots[SCORE_WIDE_SLOTS_MAX];
    uint32_t count;
    uint64_t words; /* of all sets */
} slot_list;

static int set_words(const weir_lgb_tree *tree, int set) {
    return tree->set_first[set + 1] - tree->set_first[set];
}

static bool same_set(const wanted_slot *a, const wanted_slot *b) {
    int words = set_words(a->tree, a->set);
    return words == set_words(b->tree, b->set) &&
           !memcmp(a->tree->set_words + a->tree->set_first[a->set], b->tree->set_words + b->tree->set_first[b->set], (size_t)words * sizeof(uint32_t));
}

/* How a split sees its column. One of a set compares with 0. */
static wanted_slot slot_of(const weir_lgb_tree *tree, int split) {
    int decision = tree->decision[split], missing = decision & WEIR_LGB_MISSING_MASK;
    bool left = decision & WEIR_LGB_MISSING_LEFT;
    wanted_slot slot = {.column = (uint32_t)tree->column[split]};
    if (decision & WEIR_LGB_CATEGORICAL) {
        slot.kind = SCORE_SLOT_SET;
        slot.tree = tree;
        slot.set = (int)tree->threshold[split];
    } else if (missing == WEIR_LGB_MISSING_ZERO) {
        slot.kind = left ? SCORE_SLOT_ZERO_BELOW : SCORE_SLOT_ZERO_ABOVE;
    } else if (missing == WEIR_LGB_MISSING_NAN) {
        slot.kind = left ? SCORE_SLOT_BELOW : SCORE_SLOT_ABOVE;
    } else {
        slot.kind = SCORE_SLOT_ZERO;
    }
    return slot;
}

/* Its number; SCORE_WIDE_SLOTS_MAX: there is no room for one more. */
static uint32_t find_slot(slot_list *list, wanted_slot wanted) {
    for (uint32_t i = 0; i < list->count; i++) {
        const wanted_slot *slot = &list->slots[i];
        if (slot->kind == wanted.kind && slot->column == wanted.column && (wanted.kind != SCORE_SLOT_SET || same_set(slot, &wanted))) return i;
    }
    if (list->count == SCORE_WIDE_SLOTS_MAX) return SCORE_WIDE_SLOTS_MAX;
    if (wanted.kind == SCORE_SLOT_SET) list->words += (uint64_t)set_words(wanted.tree, wanted.set);
    list->slots[list->count] = wanted;
    return list->count++;
}

/* Nodes [2 · leaf_count − 1]; from: scratch of as many. */
static bool link_wide(slot_list *slots, const weir_lgb_tree *tree, score_wide_node *out, int *from) {
    uint32_t placed = 1;
    from[0] = tree->leaf_count > 1 ? 0 : -1;
    for (uint32_t i = 0; i < placed; i++) {
        int split = from[i];
        if (split < 0) {
            out[i] = (score_wide_node){.threshold = INFINITY, .left = i, .value = tree->value[~split]};
            continue;
        }
        bool set = tree->decision[split] & WEIR_LGB_CATEGORICAL;
        uint32_t slot = find_slot(slots, slot_of(tree, split));
        if (slot == SCORE_WIDE_SLOTS_MAX) return false;
        out[i] = (score_wide_node){.threshold = set ? 0 : nextafter(tree->threshold[split], INFINITY), .slot = slot, .left = placed};
        from[placed++] = tree->left[split];
        from[placed++] = tree->right[split];
    }
    return true;
}

static weir_status put_slots(weir_score_writer *w, const slot_list *list, score_model *m, weir_err *err) {
    void *room = NULL, *words = NULL;
    uint32_t used = 0;
    weir_status status = weir_score_room(w, list->words, sizeof(uint32_t), &m->words, &words, err);
    for (uint32_t i = 0; !status && i < list->count; i++) {
        const wanted_slot *slot = &list->slots[i];
        if (slot->kind != SCORE_SLOT_SET) continue;
        uint32_t count = (uint32_t)set_words(slot->tree, slot->set);
        memcpy((uint32_t *)words + used, slot->tree->set_words + slot->tree->set_first[slot->set], count * sizeof(uint32_t));
        used += count;
    }
    if (!status) status = weir_score_room(w, list->count, sizeof(score_slot), &m->slots, &room, err);
    used = 0;
    for (uint32_t i = 0; !status && i < list->count; i++) {
        const wanted_slot *slot = &list->slots[i];
        uint32_t count = slot->kind == SCORE_SLOT_SET ? (uint32_t)set_words(slot->tree, slot->set) : 0;
        ((score_slot *)room)[i] = (score_slot){slot->kind, slot->column, used, count};
        used += count;
    }
    return status;
}

static weir_status put_wide_trees(weir_score_writer *w, const weir_lgb *lgb, slot_list *slots, score_model *m, weir_err *err) {
    uint64_t count = 0;
    int most = 0;
    void *trees = NULL, *nodes = NULL;
    for (int t = 0; t < lgb->tree_count; t++) {
        count += 2 * (uint64_t)lgb->trees[t].leaf_count - 1;
        if (lgb->trees[t].leaf_count > most) most = lgb->trees[t].leaf_count;
    }
    if (count > UINT32_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "the trees have more nodes than a compiled model has room for");
    weir_status status = weir_score_room(w, (uint64_t)lgb->tree_count, sizeof(score_tree), &m->trees, &trees, err);
    uint32_t first = 0;
    for (int t = 0; !status && t < lgb->tree_count; t++) {
        uint32_t own = 2 * (uint32_t)lgb->trees[t].leaf_count - 1;
        ((score_tree *)trees)[t] = (score_tree){.output = (uint32_t)(t % lgb->output_count), .first = first, .node_count = own};
        first += own;
    }
    if (!status) status = weir_score_room(w, count, sizeof(score_wide_node), &m->nodes, &nodes, err);
    int *from = weir_models_calloc(2 * (size_t)most + 1, sizeof *from);
    if (!status && !from) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a compiled model");
    first = 0;
    for (int t = 0; !status && t < lgb->tree_count; t++) {
        if (!link_wide(slots, &lgb->trees[t], (score_wide_node *)nodes + first, from))
            status =
                WEIR_FAIL(err, WEIR_ELIMIT, "the splits are of more sets of categories than the %d that a compiled model has room for", SCORE_WIDE_SLOTS_MAX);
        first += 2 * (uint32_t)lgb->trees[t].leaf_count - 1;
    }
    weir_models_free(from);
    return status;
}

weir_status weir_score_put_lightgbm(weir_score_writer *w, const weir_lgb *lgb, score_model *m, weir_err *err) {
    static const score_link links[] = {[WEIR_LGB_VALUE] = SCORE_LINK_VALUE,
                                       [WEIR_LGB_LOGISTIC] = SCORE_LINK_PLAIN_LOGISTIC,
                                       [WEIR_LGB_SOFTMAX] = SCORE_LINK_SOFTMAX,
                                       [WEIR_LGB_EXP] = SCORE_LINK_EXP};
    slot_list *slots = weir_models_calloc(1, sizeof *slots);
    if (!slots) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a compiled model");
    (void)find_slot(slots, (wanted_slot){.kind = SCORE_SLOT_BELOW}); /* the one of leaves */
    m->kind = SCORE_WIDE;
    m->link = links[lgb->link];
    m->link_a = lgb->sigmoid;
    m->link_b = lgb->divisor;
    weir_status status = put_wide_trees(w, lgb, slots, m, err);
    if (!status) status = put_slots(w, slots, m, err);
    weir_models_free(slots);
    return status;
}
