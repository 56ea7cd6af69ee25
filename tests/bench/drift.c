/* What watching for drift costs. ./run bench drift runs it; ./run peers drift runs it on files beside Evidently.
 *
 *   drift [WIDE-ROWS]              a profile's update, a value; 10 000 × 30 against 10 000, profiles and tests; WIDE-ROWS × 1000 in blocks as they would come from a file
 *   drift FILE FILE COLUMNS       reference and current of doubles, row by row: CPU milliseconds, of RUNS the median, and the names of the columns that drifted
 *
 * CPU seconds of this process, which a busy machine does not stretch as it does wall time; what makes the values is not counted. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "features/drift.h"
#include "tests/bench/harness.h"

enum { RUNS = 5, ROWS = 10000, COLUMNS = 30, SHIFTED = 10, UPDATES = 2000000, WIDE = 1000, BLOCK = 2048 };

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}

static uint64_t next(uint64_t *random) {
    uint64_t z = *random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Near enough to normal: the sum of four uniform numbers, as variance 1. */
static double normal(uint64_t *random) {
    uint64_t z = next(random);
    double sum = (double)(z & 0xffff) + (double)(z >> 16 & 0xffff) + (double)(z >> 32 & 0xffff) + (double)(z >> 48) + (double)(next(random) >> 48) / 65536;
    return (sum / 65536 - 2) * 1.7320508075688772;
}

static weir_drift_table *new_table(int columns, uint64_t seed) {
    weir_drift_field *fields = calloc((size_t)columns, sizeof *fields);
    char(*names)[16] = calloc((size_t)columns, sizeof *names);
    weir_drift_table *table = NULL;
    weir_err err;
    if (!fields || !names) exit(3);
    for (int c = 0; c < columns; c++) {
        snprintf(names[c], sizeof names[c], "c%02d", c);
        fields[c] = (weir_drift_field){names[c], WEIR_DRIFT_NUMBER, WEIR_DRIFT_FEATURE};
    }
    die_on(weir_drift_table_new(fields, columns, seed, &table, &err), &err);
    free(names);
    free(fields);
    return table;
}

/* ---- updates ---- */

static void updates(const char *what, weir_drift_type type, double (*value)(uint64_t *random)) {
    double one[RUNS], many[RUNS], *values = malloc(UPDATES * sizeof *values);
    uint64_t random = 1;
    if (!values) exit(3);
    for (int i = 0; i < UPDATES; i++) values[i] = value(&random);
    for (int run = 0; run < RUNS; run++) {
        weir_drift_profile *a = weir_drift_profile_new(type, WEIR_DRIFT_FEATURE, 1), *b = weir_drift_profile_new(type, WEIR_DRIFT_FEATURE, 1);
        if (!a || !b) exit(3);
        double began = cpu_s();
        for (int i = 0; i < UPDATES; i++) weir_drift_profile_add(a, values[i]);
        one[run] = 1e9 * (cpu_s() - began) / UPDATES;
        began = cpu_s();
        for (int i = 0; i < UPDATES; i += BLOCK) weir_drift_profile_add_many(b, values + i, i + BLOCK < UPDATES ? BLOCK : UPDATES - i, 1);
        many[run] = 1e9 * (cpu_s() - began) / UPDATES;
        weir_drift_profile_free(a);
        weir_drift_profile_free(b);
    }
    printf("%-40s %8.1f ns a value one by one, %8.1f ns in blocks\n", what, median(one, RUNS), median(many, RUNS));
    fflush(stdout);
    free(values);
}

static double count_of(uint64_t *random) {
    return (double)(next(random) % 20);
}
static double category(uint64_t *random) {
    return (double)(next(random) % 3000);
}

/* ---- tables ---- */

/* Of this thread: the libraries' own threads, which spin while they start, are not what is measured. */
static double thread_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double compared_ms(const double *reference, int64_t n, const double *current, int64_t m, int columns, bool tell, double *ret_tests_ms) {
    weir_drift_table *a = NULL, *b = NULL;
    weir_drift_report *report = NULL;
    weir_err err;
    double began = thread_s();
    a = new_table(columns, 1);
    b = new_table(columns, 2);
    weir_drift_table_add_block(a, reference, n);
    weir_drift_table_add_block(b, current, m);
    double profiled = thread_s();
    die_on(weir_drift_compare(a, b, NULL, &weir_drift_defaults, &report, &err), &err);
    double took = 1e3 * (thread_s() - began);
    *ret_tests_ms = 1e3 * (thread_s() - profiled);
    for (int c = 0; tell && c < report->column_count; c++)
        if (report->columns[c].drifted) printf("%s ", report->columns[c].name);
    if (tell) printf("\n");
    weir_drift_report_free(report);
    weir_drift_table_free(a);
    weir_drift_table_free(b);
    return took;
}

