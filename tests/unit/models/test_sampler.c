#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "models/parzen.h"
#include "models/study.h"
#include "tests/unit/starve.h"

static const char everything[] = "{\"depth\": {\"int\": [2, 10]}, \"eta\": {\"float\": [0.01, 0.3], \"log\": true}, \"kernel\": [\"rbf\", \"poly\", null], "
                                 "\"degree\": {\"int\": [2, 5], \"when\": {\"kernel\": [\"poly\"]}},"
                                 " \"n\": {\"int\": [1, 1024], \"log\": true}, \"one\": {\"float\": [3, 3]}, \"subsample\": {\"float\": [0.5, 1.0], \"step\": "
                                 "0.1}, \"x\": {\"float\": [-1, 1]}}";

static weir_study *study_of(const char *space_text, const char *sampler, const char *settings_text, uint64_t seed, int objective_count) {
    cJSON *space = cJSON_Parse(space_text), *settings = settings_text ? cJSON_Parse(settings_text) : NULL;
    weir_study *study = NULL;
    weir_err err;
    weir_study_settings s = {.space = space, .sampler = sampler, .sampler_settings = settings, .seed = seed, .objective_count = objective_count};
    if (weir_study_new(&s, "$", &study, &err) != WEIR_OK) fail_msg("%s", err.message);
    cJSON_Delete(space);
    cJSON_Delete(settings);
    return study;
}

static const double *ask(weir_study *study) {
    int number;
    cJSON *params;
    weir_err err;
    if (weir_study_ask(study, &number, &params, &err) != WEIR_OK) fail_msg("%s", err.message);
    cJSON_Delete(params);
    return weir_study_history(study)->trials[number].point;
}

static void tell(weir_study *study, double a, double b) {
    weir_err err;
    int number = weir_study_history(study)->trial_count - 1;
    if (weir_study_tell(study, number, &(weir_outcome){.state = WEIR_TRIAL_COMPLETE, .values = {a, b}}, &err) != WEIR_OK) fail_msg("%s", err.message);
}

/* Parameters of `everything`: depth, eta, kernel, degree, n, one, subsample, x. */
static double loss_of(const double *point) {
    return fabs(log(point[1]) - log(0.05)) + fabs(point[7] - 0.5) + fabs(point[0] - 4) / 8 + (point[2] == 1 ? fabs(point[3] - 3) : 2);
}

static void a_grid_is_every_combination_in_order(void **state) {
    (void)state;
    weir_study *study = study_of("{\"a\": [\"x\", \"y\"], \"b\": {\"int\": [1, 2], \"when\": {\"a\": [\"y\"]}}, \"c\": {\"float\": [0, 0.5], \"step\": 0.25}}",
                                 "grid", NULL, 0, 1);
    const double expected[][3] = {{0, NAN, 0}, {0, NAN, 0.25}, {0, NAN, 0.5}, {1, 1, 0}, {1, 1, 0.25}, {1, 1, 0.5}, {1, 2, 0}, {1, 2, 0.25}, {1, 2, 0.5}};
    for (int i = 0; i < 9; i++) {
        assert_null(weir_study_over(study));
        const double *point = ask(study);
        for (int p = 0; p < 3; p++) assert_true(point[p] == expected[i][p] || (isnan(point[p]) && isnan(expected[i][p])));
    }
    assert_string_equal(weir_study_over(study), "space");
    int number;
    cJSON *params;
    weir_err err;
    assert_int_equal(weir_study_ask(study, &number, &params, &err), WEIR_ELIMIT);
    weir_study_free(study);
}

static void a_grid_of_the_training_files_form_gives_its_values(void **state) {
    (void)state;
    weir_study *study = study_of("{\"max_depth\": [5, 10, 15, null]}", "grid", NULL, 0, 1);
    const char *expected[] = {"{\"max_depth\":5}", "{\"max_depth\":10}", "{\"max_depth\":15}", "{\"max_depth\":null}"};
    for (int i = 0; i < 4; i++) {
        int number;
        cJSON *params;
        assert_int_equal(weir_study_ask(study, &number, &params, NULL), WEIR_OK);
        char *text = cJSON_PrintUnformatted(params);
        assert_string_equal(text, expected[i]);
        cJSON_free(text);
        cJSON_Delete(params);
    }
    weir_study_free(study);
}

