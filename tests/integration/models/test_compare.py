"""weir_compare_independent against numpy: the metrics by their definitions, the intervals by an independent bootstrap."""

import ctypes
import math
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("skipped: numpy is not installed")
    sys.exit(77)

import native

SOURCES = ["models/compare.c", "core/err.c", "core/mem.c"]


class Sample(ctypes.Structure):
    _fields_ = [("row_count", ctypes.c_int64), ("score", ctypes.POINTER(ctypes.c_double)), ("label", ctypes.POINTER(ctypes.c_double))]


class Interval(ctypes.Structure):
    _fields_ = [("value", ctypes.c_double), ("low", ctypes.c_double), ("high", ctypes.c_double)]


class Comparison(ctypes.Structure):
    _fields_ = [("auc", Interval), ("ap", Interval), ("counted", ctypes.c_int)]


def sample(score, label):
    pointer = ctypes.POINTER(ctypes.c_double)
    return Sample(len(score), score.ctypes.data_as(pointer), label.ctypes.data_as(pointer))


def compare(library, base, other, replicates, seed, level=0.95):
    result = Comparison()
    status = library.weir_compare_independent(
        ctypes.byref(sample(*base)), ctypes.byref(sample(*other)), ctypes.c_int(replicates), ctypes.c_uint64(seed), ctypes.c_double(level), ctypes.byref(result), None
    )
    assert status == 0, status
    return result


def auc(score, label, weight):
    """P(score of a positive > score of a negative) + half of P(equal), pair by pair."""
    p, n = label == 1, label == 0
    over = np.sign(score[p][:, None] - score[n][None, :]) * 0.5 + 0.5
    return float((over * weight[p][:, None] * weight[n][None, :]).sum() / (weight[p].sum() * weight[n].sum()))


def average_precision(score, label, weight):
    """Sum over distinct thresholds of the step in recall times the precision there."""
    total, before, area = (weight * label).sum(), 0.0, 0.0
    for threshold in np.unique(score)[::-1]:
        chosen = score >= threshold
        hits = (weight * label)[chosen].sum()
        if hits > before:
            area += (hits - before) / total * hits / weight[chosen].sum()
        before = hits
    return float(area)


def bootstrap(base, other, metric, replicates, rng):
    differences = []
    while len(differences) < replicates:
        values = []
        for score, label in (base, other):
            weight = rng.poisson(1.0, len(score)).astype(float)
            values.append(metric(score, label, weight) if 0 < (weight * label).sum() < weight.sum() else math.nan)
        if not any(map(math.isnan, values)):
            differences.append(values[1] - values[0])
    return np.quantile(differences, [0.025, 0.975])


def make(rng, rows, gain, decimals):
    label = (rng.random(rows) < 0.2).astype(float)
    return np.round(rng.normal(size=rows) + gain * label, decimals), label


def check_values(library):
    rng = np.random.default_rng(1)
    for decimals in (0, 1, 12):  # from nearly all tied to none
        for _ in range(20):
            base, other = make(rng, 60, 0.5, decimals), make(rng, 80, 1.0, decimals)
            got = compare(library, base, other, 100, 1)
            one = np.ones
            assert abs(got.auc.value - (auc(*other, one(80)) - auc(*base, one(60)))) < 1e-12
            assert abs(got.ap.value - (average_precision(*other, one(80)) - average_precision(*base, one(60)))) < 1e-12


def check_intervals(library):
    rng = np.random.default_rng(2)
    base, other = make(rng, 300, 0.6, 2), make(rng, 250, 1.2, 2)
    got = compare(library, base, other, 20000, 3)
    for interval, metric in ((got.auc, auc), (got.ap, average_precision)):
        low, high = bootstrap(base, other, metric, 2000, rng)
        # 2000 replicates place a 2.5 % quantile within about 4 % of the width (three standard errors)
        assert abs(interval.low - low) < 0.06 * (high - low), (interval.low, low)
        assert abs(interval.high - high) < 0.06 * (high - low), (interval.high, high)


def check_coverage(library):
    """Two samples of one law: the interval must hold 0 in about 95 of 100 cases."""
    rng = np.random.default_rng(4)
    cases, held = 400, {"auc": 0, "ap": 0}
    for i in range(cases):
        got = compare(library, make(rng, 400, 1.0, 12), make(rng, 400, 1.0, 12), 400, i)
        held["auc"] += got.auc.low <= 0 <= got.auc.high
        held["ap"] += got.ap.low <= 0 <= got.ap.high
    print("coverage of a true 0:", {k: v / cases for k, v in held.items()})
    for name, count in held.items():
        assert 0.91 <= count / cases <= 0.98, (name, count / cases)


with tempfile.TemporaryDirectory() as scratch:
    lib = native.load(scratch, SOURCES)
    check_values(lib)
    check_intervals(lib)
    check_coverage(lib)
print("ok")
