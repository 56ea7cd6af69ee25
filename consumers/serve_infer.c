/* POST /v2/models/…/infer: features, or events whose features are looked up; the arm is the named model's, or the one that the entity gets. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/serve_parts.h"
#include "core/log.h"

enum { OUTPUT_SCORE, OUTPUT_DECISION, OUTPUT_CLASS, OUTPUT_ARM, OUTPUT_MODEL, OUTPUT_VERSION, OUTPUT_PROPENSITY, OUTPUT_COUNT };
enum { PARAMETERS_MAX = 5 + 2 * WEIR_VIEWS_MAX };

static const struct {
    const char *name, *datatype;
} output_kinds[OUTPUT_COUNT] = {
    [OUTPUT_SCORE] = {"score", "FP64"},           [OUTPUT_DECISION] = {"decision", "BOOL"},
    [OUTPUT_CLASS] = {"class", "BYTES"},          [OUTPUT_ARM] = {"arm", "BYTES"},
    [OUTPUT_MODEL] = {"model", "BYTES"},          [OUTPUT_VERSION] = {"version", "INT64"},
    [OUTPUT_PROPENSITY] = {"propensity", "FP64"},
};

static const char json_length_header[] = "Inference-Header-Content-Length";

/* What the rows of a request read of one view. */
typedef struct view_age {
    bool used;
    int found, missing; /* rows whose entity is, is not in the store */
    double oldest_s; /* greatest age among those found */
} view_age;

/* One request on its way. Arrays are in the thread's arena. */
typedef struct inference {
    serve *s;
    serve_thread *thread;
    const weir_arms *arms;
    bool split; /* by the pipeline's name: each entity's arm */
    int row_count, input_count;
    double *inputs; /* [row_count][input_count], events only */
    const weir_served **served; /* [row_count] */
    int score_count; /* of a row: the classes or targets of the models that answer, mostly 1 */
    double *propensity; /* [row_count] */
    double *score; /* [row_count][score_count] */
    view_age ages[WEIR_VIEWS_MAX];
} inference;

static weir_status prepare(inference *in, int row_count, const weir_served *served, weir_err *err) {
    weir_arena *arena = &in->thread->arena;
    size_t rows = (size_t)row_count;
    in->row_count = row_count;
    in->score_count = weir_model_output_count(served->model);
    if (row_count > WEIR_JSON_VALUES_MAX / in->score_count)
        return WEIR_REJECT(err, WEIR_ELIMIT, "%d rows of %d scores each: at most %d scores in one answer", row_count, in->score_count, WEIR_JSON_VALUES_MAX);
    in->served = weir_arena_alloc(arena, rows * sizeof *in->served);
    in->propensity = weir_arena_alloc(arena, rows * sizeof *in->propensity);
    in->score = weir_arena_alloc(arena, rows * (size_t)in->score_count * sizeof *in->score);
    if (!in->served || !in->propensity || !in->score) return serve_no_memory(err);
    for (size_t row = 0; row < rows; row++) {
        in->served[row] = served;
        in->propensity[row] = 1;
    }
    return WEIR_OK;
}

/* ---- inputs ---- */

static weir_status infer_features(inference *in, const weir_json_table *table, weir_err *err) {
    const weir_served *served = in->served[0];
    int columns = weir_model_column_count(served->model);
    double *rows = weir_arena_alloc(&in->thread->arena, (size_t)in->row_count * (size_t)columns * sizeof *rows);
    if (!rows) return serve_no_memory(err);
    weir_status status = weir_infer_features(table, weir_model_columns(served->model), columns, rows, err);
    return status ? status : weir_model_predict(served->model, rows, in->row_count, in->score, err);
}

/* Which views the answering versions read. */
static void mark_used(inference *in, const weir_served *served) {
    for (int v = 0; served && v < in->s->pipeline->view_count; v++) {
        int first = weir_serving_input_of_view(in->s->serving, v), last = first + in->s->pipeline->views[v].feature_count;
        for (int c = 0; c < weir_model_column_count(served->model); c++) in->ages[v].used |= served->columns[c] >= first && served->columns[c] < last;
    }
}

static weir_status make_key(const serve *s, int view, const weir_datum *event, char key[WEIR_KEY_MAX], size_t *ret_len, weir_err *err) {
    const weir_view_def *def = &s->pipeline->views[view];
    weir_status status = weir_key_make(&s->pipeline->events, s->entity_columns[view], def->entity_count, event, key, ret_len, err);
    return status ? weir_err_prefix(err, "view %s", def->name) : WEIR_OK;
}

