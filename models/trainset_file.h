/* Training sets from files of rows.
 *
 * What a file's columns became is a schema, kept with the models that are fitted on it, so that other files are read in the same way:
 *
 *   {"source": "trips.parquet", "format": "parquet", "files": 1, "rows": 1000, "task": "regression", "targets": ["volume"], "classes": ["no", "yes"],
 *    "time": "at", "tenant": "city", "entity": "road",
 *    "inputs": [{"name": "temp", "type": "number"}, {"name": "wet", "type": "boolean"}, {"name": "opened", "type": "time"},
 *               {"name": "weather", "type": "category", "texts": ["Clear", "Rain"]}],
 *    "left_out": [{"column": "id", "why": "…"}], "rows_without_label": 0, "rows_without_place": 0, "infinite": [{"column": "temp", "rows": 3}]}
 *
 * number: as it is; boolean: 0 or 1; time: seconds since 1970; category: weir_text_number of its text. Null, NaN and infinite numbers are missing; "infinite"
 * counts the latter. Rows without a place are those without a time, tenant or entity where the set has such a column. */
#ifndef WEIR_MODELS_TRAINSET_FILE_H
#define WEIR_MODELS_TRAINSET_FILE_H

#include <cjson/cJSON.h>

#include "models/data_file.h"
#include "models/trainset.h"

/* Members that are not named are zero, which means what is said in brackets. Lists are NULL-terminated. */
typedef struct weir_file_query {
    const char *path, *format; /* as weir_data_file_open takes them */
    const char *const *targets; /* one, or several of a regression */
    const char *const *features; /* [every column that can be an input and is none of the others here; so does "auto_detect" alone] */
    const char *const *categories; /* columns whose values are names even where they are numbers; [texts only] */
    const char *time_column, *entity_column, *tenant_column; /* [none] */
    bool task_known; /* [two values: binary; texts, or at most 20 whole numbers that repeat: multiclass; else regression] */
    weir_task task;
    int64_t memory_bytes; /* what a set may take; [half of the machine's memory] */
} weir_file_query;

/** Reads a file into a training set. Columns that nobody named are left out when they hold no value, times, a text that never repeats (an id), more than
 *  WEIR_PREP_LEVELS_MAX different texts, or what is neither number, boolean nor text; the schema says which and why. Rows without a label or place are left
 *  out and counted. Classes are in the order of their numbers, or of their texts' bytes; of two, the last is the positive one. The caller deletes
 *  *ret_schema.
 *  Errors: those of weir_data_file_open; WEIR_EINVAL for a column that does not exist or cannot be what it is named for; WEIR_EDATA for a target without two
 *  classes, or times that are none; WEIR_ELIMIT, with the size, when the set would take more memory than it may. */
weir_status weir_trainset_from_file(const weir_file_query *query, weir_trainset *ret_set, cJSON **ret_schema, weir_err *err) WEIR_MUST_CHECK;

#endif
