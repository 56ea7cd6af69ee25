/* The simulated card payments: rules of the three frauds, order, labels, and the same bytes for the same seed. */
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

/* Columns of schemas/transaction.avsc and transaction_label.avsc. */
enum { E_TENANT, E_ID, E_TIME, E_CUSTOMER, E_TERMINAL, E_AMOUNT };
enum { L_TENANT, L_ID, L_TIME, L_CUSTOMER, L_TERMINAL, L_LABELLED_AT, L_FRAUD, L_SCENARIO };

static const weir_simulate_conf small = {.seed = 3, .entities = 300, .days = 40, .start_us = INT64_C(1522540800000000)}; /* 2018-04-01 */

typedef struct payment {
    int64_t at_us, customer, terminal, scenario;
    double amount;
    bool fraud, labelled;
} payment;

typedef struct run {
    payment *payments;
    int64_t count, capacity, labels;
    weir_buf bytes; /* everything that came out, encoded */
} run;

static weir_pipeline *pipeline;

static int load(void **state) {
    (void)state;
    weir_err err;
    if (!weir_pipeline_load("fraud", &pipeline, &err)) return 0;
    fprintf(stderr, "%s\n", err.message);
    return -1;
}

static int unload(void **state) {
    (void)state;
    weir_pipeline_free(pipeline);
    return 0;
}

static int64_t number(const weir_datum *d) {
    assert_int_equal(d->type, WEIR_T_STR);
    char text[32] = {0};
    assert_in_range(d->len, 1, sizeof text - 1);
    memcpy(text, d->p, d->len);
    return strtoll(text, NULL, 10);
}

static void take_event(run *r, const weir_datum *row) {
    assert_int_equal(number(&row[E_ID]), r->count); /* ids count up in order of time */
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 1024;
        r->payments = realloc(r->payments, (size_t)r->capacity * sizeof *r->payments);
        assert_non_null(r->payments);
    }
    r->payments[r->count++] =
        (payment){.at_us = row[E_TIME].i, .customer = number(&row[E_CUSTOMER]), .terminal = number(&row[E_TERMINAL]), .amount = row[E_AMOUNT].f};
}

static void take_label(run *r, const weir_record *record) {
    const weir_datum *row = record->row;
    payment *p = &r->payments[number(&row[L_ID])];
    assert_true(r->payments[r->count - 1].at_us < record->at_us); /* at equal times labels come first */
    assert_int_equal(number(&row[L_ID]), r->labels++);
    assert_false(p->labelled);
    p->labelled = true;
    p->fraud = row[L_FRAUD].i;
    assert_int_equal(row[L_FRAUD].type, WEIR_T_BOOL);
    p->scenario = row[L_SCENARIO].type == WEIR_T_NULL ? 0 : row[L_SCENARIO].i;
    assert_int_equal(row[L_TIME].i, p->at_us);
    assert_int_equal(row[L_LABELLED_AT].i, p->at_us + 7 * WEIR_DAY_US);
    assert_int_equal(record->at_us, row[L_LABELLED_AT].i);
    assert_int_equal(number(&row[L_CUSTOMER]), p->customer);
    assert_int_equal(number(&row[L_TERMINAL]), p->terminal);
}

static void take_record(void *context, const weir_record *record) {
    if (record->feed == WEIR_FROM_EVENTS)
        take_event(context, record->row);
    else
        take_label(context, record);
}

static run simulate(const weir_simulate_conf *conf) {
    run r = {0};
    run_simulator(&weir_simulator_fraud, pipeline, conf, take_record, &r, &r.bytes);
    assert_int_equal(r.labels, r.count);
    return r;
}

static void run_done(run *r) {
    free(r->payments);
    weir_buf_done(&r->bytes);
}

static int64_t day_of(const payment *p) {
    return (p->at_us - small.start_us) / WEIR_DAY_US;
}

