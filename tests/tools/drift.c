/* Drift statistics for tests and for the tables of docs/drift.md.
 *
 *   test FILE TYPE STATISTIC N M [CUTS]   values of both sides as doubles in FILE, the reference's N first; prints value, p, effect, sizes, whether sampled. With CUTS each side
 *                                         is profiled in so many pieces of their own seeds, sent through bytes, and merged
 *   detect FILE KIND [SETTING=VALUE]…     index, 1 (warning) or 2 (drift) for each value of FILE that gives one
 *   windows N M ROUNDS ALPHA             30 columns of every shape, without drift: shares of windows in which any column was called drifted, and whose severity was high
 *   tenants TENANTS N M ROUNDS RATE      the same of 12 columns for each of so many tenants, which share the rate: shares of windows in which any tenant's column was called drifted, in which any
 *                                         tenant's severity was high, and in which any column would have been called drifted if each tenant had the whole rate
 *   rates SHAPE N M ROUNDS [CHANGE]       how often p is at most 0.05, 0.01 and 0.001, and how often drift is called, over windows drawn at random */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/detect.h"
#include "features/drift.h"
#include "producers/random.h"

static int refuse(const char *why) {
    fprintf(stderr, "drift: %s\n", why);
    return 2;
}

static double *read_doubles(const char *path, int64_t *ret_count) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) exit(refuse("no such file"));
    long size = ftell(file);
    rewind(file);
    double *values = malloc((size_t)size + 1);
    if (!values || fread(values, 1, (size_t)size, file) != (size_t)size) exit(refuse("the file cannot be read"));
    fclose(file);
    *ret_count = size / (long)sizeof(*values);
    return values;
}

static int type_of(const char *name) {
    for (int i = WEIR_DRIFT_NUMBER; i <= WEIR_DRIFT_CATEGORY; i++)
        if (!strcmp(weir_drift_type_names[i], name)) return i;
    exit(refuse("no such type"));
}

static weir_drift_profile *new_profile(weir_drift_type type, uint64_t seed) {
    weir_drift_profile *profile = weir_drift_profile_new(type, WEIR_DRIFT_FEATURE, seed);
    if (!profile) exit(refuse("no memory"));
    return profile;
}

/* --- test --- */

static weir_drift_profile *through_bytes(weir_drift_profile *profile) {
    weir_buf bytes = {0};
    weir_err err = {0};
    weir_drift_profile *again = NULL;
    if (!weir_drift_profile_encode(profile, &bytes) || weir_drift_profile_decode(bytes.data, bytes.len, &again, &err)) exit(refuse(err.message));
    weir_buf_done(&bytes);
    weir_drift_profile_free(profile);
    return again;
}

static weir_drift_profile *profile_of(const double *values, int64_t count, weir_drift_type type, int64_t cuts, uint64_t seed) {
    weir_drift_profile *whole = new_profile(type, seed);
    for (int64_t piece = 0; piece < cuts; piece++) {
        weir_drift_profile *part = new_profile(type, seed + 1 + (uint64_t)piece);
        weir_err err = {0};
        for (int64_t i = count * piece / cuts; i < count * (piece + 1) / cuts; i++) weir_drift_profile_add(part, values[i]);
        if (cuts > 1) part = through_bytes(part);
        if (weir_drift_profile_merge(whole, part, &err)) exit(refuse(err.message));
        weir_drift_profile_free(part);
    }
    return whole;
}

static int find_statistic(const char *name) {
    for (int i = 0; i < WEIR_DRIFT_STATISTICS; i++)
        if (!strcmp(weir_drift_statistic_names[i], name)) return i;
    exit(refuse("no such statistic"));
}

