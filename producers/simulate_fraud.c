/* Card payments with three kinds of fraud, as the Fraud Detection Handbook simulates them.
 * Source: Y.-A. Le Borgne, W. Siblini, B. Lebichot, G. Bontempi, "Reproducible Machine Learning for Credit Card Fraud Detection - Practical Handbook", chapter 3,
 * section "Transaction data simulator".
 *
 * - A customer lives at (x, y) uniform in [0, 100]², pays amounts of mean U(5, 100) and half of it as deviation, U(0, 4) times a day on average.
 * - A terminal stands at (x, y) uniform in [0, 100]²; a customer uses, with equal chance, the terminals within a radius. One without any never pays.
 * - A day: Poisson many attempts, each at a second drawn from Normal(43200, 20000) and dropped when that is outside the day; the amount is normal, a negative one becomes
 *   U(0, 2 × mean); cents.
 * - Scenario 1: above 220. Scenario 2: each day some terminals are compromised, and all their payments of the next 28 days are frauds. Scenario 3: each day the cards
 *   of some customers leak, and for 14 days a third of their payments are frauds of five times the amount. Where several apply, the last one names the fraud.
 *
 * What the handbook leaves to its parameters is scaled from its 5000 customers, 10000 terminals, radius 5, 2 terminals and 3 customers a day: terminals are twice the
 * customers, the radius keeps the expected number of terminals in reach (about 79), and the compromised ones keep their share, at least one each a day. One difference: a payment
 * of a customer compromised twice at once is multiplied once.
 *
 * The seed alone decides (producers/random.h), day by day: more days only add to the end. */
#include "producers/random.h"
#include "producers/simulate.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

enum {
    ENTITIES_MAX = 1000000, /* about 500 MB of terminals in reach */
    DAYS_MAX = 36500,
    TERMINAL_SPAN_DAYS = 28,
    CUSTOMER_SPAN_DAYS = 14,
    AMOUNT_RULE_CENTS = 22000,
};
#define SQUARE_SIDE 100.0

typedef struct place {
    double x, y;
} place;

typedef struct customer {
    place home;
    double mean_amount, payments_per_day;
    uint32_t first_reach, reach_count; /* range in population.reach */
    int32_t compromised_until; /* first day that is safe again */
} customer;

typedef struct population {
    customer *customers;
    uint32_t customer_count, terminal_count;
    int32_t *terminal_until; /* as customer.compromised_until */
    uint32_t *reach; /* terminals of each customer, behind each other */
    size_t reach_count, reach_capacity;
    uint32_t customers_a_day, terminals_a_day; /* newly compromised */
} population;

typedef struct payment {
    int64_t at_us;
    int64_t id; /* position in the day until the day is sorted */
    int64_t cents;
    uint32_t customer, terminal;
    uint8_t scenario; /* 0: honest */
} payment;

/* What events and labels are filled from. */
enum { C_ID, C_TIME, C_AVAILABLE, C_CUSTOMER, C_TERMINAL, C_AMOUNT, C_FRAUD, C_SCENARIO };
static const weir_sim_column columns[] = {
    [C_ID] = {"transaction_id", WEIR_T_I64, WEIR_SIM_ID},
    [C_TIME] = {"tx_time", WEIR_T_I64, WEIR_SIM_TIME},
    [C_AVAILABLE] = {"labelled_at", WEIR_T_I64, WEIR_SIM_AVAILABLE},
    [C_CUSTOMER] = {"customer_id", WEIR_T_I64},
    [C_TERMINAL] = {"terminal_id", WEIR_T_I64},
    [C_AMOUNT] = {"amount", WEIR_T_F64},
    [C_FRAUD] = {"fraud", WEIR_T_BOOL, WEIR_SIM_LABEL},
    [C_SCENARIO] = {"scenario", WEIR_T_I64},
    {NULL},
};

