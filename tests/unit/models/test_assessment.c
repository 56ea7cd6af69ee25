/* Assessments of all three tasks: the document holds what the metric functions say, the page stands alone and is well formed.
 * tests/unit/models/test_assessment_oracle.py compares with scikit-learn. */
#include <ctype.h>
#include <stdio.h>

#include "models/assessment.h"
#include "models/conformal.h"
#include "models/curves.h"
#include "models/evaluate.h"
#include "models/residuals.h"
#include "tests/unit/models/fixture.h"
#include "tests/unit/starve.h"

enum { TENANTS = 2, ENTITIES = 100 };

static fixture data;

/* Two models on the fixture's rows, the last 30 % for the test. */
typedef struct bench {
    weir_trainset set, train, test;
    weir_model *models[2];
    cJSON *specs[2];
    weir_crossval folds[2];
    weir_assessed assessed[2];
    weir_assessment a;
} bench;

static void make_set(bench *b, weir_task task, int rows, const char *const *names, bool grouped) {
    static double columns[COLUMNS][ROWS];
    static int64_t times[ROWS];
    static uint32_t entity[ROWS], tenant[ROWS];
    static weir_prep_column kinds[COLUMNS];
    const double *values[COLUMNS], *targets[] = {fixture_matrix(&data, task).label};
    static const char *const class_names[] = {"no <b>", "maybe", "yes & \"no\""}, *const tenant_names[] = {"north", "south"},
                             *const target_names[] = {"outcome"};
    for (int c = 0; c < COLUMNS; c++) {
        for (int r = 0; r < rows; r++) columns[c][r] = data.values[r * COLUMNS + c];
        values[c] = columns[c];
        kinds[c] = (weir_prep_column){.name = names ? names[c] : data.matrix.column_names[c]};
    }
    for (int r = 0; r < rows; r++) {
        times[r] = INT64_C(1500000000000000) + r * INT64_C(3600000000);
        entity[r] = (uint32_t)(r * 7 % ENTITIES);
        tenant[r] = (uint32_t)(entity[r] % TENANTS);
    }
    weir_trainset_source source = {.row_count = rows,
                                   .column_count = COLUMNS,
                                   .columns = kinds,
                                   .values = values,
                                   .task = task,
                                   .targets = targets,
                                   .target_names = target_names,
                                   .class_names = task == WEIR_TASK_REGRESSION ? NULL : class_names,
                                   .class_count = task == WEIR_TASK_MULTICLASS ? CLASSES : 0};
    if (grouped) {
        source.time_us = times;
        source.entity = entity;
        source.entity_count = ENTITIES;
        source.tenant = tenant;
        source.tenant_count = TENANTS;
        source.tenant_names = tenant_names;
    }
    weir_err err;
    if (weir_trainset_make(&source, &b->set, &err)) fail_msg("%s", err.message);
    if (weir_trainset_cut(&b->set, 0.3, 0, &b->train, &b->test, &err)) fail_msg("%s", err.message);
}

static void fit_models(bench *b, const char *first, const char *second, const char *metric) {
    const char *const texts[] = {first, second};
    weir_err err;
    b->a = (weir_assessment){
        .title = "A <title> & \"more\"", .train = &b->train, .test = &b->test, .models = b->assessed, .threshold = NAN, .seed = 4, .permutation = true};
    b->a.metric = weir_model_metric_find(b->set.matrix.task, metric);
    assert_non_null(b->a.metric);
    for (int m = 0; m < 2 && texts[m]; m++) {
        weir_buf artifact = {0};
        weir_split split = {.scheme = WEIR_SPLIT_K_FOLD, .folds = 4};
        weir_split_rows rows = weir_trainset_split_rows(&b->train);
        weir_split_plan *plan = NULL;
        weir_crossval_options options = {.fit = {.seed = 1, .threads = 1}, .metric = b->a.metric};
        b->specs[m] = cJSON_Parse(texts[m]);
        if (weir_spec_fit(b->specs[m], &b->train, &options.fit, &artifact, &err)) fail_msg("%s", err.message);
        b->models[m] = load_artifact(&artifact);
        weir_buf_done(&artifact);
        assert_int_equal(weir_split_plan_new(&split, &rows, &plan, &err), WEIR_OK);
        if (weir_crossval_run(b->specs[m], &b->train, plan, &options, &b->folds[m], &err)) fail_msg("%s", err.message);
        weir_split_plan_free(plan);
        b->assessed[m] =
            (weir_assessed){.name = m ? "second" : "first <i>", .spec = b->specs[m], .model = b->models[m], .validation = &b->folds[m], .version = m ? 3 : 0};
        b->a.model_count = m + 1;
    }
}