static int test(int argc, char **argv) {
    if (argc < 5) return refuse("test FILE TYPE STATISTIC N M [CUTS]");
    int64_t count, n = atoll(argv[3]), m = atoll(argv[4]), cuts = argc > 5 ? atoll(argv[5]) : 1;
    double *values = read_doubles(argv[0], &count);
    if (count != n + m) return refuse("the file has not N + M values");
    weir_drift_type type = (weir_drift_type)type_of(argv[1]);
    weir_drift_profile *reference = profile_of(values, n, type, cuts, 1000), *current = profile_of(values + n, m, type, cuts, 2000);
    weir_drift_test t;
    weir_err err = {0};
    if (weir_drift_test_columns(reference, current, (weir_drift_statistic)find_statistic(argv[2]), &weir_drift_defaults, &t, &err)) return refuse(err.message);
    printf("%s %.17g %.17g %.17g %lld %lld %d\n", weir_drift_statistic_names[t.statistic], t.value, t.p, t.effect, (long long)t.reference_count,
           (long long)t.current_count, t.sampled);
    weir_drift_profile_free(reference);
    weir_drift_profile_free(current);
    free(values);
    return 0;
}

/* --- detect --- */

static void set(weir_detect_settings *settings, char *text) {
    char *value = strchr(text, '=');
    if (!value) exit(refuse("a setting is NAME=VALUE"));
    *value++ = 0;
    double number = atof(value);
    if (!strcmp(text, "delta")) settings->delta = number;
    if (!strcmp(text, "threshold")) settings->threshold = number;
    if (!strcmp(text, "warning")) settings->warning = number;
    if (!strcmp(text, "forget")) settings->forget = number;
    if (!strcmp(text, "min_count")) settings->min_count = (int)number;
    if (!strcmp(text, "clock")) settings->clock = (int)number;
    if (!strcmp(text, "direction")) settings->direction = (weir_detect_direction)number;
}

static int detect(int argc, char **argv) {
    if (argc < 2 || weir_detect_kind_find(argv[1]) < 0) return refuse("detect FILE KIND [SETTING=VALUE]…");
    weir_detect_settings settings = {.kind = (weir_detect_kind)weir_detect_kind_find(argv[1])};
    int64_t count;
    double *values = read_doubles(argv[0], &count);
    for (int i = 2; i < argc; i++) set(&settings, argv[i]);
    weir_detector detector;
    weir_err err = {0};
    if (weir_detector_init(&detector, &settings, &err)) return refuse(err.message);
    for (int64_t i = 0; i < count; i++) {
        weir_detection found = weir_detector_update(&detector, values[i]);
        if (found) printf("%lld %d\n", (long long)i, found);
    }
    printf("end %.17g %llu\n", weir_detector_mean(&detector), (unsigned long long)weir_detector_width(&detector));
    free(values);
    return 0;
}

/* --- rates --- */

enum { CATEGORIES = 60, RATES = 10 };

typedef struct shape {
    const char *name;
    weir_drift_type type;
    double (*value)(weir_random *random);
} shape;

static double normal(weir_random *r) {
    return weir_random_normal(r, 0, 1);
}

/* Student's t with two degrees of freedom: a variance that is infinite. */
static double heavy(weir_random *r) {
    return normal(r) / __builtin_sqrt(-weir_portable_log(weir_random_unit(r)));
}

static double few(weir_random *r) {
    return weir_random_poisson(r, 2);
}

/* Shares as 1 / k². */
static double category(weir_random *r) {
    double sum = 0, at;
    for (int k = 1; k <= CATEGORIES; k++) sum += 1.0 / (k * k);
    at = weir_random_unit(r) * sum;
    int k = 1;
    while (k < CATEGORIES && (at -= 1.0 / (k * k)) > 0) k++;
    return k;
}

static double boolean(weir_random *r) {
    return weir_random_unit(r) < 0.05;
}

/* 4 % missing. */
static double holes(weir_random *r) {
    return weir_random_unit(r) < 0.04 ? __builtin_nan("") : normal(r);
}

static const shape shapes[] = {{"normal", WEIR_DRIFT_NUMBER, normal},       {"heavy", WEIR_DRIFT_NUMBER, heavy},   {"few", WEIR_DRIFT_NUMBER, few},
                               {"category", WEIR_DRIFT_CATEGORY, category}, {"boolean", WEIR_DRIFT_BOOL, boolean}, {"holes", WEIR_DRIFT_NUMBER, holes}};

