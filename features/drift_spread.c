/* Shares of both sides in the same bins, for pictures. */
#include <math.h>
#include <stdlib.h>

#include "features/drift_internal.h"

/* Between the 1 % and 99 % quantiles of either side, widened by a tenth, but not beyond the extremes. */
static void find_range(const weir_drift_profile *a, const weir_drift_profile *b, weir_drift_spread *s) {
    double low = fmin(weir_drift_profile_quantile(a, 0.01), weir_drift_profile_quantile(b, 0.01));
    double high = fmax(weir_drift_profile_quantile(a, 0.99), weir_drift_profile_quantile(b, 0.99)), margin = (high - low) / 10;
    s->low = fmax(low - margin, fmin(a->min, b->min));
    s->high = fmin(high + margin, fmax(a->max, b->max));
    if (!(s->high > s->low)) s->high = s->low + 1;
}

static void spread_numbers(const drift_pair *pair, weir_drift_spread *s) {
    for (int i = 0; i < pair->count; i++) {
        int bin = (int)fmin(fmax((pair->value[i] - s->low) / (s->high - s->low) * s->count, 0), s->count - 1);
        s->reference[bin] += pair->reference[i] / pair->n;
        s->current[bin] += pair->current[i] / pair->m;
    }
}

static double larger_share(const drift_pair *pair, int i) {
    return fmax(pair->reference[i] / pair->n, pair->current[i] / pair->m);
}

/* The largest come first, by selection: a picture has few. */
static void spread_categories(drift_pair *pair, int bins, weir_drift_spread *s) {
    s->rest = pair->count > bins;
    s->count = s->rest ? bins : pair->count;
    for (int k = 0; k < s->count - s->rest; k++) {
        int most = -1;
        for (int i = 0; i < pair->count; i++)
            if (larger_share(pair, i) > (most < 0 ? 0 : larger_share(pair, most))) most = i;
        s->values[k] = pair->value[most];
        s->reference[k] = pair->reference[most] / pair->n;
        s->current[k] = pair->current[most] / pair->m;
        pair->reference[most] = pair->current[most] = 0;
    }
    for (int i = 0; s->rest && i < pair->count; i++) {
        s->reference[bins - 1] += pair->reference[i] / pair->n;
        s->current[bins - 1] += pair->current[i] / pair->m;
    }
    if (s->rest) s->values[bins - 1] = NAN;
}

weir_status weir_drift_spread_of(const weir_drift_profile *reference, const weir_drift_profile *current, int bins, weir_drift_spread *ret_spread,
                                 weir_err *err) {
    *ret_spread = (weir_drift_spread){.categories = reference->type != WEIR_DRIFT_NUMBER};
    if (!drift_value_count(reference) || !drift_value_count(current)) return WEIR_OK;
    drift_pair pair = {0};
    weir_status status = drift_pair_make(reference, current, false, &pair, err);
    if (status != WEIR_OK) return status;
    if (ret_spread->categories) {
        spread_categories(&pair, bins, ret_spread);
    } else {
        ret_spread->count = bins;
        find_range(reference, current, ret_spread);
        spread_numbers(&pair, ret_spread);
    }
    drift_pair_done(&pair);
    return WEIR_OK;
}
