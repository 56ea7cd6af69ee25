/* Contributions are worked out for the columns that the algorithm was fitted on; those of a chain's outputs are then summed up for the input that each is made from (a chain
 * computes every column from one input, so nothing has to be shared out). */
#include "models/explain.h"

#include <math.h>
#include <string.h>

#include "models/memory.h"
#include "models/model_parts.h"
#include "models/prep_internal.h"
#include "models/xgb_common.h"

/* Input of the rows that column c of the fitted rows is made from. */
static int input_of(const weir_prep *prep, int c) {
    return prep ? prep->nodes[prep->outputs[c]].input : c;
}

/* ---- one row ---- */

/* score_k = intercept_k + Σ_c coefficient_kc z_c: about the training mean each column adds its own term. Source: Lundberg and Lee, A unified approach to interpreting model
 * predictions, 2017, corollary 1. */
static void explain_linear(const weir_linear_form *form, const double *row, double *contributions) {
    double z[WEIR_MODEL_FITTED_MAX];
    size_t p = (size_t)form->column_count;
    weir_linear_form_row(form, row, z);
    for (size_t k = 0; k < (size_t)form->output_count; k++) {
        for (size_t c = 0; c < p; c++) contributions[k * (p + 1) + c] = form->coefficient[k * p + c] * z[c];
        contributions[k * (p + 1) + p] = form->intercept[k];
    }
}

/* The weights of a machine with the linear kernel: Σ_j c_j s_j. */
static double svr_weight(const weir_svr *svr, int c) {
    double sum = 0;
    for (int64_t j = 0; j < svr->head.count; j++) sum += svr->coefficient[j] * svr->vector[j * svr->form->column_count + c];
    return sum;
}

static void explain_svr(const weir_svr *svr, const double *row, double *contributions) {
    double z[WEIR_MODEL_FITTED_MAX];
    int p = svr->form->column_count;
    weir_linear_form_row(svr->form, row, z);
    for (int c = 0; c < p; c++) contributions[c] = svr_weight(svr, c) * z[c];
    contributions[p] = svr->head.intercept;
}

static weir_status explain_trees(weir_model *model, const double *row, double *contributions, weir_err *err) {
    const weir_trees *trees = NULL;
    weir_status status = weir_model_trees(model, &trees, err);
    if (status == WEIR_OK) status = weir_trees_check_explainable(trees, err);
    if (status != WEIR_OK) return status;
    float *narrow = weir_models_calloc((size_t)trees->column_count, sizeof *narrow);
    if (!narrow) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row of %d columns", trees->column_count);
    for (int c = 0; c < trees->column_count; c++) narrow[c] = weir_xgb_narrow(row[c]);
    status = weir_trees_contributions(trees, narrow, contributions, err);
    weir_models_free(narrow);
    return status;
}

static weir_status not_additive(const weir_model *model, const char *what, weir_err *err) {
    const weir_svr *svr = weir_model_svr(model);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s of algorithm %s%s %s not known exactly; permutation importance is there for any model", what,
                     weir_model_algorithm(model), svr ? " with a kernel that is not linear" : "", what[0] == 'c' ? "are" : "is");
}

/* row and contributions are of the columns that the algorithm was fitted on. */
static weir_status explain_fitted(weir_model *model, const double *row, double *contributions, weir_err *err) {
    const weir_linear_form *form = weir_model_linear_form(model);
    const weir_svr *svr = weir_model_svr(model);
    if (weir_model_has_trees(model)) return explain_trees(model, row, contributions, err);
    if (form) {
        explain_linear(form, row, contributions);
    } else if (svr && svr->head.kernel == WEIR_SVR_LINEAR) {
        explain_svr(svr, row, contributions);
    } else {
        return not_additive(model, "contributions", err);
    }
    return WEIR_OK;
}

/* fitted [output_count][fitted columns + 1] → out [output_count][columns + 1]. */
static void gather_inputs(const weir_model_parts *parts, const double *fitted, double *out) {
    int from = parts->fitted.column_count, to = parts->shape.column_count;
    memset(out, 0, (size_t)parts->shape.output_count * (size_t)(to + 1) * sizeof *out);
    for (int k = 0; k < parts->shape.output_count; k++, fitted += from + 1, out += to + 1) {
        for (int c = 0; c < from; c++) out[input_of(parts->prep, c)] += fitted[c];
        out[to] = fitted[from];
    }
}

static weir_status explain_single(weir_model *model, const double *row, double *contributions, weir_err *err) {
    weir_model_parts parts = weir_model_inside(model);
    size_t width = (size_t)parts.fitted.column_count, outputs = (size_t)parts.shape.output_count;
    if (!parts.prep) return explain_fitted(model, row, contributions, err);
    double *prepared = weir_models_calloc(width + outputs * (width + 1), sizeof *prepared), *fitted = prepared ? prepared + width : NULL;
    if (!prepared) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to explain a row of %zu columns", width);
    weir_prep_apply(parts.prep, row, 1, prepared);
    weir_status status = explain_fitted(model, prepared, fitted, err);
    if (status == WEIR_OK) gather_inputs(&parts, fitted, contributions);
    weir_models_free(prepared);
    return status;
}

