/* See the header for the method. */
#include "models/shared_models.h"
#include "core/p_values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"
#include "models/random.h"

#define TENANT_PREFIX "tenant="
enum { REPLICATES = 1000, REPLICATES_MAX = 100000, FOLDS = 5 };

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to compare models of tenants");
}

/* ---- tenants as columns ---- */

/* Columns of a set, one after the other, with those of the tenants behind them. */
typedef struct columns {
    double *values, **of; /* of [count] */
    weir_prep_column *kinds;
    char *names; /* of the tenants' columns */
    int count;
} columns;

static void columns_done(columns *c) {
    weir_models_free(c->values);
    weir_models_free(c->of);
    weir_models_free(c->kinds);
    weir_models_free(c->names);
}

static bool columns_make(const weir_trainset *set, columns *c) {
    int given = set->matrix.column_count;
    int64_t rows = set->matrix.row_count;
    size_t longest = 0;
    for (uint32_t t = 0; t < set->tenant_count; t++) longest = strlen(set->tenant_names[t]) > longest ? strlen(set->tenant_names[t]) : longest;
    size_t size = sizeof TENANT_PREFIX + longest;
    c->count = given + (int)set->tenant_count;
    c->values = weir_models_calloc((size_t)rows * (size_t)c->count, sizeof *c->values);
    c->of = weir_models_calloc((size_t)c->count, sizeof *c->of);
    c->kinds = weir_models_calloc((size_t)c->count, sizeof *c->kinds);
    c->names = weir_models_calloc(set->tenant_count, size);
    if (!c->values || !c->of || !c->kinds || !c->names) return false;
    for (int i = 0; i < c->count; i++) c->of[i] = c->values + i * rows;
    for (int i = 0; i < given; i++) {
        c->kinds[i] = set->matrix.kinds[i];
        for (int64_t r = 0; r < rows; r++) c->of[i][r] = set->matrix.values[r * given + i];
    }
    for (uint32_t t = 0; t < set->tenant_count; t++) {
        char *name = c->names + t * size;
        snprintf(name, size, TENANT_PREFIX "%s", set->tenant_names[t]);
        c->kinds[given + (int)t] = (weir_prep_column){name, WEIR_PREP_NUMBER, NULL};
    }
    for (int64_t r = 0; r < rows; r++) c->of[given + (int)set->tenant[r]][r] = 1;
    return true;
}

weir_status weir_shared_set(const weir_trainset *set, weir_trainset *ret_set, weir_err *err) {
    columns c = {0};
    if (!set->tenant || !set->tenant_count) return WEIR_FAIL(err, WEIR_EINVAL, "the training set has no tenants, expected a tenant of every row");
    const double **targets = weir_models_calloc((size_t)set->target_count, sizeof *targets);
    if (!targets || !columns_make(set, &c)) {
        weir_models_free(targets);
        columns_done(&c);
        return no_memory(err);
    }
    weir_trainset_source source = weir_trainset_as_source(set, targets);
    source.column_count = c.count;
    source.columns = c.kinds;
    source.values = (const double *const *)c.of;
    weir_status status = weir_trainset_make(&source, ret_set, err); /* its rows stay where they are: they ascend by time already */
    columns_done(&c);
    weir_models_free(targets);
    return status;
}

weir_status weir_shared_own_set(const weir_trainset *set, uint32_t tenant, weir_trainset *ret_set, weir_err *err) {
    int64_t n = 0, *rows = weir_models_calloc((size_t)set->matrix.row_count, sizeof *rows);
    if (!rows) return no_memory(err);
    for (int64_t r = 0; r < set->matrix.row_count; r++)
        if (set->tenant[r] == tenant) rows[n++] = r;
    weir_status status =
        n ? weir_trainset_take(set, rows, n, ret_set, err) : WEIR_FAIL(err, WEIR_ENOTFOUND, "tenant %.80s has no rows", set->tenant_names[tenant]);
    weir_models_free(rows);
    return status;
}

