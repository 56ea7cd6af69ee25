/* Vessels on two coasts, a report every ten minutes: position, engine, fuel, weather, and what became of them.
 *
 * - A vessel sails between ports of one coast along a chain of offshore waypoints (straight legs on the local plane), stays 6 to 30 h in port, loaded or in ballast.
 * - Power in calm water by the Admiralty formula P = Δ^(2/3) V³ / C (Δ t, V kn, P kW). Source: E. Tupper, "Introduction to Naval Architecture", 5th ed., ch. 10. Waves and wind add resistance:
 *   the share 0.012 Hs² + 0.0004 U² (Hs m, U kn), more for small vessels. The master holds the ordered speed until the engine gives 90 % of its rating; then the speed falls.
 *   Speed over ground is speed through water less the current.
 * - Fuel is specific consumption times power: 175 g/kWh at 80 % load, 35 % of (load - 0.8)² more away from it, up to 8 % more with wear.
 * - Wind is an Ornstein-Uhlenbeck process of the coast with a time constant of 20 h (mean 13 kn, 6 kn deviation, stronger in winter); waves follow Hs = 0.0062 U² (the fully developed sea of
 *   W. Pierson and L. Moskowitz, 1964, for U in kn) with a lag of 8 h; the current is a slow one of the vessel's own and a tide of 12.42 h.
 * - Engine: shaft speed by the propeller law n ~ P^(1/3); outlet temperature 66 + 17 load + 14 wear² °C; oil pressure 4.6 (n/n_max)^(1/2) - 1.6 wear² bar; vibration 1.2 + 2 load + 6 wear² mm/s, with noise.
 *   Wear grows with load and running hours, 1 in 4000 h; once in 1200 running hours on average a defect makes it 40 times as fast. At 1 the engine fails: the vessel drifts while it is
 *   mended for 12 to 48 h, after which wear is 0.05. In port below 0.5 nothing is mended; above, the engine is overhauled with chance 1/2.
 * - Failed within 7 days, arrival, the calm clean engine's fuel and the class of wear (from 0.5 minor, 0.7 major, 0.9 critical) are the labels. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "producers/portable.h"
#include "producers/random.h"
#include "producers/simulate.h"

enum { VESSELS_MAX = 10000, DAYS_MAX = 36500, STEP_S = 600, PORTS_MAX = 16, TEXT_MAX = 32, FAILURES_KEPT = 8 };
#define STEP_US (STEP_S * WEIR_SECOND_US)
#define STEP_H (STEP_S / 3600.0)
#define TWO_PI 0x1.921fb54442d18p2
#define DEGREE (TWO_PI / 360)
#define NEVER INT64_MAX
#define WITHIN_US (7 * WEIR_DAY_US)

/* ---- the sea ---- */

typedef struct waypoint {
    double latitude, longitude;
    bool port;
} waypoint;

typedef struct coast {
    const waypoint *points;
    int count;
    double tide_phase; /* turns */
} coast;

static const waypoint atlantic[] = {
    {42.35, -70.85, true}, /* Boston */
    {42.30, -69.90, false}, {40.60, -69.60, false}, {40.45, -73.80, true}, /* New York */
    {38.80, -74.60, true}, /* Delaware Bay */
    {36.95, -75.80, true}, /* Norfolk */
    {35.00, -75.10, false}, {32.65, -79.60, true}, /* Charleston */
    {30.40, -81.20, true}, /* Jacksonville */
    {28.50, -80.10, false}, {25.75, -79.95, true}, /* Miami */
    {24.40, -80.90, false}, {24.30, -83.20, false}, {30.00, -88.00, true}, /* Mobile */
    {28.80, -89.40, true}, /* Mississippi, Southwest Pass */
    {29.20, -94.50, true}, /* Galveston */
    {27.75, -96.90, true}, /* Corpus Christi */
};
static const waypoint pacific[] = {
    {32.60, -117.35, true}, /* San Diego */
    {33.60, -118.30, true}, /* Los Angeles */
    {34.40, -120.75, false}, {37.70, -122.75, true}, /* San Francisco */
    {40.40, -124.80, false}, {46.20, -124.30, true}, /* Columbia River */
    {48.45, -124.95, false}, {48.20, -123.40, true}, /* Port Angeles */
};
static const coast coasts[] = {{atlantic, sizeof atlantic / sizeof *atlantic, 0.1}, {pacific, sizeof pacific / sizeof *pacific, 0.45}};
enum { COAST_COUNT = sizeof coasts / sizeof *coasts };

