/* A fitted chain is a forest of nodes: a node is one column, computed from one other column by one operation, down to a column of the rows.
 *
 *   row ── temp (input) ┬─ temp (fill) ── temp (scale) ──────────────────── output 0
 *                       └─ temp=<filled> (missing) ──────────────────────── output 1
 *   row ── weather (input) ┬─ weather=Clear (equals) ────────────────────── output 2
 *                          └─ weather=<other> (other) ───────────────────── output 3
 *
 * Nothing but outputs is ever computed, so a selection costs nothing, and a row needs no working memory. */
#ifndef WEIR_MODELS_PREP_INTERNAL_H
#define WEIR_MODELS_PREP_INTERNAL_H

#include <math.h>

#include "core/conf.h"
#include "models/prep.h"

/* What a node makes of the value x of its parent; a and b are the node's own numbers. NaN: missing. */
typedef enum weir_prep_op {
    WEIR_PREP_INPUT, /* the column of the rows */
    WEIR_PREP_FILL, /* a when missing */
    WEIR_PREP_FORWARD_FILL, /* in a batch the last value of the entity; else FILL */
    WEIR_PREP_INTERPOLATE, /* in a batch on the line between neighbours in time; else FILL */
    WEIR_PREP_MISSING, /* 1 when missing, else 0 */
    WEIR_PREP_CLIP, /* to [a, b] */
    WEIR_PREP_NULL, /* missing when outside of [a, b] */
    WEIR_PREP_OUTSIDE, /* 1 when outside of [a, b], else 0 */
    WEIR_PREP_SCALE, /* (x - a) / b */
    WEIR_PREP_STRETCH, /* x · a + b */
    WEIR_PREP_EQUALS, /* 1 when x is a, else 0 */
    WEIR_PREP_OTHER, /* 1 when x is none of the levels, a when missing, else 0 */
    WEIR_PREP_CODE, /* number of the level from 0; a when x is none, b when missing */
    WEIR_PREP_BUCKET, /* 1 when x falls into bucket b of a, else 0 */
    WEIR_PREP_OP_COUNT,
} weir_prep_op;

/* The categories that a step knows. */
typedef struct weir_prep_levels {
    int count;
    const double *values; /* [count] in the order of codes */
    const char **texts; /* [count], NULL where unknown */
    const double *sorted; /* [count] values ascending */
    const int *code; /* [count] code of sorted[i] */
} weir_prep_levels;

typedef struct weir_prep_node {
    weir_prep_op op;
    weir_prep_kind kind;
    int parent; /* an earlier node; -1: this is an input */
    int input; /* column of the rows that it comes from */
    int levels; /* of OTHER and CODE, else -1 */
    int depth; /* nodes below it down to the input */
    bool timed; /* it or an ancestor looks at neighbours in time */
    double a, b;
    const char *name;
} weir_prep_node;

/* What a selection saw of a column. */
typedef struct weir_prep_evidence {
    int step;
    const char *column;
    double value;
    bool kept;
} weir_prep_evidence;

struct weir_prep {
    weir_arena arena; /* everything below */
    int input_count, node_count, node_capacity, output_count, level_count, level_capacity, evidence_count, evidence_capacity;
    const char **input_names;
    weir_prep_node *nodes; /* inputs first */
    weir_prep_levels *levels;
    weir_prep_evidence *evidence;
    int *outputs; /* [output_count] nodes */
    const char **output_names;
    const char *steps; /* the chain as it was asked for, compact JSON */
};

enum {
    ARENA_BYTES_MAX = 256 << 20,
    DEPTH_MAX = 2 * WEIR_PREP_STEPS_MAX, /* no step puts more than two nodes on each other */
    NODES_MAX = 1 << 19,
};

typedef struct weir_prep_fitting weir_prep_fitting;

/* What the params of every step begin with. */
typedef struct weir_prep_common {
    char **columns;
} weir_prep_common;
#define WEIR_PREP_COLUMNS_ITEM                                                                                                                                 \
    { .name = "columns", .type = WEIR_CONF_LIST, .offset = 0, .doc = "input columns that the step is for; without: all that it can take" }

/* A kind of step. */
typedef struct weir_prep_step {
    const char *key; /* "impute": the key whose value says how */
    const weir_conf_item *params; /* the keys of the step; the object begins with weir_prep_common */
    size_t params_size;
    /** What the table cannot say; given: the step. May be NULL. */
    weir_status (*check)(const void *params, const cJSON *given, const char *path, weir_err *err);
    /** Can it take columns of that kind? With named: when they are named, else when they are not. */
    bool (*takes)(const void *params, weir_prep_kind kind, bool named);
    /** The kind that a column has afterwards. */
    weir_prep_kind (*becomes)(const void *params, weir_prep_kind kind);
    /** Fits on one column and emits what becomes of it. NULL for a step that has `choose`. */
    weir_status (*fit)(weir_prep_fitting *f, const void *params, int node, weir_err *err);
    /** Fits on all columns together: says which to keep [count], none at first. NULL for a step that has `fit`. */
    weir_status (*choose)(weir_prep_fitting *f, const void *params, const int *nodes, int count, bool *keep, weir_err *err);
} weir_prep_step;

extern const weir_prep_step weir_prep_impute, weir_prep_outliers, weir_prep_scale, weir_prep_encode, weir_prep_select;

