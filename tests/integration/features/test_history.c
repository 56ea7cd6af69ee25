/* Point-in-time retrieval on a real PostgreSQL against brute force on the same data: delayed, corrected and missing labels, late events, two tenants with the same ids.
 * Needs WEIR_PG_URL; skipped without. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/pg.h"
#include "features/history.h"

#define DAY WEIR_DAY_US
#define HOUR (DAY / 24)
#define T0 (INT64_C(1522540800) * WEIR_SECOND_US)
enum { EVENTS = 4000, LABELS_MAX = 2 * EVENTS, CUSTOMERS = 30, TERMINALS = 20, DAYS = 60, PARTITIONS = 4 };

typedef struct event {
    int64_t time, available;
    weir_source source;
    int tenant, customer, terminal, id;
    double amount;
} event;

typedef struct label {
    int64_t available;
    weir_source source;
    int event;
    bool fraud;
} label;

static struct {
    weir_pipeline *pipeline;
    weir_pg *pg;
    event events[EVENTS];
    label labels[LABELS_MAX];
    int label_count;
} t;

static const char *url(void) {
    return getenv("WEIR_PG_URL");
}
static const char *const tenants[] = {"acme", "o'hara\\"};

static void make_data(void) {
    unsigned seed = 11;
    int64_t offsets[PARTITIONS] = {0};
    for (int i = 0; i < EVENTS; i++) {
        event *e = &t.events[i];
        e->time = T0 + (int64_t)i * DAYS * DAY / EVENTS / HOUR * HOUR; /* many at the same hour */
        e->available = e->time + (rand_r(&seed) % 10 ? 0 : rand_r(&seed) % 20 * HOUR);
        e->tenant = rand_r(&seed) % 2;
        e->customer = rand_r(&seed) % CUSTOMERS;
        e->terminal = rand_r(&seed) % TERMINALS;
        e->amount = rand_r(&seed) % 30000 / 100.0;
        e->id = i;
        e->source = (weir_source){(e->customer + e->tenant) % PARTITIONS, 0};
        e->source.offset = offsets[e->source.partition]++;
    }
    int64_t next = 0;
    for (int i = 0; i < EVENTS; i++) {
        if (rand_r(&seed) % 20 == 0) continue; /* never labelled */
        int64_t delay = rand_r(&seed) % 5 ? 7 * DAY : rand_r(&seed) % (20 * 24) * HOUR;
        bool fraud = rand_r(&seed) % 4 == 0;
        t.labels[t.label_count++] = (label){t.events[i].time + delay, {i % PARTITIONS, next++}, i, fraud};
        if (rand_r(&seed) % 10 == 0) t.labels[t.label_count++] = (label){t.events[i].time + delay + 3 * DAY, {i % PARTITIONS, next++}, i, !fraud};
    }
}

static weir_offline_table *open_table(weir_offline *store, int view, weir_schema **schema) {
    static const char *const skip_state[] = {"state", NULL};
    char *json, name[64];
    weir_offline_table *table;
    weir_err err = {0};
    assert_int_equal(weir_features_schema_json(t.pipeline, &t.pipeline->views[view], &json, NULL), WEIR_OK);
    assert_int_equal(weir_schema_parse(json, strlen(json), schema, NULL), WEIR_OK);
    free(json);
    snprintf(name, sizeof(name), "features_%s", t.pipeline->views[view].name);
    if (weir_offline_table_open(store, name, *schema, skip_state, &table, &err)) fail_msg("%s", err.message);
    return table;
}

