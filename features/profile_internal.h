/* The parts of a profile, private to features/profile*.c. */
#ifndef WEIR_FEATURES_PROFILE_INTERNAL_H
#define WEIR_FEATURES_PROFILE_INTERNAL_H

#include "features/profile.h"
#include "features/sketch.h"

/* profile_pairs.c: correlations, from a uniform sample of the rows (algorithm R of Vitter, 1985; the same rows each time). */
typedef struct profile_sample {
    int columns[WEIR_PROFILE_PAIRS_MAX], column_count;
    int64_t capacity, held, seen;
    double *values; /* [column][capacity]; NaN: null */
    uint64_t random;
} profile_sample;
weir_status profile_sample_init(profile_sample *sample, const weir_profile *profile, weir_err *err) WEIR_MUST_CHECK;
void profile_sample_add(profile_sample *sample, const weir_datum *row);
weir_status profile_correlate(profile_sample *sample, weir_profile *profile, weir_err *err) WEIR_MUST_CHECK;
void profile_sample_done(profile_sample *sample);

/* profile_times.c: gaps and coverage; times are sorted by DuckDB, which spills. */
typedef struct profile_times profile_times;
weir_status profile_times_new(int time, int entity, profile_times **ret_times, weir_err *err) WEIR_MUST_CHECK;
weir_status profile_times_add(profile_times *times, const weir_datum *row, weir_err *err) WEIR_MUST_CHECK;
weir_status profile_times_end(profile_times *times, weir_profile_coverage *coverage, weir_err *err) WEIR_MUST_CHECK;
void profile_times_free(profile_times *times);

/* profile_judge.c: what stands out. */
weir_status profile_judge(weir_profile *profile, weir_err *err) WEIR_MUST_CHECK;

#endif
