"""The maritime pipeline's features on real AIS reports and on simulated vessels, against their definitions in docs/pipelines/maritime.md; and what its checks do with what is dirty."""
import hashlib
import math
import os
import tempfile

import numpy as np
import pandas as pd

import pipelinetest as pt
from pipelinetest import HOUR, DAY

NAN = math.nan
AIS = {"MMSI": "vessel_id", "BaseDateTime": "reported_at", "LAT": "latitude", "LON": "longitude", "SOG": "speed_knots", "COG": "course", "Heading": "heading", "Status": "nav_status"}
NUMBERS = ["latitude", "longitude", "speed_knots", "course", "heading", "nav_status", "engine_temperature", "engine_rpm", "oil_pressure", "vibration",
           "fuel_consumption_rate", "wind_speed", "wave_height", "current_speed", "distance_to_destination", "destination_latitude", "destination_longitude"]


def nautical_miles(lat1, lon1, lat2, lon2):
    """Haversine on the sphere of mean radius, in extended precision."""
    if any(map(math.isnan, (lat1, lon1, lat2, lon2))):
        return NAN
    long = np.longdouble
    rad = np.arccos(long(-1)) / 180
    a, b = long(lat1) * rad, long(lat2) * rad
    h = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin((long(lon2) - long(lon1)) * rad / 2) ** 2
    return float(2 * long("6371008.8") * np.arcsin(np.sqrt(h)) / 1852)


def bearing(lat1, lon1, lat2, lon2):
    if any(map(math.isnan, (lat1, lon1, lat2, lon2))):
        return NAN
    a, b, d = math.radians(lat1), math.radians(lat2), math.radians(lon2 - lon1)
    return math.degrees(math.atan2(math.sin(d) * math.cos(b), math.cos(a) * math.sin(b) - math.sin(a) * math.cos(b) * math.cos(d))) % 360


def turn(a, b):
    """a - b on the circle, (-180, 180]."""
    if math.isnan(a) or math.isnan(b):
        return NAN
    d = (a - b) % 360
    return d - 360 if d > 180 else d


def positive_or_1(x):
    return x if x > 0 else 1.0


def spread_or_1(x):
    """Equal values have a deviation of 0, which rounding may make 1e-15."""
    return x if x > 1e-9 else 1.0


