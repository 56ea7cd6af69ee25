/* Expressions: what they mean, what null does to them, what is refused and where; one value and blocks give equal bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/mem.h"
#include "features/expr.h"
#include "features/operator.h"
#include "tests/unit/starve.h"

/* Variables: numbers a = 1, b = 2, c = 3, zero = 0, half = 0.5, none = null; a time t; texts word = "energy" and no_word = null; `and` = 7. */
enum { A, B, C, ZERO, HALF, NONE, T, WORD, NO_WORD, AND, BIG, VARIABLES };
static const char *const variable_names[] = {"a", "b", "c", "zero", "half", "none", "t", "word", "no_word", "and", "big"};

static int find(void *context, const char *name, bool *ret_text, const char **ret_hint) {
    (void)context;
    *ret_hint = strcmp(name, "wrd") ? NULL : "word";
    for (int i = 0; i < VARIABLES; i++) {
        *ret_text = i == WORD || i == NO_WORD;
        if (!strcmp(variable_names[i], name)) return i;
    }
    return -1;
}

static double sectors[2];
static bool find_list(void *context, const char *name, const double **ret_values, int *ret_count, bool *ret_texts) {
    static const double days[] = {17666, 17667};
    (void)context;
    *ret_texts = !strcmp(name, "sectors");
    *ret_values = *ret_texts ? sectors : days;
    *ret_count = 2;
    return *ret_texts || !strcmp(name, "holidays");
}
static const weir_expr_names names = {.find = find, .find_list = find_list};

static double values[VARIABLES];

static int set_values(void **state) {
    (void)state;
    values[A] = 1, values[B] = 2, values[C] = 3, values[ZERO] = 0, values[HALF] = 0.5, values[NONE] = NAN, values[AND] = 7, values[BIG] = 1e308;
    values[T] = 1526378400000000 + 123456; /* Tuesday 2018-05-15 10:00:00.123456 UTC */
    values[WORD] = weir_text_number("energy", 6), values[NO_WORD] = NAN;
    sectors[0] = weir_text_number("energy", 6), sectors[1] = weir_text_number("banks", 5);
    if (sectors[0] > sectors[1]) {
        double first = sectors[0];
        sectors[0] = sectors[1], sectors[1] = first;
    }
    return 0;
}

static weir_expr *compiled(const char *text) {
    weir_expr *expr = NULL;
    weir_err err = {0};
    if (weir_expr_new(text, &names, &expr, &err)) fail_msg("%s: %s", text, err.message);
    return expr;
}

static double value_of(const char *text) {
    weir_expr *expr = compiled(text);
    double value = weir_expr_eval(expr, values);
    weir_expr_free(expr);
    return value;
}

static void want(const char *text, double wanted) {
    double value = value_of(text);
    if (isnan(wanted) ? !isnan(value) : value != wanted) fail_msg("%s is %.17g, not %.17g", text, value, wanted);
}

/* Each also with its constants in variables, so that folding and evaluation agree: below, eval and batch do. */
static void operators_bind_as_in_mathematics(void **state) {
    (void)state;
    want("1 + 2 * 3", 7);
    want("(1 + 2) * 3", 9);
    want("c - b - a", 0);
    want("c - (b - a)", 2);
    want("-b ^ 2", -4);
    want("(-b) ^ 2", 4);
    want("b ^ -1", 0.5);
    want("b ^ c ^ b", 512);
    want("-b * c", -6);
    want("7 % c", 1);
    want("-7 % c", 2);
    want("7 % -c", -2);
    want("not a = b", 1);
    want("a = 1 or zero and zero", 1);
    want("a + b = c and c >= 3", 1);
    want("a <> b", 1);
    want("1 == a", 1);
    want("1e3 + .5 + 2.", 1002.5);
    want("1 + true + false", 2);
    want("`and` + 1", 8);
    want("b\t*\n c\r", 6);
}

