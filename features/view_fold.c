/* What a state keeps of records in order, beyond the tail: accumulators, tiles, and the newest records that meet a condition.
 *
 * A base holds the records that left the tail, which nothing can change any more. A head goes on from there over the tail, record by record as values are asked for, so that
 * a record in order costs one step; it is made again from the base when a record comes before what it has gone over. Both take the same records in the same order, so a
 * value has the same bits wherever the border between base and tail stands. */
#include <limits.h>
#include <string.h>

#include "features/view_internal.h"

static fold_block *block_at(const view_fold *fold, unsigned char *blocks) {
    return (fold_block *)(void *)(blocks + fold->offset);
}

const fold_block *fold_base(const weir_state *state, const view_fold *fold) {
    return state->base_used ? block_at(fold, state->base) : NULL;
}

static fold_merged *merged_of(const view_fold *fold, fold_block *block) {
    return (fold_merged *)(void *)(block->entries + (size_t)fold->ring * fold_entry_size(fold));
}

void fold_copy(const view_fold *fold, fold_block *to, const fold_block *from) {
    *to = (fold_block){.count = from ? from->count : 0};
    if (fold->kind == WEIR_WINDOW_SLIDING) merged_of(fold, to)->newest = INT64_MIN;
    for (int i = 0; i < to->count; i++) memcpy(fold_entry(fold, to, i), fold_entry(fold, from, i), fold_entry_size(fold));
}

/* A new entry behind the newest; the oldest goes when the ring is full. */
static unsigned char *push(const view_fold *fold, fold_block *block, int64_t key) {
    if (block->count == fold->ring)
        block->first = (block->first + 1) % fold->ring;
    else
        block->count++;
    unsigned char *entry = fold_entry(fold, block, block->count - 1);
    memcpy(entry, &key, sizeof(key));
    return entry;
}

/* The accumulator that the record belongs to. */
static void *acc_for(const view_fold *fold, fold_block *block, int64_t time_us) {
    unsigned char *newest = block->count ? fold_entry(fold, block, block->count - 1) : NULL;
    int64_t key = 0;
    bool same = newest != NULL;
    switch (fold->kind) {
    case WEIR_WINDOW_SESSION:
        same = newest && time_minus(time_us, fold_key(newest)) <= fold->size_us;
        key = time_us;
        break;
    case WEIR_WINDOW_TO_DATE:
        key = floor_to(time_us, fold->size_us);
        same = newest && fold_key(newest) == key;
        break;
    case WEIR_WINDOW_SLIDING:
        key = floor_div(time_us, fold->size_us);
        same = newest && fold_key(newest) == key;
        /* Nobody looks further back than the window from the newest record. */
        while (!same && block->count && time_minus(key, fold_key(fold_entry(fold, block, 0))) >= fold->ring) {
            block->first = (block->first + 1) % fold->ring;
            block->count--;
        }
        break;
    default: break;
    }
    if (same) {
        memcpy(newest, &key, sizeof(key));
        return fold_payload(newest);
    }
    void *acc = fold_payload(push(fold, block, key));
    fold->op->init(acc, fold->params);
    return acc;
}

void fold_record(const view_fold *fold, fold_block *block, const weir_state *state, int position) {
    if (!state_matches(state, fold->where, position)) return;
    double in[WEIR_INPUTS_MAX];
    int64_t time_us = state->time[state->first + position];
    for (int i = 0; i < fold->in_count; i++) in[i] = state_slot(state, fold->in[i])[position];
    if (fold->kind == WEIR_WINDOW_LAST)
        memcpy(fold_payload(push(fold, block, time_us)), in, fold->payload);
    else
        fold->op->add(acc_for(fold, block, time_us), time_us, fold->in_count ? in : NULL, fold->params);
}

static double empty_value(const view_fold *fold, int64_t t_us) {
    _Alignas(16) unsigned char acc[WEIR_ACC_MAX];
    fold->op->init(acc, fold->params);
    return fold->op->value(acc, t_us, fold->params);
}

/* Tiles from the one that the window's far edge lies in, merged oldest first. */
static double tiles_value(const view_fold *fold, fold_block *block, int64_t t_us) {
    _Alignas(16) unsigned char acc[WEIR_ACC_MAX];
    int64_t oldest = floor_div(time_minus(t_us, fold->window_us - 1), fold->size_us);
    int i = 0, last = block->count - 1;
    while (i <= last && fold_key(fold_entry(fold, block, i)) < oldest) i++;
    if (i > last) return empty_value(fold, t_us);
    void *newest = fold_payload(fold_entry(fold, block, last));
    if (i == last) return fold->op->value(newest, t_us, fold->params);
    fold_merged *merged = merged_of(fold, block);
    int64_t first_key = fold_key(fold_entry(fold, block, i)), last_key = fold_key(fold_entry(fold, block, last));
    if (merged->newest != last_key || merged->oldest != first_key) {
        memcpy(merged->acc, fold_payload(fold_entry(fold, block, i)), fold->acc_size);
        while (++i < last) fold->op->merge(merged->acc, fold_payload(fold_entry(fold, block, i)), fold->params);
        merged->oldest = first_key;
        merged->newest = last_key;
    }
    memcpy(acc, merged->acc, fold->acc_size);
    fold->op->merge(acc, newest, fold->params);
    return fold->op->value(acc, t_us, fold->params);
}

