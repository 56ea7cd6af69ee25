/* Series live in one list per declared metric and are never freed. A mutex guards the lists; values are atomics, so that an update is a few instructions without a lock. */
#include "core/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Series beyond this are counted nowhere: a label that explodes must not take the worker's memory. */
enum { FAMILY_SERIES_MAX = 10000, FAMILIES_MAX = 256 };

static const struct {
    double bound;
    const char *le;
} buckets[] = {
    {1e-6, "1e-06"},
    {2e-6, "2e-06"},
    {5e-6, "5e-06"},
    {1e-5, "1e-05"},
    {2e-5, "2e-05"},
    {5e-5, "5e-05"},
    {1e-4, "0.0001"},
    {2e-4, "0.0002"},
    {5e-4, "0.0005"},
    {1e-3, "0.001"},
    {2e-3, "0.002"},
    {5e-3, "0.005"},
    {1e-2, "0.01"},
    {2e-2, "0.02"},
    {5e-2, "0.05"},
    {1e-1, "0.1"},
    {2e-1, "0.2"},
    {5e-1, "0.5"},
    {1, "1.0"},
    {2, "2.0"},
    {5, "5.0"},
    {10, "10.0"},
    {20, "20.0"},
    {50, "50.0"},
    {100, "100.0"},
    /* ages of features are days */
    {1e3, "1000.0"},
    {1e4, "10000.0"},
    {1e5, "100000.0"},
    {2e5, "200000.0"},
    {5e5, "500000.0"},
    {1e6, "1e+06"},
    {2e6, "2e+06"},
    {5e6, "5e+06"},
    {1e7, "1e+07"},
    {INFINITY, "+Inf"},
};
enum { BUCKET_COUNT = sizeof buckets / sizeof *buckets };

/* Odd while somebody writes it; a reader who meets another number behind than before leaves it out. */
typedef struct exemplar {
    _Atomic uint32_t turn;
    _Atomic uint64_t trace[2], value, time_us; /* of the value: the bits */
} exemplar;

struct weir_metric {
    weir_metric *next;
    const weir_metric_def *def;
    char *labels; /* as rendered: pipeline="fraud",topic="fraud.events" */
    atomic_bool hidden;
    _Atomic uint64_t bits; /* of a double: the value, or the sum of a histogram */
    _Atomic uint64_t *counts; /* histogram: BUCKET_COUNT, not cumulative; in the same allocation */
    _Atomic(exemplar *) exemplars; /* histogram: BUCKET_COUNT, made with the first one */
};

typedef struct family {
    weir_metric *first, *last;
    size_t count;
} family;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static family families[FAMILIES_MAX]; /* parallel to weir_metric_table */

static double from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A metric that is not in the table is a bug at the call, and found by whatever test comes by first: also where asserts are off. */
__attribute__((noreturn)) static void misused(const char *name, const char *how) {
    fprintf(stderr, "metric %s: %s\n", name, how);
    abort();
}

static size_t find_def(const char *name) {
    for (size_t i = 0; weir_metric_table[i].name && i < FAMILIES_MAX; i++)
        if (!strcmp(weir_metric_table[i].name, name)) return i;
    misused(name, "not declared in core/metric_table.c");
}

static bool append_labels(weir_buf *out, const weir_metric_def *def, const char *const *values) {
    bool ok = weir_buf_reserve(out, 0);
    for (size_t i = 0; ok && def->labels[i]; i++) {
        if (!values[i]) misused(def->name, "fewer label values than declared");
        /* JSON's escapes are valid in OpenMetrics, too, and what is not UTF-8 would cost the whole scrape. */
        ok = weir_buf_printf(out, "%s%s=\"", i ? "," : "", def->labels[i]) && weir_buf_json_escape(out, values[i], strlen(values[i])) &&
             weir_buf_append(out, "\"", 1);
    }
    return ok;
}

