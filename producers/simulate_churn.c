/* Customers of a telephone and internet company: monthly snapshots of their accounts, usage, tickets and payments, and who leaves.
 *
 * A month is 30 days, counted for each customer from a day of its own. What a customer has is drawn once: internet (DSL 35 %, fiber 44 %, none 21 %), services, contract (month to month 55 %,
 * one year 21 %, two years 24 %), payment method; the price is 20 for the telephone, 5 for more lines, 25 or 50 for the internet, 5 a service and 10 a stream, ± 3 %. Then, each month:
 *
 *     snapshot  the account as it is from now on; with 4 % the price has risen by 5 to 15 %
 *     payment   of the month that ended, with the customer's own propensity (0 to 30 %) 1 to 20 days late
 *     usage     once a week, the customer's mean × U(0.5, 1.5)
 *     tickets   Poisson, the customer's rate (0 to 0.6 a month, fiber twice that), severity 1 to 3
 *     leaving   within the next 30 days with probability, at most 0.9,
 *               0.02 × contract (3, 0.6, 0.15) × fiber 1.4 × electronic check 1.3 × tenure (< 6 months 2, < 24 1.2, else 0.8) × (1 + 1.5 rise) × (1 + 0.3 trouble) × (1 + 0.5 late)
 *
 * rise, trouble and late are what price rises (1 each), tickets (their severity) and late payments (1 each) left behind, halved every month. So hazards are proportional (D. R. Cox, J. R. Stat.
 * Soc. B 34 (1972)), and what moves them can be seen in the events before. A customer that left is followed by a new one. The label of a snapshot says whether the customer left within the 30
 * days after it, and comes when these are over. Customers do not know each other, nothing is seasonal, nobody changes contract.
 *
 * The seed alone decides (producers/random.h), day by day: more days only add to the end. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "producers/random.h"
#include "producers/simulate.h"

enum { CUSTOMERS_MAX = 1000000, DAYS_MAX = 36500, MONTH_DAYS = 30, SERVICES = 6, NAME_MAX = 24, NOT_POSSIBLE = 2 };
#define MONTH_US (MONTH_DAYS * WEIR_DAY_US)

static const char *const contracts[] = {"Month-to-month", "One year", "Two year"};
static const char *const internets[] = {"DSL", "Fiber optic", "No"};
static const char *const payments[] = {"Electronic check", "Mailed check", "Bank transfer (automatic)", "Credit card (automatic)"};
enum { FIBER = 1, NO_INTERNET = 2, ELECTRONIC_CHECK = 0 };

typedef struct customer {
    int64_t number;
    int phase; /* day of its month, counted from the start */
    int contract, internet, payment;
    int service[SERVICES], multiple_lines; /* 0, 1, NOT_POSSIBLE */
    bool seen; /* in an earlier snapshot */
    bool woman, senior, partner, dependents, phone, paperless;
    int tenure; /* months */
    double price, total, usage, ticket_rate, lateness;
    double rise, trouble, late; /* what is left of them */
    int64_t leaves_on; /* day from the start; -1: not as far as is known */
} customer;

typedef enum kind { SNAPSHOT, USAGE, TICKET, PAYMENT } kind;
static const char *const kinds[] = {"snapshot", "usage", "ticket", "payment"};

typedef struct event {
    int64_t at_us, number; /* number: of the event */
    kind kind;
    customer who; /* as it was */
    double value; /* usage: GB; ticket: severity; payment: days late */
} event;

typedef struct outcome {
    int64_t at_us, event, customer;
    bool left;
} outcome;

typedef struct simulation {
    weir_random random;
    customer *customers;
    int64_t customer_count, next_customer, next_event, start_us, day, days;
    int64_t known_after_us; /* a label, after its snapshot */
    event *events; /* of the day */
    size_t event_next, event_count, event_capacity;
    outcome *outcomes; /* not yet known: [first, first + count) */
    size_t outcome_first, outcome_count, outcome_capacity;
    bool has_labels;
    weir_sim_feed event_feed, label_feed;
    char event_name[NAME_MAX], customer_name[NAME_MAX];
} simulation;

