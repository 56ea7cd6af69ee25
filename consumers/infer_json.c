#include "consumers/infer_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/decimal.h"

enum { ARENA_BYTES_MAX = 64 << 20, NAME_BYTES_MAX = 256, ANSWER_BYTES = 1024 /* mostly enough */ };
#define WHOLE_MAX 9007199254740992.0 /* 2^53: JSON numbers are doubles here */

/* ---- parsing: a body, its members, its values ---- */

static weir_status parse_object(const char *body, size_t len, weir_json_table *table, weir_err *err) {
    weir_arena_init(&table->arena, ARENA_BYTES_MAX);
    if (!len) return WEIR_REJECT(err, WEIR_EDATA, "the body is empty: expected a JSON object");
    const char *end = NULL;
    table->json = cJSON_ParseWithLengthOpts(body, len, &end, 0);
    if (!table->json) return WEIR_REJECT(err, WEIR_EDATA, "the body is not JSON: error at byte %zu of %zu", end ? (size_t)(end - body) : 0, len);
    for (; end < body + len; end++) {
        if (!strchr(" \t\r\n", *end) || !*end)
            return WEIR_REJECT(err, WEIR_EDATA, "the JSON object ends before byte %zu, but there is more", (size_t)(end - body));
    }
    if (!cJSON_IsObject(table->json)) return WEIR_REJECT(err, WEIR_EDATA, "the body is JSON, but not an object");
    return WEIR_OK;
}

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for this request");
}

/* An optional text member: *ret_text NULL when it is absent or null. */
static weir_status text_member(const cJSON *object, const char *name, const char **ret_text, weir_err *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *ret_text = NULL;
    if (!item || cJSON_IsNull(item)) return WEIR_OK;
    if (!cJSON_IsString(item)) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\": expected a string", name);
    *ret_text = item->valuestring;
    return WEIR_OK;
}

static weir_status check_size(const weir_json_table *table, int64_t rows, int64_t width, weir_err *err) {
    if (rows < 1) return WEIR_REJECT(err, WEIR_EDATA, "no rows");
    if (rows > WEIR_JSON_ROWS_MAX) return WEIR_REJECT(err, WEIR_ELIMIT, "%" PRId64 " rows: at most %d in one request", rows, WEIR_JSON_ROWS_MAX);
    if (width < 1 || width > WEIR_JSON_COLUMNS_MAX) return WEIR_REJECT(err, WEIR_ELIMIT, "%" PRId64 " columns: expected 1 to %d", width, WEIR_JSON_COLUMNS_MAX);
    if (table->row_count && rows != table->row_count) {
        return WEIR_REJECT(err, WEIR_EDATA, "%" PRId64 " rows, but \"%s\" has %d: all need the same number", rows, table->columns[0].name, table->row_count);
    }
    int64_t values = rows * width;
    for (int c = 0; c < table->column_count; c++) values += (int64_t)table->row_count * table->columns[c].width;
    if (values > WEIR_JSON_VALUES_MAX) return WEIR_REJECT(err, WEIR_ELIMIT, "%" PRId64 " values: at most %d in one request", values, WEIR_JSON_VALUES_MAX);
    return WEIR_OK;
}

/* Adds an empty column, after the checks that concern the whole table. */
static weir_status add_column(weir_json_table *table, const char *name, int64_t rows, int64_t width, weir_json_column **ret_column, weir_err *err) {
    if (!name || !name[0] || strlen(name) > NAME_BYTES_MAX) return WEIR_REJECT(err, WEIR_EDATA, "expected a name of 1 to %d bytes", NAME_BYTES_MAX);
    if (weir_json_table_find(table, name)) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\" is there twice", name);
    weir_status status = check_size(table, rows, width, err);
    if (status) return status;
    weir_datum *values = weir_arena_alloc(&table->arena, (size_t)(rows * width) * sizeof *values);
    if (!values) return no_memory(err);
    weir_json_column *column = &table->columns[table->column_count++];
    *column = (weir_json_column){name, (int)width, values};
    table->row_count = (int)rows;
    *ret_column = column;
    return WEIR_OK;
}

static weir_status reserve_columns(weir_json_table *table, int count, weir_err *err) {
    if (count < 1) return WEIR_REJECT(err, WEIR_EDATA, "it is empty");
    if (count > WEIR_JSON_COLUMNS_MAX) return WEIR_REJECT(err, WEIR_ELIMIT, "%d columns: at most %d in one request", count, WEIR_JSON_COLUMNS_MAX);
    table->columns = weir_arena_alloc(&table->arena, (size_t)count * sizeof *table->columns);
    return table->columns ? WEIR_OK : no_memory(err);
}

