#include "consumers/trigger_replay.h"

#include <math.h>
#include <stdlib.h>

#include "consumers/rollout_state.h"
#include "consumers/split.h"
#include "core/clock.h"
#include "core/cron.h"
#include "features/drift.h"
#include "models/degradation.h"
#include "models/memory.h"

const char *const weir_replay_policy_names[] = {"never", "weekly", "drift", "pipeline", NULL};

static const weir_schedule_def sundays = {.name = "weekly", .cron = "0 2 * * 0", .time_zone = "UTC", .action = "train"};
#define ALPHA 0.05 /* as live: false alarms of a version over all its life */

/* A policy on its way. */
typedef struct course {
    weir_replay_outcome *outcome;
    int model; /* the day whose model serves */
    int64_t first_row; /* that it served */
    int challenger; /* the day whose model is rolled out, while `rollout` is active */
    int64_t challenged_row; /* the first that either of the two may have answered */
    weir_rollout rollout;
    int64_t look; /* of degradation, the last one */
    bool degraded;
    int64_t asked_us; /* the last run; INT64_MIN: none */
    double *score; /* [rows] what was served */
    double *share; /* [rows] propensity of the arm that answered; below 0: it was the challenger; 0: there was no rollout */
} course;

typedef struct walk {
    const weir_trigger_replay *r;
    weir_replay_result *result;
    weir_replay_shop shop;
    weir_replay_model *models; /* [day_count] */
    course courses[WEIR_REPLAY_POLICIES];
    weir_drift_table *window, *before; /* of the day; NULL: not made yet */
} walk;

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to replay triggers");
}

static int64_t day_ceil(int64_t time_us) {
    int64_t day = time_us / WEIR_DAY_US;
    return (day + (time_us % WEIR_DAY_US > 0)) * WEIR_DAY_US;
}

static int64_t day_us(const walk *w, int day) {
    return w->result->from_us + day * WEIR_DAY_US;
}

static int64_t known_us(const weir_trainset *rows, int64_t row) {
    return rows->label_until_us ? rows->label_until_us[row] : rows->time_us[row];
}

/* ---- training ---- */

/* The model of a day, fitted when the first policy asks for it. What the rows do not allow leaves it without a model. */
static weir_status model_of(walk *w, int day, weir_err *err) {
    weir_replay_model *m = &w->models[day];
    int64_t began_us = weir_clock_mono_us(weir_clock_system());
    weir_err why = {0};
    if (m->tried) return WEIR_OK;
    if (w->r->cancel && *w->r->cancel) return WEIR_RETRY(err, WEIR_ETIMEOUT, "the replay was asked to stop");
    weir_status status = weir_replay_fit(&w->shop, day_us(w, day), m, &why);
    w->result->fit_s += (double)(weir_clock_mono_us(weir_clock_system()) - began_us) / 1e6;
    w->result->fits += m->model != NULL;
    if (!status || (day && (status == WEIR_ENOTFOUND || status == WEIR_EDATA))) return WEIR_OK;
    if (err) *err = why;
    return status;
}

static void take_over(walk *w, course *c, int model, int day) {
    c->model = model;
    c->first_row = weir_replay_row_at(w->r->rows, day_us(w, day));
    c->look = 0;
    c->degraded = false;
}

/* What a run made takes over, or is rolled out first; one that is being rolled out already gives way to it. */
static weir_status begin_model(walk *w, course *c, int day, weir_err *err) {
    const weir_rollout_def *def = &w->r->pipeline->rollout;
    weir_status status = model_of(w, day, err);
    if (status) return status;
    if (!w->models[day].model) {
        c->outcome->failed++;
        return WEIR_OK;
    }
    if (!day || !def->automatic) {
        take_over(w, c, day, day);
        return WEIR_OK;
    }
    c->challenger = day;
    c->challenged_row = weir_replay_row_at(w->r->rows, day_us(w, day));
    return weir_rollout_begin(def, 1, false, day_us(w, day), &c->rollout, err);
}