/* Fills the inputs of one event. The event itself is not in any state yet, so it is applied to a copy of the states that events feed. */
static weir_status gather(inference *in, weir_datum *event, double *inputs, weir_err *err) {
    const serve *s = in->s;
    int64_t t_us = event[s->pipeline->events.time_index].i;
    int columns = weir_schema_field_count(s->pipeline->events.schema);
    for (int c = 0; c < columns; c++) inputs[c] = weir_datum_number(&event[c]);
    for (int v = 0; v < s->pipeline->view_count; v++) {
        char key[WEIR_KEY_MAX];
        size_t key_len;
        weir_view_read read;
        view_age *age = &in->ages[v];
        if (!age->used) continue;
        const weir_datum *record = s->pipeline->views[v].from == WEIR_FROM_EVENTS ? event : NULL;
        weir_status status = make_key(s, v, event, key, &key_len, err);
        if (!status)
            status = weir_serving_read_view(in->thread->reader, v, key, key_len, t_us, record, inputs + weir_serving_input_of_view(s->serving, v), &read, err);
        if (status) return status;
        double age_s = read.found ? (double)(t_us - read.event_time_us) / 1e6 : 0;
        if (read.found && (!age->found || age_s > age->oldest_s)) age->oldest_s = age_s;
        age->found += read.found;
        age->missing += !read.found;
    }
    return WEIR_OK;
}

static weir_status choose_arm(inference *in, int row, const weir_datum *event, weir_err *err) {
    char key[WEIR_KEY_MAX];
    size_t key_len;
    weir_status status = make_key(in->s, in->s->pipeline->primary_view, event, key, &key_len, err);
    if (status) return status;
    int64_t t_us = event[in->s->pipeline->events.time_index].i;
    in->served[row] = weir_arms_choose(in->arms, weir_arms_bucket(in->arms, event), key, key_len, t_us, &in->propensity[row]);
    return WEIR_OK;
}

static weir_status gather_all(inference *in, weir_datum *rows, weir_err *err) {
    const weir_feed_def *feed = &in->s->pipeline->events;
    int columns = weir_schema_field_count(feed->schema);
    int64_t now_us = weir_clock_wall_us(in->s->env->clock);
    weir_status status = weir_serving_read_begin(in->thread->reader, err);
    if (status) return status;
    for (int row = 0; !status && row < in->row_count; row++) {
        weir_datum *event = rows + (size_t)row * (size_t)columns;
        if (event[feed->time_index].type == WEIR_T_NULL) event[feed->time_index] = weir_i64(now_us);
        if (in->split) status = choose_arm(in, row, event, err);
        if (!status) status = gather(in, event, in->inputs + (size_t)row * (size_t)in->input_count, err);
        if (status) weir_err_prefix(err, "row %d", row);
    }
    weir_serving_read_end(in->thread->reader);
    return status;
}

/* ---- scores ---- */

/* The inputs of the rows that `served` answers; how many. */
static int64_t take_rows(const inference *in, const weir_served *served, double *matrix) {
    size_t columns = (size_t)weir_model_column_count(served->model), count = 0;
    for (size_t row = 0; row < (size_t)in->row_count; row++) {
        if (in->served[row] != served) continue;
        for (size_t c = 0; c < columns; c++) matrix[count * columns + c] = in->inputs[row * (size_t)in->input_count + (size_t)served->columns[c]];
        count++;
    }
    return (int64_t)count;
}

/* A row is one for the guards, however many scores it has: NaN where one of them is no number. */
static void tell_guards(const inference *in, const weir_served *served, weir_status status, double *scores, int64_t count, int64_t took_us) {
    size_t each = (size_t)in->score_count;
    double *first = weir_arena_alloc(&in->thread->arena, (size_t)count * sizeof *first);
    for (size_t row = 0; first && row < (size_t)count; row++) {
        first[row] = scores[row * each];
        for (size_t i = 1; i < each; i++) first[row] += isfinite(scores[row * each + i]) ? 0 : NAN;
    }
    if (!first) return;
    const weir_guard_rows went = weir_guard_rows_of(status, first, count, took_us);
    weir_serving_note(in->s->serving, served, &went);
}

