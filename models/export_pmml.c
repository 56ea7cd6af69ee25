/* PMML 4.4.
 *
 *   chains         DerivedFields, one a node of the forest that a chain is (models/prep_internal.h)
 *   trees          a MiningModel: for each margin the sum of its trees, then a RegressionModel that makes scores of the margins
 *   linear models  a RegressionModel over the standardised columns, which are DerivedFields
 *   svr            a SupportVectorMachineModel over them
 *   ensembles      a MiningModel of their members: weightedAverage, or for stacking a modelChain whose last model takes the scores of those before it
 *
 * Output fields are `predicted` and, of classes, `probability(0)`, `probability(1)`, …. PMML computes in double, XGBoost compares float32: a threshold t is written as the least double
 * that, once it is float32, is not less than t; so every row takes the leaves that it takes here, and only the sums of leaves differ, which are float32 here.
 *
 * Names that are made here begin with "weir."; columns may not.
 *
 * Source: Data Mining Group, PMML 4.4 (TreeModel, MultipleModels, Regression, SupportVectorMachine, Functions). */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "models/export_internal.h"
#include "models/memory.h"
#include "models/prep_internal.h"

static const char own_prefix[] = "weir.";
enum { FIELD_MAX_BYTES = 64, SCORES = -1, NOTHING = -2 };

/* What is written. Once memory ran out ok is false, and nothing more is written. */
typedef struct writer {
    weir_buf *out;
    bool ok;
    int model_count, node_count; /* of single models and of tree nodes so far */
    /* of the model that is being written: */
    const weir_model *model;
    weir_model_parts parts;
    bool is_meta; /* its columns are the fields weir.in0, weir.in1, … that the members before it gave */
    int gives; /* what becomes of its scores: SCORES of the whole file, NOTHING, or the first of the fields weir.in that they are */
    char prefix[24]; /* of the names that are made for it */
} writer;

static void put(writer *w, const char *format, ...) WEIR_PRINTF(2, 3);
static void put(writer *w, const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    w->ok = w->ok && len >= 0 && len < (int)sizeof line && weir_buf_append(w->out, line, (size_t)len);
}

/* Text as the value of an attribute. */
static void put_escaped(writer *w, const char *text) {
    for (; w->ok && *text; text++) {
        switch (*text) {
        case '&': put(w, "&amp;"); break;
        case '<': put(w, "&lt;"); break;
        case '>': put(w, "&gt;"); break;
        case '"': put(w, "&quot;"); break;
        case '\t':
        case '\n':
        case '\r': put(w, "&#%d;", *text); break;
        default: w->ok = weir_buf_append(w->out, text, 1);
        }
    }
}

/* before and after: what stands around the name. */
static void put_named(writer *w, const char *before, const char *name, const char *after) {
    put(w, "%s", before);
    put_escaped(w, name);
    put(w, "%s", after);
}

/* A constant in an expression. */
static void put_constant(writer *w, double value) {
    put(w, "<Constant dataType=\"double\">%.17g</Constant>", value);
}

/* ---- fields ---- */

/* Name of a column of the rows. */
static const char *column_field(const writer *w, int c, char own[FIELD_MAX_BYTES]) {
    if (!w->is_meta) return weir_model_columns(w->model)[c];
    snprintf(own, FIELD_MAX_BYTES, "%sin%d", own_prefix, c);
    return own;
}

/* Name of a node of the chain. */
static const char *node_field(const writer *w, int i, char own[FIELD_MAX_BYTES]) {
    const weir_prep_node *n = &w->parts.prep->nodes[i];
    if (n->parent < 0) return column_field(w, n->input, own);
    snprintf(own, FIELD_MAX_BYTES, "%snode%d", w->prefix, i);
    return own;
}

/* Name of a column that the algorithm was fitted on. */
static const char *fitted_field(const writer *w, int c, char own[FIELD_MAX_BYTES]) {
    return w->parts.prep ? node_field(w, w->parts.prep->outputs[c], own) : column_field(w, c, own);
}

static void put_field_ref(writer *w, const char *name) {
    put_named(w, "<FieldRef field=\"", name, "\"/>");
}

static void begin_derived(writer *w, const char *name) {
    put_named(w, "<DerivedField name=\"", name, "\" optype=\"continuous\" dataType=\"double\">");
}

