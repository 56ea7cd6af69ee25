/* The text that LightGBM saves, of which this is used:
 *
 *   tree                          front: KEY=VALUE a line, up to an empty one
 *   version=v4
 *   num_class=1
 *   num_tree_per_iteration=1
 *   max_feature_idx=29
 *   objective=binary sigmoid:1
 *   average_output                of forests
 *   feature_names=a b c
 *
 *   Tree=0                        a tree: the same
 *   num_leaves=3
 *   num_cat=1
 *   split_feature=0 2             splits
 *   threshold=0.5 0
 *   decision_type=10 1
 *   left_child=1 -1               below 0: leaf ~child
 *   right_child=-2 -3
 *   leaf_value=0.1 -0.2 0.3
 *   cat_boundaries=0 1            sets of categories: words of each
 *   cat_threshold=6
 *   is_linear=0
 *
 *   end of trees */
#include "models/lightgbm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"
#include "models/softmax.h"

enum { TREES_MAX = 1 << 20, LEAVES_MAX = 1 << 20, WORDS_MAX = 1 << 24 };
#define ARENA_BYTES_MAX ((size_t)16 << 30)

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a model of LightGBM");
}

/* ---- lines ---- */

/* Lines up to an empty one. */
typedef struct section {
    const char *from, *to;
} section;

/* The text ends with a NUL. Empty lines before it are skipped. */
static section next_section(const char **at) {
    while (**at == '\n' || **at == '\r') ++*at;
    section s = {*at, *at};
    while (**at && **at != '\n' && **at != '\r') {
        const char *stop = strchr(*at, '\n');
        *at = stop ? stop + 1 : *at + strlen(*at);
        s.to = *at;
    }
    return s;
}

/* The value of a key, up to the end of its line; NULL: there is no such line. */
static const char *find_value(section s, const char *key, size_t *ret_len) {
    size_t key_len = strlen(key);
    for (const char *line = s.from; line < s.to;) {
        const char *stop = memchr(line, '\n', (size_t)(s.to - line)), *end = stop ? stop : s.to;
        if ((size_t)(end - line) > key_len && !memcmp(line, key, key_len) && line[key_len] == '=') {
            *ret_len = (size_t)(end - line) - key_len - 1;
            return line + key_len + 1;
        }
        line = end + 1;
    }
    return NULL;
}

static bool has_line(section s, const char *line) {
    size_t len = strlen(line);
    for (const char *at = s.from; at < s.to;) {
        const char *stop = memchr(at, '\n', (size_t)(s.to - at)), *end = stop ? stop : s.to;
        if ((size_t)(end - at) >= len && !memcmp(at, line, len) && ((size_t)(end - at) == len || at[len] == '\r')) return true;
        at = end + 1;
    }
    return false;
}

/* A whole number from min to max. */
static weir_status whole(section s, const char *key, long min, long max, long fallback, long *ret_number, weir_err *err) {
    size_t len = 0;
    const char *value = find_value(s, key, &len);
    char *end = NULL;
    if (!value && fallback >= min) {
        *ret_number = fallback;
        return WEIR_OK;
    }
    *ret_number = value ? strtol(value, &end, 10) : 0;
    if (value && end != value && *ret_number >= min && *ret_number <= max && (*end == '\n' || *end == '\r' || !*end)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EDATA, "%s is %.*s, expected a whole number from %ld to %ld", key, value ? (int)(len < 40 ? len : 40) : 7,
                     value ? value : "missing", min, max);
}

/* count numbers of a line; infinite ones are no numbers, but of thresholds: beyond all values, where only missing ones are told apart. */
static weir_status numbers(section s, const char *key, int count, bool infinite, double *out, weir_err *err) {
    size_t len = 0;
    const char *at = find_value(s, key, &len);
    int found = 0;
    for (const char *stop = at ? at + len : NULL; at && found < count && at < stop; found++) {
        char *end;
        while (at < stop && *at == ' ') at++;
        if (at >= stop || *at == '\r') break;
        out[found] = strtod(at, &end);
        if (end == at || isnan(out[found]) || (isinf(out[found]) && !infinite)) break;
        at = end;
    }
    return found == count ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "%s has %d numbers that can be read, expected %d", key, found, count);
}

