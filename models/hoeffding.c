/* A decision tree that learns classes row by row and keeps no row: the Hoeffding tree (VFDT).
 *
 * A leaf keeps, for each column and class, weight, mean and sum of squares of the values that it has seen. When it has seen another `grace_period` rows, it looks for the threshold
 * with the largest gain of information, G = H(classes) − Σ_side share · H(classes on that side), times the share of rows that have a value in the column; candidates are
 * THRESHOLDS points between the least and the largest value, and the classes on each side what normal distributions say. With n rows at the leaf the best column is the best of the
 * stream with probability 1 − delta when its gain exceeds the second best, and 0 (no split), by
 *   ε = √(R² ln(1/delta) / 2n),  R = log2(classes)
 * and as good as it when ε < tie_threshold. Source: Domingos and Hulten, Mining high-speed data streams, KDD 2000, table 1 and section 2.
 * Normal estimators: Pfahringer, Holmes, Kirkby, Handling numeric attributes in Hoeffding trees, PAKDD 2008.
 *
 * A leaf scores by the shares of its classes, or by naive Bayes over its normal distributions, whichever has called more of its rows right before it learnt them.
 * Source: Holmes, Kirkby, Pfahringer, Stress-testing Hoeffding trees, PKDD 2005 (adaptive naive Bayes).
 * A missing value goes where more of the rows of its split went.
 *
 * The body: "HOEFFD01" | number of nodes | a record of RECORD_COUNT numbers a node, children behind their parent | the numbers of each leaf, in the order of the nodes. All float64. */
#include <math.h>
#include <string.h>

#include "models/algorithms.h"
#include "models/hoeffding.h"
#include "models/interrupt.h"
#include "models/linear_form.h"
#include "models/memory.h"

enum { THRESHOLDS = 10, NODES_MAX = 1 << 20, RECORD_COUNT = 6 };
#define LEAST_SHARE 0.01 /* of the rows on either side of a split */
static const char magic[8] = {'H', 'O', 'E', 'F', 'F', 'D', '0', '1'};

typedef struct hoeffding_params {
    double grace_period, delta, tie_threshold;
    int64_t max_depth, max_leaves;
} hoeffding_params;

static size_t leaf_count(const weir_hoeffding *t) {
    size_t p = (size_t)t->p, k = (size_t)t->k;
    return 3 + 2 * k + 2 * p + 3 * p * k;
}

weir_hoeffding_leaf weir_hoeffding_leaf_of(const weir_hoeffding *t, const weir_hoeffding_node *n) {
    double *at = n->numbers;
    weir_hoeffding_leaf l = {.tried = at, .right = at + 1, .inherited = at + 3};
    l.own = l.inherited + t->k;
    l.range = l.own + t->k;
    l.observed = (weir_hoeffding_normal *)(l.range + 2 * (size_t)t->p);
    return l;
}

static void tree_free(void *object) {
    weir_hoeffding *t = object;
    if (!t) return;
    for (int i = 0; t->nodes && i < t->count; i++) weir_models_free(t->nodes[i].numbers);
    weir_models_free(t->nodes);
    weir_models_free(t->scratch);
    weir_models_free(t);
}

static weir_hoeffding *tree_new(const weir_model_shape *shape) {
    weir_hoeffding *t = weir_models_calloc(1, sizeof *t);
    if (!t) return NULL;
    t->p = shape->column_count;
    t->k = shape->task == WEIR_TASK_MULTICLASS ? shape->output_count : 2;
    t->scratch = weir_models_calloc(2 * (size_t)t->k, sizeof *t->scratch);
    if (t->scratch) return t;
    tree_free(t);
    return NULL;
}

/* Room for `more` nodes; false when memory ran out. */
static bool tree_reserve(weir_hoeffding *t, int more) {
    if (t->count + more <= t->capacity) return true;
    int capacity = t->capacity ? 2 * t->capacity : 16;
    while (capacity < t->count + more) capacity *= 2;
    weir_hoeffding_node *nodes = weir_mem.realloc(t->nodes, (size_t)capacity * sizeof *nodes);
    if (!nodes) return false;
    t->nodes = nodes;
    t->capacity = capacity;
    return true;
}

static double *leaf_numbers(const weir_hoeffding *t) {
    return weir_models_calloc(leaf_count(t), sizeof(double));
}

static double sum_of(const double *values, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) sum += values[i];
    return sum;
}