/* Opens `if x is missing then value else`; two closings follow what comes then. */
static void begin_unless_missing(writer *w, const char *x, double value) {
    put(w, "<Apply function=\"if\"><Apply function=\"isMissing\">");
    put_field_ref(w, x);
    put(w, "</Apply>");
    put_constant(w, value);
}

/* x compared with a number. */
static void put_comparison(writer *w, const char *function, const char *x, double value) {
    put(w, "<Apply function=\"%s\">", function);
    put_field_ref(w, x);
    put_constant(w, value);
    put(w, "</Apply>");
}

/* The operation `outer`(`inner`(x, a), b). */
static void put_twice(writer *w, const char *outer, const char *inner, const char *x, double a, double b) {
    put(w, "<Apply function=\"%s\">", outer);
    put_comparison(w, inner, x, a);
    put_constant(w, b);
    put(w, "</Apply>");
}

/* 1 where x is outside of [a, b], else 0. */
static void put_outside(writer *w, const weir_prep_node *n, const char *x) {
    begin_unless_missing(w, x, 0);
    put(w, "<Apply function=\"if\"><Apply function=\"or\">");
    put_comparison(w, "lessThan", x, n->a);
    put_comparison(w, "greaterThan", x, n->b);
    put(w, "</Apply>");
    put_constant(w, 1);
    put_constant(w, 0);
    put(w, "</Apply></Apply>");
}

/* What is not missing goes through the expression; what is stays missing: an `if` without else is. */
static void begin_if_present(writer *w, const char *x) {
    put(w, "<Apply function=\"if\"><Apply function=\"isNotMissing\">");
    put_field_ref(w, x);
    put(w, "</Apply>");
}

static void put_clip(writer *w, const weir_prep_node *n, const char *x) {
    begin_if_present(w, x);
    put(w, "<Apply function=\"if\">");
    put_comparison(w, "lessThan", x, n->a);
    put_constant(w, n->a);
    put(w, "<Apply function=\"if\">");
    put_comparison(w, "greaterThan", x, n->b);
    put_constant(w, n->b);
    put_field_ref(w, x);
    put(w, "</Apply></Apply></Apply>");
}

static void put_null(writer *w, const weir_prep_node *n, const char *x) {
    begin_if_present(w, x);
    put(w, "<Apply function=\"if\"><Apply function=\"and\">");
    put_comparison(w, "greaterOrEqual", x, n->a);
    put_comparison(w, "lessOrEqual", x, n->b);
    put(w, "</Apply>");
    put_field_ref(w, x);
    put(w, "</Apply></Apply>");
}

/* A search among levels [from, to), sorted: their values for `codes`, else 0 where it is one of them; `none` where it is none of them (NaN: missing). */
static void put_search(writer *w, const weir_prep_levels *levels, int from, int to, bool codes, double none, const char *x) {
    if (from == to) {
        put_constant(w, none);
        return;
    }
    int middle = from + (to - from) / 2;
    put(w, "<Apply function=\"if\">");
    if (to - from == 1) {
        put_comparison(w, "equal", x, levels->sorted[from]);
        put_constant(w, codes ? levels->code[from] : 0);
        if (!isnan(none)) put_constant(w, none);
    } else {
        put_comparison(w, "lessThan", x, levels->sorted[middle]);
        put_search(w, levels, from, middle, codes, none, x);
        put_search(w, levels, middle, to, codes, none, x);
    }
    put(w, "</Apply>");
}

static void put_category(writer *w, const weir_prep_node *n, const char *x) {
    const weir_prep_levels *levels = &w->parts.prep->levels[n->levels];
    bool codes = n->op == WEIR_PREP_CODE;
    double missing = codes ? n->b : n->a;
    if (isnan(missing))
        begin_if_present(w, x);
    else
        begin_unless_missing(w, x, missing);
    put_search(w, levels, 0, levels->count, codes, codes ? n->a : 1, x);
    put(w, "</Apply>");
}

