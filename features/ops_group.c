/* Operators on two columns of one entity, and on records of several members of a group.
 *
 * Group operators (group_…) take a value and, as the last input, the member it belongs to: a number, or a text as its number. A record whose value or member is null
 * (not finite) takes no part. "The member" is that of the newest record that takes part, unless the parameter member names one. A member's newest value is that of its newest
 * record in the window, so a window by time is also the age at which a silent member drops out. */
#include <math.h>
#include <string.h>

#include "features/operator.h"
#include "features/sort.h"

/* --- Two columns: correlation, covariance, beta, slope --- */

enum { COLUMNS_ON };
enum { VALUES, RETURNS };
static const char *const values_choices[] = {"values", "returns", NULL};
#define ON_DOC "the columns as they are, or their relative changes from record to record, x_i / x_(i-1) - 1, over records in which both are there"
static const weir_param_def columns_params[] = {{"on", WEIR_PARAM_CHOICE, .choices = values_choices, .doc = ON_DOC}, {NULL}};
static const weir_param_def beta_params[] = {{"on", WEIR_PARAM_CHOICE, .fallback = RETURNS, .choices = values_choices, .doc = ON_DOC}, {NULL}};

/* Moments of two columns together: means, and sums of products of distances from them. */
typedef struct comoments {
    double mean_x, mean_y, xx, yy, xy;
    uint64_t count;
} comoments;

/* Chan, Golub, LeVeque (1979), for two variables as in Schubert, Gertz, Numerically stable parallel computation of (co-)variance (SSDBM 2018). */
static void comoments_join(comoments *c, const comoments *other) {
    if (!other->count) return;
    double n = (double)c->count + (double)other->count, share = (double)other->count / n, weight = (double)c->count * share;
    double dx = other->mean_x - c->mean_x, dy = other->mean_y - c->mean_y;
    c->xx += other->xx + dx * dx * weight;
    c->yy += other->yy + dy * dy * weight;
    c->xy += other->xy + dx * dy * weight;
    c->mean_x += dx * share;
    c->mean_y += dy * share;
    c->count += other->count;
}

static void comoments_add(comoments *c, double x, double y) {
    if (isfinite(x) && isfinite(y)) comoments_join(c, &(comoments){.mean_x = x, .mean_y = y, .count = 1});
}

static double covariance_of(const comoments *c) {
    return c->count > 1 ? c->xy / (double)(c->count - 1) : NAN;
}

static double correlation_of(const comoments *c) {
    if (c->count < 2 || !(c->xx > 0) || !(c->yy > 0)) return NAN;
    return fmin(fmax(c->xy / (sqrt(c->xx) * sqrt(c->yy)), -1), 1);
}

/** Of the first column on the second. */
static double slope_of(const comoments *c) {
    return c->count > 1 && c->yy > 0 ? c->xy / c->yy : NAN;
}

typedef struct columns {
    comoments sums;
    double first[2], last[2]; /* records in which both are there, for returns across tiles */
    uint64_t seen;
} columns;

static size_t columns_size(const weir_params *params) {
    (void)params;
    return sizeof(columns);
}

static void columns_init(void *acc, const weir_params *params) {
    (void)params;
    memset(acc, 0, sizeof(columns));
}

static void columns_take(columns *c, double x, double y, bool returns) {
    if (!isfinite(x) || !isfinite(y)) return;
    if (!returns)
        comoments_add(&c->sums, x, y);
    else if (c->seen)
        comoments_add(&c->sums, x / c->last[0] - 1, y / c->last[1] - 1); /* after a 0 not finite: no return */
    if (!c->seen) memcpy(c->first, (double[]){x, y}, sizeof(c->first));
    memcpy(c->last, (double[]){x, y}, sizeof(c->last));
    c->seen = 1;
}