typedef struct weather {
    double wind, wave; /* knots, m */
} weather;

/* ---- vessels ---- */

typedef struct kind {
    const char *name;
    int ais_type, cargo;
    double length, width, draft_loaded, displacement, speed, rpm; /* m, m, m, t loaded, kn ordered, at full rating */
    double admiralty; /* C of the formula */
} kind;
static const kind kinds[] = {
    {"FEEDER", 71, 71, 170, 27, 9.5, 26000, 17.5, 110, 480},
    {"BULKER", 70, 70, 190, 32, 11.5, 58000, 13.5, 95, 560},
    {"TANKER", 80, 80, 183, 32, 11.0, 52000, 13.8, 100, 540},
    {"COASTER", 70, 70, 90, 14, 5.6, 5200, 11.5, 160, 330},
};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

typedef enum phase { IN_PORT, UNDER_WAY, ADRIFT } phase;

typedef struct vessel {
    const kind *kind;
    int coast, leg_from, target, direction; /* points of the coast; direction +1, -1 along the chain */
    double along; /* nmi since leg_from */
    phase phase;
    int64_t until_us; /* of IN_PORT and ADRIFT */
    int64_t voyage, arrived_at_us; /* of the voyage before `voyage` */
    double ordered, loading, rating; /* kn, share of the loaded displacement, kW */
    double wear, hours, defect; /* defect: factor of wear, 1 without */
    double current;
    int64_t failed_at_us[FAILURES_KEPT]; /* the latest ones, by failures % FAILURES_KEPT */
    int64_t failures;
    int64_t offset_us; /* of its reports within a step; never less than that of the vessel before it */
} vessel;

typedef struct report {
    int64_t at_us;
    uint32_t vessel;
    phase phase;
    int64_t voyage;
    int target;
    double latitude, longitude, speed, course, heading, draft, displacement, to_go;
    double temperature, rpm, oil, vibration, load, hours, fuel, clean_fuel, wear, wind, wave, current;
} report;

typedef struct arrival {
    int64_t at_us;
} arrival;

typedef struct fleet {
    weir_random random;
    vessel *vessels;
    arrival *arrivals; /* ring of the latest voyages' arrivals: [vessel_count][VOYAGES_KEPT] */
    uint32_t vessel_count;
    int64_t at_us, max_delay_us;
    weather weather[COAST_COUNT];
    char texts[4][TEXT_MAX];
} fleet;
enum { VOYAGES_KEPT = 64 };

/* ---- columns ---- */

