"""The traffic pipeline's features on the real counts of I-94 and on simulated roads, against their definitions in docs/pipelines/traffic.md; what is dirty in the real file; and that the
simulated roads behave like roads."""
import bisect
import math
import os
import tempfile

import numpy as np
import pandas as pd

import pipelinetest as pt
from pipelinetest import HOUR, DAY

NAN = math.nan
VOLUME_TTL = 60 * DAY
LAGS = (1, 2, 3, 24, 48, 168)
HOLIDAYS = ("New Years Day", "Martin Luther King Jr Day", "Washingtons Birthday", "Memorial Day", "Independence Day", "Labor Day", "Columbus Day", "Veterans Day", "Thanksgiving Day",
            "Christmas Day")


class Hours:
    """Values of one road's hours, oldest first; windows are (t - delay - span, t - delay]."""

    def __init__(self, times, **columns):
        self.t = list(times)
        self.columns = {name: np.asarray(values, float) for name, values in columns.items()}

    def window(self, name, t, span, delay=0, upto=None):
        end = bisect.bisect_right(self.t, t - delay) if upto is None else upto + 1
        return self.columns[name][bisect.bisect_right(self.t, t - delay - span):end]


def newest(values):
    values = [v for v in values if v == v]
    return values[-1] if values else NAN


def of_conditions(rows, hours, i, holidays, fair):
    row, t = rows.iloc[i], rows.t.iloc[i]
    when = pd.Timestamp(t, unit="us")
    day = when.normalize()
    out = {"hour": when.hour, "weekday": when.day_of_week, "month": when.month, "day_of_year": when.day_of_year, "is_weekend": float(when.day_of_week >= 5)}
    for name, value, period in (("hour", when.hour, 24), ("weekday", when.day_of_week, 7), ("year", when.day_of_year, 365.25)):
        out[name + "_sin"], out[name + "_cos"] = math.sin(2 * math.pi * value / period), math.cos(2 * math.pi * value / period)
    out["is_holiday"] = float(day in holidays)
    out["is_day_before_holiday"], out["is_day_after_holiday"] = float(day + pd.Timedelta(days=1) in holidays), float(day - pd.Timedelta(days=1) in holidays)
    out["is_fair"] = float(day in fair)
    out["is_working_day"] = float(not (out["is_weekend"] or out["is_holiday"]))
    out["is_rush_hour"] = float(bool(out["is_working_day"]) and when.hour in (6, 7, 8, 15, 16, 17, 18))
    celsius, rain, snow = (hours.columns[name][i] for name in ("celsius", "rain", "snow"))
    out["temperature_c"] = celsius
    out["temperature_mean_24h"] = pt.mean(hours.window("celsius", t, DAY, upto=i))
    out["temperature_anomaly_24h"] = celsius - out["temperature_mean_24h"]
    out["is_freezing"] = NAN if math.isnan(celsius) else float(celsius < 0)
    out["rain"], out["snow"] = rain, snow
    out["rain_sum_3h"], out["rain_sum_24h"] = (pt.total(hours.window("rain", t, h * HOUR, upto=i)) for h in (3, 24))
    out["snow_sum_24h"] = pt.total(hours.window("snow", t, DAY, upto=i))
    out["cloud_cover"], out["clouds_mean_6h"] = row.clouds, pt.mean(hours.window("clouds", t, 6 * HOUR, upto=i))
    for name, words in (("clear", ["Clear"]), ("clouds", ["Clouds"]), ("rain", ["Rain", "Drizzle"]), ("snow", ["Snow"]), ("fog", ["Mist", "Fog", "Haze", "Smoke"]),
                        ("storm", ["Thunderstorm", "Squall"])):
        out["weather_" + name] = float(row.weather in words)
    wet = [k for k in range(bisect.bisect_right(hours.t, t - 30 * DAY), i + 1) if hours.columns["rain"][k] > 0 or hours.columns["snow"][k] > 0]
    out["hours_since_precipitation"] = (t - hours.t[wet[-1]]) / 1e6 / 3600 if wet else NAN
    return out


