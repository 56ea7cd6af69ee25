/* Which requests have their answer in the predictions topic already: asked before a new owner of a partition writes any, and after a batch that failed. */
#ifndef WEIR_CONSUMERS_ANSWERED_H
#define WEIR_CONSUMERS_ANSWERED_H

#include "core/bus.h"
#include "core/clock.h"

/* Of an answer: the offset of its request. The partition is the answer's own. */
#define WEIR_HEADER_REQUEST "weir.request.offset"

/* Of one partition of the requests. Zero-initialised: nothing is known. */
typedef struct weir_answered {
    bool known;
    int64_t *offsets; /* [count] ascending: answered, from the offset that was asked for on */
    int count, capacity;
} weir_answered;
void weir_answered_done(weir_answered *answered);
/** Nothing is known any more. */
void weir_answered_forget(weir_answered *answered);
/** Notes an answer; in any order, repeats are taken once. WEIR_ENOMEM. */
weir_status weir_answered_add(weir_answered *answered, int64_t offset, weir_err *err) WEIR_MUST_CHECK;
bool weir_answered_has(const weir_answered *answered, int64_t offset);

/** Reads the answers of a partition, of requests from first_offset on, out of the predictions topic. since_ms: the timestamp of that request; answers are looked for
 *  from ten minutes before it (or before now, if it is ahead) to the topic's end as it is now, so the clocks of who asks and who answers may differ by that much. Whatever this
 *  process has still under way has to be flushed before. asker: any consumer of the brokers, to find the place by. Errors: those of the consumer, RETRY; then nothing is known. */
weir_status weir_answered_read(weir_answered *answered, weir_consumer *asker, const char *brokers, weir_clock *clock, const char *predictions_topic,
                               int32_t partition, int64_t first_offset, int64_t since_ms, weir_err *err) WEIR_MUST_CHECK;

#endif
