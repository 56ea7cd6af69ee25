/* The pipeline file: JSON in, a checked weir_pipeline out. Every complaint names the JSON path, what was found and what was expected. */
#include "features/pipeline.h"

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

enum { PATH_TEXT_MAX = 256, FILE_BYTES_MAX = 4 << 20, NAME_LEN_MAX = 48, DEPTH_MAX = 64, SALT_LEN_MAX = 63, DEFAULT_PARTITIONS = 4, DEFAULT_MAX_BYTES = 65536 };
#define DURATION_MAX_US (INT64_C(36600) * WEIR_DAY_US)

typedef struct path {
    char text[PATH_TEXT_MAX];
} path;

static path WEIR_PRINTF(1, 2) path_of(const char *format, ...) {
    path p;
    va_list args;
    va_start(args, format);
    vsnprintf(p.text, sizeof(p.text), format, args);
    va_end(args);
    return p;
}

static path below(const char *at, const char *key) {
    return path_of("%s.%s", at, key);
}
static path item(const char *at, int index) {
    return path_of("%s[%d]", at, index);
}

/* --- reading JSON --- */

/* What was found, for messages; text holds it when it must be made. */
static const char *found(const cJSON *json, char text[64]) {
    if (!json) return "nothing";
    if (cJSON_IsObject(json)) return "an object";
    if (cJSON_IsArray(json)) return "an array";
    if (cJSON_IsNull(json)) return "null";
    if (cJSON_IsBool(json)) return cJSON_IsTrue(json) ? "true" : "false";
    if (cJSON_IsNumber(json))
        snprintf(text, 64, "%.15g", json->valuedouble);
    else
        snprintf(text, 64, "\"%.50s\"", cJSON_GetStringValue(json));
    return text;
}

static weir_status wrong(const cJSON *json, const char *at, const char *expected, weir_err *err) {
    char text[64];
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected %s", at, found(json, text), expected);
}

/* "found X, expected one of the …; did you mean Y?" */
static weir_status unknown(const char *at, const char *what, const char *word, const char *const *candidates, weir_err *err) {
    const char *near = weir_conf_nearest(word, candidates);
    if (near) return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"%.64s\" is no %s; did you mean \"%s\"?", at, word, what, near);
    weir_buf list = {0};
    bool ok = true;
    for (int i = 0; ok && candidates[i] && list.len < 200; i++) ok = weir_buf_printf(&list, "%s%s", i ? ", " : "", candidates[i]);
    weir_status status = WEIR_FAIL(err, WEIR_EINVAL, "%s: \"%.64s\" is no %s; expected one of: %s", at, word, what, list.data ? list.data : "(none)");
    weir_buf_done(&list);
    return status;
}

static weir_status need_object(const cJSON *json, const char *at, const char *const *keys, weir_err *err) {
    if (!cJSON_IsObject(json)) return wrong(json, at, "an object", err);
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        int i = 0;
        while (keys[i] && strcmp(keys[i], child->string)) i++;
        if (!keys[i]) return unknown(at, "known key", child->string, keys, err);
    }
    return WEIR_OK;
}

static const cJSON *get(const cJSON *json, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(json, key);
}

/* Leaves *ret as it is when the key is absent, unless it is required. */
static weir_status get_text(const cJSON *json, const char *at, const char *key, bool required, const char **ret, weir_err *err) {
    const cJSON *value = get(json, key);
    if (!value && !required) return WEIR_OK;
    const char *text = cJSON_GetStringValue(value);
    if (!text || !*text) return wrong(value, below(at, key).text, "a text", err);
    *ret = text;
    return WEIR_OK;
}

static weir_status get_duration(const cJSON *json, const char *at, const char *key, int64_t *ret_us, weir_err *err) {
    const cJSON *value = get(json, key);
    if (!value) return WEIR_OK;
    const char *text = cJSON_GetStringValue(value);
    int64_t us;
    if (!text || weir_duration_parse(text, &us, NULL) || us > DURATION_MAX_US)
        return wrong(value, below(at, key).text, "a duration such as \"90s\", \"15m\", \"12h\" or \"7d\", of at most a hundred years", err);
    *ret_us = us;
    return WEIR_OK;
}

