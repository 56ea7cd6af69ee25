/* `weir check PIPELINE`: is the file right, and what does it hold? Needs no Kafka and no database. */
#include <string.h>

#include "cli/check_parity.h"
#include "cli/table.h"
#include "core/clock.h"
#include "core/mem.h"
#include "models/recipe.h"

typedef struct check_options {
    char *pipeline;
    int output;
    bool parity;
    int64_t from, to, one_in;
} check_options;

static const weir_conf_item check_table[] = {
    WEIR_PIPELINE_ITEM(check_options, pipeline),
    WEIR_OUTPUT_ITEM(check_options, output),
    {.name = "parity", .type = WEIR_CONF_BOOL, .offset = offsetof(check_options, parity), .doc = "compute every served vector again from history and compare"},
    {.name = "from",
     .type = WEIR_CONF_TIME,
     .offset = offsetof(check_options, from),
     .fallback = "0001-01-01",
     .doc = "parity: event time of the first prediction"},
    {.name = "to",
     .type = WEIR_CONF_TIME,
     .offset = offsetof(check_options, to),
     .fallback = "9999-12-31",
     .doc = "parity: event time behind the last prediction"},
    {.name = "one_in",
     .type = WEIR_CONF_INT,
     .offset = offsetof(check_options, one_in),
     .min = 1,
     .max = 1000000,
     .fallback = "1",
     .doc = "parity: only one entity in so many"},
    {.name = NULL},
};

static const weir_table_column feature_columns[] = {{"view", "VIEW"}, {"name", "FEATURE"}, {"value", "VALUE"},
                                                    {"unit", "UNIT"}, {"doc", "MEANING"},  {NULL, NULL}};
static const weir_table_column topic_columns[] = {{"name", "TOPIC"}, {"holds", "HOLDS"}, {NULL, NULL}};
static const weir_table_column candidate_columns[] = {{"name", "MODEL"}, {"algorithm", "ALGORITHM"}, {"alias", "FIRST ALIAS"}, {NULL, NULL}};
static const weir_table_column use_case_columns[] = {
    {"name", "USE CASE"},         {"task", "TASK"},     {"target", "TARGET"}, {"metric", "METRIC"}, {"columns", "COLUMNS"},
    {"candidates", "CANDIDATES"}, {"served", "SERVED"}, {NULL, NULL}};

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to describe the pipeline");
}

/* "90d", in the largest unit that it is whole in. */
static bool put_duration(weir_buf *out, int64_t us) {
    static const struct {
        int64_t us;
        const char *unit;
    } units[] = {{WEIR_DAY_US, "d"}, {3600 * WEIR_SECOND_US, "h"}, {60 * WEIR_SECOND_US, "m"}, {WEIR_SECOND_US, "s"}, {1000, "ms"}};
    size_t i = 0;
    while (us % units[i].us) i++; /* pipeline files know no smaller unit than the last */
    return weir_buf_printf(out, "%lld%s", (long long)(us / units[i].us), units[i].unit);
}

/* "over 7d", "over the last 20", "since 30m of silence" */
static bool put_window(const weir_feature_def *f, weir_buf *out) {
    switch (f->window) {
    case WEIR_WINDOW_LAST: return weir_buf_printf(out, " over the last %d", f->last_n);
    case WEIR_WINDOW_ALL: return weir_buf_printf(out, " over all");
    case WEIR_WINDOW_TUMBLING: return weir_buf_printf(out, " over each ") && put_duration(out, f->window_us);
    case WEIR_WINDOW_HOPPING:
        return weir_buf_printf(out, " over ") && put_duration(out, f->window_us) && weir_buf_printf(out, " every ") && put_duration(out, f->every_us);
    case WEIR_WINDOW_SESSION: return weir_buf_printf(out, " since a gap of ") && put_duration(out, f->window_us);
    case WEIR_WINDOW_TO_DATE: return weir_buf_printf(out, " since the last full ") && put_duration(out, f->window_us);
    case WEIR_WINDOW_SLIDING: break;
    }
    bool ok = weir_buf_printf(out, " over ") && put_duration(out, f->window_us);
    return ok && (!f->tile_us || (weir_buf_printf(out, " in tiles of ") && put_duration(out, f->tile_us)));
}

