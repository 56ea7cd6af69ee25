/* Bars of five minutes with the quote at their end and the volume by who crossed the spread, for symbols in sectors.
 *
 * A trading day is 14:30 to 21:00 UTC from Monday to Friday (no holidays, no daylight saving), 78 bars of STEPS steps. With zm, zs, zi, zv independent standard normal and dt a
 * step in years of 252 trading days:
 *
 *     dv    = kappa (theta - v) dt + xi sqrt(theta v dt) zv, v ≥ theta / 25                    variance; Heston, Review of Financial Studies 6 (1993), discretised by Euler
 *     dp/p  = mu dt + sqrt(v dt) (0.5 zm + 0.5 zs + 0.707 zi) + impact + jump                  market, sector and own news: 25 %, 25 %, 50 % of the variance
 *     jump  = Normal(-0.5 %, 3 %), twice a year on average                                     Merton, Journal of Financial Economics 3 (1976)
 *     o     = 0.6 o + 0.3 z of a bar, within ±0.9                                              order-flow imbalance: buyers less sellers, as a share of the volume
 *     impact= 0.15 sd of a bar × o of the bar before, spread over the steps                    so that order flow tells something of the next bar, and only that
 *     volume= symbol's day / 78 × (0.6 + 1.2 (2x - 1)²) × sqrt(v / theta) × U(0.5, 1.5)        x in (0, 1) across the day: the smile
 *     spread= price × (2 bp + 0.2 sd of a bar), at least a cent                                wider when it is volatile
 *
 * Overnight the price moves by the variance of a sixth of a day. A price that opens above 400 is split two for one: what was paid halves, `split` says 2 and `split_factor` doubles.
 * Prices are whole cents. Nobody trades on the news of others, there are no dividends, opening auctions or halts, and the closing quote stands around the last price.
 *
 * The seed alone decides (producers/random.h), bar by bar: more days only add to the end. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "producers/random.h"
#include "producers/simulate.h"

enum { SYMBOLS_MAX = 100000, DAYS_MAX = 36500, BARS_A_DAY = 78, STEPS = 8, SECTORS_MAX = 11, SYMBOLS_A_SECTOR = 4, NAME_MAX = 16, ID_MAX = 40 };
#define OPEN_US (INT64_C(14) * 3600 * WEIR_SECOND_US + 1800 * WEIR_SECOND_US)
#define BAR_US (300 * WEIR_SECOND_US)
#define STEP_YEARS (1.0 / (252 * BARS_A_DAY * STEPS))
#define KAPPA 20.0
#define XI 4.0
#define MU 0.06
#define JUMPS_A_YEAR 2.0
#define SPLIT_ABOVE 400.0

static const char *const sector_names[SECTORS_MAX] = {"technology", "health",  "financials", "energy",        "industrials", "materials",
                                                      "utilities",  "staples", "consumer",   "communication", "real_estate"};

typedef struct bar {
    double open, high, low, close, volume, split, bid, ask, bid_size, ask_size, buy_volume, sell_volume;
} bar;

typedef struct symbol {
    char name[NAME_MAX];
    int sector;
    double theta, day_volume; /* long-run variance a year; shares a day */
    double price, variance, flow, split_factor;
    bar now, before;
} symbol;

typedef struct simulation {
    weir_random random;
    symbol *symbols;
    int symbol_count, sector_count;
    int64_t first_day, days; /* first_day: days since 1970 */
    int64_t day; /* being simulated, counted from first_day; -1 before the first */
    int bar; /* of the day */
    int64_t close_us, before_us; /* end of this bar and of the one before; before_us 0: there is none */
    int label_next, event_next; /* of this bar: labels of the bar before first, then events */
    bool has_labels, ended;
    weir_sim_feed events, labels;
    char id[ID_MAX];
} simulation;

