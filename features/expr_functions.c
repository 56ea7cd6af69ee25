/* The functions of expressions: what they are called with, what they mean, and the words that docs/operators.md is made from. */
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "features/calendar.h"
#include "features/expr_code.h"
#include "features/geodesy.h"
#include "features/pipeline.h"

/* --- mathematics --- */

static double call_cbrt(const double *x) {
    return cbrt(x[0]);
}
static double call_exp(const double *x) {
    return exp(x[0]);
}
static double call_expm1(const double *x) {
    return expm1(x[0]);
}
static double call_log(const double *x) {
    return log(x[0]);
}
static double call_log1p(const double *x) {
    return log1p(x[0]);
}
static double call_log2(const double *x) {
    return log2(x[0]);
}
static double call_log10(const double *x) {
    return log10(x[0]);
}
static double call_pow(const double *x) {
    return pow(x[0], x[1]);
}
static double call_hypot(const double *x) {
    return hypot(x[0], x[1]);
}
static double call_floor(const double *x) {
    return floor(x[0]);
}
static double call_ceil(const double *x) {
    return ceil(x[0]);
}
static double call_trunc(const double *x) {
    return trunc(x[0]);
}
static double call_round(const double *x) {
    if (x[1] == 0) return round(x[0]);
    if (x[1] != floor(x[1]) || fabs(x[1]) > 15) return NAN;
    double scale = pow(10, fabs(x[1])), scaled = x[1] < 0 ? x[0] / scale : x[0] * scale;
    if (!(fabs(scaled) < 0x1p52)) return x[1] < 0 ? NAN : x[0]; /* no digits behind there */
    return x[1] < 0 ? round(scaled) * scale : round(scaled) / scale;
}
static double call_mod(const double *x) {
    double rest = fmod(x[0], x[1]);
    if (rest == 0) return copysign(0, x[1]);
    return (rest < 0) != (x[1] < 0) ? rest + x[1] : rest;
}
static double call_sin(const double *x) {
    return sin(x[0]);
}
static double call_cos(const double *x) {
    return cos(x[0]);
}
static double call_tan(const double *x) {
    return tan(x[0]);
}
static double call_asin(const double *x) {
    return asin(x[0]);
}
static double call_acos(const double *x) {
    return acos(x[0]);
}
static double call_atan(const double *x) {
    return atan(x[0]);
}
static double call_atan2(const double *x) {
    return atan2(x[0], x[1]);
}
static double call_sinh(const double *x) {
    return sinh(x[0]);
}
static double call_cosh(const double *x) {
    return cosh(x[0]);
}
static double call_tanh(const double *x) {
    return tanh(x[0]);
}
static double call_radians(const double *x) {
    return x[0] * (M_PI / 180);
}
static double call_degrees(const double *x) {
    return x[0] * (180 / M_PI);
}
static double call_cyclic_sin(const double *x) {
    return sin(2 * M_PI * x[0] / x[1]);
}
static double call_cyclic_cos(const double *x) {
    return cos(2 * M_PI * x[0] / x[1]);
}

/* --- calendar --- */

/* The day of a time, and the microseconds of it that have passed; false outside the years 1 to 9999. */
static bool day_of(double time_us, int64_t *ret_day, int64_t *ret_of_day_us) {
    if (!(time_us >= (double)WEIR_TIME_MIN_US && time_us <= (double)WEIR_TIME_MAX_US)) return false;
    *ret_day = weir_calendar_day((int64_t)floor(time_us), ret_of_day_us);
    return true;
}
static weir_calendar date_of(double time_us) {
    int64_t day, of_day_us;
    return day_of(time_us, &day, &of_day_us) ? weir_calendar_of_day(day) : (weir_calendar){.month = 0};
}
static double part_of_day(double time_us, int64_t unit_us, int64_t cycle) {
    int64_t day, of_day_us;
    return day_of(time_us, &day, &of_day_us) ? (double)(of_day_us / unit_us % cycle) : NAN;
}
static double of_date(const weir_calendar *date, int value) {
    return date->month ? value : NAN;
}

