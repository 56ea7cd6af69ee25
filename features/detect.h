/* Change detectors on a stream of single values: errors of a model, a metric, a score. Each is a plain struct of fixed size, without pointers; update is O(1) (ADWIN:
 * O(log of the window) every clock-th value), allocates nothing. After a drift Page-Hinkley and DDM begin anew; of ADWIN's window what is newer than the drift stays, so
 * that a long window may give way in several alarms.
 * What is not finite, or beyond 1e100, is left out, of DDM also what is not within [0, 1]. */
#ifndef WEIR_FEATURES_DETECT_H
#define WEIR_FEATURES_DETECT_H

#include "core/mem.h"

typedef enum weir_detection { WEIR_DETECT_NONE, WEIR_DETECT_WARNING, WEIR_DETECT_DRIFT } weir_detection;
extern const char *const weir_detection_names[]; /* "none", "warning", "drift" */

typedef enum weir_detect_kind { WEIR_DETECT_ADWIN, WEIR_DETECT_PAGE_HINKLEY, WEIR_DETECT_DDM } weir_detect_kind;
extern const char *const weir_detect_kind_names[]; /* "adwin", "page_hinkley", "ddm" */
/** -1: no such kind. */
int weir_detect_kind_find(const char *name);

typedef enum weir_detect_direction { WEIR_DETECT_BOTH, WEIR_DETECT_UP, WEIR_DETECT_DOWN } weir_detect_direction;

/* Members that are zero have the value in brackets. */
typedef struct weir_detect_settings {
    weir_detect_kind kind;
    double delta; /* ADWIN: δ, bound of the chance of a false alarm at a check [0.002]; Page-Hinkley: change that is tolerated, in the values' unit [0.005] */
    double threshold; /* Page-Hinkley: λ, accumulated deviation [50]; DDM: standard deviations above the minimum [3] */
    double warning; /* DDM: standard deviations [2]; others give no warnings */
    double forget; /* Page-Hinkley: factor of the sum at each value [0.9999]; 1: none */
    int min_count; /* values before the first alarm [ADWIN 10; Page-Hinkley, DDM 30] */
    int clock; /* ADWIN: checks every so many values [32] */
    weir_detect_direction direction; /* Page-Hinkley */
} weir_detect_settings;

enum { WEIR_ADWIN_ROWS = 48, WEIR_ADWIN_BUCKETS = 5 };
/* ADWIN2: the window as buckets of 2^row values, at most WEIR_ADWIN_BUCKETS of each size (one more for a moment), oldest first within a row.
 * Source: Bifet, Gavaldà, Learning from time-changing data with adaptive windowing (SDM 2007), section 2.3 and equation of 2.4 for ε with the variance. */
typedef struct weir_adwin {
    double total, variance; /* of the window: sum, sum of squared deviations */
    uint64_t width, ticks;
    int32_t rows;
    int32_t held[WEIR_ADWIN_ROWS];
    double sums[WEIR_ADWIN_ROWS][WEIR_ADWIN_BUCKETS + 1], squares[WEIR_ADWIN_ROWS][WEIR_ADWIN_BUCKETS + 1];
} weir_adwin;

/* Source: Page, Continuous inspection schemes (Biometrika 1954); Hinkley (Biometrika 1971); with forgetting: Gama, Knowledge discovery from data streams (2010), 3.3. */
typedef struct weir_page_hinkley {
    uint64_t count;
    double mean;
    double up, up_min, down, down_max; /* sums and their extremes */
} weir_page_hinkley;

/* Values are errors: 0 or 1. Source: Gama, Medas, Castillo, Rodrigues, Learning with drift detection (SBIA 2004). */
typedef struct weir_ddm {
    uint64_t count;
    double mean; /* p: share of errors */
    double least, least_p, least_s; /* p + s at its minimum, and p and s there; none before min_count */
} weir_ddm;

typedef struct weir_detector {
    weir_detect_settings settings; /* none of them zero any more, but for kind and direction */
    uint64_t seen, drifts; /* values since the start, alarms */
    union {
        weir_adwin adwin;
        weir_page_hinkley page_hinkley;
        weir_ddm ddm;
    } state;
} weir_detector;

/** Errors: WEIR_EINVAL for a setting out of range; the message names it. */
weir_status weir_detector_init(weir_detector *detector, const weir_detect_settings *settings, weir_err *err) WEIR_MUST_CHECK;
/** One value. */
weir_detection weir_detector_update(weir_detector *detector, double value);
/** The mean that holds now: of ADWIN's window, of the values since the last drift of the others; NaN when there are none. */
double weir_detector_mean(const weir_detector *detector);
/** How many values that mean is of. */
uint64_t weir_detector_width(const weir_detector *detector);

/** Appends settings and state: format number, contents, checksum. False when memory ran out; out is then as it was. */
bool weir_detector_encode(const weir_detector *detector, weir_buf *out) WEIR_MUST_CHECK;
/** Errors: WEIR_EDATA for bytes that are not a detector's; *ret_detector is then as it was. */
weir_status weir_detector_decode(const void *bytes, size_t len, weir_detector *ret_detector, weir_err *err) WEIR_MUST_CHECK;

#endif
