/* Bodies of trees as XGBoost writes them, made by hand: so that tests know every number. */
#ifndef WEIR_TESTS_MODELS_TREE_BODY_H
#define WEIR_TESTS_MODELS_TREE_BODY_H

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

enum { TREE_FIELDS = 8 };
static const char *const tree_fields[TREE_FIELDS] = {"left_children", "right_children", "split_indices", "split_conditions",
                                                     "default_left",  "sum_hessian",    "loss_changes",  "split_type"};

/* [TREE_FIELDS][count], in the order of tree_fields; a leaf has children −1. */
typedef struct raw_nodes {
    int count;
    double of[TREE_FIELDS][64];
    int set_count, category_count;
    double set_nodes[8], set_first[8], set_sizes[8], categories[64];
} raw_nodes;

/* Appends a split or leaf. */
static inline int add_raw(raw_nodes *t, int left, int right, int column, double value, bool missing_left, double cover, double gain) {
    const double fields[TREE_FIELDS] = {left, right, column, value, missing_left, cover, gain, 0};
    for (int f = 0; f < TREE_FIELDS; f++) t->of[f][t->count] = fields[f];
    return t->count++;
}
static inline int add_split(raw_nodes *t, int left, int right, int column, double threshold, bool missing_left, double cover) {
    return add_raw(t, left, right, column, threshold, missing_left, cover, cover);
}
static inline int add_leaf(raw_nodes *t, double value, double cover) {
    return add_raw(t, -1, -1, 0, value, false, cover, 0);
}

/* Makes a split one by a set; nodes come in order. */
static inline void add_set(raw_nodes *t, int node, const double *categories, int count) {
    t->of[TREE_FIELDS - 1][node] = 1;
    t->set_nodes[t->set_count] = node;
    t->set_first[t->set_count] = t->category_count;
    t->set_sizes[t->set_count++] = count;
    for (int i = 0; i < count; i++) t->categories[t->category_count++] = categories[i];
}

static inline void body_bytes(weir_buf *b, const void *bytes, size_t len) {
    if (!weir_buf_append(b, bytes, len)) fail_msg("memory");
}

/* A count or whole number with its marker. */
static inline void body_whole(weir_buf *b, long long x) {
    unsigned char bytes[9] = {'L'};
    for (int i = 0; i < 8; i++) bytes[1 + i] = (unsigned char)((unsigned long long)x >> (56 - 8 * i));
    body_bytes(b, bytes, sizeof bytes);
}

static inline void body_name(weir_buf *b, const char *name) {
    body_whole(b, (long long)strlen(name));
    body_bytes(b, name, strlen(name));
}

static inline void body_text(weir_buf *b, const char *name, const char *text) {
    body_name(b, name);
    body_bytes(b, "S", 1);
    body_name(b, text);
}

static inline void body_numbers(weir_buf *b, const char *name, const double *values, int count) {
    body_name(b, name);
    body_bytes(b, "[$D#", 4);
    body_whole(b, count);
    for (int i = 0; i < count; i++) {
        unsigned long long bits;
        unsigned char bytes[8];
        memcpy(&bits, &values[i], sizeof bits);
        for (int k = 0; k < 8; k++) bytes[k] = (unsigned char)(bits >> (56 - 8 * k));
        body_bytes(b, bytes, sizeof bytes);
    }
}

static inline void body_object(weir_buf *b, const char *name) {
    body_name(b, name);
    body_bytes(b, "{", 1);
}

/* outputs [count]: the margin of each tree. The caller frees it. */
static inline weir_buf tree_body(const raw_nodes *trees, int count, const double *outputs, int columns, const char *objective, const char *base_score) {
    weir_buf b = {0};
    char number[16];
    snprintf(number, sizeof number, "%d", columns);
    body_bytes(&b, "{", 1);
    body_object(&b, "learner");
    body_object(&b, "learner_model_param");
    body_text(&b, "base_score", base_score);
    body_text(&b, "num_feature", number);
    body_bytes(&b, "}", 1);
    body_object(&b, "objective");
    body_text(&b, "name", objective);
    body_bytes(&b, "}", 1);
    body_object(&b, "gradient_booster");
    body_text(&b, "name", "gbtree");
    body_object(&b, "model");
    body_numbers(&b, "tree_info", outputs, count);
    body_name(&b, "trees");
    body_bytes(&b, "[#", 2);
    body_whole(&b, count);
    for (int t = 0; t < count; t++) {
        body_bytes(&b, "{", 1);
        for (int f = 0; f < TREE_FIELDS; f++) body_numbers(&b, tree_fields[f], trees[t].of[f], trees[t].count);
        body_numbers(&b, "categories_nodes", trees[t].set_nodes, trees[t].set_count);
        body_numbers(&b, "categories_segments", trees[t].set_first, trees[t].set_count);
        body_numbers(&b, "categories_sizes", trees[t].set_sizes, trees[t].set_count);
        body_numbers(&b, "categories", trees[t].categories, trees[t].category_count);
        body_bytes(&b, "}", 1);
    }
    body_bytes(&b, "}}}}", 4);
    return b;
}

#endif
