/* What the train workers of a process are told about carrying out runs. */
#ifndef WEIR_CONSUMERS_TRAIN_SERVICE_H
#define WEIR_CONSUMERS_TRAIN_SERVICE_H

#include "consumers/train_policy.h"

/* Borrowed. */
typedef struct weir_train_service {
    weir_train_limits limits;
    const char *program; /* that carries out an attempt: it is called with "train-run" */
    const char *const *environment; /* "NAME=value" of it beside, or instead of, our own; NULL-terminated */
} weir_train_service;

#endif