/* {"column": [values], …} */
static weir_status parse_columns(weir_json_table *table, const char *member, weir_err *err) {
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(table->json, member);
    if (!cJSON_IsObject(object)) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\": expected an object of columns, {\"name\": [values]}", member);
    weir_status status = reserve_columns(table, cJSON_GetArraySize(object), err);
    if (status) return weir_err_prefix(err, "\"%s\"", member);
    for (const cJSON *item = object->child; item; item = item->next) {
        weir_json_column *column = NULL;
        if (!cJSON_IsArray(item)) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\".\"%s\": expected an array of values", member, item->string);
        if ((status = add_column(table, item->string, cJSON_GetArraySize(item), 1, &column, err)))
            return weir_err_prefix(err, "\"%s\".\"%s\"", member, item->string);
        int row = 0;
        for (const cJSON *value = item->child; value; value = value->next, row++) {
            if ((status = weir_datum_of_json(value, &column->values[row], err))) return weir_err_prefix(err, "\"%s\".\"%s\"[%d]", member, item->string, row);
        }
    }
    return WEIR_OK;
}

static weir_status parse_names(weir_json_table *table, const cJSON *array, const char *member, const char ***ret_names, weir_err *err) {
    if (!cJSON_IsArray(array)) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\": expected an array", member);
    int count = cJSON_GetArraySize(array), i = 0;
    if (count < 1 || count > WEIR_JSON_COLUMNS_MAX)
        return WEIR_REJECT(err, WEIR_EDATA, "\"%s\" has %d members: expected 1 to %d", member, count, WEIR_JSON_COLUMNS_MAX);
    const char **names = weir_arena_alloc(&table->arena, ((size_t)count + 1) * sizeof *names);
    if (!names) return no_memory(err);
    for (const cJSON *item = array->child; item; item = item->next, i++) {
        if (!cJSON_IsString(item)) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\"[%d]: expected a string", member, i);
        if (strlen(item->valuestring) > NAME_BYTES_MAX) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\"[%d]: longer than %d bytes", member, i, NAME_BYTES_MAX);
        names[i] = item->valuestring;
    }
    names[count] = NULL;
    *ret_names = names;
    return WEIR_OK;
}

/* ---- Open Inference Protocol ---- */

/* A number from 1 on, or an alias, which begins with a letter. */
static bool read_version(const char *text, size_t len, weir_model_path *path) {
    if (!len || len >= sizeof path->alias) return false;
    memcpy(path->alias, text, len);
    path->alias[len] = 0;
    if (*text < '0' || *text > '9') return strspn(path->alias, "abcdefghijklmnopqrstuvwxyz0123456789-") == len && *text != '-';
    char *end;
    long version = strtol(path->alias, &end, 10);
    if (*text == '0' || *end || version > INT32_MAX) return false;
    path->version = (int)version;
    path->alias[0] = 0;
    return true;
}

weir_status weir_model_path_parse(const char *path, weir_model_path *ret_path, weir_err *err) {
    static const char prefix[] = "/v2/models/", versions[] = "/versions/";
    static const char *const verbs[] = {[WEIR_MODEL_METADATA] = "", [WEIR_MODEL_READY] = "/ready", [WEIR_MODEL_INFER] = "/infer"};
    weir_model_path found = {0};
    if (strncmp(path, prefix, sizeof prefix - 1)) goto unknown;
    const char *rest = path + sizeof prefix - 1;
    size_t name_len = strcspn(rest, "/");
    if (!name_len || name_len >= sizeof found.name) goto unknown;
    memcpy(found.name, rest, name_len);
    rest += name_len;
    if (!strncmp(rest, versions, sizeof versions - 1)) {
        rest += sizeof versions - 1;
        size_t len = strcspn(rest, "/");
        if (!read_version(rest, len, &found)) goto unknown;
        rest += len;
    }
    for (weir_model_verb verb = WEIR_MODEL_METADATA; verb <= WEIR_MODEL_INFER; verb++) {
        if (strcmp(rest, verbs[verb])) continue;
        found.verb = verb;
        *ret_path = found;
        return WEIR_OK;
    }
unknown:
    return WEIR_REJECT(err, WEIR_ENOTFOUND, "no such path: expected /v2/models/NAME[/versions/VERSION or ALIAS][/ready|/infer]");
}

static weir_status tensor_type_of(const cJSON *input, const weir_tensor_type **ret_type, weir_err *err) {
    const char *name;
    weir_status status = text_member(input, "datatype", &name, err);
    if (status) return status;
    if (name && (*ret_type = weir_tensor_type_find(name))) return WEIR_OK;
    return WEIR_REJECT(err, WEIR_EDATA, "datatype %.32s: expected BOOL, UINT8 to UINT64, INT8 to INT64, FP16, BF16, FP32, FP64 or BYTES",
                       name ? name : "is missing");
}

/* The bytes after the JSON, which the inputs take one after the other. */
typedef struct tail {
    const char *bytes; /* NULL: the body is JSON alone */
    size_t len, used;
} tail;