static void bench_done(bench *b) {
    for (int m = 0; m < 2; m++) {
        weir_model_free(b->models[m]);
        cJSON_Delete(b->specs[m]);
        weir_crossval_done(&b->folds[m]);
    }
    weir_trainset_done(&b->train);
    weir_trainset_done(&b->test);
    weir_trainset_done(&b->set);
}

static cJSON *assess(const bench *b) {
    cJSON *json = NULL;
    weir_err err;
    if (weir_assess(&b->a, &json, &err)) fail_msg("%s", err.message);
    return json;
}

/* "models.0.metrics.rmse.value" */
static const cJSON *at(const cJSON *json, const char *path) {
    char key[64];
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, ".");
        snprintf(key, sizeof key, "%.*s", (int)len, p);
        json = isdigit((unsigned char)key[0]) ? cJSON_GetArrayItem(json, atoi(key)) : cJSON_GetObjectItemCaseSensitive(json, key);
        if (!json) fail_msg("%s: there is no %s", path, key);
        p += len + (p[len] == '.');
    }
    return json;
}

static double number_at(const cJSON *json, const char *path) {
    const cJSON *item = at(json, path);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static void assert_number(const cJSON *json, const char *path, double expected) {
    double value = number_at(json, path);
    if (!(fabs(value - expected) <= 1e-12 * fmax(fabs(expected), 1))) fail_msg("%s is %.17g, not %.17g", path, value, expected);
}

static void assert_within(const cJSON *json, const char *metric) { /* the value lies between the ends of its interval */
    double value = number_at(at(json, metric), "value"), low = number_at(at(json, metric), "low"), high = number_at(at(json, metric), "high");
    if (!(low <= value && value <= high && low < high)) fail_msg("%s: %g is not in %g to %g", metric, value, low, high);
}

/* ---- the page ---- */

static bool empty_element(const char *name) {
    return !strcmp(name, "meta") || !strcmp(name, "br");
}

/* Every element that is opened is closed in order, every value of an attribute is in quotes, no angle bracket or ampersand stands alone. */
static void check_markup(const char *html) {
    enum { DEEP = 64 };
    char stack[DEEP][16], name[16];
    int depth = 0;
    const char *p = strchr(html, '>') + 1; /* behind the doctype */
    for (; *p; p++) {
        if (*p == '&' && !strchr("alqg#", p[1])) fail_msg("a bare ampersand: %.40s", p);
        if (*p != '<') continue;
        bool closing = p[1] == '/';
        const char *start = p + 1 + closing;
        size_t len = strcspn(start, " />");
        snprintf(name, sizeof name, "%.*s", (int)len, start);
        if (!isalpha((unsigned char)name[0])) fail_msg("no element: %.40s", p);
        bool quoted = false;
        for (p = start; *p && (quoted || *p != '>'); p++) {
            if (*p == '"') quoted = !quoted;
            if (*p == '<' || (*p == '=' && !quoted && p[1] != '"')) fail_msg("bad attribute: %.40s", p);
        }
        if (closing) {
            if (depth == 0 || strcmp(stack[--depth], name)) fail_msg("%s closes %s", name, depth >= 0 ? stack[depth] : "nothing");
        } else if (p[-1] != '/' && !empty_element(name)) {
            assert_true(depth < DEEP);
            snprintf(stack[depth++], sizeof stack[0], "%s", name);
        }
    }
    assert_int_equal(depth, 0);
}

/* No "nan" and no "inf" that is not part of a word. */
static void check_numbers(const char *text) {
    static const char *const bad[] = {"nan", "inf"};
    for (int i = 0; i < 2; i++)
        for (const char *p = strcasestr(text, bad[i]); p; p = strcasestr(p + 1, bad[i]))
            if (!isalpha((unsigned char)p[-1]) && !isalpha((unsigned char)p[3])) fail_msg("it holds %.40s", p - 10);
}

static void check_words(const char *html) {
    static const char *const outside[] = {"http:", "https:", "//", "<script", "src=", "url(", "@import", "(null)"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        if (strstr(html, outside[i])) fail_msg("the page holds %s: %.60s", outside[i], strstr(html, outside[i]));
    check_numbers(html);
}

static weir_buf page_of(const cJSON *json) {
    weir_buf html = {0};
    weir_err err;
    if (weir_assessment_page(json, &html, &err)) fail_msg("%s", err.message);
    check_markup(html.data);
    check_words(html.data);
    return html;
}

static void check_page(const cJSON *json, const char *const *words) {
    weir_buf html = page_of(json);
    for (; *words; words++)
        if (!strstr(html.data, *words)) fail_msg("the page does not hold \"%s\"", *words);
    weir_buf_done(&html);
    /* What was written and read gives the same page each time. (cJSON writes numbers to within an ulp, so the first document may round otherwise.) */
    char *text = cJSON_PrintUnformatted(json);
    check_numbers(text);
    weir_buf pages[2];
    for (int i = 0; i < 2; i++) {
        cJSON *read = cJSON_Parse(text);
        assert_non_null(read);
        pages[i] = page_of(read);
        cJSON_free(text);
        text = cJSON_PrintUnformatted(read);
        cJSON_Delete(read);
    }
    cJSON_free(text);
    assert_string_equal(pages[0].data, pages[1].data);
    weir_buf_done(&pages[0]);
    weir_buf_done(&pages[1]);
}

/* ---- tasks ---- */

static const char xgboost[] = "{\"algorithm\": \"xgboost\", \"params\": {\"rounds\": 15, \"max_bin\": 64}}";

static void test_binary(void **state) {
    (void)state;
    bench b = {0};
    make_set(&b, WEIR_TASK_BINARY, ROWS, NULL, false);
    fit_models(&b, xgboost, "{\"algorithm\": \"logistic\"}", "roc_auc");
    b.a.cost_false_positive = 1;
    b.a.cost_false_negative = 3;
    b.a.slices = (const char *const[]){"rate", "constant", "gaps", NULL};
    b.a.learning_curve = true;
    cJSON *json = assess(&b);
    static double score[ROWS];
    int64_t n = b.test.matrix.row_count;
    for (int m = 0; m < 2; m++) {
        char path[64];
        predict_all(b.models[m], &b.test.matrix, score);
        weir_cost_choice choice;
        weir_err err;
        weir_outcomes folds = {.row_count = b.train.matrix.row_count, .label = b.train.matrix.label, .score = b.folds[m].scores};
        assert_int_equal(weir_threshold_by_cost(&folds, 1, 3, &choice, &err), WEIR_OK);
        snprintf(path, sizeof path, "models.%d.threshold", m);
        assert_number(json, path, choice.threshold);
        weir_outcomes o = {.row_count = n, .label = b.test.matrix.label, .score = score, .threshold = choice.threshold, .k = 100};
        static const char *const names[] = {
            "roc_auc", "average_precision", "f1", "precision", "recall", "log_loss", "brier", "mcc", "expected_calibration_error", "precision_at_k"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            double value;
            assert_int_equal(weir_model_metric_measure(weir_model_metric_find(WEIR_TASK_BINARY, names[i]), &o, &value, &err), WEIR_OK);
            snprintf(path, sizeof path, "models.%d.metrics.%s.value", m, names[i]);
            assert_number(json, path, value);
        }
        snprintf(path, sizeof path, "models.%d.validation.mean", m);
        assert_number(json, path, b.folds[m].mean);
    }
    assert_within(json, "models.0.metrics.roc_auc");
    assert_within(json, "models.1.metrics.log_loss");
    assert_number(json, "binary.roc.0.area", number_at(json, "models.0.metrics.roc_auc.value"));
    assert_number(json, "binary.precision_recall.1.area", number_at(json, "models.1.metrics.average_precision.value"));
    double cells = 0;
    for (int i = 0; i < 4; i++) cells += cJSON_GetArrayItem(at(json, "binary.confusion"), i)->valuedouble;
    assert_true(cells == (double)n);
    assert_number(json, "comparisons.0.difference", number_at(json, "models.1.metrics.roc_auc.value") - number_at(json, "models.0.metrics.roc_auc.value"));
    assert_int_equal(cJSON_GetArraySize(at(json, "slices.list")), 4 + 1 + 5); /* quarters, one value, quarters and missing */
    assert_int_equal(cJSON_GetArraySize(at(json, "learning_curve.points")), 5);
    assert_true(number_at(json, "importance.columns.0.permutation") > number_at(json, "importance.columns.2.permutation"));
    assert_string_equal(at(json, "intervals.unit")->valuestring, "rows");
    check_page(json, (const char *const[]){"A &lt;title&gt; &amp; &quot;more&quot;", "first &lt;i&gt;", "second v3", "ROC curve", "no &lt;b&gt;",
                                           "gaps = missing", "Would more data help?", NULL});
    cJSON_Delete(json);
    bench_done(&b);
}

/* What versions decide by is their own, not the assessment's. */
static void test_models_decide_by_their_own_thresholds(void **state) {
    (void)state;
    bench b = {0};
    static double score[ROWS];
    const double threshold[] = {0.2, 0.7};
    make_set(&b, WEIR_TASK_BINARY, ROWS, NULL, false);
    fit_models(&b, "{\"algorithm\": \"logistic\"}", "{\"algorithm\": \"logistic\", \"params\": {\"l2\": 50}}", "f1");
    b.a.threshold = 0.5;
    for (int m = 0; m < 2; m++) {
        b.assessed[m].decides = true;
        b.assessed[m].threshold = threshold[m];
    }
    b.assessed[1].threshold_how = "by <hand>";
    b.a.slices = (const char *const[]){"rate", NULL};
    cJSON *json = assess(&b);
    for (int m = 0; m < 2; m++) {
        char path[64];
        double f1, recall;
        weir_err err;
        predict_all(b.models[m], &b.test.matrix, score);
        weir_outcomes o = {.row_count = b.test.matrix.row_count, .label = b.test.matrix.label, .score = score, .threshold = threshold[m]};
        assert_int_equal(weir_model_metric_measure(weir_model_metric_find(WEIR_TASK_BINARY, "f1"), &o, &f1, &err), WEIR_OK);
        assert_int_equal(weir_model_metric_measure(weir_model_metric_find(WEIR_TASK_BINARY, "recall"), &o, &recall, &err), WEIR_OK);
        snprintf(path, sizeof path, "models.%d.metrics.f1.value", m);
        assert_number(json, path, f1);
        snprintf(path, sizeof path, "models.%d.metrics.recall.value", m);
        assert_number(json, path, recall);
        snprintf(path, sizeof path, "models.%d.threshold", m);
        assert_number(json, path, threshold[m]);
        if (m == 0) assert_number(json, "comparisons.0.difference", at(json, "models.1.metrics.f1.value")->valuedouble - f1);
    }
    assert_within(json, "models.0.metrics.f1"); /* intervals too */
    assert_within(json, "models.1.metrics.f1");
    assert_string_equal(at(json, "models.0.threshold_chosen")->valuestring, "given");
    assert_string_equal(at(json, "models.1.threshold_chosen")->valuestring, "by <hand>");
    assert_number(json, "binary.threshold.value", 0.2);
    cJSON_Delete(json);
    b.assessed[1].threshold = NAN;
    weir_err err;
    assert_int_equal(weir_assess(&b.a, &json, &err), WEIR_EINVAL);
    bench_done(&b);
}

/* The second of three classes is in no test row. */
static void test_a_class_without_test_rows_is_left_out_in_words(void **state) {
    (void)state;
    bench b = {0};
    make_set(&b, WEIR_TASK_MULTICLASS, ROWS, NULL, false);
    fit_models(&b, "{\"algorithm\": \"logistic\"}", NULL, "f1_macro");
    double *label = (double *)b.test.matrix.label;
    for (int64_t r = 0; r < b.test.matrix.row_count; r++) label[r] = label[r] == 1 ? 2 : label[r];
    cJSON *json = assess(&b);
    static const char *const missing[] = {"precision", "recall", "f1", "auc"};
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "multiclass.classes.1.%s", missing[i]);
        assert_true(cJSON_IsNull(at(json, path)));
        snprintf(path, sizeof path, "multiclass.classes.2.%s", missing[i]);
        assert_true(cJSON_IsNumber(at(json, path)));
    }
    assert_string_equal(at(json, "multiclass.classes.1.none")->valuestring, "no test row has this class");
    assert_true(cJSON_IsNumber(at(json, "models.0.metrics.auc_ovr_macro.value")));
    check_page(json, (const char *const[]){"No test row has the class <b>maybe</b>: how well it is told from the rest cannot be said", NULL});
    cJSON_Delete(json);
    bench_done(&b);
}

