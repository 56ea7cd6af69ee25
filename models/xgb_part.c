#include "models/xgb_part.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/memory.h"
#include "models/xgb_internal.h"

/* Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014 (the finaliser of SplitMix64). */
static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

bool weir_xgb_row_is_drawn(uint64_t seed, int round, int64_t row, double subsample) {
    return (double)(mix(mix(seed ^ mix((uint64_t)round)) ^ (uint64_t)row) >> 11) * 0x1p-53 < subsample;
}

/* What a training holds. */
typedef struct fit {
    const weir_xgb_part *part;
    DMatrixHandle matrices[2];
    BoosterHandle booster;
    float *weight; /* [fitted rows] of the round that runs; NULL: nothing is drawn */
    float *gradient, *second; /* [fitted rows][target_count] of a forest, of the round that runs; else NULL */
} fit;

/* The group is broken, or the parameters are: whoever leads it tells. */
static weir_status broke(const char *what, weir_err *err) {
    (void)weir_xgb_failed(what, err);
    if (err) {
        err->code = WEIR_ENET;
        err->action = WEIR_ACTION_RETRY;
    }
    return WEIR_ENET;
}

static weir_status meet(const weir_xgb_part *part, weir_err *err) {
    char config[512];
    weir_status status = weir_xgb_load_library(err);
    if (status) return status;
    snprintf(config, sizeof config,
             "{\"xgboost_communicator\": \"rabit\", \"DMLC_TRACKER_URI\": \"%s\", \"DMLC_TRACKER_PORT\": \"%d\", \"DMLC_TASK_ID\": \"%s.%d\", "
             "\"DMLC_NUM_WORKER\": \"%d\", "
             "\"rabit_enable_tcp_no_delay\": \"true\"}",
             part->meeting.address, part->meeting.port, part->meeting.token, part->work->rank, part->work->workers);
    if (weir_xgb.XGCommunicatorInit(config) != 0) return broke("meeting the other workers", err);
    if (weir_xgb.XGCommunicatorGetRank() != part->work->rank || weir_xgb.XGCommunicatorGetWorldSize() != part->work->workers)
        return WEIR_FAIL(err, WEIR_EINTERNAL, "this worker is %d of %d, and was told to be %d of %d", weir_xgb.XGCommunicatorGetRank(),
                         weir_xgb.XGCommunicatorGetWorldSize(), part->work->rank, part->work->workers);
    return WEIR_OK;
}

static weir_status make_matrix(const weir_xgb_work *work, const weir_xgb_rows *rows, DMatrixHandle *ret_matrix, weir_err *err) {
    char array[WEIR_XGB_ARRAY_MAX], config[64];
    snprintf(array, sizeof array, WEIR_XGB_ARRAY, (uintptr_t)rows->values, rows->count, work->column_count);
    snprintf(config, sizeof config, "{\"missing\": NaN, \"nthread\": %d}", work->threads);
    if (weir_xgb.XGDMatrixCreateFromDense(array, config, ret_matrix) != 0) return broke("training matrix", err);
    snprintf(array, sizeof array, WEIR_XGB_ARRAY, (uintptr_t)rows->label, rows->count, work->target_count);
    int failed = work->target_count > 1 ? weir_xgb.XGDMatrixSetInfoFromInterface(*ret_matrix, "label", array)
                                        : weir_xgb.XGDMatrixSetFloatInfo(*ret_matrix, "label", rows->label, (bst_ulong)rows->count);
    if (failed) return broke("labels", err);
    if (work->weighted && weir_xgb.XGDMatrixSetFloatInfo(*ret_matrix, "weight", rows->weight, (bst_ulong)rows->count) != 0) return broke("weights", err);
    return WEIR_OK;
}

/* The thresholds are made of all rows by a round that is thrown away: the first round of the training might see some of them only. */
static weir_status make_thresholds(const fit *f, weir_err *err) {
    const weir_xgb_work *work = f->part->work;
    BoosterHandle booster = NULL;
    if (weir_xgb.XGBoosterCreate(f->matrices, 1, &booster) != 0) return broke("booster", err);
    weir_status status = weir_xgb_booster_set(booster, &work->params, work->seed, work->threads, err);
    if (!status && (weir_xgb.XGBoosterSetParam(booster, "max_depth", "1") != 0 || weir_xgb.XGBoosterUpdateOneIter(booster, 0, f->matrices[0]) != 0))
        status = broke("thresholds", err);
    weir_xgb.XGBoosterFree(booster);
    return status;
}

