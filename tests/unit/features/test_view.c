/* States and features of views: hand-worked windows, a brute-force oracle, every order of arrival, bytes there and back, damage. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/clock.h"
#include "features/view.h"
#include "tests/unit/starve.h"

#define DAY WEIR_DAY_US
#define T0 (INT64_C(1522540800) * WEIR_SECOND_US) /* 2018-04-01, a Sunday */

/* events: tenant, transaction_id, tx_time, customer_id, terminal_id, amount.  labels: …, labelled_at, fraud, scenario (nullable). */
static const char pipeline_json[] =
    "{\"pipeline\":\"t\",\"source\":{\"schema\":\"schemas/transaction.avsc\",\"key\":[\"customer_id\"],\"time\":\"tx_time\",\"allowed_lateness\":\"1d\"},"
    "\"labels\":{\"schema\":\"schemas/"
    "transaction_label.avsc\",\"key\":[\"customer_id\"],\"time\":\"tx_time\",\"available\":\"labelled_at\",\"column\":\"fraud\","
    "\"join\":[\"transaction_id\",\"transaction_id\"],\"allowed_lateness\":\"30d\"},"
    "\"views\":[{\"name\":\"customer\",\"entity\":[\"customer_id\"],\"features\":["
    "{\"name\":\"n7\",\"agg\":\"count\",\"window\":\"7d\"},{\"name\":\"mean7\",\"agg\":\"mean\",\"of\":\"amount\",\"window\":\"7d\"},"
    "{\"name\":\"n1\",\"agg\":\"count\",\"window\":\"1d\"},{\"name\":\"mean1\",\"agg\":\"mean\",\"of\":\"amount\",\"window\":\"1d\"},"
    "{\"name\":\"sum1\",\"agg\":\"sum\",\"of\":\"amount\",\"window\":\"1d\"},{\"name\":\"min7\",\"agg\":\"min\",\"of\":\"amount\",\"window\":\"7d\"},"
    "{\"name\":\"max7\",\"agg\":\"max\",\"of\":\"amount\",\"window\":\"7d\"},{\"name\":\"late_mean2\",\"agg\":\"mean\",\"of\":\"amount\",\"window\":\"2d\","
    "\"delay\":\"3d\"},"
    "{\"name\":\"weekend\",\"expr\":\"weekend(tx_time)\"},{\"name\":\"night\",\"expr\":\"hour(event_time) <= 6\"},"
    "{\"name\":\"share\",\"expr\":\"amount / sum1\"}]},"
    "{\"name\":\"terminal\",\"entity\":[\"terminal_id\"],\"from\":\"labels\",\"features\":["
    "{\"name\":\"count_all\",\"agg\":\"count\",\"window\":\"1d\"},{\"name\":\"count_scenario\",\"agg\":\"count\",\"of\":\"scenario\",\"window\":\"1d\"},"
    "{\"name\":\"mean_scenario\",\"agg\":\"mean\",\"of\":\"scenario\",\"window\":\"1d\"},"
    "{\"name\":\"rate\",\"agg\":\"mean\",\"of\":\"fraud\",\"window\":\"1d\",\"default\":0}]}]}";
enum { N7, MEAN7, N1, MEAN1, SUM1, MIN7, MAX7, LATE_MEAN2, WEEKEND, NIGHT, SHARE, CUSTOMER_COUNT };
enum { COUNT_ALL, COUNT_SCENARIO, MEAN_SCENARIO, RATE, TERMINAL_COUNT };

typedef struct fixture {
    weir_pipeline *pipeline;
    weir_view *customer, *terminal;
    weir_state state;
    weir_datum row[8];
    double slots[8];
    int amount; /* its slot */
} fixture;

static int setup(void **state) {
    weir_err err = {0};
    fixture *f = calloc(1, sizeof(*f));
    if (weir_pipeline_parse(pipeline_json, NULL, &f->pipeline, &err)) fail_msg("%s", err.message);
    assert_int_equal(weir_view_new(f->pipeline, &f->pipeline->views[0], &f->customer, &err), WEIR_OK);
    assert_int_equal(weir_view_new(f->pipeline, &f->pipeline->views[1], &f->terminal, &err), WEIR_OK);
    while (strcmp(weir_view_slot_text(f->customer, f->amount), "amount")) f->amount++;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    weir_state_done(&f->state);
    weir_view_free(f->customer);
    weir_view_free(f->terminal);
    weir_pipeline_free(f->pipeline);
    free(f);
    return 0;
}

