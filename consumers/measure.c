/* Joins predictions with labels in PostgreSQL and evaluates each arm.
 *
 * The join is one hash join over the days on which there are predictions; nothing is sorted there. What PostgreSQL sends is every (prediction, label) pair; where a
 * prediction has several labels the last one is kept here, in a hash table by the prediction's source. */
#include "consumers/measure.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "models/compare.h"

enum { REPLICATES = 1000, FIRST_SLOTS = 1024, COLUMN_NAME_MAX = 160 };
#define SEED UINT64_C(0x77656972) /* any constant: the same rows give the same interval */
#define LEVEL 0.95
#define NORMAL_975 1.959963984540054 /* the standard normal's quantile at (1 + LEVEL) / 2 */

/* The columns of the pairs, in the order of pairs_sql. */
enum {
    PAIR_ARM,
    PAIR_MODEL,
    PAIR_VERSION,
    PAIR_DIGEST,
    PAIR_SCORE,
    PAIR_TIME,
    PAIR_ENTITY,
    PAIR_PARTITION,
    PAIR_OFFSET,
    PAIR_LABEL,
    PAIR_AVAILABLE,
    PAIR_LABEL_PARTITION,
    PAIR_LABEL_OFFSET,
    PAIR_TENANT,
    PAIR_COUNT /* the columns of the options come after */
};

/* One prediction with the label that counts so far. */
typedef struct joined {
    int64_t time_us, offset, available_us, label_offset, entity_hash;
    double score, label;
    int32_t partition, label_partition, tenant;
    int arm; /* index into measure->arms */
} joined;

/* Open addressing, linear probing, at most half full; a slot holds index + 1, 0 is empty. */
typedef struct slots {
    uint32_t *at;
    size_t count; /* a power of two */
} slots;

typedef struct collector {
    weir_measure *measure;
    const weir_measure_options *options;
    joined *rows;
    double *values; /* [row_capacity][column_count]; NULL without columns */
    size_t row_count, row_capacity;
    slots by_source;
    char *tenants[WEIR_MEASURE_TENANTS_MAX];
    int tenant_count;
    const char *column_names[WEIR_MEASURE_COLUMNS_MAX]; /* of the options those that the predictions have */
    int column_count;
} collector;

static void collector_done(collector *c) {
    for (int t = 0; t < c->tenant_count; t++) free(c->tenants[t]);
    free(c->by_source.at);
    free(c->values);
    free(c->rows);
}

/* What is known of an arm besides its measure. */
typedef struct arm_range {
    int64_t first_us, last_us, predicted_us;
    double threshold; /* what its version decides by; NaN: it has none of its own */
} arm_range;

static uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

static uint64_t source_hash(const joined *row) {
    return mix((uint64_t)row->offset ^ mix((uint64_t)row->time_us ^ mix((uint64_t)(uint32_t)row->partition)));
}

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to join predictions and labels");
}

static weir_status slots_make(slots *table, size_t count, weir_err *err) {
    uint32_t *at = weir_mem.realloc(NULL, count * sizeof *at);
    if (!at) return no_memory(err);
    memset(at, 0, count * sizeof *at);
    free(table->at);
    *table = (slots){at, count};
    return WEIR_OK;
}

/* The slot of the row with this source, or the empty one where it belongs. */
static uint32_t *slot_of(const collector *c, const joined *row) {
    for (size_t i = source_hash(row) & (c->by_source.count - 1);; i = (i + 1) & (c->by_source.count - 1)) {
        uint32_t *slot = &c->by_source.at[i];
        const joined *held = &c->rows[*slot - (*slot > 0)];
        if (!*slot || (held->time_us == row->time_us && held->partition == row->partition && held->offset == row->offset)) return slot;
    }
}

