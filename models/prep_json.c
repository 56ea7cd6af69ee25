/* A fitted chain as JSON and back. Fitted numbers are texts with 17 digits, "nan" where a node makes missing values:
 *
 *   {"version": 1, "steps": [{"impute": "median"}, …], "inputs": [{"name": "temp", "kind": "number"}, …],
 *    "levels": [{"values": ["7391", …], "texts": ["Rain", null, …]}, …],
 *    "nodes": [{"name": "temp", "op": "fill", "kind": "number", "of": 0, "a": "281.19999999999999", "b": "0", "levels": -1}, …],
 *    "outputs": [2, …], "evidence": [{"step": 3, "column": "temp", "value": "0.97", "kept": true}, …]}
 *
 * Nodes are counted on from the inputs, and come after what they are made of. */
#include <stdlib.h>
#include <string.h>

#include "models/memory.h"
#include "models/prep_internal.h"

enum { VERSION = 1 };
static const char *const op_names[WEIR_PREP_OP_COUNT] = {[WEIR_PREP_INPUT] = "input",
                                                         [WEIR_PREP_FILL] = "fill",
                                                         [WEIR_PREP_FORWARD_FILL] = "forward_fill",
                                                         [WEIR_PREP_INTERPOLATE] = "interpolate",
                                                         [WEIR_PREP_MISSING] = "missing",
                                                         [WEIR_PREP_CLIP] = "clip",
                                                         [WEIR_PREP_NULL] = "null",
                                                         [WEIR_PREP_OUTSIDE] = "outside",
                                                         [WEIR_PREP_SCALE] = "scale",
                                                         [WEIR_PREP_STRETCH] = "stretch",
                                                         [WEIR_PREP_EQUALS] = "equals",
                                                         [WEIR_PREP_OTHER] = "other",
                                                         [WEIR_PREP_CODE] = "code",
                                                         [WEIR_PREP_BUCKET] = "bucket"};
static const char *const kind_names[] = {"number", "category", "flag"};
enum { KINDS = sizeof kind_names / sizeof *kind_names };

/* ---- writing ---- */

static bool put_text(weir_buf *out, const char *before, const char *text) {
    return weir_buf_printf(out, "%s\"", before) && weir_buf_json_escape(out, text, strlen(text)) && weir_buf_printf(out, "\"");
}

static bool put_number(weir_buf *out, const char *before, double x) {
    return isnan(x) ? weir_buf_printf(out, "%s\"nan\"", before) : weir_buf_printf(out, "%s\"%.17g\"", before, x);
}

static bool put_inputs(weir_buf *out, const weir_prep *prep) {
    bool ok = weir_buf_printf(out, ", \"inputs\": [");
    for (int i = 0; ok && i < prep->input_count; i++)
        ok = put_text(out, i ? ", {\"name\": " : "{\"name\": ", prep->nodes[i].name) &&
             weir_buf_printf(out, ", \"kind\": \"%s\"}", kind_names[prep->nodes[i].kind]);
    return ok && weir_buf_printf(out, "]");
}

static bool put_levels(weir_buf *out, const weir_prep *prep) {
    bool ok = weir_buf_printf(out, ", \"levels\": [");
    for (int l = 0; ok && l < prep->level_count; l++) {
        const weir_prep_levels *levels = &prep->levels[l];
        ok = weir_buf_printf(out, "%s{\"values\": [", l ? ", " : "");
        for (int i = 0; ok && i < levels->count; i++) ok = put_number(out, i ? ", " : "", levels->values[i]);
        ok = ok && weir_buf_printf(out, "], \"texts\": [");
        for (int i = 0; ok && i < levels->count; i++) {
            const char *comma = i ? ", " : "";
            ok = levels->texts[i] ? put_text(out, comma, levels->texts[i]) : weir_buf_printf(out, "%snull", comma);
        }
        ok = ok && weir_buf_printf(out, "]}");
    }
    return ok && weir_buf_printf(out, "]");
}

