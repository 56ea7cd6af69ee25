/* The chain: reading its description, fitting it step by step, applying it. */
#include "models/prep.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "features/sort.h"
#include "models/memory.h"
#include "models/prep_internal.h"

static const weir_prep_step *const steps[] = {&weir_prep_impute, &weir_prep_outliers, &weir_prep_scale, &weir_prep_encode, &weir_prep_select};
enum { STEP_KINDS = sizeof steps / sizeof *steps, PATH_MAX_BYTES = 160 };
static const char *const kind_names[] = {"a number", "a category", "a flag"};

/* ---- the description ---- */

/* A step as it was asked for. */
typedef struct step_use {
    const weir_prep_step *step;
    void *params; /* begins with weir_prep_common */
    bool *named; /* [column_count]; NULL: no columns were named */
} step_use;

static void use_done(step_use *use) {
    if (use->params) weir_conf_done(use->step->params, use->params);
    weir_models_free(use->params);
    weir_models_free(use->named);
    *use = (step_use){0};
}

/* By the first key that names one; a second one is then an unknown key. */
static const weir_prep_step *find_step(const cJSON *given) {
    for (const cJSON *item = given->child; item; item = item->next)
        for (int i = 0; i < STEP_KINDS; i++)
            if (!strcmp(item->string, steps[i]->key)) return steps[i];
    return NULL;
}

static weir_status no_step(const cJSON *given, const char *path, weir_err *err) {
    static const char *const keys[] = {"impute", "outliers", "scale", "encode", "select", NULL};
    const char *first = given->child ? given->child->string : NULL, *near = first ? weir_conf_nearest(first, keys) : NULL;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s%s, expected one of impute, outliers, scale, encode and select%s%s%s", path, first ? "key " : "nothing",
                     first ? first : "", near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int find_column(const weir_prep_column *columns, int column_count, const char *name) {
    int c = 0;
    while (c < column_count && strcmp(columns[c].name, name) != 0) c++;
    return c < column_count ? c : -1;
}

static weir_status unknown_column(const weir_prep_column *columns, int column_count, const char *path, int i, const char *name, weir_err *err) {
    const char **names = weir_models_calloc((size_t)column_count + 1, sizeof *names);
    if (!names) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d names", column_count);
    for (int c = 0; c < column_count; c++) names[c] = columns[c].name;
    const char *near = weir_conf_nearest(name, names);
    weir_models_free(names);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s.columns[%d]: found '%s', expected the name of a column%s%s%s", path, i, name, near ? "; did you mean \"" : "",
                     near ? near : "", near ? "\"?" : "");
}

/* Column i of "columns" is of a kind that the step cannot take. */
static weir_status wrong_kind(const step_use *use, const char *path, int i, const char *name, weir_prep_kind kind, weir_err *err) {
    char wanted[64] = "";
    for (int k = WEIR_PREP_NUMBER; k <= WEIR_PREP_FLAG; k++)
        if (use->step->takes(use->params, (weir_prep_kind)k, true))
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%s", *wanted ? " or " : "", kind_names[k]);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s.columns[%d]: found '%s', which is %s here, expected %s", path, i, name, kind_names[kind], wanted);
}

/* kinds [column_count]: what earlier steps made of the columns. */
static weir_status read_columns(step_use *use, char **list, const char *path, const weir_prep_column *columns, int column_count, const weir_prep_kind *kinds,
                                weir_err *err) {
    if (!list || !*list) return WEIR_FAIL(err, WEIR_EINVAL, "%s.columns: found an empty array, expected names of columns, or no \"columns\" for all", path);
    use->named = weir_models_calloc((size_t)column_count, sizeof *use->named);
    if (!use->named) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", column_count);
    for (int i = 0; list[i]; i++) {
        int c = find_column(columns, column_count, list[i]);
        if (c < 0) return unknown_column(columns, column_count, path, i, list[i], err);
        if (use->named[c]) return WEIR_FAIL(err, WEIR_EINVAL, "%s.columns[%d]: '%s' is there twice", path, i, list[i]);
        if (!use->step->takes(use->params, kinds[c], true)) return wrong_kind(use, path, i, list[i], kinds[c], err);
        use->named[c] = true;
    }
    return WEIR_OK;
}