/* Takes labels' memory on success. */
static weir_metric *add_series(family *into, const weir_metric_def *def, weir_buf *labels) {
    if (into->count >= FAMILY_SERIES_MAX) return NULL;
    size_t size = sizeof(weir_metric) + (def->type == WEIR_HISTOGRAM ? BUCKET_COUNT * sizeof(_Atomic uint64_t) : 0);
    weir_metric *metric = weir_mem.realloc(NULL, size);
    if (!metric) return NULL;
    memset(metric, 0, size);
    metric->def = def;
    metric->counts = (_Atomic uint64_t *)(metric + 1);
    metric->labels = labels->data;
    *labels = (weir_buf){0};
    if (into->last)
        into->last->next = metric;
    else
        into->first = metric;
    into->last = metric;
    into->count++;
    return metric;
}

/* Where updates go when there is no room for a series: never rendered. */
static weir_metric *lost_series(weir_metric_type type) {
    static const weir_metric_def defs[] = {{.type = WEIR_COUNTER}, {.type = WEIR_GAUGE}, {.type = WEIR_HISTOGRAM}};
    static _Atomic uint64_t counts[BUCKET_COUNT];
    static weir_metric counter = {.def = &defs[0]}, gauge = {.def = &defs[1]}, histogram = {.def = &defs[2], .counts = counts};
    return type == WEIR_COUNTER ? &counter : type == WEIR_GAUGE ? &gauge : &histogram;
}

weir_metric *weir_metric_get(const char *name, const char *const *label_values) {
    size_t index = find_def(name);
    const weir_metric_def *def = &weir_metric_table[index];
    weir_buf labels = {0};
    bool built = append_labels(&labels, def, label_values);

    pthread_mutex_lock(&lock);
    weir_metric *metric = built ? families[index].first : NULL;
    while (metric && strcmp(metric->labels, labels.data) != 0) metric = metric->next;
    if (metric)
        atomic_store_explicit(&metric->hidden, false, memory_order_relaxed);
    else if (built)
        metric = add_series(&families[index], def, &labels);
    if (!metric) metric = lost_series(def->type);
    pthread_mutex_unlock(&lock);
    weir_buf_done(&labels);
    return metric;
}

static void add_to(_Atomic uint64_t *bits, double amount) {
    uint64_t old = atomic_load_explicit(bits, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(bits, &old, to_bits(from_bits(old) + amount), memory_order_relaxed, memory_order_relaxed)) {
    }
}

void weir_metric_add(weir_metric *metric, double amount) {
    /* A counter that falls reads as a restart, and a NaN never leaves a sum again. */
    if (!isfinite(amount) || (metric->def->type == WEIR_COUNTER && amount < 0)) return;
    add_to(&metric->bits, amount);
}

void weir_metric_set(weir_metric *metric, double value) {
    atomic_store_explicit(&metric->bits, to_bits(value), memory_order_relaxed);
    if (atomic_load_explicit(&metric->hidden, memory_order_relaxed)) atomic_store_explicit(&metric->hidden, false, memory_order_relaxed);
}

/* A clock that was set back gives less than 0; the sum must not fall. */
static size_t observe(weir_metric *metric, double value) {
    size_t low = 0, high = BUCKET_COUNT - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (value <= buckets[middle].bound)
            high = middle;
        else
            low = middle + 1;
    }
    atomic_fetch_add_explicit(&metric->counts[low], 1, memory_order_relaxed);
    add_to(&metric->bits, value);
    return low;
}

void weir_metric_observe(weir_metric *metric, double value) {
    if (isfinite(value)) (void)observe(metric, value < 0 ? 0 : value);
}

static bool read_hex(const char *text, size_t digits, uint64_t *ret_value) {
    *ret_value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
        *ret_value = *ret_value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return true;
}