static weir_applied apply(fixture *f, weir_state *state, int64_t t, int32_t partition, int64_t offset, double amount) {
    weir_applied applied;
    weir_err err = {0};
    f->row[2] = weir_i64(t);
    f->row[5] = isnan(amount) ? weir_null() : weir_f64(amount);
    weir_view_slots(f->customer, f->row, f->slots);
    if (weir_view_apply(f->customer, state, t, (weir_source){partition, offset}, f->slots, 0, &applied, NULL, &err)) fail_msg("%s", err.message);
    return applied;
}

static void assert_same(double a, double b) {
    if (memcmp(&a, &b, sizeof(a)) && !(isnan(a) && isnan(b))) fail_msg("%.17g is not %.17g", a, b);
}

static void windows_are_open_on_the_left_and_closed_on_the_right(void **state) {
    fixture *f = *state;
    double out[CUSTOMER_COUNT];
    apply(f, &f->state, T0, 0, 0, 10);
    apply(f, &f->state, T0 + DAY, 0, 1, 20);
    apply(f, &f->state, T0 + 7 * DAY, 0, 2, 60);
    weir_view_eval(f->customer, &f->state, T0 + DAY, NULL, out);
    assert_same(out[N1], 1); /* T0 is exactly one window before: out */
    assert_same(out[MEAN1], 20);
    assert_same(out[N7], 2);
    assert_same(out[MEAN7], 15);
    weir_view_eval(f->customer, &f->state, T0 + DAY - 1, NULL, out);
    assert_same(out[N1], 1);
    assert_same(out[MEAN1], 10); /* the later ones are the future */
    weir_view_eval(f->customer, &f->state, T0 + 7 * DAY, NULL, out);
    assert_same(out[N7], 2);
    assert_same(out[MEAN7], 40);
    assert_same(out[MIN7], 20);
    assert_same(out[MAX7], 60);
    assert_same(out[SUM1], 60);
}

static void delayed_windows_end_before_now(void **state) {
    fixture *f = *state;
    double out[CUSTOMER_COUNT];
    for (int i = 0; i < 8; i++) apply(f, &f->state, T0 + i * DAY, 0, i, i);
    weir_view_eval(f->customer, &f->state, T0 + 7 * DAY, NULL, out);
    assert_same(out[LATE_MEAN2], 3.5); /* days 3 and 4: (7-3-2, 7-3] */
    weir_view_eval(f->customer, &f->state, T0 + 30 * DAY, NULL, out);
    assert_same(out[LATE_MEAN2], NAN);
    assert_same(out[SUM1], NAN);
    assert_same(out[N7], 0);
}

static void records_after_upto_at_the_same_time_do_not_count(void **state) {
    fixture *f = *state;
    double out[CUSTOMER_COUNT];
    apply(f, &f->state, T0, 1, 5, 10);
    apply(f, &f->state, T0, 1, 6, 30);
    apply(f, &f->state, T0, 0, 9, 50);
    weir_view_eval(f->customer, &f->state, T0, &(weir_source){1, 5}, out);
    assert_same(out[N1], 2); /* partition 0 comes first */
    assert_same(out[MEAN1], 30);
    weir_view_eval(f->customer, &f->state, T0, &(weir_source){0, 9}, out);
    assert_same(out[N1], 1);
    weir_view_eval(f->customer, &f->state, T0, NULL, out);
    assert_same(out[N1], 3);
    weir_view_eval(f->customer, &f->state, T0 + 1, &(weir_source){0, 0}, out);
    assert_same(out[N1], 3); /* upto is about records at exactly t */
}

