"""Drift statistics against SciPy, detectors against their definitions.

Statistics of samples that are held exactly, p-values of KS, Fisher and χ²: within 1e-9 (relative beyond 1, absolute below). p-values by permutation: within 4 standard errors.
Detectors: the same alarms at the same values as plain Python makes of the sources' formulas; alarms of river 0.23.0 (BSD-3-Clause), which wants an older pandas than the other
tests, are kept in RIVER.
"""

import collections
import math
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
from scipy import spatial, stats

TOOL = pathlib.Path(os.environ["WEIR_BUILD"]) / "weir_tool_drift"
TOLERANCE = 1e-9
Found = collections.namedtuple("Found", "statistic value p effect n m sampled")


class Tool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.path = pathlib.Path(cls.scratch.name) / "values"

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_tool(self, command, values, *arguments):
        self.path.write_bytes(np.asarray(values, dtype="<f8").tobytes())
        run = subprocess.run([TOOL, command, self.path, *map(str, arguments)], capture_output=True, text=True, check=True)
        return run.stdout.split("\n")

    def assert_near(self, found, expected, what=None, tolerance=TOLERANCE):
        self.assertLessEqual(abs(found - expected), tolerance * max(1, abs(expected)), (what, found, expected))


def samples(seed):
    """Pairs of samples that are held exactly: smooth, tied, constant, far apart, of very different sizes."""
    rng = np.random.default_rng(seed)
    yield rng.normal(size=200), rng.normal(0.3, 1, 150)
    yield rng.normal(size=4096), rng.normal(0.02, 1, 4096)
    yield rng.standard_cauchy(1000), rng.standard_cauchy(33)
    yield rng.lognormal(0, 1.5, 3000), rng.lognormal(0.05, 1.5, 2000)
    yield np.round(rng.normal(size=500), 1), np.round(rng.normal(0.1, 1.2, 700), 1)
    yield rng.poisson(2, 1000).astype(float), rng.poisson(2.2, 1000).astype(float)
    yield np.where(rng.random(800) < 0.6, 0, rng.exponential(3, 800)), np.where(rng.random(900) < 0.55, 0, rng.exponential(3, 900))
    yield np.ones(50), np.ones(60)
    yield rng.normal(size=60), rng.normal(9, 1, 70)
    yield -rng.random(100) * 1e-12, rng.random(90) * 1e12