static void nulls_follow_sql(void **state) {
    (void)state;
    static const char *const null[] = {"none + 1",
                                       "none = none",
                                       "none != 1",
                                       "none < 1",
                                       "not none",
                                       "none and a",
                                       "none or zero",
                                       "a and none",
                                       "if(none, 1, none)",
                                       "-none",
                                       "abs(none)",
                                       "min(a, none)",
                                       "max(none, a)",
                                       "clip(a, none, 1)",
                                       "none in (1, 2)",
                                       "none in holidays",
                                       "coalesce(none, none)",
                                       "null",
                                       "null = null",
                                       "least(none, none)",
                                       "none ^ 0",
                                       "1 ^ none",
                                       "nullif(a, 1)",
                                       "hour(none)",
                                       "word = null",
                                       "no_word = word",
                                       "no_word in sectors",
                                       "none not in (1)",
                                       "exp(none)",
                                       "distance_m(none,0,0,0)"};
    for (size_t i = 0; i < sizeof(null) / sizeof(*null); i++) want(null[i], NAN);
    want("none and zero", 0);
    want("zero and none", 0);
    want("none or a", 1);
    want("a or none", 1);
    want("if(none, 1, 2)", 2);
    want("if(a > 0, b, none)", 2);
    want("coalesce(none, null, b, c)", 2);
    want("least(none, b, a)", 1);
    want("greatest(none, b, a)", 2);
    want("none is null", 1);
    want("a is null", 0);
    want("none is not null", 0);
    want("is_null(no_word)", 1);
    want("nullif(a, none)", 1);
    want("nullif(b, 1)", 2);
}

static void what_has_no_finite_value_is_null(void **state) {
    (void)state;
    static const char *const null[] = {"a / zero",   "zero / zero", "a % zero",  "log(zero)", "log(-1)", "sqrt(-1)",          "zero ^ -1",
                                       "(-1) ^ 0.5", "big * 10",    "big + big", "exp(1000)", "asin(2)", "1e308 * 10 / 1e308"};
    for (size_t i = 0; i < sizeof(null) / sizeof(*null); i++) want(null[i], NAN);
    want("coalesce(a / zero, -1)", -1);
}

static void functions_give_what_their_text_says(void **state) {
    (void)state;
    want("if(a < b, b, c)", 2);
    want("min(3, a, b)", 1);
    want("max(a, b, 3, 2)", 3);
    want("clip(5, a, b)", 2);
    want("clip(-5, a, b)", 1);
    want("abs(-c)", 3);
    want("sign(-c) + sign(zero) + sign(half)", 0);
    want("sqrt(9) + cbrt(27)", 6);
    want("floor(-half) + ceil(half) + trunc(-1.5)", -1);
    want("round(2.5) + round(-2.5)", 0);
    want("round(-2.5)", -3);
    want("round(1234.5678, 2)", 1234.57);
    want("round(1234.5678, -2)", 1200);
    want("round(a, half)", NAN);
    want("round(123456789012345680, 15)", 123456789012345680);
    want("mod(-7, 3)", 2);
    want("pow(b, 10)", 1024);
    want("hypot(3, 4)", 5);
    want("log10(1000) + log2(8)", 6);
    want("exp(0) + expm1(0) + log1p(0)", 1);
    want("degrees(radians(90))", 90);
    want("atan2(1, 1) * 4", M_PI);
    want("cyclic_cos(0, 24) + cyclic_sin(6, 24)", 2);
    want("cyclic_sin(1, 0)", NAN);
}

static void texts_are_compared_and_nothing_else(void **state) {
    (void)state;
    want("word = \"energy\"", 1);
    want("word = 'banks'", 0);
    want("word != 'it''s'", 1);
    want("word in (\"a\", \"energy\")", 1);
    want("word not in ('a', 'b')", 1);
    want("word in sectors", 1);
    want("coalesce(no_word, word) = word", 1);
    want("if(a = 1, word, 'x') = 'energy'", 1);
    want("'energy'", values[WORD]);
    weir_expr *expr = compiled("if(a = 1, word, null)");
    assert_true(weir_expr_is_text(expr));
    weir_expr_free(expr);
    expr = compiled("word = null");
    assert_false(weir_expr_is_text(expr));
    weir_expr_free(expr);
}

