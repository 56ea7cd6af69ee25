/* Is a version worse on live rows than on its test rows, and is that more than chance? Looked at again and again while labels arrive. */
#ifndef WEIR_MODELS_DEGRADATION_H
#define WEIR_MODELS_DEGRADATION_H

#include "models/metrics.h"

enum {
    WEIR_DEGRADATION_GROUPS = 50, /* of the jackknife */
    WEIR_DEGRADATION_WINDOW = 20, /* the newest that many times min_rows are judged */
};

typedef struct weir_degradation_settings {
    const weir_model_metric *metric;
    double threshold; /* binary: at which the reference was measured */
    double reference; /* the test metric */
    double reference_count; /* test rows, of a binary task the positive ones; 0: unknown, the reference is then taken for exact */
    double drop; /* relative to |reference|, in [0, 1): how much worse is too much */
    int64_t min_rows; /* fewer are not judged; ≥ 1 */
    double alpha; /* chance that a version that is not worse by `drop` is ever called so, over all looks */
} weir_degradation_settings;

typedef struct weir_degradation {
    int64_t rows;
    double value; /* of the metric; NaN: it has none on these rows */
    double low,
        high; /* of what it would be on endless rows, each bound at this look's share of alpha, as wide as the reference's own error asks; NaN: too little to say */
    double limit; /* reference less (or plus, where smaller is better) the allowed drop */
    double share; /* (reference − value) / |reference| where greater is better, else its negative: above 0 is worse */
    bool worse; /* the whole interval is beyond the limit */
} weir_degradation;

/** Whether the metric can be compared between sets of different sizes at all: precision among the k highest scores and the largest error cannot. */
bool weir_degradation_comparable(const weir_model_metric *metric);

/** The look that is due with that many labelled rows: 0 none, then one for each min_rows. The same at every restart. */
int64_t weir_degradation_look(int64_t labelled, int64_t min_rows);

/** Judges rows [row_count], of which group [row_count] names the entity (rows of an entity depend on one another), at look ≥ 1.
 *
 *  Standard error: delete-a-group jackknife, entities dealt to WEIR_DEGRADATION_GROUPS groups by their hash, var = (g − 1) / g Σ (θ_(j) − θ̄)², bounds with Student's t of
 *  g − 1 degrees. Source: P. Kott, The delete-a-group jackknife, Journal of Official Statistics 17 (2001). For precision, recall, accuracy and F1 not narrower than
 *  Wilson's bounds, as a jackknife of none in n has no width; F1 through the Jaccard proportion TP / (TP + FP + FN) = F1 / (2 − F1).
 *  Source: E. Wilson, JASA 22 (1927). The reference's variance is the live one times count / reference_count, as if drawn from alike rows.
 *  Many looks: the j-th has alpha / (j (j + 1)), which adds up to alpha over any number of looks (Bonferroni), so that it may be looked at for ever.
 *
 *  The metric undefined in the rows or without one of the groups: low and high are NaN, worse is false. O(groups n log n), 40 bytes a row.
 *  Errors: those of the metric; WEIR_EINVAL for settings out of range; WEIR_ENOMEM. */
weir_status weir_degradation_judge(const weir_degradation_settings *settings, const weir_outcomes *rows, const uint32_t *group, int64_t look,
                                   weir_degradation *ret_degradation, weir_err *err) WEIR_MUST_CHECK;

#endif