enum {
    C_ID,
    C_TIME,
    C_CUSTOMER,
    C_KIND,
    C_CONTRACT,
    C_GENDER,
    C_SENIOR,
    C_PARTNER,
    C_DEPENDENTS,
    C_TENURE,
    C_PHONE,
    C_LINES,
    C_INTERNET,
    C_SERVICE,
    C_PAPERLESS = C_SERVICE + SERVICES,
    C_METHOD,
    C_PRICE,
    C_TOTAL,
    C_USAGE,
    C_SEVERITY,
    C_DAYS_LATE,
    C_AMOUNT,
    C_COUNT
};
static const weir_sim_column event_columns[] = {
    [C_ID] = {"event_id", WEIR_T_STR},
    [C_TIME] = {"event_time", WEIR_T_I64, WEIR_SIM_TIME},
    [C_CUSTOMER] = {"customer_id", WEIR_T_STR},
    [C_KIND] = {"kind", WEIR_T_STR},
    [C_CONTRACT] = {"contract", WEIR_T_STR},
    [C_GENDER] = {"gender", WEIR_T_STR},
    [C_SENIOR] = {"senior_citizen", WEIR_T_I64},
    [C_PARTNER] = {"partner", WEIR_T_I64},
    [C_DEPENDENTS] = {"dependents", WEIR_T_I64},
    [C_TENURE] = {"tenure", WEIR_T_F64},
    [C_PHONE] = {"phone_service", WEIR_T_I64},
    [C_LINES] = {"multiple_lines", WEIR_T_I64},
    [C_INTERNET] = {"internet_service", WEIR_T_STR},
    [C_SERVICE] = {"online_security", WEIR_T_I64},
    [C_SERVICE + 1] = {"online_backup", WEIR_T_I64},
    [C_SERVICE + 2] = {"device_protection", WEIR_T_I64},
    [C_SERVICE + 3] = {"tech_support", WEIR_T_I64},
    [C_SERVICE + 4] = {"streaming_tv", WEIR_T_I64},
    [C_SERVICE + 5] = {"streaming_movies", WEIR_T_I64},
    [C_PAPERLESS] = {"paperless_billing", WEIR_T_I64},
    [C_METHOD] = {"payment_method", WEIR_T_STR},
    [C_PRICE] = {"monthly_charges", WEIR_T_F64},
    [C_TOTAL] = {"total_charges", WEIR_T_F64},
    [C_USAGE] = {"usage_gb", WEIR_T_F64},
    [C_SEVERITY] = {"severity", WEIR_T_F64},
    [C_DAYS_LATE] = {"days_late", WEIR_T_F64},
    [C_AMOUNT] = {"amount", WEIR_T_F64},
    [C_COUNT] = {NULL},
};
enum { L_ID, L_TIME, L_CUSTOMER, L_KNOWN_AT, L_CHURNED, L_COUNT };
static const weir_sim_column label_columns[] = {
    [L_ID] = {"event_id", WEIR_T_STR},
    [L_TIME] = {"event_time", WEIR_T_I64, WEIR_SIM_TIME},
    [L_CUSTOMER] = {"customer_id", WEIR_T_STR},
    [L_KNOWN_AT] = {"known_at", WEIR_T_I64, WEIR_SIM_AVAILABLE},
    [L_CHURNED] = {"churned", WEIR_T_BOOL, WEIR_SIM_LABEL},
    [L_COUNT] = {NULL},
};

static bool chance(simulation *sim, double share) {
    return weir_random_unit(&sim->random) < share;
}

static double cents(double amount) {
    return floor(amount * 100 + 0.5) / 100;
}

/* ---- customers ---- */

static int draw_of_three(simulation *sim, double first, double second) {
    double u = weir_random_unit(&sim->random);
    return u < first ? 0 : u < first + second ? 1 : 2;
}

/* Monthly price of what is had, services drawn on the way. */
static double draw_services(simulation *sim, customer *c) {
    c->phone = c->internet == NO_INTERNET || chance(sim, 0.87);
    c->multiple_lines = c->phone ? chance(sim, 0.46) : NOT_POSSIBLE;
    double price = (c->phone ? 20 : 0) + (c->multiple_lines == 1 ? 5 : 0) + (c->internet == FIBER ? 50 : c->internet == NO_INTERNET ? 0 : 25);
    for (int i = 0; i < SERVICES; i++) {
        c->service[i] = c->internet == NO_INTERNET ? NOT_POSSIBLE : chance(sim, 0.4);
        if (c->service[i] == 1) price += i < 4 ? 5 : 10;
    }
    return cents(price * weir_random_uniform(&sim->random, 0.97, 1.03));
}

