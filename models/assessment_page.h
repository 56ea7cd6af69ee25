/* What the sections of the page share. Not for use outside of models/assessment_page*.c. */
#ifndef WEIR_MODELS_ASSESSMENT_PAGE_H
#define WEIR_MODELS_ASSESSMENT_PAGE_H

#include <cjson/cJSON.h>

#include "core/chart.h"

enum { WEIR_SECTION_SERIES = 6 }; /* colours of a chart */

typedef struct weir_section {
    weir_page page;
    const cJSON *json; /* the whole document */
    const cJSON *chosen; /* the chosen model */
    const char *metric;
    bool greater;
} weir_section;

/* Numbers and texts of the document; what is missing is NaN or "". */
double weir_section_number(const cJSON *object, const char *key);
const char *weir_section_text(const cJSON *object, const char *key);
int64_t weir_section_time(const cJSON *object, const char *key); /* µs since 1970; INT64_MIN: missing */
const cJSON *weir_section_get(const cJSON *object, const char *key);
/** True, and the reason is on the page, when the part says why there is none of it. */
bool weir_section_none(weir_section *s, const cJSON *part, const char *title);

/** Pairs [x, y] of an array, to be freed with weir_models_free; NULL with *ret_count 0 when it is empty. Without memory the page has failed. */
weir_point *weir_section_pairs(weir_section *s, const cJSON *array, int *ret_count);
/** Numbers of an array; null is NaN. */
double *weir_section_numbers(weir_section *s, const cJSON *array, int *ret_count);

/** "RMSE", "ROC AUC"; a name that is not known stays. */
const char *weir_section_metric(const char *name);
/** A number without digits that say nothing: 4, 362, 0.25. */
char *weir_section_plain(double value, char text[WEIR_WORDS_MAX]);
/** "0.03", "below 0.001", "–" */
char *weir_section_p(double p, char text[WEIR_WORDS_MAX]);
char *weir_section_percent(double share, int digits, char text[WEIR_WORDS_MAX]);
/** A metric's value with its interval in small print, as a table cell. */
void weir_section_cell(weir_section *s, double value, double low, double high, bool best);

/** <figure> with a title, and a plain sentence that printf made. End with weir_section_figure_end. */
void weir_section_figure(weir_section *s, const char *title, const char *format, ...) WEIR_PRINTF(3, 4);
void weir_section_figure_end(weir_section *s);
void weir_section_legend(weir_section *s, const char *const *names, int count);
void weir_section_pair_begin(weir_section *s);
void weir_section_pair_end(weir_section *s);
void weir_section_escaped(weir_section *s, const char *before, const char *text, const char *after); /* before and after are HTML */

/* Sections. */
void weir_section_regression(weir_section *s);
void weir_section_binary(weir_section *s);
void weir_section_multiclass(weir_section *s);
void weir_section_models(weir_section *s);
void weir_section_slices(weir_section *s);
void weir_section_importance(weir_section *s);
void weir_section_learning(weir_section *s);
void weir_section_explanations(weir_section *s);
void weir_section_backtest(weir_section *s);
void weir_section_leaderboard(weir_section *s);
void weir_section_dataset(weir_section *s);
void weir_section_run(weir_section *s);

#endif