static void test_regression(void **state) {
    (void)state;
    static const char *const hostile[] = {"</svg><script>", "\"><b", "a & b", "it's", "{}%s%n"};
    bench b = {0};
    make_set(&b, WEIR_TASK_REGRESSION, ROWS, hostile, true);
    fit_models(&b, xgboost, "{\"algorithm\": \"ridge\"}", "rmse");
    b.a.interval_level = 0.8;
    b.a.run = cJSON_Parse("{\"id\": \"<run>\", \"seed\": 4, \"steps\": [{\"name\": \"fit & <go>\", \"seconds\": 2.5}]}");
    cJSON *json = assess(&b);
    static double score[ROWS];
    int64_t n = b.test.matrix.row_count;
    weir_err err;
    predict_all(b.models[0], &b.test.matrix, score);
    weir_outcomes o = {.row_count = n, .label = b.test.matrix.label, .score = score};
    weir_metrics_regression m;
    assert_int_equal(weir_measure_regression(&o, &m, &err), WEIR_OK);
    assert_number(json, "models.0.metrics.rmse.value", m.rmse);
    assert_number(json, "models.0.metrics.mape.value", m.mape);
    assert_number(json, "models.0.metrics.r2.value", m.r2);
    assert_within(json, "models.0.metrics.mae");
    double radius, coverage;
    assert_int_equal(weir_conformal_radius(b.train.matrix.label, b.folds[0].scores, b.train.matrix.row_count, 0.8, &radius, &err), WEIR_OK);
    assert_int_equal(weir_conformal_coverage(o.label, score, NULL, n, radius, &coverage, &err), WEIR_OK);
    assert_number(json, "regression.intervals.radius", radius);
    assert_number(json, "regression.intervals.coverage", coverage);
    assert_true(coverage > 0.7 && coverage < 0.9);
    assert_true(number_at(json, "regression.intervals.coverage_low") < coverage && coverage < number_at(json, "regression.intervals.coverage_high"));
    assert_true(fabs(number_at(json, "regression.residuals.durbin_watson.statistic") - 2) < 0.4); /* noise without memory */
    assert_string_equal(at(json, "regression.residuals.order")->valuestring, "entity, then time");
    assert_string_equal(at(json, "intervals.unit")->valuestring, "entities");
    assert_number(json, "intervals.units", ENTITIES);
    assert_string_equal(at(json, "slices.list.0.column")->valuestring, "tenant");
    assert_string_equal(at(json, "slices.list.1.value")->valuestring, "south");
    double rows = number_at(json, "slices.list.0.rows") + number_at(json, "slices.list.1.rows");
    assert_true(rows == (double)n);
    const cJSON *told = at(json, "explanations.rows.0");
    assert_true(fabs(number_at(told, "margin") - number_at(told, "score")) < 1e-3 * fabs(number_at(told, "score"))); /* contributions add up */
    check_page(json, (const char *const[]){"&lt;/svg&gt;&lt;script&gt;", "Are errors normal?", "&lt;run&gt;", "fit &amp; &lt;go&gt;", "it&#39;s",
                                           "tenant = north", NULL});
    cJSON_Delete(json);
    cJSON_Delete((cJSON *)(uintptr_t)b.a.run);
    bench_done(&b);
}

