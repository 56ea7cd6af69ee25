/* ONNX: one graph from the rows to the scores, of the standard's operators only (opset 15, ai.onnx.ml 3).
 *
 *   input  double [N, columns], NaN: missing        output  double [N, scores a row]        label  int64 [N], of classes only
 *
 * Every step is the one that scoring takes, in float64; trees alone compare and add up in float32, as the library that trained them does. So linear models and support vectors
 * give the same score to rounding of float64, trees take the same leaves and differ by the order in which float32 is summed.
 *
 * Chains become operators of one column each ([N, 1]), joined in the end. NaN fails every comparison, so `Where` with comparisons keeps missing values missing; Clip, Min and Max
 * do not promise that and are not used on what may be missing.
 *
 * Source: ONNX, onnx.proto (field numbers), Operators.md, Operators-ml.md. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/export_internal.h"
#include "models/export_wire.h"
#include "models/memory.h"
#include "models/prep_internal.h"

enum { IR_VERSION = 8, OPSET = 15, OPSET_ML = 3 };
enum { TYPE_FLOAT = 1, TYPE_INT64 = 7, TYPE_DOUBLE = 11 }; /* TensorProto.DataType */
enum { ATTRIBUTE_INT = 2, ATTRIBUTE_STRING = 3, ATTRIBUTE_FLOATS = 6, ATTRIBUTE_INTS = 7, ATTRIBUTE_STRINGS = 8 };
enum { NAME_MAX_BYTES = 16, INPUT = 0 }; /* tensor 0 is the input */
static const char ml[] = "ai.onnx.ml";

/* Tensors are numbers; "t12" is the name of tensor 12. */
typedef struct graph {
    weir_wire wire; /* GraphProto: nodes and initializers as they come */
    int tensor_count;
} graph;

static void tensor_name(int tensor, char text[NAME_MAX_BYTES]) {
    if (tensor == INPUT)
        strcpy(text, "input");
    else
        snprintf(text, NAME_MAX_BYTES, "t%d", tensor);
}

/* ---- initializers ---- */

static int put_tensor(graph *g, int type, const int64_t *dims, size_t dim_count, const void *bytes, size_t len) {
    weir_wire tensor = weir_wire_new();
    char name[NAME_MAX_BYTES];
    int id = ++g->tensor_count;
    tensor_name(id, name);
    for (size_t i = 0; i < dim_count; i++) weir_wire_int(&tensor, 1, dims[i]);
    weir_wire_int(&tensor, 2, type);
    weir_wire_text(&tensor, 8, name);
    weir_wire_bytes(&tensor, 9, bytes, len);
    weir_wire_message(&g->wire, 5, &tensor);
    return id;
}

static int matrix(graph *g, const double *values, int64_t rows, int64_t columns) {
    const int64_t dims[] = {rows, columns};
    return put_tensor(g, TYPE_DOUBLE, dims, 2, values, (size_t)(rows * columns) * sizeof *values);
}

static int number(graph *g, double value) {
    return matrix(g, &value, 1, 1);
}

static int whole(graph *g, int64_t value) {
    const int64_t dims[] = {1};
    return put_tensor(g, TYPE_INT64, dims, 1, &value, sizeof value);
}

/* ---- nodes ---- */

/* An AttributeProto: name 1, its value in the field of its type, type 20. */
static void end_attribute(weir_wire *attributes, weir_wire *attribute, const char *name, int type) {
    weir_wire_text(attribute, 1, name);
    weir_wire_int(attribute, 20, type);
    weir_wire_message(attributes, 5, attribute);
}

static void int_attribute(weir_wire *attributes, const char *name, int64_t value) {
    weir_wire attribute = weir_wire_new();
    weir_wire_int(&attribute, 3, value);
    end_attribute(attributes, &attribute, name, ATTRIBUTE_INT);
}

static void text_attribute(weir_wire *attributes, const char *name, const char *value) {
    weir_wire attribute = weir_wire_new();
    weir_wire_text(&attribute, 4, value);
    end_attribute(attributes, &attribute, name, ATTRIBUTE_STRING);
}

