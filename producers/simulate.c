/* The table of simulators, and what they share. */
#include "producers/simulate.h"

#include <string.h>

static const weir_simulator *const simulators[] = {&weir_simulator_churn, &weir_simulator_fraud, &weir_simulator_market};
enum { SIMULATOR_COUNT = sizeof simulators / sizeof *simulators };

const weir_simulator *weir_simulator_at(int index) {
    return index >= 0 && index < SIMULATOR_COUNT ? simulators[index] : NULL;
}

const weir_simulator *weir_simulator_find(const char *domain) {
    for (int i = 0; i < SIMULATOR_COUNT; i++)
        if (!strcmp(simulators[i]->domain, domain)) return simulators[i];
    return NULL;
}

weir_status weir_records_simulate(const weir_simulator *simulator, const weir_pipeline *pipeline, const weir_simulate_conf *conf,
                                  const weir_inject_conf *inject, weir_records **ret_records, weir_err *err) {
    weir_simulate_conf whole = *conf;
    if (!whole.entities) whole.entities = simulator->fallback.entities;
    if (!whole.days) whole.days = simulator->fallback.days;
    if (!whole.start_us) whole.start_us = simulator->fallback.start_us;
    weir_records *records = NULL;
    weir_status st = simulator->open(pipeline, &whole, &records, err);
    if (!st && inject && weir_inject_any(inject)) {
        weir_inject_conf spoil = *inject;
        spoil.seed = whole.seed;
        spoil.start_us = whole.start_us;
        spoil.end_us = whole.start_us + whole.days * WEIR_DAY_US;
        st = weir_records_inject(&records, pipeline, &spoil, simulator->measured, &records, err);
    }
    if (!st) *ret_records = records;
    return st;
}

/* ---- rows ---- */

static weir_sim_role role_of(const weir_pipeline *pipeline, weir_feed which, int index) {
    const weir_feed_def *def = which == WEIR_FROM_LABELS ? &pipeline->labels : &pipeline->events;
    if (index == def->tenant_index) return WEIR_SIM_TENANT;
    if (index == def->time_index) return WEIR_SIM_TIME;
    if (which == WEIR_FROM_LABELS && index == def->available_index) return WEIR_SIM_AVAILABLE;
    if (which == WEIR_FROM_LABELS && index == pipeline->label_column) return WEIR_SIM_LABEL;
    return pipeline->labels.topic && index == pipeline->label_join[which] ? WEIR_SIM_ID : WEIR_SIM_NAMED;
}

/* A column of the role, or of the schema column's name. */
static int find_column(const weir_sim_column *columns, weir_sim_role role, const char *name) {
    for (int i = 0; columns[i].name || columns[i].role; i++)
        if (role != WEIR_SIM_NAMED && columns[i].role == role) return i;
    for (int i = 0; columns[i].name || columns[i].role; i++)
        if (columns[i].name && !strcmp(columns[i].name, name)) return i;
    return -1;
}

static bool fits(weir_type from, const weir_schema_field *to) {
    switch (from) {
    case WEIR_T_BOOL: return to->type == WEIR_T_BOOL || to->type == WEIR_T_I64 || to->type == WEIR_T_F64;
    case WEIR_T_I64: return to->type == WEIR_T_I64 || to->type == WEIR_T_F64 || (to->type == WEIR_T_STR && !to->is_timestamp);
    case WEIR_T_F64: return to->type == WEIR_T_F64;
    case WEIR_T_STR: return to->type == WEIR_T_STR;
    default: return false;
    }
}

weir_status weir_sim_feed_init(weir_sim_feed *feed, const weir_pipeline *pipeline, weir_feed which, const weir_sim_column *columns, weir_err *err) {
    const weir_feed_def *def = which == WEIR_FROM_LABELS ? &pipeline->labels : &pipeline->events;
    *feed = (weir_sim_feed){.feed = def, .count = weir_schema_field_count(def->schema)};
    size_t count = (size_t)feed->count;
    feed->source = weir_mem.realloc(NULL, count * sizeof *feed->source);
    feed->row = weir_mem.realloc(NULL, count * sizeof *feed->row);
    feed->digits = weir_mem.realloc(NULL, count * sizeof *feed->digits);
    if (!feed->source || !feed->row || !feed->digits) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a row");
    for (int i = 0; i < feed->count; i++) {
        const weir_schema_field *field = weir_schema_field_at(def->schema, i);
        weir_sim_role role = role_of(pipeline, which, i);
        int from = find_column(columns, role, field->name);
        bool tenant = role == WEIR_SIM_TENANT && from < 0;
        if (from >= 0 ? !fits(columns[from].type, field) : !tenant && !field->has_default && !field->nullable)
            return WEIR_FAIL(err, WEIR_EINVAL, "the simulator cannot fill column '%s' of topic %s: %s", field->name, def->topic,
                             from >= 0 ? "its type is not the simulated one's" : "it is not one that it simulates, and it has no default");
        feed->source[i] = from;
        feed->row[i] = field->has_default ? field->fallback : weir_null();
        if (tenant) feed->row[i] = weir_text(def->tenant ? def->tenant : "default");
    }
    return WEIR_OK;
}

static size_t print_digits(int64_t value, char text[WEIR_SIM_DIGITS_MAX]) {
    char reversed[WEIR_SIM_DIGITS_MAX];
    size_t n = 0, len = 0;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    for (; left || !n; left /= 10) reversed[n++] = (char)('0' + left % 10);
    if (value < 0) text[len++] = '-';
    while (n) text[len++] = reversed[--n];
    return len;
}

static weir_datum converted(const weir_datum *value, weir_type to, char digits[WEIR_SIM_DIGITS_MAX]) {
    if (value->type == WEIR_T_NULL || value->type == to) return *value;
    if (to == WEIR_T_F64) return weir_f64(weir_datum_number(value));
    if (to == WEIR_T_STR) return weir_str(digits, print_digits(value->i, digits));
    return weir_i64(value->i); /* a flag as 0 or 1 */
}

const weir_datum *weir_sim_feed_row(weir_sim_feed *feed, const weir_datum *values) {
    for (int i = 0; i < feed->count; i++)
        if (feed->source[i] >= 0) feed->row[i] = converted(&values[feed->source[i]], weir_schema_field_at(feed->feed->schema, i)->type, feed->digits[i]);
    return feed->row;
}

void weir_sim_feed_done(weir_sim_feed *feed) {
    weir_mem.realloc(feed->source, 0);
    weir_mem.realloc(feed->row, 0);
    weir_mem.realloc(feed->digits, 0);
}
