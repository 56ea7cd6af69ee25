/* One job: reads with a streaming query, scores, writes parts, puts them together. */
#include "models/batch_file.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/folder.h"
#include "features/operator.h"
#include "models/batch_parts.h"
#include "models/memory.h"

enum { PART_VALUES = 8 << 20, PART_ROWS_MIN = 4096, PART_ROWS_MAX = 1 << 18, SHOWN_MAX = 60, SAMPLE_BYTES = 1 << 18 };

typedef struct batch {
    const weir_batch_job *job;
    weir_data_file file;
    int *columns; /* [input_count] of the file, in the model's order */
    int input_count;
    int *kept; /* [kept_count] columns that are written */
    int kept_count;
    int bad_column; /* of the query: why a row cannot be scored; −1: every value converts */
    int outputs, number_count; /* numbers beside the kept columns: row, scores, the best class of several */
    weir_file_format out_format;
    weir_batch_parts parts;
    weir_duck_cursor *cursor;
    weir_duck_appender *appender; /* of the part at hand */
    double *numbers; /* [room_rows][number_count] */
    int64_t room_rows, part_rows;
    int64_t begun; /* rows of parts that were there */
    int64_t done, in_part, total;
    int threads;
} batch;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a batch");
}

static bool of_classes(const batch *b) {
    return weir_model_task(b->job->model) == WEIR_TASK_MULTICLASS;
}

/* ---- what the job reads ---- */

static const char *kind_of(weir_target target) {
    return target == WEIR_TARGET_BOOL ? "a boolean" : target == WEIR_TARGET_TIME ? "a time" : target == WEIR_TARGET_TEXT ? "a text" : "a number";
}

/* Whether values of a column can be what is wanted at all, and whether one of them may fail. */
static bool can_convert(weir_stored stored, weir_target target, bool *ret_may_fail) {
    bool number = stored == WEIR_STORED_WHOLE || stored == WEIR_STORED_REAL, text = stored == WEIR_STORED_TEXT;
    *ret_may_fail = false;
    if (target == WEIR_TARGET_TEXT) return stored != WEIR_STORED_OTHER && stored != WEIR_STORED_BYTES;
    if (target == WEIR_TARGET_NUMBER && (number || stored == WEIR_STORED_BOOL)) return true;
    *ret_may_fail = true;
    if (target == WEIR_TARGET_TIME) return number || text || stored == WEIR_STORED_TIME || stored == WEIR_STORED_DATE;
    return number || text || stored == WEIR_STORED_BOOL;
}

static weir_status find_inputs(batch *b, weir_err *err) {
    const weir_batch_job *job = b->job;
    b->input_count = weir_model_column_count(job->model);
    if (!(b->columns = weir_models_calloc((size_t)b->input_count, sizeof *b->columns))) return no_memory(err);
    for (int i = 0; i < b->input_count; i++) {
        bool may_fail;
        weir_status status = weir_data_file_need(&b->file, "the model takes", job->inputs[i].name, &b->columns[i], err);
        if (status) return status == WEIR_EINVAL ? (err->code = WEIR_EDATA) : status;
        const weir_data_column *c = &b->file.columns[b->columns[i]];
        if (!can_convert(c->stored, job->inputs[i].target, &may_fail))
            return WEIR_FAIL(err, WEIR_EDATA, "column '%s' holds %.60s, the model takes %s", c->name, c->type, kind_of(job->inputs[i].target));
        if (may_fail) b->bad_column = 0; /* there is one; its place is known when all are */
    }
    return WEIR_OK;
}