static void test_multiclass(void **state) {
    (void)state;
    bench b = {0};
    make_set(&b, WEIR_TASK_MULTICLASS, ROWS, NULL, false);
    fit_models(&b, xgboost, NULL, "f1_micro"); /* a metric beside the table of those that are always there */
    double folds[] = {0.5, 0.75};
    weir_leader leaders[] = {{.name = "best & <first>", .mean = 0.625, .deviation = 0.1, .fit_s = 2, .fold_values = folds, .p_worse = NAN},
                             {.name = "other", .mean = 0.5, .deviation = 0.1, .fit_s = 1, .fold_values = folds, .p_worse = 0.25}};
    for (int i = 0; i < 2; i++) leaders[i].spec = b.specs[0];
    const weir_leaderboard board = {
        .leaders = leaders, .count = 2, .fold_count = 2, .trials = 17, .failed = 3, .ended = "budget", .elapsed_s = 61, .winner = 0};
    b.a.board = &board;
    cJSON *json = assess(&b);
    assert_number(json, "leaderboard.trials", 17);
    assert_number(json, "leaderboard.leaders.1.p_worse", 0.25);
    static double score[ROWS * CLASSES];
    weir_err err;
    predict_all(b.models[0], &b.test.matrix, score);
    weir_outcomes o = {.row_count = b.test.matrix.row_count, .class_count = CLASSES, .label = b.test.matrix.label, .score = score};
    weir_metrics_classes m;
    assert_int_equal(weir_measure_classes(&o, &m, &err), WEIR_OK);
    assert_number(json, "models.0.metrics.f1_macro.value", m.f1_macro);
    assert_number(json, "models.0.metrics.f1_micro.value", m.accuracy);
    assert_number(json, "models.0.metrics.log_loss.value", m.log_loss);
    assert_within(json, "models.0.metrics.f1_micro");
    for (int i = 0; i < CLASSES * CLASSES; i++) assert_true(cJSON_GetArrayItem(at(json, "multiclass.confusion"), i)->valuedouble == m.confusion[i]);
    assert_number(json, "multiclass.classes.1.recall", m.classes[1].recall);
    assert_string_equal(at(json, "multiclass.classes.2.name")->valuestring, "yes & \"no\"");
    weir_metrics_classes_done(&m);
    check_page(json, (const char *const[]){"What is taken for what", "yes &amp; &quot;no&quot;", "AUC against the", "best &amp; &lt;first&gt;",
                                           "What was tried", "What ended the search: budget", NULL});
    cJSON_Delete(json);
    bench_done(&b);
}