static void nulls_are_skipped_and_empty_windows_take_the_default(void **state) {
    fixture *f = *state;
    double out[TERMINAL_COUNT];
    weir_applied applied;
    weir_datum row[8] = {0};
    row[6] = weir_bool(true);
    for (int i = 0; i < 3; i++) {
        row[7] = i == 1 ? weir_null() : weir_i64(1 + i);
        weir_view_slots(f->terminal, row, f->slots);
        assert_int_equal(weir_view_apply(f->terminal, &f->state, T0 + i, (weir_source){0, i}, f->slots, 0, &applied, NULL, NULL), WEIR_OK);
        row[6] = weir_bool(false);
    }
    weir_view_eval(f->terminal, &f->state, T0 + 2, NULL, out);
    assert_same(out[COUNT_ALL], 3);
    assert_same(out[COUNT_SCENARIO], 2);
    assert_same(out[MEAN_SCENARIO], 2);
    assert_same(out[RATE], 1.0 / 3);
    weir_view_eval(f->terminal, &f->state, T0 - 1, NULL, out);
    assert_same(out[COUNT_ALL], 0);
    assert_same(out[COUNT_SCENARIO], 0);
    assert_same(out[MEAN_SCENARIO], NAN);
    assert_same(out[RATE], 0);
}

static void expressions_read_the_newest_record_that_counts(void **state) {
    fixture *f = *state;
    double out[CUSTOMER_COUNT];
    apply(f, &f->state, T0 + 5 * 3600 * WEIR_SECOND_US, 0, 0, 10); /* Sunday, 05:00 */
    apply(f, &f->state, T0 + 5 * 3600 * WEIR_SECOND_US, 0, 1, 30);
    apply(f, &f->state, T0 + DAY - 1, 0, 2, 60);
    weir_view_eval(f->customer, &f->state, T0 + 5 * 3600 * WEIR_SECOND_US, &(weir_source){0, 0}, out);
    assert_same(out[WEEKEND], 1);
    assert_same(out[NIGHT], 1);
    assert_same(out[SHARE], 1);
    weir_view_eval(f->customer, &f->state, T0 + 5 * 3600 * WEIR_SECOND_US, NULL, out);
    assert_same(out[SHARE], 0.75);
    weir_view_eval(f->customer, &f->state, T0 + DAY + WEIR_SECOND_US, NULL, out); /* Monday by now, but the record is Sunday's */
    assert_same(out[WEEKEND], 1);
    assert_same(out[NIGHT], 0);
    assert_same(out[SHARE], 0.6);
    weir_view_eval(f->customer, &f->state, T0, NULL, out);
    assert_same(out[WEEKEND], NAN);
    assert_same(out[NIGHT], NAN);
}

static void repeats_change_nothing_and_late_records_are_told(void **state) {
    fixture *f = *state;
    assert_int_equal(apply(f, &f->state, T0 + 10 * DAY, 0, 1, 1), WEIR_APPLIED);
    assert_int_equal(apply(f, &f->state, T0 + 10 * DAY, 0, 1, 1), WEIR_DUPLICATE);
    assert_int_equal(apply(f, &f->state, T0 + 9 * DAY, 0, 2, 2), WEIR_APPLIED); /* exactly allowed_lateness behind */
    assert_int_equal(apply(f, &f->state, T0 + 9 * DAY - 1, 0, 3, 3), WEIR_LATE);
    assert_int_equal(f->state.count, 2);
    assert_int_equal(apply(f, &f->state, T0 + 11 * DAY, 0, 4, 4), WEIR_APPLIED);
    assert_int_equal(apply(f, &f->state, T0 + 9 * DAY, 0, 2, 2), WEIR_DUPLICATE); /* late, but known */
    weir_source source;
    int64_t time;
    assert_true(weir_state_newest(&f->state, &source, &time));
    assert_int_equal(source.offset, 4);
    assert_int_equal(time, T0 + 11 * DAY);
    weir_state_clear(&f->state);
    assert_false(weir_state_newest(&f->state, &source, &time));
    assert_int_equal(apply(f, &f->state, T0, 0, 5, 5), WEIR_APPLIED); /* nothing is late for an empty state */
}

static void a_late_but_allowed_record_still_gets_its_whole_window(void **state) {
    fixture *f = *state;
    double out[CUSTOMER_COUNT];
    apply(f, &f->state, T0 + 1, 0, 0, 7);
    apply(f, &f->state, T0 + 8 * DAY, 0, 1, 1);
    apply(f, &f->state, T0 + 7 * DAY, 0, 2, 5);
    weir_view_eval(f->customer, &f->state, T0 + 7 * DAY, NULL, out);
    assert_same(out[N7], 2);
    assert_same(out[MEAN7], 6);
    apply(f, &f->state, T0 + 8 * DAY + 2, 0, 3, 1); /* horizon 7 d + lateness 1 d: the first record is of no use to anybody now */
    assert_int_equal(f->state.count, 3);
    weir_tail_record oldest;
    assert_true(weir_state_at(&f->state, 0, &oldest));
    assert_int_equal(oldest.event_time_us, T0 + 7 * DAY);
}

