/* A compiled view, shared by the files of the engine: view_compile.c makes it, state.c and state_bytes.c keep states, view_fold.c folds, view.c evaluates.
 *
 * A feature is computed in one of four ways:
 *   agg      count, sum, mean, min, max over sliding windows: those of one slot share a pass from the newest record back;
 *   window   any operator over records at hand: pointers straight into the tail, gathered only where a condition skips records;
 *   fold     an accumulator over all records in order, kept over records that left the tail (a base) and those in it (a head);
 *   expr     an expression over the newest record and other features, after all of these. */
#ifndef WEIR_FEATURES_VIEW_INTERNAL_H
#define WEIR_FEATURES_VIEW_INTERNAL_H

#include "features/expr.h"
#include "features/view.h"

enum {
    VIEW_SLOTS_MAX = 2048,
    VIEW_COLUMNS_MAX = 1024,
    VIEW_BLOCK_MAX = 1 << 20, /* bytes of one fold in a state */
    FOLD_ANCHOR_EVERY = 64, /* records between anchors */
    FOLD_ANCHOR_FROM = 4 * FOLD_ANCHOR_EVERY, /* length of a tail for which they are kept */
};

/* A number kept of each record. */
typedef struct view_slot {
    char *text; /* canonical; of a plain column its name */
    int column; /* of the feed's schema; -1: */
    weir_expr *expr; /* its variables are columns of the feed's schema */
    uint32_t hash; /* of text: what states are matched by when features come and go */
} view_slot;

/* Which records a window has. Features with equal ranges share one search. */
typedef struct view_range {
    weir_window_kind kind; /* SLIDING, LAST (without a condition), TUMBLING, HOPPING, TO_DATE */
    int64_t delay_us, size_us, every_us;
    int last_n;
} view_range;

typedef enum view_agg { AGG_COUNT, AGG_SUM, AGG_MEAN, AGG_MIN, AGG_MAX, AGG_NONE } view_agg;

/* In the order of evaluation: by delay, condition, slot, then ascending window. */
typedef struct agg_step {
    int range, slot, where; /* slots; -1: none */
    view_agg agg;
    bool begins; /* a pass; else it goes on from the step before */
    int feature;
} agg_step;

typedef struct window_step {
    int range; /* -1: the newest n records that meet a condition, through fold */
    int fold;
    const weir_operator *op;
    const weir_params *params;
    int in[WEIR_INPUTS_MAX], in_count, where; /* slots; where -1: none */
    int feature;
} window_step;

/* What is kept of records in order: a block of entries, each a key and a payload, oldest first in a ring.
 *   ALL, SESSION, TO_DATE  one entry: the accumulator; key: - , time of its newest record, start of its period
 *   SLIDING                one entry a tile: its accumulator; key: tile number
 *   LAST                   one entry a record that met the condition: its inputs; key: its time. In a base only; the tail has the newer ones. */
typedef struct view_fold {
    weir_window_kind kind;
    const weir_operator *op;
    const weir_params *params;
    int in[WEIR_INPUTS_MAX], in_count, where; /* slots; where -1: none */
    int64_t delay_us, size_us; /* size: session's gap, to date's period, tile */
    int64_t window_us; /* SLIDING */
    int ring; /* entries at most */
    size_t acc_size; /* 0: LAST */
    size_t payload, offset; /* bytes of an entry behind its key; place of the block in a base and, after the marks, in a head */
    uint32_t hash; /* of everything above that matters: what stored blocks are matched by */
} view_fold;

typedef struct fold_block {
    int32_t first, count; /* entries [first, first + count) modulo ring */
    unsigned char entries[]; /* [ring] of int64 key, payload; SLIDING: behind them a fold_merged */
} fold_block;

/* The tiles of a window but its newest, merged: they stay the same while records come in order. */
typedef struct fold_merged {
    int64_t oldest, newest; /* tile numbers, newest not included; newest INT64_MIN: of no use */
    unsigned char acc[];
} fold_merged;

typedef struct fold_step {
    int fold, feature;
} fold_step;

typedef struct expr_step {
    weir_expr *expr; /* variables: features, then the event time, then slots */
    int feature;
} expr_step;

/* The newest n records without a condition stay in the tail. */
typedef struct keep_last {
    int64_t delay_us;
    int n;
} keep_last;

struct weir_view {
    const weir_pipeline *pipeline;
    const weir_view_def *def;
    const weir_feed_def *feed;
    int entity_columns[WEIR_KEY_COLUMNS_MAX];
    int64_t horizon_us; /* as weir_view_horizon_us */
    int64_t keep_us; /* the tail reaches back so far from max_time - allowed_lateness */
    int slot_count, column_count, expr_column_count, range_count, agg_count, window_count, fold_count, fold_step_count, expr_count, keep_count, expr_slot_count;
    view_slot *slots;
    int *columns; /* of the feed's schema, that slots are computed from, ascending */
    int *expr_columns; /* those among them that expressions read */
    view_range *ranges; /* ordered by delay */
    agg_step *aggs;
    window_step *windows;
    view_fold *folds;
    fold_step *fold_steps;
    expr_step *exprs; /* ordered so that what one reads comes before it */
    int *expr_slots; /* slots that they read */
    keep_last *keeps;
    double *fallbacks; /* [feature_count] */
    size_t fold_bytes, block_max; /* of all blocks, of the largest */
    int *check_slots; /* [columns of the feed] slots of those that checks read of other records; not the event time, which every record has */
    bool has_checks; /* that look at other records */
    bool gathers; /* something needs a thread's scratch memory */
    bool agg_minmax; /* some agg is a minimum or maximum */
};

