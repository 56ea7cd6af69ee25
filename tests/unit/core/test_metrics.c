#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/metrics.h"

static weir_buf page;

static const char *render(void) {
    weir_err err;
    weir_buf_clear(&page);
    assert_int_equal(weir_metrics_render(&page, &err), WEIR_OK);
    return page.data;
}

static int free_page(void **state) {
    (void)state;
    weir_buf_done(&page);
    return 0;
}

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && !strcmp(text + len - end_len, end);
}

static void table_names_follow_the_contract(void **state) {
    (void)state;
    for (const weir_metric_def *def = weir_metric_table; def->name; def++) {
        assert_memory_equal(def->name, "weir_", 5);
        for (const char *c = def->name; *c; c++) assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
        assert_int_equal(ends_with(def->name, "_total"), def->type == WEIR_COUNTER);
        if (def->type == WEIR_HISTOGRAM) assert_true(ends_with(def->name, "_seconds") || ends_with(def->name, "_rows"));
        /* These would clash with what a histogram adds. */
        assert_false(ends_with(def->name, "_bucket") || ends_with(def->name, "_sum") || ends_with(def->name, "_count"));
        assert_true(def->help && *def->help);
        assert_non_null(def->labels[0]);
        assert_null(def->labels[WEIR_METRIC_LABELS_MAX]);
        for (size_t i = 0; def->labels[i]; i++) {
            assert_string_not_equal(def->labels[i], "le");
            assert_string_not_equal(def->labels[i], "tenant");
            assert_string_not_equal(def->labels[i], "entity");
        }
        for (const weir_metric_def *other = weir_metric_table; other != def; other++) assert_string_not_equal(other->name, def->name);
    }
}

static void counter_family_is_named_without_total(void **state) {
    (void)state;
    weir_metric *metric = WEIR_METRIC("weir_train_runs_total", "fraud", "ok");
    assert_ptr_equal(metric, WEIR_METRIC("weir_train_runs_total", "fraud", "ok"));
    assert_ptr_not_equal(metric, WEIR_METRIC("weir_train_runs_total", "fraud", "failed"));
    weir_metric_add(metric, 2);
    weir_metric_add(metric, 0.5);
    assert_true(weir_metric_value(metric) == 2.5);
    const char *text = render();
    assert_non_null(strstr(text,
                           "# TYPE weir_train_runs counter\n# HELP weir_train_runs training runs that ended\n"
                           "weir_train_runs_total{pipeline=\"fraud\",outcome=\"ok\"} 2.5\nweir_train_runs_total{pipeline=\"fraud\",outcome=\"failed\"} 0\n"));
    assert_true(ends_with(text, "\n# EOF\n"));
    assert_ptr_equal(strstr(text, "# EOF"), text + strlen(text) - 6);
}

static void counter_never_falls_and_takes_no_nan(void **state) {
    (void)state;
    weir_metric *metric = WEIR_METRIC("weir_store_repeats_total", "fraud");
    weir_metric_add(metric, 1);
    weir_metric_add(metric, -5);
    weir_metric_add(metric, NAN);
    weir_metric_add(metric, INFINITY);
    assert_true(weir_metric_value(metric) == 1);
}

static void gauge_is_set_moved_hidden_and_shown(void **state) {
    (void)state;
    weir_metric *metric = WEIR_METRIC("weir_worker_ready", "fraud", "hidden");
    weir_metric_set(metric, 3);
    weir_metric_add(metric, -1);
    assert_non_null(strstr(render(), "weir_worker_ready{pipeline=\"fraud\",worker=\"hidden\"} 2\n"));
    weir_metric_hide(metric);
    assert_null(strstr(render(), "worker=\"hidden\""));
    /* A family without visible series has no head either. */
    assert_null(strstr(page.data, "# TYPE weir_worker_ready gauge"));
    weir_metric_set(metric, 1);
    assert_non_null(strstr(render(), "worker=\"hidden\"} 1\n"));
    weir_metric_hide(metric);
    assert_ptr_equal(WEIR_METRIC("weir_worker_ready", "fraud", "hidden"), metric);
    assert_non_null(strstr(render(), "worker=\"hidden\"} 1\n"));
}