static bool put_nodes(weir_buf *out, const weir_prep *prep) {
    bool ok = weir_buf_printf(out, ", \"nodes\": [");
    for (int i = prep->input_count; ok && i < prep->node_count; i++) {
        const weir_prep_node *n = &prep->nodes[i];
        ok = put_text(out, i > prep->input_count ? ", {\"name\": " : "{\"name\": ", n->name) &&
             weir_buf_printf(out, ", \"op\": \"%s\", \"kind\": \"%s\", \"of\": %d", op_names[n->op], kind_names[n->kind], n->parent) &&
             put_number(out, ", \"a\": ", n->a) && put_number(out, ", \"b\": ", n->b) && weir_buf_printf(out, ", \"levels\": %d}", n->levels);
    }
    return ok && weir_buf_printf(out, "]");
}

static bool put_outputs(weir_buf *out, const weir_prep *prep) {
    bool ok = weir_buf_printf(out, ", \"outputs\": [");
    for (int o = 0; ok && o < prep->output_count; o++) ok = weir_buf_printf(out, "%s%d", o ? ", " : "", prep->outputs[o]);
    return ok && weir_buf_printf(out, "]");
}

static bool put_evidence(weir_buf *out, const weir_prep *prep) {
    bool ok = weir_buf_printf(out, ", \"evidence\": [");
    for (int i = 0; ok && i < prep->evidence_count; i++) {
        const weir_prep_evidence *e = &prep->evidence[i];
        ok = weir_buf_printf(out, "%s{\"step\": %d", i ? ", " : "", e->step) && put_text(out, ", \"column\": ", e->column) &&
             put_number(out, ", \"value\": ", e->value) && weir_buf_printf(out, ", \"kept\": %s}", e->kept ? "true" : "false");
    }
    return ok && weir_buf_printf(out, "]");
}

weir_status weir_prep_to_json(const weir_prep *prep, weir_buf *ret_json, weir_err *err) {
    size_t before = ret_json->len;
    bool ok = weir_buf_printf(ret_json, "{\"version\": %d, \"steps\": ", VERSION) && weir_buf_append(ret_json, prep->steps, strlen(prep->steps)) &&
              put_inputs(ret_json, prep) && put_levels(ret_json, prep) && put_nodes(ret_json, prep) && put_outputs(ret_json, prep) &&
              put_evidence(ret_json, prep) && weir_buf_printf(ret_json, "}");
    if (ok) return WEIR_OK;
    if (ret_json->data) ret_json->data[ret_json->len = before] = 0;
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the JSON of a preprocessing chain");
}

/* ---- reading ---- */

static weir_status bad(const char *part, int i, const char *expected, weir_err *err) {
    return WEIR_FAIL(err, WEIR_EDATA, "preprocessing: %s[%d] is not %s", part, i, expected);
}

static const char *text_of(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* A whole number from low to below high. */
static bool whole_of(const cJSON *item, int low, int high, int *ret_number) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= low && item->valuedouble < high) || item->valuedouble != floor(item->valuedouble)) return false;
    *ret_number = (int)item->valuedouble;
    return true;
}

static bool number_of(const cJSON *item, double *ret_number) {
    const char *text = cJSON_GetStringValue(item);
    char *end = NULL;
    if (!text || !*text) return false;
    *ret_number = strtod(text, &end);
    return !*end && !isinf(*ret_number);
}

static bool choice_of(const cJSON *object, const char *key, const char *const *names, int count, int *ret_index) {
    const char *text = text_of(object, key);
    for (int i = 0; text && i < count; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *ret_index = i;
        return true;
    }
    return false;
}

/* The array of that name, no longer than most. */
static weir_status array_of(const cJSON *json, const char *key, int least, int most, const cJSON **ret_array, weir_err *err) {
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(json, key);
    int count = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : -1;
    if (count < least || count > most) return WEIR_FAIL(err, WEIR_EDATA, "preprocessing: %s is no array of %d to %d", key, least, most);
    *ret_array = array;
    return WEIR_OK;
}

