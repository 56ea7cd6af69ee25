/* Selection: which columns stay. Numbers and flags are judged, categories are left alone: encode them first.
 *
 *   variance             above "threshold" (0), divisor n, missing values left out    scikit-learn's VarianceThreshold
 *   correlation          in their order, those whose Pearson correlation with every earlier column that stays is at most "threshold" in size; over the rows that have
 *                        both values. One with a column that does not vary is 0
 *   mutual_information   with the label: the "k" best, or those above "threshold" nats. Both are cut into up to "bins" (16) bins of equally many rows, equal values
 *                        stay together, missing values of the column are a bin of their own, and the estimate is that of the histogram:
 *                          Σ p(x, y) ln (p(x, y) / (p(x) p(y)))        Cover, Thomas, Elements of Information Theory, 2nd ed., eq. 2.28
 *                        It is too large by about (bins_x − 1)(bins_y − 1) / 2n where there is no relation     Miller, Note on the bias of information estimates, 1955
 *   relevance            p-value of each column against the label, then Benjamini and Hochberg's bound "fdr" (0.05) on the share of irrelevant columns among those
 *                        that stay:
 *                          binary  Mann–Whitney's U, normal approximation with ties and correction for continuity    Hollander, Wolfe, Nonparametric Statistical Methods
 *                          real    Kendall's τ, normal approximation with ties                                       Kendall, Rank Correlation Methods
 *                          bound   Benjamini, Hochberg, Controlling the False Discovery Rate, 1995; it holds for columns that are independent or depend on each other
 *                                  positively (Benjamini, Yekutieli 2001)
 *                        as Christ, Kempa-Liehr, Feindt, Distributed and parallel time series feature extraction (tsfresh), 2016, but one test for columns of all kinds
 *   permutation          p-value of each column's importance by permutation, from a model of all columns together, then the bound "fdr" as for relevance. Labels are
 *                        dealt out "permutations" times (without: so often that one column alone can pass the bound, at most 999), over up to "rows" (1000) rows, by
 *                        "seed" (1): models/prep_permutation.c; the model is that of models/prep_importance.h. It sees columns that matter together only, such as two
 *                        whose product the label is, and relations that go up and down. Columns that share one model are not shown to depend positively on each
 *                        other; the bound holds because the p-values of irrelevant columns are too large, and simulations in tests/unit/models/test_prep_permutation.c
 *                        measure it, correlated columns among them. Benjamini and Yekutieli's bound for any dependence would take ln(columns) times as many fits
 *   importance, l1       size of what the caller's model says (weir_prep_importance; of a model's chain those of models/prep_importance.h): the "k" best, or those above "threshold" (of l1: 0, the coefficients that are left)
 *
 * Several classes: mutual_information (a class is a bin, where no more than 256 are common), permutation and importance only. Rows without a label are left out of
 * mutual_information, relevance and permutation. Of equally good columns the earlier one is better. */
#include <stdlib.h>
#include <string.h>

#include "features/sort.h"
#include "models/memory.h"
#include "models/prep_internal.h"

enum { VARIANCE, CORRELATION, MUTUAL_INFORMATION, RELEVANCE, IMPORTANCE, L1, PERMUTATION };
static const char *const methods[] = {"variance", "correlation", "mutual_information", "relevance", "importance", "l1", "permutation", NULL};
enum { BINS_MAX = 256 };

typedef struct select_params {
    weir_prep_common common;
    int method;
    double threshold, fdr;
    int64_t k, bins, permutations, rows, seed;
} select_params;

