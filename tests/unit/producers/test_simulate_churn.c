/* The simulated customers: events that belong together, labels that say who left, reasons that can be seen beforehand, and the same bytes for the same seed. */
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

/* Columns of schemas/customer_event.avsc and churn_label.avsc that are looked at here. */
enum {
    E_ID = 1,
    E_TIME,
    E_CUSTOMER,
    E_KIND,
    E_CONTRACT,
    E_GENDER,
    E_TENURE = 10,
    E_LINES = 12,
    E_INTERNET,
    E_SECURITY,
    E_PRICE = 22,
    E_TOTAL,
    E_USAGE,
    E_SEVERITY,
    E_DAYS_LATE,
    E_AMOUNT
};
enum { L_ID = 1, L_TIME, L_CUSTOMER, L_KNOWN_AT, L_CHURNED };
enum { CUSTOMERS_MAX = 4096 };

static const char churn[] =
    "{\"pipeline\": \"c\", \"source\": {\"schema\": \"schemas/customer_event.avsc\", \"key\": [\"customer_id\"], \"tenant\": \"tenant\", \"time\": "
    "\"event_time\"},"
    "\"labels\": {\"schema\": \"schemas/churn_label.avsc\", \"key\": [\"customer_id\"], \"tenant\": \"tenant\", \"time\": \"event_time\", \"available\": "
    "\"known_at\", \"column\": \"churned\","
    " \"join\": [\"event_id\", \"event_id\"], \"max_delay\": \"30d\"},"
    "\"views\": [{\"name\": \"customer\", \"entity\": [\"customer_id\"], \"features\": [{\"name\": \"n\", \"agg\": \"count\", \"window\": \"7d\"}]}]}";

static const weir_simulate_conf small = {.seed = 3, .entities = 400, .days = 240, .start_us = INT64_C(1672531200000000)}; /* 2023-01-01 */

typedef struct snapshot {
    int64_t at_us, customer;
    char contract; /* its first letter: M, O, T */
    double tenure, price, trouble; /* severity of the tickets of the month before */
    bool labelled, left;
} snapshot;

typedef struct history {
    int64_t last_us, last_snapshot_us;
    double tenure, trouble, price;
    bool seen;
} history;

typedef struct run {
    snapshot *snapshots; /* by number of event */
    bool *is_snapshot;
    int64_t count, labels;
    history customers[CUSTOMERS_MAX];
    weir_buf bytes; /* everything that came out, encoded */
} run;

static weir_pipeline *pipeline;

static int load(void **state) {
    (void)state;
    weir_err err;
    if (!weir_pipeline_parse(churn, NULL, &pipeline, &err)) return 0;
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
    assert_in_range(d->len, 2, sizeof text - 1);
    memcpy(text, d->p, d->len);
    return strtoll(text + 1, NULL, 10);
}

static bool is(const weir_datum *d, const char *text) {
    return d->type == WEIR_T_STR && d->len == strlen(text) && !memcmp(d->p, text, d->len);
}

static void take_snapshot(run *r, const weir_datum *row, history *h) {
    double tenure = row[E_TENURE].f, price = row[E_PRICE].f;
    assert_int_equal(row[E_TENURE].type, WEIR_T_F64);
    if (h->seen) {
        assert_true(tenure == h->tenure + 1);
        assert_true(row[E_TIME].i - h->last_snapshot_us > 29 * WEIR_DAY_US && row[E_TIME].i - h->last_snapshot_us < 31 * WEIR_DAY_US);
        assert_true(price >= h->price && price <= 1.16 * h->price);
    }
    assert_int_equal(row[E_TOTAL].type, tenure > 0 ? WEIR_T_F64 : WEIR_T_NULL); /* nothing charged yet is a missing value, as in life */
    assert_int_equal(is(&row[E_INTERNET], "No"), row[E_SECURITY].i == 2);
    r->snapshots[r->count] = (snapshot){row[E_TIME].i, number(&row[E_CUSTOMER]), row[E_CONTRACT].p[0], tenure, price, h->trouble, false, false};
    r->is_snapshot[r->count] = true;
    *h = (history){.tenure = tenure, .price = price, .last_snapshot_us = row[E_TIME].i, .seen = true};
}