/* Scores the rows that `served` answers, as one batch, and tells the guards how that went. */
static weir_status score_rows(inference *in, const weir_served *served, weir_err *err) {
    size_t columns = (size_t)weir_model_column_count(served->model), rows = (size_t)in->row_count, each = (size_t)in->score_count;
    if (weir_model_output_count(served->model) != in->score_count)
        return WEIR_FAIL(err, WEIR_EDATA, "model %s version %d gives %d scores a row, the champion %d", served->name, served->version,
                         weir_model_output_count(served->model), in->score_count);
    double *matrix = weir_arena_alloc(&in->thread->arena, rows * columns * sizeof *matrix);
    double *out = weir_arena_alloc(&in->thread->arena, rows * each * sizeof *out);
    if (!matrix || !out) return serve_no_memory(err);
    int64_t count = take_rows(in, served, matrix);
    if (!count) return WEIR_OK;
    memset(out, 0, (size_t)count * each * sizeof *out);
    int64_t began_us = weir_clock_mono_us(in->s->env->clock);
    weir_status status = weir_model_predict(served->model, matrix, count, out, err);
    if (in->split) tell_guards(in, served, status, out, count, weir_clock_mono_us(in->s->env->clock) - began_us);
    if (status) return weir_err_prefix(err, "model %s version %d", served->name, served->version);
    for (size_t row = 0; row < rows; row++) {
        if (in->served[row] != served) continue;
        memcpy(in->score + row * each, out, each * sizeof *out);
        out += each;
    }
    return WEIR_OK;
}

static bool is_scored(const inference *in, int row) {
    for (int i = 0; i < in->score_count; i++) {
        if (isnan(in->score[(size_t)row * (size_t)in->score_count + (size_t)i])) return false;
    }
    return true;
}

/* The rows of one challenger. One that fails, or gives what is no number, costs nobody an answer: the champion gives it, with certainty from there on. */
static void score_challenger(inference *in, const weir_served *challenger) {
    weir_err why;
    weir_status failed = score_rows(in, challenger, &why);
    if (failed) weir_log_err(WEIR_LOG_ERROR, "the challenger failed, the champion answers for it", &why);
    int errors = 0;
    for (int row = 0; row < in->row_count; row++) {
        if (in->served[row] != challenger || (!failed && is_scored(in, row))) continue;
        in->served[row] = in->arms->champion;
        in->propensity[row] = 1;
        errors++;
    }
    if (errors) weir_metric_add(WEIR_METRIC("weir_score_errors_total", in->s->pipeline->name, challenger->name, challenger->arm), errors);
}

static weir_status score_split(inference *in, weir_err *err) {
    for (int c = 0; c < WEIR_CHALLENGERS_MAX; c++) {
        if (in->arms->challengers[c]) score_challenger(in, in->arms->challengers[c]);
    }
    return score_rows(in, in->arms->champion, err);
}

static weir_status infer_events(inference *in, weir_json_table *table, weir_err *err) {
    const weir_served *named = in->served[0];
    size_t rows = (size_t)in->row_count, columns = (size_t)weir_schema_field_count(in->s->pipeline->events.schema);
    in->input_count = weir_serving_input_count(in->s->serving);
    size_t inputs = rows * (size_t)in->input_count;
    weir_datum *events = weir_arena_alloc(&in->thread->arena, rows * columns * sizeof *events);
    in->inputs = weir_arena_alloc(&in->thread->arena, inputs * sizeof *in->inputs);
    if (!events || !in->inputs) return serve_no_memory(err);
    for (size_t i = 0; i < inputs; i++) in->inputs[i] = NAN;
    weir_status status = weir_json_rows(table, &in->s->pipeline->events, false, events, err);
    if (!status) status = serve_own_rows(&in->thread->grant, table, &in->s->pipeline->events, events, err);
    if (status) return status;
    mark_used(in, named);
    for (int c = 0; in->split && c < WEIR_CHALLENGERS_MAX; c++) mark_used(in, in->arms->challengers[c]);
    if ((status = gather_all(in, events, err))) return status;
    return in->split ? score_split(in, err) : score_rows(in, named, err);
}

/* ---- answer ---- */