static void members_are_found(void **state) {
    (void)state;
    want("b in (5, 2, -1)", 1);
    want("-1 in (5, 2, -1)", 1);
    want("4 in (5, 2, -1)", 0);
    want("4 not in (5)", 1);
    want("day(t) in holidays", 1);
    want("day(t) + 2 in holidays", 0);
    want("day(t) not in holidays or a in (1)", 1);
}

static void times_have_parts(void **state) {
    (void)state;
    want("hour(t)", 10);
    want("hour(t, \"-06:00\")", 4);
    want("hour(t, '+14:30')", 0);
    want("day_of_month(t, '+14:30')", 16);
    want("hour(t, 'Z')", 10);
    want("minute(t) + second(t)", 0);
    want("minute_of_day(t)", 600);
    want("weekday(t)", 1);
    want("weekend(t)", 0);
    want("weekend(t - duration('2d'))", 1);
    want("day(t)", 17666);
    want("year(t) * 10000 + month(t) * 100 + day_of_month(t)", 20180515);
    want("quarter(t)", 2);
    want("week(t)", 20);
    want("day_of_year(t)", 135);
    want("t - time('2018-05-15T10:00:00Z')", 123456);
    want("duration('250ms') + duration('1s')", 1250000);
    want("hour(-1)", 23);
    want("day(-1)", -1);
    want("year(-62135596800000000)", 1);
    want("year(-62135596800000000 - 1000)", NAN);
    want("year(1e300)", NAN);
}

/* The C library is the oracle of the calendar. */
static void the_calendar_agrees_with_gmtime(void **state) {
    (void)state;
    static const char *const texts[] = {"year(t)",   "month(t)",  "day_of_month(t)", "day_of_year(t)", "weekday(t)", "hour(t)",
                                        "minute(t)", "second(t)", "week(t)",         "weekend(t)",     "quarter(t)", "minute_of_day(t)"};
    enum { PARTS = sizeof(texts) / sizeof(*texts) };
    weir_expr *parts[PARTS];
    for (int i = 0; i < PARTS; i++) parts[i] = compiled(texts[i]);
    srand(7);
    for (int n = 0; n < 20000; n++) {
        int64_t seconds = n < 4000 ? INT64_C(-2208988800) + (n * INT64_C(86400) * 7) / 10
                                   : ((int64_t)rand() << 3) - (INT64_C(1) << 33); /* days around turns of years, then any */
        struct tm tm;
        time_t at = seconds;
        char week[8];
        gmtime_r(&at, &tm);
        strftime(week, sizeof(week), "%V", &tm);
        int weekday = (tm.tm_wday + 6) % 7;
        double wanted[PARTS] = {tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_yday + 1, weekday,           tm.tm_hour,
                                tm.tm_min,         tm.tm_sec,     atoi(week), weekday >= 5,   tm.tm_mon / 3 + 1, tm.tm_hour * 60 + tm.tm_min};
        double vars[VARIABLES] = {[T] = (double)(seconds * 1000000 + 999999)};
        for (int i = 0; i < PARTS; i++) {
            double value = weir_expr_eval(parts[i], vars);
            if (value != wanted[i]) fail_msg("%s of %lld s is %g, not %g", texts[i], (long long)seconds, value, wanted[i]);
        }
    }
    for (int i = 0; i < PARTS; i++) weir_expr_free(parts[i]);
}

static void want_near(const char *text, double wanted, double tolerance) {
    double value = value_of(text);
    if (!(fabs(value - wanted) <= tolerance)) fail_msg("%s is %.17g, not %.17g", text, value, wanted);
}

