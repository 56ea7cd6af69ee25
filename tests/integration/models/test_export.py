"""Exports against onnxruntime and pypmml, explanations against XGBoost's own: every objective, with missing values, unseen categories, and values at and beside every threshold.

Tolerances, relative to the largest score of a model: ONNX 1e-6 of trees (float32 sums in another order) 1e-11 of linear models, 1e-9 of support vectors (large
terms that cancel); PMML 1e-6 of trees and 1e-9.
Contributions 1e-4 relative to XGBoost, which works in float32, and 1e-9 for adding up to the margin.
Reads WEIR_BUILD (default build)."""

import hashlib
import json
import os
import shutil
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
LINEAR = ["logistic", "linear", "ridge", "lasso", "elastic_net"]
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

    @classmethod
    def several(cls, kind, members, weights=(), meta=None):
        self = cls.__new__(cls)
        self.folder = tempfile.TemporaryDirectory()
        self.columns, self.task = members[0].columns, members[0].task
        parts = [m.path("artifact") for m in [*members, *([meta] if meta else [])]]
        self.tool("export", "combine", kind, json.dumps(list(weights)), self.path("artifact"), *parts)
        return self

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


def json_tree_scores(model, x):
    """Trees as the JSON describes them."""
    outputs = 1 + max(t["output"] for t in model["trees"])
    margin = np.full((len(x), outputs), float(model["base"]))
    narrow = x.clip(-3.4028234663852886e38, 3.4028234663852886e38).astype(np.float32)
    for tree in model["trees"]:
        for r, row in enumerate(narrow):
            i = 0
            while tree["left"][i]:
                v = row[tree["column"][i]]
                left = tree["missing_left"][i] if np.isnan(v) else v < np.float32(tree["value"][i])
                i = tree["left" if left else "right"][i]
            margin[r, tree["output"]] += tree["value"][i]
    if model["link"] == "logistic":
        return 1 / (1 + np.exp(-margin))
    if model["link"] == "softmax":
        return np.exp(margin) / np.exp(margin).sum(axis=1, keepdims=True)
    if model["link"] == "shares":
        margin = margin.clip(0, 1)
        return margin if outputs == 1 else np.where(margin.sum(axis=1, keepdims=True) == 0, 1 / outputs, margin / margin.sum(axis=1, keepdims=True))
    return margin


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

        cls.add_several(test)

    @classmethod
    def add_several(cls, test):
        def members(task, *algorithms):
            return [next(c.fitted for c in cls.cases if (c.algorithm, c.task, c.chain) == (a, task, chain)) for a, chain in algorithms]

        def add(kind, fitted):
            cls.addClassCleanup(fitted.folder.cleanup)
            cls.cases.append(Case(kind, fitted.task, {}, "members'", fitted, test[6:], fitted.predict(test[6:])))

        classes = ("xgboost", "one_hot"), ("logistic", "ordinal"), ("random_forest", "ordinal")
        values = ("xgboost", "one_hot"), ("ridge", "one_hot"), ("svr", "ordinal"), ("random_forest", "ordinal")
        for task in ("binary", "multiclass", "regression"):
            parts = members(task, *(values if task == "regression" else classes))
            add("average", Fitted.several("average", parts, [1 / len(parts)] * len(parts)))
            add("weighted", Fitted.several("weighted", parts, [0.7, 0.3, 0, 0][: len(parts)]))
            scores = np.hstack([p.predict(cls.train) for p in parts])
            names = [{"name": f"m{i}", "kind": "number"} for i in range(scores.shape[1])]
            for meta in ("ridge",) if task == "regression" else ("logistic", "xgboost"):
                judge = Fitted(meta, task, {}, [{"scale": "minmax"}] if meta == "xgboost" else None, names, scores, make_labels(cls.train, task))
                cls.addClassCleanup(judge.folder.cleanup)
                add("stacking", Fitted.several("stacking", parts, meta=judge))
        add("targets", Fitted.several("targets", members("regression", *values[:2])))

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
            self.near(found, case.scores, 1e-11 if case.algorithm in LINEAR else 1e-9 if case.algorithm == "svr" else 1e-6)
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

    @unittest.skipUnless(shutil.which("java") or os.environ.get("JAVA_HOME"), "pypmml needs Java")
    def test_pmml_scores_are_the_models(self):
        def check(case):
            path = case.fitted.export("pmml")
            xml.etree.ElementTree.parse(path)
            found = pmml_scores(path, [c["name"] for c in case.fitted.columns], case.x, case.task)
            self.near(found, case.scores, 1e-9 if case.algorithm in (*LINEAR, "svr") else 1e-6)

        self.each(check, lambda case: case.algorithm != "targets")


    def test_an_exponential_link(self):
        """Gamma regression, whatever trains it: the objective of a body is exchanged, and the artifact sealed again."""
        x = self.train[:, : len(NUMBERS)]
        fitted = Fitted("xgboost", "regression", TREES["xgboost"], None, COLUMNS[: len(NUMBERS)], x, make_labels(self.train, "regression") / 100)
        self.addCleanup(fitted.folder.cleanup)
        old = fitted.path("artifact").read_bytes()
        at = 16 + int.from_bytes(old[12:16], "little")
        name, other = b"reg:squarederror", b"reg:gamma"
        body = old[at + 8 : -32].replace(len(name).to_bytes(8, "big") + name, len(other).to_bytes(8, "big") + other)
        new = old[:at] + len(body).to_bytes(8, "little") + body
        fitted.path("artifact").write_bytes(new + hashlib.sha256(new).digest())
        scores = fitted.predict(x)
        self.assertGreater(scores.min(), 0)
        self.near(onnx_scores(fitted.export("onnx"), x)[0], scores, 1e-6)
        self.near(np.exp(fitted.explain(x).sum(axis=2)), scores, 1e-6)
        if shutil.which("java") or os.environ.get("JAVA_HOME"):
            self.near(pmml_scores(fitted.export("pmml"), NUMBERS, x, "regression"), scores, 1e-6)
        averaged = Fitted.several("average", [fitted, fitted], [0.5, 0.5])
        self.addCleanup(averaged.folder.cleanup)
        with self.assertRaisesRegex(RuntimeError, "do not add up"):
            averaged.explain(x[:1])

    def test_formats_say_what_they_cannot_hold(self):
        hashed = Fitted("ridge", "regression", {}, [{"encode": "hashing", "buckets": 4}], COLUMNS, self.train, make_labels(self.train, "regression"))
        self.addCleanup(hashed.folder.cleanup)
        targets = next(c.fitted for c in self.cases if c.algorithm == "targets")
        for fitted, format, said in [(hashed, "onnx", "hashed"), (hashed, "pmml", "hashed"), (targets, "pmml", "2 targets")]:
            with self.assertRaisesRegex(RuntimeError, f"{format}: .*{said}"):
                fitted.export(format)

    def test_json_and_native_say_everything(self):
        def check(case):
            found, native = json.loads(case.fitted.export("json").read_text()), case.fitted.export("native").read_bytes()
            self.assertEqual(native, case.fitted.path("artifact").read_bytes())
            self.assertEqual((found["header"]["task"], found["header"]["columns"]), (case.task, [c["name"] for c in case.fitted.columns]))
            self.assertEqual("chain" in found["header"], case.chain in ("one_hot", "ordinal"))
            if case.algorithm in TREES and case.chain == "plain":
                self.near(json_tree_scores(found["model"], case.x), case.scores, 1e-6)

        self.each(check)

    def test_contributions_are_xgboosts(self):
        def check(case):
            # The body of the artifact is XGBoost's own: between the header with its length, and the checksum.
            bytes_ = case.fitted.path("artifact").read_bytes()
            body = bytes_[16 + int.from_bytes(bytes_[12:16], "little") + 8 : -32]
            booster = xgboost.Booster(model_file=bytearray(body))
            x = case.x.clip(-3.4028234663852886e38, 3.4028234663852886e38).astype(np.float32)
            matrix = xgboost.DMatrix(x, missing=np.nan)
            expected = booster.predict(matrix, pred_contribs=True, strict_shape=True, validate_features=False)
            found = case.fitted.explain(case.x)
            self.near(found, expected, 1e-4)
            margin = booster.predict(matrix, output_margin=True, strict_shape=True, validate_features=False)
            self.near(found.sum(axis=2), margin, 1e-5)

        self.each(check, lambda case: case.algorithm in TREES and case.chain == "plain")

    def test_contributions_sum_to_the_margin(self):
        def check(case):
            found = case.fitted.explain(case.x)
            sums, scores = found.sum(axis=2), case.scores
            if case.task == "multiclass" and case.algorithm == "random_forest":
                sums = sums.clip(0, 1) / sums.clip(0, 1).sum(axis=1, keepdims=True)
            elif case.task == "multiclass":
                sums = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
            elif case.task == "binary" and case.algorithm != "random_forest":
                sums = 1 / (1 + np.exp(-sums))
            self.near(sums, scores, 1e-9 if case.algorithm in LINEAR else 1e-6)
            importance = case.fitted.importance()
            self.assertAlmostEqual(importance.sum(), 1, 12)
            self.assertGreater(importance.min(), -1e-15)
            # What a model never splits on, or a chain drops, explains nothing.
            self.assertTrue((found[:, :, :-1][:, :, importance == 0] == 0).all())

        def exact(case):
            if case.algorithm == "svr":
                return case.params["kernel"] == "linear"
            return case.algorithm not in ("average", "weighted", "stacking", "targets")

        self.each(check, exact)

    def test_what_has_no_exact_contributions_is_refused(self):
        def check(case):
            with self.assertRaisesRegex(RuntimeError, "not known exactly|do not add up"):
                case.fitted.explain(case.x[:1])

        self.each(check, lambda case: case.algorithm == "svr" and case.params["kernel"] != "linear")
        self.each(check, lambda case: case.algorithm in ("average", "weighted", "stacking") and case.task != "regression")

    def test_members_contributions_add_up(self):
        forest, ridge = (next(c.fitted for c in self.cases if (c.algorithm, c.task, c.chain) == (a, "regression", "one_hot")) for a in ("random_forest", "ridge"))
        parts, x = [forest, ridge], self.cases[-1].x
        scores = np.hstack([p.predict(self.train) for p in parts])
        judge = Fitted("linear", "regression", {}, None, [{"name": n, "kind": "number"} for n in ("m0", "m1")], scores, make_labels(self.train, "regression"))
        for kind, weights, meta in [("weighted", [0.25, 0.75], None), ("stacking", [], judge), ("targets", [], None)]:
            with self.subTest(kind):
                fitted = Fitted.several(kind, parts, weights, meta)
                found = fitted.explain(x)
                self.near(found.sum(axis=2), fitted.predict(x), 1e-6)
                if kind == "weighted":
                    self.near(found, 0.25 * forest.explain(x) + 0.75 * ridge.explain(x), 1e-12)
                if kind == "targets":
                    self.near(found, np.hstack([forest.explain(x), ridge.explain(x)]), 1e-12)
                self.assertAlmostEqual(fitted.importance().sum(), 1, 12)
                fitted.folder.cleanup()
        judge.folder.cleanup()


if __name__ == "__main__":
    unittest.main(verbosity=2)