static weir_status find_kept(batch *b, weir_err *err) {
    const char *const *names = b->job->columns;
    int count = 0;
    while (names && names[count]) count++;
    b->kept_count = names ? count : b->file.column_count;
    if (!(b->kept = weir_models_calloc((size_t)b->kept_count, sizeof *b->kept))) return no_memory(err);
    for (int i = 0; i < b->kept_count; i++) {
        b->kept[i] = i;
        weir_status status = names ? weir_data_file_need(&b->file, "--columns", names[i], &b->kept[i], err) : WEIR_OK;
        if (status) return status;
        for (int k = 0; k < i; k++)
            if (b->kept[k] == b->kept[i]) return WEIR_FAIL(err, WEIR_EINVAL, "--columns: '%s' is there twice", names[i]);
    }
    return WEIR_OK;
}

static void add_value(const batch *b, int i, weir_sql *sql) {
    const weir_batch_input *input = &b->job->inputs[i];
    bool micros = input->target == WEIR_TARGET_TIME && input->as_micros;
    weir_sql_add(sql, micros ? "CAST(" : "");
    weir_data_file_value(&b->file, b->columns[i], input->target, input->as_micros, sql);
    weir_sql_add(sql, micros ? " AS DOUBLE)" : "");
}

/* CASE WHEN "a" IS NOT NULL AND value IS NULL THEN 'column ''a'': found ''…'', expected a number' … END: the first of a row's values that does not convert. */
static void add_bad(const batch *b, weir_sql *sql) {
    weir_sql_add(sql, ", CASE");
    for (int i = 0; i < b->input_count; i++) {
        const weir_data_column *c = &b->file.columns[b->columns[i]];
        char text[WEIR_BATCH_REASON_MAX];
        bool may_fail;
        (void)can_convert(c->stored, b->job->inputs[i].target, &may_fail);
        if (!may_fail) continue;
        weir_sql_add(sql, " WHEN ");
        weir_sql_name(sql, c->name);
        weir_sql_add(sql, " IS NOT NULL AND ");
        add_value(b, i, sql);
        int len = snprintf(text, sizeof text, "column '%.80s': found '", c->name);
        weir_sql_add(sql, " IS NULL THEN ");
        weir_sql_literal(sql, text, (size_t)len);
        weir_sql_add(sql, " || left(CAST(");
        weir_sql_name(sql, c->name);
        weir_sql_add(sql, " AS VARCHAR), %d) || ''', expected %s'", SHOWN_MAX, kind_of(b->job->inputs[i].target));
    }
    weir_sql_add(sql, " END");
}

static weir_status open_cursor(batch *b, weir_err *err) {
    weir_sql sql = {0};
    weir_sql_add(&sql, "SELECT ");
    for (int i = 0; i < b->kept_count; i++) {
        weir_sql_name(&sql, b->file.columns[b->kept[i]].name);
        weir_sql_add(&sql, ", ");
    }
    for (int i = 0; i < b->input_count; i++) {
        weir_sql_add(&sql, i ? ", " : "");
        add_value(b, i, &sql);
    }
    if (b->bad_column >= 0) {
        b->bad_column = b->kept_count + b->input_count;
        add_bad(b, &sql);
    }
    weir_sql_add(&sql, " FROM %s", b->file.from.text.data);
    if (b->begun) weir_sql_add(&sql, " OFFSET %lld", (long long)b->begun);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(b->file.duck, sql.text.data, &b->cursor, err);
    weir_sql_done(&sql);
    return status;
}

/* Lines of the first bytes tell how many there are; of packed text nothing is known. */
static int64_t guess_rows(const weir_data_file *file) {
    char *start = file->row_count < 0 ? weir_models_calloc(SAMPLE_BYTES, 1) : NULL;
    FILE *in = start ? fopen(file->first_path, "rb") : NULL;
    size_t len = in ? fread(start, 1, SAMPLE_BYTES, in) : 0, lines = 0, end = 0;
    bool packed = len > 1 && start[0] == 0x1f && (unsigned char)start[1] == 0x8b;
    for (size_t i = 0; i < len; i++)
        if (start[i] == '\n') lines++, end = i + 1;
    if (in) fclose(in);
    weir_models_free(start);
    if (file->row_count >= 0) return file->row_count;
    return packed || lines < 2 ? -1 : (int64_t)((double)file->byte_count * (double)lines / (double)end);
}

