#include "models/distributed_wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"
#include "models/model_internal.h"
#include "models/tracker.h"

#define ROWS_MAX (UINT64_C(1) << 40)

static const unsigned char magic[4] = {'W', 'E', 'I', 'R'};

uint64_t weir_wire_max(uint32_t kind) {
    switch (kind) {
    case WEIR_WIRE_HELLO: return 4 << 10;
    case WEIR_WIRE_WORK: return 16 << 20;
    case WEIR_WIRE_ROWS: return 2 * WEIR_WIRE_ROWS_BYTES;
    case WEIR_WIRE_CHECKPOINT:
    case WEIR_WIRE_MODEL: return UINT64_C(4) << 30;
    case WEIR_WIRE_ALL_SENT:
    case WEIR_WIRE_LOADED:
    case WEIR_WIRE_GO:
    case WEIR_WIRE_ALIVE:
    case WEIR_WIRE_ROUND:
    case WEIR_WIRE_DONE:
    case WEIR_WIRE_FAILED:
    case WEIR_WIRE_END: return 4 << 10;
    default: return 0;
    }
}

bool weir_wire_head_read(const void *bytes, uint32_t *ret_kind, uint64_t *ret_len) {
    const unsigned char *head = bytes;
    uint32_t kind = (uint32_t)weir_get_le(head + 4, 4);
    uint64_t len = weir_get_le(head + 8, 8);
    if (memcmp(head, magic, sizeof magic) != 0 || !weir_wire_max(kind) || len > weir_wire_max(kind)) return false;
    *ret_kind = kind;
    *ret_len = len;
    return true;
}

void weir_wire_head_write(unsigned char head[WEIR_WIRE_HEAD], weir_wire_kind kind, uint64_t len) {
    memcpy(head, magic, sizeof magic);
    weir_put_le(head + 4, kind, 4);
    weir_put_le(head + 8, len, 8);
}

bool weir_wire_put(weir_buf *out, weir_wire_kind kind, const void *body, size_t len) {
    unsigned char head[WEIR_WIRE_HEAD];
    weir_wire_head_write(head, kind, len);
    return weir_buf_append(out, head, sizeof head) && weir_buf_append(out, len ? body : "", len);
}

static void put_double(unsigned char *bytes, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    weir_put_le(bytes, bits, 8);
}

static double get_double(const unsigned char *bytes) {
    uint64_t bits = weir_get_le(bytes, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void weir_wire_progress_write(unsigned char bytes[WEIR_WIRE_PROGRESS], const weir_xgb_progress *progress) {
    weir_put_le(bytes, (uint64_t)progress->round, 8);
    weir_put_le(bytes + 8, (uint64_t)progress->best_round, 8);
    put_double(bytes + 16, progress->best);
    put_double(bytes + 24, progress->loss);
}

bool weir_wire_progress_read(const void *bytes, size_t len, weir_xgb_progress *ret_progress) {
    const unsigned char *at = bytes;
    if (len < WEIR_WIRE_PROGRESS) return false;
    uint64_t round = weir_get_le(at, 8), best_round = weir_get_le(at + 8, 8);
    if (round < 1 || round > INT32_MAX || best_round >= round || isnan(get_double(at + 16))) return false;
    *ret_progress = (weir_xgb_progress){.round = (int)round, .best_round = (int)best_round, .best = get_double(at + 16), .loss = get_double(at + 24)};
    return true;
}

/* Source: as in models/xgb_part.c. */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t weir_wire_row_digest(int set, int64_t number, const float *record, int width) {
    uint64_t digest = mix((uint64_t)number * 2 + (uint64_t)set + UINT64_C(0x9e3779b97f4a7c15));
    for (int i = 0; i < width; i++) {
        uint32_t bits;
        memcpy(&bits, &record[i], sizeof bits);
        digest = mix(digest + bits + UINT64_C(0x9e3779b97f4a7c15));
    }
    return digest;
}

/* ---- what is trained ---- */

/* As text: a JSON number made from a double would lose digits. */
static bool add_whole(cJSON *json, const char *key, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return cJSON_AddStringToObject(json, key, text) != NULL;
}

static bool add_params(cJSON *json, const weir_xgb_params *params) {
    cJSON *object = cJSON_AddObjectToObject(json, "params");
    for (int i = 0; object && i < params->count; i++)
        if (!cJSON_AddStringToObject(object, params->items[i].name, params->items[i].value)) return false;
    return object;
}

static bool add_columns(cJSON *json, const weir_xgb_work *work) {
    cJSON *array = cJSON_CreateStringArray(work->column_names, work->column_count);
    if (array && cJSON_AddItemToObject(json, "columns", array)) return true;
    cJSON_Delete(array);
    return false;
}

cJSON *weir_wire_work_write(const weir_xgb_work *w, const int64_t rows[2], bool gaps) {
    cJSON *json = cJSON_CreateObject();
    bool ok = json && add_params(json, &w->params) && cJSON_AddNumberToObject(json, "rounds", w->rounds) &&
              cJSON_AddNumberToObject(json, "early_stopping_rounds", w->early_stopping_rounds) &&
              cJSON_AddNumberToObject(json, "checkpoint_rounds", w->checkpoint_rounds) && cJSON_AddBoolToObject(json, "forest", w->forest) &&
              cJSON_AddBoolToObject(json, "weighted", w->weighted) && cJSON_AddBoolToObject(json, "samples_columns", w->samples_columns) &&
              cJSON_AddNumberToObject(json, "subsample", w->subsample) && cJSON_AddNumberToObject(json, "base", w->base) && add_whole(json, "seed", w->seed) &&
              cJSON_AddNumberToObject(json, "threads", w->threads) && cJSON_AddNumberToObject(json, "targets", w->target_count) &&
              cJSON_AddNumberToObject(json, "workers", w->workers) && add_whole(json, "rows", (uint64_t)rows[0]) &&
              add_whole(json, "held", (uint64_t)rows[1]) && cJSON_AddBoolToObject(json, "gaps", gaps) && add_columns(json, w);
    if (ok) return json;
    cJSON_Delete(json);
    return NULL;
}

/* Reads members one after the other; the first that is missing or out of its bounds is named. */
typedef struct reader {
    const cJSON *json;
    const char *bad;
} reader;

static double read_number(reader *r, const char *key, double min, double max) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->json, key);
    if (cJSON_IsNumber(item) && item->valuedouble >= min && item->valuedouble <= max) return item->valuedouble;
    if (!r->bad) r->bad = key;
    return min;
}

