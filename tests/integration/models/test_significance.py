"""Distributions, tests of residuals, comparisons of models and conformal intervals against SciPy, numpy and their definitions: p-values within 1e-10 relative, sums within 1e-12."""

import ctypes
import itertools
import math
import tempfile
import unittest

import numpy as np
from scipy import special, stats

import native

NAMES = ["residuals", "significance", "conformal"]
SOURCES = [f"models/{name}.c" for name in NAMES] + ["core/distributions.c", "core/p_values.c", "core/err.c", "core/mem.c"]
DOUBLE, DOUBLES = ctypes.c_double, ctypes.POINTER(ctypes.c_double)


class Test(ctypes.Structure):
    _fields_ = [("statistic", DOUBLE), ("p", DOUBLE)]


class Residuals(ctypes.Structure):
    _fields_ = [("rows", ctypes.c_int64), *[(name, DOUBLE) for name in ("mean", "deviation", "skewness", "excess_kurtosis", "durbin_watson")],
                ("ljung_box", Test), ("breusch_pagan", Test), ("jarque_bera", Test)]


class PairedT(ctypes.Structure):
    _fields_ = [(name, DOUBLE) for name in ("mean", "standard_error", "t", "degrees", "p")]


class Wilcoxon(ctypes.Structure):
    _fields_ = [("pairs", ctypes.c_int64), ("positive_ranks", DOUBLE), ("negative_ranks", DOUBLE), ("p", DOUBLE)]


def doubles(array):
    return array.ctypes.data_as(DOUBLES)


