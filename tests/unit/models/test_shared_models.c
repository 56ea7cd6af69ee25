/* One model for all tenants against one each. Values of the metric are those of scikit-learn 1.9: n = 120, i = np.arange(n), t = i % 2, x1 = ((i*37)%101)/10,
 * x2 = ((i*53)%89)/7, y = np.where(t == 0, 3*x1-x2, -x1+2*x2+4) + 3*np.sin(i); of each tenant KFold(5) over its rows; LinearRegression on [x1, x2, t == 0, t
 * == 1] of all tenants' training rows against [x1, x2] of its own. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../starve.h"
#include "models/shared_models.h"

enum { TENANTS = 8, ROWS_A_TENANT = 150, REPEATS = 12 };

static cJSON *linear_spec(void) {
    return cJSON_Parse("{\"algorithm\": \"linear\"}");
}

static const weir_prep_column two_columns[] = {{"x1", WEIR_PREP_NUMBER, NULL}, {"x2", WEIR_PREP_NUMBER, NULL}};

static weir_trainset make_set(int64_t rows, const double *x1, const double *x2, const double *y, const uint32_t *tenant, int tenants, const uint32_t *entity,
                              weir_task task) {
    static const char *const target[] = {"y"}, *const names[] = {"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"};
    const double *values[] = {x1, x2}, *targets[] = {y};
    weir_trainset set = {0};
    weir_err err;
    const weir_trainset_source source = {.row_count = rows,
                                         .column_count = 2,
                                         .columns = two_columns,
                                         .values = values,
                                         .task = task,
                                         .target_names = target,
                                         .targets = targets,
                                         .tenant = tenant,
                                         .tenant_count = (uint32_t)tenants,
                                         .tenant_names = names,
                                         .entity = entity,
                                         .entity_count = entity ? (uint32_t)rows : 0};
    if (weir_trainset_make(&source, &set, &err)) fail_msg("%s", err.message);
    return set;
}

static weir_trainset worked_set(void) {
    double x1[120], x2[120], y[120];
    uint32_t tenant[120];
    for (int i = 0; i < 120; i++) {
        tenant[i] = (uint32_t)i % 2;
        x1[i] = i * 37 % 101 / 10.0;
        x2[i] = i * 53 % 89 / 7.0;
        y[i] = (tenant[i] ? -x1[i] + 2 * x2[i] + 4 : 3 * x1[i] - x2[i]) + 3 * sin(i);
    }
    return make_set(120, x1, x2, y, tenant, 2, NULL, WEIR_TASK_REGRESSION);
}

static weir_shared_settings settings_for(const cJSON *spec, const char *metric, weir_task task) {
    return (weir_shared_settings){.spec = spec, .metric = weir_model_metric_find(task, metric), .seed = 1};
}

static weir_shared_comparison compare(const weir_trainset *set, const weir_shared_settings *settings) {
    weir_shared_comparison result = {0};
    weir_err err;
    if (weir_shared_compare(set, settings, &result, &err)) fail_msg("%s", err.message);
    return result;
}

static void near(double found, double expected) {
    if (!(fabs(found - expected) <= 1e-9 * fabs(expected))) fail_msg("%.17g, expected %.17g", found, expected);
}

static void both_are_judged_as_scikit_learn_judges_them(void **state) {
    (void)state;
    weir_trainset set = worked_set();
    cJSON *spec = linear_spec(), *json = NULL;
    const weir_split blocks = {.scheme = WEIR_SPLIT_K_FOLD, .folds = 5};
    weir_shared_settings s = settings_for(spec, "rmse", WEIR_TASK_REGRESSION);
    s.split = &blocks;
    weir_shared_comparison r = compare(&set, &s), again = compare(&set, &s);
    weir_err err;
    weir_buf text = {0};
    near(r.tenants[0].shared, 8.427411365695532);
    near(r.tenants[0].own, 2.1898028600323802);
    near(r.tenants[1].shared, 8.156510834900374);
    near(r.tenants[1].own, 2.1303413799005066);
    near(r.tenants[0].gap, (8.427411365695532 - 2.1898028600323802) / 8.427411365695532);
    assert_true(r.migrating == 2 && r.tenants[0].judged == 60 && r.tenants[0].low < r.tenants[0].gap && r.tenants[0].gap < r.tenants[0].high);
    near(r.tenants[0].p, 1.0 / 1001);
    near(r.tenants[0].p_adjusted, 2.0 / 1001);
    for (int t = 0; t < 2; t++) assert_memory_equal(&r.tenants[t].shared, &again.tenants[t].shared, 7 * sizeof(double)); /* a seed is a seed */
    assert_int_equal(weir_shared_json(&r, &json, &err), WEIR_OK);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "migrate")), 2);
    assert_int_equal(weir_shared_text(&r, &text, &err), WEIR_OK);
    assert_non_null(strstr(text.data, "2 of 2 tenants gain more than 5 % of rmse"));
    cJSON_Delete(json);
    cJSON_Delete(spec);
    weir_buf_done(&text);
    weir_shared_comparison_done(&r);
    weir_shared_comparison_done(&again);
    weir_trainset_done(&set);
}