enum {
    C_ID,
    C_TIME,
    C_SYMBOL,
    C_SECTOR,
    C_OPEN,
    C_HIGH,
    C_LOW,
    C_CLOSE,
    C_VOLUME,
    C_SPLIT,
    C_SPLIT_FACTOR,
    C_PREV_CLOSE,
    C_BID,
    C_ASK,
    C_BID_SIZE,
    C_ASK_SIZE,
    C_BUY,
    C_SELL,
    C_COUNT
};
static const weir_sim_column event_columns[] = {
    [C_ID] = {"bar_id", WEIR_T_STR},
    [C_TIME] = {"close_time", WEIR_T_I64, WEIR_SIM_TIME},
    [C_SYMBOL] = {"symbol", WEIR_T_STR},
    [C_SECTOR] = {"sector", WEIR_T_STR},
    [C_OPEN] = {"open", WEIR_T_F64},
    [C_HIGH] = {"high", WEIR_T_F64},
    [C_LOW] = {"low", WEIR_T_F64},
    [C_CLOSE] = {"close", WEIR_T_F64},
    [C_VOLUME] = {"volume", WEIR_T_F64},
    [C_SPLIT] = {"split", WEIR_T_F64},
    [C_SPLIT_FACTOR] = {"split_factor", WEIR_T_F64},
    [C_PREV_CLOSE] = {"prev_close", WEIR_T_F64},
    [C_BID] = {"bid", WEIR_T_F64},
    [C_ASK] = {"ask", WEIR_T_F64},
    [C_BID_SIZE] = {"bid_size", WEIR_T_F64},
    [C_ASK_SIZE] = {"ask_size", WEIR_T_F64},
    [C_BUY] = {"buy_volume", WEIR_T_F64},
    [C_SELL] = {"sell_volume", WEIR_T_F64},
    [C_COUNT] = {NULL},
};
enum { L_ID, L_TIME, L_SYMBOL, L_KNOWN_AT, L_UP, L_RETURN, L_COUNT };
static const weir_sim_column label_columns[] = {
    [L_ID] = {"bar_id", WEIR_T_STR},
    [L_TIME] = {"close_time", WEIR_T_I64, WEIR_SIM_TIME},
    [L_SYMBOL] = {"symbol", WEIR_T_STR},
    [L_KNOWN_AT] = {"known_at", WEIR_T_I64, WEIR_SIM_AVAILABLE},
    [L_UP] = {"up", WEIR_T_BOOL, WEIR_SIM_LABEL},
    [L_RETURN] = {"next_return", WEIR_T_F64},
    [L_COUNT] = {NULL},
};

static double cents(double price) {
    double rounded = floor(price * 100 + 0.5) / 100;
    return rounded < 0.01 ? 0.01 : rounded;
}

static double bar_deviation(const symbol *s) {
    return sqrt(s->variance * STEP_YEARS * STEPS);
}

/* ---- prices ---- */

static void open_day(simulation *sim) {
    for (int i = 0; i < sim->symbol_count; i++) {
        symbol *s = &sim->symbols[i];
        s->price *= 1 + sqrt(s->variance / (6 * 252)) * weir_random_normal(&sim->random, 0, 1);
        if (s->price <= SPLIT_ABOVE) continue;
        s->now.split = 2;
        s->split_factor *= 2;
        s->price /= 2;
    }
}

static double step_return(simulation *sim, symbol *s, double market, double sector, double impact) {
    double news = 0.5 * market + 0.5 * sector + 0.7071067811865476 * weir_random_normal(&sim->random, 0, 1);
    double r = MU * STEP_YEARS + sqrt(s->variance * STEP_YEARS) * news + impact;
    if (weir_random_unit(&sim->random) < JUMPS_A_YEAR * STEP_YEARS) r += weir_random_normal(&sim->random, -0.005, 0.03);
    double v =
        s->variance + KAPPA * (s->theta - s->variance) * STEP_YEARS + XI * sqrt(s->theta * s->variance * STEP_YEARS) * weir_random_normal(&sim->random, 0, 1);
    s->variance = fmax(v, s->theta / 25);
    return fmax(r, -0.9);
}

static void trade(simulation *sim, symbol *s, const double *market, const double *sector) {
    bar *b = &s->now;
    double deviation = bar_deviation(s), impact = 0.15 * deviation * s->flow / STEPS;
    b->open = b->high = b->low = cents(s->price);
    for (int k = 0; k < STEPS; k++) {
        s->price *= 1 + step_return(sim, s, market[k], sector[k], impact);
        double paid = cents(s->price);
        b->high = fmax(b->high, paid);
        b->low = fmin(b->low, paid);
        b->close = paid;
    }
    s->flow = fmax(-0.9, fmin(0.9, 0.6 * s->flow + weir_random_normal(&sim->random, 0, 0.3)));
    double x = 2 * (sim->bar + 0.5) / BARS_A_DAY - 1;
    b->volume =
        floor(s->split_factor * s->day_volume / BARS_A_DAY * (0.6 + 1.2 * x * x) * sqrt(s->variance / s->theta) * weir_random_uniform(&sim->random, 0.5, 1.5));
    b->buy_volume = floor(b->volume * (1 + s->flow) / 2);
    b->sell_volume = b->volume - b->buy_volume;
    double half = fmax(0.005, b->close * (0.0002 + 0.2 * deviation) / 2);
    b->bid = cents(b->close - half);
    b->ask = fmax(cents(b->close + half), b->bid + 0.01);
    b->bid_size = 100 * floor(1 + weir_random_uniform(&sim->random, 0, 20) * (1 + s->flow));
    b->ask_size = 100 * floor(1 + weir_random_uniform(&sim->random, 0, 20) * (1 - s->flow));
}

