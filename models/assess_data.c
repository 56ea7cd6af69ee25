/* What the rows are: spans, labels, columns, and what is wrong with them; see docs/evaluation.md, "dataset". */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/assess_internal.h"
#include "models/memory.h"

enum { BINS = 20, SAMPLE = 50000, CLASSES_SHOWN = 50 };

/* A column's values that are there, at most SAMPLE of them, evenly chosen, sorted. */
typedef struct values {
    double *sorted;
    int64_t count, missing, rows;
} values;

static int64_t stride_of(int64_t rows) {
    return rows > SAMPLE ? (rows + SAMPLE - 1) / SAMPLE : 1;
}

static void read_values(const double *first, int64_t rows, int step, values *v) {
    int64_t stride = stride_of(rows);
    v->count = v->missing = 0;
    v->rows = rows;
    for (int64_t r = 0; r < rows; r++) {
        double x = first[r * step];
        if (isnan(x))
            v->missing++;
        else if (r % stride == 0)
            v->sorted[v->count++] = x;
    }
    qsort(v->sorted, (size_t)v->count, sizeof *v->sorted, weir_assess_by_value);
}

static bool make_values(const weir_assess_state *s, values *train, values *test) {
    train->sorted = weir_models_calloc((size_t)fmin((double)s->train->matrix.row_count, SAMPLE + 1), sizeof *train->sorted);
    test->sorted = weir_models_calloc((size_t)fmin((double)s->rows, SAMPLE + 1), sizeof *test->sorted);
    return train->sorted && test->sorted;
}

static int64_t distinct_of(const values *v) {
    int64_t distinct = v->count > 0;
    for (int64_t i = 1; i < v->count; i++) distinct += v->sorted[i] != v->sorted[i - 1];
    return distinct;
}

/* The largest difference of the two distribution functions (Kolmogorov and Smirnov's distance); NaN when one has no values. */
static double distance_of(const values *a, const values *b) {
    double largest = 0;
    int64_t i = 0, j = 0;
    if (!a->count || !b->count) return NAN;
    while (i < a->count && j < b->count) {
        double x = fmin(a->sorted[i], b->sorted[j]);
        while (i < a->count && a->sorted[i] <= x) i++;
        while (j < b->count && b->sorted[j] <= x) j++;
        largest = fmax(largest, fabs((double)i / (double)a->count - (double)j / (double)b->count));
    }
    return largest;
}

/* Between the 1 % and 99 % quantiles; what is outside is in the first or last bin. */
static void histogram(weir_assess_state *s, cJSON *parent, const values *v) {
    double counts[BINS] = {0}, low = weir_assess_quantile(v->sorted, v->count, 0.01), high = weir_assess_quantile(v->sorted, v->count, 0.99);
    if (!(high > low)) {
        low = v->sorted[0];
        high = v->sorted[v->count - 1];
    }
    for (int64_t i = 0; i < v->count; i++) {
        int bin = high > low ? (int)fmin(fmax((v->sorted[i] - low) / (high - low) * BINS, 0), BINS - 1) : 0;
        counts[bin]++;
    }
    cJSON *object = weir_assess_object(s, parent, "histogram");
    weir_assess_number(s, object, "low", low);
    weir_assess_number(s, object, "high", high);
    weir_assess_numbers(s, object, "counts", counts, BINS);
}

static void numbers_of(weir_assess_state *s, cJSON *object, const values *v) {
    double sum = 0, squares = 0, n = (double)v->count;
    for (int64_t i = 0; i < v->count; i++) sum += v->sorted[i];
    for (int64_t i = 0; i < v->count; i++) squares += (v->sorted[i] - sum / n) * (v->sorted[i] - sum / n);
    weir_assess_number(s, object, "mean", sum / n);
    weir_assess_number(s, object, "deviation", n > 1 ? sqrt(squares / (n - 1)) : NAN);
    weir_assess_number(s, object, "min", weir_assess_quantile(v->sorted, v->count, 0));
    weir_assess_number(s, object, "median", weir_assess_quantile(v->sorted, v->count, 0.5));
    weir_assess_number(s, object, "max", weir_assess_quantile(v->sorted, v->count, 1));
    histogram(s, object, v);
}

