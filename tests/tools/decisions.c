/* Experiments without end, to count how often each test decides, and after how many outcomes.
 *
 *   decisions SCENARIO RUNS OUTCOMES EVERY SEED SHARE EFFECT
 *
 * SCENARIO   two arms: bernoulli:P, normal, lognormal (means), logloss (loss of the row), auc (by batches);
 *            routed:P: bernoulli whose P drifts, whose successes are known at once and failures 200 requests later, with a share that rises from SHARE to a half
 *            and is then moved by what was seen; both arms score every row: brier, auc-paired
 * OUTCOMES   of one experiment; the anytime-valid tests look after each, the naive one after every EVERY (from 100 on)
 * SHARE      of the challenger
 * EFFECT     of the challenger, bernoulli: on P, normal: deviations, lognormal: a factor of 1 + EFFECT, the others: more noise in its logits
 *
 *            whole rollouts (consumers/rollout_state.h) between equals: steps:N, thompson:N, context:N with N challengers: by steps from SHARE on, routed by what
 *            the arms have earned, and that by a context of 8 values whose rates of the label differ; they score every row by noise of their own, the loss is Brier's,
 *            a decision is looked for after every outcome, shares are moved after every EVERY
 *            regret:B: a context of B values, in a part SHARE of which the challenger errs less often than the champion (0.2) by EFFECT, else more often by as much
 *
 * All tests see the same outcomes. One JSON object on stdout: for each test promotions, rollbacks, the 95 % upper bound of the rate of both (Clopper and
 * Pearson, one-sided), and the mean and median of outcomes until it decided, an undecided run counting as OUTCOMES. Of whole rollouts: runs with a promotion, with a stop or
 * rollback, with either, its bound, and runs that a split paused. Of regret: errors in 1000 requests more than with each context's best arm, for a router that knows the context, for one that
 * does not, and for equal shares; its standard error over runs; the same in the last tenth of the outcomes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/rollout_state.h"
#include "core/distributions.h"
#include "models/auc_batches.h"
#include "models/horizon.h"
#include "models/random.h"
#include "models/sequential.h"

enum { LOOKS = 5, NAIVE_FROM = 100, BATCH = 8, DELAY = 200 };

static const double ALPHA = 0.05, ONCE = 1.959963984540054; /* the z of a single look */

typedef enum test_kind { BETTING, ASYMPTOTIC, NAIVE, FIXED, OBRIEN_FLEMING, POCOCK, TESTS } test_kind;

static const char *const NAMES[TESTS] = {"betting", "asymptotic", "naive", "fixed", "obrien_fleming", "pocock"};

typedef enum scenario_kind { BERNOULLI, ROUTED, NORMAL, LOGNORMAL, LOGLOSS, BRIER, AUC, AUC_PAIRED } scenario_kind;

typedef struct scenario {
    scenario_kind kind;
    double p, share, effect;
    int outcomes, every;
} scenario;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void must(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail(err->message);
}

/* ---- random outcomes ---- */

static double uniform(uint64_t *random) {
    return (double)(weir_models_random(random) >> 11) * 0x1p-53;
}

/* Marsaglia's polar method, the second variate left unused: the state is the seed alone. */
static double normal(uint64_t *random) {
    double x, y, square;
    do {
        x = 2 * uniform(random) - 1;
        y = 2 * uniform(random) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square == 0);
    return x * sqrt(-2 * log(square) / square);
}

static double logistic(double x) {
    return 1 / (1 + exp(-x));
}

/* A row's true logit, its label, and a model's score of it: each model errs by noise of its own. */
typedef struct row {
    double logit, label;
} row;

static row draw_row(uint64_t *random) {
    double logit = -1 + normal(random);
    return (row){logit, uniform(random) < logistic(logit)};
}

static double score(const scenario *s, const row *r, bool challenger, uint64_t *random) {
    return logistic(r->logit + normal(random) * (challenger ? 0.5 + s->effect : 0.5));
}

