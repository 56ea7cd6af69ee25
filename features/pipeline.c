/* The pipeline file: JSON in, a checked weir_pipeline out. Every complaint names the JSON path, what was found and what was expected. */
#include "features/pipeline_file.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/pg.h"

enum { FILE_BYTES_MAX = 4 << 20, DEPTH_MAX = 64, DEFAULT_PARTITIONS = 4, DEFAULT_MAX_BYTES = 65536 };

/* Whole file into a NUL-terminated buffer; *ret_found is false when there is no such file. */
weir_status pf_read_file(const char *name, weir_buf *out, bool *ret_found, weir_err *err) {
    FILE *file = fopen(name, "rb");
    *ret_found = file != NULL;
    if (!file) return WEIR_OK;
    char chunk[16384];
    size_t n;
    weir_status status = WEIR_OK;
    while (!status && (n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
        if (out->len + n > FILE_BYTES_MAX)
            status = WEIR_FAIL(err, WEIR_ELIMIT, "%s is larger than %d bytes", name, FILE_BYTES_MAX);
        else if (!weir_buf_append(out, chunk, n))
            status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory to read %s", name);
    }
    if (!status && ferror(file)) status = WEIR_FAIL(err, WEIR_EIO, "%s cannot be read", name);
    if (!status && !weir_buf_reserve(out, 0)) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory to read %s", name);
    fclose(file);
    return status;
}

/* Beside the pipeline file, then in the working directory, then what is compiled in. */
static weir_status load_schema(const char *name, const char *base_dir, const char *at, weir_schema **ret_schema, weir_err *err) {
    weir_buf text = {0};
    bool there = false;
    char beside[PATH_MAX];
    weir_status status = WEIR_OK;
    if (base_dir && name[0] != '/' && snprintf(beside, sizeof(beside), "%s/%s", base_dir, name) < (int)sizeof(beside))
        status = pf_read_file(beside, &text, &there, err);
    if (!status && !there) status = pf_read_file(name, &text, &there, err);
    const weir_embedded_file *embedded = there ? NULL : weir_embedded_find(name);
    if (!status && there)
        status = weir_schema_parse(text.data ? text.data : "", text.len, ret_schema, err);
    else if (!status && embedded)
        status = weir_schema_parse(embedded->data, embedded->len, ret_schema, err);
    else if (!status)
        status = WEIR_FAIL(err, WEIR_EINVAL, "there is no file \"%s\" beside the pipeline file, in the working directory or built in", name);
    weir_buf_done(&text);
    return status ? weir_err_prefix(err, "%s", at) : WEIR_OK;
}

static char *copy_text(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = weir_mem.realloc(NULL, n);
    return copy ? memcpy(copy, text, n) : NULL;
}

static char *WEIR_PRINTF(1, 2) format_text(const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return n < (int)sizeof(text) ? copy_text(text) : NULL;
}

/* Kafka takes letters, digits, '.', '_' and '-'; views and pipelines leave room for suffixes within its 249. */
static weir_status check_topic(const char *topic, const char *at, weir_err *err) {
    size_t n = strspn(topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    if (!topic[n] && n <= 200 && strcmp(topic, ".") && strcmp(topic, "..")) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"%.64s\", expected a topic name: at most 200 letters, digits, '.', '_' and '-'", at, topic);
}

/* What source and labels have in common. */
static weir_status parse_feed(weir_pipeline *p, const cJSON *json, const char *at, const char *base_dir, weir_feed_def *feed, weir_err *err) {
    const char *topic = NULL, *schema = NULL, *tenant = NULL, *time = NULL, *available = NULL;
    weir_status status;
    feed->max_future_us = WEIR_DAY_US;
    feed->max_bytes = DEFAULT_MAX_BYTES;
    feed->tenant = "default";
    feed->tenant_index = feed->available_index = -1;
    if ((status = pf_get_text(json, at, "topic", false, &topic, err)) || (status = pf_get_text(json, at, "schema", true, &schema, err)) ||
        (status = pf_get_text(json, at, "tenant", false, &tenant, err)) || (status = pf_get_text(json, at, "time", true, &time, err)) ||
        (status = pf_get_text(json, at, "available", false, &available, err)) ||
        (status = pf_get_texts(json, at, "key", WEIR_KEY_COLUMNS_MAX, feed->key, &feed->key_count, err)) ||
        (status = pf_get_duration(json, at, "allowed_lateness", &feed->allowed_lateness_us, err)) ||
        (status = pf_get_duration(json, at, "max_future", &feed->max_future_us, err)) ||
        (status = pf_get_int(json, at, "max_bytes", 1, 64 << 20, &feed->max_bytes, err)))
        return status;
    feed->topic = topic ? copy_text(topic) : format_text("%s.%s", p->name, feed == &p->events ? "events" : "labels");
    feed->schema_path = copy_text(schema);
    if (!feed->topic || !feed->schema_path) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %s", at);
    if ((status = check_topic(feed->topic, pf_below(at, "topic").text, err)) ||
        (status = load_schema(schema, base_dir, pf_below(at, "schema").text, &feed->schema, err)) ||
        (status = pf_key_columns(feed->schema, feed->key, feed->key_count, pf_below(at, "key").text, feed->key_index, err)) ||
        (status = pf_time_column(feed->schema, time, pf_below(at, "time").text, &feed->time_index, err)))
        return status;
    if (available && (status = pf_time_column(feed->schema, available, pf_below(at, "available").text, &feed->available_index, err))) return status;
    if (!tenant) return WEIR_OK;
    if ((status = pf_find_column(feed->schema, tenant, pf_below(at, "tenant").text, &feed->tenant_index, err))) return status;
    if (weir_schema_field_at(feed->schema, feed->tenant_index)->type == WEIR_T_STR) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s is no string", pf_below(at, "tenant").text, tenant);
}

static weir_status parse_source(weir_pipeline *p, const cJSON *json, const char *base_dir, weir_err *err) {
    static const char *const keys[] = {"topic",      "schema",    "key",     "tenant", "time", "available", "allowed_lateness",
                                       "max_future", "max_bytes", "aliases", "derive", "doc",  NULL};
    weir_status status = pf_need_object(json, "$.source", keys, err);
    return status ? status : parse_feed(p, json, "$.source", base_dir, &p->events, err);
}

static weir_status parse_labels(weir_pipeline *p, const cJSON *json, const char *base_dir, weir_err *err) {
    static const char *const keys[] = {"topic",      "schema",    "key",  "tenant", "time",      "available", "allowed_lateness",
                                       "max_future", "max_bytes", "join", "column", "max_delay", "doc",       NULL};
    const char *column = NULL, *join[2] = {NULL};
    int join_count = 0;
    weir_status status;
    if ((status = pf_need_object(json, "$.labels", keys, err)) || (status = parse_feed(p, json, "$.labels", base_dir, &p->labels, err)) ||
        (status = pf_get_text(json, "$.labels", "column", true, &column, err)) ||
        (status = pf_find_column(p->labels.schema, column, "$.labels.column", &p->label_column, err)) ||
        (status = pf_get_texts(json, "$.labels", "join", 2, join, &join_count, err)) ||
        (status = pf_get_duration(json, "$.labels", "max_delay", &p->max_delay_us, err)))
        return status;
    weir_type type = weir_schema_field_at(p->labels.schema, p->label_column)->type;
    if (type != WEIR_T_BOOL && type != WEIR_T_I64 && type != WEIR_T_F64)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.labels.column: column %s is no number or boolean", column);
    if (join_count != 2) return pf_wrong(pf_get(json, "join"), "$.labels.join", "two columns: of the events and of the labels", err);
    if ((status = pf_key_columns(p->events.schema, join, 1, "$.labels.join", &p->label_join[0], err)) ||
        (status = pf_find_column(p->labels.schema, join[1], "$.labels.join[1]", &p->label_join[1], err)))
        return status;
    if (weir_schema_field_at(p->events.schema, p->label_join[0])->type == weir_schema_field_at(p->labels.schema, p->label_join[1])->type) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "$.labels.join: columns %s and %s have different types", join[0], join[1]);
}