/* The same models and rows again give the same document. */
static void test_same_input_same_document(void **state) {
    (void)state;
    bench b = {0};
    make_set(&b, WEIR_TASK_BINARY, 600, NULL, true);
    fit_models(&b, "{\"algorithm\": \"logistic\"}", NULL, "log_loss");
    cJSON *first = assess(&b), *second = assess(&b);
    char *a = cJSON_PrintUnformatted(first), *c = cJSON_PrintUnformatted(second);
    assert_string_equal(a, c);
    cJSON_free(a);
    cJSON_free(c);
    cJSON_Delete(first);
    cJSON_Delete(second);
    bench_done(&b);
}

/* Where the worst slice is far from the rest it is marked, elsewhere not. */
static void test_a_slice_that_is_worse_is_marked(void **state) {
    (void)state;
    bench b = {0};
    static const char *const slices[] = {"noise", NULL};
    make_set(&b, WEIR_TASK_REGRESSION, ROWS, NULL, false);
    fit_models(&b, "{\"algorithm\": \"ridge\"}", NULL, "mae");
    b.a.slices = slices;
    cJSON *json = assess(&b);
    for (int i = 0; i < 4; i++) assert_false(cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(at(json, "slices.list"), i), "worse")));
    cJSON_Delete(json);
    double *label = (double *)(uintptr_t)b.test.matrix.label;
    for (int64_t r = 0; r < b.test.matrix.row_count; r++)
        if (b.test.matrix.values[r * COLUMNS + 2] > 0.75) label[r] += r % 2 ? 9 : -9;
    json = assess(&b);
    int worse = 0;
    for (int i = 0; i < 4; i++) worse += cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(at(json, "slices.list"), i), "worse"));
    assert_int_equal(worse, 1);
    check_page(json, (const char *const[]){"1 slice is worse than the rest", NULL});
    cJSON_Delete(json);
    bench_done(&b);
}

