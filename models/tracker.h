/* The rendezvous of XGBoost's collective (rabit, as libxgboost 1.7 speaks it): workers ask it who they are and whom they talk to, then train among themselves. Nothing of a training goes through it.
 *
 * What a worker and the tracker say, each over a connection of its own; int is 4 bytes in the byte order of the hosts, text is an int length and its bytes:
 *
 *   worker                                   tracker
 *   int 0xff99                               int 0xff99
 *   int rank (-1), int world size (-1),
 *   text task id, text command
 *     command "start":                       (waits for all the workers) int rank, int parent's rank (-1: none), int world size, int count and ranks of tree neighbours,
 *                                            int rank before and int rank after in the ring (-1: none)
 *     then until errors is 0:
 *     int count and ranks of good links      int count to connect to, int count to wait for; for each of the former text host, int port, int rank
 *     int errors
 *     then: int port that it listens at
 *     command "print": text                  (the text is dropped)
 *     command "shutdown"
 *
 * Links are given out in the order of ranks: a worker connects to those before it and waits for those after it. A task id is "TOKEN.RANK"; who does not know the token is dropped, as is who says anything
 * else than the above, or is slower than WEIR_TRACKER_SAY_MS; nobody else is hurt by that. "recover" is refused: a group that lost a worker begins anew (models/distributed.h).
 * Tree and ring are those of the Python package's tracker.py (xgboost 1.7.4), so that sums are the same sums; of 16 workers and more children go in ascending order, which Python's sets do not keep. */
#ifndef WEIR_MODELS_TRACKER_H
#define WEIR_MODELS_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum {
    WEIR_TRACKER_WORKERS_MAX = 64,
    WEIR_TRACKER_TOKEN_MAX = 64,
    WEIR_TRACKER_TEXT_MAX = 128, /* of a task id or a command */
    WEIR_TRACKER_PRINT_MAX = 64 << 10,
    WEIR_TRACKER_CONNECTIONS_MAX = 256, /* at once; more are dropped */
    WEIR_TRACKER_SAY_MS = 10000, /* for what a connection has to say, but while it waits for others */
};

typedef enum weir_tracker_state {
    WEIR_TRACKER_GATHERING, /* not all the workers have come */
    WEIR_TRACKER_LINKING,
    WEIR_TRACKER_LINKED, /* all have their links */
    WEIR_TRACKER_FAILED, /* a worker went away, or said nothing, while links were given out: another tracker is needed */
} weir_tracker_state;

typedef struct weir_tracker weir_tracker;

/** Listens at a numeric address of this host ("127.0.0.1"), any port, in a thread of its own. 1 ≤ workers ≤ WEIR_TRACKER_WORKERS_MAX; token: 1 to WEIR_TRACKER_TOKEN_MAX bytes without a NUL.
 *  Errors: WEIR_EINVAL, WEIR_ENET (address), WEIR_ENOMEM, WEIR_ELIMIT (no thread). */
weir_status weir_tracker_new(const char *address, int workers, const char *token, weir_tracker **ret_tracker, weir_err *err) WEIR_MUST_CHECK;
void weir_tracker_free(weir_tracker *tracker); /* ends the thread; NULL is nothing */
int weir_tracker_port(const weir_tracker *tracker);
weir_tracker_state weir_tracker_state_now(const weir_tracker *tracker);
/** Workers that said "shutdown", and connections that were dropped for what they said or did not say. */
int weir_tracker_ended(const weir_tracker *tracker);
int64_t weir_tracker_dropped(const weir_tracker *tracker);

/* ---- what is read, and who is next to whom: for the tracker and its tests ---- */

typedef enum weir_tracker_read {
    WEIR_TRACKER_MORE, /* so far it is right */
    WEIR_TRACKER_WHOLE,
    WEIR_TRACKER_BAD,
} weir_tracker_read;

typedef enum weir_tracker_command {
    WEIR_TRACKER_START,
    WEIR_TRACKER_PRINT,
    WEIR_TRACKER_SHUTDOWN,
} weir_tracker_command;

/* What a worker says first, after the magic number. */
typedef struct weir_tracker_hello {
    int rank; /* of "shutdown" only; else -1 */
    int task; /* the rank that its task id names */
    weir_tracker_command command;
} weir_tracker_hello;

/** Reads the front of what has come; *ret_used bytes of it are the message. Bytes may be anything. */
weir_tracker_read weir_tracker_read_hello(const void *bytes, size_t len, const char *token, int workers, weir_tracker_hello *ret_hello, size_t *ret_used);
/** The ranks of good links, as bits. */
weir_tracker_read weir_tracker_read_links(const void *bytes, size_t len, int workers, uint64_t *ret_ranks, size_t *ret_used);
weir_tracker_read weir_tracker_read_int(const void *bytes, size_t len, int min, int max, int *ret_value, size_t *ret_used);

/* A worker's place; -1: none. */
typedef struct weir_tracker_place {
    int parent, before, after;
    int neighbours[3], neighbour_count; /* of the tree: parent and children */
} weir_tracker_place;
/** places [workers]: of each rank. */
void weir_tracker_places(int workers, weir_tracker_place *places);

#endif
