/* Training sets from files. The same rows in every format must give the same set; what is expected of them is worked out by hand. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../starve.h"
#include "features/operator.h"
#include "models/trainset_file.h"
#include "predict_file.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/weir-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) ? -1 : 0;
}

static const char *path_of(const char *name) {
    static char paths[32][160];
    static int next;
    char *path = paths[next++ % 32];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *write_file(const char *name, const char *text) {
    const char *path = path_of(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

/* What the reader does not have a hand in: the same rows in other formats. */
static void copy_rows(const char *query, const char *to) {
    weir_duck *duck = NULL;
    weir_err err;
    weir_sql sql = {0};
    weir_sql_add(&sql, "COPY (%s) TO ", query);
    weir_sql_literal(&sql, to, strlen(to));
    weir_sql_add(&sql, " (");
    weir_sql_copy_options(&sql, to);
    weir_sql_add(&sql, ")");
    if (weir_duck_new(&duck, &err) || weir_duck_exec(duck, sql.text.data, &err)) fail_msg("%s", err.message);
    weir_sql_done(&sql);
    weir_duck_free(duck);
}

static void copy_as(const char *from, const char *to) {
    char query[256];
    snprintf(query, sizeof query, "SELECT * FROM '%s'", from);
    copy_rows(query, to);
}

/* Out of order, with a missing value, a row without a label, an id, a column without values and one that is a time. */
static const char rows_csv[] = "id,at,temp,wet,weather,built,empty,volume,speed\n"
                               "a1,2024-01-01 02:00:00,3.5,true,Rain,2020-01-01,,30,5\n"
                               "a2,2024-01-01 00:00:00,1.5,false,Clear,2020-01-02,,10,7\n"
                               "a3,2024-01-01 01:00:00,,true,Clear,2020-01-03,,20,6\n"
                               "a4,2024-01-01 03:00:00,4.5,false,Snow,2020-01-04,,,4\n"
                               "a5,2024-01-01 04:00:00,5.5,false,Rain,2020-01-05,,50,3\n"
                               "a6,2024-01-01 05:00:00,6.5,false,Rain,2020-01-06,,60,2\n"
                               "a7,2024-01-01 06:00:00,7.5,false,Rain,2020-01-07,,70,1\n"
                               "a8,2024-01-01 07:00:00,8.5,false,Rain,2020-01-08,,80,0\n"
                               "a9,2024-01-01 08:00:00,9.5,false,Rain,2020-01-09,,90,-1\n"
                               "b1,2024-01-01 09:00:00,10.5,false,Rain,2020-01-10,,100,-2\n"
                               "b2,2024-01-01 10:00:00,11.5,false,Rain,2020-01-11,,110,-3\n";

static const char *const volume[] = {"volume", NULL}, *const both[] = {"volume", "speed", NULL};

static weir_trainset read_set(const weir_file_query *query, cJSON **ret_schema) {
    weir_trainset set = {0};
    weir_err err;
    if (weir_trainset_from_file(query, &set, ret_schema, &err)) fail_msg("%s", err.message);
    return set;
}

static void expect_failure(const weir_file_query *query, weir_status status, const char *words) {
    weir_trainset set = {0};
    cJSON *schema = NULL;
    weir_err err = {0};
    assert_int_equal(weir_trainset_from_file(query, &set, &schema, &err), status);
    if (!strstr(err.message, words)) fail_msg("'%s' does not say '%s'", err.message, words);
}

static const char *why_left_out(const cJSON *schema, const char *column) {
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(schema, "left_out")) {
        if (!strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "column")), column))
            return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "why"));
    }
    return NULL;
}