/* ---- the front ---- */

typedef struct objective {
    const char *name;
    weir_task task;
    weir_lgb_link link;
} objective;
static const objective objectives[] = {{"binary", WEIR_TASK_BINARY, WEIR_LGB_LOGISTIC},         {"cross_entropy", WEIR_TASK_BINARY, WEIR_LGB_LOGISTIC},
                                       {"multiclass", WEIR_TASK_MULTICLASS, WEIR_LGB_SOFTMAX},  {"regression", WEIR_TASK_REGRESSION, WEIR_LGB_VALUE},
                                       {"regression_l1", WEIR_TASK_REGRESSION, WEIR_LGB_VALUE}, {"huber", WEIR_TASK_REGRESSION, WEIR_LGB_VALUE},
                                       {"fair", WEIR_TASK_REGRESSION, WEIR_LGB_VALUE},          {"quantile", WEIR_TASK_REGRESSION, WEIR_LGB_VALUE},
                                       {"mape", WEIR_TASK_REGRESSION, WEIR_LGB_VALUE},          {"poisson", WEIR_TASK_REGRESSION, WEIR_LGB_EXP},
                                       {"gamma", WEIR_TASK_REGRESSION, WEIR_LGB_EXP},           {"tweedie", WEIR_TASK_REGRESSION, WEIR_LGB_EXP}};

static weir_status read_objective(weir_lgb *m, section front, weir_err *err) {
    size_t len = 0, count = sizeof objectives / sizeof *objectives, o = 0;
    const char *value = find_value(front, "objective", &len), *sigmoid;
    char text[128] = "";
    if (!value || len >= sizeof text)
        return WEIR_FAIL(err, WEIR_EDATA, "the model says no objective: it was trained by one of a program's own, whose scores are not known here");
    memcpy(text, value, len);
    size_t name_len = strcspn(text, " \r");
    while (o < count && (strlen(objectives[o].name) != name_len || memcmp(objectives[o].name, text, name_len) != 0)) o++;
    if (o == count || strstr(text + name_len, "sqrt"))
        return WEIR_FAIL(err, WEIR_EDATA, "the objective is \"%s\", expected binary, cross_entropy, multiclass, or one of a regression without sqrt", text);
    m->task = objectives[o].task;
    m->link = objectives[o].link;
    m->sigmoid = (sigmoid = strstr(text, "sigmoid:")) ? strtod(sigmoid + 8, NULL) : 1;
    return m->sigmoid > 0 && isfinite(m->sigmoid) ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "the objective is \"%s\", whose sigmoid is no number above 0", text);
}

static weir_status read_names(weir_lgb *m, section front, weir_err *err) {
    size_t len = 0;
    const char *value = find_value(front, "feature_names", &len);
    int count = 0;
    if (!value) return WEIR_FAIL(err, WEIR_EDATA, "the model names no features");
    char *copy = weir_arena_copy(&m->arena, value, len), *save = NULL;
    m->names = weir_arena_alloc(&m->arena, (size_t)m->column_count * sizeof *m->names);
    if (!copy || !m->names) return no_memory(err);
    for (char *name = strtok_r(copy, " \r", &save); name; name = strtok_r(NULL, " \r", &save))
        if (count++ < m->column_count) m->names[count - 1] = name;
    return count == m->column_count ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "feature_names has %d names, expected %d", count, m->column_count);
}

static weir_status read_front(weir_lgb *m, section front, weir_err *err) {
    long highest = 0, outputs = 0;
    size_t len = 0;
    const char *version = find_value(front, "version", &len);
    if (!has_line(front, "tree") || !version || len < 2 || (memcmp(version, "v4", 2) != 0 && memcmp(version, "v3", 2) != 0))
        return WEIR_FAIL(err, WEIR_EDATA, "the text does not begin as a model of LightGBM does, with \"tree\" and version=v3 or v4");
    weir_status status = whole(front, "max_feature_idx", 0, WEIR_MODEL_COLUMNS_MAX - 1, -1, &highest, err);
    if (!status) status = whole(front, "num_tree_per_iteration", 1, WEIR_MODEL_CLASSES_MAX, -1, &outputs, err);
    m->column_count = (int)highest + 1;
    m->output_count = (int)outputs;
    if (!status) status = read_objective(m, front, err);
    if (!status && (m->output_count > 1) != (m->task == WEIR_TASK_MULTICLASS))
        status = WEIR_FAIL(err, WEIR_EDATA, "the model has %d trees an iteration, which its objective does not", m->output_count);
    return status ? status : read_names(m, front, err);
}