/* "(q 0.95)": parameters as they stand in the file. */
static bool put_params(const weir_feature_def *f, const cJSON *json, weir_buf *out) {
    const char *before = " (";
    bool ok = true;
    for (int i = 0; ok && f->op->params && f->op->params[i].name; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, f->op->params[i].name);
        if (!value) continue;
        ok = weir_buf_printf(out, "%s%s ", before, f->op->params[i].name) &&
             (cJSON_IsString(value) ? weir_buf_printf(out, "%s", value->valuestring) : weir_buf_printf(out, "%.15g", value->valuedouble));
        before = ", ";
    }
    return ok && (*before == ' ' || weir_buf_append(out, ")", 1));
}

/* "mean of amount where amount > 0 over 7d, ended 7d ago, else 0", "weekend(tx_time)"; json is the feature's. */
static bool put_value(const weir_feature_def *f, const cJSON *json, weir_buf *out) {
    bool ok = weir_buf_printf(out, "%s", f->op ? f->op->name : f->expr);
    for (int i = 0; ok && i < f->of_count; i++) ok = weir_buf_printf(out, "%s%s", i ? ", " : " of ", f->of[i]);
    if (ok && f->where) ok = weir_buf_printf(out, " where %s", f->where);
    if (ok && f->op) ok = put_params(f, json, out) && put_window(f, out);
    if (ok && f->delay_us) ok = weir_buf_printf(out, ", ended ") && put_duration(out, f->delay_us) && weir_buf_printf(out, " ago");
    if (ok && f->fallback == f->fallback) ok = weir_buf_printf(out, ", else %g", f->fallback);
    return ok && (!f->hidden || weir_buf_printf(out, " (hidden)"));
}

static bool add_object(cJSON *array, cJSON **ret_object) {
    *ret_object = cJSON_CreateObject();
    return *ret_object && cJSON_AddItemToArray(array, *ret_object);
}

static bool add_text(cJSON *object, const char *key, const char *text) {
    return !text || cJSON_AddStringToObject(object, key, text);
}

static bool add_feature(const weir_view_def *view, const weir_feature_def *f, const cJSON *written, cJSON *features) {
    weir_buf value = {0};
    cJSON *row;
    bool ok = put_value(f, written, &value) && add_object(features, &row) && add_text(row, "view", view->name) && add_text(row, "name", f->name) &&
              add_text(row, "value", value.data) && add_text(row, "unit", f->unit) && add_text(row, "doc", f->doc);
    weir_buf_done(&value);
    return ok;
}

/* Takes name, which may be NULL when memory ran out. */
static bool add_topic(cJSON *topics, char *name, const char *holds, const char *view) {
    weir_buf text = {0};
    cJSON *row;
    bool ok = name && weir_buf_printf(&text, holds, view) && add_object(topics, &row) && add_text(row, "name", name) && add_text(row, "holds", text.data);
    weir_buf_done(&text);
    weir_mem.realloc(name, 0);
    return ok;
}

static bool add_feed(cJSON *to, const char *key, const weir_feed_def *feed, cJSON *topics, const char *holds) {
    cJSON *json = cJSON_AddObjectToObject(to, key), *row;
    cJSON *columns = json ? cJSON_CreateStringArray(feed->key, feed->key_count) : NULL;
    return columns && cJSON_AddItemToObject(json, "key", columns) && add_text(json, "topic", feed->topic) && add_text(json, "schema", feed->schema_path) &&
           add_text(json, "time", weir_schema_field_at(feed->schema, feed->time_index)->name) && add_object(topics, &row) &&
           add_text(row, "name", feed->topic) && add_text(row, "holds", holds);
}

