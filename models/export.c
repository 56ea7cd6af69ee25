/* The formats, and the two that are Weir's own:
 *
 *   native   the artifact as it was loaded
 *   json     {"format": "weir-model", "version": 1, "digest": "9f…", "header": the artifact's header, the fitted chain included,
 *             "model": {"kind": "trees", "link", "base", "trees": [{"output", "left", "right", "column", "value", "missing_left", "cover", "gain"}, …]}
 *                    | {"kind": "linear", "link", "intercept", "mean", "scale", "coefficient"}
 *                    | {"kind": "support_vectors", "kernel", "degree", "gamma", "coef0", "intercept", "mean", "scale", "coefficient", "vector"}
 *                    | {"kind": "average" | "weighted" | "stacking" | "targets", "weights", "members": [{"digest", "header", "model"}, …], "meta": {"digest", "header", "model"}}}
 *
 * models/trees.h and models/linear_form.h say what the numbers mean. They have as many digits as give the same bits again. */
#include "models/export.h"

#include <string.h>

#include "models/export_internal.h"
#include "models/model_internal.h"
#include "models/prep_internal.h"
#include "models/scorer/internal.h"

static const char *const names[WEIR_EXPORT_FORMAT_COUNT] = {"native", "json", "onnx", "pmml", "score"};

const char *weir_export_format_name(weir_export_format format) {
    return names[format];
}

bool weir_export_format_find(const char *name, weir_export_format *ret_format) {
    for (int f = 0; f < WEIR_EXPORT_FORMAT_COUNT; f++) {
        if (strcmp(names[f], name) != 0) continue;
        *ret_format = (weir_export_format)f;
        return true;
    }
    return false;
}

weir_status weir_export_trees(const weir_model *model, weir_trees **ret_trees, weir_err *err) {
    weir_model_parts parts = weir_model_inside(model);
    weir_trees *trees = NULL;
    weir_status status = weir_trees_parse(parts.body, parts.body_len, &parts.fitted, &trees, err);
    if (status == WEIR_OK) status = weir_trees_check_explainable(trees, err); /* JSON has no word for what is not finite */
    if (status == WEIR_OK && trees->set_count)
        status = WEIR_FAIL(err, WEIR_EINVAL, "the model's trees split by sets of categories, which are exported in the formats native and score only");
    if (status == WEIR_OK)
        *ret_trees = trees;
    else
        weir_trees_free(trees);
    return status;
}

weir_status weir_export_check(const weir_model *model, const char *format, weir_err *err) {
    weir_model_parts parts = weir_model_inside(model);
    if (!weir_model_has_trees(model) && !weir_model_linear_form(model) && !weir_model_svr(model))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: algorithm %s has no counterpart there", format, weir_model_algorithm(model));
    for (int o = 0; parts.prep && o < parts.prep->output_count; o++)
        for (int i = parts.prep->outputs[o]; i >= 0; i = parts.prep->nodes[i].parent)
            if (parts.prep->nodes[i].op == WEIR_PREP_BUCKET)
                return WEIR_FAIL(err, WEIR_EINVAL,
                                 "%s: column '%s' is hashed into buckets, which no operation there can do; one_hot and ordinal can be exported", format,
                                 parts.prep->nodes[parts.prep->outputs[o]].name);
    return WEIR_OK;
}

/* ---- JSON ---- */

static bool put_doubles(weir_buf *out, const char *before, const double *values, size_t count) {
    bool ok = weir_buf_printf(out, "%s[", before);
    for (size_t i = 0; ok && i < count; i++) ok = weir_buf_printf(out, i ? ",%.17g" : "%.17g", values[i]);
    return ok && weir_buf_printf(out, "]");
}

/* Rows of a matrix, each an array. */
static bool put_rows(weir_buf *out, const char *before, const double *values, size_t rows, size_t columns) {
    bool ok = weir_buf_printf(out, "%s[", before);
    for (size_t r = 0; ok && r < rows; r++) ok = put_doubles(out, r ? ",\n" : "", values + r * columns, columns);
    return ok && weir_buf_printf(out, "]");
}