/* Straight from the definition. */
static double brute_mean(const int64_t *time, const double *value, int n, int64_t from, int64_t to) {
    double sum = 0, count = 0;
    for (int i = n - 1; i >= 0; i--) {
        if (time[i] > from && time[i] <= to && !isnan(value[i])) sum += value[i], count++;
    }
    return count > 0 ? sum / count : NAN;
}

static void values_equal_brute_force_in_every_order_of_arrival(void **state) {
    enum { N = 60, BLOCK = 10 };
    fixture *f = *state;
    unsigned seed = 7;
    for (int round = 0; round < 50; round++) {
        int64_t time[N];
        double value[N], out[CUSTOMER_COUNT];
        int order[N];
        weir_buf first = {0}, second = {0};
        for (int i = 0; i < N; i++) {
            time[i] = (i ? time[i - 1] : T0) + rand_r(&seed) % 3 * (DAY / 20);
            value[i] = rand_r(&seed) % 10 ? (rand_r(&seed) % 100000) / 100.0 : NAN;
            order[i] = i;
        }
        for (int i = N - 1; i > 0; i--) { /* within blocks of less than a day, so that nobody is late */
            int first_of_block = i / BLOCK * BLOCK, j = first_of_block + rand_r(&seed) % (i - first_of_block + 1), kept = order[i];
            order[i] = order[j];
            order[j] = kept;
        }
        weir_state_clear(&f->state);
        for (int i = 0; i < N; i++) {
            assert_int_equal(apply(f, &f->state, time[order[i]], 0, order[i], value[order[i]]), WEIR_APPLIED);
            assert_int_equal(apply(f, &f->state, time[order[i]], 0, order[i], value[order[i]]), WEIR_DUPLICATE);
        }
        assert_true(weir_state_encode(f->customer, &f->state, &first));
        assert_int_equal(weir_state_decode(f->customer, first.data, first.len, &f->state, NULL), WEIR_OK);
        assert_true(weir_state_encode(f->customer, &f->state, &second));
        assert_int_equal(first.len, second.len);
        assert_memory_equal(first.data, second.data, first.len);
        for (int i = 0; i < N; i++) {
            weir_view_eval(f->customer, &f->state, time[i], NULL, out);
            assert_same(out[MEAN1], brute_mean(time, value, N, time[i] - DAY, time[i]));
            assert_same(out[MEAN7], brute_mean(time, value, N, time[i] - 7 * DAY, time[i]));
            weir_view_eval(f->customer, &f->state, time[i] + 3 * DAY + 5, NULL, out);
            assert_same(out[LATE_MEAN2], brute_mean(time, value, N, time[i] + 5 - 2 * DAY, time[i] + 5));
        }
        weir_buf_done(&first);
        weir_buf_done(&second);
    }
}

static void odd_values_survive_the_bytes(void **state) {
    static const double values[] = {0,   -0.0, 1,      -1,   0.01,    57.16,   220.005,  1e300,    INFINITY, -INFINITY,
                                    NAN, 0.1,  -57.16, 1e-9, 1 << 30, 1 << 31, 99999.99, -0.5 / 3, 5e-324,   1073741824.01};
    enum { N = sizeof(values) / sizeof(*values) };
    fixture *f = *state;
    static const int64_t steps[] = {1, 1000, WEIR_SECOND_US};
    for (int u = 0; u < 3; u++) {
        weir_buf bytes = {0};
        weir_state back = {0};
        weir_state_clear(&f->state);
        for (int i = 0; i < N; i++) apply(f, &f->state, -5 * steps[u] + i / 2 * steps[u], i % 2 ? INT32_MAX : 0, i % 2 ? INT64_MAX : i, values[i]);
        assert_true(weir_state_encode(f->customer, &f->state, &bytes));
        assert_int_equal(weir_state_decode(f->customer, bytes.data, bytes.len, &back, NULL), WEIR_OK);
        assert_int_equal(back.count, N);
        assert_int_equal(back.max_time, f->state.max_time);
        assert_int_equal(back.version, N);
        for (int i = 0; i < N; i++) {
            assert_int_equal(back.time[i], f->state.time[i]);
            assert_int_equal(back.source[i].partition, f->state.source[i].partition);
            assert_int_equal(back.source[i].offset, f->state.source[i].offset);
            assert_int_equal(back.seq[i], f->state.seq[i]);
            assert_same(back.values[f->amount * back.capacity + i], isinf(values[i]) ? NAN : values[i]);
        }
        weir_state_done(&back);
        weir_buf_done(&bytes);
    }
}

