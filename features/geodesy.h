/* Positions on the earth: distances, courses and tracks. Angles in degrees, latitudes -90 to 90, longitudes -360 to 360 (east positive). Pure; NaN in, or a latitude or
 * longitude outside that range: NaN out. */
#ifndef WEIR_FEATURES_GEODESY_H
#define WEIR_FEATURES_GEODESY_H

#define WEIR_EARTH_RADIUS_M 6371008.8 /* mean radius of WGS 84, (2a + b) / 3 */
#define WEIR_NAUTICAL_MILE_M 1852.0

typedef struct weir_position {
    double lat, lon;
} weir_position;

/** Metres along the great circle of the sphere of mean radius; off by at most 0.56 % from the ellipsoid. Source: Sinnott, "Virtues of the Haversine", Sky & Telescope 68, 1984. */
double weir_great_circle_m(weir_position from, weir_position to);
/** Metres along the geodesic of WGS 84, to 0.5 mm; NaN where the iteration does not converge: points within about half a degree of each other's antipode.
 *  Source: Vincenty, "Direct and Inverse Solutions of Geodesics on the Ellipsoid", Survey Review 23, 1975. */
double weir_geodesic_m(weir_position from, weir_position to);
/** Initial course of the great circle, [0, 360), 0 north, 90 east; NaN when the two are one point. Source: Williams, Aviation Formulary. */
double weir_course(weir_position from, weir_position to);
/** Metres along the rhumb line (constant course) on the sphere, and that course in [0, 360); the shorter way round. Source: Williams, Aviation Formulary. */
double weir_rhumb_m(weir_position from, weir_position to);
double weir_rhumb_course(weir_position from, weir_position to);
/** Where one arrives after so many metres on a great circle that starts with that course; longitude in [-180, 180). */
weir_position weir_destination(weir_position from, double course, double distance_m);
/** Metres from a point to the great circle from → to: positive to the right of the way. NaN when from and to are one point. */
double weir_cross_track_m(weir_position point, weir_position from, weir_position to);
/** Metres from `from` along that great circle to where the point is abeam; negative behind the start. */
double weir_along_track_m(weir_position point, weir_position from, weir_position to);
/** a - b on the circle, (-180, 180]. */
double weir_angle_difference(double a, double b);

#endif
