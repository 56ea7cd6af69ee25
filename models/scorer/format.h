/* A compiled model as it lies in its file, and so in memory. Little-endian; offsets are bytes from the file's first; what an offset leads to begins at a multiple of 64.
 *
 *   head | models | what they point to
 *
 * The first model is the whole; its members, if it has any, stand behind it. A model takes rows of input_count values, makes fitted_count of them by its preprocessing, and
 * output_count scores of those.
 *
 * Trees are all of one form:
 *
 *   perfect   Every tree is padded to the same depth D: nodes [tree][2^D − 1] by level, the children of node i are 2i + 1 and 2i + 2; leaves [tree][2^D]. What a shallow leaf is
 *             padded with splits by a threshold that everything is below, and every leaf below it is the same.
 *   linked    For trees that would grow too much by that, and those that split by sets of categories: nodes one after the other, the right child behind the left one; a leaf leads to itself.
 *
 * A split names a slot, not a column: a row has two slots a column that any tree splits. They differ for missing values, which are below every threshold in the first and above in the second;
 * so the side of missing values costs nothing.
 *
 * Perfect trees may have a second form for many rows at once: `sliced`, each tree's nodes in preorder, with the number of the threshold in an ascending list of its column's, a byte. x is not below threshold number j just when more than j thresholds are at or below x: comparisons of bytes say what those of floats do. */
#ifndef WEIR_MODELS_SCORER_FORMAT_H
#define WEIR_MODELS_SCORER_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define SCORE_MAGIC "WEIRSCR1"
enum {
    SCORE_VERSION = 1,
    SCORE_VERSION_SETS = 2, /* of files whose TREES split by sets of categories, which readers of the first do not know */
    SCORE_VERSION_BAYES = 3, /* of files with a model of kind BAYES, which readers of the second do not know */
    SCORE_CATEGORY_END = 1 << 24, /* of TREES: what is not less is no category */
    SCORE_ALIGN = 64,
    SCORE_MODELS_MAX = 1 << 13, /* 64 targets of 64 members and a meta model */
    SCORE_COLUMNS_MAX = 8192,
    SCORE_OUTPUTS_MAX = 1024,
    SCORE_MEMBERS_MAX = 64,
    SCORE_NESTING_MAX = 3, /* targets of ensembles of models */
    SCORE_PERFECT_DEPTH_MAX = 8,
    SCORE_DEPTH_MAX = 256,
    SCORE_RANKS_MAX = 255, /* thresholds a list */
    SCORE_SLOTS_MAX = 2 * SCORE_COLUMNS_MAX,
    SCORE_SLICED_SLOTS_MAX = 1024,
    SCORE_WIDE_SLOTS_MAX = 8192,
    SCORE_PREP_DEPTH_MAX = 64,
};

/* WIDE: trees of float64 with sets of categories, as LightGBM has them. BAYES: a Hoeffding tree, whose leaves score by the shares of their classes or by naive Bayes. Files have these numbers: new
 * kinds come last. */
typedef enum score_kind { SCORE_TREES, SCORE_WIDE, SCORE_LINEAR, SCORE_SVR, SCORE_MEAN, SCORE_STACK, SCORE_TARGETS, SCORE_BAYES, SCORE_KINDS } score_kind;

/* Is a model of the kind made of others? */
static inline int score_has_members(uint32_t kind) {
    return kind >= SCORE_MEAN && kind <= SCORE_TARGETS;
}

/* What becomes of sums of leaves (in float32, as the library does it), or of linear forms (in float64). */
typedef enum score_link {
    SCORE_LINK_VALUE,
    SCORE_LINK_LOGISTIC,
    SCORE_LINK_SOFTMAX,
    SCORE_LINK_SHARES, /* of trees: clamped to [0, 1], of several classes made to sum to 1 */
    SCORE_LINK_EXP,
    SCORE_LINK_AFFINE, /* of linear forms: link_a + link_b · sum */
    SCORE_LINK_PLAIN_LOGISTIC, /* of linear forms: 1 / (1 + e^−sum), where LOGISTIC is e^sum / (1 + e^sum) of negative sums */
    SCORE_LINKS,
} score_link;

typedef enum score_task { SCORE_REGRESSION, SCORE_BINARY, SCORE_CLASSES, SCORE_TASKS } score_task;

typedef struct score_span {
    uint64_t offset, count;
} score_span;

/* What a step makes of x, NaN: missing; a and b are its own numbers. */
typedef enum score_step_op {
    SCORE_STEP_INPUT,
    SCORE_STEP_FILL, /* a when missing */
    SCORE_STEP_MISSING, /* 1 when missing, else 0 */
    SCORE_STEP_CLIP, /* to [a, b] */
    SCORE_STEP_NULL, /* missing when outside of [a, b] */
    SCORE_STEP_OUTSIDE, /* 1 when outside of [a, b], else 0 */
    SCORE_STEP_SCALE, /* (x − a) / b */
    SCORE_STEP_STRETCH, /* x · a + b */
    SCORE_STEP_EQUALS, /* 1 when x is a, else 0 */
    SCORE_STEP_OTHER, /* 1 when x is none of the levels, a when missing, else 0 */
    SCORE_STEP_CODE, /* code of the level; a when x is none, b when missing */
    SCORE_STEP_BUCKET, /* 1 when x falls into bucket b of a, else 0 */
    SCORE_STEP_OPS,
} score_step_op;

/* One column that preprocessing makes, of one other. */
typedef struct score_step {
    uint32_t op; /* score_step_op */
    int32_t parent; /* an earlier step; −1: the column `input` of the rows, and nothing is done to it */
    uint32_t input, levels; /* of OTHER and CODE: where their levels begin in level_values */
    uint32_t level_count, spare;
    double a, b;
} score_step;