/* ---- rollouts ---- */

static bool rolls_out(const course *c) {
    return c->challenger && weir_rollout_active(&c->rollout);
}

static weir_status feed_row(const walk *w, course *c, int64_t r, weir_err *err) {
    bool challenger = c->share[r] < 0;
    const weir_replay_model *m = &w->models[challenger ? c->challenger : c->model];
    double propensity = fabs(c->share[r]), share = challenger ? propensity : 1 - propensity;
    const weir_rollout_row row = {.arm = challenger ? 0 : WEIR_ROLLOUT_NOBODY,
                                  .bucket = WEIR_ROLLOUT_NO_BUCKET,
                                  .champion_share = 1 - share,
                                  .shares = {share},
                                  .answer = {.score = c->score[r], .decision = c->score[r] >= m->threshold},
                                  .label = w->r->rows->matrix.label[r]};
    return weir_rollout_add(&w->r->pipeline->rollout, &c->rollout, &row, err);
}

/* Outcomes that became known since the day before, in the order of their rows, and what follows. */
static weir_status look_at_rollout(walk *w, course *c, int day, weir_err *err) {
    const weir_trainset *rows = w->r->rows;
    int64_t now_us = day_us(w, day), end = weir_replay_row_at(rows, now_us);
    weir_status status = WEIR_OK;
    for (int64_t r = c->challenged_row; !status && rolls_out(c) && r < end; r++) {
        if (known_us(rows, r) > now_us || known_us(rows, r) <= now_us - WEIR_DAY_US) continue;
        status = feed_row(w, c, r, err);
        if (!status) weir_rollout_decide(&w->r->pipeline->rollout, &c->rollout, now_us);
    }
    if (!status && rolls_out(c)) weir_rollout_decide(&w->r->pipeline->rollout, &c->rollout, now_us);
    if (status || rolls_out(c) || !c->challenger) return status;
    if (c->rollout.state == WEIR_ROLLOUT_PROMOTED) {
        c->outcome->promoted++;
        take_over(w, c, c->challenger, day);
    }
    c->challenger = 0;
    return WEIR_OK;
}

/* ---- deciding ---- */

/* Runs that were asked for within the policy's period. */
static int recent_runs(const walk *w, const course *c, int64_t now_us) {
    int count = 0;
    for (int i = 0; i < c->outcome->decision_count; i++) {
        const weir_replay_decision *d = &c->outcome->decisions[i];
        count += d->decision.train && d->at_us > now_us - w->r->pipeline->triggers.policy.per_us;
    }
    return count;
}

static double predictions_of_last_day(const walk *w, int64_t now_us) {
    return (double)(weir_replay_row_at(w->r->rows, now_us) - weir_replay_row_at(w->r->rows, now_us - WEIR_DAY_US));
}

static weir_status note(course *c, const weir_replay_decision *decision, weir_err *err) {
    weir_replay_outcome *o = c->outcome;
    weir_replay_decision *more = weir_mem.realloc(o->decisions, ((size_t)o->decision_count + 1) * sizeof *more);
    if (!more) return no_memory(err);
    o->decisions = more;
    o->decisions[o->decision_count++] = *decision;
    return WEIR_OK;
}

/* A cause that came about at asked_us; free: without the rules of the policy. */
static weir_status decide(walk *w, course *c, int day, weir_cause cause, int64_t asked_us, double drop, bool is_free, weir_err *err) {
    const weir_triggers *triggers = &w->r->pipeline->triggers;
    int64_t now_us = day_us(w, day);
    const weir_decision_state state = {
        .now_us = now_us,
        .asked_us = asked_us,
        .last_asked_us = c->asked_us,
        .runs_in_period = recent_runs(w, c, now_us),
        .pending = c->asked_us == now_us,
        .rolling_out = rolls_out(c),
        .expected_drop = drop,
        .predictions_ahead = predictions_of_last_day(w, now_us) * (double)weir_until_training_us(triggers, now_us) / (double)WEIR_DAY_US,
    };
    weir_replay_decision d = {now_us, cause, {.train = true, .gain = NAN, .cost = NAN, .why = "always"}};
    if (!is_free) d.decision = weir_decide_training(&triggers->policy, cause, &state);
    weir_status status = note(c, &d, err);
    if (status || !d.decision.train) return status;
    c->asked_us = now_us;
    c->outcome->retrains++;
    return begin_model(w, c, day, err);
}