void weir_shared_row(const weir_model *model, const char *tenant, const double *row, double *out, bool *ret_known) {
    *ret_known = false;
    for (int c = 0; c < weir_model_column_count(model); c++) {
        const char *name = weir_model_columns(model)[c];
        if (strncmp(name, TENANT_PREFIX, strlen(TENANT_PREFIX)) != 0) {
            out[c] = *row++;
            continue;
        }
        out[c] = !strcmp(name + strlen(TENANT_PREFIX), tenant);
        *ret_known |= out[c] == 1;
    }
}

/* ---- both models on the same rows ---- */

typedef struct comparing {
    const weir_trainset *set;
    weir_trainset shared_set;
    const weir_shared_settings *settings;
    weir_fit_options fit;
    weir_split split;
    int folds, outputs;
    uint8_t *roles; /* [folds][row_count] weir_role, of every tenant by its own folds */
    double *shared, *own; /* [row_count][outputs]; NaN: not judged */
    int64_t *rows; /* [row_count] scratch */
    weir_shared_comparison result;
} comparing;

static weir_split default_split(const weir_trainset *set, uint64_t seed) {
    weir_split split = {.scheme = WEIR_SPLIT_K_FOLD, .folds = FOLDS, .shuffle = true, .seed = (int64_t)(seed & INT64_MAX)};
    if (set->matrix.task != WEIR_TASK_REGRESSION) split.scheme = WEIR_SPLIT_STRATIFIED_K_FOLD;
    if (set->entity && set->entity_count < (uint64_t)set->matrix.row_count) {
        split.scheme = WEIR_SPLIT_GROUPED_K_FOLD;
        split.shuffle = false;
    }
    return split;
}

static int64_t rows_of(const comparing *c, int tenant) {
    int64_t n = 0;
    for (int64_t r = 0; r < c->set->matrix.row_count; r++)
        if (c->set->tenant[r] == (uint32_t)tenant) c->rows[n++] = r;
    return n;
}

static void leave_out(weir_shared_tenant *t, const weir_err *why) {
    t->compared = false;
    snprintf(t->why, sizeof t->why, "%s", why->message);
}

/* The tenant's folds, as roles of its rows. What its rows do not allow leaves it out: then they train the shared model in every fold. */
static weir_status plan_tenant(comparing *c, int tenant, weir_err *err) {
    weir_shared_tenant *t = &c->result.tenants[tenant];
    int64_t n = t->rows = rows_of(c, tenant);
    weir_trainset own = {0};
    weir_split_plan *plan = NULL;
    weir_fold fold;
    if (!n) {
        snprintf(t->why, sizeof t->why, "it has no rows");
        return WEIR_OK;
    }
    uint8_t *role = weir_models_calloc((size_t)n, sizeof *role);
    weir_status status = role ? weir_trainset_take(c->set, c->rows, n, &own, err) : no_memory(err);
    weir_split_rows rows = weir_trainset_split_rows(&own);
    if (!status) status = weir_split_plan_new(&c->split, &rows, &plan, err);
    if (!status && weir_split_plan_folds(plan) != c->folds)
        status = WEIR_FAIL(err, WEIR_EDATA, "its rows make %d folds, expected %d", weir_split_plan_folds(plan), c->folds);
    t->compared = !status;
    for (int f = 0; !status && f < c->folds; f++) {
        status = weir_split_plan_roles(plan, f, role, &fold, err);
        for (int64_t i = 0; !status && i < n; i++) c->roles[f * c->set->matrix.row_count + c->rows[i]] = role[i];
    }
    if (status && status != WEIR_ENOMEM && status != WEIR_EINVAL) {
        leave_out(t, err);
        status = WEIR_OK;
        for (int f = 0; f < c->folds; f++)
            for (int64_t i = 0; i < n; i++) c->roles[f * c->set->matrix.row_count + c->rows[i]] = WEIR_ROLE_TRAIN;
    }
    weir_split_plan_free(plan);
    weir_trainset_done(&own);
    weir_models_free(role);
    return status;
}

