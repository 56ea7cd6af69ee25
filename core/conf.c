/* Values of configuration tables: from text, environment, JSON and flags. Whatever the source, a value passes through set_text or set_json, so the rules are the same. */
#include "core/conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

enum { LABEL_MAX = 256, ITEMS_MAX = 256, FOUND_MAX = 80 };

/* Doubles, and so JSON numbers, hold every whole number up to here. */
#define WHOLE_MAX 9007199254740992.0

static void *field_at(const weir_conf_item *item, const void *object) {
    return (char *)object + item->offset;
}

static char *copy_text(const char *text, size_t len) {
    char *copy = weir_mem.realloc(NULL, len + 1);
    if (!copy) return NULL;
    memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

static weir_status no_memory(const char *label, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "%s: no memory for its value", label);
}

/* ---- what a setting expects, for messages ---- */

static void describe_expected(const weir_conf_item *item, weir_buf *out) {
    bool ok = true;
    switch (item->type) {
    case WEIR_CONF_BOOL: ok = weir_buf_printf(out, "true or false"); break;
    case WEIR_CONF_INT: ok = weir_buf_printf(out, "a whole number"); break;
    case WEIR_CONF_NUMBER: ok = weir_buf_printf(out, "a number"); break;
    case WEIR_CONF_STRING: ok = weir_buf_printf(out, "a text"); break;
    case WEIR_CONF_DURATION: ok = weir_buf_printf(out, "a duration such as 250ms, 90s, 15m, 12h, 7d or 2w"); break;
    case WEIR_CONF_TIME: ok = weir_buf_printf(out, "a UTC time such as 2018-05-15 or 2018-05-15T10:00:00Z"); break;
    case WEIR_CONF_LIST: ok = weir_buf_printf(out, "a list of texts"); break;
    case WEIR_CONF_ENUM:
        for (size_t i = 0; ok && item->choices[i]; i++) ok = weir_buf_printf(out, "%s%s", i == 0 ? "" : item->choices[i + 1] ? ", " : " or ", item->choices[i]);
        break;
    }
    bool ranged = (item->type == WEIR_CONF_INT || item->type == WEIR_CONF_NUMBER) && item->min < item->max;
    if (ok && ranged) ok = weir_buf_printf(out, " from %.15g to %.15g", item->min, item->max);
    if (!ok) weir_buf_clear(out);
}

/* found is never shown for a secret. */
static weir_status unexpected(const weir_conf_item *item, const char *label, const char *found, weir_err *err) {
    weir_buf expected = {0};
    describe_expected(item, &expected);
    const char *wanted = expected.data ? expected.data : "another value";
    weir_status status = item->flags & WEIR_CONF_SECRET ? WEIR_FAIL(err, WEIR_EINVAL, "%s: its value (a secret) is not %s", label, wanted)
                                                        : WEIR_FAIL(err, WEIR_EINVAL, "%s: found \"%.*s\", expected %s", label, FOUND_MAX, found, wanted);
    weir_buf_done(&expected);
    return status;
}

static weir_status unknown(const weir_conf_item *table, const char *label, const char *what, const char *name, bool as_flag, weir_err *err) {
    const char *names[ITEMS_MAX + 1];
    size_t n = 0;
    for (; table[n].name && n < ITEMS_MAX; n++) names[n] = table[n].name;
    names[n] = NULL;
    const char *nearest = weir_conf_nearest(name, names);
    if (!nearest) return WEIR_FAIL(err, WEIR_EINVAL, "%s: unknown %s", label, what);
    char shown[LABEL_MAX];
    snprintf(shown, sizeof shown, "%s%s", as_flag ? "--" : "", nearest);
    for (char *c = shown; as_flag && *c; c++)
        if (*c == '_') *c = '-';
    return WEIR_FAIL(err, WEIR_EINVAL, "%s: unknown %s; did you mean \"%s\"?", label, what, shown);
}

/* ---- lists ---- */

