"""Series operators against tsfresh, pandas, SciPy and (where none of them defines the same) NumPy, on engine sensors, traffic and prices of WEIR_TEST_DATA and on random
series, whole windows and short ones. Tolerance 1e-12 relative, unless a case says why not."""

import sys
import unittest
import warnings

import numpy as np
import pandas as pd
import scipy.signal
import scipy.stats
from tsfresh.feature_extraction import feature_calculators as ts

from operators import DATA, agree, ask, report

NONE = float("nan")


def combined(function, x, **config):
    return list(function(x, [config]))[0][1]


def permutation_entropy(x, dimension, delay):
    patterns = np.array([np.argsort(x[i:i + (dimension - 1) * delay + 1:delay], kind="stable") for i in range(len(x) - (dimension - 1) * delay)])
    shares = np.unique(patterns, axis=0, return_counts=True)[1] / len(patterns)
    return -np.sum(shares * np.log(shares))


def tsfresh_permutation_entropy(x, dimension):
    """tsfresh sorts with NumPy's default, which ranks equal values as it likes."""
    return permutation_entropy(x, dimension, 1) if ts.has_duplicate(x) else ts.permutation_entropy(x, 1, dimension)


def sample_entropy(x, m, r):
    """Richman and Moorman's: as many templates of m values as of m + 1."""
    tolerance, near = r * np.std(x), []
    for length in (m, m + 1):
        templates = np.array([x[i:i + length] for i in range(len(x) - m)])
        near.append(sum(np.sum(np.abs(t - templates).max(axis=1) <= tolerance) - 1 for t in templates))
    return -np.log(near[1] / near[0])


def periodogram(x):
    frequency, power = scipy.signal.periodogram(x, detrend="constant")
    return frequency[1:], power[1:]


def share_of(x, low, high):
    frequency, power = periodogram(x)
    return power[(frequency >= low) & (frequency <= high)].sum() / power.sum()


def spectral_entropy(x):
    shares = periodogram(x)[1] / periodogram(x)[1].sum()
    return -np.sum(shares[shares > 0] * np.log(shares[shares > 0]))


def magnitude(x, power=3):
    """A natural scale of sums of signed products."""
    return np.mean(np.abs(x) ** power)


