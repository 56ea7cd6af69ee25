/* A file is described first (which columns there are, how many values and different texts they have), then read once, a column at a time. */
#include "models/trainset_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "features/intern.h"
#include "features/operator.h"
#include "models/memory.h"
#include "models/trainset_schema.h"

enum { CLASSES_OF_NUMBERS_MAX = 20, ROWS_A_CLASS_MIN = 10, TENANTS_MAX = 4096, ID_ROWS_MIN = 10 };

/* Texts of a column in the order of their bytes. */
typedef struct names {
    weir_intern texts;
    const char **list; /* [count] NULL-terminated */
    weir_buf bytes; /* what list points into */
    int count;
} names;

typedef struct reading {
    const weir_file_query *query;
    weir_data_file file;
    int64_t *filled, *distinct; /* [column_count] of the file; distinct −1: not counted */
    weir_prep_column *columns; /* [input_count], as the set has them */
    int *inputs; /* [input_count] columns of the file */
    weir_target *kinds; /* [input_count] */
    names *categories; /* [input_count] */
    int input_count;
    int targets[WEIR_TRAINSET_TARGETS_MAX], target_count, time, tenant, entity; /* −1: none */
    weir_task task;
    names classes, tenants;
    double *class_values; /* [classes.count] of a target of numbers; else NULL */
    weir_intern entities;
    double **values, *target_values[WEIR_TRAINSET_TARGETS_MAX]; /* [input_count] of [row_count] */
    int64_t *time_us, *infinite; /* infinite [input_count] */
    uint32_t *tenant_of, *entity_of;
    int64_t row_count, without_time, without_place; /* rows without a time; labelled rows without a time, tenant or entity */
    cJSON *schema;
} reading;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a training set from a file");
}

static const weir_data_column *column_of(const reading *r, int column) {
    return &r->file.columns[column];
}

/* ---- which columns ---- */

static bool is_named(const char *const *list, const char *name) {
    for (; list && *list; list++)
        if (!strcmp(*list, name)) return true;
    return false;
}

static bool is_number(weir_stored stored) {
    return stored == WEIR_STORED_WHOLE || stored == WEIR_STORED_REAL;
}

static bool all_columns(const weir_file_query *q) {
    return !q->features || !q->features[0] || (!strcmp(q->features[0], "auto_detect") && !q->features[1]);
}

static bool is_target(const reading *r, int column) {
    for (int t = 0; t < r->target_count; t++)
        if (r->targets[t] == column) return true;
    return false;
}

static weir_status find_roles(reading *r, weir_err *err) {
    const weir_file_query *q = r->query;
    weir_status status = WEIR_OK;
    r->time = r->tenant = r->entity = -1;
    for (; !status && q->targets[r->target_count]; r->target_count++) {
        if (r->target_count == WEIR_TRAINSET_TARGETS_MAX)
            return WEIR_FAIL(err, WEIR_ELIMIT, "more than %d targets, expected at most that many", WEIR_TRAINSET_TARGETS_MAX);
        status = weir_data_file_need(&r->file, "target", q->targets[r->target_count], &r->targets[r->target_count], err);
    }
    if (!status && !r->target_count) status = WEIR_FAIL(err, WEIR_EINVAL, "no target is named, expected a column to predict");
    if (!status && q->time_column) status = weir_data_file_need(&r->file, "time column", q->time_column, &r->time, err);
    if (!status && q->tenant_column) status = weir_data_file_need(&r->file, "tenant column", q->tenant_column, &r->tenant, err);
    if (!status && q->entity_column) status = weir_data_file_need(&r->file, "entity column", q->entity_column, &r->entity, err);
    for (int i = 0; !status && q->categories && q->categories[i]; i++) {
        int found;
        status = weir_data_file_need(&r->file, "category", q->categories[i], &found, err);
    }
    return status;
}

