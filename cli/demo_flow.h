/* Where a pipeline stands, told from its metrics: how much went through, who serves, and what somebody still has to do. */
#ifndef WEIR_CLI_DEMO_FLOW_H
#define WEIR_CLI_DEMO_FLOW_H

#include "cli/demo_live.h"
#include "cli/demo_watch.h"
#include "features/pipeline.h"

/* What was published to a pipeline since the watch began. */
typedef struct weir_published {
    int64_t events, labels;
} weir_published;

enum { WEIR_WAITING_MAX = 256 };

/** Is everything that was published through ingest, store, score and experiment? When not, why says who has to do what. scoring: events count as done only when they
 *  were scored, or came while no model was served. published NULL: nothing is counted, everybody just has to be ready and without lag. */
bool weir_flow_idle(const weir_watch *watch, const weir_pipeline *pipeline, const weir_published *published, bool scoring, char why[WEIR_WAITING_MAX]);
/** Records that wait anywhere in the pipeline. */
int64_t weir_flow_lag(const weir_watch *watch, const weir_pipeline *pipeline);
/** Records taken by a worker from a topic. */
double weir_flow_taken(const weir_watch *watch, const weir_pipeline *pipeline, const char *worker, const char *topic);
/** Fills counts, arms and scores of the view. */
void weir_flow_show(const weir_watch *watch, const weir_pipeline *pipeline, weir_live_view *view);
/** Newest event time that ingest has seen; INT64_MIN when none. */
int64_t weir_flow_event_time(const weir_watch *watch, const weir_pipeline *pipeline);

/** Asks the workers at this address whether all are ready; *ret_ready is false as long as nobody answers, and why says whom it waits for. Errors: those that waiting does not mend. */
weir_status weir_flow_ready(const char *host, int64_t port, bool *ret_ready, char why[WEIR_WAITING_MAX], weir_err *err) WEIR_MUST_CHECK;

/* How long somebody has waited for the same. Zero-initialised. */
typedef struct weir_patience {
    char why[WEIR_WAITING_MAX];
    int64_t since_us; /* monotonic */
} weir_patience;
/** Whether what is waited for has read the same for longer than patience_us. */
bool weir_patience_over(weir_patience *patience, const char *why, int64_t now_us, int64_t patience_us);

#endif