/* Those that were due since the day before. */
static weir_status by_schedule(walk *w, course *c, int day, const weir_schedule_def *def, bool is_free, weir_err *err) {
    weir_cron cron;
    weir_zone *zone = NULL;
    weir_status status = strcmp(def->action, "train") ? WEIR_OK : weir_cron_parse(def->cron, &cron, err);
    if (status || strcmp(def->action, "train")) return status;
    status = weir_zone_load(def->time_zone, &zone, err);
    int64_t due_us = status ? 0 : weir_cron_next(&cron, zone, day_us(w, day - 1));
    weir_zone_free(zone);
    if (status || due_us > day_us(w, day)) return status;
    return decide(w, c, day, WEIR_CAUSE_SCHEDULE, due_us, NAN, is_free, err);
}

/* ---- drift ---- */

static weir_status window_table(walk *w, int64_t from_us, int64_t to_us, weir_drift_table **table, weir_err *err) {
    const weir_trainset *rows = w->r->rows;
    if (*table) return WEIR_OK;
    return weir_replay_table(&w->shop, weir_replay_row_at(rows, from_us), weir_replay_row_at(rows, to_us), table, err);
}

static bool too_few(const walk *w, int64_t from_us, int64_t to_us) {
    const weir_trainset *rows = w->r->rows;
    return weir_replay_row_at(rows, to_us) - weir_replay_row_at(rows, from_us) < w->r->pipeline->triggers.drift.min_rows;
}

/* Whether the window that ends now is an alarm: as the drift worker judges one. */
static weir_status look_for_drift(walk *w, const course *c, int day, bool *ret_alarm, weir_err *err) {
    const weir_drift_def *def = &w->r->pipeline->triggers.drift;
    int64_t to_us = day_us(w, day), from_us = to_us - def->window_us;
    weir_drift_settings settings = weir_drift_defaults;
    weir_drift_report *report = NULL;
    settings.alpha = def->false_alarm_rate;
    settings.high_share = def->alert_share;
    settings.critical_share = def->critical_share;
    *ret_alarm = false;
    if (!w->shop.field_count || too_few(w, from_us, to_us) || (def->against_window && too_few(w, from_us - def->window_us, from_us))) return WEIR_OK;
    weir_status status = window_table(w, from_us, to_us, &w->window, err);
    if (!status && def->against_window) status = window_table(w, from_us - def->window_us, from_us, &w->before, err);
    if (!status) status = weir_drift_compare(def->against_window ? w->before : w->models[c->model].trained, w->window, NULL, &settings, &report, err);
    if (!status) *ret_alarm = report->severity >= WEIR_DRIFT_HIGH;
    weir_drift_report_free(report);
    return status;
}

static weir_status by_drift(walk *w, course *c, int day, bool is_free, weir_err *err) {
    bool alarm = false;
    weir_status status = look_for_drift(w, c, day, &alarm, err);
    return status || !alarm ? status : decide(w, c, day, WEIR_CAUSE_DRIFT, day_us(w, day), NAN, is_free, err);
}

/* ---- degradation ---- */

/* The newest rows that the model served and whose labels are known. */
typedef struct labelled {
    int64_t count, kept;
    double *score, *label; /* [kept] */
    uint32_t *entity;
} labelled;