static void columns(weir_assess_state *s, cJSON *dataset, values *train, values *test) {
    const weir_matrix *m = &s->train->matrix;
    cJSON *array = weir_assess_array(s, dataset, "column_list");
    double missing = 0;
    int constant = 0, holes = 0;
    for (int c = 0; c < m->column_count && !s->no_memory; c++) {
        cJSON *object = weir_assess_object(s, array, NULL);
        bool category = weir_assess_is_category(m, c);
        read_values(m->values + c, m->row_count, m->column_count, train);
        read_values(s->test->matrix.values + c, s->rows, m->column_count, test);
        int64_t distinct = distinct_of(train);
        missing += (double)train->missing;
        constant += distinct <= 1;
        holes += train->missing > 0;
        weir_assess_text(s, object, "name", m->column_names[c]);
        weir_assess_text(s, object, "kind", category ? "category" : "number");
        weir_assess_number(s, object, "missing", m->row_count ? (double)train->missing / (double)m->row_count : NAN);
        weir_assess_number(s, object, "missing_in_test", s->rows ? (double)test->missing / (double)s->rows : NAN);
        weir_assess_number(s, object, "distinct", (double)distinct);
        weir_assess_number(s, object, "shift", category ? NAN : distance_of(train, test));
        if (!category && train->count) numbers_of(s, object, train);
    }
    cJSON *quality = weir_assess_object(s, dataset, "quality");
    weir_assess_number(s, quality, "missing", missing / fmax((double)m->row_count * m->column_count, 1));
    weir_assess_number(s, quality, "columns_with_missing", holes);
    weir_assess_number(s, quality, "columns_constant", constant);
    weir_assess_number(s, quality, "rows_without_label", (double)(s->train->without_label + s->test->without_label));
    weir_assess_flag(s, quality, "sampled", stride_of(m->row_count) > 1 || stride_of(s->rows) > 1);
}

static void part_of(weir_assess_state *s, cJSON *dataset, const char *key, const weir_trainset *set, values *v) {
    cJSON *part = weir_assess_object(s, dataset, key);
    const weir_matrix *m = &set->matrix;
    weir_assess_number(s, part, "rows", (double)m->row_count);
    if (set->time_us && m->row_count) {
        weir_assess_time(s, part, "from_us", set->time_us[0]);
        weir_assess_time(s, part, "to_us", set->time_us[m->row_count - 1]);
    }
    weir_assess_text(s, part, "digest", set->digest);
    weir_assess_text(s, part, "query", set->query);
    if (s->task == WEIR_TASK_REGRESSION) {
        read_values(m->label, m->row_count, 1, v);
        if (v->count) numbers_of(s, weir_assess_object(s, part, "label"), v);
    }
}

static void classes(weir_assess_state *s, cJSON *dataset) {
    int count = s->task == WEIR_TASK_BINARY ? 2 : s->test->matrix.class_count;
    cJSON *array = weir_assess_array(s, dataset, "classes");
    for (int k = 0; k < count && k < CLASSES_SHOWN; k++) {
        char text[64];
        int64_t in_train = 0, in_test = 0;
        for (int64_t r = 0; r < s->train->matrix.row_count; r++) in_train += s->train->matrix.label[r] == k;
        for (int64_t r = 0; r < s->rows; r++) in_test += weir_assess_label(s, r) == k;
        cJSON *object = weir_assess_object(s, array, NULL);
        weir_assess_text(s, object, "name", weir_assess_class_name(s, k, text));
        weir_assess_number(s, object, "train", (double)in_train);
        weir_assess_number(s, object, "test", (double)in_test);
    }
}

weir_status weir_assess_dataset(weir_assess_state *s, weir_err *err) {
    values train = {0}, test = {0};
    weir_status status = make_values(s, &train, &test) ? WEIR_OK : weir_assess_no_memory(err);
    if (!status) {
        cJSON *dataset = weir_assess_object(s, s->json, "dataset");
        weir_assess_text(s, dataset, "source", s->train->source);
        weir_assess_text(s, dataset, "target", s->train->target_names ? s->train->target_names[0] : NULL);
        weir_assess_number(s, dataset, "columns", s->train->matrix.column_count);
        part_of(s, dataset, "train", s->train, &train);
        part_of(s, dataset, "test", s->test, &test);
        if (s->task != WEIR_TASK_REGRESSION) classes(s, dataset);
        columns(s, dataset, &train, &test);
    }
    weir_models_free(train.sorted);
    weir_models_free(test.sorted);
    return status;
}
