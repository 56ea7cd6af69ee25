/* Reads files as a schema says, and writes predictions beside their rows. */
#include "models/trainset_schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "features/operator.h"
#include "models/memory.h"
#include "models/trainset_file.h"

static const struct {
    const char *name;
    weir_target target;
} types[] = {{"number", WEIR_TARGET_NUMBER}, {"boolean", WEIR_TARGET_BOOL}, {"time", WEIR_TARGET_TIME}, {"category", WEIR_TARGET_TEXT}};
enum { TYPE_COUNT = sizeof types / sizeof *types };

const char *weir_schema_type_name(weir_target target) {
    int i = 0;
    while (i < TYPE_COUNT - 1 && types[i].target != target) i++;
    return types[i].name;
}

int64_t weir_schema_take_numbers(weir_duck_cursor *cursor, int column, int64_t rows, double *out) {
    const uint64_t *valid;
    const double *values = weir_duck_values(cursor, column, &valid);
    int64_t infinite = 0;
    for (int64_t i = 0; i < rows; i++) {
        double v = weir_duck_bit(valid, i) ? values[i] : NAN;
        infinite += isinf(v) != 0;
        out[i] = isfinite(v) ? v : NAN;
    }
    return infinite;
}

void weir_schema_take_texts(weir_duck_cursor *cursor, int column, int64_t rows, double *out) {
    for (int64_t i = 0; i < rows; i++) {
        weir_duck_seek(cursor, i);
        weir_datum text = weir_duck_get(cursor, column);
        out[i] = text.type == WEIR_T_NULL ? NAN : weir_text_number(text.p, text.len);
    }
}

/* ---- reading by a schema ---- */

typedef struct plan {
    int *columns; /* [count] of the file */
    weir_target *targets; /* [count] */
    int count;
} plan;

static void plan_done(plan *p) {
    weir_models_free(p->columns);
    weir_models_free(p->targets);
}

static weir_status find_input(const cJSON *input, const weir_data_file *file, plan *p, weir_err *err) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(input, "name")),
               *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(input, "type"));
    int t = 0;
    while (type && t < TYPE_COUNT && strcmp(types[t].name, type) != 0) t++;
    if (!name || !type || t == TYPE_COUNT) return WEIR_FAIL(err, WEIR_EDATA, "input %d of the schema has no name or no known type", p->count + 1);
    int column = weir_data_file_find(file, name);
    if (column < 0) return WEIR_FAIL(err, WEIR_EDATA, "column '%s' is missing, which the model was trained with", name);
    p->columns[p->count] = column;
    p->targets[p->count++] = types[t].target;
    return WEIR_OK;
}

static weir_status plan_make(const cJSON *schema, const weir_data_file *file, plan *ret_plan, weir_err *err) {
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(schema, "inputs"), *input;
    int count = cJSON_GetArraySize(inputs);
    plan p = {0};
    if (!cJSON_IsArray(inputs) || !count) return WEIR_FAIL(err, WEIR_EDATA, "the schema has no inputs");
    p.columns = weir_models_calloc((size_t)count, sizeof *p.columns);
    p.targets = weir_models_calloc((size_t)count, sizeof *p.targets);
    weir_status status = p.columns && p.targets ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", count);
    cJSON_ArrayForEach(input, inputs) {
        if (!status) status = find_input(input, file, &p, err);
    }
    if (status)
        plan_done(&p);
    else
        *ret_plan = p;
    return status;
}

