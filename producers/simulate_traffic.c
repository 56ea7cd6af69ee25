/* Roads of one city, hour by hour: demand, weather, holidays, incidents, and what flow and speed follow from them.
 *
 * - Demand of a road is a share of its capacity: on working days two peaks (the inbound road's higher in the morning, the outbound one's in the evening), on weekends and holidays
 *   one broad hump after noon; 8 % less in January than in August; day-to-day and hour-to-hour noise.
 * - Weather is the city's: temperature with a year, a day and an AR(1) of hours; dry, rain and storm spells from a Markov chain; what falls below 274 K is snow.
 * - Rain takes 4 % of the demand and 8 % of the capacity, snow 15 % and 22 %. Source of the sizes: Highway Capacity Manual 2010, exhibit 10-15, rounded.
 * - An incident begins with chance 1/200 an hour and road, lasts 1 to 4 hours and closes 25 to 60 % of the capacity.
 * - Flow is what the capacity lets through; the rest waits, half of it gives up within the hour. Speed by the BPR function of (demand + waiting) / capacity, v = vf / (1 + 0.15 x⁴). Source:
 *   Bureau of Public Roads, Traffic Assignment Manual (1964). Speed itself adds noise of 2 %.
 * - As in the published counts of I-94, `holiday` names the day in its first hour only, and hours are by the road's own clock. */
#include <math.h>
#include <stdio.h>

#include "core/clock.h"
#include "producers/portable.h"
#include "producers/random.h"
#include "producers/simulate.h"

enum { ROADS_MAX = 10000, DAYS_MAX = 36500, NAME_MAX_BYTES = 24, ID_MAX_BYTES = 48 };
#define TWO_PI 0x1.921fb54442d18p2
#define HOUR_US (3600 * WEIR_SECOND_US)

typedef enum sky { SKY_CLEAR, SKY_CLOUDS, SKY_RAIN, SKY_STORM, SKY_COUNT } sky;

typedef struct road {
    char name[NAME_MAX_BYTES];
    double capacity, free_speed; /* vehicles/h, km/h */
    double peak, morning; /* demand at its highest over capacity; 0.6: the morning's share of the two peaks */
    double waiting; /* vehicles left over from the hour before */
    double day_noise;
    double closed; /* share of the capacity */
    int closed_hours;
} road;

typedef struct hour {
    int64_t at_us;
    uint32_t road;
    double temperature, rain, snow, clouds, volume, speed;
    sky sky;
    const char *holiday;
} hour;

typedef struct city {
    weir_random random;
    road *roads;
    uint32_t road_count;
    int64_t at_us, max_delay_us;
    double anomaly; /* AR(1) of the temperature, K */
    double clouds;
    sky sky;
    char id[ID_MAX_BYTES];
} city;

enum { C_ID, C_ROAD, C_TIME, C_MEASURED, C_TEMPERATURE, C_RAIN, C_SNOW, C_CLOUDS, C_WEATHER, C_HOLIDAY, C_VOLUME, C_SPEED };
static const weir_sim_column columns[] = {
    [C_ID] = {"observation_id", WEIR_T_STR, WEIR_SIM_ID},
    [C_ROAD] = {"road", WEIR_T_STR},
    [C_TIME] = {"observed_at", WEIR_T_I64, WEIR_SIM_TIME},
    [C_MEASURED] = {"measured_at", WEIR_T_I64, WEIR_SIM_AVAILABLE},
    [C_TEMPERATURE] = {"temperature", WEIR_T_F64},
    [C_RAIN] = {"rain_1h", WEIR_T_F64},
    [C_SNOW] = {"snow_1h", WEIR_T_F64},
    [C_CLOUDS] = {"clouds", WEIR_T_F64},
    [C_WEATHER] = {"weather", WEIR_T_STR},
    [C_HOLIDAY] = {"holiday", WEIR_T_STR},
    [C_VOLUME] = {"traffic_volume", WEIR_T_F64, WEIR_SIM_LABEL},
    [C_SPEED] = {"avg_speed", WEIR_T_F64},
    {NULL},
};

/* ---- the calendar ---- */

typedef struct date {
    int month, day, weekday; /* 1…12, 1…31, 0 Sunday */
} date;

/* Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days. */
static date date_of(int64_t day) {
    int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    date d = {.month = (int)(mp < 10 ? mp + 3 : mp - 9), .day = (int)(doy - (153 * mp + 2) / 5 + 1)};
    d.weekday = (int)(((day + 4) % 7 + 7) % 7);
    return d;
}

/* Holidays on which the city drives as on a weekend. */
static const char *holiday_of(const date *d) {
    int nth = (d->day - 1) / 7 + 1;
    if (d->month == 1 && d->day == 1) return "New Years Day";
    if (d->month == 5 && d->weekday == 1 && d->day > 24) return "Memorial Day";
    if (d->month == 7 && d->day == 4) return "Independence Day";
    if (d->month == 9 && d->weekday == 1 && nth == 1) return "Labor Day";
    if (d->month == 11 && d->weekday == 4 && nth == 4) return "Thanksgiving Day";
    return d->month == 12 && d->day == 25 ? "Christmas Day" : NULL;
}