static int highest(const double *values, int count) {
    int best = 0;
    for (int i = 1; i < count; i++)
        if (values[i] > values[best]) best = i;
    return best;
}

static int find_leaf(const weir_hoeffding *t, const double *x) {
    int at = 0;
    while (t->nodes[at].left > 0) {
        const weir_hoeffding_node *n = &t->nodes[at];
        double value = x[(int)n->column];
        bool left = isnan(value) ? n->missing_left > 0 : value <= n->threshold;
        at = (int)(left ? n->left : n->right);
    }
    return at;
}

/* ---- scores of a leaf ---- */

void weir_hoeffding_shares(const weir_hoeffding *t, const weir_hoeffding_leaf *l, double *out) {
    double total = sum_of(l->inherited, t->k) + sum_of(l->own, t->k);
    for (int k = 0; k < t->k; k++) out[k] = total > 0 ? (l->inherited[k] + l->own[k]) / total : 1.0 / t->k;
}

double weir_hoeffding_variance(const weir_hoeffding_normal *n) {
    double variance = n->weight > 1 ? n->squares / (n->weight - 1) : 0;
    return variance > 0 ? variance : 0;
}

/* Logarithm of the normal density, without what all classes share. Values that never vary tell nothing but themselves. */
static double log_density(const weir_hoeffding_normal *n, double x) {
    double variance = weir_hoeffding_variance(n), away = x - n->mean;
    if (variance == 0) return away == 0 ? 0 : -INFINITY;
    return -0.5 * (log(variance) + away * away / variance);
}

/* models/scorer/bayes.c does the same operations in the same order: equal bits. False, and out the shares, when no class is likely. */
static bool naive_bayes(const weir_hoeffding *t, const weir_hoeffding_leaf *l, const double *x, double *out) {
    double most = -INFINITY, total = 0;
    weir_hoeffding_shares(t, l, out);
    for (int k = 0; k < t->k; k++) {
        double score = log(out[k]);
        for (int c = 0; c < t->p; c++) {
            const weir_hoeffding_normal *n = &l->observed[(size_t)c * (size_t)t->k + (size_t)k];
            if (!isnan(x[c]) && weir_hoeffding_varies(l, c)) score += n->weight > 0 ? log_density(n, x[c]) : -INFINITY;
        }
        out[k] = score;
        if (score > most) most = score;
    }
    if (!isfinite(most)) {
        weir_hoeffding_shares(t, l, out);
        return false;
    }
    for (int k = 0; k < t->k; k++) total += out[k] = exp(out[k] - most);
    for (int k = 0; k < t->k; k++) out[k] /= total;
    return true;
}

static void score_leaf(const weir_hoeffding *t, const weir_hoeffding_leaf *l, const double *x, double *out) {
    if (weir_hoeffding_is_bayes(l))
        (void)naive_bayes(t, l, x, out);
    else
        weir_hoeffding_shares(t, l, out);
}

/* ---- splits ---- */

typedef struct split {
    int column;
    double gain, threshold, missing_left;
} split;

static double entropy(const double *weights, int count) {
    double total = sum_of(weights, count), sum = 0;
    for (int i = 0; i < count; i++)
        if (weights[i] > 0) sum -= weights[i] / total * log2(weights[i] / total);
    return sum;
}

/* sides [2][k]: weight of each class at or below the threshold, and above. */
static void divide(const weir_hoeffding *t, const weir_hoeffding_normal *observed, double threshold, double *sides) {
    for (int k = 0; k < t->k; k++) {
        const weir_hoeffding_normal *n = &observed[k];
        double variance = weir_hoeffding_variance(n);
        double below = variance > 0 ? 0.5 * erfc((n->mean - threshold) / sqrt(2 * variance)) : n->mean <= threshold;
        sides[k] = n->weight * below;
        sides[t->k + k] = n->weight - sides[k];
    }
}

/* The gain of a split of the rows that have a value; −∞ when one side is next to empty. */
static double gain_of(const weir_hoeffding *t, const double *sides, double before) {
    double left = sum_of(sides, t->k), right = sum_of(sides + t->k, t->k), total = left + right;
    if (left < LEAST_SHARE * total || right < LEAST_SHARE * total) return -INFINITY;
    return before - left / total * entropy(sides, t->k) - right / total * entropy(sides + t->k, t->k);
}

