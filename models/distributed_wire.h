/* What the leader of a distributed training and its parts say to each other, over one TCP connection a part.
 *
 *   offset  bytes
 *   0       4     "WEIR"
 *   4       4     kind, weir_wire_kind
 *   8       8     length L
 *   16      L     JSON, or what the kind says
 *
 * Numbers are little-endian, as are the hosts.
 *
 *   part                                             leader
 *   HELLO {weir, token}
 *                                                    WORK {what is trained, rank, workers, tracker}
 *                                                    ROWS …, CHECKPOINT where there is one, ALL_SENT
 *   LOADED {rows, held, digest}
 *                                                    GO, when counts and digests of all parts add up to those of all rows
 *   ALIVE, every WEIR_WIRE_ALIVE_MS                  (nothing: a part whose connection ends ends)
 *   ROUND progress; CHECKPOINT progress, model       (of rank 0)
 *   MODEL bytes (of rank 0), DONE {digest}
 *   FAILED {message}
 *                                                    END, when it is over for good: a part that was started by hand does not come again */
#ifndef WEIR_MODELS_DISTRIBUTED_WIRE_H
#define WEIR_MODELS_DISTRIBUTED_WIRE_H

#include <cjson/cJSON.h>

#include "core/mem.h"
#include "models/xgb_part.h"

typedef enum weir_wire_kind {
    WEIR_WIRE_HELLO = 1,
    WEIR_WIRE_WORK,
    WEIR_WIRE_ROWS,
    WEIR_WIRE_CHECKPOINT,
    WEIR_WIRE_ALL_SENT,
    WEIR_WIRE_LOADED,
    WEIR_WIRE_GO,
    WEIR_WIRE_ALIVE,
    WEIR_WIRE_ROUND,
    WEIR_WIRE_MODEL,
    WEIR_WIRE_DONE,
    WEIR_WIRE_FAILED,
    WEIR_WIRE_END,
} weir_wire_kind;

enum { WEIR_WIRE_HEAD = 16, WEIR_WIRE_ALIVE_MS = 2000, WEIR_WIRE_ROWS_BYTES = 1 << 20 };

/** The most bytes of a message of this kind; 0: there is none such. */
uint64_t weir_wire_max(uint32_t kind);
/** Reads a head. False: it is none, or promises more than its kind may have. */
bool weir_wire_head_read(const void *bytes, uint32_t *ret_kind, uint64_t *ret_len);
void weir_wire_head_write(unsigned char head[WEIR_WIRE_HEAD], weir_wire_kind kind, uint64_t len);
/** Appends a message. */
bool weir_wire_put(weir_buf *out, weir_wire_kind kind, const void *body, size_t len) WEIR_MUST_CHECK;

/* The front of a checkpoint, on the wire and in its file; the model follows. */
enum { WEIR_WIRE_PROGRESS = 32 };
void weir_wire_progress_write(unsigned char bytes[WEIR_WIRE_PROGRESS], const weir_xgb_progress *progress);
bool weir_wire_progress_read(const void *bytes, size_t len, weir_xgb_progress *ret_progress);

/* The front of ROWS: which rows they are; then, row after row, values, labels and weight in float32. */
typedef struct weir_wire_rows {
    uint32_t set, count; /* set: 0 fitted, 1 held out */
} weir_wire_rows;

/** WORK of all but who does it: the same text for the same training. NULL: no memory. The caller deletes it. */
cJSON *weir_wire_work_write(const weir_xgb_work *work, const int64_t rows[2], bool gaps);
/* What a part is told. Texts are borrowed from the JSON. */
typedef struct weir_wire_work {
    weir_xgb_work work; /* column_names point to `names` */
    int64_t rows[2]; /* of all workers */
    bool gaps; /* values are missing in rows that are fitted */
    weir_xgb_meeting meeting;
    const char **names; /* the part's; weir_wire_work_done */
} weir_wire_work;
/** WORK with "rank" and "meeting". Errors: WEIR_EDATA, WEIR_ENOMEM. */
weir_status weir_wire_work_read(const cJSON *json, weir_wire_work *ret_work, weir_err *err) WEIR_MUST_CHECK;
void weir_wire_work_done(weir_wire_work *work);
/** How many of `rows` are rank's. */
static inline int64_t weir_wire_share(int64_t rows, int rank, int workers) {
    return rows > rank ? (rows - rank + workers - 1) / workers : 0;
}

/** A row's share of the digest of a set: shares are added, so that the order of rows and parts does not matter. number is the row's place among all rows of its set. */
uint64_t weir_wire_row_digest(int set, int64_t number, const float *record, int width);

#endif
