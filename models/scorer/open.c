/* Opening a compiled model: mapping, digest, and a check of everything that scoring relies on, so that no file makes it read where it must not or run on for ever. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/scorer/internal.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a compiled model is used as it lies in its file: this needs a little-endian machine"
#endif

/* Where an explanation goes. */
typedef struct complaint {
    char *text;
    size_t size;
    const weirscore *s;
    uint32_t model; /* which one is looked at */
} complaint;

static int refuse(const complaint *c, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int refuse(const complaint *c, int code, const char *format, ...) {
    va_list args;
    if (!c->text || !c->size) return code;
    va_start(args, format);
    vsnprintf(c->text, c->size, format, args);
    va_end(args);
    return code;
}

#define DAMAGED(c, what) refuse(c, WEIRSCORE_DAMAGED, "the compiled model is damaged: model %u: " what, (c)->model)

/* ---- spans ---- */

static bool inside(const weirscore *s, score_span span, size_t element) {
    uint64_t len = s->head->length;
    if (!span.count) return true;
    return span.offset % SCORE_ALIGN == 0 && span.offset < len && span.count <= (len - span.offset) / element;
}

static bool finite_numbers(const double *numbers, uint64_t count) {
    bool good = true;
    for (uint64_t i = 0; i < count; i++) good &= isfinite(numbers[i]) != 0;
    return good;
}

/* ---- trees ---- */

static int check_perfect(const complaint *c, const score_model *m) {
    const score_node *nodes = score_at(c->s, m->nodes);
    const float *leaves = score_at(c->s, m->leaves);
    if (m->depth > SCORE_PERFECT_DEPTH_MAX) return DAMAGED(c, "its trees are too deep");
    uint64_t leaf_count = UINT64_C(1) << m->depth;
    if (m->nodes.count != m->trees.count * (leaf_count - 1) || m->leaves.count != m->trees.count * leaf_count)
        return DAMAGED(c, "it has other nodes than its trees need");
    for (uint64_t i = 0; i < m->nodes.count; i++)
        if (nodes[i].slot >= 2 * m->columns.count || isnan(nodes[i].threshold)) return DAMAGED(c, "a split is of no column or threshold");
    for (uint64_t i = 0; i < m->leaves.count; i++)
        if (!isfinite(leaves[i])) return DAMAGED(c, "a leaf is not finite");
    return WEIRSCORE_OK;
}

/* Every child lies behind its parent, or is the leaf itself: a walk ends. */
static int check_linked_tree(const complaint *c, const score_model *m, const score_tree *tree, const score_link_node *nodes) {
    for (uint32_t i = 0; i < tree->node_count; i++) {
        const score_link_node *n = &nodes[i];
        bool leaf = n->left == i, set = !leaf && isnan(n->threshold);
        if ((set ? n->set >= m->slots.count : !isfinite(n->value)) || n->slot >= 2 * m->columns.count + (m->columns.count == 0))
            return DAMAGED(c, "a node has no column, value or set");
        if (leaf && (n->threshold != INFINITY || n->slot % 2)) return DAMAGED(c, "a leaf can be left");
        if (!leaf && ((!set && !isfinite(n->threshold)) || n->left < i || n->left >= tree->node_count - 1)) return DAMAGED(c, "a split has no children");
        if (!leaf && !m->columns.count) return DAMAGED(c, "a split is of no column");
    }
    return WEIRSCORE_OK;
}

static int check_linked(const complaint *c, const score_model *m) {
    const score_tree *trees = score_at(c->s, m->trees);
    const score_link_node *nodes = score_at(c->s, m->nodes);
    if (m->slices.count || m->leaves.count) return DAMAGED(c, "linked trees have no slices");
    for (uint64_t t = 0; t < m->trees.count; t++) {
        const score_tree *tree = &trees[t];
        if (!tree->node_count || tree->first >= m->nodes.count || tree->node_count > m->nodes.count - tree->first) return DAMAGED(c, "a tree has no nodes");
        int code = check_linked_tree(c, m, tree, nodes + tree->first);
        if (code) return code;
    }
    return WEIRSCORE_OK;
}

static int check_sliced(const complaint *c, const score_model *m) {
    const score_slice *slices = score_at(c->s, m->slices);
    const score_ranks *ranks = score_at(c->s, m->ranks);
    if (!m->slices.count && !m->ranks.count) return WEIRSCORE_OK;
    if (m->slices.count != m->nodes.count || 2 * m->ranks.count > SCORE_SLICED_SLOTS_MAX) return DAMAGED(c, "its slices do not fit its trees");
    for (uint64_t i = 0; i < m->slices.count; i++)
        if (slices[i].slot >= 2 * m->ranks.count) return DAMAGED(c, "a slice is of no column");
    for (uint64_t i = 0; i < m->ranks.count; i++)
        if (ranks[i].count > SCORE_RANKS_MAX || ranks[i].column >= m->columns.count) return DAMAGED(c, "a list of thresholds is too long or of no column");
    return WEIRSCORE_OK;
}

static int check_slots(const complaint *c, const score_model *m) {
    const score_slot *slots = score_at(c->s, m->slots);
    for (uint64_t i = 0; i < m->slots.count; i++)
        if (slots[i].kind >= SCORE_SLOT_KINDS || slots[i].column >= m->fitted_count || slots[i].first_word > m->words.count ||
            slots[i].word_count > m->words.count - slots[i].first_word)
            return DAMAGED(c, "a slot is of no column or set");
    return WEIRSCORE_OK;
}

static int check_trees(const complaint *c, const score_model *m) {
    const uint32_t *columns = score_at(c->s, m->columns);
    const score_tree *trees = score_at(c->s, m->trees);
    const weirscore *s = c->s;
    if (!inside(s, m->columns, sizeof *columns) || !inside(s, m->trees, sizeof *trees) ||
        !inside(s, m->nodes, m->perfect ? sizeof(score_node) : sizeof(score_link_node)) || !inside(s, m->leaves, sizeof(float)) ||
        !inside(s, m->slices, sizeof(score_slice)) || !inside(s, m->ranks, sizeof(score_ranks)) || !inside(s, m->slots, sizeof(score_slot)) ||
        !inside(s, m->words, sizeof(uint32_t)))
        return DAMAGED(c, "its trees lie outside of the file");
    if (m->columns.count > m->fitted_count || !isfinite(m->base) || m->link > SCORE_LINK_EXP)
        return DAMAGED(c, "it has an impossible number of columns, base or link");
    for (uint64_t i = 0; i < m->columns.count; i++)
        if (columns[i] >= m->fitted_count) return DAMAGED(c, "a column is not there");
    for (uint64_t t = 0; t < m->trees.count; t++)
        if (trees[t].output >= m->output_count) return DAMAGED(c, "a tree is for no output");
    int code = m->perfect ? check_perfect(c, m) : check_linked(c, m);
    if (!code) code = check_slots(c, m);
    return code ? code : check_sliced(c, m);
}

/* As of linked trees. A leaf's slot is the first, and no value is at +∞ there. */
static int check_wide_tree(const complaint *c, const score_model *m, const score_tree *tree, const score_wide_node *nodes) {
    for (uint32_t i = 0; i < tree->node_count; i++) {
        const score_wide_node *n = &nodes[i];
        bool leaf = n->left == i;
        if (!isfinite(n->value) || isnan(n->threshold)) return DAMAGED(c, "a node has no threshold or value");
        if (leaf ? n->threshold != INFINITY || n->slot != 0 : n->slot >= m->slots.count || n->left < i || n->left >= tree->node_count - 1)
            return DAMAGED(c, "a leaf can be left, or a split has no slot or children");
    }
    return WEIRSCORE_OK;
}

static int check_wide(const complaint *c, const score_model *m) {
    const score_tree *trees = score_at(c->s, m->trees);
    if (!inside(c->s, m->trees, sizeof *trees) || !inside(c->s, m->nodes, sizeof(score_wide_node)) || !inside(c->s, m->slots, sizeof(score_slot)) ||
        !inside(c->s, m->words, sizeof(uint32_t)))
        return DAMAGED(c, "its trees lie outside of the file");
    if (m->slots.count < 1 || m->slots.count > SCORE_WIDE_SLOTS_MAX || ((const score_slot *)score_at(c->s, m->slots))->kind != SCORE_SLOT_BELOW ||
        !isfinite(m->link_a) || !(m->link_b > 0) || m->link >= SCORE_LINKS)
        return DAMAGED(c, "it has an impossible number of slots, link or divisor");
    int code = check_slots(c, m);
    for (uint64_t t = 0; !code && t < m->trees.count; t++) {
        const score_tree *tree = &trees[t];
        if (tree->output >= m->output_count || !tree->node_count || tree->first >= m->nodes.count || tree->node_count > m->nodes.count - tree->first)
            return DAMAGED(c, "a tree has no nodes or output");
        code = check_wide_tree(c, m, tree, (const score_wide_node *)score_at(c->s, m->nodes) + tree->first);
    }
    return code;
}

/* ---- Hoeffding trees ---- */

/* A walk ends: every child lies behind its parent. */
static bool good_bayes_node(const score_model *m, uint64_t i, const score_bayes_node *n) {
    uint64_t count = m->nodes.count;
    if (!n->left) return n->leaf < m->leaves.count;
    return n->left > i && n->left < count && n->right > i && n->right < count && (n->missing == n->left || n->missing == n->right) &&
           n->column < m->fitted_count && isfinite(n->threshold);
}

/* Its numbers may be any: they lead nowhere, and scores that are not finite are none. */
static bool good_bayes_leaf(const score_model *m, const score_bayes_leaf *leaf, uint64_t classes) {
    uint64_t needed = leaf->bayes ? classes * (2 + 3 * (uint64_t)leaf->column_count) : classes;
    return leaf->bayes <= 1 && leaf->first_number <= m->numbers.count && needed <= m->numbers.count - leaf->first_number &&
           leaf->first_column <= m->columns.count && leaf->column_count <= m->columns.count - leaf->first_column;
}

static int check_bayes(const complaint *c, const score_model *m) {
    const score_bayes_node *nodes = score_at(c->s, m->nodes);
    const score_bayes_leaf *leaves = score_at(c->s, m->leaves);
    const uint32_t *columns = score_at(c->s, m->columns);
    if (!inside(c->s, m->nodes, sizeof *nodes) || !inside(c->s, m->leaves, sizeof *leaves) || !inside(c->s, m->columns, sizeof *columns) ||
        !inside(c->s, m->numbers, sizeof(double)))
        return DAMAGED(c, "its tree lies outside of the file");
    if (m->task == SCORE_REGRESSION || !m->nodes.count) return DAMAGED(c, "it has no classes or no nodes");
    for (uint64_t i = 0; i < m->nodes.count; i++)
        if (!good_bayes_node(m, i, &nodes[i])) return DAMAGED(c, "a split has no column, threshold or children, or a leaf is not there");
    for (uint64_t i = 0; i < m->leaves.count; i++)
        if (!good_bayes_leaf(m, &leaves[i], score_bayes_classes(m))) return DAMAGED(c, "a leaf has too few numbers or columns");
    for (uint64_t i = 0; i < m->columns.count; i++)
        if (columns[i] >= m->fitted_count) return DAMAGED(c, "a leaf looks at a column that is not there");
    return WEIRSCORE_OK;
}

/* ---- other kinds ---- */

static int check_linear(const complaint *c, const score_model *m) {
    uint64_t p = m->fitted_count, k = m->output_count;
    const double *numbers = score_at(c->s, m->numbers);
    if (!inside(c->s, m->numbers, sizeof *numbers) || m->numbers.count != k + 2 * p + k * p || !finite_numbers(numbers, m->numbers.count))
        return DAMAGED(c, "its coefficients are not there or not finite");
    if (m->link >= SCORE_LINKS || m->link == SCORE_LINK_SHARES || m->link == SCORE_LINK_EXP || !isfinite(m->link_a) || !isfinite(m->link_b))
        return DAMAGED(c, "it has an impossible link");
    return WEIRSCORE_OK;
}

static int check_svr(const complaint *c, const score_model *m) {
    uint64_t p = m->fitted_count;
    const double *numbers = score_at(c->s, m->numbers);
    if (!inside(c->s, m->numbers, sizeof *numbers) || m->numbers.count < 2 * p || (m->numbers.count - 2 * p) % (p + 1) ||
        !finite_numbers(numbers, m->numbers.count))
        return DAMAGED(c, "its support vectors are not there or not finite");
    if (m->output_count != 1 || m->kernel > 3 || !isfinite(m->gamma) || !isfinite(m->coef0) || !isfinite(m->intercept))
        return DAMAGED(c, "it has an impossible kernel");
    return WEIRSCORE_OK;
}

/* Members stand behind their model: there is no circle. */
static int check_members(const complaint *c, const score_model *m) {
    uint32_t count = c->s->head->model_count, own = c->model, members = m->member_count - (m->kind == SCORE_STACK);
    if (m->member_count < 1 + (m->kind == SCORE_STACK) || m->member_count > SCORE_MEMBERS_MAX + 1 || m->first_member <= own || m->first_member >= count ||
        m->member_count > count - m->first_member)
        return DAMAGED(c, "its members are not there");
    if (m->kind == SCORE_TARGETS && m->output_count != members) return DAMAGED(c, "it has other members than targets");
    if (m->fitted_count != m->input_count || m->steps.count) return DAMAGED(c, "a model of several has no preprocessing of its own");
    for (uint32_t i = 0; i < members; i++) {
        const score_model *member = &c->s->models[m->first_member + i];
        if (member->input_count != m->input_count || member->output_count != (m->kind == SCORE_TARGETS ? 1 : m->output_count))
            return DAMAGED(c, "a member is of another shape");
    }
    if (m->kind == SCORE_STACK) {
        const score_model *meta = &c->s->models[m->first_member + members];
        if ((uint64_t)meta->input_count != (uint64_t)members * m->output_count || meta->output_count != m->output_count)
            return DAMAGED(c, "its meta model is of another shape");
    }
    if (m->kind != SCORE_MEAN) return WEIRSCORE_OK;
    if (!inside(c->s, m->numbers, sizeof(double)) || m->numbers.count != members || !finite_numbers(score_at(c->s, m->numbers), members))
        return DAMAGED(c, "it has no weights");
    return WEIRSCORE_OK;
}

/* How deep models lie in models. Members stand behind: from the last on, each one's depth is known. */
static int check_nesting(const complaint *c) {
    uint32_t count = c->s->head->model_count;
    uint8_t *depth = calloc(count, 1);
    if (!depth) return refuse(c, WEIRSCORE_MEMORY, "no memory to check %u models", count);
    int code = WEIRSCORE_OK;
    for (uint32_t i = count; !code && i-- > 0;) {
        const score_model *m = &c->s->models[i];
        for (uint32_t k = 0; score_has_members(m->kind) && k < m->member_count; k++)
            if (depth[m->first_member + k] + 1 > depth[i]) depth[i] = (uint8_t)(depth[m->first_member + k] + 1);
        if (depth[i] >= SCORE_NESTING_MAX) code = DAMAGED(c, "models lie too deep in models");
    }
    free(depth);
    return code;
}

/* ---- preprocessing ---- */

static int check_steps(const complaint *c, const score_model *m) {
    const score_step *steps = score_at(c->s, m->steps);
    const uint32_t *outputs = score_at(c->s, m->step_outputs);
    if (!m->steps.count) return m->fitted_count == m->input_count ? WEIRSCORE_OK : DAMAGED(c, "it takes other columns than there are");
    if (!inside(c->s, m->steps, sizeof *steps) || !inside(c->s, m->step_outputs, sizeof *outputs) || !inside(c->s, m->level_values, sizeof(double)) ||
        !inside(c->s, m->level_codes, sizeof(uint32_t)) || m->level_codes.count != m->level_values.count || m->step_outputs.count != m->fitted_count ||
        m->steps.count > UINT32_C(1) << 20)
        return DAMAGED(c, "its preprocessing lies outside of the file");
    uint8_t *depth = calloc(m->steps.count, 1);
    if (!depth) return refuse(c, WEIRSCORE_MEMORY, "no memory to check preprocessing");
    int code = WEIRSCORE_OK;
    for (uint64_t i = 0; !code && i < m->steps.count; i++) {
        const score_step *step = &steps[i];
        bool parent = step->parent >= 0;
        if ((parent && (uint64_t)step->parent >= i) || (!parent && step->parent != -1) || (!parent && step->input >= m->input_count) ||
            step->op >= SCORE_STEP_OPS || step->levels > m->level_values.count || step->level_count > m->level_values.count - step->levels)
            code = DAMAGED(c, "a step of its preprocessing is of no column");
        else if (step->op == SCORE_STEP_BUCKET && !(step->a >= 1 && step->a <= 1 << 30 && fabs(step->b) <= 1 << 30))
            code = DAMAGED(c, "it has an impossible number of buckets");
        else if (parent && (depth[i] = (uint8_t)(depth[step->parent] + 1)) >= SCORE_PREP_DEPTH_MAX)
            code = DAMAGED(c, "its preprocessing lies too deep");
    }
    for (uint64_t i = 0; !code && i < m->fitted_count; i++)
        if (outputs[i] >= m->steps.count) code = DAMAGED(c, "a column is made by no step");
    free(depth);
    return code;
}

static int check_model(const complaint *c, const score_model *m) {
    if (m->kind >= SCORE_KINDS || m->task >= SCORE_TASKS || m->input_count < 1 || m->input_count > SCORE_COLUMNS_MAX || m->fitted_count < 1 ||
        m->fitted_count > SCORE_COLUMNS_MAX || m->output_count < 1 || m->output_count > SCORE_OUTPUTS_MAX ||
        (m->task != SCORE_CLASSES && m->kind != SCORE_TARGETS && m->output_count != 1))
        return DAMAGED(c, "it is of no kind or shape that there is");
    int code = check_steps(c, m);
    if (code) return code;
    switch (m->kind) {
    case SCORE_TREES: return check_trees(c, m);
    case SCORE_WIDE: return check_wide(c, m);
    case SCORE_LINEAR: return check_linear(c, m);
    case SCORE_SVR: return check_svr(c, m);
    case SCORE_BAYES: return check_bayes(c, m);
    default: return check_members(c, m);
    }
}

/* ---- the file ---- */

static int check_names(const complaint *c, weirscore *s) {
    const score_model *whole = &s->models[0];
    size_t count = (size_t)whole->input_count + whole->output_count;
    if (!inside(s, s->head->names, 1)) return DAMAGED(c, "its names lie outside of the file");
    const char *text = score_at(s, s->head->names), *end = text + s->head->names.count;
    if (!(s->names = calloc(count, sizeof *s->names))) return refuse(c, WEIRSCORE_MEMORY, "no memory for %zu names", count);
    for (size_t i = 0; i < count; i++) {
        const char *stop = text < end ? memchr(text, 0, (size_t)(end - text)) : NULL;
        if (!stop) return DAMAGED(c, "it has too few names");
        s->names[i] = text;
        text = stop + 1;
    }
    return WEIRSCORE_OK;
}

static int check_file(complaint *c, weirscore *s, size_t len) {
    const score_head *head = s->head;
    uint8_t digest[32];
    if (len < sizeof *head || memcmp(head->magic, SCORE_MAGIC, 8) != 0)
        return refuse(c, WEIRSCORE_DAMAGED, "this is no compiled model: it does not begin with " SCORE_MAGIC);
    if (head->version < SCORE_VERSION || head->version > SCORE_VERSION_BAYES)
        return refuse(c, WEIRSCORE_VERSION, "the compiled model has format version %u, expected %d to %d", head->version, SCORE_VERSION, SCORE_VERSION_BAYES);
    if (head->length != len)
        return refuse(c, WEIRSCORE_DAMAGED, "the compiled model is damaged: it has %zu bytes, its head says %llu", len, (unsigned long long)head->length);
    score_digest(s->bytes, len, digest);
    if (memcmp(digest, head->digest, sizeof digest) != 0)
        return refuse(c, WEIRSCORE_DAMAGED, "the compiled model is damaged: its digest does not match its contents");
    score_span models = {head->models, head->model_count};
    if (!head->model_count || head->model_count > SCORE_MODELS_MAX || !inside(s, models, sizeof(score_model)))
        return refuse(c, WEIRSCORE_DAMAGED, "the compiled model is damaged: its models lie outside of the file");
    s->models = score_at(s, models);
    for (c->model = 0; c->model < head->model_count; c->model++) {
        int code = check_model(c, &s->models[c->model]);
        if (code) return code;
    }
    c->model = 0;
    int code = check_nesting(c);
    return code ? code : check_names(c, s);
}

static void set_digest(weirscore *s) {
    for (int i = 0; i < 32; i++) snprintf(s->digest + 2 * i, 3, "%02x", s->head->source[i]);
}

static int open_bytes(const void *bytes, size_t len, size_t mapped_len, weirscore **ret_model, char *message, size_t message_size) {
    complaint c = {.text = message, .size = message_size};
    weirscore *s = calloc(1, sizeof *s);
    if (!s) return refuse(&c, WEIRSCORE_MEMORY, "no memory for a model");
    *s = (weirscore){.bytes = bytes, .head = bytes, .kernels = score_kernels_here()};
    c.s = s;
    int code = (uintptr_t)bytes % SCORE_ALIGN ? refuse(&c, WEIRSCORE_DAMAGED, "the compiled model does not begin at a multiple of %d", SCORE_ALIGN)
                                              : check_file(&c, s, len);
    if (code) {
        weirscore_close(s);
        return code;
    }
    set_digest(s);
    s->mapped_len = mapped_len;
    *ret_model = s;
    return WEIRSCORE_OK;
}

int weirscore_open_memory(const void *bytes, size_t len, weirscore **ret_model, char *message, size_t message_size) {
    return open_bytes(bytes, len, 0, ret_model, message, message_size);
}

int weirscore_open(const char *path, weirscore **ret_model, char *message, size_t message_size) {
    const complaint c = {.text = message, .size = message_size};
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) {
        int why = errno;
        if (fd >= 0) close(fd);
        return refuse(&c, WEIRSCORE_IO, "%s: %s", path, strerror(why));
    }
    size_t len = (size_t)info.st_size;
    void *bytes = len ? mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    int why = errno;
    close(fd);
    if (!len) return refuse(&c, WEIRSCORE_DAMAGED, "%s: the file is empty", path);
    if (bytes == MAP_FAILED) return refuse(&c, WEIRSCORE_IO, "%s: cannot be mapped: %s", path, strerror(why));
    char what[WEIRSCORE_MESSAGE_MAX] = "";
    int code = open_bytes(bytes, len, len, ret_model, what, sizeof what);
    if (!code) return WEIRSCORE_OK;
    munmap(bytes, len);
    return refuse(&c, code, "%s: %s", path, what);
}

void weirscore_close(weirscore *s) {
    if (!s) return;
    if (s->mapped_len) munmap((void *)s->bytes, s->mapped_len);
    free(s->names);
    free(s);
}

size_t weirscore_input_count(const weirscore *s) {
    return s->models[0].input_count;
}
size_t weirscore_output_count(const weirscore *s) {
    return s->models[0].output_count;
}
const char *weirscore_input_name(const weirscore *s, size_t i) {
    return i < weirscore_input_count(s) ? s->names[i] : NULL;
}
const char *weirscore_output_name(const weirscore *s, size_t i) {
    return i < weirscore_output_count(s) ? s->names[weirscore_input_count(s) + i] : NULL;
}
const char *weirscore_digest(const weirscore *s) {
    return s->digest;
}