static void put_flag(writer *w, const weir_prep_node *n, const char *x) {
    bool missing = n->op == WEIR_PREP_MISSING;
    begin_unless_missing(w, x, missing);
    if (missing) {
        put_constant(w, 0);
    } else {
        put(w, "<Apply function=\"if\">");
        put_comparison(w, "equal", x, n->a);
        put_constant(w, 1);
        put_constant(w, 0);
        put(w, "</Apply>");
    }
    put(w, "</Apply>");
}

/* What a node makes of x, the name of its parent. Hashing was refused before. */
static void put_operation(writer *w, const weir_prep_node *n, const char *x) {
    switch (n->op) {
    case WEIR_PREP_FILL:
    case WEIR_PREP_FORWARD_FILL:
    case WEIR_PREP_INTERPOLATE:
        begin_unless_missing(w, x, n->a);
        put_field_ref(w, x);
        put(w, "</Apply>");
        break;
    case WEIR_PREP_MISSING:
    case WEIR_PREP_EQUALS: put_flag(w, n, x); break;
    case WEIR_PREP_CLIP: put_clip(w, n, x); break;
    case WEIR_PREP_NULL: put_null(w, n, x); break;
    case WEIR_PREP_OUTSIDE: put_outside(w, n, x); break;
    case WEIR_PREP_SCALE: put_twice(w, "/", "-", x, n->a, n->b); break;
    case WEIR_PREP_STRETCH: put_twice(w, "+", "*", x, n->a, n->b); break;
    default: put_category(w, n, x);
    }
}

/* Nodes that outputs are made of, each after what it is made of: they are counted that way. */
static void put_chain(writer *w) {
    const weir_prep *prep = w->parts.prep;
    bool *wanted = weir_models_calloc((size_t)prep->node_count, sizeof *wanted);
    w->ok = w->ok && wanted;
    for (int o = 0; w->ok && o < prep->output_count; o++)
        for (int i = prep->outputs[o]; i >= 0 && !wanted[i]; i = prep->nodes[i].parent) wanted[i] = true;
    for (int i = 0; w->ok && i < prep->node_count; i++) {
        const weir_prep_node *n = &prep->nodes[i];
        char own[FIELD_MAX_BYTES], parent[FIELD_MAX_BYTES];
        if (!wanted[i] || n->parent < 0) continue;
        begin_derived(w, node_field(w, i, own));
        put_operation(w, n, node_field(w, n->parent, parent));
        put(w, "</DerivedField>\n");
    }
    weir_models_free(wanted);
}

static void standardised_name(const writer *w, int c, char own[FIELD_MAX_BYTES]) {
    snprintf(own, FIELD_MAX_BYTES, "%sz%d", w->prefix, c);
}

/* A missing value becomes the mean: 0. */
static void put_standardised(writer *w, const weir_linear_form *f) {
    for (int c = 0; c < f->column_count; c++) {
        char own[FIELD_MAX_BYTES], fitted[FIELD_MAX_BYTES];
        const char *x = fitted_field(w, c, fitted);
        standardised_name(w, c, own);
        begin_derived(w, own);
        begin_unless_missing(w, x, 0);
        put_twice(w, "/", "-", x, f->mean[c], f->scale[c]);
        put(w, "</Apply></DerivedField>\n");
    }
}

/* ---- what every model begins with ---- */

static const char *function_name(const writer *w) {
    return w->parts.shape.task == WEIR_TASK_REGRESSION ? "regression" : "classification";
}

static int class_count(const writer *w) {
    return w->parts.shape.task == WEIR_TASK_BINARY ? 2 : w->parts.shape.task == WEIR_TASK_MULTICLASS ? w->parts.shape.output_count : 0;
}

static void put_dictionary(writer *w) {
    put(w, "<DataDictionary>\n");
    for (int c = 0; c < w->parts.shape.column_count; c++)
        put_named(w, "<DataField name=\"", weir_model_columns(w->model)[c], "\" optype=\"continuous\" dataType=\"double\"/>\n");
    put(w, "<DataField name=\"%starget\" optype=\"%s\" dataType=\"%s\">", own_prefix, class_count(w) ? "categorical" : "continuous",
        class_count(w) ? "integer" : "double");
    for (int k = 0; k < class_count(w); k++) put(w, "<Value value=\"%d\"/>", k);
    put(w, "</DataField>\n</DataDictionary>\n");
}

