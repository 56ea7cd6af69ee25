/* Reading the pipeline file: JSON values with complaints that name the path, what was found and what was expected. Private to features/pipeline*.c. */
#ifndef WEIR_FEATURES_PIPELINE_FILE_H
#define WEIR_FEATURES_PIPELINE_FILE_H

#include "features/pipeline.h"

enum { PF_PATH_MAX = 256, PF_NAME_MAX = 48 };

/* A JSON path, by value, so that messages need no memory of their own. */
typedef struct pf_path {
    char text[PF_PATH_MAX];
} pf_path;

pf_path WEIR_PRINTF(1, 2) pf_path_of(const char *format, ...);
pf_path pf_below(const char *at, const char *key);
pf_path pf_item(const char *at, int index);
const char *pf_found(const cJSON *json, char text[64]);
weir_status pf_wrong(const cJSON *json, const char *at, const char *expected, weir_err *err);
weir_status pf_unknown(const char *at, const char *what, const char *word, const char *const *candidates, weir_err *err);
weir_status pf_need_object(const cJSON *json, const char *at, const char *const *keys, weir_err *err) WEIR_MUST_CHECK;
const cJSON *pf_get(const cJSON *json, const char *key);
weir_status pf_get_text(const cJSON *json, const char *at, const char *key, bool required, const char **ret, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_get_duration(const cJSON *json, const char *at, const char *key, int64_t *ret_us, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_get_int(const cJSON *json, const char *at, const char *key, int64_t min, int64_t max, int64_t *ret, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_get_number(const cJSON *json, const char *at, const char *key, bool *ret_has, double *ret, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_get_bool(const cJSON *json, const char *at, const char *key, bool *ret, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_get_texts(const cJSON *json, const char *at, const char *key, int max, const char **ret, int *ret_count, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_check_name(const char *name, const char *at, bool lower, size_t max_len, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_find_column(const weir_schema *schema, const char *name, const char *at, int *ret_index, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_time_column(const weir_schema *schema, const char *name, const char *at, int *ret_index, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_key_columns(const weir_schema *schema, const char *const *names, int count, const char *at, int *ret_index, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_parse_from(const weir_pipeline *p, const cJSON *json, const char *at, const char *key, weir_feed *ret, weir_err *err) WEIR_MUST_CHECK;
/** A whole file, with a NUL behind it. *ret_found false: there is none. */
weir_status pf_read_file(const char *name, weir_buf *out, bool *ret_found, weir_err *err) WEIR_MUST_CHECK;
bool pf_is_numeric(const weir_schema_field *f);

/* The sections of the file that have files of their own. */
weir_status pf_parse_lists(weir_pipeline *p, const cJSON *json, weir_err *err) WEIR_MUST_CHECK;
void pf_free_lists(weir_pipeline *p);
/** Loads plugins; paths are relative to base_dir (NULL: the working directory). */
weir_status pf_load_plugins(const cJSON *json, const char *base_dir, weir_err *err) WEIR_MUST_CHECK;
weir_status pf_parse_views(weir_pipeline *p, const cJSON *json, weir_err *err) WEIR_MUST_CHECK;
void pf_free_views(weir_pipeline *p);
/** One feature; f is zeroed and is one of view->features. Its "expr" is checked by pf_check_expressions, when the names of all are known. */
weir_status pf_parse_feature(const weir_pipeline *p, const weir_view_def *view, const cJSON *json, const char *at, weir_feature_def *f,
                             weir_err *err) WEIR_MUST_CHECK;
weir_status pf_check_expressions(const weir_pipeline *p, const weir_view_def *view, const char *at, weir_err *err) WEIR_MUST_CHECK;
/** Paths of profiles are relative to base_dir (NULL: the working directory). */
weir_status pf_parse_checks(weir_pipeline *p, const cJSON *json, const char *base_dir, weir_err *err) WEIR_MUST_CHECK;
void pf_free_checks(weir_pipeline *p);
/** json: NULL when the file has no such section; then everything has its default. */
weir_status pf_parse_triggers(weir_pipeline *p, const cJSON *json, weir_err *err) WEIR_MUST_CHECK;
/** The same; when the source is read, whose columns it may name. */
weir_status pf_parse_rollout(weir_pipeline *p, const cJSON *json, weir_err *err) WEIR_MUST_CHECK;
/** The same; when the views are read. */
weir_status pf_parse_serving(weir_pipeline *p, const cJSON *json, weir_err *err) WEIR_MUST_CHECK;
/** serving.batches, which may be NULL. */
weir_status pf_parse_batches(weir_pipeline *p, const cJSON *json, weir_err *err) WEIR_MUST_CHECK;
void pf_free_batches(weir_pipeline *p);

#endif