static const weir_conf_item params_table[] = {
    WEIR_PREP_COLUMNS_ITEM,
    {.name = "select", .type = WEIR_CONF_ENUM, .offset = offsetof(select_params, method), .choices = methods, .doc = "how columns are judged"},
    {.name = "threshold",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(select_params, threshold),
     .min = 0,
     .max = 1e300,
     .fallback = "0",
     .doc = "what a column must exceed; of correlation what it must not"},
    {.name = "k", .type = WEIR_CONF_INT, .offset = offsetof(select_params, k), .min = 1, .max = WEIR_PREP_COLUMNS_MAX, .doc = "how many columns stay"},
    {.name = "fdr",
     .type = WEIR_CONF_NUMBER,
     .offset = offsetof(select_params, fdr),
     .min = 0,
     .max = 1,
     .fallback = "0.05",
     .doc = "of relevance and permutation: the expected share of columns that stay without being relevant"},
    {.name = "bins",
     .type = WEIR_CONF_INT,
     .offset = offsetof(select_params, bins),
     .min = 2,
     .max = BINS_MAX,
     .fallback = "16",
     .doc = "of mutual_information"},
    {.name = "permutations",
     .type = WEIR_CONF_INT,
     .offset = offsetof(select_params, permutations),
     .min = 0,
     .max = 100000,
     .fallback = "0",
     .doc = "of permutation: how often labels are dealt out; 0: so often that one column alone can pass the bound, at most 999 times"},
    {.name = "rows",
     .type = WEIR_CONF_INT,
     .offset = offsetof(select_params, rows),
     .min = 100,
     .max = 1000000,
     .fallback = "1000",
     .doc = "of permutation: how many rows are looked at, at most"},
    {.name = "seed",
     .type = WEIR_CONF_INT,
     .offset = offsetof(select_params, seed),
     .min = 0,
     .max = 9007199254740991,
     .fallback = "1",
     .doc = "of permutation"},
    {0},
};

/* The least p-value must be able to pass. */
static weir_status check_permutation(const select_params *p, const char *path, weir_err *err) {
    double most = p->permutations ? (double)p->permutations : WEIR_PREP_PERMUTATIONS_AUTOMATIC;
    if (p->fdr * (1 + most) >= 1) return WEIR_OK;
    if (!p->permutations) return WEIR_FAIL(err, WEIR_EINVAL, "%s.fdr: found %g, expected at least %g, or more \"permutations\"", path, p->fdr, 1 / (1 + most));
    if (p->fdr == 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s.fdr: found 0, expected more, which p-values by permutation never are", path);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s.permutations: found %lld, expected at least %.0f for \"fdr\" %g", path, (long long)p->permutations,
                     ceil(1 / p->fdr) - 1, p->fdr);
}

static weir_status check(const void *params, const cJSON *given, const char *path, weir_err *err) {
    static const char *const of_permutation[] = {"permutations", "rows", "seed"};
    const select_params *p = params;
    bool bounded = p->method == RELEVANCE || p->method == PERMUTATION;
    bool ranked = p->method == MUTUAL_INFORMATION || p->method == IMPORTANCE || p->method == L1;
    bool k = cJSON_GetObjectItemCaseSensitive(given, "k"), threshold = cJSON_GetObjectItemCaseSensitive(given, "threshold");
    weir_status status = weir_prep_only(given, path, "k", ranked, "\"mutual_information\", \"importance\" and \"l1\"", err);
    if (status == WEIR_OK)
        status = weir_prep_only(given, path, "threshold", !bounded && !k, "other selections than \"relevance\" and \"permutation\", and without \"k\"", err);
    if (status == WEIR_OK) status = weir_prep_only(given, path, "fdr", bounded, "\"relevance\" and \"permutation\"", err);
    if (status == WEIR_OK) status = weir_prep_only(given, path, "bins", p->method == MUTUAL_INFORMATION, "\"mutual_information\"", err);
    for (size_t i = 0; status == WEIR_OK && i < sizeof of_permutation / sizeof *of_permutation; i++)
        status = weir_prep_only(given, path, of_permutation[i], p->method == PERMUTATION, "\"permutation\"", err);
    if (status == WEIR_OK && p->method == PERMUTATION) status = check_permutation(p, path, err);
    if (status == WEIR_OK && p->method == CORRELATION && !threshold)
        status = WEIR_FAIL(err, WEIR_EINVAL, "%s.threshold: found nothing, expected a correlation such as 0.95", path);
    if (status == WEIR_OK && (p->method == MUTUAL_INFORMATION || p->method == IMPORTANCE) && !k && !threshold)
        status = WEIR_FAIL(err, WEIR_EINVAL, "%s: found neither \"k\" nor \"threshold\", expected one of them", path);
    if (status == WEIR_OK && p->method == CORRELATION && p->threshold > 1)
        status = WEIR_FAIL(err, WEIR_EINVAL, "%s.threshold: found %g, expected a correlation, 0 to 1", path, p->threshold);
    return status;
}

