#include "models/lifecycle_frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "features/duck.h"
#include "models/memory.h"

/* ---- columns as values ---- */

static const char *const type_names[] = {
    [WEIR_COLUMN_NUMBER] = "double", [WEIR_COLUMN_BOOLEAN] = "boolean", [WEIR_COLUMN_TIME] = "time", [WEIR_COLUMN_TEXT] = "category"};

/* The column as a double, or as text. */
static void add_value(weir_sql *sql, const weir_table_column *column) {
    static const char *const before[] = {
        [WEIR_COLUMN_NUMBER] = "CAST(", [WEIR_COLUMN_BOOLEAN] = "CAST(CAST(", [WEIR_COLUMN_TIME] = "CAST(extract(epoch FROM ", [WEIR_COLUMN_TEXT] = "CAST("};
    static const char *const after[] = {[WEIR_COLUMN_NUMBER] = " AS float8)",
                                        [WEIR_COLUMN_BOOLEAN] = " AS integer) AS float8)",
                                        [WEIR_COLUMN_TIME] = ") AS float8)",
                                        [WEIR_COLUMN_TEXT] = " AS text)"};
    weir_sql_add(sql, "%s", before[column->kind]);
    weir_sql_name(sql, column->name);
    weir_sql_add(sql, "%s", after[column->kind]);
}

/* The target as text, so that numbers and texts are told apart in one way: 1, 1.0 and true are "1"; NaN is null. */
static void add_class(weir_sql *sql, const weir_table_column *column) {
    bool text = column->kind == WEIR_COLUMN_TEXT;
    weir_sql_add(sql, text ? "" : "CAST(nullif(");
    add_value(sql, column);
    weir_sql_add(sql, text ? "" : ", 'NaN') AS text)");
}

static void add_from(weir_sql *sql, const weir_table *table) {
    weir_sql_add(sql, " FROM ");
    weir_sql_name(sql, table->name.space);
    weir_sql_add(sql, ".");
    weir_sql_name(sql, table->relation);
    weir_sql_add(sql, " \"weir row\"");
}

/* A query whose rows are one text each, as a JSON array. */
static weir_status list_texts(weir_pg *pg, const weir_sql *sql, cJSON **ret_list, weir_err *err) {
    PGresult *rows = NULL;
    weir_status status = weir_sql_end(sql, err);
    if (!status) status = weir_pg_exec(pg, sql->text.data, 0, NULL, &rows, err);
    if (status) return status;
    int count = PQntuples(rows);
    cJSON *list = cJSON_CreateArray();
    for (int r = 0; r < count; r++) cJSON_AddItemToArray(list, cJSON_CreateString(PQgetvalue(rows, r, 0)));
    PQclear(rows);
    if (list && cJSON_GetArraySize(list) == count) {
        *ret_list = list;
        return WEIR_OK;
    }
    cJSON_Delete(list);
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the values of a column");
}

static weir_status read_categories(weir_pg *pg, const weir_table *table, const weir_table_column *column, cJSON **ret_list, weir_err *err) {
    weir_sql sql = {0};
    weir_sql_add(&sql, "SELECT DISTINCT ");
    add_value(&sql, column);
    weir_sql_add(&sql, " COLLATE \"C\" AS value");
    add_from(&sql, table);
    weir_sql_add(&sql, " WHERE ");
    weir_sql_name(&sql, column->name);
    weir_sql_add(&sql, " IS NOT NULL ORDER BY value LIMIT %d", WEIR_CATEGORIES_MAX + 1);
    weir_status status = list_texts(pg, &sql, ret_list, err);
    weir_sql_done(&sql);
    return status;
}

/* ---- signatures ---- */

static weir_status add_input(weir_pg *pg, const weir_table *table, const weir_table_column *column, cJSON *inputs, weir_err *err) {
    cJSON *categories = NULL;
    if (column->kind == WEIR_COLUMN_OTHER)
        return WEIR_FAIL(err, WEIR_EDATA, "column '%s' of %s is a %s, which no model takes: leave it out with --exclude-columns %s", column->name,
                         table->name.full, column->type, column->name);
    weir_status status = column->kind == WEIR_COLUMN_TEXT ? read_categories(pg, table, column, &categories, err) : WEIR_OK;
    if (status) return status;
    if (cJSON_GetArraySize(categories) > WEIR_CATEGORIES_MAX) {
        cJSON_Delete(categories);
        return WEIR_FAIL(err, WEIR_EDATA,
                         "column '%s' of %s is text with more than %d different values: leave it out with --exclude-columns %s, or make numbers of it",
                         column->name, table->name.full, WEIR_CATEGORIES_MAX, column->name);
    }
    cJSON *input = cJSON_CreateObject();
    cJSON_AddStringToObject(input, "name", column->name);
    cJSON_AddStringToObject(input, "type", type_names[column->kind]);
    if (categories) cJSON_AddItemToObject(input, "categories", categories);
    cJSON_AddItemToArray(inputs, input);
    return WEIR_OK;
}

