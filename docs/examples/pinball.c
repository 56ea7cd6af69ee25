/* A plugin: the pinball loss, which the quantile of a regression makes least. An example of a metric to begin from; docs/plugins.md goes through it.
 *
 *   cc -shared -fPIC -O2 -ffp-contract=off -I. -o pinball.so docs/examples/pinball.c -lm
 *
 *   L = mean of max(a (y − q), (a − 1) (y − q)) for the quantile a.  Source: Koenker, Bassett, Regression quantiles, Econometrica 1978.
 *
 * Of Weir it calls weir_err_set. */
#include <math.h>
#include <string.h>

#include "models/metrics.h"

static weir_status measure(const weir_model_metric *self, const weir_outcomes *o, double *ret_value, weir_err *err) {
    double a = (double)self->field / 100, sum = 0, total = 0;
    for (int64_t r = 0; r < o->row_count; r++) {
        double weight = o->weight ? o->weight[r] : 1, away = o->label[r] - o->score[r];
        if (!(weight >= 0) || isinf(weight))
            return WEIR_FAIL(err, WEIR_EDATA, "weight of row %lld is %g, expected a finite number from 0", (long long)r, weight);
        if (isnan(o->label[r]) || weight == 0) continue; /* not known yet, or not asked for */
        if (isinf(o->label[r])) return WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is %g, expected a finite number", (long long)r, o->label[r]);
        if (!isfinite(o->score[r])) return WEIR_FAIL(err, WEIR_ENUMERIC, "score of row %lld is %g, expected a finite number", (long long)r, o->score[r]);
        sum += weight * fmax(a * away, (a - 1) * away);
        total += weight;
    }
    if (total == 0) return WEIR_FAIL(err, WEIR_EDATA, "none of the %lld rows has a label and weighs anything", (long long)o->row_count);
    if (!isfinite(sum / total)) return WEIR_FAIL(err, WEIR_ENUMERIC, "the loss is larger than a double can hold");
    *ret_value = sum / total;
    return WEIR_OK;
}

#define PINBALL(percent)                                                                                                                                       \
    {                                                                                                                                                          \
        .abi = WEIR_METRIC_ABI, .name = "pinball_" #percent, .task = WEIR_TASK_REGRESSION, .weighted = true, .measure = measure, .field = percent,             \
        .doc = "pinball loss of the " #percent " % quantile"                                                                                                   \
    }

static const weir_model_metric metrics[] = {PINBALL(5), PINBALL(10), PINBALL(50), PINBALL(90), PINBALL(95), {.name = NULL}};

const weir_model_metric *weir_plugin_metrics(void) {
    return metrics;
}
