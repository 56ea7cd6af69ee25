"""Exports against onnxruntime and pypmml, explanations against XGBoost's own: every objective, with missing values, unseen categories, and values at and beside every threshold.

Tolerances, relative to the largest score of a model: ONNX 1e-6 of trees (float32 sums in another order) 1e-11 of linear models, 1e-9 of support vectors (large
terms that cancel); PMML 1e-6 of trees and 1e-9.
Contributions 1e-4 relative to XGBoost, which works in float32, and 1e-9 for adding up to the margin.
Reads WEIR_BUILD (default build)."""

import json
import os
import subprocess
import tempfile
import typing
import unittest
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pypmml
import xgboost

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build"))
NUMBERS = ["amount", "rate & <share>", "gaps", "beyond"]
COLUMNS = [{"name": n, "kind": "number"} for n in NUMBERS] + [{"name": "weather", "kind": "category"}, {"name": "grade", "kind": "category"}]
ROWS = 600

ONE_HOT = [{"impute": "median", "indicator": True}, {"outliers": "iqr", "action": "clip"}, {"scale": "standard", "columns": NUMBERS},
           {"encode": "one_hot", "columns": ["weather"], "unseen": "other", "missing": "own"},
           {"encode": "one_hot", "columns": ["grade"], "unseen": "other", "missing": "other"}]
ORDINAL = [{"outliers": "zscore", "action": "mark", "columns": ["amount"]}, {"outliers": "iqr", "action": "null", "columns": ["beyond"]}, {"impute": "most_frequent", "columns": ["grade"]},
           {"scale": "minmax", "columns": ["amount", "gaps"], "min": -1, "max": 2, "clip": True}, {"scale": "robust", "columns": ["beyond"]},
           {"encode": "ordinal", "columns": ["weather"], "unseen": "other", "missing": "own"}, {"encode": "ordinal", "columns": ["grade"], "unseen": "none", "missing": "none"},
           {"select": "variance", "threshold": 0}]
CHAINS = {"plain": None, "one_hot": ONE_HOT, "ordinal": ORDINAL}
TREES = {"xgboost": {"rounds": 12, "max_depth": 5, "max_bin": 64}, "random_forest": {"trees": 8, "max_bin": 64}}
MODELS = [(a, t, p) for a, p in TREES.items() for t in ("binary", "multiclass", "regression")] + [
    ("logistic", "binary", {}), ("logistic", "multiclass", {}), ("linear", "regression", {}), ("linear", "regression", {"intercept": False}), ("ridge", "regression", {}),
    ("lasso", "regression", {}), ("elastic_net", "regression", {})] + [("svr", "regression", {"kernel": k, "degree": 2} if k == "poly" else {"kernel": k})
                                                                     for k in ("linear", "poly", "rbf", "sigmoid")]


def text_number(text):
    """weir_text_number: FNV-1a of 64 bits, folded to 53."""
    h = 14695981039346656037
    for byte in text.encode():
        h = (h ^ byte) * 1099511628211 % 2**64
    return float((h >> 53 ^ h) & (2**53 - 1))


def make_rows(seed, categories):
    r = np.random.default_rng(seed)
    x = np.column_stack([r.uniform(0, 100, ROWS), r.normal(size=ROWS), r.uniform(size=ROWS), r.standard_t(3, ROWS) * 3,
                         r.choice([text_number(t) for t in categories], ROWS), r.integers(0, 4, ROWS).astype(float)])
    x[r.random(ROWS) < 0.2, 2] = np.nan
    x[r.random(ROWS) < 0.1, 3] = np.nan
    x[r.random(ROWS) < 0.1, 4] = np.nan
    x[r.random(ROWS) < 0.1, 5] = np.nan
    return x


def make_labels(x, task):
    r = np.random.default_rng(3)
    eta = 0.04 * (x[:, 0] - 50) + x[:, 1] + np.where(np.isnan(x[:, 2]), 1, x[:, 2]) + (x[:, 4] == text_number("Rain")) + 0.3 * r.normal(size=len(x))
    return {"binary": (eta > 0.7).astype(float), "multiclass": np.digitize(eta, [0, 1.5]).astype(float), "regression": 100 + 10 * eta}[task]