static weir_status grow(collector *c, weir_err *err) {
    if (c->row_count == c->row_capacity) {
        size_t capacity = c->row_capacity ? c->row_capacity * 2 : FIRST_SLOTS / 2;
        joined *rows = capacity < UINT32_MAX / 2 ? weir_mem.realloc(c->rows, capacity * sizeof *rows) : NULL;
        if (!rows) return no_memory(err);
        c->rows = rows;
        if (c->column_count) {
            double *values = weir_mem.realloc(c->values, capacity * (size_t)c->column_count * sizeof *values);
            if (!values) return no_memory(err);
            c->values = values;
        }
        c->row_capacity = capacity;
    }
    if (c->by_source.count >= c->row_capacity * 2) return WEIR_OK;
    weir_status status = slots_make(&c->by_source, c->row_capacity * 2, err);
    if (status) return status;
    for (size_t i = 0; i < c->row_count; i++) *slot_of(c, &c->rows[i]) = (uint32_t)i + 1;
    return WEIR_OK;
}

static bool same_text(const weir_pg_field *field, const char *text) {
    size_t len = strlen(text);
    return field->len == (int32_t)len && !memcmp(field->data, text, len);
}

static int arm_of(const weir_measure *measure, const weir_pg_field *fields) {
    for (int a = 0; a < measure->arm_count; a++) {
        const weir_arm_measure *arm = &measure->arms[a];
        if (weir_pg_get_int4(&fields[PAIR_VERSION]) == arm->version && same_text(&fields[PAIR_ARM], arm->arm) && same_text(&fields[PAIR_MODEL], arm->model) &&
            same_text(&fields[PAIR_DIGEST], arm->digest)) {
            return a;
        }
    }
    return -1; /* served so long ago that it is not among the arms */
}

/* The tenant's number; −1: there are too many. */
static weir_status tenant_of(collector *c, const weir_pg_field *field, int32_t *ret_tenant, weir_err *err) {
    for (*ret_tenant = 0; *ret_tenant < c->tenant_count; ++*ret_tenant)
        if (same_text(field, c->tenants[*ret_tenant])) return WEIR_OK;
    if (c->tenant_count == WEIR_MEASURE_TENANTS_MAX) {
        *ret_tenant = -1;
        return WEIR_OK;
    }
    char *name = weir_mem.realloc(NULL, (size_t)field->len + 1);
    if (!name) return no_memory(err);
    memcpy(name, field->data, (size_t)field->len);
    name[field->len] = 0;
    c->tenants[c->tenant_count++] = name;
    return WEIR_OK;
}

static bool is_newer(const joined *a, const joined *b) {
    if (a->available_us != b->available_us) return a->available_us > b->available_us;
    if (a->label_partition != b->label_partition) return a->label_partition > b->label_partition;
    return a->label_offset > b->label_offset;
}

static weir_status on_pair(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    collector *c = context;
    if (field_count != PAIR_COUNT + c->column_count)
        return WEIR_FAIL(err, WEIR_EINTERNAL, "%d columns came back: expected %d", field_count, PAIR_COUNT + c->column_count);
    for (int i = 0; i < PAIR_COUNT; i++) {
        if (fields[i].len < 0 && i != PAIR_LABEL) return WEIR_OK; /* half a pair cannot be judged */
    }
    joined row = {
        .arm = arm_of(c->measure, fields),
        .score = weir_pg_get_float8(&fields[PAIR_SCORE]),
        .time_us = weir_pg_get_timestamptz(&fields[PAIR_TIME]),
        .entity_hash = weir_pg_get_int8(&fields[PAIR_ENTITY]),
        .partition = weir_pg_get_int4(&fields[PAIR_PARTITION]),
        .offset = weir_pg_get_int8(&fields[PAIR_OFFSET]),
        .label = fields[PAIR_LABEL].len < 0 ? NAN : weir_pg_get_float8(&fields[PAIR_LABEL]),
        .available_us = weir_pg_get_timestamptz(&fields[PAIR_AVAILABLE]),
        .label_partition = weir_pg_get_int4(&fields[PAIR_LABEL_PARTITION]),
        .label_offset = weir_pg_get_int8(&fields[PAIR_LABEL_OFFSET]),
    };
    if (row.arm < 0 || !isfinite(row.score)) return WEIR_OK;
    bool says = c->options->task != WEIR_TASK_BINARY ? isfinite(row.label) : row.label == 0 || row.label == 1; /* an answer to the question */
    if (!says) row.label = NAN;
    weir_status status = tenant_of(c, &fields[PAIR_TENANT], &row.tenant, err);
    if (!status) status = grow(c, err);
    if (status) return status;
    uint32_t *slot = slot_of(c, &row);
    if (!*slot) {
        for (int i = 0; i < c->column_count; i++) {
            const weir_pg_field *value = &fields[PAIR_COUNT + i];
            c->values[c->row_count * (size_t)c->column_count + (size_t)i] = value->len < 0 ? NAN : weir_pg_get_float8(value);
        }
        c->rows[c->row_count++] = row;
        *slot = (uint32_t)c->row_count;
    } else if (is_newer(&row, &c->rows[*slot - 1])) {
        c->rows[*slot - 1] = row;
    }
    return WEIR_OK;
}