static void table(void) {
    double took[RUNS], tests[RUNS], *reference = malloc(sizeof(double) * ROWS * COLUMNS), *current = malloc(sizeof(double) * ROWS * COLUMNS);
    uint64_t random = 5;
    if (!reference || !current) exit(3);
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        reference[i] = normal(&random);
        current[i] = normal(&random) + (i % COLUMNS < SHIFTED ? 0.05 * (1 + i % COLUMNS) : 0);
    }
    for (int run = 0; run < RUNS; run++) took[run] = compared_ms(reference, ROWS, current, ROWS, COLUMNS, false, &tests[run]);
    printf("%-40s %8.1f ms, of which tests %.1f ms\n", "10 000 × 30 against 10 000", median(took, RUNS), median(tests, RUNS));
    fflush(stdout);
    free(reference);
    free(current);
}

/* Both sides of so many rows, block by block, so that memory holds two tables and a block. */
static void wide(int64_t rows) {
    weir_drift_table *sides[2] = {new_table(WIDE, 1), new_table(WIDE, 2)};
    double *block = malloc(sizeof(double) * WIDE * BLOCK), spent = 0, wall = 0;
    weir_drift_report *report = NULL;
    weir_err err;
    struct rusage usage;
    uint64_t random = 9;
    if (!block) exit(3);
    for (int side = 0; side < 2; side++) {
        for (int64_t done = 0; done < rows; done += BLOCK) {
            int64_t count = rows - done < BLOCK ? rows - done : BLOCK;
            for (int64_t i = 0; i < count * WIDE; i++) block[i] = normal(&random) + (side && i % WIDE < WIDE / 10 ? 0.2 : 0);
            double began = cpu_s(), began_wall = now_s();
            weir_drift_table_add_block(sides[side], block, count);
            spent += cpu_s() - began;
            wall += now_s() - began_wall;
        }
        if (side) continue;
        printf("%" PRId64 " × %d, one side: %.1f s CPU, %.1f s wall, %.1f ns a value\n", rows, WIDE, spent, wall, 1e9 * spent / ((double)rows * WIDE));
        fflush(stdout);
        if (rows > 500000) rows = 100000; /* the other side is a window */
    }
    double began = cpu_s();
    die_on(weir_drift_compare(sides[0], sides[1], NULL, &weir_drift_defaults, &report, &err), &err);
    double tests = cpu_s() - began;
    getrusage(RUSAGE_SELF, &usage);
    printf("    against %" PRId64
           ": tests %.1f s, %d of %d columns drifted, both sides and tests %.1f s CPU; peak of memory %.0f MiB, block of %d rows included\n",
           rows, tests, report->drifted_features, report->features, spent + tests, (double)usage.ru_maxrss / 1024, BLOCK);
    weir_drift_report_free(report);
    weir_drift_table_free(sides[0]);
    weir_drift_table_free(sides[1]);
    free(block);
}

/* ---- files ---- */

static double *read_doubles(const char *path, int64_t *ret_count) {
    FILE *file = fopen(path, "rb");
    long bytes = file && !fseek(file, 0, SEEK_END) ? ftell(file) : -1;
    double *values = bytes > 0 ? malloc((size_t)bytes) : NULL;
    if (values) rewind(file);
    if (!values || fread(values, 1, (size_t)bytes, file) != (size_t)bytes) {
        fprintf(stderr, "bench: %s cannot be read\n", path);
        exit(3);
    }
    fclose(file);
    *ret_count = bytes / (long)sizeof *values;
    return values;
}

static void files(const char *reference_path, const char *current_path, int columns) {
    int64_t n, m;
    double *reference = read_doubles(reference_path, &n), *current = read_doubles(current_path, &m), took[RUNS], tests;
    for (int run = 0; run < RUNS; run++) took[run] = compared_ms(reference, n / columns, current, m / columns, columns, run == 0, &tests);
    printf("%.4f\n", median(took, RUNS));
    free(reference);
    free(current);
}

int main(int argc, char **argv) {
    if (argc == 4 && atoi(argv[3]) > 0) {
        files(argv[1], argv[2], atoi(argv[3]));
        return 0;
    }
    double load[1] = {NAN};
    if (getloadavg(load, 1) == 1) printf("load %.1f\n", load[0]);
    updates("a number of many values", WEIR_DRIFT_NUMBER, normal);
    updates("a number of 20 values", WEIR_DRIFT_NUMBER, count_of);
    updates("a category of 3000", WEIR_DRIFT_CATEGORY, category);
    table();
    wide(argc > 1 ? atoll(argv[1]) : 30000);
    return 0;
}
