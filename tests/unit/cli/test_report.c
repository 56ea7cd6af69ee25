/* The report: curves and verdict against hand-worked cases, JSON keys and nulls, HTML escaping. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/report.h"
#include "core/clock.h"

static void assert_near(double value, double expected, double tolerance) {
    if (!(fabs(value - expected) <= tolerance)) fail_msg("%.17g is not within %g of %.17g", value, tolerance, expected);
}

static weir_report *new_report(void) {
    weir_report *r = malloc(sizeof *r);
    assert_non_null(r);
    weir_report_init(r);
    return r;
}

static void free_report(weir_report *r) {
    weir_report_done(r);
    free(r);
}

static const cJSON *at(const cJSON *json, const char *path) {
    char copy[200], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *name; json && (name = strsep(&rest, "/"));) json = cJSON_GetObjectItemCaseSensitive(json, name);
    return json;
}

static double number(const cJSON *json, const char *path) {
    const cJSON *item = at(json, path);
    if (!cJSON_IsNumber(item)) fail_msg("%s is not a number", path);
    return item->valuedouble;
}

static const char *text(const cJSON *json, const char *path) {
    const char *value = cJSON_GetStringValue(at(json, path));
    if (!value) fail_msg("%s is not a text", path);
    return value;
}

static cJSON *json_of(const weir_report *r) {
    weir_buf buf = {0};
    weir_err err;
    assert_int_equal(weir_report_json(r, &buf, &err), WEIR_OK);
    cJSON *json = cJSON_Parse(buf.data);
    assert_non_null(json);
    weir_buf_done(&buf);
    return json;
}

static void set_arms(weir_report *r) {
    r->measure = (weir_measure){.arm_count = 3, .has_difference = true};
    r->measure.arms[0] = (weir_arm_measure){.arm = "champion", .model = "old", .version = 1, .digest = "aa", .predictions = 10, .labelled = 8};
    r->measure.arms[1] = (weir_arm_measure){.arm = "champion", .model = "steady", .version = 2, .digest = "bb", .predictions = 30, .labelled = 20};
    r->measure.arms[2] = (weir_arm_measure){.arm = "challenger", .model = "young", .version = 1, .digest = "cc", .predictions = 40, .labelled = 25};
    for (int i = 0; i < 3; i++)
        r->measure.arms[i].metrics = (weir_metrics_binary){.rows = 8,
                                                           .positives = 2,
                                                           .auc_roc = 0.75,
                                                           .average_precision = 0.5,
                                                           .f1 = 0.4,
                                                           .precision = NAN,
                                                           .recall = 0.25,
                                                           .card_precision = 0.125,
                                                           .card_k = 100};
}

/* ---- curves ---- */

/* Champion, by hand: scores 0.9+ 0.8− 0.7+ 0.7− 0.1−. Pairs won: 0.9 beats all three; 0.7 ties one, beats one: (3 + 0.5 + 1) / 6. */
static void test_curves_of_five_scores_worked_by_hand(void **state) {
    (void)state;
    weir_report *r = new_report();
    weir_err err;
    weir_report_scored rows[] = {{0, 0, 100, 0.1}, {0, 1, 100, 0.9}, {0, 0, 101, 0.7}, {0, 1, 101, 0.7}, {0, 0, 101, 0.8}, {1, -1, 101, 0.3}};
    assert_int_equal(weir_report_curves(r, rows, 6, &err), WEIR_OK);
    assert_int_equal(r->day_count, 2);
    assert_int_equal(r->days[0].day_us, 100 * WEIR_DAY_US);
    assert_int_equal(r->days[1].arms[0].predictions, 3);
    assert_int_equal(r->days[1].arms[0].positives, 1);
    assert_int_equal(r->days[1].arms[1].predictions, 1);
    assert_int_equal(r->days[1].arms[1].labelled, 0);
    assert_true(isnan(r->days[1].arms[1].auc_so_far));
    assert_near(r->days[0].arms[0].auc, 1, 1e-12);
    assert_near(r->days[1].arms[0].auc, 0.25, 1e-12); /* ties one of two, loses to the other */
    assert_near(r->days[1].arms[0].auc_so_far, 4.5 / 6, 1e-12);
    const weir_point roc[] = {{0, 0}, {0, 0.5}, {1.0 / 3, 0.5}, {2.0 / 3, 1}, {1, 1}}, pr[] = {{0.5, 1}, {1, 0.5}};
    assert_int_equal(r->roc[0].count, 5);
    for (int i = 0; i < 5; i++) {
        assert_near(r->roc[0].points[i].x, roc[i].x, 1e-12);
        assert_near(r->roc[0].points[i].y, roc[i].y, 1e-12);
    }
    assert_int_equal(r->pr[0].count, 2);
    for (int i = 0; i < 2; i++) {
        assert_near(r->pr[0].points[i].x, pr[i].x, 1e-12);
        assert_near(r->pr[0].points[i].y, pr[i].y, 1e-12);
    }
    assert_int_equal(r->roc[1].count, 0);
    free_report(r);
}