static void come(simulation *sim, customer *c, int64_t first_day, int tenure) {
    *c = (customer){.number = sim->next_customer++, .phase = (int)(first_day % MONTH_DAYS), .tenure = tenure, .leaves_on = -1};
    c->internet = draw_of_three(sim, 0.35, 0.44);
    c->contract = draw_of_three(sim, 0.55, 0.21);
    c->payment = (int)weir_random_below(&sim->random, sizeof payments / sizeof *payments);
    c->woman = chance(sim, 0.5);
    c->senior = chance(sim, 0.16);
    c->partner = chance(sim, 0.49);
    c->dependents = chance(sim, c->partner ? 0.5 : 0.1);
    c->paperless = chance(sim, 0.6);
    c->price = draw_services(sim, c);
    c->total = cents(c->price * tenure);
    c->usage = c->internet == NO_INTERNET ? 0 : weir_random_uniform(&sim->random, 2, c->internet == FIBER ? 60 : 30);
    c->ticket_rate = weir_random_uniform(&sim->random, 0, c->internet == FIBER ? 1.2 : 0.6);
    c->lateness = weir_random_uniform(&sim->random, 0, 0.3);
}

static double hazard(const customer *c) {
    static const double by_contract[] = {3, 0.6, 0.15};
    double h = 0.02 * by_contract[c->contract] * (c->internet == FIBER ? 1.4 : 1) * (c->payment == ELECTRONIC_CHECK ? 1.3 : 1);
    h *= c->tenure < 6 ? 2 : c->tenure < 24 ? 1.2 : 0.8;
    return fmin(0.9, h * (1 + 1.5 * c->rise) * (1 + 0.3 * c->trouble) * (1 + 0.5 * c->late));
}

/* ---- a day ---- */