static void test_market(void **state) {
    (void)state;
    bench b = {0};
    static double returns[ROWS];
    make_set(&b, WEIR_TASK_BINARY, ROWS, NULL, true);
    fit_models(&b, "{\"algorithm\": \"logistic\"}", NULL, "roc_auc");
    static double score[ROWS];
    predict_all(b.models[0], &b.test.matrix, score);
    for (int64_t r = 0; r < b.test.matrix.row_count; r++) returns[r] = 0.01 * (b.test.matrix.label[r] - 0.5);
    b.a.market = true;
    b.a.test_returns = returns;
    weir_backtest_input in = {.row_count = b.test.matrix.row_count,
                              .time_us = b.test.time_us,
                              .symbol = b.test.entity,
                              .symbol_count = b.test.entity_count,
                              .score = score,
                              .next_return = returns};
    weir_backtest_rule rule = {.upper = 0.5, .lower = 0.5, .cost_bps = 5, .slippage_bps = 5, .trials = 1};
    weir_backtest t;
    weir_err err;
    assert_int_equal(weir_backtest_run(&in, &rule, 2000, 4, &t, &err), WEIR_OK);
    cJSON *json = assess(&b);
    assert_number(json, "backtest.strategy.sharpe", t.strategy.sharpe);
    assert_number(json, "backtest.excess_low", t.excess_low);
    assert_number(json, "backtest.hit_rate", t.hit_rate);
    assert_int_equal(cJSON_GetArraySize(at(json, "backtest.at_costs")), 6);
    check_page(json, (const char *const[]){"What would it have earned?", "Growth of one unit of capital", "Drawdown", NULL});
    cJSON_Delete(json);
    weir_backtest_done(&t);
    b.a.test_returns = NULL;
    assert_int_equal(weir_assess(&b.a, &json, &err), WEIR_EINVAL);
    bench_done(&b);
}