/* Many distinct scores: the points stay within their maximum, end at (1, 1), and the area under them is the AUC. */
static void test_curves_of_many_scores_are_thinned_without_losing_their_area(void **state) {
    (void)state;
    enum { N = 60000 };
    weir_report *r = new_report();
    weir_err err;
    weir_report_scored *rows = malloc(N * sizeof *rows);
    assert_non_null(rows);
    uint32_t x = 1;
    for (int i = 0; i < N; i++) {
        x = x * 1664525u + 1013904223u;
        int label = x % 7 == 0;
        rows[i] = (weir_report_scored){0, (int8_t)label, 5, (double)(x >> 8) / (1 << 24) + 0.3 * label};
    }
    assert_int_equal(weir_report_curves(r, rows, N, &err), WEIR_OK);
    const weir_report_curve *roc = &r->roc[0];
    assert_in_range(roc->count, 100, WEIR_CURVE_POINTS_MAX);
    assert_near(roc->points[roc->count - 1].x, 1, 0);
    assert_near(roc->points[roc->count - 1].y, 1, 0);
    assert_in_range(r->pr[0].count, 100, WEIR_CURVE_POINTS_MAX);
    double area = 0;
    for (int i = 1; i < roc->count; i++) area += (roc->points[i].x - roc->points[i - 1].x) * (roc->points[i].y + roc->points[i - 1].y) / 2;
    assert_near(area, r->days[0].arms[0].auc_so_far, 0.001);
    free(rows);
    free_report(r);
}

static void test_curves_refuse_what_is_no_score(void **state) {
    (void)state;
    weir_report *r = new_report();
    weir_err err;
    weir_report_scored bad_score[] = {{0, 1, 1, 0.5}, {0, 0, 1, NAN}}, bad_arm[] = {{2, 1, 1, 0.5}}, far[] = {{0, 1, 0, 0.5}, {0, 0, 1000000, 0.5}};
    assert_int_equal(weir_report_curves(r, bad_score, 2, &err), WEIR_ENUMERIC);
    assert_int_equal(weir_report_curves(r, bad_arm, 1, &err), WEIR_ENUMERIC);
    assert_int_equal(weir_report_curves(r, far, 2, &err), WEIR_EDATA);
    assert_int_equal(weir_report_curves(r, NULL, 0, &err), WEIR_OK);
    assert_int_equal(r->day_count, 0);
    free_report(r);
}

/* ---- verdict ---- */

static weir_report_better judged(weir_report *r, double auc_low, double auc_high, double ap_low, double ap_high) {
    r->measure.auc_low = auc_low;
    r->measure.auc_high = auc_high;
    r->measure.ap_low = ap_low;
    r->measure.ap_high = ap_high;
    weir_report_judge(r);
    return r->better;
}

static void test_verdict_follows_the_intervals(void **state) {
    (void)state;
    weir_report *r = new_report();
    weir_report_judge(r);
    assert_int_equal(r->better, WEIR_BETTER_UNKNOWN);
    set_arms(r);
    assert_int_equal(judged(r, -0.01, 0.01, -0.02, 0.02), WEIR_BETTER_NEITHER);
    assert_int_equal(judged(r, 0.01, 0.02, -0.02, 0.02), WEIR_BETTER_CHALLENGER);
    assert_non_null(strstr(r->headline, "young"));
    assert_int_equal(judged(r, -0.02, 0.02, 0.01, 0.02), WEIR_BETTER_CHALLENGER);
    assert_int_equal(judged(r, -0.02, -0.01, -0.02, 0.02), WEIR_BETTER_CHAMPION);
    assert_non_null(strstr(r->headline, "steady")); /* the version served last, not the old one */
    assert_int_equal(judged(r, -0.02, -0.01, 0.01, 0.02), WEIR_BETTER_SPLIT);
    assert_non_null(strstr(r->verdict, "should take young"));
    assert_int_equal(judged(r, NAN, NAN, NAN, NAN), WEIR_BETTER_NEITHER);
    free_report(r);
}

/* ---- JSON ---- */