/* Published: Vincenty's line Flinders Peak - Buninyong (Geocentric Datum of Australia manual); Karney's GeodSolve for the others on the ellipsoid; Williams' LAX - JFK. */
static void geodesy_gives_published_values(void **state) {
    (void)state;
    want_near("geodesic_m(-37.95103341666667, 144.42486788888889, -37.65282113888889, 143.92649552777778)", 54972.271, 0.0006);
    want_near("geodesic_m(0, 0, 0, 1)", 111319.49079327358, 0.0006);
    want_near("geodesic_m(0, 0, 90, 0)", 10001965.729312733, 0.0006);
    want_near("geodesic_m(40.6, -73.8, 51.6, -0.5)", 5551759.400, 0.001); /* JFK - LHR, the example of geographiclib */
    want("geodesic_m(10, 20, 10, 20)", 0);
    want("geodesic_m(0, 0, 0.1, 179.9)", NAN);
    want("geodesic_m(0, 0, 0, 180)", NAN);
    want_near("distance_m(0, 0, 0, 90)", M_PI / 2 * 6371008.8, 1e-6);
    want_near("distance_km(0, 0, 0, 180)", M_PI * 6371.0088, 1e-9);
    want_near("distance_nm(33 + 57/60, -(118 + 24/60), 40 + 38/60, -(73 + 47/60))", 2144 * (6371008.8 / 1852) / (180 * 60 / M_PI), 1);
    want_near("bearing(33 + 57/60, -(118 + 24/60), 40 + 38/60, -(73 + 47/60))", 65.8922, 0.005);
    want("bearing(10, 0, 20, 0)", 0);
    want("bearing(0, 10, 0, 20)", 90);
    want("bearing(20, 0, 10, 0)", 180);
    want("bearing(0, -170, 0, 170)", 270);
    want("bearing(5, 5, 5, 5)", NAN);
    want("distance_m(91, 0, 0, 0)", NAN);
    want("distance_m(0, 511, 0, 0)", NAN);
    want("angle_difference(350, 10)", -20);
    want("angle_difference(10, 350)", 20);
    want("angle_difference(180, 0)", 180);
    want("angle_difference(0, 180)", 180);
    want_near("rhumb_bearing(33.95, -118.4, 40.63, -73.78)", 79.3, 0.1);
    want_near("rhumb_nm(0, 179.5, 0, -179.5)", 60.0405400829, 1e-6); /* over the date line */
    want("rhumb_bearing(0, 179.5, 0, -179.5)", 90);
    want_near("rhumb_nm(10, 5, 11, 5)", value_of("distance_nm(10, 5, 11, 5)"), 1e-9); /* along a meridian both are one */
    want_near("destination_lat(0, 0, 0, 60.0405400829)", 1, 1e-9);
    want_near("destination_lon(0, 179.5, 90, 60.0405400829)", -179.5, 1e-9);
    want_near("cross_track_nm(53.2611, -0.7972, 53.3206, -1.7297, 53.1887, 0.1334) * 1.852", -0.3075, 0.0002);
    want_near("along_track_nm(53.2611, -0.7972, 53.3206, -1.7297, 53.1887, 0.1334) * 1.852", 62.3315, 0.001);
    want("cross_track_nm(1, 1, 2, 2, 2, 2)", NAN);
}

/* Going a course for a distance and looking back. */
static void destinations_are_where_distance_and_bearing_say(void **state) {
    (void)state;
    srand(11);
    for (int i = 0; i < 1000; i++) {
        double lat = rand() % 160 - 80, lon = rand() % 360 - 180, course = rand() % 360, nm = rand() % 5000 + 1;
        char text[256];
        snprintf(text, sizeof(text), "distance_nm(%g, %g, destination_lat(%g, %g, %g, %g), destination_lon(%g, %g, %g, %g))", lat, lon, lat, lon, course, nm,
                 lat, lon, course, nm);
        want_near(text, nm, 1e-8 * nm + 1e-6);
        snprintf(text, sizeof(text), "angle_difference(bearing(%g, %g, destination_lat(%g, %g, %g, %g), destination_lon(%g, %g, %g, %g)), %g)", lat, lon, lat,
                 lon, course, nm, lat, lon, course, nm, course);
        want_near(text, 0, 1e-5);
    }
}

