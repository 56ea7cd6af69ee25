/* Off-policy estimates from running sums. */
#include "models/offpolicy.h"

#include <math.h>

#include "core/distributions.h"

static const double EFFECTIVE_SHARE = 0.1, EFFECTIVE_MIN = 30, LARGEST_SHARE = 0.05, MEAN_ERRORS = 5;

static weir_status check(const weir_logged *l, weir_err *err) {
    if (!(l->propensity > 0 && l->propensity <= 1)) return WEIR_FAIL(err, WEIR_EDATA, "propensity is %g, expected above 0 to 1", l->propensity);
    if (!(l->target >= 0 && l->target <= 1)) return WEIR_FAIL(err, WEIR_EDATA, "target probability is %g, expected 0 to 1", l->target);
    if (!isfinite(l->reward) || !isfinite(l->predicted) || !isfinite(l->predicted_target))
        return WEIR_FAIL(err, WEIR_ENUMERIC, "reward %g, predicted %g, of the target %g: expected finite numbers", l->reward, l->predicted,
                         l->predicted_target);
    double weight = l->target / l->propensity, weighted = weight * (fabs(l->reward) + fabs(l->predicted) + 1);
    if (!isfinite(weighted * weighted)) return WEIR_FAIL(err, WEIR_ENUMERIC, "weight %g times reward %g is too large", weight, l->reward);
    return WEIR_OK;
}

static void welford(double count, double x, double *mean, double *deviations) {
    double step = x - *mean;
    *mean += step / count;
    *deviations += step * (x - *mean);
}

weir_status weir_offpolicy_add(weir_offpolicy *sums, const weir_logged *logged, weir_err *err) {
    weir_status status = check(logged, err);
    if (status != WEIR_OK) return status;
    double w = logged->target / logged->propensity, r = logged->reward;
    sums->count++;
    sums->weights += w;
    sums->weights_squared += w * w;
    sums->weight_max = fmax(sums->weight_max, w);
    sums->rewards += w * r;
    sums->rewards_by_square += w * w * r;
    sums->rewards_squared += w * w * r * r;
    welford(sums->count, w * r, &sums->ips_mean, &sums->ips_deviations);
    welford(sums->count, logged->predicted_target + w * (r - logged->predicted), &sums->robust_mean, &sums->robust_deviations);
    return WEIR_OK;
}

static void merge_moments(double count, double other_count, double *mean, double *deviations, double other_mean, double other_deviations) {
    double gap = other_mean - *mean, total = count + other_count;
    *deviations += other_deviations + gap * gap * count * other_count / total;
    *mean += gap * other_count / total;
}

void weir_offpolicy_merge(weir_offpolicy *sums, const weir_offpolicy *other) {
    if (other->count == 0) return;
    merge_moments(sums->count, other->count, &sums->ips_mean, &sums->ips_deviations, other->ips_mean, other->ips_deviations);
    merge_moments(sums->count, other->count, &sums->robust_mean, &sums->robust_deviations, other->robust_mean, other->robust_deviations);
    sums->count += other->count;
    sums->weights += other->weights;
    sums->weights_squared += other->weights_squared;
    sums->weight_max = fmax(sums->weight_max, other->weight_max);
    sums->rewards += other->rewards;
    sums->rewards_by_square += other->rewards_by_square;
    sums->rewards_squared += other->rewards_squared;
}

static weir_estimate estimate(double value, double standard_error, double z) {
    return (weir_estimate){.value = value, .standard_error = standard_error, .low = value - z * standard_error, .high = value + z * standard_error};
}

static weir_estimate of_mean(double count, double mean, double deviations, double z) {
    return estimate(mean, count < 2 ? NAN : sqrt(deviations / (count - 1) / count), z);
}

/* Σ w² (r − v)² / (Σ w)²: the ratio's variance by the delta method. */
static weir_estimate of_ratio(const weir_offpolicy *s, double z) {
    double v = s->rewards / s->weights, squares = s->rewards_squared - 2 * v * s->rewards_by_square + v * v * s->weights_squared;
    return estimate(v, s->count < 2 ? NAN : sqrt(fmax(0, squares)) / s->weights, z);
}

static bool is_extreme(const weir_offpolicy *s, const weir_offpolicy_report *r) {
    double spread = s->weights_squared / s->count - r->weight_mean * r->weight_mean, error = sqrt(fmax(0, spread) / s->count);
    return r->effective_count < EFFECTIVE_SHARE * s->count || r->effective_count < EFFECTIVE_MIN || r->weight_max_share > LARGEST_SHARE ||
           fabs(r->weight_mean - 1) > MEAN_ERRORS * error + 1e-9;
}

weir_status weir_offpolicy_report_of(const weir_offpolicy *sums, double level, weir_offpolicy_report *ret_report, weir_err *err) {
    if (!(level > 0 && level < 1)) return WEIR_FAIL(err, WEIR_EINVAL, "level is %g, expected a number between 0 and 1", level);
    if (!(sums->count > 0 && sums->weights > 0))
        return WEIR_FAIL(err, WEIR_EDATA, "%g requests, none that the target policy would have treated so", sums->count);
    double z = weir_normal_inverse(0.5 + level / 2);
    weir_offpolicy_report report = {
        .ips = of_mean(sums->count, sums->ips_mean, sums->ips_deviations, z),
        .snips = of_ratio(sums, z),
        .robust = of_mean(sums->count, sums->robust_mean, sums->robust_deviations, z),
        .effective_count = sums->weights * sums->weights / sums->weights_squared,
        .weight_mean = sums->weights / sums->count,
        .weight_max_share = sums->weight_max / sums->weights,
    };
    report.extreme = is_extreme(sums, &report);
    *ret_report = report;
    return WEIR_OK;
}