enum {
    C_TENANT,
    C_REPORT,
    C_VESSEL,
    C_TIME,
    C_KNOWN,
    C_LATITUDE,
    C_LONGITUDE,
    C_SPEED,
    C_COURSE,
    C_HEADING,
    C_NAME,
    C_TYPE,
    C_STATUS,
    C_LENGTH,
    C_WIDTH,
    C_DRAFT,
    C_CARGO,
    C_TRANSCEIVER,
    C_VOYAGE,
    C_TEMPERATURE,
    C_RPM,
    C_OIL,
    C_VIBRATION,
    C_LOAD,
    C_HOURS,
    C_FUEL,
    C_DISPLACEMENT,
    C_WIND,
    C_WAVE,
    C_CURRENT,
    C_TO_LATITUDE,
    C_TO_LONGITUDE,
    C_TO_GO,
    C_NEEDED,
    C_CLEAN_FUEL,
    C_REMAINING,
    C_CLASS
};
static const weir_sim_column columns[] = {
    [C_TENANT] = {"tenant", WEIR_T_STR, WEIR_SIM_TENANT},
    [C_REPORT] = {"report_id", WEIR_T_STR, WEIR_SIM_ID},
    [C_VESSEL] = {"vessel_id", WEIR_T_I64},
    [C_TIME] = {"reported_at", WEIR_T_I64, WEIR_SIM_TIME},
    [C_KNOWN] = {"known_at", WEIR_T_I64, WEIR_SIM_AVAILABLE},
    [C_LATITUDE] = {"latitude", WEIR_T_F64},
    [C_LONGITUDE] = {"longitude", WEIR_T_F64},
    [C_SPEED] = {"speed_knots", WEIR_T_F64},
    [C_COURSE] = {"course", WEIR_T_F64},
    [C_HEADING] = {"heading", WEIR_T_F64},
    [C_NAME] = {"vessel_name", WEIR_T_STR},
    [C_TYPE] = {"vessel_type", WEIR_T_I64},
    [C_STATUS] = {"nav_status", WEIR_T_I64},
    [C_LENGTH] = {"length", WEIR_T_F64},
    [C_WIDTH] = {"width", WEIR_T_F64},
    [C_DRAFT] = {"draft", WEIR_T_F64},
    [C_CARGO] = {"cargo", WEIR_T_I64},
    [C_TRANSCEIVER] = {"transceiver", WEIR_T_STR},
    [C_VOYAGE] = {"voyage_id", WEIR_T_STR},
    [C_TEMPERATURE] = {"engine_temperature", WEIR_T_F64},
    [C_RPM] = {"engine_rpm", WEIR_T_F64},
    [C_OIL] = {"oil_pressure", WEIR_T_F64},
    [C_VIBRATION] = {"vibration", WEIR_T_F64},
    [C_LOAD] = {"engine_load", WEIR_T_F64},
    [C_HOURS] = {"engine_hours", WEIR_T_F64},
    [C_FUEL] = {"fuel_consumption_rate", WEIR_T_F64},
    [C_DISPLACEMENT] = {"displacement", WEIR_T_F64},
    [C_WIND] = {"wind_speed", WEIR_T_F64},
    [C_WAVE] = {"wave_height", WEIR_T_F64},
    [C_CURRENT] = {"current_speed", WEIR_T_F64},
    [C_TO_LATITUDE] = {"destination_latitude", WEIR_T_F64},
    [C_TO_LONGITUDE] = {"destination_longitude", WEIR_T_F64},
    [C_TO_GO] = {"distance_to_destination", WEIR_T_F64},
    [C_NEEDED] = {"maintenance_needed", WEIR_T_BOOL, WEIR_SIM_LABEL},
    [C_CLEAN_FUEL] = {"optimal_fuel_rate", WEIR_T_F64},
    [C_REMAINING] = {"actual_hours_remaining", WEIR_T_F64},
    [C_CLASS] = {"anomaly_class", WEIR_T_STR},
    {NULL},
};

static double cut(double x, int decimals) {
    double scale = 1;
    while (decimals--) scale *= 10;
    return floor(x * scale + 0.5) / scale;
}

/* ---- geometry: straight on the plane that touches the middle of a leg ---- */

typedef struct leg {
    double north, east, length; /* nmi */
} leg;

static leg leg_between(const waypoint *a, const waypoint *b) {
    leg l = {.north = (b->latitude - a->latitude) * 60};
    l.east = (b->longitude - a->longitude) * 60 * weir_portable_cos((a->latitude + b->latitude) / 2 * DEGREE);
    l.length = sqrt(l.north * l.north + l.east * l.east);
    return l;
}

static leg current_leg(const vessel *v) {
    const waypoint *points = coasts[v->coast].points;
    return leg_between(&points[v->leg_from], &points[v->leg_from + v->direction]);
}

static double distance_to_go(const vessel *v) {
    const waypoint *points = coasts[v->coast].points;
    double sum = -v->along;
    for (int i = v->leg_from; i != v->target; i += v->direction) sum += leg_between(&points[i], &points[i + v->direction]).length;
    return sum > 0 ? sum : 0;
}

static double degrees_of(const leg *l) {
    double course = weir_portable_atan2(l->east, l->north) / DEGREE;
    return course < 0 ? course + 360 : course;
}

/* ---- the weather ---- */

static void next_weather(fleet *f) {
    double day = (double)(f->at_us / WEIR_DAY_US % 365), season = 1 + 0.25 * weir_portable_cos(TWO_PI * (day - 15) / 365);
    const double keep = 1 - STEP_H / 20, kick = sqrt(1 - keep * keep);
    for (int i = 0; i < COAST_COUNT; i++) {
        weather *w = &f->weather[i];
        w->wind = 13 * season + (w->wind - 13 * season) * keep + weir_random_normal(&f->random, 0, 6 * season * kick);
        double wind = w->wind > 0 ? w->wind : 0;
        w->wave += (0.0062 * wind * wind - w->wave) * STEP_H / 8;
    }
}

