/* Feature operators: what turns the records of one entity into one number. The same code runs live, in backfill and in training.
 *
 * An operator sees records of one entity, oldest first, in the order (event time, source partition, source offset), never one after the time of the value. It comes in
 * one or both of two forms:
 *   eval  over a window whose records are all at hand; for windows by time, by count, tumbling, hopping;
 *   fold  record by record into an accumulator of fixed size; for windows without an end ("all"), sessions, periods to date, and (with merge) for tiled windows.
 * Where both exist they agree to 1e-12 relative; a fold alone serves every window. Both are deterministic: equal records give equal bits. */
#ifndef WEIR_FEATURES_OPERATOR_H
#define WEIR_FEATURES_OPERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define WEIR_OPERATOR_ABI 1
enum { WEIR_INPUTS_MAX = 4, WEIR_PARAMS_MAX = 8, WEIR_ACC_MAX = 16384 };

/* Windows an operator can be asked for: bits of weir_operator.windows. */
typedef enum weir_window_kind {
    WEIR_WINDOW_SLIDING, /* (t - delay - window, t - delay] */
    WEIR_WINDOW_LAST, /* the newest n records at or before t - delay */
    WEIR_WINDOW_TUMBLING, /* the newest closed [k·size, (k+1)·size) with (k+1)·size ≤ t - delay, counted from 1970 */
    WEIR_WINDOW_HOPPING, /* the newest closed [k·every - size, k·every) with k·every ≤ t - delay */
    WEIR_WINDOW_SESSION, /* back to the last gap longer than `gap` */
    WEIR_WINDOW_TO_DATE, /* [floor(t - delay, size), t - delay] */
    WEIR_WINDOW_ALL, /* everything at or before t - delay */
} weir_window_kind;
#define WEIR_WINDOWS_BY_TIME                                                                                                                                   \
    (1u << WEIR_WINDOW_SLIDING | 1u << WEIR_WINDOW_TUMBLING | 1u << WEIR_WINDOW_HOPPING | 1u << WEIR_WINDOW_TO_DATE | 1u << WEIR_WINDOW_SESSION)
#define WEIR_WINDOWS_EVERY (WEIR_WINDOWS_BY_TIME | 1u << WEIR_WINDOW_LAST | 1u << WEIR_WINDOW_ALL)

typedef enum weir_param_type { WEIR_PARAM_NUMBER, WEIR_PARAM_WHOLE, WEIR_PARAM_DURATION, WEIR_PARAM_CHOICE, WEIR_PARAM_TEXT } weir_param_type;

/* A parameter, given in the pipeline file beside "op". */
typedef struct weir_param_def {
    const char *name; /* "q", "n", "half_life"; NULL ends the list */
    weir_param_type type;
    bool required;
    double fallback; /* when not given; of a CHOICE its index */
    double min, max; /* NUMBER, WHOLE, DURATION (in µs) */
    const char *const *choices; /* CHOICE: NULL-terminated */
    const char *doc;
} weir_param_def;

/* Values in the order of the definition's params: a NUMBER or WHOLE as it is, a DURATION in µs, a CHOICE as its index, a TEXT as the weir_text_number of its bytes
 * (what a text column holds for the same text). */
typedef struct weir_params {
    double value[WEIR_PARAMS_MAX];
    bool given[WEIR_PARAMS_MAX];
} weir_params;

/* Records of a window. Nulls are NaN, and are the operator's to skip. */
typedef struct weir_window {
    int count;
    const int64_t *time_us; /* [count] ascending */
    const double *in[WEIR_INPUTS_MAX]; /* [count] each */
    /** Of a window by time: (start, end] for sliding, [start, end] to date, [start, end) for closed ones; otherwise of its first and last record. */
    int64_t start_us, end_us;
    double *scratch; /* [2 × count], for sorting and the like */
} weir_window;