static void a_grid_refuses_what_it_cannot_list(void **state) {
    (void)state;
    const char *spaces[] = {"{\"x\": {\"float\": [0, 1]}}", "{\"a\": {\"int\": [1, 1000]}, \"b\": {\"int\": [1, 1000]}}"};
    const char *messages[] = {"$.space: a grid cannot list the values of 'x'", "$.space: a grid has more than 100000 combinations"};
    for (int i = 0; i < 2; i++) {
        cJSON *space = cJSON_Parse(spaces[i]);
        weir_study *study = NULL;
        weir_err err;
        assert_int_equal(weir_study_new(&(weir_study_settings){.space = space, .sampler = "grid"}, "$", &study, &err), WEIR_EINVAL);
        assert_non_null(strstr(err.message, messages[i]));
        cJSON_Delete(space);
    }
}

/* Whatever the sampler, and whatever it has learnt: inside the bounds, on the steps, and there only when its condition holds. */
static void every_sampler_stays_within_the_space(void **state) {
    (void)state;
    const char *settings[] = {NULL, NULL, "{\"multivariate\": \"no\"}", "{\"multivariate\": \"yes\", \"prior_weight\": 0.01}"};
    for (int s = 1; s < 4; s++) {
        weir_study *study = study_of(everything, s == 1 ? "random" : "tpe", settings[s], 7, 1);
        const weir_space *space = weir_study_space(study);
        assert_string_equal(weir_space_at(space, 3)->name, "degree"); /* after its parent */
        for (int i = 0; i < 200; i++) {
            const double *point = ask(study);
            for (int p = 0; p < weir_space_size(space); p++) {
                const weir_param *param = weir_space_at(space, p);
                assert_int_equal(isnan(point[p]), !weir_space_active(space, p, point));
                if (isnan(point[p])) continue;
                assert_true(point[p] >= param->low && point[p] <= param->high);
                assert_true(weir_param_snap(param, point[p]) == point[p]);
            }
            if (i % 7 != 3) tell(study, loss_of(point), 0); /* some stay running */
        }
        weir_study_free(study);
    }
}

static void random_draws_are_even_over_steps_choices_and_scales(void **state) {
    (void)state;
    enum { DRAWS = 60000 };
    weir_study *study =
        study_of("{\"c\": [1, 2, 3], \"f\": {\"float\": [0.5, 1], \"step\": 0.1}, \"i\": {\"int\": [2, 7]}, \"l\": {\"float\": [0.001, 1000], \"log\": true}}",
                 "random", NULL, 3, 1);
    const weir_trials *h = weir_study_history(study);
    int choice[3] = {0}, step[6] = {0}, whole[6] = {0}, decade[6] = {0};
    double point[4];
    for (int i = 0; i < DRAWS; i++) {
        assert_int_equal(weir_sampler_random.suggest(NULL, h, i, 3, point, NULL), WEIR_OK);
        choice[(int)point[0]]++;
        step[(int)floor((point[1] - 0.5) / 0.1 + 0.5)]++;
        whole[(int)point[2] - 2]++;
        decade[(int)fmin(5, floor(log10(point[3]) + 3))]++;
    }
    /* 5 standard deviations of a count with p = 1/6: 5 √(60000 · 5/36) ≈ 456; with p = 1/3: 577 */
    for (int k = 0; k < 3; k++) assert_in_range(choice[k], 20000 - 577, 20000 + 577);
    for (int k = 0; k < 6; k++) {
        assert_in_range(step[k], 10000 - 456, 10000 + 456);
        assert_in_range(whole[k], 10000 - 456, 10000 + 456);
        assert_in_range(decade[k], 10000 - 456, 10000 + 456);
    }
    weir_study_free(study);
}

static void draws_are_uniform_and_normal(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    weir_draw draw = weir_draw_of(1, 0);
    double sum = 0, squares = 0, uniform = 0;
    for (int i = 0; i < DRAWS; i++) {
        double z = weir_draw_normal(&draw), u = weir_draw_uniform(&draw);
        assert_true(u > 0 && u < 1 && isfinite(z));
        sum += z;
        squares += z * z;
        uniform += u;
    }
    assert_float_equal(sum / DRAWS, 0, 5 / sqrt(DRAWS));
    assert_float_equal(squares / DRAWS, 1, 5 * sqrt(2.0 / DRAWS));
    assert_float_equal(uniform / DRAWS, 0.5, 5 * sqrt(1.0 / 12 / DRAWS));
}