# (operator, parameters, oracle of x, scale of x that the error is relative to, if the value can be far below it; None: to the value)
CASES = [
    ("abs_energy", {}, ts.abs_energy, None),
    ("root_mean_square", {}, ts.root_mean_square, None),
    ("absolute_maximum", {}, ts.absolute_maximum, None),
    ("mean_n_absolute_max", {"k": 3}, lambda x: ts.mean_n_absolute_max(x, 3), None),
    ("crest_factor", {}, lambda x: np.max(np.abs(x)) / np.sqrt(np.mean(x**2)), None),
    ("impulse_factor", {}, lambda x: np.max(np.abs(x)) / np.mean(np.abs(x)), None),
    ("absolute_sum_of_changes", {}, ts.absolute_sum_of_changes, None),
    ("mean_abs_change", {}, ts.mean_abs_change, None),
    ("mean_change", {}, ts.mean_change, None),
    ("mean_second_derivative_central", {}, ts.mean_second_derivative_central, lambda x: np.max(np.abs(x)) / len(x)),
    ("cid_ce", {}, lambda x: ts.cid_ce(x, True), None),
    ("cid_ce", {"normalize": "no"}, lambda x: ts.cid_ce(x, False), None),
    ("change_quantiles", {"low": 0.1, "high": 0.9}, lambda x: ts.change_quantiles(x, 0.1, 0.9, True, "mean"), None),
    ("change_quantiles", {"low": 0.2, "high": 1, "absolute": "no"}, lambda x: ts.change_quantiles(x, 0.2, 1, False, "mean"), lambda x: np.max(np.abs(x)) / len(x)),
    ("change_quantiles", {"low": 0, "high": 0.7, "output": "variance"}, lambda x: ts.change_quantiles(x, 0, 0.7, True, "var"), None),
    ("variation_coefficient", {}, ts.variation_coefficient, None),
    # Near 0 the third power of the deviations cancels.
    ("skewness", {}, ts.skewness, lambda x: 1),
    ("kurtosis", {}, ts.kurtosis, lambda x: 1),
    ("ratio_beyond_r_sigma", {"r": 1.5}, lambda x: ts.ratio_beyond_r_sigma(x, 1.5), None),
    ("symmetry_looking", {"r": 0.05}, lambda x: combined(ts.symmetry_looking, x, r=0.05), None),
    ("large_standard_deviation", {"r": 0.25}, lambda x: ts.large_standard_deviation(x, 0.25), None),
    ("count_above_mean", {}, ts.count_above_mean, None),
    ("count_below_mean", {}, ts.count_below_mean, None),
    ("longest_strike_above_mean", {}, ts.longest_strike_above_mean, None),
    ("longest_strike_below_mean", {}, ts.longest_strike_below_mean, None),
    ("number_crossing", {"m": 1}, lambda x: ts.number_crossing_m(x, 1), None),
    ("zero_crossing_rate", {}, lambda x: ts.number_crossing_m(x, 0) / (len(x) - 1), None),
    ("number_peaks", {"support": 1}, lambda x: ts.number_peaks(x, 1), None),
    ("number_peaks", {"support": 4}, lambda x: ts.number_peaks(x, 4), None),
    ("first_location_of_maximum", {}, ts.first_location_of_maximum, None),
    ("last_location_of_maximum", {}, ts.last_location_of_maximum, None),
    ("first_location_of_minimum", {}, ts.first_location_of_minimum, None),
    ("last_location_of_minimum", {}, ts.last_location_of_minimum, None),
    ("index_mass_quantile", {"q": 0.3}, lambda x: combined(ts.index_mass_quantile, x, q=0.3), None),
    ("energy_ratio_by_chunks", {"segments": 7, "segment": 2}, lambda x: combined(ts.energy_ratio_by_chunks, x, num_segments=7, segment_focus=2), None),
    ("has_duplicate", {}, ts.has_duplicate, None),
    ("has_duplicate_max", {}, ts.has_duplicate_max, None),
    ("has_duplicate_min", {}, ts.has_duplicate_min, None),
    ("reoccurring_values_ratio", {}, ts.percentage_of_reoccurring_values_to_all_values, None),
    ("reoccurring_records_ratio", {}, lambda x: ts.percentage_of_reoccurring_datapoints_to_all_datapoints(pd.Series(x)), None),
    ("sum_of_reoccurring_values", {}, ts.sum_of_reoccurring_values, lambda x: np.sum(np.abs(x))),
    ("sum_of_reoccurring_data_points", {}, ts.sum_of_reoccurring_data_points, lambda x: np.sum(np.abs(x))),
    ("distinct_ratio", {}, ts.ratio_value_number_to_time_series_length, None),
    ("benford_correlation", {}, ts.benford_correlation, lambda x: 1),
    ("autocorrelation", {"lag": 1}, lambda x: ts.autocorrelation(x, 1), lambda x: 1),
    ("autocorrelation", {"lag": 6}, lambda x: ts.autocorrelation(x, 6), lambda x: 1),
    # The recursion amplifies rounding where the series is nearly predictable.
    ("partial_autocorrelation", {"lag": 1}, lambda x: combined(ts.partial_autocorrelation, x, lag=1), lambda x: 1),
    ("partial_autocorrelation", {"lag": 5}, lambda x: combined(ts.partial_autocorrelation, x, lag=5), lambda x: 1),
    ("c3", {"lag": 2}, lambda x: ts.c3(x, 2), magnitude),
    ("time_reversal_asymmetry", {"lag": 2}, lambda x: ts.time_reversal_asymmetry_statistic(x, 2), magnitude),
    ("linear_trend", {"output": "slope"}, lambda x: combined(ts.linear_trend, x, attr="slope"), lambda x: np.max(np.abs(x)) / len(x)),
    ("linear_trend", {"output": "intercept"}, lambda x: combined(ts.linear_trend, x, attr="intercept"), lambda x: np.max(np.abs(x))),
    ("linear_trend", {"output": "r"}, lambda x: combined(ts.linear_trend, x, attr="rvalue"), lambda x: 1),
    ("linear_trend", {"output": "stderr"}, lambda x: combined(ts.linear_trend, x, attr="stderr"), None),
    ("binned_entropy", {}, lambda x: ts.binned_entropy(x, 10), None),
    ("binned_entropy", {"max_bins": 37}, lambda x: ts.binned_entropy(x, 37), None),
    ("permutation_entropy", {}, lambda x: tsfresh_permutation_entropy(x, 3), None),
    ("permutation_entropy", {"dimension": 5}, lambda x: tsfresh_permutation_entropy(x, 5), None),
    ("permutation_entropy", {"dimension": 4, "delay_steps": 3}, lambda x: permutation_entropy(x, 4, 3), None),
    ("sample_entropy", {}, ts.sample_entropy, None),
    ("sample_entropy", {"m": 3, "r": 0.5, "templates": "equal"}, lambda x: sample_entropy(x, 3, 0.5), None),
    ("approximate_entropy", {}, lambda x: ts.approximate_entropy(x, 2, 0.2), lambda x: 1),
    ("approximate_entropy", {"m": 3, "r": 0.5}, lambda x: ts.approximate_entropy(x, 3, 0.5), lambda x: 1),
    ("fft_coefficient", {"k": 0}, lambda x: combined(ts.fft_coefficient, x, coeff=0, attr="abs"), lambda x: np.sum(np.abs(x))),
    ("fft_coefficient", {"k": 7, "output": "abs"}, lambda x: combined(ts.fft_coefficient, x, coeff=7, attr="abs"), lambda x: np.sum(np.abs(x))),
    ("fft_coefficient", {"k": 7, "output": "real"}, lambda x: combined(ts.fft_coefficient, x, coeff=7, attr="real"), lambda x: np.sum(np.abs(x))),
    ("fft_coefficient", {"k": 7, "output": "imag"}, lambda x: combined(ts.fft_coefficient, x, coeff=7, attr="imag"), lambda x: np.sum(np.abs(x))),
    ("fft_aggregated", {"output": "centroid"}, lambda x: combined(ts.fft_aggregated, x, aggtype="centroid"), None),
    ("fft_aggregated", {"output": "variance"}, lambda x: combined(ts.fft_aggregated, x, aggtype="variance"), None),
    ("fft_aggregated", {"output": "skew"}, lambda x: combined(ts.fft_aggregated, x, aggtype="skew"), None),
    ("spectral_centroid", {}, lambda x: np.average(periodogram(x)[0], weights=periodogram(x)[1]), None),
    ("dominant_frequency", {}, lambda x: periodogram(x)[0][np.argmax(periodogram(x)[1])], None),
    ("spectral_energy_share", {"low": 0.101, "high": 0.301}, lambda x: share_of(x, 0.101, 0.301), None),
    ("spectral_entropy", {}, spectral_entropy, None),
]


