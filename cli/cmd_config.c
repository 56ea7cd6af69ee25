/* `weir config schema|docs|operators|operators_schema`: the reference made from the tables that the code itself uses. */

#include "cli/command.h"
#include "cli/operators_page.h"
#include "core/metrics.h"
#include "models/model.h"

typedef struct config_options {
    char *what;
} config_options;

enum { WHAT_SCHEMA, WHAT_DOCS, WHAT_OPERATORS, WHAT_OPERATORS_SCHEMA };
static const char *const whats[] = {"schema", "docs", "operators", "operators_schema", NULL};

static const weir_conf_item config_table[] = {
    {.name = "what",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(config_options, what),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "schema: JSON Schema of the settings; docs: settings, commands, algorithms and metrics in Markdown; operators: operators and functions of features "
            "in Markdown; "
            "operators_schema: JSON Schema of features with an operator"},
    {.name = NULL},
};

static weir_status print_schema(FILE *out, weir_err *err) {
    cJSON *schema = weir_conf_json_schema(weir_settings_table);
    char *text = schema ? cJSON_Print(schema) : NULL;
    cJSON_Delete(schema);
    if (!text) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the JSON Schema");
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    return WEIR_OK;
}

static void print_metrics(FILE *out) {
    static const char *const types[] = {[WEIR_COUNTER] = "counter", [WEIR_GAUGE] = "gauge", [WEIR_HISTOGRAM] = "histogram"};
    fprintf(out, "| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (const weir_metric_def *def = weir_metric_table; def->name; def++) {
        fprintf(out, "| `%s` | %s |", def->name, types[def->type]);
        for (int i = 0; def->labels[i]; i++) fprintf(out, "%s %s", i ? "," : "", def->labels[i]);
        fprintf(out, " | %s |\n", def->help);
    }
}

static void print_tasks(const weir_algorithm *algorithm, FILE *out) {
    const char *between = "";
    for (int task = 0; task < WEIR_TASK_COUNT; task++) {
        if (!weir_algorithm_can(algorithm, (weir_task)task)) continue;
        fprintf(out, "%s%s", between, weir_task_name((weir_task)task));
        between = ", ";
    }
}

static void print_algorithms(FILE *out) {
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++) {
        fprintf(out, "\n### %s\n\n%s. Tasks: ", (*a)->name, (*a)->doc);
        print_tasks(*a, out);
        fprintf(out, ". Preprocessing: %s\n\n", (*a)->preprocessing);
        weir_conf_markdown((*a)->params, out);
    }
}

static void print_docs(FILE *out) {
    fprintf(out, "# Reference\n\nMade by `./run docs` from the tables that the program itself uses; not edited by hand.\n\n## Settings\n\n");
    fprintf(out, "Each is a flag of every command (`--brokers`) and an environment variable (`WEIR_BROKERS`); the flag wins.\n\n");
    weir_conf_markdown(weir_settings_table, out);
    fprintf(out,
            "\n## Commands\n\nOptions are flags: `train_from` is written `--train-from`. What stands in capitals in the first line is written without a flag.\n"
            "Exit codes: 0 done, 1 the answer is no, 2 used wrongly, 3 something it depends on failed.\n");
    for (const weir_command *const *c = weir_commands(); *c; c++) {
        fprintf(out, "\n### weir %s\n\n`weir %s %s`\n\n%s\n", (*c)->name, (*c)->name, (*c)->args, (*c)->doc);
        if (!(*c)->options || !(*c)->options->name) continue;
        fputc('\n', out);
        weir_conf_markdown((*c)->options, out);
    }
    fprintf(out, "\n## Algorithms\n\nWhat `training.candidates[].algorithm` of a pipeline file may be, and its `params`.\n");
    print_algorithms(out);
    fprintf(out, "\n## Metrics\n\nServed at `/metrics` by every worker, beside `process_*`. Histograms have `_bucket`, `_sum` and `_count`.\n\n");
    print_metrics(out);
}

static weir_status run_config(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    (void)settings, (void)ret_exit;
    const config_options *o = options;
    int what = 0;
    weir_status st = weir_action_find(o->what, whats, &what, err);
    if (!st && what == WHAT_SCHEMA) st = print_schema(stdout, err);
    if (!st && what == WHAT_DOCS) print_docs(stdout);
    if (!st && what == WHAT_OPERATORS) weir_operators_page(stdout);
    if (!st && what == WHAT_OPERATORS_SCHEMA) st = weir_operators_schema(stdout, err);
    return st;
}

const weir_command weir_command_config = {
    .name = "config",
    .args = "schema|docs|operators|operators_schema",
    .doc = "Prints what the program knows of itself: schemas and references.\n"
           "schema: the JSON Schema of the settings; docs: the reference of settings, commands, algorithms and metrics; operators: that of operators and "
           "functions "
           "of\n"
           "features; operators_schema: the JSON Schema of features with an operator.",
    .options = config_table,
    .options_size = sizeof(config_options),
    .run = run_config,
};