static weir_status get_int(const cJSON *json, const char *at, const char *key, int64_t min, int64_t max, int64_t *ret, weir_err *err) {
    const cJSON *value = get(json, key);
    if (!value) return WEIR_OK;
    double v = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    if (!(v >= (double)min && v <= (double)max) || v != floor(v))
        return wrong(value, below(at, key).text, path_of("a whole number from %" PRId64 " to %" PRId64, min, max).text, err);
    *ret = (int64_t)v;
    return WEIR_OK;
}

static weir_status get_number(const cJSON *json, const char *at, const char *key, bool *ret_has, double *ret, weir_err *err) {
    const cJSON *value = get(json, key);
    if (!value) return WEIR_OK;
    if (!cJSON_IsNumber(value)) return wrong(value, below(at, key).text, "a number", err);
    if (ret_has) *ret_has = true;
    *ret = value->valuedouble;
    return WEIR_OK;
}

static weir_status get_bool(const cJSON *json, const char *at, const char *key, bool *ret, weir_err *err) {
    const cJSON *value = get(json, key);
    if (!value) return WEIR_OK;
    if (!cJSON_IsBool(value)) return wrong(value, below(at, key).text, "true or false", err);
    *ret = cJSON_IsTrue(value);
    return WEIR_OK;
}

/* An array of 1 to max texts; ret [max]. */
static weir_status get_texts(const cJSON *json, const char *at, const char *key, int max, const char **ret, int *ret_count, weir_err *err) {
    const cJSON *value = get(json, key), *child;
    path here = below(at, key);
    int n = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 0;
    if (n < 1 || n > max) return wrong(value, here.text, path_of("an array of 1 to %d texts", max).text, err);
    int i = 0;
    cJSON_ArrayForEach(child, value) {
        if (!cJSON_IsString(child) || !*child->valuestring) return wrong(child, item(here.text, i).text, "a text", err);
        ret[i++] = child->valuestring;
    }
    *ret_count = n;
    return WEIR_OK;
}

/* Names become parts of topics, Avro names and SQL identifiers, so they are kept to what all of these take. */
static weir_status check_name(const char *name, const char *at, bool lower, size_t max_len, weir_err *err) {
    bool ok = strlen(name) <= max_len && !isdigit((unsigned char)name[0]);
    for (const char *p = name; ok && *p; p++) ok = isdigit((unsigned char)*p) || *p == '_' || (*p >= 'a' && *p <= 'z') || (!lower && *p >= 'A' && *p <= 'Z');
    if (ok) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"%.64s\", expected at most %zu %sletters, digits and '_', not starting with a digit", at, name, max_len,
                     lower ? "lower-case " : "");
}

/* --- the feeds --- */

/* Column by name, with its nearest neighbours in the complaint. */
static weir_status find_column(const weir_schema *schema, const char *name, const char *at, int *ret_index, weir_err *err) {
    *ret_index = weir_schema_find(schema, name);
    if (*ret_index >= 0) return WEIR_OK;
    int n = weir_schema_field_count(schema);
    const char **names = weir_mem.realloc(NULL, sizeof(*names) * ((size_t)n + 1));
    if (!names) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the columns of %s", weir_schema_name(schema));
    for (int i = 0; i < n; i++) names[i] = weir_schema_field_at(schema, i)->name;
    names[n] = NULL;
    weir_status status = unknown(at, path_of("column of %s", weir_schema_name(schema)).text, name, names, err);
    free(names);
    return status;
}

static weir_status time_column(const weir_schema *schema, const char *name, const char *at, int *ret_index, weir_err *err) {
    weir_status status = find_column(schema, name, at, ret_index, err);
    if (status) return status;
    const weir_schema_field *f = weir_schema_field_at(schema, *ret_index);
    if (f->is_timestamp && !f->nullable) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL,
                     "%s: column %s is no timestamp that is always there; expected {\"type\": \"long\", \"logicalType\": \"timestamp-micros\"}", at, name);
}