/* One observation at 0.25 of [0, 1] with weight 1, prior weight 1. Kernel: mean 0.25, deviation max(0.25, 0.75) = 0.75 (least: 1/3); prior: mean 0.5,
 * deviation 1. */
static void the_density_by_hand(void **state) {
    (void)state;
    cJSON *json = cJSON_Parse("{\"c\": [\"a\", \"b\", \"c\"], \"x\": {\"float\": [0, 1]}}");
    weir_space *space;
    weir_arena arena;
    const weir_parzen *parzen;
    weir_arena_init(&arena, 1 << 20);
    assert_int_equal(weir_space_new(json, "$", &space, NULL), WEIR_OK);
    const double observed[2] = {1, 0.25}, weight[1] = {1}, query[2] = {1, 0.5}, other[2] = {0, 0.5};
    const double *points[1] = {observed}, *queries[2] = {query, other};
    double out[2];
    assert_int_equal(weir_parzen_new(space, (const int[]){1}, 1, points, weight, 1, 1, &arena, &parzen, NULL), WEIR_OK);
    assert_int_equal(weir_parzen_log_density(parzen, queries, 1, &arena, out, NULL), WEIR_OK);
    double z = 0.25 / 0.75, mass = 0.5 * (erf(1 / M_SQRT2) + erf(1.0 / 3 / M_SQRT2)), prior_mass = erf(0.5 / M_SQRT2);
    assert_float_equal(out[0], log(0.5 * exp(-z * z / 2) / 0.75 / mass + 0.5 / prior_mass), 1e-12); /* without 1 / √2π */
    /* choices: 2 kernels, 1/2 each for the prior: observed (1 + 1/2) / (1 + 3/2) = 0.6, others 0.2; the prior kernel 1/3 */
    assert_int_equal(weir_parzen_new(space, (const int[]){0}, 1, points, weight, 1, 1, &arena, &parzen, NULL), WEIR_OK);
    assert_int_equal(weir_parzen_log_density(parzen, queries, 2, &arena, out, NULL), WEIR_OK);
    assert_float_equal(exp(out[0]), 0.5 * 0.6 + 0.5 / 3, 1e-12);
    assert_float_equal(exp(out[1]), 0.5 * 0.2 + 0.5 / 3, 1e-12);
    weir_arena_done(&arena);
    weir_space_free(space);
    cJSON_Delete(json);
}

static void what_can_be_listed_has_probabilities_that_add_up_to_one(void **state) {
    (void)state;
    cJSON *json = cJSON_Parse("{\"c\": [1, 2, 3, 4], \"f\": {\"float\": [0.5, 1], \"step\": 0.1}, \"l\": {\"int\": [1, 300], \"log\": true}}");
    weir_space *space;
    weir_arena arena;
    const weir_parzen *parzen;
    weir_arena_init(&arena, 1 << 24);
    assert_int_equal(weir_space_new(json, "$", &space, NULL), WEIR_OK);
    const double observed[3][3] = {{0, 0.5, 1}, {3, 0.8, 299}, {3, 0.8, 300}}, weight[3] = {0.2, 1, 1};
    const double *points[3] = {observed[0], observed[1], observed[2]};
    assert_int_equal(weir_parzen_new(space, (const int[]){0, 1, 2}, 3, points, weight, 3, 1, &arena, &parzen, NULL), WEIR_OK);
    double sum = 0;
    for (int c = 0; c < 4; c++)
        for (int f = 0; f < 6; f++)
            for (int l = 1; l <= 300; l++) {
                double query[3] = {c, 0.5 + 0.1 * f, l}, out;
                assert_int_equal(weir_parzen_log_density(parzen, (const double *[]){query}, 1, &arena, &out, NULL), WEIR_OK);
                sum += exp(out);
            }
    assert_float_equal(sum, 1, 1e-9);
    weir_arena_done(&arena);
    weir_space_free(space);
    cJSON_Delete(json);
}