static weir_status make_booster(fit *f, weir_err *err) {
    const weir_xgb_part *part = f->part;
    const weir_xgb_work *work = part->work;
    if (weir_xgb.XGBoosterCreate(f->matrices, f->matrices[1] ? 2 : 1, &f->booster) != 0) return broke("booster", err);
    if (part->from.round && weir_xgb.XGBoosterLoadModelFromBuffer(f->booster, part->checkpoint, part->checkpoint_len) != 0)
        return broke("going on from a checkpoint", err);
    weir_status status = weir_xgb_booster_set(f->booster, &work->params, work->seed, work->threads, err);
    if (!status && weir_xgb.XGBoosterSetParam(f->booster, "seed_per_iteration", "1") != 0) status = broke("seed", err);
    return status;
}

static bool make_room(fit *f) {
    const weir_xgb_work *work = f->part->work;
    size_t rows = (size_t)f->part->rows[0].count;
    if (work->forest)
        f->gradient = weir_models_calloc(2 * rows * (size_t)work->target_count, sizeof *f->gradient);
    else if (work->subsample < 1)
        f->weight = weir_models_calloc(rows, sizeof *f->weight);
    if (f->gradient) f->second = f->gradient + rows * (size_t)work->target_count;
    return f->gradient || f->weight || (!work->forest && work->subsample >= 1);
}

/* ---- a round ---- */

static bool is_drawn(const weir_xgb_work *work, int round, int64_t row) {
    return work->subsample >= 1 || weir_xgb_row_is_drawn(work->seed, round, work->rank + row * work->workers, work->subsample);
}

/* Those of models/xgb_common.c, of rows that are not drawn 0. */
static weir_status forest_gradients(fit *f, int round, weir_err *err) {
    const weir_xgb_work *work = f->part->work;
    const weir_xgb_rows *rows = &f->part->rows[0];
    for (int64_t r = 0, at = 0; r < rows->count; r++) {
        float weight = is_drawn(work, round, r) ? rows->weight[r] : 0;
        for (int k = 0; k < work->target_count; k++, at++) {
            f->gradient[at] = weight * ((float)work->base - rows->label[at]);
            f->second[at] = weight;
            if (!isfinite(f->gradient[at]))
                return WEIR_FAIL(err, WEIR_ENUMERIC, "the gradient of row %lld is not finite: labels or weights are too large",
                                 (long long)(work->rank + r * work->workers));
        }
    }
    return WEIR_OK;
}

static weir_status draw_rows(fit *f, int round, weir_err *err) {
    const weir_xgb_rows *rows = &f->part->rows[0];
    for (int64_t r = 0; r < rows->count; r++) f->weight[r] = is_drawn(f->part->work, round, r) ? rows->weight[r] : 0;
    return weir_xgb.XGDMatrixSetFloatInfo(f->matrices[0], "weight", f->weight, (bst_ulong)rows->count) == 0 ? WEIR_OK : broke("drawing rows", err);
}

/* The object that grows trees draws columns on and on, from where it began. Another spelling of its name makes the library build another one, which begins at the seed, and that is the round's own. The new
 * one knows no parameters but those that are set together with its name. */
static weir_status draw_columns_anew(fit *f, int round, weir_err *err) {
    const weir_xgb_work *work = f->part->work;
    const char *name = round % 2 ? "grow_quantile_histmaker" : "grow_quantile_histmaker,";
    weir_status status = weir_xgb_booster_set(f->booster, &work->params, mix(work->seed ^ mix((uint64_t)round)), work->threads, err);
    return !status && weir_xgb.XGBoosterSetParam(f->booster, "updater", name) != 0 ? broke("drawing columns", err) : status;
}

