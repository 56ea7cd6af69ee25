/* The simulated market: bars that hold together, labels that say what the bars did, what the model promises of prices, volume and quotes, and the same bytes for the same seed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/clock.h"
#include "models/model.h"
#include "producers/simulate.h"
#include "tests/unit/producers/simulated.h"

/* Columns of schemas/bar.avsc and bar_label.avsc. */
enum {
    E_TENANT,
    E_ID,
    E_TIME,
    E_SYMBOL,
    E_SECTOR,
    E_OPEN,
    E_HIGH,
    E_LOW,
    E_CLOSE,
    E_VOLUME,
    E_SPLIT,
    E_SPLIT_FACTOR,
    E_PREV_CLOSE,
    E_ADJ_CLOSE,
    E_BID,
    E_ASK,
    E_BID_SIZE,
    E_ASK_SIZE,
    E_BUY,
    E_SELL
};
enum { L_TENANT, L_ID, L_TIME, L_SYMBOL, L_KNOWN_AT, L_UP, L_RETURN };
enum { BARS_A_DAY = 78 };

static const char market[] =
    "{\"pipeline\": \"m\", \"source\": {\"schema\": \"schemas/bar.avsc\", \"key\": [\"symbol\"], \"tenant\": \"tenant\", \"time\": \"close_time\"},"
    "\"labels\": {\"schema\": \"schemas/bar_label.avsc\", \"key\": [\"symbol\"], \"tenant\": \"tenant\", \"time\": \"close_time\", \"available\": "
    "\"known_at\", \"column\": \"up\","
    " \"join\": [\"bar_id\", \"bar_id\"]},"
    "\"views\": [{\"name\": \"symbol\", \"entity\": [\"symbol\"], \"features\": [{\"name\": \"n\", \"agg\": \"count\", \"window\": \"7d\"}]}]}";

static const weir_simulate_conf small = {.seed = 3, .entities = 8, .days = 30, .start_us = INT64_C(1704067200000000)}; /* 2024-01-01, a Monday */

typedef struct bar {
    int64_t at_us;
    int symbol;
    char sector[24];
    double value[E_SELL + 1];
    bool labelled, up;
    double next_return;
} bar;

typedef struct run {
    int64_t symbols;
    bar *bars;
    int64_t count, labels;
    weir_buf bytes; /* everything that came out, encoded */
} run;

static weir_pipeline *pipeline;

static int load(void **state) {
    (void)state;
    weir_err err;
    if (!weir_pipeline_parse(market, NULL, &pipeline, &err)) return 0;
    fprintf(stderr, "%s\n", err.message);
    return -1;
}

static int unload(void **state) {
    (void)state;
    weir_pipeline_free(pipeline);
    return 0;
}

static int symbol_of(const weir_datum *d) {
    char text[32] = {0};
    assert_int_equal(d->type, WEIR_T_STR);
    assert_in_range(d->len, 4, sizeof text - 1);
    memcpy(text, d->p, d->len);
    return atoi(text + 3);
}

static void take_event(run *r, const weir_record *record) {
    const weir_datum *row = record->row;
    if (r->count % 1024 == 0) r->bars = realloc(r->bars, (size_t)(r->count + 1024) * sizeof *r->bars);
    assert_non_null(r->bars);
    bar *b = &r->bars[r->count++];
    *b = (bar){.at_us = row[E_TIME].i, .symbol = symbol_of(&row[E_SYMBOL])};
    memcpy(b->sector, row[E_SECTOR].p, row[E_SECTOR].len);
    for (int c = E_OPEN; c <= E_SELL; c++) b->value[c] = weir_datum_number(&row[c]);
    assert_int_equal(record->at_us, b->at_us);
}

/* Labels come for all symbols when the next bar is known, before that bar. */
static void take_label(run *r, const weir_record *record) {
    const weir_datum *row = record->row;
    bar *b = &r->bars[r->count - r->symbols + symbol_of(&row[L_SYMBOL])];
    assert_int_equal(row[L_TIME].i, b->at_us);
    assert_int_equal(row[L_KNOWN_AT].i, record->at_us);
    assert_false(b->labelled);
    b->labelled = true;
    b->up = row[L_UP].i;
    b->next_return = row[L_RETURN].f;
    r->labels++;
}

static void take_record(void *context, const weir_record *record) {
    if (record->feed == WEIR_FROM_EVENTS)
        take_event(context, record);
    else
        take_label(context, record);
}