static void columns_join(columns *c, const columns *later, bool returns) {
    if (!later->seen) return;
    if (returns)
        columns_take(c, later->first[0], later->first[1], true); /* with the return between the two */
    else if (!c->seen)
        memcpy(c->first, later->first, sizeof(c->first));
    comoments_join(&c->sums, &later->sums);
    memcpy(c->last, later->last, sizeof(c->last));
    c->seen = 1;
}

static void columns_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    columns_take(acc, in[0], in[1], params->value[COLUMNS_ON] == RETURNS);
}

static void columns_merge(void *acc, const void *later, const weir_params *params) {
    columns_join(acc, later, params->value[COLUMNS_ON] == RETURNS);
}

static void slope_add(void *acc, int64_t time_us, const double *in, const weir_params *params) {
    (void)time_us;
    (void)params;
    columns_take(acc, in[0], in[1], false);
}

static void slope_merge(void *acc, const void *later, const weir_params *params) {
    (void)params;
    columns_join(acc, later, false);
}

static double correlation_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    (void)params;
    return correlation_of(&((const columns *)acc)->sums);
}

static double covariance_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    (void)params;
    return covariance_of(&((const columns *)acc)->sums);
}

static double slope_value(const void *acc, int64_t t_us, const weir_params *params) {
    (void)t_us;
    (void)params;
    return slope_of(&((const columns *)acc)->sums);
}

/* --- Members of a group: their newest values --- */

enum { MEMBER, GROUP_CHOICE };
#define MEMBER_PARAM                                                                                                                                           \
    { "member", WEIR_PARAM_TEXT, .doc = "whose value it is; by default the newest record's member" }

static bool takes_part(const weir_window *window, int k) {
    return isfinite(window->in[0][k]) && isfinite(window->in[1][k]);
}

/** The member the value is for; NaN when no record takes part. */
static double member_of(const weir_window *window, const weir_params *params) {
    if (params->given[MEMBER]) return params->value[MEMBER];
    for (int k = window->count; k-- > 0;)
        if (takes_part(window, k)) return window->in[1][k];
    return NAN;
}

/* The members of a window, as long as they are few. */
enum { FEW_MEMBERS = 256, MEMBER_SLOTS = 1024 };
typedef struct members {
    double member[FEW_MEMBERS];
    int records[FEW_MEMBERS]; /* how many each has; then where its next goes */
    int16_t slot[MEMBER_SLOTS]; /* open addressing: number + 1; 0: free */
    int count;
} members;

/** A member's number; -1: there are more than FEW_MEMBERS. */
static inline int number_of(members *m, double member) {
    double positive = member + 0.0; /* -0 is 0 */
    uint64_t bits;
    memcpy(&bits, &positive, sizeof bits);
    unsigned at = (unsigned)(bits * UINT64_C(0x9E3779B97F4A7C15) >> 54); /* 64 - log2(MEMBER_SLOTS) */
    for (; m->slot[at]; at = (at + 1) % MEMBER_SLOTS)
        if (m->member[m->slot[at] - 1] == member) return m->slot[at] - 1;
    if (m->count == FEW_MEMBERS) return -1;
    m->member[m->count] = member;
    m->records[m->count] = 0;
    m->slot[at] = (int16_t)(m->count + 1);
    return m->count++;
}

/** Turns counts into where each member's records begin, members ascending. */
static void place_members(members *m) {
    weir_pair order[FEW_MEMBERS];
    int begin = 0;
    for (int i = 0; i < m->count; i++) order[i] = (weir_pair){m->member[i], i};
    weir_sort_pairs(order, m->count);
    for (int i = 0; i < m->count; i++) {
        int number = (int)order[i].with, records = m->records[number];
        m->records[number] = begin;
        begin += records;
    }
}

/** Of any number of members. */
static int sort_by_member(const weir_window *window, weir_pair *pairs) {
    int n = 0;
    for (int k = 0; k < window->count; k++)
        if (takes_part(window, k)) pairs[n++] = (weir_pair){window->in[1][k], k};
    weir_sort_pairs(pairs, n);
    return n;
}