/* "00-<32 hex digits>-<16>-<flags>": the trace, of one that is sampled. */
static bool read_trace(const char *text, size_t len, uint64_t trace[2]) {
    uint64_t version, flags;
    if (!text || len < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
    return read_hex(text, 2, &version) && version != 0xff && read_hex(text + 3, 16, &trace[0]) && read_hex(text + 19, 16, &trace[1]) &&
           (trace[0] || trace[1]) && read_hex(text + 53, 2, &flags) && (flags & 1);
}

/* NULL without memory: then there are no exemplars. */
static exemplar *exemplars_of(weir_metric *metric) {
    exemplar *all = atomic_load_explicit(&metric->exemplars, memory_order_acquire), *none = NULL;
    if (all) return all;
    if (!(all = weir_mem.realloc(NULL, sizeof *all * BUCKET_COUNT))) return NULL;
    memset(all, 0, sizeof *all * BUCKET_COUNT);
    if (atomic_compare_exchange_strong_explicit(&metric->exemplars, &none, all, memory_order_acq_rel, memory_order_acquire)) return all;
    weir_mem.realloc(all, 0);
    return none;
}

static uint64_t wall_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void weir_metric_observe_traced(weir_metric *metric, double value, const char *traceparent, size_t len) {
    uint64_t trace[2];
    if (!isfinite(value)) return;
    if (value < 0) value = 0;
    size_t bucket = observe(metric, value);
    exemplar *all = read_trace(traceparent, len, trace) ? exemplars_of(metric) : NULL;
    if (!all) return;
    exemplar *e = &all[bucket];
    uint32_t turn = atomic_load_explicit(&e->turn, memory_order_relaxed);
    if (turn % 2 || !atomic_compare_exchange_strong(&e->turn, &turn, turn + 1)) return;
    atomic_store(&e->trace[0], trace[0]);
    atomic_store(&e->trace[1], trace[1]);
    atomic_store(&e->value, to_bits(value));
    atomic_store(&e->time_us, wall_us());
    atomic_store(&e->turn, turn + 2);
}

double weir_metric_value(const weir_metric *metric) {
    if (metric->def->type != WEIR_HISTOGRAM) return from_bits(atomic_load_explicit(&metric->bits, memory_order_relaxed));
    uint64_t count = 0;
    for (size_t i = 0; i < BUCKET_COUNT; i++) count += atomic_load_explicit(&metric->counts[i], memory_order_relaxed);
    return (double)count;
}

void weir_metric_hide(weir_metric *metric) {
    atomic_store_explicit(&metric->hidden, true, memory_order_relaxed);
}

/* The shortest text that reads back as the same number. */
static bool append_number(weir_buf *out, double value) {
    if (isnan(value)) return weir_buf_append(out, "NaN\n", 4);
    if (isinf(value)) return weir_buf_append(out, value > 0 ? "+Inf\n" : "-Inf\n", 5);
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return weir_buf_printf(out, "%s\n", text);
}

/* " # {trace_id="…"} value seconds", where the bucket has one that nobody writes just now. */
static bool render_exemplar(weir_buf *out, const weir_metric *metric, size_t bucket) {
    exemplar *all = atomic_load_explicit(&((weir_metric *)metric)->exemplars, memory_order_acquire), *e = all ? &all[bucket] : NULL;
    uint32_t turn = e ? atomic_load(&e->turn) : 0;
    if (!turn || turn % 2) return true;
    uint64_t first = atomic_load(&e->trace[0]), second = atomic_load(&e->trace[1]), value = atomic_load(&e->value), time_us = atomic_load(&e->time_us);
    if (atomic_load(&e->turn) != turn) return true;
    return weir_buf_printf(out, " # {trace_id=\"%016" PRIx64 "%016" PRIx64 "\"} %.9g %" PRIu64 ".%06" PRIu64, first, second, from_bits(value),
                           time_us / 1000000, time_us % 1000000);
}

/* Buckets are read once and summed here, so that the +Inf bucket and the count agree while others observe. */
static bool render_histogram(weir_buf *out, const weir_metric *metric) {
    const char *name = metric->def->name, *labels = metric->labels, *comma = *labels ? "," : "";
    double sum = from_bits(atomic_load_explicit(&metric->bits, memory_order_relaxed));
    uint64_t count = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < BUCKET_COUNT; i++) {
        count += atomic_load_explicit(&metric->counts[i], memory_order_relaxed);
        ok = weir_buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64, name, labels, comma, buckets[i].le, count) && render_exemplar(out, metric, i) &&
             weir_buf_append(out, "\n", 1);
    }
    return ok && weir_buf_printf(out, "%s_count{%s} %" PRIu64 "\n%s_sum{%s} ", name, labels, count, name, labels) && append_number(out, sum);
}

