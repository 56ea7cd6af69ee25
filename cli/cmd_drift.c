/* `weir drift PIPELINE`: the drift worker; with --reference, --current or --tenant: one comparison, of a pipeline's records or of data files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/drift_page.h"
#include "cli/progress.h"
#include "cli/range.h"
#include "cli/report.h"
#include "cli/table.h"
#include "cli/workers.h"
#include "consumers/drift_reference.h"
#include "core/clock.h"
#include "features/history.h"
#include "models/recipe.h"

enum { COLUMNS_MAX = 1024, NAME_MAX_BYTES = 320 };

typedef struct drift_options {
    char *what, *reference, *current, *tenant, *report, *time_column, *drift_threshold, *alert_threshold, *alpha;
    char **columns;
    int output;
} drift_options;

#define FIELD(member) .offset = offsetof(drift_options, member)

static const weir_conf_item drift_table[] = {
    {.name = "what",
     .type = WEIR_CONF_STRING,
     FIELD(what),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "a pipeline, or a data file (Parquet, CSV, JSON lines)"},
    {.name = "reference",
     .type = WEIR_CONF_STRING,
     FIELD(reference),
     .doc = "what is compared with: training (the records that the champion was trained on; of a pipeline the default), FROM..TO, or a data file"},
    {.name = "current",
     .type = WEIR_CONF_STRING,
     FIELD(current),
     .doc = "what is judged: FROM..TO, or a data file; not given: of a pipeline its newest window, of a file all of it"},
    {.name = "tenant",
     .type = WEIR_CONF_STRING,
     FIELD(tenant),
     .doc = "of a pipeline: only this tenant's records, on both sides (but those of a data file); not given: all"},
    {.name = "columns",
     .type = WEIR_CONF_LIST,
     FIELD(columns),
     .doc = "columns wanted; not given: of a pipeline what its models see, of files all but identifiers"},
    {.name = "time",
     .type = WEIR_CONF_STRING,
     FIELD(time_column),
     .doc = "of files: the column of times that FROM..TO chooses by; not given: the first that holds times"},
    {.name = "drift_threshold",
     .type = WEIR_CONF_STRING,
     FIELD(drift_threshold),
     .doc = "share of drifted columns, 0 to 1, above which severity is high and the exit code 1; not given: the pipeline's alert_share, or 0.3"},
    {.name = "alert_threshold",
     .type = WEIR_CONF_STRING,
     FIELD(alert_threshold),
     .doc = "and above which severity is critical; not given: the pipeline's critical_share, or 0.5"},
    {.name = "false_alarm_rate",
     .type = WEIR_CONF_STRING,
     FIELD(alpha),
     .doc = "of the columns together, above 0, up to 0.5; not given: the pipeline's, or 0.01"},
    {.name = "report", .type = WEIR_CONF_STRING, FIELD(report), .doc = "write an HTML page with every column's distributions to this file"},
    WEIR_OUTPUT_ITEM(drift_options, output),
    {.name = NULL},
};

/* What ends in .json is a pipeline's file. */
static bool is_data(const char *what) {
    size_t len = strlen(what);
    return weir_file_format_of(what) != WEIR_FILE_UNKNOWN && (len < 5 || strcmp(what + len - 5, ".json") != 0);
}

static bool is_once(const void *options) {
    const drift_options *o = options;
    return o->reference || o->current || o->tenant || o->report || (o->what && is_data(o->what));
}

/* One comparison in the making. */
typedef struct comparing {
    const weir_settings *settings;
    const drift_options *options;
    const char *names[COLUMNS_MAX + 1]; /* --columns */
    weir_pipeline *pipeline; /* NULL: files */
    weir_recipe recipe;
    weir_drift_columns columns;
    weir_drift_settings tests;
    weir_progress progress;
    weir_drift_table *reference, *current;
    char reference_name[NAME_MAX_BYTES], current_name[NAME_MAX_BYTES];
} comparing;

/* --- what was said --- */