static void gauges_show_every_number(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {NAN, "NaN"},      {INFINITY, "+Inf"}, {-INFINITY, "-Inf"}, {0.1, "0.1"}, {1.0 / 3, "0.3333333333333333"}, {1526378400.123456, "1526378400.123456"},
        {1e300, "1e+300"}, {-0.0, "-0"}};
    weir_metric *metric = WEIR_METRIC("weir_online_bytes", "fraud", "numbers");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_metric_set(metric, cases[i].value);
        char line[200];
        snprintf(line, sizeof line, "weir_online_bytes{pipeline=\"fraud\",worker=\"numbers\"} %s\n", cases[i].text);
        assert_non_null(strstr(render(), line));
    }
}

static void histogram_buckets_are_cumulative_and_include_their_bound(void **state) {
    (void)state;
    weir_metric *metric = WEIR_METRIC("weir_train_run_seconds", "hand");
    static const double values[] = {0, 1e-6, 1.5e-6, 0.5, 0.500001, 100, 1000, -3, NAN, INFINITY};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) weir_metric_observe(metric, values[i]);
    assert_true(weir_metric_value(metric) == 8);
    render();
#define LINE(le, n) assert_non_null(strstr(page.data, "weir_train_run_seconds_bucket{pipeline=\"hand\",le=\"" le "\"} " n "\n"))
    LINE("1e-06", "3"); /* 0, 1e-6, and -3 as 0 */
    LINE("2e-06", "4");
    LINE("0.2", "4");
    LINE("0.5", "5");
    LINE("1.0", "6");
    LINE("50.0", "6");
    LINE("100.0", "7");
    LINE("+Inf", "8");
    assert_non_null(strstr(page.data, "weir_train_run_seconds_count{pipeline=\"hand\"} 8\n"));
    assert_non_null(strstr(page.data, "weir_train_run_seconds_sum{pipeline=\"hand\"} 1101.0000035\n"));
}

/* Of what is not sampled, or no traceparent, there is none; the last one of a bucket counts. */
static void buckets_show_the_trace_they_were_measured_in(void **state) {
    (void)state;
    static const char *const none[] = {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                       "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                       "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",    ""};
    static const char sampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                      later[] = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
    weir_metric *metric = WEIR_METRIC("weir_train_run_seconds", "traced");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) weir_metric_observe_traced(metric, 0.3, none[i], strlen(none[i]));
    weir_metric_observe_traced(metric, 0.3, NULL, 0);
    assert_non_null(strstr(render(), "weir_train_run_seconds_bucket{pipeline=\"traced\",le=\"0.5\"} 7\n"));
    weir_metric_observe_traced(metric, 0.3, sampled, strlen(sampled));
    weir_metric_observe_traced(metric, 0.4, later, strlen(later));
    weir_metric_observe_traced(metric, 3, sampled, strlen(sampled));
    weir_metric_observe_traced(metric, NAN, sampled, strlen(sampled));
    render();
    assert_non_null(strstr(page.data, "traced\",le=\"0.5\"} 9 # {trace_id=\"1af7651916cd43dd8448eb211c80319c\"} 0.4 "));
    assert_non_null(strstr(page.data, "traced\",le=\"5.0\"} 10 # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 3 "));
    assert_non_null(strstr(page.data, "traced\",le=\"1.0\"} 9\n"));
    assert_true(weir_metric_value(metric) == 10);
}

static void label_values_are_escaped(void **state) {
    (void)state;
    (void)WEIR_METRIC("weir_store_repeats_total", "a\"b\\c\nd\xFF");
    assert_non_null(strstr(render(), "weir_store_repeats_total{pipeline=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\"} 0\n"));
}

static void process_metrics_are_there(void **state) {
    (void)state;
    render();
    double value = 0;
    const char *at = strstr(page.data, "\nprocess_resident_memory_bytes ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\nprocess_resident_memory_bytes %lf", &value), 1);
    assert_true(value > 1e6 && value < 1e12);
    at = strstr(page.data, "\nprocess_cpu_seconds_total ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\nprocess_cpu_seconds_total %lf", &value), 1);
    assert_true(value > 0 && value < 3600);
    assert_non_null(strstr(page.data, "# TYPE process_cpu_seconds counter\n"));
    assert_non_null(strstr(page.data, "weir_build_info{version=\"" WEIR_VERSION "\"} 1\n"));

    int before = 0, after = 0;
    assert_int_equal(sscanf(strstr(page.data, "\nprocess_open_fds "), "\nprocess_open_fds %d", &before), 1);
    int fd = dup(1);
    assert_int_equal(sscanf(strstr(render(), "\nprocess_open_fds "), "\nprocess_open_fds %d", &after), 1);
    close(fd);
    assert_int_equal(after, before + 1);
}

