/* Labelled payments of two tenants in an offline store of a test's own, as the store worker would write them: ROWS_A_DAY a day for DAYS days from T0, labels two days later. */
#ifndef WEIR_TESTS_PAYMENTS_H
#define WEIR_TESTS_PAYMENTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/clock.h"
#include "features/offline.h"
#include "features/view.h"
#include "models/random.h"
#include "tests/integration/models/database.h"

enum { DAYS = 12, ROWS_A_DAY = 60, PAYMENTS = DAYS * ROWS_A_DAY, DELAY_DAYS = 2 };
#define T0 (INT64_C(1709251200) * WEIR_SECOND_US) /* 2024-03-01 */

static weir_pipeline *pipeline;
static weir_err err;
static const char *const tenants[] = {"acme", "o'hara"};

static void ok(weir_status status) {
    if (status) fail_msg("%s", err.message);
}

/* The fraud pipeline with this text for its training section. */
static weir_pipeline *make_pipeline(const char *training) {
    cJSON *json = cJSON_Parse(weir_embedded_find("pipelines/fraud.json")->data), *section = cJSON_Parse(training);
    weir_pipeline *made = NULL;
    assert_non_null(section);
    cJSON_ReplaceItemInObject(json, "training", section);
    cJSON_ReplaceItemInObject(cJSON_GetObjectItem(json, "labels"), "max_delay", cJSON_CreateString("2d"));
    char *text = cJSON_PrintUnformatted(json);
    ok(weir_pipeline_parse(text, NULL, &made, &err));
    free(text);
    cJSON_Delete(json);
    return made;
}

static weir_offline_table *open_table(weir_offline *store, int view, weir_schema **schema) {
    static const char *const skip_state[] = {"state", NULL};
    char *json, name[64];
    weir_offline_table *table;
    ok(weir_features_schema_json(pipeline, &pipeline->views[view], &json, &err));
    ok(weir_schema_parse(json, strlen(json), schema, &err));
    free(json);
    snprintf(name, sizeof name, "features_%s", pipeline->views[view].name);
    ok(weir_offline_table_open(store, name, *schema, skip_state, &table, &err));
    return table;
}

typedef struct payment {
    char id[16], customer[16], terminal[16];
    const char *tenant;
    int64_t time_us, known_us;
    double amount;
    bool fraud;
} payment;

static payment payment_of(int i, uint64_t *random) {
    payment p = {.tenant = tenants[i % 2], .time_us = T0 + (int64_t)i * DAYS * WEIR_DAY_US / PAYMENTS};
    snprintf(p.id, sizeof p.id, "tx%d", i);
    snprintf(p.customer, sizeof p.customer, "c%d", i % 11);
    snprintf(p.terminal, sizeof p.terminal, "t%d", i % 7);
    p.known_us = p.time_us + DELAY_DAYS * WEIR_DAY_US;
    p.amount = (double)weir_models_random_below(random, 20000) / 100;
    p.fraud = p.amount + (double)weir_models_random_below(random, 100) > 170 - 40 * (i % 2);
    return p;
}

/* One row of a view, and its record of the source behind it. */
static void add_row(weir_offline_table *table, const payment *p, int i, bool is_label, const weir_datum *record, int count) {
    weir_datum row[40] = {weir_text(p->tenant), weir_text(is_label ? p->terminal : p->customer),
                          weir_i64(p->time_us), weir_i64(is_label ? p->known_us : p->time_us),
                          weir_i64(0),          weir_i64(i),
                          weir_i64(i + 1),      weir_i64(i + 1),
                          weir_i64(0),          weir_null(),
                          weir_bool(true)};
    memcpy(row + 11, record, (size_t)count * sizeof *record);
    ok(weir_offline_add(table, row, NULL, &err));
}

static void write_payment(weir_offline_table *customers, weir_offline_table *terminals, weir_offline_table *labels, int i, uint64_t *random) {
    payment p = payment_of(i, random);
    const weir_datum event[] = {weir_text(p.tenant), weir_text(p.id), weir_i64(p.time_us), weir_text(p.customer), weir_text(p.terminal), weir_f64(p.amount)};
    const weir_datum label[] = {weir_text(p.tenant),   weir_text(p.id),      weir_i64(p.time_us), weir_text(p.customer),
                                weir_text(p.terminal), weir_i64(p.known_us), weir_bool(p.fraud),  weir_null()};
    const weir_offline_meta meta = {.tenant = p.tenant,
                                    .tenant_len = strlen(p.tenant),
                                    .entity = p.customer,
                                    .entity_len = strlen(p.customer),
                                    .event_time_us = p.time_us,
                                    .available_time_us = p.known_us,
                                    .source_offset = i};
    add_row(customers, &p, i, false, event, 6);
    add_row(terminals, &p, i, true, label, 8);
    ok(weir_offline_add(labels, label, &meta, &err));
}

static void write_payments(void) {
    weir_offline *store = NULL;
    weir_schema *schemas[2];
    weir_offline_table *labels = NULL;
    uint64_t random = 5;
    ok(weir_offline_new(url, pipeline, &store, &err));
    weir_offline_table *customers = open_table(store, 0, &schemas[0]), *terminals = open_table(store, 1, &schemas[1]);
    ok(weir_offline_table_open(store, "labels", pipeline->labels.schema, NULL, &labels, &err));
    for (int i = 0; i < PAYMENTS; i++) write_payment(customers, terminals, labels, i, &random);
    ok(weir_offline_flush(store, NULL, NULL, &err));
    weir_offline_free(store);
    for (int i = 0; i < 2; i++) weir_schema_free(schemas[i]);
}

/* The number that a query gives. */
static int count_of(const char *sql) {
    PGresult *result = NULL;
    ok(weir_pg_exec(pg, sql, 0, NULL, &result, &err));
    int count = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    return count;
}

#endif