static void floats_attribute(weir_wire *attributes, const char *name, const float *values, size_t count) {
    weir_wire attribute = weir_wire_new();
    weir_wire_floats(&attribute, 7, values, count);
    end_attribute(attributes, &attribute, name, ATTRIBUTE_FLOATS);
}

static void ints_attribute(weir_wire *attributes, const char *name, const int64_t *values, size_t count) {
    weir_wire attribute = weir_wire_new();
    weir_wire_ints(&attribute, 8, values, count);
    end_attribute(attributes, &attribute, name, ATTRIBUTE_INTS);
}

/* A NodeProto of tensors [count]. attributes are fields of it, or NULL; they are freed. output NULL: a new tensor. */
static int put_node(graph *g, const char *domain, const char *type, const int *inputs, int count, weir_wire *attributes, const char *output) {
    weir_wire node = weir_wire_new();
    char name[NAME_MAX_BYTES];
    int id = ++g->tensor_count;
    for (int i = 0; i < count; i++) {
        tensor_name(inputs[i], name);
        weir_wire_text(&node, 1, name);
    }
    tensor_name(id, name);
    weir_wire_text(&node, 2, output ? output : name);
    weir_wire_text(&node, 4, type);
    if (attributes) {
        node.ok = node.ok && attributes->ok && weir_buf_append(&node.bytes, attributes->bytes.data, attributes->bytes.len);
        weir_buf_done(&attributes->bytes);
    }
    if (*domain) weir_wire_text(&node, 7, domain);
    weir_wire_message(&g->wire, 1, &node);
    return id;
}

static int unary(graph *g, const char *type, int x) {
    return put_node(g, "", type, &x, 1, NULL, NULL);
}
static int binary(graph *g, const char *type, int x, int y) {
    return put_node(g, "", type, (const int[]){x, y}, 2, NULL, NULL);
}
static int where(graph *g, int condition, int yes, int no) {
    return put_node(g, "", "Where", (const int[]){condition, yes, no}, 3, NULL, NULL);
}

static int with_int(graph *g, const char *type, const int *inputs, int count, const char *name, int64_t value) {
    weir_wire attributes = weir_wire_new();
    int_attribute(&attributes, name, value);
    return put_node(g, "", type, inputs, count, &attributes, NULL);
}

static int cast(graph *g, int x, int type) {
    return with_int(g, "Cast", &x, 1, "to", type);
}
/* The sum of each row, [N, 1]. */
static int sum_rows(graph *g, int x) {
    return binary(g, "ReduceSum", x, whole(g, 1));
}
/* Limits x where it is beyond y: y where `type`(x, y). */
static int bound(graph *g, const char *type, int x, int y) {
    return where(g, binary(g, type, x, y), y, x);
}

/* ---- chains ---- */

/* Is x outside of [a, b]? */
static int outside(graph *g, const weir_prep_node *n, int x) {
    int below = binary(g, "Less", x, number(g, n->a)), above = binary(g, "Greater", x, number(g, n->b));
    return binary(g, "Or", below, above);
}

/* [N, levels]: 1.0 where x is that level. */
static int levels_hit(graph *g, const weir_prep_levels *levels, int x) {
    return cast(g, binary(g, "Equal", x, matrix(g, levels->values, 1, levels->count)), TYPE_DOUBLE);
}

static int other(graph *g, const weir_prep *prep, const weir_prep_node *n, int x) {
    const weir_prep_levels *levels = &prep->levels[n->levels];
    int none = levels->count ? binary(g, "Sub", number(g, 1), sum_rows(g, levels_hit(g, levels, x))) : number(g, 1);
    return where(g, unary(g, "IsNaN", x), number(g, n->a), none);
}

/* Codes are the places of the levels. */
static int code(graph *g, const weir_prep *prep, const weir_prep_node *n, int x) {
    const weir_prep_levels *levels = &prep->levels[n->levels];
    int value = number(g, n->a), missing = unary(g, "IsNaN", x);
    double *codes = weir_models_calloc((size_t)levels->count, sizeof *codes);
    g->wire.ok = g->wire.ok && codes;
    for (int i = 0; codes && i < levels->count; i++) codes[i] = i;
    if (codes && levels->count) {
        int hit = levels_hit(g, levels, x), any = binary(g, "Greater", sum_rows(g, hit), number(g, 0));
        value = where(g, any, binary(g, "MatMul", hit, matrix(g, codes, levels->count, 1)), value);
    }
    weir_models_free(codes);
    return where(g, missing, number(g, n->b), value);
}