static void damaged_bytes_are_refused(void **state) {
    fixture *f = *state;
    weir_buf bytes = {0};
    weir_state back = {0};
    weir_err err = {0};
    for (int i = 0; i < 20; i++) apply(f, &f->state, T0 + i * 1234567, 0, i, i * 1.37);
    assert_true(weir_state_encode(f->customer, &f->state, &bytes));
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_equal(weir_state_decode(f->customer, bytes.data, len, &back, &err), WEIR_EDATA);
        assert_int_equal(err.action, WEIR_ACTION_REJECT);
        assert_int_equal(back.count, 0);
    }
    unsigned seed = 3;
    int refused = 0;
    for (int i = 0; i < 20000; i++) { /* whatever a flipped bit makes of it, it is refused or a valid state */
        char *at = bytes.data + (size_t)rand_r(&seed) % bytes.len, kept = *at;
        *at ^= (char)(1 << rand_r(&seed) % 8);
        if (weir_state_decode(f->customer, bytes.data, bytes.len, &back, NULL)) refused++;
        for (int r = 1; r < back.count; r++) assert_true(back.time[r - 1] <= back.time[r]);
        *at = kept;
    }
    assert_true(refused > 1000);
    assert_true(weir_buf_append(&bytes, "x", 1));
    assert_int_equal(weir_state_decode(f->customer, bytes.data, bytes.len, &back, &err), WEIR_EDATA);
    weir_state_done(&back);
    weir_buf_done(&bytes);
}

static void extreme_times_do_not_overflow(void **state) {
    fixture *f = *state;
    double out[CUSTOMER_COUNT];
    weir_buf bytes = {0};
    weir_state back = {0};
    assert_int_equal(apply(f, &f->state, INT64_MIN, 0, 0, 1), WEIR_APPLIED);
    weir_view_eval(f->customer, &f->state, INT64_MIN, NULL, out);
    assert_same(out[N7], 1);
    assert_int_equal(apply(f, &f->state, INT64_MAX, 0, 1, 2), WEIR_APPLIED);
    assert_int_equal(f->state.count, 2);
    weir_view_eval(f->customer, &f->state, INT64_MAX, NULL, out);
    assert_same(out[MEAN7], 2);
    assert_true(weir_state_encode(f->customer, &f->state, &bytes));
    assert_int_equal(weir_state_decode(f->customer, bytes.data, bytes.len, &back, NULL), WEIR_OK);
    assert_int_equal(back.max_time, INT64_MAX);
    weir_state_done(&back);
    weir_buf_done(&bytes);
}

static void a_full_state_refuses_the_next_record(void **state) {
    fixture *f = *state;
    weir_applied applied;
    weir_err err = {0};
    for (int i = 0; i < WEIR_STATE_RECORDS_MAX; i++) apply(f, &f->state, T0 + i, 0, i, 1);
    assert_int_equal(weir_view_apply(f->customer, &f->state, T0, (weir_source){1, 0}, f->slots, 0, &applied, NULL, &err), WEIR_ELIMIT);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    assert_int_equal(f->state.count, WEIR_STATE_RECORDS_MAX);
    weir_buf bytes = {0};
    assert_true(weir_state_encode(f->customer, &f->state, &bytes));
    assert_true(bytes.len < 4 << 20);
    weir_buf_done(&bytes);
    assert_int_equal(apply(f, &f->state, T0 + 100 * DAY, 0, 0, 1), WEIR_APPLIED); /* the rest left the horizon, but for the newest */
    assert_int_equal(f->state.count, 2);
}