static weir_status explain(weir_model *model, const double *row, double *contributions, weir_err *err);

/* Is a member's score the margin that its contributions sum to? */
static weir_status is_margin(weir_model *member, bool *ret_is, weir_err *err) {
    const weir_trees *trees = NULL;
    bool binary = weir_model_task(member) == WEIR_TASK_BINARY;
    *ret_is = weir_model_task(member) == WEIR_TASK_REGRESSION;
    if (!weir_model_has_trees(member)) return WEIR_OK;
    weir_status status = weir_model_trees(member, &trees, err);
    if (status == WEIR_OK) *ret_is = trees->link == WEIR_LINK_VALUE || (trees->link == WEIR_LINK_SHARES && binary);
    return status;
}

/* Shapley values of a sum are the sums of those of its parts, so where a member's score is its margin, the ensemble's contributions are known exactly. Log odds do not add up to those of an
 * average of probabilities: no contributions to log odds would be true. */
static weir_status check_adds_up(const weir_model *ensemble, weir_err *err) {
    for (int i = 0; i < weir_model_member_count(ensemble); i++) {
        weir_model *member = weir_model_member(ensemble, i);
        bool good = false;
        weir_status status = is_margin(member, &good, err);
        if (status != WEIR_OK) return status;
        if (!good)
            return WEIR_FAIL(err, WEIR_EINVAL,
                             "the model combines scores, to which the contributions of member %d (%s) to log odds or logarithms do not add up; explain its "
                             "members one by one, "
                             "or use permutation importance",
                             i, weir_model_algorithm(member));
    }
    return WEIR_OK;
}

/* How much of each member's score goes into the ensemble's, and what is added to the sum: ret_factor [member_count]. */
static weir_status linear_combination(const weir_model *ensemble, double *ret_factor, double *ret_constant, weir_err *err) {
    const double *weights = weir_model_weights(ensemble);
    const weir_model *meta = weir_model_meta(ensemble);
    int count = weir_model_member_count(ensemble);
    *ret_constant = 0;
    if (weights) {
        memcpy(ret_factor, weights, (size_t)count * sizeof *ret_factor);
        return WEIR_OK;
    }
    const weir_linear_form *form = weir_model_linear_form(meta);
    if (!form || weir_model_task(meta) != WEIR_TASK_REGRESSION || weir_model_inside(meta).prep)
        return WEIR_FAIL(err, WEIR_EINVAL, "contributions to a stacking whose meta model is %s%s are not known exactly, only to a linear one's value",
                         weir_model_algorithm(meta), weir_model_inside(meta).prep ? " behind preprocessing" : "");
    *ret_constant = form->intercept[0];
    for (int i = 0; i < count; i++) {
        ret_factor[i] = form->coefficient[i] / form->scale[i];
        *ret_constant -= ret_factor[i] * form->mean[i];
    }
    return WEIR_OK;
}

static weir_status explain_ensemble(weir_model *model, const double *row, double *contributions, weir_err *err) {
    double factor[WEIR_MODEL_MEMBERS_MAX], constant = 0;
    int width = weir_model_column_count(model) + 1;
    weir_status status = check_adds_up(model, err);
    if (status == WEIR_OK) status = linear_combination(model, factor, &constant, err);
    if (status != WEIR_OK) return status;
    double *own = weir_models_calloc((size_t)width, sizeof *own);
    if (!own) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to explain a row of %d columns", width - 1);
    memset(contributions, 0, (size_t)width * sizeof *contributions);
    contributions[width - 1] = constant;
    for (int i = 0; status == WEIR_OK && i < weir_model_member_count(model); i++) {
        if (factor[i] == 0) continue;
        status = explain_single(weir_model_member(model, i), row, own, err);
        for (int c = 0; status == WEIR_OK && c < width; c++) contributions[c] += factor[i] * own[c];
    }
    weir_models_free(own);
    return status;
}

static weir_status explain(weir_model *model, const double *row, double *contributions, weir_err *err) {
    weir_status status = WEIR_OK;
    switch (weir_model_composition(model)) {
    case WEIR_MODEL_SINGLE: return explain_single(model, row, contributions, err);
    case WEIR_MODEL_TARGETS: break;
    default: return explain_ensemble(model, row, contributions, err);
    }
    for (int i = 0; status == WEIR_OK && i < weir_model_member_count(model); i++)
        status = explain(weir_model_member(model, i), row, contributions + (ptrdiff_t)i * (weir_model_column_count(model) + 1), err);
    return status;
}