/* A value that does not become what the model takes would count as missing without a word: there must be none. */
static weir_status check_convertible(const plan *p, const weir_data_file *file, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    weir_sql_add(&sql, "SELECT ");
    for (int i = 0; i < p->count; i++) {
        weir_sql_add(&sql, i ? ", count(*) FILTER (" : "count(*) FILTER (");
        weir_sql_name(&sql, file->columns[p->columns[i]].name);
        weir_sql_add(&sql, " IS NOT NULL AND (");
        weir_data_file_value(file, p->columns[i], p->targets[i], false, &sql);
        weir_sql_add(&sql, ") IS NULL)");
    }
    weir_sql_add(&sql, " FROM %s", file->from.text.data);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(file->duck, sql.text.data, &cursor, err);
    if (!status) status = weir_duck_next(cursor, &more, err);
    for (int i = 0; !status && i < p->count; i++) {
        int64_t broken = weir_duck_get(cursor, i).i;
        const weir_data_column *column = &file->columns[p->columns[i]];
        if (broken)
            status = WEIR_FAIL(err, WEIR_EDATA, "column '%s' (%s): %lld values are no %s, which the model was trained with", column->name, column->type,
                               (long long)broken, weir_schema_type_name(p->targets[i]));
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

/* Rows of a chunk from its columns. column is scratch. */
static void take_rows(const plan *p, weir_duck_cursor *cursor, int64_t rows, double *column, double *out) {
    for (int c = 0; c < p->count; c++) {
        if (p->targets[c] == WEIR_TARGET_TEXT)
            weir_schema_take_texts(cursor, c, rows, column);
        else
            weir_schema_take_numbers(cursor, c, rows, column);
        for (int64_t i = 0; i < rows; i++) out[i * p->count + c] = column[i];
    }
}

static weir_status scan_rows(const plan *p, const weir_data_file *file, weir_schema_rows_fn on_rows, void *context, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    double *room = NULL;
    int64_t rows = 0, room_rows = 0;
    for (int i = 0; i < p->count; i++) {
        weir_sql_add(&sql, i ? ", " : "SELECT ");
        weir_data_file_value(file, p->columns[i], p->targets[i], false, &sql);
    }
    weir_sql_add(&sql, " FROM %s", file->from.text.data);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(file->duck, sql.text.data, &cursor, err);
    while (!status && !(status = weir_duck_next_chunk(cursor, &rows, err)) && rows) {
        if (rows > room_rows) {
            weir_models_free(room);
            room_rows = rows;
            if (!(room = weir_models_calloc((size_t)(rows * (p->count + 1)), sizeof *room))) {
                status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows", (long long)rows);
                break;
            }
        }
        take_rows(p, cursor, rows, room + rows * p->count, room);
        status = on_rows(context, room, rows, err);
    }
    weir_models_free(room);
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

weir_status weir_schema_scan(const cJSON *schema, const weir_data_file *file, weir_schema_rows_fn on_rows, void *context, weir_err *err) {
    plan p = {0};
    weir_status status = plan_make(schema, file, &p, err);
    if (!status) status = check_convertible(&p, file, err);
    if (!status) status = scan_rows(&p, file, on_rows, context, err);
    plan_done(&p);
    return status;
}

/* ---- predictions ---- */

typedef struct predicting {
    weir_model *model;
    const cJSON *classes; /* NULL: numbers, or no classes */
    weir_duck_appender *appender;
    double *scores;
    int64_t room_rows, row_count;
    int outputs;
    weir_task task;
} predicting;

static weir_status check_model(const cJSON *schema, const weir_model *model, weir_err *err) {
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(schema, "inputs"), *input;
    int at = 0, count = weir_model_column_count(model);
    if (!cJSON_IsArray(inputs)) return WEIR_FAIL(err, WEIR_EDATA, "the version has no schema of its inputs");
    if (cJSON_GetArraySize(inputs) != count) return WEIR_FAIL(err, WEIR_EDATA, "the schema has %d inputs, the model %d", cJSON_GetArraySize(inputs), count);
    cJSON_ArrayForEach(input, inputs) {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(input, "name"));
        if (!name || strcmp(name, weir_model_columns(model)[at]) != 0)
            return WEIR_FAIL(err, WEIR_EDATA, "input %d of the schema is '%s', of the model '%s'", at + 1, name ? name : "", weir_model_columns(model)[at]);
        at++;
    }
    return WEIR_OK;
}

static const char *class_name(const predicting *p, int k, char text[16]) {
    const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(p->classes, k));
    snprintf(text, 16, "%d", k);
    return name ? name : text;
}

static weir_status append_row(predicting *p, const double *score, weir_err *err) {
    char text[16];
    weir_datum row[WEIR_MODEL_CLASSES_MAX];
    if (p->task == WEIR_TASK_REGRESSION) {
        for (int k = 0; k < p->outputs; k++) row[k] = weir_f64(score[k]);
        return weir_duck_append(p->appender, row, p->outputs, err);
    }
    int best = p->outputs == 1 && score[0] >= 0.5;
    for (int k = 1; k < p->outputs; k++) best = score[k] > score[best] ? k : best;
    row[0] = weir_text(class_name(p, best, text));
    row[1] = weir_f64(p->outputs == 1 ? score[0] : score[best]);
    return weir_duck_append(p->appender, row, 2, err);
}

static weir_status predict_rows(void *context, const double *rows, int64_t row_count, weir_err *err) {
    predicting *p = context;
    if (row_count > p->room_rows) {
        weir_models_free(p->scores);
        p->room_rows = row_count;
        if (!(p->scores = weir_models_calloc((size_t)(row_count * p->outputs), sizeof *p->scores)))
            return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld predictions", (long long)row_count);
    }
    weir_status status = weir_model_predict(p->model, rows, row_count, p->scores, err);
    for (int64_t i = 0; !status && i < row_count; i++) status = append_row(p, p->scores + i * p->outputs, err);
    p->row_count += row_count;
    return status;
}

/* The columns of predictions; a file that has one of that name already would get two. */
static weir_status make_table(const predicting *p, const cJSON *schema, const weir_data_file *file, weir_err *err) {
    const cJSON *targets = cJSON_GetObjectItemCaseSensitive(schema, "targets");
    weir_sql sql = {0};
    char name[300];
    weir_status status = WEIR_OK;
    int columns = p->task == WEIR_TASK_REGRESSION ? p->outputs : 2;
    weir_sql_add(&sql, "CREATE TABLE predictions (");
    for (int k = 0; !status && k < columns; k++) {
        const char *target = cJSON_GetStringValue(cJSON_GetArrayItem(targets, k));
        bool text = p->task != WEIR_TASK_REGRESSION && !k;
        snprintf(name, sizeof name,
                 p->task != WEIR_TASK_REGRESSION && k                ? "probability"
                 : p->outputs > 1 && p->task == WEIR_TASK_REGRESSION ? "prediction_%s"
                                                                     : "prediction",
                 target ? target : "");
        if (weir_data_file_find(file, name) >= 0)
            status = WEIR_FAIL(err, WEIR_EDATA, "the file has a column '%s' already, which predictions would be named", name);
        weir_sql_add(&sql, k ? ", " : "");
        weir_sql_name(&sql, name);
        weir_sql_add(&sql, text ? " VARCHAR" : " DOUBLE");
    }
    weir_sql_add(&sql, ")");
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_exec(file->duck, sql.text.data, err);
    weir_sql_done(&sql);
    return status;
}

static weir_status write_out(const weir_data_file *file, const char *out_path, weir_err *err) {
    weir_sql sql = {0};
    weir_buf part = {0};
    weir_status status = weir_buf_printf(&part, "%s.part", out_path) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a path");
    weir_sql_add(&sql, "COPY (SELECT f.*, p.* FROM %s AS f POSITIONAL JOIN predictions AS p) TO ", file->from.text.data);
    if (!status) weir_sql_literal(&sql, part.data, part.len);
    weir_sql_add(&sql, " (");
    weir_sql_copy_options(&sql, out_path);
    weir_sql_add(&sql, ")");
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_exec(file->duck, sql.text.data, err);
    if (!status && rename(part.data, out_path) != 0) status = WEIR_FAIL(err, WEIR_EIO, "cannot write %s", out_path);
    if (status && part.data) remove(part.data);
    weir_sql_done(&sql);
    weir_buf_done(&part);
    return status;
}

weir_status weir_file_predict(const cJSON *schema, weir_model *model, const char *path, const char *format, const char *out_path, int64_t *ret_rows,
                              weir_err *err) {
    weir_data_file file = {0};
    predicting p = {.model = model,
                    .classes = cJSON_GetObjectItemCaseSensitive(schema, "classes"),
                    .outputs = weir_model_output_count(model),
                    .task = weir_model_task(model)};
    if (weir_file_format_of(out_path) == WEIR_FILE_UNKNOWN) return WEIR_FAIL(err, WEIR_EINVAL, "%s: expected a file named " WEIR_FILE_FORMATS, out_path);
    weir_status status = check_model(schema, model, err);
    if (!status) status = weir_data_file_open(path, format, &file, err);
    if (status) return status;
    status = make_table(&p, schema, &file, err);
    if (!status) status = weir_duck_append_to(file.duck, "predictions", &p.appender, err);
    if (!status) {
        weir_err end_err;
        status = weir_schema_scan(schema, &file, predict_rows, &p, err);
        weir_status end = weir_duck_append_end(p.appender, status ? &end_err : err);
        if (!status) status = end;
    }
    if (!status) status = write_out(&file, out_path, err);
    if (status && status != WEIR_ENOMEM && status != WEIR_EINVAL) (void)weir_err_prefix(err, "%s", path);
    weir_models_free(p.scores);
    weir_data_file_done(&file);
    if (!status) *ret_rows = p.row_count;
    return status;
}
