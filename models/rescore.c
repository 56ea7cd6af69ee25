/* Rows come by COPY in whatever order, go to the batch of the version that scores them, and a full batch is scored at once. Which versions there are is asked first, in the same snapshot. */
#include "models/rescore.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "features/offline.h"
#include "models/evaluate.h"
#include "models/json.h"
#include "models/memory.h"
#include "models/metrics.h"
#include "models/past_model.h"

enum { BATCH_ROWS = 512, ID_MAX = 160, INPUTS_MAX = 1600, PROGRESS_EVERY = 65536 };
#define LEVEL 0.95

/* What is kept of a row until its batch is scored. */
typedef struct pending {
    char id[ID_MAX];
    double recorded, label, propensity;
    int decision; /* −1: none */
    bool own; /* made by the version that scores again */
} pending;

/* A version that scores. */
typedef struct scorer {
    char model_name[128], digest[65];
    int version;
    weir_model *model; /* NULL: not there any more */
    int *inputs; /* [column_count] place among the recorded inputs */
    int column_count;
    double threshold; /* NaN: it decides nothing */
    double *rows, *scores; /* [BATCH_ROWS][column_count], [BATCH_ROWS] */
    pending *pending; /* [BATCH_ROWS] */
    int count;
} scorer;

typedef struct rescore {
    const weir_pipeline *pipeline;
    const weir_rescore_query *query;
    weir_rescore_result *result;
    weir_pg *pg;
    char *inputs[INPUTS_MAX]; /* columns of the table */
    int input_count;
    scorer *scorers; /* who made predictions; not loaded when another version scores */
    int scorer_count, last;
    scorer other;
    double sum_recorded, sum_again, sum_absolute;
    double *recorded, *again, *label; /* [measured] */
    int8_t *decided; /* [measured] bit 0 recorded, bit 1 again; −1 without decisions */
    int64_t capacity, seen;
    weir_offpolicy outcome;
} rescore;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to score predictions again");
}

static bool put_literal(weir_buf *sql, const char *text) {
    bool ok = weir_buf_printf(sql, "'");
    for (const char *p = text; ok && *p; p++) ok = weir_buf_append(sql, "'", *p == '\'') && weir_buf_append(sql, p, 1);
    return ok && weir_buf_printf(sql, "'");
}

static bool put_column(weir_buf *sql, const char *name) {
    bool ok = weir_buf_printf(sql, "\"");
    for (const char *p = name; ok && *p; p++) ok = weir_buf_append(sql, *p == '.' ? "_" : p, 1);
    return ok && weir_buf_printf(sql, "\"");
}

static bool put_where(weir_buf *sql, const rescore *r) {
    const weir_rescore_query *q = r->query;
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
    bool ok = weir_buf_printf(sql, " WHERE p.arm <> 'none' AND p.event_time >= '%s' AND p.event_time < '%s'", weir_time_format(q->from_us, from),
                              weir_time_format(q->to_us, to));
    if (q->by_offset)
        ok = ok && weir_buf_printf(sql, " AND p.source_partition = %" PRId32 " AND p.source_offset BETWEEN %" PRId64 " AND %" PRId64, q->partition,
                                   q->first_offset, q->last_offset);
    return ok && (!q->tenant || (weir_buf_printf(sql, " AND p.tenant = ") && put_literal(sql, q->tenant)));
}

/* ---- what there is ---- */

static weir_status list_inputs(rescore *r, weir_err *err) {
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(r->pg,
                     "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
                     "WHERE n.nspname = $1 AND c.relname = 'predictions' AND a.attnum > 0 AND NOT a.attisdropped AND a.attname LIKE 'features\\_%' "
                     "AND a.atttypid = 'float8'::regtype ORDER BY a.attnum",
                     1, (const char *const[]){r->pipeline->name}, &result, err);
    if (status) return status;
    for (int i = 0; i < PQntuples(result) && i < INPUTS_MAX; i++) {
        if (!(r->inputs[i] = strdup(PQgetvalue(result, i, 0)))) status = no_memory(err);
        r->input_count++;
    }
    PQclear(result);
    return status;
}