/** Records that take part, in scratch as (member, index of the record), ascending; returns how many. A window has many records of few members, which are counted and dealt out:
 *  sorting them was most of the time that a sector took. */
static int by_member(const weir_window *window, weir_pair *pairs) {
    members m;
    int n = 0;
    m.count = 0;
    memset(m.slot, 0, sizeof m.slot);
    for (int k = 0; k < window->count; k++) {
        if (!takes_part(window, k)) continue;
        int number = number_of(&m, window->in[1][k]);
        if (number < 0) return sort_by_member(window, pairs);
        m.records[number]++;
        n++;
    }
    place_members(&m);
    for (int k = 0; k < window->count; k++)
        if (takes_part(window, k)) pairs[m.records[number_of(&m, window->in[1][k])]++] = (weir_pair){window->in[1][k], k};
    return n;
}

/* What the members of a group have, at most one value each. */
typedef struct group {
    double *values; /* [count] in the window's scratch, ascending by member */
    int count;
    int own; /* the member's place in it; -1: it has none */
} group;

/** Newest values by member or, with sums, sums of all their values. */
static group members_of(const weir_window *window, const weir_params *params, bool sums) {
    weir_pair *pairs = (weir_pair *)(void *)window->scratch;
    double member = member_of(window, params);
    group g = {.values = window->scratch, .own = -1};
    int n = by_member(window, pairs);
    for (int from = 0, to; from < n; from = to) {
        double key = pairs[from].key, value = 0;
        for (to = from; to < n && pairs[to].key == key; to++) value = (sums ? value : 0) + window->in[0][(int)pairs[to].with];
        if (key == member) g.own = g.count;
        g.values[g.count++] = value; /* what stood there has been read */
    }
    return g;
}

typedef struct spread {
    int count;
    double mean, std; /* std with n - 1: NaN for fewer than two */
} spread;

/** Of the values of all members but the one at `without` (-1: of all). Two passes. */
static spread spread_of(const group *g, int without) {
    double sum = 0, squares = 0;
    int n = g->count - (without >= 0);
    for (int i = 0; i < g->count; i++)
        if (i != without) sum += g->values[i];
    double mean = n ? sum / n : NAN;
    for (int i = 0; i < g->count; i++)
        if (i != without) squares += (g->values[i] - mean) * (g->values[i] - mean);
    return (spread){n, mean, n > 1 ? sqrt(squares / (n - 1)) : NAN};
}

enum { RANK_DESCENDING, RANK_ASCENDING, RANK_PERCENTILE };
static const char *const rank_choices[] = {"descending", "ascending", "percentile", NULL};
static const weir_param_def rank_params[] = {
    MEMBER_PARAM,
    {"output", WEIR_PARAM_CHOICE, .choices = rank_choices,
     .doc = "descending: 1 for the largest, equal ones share the smallest rank; ascending: 1 for the smallest; percentile: mean ascending rank / members, 1 "
            "for the largest"},
    {NULL},
};

static double rank_eval(const weir_window *window, const weir_params *params) {
    group g = members_of(window, params, false);
    if (g.own < 0) return NAN;
    int below = 0, equal = 0;
    for (int i = 0; i < g.count; i++) {
        below += g.values[i] < g.values[g.own];
        equal += g.values[i] == g.values[g.own];
    }
    switch ((int)params->value[GROUP_CHOICE]) {
    case RANK_DESCENDING: return 1 + g.count - below - equal;
    case RANK_ASCENDING: return 1 + below;
    default: return (below + (equal + 1) / 2.0) / g.count;
    }
}

enum { SHARE_NEWEST, SHARE_SUM };
static const char *const share_choices[] = {"newest", "sum", NULL};
static const weir_param_def share_params[] = {
    MEMBER_PARAM,
    {"by", WEIR_PARAM_CHOICE, .choices = share_choices, .doc = "newest: each member's newest value; sum: the sum of its values in the window"},
    {NULL},
};