/* What stands for a column of either feed: an alias in users' files, the column that an expression gives. */
static weir_status check_fed_column(const weir_pipeline *p, const char *name, const char *at, weir_err *err) {
    int index;
    if (p->labels.schema && weir_schema_find(p->labels.schema, name) >= 0) return WEIR_OK;
    return pf_find_column(p->events.schema, name, at, &index, err);
}

/* "aliases": {name in users' files: column}, "derive": {column: SQL over a file's rows}. The SQL is DuckDB's to check, when there is a file. */
static weir_status check_file_columns(const weir_pipeline *p, const char *key, bool names_column, weir_err *err) {
    const cJSON *pairs = pf_get(pf_get(p->json, "source"), key), *pair;
    pf_path at = pf_below("$.source", key);
    if (!pairs) return WEIR_OK;
    if (!cJSON_IsObject(pairs))
        return pf_wrong(pairs, at.text, names_column ? "an object of names and columns" : "an object of columns and SQL expressions", err);
    cJSON_ArrayForEach(pair, pairs) {
        pf_path here = pf_below(at.text, pair->string);
        if (!cJSON_IsString(pair) || !*pair->valuestring) return pf_wrong(pair, here.text, names_column ? "the name of a column" : "an SQL expression", err);
        weir_status status = check_fed_column(p, names_column ? pair->valuestring : pair->string, here.text, err);
        if (status) return status;
    }
    return WEIR_OK;
}