static double call_hour(const double *x) {
    return part_of_day(x[0], 3600 * WEIR_SECOND_US, 24);
}
static double call_minute(const double *x) {
    return part_of_day(x[0], 60 * WEIR_SECOND_US, 60);
}
static double call_second(const double *x) {
    return part_of_day(x[0], WEIR_SECOND_US, 60);
}
static double call_minute_of_day(const double *x) {
    return part_of_day(x[0], 60 * WEIR_SECOND_US, 1440);
}
static double call_day(const double *x) {
    int64_t day, of_day_us;
    return day_of(x[0], &day, &of_day_us) ? (double)day : NAN;
}
static double call_weekday(const double *x) {
    int64_t day, of_day_us;
    return day_of(x[0], &day, &of_day_us) ? weir_calendar_weekday(day) : NAN;
}
static double call_weekend(const double *x) {
    int64_t day, of_day_us;
    return day_of(x[0], &day, &of_day_us) ? weir_calendar_weekday(day) >= 5 : NAN;
}
static double call_day_of_month(const double *x) {
    weir_calendar date = date_of(x[0]);
    return of_date(&date, date.day_of_month);
}
static double call_day_of_year(const double *x) {
    weir_calendar date = date_of(x[0]);
    return of_date(&date, date.day_of_year);
}
static double call_week(const double *x) {
    weir_calendar date = date_of(x[0]);
    return of_date(&date, date.week);
}
static double call_month(const double *x) {
    weir_calendar date = date_of(x[0]);
    return of_date(&date, date.month);
}
static double call_quarter(const double *x) {
    weir_calendar date = date_of(x[0]);
    return of_date(&date, (date.month + 2) / 3);
}
static double call_year(const double *x) {
    weir_calendar date = date_of(x[0]);
    return of_date(&date, date.year);
}

/* --- geodesy --- */

static weir_position at(const double *x) {
    return (weir_position){.lat = x[0], .lon = x[1]};
}
static double call_distance_m(const double *x) {
    return weir_great_circle_m(at(x), at(x + 2));
}
static double call_distance_km(const double *x) {
    return weir_great_circle_m(at(x), at(x + 2)) / 1000;
}
static double call_distance_nm(const double *x) {
    return weir_great_circle_m(at(x), at(x + 2)) / WEIR_NAUTICAL_MILE_M;
}
static double call_geodesic_m(const double *x) {
    return weir_geodesic_m(at(x), at(x + 2));
}
static double call_bearing(const double *x) {
    return weir_course(at(x), at(x + 2));
}
static double call_rhumb_nm(const double *x) {
    return weir_rhumb_m(at(x), at(x + 2)) / WEIR_NAUTICAL_MILE_M;
}
static double call_rhumb_bearing(const double *x) {
    return weir_rhumb_course(at(x), at(x + 2));
}
static double call_angle_difference(const double *x) {
    return weir_angle_difference(x[0], x[1]);
}
static double call_destination_lat(const double *x) {
    return weir_destination(at(x), x[2], x[3] * WEIR_NAUTICAL_MILE_M).lat;
}
static double call_destination_lon(const double *x) {
    return weir_destination(at(x), x[2], x[3] * WEIR_NAUTICAL_MILE_M).lon;
}
static double call_cross_track_nm(const double *x) {
    return weir_cross_track_m(at(x), at(x + 2), at(x + 4)) / WEIR_NAUTICAL_MILE_M;
}
static double call_along_track_nm(const double *x) {
    return weir_along_track_m(at(x), at(x + 2), at(x + 4)) / WEIR_NAUTICAL_MILE_M;
}

/* --- the table --- */

#define C_LIBRARY "ISO C, <math.h>"
#define HAVERSINE "Sinnott, Virtues of the Haversine, Sky & Telescope 68, 1984"
#define FORMULARY "Williams, Aviation Formulary"
#define SQL "ISO/IEC 9075 (SQL)"