static bool add_view(const weir_pipeline *p, int index, cJSON *views, cJSON *features, cJSON *topics) {
    const weir_view_def *view = &p->views[index];
    cJSON *json;
    cJSON *entity = cJSON_CreateStringArray(view->entity, view->entity_count);
    bool ok = entity && add_object(views, &json) && cJSON_AddItemToObject(json, "entity", entity) && add_text(json, "name", view->name) &&
              add_text(json, "from", view->from == WEIR_FROM_LABELS ? "labels" : "events") &&
              cJSON_AddBoolToObject(json, "primary", index == p->primary_view) && cJSON_AddBoolToObject(json, "rekeyed", view->rekeyed) &&
              cJSON_AddNumberToObject(json, "features", view->feature_count);
    const cJSON *written = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(p->json, "views"), index), "features");
    for (int i = 0; ok && i < view->feature_count; i++) ok = add_feature(view, &view->features[i], cJSON_GetArrayItem(written, i), features);
    return ok && add_topic(topics, weir_topic_features(p, view), "features and state of each %s, compacted", view->name) &&
           add_topic(topics, weir_topic_repartition(p, view), "records on their way to the owner of their %s", view->name);
}

static bool add_training(const weir_recipe *recipe, cJSON *to) {
    cJSON *json = cJSON_AddObjectToObject(to, "training");
    cJSON *columns = json ? cJSON_CreateStringArray(recipe->columns, recipe->column_count) : NULL;
    bool ok = columns && cJSON_AddItemToObject(json, "columns", columns) && add_text(json, "target", recipe->target);
    cJSON *candidates = ok ? cJSON_AddArrayToObject(json, "candidates") : NULL, *row;
    ok = candidates;
    for (int i = 0; ok && i < recipe->candidate_count; i++) {
        const weir_candidate *c = &recipe->candidates[i];
        bool champion = recipe->champion && !strcmp(c->name, recipe->champion), challenger = recipe->challenger && !strcmp(c->name, recipe->challenger);
        ok = add_object(candidates, &row) && add_text(row, "name", c->name) && add_text(row, "algorithm", c->algorithm) &&
             add_text(row, "alias",
                      champion     ? "champion"
                      : challenger ? "challenger"
                                   : NULL);
    }
    return ok;
}

/* One row for each use case, that of `training` first; they have been checked. */
static weir_status add_use_cases(const weir_pipeline *p, cJSON *json, weir_err *err) {
    cJSON *training = cJSON_GetObjectItemCaseSensitive(json, "training"), *list = training ? cJSON_AddArrayToObject(training, "use_cases") : NULL, *row;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(p->json, "training"), "use_cases");
    item = item ? item->child : NULL;
    for (bool first = true; list && (first || item); first = false) {
        weir_recipe recipe = {0};
        weir_status status = weir_recipe_load_use_case(p, first ? NULL : item->string, &recipe, err);
        if (status) return weir_err_prefix(err, "%s", p->path);
        bool ok = add_object(list, &row) && add_text(row, "name", recipe.use_case) && add_text(row, "task", weir_task_name(recipe.task)) &&
                  add_text(row, "target", recipe.target) && add_text(row, "metric", recipe.metric->name) &&
                  cJSON_AddNumberToObject(row, "columns", recipe.column_count) && cJSON_AddNumberToObject(row, "candidates", recipe.candidate_count) &&
                  cJSON_AddBoolToObject(row, "served", recipe.is_default);
        weir_recipe_done(&recipe);
        if (!ok) return no_memory(err);
        if (!first) item = item->next;
    }
    return WEIR_OK;
}

static bool describe(const weir_pipeline *p, const weir_recipe *recipe, cJSON *json) {
    bool ok = add_text(json, "pipeline", p->name) && add_text(json, "path", p->path) &&
              add_text(json, "doc", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(p->json, "doc"))) &&
              add_text(json, "feature_hash", p->feature_hash) && cJSON_AddNumberToObject(json, "partitions", p->partitions) &&
              cJSON_AddNumberToObject(json, "retention_ms", (double)p->retention_ms) && cJSON_AddNumberToObject(json, "checks", p->check_count);
    cJSON *views = ok ? cJSON_AddArrayToObject(json, "views") : NULL, *features = ok ? cJSON_AddArrayToObject(json, "features") : NULL;
    cJSON *topics = ok ? cJSON_AddArrayToObject(json, "topics") : NULL;
    ok = views && features && topics && add_feed(json, "source", &p->events, topics, "events");
    if (ok && p->labels.topic) ok = add_feed(json, "labels", &p->labels, topics, "labels");
    for (int i = 0; ok && i < p->view_count; i++) ok = add_view(p, i, views, features, topics);
    return ok && add_topic(topics, weir_topic_of(p, "predictions"), "%s", "scores, with what they were made from") &&
           add_topic(topics, weir_topic_of(p, "shadows"), "%s", "scores of challengers in shadow, which answered nobody") &&
           (!p->serving.requests || add_topic(topics, weir_topic_of(p, "requests"), "%s", "who asks for a score; the answer is a prediction")) &&
           add_topic(topics, weir_topic_of(p, "deadletter"), "%s", "what was rejected, and why") && (!recipe->columns || add_training(recipe, json));
}