static weir_status train_round(fit *f, int round, weir_err *err) {
    const weir_xgb_work *work = f->part->work;
    weir_status status = work->samples_columns ? draw_columns_anew(f, round, err) : WEIR_OK;
    if (!status && f->weight) status = draw_rows(f, round, err);
    if (!status && f->gradient) status = forest_gradients(f, round, err);
    if (status) return status;
    bst_ulong count = (bst_ulong)f->part->rows[0].count * (bst_ulong)work->target_count;
    int failed = f->gradient ? weir_xgb.XGBoosterBoostOneIter(f->booster, f->matrices[0], f->gradient, f->second, count)
                             : weir_xgb.XGBoosterUpdateOneIter(f->booster, round, f->matrices[0]);
    return failed ? broke("training", err) : WEIR_OK;
}

static weir_status tell(fit *f, const weir_xgb_progress *progress, weir_err *err) {
    const weir_xgb_part *part = f->part;
    const weir_xgb_work *work = part->work;
    weir_buf model = {0};
    bool checkpoint = progress->round % work->checkpoint_rounds == 0 && progress->round < work->rounds;
    if (work->rank != 0) return WEIR_OK;
    weir_status status = checkpoint ? weir_xgb_append_model(f->booster, work->column_names, work->column_count, &model, err) : WEIR_OK;
    if (!status) status = part->done_round(part->context, progress, checkpoint ? &model : NULL, err);
    weir_buf_done(&model);
    return status;
}

/* All workers see the same loss, and end in the same round. */
static weir_status train_rounds(fit *f, int *ret_kept, weir_err *err) {
    const weir_xgb_work *work = f->part->work;
    weir_xgb_progress p = f->part->from;
    bool over = false;
    p.loss = NAN;
    if (!p.round) p.best = INFINITY;
    while (!over && p.round < work->rounds) {
        int round = p.round;
        weir_status status = train_round(f, round, err);
        if (!status && f->matrices[1]) status = weir_xgb_measure(f->booster, round, f->matrices[1], &p.loss, err);
        if (status) return status;
        if (f->matrices[1] && p.loss < p.best) {
            p.best = p.loss;
            p.best_round = round;
        } else if (f->matrices[1]) {
            over = round - p.best_round >= work->early_stopping_rounds;
        }
        p.round++;
        if ((status = tell(f, &p, err))) return status;
    }
    *ret_kept = f->matrices[1] ? p.best_round + 1 : p.round;
    return WEIR_OK;
}

static weir_status append_best(const fit *f, int kept, weir_buf *ret_body, weir_err *err) {
    const weir_xgb_work *work = f->part->work;
    BoosterHandle best = NULL;
    if (!f->matrices[1]) return weir_xgb_append_model(f->booster, work->column_names, work->column_count, ret_body, err);
    if (weir_xgb.XGBoosterSlice(f->booster, 0, kept, 1, &best) != 0) return weir_xgb_failed("keeping the best rounds", err);
    weir_status status = weir_xgb_append_model(best, work->column_names, work->column_count, ret_body, err);
    weir_xgb.XGBoosterFree(best);
    return status;
}

weir_status weir_xgb_part_train(const weir_xgb_part *part, weir_buf *ret_body, weir_err *err) {
    fit f = {.part = part};
    int kept = 0;
    weir_status status = make_room(&f) ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the weights of %lld rows", (long long)part->rows[0].count);
    if (!status) status = meet(part, err);
    for (int i = 0; i < 2 && !status; i++)
        if (part->rows[i].count) status = make_matrix(part->work, &part->rows[i], &f.matrices[i], err);
    if (!status && f.weight) status = make_thresholds(&f, err);
    if (!status) status = make_booster(&f, err);
    if (!status) status = train_rounds(&f, &kept, err);
    if (!status) status = append_best(&f, kept, ret_body, err);
    if (!status && weir_xgb.XGCommunicatorFinalize() != 0) status = broke("leaving the other workers", err);
    if (f.booster) weir_xgb.XGBoosterFree(f.booster);
    for (int i = 0; i < 2; i++)
        if (f.matrices[i]) weir_xgb.XGDMatrixFree(f.matrices[i]);
    weir_models_free(f.weight);
    weir_models_free(f.gradient);
    return status;
}