static double log_loss(double p, double label) {
    return -log(label == 1 ? p : 1 - p);
}

static double draw_outcome(const scenario *s, bool challenger, uint64_t *random) {
    if (s->kind == BERNOULLI) return uniform(random) < s->p + (challenger ? s->effect : 0);
    if (s->kind == NORMAL) return 10 + normal(random) + (challenger ? s->effect : 0);
    if (s->kind == LOGNORMAL) return exp(1.5 * normal(random)) * (challenger ? 1 + s->effect : 1);
    row r = draw_row(random);
    return log_loss(score(s, &r, challenger, random), r.label);
}

/* ---- the tests on one experiment ---- */

typedef struct decision {
    int at; /* 0: none */
    bool promoted;
} decision;

typedef struct experiment {
    weir_arms_settings betting, asymptotic;
    weir_arms_test by_betting, by_limit;
    weir_auc_batches batches;
    weir_arm_outcome waiting[DELAY]; /* of routed requests, a ring; a propensity of 0: known already */
    int requests;
    int values; /* that the tests saw */
    int looked; /* planned looks so far */
} experiment;

static bool has_arms(const scenario *s) {
    return s->kind <= LOGLOSS;
}

static bool has_batches(const scenario *s) {
    return s->kind >= AUC;
}

static weir_arms_settings settings_of(const scenario *s, weir_evidence_method method) {
    weir_arms_settings settings = {.evidence = {.method = method, .low = 0, .high = 1, .first_look = 100, .tuned_count = s->outcomes / 2.0 + 1}};
    if (s->kind == NORMAL) settings.evidence.low = 5, settings.evidence.high = 15;
    if (s->kind == LOGNORMAL) settings.evidence.high = 20;
    if (s->kind == LOGLOSS) settings.evidence.high = 5, settings.smaller_is_better = true;
    if (!has_arms(s)) settings.evidence.low = -1;
    if (has_batches(s)) settings.evidence.low = -0.5, settings.evidence.high = 0.5;
    if (has_batches(s)) settings.evidence.first_look = 50, settings.evidence.tuned_count = s->outcomes / 200.0 + 1;
    return settings;
}

static void begin(const scenario *s, experiment *e) {
    weir_err err;
    *e = (experiment){.betting = settings_of(s, WEIR_BETTING), .asymptotic = settings_of(s, WEIR_ASYMPTOTIC), .batches = {.rows_wanted = BATCH}};
    must(weir_arms_init(&e->betting, &e->by_betting, &err), &err);
    must(weir_arms_init(&e->asymptotic, &e->by_limit, &err), &err);
}

/* Mean by its standard error: what a test looks at that was planned for one look. */
static double z_statistic(const weir_evidence *e) {
    return e->count < 2 || !(e->deviations > 0) ? 0 : e->mean / sqrt(e->deviations / (e->count - 1) / e->count);
}

static void add_outcome(experiment *e, const weir_arm_outcome *outcome) {
    weir_err err;
    must(weir_arms_add(&e->betting, &e->by_betting, outcome, &err), &err);
    must(weir_arms_add(&e->asymptotic, &e->by_limit, outcome, &err), &err);
    e->values++;
}

/* A third at SHARE, a third at a half, then towards the arm that looks better. */
static double routed_share(const scenario *s, const experiment *e) {
    if (e->requests < s->outcomes / 3) return s->share;
    if (e->requests < s->outcomes / 3 * 2) return 0.5;
    return 0.5 + 0.4 * tanh(z_statistic(&e->by_limit.evidence));
}

static void feed_routed(const scenario *s, experiment *e, uint64_t *random) {
    weir_arm_outcome *slot = &e->waiting[e->requests % DELAY];
    if (slot->propensity > 0) add_outcome(e, slot);
    double share = routed_share(s, e), p = s->p * (1 + 0.5 * sin(12.0 * e->requests / s->outcomes));
    bool challenger = uniform(random) < share;
    *slot = (weir_arm_outcome){.challenger = challenger, .propensity = share, .value = uniform(random) < p + (challenger ? s->effect : 0), .expected = NAN};
    if (slot->value == 1) {
        add_outcome(e, slot);
        slot->propensity = 0;
    }
    e->requests++;
}

