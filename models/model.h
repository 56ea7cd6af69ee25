/* Models: algorithms behind one vtable, a fitted model as one immutable artifact file, and scoring. */
#ifndef WEIR_MODELS_MODEL_H
#define WEIR_MODELS_MODEL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/conf.h"
#include "core/err.h"
#include "core/mem.h"
#include "models/task.h"

enum { WEIR_MODEL_COLUMNS_MAX = 4096, WEIR_MODEL_FITTED_MAX = 8192 /* columns after preprocessing */, WEIR_MODEL_CLASSES_MAX = 1024 };

/* A design matrix. values [row_count][column_count] row-major float64; NaN: missing. label [row_count] (may be NULL when scoring). weight [row_count], or NULL:
 * every row weighs 1; a row that weighs 2 counts as two rows, one that weighs 0 as none. class_count is of WEIR_TASK_MULTICLASS only. */
typedef struct weir_matrix {
    int64_t row_count;
    int column_count;
    const double *values;
    const double *label;
    const char *const *column_names;
    const double *weight;
    weir_task task;
    int class_count;
    const struct weir_prep_column *kinds; /* [column_count] which columns are categories (models/prep.h), for a chain of preprocessing; NULL: all are numbers */
    const char *const *class_names; /* [class_count], of a binary task two, for the artifact; NULL: their numbers */
} weir_matrix;

/* What goes into a fitted model, and what comes out. */
typedef struct weir_model_shape {
    int column_count;
    weir_task task;
    int output_count; /* scores a row: the classes of a multiclass model, the targets of one of several, otherwise 1 */
} weir_model_shape;

typedef struct weir_model weir_model;

#define WEIR_ALGORITHM_ABI 3
#define WEIR_TASK_BIT(task) (1u << (task))
typedef struct weir_algorithm {
    int abi;
    const char *name; /* "logistic", "xgboost", … */
    const char *doc;
    unsigned tasks; /* WEIR_TASK_BIT of each task it can do; the other methods are called for no other */
    const weir_conf_item *params; /* hyperparameters: config table of an object of params_size bytes */
    size_t params_size;
    /** Fits on every row of the matrix, whose labels and weights have been checked. threads ≥ 1. Deterministic for the same matrix, params, seed and threads.
     *  *ret_body is the algorithm's part of the artifact. */
    weir_status (*fit)(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err);
    /** Makes a predictor from a body. */
    weir_status (*load)(const void *body, size_t len, const weir_model_shape *shape, void **ret_predictor, weir_err *err);
    /** Scores: out [row_count][output_count], see weir_task. Thread-safe. rows [row_count][column_count] float64. shape is the one that was loaded. */
    weir_status (*predict)(void *predictor, const double *rows, int64_t row_count, const weir_model_shape *shape, double *out, weir_err *err);
    void (*unload)(void *predictor);
    const char *preprocessing; /* what fit does to the columns first, for the artifact's header and people; a sentence */
    /** Goes on from a body: takes the rows one after the other, in their order, each once; *ret_body is what the body has become. NULL: the algorithm only fits. fit of
     *  one that has it is the same from nothing, so that the rows of two matrices one after the other give the bytes of one. What is checked of a matrix holds, but
     *  for a class without rows. shape is the one that was loaded. */
    weir_status (*learn)(const void *params, const void *body, size_t len, const weir_model_shape *shape, const weir_matrix *more, weir_buf *ret_body,
                         weir_err *err);
} weir_algorithm;

static inline bool weir_algorithm_can(const weir_algorithm *algorithm, weir_task task) {
    return algorithm->tasks & WEIR_TASK_BIT(task);
}

/** The algorithms, those of plugins behind the own ones; NULL-terminated. A list stays as it is when a plugin comes. */
const weir_algorithm *const *weir_algorithms(void);
const weir_algorithm *weir_algorithm_find(const char *name); /* NULL when there is none */
/** What a plugin with algorithms exports (core/plugin.h): an array ended by an entry without a name. docs/examples/nearest_centroid.c is one. */
const weir_algorithm *weir_plugin_algorithms(void);
#define WEIR_PLUGIN_ALGORITHMS "weir_plugin_algorithms"

/** The algorithm for a task. Errors: WEIR_EINVAL when there is none of that name, or it cannot do the task, with the names of those that can. */
weir_status weir_algorithm_for_task(const char *name, weir_task task, const weir_algorithm **ret_algorithm, weir_err *err) WEIR_MUST_CHECK;
/** Validates hyperparameters, NULL: none. path ("$.params") prefixes messages. Errors: WEIR_EINVAL. */
weir_status weir_algorithm_check_params(const weir_algorithm *algorithm, const cJSON *params, const char *path, weir_err *err) WEIR_MUST_CHECK;

/** Fits. params_json: hyperparameters object or NULL. chain: steps of preprocessing (models/prep.h) over the columns, which are then fitted on these rows and
 *  kept with the model, or NULL. The artifact (a file image: magic "WEIRMOD1", format version, JSON header {algorithm, task, class_count, columns[], params,
 *  seed, threads, chain, preprocessing, feature_hash}, body, SHA-256 of all before it) is appended to *ret_artifact. Same input, same bytes.
 *  Errors: WEIR_EINVAL for an unknown algorithm, one that cannot do the task, an unknown hyperparameter or step, a category that no step encodes, a bad
 *  column list or number of classes; WEIR_EDATA for labels that are none of the task's, a class without a row that weighs anything, weights that are negative
 *  or not finite; WEIR_ENUMERIC for infinite values. */