/* ---- blocks ---- */

static weir_status next_block(void *context, void **ret_block, int64_t *ret_row_count, weir_err *err) {
    batch *b = context;
    weir_duck_chunk *chunk = NULL;
    weir_status status = weir_duck_take_chunk(b->cursor, &chunk, err);
    *ret_block = chunk;
    *ret_row_count = chunk ? weir_duck_chunk_rows(chunk) : 0;
    return status;
}

static void fill_column(const weir_duck_chunk *chunk, int column, bool text, double *out, int step) {
    const uint64_t *valid;
    const void *values = weir_duck_chunk_values(chunk, column, &valid);
    for (int64_t r = 0, rows = weir_duck_chunk_rows(chunk); r < rows; r++) {
        if (!weir_duck_bit(valid, r)) {
            out[r * step] = NAN;
        } else if (text) {
            weir_duck_text t = weir_duck_text_at(values, r);
            out[r * step] = weir_text_number(t.p, t.len);
        } else {
            out[r * step] = ((const double *)values)[r];
        }
    }
}

static weir_status fill_block(void *context, void *block, double *rows, char **reasons, weir_err *err) {
    const batch *b = context;
    const uint64_t *valid;
    for (int i = 0; i < b->input_count; i++) fill_column(block, b->kept_count + i, b->job->inputs[i].target == WEIR_TARGET_TEXT, rows + i, b->input_count);
    if (b->bad_column < 0) return WEIR_OK;
    const void *bad = weir_duck_chunk_values(block, b->bad_column, &valid);
    for (int64_t r = 0, count = weir_duck_chunk_rows(block); r < count; r++) {
        if (!weir_duck_bit(valid, r)) continue;
        weir_duck_text why = weir_duck_text_at(bad, r);
        if (!weir_batch_reject(reasons, r, "%.*s", (int)why.len, why.p)) return no_memory(err);
    }
    return WEIR_OK;
}

static void drop_block(void *context, void *block) {
    (void)context;
    weir_duck_chunk_free(block);
}

static weir_status make_numbers(batch *b, const weir_batch_scores *scores, weir_err *err) {
    if (scores->row_count > b->room_rows) {
        weir_models_free(b->numbers);
        b->numbers = weir_models_calloc((size_t)scores->row_count * (size_t)b->number_count, sizeof *b->numbers);
        b->room_rows = b->numbers ? scores->row_count : 0;
        if (!b->numbers) return no_memory(err);
    }
    for (int64_t r = 0; r < scores->row_count; r++) {
        const double *score = scores->scores + r * b->outputs;
        double *out = b->numbers + r * b->number_count;
        out[0] = (double)(b->done + r + 1);
        memcpy(out + 1, score, (size_t)b->outputs * sizeof *score);
        if (!of_classes(b)) continue;
        int best = 0;
        for (int k = 1; k < b->outputs; k++) best = score[k] > score[best] ? k : best;
        out[1 + b->outputs] = scores->reasons[r] ? NAN : best;
    }
    return WEIR_OK;
}

static weir_status end_part(batch *b, weir_err *err) {
    weir_status status = b->appender ? weir_duck_append_end(b->appender, err) : WEIR_OK;
    b->appender = NULL;
    if (!status) status = weir_batch_parts_add(&b->parts, b->file.duck, "part", err);
    b->in_part = 0;
    return status;
}

static weir_status begin_part(batch *b, weir_err *err) {
    weir_status status = weir_duck_exec(b->file.duck, "CREATE OR REPLACE TABLE part AS FROM shape", err);
    return status ? status : weir_duck_append_to(b->file.duck, "part", &b->appender, err);
}