static double number_of(const cJSON *object, const char *key) {
    return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static void csv_becomes_the_set_that_its_rows_say(void **state) {
    (void)state;
    cJSON *schema = NULL;
    weir_trainset set = read_set(&(weir_file_query){.path = write_file("rows.csv", rows_csv), .targets = volume, .time_column = "at"}, &schema);
    assert_int_equal(set.matrix.row_count, 10);
    assert_int_equal(set.matrix.task, WEIR_TASK_REGRESSION);
    assert_int_equal(set.matrix.column_count, 4); /* temp wet weather speed */
    const char *const names[] = {"temp", "wet", "weather", "speed"};
    for (int c = 0; c < 4; c++) assert_string_equal(set.matrix.column_names[c], names[c]);
    const double *first = set.matrix.values, *second = first + 4, *third = second + 4;
    assert_true(first[0] == 1.5 && first[1] == 0 && first[2] == weir_text_number("Clear", 5) && first[3] == 7 && set.matrix.label[0] == 10);
    assert_true(isnan(second[0]) && second[1] == 1 && set.matrix.label[1] == 20);
    assert_true(third[0] == 3.5 && third[2] == weir_text_number("Rain", 4) && set.matrix.label[2] == 30 && set.matrix.label[3] == 50);
    assert_true(set.time_us[0] == INT64_C(1704067200000000) && set.time_us[1] - set.time_us[0] == INT64_C(3600000000));
    assert_int_equal(set.matrix.kinds[2].kind, WEIR_PREP_CATEGORY);
    assert_string_equal(set.matrix.kinds[2].texts[0], "Clear");
    assert_string_equal(set.matrix.kinds[2].texts[2], "Snow");
    assert_null(set.matrix.kinds[2].texts[3]);
    assert_int_equal(set.without_label, 1);
    assert_non_null(strstr(why_left_out(schema, "id"), "an id"));
    assert_non_null(strstr(why_left_out(schema, "built"), "it is a time"));
    assert_non_null(strstr(why_left_out(schema, "empty"), "no value"));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(schema, "left_out")), 3);
    assert_non_null(strstr(set.query, "\"time\":\"at\""));
    cJSON_Delete(schema);
    weir_trainset_done(&set);
}

static void every_format_gives_the_same_set(void **state) {
    (void)state;
    static const char *const files[] = {"same.parquet", "same.json", "same.jsonl", "same.csv.gz", "same.jsonl.gz"};
    const char *csv = write_file("same.csv", rows_csv);
    cJSON *schema = NULL;
    weir_file_query query = {.path = csv, .targets = both, .time_column = "at"};
    weir_trainset set = read_set(&query, &schema);
    assert_int_equal(set.target_count, 2);
    assert_true(set.targets[0] == 10 && set.targets[10] == 7);
    cJSON_Delete(schema);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        copy_as(csv, path_of(files[i]));
        query.path = path_of(files[i]);
        weir_trainset other = read_set(&query, &schema);
        if (strcmp(other.digest, set.digest) != 0) fail_msg("%s: another set: %s", files[i], other.query);
        cJSON_Delete(schema);
        weir_trainset_done(&other);
    }
    /* told by what it begins with, whatever its name */
    assert_int_equal(rename(path_of("same.parquet"), path_of("same.data")), 0);
    query.path = path_of("same.data");
    weir_trainset other = read_set(&query, &schema);
    assert_string_equal(other.digest, set.digest);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(schema, "format")), "parquet");
    cJSON_Delete(schema);
    weir_trainset_done(&other);
    weir_trainset_done(&set);
}

static void folders_and_patterns_are_read_file_by_file(void **state) {
    (void)state;
    char command[512];
    cJSON *schema = NULL;
    snprintf(command, sizeof command, "mkdir -p '%s/parts/city=b' '%s/parts/city=a' '%s/parts/_temporary'", folder, folder, folder);
    assert_int_equal(system(command), 0);
    write_file("parts/city=b/part-0.csv", "x,y\n3,30.5\n4,40\n");
    write_file("parts/city=a/part-0.csv", "x,y\n1,10\n2,20\n");
    write_file("parts/_SUCCESS", "");
    write_file("parts/_temporary/half.csv", "x,y\n9,90\n");
    write_file("parts/.part-0.crc", "crc");
    static const char *const y[] = {"y", NULL};
    weir_trainset set = read_set(&(weir_file_query){.path = path_of("parts"), .targets = y, .tenant_column = "city"}, &schema);
    assert_int_equal(set.matrix.row_count, 4);
    assert_true(set.matrix.label[0] == 10 && set.matrix.label[3] == 40);
    assert_int_equal(set.tenant_count, 2);
    assert_string_equal(set.tenant_names[0], "a");
    assert_true(set.tenant[1] == 0 && set.tenant[2] == 1);
    assert_int_equal(number_of(schema, "files"), 2);
    cJSON_Delete(schema);
    weir_trainset_done(&set);
    set = read_set(&(weir_file_query){.path = path_of("parts/*/part-*.csv"), .targets = y}, &schema);
    assert_int_equal(set.matrix.row_count, 4);
    cJSON_Delete(schema);
    weir_trainset_done(&set);
    copy_as(path_of("parts/city=a/part-0.csv"), path_of("parts/city=a/part-1.parquet"));
    expect_failure(&(weir_file_query){.path = path_of("parts"), .targets = y}, WEIR_EDATA, "is parquet, expected csv as the other files");
}

