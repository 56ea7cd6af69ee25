/* The tuning engine for tests that judge it from outside.
 *
 *   optimise FUNCTION SAMPLER SETTINGS TRIALS SEEDS     the best value of each seed 0 … SEEDS − 1, a line each; FUNCTION: branin, hartmann6, mixed, mixed_conditional
 *   front SAMPLER SETTINGS TRIALS SEEDS                 ZDT1 with 6 parameters: a line a seed, the losses of the front as a JSON array of pairs
 *   points SPACE SAMPLER SETTINGS TRIALS SEED           the parameters asked for, a line of JSON each; every trial is told 0
 *   density SPACE PRIOR POINTS WEIGHTS QUERIES          log densities of the Parzen estimator over all parameters of SPACE, a line a query; POINTS and
 *                                                       QUERIES are arrays of objects
 *   serve SPACE SAMPLER SETTINGS TRIALS SEED            a line of parameters, then reads the loss from a line, and so on: for objectives that others compute
 *   overhead DIMENSIONS TRIALS                          microseconds of the last 20 asks of a TPE study, a line each */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/parzen.h"
#include "models/study.h"

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void must(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail(err->message);
}

static double number(const cJSON *params, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(params, name);
    if (!cJSON_IsNumber(item)) fail(name);
    return item->valuedouble;
}

/* Dixon and Szegö 1978; minimum 0.397887. */
static double branin(const cJSON *p) {
    double x = number(p, "x1"), y = number(p, "x2"), a = y - 5.1 / (4 * M_PI * M_PI) * x * x + 5 / M_PI * x - 6;
    return a * a + 10 * (1 - 1 / (8 * M_PI)) * cos(x) + 10;
}

/* Dixon and Szegö 1978; minimum −3.32237. */
static double hartmann6(const cJSON *params) {
    static const double alpha[4] = {1, 1.2, 3, 3.2};
    static const double a[4][6] = {{10, 3, 17, 3.5, 1.7, 8}, {.05, 10, 17, .1, 8, 14}, {3, 3.5, 1.7, 10, 17, 8}, {17, 8, .05, 10, .1, 14}};
    static const double p[4][6] = {
        {1312, 1696, 5569, 124, 8283, 5886}, {2329, 4135, 8307, 3736, 1004, 9991}, {2348, 1451, 3522, 2883, 3047, 6650}, {4047, 8828, 8732, 5743, 1091, 381}};
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        double inner = 0;
        for (int j = 0; j < 6; j++) {
            char name[8];
            snprintf(name, sizeof name, "x%d", j);
            double d = number(params, name) - 1e-4 * p[i][j];
            inner += a[i][j] * d * d;
        }
        sum += alpha[i] * exp(-inner);
    }
    return -sum;
}

/* Numbers on a log scale, whole numbers, steps and a choice, as boosted trees have them; minimum 0. */
static double mixed(const cJSON *p) {
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(p, "kind"));
    double eta = log10(number(p, "eta")) + 1.5, depth = (number(p, "depth") - 6) / 4, leaves = log2(number(p, "leaves")) - 5, rate = number(p, "rate") - 0.8;
    return eta * eta + depth * depth + leaves * leaves / 10 + 4 * rate * rate + (!strcmp(kind, "a") ? 0.5 : !strcmp(kind, "b") ? 0 : 1);
}

/* Which parameters there are depends on a choice; minimum 0. */
static double mixed_conditional(const cJSON *p) {
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(p, "kind"));
    double x = number(p, "x") - 0.3;
    if (!strcmp(kind, "poly")) return x * x + 0.2 + (number(p, "degree") - 3) * (number(p, "degree") - 3) / 10;
    double gamma = log10(number(p, "gamma")) + 2;
    return x * x + gamma * gamma / 5;
}

static const struct {
    const char *name, *space;
    double (*at)(const cJSON *params);
} functions[] = {
    {"branin", "{\"x1\": {\"float\": [-5, 10]}, \"x2\": {\"float\": [0, 15]}}", branin},
    {"hartmann6",
     "{\"x0\": {\"float\": [0, 1]}, \"x1\": {\"float\": [0, 1]}, \"x2\": {\"float\": [0, 1]}, \"x3\": {\"float\": [0, 1]}, \"x4\": {\"float\": [0, 1]}, "
     "\"x5\": {\"float\": [0, 1]}}",
     hartmann6},
    {"mixed",
     "{\"eta\": {\"float\": [0.001, 1], \"log\": true}, \"depth\": {\"int\": [2, 12]}, \"leaves\": {\"int\": [1, 1024], \"log\": true}, \"rate\": {\"float\": "
     "[0.5, 1], \"step\": 0.1},"
     " \"kind\": [\"a\", \"b\", \"c\", \"d\"]}",
     mixed},
    {"mixed_conditional",
     "{\"kind\": [\"poly\", \"rbf\"], \"x\": {\"float\": [0, 1]}, \"degree\": {\"int\": [2, 5], \"when\": {\"kind\": [\"poly\"]}},"
     " \"gamma\": {\"float\": [1e-5, 10], \"log\": true, \"when\": {\"kind\": [\"rbf\"]}}}",
     mixed_conditional},
};