static void put_schema(writer *w) {
    put(w, "<MiningSchema>\n");
    for (int c = 0; c < w->parts.shape.column_count; c++) {
        char own[FIELD_MAX_BYTES];
        put_named(w, "<MiningField name=\"", column_field(w, c, own), "\"/>\n");
    }
    put(w, "<MiningField name=\"%starget\" usageType=\"target\"/>\n</MiningSchema>\n", own_prefix);
}

/* A field for the probability of a class. */
static void put_probability(writer *w, const char *name, int category) {
    put(w, "<OutputField name=\"%s\" optype=\"continuous\" dataType=\"double\" feature=\"probability\" value=\"%d\"/>", name, category);
}

/* Scores as a member's: weir.in<k>, of a binary task the one of class 1. */
static void put_member_output(writer *w) {
    char name[FIELD_MAX_BYTES];
    weir_task task = w->parts.shape.task;
    put(w, "<Output>");
    for (int k = 0; k < w->parts.shape.output_count; k++) {
        snprintf(name, sizeof name, "%sin%d", own_prefix, w->gives + k);
        if (task == WEIR_TASK_REGRESSION)
            put(w, "<OutputField name=\"%s\" optype=\"continuous\" dataType=\"double\" feature=\"predictedValue\"/>", name);
        else
            put_probability(w, name, task == WEIR_TASK_BINARY ? 1 : k);
    }
    put(w, "</Output>\n");
}

static void put_output(writer *w) {
    char name[FIELD_MAX_BYTES];
    if (w->gives >= 0) put_member_output(w);
    if (w->gives != SCORES) return;
    put(w, "<Output><OutputField name=\"predicted\" optype=\"%s\" dataType=\"%s\" feature=\"predictedValue\"/>", class_count(w) ? "categorical" : "continuous",
        class_count(w) ? "integer" : "double");
    for (int k = 0; k < class_count(w); k++) {
        snprintf(name, sizeof name, "probability(%d)", k);
        put_probability(w, name, k);
    }
    put(w, "</Output>\n");
}

/* The columns that the algorithm gets; form NULL: as the chain leaves them. */
static void put_transformations(writer *w, const weir_linear_form *form) {
    if (!w->parts.prep && !form) return;
    put(w, "<LocalTransformations>\n");
    if (w->parts.prep) put_chain(w);
    if (form) put_standardised(w, form);
    put(w, "</LocalTransformations>\n");
}

/* ---- linear models and support vectors ---- */

static void put_table(writer *w, const weir_linear_form *f, int k, int category) {
    put(w, "<RegressionTable intercept=\"%.17g\"", f->intercept[k]);
    if (category >= 0) put(w, " targetCategory=\"%d\"", category);
    put(w, ">");
    for (int c = 0; c < f->column_count; c++) {
        char own[FIELD_MAX_BYTES];
        standardised_name(w, c, own);
        put(w, "<NumericPredictor name=\"%s\" coefficient=\"%.17g\"/>", own, f->coefficient[(size_t)k * (size_t)f->column_count + (size_t)c]);
    }
    put(w, "</RegressionTable>\n");
}

static void put_linear(writer *w, const weir_linear_form *f) {
    static const char *const links[] = {[WEIR_TASK_BINARY] = "logit", [WEIR_TASK_MULTICLASS] = "softmax", [WEIR_TASK_REGRESSION] = "none"};
    put(w, "<RegressionModel functionName=\"%s\" normalizationMethod=\"%s\">\n", function_name(w), links[w->parts.shape.task]);
    put_schema(w);
    put_output(w);
    put_transformations(w, f);
    if (w->parts.shape.task == WEIR_TASK_MULTICLASS) {
        for (int k = 0; k < f->output_count; k++) put_table(w, f, k, k);
    } else {
        put_table(w, f, 0, w->parts.shape.task == WEIR_TASK_BINARY ? 1 : -1);
        if (w->parts.shape.task == WEIR_TASK_BINARY) put(w, "<RegressionTable intercept=\"0\" targetCategory=\"0\"/>\n");
    }
    put(w, "</RegressionModel>\n");
}

