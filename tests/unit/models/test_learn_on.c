/* Test, then train: which model scores which row, and that what is learnt is what the rows give at once. */
#include "trainset_fixture.h"

#include "core/clock.h"
#include "models/learn_on.h"
#include "tests/unit/starve.h"

enum { FIRST = 700, NEW = 600, DAYS = 6 };
#define START_US (INT64_C(1710115200) * WEIR_SECOND_US) /* 2024-03-11 */

/* UTC days of the new rows, of which the third has none: 0, 1, 3, 4, 5, 6; a hundred rows each. */
static const int day_of[DAYS] = {0, 1, 3, 4, 5, 6};

static fixture data;
static weir_err err;

static weir_trainset new_rows(weir_task task, int64_t start_us) {
    weir_trainset set = fixture_set(&data, task, FIRST, NEW, true);
    for (int r = 0; r < NEW; r++) set.time_us[r] = start_us + day_of[r / 100] * WEIR_DAY_US + (r % 100) * (WEIR_DAY_US / 100);
    set.matrix.class_count = task == WEIR_TASK_MULTICLASS ? CLASSES : 0;
    return set;
}

/* Borrowed from the set. */
static weir_trainset part_of(const weir_trainset *set, int first, int end) {
    weir_trainset part = *set;
    part.matrix.row_count = end - first;
    part.matrix.values += first * part.matrix.column_count;
    part.matrix.label += first;
    part.time_us += first;
    return part;
}

static weir_buf first_artifact(const char *algorithm, weir_task task, const cJSON *chain) {
    weir_matrix train = fixture_matrix(&data, task);
    weir_buf artifact = {0};
    train.row_count = FIRST;
    if (weir_model_fit(algorithm, NULL, chain, &train, "hash", 1, 1, &artifact, &err)) fail_msg("%s", err.message);
    return artifact;
}

static weir_learnt learn(const weir_buf *artifact, const weir_trainset *set, int64_t delay_us) {
    const weir_learn_settings settings = {.label_delay_us = delay_us};
    weir_learnt learnt = {0};
    if (weir_learn_on(artifact->data, artifact->len, set, &settings, &learnt, &err)) fail_msg("%s", err.message);
    return learnt;
}

static void expect_equal(const weir_buf *a, const weir_buf *b) {
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}

/* The rows [first, end) have the scores of the model after `learnt` rows. */
static void expect_scores(const weir_buf *artifact, const weir_trainset *set, int learnt, int first, int end, const double *scores, int outputs) {
    static double expected[NEW * CLASSES];
    weir_trainset before = part_of(set, 0, learnt), rows = part_of(set, first, end);
    weir_buf next = {0};
    weir_model *model = NULL;
    if (weir_model_continue(artifact->data, artifact->len, &before.matrix, &next, &err)) fail_msg("%s", err.message);
    assert_int_equal(weir_model_load(learnt ? next.data : artifact->data, learnt ? next.len : artifact->len, &model, &err), WEIR_OK);
    assert_int_equal(weir_model_predict(model, rows.matrix.values, end - first, expected, &err), WEIR_OK);
    assert_memory_equal(scores + first * outputs, expected, (size_t)((end - first) * outputs) * sizeof(double));
    weir_model_free(model);
    weir_buf_done(&next);
}

/* By hand: with labels that come two days after their row, when day 3 begins those of day 0 are known (0 + 1 + 2 ≤ 3), when 4 begins those of 1 too, at 5 no more (there is no day 2), at 6 those
 * of 3. */
static const int known_rows[DAYS] = {0, 0, 100, 200, 200, 300};