/* ---- trees ---- */

static weir_status whole_numbers(weir_lgb *m, section s, const char *key, int count, long min, long max, int **ret_numbers, double *scratch, weir_err *err) {
    weir_status status = numbers(s, key, count, false, scratch, err);
    *ret_numbers = weir_arena_alloc(&m->arena, ((size_t)count + 1) * sizeof **ret_numbers);
    if (!status && !*ret_numbers) return no_memory(err);
    for (int i = 0; !status && i < count; i++) {
        if (scratch[i] != floor(scratch[i]) || scratch[i] < (double)min || scratch[i] > (double)max)
            return WEIR_FAIL(err, WEIR_EDATA, "%s has %g at place %d, expected a whole number from %ld to %ld", key, scratch[i], i, min, max);
        (*ret_numbers)[i] = (int)scratch[i];
    }
    return status;
}

static weir_status read_sets(weir_lgb *m, section s, weir_lgb_tree *tree, weir_err *err) {
    double *scratch = weir_models_calloc((size_t)tree->set_count + 1, sizeof *scratch), *words = NULL;
    weir_status status = scratch ? whole_numbers(m, s, "cat_boundaries", tree->set_count + 1, 0, WORDS_MAX, &tree->set_first, scratch, err) : no_memory(err);
    for (int i = 0; !status && i < tree->set_count; i++)
        if (tree->set_first[i] > tree->set_first[i + 1] || tree->set_first[0]) status = WEIR_FAIL(err, WEIR_EDATA, "cat_boundaries do not ascend from 0");
    int count = status ? 0 : tree->set_first[tree->set_count];
    if (!status && !(words = weir_models_calloc((size_t)count + 1, sizeof *words))) status = no_memory(err);
    if (!status) status = numbers(s, "cat_threshold", count, false, words, err);
    if (!status && !(tree->set_words = weir_arena_alloc(&m->arena, ((size_t)count + 1) * sizeof *tree->set_words))) status = no_memory(err);
    for (int i = 0; !status && i < count; i++) {
        if (words[i] < 0 || words[i] > UINT32_MAX || words[i] != floor(words[i]))
            status = WEIR_FAIL(err, WEIR_EDATA, "cat_threshold has %g, expected words of 32 bits", words[i]);
        if (!status) tree->set_words[i] = (uint32_t)words[i];
    }
    weir_models_free(words);
    weir_models_free(scratch);
    return status;
}

/* Children come later than their parents, so a way down ends. */
static weir_status check_splits(const weir_lgb_tree *tree, weir_err *err) {
    for (int i = 0; i < tree->leaf_count - 1; i++) {
        const int children[] = {tree->left[i], tree->right[i]};
        for (int k = 0; k < 2; k++)
            if ((children[k] >= 0 && children[k] <= i) || children[k] > tree->leaf_count - 2 || ~children[k] > tree->leaf_count - 1)
                return WEIR_FAIL(err, WEIR_EDATA, "split %d has child %d, expected a later split or a leaf", i, children[k]);
        if (tree->decision[i] & WEIR_LGB_CATEGORICAL &&
            (tree->threshold[i] < 0 || tree->threshold[i] >= tree->set_count || tree->threshold[i] != floor(tree->threshold[i])))
            return WEIR_FAIL(err, WEIR_EDATA, "split %d names set %g of %d", i, tree->threshold[i], tree->set_count);
        if ((tree->decision[i] & WEIR_LGB_MISSING_MASK) == WEIR_LGB_MISSING_MASK)
            return WEIR_FAIL(err, WEIR_EDATA, "split %d has decision_type %d", i, tree->decision[i]);
    }
    return WEIR_OK;
}