static weir_status take_share(const char *flag, const char *text, double fallback, double least, double most, double *ret_share, weir_err *err) {
    char *end = NULL;
    double value = text ? strtod(text, &end) : fallback;
    if (text && (end == text || *end || !(value >= least && value <= most)))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s is \"%s\", expected a number from %g to %g", flag, text, least, most);
    *ret_share = value;
    return WEIR_OK;
}

static weir_status take_limits(comparing *c, weir_err *err) {
    const drift_options *o = c->options;
    const weir_drift_def *def = c->pipeline && c->pipeline->triggers.drift.enabled ? &c->pipeline->triggers.drift : NULL;
    c->tests = weir_drift_defaults;
    weir_status status = take_share("--drift-threshold", o->drift_threshold, def ? def->alert_share : 0.3, 0, 1, &c->tests.high_share, err);
    if (!status) status = take_share("--alert-threshold", o->alert_threshold, def ? def->critical_share : 0.5, 0, 1, &c->tests.critical_share, err);
    if (!status) status = take_share("--false-alarm-rate", o->alpha, def ? def->false_alarm_rate : 0.01, 1e-9, 0.5, &c->tests.alpha, err);
    if (!status && c->tests.critical_share < c->tests.high_share) {
        if (o->alert_threshold)
            status = WEIR_FAIL(err, WEIR_EINVAL, "--alert-threshold %g is below --drift-threshold %g", c->tests.critical_share, c->tests.high_share);
        c->tests.critical_share = c->tests.high_share;
    }
    return status;
}

/* --- the two sides --- */

static void show(void *context, int64_t rows) {
    weir_progress_show(context, rows, NULL);
}

static void show_step(void *context, const char *step, int64_t rows) {
    weir_progress_show(context, rows, step);
}

static weir_status read_file(comparing *c, const char *path, int64_t from_us, int64_t to_us, weir_drift_table **ret_table, weir_err *err) {
    bool all = from_us == WEIR_TIME_MIN_US && to_us == WEIR_TIME_MAX_US;
    const weir_profile_query query = {.columns = c->names, .time_column = c->options->time_column, .from_us = all ? 0 : from_us, .to_us = all ? 0 : to_us};
    weir_profile_input *input = NULL;
    int64_t rows = 0;
    weir_status status = weir_profile_open_file(path, &query, &input, err);
    if (!status) {
        weir_profile_input_set_progress(input, show_step, &c->progress);
        status = weir_drift_scan_source(weir_profile_input_source(input), ret_table, &rows, err);
        if (!status && !rows) status = WEIR_FAIL(err, WEIR_EDATA, "%s has no rows there", path);
    }
    weir_profile_input_free(input);
    return status;
}

/* NULL: all. */
static const char *tenant_of(const comparing *c) {
    return c->options->tenant && *c->options->tenant ? c->options->tenant : NULL;
}

static weir_status no_records(const comparing *c, const char *where, weir_err *err) {
    const char *tenant = tenant_of(c);
    return WEIR_FAIL(err, WEIR_ENOTFOUND, "the offline store of %s has no records%s%.128s %s", c->pipeline->name, tenant ? " of tenant " : "",
                     tenant ? tenant : "", where);
}

static weir_status read_store(comparing *c, int64_t from_us, int64_t to_us, weir_drift_table **ret_table, weir_err *err) {
    const weir_drift_query query = {.pg_url = c->settings->pg_url,
                                    .objects_dir = c->settings->objects_dir,
                                    .from_us = from_us,
                                    .to_us = to_us,
                                    .as_of_us = INT64_MAX,
                                    .tenant = tenant_of(c),
                                    .progress = show,
                                    .progress_context = &c->progress};
    int64_t rows = 0;
    weir_status status = weir_drift_columns_scan(&c->columns, &query, ret_table, &rows, err);
    return status || rows ? status : no_records(c, "in that range", err);
}

