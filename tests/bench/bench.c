/* Measurements, each beside a ceiling taken in the same run: machines are shared and noisy, a ratio is what can be compared. Medians of RUNS repetitions.
 *
 *   ingest   payments → the customer view's features; one worker
 *   views    payments and labels → both views' features; one worker
 *                                                            ceiling of both: a stateless pass-through that consumes, decodes and produces one record an event
 *   latency  an event in → its features record out, at 20 000 events/s     ceiling: the same through the pass-through
 *   store    features, labels → PostgreSQL, one worker       ceiling: COPY BINARY of rows as wide into a table without indexes
 *   read     one entity's features from the online store     ceiling: the bare LMDB look-up
 *   score    one vector and 10 000 with a boosted model      ceiling: memory bandwidth says nothing here; rows/s and µs are printed as they are
 *   entities one event of an entity in memory: look-up, state, features, without Kafka; from 10 000 to 10 million entities     ceiling: the same with 10 000
 *
 * Arguments name the sections to run; none: all but entities (which takes 10 GiB) and latency. CPU is of the whole process, threads of librdkafka included, the broker not.
 * Settings come from the environment, as for the program (WEIR_BROKERS, …); ./run bench sets them. */
#include <math.h>
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
#include "features/entities.h"
#include "producers/simulate.h"
#include "tests/bench/harness.h"

enum { RUNS = 3, CUSTOMERS = 10000, DAYS = 180, READS = 200000, SCORE_ROWS = 10000 };

/* What a run took. */
typedef struct cost {
    double rate, cpu_per_million;
} cost;