static run simulate(const weir_simulate_conf *conf) {
    run r = {.symbols = conf->entities};
    run_simulator(&weir_simulator_market, pipeline, conf, take_record, &r, &r.bytes);
    return r;
}

static void run_done(run *r) {
    free(r->bars);
    weir_buf_done(&r->bytes);
}

static const bar *bar_at(const run *r, int64_t k, int symbol, int symbols) {
    const bar *b = &r->bars[k * symbols + symbol];
    assert_int_equal(b->symbol, symbol);
    return b;
}

static void bars_hold_together(void **state) {
    (void)state;
    run r = simulate(&small);
    assert_int_equal(r.count, 22 * BARS_A_DAY * small.entities); /* 22 weekdays of 30 days from a Monday */
    for (int64_t i = 0; i < r.count; i++) {
        const double *v = r.bars[i].value;
        assert_true(v[E_LOW] > 0 && v[E_LOW] <= v[E_OPEN] && v[E_LOW] <= v[E_CLOSE] && v[E_HIGH] >= v[E_OPEN] && v[E_HIGH] >= v[E_CLOSE]);
        assert_true(v[E_BID] < v[E_ASK] && v[E_BID] <= v[E_CLOSE] && v[E_CLOSE] <= v[E_ASK]);
        assert_true(v[E_VOLUME] > 0 && v[E_BUY] + v[E_SELL] == v[E_VOLUME] && v[E_BUY] >= 0 && v[E_SELL] >= 0);
        assert_true(v[E_BID_SIZE] >= 100 && v[E_ASK_SIZE] >= 100);
        assert_true(isnan(v[E_ADJ_CLOSE]));
        int64_t second = r.bars[i].at_us / WEIR_SECOND_US % 86400;
        assert_in_range(second, 14 * 3600 + 35 * 60, 21 * 3600);
        assert_in_range((r.bars[i].at_us / WEIR_DAY_US + 3) % 7, 0, 4);
    }
    run_done(&r);
}

static void a_label_says_what_the_next_bar_did(void **state) {
    (void)state;
    const weir_simulate_conf long_enough = {.seed = 5, .entities = 5, .days = 800, .start_us = small.start_us};
    run r = simulate(&long_enough);
    int n = 5, splits = 0;
    int64_t bars = r.count / n;
    assert_int_equal(r.labels, r.count - n); /* of the last bars nothing is known */
    for (int64_t k = 0; k + 1 < bars; k++) {
        for (int s = 0; s < n; s++) {
            const bar *b = bar_at(&r, k, s, n), *next = bar_at(&r, k + 1, s, n);
            double change = next->value[E_CLOSE] * next->value[E_SPLIT_FACTOR] / (b->value[E_CLOSE] * b->value[E_SPLIT_FACTOR]) - 1;
            assert_true(fabs(b->next_return - change) < 1e-12);
            assert_int_equal(b->up, b->next_return > 0);
            assert_true(fabs(change) < 0.4); /* a split is no loss */
            assert_true(next->value[E_SPLIT_FACTOR] == b->value[E_SPLIT_FACTOR] * next->value[E_SPLIT]);
            assert_true(fabs(next->value[E_PREV_CLOSE] * next->value[E_SPLIT] - b->value[E_CLOSE]) < 1e-9);
            splits += next->value[E_SPLIT] != 1;
        }
    }
    assert_true(splits > 0); /* else the lines above have not been tried */
    run_done(&r);
}

static double correlation(const double *x, const double *y, int64_t n) {
    double mx = 0, my = 0, xy = 0, xx = 0, yy = 0;
    for (int64_t i = 0; i < n; i++) mx += x[i] / (double)n, my += y[i] / (double)n;
    for (int64_t i = 0; i < n; i++) xy += (x[i] - mx) * (y[i] - my), xx += (x[i] - mx) * (x[i] - mx), yy += (y[i] - my) * (y[i] - my);
    return xy / sqrt(xx * yy);
}

