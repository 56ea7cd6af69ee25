/* A model that goes on learning from newer rows, and how well it did on each of them before it learnt it: prequential evaluation, test then train.
 *
 *   artifact ──score day 1──> learn day 1 ──score day 2──> learn day 2 ──> … ──> artifact
 *
 * A block is what happened within a UTC day. Source: Dawid, Statistical theory: the prequential approach, J. R. Stat. Soc. A 147, 1984; in blocks: Bifet et al., MOA,
 * JMLR 11, 2010; with labels that come later: Grzenda, Gomes, Bifet, Delayed labelling evaluation for data streams, Data Min. Knowl. Disc. 34, 2020. */
#ifndef WEIR_MODELS_LEARN_ON_H
#define WEIR_MODELS_LEARN_ON_H

#include "core/mem.h"
#include "models/trainset.h"

/* Scores [row_count][output_count] of the rows of the set. */
typedef struct weir_learnt {
    weir_buf artifact; /* after all rows */
    int64_t row_count;
    int output_count;
    int day_count; /* that have rows */
    double *prequential; /* of a row by the model that had learnt all days before the row's */
    double *delayed; /* by the one that had learnt the days whose labels were all known when the row's day began: what would have scored it live */
    double *unchanged; /* by the artifact that went in */
} weir_learnt;

typedef struct weir_learn_settings {
    int64_t label_delay_us; /* ≥ 0: a label is known so long after its row */
    const _Atomic bool *cancel; /* may be NULL; once true: WEIR_ETIMEOUT, RETRY, before the next day */
    void (*tell)(void *context, int day, int days); /* before each day, from 1; may be NULL */
    void *context;
} weir_learn_settings;

/** Learns the rows of a set, in their order, which is that of time. Deterministic, as weir_model_continue; the days change no bit of the artifact, which is weir_model_continue's of all
 *  rows.
 *  Errors: those of weir_model_continue and weir_model_predict; WEIR_EINVAL for a set without times. *ret_learnt is untouched on failure.
 *  Memory: 3 scores a row; once a day the artifact is read and written. */
weir_status weir_learn_on(const void *artifact, size_t len, const weir_trainset *set, const weir_learn_settings *settings, weir_learnt *ret_learnt,
                          weir_err *err) WEIR_MUST_CHECK;
void weir_learnt_done(weir_learnt *learnt);

/** WEIR_EINVAL for an algorithm that cannot go on learning, naming it and those that can. */
weir_status weir_learn_on_check(const weir_model *model, weir_err *err) WEIR_MUST_CHECK;

#endif