/* Place of a value among ten equal parts of a parameter's scale. */
static int tenth(const weir_param *p, double x) {
    double low = p->low - p->step / 2, high = p->high + p->step / 2;
    double share = !(high > low) ? 0 : p->log ? (log(x) - log(low)) / (log(high) - log(low)) : (x - low) / (high - low);
    return (int)(10 * share);
}

/* The first ten: one in each tenth of every continuous parameter that is always there. */
static void tpe_begins_spread_out(void **state) {
    (void)state;
    weir_study *tpe = study_of(everything, "tpe", NULL, 11, 1);
    const weir_space *space = weir_study_space(tpe);
    int seen[8][11] = {0}, checked = 0;
    for (int i = 0; i < 10; i++) {
        const double *t = ask(tpe);
        for (int p = 0; p < 8; p++)
            if (!isnan(t[p])) seen[p][tenth(weir_space_at(space, p), t[p])]++;
        tell(tpe, loss_of(t), 0);
    }
    for (int p = 0; p < 8; p++) {
        const weir_param *param = weir_space_at(space, p);
        if (param->step > 0 || param->condition_count || !(param->high > param->low)) continue;
        checked++;
        for (int k = 0; k < 10; k++) assert_int_equal(seen[p][k], 1);
    }
    assert_true(checked >= 2);
    weir_study_free(tpe);
}

/* The best of 100, summed over ten seeds. */
static void tpe_comes_closer_than_draws_at_random(void **state) {
    (void)state;
    double sum[2] = {0, 0};
    for (uint64_t seed = 0; seed < 10; seed++) {
        weir_study *tpe = study_of(everything, "tpe", NULL, seed, 1), *random = study_of(everything, "random", NULL, seed, 1);
        double best[2] = {INFINITY, INFINITY};
        for (int i = 0; i < 100; i++) {
            double t = loss_of(ask(tpe)), r = loss_of(ask(random));
            best[0] = fmin(best[0], t);
            best[1] = fmin(best[1], r);
            tell(tpe, t, 0);
            tell(random, r, 0);
        }
        sum[0] += best[0];
        sum[1] += best[1];
        weir_study_free(tpe);
        weir_study_free(random);
    }
    assert_true(sum[0] < 0.5 * sum[1]);
}

static void the_same_seed_asks_the_same_and_another_does_not(void **state) {
    (void)state;
    weir_study *a = study_of(everything, "tpe", NULL, 5, 2), *b = study_of(everything, "tpe", NULL, 5, 2), *c = study_of(everything, "tpe", NULL, 6, 2);
    int different = 0;
    for (int i = 0; i < 40; i++) {
        const double *x = ask(a), *y = ask(b), *z = ask(c);
        assert_memory_equal(x, y, 8 * sizeof *x);
        different += x[7] != z[7];
        tell(a, loss_of(x), x[7]);
        tell(b, loss_of(y), y[7]);
        tell(c, loss_of(z), z[7]);
    }
    assert_int_equal(different, 40);
    weir_study_free(a);
    weir_study_free(b);
    weir_study_free(c);
}

/* Twenty asks at once after 40 trials of a steep function, over 20 seeds: with the constant liar fewer of them are near to one another. */
static void running_trials_push_others_away(void **state) {
    (void)state;
    int near[2] = {0, 0};
    for (int liar = 0; liar < 2; liar++) {
        for (int seed = 0; seed < 20; seed++) {
            weir_study *study =
                study_of("{\"x\": {\"float\": [0, 1]}}", "tpe", liar ? "{\"constant_liar\": true}" : "{\"constant_liar\": false}", (uint64_t)seed, 1);
            double x[20];
            for (int i = 0; i < 40; i++) tell(study, fabs(*ask(study) - 0.7), 0);
            for (int i = 0; i < 20; i++) {
                x[i] = *ask(study); /* nobody tells */
                for (int j = 0; j < i; j++) near[liar] += fabs(x[i] - x[j]) < 0.02;
            }
            weir_study_free(study);
        }
    }
    assert_true(near[1] < near[0] / 4);
}

