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
 * All tests see the same outcomes. One JSON object on stdout: for each test promotions, rollbacks, the 95 % upper bound of the rate of both (Clopper and
 * Pearson, one-sided), and the mean and median of outcomes until it decided, an undecided run counting as OUTCOMES. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int main(int argc, char **argv) {
    if (argc != 8) fail("usage: decisions SCENARIO RUNS OUTCOMES EVERY SEED SHARE EFFECT");
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