static void put_kernel(writer *w, const weir_svr_head *h) {
    switch (h->kernel) {
    case WEIR_SVR_POLY: put(w, "<PolynomialKernelType gamma=\"%.17g\" coef0=\"%.17g\" degree=\"%d\"/>\n", h->gamma, h->coef0, h->degree); break;
    case WEIR_SVR_RBF: put(w, "<RadialBasisKernelType gamma=\"%.17g\"/>\n", h->gamma); break;
    case WEIR_SVR_SIGMOID: put(w, "<SigmoidKernelType gamma=\"%.17g\" coef0=\"%.17g\"/>\n", h->gamma, h->coef0); break;
    default: put(w, "<LinearKernelType/>\n");
    }
}

static void put_vectors(writer *w, const weir_svr *svr) {
    int p = svr->form->column_count;
    put(w, "<VectorDictionary numberOfVectors=\"%lld\">\n<VectorFields numberOfFields=\"%d\">", (long long)svr->head.count, p);
    for (int c = 0; c < p; c++) {
        char own[FIELD_MAX_BYTES];
        standardised_name(w, c, own);
        put_field_ref(w, own);
    }
    put(w, "</VectorFields>\n");
    for (int64_t j = 0; w->ok && j < svr->head.count; j++) {
        put(w, "<VectorInstance id=\"%lld\"><Array type=\"real\" n=\"%d\">", (long long)j, p);
        for (int c = 0; c < p; c++) put(w, c ? " %.17g" : "%.17g", svr->vector[j * p + c]);
        put(w, "</Array></VectorInstance>\n");
    }
    put(w, "</VectorDictionary>\n");
}

static void put_svr(writer *w, const weir_svr *svr) {
    long long count = svr->head.count;
    put(w, "<SupportVectorMachineModel functionName=\"regression\" svmRepresentation=\"SupportVectors\">\n");
    put_schema(w);
    put_output(w);
    put_transformations(w, svr->form);
    put_kernel(w, &svr->head);
    put_vectors(w, svr);
    put(w, "<SupportVectorMachine>\n<SupportVectors numberOfAttributes=\"%d\" numberOfSupportVectors=\"%lld\">", svr->form->column_count, count);
    for (long long j = 0; w->ok && j < count; j++) put(w, "<SupportVector vectorId=\"%lld\"/>", j);
    put(w, "</SupportVectors>\n<Coefficients numberOfCoefficients=\"%lld\" absoluteValue=\"%.17g\">", count, svr->head.intercept);
    for (long long j = 0; w->ok && j < count; j++) put(w, "<Coefficient value=\"%.17g\"/>", svr->coefficient[j]);
    put(w, "</Coefficients>\n</SupportVectorMachine>\n</SupportVectorMachineModel>\n");
}

/* ---- trees ---- */

/* The least double that is not less than t once it is float32. Half way between t and the float below it, the even one of the two is taken. */
static double double_threshold(float t) {
    float below = nextafterf(t, -INFINITY);
    if (isinf(below)) return -DBL_MAX; /* nothing is less: what float32 cannot hold becomes its largest number */
    double middle = ((double)below + (double)t) / 2;
    return (float)middle < t ? nextafter(middle, INFINITY) : middle;
}

/* A node with everything below; `split` NULL: the root, otherwise the parent, whose left child it is or is not. */
static void put_node(writer *w, const weir_tree *tree, int place, int first_id, const weir_tree_node *split, bool left) {
    const weir_tree_node *n = &tree->nodes[place];
    bool leaf = weir_tree_is_leaf(n);
    put(w, "<Node id=\"%d\"", first_id + place);
    if (leaf)
        put(w, " score=\"%.9g\">", (double)n->value);
    else
        put(w, " defaultChild=\"%d\">", first_id + (n->missing_left ? n->left : n->right));
    if (split) {
        char own[FIELD_MAX_BYTES];
        put_named(w, "<SimplePredicate field=\"", fitted_field(w, split->column, own), "\"");
        put(w, " operator=\"%s\" value=\"%.17g\"/>", left ? "lessThan" : "greaterOrEqual", double_threshold(split->value));
    } else {
        put(w, "<True/>");
    }
    if (!leaf) {
        put(w, "\n");
        put_node(w, tree, n->left, first_id, n, true);
        put_node(w, tree, n->right, first_id, n, false);
    }
    put(w, "</Node>\n");
}