static bool takes(const void *params, weir_prep_kind kind, bool named) {
    (void)params;
    (void)named;
    return kind != WEIR_PREP_CATEGORY;
}

static weir_prep_kind becomes(const void *params, weir_prep_kind kind) {
    (void)params;
    return kind;
}

/* ---- what several of them need ---- */

static weir_status no_memory(const weir_prep_fitting *f, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to select columns over %d rows", f->kept_count);
}

/* The label of the rows that are left: out [kept_count]. */
static void gather_label(const weir_prep_fitting *f, double *out) {
    for (int i = 0; i < f->kept_count; i++) out[i] = f->rows->label[f->kept[i]];
}

static weir_status check_label(const weir_prep_fitting *f, weir_err *err) {
    if (!f->rows->label || f->rows->task == WEIR_PREP_NO_TASK) return WEIR_FAIL(err, WEIR_EDATA, "found no label, expected one to select columns by");
    bool has[2] = {false, false};
    for (int i = 0; i < f->kept_count; i++) {
        double y = f->rows->label[f->kept[i]];
        if (isinf(y)) return WEIR_FAIL(err, WEIR_ENUMERIC, "row %lld has an infinite label", (long long)f->kept[i]);
        if (isnan(y) || f->rows->task != WEIR_PREP_BINARY) continue;
        if (y != 0 && y != 1) return WEIR_FAIL(err, WEIR_EDATA, "row %lld has label %g, expected 0 or 1", (long long)f->kept[i], y);
        has[y == 1] = true;
    }
    if (f->rows->task == WEIR_PREP_BINARY && !(has[0] && has[1]))
        return WEIR_FAIL(err, WEIR_EDATA, "found labels of one class only, expected both to select columns by");
    return WEIR_OK;
}

/* Pairs of value and label of the rows that have both; returns how many. */
static int gather_pairs(const weir_prep_fitting *f, int node, weir_pair *pairs) {
    int n = 0;
    weir_prep_gather(f, node, f->values);
    for (int i = 0; i < f->kept_count; i++) {
        double y = f->rows->label[f->kept[i]];
        if (!isnan(f->values[i]) && !isnan(y)) pairs[n++] = (weir_pair){f->values[i], y};
    }
    return n;
}

static weir_status note_all(weir_prep_fitting *f, const int *nodes, const double *value, int count, const bool *keep, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; status == WEIR_OK && i < count; i++) status = weir_prep_note(f, nodes[i], value[i], keep[i], err);
    return status;
}

/* Keeps the k largest, or without k those above the threshold. */
static weir_status keep_best(const select_params *p, const double *value, int count, bool *keep, weir_err *err) {
    weir_pair *pairs = weir_models_calloc((size_t)count, sizeof *pairs);
    if (!pairs) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to rank %d columns", count);
    for (int i = 0; i < count; i++) pairs[i] = (weir_pair){-value[i], i};
    weir_sort_pairs(pairs, count);
    for (int i = 0; i < count; i++) keep[(int)pairs[i].with] = p->k ? i < p->k : -pairs[i].key > p->threshold;
    weir_models_free(pairs);
    return WEIR_OK;
}