static weir_status tensor_shape(const cJSON *input, int64_t *ret_rows, int64_t *ret_width, weir_err *err) {
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(input, "shape");
    int64_t dims[2] = {0, 1};
    int count = cJSON_GetArraySize(shape), i = 0;
    if (!cJSON_IsArray(shape) || count < 1 || count > 2) return WEIR_REJECT(err, WEIR_EDATA, "\"shape\": expected [rows] or [rows, columns]");
    for (const cJSON *dim = shape->child; dim; dim = dim->next, i++) {
        double v = cJSON_IsNumber(dim) ? dim->valuedouble : -1;
        if (!(v >= 0 && v <= WHOLE_MAX && v == floor(v))) return WEIR_REJECT(err, WEIR_EDATA, "\"shape\"[%d]: expected a whole number, at least 0", i);
        dims[i] = (int64_t)v;
    }
    *ret_rows = dims[0];
    *ret_width = dims[1];
    return WEIR_OK;
}

/* A member of "parameters"; NULL: absent or null. */
static const cJSON *parameter(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(object, "parameters"), name);
    return cJSON_IsNull(item) ? NULL : item;
}

static weir_status flag_parameter(const cJSON *object, const char *name, bool fallback, bool *ret_flag, weir_err *err) {
    const cJSON *item = parameter(object, name);
    if (item && !cJSON_IsBool(item)) return WEIR_REJECT(err, WEIR_EDATA, "parameter \"%s\": expected a boolean", name);
    *ret_flag = item ? cJSON_IsTrue(item) : fallback;
    return WEIR_OK;
}

/* The next bytes of the binary part belong to this input. */
static weir_status take_bytes(tail *rest, const cJSON *size, const char **ret_bytes, size_t *ret_len, weir_err *err) {
    double v = cJSON_IsNumber(size) ? size->valuedouble : -1;
    if (!(v >= 0 && v <= WHOLE_MAX && v == floor(v))) return WEIR_REJECT(err, WEIR_EDATA, "\"binary_data_size\": expected a whole number of bytes");
    if (!rest->bytes)
        return WEIR_REJECT(err, WEIR_EDATA,
                           "\"binary_data_size\" is given, but the request has no header Inference-Header-Content-Length, which says where the JSON ends");
    if (v > (double)(rest->len - rest->used))
        return WEIR_REJECT(err, WEIR_EDATA, "\"binary_data_size\" is %.0f, but only %zu bytes are left after the JSON and the inputs before", v,
                           rest->len - rest->used);
    *ret_bytes = rest->bytes + rest->used;
    *ret_len = (size_t)v;
    rest->used += *ret_len;
    return WEIR_OK;
}

static weir_status parse_input(weir_json_table *table, const cJSON *input, tail *rest, weir_err *err) {
    const char *name, *bytes = NULL;
    const weir_tensor_type *type = NULL;
    int64_t rows = 0, width = 0;
    size_t len = 0;
    weir_json_column *column = NULL;
    weir_status status;
    if (!cJSON_IsObject(input)) return WEIR_REJECT(err, WEIR_EDATA, "expected an object with name, shape, datatype and data");
    if ((status = text_member(input, "name", &name, err)) || (status = tensor_type_of(input, &type, err)) || (status = tensor_shape(input, &rows, &width, err)))
        return name ? weir_err_prefix(err, "\"%.64s\"", name) : status;
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(input, "data"), *size = parameter(input, "binary_data_size");
    if (size && data) return WEIR_REJECT(err, WEIR_EDATA, "\"data\" and \"binary_data_size\": expected one of them");
    if (!size && !cJSON_IsArray(data)) return WEIR_REJECT(err, WEIR_EDATA, "\"data\": expected an array");
    if (size && (status = take_bytes(rest, size, &bytes, &len, err))) return status;
    if ((status = add_column(table, name, rows, width, &column, err))) return status;
    status = size ? weir_tensor_of_bytes(type, bytes, len, rows * width, column->values, err)
                  : weir_tensor_of_json(type, data, rows, column->width, column->values, err);
    return status ? weir_err_prefix(err, "\"%.64s\"", name) : WEIR_OK;
}

static weir_status parse_inputs(weir_json_table *table, tail *rest, weir_err *err) {
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(table->json, "inputs");
    if (!cJSON_IsArray(inputs)) return WEIR_REJECT(err, WEIR_EDATA, "\"inputs\": expected an array of tensors");
    weir_status status = reserve_columns(table, cJSON_GetArraySize(inputs), err);
    if (status) return weir_err_prefix(err, "\"inputs\"");
    int i = 0;
    for (const cJSON *input = inputs->child; input; input = input->next, i++) {
        if ((status = parse_input(table, input, rest, err))) return weir_err_prefix(err, "\"inputs\"[%d]", i);
    }
    if (rest->used != rest->len) return WEIR_REJECT(err, WEIR_EDATA, "the inputs take %zu bytes after the JSON, but there are %zu", rest->used, rest->len);
    return WEIR_OK;
}

static weir_status parse_output(const cJSON *item, bool binary, weir_infer_wanted *ret_wanted, weir_err *err) {
    const char *name;
    weir_status status = text_member(item, "name", &name, err);
    if (status) return status;
    if (!cJSON_IsObject(item) || !name) return WEIR_REJECT(err, WEIR_EDATA, "expected an object with a name");
    if (strlen(name) > NAME_BYTES_MAX) return WEIR_REJECT(err, WEIR_EDATA, "longer than %d bytes", NAME_BYTES_MAX);
    if (parameter(item, "classification")) return WEIR_REJECT(err, WEIR_EDATA, "parameter \"classification\" is not offered: ask for \"score\" and \"class\"");
    ret_wanted->name = name;
    return flag_parameter(item, "binary_data", binary, &ret_wanted->binary, err);
}