/* The column [N, 1] of a node, x being its parent's. Hashing was refused before. */
static int prep_column(graph *g, const weir_prep *prep, const weir_prep_node *n, int x) {
    switch (n->op) {
    case WEIR_PREP_FILL:
    case WEIR_PREP_FORWARD_FILL:
    case WEIR_PREP_INTERPOLATE: return where(g, unary(g, "IsNaN", x), number(g, n->a), x);
    case WEIR_PREP_MISSING: return cast(g, unary(g, "IsNaN", x), TYPE_DOUBLE);
    case WEIR_PREP_CLIP: return bound(g, "Greater", bound(g, "Less", x, number(g, n->a)), number(g, n->b));
    case WEIR_PREP_NULL: return where(g, outside(g, n, x), number(g, NAN), x);
    case WEIR_PREP_OUTSIDE: return cast(g, outside(g, n, x), TYPE_DOUBLE);
    case WEIR_PREP_SCALE: return binary(g, "Div", binary(g, "Sub", x, number(g, n->a)), number(g, n->b));
    case WEIR_PREP_STRETCH: return binary(g, "Add", binary(g, "Mul", x, number(g, n->a)), number(g, n->b));
    case WEIR_PREP_EQUALS: return cast(g, binary(g, "Equal", x, number(g, n->a)), TYPE_DOUBLE);
    case WEIR_PREP_OTHER: return other(g, prep, n, x);
    case WEIR_PREP_CODE: return code(g, prep, n, x);
    default: return x;
    }
}

/* of [node_count]: the tensors of nodes that are there already, 0: none. No deeper than DEPTH_MAX. */
static int prep_tensor(graph *g, const weir_prep *prep, int index, int rows, int *of) {
    const weir_prep_node *n = &prep->nodes[index];
    if (of[index]) return of[index];
    if (n->parent < 0)
        of[index] = with_int(g, "Gather", (const int[]){rows, whole(g, n->input)}, 2, "axis", 1);
    else
        of[index] = prep_column(g, prep, n, prep_tensor(g, prep, n->parent, rows, of));
    return of[index];
}

static int chain(graph *g, const weir_prep *prep, int rows) {
    int *of = weir_models_calloc((size_t)prep->node_count, sizeof *of), *outputs = weir_models_calloc((size_t)prep->output_count, sizeof *outputs),
        joined = rows;
    g->wire.ok = g->wire.ok && of && outputs;
    for (int o = 0; g->wire.ok && o < prep->output_count; o++) outputs[o] = prep_tensor(g, prep, prep->outputs[o], rows, of);
    if (g->wire.ok) joined = with_int(g, "Concat", outputs, prep->output_count, "axis", 1);
    weir_models_free(outputs);
    weir_models_free(of);
    return joined;
}

/* ---- trees ---- */

/* The parallel arrays of TreeEnsembleRegressor. Leaves are nodes too. */
typedef struct tree_arrays {
    size_t node_count, leaf_count;
    int64_t *tree, *node, *column, *yes, *no, *missing, *leaf_tree, *leaf_node, *leaf_output;
    float *value, *leaf_value;
} tree_arrays;

static bool arrays_new(const weir_trees *trees, tree_arrays *a) {
    size_t nodes = 0;
    for (int t = 0; t < trees->tree_count; t++) nodes += (size_t)trees->trees[t].node_count;
    int64_t *block = weir_models_calloc(nodes, 9 * sizeof *block + 2 * sizeof(float));
    if (!block) return false;
    int64_t **const parts[] = {&a->tree, &a->node, &a->column, &a->yes, &a->no, &a->missing, &a->leaf_tree, &a->leaf_node, &a->leaf_output};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) *parts[i] = block + i * nodes;
    a->value = (float *)(block + 9 * nodes);
    a->leaf_value = a->value + nodes;
    return true;
}