static weir_status find_labelled(const walk *w, const course *c, int day, labelled *l, weir_err *err) {
    const weir_trainset *rows = w->r->rows;
    int64_t most = WEIR_DEGRADATION_WINDOW * w->r->pipeline->triggers.performance.min_rows, end = weir_replay_row_at(rows, day_us(w, day));
    size_t room = (size_t)(end - c->first_row < most ? end - c->first_row : most);
    *l = (labelled){.score = weir_models_calloc(room, sizeof(double)),
                    .label = weir_models_calloc(room, sizeof(double)),
                    .entity = weir_models_calloc(room, sizeof(uint32_t))};
    if (!l->score || !l->label || !l->entity) return no_memory(err);
    for (int64_t r = end; r-- > c->first_row;) {
        if (known_us(rows, r) > day_us(w, day) || c->share[r] < 0) continue;
        l->count++;
        if (l->kept == most) continue;
        l->score[l->kept] = c->score[r];
        l->label[l->kept] = rows->matrix.label[r];
        l->entity[l->kept++] = rows->entity ? rows->entity[r] : (uint32_t)r;
    }
    return WEIR_OK;
}

static void labelled_done(labelled *l) {
    weir_models_free(l->score);
    weir_models_free(l->label);
    weir_models_free(l->entity);
}

/* Each degradation asks once, when it begins. */
static weir_status conclude(walk *w, course *c, int day, const weir_degradation *found, double reference, weir_err *err) {
    bool is_back = w->result->metric->greater_is_better ? found->value >= found->limit : found->value <= found->limit, was = c->degraded;
    c->degraded = found->worse || (was && !is_back);
    if (!found->worse || was) return WEIR_OK;
    return decide(w, c, day, WEIR_CAUSE_PERFORMANCE, day_us(w, day), found->share * fabs(reference), false, err);
}

static weir_status by_performance(walk *w, course *c, int day, weir_err *err) {
    const weir_degradation_def *def = &w->r->pipeline->triggers.performance;
    const weir_replay_model *m = &w->models[c->model];
    const weir_degradation_settings settings = {.metric = w->result->metric,
                                                .threshold = m->threshold,
                                                .reference = m->reference,
                                                .reference_count = m->reference_count,
                                                .drop = def->drop,
                                                .min_rows = def->min_rows,
                                                .alpha = ALPHA};
    weir_degradation found = {.value = NAN};
    labelled l;
    if (isnan(m->reference)) return WEIR_OK;
    weir_status status = find_labelled(w, c, day, &l, err);
    int64_t look = status ? 0 : weir_degradation_look(l.count, def->min_rows);
    if (!status && look > c->look) {
        const weir_outcomes outcomes = {.row_count = l.kept, .label = l.label, .score = l.score};
        status = weir_degradation_judge(&settings, &outcomes, l.entity, look, &found, err);
        c->look = look;
    }
    labelled_done(&l);
    return status || !isfinite(found.value) ? status : conclude(w, c, day, &found, m->reference, err);
}

/* ---- volume ---- */

/* Labels that became known since the last run began; the first model is one. */
static weir_status by_volume(walk *w, course *c, int day, weir_err *err) {
    const weir_trainset *rows = w->r->rows;
    int64_t since_us = c->asked_us == INT64_MIN ? w->result->from_us : c->asked_us, wanted = w->r->pipeline->triggers.volume_rows, found = 0;
    for (int64_t r = weir_replay_row_at(rows, day_us(w, day)); r-- > 0 && found < wanted;)
        found += known_us(rows, r) > since_us && known_us(rows, r) <= day_us(w, day);
    return found < wanted ? WEIR_OK : decide(w, c, day, WEIR_CAUSE_VOLUME, day_us(w, day), NAN, false, err);
}

/* ---- a day ---- */

static weir_status decide_all(walk *w, course *c, weir_replay_policy policy, int day, weir_err *err) {
    const weir_triggers *triggers = &w->r->pipeline->triggers;
    weir_status status = WEIR_OK;
    if (policy == WEIR_REPLAY_WEEKLY) return by_schedule(w, c, day, &sundays, true, err);
    if (policy == WEIR_REPLAY_DRIFT) return by_drift(w, c, day, true, err);
    if (policy != WEIR_REPLAY_PIPELINE) return WEIR_OK;
    for (int i = 0; !status && i < triggers->schedule_count; i++) status = by_schedule(w, c, day, &triggers->schedules[i], false, err);
    if (!status && triggers->drift.enabled) status = by_drift(w, c, day, false, err);
    if (!status && triggers->performance.enabled) status = by_performance(w, c, day, err);
    if (!status && triggers->volume_rows) status = by_volume(w, c, day, err);
    return status;
}