static weir_status read_training(comparing *c, weir_err *err) {
    weir_drift_training training;
    weir_pg *pg = NULL;
    bool found = false;
    int64_t rows = 0;
    weir_status status = weir_pg_new(c->settings->pg_url, &pg, err);
    if (!status) status = weir_pg_migrate(pg, err);
    if (!status) status = weir_drift_training_find(pg, c->pipeline, &training, &found, err);
    if (!status && !found)
        status = WEIR_FAIL(err, WEIR_ENOTFOUND, "%s has no champion whose training period is known; name a reference: FROM..TO or a file", c->pipeline->name);
    if (!status)
        status = weir_drift_training_table(pg, c->settings->pg_url, c->settings->objects_dir, &c->columns, &training, tenant_of(c), &c->reference, &rows, err);
    if (!status && !rows) status = no_records(c, "in the champion's training period", err);
    if (!status) snprintf(c->reference_name, sizeof c->reference_name, "training:%s/%d", training.model, training.version);
    weir_pg_free(pg);
    return status;
}

/* A range is one of what the command is about; a file is itself. */
static weir_status read_side(comparing *c, const char *text, weir_drift_table **ret_table, char name[NAME_MAX_BYTES], weir_err *err) {
    int64_t from_us = WEIR_TIME_MIN_US, to_us = WEIR_TIME_MAX_US;
    weir_status status;
    snprintf(name, NAME_MAX_BYTES, "%s", strrchr(text, '/') ? strrchr(text, '/') + 1 : text);
    if (weir_range_parse(text, &from_us, &to_us, &status, err)) {
        if (status) return status;
        return c->pipeline ? read_store(c, from_us, to_us, ret_table, err) : read_file(c, c->options->what, from_us, to_us, ret_table, err);
    }
    if (weir_file_format_of(text) == WEIR_FILE_UNKNOWN)
        return WEIR_FAIL(err, WEIR_EINVAL, "\"%s\" is neither a range FROM..TO nor a data file%s", text, c->pipeline ? " nor training" : "");
    return read_file(c, text, from_us, to_us, ret_table, err);
}

/* The newest window of a pipeline, as the worker judges it. */
static weir_status newest_window(comparing *c, char text[NAME_MAX_BYTES], weir_err *err) {
    int64_t last_us = INT64_MIN, window_us = c->pipeline->triggers.drift.enabled ? c->pipeline->triggers.drift.window_us : WEIR_DAY_US;
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
    weir_status status = weir_history_span(c->settings->pg_url, c->pipeline, NULL, &last_us, NULL, err);
    if (status) return status;
    if (last_us == INT64_MIN) return WEIR_FAIL(err, WEIR_ENOTFOUND, "the offline store of %s is empty", c->pipeline->name);
    snprintf(text, NAME_MAX_BYTES, "%s..%s", weir_time_format(last_us + 1 - window_us, from), weir_time_format(last_us + 1, to));
    return WEIR_OK;
}

static weir_status read_sides(comparing *c, weir_err *err) {
    const drift_options *o = c->options;
    char window[NAME_MAX_BYTES];
    const char *reference = o->reference ? o->reference : "training", *current = o->current ? o->current : o->what;
    weir_status status = WEIR_OK;
    if (!c->pipeline && !strcmp(reference, "training"))
        return WEIR_FAIL(err, WEIR_EINVAL, "say what %s is compared with: --reference FILE, or --reference FROM..TO of its own rows", o->what);
    if (c->pipeline && !o->current) {
        if ((status = newest_window(c, window, err))) return status;
        current = window;
    }
    status = strcmp(reference, "training") ? read_side(c, reference, &c->reference, c->reference_name, err) : read_training(c, err);
    return status ? status : read_side(c, current, &c->current, c->current_name, err);
}

/* A file beside a pipeline may hold more than the pipeline's columns; that these are not in the stream is no drift. */
static weir_status keep_watched(comparing *c, weir_err *err) {
    bool keep[WEIR_DRIFT_COLUMNS_MAX];
    weir_drift_table *chosen = NULL;
    int count = weir_drift_table_count(c->reference), kept = 0;
    for (int i = 0; i < count; i++) {
        const char *name = weir_drift_table_field(c->reference, i).name;
        keep[i] = false;
        for (int k = 0; k < c->columns.count; k++) keep[i] |= !strcmp(c->columns.fields[k].name, name);
        kept += keep[i];
    }
    if (!kept) return WEIR_FAIL(err, WEIR_EINVAL, "%s has none of the columns of %s", c->reference_name, c->pipeline->name);
    if (kept == count) return WEIR_OK;
    weir_status status = weir_drift_table_choose(c->reference, keep, &chosen, err);
    if (status) return status;
    weir_drift_table_free(c->reference);
    c->reference = chosen;
    return WEIR_OK;
}