static weir_status parse_outputs(weir_infer_request *request, weir_err *err) {
    weir_json_table *table = &request->inputs;
    const cJSON *outputs = cJSON_GetObjectItemCaseSensitive(table->json, "outputs");
    weir_status status = flag_parameter(table->json, "binary_data_output", false, &request->binary, err);
    if (status || !outputs || cJSON_IsNull(outputs)) return status;
    int count = cJSON_GetArraySize(outputs);
    if (!cJSON_IsArray(outputs) || count < 1 || count > WEIR_JSON_COLUMNS_MAX)
        return WEIR_REJECT(err, WEIR_EDATA, "\"outputs\": expected an array of 1 to %d", WEIR_JSON_COLUMNS_MAX);
    request->outputs = weir_arena_alloc(&table->arena, (size_t)count * sizeof *request->outputs);
    if (!request->outputs) return no_memory(err);
    for (const cJSON *item = outputs->child; item; item = item->next) {
        if ((status = parse_output(item, request->binary, &request->outputs[request->output_count], err)))
            return weir_err_prefix(err, "\"outputs\"[%d]", request->output_count);
        request->output_count++;
    }
    return WEIR_OK;
}

weir_status weir_infer_parse(const char *body, size_t len, size_t json_len, weir_infer_request *ret_request, weir_err *err) {
    weir_infer_request *request = ret_request;
    *request = (weir_infer_request){0};
    if (json_len != WEIR_INFER_ALL_JSON && json_len > len)
        return WEIR_REJECT(err, WEIR_EDATA, "Inference-Header-Content-Length is %zu, but the body has %zu bytes", json_len, len);
    bool all = json_len == WEIR_INFER_ALL_JSON;
    tail rest = {.bytes = all ? NULL : body + json_len, .len = all ? 0 : len - json_len};
    weir_status status = parse_object(body, all ? len : json_len, &request->inputs, err);
    if (!status) status = text_member(request->inputs.json, "id", &request->id, err);
    if (!status) status = parse_inputs(&request->inputs, &rest, err);
    return status ? status : parse_outputs(request, err);
}

void weir_infer_request_done(weir_infer_request *request) {
    weir_json_table_done(&request->inputs);
}

/* ---- Feast ---- */

/* A time: ISO 8601 text, or microseconds since 1970. */
static weir_status time_value(const weir_datum *value, int64_t *ret_us, weir_err *err) {
    char text[WEIR_TIME_TEXT_MAX + 1];
    if (value->type == WEIR_T_I64) {
        *ret_us = value->i;
        return WEIR_OK;
    }
    if (value->type != WEIR_T_STR || value->len >= sizeof text) return WEIR_REJECT(err, WEIR_EDATA, "expected ISO 8601 text or microseconds since 1970");
    memcpy(text, value->p, value->len);
    text[value->len] = 0;
    weir_status status = weir_time_parse(text, ret_us, err);
    return status ? WEIR_REJECT(err, WEIR_EDATA, "\"%s\": expected ISO 8601 text or microseconds since 1970", text) : WEIR_OK;
}

/* event_timestamp: one for all rows, or one a row. */
static weir_status parse_times(weir_features_request *request, weir_err *err) {
    weir_json_table *table = &request->entities;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(table->json, "event_timestamp");
    if (!item || cJSON_IsNull(item)) return WEIR_OK;
    request->at_now = cJSON_IsString(item) && !strcmp(item->valuestring, "now");
    if (request->at_now) return WEIR_OK;
    if (cJSON_IsArray(item) && cJSON_GetArraySize(item) != table->row_count) {
        return WEIR_REJECT(err, WEIR_EDATA, "\"event_timestamp\" has %d values: expected one, or one for each of the %d rows", cJSON_GetArraySize(item),
                           table->row_count);
    }
    const cJSON *value = cJSON_IsArray(item) ? item->child : item;
    request->at_us = weir_arena_alloc(&table->arena, (size_t)table->row_count * sizeof *request->at_us);
    if (!request->at_us) return no_memory(err);
    for (int row = 0; row < table->row_count; row++) {
        weir_datum datum;
        weir_status status = weir_datum_of_json(value, &datum, err);
        if (status || (status = time_value(&datum, &request->at_us[row], err))) return weir_err_prefix(err, "\"event_timestamp\"");
        if (cJSON_IsArray(item)) value = value->next;
    }
    return WEIR_OK;
}