def real_series():
    """What there is of WEIR_TEST_DATA: sensors that drift, sensors of few levels, prices with jumps, hourly counts."""
    series = {}
    engines = DATA / "maritime" / "cmapss_fd001_engines_1-60.csv.gz"
    if engines.exists():
        frame = pd.read_csv(engines)
        for engine in (1, 7, 33):
            rows = frame[frame.engine == engine].sort_values("cycle")
            for sensor in ("op1", "v2", "v9", "v17", "v21"):
                series[f"engine {engine} {sensor}"] = rows[sensor].to_numpy(float)
    bars = DATA / "market" / "daily_bars.parquet"
    if bars.exists():
        frame = pd.read_parquet(bars)
        close = frame[frame.symbol == "AAPL"].sort_values("date").close.to_numpy(float)
        series["price"], series["return"] = close[:500], np.diff(np.log(close[:400]))
    return series


def random_series():
    draw = np.random.default_rng(3)
    series = {f"normal {n}": draw.normal(0, 2, n) for n in (40, 97, 256, 361)}
    series["levels"] = draw.integers(-3, 4, 200).astype(float)
    series["walk"] = np.cumsum(draw.normal(0, 1, 210)) + 50
    series["tone"] = np.sin(np.arange(240) * 2 * np.pi * 0.15) + draw.normal(0, 0.3, 240)
    series["far from 0"] = 1e6 + draw.normal(0, 1, 128)
    return series


