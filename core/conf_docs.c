/* What is made from a configuration table for people and programs: --help, Markdown, JSON Schema. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "core/mem.h"

enum { FLAG_COLUMN = 32, FLAG_MAX = 256 };

/* What is not a text in JSON may still come from the environment, and is then written as one. */
#define FROM_ENV_PATTERN "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}"

static bool is_ranged(const weir_conf_item *item) {
    return (item->type == WEIR_CONF_INT || item->type == WEIR_CONF_NUMBER) && item->min < item->max;
}

static const char *shown_default(const weir_conf_item *item) {
    return item->flags & WEIR_CONF_SECRET || !item->fallback || !*item->fallback ? NULL : item->fallback;
}

static const char *type_word(weir_conf_type type) {
    static const char *const words[] = {
        [WEIR_CONF_BOOL] = "true or false", [WEIR_CONF_INT] = "whole number", [WEIR_CONF_NUMBER] = "number", [WEIR_CONF_STRING] = "text",
        [WEIR_CONF_DURATION] = "duration",  [WEIR_CONF_TIME] = "UTC time",    [WEIR_CONF_ENUM] = "one of",   [WEIR_CONF_LIST] = "list of texts",
    };
    return words[type];
}

static const char *placeholder(weir_conf_type type) {
    switch (type) {
    case WEIR_CONF_BOOL: return "";
    case WEIR_CONF_INT: return " N";
    case WEIR_CONF_NUMBER: return " X";
    case WEIR_CONF_DURATION: return " DURATION";
    case WEIR_CONF_TIME: return " TIME";
    case WEIR_CONF_ENUM: return " WORD";
    case WEIR_CONF_STRING:
    case WEIR_CONF_LIST: return " TEXT";
    }
    return "";
}

static void flag_text(const weir_conf_item *item, char text[FLAG_MAX]) {
    bool positional = item->flags & WEIR_CONF_POSITIONAL;
    /* What is on by default is switched off. */
    bool negated = item->type == WEIR_CONF_BOOL && item->fallback && !strcmp(item->fallback, "true");
    int head = snprintf(text, FLAG_MAX, "%s%s", positional ? "" : negated ? "--no-" : "--", item->name);
    for (char *c = text; *c; c++) {
        if (positional)
            *c = (char)toupper((unsigned char)*c);
        else if (*c == '_')
            *c = '-';
    }
    if (head < FLAG_MAX)
        snprintf(text + head, (size_t)(FLAG_MAX - head), "%s%s", positional ? "" : placeholder(item->type), item->type == WEIR_CONF_LIST ? " ..." : "");
}

static void print_choices(const weir_conf_item *item, const char *separator, FILE *out) {
    for (size_t i = 0; item->choices[i]; i++) fprintf(out, "%s%s", i ? separator : "", item->choices[i]);
}

static void print_help_line(const weir_conf_item *item, FILE *out) {
    char flag[FLAG_MAX];
    flag_text(item, flag);
    fprintf(out, "  %-*s", FLAG_COLUMN - 2, flag);
    if (strlen(flag) > FLAG_COLUMN - 4) fprintf(out, "\n%*s", FLAG_COLUMN, "");
    fputs(item->doc, out);
    if (item->type == WEIR_CONF_ENUM) {
        fputs(": ", out);
        print_choices(item, ", ", out);
    }
    if (is_ranged(item)) fprintf(out, "; %.15g to %.15g", item->min, item->max);
    if (item->unit) fprintf(out, "; in %s", item->unit);
    if (item->flags & WEIR_CONF_REQUIRED) fputs(" (required)", out);
    if (shown_default(item) && item->type != WEIR_CONF_BOOL) fprintf(out, " [%s]", shown_default(item));
    fputc('\n', out);
}

void weir_conf_help(const weir_conf_item *table, FILE *out) {
    for (const weir_conf_item *item = table; item->name; item++)
        if (item->flags & WEIR_CONF_POSITIONAL) print_help_line(item, out);
    for (const weir_conf_item *item = table; item->name; item++)
        if (!(item->flags & WEIR_CONF_POSITIONAL)) print_help_line(item, out);
    fprintf(out, "  %-*s%s\n", FLAG_COLUMN - 2, "--help", "show this");
}

/* '|' would end the cell. */
static void print_cell(const char *text, FILE *out) {
    for (; *text; text++) {
        if (*text == '|') fputc('\\', out);
        fputc(*text, out);
    }
}

void weir_conf_markdown(const weir_conf_item *table, FILE *out) {
    fputs("| setting | type | default | meaning |\n|---|---|---|---|\n", out);
    for (const weir_conf_item *item = table; item->name; item++) {
        fprintf(out, "| `%s` | %s", item->name, type_word(item->type));
        if (item->type == WEIR_CONF_ENUM) {
            fputs(" ", out);
            print_choices(item, ", ", out);
        }
        if (is_ranged(item)) fprintf(out, " %.15g to %.15g", item->min, item->max);
        if (item->unit) fprintf(out, ", %s", item->unit);
        fputs(" | ", out);
        if (item->flags & WEIR_CONF_REQUIRED)
            fputs("required", out);
        else if (shown_default(item))
            fprintf(out, "`%s`", shown_default(item));
        fputs(" | ", out);
        print_cell(item->doc, out);
        if (item->flags & WEIR_CONF_SECRET) fputs(" (secret)", out);
        if (item->flags & WEIR_CONF_RELOADABLE) fputs(" (reloadable)", out);
        fputs(" |\n", out);
    }
}