static weir_status key_columns(const weir_schema *schema, const char *const *names, int count, const char *at, int *ret_index, weir_err *err) {
    for (int i = 0; i < count; i++) {
        path here = item(at, i);
        weir_status status = find_column(schema, names[i], here.text, &ret_index[i], err);
        if (status) return status;
        weir_type type = weir_schema_field_at(schema, ret_index[i])->type;
        if (type != WEIR_T_STR && type != WEIR_T_I64)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s cannot be a key; expected a string, an int or a long", here.text, names[i]);
        for (int j = 0; j < i; j++) {
            if (ret_index[j] == ret_index[i]) return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s stands there twice", here.text, names[i]);
        }
    }
    return WEIR_OK;
}

/* Whole file into a NUL-terminated buffer; *ret_found is false when there is no such file. */
static weir_status read_file(const char *name, weir_buf *out, bool *ret_found, weir_err *err) {
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
        status = read_file(beside, &text, &there, err);
    if (!status && !there) status = read_file(name, &text, &there, err);
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
    if ((status = get_text(json, at, "topic", false, &topic, err)) || (status = get_text(json, at, "schema", true, &schema, err)) ||
        (status = get_text(json, at, "tenant", false, &tenant, err)) || (status = get_text(json, at, "time", true, &time, err)) ||
        (status = get_text(json, at, "available", false, &available, err)) ||
        (status = get_texts(json, at, "key", WEIR_KEY_COLUMNS_MAX, feed->key, &feed->key_count, err)) ||
        (status = get_duration(json, at, "allowed_lateness", &feed->allowed_lateness_us, err)) ||
        (status = get_duration(json, at, "max_future", &feed->max_future_us, err)) ||
        (status = get_int(json, at, "max_bytes", 1, 64 << 20, &feed->max_bytes, err)))
        return status;
    feed->topic = topic ? copy_text(topic) : format_text("%s.%s", p->name, feed == &p->events ? "events" : "labels");
    feed->schema_path = copy_text(schema);
    if (!feed->topic || !feed->schema_path) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %s", at);
    if ((status = check_topic(feed->topic, below(at, "topic").text, err)) ||
        (status = load_schema(schema, base_dir, below(at, "schema").text, &feed->schema, err)) ||
        (status = key_columns(feed->schema, feed->key, feed->key_count, below(at, "key").text, feed->key_index, err)) ||
        (status = time_column(feed->schema, time, below(at, "time").text, &feed->time_index, err)))
        return status;
    if (available && (status = time_column(feed->schema, available, below(at, "available").text, &feed->available_index, err))) return status;
    if (!tenant) return WEIR_OK;
    if ((status = find_column(feed->schema, tenant, below(at, "tenant").text, &feed->tenant_index, err))) return status;
    if (weir_schema_field_at(feed->schema, feed->tenant_index)->type == WEIR_T_STR) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s is no string", below(at, "tenant").text, tenant);
}

static weir_status parse_source(weir_pipeline *p, const cJSON *json, const char *base_dir, weir_err *err) {
    static const char *const keys[] = {"topic",      "schema",    "key",     "tenant", "time", "available", "allowed_lateness",
                                       "max_future", "max_bytes", "aliases", "doc",    NULL};
    weir_status status = need_object(json, "$.source", keys, err);
    return status ? status : parse_feed(p, json, "$.source", base_dir, &p->events, err);
}

static weir_status parse_labels(weir_pipeline *p, const cJSON *json, const char *base_dir, weir_err *err) {
    static const char *const keys[] = {"topic",      "schema",    "key",  "tenant", "time",      "available", "allowed_lateness",
                                       "max_future", "max_bytes", "join", "column", "max_delay", "doc",       NULL};
    const char *column = NULL, *join[2] = {NULL};
    int join_count = 0;
    weir_status status;
    if ((status = need_object(json, "$.labels", keys, err)) || (status = parse_feed(p, json, "$.labels", base_dir, &p->labels, err)) ||
        (status = get_text(json, "$.labels", "column", true, &column, err)) ||
        (status = find_column(p->labels.schema, column, "$.labels.column", &p->label_column, err)) ||
        (status = get_texts(json, "$.labels", "join", 2, join, &join_count, err)) ||
        (status = get_duration(json, "$.labels", "max_delay", &p->max_delay_us, err)))
        return status;
    weir_type type = weir_schema_field_at(p->labels.schema, p->label_column)->type;
    if (type != WEIR_T_BOOL && type != WEIR_T_I64 && type != WEIR_T_F64)
        return WEIR_FAIL(err, WEIR_EINVAL, "$.labels.column: column %s is no number or boolean", column);
    if (join_count != 2) return wrong(get(json, "join"), "$.labels.join", "two columns: of the events and of the labels", err);
    if ((status = key_columns(p->events.schema, join, 1, "$.labels.join", &p->label_join[0], err)) ||
        (status = find_column(p->labels.schema, join[1], "$.labels.join[1]", &p->label_join[1], err)))
        return status;
    if (weir_schema_field_at(p->events.schema, p->label_join[0])->type == weir_schema_field_at(p->labels.schema, p->label_join[1])->type) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "$.labels.join: columns %s and %s have different types", join[0], join[1]);
}