/* The next bar of all symbols, if there is one. */
static void next_bar(simulation *sim) {
    bool first = sim->day < 0;
    if (first || ++sim->bar == BARS_A_DAY) {
        sim->bar = 0;
        do sim->day++;
        while (sim->day < sim->days && (sim->first_day + sim->day + 3) % 7 > 4); /* 1970-01-01 was a Thursday: Monday is 0 */
        sim->ended = sim->day >= sim->days;
    }
    if (sim->ended) return;
    sim->before_us = first ? 0 : sim->close_us;
    sim->close_us = (sim->first_day + sim->day) * WEIR_DAY_US + OPEN_US + (sim->bar + 1) * BAR_US;
    for (int i = 0; i < sim->symbol_count; i++) sim->symbols[i].before = sim->symbols[i].now, sim->symbols[i].now.split = 1;
    if (!sim->bar) open_day(sim);
    double market[STEPS], sectors[SECTORS_MAX][STEPS];
    for (int k = 0; k < STEPS; k++) market[k] = weir_random_normal(&sim->random, 0, 1);
    for (int j = 0; j < sim->sector_count; j++)
        for (int k = 0; k < STEPS; k++) sectors[j][k] = weir_random_normal(&sim->random, 0, 1);
    for (int i = 0; i < sim->symbol_count; i++) trade(sim, &sim->symbols[i], market, sectors[sim->symbols[i].sector]);
    sim->label_next = sim->has_labels && sim->before_us ? 0 : sim->symbol_count;
    sim->event_next = 0;
}

static bool symbols_init(simulation *sim, int count) {
    sim->symbols = weir_mem.realloc(NULL, (size_t)count * sizeof *sim->symbols);
    if (!sim->symbols) return false;
    memset(sim->symbols, 0, (size_t)count * sizeof *sim->symbols);
    sim->symbol_count = count;
    sim->sector_count = count / SYMBOLS_A_SECTOR;
    if (sim->sector_count < 1) sim->sector_count = 1;
    if (sim->sector_count > SECTORS_MAX) sim->sector_count = SECTORS_MAX;
    for (int i = 0; i < count; i++) {
        symbol *s = &sim->symbols[i];
        double deviation = weir_random_uniform(&sim->random, 0.15, 0.5);
        snprintf(s->name, sizeof s->name, "SYM%04d", i);
        s->sector = i % sim->sector_count;
        s->theta = s->variance = deviation * deviation;
        s->price = weir_random_uniform(&sim->random, 20, 300);
        s->day_volume = weir_random_uniform(&sim->random, 5e5, 2e7);
        s->split_factor = 1;
    }
    return true;
}

/* ---- rows ---- */

static weir_datum bar_id(simulation *sim, const symbol *s, int64_t close_us) {
    return weir_str(sim->id, (size_t)snprintf(sim->id, sizeof sim->id, "%s@%lld", s->name, (long long)(close_us / WEIR_SECOND_US)));
}

static const weir_datum *event_row(simulation *sim, const symbol *s) {
    const bar *b = &s->now;
    weir_datum values[C_COUNT] = {
        [C_ID] = bar_id(sim, s, sim->close_us),
        [C_TIME] = weir_i64(sim->close_us),
        [C_SYMBOL] = weir_text(s->name),
        [C_SECTOR] = weir_text(sector_names[s->sector]),
        [C_OPEN] = weir_f64(b->open),
        [C_HIGH] = weir_f64(b->high),
        [C_LOW] = weir_f64(b->low),
        [C_CLOSE] = weir_f64(b->close),
        [C_VOLUME] = weir_f64(b->volume),
        [C_SPLIT] = weir_f64(b->split),
        [C_SPLIT_FACTOR] = weir_f64(s->split_factor),
        [C_PREV_CLOSE] = s->before.close > 0 ? weir_f64(s->before.close / b->split) : weir_null(),
        [C_BID] = weir_f64(b->bid),
        [C_ASK] = weir_f64(b->ask),
        [C_BID_SIZE] = weir_f64(b->bid_size),
        [C_ASK_SIZE] = weir_f64(b->ask_size),
        [C_BUY] = weir_f64(b->buy_volume),
        [C_SELL] = weir_f64(b->sell_volume),
    };
    return weir_sim_feed_row(&sim->events, values);
}