static void times_are_texts_dates_or_numbers(void **state) {
    (void)state;
    static const struct {
        const char *first, *second;
    } times[] = {{"2024-01-01T00:00:00Z", "2024-01-02T00:00:00+00:00"},
                 {"2024-01-01", "2024-01-02"},
                 {"1704067200", "1704153600"},
                 {"1704067200000", "1704153600000"},
                 {"1704067200.0", "1704153600.0"}};
    static const char *const y[] = {"y", NULL};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        char text[256];
        cJSON *schema = NULL;
        snprintf(text, sizeof text, "t,x,y\n%s,1,1.5\n%s,2,2.5\n,3,3.5\n", times[i].second, times[i].first);
        weir_trainset set = read_set(&(weir_file_query){.path = write_file("times.csv", text), .targets = y, .time_column = "t"}, &schema);
        assert_int_equal(set.matrix.row_count, 2);
        assert_true(set.time_us[0] == INT64_C(1704067200000000) && set.time_us[1] == INT64_C(1704153600000000));
        assert_true(set.matrix.label[0] == 2.5);
        assert_int_equal(number_of(schema, "rows_without_place"), 1);
        assert_int_equal(number_of(schema, "rows_without_label"), 0);
        cJSON_Delete(schema);
        weir_trainset_done(&set);
    }
    /* named as a feature, a time is its seconds */
    static const char *const features[] = {"t", NULL};
    cJSON *schema = NULL;
    weir_trainset set =
        read_set(&(weir_file_query){.path = write_file("when.csv", "t,y\n2024-01-01,1.5\n2024-01-02,2\n"), .targets = y, .features = features}, &schema);
    assert_true(set.matrix.values[1] == 1704153600);
    cJSON_Delete(schema);
    weir_trainset_done(&set);
    expect_failure(&(weir_file_query){.path = write_file("never.csv", "t,x,y\nmonday,1,2\ntuesday,2,3\n"), .targets = y, .time_column = "t"}, WEIR_EDATA,
                   "'t' (VARCHAR) holds no time in any row");
}

static weir_trainset read_target(const char *values, cJSON **ret_schema) {
    static const char *const y[] = {"y", NULL};
    char text[1024] = "x,y\n";
    for (int i = 0; i < 40; i++) { /* values take turns */
        const char *v = values + 2 * (i % ((int)(strlen(values) + 1) / 2));
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d,%c\n", i, *v);
    }
    return read_set(&(weir_file_query){.path = write_file("target.csv", text), .targets = y}, ret_schema);
}