/* ---- SQL ---- */

/* Column names of the offline store: '.' becomes '_'. Quotes are doubled. */
static bool put_name(weir_buf *sql, const char *name) {
    bool ok = weir_buf_append(sql, "\"", 1);
    for (const char *c = name; ok && *c; c++) ok = *c == '"' ? weir_buf_append(sql, "\"\"", 2) : weir_buf_append(sql, *c == '.' ? "_" : c, 1);
    return ok && weir_buf_append(sql, "\"", 1);
}

static bool put_table(weir_buf *sql, const weir_pipeline *pipeline, const char *table) {
    return put_name(sql, pipeline->name) && weir_buf_append(sql, ".", 1) && put_name(sql, table);
}

/* As the offline store names the column of the predictions. */
static void stored_name(const char *column, char *out, size_t size) {
    snprintf(out, size, "features_%s", column);
    for (; *out; out++) *out = *out == '.' ? '_' : *out;
}

static bool put_columns(weir_buf *sql, const collector *c) {
    bool ok = true;
    for (int i = 0; ok && i < c->column_count; i++) {
        char name[COLUMN_NAME_MAX];
        stored_name(c->column_names[i], name, sizeof name);
        ok = weir_buf_printf(sql, ", p.") && put_name(sql, name);
    }
    return ok;
}

static weir_status table_exists(weir_pg *pg, const char *schema, const char *table, bool *ret_exists, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {schema, table};
    weir_status status = weir_pg_exec(pg, "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2", 2, params, &result, err);
    if (status) return status;
    *ret_exists = PQntuples(result) > 0;
    PQclear(result);
    return WEIR_OK;
}

static void copy_text(char *to, size_t size, const char *from) {
    snprintf(to, size, "%s", from);
}

/* The versions that predicted, the ones served last first. */
static weir_status read_arms(weir_pg *pg, const weir_pipeline *pipeline, weir_measure *measure, arm_range ranges[WEIR_ARMS_MAX], weir_err *err) {
    weir_buf sql = {0};
    PGresult *result = NULL;
    bool ok =
        weir_buf_printf(&sql, "SELECT arm, model, version, digest, count(*), (extract(epoch FROM min(event_time)) * 1000000)::int8, "
                              "(extract(epoch FROM max(event_time)) * 1000000)::int8, (extract(epoch FROM max(predicted_at)) * 1000000)::int8 FROM ") &&
        put_table(&sql, pipeline, "predictions") &&
        weir_buf_printf(
            &sql, " WHERE arm NOT IN ('none', 'request', 'fallback', 'tenant') GROUP BY 1, 2, 3, 4 ORDER BY max(predicted_at) DESC NULLS LAST, 1, 3 LIMIT %d",
            WEIR_ARMS_MAX);
    weir_status status = ok ? weir_pg_exec(pg, sql.data, 0, NULL, &result, err) : no_memory(err);
    weir_buf_done(&sql);
    if (status) return status;
    measure->arm_count = PQntuples(result);
    for (int a = 0; a < measure->arm_count; a++) {
        weir_arm_measure *arm = &measure->arms[a];
        copy_text(arm->arm, sizeof arm->arm, PQgetvalue(result, a, 0));
        copy_text(arm->model, sizeof arm->model, PQgetvalue(result, a, 1));
        arm->version = atoi(PQgetvalue(result, a, 2));
        copy_text(arm->digest, sizeof arm->digest, PQgetvalue(result, a, 3));
        arm->predictions = atoll(PQgetvalue(result, a, 4));
        ranges[a] = (arm_range){atoll(PQgetvalue(result, a, 5)), atoll(PQgetvalue(result, a, 6)), atoll(PQgetvalue(result, a, 7)), NAN};
    }
    PQclear(result);
    return WEIR_OK;
}