static void volume_and_times_are_those_of_the_handbook(void **state) {
    (void)state;
    run r = simulate(&small);
    /* U(0, 4) a day, of which P(|Normal(43200, 20000) - 43200| < 43200) = 0.969 fall into the day */
    assert_true(fabs((double)r.count / (300.0 * 40 * 2 * 0.969) - 1) < 0.1);
    double seconds = 0, squares = 0;
    for (int64_t i = 0; i < r.count; i++) {
        const payment *p = &r.payments[i];
        assert_true(p->at_us > small.start_us && p->at_us < small.start_us + 40 * WEIR_DAY_US);
        assert_true(p->customer >= 0 && p->customer < 300 && p->terminal >= 0 && p->terminal < 600);
        assert_true(p->amount >= 0 && fabs(p->amount * 100 - round(p->amount * 100)) < 1e-7);
        double s = (double)((p->at_us - small.start_us) % WEIR_DAY_US) / 1e6;
        seconds += s, squares += (s - 43200) * (s - 43200);
    }
    assert_true(fabs(seconds / (double)r.count - 43200) < 700);
    assert_true(fabs(sqrt(squares / (double)r.count) - 18800) < 700); /* the deviation of the truncated normal */
    run_done(&r);
}

static void scenario_1_is_every_honest_amount_above_220(void **state) {
    (void)state;
    run r = simulate(&small);
    int64_t seen = 0;
    for (int64_t i = 0; i < r.count; i++) {
        const payment *p = &r.payments[i];
        if (p->scenario == 1) seen++, assert_true(p->amount > 220);
        if (p->amount > 220) assert_true(p->fraud);
        assert_int_equal(p->fraud, p->scenario != 0);
    }
    assert_true(seen > 0);
    run_done(&r);
}

/* On any day, all payments at a terminal that has a scenario 2 are frauds, and such spells last 28 days or a union of several. */
static void scenario_2_compromises_whole_terminals_for_28_days(void **state) {
    (void)state;
    run r = simulate(&small);
    int64_t seen = 0;
    static signed char spell[600][40]; /* 1: scenario 2 seen, -1: an honest payment seen */
    memset(spell, 0, sizeof spell);
    for (int64_t i = 0; i < r.count; i++) {
        const payment *p = &r.payments[i];
        signed char *s = &spell[p->terminal][day_of(p)];
        if (p->scenario == 2) assert_true(*s != -1), *s = 1, seen++;
        if (p->scenario == 0) assert_true(*s != 1), *s = -1;
    }
    assert_true(seen > 0);
    int compromised_at_end = 0;
    for (int t = 0; t < 600; t++) {
        int first = -1, last = -1;
        for (int d = 0; d < 40; d++)
            if (spell[t][d] == 1) first = first < 0 ? d : first, last = d;
        for (int d = first; first >= 0 && d <= last && last - first < 28; d++) assert_true(spell[t][d] >= 0); /* nothing honest within a spell */
        compromised_at_end += last >= 28;
    }
    assert_in_range(compromised_at_end, 10, 40); /* one a day for 28 days, less those without a payment */
    run_done(&r);
}

static void scenario_3_multiplies_a_third_of_a_customers_payments(void **state) {
    (void)state;
    run r = simulate(&small);
    static int frauds[300][40], all[300][40];
    memset(frauds, 0, sizeof frauds);
    memset(all, 0, sizeof all);
    double inflated = 0, other = 0;
    int64_t inflated_count = 0, other_count = 0;
    for (int64_t i = 0; i < r.count; i++) {
        const payment *p = &r.payments[i];
        all[p->customer][day_of(p)]++;
        if (p->scenario == 3) frauds[p->customer][day_of(p)]++, inflated += p->amount, inflated_count++;
        if (p->scenario == 0) other += p->amount, other_count++;
    }
    assert_true(inflated_count > 100);
    assert_true(fabs(inflated / (double)inflated_count / (other / (double)other_count) - 5) < 1.5);
    double hit = 0, total = 0; /* between a customer's first and last fraud, when that is one spell */
    for (int c = 0; c < 300; c++) {
        int first = -1, last = -1;
        for (int d = 0; d < 40; d++)
            if (frauds[c][d]) first = first < 0 ? d : first, last = d;
        if (first < 0 || last - first >= 14) continue;
        for (int d = first + 1; d < last; d++) hit += frauds[c][d], total += all[c][d];
    }
    assert_true(fabs(hit / total - 1.0 / 3) < 0.08);
    run_done(&r);
}

