/* Whole ingest (Kafka in, features topic and online store out) with many entities: what an event costs once all of them exist, and what a restore takes.
 *
 *   weir_bench_scale ENTITIES EVENTS [RECORDS [BACK]]
 *
 * Publishes RECORDS (2) events of each of ENTITIES customers in turn, then EVENTS of customers drawn uniformly; runs ingest over all of it and measures the last EVENTS, up to
 * a checkpoint on both sides. Event time moves so that a customer has RECORDS in the longest window, whatever ENTITIES is. Then the worker is started again with its state
 * folder, and without. BACK 0 leaves the restores out. Topics and states are removed at the end. Settings come from the environment, as for the program (WEIR_BROKERS,
 * WEIR_MEMORY_MIB, …). CPU is of the whole process, threads of librdkafka included, the broker not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/settings.h"
#include "consumers/kinds.h"
#include "consumers/shared.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/pg.h"
#include "tests/bench/harness.h"

#define NAME "benchscale"
#define START_US INT64_C(978307200000000) /* long ago: with few entities the events take decades */
enum { TX_TENANT, TX_ID, TX_TIME, TX_CUSTOMER, TX_TERMINAL, TX_AMOUNT, TX_COUNT, WAIT_S = 3600 };

typedef struct scale {
    weir_settings settings;
    weir_pipeline *pipeline;
    weir_shared shared;
    weir_worker_env env;
    char *features;
    int64_t entities, events, records;
} scale;

/* MiB of memory of the process's own: what the page cache holds of the online store is not counted. */
static double resident_mib(void) {
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %ld", &kib) == 1) break;
    if (file) fclose(file);
    return (double)kib / 1024;
}

static void show(const char *what, double value, const char *unit) {
    printf("  %-44s %14.2f %s\n", what, value, unit);
    fflush(stdout);
}

static void remove_all(const scale *s) {
    char repartition[300], predictions[300], deadletter[300], command[4200];
    weir_err err;
    snprintf(repartition, sizeof repartition, NAME ".repartition.%s", s->pipeline->views[0].name);
    snprintf(predictions, sizeof predictions, NAME ".predictions");
    snprintf(deadletter, sizeof deadletter, NAME ".deadletter");
    const char *topics[] = {s->pipeline->events.topic, s->pipeline->labels.topic, s->features, repartition, predictions, deadletter};
    const char *groups[] = {"weir.ingest." NAME};
    die_on(weir_bus_topics_delete(s->settings.brokers, topics, sizeof topics / sizeof *topics, &err), &err);
    die_on(weir_bus_groups_delete(s->settings.brokers, groups, 1, &err), &err);
    snprintf(command, sizeof command, "rm -rf '%s/" NAME "'", s->settings.state_dir);
    if (system(command)) exit(3);
}

/* ---- events ---- */