/* --- what comes out --- */

static weir_status to_json(const comparing *c, const weir_drift_report *report, cJSON **ret_json, weir_err *err) {
    weir_buf text = {0};
    *ret_json = weir_drift_report_json(report, &text) ? cJSON_ParseWithLength(text.data, text.len) : NULL;
    weir_buf_done(&text);
    cJSON_DeleteItemFromObjectCaseSensitive(*ret_json, "severity");
    bool ok = *ret_json && cJSON_AddStringToObject(*ret_json, "severity", weir_drift_severity_word(report->severity)) &&
              cJSON_AddStringToObject(*ret_json, "reference", c->reference_name) && cJSON_AddStringToObject(*ret_json, "current", c->current_name);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the result");
}

/* What four digits would show as 0 is said to be below them. */
static bool show_small_p(cJSON *shown) {
    const cJSON *p = cJSON_GetObjectItemCaseSensitive(shown, "adjusted_p");
    if (!cJSON_IsNumber(p) || p->valuedouble >= 0.0001) return true;
    cJSON *text = cJSON_CreateString("<0.0001");
    if (text && cJSON_ReplaceItemInObjectCaseSensitive(shown, "adjusted_p", text)) return true;
    cJSON_Delete(text);
    return false;
}

/* A line a column: the test that found the drift, or else that of the distribution. */
static weir_status print_table(const comparing *c, const weir_drift_report *report, cJSON *json, weir_err *err) {
    static const weir_table_column columns[] = {{"name", "COLUMN"},
                                                {"type", "TYPE"},
                                                {"shown.statistic", "STATISTIC"},
                                                {"shown.value", "VALUE"},
                                                {"shown.adjusted_p", "P ADJUSTED"},
                                                {"shown.effect", "EFFECT"},
                                                {"shown.threshold", "LIMIT"},
                                                {"drifted", "DRIFTED"},
                                                {NULL, NULL}};
    cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "columns"), *column;
    cJSON_ArrayForEach(column, list) {
        const cJSON *tests = cJSON_GetObjectItemCaseSensitive(column, "tests"), *test, *shown = cJSON_GetArrayItem(tests, 0);
        cJSON_ArrayForEach(test, tests) {
            if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(shown, "drifted"))) break;
            if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(test, "drifted"))) shown = test;
        }
        cJSON *copy = shown ? cJSON_Duplicate(shown, true) : NULL;
        if (shown && (!copy || !show_small_p(copy) || !cJSON_AddItemToObject(column, "shown", copy))) {
            cJSON_Delete(copy);
            return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the table");
        }
    }
    weir_status status = weir_table_print(list, columns, WEIR_OUTPUT_TABLE, stdout, err);
    if (status) return status;
    printf("\n%d of %d columns drifted (%.3g %%), severity %s: %lld records of %s, reference %lld of %s\n", report->drifted_features, report->features,
           100 * report->share, weir_drift_severity_word(report->severity), (long long)report->current_records, c->current_name,
           (long long)report->reference_records, c->reference_name);
    return WEIR_OK;
}

static weir_status write_page(const comparing *c, const weir_drift_report *report, weir_err *err) {
    const char *path = c->options->report, *slash = strrchr(path, '/'), *what = strrchr(c->options->what, '/');
    char folder[1024];
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    const weir_drift_page page = {.name = c->pipeline ? c->pipeline->name
                                          : what      ? what + 1
                                                      : c->options->what,
                                  .reference_name = c->reference_name,
                                  .current_name = c->current_name,
                                  .reference = c->reference,
                                  .current = c->current,
                                  .report = report,
                                  .high_share = c->tests.high_share,
                                  .critical_share = c->tests.critical_share,
                                  .made_at_us = weir_clock_wall_us(weir_clock_system())};
    weir_buf html = {0};
    weir_status status = weir_drift_page_write(&page, &html, err);
    if (!status) status = weir_report_write_file(*folder ? folder : "/", slash ? slash + 1 : path, &html, err);
    weir_buf_done(&html);
    return status;
}

