#include "models/folds.h"

#include <stdio.h>

#include "core/clock.h"
#include "models/memory.h"

enum { HOLDOUT_FOLDS = 5, NAME_ROOM = 64 };

/* ---- classes ---- */

/* What people call a class, in text [NAME_ROOM]. */
static const char *name_class(const weir_trainset *set, int class, char text[NAME_ROOM]) {
    if (set->class_names)
        snprintf(text, NAME_ROOM, "'%.50s'", set->class_names[class]);
    else
        snprintf(text, NAME_ROOM, "%d", class);
    return text;
}

static weir_status check_classes(const weir_trainset *set, weir_err *err) {
    int class;
    int64_t rows = weir_trainset_rarest_class(set, &class);
    char name[NAME_ROOM];
    if (set->matrix.row_count < 2) return WEIR_FAIL(err, WEIR_EDATA, "there is one training row, expected at least 2");
    if (rows >= 2) return WEIR_OK;
    return WEIR_FAIL(err, WEIR_EDATA,
                     "class %s of %s has %lld training row%s of %lld, expected at least 2: one to learn from where the other is tested. Train on more rows, or "
                     "merge the class with another, or leave it out",
                     name_class(set, class, name), set->target_names[0], (long long)rows, rows == 1 ? "" : "s", (long long)set->matrix.row_count);
}

/* ---- folds ---- */

static const char *name_scheme(const weir_split *split) {
    return weir_split_schemes()[split->scheme].name;
}

static weir_status count_folds(const weir_trainset *set, const weir_split *split, int *ret_count, weir_err *err) {
    const weir_split_rows rows = weir_trainset_split_rows(set);
    weir_split_plan *plan = NULL;
    weir_status status = weir_split_plan_new(split, &rows, &plan, err);
    if (!status) *ret_count = weir_split_plan_folds(plan);
    weir_split_plan_free(plan);
    return status;
}

/* Fewer folds of the scheme, each of which can be trained. False: none will do. */
static bool take_fewer_folds(const weir_trainset *set, weir_split *split) {
    weir_err none;
    weir_split fewer = *split;
    for (fewer.folds = split->folds - 1; fewer.folds >= 2; fewer.folds--) {
        if (weir_trainset_split_check(set, &fewer, &none)) continue;
        *split = fewer;
        return true;
    }
    return false;
}

/* Stratified folds of which each tests every class. Tenants with folds of their own have a rarest class each: those stay as asked. */
static void limit_to_rarest(const weir_trainset *set, weir_split *split) {
    int class;
    int64_t rows = weir_trainset_rarest_class(set, &class);
    if (split->scheme == WEIR_SPLIT_STRATIFIED_K_FOLD && !split->tenants && split->folds > rows) split->folds = rows;
}

/* Of what was asked. why: what stands against it, in words; empty when nothing does. */
static weir_status choose_asked(const weir_trainset *set, const weir_split *wanted, int folds, uint64_t seed, weir_split *ret_split,
                                char why[WEIR_ERR_MESSAGE_MAX], weir_err *err) {
    weir_err against;
    weir_status status = weir_trainset_split_check(set, wanted, &against);
    *ret_split = *wanted;
    limit_to_rarest(set, ret_split);
    if (!status) return WEIR_OK;
    if (status != WEIR_EDATA) {
        if (err) *err = against;
        return status;
    }
    snprintf(why, WEIR_ERR_MESSAGE_MAX, "%s", against.message);
    if (!take_fewer_folds(set, ret_split)) *ret_split = weir_trainset_default_split(set, folds, seed);
    return WEIR_OK;
}

/* Why default folds do not go by time. */
static const char *explain_default(const weir_trainset *set, const weir_split *split) {
    int64_t time_us;
    if (weir_split_schemes()[split->scheme].needs_time || !set->time_us) return "";
    return weir_trainset_same_time(set, &time_us) > 0.5 ? ": most rows have the same time, which does not order them" : "";
}