/* ---- too little ---- */

static void test_one_class(void **state) {
    (void)state;
    bench b = {0};
    make_set(&b, WEIR_TASK_BINARY, 400, NULL, false);
    fit_models(&b, "{\"algorithm\": \"logistic\"}", NULL, "f1");
    double *label = (double *)(uintptr_t)b.test.matrix.label;
    for (int64_t r = 0; r < b.test.matrix.row_count; r++) label[r] = 0;
    cJSON *json = assess(&b);
    assert_string_equal(at(json, "binary.roc.none")->valuestring, "all test rows are of one class");
    assert_true(cJSON_IsNull(at(json, "models.0.metrics.roc_auc.value")));
    assert_string_equal(at(json, "importance.permutation_metric")->valuestring, "average_precision");
    check_page(json, (const char *const[]){"all test rows are of one class", "Decisions at the threshold", NULL});
    cJSON_Delete(json);
    bench_done(&b);
}

static void test_few_rows_and_none(void **state) {
    (void)state;
    static const weir_task tasks[] = {WEIR_TASK_BINARY, WEIR_TASK_MULTICLASS, WEIR_TASK_REGRESSION};
    static const char *const specs[] = {"{\"algorithm\": \"logistic\"}", "{\"algorithm\": \"logistic\"}", "{\"algorithm\": \"ridge\"}"}, *const metrics[] = {
                                                                                                                                             "roc_auc",
                                                                                                                                             "f1_macro", "r2"};
    for (int k = 0; k < 3; k++) {
        bench b = {0};
        make_set(&b, tasks[k], 200, NULL, true);
        fit_models(&b, specs[k], NULL, metrics[k]);
        b.a.slices = (const char *const[]){"rate", NULL};
        b.a.learning_curve = true;
        for (int64_t rows = 0; rows <= 12; rows += rows < 3 ? 1 : 3) {
            b.test.matrix.row_count = rows;
            cJSON *json = assess(&b);
            weir_buf html = page_of(json);
            if (rows < 10) assert_non_null(strstr(html.data, rows ? "fewer than 10 test rows" : "there are no test rows"));
            assert_true((strstr(html.data, "do not say how good it is") != NULL) == (rows > 0 && rows < 10));
            weir_buf_done(&html);
            cJSON_Delete(json);
        }
        bench_done(&b);
    }
}

static void test_what_does_not_fit_is_refused(void **state) {
    (void)state;
    bench b = {0}, other = {0};
    static const char *const renamed[] = {"amount", "rate", "noise", "gap", "constant"};
    cJSON *json = NULL;
    weir_err err;
    make_set(&b, WEIR_TASK_BINARY, 200, NULL, false);
    make_set(&other, WEIR_TASK_BINARY, 200, renamed, false);
    fit_models(&b, "{\"algorithm\": \"logistic\"}", NULL, "roc_auc");
    b.a.test = &other.test;
    assert_int_equal(weir_assess(&b.a, &json, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "column 3 is gaps, that of the test rows gap"));
    b.a.test = &b.test;
    b.a.metric = weir_model_metric_find(WEIR_TASK_REGRESSION, "rmse");
    assert_int_equal(weir_assess(&b.a, &json, &err), WEIR_EINVAL);
    b.a.metric = weir_model_metric_find(WEIR_TASK_BINARY, "roc_auc");
    b.a.slices = (const char *const[]){"nothing", NULL};
    assert_int_equal(weir_assess(&b.a, &json, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "nothing"));
    b.a.slices = NULL;
    _Atomic bool cancel = true;
    b.a.cancel = &cancel;
    assert_int_equal(weir_assess(&b.a, &json, &err), WEIR_ETIMEOUT);
    assert_null(json);
    bench_done(&b);
    bench_done(&other);
}

