/* What a late record changes: the features at later records of its entity that are other than before. */
#ifndef WEIR_CONSUMERS_CORRECTIONS_H
#define WEIR_CONSUMERS_CORRECTIONS_H

#include "consumers/events.h"
#include "features/view.h"

typedef struct weir_corrections {
    const weir_view *view;
    const weir_features_codec *codec;
    weir_state *state;
    int position; /* of the late record in the tail */
    int64_t late_us; /* its event time */
    double *values, *values_without; /* [feature_count of the view]; scratch */
    int at; /* the last position looked at; starts as `position` */
} weir_corrections;

/** The next record whose shown features differ bit for bit from what they would be without the late one; `values` are then its features. False: there is none. */
bool weir_corrections_next(weir_corrections *c, weir_tail_record *ret_record);
/** When a correction became available: with the late record, and not before the corrected one happened. */
static inline int64_t weir_correction_available_us(int64_t late_available_us, const weir_tail_record *corrected) {
    return late_available_us > corrected->event_time_us ? late_available_us : corrected->event_time_us;
}

#endif