/* The digest pins the bytes: it may change only with the recipe. */
static void a_seed_gives_the_same_bytes_and_another_seed_others(void **state) {
    (void)state;
    run a = simulate(&small), b = simulate(&small);
    assert_int_equal(a.bytes.len, b.bytes.len);
    assert_memory_equal(a.bytes.data, b.bytes.data, a.bytes.len);
    char digest[65];
    weir_sha256_hex(a.bytes.data, a.bytes.len, digest);
    assert_string_equal(digest, "ad7979df59f574d6902a74c532dce4c711f5ee24ce3b6b3c1aaf3a5842023813");
    weir_simulate_conf other = small;
    other.seed = 4;
    run c = simulate(&other);
    assert_true(c.bytes.len != a.bytes.len || memcmp(c.bytes.data, a.bytes.data, a.bytes.len));
    run_done(&a), run_done(&b), run_done(&c);
}

static void more_days_only_add_to_the_end(void **state) {
    (void)state;
    weir_simulate_conf shorter = small;
    shorter.days = 12;
    run a = simulate(&small), b = simulate(&shorter);
    assert_true(b.count < a.count && b.count > 0);
    for (int64_t i = 0; i < b.count; i++) {
        assert_int_equal(a.payments[i].at_us, b.payments[i].at_us);
        assert_int_equal(a.payments[i].customer, b.payments[i].customer);
        assert_int_equal(a.payments[i].scenario, b.payments[i].scenario);
        assert_true(a.payments[i].amount == b.payments[i].amount);
    }
    run_done(&a), run_done(&b);
}

static void one_customer_is_enough(void **state) {
    (void)state;
    weir_simulate_conf conf = {.seed = 1, .entities = 1, .days = 30, .start_us = small.start_us};
    run r = simulate(&conf);
    assert_in_range(r.count, 1, 200);
    run_done(&r);
}

static void impossible_numbers_are_refused(void **state) {
    (void)state;
    weir_err err;
    weir_records *records = NULL;
    weir_simulate_conf none = {.entities = 0, .days = 1}, never = {.entities = 1, .days = 0}, crowd = {.entities = 1000001, .days = 1};
    assert_int_equal(weir_simulator_fraud.open(pipeline, &none, &records, &err), WEIR_EINVAL);
    assert_int_equal(weir_simulator_fraud.open(pipeline, &never, &records, &err), WEIR_EINVAL);
    assert_int_equal(weir_simulator_fraud.open(pipeline, &crowd, &records, &err), WEIR_EINVAL);
    assert_null(records);
}

static void memory_that_runs_out_is_an_error_and_leaks_nothing(void **state) {
    (void)state;
    starve_simulator(&weir_simulator_fraud, pipeline, &(weir_simulate_conf){.seed = 1, .entities = 50, .days = 2, .start_us = small.start_us}, NULL, 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(volume_and_times_are_those_of_the_handbook),
        cmocka_unit_test(scenario_1_is_every_honest_amount_above_220),
        cmocka_unit_test(scenario_2_compromises_whole_terminals_for_28_days),
        cmocka_unit_test(scenario_3_multiplies_a_third_of_a_customers_payments),
        cmocka_unit_test(a_seed_gives_the_same_bytes_and_another_seed_others),
        cmocka_unit_test(more_days_only_add_to_the_end),
        cmocka_unit_test(one_customer_is_enough),
        cmocka_unit_test(impossible_numbers_are_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