static weir_status read_tree(weir_lgb *m, section s, weir_lgb_tree *tree, weir_err *err) {
    long leaves = 0, sets = 0, linear = 0;
    weir_status status = whole(s, "num_leaves", 1, LEAVES_MAX, 0, &leaves, err);
    if (!status) status = whole(s, "num_cat", 0, LEAVES_MAX, 0, &sets, err);
    if (!status) status = whole(s, "is_linear", 0, 1, 0, &linear, err);
    if (!status && linear) status = WEIR_FAIL(err, WEIR_EDATA, "its leaves are linear models, which is not supported");
    if (status) return status;
    tree->leaf_count = (int)leaves;
    tree->set_count = (int)sets;
    int splits = tree->leaf_count - 1;
    double *scratch = weir_models_calloc((size_t)leaves, sizeof *scratch);
    tree->value = weir_arena_alloc(&m->arena, (size_t)leaves * sizeof *tree->value);
    tree->threshold = weir_arena_alloc(&m->arena, ((size_t)splits + 1) * sizeof *tree->threshold);
    if (!scratch || !tree->value || !tree->threshold) status = no_memory(err);
    if (!status) status = numbers(s, "leaf_value", tree->leaf_count, false, tree->value, err);
    if (!status && splits) status = numbers(s, "threshold", splits, true, tree->threshold, err);
    if (!status && splits) status = whole_numbers(m, s, "split_feature", splits, 0, m->column_count - 1, &tree->column, scratch, err);
    if (!status && splits) status = whole_numbers(m, s, "decision_type", splits, 0, 15, &tree->decision, scratch, err);
    if (!status && splits) status = whole_numbers(m, s, "left_child", splits, -leaves, leaves, &tree->left, scratch, err);
    if (!status && splits) status = whole_numbers(m, s, "right_child", splits, -leaves, leaves, &tree->right, scratch, err);
    weir_models_free(scratch);
    if (!status && tree->set_count) status = read_sets(m, s, tree, err);
    return status ? status : check_splits(tree, err);
}

static int count_trees(const char *at) {
    int count = 0;
    for (section s = next_section(&at); s.from < s.to && !strncmp(s.from, "Tree=", 5); s = next_section(&at)) count++;
    return count;
}

static weir_status read_trees(weir_lgb *m, const char *at, bool forest, weir_err *err) {
    m->tree_count = count_trees(at);
    if (m->tree_count > TREES_MAX || m->tree_count % m->output_count)
        return WEIR_FAIL(err, WEIR_EDATA, "the model has %d trees, expected a multiple of %d and at most %d", m->tree_count, m->output_count, TREES_MAX);
    m->trees = weir_arena_alloc(&m->arena, ((size_t)m->tree_count + 1) * sizeof *m->trees);
    if (!m->trees) return no_memory(err);
    memset(m->trees, 0, ((size_t)m->tree_count + 1) * sizeof *m->trees);
    m->divisor = forest && m->tree_count ? (double)m->tree_count / m->output_count : 1;
    for (int t = 0; t < m->tree_count; t++) {
        weir_status status = read_tree(m, next_section(&at), &m->trees[t], err);
        if (status) return weir_err_prefix(err, "tree %d", t);
    }
    section end = next_section(&at);
    return has_line(end, "end of trees")
               ? WEIR_OK
               : WEIR_FAIL(err, WEIR_EDATA, "\"end of trees\" does not follow tree %d: the text is cut off or damaged", m->tree_count - 1);
}

weir_status weir_lgb_parse(const void *text, size_t len, weir_lgb **ret_model, weir_err *err) {
    weir_lgb *m = weir_models_calloc(1, sizeof *m);
    char *copy = weir_models_calloc(len + 1, 1); /* with a NUL */
    weir_status status = m && copy ? WEIR_OK : no_memory(err);
    if (!status) {
        weir_arena_init(&m->arena, ARENA_BYTES_MAX);
        memcpy(copy, text, len);
        const char *at = copy;
        section front = next_section(&at);
        status = read_front(m, front, err);
        if (!status) status = read_trees(m, at, has_line(front, "average_output"), err);
    }
    weir_models_free(copy);
    if (status)
        weir_lgb_free(m);
    else
        *ret_model = m;
    return status;
}