/* The challenger answers its share of the rows; arms are drawn by row. */
static weir_status serve_challenger(walk *w, course *c, int64_t first, int64_t count, weir_err *err) {
    const weir_matrix *matrix = &w->r->rows->matrix;
    const weir_rollout_def *def = &w->r->pipeline->rollout;
    double *score = weir_models_calloc((size_t)count, sizeof *score), share = c->rollout.arms[0].share;
    weir_status status = score ? WEIR_OK : no_memory(err);
    if (!status) status = weir_model_predict(w->models[c->challenger].model, matrix->values + first * matrix->column_count, count, score, err);
    for (int64_t i = 0; !status && i < count; i++) {
        int64_t row = first + i;
        bool challenger = weir_split_point(def->salt, (const char *)&row, sizeof row) < share;
        c->share[row] = challenger ? -share : 1 - share;
        if (challenger) c->score[row] = score[i];
    }
    weir_models_free(score);
    return status;
}

/* Answers the day's rows, and measures that with what became known of them whenever it did. */
static weir_status serve(walk *w, course *c, int day, weir_err *err) {
    const weir_matrix *matrix = &w->r->rows->matrix;
    const weir_replay_model *m = &w->models[c->model];
    int64_t first = weir_replay_row_at(w->r->rows, day_us(w, day)), count = weir_replay_row_at(w->r->rows, day_us(w, day + 1)) - first;
    const weir_outcomes outcomes = {.row_count = count, .label = matrix->label + first, .score = c->score + first, .threshold = m->threshold};
    w->result->predictions[day] = count;
    c->outcome->daily[day] = NAN;
    if (!count) return WEIR_OK;
    weir_status status = weir_model_predict(m->model, matrix->values + first * matrix->column_count, count, c->score + first, err);
    if (!status && rolls_out(c)) status = serve_challenger(w, c, first, count, err);
    return status ? status : weir_model_metric_measure(w->result->metric, &outcomes, &c->outcome->daily[day], err);
}

static weir_status walk_day(walk *w, int day, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int p = 0; !status && p < WEIR_REPLAY_POLICIES; p++) {
        course *c = &w->courses[p];
        if (rolls_out(c)) status = look_at_rollout(w, c, day, err);
        if (!status) status = day ? decide_all(w, c, (weir_replay_policy)p, day, err) : begin_model(w, c, 0, err);
        if (!status) status = serve(w, c, day, err);
    }
    weir_drift_table_free(w->window);
    weir_drift_table_free(w->before);
    w->window = w->before = NULL;
    if (!status && w->r->progress) w->r->progress(w->r->progress_context, day_us(w, day), w->result->fits);
    return status;
}

/* ---- what it cost ---- */

static void sum_up(weir_replay_result *result, const weir_trigger_policy *policy) {
    double best = -INFINITY, least = INFINITY, sums[WEIR_REPLAY_POLICIES] = {0}, sign = result->metric->greater_is_better ? 1 : -1;
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) {
        double predictions = 0;
        weir_replay_outcome *o = &result->outcomes[p];
        for (int d = 0; d < result->day_count; d++) {
            if (isnan(o->daily[d])) continue;
            sums[p] += o->daily[d] * (double)result->predictions[d];
            predictions += (double)result->predictions[d];
        }
        o->metric = sums[p] / predictions;
        best = fmax(best, sign * sums[p]);
    }
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) {
        weir_replay_outcome *o = &result->outcomes[p];
        o->training = o->retrains * policy->training_cost;
        o->lost = policy->metric_value * (best - sign * sums[p]) / 1000;
        o->total = o->training + o->lost;
        least = fmin(least, o->total);
    }
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) result->outcomes[p].regret = result->outcomes[p].total - least;
}