static void add_tree(tree_arrays *a, const weir_tree *tree, int number) {
    for (int i = 0; i < tree->node_count; i++) {
        const weir_tree_node *n = &tree->nodes[i];
        size_t at = a->node_count++;
        a->tree[at] = number;
        a->node[at] = i;
        if (weir_tree_is_leaf(n)) {
            a->leaf_tree[a->leaf_count] = number;
            a->leaf_node[a->leaf_count] = i;
            a->leaf_output[a->leaf_count] = tree->output;
            a->leaf_value[a->leaf_count++] = n->value;
            continue;
        }
        a->column[at] = n->column;
        a->value[at] = n->value;
        a->yes[at] = n->left;
        a->no[at] = n->right;
        a->missing[at] = n->missing_left;
    }
}

/* "BRANCH_LT" or "LEAF" of every node: repeated strings cannot be packed. */
static void modes_attribute(weir_wire *attributes, const weir_trees *trees) {
    weir_wire attribute = weir_wire_new();
    for (int t = 0; t < trees->tree_count; t++)
        for (int i = 0; i < trees->trees[t].node_count; i++) weir_wire_text(&attribute, 9, weir_tree_is_leaf(&trees->trees[t].nodes[i]) ? "LEAF" : "BRANCH_LT");
    end_attribute(attributes, &attribute, "nodes_modes", ATTRIBUTE_STRINGS);
}

static void tree_attributes(weir_wire *at, const weir_trees *trees, const tree_arrays *a, const float *base) {
    text_attribute(at, "aggregate_function", "SUM");
    text_attribute(at, "post_transform", "NONE");
    int_attribute(at, "n_targets", trees->output_count);
    floats_attribute(at, "base_values", base, (size_t)trees->output_count);
    ints_attribute(at, "nodes_treeids", a->tree, a->node_count);
    ints_attribute(at, "nodes_nodeids", a->node, a->node_count);
    ints_attribute(at, "nodes_featureids", a->column, a->node_count);
    ints_attribute(at, "nodes_truenodeids", a->yes, a->node_count);
    ints_attribute(at, "nodes_falsenodeids", a->no, a->node_count);
    ints_attribute(at, "nodes_missing_value_tracks_true", a->missing, a->node_count);
    floats_attribute(at, "nodes_values", a->value, a->node_count);
    modes_attribute(at, trees);
    ints_attribute(at, "target_treeids", a->leaf_tree, a->leaf_count);
    ints_attribute(at, "target_nodeids", a->leaf_node, a->leaf_count);
    ints_attribute(at, "target_ids", a->leaf_output, a->leaf_count);
    floats_attribute(at, "target_weights", a->leaf_value, a->leaf_count);
}

/* Rows become float32 as in scoring: what it cannot hold becomes its largest number. */
static int margins(graph *g, const weir_trees *trees, int rows) {
    tree_arrays a = {0};
    weir_wire attributes = weir_wire_new();
    float base[WEIR_MODEL_CLASSES_MAX];
    int bounded = bound(g, "Greater", bound(g, "Less", rows, number(g, -(double)FLT_MAX)), number(g, (double)FLT_MAX)), narrow = cast(g, bounded, TYPE_FLOAT);
    for (int k = 0; k < trees->output_count; k++) base[k] = trees->base;
    g->wire.ok = g->wire.ok && arrays_new(trees, &a);
    for (int t = 0; g->wire.ok && t < trees->tree_count; t++) add_tree(&a, &trees->trees[t], t);
    if (g->wire.ok) tree_attributes(&attributes, trees, &a, base);
    weir_models_free(a.tree);
    return cast(g, put_node(g, ml, "TreeEnsembleRegressor", &narrow, 1, &attributes, NULL), TYPE_DOUBLE);
}

static int shares(graph *g, int margin, int output_count) {
    int zero = number(g, 0), one = number(g, 1), share = bound(g, "Greater", bound(g, "Less", margin, zero), one);
    if (output_count == 1) return share;
    int sum = sum_rows(g, share), none = binary(g, "Equal", sum, zero);
    return where(g, none, number(g, 1.0 / output_count), binary(g, "Div", share, sum));
}