/* How many classes a target may have. */
static weir_status judge_classes(const weir_table *table, const char *target, int count, weir_err *err) {
    if (count >= 2 && count <= WEIR_CLASSES_MAX) return WEIR_OK;
    if (count < 2) return WEIR_FAIL(err, WEIR_EDATA, "target '%s' of %s has %d classes; a model needs rows of two", target, table->name.full, count);
    return WEIR_FAIL(err, WEIR_EDATA, "target '%s' of %s has more than %d classes", target, table->name.full, WEIR_CLASSES_MAX);
}

static weir_status read_classes(weir_pg *pg, const weir_table *table, const weir_table_column *column, cJSON **ret_classes, weir_err *err) {
    weir_sql sql = {0};
    if (column->kind == WEIR_COLUMN_OTHER || column->kind == WEIR_COLUMN_TIME)
        return WEIR_FAIL(err, WEIR_EDATA, "target '%s' of %s is a %s; expected numbers, booleans or texts", column->name, table->name.full, column->type);
    weir_sql_add(&sql, "SELECT class FROM (SELECT DISTINCT ");
    add_class(&sql, column);
    weir_sql_add(&sql, " COLLATE \"C\" AS class");
    add_from(&sql, table);
    weir_sql_add(&sql, ") classes WHERE class IS NOT NULL ORDER BY %s LIMIT %d", column->kind == WEIR_COLUMN_TEXT ? "class" : "CAST(class AS float8)",
                 WEIR_CLASSES_MAX + 1);
    weir_status status = list_texts(pg, &sql, ret_classes, err);
    weir_sql_done(&sql);
    if (!status) status = judge_classes(table, column->name, cJSON_GetArraySize(*ret_classes), err);
    return status;
}

static bool is_among(const char *name, const char *const *names) {
    for (; names && *names; names++)
        if (!strcmp(*names, name)) return true;
    return false;
}

static weir_status add_target(weir_pg *pg, const weir_table *table, const char *name, cJSON *signature, weir_err *err) {
    const weir_table_column *column = NULL;
    cJSON *classes = NULL;
    weir_status status = weir_table_find(table, name, &column, err);
    if (!status) status = read_classes(pg, table, column, &classes, err);
    if (status) {
        cJSON_Delete(classes);
        return status;
    }
    cJSON *target = cJSON_AddObjectToObject(signature, "target"), *output = cJSON_AddObjectToObject(signature, "output");
    cJSON_AddStringToObject(target, "name", name);
    bool two = cJSON_GetArraySize(classes) == 2;
    cJSON_AddStringToObject(output, "name", two ? "probability" : "probabilities");
    cJSON_AddStringToObject(output, "type", "double");
    cJSON_AddItemToObject(output, "of", cJSON_Duplicate(two ? cJSON_GetArrayItem(classes, 1) : classes, true));
    cJSON_AddItemToObject(target, "classes", classes);
    return WEIR_OK;
}

weir_status weir_signature_make(weir_pg *pg, const weir_table *table, const char *target, const char *const *left_out, cJSON **ret_signature, weir_err *err) {
    const weir_table_column *column = NULL;
    weir_status status = WEIR_OK;
    cJSON *signature = cJSON_CreateObject(), *inputs = cJSON_AddArrayToObject(signature, "inputs");
    for (const char *const *name = left_out; !status && name && *name; name++) status = weir_table_find(table, *name, &column, err);
    if (!status) status = add_target(pg, table, target, signature, err);
    for (int c = 0; !status && c < table->column_count; c++) {
        column = &table->columns[c];
        if (strcmp(column->name, target) != 0 && !is_among(column->name, left_out)) status = add_input(pg, table, column, inputs, err);
    }
    if (!status && !cJSON_GetArraySize(inputs)) status = WEIR_FAIL(err, WEIR_EDATA, "%s has no column but its target to learn from", table->name.full);
    if (status)
        cJSON_Delete(signature);
    else
        *ret_signature = signature;
    return status;
}

static const cJSON *inputs_of(const cJSON *signature) {
    return cJSON_GetObjectItemCaseSensitive(signature, "inputs");
}

static const cJSON *classes_of(const cJSON *signature) {
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(signature, "target"), "classes");
}

