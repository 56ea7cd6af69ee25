/* See operators_page.h. */
#include "cli/operators_page.h"

#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "features/expr.h"
#include "features/operator.h"

static const struct {
    weir_window_kind kind;
    const char *name;
} windows[] = {{WEIR_WINDOW_SLIDING, "sliding"}, {WEIR_WINDOW_LAST, "last"},       {WEIR_WINDOW_TUMBLING, "tumbling"},
               {WEIR_WINDOW_HOPPING, "hopping"}, {WEIR_WINDOW_SESSION, "session"}, {WEIR_WINDOW_TO_DATE, "to_date"},
               {WEIR_WINDOW_ALL, "all"}};
enum { WINDOW_KINDS = sizeof(windows) / sizeof(*windows) };

static bool has_range(const weir_param_def *def) {
    return def->min < def->max;
}

static const weir_param_def *find_param(const weir_operator *op, const char *name) {
    const weir_param_def *def = op->params;
    while (def && def->name && strcmp(def->name, name)) def++;
    return def && def->name ? def : NULL;
}

/* Whether "window" may be left out: see docs/pipeline-file.md. */
static bool implies_window(const weir_operator *op) {
    return op->windows == 1u << WEIR_WINDOW_ALL || (op->windows & 1u << WEIR_WINDOW_LAST && find_param(op, "n"));
}

/* --- Markdown --- */