static int read_count(reader *r, const char *key, int min, int max) {
    return (int)read_number(r, key, min, max);
}

static uint64_t read_whole(reader *r, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(r->json, key));
    char *end = NULL;
    unsigned long long value = text ? strtoull(text, &end, 10) : 0;
    if ((!text || end == text || *end) && !r->bad) r->bad = key;
    return value;
}

static int64_t read_rows(reader *r, const char *key) {
    uint64_t rows = read_whole(r, key);
    if (rows <= ROWS_MAX) return (int64_t)rows;
    if (!r->bad) r->bad = key;
    return 0;
}

static bool read_switch(reader *r, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->json, key);
    if (!cJSON_IsBool(item) && !r->bad) r->bad = key;
    return cJSON_IsTrue(item);
}

/* Letters, digits and what addresses have: it becomes part of a JSON text. */
static const char *read_word(reader *r, const cJSON *json, const char *key) {
    static const char good[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:-";
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
    if (text && *text && strlen(text) <= WEIR_TRACKER_TOKEN_MAX && text[strspn(text, good)] == 0) return text;
    if (!r->bad) r->bad = key;
    return "";
}

static void read_params(reader *r, weir_xgb_params *params) {
    const cJSON *item, *object = cJSON_GetObjectItemCaseSensitive(r->json, "params");
    if (!cJSON_IsObject(object) && !r->bad) r->bad = "params";
    cJSON_ArrayForEach(item, object) {
        bool ok =
            cJSON_IsString(item) && params->count < WEIR_XGB_PARAMS_MAX - 4 && strlen(item->valuestring) < sizeof params->items->value; /* some are added */
        if (ok)
            weir_xgb_put(params, item->string, "%s", item->valuestring);
        else if (!r->bad)
            r->bad = "params";
    }
}

static weir_status read_names(reader *r, weir_wire_work *w, weir_err *err) {
    const cJSON *item, *array = cJSON_GetObjectItemCaseSensitive(r->json, "columns");
    int count = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0;
    if ((count < 1 || count > WEIR_MODEL_FITTED_MAX) && !r->bad) r->bad = "columns";
    if (r->bad) return WEIR_OK;
    if (!(w->names = weir_models_calloc((size_t)count, sizeof *w->names))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d columns", count);
    cJSON_ArrayForEach(item, array) {
        if (!cJSON_IsString(item)) r->bad = "columns";
        w->names[w->work.column_count++] = item->valuestring;
    }
    w->work.column_names = w->names;
    return WEIR_OK;
}

weir_status weir_wire_work_read(const cJSON *json, weir_wire_work *ret_work, weir_err *err) {
    reader r = {.json = json};
    weir_wire_work w = {0};
    const cJSON *meeting = cJSON_GetObjectItemCaseSensitive(json, "meeting");
    read_params(&r, &w.work.params);
    w.work.rounds = read_count(&r, "rounds", 1, 1000000);
    w.work.early_stopping_rounds = read_count(&r, "early_stopping_rounds", 0, 1000000);
    w.work.checkpoint_rounds = read_count(&r, "checkpoint_rounds", 1, 1000000);
    w.work.forest = read_switch(&r, "forest");
    w.work.weighted = read_switch(&r, "weighted");
    w.work.samples_columns = read_switch(&r, "samples_columns");
    w.work.subsample = read_number(&r, "subsample", 0, 1);
    w.work.base = read_number(&r, "base", -HUGE_VAL, HUGE_VAL);
    w.work.seed = read_whole(&r, "seed");
    w.work.threads = read_count(&r, "threads", 1, 1024);
    w.work.target_count = read_count(&r, "targets", 1, WEIR_MODEL_CLASSES_MAX);
    w.work.workers = read_count(&r, "workers", 1, WEIR_TRACKER_WORKERS_MAX);
    w.work.rank = read_count(&r, "rank", 0, w.work.workers - 1);
    w.rows[0] = read_rows(&r, "rows");
    w.rows[1] = read_rows(&r, "held");
    w.gaps = read_switch(&r, "gaps");
    w.meeting.address = read_word(&r, meeting, "address");
    w.meeting.token = read_word(&r, meeting, "token");
    r.json = meeting;
    w.meeting.port = read_count(&r, "port", 1, 65535);
    r.json = json;
    weir_status status = read_names(&r, &w, err);
    if (!status && r.bad) status = WEIR_FAIL(err, WEIR_EDATA, "what the leader wants to be trained has no good \"%s\"", r.bad);
    if (status)
        weir_wire_work_done(&w);
    else
        *ret_work = w;
    return status;
}

void weir_wire_work_done(weir_wire_work *work) {
    weir_models_free(work->names);
    *work = (weir_wire_work){0};
}