static void test_json_of_an_empty_report_has_every_key_and_nulls(void **state) {
    (void)state;
    weir_report *r = new_report();
    cJSON *json = json_of(r);
    static const char *const keys[] = {"pipeline",     "started_at",   "ended_at", "source",      "train_from", "events_in", "labels_in",
                                       "features_out", "dead_letters", "models",   "predictions", "experiment", "rates",     "durations_s"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!at(json, keys[i])) fail_msg("no %s", keys[i]);
    assert_true(cJSON_IsNull(at(json, "durations_s/total")));
    assert_true(cJSON_IsNull(at(json, "started_at")));
    assert_true(cJSON_IsNull(at(json, "split/test_to")));
    assert_true(cJSON_IsNull(at(json, "rates/events_per_s/peak")));
    assert_true(cJSON_IsNull(at(json, "experiment/difference")));
    assert_true(number(json, "predictions/champion") == 0);
    assert_true(number(json, "dead_letters/total") == 0);
    cJSON_Delete(json);
    free_report(r);
}

static void test_json_passes_metrics_through_and_sums_arms(void **state) {
    (void)state;
    weir_report *r = new_report();
    weir_err err;
    set_arms(r);
    r->measure.auc_difference = 0.0125;
    weir_report_count(&r->dead_letters, "check", 3);
    weir_report_count(&r->dead_letters, "late", 0);
    weir_report_count(&r->dead_letters, "check", 2);
    weir_report_count(&r->features_out, "customer", 7);
    assert_int_equal(weir_time_parse("2018-05-15", &r->train_from_us, &err), WEIR_OK);
    r->train_us = r->delay_us = r->test_us = 7 * WEIR_DAY_US;
    r->model_count = 1;
    r->models[0] = (weir_report_model){.name = "steady",
                                       .version = 2,
                                       .digest = "bb",
                                       .algorithm = "logistic",
                                       .alias = "champion",
                                       .metrics = cJSON_Parse("{\"auc_roc\":0.895123456789,\"odd\":[1]}")};
    cJSON *json = json_of(r);
    const cJSON *model = cJSON_GetArrayItem(at(json, "models"), 0), *arm = cJSON_GetArrayItem(at(json, "experiment/arms"), 1);
    assert_near(number(model, "metrics/auc_roc"), 0.895123456789, 1e-15);
    assert_int_equal(cJSON_GetArraySize(at(model, "metrics/odd")), 1);
    assert_string_equal(text(model, "alias"), "champion");
    assert_true(cJSON_IsNull(at(model, "lineage")));
    assert_near(number(arm, "metrics/card_precision_100"), 0.125, 0);
    assert_true(cJSON_IsNull(at(arm, "metrics/precision")));
    assert_true(number(json, "predictions/champion") == 40);
    assert_true(number(json, "predictions/challenger") == 40);
    assert_true(number(json, "predictions/total") == 80);
    assert_true(number(json, "dead_letters/check") == 5);
    assert_true(number(json, "dead_letters/late") == 0);
    assert_true(number(json, "dead_letters/total") == 5);
    assert_true(number(json, "features_out/customer") == 7);
    assert_near(number(json, "experiment/difference/auc"), 0.0125, 0);
    assert_string_equal(text(json, "train_from"), "2018-05-15T00:00:00.000000Z");
    assert_string_equal(text(json, "split/test_to"), "2018-06-05T00:00:00.000000Z");
    cJSON_Delete(json);
    free_report(r);
}

/* ---- HTML ---- */

static char *html_of(const weir_report *r) {
    weir_buf buf = {0};
    weir_err err;
    assert_int_equal(weir_report_html(r, &buf, &err), WEIR_OK);
    return buf.data;
}

static int count_of(const char *haystack, const char *needle) {
    int count = 0;
    for (const char *p = haystack; (p = strstr(p, needle)); p += strlen(needle)) count++;
    return count;
}

static void test_html_escapes_names_and_shows_a_dash_for_what_is_not_known(void **state) {
    (void)state;
    weir_report *r = new_report();
    set_arms(r);
    snprintf(r->measure.arms[2].model, sizeof r->measure.arms[2].model, "<script>alert('x')&\"");
    snprintf(r->pipeline, sizeof r->pipeline, "fr&ud");
    r->source.files = calloc(2, sizeof(char *));
    assert_non_null(r->source.files);
    r->source.files[0] = strdup("/home/me/<b>.csv");
    weir_report_count(&r->dead_letters, "<i>", 1);
    weir_report_judge(r);
    char *html = html_of(r);
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "<b>.csv"));
    assert_non_null(strstr(html, "&lt;script&gt;alert(&#39;x&#39;)&amp;&quot;"));
    assert_non_null(strstr(html, "<code>&lt;b&gt;.csv</code>"));
    assert_null(strstr(html, "/home/me"));
    assert_non_null(strstr(html, "&lt;i&gt;"));
    assert_null(strstr(html, "nan"));
    assert_non_null(strstr(html, "<td>\u2013</td>"));
    free(html);
    free_report(r);
}

