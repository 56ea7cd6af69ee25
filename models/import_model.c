#include "models/import_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/algorithms.h"
#include "models/lightgbm.h"
#include "models/memory.h"
#include "models/model_internal.h"
#include "models/ubjson.h"
#include "models/xgb_file.h"
#include "models/xgb_internal.h"

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to import a model");
}

/* ---- what newer releases write otherwise ---- */

/* The text of base_score in a file: since XGBoost 3.1 it is a list of one, "[5E-1]", which the library here does not read. */
typedef struct base_text {
    size_t at, len; /* of the text */
    size_t length_at; /* UBJSON: where its length stands, 8 bytes, big-endian; 0: JSON */
} base_text;

static bool find_base_score(const char *bytes, size_t len, base_text *ret_text) {
    static const char name[] = "base_score";
    enum { NAME = sizeof name - 1, UBJ_FRONT = 10 /* S, L, 8 bytes */ };
    const char *found = memmem(bytes, len, name, NAME), *end = bytes + len;
    if (!found || end - found < NAME + UBJ_FRONT) return false;
    const char *p = found + NAME, *stop;
    if (p[0] == 'S' && p[1] == 'L') {
        uint64_t text_len = 0;
        for (int i = 2; i < UBJ_FRONT; i++) text_len = text_len << 8 | (unsigned char)p[i];
        *ret_text = (base_text){(size_t)(p + UBJ_FRONT - bytes), text_len, (size_t)(p + 2 - bytes)};
        return text_len <= (uint64_t)(end - p - UBJ_FRONT);
    }
    if (*p != '"' || !(p = memchr(p + 1, '"', (size_t)(end - p - 1))) || !(stop = memchr(p + 1, '"', (size_t)(end - p - 1)))) return false;
    *ret_text = (base_text){.at = (size_t)(p + 1 - bytes), .len = (size_t)(stop - p - 1)};
    return true;
}

/* What sums of leaves begin with, where it is not the same for all classes. */
typedef struct base_scores {
    float values[WEIR_MODEL_CLASSES_MAX];
    int count; /* 0: the library reads it itself */
} base_scores;

/* text: what stands between the brackets, ended by one. */
static bool read_list(const char *text, base_scores *ret_bases) {
    char *end;
    ret_bases->count = 0;
    do {
        if (ret_bases->count == WEIR_MODEL_CLASSES_MAX) return false;
        float value = strtof(text, &end);
        if (end == text || !isfinite(value)) return false;
        ret_bases->values[ret_bases->count++] = value;
        text = end + 1;
    } while (*end == ',');
    return *end == ']';
}

/* The file with the first of a list as the number in it. ret_bases: the list, where it has others. */
static weir_status plain_base_score(const char *bytes, size_t len, weir_buf *ret_file, base_scores *ret_bases, weir_err *err) {
    base_text text;
    bool list = find_base_score(bytes, len, &text) && text.len > 2 && bytes[text.at] == '[' && bytes[text.at + text.len - 1] == ']', same = true;
    ret_bases->count = 0;
    if (list && !read_list(bytes + text.at + 1, ret_bases))
        return WEIR_FAIL(err, WEIR_EDATA, "base_score is %.*s, expected numbers, at most %d", text.len < 80 ? (int)text.len : 80, bytes + text.at,
                         WEIR_MODEL_CLASSES_MAX);
    for (int k = 1; k < ret_bases->count; k++) same = same && ret_bases->values[k] == ret_bases->values[0];
    if (same) ret_bases->count = 0;
    size_t kept = list ? strcspn(bytes + text.at + 1, ",]") : 0;
    bool ok = !list ? weir_buf_append(ret_file, bytes, len)
                    : weir_buf_append(ret_file, bytes, text.at) && weir_buf_append(ret_file, bytes + text.at + 1, kept) &&
                          weir_buf_append(ret_file, bytes + text.at + text.len, len - text.at - text.len);
    if (!ok) return no_memory(err);
    for (int i = 0; list && text.length_at && i < 8; i++) ret_file->data[text.length_at + (size_t)i] = (char)((uint64_t)kept >> (56 - 8 * i));
    return WEIR_OK;
}

/* ---- a number for each class to begin with ---- */

/* XGBoost's JSON tells 0 from 0E0, which no other JSON library does: its text is changed in place. */
typedef struct edit {
    const char *at, *end; /* what is not copied yet */
    weir_buf out;
} edit;

