"""What is wrong in the real data is found by the checks of the pipelines, in as many records as a count by hand finds."""
import os
import sys
import tempfile

import numpy as np
import pandas as pd

sys.path.insert(0, os.path.dirname(__file__))
import pipelinetest as pt  # noqa: E402


def traffic(_):
    path = pt.data_file("traffic", "metro_i94_2012-2017.csv.gz")
    raw = pd.read_csv(path)
    return path, {
        "temperature not available": int((raw.temp == 0).sum()),
        "absurd rain": int((raw.rain_1h > 305).sum()),
        "repeated hour": int(raw.date_time.duplicated().sum()),
    }


def maritime(folder):
    path = pt.data_file("maritime", "ais_2022-01-03.csv.gz")
    raw = pd.read_csv(path, dtype={"MMSI": str})
    raw["t"] = pd.to_datetime(raw.BaseDateTime)
    # Two vessels under one number report at the same second; which of them is "the one before" is a matter of the file's order, so these stay out.
    raw = raw[~raw.MMSI.isin(raw.MMSI[raw.duplicated(["MMSI", "t"])])].sort_values(["MMSI", "t"], kind="stable")
    path = os.path.join(folder, "vessels.parquet")
    raw.drop(columns="t").to_parquet(path)
    lat, lon = np.radians(raw.LAT), np.radians(raw.LON)
    before = raw.MMSI.eq(raw.MMSI.shift())
    a = np.sin((lat - lat.shift()) / 2) ** 2 + np.cos(lat) * np.cos(lat.shift()) * np.sin((lon - lon.shift()) / 2) ** 2
    miles = 2 * 6371008.8 / 1852 * np.arcsin(np.sqrt(a))
    hours = (raw.t - raw.t.shift()).dt.total_seconds() / 3600
    return path, {
        "heading not available": int((raw.Heading == 511).sum()),
        "course not available": int((raw.COG > 359.9).sum()),
        "speed not available": int((raw.SOG > 102.2).sum()),
        "odd MMSI": int((raw.MMSI.str.len() != 9).sum()),
        "jump": int((before & (miles > 60 * hours + 1)).sum()),
    }


def market(_):
    path = pt.data_file("market", "daily_bars.parquet")
    raw = pd.read_parquet(path)
    inside = (raw[["open", "close"]].min(axis=1) >= raw.low) & (raw[["open", "close"]].max(axis=1) <= raw.high)
    assert not (raw.high < raw.low).any() and not raw.duplicated(["symbol", "date"]).any()
    return path, {"open or close outside of low to high": int((~inside).sum())}


def churn(_):
    path = pt.data_file("churn", "telco_churn.csv")
    raw = pd.read_csv(path)
    total = pd.to_numeric(raw.TotalCharges, errors="coerce")
    return path, {"total charges below one month's": int(((total < raw.MonthlyCharges) & (raw.tenure != 0)).sum())}


def main():
    for source in (traffic, maritime, market, churn):
        with tempfile.TemporaryDirectory() as folder:
            path, expected = source(folder)
            found = pt.marked(source.__name__, path)
        expected = {name: count for name, count in expected.items() if count}
        print("%-9s %s" % (source.__name__, found))
        assert found == expected, (found, expected)
    assert pt.marked("engine", pt.data_file("maritime", "cmapss_fd001_engines_1-60.csv.gz")) == {}


main()