static double median(double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

static void show(const char *what, double value, const char *unit, const char *ceiling_name, double ceiling, double ratio) {
    printf("%-34s %14.2f %-10s", what, value, unit);
    if (ceiling_name) printf("  %-28s %14.2f  ratio %.2f", ceiling_name, ceiling, ratio);
    putchar('\n');
    fflush(stdout);
}

/* ---- publishing ---- */

static int64_t publish(const weir_settings *settings, const weir_pipeline *pipeline, int64_t *ret_labels) {
    weir_err err;
    weir_records *records = NULL;
    weir_publisher *publisher = NULL;
    const weir_simulate_conf simulate = {.seed = 1, .entities = CUSTOMERS, .days = DAYS, .start_us = INT64_C(1522540800000000)};
    const weir_publish_conf conf = {.brokers = settings->brokers, .registry_url = settings->registry_url, .until_us = INT64_MAX};
    die_on(weir_simulator_fraud.open(pipeline, &simulate, &records, &err), &err);
    die_on(weir_publisher_new(pipeline, &conf, &publisher, &err), &err);
    double start = now_s();
    die_on(weir_publisher_run(publisher, records, INT64_MAX, NULL, &err), &err);
    double seconds = now_s() - start;
    int64_t events = weir_publisher_events(publisher);
    *ret_labels = weir_publisher_labels(publisher);
    show("publish (simulated, encoded)", (double)(events + *ret_labels) / seconds, "records/s", NULL, 0, 0);
    weir_publisher_free(publisher);
    weir_records_free(records);
    return events;
}

/* ---- the ceiling: consume, decode, produce ---- */

/* with_labels: of both topics. */
static cost pass_through(const weir_settings *settings, const weir_pipeline *pipeline, weir_registry *registry, bool with_labels, int64_t total) {
    enum { BATCH = 5000 };
    weir_err err;
    const char *topics[] = {pipeline->events.topic, pipeline->labels.topic};
    const weir_schema *schemas[] = {pipeline->events.schema, pipeline->labels.schema};
    const weir_topic_spec spec = {.name = "bench.passthrough", .partitions = pipeline->partitions, .retention_ms = 60000};
    weir_serde *serde[2];
    weir_datum row[64];
    weir_consumer *consumer = NULL;
    weir_producer *producer = NULL;
    static weir_bus_record records[BATCH];
    die_on(weir_bus_topics_create(settings->brokers, &spec, 1, &err), &err);
    for (int i = 0; i < 2; i++) die_on(weir_serde_new(registry, NULL, schemas[i], &serde[i], &err), &err);
    die_on(weir_producer_new(settings->brokers, "bench", &producer, &err), &err);
    double start = now_s(), cpu = cpu_s();
    die_on(weir_consumer_new_tail(settings->brokers, topics, with_labels ? 2 : 1, false, &consumer, &err), &err);
    for (int64_t done = 0; done < total;) {
        size_t count;
        die_on(weir_consumer_poll(consumer, records, BATCH, 100, &count, &err), &err);
        for (size_t i = 0; i < count; i++) {
            const weir_bus_record *r = &records[i];
            die_on(weir_serde_decode(serde[r->topic_index], r->value, r->value_len, row, NULL, &err), &err);
            die_on(weir_producer_send(producer, spec.name, r->partition, r->key, r->key_len, r->value, r->value_len, NULL, 0, 0, &err), &err);
        }
        weir_consumer_release(consumer, records, count);
        done += (int64_t)count;
    }
    die_on(weir_producer_flush(producer, 60000, &err), &err);
    const cost took = {(double)total / (now_s() - start), (cpu_s() - cpu) / (double)total * 1e6};
    weir_consumer_free(consumer);
    weir_producer_free(producer);
    for (int i = 0; i < 2; i++) weir_serde_free(serde[i]);
    return took;
}

/* ---- workers ---- */

/* From the worker's first batch until it has made `total` records durable: what the metric shows beyond what it showed at the start. Joining its group is not part of it. */
static cost time_worker(const weir_worker_ops *ops, const weir_worker_env *env, const char *pipeline, const char *const *topics, double total) {
    running r;
    double before = 0, now = 0;
    for (const char *const *t = topics; *t; t++) before += weir_metric_value(WEIR_METRIC("weir_worker_records_total", pipeline, ops->name, *t));
    const weir_metric *batches = WEIR_METRIC("weir_worker_batch_seconds", pipeline, ops->name);
    double begun = weir_metric_value(batches), start = now_s(), cpu = cpu_s();
    start_worker(ops, env, pipeline, &r);
    while (weir_metric_value(batches) == begun && now_s() - start < 60) usleep(200);
    start = now_s();
    cpu = cpu_s();
    while (now - before < total) {
        usleep(2000);
        now = 0;
        for (const char *const *t = topics; *t; t++) now += weir_metric_value(WEIR_METRIC("weir_worker_records_total", pipeline, ops->name, *t));
        if (now_s() - start > 600) {
            fprintf(stderr, "bench: %s handled %.0f of %.0f records in 10 minutes\n", ops->name, now - before, total);
            exit(1);
        }
    }
    const cost took = {total / (now_s() - start), (cpu_s() - cpu) / total * 1e6};
    stop_worker(&r);
    return took;
}

/* ---- the ceiling of the store: COPY BINARY ---- */

static double copy_rate(const weir_settings *settings, int64_t rows) {
    enum { COLUMNS = 20, AT_ONCE = 5000 };
    weir_err err;
    weir_pg *pg = NULL;
    weir_buf buf = {0};
    die_on(weir_pg_new(settings->pg_url, &pg, &err), &err);
    die_on(
        weir_pg_script(
            pg,
            "DROP TABLE IF EXISTS weir_bench_copy; CREATE TABLE weir_bench_copy (c0 float8, c1 float8, c2 float8, c3 float8, c4 float8, c5 float8, c6 float8, "
            "c7 float8, c8 float8, c9 float8, c10 float8, c11 float8, c12 float8, c13 float8, c14 float8, c15 float8, c16 float8, c17 float8, c18 float8, c19 "
            "float8)",
            &err),
        &err);
    double start = now_s();
    for (int64_t done = 0; done < rows; done += AT_ONCE) {
        weir_buf_clear(&buf);
        for (int i = 0; i < AT_ONCE; i++) {
            bool ok = weir_pg_put_tuple(&buf, COLUMNS);
            for (int c = 0; ok && c < COLUMNS; c++) ok = weir_pg_put_float8(&buf, i * 0.5 + c);
            if (!ok) exit(1);
        }
        die_on(weir_pg_begin(pg, &err), &err);
        die_on(weir_pg_copy_in(pg, "COPY weir_bench_copy FROM STDIN (FORMAT binary)", &buf, &err), &err);
        die_on(weir_pg_commit(pg, &err), &err);
    }
    double seconds = now_s() - start;
    die_on(weir_pg_script(pg, "DROP TABLE weir_bench_copy", &err), &err);
    weir_pg_free(pg);
    weir_buf_done(&buf);
    return (double)rows / seconds;
}

/* ---- online reads ---- */

static void bench_reads(const weir_pipeline *pipeline, const char *dir) {
    weir_err err;
    weir_online *online = NULL;
    weir_online_reader *reader = NULL;
    weir_view *view = NULL;
    weir_state state = {0};
    double out[64], bare[RUNS], full[RUNS];
    static double times[READS];
    char key[32];
    die_on(weir_online_open(dir, INT64_C(64) << 30, &online, &err), &err);
    die_on(weir_online_reader_new(online, &reader, &err), &err);
    die_on(weir_view_new(pipeline, &pipeline->views[0], &view, &err), &err);
    for (int mode = 0; mode < 2; mode++) {
        for (int run = 0; run < RUNS; run++) {
            double start = now_s();
            for (int i = 0; i < READS; i++) {
                weir_online_value value;
                int len = snprintf(key, sizeof key, "default/%d", (int)((int64_t)i * 7919 % CUSTOMERS));
                double begun = mode ? now_s() : 0;
                die_on(weir_online_read_begin(reader, &err), &err);
                weir_status status = weir_online_read(reader, 0, key, (size_t)len, &value, &err);
                if (!status && mode) {
                    die_on(weir_state_decode(view, value.state, value.state_len, &state, &err), &err);
                    weir_view_eval(view, &state, value.event_time_us, NULL, out);
                }
                weir_online_read_end(reader);
                if (mode) times[i] = now_s() - begun;
            }
            (mode ? full : bare)[run] = (now_s() - start) / READS * 1e6;
        }
    }
    qsort(times, READS, sizeof *times, by_value);
    double bare_us = median(bare, RUNS), full_us = median(full, RUNS);
    show("online read, 8 features", full_us, "us", "bare LMDB look-up, us", bare_us, full_us / bare_us);
    show("online read, p99", times[READS / 100 * 99] * 1e6, "us", NULL, 0, 0);
    weir_view_free(view);
    weir_state_done(&state);
    weir_online_reader_free(reader);
    weir_online_close(online);
}

/* ---- scoring ---- */

static void bench_scores(void) {
    enum { COLUMNS = 15, TRAIN = 20000 };
    static double values[TRAIN * COLUMNS], label[TRAIN], scores[SCORE_ROWS];
    static const char *const names[COLUMNS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"};
    weir_err err;
    weir_buf artifact = {0};
    weir_model *model = NULL;
    double one[RUNS], many[RUNS];
    srand(1);
    for (int i = 0; i < TRAIN; i++) {
        for (int j = 0; j < COLUMNS; j++) values[i * COLUMNS + j] = rand() / (double)RAND_MAX;
        label[i] = values[i * COLUMNS] + values[i * COLUMNS + 1] * values[i * COLUMNS + 2] > 0.9;
    }
    const weir_matrix train = {TRAIN, COLUMNS, values, label, names};
    die_on(weir_model_fit("xgboost", NULL, NULL, &train, "bench", 1, 1, &artifact, &err), &err);
    die_on(weir_model_load(artifact.data, artifact.len, &model, &err), &err);
    for (int run = 0; run < RUNS; run++) {
        double start = now_s();
        for (int i = 0; i < 2000; i++) die_on(weir_model_predict(model, values + i * COLUMNS, 1, scores, &err), &err);
        one[run] = (now_s() - start) / 2000 * 1e6;
        start = now_s();
        die_on(weir_model_predict(model, values, SCORE_ROWS, scores, &err), &err);
        many[run] = SCORE_ROWS / (now_s() - start);
    }
    show("score one vector, boosted", median(one, RUNS), "us", NULL, 0, 0);
    show("score 10 000 vectors, boosted", median(many, RUNS), "rows/s", NULL, 0, 0);
    weir_model_free(model);
    weir_buf_done(&artifact);
}

/* ---- what ingest takes ---- */

typedef struct bench {
    weir_settings settings;
    weir_registry *registry;
    const char *run; /* part of the names of pipelines: a bench begins with nothing of another */
} bench;

static cost median_cost(cost *costs) {
    double rates[RUNS], cpu[RUNS];
    for (int i = 0; i < RUNS; i++) rates[i] = costs[i].rate, cpu[i] = costs[i].cpu_per_million;
    return (cost){median(rates, RUNS), median(cpu, RUNS)};
}

static weir_worker_env env_of(const bench *b, weir_shared *shared, const char *instance) {
    const weir_settings *s = &b->settings;
    return (weir_worker_env){
        .brokers = s->brokers,
        .registry_url = s->registry_url,
        .pg_url = s->pg_url,
        .state_dir = s->state_dir,
        .objects_dir = s->objects_dir,
        .instance = instance,
        .clock = weir_clock_system(),
        .batch_max = (int)s->batch_max,
        .poll_ms = (int)s->poll_ms,
        .drain_ms = (int)s->drain_ms,
        .checkpoint_ms = (int)s->checkpoint_ms,
        .memory_bytes = s->memory_mib << 20,
        .shared = shared,
    };
}

/* One run of ingest over everything that was published, as a pipeline that has nothing yet. */
static cost ingest_once(const bench *b, const char *name, bool customer_only, int64_t total) {
    weir_err err;
    weir_shared shared;
    weir_pipeline *pipeline = fraud_pipeline(name, "bench", customer_only ? name : "bench", customer_only);
    die_on(weir_pipeline_create_topics(pipeline, b->settings.brokers, &err), &err);
    die_on(weir_shared_init(&shared, pipeline, b->settings.registry_url, "serving", &err), &err);
    weir_worker_env env = env_of(b, &shared, "bench");
    const char *feeds[] = {pipeline->events.topic, customer_only ? NULL : pipeline->labels.topic, NULL};
    cost took = time_worker(&weir_ingest_ops, &env, pipeline->name, feeds, (double)total);
    weir_shared_done(&shared);
    weir_pipeline_free(pipeline);
    return took;
}

/* Ceiling and worker in turn, so that what else the machine does falls on both. */
static void bench_ingest(const bench *b, const weir_pipeline *pipeline, bool customer_only, int64_t total) {
    cost ceiling[RUNS], runs[RUNS];
    for (int run = 0; run < RUNS; run++) {
        char name[64];
        snprintf(name, sizeof name, "bench%s%c%d", b->run, customer_only ? 'c' : 'b', run);
        ceiling[run] = pass_through(&b->settings, pipeline, b->registry, !customer_only, total);
        runs[run] = ingest_once(b, name, customer_only, total);
    }
    cost through = median_cost(ceiling), ingest = median_cost(runs);
    show(customer_only ? "ingest, customer view, exactly once" : "ingest, both views, exactly once", ingest.rate, "records/s", "pass-through, records/s",
         through.rate, ingest.rate / through.rate);
    show("  CPU of a million", ingest.cpu_per_million, "s", "pass-through, s", through.cpu_per_million, ingest.cpu_per_million / through.cpu_per_million);
}

/* ---- entities in memory ---- */

enum { ENTITY_EVENTS = 1000000, ENTITY_RECORDS = 4, ENTITY_BATCH = 4096, ENTITY_BLOCK = 4 };

typedef struct entity_run {
    weir_view *view;
    weir_entities *table;
    int64_t step_us, now_us, offset; /* between two events, so that an entity has ENTITY_RECORDS in 30 days, however many there are */
    uint64_t seed;
    uint32_t count;
    double slots[64], out[64];
} entity_run;

static void apply_one(entity_run *r, uint32_t hash, const char *key, size_t len) {
    weir_err err;
    weir_applied applied;
    weir_entity *entity = weir_entities_find(r->table, hash, key, len);
    if (!entity && !(entity = weir_entities_add(r->table, hash, key, len, 0))) exit(3);
    const weir_source source = {0, r->offset++};
    r->now_us += r->step_us;
    die_on(weir_view_apply(r->view, &entity->state, r->now_us, source, r->slots, 0, &applied, NULL, &err), &err);
    weir_entities_resized(r->table, entity);
    weir_view_eval(r->view, &entity->state, r->now_us, &source, r->out);
}

/* Batches of entities drawn at random (in turn while filling), hinted ahead as ingest does. */
static void apply_many(entity_run *r, int64_t events, bool in_turn) {
    static char keys[ENTITY_BATCH][24];
    static uint32_t hashes[ENTITY_BATCH];
    static size_t lens[ENTITY_BATCH];
    for (int64_t done = 0; done < events;) {
        int n = events - done < ENTITY_BATCH ? (int)(events - done) : ENTITY_BATCH;
        for (int i = 0; i < n; i++) {
            r->seed = r->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            uint32_t number = in_turn ? (uint32_t)((done + i) % r->count) : (uint32_t)((r->seed >> 32) * r->count >> 32);
            lens[i] = (size_t)snprintf(keys[i], sizeof keys[i], "default/%u", number);
            hashes[i] = weir_entities_hash(keys[i], lens[i]);
        }
        for (int i = 0; i < n; i++) {
            if (i + 3 * ENTITY_BLOCK < n) weir_entities_prefetch(r->table, hashes[i + 3 * ENTITY_BLOCK]);
            if (i + 2 * ENTITY_BLOCK < n) weir_entities_prefetch_entity(r->table, hashes[i + 2 * ENTITY_BLOCK]);
            if (i + ENTITY_BLOCK < n) weir_entities_prefetch_state(r->table, hashes[i + ENTITY_BLOCK]);
            apply_one(r, hashes[i], keys[i], lens[i]);
        }
        done += n;
    }
}

static void bench_entities(const weir_pipeline *pipeline) {
    double first_us = 0;
    for (uint32_t count = 10000; count <= 10000000; count *= 10) {
        weir_err err;
        double us[RUNS];
        char what[64];
        entity_run r = {.count = count, .seed = 1, .now_us = INT64_C(1522540800000000), .step_us = 30 * 24 * 3600 * WEIR_SECOND_US / ENTITY_RECORDS / count};
        die_on(weir_view_new(pipeline, &pipeline->views[0], &r.view, &err), &err);
        die_on(weir_entities_new(SIZE_MAX, &r.table, &err), &err);
        for (int i = 0; i < weir_view_slot_count(r.view); i++) r.slots[i] = i;
        apply_many(&r, (int64_t)count * ENTITY_RECORDS, true);
        for (int run = 0; run < RUNS; run++) {
            double cpu = cpu_s();
            apply_many(&r, ENTITY_EVENTS, false);
            us[run] = (cpu_s() - cpu) / ENTITY_EVENTS * 1e6;
        }
        double event_us = median(us, RUNS);
        if (!first_us) first_us = event_us;
        snprintf(what, sizeof what, "event of one of %u entities, CPU", count);
        show(what, event_us, "us", "with 10 000 entities, us", first_us, event_us / first_us);
        show("  memory of one entity", (double)weir_entities_bytes(r.table) / count, "bytes", NULL, 0, 0);
        weir_entities_free(r.table);
        weir_view_free(r.view);
    }
}

/* ---- the store ---- */

static void bench_store(const bench *b, weir_pipeline *pipeline, weir_worker_env *env, int64_t events, int64_t labels) {
    double copies[RUNS];
    const char *feeds[] = {pipeline->events.topic, pipeline->labels.topic, NULL};
    (void)time_worker(&weir_ingest_ops, env, pipeline->name, feeds, (double)(events + labels));
    for (int run = 0; run < RUNS; run++) copies[run] = copy_rate(&b->settings, 200000);
    char *tables[] = {weir_topic_features(pipeline, &pipeline->views[0]), weir_topic_features(pipeline, &pipeline->views[1])};
    const char *sinks[] = {tables[0], tables[1], pipeline->labels.topic, NULL};
    cost store = time_worker(&weir_store_ops, env, pipeline->name, sinks, (double)(events + 2 * labels));
    double copy = median(copies, RUNS);
    show("store, rows with indexes", store.rate, "rows/s", "COPY BINARY, no index, rows/s", copy, store.rate / copy);
    show("  CPU of a million", store.cpu_per_million, "s", NULL, 0, 0);
    for (int i = 0; i < 2; i++) free(tables[i]);
}

static bool wanted(int argc, char **argv, const char *section) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], section)) return true;
    return argc < 2;
}