/* ---- weather ---- */

static void next_weather(city *c) {
    static const double stay_or_go[SKY_COUNT][SKY_COUNT] = {/* cumulated chances of the next hour's sky */
                                                            [SKY_CLEAR] = {0.88, 0.99, 1, 1},
                                                            [SKY_CLOUDS] = {0.10, 0.92, 0.995, 1},
                                                            [SKY_RAIN] = {0.02, 0.28, 0.98, 1},
                                                            [SKY_STORM] = {0.05, 0.25, 0.70, 1}};
    double u = weir_random_unit(&c->random);
    int next = 0;
    while (next < SKY_STORM && u >= stay_or_go[c->sky][next]) next++;
    c->sky = (sky)next;
    c->anomaly = 0.97 * c->anomaly + weir_random_normal(&c->random, 0, 1.1);
    static const double cover[SKY_COUNT] = {5, 65, 90, 95};
    c->clouds = floor(cover[c->sky] * (1 - 0.5 * weir_random_unit(&c->random)) + 0.5);
}

static double temperature_of(const city *c, int64_t day, int hour_of_day) {
    double year = weir_portable_cos(TWO_PI * ((double)(day % 365) - 200) / 365), day_part = weir_portable_cos(TWO_PI * (hour_of_day - 15) / 24.0);
    return 281 + 15 * year + (c->sky >= SKY_RAIN ? 2 : 4.5) * day_part + c->anomaly;
}

/* mm in the hour: exponential, 1.2 mm of rain, 6 mm of storm on average */
static double fall_of(city *c) {
    double draw = -weir_portable_log(weir_random_unit(&c->random)); /* always drawn, so that one sky does not move the numbers of another */
    return c->sky == SKY_RAIN ? 1.2 * draw : c->sky == SKY_STORM ? 6 * draw : 0;
}

/* ---- roads ---- */

/* A bump around `at`, over midnight, too. */
static double bump(int hour_of_day, double at, double width) {
    double d = fabs(hour_of_day + 0.5 - at);
    if (d > 12) d = 24 - d;
    return weir_portable_exp(-d * d / (2 * width * width));
}

static double demand_share(const road *r, int hour_of_day, bool free_day) {
    double base = 0.06 + 0.10 * bump(hour_of_day, 14, 7);
    if (free_day) return base + 0.55 * bump(hour_of_day, 14.5, 3.8);
    double morning = 2 * r->morning, evening = 2 - morning;
    return base + 0.42 * bump(hour_of_day, 12.5, 4) + 0.55 * morning * bump(hour_of_day, 7.7, 1.3) + 0.55 * evening * bump(hour_of_day, 16.8, 1.7);
}

static void next_incident(city *c, road *r) {
    double begins = weir_random_unit(&c->random), closes = weir_random_uniform(&c->random, 0.25, 0.6);
    int hours = 1 + (int)weir_random_below(&c->random, 4);
    if (r->closed_hours && --r->closed_hours == 0) r->closed = 0;
    if (!r->closed_hours && begins < 1.0 / 200) r->closed_hours = hours, r->closed = closes;
}

static double cut(double x, int decimals) {
    double scale = 1;
    while (decimals--) scale *= 10;
    return floor(x * scale + 0.5) / scale;
}

/* Demand meets capacity. */
static void drive(city *c, road *r, hour *h, int hour_of_day, bool free_day, double season) {
    if (hour_of_day == 0) r->day_noise = weir_random_normal(&c->random, 1, 0.04);
    next_incident(c, r);
    bool snows = h->snow > 0, rains = h->rain > 0;
    double demand = r->peak * r->capacity * demand_share(r, hour_of_day, free_day) * season * r->day_noise * weir_random_normal(&c->random, 1, 0.03);
    demand *= snows ? 0.85 : rains ? 0.96 : 1;
    double capacity = r->capacity * (1 - r->closed) * (snows ? 0.78 : rains ? 0.92 : 1);
    double wanted = (demand > 0 ? demand : 0) + r->waiting, x = wanted / capacity;
    double flow = wanted < capacity ? wanted : capacity;
    r->waiting = (wanted - flow) / 2;
    h->volume = floor(flow + 0.5);
    h->speed = cut(r->free_speed * (snows ? 0.87 : rains ? 0.95 : 1) / (1 + 0.15 * x * x * x * x) * weir_random_normal(&c->random, 1, 0.02), 1);
}