static weir_status check_strict(const batch *b, const weir_batch_scores *scores, weir_err *err) {
    for (int64_t r = 0; b->job->strict && scores->rejected && r < scores->row_count; r++)
        if (scores->reasons[r]) return WEIR_FAIL(err, WEIR_EDATA, "row %lld: %s", (long long)(b->done + r + 1), scores->reasons[r]);
    return WEIR_OK;
}

static weir_status take_block(void *context, void *block, const weir_batch_scores *scores, weir_err *err) {
    batch *b = context;
    weir_status status = check_strict(b, scores, err);
    if (!status) status = make_numbers(b, scores, err);
    if (!status && !b->appender) status = begin_part(b, err);
    if (!status) status = weir_duck_append_chunk(b->appender, block, b->kept_count, b->numbers, b->number_count, scores->reasons, err);
    if (status) return status;
    b->done += scores->row_count;
    b->in_part += scores->row_count;
    if (b->job->progress) b->job->progress(b->job->context, b->done, b->total < b->done ? -1 : b->total);
    return b->in_part >= b->part_rows ? end_part(b, err) : WEIR_OK;
}

static const weir_batch_ops ops = {.next = next_block, .fill = fill_block, .take = take_block, .drop = drop_block};

/* ---- parts ---- */

/* A table of no rows whose columns have the types of a part's. */
static weir_status make_shape(const batch *b, weir_err *err) {
    weir_sql sql = {0};
    weir_sql_add(&sql, "CREATE TABLE shape AS SELECT ");
    for (int i = 0; i < b->kept_count; i++) {
        weir_sql_name(&sql, b->file.columns[b->kept[i]].name);
        weir_sql_add(&sql, " AS c%d, ", i);
    }
    for (int i = 0; i < b->number_count; i++) weir_sql_add(&sql, "CAST(NULL AS DOUBLE) AS n%d, ", i);
    weir_sql_add(&sql, "CAST(NULL AS VARCHAR) AS e FROM %s LIMIT 0", b->file.from.text.data);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_exec(b->file.duck, sql.text.data, err);
    weir_sql_done(&sql);
    return status;
}

/* What a part depends on beside the input and the model; how the parts are put together may change. */
static weir_status open_parts(batch *b, weir_err *err) {
    const weir_batch_job *job = b->job;
    weir_buf options = {0};
    bool ok = weir_buf_printf(&options, "1 %s %lld %d", job->format ? job->format : "auto", (long long)b->part_rows, job->infinite_is_missing);
    for (int i = 0; ok && i < b->input_count; i++) ok = weir_buf_printf(&options, " %d%d", job->inputs[i].target, job->inputs[i].as_micros);
    for (int i = 0; ok && i < b->kept_count; i++) ok = weir_buf_printf(&options, " %s %s", b->file.columns[b->kept[i]].name, b->file.columns[b->kept[i]].type);
    const weir_batch_identity identity = {b->file.fingerprint, weir_model_digest(job->model), options.data};
    weir_status status = ok ? weir_batch_parts_open(&b->parts, job->out, &identity, b->file.duck, err) : no_memory(err);
    weir_buf_done(&options);
    if (status) return status;
    char text[200];
    b->begun = b->done = b->parts.rows;
    if (b->parts.changed)
        snprintf(text, sizeof text, "begins anew: %s since the job that was not finished", b->parts.changed);
    else
        snprintf(text, sizeof text, "goes on behind row %lld, where it was ended before", (long long)b->begun);
    if (job->note && (b->parts.changed || b->begun)) job->note(job->context, text);
    return WEIR_OK;
}

static weir_status score_rows(batch *b, weir_err *err) {
    const weir_batch_how how = {.threads = b->threads, .infinite_is_missing = b->job->infinite_is_missing, .cancel = b->job->cancel};
    weir_status status = open_cursor(b, err);
    if (!status) status = weir_batch_score(b->job->model, &ops, b, &how, err);
    weir_duck_cursor_free(b->cursor);
    b->cursor = NULL;
    if (!status && !b->appender && !b->parts.count) status = begin_part(b, err); /* a file without rows has columns, too */
    if (!status && b->appender) status = end_part(b, err);
    if (b->appender) {
        weir_err ignored;
        if (weir_duck_append_end(b->appender, &ignored)) b->appender = NULL;
        b->appender = NULL;
    }
    return status;
}