static split best_of_column(const weir_hoeffding *t, const weir_hoeffding_leaf *l, int column) {
    const weir_hoeffding_normal *observed = l->observed + (size_t)column * (size_t)t->k;
    double low = l->range[2 * column], high = l->range[2 * column + 1], all = sum_of(l->own, t->k), *sides = t->scratch;
    split best = {.column = column, .gain = -INFINITY};
    if (!(low < high)) return best;
    divide(t, observed, INFINITY, sides);
    double present = sum_of(sides, t->k), before = entropy(sides, t->k);
    for (int i = 1; i <= THRESHOLDS; i++) {
        double threshold = low + (high - low) * i / (THRESHOLDS + 1);
        divide(t, observed, threshold, sides);
        double gain = gain_of(t, sides, before) * (present / all);
        if (gain > best.gain) best = (split){column, gain, threshold, sum_of(sides, t->k) >= sum_of(sides + t->k, t->k)};
    }
    return best;
}

/* True when the best split is surely the best, or as good as the second. */
static bool find_split(const weir_hoeffding *t, const weir_hoeffding_leaf *l, const hoeffding_params *params, split *ret_best) {
    split best = {.gain = 0, .column = -1};
    double second = 0, seen = sum_of(l->own, t->k);
    for (int c = 0; c < t->p; c++) {
        split found = best_of_column(t, l, c);
        if (found.gain > best.gain) {
            second = best.gain;
            best = found;
        } else if (found.gain > second) {
            second = found.gain;
        }
    }
    double range = log2(t->k), bound = sqrt(range * range * log(1 / params->delta) / (2 * seen));
    *ret_best = best;
    return best.column >= 0 && (best.gain - second > bound || bound < params->tie_threshold);
}

/* The leaf becomes a split; its children begin with what it believes of their classes. */
static bool split_leaf(weir_hoeffding *t, int at, const split *s) {
    double *numbers[2] = {leaf_numbers(t), leaf_numbers(t)};
    if (!numbers[0] || !numbers[1] || !tree_reserve(t, 2)) {
        weir_models_free(numbers[0]);
        weir_models_free(numbers[1]);
        return false;
    }
    weir_hoeffding_node *n = &t->nodes[at];
    weir_hoeffding_leaf l = weir_hoeffding_leaf_of(t, n);
    divide(t, l.observed + (size_t)s->column * (size_t)t->k, s->threshold, t->scratch);
    for (int side = 0; side < 2; side++) {
        weir_hoeffding_node *child = &t->nodes[t->count + side];
        *child = (weir_hoeffding_node){.depth = n->depth + 1, .numbers = numbers[side]};
        memcpy(weir_hoeffding_leaf_of(t, child).inherited, t->scratch + side * t->k, (size_t)t->k * sizeof(double));
    }
    weir_models_free(n->numbers);
    *n = (weir_hoeffding_node){
        .column = s->column, .threshold = s->threshold, .left = t->count, .right = t->count + 1, .missing_left = s->missing_left, .depth = n->depth};
    t->count += 2;
    t->leaves++;
    return true;
}

/* ---- learning ---- */

static void observe(const weir_hoeffding *t, const weir_hoeffding_leaf *l, const double *x, int class, double weight) {
    for (int c = 0; c < t->p; c++) {
        weir_hoeffding_normal *first = l->observed + (size_t)c * (size_t)t->k, *n = first + class;
        if (isnan(x[c])) continue;
        double seen = 0;
        for (int k = 0; k < t->k; k++) seen += first[k].weight;
        if (seen == 0 || x[c] < l->range[2 * c]) l->range[2 * c] = x[c];
        if (seen == 0 || x[c] > l->range[2 * c + 1]) l->range[2 * c + 1] = x[c];
        n->weight += weight;
        double before = x[c] - n->mean;
        n->mean += before * (weight / n->weight);
        n->squares += weight * before * (x[c] - n->mean);
    }
    l->own[class] += weight;
}

static bool is_pure(const weir_hoeffding *t, const weir_hoeffding_leaf *l) {
    int classes = 0;
    for (int k = 0; k < t->k; k++) classes += l->own[k] > 0;
    return classes < 2;
}

