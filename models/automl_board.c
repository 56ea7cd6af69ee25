/* The leaderboard: who is best, by how much, and whether that is more than chance. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/p_values.h"
#include "models/automl_internal.h"
#include "models/memory.h"
#include "models/significance.h"

#define NOT_TOLD_APART 0.05

void weir_leaderboard_done(weir_leaderboard *board) {
    for (int i = 0; i < board->count; i++) {
        cJSON_Delete(board->leaders[i].spec);
        weir_models_free(board->leaders[i].name);
        weir_models_free(board->leaders[i].fold_values);
    }
    weir_models_free(board->leaders);
    *board = (weir_leaderboard){0};
}

static weir_status copy_contender(const weir_search *search, const weir_contender *c, weir_leader *leader, weir_err *err) {
    char name[WEIR_AUTOML_NAME_MAX];
    size_t folds = (size_t)search->fold_count;
    weir_spec_describe(c->spec, name, sizeof name);
    *leader = (weir_leader){.trial = c->trial, .mean = c->mean, .deviation = c->deviation, .fit_s = c->fit_s, .p_worse = NAN};
    leader->spec = cJSON_Duplicate(c->spec, true);
    leader->name = weir_models_calloc(strlen(name) + 1, 1);
    leader->fold_values = weir_models_calloc(folds, sizeof *leader->fold_values);
    if (!leader->spec || !leader->name || !leader->fold_values) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a leaderboard");
    memcpy(leader->name, name, strlen(name));
    memcpy(leader->fold_values, c->fold_values, folds * sizeof *leader->fold_values);
    return WEIR_OK;
}

/* The test over the folds in which both have a value. pair [2 · fold_count] is room. False: fewer than two. */
static bool compare(const weir_search *search, const weir_leader *first, const weir_leader *other, double *pair, weir_paired_t *ret_test) {
    int n = 0;
    double *a = pair, *b = pair + search->fold_count;
    weir_err err;
    for (int f = 0; f < search->fold_count; f++) {
        if (!isfinite(first->fold_values[f]) || !isfinite(other->fold_values[f])) continue;
        a[n] = first->fold_values[f];
        b[n++] = other->fold_values[f];
    }
    return n >= 2 && weir_paired_t_test(a, b, n, search->test_to_train, ret_test, &err) == WEIR_OK;
}

static weir_status test_all(const weir_search *search, weir_leaderboard *board, weir_err *err) {
    size_t room = 2 * (size_t)search->fold_count + 2 * (size_t)board->count;
    double *pair = weir_models_calloc(room, sizeof *pair), *p = pair ? pair + 2 * search->fold_count : NULL, *adjusted = p ? p + board->count : NULL;
    int n = 0;
    if (!pair) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to compare %d models", board->count);
    for (int i = 1; i < board->count; i++) {
        weir_paired_t test;
        weir_leader *leader = &board->leaders[i];
        if (!compare(search, &board->leaders[0], leader, pair, &test)) continue;
        leader->p_worse = test.p;
        leader->close = fabs(test.mean) <= test.standard_error;
        p[n++] = test.p;
    }
    weir_status status = weir_holm_adjust(p, n, adjusted, err);
    for (int i = 1, k = 0; status == WEIR_OK && i < board->count; i++)
        if (!isnan(board->leaders[i].p_worse)) board->leaders[i].p_worse = adjusted[k++];
    weir_models_free(pair);
    return status;
}

static bool is_ensemble(const weir_leader *leader) {
    return cJSON_GetObjectItemCaseSensitive(leader->spec, "ensemble");
}

/* One model says why it scores as it does and scores in a fraction of the time: an ensemble has to be better than the folds leave open. */
static int choose_winner(const weir_leaderboard *board) {
    if (!is_ensemble(&board->leaders[0])) return 0;
    for (int i = 1; i < board->count; i++) {
        const weir_leader *leader = &board->leaders[i];
        if (!is_ensemble(leader)) return leader->close && leader->p_worse >= NOT_TOLD_APART ? i : 0;
    }
    return 0;
}

weir_status weir_search_board(const weir_search *search, int chosen, weir_leaderboard *ret_board, weir_err *err) {
    int *order = weir_models_calloc((size_t)search->count, sizeof *order);
    weir_leaderboard board = {.fold_count = search->fold_count};
    if (!order) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a leaderboard");
    int count = weir_search_rank(search, order), kept = count < WEIR_LEADERS_MAX ? count : WEIR_LEADERS_MAX;
    weir_status status = WEIR_OK;
    board.leaders = weir_models_calloc((size_t)kept, sizeof *board.leaders);
    if (!board.leaders) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a leaderboard");
    for (int i = 0; chosen >= 0 && i < count; i++) /* what was chosen is on the board, wherever it ranks */
        if (search->contenders[order[i]].trial == chosen && i >= kept) order[kept - 1] = order[i];
    for (int i = 0; status == WEIR_OK && i < kept; i++) status = copy_contender(search, &search->contenders[order[i]], &board.leaders[board.count++], err);
    if (status == WEIR_OK && kept > 0) status = test_all(search, &board, err);
    if (status == WEIR_OK && kept > 0) board.winner = choose_winner(&board);
    for (int i = 0; status == WEIR_OK && chosen >= 0 && i < kept; i++)
        if (board.leaders[i].trial == chosen) board.winner = i;
    weir_models_free(order);
    if (status == WEIR_OK)
        *ret_board = board;
    else
        weir_leaderboard_done(&board);
    return status;
}

/* ---- as JSON ---- */

/* JSON has no NaN. */
static bool put_number(cJSON *object, const char *name, double x) {
    return isfinite(x) ? cJSON_AddNumberToObject(object, name, x) != NULL : cJSON_AddNullToObject(object, name) != NULL;
}

static bool put_leader(cJSON *array, const weir_leaderboard *board, int i) {
    const weir_leader *leader = &board->leaders[i];
    cJSON *object = cJSON_CreateObject(), *folds = NULL, *spec = cJSON_Duplicate(leader->spec, true);
    if (!object || !spec || !cJSON_AddItemToArray(array, object)) {
        cJSON_Delete(object);
        cJSON_Delete(spec);
        return false;
    }
    bool ok = cJSON_AddNumberToObject(object, "rank", i + 1) && cJSON_AddStringToObject(object, "name", leader->name);
    if (!ok || !cJSON_AddItemToObject(object, "spec", spec)) {
        cJSON_Delete(spec);
        return false;
    }
    ok = put_number(object, "trial", leader->trial >= 0 ? leader->trial : NAN) && put_number(object, "mean", leader->mean) &&
         put_number(object, "deviation", leader->deviation) && put_number(object, "fit_seconds", leader->fit_s) &&
         (folds = cJSON_AddArrayToObject(object, "folds")) != NULL;
    for (int f = 0; ok && f < board->fold_count; f++) {
        double x = leader->fold_values[f];
        cJSON *value = isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull();
        ok = value && cJSON_AddItemToArray(folds, value);
    }
    return ok && put_number(object, "p_worse", leader->p_worse) && cJSON_AddBoolToObject(object, "winner", i == board->winner);
}

cJSON *weir_leaderboard_json(const weir_leaderboard *board) {
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; array && i < board->count; i++) {
        if (put_leader(array, board, i)) continue;
        cJSON_Delete(array);
        array = NULL;
    }
    return array;
}