static weir_status read_inputs(weir_prep *prep, const cJSON *json, weir_err *err) {
    const cJSON *array = NULL, *item;
    weir_status status = array_of(json, "inputs", 1, WEIR_PREP_COLUMNS_MAX, &array, err);
    if (status != WEIR_OK) return status;
    cJSON_ArrayForEach(item, array) {
        int kind;
        const char *name = text_of(item, "name");
        if (!name || !choice_of(item, "kind", kind_names, WEIR_PREP_FLAG, &kind)) return bad("inputs", prep->input_count, "a column with name and kind", err);
        status = weir_prep_add_input(prep, name, (weir_prep_kind)kind, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

static bool read_level(const cJSON *value, const cJSON *text, double *ret_value, const char **ret_text) {
    *ret_text = cJSON_GetStringValue(text);
    return number_of(value, ret_value) && !isnan(*ret_value) && (*ret_text || cJSON_IsNull(text));
}

static weir_status read_levels_entry(weir_prep *prep, const cJSON *item, weir_err *err) {
    const cJSON *values = NULL, *texts = NULL;
    weir_status status = array_of(item, "values", 0, WEIR_PREP_LEVELS_MAX, &values, err);
    if (status == WEIR_OK) status = array_of(item, "texts", 0, WEIR_PREP_LEVELS_MAX, &texts, err);
    if (status != WEIR_OK) return status;
    int count = cJSON_GetArraySize(values), n = 0, index;
    double *numbers = weir_models_calloc((size_t)count, sizeof *numbers);
    const char **names = weir_models_calloc((size_t)count, sizeof *names);
    if (!numbers || !names) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d levels", count);
    const cJSON *value = values->child, *text = texts->child;
    for (; status == WEIR_OK && value && text; value = value->next, text = text->next, n++)
        if (!read_level(value, text, &numbers[n], &names[n])) status = bad("levels", prep->level_count, "values and texts", err);
    if (status == WEIR_OK && (value || text)) status = bad("levels", prep->level_count, "as many texts as values", err);
    if (status == WEIR_OK) status = weir_prep_add_levels(prep, numbers, names, count, &index, err);
    weir_models_free(names);
    weir_models_free(numbers);
    return status;
}

static weir_status read_levels(weir_prep *prep, const cJSON *json, weir_err *err) {
    const cJSON *array = NULL, *item;
    weir_status status = array_of(json, "levels", 0, WEIR_PREP_COLUMNS_MAX, &array, err);
    if (status != WEIR_OK) return status;
    cJSON_ArrayForEach(item, array) {
        status = read_levels_entry(prep, item, err);
        if (status != WEIR_OK) break;
    }
    return status;
}

/* What the operations rely on. */
static bool node_is_sound(const weir_prep_node *n) {
    bool levels = n->op == WEIR_PREP_OTHER || n->op == WEIR_PREP_CODE;
    if (levels != (n->levels >= 0)) return false;
    if (n->op == WEIR_PREP_CODE) return true;
    if (isnan(n->a) || isnan(n->b)) return false;
    if (n->op == WEIR_PREP_SCALE) return n->b > 0;
    return n->op != WEIR_PREP_BUCKET || (n->a >= 1 && n->a <= WEIR_PREP_LEVELS_MAX && n->b >= 0 && n->b < n->a);
}

static weir_status read_nodes(weir_prep *prep, const cJSON *json, weir_err *err) {
    const cJSON *array = NULL, *item;
    weir_status status = array_of(json, "nodes", 0, NODES_MAX, &array, err);
    if (status != WEIR_OK) return status;
    cJSON_ArrayForEach(item, array) {
        weir_prep_node n = {0};
        int op, kind, index;
        const char *name = text_of(item, "name");
        bool ok = name && choice_of(item, "op", op_names, WEIR_PREP_OP_COUNT, &op) && op != WEIR_PREP_INPUT &&
                  choice_of(item, "kind", kind_names, KINDS, &kind) && whole_of(cJSON_GetObjectItemCaseSensitive(item, "of"), 0, prep->node_count, &n.parent) &&
                  number_of(cJSON_GetObjectItemCaseSensitive(item, "a"), &n.a) && number_of(cJSON_GetObjectItemCaseSensitive(item, "b"), &n.b) &&
                  whole_of(cJSON_GetObjectItemCaseSensitive(item, "levels"), -1, prep->level_count, &n.levels);
        if (ok) n.op = (weir_prep_op)op;
        if (!ok || !node_is_sound(&n)) return bad("nodes", prep->node_count - prep->input_count, "a node that can be computed", err);
        n.kind = (weir_prep_kind)kind;
        n.name = weir_arena_copy(&prep->arena, name, strlen(name));
        if (!n.name) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a node");
        if ((status = weir_prep_add(prep, n, &index, err)) != WEIR_OK) return status;
    }
    return WEIR_OK;
}

static weir_status read_outputs(weir_prep *prep, const cJSON *json, weir_err *err) {
    const cJSON *array = NULL, *item;
    weir_status status = array_of(json, "outputs", 1, WEIR_PREP_COLUMNS_MAX, &array, err);
    if (status != WEIR_OK) return status;
    int count = 0, *outputs = weir_models_calloc((size_t)cJSON_GetArraySize(array), sizeof *outputs);
    if (!outputs) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for outputs");
    cJSON_ArrayForEach(item, array) {
        if (!whole_of(item, 0, prep->node_count, &outputs[count])) status = bad("outputs", count, "the number of a node", err);
        if (status != WEIR_OK) break;
        count++;
    }
    if (status == WEIR_OK) status = weir_prep_finish(prep, outputs, count, err);
    weir_models_free(outputs);
    return status;
}

static weir_status read_evidence(weir_prep *prep, const cJSON *json, weir_err *err) {
    const cJSON *array = NULL, *item;
    weir_status status = array_of(json, "evidence", 0, NODES_MAX, &array, err);
    if (status != WEIR_OK) return status;
    cJSON_ArrayForEach(item, array) {
        weir_prep_evidence e;
        const char *column = text_of(item, "column");
        const cJSON *kept = cJSON_GetObjectItemCaseSensitive(item, "kept");
        if (!column || !cJSON_IsBool(kept) || !number_of(cJSON_GetObjectItemCaseSensitive(item, "value"), &e.value) ||
            !whole_of(cJSON_GetObjectItemCaseSensitive(item, "step"), 0, WEIR_PREP_STEPS_MAX, &e.step))
            return bad("evidence", prep->evidence_count, "step, column, value and kept", err);
        e.kept = cJSON_IsTrue(kept);
        e.column = weir_arena_copy(&prep->arena, column, strlen(column));
        if (!e.column) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for evidence");
        if ((status = weir_prep_add_evidence(prep, e, err)) != WEIR_OK) return status;
    }
    return WEIR_OK;
}

static weir_status read_steps(weir_prep *prep, const cJSON *json, weir_err *err) {
    const cJSON *steps = NULL;
    weir_status status = array_of(json, "steps", 0, WEIR_PREP_STEPS_MAX, &steps, err);
    if (status != WEIR_OK) return status;
    char *text = cJSON_PrintUnformatted(steps);
    prep->steps = text ? weir_arena_copy(&prep->arena, text, strlen(text)) : NULL;
    cJSON_free(text);
    return prep->steps ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the steps");
}

weir_status weir_prep_from_json(const cJSON *json, weir_prep **ret_prep, weir_err *err) {
    int version;
    if (!whole_of(cJSON_GetObjectItemCaseSensitive(json, "version"), VERSION, VERSION + 1, &version))
        return WEIR_FAIL(err, WEIR_EDATA, "preprocessing: found another version, expected %d", VERSION);
    weir_prep *prep = NULL;
    weir_status status = weir_prep_new(&prep, err);
    if (status == WEIR_OK) status = read_steps(prep, json, err);
    if (status == WEIR_OK) status = read_inputs(prep, json, err);
    if (status == WEIR_OK) status = read_levels(prep, json, err);
    if (status == WEIR_OK) status = read_nodes(prep, json, err);
    if (status == WEIR_OK) status = read_outputs(prep, json, err);
    if (status == WEIR_OK) status = read_evidence(prep, json, err);
    if (status != WEIR_OK) {
        weir_prep_free(prep);
        return status;
    }
    *ret_prep = prep;
    return WEIR_OK;
}