/* ---- variance ---- */

static weir_status by_variance(weir_prep_fitting *f, const select_params *p, const int *nodes, int count, double *value, bool *keep, weir_err *err) {
    (void)err;
    for (int i = 0; i < count; i++) {
        int n = weir_prep_present(f, nodes[i], f->values);
        value[i] = n ? weir_prep_variance(f->values, n, weir_prep_mean(f->values, n)) : NAN;
        bool varies = n && f->values[0] < f->values[n - 1]; /* the variance of equal values may be a rounding error */
        keep[i] = varies && value[i] > p->threshold;
    }
    return WEIR_OK;
}

/* ---- correlation ---- */

/* Over the rows that have both; 0 where one of them does not vary there. Source: Pearson, by deviations from the means of those rows. */
static double correlation(const double *x, const double *y, int n) {
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    int both = 0;
    for (int i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i])) continue;
        mean_x += x[i];
        mean_y += y[i];
        both++;
    }
    mean_x /= both;
    mean_y /= both;
    bool varies_x = false, varies_y = false;
    double first_x = NAN, first_y = NAN;
    for (int i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i])) continue;
        if (isnan(first_x)) {
            first_x = x[i];
            first_y = y[i];
        }
        varies_x |= x[i] != first_x;
        varies_y |= y[i] != first_y;
        double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    double scale = sqrt(xx) * sqrt(yy);
    return varies_x && varies_y && scale > 0 ? fmin(fmax(xy / scale, -1), 1) : 0;
}

static weir_status by_correlation(weir_prep_fitting *f, const select_params *p, const int *nodes, int count, double *value, bool *keep, weir_err *err) {
    size_t bytes = (size_t)f->kept_count * sizeof(double);
    double **staying = weir_models_calloc((size_t)count, sizeof *staying);
    weir_status status = staying ? WEIR_OK : no_memory(f, err);
    int stay = 0;
    for (int i = 0; status == WEIR_OK && i < count; i++) {
        weir_prep_gather(f, nodes[i], f->values);
        for (int j = 0; j < stay; j++) value[i] = fmax(value[i], fabs(correlation(staying[j], f->values, f->kept_count)));
        keep[i] = value[i] <= p->threshold;
        if (!keep[i]) continue;
        staying[stay] = weir_models_calloc(1, bytes);
        if (staying[stay])
            memcpy(staying[stay++], f->values, bytes);
        else
            status = no_memory(f, err);
    }
    for (int j = 0; j < stay; j++) weir_models_free(staying[j]);
    weir_models_free(staying);
    return status;
}

/* ---- mutual information ---- */

/* Where bins begin: edge[i] is the least value of bin i + 1. values [n] ascending, edge [bins]; returns how many edges there are. */
static int find_edges(const double *values, int n, int bins, double *edge) {
    int distinct = 0, count = 0;
    for (int i = 1; i < n && distinct < bins; i++) distinct += values[i] != values[i - 1];
    if (distinct < bins) { /* each value is a bin */
        for (int i = 1; i < n; i++)
            if (values[i] != values[i - 1]) edge[count++] = values[i];
        return count;
    }
    for (int b = 1; b < bins; b++) {
        double at = values[(int64_t)b * n / bins];
        if (at > values[0] && (!count || at > edge[count - 1])) edge[count++] = at;
    }
    return count;
}