static int place_of(const rescore *r, const char *input) {
    char name[200];
    snprintf(name, sizeof name, "features_%s", input);
    for (char *p = name; *p; p++) *p = *p == '.' ? '_' : *p;
    for (int i = 0; i < r->input_count; i++)
        if (!strcmp(r->inputs[i], name)) return i;
    return -1;
}

static double threshold_of(const rescore *r, const cJSON *version) {
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(version, "signature"), "threshold");
    const cJSON *shared = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(r->pipeline->json, "serving"), "threshold");
    return cJSON_IsNumber(own) ? own->valuedouble : cJSON_IsNumber(shared) ? shared->valuedouble : 0.5;
}

/* Loads what a version is; *why_not.code is what kept it from being there. */
static weir_status load_scorer(rescore *r, scorer *s, weir_err *why_not, weir_err *err) {
    cJSON *version = NULL;
    *why_not = (weir_err){0};
    weir_status status = weir_past_version(r->pg, r->pipeline->name, s->model_name, s->version, *s->digest ? s->digest : NULL, &version, err);
    if (status) return status;
    weir_status missing = weir_past_model(r->query->objects_dir, version, &s->model, why_not);
    if (!missing) missing = weir_model_check_single_output(s->model, why_not);
    if (!missing) {
        s->column_count = weir_model_column_count(s->model);
        snprintf(s->digest, sizeof s->digest, "%s", weir_model_digest(s->model));
        s->threshold = weir_model_task(s->model) == WEIR_TASK_BINARY ? threshold_of(r, version) : NAN;
        s->inputs = weir_models_calloc((size_t)s->column_count, sizeof *s->inputs);
        s->rows = weir_models_calloc((size_t)s->column_count * BATCH_ROWS, sizeof *s->rows);
        s->scores = weir_models_calloc(BATCH_ROWS, sizeof *s->scores);
        s->pending = weir_models_calloc(BATCH_ROWS, sizeof *s->pending);
        if (!s->inputs || !s->rows || !s->scores || !s->pending) status = no_memory(err);
        for (int c = 0; !status && !missing && c < s->column_count; c++)
            if ((s->inputs[c] = place_of(r, weir_model_columns(s->model)[c])) < 0)
                missing = WEIR_FAIL(why_not, WEIR_EINVAL, "it takes the input %s, which the predictions do not record", weir_model_columns(s->model)[c]);
    }
    if (missing) {
        weir_model_free(s->model);
        s->model = NULL;
    }
    cJSON_Delete(version);
    return status;
}

static bool tell_version(rescore *r, const scorer *s, int64_t predictions, const weir_err *why_not) {
    cJSON *v = cJSON_CreateObject();
    bool ok = v && cJSON_AddStringToObject(v, "model", s->model_name) && cJSON_AddNumberToObject(v, "version", s->version) &&
              cJSON_AddStringToObject(v, "digest", s->digest) && cJSON_AddNumberToObject(v, "predictions", (double)predictions) &&
              (why_not->code ? cJSON_AddStringToObject(v, "missing", why_not->message) : cJSON_AddNullToObject(v, "missing"));
    if (!ok) cJSON_Delete(v);
    return ok && cJSON_AddItemToArray(r->result->versions, v);
}

static weir_status list_scorers(rescore *r, weir_err *err) {
    weir_buf sql = {0};
    PGresult *result = NULL;
    bool ok = weir_buf_printf(&sql, "SELECT p.model, p.version, p.digest, count(*) FROM \"%s\".predictions p", r->pipeline->name) && put_where(&sql, r) &&
              weir_buf_printf(&sql, " GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2");
    weir_status status = ok ? weir_pg_exec(r->pg, sql.data, 0, NULL, &result, err) : no_memory(err);
    weir_buf_done(&sql);
    if (status) return status;
    int count = PQntuples(result);
    if (count > WEIR_RESCORE_VERSIONS_MAX)
        status =
            WEIR_FAIL(err, WEIR_ELIMIT, "%d versions made predictions in this range; choose a shorter one of at most %d", count, WEIR_RESCORE_VERSIONS_MAX);
    else if (!(r->scorers = weir_models_calloc((size_t)count, sizeof *r->scorers)))
        status = no_memory(err);
    for (int i = 0; !status && i < count; i++) {
        scorer *s = &r->scorers[r->scorer_count++];
        weir_err why_not = {0};
        int64_t predictions = strtoll(PQgetvalue(result, i, 3), NULL, 10);
        snprintf(s->model_name, sizeof s->model_name, "%s", PQgetvalue(result, i, 0));
        snprintf(s->digest, sizeof s->digest, "%s", PQgetvalue(result, i, 2));
        s->version = atoi(PQgetvalue(result, i, 1));
        r->result->predictions += predictions;
        if (!r->query->model) status = load_scorer(r, s, &why_not, err);
        if (!status && !tell_version(r, s, predictions, &why_not)) status = no_memory(err);
    }
    PQclear(result);
    return status;
}