static weir_status tree_scores(graph *g, const weir_model *model, int rows, int *ret_scores, weir_err *err) {
    weir_trees *trees = NULL;
    weir_status status = weir_export_trees(model, &trees, err);
    if (status != WEIR_OK) return status;
    int margin = margins(g, trees, rows);
    switch (trees->link) {
    case WEIR_LINK_VALUE: *ret_scores = margin; break;
    case WEIR_LINK_LOGISTIC: *ret_scores = unary(g, "Sigmoid", margin); break;
    case WEIR_LINK_SOFTMAX: *ret_scores = unary(g, "Softmax", margin); break;
    case WEIR_LINK_EXP: *ret_scores = unary(g, "Exp", margin); break;
    case WEIR_LINK_SHARES: *ret_scores = shares(g, margin, trees->output_count); break;
    }
    weir_trees_free(trees);
    return WEIR_OK;
}

/* ---- linear models and support vectors ---- */

/* A missing value becomes the mean: 0. */
static int standardised(graph *g, const weir_linear_form *f, int rows) {
    int centred = binary(g, "Sub", rows, matrix(g, f->mean, 1, f->column_count)), z = binary(g, "Div", centred, matrix(g, f->scale, 1, f->column_count));
    return where(g, unary(g, "IsNaN", rows), number(g, 0), z);
}

/* factor · values [rows][columns] as a constant [columns, rows]. */
static int transposed(graph *g, const double *values, int64_t rows, int64_t columns, double factor) {
    double *turned = weir_models_calloc((size_t)rows, (size_t)columns * sizeof *turned);
    g->wire.ok = g->wire.ok && turned;
    if (!turned) return INPUT;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) turned[c * rows + r] = factor * values[r * columns + c];
    int tensor = matrix(g, turned, columns, rows);
    weir_models_free(turned);
    return tensor;
}

static int linear_scores(graph *g, const weir_linear_form *f, weir_task task, int rows) {
    int product = binary(g, "MatMul", standardised(g, f, rows), transposed(g, f->coefficient, f->output_count, f->column_count, 1));
    int margin = binary(g, "Add", product, matrix(g, f->intercept, 1, f->output_count));
    return task == WEIR_TASK_REGRESSION ? margin : unary(g, task == WEIR_TASK_BINARY ? "Sigmoid" : "Softmax", margin);
}

/* |z − s|² = |z|² + |s|² − 2 z's, [N, count]. */
static int squared_distances(graph *g, const weir_svr *svr, int z, int products) {
    int p = svr->form->column_count;
    double *squares = weir_models_calloc((size_t)svr->head.count, sizeof *squares);
    g->wire.ok = g->wire.ok && squares;
    for (int64_t j = 0; squares && j < svr->head.count; j++)
        for (int c = 0; c < p; c++) squares[j] += svr->vector[j * p + c] * svr->vector[j * p + c];
    int own = sum_rows(g, binary(g, "Mul", z, z)), theirs = squares ? matrix(g, squares, 1, svr->head.count) : INPUT;
    weir_models_free(squares);
    return binary(g, "Sub", binary(g, "Add", own, theirs), binary(g, "Mul", products, number(g, 2)));
}

/* SVMRegressor would do, but knows float32 only. γ is part of the constants: a runtime may make one operation of a product and a factor behind it, whose factor is float32. */
static int svr_scores(graph *g, const weir_svr *svr, int rows) {
    const weir_svr_head *h = &svr->head;
    int intercept = number(g, h->intercept), z = standardised(g, svr->form, rows);
    bool has_inner = h->kernel == WEIR_SVR_POLY || h->kernel == WEIR_SVR_SIGMOID;
    if (h->count == 0) return binary(g, "Add", binary(g, "Mul", sum_rows(g, z), number(g, 0)), intercept);
    int kernel = binary(g, "MatMul", z, transposed(g, svr->vector, h->count, svr->form->column_count, has_inner ? h->gamma : 1));
    if (has_inner) kernel = binary(g, "Add", kernel, number(g, h->coef0));
    if (h->kernel == WEIR_SVR_RBF) kernel = unary(g, "Exp", binary(g, "Mul", squared_distances(g, svr, z, kernel), number(g, -h->gamma)));
    if (h->kernel == WEIR_SVR_POLY) kernel = binary(g, "Pow", kernel, number(g, h->degree));
    if (h->kernel == WEIR_SVR_SIGMOID) kernel = unary(g, "Tanh", kernel);
    return binary(g, "Add", binary(g, "MatMul", kernel, matrix(g, svr->coefficient, h->count, 1)), intercept);
}