static weir_status city_advance(void *context, weir_sim_timeline *timeline, bool *ret_more, weir_err *err) {
    city *c = context;
    int64_t day = c->at_us / WEIR_DAY_US - (c->at_us % WEIR_DAY_US < 0);
    int hour_of_day = (int)((c->at_us - day * WEIR_DAY_US) / HOUR_US);
    date d = date_of(day);
    const char *holiday = holiday_of(&d);
    bool free_day = d.weekday == 0 || d.weekday == 6 || holiday;
    double season = 1 - 0.04 + 0.04 * weir_portable_cos(TWO_PI * ((double)(day % 365) - 220) / 365);
    next_weather(c);
    double temperature = cut(temperature_of(c, day, hour_of_day), 2), fall = cut(fall_of(c), 2);
    for (uint32_t i = 0; i < c->road_count; i++) {
        hour *h = weir_sim_add(timeline);
        if (!h) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for an hour of %u roads", c->road_count);
        *h = (hour){.at_us = c->at_us, .road = i, .temperature = temperature, .clouds = c->clouds, .sky = c->sky};
        *(temperature < 274 ? &h->snow : &h->rain) = fall;
        h->holiday = hour_of_day == 0 ? holiday : NULL;
        drive(c, &c->roads[i], h, hour_of_day, free_day, season);
    }
    c->at_us += HOUR_US;
    *ret_more = true;
    return WEIR_OK;
}

/* ---- rows ---- */

static const char *weather_of(const hour *h) {
    if (h->snow > 0) return "Snow";
    switch (h->sky) {
    case SKY_CLEAR: return "Clear";
    case SKY_CLOUDS: return "Clouds";
    case SKY_RAIN: return h->rain > 0 ? "Rain" : "Drizzle";
    default: return "Thunderstorm";
    }
}

static void city_fill(void *context, const void *item, bool label, weir_datum *values) {
    city *c = context;
    const hour *h = item;
    const char *name = c->roads[h->road].name;
    int len = snprintf(c->id, sizeof c->id, "%s-%lld", name, (long long)(h->at_us / HOUR_US));
    (void)label;
    values[C_ID] = weir_str(c->id, (size_t)len);
    values[C_ROAD] = weir_text(name);
    values[C_TIME] = weir_i64(h->at_us);
    values[C_MEASURED] = weir_i64(h->at_us + c->max_delay_us);
    values[C_TEMPERATURE] = weir_f64(h->temperature);
    values[C_RAIN] = weir_f64(h->rain);
    values[C_SNOW] = weir_f64(h->snow);
    values[C_CLOUDS] = weir_f64(h->clouds);
    values[C_WEATHER] = weir_text(weather_of(h));
    values[C_HOLIDAY] = h->holiday ? weir_text(h->holiday) : weir_null();
    values[C_VOLUME] = weir_f64(h->volume);
    values[C_SPEED] = weir_f64(h->speed);
}

static void city_done(void *context) {
    city *c = context;
    weir_mem.realloc(c->roads, 0);
    weir_mem.realloc(c, 0);
}

static const weir_sim_ops city_ops = {.columns = columns, .item_size = sizeof(hour), .advance = city_advance, .fill = city_fill, .done = city_done};

/* Roads come in pairs, inbound and outbound. */
static void build_roads(city *c) {
    for (uint32_t i = 0; i < c->road_count; i++) {
        road *r = &c->roads[i];
        bool outbound = i % 2;
        *r = outbound ? c->roads[i - 1] : (road){0};
        double capacity = 1900.0 * (2 + (double)weir_random_below(&c->random, 3)), free_speed = weir_random_uniform(&c->random, 85, 115);
        if (!outbound) r->capacity = capacity, r->free_speed = cut(free_speed, 0);
        r->peak = weir_random_uniform(&c->random, 0.75, 1.1);
        r->morning = outbound ? 0.38 : 0.62;
        r->day_noise = 1;
        snprintf(r->name, sizeof r->name, "R%u %s", i / 2 + 1, outbound ? "outbound" : "inbound");
    }
}

static weir_status city_open(const weir_pipeline *pipeline, const weir_simulate_conf *conf, weir_records **ret_records, weir_err *err) {
    if (conf->entities < 1 || conf->entities > ROADS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "entities is %lld, expected 1 to %d roads", (long long)conf->entities, ROADS_MAX);
    if (conf->days < 1 || conf->days > DAYS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "days is %lld, expected 1 to %d", (long long)conf->days, DAYS_MAX);
    city *c = weir_sim_zeroed(1, sizeof *c);
    if (!c) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a city");
    c->roads = weir_sim_zeroed((size_t)conf->entities, sizeof *c->roads);
    if (!c->roads) {
        city_done(c);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %lld roads", (long long)conf->entities);
    }
    c->road_count = (uint32_t)conf->entities;
    c->at_us = conf->start_us;
    c->max_delay_us = pipeline->max_delay_us;
    weir_random_init(&c->random, (uint64_t)conf->seed);
    build_roads(c);
    return weir_sim_records(&city_ops, c, pipeline, conf->start_us + conf->days * WEIR_DAY_US, ret_records, err);
}

static const char *const measured[] = {"temperature", "rain_1h", "snow_1h", "clouds", NULL};

const weir_simulator weir_simulator_traffic = {
    .domain = "traffic",
    .doc = "hours of a city's roads: weather, holidays, incidents, flow and speed",
    .entity = "roads",
    .fallback = {.entities = 12, .days = 365, .start_us = INT64_C(1451606400000000)}, /* 2016-01-01 */
    .measured = measured,
    .open = city_open,
};
