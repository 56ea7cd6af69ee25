/* Rollouts in PostgreSQL: the row of one, its events, and the outcomes that feed it. */
#ifndef WEIR_CONSUMERS_ROLLOUT_ROWS_H
#define WEIR_CONSUMERS_ROLLOUT_ROWS_H

#include <cjson/cJSON.h>

#include "consumers/rollout_state.h"
#include "core/pg.h"
#include "features/pipeline.h"

enum { WEIR_ROLLOUT_ID_MAX = 200, WEIR_ROLLOUT_FEED_MAX = 20000, WEIR_ROLLOUT_SETTINGS_MAX = 384 };

typedef struct weir_rollout_version {
    char model[64], digest[65];
    int version; /* 0: none */
} weir_rollout_version;

/* A row of weir.rollouts. */
typedef struct weir_rollout_record {
    char id[WEIR_ROLLOUT_ID_MAX]; /* empty: there is none */
    weir_rollout_version champion, challengers[WEIR_CHALLENGERS_MAX]; /* of rollout.arms */
    weir_rollout rollout;
    char settings[WEIR_ROLLOUT_SETTINGS_MAX], reason[WEIR_ROLLOUT_REASON_MAX], known_to[WEIR_ROLLOUT_ID_MAX];
    int revision;
    bool aliases_due;
} weir_rollout_record;

/** What the evidence depends on: a rollout that began under other settings cannot go on. */
void weir_rollout_settings_text(const weir_rollout_def *def, char text[WEIR_ROLLOUT_SETTINGS_MAX]);

/** The rollout of the pipeline that began last; id empty when there is none. lock: for the rest of the transaction. */
weir_status weir_rollout_newest(weir_pg *pg, const weir_pipeline *pipeline, bool lock, weir_rollout_record *ret_record, weir_err *err) WEIR_MUST_CHECK;
/** A new row in its first state. Inside a transaction. WEIR_ECONFLICT: another is active. */
weir_status weir_rollout_insert(weir_pg *pg, const char *pipeline, const weir_rollout_record *record, weir_err *err) WEIR_MUST_CHECK;
/** Writes what changes of a row. Inside a transaction. */
weir_status weir_rollout_save(weir_pg *pg, const weir_rollout_record *record, weir_err *err) WEIR_MUST_CHECK;
/** Notes a change, and what is to be told of it: an event of its own and the row. Inside a transaction. aliases_due is set where the change ends the rollout. */
weir_status weir_rollout_note(weir_pg *pg, const weir_pipeline *pipeline, weir_rollout_record *record, const weir_rollout_change *change, const char *actor,
                              weir_err *err) WEIR_MUST_CHECK;

/* What the aliases of a pipeline point at. */
typedef struct weir_rollout_aliases {
    weir_rollout_version champion, challengers[WEIR_CHALLENGERS_MAX]; /* version 0: nothing */
    bool is_new[WEIR_CHALLENGERS_MAX]; /* the alias was set after the last rollout of this version ended */
} weir_rollout_aliases;
weir_status weir_rollout_read_aliases(weir_pg *pg, const char *pipeline, weir_rollout_aliases *ret_aliases, weir_err *err) WEIR_MUST_CHECK;

/** Inside a transaction. Feeds labelled predictions of the rollout's versions that were not counted yet, in the order in which their labels became known, at most WEIR_ROLLOUT_FEED_MAX of those that were served
 *  and as many that were scored in shadow; changes record, and notes in the same transaction which were counted. Where the arm belongs to the entity, its first outcome counts and no other:
 *  what follows was not drawn any more.
 *  ret_count: how many. A value that is no number is counted in ret_bad and said in why; the others go on.
 *  Errors: of the database; also when the offline store does not have the columns. */
weir_status weir_rollout_feed(weir_pg *pg, const weir_pipeline *pipeline, weir_rollout_record *record, int *ret_count, int *ret_bad, weir_err *ret_why,
                              weir_err *err) WEIR_MUST_CHECK;

/** Shares of all arms as a prediction's policy says them, "champion 0.5,challenger 0.25,…", or by its arm and propensity where it says none. Sets arm, champion_share and shares of row, nothing else.
 *  An arm that is not among them, or a policy that cannot be read, is taken for one that was not drawn: champion_share 1. */
void weir_rollout_read_policy(int arm, double propensity, const char *policy, weir_rollout_row *row);

/** Every challenger's arm, version, share, shares of the buckets where there are some, and shadow, as scorers take them (schemas/rollout.avsc); JSON array, NULL without memory. */
cJSON *weir_rollout_arms_json(const weir_rollout_def *def, const weir_rollout_record *record);
/** E-values, confidence sequence, counts and mean losses by arm (and bucket), split, estimates off policy: JSON object; NULL without memory. What is not said of an arm by name is about the first
 *  challenger. */
cJSON *weir_rollout_evidence_json(const weir_rollout_def *def, const weir_rollout *rollout);

#endif