static void history_may_hold_more_than_a_live_state(void **state) {
    fixture *f = *state;
    double out[CUSTOMER_COUNT], slots[8] = {0};
    slots[f->amount] = 2;
    for (int i = 0; i <= WEIR_STATE_RECORDS_MAX; i++)
        assert_int_equal(weir_state_add(f->customer, &f->state, T0 + i, (weir_source){0, i}, slots, NULL), WEIR_OK);
    assert_int_equal(weir_state_add(f->customer, &f->state, T0, (weir_source){0, 0}, slots, NULL), WEIR_OK); /* there already */
    weir_view_eval(f->customer, &f->state, T0 + DAY - 1, NULL, out);
    assert_same(out[N1], WEIR_STATE_RECORDS_MAX + 1);
    assert_same(out[MEAN1], 2);
}

static void a_failed_allocation_leaves_the_state_as_it_was(void **state) {
    fixture *f = *state;
    weir_allocator kept = weir_mem;
    weir_applied applied;
    weir_err err = {0};
    int n = 0, failures = 0;
    apply(f, &f->state, T0, 0, n++, 0);
    while (f->state.first + f->state.count < f->state.capacity) apply(f, &f->state, T0, 0, n++, 1); /* the next one needs more room */
    weir_mem.realloc = failing_realloc;
    allocations_left = 0;
    assert_int_equal(weir_view_apply(f->customer, &f->state, T0, (weir_source){0, n}, f->slots, 0, &applied, NULL, &err), WEIR_ENOMEM);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_int_equal(f->state.count, n);
    assert_int_equal(f->state.version, n);
    for (weir_view *view = NULL; !view; failures++) {
        allocations_left = failures;
        weir_status status = weir_view_new(f->pipeline, &f->pipeline->views[0], &view, &err);
        assert_int_equal(status, view ? WEIR_OK : WEIR_ENOMEM);
        if (status) assert_int_equal(err.code, status);
        weir_view_free(view);
    }
    assert_true(failures > 10);
    weir_mem = kept;
    assert_int_equal(apply(f, &f->state, T0, 0, n, 8), WEIR_APPLIED);
    assert_int_equal(f->state.count, n + 1);
}

static weir_answer ask(fixture *f, weir_state *state, int64_t t, double *out, int64_t expected_newest) {
    int64_t newest;
    weir_answer answer = weir_view_ask(f->customer, state, t, NULL, out, &newest);
    assert_true(newest == expected_newest);
    return answer;
}

static void assert_all_null(fixture *f, const double *out) {
    for (int i = 0; i < f->pipeline->views[0].feature_count; i++) assert_true(isnan(out[i]));
}

static void a_state_says_how_far_back_it_reaches(void **state) {
    fixture *f = *state;
    double out[WEIR_FEATURES_MAX];
    assert_int_equal(ask(f, &f->state, T0, out, INT64_MIN), WEIR_ANSWER_NO_RECORD); /* nothing has left an empty one */
    apply(f, &f->state, T0, 0, 0, 1);
    apply(f, &f->state, T0 + 5 * DAY, 0, 1, 2);
    assert_int_equal(ask(f, &f->state, T0 - 1, out, INT64_MIN), WEIR_ANSWER_NO_RECORD);
    assert_true(out[0] == 0); /* a count of none */
    assert_int_equal(ask(f, &f->state, T0 + 5 * DAY - 1, out, T0), WEIR_ANSWER_PRESENT);
    apply(f, &f->state, T0 + 30 * DAY, 0, 2, 3); /* the first leaves: 7 days and a day of lateness; the second stays as the newest before that day */
    assert_int_equal(f->state.count, 2);
    assert_int_equal(ask(f, &f->state, T0 + 36 * DAY, out, T0 + 30 * DAY), WEIR_ANSWER_PRESENT);
    assert_int_equal(ask(f, &f->state, T0 + 29 * DAY, out, T0 + 5 * DAY), WEIR_ANSWER_PRESENT); /* what may still come is answered for */
    assert_int_equal(ask(f, &f->state, T0 + 29 * DAY - 1, out, T0 + 5 * DAY), WEIR_ANSWER_OUT_OF_REACH);
    assert_all_null(f, out);
}