weir_status weir_features_parse(const char *body, size_t len, weir_features_request *ret_request, weir_err *err) {
    weir_features_request *request = ret_request;
    *request = (weir_features_request){0};
    weir_json_table *table = &request->entities;
    weir_status status = parse_object(body, len, table, err);
    if (status || (status = text_member(table->json, "feature_service", &request->service, err))) return status;
    const cJSON *features = cJSON_GetObjectItemCaseSensitive(table->json, "features");
    bool listed = features && !cJSON_IsNull(features);
    if (listed == (request->service != NULL)) return WEIR_REJECT(err, WEIR_EDATA, "expected either \"features\" or \"feature_service\"");
    if (listed && (status = parse_names(table, features, "features", &request->features, err))) return status;
    const cJSON *full = cJSON_GetObjectItemCaseSensitive(table->json, "full_feature_names");
    if (full && !cJSON_IsBool(full) && !cJSON_IsNull(full)) return WEIR_REJECT(err, WEIR_EDATA, "\"full_feature_names\": expected a boolean");
    request->full_names = cJSON_IsTrue(full);
    if ((status = parse_columns(table, "entities", err))) return status;
    return parse_times(request, err);
}

void weir_features_request_done(weir_features_request *request) {
    weir_json_table_done(&request->entities);
}

weir_status weir_push_parse(const char *body, size_t len, weir_push_request *ret_request, weir_err *err) {
    weir_push_request *request = ret_request;
    *request = (weir_push_request){0};
    const char *to;
    weir_status status = parse_object(body, len, &request->df, err);
    if (status || (status = text_member(request->df.json, "push_source_name", &request->source, err))) return status;
    if (!request->source && (status = text_member(request->df.json, "feature_view_name", &request->source, err))) return status;
    if (!request->source) return WEIR_REJECT(err, WEIR_EDATA, "\"push_source_name\": expected \"events\" or \"labels\"");
    if ((status = text_member(request->df.json, "to", &to, err))) return status;
    if (to && strcmp(to, "online") && strcmp(to, "offline") && strcmp(to, "online_and_offline")) {
        return WEIR_REJECT(err, WEIR_EDATA,
                           "\"to\" is \"%.64s\": expected online, offline or online_and_offline (a pushed record reaches both stores in any case)", to);
    }
    return parse_columns(&request->df, "df", err);
}

void weir_push_request_done(weir_push_request *request) {
    weir_json_table_done(&request->df);
}

/* ---- tables ---- */

void weir_json_table_done(weir_json_table *table) {
    cJSON_Delete(table->json);
    weir_arena_done(&table->arena);
    *table = (weir_json_table){0};
}

const weir_json_column *weir_json_table_find(const weir_json_table *table, const char *name) {
    for (int c = 0; c < table->column_count; c++) {
        if (!strcmp(table->columns[c].name, name)) return &table->columns[c];
    }
    return NULL;
}

static bool is_matrix(const weir_json_table *inputs) {
    return inputs->column_count == 1 && !strcmp(inputs->columns[0].name, "features");
}

bool weir_infer_is_features(const weir_json_table *inputs, const char *const *columns, int column_count, const weir_schema *events) {
    if (is_matrix(inputs)) return true;
    int named = 0;
    for (int c = 0; c < column_count; c++) {
        if (!weir_json_table_find(inputs, columns[c])) continue;
        if (weir_schema_find(events, columns[c]) < 0) return true;
        named++;
    }
    return named == column_count && inputs->column_count == column_count;
}

/* The known name nearest to an unknown one, as a clause of a message. */
static const char *suggestion(const char *name, const char *const *known, char text[NAME_BYTES_MAX + 32]) {
    const char *nearest = weir_conf_nearest(name, known);
    text[0] = 0;
    if (nearest) snprintf(text, NAME_BYTES_MAX + 32, "; did you mean \"%.*s\"?", NAME_BYTES_MAX, nearest);
    return text;
}

/* Whether a double can say it. */
static bool is_exact(const weir_datum *value) {
    return value->type != WEIR_T_I64 || (value->i >= -(INT64_C(1) << 53) && value->i <= INT64_C(1) << 53) ||
           (value->i < INT64_MAX - 1023 && (int64_t)(double)value->i == value->i);
}

static weir_status number_at(const weir_datum *value, double *out, const char *name, int row, weir_err *err) {
    if (value->type == WEIR_T_STR) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\" of row %d is text: the model takes a number, FP64", name, row);
    if (!is_exact(value)) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\" of row %d is %" PRId64 ", which FP64 cannot say exactly", name, row, value->i);
    *out = weir_datum_number(value);
    return WEIR_OK;
}

static weir_status matrix_features(const weir_json_table *inputs, const char *const *columns, int column_count, double *out, weir_err *err) {
    const weir_json_column *matrix = &inputs->columns[0];
    if (matrix->width != column_count) {
        return WEIR_REJECT(err, WEIR_EDATA, "\"features\" has the shape [%d, %d]: the model has %d columns, %s first", inputs->row_count, matrix->width,
                           column_count, columns[0]);
    }
    for (int i = 0; i < inputs->row_count * column_count; i++) {
        weir_status status = number_at(&matrix->values[i], &out[i], columns[i % column_count], i / column_count, err);
        if (status) return status;
    }
    return WEIR_OK;
}