/* ---- putting together ---- */

/* The name of what is written beside the file's columns, which has none of that name. */
static weir_status add_name(const batch *b, weir_sql *sql, const char *name, const char *of, weir_err *err) {
    char full[400];
    snprintf(full, sizeof full, "%s%s%s", b->job->prefix ? b->job->prefix : "", name, of);
    for (int i = 0; i < b->kept_count; i++)
        if (!strcasecmp(b->file.columns[b->kept[i]].name, full))
            return WEIR_FAIL(err, WEIR_EDATA, "the file has a column '%s' already, as one would be named that is written; leave it out, or give a prefix",
                             full);
    weir_sql_add(sql, " AS ");
    weir_sql_name(sql, full);
    return WEIR_OK;
}

static const char *class_name(const batch *b, int k, char text[16]) {
    const char *const *names = b->job->class_names ? b->job->class_names : weir_model_class_names(b->job->model);
    snprintf(text, 16, "%d", k);
    return names ? names[k] : text;
}

static void add_class_of(const batch *b, const char *number, int count, weir_sql *sql) {
    char text[16];
    weir_sql_add(sql, ", [");
    for (int k = 0; k < count; k++) {
        const char *name = class_name(b, k, text);
        weir_sql_add(sql, k ? ", " : "");
        weir_sql_literal(sql, name, strlen(name));
    }
    weir_sql_add(sql, "][CAST(%s AS INTEGER) + 1]", number);
}

static weir_status add_scores(const batch *b, const char *one, weir_sql *sql, weir_err *err) {
    const char *const *targets = b->job->target_names ? b->job->target_names : weir_model_target_names(b->job->model);
    char text[16], several[32];
    weir_status status = WEIR_OK;
    snprintf(several, sizeof several, "%s_", one);
    for (int k = 0; !status && k < b->outputs; k++) {
        const char *of = of_classes(b) ? class_name(b, k, text) : targets ? targets[k] : "";
        bool single = b->outputs == 1;
        weir_sql_add(sql, ", n%d", 1 + k);
        status = add_name(b, sql, single ? one : several, single ? "" : of, err);
    }
    return status;
}

static weir_status add_predictions(const batch *b, weir_sql *sql, weir_err *err) {
    if (weir_model_task(b->job->model) == WEIR_TASK_REGRESSION) return add_scores(b, "prediction", sql, err);
    char best[32];
    snprintf(best, sizeof best, of_classes(b) ? "n%d" : "(n1 >= 0.5)", 1 + b->outputs);
    add_class_of(b, best, of_classes(b) ? b->outputs : 2, sql);
    weir_status status = add_name(b, sql, "prediction", "", err);
    weir_sql_add(sql, of_classes(b) ? ", greatest(" : ", (");
    for (int k = 0; k < b->outputs; k++) weir_sql_add(sql, k ? ", n%d" : "n%d", 1 + k);
    weir_sql_add(sql, ")");
    return status ? status : add_name(b, sql, "probability", "", err);
}

static weir_status add_scored(const batch *b, weir_sql *sql, weir_err *err) {
    const weir_batch_job *job = b->job;
    weir_status status = add_scores(b, "score", sql, err);
    if (!status && of_classes(b)) {
        char best[16];
        snprintf(best, sizeof best, "n%d", 1 + b->outputs);
        add_class_of(b, best, b->outputs, sql);
        status = add_name(b, sql, "prediction", "", err);
    }
    if (!status && weir_model_task(job->model) == WEIR_TASK_BINARY && !isnan(job->threshold)) {
        weir_sql_add(sql, ", n1 >= CAST(%.17g AS DOUBLE)", job->threshold);
        status = add_name(b, sql, "decision", "", err);
    }
    if (status) return status;
    weir_sql_add(sql, ", CAST(");
    weir_sql_literal(sql, job->model_name ? job->model_name : "", job->model_name ? strlen(job->model_name) : 0);
    weir_sql_add(sql, " AS VARCHAR)");
    if ((status = add_name(b, sql, "model", "", err))) return status;
    weir_sql_add(sql, ", CAST(nullif(%d, 0) AS INTEGER)", job->version);
    return add_name(b, sql, "version", "", err);
}