/* The thresholds that versions were registered with: they decided by these when they predicted. */
static weir_status read_thresholds(weir_pg *pg, const weir_pipeline *pipeline, const weir_measure *measure, arm_range ranges[WEIR_ARMS_MAX], weir_err *err) {
    bool has_registry = false;
    PGresult *result = NULL;
    const char *params[] = {pipeline->name};
    weir_status status = table_exists(pg, "weir", "model_versions", &has_registry, err);
    if (status || !has_registry) return status;
    status = weir_pg_exec(pg,
                          "SELECT model, version, digest, signature ->> 'threshold' FROM weir.model_versions WHERE pipeline = $1 AND "
                          "jsonb_typeof(signature -> 'threshold') = 'number'",
                          1, params, &result, err);
    if (status) return status;
    for (int row = 0; row < PQntuples(result); row++)
        for (int a = 0; a < measure->arm_count; a++) {
            const weir_arm_measure *arm = &measure->arms[a];
            if (arm->version == atoi(PQgetvalue(result, row, 1)) && !strcmp(arm->model, PQgetvalue(result, row, 0)) &&
                !strcmp(arm->digest, PQgetvalue(result, row, 2)))
                ranges[a].threshold = strtod(PQgetvalue(result, row, 3), NULL);
        }
    PQclear(result);
    return WEIR_OK;
}

/* Which of the wanted columns the predictions have: a feature that a pipeline has just got is in none of them yet. */
static weir_status read_columns(weir_pg *pg, const weir_pipeline *pipeline, collector *c, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {pipeline->name};
    if (!c->options->columns || !c->options->columns[0]) return WEIR_OK;
    weir_status status = weir_pg_exec(pg,
                                      "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'predictions' AND "
                                      "data_type = 'double precision'",
                                      1, params, &result, err);
    if (status) return status;
    for (const char *const *name = c->options->columns; *name && c->column_count < WEIR_MEASURE_COLUMNS_MAX; name++)
        for (int row = 0; row < PQntuples(result); row++) {
            char stored[COLUMN_NAME_MAX];
            stored_name(*name, stored, sizeof stored);
            if (strcmp(PQgetvalue(result, row, 0), stored) != 0) continue;
            c->column_names[c->column_count++] = *name;
            break;
        }
    PQclear(result);
    return WEIR_OK;
}

/* Labels lie between the first prediction and max_delay after the last one; saying so lets PostgreSQL leave out the other days. */
static weir_status pairs_sql(const weir_pipeline *pipeline, const collector *c, int64_t first_us, int64_t last_us, weir_buf *sql, weir_err *err) {
    const weir_schema_field *label = weir_schema_field_at(pipeline->labels.schema, pipeline->label_column);
    const char *join = weir_schema_field_at(pipeline->labels.schema, pipeline->label_join[1])->name;
    char first[WEIR_TIME_TEXT_MAX], last[WEIR_TIME_TEXT_MAX];
    if (label->type != WEIR_T_BOOL && label->type != WEIR_T_I64 && label->type != WEIR_T_F64) {
        return WEIR_FAIL(err, WEIR_EINVAL, "label column \"%s\" is neither a boolean nor a number", label->name);
    }
    bool ok =
        weir_buf_printf(
            sql, "COPY (SELECT p.arm, p.model, p.version::int4, p.digest, p.score::float8, p.event_time, hashtextextended(p.tenant || '/' || p.entity, 0), "
                 "p.source_partition::int4, p.source_offset::int8, (l.") &&
        put_name(sql, label->name) &&
        weir_buf_printf(sql, ")%s::float8, l.available_time, l.source_partition::int4, l.source_offset::int8, p.tenant",
                        label->type == WEIR_T_BOOL ? "::int" : "") &&
        put_columns(sql, c) && weir_buf_printf(sql, " FROM ") && put_table(sql, pipeline, "predictions") && weir_buf_printf(sql, " p JOIN ") &&
        put_table(sql, pipeline, "labels") && weir_buf_printf(sql, " l ON l.tenant = p.tenant AND (l.") && put_name(sql, join) &&
        weir_buf_printf(sql, ")::text = p.join_id WHERE p.source_partition >= 0 AND l.event_time BETWEEN '%s' AND '%s') TO STDOUT (FORMAT binary)",
                        weir_time_format(first_us, first), weir_time_format(last_us + pipeline->max_delay_us, last));
    return ok ? WEIR_OK : no_memory(err);
}

