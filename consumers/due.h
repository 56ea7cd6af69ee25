/* Which firings of a schedule are due: what the schedule worker decides, without its database and topics. */
#ifndef WEIR_CONSUMERS_DUE_H
#define WEIR_CONSUMERS_DUE_H

#include "core/cron.h"
#include "features/pipeline_decisions.h"

/* A firing this much behind its time was missed: the scheduler was away. */
#define WEIR_SCHEDULE_GRACE_US (INT64_C(60) * 1000000)
enum { WEIR_DUE_MAX = 256 };

typedef struct weir_due {
    int64_t at_us;
    int missed; /* earlier ones that it stands for */
    bool told; /* false: it passes unheard */
} weir_due;

/** What is due in (last_us, now_us], ascending, into due [WEIR_DUE_MAX]; returns how many. "last": one for all of them. "all": each; where there are more than WEIR_DUE_MAX, the rest
 *  comes with the next call. "none": those that were missed pass unheard, as one. */
int weir_schedule_due(const weir_cron *cron, const weir_zone *zone, weir_catch_up catch_up, int64_t last_us, int64_t now_us, weir_due *due);

#endif