static bool put_linear(weir_buf *out, const weir_linear_form *f, weir_task task) {
    static const char *const links[] = {[WEIR_TASK_BINARY] = "logistic", [WEIR_TASK_MULTICLASS] = "softmax", [WEIR_TASK_REGRESSION] = "value"};
    size_t p = (size_t)f->column_count, k = (size_t)f->output_count;
    return weir_buf_printf(out, "{\"kind\": \"linear\", \"link\": \"%s\"", links[task]) && put_doubles(out, ",\n\"intercept\": ", f->intercept, k) &&
           put_doubles(out, ",\n\"mean\": ", f->mean, p) && put_doubles(out, ",\n\"scale\": ", f->scale, p) &&
           put_rows(out, ",\n\"coefficient\": ", f->coefficient, k, p) && weir_buf_printf(out, "}");
}

static bool put_svr(weir_buf *out, const weir_svr *svr) {
    static const char *const kernels[] = {"linear", "poly", "rbf", "sigmoid"};
    size_t p = (size_t)svr->form->column_count, n = (size_t)svr->head.count;
    return weir_buf_printf(out, "{\"kind\": \"support_vectors\", \"kernel\": \"%s\", \"degree\": %d, \"gamma\": %.17g, \"coef0\": %.17g, \"intercept\": %.17g",
                           kernels[svr->head.kernel], svr->head.degree, svr->head.gamma, svr->head.coef0, svr->head.intercept) &&
           put_doubles(out, ",\n\"mean\": ", svr->form->mean, p) && put_doubles(out, ",\n\"scale\": ", svr->form->scale, p) &&
           put_doubles(out, ",\n\"coefficient\": ", svr->coefficient, n) && put_rows(out, ",\n\"vector\": ", svr->vector, n, p) && weir_buf_printf(out, "}");
}

typedef enum node_field { NODE_LEFT, NODE_RIGHT, NODE_COLUMN, NODE_VALUE, NODE_MISSING_LEFT, NODE_COVER, NODE_GAIN, NODE_FIELD_COUNT } node_field;

static bool put_node_field(weir_buf *out, const weir_tree_node *n, node_field field) {
    switch (field) {
    case NODE_LEFT: return weir_buf_printf(out, "%d", n->left);
    case NODE_RIGHT: return weir_buf_printf(out, "%d", n->right);
    case NODE_COLUMN: return weir_buf_printf(out, "%d", n->column);
    case NODE_VALUE: return weir_buf_printf(out, "%.9g", (double)n->value);
    case NODE_MISSING_LEFT: return weir_buf_printf(out, n->missing_left ? "true" : "false");
    case NODE_COVER: return weir_buf_printf(out, "%.9g", (double)n->cover);
    default: return weir_buf_printf(out, "%.9g", (double)n->gain);
    }
}

static bool put_tree(weir_buf *out, const weir_tree *tree) {
    static const char *const fields[NODE_FIELD_COUNT] = {"left", "right", "column", "value", "missing_left", "cover", "gain"};
    bool ok = weir_buf_printf(out, "{\"output\": %d", tree->output);
    for (int f = 0; ok && f < NODE_FIELD_COUNT; f++) {
        ok = weir_buf_printf(out, ", \"%s\": [", fields[f]);
        for (int i = 0; ok && i < tree->node_count; i++) ok = weir_buf_printf(out, i ? "," : "") && put_node_field(out, &tree->nodes[i], (node_field)f);
        ok = ok && weir_buf_printf(out, "]");
    }
    return ok && weir_buf_printf(out, "}");
}

static bool put_trees(weir_buf *out, const weir_trees *trees) {
    static const char *const links[] = {"value", "logistic", "softmax", "shares", "exp"};
    bool ok = weir_buf_printf(out, "{\"kind\": \"trees\", \"link\": \"%s\", \"base\": %.9g, \"trees\": [", links[trees->link], (double)trees->base);
    for (int t = 0; ok && t < trees->tree_count; t++) ok = weir_buf_printf(out, t ? ",\n" : "\n") && put_tree(out, &trees->trees[t]);
    return ok && weir_buf_printf(out, "]}");
}

/* The header stands between the first 16 bytes and the 8 that count the body's. */
static bool put_header(weir_buf *out, const weir_model *model, const weir_model_parts *parts) {
    enum { LENGTH_AT = 12, HEADER_AT = 16 };
    const unsigned char *artifact = parts->artifact;
    return weir_buf_printf(out, "\"digest\": \"%s\",\n\"header\": ", weir_model_digest(model)) &&
           weir_buf_append(out, artifact + HEADER_AT, weir_get_le(artifact + LENGTH_AT, 4)) && weir_buf_printf(out, ",\n\"model\": ");
}

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the JSON of a model");
}