static cJSON *parse(const char *text) {
    cJSON *json = cJSON_Parse(text);
    if (!json) fail(text);
    return json;
}

static weir_study *new_study(const char *space_text, const char *sampler, const char *settings_text, uint64_t seed, int objective_count) {
    cJSON *space = parse(space_text), *settings = parse(settings_text);
    weir_study *study;
    weir_err err;
    must(weir_study_new(
             &(weir_study_settings){.space = space, .sampler = sampler, .sampler_settings = settings, .seed = seed, .objective_count = objective_count}, "$",
             &study, &err),
         &err);
    cJSON_Delete(space);
    cJSON_Delete(settings);
    return study;
}

static void optimise(char **args) {
    size_t f = 0;
    while (f < sizeof functions / sizeof *functions && strcmp(functions[f].name, args[0]) != 0) f++;
    if (f == sizeof functions / sizeof *functions) fail(args[0]);
    for (int seed = 0; seed < atoi(args[4]); seed++) {
        weir_study *study = new_study(functions[f].space, args[1], args[2], (uint64_t)seed, 1);
        weir_err err;
        int trial;
        for (int i = 0; i < atoi(args[3]); i++) {
            cJSON *params;
            must(weir_study_ask(study, &trial, &params, &err), &err);
            must(weir_study_tell(study, trial, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {functions[f].at(params)}}, &err), &err);
            cJSON_Delete(params);
        }
        must(weir_study_best(study, &trial, &err), &err);
        printf("%.17g\n", weir_study_history(study)->trials[trial].values[0]);
        weir_study_free(study);
    }
}

/* Zitzler, Deb, Thiele, Comparison of multiobjective evolutionary algorithms, 2000: the front is x1 … x5 = 0, f2 = 1 − √f1. */
static void zdt1(const cJSON *params, double f[2]) {
    double sum = 0;
    for (int j = 1; j < 6; j++) {
        char name[8];
        snprintf(name, sizeof name, "x%d", j);
        sum += number(params, name);
    }
    double g = 1 + 9 * sum / 5;
    f[0] = number(params, "x0");
    f[1] = g * (1 - sqrt(f[0] / g));
}

static void serve(char **args) {
    weir_study *study = new_study(args[0], args[1], args[2], strtoull(args[4], NULL, 10), 1);
    for (int i = 0; i < atoi(args[3]); i++) {
        char line[64], *text;
        cJSON *params;
        weir_err err;
        int trial;
        must(weir_study_ask(study, &trial, &params, &err), &err);
        puts(text = cJSON_PrintUnformatted(params));
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) fail("no loss to read");
        must(weir_study_tell(study, trial, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {strtod(line, NULL)}}, &err), &err);
        cJSON_free(text);
        cJSON_Delete(params);
    }
    weir_study_free(study);
}

static void front(char **args) {
    for (int seed = 0; seed < atoi(args[3]); seed++) {
        weir_study *study = new_study(functions[1].space, args[0], args[1], (uint64_t)seed, 2);
        int count = atoi(args[2]), front_count, trial, *numbers = calloc((size_t)count, sizeof *numbers);
        weir_err err;
        if (!numbers) fail("memory");
        for (int i = 0; i < count; i++) {
            cJSON *params;
            weir_outcome outcome = {.state = WEIR_TRIAL_COMPLETE};
            must(weir_study_ask(study, &trial, &params, &err), &err);
            zdt1(params, outcome.values);
            must(weir_study_tell(study, trial, &outcome, &err), &err);
            cJSON_Delete(params);
        }
        must(weir_study_front(study, numbers, &front_count, &err), &err);
        for (int i = 0; i < front_count; i++) {
            const double *values = weir_study_history(study)->trials[numbers[i]].values;
            printf("%s[%.17g, %.17g]", i ? ", " : "[", values[0], values[1]);
        }
        printf("]\n");
        free(numbers);
        weir_study_free(study);
    }
}