static weir_status learn_row(weir_hoeffding *t, const hoeffding_params *params, const double *x, int class, double weight, weir_err *err) {
    int at = find_leaf(t, x);
    weir_hoeffding_leaf l = weir_hoeffding_leaf_of(t, &t->nodes[at]);
    weir_hoeffding_shares(t, &l, t->scratch);
    if (highest(t->scratch, t->k) == class) l.right[0] += weight;
    (void)naive_bayes(t, &l, x, t->scratch);
    if (highest(t->scratch, t->k) == class) l.right[1] += weight;
    observe(t, &l, x, class, weight);
    double seen = sum_of(l.own, t->k);
    if (seen - *l.tried < params->grace_period || is_pure(t, &l)) return WEIR_OK;
    *l.tried = seen;
    split best;
    bool may = t->nodes[at].depth < (double)params->max_depth && t->leaves < params->max_leaves && t->count + 2 <= NODES_MAX;
    if (may && find_split(t, &l, params, &best) && !split_leaf(t, at, &best))
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a leaf of %d columns and %d classes", t->p, t->k);
    return WEIR_OK;
}

/* ---- the body ---- */

static weir_status append_tree(const weir_hoeffding *t, weir_buf *body, weir_err *err) {
    double count = t->count;
    bool ok = weir_buf_append(body, magic, sizeof magic) && weir_buf_append(body, &count, sizeof count);
    for (int i = 0; ok && i < t->count; i++) ok = weir_buf_append(body, &t->nodes[i], RECORD_COUNT * sizeof(double));
    for (int i = 0; ok && i < t->count; i++) {
        const double *numbers = t->nodes[i].numbers;
        for (size_t j = 0; numbers && j < leaf_count(t); j++)
            if (!isfinite(numbers[j])) return WEIR_FAIL(err, WEIR_ENUMERIC, "learning left the finite numbers: values or weights are too large");
        ok = !numbers || weir_buf_append(body, numbers, leaf_count(t) * sizeof(double));
    }
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a body of %d nodes", t->count);
}

/* A child stands behind its parent, so that no walk goes round in a circle. */
static bool good_node(const weir_hoeffding *t, int index, const double *record, int node_count) {
    double column = record[0], left = record[2], right = record[3];
    bool good = true;
    for (int i = 0; i < RECORD_COUNT; i++) good = good && isfinite(record[i]);
    if (!good || left == 0) return good;
    return column >= 0 && column < t->p && column == floor(column) && left == floor(left) && right == floor(right) && left > index && right > index &&
           left < node_count && right < node_count;
}

static weir_status read_nodes(weir_hoeffding *t, const char *at, const char *end, int count, weir_err *err) {
    size_t leaf_bytes = leaf_count(t) * sizeof(double), record_bytes = RECORD_COUNT * sizeof(double);
    const char *numbers = at + (size_t)count * record_bytes;
    if (!tree_reserve(t, count)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d nodes", count);
    for (int i = 0; i < count; i++, at += record_bytes) {
        weir_hoeffding_node n = {0};
        memcpy(&n, at, record_bytes);
        if (!good_node(t, i, (const double *)&n, count)) return WEIR_FAIL(err, WEIR_EDATA, "node %d of the body has a number that cannot be", i);
        t->leaves += n.left == 0;
        t->nodes[t->count++] = n;
        if (n.left > 0) continue;
        if ((size_t)(end - numbers) < leaf_bytes) return WEIR_FAIL(err, WEIR_EDATA, "the body ends inside leaf %d", i);
        double *copy = leaf_numbers(t);
        if (!copy) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d nodes", count);
        memcpy(copy, numbers, leaf_bytes);
        t->nodes[i].numbers = copy;
        numbers += leaf_bytes;
        for (size_t j = 0; j < leaf_count(t); j++)
            if (!isfinite(copy[j])) return WEIR_FAIL(err, WEIR_EDATA, "leaf %d of the body holds a number that is not finite", i);
    }
    return numbers == end ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "%zu bytes are left behind the body's leaves", (size_t)(end - numbers));
}

static weir_status parse_tree(const void *body, size_t len, const weir_model_shape *shape, weir_hoeffding **ret_tree, weir_err *err) {
    const char *bytes = body;
    double count = 0;
    if (len >= sizeof magic + sizeof count) memcpy(&count, bytes + sizeof magic, sizeof count);
    if (len < sizeof magic + sizeof count || memcmp(bytes, magic, sizeof magic) != 0 || !(count >= 1 && count <= NODES_MAX) || count != floor(count) ||
        (len - sizeof magic - sizeof count) / (RECORD_COUNT * sizeof(double)) < (size_t)count)
        return WEIR_FAIL(err, WEIR_EDATA, "the body has %zu bytes and claims %g nodes, expected more that begin with %.8s", len, count, magic);
    weir_hoeffding *t = tree_new(shape);
    if (!t) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a tree");
    weir_status status = read_nodes(t, bytes + sizeof magic + sizeof count, bytes + len, (int)count, err);
    if (status)
        tree_free(t);
    else
        *ret_tree = t;
    return status;
}