/* ---- evaluation ---- */

/* One arm's rows as columns. */
typedef struct arm_columns {
    double *score, *label;
    int64_t *time_us, *known_us;
    uint32_t *entity;
    uint32_t entity_count;
    int32_t *tenant;
    double *values[WEIR_MEASURE_COLUMNS_MAX];
    int64_t count;
} arm_columns;

static void columns_done(arm_columns *columns) {
    free(columns->score);
    free(columns->label);
    free(columns->time_us);
    free(columns->known_us);
    free(columns->entity);
    free(columns->tenant);
    for (int i = 0; i < WEIR_MEASURE_COLUMNS_MAX; i++) free(columns->values[i]);
    *columns = (arm_columns){0};
}

static int by_entity(const void *a, const void *b) {
    int64_t x = (*(const joined *const *)a)->entity_hash, y = (*(const joined *const *)b)->entity_hash;
    return (x > y) - (x < y);
}

/* The arm's labelled rows; entities are numbered in the order of their hashes, so the same rows in any order give the same numbers. */
static weir_status columns_make(const collector *c, int arm, arm_columns *columns, weir_err *err) {
    size_t room = c->row_count ? c->row_count : 1;
    const joined **chosen = weir_mem.realloc(NULL, room * sizeof *chosen);
    columns->score = weir_mem.realloc(NULL, room * sizeof(double));
    columns->label = weir_mem.realloc(NULL, room * sizeof(double));
    columns->time_us = weir_mem.realloc(NULL, room * sizeof(int64_t));
    columns->known_us = weir_mem.realloc(NULL, room * sizeof(int64_t));
    columns->entity = weir_mem.realloc(NULL, room * sizeof(uint32_t));
    columns->tenant = weir_mem.realloc(NULL, room * sizeof(int32_t));
    bool ok = chosen && columns->score && columns->label && columns->time_us && columns->known_us && columns->entity && columns->tenant;
    for (int i = 0; ok && i < c->column_count; i++) ok = (columns->values[i] = weir_mem.realloc(NULL, room * sizeof(double))) != NULL;
    weir_status status = ok ? WEIR_OK : no_memory(err);
    for (size_t i = 0; !status && i < c->row_count; i++) {
        if (c->rows[i].arm == arm && !isnan(c->rows[i].label)) chosen[columns->count++] = &c->rows[i];
    }
    if (!status) qsort(chosen, (size_t)columns->count, sizeof *chosen, by_entity);
    for (int64_t i = 0; i < columns->count; i++) {
        if (!i || chosen[i]->entity_hash != chosen[i - 1]->entity_hash) columns->entity_count++;
        columns->score[i] = chosen[i]->score;
        columns->label[i] = chosen[i]->label;
        columns->time_us[i] = chosen[i]->time_us;
        columns->known_us[i] = chosen[i]->available_us;
        columns->entity[i] = columns->entity_count - 1;
        columns->tenant[i] = chosen[i]->tenant;
        for (int k = 0; k < c->column_count; k++) columns->values[k][i] = c->values[(size_t)(chosen[i] - c->rows) * (size_t)c->column_count + (size_t)k];
    }
    free(chosen);
    return status;
}