static void what_is_wrong_is_told_by_column(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "column 1: found the end, expected a value"},
        {"a +", "column 4: found the end, expected a value"},
        {"a b", "column 3: found b, expected an operator or the end"},
        {"(a", "column 3: found the end, expected an operator or \")\""},
        {"a)", "column 2: found ), expected an operator or the end"},
        {"wrd = 'x'", "column 1: there is no \"wrd\"; did you mean \"word\"?"},
        {"nothing", "column 1: there is no \"nothing\"; expected a column, a feature or a function"},
        {"nul", "column 1: there is no \"nul\"; did you mean \"null\"?"},
        {"a < b < c", "column 7: comparisons do not chain"},
        {"a = b in (1)", "column 7: comparisons do not chain"},
        {"a && b", "column 3: found &&, expected \"and\""},
        {"a ? b", "column 3: found ?, which is no part of an expression"},
        {"a + 'x'", "column 5: found a text, expected a number for +"},
        {"-word", "column 2: found a text, expected a number for -"},
        {"word < 'x'", "column 6: texts have no order"},
        {"word = 1", "column 8: found a number, expected a text as before"},
        {"coalesce(a, word)", "column 13: found a text, expected a number as before"},
        {"sqrt(word)", "column 6: found a text, expected a number for sqrt(x)"},
        {"sqr(a)", "column 1: there is no function \"sqr\"; did you mean \"sqrt\"?"},
        {"sqrt()", "column 1: there are too few arguments; expected sqrt(x)"},
        {"sqrt(a, b)", "column 9: there are too many arguments for sqrt(x)"},
        {"min(a)", "column 1: there are too few arguments; expected min(x, y, ...)"},
        {"min(a,)", "column 7: found ), expected an argument"},
        {"min(a b)", "column 7: found b, expected \",\" or \")\""},
        {"hour(t, '6')", "column 9: found \"6\", expected an offset from UTC such as \"-06:00\""},
        {"hour(t, a)", "column 9: expected an offset from UTC"},
        {"hour(t, '+19:00')", "column 9"},
        {"duration('1 day')", "column 10: found \"1 day\", expected a duration"},
        {"time('yesterday')", "column 6: found \"yesterday\", expected a time"},
        {"a > 7d", "column 5: found 7d, expected a number; lengths of time are written duration(\"7d\")"},
        {"0x10", "column 1: found 0x10"},
        {"1e999", "column 1: the number is too large"},
        {"'abc", "column 1: a text begins here and does not end"},
        {"\xc3\xa9t\xc3\xa9 + 1", "column 1: found \xc3\xa9, which is no part"},
        {"'\xc3\xa9' = wrd", "column 7: there is no \"wrd\""},
        {"a in ()", "column 7: found ), expected a number or a text"},
        {"a in (1, b)", "column 10: found b, expected a number or a text"},
        {"a in (1, 'x')", "column 10: found a text, expected a number as before"},
        {"a in (-'x')", "column 8"},
        {"a in nowhere", "column 6: there is no list \"nowhere\""},
        {"a in sectors", "column 1: found a number, but the list \"sectors\" holds texts"},
        {"word in holidays", "column 1: found a text, but the list \"holidays\" holds numbers or dates"},
        {"a not b", "column 7: found b, expected \"in\""},
        {"a is b", "column 6: found b, expected \"null\" or \"not null\""},
        {"a is not 1", "column 10: found 1, expected \"null\""},
        {"and", "column 1: found and, expected a value"},
        {"not word", "column 5: found a text, expected a number for \"not\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        weir_expr *expr = NULL;
        weir_err err = {0};
        assert_int_equal(weir_expr_new(cases[i].text, &names, &expr, &err), WEIR_EINVAL);
        assert_null(expr);
        if (strncmp(err.message, cases[i].message, strlen(cases[i].message)))
            fail_msg("%s: \"%s\" is not \"%s\"", cases[i].text, err.message, cases[i].message);
    }
}

/* prefix × n, middle, suffix × n */
static char *repeated(const char *prefix, const char *middle, const char *suffix, int n) {
    weir_buf out = {0};
    bool ok = true;
    for (int i = 0; i < n; i++) ok = ok && weir_buf_append(&out, prefix, strlen(prefix));
    ok = ok && weir_buf_append(&out, middle, strlen(middle));
    for (int i = 0; i < n; i++) ok = ok && weir_buf_append(&out, suffix, strlen(suffix));
    assert_true(ok);
    return out.data;
}