def of_counts(counts, t):
    def window(name, hours, delay=1):
        return counts.window(name, t, hours * HOUR, delay * HOUR)

    def lag(name, hours):
        return newest(counts.window(name, t, HOUR, hours * HOUR))

    out = {"volume_lag_%dh" % h: lag("volume", h) for h in LAGS}
    for h in (3, 6, 24, 168):
        out["volume_mean_%dh" % h] = pt.mean(window("volume", h))
    out["volume_std_24h"], out["volume_std_168h"] = pt.std(window("volume", 24)), pt.std(window("volume", 168))
    out["volume_min_24h"], out["volume_max_24h"] = pt.smallest(window("volume", 24)), pt.largest(window("volume", 24))
    out["hours_counted_168h"] = len(window("volume", 168))
    out["volume_change_1h"] = out["volume_lag_1h"] - out["volume_lag_2h"]
    out["volume_week_change"] = out["volume_lag_1h"] - lag("volume", 169)
    out["volume_same_hour_4w"] = pt.mean([lag("volume", h) for h in (168, 336, 504, 672)])
    for h in (1, 24, 168):
        out["speed_lag_%dh" % h] = lag("speed", h)
    out["speed_mean_3h"], out["speed_mean_24h"], out["speed_min_24h"] = pt.mean(window("speed", 3)), pt.mean(window("speed", 24)), pt.smallest(window("speed", 24))
    return out


def faded(counts, t):
    """Mean of all hours known at t with weights that halve every 6 hours."""
    end = bisect.bisect_right(counts.t, t - HOUR)
    known = np.array(counts.t[max(0, end - 3000):end], dtype=np.int64)
    if not len(known):
        return NAN
    weights = 0.5 ** ((t - HOUR - known) / (6 * HOUR)).astype(np.longdouble)
    values = counts.columns["volume"][max(0, end - 3000):end]
    return float((weights * values).sum() / weights.sum())


def expected_of(rows, picked, holidays, fair):
    """rows: accepted hours in order, of one road; picked: which of them are computed."""
    celsius = np.where(rows.temperature > 200, rows.temperature - 273.15, NAN)
    rain = np.where(rows.rain_1h <= 305, rows.rain_1h, NAN)
    hours = Hours(rows.t, celsius=celsius, rain=rain, snow=rows.snow_1h, clouds=rows.clouds)
    counts = Hours(rows.t, volume=rows.traffic_volume, speed=rows.avg_speed)

    def of_volume(t):
        features = {**of_counts(counts, t), "volume_ewm_6h": faded(counts, t)}
        before = bisect.bisect_left(counts.t, t)
        return features if not before or t - counts.t[before - 1] <= VOLUME_TTL else dict.fromkeys(features, NAN)

    return pd.DataFrame([{**of_conditions(rows, hours, i, holidays, fair), **of_volume(rows.t.iloc[i])} for i in picked])


TOLERANCE = {name: 1e-11 for name in ("temperature_anomaly_24h", "temperature_c", "temperature_mean_24h", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "year_sin", "year_cos")}
TOLERANCE.update({name: 1e-9 for name in ("volume_std_24h", "volume_std_168h", "volume_ewm_6h", "rain_sum_3h", "rain_sum_24h", "snow_sum_24h")})  # of thousands, and of sums of tenths


def fair_of(rows):
    """Twelve days that end on Labor Day."""
    days = pd.date_range("2012-01-01", "2031-01-01")
    labor = [d for d in days if d.month == 9 and d.day_of_week == 0 and d.day <= 7 and d.year != 2020]
    return {d - pd.Timedelta(days=k) for d in labor for k in range(12)}


def holidays_of():
    from pandas.tseries.holiday import USFederalHolidayCalendar
    observed = set(USFederalHolidayCalendar().holidays("2012-01-01", "2030-12-31"))
    fixed = {pd.Timestamp("%d-%s" % (year, day)) for year in range(2012, 2031) for day in ("01-01", "07-04", "11-11", "12-25")}
    return observed | fixed | {pd.Timestamp("%d-06-19" % year) for year in range(2021, 2031)}


