/* Files of rows scored by a model into other files, larger than memory and resumable.
 *
 *     F ──DuckDB, its threads──> chunks ──models/batch_scorer.h──> .G.parts/part-000001.parquet … ──DuckDB──> .G.part ──rename──> G
 *
 * A part is some hundred thousand rows with their scores. It appears whole, so that a job which was killed goes on behind the last one; `.G.parts/job.json` says of
 * which job the parts are. A part has the columns c0, c1, … (of the file), n0, n1, … (the row's number, scores, and of classes the best one) and e (why not). */
#ifndef WEIR_MODELS_BATCH_FILE_H
#define WEIR_MODELS_BATCH_FILE_H

#include "models/batch_scorer.h"
#include "models/data_file.h"

enum { WEIR_BATCH_REASONS_SHOWN = 3 };

typedef struct weir_batch_input {
    const char *name;
    weir_target target; /* NUMBER, BOOL (0 or 1), TEXT (weir_text_number), TIME */
    bool as_micros; /* times: µs since 1970, else seconds */
} weir_batch_input;

/* What is written beside the columns of the file. */
typedef enum weir_batch_form {
    WEIR_BATCH_SCORES, /* score, or score_<class>, score_<target>; prediction (of several classes), decision (with a threshold), model, version */
    WEIR_BATCH_PREDICTIONS, /* prediction, or prediction_<target>; of classes the name, and probability: of the positive class, or with more than two of the one that is predicted */
} weir_batch_form;

/* Members that are not named are zero, which means what is said in brackets. Borrowed. */
typedef struct weir_batch_job {
    weir_model *model;
    const weir_batch_input *inputs; /* one for each column of the model, in its order */
    const char *path, *format; /* as weir_data_file_stream takes them */
    const char *out; /* file that is written */
    const char *out_format; /* "parquet", "csv", "json" [by the name of out] */
    const char *
        errors; /* file for the rows that cannot be scored, with their number and the reason [they stay in their place, with null for a score and the reason in column error] */
    bool strict; /* the first such row ends the job */
    const char *const *columns; /* of the file, that are written too; NULL-terminated [all] */
    const char *prefix; /* before the names of what is written beside them [nothing] */
    weir_batch_form form;
    const char *const *class_names; /* [the model's, or numbers] */
    const char *const *target_names; /* [the model's] */
    const char *model_name; /* [null] */
    int version; /* [null] */
    double threshold; /* of a binary model; NaN: no decision */
    int threads; /* [as many as there are processors] */
    int64_t memory_bytes; /* that reading and writing may hold before they spill [1 GiB] */
    int64_t part_rows; /* [some hundred thousand, fewer of many columns] */
    bool infinite_is_missing;
    const _Atomic bool *cancel;
    /** done of total rows are scored (total −1: not known); done < 0: all are, and are put together. May be NULL. */
    void (*progress)(void *context, int64_t done, int64_t total);
    /** A sentence about what is done with an earlier job's parts. May be NULL. */
    void (*note)(void *context, const char *sentence);
    void *context;
} weir_batch_job;

typedef struct weir_batch_result {
    int64_t rows, rejected; /* of the whole file */
    int64_t resumed; /* rows of these that an earlier job had scored */
    int reason_count;
    char reasons[WEIR_BATCH_REASONS_SHOWN][WEIR_BATCH_REASON_MAX + 40]; /* "row 3: column 'amount': …" */
} weir_batch_result;

/** Runs the job. G holds the rows of F in their order and appears when it is whole; the same job again after an end in between (a kill, WEIR_ETIMEOUT when cancelled, a full disk) goes on
 *  where it stopped; a job with another input, model or other options begins anew. Of CSV the columns are written to Parquet and JSON with a type that holds each of their values.
 *  Errors: WEIR_EINVAL for names and formats that are none; WEIR_ENOTFOUND, WEIR_EIO for files; WEIR_EDATA for a column that is missing, that cannot be what the model takes, or that is named as
 *  what would be written, and for broken files; WEIR_ECONFLICT while another process writes G. */
weir_status weir_batch_file(const weir_batch_job *job, weir_batch_result *ret_result, weir_err *err) WEIR_MUST_CHECK;

#endif
