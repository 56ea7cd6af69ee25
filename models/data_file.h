/* Files of rows that people bring: found, told apart and opened, so that columns can be asked for. */
#ifndef WEIR_MODELS_DATA_FILE_H
#define WEIR_MODELS_DATA_FILE_H

#include "features/convert.h"
#include "features/duck.h"

enum { WEIR_DATA_FILES_MAX = 10000, WEIR_DATA_COLUMNS_MAX = 4096 };

typedef struct weir_data_column {
    char *name;
    weir_stored stored;
    char *type; /* as DuckDB names it, for people */
    char *likely; /* the type that a sample of the texts of streamed CSV have; else NULL */
} weir_data_column;

/* Zeroed memory at first. */
typedef struct weir_data_file {
    weir_duck *duck; /* with the macros of features/convert.h */
    weir_sql from; /* what stands behind FROM; rows come in the order of the files' names and of the files */
    weir_file_format format;
    int file_count;
    int64_t row_count; /* -1: text that is streamed */
    int64_t byte_count; /* of all files as they lie there */
    char fingerprint[65]; /* hex SHA-256 of the files' paths, sizes and times of change */
    char *first_path; /* of the files */
    weir_data_column *columns; /* [column_count] */
    int column_count;
} weir_data_file;

/** path: a file, a folder (every file in it and below, but those whose names begin with '.' or '_'), a pattern with * ? [ ], or "file://" and one of these.
 *  Folders named key=value below it are columns. format: "parquet", "csv", "json" (lines or an array), or NULL and "auto": what the files begin with, then
 *  their names. The text formats may be compressed (.gz). Columns of several files are put together by name. CSV has a header; "", NA, N/A, NaN, nan, null
 *  and NULL in it are missing.
 *  Errors: WEIR_EINVAL for a path of another store (hdfs://, s3://), which says that a folder is needed; WEIR_ENOTFOUND; WEIR_EDATA for files of different
 *  formats or what is no such file. */
weir_status weir_data_file_open(const char *path, const char *format, weir_data_file *ret_file, weir_err *err) WEIR_MUST_CHECK;
/** The same, but nothing is read ahead: a query reads the files from their beginning, however large they are. The columns of CSV are texts, as they stand there; a
 *  column of JSON has the type that fits all of its values. */
weir_status weir_data_file_stream(const char *path, const char *format, weir_data_file *ret_file, weir_err *err) WEIR_MUST_CHECK;
void weir_data_file_done(weir_data_file *file);
/** −1 when there is none of that name. */
int weir_data_file_find(const weir_data_file *file, const char *name);
/** what: "time column"; WEIR_EINVAL names the nearest column. */
weir_status weir_data_file_need(const weir_data_file *file, const char *what, const char *name, int *ret_column, weir_err *err) WEIR_MUST_CHECK;
/** Appends the SQL of a column as a DOUBLE (times: seconds since 1970), as a VARCHAR (WEIR_TARGET_TEXT) or as µs since 1970 (WEIR_TARGET_TIME with
 *  as_micros). */
void weir_data_file_value(const weir_data_file *file, int column, weir_target target, bool as_micros, weir_sql *sql);

#endif