/* The columns that a tree asks for. used [fitted columns] is scratch. */
static void put_tree_schema(writer *w, const weir_tree *tree, bool *used) {
    memset(used, 0, (size_t)w->parts.fitted.column_count);
    for (int i = 0; i < tree->node_count; i++)
        if (!weir_tree_is_leaf(&tree->nodes[i])) used[tree->nodes[i].column] = true;
    put(w, "<MiningSchema>");
    for (int c = 0; c < w->parts.fitted.column_count; c++) {
        char own[FIELD_MAX_BYTES];
        if (used[c]) put_named(w, "<MiningField name=\"", fitted_field(w, c, own), "\"/>");
    }
    put(w, "</MiningSchema>\n");
}

static void put_fitted_schema(writer *w) {
    put(w, "<MiningSchema>");
    for (int c = 0; c < w->parts.fitted.column_count; c++) {
        char own[FIELD_MAX_BYTES];
        put_named(w, "<MiningField name=\"", fitted_field(w, c, own), "\"/>");
    }
    put(w, "</MiningSchema>\n");
}

/* Segment of the chain: the sum of the trees of output k becomes the field weir.margin<k>. */
static void put_sum(writer *w, const weir_trees *trees, int k, bool *used) {
    put(w, "<Segment id=\"margin%d\"><True/>\n<MiningModel functionName=\"regression\">\n", k);
    put_fitted_schema(w);
    put(w, "<Output><OutputField name=\"%smargin%d\" optype=\"continuous\" dataType=\"double\" feature=\"predictedValue\"/></Output>\n", w->prefix, k);
    put(w, "<Segmentation multipleModelMethod=\"sum\">\n");
    for (int t = 0; w->ok && t < trees->tree_count; t++) {
        const weir_tree *tree = &trees->trees[t];
        if (tree->output != k) continue;
        put(w,
            "<Segment id=\"tree%d\"><True/>\n<TreeModel functionName=\"regression\" missingValueStrategy=\"defaultChild\" "
            "splitCharacteristic=\"binarySplit\">\n",
            t);
        put_tree_schema(w, tree, used);
        put_node(w, tree, 0, w->node_count, NULL, false);
        w->node_count += tree->node_count;
        put(w, "</TreeModel></Segment>\n");
    }
    put(w, "</Segmentation>\n</MiningModel></Segment>\n");
}

/* base + margin, as the sum of which shares are made. */
static void put_margin(writer *w, const weir_trees *trees, int k) {
    put(w, "<Apply function=\"+\">");
    put_constant(w, (double)trees->base);
    put(w, "<FieldRef field=\"%smargin%d\"/></Apply>", w->prefix, k);
}

/* weir.share<k> = min(max(margin, 0), 1). */
static void put_clamped(writer *w, const weir_trees *trees, int k) {
    put(w, "<DerivedField name=\"%sshare%d\" optype=\"continuous\" dataType=\"double\"><Apply function=\"min\"><Apply function=\"max\">", w->prefix, k);
    put_margin(w, trees, k);
    put_constant(w, 0);
    put(w, "</Apply>");
    put_constant(w, 1);
    put(w, "</Apply></DerivedField>\n");
}

/* The fields weir.score<k> that sum to 1: shares over their sum, equal ones where that is 0; of two classes the share and what is left of 1. */
static void put_shares(writer *w, const weir_trees *trees) {
    int outputs = trees->output_count;
    put(w, "<LocalTransformations>\n");
    for (int k = 0; k < outputs; k++) put_clamped(w, trees, k);
    if (outputs == 1) {
        put(w, "<DerivedField name=\"%sscore1\" optype=\"continuous\" dataType=\"double\"><FieldRef field=\"%sshare0\"/></DerivedField>\n", w->prefix,
            w->prefix);
        put(w, "<DerivedField name=\"%sscore0\" optype=\"continuous\" dataType=\"double\"><Apply function=\"-\">", w->prefix);
        put_constant(w, 1);
        put(w, "<FieldRef field=\"%sshare0\"/></Apply></DerivedField>\n</LocalTransformations>\n", w->prefix);
        return;
    }
    put(w, "<DerivedField name=\"%sall\" optype=\"continuous\" dataType=\"double\"><Apply function=\"sum\">", w->prefix);
    for (int k = 0; k < outputs; k++) put(w, "<FieldRef field=\"%sshare%d\"/>", w->prefix, k);
    put(w, "</Apply></DerivedField>\n");
    for (int k = 0; k < outputs; k++) {
        put(w, "<DerivedField name=\"%sscore%d\" optype=\"continuous\" dataType=\"double\"><Apply function=\"if\">", w->prefix, k);
        put(w, "<Apply function=\"equal\"><FieldRef field=\"%sall\"/>", w->prefix);
        put_constant(w, 0);
        put(w, "</Apply>");
        put_constant(w, 1.0 / outputs);
        put(w, "<Apply function=\"/\"><FieldRef field=\"%sshare%d\"/><FieldRef field=\"%sall\"/></Apply></Apply></DerivedField>\n", w->prefix, k, w->prefix);
    }
    put(w, "</LocalTransformations>\n");
}