static bool is_input_type(const cJSON *input) {
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (!strcmp(weir_json_text(input, "type"), type_names[i]))
            return strcmp(type_names[i], "category") != 0 || cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(input, "categories"));
    return false;
}

weir_status weir_signature_check(const cJSON *signature, const weir_model *model, weir_err *err) {
    const cJSON *inputs = inputs_of(signature), *input;
    int column = 0, count = weir_model_column_count(model);
    if (!cJSON_IsArray(inputs)) return WEIR_FAIL(err, WEIR_EDATA, "the version has no signature");
    if (cJSON_GetArraySize(inputs) != count) return WEIR_FAIL(err, WEIR_EDATA, "the signature has %d inputs, the model %d", cJSON_GetArraySize(inputs), count);
    cJSON_ArrayForEach(input, inputs) {
        if (strcmp(weir_json_text(input, "name"), weir_model_columns(model)[column]) != 0)
            return WEIR_FAIL(err, WEIR_EDATA, "input %d of the signature is '%s', of the model '%s'", column + 1, weir_json_text(input, "name"),
                             weir_model_columns(model)[column]);
        if (!is_input_type(input)) return WEIR_FAIL(err, WEIR_EDATA, "input '%s' of the signature has no known type", weir_json_text(input, "name"));
        column++;
    }
    int classes = cJSON_GetArraySize(classes_of(signature)), outputs = weir_model_output_count(model);
    if (classes < 2) return WEIR_FAIL(err, WEIR_EDATA, "the signature has no classes of a target");
    if (outputs != (classes == 2 ? 1 : classes))
        return WEIR_FAIL(err, WEIR_EDATA, "the signature has %d classes, the model gives %d numbers a row", classes, outputs);
    return *weir_json_text(cJSON_GetObjectItemCaseSensitive(signature, "output"), "name") ? WEIR_OK : WEIR_FAIL(err, WEIR_EDATA, "the signature has no output");
}

/* ---- rows ---- */

/* The texts that a column may hold, in order of their bytes or not. */
typedef struct texts {
    const char **items; /* NULL: the column is a number */
    int count;
} texts;

static weir_status texts_of(const cJSON *list, texts *ret_texts, weir_err *err) {
    const cJSON *item;
    ret_texts->items = weir_models_calloc((size_t)cJSON_GetArraySize(list), sizeof *ret_texts->items);
    if (!ret_texts->items) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d categories", cJSON_GetArraySize(list));
    cJSON_ArrayForEach(item, list) ret_texts->items[ret_texts->count++] = cJSON_IsString(item) ? item->valuestring : "";
    return WEIR_OK;
}

static int compare_text(const weir_pg_field *field, const char *text) {
    size_t len = strlen(text), shorter = (size_t)field->len < len ? (size_t)field->len : len;
    int order = memcmp(field->data, text, shorter);
    return order ? order : ((size_t)field->len > len) - ((size_t)field->len < len);
}