static void take_event(run *r, const weir_record *record) {
    const weir_datum *row = record->row;
    if (r->count % 4096 == 0) {
        r->snapshots = realloc(r->snapshots, (size_t)(r->count + 4096) * sizeof *r->snapshots);
        r->is_snapshot = realloc(r->is_snapshot, (size_t)(r->count + 4096) * sizeof *r->is_snapshot);
    }
    assert_true(r->snapshots && r->is_snapshot);
    int64_t who = number(&row[E_CUSTOMER]);
    assert_in_range(who, 0, CUSTOMERS_MAX - 1);
    history *h = &r->customers[who];
    assert_int_equal(number(&row[E_ID]), r->count); /* ids count up in order of time */
    assert_int_equal(record->at_us, row[E_TIME].i);
    r->is_snapshot[r->count] = false;
    bool snapshot_here = is(&row[E_KIND], "snapshot"), usage = is(&row[E_KIND], "usage"), ticket = is(&row[E_KIND], "ticket"),
         payment = is(&row[E_KIND], "payment");
    assert_int_equal(snapshot_here + usage + ticket + payment, 1);
    assert_int_equal(row[E_GENDER].type == WEIR_T_NULL, !snapshot_here); /* columns of another kind are null */
    assert_int_equal(row[E_USAGE].type == WEIR_T_NULL, !usage);
    assert_int_equal(row[E_SEVERITY].type == WEIR_T_NULL, !ticket);
    assert_int_equal(row[E_AMOUNT].type == WEIR_T_NULL, !payment);
    if (usage) assert_true(row[E_USAGE].f > 0);
    if (ticket) h->trouble += row[E_SEVERITY].f;
    if (payment) assert_true(row[E_DAYS_LATE].f >= 0 && row[E_DAYS_LATE].f <= 20);
    if (snapshot_here) take_snapshot(r, row, h);
    h->last_us = row[E_TIME].i;
    r->count++;
}

static void take_label(run *r, const weir_record *record) {
    const weir_datum *row = record->row;
    int64_t id = number(&row[L_ID]);
    assert_true(id < r->count && r->is_snapshot[id]);
    snapshot *s = &r->snapshots[id];
    assert_false(s->labelled);
    s->labelled = true;
    s->left = row[L_CHURNED].i;
    assert_int_equal(row[L_TIME].i, s->at_us);
    assert_int_equal(number(&row[L_CUSTOMER]), s->customer);
    assert_int_equal(row[L_KNOWN_AT].i, s->at_us + 30 * WEIR_DAY_US);
    assert_int_equal(record->at_us, row[L_KNOWN_AT].i);
    r->labels++;
}

static void take_record(void *context, const weir_record *record) {
    if (record->feed == WEIR_FROM_EVENTS)
        take_event(context, record);
    else
        take_label(context, record);
}

static run simulate(const weir_simulate_conf *conf) {
    run r = {0};
    run_simulator(&weir_simulator_churn, pipeline, conf, take_record, &r, &r.bytes);
    return r;
}

static void run_done(run *r) {
    free(r->snapshots);
    free(r->is_snapshot);
    weir_buf_done(&r->bytes);
}

static void every_snapshot_is_labelled_with_what_came_of_it(void **state) {
    (void)state;
    run r = simulate(&small);
    int64_t snapshots = 0, left = 0, end_us = small.start_us + small.days * WEIR_DAY_US;
    for (int64_t i = 0; i < r.count; i++) {
        if (!r.is_snapshot[i]) continue;
        const snapshot *s = &r.snapshots[i];
        const history *h = &r.customers[s->customer];
        snapshots++;
        left += s->left;
        assert_true(s->labelled);
        if (s->left) assert_true(h->last_us < s->at_us + 30 * WEIR_DAY_US); /* who left is not heard of again */
        if (!s->left && s->at_us < end_us - 32 * WEIR_DAY_US) assert_true(h->last_us > s->at_us + 29 * WEIR_DAY_US); /* who stayed is */
    }
    assert_int_equal(r.labels, snapshots);
    assert_in_range(snapshots, 400 * 8 - 150, 400 * 8 + 350); /* a month each, and the first of those who follow */
    assert_in_range(left, snapshots / 40, snapshots / 8);
    run_done(&r);
}