static double change(const char *name, double value, weir_random *random) {
    if (!strcmp(name, "shift")) return value + 0.2;
    if (!strcmp(name, "variance")) return value * __builtin_sqrt(1.5);
    if (!strcmp(name, "new")) return weir_random_unit(random) < 0.05 ? 1000 : value;
    if (!strcmp(name, "double")) return value != 0 || weir_random_unit(random) < 0.05 / 0.95;
    if (!strcmp(name, "missing")) return weir_random_unit(random) < 0.05 ? __builtin_nan("") : value;
    return value;
}

static void fill(weir_drift_profile *profile, const shape *s, int64_t count, const char *changed, weir_random *random) {
    for (int64_t i = 0; i < count; i++) weir_drift_profile_add(profile, change(changed, s->value(random), random));
}

static void print_rates(const shape *s, int64_t n, int64_t m, const char *changed, int64_t rounds, int64_t counts[][RATES]) {
    for (int k = 0; k < WEIR_DRIFT_STATISTICS; k++)
        if (counts[k][4])
            printf("%s %lld %lld %s %s %.4f %.4f %.4f %.4f %.4f\n", s->name, (long long)n, (long long)m, changed, weir_drift_statistic_names[k],
                   (double)counts[k][0] / (double)rounds, (double)counts[k][1] / (double)rounds, (double)counts[k][2] / (double)rounds,
                   (double)counts[k][3] / (double)rounds, (double)counts[k][5] / (double)rounds);
}

static int rates(int argc, char **argv) {
    if (argc < 4) return refuse("rates SHAPE N M ROUNDS [CHANGE]");
    const shape *s = NULL;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        if (!strcmp(shapes[i].name, argv[0])) s = &shapes[i];
    if (!s) return refuse("no such shape");
    int64_t n = atoll(argv[1]), m = atoll(argv[2]), rounds = atoll(argv[3]), counts[WEIR_DRIFT_STATISTICS][RATES] = {0};
    const char *changed = argc > 4 ? argv[4] : "none";
    weir_drift_profile *reference = new_profile(s->type, 0), *current = new_profile(s->type, 0);
    weir_random random;
    weir_random_init(&random, 20);
    for (int64_t round = 0; round < rounds; round++) {
        weir_drift_settings settings = weir_drift_defaults;
        settings.seed = (uint64_t)round;
        weir_drift_profile_clear(reference, 2 * (uint64_t)round);
        weir_drift_profile_clear(current, 2 * (uint64_t)round + 1);
        fill(reference, s, n, "none", &random);
        fill(current, s, m, changed, &random);
        for (int k = 1; k < WEIR_DRIFT_STATISTICS; k++) {
            weir_drift_test t;
            weir_err err = {0};
            if (weir_drift_test_columns(reference, current, (weir_drift_statistic)k, &settings, &t, &err)) continue;
            counts[k][0] += t.p <= 0.05;
            counts[k][1] += t.p <= 0.01;
            counts[k][2] += t.p <= 0.001;
            counts[k][3] += t.p <= 0.05 && t.effect >= t.threshold;
            counts[k][4]++;
            counts[k][5] += t.p <= 0.0001;
        }
    }
    print_rates(s, n, m, changed, rounds, counts);
    weir_drift_profile_free(reference);
    weir_drift_profile_free(current);
    return 0;
}

/* --- windows --- */

enum { SHAPES = sizeof(shapes) / sizeof(*shapes), COLUMNS = 30, TENANT_COLUMNS = 12 };

/* Columns of every shape several times, twice: a reference and a window. */
typedef struct calm {
    int columns;
    int64_t n, m;
    double alpha;
    weir_drift_table *sides[2];
    weir_random random;
} calm;

static void begin_calm(calm *c) {
    char names[COLUMNS][16];
    weir_drift_field fields[COLUMNS];
    weir_err err = {0};
    weir_random_init(&c->random, 21);
    for (int i = 0; i < c->columns; i++) {
        snprintf(names[i], sizeof(names[i]), "c%d", i);
        fields[i] = (weir_drift_field){names[i], shapes[i % SHAPES].type, WEIR_DRIFT_FEATURE};
    }
    for (int side = 0; side < 2; side++)
        if (weir_drift_table_new(fields, c->columns, 1, &c->sides[side], &err)) exit(refuse(err.message));
}