class Fitted:
    """A model that C fitted, in a folder of its own."""

    def __init__(self, algorithm, task, params, chain, columns, x, y):
        self.folder = tempfile.TemporaryDirectory()
        self.columns, self.task = columns, task
        spec = {"algorithm": algorithm, "params": params, "preprocessing": chain, "task": task, "classes": 3 if task == "multiclass" else 0, "columns": columns}
        self.path("spec").write_text(json.dumps(spec))
        self.tool("export", "fit", self.path("spec"), self.put("values", x), self.put("labels", y), self.path("artifact"))

    def path(self, name):
        return Path(self.folder.name) / name

    def put(self, name, values):
        np.ascontiguousarray(values, dtype="<f8").tofile(self.path(name))
        return self.path(name)

    @staticmethod
    def tool(name, *args):
        done = subprocess.run([BUILD / f"weir_tool_{name}", *map(str, args)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())

    def predict(self, x):
        self.tool("models", "predict", self.path("artifact"), self.put("x", x), self.path("scores"))
        return np.fromfile(self.path("scores"), dtype="<f8").reshape(len(x), -1)

    def export(self, format):
        self.tool("export", "export", self.path("artifact"), format, self.path(format))
        return self.path(format)

    def explain(self, x):
        self.tool("export", "explain", self.path("artifact"), self.put("x", x), self.path("shap"))
        return np.fromfile(self.path("shap"), dtype="<f8").reshape(len(x), -1, x.shape[1] + 1)

    def importance(self):
        self.tool("export", "importance", self.path("artifact"), self.path("importance"))
        return np.fromfile(self.path("importance"), dtype="<f8")


def onnx_scores(path, x):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"input": x})))
    return found["output"], found.get("label")


def pmml_scores(path, names, x, task):
    """Rows go in as JSON: a data frame would be rounded to ten digits on the way."""
    model = pypmml.Model.load(str(path))
    records = [{n: float(v) for n, v in zip(names, row) if not np.isnan(v)} for row in x]
    found = json.loads(model.predict(json.dumps(records)))
    wanted = {"binary": ["probability(1)"], "multiclass": [f"probability({k})" for k in range(3)], "regression": ["predicted"]}[task]
    return np.array([[r[w] for w in wanted] for r in found], dtype=float)


def edges(fitted, width):
    """Rows at, just below and just above thresholds: in float64, in float32, and half way between two of float32, where rounding decides."""
    trees = json.loads(fitted.export("json").read_text())["model"]["trees"]
    rows = []
    for tree in trees:
        for left, column, value in zip(tree["left"], tree["column"], tree["value"]):
            if not left or len(rows) > 1500:
                continue
            t = np.float32(value)
            below, above = np.nextafter(t, np.float32(-np.inf)), np.nextafter(t, np.float32(np.inf))
            middle = (float(t) + float(below)) / 2
            for v in (float(t), float(below), float(above), middle, np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf), np.nextafter(float(t), -np.inf)):
                row = np.full(width, np.nan)
                row[column] = v
                rows.append(row)
    return np.array(rows)


class Case(typing.NamedTuple):
    algorithm: str
    task: str
    params: dict
    chain: str
    fitted: Fitted
    x: np.ndarray
    scores: np.ndarray


class Exports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.train = make_rows(1, ["Rain", "Clear", "Snow & <ice>"])
        test = make_rows(2, ["Rain", "Clear", "Snow & <ice>", "Fog"])[:200]
        test[:6, 0] = [1e300, -1e300, 3.4028235677973366e38, 5e-324, 0.0, -0.0]
        test[6] = np.nan
        test[10:20, 5] = 7
        cls.cases = []
        for algorithm, task, params in MODELS:
            for name, chain in CHAINS.items():
                width = len(COLUMNS) if chain else len(NUMBERS)
                fitted = Fitted(algorithm, task, params, chain, COLUMNS[:width], cls.train[:, :width], make_labels(cls.train, task))
                cls.addClassCleanup(fitted.folder.cleanup)
                x = test[:, :width]
                if algorithm in TREES and not chain:
                    x = np.vstack([x, edges(fitted, width)])
                elif algorithm not in TREES:
                    x = x[6:]  # not those whose scores leave the finite numbers
                cls.cases.append(Case(algorithm, task, params, name, fitted, x, fitted.predict(x)))

    def each(self, check, only=lambda case: True):
        for case in filter(only, self.cases):
            with self.subTest(algorithm=case.algorithm, task=case.task, params=case.params, chain=case.chain):
                check(case)

    def near(self, found, expected, tolerance):
        self.assertEqual(found.shape, expected.shape)
        self.assertLess(np.abs(found - expected).max(), tolerance * np.abs(expected).max())

    def test_onnx_scores_are_the_models(self):
        def check(case):
            found, label = onnx_scores(case.fitted.export("onnx"), case.x)
            self.near(found, case.scores, 1e-6 if case.algorithm in TREES else 1e-9 if case.algorithm == "svr" else 1e-11)
            best = np.sort(case.scores)
            if case.task == "multiclass":
                sure = best[:, -1] - best[:, -2] > 1e-6
                np.testing.assert_array_equal(label[sure], case.scores.argmax(1)[sure])
            elif case.task == "binary":
                sure = np.abs(case.scores[:, 0] - 0.5) > 1e-6
                np.testing.assert_array_equal(label[sure], case.scores[sure, 0] > 0.5)
            else:
                self.assertIsNone(label)

        self.each(check)

    def test_pmml_scores_are_the_models(self):
        def check(case):
            path = case.fitted.export("pmml")
            xml.etree.ElementTree.parse(path)
            found = pmml_scores(path, [c["name"] for c in case.fitted.columns], case.x, case.task)
            self.near(found, case.scores, 1e-6 if case.algorithm in TREES else 1e-9)

        self.each(check)


if __name__ == "__main__":
    unittest.main(verbosity=2)