weir_status weir_infer_features(const weir_json_table *inputs, const char *const *columns, int column_count, double *out, weir_err *err) {
    if (is_matrix(inputs)) return matrix_features(inputs, columns, column_count, out, err);
    for (int c = 0; c < column_count; c++) {
        const weir_json_column *column = weir_json_table_find(inputs, columns[c]);
        if (!column) return WEIR_REJECT(err, WEIR_EDATA, "input \"%s\" is missing", columns[c]);
        if (column->width != 1)
            return WEIR_REJECT(err, WEIR_EDATA, "\"%s\" has %d columns: expected the shape [%d] or [%d, 1]", columns[c], column->width, inputs->row_count,
                               inputs->row_count);
        for (int row = 0; row < inputs->row_count; row++) {
            weir_status status = number_at(&column->values[row], &out[(size_t)row * (size_t)column_count + (size_t)c], columns[c], row, err);
            if (status) return status;
        }
    }
    for (int i = 0; inputs->column_count > column_count && i < inputs->column_count; i++) {
        bool known = false;
        for (int c = 0; c < column_count && !known; c++) known = !strcmp(columns[c], inputs->columns[i].name);
        if (!known) return WEIR_REJECT(err, WEIR_EDATA, "the model has no input \"%s\"", inputs->columns[i].name);
    }
    return WEIR_OK;
}

/* ---- rows of a schema ---- */

/* A value in the type of its field. Text made here lives in the table's arena. */
static weir_status fit(const weir_schema_field *field, const weir_datum *value, weir_arena *arena, weir_datum *ret_value, weir_err *err) {
    static const char *const expected[] = {"null", "a boolean", "a whole number", "a number", "text", "text"};
    char digits[32];
    *ret_value = *value;
    if (value->type == WEIR_T_NULL) return WEIR_OK;
    switch (field->type) {
    case WEIR_T_STR:
    case WEIR_T_BYTES:
        ret_value->type = field->type;
        if (value->type == WEIR_T_STR) return WEIR_OK;
        if (value->type != WEIR_T_I64 || field->type == WEIR_T_BYTES) break;
        int len = snprintf(digits, sizeof digits, "%" PRId64, value->i);
        char *text = weir_arena_copy(arena, digits, (size_t)len);
        if (!text) return no_memory(err);
        *ret_value = weir_str(text, (size_t)len);
        return WEIR_OK;
    case WEIR_T_I64:
        if (field->is_timestamp) {
            *ret_value = weir_i64(0);
            return time_value(value, &ret_value->i, err);
        }
        if (value->type == WEIR_T_I64) return WEIR_OK;
        break;
    case WEIR_T_F64:
        if (value->type == WEIR_T_STR || !is_exact(value)) break;
        *ret_value = weir_f64(weir_datum_number(value));
        return WEIR_OK;
    case WEIR_T_BOOL:
        if (value->type == WEIR_T_BOOL) return WEIR_OK;
        if (value->type != WEIR_T_I64 || (value->i != 0 && value->i != 1)) break;
        *ret_value = weir_bool(value->i == 1);
        return WEIR_OK;
    case WEIR_T_NULL: break;
    }
    return WEIR_REJECT(err, WEIR_EDATA, "expected %s", expected[field->type]);
}

/* Which field a column is; -1: passed over. */
static weir_status field_of(const weir_feed_def *feed, const weir_json_table *table, const char *name, bool complete, int *ret_field, weir_err *err) {
    const weir_schema *schema = feed->schema;
    *ret_field = weir_schema_find(schema, name);
    if (*ret_field >= 0) return WEIR_OK;
    const char *time_name = weir_schema_field_at(schema, feed->time_index)->name;
    if (!strcmp(name, "event_timestamp") && !weir_json_table_find(table, time_name)) {
        *ret_field = feed->time_index;
        return WEIR_OK;
    }
    if (complete && !strcmp(name, "created")) return WEIR_OK;
    char hint[NAME_BYTES_MAX + 32];
    int count = weir_schema_field_count(schema);
    const char **known = weir_mem.realloc(NULL, ((size_t)count + 1) * sizeof *known);
    if (!known) return no_memory(err);
    for (int f = 0; f < count; f++) known[f] = weir_schema_field_at(schema, f)->name;
    known[count] = NULL;
    weir_status status = WEIR_REJECT(err, WEIR_EDATA, "%s has no column \"%s\"%s", weir_schema_name(schema), name, suggestion(name, known, hint));
    free(known);
    return status;
}

static weir_status fill_missing(const weir_feed_def *feed, const bool *given, bool complete, int row_count, weir_datum *rows, weir_err *err) {
    int count = weir_schema_field_count(feed->schema);
    for (int f = 0; f < count; f++) {
        const weir_schema_field *field = weir_schema_field_at(feed->schema, f);
        if (given[f]) continue;
        if (complete && !field->has_default && !field->nullable) return WEIR_REJECT(err, WEIR_EDATA, "column \"%s\" is missing", field->name);
        for (int row = 0; row < row_count; row++) rows[(size_t)row * (size_t)count + (size_t)f] = field->has_default ? field->fallback : weir_null();
    }
    return WEIR_OK;
}