static void feed_arms(const scenario *s, experiment *e, uint64_t *random) {
    if (s->kind == ROUTED) {
        feed_routed(s, e, random);
        return;
    }
    bool challenger = uniform(random) < s->share;
    weir_arm_outcome outcome = {.challenger = challenger, .propensity = s->share, .value = draw_outcome(s, challenger, random), .expected = NAN};
    add_outcome(e, &outcome);
}

static void feed_stream(const scenario *s, experiment *e, uint64_t *random) {
    weir_err err;
    row r = draw_row(random);
    bool full = true;
    double value = 0;
    if (s->kind == AUC) {
        bool challenger = uniform(random) < s->share;
        must(weir_auc_add(&e->batches, challenger, score(s, &r, challenger, random), r.label, &full, &value, &err), &err);
    } else {
        double champion = score(s, &r, false, random), challenger = score(s, &r, true, random);
        if (s->kind == AUC_PAIRED)
            must(weir_auc_add_paired(&e->batches, champion, challenger, r.label, &full, &value, &err), &err);
        else
            value = (champion - r.label) * (champion - r.label) - (challenger - r.label) * (challenger - r.label);
    }
    if (!full) return;
    must(weir_evidence_add(&e->betting.evidence, &e->by_betting.evidence, value, &err), &err);
    must(weir_evidence_add(&e->asymptotic.evidence, &e->by_limit.evidence, value, &err), &err);
    e->values++;
}

static void decide(decision *d, int at, bool crossed, bool promoted) {
    if (crossed && !d->at) *d = (decision){at, promoted};
}

static void decide_anytime(decision *d, int at, const weir_e_values *e) {
    weir_verdict verdict = weir_evidence_verdict(e, ALPHA / 2, ALPHA / 2);
    decide(d, at, verdict != WEIR_UNDECIDED, verdict == WEIR_BETTER);
}

static void look(const scenario *s, experiment *e, int at, const double bounds[2][LOOKS], decision decisions[TESTS]) {
    weir_e_values betting = has_arms(s) ? weir_arms_e(&e->betting, &e->by_betting) : weir_evidence_e(&e->betting.evidence, &e->by_betting.evidence);
    weir_e_values limit = has_arms(s) ? weir_arms_e(&e->asymptotic, &e->by_limit) : weir_evidence_e(&e->asymptotic.evidence, &e->by_limit.evidence);
    decide_anytime(&decisions[BETTING], at, &betting);
    decide_anytime(&decisions[ASYMPTOTIC], at, &limit);
    double z = z_statistic(&e->by_limit.evidence);
    if (at % s->every == 0 && at >= NAIVE_FROM && e->values >= 10) decide(&decisions[NAIVE], at, fabs(z) > ONCE, z > 0);
    if (at == s->outcomes) decide(&decisions[FIXED], at, fabs(z) > ONCE, z > 0);
    if ((int64_t)at * LOOKS >= (int64_t)s->outcomes * (e->looked + 1)) {
        decide(&decisions[OBRIEN_FLEMING], at, fabs(z) > bounds[0][e->looked], z > 0);
        decide(&decisions[POCOCK], at, fabs(z) > bounds[1][e->looked], z > 0);
        e->looked++;
    }
}

static void run(const scenario *s, uint64_t seed, const double bounds[2][LOOKS], decision decisions[TESTS]) {
    experiment e;
    uint64_t random = seed;
    memset(decisions, 0, TESTS * sizeof *decisions);
    begin(s, &e);
    for (int at = 1; at <= s->outcomes; at++) {
        if (has_arms(s))
            feed_arms(s, &e, &random);
        else
            feed_stream(s, &e, &random);
        look(s, &e, at, bounds, decisions);
    }
}