/* Writes events [from, to) and their labels as the store worker would. */
static void write_data(int from, int to) {
    weir_offline *store;
    weir_err err = {0};
    weir_schema *schemas[2];
    weir_datum row[40], *record = row + 11;
    char id[16], customer[16], terminal[16];
    if (weir_offline_new(url(), t.pipeline, &store, &err)) fail_msg("%s", err.message);
    weir_offline_table *customers = open_table(store, 0, &schemas[0]), *terminals = open_table(store, 1, &schemas[1]), *labels;
    if (weir_offline_table_open(store, "labels", t.pipeline->labels.schema, NULL, &labels, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < EVENTS + t.label_count; i++) {
        const label *l = i < EVENTS ? NULL : &t.labels[i - EVENTS];
        const event *e = &t.events[l ? l->event : i];
        if (e->id < from || e->id >= to) continue;
        memset(row, 0, sizeof(row));
        snprintf(id, sizeof(id), "%d", e->id);
        snprintf(customer, sizeof(customer), "c%d", e->customer);
        snprintf(terminal, sizeof(terminal), "t%d", e->terminal);
        record[0] = row[0] = weir_text(tenants[e->tenant]);
        row[1] = weir_text(l ? terminal : customer);
        record[2] = row[2] = weir_i64(e->time);
        row[3] = weir_i64(l ? l->available : e->available);
        row[4] = weir_i64(l ? l->source.partition : e->source.partition);
        row[5] = weir_i64(l ? l->source.offset : e->source.offset);
        row[6] = row[7] = weir_i64(i + 1); /* seq, version */
        row[8] = weir_i64(0); /* epoch */
        row[9] = weir_null(); /* marks */
        row[10] = weir_bool(true);
        record[1] = weir_text(id);
        record[3] = weir_text(customer);
        record[4] = weir_text(terminal);
        record[5] = l ? weir_i64(l->available) : weir_f64(e->amount);
        if (l) record[6] = weir_bool(l->fraud);
        if (weir_offline_add(l ? terminals : customers, row, NULL, &err)) fail_msg("%s", err.message);
        if (!l) continue;
        weir_offline_meta meta = {.tenant = tenants[e->tenant],
                                  .tenant_len = strlen(tenants[e->tenant]),
                                  .entity = customer,
                                  .entity_len = strlen(customer),
                                  .event_time_us = e->time,
                                  .available_time_us = l->available,
                                  .source_partition = l->source.partition,
                                  .source_offset = l->source.offset};
        if (weir_offline_add(labels, record, &meta, &err)) fail_msg("%s", err.message);
    }
    if (weir_offline_flush(store, NULL, NULL, &err)) fail_msg("%s", err.message);
    weir_offline_free(store);
    weir_schema_free(schemas[0]);
    weir_schema_free(schemas[1]);
}

static void drop_schema(void) {
    char sql[128];
    weir_err err = {0};
    snprintf(sql, sizeof(sql), "DROP SCHEMA IF EXISTS \"%s\" CASCADE", t.pipeline->name);
    if (weir_pg_script(t.pg, sql, &err)) fail_msg("%s", err.message);
}

static int setup(void **state) {
    (void)state;
    weir_err err = {0};
    if (!url()) return 0;
    cJSON *json = cJSON_Parse(weir_embedded_find("pipelines/fraud.json")->data);
    char name[64];
    snprintf(name, sizeof(name), "history_test_%d", (int)getpid());
    cJSON_ReplaceItemInObject(json, "pipeline", cJSON_CreateString(name));
    cJSON_ReplaceItemInObject(cJSON_GetObjectItem(json, "labels"), "max_delay", cJSON_CreateString("30d"));
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (weir_pipeline_parse(text, NULL, &t.pipeline, &err)) fail_msg("%s", err.message);
    free(text);
    assert_int_equal(weir_pg_new(url(), &t.pg, NULL), WEIR_OK);
    make_data();
    write_data(0, EVENTS);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    if (!url()) return 0;
    drop_schema();
    weir_pg_free(t.pg);
    weir_pipeline_free(t.pipeline);
    return 0;
}

static const char *const columns[] = {"amount",
                                      "tx_during_weekend",
                                      "customer_tx_count_1d",
                                      "customer_amount_mean_7d",
                                      "terminal_tx_count_7d",
                                      "terminal_fraud_rate_7d",
                                      "terminal_fraud_rate_1d",
                                      NULL};
enum { AMOUNT, WEEKEND, COUNT_1D, MEAN_7D, TERMINAL_COUNT_7D, RATE_7D, RATE_1D, COLUMN_COUNT };

static int compare_source(weir_source a, weir_source b) {
    if (a.partition != b.partition) return a.partition < b.partition ? -1 : 1;
    return (a.offset > b.offset) - (a.offset < b.offset);
}

/* Straight from the definitions. */
static void expect(const event *e, int64_t as_of, double out[COLUMN_COUNT], double *ret_label) {
    double count_1d = 0, count_7d = 0, sum_7d = 0, terminal[2] = {0}, frauds[2] = {0};
    int64_t newest = INT64_MIN;
    weir_source source = {0};
    for (int i = 0; i < EVENTS; i++) {
        const event *o = &t.events[i];
        if (o->tenant != e->tenant || o->customer != e->customer || o->available > e->available || o->available > as_of) continue;
        if (o->time > e->time || (o->time == e->time && compare_source(o->source, e->source) > 0)) continue;
        if (o->time > e->time - DAY) count_1d++;
        if (o->time > e->time - 7 * DAY) count_7d++, sum_7d += o->amount;
    }
    *ret_label = NAN;
    for (int i = 0; i < t.label_count; i++) {
        const label *l = &t.labels[i];
        const event *o = &t.events[l->event];
        if (l->available > as_of) continue;
        if (l->event == e->id && (l->available > newest || (l->available == newest && compare_source(l->source, source) > 0))) {
            newest = l->available;
            source = l->source;
            *ret_label = l->fraud;
        }
        if (o->tenant != e->tenant || o->terminal != e->terminal || l->available > e->time || o->time > e->time - 7 * DAY) continue;
        for (int w = 0; w < 2; w++) {
            if (o->time > e->time - 7 * DAY - (w ? 7 : 1) * DAY) terminal[w]++, frauds[w] += l->fraud;
        }
    }
    int64_t weekday = (e->time / DAY + 3) % 7;
    out[AMOUNT] = e->amount;
    out[WEEKEND] = weekday >= 5;
    out[COUNT_1D] = count_1d;
    out[MEAN_7D] = sum_7d / count_7d;
    out[TERMINAL_COUNT_7D] = terminal[1];
    out[RATE_7D] = terminal[1] > 0 ? frauds[1] / terminal[1] : 0;
    out[RATE_1D] = terminal[0] > 0 ? frauds[0] / terminal[0] : 0;
}

static weir_history *read_or_fail(int64_t from, int64_t to, int64_t as_of, const char *tenant) {
    weir_history *h = NULL;
    weir_err err = {0};
    weir_history_query query = {.from_us = from, .to_us = to, .as_of_us = as_of, .tenant = tenant, .columns = columns};
    if (weir_history_read(url(), t.pipeline, &query, &h, &err)) fail_msg("%s", err.message);
    return h;
}

static const event *event_of(weir_source source) {
    for (int i = 0; i < EVENTS; i++) {
        if (!compare_source(t.events[i].source, source)) return &t.events[i];
    }
    fail_msg("no event has source %d %lld", source.partition, (long long)source.offset);
    return NULL;
}

static void assert_as_expected(const weir_history *h, int64_t from, int64_t to, int64_t as_of, int tenant) {
    int64_t expected_rows = 0;
    int labelled = 0, filled = 0;
    for (int i = 0; i < EVENTS; i++) {
        const event *e = &t.events[i];
        expected_rows += e->time >= from && e->time < to && e->available <= as_of && (tenant < 0 || e->tenant == tenant);
    }
    assert_int_equal(h->row_count, expected_rows);
    assert_int_equal(h->column_count, COLUMN_COUNT);
    for (int64_t r = 0; r < h->row_count; r++) {
        const event *e = event_of(h->source[r]);
        double out[COLUMN_COUNT], wanted;
        expect(e, as_of, out, &wanted);
        assert_int_equal(h->event_time_us[r], e->time);
        assert_true(h->tenant[r] < h->tenant_count);
        assert_string_equal(h->tenant_names[h->tenant[r]], tenants[e->tenant]);
        if (r) assert_true(h->event_time_us[r - 1] <= e->time);
        if (!(isnan(wanted) ? isnan(h->label[r]) : wanted == h->label[r])) fail_msg("event %d: label %g, expected %g", e->id, h->label[r], wanted);
        labelled += !isnan(wanted);
        for (int c = 0; c < COLUMN_COUNT; c++) {
            double found = h->values[c * h->row_count + r];
            if (fabs(found - out[c]) > 1e-12 * fabs(out[c])) fail_msg("event %d: %s is %.17g, expected %.17g", e->id, columns[c], found, out[c]);
        }
        filled += out[RATE_7D] > 0;
    }
    assert_true(labelled > h->row_count / 4 && filled > h->row_count / 4); /* the data do test something */
}

static void every_value_is_what_was_known_then(void **state) {
    (void)state;
    if (!url()) skip();
    int64_t from = T0 + 20 * DAY, to = T0 + 50 * DAY;
    weir_history *h = read_or_fail(from, to, INT64_MAX, NULL);
    assert_as_expected(h, from, to, INT64_MAX, -1);
    assert_int_equal(h->entity_count, 2 * CUSTOMERS);
    for (int64_t r = 0; r < h->row_count; r++) {
        const event *e = event_of(h->source[r]);
        for (int64_t o = 0; o < r && o < 50; o++) {
            const event *other = event_of(h->source[o]);
            assert_int_equal(h->entity[r] == h->entity[o], e->tenant == other->tenant && e->customer == other->customer);
        }
    }
    assert_string_equal(h->column_names[RATE_7D], "terminal_fraud_rate_7d");
    assert_non_null(strstr(h->query_text, "2018-04-21"));
    weir_history_free(h);
}

static void what_was_not_available_as_of_a_time_does_not_exist(void **state) {
    (void)state;
    if (!url()) skip();
    int64_t from = T0 + 20 * DAY, to = T0 + 40 * DAY, as_of = T0 + 36 * DAY + 5 * HOUR;
    weir_history *h = read_or_fail(from, to, as_of, NULL);
    assert_as_expected(h, from, to, as_of, -1);
    assert_true(h->event_time_us[h->row_count - 1] <= as_of);
    weir_history_free(h);
}

static void a_tenant_sees_its_own_rows_only(void **state) {
    (void)state;
    if (!url()) skip();
    for (int i = 0; i < 2; i++) {
        weir_history *h = read_or_fail(T0 + 20 * DAY, T0 + 50 * DAY, INT64_MAX, tenants[i]);
        assert_as_expected(h, T0 + 20 * DAY, T0 + 50 * DAY, INT64_MAX, i);
        assert_int_equal(h->entity_count, CUSTOMERS);
        weir_history_free(h);
    }
}

static void nothing_before_a_time_depends_on_what_comes_after(void **state) {
    (void)state;
    if (!url()) skip();
    int64_t until = t.events[EVENTS * 2 / 3].time;
    weir_history *all = read_or_fail(T0, until, until, NULL);
    drop_schema();
    write_data(0, EVENTS * 2 / 3);
    weir_history *past = read_or_fail(T0, until, until, NULL);
    assert_string_equal(all->digest, past->digest);
    assert_int_equal(all->row_count, past->row_count);
    assert_memory_equal(all->entity, past->entity, sizeof(*all->entity) * (size_t)all->row_count);
    weir_history_free(all);
    write_data(0, EVENTS); /* the rest; what is there already is dropped */
    weir_history *again = read_or_fail(T0, until, until, NULL), *later = read_or_fail(T0, until, INT64_MAX, NULL);
    assert_string_equal(past->digest, again->digest);
    assert_string_not_equal(past->digest, later->digest); /* more labels are known */
    weir_history_free(past);
    weir_history_free(again);
    weir_history_free(later);
}

/* What the live path computes, record by record in order of arrival, is what history gives, bit for bit. */
static void live_and_history_agree_to_the_bit(void **state) {
    (void)state;
    if (!url()) skip();
    weir_view *view;
    weir_history *h = read_or_fail(T0, T0 + DAYS * DAY, INT64_MAX, NULL);
    assert_int_equal(weir_view_new(t.pipeline, &t.pipeline->views[0], &view, NULL), WEIR_OK);
    weir_state states[2][CUSTOMERS] = {0};
    int order[EVENTS], compared = 0;
    for (int i = 0; i < EVENTS; i++) { /* by availability: a stable insertion sort */
        int at = i;
        for (; at > 0 && t.events[order[at - 1]].available > t.events[i].available; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    for (int k = 0; k < EVENTS; k++) {
        const event *e = &t.events[order[k]];
        double out[8], slots[8];
        weir_datum row[6] = {[2] = weir_i64(e->time), [5] = weir_f64(e->amount)};
        weir_applied applied;
        weir_state *s = &states[e->tenant][e->customer];
        weir_view_slots(view, row, slots);
        assert_int_equal(weir_view_apply(view, s, e->time, e->source, slots, 0, &applied, NULL, NULL), WEIR_OK);
        assert_int_equal(applied, WEIR_APPLIED);
        weir_view_eval(view, s, e->time, &e->source, out);
        for (int64_t r = 0; r < h->row_count; r++) {
            if (compare_source(h->source[r], e->source)) continue;
            /* Two that become available at one moment see each other in history; live, the second sees the first. Compare where that cannot be. */
            bool alone = true;
            for (int j = 0; j < EVENTS; j++)
                alone &= j == e->id || t.events[j].available != e->available || t.events[j].customer != e->customer || t.events[j].tenant != e->tenant;
            if (!alone) break;
            assert_memory_equal(&out[5], &h->values[MEAN_7D * h->row_count + r], sizeof(double));
            assert_memory_equal(&out[2], &h->values[COUNT_1D * h->row_count + r], sizeof(double));
            compared++;
            break;
        }
    }
    assert_true(compared > EVENTS * 3 / 4);
    for (int i = 0; i < 2 * CUSTOMERS; i++) weir_state_done(&states[i / CUSTOMERS][i % CUSTOMERS]);
    weir_view_free(view);
    weir_history_free(h);
}

/* The tenant is a text of the labels; one of them has all that SQL could trip over. */
static void a_text_is_a_label_by_its_place_among_the_classes(void **state) {
    (void)state;
    if (!url()) skip();
    const char *const both[] = {"o'hara\\", "acme", NULL}, *const one[] = {"nobody", "o'hara\\", NULL};
    for (int c = 0; c < 2; c++) {
        weir_history *h = NULL;
        weir_err err = {0};
        int64_t labelled = 0, without = 0;
        weir_history_query query = {
            .from_us = T0, .to_us = T0 + 10 * DAY, .as_of_us = INT64_MAX, .columns = columns, .label = "tenant", .label_classes = c ? one : both};
        if (weir_history_read(url(), t.pipeline, &query, &h, &err)) fail_msg("%s", err.message);
        for (int64_t r = 0; r < h->row_count; r++) {
            const event *e = event_of(h->source[r]);
            double out[COLUMN_COUNT], fraud, wanted = e->tenant ? c : c ? NAN : 1;
            expect(e, INT64_MAX, out, &fraud);
            if (isnan(fraud)) wanted = NAN; /* no record of labels for this event */
            if (!(isnan(wanted) ? isnan(h->label[r]) : wanted == h->label[r])) fail_msg("event %d: label %g, expected %g", e->id, h->label[r], wanted);
            labelled += !isnan(wanted);
            without += isnan(wanted);
        }
        assert_true(labelled > 0 && without > 0);
        assert_non_null(strstr(h->query_text, "label tenant"));
        weir_history_free(h);
    }
}

static void a_label_that_is_none_is_told(void **state) {
    (void)state;
    if (!url()) skip();
    const char *const classes[] = {"a", NULL};
    weir_err err = {0};
    weir_history *h = NULL;
    weir_history_query query = {.from_us = T0, .to_us = T0 + DAY, .as_of_us = INT64_MAX, .columns = columns, .label = "frauds"};
    assert_int_equal(weir_history_read(url(), t.pipeline, &query, &h, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "'frauds' is no column of the labels"));
    query.label = "tenant";
    assert_int_equal(weir_history_read(url(), t.pipeline, &query, &h, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "classes"));
    query.label = "fraud";
    query.label_classes = classes;
    assert_int_equal(weir_history_read(url(), t.pipeline, &query, &h, &err), WEIR_EINVAL);
    assert_null(h);
}

static void questions_without_an_answer_are_told(void **state) {
    (void)state;
    if (!url()) skip();
    weir_err err = {0};
    weir_history *h = NULL;
    weir_history_query query = {.from_us = T0, .to_us = T0 + DAY, .as_of_us = INT64_MAX, .columns = (const char *const[]){"terminal_fraud_rate_7", NULL}};
    assert_int_equal(weir_history_read(url(), t.pipeline, &query, &h, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "terminal_fraud_rate_7d"));
    query.columns = (const char *const[]){"customer_id", NULL};
    assert_int_equal(weir_history_read(url(), t.pipeline, &query, &h, &err), WEIR_EINVAL);
    query.columns = columns;
    query.from_us = T0 - 2 * DAY;
    query.to_us = T0;
    assert_int_equal(weir_history_read(url(), t.pipeline, &query, &h, &err), WEIR_ENOTFOUND);
    assert_non_null(strstr(err.message, "2018-03-30"));
    query.tenant = "nobody' OR tenant <> '";
    query.to_us = T0 + 10 * DAY;
    assert_int_equal(weir_history_read(url(), t.pipeline, &query, &h, &err), WEIR_ENOTFOUND);
    assert_null(h);
}

static void the_span_and_coverage_are_told(void **state) {
    (void)state;
    if (!url()) skip();
    weir_err err = {0};
    int64_t first, last, until, newest = 0;
    if (weir_history_span(url(), t.pipeline, &first, &last, &until, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < t.label_count; i++) newest = t.labels[i].available > newest ? t.labels[i].available : newest;
    assert_int_equal(first, t.events[0].time);
    assert_int_equal(last, t.events[EVENTS - 1].time);
    assert_int_equal(until, newest);
    int64_t events, labelled, expected = 0, expected_labelled = 0;
    if (weir_history_coverage(url(), t.pipeline, NULL, T0 + 10 * DAY, T0 + 20 * DAY, &events, &labelled, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < EVENTS; i++) {
        if (t.events[i].time < T0 + 10 * DAY || t.events[i].time >= T0 + 20 * DAY) continue;
        bool has = false;
        for (int l = 0; l < t.label_count; l++) has |= t.labels[l].event == i;
        expected++;
        expected_labelled += has;
    }
    assert_int_equal(events, expected);
    assert_int_equal(labelled, expected_labelled); /* a corrected label counts once */
    assert_true(labelled < events);
    assert_int_equal(weir_history_coverage(url(), t.pipeline, NULL, INT64_MIN, INT64_MAX, &events, &labelled, NULL), WEIR_OK);
    assert_int_equal(events, EVENTS);
    drop_schema();
    assert_int_equal(weir_history_coverage(url(), t.pipeline, NULL, INT64_MIN, INT64_MAX, &events, &labelled, NULL), WEIR_OK);
    assert_int_equal(events, 0);
    assert_int_equal(weir_history_span(url(), t.pipeline, &first, &last, NULL, NULL), WEIR_OK);
    assert_int_equal(first, INT64_MIN);
    assert_int_equal(last, INT64_MIN);
    weir_history *h = NULL;
    weir_history_query query = {.from_us = T0, .to_us = T0 + DAY, .as_of_us = INT64_MAX, .columns = columns};
    assert_int_equal(weir_history_read(url(), t.pipeline, &query, &h, &err), WEIR_ENOTFOUND);
    write_data(0, EVENTS);
}

int main(void) {
    if (!url()) fprintf(stderr, "test_history: WEIR_PG_URL is not set: skipped\n");
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_is_what_was_known_then), cmocka_unit_test(what_was_not_available_as_of_a_time_does_not_exist),
        cmocka_unit_test(a_tenant_sees_its_own_rows_only),    cmocka_unit_test(nothing_before_a_time_depends_on_what_comes_after),
        cmocka_unit_test(live_and_history_agree_to_the_bit),  cmocka_unit_test(a_text_is_a_label_by_its_place_among_the_classes),
        cmocka_unit_test(a_label_that_is_none_is_told),       cmocka_unit_test(questions_without_an_answer_are_told),
        cmocka_unit_test(the_span_and_coverage_are_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