static weir_status load_other(rescore *r, weir_err *err) {
    weir_err why_not;
    snprintf(r->other.model_name, sizeof r->other.model_name, "%s", r->query->model);
    r->other.version = r->query->version;
    weir_status status = load_scorer(r, &r->other, &why_not, err);
    if (!status && why_not.code) status = WEIR_FAIL(err, why_not.code, "version %d of model %s: %s", r->query->version, r->query->model, why_not.message);
    return status;
}

/* ---- comparing ---- */

static bool grow(rescore *r) {
    if (r->result->measured < r->capacity) return true;
    int64_t capacity = r->capacity ? 2 * r->capacity : 4096;
    double **arrays[] = {&r->recorded, &r->again, &r->label};
    for (int a = 0; a < 3; a++) {
        double *more = weir_mem.realloc(*arrays[a], (size_t)capacity * sizeof *more);
        if (!more) return false;
        *arrays[a] = more;
    }
    int8_t *decided = weir_mem.realloc(r->decided, (size_t)capacity);
    if (!decided) return false;
    r->decided = decided;
    r->capacity = capacity;
    return true;
}

static weir_status keep_labelled(rescore *r, const pending *p, double again, int decision, weir_err *err) {
    weir_rescore_result *out = r->result;
    if (isnan(p->label)) return WEIR_OK;
    out->labelled++;
    if (out->measured == WEIR_RESCORE_LABELLED_MAX) return WEIR_OK;
    if (!grow(r)) return no_memory(err);
    r->recorded[out->measured] = p->recorded;
    r->again[out->measured] = again;
    r->label[out->measured] = p->label;
    r->decided[out->measured++] = (int8_t)(p->decision < 0 || decision < 0 ? -1 : p->decision | decision << 1);
    return WEIR_OK;
}

/* The policy asked about gives everybody this version; the one that was in force gave it to some, by chance. */
static weir_status add_outcome(rescore *r, const pending *p, weir_err *err) {
    const weir_logged logged = {.propensity = p->propensity, .target = p->own, .reward = p->label};
    if (isnan(p->label) || !(p->propensity > 0)) return WEIR_OK;
    r->result->has_outcome |= p->own;
    weir_status status = weir_offpolicy_add(&r->outcome, &logged, err);
    return status ? weir_err_prefix(err, "prediction %s", p->id) : WEIR_OK;
}

static weir_status compare(rescore *r, const scorer *s, const pending *p, double again, weir_err *err) {
    weir_rescore_result *out = r->result;
    out->scored++;
    if (!memcmp(&again, &p->recorded, sizeof again))
        out->equal++;
    else if (!r->query->model && r->query->on_mismatch)
        r->query->on_mismatch(r->query->context, p->id, p->recorded, again);
    if (!r->query->model) return WEIR_OK;
    double difference = fabs(again - p->recorded);
    int decision = isnan(s->threshold) || !isfinite(again) ? -1 : again >= s->threshold;
    r->sum_recorded += p->recorded;
    r->sum_again += again;
    r->sum_absolute += difference;
    if (difference > out->max_absolute_difference) out->max_absolute_difference = difference;
    if (p->decision >= 0 && decision >= 0) {
        out->decisions++;
        out->decisions_changed += p->decision != decision;
        out->yes_recorded += p->decision;
        out->yes_again += decision;
    }
    weir_status status = add_outcome(r, p, err);
    return status ? status : keep_labelled(r, p, again, decision, err);
}