class Track:
    """Reports of one vessel, oldest first."""

    def __init__(self, rows):
        self.t = rows.t.to_numpy()
        for name in NUMBERS:
            setattr(self, name, rows[name].to_numpy(float) if name in rows else np.full(len(rows), NAN))
        self.sog = np.where(self.speed_knots < 102.2, self.speed_knots, NAN)
        self.cog = np.where(self.course < 360, self.course, NAN)

    def since(self, i, span):
        """Reports in (t - span, t], up to the i-th."""
        return slice(int(np.searchsorted(self.t, self.t[i] - span, side="right")), i + 1)

    def motion(self, i):
        w1, w6, w24, w7d = (self.since(i, h * HOUR) for h in (1, 6, 24, 168))
        sog, cog, t = self.sog[i], self.cog[i], self.t[i]
        moving = self.sog[w7d] >= 0.5
        run = len(moving) - 1 - max(np.flatnonzero(~moving), default=-1)
        begun = self.t[i - run + 1] if run else t
        gaps = np.diff(self.t[w24]) / 1e6
        under_way = self.sog[w1] >= 0.5
        courses = np.radians(self.cog[w1][under_way])
        return {
            "speed": sog, "speed_mean_1h": pt.mean(self.sog[w1]), "speed_mean_6h": pt.mean(self.sog[w6]), "speed_mean_24h": pt.mean(self.sog[w24]),
            "speed_std_6h": pt.std(self.sog[w6]), "speed_std_24h": pt.std(self.sog[w24]), "speed_max_24h": pt.largest(self.sog[w24]),
            "speed_change_rate": pt.divide(sog - self.sog[i - 1], (t - self.t[i - 1]) / HOUR) if i else NAN,
            "stopped_share_24h": pt.mean([v < 0.5 for v in self.sog[w24] if v == v]),
            "under_way_hours": (t - begun) / 1e6 / 3600,
            "reports_1h": w1.stop - w1.start, "reports_24h": w24.stop - w24.start, "hours_since_report": 0.0,
            "report_gap_max_24h": max(gaps) / 3600 if len(gaps) else NAN,
            "course_over_ground": cog,
            "course_steadiness_1h": math.hypot(pt.mean(np.sin(courses)), pt.mean(np.cos(courses))),
            "heading_offset": turn(NAN if self.heading[i] == 511 else self.heading[i], cog) if sog >= 0.5 else NAN,
            "moored": NAN if math.isnan(self.nav_status[i]) else float(self.nav_status[i] in (1, 5)),
        }

    def places(self, i):
        lat, lon, t = self.latitude[i], self.longitude[i], self.t[i]
        out = {}
        gap = (t - self.t[i - 1]) / HOUR if i else NAN
        leg = nautical_miles(self.latitude[i - 1], self.longitude[i - 1], lat, lon) if i else NAN
        out["report_gap"], out["leg_distance"], out["leg_speed"] = gap, leg, pt.divide(leg, gap)
        out["leg_speed_excess"] = out["leg_speed"] - self.sog[i]
        out["course_change"] = abs(turn(self.cog[i], self.cog[i - 1])) if i else NAN
        for name, hours in (("1h", 1), ("6h", 6), ("24h", 24)):
            first = self.since(i, hours * HOUR).start
            out["made_good_" + name] = nautical_miles(self.latitude[first], self.longitude[first], lat, lon)
            out["speed_made_good_" + name] = pt.divide(out["made_good_" + name], (t - self.t[first]) / HOUR)
        to = (self.destination_latitude[i], self.destination_longitude[i])
        out["distance_to_destination_direct"] = nautical_miles(lat, lon, *to)
        out["off_course"] = abs(turn(self.cog[i], bearing(lat, lon, *to)))
        pace = pt.mean(self.sog[self.since(i, 6 * HOUR)])
        out["hours_to_destination"] = self.distance_to_destination[i] / pace if pace > 0.5 else NAN
        return out

    def engine(self, i):
        day, week = self.since(i, DAY), self.since(i, 7 * DAY)
        sog, fuel, rpm, temperature = self.sog[i], self.fuel_consumption_rate[i], self.engine_rpm[i], self.engine_temperature[i]
        rpm_mean, rpm_std = pt.mean(self.engine_rpm[day]), pt.std(self.engine_rpm[day])
        fuel_mean, fuel_std = pt.mean(self.fuel_consumption_rate[week]), pt.std(self.fuel_consumption_rate[week])
        temperature_mean, temperature_std = pt.mean(self.engine_temperature[day]), pt.std(self.engine_temperature[day])
        speed_mean, speed_std = pt.mean(self.sog[day]), pt.std(self.sog[day])
        effective = sog - (self.wind_speed[i] * 0.1 + self.current_speed[i])
        scores = [abs(fuel - fuel_mean) / spread_or_1(fuel_std), abs(sog - speed_mean) / spread_or_1(speed_std),
                  abs(temperature - temperature_mean) / spread_or_1(temperature_std)]
        known = ~(np.isnan(self.engine_temperature[week]) & np.isnan(self.vibration[week]) & np.isnan(self.oil_pressure[week]))
        beyond = ((self.engine_temperature[week] > 90) | (self.vibration[week] > 4.5) | ((self.engine_rpm[week] > 0) & (self.oil_pressure[week] < 3.4)))[known]
        streak = len(beyond) - 1 - max(np.flatnonzero(~beyond), default=-1)
        running = self.engine_rpm[day] > 0
        return {
            "engine_rpm_mean_24h": rpm_mean, "engine_rpm_std_24h": rpm_std, "fuel_mean_7d": fuel_mean, "fuel_std_7d": fuel_std,
            "engine_temperature_mean_24h": temperature_mean, "engine_temperature_std_24h": temperature_std, "vibration_mean_24h": pt.mean(self.vibration[day]),
            "oil_pressure_min_24h": pt.smallest(self.oil_pressure[day][running]),
            "vibration_trend_7d": self.slope(week),
            "engine_health_index": temperature / 100 * (rpm / 1000),
            "fuel_efficiency": NAN if math.isnan(fuel) else sog / positive_or_1(fuel),
            "engine_stress_score": (rpm - rpm_mean) / spread_or_1(rpm_std),
            "weather_resistance": self.wind_speed[i] * 0.5 + self.wave_height[i] * 2,
            "fuel_per_nautical_mile": NAN if math.isnan(sog) else fuel / positive_or_1(sog),
            "fuel_deviation": (fuel - fuel_mean) / positive_or_1(fuel_mean),
            "effective_speed": effective,
            "estimated_hours_remaining": NAN if math.isnan(effective) else self.distance_to_destination[i] / positive_or_1(effective),
            "speed_variability": abs(sog - speed_mean),
            "fuel_anomaly_score": scores[0], "speed_anomaly_score": scores[1], "engine_anomaly_score": scores[2], "total_anomaly_score": sum(scores),
            "consecutive_anomalies": streak,
            "anomaly_persistence": streak / 10 if not all(map(math.isnan, (temperature, self.vibration[i], self.oil_pressure[i]))) else NAN,
        }

    def slope(self, window):
        """Least squares of vibration on days, with the engine running."""
        use = (self.engine_rpm[window] > 0) & ~np.isnan(self.vibration[window])
        x, y = self.t[window][use].astype(np.longdouble) / DAY, self.vibration[window][use].astype(np.longdouble)
        if len(x) < 2 or x.max() == x.min():
            return NAN
        x, y = x - x.mean(), y - y.mean()
        return float((x * y).sum() / (x * x).sum())