/* Rows of a role in a fold, of one tenant or (−1) of all. */
static int64_t choose(const comparing *c, int fold, int tenant, weir_role role) {
    int64_t n = 0, rows = c->set->matrix.row_count;
    for (int64_t r = 0; r < rows; r++)
        if (c->roles[fold * rows + r] == role && (tenant < 0 || c->set->tenant[r] == (uint32_t)tenant)) c->rows[n++] = r;
    return n;
}

/* Fits on the training rows, scores the test rows into out. */
static weir_status fit_and_score(comparing *c, const weir_trainset *set, int fold, int tenant, double *out, weir_err *err) {
    weir_trainset part = {0};
    weir_buf artifact = {0};
    weir_model *model = NULL;
    double *scores = NULL;
    int64_t n = choose(c, fold, tenant, WEIR_ROLE_TRAIN);
    weir_status status = n ? weir_trainset_take(set, c->rows, n, &part, err) : WEIR_FAIL(err, WEIR_EDATA, "no row is left to train on in a fold");
    if (!status) status = weir_spec_fit(c->settings->spec, &part, &c->fit, &artifact, err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, err);
    weir_trainset_done(&part);
    n = choose(c, fold, tenant, WEIR_ROLE_TEST);
    if (!status && n) status = weir_trainset_take(set, c->rows, n, &part, err);
    if (!status && n && !(scores = weir_models_calloc((size_t)(n * c->outputs), sizeof *scores))) status = no_memory(err);
    if (!status && n) status = weir_model_predict(model, part.matrix.values, n, scores, err);
    for (int64_t i = 0; !status && i < n; i++) memcpy(out + c->rows[i] * c->outputs, scores + i * c->outputs, (size_t)c->outputs * sizeof *out);
    weir_models_free(scores);
    weir_model_free(model);
    weir_trainset_done(&part);
    weir_buf_done(&artifact);
    return status;
}

static weir_status score_all(comparing *c, weir_err *err) {
    size_t scores = (size_t)c->set->matrix.row_count * (size_t)c->outputs;
    for (size_t i = 0; i < scores; i++) c->shared[i] = c->own[i] = NAN;
    for (int f = 0; f < c->folds; f++) {
        weir_status status = weir_fit_may_go_on(&c->fit, err);
        if (!status && (status = fit_and_score(c, &c->shared_set, f, -1, c->shared, err))) (void)weir_err_prefix(err, "shared model, fold %d", f);
        for (int t = 0; !status && t < c->result.count; t++) {
            weir_shared_tenant *tenant = &c->result.tenants[t];
            if (!tenant->compared) continue;
            status = fit_and_score(c, c->set, f, t, c->own, err);
            if (!status || status == WEIR_ENOMEM || status == WEIR_ETIMEOUT) continue;
            leave_out(tenant, err);
            status = WEIR_OK;
        }
        if (status) return status;
    }
    return WEIR_OK;
}

/* ---- the bootstrap ---- */

/* A tenant's judged rows, those of one entity together, and room for a replicate of them. */
typedef struct sample {
    int64_t *rows, *starts; /* rows [count]; starts [clusters + 1]: where each cluster begins */
    int64_t count, clusters, room;
    double *label, *shared, *own, *weight; /* of a replicate; weight NULL: the metric takes none */
} sample;

static int by_entity(const void *left, const void *right, void *set) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    uint32_t of_a = ((const weir_trainset *)set)->entity[a], of_b = ((const weir_trainset *)set)->entity[b];
    if (of_a != of_b) return of_a < of_b ? -1 : 1;
    return (a > b) - (a < b);
}

