"""Preprocessing chains against scikit-learn, pandas and SciPy, on random data and on real columns of traffic and customers.

The C code runs through tests/tools/prep.c. Equal definitions must give equal values to 1e-12, relative to the largest value of their column. Wider: p-values 1e-10,
relative (they end in an exponential), and standardised columns far from 0, as their test says.
Reads WEIR_TEST_DATA (default ../shared/data; without it the real columns are skipped) and WEIR_BUILD (default build)."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("WEIR_TEST_DATA", ROOT.parent / "shared" / "data"))
TOOL = Path(os.environ.get("WEIR_BUILD", ROOT / "build")) / "weir_tool_prep"


def text_number(text):
    """weir_text_number: FNV-1a of 64 bits, folded to 53."""
    h = 14695981039346656037
    for byte in text.encode():
        h = (h ^ byte) * 1099511628211 % 2**64
    return float((h >> 53 ^ h) & (2**53 - 1))


def bucket(x, count):
    """The finalizer of splitmix64 over the bits of a double."""
    z = int(np.float64(x + 0.0).view(np.uint64))
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return (z ^ (z >> 31)) % count


class Chain:
    """A chain that C fitted, in a folder of its own within `root`."""

    root = None

    def __init__(self, spec, values, columns=None, times=None, entities=None, label=None, task="none"):
        self.folder = Path(tempfile.mkdtemp(dir=self.root.name))
        values = np.asarray(values, dtype="<f8")
        columns = columns or [{"name": f"c{i}", "kind": "number"} for i in range(values.shape[1])]
        self.json, keep = self.path("json"), self.path("keep")
        self.run("fit", json.dumps(spec), json.dumps(columns), task, self.put("fit", values), self.put("fit_t", times, "<i8"), self.put("fit_e", entities, "<u4"),
                 self.put("fit_y", label), self.json, keep)
        self.keep = np.fromfile(keep, dtype=bool)
        self.text = self.json.read_bytes()

    def path(self, name):
        return self.folder / name

    def put(self, name, array, dtype="<f8"):
        if array is None:
            return "-"
        np.ascontiguousarray(array, dtype=dtype).tofile(self.path(name))
        return self.path(name)

    def run(self, *args):
        done = subprocess.run([TOOL, *map(str, args)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout.splitlines()

    def take(self, names):
        self.names = names
        return np.fromfile(self.path("out"), dtype="<f8").reshape(-1, len(names))

    def apply(self, values):
        return self.take(self.run("apply", self.json, self.put("in", values), self.path("out")))

    def batch(self, values, times=None, entities=None):
        return self.take(self.run("batch", self.json, self.put("in", values), self.put("in_t", times, "<i8"), self.put("in_e", entities, "<u4"), self.path("out")))

    def evidence(self):
        return {e["column"]: (float(e["value"]), e["kept"]) for e in json.loads(self.text)["evidence"]}


def random_matrix(seed, rows=997):
    """Columns of several shapes and scales with gaps; the last but one never varies, the last is whole numbers with many ties."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(1e6, 3, rows), rng.lognormal(0, 2, rows), rng.standard_t(2, rows) * 1e-9, rng.uniform(-5, 5, rows), np.full(rows, 0.1),
                         rng.poisson(2, rows)])
    x[rng.random(x.shape) < 0.1] = np.nan
    return x.astype(float)


def real_numbers():
    """Numeric columns of the two data sets, with gaps where the files have them."""
    found = []
    traffic, churn = DATA / "traffic" / "metro_i94_2012-2017.csv.gz", DATA / "churn" / "telco_churn.csv"
    if traffic.exists():
        found.append(("traffic", pd.read_csv(traffic, nrows=20000)[["temp", "rain_1h", "snow_1h", "clouds_all", "traffic_volume"]].to_numpy(float)))
    if churn.exists():
        frame = pd.read_csv(churn)[["tenure", "MonthlyCharges", "TotalCharges"]]
        found.append(("churn", frame.apply(pd.to_numeric, errors="coerce").to_numpy(float)))
    return found


class PrepTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        Chain.root = tempfile.TemporaryDirectory()
        cls.addClassCleanup(Chain.root.cleanup)

    def near(self, got, expected, message="", tolerance=1e-12, floor=0):
        """Relative to the largest value of each column, but to no less than floor; of a list to each value."""
        got, expected = np.asarray(got, float), np.asarray(expected, float)
        self.assertEqual(got.shape, expected.shape, message)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(expected), err_msg=message)
        scale = np.nan_to_num(np.abs(expected))
        allowed = tolerance * np.maximum(scale.max(axis=0) if expected.ndim == 2 else scale, floor)
        over = np.nan_to_num(np.abs(got - expected)) > allowed
        self.assertFalse(over.any(), f"{message}: {got[over][:5]}, expected {expected[over][:5]}")

    def data(self):
        yield from ((f"random {seed}", random_matrix(seed)) for seed in range(3))
        yield "one row", random_matrix(5)[:1]
        yield from real_numbers()

    def split(self, x):
        n = max(1, len(x) * 2 // 3)
        return x[:n], x

    def test_imputers_are_those_of_scikit_learn(self):
        for name, x in self.data():
            train, every = self.split(x)
            for method in ("mean", "median", "most_frequent", "constant"):
                spec = {"impute": method, **({"value": -7.25} if method == "constant" else {})}
                theirs = SimpleImputer(strategy=method, keep_empty_features=True, **({"fill_value": -7.25} if method == "constant" else {})).fit(train)
                self.near(Chain([spec], train).apply(every), theirs.transform(every), f"{name} {method}")

    def test_indicator_columns_say_what_was_missing(self):
        x = random_matrix(1)
        chain = Chain([{"impute": "mean", "indicator": True}], x)
        out = chain.apply(x)
        self.assertEqual(chain.names[:2], ["c0", "c0=<filled>"])
        np.testing.assert_array_equal(out[:, 1::2], np.isnan(x))

    def test_scalers_are_those_of_scikit_learn(self):
        for name, x in self.data():
            train, every = self.split(x)
            for spec, theirs in (({"scale": "standard"}, StandardScaler()), ({"scale": "robust"}, RobustScaler()), ({"scale": "minmax"}, MinMaxScaler()),
                                 ({"scale": "minmax", "min": -3, "max": 5, "clip": True}, MinMaxScaler((-3, 5), clip=True))):
                known = ~np.isnan(train).all(axis=0)
                theirs = theirs.fit(train[:, known])
                got = Chain([spec], train).apply(every)
                expected = theirs.transform(every[:, known])
                tolerance = 1e-12
                if name != "one row" and spec["scale"] == "standard":  # x − mean, of a mean far from 0 that numpy sums with another rounding, over a small deviation
                    tolerance = max(tolerance, 4e-16 * np.nanmax(np.abs(theirs.mean_) / theirs.scale_))
                self.near(got[:, known], expected, f"{name} {spec}", tolerance, floor=1)

    def test_quartile_and_deviation_bounds(self):
        for name, x in self.data():
            train, every = self.split(x)
            if name == "one row":
                continue
            q1, q3 = np.nanquantile(train, [0.25, 0.75], axis=0)
            mean, deviation = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
            constant = np.nanmin(train, axis=0) == np.nanmax(train, axis=0)
            mean[constant], deviation[constant] = np.nanmin(train, axis=0)[constant], 0
            for spec, low, high in (({"outliers": "iqr", "factor": 1.5}, q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)),
                                    ({"outliers": "zscore", "threshold": 2}, mean - 2 * deviation, mean + 2 * deviation)):
                self.near(Chain([{**spec, "action": "clip"}], train).apply(every), np.clip(every, low, high), f"{name} {spec}")
                outside = (every < low) | (every > high)
                self.near(Chain([{**spec, "action": "null"}], train).apply(every), np.where(outside, np.nan, every), f"{name} {spec}")
                np.testing.assert_array_equal(Chain([{**spec, "action": "mark"}], train).apply(every)[:, 1::2], outside)
                dropping = Chain([{**spec, "action": "drop_rows", "columns": ["c0", "c1"]}], train)
                np.testing.assert_array_equal(dropping.keep, ~outside[: len(train), :2].any(axis=1))
                np.testing.assert_array_equal(dropping.apply(every), every)

    def test_steps_after_dropped_rows_are_fitted_without_them(self):
        x = random_matrix(2)
        chain = Chain([{"outliers": "zscore", "threshold": 1, "action": "drop_rows"}, {"impute": "mean"}], x)
        self.assertLess(chain.keep.sum(), len(x))
        self.near(chain.apply(x), SimpleImputer().fit(x[chain.keep]).transform(x))

    def test_gaps_are_filled_in_time_as_by_pandas(self):
        rng = np.random.default_rng(8)
        rows = 3000
        x = np.cumsum(rng.normal(size=(rows, 2)), axis=0)
        x[rng.random(x.shape) < 0.4] = np.nan
        times = rng.choice(10**9, rows, replace=False) * 1000 + 1_400_000_000_000_000
        entities = rng.integers(0, 40, rows)
        frame = pd.DataFrame(x, index=pd.to_datetime(times, unit="us")).assign(e=entities, at=np.arange(rows)).sort_index()
        groups = frame.groupby("e")[[0, 1]]
        median = np.nanmedian(x, axis=0)
        for method, filled in (("forward_fill", groups.ffill()), ("interpolate", groups.transform(lambda c: c.interpolate(method="time", limit_area="inside")))):
            expected = filled.assign(at=frame["at"]).sort_values("at")[[0, 1]].fillna(dict(enumerate(median))).to_numpy()
            chain = Chain([{"impute": method}], x, times=times, entities=entities)
            self.near(chain.batch(x, times, entities), expected, method, 1e-12 if method == "interpolate" else 0)
            self.near(chain.apply(x), np.where(np.isnan(x), median, x), method)
            self.near(chain.batch(x), np.where(np.isnan(x), median, x), method)

    def categories(self):
        rng = np.random.default_rng(3)
        levels = np.array(["Rain", "Clear", "Ångström", "clouds", "a=b", "", "7"], dtype=object)
        yield "random", pd.Series(rng.choice(levels, 800, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.03, 0.02])).where(rng.random(800) > 0.1, None)
        traffic, churn = DATA / "traffic" / "metro_i94_2012-2017.csv.gz", DATA / "churn" / "telco_churn.csv"
        if traffic.exists():
            yield "weather", pd.read_csv(traffic, nrows=20000)["weather_description"]
        if churn.exists():
            yield "contract", pd.read_csv(churn)["Contract"]

    def encode(self, spec, texts):
        known = sorted({t for t in texts if t is not None}, key=lambda t: t.encode())
        values = np.array([[np.nan if t is None else text_number(t)] for t in texts])
        return Chain([{"encode": "one_hot", **spec}], values, [{"name": "w", "kind": "category", "texts": known[::-1]}]), known

    def test_encoders_are_those_of_scikit_learn(self):
        for name, series in self.categories():
            texts = [None if pd.isna(t) else t for t in series]
            new = [*texts, "never seen"]
            values = np.array([[np.nan if t is None else text_number(t)] for t in new])
            chain, known = self.encode({"unseen": "none", "missing": "own", "max_levels": 4000}, texts)
            raw = np.array([["\U0010ffff" if t is None else t] for t in texts], dtype=object)
            later = np.array([["\U0010ffff" if t is None else t] for t in new], dtype=object)
            theirs = OneHotEncoder(categories=[[*known, "\U0010ffff"]], handle_unknown="ignore", sparse_output=False).fit(raw)
            np.testing.assert_array_equal(chain.apply(values), theirs.transform(later), name)
            self.assertEqual(chain.names, [f"w={t}" for t in known] + ["w=<missing>"])
            chain, _ = self.encode({"max_levels": 4000}, texts)
            other = np.array([[t == "never seen"] for t in new])
            np.testing.assert_array_equal(chain.apply(values), np.hstack([theirs.transform(later)[:, :-1], other]), name)
            ordinal = Chain([{"encode": "ordinal", "max_levels": 4000}], values[:-1], [{"name": "w", "kind": "category", "texts": known}])
            encoder = OrdinalEncoder(categories=[known], handle_unknown="use_encoded_value", unknown_value=len(known)).fit(np.array([[known[0]]], dtype=object))
            expected = encoder.transform(np.array([[known[0] if t is None else t] for t in new], dtype=object))
            expected[[t is None for t in new]] = np.nan
            self.near(ordinal.apply(values), expected, name, 0)

    def test_rare_levels_become_other(self):
        for name, series in self.categories():
            texts = [None if pd.isna(t) else t for t in series]
            chain, known = self.encode({"max_levels": 2, "missing": "other"}, texts)
            counts = pd.Series([t for t in texts if t is not None]).value_counts()
            best = sorted(sorted(known, key=lambda t: (-counts[t], t.encode()))[:2], key=lambda t: t.encode())
            out = chain.apply(np.array([[np.nan if t is None else text_number(t)] for t in texts]))
            self.assertEqual(chain.names, [f"w={t}" for t in best] + ["w=<other>"], name)
            np.testing.assert_array_equal(out, [[t == best[0], t == best[1], t not in best] for t in texts], name)

    def test_hashing_spreads_levels_over_buckets(self):
        values = np.array([[text_number(f"t{i}")] for i in range(200)] + [[0.0], [-0.0], [3.0], [np.nan]])
        chain = Chain([{"encode": "hashing", "buckets": 13}], values, [{"name": "w", "kind": "category"}])
        expected = [[not np.isnan(v) and bucket(v, 13) == b for b in range(13)] for v in values[:, 0]]
        np.testing.assert_array_equal(chain.apply(values), expected)
        self.assertGreater(np.sum(expected, axis=0).min(), 3)

    def test_variance_threshold_is_that_of_scikit_learn(self):
        for name, x in self.data():
            if name == "one row":
                continue
            x = np.where(np.nanmin(x, axis=0) == np.nanmax(x, axis=0), np.nanmin(x, axis=0), x)  # scikit-learn lets a constant with gaps pass by a rounding error
            for threshold in (0, 1.5):
                theirs = VarianceThreshold(threshold).fit(x)
                chain = Chain([{"select": "variance", "threshold": threshold}], x)
                seen = chain.evidence()
                np.testing.assert_array_equal([seen[f"c{i}"][1] for i in range(x.shape[1])], theirs.get_support(), name)
                self.near([seen[f"c{i}"][0] for i in range(x.shape[1])], np.nanvar(x, axis=0), name, floor=1e-17)

    def test_correlated_columns_are_dropped_as_by_pandas(self):
        rng = np.random.default_rng(4)
        base = rng.normal(size=(600, 4))
        x = np.column_stack([base, base @ rng.normal(size=(4, 6)) + rng.normal(scale=0.3, size=(600, 6)), np.ones(600)])
        x[rng.random(x.shape) < 0.05] = np.nan
        for name, x in (("random", x), *real_numbers()):
            correlations = pd.DataFrame(x).corr().abs().fillna(0).to_numpy()
            for threshold in (0.3, 0.7, 0.95):
                kept, largest = [], []
                for i in range(x.shape[1]):
                    largest.append(max((correlations[i, j] for j in kept), default=0))
                    if largest[-1] <= threshold:
                        kept.append(i)
                seen = Chain([{"select": "correlation", "threshold": threshold}], x).evidence()
                self.assertEqual([i for i in range(x.shape[1]) if seen[f"c{i}"][1]], kept, name)
                self.near([seen[f"c{i}"][0] for i in range(x.shape[1])], largest, name, floor=1)

    def labelled(self):
        """Columns that know more and less of a label, among them flags and ties."""
        rng = np.random.default_rng(6)
        rows = 1500
        real = np.round(rng.normal(size=rows), 2)
        x = np.column_stack([real * k + rng.normal(size=rows) for k in (0, 0.02, 0.05, 0.1, 0.3, 1)] + [rng.normal(size=rows) > 0, real + rng.normal(size=rows) > 0.5,
                             rng.poisson(1, rows), np.round(real), np.ones(rows)] + [rng.normal(size=rows) for _ in range(8)])
        x[rng.random(x.shape) < 0.08] = np.nan
        label = real.copy()
        label[rng.random(rows) < 0.03] = np.nan
        return x, label, np.where(np.isnan(label), np.nan, (label > 0.4).astype(float))

    def test_relevance_is_that_of_scipy(self):
        x, real, binary = self.labelled()
        for task, y in (("real", real), ("binary", binary)):
            expected = []
            for column in x.T:
                both = ~np.isnan(column) & ~np.isnan(y)
                a, b = column[both], y[both]
                if len(np.unique(a)) == 1:
                    expected.append(1.0)
                elif task == "real":
                    expected.append(stats.kendalltau(a, b, method="asymptotic").pvalue)
                else:
                    expected.append(stats.mannwhitneyu(a[b == 1], a[b == 0], method="asymptotic").pvalue)
            for fdr in (0.01, 0.05, 0.3):
                seen = Chain([{"select": "relevance", "fdr": fdr}], x, label=y, task=task).evidence()
                np.testing.assert_allclose([seen[f"c{i}"][0] for i in range(x.shape[1])], expected, rtol=1e-10)
                keep = stats.false_discovery_control(expected) <= fdr
                np.testing.assert_array_equal([seen[f"c{i}"][1] for i in range(x.shape[1])], keep)
                self.assertTrue(keep.any() and not keep.all())

    def test_permutation_keeps_what_scipy_keeps_of_its_p_values(self):
        """The importances behind them lean on a forest of our own; that they and scikit-learn's, by a forest and a split of its own, find the same columns shows that it is one."""
        rng = np.random.default_rng(12)
        x = rng.normal(size=(1200, 8))
        x[:, 7] = 0.9 * x[:, 6] + 0.4 * x[:, 7]
        signal = x[:, 0] + x[:, 1] * x[:, 2] + 0.7 * x[:, 3] ** 2
        for task, y in (("real", signal + 0.5 * rng.normal(size=1200)), ("binary", (signal > np.median(signal)).astype(float))):
            seen = Chain([{"select": "permutation", "fdr": 0.1, "permutations": 119}], x, label=y, task=task).evidence()
            p_values = np.array([seen[f"c{i}"][0] for i in range(8)])
            np.testing.assert_allclose(p_values * 120, np.round(p_values * 120), rtol=1e-12)
            np.testing.assert_array_equal([seen[f"c{i}"][1] for i in range(8)], stats.false_discovery_control(p_values) <= 0.1)
            forest = RandomForestRegressor(100, min_samples_leaf=5, max_features=1 / 3, random_state=0).fit(x[:800], y[:800])
            theirs = permutation_importance(forest, x[800:], y[800:], n_repeats=5, random_state=0).importances_mean
            self.assertEqual({i for i in range(8) if p_values[i] <= 1 / 120}, set(np.argsort(theirs)[::-1][:4]))

    def bins(self, values, count):
        """Bin numbers: a value each when there are few, else cut at the values that stand at i · n / count."""
        present = np.sort(values[~np.isnan(values)])
        edges = np.unique(present) if len(np.unique(present)) <= count else np.unique([present[b * len(present) // count] for b in range(1, count)])
        return np.where(np.isnan(values), -1, np.searchsorted(edges[edges > present[0]], values, side="right"))

    def test_mutual_information_is_that_of_the_histogram(self):
        x, real, binary = self.labelled()
        for task, y in (("real", real), ("binary", binary)):
            known = ~np.isnan(y)
            expected = [mutual_info_score(self.bins(c, 16)[known], self.bins(y, 16)[known]) for c in x.T]
            seen = Chain([{"select": "mutual_information", "k": 4}], x, label=y, task=task).evidence()
            self.near([seen[f"c{i}"][0] for i in range(x.shape[1])], expected, task, floor=1)
            self.assertEqual({i for i in range(x.shape[1]) if seen[f"c{i}"][1]}, set(np.argsort(expected)[::-1][:4]))
            seen = Chain([{"select": "mutual_information", "threshold": 0.1, "bins": 8}], x, label=y, task=task).evidence()
            expected = np.array([mutual_info_score(self.bins(c, 8)[known], self.bins(y, 8)[known]) for c in x.T])
            np.testing.assert_array_equal([seen[f"c{i}"][1] for i in range(x.shape[1])], expected > 0.1)

    def test_a_whole_chain_on_traffic(self):
        path = DATA / "traffic" / "metro_i94_2012-2017.csv.gz"
        if not path.exists():
            self.skipTest("no traffic data")
        frame = pd.read_csv(path, nrows=20000)
        numbers = frame[["temp", "rain_1h", "clouds_all"]].to_numpy(float)
        numbers[::17, 0] = np.nan
        weather = sorted(frame["weather_main"].unique())
        x = np.column_stack([numbers, frame["weather_main"].map(text_number)])
        columns = [*({"name": n, "kind": "number"} for n in ("temp", "rain_1h", "clouds_all")), {"name": "weather", "kind": "category", "texts": weather}]
        spec = [{"impute": "median", "columns": ["temp"]}, {"outliers": "iqr", "factor": 3, "action": "clip", "columns": ["temp"]}, {"scale": "standard"},
                {"encode": "one_hot"}, {"select": "correlation", "threshold": 0.6}]
        n = 15000
        chain, again = Chain(spec, x[:n], columns), Chain(spec, x[:n], columns)
        self.assertEqual(chain.text, again.text)
        temp = pd.Series(numbers[:, 0]).fillna(np.nanmedian(numbers[:n, 0])).to_numpy()
        q1, q3 = np.quantile(temp[:n], [0.25, 0.75])
        temp = np.clip(temp, q1 - 3 * (q3 - q1), q3 + 3 * (q3 - q1))
        scaled = np.column_stack([temp, numbers[:, 1:]])
        scaled = StandardScaler().fit(scaled[:n]).transform(scaled)
        seen = set(frame["weather_main"][:n])
        whole = pd.DataFrame(np.column_stack([scaled, pd.get_dummies(frame["weather_main"], dtype=float), ~frame["weather_main"].isin(seen)]),
                             columns=["temp", "rain_1h", "clouds_all", *(f"weather={w}" for w in weather), "weather=<other>"])
        whole = whole.drop(columns=[f"weather={w}" for w in weather if w not in seen])
        correlations, kept = whole[:n].corr().abs().fillna(0), []
        for name in whole:
            if not kept or correlations.loc[name, kept].max() <= 0.6:
                kept.append(name)
        out = chain.apply(x)
        self.assertEqual(chain.names, kept)
        self.near(out, whole[kept].to_numpy())
        np.testing.assert_array_equal(out, chain.batch(x))


if __name__ == "__main__":
    unittest.main(verbosity=2)