static weir_status put_single(weir_buf *out, const weir_model *model, weir_err *err) {
    const weir_linear_form *form = weir_model_linear_form(model);
    const weir_svr *svr = weir_model_svr(model);
    weir_trees *trees = NULL;
    if (!weir_model_has_trees(model) && !form && !svr)
        return WEIR_FAIL(err, WEIR_EINVAL, "json: the body of algorithm %s is known to itself only; native can hold it", weir_model_algorithm(model));
    weir_status status = weir_model_has_trees(model) ? weir_export_trees(model, &trees, err) : WEIR_OK;
    if (status != WEIR_OK) return status;
    bool ok = trees ? put_trees(out, trees) : form ? put_linear(out, form, weir_model_task(model)) : put_svr(out, svr);
    weir_trees_free(trees);
    return ok ? WEIR_OK : no_memory(err);
}

static weir_status put_model(weir_buf *out, const weir_model *model, weir_err *err);

static weir_status put_several(weir_buf *out, const weir_model *model, weir_err *err) {
    int count = weir_model_member_count(model);
    const double *weights = weir_model_weights(model);
    const weir_model *meta = weir_model_meta(model);
    weir_status status = WEIR_OK;
    bool ok = weir_buf_printf(out, "{\"kind\": \"%s\"", weir_composition_name(weir_model_composition(model))) &&
              (!weights || put_doubles(out, ", \"weights\": ", weights, (size_t)count)) && weir_buf_printf(out, ", \"members\": [");
    for (int i = 0; ok && status == WEIR_OK && i < count; i++) {
        ok = weir_buf_printf(out, i ? ",\n{" : "\n{");
        if (ok) status = put_model(out, weir_model_member(model, i), err);
    }
    ok = ok && weir_buf_printf(out, "]") && (!meta || weir_buf_printf(out, ",\n\"meta\": {"));
    if (ok && status == WEIR_OK && meta) status = put_model(out, meta, err);
    ok = ok && weir_buf_printf(out, "}");
    return status == WEIR_OK && !ok ? no_memory(err) : status;
}

/* What follows the opening brace of a model, with the closing one. Models of several do not go deeper than three levels. */
static weir_status put_model(weir_buf *out, const weir_model *model, weir_err *err) {
    weir_model_parts parts = weir_model_inside(model);
    if (!put_header(out, model, &parts)) return no_memory(err);
    weir_status status = weir_model_composition(model) == WEIR_MODEL_SINGLE ? put_single(out, model, err) : put_several(out, model, err);
    return status != WEIR_OK || weir_buf_printf(out, "}") ? status : no_memory(err);
}

weir_status weir_export_json(const weir_model *model, weir_buf *out, weir_err *err) {
    if (!weir_buf_printf(out, "{\"format\": \"weir-model\", \"version\": 1, ")) return no_memory(err);
    weir_status status = put_model(out, model, err);
    return status != WEIR_OK || weir_buf_printf(out, "\n") ? status : no_memory(err);
}

/* ---- all formats ---- */

static weir_status export_native(const weir_model *model, weir_buf *out, weir_err *err) {
    weir_model_parts parts = weir_model_inside(model);
    if (weir_buf_append(out, parts.artifact, parts.artifact_len)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an artifact of %zu bytes", parts.artifact_len);
}

static weir_status export_score(const weir_model *model, weir_buf *out, weir_err *err) {
    const weirscore *scorer = weir_model_scorer(model);
    if (!scorer) return WEIR_FAIL(err, WEIR_EINVAL, "score: algorithm %s has no compiled form; native can hold it", weir_model_algorithm(model));
    if (weir_buf_append(out, scorer->bytes, scorer->head->length)) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a compiled model of %llu bytes", (unsigned long long)scorer->head->length);
}

weir_status weir_model_export(const weir_model *model, weir_export_format format, weir_buf *ret_bytes, weir_err *err) {
    static weir_status (*const writers[WEIR_EXPORT_FORMAT_COUNT])(const weir_model *, weir_buf *, weir_err *) = {
        export_native, weir_export_json, weir_export_onnx, weir_export_pmml, export_score};
    size_t before = ret_bytes->len;
    weir_status status = writers[format](model, ret_bytes, err);
    if (status != WEIR_OK && ret_bytes->data) ret_bytes->data[ret_bytes->len = before] = 0;
    return status;
}