static void test_pages_of_other_documents_are_refused(void **state) {
    (void)state;
    static const char *const texts[][2] = {
        {"{}", "format"},
        {"[]", "format"},
        {"{\"format\": \"weir-assessment\", \"version\": 2}", "version"},
        {"{\"format\": \"weir-assessment\", \"version\": 1, \"task\": \"binary\", \"metric\": {}, \"models\": []}", "dataset"},
        {"{\"format\": \"weir-assessment\", \"version\": 1, \"task\": \"binary\", \"metric\": {}, \"models\": [], \"dataset\": {}}", "models"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cJSON *json = cJSON_Parse(texts[i][0]);
        weir_buf html = {0};
        weir_err err;
        assert_int_equal(weir_assessment_page(json, &html, &err), WEIR_EDATA);
        assert_non_null(strstr(err.message, texts[i][1]));
        weir_buf_done(&html);
        cJSON_Delete(json);
    }
    cJSON *bare = cJSON_Parse(
        "{\"format\": \"weir-assessment\", \"version\": 1, \"task\": \"regression\", \"metric\": {}, \"models\": [{}], \"dataset\": {}, \"regression\": {}, "
        "\"binary\": {}, "
        "\"multiclass\": {}, \"backtest\": {}, \"learning_curve\": {}, \"importance\": {}, \"explanations\": {\"rows\": [{}]}, \"slices\": {\"list\": [{}]}}");
    weir_buf html = page_of(bare); /* parts that lack everything do not break it */
    weir_buf_done(&html);
    cJSON_Delete(bare);
}

/* ---- no memory ---- */

static void *failing_malloc(size_t size) {
    return failing_realloc(NULL, size ? size : 1);
}

static weir_status assess_and_draw(const bench *b, weir_err *err) {
    cJSON *json = NULL;
    weir_buf html = {0};
    weir_status status = weir_assess(&b->a, &json, err);
    if (!status) status = weir_assessment_page(json, &html, err);
    weir_buf_done(&html);
    cJSON_Delete(json);
    return status;
}

static void test_without_memory(void **state) {
    (void)state;
    bench b = {0};
    static const char *const slices[] = {"rate", NULL};
    make_set(&b, WEIR_TASK_REGRESSION, 250, NULL, true);
    fit_models(&b, "{\"algorithm\": \"ridge\"}", "{\"algorithm\": \"linear\"}", "rmse");
    b.a.slices = slices;
    weir_allocator before = weir_mem;
    cJSON_Hooks hooks = {.malloc_fn = failing_malloc, .free_fn = free};
    weir_status status = WEIR_ENOMEM;
    weir_err err = {0};
    int failures = 0;
    for (int64_t n = 0; status != WEIR_OK; n += 1 + n / 12) {
        allocations_left = (int)n;
        weir_mem.realloc = failing_realloc;
        cJSON_InitHooks(&hooks);
        status = assess_and_draw(&b, &err);
        weir_mem = before;
        cJSON_InitHooks(NULL);
        if (status != WEIR_OK && status != WEIR_ENOMEM) fail_msg("after %lld allocations: %s", (long long)n, err.message);
        failures += status != WEIR_OK;
        assert_true(n < 10000000);
    }
    assert_true(failures > 50);
    bench_done(&b);
}

int main(void) {
    fixture_init(&data);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_models_decide_by_their_own_thresholds),
        cmocka_unit_test(test_a_class_without_test_rows_is_left_out_in_words),
        cmocka_unit_test(test_regression),
        cmocka_unit_test(test_multiclass),
        cmocka_unit_test(test_same_input_same_document),
        cmocka_unit_test(test_a_slice_that_is_worse_is_marked),
        cmocka_unit_test(test_market),
        cmocka_unit_test(test_one_class),
        cmocka_unit_test(test_few_rows_and_none),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_pages_of_other_documents_are_refused),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