static void the_task_is_what_the_target_holds(void **state) {
    (void)state;
    static const struct {
        const char *values;
        weir_task task;
        const char *first_class; /* NULL: numbers from 0 */
    } cases[] = {{"0 1", WEIR_TASK_BINARY, NULL},       {"5 3", WEIR_TASK_BINARY, "3"},       {"n y", WEIR_TASK_BINARY, "n"},
                 {"2 0 1", WEIR_TASK_MULTICLASS, NULL}, {"c b a", WEIR_TASK_MULTICLASS, "a"}, {"1 2 3 4 5 6 7 8", WEIR_TASK_REGRESSION, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *schema = NULL;
        weir_trainset set = read_target(cases[i].values, &schema);
        assert_int_equal(set.matrix.task, cases[i].task);
        assert_true(!set.class_names == !cases[i].first_class);
        if (cases[i].first_class) assert_string_equal(set.class_names[0], cases[i].first_class);
        double expected = !strcmp(cases[i].values, "0 1") || cases[i].task == WEIR_TASK_REGRESSION ? cases[i].values[0] - '0'
                          : cases[i].task == WEIR_TASK_BINARY && cases[i].values[0] == 'n'         ? 0
                                                                                                   : 1;
        if (cases[i].task == WEIR_TASK_MULTICLASS) expected = 2;
        assert_true(set.matrix.label[0] == expected);
        cJSON_Delete(schema);
        weir_trainset_done(&set);
    }
}

static void numbers_that_are_names_can_be_told(void **state) {
    (void)state;
    static const char *const y[] = {"y", NULL}, *const zones[] = {"zone", NULL};
    cJSON *schema = NULL;
    weir_trainset set = read_set(&(weir_file_query){.path = write_file("zones.csv", "zone,y\n7,1.5\n12,2\n7,3\n"), .targets = y, .categories = zones}, &schema);
    assert_int_equal(set.matrix.kinds[0].kind, WEIR_PREP_CATEGORY);
    assert_true(set.matrix.values[0] == weir_text_number("7", 1) && set.matrix.values[2] == set.matrix.values[0]);
    cJSON_Delete(schema);
    weir_trainset_done(&set);
}

static void infinite_numbers_are_missing_and_counted(void **state) {
    (void)state;
    static const char *const y[] = {"y", NULL};
    cJSON *schema = NULL;
    copy_rows("FROM (VALUES ('inf'::DOUBLE, 1::DOUBLE, 1.5), (2.5, 'nan', 2), ('-inf', 3, 3)) AS t(x, z, y)", path_of("inf.parquet"));
    weir_trainset set = read_set(&(weir_file_query){.path = path_of("inf.parquet"), .targets = y}, &schema);
    assert_true(isnan(set.matrix.values[0]) && set.matrix.values[2] == 2.5 && isnan(set.matrix.values[3]));
    const cJSON *infinite = cJSON_GetObjectItemCaseSensitive(schema, "infinite");
    assert_int_equal(cJSON_GetArraySize(infinite), 1);
    assert_int_equal(number_of(cJSON_GetArrayItem(infinite, 0), "rows"), 2);
    cJSON_Delete(schema);
    weir_trainset_done(&set);
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    static const char *const typo[] = {"volum", NULL}, *const text[] = {"weather", NULL}, *const none[] = {NULL}, *const empty[] = {"empty", NULL},
                             *const features[] = {"temp", "volume", NULL};
    const char *rows = write_file("wrong.csv", rows_csv);
    expect_failure(&(weir_file_query){.path = rows, .targets = typo}, WEIR_EINVAL, "did you mean 'volume'?");
    expect_failure(&(weir_file_query){.path = rows, .targets = volume, .time_column = "att"}, WEIR_EINVAL, "time column 'att'");
    expect_failure(&(weir_file_query){.path = rows, .targets = text, .task_known = true, .task = WEIR_TASK_REGRESSION}, WEIR_EINVAL,
                   "target 'weather' is a VARCHAR");
    expect_failure(&(weir_file_query){.path = rows, .targets = text, .task_known = true, .task = WEIR_TASK_BINARY}, WEIR_EDATA,
                   "has 3 different values, expected two");
    expect_failure(&(weir_file_query){.path = rows, .targets = none}, WEIR_EINVAL, "no target");
    expect_failure(&(weir_file_query){.path = rows, .targets = empty}, WEIR_EDATA, "holds no value");
    expect_failure(&(weir_file_query){.path = rows, .targets = volume, .features = features}, WEIR_EINVAL, "'volume' is a target");
    expect_failure(&(weir_file_query){.path = rows, .targets = volume, .memory_bytes = 100}, WEIR_ELIMIT, "11 rows of 4 features need");
    expect_failure(&(weir_file_query){.path = rows, .targets = volume, .format = "parket"}, WEIR_EINVAL, "did you mean 'parquet'?");
    expect_failure(&(weir_file_query){.path = rows, .targets = volume, .format = "parquet"}, WEIR_EDATA, "is csv, expected parquet");
    expect_failure(&(weir_file_query){.path = "hdfs://namenode:9000/processed_features", .targets = volume}, WEIR_EINVAL, "\"/data/processed_features\"");
    expect_failure(&(weir_file_query){.path = path_of("nothing.csv"), .targets = volume}, WEIR_ENOTFOUND, "No such file");
    expect_failure(&(weir_file_query){.path = path_of("nothing-*.csv"), .targets = volume}, WEIR_ENOTFOUND, "no file");
    static const char *const far[] = {"tomorrow", NULL}, *const y[] = {"y", NULL};
    expect_failure(&(weir_file_query){.path = rows, .targets = far}, WEIR_EINVAL, "the data has no such column; it has ");
    const char *const repeats[] = {"a,y,y\n1,2,2\n3,4,4\n", "a,y,Y\n1,2,2\n3,4,4\n", "\"y\";\"a;b\";\"y\"\r\n1;2;2\r\n3;4;4\r\n"};
    for (int i = 0; i < 3; i++)
        expect_failure(&(weir_file_query){.path = write_file("repeats.csv", repeats[i]), .targets = y}, WEIR_EDATA, "expected names that differ");
    expect_failure(&(weir_file_query){.path = write_file("bad.parquet", "x,y\n1,2\n"), .targets = volume}, WEIR_EDATA, "named Parquet");
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    weir_file_query query = {.path = write_file("starve.csv", rows_csv), .targets = both, .time_column = "at", .tenant_column = "weather"};
    void *(*real)(void *, size_t) = weir_mem.realloc;
    int failures = 0;
    for (int n = 0;; n++) {
        weir_trainset set = {0};
        cJSON *schema = NULL;
        weir_err err;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = weir_trainset_from_file(&query, &set, &schema, &err);
        weir_mem.realloc = real;
        if (!status) {
            cJSON_Delete(schema);
            weir_trainset_done(&set);
            break;
        }
        assert_int_equal(status, WEIR_ENOMEM);
        failures++;
        n += n / 8; /* DuckDB is slow to open: not every one */
    }
    assert_true(failures > 10);
}

/* ---- predictions ---- */

static weir_model *fit_on(const weir_trainset *set, const char *algorithm) {
    weir_buf artifact = {0};
    weir_model *model = NULL;
    weir_err err;
    cJSON *params = cJSON_Parse(strcmp(algorithm, "xgboost") ? "{}" : "{\"rounds\": 5, \"min_child_weight\": 0}");
    cJSON *chain = cJSON_Parse("[{\"encode\": \"one_hot\"}]");
    if (weir_model_fit(algorithm, params, chain, &set->matrix, NULL, 1, 1, &artifact, &err) || weir_model_load(artifact.data, artifact.len, &model, &err))
        fail_msg("%s", err.message);
    weir_buf_done(&artifact);
    cJSON_Delete(params);
    cJSON_Delete(chain);
    return model;
}

static void predictions_stand_beside_the_rows_of_the_file(void **state) {
    (void)state;
    cJSON *schema = NULL, *read_schema = NULL;
    weir_err err;
    int64_t rows = 0;
    const char *csv = write_file("score.csv", rows_csv);
    weir_trainset set = read_set(&(weir_file_query){.path = csv, .targets = volume}, &schema); /* the order of the file */
    weir_model *model = fit_on(&set, "xgboost");
    static const char *const outs[] = {"scored.csv", "scored.parquet", "scored.jsonl"}, *const prediction[] = {"prediction", NULL};
    for (size_t i = 0; i < sizeof outs / sizeof *outs; i++) {
        if (predict_file(schema, model, csv, path_of(outs[i]), &rows, &err)) fail_msg("%s", err.message);
        assert_int_equal(rows, 11);
        weir_trainset out = read_set(&(weir_file_query){.path = path_of(outs[i]), .targets = prediction}, &read_schema);
        assert_int_equal(out.matrix.row_count, 11);
        for (int64_t r = 0, k = 0; r < 11; r++) {
            if (r == 3) continue; /* it has no label: the set lacks it */
            double expected;
            assert_int_equal(weir_model_predict(model, set.matrix.values + k++ * set.matrix.column_count, 1, &expected, &err), WEIR_OK);
            if (fabs(out.matrix.label[r] - expected) > 1e-12 * fabs(expected))
                fail_msg("%s: row %d: %.17g, expected %.17g", outs[i], (int)r, out.matrix.label[r], expected);
        }
        cJSON_Delete(read_schema);
        weir_trainset_done(&out);
    }
    assert_int_equal(predict_file(schema, model, path_of("scored.csv"), path_of("twice.csv"), &rows, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "'prediction' already"));
    assert_int_equal(predict_file(schema, model, write_file("lacks.csv", "temp,wet,speed\n1,true,2\n"), path_of("o.csv"), &rows, &err), WEIR_EDATA);
    assert_non_null(strstr(err.message, "the model takes 'weather': the data has no such column"));
    assert_int_equal(
        predict_file(schema, model, write_file("words.csv", "temp,wet,weather,speed\n1,true,Rain,2\nhot,true,Rain,2\n"), path_of("o.csv"), &rows, &err),
        WEIR_EDATA);
    assert_non_null(strstr(err.message, "row 2: column 'temp': found 'hot', expected a number"));
    assert_int_not_equal(access(path_of("o.csv"), F_OK), 0);
    assert_int_equal(predict_file(schema, model, csv, path_of("o.xyz"), &rows, &err), WEIR_EINVAL);
    void *(*real)(void *, size_t) = weir_mem.realloc;
    const char *starved = path_of("starved.csv");
    int failures = 0;
    for (int n = 0, done = 0; !done; n += 1 + n / 8) {
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = predict_file(schema, model, csv, starved, &rows, &err);
        weir_mem.realloc = real;
        if (status && status != WEIR_ENOMEM) fail_msg("%d: %s", n, err.message);
        assert_true(!status || access(starved, F_OK));
        failures += status != WEIR_OK;
        done = !status;
    }
    assert_true(failures > 5);
    cJSON_DeleteItemFromArray(cJSON_GetObjectItemCaseSensitive(schema, "inputs"), 0);
    assert_int_equal(predict_file(schema, model, csv, path_of("o.csv"), &rows, &err), WEIR_EDATA);
    cJSON_Delete(schema);
    weir_model_free(model);
    weir_trainset_done(&set);
}

static void predicted_classes_have_their_names(void **state) {
    (void)state;
    static const char *const y[] = {"y", NULL}, *const probability[] = {"probability", NULL}, *const names[] = {"prediction", NULL};
    char text[2048] = "x,y\n";
    for (int i = 0; i < 60; i++) snprintf(text + strlen(text), sizeof text - strlen(text), "%d,%s\n", i, i < 30 ? "stays" : "turns");
    cJSON *schema = NULL, *read_schema = NULL;
    weir_err err;
    int64_t rows = 0;
    const char *csv = write_file("classes.csv", text);
    weir_trainset set = read_set(&(weir_file_query){.path = csv, .targets = y}, &schema);
    weir_model *model = fit_on(&set, "logistic");
    if (predict_file(schema, model, csv, path_of("named.jsonl"), &rows, &err)) fail_msg("%s", err.message);
    weir_trainset out = read_set(&(weir_file_query){.path = path_of("named.jsonl"), .targets = names}, &read_schema);
    assert_string_equal(out.class_names[1], "turns");
    assert_true(out.matrix.label[0] == 0 && out.matrix.label[59] == 1);
    cJSON_Delete(read_schema);
    weir_trainset_done(&out);
    out = read_set(&(weir_file_query){.path = path_of("named.jsonl"), .targets = probability}, &read_schema);
    assert_true(out.matrix.label[0] < 0.1 && out.matrix.label[59] > 0.9);
    cJSON_Delete(read_schema);
    weir_trainset_done(&out);
    cJSON_Delete(schema);
    weir_model_free(model);
    weir_trainset_done(&set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_becomes_the_set_that_its_rows_say),      cmocka_unit_test(every_format_gives_the_same_set),
        cmocka_unit_test(folders_and_patterns_are_read_file_by_file), cmocka_unit_test(times_are_texts_dates_or_numbers),
        cmocka_unit_test(the_task_is_what_the_target_holds),          cmocka_unit_test(numbers_that_are_names_can_be_told),
        cmocka_unit_test(infinite_numbers_are_missing_and_counted),   cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(memory_that_runs_out_is_an_error),           cmocka_unit_test(predictions_stand_beside_the_rows_of_the_file),
        cmocka_unit_test(predicted_classes_have_their_names),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