void weir_lgb_free(weir_lgb *model) {
    if (!model) return;
    weir_arena_done(&model->arena);
    weir_models_free(model);
}

/* ---- scoring, as LightGBM itself goes about it ---- */

static bool goes_left(const weir_lgb_tree *tree, int split, double x) {
    int decision = tree->decision[split], missing = decision & WEIR_LGB_MISSING_MASK;
    if (decision & WEIR_LGB_CATEGORICAL) return !isnan(x) && weir_lgb_in_set(tree, (int)tree->threshold[split], x);
    if (isnan(x) && missing != WEIR_LGB_MISSING_NAN) x = 0;
    if ((missing == WEIR_LGB_MISSING_ZERO && fabs(x) <= WEIR_LGB_ZERO) || isnan(x)) return decision & WEIR_LGB_MISSING_LEFT;
    return x <= tree->threshold[split];
}

static double tree_value(const weir_lgb_tree *tree, const double *row) {
    int at = tree->leaf_count > 1 ? 0 : -1;
    while (at >= 0) {
        double x = row[tree->column[at]];
        at = goes_left(tree, at, fabs(x) <= WEIR_LGB_ZERO ? 0 : x) ? tree->left[at] : tree->right[at];
    }
    return tree->value[~at];
}

static weir_status predict(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err) {
    const weir_lgb *m = predictor;
    (void)err;
    for (int64_t r = 0; r < row_count; r++, out += m->output_count) {
        for (int k = 0; k < m->output_count; k++) out[k] = 0;
        for (int t = 0; t < m->tree_count; t++) out[t % m->output_count] += tree_value(&m->trees[t], rows + r * shape->column_count);
        for (int k = 0; k < m->output_count; k++) out[k] /= m->divisor;
        if (m->link == WEIR_LGB_LOGISTIC) *out = 1 / (1 + exp(-m->sigmoid * *out));
        if (m->link == WEIR_LGB_EXP) *out = exp(*out);
        if (m->link == WEIR_LGB_SOFTMAX) (void)weir_softmax(out, m->output_count);
    }
    return WEIR_OK;
}

/* ---- the algorithm ---- */

static weir_status load(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err) {
    weir_lgb *m = NULL;
    weir_status status = weir_lgb_parse(body, len, &m, err);
    if (!status && (m->column_count != shape->column_count || m->output_count != shape->output_count || m->task != shape->task))
        status = WEIR_FAIL(err, WEIR_EDATA, "the body is %s, from %d columns to %d scores, the header says %s, from %d to %d", weir_task_name(m->task),
                           m->column_count, m->output_count, weir_task_name(shape->task), shape->column_count, shape->output_count);
    if (status)
        weir_lgb_free(m);
    else
        *ret_predictor = m;
    return status;
}

static void unload(void *predictor) {
    weir_lgb_free(predictor);
}

static weir_status refuse_fit(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err) {
    (void)params, (void)train, (void)seed, (void)threads, (void)ret_body;
    return WEIR_FAIL(err, WEIR_EINVAL, "models of LightGBM are imported, not fitted");
}

const weir_lgb *weir_lgb_of(const void *predictor) {
    return predictor;
}

static const weir_conf_item no_params[] = {{.name = NULL}};

const weir_algorithm weir_algorithm_lightgbm = {
    .abi = WEIR_ALGORITHM_ABI,
    .name = "lightgbm",
    .doc = "Trees that LightGBM trained elsewhere",
    .tasks = WEIR_TASK_BIT(WEIR_TASK_BINARY) | WEIR_TASK_BIT(WEIR_TASK_MULTICLASS) | WEIR_TASK_BIT(WEIR_TASK_REGRESSION),
    .params = no_params,
    .fit = refuse_fit,
    .load = load,
    .predict = predict,
    .unload = unload,
    .preprocessing = "none; missing values go the way that each split says, values within 1e-35 of 0 are 0",
};