/* Reads a step and notes in kinds what it makes of the columns. */
static weir_status read_step(const cJSON *given, const char *path, const weir_prep_column *columns, int column_count, weir_prep_kind *kinds, step_use *ret_use,
                             weir_err *err) {
    if (!cJSON_IsObject(given)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found no object, expected a step such as {\"impute\": \"median\"}", path);
    step_use use = {.step = find_step(given)};
    if (!use.step) return no_step(given, path, err);
    use.params = weir_models_calloc(1, use.step->params_size);
    if (!use.params) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a step");
    weir_status status = weir_conf_defaults(use.step->params, use.params, err);
    if (status == WEIR_OK) status = weir_conf_from_json(use.step->params, use.params, given, path, err);
    if (status == WEIR_OK && use.step->check) status = use.step->check(use.params, given, path, err);
    if (status == WEIR_OK && cJSON_GetObjectItemCaseSensitive(given, "columns"))
        status = read_columns(&use, ((weir_prep_common *)use.params)->columns, path, columns, column_count, kinds, err);
    if (status != WEIR_OK) {
        use_done(&use);
        return status;
    }
    for (int c = 0; c < column_count; c++)
        if (use.named ? use.named[c] : use.step->takes(use.params, kinds[c], false)) kinds[c] = use.step->becomes(use.params, kinds[c]);
    *ret_use = use;
    return WEIR_OK;
}

weir_status weir_prep_only(const cJSON *given, const char *path, const char *key, bool allowed, const char *where, weir_err *err) {
    if (allowed || !cJSON_GetObjectItemCaseSensitive(given, key)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found a key that says nothing here, expected it only with %s", path, key, where);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* *ret_twice: a name that is there twice, else NULL. */
static weir_status find_twice(const char *const *names, int count, const char **ret_twice, weir_err *err) {
    const char **sorted = weir_models_calloc((size_t)count, sizeof *sorted);
    if (!sorted) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d names", count);
    memcpy(sorted, names, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_text);
    *ret_twice = NULL;
    for (int i = 1; i < count && !*ret_twice; i++)
        if (!strcmp(sorted[i - 1], sorted[i])) *ret_twice = sorted[i];
    weir_models_free(sorted);
    return WEIR_OK;
}

static weir_status check_names(const weir_prep_column *columns, int column_count, weir_err *err) {
    const char **names = weir_models_calloc((size_t)column_count, sizeof *names), *twice = NULL;
    if (!names) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d names", column_count);
    for (int c = 0; c < column_count; c++) names[c] = columns[c].name;
    weir_status status = find_twice(names, column_count, &twice, err);
    if (status == WEIR_OK && twice) status = WEIR_FAIL(err, WEIR_EINVAL, "two columns are named '%s', expected distinct names", twice);
    weir_models_free(names);
    return status;
}

static weir_status check_shape(const cJSON *spec, const char *path, const weir_prep_column *columns, int column_count, weir_err *err) {
    int count = cJSON_IsArray(spec) ? cJSON_GetArraySize(spec) : -1;
    if (count < 0 || count > WEIR_PREP_STEPS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an array of up to %d steps", path, count < 0 ? "no array" : "more", WEIR_PREP_STEPS_MAX);
    if (column_count < 1 || column_count > WEIR_PREP_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "found %d columns, expected 1 to %d", column_count, WEIR_PREP_COLUMNS_MAX);
    for (int c = 0; c < column_count; c++) {
        if (!columns[c].name || !*columns[c].name) return WEIR_FAIL(err, WEIR_EINVAL, "column %d has no name", c);
        if (columns[c].kind != WEIR_PREP_NUMBER && columns[c].kind != WEIR_PREP_CATEGORY)
            return WEIR_FAIL(err, WEIR_EINVAL, "column '%s' is neither a number nor a category", columns[c].name);
    }
    return check_names(columns, column_count, err);
}

static weir_prep_kind *first_kinds(const weir_prep_column *columns, int column_count) {
    weir_prep_kind *kinds = weir_models_calloc((size_t)column_count, sizeof *kinds);
    for (int c = 0; kinds && c < column_count; c++) kinds[c] = columns[c].kind;
    return kinds;
}

weir_status weir_prep_check(const cJSON *spec, const char *path, const weir_prep_column *columns, int column_count, weir_err *err) {
    return weir_prep_check_kinds(spec, path, columns, column_count, NULL, err);
}

weir_status weir_prep_check_kinds(const cJSON *spec, const char *path, const weir_prep_column *columns, int column_count, weir_prep_kind *ret_kinds,
                                  weir_err *err) {
    weir_status status = check_shape(spec, path, columns, column_count, err);
    if (status != WEIR_OK) return status;
    weir_prep_kind *kinds = first_kinds(columns, column_count);
    if (!kinds) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", column_count);
    const cJSON *given;
    int i = 0;
    cJSON_ArrayForEach(given, spec) {
        char at[PATH_MAX_BYTES];
        step_use use = {0};
        snprintf(at, sizeof at, "%s[%d]", path, i++);
        status = read_step(given, at, columns, column_count, kinds, &use, err);
        if (status != WEIR_OK) break;
        use_done(&use);
    }
    if (status == WEIR_OK && ret_kinds) memcpy(ret_kinds, kinds, (size_t)column_count * sizeof *kinds);
    weir_models_free(kinds);
    return status;
}

/* ---- building the forest ---- */

/* The block [count] of size-byte elements with room for one more, in the arena. The old one stays behind: doubling wastes no more than there is. */
static void *with_room(weir_prep *prep, void *block, int count, int *capacity, size_t size) {
    if (count < *capacity) return block;
    int wider = *capacity ? 2 * *capacity : 64;
    void *larger = weir_arena_alloc(&prep->arena, (size_t)wider * size);
    if (!larger) return NULL;
    if (count) memcpy(larger, block, (size_t)count * size);
    *capacity = wider;
    return larger;
}

static weir_status no_room(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a preprocessing chain");
}

weir_status weir_prep_add(weir_prep *prep, weir_prep_node node, int *ret_index, weir_err *err) {
    const weir_prep_node *parent = node.parent < 0 ? NULL : &prep->nodes[node.parent];
    if (!node.name && parent) node.name = parent->name;
    if (!(isfinite(node.a) && isfinite(node.b)) && node.op != WEIR_PREP_CODE)
        return WEIR_FAIL(err, WEIR_ENUMERIC, "column '%s': its values are too large to fit a step on", node.name);
    if (parent) {
        node.input = parent->input;
        node.depth = parent->depth + 1;
    }
    if (node.depth > DEPTH_MAX || prep->node_count == NODES_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "column '%s': the chain has more than %d operations, or %d on one column", node.name, NODES_MAX, DEPTH_MAX);
    node.timed = node.op == WEIR_PREP_FORWARD_FILL || node.op == WEIR_PREP_INTERPOLATE || (parent && parent->timed);
    weir_prep_node *nodes = with_room(prep, prep->nodes, prep->node_count, &prep->node_capacity, sizeof *nodes);
    if (!nodes) return no_room(err);
    prep->nodes = nodes;
    *ret_index = prep->node_count;
    nodes[prep->node_count++] = node;
    return WEIR_OK;
}

weir_status weir_prep_emit(weir_prep_fitting *f, int node, weir_err *err) {
    if (f->emitted_count == WEIR_PREP_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "step %d makes more than %d columns of what there is", f->step, WEIR_PREP_COLUMNS_MAX);
    f->emitted[f->emitted_count++] = node;
    return WEIR_OK;
}

weir_status weir_prep_emit_new(weir_prep_fitting *f, weir_prep_node node, weir_err *err) {
    int index = 0;
    weir_status status = weir_prep_add(f->prep, node, &index, err);
    return status == WEIR_OK ? weir_prep_emit(f, index, err) : status;
}

weir_status weir_prep_name(weir_prep *prep, const char *stem, const char *suffix, const char **ret_name, weir_err *err) {
    size_t stem_len = strlen(stem), suffix_len = strlen(suffix);
    char *name = weir_arena_alloc(&prep->arena, stem_len + suffix_len + 2);
    if (!name) return no_room(err);
    memcpy(name, stem, stem_len);
    name[stem_len] = '=';
    memcpy(name + stem_len + 1, suffix, suffix_len + 1);
    *ret_name = name;
    return WEIR_OK;
}

weir_status weir_prep_add_levels(weir_prep *prep, const double *values, const char *const *texts, int count, int *ret_index, weir_err *err) {
    weir_prep_levels *all = with_room(prep, prep->levels, prep->level_count, &prep->level_capacity, sizeof *all);
    if (!all) return no_room(err);
    prep->levels = all;
    size_t n = (size_t)count;
    weir_pair *pairs = weir_models_calloc(n, sizeof *pairs);
    double *own = weir_arena_alloc(&prep->arena, 2 * n * sizeof *own), *sorted = own ? own + n : NULL;
    int *code = weir_arena_alloc(&prep->arena, n * sizeof *code);
    const char **own_texts = weir_arena_alloc(&prep->arena, n * sizeof *own_texts);
    bool ok = pairs && own && code && own_texts;
    for (int i = 0; ok && i < count; i++) {
        own[i] = values[i];
        pairs[i] = (weir_pair){values[i], i};
        own_texts[i] = texts[i] ? weir_arena_copy(&prep->arena, texts[i], strlen(texts[i])) : NULL;
        ok = !texts[i] || own_texts[i];
    }
    if (ok) weir_sort_pairs(pairs, count);
    for (int i = 0; ok && i < count; i++) {
        sorted[i] = pairs[i].key;
        code[i] = (int)pairs[i].with;
    }
    weir_models_free(pairs);
    if (!ok) return no_room(err);
    *ret_index = prep->level_count;
    all[prep->level_count++] = (weir_prep_levels){count, own, own_texts, sorted, code};
    return WEIR_OK;
}

weir_status weir_prep_note(weir_prep_fitting *f, int node, double value, bool kept, weir_err *err) {
    return weir_prep_add_evidence(f->prep, (weir_prep_evidence){f->step, f->prep->nodes[node].name, value, kept}, err);
}

weir_status weir_prep_add_evidence(weir_prep *prep, weir_prep_evidence evidence, weir_err *err) {
    weir_prep_evidence *all = with_room(prep, prep->evidence, prep->evidence_count, &prep->evidence_capacity, sizeof *all);
    if (!all) return no_room(err);
    prep->evidence = all;
    all[prep->evidence_count++] = evidence;
    return WEIR_OK;
}

weir_status weir_prep_new(weir_prep **ret_prep, weir_err *err) {
    weir_prep *prep = weir_models_calloc(1, sizeof *prep);
    if (!prep) return no_room(err);
    weir_arena_init(&prep->arena, ARENA_BYTES_MAX);
    *ret_prep = prep;
    return WEIR_OK;
}

weir_status weir_prep_add_input(weir_prep *prep, const char *name, weir_prep_kind kind, weir_err *err) {
    int index;
    const char *own = weir_arena_copy(&prep->arena, name, strlen(name));
    if (!own) return no_room(err);
    weir_prep_node node = {.op = WEIR_PREP_INPUT, .kind = kind, .parent = -1, .input = prep->input_count++, .levels = -1, .name = own};
    return weir_prep_add(prep, node, &index, err);
}

weir_status weir_prep_finish(weir_prep *prep, const int *outputs, int count, weir_err *err) {
    size_t inputs = (size_t)prep->input_count, n = (size_t)count;
    prep->input_names = weir_arena_alloc(&prep->arena, inputs * sizeof *prep->input_names);
    prep->output_names = weir_arena_alloc(&prep->arena, n * sizeof *prep->output_names);
    prep->outputs = weir_arena_alloc(&prep->arena, n * sizeof *prep->outputs);
    if (!prep->input_names || !prep->output_names || !prep->outputs) return no_room(err);
    for (size_t i = 0; i < inputs; i++) prep->input_names[i] = prep->nodes[i].name;
    for (size_t i = 0; i < n; i++) {
        prep->outputs[i] = outputs[i];
        prep->output_names[i] = prep->nodes[outputs[i]].name;
    }
    prep->output_count = count;
    const char *twice;
    weir_status status = find_twice(prep->output_names, count, &twice, err);
    if (status == WEIR_OK && twice) status = WEIR_FAIL(err, WEIR_EDATA, "the chain makes two columns named '%s', expected distinct names", twice);
    return status;
}

void weir_prep_free(weir_prep *prep) {
    if (!prep) return;
    weir_arena_done(&prep->arena);
    weir_models_free(prep);
}

int weir_prep_input_count(const weir_prep *prep) {
    return prep->input_count;
}
const char *const *weir_prep_input_names(const weir_prep *prep) {
    return prep->input_names;
}
int weir_prep_output_count(const weir_prep *prep) {
    return prep->output_count;
}
const char *const *weir_prep_output_names(const weir_prep *prep) {
    return prep->output_names;
}

/* ---- values ---- */

/* Its code, or -1. */
static int find_level(const weir_prep_levels *levels, double x) {
    int low = 0, high = levels->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (levels->sorted[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low < levels->count && levels->sorted[low] == x ? levels->code[low] : -1;
}

static double code_of(const weir_prep *prep, const weir_prep_node *node, double x) {
    if (isnan(x)) return node->b;
    int code = find_level(&prep->levels[node->levels], x);
    return code < 0 ? node->a : code;
}

static double is_other(const weir_prep *prep, const weir_prep_node *node, double x) {
    return isnan(x) ? node->a : find_level(&prep->levels[node->levels], x) < 0;
}

double weir_prep_value(const weir_prep *prep, const weir_prep_node *node, double x) {
    double a = node->a, b = node->b;
    switch (node->op) {
    case WEIR_PREP_INPUT:
    case WEIR_PREP_OP_COUNT: break;
    case WEIR_PREP_FILL:
    case WEIR_PREP_FORWARD_FILL:
    case WEIR_PREP_INTERPOLATE: return isnan(x) ? a : x;
    case WEIR_PREP_MISSING: return isnan(x);
    case WEIR_PREP_CLIP: return x < a ? a : x > b ? b : x;
    case WEIR_PREP_NULL: return x < a || x > b ? NAN : x;
    case WEIR_PREP_OUTSIDE: return x < a || x > b;
    case WEIR_PREP_SCALE: return (x - a) / b;
    case WEIR_PREP_STRETCH: return x * a + b;
    case WEIR_PREP_EQUALS: return x == a;
    case WEIR_PREP_OTHER: return is_other(prep, node, x);
    case WEIR_PREP_CODE: return code_of(prep, node, x);
    case WEIR_PREP_BUCKET: return !isnan(x) && weir_prep_bucket(x, (int)a) == (int)b;
    }
    return x;
}

/* No deeper than DEPTH_MAX. */
static double evaluate(const weir_prep *prep, int index, const double *row) {
    const weir_prep_node *node = &prep->nodes[index];
    return node->parent < 0 ? row[node->input] : weir_prep_value(prep, node, evaluate(prep, node->parent, row));
}

/* The levels of a category stand together, and their parent is worked out once. */
static void apply_row(const weir_prep *prep, const double *row, double *out) {
    int known = -1;
    double x = 0;
    for (int o = 0; o < prep->output_count; o++) {
        const weir_prep_node *node = &prep->nodes[prep->outputs[o]];
        if (node->parent < 0) {
            out[o] = row[node->input];
            continue;
        }
        if (node->parent != known) x = evaluate(prep, known = node->parent, row);
        out[o] = weir_prep_value(prep, node, x);
    }
}

void weir_prep_apply(const weir_prep *prep, const double *rows, int64_t row_count, double *out) {
    for (int64_t r = 0; r < row_count; r++) apply_row(prep, rows + r * prep->input_count, out + r * prep->output_count);
}

/* ---- columns of many rows ---- */

/* A row for sorting: of equal entity and time the earlier row comes first. */
typedef struct spot {
    int64_t time_us;
    uint32_t entity;
    int position;
} spot;

static int by_entity_and_time(const void *a, const void *b) {
    const spot *x = a, *y = b;
    if (x->entity != y->entity) return x->entity < y->entity ? -1 : 1;
    if (x->time_us != y->time_us) return x->time_us < y->time_us ? -1 : 1;
    return (x->position > y->position) - (x->position < y->position);
}

/* kept [n] rows; NULL: all. order [n] gets positions in kept. */
static weir_status sort_rows(const weir_prep_rows *rows, const int64_t *kept, int n, int *order, weir_err *err) {
    spot *spots = weir_models_calloc((size_t)n, sizeof *spots);
    if (!spots) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to sort %d rows", n);
    for (int i = 0; i < n; i++) {
        int64_t r = kept ? kept[i] : i;
        spots[i] = (spot){rows->time_us[r], rows->entity ? rows->entity[r] : 0, i};
    }
    qsort(spots, (size_t)n, sizeof *spots, by_entity_and_time);
    for (int i = 0; i < n; i++) order[i] = spots[i].position;
    weir_models_free(spots);
    return WEIR_OK;
}

/* Rows of a batch, and the order in which time passes over them. */
typedef struct batch {
    const weir_prep *prep;
    const weir_prep_rows *rows;
    const int64_t *kept; /* [count]; NULL: all rows */
    const int *order; /* [count] or NULL */
    int count;
} batch;

static void gather(const batch *b, int index, double *out) {
    const weir_prep_node *node = &b->prep->nodes[index];
    if (node->parent < 0) {
        for (int i = 0; i < b->count; i++) out[i] = b->rows->values[(b->kept ? b->kept[i] : i) * b->prep->input_count + node->input];
        return;
    }
    gather(b, node->parent, out);
    bool in_time = node->op == WEIR_PREP_FORWARD_FILL || node->op == WEIR_PREP_INTERPOLATE;
    if (in_time && b->order) weir_prep_fill_in_time(node, b->rows, b->kept, b->order, b->count, out);
    for (int i = 0; i < b->count; i++) out[i] = weir_prep_value(b->prep, node, out[i]);
}

void weir_prep_gather(const weir_prep_fitting *f, int node, double *out) {
    gather(&(batch){f->prep, f->rows, f->kept, f->order, f->kept_count}, node, out);
}

int weir_prep_present(const weir_prep_fitting *f, int node, double *out) {
    int n = 0;
    weir_prep_gather(f, node, out);
    for (int i = 0; i < f->kept_count; i++)
        if (!isnan(out[i])) out[n++] = out[i];
    weir_sort(out, n);
    return n;
}

static weir_status apply_timed(batch *b, double *out, weir_err *err) {
    int *order = weir_models_calloc((size_t)b->count, sizeof *order), width = b->prep->output_count;
    double *column = weir_models_calloc((size_t)b->count, sizeof *column);
    weir_status status = order && column ? sort_rows(b->rows, NULL, b->count, order, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d rows", b->count);
    b->order = order;
    for (int o = 0; status == WEIR_OK && o < width; o++) {
        if (!b->prep->nodes[b->prep->outputs[o]].timed) continue;
        gather(b, b->prep->outputs[o], column);
        for (int i = 0; i < b->count; i++) out[(int64_t)i * width + o] = column[i];
    }
    weir_models_free(column);
    weir_models_free(order);
    return status;
}

static weir_status check_row_count(const weir_prep_rows *rows, weir_err *err) {
    if (rows->row_count <= INT_MAX) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ELIMIT, "found %lld rows, expected up to %d", (long long)rows->row_count, INT_MAX);
}

weir_status weir_prep_apply_batch(const weir_prep *prep, const weir_prep_rows *rows, double *out, weir_err *err) {
    weir_status status = check_row_count(rows, err);
    if (status != WEIR_OK) return status;
    bool timed = false;
    for (int o = 0; o < prep->output_count; o++) timed = timed || prep->nodes[prep->outputs[o]].timed;
    weir_prep_apply(prep, rows->values, rows->row_count, out);
    return timed && rows->time_us ? apply_timed(&(batch){.prep = prep, .rows = rows, .count = (int)rows->row_count}, out, err) : WEIR_OK;
}

/* ---- fitting ---- */

static weir_status check_rows(const weir_prep_column *columns, int column_count, const weir_prep_rows *rows, weir_err *err) {
    weir_status status = check_row_count(rows, err);
    if (status != WEIR_OK) return status;
    if (rows->row_count < 1) return WEIR_FAIL(err, WEIR_EDATA, "found no rows to fit preprocessing on, expected at least 1");
    for (int64_t r = 0; r < rows->row_count; r++)
        for (int c = 0; c < column_count; c++)
            if (isinf(rows->values[r * column_count + c]))
                return WEIR_FAIL(err, WEIR_ENUMERIC, "row %lld has an infinite value in column '%s'", (long long)r, columns[c].name);
    return WEIR_OK;
}

static void fitting_done(weir_prep_fitting *f) {
    weir_prep_free(f->prep);
    weir_models_free(f->kept);
    weir_models_free(f->dropped);
    weir_models_free(f->order);
    weir_models_free(f->emitted);
    weir_models_free(f->current);
    weir_models_free(f->values);
}

static weir_status fitting_init(weir_prep_fitting *f, const cJSON *spec, const weir_prep_column *columns, int column_count, weir_err *err) {
    size_t n = (size_t)f->rows->row_count;
    f->kept = weir_models_calloc(n, sizeof *f->kept);
    f->dropped = weir_models_calloc(n, sizeof *f->dropped);
    f->emitted = weir_models_calloc(WEIR_PREP_COLUMNS_MAX, sizeof *f->emitted);
    f->current = weir_models_calloc(WEIR_PREP_COLUMNS_MAX, sizeof *f->current);
    f->values = weir_models_calloc(n, sizeof *f->values);
    f->order = f->rows->time_us ? weir_models_calloc(n, sizeof *f->order) : NULL;
    if (!f->kept || !f->dropped || !f->emitted || !f->current || !f->values || (f->rows->time_us && !f->order))
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to fit preprocessing on %lld rows", (long long)f->rows->row_count);
    weir_status status = weir_prep_new(&f->prep, err);
    for (int c = 0; status == WEIR_OK && c < column_count; c++) {
        status = weir_prep_add_input(f->prep, columns[c].name, columns[c].kind, err);
        f->current[f->current_count++] = c;
    }
    for (size_t i = 0; i < n; i++) f->kept[f->kept_count++] = (int64_t)i;
    if (status == WEIR_OK && f->order) status = sort_rows(f->rows, f->kept, f->kept_count, f->order, err);
    char *text = status == WEIR_OK ? cJSON_PrintUnformatted(spec) : NULL;
    if (text) f->prep->steps = weir_arena_copy(&f->prep->arena, text, strlen(text));
    cJSON_free(text);
    return status == WEIR_OK && !f->prep->steps ? no_room(err) : status;
}

static bool takes_node(const weir_prep_fitting *f, const step_use *use, int node) {
    const weir_prep_node *n = &f->prep->nodes[node];
    return (!use->named || use->named[n->input]) && use->step->takes(use->params, n->kind, use->named != NULL);
}

static weir_status fit_columns(weir_prep_fitting *f, const step_use *use, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; status == WEIR_OK && i < f->current_count; i++) {
        int node = f->current[i];
        status = takes_node(f, use, node) ? use->step->fit(f, use->params, node, err) : weir_prep_emit(f, node, err);
    }
    return status;
}

static weir_status choose_columns(weir_prep_fitting *f, const step_use *use, weir_err *err) {
    int count = 0, *nodes = weir_models_calloc((size_t)f->current_count, sizeof *nodes);
    bool *keep = weir_models_calloc((size_t)f->current_count, sizeof *keep);
    for (int i = 0; nodes && i < f->current_count; i++)
        if (takes_node(f, use, f->current[i])) nodes[count++] = f->current[i];
    weir_status status = nodes && keep ? WEIR_OK : no_room(err);
    if (status == WEIR_OK && count) status = use->step->choose(f, use->params, nodes, count, keep, err);
    for (int i = 0, n = 0; status == WEIR_OK && i < f->current_count; i++) {
        bool taken = n < count && nodes[n] == f->current[i];
        if (!taken || keep[n]) status = weir_prep_emit(f, f->current[i], err);
        n += taken;
    }
    weir_models_free(keep);
    weir_models_free(nodes);
    return status;
}

/* Takes out the rows that the step dropped. */
static weir_status leave_out_dropped(weir_prep_fitting *f, weir_err *err) {
    int n = 0;
    for (int i = 0; i < f->kept_count; i++)
        if (!f->dropped[f->kept[i]]) f->kept[n++] = f->kept[i];
    if (n == f->kept_count) return WEIR_OK;
    f->kept_count = n;
    if (!n) return WEIR_FAIL(err, WEIR_EDATA, "step %d drops every row, expected some to be left", f->step);
    return f->order ? sort_rows(f->rows, f->kept, n, f->order, err) : WEIR_OK;
}

static weir_status fit_step(weir_prep_fitting *f, const step_use *use, weir_err *err) {
    f->emitted_count = 0;
    weir_status status = use->step->choose ? choose_columns(f, use, err) : fit_columns(f, use, err);
    if (status != WEIR_OK) return status;
    memcpy(f->current, f->emitted, (size_t)f->emitted_count * sizeof *f->current);
    f->current_count = f->emitted_count;
    return leave_out_dropped(f, err);
}

static weir_status fit_steps(weir_prep_fitting *f, const cJSON *spec, const char *path, int column_count, weir_err *err) {
    weir_prep_kind *kinds = first_kinds(f->columns, column_count);
    if (!kinds) return no_room(err);
    weir_status status = WEIR_OK;
    const cJSON *given;
    cJSON_ArrayForEach(given, spec) {
        char at[PATH_MAX_BYTES];
        step_use use = {0};
        snprintf(at, sizeof at, "%s[%d]", path, f->step);
        status = read_step(given, at, f->columns, column_count, kinds, &use, err);
        if (status == WEIR_OK && (status = fit_step(f, &use, err)) != WEIR_OK && err) (void)weir_err_prefix(err, "%s", at);
        use_done(&use);
        if (status != WEIR_OK) break;
        f->step++;
    }
    weir_models_free(kinds);
    return status;
}

weir_status weir_prep_fit(const cJSON *spec, const char *path, const weir_prep_column *columns, int column_count, const weir_prep_rows *rows,
                          weir_prep **ret_prep, bool *ret_keep, weir_err *err) {
    weir_status status = weir_prep_check(spec, path, columns, column_count, err);
    if (status == WEIR_OK) status = check_rows(columns, column_count, rows, err);
    if (status != WEIR_OK) return status;
    weir_prep_fitting f = {.columns = columns, .rows = rows};
    status = fitting_init(&f, spec, columns, column_count, err);
    if (status == WEIR_OK) status = fit_steps(&f, spec, path, column_count, err);
    if (status == WEIR_OK && !f.current_count) status = WEIR_FAIL(err, WEIR_EDATA, "%s: the chain leaves no column, expected at least 1", path);
    if (status == WEIR_OK) status = weir_prep_finish(f.prep, f.current, f.current_count, err);
    if (status == WEIR_OK) {
        for (int64_t r = 0; ret_keep && r < rows->row_count; r++) ret_keep[r] = !f.dropped[r];
        *ret_prep = f.prep;
        f.prep = NULL;
    }
    fitting_done(&f);
    return status;
}
