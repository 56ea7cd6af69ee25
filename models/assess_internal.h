/* What the parts of an assessment share. Not for use outside of models/assess*.c. */
#ifndef WEIR_MODELS_ASSESS_INTERNAL_H
#define WEIR_MODELS_ASSESS_INTERNAL_H

#include "models/assessment.h"

enum {
    WEIR_ASSESS_METRICS = 16, /* at most, the one that models were chosen by included */
    WEIR_ASSESS_UNITS_MIN = 10, /* with fewer units of rows there are no bootstrap intervals */
    WEIR_ASSESS_ROWS_MIN = 10, /* for charts and tests */
};

typedef struct weir_assess_state weir_assess_state;

/* What a bootstrap draws: rows, or entities with all their rows, or runs of neighbouring times with all their rows. */
typedef struct weir_assess_units {
    const char *name; /* "rows", "entities", "times" */
    uint32_t *of_row; /* [rows] */
    uint32_t count;
    uint32_t block; /* units that are drawn together */
} weir_assess_units;

struct weir_assess_state {
    const weir_assessment *a;
    const weir_trainset *train, *test;
    weir_task task;
    int64_t rows; /* of test */
    int outputs; /* of a model: classes, targets or 1 */
    double *score[WEIR_ASSESSED_MAX]; /* [rows][width] by model, what metrics take */
    int width; /* classes of a multiclass task, else 1 */
    double threshold[WEIR_ASSESSED_MAX]; /* binary */
    const char *threshold_how[WEIR_ASSESSED_MAX]; /* for people */
    int metric_count, metric; /* metric: place of the one that models were chosen by */
    const char *metric_name[WEIR_ASSESS_METRICS];
    bool greater[WEIR_ASSESS_METRICS];
    double value[WEIR_ASSESSED_MAX][WEIR_ASSESS_METRICS];
    weir_assess_units units;
    int replicates; /* 0: too few units */
    double *replicate[WEIR_ASSESSED_MAX]; /* [replicates][metric_count] */
    cJSON *json;
    bool no_memory; /* some part of the document could not be made */
};

/* ---- the document: what cannot be made sets no_memory, and everything under it is dropped; NaN and infinite numbers are null ---- */
cJSON *weir_assess_object(weir_assess_state *s, cJSON *parent, const char *key); /* key NULL: parent is an array */
cJSON *weir_assess_array(weir_assess_state *s, cJSON *parent, const char *key);
void weir_assess_number(weir_assess_state *s, cJSON *parent, const char *key, double value);
void weir_assess_text(weir_assess_state *s, cJSON *parent, const char *key, const char *text); /* NULL: nothing */
void weir_assess_flag(weir_assess_state *s, cJSON *parent, const char *key, bool value);
void weir_assess_time(weir_assess_state *s, cJSON *parent, const char *key, int64_t time_us); /* µs since 1970 */
void weir_assess_copy(weir_assess_state *s, cJSON *parent, const char *key, const cJSON *item);
/** Numbers of charts, to six digits. */
void weir_assess_numbers(weir_assess_state *s, cJSON *parent, const char *key, const double *values, int count);
void weir_assess_pair(weir_assess_state *s, cJSON *array, double x, double y);
/** {"none": why} */
void weir_assess_none(weir_assess_state *s, cJSON *parent, const char *key, const char *why);

/* ---- metrics and their intervals ---- */

/** Which metrics the task has. */
void weir_assess_metrics(weir_assess_state *s);
/** values [metric_count]; NaN where a metric has none. */
weir_status weir_assess_measure(const weir_assess_state *s, const double *label, const double *score, int64_t rows, double threshold, double *values,
                                weir_err *err);
/** Chooses units and the number of replicates. */
weir_status weir_assess_units_choose(weir_assess_state *s, weir_err *err);
void weir_assess_units_done(weir_assess_state *s);
/** How often each unit is drawn in replicate k: times [units.count]. */
void weir_assess_draw(const weir_assess_state *s, int k, uint32_t *times);
/** value and replicate of every model. */
weir_status weir_assess_measure_all(weir_assess_state *s, weir_err *err);
/** The ends of the middle 95 % of values that are finite; NaN when fewer than half are. values are sorted. */
void weir_assess_ends(double *values, int count, double *ret_low, double *ret_high);
/** A metric of rows' numbers by their mean: 95 % interval of the mean of value [rows]. */
weir_status weir_assess_mean_interval(const weir_assess_state *s, const double *value, int64_t rows, const int64_t *row, double *ret_low, double *ret_high,
                                      weir_err *err);

/* ---- parts ---- */
weir_status weir_assess_dataset(weir_assess_state *s, weir_err *err);
weir_status weir_assess_models(weir_assess_state *s, weir_err *err);
weir_status weir_assess_comparisons(weir_assess_state *s, weir_err *err);
weir_status weir_assess_slices(weir_assess_state *s, weir_err *err);
weir_status weir_assess_regression(weir_assess_state *s, weir_err *err);
weir_status weir_assess_binary(weir_assess_state *s, weir_err *err);
weir_status weir_assess_multiclass(weir_assess_state *s, weir_err *err);
weir_status weir_assess_importance(weir_assess_state *s, weir_err *err);
weir_status weir_assess_learning(weir_assess_state *s, weir_err *err);
weir_status weir_assess_explanations(weir_assess_state *s, weir_err *err);
weir_status weir_assess_backtest(weir_assess_state *s, weir_err *err);

/* ---- small things ---- */
static inline double weir_assess_label(const weir_assess_state *s, int64_t row) {
    return s->test->matrix.label[row];
}
/** The name of a class, or its number, in text [64]. */
const char *weir_assess_class_name(const weir_assess_state *s, int class, char text[64]);
/** A column's value for people: a category's text where known. text [64]. */
const char *weir_assess_value_words(const weir_matrix *m, int column, double value, char text[64]);
bool weir_assess_is_category(const weir_matrix *m, int column);
int weir_assess_by_value(const void *a, const void *b); /* ascending doubles */
double weir_assess_quantile(const double *sorted, int64_t count, double q); /* with linear interpolation; NaN when empty */
weir_status weir_assess_cancelled(const weir_assess_state *s, weir_err *err);
weir_status weir_assess_no_memory(weir_err *err);

#endif
