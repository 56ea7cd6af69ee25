"""`weir features profile` against pandas and SciPy: moments to 1e-9, counts exactly, quantiles and distinct values within the error that the report states."""
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
from scipy import stats

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DATA = os.environ.get("WEIR_TEST_DATA") or os.path.join(ROOT, "..", "shared", "data")
WEIR = os.path.join(os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build")), "weir")


def close(a, b, tolerance=1e-9):
    return abs(a - b) <= tolerance * max(1, abs(a), abs(b))


def profile(path, *flags):
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run([WEIR, "features", "profile", path, "--out-dir", out, *flags], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        page = open(os.path.join(out, "quality.html"), encoding="utf-8").read()
        assert page.startswith("<!doctype html>") and page.endswith("</html>\n") and "<svg" in page and "http" not in page
        with open(os.path.join(out, "quality.json"), encoding="utf-8") as file:
            return json.load(file)


def check_numbers(c, x):
    name, there = c["name"], x.dropna().astype(float)
    for what, value in (("min", there.min()), ("max", there.max()), ("mean", math.fsum(there) / len(there)), ("std", there.std())):
        assert close(c[what], value), (name, what, c[what], value)
    assert c["zeros"] == (there == 0).sum()
    for q, found in c["quantiles"].items():
        # Between the neighbours of the quantile, each known to within the stated error.
        low, high = np.quantile(there, float(q), method="lower"), np.quantile(there, float(q), method="higher")
        slack = c["quantile_error"] * max(abs(low), abs(high)) + 1e-12
        assert low - slack <= found <= high + slack, (name, q, found, low, high)
    q1, q3 = c["quantiles"]["0.25"], c["quantiles"]["0.75"]
    assert c["outliers_iqr"] == ((there < q1 - 1.5 * (q3 - q1)) | (there > q3 + 1.5 * (q3 - q1))).sum(), name
    edge = (np.abs(np.abs(there - there.mean()) - 3 * there.std()) < 1e-9 * there.abs().max()).sum()
    assert abs(c["outliers_z"] - (np.abs(there - there.mean()) > 3 * there.std()).sum()) <= edge, name
    assert sum(c["histogram"]["counts"]) == len(there)
    inside = (there - c["histogram"]["low"]) / (c["histogram"]["high"] - c["histogram"]["low"]) * 24
    assert c["histogram"]["counts"] == list(np.bincount(inside.clip(0, 23.5).astype(int), minlength=24)), name
    shares = np.bincount(np.searchsorted(c["bins"]["edges"], there, side="left"), minlength=len(c["bins"]["shares"])) / len(x)
    assert np.allclose(c["bins"]["shares"], shares, rtol=0, atol=1e-12), name


def check(found, frame, types):
    assert found["rows"] == len(frame) and found["duplicates_exact"] and found["duplicates"] == frame.duplicated().sum()
    assert [c["name"] for c in found["columns"]] == list(frame.columns)
    for c in found["columns"]:
        x = frame[c["name"]]
        assert c["type"] == types.get(c["name"], "number"), c
        assert c["missing"] == x.isna().sum() and close(c["missing_share"], x.isna().mean())
        assert abs(c["distinct"] - x.nunique()) <= 4 * c["distinct_error"] * x.nunique(), (c["name"], c["distinct"], x.nunique())
        if c["type"] == "number":
            check_numbers(c, x)
        if c["type"] != "time":
            counts = x.value_counts()
            if len(counts) <= 500:  # the sketch is exact
                assert [t["count"] for t in c["top"]] == list(counts[:10]), c["name"]
            for t in c["top"]:
                assert t["count"] == (x == t["value"]).sum(), (c["name"], t)


def check_pairs(found, frame):
    names = found["correlations"]["columns"]
    for i, a in enumerate(names):
        for k, b in enumerate(names[: i + 1]):
            pair = frame[[a, b]].astype(float).dropna() if a != b else frame[[a]].astype(float).dropna()
            x, y = pair[a], pair[b]
            for kind, f in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
                expected = f(x, y)[0]
                value = found["correlations"][kind][i][k]
                assert value == found["correlations"][kind][k][i]
                if found["correlations"]["sampled"]:
                    assert abs(value - expected) < 0.03, (a, b, kind, value, expected)
                else:
                    assert close(value, expected), (a, b, kind, value, expected)


def traffic(path):
    frame = pd.read_csv(path, keep_default_na=False)
    for column in ("temp", "rain_1h", "snow_1h", "clouds_all"):
        frame[column] = pd.to_numeric(frame[column])
    frame["date_time"] = pd.to_datetime(frame.date_time)
    found = profile(path)
    check(found, frame, {"holiday": "text", "weather_main": "text", "weather_description": "text", "date_time": "time"})
    check_pairs(found, frame)
    t = frame.date_time.sort_values()
    steps = t.diff().dropna()
    steps = steps[steps > pd.Timedelta(0)]
    assert found["coverage"]["repeated_times"] == frame.date_time.duplicated().sum()
    assert found["coverage"]["step_seconds"] == steps.median().total_seconds() == 3600
    assert found["coverage"]["gaps"] == (steps > 5 * steps.median()).sum()
    assert close(found["coverage"]["coverage"], t.nunique() / (1 + steps.dt.total_seconds().div(3600).round().sum()))
    assert close(found["coverage"]["regular_share"], (steps == steps.median()).mean())
    said = " ".join(found["verdicts"])
    for word in ("rain_1h: the largest value, 9831.3", "temp: 10 zeros", "have a time that their entity has already", "gaps in time"):
        assert word in said, (word, said)
    print("traffic: %d rows agree" % len(frame))


def fraud(path):
    frame = pd.read_parquet(path)
    types = {c: "time" for c in frame.columns if str(frame[c].dtype).startswith("datetime")}
    types.update({c: "text" for c in frame.columns if frame[c].dtype == object})
    found = profile(path, "--entity", "CUSTOMER_ID")
    check(found, frame, types)
    check_pairs(found, frame)
    by = frame.groupby("CUSTOMER_ID").size()
    c = found["coverage"]
    assert (c["entities"], c["records_min"], c["records_median"], c["records_max"]) == (len(by), by.min(), by.median(), by.max())
    assert c["regular_share"] < 0.5 and c["gaps"] == 0 and c["coverage"] is None
    print("fraud: %d rows agree" % len(frame))


def main():
    files = [(f, os.path.join(DATA, *p)) for f, p in ((traffic, ("traffic", "metro_i94_2012-2017.csv.gz")), (fraud, ("fraud", "transactions_2018-04-01_06-14.parquet")))]
    if not all(os.path.exists(path) for _, path in files):
        print("skipped: no data")
        sys.exit(77)
    for f, path in files:
        f(path)


main()