/* In the cell of a table '|' ends the cell, and in a paragraph '*' and '_' would begin emphasis; code spans keep what is in them. */
static void print_cell(const char *text, FILE *out) {
    for (; *text; text++) {
        if (*text == '|') fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_number(const weir_param_def *def, double value, FILE *out) {
    if (def->type != WEIR_PARAM_DURATION) {
        fprintf(out, "%.15g", value);
        return;
    }
    static const struct {
        double us;
        const char *unit;
    } units[] = {{(double)WEIR_DAY_US, "d"}, {3.6e9, "h"}, {6e7, "m"}, {1e6, "s"}, {1e3, "ms"}};
    size_t i = 0;
    while (i < 4 && fmod(value, units[i].us) != 0) i++;
    fprintf(out, "%.15g%s", value / units[i].us, units[i].unit);
}

static void print_default(const weir_param_def *def, FILE *out) {
    if (def->required)
        fprintf(out, "required");
    else if (def->type == WEIR_PARAM_CHOICE)
        fprintf(out, "`%s`", def->choices[(int)def->fallback]);
    else if (def->type == WEIR_PARAM_TEXT || isnan(def->fallback))
        fprintf(out, "none");
    else
        print_number(def, def->fallback, out);
}

static void print_param(const weir_param_def *def, FILE *out) {
    static const char *const types[] = {[WEIR_PARAM_NUMBER] = "number",
                                        [WEIR_PARAM_WHOLE] = "whole number",
                                        [WEIR_PARAM_DURATION] = "duration",
                                        [WEIR_PARAM_CHOICE] = "one of",
                                        [WEIR_PARAM_TEXT] = "text"};
    fprintf(out, "| `%s` | %s", def->name, types[def->type]);
    for (int i = 0; def->type == WEIR_PARAM_CHOICE && def->choices[i]; i++) fprintf(out, "%s `%s`", i ? "," : "", def->choices[i]);
    bool ranged = has_range(def) && def->type != WEIR_PARAM_CHOICE && def->type != WEIR_PARAM_TEXT, from = ranged && isfinite(def->min),
         to = ranged && isfinite(def->max);
    if (from) fprintf(out, to ? ", " : ", at least "), print_number(def, def->min, out);
    if (to) fprintf(out, from ? " to " : ", at most "), print_number(def, def->max, out);
    fprintf(out, " | ");
    print_default(def, out);
    fprintf(out, " | ");
    print_cell(def->doc, out);
    fprintf(out, " |\n");
}

static void print_windows(const weir_operator *op, FILE *out) {
    const char *before = "";
    if (op->windows == WEIR_WINDOWS_EVERY)
        fprintf(out, "every kind");
    else
        for (int i = 0; i < WINDOW_KINDS; i++) {
            if (op->windows & 1u << windows[i].kind) fprintf(out, "%s%s", before, windows[i].name), before = ", ";
        }
    if (op->windows == 1u << WEIR_WINDOW_ALL)
        fprintf(out, "; may be left out");
    else if (implies_window(op))
        fprintf(out, "; without it the last n records");
    if (op->merge) fprintf(out, "; tiles%s%s", op->tile_error ? ", with " : "", op->tile_error ? op->tile_error : "");
}

static void print_inputs(const weir_operator *op, FILE *out) {
    const char *what = op->texts ? "numbers or texts" : "numbers";
    if (!op->inputs_max)
        fprintf(out, "nothing");
    else if (op->inputs_max == 1)
        fprintf(out, "%sa number%s", op->inputs_min ? "" : "nothing, or ", op->texts ? " or a text" : "");
    else if (op->inputs_min == op->inputs_max)
        fprintf(out, "%d %s", op->inputs_max, what);
    else
        fprintf(out, "%d to %d %s", op->inputs_min, op->inputs_max, what);
}

static void print_operator(const weir_operator *op, FILE *out) {
    fprintf(out, "\n### %s\n\n%s\n\n", op->name, op->doc);
    fprintf(out, "- Formula: `%s`\n- Of: ", op->formula);
    print_inputs(op, out);
    fprintf(out, "\n- Windows: ");
    print_windows(op, out);
    fprintf(out, "\n- Unit: %s\n- Edges: %s\n- Source: %s\n", op->unit, op->edges, op->source);
    if (!op->params || !op->params->name) return;
    fprintf(out, "\n| parameter | values | default | meaning |\n|---|---|---|---|\n");
    for (const weir_param_def *def = op->params; def->name; def++) print_param(def, out);
}

static void print_functions(FILE *out) {
    fprintf(out, "| function | gives | unit | source |\n|---|---|---|---|\n");
    const weir_expr_function *f;
    for (int i = 0; (f = weir_expr_function_at(i)); i++) {
        fprintf(out, "| `%s` | ", f->signature);
        print_cell(f->doc, out);
        fprintf(out, " | %s | %s |\n", f->unit, f->source);
    }
}

void weir_operators_page(FILE *out) {
    fprintf(out, "# Operators and functions of features\n\nMade by `./run docs` from the tables that the program itself uses; not edited by hand. "
                 "[pipeline-file.md](pipeline-file.md) says how "
                 "they are written; [features.md](features.md#operators-of-your-own) how to bring operators of your own.\n\n"
                 "## Operators\n\nWhat `\"op\"` of a feature may be. Where a formula has x, it is the value of `of` in the records of the window, oldest "
                 "first, nulls and records for which "
                 "`where` is not true left out; t is the time of the value less `delay`. With `window` `{\"sliding\": …, \"tile\": …}` where it says tiles.\n");
    const weir_operator *op;
    fprintf(out, "\n| operator | |\n|---|---|\n");
    for (int i = 0; (op = weir_operator_at(i)); i++) {
        fprintf(out, "| [%s](#%s) | ", op->name, op->name);
        print_cell(op->doc, out);
        fprintf(out, " |\n");
    }
    for (int i = 0; (op = weir_operator_at(i)); i++) print_operator(op, out);
    fprintf(out, "\n## Functions\n\nWhat may be called in expressions. A null argument gives null where nothing else is said.\n\n");
    print_functions(out);
}

/* --- JSON Schema: a line an operator --- */

#define PIPELINE_SCHEMA "pipeline.schema.json#/$defs/"

static bool put_text(weir_buf *out, const char *text) {
    return weir_buf_printf(out, "\"") && weir_buf_json_escape(out, text, strlen(text)) && weir_buf_printf(out, "\"");
}

static bool put_texts(weir_buf *out, const char *const *texts) {
    bool ok = weir_buf_printf(out, "[");
    for (int i = 0; ok && texts[i]; i++) ok = weir_buf_printf(out, "%s", i ? ", " : "") && put_text(out, texts[i]);
    return ok && weir_buf_printf(out, "]");
}

static bool put_param(weir_buf *out, const weir_param_def *def) {
    bool ok = weir_buf_printf(out, ", \"%s\": {\"description\": ", def->name) && put_text(out, def->doc);
    switch (def->type) {
    case WEIR_PARAM_NUMBER:
    case WEIR_PARAM_WHOLE: ok = ok && weir_buf_printf(out, ", \"type\": \"%s\"", def->type == WEIR_PARAM_WHOLE ? "integer" : "number"); break;
    case WEIR_PARAM_DURATION: return ok && weir_buf_printf(out, ", \"$ref\": \"" PIPELINE_SCHEMA "duration\"}");
    case WEIR_PARAM_TEXT: return ok && weir_buf_printf(out, ", \"$ref\": \"" PIPELINE_SCHEMA "text\"}");
    case WEIR_PARAM_CHOICE:
        return ok && weir_buf_printf(out, ", \"anyOf\": [{\"enum\": ") && put_texts(out, def->choices) &&
               weir_buf_printf(out, "}, {\"$ref\": \"" PIPELINE_SCHEMA "from_environment\"}]}");
    }
    if (ok && has_range(def) && isfinite(def->min)) ok = weir_buf_printf(out, ", \"minimum\": %.15g", def->min);
    if (ok && has_range(def) && isfinite(def->max)) ok = weir_buf_printf(out, ", \"maximum\": %.15g", def->max);
    return ok && weir_buf_printf(out, "}");
}

/* "of" may be a text when one input is enough. */
static bool put_inputs(weir_buf *out, const weir_operator *op) {
    if (!op->inputs_max) return weir_buf_printf(out, "\"of\": false");
    return weir_buf_printf(out, "\"of\": {%s\"minItems\": %d, \"maxItems\": %d}", op->inputs_min > 1 ? "\"type\": \"array\", " : "", op->inputs_min,
                           op->inputs_max);
}

static bool put_windows(weir_buf *out, const weir_operator *op) {
    bool ok = weir_buf_printf(out, ", \"window\": {\"anyOf\": ["), first = true;
    for (int i = 0; ok && i < WINDOW_KINDS; i++) {
        if (!(op->windows & 1u << windows[i].kind)) continue;
        const char *tiled = windows[i].kind == WEIR_WINDOW_SLIDING && op->merge ? "_or_tiled" : "";
        ok = weir_buf_printf(out, "%s{\"$ref\": \"" PIPELINE_SCHEMA "window_%s%s\"}", first ? "" : ", ", windows[i].name, tiled);
        first = false;
    }
    return ok && weir_buf_printf(out, "]}");
}

static bool put_operator(weir_buf *out, const weir_operator *op) {
    bool ok =
        weir_buf_printf(out, "    {\"if\": {\"properties\": {\"op\": {\"const\": \"%s\"}, \"agg\": {\"const\": \"%s\"}}},\n     \"then\": {\"description\": ",
                        op->name, op->name) &&
        put_text(out, op->doc) && weir_buf_printf(out, ", \"properties\": {") && put_inputs(out, op) && put_windows(out, op);
    for (const weir_param_def *def = op->params; ok && def && def->name; def++) ok = put_param(out, def);
    ok = ok && weir_buf_printf(out, "}, \"required\": [\"name\"");
    if (op->inputs_min) ok = ok && weir_buf_printf(out, ", \"of\"");
    if (!implies_window(op)) ok = ok && weir_buf_printf(out, ", \"window\"");
    for (const weir_param_def *def = op->params; ok && def && def->name; def++) {
        if (def->required) ok = weir_buf_printf(out, ", \"%s\"", def->name);
    }
    ok = ok && weir_buf_printf(out, "], \"propertyNames\": {\"anyOf\": [{\"$ref\": \"" PIPELINE_SCHEMA "operator_keys\"}");
    for (const weir_param_def *def = op->params; ok && def && def->name; def++) ok = weir_buf_printf(out, ", {\"const\": \"%s\"}", def->name);
    return ok && weir_buf_printf(out, "]}}}");
}

static bool put_schema(weir_buf *out) {
    const weir_operator *op;
    bool ok = weir_buf_printf(
        out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": \"Features with an operator\",\n"
             "  \"description\": \"Made by `./run docs` from the program's own tables; not edited by hand. Part of pipeline.schema.json.\",\n  \"$defs\": {\n"
             "    \"name\": {\"enum\": [");
    for (int i = 0; ok && (op = weir_operator_at(i)); i++) ok = weir_buf_printf(out, "%s\"%s\"", i ? ", " : "", op->name);
    ok = ok && weir_buf_printf(out, "]}\n  },\n  \"allOf\": [\n");
    for (int i = 0; ok && (op = weir_operator_at(i)); i++) ok = (!i || weir_buf_printf(out, ",\n")) && put_operator(out, op);
    return ok && weir_buf_printf(out, "\n  ]\n}\n");
}

weir_status weir_operators_schema(FILE *out, weir_err *err) {
    weir_buf text = {0};
    bool ok = put_schema(&text);
    if (ok) fputs(text.data, out);
    weir_buf_done(&text);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the JSON Schema of operators");
}
