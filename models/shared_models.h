/* One model for all tenants, or one each: which is better for whom.
 *
 * The shared model is fitted on the rows of all tenants, with a column "tenant=NAME" for each that is 1 in its rows and 0 elsewhere. Both are judged on the
 * same rows, those that each tenant's own folds leave out: in every fold the shared model is fitted on the training rows of all tenants, the tenant's model
 * on its training rows only. Where rows have entities, the rows of one are drawn together.
 *
 * The gap is what a tenant's own model gains, as a share of the shared model's metric: (shared - own) / |shared| where less is better, else (own - shared) /
 * |shared|. Its interval is the percentile interval of a paired bootstrap: rows (or entities) are drawn with replacement, both models' scores with them. A
 * tenant is to move to a model of its own when the gap is above `gap` beyond chance: p is the share of replicates in which it is not, (1 + count) / (1 +
 * replicates), Holm-adjusted over the tenants, at most alpha.
 * Sources: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, 13.3 and 15.4 (groups are drawn as a whole: 8.6); S. Holm (models/significance.h). */
#ifndef WEIR_MODELS_SHARED_MODELS_H
#define WEIR_MODELS_SHARED_MODELS_H

#include "models/metrics.h"
#include "models/spec.h"

/* Members that are not named are zero, which means what is said in brackets. */
typedef struct weir_shared_settings {
    const cJSON *spec; /* of both kinds of models; one target */
    const weir_model_metric *metric;
    double threshold; /* of metrics that decide [0.5] */
    const weir_split *split; /* folds of every tenant by itself [5 folds, shuffled by `seed`; by class where there are some, by entity where there are some] */
    double gap; /* [0.05] */
    double alpha; /* [0.05] */
    int replicates; /* [1000, or 2 tenants / alpha where that is more] */
    uint64_t seed;
    int threads; /* [1] */
    const _Atomic bool *cancel; /* [never] */
} weir_shared_settings;

typedef struct weir_shared_tenant {
    const char *name; /* the set's */
    int64_t rows; /* all; judged: those in a test part */
    int64_t judged;
    double shared, own; /* the metric over the judged rows */
    double gap, low, high; /* NaN when not compared; interval at 1 - alpha, of this tenant alone */
    double p, p_adjusted;
    bool compared, migrate;
    char why[WEIR_ERR_MESSAGE_MAX]; /* why it was not compared */
} weir_shared_tenant;

typedef struct weir_shared_comparison {
    weir_shared_tenant *tenants; /* [count], as the set has them */
    int count, migrating;
    const weir_model_metric *metric;
    double gap, alpha;
    int replicates;
} weir_shared_comparison;

/** Compares. A tenant with too few rows or classes for folds, or whose own model cannot be fitted, is not compared, and says why; its rows are the shared
 *  model's all the same.
 *  Errors: WEIR_EINVAL for a set without tenants, several targets, a gap or alpha out of range; those of fitting the shared model; WEIR_ETIMEOUT when
 *  cancelled; WEIR_ENOMEM. */
weir_status weir_shared_compare(const weir_trainset *set, const weir_shared_settings *settings, weir_shared_comparison *ret_comparison,
                                weir_err *err) WEIR_MUST_CHECK;
void weir_shared_comparison_done(weir_shared_comparison *comparison);
/** {"metric", "gap", "alpha", "replicates", "tenants": [{"tenant", "rows", "judged", "shared", "own", "gap", "low", "high", "p", "p_adjusted", "migrate",
 *  "why"}], "migrate": […]}. */
weir_status weir_shared_json(const weir_shared_comparison *comparison, cJSON **ret_json, weir_err *err) WEIR_MUST_CHECK;
/** The same as a table of text, with a sentence behind it. */
weir_status weir_shared_text(const weir_shared_comparison *comparison, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;

/** The set with its tenants as columns, which the shared model is fitted on. */
weir_status weir_shared_set(const weir_trainset *set, weir_trainset *ret_set, weir_err *err) WEIR_MUST_CHECK;
/** The rows of a tenant (its place in the set's names), which its own model is fitted on: no row of another is among them. WEIR_ENOTFOUND when it has none. */
weir_status weir_shared_own_set(const weir_trainset *set, uint32_t tenant, weir_trainset *ret_set, weir_err *err) WEIR_MUST_CHECK;
/** A row of the shared model, in the order of its columns, from a row without tenants (its other columns, in their order). *ret_known: whether the model was
 *  fitted on this tenant; of another one all tenant columns are 0. row [columns without tenants], out [weir_model_column_count]. */
void weir_shared_row(const weir_model *model, const char *tenant, const double *row, double *out, bool *ret_known);

#endif