/* A state that lives, to which records are applied, and one that has all of them, as parity makes it, are asked the same, also with a ttl and as of the newest event. */
static void compare_lives(fixture *f, int *out_of_reach, int *expired) {
    weir_state live = {0}, whole = {0};
    static const int hours[] = {0, 120, 720, 700, 719, 1440, 1430, 1500, 4000, 3980, 4100};
    double of_live[WEIR_FEATURES_MAX], of_whole[WEIR_FEATURES_MAX];
    for (int i = 0; i < (int)(sizeof hours / sizeof *hours); i++) {
        int64_t t = T0 + hours[i] * DAY / 24;
        assert_int_equal(apply(f, &live, t, i % 2, i, i + 1), WEIR_APPLIED);
        assert_int_equal(weir_state_add(f->customer, &whole, t, (weir_source){i % 2, i}, f->slots, NULL), WEIR_OK);
        for (t = T0 - DAY; t < T0 + 190 * DAY; t += DAY / 6) {
            int64_t newest[2];
            weir_answer answer = weir_view_ask(f->customer, &live, t, NULL, of_live, &newest[0]);
            assert_int_equal(weir_view_ask(f->customer, &whole, t, NULL, of_whole, &newest[1]), answer);
            if (answer != WEIR_ANSWER_OUT_OF_REACH) assert_true(newest[0] == newest[1]);
            for (int k = 0; k < CUSTOMER_COUNT; k++) assert_same(of_live[k], of_whole[k]);
            *out_of_reach += answer == WEIR_ANSWER_OUT_OF_REACH;
            *expired += answer == WEIR_ANSWER_EXPIRED;
        }
    }
    weir_state_done(&live);
    weir_state_done(&whole);
}

static void a_state_answers_like_one_that_has_all_records(void **state) {
    fixture *f = *state;
    weir_view_def *def = &f->pipeline->views[0];
    int out_of_reach = 0, expired = 0;
    for (int with_ttl = 0; with_ttl < 2; with_ttl++) {
        def->ttl_us = with_ttl ? 10 * DAY : 0;
        def->at = WEIR_AT_READ;
        compare_lives(f, &out_of_reach, &expired);
        assert_int_equal(expired > 0, with_ttl);
        def->at = WEIR_AT_EVENT;
        compare_lives(f, &out_of_reach, &expired);
    }
    assert_true(out_of_reach > 100);
}

static void what_a_view_answers_for_nothing(void **state) {
    fixture *f = *state;
    weir_view_def *def = &f->pipeline->views[0];
    double out[WEIR_FEATURES_MAX];
    def->ttl_us = 10 * DAY;
    apply(f, &f->state, T0, 0, 0, 5);
    assert_int_equal(ask(f, &f->state, T0 + 10 * DAY, out, T0), WEIR_ANSWER_PRESENT);
    assert_same(out[N7], 0);
    assert_int_equal(ask(f, &f->state, T0 + 10 * DAY + 1, out, T0), WEIR_ANSWER_EXPIRED);
    assert_all_null(f, out);
    def->at = WEIR_AT_EVENT;
    assert_int_equal(ask(f, &f->state, T0 + 9 * DAY, out, T0), WEIR_ANSWER_PRESENT);
    assert_same(out[N7], 1);
    assert_int_equal(ask(f, &f->state, T0 - 1, out, INT64_MIN), WEIR_ANSWER_NO_RECORD);
    assert_all_null(f, out);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_state_says_how_far_back_it_reaches, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_answers_like_one_that_has_all_records, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_view_answers_for_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(windows_are_open_on_the_left_and_closed_on_the_right, setup, teardown),
        cmocka_unit_test_setup_teardown(delayed_windows_end_before_now, setup, teardown),
        cmocka_unit_test_setup_teardown(records_after_upto_at_the_same_time_do_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(nulls_are_skipped_and_empty_windows_take_the_default, setup, teardown),
        cmocka_unit_test_setup_teardown(expressions_read_the_newest_record_that_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(repeats_change_nothing_and_late_records_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_but_allowed_record_still_gets_its_whole_window, setup, teardown),
        cmocka_unit_test_setup_teardown(values_equal_brute_force_in_every_order_of_arrival, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_values_survive_the_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_bytes_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(extreme_times_do_not_overflow, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_state_refuses_the_next_record, setup, teardown),
        cmocka_unit_test_setup_teardown(history_may_hold_more_than_a_live_state, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_allocation_leaves_the_state_as_it_was, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
