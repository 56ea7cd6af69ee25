/* What a process's settings say about training runs, for its train workers. */
#ifndef WEIR_CLI_TRAINING_SERVICE_H
#define WEIR_CLI_TRAINING_SERVICE_H

#include "cli/settings.h"
#include "consumers/train_service.h"

enum { WEIR_TRAINING_VARIABLES_MAX = 8 };

typedef struct weir_training_service {
    weir_train_service service; /* borrows what is below, and the settings' texts */
    char *variables[WEIR_TRAINING_VARIABLES_MAX + 1]; /* NULL-terminated */
} weir_training_service;

/** Errors: WEIR_EINVAL for times that are none. On failure there is nothing to free. */
weir_status weir_training_service_init(weir_training_service *service, const weir_settings *settings, weir_err *err) WEIR_MUST_CHECK;
void weir_training_service_done(weir_training_service *service);

#endif