static void check_learner(const weir_algorithm *algorithm, weir_task task) {
    weir_trainset set = new_rows(task, START_US);
    weir_buf artifact = first_artifact(algorithm->name, task, NULL), once = {0};
    weir_learnt learnt = learn(&artifact, &set, 2 * WEIR_DAY_US);
    int outputs = task == WEIR_TASK_MULTICLASS ? CLASSES : 1;
    assert_int_equal(learnt.day_count, DAYS);
    assert_int_equal(learnt.row_count, NEW);
    assert_int_equal(learnt.output_count, outputs);
    expect_scores(&artifact, &set, 0, 0, NEW, learnt.unchanged, outputs);
    for (int d = 0; d < DAYS; d++) {
        expect_scores(&artifact, &set, 100 * d, 100 * d, 100 * d + 100, learnt.prequential, outputs);
        expect_scores(&artifact, &set, known_rows[d], 100 * d, 100 * d + 100, learnt.delayed, outputs);
    }
    assert_int_equal(weir_model_continue(artifact.data, artifact.len, &set.matrix, &once, &err), WEIR_OK);
    expect_equal(&learnt.artifact, &once);
    weir_trainset one = part_of(&set, 0, 250), two = part_of(&set, 250, NEW); /* within a day, too */
    weir_learnt half = learn(&artifact, &one, 0), whole = learn(&half.artifact, &two, 0);
    expect_equal(&whole.artifact, &once);
    weir_learnt_done(&learnt);
    weir_learnt_done(&half);
    weir_learnt_done(&whole);
    weir_buf_done(&artifact);
    weir_buf_done(&once);
    weir_trainset_done(&set);
}

static void every_learner_is_tested_on_a_day_before_it_learns_it(void **state) {
    (void)state;
    int learners = 0;
    for (const weir_algorithm *const *a = weir_algorithms(); *a; a++)
        for (int task = 0; (*a)->learn && task < WEIR_TASK_COUNT; task++) {
            if (!weir_algorithm_can(*a, (weir_task)task)) continue;
            check_learner(*a, (weir_task)task);
            learners++;
        }
    assert_int_equal(learners, 8);
}

static void without_a_delay_what_is_live_is_what_is_prequential(void **state) {
    (void)state;
    weir_trainset set = new_rows(WEIR_TASK_BINARY, -3 * WEIR_DAY_US); /* days begin where they do before 1970, too */
    weir_buf artifact = first_artifact("ftrl", WEIR_TASK_BINARY, NULL);
    weir_learnt learnt = learn(&artifact, &set, 0);
    assert_int_equal(learnt.day_count, DAYS);
    assert_memory_equal(learnt.delayed, learnt.prequential, NEW * sizeof(double));
    weir_learnt late = learn(&artifact, &set, 100 * WEIR_DAY_US); /* later than all of them: nothing is known of any */
    assert_memory_equal(late.delayed, late.unchanged, NEW * sizeof(double));
    expect_equal(&late.artifact, &learnt.artifact);
    weir_learnt_done(&learnt);
    weir_learnt_done(&late);
    weir_buf_done(&artifact);
    weir_trainset_done(&set);
}

static void the_preprocessing_stays_as_it_was_fitted(void **state) {
    (void)state;
    cJSON *chain = cJSON_Parse("[{\"impute\": \"median\"}, {\"scale\": \"standard\"}]");
    weir_trainset set = new_rows(WEIR_TASK_BINARY, START_US);
    weir_buf artifact = first_artifact("sgd", WEIR_TASK_BINARY, chain);
    weir_learnt learnt = learn(&artifact, &set, 0);
    weir_model *before = load_artifact(&artifact), *after = load_artifact(&learnt.artifact);
    char *texts[2];
    const cJSON *chains[] = {cJSON_GetObjectItemCaseSensitive(weir_model_header(before), "chain"),
                             cJSON_GetObjectItemCaseSensitive(weir_model_header(after), "chain")};
    for (int i = 0; i < 2; i++) assert_non_null(texts[i] = cJSON_PrintUnformatted(chains[i]));
    assert_string_equal(texts[0], texts[1]);
    for (int i = 0; i < 2; i++) free(texts[i]);
    weir_model_free(before);
    weir_model_free(after);
    weir_learnt_done(&learnt);
    weir_buf_done(&artifact);
    weir_trainset_done(&set);
    cJSON_Delete(chain);
}

typedef struct heard {
    _Atomic bool cancel;
    int days;
} heard;

static void stop_at_the_third(void *context, int day, int days) {
    heard *h = context;
    assert_int_equal(days, DAYS);
    assert_int_equal(day, ++h->days);
    h->cancel = day == 3;
}

