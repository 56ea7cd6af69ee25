#include "consumers/estimation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/mem.h"
#include "models/estimate.h"

/* What rows with labels teach of rows without. */
static weir_status estimate_from(const weir_estimation_input *in, int64_t from, int64_t known, const double *score, int64_t count, double *ret_value,
                                 weir_err *err) {
    weir_isotonic isotonic;
    weir_estimate estimate;
    double *probability = weir_mem.realloc(NULL, (size_t)count * sizeof *probability);
    if (!probability) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to estimate %lld outcomes", (long long)count);
    weir_status status = weir_isotonic_fit(in->score + from, in->label + from, known, &isotonic, err);
    if (!status) {
        for (int64_t i = 0; i < count; i++) probability[i] = weir_isotonic_probability(&isotonic, score[i]);
        weir_isotonic_done(&isotonic);
        status = weir_estimate_binary(score, probability, count, in->threshold, &estimate, err);
    }
    free(probability);
    if (!status) *ret_value = weir_estimate_of(&estimate, in->metric->name);
    return status;
}

/* The newer half is estimated from the older, which is what would have been said before its labels came. */
static weir_status look_back(const weir_estimation_input *in, double *ret_error, weir_err *err) {
    int64_t newer = in->count / 2;
    const weir_outcomes outcomes = {.row_count = newer, .label = in->label, .score = in->score, .threshold = in->threshold};
    double estimated, realised;
    if (!newer) return WEIR_OK;
    weir_status status = estimate_from(in, newer, in->count - newer, in->score, newer, &estimated, err);
    if (!status) status = weir_model_metric_measure(in->metric, &outcomes, &realised, err);
    if (!status) *ret_error = fabs(estimated - realised);
    return status;
}

static weir_status read_scores(weir_pg *pg, const weir_pipeline *pipeline, const weir_arm_measure *arm, const weir_estimation_input *in, double **ret_scores,
                               int64_t *ret_count, weir_err *err) {
    char sql[384], since[WEIR_TIME_TEXT_MAX];
    const char *params[] = {arm->arm, arm->digest, weir_time_format(in->labelled_until_us, since)};
    PGresult *result = NULL;
    snprintf(
        sql, sizeof sql,
        "SELECT score FROM \"%s\".predictions WHERE arm = $1 AND digest = $2 AND event_time > $3::timestamptz AND score BETWEEN '-1e300' AND '1e300' ORDER BY "
        "event_time DESC LIMIT %lld",
        pipeline->name, (long long)in->max_rows);
    weir_status status = weir_pg_exec(pg, sql, 3, params, &result, err);
    if (status) return status;
    int count = PQntuples(result);
    double *scores = weir_mem.realloc(NULL, ((size_t)count + 1) * sizeof *scores);
    for (int i = 0; scores && i < count; i++) scores[i] = atof(PQgetvalue(result, i, 0));
    PQclear(result);
    if (!scores) return WEIR_RETRY(err, WEIR_ENOMEM, "no memory for %d scores", count);
    *ret_scores = scores;
    *ret_count = count;
    return WEIR_OK;
}

weir_status weir_estimation_make(weir_pg *pg, const weir_pipeline *pipeline, const weir_arm_measure *arm, const weir_estimation_input *input,
                                 weir_estimation *ret_estimation, weir_err *err) {
    weir_estimation made = {.value = NAN, .error = NAN};
    double *scores = NULL;
    const weir_estimate nothing = {0};
    bool can = input->metric->task == WEIR_TASK_BINARY && !isnan(weir_estimate_of(&nothing, input->metric->name)) && input->count > 0;
    weir_status status = can ? read_scores(pg, pipeline, arm, input, &scores, &made.rows, err) : WEIR_OK;
    if (!status && can) status = look_back(input, &made.error, err);
    if (!status && can && made.rows >= input->min_rows) status = estimate_from(input, 0, input->count, scores, made.rows, &made.value, err);
    free(scores);
    if (!status) *ret_estimation = made;
    return status;
}