class Significance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.library = native.load(cls.scratch.name, SOURCES)
        for name in ("gamma_upper", "beta_lower", "chi_square_tail", "student_two_sided", "normal_two_sided"):
            getattr(cls.library, f"weir_{name}").restype = DOUBLE

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def call(self, name, *arguments):
        return getattr(self.library, f"weir_{name}")(*map(DOUBLE, arguments))

    def assert_near(self, found, expected, tolerance, what):
        if abs(expected) > 1e-290:  # denormal results have fewer digits
            self.assertLessEqual(abs(found - expected), tolerance * abs(expected), (what, found, float(expected)))

    def test_distributions(self):
        shapes = [0.5, 1, 1.5, 2, 3.7, 10, 50, 333.3, 1e3, 1e4]
        for a in shapes:
            for x in [1e-8, 0.1, 0.5 * a, a - 0.5, a, a + 1, 1.3 * a, 2 * a + 5, 10 * a + 20]:
                if x > 0:
                    self.assert_near(self.call("gamma_upper", a, x), special.gammaincc(a, x), 1e-10, ("gamma", a, x))
        for a, b in itertools.product(shapes, shapes):
            for x in [1e-9, 0.01, 0.3, 0.5, 0.8, 0.99, a / (a + b)]:
                self.assert_near(self.call("beta_lower", x, a, b), special.betainc(a, b, x), 1e-10, ("beta", a, b, x))
        for degrees in (1, 2, 4, 9, 29, 200, 10_000):
            for t in (0, 1e-6, 0.3, 1, 2.5, 8, 30, 1e4):
                for sign in (1, -1):
                    self.assert_near(self.call("student_two_sided", sign * t, degrees), 2 * stats.t.sf(t, degrees), 1e-10, ("t", t, degrees))
            for x in (0, 0.5, degrees, 3 * degrees + 40, 900):
                self.assert_near(self.call("chi_square_tail", x, degrees), stats.chi2.sf(x, degrees), 1e-10, ("chi square", x, degrees))
        for z in (0, 0.5, 1.96, 6, 20, 37):
            self.assert_near(self.call("normal_two_sided", z), 2 * stats.norm.sf(z), 1e-10, ("normal", z))

    def test_residuals(self):
        rng = np.random.default_rng(1)
        for rows in (12, 300, 5000):
            for persistence, spread in ((0, 0), (0.4, 0), (0, 1), (-0.3, 0.5)):
                prediction = rng.normal(100, 5, rows)
                noise = rng.gamma(2, 1, rows) * np.exp(spread * (prediction - 100) / 10)
                for i in range(1, rows):
                    noise[i] += persistence * noise[i - 1]
                self.compare_residuals(prediction + noise, prediction, 5)

    def compare_residuals(self, label, prediction, lags):
        found = Residuals()
        self.assertEqual(self.library.weir_residuals_test(doubles(label), doubles(prediction), ctypes.c_int64(len(label)), lags, ctypes.byref(found), None), 0)
        e, n = (label - prediction).astype(np.longdouble), len(label)
        centred = e - e.mean()
        r = [(centred[k:] * centred[: n - k]).sum() / (centred**2).sum() for k in range(1, lags + 1)]
        q = float(n * (n + 2) * sum(rk**2 / (n - k) for k, rk in enumerate(r, 1)))
        design = np.column_stack([np.ones(n), prediction])
        square = (e**2).astype(float)
        fitted = design @ np.linalg.lstsq(design, square, rcond=None)[0]
        lm = n * ((fitted - square.mean()) ** 2).sum() / ((square - square.mean()) ** 2).sum()
        z = centred / np.sqrt((centred**2).mean())
        skewness, kurtosis = float((z**3).mean()), float((z**4).mean() - 3)
        self.assertTrue(math.isclose(skewness, stats.skew(label - prediction), rel_tol=1e-9) and math.isclose(kurtosis, stats.kurtosis(label - prediction), rel_tol=1e-7))
        jb = n / 6 * (skewness**2 + kurtosis**2 / 4)
        for name, value in (("mean", e.mean()), ("deviation", e.std(ddof=1)), ("skewness", skewness), ("durbin_watson", (np.diff(e) ** 2).sum() / (e**2).sum())):
            self.assert_near(getattr(found, name), float(value), 1e-12, name)
        self.assertLess(abs(found.excess_kurtosis - kurtosis), 1e-12 * (abs(kurtosis) + 3))
        for name, statistic, degrees, tolerance in (("ljung_box", q, lags, 1e-12), ("jarque_bera", jb, 2, 1e-11), ("breusch_pagan", lm, 1, 1e-8)):  # least squares have fewer digits
            test = getattr(found, name)
            self.assert_near(test.statistic, statistic, tolerance, name)
            self.assert_near(test.p, stats.chi2.sf(test.statistic, degrees), 1e-10, f"p of {name}")
        self.assert_near(found.jarque_bera.p, stats.jarque_bera(label - prediction).pvalue, 1e-7, "Jarque–Bera of SciPy")

    def test_paired_t(self):
        rng = np.random.default_rng(2)
        for n in (2, 5, 10, 100):
            base = rng.normal(0.8, 0.02, n)
            other = base + rng.normal(0.01, 0.02, n)
            found = PairedT()
            for ratio in (0, 0.25, 1 / 9):
                self.assertEqual(self.library.weir_paired_t_test(doubles(base), doubles(other), ctypes.c_int64(n), DOUBLE(ratio), ctypes.byref(found), None), 0)
                d = (other - base).astype(np.longdouble)
                t = float(d.mean() / np.sqrt((1 / np.longdouble(n) + ratio) * d.var(ddof=1)))
                self.assert_near(found.t, t, 1e-12, "t")
                self.assert_near(found.p, 2 * stats.t.sf(abs(t), n - 1), 1e-10, "p")
                if ratio == 0:
                    self.assert_near(found.p, stats.ttest_rel(other, base).pvalue, 1e-10, "SciPy's p")

    def wilcoxon(self, base, other):
        found = Wilcoxon()
        self.assertEqual(self.library.weir_wilcoxon_test(doubles(base), doubles(other), ctypes.c_int64(len(base)), ctypes.byref(found), None), 0)
        return found

    def test_wilcoxon(self):
        rng = np.random.default_rng(3)
        for n in (1, 2, 6, 15, 25):  # exact; without ties SciPy counts the same
            base = rng.normal(size=n)
            other = base + rng.normal(0.4, 1, n)
            self.assert_near(self.wilcoxon(base, other).p, stats.wilcoxon(other, base, method="exact").pvalue, 1e-10, n)
        for n in (26, 60, 1000):
            for decimals in (0, 1, 12):
                base = np.zeros(n)
                other = np.round(rng.normal(0.3, 2, n), decimals)
                if (other != 0).sum() <= 25:
                    continue
                found, expected = self.wilcoxon(base, other), stats.wilcoxon(other, base, method="approx", correction=False, zero_method="wilcox")
                self.assertEqual(min(found.positive_ranks, found.negative_ranks), expected.statistic)
                self.assert_near(found.p, expected.pvalue, 1e-10, (n, decimals))
        for n in (4, 9):  # exact with ties: every assignment of signs
            other = np.round(rng.normal(0.5, 2, n)) + 0.5 * (rng.random(n) < 0.2)
            other = other[other != 0]
            ranks = stats.rankdata(abs(other))
            smaller = min(ranks[other > 0].sum(), ranks[other < 0].sum())
            sums = [np.dot(ranks, signs) for signs in itertools.product((0, 1), repeat=len(other))]
            self.assert_near(self.wilcoxon(np.zeros(len(other)), other).p, min(1, 2 * np.mean(np.array(sums) <= smaller)), 1e-12, ("ties", n))

    def test_holm(self):
        rng = np.random.default_rng(4)
        for n in (1, 4, 30):
            p = np.round(rng.random(n) ** 4, 3)
            adjusted = np.empty(n)
            self.assertEqual(self.library.weir_holm_adjust(doubles(p), ctypes.c_int64(n), doubles(adjusted), None), 0)
            for level in (0.01, 0.05, 0.3, 0.9):  # Holm's own steps: from the smallest on, reject while p ≤ level / (hypotheses left)
                rejected, order = np.zeros(n, bool), np.argsort(p, kind="stable")
                for step, i in enumerate(order):
                    if p[i] * (n - step) > level:
                        break
                    rejected[i] = True
                np.testing.assert_array_equal(adjusted <= level, rejected)

    def test_conformal(self):
        rng = np.random.default_rng(5)
        radius, coverage, covered = DOUBLE(), DOUBLE(), []
        for n in (9, 19, 200):
            for level in (0.5, 0.8, 0.9, 0.95):
                label, prediction = rng.normal(size=n), np.zeros(n)
                self.assertEqual(self.library.weir_conformal_radius(doubles(label), doubles(prediction), ctypes.c_int64(n), DOUBLE(level), ctypes.byref(radius), None), 0)
                place = next(k for k in range(1, n + 2) if k >= (n + 1) * level - 1e-9)
                self.assertEqual(radius.value, np.append(np.sort(abs(label)), math.inf)[place - 1])
        for _ in range(2000):  # the promise itself: with 20 rows, a new one is inside in at least 90 of 100 cases, and in at most 90 + 100 / 21
            label, prediction, new = rng.standard_t(3, 20), np.zeros(20), rng.standard_t(3, 100)
            self.assertEqual(self.library.weir_conformal_radius(doubles(label), doubles(prediction), ctypes.c_int64(20), DOUBLE(0.9), ctypes.byref(radius), None), 0)
            self.assertEqual(self.library.weir_conformal_coverage(doubles(new), doubles(np.zeros(100)), None, ctypes.c_int64(100), radius, ctypes.byref(coverage), None), 0)
            self.assertEqual(coverage.value, np.mean(abs(new) <= radius.value))
            covered.append(coverage.value)
        print("coverage at level 0.9 with 20 rows:", np.mean(covered))
        self.assertTrue(0.895 < np.mean(covered) < 0.9 + 1 / 21 + 0.005)


if __name__ == "__main__":
    unittest.main()