static bool reserve(void **array, size_t *capacity, size_t needed, size_t size) {
    if (needed <= *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 256;
    void *moved = weir_mem.realloc(*array, wanted * size);
    if (!moved) return false;
    *array = moved;
    *capacity = wanted;
    return true;
}

static bool happen(simulation *sim, const customer *c, kind what, double value) {
    if (!reserve((void **)&sim->events, &sim->event_capacity, sim->event_count + 1, sizeof *sim->events)) return false;
    int64_t second = (int64_t)weir_random_below(&sim->random, 86400);
    sim->events[sim->event_count] = (event){sim->start_us + sim->day * WEIR_DAY_US + second * WEIR_SECOND_US, (int64_t)sim->event_count, what, *c, value};
    sim->event_count++;
    return true;
}

static bool month_ends(simulation *sim, customer *c) {
    bool first = c->tenure == 0 && !c->seen;
    c->seen = true;
    c->rise /= 2, c->trouble /= 2, c->late /= 2;
    if (!first) {
        double days_late = chance(sim, c->lateness) ? 1 + (double)weir_random_below(&sim->random, 20) : 0;
        c->tenure++;
        c->total = cents(c->total + c->price);
        if (days_late > 0) c->late += 1;
        if (!happen(sim, c, PAYMENT, days_late)) return false;
    }
    if (chance(sim, 0.04)) {
        c->price = cents(c->price * weir_random_uniform(&sim->random, 1.05, 1.15));
        c->rise += 1;
    }
    if (chance(sim, hazard(c))) c->leaves_on = sim->day + 1 + (int64_t)weir_random_below(&sim->random, MONTH_DAYS - 1);
    return happen(sim, c, SNAPSHOT, 0);
}

static bool live_a_day(simulation *sim, customer *c) {
    if (c->leaves_on == sim->day) come(sim, c, sim->day, 0);
    if (sim->day % MONTH_DAYS == c->phase && !month_ends(sim, c)) return false;
    if (c->usage > 0 && sim->day % 7 == c->phase % 7 && !happen(sim, c, USAGE, cents(c->usage * weir_random_uniform(&sim->random, 0.5, 1.5)))) return false;
    for (uint32_t n = weir_random_poisson(&sim->random, c->ticket_rate / MONTH_DAYS); n; n--) {
        double severity = 1 + (double)weir_random_below(&sim->random, 3);
        c->trouble += severity;
        if (!happen(sim, c, TICKET, severity)) return false;
    }
    return true;
}

static int by_time(const void *a, const void *b) {
    const event *p = a, *q = b;
    if (p->at_us != q->at_us) return p->at_us < q->at_us ? -1 : 1;
    return p->number < q->number ? -1 : 1;
}

static bool await_outcome(simulation *sim, const event *snapshot) {
    if (sim->outcome_first && sim->outcome_first >= sim->outcome_count) { /* half of it is known: move the rest down */
        memmove(sim->outcomes, sim->outcomes + sim->outcome_first, sim->outcome_count * sizeof *sim->outcomes);
        sim->outcome_first = 0;
    }
    if (!reserve((void **)&sim->outcomes, &sim->outcome_capacity, sim->outcome_first + sim->outcome_count + 1, sizeof *sim->outcomes)) return false;
    sim->outcomes[sim->outcome_first + sim->outcome_count++] = (outcome){snapshot->at_us, snapshot->number, snapshot->who.number, snapshot->who.leaves_on >= 0};
    return true;
}

static weir_status simulate_day(simulation *sim, weir_err *err) {
    bool ok = true;
    sim->event_next = sim->event_count = 0;
    for (int64_t i = 0; ok && i < sim->customer_count; i++) ok = live_a_day(sim, &sim->customers[i]);
    if (ok && sim->event_count) qsort(sim->events, sim->event_count, sizeof *sim->events, by_time);
    for (size_t i = 0; ok && i < sim->event_count; i++) {
        sim->events[i].number = sim->next_event++;
        if (sim->has_labels && sim->events[i].kind == SNAPSHOT) ok = await_outcome(sim, &sim->events[i]);
    }
    sim->day++;
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the events of a day");
}

/* ---- rows ---- */

static weir_datum name_of(char text[NAME_MAX], char letter, int64_t number) {
    return weir_str(text, (size_t)snprintf(text, NAME_MAX, "%c%07lld", letter, (long long)number));
}

static void fill_snapshot(const customer *c, weir_datum *values) {
    values[C_GENDER] = weir_text(c->woman ? "Female" : "Male");
    values[C_SENIOR] = weir_i64(c->senior);
    values[C_PARTNER] = weir_i64(c->partner);
    values[C_DEPENDENTS] = weir_i64(c->dependents);
    values[C_TENURE] = weir_f64(c->tenure);
    values[C_PHONE] = weir_i64(c->phone);
    values[C_LINES] = weir_i64(c->multiple_lines);
    values[C_INTERNET] = weir_text(internets[c->internet]);
    for (int i = 0; i < SERVICES; i++) values[C_SERVICE + i] = weir_i64(c->service[i]);
    values[C_PAPERLESS] = weir_i64(c->paperless);
    values[C_METHOD] = weir_text(payments[c->payment]);
    values[C_PRICE] = weir_f64(c->price);
    if (c->tenure) values[C_TOTAL] = weir_f64(c->total);
}

static const weir_datum *event_row(simulation *sim, const event *e) {
    const customer *c = &e->who;
    weir_datum values[C_COUNT] = {0}; /* null */
    values[C_ID] = name_of(sim->event_name, 'e', e->number);
    values[C_TIME] = weir_i64(e->at_us);
    values[C_CUSTOMER] = name_of(sim->customer_name, 'c', c->number);
    values[C_KIND] = weir_text(kinds[e->kind]);
    values[C_CONTRACT] = weir_text(contracts[c->contract]);
    switch (e->kind) {
    case SNAPSHOT: fill_snapshot(c, values); break;
    case USAGE: values[C_USAGE] = weir_f64(e->value); break;
    case TICKET: values[C_SEVERITY] = weir_f64(e->value); break;
    case PAYMENT:
        values[C_DAYS_LATE] = weir_f64(e->value);
        values[C_AMOUNT] = weir_f64(c->price);
        break;
    }
    return weir_sim_feed_row(&sim->event_feed, values);
}

static const weir_datum *label_row(simulation *sim, const outcome *o) {
    weir_datum values[L_COUNT] = {
        [L_ID] = name_of(sim->event_name, 'e', o->event),        [L_TIME] = weir_i64(o->at_us),    [L_CUSTOMER] = name_of(sim->customer_name, 'c', o->customer),
        [L_KNOWN_AT] = weir_i64(o->at_us + sim->known_after_us), [L_CHURNED] = weir_bool(o->left),
    };
    return weir_sim_feed_row(&sim->label_feed, values);
}

/* ---- the source ---- */

/* A label that is due before (or at the same time as) the next event goes first: what is known at t counts for an event at t. */
static weir_status simulation_next(void *context, weir_record *ret_record, bool *ret_more, weir_err *err) {
    simulation *sim = context;
    while (sim->event_next == sim->event_count && sim->day < sim->days) {
        weir_status st = simulate_day(sim, err);
        if (st) return st;
    }
    const event *e = sim->event_next < sim->event_count ? &sim->events[sim->event_next] : NULL;
    const outcome *o = sim->outcome_count ? &sim->outcomes[sim->outcome_first] : NULL;
    *ret_more = e || o;
    if (o && (!e || o->at_us + sim->known_after_us <= e->at_us)) {
        sim->outcome_first++;
        sim->outcome_count--;
        *ret_record = (weir_record){.feed = WEIR_FROM_LABELS, .at_us = o->at_us + sim->known_after_us, .row = label_row(sim, o)};
    } else if (e) {
        sim->event_next++;
        *ret_record = (weir_record){.feed = WEIR_FROM_EVENTS, .at_us = e->at_us, .row = event_row(sim, e)};
    }
    return WEIR_OK;
}

static void simulation_done(void *context) {
    simulation *sim = context;
    if (!sim) return;
    weir_sim_feed_done(&sim->event_feed);
    weir_sim_feed_done(&sim->label_feed);
    weir_mem.realloc(sim->customers, 0);
    weir_mem.realloc(sim->events, 0);
    weir_mem.realloc(sim->outcomes, 0);
    weir_mem.realloc(sim, 0);
}

static const weir_records_ops simulation_ops = {.next = simulation_next, .done = simulation_done};

static weir_status check_conf(const weir_simulate_conf *conf, weir_err *err) {
    if (conf->entities < 1 || conf->entities > CUSTOMERS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "entities is %lld, expected 1 to %d customers", (long long)conf->entities, CUSTOMERS_MAX);
    if (conf->days < 1 || conf->days > DAYS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "days is %lld, expected 1 to %d", (long long)conf->days, DAYS_MAX);
    return WEIR_OK;
}

static weir_status customers_init(simulation *sim, int64_t count, weir_err *err) {
    sim->customers = weir_mem.realloc(NULL, (size_t)count * sizeof *sim->customers);
    if (!sim->customers) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld customers", (long long)count);
    sim->customer_count = count;
    for (int64_t i = 0; i < count; i++) {
        int64_t first_day = (int64_t)weir_random_below(&sim->random, MONTH_DAYS);
        come(sim, &sim->customers[i], first_day, (int)weir_random_below(&sim->random, 73));
    }
    return WEIR_OK;
}

static weir_status open_churn(const weir_pipeline *pipeline, const weir_simulate_conf *conf, weir_records **ret_records, weir_err *err) {
    weir_status st = check_conf(conf, err);
    if (st) return st;
    weir_records *records = weir_mem.realloc(NULL, sizeof *records);
    simulation *sim = weir_mem.realloc(NULL, sizeof *sim);
    if (sim) memset(sim, 0, sizeof *sim);
    if (!records || !sim) st = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a simulation");
    if (!st) {
        *records = (weir_records){.ops = &simulation_ops, .context = sim, .event_count = -1};
        sim->start_us = conf->start_us;
        sim->days = conf->days;
        sim->known_after_us = pipeline->max_delay_us > MONTH_US ? pipeline->max_delay_us : MONTH_US;
        sim->has_labels = pipeline->labels.topic != NULL;
        weir_random_init(&sim->random, (uint64_t)conf->seed);
        st = customers_init(sim, conf->entities, err);
    }
    if (!st) st = weir_sim_feed_init(&sim->event_feed, pipeline, WEIR_FROM_EVENTS, event_columns, err);
    if (!st && sim->has_labels) st = weir_sim_feed_init(&sim->label_feed, pipeline, WEIR_FROM_LABELS, label_columns, err);
    if (st) {
        simulation_done(sim);
        weir_mem.realloc(records, 0);
        return st;
    }
    *ret_records = records;
    return WEIR_OK;
}

static const char *const measured[] = {"tenure", "monthly_charges", "total_charges", "usage_gb", "severity", "days_late", "amount", NULL};

const weir_simulator weir_simulator_churn = {
    .domain = "churn",
    .doc = "monthly snapshots, usage, tickets and payments of customers who leave for reasons that can be seen in them; labels a month later",
    .entity = "customers",
    .fallback = {.entities = 2000, .days = 360, .start_us = INT64_C(1672531200000000)}, /* 2023-01-01 */
    .measured = measured,
    .open = open_churn,
};