def test_real_counts():
    path = pt.data_file("traffic", "metro_i94_2012-2017.csv.gz")
    found, rejected = pt.features("traffic", path)
    rows = pd.read_csv(path, keep_default_na=False).rename(columns={"temp": "temperature", "clouds_all": "clouds", "weather_main": "weather"})
    rows["t"], rows["avg_speed"] = pt.micros(rows.date_time), NAN
    named = set(pd.to_datetime(rows.date_time[rows.holiday.isin(HOLIDAYS)]).dt.tz_localize(None).dt.normalize())
    assert named <= holidays_of(), named - holidays_of()
    # one row of an hour that is there several times differs from the next in its weather; which is first is not told by the file, so hours that are there once are compared
    once = ~rows.t.duplicated(keep=False)
    assert (~once).sum() > 8000 and (rows.temperature == 0).sum() == 10 and (rows.rain_1h > 305).sum() == 1
    assert not rejected and list(found.time) == sorted(rows.t), rejected
    clean = found[~found.time.duplicated(keep=False)]
    assert clean.temperature_c.min() > -60 and clean.temperature_c.isna().sum() == 10 and clean.rain.max() < 305
    # features of the hours themselves, and everything where no repeated hour is in reach
    rows = rows.sort_values("t", kind="stable").reset_index(drop=True)
    solitary = rows[~rows.t.duplicated(keep=False)].reset_index(drop=True)
    repeated = np.sort(rows.t[rows.t.duplicated(keep=False)].unique())
    reach = 673 * HOUR
    lonely = [i for i, t in enumerate(solitary.t) if np.searchsorted(repeated, t) == np.searchsorted(repeated, t - 170 * HOUR)]
    picked = lonely[::3]
    del reach
    expected = expected_of(solitary, picked, holidays_of(), fair_of(rows))
    own = found.set_index("time").loc[solitary.t.iloc[picked]].reset_index()
    far = ["volume_same_hour_4w", "hours_since_precipitation"]  # reach further back than the quiet week
    faint = ["volume_ewm_6h"]  # forgets slower than a week to 1e-12
    pt.check(own, expected.drop(columns=far + faint), TOLERANCE)
    assert len(picked) > 300, len(picked)


def test_simulated_roads(folder):
    path = os.path.join(folder, "roads.parquet")
    pt.simulate("traffic", path, "--entities", "2", "--days", "60", "--seed", "3", "--start", "2016-10-15")
    found, rejected = pt.features("traffic", path)
    rows = pd.read_parquet(path)
    rows["t"] = pt.micros(rows.observed_at)
    assert not rejected and len(found) == len(rows) == 2 * 60 * 24, rejected
    for road in sorted(rows.road.unique()):
        mine = rows[rows.road == road].sort_values("t").reset_index(drop=True)
        own = found[found.key == "default/" + road].reset_index(drop=True)
        picked = list(range(0, len(mine), 2))
        pt.check(own.iloc[picked], expected_of(mine, picked, holidays_of(), fair_of(mine)), TOLERANCE)
    assert found.is_holiday.sum() == 2 * 2 * 24  # Veterans Day and Thanksgiving


def test_roads_behave_like_roads(folder):
    path = os.path.join(folder, "year.parquet")
    pt.simulate("traffic", path, "--entities", "6", "--days", "364", "--seed", "11", "--start", "2017-01-01")
    rows = pd.read_parquet(path)
    hour, weekend = rows.observed_at.dt.hour, rows.observed_at.dt.day_of_week >= 5
    inbound = rows.road.str.endswith("inbound")
    work = rows[~weekend].groupby([inbound[~weekend], hour[~weekend]]).traffic_volume.mean()
    assert work[True].idxmax() in (7, 8) and work[False].idxmax() in (16, 17)
    assert work[True][3] < 0.25 * work[True].max()
    assert rows[weekend].groupby(hour[weekend]).traffic_volume.mean().idxmax() in (13, 14, 15)
    snowy, dry = rows[rows.snow_1h > 0], rows[(rows.snow_1h == 0) & (rows.rain_1h == 0)]
    assert snowy.avg_speed.mean() < 0.92 * dry.avg_speed.mean() and snowy.temperature.max() < 274 and rows.temperature[rows.rain_1h > 0].min() >= 274
    jam = rows.groupby("road").avg_speed.transform(lambda v: v < 0.5 * v.max())
    assert 0.0005 < jam.mean() < 0.1
    july, january = rows[rows.observed_at.dt.month == 7], rows[rows.observed_at.dt.month == 1]
    assert july.temperature.mean() - january.temperature.mean() > 20 and july.traffic_volume.mean() > january.traffic_volume.mean()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        test_roads_behave_like_roads(where)
        test_simulated_roads(where)
        test_real_counts()