/* --- the whole --- */

/* Columns that training reads must exist; the rest of the section is its reader's business. */
static weir_status check_training(const weir_pipeline *p, const cJSON *training, weir_err *err) {
    const cJSON *columns = pf_get(training, "columns"), *child;
    if (!columns) return WEIR_OK;
    if (!cJSON_IsArray(columns)) return pf_wrong(columns, "$.training.columns", "an array of features and columns of the events", err);
    const char *names[WEIR_FEATURES_MAX + 1];
    int n = 0, i = 0;
    for (int v = 0; v < p->view_count; v++) {
        for (int f = 0; f < p->views[v].feature_count; f++) {
            if (!p->views[v].features[f].hidden) names[n++] = p->views[v].features[f].name;
        }
    }
    names[n] = NULL;
    cJSON_ArrayForEach(child, columns) {
        pf_path here = pf_item("$.training.columns", i++);
        if (!cJSON_IsString(child)) return pf_wrong(child, here.text, "the name of a feature or of a column of the events", err);
        int k = 0, index = weir_schema_find(p->events.schema, child->valuestring);
        while (names[k] && strcmp(names[k], child->valuestring)) k++;
        if (!names[k] && index < 0) return pf_unknown(here.text, "feature or column of the events", child->valuestring, names, err);
        if (!names[k] && !pf_is_numeric(weir_schema_field_at(p->events.schema, index)))
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s is no number or boolean", here.text, child->valuestring);
    }
    return WEIR_OK;
}

