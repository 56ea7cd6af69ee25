/* What commands print: JSON rows as a table for people, or as they are. */
#ifndef WEIR_CLI_TABLE_H
#define WEIR_CLI_TABLE_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "cli/command.h"

typedef struct weir_table_column {
    const char *path; /* "metrics.auc_roc": members down from the row */
    const char *title; /* "AUC ROC" */
} weir_table_column;

/** Prints an array of objects: as a table of these columns (ended by a NULL path; numbers to the right, lists joined by commas, "-" for what is absent), or as JSON. */
weir_status weir_table_print(const cJSON *rows, const weir_table_column *columns, weir_output output, FILE *out, weir_err *err) WEIR_MUST_CHECK;
/** Prints any JSON value, indented. */
weir_status weir_json_print(const cJSON *value, FILE *out, weir_err *err) WEIR_MUST_CHECK;

#endif