double fold_value(const view_fold *fold, fold_block *block, int64_t t_us) {
    t_us = time_minus(t_us, fold->delay_us);
    if (fold->kind == WEIR_WINDOW_SLIDING) return tiles_value(fold, block, t_us);
    if (!block->count) return empty_value(fold, t_us);
    unsigned char *entry = fold_entry(fold, block, 0);
    bool over = (fold->kind == WEIR_WINDOW_SESSION && time_minus(t_us, fold_key(entry)) > fold->size_us) ||
                (fold->kind == WEIR_WINDOW_TO_DATE && floor_to(t_us, fold->size_us) != fold_key(entry));
    return over ? empty_value(fold, t_us) : fold->op->value(fold_payload(entry), t_us, fold->params);
}

void fold_leaving(const weir_view *view, weir_state *state, int count) {
    if (!state->base_used) {
        for (int i = 0; i < view->fold_count; i++) fold_copy(&view->folds[i], block_at(&view->folds[i], state->base), NULL);
        state->base_used = true;
    }
    for (int i = 0; i < view->fold_count; i++) {
        fold_block *block = block_at(&view->folds[i], state->base);
        for (int p = 0; p < count; p++) fold_record(&view->folds[i], block, state, p);
    }
}

/* A head, and each of the two anchors: for each fold the number of the record that it has come to (all before it are in), then the blocks. Anchors are copies of the head,
 * FOLD_ANCHOR_EVERY records apart: a record that comes a little out of order costs what came since, not the whole tail. */
static int64_t *marks_of(unsigned char *head) {
    return (int64_t *)(void *)head;
}

static fold_block *block_of(const weir_view *view, const view_fold *fold, unsigned char *head) {
    return block_at(fold, head + (size_t)view->fold_count * sizeof(int64_t));
}

static unsigned char *anchor_of(const weir_view *view, const weir_state *state, int which) {
    return state->anchors + (size_t)which * fold_head_bytes(view);
}

static void forget(const weir_view *view, unsigned char *head, int64_t from) {
    int64_t *marks = marks_of(head);
    for (int i = 0; i < view->fold_count; i++) {
        if (marks[i] > from) marks[i] = -1;
    }
}

void fold_disturbed(const weir_view *view, weir_state *state, int position) {
    if (state->head_valid) forget(view, state->head, state->dropped + position);
    for (int a = 0; state->anchors_valid && a < 2; a++) forget(view, anchor_of(view, state, a), state->dropped + position);
}

static void prepare_heads(const weir_view *view, weir_state *state) {
    size_t marks = (size_t)view->fold_count * sizeof(int64_t);
    if (!state->head_valid) memset(state->head, 0xff, marks); /* -1 each */
    state->head_valid = true;
    if (state->anchors_valid || state->anchor_bytes != fold_anchor_bytes(view)) return; /* none yet, or of another view before */
    for (int a = 0; a < 2; a++) memset(anchor_of(view, state, a), 0xff, marks);
    state->anchors_valid = true;
}

/* Copies into block what has come furthest of what has not gone beyond record `limit`. Returns the number of the record that it has come to. */
static int64_t start_from(const weir_view *view, const weir_state *state, int fold, int64_t limit, fold_block *block) {
    const view_fold *f = &view->folds[fold];
    unsigned char *heads[3] = {state->head_valid ? state->head : NULL};
    const fold_block *from = fold_base(state, f);
    int64_t mark = state->dropped;
    for (int a = 0; state->anchors_valid && a < 2; a++) heads[1 + a] = anchor_of(view, state, a);
    for (int h = 0; h < 3; h++) {
        int64_t come_to = heads[h] ? marks_of(heads[h])[fold] : -1;
        if (come_to <= mark || come_to > limit) continue;
        mark = come_to;
        from = block_of(view, f, heads[h]);
    }
    fold_copy(f, block, from);
    return mark;
}

static void keep_anchor(const weir_view *view, weir_state *state, int fold, int64_t mark, const fold_block *block) {
    int64_t first = marks_of(anchor_of(view, state, 0))[fold], second = marks_of(anchor_of(view, state, 1))[fold];
    if (mark - (first > second ? first : second) < FOLD_ANCHOR_EVERY) return;
    unsigned char *older = anchor_of(view, state, first > second);
    fold_copy(&view->folds[fold], block_of(view, &view->folds[fold], older), block);
    marks_of(older)[fold] = mark;
}

fold_block *fold_upto(const weir_view *view, weir_state *state, int fold, int end, int without, void *scratch) {
    const view_fold *f = &view->folds[fold];
    fold_block *block = scratch;
    int64_t mark, upto = state->dropped + end, *head_mark = NULL;
    if (end) prepare_heads(view, state); /* where there are records there is a head */
    if (end && without == INT_MAX && marks_of(state->head)[fold] <= upto) {
        head_mark = &marks_of(state->head)[fold];
        block = block_of(view, f, state->head);
    }
    if (head_mark && *head_mark >= state->dropped)
        mark = *head_mark;
    else
        mark = start_from(view, state, fold, without < end ? state->dropped + without : upto, block);
    while (mark < upto) fold_record(f, block, state, (int)(mark++ - state->dropped));
    if (!head_mark) return block;
    *head_mark = upto;
    if (state->anchors_valid) keep_anchor(view, state, fold, upto, block);
    return block;
}
