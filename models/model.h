/* Models: algorithms behind one vtable, a fitted model as one immutable artifact file, and scoring. */
#ifndef WEIR_MODELS_MODEL_H
#define WEIR_MODELS_MODEL_H

#include <cjson/cJSON.h>

#include "core/conf.h"
#include "core/err.h"
#include "core/mem.h"

enum { WEIR_MODEL_COLUMNS_MAX = 4096 };

/* A design matrix. values [row_count][column_count] row-major float64; NaN: missing. label [row_count] (may be NULL when scoring). */
typedef struct weir_matrix {
    int64_t row_count;
    int column_count;
    const double *values;
    const double *label;
    const char *const *column_names;
} weir_matrix;

typedef struct weir_model weir_model;

#define WEIR_ALGORITHM_ABI 1
typedef struct weir_algorithm {
    int abi;
    const char *name; /* "logistic", "xgboost", "random_forest" */
    const char *doc;
    const weir_conf_item *params; /* hyperparameters: config table of an object of params_size bytes */
    size_t params_size;
    /** Fits on every row of the matrix. threads ≥ 1. Deterministic for the same matrix, params, seed and threads. *ret_body is the algorithm's part of the artifact. */
    weir_status (*fit)(const void *params, const weir_matrix *train, uint64_t seed, int threads, weir_buf *ret_body, weir_err *err);
    /** Makes a predictor from a body. */
    weir_status (*load)(const void *body, size_t len, int column_count, void **ret_predictor, weir_err *err);
    /** Scores: out [row_count] probability of the positive class. Thread-safe. rows [row_count][column_count] float64. */
    weir_status (*predict)(void *predictor, const double *rows, int64_t row_count, int column_count, double *out, weir_err *err);
    void (*unload)(void *predictor);
    const char *preprocessing; /* what fit does to the columns first, for the artifact's header and people; a sentence */
} weir_algorithm;

/** The registered algorithms, NULL-terminated. */
const weir_algorithm *const *weir_algorithms(void);
const weir_algorithm *weir_algorithm_find(const char *name); /* NULL when there is none */

/** Fits. params_json: hyperparameters object or NULL. The artifact (a file image: magic "WEIRMOD1", format version, JSON header {algorithm, columns[], params, seed, threads, preprocessing,
 *  feature_hash}, body, SHA-256 of all before it) is appended to *ret_artifact. Same input, same bytes.
 *  Errors: WEIR_EINVAL for an unknown algorithm, hyperparameter or a bad column list; WEIR_EDATA for labels other than 0 and 1 or of one class only; WEIR_ENUMERIC for infinite values. */
weir_status weir_model_fit(const char *algorithm, const cJSON *params_json, const weir_matrix *train, const char *feature_hash, uint64_t seed, int threads,
                           weir_buf *ret_artifact, weir_err *err) WEIR_MUST_CHECK;
/** Loads an artifact. A damaged one is WEIR_EDATA and says where. The bytes are copied. */
weir_status weir_model_load(const void *artifact, size_t len, weir_model **ret_model, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_model_load_file(const char *path, weir_model **ret_model, weir_err *err) WEIR_MUST_CHECK;
void weir_model_free(weir_model *model);
int weir_model_column_count(const weir_model *model);
const char *const *weir_model_columns(const weir_model *model);
const char *weir_model_algorithm(const weir_model *model);
const char *weir_model_digest(const weir_model *model); /* hex SHA-256 of the artifact */
/** Shapes: rows [row_count][column_count] row-major, out [row_count]. NaN: missing. Preprocessing included. Thread-safe. An infinite value is WEIR_ENUMERIC, REJECT. */
weir_status weir_model_predict(weir_model *model, const double *rows, int64_t row_count, double *out, weir_err *err) WEIR_MUST_CHECK;

/** Hex SHA-256 of bytes into text[65]. */
void weir_sha256_hex(const void *bytes, size_t len, char text[65]);

#endif