static const weir_datum *label_row(simulation *sim, const symbol *s) {
    double change = s->now.close * s->now.split / s->before.close - 1;
    weir_datum values[L_COUNT] = {
        [L_ID] = bar_id(sim, s, sim->before_us), [L_TIME] = weir_i64(sim->before_us), [L_SYMBOL] = weir_text(s->name),
        [L_KNOWN_AT] = weir_i64(sim->close_us),  [L_UP] = weir_bool(change > 0),      [L_RETURN] = weir_f64(change),
    };
    return weir_sim_feed_row(&sim->labels, values);
}

/* ---- the source ---- */

static weir_status simulation_next(void *context, weir_record *ret_record, bool *ret_more, weir_err *err) {
    (void)err;
    simulation *sim = context;
    if (!sim->ended && sim->event_next == sim->symbol_count) next_bar(sim);
    *ret_more = !sim->ended;
    if (sim->ended) return WEIR_OK;
    if (sim->label_next < sim->symbol_count)
        *ret_record = (weir_record){.feed = WEIR_FROM_LABELS, .at_us = sim->close_us, .row = label_row(sim, &sim->symbols[sim->label_next++])};
    else
        *ret_record = (weir_record){.feed = WEIR_FROM_EVENTS, .at_us = sim->close_us, .row = event_row(sim, &sim->symbols[sim->event_next++])};
    return WEIR_OK;
}

static void simulation_done(void *context) {
    simulation *sim = context;
    if (!sim) return;
    weir_sim_feed_done(&sim->events);
    weir_sim_feed_done(&sim->labels);
    weir_mem.realloc(sim->symbols, 0);
    weir_mem.realloc(sim, 0);
}

static const weir_records_ops simulation_ops = {.next = simulation_next, .done = simulation_done};

static weir_status check_conf(const weir_simulate_conf *conf, weir_err *err) {
    if (conf->entities < 1 || conf->entities > SYMBOLS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "entities is %lld, expected 1 to %d symbols", (long long)conf->entities, SYMBOLS_MAX);
    if (conf->days < 1 || conf->days > DAYS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "days is %lld, expected 1 to %d", (long long)conf->days, DAYS_MAX);
    return WEIR_OK;
}

static int64_t day_of(int64_t us) {
    return us / WEIR_DAY_US - (us % WEIR_DAY_US < 0);
}

static weir_status open_market(const weir_pipeline *pipeline, const weir_simulate_conf *conf, weir_records **ret_records, weir_err *err) {
    weir_status st = check_conf(conf, err);
    if (st) return st;
    weir_records *records = weir_mem.realloc(NULL, sizeof *records);
    simulation *sim = weir_mem.realloc(NULL, sizeof *sim);
    if (sim) memset(sim, 0, sizeof *sim);
    if (!records || !sim) st = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a simulation");
    if (!st) {
        *records = (weir_records){.ops = &simulation_ops, .context = sim, .event_count = -1};
        sim->first_day = day_of(conf->start_us);
        sim->days = conf->days;
        sim->day = -1;
        sim->has_labels = pipeline->labels.topic != NULL;
        weir_random_init(&sim->random, (uint64_t)conf->seed);
        if (!symbols_init(sim, (int)conf->entities)) st = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld symbols", (long long)conf->entities);
    }
    if (!st) sim->event_next = sim->symbol_count;
    if (!st) st = weir_sim_feed_init(&sim->events, pipeline, WEIR_FROM_EVENTS, event_columns, err);
    if (!st && sim->has_labels) st = weir_sim_feed_init(&sim->labels, pipeline, WEIR_FROM_LABELS, label_columns, err);
    if (st) {
        simulation_done(sim);
        weir_mem.realloc(records, 0);
        return st;
    }
    *ret_records = records;
    return WEIR_OK;
}

static const char *const measured[] = {"open", "high", "low", "close", "volume", "bid", "ask", "bid_size", "ask_size", "buy_volume", "sell_volume", NULL};

const weir_simulator weir_simulator_market = {
    .domain = "market",
    .doc = "bars of five minutes with closing quotes and signed volume: prices with stochastic volatility, sector news, jumps and splits",
    .entity = "symbols",
    .fallback = {.entities = 12, .days = 60, .start_us = INT64_C(1704067200000000)}, /* 2024-01-01 */
    .measured = measured,
    .open = open_market,
};