/* Symbols 0 and 2 are of one sector, 0 and 1 are not: 8 symbols are 2 sectors. */
static void prices_move_with_market_sector_and_flow(void **state) {
    (void)state;
    const weir_simulate_conf conf = {.seed = 11, .entities = 8, .days = 200, .start_us = small.start_us};
    run r = simulate(&conf);
    int n = 8;
    int64_t bars = r.count / n - 1;
    double *of[3], *flow = malloc((size_t)bars * sizeof *flow), *spread = malloc((size_t)bars * sizeof *spread), *size = malloc((size_t)bars * sizeof *size);
    double smile[BARS_A_DAY] = {0};
    assert_true(flow && spread && size);
    for (int s = 0; s < 3; s++) {
        of[s] = malloc((size_t)bars * sizeof **of);
        assert_non_null(of[s]);
        for (int64_t k = 0; k < bars; k++) of[s][k] = bar_at(&r, k, s, n)->next_return;
    }
    for (int64_t k = 0; k < bars; k++) {
        const double *v = bar_at(&r, k, 0, n)->value;
        flow[k] = (v[E_BUY] - v[E_SELL]) / v[E_VOLUME];
        spread[k] = (v[E_ASK] - v[E_BID]) / v[E_CLOSE];
        size[k] = fabs(of[0][k]);
        smile[k % BARS_A_DAY] += v[E_VOLUME];
    }
    assert_string_equal(bar_at(&r, 0, 0, n)->sector, bar_at(&r, 0, 2, n)->sector);
    assert_string_not_equal(bar_at(&r, 0, 0, n)->sector, bar_at(&r, 0, 1, n)->sector);
    double same = correlation(of[0], of[2], bars), other = correlation(of[0], of[1], bars);
    assert_true(other > 0.1 && same > other + 0.08);
    double told = correlation(flow, of[0], bars);
    assert_true(told > 0.02 && told < 0.15); /* order flow tells something, and not much */
    assert_true(correlation(spread, size, bars) > 0.05); /* wider when it moves */
    assert_true(smile[0] > 1.5 * smile[BARS_A_DAY / 2] && smile[BARS_A_DAY - 1] > 1.5 * smile[BARS_A_DAY / 2]);
    for (int s = 0; s < 3; s++) free(of[s]);
    free(flow), free(spread), free(size);
    run_done(&r);
}

static void a_seed_gives_the_same_bytes_and_more_days_only_add(void **state) {
    (void)state;
    weir_simulate_conf other = small, longer = small;
    other.seed++;
    longer.days += 5;
    run a = simulate(&small), b = simulate(&small), c = simulate(&other), d = simulate(&longer);
    assert_int_equal(a.bytes.len, b.bytes.len);
    assert_memory_equal(a.bytes.data, b.bytes.data, a.bytes.len);
    assert_true(c.bytes.len != a.bytes.len || memcmp(c.bytes.data, a.bytes.data, a.bytes.len));
    assert_true(d.bytes.len > a.bytes.len);
    assert_memory_equal(d.bytes.data, a.bytes.data, a.bytes.len);
    /* the digest pins the bytes: it may change only with the recipe */
    char digest[65];
    weir_sha256_hex(a.bytes.data, a.bytes.len, digest);
    assert_string_equal(digest, "f2453720a8b63d54e219830a2c029303faccefbab1879c0deb42f1e2b8701f33");
    run_done(&a), run_done(&b), run_done(&c), run_done(&d);
}

static void odd_numbers_of_symbols_and_days(void **state) {
    (void)state;
    static const weir_simulate_conf bad[] = {
        {.entities = 0, .days = 1}, {.entities = 100001, .days = 1}, {.entities = 1, .days = 0}, {.entities = 1, .days = 36501}};
    weir_err err;
    weir_records *records = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(weir_simulator_market.open(pipeline, &bad[i], &records, &err), WEIR_EINVAL);
    assert_null(records);
    run r = simulate(&(weir_simulate_conf){.seed = 1, .entities = 1, .days = 2, .start_us = small.start_us - 2 * WEIR_DAY_US}); /* a weekend */
    assert_int_equal(r.count, 0);
    run_done(&r);
    r = simulate(&(weir_simulate_conf){.seed = 1, .entities = 1, .days = 1, .start_us = -WEIR_DAY_US}); /* 1969-12-31, a Wednesday */
    assert_int_equal(r.count, BARS_A_DAY);
    assert_int_equal(r.labels, BARS_A_DAY - 1);
    run_done(&r);
}

static void memory_that_runs_out_is_an_error_and_leaks_nothing(void **state) {
    (void)state;
    starve_simulator(&weir_simulator_market, pipeline, &(weir_simulate_conf){.seed = 1, .entities = 50, .days = 2, .start_us = small.start_us}, NULL, 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_hold_together),
        cmocka_unit_test(a_label_says_what_the_next_bar_did),
        cmocka_unit_test(prices_move_with_market_sector_and_flow),
        cmocka_unit_test(a_seed_gives_the_same_bytes_and_more_days_only_add),
        cmocka_unit_test(odd_numbers_of_symbols_and_days),
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