/* Copies up to a text and with it. A quote in a name is escaped there, so a text with quotes of its own stands in no name. */
static bool copy_past(edit *e, const char *text) {
    const char *found = memmem(e->at, (size_t)(e->end - e->at), text, strlen(text));
    if (!found || !weir_buf_append(&e->out, e->at, (size_t)(found - e->at) + strlen(text))) return false;
    e->at = found + strlen(text);
    return true;
}

/* A tree of one leaf. */
static bool put_constant(edit *e, int id, float value, const char *columns) {
    return weir_buf_printf(
        &e->out,
        "{\"base_weights\":[%.9E],\"categories\":[],\"categories_nodes\":[],\"categories_segments\":[],\"categories_sizes\":[],\"default_left\":[0],\"id\":%d,"
        "\"left_children\":[-1],\"loss_changes\":[0E0],\"parents\":[2147483647],\"right_children\":[-1],\"split_conditions\":[%.9E],\"split_indices\":[0],"
        "\"split_type\":[0],\"sum_hessian\":[0E0],\"tree_param\":{\"num_deleted\":\"0\",\"num_feature\":\"%s\",\"num_nodes\":\"1\",\"size_leaf_vector\":\"0\"}"
        "}",
        (double)value, id, (double)value, columns);
}

/* A number that stands next, more by so many. */
static bool raise_number(edit *e, int more) {
    char *after;
    long number = strtol(e->at, &after, 10);
    if (after == e->at || !weir_buf_printf(&e->out, "%ld", number + more)) return false;
    e->at = after;
    return true;
}

/* Sums begin with 0 and a tree of one leaf for each class: 0 + b is b, and what follows is added to it as it was to b. false: no memory, or not what XGBoost writes: the keys in the order of
 * the alphabet, "gradient_booster" before "learner_model_param". */
static bool begin_with_trees(edit *e, const base_scores *bases, const char *columns) {
    bool ok = copy_past(e, "\"num_trees\":\"") && raise_number(e, bases->count) && copy_past(e, "\"tree_info\":[");
    bool any = ok && *e->at != ']';
    for (int k = 0; ok && k < bases->count; k++) ok = weir_buf_printf(&e->out, "%s%d", k ? "," : "", k);
    ok = ok && (!any || weir_buf_append(&e->out, ",", 1)) && copy_past(e, "\"trees\":[");
    for (int k = 0; ok && k < bases->count; k++) ok = weir_buf_append(&e->out, ",", k > 0) && put_constant(e, k, bases->values[k], columns);
    ok = ok && weir_buf_append(&e->out, ",", any);
    while (ok && memmem(e->at, (size_t)(e->end - e->at), "\"id\":", 5)) ok = copy_past(e, "\"id\":") && raise_number(e, bases->count);
    ok = ok && copy_past(e, "\"base_score\":\"") && weir_buf_append(&e->out, "0E0", 3);
    const char *stop = ok ? memchr(e->at, '"', (size_t)(e->end - e->at)) : NULL;
    return stop && weir_buf_append(&e->out, stop, (size_t)(e->end - stop));
}

static weir_status load_booster(const void *bytes, size_t len, BoosterHandle *ret_booster, weir_err *err) {
    BoosterHandle booster = NULL;
    weir_status status = weir_xgb_load_library(err);
    if (!status && weir_xgb.XGBoosterCreate(NULL, 0, &booster) != 0) status = weir_xgb_failed("booster", err);
    if (!status && weir_xgb.XGBoosterSetParam(booster, "nthread", "1") != 0) status = weir_xgb_failed("parameters", err);
    if (!status && weir_xgb.XGBoosterLoadModelFromBuffer(booster, bytes, len) != 0) {
        (void)weir_xgb_failed("the file is no model that XGBoost can load", err);
        status = WEIR_EDATA;
        if (err) err->code = WEIR_EDATA;
    }
    if (!status)
        *ret_booster = booster;
    else if (booster)
        weir_xgb.XGBoosterFree(booster);
    return status;
}

