/* Do columns matter more than they would by chance? A column's importance is compared with what it is once the labels are dealt out to other rows: then no column has to
 * do with them, while the columns among themselves stay as they are.
 *
 *   rows    up to `rows` of those with a label, drawn by the seed
 *   T       importance of every column for some labels, by the caller's model, which is fitted on a part of the rows and looked at on the rest
 *   p       (1 + how many of B dealt-out labels give the column at least the importance that the true ones give it) / (1 + B)
 *
 * Where no column has to do with the label, the p-values are exact whatever T is: labels in their own and in any other order are equally likely then. Where some have, the
 * others' p-values are too large if anything: the model explains a part of the labels, and less is left that chance could ascribe to the others. A column that has to do
 * with the label only through another one counts as relevant. Rows must not depend on each other: of slow series against a slow label the p-values are too small.
 *
 * A model is fitted 1 + B times. Between two of them the fit can be asked to stop (models/interrupt.h).
 * Sources: Altmann, Toloşi, Sander, Lengauer, Permutation importance: a corrected feature importance measure, Bioinformatics 26, 2010; Phipson, Smyth, Permutation P-values
 * should never be zero, 2010. */
#include <string.h>

#include "models/interrupt.h"
#include "models/memory.h"
#include "models/prep_internal.h"
#include "models/random.h"

enum { ROWS_MIN = 30, AUTOMATIC_MIN = 99 };

typedef struct sample {
    int row_count, column_count;
    int *rows; /* [row_count] positions among the rows that are left */
    double *values, *label; /* [row_count][column_count], [row_count] */
    const char **names;
    double *importance, *by_chance; /* [column_count] */
} sample;

static void sample_done(sample *s) {
    weir_models_free(s->rows);
    weir_models_free(s->values);
    weir_models_free(s->label);
    weir_models_free(s->names);
    weir_models_free(s->importance);
    weir_models_free(s->by_chance);
}

static weir_status no_memory(int row_count, int column_count, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to select %d columns over %d rows", column_count, row_count);
}

/* Draws the rows. Source: Fisher and Yates; of the shuffled rows the first are taken. */
static weir_status draw_rows(const weir_prep_fitting *f, const weir_prep_permutation *how, uint64_t *random, sample *s, weir_err *err) {
    int n = 0, *rows = weir_models_calloc((size_t)f->kept_count, sizeof *rows);
    if (!rows) return no_memory(f->kept_count, s->column_count, err);
    s->rows = rows;
    for (int i = 0; i < f->kept_count; i++)
        if (!isnan(f->rows->label[f->kept[i]])) rows[n++] = i;
    if (n < ROWS_MIN) return WEIR_FAIL(err, WEIR_EDATA, "found %d rows with a label, expected at least %d to hold a part of them out", n, ROWS_MIN);
    s->row_count = n < how->rows ? n : (int)how->rows;
    for (int i = 0; i < s->row_count; i++) {
        int other = i + (int)weir_models_random_below(random, (uint64_t)(n - i)), row = rows[other];
        rows[other] = rows[i];
        rows[i] = row;
    }
    return WEIR_OK;
}

static weir_status fill(weir_prep_fitting *f, const int *nodes, sample *s, weir_err *err) {
    size_t n = (size_t)s->row_count, m = (size_t)s->column_count;
    s->values = weir_models_calloc(n, m * sizeof *s->values);
    s->label = weir_models_calloc(n, sizeof *s->label);
    s->names = weir_models_calloc(m, sizeof *s->names);
    s->importance = weir_models_calloc(m, sizeof *s->importance);
    s->by_chance = weir_models_calloc(m, sizeof *s->by_chance);
    if (!s->values || !s->label || !s->names || !s->importance || !s->by_chance) return no_memory(s->row_count, s->column_count, err);
    for (size_t c = 0; c < m; c++) {
        s->names[c] = f->prep->nodes[nodes[c]].name;
        weir_prep_gather(f, nodes[c], f->values);
        for (size_t i = 0; i < n; i++) s->values[i * m + c] = f->values[s->rows[i]];
    }
    for (size_t i = 0; i < n; i++) s->label[i] = f->rows->label[f->kept[s->rows[i]]];
    return WEIR_OK;
}

static weir_status measure(const weir_prep_fitting *f, const sample *s, double *ret_importance, weir_err *err) {
    weir_status status = weir_interrupt_check(err);
    if (!status)
        status =
            f->rows->importance(f->rows->importance_context, "permutation", s->values, s->label, s->names, s->row_count, s->column_count, ret_importance, err);
    for (int c = 0; !status && c < s->column_count; c++)
        if (!isfinite(ret_importance[c])) status = WEIR_FAIL(err, WEIR_ENUMERIC, "column '%s': its importance is not finite", s->names[c]);
    return status;
}

static void deal_out(double *label, int n, uint64_t *random) {
    for (int i = n - 1; i > 0; i--) {
        int other = (int)weir_models_random_below(random, (uint64_t)i + 1);
        double y = label[i];
        label[i] = label[other];
        label[other] = y;
    }
}

int weir_prep_permutation_count(const weir_prep_permutation *how, int column_count) {
    if (how->permutations) return (int)how->permutations;
    double alone = floor(column_count / how->fdr) + 1;
    return alone > WEIR_PREP_PERMUTATIONS_AUTOMATIC ? WEIR_PREP_PERMUTATIONS_AUTOMATIC : alone < AUTOMATIC_MIN ? AUTOMATIC_MIN : (int)alone;
}

weir_status weir_prep_permute(weir_prep_fitting *f, const weir_prep_permutation *how, const int *nodes, int count, double *ret_p, weir_err *err) {
    uint64_t random = (uint64_t)how->seed;
    sample s = {.column_count = count};
    int permutations = weir_prep_permutation_count(how, count);
    weir_status status = draw_rows(f, how, &random, &s, err);
    if (!status) status = fill(f, nodes, &s, err);
    if (!status) status = measure(f, &s, s.importance, err);
    for (int c = 0; !status && c < count; c++) ret_p[c] = 1;
    for (int b = 0; !status && b < permutations; b++) {
        deal_out(s.label, s.row_count, &random);
        status = measure(f, &s, s.by_chance, err);
        for (int c = 0; !status && c < count; c++) ret_p[c] += s.by_chance[c] >= s.importance[c];
    }
    for (int c = 0; !status && c < count; c++) ret_p[c] /= 1 + permutations;
    sample_done(&s);
    return status;
}