weir_status weir_json_rows(weir_json_table *table, const weir_feed_def *feed, bool complete, weir_datum *rows, weir_err *err) {
    int count = weir_schema_field_count(feed->schema);
    weir_status status;
    bool *given = weir_arena_alloc(&table->arena, (size_t)count * sizeof *given);
    if (!given) return no_memory(err);
    memset(given, 0, (size_t)count * sizeof *given);
    for (int c = 0; c < table->column_count; c++) {
        const weir_json_column *column = &table->columns[c];
        int f;
        if ((status = field_of(feed, table, column->name, complete, &f, err))) return status;
        if (f < 0) continue;
        const weir_schema_field *field = weir_schema_field_at(feed->schema, f);
        if (column->width != 1)
            return WEIR_REJECT(err, WEIR_EDATA, "\"%s\" has %d columns: expected the shape [%d] or [%d, 1]", column->name, column->width, table->row_count,
                               table->row_count);
        given[f] = true;
        for (int row = 0; row < table->row_count; row++) {
            weir_datum *out = &rows[(size_t)row * (size_t)count + (size_t)f];
            if ((status = fit(field, &column->values[row], &table->arena, out, err))) return weir_err_prefix(err, "\"%s\" of row %d", column->name, row);
            if (complete && out->type == WEIR_T_NULL && !field->nullable) return WEIR_REJECT(err, WEIR_EDATA, "\"%s\" of row %d is null", column->name, row);
        }
    }
    return fill_missing(feed, given, complete, table->row_count, rows, err);
}

/* ---- answers ---- */

bool weir_json_put_text(weir_buf *out, const char *text) {
    return weir_json_put(out, &(weir_datum){.type = WEIR_T_STR, .len = (uint32_t)strlen(text), .p = text});
}

static bool put_whole(weir_buf *out, int64_t v) {
    char text[WEIR_DECIMAL_MAX], *end = text + sizeof text, *p = weir_decimal_before(end, v);
    return weir_buf_append(out, p, (size_t)(end - p));
}

/* Most numbers that people write are k / 10^6. Where the nearest double to that quotient is the value itself, so is the nearest to its decimal text. */
static bool put_decimal(weir_buf *out, double v) {
    enum { SCALE = 1000000 };
    if (!(fabs(v) < 1e9) || (v == 0 && signbit(v))) return false;
    int64_t scaled = (int64_t)(v * SCALE + (v < 0 ? -0.5 : 0.5));
    if ((double)scaled / SCALE != v) return false;
    uint64_t all = (uint64_t)(scaled < 0 ? -scaled : scaled), fraction = all % SCALE;
    char text[32], *end = text + sizeof text, *p = weir_digits_before(end, fraction + SCALE); /* the 1 before the fraction keeps its zeros */
    *p = '.';
    while (end > p + 2 && end[-1] == '0') end--;
    p = weir_digits_before(p, all / SCALE);
    if (scaled < 0) *--p = '-';
    return weir_buf_append(out, p, (size_t)(end - p));
}

static bool put_double(weir_buf *out, double v) {
    char text[40];
    if (put_decimal(out, v)) return true;
    int len = strfromd(text, sizeof text, "%.17g", v);
    return weir_buf_append(out, text, (size_t)len) && (strpbrk(text, ".e") || weir_buf_append(out, ".0", 2));
}

bool weir_json_put(weir_buf *out, const weir_datum *value) {
    switch (value->type) {
    case WEIR_T_BOOL: return value->i ? weir_buf_append(out, "true", 4) : weir_buf_append(out, "false", 5);
    case WEIR_T_I64: return put_whole(out, value->i);
    case WEIR_T_F64:
        if (isfinite(value->f)) return put_double(out, value->f);
        break;
    case WEIR_T_STR:
    case WEIR_T_BYTES: return weir_buf_append(out, "\"", 1) && weir_buf_json_escape(out, value->p, value->len) && weir_buf_append(out, "\"", 1);
    default: break;
    }
    return weir_buf_append(out, "null", 4);
}

static bool put_raw(weir_buf *out, const char *text) {
    return weir_buf_append(out, text, strlen(text));
}

/* A member's name with what stands before it, as {"id": or ,"id":, and its text. */
static bool put_member(weir_buf *out, const char *name, const char *text) {
    return put_raw(out, name) && weir_json_put_text(out, text);
}

static bool put_values(weir_buf *out, const weir_datum *values, int count) {
    if (!weir_buf_append(out, "[", 1)) return false;
    for (int i = 0; i < count; i++) {
        if ((i && !weir_buf_append(out, ",", 1)) || !weir_json_put(out, &values[i])) return false;
    }
    return weir_buf_append(out, "]", 1);
}