/* ---- whole rollouts ---- */

typedef enum rollout_kind { STEPS, THOMPSON, CONTEXT, REGRET, ROLLOUTS } rollout_kind;

static const char *const ROLLOUT_NAMES[ROLLOUTS] = {"steps", "thompson", "context", "regret"};

enum { CONTEXTS = 8 };

static weir_rollout_def rollout_def(const scenario *s, rollout_kind kind, int buckets) {
    bool few = s->share < 0.5;
    return (weir_rollout_def){.steps = {s->share, few ? 0.5 : 1, 1},
                              .step_count = few ? 3 : 2,
                              .loss = kind == REGRET ? WEIR_LOSS_ERROR : WEIR_LOSS_BRIER,
                              .alpha = ALPHA,
                              .min_rows = 200,
                              .patience_us = INT64_MAX,
                              .by_request = true,
                              .thompson = kind != STEPS,
                              .floor = 0.05,
                              .context = buckets ? "context" : NULL,
                              .buckets = buckets};
}

/* A request and its arm. */
static weir_rollout_row draw_request(const weir_rollout *rollout, int bucket, uint64_t *random) {
    bool alike = !rollout->bucket_count;
    weir_rollout_row r = {.arm = WEIR_ROLLOUT_NOBODY, .bucket = alike ? WEIR_ROLLOUT_NO_BUCKET : bucket};
    r.champion_share = alike ? weir_rollout_champion_share(rollout) : weir_rollout_bucket_share(rollout, bucket, WEIR_ROLLOUT_NOBODY);
    double point = uniform(random), upto = 0;
    for (int a = 0; a < rollout->arm_count; a++) {
        r.shares[a] = alike ? rollout->arms[a].share : weir_rollout_bucket_share(rollout, bucket, a);
        if (point >= upto && point < upto + r.shares[a]) r.arm = a;
        upto += r.shares[a];
    }
    return r;
}

static int draw_context(int values, uint64_t *random) {
    const weir_datum value = weir_i64((int64_t)(uniform(random) * values));
    return weir_split_bucket("decisions/context", &value, values);
}

/* What became of a rollout between equals. */
typedef struct rollout_end {
    bool promoted, stopped, paused;
} rollout_end;

static rollout_end run_equals(const scenario *s, rollout_kind kind, uint64_t random) {
    const weir_rollout_def def = rollout_def(s, kind, kind == CONTEXT ? CONTEXTS : 0);
    weir_rollout rollout;
    weir_rollout_change change;
    weir_err err;
    rollout_end end = {0};
    must(weir_rollout_begin(&def, (int)s->p, false, 0, &rollout, &err), &err);
    for (int at = 1; at <= s->outcomes && weir_rollout_active(&rollout); at++) {
        int bucket = kind == CONTEXT ? draw_context(CONTEXTS, &random) : 0;
        weir_rollout_row request = draw_request(&rollout, bucket, &random);
        row r = draw_row(&random);
        if (kind == CONTEXT) r = (row){r.logit + 0.5 * bucket - 2, uniform(&random) < logistic(r.logit + 0.5 * bucket - 2)};
        request.label = r.label;
        request.answer.score = score(s, &r, false, &random);
        must(weir_rollout_add(&def, &rollout, &request, &err), &err);
        if (at % s->every == 0) must(weir_rollout_route(&def, &rollout, &change, &err), &err);
        change = weir_rollout_decide(&def, &rollout, 1);
        end.promoted |= rollout.state == WEIR_ROLLOUT_PROMOTED;
        end.stopped |= rollout.state == WEIR_ROLLOUT_ROLLED_BACK || weir_rollout_compared(&rollout) < rollout.arm_count;
        end.paused |= rollout.state == WEIR_ROLLOUT_PAUSED;
    }
    return end;
}