/* Aliases map names in users' files to columns of either feed. */
static weir_status check_aliases(const weir_pipeline *p, weir_err *err) {
    const cJSON *aliases = get(get(p->json, "source"), "aliases"), *alias;
    if (!aliases) return WEIR_OK;
    if (!cJSON_IsObject(aliases)) return wrong(aliases, "$.source.aliases", "an object of names and columns", err);
    cJSON_ArrayForEach(alias, aliases) {
        path here = below("$.source.aliases", alias->string);
        int index;
        if (!cJSON_IsString(alias)) return wrong(alias, here.text, "the name of a column", err);
        if (p->labels.schema && weir_schema_find(p->labels.schema, alias->valuestring) >= 0) continue;
        weir_status status = find_column(p->events.schema, alias->valuestring, here.text, &index, err);
        if (status) return status;
    }
    return WEIR_OK;
}

static weir_status parse_from(const weir_pipeline *p, const cJSON *json, const char *at, const char *key, weir_feed *ret, weir_err *err) {
    static const char *const feeds[] = {"events", "labels", NULL};
    const char *text = "events";
    weir_status status = get_text(json, at, key, false, &text, err);
    if (status) return status;
    path here = below(at, key);
    if (strcmp(text, "events") && strcmp(text, "labels")) return unknown(here.text, "feed", text, feeds, err);
    *ret = strcmp(text, "labels") ? WEIR_FROM_EVENTS : WEIR_FROM_LABELS;
    if (*ret == WEIR_FROM_LABELS && !p->labels.topic) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"labels\", but the pipeline has no labels", here.text);
    return WEIR_OK;
}

/* --- views --- */

static bool is_numeric(const weir_schema_field *f) {
    return f->type == WEIR_T_BOOL || f->type == WEIR_T_I64 || f->type == WEIR_T_F64;
}

static weir_status parse_agg(const weir_feed_def *feed, const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    static const char *const aggs[] = {"count", "mean", "sum", "min", "max", NULL};
    weir_status status;
    int i = 0, column;
    while (aggs[i] && strcmp(aggs[i], f->agg)) i++;
    if (!aggs[i]) return unknown(below(at, "agg").text, "aggregate", f->agg, aggs, err);
    if (get(json, "from") || get(json, "to")) return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"from\" and \"to\" belong to \"op\": \"hour_between\"", at);
    if ((status = get_duration(json, at, "window", &f->window_us, err)) || (status = get_duration(json, at, "delay", &f->delay_us, err)) ||
        (status = get_number(json, at, "default", NULL, &f->fallback, err)))
        return status;
    if (f->window_us <= 0) return wrong(get(json, "window"), below(at, "window").text, "a duration above 0", err);
    if (!f->of) return strcmp(f->agg, "count") ? wrong(NULL, below(at, "of").text, "a column to aggregate", err) : WEIR_OK;
    if ((status = find_column(feed->schema, f->of, below(at, "of").text, &column, err))) return status;
    if (is_numeric(weir_schema_field_at(feed->schema, column))) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s is no number or boolean", below(at, "of").text, f->of);
}

