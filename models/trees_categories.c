/* Of each tree a file lists the nodes that split by a set, in order, and their sets one behind the other:
 *
 *   split_type           [1, 0, 1, 0, 0]     1: by a set
 *   categories_nodes     [0, 2]
 *   categories_segments  [0, 3]              where each set begins among categories
 *   categories_sizes     [3, 1]
 *   categories           [4, 5, 9, 2]        node 0: {4, 5, 9}; node 2: {2}
 *
 * The library reads them without looking whether they fit: a file is checked here before it sees it. */
#include "models/trees_categories.h"

#include <math.h>
#include <string.h>

#include "models/memory.h"

enum { CATEGORIES_MAX = 1 << 28, WORDS_MAX = 1 << 26 /* 256 MiB */ };

typedef enum field { NODES, SEGMENTS, SIZES, CATEGORIES, FIELD_COUNT } field;
static const char *const names[FIELD_COUNT] = {"categories_nodes", "categories_segments", "categories_sizes", "categories"};

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for sets of categories");
}

static bool is_whole(double x, double end) {
    return x >= 0 && x < end && x == floor(x);
}

/* One field; *ret_count is what it must have, or, where that is -1, becomes what it has. A tree of older files has none. */
static weir_status read_field(weir_ubjson tree, int number, field f, int *ret_count, double **ret_values, weir_err *err) {
    weir_ubjson value;
    bool any = weir_ubjson_find(tree, names[f], &value);
    int most = *ret_count >= 0 ? *ret_count : CATEGORIES_MAX, count = any ? weir_ubjson_count_numbers(value, most) : 0;
    if (count > most || (*ret_count >= 0 && count != most))
        return WEIR_FAIL(err, WEIR_EDATA, "trees: tree %d has not as many %s as categories_nodes, %d", number, names[f], most);
    *ret_values = weir_models_calloc((size_t)count + 1, sizeof **ret_values);
    if (!*ret_values) return no_memory(err);
    if (any && !weir_ubjson_read_numbers(value, *ret_values, count))
        return WEIR_FAIL(err, WEIR_EDATA, "trees: %s of tree %d are not all numbers", names[f], number);
    *ret_count = count;
    return WEIR_OK;
}

static weir_status read_fields(weir_ubjson tree, int number, weir_raw_sets *sets, weir_err *err) {
    sets->set_count = sets->category_count = -1;
    weir_status status = read_field(tree, number, NODES, &sets->set_count, &sets->nodes, err);
    if (!status) status = read_field(tree, number, SEGMENTS, &sets->set_count, &sets->first, err);
    if (!status) status = read_field(tree, number, SIZES, &sets->set_count, &sets->sizes, err);
    return status ? status : read_field(tree, number, CATEGORIES, &sets->category_count, &sets->categories, err);
}

/* Which field is wrong where set i begins; FIELD_COUNT: none. end: of the set before. */
static field wrong_at(const weir_raw_sets *sets, int i, const double *split_type, int node_count, double end) {
    if (!is_whole(sets->nodes[i], node_count) || (i && sets->nodes[i] <= sets->nodes[i - 1]) || split_type[(int)sets->nodes[i]] != 1) return NODES;
    if (sets->first[i] != end) return SEGMENTS;
    return is_whole(sets->sizes[i], sets->category_count - end + 1) && sets->sizes[i] > 0 ? FIELD_COUNT : SIZES;
}

static uint64_t words_of(const weir_raw_sets *sets, int set) {
    double largest = 0;
    for (int i = 0; i < (int)sets->sizes[set]; i++) largest = fmax(largest, sets->categories[(int)sets->first[set] + i]);
    return (uint64_t)largest / 32 + 1;
}

static weir_status check(const weir_raw_sets *sets, int number, const double *split_type, int node_count, uint64_t *word_count, weir_err *err) {
    static const char *const faults[] = {[NODES] = "is not in order, or none of a node that splits by categories",
                                         [SEGMENTS] = "is not where the set before it ends",
                                         [SIZES] = "is not a number of categories that there are",
                                         [CATEGORIES] = "is not a whole number from 0 below 16777216"};
    double end = 0;
    for (int i = 0; i < sets->category_count; i++)
        if (!is_whole(sets->categories[i], WEIR_TREES_CATEGORY_END))
            return WEIR_FAIL(err, WEIR_EDATA, "trees: number %d of categories of tree %d %s", i, number, faults[CATEGORIES]);
    for (int i = 0; i < sets->set_count; i++) {
        field f = wrong_at(sets, i, split_type, node_count, end);
        if (f != FIELD_COUNT) return WEIR_FAIL(err, WEIR_EDATA, "trees: number %d of %s of tree %d %s", i, names[f], number, faults[f]);
        end += sets->sizes[i];
        *word_count += words_of(sets, i);
        if (*word_count > WORDS_MAX) return WEIR_FAIL(err, WEIR_EDATA, "trees: categories need more than %d words of 32: their codes are too large", WORDS_MAX);
    }
    return end == sets->category_count
               ? WEIR_OK
               : WEIR_FAIL(err, WEIR_EDATA, "trees: categories_sizes of tree %d add up to %g, the tree has %d categories", number, end, sets->category_count);
}

weir_status weir_raw_sets_read(weir_ubjson tree, int number, const double *split_type, int node_count, uint64_t *word_count, weir_raw_sets *ret_sets,
                               weir_err *err) {
    weir_raw_sets sets = {0};
    weir_status status = read_fields(tree, number, &sets, err);
    if (!status) status = check(&sets, number, split_type, node_count, word_count, err);
    for (int i = 0; !status && i < node_count; i++)
        if (split_type[i] != 0 && weir_raw_sets_find(&sets, i) < 0)
            status = WEIR_FAIL(err, WEIR_EDATA, "trees: node %d of tree %d has split_type %g and is not among categories_nodes", i, number, split_type[i]);
    if (status)
        weir_raw_sets_done(&sets);
    else
        *ret_sets = sets;
    return status;
}

void weir_raw_sets_done(weir_raw_sets *sets) {
    weir_models_free(sets->nodes);
    weir_models_free(sets->first);
    weir_models_free(sets->sizes);
    weir_models_free(sets->categories);
    *sets = (weir_raw_sets){0};
}

int weir_raw_sets_find(const weir_raw_sets *sets, int node) {
    int low = 0, high = sets->set_count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (sets->nodes[middle] < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sets->set_count && sets->nodes[low] == node ? low : -1;
}

weir_tree_set *weir_raw_sets_make(const weir_raw_sets *sets, int set, weir_arena *arena) {
    uint64_t words = words_of(sets, set);
    weir_tree_set *made = weir_arena_alloc(arena, sizeof *made + words * sizeof(uint32_t));
    if (!made) return NULL;
    memset(made, 0, sizeof *made + words * sizeof(uint32_t));
    made->word_count = (uint32_t)words;
    for (int i = 0; i < (int)sets->sizes[set]; i++) {
        uint32_t category = (uint32_t)sets->categories[(int)sets->first[set] + i];
        made->words[category / 32] |= UINT32_C(1) << category % 32;
    }
    return made;
}