/* ---- a vessel's step ---- */

static arrival *arrival_of(fleet *f, uint32_t index, int64_t voyage) {
    return &f->arrivals[(size_t)index * VOYAGES_KEPT + (size_t)(voyage % VOYAGES_KEPT)];
}

static void depart(fleet *f, uint32_t index) {
    vessel *v = &f->vessels[index];
    const coast *c = &coasts[v->coast];
    do v->target = (int)weir_random_below(&f->random, (uint64_t)c->count);
    while (v->target == v->leg_from || !c->points[v->target].port);
    v->direction = v->target > v->leg_from ? 1 : -1;
    v->along = 0;
    v->loading = weir_random_below(&f->random, 3) ? weir_random_uniform(&f->random, 0.85, 1) : weir_random_uniform(&f->random, 0.5, 0.6);
    v->ordered = v->kind->speed * weir_random_uniform(&f->random, 0.85, 1);
    v->voyage++;
    arrival_of(f, index, v->voyage)->at_us = NEVER;
    v->phase = UNDER_WAY;
}

static void arrive(fleet *f, uint32_t index) {
    vessel *v = &f->vessels[index];
    v->leg_from = v->target;
    v->along = 0;
    v->phase = IN_PORT;
    v->until_us = f->at_us + STEP_US + (int64_t)(weir_random_uniform(&f->random, 6, 30) * 3600) * WEIR_SECOND_US;
    arrival_of(f, index, v->voyage)->at_us = f->at_us + STEP_US; /* after every report of this step */
    if (v->wear > 0.5 && weir_random_below(&f->random, 2)) v->wear = 0.05, v->defect = 1, v->hours = 0;
}

static double displacement_power(const vessel *v) {
    double root = weir_portable_cbrt(v->kind->displacement * v->loading);
    return root * root;
}

/* Speed through water and power, kW, in the weather; the engine gives at most 90 % of its rating. */
static double speed_through_water(const vessel *v, const weather *w, double *ret_power) {
    double wind = w->wind > 0 ? w->wind : 0, size = 180 / v->kind->length;
    double added = 1 + size * (0.012 * w->wave * w->wave + 0.0004 * wind * wind), needs = displacement_power(v) / v->kind->admiralty * added;
    double power = needs * v->ordered * v->ordered * v->ordered, most = 0.9 * v->rating;
    *ret_power = power < most ? power : most;
    return power < most ? v->ordered : weir_portable_cbrt(most / needs);
}

/* t/h */
static double fuel_of(double power, double load, double wear) {
    return 175e-6 * power * (1 + 0.35 * (load - 0.8) * (load - 0.8)) * (1 + 0.08 * wear);
}

static void wear_out(fleet *f, vessel *v, double load) {
    double begins = weir_random_unit(&f->random);
    if (v->defect == 1 && begins < STEP_H / 1200) v->defect = 40;
    v->hours += STEP_H;
    v->wear += STEP_H / 4000 * (0.4 + 0.8 * load) * v->defect;
    if (v->wear < 1) return;
    v->failed_at_us[v->failures++ % FAILURES_KEPT] = f->at_us;
    v->phase = ADRIFT;
    v->until_us = f->at_us + (int64_t)(weir_random_uniform(&f->random, 12, 48) * 3600) * WEIR_SECOND_US;
}

static void sail(fleet *f, uint32_t index, report *r) {
    vessel *v = &f->vessels[index];
    double power, through = speed_through_water(v, &f->weather[v->coast], &power), load = power / v->rating;
    double over_ground = through - r->current;
    if (over_ground < 1) over_ground = 1;
    r->load = load;
    r->speed = over_ground;
    r->fuel = fuel_of(power, load, v->wear);
    double calm = displacement_power(v) / v->kind->admiralty * through * through * through;
    r->clean_fuel = fuel_of(calm, calm / v->rating, 0);
    v->along += over_ground * STEP_H;
    for (leg l = current_leg(v); v->along >= l.length; l = current_leg(v)) {
        v->along -= l.length;
        v->leg_from += v->direction;
        if (v->leg_from != v->target) continue;
        arrive(f, index);
        return;
    }
    wear_out(f, v, load);
}

