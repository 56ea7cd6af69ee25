/* See geodesy.h. */
#include "features/geodesy.h"

#include <math.h>
#include <stdbool.h>

#define WGS84_A 6378137.0 /* equatorial radius, m */
#define WGS84_F (1 / 298.257223563) /* flattening */

enum { VINCENTY_STEPS_MAX = 200 };

static double radians(double degrees) {
    return degrees * (M_PI / 180);
}
static double degrees(double radians_) {
    return radians_ * (180 / M_PI);
}

static bool valid(weir_position p) {
    return fabs(p.lat) <= 90 && fabs(p.lon) <= 360;
}

/* [0, 360) */
static double full_circle(double angle) {
    double a = fmod(angle, 360);
    if (a < 0) a += 360;
    return a < 360 ? a + 0.0 : 0; /* a tiny negative angle plus 360 rounds to 360; + 0.0 makes -0 a 0 */
}

/* [-180, 180) */
static double half_circle(double angle) {
    return full_circle(angle + 180) - 180;
}

double weir_angle_difference(double a, double b) {
    double d = half_circle(a - b);
    return d == -180 ? 180 : d;
}

double weir_great_circle_m(weir_position from, weir_position to) {
    if (!valid(from) || !valid(to)) return NAN;
    double lat = sin(radians(to.lat - from.lat) / 2), lon = sin(radians(to.lon - from.lon) / 2);
    double h = lat * lat + cos(radians(from.lat)) * cos(radians(to.lat)) * lon * lon;
    return 2 * WEIR_EARTH_RADIUS_M * asin(fmin(1, sqrt(h)));
}

double weir_geodesic_m(weir_position from, weir_position to) {
    if (!valid(from) || !valid(to)) return NAN;
    const double b = WGS84_A * (1 - WGS84_F), l = radians(half_circle(to.lon - from.lon));
    double u1 = atan((1 - WGS84_F) * tan(radians(from.lat))), u2 = atan((1 - WGS84_F) * tan(radians(to.lat)));
    double sin_u1 = sin(u1), cos_u1 = cos(u1), sin_u2 = sin(u2), cos_u2 = cos(u2), lambda = l;
    for (int i = 0; i < VINCENTY_STEPS_MAX; i++) {
        double east = cos_u2 * sin(lambda), north = cos_u1 * sin_u2 - sin_u1 * cos_u2 * cos(lambda);
        double sin_sigma = sqrt(east * east + north * north);
        if (sin_sigma == 0) return cos(lambda) > 0 ? 0 : NAN; /* one point, or antipodes on the equator */
        double cos_sigma = sin_u1 * sin_u2 + cos_u1 * cos_u2 * cos(lambda), sigma = atan2(sin_sigma, cos_sigma);
        double sin_alpha = cos_u1 * cos_u2 * sin(lambda) / sin_sigma, cos2_alpha = 1 - sin_alpha * sin_alpha;
        double cos_2sm = cos2_alpha != 0 ? cos_sigma - 2 * sin_u1 * sin_u2 / cos2_alpha : 0; /* 0: along the equator */
        double c = WGS84_F / 16 * cos2_alpha * (4 + WGS84_F * (4 - 3 * cos2_alpha));
        double next = l + (1 - c) * WGS84_F * sin_alpha * (sigma + c * sin_sigma * (cos_2sm + c * cos_sigma * (2 * cos_2sm * cos_2sm - 1)));
        if (fabs(next) > M_PI) return NAN;
        bool done = fabs(next - lambda) < 1e-12;
        lambda = next;
        if (!done) continue;
        double uu = cos2_alpha * (WGS84_A * WGS84_A - b * b) / (b * b);
        double aa = 1 + uu / 16384 * (4096 + uu * (-768 + uu * (320 - 175 * uu))), bb = uu / 1024 * (256 + uu * (-128 + uu * (74 - 47 * uu)));
        double edge = bb / 6 * cos_2sm * (4 * sin_sigma * sin_sigma - 3) * (4 * cos_2sm * cos_2sm - 3);
        double delta = bb * sin_sigma * (cos_2sm + bb / 4 * (cos_sigma * (2 * cos_2sm * cos_2sm - 1) - edge));
        return b * aa * (sigma - delta);
    }
    return NAN;
}

double weir_course(weir_position from, weir_position to) {
    if (!valid(from) || !valid(to)) return NAN;
    double lat1 = radians(from.lat), lat2 = radians(to.lat), lon = radians(to.lon - from.lon);
    double east = sin(lon) * cos(lat2), north = cos(lat1) * sin(lat2) - sin(lat1) * cos(lat2) * cos(lon);
    if (east == 0 && north == 0) return NAN;
    return full_circle(degrees(atan2(east, north)));
}

/* Differences of latitude, longitude and isometric latitude. */
static void rhumb(weir_position from, weir_position to, double *ret_lat, double *ret_lon, double *ret_psi) {
    *ret_lat = radians(to.lat - from.lat);
    *ret_lon = radians(half_circle(to.lon - from.lon));
    *ret_psi = asinh(tan(radians(to.lat))) - asinh(tan(radians(from.lat)));
}

double weir_rhumb_m(weir_position from, weir_position to) {
    if (!valid(from) || !valid(to)) return NAN;
    double lat, lon, psi;
    rhumb(from, to, &lat, &lon, &psi);
    double q = fabs(psi) > 1e-9 ? lat / psi : cos(radians((from.lat + to.lat) / 2));
    return WEIR_EARTH_RADIUS_M * sqrt(lat * lat + q * q * lon * lon);
}

double weir_rhumb_course(weir_position from, weir_position to) {
    if (!valid(from) || !valid(to)) return NAN;
    double lat, lon, psi;
    rhumb(from, to, &lat, &lon, &psi);
    if (lat == 0 && lon == 0) return NAN;
    return full_circle(degrees(atan2(lon, psi)));
}

weir_position weir_destination(weir_position from, double course, double distance_m) {
    if (!valid(from) || !(fabs(course) <= 360) || isnan(distance_m)) return (weir_position){NAN, NAN};
    double lat1 = radians(from.lat), c = radians(course), d = distance_m / WEIR_EARTH_RADIUS_M;
    double sin_lat2 = sin(lat1) * cos(d) + cos(lat1) * sin(d) * cos(c);
    double lon = atan2(sin(c) * sin(d) * cos(lat1), cos(d) - sin(lat1) * sin_lat2);
    return (weir_position){degrees(asin(fmax(-1, fmin(1, sin_lat2)))), half_circle(from.lon + degrees(lon))};
}

/* Angle at `from` between the ways to the point and to `to`, and the point's distance from there; radians. */
static bool track(weir_position point, weir_position from, weir_position to, double *ret_angle, double *ret_distance) {
    double way = weir_course(from, to);
    if (isnan(way) || !valid(point)) return false;
    double there = weir_course(from, point);
    *ret_distance = weir_great_circle_m(from, point) / WEIR_EARTH_RADIUS_M;
    *ret_angle = isnan(there) ? 0 : radians(there - way);
    return true;
}

double weir_cross_track_m(weir_position point, weir_position from, weir_position to) {
    double angle, distance;
    return track(point, from, to, &angle, &distance) ? WEIR_EARTH_RADIUS_M * asin(sin(distance) * sin(angle)) : NAN;
}

double weir_along_track_m(weir_position point, weir_position from, weir_position to) {
    double angle, distance;
    return track(point, from, to, &angle, &distance) ? WEIR_EARTH_RADIUS_M * atan2(sin(distance) * cos(angle), cos(distance)) : NAN;
}