/* wanted: how many folds were. */
static void describe(const weir_trainset *set, weir_folds *f, int64_t wanted, const char *why) {
    int class;
    char name[NAME_ROOM], number[NAME_ROOM] = "";
    int64_t rows = weir_trainset_rarest_class(set, &class);
    if (f->count != 1) snprintf(number, sizeof number, ", %d folds", f->count);
    if (*why)
        snprintf(f->words, sizeof f->words, "%s%s, not those that were asked for: %s", name_scheme(&f->split), number, why);
    else if (f->split.scheme == WEIR_SPLIT_STRATIFIED_K_FOLD && f->count < wanted && f->count == rows)
        snprintf(f->words, sizeof f->words, "%s%s instead of %lld, for class %s has %lld training rows", name_scheme(&f->split), number, (long long)wanted,
                 name_class(set, class, name), (long long)rows);
    else
        snprintf(f->words, sizeof f->words, "%s%s%s", name_scheme(&f->split), number, f->as_asked ? "" : explain_default(set, &f->split));
}

weir_status weir_folds_choose(const weir_trainset *set, const weir_split *wanted, int folds, uint64_t seed, weir_folds *ret_folds, weir_err *err) {
    weir_folds f = {.as_asked = wanted != NULL};
    char why[WEIR_ERR_MESSAGE_MAX] = "";
    weir_status status = check_classes(set, err);
    if (!status && wanted)
        status = choose_asked(set, wanted, wanted->folds > 1 ? (int)wanted->folds : folds, seed, &f.split, why, err);
    else if (!status)
        f.split = weir_trainset_default_split(set, folds, seed);
    if (!status) status = count_folds(set, &f.split, &f.count, err);
    if (status) return status;
    if (wanted) f.as_asked = !*why && f.split.folds == wanted->folds;
    describe(set, &f, wanted ? wanted->folds : folds, why);
    *ret_folds = f;
    return WEIR_OK;
}

/* ---- a hold-out ---- */

double weir_trainset_same_time(const weir_trainset *set, int64_t *ret_time_us) {
    int64_t n = set->matrix.row_count, most = 0;
    for (int64_t from = 0, to; set->time_us && from < n; from = to) {
        for (to = from + 1; to < n && set->time_us[to] == set->time_us[from];) to++;
        if (to - from <= most) continue;
        most = to - from;
        *ret_time_us = set->time_us[from];
    }
    return n ? (double)most / (double)n : 0;
}

/* The first fold that leaves every class in both parts; else one that leaves every class to train on. −1: none. */
static int choose_fold(const weir_trainset *set, const weir_split_plan *plan, uint8_t *role) {
    int second = -1;
    for (int f = 0; f < weir_split_plan_folds(plan); f++) {
        bool trained = weir_trainset_fold_lacks(set, plan, f, WEIR_ROLE_TRAIN, role) == WEIR_LACKS_NOTHING;
        if (trained && weir_trainset_fold_lacks(set, plan, f, WEIR_ROLE_TEST, role) == WEIR_LACKS_NOTHING) return f;
        if (trained && second < 0) second = f;
    }
    return second;
}

/* role [row_count] as of the chosen fold. *ret_drawn false: no fold of the scheme will do. */
static weir_status draw_fold(const weir_trainset *set, const weir_split *split, uint8_t *role, bool *ret_drawn, weir_err *err) {
    const weir_split_rows rows = weir_trainset_split_rows(set);
    weir_split_plan *plan = NULL;
    weir_fold counts;
    weir_status status = weir_split_plan_new(split, &rows, &plan, err);
    if (status) return status;
    int fold = choose_fold(set, plan, role);
    *ret_drawn = fold >= 0;
    if (fold >= 0) status = weir_split_plan_roles(plan, fold, role, &counts, err);
    weir_split_plan_free(plan);
    return status;
}

static weir_status take_role(const weir_trainset *set, const uint8_t *role, weir_role wanted, int64_t *rows, weir_trainset *ret_set, weir_err *err) {
    int64_t count = 0;
    for (int64_t r = 0; r < set->matrix.row_count; r++)
        if (role[r] == wanted) rows[count++] = r;
    return weir_trainset_take(set, rows, count, ret_set, err);
}