/* Event times may be anything that fits 64 bits. */
static inline int64_t time_minus(int64_t a, int64_t b) {
    int64_t r;
    if (!__builtin_sub_overflow(a, b, &r)) return r;
    return b > 0 ? INT64_MIN : INT64_MAX;
}
/** Largest multiple of size not above t, as its factor. */
static inline int64_t floor_div(int64_t t, int64_t size) {
    return t / size - (t % size < 0);
}
static inline int64_t floor_to(int64_t t, int64_t size) {
    int64_t r;
    return __builtin_mul_overflow(floor_div(t, size), size, &r) ? INT64_MIN : r;
}
static inline bool is_true(double v) {
    return v == v && v != 0;
}
static inline int compare_source(const weir_source *a, const weir_source *b) {
    if (a->partition != b->partition) return a->partition < b->partition ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}
static inline uint32_t view_hash(uint32_t hash, const void *bytes, size_t len) { /* FNV-1a; starts from VIEW_HASH_START */
    for (const unsigned char *p = bytes; len--; p++) hash = (hash ^ *p) * 16777619u;
    return hash;
}
#define VIEW_HASH_START 2166136261u

/* view_compile.c: what states keep. */
weir_status view_column_slot(weir_view *view, int column, int *ret_slot, weir_err *err) WEIR_MUST_CHECK;
void view_keep_newest(weir_view *view, int64_t delay_us, int n); /* of the records at or before t - delay */
/* view_check.c */
weir_status view_compile_checks(weir_view *view, weir_err *err) WEIR_MUST_CHECK;

/* state.c: the tail. */
/** Whether this very record is in the tail. */
bool state_is_there(const weir_state *state, int64_t t, weir_source source);
/** Position behind the last record at or before t; of those at exactly t, of the last that is not after source (NULL: of all). */
int state_upper_bound(const weir_state *state, int64_t t, const weir_source *source);
/* How many of the oldest records nothing can ask for once `newest` is the newest time: not a window, nor a record that still comes within the allowed lateness. */
int state_leaving(const weir_view *view, const weir_state *state, int64_t newest);
/** Position of the first record at or after t among the first `end`; end when there is none. */
int state_lower_bound(const weir_state *state, int64_t t, int end);
/** Room for `more` further records in the tail. */
bool state_reserve(const weir_view *view, weir_state *state, int more) WEIR_MUST_CHECK;
/** Base and head for a view that folds. */
bool state_reserve_folds(const weir_view *view, weir_state *state) WEIR_MUST_CHECK;
bool state_reserve_seen(weir_state *state, int count) WEIR_MUST_CHECK;
/** Memory of this thread for evaluating a state of this size; NULL when there is none left. Valid until asked for more. */
double *state_scratch(const weir_view *view, const weir_state *state) WEIR_MUST_CHECK;
static inline const double *state_slot(const weir_state *state, int slot) { /* of the tail: [count] */
    return state->values + (size_t)slot * (size_t)state->capacity + state->first;
}
static inline bool state_matches(const weir_state *state, int where, int position) {
    return where < 0 || is_true(state_slot(state, where)[position]);
}

/** What the last four bytes of a state are, little-endian, for the bytes before them (state_bytes.c). */
uint32_t state_checksum(const void *bytes, size_t len);

/* view_fold.c: blocks. */
static inline size_t fold_entry_size(const view_fold *fold) {
    return sizeof(int64_t) + fold->payload;
}
static inline unsigned char *fold_entry(const view_fold *fold, const fold_block *block, int i) { /* 0 oldest */
    return (unsigned char *)block->entries + (size_t)((block->first + i) % fold->ring) * fold_entry_size(fold);
}
static inline int64_t fold_key(const unsigned char *entry) {
    return *(const int64_t *)entry;
}
static inline void *fold_payload(unsigned char *entry) {
    return entry + sizeof(int64_t);
}
static inline size_t fold_block_size(const view_fold *fold) {
    return sizeof(fold_block) + (size_t)fold->ring * fold_entry_size(fold) + (fold->kind == WEIR_WINDOW_SLIDING ? sizeof(fold_merged) + fold->payload : 0);
}
/** NULL: nothing was folded yet. */
const fold_block *fold_base(const weir_state *state, const view_fold *fold);
void fold_copy(const view_fold *fold, fold_block *to, const fold_block *from); /* from NULL: empty */
/** Record at a position of the tail, when it meets the condition. */
void fold_record(const view_fold *fold, fold_block *block, const weir_state *state, int position);
/** What the operator says of the records folded, all at or before t - delay. */
double fold_value(const view_fold *fold, fold_block *block, int64_t t_us);
/** The first `count` records leave the tail for the base; there is memory for it. */
void fold_leaving(const weir_view *view, weir_state *state, int count);
/** A record was put at or taken from a position of the tail. */
void fold_disturbed(const weir_view *view, weir_state *state, int position);
/** Base and the first `end` records of the tail, in the head or in scratch [block_max]. without: INT_MAX, or the position at which a record is missing for the moment. */
fold_block *fold_upto(const weir_view *view, weir_state *state, int fold, int end, int without, void *scratch);
/** Bytes of a head, and of the anchors. */
static inline size_t fold_head_bytes(const weir_view *view) {
    return view->fold_bytes + (size_t)view->fold_count * sizeof(int64_t);
}
static inline size_t fold_anchor_bytes(const weir_view *view) {
    return 2 * fold_head_bytes(view);
}

#endif