static weir_status print_text(const weir_pipeline *p, const cJSON *json, FILE *out, weir_err *err) {
    const char *doc = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "doc"));
    weir_buf kept = {0};
    if (p->retention_ms >= 0 ? !put_duration(&kept, p->retention_ms * 1000) : !weir_buf_printf(&kept, "forever")) return no_memory(err);
    fprintf(out, "%s: good\n%s%s%d check%s on records; %d partition%s a topic; events kept %s%s\n\n", p->path, doc ? doc : "", doc ? "\n" : "", p->check_count,
            p->check_count == 1 ? "" : "s", p->partitions, p->partitions == 1 ? "" : "s", p->retention_ms >= 0 ? "for " : "", kept.data);
    weir_buf_done(&kept);
    const cJSON *training = cJSON_GetObjectItemCaseSensitive(json, "training");
    weir_status st = weir_table_print(cJSON_GetObjectItemCaseSensitive(json, "features"), feature_columns, WEIR_OUTPUT_TABLE, out, err);
    fputc('\n', out);
    if (!st) st = weir_table_print(cJSON_GetObjectItemCaseSensitive(json, "topics"), topic_columns, WEIR_OUTPUT_TABLE, out, err);
    if (st || !training) return st;
    fputc('\n', out);
    st = weir_table_print(cJSON_GetObjectItemCaseSensitive(training, "candidates"), candidate_columns, WEIR_OUTPUT_TABLE, out, err);
    const cJSON *cases = cJSON_GetObjectItemCaseSensitive(training, "use_cases");
    if (st || cJSON_GetArraySize(cases) < 2) return st;
    fputc('\n', out);
    return weir_table_print(cases, use_case_columns, WEIR_OUTPUT_TABLE, out, err);
}

static weir_status run_check(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    const check_options *o = options;
    weir_pipeline *pipeline = NULL;
    weir_recipe recipe = {0};
    cJSON *json = cJSON_CreateObject();
    weir_status st = json ? weir_pipeline_load(o->pipeline, &pipeline, err) : no_memory(err);
    if (!st && cJSON_GetObjectItemCaseSensitive(pipeline->json, "training") && (st = weir_recipe_load(pipeline, &recipe, err)))
        (void)weir_err_prefix(err, "%s", pipeline->path);
    if (!st && o->parity && !recipe.columns)
        st = WEIR_FAIL(err, WEIR_EINVAL, "%s has no training section: nothing is served that could be compared", pipeline->path);
    if (!st && o->parity) {
        st = weir_check_parity(settings, pipeline, &recipe, o->from, o->to, (uint32_t)o->one_in, (weir_output)o->output, ret_exit, err);
        goto out;
    }
    if (!st && !describe(pipeline, &recipe, json)) st = no_memory(err);
    if (!st) st = add_use_cases(pipeline, json, err);
    if (!st) st = o->output == WEIR_OUTPUT_JSON ? weir_json_print(json, stdout, err) : print_text(pipeline, json, stdout, err);
out:
    cJSON_Delete(json);
    weir_recipe_done(&recipe);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_check = {
    .name = "check",
    .args = "PIPELINE [--parity [--from T] [--to T] [--one-in N]] [--output table|json]",
    .doc = "Says whether a pipeline file is right, and what it holds: views and features, topics, models.\n"
           "Exit code 2, and the JSON path of what is wrong, when it is not. Needs neither Kafka nor PostgreSQL.\n"
           "With --parity: computes what was served again from history, up to exactly the records that were read, and compares bit for bit; exit code 1 when a "
           "value\n"
           "differs or could not be compared. Needs PostgreSQL.",
    .options = check_table,
    .options_size = sizeof(check_options),
    .run = run_check,
};