/* Its place among texts in order of their bytes; NaN when it is none of them. */
static double category_code(const texts *sorted, const weir_pg_field *field) {
    int low = 0, high = sorted->count;
    while (low < high) {
        int middle = low + (high - low) / 2, order = compare_text(field, sorted->items[middle]);
        if (!order) return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NAN;
}

typedef struct reading {
    weir_frame *frame;
    texts *inputs; /* [column_count] */
    texts classes; /* of numbers these are in order of the numbers */
    bool labelled;
} reading;

static weir_status add_label(const reading *r, const weir_pg_field *field, weir_err *err) {
    for (int i = 0; i < r->classes.count; i++) {
        double label = i;
        if (compare_text(field, r->classes.items[i]) != 0) continue;
        return weir_buf_append(&r->frame->labels, &label, sizeof label) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the labels");
    }
    return WEIR_FAIL(err, WEIR_EDATA, "the target is '%.*s' in a row, which is no class of the training table", field->len < 80 ? (int)field->len : 80,
                     field->data);
}

static weir_status take_row(void *context, const weir_pg_field *fields, int count, weir_err *err) {
    reading *r = context;
    weir_frame *frame = r->frame;
    int columns = frame->matrix.column_count;
    (void)count;
    if (r->labelled && fields[columns].len < 0) {
        frame->without_target++;
        return WEIR_OK;
    }
    if (!weir_buf_reserve(&frame->values, sizeof(double) * (size_t)columns))
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows", (long long)frame->matrix.row_count);
    for (int c = 0; c < columns; c++) {
        double value = fields[c].len < 0 ? NAN : r->inputs[c].items ? category_code(&r->inputs[c], &fields[c]) : weir_pg_get_float8(&fields[c]);
        if (!weir_buf_append(&frame->values, &value, sizeof value))
            return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld rows", (long long)frame->matrix.row_count);
    }
    frame->matrix.row_count++;
    return r->labelled ? add_label(r, &fields[columns], err) : WEIR_OK;
}

static weir_status add_input_values(weir_sql *sql, const weir_table *table, const cJSON *signature, reading *r, weir_err *err) {
    const weir_table_column *column = NULL;
    const cJSON *input;
    int c = 0;
    cJSON_ArrayForEach(input, inputs_of(signature)) {
        const char *name = weir_json_text(input, "name"), *type = weir_json_text(input, "type");
        weir_status status = weir_table_find(table, name, &column, err);
        if (!status && (column->kind == WEIR_COLUMN_OTHER || strcmp(type_names[column->kind], type) != 0))
            status = WEIR_FAIL(err, WEIR_EDATA, "column '%s' of %s is a %s, the model was trained with a %s", name, table->name.full, column->type, type);
        if (!status && column->kind == WEIR_COLUMN_TEXT) status = texts_of(cJSON_GetObjectItemCaseSensitive(input, "categories"), &r->inputs[c], err);
        if (status) return status;
        weir_sql_add(sql, c ? ", " : "");
        add_value(sql, column);
        r->frame->names[c++] = name;
    }
    return WEIR_OK;
}

/* Ordered by a hash of the whole row: rows that share it are the same row. */
static weir_status make_query(const weir_table *table, const cJSON *signature, int64_t row_max, reading *r, weir_sql *sql, weir_err *err) {
    const weir_table_column *target = NULL;
    weir_sql_add(sql, "COPY (SELECT ");
    weir_status status = add_input_values(sql, table, signature, r, err);
    if (!status && r->labelled) {
        status = weir_table_find(table, weir_json_text(cJSON_GetObjectItemCaseSensitive(signature, "target"), "name"), &target, err);
        if (!status && (target->kind == WEIR_COLUMN_OTHER || target->kind == WEIR_COLUMN_TIME))
            status = WEIR_FAIL(err, WEIR_EDATA, "target '%s' of %s is a %s; expected numbers, booleans or texts", target->name, table->name.full, target->type);
        if (status) return status;
        weir_sql_add(sql, ", ");
        add_class(sql, target);
    }
    add_from(sql, table);
    weir_sql_add(sql, " ORDER BY md5(\"weir row\"::text) COLLATE \"C\"");
    if (row_max) weir_sql_add(sql, " LIMIT %lld", (long long)row_max);
    weir_sql_add(sql, ") TO STDOUT (FORMAT binary)");
    return status ? status : weir_sql_end(sql, err);
}

weir_status weir_frame_read(weir_pg *pg, const weir_table *table, const cJSON *signature, bool labelled, int64_t row_max, weir_frame *ret_frame,
                            weir_err *err) {
    int columns = cJSON_GetArraySize(inputs_of(signature));
    weir_frame frame = {.matrix.column_count = columns, .names = weir_models_calloc((size_t)columns, sizeof *frame.names)};
    reading r = {.frame = &frame, .labelled = labelled, .inputs = weir_models_calloc((size_t)columns, sizeof *r.inputs)};
    weir_sql sql = {0};
    weir_status status = frame.names && r.inputs ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", columns);
    if (!status) status = texts_of(classes_of(signature), &r.classes, err);
    if (!status) status = make_query(table, signature, row_max, &r, &sql, err);
    if (!status && (status = weir_pg_copy_out(pg, sql.text.data, take_row, &r, err))) (void)weir_err_prefix(err, "%s", table->name.full);
    weir_sql_done(&sql);
    for (int c = 0; r.inputs && c < columns; c++) weir_models_free(r.inputs[c].items);
    weir_models_free(r.inputs);
    weir_models_free(r.classes.items);
    frame.matrix.values = (const double *)(void *)frame.values.data;
    frame.matrix.label = labelled ? (const double *)(void *)frame.labels.data : NULL;
    frame.matrix.column_names = frame.names;
    frame.matrix.class_count = cJSON_GetArraySize(classes_of(signature));
    frame.matrix.task = frame.matrix.class_count > 2 ? WEIR_TASK_MULTICLASS : WEIR_TASK_BINARY;
    if (status)
        weir_frame_done(&frame);
    else
        *ret_frame = frame;
    return status;
}

void weir_frame_done(weir_frame *frame) {
    weir_buf_done(&frame->values);
    weir_buf_done(&frame->labels);
    weir_models_free(frame->names);
    frame->names = NULL;
}