def bins_by_reference(reference, current, bins):
    """A bin ends with the first value that has at least k / bins of the reference at or below it; of equal ends one counts."""
    n = len(reference)
    bins = int(min(bins, max(2, min(n, len(current)) // 20)))
    ordered = np.sort(reference)
    edges = np.unique([ordered[math.ceil(k * n / bins) - 1] for k in range(1, bins)])
    edges = edges[edges < ordered[-1]]
    return tuple(np.bincount(np.searchsorted(edges, side, side="left"), minlength=len(edges) + 1).astype(float) for side in (reference, current))


def pool_rare(a, b, least=5):
    """What is expected fewer than 5 times on the smaller side goes together; if that is still rare, with the rarest of the others."""
    enough = least * (a.sum() + b.sum()) / min(a.sum(), b.sum())
    kept = a + b >= enough
    rest = np.array([a[~kept].sum(), b[~kept].sum()])
    a, b = a[kept], b[kept]
    if rest.sum() == 0:
        return a, b
    if rest.sum() < enough and len(a):
        rarest = np.argmin(a + b)
        a[rarest] += rest[0]
        b[rarest] += rest[1]
        return a, b
    return np.append(a, rest[0]), np.append(b, rest[1])


def psi(a, b):
    e, n = np.maximum(a / a.sum(), 1e-4), np.maximum(b / b.sum(), 1e-4)
    return float(np.sum((n - e) * np.log(n / e)))


class Statistics(Tool):
    def found(self, reference, current, kind, statistic, *cuts):
        fields = self.run_tool("test", np.concatenate([reference, current]), kind, statistic, len(reference), len(current), *cuts)[0].split()
        return Found(fields[0], *map(float, fields[1:4]), *map(int, fields[4:]))

    def test_ks(self):
        for reference, current in samples(1):
            found = self.found(reference, current, "number", "ks")
            with np.errstate(all="ignore"):
                expected = stats.ks_2samp(reference, current, method="exact")
            self.assert_near(found.value, expected.statistic, "D")
            self.assert_near(found.p, expected.pvalue, ("p", len(reference), len(current)))
            self.assertEqual((found.n, found.m, found.sampled), (len(reference), len(current), 0))

    def test_wasserstein(self):
        for reference, current in samples(2):
            found = self.found(reference, current, "number", "wasserstein")
            expected = stats.wasserstein_distance(reference, current)
            self.assert_near(found.value, expected, "W1")
            if reference.std() > 0:
                self.assert_near(found.effect, expected / reference.std(ddof=1), "effect")

    def test_wasserstein_p_is_that_of_permutations(self):
        rng = np.random.default_rng(3)
        for shift in (0, 0.15, 0.3):
            reference, current = rng.normal(size=120), rng.normal(shift, 1, 90)
            found, both = self.found(reference, current, "number", "wasserstein"), np.concatenate([reference, current])
            values = []
            for _ in range(4000):
                rng.shuffle(both)
                values.append(stats.wasserstein_distance(both[:120], both[120:]))
            expected = np.mean(np.array(values) >= found.value)
            made = 20 / max(found.p, 0.01)  # Weir stops at 20 as far apart
            error = math.sqrt(expected * (1 - expected) * (1 / 4000 + 1 / made)) + 2 / made
            self.assertLessEqual(abs(found.p - expected), 4 * error)

    def test_bins(self):
        for reference, current in samples(4):
            if len(np.unique(np.concatenate([reference, current]))) <= 5:
                continue
            a, b = pool_rare(*bins_by_reference(reference, current, 10))
            self.assert_near(self.found(reference, current, "number", "psi").value, psi(a, b), "PSI")
            self.assert_near(self.found(reference, current, "number", "jensen_shannon").value, spatial.distance.jensenshannon(a, b, base=2), "distance")
            self.assert_chi_squared(self.found(reference, current, "number", "chi_squared"), a, b, binned=True)

    def assert_chi_squared(self, found, a, b, binned=False):
        """Of bins the p-value is never below that of χ²."""
        if len(a) < 2:
            self.assertEqual((found.value, found.p), (0, 1))
            return
        expected = stats.chi2_contingency([a, b], correction=False)
        self.assert_near(found.value, expected.statistic, "χ²")
        if binned:
            self.assertGreaterEqual(found.p, expected.pvalue * (1 - TOLERANCE))
        else:
            self.assert_near(found.p, expected.pvalue, "p")
        self.assert_near(found.effect, math.sqrt(expected.statistic * (1 / a.sum() + 1 / b.sum())), "w")

    def test_categories(self):
        rng = np.random.default_rng(5)
        shares = 1 / np.arange(1, 61) ** 2
        for n, m, kinds in ((500, 400, 60), (100_000, 30_000, 60), (4000, 3000, 4), (60, 50, 2)):
            weights = shares[:kinds] / shares[:kinds].sum()
            reference, current = rng.choice(kinds, n, p=weights), rng.choice(kinds, m, p=weights[::-1] * 0.1 + weights * 0.9)
            a, b = (np.bincount(side, minlength=kinds).astype(float) for side in (reference, current))
            unseen = b[a == 0].sum() / m
            a, b = pool_rare(a, b)
            self.assert_chi_squared(self.found(reference, current, "category", "chi_squared"), a, b)
            self.assert_near(self.found(reference, current, "category", "jensen_shannon").value, spatial.distance.jensenshannon(a, b, base=2))
            self.assert_near(self.found(reference, current, "category", "psi").value, psi(a, b))
            self.assert_near(self.found(reference, current, "category", "unseen").value, unseen)

    def test_proportions(self):
        rng = np.random.default_rng(6)
        for n, m, p, q in ((200, 150, 0.05, 0.1), (1000, 5000, 0.5, 0.52), (40, 40, 0, 0), (300, 30, 0.99, 0.8), (2000, 2000, 0.002, 0.01)):
            reference, current = (rng.random(n) < p).astype(float), (rng.random(m) < q).astype(float)
            x, y = reference.sum(), current.sum()
            found = self.found(reference, current, "boolean", "proportion")
            self.assert_near(found.p, stats.fisher_exact([[x, n - x], [y, m - y]]).pvalue, "p")
            self.assert_near(found.effect, abs(2 * math.asin(math.sqrt(y / m)) - 2 * math.asin(math.sqrt(x / n))), "h")
            if 0 < x + y < n + m:
                expected = stats.chi2_contingency([[x, n - x], [y, m - y]], correction=False).statistic
                self.assert_near(found.value**2, expected, "z²")
                self.assertEqual(np.sign(found.value), np.sign(y / m - x / n))
            missing = self.found(np.where(reference, np.nan, 1), np.where(current, np.nan, 1), "number", "missing")
            self.assertEqual((missing.value, missing.p, missing.effect), (found.value, found.p, found.effect))

    def test_unseen_p_is_that_of_permutations(self):
        rng = np.random.default_rng(7)
        reference, current = np.floor(rng.exponential(15, 400)), np.floor(rng.exponential(17, 300))
        found, both, values = self.found(reference, current, "category", "unseen"), np.concatenate([reference, current]), []
        for _ in range(4000):
            rng.shuffle(both)
            values.append(np.mean(~np.isin(both[400:], both[:400])))
        expected = np.mean(np.array(values) >= found.value - 1e-12)
        self.assertGreater(expected, 0.01)
        # Categories are taken as independent, which makes p a little too large.
        self.assertLessEqual(abs(found.p - expected), 4 * math.sqrt(expected * (1 - expected) * (1 / 4000 + found.p / 20)) + 0.03)
        gone = self.found(np.zeros(500), np.where(np.arange(500) < 25, 1, 0), "category", "unseen")
        exact = stats.hypergeom.sf(24, 1000, 25, 500)
        self.assertTrue(exact * (1 - TOLERANCE) <= gone.p <= 100 * exact, (gone, exact))

    def test_samples_of_large_windows_are_near(self):
        """Within 4 standard errors: a distribution function at a point is known to 0.5 / √4096 from each side."""
        rng = np.random.default_rng(8)
        reference, current = rng.normal(size=60_000), rng.normal(0.2, 1.1, 30_000)
        found = self.found(reference, current, "number", "ks", 7)
        self.assertEqual((found.n, found.m, found.sampled), (4096, 4096, 1))
        self.assertLessEqual(abs(found.value - stats.ks_2samp(reference, current).statistic), 4 * 0.5 * math.sqrt(2 / 4096))
        found = self.found(reference, current, "number", "wasserstein", 7)
        self.assertLessEqual(abs(found.value - stats.wasserstein_distance(reference, current)), 4 * math.sqrt((1 + 1.21) / 4096))

    def test_counts_of_few_values_are_exact_however_many(self):
        rng = np.random.default_rng(9)
        reference, current = rng.poisson(3, 50_000).astype(float), rng.poisson(3.1, 20_000).astype(float)
        found = self.found(reference, current, "number", "ks", 5)
        self.assert_near(found.value, stats.ks_2samp(reference, current).statistic)
        self.assertEqual((found.n, found.m, found.sampled), (50_000, 20_000, 0))
        self.assert_near(found.p, stats.kstwo.sf(found.value, round(50_000 * 20_000 / 70_000)), tolerance=1e-3)

    def test_pieces_that_are_merged_are_the_whole(self):
        for reference, current in samples(10):
            for statistic in ("ks", "wasserstein", "psi"):
                once, cut = (self.found(reference, current, "number", statistic, *cuts) for cuts in ((), (6,)))
                for before, after in zip(once[1:], cut[1:]):
                    self.assert_near(after, before, statistic)


# --- detectors ---

def adwin(values, delta=0.002, clock=32, grace=10, least=5, buckets=5):
    """ADWIN2 over a plain list of buckets (size, sum, squared deviations), oldest first."""
    window, alarms = [], []
    for i, value in enumerate(values):
        window.append((1, value, 0.0))
        size = 1
        while sum(b[0] == size for b in window) > buckets:
            at = next(k for k, b in enumerate(window) if b[0] == size)
            (n, s, v), (m, t, w) = window[at : at + 2]
            window[at : at + 2] = [(n + m, s + t, v + w + (s / n - t / m) ** 2 * n * m / (n + m))]
            size *= 2
        cut = (i + 1) % clock == 0 and sum(b[0] for b in window) > grace
        alarm = False
        while cut:
            cut = False
            width, total = sum(b[0] for b in window), sum(b[1] for b in window)
            variance = sum(b[2] + b[0] * (b[1] / b[0] - total / width) ** 2 for b in window) / width
            n0 = s0 = 0
            for n, s, _ in window:
                n0, s0 = n0 + n, s0 + s
                n1 = width - n0
                if n0 < least or n1 < least:
                    continue
                m = 1 / (n0 - least + 1) + 1 / (n1 - least + 1)
                log = math.log(2 * math.log(width) / delta)
                if abs(s0 / n0 - (total - s0) / n1) > math.sqrt(2 * m * variance * log) + 2 / 3 * log * m:
                    cut = alarm = True
                    window.pop(0)
                    break
        if alarm:
            alarms.append((i, 2))
    return alarms, sum(b[1] for b in window) / sum(b[0] for b in window), sum(b[0] for b in window)


def page_hinkley(values, delta=0.005, threshold=50, forget=0.9999, least=30):
    alarms, seen = [], []
    for i, value in enumerate(values):
        if not seen:
            up = down = 0
            lowest, highest = math.inf, -math.inf
        seen.append(value)
        deviation = value - math.fsum(seen) / len(seen)
        up, down = forget * up + deviation - delta, forget * down + deviation + delta
        lowest, highest = min(lowest, up), max(highest, down)
        if len(seen) >= least and max(up - lowest, highest - down) > threshold:
            alarms.append((i, 2))
            seen = []
    return alarms, (math.fsum(seen) / len(seen) if seen else math.nan), len(seen)


def ddm(values, warning=2, drift=3, least=30):
    alarms, errors, n = [], 0, 0
    lowest = None
    for i, value in enumerate(values):
        errors, n = errors + value, n + 1
        p = errors / n
        s = math.sqrt(p * (1 - p) / n)
        if n <= least:
            continue
        if lowest is None or p + s <= sum(lowest):
            lowest = p, s
        if p + s > lowest[0] + drift * lowest[1]:
            alarms.append((i, 2))
            errors, n, lowest = 0, 0, None
        elif p + s > lowest[0] + warning * lowest[1]:
            alarms.append((i, 1))
    return alarms, (errors / n if n else math.nan), n


def streams():
    rng = np.random.default_rng(12345)
    yield "jump", np.concatenate([rng.normal(0, 1, 1500), rng.normal(1, 1, 1500), rng.normal(-2, 0.5, 1000)])
    yield "steady", rng.normal(5, 2, 3000)
    yield "slow", rng.normal(0, 0.3, 4000) + np.arange(4000) / 1000
    yield "errors", (rng.random(4000) < np.repeat([0.1, 0.1, 0.3, 0.05], 1000)).astype(float)


class Windows(unittest.TestCase):
    def test_alarms_without_drift_stay_at_the_stated_rate(self):
        """Of 30 columns judged together, in a few hundred windows; docs/drift.md has 10 000."""
        windows, alpha = 400, 0.05
        run = subprocess.run([TOOL, "windows", "200", "200", str(windows), str(alpha)], capture_output=True, text=True, check=True)
        made, alarmed, high = map(float, run.stdout.split())
        self.assertEqual(made, windows)
        self.assertLessEqual(alarmed, alpha + 4 * math.sqrt(alpha * (1 - alpha) / windows))
        self.assertEqual(high, 0)

    def test_alarms_of_tenants_without_drift_stay_at_the_stated_rate_together(self):
        """Of 8 tenants that are judged each by itself; without their shares of the rate it would be kept by none."""
        windows, alpha = 100, 0.05
        run = subprocess.run([TOOL, "tenants", "8", "200", "200", str(windows), str(alpha)], capture_output=True, text=True, check=True)
        made, alarmed, high, alone = map(float, run.stdout.split())
        limit = alpha + 4 * math.sqrt(alpha * (1 - alpha) / windows)
        self.assertEqual(made, windows)
        self.assertLessEqual(alarmed, limit)
        self.assertGreater(alone, limit)
        self.assertEqual(high, 0)


# Drifts that river 0.23.0 finds in these streams with its defaults; of ADWIN, its AdaptiveWindowing: the class around it begins anew after a drift.
RIVER = {
    ("jump", "adwin"): [1567, 1663, 3039, 3135],
    ("jump", "page_hinkley"): [1155, 1550, 3013],
    ("steady", "adwin"): [],
    ("steady", "page_hinkley"): [335, 601, 1164, 1555, 1744, 2443, 2577],
    ("slow", "adwin"): [415, 447, 511, 575, 639, 735, 767, 863, 959, 991, 1023, 1055, 1119, 1183, 1279, 1375, 1471, 1535, 1631, 1727, 1759, 1823, 1919, 1951, 2015, 2079, 2143, 2175, 2207, 2271, 2335, 2431, 2463, 2559, 2655, 2783, 2815, 2847, 2879, 2911, 2975, 3039, 3199, 3263, 3295, 3327, 3391, 3423, 3487, 3519, 3615, 3711, 3839, 3871, 3903, 3935, 3967],
    ("slow", "page_hinkley"): [490, 968, 1418, 1884, 2311, 2807, 3320, 3764],
    ("errors", "adwin"): [2079, 2111, 2143, 3135, 3167, 3199],
    ("errors", "page_hinkley"): [2141, 3178],
    ("errors", "ddm"): [2067],
}


class Detectors(Tool):
    def found(self, values, kind, *settings):
        *lines, end, _ = self.run_tool("detect", values, kind, *settings)
        return [tuple(map(int, line.split())) for line in lines], float(end.split()[1]), int(end.split()[2])

    def assert_same(self, found, expected, what):
        self.assertEqual(found[0], expected[0], what)
        self.assertEqual(found[2], expected[2], what)
        if found[2]:
            self.assert_near(found[1], expected[1], what)

    def test_against_the_definitions(self):
        for name, values in streams():
            self.assert_same(self.found(values, "adwin"), adwin(values), name)
            self.assert_same(self.found(values, "adwin", "delta=0.2", "clock=1"), adwin(values, delta=0.2, clock=1), name)
            self.assert_same(self.found(values, "page_hinkley"), page_hinkley(values), name)
            self.assert_same(self.found(values, "page_hinkley", "threshold=10", "delta=0.1", "forget=1", "min_count=50"),
                             page_hinkley(values, 0.1, 10, 1, 50), name)
            if name == "errors":
                self.assert_same(self.found(values, "ddm"), ddm(values), name)
                self.assert_same(self.found(values, "ddm", "warning=1", "threshold=2", "min_count=100"), ddm(values, 1, 2, 100), name)

    def test_against_river(self):
        values = dict(streams())
        for (name, kind), expected in RIVER.items():
            self.assertEqual([i for i, what in self.found(values[name], kind)[0] if what == 2], expected, (name, kind))


if __name__ == "__main__":
    unittest.main()