static void put_score_table(writer *w, double intercept, const char *field, int k, int category) {
    put(w, "<RegressionTable intercept=\"%.17g\"", intercept);
    if (category >= 0) put(w, " targetCategory=\"%d\"", category);
    put(w, "><NumericPredictor name=\"%s%s%d\" coefficient=\"1\"/></RegressionTable>\n", w->prefix, field, k);
}

/* The last segment: scores of margins. */
static void put_link(writer *w, const weir_trees *trees) {
    static const char *const links[] = {
        [WEIR_LINK_VALUE] = "none", [WEIR_LINK_LOGISTIC] = "logit", [WEIR_LINK_SOFTMAX] = "softmax", [WEIR_LINK_SHARES] = "simplemax", [WEIR_LINK_EXP] = "exp"};
    double base = (double)trees->base;
    put(w, "<Segment id=\"scores\"><True/>\n<RegressionModel functionName=\"%s\" normalizationMethod=\"%s\">\n<MiningSchema>", function_name(w),
        links[trees->link]);
    for (int k = 0; k < trees->output_count; k++) put(w, "<MiningField name=\"%smargin%d\"/>", w->prefix, k);
    put(w, "<MiningField name=\"%starget\" usageType=\"target\"/></MiningSchema>\n", own_prefix);
    if (trees->link == WEIR_LINK_SHARES) put_shares(w, trees);
    if (trees->link == WEIR_LINK_VALUE || trees->link == WEIR_LINK_EXP) put_score_table(w, base, "margin", 0, -1);
    if (trees->link == WEIR_LINK_LOGISTIC) {
        put_score_table(w, base, "margin", 0, 1);
        put(w, "<RegressionTable intercept=\"0\" targetCategory=\"0\"/>\n");
    }
    for (int k = 0; trees->link == WEIR_LINK_SOFTMAX && k < trees->output_count; k++) put_score_table(w, base, "margin", k, k);
    for (int k = 0; trees->link == WEIR_LINK_SHARES && k < class_count(w); k++) put_score_table(w, 0, "score", k, k);
    put(w, "</RegressionModel></Segment>\n");
}