static bool grow(const comparing *c, sample *s, int64_t rows) {
    if (rows <= s->room) return true;
    bool weighted = s->weight || (c->settings->metric->weighted && c->set->matrix.weight);
    double **blocks[] = {&s->label, &s->shared, &s->own, &s->weight};
    s->room = rows + rows / 4;
    for (int i = 0; i < 4; i++) {
        size_t width = i == 1 || i == 2 ? (size_t)c->outputs : 1;
        if (i == 3 && !weighted) continue;
        weir_models_free(*blocks[i]);
        if (!(*blocks[i] = weir_models_calloc((size_t)s->room * width, sizeof **blocks[i]))) return false;
    }
    return true;
}

static void sample_done(sample *s) {
    void *blocks[] = {s->rows, s->starts, s->label, s->shared, s->own, s->weight};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) weir_models_free(blocks[i]);
}

static bool list_rows(const comparing *c, int tenant, sample *s) {
    int64_t n = 0, rows = c->set->matrix.row_count;
    s->rows = weir_models_calloc((size_t)rows, sizeof *s->rows);
    s->starts = weir_models_calloc((size_t)rows + 1, sizeof *s->starts);
    if (!s->rows || !s->starts) return false;
    for (int64_t r = 0; r < rows; r++)
        if (c->set->tenant[r] == (uint32_t)tenant && !isnan(c->own[r * c->outputs]) && !isnan(c->shared[r * c->outputs])) s->rows[n++] = r;
    s->count = n;
    if (c->set->entity) qsort_r(s->rows, (size_t)n, sizeof *s->rows, by_entity, (void *)c->set);
    for (int64_t i = 0; i < n; i++)
        if (!i || !c->set->entity || c->set->entity[s->rows[i]] != c->set->entity[s->rows[i - 1]]) s->starts[s->clusters++] = i;
    s->starts[s->clusters] = n;
    return grow(c, s, n);
}

static void add_rows(const comparing *c, sample *s, int64_t cluster, int64_t *at) {
    for (int64_t i = s->starts[cluster]; i < s->starts[cluster + 1]; i++, (*at)++) {
        int64_t r = s->rows[i];
        size_t bytes = (size_t)c->outputs * sizeof(double);
        s->label[*at] = c->set->matrix.label[r];
        memcpy(s->shared + *at * c->outputs, c->shared + r * c->outputs, bytes);
        memcpy(s->own + *at * c->outputs, c->own + r * c->outputs, bytes);
        if (s->weight) s->weight[*at] = c->set->matrix.weight[r];
    }
}

static weir_status measure(const comparing *c, const sample *s, int64_t rows, const double *scores, double *ret_value, weir_err *err) {
    const weir_outcomes outcomes = {.row_count = rows,
                                    .class_count = c->set->matrix.class_count,
                                    .label = s->label,
                                    .score = scores,
                                    .weight = s->weight,
                                    .threshold = c->settings->threshold > 0 ? c->settings->threshold : 0.5};
    return weir_model_metric_measure(c->settings->metric, &outcomes, ret_value, err);
}

