/* Text for people: HTML into a buffer with one failure flag, and numbers, dates and durations as a reader expects them. */
#ifndef WEIR_CORE_PAGE_H
#define WEIR_CORE_PAGE_H

#include <stdint.h>

#include "core/mem.h"

/* What is being written. After the first failed allocation nothing more is appended; whoever made the page looks at failed once, at the end. */
typedef struct weir_page {
    weir_buf *buf;
    bool failed;
} weir_page;

void weir_page_put(weir_page *page, const char *literal);
void weir_page_printf(weir_page *page, const char *format, ...) WEIR_PRINTF(2, 3);
/** Escaped for HTML text and attribute values in quotes. NULL appends nothing. */
void weir_page_text(weir_page *page, const char *text);

/* CSS of a page that needs nothing else, for what page.h, chart.h and the reports write. */
extern const char weir_page_style[];

/* All of these write into text and return it. What is not a number becomes "–". Digits are grouped by a narrow no-break space, in UTF-8. */
#define WEIR_WORDS_MAX 64
char *weir_words_count(int64_t count, char text[WEIR_WORDS_MAX]); /* 719 307 */
char *weir_words_rate(double per_second, char text[WEIR_WORDS_MAX]); /* 19 410 or 8.2 */
char *weir_words_ratio(double value, int digits, char text[WEIR_WORDS_MAX]); /* 0.895 */
char *weir_words_number(double value, int digits, char text[WEIR_WORDS_MAX]); /* digits that matter: 0.0123, 421, 12 345, 1.2e−7 */
char *weir_words_axis(double value, double step, char text[WEIR_WORDS_MAX]); /* a tick: as many digits as the step has, 2 M for 2 000 000 */
char *weir_words_difference(double value, int digits, char text[WEIR_WORDS_MAX]); /* +0.012, −0.004 with a true minus */
char *weir_words_duration(double seconds, char text[WEIR_WORDS_MAX]); /* 0.8 s, 41 s, 3 min 12 s, 7 days */
char *weir_words_date(int64_t time_us, char text[WEIR_WORDS_MAX]); /* 5 Jun 2018 */
char *weir_words_day(int64_t time_us, char text[WEIR_WORDS_MAX]); /* 5 Jun */
char *weir_words_moment(int64_t time_us, char text[WEIR_WORDS_MAX]); /* 5 Jun 2018, 10:03 UTC */

#endif