weir_status weir_measure_rows(const weir_arm_rows *rows, weir_task task, int card_k, weir_arm_measure *arm, weir_err *err) {
    arm->labelled = rows->count;
    arm->metrics = (weir_metrics_binary){.auc_roc = NAN,
                                         .average_precision = NAN,
                                         .f1 = NAN,
                                         .precision = NAN,
                                         .recall = NAN,
                                         .accuracy = NAN,
                                         .log_loss = NAN,
                                         .brier = NAN,
                                         .threshold = rows->threshold,
                                         .card_precision = NAN,
                                         .card_k = card_k};
    arm->errors = (weir_metrics_regression){
        .rmse = NAN, .mae = NAN, .mape = NAN, .smape = NAN, .r2 = NAN, .explained_variance = NAN, .median_absolute_error = NAN, .max_error = NAN};
    if (!rows->count || task == WEIR_TASK_MULTICLASS) return WEIR_OK;
    if (task == WEIR_TASK_REGRESSION) {
        const weir_outcomes outcomes = {.row_count = rows->count, .label = rows->label, .score = rows->score};
        return weir_measure_regression(&outcomes, &arm->errors, err);
    }
    weir_eval_input input = {rows->count, rows->score, rows->label, rows->time_us, rows->entity, rows->entity_count, rows->threshold, card_k};
    return weir_evaluate_binary(&input, &arm->metrics, err);
}

/* The version of an alias that predicted last; -1 when there is none. */
static int newest_arm(const weir_measure *measure, const arm_range *ranges, const char *alias) {
    int newest = -1;
    for (int a = 0; a < measure->arm_count; a++) {
        if (!strcmp(measure->arms[a].arm, alias) && (newest < 0 || ranges[a].predicted_us > ranges[newest].predicted_us)) newest = a;
    }
    return newest;
}

static bool has_both_classes(const weir_arm_measure *arm) {
    return arm->metrics.positives > 0 && arm->metrics.positives < arm->labelled;
}

/* Mean and its squared standard error of an arm's squared errors. */
static void squared_errors(const arm_columns *columns, double *ret_mean, double *ret_variance) {
    double mean = 0, squares = 0; /* Welford */
    for (int64_t i = 0; i < columns->count; i++) {
        double error = columns->score[i] - columns->label[i], square = error * error, before = square - mean;
        mean += before / (double)(i + 1);
        squares += before * (square - mean);
    }
    *ret_mean = mean;
    *ret_variance = squares / (double)(columns->count - 1) / (double)columns->count;
}

/* An event is scored by one arm only, so the samples are independent, not paired. The normal quantile: labels come by the hundred before anybody decides.
 * Source: B. L. Welch, Biometrika 34 (1947). */
static void compare_errors(const arm_columns *base, const arm_columns *other, weir_measure *measure) {
    double base_mean, base_variance, other_mean, other_variance;
    if (base->count < 2 || other->count < 2) return;
    squared_errors(base, &base_mean, &base_variance);
    squared_errors(other, &other_mean, &other_variance);
    double half = NORMAL_975 * sqrt(base_variance + other_variance);
    measure->has_error_difference = true;
    measure->mse_difference = other_mean - base_mean;
    measure->mse_low = measure->mse_difference - half;
    measure->mse_high = measure->mse_difference + half;
}

static weir_status compare_arms(const arm_columns *columns, const arm_range *ranges, weir_task task, weir_measure *measure, weir_err *err) {
    int champion = newest_arm(measure, ranges, "champion"), challenger = newest_arm(measure, ranges, "challenger");
    if (champion < 0 || challenger < 0) return WEIR_OK;
    if (task == WEIR_TASK_REGRESSION) {
        compare_errors(&columns[champion], &columns[challenger], measure);
        return WEIR_OK;
    }
    if (!has_both_classes(&measure->arms[champion]) || !has_both_classes(&measure->arms[challenger])) return WEIR_OK;
    weir_comparison comparison;
    weir_sample base = {columns[champion].count, columns[champion].score, columns[champion].label};
    weir_sample other = {columns[challenger].count, columns[challenger].score, columns[challenger].label};
    weir_status status = weir_compare_independent(&base, &other, REPLICATES, SEED, LEVEL, &comparison, err);
    if (status) return status;
    measure->has_difference = true;
    measure->auc_difference = comparison.auc.value;
    measure->auc_low = comparison.auc.low;
    measure->auc_high = comparison.auc.high;
    measure->ap_difference = comparison.ap.value;
    measure->ap_low = comparison.ap.low;
    measure->ap_high = comparison.ap.high;
    return WEIR_OK;
}

static int by_arm_and_version(const void *a, const void *b) {
    const weir_arm_measure *x = a, *y = b;
    int order = strcmp(x->arm, y->arm);
    if (!order) order = strcmp(x->model, y->model);
    return order ? order : (x->version > y->version) - (x->version < y->version);
}

