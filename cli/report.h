/* The report of a demo run: one struct, filled from the registry, the offline store and the metrics, then rendered as JSON and as one HTML page. */
#ifndef WEIR_CLI_REPORT_H
#define WEIR_CLI_REPORT_H

#include <cjson/cJSON.h>

#include "consumers/measure.h"
#include "core/chart.h"
#include "core/pg.h"
#include "features/pipeline.h"

enum { WEIR_REPORT_MODELS_MAX = 32, WEIR_REPORT_COUNTS_MAX = 32, WEIR_CURVE_POINTS_MAX = 400 };
/* The arms that curves and days are drawn for; others are in the table of arms. */
enum { WEIR_REPORT_CHAMPION, WEIR_REPORT_CHALLENGER, WEIR_REPORT_ARMS };

/* Counts by name: dead letters by class, features by view. */
typedef struct weir_report_counts {
    int count;
    struct {
        char name[64];
        int64_t count;
    } items[WEIR_REPORT_COUNTS_MAX];
} weir_report_counts;

typedef struct weir_report_model {
    char name[64], algorithm[32], digest[65], alias[64]; /* alias: "champion", "" or several joined with ", " */
    int version;
    cJSON *metrics, *lineage; /* owned; NULL when there are none */
} weir_report_model;

/* A prediction whose label has arrived, and what was counted beside it. */
typedef struct weir_report_scored {
    int8_t arm; /* WEIR_REPORT_CHAMPION or _CHALLENGER */
    int8_t label; /* 0, 1; -1: not known yet */
    int32_t day; /* days since 1970 of the event */
    double score;
} weir_report_scored;

typedef struct weir_report_curve {
    int count;
    weir_point points[WEIR_CURVE_POINTS_MAX];
} weir_report_curve;

typedef struct weir_report_day {
    int64_t day_us; /* its midnight */
    struct {
        int64_t predictions, labelled, positives;
        double auc; /* of the day; NaN with one class */
        double auc_so_far; /* of all days up to it */
    } arms[WEIR_REPORT_ARMS];
} weir_report_day;

typedef enum weir_report_better {
    WEIR_BETTER_UNKNOWN,
    WEIR_BETTER_NEITHER,
    WEIR_BETTER_CHAMPION,
    WEIR_BETTER_CHALLENGER,
    WEIR_BETTER_SPLIT
} weir_report_better;

typedef struct weir_report {
    char pipeline[64];
    int64_t started_us, ended_us;
    struct {
        char kind[16]; /* "files", "simulator" */
        char **files; /* NULL-terminated, owned; NULL for the simulator */
        int64_t entities, days, seed; /* simulator */
        int64_t events, labels, first_us, last_us;
    } source;
    int64_t train_from_us, train_us, delay_us, test_us, label_delay_us; /* the split; durations */
    int card_k;
    bool exclude_known;
    int64_t events_in, labels_in;
    weir_report_counts features_out, dead_letters;
    int64_t unserved; /* scored by nobody: they came before a model was served */
    weir_report_model models[WEIR_REPORT_MODELS_MAX]; /* champion, challenger, then by name */
    int model_count;
    char run_id[40], run_status[32];
    weir_measure measure;
    weir_report_curve roc[WEIR_REPORT_ARMS], pr[WEIR_REPORT_ARMS];
    weir_report_day *days; /* owned */
    int day_count;
    struct {
        double events_peak, events_mean, features_mean, predictions_mean; /* a second */
    } rates;
    struct {
        double load, train, serve, evaluate, total; /* seconds */
    } durations;
    weir_report_better better;
    char headline[256];
    char verdict[512]; /* one or two sentences */
} weir_report;

/** Everything unknown: NaN, empty, times INT64_MIN. */
void weir_report_init(weir_report *report);
void weir_report_done(weir_report *report);

/** Adds to the count of this name, making it when it is new; a full table is left as it is. */
void weir_report_count(weir_report_counts *counts, const char *name, int64_t more);
int64_t weir_report_total(const weir_report_counts *counts);
/** How many predictions the arm has made, over all versions. NULL: all arms. */
int64_t weir_report_predictions(const weir_report *report, const char *arm);

/** Models, measure, curves, days and verdict from PostgreSQL. run_id: whose versions (empty: the newest of each model). threshold for precision and recall of versions that have none of their own. */
weir_status weir_report_collect(weir_report *report, weir_pg *pg, const weir_pipeline *pipeline, double threshold, weir_err *err) WEIR_MUST_CHECK;

/** Curves and days of scored predictions, any order (they are sorted in place). */
weir_status weir_report_curves(weir_report *report, weir_report_scored *rows, int64_t row_count, weir_err *err) WEIR_MUST_CHECK;
/** Who is better, in words, from report->measure: clear where the 95 % interval of a difference leaves zero out. */
void weir_report_judge(weir_report *report);

/** Appends the report. Errors: WEIR_ENOMEM. */
weir_status weir_report_json(const weir_report *report, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;
weir_status weir_report_html(const weir_report *report, weir_buf *out, weir_err *err) WEIR_MUST_CHECK;
/** A file of a report, whole or not at all: written beside, synced, renamed. */
weir_status weir_report_write_file(const char *dir, const char *name, const weir_buf *text, weir_err *err) WEIR_MUST_CHECK;
/** Writes report.json and report.html into dir (made when absent), each by renaming a complete file over the old one. */
weir_status weir_report_write(const weir_report *report, const char *dir, weir_err *err) WEIR_MUST_CHECK;

#endif