/* Regret in each 1000 requests, of all and of the last tenth. buckets 0: the router does not know the context; fixed: shares stay as they began. */
static void run_regret(const scenario *s, int buckets, bool fixed, uint64_t random, double ret_regret[2]) {
    const weir_rollout_def def = rollout_def(s, REGRET, buckets);
    int values = (int)s->p;
    weir_rollout rollout;
    weir_rollout_change change;
    weir_err err;
    double regret[2] = {0};
    must(weir_rollout_begin(&def, 1, false, 0, &rollout, &err), &err);
    for (int at = 1; at <= s->outcomes; at++) {
        int bucket = draw_context(values, &random);
        weir_rollout_row request = draw_request(&rollout, bucket, &random);
        double challenger = bucket <= s->share * values ? 0.2 - s->effect : 0.2 + s->effect, rate = request.arm == 0 ? challenger : 0.2;
        request.label = 1;
        request.answer.score = request.answer.decision = uniform(&random) >= rate;
        for (int part = 0; part < 2; part++) regret[part] += at > part * s->outcomes / 10 * 9 ? rate - fmin(challenger, 0.2) : 0;
        must(weir_rollout_add(&def, &rollout, &request, &err), &err);
        if (!fixed && at % s->every == 0) must(weir_rollout_route(&def, &rollout, &change, &err), &err);
    }
    ret_regret[0] = regret[0] * 1000 / s->outcomes;
    ret_regret[1] = regret[1] * 1000 / (s->outcomes - s->outcomes / 10 * 9);
}

/* ---- what came of all of them ---- */

/* The p at which no more than `count` of `runs` has probability 0.05. */
static double upper_bound(int count, int runs) {
    double low = (double)count / runs, high = 1;
    if (count == runs) return 1;
    for (int i = 0; i < 60; i++) {
        double p = (low + high) / 2;
        if (weir_beta_lower(p, count + 1, runs - count) < 0.95)
            low = p;
        else
            high = p;
    }
    return high;
}