static double rate(const run *r, bool (*counts)(const snapshot *)) {
    double left = 0, all = 0;
    for (int64_t i = 0; i < r->count; i++)
        if (r->is_snapshot[i] && counts(&r->snapshots[i])) all++, left += r->snapshots[i].left;
    assert_true(all > 100);
    return left / all;
}
static bool monthly(const snapshot *s) {
    return s->contract == 'M';
}
static bool bound(const snapshot *s) {
    return s->contract == 'T';
}
static bool troubled(const snapshot *s) {
    return s->contract == 'M' && s->trouble >= 3;
}
static bool untroubled(const snapshot *s) {
    return s->contract == 'M' && s->trouble == 0;
}

static void reasons_to_leave_can_be_seen_beforehand(void **state) {
    (void)state;
    weir_simulate_conf many = small;
    many.entities = 1000;
    many.days = 360;
    run r = simulate(&many);
    assert_true(rate(&r, monthly) > 5 * rate(&r, bound));
    assert_true(rate(&r, troubled) > 1.25 * rate(&r, untroubled));
    run_done(&r);
}

static void a_seed_gives_the_same_bytes(void **state) {
    (void)state;
    weir_simulate_conf other = small;
    other.seed++;
    run a = simulate(&small), b = simulate(&small), c = simulate(&other);
    assert_int_equal(a.bytes.len, b.bytes.len);
    assert_memory_equal(a.bytes.data, b.bytes.data, a.bytes.len);
    assert_true(c.bytes.len != a.bytes.len || memcmp(c.bytes.data, a.bytes.data, a.bytes.len));
    char digest[65];
    weir_sha256_hex(a.bytes.data, a.bytes.len, digest);
    assert_string_equal(digest, "9f78798365de0c0a97acce7cf93dee255446b52b91ab4262c04495f5da3ca731"); /* pins the bytes: it may change only with the recipe */
    run_done(&a), run_done(&b), run_done(&c);
}

static void more_days_only_add_to_the_end(void **state) {
    (void)state;
    weir_simulate_conf shorter = small;
    shorter.days = 100;
    run a = simulate(&small), b = simulate(&shorter);
    assert_true(b.count < a.count && b.count > 0);
    for (int64_t i = 0; i < b.count; i++) {
        assert_int_equal(a.is_snapshot[i], b.is_snapshot[i]);
        if (!a.is_snapshot[i]) continue;
        assert_int_equal(a.snapshots[i].at_us, b.snapshots[i].at_us);
        assert_true(a.snapshots[i].customer == b.snapshots[i].customer && a.snapshots[i].price == b.snapshots[i].price &&
                    a.snapshots[i].left == b.snapshots[i].left);
    }
    run_done(&a), run_done(&b);
}

static void impossible_numbers_are_refused(void **state) {
    (void)state;
    static const weir_simulate_conf bad[] = {
        {.entities = 0, .days = 1}, {.entities = 1000001, .days = 1}, {.entities = 1, .days = 0}, {.entities = 1, .days = 36501}};
    weir_err err;
    weir_records *records = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(weir_simulator_churn.open(pipeline, &bad[i], &records, &err), WEIR_EINVAL);
    assert_null(records);
    run r = simulate(&(weir_simulate_conf){.seed = 1, .entities = 1, .days = 40, .start_us = small.start_us});
    assert_true(r.labels >= 1);
    run_done(&r);
}

static void memory_that_runs_out_is_an_error_and_leaks_nothing(void **state) {
    (void)state;
    starve_simulator(&weir_simulator_churn, pipeline, &(weir_simulate_conf){.seed = 1, .entities = 50, .days = 40, .start_us = small.start_us}, NULL, 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_snapshot_is_labelled_with_what_came_of_it),
        cmocka_unit_test(reasons_to_leave_can_be_seen_beforehand),
        cmocka_unit_test(a_seed_gives_the_same_bytes),
        cmocka_unit_test(more_days_only_add_to_the_end),
        cmocka_unit_test(impossible_numbers_are_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