const expr_function expr_functions[] = {
    {{"if", "if(condition, then, otherwise)",
      "`then` where the condition is true, `otherwise` where it is false or null. For more cases put one into the other.", "as the values", SQL ", CASE"},
     "caa",
     EXPR_IF},
    {{"coalesce", "coalesce(x, y, ...)", "The first that is not null.", "as the values", SQL}, "aa+", EXPR_COALESCE},
    {{"nullif", "nullif(x, y)", "Null where x equals y, else x: `nullif(heading, 511)`.", "as x", SQL}, "aa", EXPR_NULLIF},
    {{"is_null", "is_null(x)", "1 where x is null, else 0; the same as `x is null`.", "", SQL}, "x", EXPR_IS_NULL},
    {{"min", "min(x, y, ...)", "The smallest; null when one of them is null.", "as x", ""}, "nn+", EXPR_MIN},
    {{"max", "max(x, y, ...)", "The largest; null when one of them is null.", "as x", ""}, "nn+", EXPR_MAX},
    {{"least", "least(x, y, ...)", "The smallest of those that are not null.", "as x", "PostgreSQL"}, "nn+", EXPR_LEAST},
    {{"greatest", "greatest(x, y, ...)", "The largest of those that are not null.", "as x", "PostgreSQL"}, "nn+", EXPR_GREATEST},
    {{"clip", "clip(x, low, high)", "min(max(x, low), high).", "as x", ""}, "nnn", EXPR_CLIP},
    {{"abs", "abs(x)", "|x|.", "as x", C_LIBRARY}, "n", EXPR_ABS},
    {{"sign", "sign(x)", "-1, 0 or 1.", "", ""}, "n", EXPR_SIGN},
    {{"sqrt", "sqrt(x)", "Square root; null below 0.", "", C_LIBRARY}, "n", EXPR_SQRT},
    {{"cbrt", "cbrt(x)", "Cube root.", "", C_LIBRARY}, "n", EXPR_CALL, call_cbrt},
    {{"pow", "pow(x, y)", "x to the power y, the same as `x ^ y`; null where that is no real or no finite number.", "", C_LIBRARY}, "nn", EXPR_CALL, call_pow},
    {{"hypot", "hypot(x, y)", "sqrt(x^2 + y^2) without overflow.", "as x", C_LIBRARY}, "nn", EXPR_CALL, call_hypot},
    {{"exp", "exp(x)", "e to the power x.", "", C_LIBRARY}, "n", EXPR_CALL, call_exp},
    {{"expm1", "expm1(x)", "exp(x) - 1, exact near 0.", "", C_LIBRARY}, "n", EXPR_CALL, call_expm1},
    {{"log", "log(x)", "Natural logarithm; null at 0 and below.", "", C_LIBRARY}, "n", EXPR_CALL, call_log},
    {{"log1p", "log1p(x)", "log(1 + x), exact near 0.", "", C_LIBRARY}, "n", EXPR_CALL, call_log1p},
    {{"log2", "log2(x)", "Logarithm to base 2; null at 0 and below.", "", C_LIBRARY}, "n", EXPR_CALL, call_log2},
    {{"log10", "log10(x)", "Logarithm to base 10; null at 0 and below.", "", C_LIBRARY}, "n", EXPR_CALL, call_log10},
    {{"floor", "floor(x)", "The largest whole number that is not above x.", "as x", C_LIBRARY}, "n", EXPR_CALL, call_floor},
    {{"ceil", "ceil(x)", "The smallest whole number that is not below x.", "as x", C_LIBRARY}, "n", EXPR_CALL, call_ceil},
    {{"trunc", "trunc(x)", "x without its fraction.", "as x", C_LIBRARY}, "n", EXPR_CALL, call_trunc},
    {{"round", "round(x, digits)",
      "The nearest whole number, halves away from zero; with digits round(x * 10^digits) / 10^digits, digits a whole number from -15 to 15.", "as x",
      C_LIBRARY},
     "n?n",
     EXPR_CALL,
     call_round},
    {{"mod", "mod(x, y)", "x - y * floor(x / y), exactly: the remainder with the sign of y, the same as `x % y`; null when y is 0.", "as x", "Python, %"},
     "nn",
     EXPR_CALL,
     call_mod},
    {{"sin", "sin(x)", "Sine of x in radians.", "", C_LIBRARY}, "n", EXPR_CALL, call_sin},
    {{"cos", "cos(x)", "Cosine of x in radians.", "", C_LIBRARY}, "n", EXPR_CALL, call_cos},
    {{"tan", "tan(x)", "Tangent of x in radians.", "", C_LIBRARY}, "n", EXPR_CALL, call_tan},
    {{"asin", "asin(x)", "Arc sine; null outside -1 to 1.", "radians", C_LIBRARY}, "n", EXPR_CALL, call_asin},
    {{"acos", "acos(x)", "Arc cosine; null outside -1 to 1.", "radians", C_LIBRARY}, "n", EXPR_CALL, call_acos},
    {{"atan", "atan(x)", "Arc tangent.", "radians", C_LIBRARY}, "n", EXPR_CALL, call_atan},
    {{"atan2", "atan2(y, x)", "The angle of the point (x, y), above -pi to pi.", "radians", C_LIBRARY}, "nn", EXPR_CALL, call_atan2},
    {{"sinh", "sinh(x)", "Hyperbolic sine.", "", C_LIBRARY}, "n", EXPR_CALL, call_sinh},
    {{"cosh", "cosh(x)", "Hyperbolic cosine.", "", C_LIBRARY}, "n", EXPR_CALL, call_cosh},
    {{"tanh", "tanh(x)", "Hyperbolic tangent.", "", C_LIBRARY}, "n", EXPR_CALL, call_tanh},
    {{"radians", "radians(x)", "x * pi / 180.", "radians", ""}, "n", EXPR_CALL, call_radians},
    {{"degrees", "degrees(x)", "x * 180 / pi.", "degrees", ""}, "n", EXPR_CALL, call_degrees},
    {{"cyclic_sin", "cyclic_sin(x, period)", "sin(2 pi x / period): with cyclic_cos a place on a circle, on which 23 h and 0 h are neighbours.", "", ""},
     "nn",
     EXPR_CALL,
     call_cyclic_sin},
    {{"cyclic_cos", "cyclic_cos(x, period)", "cos(2 pi x / period).", "", ""}, "nn", EXPR_CALL, call_cyclic_cos},

    {{"hour", "hour(t, \"zone\")", "Hour of the day, 0 to 23. `zone`, here and below, is an offset from UTC such as \"-06:00\"; without it the time is UTC.",
      "h", ""},
     "n?z",
     EXPR_CALL,
     call_hour},
    {{"minute", "minute(t, \"zone\")", "Minute of the hour, 0 to 59.", "min", ""}, "n?z", EXPR_CALL, call_minute},
    {{"second", "second(t, \"zone\")", "Second of the minute, 0 to 59.", "s", ""}, "n?z", EXPR_CALL, call_second},
    {{"minute_of_day", "minute_of_day(t, \"zone\")", "Minutes since midnight, 0 to 1439.", "min", ""}, "n?z", EXPR_CALL, call_minute_of_day},
    {{"weekday", "weekday(t, \"zone\")", "Day of the week, 0 Monday to 6 Sunday.", "", ""}, "n?z", EXPR_CALL, call_weekday},
    {{"weekend", "weekend(t, \"zone\")", "1 on Saturday and Sunday, else 0.", "", ""}, "n?z", EXPR_CALL, call_weekend},
    {{"day", "day(t, \"zone\")", "Days since 1970-01-01; what a list of dates holds: `day(t) in holidays`.", "d", ""}, "n?z", EXPR_CALL, call_day},
    {{"day_of_month", "day_of_month(t, \"zone\")", "1 to 31.", "d", ""}, "n?z", EXPR_CALL, call_day_of_month},
    {{"day_of_year", "day_of_year(t, \"zone\")", "1 to 366.", "d", ""}, "n?z", EXPR_CALL, call_day_of_year},
    {{"week", "week(t, \"zone\")", "Week of the year, 1 to 53; the week of a year's first Thursday is 1.", "", "ISO 8601"}, "n?z", EXPR_CALL, call_week},
    {{"month", "month(t, \"zone\")", "1 to 12.", "", ""}, "n?z", EXPR_CALL, call_month},
    {{"quarter", "quarter(t, \"zone\")", "1 to 4.", "", ""}, "n?z", EXPR_CALL, call_quarter},
    {{"year", "year(t, \"zone\")", "Year; null outside 1 to 9999, as for all of these.", "", ""}, "n?z", EXPR_CALL, call_year},
    {{"duration", "duration(\"text\")", "A length of time: \"90s\", \"15m\", \"12h\", \"7d\", \"2w\", \"250ms\". `t - other_t > duration(\"1d\")`.",
      "microseconds", ""},
     "d",
     EXPR_CONSTANT},
    {{"time", "time(\"text\")", "A point in time: \"2018-05-15\", \"2018-05-15T10:00:00Z\"; UTC.", "microseconds since 1970", "ISO 8601"}, "t", EXPR_CONSTANT},

    {{"distance_m", "distance_m(lat1, lon1, lat2, lon2)",
      "Great circle on the sphere of mean radius 6371008.8 m; at most 0.56 % from the ellipsoid. Null for latitudes beyond 90 and longitudes beyond 360 "
      "degrees, here and below.",
      "m", HAVERSINE},
     "nnnn",
     EXPR_CALL,
     call_distance_m},
    {{"distance_km", "distance_km(lat1, lon1, lat2, lon2)", "distance_m in kilometres.", "km", HAVERSINE}, "nnnn", EXPR_CALL, call_distance_km},
    {{"distance_nm", "distance_nm(lat1, lon1, lat2, lon2)", "distance_m in nautical miles of 1852 m.", "nmi", HAVERSINE}, "nnnn", EXPR_CALL, call_distance_nm},
    {{"geodesic_m", "geodesic_m(lat1, lon1, lat2, lon2)", "Geodesic on the ellipsoid WGS 84, to 0.5 mm; null within about half a degree of the antipode.", "m",
      "Vincenty, Survey Review 23, 1975"},
     "nnnn",
     EXPR_CALL,
     call_geodesic_m},
    {{"bearing", "bearing(lat1, lon1, lat2, lon2)", "Initial course of the great circle, 0 to below 360: 0 north, 90 east; null between equal points.",
      "degrees", FORMULARY},
     "nnnn",
     EXPR_CALL,
     call_bearing},
    {{"rhumb_nm", "rhumb_nm(lat1, lon1, lat2, lon2)", "Along the rhumb line (constant course) on the sphere.", "nmi", FORMULARY},
     "nnnn",
     EXPR_CALL,
     call_rhumb_nm},
    {{"rhumb_bearing", "rhumb_bearing(lat1, lon1, lat2, lon2)", "Course of the rhumb line; null between equal points.", "degrees", FORMULARY},
     "nnnn",
     EXPR_CALL,
     call_rhumb_bearing},
    {{"angle_difference", "angle_difference(a, b)", "a - b on the circle, above -180 to 180: positive when a is clockwise of b.", "degrees", ""},
     "nn",
     EXPR_CALL,
     call_angle_difference},
    {{"destination_lat", "destination_lat(lat, lon, course, nm)",
      "Latitude that is reached after so many nautical miles on the great circle that starts with that course.", "degrees", FORMULARY},
     "nnnn",
     EXPR_CALL,
     call_destination_lat},
    {{"destination_lon", "destination_lon(lat, lon, course, nm)", "Its longitude, from -180 to below 180.", "degrees", FORMULARY},
     "nnnn",
     EXPR_CALL,
     call_destination_lon},
    {{"cross_track_nm", "cross_track_nm(lat, lon, lat1, lon1, lat2, lon2)",
      "Distance of a point from the great circle of a leg from (lat1, lon1) to (lat2, lon2); positive to the right of the way.", "nmi", FORMULARY},
     "nnnnnn",
     EXPR_CALL,
     call_cross_track_nm},
    {{"along_track_nm", "along_track_nm(lat, lon, lat1, lon1, lat2, lon2)", "Way made along that leg when the point is abeam; negative before its start.",
      "nmi", FORMULARY},
     "nnnnnn",
     EXPR_CALL,
     call_along_track_nm},
    {{NULL}},
};

