/* The functions of DuckDB that we call, all by features/duck.c. */
#ifndef WEIR_FEATURES_DUCK_LIBRARY_H
#define WEIR_FEATURES_DUCK_LIBRARY_H

#include <duckdb.h>

#include "core/err.h"

// clang-format off
#define WEIR_DUCK_FUNCTIONS(X) \
    X(append_blob) X(append_bool) X(append_data_chunk) X(append_double) X(append_int64) X(append_null) X(append_timestamp) X(append_varchar_length) \
    X(appender_close) X(appender_column_count) X(appender_column_type) X(appender_create) X(appender_destroy) X(appender_end_row) \
    X(appender_error_data) X(close) X(column_count) X(column_type) X(connect) X(create_data_chunk) X(create_logical_type) X(create_scalar_function) \
    X(create_struct_type) X(data_chunk_get_size) X(data_chunk_get_vector) X(data_chunk_set_size) X(destroy_data_chunk) X(destroy_error_data) \
    X(destroy_extracted) X(destroy_logical_type) X(destroy_pending) X(destroy_prepare) X(destroy_result) X(destroy_scalar_function) X(disconnect) \
    X(error_data_error_type) X(error_data_message) X(execute_pending) X(execute_prepared_streaming) X(extract_statements) X(extract_statements_error) \
    X(fetch_chunk) X(free) X(get_type_id) X(interrupt) X(open_ext) X(pending_error) X(pending_execute_task) X(pending_prepared) X(prepare) \
    X(prepare_error) X(prepare_extracted_statement) X(register_scalar_function) X(result_error) X(result_error_type) X(scalar_function_add_parameter) \
    X(scalar_function_get_extra_info) X(scalar_function_set_error) X(scalar_function_set_extra_info) X(scalar_function_set_function) \
    X(scalar_function_set_name) X(scalar_function_set_return_type) X(scalar_function_set_special_handling) X(scalar_function_set_volatile) \
    X(string_t_data) X(string_t_length) X(struct_vector_get_child) X(validity_row_is_valid) X(validity_set_row_invalid) \
    X(vector_assign_string_element) X(vector_ensure_validity_writable) X(vector_get_data) X(vector_get_validity) X(vector_reference_vector)
// clang-format on

/* duckdb.open_ext is duckdb_open_ext, and so on, once weir_duck_load was well. */
typedef struct weir_duck_functions {
#define WEIR_DUCK_FUNCTION(name) __typeof__(&duckdb_##name) name;
    WEIR_DUCK_FUNCTIONS(WEIR_DUCK_FUNCTION)
#undef WEIR_DUCK_FUNCTION
} weir_duck_functions;

extern weir_duck_functions duckdb;

weir_status weir_duck_load(weir_err *err) WEIR_MUST_CHECK;

#endif