/* The most probable class, by its name, else its number; the first of equals. */
static weir_datum class_of(const inference *in, int row, weir_err *err, weir_status *ret_status) {
    const weir_model *model = in->served[row]->model;
    const double *scores = in->score + (size_t)row * (size_t)in->score_count;
    const char *const *names = weir_model_class_names(model);
    int best = 0;
    for (int i = 1; i < in->score_count; i++) best = scores[i] > scores[best] ? i : best;
    if (names) return weir_text(names[best]);
    char digits[16];
    int len = snprintf(digits, sizeof digits, "%d", best);
    const char *text = weir_arena_copy(&in->thread->arena, digits, (size_t)len);
    *ret_status = text ? WEIR_OK : serve_no_memory(err);
    return text ? weir_str(text, (size_t)len) : weir_null();
}

static weir_status output_value(const inference *in, int kind, int row, weir_datum *ret_value, weir_err *err) {
    const weir_served *served = in->served[row];
    weir_status status = WEIR_OK;
    switch (kind) {
    case OUTPUT_DECISION: *ret_value = weir_served_decision(served, in->score[row]); break;
    case OUTPUT_CLASS: *ret_value = class_of(in, row, err, &status); break;
    case OUTPUT_ARM: *ret_value = weir_text(served->arm); break;
    case OUTPUT_MODEL: *ret_value = weir_text(served->name); break;
    case OUTPUT_VERSION: *ret_value = weir_i64(served->version); break;
    default: *ret_value = weir_f64(in->propensity[row]); break;
    }
    return status;
}

static weir_status add_output(const inference *in, int kind, bool binary, weir_infer_output *outputs, int *count, weir_err *err) {
    int each = kind == OUTPUT_SCORE ? in->score_count : 1;
    weir_datum *values = weir_arena_alloc(&in->thread->arena, (size_t)in->row_count * (size_t)each * sizeof *values);
    if (!values) return serve_no_memory(err);
    weir_status status = WEIR_OK;
    for (int i = 0; kind == OUTPUT_SCORE && i < in->row_count * each; i++) values[i] = weir_f64(in->score[i]);
    for (int row = 0; !status && kind != OUTPUT_SCORE && row < in->row_count; row++) status = output_value(in, kind, row, &values[row], err);
    outputs[(*count)++] = (weir_infer_output){
        .name = output_kinds[kind].name, .datatype = output_kinds[kind].datatype, .values = values, .width = each > 1 ? each : 0, .binary = binary};
    return status;
}

/* Whether the models that answer have it: a decision is of one score, a class of several classes. */
static bool is_offered(const inference *in, int kind) {
    if (kind == OUTPUT_DECISION) return in->score_count == 1;
    return kind != OUTPUT_CLASS || weir_model_task(in->served[0]->model) == WEIR_TASK_MULTICLASS;
}

static weir_status find_output(const inference *in, const char *name, int *ret_kind, weir_err *err) {
    for (int kind = 0; kind < OUTPUT_COUNT; kind++) {
        if (strcmp(output_kinds[kind].name, name) || !is_offered(in, kind)) continue;
        *ret_kind = kind;
        return WEIR_OK;
    }
    return WEIR_REJECT(err, WEIR_EDATA, "no output \"%.64s\": there are score, %sarm, model, version and propensity", name,
                       is_offered(in, OUTPUT_CLASS)      ? "class, "
                       : is_offered(in, OUTPUT_DECISION) ? "decision, "
                                                         : "");
}

/* Those asked for; otherwise score, with decision or class, and who answered where several did. */
static weir_status choose_outputs(const inference *in, const weir_infer_request *parsed, bool mixed, weir_infer_output outputs[OUTPUT_COUNT], int *ret_count,
                                  weir_err *err) {
    bool wanted[OUTPUT_COUNT] = {0}, binary[OUTPUT_COUNT] = {0};
    for (int kind = 0; kind < OUTPUT_COUNT && !parsed->output_count; kind++) {
        wanted[kind] = is_offered(in, kind) && (kind <= OUTPUT_CLASS || mixed);
        binary[kind] = parsed->binary;
    }
    for (int i = 0; i < parsed->output_count; i++) {
        int kind = 0;
        weir_status status = find_output(in, parsed->outputs[i].name, &kind, err);
        if (status) return status;
        wanted[kind] = true;
        binary[kind] = parsed->outputs[i].binary;
    }
    weir_status status = WEIR_OK;
    *ret_count = 0;
    for (int kind = 0; !status && kind < OUTPUT_COUNT; kind++) {
        if (wanted[kind]) status = add_output(in, kind, binary[kind], outputs, ret_count, err);
    }
    return status;
}

static void add_parameter(weir_infer_parameter *parameters, int *count, const char *name, weir_datum value) {
    parameters[(*count)++] = (weir_infer_parameter){name, value};
}