typedef struct weir_operator {
    int abi; /* WEIR_OPERATOR_ABI */
    const char *name; /* "mean" */
    const char *doc; /* one sentence */
    const char *formula; /* ASCII or UTF-8 mathematics */
    const char *unit; /* "as the column", "1/s", "ratio" */
    const char *edges; /* what an empty window, nulls, a single record give */
    const char *source; /* book, paper or program that defines it */
    int inputs_min, inputs_max; /* columns in "of" */
    bool texts; /* takes text columns: they come as weir_text_number */
    unsigned windows; /* bits by weir_window_kind */
    const weir_param_def *params; /* NULL: none */
    /** Checks and completes parameters that the table cannot say (fast < slow); may be NULL. Returns NULL, or what is wrong with them. */
    const char *(*prepare)(weir_params *params);

    /** The value over the window's records; NaN: null. No allocation. May be NULL when fold is given. */
    double (*eval)(const weir_window *window, const weir_params *params);

    /** Fold; acc_size is 0 when there is none. The accumulator is plain bytes (8-aligned, ≤ WEIR_ACC_MAX, every byte written by init): it is stored and sent as it is. */
    size_t (*acc_size)(const weir_params *params);
    void (*init)(void *acc, const weir_params *params);
    void (*add)(void *acc, int64_t time_us, const double *in, const weir_params *params); /* in [inputs]; NULL when there are none */
    double (*value)(const void *acc, int64_t t_us, const weir_params *params); /* t_us: time of the value less the delay */
    /** acc := acc followed by later; NULL: cannot be tiled. */
    void (*merge)(void *acc, const void *later, const weir_params *params);
    /** Error of the merged value itself ("relative error 1 %"); NULL: none, then a tiled window is off only by its far edge, less than one tile. */
    const char *tile_error;
    /** Records that the parameters imply when no window is given: LAST with that many (a return over n steps reads n + 1); 0: a window must be given. NULL: n, the parameter
     *  of that name, where LAST is possible. */
    int (*records)(const weir_params *params);
} weir_operator;

/** By name, own ones first, then those of loaded plugins; NULL when there is none. */
const weir_operator *weir_operator_find(const char *name);
/** Every operator, for documentation and "did you mean": index from 0, NULL after the last. */
const weir_operator *weir_operator_at(int index);

/* Families: arrays ended by an entry without a name, one a file. */
extern const weir_operator weir_ops_aggregate[]; /* ops_aggregate.c: count sum mean min max std variance ratio rate range ... */
extern const weir_operator weir_ops_order[]; /* ops_order.c: first last lag difference rate time_since streak distinct_count most_frequent quantile ... */
extern const weir_operator weir_ops_decay[]; /* ops_decay.c: ewm_mean ewm_std ... */
extern const weir_operator weir_ops_market[]; /* ops_market.c: sma bollinger log_return realised_volatility stochastic ... */
extern const weir_operator weir_ops_indicators[]; /* ops_indicators.c: folds: ema rsi macd atr obv vwap order_flow_imbalance drawdown ... */
extern const weir_operator weir_ops_series[]; /* ops_series.c: change, shape, moments, counts, runs ... */
extern const weir_operator weir_ops_dynamics[]; /* ops_dynamics.c: autocorrelation trend entropy ... */
extern const weir_operator weir_ops_spectrum[]; /* ops_spectrum.c: spectral_centroid spectral_energy_share ... */
extern const weir_operator weir_ops_group[]; /* ops_group.c: correlation beta rank share, over records of several members of a group */

/** 53-bit hash of a text (FNV-1a, folded), exact in a double: equal texts give equal numbers; two of a million different ones collide with probability < 1e-4. */
double weir_text_number(const void *text, size_t len);

/** What a plugin with operators exports (core/plugin.h): an array ended by an entry without a name. Operators call nothing of Weir. docs/examples/geometric_mean.c is one. */
const weir_operator *weir_plugin_operators(void);
#define WEIR_PLUGIN_OPERATORS "weir_plugin_operators"

#endif