/* A metric without a value (a replicate of one class) is no value of the gap either. */
static weir_status measure_gap(const comparing *c, const sample *s, int64_t rows, double *ret_shared, double *ret_own, double *ret_gap, weir_err *err) {
    weir_status status = measure(c, s, rows, s->shared, ret_shared, err);
    if (!status) status = measure(c, s, rows, s->own, ret_own, err);
    if (status == WEIR_EDATA) {
        *ret_shared = *ret_own = NAN;
        status = WEIR_OK;
    }
    double better = c->settings->metric->greater_is_better ? *ret_own - *ret_shared : *ret_shared - *ret_own;
    *ret_gap = better == 0 ? 0 : better / fabs(*ret_shared);
    return status;
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* gaps [count] of replicates, sorted by this. */
static void conclude(const comparing *c, weir_shared_tenant *t, double *gaps, int count) {
    int not_above = 0;
    qsort(gaps, (size_t)count, sizeof *gaps, by_value);
    for (int i = 0; i < count; i++) not_above += !(gaps[i] > c->result.gap);
    t->low = gaps[(int)(c->result.alpha / 2 * (count - 1))];
    t->high = gaps[(int)ceil((1 - c->result.alpha / 2) * (count - 1))];
    t->p = (1.0 + not_above) / (1.0 + count);
}

static weir_status replicate(const comparing *c, sample *s, int tenant, double *gaps, int *ret_count, weir_err *err) {
    uint64_t state = c->settings->seed ^ ((uint64_t)tenant + 1) * UINT64_C(0x9e3779b97f4a7c15);
    weir_status status = WEIR_OK;
    int count = 0;
    for (int b = 0; !status && b < c->result.replicates; b++) {
        int64_t rows = 0, at = 0;
        uint64_t again = state;
        double shared, own, gap;
        for (int64_t i = 0; i < s->clusters; i++) { /* how many rows it will be; the same clusters are drawn again below */
            int64_t cluster = (int64_t)weir_models_random_below(&state, (uint64_t)s->clusters);
            rows += s->starts[cluster + 1] - s->starts[cluster];
        }
        if (!grow(c, s, rows)) return no_memory(err);
        for (int64_t i = 0; i < s->clusters; i++) add_rows(c, s, (int64_t)weir_models_random_below(&again, (uint64_t)s->clusters), &at);
        status = measure_gap(c, s, rows, &shared, &own, &gap, err);
        if (!status && isfinite(gap)) gaps[count++] = gap;
        if (!status && b % 64 == 0) status = weir_fit_may_go_on(&c->fit, err);
    }
    *ret_count = count;
    return status;
}

static weir_status compare_tenant(comparing *c, int tenant, weir_err *err) {
    weir_shared_tenant *t = &c->result.tenants[tenant];
    sample s = {0};
    int64_t at = 0;
    int count = 0;
    t->gap = t->low = t->high = t->shared = t->own = t->p = t->p_adjusted = NAN;
    if (!t->compared) return WEIR_OK;
    double *gaps = weir_models_calloc((size_t)c->result.replicates, sizeof *gaps);
    weir_status status = gaps && list_rows(c, tenant, &s) ? WEIR_OK : no_memory(err);
    t->judged = s.count;
    for (int64_t i = 0; !status && i < s.clusters; i++) add_rows(c, &s, i, &at);
    if (!status && s.count) status = measure_gap(c, &s, s.count, &t->shared, &t->own, &t->gap, err);
    if (!status && isfinite(t->gap)) status = replicate(c, &s, tenant, gaps, &count, err);
    if (!status && 2 * count >= c->result.replicates) {
        conclude(c, t, gaps, count);
    } else if (!status) {
        t->compared = false;
        snprintf(t->why, sizeof t->why, "%s has no value on its rows, or on too many samples of them", c->settings->metric->name);
    }
    sample_done(&s);
    weir_models_free(gaps);
    return status;
}

static weir_status recommend(comparing *c, weir_err *err) {
    weir_shared_comparison *r = &c->result;
    double *p = weir_models_calloc((size_t)r->count, sizeof *p);
    int n = 0, i = 0;
    if (!p) return no_memory(err);
    for (int t = 0; t < r->count; t++)
        if (r->tenants[t].compared) p[n++] = r->tenants[t].p;
    weir_status status = weir_holm_adjust(p, n, p, err);
    for (int t = 0; !status && t < r->count; t++) {
        weir_shared_tenant *tenant = &r->tenants[t];
        if (!tenant->compared) continue;
        tenant->p_adjusted = p[i++];
        tenant->migrate = tenant->gap > r->gap && tenant->p_adjusted <= r->alpha;
        r->migrating += tenant->migrate;
    }
    weir_models_free(p);
    return status;
}

/* ---- all ---- */

static weir_status check(const weir_trainset *set, const weir_shared_settings *s, weir_err *err) {
    if (!set->tenant || !set->tenant_count) return WEIR_FAIL(err, WEIR_EINVAL, "the training set has no tenants, expected a tenant of every row");
    if (set->target_count != 1) return WEIR_FAIL(err, WEIR_EINVAL, "%d targets, expected one to compare models of tenants by", set->target_count);
    if (s->metric->task != set->matrix.task)
        return WEIR_FAIL(err, WEIR_EINVAL, "metric %s is of a %s task, the training set is %s", s->metric->name, weir_task_name(s->metric->task),
                         weir_task_name(set->matrix.task));
    if (!(s->gap >= 0 && s->gap < 1) || !(s->alpha >= 0 && s->alpha < 1) || s->replicates < 0 || s->replicates > REPLICATES_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "gap %g, alpha %g and %d replicates, expected gap and alpha from 0 to 1 and at most %d replicates", s->gap, s->alpha,
                         s->replicates, REPLICATES_MAX);
    return weir_spec_check(s->spec, "$", set->matrix.task, set->matrix.kinds, set->matrix.column_count, err);
}

static weir_status start(comparing *c, weir_err *err) {
    const weir_shared_settings *s = c->settings;
    size_t rows = (size_t)c->set->matrix.row_count;
    weir_shared_comparison *r = &c->result;
    c->split = s->split ? *s->split : default_split(c->set, s->seed);
    c->split.tenants = WEIR_TENANTS_IGNORED; /* each tenant is planned by itself */
    c->folds = c->split.folds > 0 ? (int)c->split.folds : 1;
    c->outputs = c->set->matrix.task == WEIR_TASK_MULTICLASS ? c->set->matrix.class_count : 1;
    c->fit = (weir_fit_options){.seed = s->seed, .threads = s->threads > 0 ? s->threads : 1, .cancel = s->cancel};
    r->metric = s->metric;
    r->gap = s->gap > 0 ? s->gap : 0.05;
    r->alpha = s->alpha > 0 ? s->alpha : 0.05;
    double enough = fmin(REPLICATES_MAX, ceil(2 * c->set->tenant_count / r->alpha));
    r->replicates = s->replicates ? s->replicates : enough > REPLICATES ? (int)enough : REPLICATES;
    r->tenants = weir_models_calloc(c->set->tenant_count, sizeof *r->tenants);
    c->roles = weir_models_calloc((size_t)c->folds * rows, 1);
    c->shared = weir_models_calloc(rows * (size_t)c->outputs, sizeof *c->shared);
    c->own = weir_models_calloc(rows * (size_t)c->outputs, sizeof *c->own);
    c->rows = weir_models_calloc(rows, sizeof *c->rows);
    if (!r->tenants || !c->roles || !c->shared || !c->own || !c->rows) return no_memory(err);
    r->count = (int)c->set->tenant_count;
    for (int t = 0; t < r->count; t++) r->tenants[t].name = c->set->tenant_names[t];
    return weir_shared_set(c->set, &c->shared_set, err);
}

weir_status weir_shared_compare(const weir_trainset *set, const weir_shared_settings *settings, weir_shared_comparison *ret_comparison, weir_err *err) {
    comparing c = {.set = set, .settings = settings};
    weir_status status = check(set, settings, err);
    if (status) return status;
    status = start(&c, err);
    for (int t = 0; !status && t < c.result.count; t++) status = plan_tenant(&c, t, err);
    if (!status) status = score_all(&c, err);
    for (int t = 0; !status && t < c.result.count; t++) status = compare_tenant(&c, t, err);
    if (!status) status = recommend(&c, err);
    weir_trainset_done(&c.shared_set);
    weir_models_free(c.roles);
    weir_models_free(c.shared);
    weir_models_free(c.own);
    weir_models_free(c.rows);
    if (status)
        weir_shared_comparison_done(&c.result);
    else
        *ret_comparison = c.result;
    return status;
}

void weir_shared_comparison_done(weir_shared_comparison *comparison) {
    weir_models_free(comparison->tenants);
    *comparison = (weir_shared_comparison){0};
}

/* ---- told ---- */

static bool put_number(cJSON *object, const char *name, double x) {
    return isfinite(x) ? cJSON_AddNumberToObject(object, name, x) != NULL : cJSON_AddNullToObject(object, name) != NULL;
}

static bool put_tenant(const weir_shared_tenant *t, cJSON *list) {
    cJSON *item = cJSON_CreateObject();
    return cJSON_AddItemToArray(list, item) && cJSON_AddStringToObject(item, "tenant", t->name) && put_number(item, "rows", (double)t->rows) &&
           put_number(item, "judged", (double)t->judged) && put_number(item, "shared", t->shared) && put_number(item, "own", t->own) &&
           put_number(item, "gap", t->gap) && put_number(item, "low", t->low) && put_number(item, "high", t->high) && put_number(item, "p", t->p) &&
           put_number(item, "p_adjusted", t->p_adjusted) && cJSON_AddBoolToObject(item, "migrate", t->migrate) &&
           (t->compared ? cJSON_AddNullToObject(item, "why") : cJSON_AddStringToObject(item, "why", t->why));
}

weir_status weir_shared_json(const weir_shared_comparison *comparison, cJSON **ret_json, weir_err *err) {
    cJSON *json = cJSON_CreateObject(), *tenants, *migrate;
    bool ok = json && cJSON_AddStringToObject(json, "metric", comparison->metric->name) && put_number(json, "gap", comparison->gap) &&
              put_number(json, "alpha", comparison->alpha) && put_number(json, "replicates", comparison->replicates) &&
              (tenants = cJSON_AddArrayToObject(json, "tenants")) != NULL && (migrate = cJSON_AddArrayToObject(json, "migrate")) != NULL;
    for (int t = 0; ok && t < comparison->count; t++) {
        const weir_shared_tenant *tenant = &comparison->tenants[t];
        ok = put_tenant(tenant, tenants) && (!tenant->migrate || cJSON_AddItemToArray(migrate, cJSON_CreateString(tenant->name)));
    }
    if (ok) {
        *ret_json = json;
        return WEIR_OK;
    }
    cJSON_Delete(json);
    return no_memory(err);
}

weir_status weir_shared_text(const weir_shared_comparison *comparison, weir_buf *out, weir_err *err) {
    bool ok = weir_buf_printf(out, "%-24s %9s %12s %12s %8s %18s %9s  %s\n", "tenant", "rows", "shared", "own", "gap", "interval", "p (Holm)", "");
    for (int i = 0; ok && i < comparison->count; i++) {
        const weir_shared_tenant *t = &comparison->tenants[i];
        char interval[40];
        snprintf(interval, sizeof interval, "%.1f … %.1f %%", 100 * t->low, 100 * t->high);
        ok = t->compared ? weir_buf_printf(out, "%-24s %9lld %12.5g %12.5g %6.1f %% %20s %9.4f  %s\n", t->name, (long long)t->judged, t->shared, t->own,
                                           100 * t->gap, interval, t->p_adjusted, t->migrate ? "migrate" : "stay")
                         : weir_buf_printf(out, "%-24s %9lld  not compared: %s\n", t->name, (long long)t->rows, t->why);
    }
    ok = ok && weir_buf_printf(out, "%d of %d tenants gain more than %g %% of %s by a model of their own, beyond chance (alpha %g over all of them).\n",
                               comparison->migrating, comparison->count, 100 * comparison->gap, comparison->metric->name, comparison->alpha);
    return ok ? WEIR_OK : no_memory(err);
}