def expected_of(rows):
    """Features of every report, in the order of rows."""
    out = [None] * len(rows)
    for _, group in rows.groupby("vessel_id", sort=False):
        track = Track(group)
        for i, at in enumerate(group.index):
            out[at] = {**track.motion(i), **track.places(i), **track.engine(i)}
    return pd.DataFrame(out)


# Where values are near 0 beside what they are differences of, a relative tolerance says nothing: 1e-9 nautical miles are 2 µm, a 500th of a unit of an AIS position's last digit.
PLACE = {name: 1e-9 for name in ("leg_distance", "made_good_1h", "made_good_6h", "made_good_24h", "distance_to_destination_direct")}
PACE = {name: 1e-6 for name in ("leg_speed", "leg_speed_excess", "speed_made_good_1h", "speed_made_good_6h", "speed_made_good_24h")}
DIFFERENCE = {name: 1e-11 for name in ("engine_stress_score", "fuel_deviation", "speed_variability", "fuel_anomaly_score", "speed_anomaly_score", "engine_anomaly_score",
                                       "total_anomaly_score", "effective_speed", "course_steadiness_1h", "off_course", "speed_change_rate", "heading_offset", "course_change",
                                       "speed_std_6h", "speed_std_24h", "engine_rpm_std_24h", "fuel_std_7d", "engine_temperature_std_24h", "estimated_hours_remaining",
                                       "vibration_trend_7d")}
TOLERANCE = {**PLACE, **PACE, **DIFFERENCE}


def real_rows(path):
    rows = pd.read_csv(path, dtype={"MMSI": str}).rename(columns=AIS)
    rows["t"] = pt.micros(rows.reported_at)
    digest = [hashlib.md5("|".join(map(repr, map(float, r))).encode()).hexdigest()[:8] for r in zip(rows.latitude, rows.longitude, rows.speed_knots, rows.course)]
    rows["digest"] = digest
    return rows.sort_values(["t", "vessel_id", "digest"], kind="stable").reset_index(drop=True)


def test_real_reports():
    path = pt.data_file("maritime", "ais_2022-01-03.csv.gz")
    found, rejected = pt.features("maritime", path)
    rows = real_rows(path)
    assert not rejected, rejected
    assert list(found.key) == ["default/" + v for v in rows.vessel_id] and list(found.time) == list(rows.t)
    some = (rows.vessel_id.str[-1].isin(list("147"))).to_numpy()  # by hand it takes a while
    pt.check(found[some], expected_of(rows[some].reset_index(drop=True)), TOLERANCE)
    assert found.heading_offset.notna().sum() > 1000 and (rows.heading == 511).sum() > 20000
    for name in ("engine_health_index", "fuel_efficiency", "weather_resistance", "effective_speed", "total_anomaly_score", "anomaly_persistence"):
        assert found[name].isna().all(), name  # AIS does not know


def test_simulated_vessels(folder):
    path = os.path.join(folder, "vessels.parquet")
    pt.simulate("maritime", path, "--entities", "4", "--days", "9", "--seed", "2", "--missing", "0.03")
    found, rejected = pt.features("maritime", path)
    rows = pd.read_parquet(path)
    rows["t"] = pt.micros(rows.reported_at)
    rows = rows.sort_values(["t", "tenant", "vessel_id", "report_id"], kind="stable").reset_index(drop=True)
    assert not rejected and len(rows) == 4 * 9 * 144, rejected
    pt.check(found, expected_of(rows), TOLERANCE)
    assert (found.anomaly_persistence > 0).any() and found.engine_health_index.notna().any()


def test_dirty_reports_go_to_the_dead_letters(folder):
    path = os.path.join(folder, "dirty.csv")
    with open(path, "w") as out:
        out.write("MMSI,BaseDateTime,LAT,LON,SOG,COG,Heading,TransceiverClass\n")
        for i, what in enumerate(["10,20,5.0,90,100,A", "91,20,5,90,100,A", "10,181,5,90,100,A", "10,20,-1,90,100,A", "10,20,102.3,360,511,B", "10,20,5,90,600,A", "10,20,5,90,100,C"]):
            out.write("36690000%d,2022-01-03T00:00:0%d,%s\n" % (i, i, what))
    found, rejected = pt.features("maritime", path)
    assert len(found) == 2 and sum(rejected.values()) == 5 and all(text.startswith("check: ") for text in rejected), rejected
    assert found.speed.tolist()[0] == 5 and found[["speed", "course_over_ground", "heading_offset"]].iloc[1].isna().all()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        test_dirty_reports_go_to_the_dead_letters(where)
        test_simulated_vessels(where)
        test_real_reports()