static double share_eval(const weir_window *window, const weir_params *params) {
    group g = members_of(window, params, params->value[GROUP_CHOICE] == SHARE_SUM);
    double total = 0;
    if (g.own < 0) return NAN;
    for (int i = 0; i < g.count; i++) total += g.values[i];
    return total != 0 ? g.values[g.own] / total : NAN;
}

enum { OVER_ALL, OVER_OTHERS };
static const char *const over_choices[] = {"all", "others", NULL};
static const weir_param_def over_params[] = {
    MEMBER_PARAM,
    {"over", WEIR_PARAM_CHOICE, .choices = over_choices, .doc = "all: every member; others: without the member itself"},
    {NULL},
};

static double group_mean_eval(const weir_window *window, const weir_params *params) {
    group g = members_of(window, params, false);
    bool others = params->value[GROUP_CHOICE] == OVER_OTHERS;
    return others && g.own < 0 ? NAN : spread_of(&g, others ? g.own : -1).mean;
}

static const weir_param_def member_params[] = {MEMBER_PARAM, {NULL}};

static double group_zscore_eval(const weir_window *window, const weir_params *params) {
    group g = members_of(window, params, false);
    if (g.own < 0) return NAN;
    spread s = spread_of(&g, g.own);
    return s.std > 0 ? (g.values[g.own] - s.mean) / s.std : NAN;
}

static double group_spread_eval(const weir_window *window, const weir_params *params) {
    group g = members_of(window, params, false);
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < g.count; i++) {
        low = fmin(low, g.values[i]);
        high = fmax(high, g.values[i]);
    }
    return g.count ? high - low : NAN;
}

static double group_dispersion_eval(const weir_window *window, const weir_params *params) {
    group g = members_of(window, params, false);
    return spread_of(&g, -1).std;
}

static double group_members_eval(const weir_window *window, const weir_params *params) {
    return members_of(window, params, false).count;
}

/* --- Members against each other over time: group_correlation, group_beta --- */

enum { PAIR_WITH = 1, PAIR_ON };
static const weir_param_def pair_params[] = {
    MEMBER_PARAM,
    {"with", WEIR_PARAM_TEXT, .doc = "the other member; by default the mean of all others that have a value at the time"},
    {"on", WEIR_PARAM_CHOICE, .fallback = RETURNS, .choices = values_choices,
     .doc = "each member's relative changes from its record before, x_i / x_(i-1) - 1, or its values as they are"},
    {NULL},
};

/** Puts (index of the record, value) into the order of the records: each to the place of its index, then close together. pairs has room for one a record. */
static void order_by_record(weir_pair *pairs, int kept, int records) {
    for (int i = kept; i < records; i++) pairs[i].key = -1;
    for (int i = 0; i < records; i++) {
        for (int k; (k = (int)pairs[i].key) >= 0 && k != i;) {
            weir_pair moved = pairs[k];
            pairs[k] = pairs[i];
            pairs[i] = moved;
        }
    }
    for (int i = 0, n = 0; n < kept; i++)
        if (pairs[i].key >= 0) pairs[n++] = pairs[i];
}

/** Values (or returns) as (index of the record, value) in the order of time, one a member and time: of records of one member at the same time the newest counts.
 *  Returns how many. */
static int aligned(const weir_window *window, bool returns, weir_pair *pairs) {
    int n = by_member(window, pairs), kept = 0, before = -1; /* before: the record of the same member at the time before */
    for (int i = 0; i < n; i++) {
        int k = (int)pairs[i].with, next = i + 1 < n && pairs[i + 1].key == pairs[i].key ? (int)pairs[i + 1].with : -1;
        if (next >= 0 && window->time_us[next] == window->time_us[k]) continue;
        double value = !returns ? window->in[0][k] : before >= 0 ? window->in[0][k] / window->in[0][before] - 1 : NAN;
        before = next >= 0 ? k : -1;
        if (isfinite(value)) pairs[kept++] = (weir_pair){k, value};
    }
    order_by_record(pairs, kept, window->count);
    return kept;
}

