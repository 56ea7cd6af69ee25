#include "models/prepared.h"

#include "models/memory.h"
#include "models/prep_importance.h"

static weir_prep_column *number_columns(const char *const *names, int count) {
    weir_prep_column *columns = weir_models_calloc((size_t)count, sizeof *columns);
    for (int c = 0; columns && c < count; c++) columns[c] = (weir_prep_column){.name = names[c], .kind = WEIR_PREP_NUMBER};
    return columns;
}

static weir_status check_kinds(const cJSON *chain, const char *path, const weir_prep_column *columns, int column_count, weir_err *err) {
    weir_prep_kind *kinds = weir_models_calloc((size_t)column_count, sizeof *kinds);
    weir_status status = WEIR_OK;
    if (!kinds) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", column_count);
    for (int c = 0; c < column_count; c++) kinds[c] = columns[c].kind;
    if (chain) status = weir_prep_check_kinds(chain, path, columns, column_count, kinds, err);
    for (int c = 0; status == WEIR_OK && c < column_count; c++)
        if (kinds[c] == WEIR_PREP_CATEGORY)
            status =
                WEIR_FAIL(err, WEIR_EINVAL, "%s: column '%s' is a category, which no algorithm can take as it is: add an encode step", path, columns[c].name);
    weir_models_free(kinds);
    return status;
}

weir_status weir_prepared_check(const cJSON *chain, const char *path, const char *const *column_names, const weir_prep_column *kinds, int column_count,
                                weir_err *err) {
    weir_prep_column *numbers = kinds ? NULL : number_columns(column_names, column_count);
    if (!kinds && !numbers) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", column_count);
    weir_status status = check_kinds(chain, path, kinds ? kinds : numbers, column_count, err);
    weir_models_free(numbers);
    return status;
}

static weir_status fit_chain(const cJSON *chain, const char *path, const weir_matrix *train, weir_prep **ret_prep, bool *keep, weir_err *err) {
    weir_prep_column *numbers = train->kinds ? NULL : number_columns(train->column_names, train->column_count);
    const weir_prep_column *columns = train->kinds ? train->kinds : numbers;
    if (!columns) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", train->column_count);
    const weir_prep_rows rows = {
        /* without times: a row that is scored has no neighbours to fill its gaps from, so neither have those of training */
        .row_count = train->row_count,
        .values = train->values,
        .label = train->label,
        .task = train->task == WEIR_TASK_BINARY       ? WEIR_PREP_BINARY
                : train->task == WEIR_TASK_REGRESSION ? WEIR_PREP_REAL
                                                      : WEIR_PREP_CLASSES,
        .importance = weir_model_column_importance,
        .importance_context = (void *)train,
    };
    weir_status status = weir_prep_fit(chain, path, columns, train->column_count, &rows, ret_prep, keep, err);
    weir_models_free(numbers);
    return status;
}

/* Kept rows move up, with their labels and weights. */
static void take_rows(weir_prepared *p, const weir_matrix *train, const bool *keep) {
    int width = weir_prep_output_count(p->prep);
    int64_t n = 0;
    for (int64_t r = 0; r < train->row_count; r++) {
        if (!keep[r]) continue;
        weir_prep_apply(p->prep, train->values + r * train->column_count, 1, p->values + n * width);
        p->label[n] = train->label[r];
        if (p->weight) p->weight[n] = train->weight[r];
        n++;
    }
    p->matrix = (weir_matrix){
        .row_count = n,
        .column_count = width,
        .values = p->values,
        .label = p->label,
        .column_names = weir_prep_output_names(p->prep),
        .weight = p->weight,
        .task = train->task,
        .class_count = train->class_count,
        .class_names = train->class_names,
    };
}

weir_status weir_prepared_make(const cJSON *chain, const char *path, const weir_matrix *train, weir_prepared *ret_prepared, weir_err *err) {
    weir_prepared p = {0};
    size_t rows = (size_t)train->row_count;
    bool *keep = weir_models_calloc(rows, sizeof *keep);
    weir_status status = keep ? fit_chain(chain, path, train, &p.prep, keep, err) : WEIR_ENOMEM;
    if (!status) {
        p.values = weir_models_calloc(rows * (size_t)weir_prep_output_count(p.prep), sizeof *p.values);
        p.label = weir_models_calloc(rows, sizeof *p.label);
        p.weight = train->weight ? weir_models_calloc(rows, sizeof *p.weight) : NULL;
    }
    if (!keep || (!status && (!p.values || !p.label || (train->weight && !p.weight))))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory to prepare %lld rows", (long long)train->row_count);
    if (status) {
        weir_prepared_done(&p);
    } else {
        take_rows(&p, train, keep);
        *ret_prepared = p;
    }
    weir_models_free(keep);
    return status;
}

void weir_prepared_done(weir_prepared *prepared) {
    weir_prep_free(prepared->prep);
    weir_models_free(prepared->values);
    weir_models_free(prepared->label);
    weir_models_free(prepared->weight);
    *prepared = (weir_prepared){0};
}
