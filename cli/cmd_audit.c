/* `weir audit list|verify [PIPELINE]`: who did what, and whether the log still says what it said. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"
#include "models/audit.h"

typedef struct audit_options {
    char *action, *pipeline;
    int64_t limit;
    int output;
} audit_options;

static const weir_conf_item audit_table[] = {
    {.name = "action",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(audit_options, action),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "list or verify"},
    {.name = "pipeline",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(audit_options, pipeline),
     .flags = WEIR_CONF_POSITIONAL,
     .doc = "name of a pipeline; not given: all"},
    {.name = "limit",
     .type = WEIR_CONF_INT,
     .offset = offsetof(audit_options, limit),
     .min = 1,
     .max = 1000000,
     .fallback = "50",
     .doc = "list: how many of the newest rows"},
    WEIR_OUTPUT_ITEM(audit_options, output),
    {.name = NULL},
};

static weir_status list(weir_pg *pg, const audit_options *o, const char *pipeline, weir_err *err) {
    static const weir_table_column columns[] = {{"seq", "SEQ"},           {"at", "AT"},           {"actor", "ACTOR"},        {"action", "ACTION"},
                                                {"pipeline", "PIPELINE"}, {"subject", "SUBJECT"}, {"detail_text", "DETAIL"}, {NULL, NULL}};
    cJSON *rows = NULL, *row;
    weir_status status = weir_audit_list(pg, pipeline, (int)o->limit, &rows, err);
    if (!status && o->output == WEIR_OUTPUT_TABLE) cJSON_ArrayForEach(row, rows) {
            char *text = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(row, "detail")), brief[121];
            snprintf(brief, sizeof brief, "%s", text ? text : "");
            if (!status && (!text || !cJSON_AddStringToObject(row, "detail_text", brief))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the table");
            cJSON_free(text);
        }
    if (!status) status = weir_table_print(rows, columns, (weir_output)o->output, stdout, err);
    cJSON_Delete(rows);
    return status;
}

static weir_status verify(weir_pg *pg, const audit_options *o, const char *pipeline, int *ret_exit, weir_err *err) {
    weir_audit_result r;
    weir_status status = weir_audit_verify(pg, pipeline, &r, err);
    if (status) return status;
    *ret_exit = r.broken_seq ? 1 : 0;
    if (o->output == WEIR_OUTPUT_TABLE) {
        if (r.broken_seq)
            printf("the audit log is broken at row %" PRId64 ": %s\n", r.broken_seq, r.why);
        else
            printf("the audit log is whole: %" PRId64 " rows, head %s\n", r.rows, r.head);
        if (pipeline) printf("%" PRId64 " of its rows are about pipeline %s\n", r.of_pipeline, pipeline);
        return WEIR_OK;
    }
    cJSON *out = cJSON_CreateObject();
    bool ok = out && cJSON_AddBoolToObject(out, "whole", !r.broken_seq) && cJSON_AddNumberToObject(out, "rows", (double)r.rows) &&
              cJSON_AddStringToObject(out, "head", r.head) &&
              (r.broken_seq ? cJSON_AddNumberToObject(out, "broken_seq", (double)r.broken_seq) : cJSON_AddNullToObject(out, "broken_seq")) &&
              (r.broken_seq ? cJSON_AddStringToObject(out, "why", r.why) : cJSON_AddNullToObject(out, "why")) &&
              (!pipeline || cJSON_AddNumberToObject(out, "of_pipeline", (double)r.of_pipeline));
    status = ok ? weir_json_print(out, stdout, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the report");
    cJSON_Delete(out);
    return status;
}

static weir_status run_audit(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    static const char *const actions[] = {"list", "verify", NULL};
    const audit_options *o = options;
    const char *pipeline = o->pipeline && *o->pipeline ? o->pipeline : NULL;
    weir_pg *pg = NULL;
    int action = 0;
    weir_status status = weir_action_find(o->action, actions, &action, err);
    if (!status) status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = action ? verify(pg, o, pipeline, ret_exit, err) : list(pg, o, pipeline, err);
    weir_pg_free(pg);
    return status;
}

const weir_command weir_command_audit = {
    .name = "audit",
    .args = "list|verify [PIPELINE] [--limit N] [--output table|json]",
    .doc = "The audit log of models, aliases, runs and decisions to train: lists its newest rows, or computes its chain of hashes again.\n"
           "Exit code 1: a row was changed or removed; the first such row is named. docs/lineage.md tells more.",
    .options = audit_table,
    .options_size = sizeof(audit_options),
    .run = run_audit,
};
