/* The set as a source of rows for features/profile.c, which does the counting. */
#include "models/quality.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/operator.h"
#include "features/profile.h"
#include "models/memory.h"

/* A text of a category by its number. */
typedef struct level {
    double number;
    const char *text;
} level;

typedef struct source {
    const weir_trainset *set;
    int64_t step; /* every step-th row */
    weir_profile_field *fields; /* columns, targets, then time and whose it is */
    level **levels; /* [column_count] ascending by number; NULL: numbers */
    int *level_counts;
    weir_datum *row;
    int field_count, time, owner;
} source;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a report on quality");
}

static int by_number(const void *left, const void *right) {
    const level *a = left, *b = right;
    return (a->number > b->number) - (a->number < b->number);
}

static bool list_levels(source *s, int column) {
    const char *const *texts = s->set->matrix.kinds[column].texts;
    int n = 0;
    while (texts && texts[n]) n++;
    if (s->set->matrix.kinds[column].kind != WEIR_PREP_CATEGORY || !n) return true;
    level *levels = weir_models_calloc((size_t)n, sizeof *levels);
    if (!levels) return false;
    for (int i = 0; i < n; i++) levels[i] = (level){weir_text_number(texts[i], strlen(texts[i])), texts[i]};
    qsort(levels, (size_t)n, sizeof *levels, by_number);
    s->levels[column] = levels;
    s->level_counts[column] = n;
    return true;
}

static bool open_source(source *s) {
    const weir_trainset *set = s->set;
    int columns = set->matrix.column_count;
    size_t room = (size_t)(columns + set->target_count + 2);
    s->fields = weir_models_calloc(room, sizeof *s->fields);
    s->levels = weir_models_calloc((size_t)columns, sizeof *s->levels);
    s->level_counts = weir_models_calloc((size_t)columns, sizeof *s->level_counts);
    s->row = weir_models_calloc(room, sizeof *s->row);
    s->time = s->owner = -1;
    if (!s->fields || !s->levels || !s->level_counts || !s->row) return false;
    for (int c = 0; c < columns; c++) {
        if (!list_levels(s, c)) return false;
        s->fields[s->field_count++] = (weir_profile_field){(char *)set->matrix.column_names[c], s->levels[c] ? WEIR_PROFILE_TEXT : WEIR_PROFILE_NUMBER};
    }
    for (int t = 0; t < set->target_count; t++)
        s->fields[s->field_count++] = (weir_profile_field){set->target_names[t], set->class_names ? WEIR_PROFILE_TEXT : WEIR_PROFILE_NUMBER};
    if (set->time_us) s->fields[s->time = s->field_count++] = (weir_profile_field){"<time>", WEIR_PROFILE_TIME};
    if (set->time_us && (set->entity || set->tenant_names))
        s->fields[s->owner = s->field_count++] = (weir_profile_field){set->entity ? "<entity>" : "<tenant>", WEIR_PROFILE_TEXT};
    return true;
}

static void close_source(source *s) {
    for (int c = 0; s->levels && c < s->set->matrix.column_count; c++) weir_models_free(s->levels[c]);
    weir_models_free(s->fields);
    weir_models_free(s->levels);
    weir_models_free(s->level_counts);
    weir_models_free(s->row);
}

static weir_datum datum_of(const source *s, int column, double value) {
    if (isnan(value)) return weir_null();
    if (!s->levels[column]) return weir_f64(value);
    const level wanted = {value, NULL}, *found = bsearch(&wanted, s->levels[column], (size_t)s->level_counts[column], sizeof *found, by_number);
    return weir_text(found ? found->text : "<other>");
}

static weir_status scan(void *context, weir_profile_row_fn on_row, void *row_context, weir_err *err) {
    source *s = context;
    const weir_trainset *set = s->set;
    int columns = set->matrix.column_count;
    char entity[16];
    weir_status status = WEIR_OK;
    for (int64_t r = 0; !status && r < set->matrix.row_count; r += s->step) {
        for (int c = 0; c < columns; c++) s->row[c] = datum_of(s, c, set->matrix.values[r * columns + c]);
        for (int t = 0; t < set->target_count; t++) {
            double y = set->targets[t * set->matrix.row_count + r];
            s->row[columns + t] = set->class_names ? weir_text(set->class_names[(int)y]) : weir_f64(y);
        }
        if (s->time >= 0) s->row[s->time] = weir_i64(set->time_us[r]);
        if (s->owner >= 0 && set->entity) {
            snprintf(entity, sizeof entity, "%u", set->entity[r]);
            s->row[s->owner] = weir_text(entity);
        } else if (s->owner >= 0) {
            s->row[s->owner] = weir_text(set->tenant_names[set->tenant[r]]);
        }
        status = on_row(row_context, s->row, err);
    }
    return status;
}

/* ---- what is of all rows ---- */