/* Who answered, when it is one version; how old the states were: the oldest of the batch, and how many rows had none. */
static int fill_parameters(const inference *in, bool mixed, weir_infer_parameter parameters[PARAMETERS_MAX]) {
    int count = 0;
    if (!mixed) {
        const weir_served *served = in->served[0];
        add_parameter(parameters, &count, "model", weir_text(served->name));
        add_parameter(parameters, &count, "version", weir_i64(served->version));
        add_parameter(parameters, &count, "digest", weir_text(weir_model_digest(served->model)));
        add_parameter(parameters, &count, "arm", weir_text(served->arm));
        add_parameter(parameters, &count, "propensity", weir_f64(in->propensity[0]));
    }
    for (int v = 0; v < in->s->pipeline->view_count; v++) {
        const view_age *age = &in->ages[v];
        if (!age->used) continue;
        if (age->found) add_parameter(parameters, &count, in->s->age_names[v], weir_f64(age->oldest_s));
        add_parameter(parameters, &count, in->s->missing_names[v], weir_i64(age->missing));
    }
    return count;
}

static weir_status answer(const inference *in, const weir_model_path *path, const weir_infer_request *parsed, weir_http_response *response, weir_err *err) {
    char version[16];
    weir_infer_output outputs[OUTPUT_COUNT];
    weir_infer_parameter parameters[PARAMETERS_MAX];
    bool mixed = false;
    size_t json_len;
    for (int row = 1; row < in->row_count; row++) mixed |= in->served[row] != in->served[0] || in->propensity[row] != in->propensity[0];
    weir_infer_answer out = {
        .model_name = in->split ? path->name : in->served[0]->name, .id = parsed->id, .row_count = in->row_count, .outputs = outputs, .parameters = parameters};
    weir_status status = choose_outputs(in, parsed, mixed, outputs, &out.output_count, err);
    if (status) return status;
    out.parameter_count = fill_parameters(in, mixed, parameters);
    if (!in->split) {
        snprintf(version, sizeof version, "%d", in->served[0]->version);
        out.model_version = version;
    }
    if (!weir_infer_encode(&out, &response->body, &json_len)) return serve_no_memory(err);
    if (json_len == WEIR_INFER_ALL_JSON) return WEIR_OK;
    response->content_type = "application/octet-stream";
    weir_http_add_header(response, json_length_header, "%zu", json_len);
    return WEIR_OK;
}

/* Where the JSON of the body ends: WEIR_INFER_ALL_JSON without the header, as in a plain request. */
static weir_status json_length(const weir_http_request *request, size_t *ret_len, weir_err *err) {
    const char *text = weir_http_header(request, json_length_header);
    *ret_len = WEIR_INFER_ALL_JSON;
    if (!text) return WEIR_OK;
    size_t digits = strspn(text, "0123456789");
    unsigned long long len = strtoull(text, NULL, 10);
    if (!digits || text[digits] || len > request->body_len)
        return WEIR_REJECT(err, WEIR_EDATA, "%s is \"%.32s\": expected the bytes of JSON at the start of the body, which has %zu", json_length_header, text,
                           request->body_len);
    *ret_len = (size_t)len;
    return WEIR_OK;
}

weir_status serve_infer(serve *s, serve_thread *thread, const weir_model_path *path, const weir_http_request *request, weir_http_response *response,
                        weir_err *err) {
    weir_infer_request parsed = {0};
    const weir_served *named = NULL;
    size_t json_len;
    weir_arms *arms = weir_serving_arms(s->serving);
    inference in = {.s = s, .thread = thread, .arms = arms, .split = serve_is_split(s, path)};
    weir_status status = json_length(request, &json_len, err);
    if (!status) status = weir_infer_parse(request->body, request->body_len, json_len, &parsed, err);
    if (!status) status = serve_find(s, arms, path, &named, err);
    if (!status) status = prepare(&in, parsed.inputs.row_count, named, err);
    if (!status) {
        const char *const *columns = weir_model_columns(named->model);
        bool features = weir_infer_is_features(&parsed.inputs, columns, weir_model_column_count(named->model), s->pipeline->events.schema);
        status = features ? infer_features(&in, &parsed.inputs, err) : infer_events(&in, &parsed.inputs, err);
    }
    if (!status) status = answer(&in, path, &parsed, response, err);
    weir_infer_request_done(&parsed);
    weir_arms_drop(arms);
    return status;
}