const expr_function expr_modulo = {{"%"}, "nn", EXPR_CALL, call_mod}, expr_power = {{"^"}, "nn", EXPR_CALL, call_pow};

const expr_function *expr_function_find(const char *name) {
    for (const expr_function *f = expr_functions; f->doc.name; f++) {
        if (!strcmp(f->doc.name, name)) return f;
    }
    return NULL;
}

const weir_expr_function *weir_expr_function_at(int index) {
    int count = (int)(sizeof(expr_functions) / sizeof(*expr_functions)) - 1;
    return index >= 0 && index < count ? &expr_functions[index].doc : NULL;
}

bool expr_zone_parse(const char *text, double *ret_us) {
    *ret_us = 0;
    if (!strcmp(text, "Z")) return true;
    if (strlen(text) != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return false;
    int digits[4], places[] = {1, 2, 4, 5};
    for (int i = 0; i < 4; i++) {
        digits[i] = text[places[i]] - '0';
        if (digits[i] < 0 || digits[i] > 9) return false;
    }
    int hours = 10 * digits[0] + digits[1], minutes = 10 * digits[2] + digits[3];
    if (hours > 18 || minutes > 59) return false; /* java.time takes as much; the world uses -12 to +14 */
    *ret_us = (text[0] == '-' ? -1.0 : 1.0) * (hours * 60 + minutes) * 60.0 * (double)WEIR_SECOND_US;
    return true;
}