/* A text of CSV in Parquet or JSON: as its type. */
static void add_kept(const batch *b, char *const *types, weir_sql *sql) {
    for (int i = 0; i < b->kept_count; i++) {
        weir_sql_add(sql, i ? ", " : "");
        weir_sql_add(sql, types[i] ? "CAST(c%d AS %s) AS " : "c%d AS ", i, types[i]);
        weir_sql_name(sql, b->file.columns[b->kept[i]].name);
    }
}

static weir_status make_select(const batch *b, char *const *types, bool rejected, weir_sql *sql, weir_err *err) {
    weir_status status = WEIR_OK;
    weir_sql_add(sql, "SELECT ");
    add_kept(b, types, sql);
    if (rejected) {
        weir_sql_add(sql, ", CAST(n0 AS BIGINT)");
        status = add_name(b, sql, "row", "", err);
    } else {
        status = b->job->form == WEIR_BATCH_PREDICTIONS ? add_predictions(b, sql, err) : add_scored(b, sql, err);
    }
    if (!status && (rejected || (!b->job->errors && !b->job->strict))) {
        weir_sql_add(sql, ", e");
        status = add_name(b, sql, "error", "", err);
    }
    weir_sql_add(sql, " FROM %s", b->parts.from.text.data);
    if (b->job->errors) weir_sql_add(sql, rejected ? " WHERE e IS NOT NULL" : " WHERE e IS NULL");
    return status;
}

static weir_status write_file(const batch *b, char *const *types, bool rejected, const char *path, weir_file_format format, weir_err *err) {
    weir_sql sql = {0};
    weir_buf aside = {0};
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    weir_status status = weir_buf_printf(&aside, "%.*s.%s.part", (int)(base - path), path, base) ? WEIR_OK : no_memory(err);
    weir_sql_add(&sql, "COPY (");
    if (!status) status = make_select(b, types, rejected, &sql, err);
    weir_sql_add(&sql, ") TO ");
    if (!status) weir_sql_literal(&sql, aside.data, aside.len);
    weir_sql_add(&sql, " (");
    weir_sql_copy_options_as(&sql, format, path);
    weir_sql_add(&sql, ")");
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_exec(b->file.duck, sql.text.data, err);
    if (!status) status = weir_file_publish(aside.data, path, err);
    if (status && aside.data) remove(aside.data);
    weir_sql_done(&sql);
    weir_buf_done(&aside);
    return status;
}

static bool is_type(const char *type, const char *name) {
    return type && !strcmp(type, name);
}

/* Whether a text is not what its type writes, so that the cast would lose it. Leading zeros are of a name, not of a number. */
static void add_misfit(weir_sql *sql, int column, const char *type) {
    if (is_type(type, "BIGINT") || is_type(type, "INTEGER"))
        weir_sql_add(sql, "NOT (regexp_full_match(c%d, '-?(0|[1-9][0-9]*)') AND TRY_CAST(c%d AS BIGINT) IS NOT NULL)", column, column);
    else if (is_type(type, "DOUBLE"))
        weir_sql_add(sql, "(regexp_matches(c%d, '^ *[+-]?0[0-9]') OR TRY_CAST(c%d AS DOUBLE) IS NULL)", column, column);
    else
        weir_sql_add(sql, "TRY_CAST(c%d AS %s) IS NULL", column, type);
}