/* One page that asks nobody for anything, whether it has everything or nothing. */
static void test_html_is_self_contained_and_balanced(void **state) {
    (void)state;
    weir_report *r = new_report();
    weir_err err;
    for (int full = 0; full < 2; full++) {
        if (full) {
            weir_report_scored rows[] = {{0, 0, 17680, 0.1}, {0, 1, 17680, 0.9}, {1, 0, 17681, 0.7}, {1, 1, 17681, 0.7}, {1, 0, 17682, 0.8}};
            set_arms(r);
            assert_int_equal(weir_report_curves(r, rows, 5, &err), WEIR_OK);
            assert_int_equal(weir_time_parse("2018-05-15", &r->train_from_us, &err), WEIR_OK);
            r->source.first_us = r->train_from_us - 40 * WEIR_DAY_US;
            r->source.last_us = r->train_from_us + 30 * WEIR_DAY_US;
            r->train_us = r->delay_us = r->test_us = r->label_delay_us = 7 * WEIR_DAY_US;
            r->durations.load = r->durations.train = r->durations.serve = r->durations.evaluate = 10;
            weir_report_count(&r->features_out, "customer", 7);
            weir_report_judge(r);
        }
        char *html = html_of(r);
        static const char *const outside[] = {"http:", "https:", "src=", "url(", "@import", "<link", "<script"};
        for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
            if (strstr(html, outside[i])) fail_msg("the page holds %s", outside[i]);
        static const char *const tags[][2] = {{"<section>", "</section>"}, {"<svg ", "</svg>"}, {"<table>", "</table>"},
                                              {"<figure", "</figure>"},    {"<tr>", "</tr>"},   {"<text ", "</text>"}};
        for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) assert_int_equal(count_of(html, tags[i][0]), count_of(html, tags[i][1]));
        assert_int_equal(count_of(html, "<svg "), full ? 7 : 0);
        assert_null(strstr(html, "nan"));
        assert_null(strstr(html, "inf"));
        free(html);
    }
    free_report(r);
}

/* ---- files ---- */

static void test_write_makes_both_files_and_leaves_no_drafts(void **state) {
    (void)state;
    char dir[] = "/tmp/weir_report_XXXXXX", deep[64], path[128];
    assert_non_null(mkdtemp(dir));
    snprintf(deep, sizeof deep, "%s/a/b", dir);
    weir_report *r = new_report();
    weir_err err;
    assert_int_equal(weir_report_write(r, deep, &err), WEIR_OK);
    assert_int_equal(weir_report_write(r, deep, &err), WEIR_OK); /* again, over the old ones */
    static const char *const names[] = {"report.json", "report.html"};
    for (int i = 0; i < 2; i++) {
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", deep, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size > 100);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(deep), 0); /* empty: no draft is left */
    snprintf(path, sizeof path, "%s/a", dir);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(weir_report_write(r, "/proc/no/such", &err), WEIR_EIO);
    free_report(r);
}

static int allocations_left;
static void *failing_realloc(void *old, size_t size) {
    if (size == 0) {
        free(old);
        return NULL;
    }
    return allocations_left-- > 0 ? realloc(old, size) : NULL;
}

static void test_html_says_so_when_memory_runs_out(void **state) {
    (void)state;
    weir_report *r = new_report();
    weir_allocator kept = weir_mem;
    weir_err err;
    weir_mem.realloc = failing_realloc;
    for (allocations_left = 0; allocations_left < 3;) {
        int start = allocations_left;
        weir_buf buf = {0};
        assert_int_equal(weir_report_html(r, &buf, &err), WEIR_ENOMEM);
        weir_buf_done(&buf);
        allocations_left = start + 1;
    }
    weir_mem = kept;
    free_report(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curves_of_five_scores_worked_by_hand),
        cmocka_unit_test(test_curves_of_many_scores_are_thinned_without_losing_their_area),
        cmocka_unit_test(test_curves_refuse_what_is_no_score),
        cmocka_unit_test(test_verdict_follows_the_intervals),
        cmocka_unit_test(test_json_of_an_empty_report_has_every_key_and_nulls),
        cmocka_unit_test(test_json_passes_metrics_through_and_sums_arms),
        cmocka_unit_test(test_html_escapes_names_and_shows_a_dash_for_what_is_not_known),
        cmocka_unit_test(test_html_is_self_contained_and_balanced),
        cmocka_unit_test(test_write_makes_both_files_and_leaves_no_drafts),
        cmocka_unit_test(test_html_says_so_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
