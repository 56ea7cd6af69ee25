/* triggers.performance: tells when a served version is worse on labelled live predictions than on its test rows. Part of the experiment worker. */
#ifndef WEIR_CONSUMERS_DEGRADE_H
#define WEIR_CONSUMERS_DEGRADE_H

#include "consumers/measure.h"
#include "core/worker.h"
#include "models/recipe.h"

typedef struct weir_degrade weir_degrade;

/** What it is given is borrowed until weir_degrade_free. *ret_degrade is NULL when the pipeline does not ask for it, which the functions below accept. */
weir_status weir_degrade_new(weir_worker *worker, weir_pg *pg, const weir_recipe *recipe, weir_degrade **ret_degrade, weir_err *err) WEIR_MUST_CHECK;
void weir_degrade_free(weir_degrade *degrade); /* accepts NULL */

/** A weir_on_arm; context is the weir_degrade. Judges an arm's version when enough new labels came for another look. */
weir_status weir_degrade_arm(void *degrade, const weir_arm_measure *arm, const weir_arm_rows *rows, weir_err *err) WEIR_MUST_CHECK;
/** After the arms: ends what is over because its version is not served any more, sends an event to weir.alerts for every change, sets gauges. */
weir_status weir_degrade_tell(weir_degrade *degrade, weir_err *err) WEIR_MUST_CHECK;

#endif