/* Exchanges the booster for one that begins so. */
static weir_status begin_with(const base_scores *bases, BoosterHandle *booster, weir_err *err) {
    const char *text = NULL;
    char columns[24];
    bst_ulong len = 0, column_count = 0;
    BoosterHandle changed = NULL;
    if (weir_xgb.XGBoosterGetNumFeature(*booster, &column_count) != 0 ||
        weir_xgb.XGBoosterSaveModelToBuffer(*booster, "{\"format\": \"json\"}", &len, &text) != 0)
        return weir_xgb_failed("saving", err);
    snprintf(columns, sizeof columns, "%llu", (unsigned long long)column_count);
    edit e = {.at = text, .end = text + len};
    weir_status status = WEIR_OK;
    if (!begin_with_trees(&e, bases, columns))
        status = WEIR_FAIL(err, WEIR_EDATA, "the model has a base_score for each of %d classes, and is otherwise not what XGBoost writes", bases->count);
    if (!status) status = load_booster(e.out.data, e.out.len, &changed, err);
    weir_buf_done(&e.out);
    if (status) return status;
    weir_xgb.XGBoosterFree(*booster);
    *booster = changed;
    return WEIR_OK;
}

/* ---- what the model is ---- */

static bool find_at(weir_ubjson value, const char *const *path, weir_ubjson *ret_value) {
    for (; *path; path++)
        if (!weir_ubjson_find(value, *path, &value)) return false;
    *ret_value = value;
    return true;
}

static bool text_at(weir_ubjson root, const char *const *path, char *text, size_t size) {
    weir_ubjson value;
    const char *found;
    size_t len;
    if (!find_at(root, path, &value) || !weir_ubjson_text(value, &found, &len) || len >= size) return false;
    memcpy(text, found, len);
    text[len] = 0;
    return true;
}

/* The task of an objective, and the number of its classes. weir_trees_parse, when the artifact is loaded, says which objectives there are. */
static weir_status read_task(const weir_buf *body, weir_matrix *model, weir_err *err) {
    char objective[64], classes[32];
    weir_ubjson root;
    if (!weir_ubjson_open(body->data, body->len, &root) ||
        !text_at(root, (const char *const[]){"learner", "objective", "name", NULL}, objective, sizeof objective) ||
        !text_at(root, (const char *const[]){"learner", "learner_model_param", "num_class", NULL}, classes, sizeof classes))
        return WEIR_FAIL(err, WEIR_EDATA, "the model says no objective or number of classes");
    model->task = !strncmp(objective, "binary:", 7) ? WEIR_TASK_BINARY : !strncmp(objective, "multi:", 6) ? WEIR_TASK_MULTICLASS : WEIR_TASK_REGRESSION;
    model->class_count = model->task == WEIR_TASK_MULTICLASS ? atoi(classes) : 0;
    return WEIR_OK;
}

/* names: the library's, good as long as the booster is asked nothing else. */
static weir_status take_columns(BoosterHandle booster, const char *const *columns, weir_matrix *model, const char ***ret_names, weir_err *err) {
    bst_ulong wanted = 0, named = 0;
    const char **own = NULL;
    int given = 0;
    if (weir_xgb.XGBoosterGetNumFeature(booster, &wanted) || weir_xgb.XGBoosterGetStrFeatureInfo(booster, "feature_name", &named, &own))
        return weir_xgb_failed("feature names", err);
    while (columns && columns[given]) given++;
    if (columns && (bst_ulong)given != wanted)
        return WEIR_FAIL(err, WEIR_EINVAL, "%d columns are named, the model has %llu", given, (unsigned long long)wanted);
    if (!columns && named != wanted)
        return WEIR_FAIL(err, WEIR_EINVAL, "the model does not name its %llu columns: name them, in their order", (unsigned long long)wanted);
    if (wanted < 1 || wanted > WEIR_MODEL_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_EDATA, "the model has %llu columns, expected 1 to %d", (unsigned long long)wanted, WEIR_MODEL_COLUMNS_MAX);
    const char **names = weir_models_calloc(wanted, sizeof *names);
    if (!names) return no_memory(err);
    for (bst_ulong c = 0; c < wanted; c++) names[c] = columns ? columns[c] : own[c];
    model->column_count = (int)wanted;
    model->column_names = *ret_names = names;
    return WEIR_OK;
}

/* ---- the artifact ---- */