static weir_status parse_op(const weir_view_def *view, const weir_feed_def *feed, const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    static const char *const ops[] = {"weekend", "hour_between", NULL};
    static const char *const agg_keys[] = {"window", "delay", "default", NULL};
    int column;
    weir_status status;
    if (strcmp(f->op, "weekend") && strcmp(f->op, "hour_between")) return unknown(below(at, "op").text, "operator", f->op, ops, err);
    if (view->from != WEIR_FROM_EVENTS)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: operators of the record itself belong to views of the events", below(at, "op").text);
    for (int i = 0; agg_keys[i]; i++) {
        if (get(json, agg_keys[i])) return WEIR_FAIL(err, WEIR_EINVAL, "%s: it goes with \"agg\", not with \"op\"", below(at, agg_keys[i]).text);
    }
    if (f->of && (status = find_column(feed->schema, f->of, below(at, "of").text, &column, err))) return status;
    if (f->of && !weir_schema_field_at(feed->schema, column)->is_timestamp)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: column %s is no timestamp", below(at, "of").text, f->of);
    bool hours = !strcmp(f->op, "hour_between");
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "to" : "from";
        if (hours && !get(json, key)) return wrong(NULL, below(at, key).text, "an hour from 0 to 23", err);
        if (!hours && get(json, key)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: it belongs to \"hour_between\"", below(at, key).text);
        if ((status = get_int(json, at, key, 0, 23, i ? &f->to : &f->from, err))) return status;
    }
    return WEIR_OK;
}

/* A column of the events of that name would make "columns" of training ambiguous, another feature too. */
static weir_status check_unique(const weir_pipeline *p, const weir_feature_def *f, const char *at, weir_err *err) {
    if (weir_schema_find(p->events.schema, f->name) >= 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s: a column of the events is named \"%s\" already", at, f->name);
    for (int v = 0; v < p->view_count; v++) {
        for (int i = 0; i < p->views[v].feature_count; i++) {
            const weir_feature_def *other = &p->views[v].features[i];
            if (other != f && other->name && !strcmp(other->name, f->name))
                return WEIR_FAIL(err, WEIR_EINVAL, "%s: view %s has a feature named \"%s\" already", at, p->views[v].name, f->name);
        }
    }
    return WEIR_OK;
}

static weir_status parse_feature(const weir_pipeline *p, const weir_view_def *view, const cJSON *json, const char *at, weir_feature_def *f, weir_err *err) {
    static const char *const keys[] = {"name", "agg", "op", "of", "window", "delay", "from", "to", "default", "unit", "doc", NULL};
    const weir_feed_def *feed = view->from == WEIR_FROM_LABELS ? &p->labels : &p->events;
    weir_status status;
    if ((status = need_object(json, at, keys, err)) || (status = get_text(json, at, "name", true, &f->name, err)) ||
        (status = check_name(f->name, below(at, "name").text, false, NAME_LEN_MAX, err)) || (status = check_unique(p, f, below(at, "name").text, err)) ||
        (status = get_text(json, at, "agg", false, &f->agg, err)) || (status = get_text(json, at, "op", false, &f->op, err)) ||
        (status = get_text(json, at, "of", false, &f->of, err)) || (status = get_text(json, at, "unit", false, &f->unit, err)) ||
        (status = get_text(json, at, "doc", false, &f->doc, err)))
        return status;
    f->fallback = NAN;
    if (!f->agg == !f->op) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected exactly one of \"agg\" and \"op\"", at, f->agg ? "both" : "neither");
    return f->agg ? parse_agg(feed, json, at, f, err) : parse_op(view, feed, json, at, f, err);
}

/* Scoring finds a view's entity in the event, so the event has the same columns. */
static weir_status parse_entity(const weir_pipeline *p, const cJSON *json, const char *at, weir_view_def *view, weir_err *err) {
    const weir_feed_def *feed = view->from == WEIR_FROM_LABELS ? &p->labels : &p->events;
    int index[WEIR_KEY_COLUMNS_MAX], in_event[WEIR_KEY_COLUMNS_MAX];
    path here = below(at, "entity");
    weir_status status;
    if ((status = get_texts(json, at, "entity", WEIR_KEY_COLUMNS_MAX, view->entity, &view->entity_count, err)) ||
        (status = key_columns(feed->schema, view->entity, view->entity_count, here.text, index, err)) ||
        (status = key_columns(p->events.schema, view->entity, view->entity_count, here.text, in_event, err)))
        return status;
    view->rekeyed = view->entity_count != feed->key_count || memcmp(index, feed->key_index, sizeof(*index) * (size_t)view->entity_count) != 0;
    for (int i = 0; i < view->entity_count; i++) {
        if (weir_schema_field_at(feed->schema, index[i])->type != weir_schema_field_at(p->events.schema, in_event[i])->type)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s[%d]: column %s has another type in the events", here.text, i, view->entity[i]);
    }
    return WEIR_OK;
}

