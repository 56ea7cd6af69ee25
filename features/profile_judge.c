/* What stands out in a profile, in sentences. Limits are those of a first look, not of a statistical test. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "features/profile_internal.h"

enum { VERDICTS_MAX = 200, SENTENCE_MAX = 320 };

typedef struct judge {
    weir_profile *profile;
    bool failed;
} judge;

static void WEIR_PRINTF(2, 3) say(judge *j, const char *format, ...) {
    char text[SENTENCE_MAX];
    va_list args;
    if (j->profile->verdict_count == VERDICTS_MAX) return;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t len = n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1;
    char *copy = weir_mem.realloc(NULL, len + 1);
    j->failed |= !copy;
    if (!copy) return;
    memcpy(copy, text, len);
    copy[len] = 0;
    j->profile->verdicts[j->profile->verdict_count++] = copy;
}

static double percent(int64_t part, int64_t whole) {
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* Values far beyond what the middle half suggests: 0 K among temperatures, a metre of rain in an hour. */
static void judge_extremes(judge *j, const weir_profile_column *c) {
    const double far = 10;
    double q1 = c->quantiles[2], q3 = c->quantiles[4], iqr = q3 - q1;
    if (!(iqr > 0)) {
        if (c->std > 0 && c->max > c->mean + 50 * c->std)
            say(j, "%s: the largest value, %.6g, is more than 50 standard deviations above the mean.", c->field.name, c->max);
        return;
    }
    if (c->max > q3 + far * iqr)
        say(j, "%s: the largest value, %.6g, is far above the middle half of the values (%.6g to %.6g).", c->field.name, c->max, q1, q3);
    if (c->min < q1 - far * iqr)
        say(j, "%s: the smallest value, %.6g, is far below the middle half of the values (%.6g to %.6g).", c->field.name, c->min, q1, q3);
    if (c->zeros && q1 - 3 * iqr > 0)
        say(j, "%s: %lld zeros, although values are %.6g to %.6g mostly; zero may stand for \"not known\".", c->field.name, (long long)c->zeros, q1, q3);
}

static void judge_column(judge *j, const weir_profile_column *c) {
    int64_t rows = j->profile->rows, there = rows - c->missing;
    const char *name = c->field.name;
    if (!there) {
        say(j, "%s: all values are missing.", name);
        return;
    }
    if (percent(c->missing, rows) >= 5) say(j, "%s: %.3g %% missing.", name, percent(c->missing, rows));
    if (c->distinct < 1.5 && rows > 1) say(j, "%s: always the same value.", name);
    if (c->field.type == WEIR_PROFILE_NUMBER) {
        judge_extremes(j, c);
        if (percent(c->iqr_outliers, there) >= 5)
            say(j, "%s: %.3g %% of the values lie beyond 1.5 times the interquartile range.", name, percent(c->iqr_outliers, there));
    }
    if (c->distinct >= 1.5 && c->top[0].count > 0 && percent(c->top[0].count, there) >= 95)
        say(j, "%s: one value makes %.4g %% of all.", name, percent(c->top[0].count, there));
    if (c->field.type == WEIR_PROFILE_TEXT && there > 100 && c->distinct >= 0.98 * (double)there)
        say(j, "%s: (nearly) every value is another one: an identifier.", name);
}

static void judge_pairs(judge *j) {
    const weir_profile *p = j->profile;
    for (int a = 0; a < p->pair_count; a++) {
        for (int b = a + 1; b < p->pair_count; b++) {
            double r = p->pearson[a * p->pair_count + b];
            if (fabs(r) >= 0.98)
                say(j, "%s and %s say nearly the same (correlation %.4f).", p->columns[p->pair_columns[a]].field.name,
                    p->columns[p->pair_columns[b]].field.name, r);
        }
    }
}

static void judge_times(judge *j) {
    const weir_profile_coverage *c = &j->profile->coverage;
    if (!c->known) return;
    if (c->repeated_times) say(j, "%lld records have a time that their entity has already.", (long long)c->repeated_times);
    if (c->gap_count)
        say(j, "%lld gaps in time of more than 5 steps of %.6g s; the longest is %.4g days.", (long long)c->gap_count, c->step_s,
            c->gaps_shown ? (double)(c->gaps[0].to_us - c->gaps[0].from_us) / 86400e6 : NAN);
}

weir_status profile_judge(weir_profile *p, weir_err *err) {
    judge j = {.profile = p};
    if (!(p->verdicts = weir_mem.realloc(NULL, VERDICTS_MAX * sizeof(*p->verdicts)))) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the profile");
    if (p->duplicates) say(&j, "%s%lld rows are like an earlier one in every column.", p->duplicates_exact ? "" : "About ", (long long)p->duplicates);
    judge_times(&j);
    for (int i = 0; i < p->column_count; i++) judge_column(&j, &p->columns[i]);
    judge_pairs(&j);
    return j.failed ? WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the profile") : WEIR_OK;
}