/* types [kept_count]: what every text of a column of CSV can be; NULL: a text, or what it is anyway. */
static weir_status choose_types(const batch *b, char **types, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    int asked = 0;
    bool more = false;
    if (b->file.format != WEIR_FILE_CSV || b->out_format == WEIR_FILE_CSV) return WEIR_OK;
    for (int i = 0; i < b->kept_count; i++) {
        char *likely = b->file.columns[b->kept[i]].likely;
        if (!likely || !strcmp(likely, "VARCHAR")) continue;
        types[i] = likely;
        weir_sql_add(&sql, asked++ ? ", count(*) FILTER (" : "SELECT count(*) FILTER (");
        add_misfit(&sql, i, likely);
        weir_sql_add(&sql, "), count(*) FILTER (");
        add_misfit(&sql, i, "DOUBLE");
        weir_sql_add(&sql, " AND c%d IS NOT NULL)", i);
    }
    weir_sql_add(&sql, " FROM %s", b->parts.from.text.data);
    weir_status status = weir_sql_end(&sql, err);
    if (!status && asked) status = weir_duck_query(b->file.duck, sql.text.data, &cursor, err);
    if (!status && asked) status = weir_duck_next(cursor, &more, err);
    for (int i = 0, at = 0; !status && asked && i < b->kept_count; i++) {
        static char real[] = "DOUBLE";
        if (!types[i]) continue;
        bool number = is_type(types[i], "BIGINT") || is_type(types[i], "DOUBLE");
        if (weir_duck_get(cursor, at).i) types[i] = number && !weir_duck_get(cursor, at + 1).i ? real : NULL;
        at += 2;
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

static weir_status count_rows(const batch *b, weir_batch_result *result, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    weir_sql_add(&sql, "SELECT CAST(n0 AS BIGINT), e, count(*) OVER () FROM %s WHERE e IS NOT NULL ORDER BY n0 LIMIT %d", b->parts.from.text.data,
                 WEIR_BATCH_REASONS_SHOWN);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(b->file.duck, sql.text.data, &cursor, err);
    while (!status && !(status = weir_duck_next(cursor, &more, err)) && more) {
        weir_datum why = weir_duck_get(cursor, 1);
        snprintf(result->reasons[result->reason_count++], sizeof *result->reasons, "row %lld: %.*s", (long long)weir_duck_get(cursor, 0).i, (int)why.len,
                 (const char *)why.p);
        result->rejected = weir_duck_get(cursor, 2).i;
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    result->rows = b->done;
    result->resumed = b->begun;
    return status;
}

static weir_status put_together(batch *b, weir_batch_result *result, weir_err *err) {
    const weir_batch_job *job = b->job;
    char **types = weir_models_calloc((size_t)b->kept_count, sizeof *types);
    if (!types) return no_memory(err);
    if (job->progress) job->progress(job->context, -1, b->done);
    weir_status status = weir_batch_parts_from(&b->parts, err);
    if (!status) status = count_rows(b, result, err);
    if (!status) status = choose_types(b, types, err);
    if (!status && job->errors) status = write_file(b, types, true, job->errors, weir_file_format_of(job->errors), err);
    if (!status) status = write_file(b, types, false, job->out, b->out_format, err);
    weir_models_free(types);
    return status;
}

/* ---- the job ---- */

static weir_status check_names(batch *b, weir_err *err) {
    static const char *const formats[] = {[WEIR_FILE_UNKNOWN] = "", [WEIR_FILE_PARQUET] = "parquet", [WEIR_FILE_CSV] = "csv", [WEIR_FILE_JSON] = "json", NULL};
    const weir_batch_job *job = b->job;
    struct stat in, out;
    b->out_format = weir_file_format_of(job->out);
    for (int i = 1; job->out_format && formats[i]; i++)
        if (!strcmp(job->out_format, formats[i])) b->out_format = (weir_file_format)i;
    if (b->out_format == WEIR_FILE_UNKNOWN) return WEIR_FAIL(err, WEIR_EINVAL, "%s: expected a file named " WEIR_FILE_FORMATS, job->out);
    if (job->errors && weir_file_format_of(job->errors) == WEIR_FILE_UNKNOWN)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: expected a file named " WEIR_FILE_FORMATS, job->errors);
    if (job->errors && !strcmp(job->errors, job->out)) return WEIR_FAIL(err, WEIR_EINVAL, "%s is named for the scores and for what has none", job->out);
    if (!stat(job->out, &out) && S_ISDIR(out.st_mode)) return WEIR_FAIL(err, WEIR_EINVAL, "%s is a folder, expected the name of a file", job->out);
    bool same = !stat(job->path, &in) && !stat(job->out, &out) && in.st_dev == out.st_dev && in.st_ino == out.st_ino;
    return same ? WEIR_FAIL(err, WEIR_EINVAL, "%s is read, and cannot be written at the same time", job->out) : WEIR_OK;
}

static weir_status prepare(batch *b, weir_err *err) {
    const weir_batch_job *job = b->job;
    weir_sql names = {0};
    weir_status status = weir_data_file_stream(job->path, job->format, &b->file, err);
    if (status) return status;
    weir_duck_set_cancel(b->file.duck, job->cancel);
    if (job->memory_bytes) status = weir_duck_set_memory(b->file.duck, job->memory_bytes, err);
    if (!status) status = weir_duck_set_threads(b->file.duck, b->threads, err);
    if (!status) status = find_inputs(b, err);
    if (!status) status = find_kept(b, err);
    b->outputs = weir_model_output_count(job->model);
    b->number_count = 1 + b->outputs + of_classes(b);
    int64_t rows = PART_VALUES / (b->kept_count + b->number_count);
    b->part_rows = job->part_rows ? job->part_rows : rows < PART_ROWS_MIN ? PART_ROWS_MIN : rows > PART_ROWS_MAX ? PART_ROWS_MAX : rows;
    b->total = guess_rows(&b->file);
    /* Names that clash are found before the work, not after it. */
    if (!status) status = weir_sql_end(&names, err);
    if (!status) status = job->form == WEIR_BATCH_PREDICTIONS ? add_predictions(b, &names, err) : add_scored(b, &names, err);
    if (!status && !job->strict) status = add_name(b, &names, "error", "", err);
    if (!status && job->errors) status = add_name(b, &names, "row", "", err);
    weir_sql_done(&names);
    return status ? status : make_shape(b, err);
}

static weir_status run(batch *b, weir_batch_result *result, weir_err *err) {
    weir_status status = prepare(b, err);
    if (status) return status == WEIR_ENOMEM || status == WEIR_EINVAL ? status : weir_err_prefix(err, "%s", b->job->path);
    if ((status = open_parts(b, err))) return status;
    if ((status = score_rows(b, err))) return status == WEIR_EDATA ? weir_err_prefix(err, "%s", b->job->path) : status;
    return put_together(b, result, err);
}

static int thread_count(const weir_batch_job *job) {
    long count = job->threads ? job->threads : sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > WEIR_BATCH_THREADS_MAX ? WEIR_BATCH_THREADS_MAX : (int)count;
}

weir_status weir_batch_file(const weir_batch_job *job, weir_batch_result *ret_result, weir_err *err) {
    batch b = {.job = job, .bad_column = -1, .threads = thread_count(job)};
    weir_batch_result result = {0};
    weir_status status = check_names(&b, err);
    if (!status) status = run(&b, &result, err);
    /* What went wrong with the data goes wrong again; what else did may pass, and the work is kept for then. */
    weir_batch_parts_close(&b.parts, !status || status == WEIR_EDATA);
    weir_models_free(b.columns);
    weir_models_free(b.kept);
    weir_models_free(b.numbers);
    weir_data_file_done(&b.file);
    if (!status) *ret_result = result;
    return status;
}