typedef struct score_node { /* perfect */
    float threshold;
    uint32_t slot;
} score_node;

typedef struct score_link_node { /* linked */
    float threshold; /* of a leaf +∞; of a split by a set NaN */
    uint32_t slot; /* of a leaf one that is never above: of a column that is split its first, else 0 */
    uint32_t left; /* of a leaf itself */
    union {
        float value; /* of a leaf; of a split by a threshold 0 */
        uint32_t set; /* of a split by a set: which of `slots` has it; its categories go right, all else but missing values left */
    };
} score_link_node;

/* What a row is turned into for wide trees: a number a slot, which every split compares with its threshold. */
typedef enum score_slot_kind {
    SCORE_SLOT_BELOW, /* the value; missing: −∞ */
    SCORE_SLOT_ABOVE, /* the value; missing: +∞ */
    SCORE_SLOT_ZERO, /* the value; missing: 0 */
    SCORE_SLOT_ZERO_BELOW, /* the value; missing, and 0: −∞ */
    SCORE_SLOT_ZERO_ABOVE, /* the value; missing, and 0: +∞ */
    SCORE_SLOT_SET, /* −∞ where the value, cut to a whole number, is in a set; else, and missing, +∞ */
    SCORE_SLOT_KINDS,
} score_slot_kind;
typedef struct score_slot {
    uint32_t kind, column;
    uint32_t first_word, word_count; /* SET: bit c of its words: category c is in it */
} score_slot;

typedef struct score_wide_node { /* as score_link_node */
    double threshold, value; /* x < threshold goes left */
    uint32_t slot, left;
} score_wide_node;

/* Of BAYES: the first is the root, children stand behind their parent. */
typedef struct score_bayes_node {
    double threshold; /* x ≤ threshold goes left */
    uint32_t column, left, right; /* left 0: a leaf */
    union {
        uint32_t missing; /* of a split: the child of missing values */
        uint32_t leaf; /* of a leaf: which of `leaves` */
    };
} score_bayes_node;

/* Its numbers, for k classes (a binary model has two): shares [k]; of naive Bayes then their logarithms [k], and mean, variance, logarithm of the variance [columns][3][k].
 * Of a class that has no value in a column the mean is ∞, the variance 0: nothing is at it. Of one whose values never vary the variance is 0. */
typedef struct score_bayes_leaf {
    uint64_t first_number, first_column; /* among `numbers`, and among `columns`: those that vary here */
    uint32_t column_count, bayes; /* bayes 1: by naive Bayes; 0: by shares */
} score_bayes_leaf;

typedef struct score_tree {
    uint32_t output;
    uint32_t first; /* linked: its root among all nodes */
    uint32_t node_count; /* linked */
    uint32_t spare;
} score_tree;

typedef struct score_slice { /* sliced */
    uint16_t slot;
    uint8_t rank;
    uint8_t spare;
} score_slice;

/* Up to 255 thresholds of a column, ascending; +∞ behind them. A column that has more has several such lists, each with slots of its own. */
typedef struct score_ranks {
    float threshold[256], pivot[16]; /* pivots: every sixteenth */
    uint32_t count;
    uint32_t column; /* which of `columns` */
    uint32_t spare[14];
} score_ranks;

typedef struct score_model {
    uint32_t kind, task, link;
    uint32_t input_count, fitted_count, output_count;
    uint32_t member_count, first_member; /* of STACK the last member is the meta model */
    score_span steps, step_outputs; /* score_step, uint32_t [fitted_count]; none: rows are taken as they are */
    score_span level_values, level_codes; /* double ascending within each list, uint32_t */
    score_span columns; /* uint32_t: TREES: those that any tree splits; slots 2i and 2i + 1 are those of columns[i]; BAYES: leaf by leaf */
    score_span trees; /* score_tree */
    score_span nodes, leaves; /* score_node and float, or score_link_node and none; WIDE: score_wide_node and none; BAYES: nodes and leaves of its own */
    score_span slots, words; /* WIDE: score_slot, uint32_t; linked TREES: a SCORE_SLOT_SET for each split by a set */
    score_span slices, ranks; /* score_slice, score_ranks: slots 2i and 2i + 1 of slices are those of ranks[i]; none: not sliced */
    score_span
        numbers; /* double: LINEAR intercept [k], mean [p], scale [p], coefficient [k][p]; SVR mean, scale, coefficient [n], vector [n][p]; MEAN weights [members]; BAYES those of its leaves */
    uint32_t depth; /* perfect: of all trees */
    uint32_t perfect;
    float base; /* what a sum of leaves begins with */
    uint32_t kernel, degree, spare; /* SVR */
    double gamma, coef0, intercept; /* SVR */
    double link_a, link_b; /* AFFINE; of WIDE: 1 / (1 + e^(−link_a · sum)), and what sums are divided by */
} score_model;

typedef struct score_head {
    char magic[8];
    uint32_t version, model_count;
    uint64_t length; /* of the file */
    uint64_t models; /* score_model [model_count] */
    score_span names; /* bytes: names of inputs, then of outputs, each ended by a NUL */
    uint8_t source[32]; /* SHA-256 of the artifact that this was compiled from */
    uint8_t digest[32]; /* SHA-256 of the file with these bytes 0 */
} score_head;

_Static_assert(sizeof(score_head) == 112 && sizeof(score_step) == 40 && sizeof(score_ranks) == 1152 && sizeof(score_slice) == 4 &&
                   sizeof(score_bayes_node) == 24 && sizeof(score_bayes_leaf) == 24,
               "structures lie in files as they lie in memory");

/* SHA-256 (FIPS 180-4) of a file whose digest is taken as 0. */
void score_digest(const uint8_t *bytes, size_t len, uint8_t ret_digest[32]);

#endif