typedef struct simulation {
    weir_random random;
    population people;
    int64_t start_us, max_delay_us;
    int32_t day, days;
    payment *payments; /* of the day */
    size_t count, capacity;
    int64_t next_id;
} simulation;

static bool grow(void **array, size_t *capacity, size_t needed, size_t size) {
    if (needed <= *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 256;
    if (wanted < needed) wanted = needed;
    void *moved = weir_mem.realloc(*array, wanted * size);
    if (!moved) return false;
    *array = moved;
    *capacity = wanted;
    return true;
}

/* ---- the population ---- */

/* Terminals by cell of a grid whose cells are at least a radius wide: what is in reach lies in the cell or its eight neighbours. */
typedef struct grid {
    int side;
    double cell;
    uint32_t *first; /* [side² + 1]: range in members */
    uint32_t *members;
} grid;

static int cell_of(const grid *g, double v) {
    int i = (int)(v / g->cell);
    return i < g->side ? i : g->side - 1;
}

static bool grid_init(grid *g, const place *places, uint32_t count, double radius) {
    g->side = (int)(SQUARE_SIDE / radius);
    if (g->side < 1) g->side = 1;
    g->cell = SQUARE_SIDE / g->side;
    size_t cells = (size_t)g->side * (size_t)g->side;
    g->first = weir_sim_zeroed(cells + 2, sizeof *g->first);
    g->members = weir_sim_zeroed(count, sizeof *g->members);
    if (!g->first || !g->members) return false;
    for (uint32_t i = 0; i < count; i++) g->first[cell_of(g, places[i].y) * g->side + cell_of(g, places[i].x) + 2]++;
    for (size_t c = 2; c < cells + 2; c++) g->first[c] += g->first[c - 1];
    for (uint32_t i = 0; i < count; i++)
        g->members[g->first[cell_of(g, places[i].y) * g->side + cell_of(g, places[i].x) + 1]++] = i; /* counting sort: in order within a cell */
    return true;
}

static void grid_done(grid *g) {
    weir_mem.realloc(g->first, 0);
    weir_mem.realloc(g->members, 0);
}

static bool reach_of(population *people, customer *c, const grid *g, const place *places, double radius) {
    assert(people->reach_count <= UINT32_MAX);
    c->first_reach = (uint32_t)people->reach_count;
    int cx = cell_of(g, c->home.x), cy = cell_of(g, c->home.y);
    for (int y = cy - 1; y <= cy + 1; y++) {
        for (int x = cx - 1; x <= cx + 1; x++) {
            if (x < 0 || y < 0 || x >= g->side || y >= g->side) continue;
            size_t cell = (size_t)y * (size_t)g->side + (size_t)x;
            if (!grow((void **)&people->reach, &people->reach_capacity, people->reach_count + (g->first[cell + 1] - g->first[cell]), sizeof *people->reach))
                return false;
            for (uint32_t m = g->first[cell]; m < g->first[cell + 1]; m++) {
                const place *p = &places[g->members[m]];
                double dx = p->x - c->home.x, dy = p->y - c->home.y;
                if (dx * dx + dy * dy < radius * radius) people->reach[people->reach_count++] = g->members[m];
            }
        }
    }
    c->reach_count = (uint32_t)(people->reach_count - c->first_reach);
    return true;
}

static place random_place(weir_random *random) {
    place p;
    p.x = weir_random_uniform(random, 0, SQUARE_SIDE);
    p.y = weir_random_uniform(random, 0, SQUARE_SIDE);
    return p;
}

static uint32_t share_of(uint32_t handbook, uint32_t count, uint32_t handbook_count) {
    uint32_t n = (uint32_t)(((uint64_t)handbook * count + handbook_count / 2) / handbook_count);
    return n ? n : 1;
}

static bool population_init(population *people, weir_random *random, uint32_t customer_count) {
    uint32_t terminal_count = 2 * customer_count;
    double radius = 5 * sqrt(10000.0 / terminal_count);
    *people = (population){.customer_count = customer_count, .terminal_count = terminal_count};
    people->customers_a_day = share_of(3, customer_count, 5000);
    people->terminals_a_day = share_of(2, terminal_count, 10000);
    people->customers = weir_sim_zeroed(customer_count, sizeof *people->customers);
    people->terminal_until = weir_sim_zeroed(terminal_count, sizeof *people->terminal_until);
    place *places = weir_sim_zeroed(terminal_count, sizeof *places);
    grid g = {0};
    bool ok = people->customers && people->terminal_until && places;
    for (uint32_t i = 0; ok && i < customer_count; i++) {
        customer *c = &people->customers[i];
        c->home = random_place(random);
        c->mean_amount = weir_random_uniform(random, 5, 100);
        c->payments_per_day = weir_random_uniform(random, 0, 4);
    }
    for (uint32_t i = 0; ok && i < terminal_count; i++) places[i] = random_place(random);
    ok = ok && grid_init(&g, places, terminal_count, radius);
    for (uint32_t i = 0; ok && i < customer_count; i++) ok = reach_of(people, &people->customers[i], &g, places, radius);
    grid_done(&g);
    weir_mem.realloc(places, 0);
    return ok;
}

static void population_done(population *people) {
    weir_mem.realloc(people->customers, 0);
    weir_mem.realloc(people->terminal_until, 0);
    weir_mem.realloc(people->reach, 0);
}

/* ---- a day ---- */

/* Different ones within a day; one that is compromised already stays so for longer. */
static void compromise(simulation *sim) {
    population *people = &sim->people;
    for (uint32_t i = 0; i < people->terminals_a_day;) {
        int32_t *until = &people->terminal_until[weir_random_below(&sim->random, people->terminal_count)];
        if (*until == sim->day + TERMINAL_SPAN_DAYS) continue;
        *until = sim->day + TERMINAL_SPAN_DAYS;
        i++;
    }
    for (uint32_t i = 0; i < people->customers_a_day;) {
        int32_t *until = &people->customers[weir_random_below(&sim->random, people->customer_count)].compromised_until;
        if (*until == sim->day + CUSTOMER_SPAN_DAYS) continue;
        *until = sim->day + CUSTOMER_SPAN_DAYS;
        i++;
    }
}

static int64_t draw_cents(weir_random *random, double mean) {
    double amount = weir_random_normal(random, mean, mean / 2);
    if (amount < 0) amount = weir_random_uniform(random, 0, 2 * mean);
    return (int64_t)(amount * 100 + 0.5);
}

static bool pay(simulation *sim, uint32_t index) {
    const population *people = &sim->people;
    const customer *c = &people->customers[index];
    if (!c->reach_count) return true;
    for (uint32_t n = weir_random_poisson(&sim->random, c->payments_per_day); n; n--) {
        int64_t second = (int64_t)weir_random_normal(&sim->random, 43200, 20000);
        if (second <= 0 || second >= 86400) continue;
        payment p = {.customer = index, .id = (int64_t)sim->count};
        p.at_us = sim->start_us + sim->day * WEIR_DAY_US + second * WEIR_SECOND_US;
        p.cents = draw_cents(&sim->random, c->mean_amount);
        p.terminal = people->reach[c->first_reach + weir_random_below(&sim->random, c->reach_count)];
        if (p.cents > AMOUNT_RULE_CENTS) p.scenario = 1;
        if (people->terminal_until[p.terminal] > sim->day) p.scenario = 2;
        if (c->compromised_until > sim->day && weir_random_below(&sim->random, 3) == 0) {
            p.scenario = 3;
            p.cents *= 5;
        }
        if (!grow((void **)&sim->payments, &sim->capacity, sim->count + 1, sizeof *sim->payments)) return false;
        sim->payments[sim->count++] = p;
    }
    return true;
}

static int by_time(const void *a, const void *b) {
    const payment *p = a, *q = b;
    if (p->at_us != q->at_us) return p->at_us < q->at_us ? -1 : 1;
    return p->id < q->id ? -1 : 1; /* drawn customer by customer: by customer, then as drawn */
}

static weir_status simulation_advance(void *context, weir_sim_timeline *timeline, bool *ret_more, weir_err *err) {
    simulation *sim = context;
    *ret_more = sim->day < sim->days;
    if (!*ret_more) return WEIR_OK;
    sim->count = 0;
    compromise(sim);
    for (uint32_t i = 0; i < sim->people.customer_count; i++)
        if (!pay(sim, i)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the payments of a day");
    if (sim->count) qsort(sim->payments, sim->count, sizeof *sim->payments, by_time);
    for (size_t i = 0; i < sim->count; i++) {
        payment *p = weir_sim_add(timeline);
        if (!p) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the payments of a day");
        *p = sim->payments[i];
        p->id = sim->next_id++;
    }
    sim->day++;
    return WEIR_OK;
}

/* ---- the source ---- */

static void simulation_fill(void *context, const void *item, bool label, weir_datum *values) {
    const simulation *sim = context;
    const payment *p = item;
    (void)label;
    values[C_ID] = weir_i64(p->id);
    values[C_TIME] = weir_i64(p->at_us);
    values[C_AVAILABLE] = weir_i64(p->at_us + sim->max_delay_us);
    values[C_CUSTOMER] = weir_i64(p->customer);
    values[C_TERMINAL] = weir_i64(p->terminal);
    values[C_AMOUNT] = weir_f64((double)p->cents / 100);
    values[C_FRAUD] = weir_bool(p->scenario != 0);
    values[C_SCENARIO] = p->scenario ? weir_i64(p->scenario) : weir_null();
}

static void simulation_done(void *context) {
    simulation *sim = context;
    population_done(&sim->people);
    weir_mem.realloc(sim->payments, 0);
    weir_mem.realloc(sim, 0);
}

static const weir_sim_ops simulation_ops = {
    .columns = columns,
    .item_size = sizeof(payment),
    .advance = simulation_advance,
    .fill = simulation_fill,
    .done = simulation_done,
};

static weir_status check_conf(const weir_simulate_conf *conf, weir_err *err) {
    if (conf->entities < 1 || conf->entities > ENTITIES_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "entities is %lld, expected 1 to %d customers", (long long)conf->entities, ENTITIES_MAX);
    if (conf->days < 1 || conf->days > DAYS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "days is %lld, expected 1 to %d", (long long)conf->days, DAYS_MAX);
    return WEIR_OK;
}

static weir_status simulation_open(const weir_pipeline *pipeline, const weir_simulate_conf *conf, weir_records **ret_records, weir_err *err) {
    weir_status st = check_conf(conf, err);
    if (st) return st;
    simulation *sim = weir_sim_zeroed(1, sizeof *sim);
    if (!sim) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a simulation");
    sim->start_us = conf->start_us;
    sim->days = (int32_t)conf->days;
    sim->max_delay_us = pipeline->max_delay_us;
    weir_random_init(&sim->random, (uint64_t)conf->seed);
    if (!population_init(&sim->people, &sim->random, (uint32_t)conf->entities)) {
        simulation_done(sim);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld customers", (long long)conf->entities);
    }
    return weir_sim_records(&simulation_ops, sim, pipeline, conf->start_us + conf->days * WEIR_DAY_US, ret_records, err);
}

static const char *const measured[] = {"amount", NULL};

const weir_simulator weir_simulator_fraud = {
    .domain = "fraud",
    .doc = "card payments of customers at terminals with the three frauds of the Fraud Detection Handbook; a customer pays twice a day on average",
    .entity = "customers",
    .fallback = {.entities = 2000, .days = 75, .start_us = INT64_C(1522540800000000)}, /* 2018-04-01 */
    .measured = measured,
    .open = simulation_open,
};