static void publish(const scale *s) {
    weir_err err;
    weir_producer *producer = NULL;
    weir_serde *serde = NULL;
    weir_buf buf = {0};
    uint64_t seed = 1;
    int64_t fill = s->entities * s->records, total = fill + s->events;
    double start = now_s();
    die_on(weir_producer_new(s->settings.brokers, "bench", &producer, &err), &err);
    die_on(weir_serde_new(s->shared.registry, NAME ".events-value", s->pipeline->events.schema, &serde, &err), &err);
    for (int64_t i = 0; i < total; i++) {
        char id[24], customer[24], terminal[24], key[40];
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        int64_t number = i < fill ? i % s->entities : (int64_t)((seed >> 32) * (uint64_t)s->entities >> 32);
        size_t id_len = (size_t)snprintf(id, sizeof id, "%lld", (long long)i), len = (size_t)snprintf(customer, sizeof customer, "%lld", (long long)number);
        size_t terminal_len = (size_t)snprintf(terminal, sizeof terminal, "%u", (unsigned)(seed >> 40) % 10000);
        size_t key_len = (size_t)snprintf(key, sizeof key, "default/%s", customer);
        weir_datum row[TX_COUNT];
        row[TX_TENANT] = weir_str("default", 7);
        row[TX_ID] = weir_str(id, id_len);
        row[TX_TIME] = weir_i64(START_US + (int64_t)((double)i * 30 * 86400e6 / (double)(s->entities * s->records)));
        row[TX_CUSTOMER] = weir_str(customer, len);
        row[TX_TERMINAL] = weir_str(terminal, terminal_len);
        row[TX_AMOUNT] = weir_f64((double)(seed >> 45) / 100);
        weir_buf_clear(&buf);
        die_on(weir_serde_encode(serde, row, &buf, &err), &err);
        die_on(weir_producer_send(producer, s->pipeline->events.topic, -1, key, key_len, buf.data, buf.len, NULL, 0, 0, &err), &err);
    }
    die_on(weir_producer_flush(producer, 600000, &err), &err);
    show("publish", (double)total / (now_s() - start), "records/s");
    weir_producer_free(producer);
    weir_serde_free(serde);
    weir_buf_done(&buf);
}

/* ---- the worker ---- */

static double done_records(const scale *s) {
    return weir_metric_value(WEIR_METRIC("weir_worker_records_total", s->pipeline->name, "ingest", s->pipeline->events.topic));
}

/* At a point in the run that is a checkpoint's end, at or after so many records. */
typedef struct mark {
    double records, at_s, cpu, out;
} mark;

static int64_t features_end(const scale *s) {
    weir_err err;
    weir_consumer *consumer = NULL;
    const char *topics[] = {s->features};
    int64_t records = 0;
    die_on(weir_consumer_new_tail(s->settings.brokers, topics, 1, true, &consumer, &err), &err);
    for (int32_t p = 0; p < s->pipeline->partitions; p++) {
        int64_t first, end;
        die_on(weir_consumer_range(consumer, s->features, p, &first, &end, 10000, &err), &err);
        records += end;
    }
    weir_consumer_free(consumer);
    return records;
}

static mark wait_for(const scale *s, running *r, double records) {
    mark m = {.records = done_records(s)};
    double begun = now_s();
    while (m.records < records) {
        usleep(1000);
        m.records = done_records(s);
        if (r->status || now_s() - begun > WAIT_S) {
            fprintf(stderr, "bench: %.0f of %.0f records: %s\n", m.records, records, r->status ? r->err.message : "timed out");
            exit(1);
        }
    }
    m.at_s = now_s();
    m.cpu = cpu_s();
    m.out = (double)features_end(s);
    return m;
}

static void measure(const scale *s) {
    running r;
    double fill = (double)(s->entities * s->records);
    start_worker(&weir_ingest_ops, &s->env, NAME, &r);
    mark first = wait_for(s, &r, 1), filled = wait_for(s, &r, fill), end = wait_for(s, &r, fill + (double)s->events);
    if (fill > first.records) show("fill", (filled.records - first.records) / (filled.at_s - first.at_s), "records/s");
    if (fill > first.records) show("  CPU of a million", (filled.cpu - first.cpu) / (filled.records - first.records) * 1e6, "s");
    double n = end.records - filled.records;
    show("events, all entities exist", n / (end.at_s - filled.at_s), "records/s");
    show("  measured", n, "records");
    show("  CPU of a million", (end.cpu - filled.cpu) / n * 1e6, "s");
    show("  records written per event", (end.out - filled.out) / n, "");
    show("memory of the process", resident_mib(), "MiB");
    show("  of entity states", weir_metric_value(WEIR_METRIC("weir_ingest_memory_bytes", NAME, s->pipeline->views[0].name)) / 1048576, "MiB");
    double begun = now_s(), cpu = cpu_s();
    stop_worker(&r);
    show("stop", now_s() - begun, "s");
    show("  CPU", cpu_s() - cpu, "s");
    show("  records written", (double)features_end(s) - end.out, "");
}

