/* The quality of a training set: what is missing, odd, constant or repeated, how values are distributed, where times have gaps, how targets are balanced. */
#ifndef WEIR_MODELS_QUALITY_H
#define WEIR_MODELS_QUALITY_H

#include <cjson/cJSON.h>

#include "models/trainset.h"

enum { WEIR_QUALITY_ROWS_MAX = 200000 };

/** The profile of the set's columns and targets (features/profile.h, docs/quality.md: of each column missing values, distinct ones, quantiles, histogram,
 *  outliers by IQR and z, most frequent values; correlations; duplicates; coverage of times by entity, or tenant), and of it all
 *
 *    "missing_cells", "missing_share", "constants": […], "rows_profiled", "targets": [{"name", "task", "classes": [{"name", "rows", "share"}], "imbalance"}]
 *
 *  of a regression without classes, but with "mean", "deviation", "least", "greatest". imbalance: rows of the largest class over those of the smallest.
 *  Of more than WEIR_QUALITY_ROWS_MAX rows the profile is of every n-th one, and "rows_profiled" says how many; missing cells, constants and targets are of
 *  all. The caller deletes it. */
weir_status weir_quality_report(const weir_trainset *set, cJSON **ret_json, weir_err *err) WEIR_MUST_CHECK;

#endif