static void place(const vessel *v, report *r) {
    const waypoint *from = &coasts[v->coast].points[v->leg_from];
    r->latitude = from->latitude, r->longitude = from->longitude;
    if (v->phase == IN_PORT) return;
    leg l = current_leg(v);
    double part = v->along / l.length, middle = (from->latitude + coasts[v->coast].points[v->leg_from + v->direction].latitude) / 2;
    r->latitude += part * l.north / 60;
    r->longitude += part * l.east / 60 / weir_portable_cos(middle * DEGREE);
    r->course = degrees_of(&l);
    r->to_go = distance_to_go(v);
}

static void measure_engine(fleet *f, const vessel *v, report *r) {
    double noise[4];
    for (int i = 0; i < 4; i++) noise[i] = weir_random_normal(&f->random, 0, 1);
    bool runs = r->load > 0;
    double turns = runs ? weir_portable_cbrt(r->load) : 0, wear2 = v->wear * v->wear;
    r->rpm = turns * v->kind->rpm + (runs ? 0.4 * noise[0] : 0);
    r->temperature = (runs ? 66 + 17 * r->load + 14 * wear2 : 45) + 0.6 * noise[1];
    r->oil = runs ? 4.6 * sqrt(turns) - 1.6 * wear2 + 0.04 * noise[2] : 0;
    r->vibration = runs ? 1.2 + 2 * r->load + 6 * wear2 + 0.15 * fabs(noise[3]) : 0;
    if (runs) r->fuel *= 1 + 0.01 * noise[3];
    r->hours = v->hours;
    r->wear = v->wear;
}

static void step_vessel(fleet *f, uint32_t index, report *r) {
    vessel *v = &f->vessels[index];
    const weather *w = &f->weather[v->coast];
    double tide = weir_portable_sin(TWO_PI * ((double)(f->at_us / WEIR_SECOND_US % 44712) / 44712.0 + coasts[v->coast].tide_phase));
    v->current = 0.999 * v->current + weir_random_normal(&f->random, 0, 0.02);
    r->current = v->current + 0.4 * tide * (v->direction >= 0 ? 1 : -1);
    r->wind = w->wind > 0 ? w->wind : 0;
    r->wave = w->wave;
    if (v->phase == IN_PORT && f->at_us >= v->until_us) depart(f, index);
    if (v->phase == ADRIFT && f->at_us >= v->until_us) v->phase = UNDER_WAY, v->wear = 0.05, v->defect = 1, v->hours = 0;
    r->phase = v->phase;
    r->voyage = v->voyage;
    r->target = v->target;
    r->draft = v->kind->draft_loaded * v->loading;
    r->displacement = v->kind->displacement * v->loading;
    place(v, r);
    if (v->phase == ADRIFT) r->speed = fabs(r->current);
    if (v->phase == UNDER_WAY) sail(f, index, r);
    measure_engine(f, v, r);
    double drift = weir_random_normal(&f->random, 0, 1.5), antenna = weir_random_normal(&f->random, 0, 1e-5);
    r->heading = r->course + drift;
    r->heading += r->heading < 0 ? 360 : r->heading >= 360 ? -360 : 0;
    r->latitude += antenna;
}

static weir_status fleet_advance(void *context, weir_sim_timeline *timeline, bool *ret_more, weir_err *err) {
    fleet *f = context;
    next_weather(f);
    for (uint32_t index = 0; index < f->vessel_count; index++) {
        report *r = weir_sim_add(timeline);
        if (!r) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the reports of %u vessels", f->vessel_count);
        r->at_us = f->at_us + f->vessels[index].offset_us;
        r->vessel = index;
        step_vessel(f, index, r);
    }
    f->at_us += STEP_US;
    *ret_more = true;
    return WEIR_OK;
}

/* ---- rows ---- */

static weir_datum text_of(fleet *f, int slot, const char *format, const char *word, long long number) {
    int len = snprintf(f->texts[slot], TEXT_MAX, format, word, number);
    return weir_str(f->texts[slot], (size_t)len);
}

static bool failed_within(const vessel *v, int64_t from_us, int64_t to_us) {
    for (int64_t i = v->failures > FAILURES_KEPT ? v->failures - FAILURES_KEPT : 0; i < v->failures; i++) {
        int64_t at = v->failed_at_us[i % FAILURES_KEPT];
        if (at > from_us && at <= to_us) return true;
    }
    return false;
}

