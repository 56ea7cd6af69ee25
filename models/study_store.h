/* Studies in PostgreSQL (schemas/sql/010_tuning.sql, 013_study_leaders.sql), so that several workers run the trials of one and any of them may die.
 *
 * Every call that needs the study makes it in memory from its rows: workers keep nothing that another would miss. Trials that ended never change, so the first of
 * them, up to one that runs, are kept from call to call, and only those after them are read again. A trial is a worker's while its lease lasts, which claim, report and renew make last lease_us from then on; after that another worker is given the same trial, from its beginning. Time is
 * the database's. */
#ifndef WEIR_MODELS_STUDY_STORE_H
#define WEIR_MODELS_STUDY_STORE_H

#include "core/pg.h"
#include "models/study.h"

enum { WEIR_TRIAL_ATTEMPTS_MAX = 3 }; /* a trial that so many workers did not end is failed */

typedef struct weir_study_store weir_study_store;

/** Opens a study, or makes it when there is none of this name. definition: as for weir_study_from_json; copied. worker: a name that no other worker has.
 *  lease_us: at least a second. pg is borrowed. Errors: WEIR_EINVAL, WEIR_ECONFLICT when there is one with another definition, those of weir_pg_exec. */
weir_status weir_study_store_open(weir_pg *pg, const char *pipeline, const char *name, const cJSON *definition, const char *worker, int64_t lease_us,
                                  weir_study_store **ret_store, weir_err *err) WEIR_MUST_CHECK;
void weir_study_store_close(weir_study_store *store);
/** This worker leads the study from now on, for another lease: nobody gets a trial when it is gone, when it ended the study, or beyond trial_max (0: no maximum).
 *  *ret_spent_s (may be NULL) is what was last told. Errors: WEIR_ECONFLICT while another leads it. */
weir_status weir_study_store_lead(weir_study_store *store, int trial_max, double *ret_spent_s, weir_err *err) WEIR_MUST_CHECK;
/** Goes on leading. Errors: WEIR_ECONFLICT when this worker does not lead it. */
weir_status weir_study_store_lead_on(weir_study_store *store, double spent_s, weir_err *err) WEIR_MUST_CHECK;
/** The leader ends the study, and says why; trials that run are failed. Leading it again opens it again. Errors: as for lead_on. */
weir_status weir_study_store_end(weir_study_store *store, const char *why, double spent_s, weir_err *err) WEIR_MUST_CHECK;
/** Has it been ended, or is its leader gone? why [32]: "" when not, else what the leader said or "abandoned". */
weir_status weir_study_store_over(weir_study_store *store, char why[32], weir_err *err) WEIR_MUST_CHECK;
/** What a study was made with; the caller deletes it. Errors: WEIR_ENOTFOUND when there is none of this name, or it is over; *ret_definition is then untouched. */
weir_status weir_study_store_definition(weir_pg *pg, const char *pipeline, const char *name, cJSON **ret_definition, weir_err *err) WEIR_MUST_CHECK;
/** A trial to run: one whose worker let the lease run out, else a new one. *ret_params is the caller's to delete.
 *  Errors: WEIR_ELIMIT when the study is over or without its leader (trials of others may still run), those of weir_pg_exec. */
weir_status weir_study_store_claim(weir_study_store *store, int *ret_number, cJSON **ret_params, weir_err *err) WEIR_MUST_CHECK;
/** Keeps the trial for another lease. Errors: WEIR_ECONFLICT when it is not this worker's any more. */
weir_status weir_study_store_renew(weir_study_store *store, int number, weir_err *err) WEIR_MUST_CHECK;
/** Gives the trial back: another worker gets it next, and this attempt does not count. Errors: WEIR_ECONFLICT as for renew. */
weir_status weir_study_store_release(weir_study_store *store, int number, weir_err *err) WEIR_MUST_CHECK;
/** An intermediate value; steps ascend, from 0. Renews the lease. *ret_prune: the pruner's judgement. Errors: WEIR_ECONFLICT as for renew; WEIR_EINVAL. */
weir_status weir_study_store_report(weir_study_store *store, int number, int64_t step, double value, bool *ret_prune, weir_err *err) WEIR_MUST_CHECK;
/** Ends the trial, as weir_study_tell. Errors: WEIR_ECONFLICT as for renew; what was told is then dropped. WEIR_EINVAL. */
weir_status weir_study_store_tell(weir_study_store *store, int number, const weir_outcome *outcome, weir_err *err) WEIR_MUST_CHECK;
/** The study as it is now, for its best trial, front and history; the caller frees it. */
weir_status weir_study_store_load(weir_study_store *store, weir_study **ret_study, weir_err *err) WEIR_MUST_CHECK;

#endif