static void measure_restore(const scale *s, const char *what) {
    running r;
    double begun = now_s(), cpu = cpu_s();
    start_worker(&weir_ingest_ops, &s->env, NAME, &r);
    while (!weir_worker_ready(r.worker) && !r.status) usleep(1000);
    show(what, now_s() - begun, "s");
    show("  CPU", cpu_s() - cpu, "s");
    show("  memory of the process", resident_mib(), "MiB");
    stop_worker(&r);
}

static void show_folder(const char *what, const char *dir) {
    char command[4200];
    long long kib = 0;
    snprintf(command, sizeof command, "du -sk '%s'", dir);
    FILE *du = popen(command, "r");
    if (du && fscanf(du, "%lld", &kib) == 1) show(what, (double)kib / 1024, "MiB");
    if (du) pclose(du);
}

int main(int argc, char **argv) {
    weir_err err;
    scale s = {.entities = argc > 1 ? atoll(argv[1]) : 0, .events = argc > 2 ? atoll(argv[2]) : 0, .records = argc > 3 ? atoll(argv[3]) : 2};
    char dir[4096];
    if (s.entities < 1 || s.events < 1 || s.records < 1) {
        fprintf(stderr, "usage: %s ENTITIES EVENTS [RECORDS [BACK]]\n", argv[0]);
        return 2;
    }
    die_on(weir_conf_defaults(weir_settings_table, &s.settings, &err), &err);
    die_on(weir_conf_from_env(weir_settings_table, &s.settings, &err), &err);
    weir_log_init(stderr, WEIR_LOG_AUTO, getenv("WEIR_BENCH_LOG") ? WEIR_LOG_INFO : WEIR_LOG_WARN);
    s.pipeline = fraud_pipeline(NAME, NAME, NAME, true);
    s.features = weir_topic_features(s.pipeline, &s.pipeline->views[0]);
    die_on(weir_shared_init(&s.shared, s.pipeline, s.settings.registry_url, "serving", &err), &err);
    s.env = (weir_worker_env){
        .brokers = s.settings.brokers,
        .registry_url = s.settings.registry_url,
        .pg_url = s.settings.pg_url,
        .state_dir = s.settings.state_dir,
        .objects_dir = s.settings.objects_dir,
        .instance = "bench",
        .clock = weir_clock_system(),
        .batch_max = (int)s.settings.batch_max,
        .poll_ms = (int)s.settings.poll_ms,
        .drain_ms = (int)s.settings.drain_ms,
        .checkpoint_ms = (int)s.settings.checkpoint_ms,
        .memory_bytes = s.settings.memory_mib << 20,
        .shared = &s.shared,
    };
    remove_all(&s);
    die_on(weir_pipeline_create_topics(s.pipeline, s.settings.brokers, &err), &err);
    printf("%lld entities, %lld records each, then %lld events of entities drawn uniformly; memory_mib %lld\n", (long long)s.entities, (long long)s.records,
           (long long)s.events, (long long)s.settings.memory_mib);
    publish(&s);
    measure(&s);
    snprintf(dir, sizeof dir, "%s/" NAME "/ingest-bench", s.settings.state_dir);
    show_folder("state folder", dir);
    show("features topic", (double)features_end(&s), "records");
    if (argc <= 4 || atoi(argv[4])) {
        measure_restore(&s, "restart with the state folder");
        snprintf(dir, sizeof dir, "%s/" NAME "/ingest-anew", s.settings.state_dir);
        s.env.instance = "anew";
        measure_restore(&s, "restore without");
        show_folder("state folder", dir);
    }
    remove_all(&s);
    weir_shared_done(&s.shared);
    free(s.features);
    weir_pipeline_free(s.pipeline);
    weir_conf_done(weir_settings_table, &s.settings);
    return 0;
}