static size_t list_length(char *const *list) {
    size_t n = 0;
    while (list && list[n]) n++;
    return n;
}

static void free_list(char **list) {
    for (size_t i = 0; list && list[i]; i++) weir_mem.realloc(list[i], 0);
    weir_mem.realloc(list, 0);
}

static bool append_to_list(char ***list, const char *text, size_t len) {
    size_t n = list_length(*list);
    char *copy = copy_text(text, len);
    char **longer = copy ? weir_mem.realloc(*list, (n + 2) * sizeof **list) : NULL;
    if (!longer) {
        weir_mem.realloc(copy, 0);
        return false;
    }
    longer[n] = copy;
    longer[n + 1] = NULL;
    *list = longer;
    return true;
}

/* "a,b,c"; nothing between two commas is no element. */
static bool split_list(const char *text, char ***ret_list) {
    char **list = NULL;
    for (const char *at = text; *text; at++) {
        size_t len = strcspn(at, ",");
        if (len && !append_to_list(&list, at, len)) {
            free_list(list);
            return false;
        }
        at += len;
        if (!*at) break;
    }
    *ret_list = list;
    return true;
}

/* ---- one value ---- */

static void release(const weir_conf_item *item, void *object) {
    void *field = field_at(item, object);
    if (item->type == WEIR_CONF_STRING) {
        weir_mem.realloc(*(char **)field, 0);
        *(char **)field = NULL;
    } else if (item->type == WEIR_CONF_LIST) {
        free_list(*(char ***)field);
        *(char ***)field = NULL;
    }
}

static bool in_range(const weir_conf_item *item, double value) {
    return !(item->min < item->max) || (value >= item->min && value <= item->max);
}

static bool parse_bool(const char *text, bool *ret_value) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *ret_value = i % 2;
        return true;
    }
    return false;
}

static bool parse_int(const weir_conf_item *item, const char *text, int64_t *ret_value) {
    if (!isdigit((unsigned char)*text) && *text != '-') return false;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || !in_range(item, (double)value)) return false;
    *ret_value = value;
    return true;
}

static bool parse_number(const weir_conf_item *item, const char *text, double *ret_value) {
    if (isspace((unsigned char)*text)) return false;
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || !in_range(item, value)) return false;
    *ret_value = value;
    return true;
}

static bool parse_choice(const weir_conf_item *item, const char *text, int *ret_value) {
    for (int i = 0; item->choices[i]; i++) {
        if (strcmp(text, item->choices[i]) != 0) continue;
        *ret_value = i;
        return true;
    }
    return false;
}

/* label names the setting as the user knows it; found is what messages show, as written by the user. The field is unchanged on failure. */
static weir_status set_text(const weir_conf_item *item, void *object, const char *label, const char *text, const char *found, weir_err *err) {
    void *field = field_at(item, object);
    bool ok = true;
    switch (item->type) {
    case WEIR_CONF_BOOL: ok = parse_bool(text, field); break;
    case WEIR_CONF_INT: ok = parse_int(item, text, field); break;
    case WEIR_CONF_NUMBER: ok = parse_number(item, text, field); break;
    case WEIR_CONF_DURATION: ok = weir_duration_parse(text, field, NULL) == WEIR_OK; break;
    case WEIR_CONF_TIME: ok = weir_time_parse(text, field, NULL) == WEIR_OK; break;
    case WEIR_CONF_ENUM: ok = parse_choice(item, text, field); break;
    case WEIR_CONF_STRING: {
        char *copy = copy_text(text, strlen(text));
        if (!copy) return no_memory(label, err);
        release(item, object);
        *(char **)field = copy;
        break;
    }
    case WEIR_CONF_LIST: {
        char **list;
        if (!split_list(text, &list)) return no_memory(label, err);
        release(item, object);
        *(char ***)field = list;
        break;
    }
    }
    return ok ? WEIR_OK : unexpected(item, label, found, err);
}