/* cJSON keeps the first of two equal keys and says nothing; here it is an error. Expands ${NAME} in every text on the way. */
static weir_status prepare(cJSON *json, const char *at, int depth, weir_err *err) {
    if (depth > DEPTH_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%s: deeper than %d levels", at, DEPTH_MAX);
    if (cJSON_IsString(json) && strstr(json->valuestring, "${")) {
        char *text = NULL;
        weir_status status = weir_conf_expand(json->valuestring, &text, err);
        if (status) return weir_err_prefix(err, "%s", at);
        bool ok = cJSON_SetValuestring(json, text) != NULL;
        free(text);
        if (!ok) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %s", at);
    }
    cJSON *child;
    int i = 0;
    cJSON_ArrayForEach(child, json) {
        pf_path here = child->string ? pf_below(at, child->string) : pf_item(at, i++);
        for (const cJSON *other = child->next; child->string && other; other = other->next) {
            if (!strcmp(other->string, child->string)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: the key stands there twice", here.text);
        }
        weir_status status = prepare(child, here.text, depth + 1, err);
        if (status) return status;
    }
    return WEIR_OK;
}

/* A duration in µs; -1 when the word is written that means without end, or nothing is. */
static weir_status get_limit(const cJSON *json, const char *key, const char *without_end, int64_t *ret_us, weir_err *err) {
    const char *text = without_end;
    *ret_us = -1;
    weir_status status = pf_get_text(json, "$", key, false, &text, err);
    if (status || !strcmp(text, without_end)) return status;
    status = pf_get_duration(json, "$", key, ret_us, err);
    return status ? weir_err_prefix(err, "\"%s\" or a duration", without_end) : WEIR_OK;
}

static weir_status parse_head(weir_pipeline *p, const cJSON *json, weir_err *err) {
    static const char *const keys[] = {"$schema", "pipeline", "doc",      "partitions", "retention", "source",  "labels",       "checks",        "plugins",
                                       "lists",   "views",    "training", "triggers",   "rollout",   "serving", "partition_by", "compact_after", NULL};
    static const char *const periods[] = {[WEIR_PERIOD_DAY] = "day", [WEIR_PERIOD_MONTH] = "month", [WEIR_PERIOD_YEAR] = "year", NULL};
    const char *name = NULL, *period = "day";
    int64_t partitions = DEFAULT_PARTITIONS;
    weir_status status;
    if ((status = pf_need_object(json, "$", keys, err)) || (status = pf_get_text(json, "$", "pipeline", true, &name, err)) ||
        (status = pf_check_name(name, "$.pipeline", true, PF_NAME_MAX, err)) || (status = pf_get_int(json, "$", "partitions", 1, 1024, &partitions, err)) ||
        (status = get_limit(json, "retention", "forever", &p->retention_ms, err)) ||
        (status = get_limit(json, "compact_after", "never", &p->compact_after_us, err)) ||
        (status = pf_get_text(json, "$", "partition_by", false, &period, err)))
        return status;
    while (periods[p->partition_by] && strcmp(periods[p->partition_by], period)) p->partition_by++;
    if (!periods[p->partition_by]) return pf_unknown("$.partition_by", "period", period, periods, err);
    p->partitions = (int)partitions;
    if (p->retention_ms > 0) p->retention_ms /= 1000;
    if (p->compact_after_us >= 0 && p->partition_by != WEIR_PERIOD_DAY)
        return pf_wrong(pf_get(json, "compact_after"), "$.compact_after", "\"never\", since partition_by is not \"day\"", err);
    if (pf_get(json, "training") && !cJSON_IsObject(pf_get(json, "training"))) return pf_wrong(pf_get(json, "training"), "$.training", "an object", err);
    p->name = copy_text(name);
    if (!p->name) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the pipeline");
    return pf_parse_triggers(p, pf_get(json, "triggers"), err);
}

/* Of the sections that define features, as they are written (white space apart). */
static weir_status hash_features(weir_pipeline *p, weir_err *err) {
    static const char *const sections[] = {"source", "labels", "lists", "views", NULL};
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    for (int i = 0; ok && sections[i]; i++) {
        const cJSON *json = pf_get(p->json, sections[i]);
        char *text = json ? cJSON_PrintUnformatted(json) : NULL;
        ok = (!json || text) && EVP_DigestUpdate(context, sections[i], strlen(sections[i]) + 1) && (!text || EVP_DigestUpdate(context, text, strlen(text) + 1));
        cJSON_free(text);
    }
    ok = ok && EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    p->feature_hash = weir_mem.realloc(NULL, 65);
    if (!ok || !p->feature_hash) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to hash the features");
    for (int i = 0; i < 32; i++) snprintf(p->feature_hash + 2 * i, 3, "%02x", digest[i]);
    return WEIR_OK;
}

static weir_status parse_json(const char *text, cJSON **ret_json, weir_err *err) {
    const char *end = NULL;
    *ret_json = cJSON_ParseWithOpts(text, &end, true);
    if (*ret_json) return WEIR_OK;
    int line = 1, column = 1;
    for (const char *p = text; end && p < end && *p; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    return WEIR_FAIL(err, WEIR_EINVAL, "line %d, column %d: this is no JSON", line, column);
}

static weir_status parse_into(weir_pipeline *p, const char *text, const char *base_dir, weir_err *err) {
    weir_status status;
    p->label_column = p->label_join[0] = p->label_join[1] = -1;
    if ((status = parse_json(text, &p->json, err)) || (status = prepare(p->json, "$", 0, err)) || (status = parse_head(p, p->json, err)) ||
        (status = parse_source(p, pf_get(p->json, "source"), base_dir, err)) || (status = pf_parse_rollout(p, pf_get(p->json, "rollout"), err)))
        return status;
    if (pf_get(p->json, "labels") && (status = parse_labels(p, pf_get(p->json, "labels"), base_dir, err))) return status;
    if ((status = check_file_columns(p, "aliases", true, err)) || (status = check_file_columns(p, "derive", false, err)) ||
        (status = pf_load_plugins(pf_get(p->json, "plugins"), base_dir, err)) || (status = pf_parse_lists(p, pf_get(p->json, "lists"), err)) ||
        (status = pf_parse_views(p, pf_get(p->json, "views"), err)) || (status = pf_parse_checks(p, pf_get(p->json, "checks"), base_dir, err)) ||
        (status = pf_parse_serving(p, pf_get(p->json, "serving"), err)) || (status = check_training(p, pf_get(p->json, "training"), err)) ||
        (status = pf_parse_batches(p, pf_get(pf_get(p->json, "serving"), "batches"), err)))
        return status;
    return hash_features(p, err);
}

weir_status weir_pipeline_parse(const char *json, const char *base_dir, weir_pipeline **ret_pipeline, weir_err *err) {
    weir_pipeline *p = weir_mem.realloc(NULL, sizeof(*p));
    if (!p) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the pipeline");
    memset(p, 0, sizeof(*p));
    weir_status status = parse_into(p, json, base_dir, err);
    if (status) {
        weir_pipeline_free(p);
        return status;
    }
    *ret_pipeline = p;
    return WEIR_OK;
}

static bool is_path(const char *text) {
    return strchr(text, '/') || strchr(text, '.');
}

weir_status weir_pipeline_load(const char *name_or_path, weir_pipeline **ret_pipeline, weir_err *err) {
    char name[PATH_MAX], dir[PATH_MAX];
    int n = snprintf(name, sizeof(name), is_path(name_or_path) ? "%s" : "pipelines/%s.json", name_or_path);
    if (n >= (int)sizeof(name)) return WEIR_FAIL(err, WEIR_EINVAL, "the path of the pipeline is longer than %d bytes", PATH_MAX - 1);
    weir_buf text = {0};
    bool there = false;
    weir_status status = pf_read_file(name, &text, &there, err);
    const weir_embedded_file *embedded = there ? NULL : weir_embedded_find(name);
    memcpy(dir, name, sizeof(dir));
    char *slash = strrchr(dir, '/');
    if (slash) *slash = 0;
    weir_pipeline *p = NULL;
    if (!status && !there && !embedded) status = WEIR_FAIL(err, WEIR_EINVAL, "there is no pipeline \"%s\": no file %s and none built in", name_or_path, name);
    if (!status) status = weir_pipeline_parse(there ? (text.data ? text.data : "") : embedded->data, !there ? NULL : slash ? dir : ".", &p, err);
    if (status && (there || embedded)) weir_err_prefix(err, "%s", name);
    if (!status && !(p->path = copy_text(name))) {
        weir_pipeline_free(p);
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the pipeline");
    }
    weir_buf_done(&text);
    if (!status) *ret_pipeline = p;
    return status;
}

static void done_feed(weir_feed_def *feed) {
    free(feed->topic);
    free(feed->schema_path);
    weir_schema_free(feed->schema);
}

void weir_pipeline_free(weir_pipeline *pipeline) {
    if (!pipeline) return;
    pf_free_views(pipeline);
    pf_free_lists(pipeline);
    pf_free_checks(pipeline);
    pf_free_batches(pipeline);
    done_feed(&pipeline->events);
    done_feed(&pipeline->labels);
    free(pipeline->serving.views);
    cJSON_Delete(pipeline->json);
    free(pipeline->feature_hash);
    free(pipeline->name);
    free(pipeline->path);
    free(pipeline);
}

bool weir_pipeline_trains(const weir_pipeline *pipeline) {
    return cJSON_GetObjectItemCaseSensitive(pipeline->json, "training") != NULL;
}

const weir_view_def *weir_pipeline_view(const weir_pipeline *pipeline, const char *name) {
    for (int i = 0; i < pipeline->view_count; i++) {
        if (!strcmp(pipeline->views[i].name, name)) return &pipeline->views[i];
    }
    return NULL;
}