/* A single leaf that has seen nothing. */
static weir_status begin_tree(const weir_model_shape *shape, weir_hoeffding **ret_tree, weir_err *err) {
    weir_hoeffding *t = tree_new(shape);
    double *numbers = t && tree_reserve(t, 1) ? leaf_numbers(t) : NULL;
    if (!numbers) {
        tree_free(t);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a tree");
    }
    t->nodes[t->count++] = (weir_hoeffding_node){.numbers = numbers};
    t->leaves = 1;
    *ret_tree = t;
    return WEIR_OK;
}

static weir_status learn(const void *params, const void *body, size_t len, const weir_model_shape *shape, const weir_matrix *more, weir_buf *ret_body,
                         weir_err *err) {
    weir_hoeffding *t = NULL;
    weir_status status = body ? parse_tree(body, len, shape, &t, err) : begin_tree(shape, &t, err);
    for (int64_t r = 0; !status && r < more->row_count; r++) {
        double weight = weir_matrix_weight(more, r);
        if (r % WEIR_CHUNK_ROWS == 0) status = weir_interrupt_check(err);
        if (!status && weight > 0) status = learn_row(t, params, more->values + r * more->column_count, (int)more->label[r], weight, err);
    }
    if (!status) status = append_tree(t, ret_body, err);
    tree_free(t);
    return status;
}

static weir_status fit(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)seed, (void)threads; /* rows are taken in their order: nothing is drawn */
    weir_model_shape shape = {
        .column_count = train->column_count, .task = train->task, .output_count = train->task == WEIR_TASK_MULTICLASS ? train->class_count : 1};
    return learn(params, NULL, 0, &shape, train, ret_body, err);
}

static weir_status load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    weir_hoeffding *t = NULL;
    weir_status status = parse_tree(body, len, shape, &t, err);
    if (!status) *ret_predictor = t;
    return status;
}

static weir_status predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    (void)err;
    const weir_hoeffding *t = predictor;
    double both[2]; /* a binary task scores class 1 alone */
    for (int64_t r = 0; r < row_count; r++) {
        const double *x = rows + r * shape->column_count;
        weir_hoeffding_leaf l = weir_hoeffding_leaf_of(t, &t->nodes[find_leaf(t, x)]);
        score_leaf(t, &l, x, shape->task == WEIR_TASK_MULTICLASS ? out + r * shape->output_count : both);
        if (shape->task == WEIR_TASK_BINARY) out[r] = both[1];
    }
    return WEIR_OK;
}

#define AT(field) offsetof(hoeffding_params, field)
static const weir_conf_item params_table[] = {
    {.name = "grace_period",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(grace_period),
     .min = 1,
     .max = 1e9,
     .fallback = "200",
     .unit = "rows",
     .doc = "that a leaf sees before it looks for a split again"},
    {.name = "delta",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(delta),
     .min = 1e-300,
     .max = 0.999,
     .fallback = "1e-7",
     .doc = "probability that a split is not the best of the stream"},
    {.name = "tie_threshold",
     .type = WEIR_CONF_NUMBER,
     .offset = AT(tie_threshold),
     .min = 0,
     .max = 1,
     .fallback = "0.05",
     .doc = "bound below which two splits are as good as each other"},
    {.name = "max_depth", .type = WEIR_CONF_INT, .offset = AT(max_depth), .min = 0, .max = 1000, .fallback = "20", .doc = "splits above a leaf"},
    {.name = "max_leaves",
     .type = WEIR_CONF_INT,
     .offset = AT(max_leaves),
     .min = 1,
     .max = 100000,
     .fallback = "1000",
     .doc = "leaves at most: bounds the memory"},
    {.name = NULL},
};

const weir_algorithm weir_algorithm_hoeffding = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "hoeffding_tree",
    .doc = "A decision tree that learns classes row by row and keeps no row (VFDT), with naive Bayes in its leaves; goes on learning from a stream",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_BINARY) | WEIR_TASK_BIT(WEIR_TASK_MULTICLASS),
    .params = params_table,
    .params_size = sizeof(hoeffding_params),
    .fit = fit,
    .load = load,
    .predict = predict,
    .unload = tree_free,
    .preprocessing = "none; a missing value goes where more of the rows went",
    .learn = learn,
};
