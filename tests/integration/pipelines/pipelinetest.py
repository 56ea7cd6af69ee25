"""What the tests of the pipelines share: features from the tool, windows from NumPy, comparison. Features are computed here from their definitions in the documents, with sums that are
exact (math.fsum) and geometry in extended precision; nothing of Weir's is used."""
import io
import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DATA = os.environ.get("WEIR_TEST_DATA") or os.path.join(ROOT, "..", "shared", "data")
BUILD = os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build"))
TOOL = os.path.join(BUILD, "weir_tool_pipeline_features")
WEIR = os.path.join(BUILD, "weir")
HOUR = 3_600_000_000  # microseconds, as all times here
DAY = 24 * HOUR


def data_file(*path):
    """A file of WEIR_TEST_DATA, or the end of the test."""
    found = os.path.join(DATA, *path)
    if os.path.exists(found):
        return found
    print("skipped: no %s" % found)
    sys.exit(77)


def features(pipeline, path, *sets):
    """Features of every accepted event, and what was rejected: {text: count}."""
    done = subprocess.run([TOOL, pipeline, path, *sets], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rejected = {}
    for line in done.stderr.splitlines():
        if line.startswith("# "):
            continue
        count, text = line.split(" ", 1)
        rejected[text] = int(count)
    return pd.read_csv(io.StringIO(done.stdout), float_precision="round_trip", dtype={"key": str}), rejected


def marked(pipeline, path, *sets):
    """How many records failed each check that only marks or warns."""
    done = subprocess.run([TOOL, pipeline, path, *sets], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line[2:].split(" ", 1) for line in done.stderr.splitlines() if line.startswith("# ")]
    return {name: int(count) for count, name in lines}


def simulate(pipeline, path, *flags):
    done = subprocess.run([WEIR, "simulate", pipeline, "--out", path, *flags], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def micros(series):
    return pd.to_datetime(series, utc=True).astype("datetime64[us, UTC]").astype("int64").to_numpy()


def mean(values):
    """Of what is there; NaN of nothing."""
    values = [v for v in values if v == v]
    return math.fsum(values) / len(values) if values else math.nan


def std(values):
    """With n - 1."""
    values = [v for v in values if v == v]
    if len(values) < 2:
        return math.nan
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


def total(values):
    values = [v for v in values if v == v]
    return math.fsum(values) if values else math.nan


def largest(values):
    return max((v for v in values if v == v), default=math.nan)


def smallest(values):
    return min((v for v in values if v == v), default=math.nan)


def divide(a, b):
    return a / b if b else math.nan


def close(expected, found, relative=1e-12, absolute=0.0):
    """Which differ; NaN equals NaN only."""
    expected, found = np.asarray(expected, float), np.asarray(found, float)
    nulls = np.isnan(expected) != np.isnan(found)
    with np.errstate(invalid="ignore"):
        far = np.abs(expected - found) > absolute + relative * np.maximum(np.abs(expected), np.abs(found))
    return nulls | far


def check(frame, expected, absolute=()):
    """Every column of expected against the frame's; absolute: {column: tolerance} where a relative one means nothing. Ends the test on a difference."""
    absolute = dict(absolute)
    bad = 0
    for name, values in expected.items():
        values = np.asarray(values, float)
        assert len(values) == len(frame), (name, len(values), len(frame))
        off = close(values, frame[name].to_numpy(float), absolute=absolute.get(name, 0.0))
        if off.any():
            bad += 1
            at = int(np.flatnonzero(off)[0])
            print("%s: %d of %d differ, first at row %d (%s, %d): expected %r, found %r" % (
                name, off.sum(), len(off), at, frame["key"].iloc[at], frame["time"].iloc[at], values[at], frame[name].iloc[at]))
    assert not bad, "%d features differ" % bad
    print("%d features of %d events agree" % (len(expected.keys()), len(frame)))
