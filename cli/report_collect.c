/* What PostgreSQL knows for a report: model versions, the measure of both arms, and every prediction with its label. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "models/registry.h"

static void copy_text(char *to, size_t size, const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    snprintf(to, size, "%s", text ? text : "");
}

static weir_status take_model(weir_report *report, const cJSON *item, weir_err *err) {
    weir_report_model *model = &report->models[report->model_count];
    *model = (weir_report_model){0};
    copy_text(model->name, sizeof model->name, item, "model");
    copy_text(model->algorithm, sizeof model->algorithm, item, "algorithm");
    copy_text(model->digest, sizeof model->digest, item, "digest");
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(item, "version"), *alias;
    model->version = version ? version->valueint : 0;
    cJSON_ArrayForEach(alias, cJSON_GetObjectItemCaseSensitive(item, "aliases")) {
        size_t len = strlen(model->alias);
        if (cJSON_IsString(alias)) snprintf(model->alias + len, sizeof model->alias - len, "%s%s", len ? ", " : "", alias->valuestring);
    }
    const cJSON *metrics = cJSON_GetObjectItemCaseSensitive(item, "metrics"), *lineage = cJSON_GetObjectItemCaseSensitive(item, "lineage");
    bool want_metrics = metrics && !cJSON_IsNull(metrics), want_lineage = lineage && !cJSON_IsNull(lineage);
    if (want_metrics) model->metrics = cJSON_Duplicate(metrics, true);
    if (want_lineage) model->lineage = cJSON_Duplicate(lineage, true);
    report->model_count++;
    if ((want_metrics && !model->metrics) || (want_lineage && !model->lineage)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the models of the report");
    return WEIR_OK;
}

static int rank_of(const weir_report_model *model) {
    return strstr(model->alias, "champion") ? 0 : strstr(model->alias, "challenger") ? 1 : 2;
}

static int compare_models(const void *a, const void *b) {
    const weir_report_model *x = a, *y = b;
    if (rank_of(x) != rank_of(y)) return rank_of(x) - rank_of(y);
    int names = strcmp(x->name, y->name);
    return names ? names : y->version - x->version;
}

/* The run's versions; without a run, the newest version of each model (the list is newest first). */
static weir_status collect_models(weir_report *report, weir_pg *pg, weir_err *err) {
    cJSON *versions = NULL, *item;
    weir_status status = weir_version_list(pg, report->pipeline, NULL, &versions, err);
    if (status) return status;
    cJSON_ArrayForEach(item, versions) {
        char run[sizeof report->run_id], name[sizeof report->models[0].name];
        copy_text(run, sizeof run, item, "run_id");
        copy_text(name, sizeof name, item, "model");
        bool seen = report->model_count == WEIR_REPORT_MODELS_MAX;
        for (int i = 0; i < report->model_count; i++) seen |= !strcmp(report->models[i].name, name);
        if (seen || (report->run_id[0] && strcmp(run, report->run_id) != 0)) continue;
        if ((status = take_model(report, item, err))) break;
    }
    cJSON_Delete(versions);
    qsort(report->models, (size_t)report->model_count, sizeof *report->models, compare_models);
    return status;
}

/* Rows as they come in. */
typedef struct scored_rows {
    weir_report_scored *rows;
    int64_t count, capacity;
} scored_rows;

static weir_status take_row(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    scored_rows *s = context;
    if (field_count != 4 || fields[0].len < 0 || fields[1].len < 0 || fields[2].len < 0 || fields[3].len < 0)
        return WEIR_FAIL(err, WEIR_EINTERNAL, "a row of predictions has %d columns or a null, expected 4 without", field_count);
    if (s->count == s->capacity) {
        int64_t capacity = s->capacity ? 2 * s->capacity : 65536;
        weir_report_scored *rows = realloc(s->rows, (size_t)capacity * sizeof *rows);
        if (!rows) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld predictions", (long long)capacity);
        s->rows = rows;
        s->capacity = capacity;
    }
    s->rows[s->count++] = (weir_report_scored){.arm = (int8_t)weir_pg_get_int4(&fields[0]),
                                               .label = (int8_t)weir_pg_get_int4(&fields[1]),
                                               .day = weir_pg_get_int4(&fields[2]),
                                               .score = weir_pg_get_float8(&fields[3])};
    return WEIR_OK;
}

static void column_name(const weir_schema *schema, int column, char text[128]) {
    snprintf(text, 128, "%s", weir_schema_field_at(schema, column)->name);
    for (char *p = text; *p; p++)
        if (*p == '.') *p = '_';
}

/* The newest word on a payment counts, where it was labelled more than once. */
static weir_status collect_curves(weir_report *report, weir_pg *pg, const weir_pipeline *pipeline, weir_err *err) {
    char id[128], label[128], sql[2048];
    column_name(pipeline->labels.schema, pipeline->label_join[1], id);
    column_name(pipeline->labels.schema, pipeline->label_column, label);
    int len =
        snprintf(sql, sizeof sql,
                 "COPY (SELECT CASE p.arm WHEN 'champion' THEN 0 ELSE 1 END::int4, coalesce(l.label, -1)::int4, floor(extract(epoch FROM p.event_time) / "
                 "86400)::int4, p.score"
                 " FROM \"%s\".predictions p LEFT JOIN (SELECT DISTINCT ON (tenant, \"%s\") tenant, \"%s\" AS id, (\"%s\")::int4 AS label FROM \"%s\".labels"
                 " WHERE event_time >= (SELECT min(event_time) FROM \"%s\".predictions) ORDER BY tenant, \"%s\", available_time DESC) l"
                 " ON l.tenant = p.tenant AND l.id = p.join_id WHERE p.arm IN ('champion', 'challenger')) TO STDOUT (FORMAT binary)",
                 pipeline->name, id, id, label, pipeline->name, pipeline->name, id);
    if (len < 0 || (size_t)len >= sizeof sql) return WEIR_FAIL(err, WEIR_ELIMIT, "the names in pipeline %s are too long for its report", pipeline->name);
    scored_rows scored = {0};
    weir_status status = weir_pg_copy_out(pg, sql, take_row, &scored, err);
    if (!status) status = weir_report_curves(report, scored.rows, scored.count, err);
    free(scored.rows);
    return status;
}

/* Who holds the title comes first; the order of versions within an arm stays, the last one being served. */
static void champion_first(weir_measure *measure) {
    weir_arm_measure ordered[WEIR_ARMS_MAX];
    int count = 0;
    for (int others = 0; others < 2; others++)
        for (int i = 0; i < measure->arm_count; i++)
            if ((strcmp(measure->arms[i].arm, "champion") != 0) == others) ordered[count++] = measure->arms[i];
    memcpy(measure->arms, ordered, (size_t)count * sizeof *ordered);
}

weir_status weir_report_collect(weir_report *report, weir_pg *pg, const weir_pipeline *pipeline, double threshold, weir_err *err) {
    weir_status status = collect_models(report, pg, err);
    if (!status && pipeline->labels.topic)
        status = weir_measure_arms(pg, pipeline, &(weir_measure_options){.task = WEIR_TASK_BINARY, .threshold = threshold, .card_k = report->card_k},
                                   &report->measure, err);
    if (!status && pipeline->labels.topic) status = collect_curves(report, pg, pipeline, err);
    if (status) return weir_err_prefix(err, "report");
    champion_first(&report->measure);
    weir_report_judge(report);
    return WEIR_OK;
}