static int bin_of(const double *edge, int count, double x) {
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (edge[middle] <= x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Rows counted by bin of the column and bin of the label. */
typedef struct table {
    double edge_x[BINS_MAX], edge_y[BINS_MAX];
    int64_t cell[BINS_MAX + 1][BINS_MAX], of_x[BINS_MAX + 1], of_y[BINS_MAX], all;
} table;

static double information(const table *t) {
    double sum = 0;
    for (int x = 0; x <= BINS_MAX; x++)
        for (int y = 0; t->of_x[x] && y < BINS_MAX; y++)
            if (t->cell[x][y]) {
                double n = (double)t->all, c = (double)t->cell[x][y];
                sum += c / n * log(c * n / ((double)t->of_x[x] * (double)t->of_y[y]));
            }
    return fmax(sum, 0);
}

/* label [kept_count], of which edge_y [edges_y] are the bins. */
static double column_information(weir_prep_fitting *f, int node, int bins, const double *label, int edges_y, table *t) {
    int n = weir_prep_present(f, node, f->values), edges_x = find_edges(f->values, n, bins, t->edge_x);
    memset(t->cell, 0, sizeof t->cell);
    memset(t->of_x, 0, sizeof t->of_x);
    memset(t->of_y, 0, sizeof t->of_y);
    t->all = 0;
    weir_prep_gather(f, node, f->values);
    for (int i = 0; i < f->kept_count; i++) {
        if (isnan(label[i])) continue;
        int x = isnan(f->values[i]) ? BINS_MAX : bin_of(t->edge_x, edges_x, f->values[i]), y = bin_of(t->edge_y, edges_y, label[i]);
        t->cell[x][y]++;
        t->of_x[x]++;
        t->of_y[y]++;
        t->all++;
    }
    return t->all ? information(t) : 0;
}

static weir_status by_information(weir_prep_fitting *f, const select_params *p, const int *nodes, int count, double *value, bool *keep, weir_err *err) {
    weir_status status = check_label(f, err);
    if (status != WEIR_OK) return status;
    double *label = weir_models_calloc((size_t)f->kept_count, sizeof *label);
    table *t = weir_models_calloc(1, sizeof *t);
    if (label && t) {
        int n = 0;
        gather_label(f, label);
        for (int i = 0; i < f->kept_count; i++)
            if (!isnan(label[i])) f->values[n++] = label[i];
        weir_sort(f->values, n);
        int edges_y = find_edges(f->values, n, f->rows->task == WEIR_PREP_CLASSES ? BINS_MAX : (int)p->bins, t->edge_y);
        for (int i = 0; i < count; i++) value[i] = column_information(f, nodes[i], (int)p->bins, label, edges_y, t);
        status = keep_best(p, value, count, keep, err);
    } else {
        status = no_memory(f, err);
    }
    weir_models_free(t);
    weir_models_free(label);
    return status;
}

/* ---- relevance ---- */

/* P(|Z| ≥ z), Z normal. */
static double two_sided(double z) {
    return fmin(erfc(z * M_SQRT1_2), 1);
}

/* pairs [n] of value and label 0 or 1; they end up sorted. 1 where nothing can be said. */
static double mann_whitney(weir_pair *pairs, int n) {
    weir_sort_pairs(pairs, n);
    double positives = 0, ranks = 0, ties = 0;
    for (int from = 0, to; from < n; from = to) {
        double here = 0;
        for (to = from; to < n && pairs[to].key == pairs[from].key; to++) here += pairs[to].with;
        double t = to - from;
        positives += here;
        ranks += here * (from + (t + 1) / 2); /* the middle rank of those that are tied */
        ties += t * (t * t - 1);
    }
    double negatives = n - positives, product = positives * negatives, u = ranks - positives * (positives + 1) / 2;
    double deviation = sqrt(product / 12 * (n + 1 - ties / ((double)n * (n - 1.0))));
    return deviation > 0 ? two_sided((fmax(u, product - u) - product / 2 - 0.5) / deviation) : 1;
}

/* Inversions of values [n], which end up sorted. Source: Knight, A computer method for calculating Kendall's tau with ungrouped data, 1966. */
static int64_t count_inversions(double *values, double *spare, int n) {
    if (n < 2) return 0;
    int half = n / 2;
    int64_t count = count_inversions(values, spare, half) + count_inversions(values + half, spare, n - half);
    memcpy(spare, values, (size_t)n * sizeof *spare);
    for (int to = 0, left = 0, right = half; to < n; to++) {
        if (right == n || (left < half && spare[left] <= spare[right])) {
            values[to] = spare[left++];
        } else {
            values[to] = spare[right++];
            count += half - left;
        }
    }
    return count;
}

/* Sums over the groups of equal values that Kendall's variance needs. */
typedef struct ties {
    double pairs, triples, weighted; /* Σ t(t−1)/2, Σ t(t−1)(t−2), Σ t(t−1)(2t+5) */
} ties;

static void add_ties(ties *sum, double t) {
    sum->pairs += t * (t - 1) / 2;
    sum->triples += t * (t - 1) * (t - 2);
    sum->weighted += t * (t - 1) * (2 * t + 5);
}

/* pairs [n] of value and label; they end up sorted. y and spare [n] are room. 1 where nothing can be said. */
static double kendall(weir_pair *pairs, int n, double *y, double *spare) {
    ties of_x = {0}, of_y = {0}, of_both = {0};
    weir_sort_pairs(pairs, n);
    for (int i = 0, x = 0, both = 0; i < n; i++) {
        y[i] = pairs[i].with;
        bool last = i + 1 == n, x_ends = last || pairs[i + 1].key != pairs[i].key, both_end = x_ends || pairs[i + 1].with != pairs[i].with;
        if (both_end) {
            add_ties(&of_both, i + 1 - both);
            both = i + 1;
        }
        if (x_ends) {
            add_ties(&of_x, i + 1 - x);
            x = i + 1;
        }
    }
    double discordant = (double)count_inversions(y, spare, n);
    for (int from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && y[to] == y[from];) to++;
        add_ties(&of_y, to - from);
    }
    double m = n * (n - 1.0), all = m / 2;
    if (n < 3 || of_x.pairs == all || of_y.pairs == all) return 1;
    double excess = all - of_x.pairs - of_y.pairs + of_both.pairs - 2 * discordant;
    double variance =
        (m * (2.0 * n + 5) - of_x.weighted - of_y.weighted) / 18 + 2 * of_x.pairs * of_y.pairs / m + of_x.triples * of_y.triples / (9 * m * (n - 2.0));
    return two_sided(fabs(excess) / sqrt(variance));
}

/* Keeps those up to the largest p-value with p ≤ rank / count · fdr. */
static weir_status keep_discoveries(double fdr, const double *p_value, int count, bool *keep, weir_err *err) {
    double *sorted = weir_models_calloc((size_t)count, sizeof *sorted), bound = -1;
    if (!sorted) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to rank %d columns", count);
    memcpy(sorted, p_value, (size_t)count * sizeof *sorted);
    weir_sort(sorted, count);
    for (int i = 0; i < count; i++)
        if (sorted[i] <= (i + 1.0) / count * fdr) bound = sorted[i];
    for (int i = 0; i < count; i++) keep[i] = p_value[i] <= bound;
    weir_models_free(sorted);
    return WEIR_OK;
}

static weir_status by_relevance(weir_prep_fitting *f, const select_params *p, const int *nodes, int count, double *value, bool *keep, weir_err *err) {
    if (f->rows->task == WEIR_PREP_CLASSES)
        return WEIR_FAIL(err, WEIR_EINVAL, "relevance is of a binary task or a regression, found several classes: select by mutual_information or importance");
    weir_status status = check_label(f, err);
    if (status != WEIR_OK) return status;
    size_t n = (size_t)f->kept_count;
    weir_pair *pairs = weir_models_calloc(n, sizeof *pairs);
    double *room = weir_models_calloc(n, 2 * sizeof *room);
    if (pairs && room) {
        for (int i = 0; i < count; i++) {
            int both = gather_pairs(f, nodes[i], pairs);
            value[i] = f->rows->task == WEIR_PREP_BINARY ? mann_whitney(pairs, both) : kendall(pairs, both, room, room + n);
        }
        status = keep_discoveries(p->fdr, value, count, keep, err);
    } else {
        status = no_memory(f, err);
    }
    weir_models_free(room);
    weir_models_free(pairs);
    return status;
}

/* ---- what the caller's model says ---- */

static weir_status ask(weir_prep_fitting *f, const select_params *p, const int *nodes, int count, double *value, double *matrix, double *label,
                       const char **names, weir_err *err) {
    for (int c = 0; c < count; c++) {
        names[c] = f->prep->nodes[nodes[c]].name;
        weir_prep_gather(f, nodes[c], f->values);
        for (int i = 0; i < f->kept_count; i++) matrix[(size_t)i * (size_t)count + (size_t)c] = f->values[i];
    }
    gather_label(f, label);
    weir_status status = f->rows->importance(f->rows->importance_context, methods[p->method], matrix, label, names, f->kept_count, count, value, err);
    for (int c = 0; status == WEIR_OK && c < count; c++) {
        value[c] = fabs(value[c]);
        if (!isfinite(value[c])) status = WEIR_FAIL(err, WEIR_ENUMERIC, "column '%s': its importance is not finite", names[c]);
    }
    return status;
}

static weir_status check_model(const weir_prep_fitting *f, weir_err *err) {
    if (!f->rows->importance) return WEIR_FAIL(err, WEIR_EDATA, "found no model to ask for the importance of columns, which this selection needs");
    return check_label(f, err);
}

static weir_status by_permutation(weir_prep_fitting *f, const select_params *p, const int *nodes, int count, double *value, bool *keep, weir_err *err) {
    const weir_prep_permutation how = {.permutations = p->permutations, .rows = p->rows, .seed = p->seed, .fdr = p->fdr};
    weir_status status = check_model(f, err);
    if (status == WEIR_OK) status = weir_prep_permute(f, &how, nodes, count, value, err);
    return status == WEIR_OK ? keep_discoveries(p->fdr, value, count, keep, err) : status;
}

static weir_status by_importance(weir_prep_fitting *f, const select_params *p, const int *nodes, int count, double *value, bool *keep, weir_err *err) {
    weir_status status = check_model(f, err);
    if (status != WEIR_OK) return status;
    double *matrix = weir_models_calloc((size_t)f->kept_count, (size_t)count * sizeof *matrix),
           *label = weir_models_calloc((size_t)f->kept_count, sizeof *label);
    const char **names = weir_models_calloc((size_t)count, sizeof *names);
    status = matrix && label && names ? ask(f, p, nodes, count, value, matrix, label, names, err) : no_memory(f, err);
    if (status == WEIR_OK) status = keep_best(p, value, count, keep, err);
    weir_models_free(names);
    weir_models_free(label);
    weir_models_free(matrix);
    return status;
}

static weir_status choose(weir_prep_fitting *f, const void *params, const int *nodes, int count, bool *keep, weir_err *err) {
    static weir_status (*const judges[])(weir_prep_fitting *, const select_params *, const int *, int, double *, bool *, weir_err *) = {
        [VARIANCE] = by_variance,     [CORRELATION] = by_correlation, [MUTUAL_INFORMATION] = by_information, [RELEVANCE] = by_relevance,
        [IMPORTANCE] = by_importance, [L1] = by_importance,           [PERMUTATION] = by_permutation};
    const select_params *p = params;
    double *value = weir_models_calloc((size_t)count, sizeof *value);
    if (!value) return no_memory(f, err);
    weir_status status = judges[p->method](f, p, nodes, count, value, keep, err);
    if (status == WEIR_OK) status = note_all(f, nodes, value, count, keep, err);
    weir_models_free(value);
    return status;
}

const weir_prep_step weir_prep_select = {
    .key = "select", .params = params_table, .params_size = sizeof(select_params), .check = check, .takes = takes, .becomes = becomes, .choose = choose};