/* # TYPE and # HELP; the family of a counter is named without "_total". */
static bool render_head(weir_buf *out, const char *name, weir_metric_type type, const char *help) {
    static const char *const types[] = {[WEIR_COUNTER] = "counter", [WEIR_GAUGE] = "gauge", [WEIR_HISTOGRAM] = "histogram"};
    int family_len = (int)(strlen(name) - (type == WEIR_COUNTER ? strlen("_total") : 0));
    return weir_buf_printf(out, "# TYPE %.*s %s\n# HELP %.*s ", family_len, name, types[type], family_len, name) &&
           weir_buf_json_escape(out, help, strlen(help)) && weir_buf_append(out, "\n", 1);
}

static bool render_family(weir_buf *out, const weir_metric_def *def, const weir_metric *first) {
    bool ok = true, headed = false;
    for (const weir_metric *metric = first; ok && metric; metric = metric->next) {
        if (atomic_load_explicit(&metric->hidden, memory_order_relaxed)) continue;
        ok = headed || render_head(out, def->name, def->type, def->help);
        headed = true;
        if (def->type == WEIR_HISTOGRAM)
            ok = ok && render_histogram(out, metric);
        else
            ok = ok && weir_buf_printf(out, "%s{%s} ", def->name, metric->labels) && append_number(out, weir_metric_value(metric));
    }
    return ok;
}

static double resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return NAN;
    long total_pages = 0, resident_pages = 0;
    int fields = fscanf(file, "%ld %ld", &total_pages, &resident_pages);
    fclose(file);
    return fields == 2 ? (double)resident_pages * (double)sysconf(_SC_PAGESIZE) : NAN;
}

static double open_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return NAN;
    int count = 0;
    while (readdir(dir)) count++;
    closedir(dir);
    return count - 3; /* ".", ".." and the folder itself */
}

static bool render_process(weir_buf *out) {
    struct timespec cpu = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    const struct {
        const char *name;
        weir_metric_type type;
        const char *help;
        double value;
    } rows[] = {
        {"process_resident_memory_bytes", WEIR_GAUGE, "resident memory of this process", resident_bytes()},
        {"process_cpu_seconds_total", WEIR_COUNTER, "user and system processor time spent", (double)cpu.tv_sec + (double)cpu.tv_nsec * 1e-9},
        {"process_open_fds", WEIR_GAUGE, "open file descriptors", open_fds()},
        {"weir_build_info", WEIR_GAUGE, "1, labelled with the version of Weir", 1},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *labels = strcmp(rows[i].name, "weir_build_info") ? "" : "{version=\"" WEIR_VERSION "\"}";
        ok = ok && render_head(out, rows[i].name, rows[i].type, rows[i].help) && weir_buf_printf(out, "%s%s ", rows[i].name, labels) &&
             append_number(out, rows[i].value);
    }
    return ok;
}

weir_status weir_metrics_render(weir_buf *out, weir_err *err) {
    bool ok = true;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; ok && weir_metric_table[i].name && i < FAMILIES_MAX; i++) ok = render_family(out, &weir_metric_table[i], families[i].first);
    pthread_mutex_unlock(&lock);
    ok = ok && render_process(out) && weir_buf_append(out, "# EOF\n", 6);
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to render the metrics");
}