static weir_status score_batch(rescore *r, scorer *s, weir_err *err) {
    weir_status status = s->count ? weir_model_predict(s->model, s->rows, s->count, s->scores, err) : WEIR_OK;
    if (status) return weir_err_prefix(err, "version %d of model %s", s->version, s->model_name);
    for (int i = 0; !status && i < s->count; i++) status = compare(r, s, &s->pending[i], s->scores[i], err);
    s->count = 0;
    return status;
}

/* ---- rows ---- */

enum { ROW_ID, ROW_MODEL, ROW_VERSION, ROW_DIGEST, ROW_SCORE, ROW_DECISION, ROW_PROPENSITY, ROW_LABEL, ROW_INPUTS };

static bool is_text(const weir_pg_field *field, const char *text) {
    return field->len == (int32_t)strlen(text) && !memcmp(field->data, text, (size_t)field->len);
}

static bool is_of(const scorer *s, const weir_pg_field *f) {
    return weir_pg_get_int4(&f[ROW_VERSION]) == s->version && is_text(&f[ROW_DIGEST], s->digest) && is_text(&f[ROW_MODEL], s->model_name);
}

static scorer *scorer_of(rescore *r, const weir_pg_field *f) {
    if (r->query->model) return &r->other;
    for (int i = 0; i < r->scorer_count; i++) {
        int at = (r->last + i) % r->scorer_count; /* mostly the one of the row before */
        scorer *s = &r->scorers[at];
        if (!is_of(s, f)) continue;
        r->last = at;
        return s;
    }
    return NULL;
}

static weir_status on_row(void *context, const weir_pg_field *f, int field_count, weir_err *err) {
    rescore *r = context;
    (void)field_count;
    if (++r->seen % PROGRESS_EVERY == 0 && r->query->progress) r->query->progress(r->query->context, r->seen, r->result->predictions);
    scorer *s = f[ROW_SCORE].len < 0 || f[ROW_MODEL].len < 0 || f[ROW_VERSION].len < 0 || f[ROW_DIGEST].len < 0 ? NULL : scorer_of(r, f);
    if (!s || !s->model) return WEIR_OK;
    pending *p = &s->pending[s->count];
    snprintf(p->id, sizeof p->id, "%.*s", (int)f[ROW_ID].len, f[ROW_ID].data);
    p->recorded = weir_pg_get_float8(&f[ROW_SCORE]);
    p->decision = f[ROW_DECISION].len < 0 ? -1 : f[ROW_DECISION].data[0] != 0;
    p->own = is_of(s, f);
    p->propensity = f[ROW_PROPENSITY].len < 0 ? NAN : weir_pg_get_float8(&f[ROW_PROPENSITY]);
    p->label = f[ROW_LABEL].len < 0 ? NAN : weir_pg_get_float8(&f[ROW_LABEL]);
    double *row = s->rows + (size_t)s->count * (size_t)s->column_count;
    for (int c = 0; c < s->column_count; c++) {
        const weir_pg_field *input = &f[ROW_INPUTS + s->inputs[c]];
        row[c] = input->len < 0 ? NAN : weir_pg_get_float8(input);
    }
    return ++s->count == BATCH_ROWS ? score_batch(r, s, err) : WEIR_OK;
}

/* Of each event the label that was told last. Only with another version: whether bits are equal needs no labels. */
static bool put_labels(weir_buf *sql, const rescore *r) {
    const weir_pipeline *p = r->pipeline;
    const weir_schema_field *label = weir_schema_field_at(p->labels.schema, p->label_column);
    const char *join = weir_schema_field_at(p->labels.schema, p->label_join[1])->name;
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
    int64_t last_us = r->query->to_us > WEIR_TIME_MAX_US - p->max_delay_us ? WEIR_TIME_MAX_US : r->query->to_us + p->max_delay_us;
    return weir_buf_printf(sql, " LEFT JOIN (SELECT DISTINCT ON (tenant, ") && put_column(sql, join) && weir_buf_printf(sql, ") tenant, (") &&
           put_column(sql, join) && weir_buf_printf(sql, ")::text AS joined, (") && put_column(sql, label->name) &&
           weir_buf_printf(sql, ")%s::float8 AS label FROM \"%s\".labels WHERE event_time BETWEEN '%s' AND '%s' ORDER BY tenant, ",
                           label->type == WEIR_T_BOOL ? "::int" : "", p->name, weir_time_format(r->query->from_us, from), weir_time_format(last_us, to)) &&
           put_column(sql, join) &&
           weir_buf_printf(sql, ", available_time DESC, source_partition DESC, source_offset DESC) l ON l.tenant = p.tenant AND l.joined = p.join_id");
}

