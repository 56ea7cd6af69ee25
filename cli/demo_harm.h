/* Versions that do harm, for showing that harm is taken back: made from the training days of a champion, as a mistake in somebody's training code would make them. */
#ifndef WEIR_CLI_DEMO_HARM_H
#define WEIR_CLI_DEMO_HARM_H

#include "models/training.h"

typedef enum weir_harm {
    WEIR_HARM_UNITS, /* learnt from numbers in a unit so large that what is served is beyond a double's range: its scores are no numbers */
    WEIR_HARM_LABELS, /* learnt from labels with yes and no exchanged */
    WEIR_HARMS
} weir_harm;
extern const char *const weir_harm_docs[]; /* in a few words */

/** Fits a version on training->window and registers it as version of the model PIPELINE-units or PIPELINE-labels, written MODEL/VERSION to ret_version. No alias moves.
 *  Errors: WEIR_EINVAL for a task that is not binary; those of weir_training_set, of a fit and of the registry. */
weir_status weir_harm_register(const weir_training *training, weir_harm harm, weir_pg *pg, char ret_version[160], weir_err *err) WEIR_MUST_CHECK;

#endif