static weir_status parse_view(weir_pipeline *p, const cJSON *json, int index, weir_err *err) {
    static const char *const keys[] = {"name", "entity", "from", "ttl", "features", "doc", NULL};
    weir_view_def *view = &p->views[index];
    path here = item("$.views", index), below_name = below(here.text, "name");
    const char *at = here.text;
    weir_status status;
    if ((status = need_object(json, at, keys, err)) || (status = get_text(json, at, "name", true, &view->name, err)) ||
        (status = check_name(view->name, below_name.text, true, NAME_LEN_MAX - 16, err)) || (status = parse_from(p, json, at, "from", &view->from, err)) ||
        (status = parse_entity(p, json, at, view, err)) || (status = get_duration(json, at, "ttl", &view->ttl_us, err)))
        return status;
    for (int i = 0; i < index; i++) {
        if (!strcmp(p->views[i].name, view->name)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: a view is named \"%s\" already", below_name.text, view->name);
    }
    const cJSON *features = get(json, "features"), *child;
    path list = below(at, "features");
    int n = cJSON_IsArray(features) ? cJSON_GetArraySize(features) : 0;
    if (n < 1 || n > WEIR_FEATURES_MAX) return wrong(features, list.text, path_of("an array of 1 to %d features", WEIR_FEATURES_MAX).text, err);
    view->features = weir_mem.realloc(NULL, (size_t)n * sizeof(*view->features));
    if (!view->features) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d features", n);
    memset(view->features, 0, (size_t)n * sizeof(*view->features));
    cJSON_ArrayForEach(child, features) {
        int i = view->feature_count++;
        if ((status = parse_feature(p, view, child, item(list.text, i).text, &view->features[i], err))) return status;
        const weir_feature_def *f = &view->features[i];
        if (view->ttl_us && f->window_us + f->delay_us > view->ttl_us)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.ttl: it is shorter than the delay and window of feature %s, which would be cut", at, f->name);
    }
    return WEIR_OK;
}

static weir_status parse_views(weir_pipeline *p, const cJSON *json, weir_err *err) {
    int n = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0, features = 0;
    if (n < 1 || n > WEIR_VIEWS_MAX) return wrong(json, "$.views", path_of("an array of 1 to %d views", WEIR_VIEWS_MAX).text, err);
    p->views = weir_mem.realloc(NULL, (size_t)n * sizeof(*p->views));
    if (!p->views) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d views", n);
    memset(p->views, 0, (size_t)n * sizeof(*p->views));
    p->primary_view = -1;
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        int i = p->view_count++;
        weir_status status = parse_view(p, child, i, err);
        if (status) return status;
        features += p->views[i].feature_count;
        if (p->primary_view < 0 && p->views[i].from == WEIR_FROM_EVENTS && !p->views[i].rekeyed) p->primary_view = i;
    }
    if (features > WEIR_FEATURES_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "$.views: found %d features, expected at most %d", features, WEIR_FEATURES_MAX);
    if (p->primary_view >= 0) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EINVAL, "$.views: no view from the events has their key as its entity; one must, for its records are what is scored");
}

/* --- checks --- */

