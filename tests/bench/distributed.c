/* One model of boosted trees by one worker and by two, of one thread each. ./run bench distributed runs it.
 *
 *   start-up   from the call to the first round: processes, rows dealt out and sent, counted
 *   training   from there to the model: ROUNDS trees of depth 6 on ROWS × COLUMNS simulated rows with continuous columns and gaps, 256 bins
 *   wall       what a watch says; on a machine that does other work it says how much that was, too
 *   CPU        of a worker, its start-up included: what the watch would say if each had a core of its own and never waited for the other
 *
 * Medians of RUNS, the sides taking turns; beside them the same fit in this process, which is what one worker costs more than none. The loads of the machine before and after are printed: two workers in step
 * are as slow as the one that waits longest for its core. */
#include <math.h>
#include <string.h>

#include "models/distributed.h"
#include "models/model.h"
#include "tests/bench/harness.h"

enum { RUNS = 3, ROWS = 1000000, COLUMNS = 30, ROUNDS = 10, WORKERS_MAX = 2 };
static const char params[] = "{\"rounds\": 10, \"max_depth\": 6, \"max_bin\": 256}";

/* What a fit took. */
typedef struct took {
    double startup_s, training_s, cpu_s; /* the last of a worker, or of this process */
} took;

static double uniform(uint64_t *random) {
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(*random >> 11) * 0x1p-53;
}

static void *room(size_t count) {
    void *block = calloc(count, sizeof(double));
    if (!block) exit(1);
    return block;
}

static void fill(double *values, double *label) {
    uint64_t random = 7;
    for (int64_t r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int c = 0; c < COLUMNS; c++) {
            double x = uniform(&random);
            sum += c < 6 ? x : 0;
            values[r * COLUMNS + c] = uniform(&random) < 0.02 ? NAN : x;
        }
        label[r] = sum + uniform(&random) > 4;
    }
}

static double children_cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void note_start(void *context, weir_distributed_what what, int64_t number, const char *words) {
    (void)number;
    if (what == WEIR_DISTRIBUTED_TRAINS) *(double *)context = now_s();
    if (what == WEIR_DISTRIBUTED_LOST) fprintf(stderr, "bench: %s\n", words);
}

/* workers 0: in this process. */
static took fit(const weir_matrix *m, int workers, weir_buf *ret_artifact) {
    double begun_s = now_s(), trains_s = begun_s, cpu_before = workers ? children_cpu_s() : cpu_s();
    const weir_distributed how = {.workers = workers, .restart_max = -1, .tell = note_start, .context = &trains_s};
    cJSON *json = cJSON_Parse(params);
    weir_err err;
    weir_buf_clear(ret_artifact);
    weir_distributed_set(workers ? &how : NULL);
    die_on(weir_model_fit("xgboost", json, NULL, m, NULL, 1, 1, ret_artifact, &err), &err);
    weir_distributed_set(NULL);
    cJSON_Delete(json);
    double cpu = workers ? (children_cpu_s() - cpu_before) / workers : cpu_s() - cpu_before;
    return (took){.startup_s = trains_s - begun_s, .training_s = now_s() - trains_s, .cpu_s = cpu};
}

static double median(const took *runs, size_t at) {
    double values[RUNS];
    for (int i = 0; i < RUNS; i++) memcpy(&values[i], (const char *)&runs[i] + at, sizeof *values);
    qsort(values, RUNS, sizeof *values, by_value);
    return values[RUNS / 2];
}

#define MEDIAN(runs, member) median(runs, offsetof(took, member))

static void show(const char *who, const took *runs, const took *one) {
    printf("%-16s start-up %7.2f s   training %7.2f s wall   CPU of a worker %7.2f s", who, MEDIAN(runs, startup_s), MEDIAN(runs, training_s),
           MEDIAN(runs, cpu_s));
    if (one) printf("   speed-up %.2f by wall, %.2f by CPU", MEDIAN(one, training_s) / MEDIAN(runs, training_s), MEDIAN(one, cpu_s) / MEDIAN(runs, cpu_s));
    putchar('\n');
}

static void show_load(const char *when) {
    double load[3] = {0};
    if (getloadavg(load, 3) == 3) printf("load %s: %.1f %.1f %.1f\n", when, load[0], load[1], load[2]);
}

static int be_a_part(const char *leader) {
    weir_part_end end;
    weir_err err;
    die_on(weir_distributed_part(leader, getenv(WEIR_DISTRIBUTED_TOKEN_VARIABLE), 10, &end, &err), &err);
    return 0;
}

int main(int argc, char **argv) {
    static took runs[WORKERS_MAX + 1][RUNS];
    char names[COLUMNS][8];
    const char *pointers[COLUMNS];
    weir_buf artifact = {0};
    if (argc >= 4 && !strcmp(argv[1], "train") && !strcmp(argv[2], "--join")) return be_a_part(argv[3]);
    double *values = room((size_t)ROWS * COLUMNS), *label = room(ROWS);
    for (int c = 0; c < COLUMNS; c++) {
        snprintf(names[c], sizeof names[c], "x%d", c);
        pointers[c] = names[c];
    }
    fill(values, label);
    const weir_matrix m = {.row_count = ROWS, .column_count = COLUMNS, .values = values, .label = label, .column_names = pointers};
    printf("%d rows × %d columns, %d trees, medians of %d\n", ROWS, COLUMNS, ROUNDS, RUNS);
    show_load("before");
    fflush(stdout);
    for (int run = 0; run < RUNS; run++)
        for (int workers = 0; workers <= WORKERS_MAX; workers++) {
            runs[workers][run] = fit(&m, workers, &artifact);
            fprintf(stderr, "run %d of %d, %d workers: %.2f s, CPU %.2f s\n", run + 1, RUNS, workers, runs[workers][run].training_s, runs[workers][run].cpu_s);
        }
    show("in this process", runs[0], NULL);
    show("one worker", runs[1], NULL);
    show("two workers", runs[2], runs[1]);
    show_load("after");
    weir_buf_done(&artifact);
    free(values);
    free(label);
    return 0;
}