static weir_status wants_labels(rescore *r, bool *ret_wants, weir_err *err) {
    const weir_pipeline *p = r->pipeline;
    *ret_wants = false;
    if (!r->query->model || !p->labels.topic || p->label_column < 0 || p->label_join[1] < 0) return WEIR_OK;
    weir_type type = weir_schema_field_at(p->labels.schema, p->label_column)->type;
    if (type != WEIR_T_BOOL && type != WEIR_T_I64 && type != WEIR_T_F64) return WEIR_OK; /* names of classes, which the arms do not score */
    return weir_offline_has_table(r->pg, p, "labels", ret_wants, err);
}

static weir_status read_rows(rescore *r, weir_err *err) {
    weir_buf sql = {0};
    bool labels = false;
    weir_status status = wants_labels(r, &labels, err);
    bool ok = weir_buf_printf(&sql, "COPY (SELECT p.prediction_id, p.model, p.version::int4, p.digest, p.score::float8, p.decision, p.propensity::float8, %s",
                              labels ? "l.label" : "NULL::float8");
    for (int i = 0; ok && i < r->input_count; i++) ok = weir_buf_printf(&sql, ", p.\"%s\"", r->inputs[i]);
    ok = ok && weir_buf_printf(&sql, " FROM \"%s\".predictions p", r->pipeline->name) && (!labels || put_labels(&sql, r)) && put_where(&sql, r) &&
         weir_buf_printf(&sql, ") TO STDOUT (FORMAT binary)");
    if (!status && !ok) status = no_memory(err);
    if (!status) status = weir_pg_copy_out(r->pg, sql.data, on_row, r, err);
    for (int i = 0; !status && i < r->scorer_count; i++)
        if (r->scorers[i].model) status = score_batch(r, &r->scorers[i], err);
    if (!status && r->other.model) status = score_batch(r, &r->other, err);
    weir_buf_done(&sql);
    return status;
}

/* ---- metrics of the labelled predictions ---- */

static bool add_exact(cJSON *object, const char *name, double value) {
    cJSON *item = weir_json_exact(value);
    if (item && cJSON_AddItemToObject(object, name, item)) return true;
    cJSON_Delete(item);
    return false;
}

/* Ranking by the scores; what depends on a threshold by the decisions that were made, whose versions may have had different ones. */
static weir_status measure_binary(const rescore *r, const double *score, int bit, cJSON *out, weir_err *err) {
    weir_metrics_binary ranking, decisions;
    int64_t n = r->result->measured;
    bool decided = true;
    double *said = weir_models_calloc((size_t)n, sizeof *said);
    for (int64_t i = 0; said && i < n; i++) {
        decided = decided && r->decided[i] >= 0;
        said[i] = r->decided[i] >> bit & 1;
    }
    const weir_eval_input by_score = {.row_count = n, .score = score, .label = r->label, .threshold = 0.5};
    const weir_eval_input by_decision = {.row_count = n, .score = said, .label = r->label, .threshold = 0.5};
    weir_status status = said ? weir_evaluate_binary(&by_score, &ranking, err) : no_memory(err);
    if (!status) status = weir_evaluate_binary(&by_decision, &decisions, err);
    bool ok = status || (add_exact(out, "auc_roc", ranking.auc_roc) && add_exact(out, "average_precision", ranking.average_precision) &&
                         add_exact(out, "log_loss", ranking.log_loss) && add_exact(out, "brier", ranking.brier) &&
                         (!decided || (add_exact(out, "f1", decisions.f1) && add_exact(out, "precision", decisions.precision) &&
                                       add_exact(out, "recall", decisions.recall) && add_exact(out, "accuracy", decisions.accuracy))));
    weir_models_free(said);
    return ok ? status : no_memory(err);
}