static weir_status parse_check(const weir_pipeline *p, const cJSON *json, const char *at, weir_check_def *check, weir_err *err) {
    static const char *const keys[] = {"on", "column", "not_null", "min", "max", "in", "name", "doc", NULL};
    weir_status status;
    if ((status = need_object(json, at, keys, err)) || (status = parse_from(p, json, at, "on", &check->on, err)) ||
        (status = get_text(json, at, "column", true, &check->column, err)))
        return status;
    const weir_schema *schema = check->on == WEIR_FROM_LABELS ? p->labels.schema : p->events.schema;
    check->name = check->column;
    if ((status = find_column(schema, check->column, below(at, "column").text, &check->column_index, err)) ||
        (status = get_text(json, at, "name", false, &check->name, err)) || (status = get_bool(json, at, "not_null", &check->not_null, err)) ||
        (status = get_number(json, at, "min", &check->has_min, &check->min, err)) || (status = get_number(json, at, "max", &check->has_max, &check->max, err)))
        return status;
    const weir_schema_field *f = weir_schema_field_at(schema, check->column_index);
    const cJSON *in = get(json, "in");
    if ((check->has_min || check->has_max) && !is_numeric(f))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"min\" and \"max\" are for numbers; column %s has none", at, f->name);
    if (check->has_min && check->has_max && check->min > check->max)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: min %g is above max %g", at, check->min, check->max);
    if (in && f->type != WEIR_T_STR) return WEIR_FAIL(err, WEIR_EINVAL, "%s: \"in\" is for texts; column %s has none", at, f->name);
    if (!in && !check->not_null && !check->has_min && !check->has_max)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: it checks nothing; expected \"not_null\", \"min\", \"max\" or \"in\"", at);
    if (!in) return WEIR_OK;
    int n = cJSON_IsArray(in) ? cJSON_GetArraySize(in) : 0, count;
    check->in = weir_mem.realloc(NULL, sizeof(*check->in) * ((size_t)n + 1));
    if (!check->in) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d texts", n);
    memset(check->in, 0, sizeof(*check->in) * ((size_t)n + 1));
    return get_texts(json, at, "in", 4096, check->in, &count, err);
}

static weir_status parse_checks(weir_pipeline *p, const cJSON *json, weir_err *err) {
    if (!json) return WEIR_OK;
    int n = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : -1;
    if (n < 0 || n > WEIR_CHECKS_MAX) return wrong(json, "$.checks", path_of("an array of at most %d checks", WEIR_CHECKS_MAX).text, err);
    if (!n) return WEIR_OK;
    p->checks = weir_mem.realloc(NULL, (size_t)n * sizeof(*p->checks));
    if (!p->checks) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d checks", n);
    memset(p->checks, 0, (size_t)n * sizeof(*p->checks));
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        int i = p->check_count++;
        weir_status status = parse_check(p, child, item("$.checks", i).text, &p->checks[i], err);
        if (status) return status;
    }
    return WEIR_OK;
}

/* --- the whole --- */