static void size_is_bounded(void **state) {
    (void)state;
    static const struct {
        const char *prefix, *middle, *suffix;
        int good, bad;
        const char *message;
    } cases[] = {
        {"(", "a", ")", 64, 65, "nested deeper than 64 levels"},    {"-", "a", "", 64, 65, "nested deeper than 64 levels"},
        {"abs(", "a", ")", 64, 65, "nested deeper than 64 levels"}, {"", "a", " + a", 500, 600, "deeper than 512 operators"},
        {"a ^ ", "a", "", 64, 65, "nested deeper than 64 levels"},  {"", "a", " ", 8000, 9000, "longer than 8192 bytes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *good = repeated(cases[i].prefix, cases[i].middle, cases[i].suffix, cases[i].good);
        char *bad = repeated(cases[i].prefix, cases[i].middle, cases[i].suffix, cases[i].bad);
        weir_expr *expr = compiled(good);
        weir_err err = {0};
        (void)weir_expr_eval(expr, values);
        weir_expr_free(expr);
        if (weir_expr_new(bad, &names, &expr, &err) != WEIR_EINVAL)
            fail_msg("%s%s%s, %d times, is taken", cases[i].prefix, cases[i].middle, cases[i].suffix, cases[i].bad);
        if (!strstr(err.message, cases[i].message)) fail_msg("\"%s\" lacks \"%s\"", err.message, cases[i].message);
        free(good);
        free(bad);
    }
    weir_buf many = {0};
    for (int i = 0; i < 300; i++) assert_true(weir_buf_printf(&many, "%sa * %d.5", i ? " + " : "", i));
    weir_expr *expr = NULL;
    weir_err err = {0};
    assert_int_equal(weir_expr_new(many.data, &names, &expr, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "256 constants, names or values"));
    weir_buf_done(&many);
}

static void equal_expressions_have_equal_texts(void **state) {
    (void)state;
    static const struct {
        const char *written, *canonical;
    } cases[] = {
        {"a", "a"},
        {" ( ( a ) ) ", "a"},
        {"a*b+c", "a * b + c"},
        {"a*(b+c)", "a * (b + c)"},
        {"(a*b)+c", "a * b + c"},
        {"a-(b-c)", "a - (b - c)"},
        {"(a-b)-c", "a - b - c"},
        {"a^(b^c)", "a ^ b ^ c"},
        {"(a^b)^c", "(a ^ b) ^ c"},
        {"-(a^b)", "-a ^ b"},
        {"(-a)^b", "(-a) ^ b"},
        {"a^-b", "a ^ (-b)"},
        {"not(a)=b", "not a = b"},
        {"(not a)=b", "(not a) = b"},
        {"(a=b)=c", "(a = b) = c"},
        {"a==b or(b<>c and c)", "a = b or b != c and c"},
        {"(a or b)and c", "(a or b) and c"},
        {"(a is null)is not null", "(a is null) is not null"},
        {"a+b is null", "a + b is null"},
        {"a in(1,-2,3.50)", "a in (1, -2, 3.5)"},
        {"word not in('it''s',\"\"\"\")", "word not in (\"it's\", \"\"\"\")"},
        {"day(t)in holidays", "day(t) in holidays"},
        {"hour(t,'-06:00')", "hour(t, \"-06:00\")"},
        {"0.1+1e30+100000000000000000000", "0.1 + 1e+30 + 1e+20"},
        {"`a`+`and`", "a + `and`"},
        {"true and null", "true and null"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        weir_expr *expr = compiled(cases[i].written), *again = compiled(cases[i].canonical);
        assert_string_equal(weir_expr_text(expr), cases[i].canonical);
        assert_string_equal(weir_expr_text(again), cases[i].canonical);
        double x = weir_expr_eval(expr, values), y = weir_expr_eval(again, values);
        assert_memory_equal(&x, &y, sizeof(x));
        weir_expr_free(expr);
        weir_expr_free(again);
    }
}

static void variables_are_named_once_in_order(void **state) {
    (void)state;
    weir_expr *expr = compiled("c + a * c - if(a > 1, none, a)");
    int count;
    const int *variables = weir_expr_variables(expr, &count);
    assert_int_equal(count, 3);
    assert_int_equal(variables[0], A);
    assert_int_equal(variables[1], C);
    assert_int_equal(variables[2], NONE);
    weir_expr_free(expr);
    expr = compiled("1 + 2");
    weir_expr_variables(expr, &count);
    assert_int_equal(count, 0);
    assert_true(weir_expr_eval(expr, NULL) == 3);
    weir_expr_free(expr);
}

/* --- random expressions --- */

static unsigned long long seed = 20180515;
static int below(int n) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (int)((seed >> 33) % (unsigned)n);
}

static void put(weir_buf *out, const char *text) {
    assert_true(weir_buf_append(out, text, strlen(text)));
}

static void grow(weir_buf *out, int depth) {
    static const char *const leaves[] = {"a", "b", "c", "zero", "half", "none", "t", "0", "1", "-3.5", "1e300", "null", "true", "day(t)"};
    static const char *const infix[] = {" + ", " - ", " * ", " / ", " % ", " ^ ", " = ", " != ", " < ", " <= ", " > ", " >= ", " and ", " or "};
    static const char *const one[] = {"-",    "not ",  "abs",  "sqrt", "exp",  "log",  "sin",     "cos",     "tan",  "atan", "floor",
                                      "ceil", "round", "sign", "cbrt", "hour", "week", "weekday", "is_null", "tanh", "log1p"};
    static const char *const two[] = {"min",   "max", "least", "greatest", "coalesce",         "nullif",
                                      "atan2", "mod", "pow",   "hypot",    "angle_difference", "cyclic_sin"};
    if (!depth) {
        put(out, leaves[below(14)]);
        return;
    }
    put(out, "(");
    switch (below(6)) {
    case 0:
    case 1:
        grow(out, depth - 1);
        put(out, infix[below(14)]);
        grow(out, depth - 1);
        break;
    case 2:
        put(out, one[below(21)]);
        put(out, "(");
        grow(out, depth - 1);
        put(out, ")");
        break;
    case 3:
        put(out, two[below(12)]);
        put(out, "(");
        grow(out, depth - 1);
        put(out, ", ");
        grow(out, depth - 1);
        put(out, ")");
        break;
    case 4:
        put(out, below(2) ? "if(" : "clip(");
        grow(out, depth - 1);
        put(out, ", ");
        grow(out, below(depth));
        put(out, ", ");
        grow(out, depth - 1);
        put(out, ")");
        break;
    default: grow(out, depth - 1); put(out, below(2) ? " is null" : below(2) ? " not in (0, 1, 2.5)" : " in (-3.5, 1)");
    }
    put(out, ")");
}

static double any_value(void) {
    static const double special[] = {0, -0.0, 1, -1, 0.5, 1e300, -1e-300, 1526378400000000, 4503599627370497.5};
    int k = below(16);
    if (k < 3) return NAN;
    if (k == 3) return copysign(NAN, -1); /* another null, another bit pattern */
    if (k == 4) return below(2) ? INFINITY : -INFINITY;
    return k < 12 ? special[below(9)] : (below(2000001) - 1000000) / 1000.0;
}

static void one_by_one_and_in_batches_bits_are_equal(void **state) {
    (void)state;
    enum { ROWS = 300 }; /* two blocks and a piece */
    static double data[VARIABLES][ROWS], out[ROWS + 1];
    const double *columns[VARIABLES];
    for (int v = 0; v < VARIABLES; v++) {
        columns[v] = data[v];
        for (int i = 0; i < ROWS; i++) data[v][i] = any_value();
    }
    for (int n = 0; n < 3000; n++) {
        weir_buf text = {0};
        grow(&text, n % 6);
        weir_expr *expr = compiled(text.data), *again = compiled(weir_expr_text(expr));
        int rows = n % 3 ? below(ROWS + 1) : ROWS;
        out[rows] = 42;
        weir_expr_eval_batch(expr, columns, rows, out);
        assert_true(out[rows] == 42);
        assert_string_equal(weir_expr_text(expr), weir_expr_text(again));
        for (int i = 0; i < rows; i++) {
            double row[VARIABLES];
            for (int v = 0; v < VARIABLES; v++) row[v] = data[v][i];
            double alone = weir_expr_eval(expr, row), canonical = weir_expr_eval(again, row);
            if (memcmp(&alone, &out[i], sizeof(alone)) || memcmp(&alone, &canonical, sizeof(alone)))
                fail_msg("%s, row %d: alone %.17g, in a batch %.17g, canonical %.17g", text.data, i, alone, out[i], canonical);
        }
        weir_expr_free(again);
        weir_expr_free(expr);
        weir_buf_done(&text);
    }
}

/* What is computed when it is compiled is what would be computed later. */
static void constants_are_folded_to_the_same_bits(void **state) {
    (void)state;
    static const char *const names_of[] = {"a", "b", "c", "zero", "half"}, *const literals[] = {"1", "2", "3", "0", "0.5"};
    for (int n = 0; n < 2000; n++) {
        weir_buf text = {0}, folded = {0};
        grow(&text, 3);
        for (const char *c = text.data; *c;) {
            size_t len = strspn(c, "abcdefghijklmnopqrstuvwxyz_0123456789");
            int k = 0;
            while (k < 5 && (strlen(names_of[k]) != len || strncmp(names_of[k], c, len))) k++;
            if (len && k < 5)
                put(&folded, literals[k]);
            else
                assert_true(weir_buf_append(&folded, c, len ? len : 1));
            c += len ? len : 1;
        }
        weir_expr *variable = compiled(text.data), *constant = compiled(folded.data);
        double x = weir_expr_eval(variable, values), y = weir_expr_eval(constant, values);
        if (memcmp(&x, &y, sizeof(x))) fail_msg("%s is %.17g, %s is %.17g", text.data, x, folded.data, y);
        weir_expr_free(variable);
        weir_expr_free(constant);
        weir_buf_done(&text);
        weir_buf_done(&folded);
    }
}

static void every_function_is_documented(void **state) {
    (void)state;
    int n = 0;
    for (const weir_expr_function *f; (f = weir_expr_function_at(n)); n++) {
        assert_true(f->name && f->signature && f->doc && f->unit && f->source);
        assert_int_equal(strncmp(f->signature, f->name, strlen(f->name)), 0);
        assert_int_equal(f->signature[strlen(f->name)], '(');
        assert_int_equal(f->doc[strlen(f->doc) - 1], '.');
        for (int i = 0; i < n; i++) assert_string_not_equal(f->name, weir_expr_function_at(i)->name);
    }
    assert_in_range(n, 60, 120); /* the parser looks for near names among at most 127 */
    assert_null(weir_expr_function_at(-1));
}

static void every_failed_allocation_is_an_error(void **state) {
    (void)state;
    weir_allocator kept = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int n = 0;
    weir_mem.realloc = failing_realloc;
    for (; status && n < 100; n++) {
        weir_expr *expr = NULL;
        weir_err err = {0};
        allocations_left = n;
        status = weir_expr_new("if(word in (\"a\", \"b\") and a > 2.5, hour(t, \"-06:00\"), coalesce(none, b ^ 2))", &names, &expr, &err);
        if (status && err.code != WEIR_ENOMEM) fail_msg("after %d: %s", n, err.message);
        weir_expr_free(expr);
    }
    weir_mem = kept;
    assert_int_equal(status, WEIR_OK);
    assert_true(n > 4);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_bind_as_in_mathematics),
        cmocka_unit_test(nulls_follow_sql),
        cmocka_unit_test(what_has_no_finite_value_is_null),
        cmocka_unit_test(functions_give_what_their_text_says),
        cmocka_unit_test(texts_are_compared_and_nothing_else),
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(times_have_parts),
        cmocka_unit_test(the_calendar_agrees_with_gmtime),
        cmocka_unit_test(geodesy_gives_published_values),
        cmocka_unit_test(destinations_are_where_distance_and_bearing_say),
        cmocka_unit_test(what_is_wrong_is_told_by_column),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(equal_expressions_have_equal_texts),
        cmocka_unit_test(variables_are_named_once_in_order),
        cmocka_unit_test(one_by_one_and_in_batches_bits_are_equal),
        cmocka_unit_test(constants_are_folded_to_the_same_bits),
        cmocka_unit_test(every_function_is_documented),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, set_values, NULL);
}