/* Hyperparameters are in the body, as far as the library wrote them there; Weir's made nothing. */
static weir_status append_artifact(const weir_algorithm *algorithm, const weir_matrix *model, const weir_buf *body, const char *feature_hash,
                                   weir_buf *artifact, weir_err *err) {
    cJSON *none = cJSON_CreateObject();
    if (!none) return no_memory(err);
    const weir_artifact_header header = {.algorithm = algorithm, .params = none, .train = model, .feature_hash = feature_hash, .threads = 1};
    weir_status status = weir_artifact_append(&header, body, artifact, err);
    cJSON_Delete(none);
    return status;
}

/* Appends the artifact, and loads it once: what is appended can be scored. */
static weir_status append_loadable(const weir_algorithm *algorithm, const weir_matrix *model, const weir_buf *body, const char *feature_hash,
                                   weir_buf *artifact, weir_err *err) {
    weir_model *loaded = NULL;
    size_t before = artifact->len;
    weir_status status = append_artifact(algorithm, model, body, feature_hash, artifact, err);
    if (!status) status = weir_model_load(artifact->data + before, artifact->len - before, &loaded, err);
    if (status) artifact->len = before;
    weir_model_free(loaded);
    return status;
}

static weir_status import_booster(BoosterHandle booster, const char *const *columns, const char *feature_hash, weir_buf *ret_artifact, weir_err *err) {
    weir_buf body = {0};
    weir_matrix model = {0};
    const char **names = NULL;
    weir_status status = take_columns(booster, columns, &model, &names, err);
    if (!status) status = weir_xgb_append_model(booster, names, model.column_count, &body, err);
    if (!status) status = read_task(&body, &model, err);
    if (!status) status = append_loadable(&weir_algorithm_xgboost, &model, &body, feature_hash, ret_artifact, err);
    weir_models_free(names);
    weir_buf_done(&body);
    return status;
}

static weir_status import_xgboost(const void *bytes, size_t len, const char *const *columns, const char *feature_hash, weir_buf *ret_artifact, weir_err *err) {
    weir_buf file = {0};
    BoosterHandle booster = NULL;
    if (!len) return WEIR_FAIL(err, WEIR_EDATA, "the file is empty");
    base_scores bases;
    weir_status status = plain_base_score(bytes, len, &file, &bases, err);
    if (!status) status = weir_xgb_check_file(&file, err);
    if (!status) status = load_booster(file.data, file.len, &booster, err);
    if (!status && bases.count) status = begin_with(&bases, &booster, err);
    if (!status) status = import_booster(booster, columns, feature_hash, ret_artifact, err);
    if (booster) weir_xgb.XGBoosterFree(booster);
    weir_buf_done(&file);
    return status;
}

/* ---- LightGBM ---- */

static bool is_lightgbm(const char *bytes, size_t len) {
    return len > 5 && !memcmp(bytes, "tree", 4) && (bytes[4] == '\n' || bytes[4] == '\r');
}

static weir_status import_lightgbm(const void *bytes, size_t len, const char *const *columns, const char *feature_hash, weir_buf *ret_artifact, weir_err *err) {
    weir_lgb *lgb = NULL;
    weir_buf body = {0};
    int given = 0;
    weir_status status = weir_lgb_parse(bytes, len, &lgb, err);
    if (status) return status;
    while (columns && columns[given]) given++;
    if (columns && given != lgb->column_count) status = WEIR_FAIL(err, WEIR_EINVAL, "%d columns are named, the model has %d", given, lgb->column_count);
    const weir_matrix model = {.column_count = lgb->column_count,
                               .column_names = columns ? columns : lgb->names,
                               .task = lgb->task,
                               .class_count = lgb->task == WEIR_TASK_MULTICLASS ? lgb->output_count : 0};
    if (!status && !weir_buf_append(&body, bytes, len)) status = no_memory(err);
    if (!status) status = append_loadable(&weir_algorithm_lightgbm, &model, &body, feature_hash, ret_artifact, err);
    weir_lgb_free(lgb);
    weir_buf_done(&body);
    return status;
}

weir_status weir_import_model(const void *bytes, size_t len, const char *const *columns, const char *feature_hash, weir_buf *ret_artifact, weir_err *err) {
    return is_lightgbm(bytes, len) ? import_lightgbm(bytes, len, columns, feature_hash, ret_artifact, err)
                                   : import_xgboost(bytes, len, columns, feature_hash, ret_artifact, err);
}