/* ---- the file ---- */

static weir_status single_scores(graph *g, const weir_model *model, int rows, int *ret_scores, weir_err *err) {
    weir_model_parts parts = weir_model_inside(model);
    const weir_linear_form *form = weir_model_linear_form(model);
    weir_status status = weir_export_check(model, "onnx", err);
    if (status != WEIR_OK) return status;
    if (parts.prep) rows = chain(g, parts.prep, rows);
    if (weir_model_has_trees(model)) return tree_scores(g, model, rows, ret_scores, err);
    *ret_scores = form ? linear_scores(g, form, parts.shape.task, rows) : svr_scores(g, weir_model_svr(model), rows);
    return WEIR_OK;
}

static weir_status model_scores(graph *g, const weir_model *model, int rows, int *ret_scores, weir_err *err);

static weir_status average_scores(graph *g, const weir_model *model, int rows, int *ret_scores, weir_err *err) {
    const double *weights = weir_model_weights(model);
    int sum = number(g, 0);
    for (int i = 0; i < weir_model_member_count(model); i++) {
        int scores = INPUT;
        if (weights[i] == 0) continue;
        weir_status status = model_scores(g, weir_model_member(model, i), rows, &scores, err);
        if (status != WEIR_OK) return status;
        sum = binary(g, "Add", sum, binary(g, "Mul", scores, number(g, weights[i])));
    }
    *ret_scores = weir_model_task(model) == WEIR_TASK_REGRESSION ? sum : bound(g, "Greater", sum, number(g, 1));
    return WEIR_OK;
}

/* The scores of all members beside each other. */
static weir_status member_scores(graph *g, const weir_model *model, int rows, int *ret_scores, weir_err *err) {
    int scores[WEIR_MODEL_MEMBERS_MAX] = {INPUT}, count = weir_model_member_count(model);
    for (int i = 0; i < count; i++) {
        weir_status status = model_scores(g, weir_model_member(model, i), rows, &scores[i], err);
        if (status != WEIR_OK) return status;
    }
    *ret_scores = with_int(g, "Concat", scores, count, "axis", 1);
    return WEIR_OK;
}

/* Models of several do not go deeper than three levels. */
static weir_status model_scores(graph *g, const weir_model *model, int rows, int *ret_scores, weir_err *err) {
    weir_status status = WEIR_OK;
    switch (weir_model_composition(model)) {
    case WEIR_MODEL_SINGLE: return single_scores(g, model, rows, ret_scores, err);
    case WEIR_MODEL_AVERAGE:
    case WEIR_MODEL_WEIGHTED: return average_scores(g, model, rows, ret_scores, err);
    case WEIR_MODEL_TARGETS: return member_scores(g, model, rows, ret_scores, err);
    case WEIR_MODEL_STACKING: status = member_scores(g, model, rows, &rows, err);
    }
    return status == WEIR_OK ? model_scores(g, weir_model_meta(model), rows, ret_scores, err) : status;
}

/* The class of the highest score, the first of equals; of a binary task 1 from a half on. */
static void put_label(graph *g, const weir_model *model, int scores) {
    if (weir_model_task(model) == WEIR_TASK_REGRESSION) return;
    if (weir_model_task(model) == WEIR_TASK_BINARY) {
        int called = cast(g, binary(g, "GreaterOrEqual", scores, number(g, 0.5)), TYPE_INT64);
        put_node(g, "", "Squeeze", (const int[]){called, whole(g, 1)}, 2, NULL, "label");
        return;
    }
    weir_wire attributes = weir_wire_new();
    int_attribute(&attributes, "axis", 1);
    int_attribute(&attributes, "keepdims", 0);
    put_node(g, "", "ArgMax", &scores, 1, &attributes, "label");
}