enum { THREADS = 4, ROUNDS = 50000 };

static void *update_much(void *unused) {
    (void)unused;
    weir_metric *counter = WEIR_METRIC("weir_score_unserved_total", "threads"), *histogram = WEIR_METRIC("weir_score_swap_seconds", "threads");
    for (int i = 0; i < ROUNDS; i++) {
        weir_metric_add(counter, 1);
        weir_metric_observe_traced(histogram, 1e-3, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 55);
    }
    return NULL;
}

static void updates_of_many_threads_all_count(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, update_much, NULL), 0);
    /* Count and +Inf bucket agree in every rendering. */
    for (int i = 0; i < 20; i++) {
        const char *inf = strstr(render(), "weir_score_swap_seconds_bucket{pipeline=\"threads\",le=\"+Inf\"} ");
        if (!inf) continue;
        long bucket = strtol(strchr(strtok(strdupa(inf), "\n"), ' '), NULL, 10);
        long count = strtol(strstr(inf, "_count{pipeline=\"threads\"} ") + strlen("_count{pipeline=\"threads\"} "), NULL, 10);
        assert_int_equal(bucket, count);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_true(weir_metric_value(WEIR_METRIC("weir_score_unserved_total", "threads")) == THREADS * ROUNDS);
    assert_true(weir_metric_value(WEIR_METRIC("weir_score_swap_seconds", "threads")) == THREADS * ROUNDS);
}

static void *failing_realloc(void *old, size_t size) {
    if (size) return NULL;
    free(old);
    return NULL;
}

static void without_memory_updates_go_nowhere(void **state) {
    (void)state;
    weir_allocator real = weir_mem;
    weir_mem.realloc = failing_realloc;
    weir_metric *metric = WEIR_METRIC("weir_train_run_seconds", "nowhere");
    weir_buf text = {0};
    weir_err err;
    weir_status status = weir_metrics_render(&text, &err);
    weir_mem = real;
    assert_int_equal(status, WEIR_ENOMEM);
    weir_buf_done(&text);
    assert_non_null(metric);
    weir_metric_observe(metric, 1);
    assert_null(strstr(render(), "nowhere"));
}

static void undeclared_names_abort(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        (void)WEIR_METRIC("weir_nothing_total", "x");
        _exit(0);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
}

/* promtool reads the older text format, in which the family of a counter carries "_total" and there are no exemplars. */
static void promtool_accepts_the_page(void **state) {
    (void)state;
    if (system("command -v promtool >/dev/null") != 0) {
        print_message("promtool is not installed\n");
        skip();
    }
    for (const weir_metric_def *def = weir_metric_table; def->name; def++)
        (void)weir_metric_get(def->name, (const char *const[]){"v1", "v2", "v3", "v4", "v5"});
    render();
    FILE *pipe = popen("promtool check metrics >/dev/null", "w");
    assert_non_null(pipe);
    char name[200] = "", type[20] = "", rest[400];
    for (char *line = strtok(page.data, "\n"); line; line = strtok(NULL, "\n")) {
        char *exemplar = strstr(line, " # {");
        if (exemplar) *exemplar = 0;
        bool is_type = sscanf(line, "# TYPE %199s %19s", name, type) == 2;
        const char *suffix = !strcmp(type, "counter") ? "_total" : "";
        if (is_type)
            fprintf(pipe, "# TYPE %s%s %s\n", name, suffix, type);
        else if (sscanf(line, "# HELP %*s %399[^\n]", rest) == 1)
            fprintf(pipe, "# HELP %s%s %s\n", name, suffix, rest);
        else
            fprintf(pipe, "%s\n", line);
    }
    assert_int_equal(pclose(pipe), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_names_follow_the_contract),
        cmocka_unit_test(counter_family_is_named_without_total),
        cmocka_unit_test(counter_never_falls_and_takes_no_nan),
        cmocka_unit_test(gauge_is_set_moved_hidden_and_shown),
        cmocka_unit_test(gauges_show_every_number),
        cmocka_unit_test(histogram_buckets_are_cumulative_and_include_their_bound),
        cmocka_unit_test(buckets_show_the_trace_they_were_measured_in),
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(process_metrics_are_there),
        cmocka_unit_test(updates_of_many_threads_all_count),
        cmocka_unit_test(without_memory_updates_go_nowhere),
        cmocka_unit_test(undeclared_names_abort),
        cmocka_unit_test(promtool_accepts_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, free_page);
}