static weir_arm_rows rows_of(const collector *c, const arm_columns *columns, double threshold) {
    return (weir_arm_rows){.count = columns->count,
                           .score = columns->score,
                           .label = columns->label,
                           .time_us = columns->time_us,
                           .known_us = columns->known_us,
                           .entity = columns->entity,
                           .entity_count = columns->entity_count,
                           .tenant = columns->tenant,
                           .tenants = (const char *const *)c->tenants,
                           .tenant_count = c->tenant_count,
                           .column_names = c->column_names,
                           .columns = (const double *const *)columns->values,
                           .column_count = c->column_count,
                           .threshold = threshold};
}

static weir_status evaluate_all(const collector *c, const arm_range *ranges, weir_measure *measure, weir_err *err) {
    arm_columns columns[WEIR_ARMS_MAX] = {0};
    const weir_measure_options *o = c->options;
    weir_status status = WEIR_OK;
    for (int a = 0; !status && a < measure->arm_count; a++) {
        if ((status = columns_make(c, a, &columns[a], err))) break;
        const weir_arm_rows rows = rows_of(c, &columns[a], isnan(ranges[a].threshold) ? o->threshold : ranges[a].threshold);
        status = weir_measure_rows(&rows, o->task, o->card_k, &measure->arms[a], err);
        if (!status && o->on_arm && rows.count) status = o->on_arm(o->context, &measure->arms[a], &rows, err);
    }
    if (!status) status = compare_arms(columns, ranges, o->task, measure, err);
    for (int a = 0; a < measure->arm_count; a++) columns_done(&columns[a]);
    if (!status) qsort(measure->arms, (size_t)measure->arm_count, sizeof *measure->arms, by_arm_and_version);
    return status;
}

/* Inside one snapshot, so that no label is counted whose prediction is not. */
static weir_status collect(weir_pg *pg, const weir_pipeline *pipeline, collector *c, arm_range ranges[WEIR_ARMS_MAX], weir_err *err) {
    bool has_predictions = false, has_labels = false;
    weir_buf sql = {0};
    /* A table that has just been loaded has no statistics yet, and a nested loop over it would take hours. */
    weir_status status = weir_pg_script(pg,
                                        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL work_mem = '64MB'; SET LOCAL enable_nestloop = "
                                        "off; SET LOCAL enable_mergejoin = off",
                                        err);
    if (!status) status = table_exists(pg, pipeline->name, "predictions", &has_predictions, err);
    if (!status && pipeline->labels.topic) status = table_exists(pg, pipeline->name, "labels", &has_labels, err);
    if (!status && has_predictions) status = read_arms(pg, pipeline, c->measure, ranges, err);
    if (!status && c->measure->arm_count) status = read_thresholds(pg, pipeline, c->measure, ranges, err);
    if (status || !has_labels || !c->measure->arm_count) return status;
    int64_t first_us = INT64_MAX, last_us = INT64_MIN;
    for (int a = 0; a < c->measure->arm_count; a++) {
        if (ranges[a].first_us < first_us) first_us = ranges[a].first_us;
        if (ranges[a].last_us > last_us) last_us = ranges[a].last_us;
    }
    status = read_columns(pg, pipeline, c, err);
    if (!status) status = pairs_sql(pipeline, c, first_us, last_us, &sql, err);
    if (!status) status = weir_pg_copy_out(pg, sql.data, on_pair, c, err);
    weir_buf_done(&sql);
    return status;
}

weir_status weir_measure_arms(weir_pg *pg, const weir_pipeline *pipeline, const weir_measure_options *options, weir_measure *ret_measure, weir_err *err) {
    weir_measure measure = {0};
    arm_range ranges[WEIR_ARMS_MAX] = {0};
    collector c = {.measure = &measure, .options = options};
    weir_status status = weir_pg_begin(pg, err);
    if (status) return status;
    status = collect(pg, pipeline, &c, ranges, err);
    if (status) {
        weir_pg_rollback(pg);
    } else {
        status = weir_pg_commit(pg, err);
    }
    if (!status) status = evaluate_all(&c, ranges, &measure, err);
    if (!status) *ret_measure = measure;
    collector_done(&c);
    return status;
}