/* A ValueInfoProto of a tensor of rows, `columns` wide; 0: one value a row. */
static void put_value_info(graph *g, int field, const char *name, int type, int columns) {
    weir_wire info = weir_wire_new(), value_type = weir_wire_new(), tensor = weir_wire_new(), shape = weir_wire_new(), rows = weir_wire_new();
    weir_wire_text(&rows, 2, "N");
    weir_wire_message(&shape, 1, &rows);
    if (columns) {
        weir_wire width = weir_wire_new();
        weir_wire_int(&width, 1, columns);
        weir_wire_message(&shape, 1, &width);
    }
    weir_wire_int(&tensor, 1, type);
    weir_wire_message(&tensor, 2, &shape);
    weir_wire_message(&value_type, 1, &tensor);
    weir_wire_text(&info, 1, name);
    weir_wire_message(&info, 2, &value_type);
    weir_wire_message(&g->wire, field, &info);
}

static void put_property(weir_wire *file, const char *key, const char *value) {
    weir_wire entry = weir_wire_new();
    weir_wire_text(&entry, 1, key);
    weir_wire_text(&entry, 2, value);
    weir_wire_message(file, 14, &entry);
}

static void put_opset(weir_wire *file, const char *domain, int version) {
    weir_wire opset = weir_wire_new();
    weir_wire_text(&opset, 1, domain);
    weir_wire_int(&opset, 2, version);
    weir_wire_message(file, 8, &opset);
}

static void put_file(weir_wire *file, graph *g, const weir_model *model) {
    char *columns = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(weir_model_header(model), "columns"));
    char *classes = weir_model_class_names(model) ? cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(weir_model_header(model), "classes")) : NULL;
    put_value_info(g, 11, "input", TYPE_DOUBLE, weir_model_column_count(model));
    put_value_info(g, 12, "output", TYPE_DOUBLE, weir_model_output_count(model));
    if (weir_model_task(model) != WEIR_TASK_REGRESSION) put_value_info(g, 12, "label", TYPE_INT64, 0);
    weir_wire_text(&g->wire, 2, weir_model_algorithm(model));
    weir_wire_int(file, 1, IR_VERSION);
    weir_wire_text(file, 2, "weir");
    weir_wire_text(file, 3, WEIR_VERSION);
    weir_wire_message(file, 7, &g->wire);
    put_opset(file, "", OPSET);
    put_opset(file, ml, OPSET_ML);
    put_property(file, "weir.algorithm", weir_model_algorithm(model));
    put_property(file, "weir.task", weir_task_name(weir_model_task(model)));
    put_property(file, "weir.digest", weir_model_digest(model));
    put_property(file, "weir.columns", columns ? columns : "[]");
    if (classes) put_property(file, "weir.classes", classes);
    file->ok = file->ok && columns;
    cJSON_free(columns);
    cJSON_free(classes);
}

weir_status weir_export_onnx(const weir_model *model, weir_buf *out, weir_err *err) {
    graph g = {.wire = weir_wire_new()};
    weir_wire file = weir_wire_new();
    int scores = INPUT;
    weir_status status = model_scores(&g, model, INPUT, &scores, err);
    if (status == WEIR_OK) {
        put_node(&g, "", "Identity", &scores, 1, NULL, "output");
        put_label(&g, model, scores);
        put_file(&file, &g, model);
        if (file.bytes.len > INT32_MAX)
            status = WEIR_FAIL(err, WEIR_ELIMIT, "onnx: the file has %zu bytes, and the format holds at most %d", file.bytes.len, INT32_MAX);
        else if (!file.ok || !weir_buf_append(out, file.bytes.data, file.bytes.len))
            status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the ONNX of a model");
    }
    weir_buf_done(&g.wire.bytes);
    weir_buf_done(&file.bytes);
    return status;
}
