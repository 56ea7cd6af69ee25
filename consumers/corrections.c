#include "consumers/corrections.h"

#include <string.h>

/* Bit for bit, but for the payload of NaN, which is null for everybody. */
static bool differ(const weir_corrections *c) {
    for (int i = 0; i < c->codec->feature_count; i++) {
        double a = c->values[c->codec->features[i]], b = c->values_without[c->codec->features[i]];
        if (memcmp(&a, &b, sizeof a) && (a == a || b == b)) return true;
    }
    return false;
}

bool weir_corrections_next(weir_corrections *c, weir_tail_record *ret_record) {
    int64_t horizon_us = weir_view_horizon_us(c->view);
    while (weir_state_at(c->state, ++c->at, ret_record)) {
        /* Values at times further on do not reach back to the late record. */
        if (horizon_us < INT64_MAX && ret_record->event_time_us - c->late_us > horizon_us) return false;
        weir_view_eval(c->view, c->state, ret_record->event_time_us, &ret_record->source, c->values);
        weir_view_eval_without(c->view, c->state, ret_record->event_time_us, &ret_record->source, c->position, c->values_without);
        if (differ(c)) return true;
    }
    return false;
}