weir_status weir_explain_row(weir_model *model, const double *row, double *contributions, weir_err *err) {
    for (int c = 0; c < weir_model_column_count(model); c++)
        if (isinf(row[c])) return WEIR_REJECT(err, WEIR_ENUMERIC, "the row has an infinite value in column '%s'", weir_model_columns(model)[c]);
    return explain(model, row, contributions, err);
}

/* ---- the whole model ---- */

static weir_status trees_importance(weir_model *model, double *importance, weir_err *err) {
    const weir_trees *trees = NULL;
    weir_status status = weir_model_trees(model, &trees, err);
    if (status == WEIR_OK) status = weir_trees_check_explainable(trees, err);
    for (int t = 0; status == WEIR_OK && t < trees->tree_count; t++) {
        const weir_tree *tree = &trees->trees[t];
        for (int i = 0; i < tree->node_count; i++)
            if (!weir_tree_is_leaf(&tree->nodes[i])) importance[tree->nodes[i].column] += fmax((double)tree->nodes[i].gain, 0);
    }
    return status;
}

/* Coefficients are on the standardised scale: those of the columns times their deviations. Of several classes their sizes are summed. */
static void linear_importance(const weir_linear_form *form, double *importance) {
    for (int k = 0; k < form->output_count; k++)
        for (int c = 0; c < form->column_count; c++) importance[c] += fabs(form->coefficient[(size_t)k * (size_t)form->column_count + (size_t)c]);
}

static weir_status fitted_importance(weir_model *model, double *importance, weir_err *err) {
    const weir_linear_form *form = weir_model_linear_form(model);
    const weir_svr *svr = weir_model_svr(model);
    if (weir_model_has_trees(model)) return trees_importance(model, importance, err);
    if (form) {
        linear_importance(form, importance);
    } else if (svr && svr->head.kernel == WEIR_SVR_LINEAR) {
        for (int c = 0; c < svr->form->column_count; c++) importance[c] = fabs(svr_weight(svr, c));
    } else {
        return not_additive(model, "importance", err);
    }
    return WEIR_OK;
}

/* Adds `share` times the importance of the inputs of a single model, made to sum to 1, to importance [columns]. */
static weir_status add_single(weir_model *model, double share, double *importance, weir_err *err) {
    weir_model_parts parts = weir_model_inside(model);
    double *fitted = weir_models_calloc((size_t)parts.fitted.column_count, sizeof *fitted), sum = 0;
    if (!fitted) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", parts.fitted.column_count);
    weir_status status = fitted_importance(model, fitted, err);
    for (int c = 0; c < parts.fitted.column_count; c++) sum += fitted[c];
    for (int c = 0; status == WEIR_OK && sum > 0 && c < parts.fitted.column_count; c++) importance[input_of(parts.prep, c)] += share * fitted[c] / sum;
    weir_models_free(fitted);
    return status;
}

/* Importance of each member: its weight, what the meta model makes of its scores, or the same of each target. ret_share [member_count]. */
static weir_status member_shares(weir_model *model, double *ret_share, weir_err *err) {
    int count = weir_model_member_count(model), outputs = weir_model_output_count(model);
    const double *weights = weir_model_weights(model);
    weir_model *meta = weir_model_meta(model);
    for (int i = 0; i < count; i++) ret_share[i] = weights ? weights[i] : meta ? 0 : 1.0 / count;
    if (!meta) return WEIR_OK;
    double *scores = weir_models_calloc((size_t)weir_model_column_count(meta), sizeof *scores);
    if (!scores) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d scores of members", weir_model_column_count(meta));
    weir_status status = add_single(meta, 1, scores, err);
    for (int c = 0; c < weir_model_column_count(meta); c++) ret_share[c / outputs] += scores[c];
    weir_models_free(scores);
    return status;
}

/* Models of several do not go deeper than three levels. */
static weir_status add_importance(weir_model *model, double share, double *importance, weir_err *err) {
    double member_share[WEIR_MODEL_MEMBERS_MAX];
    if (weir_model_composition(model) == WEIR_MODEL_SINGLE) return add_single(model, share, importance, err);
    weir_status status = member_shares(model, member_share, err);
    for (int i = 0; status == WEIR_OK && i < weir_model_member_count(model); i++)
        if (member_share[i] > 0) status = add_importance(weir_model_member(model, i), share * member_share[i], importance, err);
    return status;
}

weir_status weir_explain_importance(weir_model *model, double *ret_importance, weir_err *err) {
    int columns = weir_model_column_count(model);
    double *importance = weir_models_calloc((size_t)columns, sizeof *importance), sum = 0;
    if (!importance) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", columns);
    weir_status status = add_importance(model, 1, importance, err);
    for (int c = 0; c < columns; c++) sum += importance[c]; /* less than 1 where a member uses none of its columns */
    for (int c = 0; status == WEIR_OK && c < columns; c++) ret_importance[c] = sum > 0 ? importance[c] / sum : 0;
    weir_models_free(importance);
    return status;
}
