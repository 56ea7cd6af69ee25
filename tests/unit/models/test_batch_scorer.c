/* The batch scorer without files: blocks from memory, compared with scoring the rows one by one. */
#include "fixture.h"

#include <math.h>
#include <stdatomic.h>

#include "../starve.h"
#include "models/batch_scorer.h"
#include "models/memory.h"

enum { BATCH_ROWS = 5000, BATCH_COLUMNS = 3 };

typedef struct block {
    int64_t from, count;
} block;

typedef struct fake {
    double rows[BATCH_ROWS][BATCH_COLUMNS], scores[BATCH_ROWS];
    bool rejected[BATCH_ROWS];
    char reason[WEIR_BATCH_REASON_MAX];
    int64_t read, taken, block_rows, bad_row, fail_next, fail_take;
    _Atomic int blocks; /* that live */
    _Atomic bool cancel, cancel_at_take;
} fake;

static fake f;
static weir_model *model;

static weir_status next(void *context, void **ret_block, int64_t *ret_row_count, weir_err *err) {
    fake *s = context;
    *ret_block = NULL;
    if (s->fail_next >= 0 && s->read >= s->fail_next) return WEIR_FAIL(err, WEIR_EIO, "the disk is gone at row %lld", (long long)s->read);
    if (s->read == BATCH_ROWS) return WEIR_OK;
    block *b = weir_models_calloc(1, sizeof *b);
    if (!b) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a block");
    *b = (block){s->read, s->read + s->block_rows > BATCH_ROWS ? BATCH_ROWS - s->read : s->block_rows};
    s->read += b->count;
    s->blocks++;
    *ret_block = b;
    *ret_row_count = b->count;
    return WEIR_OK;
}

static weir_status fill(void *context, void *at, double *rows, char **reasons, weir_err *err) {
    const fake *s = context;
    const block *b = at;
    memcpy(rows, s->rows[b->from], (size_t)b->count * sizeof s->rows[0]);
    bool here = s->bad_row >= b->from && s->bad_row < b->from + b->count;
    if (here && !weir_batch_reject(reasons, s->bad_row - b->from, "row %d is bad", (int)s->bad_row)) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory");
    return WEIR_OK;
}

static weir_status take(void *context, void *at, const weir_batch_scores *scores, weir_err *err) {
    fake *s = context;
    const block *b = at;
    int64_t rejected = 0;
    assert_int_equal(b->from, s->taken); /* in their order */
    assert_int_equal(b->count, scores->row_count);
    if (s->fail_take >= 0 && s->taken >= s->fail_take) return WEIR_FAIL(err, WEIR_EIO, "cannot write row %lld", (long long)s->taken);
    if (s->cancel_at_take) s->cancel = true;
    for (int64_t r = 0; r < b->count; r++) {
        s->scores[b->from + r] = scores->scores[r];
        s->rejected[b->from + r] = scores->reasons[r];
        rejected += scores->reasons[r] != NULL;
        if (scores->reasons[r]) snprintf(s->reason, sizeof s->reason, "%s", scores->reasons[r]);
    }
    assert_int_equal(rejected, scores->rejected);
    s->taken += b->count;
    return WEIR_OK;
}

static void drop(void *context, void *at) {
    ((fake *)context)->blocks--;
    weir_models_free(at);
}

static const weir_batch_ops ops = {next, fill, take, drop};

static void reset(int64_t block_rows) {
    f.read = f.taken = 0;
    f.block_rows = block_rows;
    f.bad_row = f.fail_next = f.fail_take = -1;
    f.cancel = f.cancel_at_take = false;
    f.reason[0] = 0;
    memset(f.scores, 0, sizeof f.scores);
    memset(f.rejected, 0, sizeof f.rejected);
}

static weir_status score(int threads, bool infinite_is_missing, weir_err *err) {
    const weir_batch_how how = {.threads = threads, .infinite_is_missing = infinite_is_missing, .cancel = &f.cancel};
    weir_status status = weir_batch_score(model, &ops, &f, &how, err);
    assert_int_equal(f.blocks, 0);
    return status;
}

static int fit(void **state) {
    (void)state;
    static double label[BATCH_ROWS];
    static const char *const names[BATCH_COLUMNS] = {"a", "b", "c"};
    weir_buf artifact = {0};
    weir_err err;
    uint64_t seed = 7;
    for (int r = 0; r < BATCH_ROWS; r++) {
        for (int c = 0; c < BATCH_COLUMNS; c++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            f.rows[r][c] = (double)(seed >> 11) / 9007199254740992.0;
        }
        label[r] = f.rows[r][0] + f.rows[r][1] > 1;
    }
    const weir_matrix train = {
        .row_count = BATCH_ROWS, .column_count = BATCH_COLUMNS, .values = f.rows[0], .label = label, .column_names = names, .task = WEIR_TASK_BINARY};
    cJSON *params = cJSON_Parse("{\"rounds\": 10}");
    weir_status status = weir_model_fit("xgboost", params, NULL, &train, NULL, 1, 1, &artifact, &err);
    if (!status) status = weir_model_load(artifact.data, artifact.len, &model, &err);
    cJSON_Delete(params);
    weir_buf_done(&artifact);
    return status;
}