static void pruned_trials_count_and_failed_ones_do_not(void **state) {
    (void)state;
    weir_study *study = study_of("{\"x\": {\"float\": [0, 1]}}", "tpe", "{\"startup_trials\": 5}", 4, 1),
               *untold = study_of("{\"x\": {\"float\": [0, 1]}}", "tpe", "{\"startup_trials\": 5}", 4, 1);
    for (int i = 0; i < 12; i++) {
        bool same = *ask(study) == *ask(untold);
        assert_int_equal(same, i < 10); /* five failed, five pruned, then it knows enough */
        if (i >= 5) assert_int_equal(weir_study_report(study, i, i % 3, i == 8 ? NAN : i, NULL), WEIR_OK);
        assert_int_equal(weir_study_tell(study, i, &(weir_outcome){.state = i < 5 ? WEIR_TRIAL_FAILED : WEIR_TRIAL_PRUNED}, NULL), WEIR_OK);
    }
    weir_study_free(study);
    weir_study_free(untold);
}

static void equal_values_everywhere_are_no_trouble(void **state) {
    (void)state;
    for (int objectives = 1; objectives <= 3; objectives++) {
        weir_study *study = study_of(everything, "tpe", NULL, 1, objectives);
        for (int i = 0; i < 60; i++) {
            const double *point = ask(study);
            for (int p = 0; p < 8; p++) assert_true(isnan(point[p]) || isfinite(point[p]));
            tell(study, 0, 0);
        }
        weir_study_free(study);
    }
}

static void every_registered_sampler_keeps_the_contract(void **state) {
    (void)state;
    for (const weir_sampler *const *s = weir_samplers(); *s; s++) {
        assert_int_equal((*s)->abi, WEIR_SAMPLER_ABI);
        assert_ptr_equal(weir_sampler_find((*s)->name), *s);
        assert_true((*s)->doc && (*s)->settings && (*s)->settings_size > 0 && (*s)->suggest);
    }
    assert_null(weir_sampler_find("annealing"));
}

static void memory_that_runs_out_changes_nothing(void **state) {
    (void)state;
    weir_study *study = study_of(everything, "tpe", NULL, 9, 2), *sound = study_of(everything, "tpe", NULL, 9, 2);
    for (int i = 0; i < 64; i++) { /* the next ask grows the list of trials as well */
        const double *x = ask(study), *y = ask(sound);
        tell(study, loss_of(x), x[7]);
        tell(sound, loss_of(y), y[7]);
    }
    weir_allocator before = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int tries = 0, number;
    for (; status != WEIR_OK; tries++) {
        cJSON *params = NULL;
        allocations_left = tries;
        weir_mem.realloc = failing_realloc;
        status = weir_study_ask(study, &number, &params, NULL);
        weir_mem = before;
        assert_true(status == WEIR_OK || status == WEIR_ENOMEM);
        assert_int_equal(weir_study_history(study)->trial_count, status == WEIR_OK ? 65 : 64);
        cJSON_Delete(params);
    }
    assert_true(tries > 3);
    assert_memory_equal(weir_study_history(study)->trials[64].point, ask(sound), 8 * sizeof(double));
    weir_study_free(study);
    weir_study_free(sound);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grid_is_every_combination_in_order),
        cmocka_unit_test(a_grid_of_the_training_files_form_gives_its_values),
        cmocka_unit_test(a_grid_refuses_what_it_cannot_list),
        cmocka_unit_test(every_sampler_stays_within_the_space),
        cmocka_unit_test(random_draws_are_even_over_steps_choices_and_scales),
        cmocka_unit_test(draws_are_uniform_and_normal),
        cmocka_unit_test(the_density_by_hand),
        cmocka_unit_test(what_can_be_listed_has_probabilities_that_add_up_to_one),
        cmocka_unit_test(tpe_begins_spread_out),
        cmocka_unit_test(tpe_comes_closer_than_draws_at_random),
        cmocka_unit_test(the_same_seed_asks_the_same_and_another_does_not),
        cmocka_unit_test(running_trials_push_others_away),
        cmocka_unit_test(pruned_trials_count_and_failed_ones_do_not),
        cmocka_unit_test(equal_values_everywhere_are_no_trouble),
        cmocka_unit_test(every_registered_sampler_keeps_the_contract),
        cmocka_unit_test(memory_that_runs_out_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