static weir_status tell(comparing *c, int *ret_exit, weir_err *err) {
    weir_drift_report *report = NULL;
    cJSON *json = NULL;
    weir_status status = weir_drift_compare(c->reference, c->current, NULL, &c->tests, &report, err);
    if (!status) status = to_json(c, report, &json, err);
    if (!status) status = c->options->output == WEIR_OUTPUT_JSON ? weir_json_print(json, stdout, err) : print_table(c, report, json, err);
    if (!status && c->options->report) status = write_page(c, report, err);
    if (!status && report->share > c->tests.high_share) *ret_exit = 1;
    cJSON_Delete(json);
    weir_drift_report_free(report);
    return status;
}

/* --- the command --- */

static weir_status open_pipeline(comparing *c, weir_err *err) {
    bool trains;
    weir_status status = weir_pipeline_load(c->options->what, &c->pipeline, err);
    if (status) return status;
    trains = weir_pipeline_trains(c->pipeline);
    if (tenant_of(c) && c->pipeline->events.tenant_index < 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "--tenant: pipeline %s has no tenant column", c->pipeline->name);
    if (c->options->time_column) return WEIR_FAIL(err, WEIR_EINVAL, "--time is for files: a pipeline says what its time is");
    if (trains && !*c->names) status = weir_recipe_load(c->pipeline, &c->recipe, err);
    return status ? status : weir_drift_columns_init(c->pipeline, *c->names ? c->names : c->recipe.columns, &c->columns, err);
}

static weir_status compare(comparing *c, int *ret_exit, weir_err *err) {
    int left = 0;
    weir_status status = weir_names_split(c->options->columns, c->names, COLUMNS_MAX, err);
    if (!status && tenant_of(c) && is_data(c->options->what))
        status = WEIR_FAIL(err, WEIR_EINVAL, "--tenant is for pipelines: a file does not say whose its rows are");
    if (!status && !is_data(c->options->what)) status = open_pipeline(c, err);
    if (!status) status = take_limits(c, err);
    if (status) return status;
    weir_progress_init(&c->progress, stderr, "rows", -1);
    status = read_sides(c, err);
    weir_progress_end(&c->progress);
    if (!status && c->pipeline) status = keep_watched(c, err);
    if (!status && !c->pipeline && !*c->names) status = weir_drift_leave_identifiers(&c->reference, &c->current, &left, err);
    if (!status && left) fprintf(stderr, "%d columns are identifiers, another text in most rows, and left out; --columns says otherwise\n", left);
    return status ? status : tell(c, ret_exit, err);
}

static weir_status run_drift(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const drift_options *o = options;
    comparing c = {.settings = settings, .options = o};
    if (!is_once(o)) return weir_run_workers(settings, o->what, "drift", err);
    weir_status status = compare(&c, ret_exit, err);
    weir_drift_table_free(c.reference);
    weir_drift_table_free(c.current);
    weir_drift_columns_done(&c.columns);
    weir_recipe_done(&c.recipe);
    weir_pipeline_free(c.pipeline);
    return status;
}

const weir_command weir_command_drift = {
    .name = "drift",
    .args = "PIPELINE | PIPELINE|FILE [--reference training|FROM..TO|FILE] [--current FROM..TO|FILE] [--tenant T] [--columns A,B…] [--report F.html]",
    .doc = "Runs the drift worker; with --reference, --current, --tenant or --report, or for a file: compares two sets of records once.\n"
           "The worker judges windows of features, predictions and labels as the pipeline's triggers.drift says. A comparison prints each column's statistic, "
           "its p-value\n"
           "adjusted for all of them, its effect and whether it drifted; exit code 1 when the share of drifted columns is above --drift-threshold.",
    .options = drift_table,
    .options_size = sizeof(drift_options),
    .is_service = true,
    .is_once = is_once,
    .run = run_drift,
};