static void end_calm(calm *c) {
    weir_drift_table_free(c->sides[0]);
    weir_drift_table_free(c->sides[1]);
}

/* All columns of a window without drift are judged together, as the drift worker does. */
static weir_drift_report *judge_calm(calm *c, int64_t turn) {
    weir_drift_settings settings = weir_drift_defaults;
    weir_drift_report *report = NULL;
    weir_err err = {0};
    settings.seed = (uint64_t)turn;
    settings.alpha = c->alpha;
    for (int side = 0; side < 2; side++) {
        weir_drift_table_clear(c->sides[side], (uint64_t)(2 * turn + side) * (uint64_t)c->columns);
        for (int i = 0; i < c->columns; i++) fill(weir_drift_table_profile(c->sides[side], i), &shapes[i % SHAPES], side ? c->m : c->n, "none", &c->random);
    }
    if (weir_drift_compare(c->sides[0], c->sides[1], NULL, &settings, &report, &err)) exit(refuse(err.message));
    return report;
}

static int windows(int argc, char **argv) {
    if (argc < 4) return refuse("windows N M ROUNDS ALPHA");
    calm c = {.columns = COLUMNS, .n = atoll(argv[0]), .m = atoll(argv[1]), .alpha = atof(argv[3])};
    int64_t rounds = atoll(argv[2]), any = 0, high = 0;
    begin_calm(&c);
    for (int64_t round = 0; round < rounds; round++) {
        weir_drift_report *report = judge_calm(&c, round);
        any += report->drifted_features > 0;
        high += report->severity >= WEIR_DRIFT_HIGH;
        weir_drift_report_free(report);
    }
    printf("%lld %.6f %.6f\n", (long long)rounds, (double)any / (double)rounds, (double)high / (double)rounds);
    end_calm(&c);
    return 0;
}

/* --- tenants --- */

/* Whether a column would be called drifted if the comparison had the whole rate for itself. */
static bool drifts_at(const weir_drift_report *report, double rate) {
    for (int i = 0; i < report->column_count; i++)
        for (int k = 0; k < report->columns[i].test_count; k++)
            if (report->columns[i].tests[k].adjusted_p <= rate && report->columns[i].tests[k].effect >= report->columns[i].tests[k].threshold) return true;
    return false;
}

static int tenants(int argc, char **argv) {
    if (argc < 5) return refuse("tenants TENANTS N M ROUNDS RATE");
    int count = atoi(argv[0]);
    int64_t rounds = atoll(argv[3]), any = 0, high = 0, alone = 0;
    double rate = atof(argv[4]);
    calm c = {.columns = TENANT_COLUMNS, .n = atoll(argv[1]), .m = atoll(argv[2]), .alpha = weir_drift_share_of_rate(rate, count)};
    begin_calm(&c);
    for (int64_t round = 0; round < rounds; round++) {
        bool drifted = false, alarmed = false, uncorrected = false;
        for (int tenant = 0; tenant < count; tenant++) {
            weir_drift_report *report = judge_calm(&c, round * count + tenant);
            drifted |= report->drifted_features > 0;
            alarmed |= report->severity >= WEIR_DRIFT_HIGH;
            uncorrected |= drifts_at(report, rate);
            weir_drift_report_free(report);
        }
        any += drifted;
        high += alarmed;
        alone += uncorrected;
    }
    printf("%lld %.6f %.6f %.6f\n", (long long)rounds, (double)any / (double)rounds, (double)high / (double)rounds, (double)alone / (double)rounds);
    end_calm(&c);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "test")) return test(argc - 2, argv + 2);
    if (argc > 1 && !strcmp(argv[1], "detect")) return detect(argc - 2, argv + 2);
    if (argc > 1 && !strcmp(argv[1], "rates")) return rates(argc - 2, argv + 2);
    if (argc > 1 && !strcmp(argv[1], "windows")) return windows(argc - 2, argv + 2);
    if (argc > 1 && !strcmp(argv[1], "tenants")) return tenants(argc - 2, argv + 2);
    return refuse("test | detect | rates | windows | tenants");
}