static weir_status draw(const weir_trainset *set, uint64_t seed, uint8_t *role, weir_holdout *h, weir_err *err) {
    bool drawn = false, repeat = set->entity && set->entities_seen < set->matrix.row_count && set->entities_seen >= HOLDOUT_FOLDS;
    weir_status status = WEIR_OK;
    h->split = (weir_split){.scheme = WEIR_SPLIT_GROUPED_K_FOLD, .folds = HOLDOUT_FOLDS};
    if (repeat) status = draw_fold(set, &h->split, role, &drawn, err);
    if (status || drawn) return status;
    h->split = (weir_split){.scheme = set->matrix.task == WEIR_TASK_REGRESSION ? WEIR_SPLIT_K_FOLD : WEIR_SPLIT_STRATIFIED_K_FOLD,
                            .folds = HOLDOUT_FOLDS,
                            .shuffle = true,
                            .seed = (int64_t)(seed & ((UINT64_C(1) << 53) - 1))};
    status = draw_fold(set, &h->split, role, &drawn, err);
    if (status || drawn) return status;
    return check_classes(set, err) ? WEIR_EDATA : WEIR_FAIL(err, WEIR_EDATA, "no fifth of the rows leaves every class to train on");
}

static void describe_holdout(const weir_trainset *set, weir_holdout *h) {
    char time[WEIR_TIME_TEXT_MAX];
    const char *how = h->split.scheme == WEIR_SPLIT_GROUPED_K_FOLD      ? "a fifth of the entities, each with all its rows"
                      : h->split.scheme == WEIR_SPLIT_STRATIFIED_K_FOLD ? "a fifth of the rows, drawn with every class's share"
                                                                        : "a fifth of the rows, drawn";
    int64_t same = (int64_t)(h->same_time * (double)set->matrix.row_count + 0.5);
    char count[64], moment[WEIR_TIME_TEXT_MAX];
    bool midnight = h->time_us % WEIR_DAY_US == 0;
    snprintf(moment, sizeof moment, "%.*s", midnight ? 10 : 16, weir_time_format(h->time_us, time)); /* a date, or to the minute */
    if (same < set->matrix.row_count)
        snprintf(count, sizeof count, "%lld of %lld", (long long)same, (long long)set->matrix.row_count);
    else
        snprintf(count, sizeof count, "all %lld", (long long)same);
    snprintf(h->words, sizeof h->words,
             "%s rows have one time, %s, so time cannot tell training rows from later ones: tested is %s. The figures say how good models are on other rows of "
             "that time, not on later ones",
             count, moment, how);
}

weir_status weir_holdout_draw(const weir_trainset *set, uint64_t seed, weir_trainset *ret_train, weir_trainset *ret_test, weir_holdout *ret_holdout,
                              weir_err *err) {
    size_t n = (size_t)set->matrix.row_count;
    weir_holdout h = {0};
    weir_trainset train = {0}, test = {0};
    uint8_t *role = weir_models_calloc(n, sizeof *role);
    int64_t *rows = weir_models_calloc(n, sizeof *rows);
    weir_status status = role && rows ? WEIR_OK : WEIR_FAIL(err, WEIR_ENOMEM, "no memory to draw test rows of %zu", n);
    h.same_time = weir_trainset_same_time(set, &h.time_us);
    if (!status) status = draw(set, seed, role, &h, err);
    if (!status) status = take_role(set, role, WEIR_ROLE_TRAIN, rows, &train, err);
    if (!status) status = take_role(set, role, WEIR_ROLE_TEST, rows, &test, err);
    weir_models_free(role);
    weir_models_free(rows);
    if (status) {
        weir_trainset_done(&train);
        return status;
    }
    describe_holdout(set, &h);
    *ret_train = train;
    *ret_test = test;
    *ret_holdout = h;
    return WEIR_OK;
}