static comoments pair_moments(const weir_window *window, const weir_params *params) {
    weir_pair *pairs = (weir_pair *)(void *)window->scratch;
    double member = member_of(window, params), with = params->given[PAIR_WITH] ? params->value[PAIR_WITH] : NAN;
    int n = aligned(window, params->value[PAIR_ON] == RETURNS, pairs);
    comoments sums = {0};
    for (int from = 0, to; from < n; from = to) {
        int64_t time_us = window->time_us[(int)pairs[from].key];
        double own = NAN, other = NAN, total = 0;
        int others = 0;
        for (to = from; to < n && window->time_us[(int)pairs[to].key] == time_us; to++) {
            double whose = window->in[1][(int)pairs[to].key], value = pairs[to].with;
            if (whose == with) other = value;
            if (whose == member) {
                own = value;
            } else {
                total += value;
                others++;
            }
        }
        if (!params->given[PAIR_WITH] && others) other = total / others;
        comoments_add(&sums, own, other);
    }
    return sums;
}

static double group_correlation_eval(const weir_window *window, const weir_params *params) {
    comoments sums = pair_moments(window, params);
    return correlation_of(&sums);
}

static double group_beta_eval(const weir_window *window, const weir_params *params) {
    comoments sums = pair_moments(window, params);
    return slope_of(&sums);
}

/* --- The table --- */

#define WINDOWS_AT_HAND (WEIR_WINDOWS_EVERY & ~(1u << WEIR_WINDOW_ALL | 1u << WEIR_WINDOW_SESSION)) /* those whose records have a bound */
#define NEWEST_EDGES "Records whose value or member is null take no part. "

#define TWO_COLUMNS .abi = WEIR_OPERATOR_ABI, .inputs_min = 2, .inputs_max = 2, .windows = WEIR_WINDOWS_EVERY, .acc_size = columns_size, .init = columns_init
#define MEMBERS .abi = WEIR_OPERATOR_ABI, .inputs_min = 2, .inputs_max = 2, .texts = true, .windows = WINDOWS_AT_HAND