/* ---- public ---- */

static weir_status check(const weir_trigger_replay *r, const weir_model_metric **ret_metric, weir_err *err) {
    const char *name = r->pipeline->triggers.performance.metric;
    if (isnan(r->pipeline->triggers.policy.metric_value))
        return WEIR_FAIL(err, WEIR_EINVAL, "triggers.policy.metric_value is not given: nobody knows what a worse metric costs");
    if (r->recipe->task == WEIR_TASK_MULTICLASS || r->rows->target_count > 1 || !r->rows->time_us)
        return WEIR_FAIL(err, WEIR_EINVAL, "triggers are replayed for one score a row, and rows with a time");
    if (name && !strcmp(name, "auc_roc")) name = "roc_auc";
    *ret_metric = name ? weir_model_metric_find(r->recipe->task, name) : r->recipe->metric;
    if (!*ret_metric || !weir_degradation_comparable(*ret_metric))
        return WEIR_FAIL(err, WEIR_EINVAL, "triggers.performance.metric: days cannot be compared by %s", name ? name : r->recipe->metric->name);
    return WEIR_OK;
}

/* From the first day that leaves enough before it; whole days. */
static weir_status choose_days(const weir_trigger_replay *r, weir_replay_result *result, weir_err *err) {
    int64_t count = r->rows->matrix.row_count, earliest_us = day_ceil(r->rows->time_us[0] + 1 - WEIR_DAY_US) + day_ceil(weir_replay_lead_us(r));
    int64_t from_us = r->from_us > earliest_us ? day_ceil(r->from_us) : earliest_us, last_us = r->rows->time_us[count - 1];
    int64_t to_us = r->to_us <= last_us ? day_ceil(r->to_us - WEIR_DAY_US + 1) : day_ceil(last_us + 1);
    if (to_us <= from_us)
        return WEIR_FAIL(err, WEIR_ENOTFOUND, "no day is left: the first model needs %.0f days before it",
                         (double)weir_replay_lead_us(r) / (double)WEIR_DAY_US);
    result->from_us = from_us;
    result->day_count = (int)((to_us - from_us) / WEIR_DAY_US);
    return WEIR_OK;
}

static weir_status allocate(walk *w, weir_err *err) {
    size_t days = (size_t)w->result->day_count, rows = (size_t)w->r->rows->matrix.row_count;
    w->models = weir_models_calloc(days, sizeof *w->models);
    w->result->predictions = weir_models_calloc(days, sizeof *w->result->predictions);
    bool ok = w->models && w->result->predictions;
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) {
        weir_replay_outcome *o = &w->result->outcomes[p];
        o->daily = weir_models_calloc(days, sizeof *o->daily);
        w->courses[p] =
            (course){.outcome = o, .asked_us = INT64_MIN, .score = weir_models_calloc(rows, sizeof(double)), .share = weir_models_calloc(rows, sizeof(double))};
        ok = ok && o->daily && w->courses[p].score && w->courses[p].share;
    }
    return ok ? WEIR_OK : no_memory(err);
}

weir_status weir_trigger_replay_run(const weir_trigger_replay *replay, weir_replay_result *ret_result, weir_err *err) {
    weir_replay_result result = {0};
    walk w = {.r = replay, .result = &result};
    weir_status status = check(replay, &result.metric, err);
    if (!status) status = choose_days(replay, &result, err);
    if (!status) status = weir_replay_shop_init(replay, result.metric, &w.shop, err);
    if (!status) status = allocate(&w, err);
    for (int day = 0; !status && day < result.day_count; day++) status = walk_day(&w, day, err);
    if (!status) sum_up(&result, &replay->pipeline->triggers.policy);
    for (int day = 0; w.models && day < result.day_count; day++) weir_replay_model_done(&w.models[day]);
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) {
        weir_models_free(w.courses[p].score);
        weir_models_free(w.courses[p].share);
    }
    weir_models_free(w.models);
    weir_replay_shop_done(&w.shop);
    if (status)
        weir_replay_result_done(&result);
    else
        *ret_result = result;
    return status;
}