static int unload(void **state) {
    (void)state;
    weir_model_free(model);
    return 0;
}

static void every_row_has_the_bits_that_it_has_alone(void **state) {
    (void)state;
    weir_err err;
    static const int sizes[] = {1, 7, 333, BATCH_ROWS, BATCH_ROWS + 1};
    for (int threads = 1; threads <= 4; threads++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            reset(sizes[i]);
            if (score(threads, false, &err)) fail_msg("%s", err.message);
            assert_int_equal(f.taken, BATCH_ROWS);
            for (int r = 0; r < BATCH_ROWS; r += 13) {
                double alone;
                assert_int_equal(weir_model_predict(model, f.rows[r], 1, &alone, &err), WEIR_OK);
                assert_memory_equal(&f.scores[r], &alone, sizeof alone);
            }
        }
    }
}

static void a_row_that_cannot_be_scored_is_alone_with_that(void **state) {
    (void)state;
    weir_err err;
    double kept = f.rows[1234][1];
    reset(100);
    f.bad_row = 1299;
    f.rows[1234][1] = INFINITY;
    assert_int_equal(score(2, false, &err), WEIR_OK);
    for (int r = 0; r < BATCH_ROWS; r++) {
        assert_int_equal(f.rejected[r], r == 1234 || r == 1299);
        assert_int_equal(isnan(f.scores[r]) != 0, r == 1234 || r == 1299);
    }
    assert_string_equal(f.reason, "row 1299 is bad");
    reset(100);
    assert_int_equal(score(2, false, &err), WEIR_OK);
    assert_string_equal(f.reason, "column 'b': found inf, expected a finite number");
    reset(100);
    assert_int_equal(score(2, true, &err), WEIR_OK); /* missing, and xgboost takes that */
    assert_false(f.rejected[1234]);
    double expected;
    f.rows[1234][1] = NAN;
    assert_int_equal(weir_model_predict(model, f.rows[1234], 1, &expected, &err), WEIR_OK);
    assert_memory_equal(&f.scores[1234], &expected, sizeof expected);
    f.rows[1234][1] = kept;
}

static void an_error_of_any_side_ends_it_and_is_told(void **state) {
    (void)state;
    weir_err err;
    for (int threads = 1; threads <= 3; threads++) {
        reset(100);
        f.fail_next = 2000;
        assert_int_equal(score(threads, false, &err), WEIR_EIO);
        assert_string_equal(err.message, "the disk is gone at row 2000");
        reset(100);
        f.fail_take = 1000;
        assert_int_equal(score(threads, false, &err), WEIR_EIO);
        assert_string_equal(err.message, "cannot write row 1000");
        reset(100);
        f.cancel_at_take = true;
        assert_int_equal(score(threads, false, &err), WEIR_ETIMEOUT);
        assert_true(f.taken < BATCH_ROWS);
        reset(100);
        f.fail_next = 0;
        assert_int_equal(score(threads, false, &err), WEIR_EIO);
        assert_int_equal(f.taken, 0);
    }
    reset(100);
    assert_int_equal(score(0, false, &err), WEIR_EINVAL);
    assert_int_equal(score(WEIR_BATCH_THREADS_MAX + 1, false, &err), WEIR_EINVAL);
}

/* The allocator's counter is shared by the threads: whose allocation fails is theirs to find out, and any will do. */
static void memory_that_runs_out_is_an_error(void **state) {
    (void)state;
    void *(*real)(void *, size_t) = weir_mem.realloc;
    weir_err err;
    int failures = 0;
    for (int n = 0, done = 0; !done && n < 10000; n += 1 + n / 8) {
        reset(500);
        f.bad_row = 777;
        allocations_left = n;
        weir_mem.realloc = failing_realloc;
        weir_status status = score(1, false, &err);
        weir_mem.realloc = real;
        if (status && status != WEIR_ENOMEM) fail_msg("%d: %s", n, err.message);
        failures += status != WEIR_OK;
        done = !status;
    }
    assert_true(failures > 5);
    assert_int_equal(f.taken, BATCH_ROWS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_the_bits_that_it_has_alone),
        cmocka_unit_test(a_row_that_cannot_be_scored_is_alone_with_that),
        cmocka_unit_test(an_error_of_any_side_ends_it_and_is_told),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, fit, unload);
}