static cJSON *type_or_env(const char *type) {
    return cJSON_CreateStringArray((const char *const[]){type, "string"}, 2);
}

static bool add_item(cJSON *to, const char *name, cJSON *item) {
    if (item && cJSON_AddItemToObject(to, name, item)) return true;
    cJSON_Delete(item);
    return false;
}

static bool add_type(cJSON *property, const weir_conf_item *item) {
    switch (item->type) {
    case WEIR_CONF_BOOL: return add_item(property, "type", type_or_env("boolean")) && cJSON_AddStringToObject(property, "pattern", FROM_ENV_PATTERN);
    case WEIR_CONF_INT: return add_item(property, "type", type_or_env("integer")) && cJSON_AddStringToObject(property, "pattern", FROM_ENV_PATTERN);
    case WEIR_CONF_NUMBER: return add_item(property, "type", type_or_env("number")) && cJSON_AddStringToObject(property, "pattern", FROM_ENV_PATTERN);
    case WEIR_CONF_STRING: return cJSON_AddStringToObject(property, "type", "string");
    case WEIR_CONF_DURATION:
        return cJSON_AddStringToObject(property, "type", "string") && cJSON_AddStringToObject(property, "pattern", "^[0-9]+(ms|s|m|h|d|w)$|" FROM_ENV_PATTERN);
    case WEIR_CONF_TIME:
        return cJSON_AddStringToObject(property, "type", "string") &&
               cJSON_AddStringToObject(property, "pattern", "^[0-9]{4}-[0-9]{2}-[0-9]{2}|" FROM_ENV_PATTERN);
    case WEIR_CONF_ENUM: {
        int n = 0;
        while (item->choices[n]) n++;
        return cJSON_AddStringToObject(property, "type", "string") && add_item(property, "enum", cJSON_CreateStringArray(item->choices, n));
    }
    case WEIR_CONF_LIST: {
        cJSON *items = cJSON_CreateObject();
        bool ok = items && cJSON_AddStringToObject(items, "type", "string");
        if (!ok) cJSON_Delete(items);
        return ok && cJSON_AddStringToObject(property, "type", "array") && add_item(property, "items", items);
    }
    }
    return false;
}

static bool add_default(cJSON *property, const weir_conf_item *item) {
    const char *text = shown_default(item);
    if (!text) return true;
    switch (item->type) {
    case WEIR_CONF_BOOL: return cJSON_AddBoolToObject(property, "default", !strcmp(text, "true"));
    case WEIR_CONF_INT:
    case WEIR_CONF_NUMBER: return cJSON_AddNumberToObject(property, "default", strtod(text, NULL));
    case WEIR_CONF_LIST: return true; /* its text form is not what a file would say */
    default: return cJSON_AddStringToObject(property, "default", text);
    }
}

static cJSON *item_schema(const weir_conf_item *item) {
    cJSON *property = cJSON_CreateObject();
    weir_buf doc = {0};
    bool ok = property && weir_buf_printf(&doc, "%s%s%s", item->doc, item->unit ? "; in " : "", item->unit ? item->unit : "") && add_type(property, item) &&
              cJSON_AddStringToObject(property, "description", doc.data) && add_default(property, item);
    if (ok && is_ranged(item)) ok = cJSON_AddNumberToObject(property, "minimum", item->min) && cJSON_AddNumberToObject(property, "maximum", item->max);
    if (ok && item->flags & WEIR_CONF_SECRET) ok = cJSON_AddTrueToObject(property, "writeOnly");
    weir_buf_done(&doc);
    if (ok) return property;
    cJSON_Delete(property);
    return NULL;
}

static bool add_required(cJSON *schema, const weir_conf_item *table) {
    cJSON *required = cJSON_CreateArray();
    bool ok = required;
    for (const weir_conf_item *item = table; ok && item->name; item++)
        if (item->flags & WEIR_CONF_REQUIRED) ok = cJSON_AddItemToArray(required, cJSON_CreateString(item->name));
    if (ok && cJSON_GetArraySize(required) > 0) return add_item(schema, "required", required);
    cJSON_Delete(required);
    return ok;
}

cJSON *weir_conf_json_schema(const weir_conf_item *table) {
    cJSON *schema = cJSON_CreateObject();
    cJSON *properties = schema && cJSON_AddStringToObject(schema, "type", "object") ? cJSON_AddObjectToObject(schema, "properties") : NULL;
    bool ok = properties;
    for (const weir_conf_item *item = table; ok && item->name; item++) ok = add_item(properties, item->name, item_schema(item));
    ok = ok && add_required(schema, table) && cJSON_AddFalseToObject(schema, "additionalProperties");
    if (ok) return schema;
    cJSON_Delete(schema);
    return NULL;
}