weir_status weir_model_fit(const char *algorithm, const cJSON *params_json, const cJSON *chain, const weir_matrix *train, const char *feature_hash,
                           uint64_t seed, int threads, weir_buf *ret_artifact, weir_err *err) WEIR_MUST_CHECK;
/** Goes on learning where an artifact stopped: the same header with "continues", the digest of the artifact that was fitted, and the body as it is after the rows of `more`, whose
 *  columns must have the artifact's names in its order. A fitted chain of preprocessing is applied as it is; rows are not dropped by it. `artifact` is unchanged; same input, same bytes,
 *  and rows in parts give the bytes that they give at once.
 *  Errors: WEIR_EINVAL for an algorithm that cannot learn on, other columns, task or classes; as of weir_model_fit for rows, but that classes may be missing. */
weir_status weir_model_continue(const void *artifact, size_t len, const weir_matrix *more, weir_buf *ret_artifact, weir_err *err) WEIR_MUST_CHECK;
/** Loads an artifact. A damaged one is WEIR_EDATA and says where. The bytes are copied. */
weir_status weir_model_load(const void *artifact, size_t len, weir_model **ret_model, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_model_load_file(const char *path, weir_model **ret_model, weir_err *err) WEIR_MUST_CHECK;
void weir_model_free(weir_model *model);
int weir_model_column_count(const weir_model *model);
const char *const *weir_model_columns(const weir_model *model);
const char *weir_model_algorithm(const weir_model *model);
const char *weir_model_digest(const weir_model *model); /* hex SHA-256 of the artifact */
weir_task weir_model_task(const weir_model *model);
int weir_model_output_count(const weir_model *model); /* scores a row */
/** What a loaded model takes in memory, about: its artifact, which is kept, and as much again as the bodies in it, which predictors are made of; members of a model of several
 *  keep artifacts of their own. */
int64_t weir_model_memory_bytes(const weir_model *model);
/** For callers that know one score a row: WEIR_EDATA for a model that gives several. */
weir_status weir_model_check_single_output(const weir_model *model, weir_err *err) WEIR_MUST_CHECK;
/** Shapes: rows [row_count][column_count] row-major, out [row_count][output_count]. NaN: missing. Preprocessing included. Thread-safe. An infinite value is
 *  WEIR_ENUMERIC, REJECT. */
weir_status weir_model_predict(weir_model *model, const double *rows, int64_t row_count, double *out, weir_err *err) WEIR_MUST_CHECK;

/** The same by the library that trained the model, without its compiled form: what the compiled scores are held against. */
weir_status weir_model_predict_by_library(weir_model *model, const double *rows, int64_t row_count, double *out, weir_err *err) WEIR_MUST_CHECK;
/** The compiled form that weir_model_predict uses (models/scorer/weirscore.h); NULL where an algorithm has none. */
const struct weirscore *weir_model_scorer(const weir_model *model);

/* ---- what a model is made of: for explanations and exports; everything is borrowed from the model ---- */

/* A model of several is one artifact whose body holds whole artifacts. */
typedef enum weir_composition {
    WEIR_MODEL_SINGLE,
    WEIR_MODEL_AVERAGE, /* of its members' scores */
    WEIR_MODEL_WEIGHTED, /* the same with weights */
    WEIR_MODEL_STACKING, /* a meta model over its members' scores */
    WEIR_MODEL_TARGETS, /* a member a target; a member may be one of the three above, whose members are single */
} weir_composition;
enum { WEIR_MODEL_MEMBERS_MAX = 64 };

weir_composition weir_model_composition(const weir_model *model);
int weir_model_member_count(const weir_model *model); /* 0 of a single one */
/** 0 ≤ i < member count. A member takes the same columns. */
weir_model *weir_model_member(const weir_model *model, int i);
const double *weir_model_weights(const weir_model *model); /* [member_count] of an average or a weighted one, sum 1; else NULL */
/** Of stacking: a model over the members' scores, [member_count][output_count] a row: "m0", "m1", … or "m0=CLASS"; else NULL. */
weir_model *weir_model_meta(const weir_model *model);
const cJSON *weir_model_header(const weir_model *model);
const cJSON *weir_model_params(const weir_model *model); /* the hyperparameters that were in force; NULL when the header lists none */
const struct weir_prep *weir_model_chain(const weir_model *model); /* the fitted preprocessing (models/prep.h), NULL: none */
/** What the algorithm was fitted on: the columns that the chain makes, by name, or those of the rows. */
int weir_model_fitted_count(const weir_model *model);
const char *const *weir_model_fitted_columns(const weir_model *model);
/** The algorithm's own bytes; NULL of a model of several. */
const void *weir_model_body(const weir_model *model, size_t *ret_len);
/** [output_count] of a multiclass model, two of a binary one; NULL: they have no names but their numbers. */
const char *const *weir_model_class_names(const weir_model *model);
/** [output_count] of a model of several targets; else NULL. */
const char *const *weir_model_target_names(const weir_model *model);

/** Hex SHA-256 of bytes into text[65]. */
void weir_sha256_hex(const void *bytes, size_t len, char text[65]);

#endif
