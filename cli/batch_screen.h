/* A batch job as a person sees it: progress on a terminal, what it did, and Ctrl-C. */
#ifndef WEIR_CLI_BATCH_SCREEN_H
#define WEIR_CLI_BATCH_SCREEN_H

#include "cli/command.h"
#include "cli/progress.h"
#include "models/batch_file.h"

/* Flags that commands with such a job have. */
typedef struct weir_batch_flags {
    char *file, *format, *out, *errors, *prefix;
    char **columns;
    int64_t threads, max_memory_mib, part_rows;
} weir_batch_flags;

#define WEIR_BATCH_ITEMS(object, member)                                                                                                                       \
    {.name = "file",                                                                                                                                           \
     .type = WEIR_CONF_STRING,                                                                                                                                 \
     .offset = offsetof(object, member.file),                                                                                                                  \
     .doc = "rows to score: a file, a folder of files or a pattern, of Parquet, CSV or JSON"},                                                                 \
        {.name = "format",                                                                                                                                     \
         .type = WEIR_CONF_STRING,                                                                                                                             \
         .offset = offsetof(object, member.format),                                                                                                            \
         .fallback = "auto",                                                                                                                                   \
         .doc = "parquet, csv, json, or auto: what the files are"},                                                                                            \
        {.name = "out",                                                                                                                                        \
         .type = WEIR_CONF_STRING,                                                                                                                             \
         .offset = offsetof(object, member.out),                                                                                                               \
         .doc = "file for the rows with their scores; .parquet, .csv, .jsonl say the form"},                                                                   \
        {.name = "errors",                                                                                                                                     \
         .type = WEIR_CONF_STRING,                                                                                                                             \
         .offset = offsetof(object, member.errors),                                                                                                            \
         .doc = "file for the rows that cannot be scored, with the reason; they are then not in --out"},                                                       \
        {.name = "columns",                                                                                                                                    \
         .type = WEIR_CONF_LIST,                                                                                                                               \
         .offset = offsetof(object, member.columns),                                                                                                           \
         .doc = "columns of the file that are written too: a,b; not given: all"},                                                                              \
        {.name = "prefix",                                                                                                                                     \
         .type = WEIR_CONF_STRING,                                                                                                                             \
         .offset = offsetof(object, member.prefix),                                                                                                            \
         .fallback = "",                                                                                                                                       \
         .doc = "put before the names of the columns that are added, where the file has such names"},                                                          \
        {.name = "threads",                                                                                                                                    \
         .type = WEIR_CONF_INT,                                                                                                                                \
         .offset = offsetof(object, member.threads),                                                                                                           \
         .min = 0,                                                                                                                                             \
         .max = WEIR_BATCH_THREADS_MAX,                                                                                                                        \
         .fallback = "0",                                                                                                                                      \
         .doc = "that score, and as many that read and write; 0: as many as there are processors"},                                                            \
        {.name = "max_memory_mib",                                                                                                                             \
         .type = WEIR_CONF_INT,                                                                                                                                \
         .offset = offsetof(object, member.max_memory_mib),                                                                                                    \
         .min = 64,                                                                                                                                            \
         .max = 1 << 24,                                                                                                                                       \
         .fallback = "1024",                                                                                                                                   \
         .unit = "MiB",                                                                                                                                        \
         .doc = "that reading and writing may hold before they use $TMPDIR"},                                                                                  \
    {                                                                                                                                                          \
        .name = "part_rows", .type = WEIR_CONF_INT, .offset = offsetof(object, member.part_rows), .min = 0, .max = 1 << 28, .fallback = "0",                   \
        .doc = "rows that are kept at a time: what is done again after a kill; 0: some hundred thousand, fewer where there are many columns"                   \
    }

typedef struct weir_batch_screen {
    weir_progress progress;
    _Atomic bool cancel; /* by SIGINT and SIGTERM */
    const char *names[1025];
} weir_batch_screen;

/** Fills the job by the flags, with progress on stderr and an end by a signal. screen outlives the job. WEIR_EINVAL: a flag that is needed is missing. */
weir_status weir_batch_screen_begin(weir_batch_screen *screen, const weir_batch_flags *flags, weir_batch_job *job, weir_err *err) WEIR_MUST_CHECK;
/** Ends the screen, says what was done: *ret_exit 1 when rows were rejected, or it was stopped. status is that of the job, whose error is returned. */
weir_status weir_batch_screen_end(weir_batch_screen *screen, const weir_batch_job *job, const weir_batch_result *result, weir_output output, int *ret_exit,
                                  weir_status status, weir_err *err) WEIR_MUST_CHECK;

#endif