static const char *class_of(double wear) {
    return wear < 0.5 ? "normal" : wear < 0.7 ? "minor_anomaly" : wear < 0.9 ? "major_anomaly" : "critical";
}

static void fill_outcome(fleet *f, const report *r, weir_datum *values) {
    int64_t known_at = r->at_us + f->max_delay_us, arrived = r->phase == IN_PORT ? NEVER : arrival_of(f, r->vessel, r->voyage)->at_us;
    values[C_NEEDED] = weir_bool(failed_within(&f->vessels[r->vessel], r->at_us, r->at_us + WITHIN_US));
    values[C_CLEAN_FUEL] = r->clean_fuel > 0 ? weir_f64(cut(r->clean_fuel, 4)) : weir_null();
    values[C_REMAINING] = arrived <= known_at ? weir_f64(cut((double)(arrived - r->at_us) / 3.6e9, 3)) : weir_null();
    values[C_CLASS] = weir_text(class_of(r->wear));
}

static void fill_position(const fleet *f, const report *r, weir_datum *values) {
    const kind *k = f->vessels[r->vessel].kind;
    static const int status[] = {[IN_PORT] = 5, [UNDER_WAY] = 0, [ADRIFT] = 2};
    values[C_LATITUDE] = weir_f64(cut(r->latitude, 5));
    values[C_LONGITUDE] = weir_f64(cut(r->longitude, 5));
    values[C_SPEED] = weir_f64(r->phase == IN_PORT ? 0 : cut(r->speed, 1));
    values[C_COURSE] = r->phase == IN_PORT ? weir_f64(360) : weir_f64(cut(r->course, 1));
    values[C_HEADING] = weir_f64(r->phase == IN_PORT ? 511 : floor(r->heading));
    values[C_TYPE] = weir_i64(k->ais_type);
    values[C_STATUS] = weir_i64(status[r->phase]);
    values[C_LENGTH] = weir_f64(k->length);
    values[C_WIDTH] = weir_f64(k->width);
    values[C_DRAFT] = weir_f64(cut(r->draft, 1));
    values[C_CARGO] = weir_i64(k->cargo);
    values[C_TRANSCEIVER] = weir_text("A");
}

static void fill_telemetry(const fleet *f, const report *r, weir_datum *values) {
    const waypoint *to = &coasts[f->vessels[r->vessel].coast].points[r->target];
    bool sails = r->phase != IN_PORT;
    values[C_TEMPERATURE] = weir_f64(cut(r->temperature, 2));
    values[C_RPM] = weir_f64(cut(r->rpm > 0 ? r->rpm : 0, 2));
    values[C_OIL] = weir_f64(cut(r->oil > 0 ? r->oil : 0, 3));
    values[C_VIBRATION] = weir_f64(cut(r->vibration, 3));
    values[C_LOAD] = weir_f64(cut(r->load, 4));
    values[C_HOURS] = weir_f64(cut(r->hours, 2));
    values[C_FUEL] = weir_f64(cut(r->fuel, 4));
    values[C_DISPLACEMENT] = weir_f64(cut(r->displacement, 0));
    values[C_WIND] = weir_f64(cut(r->wind, 1));
    values[C_WAVE] = weir_f64(cut(r->wave, 2));
    values[C_CURRENT] = sails ? weir_f64(cut(r->current, 2)) : weir_null();
    values[C_TO_LATITUDE] = sails ? weir_f64(to->latitude) : weir_null();
    values[C_TO_LONGITUDE] = sails ? weir_f64(to->longitude) : weir_null();
    values[C_TO_GO] = sails ? weir_f64(cut(r->to_go, 2)) : weir_null();
}

static void fleet_fill(void *context, const void *item, bool label, weir_datum *values) {
    static const char *const tenants[] = {"aurora", "borealis", "cetus"};
    fleet *f = context;
    const report *r = item;
    const vessel *v = &f->vessels[r->vessel];
    values[C_TENANT] = weir_text(tenants[r->vessel % 3]);
    values[C_REPORT] = text_of(f, 0, "%s%lld", "r", (long long)r->vessel * 1000000000 + (r->at_us / STEP_US) % 1000000000);
    values[C_VESSEL] = weir_i64(366900000 + (int64_t)r->vessel);
    values[C_TIME] = weir_i64(r->at_us);
    values[C_KNOWN] = weir_i64(r->at_us + f->max_delay_us);
    values[C_NAME] = text_of(f, 1, "%s %lld", v->kind->name, (long long)r->vessel + 1);
    values[C_VOYAGE] = r->phase == IN_PORT ? weir_null() : text_of(f, 2, "%sV%lld", "", (long long)r->voyage);
    fill_position(f, r, values);
    fill_telemetry(f, r, values);
    if (label) fill_outcome(f, r, values);
}