static int by_size(const void *a, const void *b) {
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(const scenario *s, int runs, decision (*decisions)[TESTS]) {
    int *at = malloc(sizeof *at * (size_t)runs);
    if (!at) fail("no memory");
    printf("{");
    for (int t = 0; t < TESTS; t++) {
        int promoted = 0, rolled_back = 0;
        double sum = 0;
        for (int r = 0; r < runs; r++) {
            const decision *d = &decisions[r][t];
            promoted += d->at && d->promoted;
            rolled_back += d->at && !d->promoted;
            at[r] = d->at ? d->at : s->outcomes;
            sum += at[r];
        }
        qsort(at, (size_t)runs, sizeof *at, by_size);
        printf("%s\"%s\": {\"runs\": %d, \"promoted\": %d, \"rolled_back\": %d, \"upper\": %.5f, \"mean\": %.0f, \"median\": %d}", t ? ", " : "", NAMES[t],
               runs, promoted, rolled_back, upper_bound(promoted + rolled_back, runs), sum / runs, at[runs / 2]);
    }
    printf("}\n");
    free(at);
}

static scenario parse(char **argv) {
    static const char *const names[] = {"bernoulli", "routed", "normal", "lognormal", "logloss", "brier", "auc", "auc-paired"};
    scenario s = {.outcomes = atoi(argv[3]), .every = atoi(argv[4]), .share = atof(argv[6]), .effect = atof(argv[7])};
    size_t len = strcspn(argv[1], ":");
    for (int k = BERNOULLI; k <= AUC_PAIRED; k++) {
        if (strlen(names[k]) != len || memcmp(names[k], argv[1], len) != 0) continue;
        s.kind = (scenario_kind)k;
        s.p = argv[1][len] ? atof(argv[1] + len + 1) : 0;
        return s;
    }
    fail("no such scenario");
}

static void report_equals(const scenario *s, rollout_kind kind, int runs, uint64_t seeds) {
    int promoted = 0, stopped = 0, either = 0, paused = 0;
    for (int r = 0; r < runs; r++) {
        const rollout_end end = run_equals(s, kind, weir_models_random(&seeds));
        promoted += end.promoted;
        stopped += end.stopped;
        either += end.promoted || end.stopped;
        paused += end.paused;
    }
    printf("{\"runs\": %d, \"promoted\": %d, \"stopped\": %d, \"either\": %d, \"upper\": %.5f, \"paused\": %d}\n", runs, promoted, stopped, either,
           upper_bound(either, runs), paused);
}

static void report_regret(const scenario *s, int runs, uint64_t seeds) {
    static const char *const routers[] = {"contextual", "plain", "fixed"};
    double sum[3][2] = {{0}}, squares[3] = {0};
    for (int r = 0; r < runs; r++) {
        uint64_t seed = weir_models_random(&seeds); /* the same requests for all */
        for (int i = 0; i < 3; i++) {
            double regret[2];
            run_regret(s, i == 0 ? (int)s->p : 0, i == 2, seed, regret);
            for (int part = 0; part < 2; part++) sum[i][part] += regret[part] / runs;
            squares[i] += regret[0] * regret[0] / runs;
        }
    }
    for (int i = 0; i < 3; i++)
        printf("%s\"%s\": {\"regret\": %.2f, \"error\": %.2f, \"last_tenth\": %.2f}", i ? ", " : "{", routers[i], sum[i][0],
               sqrt(fmax(squares[i] - sum[i][0] * sum[i][0], 0) / runs), sum[i][1]);
    printf("}\n");
}

/* Whether the scenario is one of whole rollouts; then it is reported. */
static bool report_rollouts(char **argv) {
    size_t len = strcspn(argv[1], ":");
    for (int kind = STEPS; kind < ROLLOUTS; kind++) {
        if (strlen(ROLLOUT_NAMES[kind]) != len || memcmp(ROLLOUT_NAMES[kind], argv[1], len) != 0 || !argv[1][len]) continue;
        const scenario s = {.outcomes = atoi(argv[3]), .every = atoi(argv[4]), .share = atof(argv[6]), .effect = atof(argv[7]), .p = atof(argv[1] + len + 1)};
        int runs = atoi(argv[2]);
        uint64_t seeds = strtoull(argv[5], NULL, 10);
        if (runs < 1 || s.outcomes < 10 || s.every < 1) fail("RUNS, OUTCOMES and EVERY are to be positive");
        if (kind == REGRET && (s.p < 2 || s.p >= WEIR_BUCKETS_MAX)) fail("a context of 2 to 16 values");
        if (kind == REGRET)
            report_regret(&s, runs, seeds);
        else
            report_equals(&s, (rollout_kind)kind, runs, seeds);
        return true;
    }
    return false;
}

int main(int argc, char **argv) {
    if (argc != 8) fail("usage: decisions SCENARIO RUNS OUTCOMES EVERY SEED SHARE EFFECT");
    if (report_rollouts(argv)) return 0;
    scenario s = parse(argv);
    int runs = atoi(argv[2]);
    uint64_t seeds = strtoull(argv[5], NULL, 10);
    if (runs < 1 || s.outcomes < LOOKS || s.every < 1) fail("RUNS, OUTCOMES and EVERY are to be positive");
    double fractions[LOOKS], bounds[2][LOOKS];
    for (int k = 0; k < LOOKS; k++) fractions[k] = (k + 1.0) / LOOKS;
    weir_err err;
    must(weir_spending_bounds(WEIR_OBRIEN_FLEMING, ALPHA, fractions, LOOKS, bounds[0], &err), &err);
    must(weir_spending_bounds(WEIR_POCOCK, ALPHA, fractions, LOOKS, bounds[1], &err), &err);
    decision(*decisions)[TESTS] = malloc(sizeof *decisions * (size_t)runs);
    if (!decisions) fail("no memory");
    for (int r = 0; r < runs; r++) run(&s, weir_models_random(&seeds), (const double(*)[LOOKS])bounds, decisions[r]);
    report(&s, runs, decisions);
    free(decisions);
}
