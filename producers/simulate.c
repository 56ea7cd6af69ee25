/* The table of simulators, and what they share. */
#include "producers/simulate.h"

#include <string.h>

static const weir_simulator *const simulators[] = {&weir_simulator_churn, &weir_simulator_fraud, &weir_simulator_market, &weir_simulator_maritime,
                                                   &weir_simulator_traffic};
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

/* ---- the timeline ---- */

void *weir_sim_zeroed(size_t count, size_t size) {
    void *p = weir_mem.realloc(NULL, count * size + 1);
    if (p) memset(p, 0, count * size + 1);
    return p;
}

/* Told items leave when they are half of all, so that each is moved about once. */
static void forget_told(weir_sim_timeline *t) {
    size_t told = t->label_next;
    if (!t->count || told < t->count - told) return;
    memmove(t->items, t->items + told * t->item_size, (t->count - told) * t->item_size);
    t->count -= told, t->event_next -= told, t->label_next = 0;
}

void *weir_sim_add(weir_sim_timeline *t) {
    if (t->count == t->capacity) {
        forget_told(t);
        if (t->count == t->capacity) {
            size_t wanted = t->capacity ? 2 * t->capacity : 256;
            void *grown = weir_mem.realloc(t->items, wanted * t->item_size);
            if (!grown) return NULL;
            t->items = grown;
            t->capacity = wanted;
        }
    }
    return memset(t->items + t->count++ * t->item_size, 0, t->item_size);
}

typedef struct simulation {
    const weir_sim_ops *ops;
    void *context;
    int64_t end_us, delay_us;
    bool has_labels, exhausted;
    weir_sim_timeline timeline;
    weir_sim_feed events, labels;
    weir_datum *values;
} simulation;

static const void *item_at(const weir_sim_timeline *t, size_t index) {
    return index < t->count ? t->items + index * t->item_size : NULL;
}

static int64_t time_of(const void *item) {
    int64_t at_us;
    memcpy(&at_us, item, sizeof at_us);
    return at_us;
}

static const weir_datum *fill(simulation *sim, weir_sim_feed *feed, const void *item) {
    sim->ops->fill(sim->context, item, feed == &sim->labels, sim->values);
    return weir_sim_feed_row(feed, sim->values);
}

/* A label that is due before (or at the same time as) the next event goes first: what is known at t counts for an event at t. Items past the end only say what time it is. */
static weir_status simulation_next(void *context, weir_record *ret_record, bool *ret_more, weir_err *err) {
    simulation *sim = context;
    weir_sim_timeline *t = &sim->timeline;
    for (;;) {
        while (t->event_next == t->count && !sim->exhausted) {
            bool more = true;
            weir_status st = sim->ops->advance(sim->context, t, &more, err);
            if (st) return st;
            sim->exhausted = !more;
        }
        const void *event = item_at(t, t->event_next), *label = sim->has_labels && t->label_next < t->event_next ? item_at(t, t->label_next) : NULL;
        if (label && time_of(label) >= sim->end_us) label = NULL;
        bool over = event && time_of(event) >= sim->end_us;
        *ret_more = label || (event && !over);
        if (!*ret_more) return WEIR_OK;
        if (label && (!event || time_of(label) + sim->delay_us <= time_of(event))) {
            t->label_next++;
            *ret_record = (weir_record){.feed = WEIR_FROM_LABELS, .at_us = time_of(label) + sim->delay_us, .row = fill(sim, &sim->labels, label)};
            return WEIR_OK;
        }
        t->event_next++;
        if (!sim->has_labels) t->label_next = t->event_next;
        if (over) continue;
        *ret_record = (weir_record){.feed = WEIR_FROM_EVENTS, .at_us = time_of(event), .row = fill(sim, &sim->events, event)};
        return WEIR_OK;
    }
}

static void simulation_done(void *context) {
    simulation *sim = context;
    if (!sim) return;
    sim->ops->done(sim->context);
    weir_mem.realloc(sim->timeline.items, 0);
    weir_sim_feed_done(&sim->events);
    weir_sim_feed_done(&sim->labels);
    weir_mem.realloc(sim->values, 0);
    weir_mem.realloc(sim, 0);
}

static const weir_records_ops simulation_ops = {.next = simulation_next, .done = simulation_done};

static size_t column_count(const weir_sim_column *columns) {
    size_t n = 0;
    while (columns[n].name || columns[n].role) n++;
    return n;
}

weir_status weir_sim_records(const weir_sim_ops *ops, void *context, const weir_pipeline *pipeline, int64_t end_us, weir_records **ret_records, weir_err *err) {
    weir_records *records = weir_sim_zeroed(1, sizeof *records);
    simulation *sim = weir_sim_zeroed(1, sizeof *sim);
    weir_status st = WEIR_OK;
    if (!records || !sim) {
        ops->done(context);
        weir_mem.realloc(sim, 0);
        sim = NULL;
        st = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a simulation");
        goto out;
    }
    *sim = (simulation){.ops = ops, .context = context, .end_us = end_us, .delay_us = pipeline->max_delay_us, .has_labels = pipeline->labels.topic != NULL};
    sim->timeline.item_size = ops->item_size;
    sim->values = weir_sim_zeroed(column_count(ops->columns), sizeof *sim->values);
    if (!sim->values) st = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a simulation");
    if (!st) st = weir_sim_feed_init(&sim->events, pipeline, WEIR_FROM_EVENTS, ops->columns, err);
    if (!st && sim->has_labels) st = weir_sim_feed_init(&sim->labels, pipeline, WEIR_FROM_LABELS, ops->columns, err);
out:
    if (st) {
        simulation_done(sim);
        weir_mem.realloc(records, 0);
        return st;
    }
    *records = (weir_records){.ops = &simulation_ops, .context = sim, .event_count = -1};
    *ret_records = records;
    return WEIR_OK;
}