static void fleet_done(void *context) {
    fleet *f = context;
    weir_mem.realloc(f->vessels, 0);
    weir_mem.realloc(f->arrivals, 0);
    weir_mem.realloc(f, 0);
}

static const weir_sim_ops fleet_ops = {.columns = columns, .item_size = sizeof(report), .advance = fleet_advance, .fill = fleet_fill, .done = fleet_done};

/* Spread over ports, wear and times, so that the first day is like any other. */
static void launch(fleet *f) {
    for (uint32_t i = 0; i < f->vessel_count; i++) {
        vessel *v = &f->vessels[i];
        v->kind = &kinds[i % KIND_COUNT];
        v->coast = weir_random_below(&f->random, 3) == 0;
        do v->leg_from = (int)weir_random_below(&f->random, (uint64_t)coasts[v->coast].count);
        while (!coasts[v->coast].points[v->leg_from].port);
        v->target = v->leg_from;
        v->direction = 1;
        v->loading = 1;
        double cube = v->kind->speed * v->kind->speed * v->kind->speed;
        v->rating = displacement_power(v) / v->kind->admiralty * cube * weir_random_uniform(&f->random, 1.2, 1.4);
        v->wear = weir_random_uniform(&f->random, 0, 0.4);
        v->hours = v->wear * 4000;
        v->defect = 1;
        v->until_us = f->at_us + (int64_t)weir_random_below(&f->random, 24 * 3600) * WEIR_SECOND_US;
        v->offset_us = (int64_t)((uint64_t)i * STEP_S / f->vessel_count) * WEIR_SECOND_US;
    }
    for (int i = 0; i < COAST_COUNT; i++) f->weather[i] = (weather){13, 1};
}

static weir_status fleet_open(const weir_pipeline *pipeline, const weir_simulate_conf *conf, weir_records **ret_records, weir_err *err) {
    if (conf->entities < 1 || conf->entities > VESSELS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "entities is %lld, expected 1 to %d vessels", (long long)conf->entities, VESSELS_MAX);
    if (conf->days < 1 || conf->days > DAYS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "days is %lld, expected 1 to %d", (long long)conf->days, DAYS_MAX);
    if (pipeline->labels.topic && (pipeline->max_delay_us < WITHIN_US || pipeline->max_delay_us > 4 * WITHIN_US))
        return WEIR_FAIL(err, WEIR_EINVAL, "labels.max_delay of pipeline %s is not between 7 and 28 days, when the fate of an engine is known", pipeline->name);
    fleet *f = weir_sim_zeroed(1, sizeof *f);
    if (!f) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a fleet");
    f->vessel_count = (uint32_t)conf->entities;
    f->vessels = weir_sim_zeroed(f->vessel_count, sizeof *f->vessels);
    f->arrivals = weir_sim_zeroed((size_t)f->vessel_count * VOYAGES_KEPT, sizeof *f->arrivals);
    if (!f->vessels || !f->arrivals) {
        fleet_done(f);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld vessels", (long long)conf->entities);
    }
    f->at_us = conf->start_us;
    f->max_delay_us = pipeline->max_delay_us;
    weir_random_init(&f->random, (uint64_t)conf->seed);
    launch(f);
    return weir_sim_records(&fleet_ops, f, pipeline, conf->start_us + conf->days * WEIR_DAY_US, ret_records, err);
}

static const char *const measured[] = {"engine_temperature",    "engine_rpm",  "oil_pressure", "vibration",   "engine_load",
                                       "fuel_consumption_rate", "speed_knots", "wind_speed",   "wave_height", NULL};

const weir_simulator weir_simulator_maritime = {
    .domain = "maritime",
    .doc = "vessels of three fleets on two coasts, a report every ten minutes: position, engine, fuel, weather, failures",
    .entity = "vessels",
    .fallback = {.entities = 30, .days = 30, .start_us = INT64_C(1641168000000000)}, /* 2022-01-03 */
    .measured = measured,
    .open = fleet_open,
};