static double normal(uint64_t *state) {
    double u = uniform(state), v = uniform(state);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

/* Tenants with an intercept each and one slope, but that of the last, which is `odd`. Noise has deviation 2. */
static weir_trainset simulate(uint64_t seed, double odd, bool with_entities) {
    enum { N = TENANTS * ROWS_A_TENANT };
    static double x1[N], x2[N], y[N];
    static uint32_t tenant[N], entity[N];
    for (int i = 0; i < N; i++) {
        tenant[i] = (uint32_t)(i % TENANTS);
        entity[i] = (uint32_t)(i / (TENANTS * 3) * TENANTS + i % TENANTS); /* three rows each */
        x1[i] = normal(&seed);
        x2[i] = normal(&seed);
        y[i] = 3 * tenant[i] + (tenant[i] == TENANTS - 1 ? odd : 1) * x1[i] + 0.5 * x2[i] + 2 * normal(&seed);
    }
    return make_set(N, x1, x2, y, tenant, TENANTS, with_entities ? entity : NULL, WEIR_TASK_REGRESSION);
}

/* *ret_odd: how often the last tenant is told to move; *ret_others: simulations in which any other is. */
static void simulate_many(double odd, bool with_entities, int *ret_odd, int *ret_others) {
    cJSON *spec = linear_spec();
    *ret_odd = *ret_others = 0;
    for (int k = 0; k < REPEATS; k++) {
        weir_trainset set = simulate((uint64_t)k * 1000 + 7, odd, with_entities);
        weir_shared_settings s = settings_for(spec, "rmse", WEIR_TASK_REGRESSION);
        s.replicates = 400;
        s.seed = (uint64_t)k;
        weir_shared_comparison r = compare(&set, &s);
        *ret_odd += r.tenants[TENANTS - 1].migrate;
        *ret_others += r.migrating > r.tenants[TENANTS - 1].migrate;
        weir_shared_comparison_done(&r);
        weir_trainset_done(&set);
    }
    cJSON_Delete(spec);
}

static void a_tenant_that_differs_is_found(void **state) {
    (void)state;
    int odd, others; /* its errors are 2.0 by its own model and about 3.4 by the shared one: found at least 11 times of 12; the others at most once */
    simulate_many(-2, false, &odd, &others);
    assert_true(odd >= REPEATS - 1 && others <= 1);
    simulate_many(-2, true, &odd, &others);
    assert_true(odd >= REPEATS - 1 && others <= 1);
}

static void tenants_that_do_not_differ_stay(void **state) {
    (void)state;
    int odd, others; /* at most 5 % of simulations may tell anyone to move: more than 2 of 12 would be so with probability 0.02 */
    simulate_many(1, false, &odd, &others);
    assert_true(odd + others <= 2);
}

static void the_shared_model_knows_its_tenants(void **state) {
    (void)state;
    weir_trainset set = worked_set(), shared = {0};
    cJSON *spec = linear_spec();
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_err err;
    assert_int_equal(weir_shared_set(&set, &shared, &err), WEIR_OK);
    assert_int_equal(shared.matrix.column_count, 4);
    assert_true(shared.matrix.values[2] == 1 && shared.matrix.values[3] == 0 && shared.matrix.values[6] == 0 && shared.matrix.values[7] == 1);
    assert_int_equal(weir_spec_fit(spec, &shared, &(weir_fit_options){.threads = 1}, &artifact, &err), WEIR_OK);
    assert_int_equal(weir_model_load(artifact.data, artifact.len, &model, &err), WEIR_OK);
    assert_string_equal(weir_model_columns(model)[2], "tenant=t0");
    double out[4];
    bool known;
    weir_shared_row(model, "t1", set.matrix.values, out, &known);
    assert_true(known && out[0] == set.matrix.values[0] && out[1] == set.matrix.values[1] && out[2] == 0 && out[3] == 1);
    weir_shared_row(model, "t9", set.matrix.values, out, &known);
    assert_true(!known && out[2] == 0 && out[3] == 0);
    weir_model_free(model);
    weir_buf_done(&artifact);
    cJSON_Delete(spec);
    weir_trainset_done(&shared);
    weir_trainset_done(&set);
}

static void classes_and_tenants_too_small_to_judge(void **state) {
    (void)state;
    enum { N = 303 };
    static double x1[N], x2[N], y[N];
    static uint32_t tenant[N];
    uint64_t seed = 3;
    for (int i = 0; i < N; i++) {
        tenant[i] = i < 300 ? (uint32_t)(i % 2) : 2; /* the third has three rows */
        x1[i] = normal(&seed);
        x2[i] = normal(&seed);
        y[i] = (tenant[i] == 1 ? -x1[i] : x1[i]) + 0.3 * normal(&seed) > 0;
    }
    y[300] = 0;
    y[301] = y[302] = 1;
    weir_trainset set = make_set(N, x1, x2, y, tenant, 3, NULL, WEIR_TASK_BINARY);
    cJSON *spec = cJSON_Parse("{\"algorithm\": \"logistic\"}");
    weir_shared_settings s = settings_for(spec, "roc_auc", WEIR_TASK_BINARY);
    weir_shared_comparison r = compare(&set, &s);
    weir_buf text = {0};
    weir_err err;
    assert_true(r.tenants[0].own > 0.95 && r.tenants[1].own > 0.95 && r.tenants[0].migrate && r.tenants[1].migrate);
    assert_true(!r.tenants[2].compared && !r.tenants[2].migrate && r.tenants[2].why[0] && isnan(r.tenants[2].gap) && r.tenants[2].rows == 3);
    assert_int_equal(weir_shared_text(&r, &text, &err), WEIR_OK);
    assert_non_null(strstr(text.data, "not compared: "));
    weir_buf_done(&text);
    weir_shared_comparison_done(&r);
    /* what is refused */
    s.metric = weir_model_metric_find(WEIR_TASK_REGRESSION, "rmse");
    assert_int_equal(weir_shared_compare(&set, &s, &r, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "metric rmse is of a regression task"));
    s.metric = weir_model_metric_find(WEIR_TASK_BINARY, "roc_auc");
    s.gap = NAN;
    assert_int_equal(weir_shared_compare(&set, &s, &r, &err), WEIR_EINVAL);
    s.gap = 0;
    _Atomic bool cancel = true;
    s.cancel = &cancel;
    assert_int_equal(weir_shared_compare(&set, &s, &r, &err), WEIR_ETIMEOUT);
    s.cancel = NULL;
    weir_trainset none = set;
    none.tenant = NULL;
    assert_int_equal(weir_shared_compare(&none, &s, &r, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "no tenants"));
    cJSON_Delete(spec);
    weir_trainset_done(&set);
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    weir_trainset set = worked_set();
    cJSON *spec = linear_spec();
    weir_shared_settings s = settings_for(spec, "rmse", WEIR_TASK_REGRESSION);
    int failures = 0;
    for (int n = 0, done = 0; !done; n++) {
        weir_shared_comparison r = {0};
        weir_err err;
        s.replicates = 100;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_shared_compare(&set, &s, &r, &err);
        weir_mem.realloc = real;
        if (status && status != WEIR_ENOMEM) fail_msg("%d: %s", n, err.message);
        failures += status != WEIR_OK;
        done = !status;
        weir_shared_comparison_done(&r);
    }
    assert_true(failures > 10);
    cJSON_Delete(spec);
    weir_trainset_done(&set);
}

/* What a tenant's own model is fitted on has nothing of another's: all that the others do differently leaves it, byte for byte, as it was. */
static void no_row_of_another_tenant_trains_an_own_model(void **state) {
    (void)state;
    cJSON *spec = linear_spec();
    char digests[2][2][65];
    const weir_fit_options options = {.seed = 1, .threads = 1};
    for (int run = 0; run < 2; run++) {
        weir_trainset set = worked_set(), own;
        for (int64_t r = 0; run && r < set.matrix.row_count; r++)
            if (set.tenant[r] == 1) ((double *)set.matrix.label)[r] += 1000; /* of the second tenant only */
        for (uint32_t tenant = 0; tenant < 2; tenant++) {
            weir_buf artifact = {0};
            weir_model *model = NULL;
            weir_err err;
            if (weir_shared_own_set(&set, tenant, &own, &err)) fail_msg("%s", err.message);
            assert_int_equal(own.matrix.row_count, 60);
            for (int64_t r = 0; r < own.matrix.row_count; r++) assert_int_equal(own.tenant[r], tenant);
            if (weir_spec_fit(spec, &own, &options, &artifact, &err)) fail_msg("%s", err.message);
            if (weir_model_load(artifact.data, artifact.len, &model, &err)) fail_msg("%s", err.message);
            snprintf(digests[run][tenant], sizeof digests[run][tenant], "%s", weir_model_digest(model));
            weir_model_free(model);
            weir_buf_done(&artifact);
            weir_trainset_done(&own);
        }
        weir_trainset_done(&set);
    }
    assert_string_equal(digests[0][0], digests[1][0]);
    assert_string_not_equal(digests[0][1], digests[1][1]); /* the change is one that a model shows */
    cJSON_Delete(spec);
}

static void a_tenant_without_rows_has_no_set(void **state) {
    (void)state;
    weir_trainset set = worked_set(), own;
    weir_err err;
    for (int64_t r = 0; r < set.matrix.row_count; r++) set.tenant[r] = 0;
    assert_int_equal(weir_shared_own_set(&set, 1, &own, &err), WEIR_ENOTFOUND);
    assert_non_null(strstr(err.message, "t1"));
    weir_trainset_done(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_are_judged_as_scikit_learn_judges_them),
        cmocka_unit_test(a_tenant_that_differs_is_found),
        cmocka_unit_test(tenants_that_do_not_differ_stay),
        cmocka_unit_test(the_shared_model_knows_its_tenants),
        cmocka_unit_test(classes_and_tenants_too_small_to_judge),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
        cmocka_unit_test(no_row_of_another_tenant_trains_an_own_model),
        cmocka_unit_test(a_tenant_without_rows_has_no_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
