/* Errors are values: a status to branch on, and a weir_err with the story and what a worker should do about it. */
#ifndef WEIR_CORE_ERR_H
#define WEIR_CORE_ERR_H

#include <stddef.h>

#define WEIR_MUST_CHECK __attribute__((warn_unused_result))
#define WEIR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

typedef enum weir_status {
    WEIR_OK = 0,
    WEIR_EINVAL, /* used wrongly: a flag, a configuration or pipeline file */
    WEIR_EDATA, /* a record or file that is not what it should be */
    WEIR_ENOTFOUND, /* the thing named does not exist */
    WEIR_ECONFLICT, /* somebody else changed it first, or it exists already */
    WEIR_EIO, /* a file or device failed */
    WEIR_ENET, /* a service (Kafka, PostgreSQL, registry) failed or is away */
    WEIR_ETIMEOUT, /* it did not answer in time */
    WEIR_ELIMIT, /* a stated maximum was reached */
    WEIR_ENOMEM, /* memory ran out */
    WEIR_ENUMERIC, /* a computation met a non-finite value or did not converge */
    WEIR_EDENIED, /* this login or token may not do that */
    WEIR_EINTERNAL, /* a bug in Weir */
} weir_status;

/* What a worker does with the record that caused the error. */
typedef enum weir_action {
    WEIR_ACTION_FATAL = 0, /* stop, non-zero exit */
    WEIR_ACTION_RETRY, /* pause, back off, try the same again */
    WEIR_ACTION_REJECT, /* to the dead letters, go on */
} weir_action;

#define WEIR_ERR_MESSAGE_MAX 512

/* Lives on the caller's stack; holds no pointers that need freeing. */
typedef struct weir_err {
    weir_status code;
    weir_action action;
    const char *where; /* function that noticed, static storage */
    char message[WEIR_ERR_MESSAGE_MAX]; /* one sentence: what was found, what was expected */
} weir_err;

/** Fills *err (which may be NULL) and returns code, so that `return weir_err_set(...)` reads well. */
weir_status weir_err_set(weir_err *err, weir_status code, weir_action action, const char *where, const char *format, ...) WEIR_PRINTF(5, 6);

/** Puts "context: " in front of the message. Returns err->code. A NULL err returns WEIR_EINTERNAL. */
weir_status weir_err_prefix(weir_err *err, const char *format, ...) WEIR_PRINTF(2, 3);

/** Short lower-case name of a status ("data", "net", …), used in logs and in `weir.error.class` when nothing finer is known. */
const char *weir_status_name(weir_status code);

/** Exit code of a command that failed so: 2 for WEIR_EINVAL, 3 for a failed dependency, 1 otherwise. */
int weir_status_exit(weir_status code);

#define WEIR_FAIL(err, code, ...) weir_err_set((err), (code), WEIR_ACTION_FATAL, __func__, __VA_ARGS__)
#define WEIR_RETRY(err, code, ...) weir_err_set((err), (code), WEIR_ACTION_RETRY, __func__, __VA_ARGS__)
#define WEIR_REJECT(err, code, ...) weir_err_set((err), (code), WEIR_ACTION_REJECT, __func__, __VA_ARGS__)

#endif