static size_t field_size(weir_conf_type type) {
    switch (type) {
    case WEIR_CONF_BOOL: return sizeof(bool);
    case WEIR_CONF_INT:
    case WEIR_CONF_DURATION:
    case WEIR_CONF_TIME: return sizeof(int64_t);
    case WEIR_CONF_NUMBER: return sizeof(double);
    case WEIR_CONF_STRING: return sizeof(char *);
    case WEIR_CONF_ENUM: return sizeof(int);
    case WEIR_CONF_LIST: return sizeof(char **);
    }
    return 0;
}

weir_status weir_conf_defaults(const weir_conf_item *table, void *object, weir_err *err) {
    weir_conf_done(table, object);
    for (const weir_conf_item *item = table; item->name; item++) {
        if (!item->fallback) continue;
        weir_status status = set_text(item, object, item->name, item->fallback, item->fallback, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

void weir_conf_done(const weir_conf_item *table, void *object) {
    for (const weir_conf_item *item = table; item->name; item++) {
        release(item, object);
        memset(field_at(item, object), 0, field_size(item->type));
    }
}

/* "-" and "_" are the same here, so that flags find their setting. */
static const weir_conf_item *find_item(const weir_conf_item *table, const char *name, size_t len) {
    for (const weir_conf_item *item = table; item->name; item++) {
        size_t i = 0;
        while (i < len && item->name[i] && (item->name[i] == name[i] || (item->name[i] == '_' && name[i] == '-'))) i++;
        if (i == len && !item->name[i]) return item;
    }
    return NULL;
}

weir_status weir_conf_set(const weir_conf_item *table, void *object, const char *name, const char *text, weir_err *err) {
    const weir_conf_item *item = find_item(table, name, strlen(name));
    if (!item) return unknown(table, name, "setting", name, false, err);
    return set_text(item, object, item->name, text, text, err);
}

weir_status weir_conf_from_env(const weir_conf_item *table, void *object, weir_err *err) {
    for (const weir_conf_item *item = table; item->name; item++) {
        char label[LABEL_MAX];
        snprintf(label, sizeof label, "WEIR_%s", item->name);
        for (char *c = label; *c; c++) *c = (char)toupper((unsigned char)*c);
        const char *text = getenv(label);
        if (!text || !*text) continue;
        weir_status status = set_text(item, object, label, text, text, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* ---- JSON ---- */

static const char *json_kind(const cJSON *json) {
    if (cJSON_IsString(json)) return json->valuestring;
    if (cJSON_IsNumber(json)) return "a number";
    if (cJSON_IsBool(json)) return cJSON_IsTrue(json) ? "true" : "false";
    if (cJSON_IsArray(json)) return "an array";
    if (cJSON_IsObject(json)) return "an object";
    return "null";
}

static weir_status expand_for(const char *label, const char *text, char **ret_text, weir_err *err) {
    weir_status status = weir_conf_expand(text, ret_text, err);
    if (status != WEIR_OK && err) (void)weir_err_prefix(err, "%s", label);
    return status;
}

/* The message shows the text as it stands in the file: what the environment holds may be secret. */
static weir_status set_json_string(const weir_conf_item *item, void *object, const char *label, const char *text, weir_err *err) {
    bool typed = item->type == WEIR_CONF_BOOL || item->type == WEIR_CONF_INT || item->type == WEIR_CONF_NUMBER || item->type == WEIR_CONF_LIST;
    if (typed && !strstr(text, "${")) return unexpected(item, label, text, err);
    char *expanded;
    weir_status status = expand_for(label, text, &expanded, err);
    if (status != WEIR_OK) return status;
    status = set_text(item, object, label, expanded, text, err);
    weir_mem.realloc(expanded, 0);
    return status;
}

static weir_status set_json_number(const weir_conf_item *item, void *object, const char *label, double value, weir_err *err) {
    bool whole = item->type == WEIR_CONF_INT, ok = isfinite(value) && in_range(item, value);
    if (whole) ok = ok && fabs(value) <= WHOLE_MAX && value == trunc(value);
    if (!ok || (!whole && item->type != WEIR_CONF_NUMBER)) {
        char found[40];
        snprintf(found, sizeof found, "%.15g", value);
        return unexpected(item, label, found, err);
    }
    if (whole)
        *(int64_t *)field_at(item, object) = (int64_t)value;
    else
        *(double *)field_at(item, object) = value;
    return WEIR_OK;
}

static weir_status set_json_list(const weir_conf_item *item, void *object, const char *label, const cJSON *array, weir_err *err) {
    char **list = NULL;
    weir_status status = WEIR_OK;
    for (const cJSON *child = array->child; status == WEIR_OK && child; child = child->next) {
        if (!cJSON_IsString(child)) {
            status = unexpected(item, label, json_kind(child), err);
            break;
        }
        char *text;
        status = expand_for(label, child->valuestring, &text, err);
        if (status != WEIR_OK) break;
        if (!append_to_list(&list, text, strlen(text))) status = no_memory(label, err);
        weir_mem.realloc(text, 0);
    }
    if (status != WEIR_OK) {
        free_list(list);
        return status;
    }
    release(item, object);
    *(char ***)field_at(item, object) = list;
    return WEIR_OK;
}

static weir_status set_json(const weir_conf_item *item, void *object, const char *label, const cJSON *json, weir_err *err) {
    if (cJSON_IsString(json)) return set_json_string(item, object, label, json->valuestring, err);
    if (cJSON_IsNumber(json)) return set_json_number(item, object, label, json->valuedouble, err);
    if (cJSON_IsArray(json) && item->type == WEIR_CONF_LIST) return set_json_list(item, object, label, json, err);
    if (!cJSON_IsBool(json) || item->type != WEIR_CONF_BOOL) return unexpected(item, label, json_kind(json), err);
    *(bool *)field_at(item, object) = cJSON_IsTrue(json);
    return WEIR_OK;
}

weir_status weir_conf_from_json(const weir_conf_item *table, void *object, const cJSON *json, const char *path, weir_err *err) {
    if (!cJSON_IsObject(json)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object", path, cJSON_IsString(json) ? "a text" : json_kind(json));
    for (const cJSON *child = json->child; child; child = child->next) {
        char label[LABEL_MAX];
        snprintf(label, sizeof label, "%s.%s", path, child->string);
        const weir_conf_item *item = table;
        while (item->name && strcmp(item->name, child->string) != 0) item++;
        if (!item->name) return unknown(table, label, "key", child->string, false, err);
        for (const cJSON *other = json->child; other != child; other = other->next)
            if (!strcmp(other->string, child->string)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: the key is there twice", label);
        weir_status status = set_json(item, object, label, child, err);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* ---- flags ---- */

/* What one pass over the arguments needs to remember. */
typedef struct args {
    const weir_conf_item *table;
    void *object;
    int argc, at;
    char **argv;
    const weir_conf_item *positional; /* the next one to fill */
    bool replaced[ITEMS_MAX]; /* lists whose default was dropped for the first flag */
} args;

/* The first flag of a list replaces what was there, further ones add to it. */
static weir_status add_to_list(args *a, const weir_conf_item *item, const char *label, const char *text, weir_err *err) {
    size_t index = (size_t)(item - a->table);
    if (index < ITEMS_MAX && !a->replaced[index]) {
        release(item, a->object);
        a->replaced[index] = true;
    }
    return append_to_list(field_at(item, a->object), text, strlen(text)) ? WEIR_OK : no_memory(label, err);
}

static weir_status set_arg(args *a, const weir_conf_item *item, const char *label, const char *text, weir_err *err) {
    if (item->type == WEIR_CONF_LIST) return add_to_list(a, item, label, text, err);
    return set_text(item, a->object, label, text, text, err);
}

static weir_status take_positional(args *a, const char *text, weir_err *err) {
    while (a->positional->name && !(a->positional->flags & WEIR_CONF_POSITIONAL)) a->positional++;
    const weir_conf_item *item = a->positional;
    if (!item->name) return WEIR_FAIL(err, WEIR_EINVAL, "\"%.*s\" is one argument too many", FOUND_MAX, text);
    if (item->type != WEIR_CONF_LIST) a->positional++; /* a list takes all the rest */
    return set_arg(a, item, item->name, text, err);
}

static weir_status take_flag(args *a, const char *arg, weir_err *err) {
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] ? name + len + 1 : NULL;
    char label[LABEL_MAX];
    snprintf(label, sizeof label, "--%.*s", (int)(len < LABEL_MAX ? len : LABEL_MAX), name);

    const weir_conf_item *item = find_item(a->table, name, len);
    if (item && item->type == WEIR_CONF_BOOL && !value) value = "true";
    if (!item && !value && !strncmp(name, "no-", 3)) {
        item = find_item(a->table, name + 3, len - 3);
        if (item && item->type != WEIR_CONF_BOOL) item = NULL;
        value = "false";
    }
    if (!item) {
        char word[LABEL_MAX];
        snprintf(word, sizeof word, "%s", label + 2);
        for (char *c = word; *c; c++)
            if (*c == '-') *c = '_';
        return unknown(a->table, label, "option", word, true, err);
    }
    if (!value) {
        const char *next = a->at + 1 < a->argc ? a->argv[a->at + 1] : NULL;
        if (!next || !strncmp(next, "--", 2)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: needs a value", label);
        value = next;
        a->at++;
    }
    weir_status status = set_arg(a, item, label, value, err);
    while (status == WEIR_OK && item->flags & WEIR_CONF_MANY && a->at + 1 < a->argc && a->argv[a->at + 1][0] != '-')
        status = set_arg(a, item, label, a->argv[++a->at], err);
    return status;
}

weir_status weir_conf_from_args(const weir_conf_item *table, void *object, int argc, char **argv, bool *ret_help, weir_err *err) {
    args a = {.table = table, .object = object, .argc = argc, .argv = argv, .positional = table};
    bool flags_ended = false;
    *ret_help = false;
    for (; a.at < argc; a.at++) {
        const char *arg = argv[a.at];
        weir_status status = WEIR_OK;
        if (flags_ended || arg[0] != '-' || !arg[1]) {
            status = take_positional(&a, arg, err);
        } else if (!strcmp(arg, "--")) {
            flags_ended = true;
        } else if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
            *ret_help = true;
            return WEIR_OK;
        } else if (arg[1] == '-') {
            status = take_flag(&a, arg, err);
        } else {
            status = WEIR_FAIL(err, WEIR_EINVAL, "\"%.*s\" is not an option; options begin with --", FOUND_MAX, arg);
        }
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* ---- completeness ---- */

static bool is_empty(const weir_conf_item *item, const void *object) {
    const void *field = field_at(item, object);
    switch (item->type) {
    case WEIR_CONF_STRING: return !*(char *const *)field || !**(char *const *)field;
    case WEIR_CONF_LIST: return list_length(*(char **const *)field) == 0;
    case WEIR_CONF_INT:
    case WEIR_CONF_DURATION:
    case WEIR_CONF_TIME: return *(const int64_t *)field == 0;
    case WEIR_CONF_NUMBER: return *(const double *)field == 0;
    case WEIR_CONF_BOOL:
    case WEIR_CONF_ENUM: return false; /* every value of these is one that somebody may have wanted */
    }
    return false;
}

weir_status weir_conf_check(const weir_conf_item *table, const void *object, weir_err *err) {
    for (const weir_conf_item *item = table; item->name; item++)
        if (item->flags & WEIR_CONF_REQUIRED && is_empty(item, object)) return WEIR_FAIL(err, WEIR_EINVAL, "%s is missing: %s", item->name, item->doc);
    return WEIR_OK;
}