static void points(char **args) {
    weir_study *study = new_study(args[0], args[1], args[2], strtoull(args[4], NULL, 10), 1);
    weir_err err;
    for (int i = 0; i < atoi(args[3]); i++) {
        int trial;
        cJSON *params;
        must(weir_study_ask(study, &trial, &params, &err), &err);
        must(weir_study_tell(study, trial, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE}, &err), &err);
        char *text = cJSON_PrintUnformatted(params);
        if (!text) fail("memory");
        puts(text);
        cJSON_free(text);
        cJSON_Delete(params);
    }
    weir_study_free(study);
}

static const double **read_points(const weir_space *space, const cJSON *array) {
    int count = cJSON_GetArraySize(array), size = weir_space_size(space);
    double *values = calloc((size_t)(count * size) + 1, sizeof *values);
    const double **rows = calloc((size_t)count + 1, sizeof *rows);
    weir_err err;
    if (!values || !rows) fail("memory");
    for (int i = 0; i < count; i++) {
        must(weir_space_point(space, cJSON_GetArrayItem(array, i), &values[i * size], &err), &err);
        rows[i] = &values[i * size];
    }
    rows[count] = values;
    return rows;
}

static void density(char **args) {
    cJSON *json = parse(args[0]), *observed = parse(args[2]), *weights = parse(args[3]), *asked = parse(args[4]);
    int count = cJSON_GetArraySize(observed), query_count = cJSON_GetArraySize(asked), params[WEIR_SPACE_PARAMS_MAX];
    weir_space *space;
    weir_arena arena;
    weir_err err;
    const weir_parzen *parzen;
    weir_arena_init(&arena, SIZE_MAX);
    must(weir_space_new(json, "$", &space, &err), &err);
    for (int i = 0; i < weir_space_size(space); i++) params[i] = i;
    const double **rows = read_points(space, observed), **queries = read_points(space, asked);
    double *weight = calloc((size_t)count + 1, sizeof *weight), *out = calloc((size_t)query_count + 1, sizeof *out);
    if (!weight || !out) fail("memory");
    for (int i = 0; i < count; i++) weight[i] = cJSON_GetArrayItem(weights, i)->valuedouble;
    must(weir_parzen_new(space, params, weir_space_size(space), rows, weight, count, atof(args[1]), &arena, &parzen, &err), &err);
    must(weir_parzen_log_density(parzen, queries, query_count, &arena, out, &err), &err);
    for (int i = 0; i < query_count; i++) printf("%.17g\n", out[i]);
    free((void *)rows[count]);
    free((void *)queries[query_count]);
    free(rows);
    free(queries);
    free(weight);
    free(out);
    weir_arena_done(&arena);
    weir_space_free(space);
    cJSON_Delete(json);
    cJSON_Delete(observed);
    cJSON_Delete(weights);
    cJSON_Delete(asked);
}

static void overhead(char **args) {
    int dimensions = atoi(args[0]), trials = atoi(args[1]);
    cJSON *space = cJSON_CreateObject();
    for (int i = 0; i < dimensions; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        cJSON_AddItemToObject(space, name, parse("{\"float\": [0, 1]}"));
    }
    char *text = cJSON_PrintUnformatted(space);
    weir_study *study = new_study(text, "tpe", "{}", 1, 1);
    weir_clock *clock = weir_clock_system();
    weir_err err;
    for (int i = 0; i < trials; i++) {
        int trial;
        cJSON *params;
        weir_outcome outcome = {.state = WEIR_TRIAL_COMPLETE};
        int64_t before_us = weir_clock_mono_us(clock);
        must(weir_study_ask(study, &trial, &params, &err), &err);
        if (i >= trials - 20) printf("%" PRId64 "\n", weir_clock_mono_us(clock) - before_us);
        for (const cJSON *item = params->child; item; item = item->next) outcome.values[0] += (item->valuedouble - 0.3) * (item->valuedouble - 0.3);
        must(weir_study_tell(study, trial, &outcome, &err), &err);
        cJSON_Delete(params);
    }
    weir_study_free(study);
    cJSON_free(text);
    cJSON_Delete(space);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int args;
        void (*run)(char **args);
    } commands[] = {{"optimise", 5, optimise}, {"front", 4, front}, {"points", 5, points},
                    {"density", 5, density},   {"serve", 5, serve}, {"overhead", 2, overhead}};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (argc < 2 || strcmp(argv[1], commands[i].name) != 0) continue;
        if (argc != 2 + commands[i].args) fail("wrong number of arguments");
        commands[i].run(argv + 2);
        return 0;
    }
    fail("expected optimise, front, points, density, serve or overhead");
}