class Oracle(unittest.TestCase):
    def check(self, name, x, columns, row):
        answers = ask(columns, [(op, "0", "last:100000", row, params) for op, params, _, _ in CASES])
        for (op, params, oracle, scale), (found, fold, _) in zip(CASES, answers):
            with self.subTest(series=name, op=op, **params), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.assertIsNone(fold)
                expected = float(oracle(x))
                self.compare(op, x, found, expected if np.isfinite(expected) else NONE, scale(x) if scale else 0.0)

    def compare(self, op, x, found, expected, scale):
        # NumPy's transform keeps the mean in: far from 0 that costs it digits.
        conditioning = max(1.0, abs(np.mean(x)) / np.std(x) / 1e4) if op == "fft_aggregated" and np.ptp(x) > 0 else 1.0
        agree(self, op, [found], [expected], scale=scale, tolerance=1e-12 * conditioning)

    def test_random(self):
        for name, x in random_series().items():
            self.check(name, x, [x], len(x) - 1)

    def test_real(self):
        series = real_series()
        if not series:
            self.skipTest(f"no data in {DATA}")
        for name, x in series.items():
            self.check(name, x, [x], len(x) - 1)

    def test_nulls_are_skipped(self):
        x = random_series()["walk"]
        column = np.full(2 * len(x), np.nan)
        places = np.sort(np.random.default_rng(4).choice(len(column), len(x), replace=False))
        column[places] = x
        self.check("walk with nulls", x, [column], len(column) - 1)

    def test_only_the_newest_count_in_a_window_of_last_n(self):
        x = random_series()["walk"]
        for op, params, oracle, scale in CASES:
            answers = ask([x], [(op, "0", "last:64", row, params) for row in (100, 150, 209)])
            for row, (found, _, _) in zip((100, 150, 209), answers):
                newest = x[row - 63:row + 1]
                with self.subTest(op=op, row=row, **params):
                    self.compare(op, newest, found, float(oracle(newest)), scale(newest) if scale else 0.0)

    def test_trend_against_time(self):
        draw = np.random.default_rng(5)
        time_us = 1_600_000_000_000_000 + np.cumsum(draw.integers(1, 10**9, 150))
        x = np.cumsum(draw.normal(0, 1, 150))
        line = scipy.stats.linregress((time_us - time_us[0]) / 1e6, x)
        outputs = {"slope": line.slope, "intercept": line.intercept, "r": line.rvalue, "stderr": line.stderr}
        answers = ask([x], [("linear_trend", "0", "last:150", 149, {"against": "time", "output": o}) for o in outputs], time_us)
        for (output, expected), answer in zip(outputs.items(), answers):
            agree(self, f"linear_trend against time, {output}", [answer[0]], [expected])

    def test_quadratic_operators_look_at_the_newest_2048(self):
        x = np.random.default_rng(6).normal(0, 1, 2100)
        for op, oracle in (("sample_entropy", ts.sample_entropy), ("spectral_entropy", spectral_entropy)):
            agree(self, op, [ask([x], [(op, "0", "last:3000", 2099, {})])[0][0]], [oracle(x[-2048:])])


if __name__ == "__main__":
    done = unittest.main(exit=False)
    report()
    sys.exit(not done.result.wasSuccessful())
