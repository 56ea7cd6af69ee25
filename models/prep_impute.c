/* Imputation: what a missing value becomes.
 *
 *   mean, median    of the training rows' values, numbers only                  scikit-learn's SimpleImputer
 *   most_frequent   of equally frequent ones the smallest number                SimpleImputer
 *   constant        "value", or for categories "text"                           SimpleImputer
 *   forward_fill    the entity's last value before                              pandas' ffill by entity
 *   interpolate     on the line between the entity's values before and after    pandas' interpolate(method="time", limit_area="inside") by entity
 *
 * The last two fill by neighbours in batches only; whatever has none gets the median, of a category the most frequent value. "indicator" adds a column NAME=<filled>,
 * 1 where the value was missing. A column without any value gets 0, as SimpleImputer's with keep_empty_features: what columns there are should not hang on the data. */
#include <string.h>

#include "features/operator.h"
#include "models/prep_internal.h"

enum { MEAN, MEDIAN, MOST_FREQUENT, CONSTANT, FORWARD_FILL, INTERPOLATE };
static const char *const methods[] = {"mean", "median", "most_frequent", "constant", "forward_fill", "interpolate", NULL};

typedef struct impute_params {
    weir_prep_common common;
    int method;
    double value;
    char *text;
    bool indicator;
} impute_params;

static const weir_conf_item params_table[] = {
    WEIR_PREP_COLUMNS_ITEM,
    {.name = "impute", .type = WEIR_CONF_ENUM, .offset = offsetof(impute_params, method), .choices = methods, .doc = "what a missing value becomes"},
    {.name = "value", .type = WEIR_CONF_NUMBER, .offset = offsetof(impute_params, value), .fallback = "0", .doc = "the constant"},
    {.name = "text", .type = WEIR_CONF_STRING, .offset = offsetof(impute_params, text), .doc = "the constant, for categories"},
    {.name = "indicator", .type = WEIR_CONF_BOOL, .offset = offsetof(impute_params, indicator), .fallback = "false", .doc = "add a column: was it missing?"},
    {0},
};

static weir_status check(const void *params, const cJSON *given, const char *path, weir_err *err) {
    const impute_params *p = params;
    weir_status status = weir_prep_only(given, path, "value", p->method == CONSTANT && !p->text, "\"constant\" and without \"text\"", err);
    return status == WEIR_OK ? weir_prep_only(given, path, "text", p->method == CONSTANT, "\"constant\"", err) : status;
}

static bool takes(const void *params, weir_prep_kind kind, bool named) {
    const impute_params *p = params;
    switch (p->method) {
    case MEAN:
    case MEDIAN:
    case INTERPOLATE: return kind == WEIR_PREP_NUMBER;
    case CONSTANT: return kind == (p->text ? WEIR_PREP_CATEGORY : WEIR_PREP_NUMBER) || (named && !p->text && kind == WEIR_PREP_CATEGORY);
    default: return kind != WEIR_PREP_FLAG;
    }
}

static weir_prep_kind becomes(const void *params, weir_prep_kind kind) {
    (void)params;
    return kind;
}

static double filling(weir_prep_fitting *f, const impute_params *p, int node) {
    if (p->method == CONSTANT) return p->text ? weir_text_number(p->text, strlen(p->text)) : p->value;
    int n = weir_prep_present(f, node, f->values);
    if (p->method == MEAN) return weir_prep_mean(f->values, n);
    bool mode = p->method == MOST_FREQUENT || f->prep->nodes[node].kind == WEIR_PREP_CATEGORY;
    return mode ? weir_prep_mode(f->values, n) : weir_prep_quantile(f->values, n, 0.5);
}

/* An encoding that follows should know what its number stands for. */
static weir_status keep_text(weir_prep_fitting *f, const char *text, weir_err *err) {
    for (int i = 0; i < f->text_count; i++)
        if (!strcmp(f->texts[i], text)) return WEIR_OK;
    const char *own = weir_arena_copy(&f->prep->arena, text, strlen(text));
    if (!own) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a text");
    f->texts[f->text_count++] = own;
    return WEIR_OK;
}

static weir_status fit(weir_prep_fitting *f, const void *params, int node, weir_err *err) {
    const impute_params *p = params;
    weir_status status = p->text ? keep_text(f, p->text, err) : WEIR_OK;
    if (status != WEIR_OK) return status;
    weir_prep_op op = p->method == FORWARD_FILL ? WEIR_PREP_FORWARD_FILL : p->method == INTERPOLATE ? WEIR_PREP_INTERPOLATE : WEIR_PREP_FILL;
    weir_prep_node filled = {.op = op, .kind = f->prep->nodes[node].kind, .parent = node, .levels = -1, .a = filling(f, p, node)};
    status = weir_prep_emit_new(f, filled, err);
    if (status != WEIR_OK || !p->indicator) return status;
    weir_prep_node flag = {.op = WEIR_PREP_MISSING, .kind = WEIR_PREP_FLAG, .parent = node, .levels = -1};
    status = weir_prep_name(f->prep, f->prep->nodes[node].name, "<filled>", &flag.name, err);
    return status == WEIR_OK ? weir_prep_emit_new(f, flag, err) : status;
}

const weir_prep_step weir_prep_impute = {
    .key = "impute", .params = params_table, .params_size = sizeof(impute_params), .check = check, .takes = takes, .becomes = becomes, .fit = fit};

/* ---- neighbours in time ---- */

/* Where the values are, and when. */
typedef struct line {
    const weir_prep_rows *rows;
    const int64_t *kept;
    const int *order;
    double *values;
} line;

static int64_t row_of(const line *l, int i) {
    return l->kept ? l->kept[l->order[i]] : l->order[i];
}

/* µs from place `from` to place `to` in the order, which is not before it. */
static double elapsed_us(const line *l, int from, int to) {
    return (double)((uint64_t)l->rows->time_us[row_of(l, to)] - (uint64_t)l->rows->time_us[row_of(l, from)]);
}

static double between(const line *l, int left, int i, int right) {
    double y = l->values[l->order[left]], span_us = elapsed_us(l, left, right);
    return span_us > 0 ? (l->values[l->order[right]] - y) / span_us * elapsed_us(l, left, i) + y : y;
}

/* The rows at places [from, to) are those of one entity. */
static void fill_entity(const line *l, weir_prep_op op, int from, int to) {
    int left = -1; /* the last place with a value */
    for (int i = from; i < to; i++) {
        double *x = &l->values[l->order[i]];
        if (isnan(*x)) {
            if (op == WEIR_PREP_FORWARD_FILL && left >= 0) *x = l->values[l->order[left]];
            continue;
        }
        for (int gap = left + 1; op == WEIR_PREP_INTERPOLATE && left >= 0 && gap < i; gap++) l->values[l->order[gap]] = between(l, left, gap, i);
        left = i;
    }
}

void weir_prep_fill_in_time(const weir_prep_node *node, const weir_prep_rows *rows, const int64_t *kept, const int *order, int n, double *values) {
    line l = {rows, kept, order, values};
    for (int from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && (!rows->entity || rows->entity[row_of(&l, to)] == rows->entity[row_of(&l, from)]);) to++;
        fill_entity(&l, node->op, from, to);
    }
}
