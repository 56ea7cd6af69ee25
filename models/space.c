/* Search spaces: validation of their JSON, and points to and from JSON. */
#include "models/space.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "models/json.h"
#include "models/memory.h"

enum { PATH_MAX_BYTES = 256 };

#define WHOLE_MAX 1e15 /* JSON texts keep 15 digits whoever prints them */
#define STEPS_MAX 1e9

struct weir_space {
    cJSON *json; /* own copy: names and choices point into it */
    weir_param *params;
    const cJSON **items; /* of params, while the space is being read */
    bool *allowed; /* of all conditions */
    int count;
};

/* A finite number; whole: and one that doubles hold exactly. */
static weir_status read_number(const cJSON *item, bool whole, const char *path, double *ret_number, weir_err *err) {
    const char *expected = whole ? "a whole number up to 10^15" : "a finite number";
    if (!cJSON_IsNumber(item)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected %s", path, weir_json_kind(item), expected);
    double x = item->valuedouble;
    if (!isfinite(x) || (whole && (x != floor(x) || fabs(x) > WHOLE_MAX))) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %g, expected %s", path, x, expected);
    *ret_number = x;
    return WEIR_OK;
}

static weir_status read_bounds(const cJSON *range, const char *path, weir_param *p, weir_err *err) {
    bool whole = p->kind == WEIR_SPACE_INT;
    if (!cJSON_IsArray(range) || cJSON_GetArraySize(range) != 2)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s of %d, expected [low, high]", path, weir_json_kind(range), cJSON_GetArraySize(range));
    weir_status status = read_number(cJSON_GetArrayItem(range, 0), whole, path, &p->low, err);
    if (status == WEIR_OK) status = read_number(cJSON_GetArrayItem(range, 1), whole, path, &p->high, err);
    if (status != WEIR_OK) return status;
    if (p->low > p->high) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found [%g, %g], expected low ≤ high", path, p->low, p->high);
    if (!isfinite(p->high - p->low)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found [%g, %g], expected a finite range", path, p->low, p->high);
    return WEIR_OK;
}

static weir_status read_log(const cJSON *log, const char *path, weir_param *p, weir_err *err) {
    double least = p->kind == WEIR_SPACE_INT ? 1 : 0;
    if (!log) return WEIR_OK;
    if (!cJSON_IsBool(log)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.log: found %s, expected true or false", path, weir_json_kind(log));
    p->log = cJSON_IsTrue(log);
    if (p->log && (p->low < least || p->low == 0))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found a low of %g, expected %s for a logarithmic scale", path, p->low,
                         least > 0 ? "at least 1" : "more than 0");
    return WEIR_OK;
}

static weir_status read_step(const cJSON *step, const char *path, weir_param *p, weir_err *err) {
    char step_path[PATH_MAX_BYTES + 8];
    snprintf(step_path, sizeof step_path, "%s.step", path);
    p->step = p->kind == WEIR_SPACE_INT;
    if (!step) return WEIR_OK;
    if (p->log) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found a step and a logarithmic scale, expected one of them", step_path);
    weir_status status = read_number(step, p->kind == WEIR_SPACE_INT, step_path, &p->step, err);
    if (status != WEIR_OK) return status;
    double steps = (p->high - p->low) / p->step;
    if (!(p->step > 0) || steps > STEPS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %g, expected more than 0 and at most %g steps", step_path, p->step, STEPS_MAX);
    p->high = p->low + floor(steps + 1e-9) * p->step; /* (1 − 0.5) / 0.1 must count as 5 */
    return WEIR_OK;
}

static weir_status read_choices(const cJSON *choices, const char *path, weir_param *p, weir_err *err) {
    int count = cJSON_GetArraySize(choices), i = 0;
    if (!cJSON_IsArray(choices) || count < 1 || count > WEIR_SPACE_CHOICES_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s of %d, expected an array of 1 to %d values", path, weir_json_kind(choices), count,
                         WEIR_SPACE_CHOICES_MAX);
    for (const cJSON *item = choices->child; item; item = item->next, i++) {
        int other = 0;
        for (const cJSON *before = choices->child; before != item; before = before->next, other++)
            if (cJSON_Compare(before, item, true)) return WEIR_FAIL(err, WEIR_EINVAL, "%s[%d]: the same value as [%d], expected each once", path, i, other);
    }
    p->choices = choices;
    p->high = count - 1;
    p->step = 1;
    return WEIR_OK;
}

/* Everything but the condition, which needs the other parameters. */
static weir_status read_param(const cJSON *item, const char *path, weir_param *p, weir_err *err) {
    if (cJSON_IsArray(item)) {
        p->kind = WEIR_SPACE_CHOICE;
        return read_choices(item, path, p, err);
    }
    if (!cJSON_IsObject(item)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s, expected an object or an array of values", path, weir_json_kind(item));
    static const char *const known[] = {"int", "float", "choice", "log", "step", "when", NULL};
    weir_status status = weir_json_check_keys(item, path, known, err);
    if (status != WEIR_OK) return status;
    static const char *const kinds[] = {[WEIR_SPACE_FLOAT] = "float", [WEIR_SPACE_INT] = "int", [WEIR_SPACE_CHOICE] = "choice"};
    const cJSON *range = NULL, *log = cJSON_GetObjectItemCaseSensitive(item, "log"), *step = cJSON_GetObjectItemCaseSensitive(item, "step");
    int found = 0;
    char range_path[PATH_MAX_BYTES + 8];
    for (int kind = 0; kind < 3; kind++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, kinds[kind]);
        if (!value) continue;
        found++;
        range = value;
        p->kind = (weir_space_kind)kind;
    }
    if (found != 1) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %d of 'int', 'float' and 'choice', expected exactly one", path, found);
    snprintf(range_path, sizeof range_path, "%s.%s", path, kinds[p->kind]);
    if (p->kind == WEIR_SPACE_CHOICE) {
        if (log || step) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: a choice has no scale", path, log ? "log" : "step");
        return read_choices(range, range_path, p, err);
    }
    status = read_bounds(range, range_path, p, err);
    if (status == WEIR_OK) status = read_log(log, path, p, err);
    return status == WEIR_OK ? read_step(step, path, p, err) : status;
}

static int find_param(const weir_space *space, const char *name) {
    for (int i = 0; i < space->count; i++)
        if (!strcmp(space->params[i].name, name)) return i;
    return -1;
}

static int find_choice(const weir_param *p, const cJSON *value) {
    int index = 0;
    for (const cJSON *choice = p->choices->child; choice; choice = choice->next, index++)
        if (cJSON_Compare(choice, value, true)) return index;
    return -1;
}

static const char *nearest_param(const weir_space *space, const char *name) {
    const char *names[WEIR_SPACE_PARAMS_MAX + 1] = {NULL};
    for (int i = 0; i < space->count; i++) names[i] = space->params[i].name;
    return weir_conf_nearest(name, names);
}

static const cJSON *conditions_of(const cJSON *item) {
    return cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, "when") : NULL;
}

/* One {"parent": [values]} of a `when`. allowed [choices of the parent], zeroed. */
static weir_status read_condition(const weir_space *space, int parent, const cJSON *values, const char *path, bool *allowed, weir_err *err) {
    const weir_param *p = &space->params[parent];
    int count = cJSON_GetArraySize(values), i = 0;
    if (p->kind != WEIR_SPACE_CHOICE) return WEIR_FAIL(err, WEIR_EINVAL, "%s: '%s' is a range of numbers, expected a choice", path, p->name);
    if (!cJSON_IsArray(values) || count < 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s of %d, expected an array of values", path, weir_json_kind(values), count);
    const cJSON *value;
    cJSON_ArrayForEach(value, values) {
        int choice = find_choice(p, value);
        if (choice < 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s[%d]: this value is not among the choices of '%s'", path, i, p->name);
        allowed[choice] = true;
        i++;
    }
    return WEIR_OK;
}

static weir_status read_conditions(const weir_space *space, int index, const char *path, bool **allowed, weir_err *err) {
    const cJSON *when = conditions_of(space->items[index]), *item;
    weir_param *p = &space->params[index];
    if (!when) return WEIR_OK;
    int count = cJSON_GetArraySize(when);
    if (!cJSON_IsObject(when) || count < 1 || count > WEIR_SPACE_CONDITIONS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.when: found %s of %d, expected an object of 1 to %d conditions", path, weir_json_kind(when), count,
                         WEIR_SPACE_CONDITIONS_MAX);
    cJSON_ArrayForEach(item, when) {
        char item_path[2 * PATH_MAX_BYTES];
        snprintf(item_path, sizeof item_path, "%s.when.%.128s", path, item->string);
        int parent = find_param(space, item->string);
        if (parent < 0) {
            const char *near = nearest_param(space, item->string);
            return WEIR_FAIL(err, WEIR_EINVAL, "%s: there is no such parameter%s%s%s", item_path, near ? "; did you mean '" : "", near ? near : "",
                             near ? "'?" : "");
        }
        if (cJSON_GetObjectItemCaseSensitive(when, item->string) != item) return WEIR_FAIL(err, WEIR_EINVAL, "%s: the key is there twice", item_path);
        weir_status status = read_condition(space, parent, item, item_path, *allowed, err);
        if (status != WEIR_OK) return status;
        p->conditions[p->condition_count++] = (weir_condition){.parent = parent, .allowed = *allowed};
        *allowed += (int)space->params[parent].high + 1;
    }
    return WEIR_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

static bool is_placed(const weir_space *space, int placed, const char *name) {
    for (int i = 0; i < placed; i++)
        if (!strcmp(space->items[i]->string, name)) return true;
    return false;
}

/* Is there a parameter of this name that is not among the first `placed`? Names that do not exist are told later, with their path. */
static bool waits_for(const weir_space *space, int placed, const cJSON *item) {
    const cJSON *condition;
    cJSON_ArrayForEach(condition, conditions_of(item)) {
        if (condition->string && !is_placed(space, placed, condition->string) && is_placed(space, space->count, condition->string)) return true;
    }
    return false;
}

/* By name, then the first that waits for nothing goes next: parents stand before what depends on them. */
static weir_status order_items(weir_space *space, const char *path, weir_err *err) {
    int i = 0;
    for (const cJSON *item = space->json->child; item; item = item->next) space->items[i++] = item;
    qsort(space->items, (size_t)space->count, sizeof *space->items, by_name);
    for (i = 0; i < space->count; i++) {
        int next = i;
        while (next < space->count && waits_for(space, i, space->items[next])) next++;
        if (next == space->count)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.%.128s.when: the conditions of parameters run in a circle", path, space->items[i]->string);
        const cJSON *item = space->items[next];
        memmove(&space->items[i + 1], &space->items[i], (size_t)(next - i) * sizeof *space->items);
        space->items[i] = item;
    }
    return WEIR_OK;
}

static weir_status check_names(const weir_space *space, const char *path, weir_err *err) {
    for (int i = 0; i < space->count; i++) {
        const char *name = space->items[i]->string;
        if (!*name) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found an empty name, expected the name of a parameter", path);
        if (strlen(name) > 128) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%.40s…: found a name of %zu bytes, expected at most 128", path, name, strlen(name));
        if (is_placed(space, i, name)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: the key is there twice", path, name);
    }
    return WEIR_OK;
}

/* Enough for every condition: a choice of each parent. */
static size_t condition_room(const weir_space *space) {
    size_t room = 0;
    for (int i = 0; i < space->count; i++) {
        const cJSON *condition;
        cJSON_ArrayForEach(condition, conditions_of(space->items[i])) {
            int parent = condition->string ? find_param(space, condition->string) : -1;
            if (parent >= 0) room += (size_t)weir_param_count(&space->params[parent]);
        }
    }
    return room;
}

static weir_status read_space(weir_space *space, const char *path, weir_err *err) {
    char item_path[PATH_MAX_BYTES];
    weir_status status = order_items(space, path, err);
    if (status == WEIR_OK) status = check_names(space, path, err);
    for (int i = 0; status == WEIR_OK && i < space->count; i++) {
        snprintf(item_path, sizeof item_path, "%.100s.%s", path, space->items[i]->string);
        space->params[i].name = space->items[i]->string;
        status = read_param(space->items[i], item_path, &space->params[i], err);
    }
    if (status != WEIR_OK) return status;
    bool *allowed = space->allowed = weir_models_calloc(condition_room(space), sizeof *space->allowed);
    if (!allowed) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a search space");
    for (int i = 0; status == WEIR_OK && i < space->count; i++) {
        snprintf(item_path, sizeof item_path, "%.100s.%s", path, space->items[i]->string);
        status = read_conditions(space, i, item_path, &allowed, err);
    }
    return status;
}

weir_status weir_space_new(const cJSON *json, const char *path, weir_space **ret_space, weir_err *err) {
    int count = cJSON_IsObject(json) ? cJSON_GetArraySize(json) : 0;
    if (count < 1 || count > WEIR_SPACE_PARAMS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: found %s of %d, expected an object of 1 to %d parameters", path, weir_json_kind(json), count,
                         WEIR_SPACE_PARAMS_MAX);
    weir_space *space = weir_models_calloc(1, sizeof *space);
    if (!space) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a search space");
    space->count = count;
    space->json = cJSON_Duplicate(json, true);
    space->params = weir_models_calloc((size_t)count, sizeof *space->params);
    space->items = weir_models_calloc((size_t)count, sizeof *space->items);
    bool enough = space->json && space->params && space->items;
    weir_status status = enough ? read_space(space, path, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a search space of %d parameters", count);
    if (status == WEIR_OK)
        *ret_space = space;
    else
        weir_space_free(space);
    return status;
}

void weir_space_free(weir_space *space) {
    if (!space) return;
    cJSON_Delete(space->json);
    weir_models_free(space->params);
    weir_models_free(space->items);
    weir_models_free(space->allowed);
    weir_models_free(space);
}

int weir_space_size(const weir_space *space) {
    return space->count;
}

const weir_param *weir_space_at(const weir_space *space, int index) {
    return &space->params[index];
}

bool weir_space_active(const weir_space *space, int index, const double *point) {
    const weir_param *p = &space->params[index];
    for (int i = 0; i < p->condition_count; i++) {
        double choice = point[p->conditions[i].parent];
        if (isnan(choice) || !p->conditions[i].allowed[(int)choice]) return false;
    }
    return true;
}

int64_t weir_param_count(const weir_param *param) {
    if (param->step == 0) return param->low == param->high ? 1 : 0;
    return (int64_t)floor((param->high - param->low) / param->step + 0.5) + 1;
}

/* 15 significant digits are what every double gives back after text → double → text, and what cJSON prints first. */
static double round_digits(double x) {
    char text[32];
    snprintf(text, sizeof text, "%.15g", x);
    return strtod(text, NULL);
}

double weir_param_clamp(const weir_param *param, double x) {
    if (param->step > 0) x = param->low + floor((x - param->low) / param->step + 0.5) * param->step;
    return fmin(fmax(x, param->low), param->high);
}

double weir_param_snap(const weir_param *param, double x) {
    x = weir_param_clamp(param, x);
    if (param->kind == WEIR_SPACE_FLOAT) x = fmin(fmax(round_digits(x), param->low), param->high);
    return x;
}

/* The choice with this index; lists are walked, they are short. */
static const cJSON *choice_at(const weir_param *p, double index) {
    const cJSON *choice = p->choices->child;
    for (int i = 0; i < (int)index; i++) choice = choice->next;
    return choice;
}

cJSON *weir_space_params(const weir_space *space, const double *point) {
    cJSON *params = cJSON_CreateObject();
    for (int i = 0; params && i < space->count; i++) {
        const weir_param *p = &space->params[i];
        if (isnan(point[i])) continue;
        cJSON *value = p->kind == WEIR_SPACE_CHOICE ? cJSON_Duplicate(choice_at(p, point[i]), true) : cJSON_CreateNumber(point[i]);
        if (value && cJSON_AddItemToObject(params, p->name, value)) continue;
        cJSON_Delete(value);
        cJSON_Delete(params);
        return NULL;
    }
    return params;
}

static weir_status point_of(const weir_param *p, const cJSON *value, double *ret_x, weir_err *err) {
    if (p->kind == WEIR_SPACE_CHOICE) {
        int choice = find_choice(p, value);
        if (choice < 0) return WEIR_FAIL(err, WEIR_EDATA, "$.%s: this value is not among the choices", p->name);
        *ret_x = choice;
        return WEIR_OK;
    }
    if (!cJSON_IsNumber(value)) return WEIR_FAIL(err, WEIR_EDATA, "$.%s: found %s, expected a number", p->name, weir_json_kind(value));
    double x = value->valuedouble, snapped = weir_param_snap(p, x), slack = 1e-12 * fmax(fabs(x), fabs(snapped));
    if (!(fabs(x - snapped) <= slack))
        return WEIR_FAIL(err, WEIR_EDATA, "$.%s: found %.17g, expected %g to %g%s", p->name, x, p->low, p->high, p->step > 0 ? " in steps" : "");
    *ret_x = snapped;
    return WEIR_OK;
}

weir_status weir_space_point(const weir_space *space, const cJSON *params, double *ret_point, weir_err *err) {
    double point[WEIR_SPACE_PARAMS_MAX];
    int found = 0;
    if (!cJSON_IsObject(params)) return WEIR_FAIL(err, WEIR_EDATA, "parameters: found %s, expected an object", weir_json_kind(params));
    for (int i = 0; i < space->count; i++) {
        const weir_param *p = &space->params[i];
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(params, p->name);
        bool active = weir_space_active(space, i, point);
        point[i] = NAN;
        if (active != (value != NULL))
            return WEIR_FAIL(err, WEIR_EDATA, "$.%s: found %s, expected %s", p->name, weir_json_kind(value), active ? "a value" : "nothing");
        if (!active) continue;
        weir_status status = point_of(p, value, &point[i], err);
        if (status != WEIR_OK) return status;
        found++;
    }
    if (found != cJSON_GetArraySize(params))
        return WEIR_FAIL(err, WEIR_EDATA, "parameters: found %d, but %d of them belong to the search space", cJSON_GetArraySize(params), found);
    memcpy(ret_point, point, (size_t)space->count * sizeof *point);
    return WEIR_OK;
}