static bool add_cells(const weir_trainset *set, cJSON *report) {
    int columns = set->matrix.column_count;
    int64_t rows = set->matrix.row_count, missing = 0;
    cJSON *constants = cJSON_AddArrayToObject(report, "constants");
    bool ok = constants;
    for (int c = 0; ok && c < columns; c++) {
        double first = NAN;
        bool varies = false;
        for (int64_t r = 0; r < rows; r++) {
            double v = set->matrix.values[r * columns + c];
            missing += isnan(v) != 0;
            if (isnan(first)) first = v;
            varies |= !isnan(v) && v != first;
        }
        if (!varies) ok = cJSON_AddItemToArray(constants, cJSON_CreateString(set->matrix.column_names[c]));
    }
    return ok && cJSON_AddNumberToObject(report, "missing_cells", (double)missing) &&
           cJSON_AddNumberToObject(report, "missing_share", (double)missing / ((double)rows * columns));
}

static bool add_classes(const weir_trainset *set, cJSON *target, int64_t *counts, int classes) {
    int64_t rows = set->matrix.row_count, most = 0, least = rows;
    cJSON *list = cJSON_AddArrayToObject(target, "classes");
    bool ok = list;
    for (int64_t r = 0; r < rows; r++) counts[(int)set->matrix.label[r]]++;
    for (int k = 0; ok && k < classes; k++) {
        char number[16];
        cJSON *item = cJSON_CreateObject();
        snprintf(number, sizeof number, "%d", k);
        ok = cJSON_AddItemToArray(list, item) && cJSON_AddStringToObject(item, "name", set->class_names ? set->class_names[k] : number) &&
             cJSON_AddNumberToObject(item, "rows", (double)counts[k]) && cJSON_AddNumberToObject(item, "share", (double)counts[k] / (double)rows);
        most = counts[k] > most ? counts[k] : most;
        least = counts[k] < least ? counts[k] : least;
    }
    return ok && (least ? cJSON_AddNumberToObject(target, "imbalance", (double)most / (double)least) : cJSON_AddNullToObject(target, "imbalance"));
}

static bool add_spread(const double *y, int64_t rows, cJSON *target) {
    double mean = 0, squares = 0, least = y[0], greatest = y[0];
    for (int64_t r = 0; r < rows; r++) { /* Welford, Technometrics 4 (1962) */
        double delta = y[r] - mean;
        mean += delta / (double)(r + 1);
        squares += delta * (y[r] - mean);
        least = fmin(least, y[r]);
        greatest = fmax(greatest, y[r]);
    }
    return cJSON_AddNumberToObject(target, "mean", mean) &&
           (rows > 1 ? cJSON_AddNumberToObject(target, "deviation", sqrt(squares / (double)(rows - 1))) : cJSON_AddNullToObject(target, "deviation")) &&
           cJSON_AddNumberToObject(target, "least", least) && cJSON_AddNumberToObject(target, "greatest", greatest);
}

static bool add_targets(const weir_trainset *set, cJSON *report) {
    int classes = set->matrix.task == WEIR_TASK_BINARY ? 2 : set->matrix.class_count;
    cJSON *targets = cJSON_AddArrayToObject(report, "targets");
    int64_t *counts = weir_models_calloc((size_t)classes, sizeof *counts);
    bool ok = targets && counts;
    for (int t = 0; ok && t < set->target_count; t++) {
        cJSON *target = cJSON_CreateObject();
        ok = cJSON_AddItemToArray(targets, target) && cJSON_AddStringToObject(target, "name", set->target_names[t]) &&
             cJSON_AddStringToObject(target, "task", weir_task_name(set->matrix.task));
        if (!ok) break;
        ok = set->matrix.task == WEIR_TASK_REGRESSION ? add_spread(set->targets + t * set->matrix.row_count, set->matrix.row_count, target)
                                                      : add_classes(set, target, counts, classes);
    }
    weir_models_free(counts);
    return ok;
}

weir_status weir_quality_report(const weir_trainset *set, cJSON **ret_json, weir_err *err) {
    int64_t rows = set->matrix.row_count;
    source s = {.set = set, .step = rows / WEIR_QUALITY_ROWS_MAX + (rows % WEIR_QUALITY_ROWS_MAX != 0)};
    weir_profile *profile = NULL;
    weir_buf text = {0};
    cJSON *report = NULL;
    weir_status status = open_source(&s) ? WEIR_OK : no_memory(err);
    if (s.step < 1) s.step = 1;
    const weir_profile_source rows_of = {.fields = s.fields, .field_count = s.field_count, .time = s.time, .entity = s.owner, .scan = scan, .context = &s};
    if (!status) status = weir_profile_make(&rows_of, &profile, err);
    if (!status) status = weir_profile_json(profile, set->source, &text, err);
    if (!status && !(report = cJSON_ParseWithLength(text.data, text.len))) status = no_memory(err);
    if (!status) cJSON_SetNumberHelper(cJSON_GetObjectItemCaseSensitive(report, "rows"), (double)rows);
    if (!status && (!cJSON_AddNumberToObject(report, "rows_profiled", (double)profile->rows) || !add_cells(set, report) || !add_targets(set, report)))
        status = no_memory(err);
    if (status)
        cJSON_Delete(report);
    else
        *ret_json = report;
    weir_buf_done(&text);
    weir_profile_free(profile);
    close_source(&s);
    return status;
}