/* Columns that training reads must exist; the rest of the section is its reader's business. */
static weir_status check_training(const weir_pipeline *p, const cJSON *training, weir_err *err) {
    const cJSON *columns = get(training, "columns"), *child;
    if (!columns) return WEIR_OK;
    if (!cJSON_IsArray(columns)) return wrong(columns, "$.training.columns", "an array of features and columns of the events", err);
    const char *names[WEIR_FEATURES_MAX + 1];
    int n = 0, i = 0;
    for (int v = 0; v < p->view_count; v++) {
        for (int f = 0; f < p->views[v].feature_count; f++) names[n++] = p->views[v].features[f].name;
    }
    names[n] = NULL;
    cJSON_ArrayForEach(child, columns) {
        path here = item("$.training.columns", i++);
        if (!cJSON_IsString(child)) return wrong(child, here.text, "the name of a feature or of a column of the events", err);
        int k = 0, index = weir_schema_find(p->events.schema, child->valuestring);
        while (names[k] && strcmp(names[k], child->valuestring)) k++;
        if (!names[k] && index < 0) return unknown(here.text, "feature or column of the events", child->valuestring, names, err);
        if (!names[k] && !is_numeric(weir_schema_field_at(p->events.schema, index)))
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
        path here = child->string ? below(at, child->string) : item(at, i++);
        for (const cJSON *other = child->next; child->string && other; other = other->next) {
            if (!strcmp(other->string, child->string)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: the key stands there twice", here.text);
        }
        weir_status status = prepare(child, here.text, depth + 1, err);
        if (status) return status;
    }
    return WEIR_OK;
}

static weir_status get_share(const cJSON *json, const char *at, const char *key, weir_err *err) {
    const cJSON *value = get(json, key);
    if (!value || (cJSON_IsNumber(value) && value->valuedouble >= 0 && value->valuedouble <= 1)) return WEIR_OK;
    return wrong(value, below(at, key).text, "a number from 0 to 1", err);
}

/* Their readers are the workers; what is wrong should be known before these start. */
static weir_status check_rollout_and_serving(const cJSON *json, weir_err *err) {
    static const char *const rollout_keys[] = {"salt", "challenger_share", "doc", NULL}, *const serving_keys[] = {"threshold", "doc", NULL};
    const cJSON *rollout = get(json, "rollout"), *serving = get(json, "serving");
    const char *salt = "";
    weir_status status = WEIR_OK;
    if (rollout && ((status = need_object(rollout, "$.rollout", rollout_keys, err)) || (status = get_text(rollout, "$.rollout", "salt", false, &salt, err)) ||
                    (status = get_share(rollout, "$.rollout", "challenger_share", err))))
        return status;
    if (strlen(salt) > SALT_LEN_MAX) return wrong(get(rollout, "salt"), "$.rollout.salt", path_of("at most %d bytes", SALT_LEN_MAX).text, err);
    if (serving && !(status = need_object(serving, "$.serving", serving_keys, err))) status = get_share(serving, "$.serving", "threshold", err);
    return status;
}

static weir_status parse_head(weir_pipeline *p, const cJSON *json, weir_err *err) {
    static const char *const keys[] = {"$schema", "pipeline", "doc",      "partitions", "retention", "source",  "labels",
                                       "checks",  "views",    "training", "triggers",   "rollout",   "serving", NULL};
    static const char *const objects[] = {"training", "triggers", NULL};
    const char *name = NULL, *retention = "forever";
    int64_t partitions = DEFAULT_PARTITIONS, retention_us = 0;
    weir_status status;
    if ((status = need_object(json, "$", keys, err)) || (status = get_text(json, "$", "pipeline", true, &name, err)) ||
        (status = check_name(name, "$.pipeline", true, NAME_LEN_MAX, err)) || (status = get_int(json, "$", "partitions", 1, 1024, &partitions, err)) ||
        (status = get_text(json, "$", "retention", false, &retention, err)))
        return status;
    p->partitions = (int)partitions;
    p->retention_ms = -1;
    if (strcmp(retention, "forever")) {
        if ((status = get_duration(json, "$", "retention", &retention_us, err))) return weir_err_prefix(err, "\"forever\" or a duration");
        p->retention_ms = retention_us / 1000;
    }
    for (int i = 0; objects[i]; i++) {
        const cJSON *value = get(json, objects[i]);
        if (value && !cJSON_IsObject(value)) return wrong(value, below("$", objects[i]).text, "an object", err);
    }
    if ((status = check_rollout_and_serving(json, err))) return status;
    p->name = copy_text(name);
    return p->name ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the pipeline");
}

/* Of the sections that define features, as they are written (white space apart). */
static weir_status hash_features(weir_pipeline *p, weir_err *err) {
    static const char *const sections[] = {"source", "labels", "views", NULL};
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    for (int i = 0; ok && sections[i]; i++) {
        const cJSON *json = get(p->json, sections[i]);
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
        (status = parse_source(p, get(p->json, "source"), base_dir, err)))
        return status;
    if (get(p->json, "labels") && (status = parse_labels(p, get(p->json, "labels"), base_dir, err))) return status;
    if ((status = check_aliases(p, err)) || (status = parse_checks(p, get(p->json, "checks"), err)) || (status = parse_views(p, get(p->json, "views"), err)) ||
        (status = check_training(p, get(p->json, "training"), err)))
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
    weir_status status = read_file(name, &text, &there, err);
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
    for (int i = 0; i < pipeline->view_count; i++) free(pipeline->views[i].features);
    for (int i = 0; i < pipeline->check_count; i++) free(pipeline->checks[i].in);
    free(pipeline->views);
    free(pipeline->checks);
    done_feed(&pipeline->events);
    done_feed(&pipeline->labels);
    cJSON_Delete(pipeline->json);
    free(pipeline->feature_hash);
    free(pipeline->name);
    free(pipeline->path);
    free(pipeline);
}

const weir_view_def *weir_pipeline_view(const weir_pipeline *pipeline, const char *name) {
    for (int i = 0; i < pipeline->view_count; i++) {
        if (!strcmp(pipeline->views[i].name, name)) return &pipeline->views[i];
    }
    return NULL;
}