/* How many values every column has, and how many different ones those have that are names: one query. */
static weir_status count_values(reading *r, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    int columns = r->file.column_count, at = 0;
    r->filled = weir_models_calloc((size_t)columns, sizeof *r->filled);
    r->distinct = weir_models_calloc((size_t)columns, sizeof *r->distinct);
    if (!r->filled || !r->distinct) return no_memory(err);
    weir_sql_add(&sql, "SELECT ");
    for (int c = 0; c < columns; c++) {
        bool text = column_of(r, c)->stored == WEIR_STORED_TEXT || is_named(r->query->categories, column_of(r, c)->name) || is_target(r, c);
        weir_sql_add(&sql, c ? ", count(" : "count(");
        weir_sql_name(&sql, column_of(r, c)->name);
        weir_sql_add(&sql, text ? "), count(DISTINCT " : ")");
        if (text) weir_sql_name(&sql, column_of(r, c)->name);
        if (text) weir_sql_add(&sql, ")");
        r->distinct[c] = text ? 0 : -1;
    }
    weir_sql_add(&sql, " FROM %s", r->file.from.text.data);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(r->file.duck, sql.text.data, &cursor, err);
    if (!status) status = weir_duck_next(cursor, &more, err);
    for (int c = 0; !status && c < columns; c++) {
        r->filled[c] = weir_duck_get(cursor, at++).i;
        if (!r->distinct[c]) r->distinct[c] = weir_duck_get(cursor, at++).i;
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

static weir_target target_of(const reading *r, int column) {
    weir_stored stored = column_of(r, column)->stored;
    if (stored == WEIR_STORED_TEXT || is_named(r->query->categories, column_of(r, column)->name)) return WEIR_TARGET_TEXT;
    if (is_number(stored)) return WEIR_TARGET_NUMBER;
    if (stored == WEIR_STORED_BOOL) return WEIR_TARGET_BOOL;
    return stored == WEIR_STORED_TIME || stored == WEIR_STORED_DATE ? WEIR_TARGET_TIME : WEIR_TARGET_BYTES;
}

/* Why a column cannot be an input, or is none unless it was named; empty: it is one. */
static void judge(const reading *r, int column, bool was_named, char *why, size_t size) {
    int64_t filled = r->filled[column], distinct = r->distinct[column];
    weir_target kind = target_of(r, column);
    *why = 0;
    if (kind == WEIR_TARGET_BYTES)
        snprintf(why, size, "it is a %s, expected numbers, booleans, times or texts", column_of(r, column)->type);
    else if (kind == WEIR_TARGET_TEXT && distinct > WEIR_PREP_LEVELS_MAX)
        snprintf(why, size, "%lld different texts, expected at most %d", (long long)distinct, WEIR_PREP_LEVELS_MAX);
    else if (!was_named && !filled)
        snprintf(why, size, "it holds no value");
    else if (!was_named && kind == WEIR_TARGET_TIME)
        snprintf(why, size, "it is a time; where it is named as a feature it becomes seconds since 1970");
    else if (!was_named && kind == WEIR_TARGET_TEXT && filled >= ID_ROWS_MIN && distinct == filled)
        snprintf(why, size, "no text in it is there twice: an id");
}

static weir_status add_input(reading *r, int column, bool was_named, cJSON *left_out, weir_err *err) {
    char why[160];
    judge(r, column, was_named, why, sizeof why);
    if (*why && was_named) return WEIR_FAIL(err, WEIR_EINVAL, "feature '%s': %s", column_of(r, column)->name, why);
    if (*why) {
        cJSON *item = cJSON_CreateObject();
        if (!cJSON_AddStringToObject(item, "column", column_of(r, column)->name) || !cJSON_AddStringToObject(item, "why", why) ||
            !cJSON_AddItemToArray(left_out, item)) {
            cJSON_Delete(item);
            return no_memory(err);
        }
        return WEIR_OK;
    }
    r->inputs[r->input_count] = column;
    r->kinds[r->input_count] = target_of(r, column);
    r->columns[r->input_count] =
        (weir_prep_column){.name = column_of(r, column)->name, .kind = r->kinds[r->input_count] == WEIR_TARGET_TEXT ? WEIR_PREP_CATEGORY : WEIR_PREP_NUMBER};
    r->input_count++;
    return WEIR_OK;
}

static weir_status choose_inputs(reading *r, weir_err *err) {
    const weir_file_query *q = r->query;
    size_t room = (size_t)r->file.column_count;
    cJSON *left_out = cJSON_AddArrayToObject(r->schema, "left_out");
    weir_status status = left_out ? WEIR_OK : no_memory(err);
    for (size_t i = 0; !all_columns(q) && q->features[i]; i++) room += i + 1 > room;
    r->inputs = weir_models_calloc(room, sizeof *r->inputs);
    r->kinds = weir_models_calloc(room, sizeof *r->kinds);
    r->columns = weir_models_calloc(room, sizeof *r->columns);
    r->categories = weir_models_calloc(room, sizeof *r->categories);
    if (!r->inputs || !r->kinds || !r->columns || !r->categories) status = no_memory(err);
    for (int c = 0; !status && all_columns(q) && c < r->file.column_count; c++) {
        if (!is_target(r, c) && c != r->time && c != r->tenant && c != r->entity) status = add_input(r, c, false, left_out, err);
    }
    for (int i = 0; !status && !all_columns(q) && q->features[i]; i++) {
        int column;
        if ((status = weir_data_file_need(&r->file, "feature", q->features[i], &column, err))) return status;
        status = is_target(r, column) ? WEIR_FAIL(err, WEIR_EINVAL, "feature '%s' is a target", q->features[i]) : add_input(r, column, true, left_out, err);
    }
    if (!status && !r->input_count) status = WEIR_FAIL(err, WEIR_EDATA, "no column is left to learn from but the targets");
    return status;
}

static weir_status check_size(const reading *r, weir_err *err) {
    double bytes =
        2.0 * 8.0 * (double)r->file.row_count * (r->input_count + r->target_count + 2); /* columns as they are read, and the matrix that is made of them */
    double limit = r->query->memory_bytes ? (double)r->query->memory_bytes : (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 2;
    if (bytes <= limit) return WEIR_OK;
    return WEIR_FAIL(
        err, WEIR_ELIMIT,
        "%lld rows of %d features need %.1f GB of memory to train on, expected at most %.1f GB: name fewer feature columns, or files with fewer rows",
        (long long)r->file.row_count, r->input_count, bytes / 1e9, limit / 1e9);
}

/* ---- names: categories, classes, tenants ---- */

static void names_done(names *n) {
    weir_intern_done(&n->texts);
    weir_buf_done(&n->bytes);
    weir_models_free(n->list);
}

static weir_status make_list(names *n, weir_err *err) {
    size_t len, at = 0;
    n->count = (int)n->texts.count;
    n->list = weir_models_calloc((size_t)n->count + 1, sizeof *n->list);
    bool ok = n->list;
    for (uint32_t i = 0; ok && i < n->texts.count; i++) {
        const char *text = weir_intern_text(&n->texts, i, &len);
        ok = weir_buf_append(&n->bytes, text, len) && weir_buf_append(&n->bytes, "", 1);
    }
    for (int i = 0; ok && i < n->count; i++) {
        n->list[i] = n->bytes.data + at;
        weir_intern_text(&n->texts, (uint32_t)i, &len);
        at += len + 1;
    }
    return ok ? WEIR_OK : no_memory(err);
}

/* The different values of a column as texts, numbers in the order of numbers. ret_values (may be NULL) [count]: the numbers. */
static weir_status read_names(reading *r, int column, bool numbers, int limit, names *ret_names, double **ret_values, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    weir_buf values = {0};
    char text[32];
    weir_sql_add(&sql, "SELECT DISTINCT ");
    weir_data_file_value(&r->file, column, numbers ? WEIR_TARGET_NUMBER : WEIR_TARGET_TEXT, false, &sql);
    weir_sql_add(&sql, " AS v FROM %s WHERE v IS NOT NULL ORDER BY v LIMIT %d", r->file.from.text.data, limit + 1);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(r->file.duck, sql.text.data, &cursor, err);
    while (!status && !(status = weir_duck_next(cursor, &more, err)) && more) {
        weir_datum v = weir_duck_get(cursor, 0);
        if (numbers && !isfinite(v.f)) continue;
        if (numbers && !weir_buf_append(&values, &v.f, sizeof v.f)) status = no_memory(err);
        if (numbers) v = weir_str(text, (size_t)snprintf(text, sizeof text, "%.15g", v.f));
        if (!status && weir_intern_add(&ret_names->texts, v.p, v.len) == WEIR_INTERN_NONE) status = no_memory(err);
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    if (!status && ret_names->texts.count > (uint32_t)limit)
        status = WEIR_FAIL(err, WEIR_ELIMIT, "column '%s' has more than %d different values, expected at most that many", column_of(r, column)->name, limit);
    if (!status) status = make_list(ret_names, err);
    if (!status && ret_values)
        *ret_values = (double *)(void *)values.data;
    else
        weir_buf_done(&values);
    return status;
}

static weir_status read_categories(reading *r, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < r->input_count; i++) {
        if (r->kinds[i] != WEIR_TARGET_TEXT) continue;
        status = read_names(r, r->inputs[i], false, WEIR_PREP_LEVELS_MAX, &r->categories[i], NULL, err);
        r->columns[i].texts = r->categories[i].list;
    }
    if (!status && r->tenant >= 0) status = read_names(r, r->tenant, false, TENANTS_MAX, &r->tenants, NULL, err);
    return status;
}

/* ---- the task ---- */

static weir_status all_whole(reading *r, int column, bool *ret_whole, weir_err *err) {
    weir_sql sql = {0};
    int64_t broken = 0;
    weir_sql_add(&sql, "SELECT count(*) FROM %s WHERE ", r->file.from.text.data);
    weir_data_file_value(&r->file, column, WEIR_TARGET_NUMBER, false, &sql);
    weir_sql_add(&sql, " <> trunc(");
    weir_data_file_value(&r->file, column, WEIR_TARGET_NUMBER, false, &sql);
    weir_sql_add(&sql, ")");
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_number(r->file.duck, sql.text.data, &broken, err);
    weir_sql_done(&sql);
    *ret_whole = !broken;
    return status;
}

static weir_status detect_task(reading *r, weir_err *err) {
    int column = r->targets[0];
    int64_t distinct = r->distinct[column];
    bool whole = true;
    weir_status status = WEIR_OK;
    r->task = r->query->task;
    if (r->query->task_known) return WEIR_OK;
    if (is_number(column_of(r, column)->stored) && (status = all_whole(r, column, &whole, err))) return status;
    if (r->target_count > 1)
        r->task = WEIR_TASK_REGRESSION;
    else if (distinct == 2)
        r->task = WEIR_TASK_BINARY;
    else if (!is_number(column_of(r, column)->stored))
        r->task = WEIR_TASK_MULTICLASS;
    else
        r->task = whole && distinct <= CLASSES_OF_NUMBERS_MAX && r->filled[column] >= ROWS_A_CLASS_MIN * distinct ? WEIR_TASK_MULTICLASS : WEIR_TASK_REGRESSION;
    return WEIR_OK;
}

static weir_status check_target(reading *r, int column, weir_err *err) {
    const weir_data_column *c = column_of(r, column);
    bool number = is_number(c->stored) || c->stored == WEIR_STORED_BOOL;
    if (!r->filled[column]) return WEIR_FAIL(err, WEIR_EDATA, "target '%s' holds no value", c->name);
    if (r->task == WEIR_TASK_REGRESSION ? number : number || c->stored == WEIR_STORED_TEXT) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "target '%s' is a %s, expected numbers%s for a %s task", c->name, c->type,
                     r->task == WEIR_TASK_REGRESSION ? "" : ", booleans or texts", weir_task_name(r->task));
}

static weir_status read_task(reading *r, weir_err *err) {
    weir_status status = detect_task(r, err);
    if (!status && r->target_count > 1 && r->task != WEIR_TASK_REGRESSION)
        status = WEIR_FAIL(err, WEIR_EINVAL, "%d targets of a %s task, expected one: several are for regressions", r->target_count, weir_task_name(r->task));
    for (int t = 0; !status && t < r->target_count; t++) status = check_target(r, r->targets[t], err);
    if (status || r->task == WEIR_TASK_REGRESSION) return status;
    bool numbers = is_number(column_of(r, r->targets[0])->stored);
    status = read_names(r, r->targets[0], numbers, WEIR_MODEL_CLASSES_MAX, &r->classes, numbers ? &r->class_values : NULL, err);
    if (!status && (r->classes.count < 2 || (r->task == WEIR_TASK_BINARY && r->classes.count > 2)))
        status = WEIR_FAIL(err, WEIR_EDATA, "target '%s' has %d different values, expected %s for a %s task", column_of(r, r->targets[0])->name,
                           r->classes.count, r->task == WEIR_TASK_BINARY ? "two" : "at least two", weir_task_name(r->task));
    return status;
}

/* ---- reading ---- */

static void add_value(reading *r, int column, weir_target target, bool as_micros, int *count, weir_sql *sql) {
    weir_sql_add(sql, (*count)++ ? ", " : "SELECT ");
    weir_data_file_value(&r->file, column, target, as_micros, sql);
}

static bool target_is_text(const reading *r) {
    return r->task != WEIR_TASK_REGRESSION && !r->class_values;
}

static weir_status make_select(reading *r, weir_sql *sql, weir_err *err) {
    int count = 0;
    for (int i = 0; i < r->input_count; i++) add_value(r, r->inputs[i], r->kinds[i], false, &count, sql);
    for (int t = 0; t < r->target_count; t++) add_value(r, r->targets[t], target_is_text(r) ? WEIR_TARGET_TEXT : WEIR_TARGET_NUMBER, false, &count, sql);
    if (r->time >= 0) add_value(r, r->time, WEIR_TARGET_TIME, true, &count, sql);
    if (r->tenant >= 0) add_value(r, r->tenant, WEIR_TARGET_TEXT, false, &count, sql);
    if (r->entity >= 0) add_value(r, r->entity, WEIR_TARGET_TEXT, false, &count, sql);
    weir_sql_add(sql, " FROM %s", r->file.from.text.data);
    return weir_sql_end(sql, err);
}

static bool make_columns(double **columns, int count, size_t rows) {
    for (int i = 0; i < count; i++)
        if (!(columns[i] = weir_models_calloc(rows, sizeof **columns))) return false;
    return true;
}

static bool make_room(reading *r) {
    size_t rows = (size_t)r->file.row_count;
    r->values = weir_models_calloc((size_t)r->input_count, sizeof *r->values);
    r->infinite = weir_models_calloc((size_t)r->input_count, sizeof *r->infinite);
    if (!r->values || !r->infinite || !make_columns(r->values, r->input_count, rows) || !make_columns(r->target_values, r->target_count, rows)) return false;
    if (r->time >= 0 && !(r->time_us = weir_models_calloc(rows, sizeof *r->time_us))) return false;
    if (r->tenant >= 0 && !(r->tenant_of = weir_models_calloc(rows, sizeof *r->tenant_of))) return false;
    return r->entity < 0 || (r->entity_of = weir_models_calloc(rows, sizeof *r->entity_of));
}

/* Of classes their numbers; a text that is no class cannot be: all were read before. */
static void take_labels(reading *r, weir_duck_cursor *cursor, int at, int64_t rows, double *out) {
    if (!target_is_text(r)) {
        weir_schema_take_numbers(cursor, at, rows, out);
        for (int64_t i = 0; r->class_values && i < rows; i++) {
            int k = 0;
            while (k < r->classes.count && r->class_values[k] != out[i]) k++;
            out[i] = k < r->classes.count ? k : NAN;
        }
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        weir_duck_seek(cursor, i);
        weir_datum text = weir_duck_get(cursor, at);
        uint32_t k = text.type == WEIR_T_NULL ? WEIR_INTERN_NONE : weir_intern_find(&r->classes.texts, text.p, text.len);
        out[i] = k == WEIR_INTERN_NONE ? NAN : k;
    }
}

/* A row without a time, or without a tenant where there are some, has no place: it loses its label, and with it its place. */
static void drop_row(reading *r, int64_t row) {
    if (isnan(r->target_values[0][row])) return;
    r->target_values[0][row] = NAN;
    r->without_place++;
}

static void take_times(reading *r, weir_duck_cursor *cursor, int at, int64_t rows) {
    const uint64_t *valid;
    const int64_t *times = weir_duck_values(cursor, at, &valid);
    for (int64_t i = 0; i < rows; i++) {
        if (weir_duck_bit(valid, i)) {
            r->time_us[r->row_count + i] = times[i];
        } else {
            drop_row(r, r->row_count + i);
            r->without_time++;
        }
    }
}

static weir_status take_places(reading *r, weir_duck_cursor *cursor, int at, int64_t rows, weir_intern *texts, uint32_t *out, weir_err *err) {
    for (int64_t i = 0; i < rows; i++) {
        weir_duck_seek(cursor, i);
        weir_datum text = weir_duck_get(cursor, at);
        uint32_t place = 0;
        if (text.type == WEIR_T_NULL)
            drop_row(r, r->row_count + i);
        else if ((place = weir_intern_add(texts, text.p, text.len)) == WEIR_INTERN_NONE)
            return no_memory(err);
        out[i] = place;
    }
    return WEIR_OK;
}

static weir_status take_chunk(reading *r, weir_duck_cursor *cursor, int64_t rows, weir_err *err) {
    weir_status status = WEIR_OK;
    int at = 0;
    if (r->row_count + rows > r->file.row_count) return WEIR_FAIL(err, WEIR_EDATA, "the data changed while it was read");
    for (int i = 0; i < r->input_count; i++, at++) {
        double *out = r->values[i] + r->row_count;
        if (r->kinds[i] == WEIR_TARGET_TEXT)
            weir_schema_take_texts(cursor, at, rows, out);
        else
            r->infinite[i] += weir_schema_take_numbers(cursor, at, rows, out);
    }
    for (int t = 0; t < r->target_count; t++) take_labels(r, cursor, at++, rows, r->target_values[t] + r->row_count);
    if (r->time >= 0) take_times(r, cursor, at++, rows);
    if (r->tenant >= 0) status = take_places(r, cursor, at++, rows, &r->tenants.texts, r->tenant_of + r->row_count, err);
    if (!status && r->entity >= 0) status = take_places(r, cursor, at, rows, &r->entities, r->entity_of + r->row_count, err);
    r->row_count += rows;
    return status;
}

static weir_status read_rows(reading *r, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    int64_t rows = 0;
    weir_status status = make_room(r) ? make_select(r, &sql, err) : no_memory(err);
    if (!status) status = weir_duck_query(r->file.duck, sql.text.data, &cursor, err);
    while (!status && !(status = weir_duck_next_chunk(cursor, &rows, err)) && rows) status = take_chunk(r, cursor, rows, err);
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    if (!status && r->time >= 0 && r->row_count && r->without_time == r->row_count)
        status = WEIR_FAIL(err, WEIR_EDATA, "time column '%s' (%s) holds no time in any row: expected ISO 8601, or seconds, ms, \xc2\xb5s or ns since 1970",
                           column_of(r, r->time)->name, column_of(r, r->time)->type);
    return status;
}

/* ---- the set and its schema ---- */

static bool is_counting(const reading *r) {
    for (int k = 0; k < r->classes.count; k++)
        if (!r->class_values || r->class_values[k] != k) return false;
    return true;
}

static weir_status make_set(reading *r, const char *query, weir_trainset *ret_set, weir_err *err) {
    bool named = r->task != WEIR_TASK_REGRESSION && !is_counting(r);
    weir_trainset_source source = {.row_count = r->row_count,
                                   .column_count = r->input_count,
                                   .columns = r->columns,
                                   .values = (const double *const *)r->values,
                                   .task = r->task,
                                   .class_count = r->task == WEIR_TASK_MULTICLASS ? r->classes.count : 0,
                                   .class_names = named ? r->classes.list : NULL,
                                   .target_count = r->target_count,
                                   .target_names = r->query->targets,
                                   .targets = (const double *const *)r->target_values,
                                   .time_us = r->time_us,
                                   .entity = r->entity_of,
                                   .entity_count = r->entities.count,
                                   .tenant = r->tenant_of,
                                   .tenant_count = (uint32_t)r->tenants.count,
                                   .tenant_names = r->tenants.list,
                                   .source = r->query->path,
                                   .query = query};
    weir_status status = weir_trainset_make(&source, ret_set, err);
    if (!status) ret_set->without_label -= r->without_place;
    return status;
}

static bool add_texts(cJSON *object, const char *key, const names *n) {
    cJSON *list = cJSON_AddArrayToObject(object, key);
    bool ok = list;
    for (int i = 0; ok && i < n->count; i++) ok = cJSON_AddItemToArray(list, cJSON_CreateString(n->list[i]));
    return ok;
}

static bool add_inputs(const reading *r) {
    cJSON *inputs = cJSON_AddArrayToObject(r->schema, "inputs");
    bool ok = inputs;
    for (int i = 0; ok && i < r->input_count; i++) {
        cJSON *input = cJSON_CreateObject();
        ok = cJSON_AddItemToArray(inputs, input) && cJSON_AddStringToObject(input, "name", r->columns[i].name) &&
             cJSON_AddStringToObject(input, "type", weir_schema_type_name(r->kinds[i]));
        if (ok && r->kinds[i] == WEIR_TARGET_TEXT) ok = add_texts(input, "texts", &r->categories[i]);
    }
    return ok;
}

static bool add_infinite(const reading *r) {
    cJSON *infinite = cJSON_AddArrayToObject(r->schema, "infinite");
    bool ok = infinite;
    for (int i = 0; ok && i < r->input_count; i++) {
        if (!r->infinite[i]) continue;
        cJSON *item = cJSON_CreateObject();
        ok = cJSON_AddItemToArray(infinite, item) && cJSON_AddStringToObject(item, "column", r->columns[i].name) &&
             cJSON_AddNumberToObject(item, "rows", (double)r->infinite[i]);
    }
    return ok;
}

static bool describe_roles(const reading *r) {
    const weir_file_query *q = r->query;
    static const char *const formats[] = {[WEIR_FILE_UNKNOWN] = "", [WEIR_FILE_PARQUET] = "parquet", [WEIR_FILE_CSV] = "csv", [WEIR_FILE_JSON] = "json"};
    cJSON *s = r->schema, *targets;
    bool ok = cJSON_AddStringToObject(s, "source", q->path) && cJSON_AddStringToObject(s, "format", formats[r->file.format]) &&
              cJSON_AddNumberToObject(s, "files", r->file.file_count) && cJSON_AddNumberToObject(s, "rows", (double)r->file.row_count) &&
              cJSON_AddStringToObject(s, "task", weir_task_name(r->task)) && (targets = cJSON_AddArrayToObject(s, "targets"));
    for (int t = 0; ok && t < r->target_count; t++) ok = cJSON_AddItemToArray(targets, cJSON_CreateString(q->targets[t]));
    if (ok && r->classes.count) ok = add_texts(s, "classes", &r->classes);
    if (ok && q->time_column) ok = cJSON_AddStringToObject(s, "time", q->time_column);
    if (ok && q->tenant_column) ok = cJSON_AddStringToObject(s, "tenant", q->tenant_column);
    if (ok && q->entity_column) ok = cJSON_AddStringToObject(s, "entity", q->entity_column);
    return ok && add_inputs(r);
}

static weir_status read_file(reading *r, weir_trainset *ret_set, weir_err *err) {
    weir_status status;
    if (!(r->schema = cJSON_CreateObject())) return no_memory(err);
    if ((status = find_roles(r, err)) || (status = count_values(r, err)) || (status = choose_inputs(r, err)) || (status = check_size(r, err)) ||
        (status = read_categories(r, err)) || (status = read_task(r, err)))
        return status;
    char *query = describe_roles(r) ? cJSON_PrintUnformatted(r->schema) : NULL;
    status = query ? read_rows(r, err) : no_memory(err);
    if (!status) status = make_set(r, query, ret_set, err);
    cJSON_free(query);
    if (status) return status;
    bool ok = cJSON_AddNumberToObject(r->schema, "rows_without_label", (double)ret_set->without_label) &&
              cJSON_AddNumberToObject(r->schema, "rows_without_place", (double)r->without_place) && add_infinite(r);
    if (ok) return WEIR_OK;
    weir_trainset_done(ret_set);
    return no_memory(err);
}

static void reading_done(reading *r) {
    for (int i = 0; i < r->input_count; i++) {
        if (r->values) weir_models_free(r->values[i]);
        names_done(&r->categories[i]);
    }
    for (int t = 0; t < WEIR_TRAINSET_TARGETS_MAX; t++) weir_models_free(r->target_values[t]);
    void *blocks[] = {r->filled, r->distinct, r->columns, r->inputs, r->kinds, r->categories, r->values, r->infinite, r->time_us, r->tenant_of, r->entity_of};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) weir_models_free(blocks[i]);
    weir_mem.realloc(r->class_values, 0);
    weir_intern_done(&r->entities);
    names_done(&r->classes);
    names_done(&r->tenants);
    weir_data_file_done(&r->file);
    cJSON_Delete(r->schema);
}

weir_status weir_trainset_from_file(const weir_file_query *query, weir_trainset *ret_set, cJSON **ret_schema, weir_err *err) {
    reading r = {.query = query};
    weir_trainset set = {0};
    weir_status status = weir_data_file_open(query->path, query->format, &r.file, err);
    if (!status && (status = read_file(&r, &set, err)) && status != WEIR_ENOMEM) status = weir_err_prefix(err, "%s", query->path);
    if (!status) {
        *ret_set = set;
        *ret_schema = r.schema;
        r.schema = NULL;
    }
    reading_done(&r);
    return status;
}