static weir_status put_ensemble(writer *w, weir_err *err) {
    weir_trees *trees = NULL;
    bool *used = weir_models_calloc((size_t)w->parts.fitted.column_count, sizeof *used);
    weir_status status = used ? weir_export_trees(w->model, &trees, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for PMML");
    if (status == WEIR_OK) {
        put(w, "<MiningModel functionName=\"%s\">\n", function_name(w));
        put_schema(w);
        put_output(w);
        put_transformations(w, NULL);
        put(w, "<Segmentation multipleModelMethod=\"modelChain\">\n");
        for (int k = 0; k < trees->output_count; k++) put_sum(w, trees, k, used);
        put_link(w, trees);
        put(w, "</Segmentation>\n</MiningModel>\n");
    }
    weir_models_free(used);
    weir_trees_free(trees);
    return status;
}

/* ---- the file ---- */

/* Names that XML cannot hold, or that are taken. */
static weir_status check_names(const weir_model *model, weir_err *err) {
    for (int c = 0; c < weir_model_column_count(model); c++) {
        const char *name = weir_model_columns(model)[c];
        for (const char *at = name; *at; at++)
            if ((unsigned char)*at < ' ' && !strchr("\t\n\r", *at))
                return WEIR_FAIL(err, WEIR_EINVAL, "pmml: the name of column %d has the character %d, which XML cannot hold", c, *at);
        if (!strncmp(name, own_prefix, sizeof own_prefix - 1))
            return WEIR_FAIL(err, WEIR_EINVAL, "pmml: column '%s' begins with '%s', which the export needs for names of its own", name, own_prefix);
    }
    return WEIR_OK;
}

static weir_status put_model(writer *w, const weir_model *model, weir_err *err);

static weir_status put_single(writer *w, weir_err *err) {
    const weir_linear_form *form = weir_model_linear_form(w->model);
    weir_status status = weir_export_check(w->model, "pmml", err);
    if (status != WEIR_OK) return status;
    snprintf(w->prefix, sizeof w->prefix, "%s%d.", own_prefix, w->model_count++);
    if (weir_model_has_trees(w->model)) return put_ensemble(w, err);
    if (form)
        put_linear(w, form);
    else
        put_svr(w, weir_model_svr(w->model));
    return WEIR_OK;
}

/* A MiningModel whose segments are the members; after it is opened, w is as it was before. */
static void begin_several(writer *w, const char *method) {
    put(w, "<MiningModel functionName=\"%s\">\n", function_name(w));
    put_schema(w);
    put_output(w);
    put(w, "<Segmentation multipleModelMethod=\"%s\">\n", method);
}

/* The model of a segment; the writer is then as it was, but for what it counts. */
static weir_status put_segment(writer *w, const weir_model *model, double weight, int gives, bool is_meta, weir_err *err) {
    writer inner = *w;
    inner.gives = gives;
    inner.is_meta = is_meta;
    put(&inner, "<Segment weight=\"%.17g\"><True/>\n", weight);
    weir_status status = put_model(&inner, model, err);
    put(&inner, "</Segment>\n");
    w->ok = inner.ok;
    w->model_count = inner.model_count;
    w->node_count = inner.node_count;
    return status;
}

static weir_status put_several(writer *w, const weir_model *model, weir_err *err) {
    bool stacking = weir_model_composition(model) == WEIR_MODEL_STACKING;
    const double *weights = weir_model_weights(model);
    weir_status status = WEIR_OK;
    begin_several(w, stacking ? "modelChain" : "weightedAverage");
    for (int i = 0; status == WEIR_OK && i < weir_model_member_count(model); i++) {
        if (weights && weights[i] == 0) continue;
        status = put_segment(w, weir_model_member(model, i), weights ? weights[i] : 1, stacking ? i * weir_model_output_count(model) : NOTHING, false, err);
    }
    if (status == WEIR_OK && stacking) status = put_segment(w, weir_model_meta(model), 1, NOTHING, true, err);
    put(w, "</Segmentation>\n</MiningModel>\n");
    return status;
}

static weir_status put_model(writer *w, const weir_model *model, weir_err *err) {
    w->model = model;
    w->parts = weir_model_inside(model);
    switch (weir_model_composition(model)) {
    case WEIR_MODEL_SINGLE: return put_single(w, err);
    case WEIR_MODEL_TARGETS:
        return WEIR_FAIL(err, WEIR_EINVAL, "pmml: the model has %d targets and the format one a model; onnx and json can hold them",
                         weir_model_output_count(model));
    default: return put_several(w, model, err);
    }
}

weir_status weir_export_pmml(const weir_model *model, weir_buf *out, weir_err *err) {
    writer w = {.out = out, .ok = true, .gives = SCORES, .model = model, .parts = weir_model_inside(model)};
    weir_status status = check_names(model, err);
    if (status != WEIR_OK) return status;
    put(&w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PMML xmlns=\"http://www.dmg.org/PMML-4_4\" version=\"4.4\">\n");
    put(&w, "<Header description=\"%s, %s\"><Application name=\"Weir\" version=\"%s\"/></Header>\n", weir_model_algorithm(model), weir_model_digest(model),
        WEIR_VERSION);
    put_dictionary(&w);
    status = put_model(&w, model, err);
    put(&w, "</PMML>\n");
    return status == WEIR_OK && !w.ok ? WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the PMML of a model") : status;
}