/* The state of a fit between steps. */
struct weir_prep_fitting {
    weir_prep *prep;
    const weir_prep_column *columns;
    const weir_prep_rows *rows;
    int step;
    int64_t *kept; /* [kept_count] rows not dropped yet, ascending */
    int kept_count;
    bool *dropped; /* [row_count] */
    int *order; /* [kept_count] positions in kept by entity, then time; NULL without times */
    int *current, *emitted; /* [WEIR_PREP_COLUMNS_MAX] nodes that are the columns before and after the step */
    int current_count, emitted_count;
    double *values; /* [kept_count] for whoever fits a column */
    const char *texts[WEIR_PREP_STEPS_MAX]; /* of categories that imputations brought in */
    int text_count;
};

/** A chain without anything. weir_prep_free frees it, as at any point below. */
weir_status weir_prep_new(weir_prep **ret_prep, weir_err *err) WEIR_MUST_CHECK;
/** The next input: all of them come before any other node. */
weir_status weir_prep_add_input(weir_prep *prep, const char *name, weir_prep_kind kind, weir_err *err) WEIR_MUST_CHECK;
/** Ends building: outputs [count] are nodes. */
weir_status weir_prep_finish(weir_prep *prep, const int *outputs, int count, weir_err *err) WEIR_MUST_CHECK;
/** Adds a node; its parent, kind, op, a, b and levels are given, name NULL is the parent's. */
weir_status weir_prep_add(weir_prep *prep, weir_prep_node node, int *ret_index, weir_err *err) WEIR_MUST_CHECK;
/** Lets a node be one of the columns after the step. */
weir_status weir_prep_emit(weir_prep_fitting *f, int node, weir_err *err) WEIR_MUST_CHECK;
/** Adds a node and emits it. */
weir_status weir_prep_emit_new(weir_prep_fitting *f, weir_prep_node node, weir_err *err) WEIR_MUST_CHECK;
/** "stem=suffix" in the chain's arena. */
weir_status weir_prep_name(weir_prep *prep, const char *stem, const char *suffix, const char **ret_name, weir_err *err) WEIR_MUST_CHECK;
/** Takes levels into the chain: values and texts [count] are copied; text NULL: unknown. */
weir_status weir_prep_add_levels(weir_prep *prep, const double *values, const char *const *texts, int count, int *ret_index, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_prep_add_evidence(weir_prep *prep, weir_prep_evidence evidence, weir_err *err) WEIR_MUST_CHECK; /* its text lives as long as the chain */
/** Notes what a selection saw. */
weir_status weir_prep_note(weir_prep_fitting *f, int node, double value, bool kept, weir_err *err) WEIR_MUST_CHECK;
/** The column of a node over the rows that are left: out [kept_count]. */
void weir_prep_gather(const weir_prep_fitting *f, int node, double *out);
/** The same, ascending and without missing values; returns how many there are. */
int weir_prep_present(const weir_prep_fitting *f, int node, double *out);
/** Fills gaps of values [n] forward or on lines, in place; those without neighbours stay. order [n]: positions in values by entity, then time; position i is row kept[i]
 *  of rows (kept NULL: row i). */
void weir_prep_fill_in_time(const weir_prep_node *node, const weir_prep_rows *rows, const int64_t *kept, const int *order, int n, double *values);

/* How the importance of columns is held against chance. */
typedef struct weir_prep_permutation {
    int64_t permutations; /* times that labels are dealt out; 0: so often that one column alone can pass the bound, WEIR_PREP_PERMUTATIONS_AUTOMATIC at most */
    int64_t rows; /* that are looked at, at most */
    int64_t seed;
    double fdr;
} weir_prep_permutation;
enum { WEIR_PREP_PERMUTATIONS_AUTOMATIC = 999 };

int weir_prep_permutation_count(const weir_prep_permutation *how, int column_count);
/** P-values of columns [count] by rows->importance with method "permutation", whose rows come in random order; ret_p [count]. The label has been checked.
 *  Equal input gives equal p-values. Errors: WEIR_EDATA for fewer than 30 rows with a label, WEIR_ENUMERIC for an importance that is not finite, WEIR_ETIMEOUT when the
 *  fit was asked to stop, WEIR_ENOMEM, those of the model. */
weir_status weir_prep_permute(weir_prep_fitting *f, const weir_prep_permutation *how, const int *nodes, int count, double *ret_p,
                              weir_err *err) WEIR_MUST_CHECK;

/** Fails when a key is given that means nothing for what the step does; where: with what it would mean something. */
weir_status weir_prep_only(const cJSON *given, const char *path, const char *key, bool allowed, const char *where, weir_err *err) WEIR_MUST_CHECK;

/** What op makes of x. */
double weir_prep_value(const weir_prep *prep, const weir_prep_node *node, double x);
/** The bucket from 0 of a category among count. */
int weir_prep_bucket(double x, int count);

/* Statistics that several steps need, over values [n] without NaN; n ≥ 1 unless said otherwise. */

/** Sum with Neumaier's compensation, so that the order of rows hardly matters.
 *  Source: Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, 1974. */
double weir_prep_sum(const double *values, int n);
/** 0 without values. */
double weir_prep_mean(const double *values, int n);
/** With divisor n. Source: Chan, Golub, LeVeque, Algorithms for Computing the Sample Variance, 1983, eq. 1.7 (corrected two-pass). */
double weir_prep_variance(const double *values, int n, double mean);
/** q in [0, 1] of ascending values, linear between order statistics (Hyndman and Fan's type 7, numpy's default); 0 without values. */
double weir_prep_quantile(const double *sorted, int n, double q);
/** The most frequent of ascending values, of equally frequent ones the smallest; 0 without values. */
double weir_prep_mode(const double *sorted, int n);

#endif