void weir_replay_result_done(weir_replay_result *result) {
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) {
        weir_models_free(result->outcomes[p].daily);
        weir_models_free(result->outcomes[p].decisions);
    }
    weir_models_free(result->predictions);
    *result = (weir_replay_result){0};
}

/* ---- JSON ---- */

static void add_number(cJSON *json, const char *name, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(json, name, value);
    else
        cJSON_AddNullToObject(json, name);
}

static cJSON *decisions_json(const weir_replay_outcome *o) {
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < o->decision_count; i++) {
        const weir_replay_decision *d = &o->decisions[i];
        cJSON *entry = cJSON_CreateObject();
        char at[WEIR_TIME_TEXT_MAX];
        cJSON_AddStringToObject(entry, "at", weir_time_format(d->at_us, at));
        cJSON_AddStringToObject(entry, "cause", weir_cause_names[d->cause]);
        cJSON_AddStringToObject(entry, "decision", d->decision.train ? "train" : "wait");
        cJSON_AddStringToObject(entry, "why", d->decision.why);
        add_number(entry, "expected_gain", d->decision.gain);
        cJSON_AddItemToArray(list, entry);
    }
    return list;
}

static cJSON *outcome_json(const weir_replay_result *result, int p) {
    const weir_replay_outcome *o = &result->outcomes[p];
    cJSON *json = cJSON_CreateObject(), *daily = cJSON_CreateArray();
    cJSON_AddStringToObject(json, "policy", weir_replay_policy_names[p]);
    cJSON_AddNumberToObject(json, "retrains", o->retrains);
    cJSON_AddNumberToObject(json, "failed", o->failed);
    cJSON_AddNumberToObject(json, "promoted", o->promoted);
    add_number(json, "metric", o->metric);
    add_number(json, "training_cost", o->training);
    add_number(json, "lost", o->lost);
    add_number(json, "total", o->total);
    add_number(json, "regret", o->regret);
    for (int d = 0; d < result->day_count; d++) cJSON_AddItemToArray(daily, isnan(o->daily[d]) ? cJSON_CreateNull() : cJSON_CreateNumber(o->daily[d]));
    cJSON_AddItemToObject(json, "daily", daily);
    cJSON_AddItemToObject(json, "decisions", decisions_json(o));
    return json;
}

cJSON *weir_replay_result_json(const weir_replay_result *result, const weir_pipeline *pipeline) {
    cJSON *json = cJSON_CreateObject(), *policies = cJSON_CreateArray(), *predictions = cJSON_CreateArray();
    char text[WEIR_TIME_TEXT_MAX];
    cJSON_AddStringToObject(json, "pipeline", pipeline->name);
    cJSON_AddStringToObject(json, "metric", result->metric->name);
    cJSON_AddStringToObject(json, "from", weir_time_format(result->from_us, text));
    cJSON_AddNumberToObject(json, "days", result->day_count);
    cJSON_AddNumberToObject(json, "training_cost", pipeline->triggers.policy.training_cost);
    cJSON_AddNumberToObject(json, "metric_value", pipeline->triggers.policy.metric_value);
    cJSON_AddNumberToObject(json, "fits", result->fits);
    cJSON_AddNumberToObject(json, "fit_seconds", result->fit_s);
    for (int d = 0; d < result->day_count; d++) cJSON_AddItemToArray(predictions, cJSON_CreateNumber((double)result->predictions[d]));
    cJSON_AddItemToObject(json, "predictions", predictions);
    for (int p = 0; p < WEIR_REPLAY_POLICIES; p++) cJSON_AddItemToArray(policies, outcome_json(result, p));
    cJSON_AddItemToObject(json, "policies", policies);
    return json;
}