static weir_status measure_regression(const rescore *r, const double *score, cJSON *out, weir_err *err) {
    weir_metrics_regression m;
    const weir_outcomes outcomes = {.row_count = r->result->measured, .label = r->label, .score = score};
    weir_status status = weir_measure_regression(&outcomes, &m, err);
    if (status) return status;
    return add_exact(out, "rmse", m.rmse) && add_exact(out, "mae", m.mae) && add_exact(out, "r2", m.r2) ? WEIR_OK : no_memory(err);
}

static weir_status measure(rescore *r, weir_err *err) {
    weir_rescore_result *out = r->result;
    if (!out->measured) return WEIR_OK;
    bool binary = weir_model_task(r->other.model) == WEIR_TASK_BINARY;
    cJSON *metrics = out->metrics = cJSON_CreateObject();
    cJSON *recorded = metrics ? cJSON_AddObjectToObject(metrics, "recorded") : NULL, *again = metrics ? cJSON_AddObjectToObject(metrics, "again") : NULL;
    weir_status status = recorded && again ? WEIR_OK : no_memory(err);
    if (!status) status = binary ? measure_binary(r, r->recorded, 0, recorded, err) : measure_regression(r, r->recorded, recorded, err);
    if (!status) status = binary ? measure_binary(r, r->again, 1, again, err) : measure_regression(r, r->again, again, err);
    return status;
}

/* ---- all ---- */

static weir_status run(rescore *r, weir_err *err) {
    bool there = false;
    weir_rescore_result *out = r->result;
    weir_status status = weir_pg_script(r->pg, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL TIME ZONE 'UTC'", err);
    if (!status) status = weir_offline_has_table(r->pg, r->pipeline, "predictions", &there, err);
    if (!status && !there) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "the offline store has no predictions of pipeline %s yet", r->pipeline->name);
    if (!status) status = list_inputs(r, err);
    if (!status && r->query->model) status = load_other(r, err);
    if (!status) status = list_scorers(r, err);
    if (!status) status = read_rows(r, err);
    if (status || !r->query->model) return status;
    double n = (double)out->scored;
    out->mean_recorded = r->sum_recorded / n;
    out->mean_again = r->sum_again / n;
    out->mean_difference = (r->sum_again - r->sum_recorded) / n;
    out->mean_absolute_difference = r->sum_absolute / n;
    status = out->has_outcome ? weir_offpolicy_report_of(&r->outcome, LEVEL, &out->outcome, err) : WEIR_OK;
    return status ? status : measure(r, err);
}

static void scorer_done(scorer *s) {
    weir_model_free(s->model);
    weir_models_free(s->inputs);
    weir_models_free(s->rows);
    weir_models_free(s->scores);
    weir_models_free(s->pending);
}

weir_status weir_rescore(const char *pg_url, const weir_pipeline *pipeline, const weir_rescore_query *query, weir_rescore_result *ret_result, weir_err *err) {
    *ret_result = (weir_rescore_result){.versions = cJSON_CreateArray()};
    if (!ret_result->versions) return no_memory(err);
    rescore *r = weir_models_calloc(1, sizeof *r);
    if (!r) return no_memory(err);
    *r = (rescore){.pipeline = pipeline, .query = query, .result = ret_result};
    weir_status status = weir_pg_new(pg_url, &r->pg, err);
    if (!status && !(status = weir_pg_begin(r->pg, err))) {
        status = run(r, err);
        weir_pg_rollback(r->pg); /* it only read */
    }
    for (int i = 0; i < r->scorer_count; i++) scorer_done(&r->scorers[i]);
    scorer_done(&r->other);
    for (int i = 0; i < r->input_count; i++) free(r->inputs[i]);
    weir_models_free(r->scorers);
    weir_models_free(r->recorded);
    weir_models_free(r->again);
    weir_models_free(r->label);
    weir_models_free(r->decided);
    weir_pg_free(r->pg);
    weir_models_free(r);
    return status;
}

void weir_rescore_result_done(weir_rescore_result *result) {
    cJSON_Delete(result->versions);
    cJSON_Delete(result->metrics);
    *result = (weir_rescore_result){0};
}
