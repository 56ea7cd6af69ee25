/* POST /v2/models/…/infer: features, or events whose features are looked up; the arm is the named model's, or the one that the entity gets. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "consumers/serve_parts.h"
#include "core/log.h"

enum { OUTPUT_SCORE, OUTPUT_DECISION, OUTPUT_ARM, OUTPUT_MODEL, OUTPUT_VERSION, OUTPUT_PROPENSITY, OUTPUT_COUNT };
enum { PARAMETERS_MAX = 5 + 2 * WEIR_VIEWS_MAX, VIEW_NAME_MAX = 96 };

static const struct {
    const char *name, *datatype;
} output_kinds[OUTPUT_COUNT] = {
    [OUTPUT_SCORE] = {"score", "FP64"},  [OUTPUT_DECISION] = {"decision", "BOOL"}, [OUTPUT_ARM] = {"arm", "BYTES"},
    [OUTPUT_MODEL] = {"model", "BYTES"}, [OUTPUT_VERSION] = {"version", "INT64"},  [OUTPUT_PROPENSITY] = {"propensity", "FP64"},
};

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
    double *propensity, *score; /* [row_count] */
    view_age ages[WEIR_VIEWS_MAX];
} inference;

static weir_status prepare(inference *in, int row_count, const weir_served *served, weir_err *err) {
    weir_arena *arena = &in->thread->arena;
    size_t rows = (size_t)row_count;
    in->row_count = row_count;
    in->served = weir_arena_alloc(arena, rows * sizeof *in->served);
    in->propensity = weir_arena_alloc(arena, rows * sizeof *in->propensity);
    in->score = weir_arena_alloc(arena, rows * sizeof *in->score);
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
    weir_status status = weir_model_check_single_output(served->model, err);
    if (!status) status = weir_infer_features(table, weir_model_columns(served->model), columns, rows, err);
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

/* Scores the rows that `served` answers, as one batch, and tells the guards how that went. */
static weir_status score_rows(inference *in, const weir_served *served, weir_err *err) {
    size_t columns = (size_t)weir_model_column_count(served->model), rows = (size_t)in->row_count;
    double *matrix = weir_arena_alloc(&in->thread->arena, rows * columns * sizeof *matrix), *out = weir_arena_alloc(&in->thread->arena, rows * sizeof *out);
    int64_t count = 0;
    if (!matrix || !out) return serve_no_memory(err);
    weir_status status = weir_model_check_single_output(served->model, err);
    if (status) return status;
    for (size_t row = 0; row < rows; row++) {
        if (in->served[row] != served) continue;
        for (size_t c = 0; c < columns; c++) matrix[(size_t)count * columns + c] = in->inputs[row * (size_t)in->input_count + (size_t)served->columns[c]];
        count++;
    }
    if (!count) return WEIR_OK;
    memset(out, 0, (size_t)count * sizeof *out);
    int64_t began_us = weir_clock_mono_us(in->s->env->clock);
    status = weir_model_predict(served->model, matrix, count, out, err);
    const weir_guard_rows went = weir_guard_rows_of(status, out, count, weir_clock_mono_us(in->s->env->clock) - began_us);
    if (in->split) weir_serving_note(in->s->serving, served, &went);
    if (status) return weir_err_prefix(err, "model %s version %d", served->name, served->version);
    count = 0;
    for (size_t row = 0; row < rows; row++) {
        if (in->served[row] == served) in->score[row] = out[count++];
    }
    return WEIR_OK;
}

/* The rows of one challenger. One that fails, or gives what is no number, costs nobody an answer: the champion gives it, with certainty from there on. */
static void score_challenger(inference *in, const weir_served *challenger) {
    weir_err why;
    weir_status failed = score_rows(in, challenger, &why);
    if (failed) weir_log_err(WEIR_LOG_ERROR, "the challenger failed, the champion answers for it", &why);
    int errors = 0;
    for (int row = 0; row < in->row_count; row++) {
        if (in->served[row] != challenger || (!failed && !isnan(in->score[row]))) continue;
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

static weir_datum output_value(const inference *in, int kind, int row) {
    const weir_served *served = in->served[row];
    double score = in->score[row];
    switch (kind) {
    case OUTPUT_SCORE: return weir_f64(score);
    case OUTPUT_DECISION: return weir_served_decision(served, score);
    case OUTPUT_ARM: return weir_text(served->arm);
    case OUTPUT_MODEL: return weir_text(served->name);
    case OUTPUT_VERSION: return weir_i64(served->version);
    default: return weir_f64(in->propensity[row]);
    }
}

static weir_status add_output(const inference *in, int kind, weir_infer_output *outputs, int *count, weir_err *err) {
    weir_datum *values = weir_arena_alloc(&in->thread->arena, (size_t)in->row_count * sizeof *values);
    if (!values) return serve_no_memory(err);
    for (int row = 0; row < in->row_count; row++) values[row] = output_value(in, kind, row);
    outputs[(*count)++] = (weir_infer_output){output_kinds[kind].name, output_kinds[kind].datatype, values};
    return WEIR_OK;
}

/* Those asked for; otherwise score and decision, and who answered where several did. */
static weir_status choose_outputs(const inference *in, const char *const *asked, bool mixed, weir_infer_output outputs[OUTPUT_COUNT], int *ret_count,
                                  weir_err *err) {
    bool wanted[OUTPUT_COUNT] = {0};
    for (int kind = 0; kind < OUTPUT_COUNT; kind++) wanted[kind] = !asked && (kind <= OUTPUT_DECISION || mixed);
    for (; asked && *asked; asked++) {
        int kind = 0;
        while (kind < OUTPUT_COUNT && strcmp(output_kinds[kind].name, *asked)) kind++;
        if (kind == OUTPUT_COUNT)
            return WEIR_REJECT(err, WEIR_EDATA, "no output \"%s\": there are score, decision, arm, model, version and propensity", *asked);
        wanted[kind] = true;
    }
    weir_status status = WEIR_OK;
    *ret_count = 0;
    for (int kind = 0; !status && kind < OUTPUT_COUNT; kind++) {
        if (wanted[kind]) status = add_output(in, kind, outputs, ret_count, err);
    }
    return status;
}

static void add_parameter(weir_infer_parameter *parameters, int *count, const char *name, weir_datum value) {
    parameters[(*count)++] = (weir_infer_parameter){name, value};
}

/* Who answered, when it is one version; how old the states were: the oldest of the batch, and how many rows had none. */
static int fill_parameters(const inference *in, bool mixed, weir_infer_parameter parameters[PARAMETERS_MAX], char names[][2][VIEW_NAME_MAX]) {
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
        snprintf(names[v][0], VIEW_NAME_MAX, "%.64s.age_seconds", in->s->pipeline->views[v].name);
        snprintf(names[v][1], VIEW_NAME_MAX, "%.64s.missing", in->s->pipeline->views[v].name);
        if (age->found) add_parameter(parameters, &count, names[v][0], weir_f64(age->oldest_s));
        add_parameter(parameters, &count, names[v][1], weir_i64(age->missing));
    }
    return count;
}

static weir_status answer(const inference *in, const weir_model_path *path, const weir_infer_request *parsed, weir_http_response *response, weir_err *err) {
    char version[16], names[WEIR_VIEWS_MAX][2][VIEW_NAME_MAX];
    weir_infer_output outputs[OUTPUT_COUNT];
    weir_infer_parameter parameters[PARAMETERS_MAX];
    bool mixed = false;
    for (int row = 1; row < in->row_count; row++) mixed |= in->served[row] != in->served[0] || in->propensity[row] != in->propensity[0];
    weir_infer_answer out = {.model_name = path->name, .id = parsed->id, .row_count = in->row_count, .outputs = outputs, .parameters = parameters};
    weir_status status = choose_outputs(in, parsed->outputs, mixed, outputs, &out.output_count, err);
    if (status) return status;
    out.parameter_count = fill_parameters(in, mixed, parameters, names);
    snprintf(version, sizeof version, "%d", in->served[0]->version);
    if (!in->split) out.model_version = version;
    return weir_infer_encode(&out, &response->body) ? WEIR_OK : serve_no_memory(err);
}

weir_status serve_infer(serve *s, serve_thread *thread, const weir_model_path *path, const weir_http_request *request, weir_http_response *response,
                        weir_err *err) {
    weir_infer_request parsed;
    const weir_served *named = NULL;
    weir_arms *arms = weir_serving_arms(s->serving);
    inference in = {.s = s, .thread = thread, .arms = arms, .split = !strcmp(path->name, s->pipeline->name)};
    weir_status status = weir_infer_parse(request->body, request->body_len, &parsed, err);
    if (!status) status = serve_find(s, arms, path->name, path->version, &named, err);
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