static void it_stops_before_the_next_day_and_has_then_learnt_nothing(void **state) {
    (void)state;
    heard h = {0};
    weir_trainset set = new_rows(WEIR_TASK_BINARY, START_US);
    weir_buf artifact = first_artifact("sgd", WEIR_TASK_BINARY, NULL);
    const weir_learn_settings settings = {.cancel = &h.cancel, .tell = stop_at_the_third, .context = &h};
    weir_learnt learnt = {0};
    assert_int_equal(weir_learn_on(artifact.data, artifact.len, &set, &settings, &learnt, &err), WEIR_ETIMEOUT);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_non_null(strstr(err.message, "after 2 of 6 days"));
    assert_null(learnt.artifact.data);
    weir_buf_done(&artifact);
    weir_trainset_done(&set);
}

static void expect_refusal(const weir_buf *artifact, const weir_trainset *set, weir_status expected, const char *part) {
    const weir_learn_settings settings = {0};
    weir_learnt learnt = {0};
    assert_int_equal(weir_learn_on(artifact->data, artifact->len, set, &settings, &learnt, &err), expected);
    if (!strstr(err.message, part)) fail_msg("'%s' is not in '%s'", part, err.message);
    assert_null(learnt.artifact.data);
}

static void what_cannot_go_on_is_refused(void **state) {
    (void)state;
    weir_trainset set = new_rows(WEIR_TASK_BINARY, START_US), other = set, untimed = set, infinite = new_rows(WEIR_TASK_BINARY, START_US);
    weir_buf artifact = first_artifact("sgd", WEIR_TASK_BINARY, NULL), fixed = first_artifact("logistic", WEIR_TASK_BINARY, NULL);
    weir_model *can = load_artifact(&artifact), *cannot = load_artifact(&fixed);
    expect_refusal(&fixed, &set, WEIR_EINVAL, "algorithm logistic cannot go on learning");
    other.matrix.task = WEIR_TASK_REGRESSION;
    expect_refusal(&artifact, &other, WEIR_EINVAL, "the rows are for a regression task");
    untimed.time_us = NULL;
    expect_refusal(&artifact, &untimed, WEIR_EINVAL, "no times");
    ((double *)infinite.matrix.values)[77 * COLUMNS] = INFINITY;
    expect_refusal(&artifact, &infinite, WEIR_ENUMERIC, "row 77 has an infinite value");
    artifact.data[artifact.len - 1] ^= 1;
    expect_refusal(&artifact, &set, WEIR_EDATA, "checksum");
    assert_int_equal(weir_learn_on_check(can, &err), WEIR_OK);
    assert_int_equal(weir_learn_on_check(cannot, &err), WEIR_EINVAL);
    assert_string_equal(err.message, "algorithm logistic cannot go on learning; those that can are sgd, ftrl, hoeffding_tree");
    weir_model_free(can);
    weir_model_free(cannot);
    weir_buf_done(&artifact);
    weir_buf_done(&fixed);
    weir_trainset_done(&infinite);
    weir_trainset_done(&set);
}

static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    weir_trainset set = new_rows(WEIR_TASK_BINARY, START_US);
    weir_buf artifact = first_artifact("ftrl", WEIR_TASK_BINARY, NULL);
    const weir_learn_settings settings = {.label_delay_us = WEIR_DAY_US};
    weir_allocator usual = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int n = 0;
    for (; status == WEIR_ENOMEM; n++) {
        weir_learnt learnt = {0};
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        status = weir_learn_on(artifact.data, artifact.len, &set, &settings, &learnt, &err);
        weir_mem = usual;
        assert_true((status == WEIR_OK) == (learnt.artifact.data != NULL));
        weir_learnt_done(&learnt);
    }
    assert_int_equal(status, WEIR_OK);
    assert_true(n > 30);
    weir_buf_done(&artifact);
    weir_trainset_done(&set);
}

static int prepare(void **state) {
    (void)state;
    fixture_init(&data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_learner_is_tested_on_a_day_before_it_learns_it),
        cmocka_unit_test(without_a_delay_what_is_live_is_what_is_prequential),
        cmocka_unit_test(the_preprocessing_stays_as_it_was_fitted),
        cmocka_unit_test(it_stops_before_the_next_day_and_has_then_learnt_nothing),
        cmocka_unit_test(what_cannot_go_on_is_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
