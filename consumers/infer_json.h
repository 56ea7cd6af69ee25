/* The JSON of the HTTP API: request bodies become tables of typed values, tables become rows of a schema or inputs of a model, answers become JSON.
 * Pure: no HTTP, no stores, no models. Sources: Open Inference Protocol v2 (kserve/open-inference-protocol, inference_rest.md); Feast's Python feature server. */
#ifndef WEIR_CONSUMERS_INFER_JSON_H
#define WEIR_CONSUMERS_INFER_JSON_H

#include <cjson/cJSON.h>

#include "consumers/infer_tensor.h"
#include "features/pipeline.h"

enum { WEIR_JSON_ROWS_MAX = 10000, WEIR_JSON_COLUMNS_MAX = 1024, WEIR_JSON_VALUES_MAX = 1 << 20 };

/* A named column, or a matrix when width > 1. */
typedef struct weir_json_column {
    const char *name;
    int width;
    weir_datum *values; /* [row_count][width]: NULL, BOOL, I64 (of JSON: up to 2^53), F64, STR */
} weir_json_column;

/* Columns of one length. Owns all that it and its values point to; zeroed memory is an empty one. */
typedef struct weir_json_table {
    cJSON *json;
    weir_arena arena;
    int row_count, column_count;
    weir_json_column *columns;
} weir_json_table;

void weir_json_table_done(weir_json_table *table);
const weir_json_column *weir_json_table_find(const weir_json_table *table, const char *name); /* NULL when there is none */

/* /v2/models/NAME[/versions/VERSION|/versions/ALIAS][/ready|/infer] */
typedef enum weir_model_verb { WEIR_MODEL_METADATA, WEIR_MODEL_READY, WEIR_MODEL_INFER } weir_model_verb;
typedef struct weir_model_path {
    char name[64];
    int version; /* 0: none given */
    char alias[16]; /* given in place of a version: "champion", "challenger", …; else empty */
    weir_model_verb verb;
} weir_model_path;
/** Errors: WEIR_ENOTFOUND for any other path. */
weir_status weir_model_path_parse(const char *path, weir_model_path *ret_path, weir_err *err) WEIR_MUST_CHECK;

/* POST …/infer. With the binary tensor data extension the JSON is followed by the inputs' bytes, which values of the table then point into:
 *
 *   Inference-Header-Content-Length: J
 *   {"inputs":[{…,"parameters":{"binary_data_size":A}},{…"data":[…]},{…,"parameters":{"binary_data_size":B}}]}   J bytes
 *   first input                                                                                                  A bytes
 *   third input                                                                                                  B bytes */
typedef struct weir_infer_wanted {
    const char *name;
    bool binary;
} weir_infer_wanted;
typedef struct weir_infer_request {
    weir_json_table inputs;
    const char *id; /* NULL: none given */
    bool binary; /* binary_data_output: those outputs that do not say otherwise are wanted as bytes */
    int output_count; /* 0: the usual ones are wanted */
    weir_infer_wanted *outputs;
} weir_infer_request;
#define WEIR_INFER_ALL_JSON SIZE_MAX
/** Errors (all parsers): WEIR_EDATA saying which member, what was found, what was expected; WEIR_ELIMIT beyond the limits above; WEIR_ENOMEM. body needs no NUL, and lives
 *  as long as the request. json_len: bytes of JSON before those of the inputs, WEIR_INFER_ALL_JSON without any. *ret_request is to be done with also after an error. */
weir_status weir_infer_parse(const char *body, size_t len, size_t json_len, weir_infer_request *ret_request, weir_err *err) WEIR_MUST_CHECK;
void weir_infer_request_done(weir_infer_request *request);

/* POST /get-online-features */
typedef struct weir_features_request {
    weir_json_table entities;
    const char **features; /* "view:feature" or "feature", NULL-terminated; NULL: a service is asked for */
    const char *service; /* feature_service; NULL: features are listed */
    bool full_names;
    int64_t *at_us; /* [row_count] event_timestamp; NULL: not given, or */
    bool at_now; /* given as "now" */
} weir_features_request;
weir_status weir_features_parse(const char *body, size_t len, weir_features_request *ret_request, weir_err *err) WEIR_MUST_CHECK;
void weir_features_request_done(weir_features_request *request);

/* POST /push, and /write-to-online-store, which says feature_view_name where that says push_source_name */
typedef struct weir_push_request {
    weir_json_table df;
    const char *source;
} weir_push_request;
weir_status weir_push_parse(const char *body, size_t len, weir_push_request *ret_request, weir_err *err) WEIR_MUST_CHECK;
void weir_push_request_done(weir_push_request *request);

/** Are these a model's own inputs, rather than columns of events? So when there is one matrix "features", when an input is a column of the model but not of the events, or
 *  when the inputs are the model's columns and nothing else. */
bool weir_infer_is_features(const weir_json_table *inputs, const char *const *columns, int column_count, const weir_schema *events);
/** A model's inputs: out [row_count][column_count]. null is NaN. Errors: WEIR_EDATA naming the column that is missing, unknown, of a wrong shape or not a number. */
weir_status weir_infer_features(const weir_json_table *inputs, const char *const *columns, int column_count, double *out, weir_err *err) WEIR_MUST_CHECK;

/** Rows of a feed's schema: rows [row_count][field count]. Numbers become text where the schema has text, ISO 8601 text becomes a timestamp; "event_timestamp" stands for the
 *  time column. Columns not given take their default, or null; with complete that is an error where the schema does not allow it, and Feast's "created" is passed over.
 *  Texts live as long as the table. Errors: WEIR_EDATA naming column and row. */
weir_status weir_json_rows(weir_json_table *table, const weir_feed_def *feed, bool complete, weir_datum *rows, weir_err *err) WEIR_MUST_CHECK;

/* An answer of …/infer. */
typedef struct weir_infer_output {
    const char *name, *datatype; /* "score", "FP64" */
    const weir_datum *values; /* [row_count][width] */
    int width; /* 0: a column, of the shape [row_count] */
    bool binary; /* as bytes, where every value has a form in them; else as JSON */
} weir_infer_output;
typedef struct weir_infer_parameter {
    const char *name;
    weir_datum value;
} weir_infer_parameter;
typedef struct weir_infer_answer {
    const char *model_name, *model_version, *id; /* version and id may be NULL */
    int row_count, output_count, parameter_count;
    const weir_infer_output *outputs;
    const weir_infer_parameter *parameters;
} weir_infer_answer;
/** Appends the JSON, and the bytes of outputs after it: *ret_json_len is where they begin, WEIR_INFER_ALL_JSON without any. False when memory ran out. */
bool weir_infer_encode(const weir_infer_answer *answer, weir_buf *out, size_t *ret_json_len) WEIR_MUST_CHECK;

/* One column of a /get-online-features answer. Neighbours that share their times (the same array) are printed faster. */
typedef struct weir_features_result {
    const char *name;
    const weir_datum *values; /* [row_count] */
    const char *const *statuses; /* [row_count] words that need no escape in JSON */
    const int64_t *event_times_us; /* [row_count] */
} weir_features_result;
bool weir_features_encode(const weir_features_result *results, int result_count, int row_count, weir_buf *out) WEIR_MUST_CHECK;

/** Appends one value as JSON; a number that is not finite is null. A double is told from a whole number by its point or exponent and reads back to the same bits. */
bool weir_json_put(weir_buf *out, const weir_datum *value) WEIR_MUST_CHECK;
/** Appends a quoted string. */
bool weir_json_put_text(weir_buf *out, const char *text) WEIR_MUST_CHECK;

#endif