int main(int argc, char **argv) {
    weir_err err;
    char run[24];
    snprintf(run, sizeof run, "%x", (unsigned)(weir_clock_wall_us(weir_clock_system()) / WEIR_SECOND_US));
    bench b = {.run = run};
    die_on(weir_conf_defaults(weir_settings_table, &b.settings, &err), &err);
    die_on(weir_conf_from_env(weir_settings_table, &b.settings, &err), &err);
    die_on(weir_settings_apply(&b.settings, &err), &err);
    weir_log_init(stderr, WEIR_LOG_AUTO, WEIR_LOG_WARN);
    weir_pipeline *pipeline = fraud_pipeline("bench", "bench", "bench", false);
    weir_shared shared;
    weir_pg *pg = NULL;
    die_on(weir_pg_new(b.settings.pg_url, &pg, &err), &err);
    die_on(weir_pg_migrate(pg, &err), &err);
    weir_pg_free(pg);
    const char *feeds[] = {pipeline->events.topic, pipeline->labels.topic};
    die_on(weir_bus_topics_delete(b.settings.brokers, feeds, 2, &err), &err);
    die_on(weir_pipeline_create_topics(pipeline, b.settings.brokers, &err), &err);
    die_on(weir_shared_init(&shared, pipeline, b.settings.registry_url, "serving", &err), &err);
    b.registry = shared.registry;
    weir_worker_env env = env_of(&b, &shared, "bench");
    if (wanted(argc, argv, "ingest") || wanted(argc, argv, "views") || wanted(argc, argv, "store")) {
        int64_t labels, events = publish(&b.settings, pipeline, &labels);
        printf("%lld payments, %lld labels, %d customers\n", (long long)events, (long long)labels, CUSTOMERS);
        if (wanted(argc, argv, "ingest")) bench_ingest(&b, pipeline, true, events);
        if (wanted(argc, argv, "views")) bench_ingest(&b, pipeline, false, events + labels);
        if (wanted(argc, argv, "store")) bench_store(&b, pipeline, &env, events, labels);
        if (wanted(argc, argv, "read")) {
            char dir[4096];
            snprintf(dir, sizeof dir, "%s/%s/ingest-bench", b.settings.state_dir, pipeline->name);
            bench_reads(pipeline, dir);
        }
    }
    if (wanted(argc, argv, "score")) bench_scores();
    if (argc > 1 && wanted(argc, argv, "entities")) bench_entities(pipeline);
    weir_shared_done(&shared);
    weir_pipeline_free(pipeline);
    weir_conf_done(weir_settings_table, &b.settings);
    return 0;
}