const weir_operator weir_ops_group[] = {
    {TWO_COLUMNS, .name = "correlation", .doc = "Pearson's correlation of two columns.",
     .formula = "sum (x_i - mx)(y_i - my) / sqrt(sum (x_i - mx)^2 sum (y_i - my)^2)", .unit = "ratio, -1 to 1",
     .edges = "Fewer than two records, or a column that does not vary: null. Records in which either is null are passed over; a return after 0 is null.",
     .source = "pandas Series.corr", .params = columns_params, .add = columns_add, .value = correlation_value, .merge = columns_merge},
    {TWO_COLUMNS, .name = "covariance", .doc = "Sample covariance of two columns.", .formula = "sum (x_i - mx)(y_i - my) / (n - 1)",
     .unit = "product of the columns", .edges = "Fewer than two records: null. Records in which either is null are passed over; a return after 0 is null.",
     .source = "pandas Series.cov", .params = columns_params, .add = columns_add, .value = covariance_value, .merge = columns_merge},
    {TWO_COLUMNS, .name = "beta", .doc = "Beta of the first column (an asset) to the second (the market).",
     .formula = "cov(x, y) / var(y), of returns unless on is values", .unit = "ratio",
     .edges = "Fewer than two returns, or a second column that does not vary: null. Records in which either is null are passed over; a return after 0 is null.",
     .source = "Sharpe, Capital asset prices (1964)", .params = beta_params, .add = columns_add, .value = slope_value, .merge = columns_merge},
    {TWO_COLUMNS, .name = "slope", .doc = "Slope of the least-squares line of the first column on the second.",
     .formula = "sum (y_i - my)(x_i - mx) / sum (x_i - mx)^2, of [y, x]", .unit = "first column per second",
     .edges = "Fewer than two records, or a second column that does not vary: null. Records in which either is null are passed over.",
     .source = "scipy.stats.linregress", .add = slope_add, .value = slope_value, .merge = slope_merge},
    {MEMBERS, .name = "group_rank", .doc = "Rank of the member's newest value among the newest values of all members in the window.",
     .formula = "1 + #{members with a larger value}", .unit = "rank, or ratio",
     .edges = NEWEST_EDGES "None takes part, or not the member that is named: null. Alone: 1.",
     .source = "SQL RANK(); pandas rank(method=\"min\"), rank(pct=True)", .params = rank_params, .eval = rank_eval},
    {MEMBERS, .name = "group_share", .doc = "The member's share in the group's total.", .formula = "x_m / sum over members x", .unit = "ratio",
     .edges = NEWEST_EDGES "None takes part, not the member that is named, or a total of 0: null. Alone: 1.", .source = "market share", .params = share_params,
     .eval = share_eval},
    {MEMBERS, .name = "group_mean", .doc = "Mean of the newest values of the members in the window.", .formula = "sum over members x / members",
     .unit = "as the column", .edges = NEWEST_EDGES "None takes part, or no other one, or not the member that is named while it is left out: null.",
     .source = "cross-sectional mean", .params = over_params, .eval = group_mean_eval},
    {MEMBERS, .name = "group_zscore", .doc = "The member's newest value against the newest values of the others.",
     .formula = "(x_m - mean of the others) / std of the others (n - 1)", .unit = "standard deviations",
     .edges = NEWEST_EDGES "Fewer than two others, others that are all equal, or not the member that is named: null.", .source = "standard score",
     .params = member_params, .eval = group_zscore_eval},
    {MEMBERS, .name = "group_spread", .doc = "Range of the newest values of the members in the window.", .formula = "max over members x - min over members x",
     .unit = "as the column", .edges = NEWEST_EDGES "None takes part: null. A single member: 0.", .source = "sample range", .eval = group_spread_eval},
    {MEMBERS, .name = "group_dispersion", .doc = "Standard deviation of the newest values of the members in the window.",
     .formula = "sqrt(sum over members (x - mean)^2 / (members - 1))", .unit = "as the column", .edges = NEWEST_EDGES "Fewer than two members: null.",
     .source = "cross-sectional dispersion", .eval = group_dispersion_eval},
    {MEMBERS, .name = "group_members", .doc = "How many members have a value in the window.", .formula = "#{members}", .unit = "count",
     .edges = NEWEST_EDGES "None takes part: 0.", .source = "pandas nunique", .eval = group_members_eval},
    {MEMBERS, .name = "group_correlation", .doc = "Correlation of the member with another one, or with the mean of the others, at equal event times.",
     .formula = "corr(r_m, r_w) over times at which both are there", .unit = "ratio, -1 to 1",
     .edges = NEWEST_EDGES
     "Of one member's records at one time the newest counts. Fewer than two common times, or one that does not vary: null. A return after 0 is null.",
     .source = "pandas pivot_table and corr", .params = pair_params, .eval = group_correlation_eval},
    {MEMBERS, .name = "group_beta", .doc = "Beta of the member to another one, or to the mean of the others, at equal event times.",
     .formula = "cov(r_m, r_w) / var(r_w) over times at which both are there", .unit = "ratio",
     .edges = NEWEST_EDGES
     "Of one member's records at one time the newest counts. Fewer than two common times, or others that do not vary: null. A return after 0 is null.",
     .source = "Sharpe, Capital asset prices (1964)", .params = pair_params, .eval = group_beta_eval},
    {.name = NULL},
};