static bool put_head(const weir_infer_answer *answer, weir_buf *out) {
    bool ok = put_member(out, "{\"model_name\":", answer->model_name) &&
              (!answer->model_version || put_member(out, ",\"model_version\":", answer->model_version)) &&
              (!answer->id || put_member(out, ",\"id\":", answer->id)) && put_raw(out, ",\"parameters\":{");
    for (int p = 0; ok && p < answer->parameter_count; p++) {
        const weir_infer_parameter *parameter = &answer->parameters[p];
        ok = (!p || weir_buf_append(out, ",", 1)) && weir_json_put_text(out, parameter->name) && weir_buf_append(out, ":", 1) &&
             weir_json_put(out, &parameter->value);
    }
    return ok && put_raw(out, "},\"outputs\":[");
}

static bool put_output(const weir_infer_output *output, int rows, bool first, weir_buf *out, weir_buf *bytes) {
    const weir_tensor_type *type = weir_tensor_type_find(output->datatype);
    int width = output->width ? output->width : 1, count = rows * width;
    size_t before = bytes->len;
    bool ok = put_member(out, first ? "{\"name\":" : ",{\"name\":", output->name) && put_member(out, ",\"datatype\":", output->datatype) &&
              put_raw(out, ",\"shape\":[") && put_whole(out, rows) && (!output->width || (put_raw(out, ",") && put_whole(out, width)));
    if (ok && output->binary && weir_tensor_has_bytes(type, output->values, count))
        return weir_tensor_put_bytes(type, output->values, count, bytes) && put_raw(out, "],\"parameters\":{\"binary_data_size\":") &&
               put_whole(out, (int64_t)(bytes->len - before)) && put_raw(out, "}}");
    return ok && put_raw(out, "],\"data\":") && put_values(out, output->values, count) && put_raw(out, "}");
}

bool weir_infer_encode(const weir_infer_answer *answer, weir_buf *out, size_t *ret_json_len) {
    weir_buf bytes = {0};
    size_t before = out->len;
    bool ok = weir_buf_reserve(out, ANSWER_BYTES) && put_head(answer, out);
    for (int o = 0; ok && o < answer->output_count; o++) ok = put_output(&answer->outputs[o], answer->row_count, !o, out, &bytes);
    ok = ok && weir_buf_append(out, "]}", 2);
    *ret_json_len = bytes.len ? out->len - before : WEIR_INFER_ALL_JSON;
    ok = ok && (!bytes.len || weir_buf_append(out, bytes.data, bytes.len));
    weir_buf_done(&bytes);
    return ok;
}

static bool put_statuses(weir_buf *out, const char *const *statuses, int row_count) {
    bool ok = weir_buf_append(out, ",\"statuses\":[\"", 14);
    for (int row = 0; ok && row < row_count; row++)
        ok = (!row || weir_buf_append(out, "\",\"", 3)) && weir_buf_append(out, statuses[row], strlen(statuses[row]));
    return ok && weir_buf_append(out, "\"]", 2);
}

static bool put_times(weir_buf *out, const int64_t *times_us, int row_count) {
    char time[WEIR_TIME_TEXT_MAX];
    bool ok = weir_buf_append(out, ",\"event_timestamps\":[\"", 22);
    for (int row = 0; ok && row < row_count; row++) {
        weir_time_format(times_us[row], time);
        ok = (!row || weir_buf_append(out, "\",\"", 3)) && weir_buf_append(out, time, strlen(time));
    }
    return ok && weir_buf_append(out, "\"]", 2);
}

/* A piece of the answer, once more. */
static bool repeat(weir_buf *out, size_t start, size_t end) {
    return weir_buf_reserve(out, end - start) && weir_buf_append(out, out->data + start, end - start);
}

bool weir_features_encode(const weir_features_result *results, int result_count, int row_count, weir_buf *out) {
    static const char names[] = "{\"metadata\":{\"feature_names\":[", all[] = "]},\"results\":[", next[] = ",{\"values\":";
    enum { BYTES_A_RESULT = 96, BYTES_A_VALUE = 64 }; /* mostly */
    size_t times_start = 0, times_end = 0;
    bool ok =
        weir_buf_reserve(out, (size_t)result_count * (BYTES_A_RESULT + (size_t)row_count * BYTES_A_VALUE)) && weir_buf_append(out, names, sizeof names - 1);
    for (int r = 0; ok && r < result_count; r++) ok = (!r || weir_buf_append(out, ",", 1)) && weir_json_put_text(out, results[r].name);
    ok = ok && weir_buf_append(out, all, sizeof all - 1);
    for (int r = 0; ok && r < result_count; r++) {
        const weir_features_result *result = &results[r];
        bool same_times = r && result->event_times_us == result[-1].event_times_us;
        ok = weir_buf_append(out, next + !r, sizeof next - 1 - !r) && put_values(out, result->values, row_count) &&
             put_statuses(out, result->statuses, row_count);
        size_t start = out->len;
        ok = ok && (same_times ? repeat(out, times_start, times_end) : put_times(out, result->event_times_us, row_count));
        times_start = start;
        times_end = out->len;
        ok = ok && weir_buf_append(out, "}", 1);
    }
    return ok && weir_buf_append(out, "]}", 2);
}
