"""Models that XGBoost's and LightGBM's own packages trained and saved become Weir's: the same bits for every objective, and a reason for what is not taken.

Reads WEIR_BUILD (default build)."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import lightgbm
import numpy as np
import xgboost

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build"))
NAMES = ["amount", "rate", "gaps"]
OBJECTIVES = ["binary:logistic", "multi:softprob", "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "count:poisson", "reg:tweedie", "reg:gamma"]


def rows(seed, count=800):
    r = np.random.default_rng(seed)
    x = np.column_stack([r.uniform(0, 100, count), r.normal(size=count), r.uniform(size=count)]).astype(np.float32)
    x[r.random(count) < 0.2, 2] = np.nan
    return x


def labels(x, objective):
    eta = 0.04 * (x[:, 0] - 50) + x[:, 1] + np.nan_to_num(x[:, 2], nan=1)
    if objective.startswith("binary"):
        return eta > 0.5
    return np.digitize(eta, [0, 1.5]) if objective.startswith("multi") else eta - eta.min() + 0.1


class Import(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def train(self, objective, names=NAMES, **params):
        x = rows(1)
        params = {"objective": objective, "max_depth": 5, "eta": 0.3, "seed": 1, **({"num_class": 3, "base_score": 0.5} if objective.startswith("multi") else {}), **params}
        return xgboost.train(params, xgboost.DMatrix(x, labels(x, objective), feature_names=names), 25)

    def tool(self, name, *args):
        return subprocess.run([BUILD / f"weir_tool_{name}", *map(str, args)], capture_output=True, text=True)

    def import_model(self, content, columns=None):
        (self.folder / "model").write_bytes(content)
        return self.tool("export", "import", self.folder / "model", json.dumps(columns), self.folder / "artifact")

    def predict(self, x):
        x.astype("<f8").tofile(self.folder / "x")
        done = self.tool("models", "predict", self.folder / "artifact", self.folder / "x", self.folder / "scores")
        self.assertEqual(done.returncode, 0, done.stderr)
        return np.fromfile(self.folder / "scores", dtype="<f8").reshape(len(x), -1)

    def check_bits(self, booster, format, columns=None):
        done = self.import_model(bytes(booster.save_raw(format)), columns)
        self.assertEqual(done.returncode, 0, done.stderr)
        x = rows(2)
        expected = booster.inplace_predict(x).astype(float).reshape(len(x), -1)
        if expected.shape[1] > 1:  # float32 leaves a sum a little off 1; Weir's probabilities sum to 1
            expected = expected / np.array([sum(row) for row in expected])[:, None]
        np.testing.assert_array_equal(self.predict(x), expected)

    def test_every_objective_in_both_forms_gives_the_same_bits(self):
        for objective in OBJECTIVES:
            for format in ("json", "ubj"):
                with self.subTest(objective=objective, format=format):
                    self.check_bits(self.train(objective), format)

    def test_forests_and_lossguide_trees_too(self):
        self.check_bits(self.train("binary:logistic", num_parallel_tree=5, subsample=0.6), "ubj")
        self.check_bits(self.train("reg:squarederror", grow_policy="lossguide", max_leaves=40, max_depth=0), "json")

    def test_a_base_score_for_each_class_is_what_sums_begin_with(self):
        booster = self.train("multi:softprob", base_score=None)
        self.assertIn(",", json.loads(booster.save_config())["learner"]["learner_model_param"]["base_score"])
        for format in ("json", "ubj"):
            self.check_bits(booster, format)
        self.assertIn("base_score is [1,x", self.import_model(bytes(booster.save_raw("json")).replace(b'"base_score":"[', b'"base_score":"[1,x')).stderr)

    def test_columns_may_be_named_by_the_caller_and_must_be_by_somebody(self):
        unnamed = self.train("binary:logistic", names=None)
        self.check_bits(unnamed, "json", NAMES)
        self.assertIn("does not name its 3 columns", self.import_model(bytes(unnamed.save_raw("json"))).stderr)
        self.assertIn("2 columns are named, the model has 3", self.import_model(bytes(unnamed.save_raw("json")), NAMES[:2]).stderr)

    def test_what_is_not_taken_has_a_reason(self):
        categorical = xgboost.DMatrix(np.column_stack([rows(1)[:, :2], np.arange(800) % 5]), labels(rows(1), "binary:logistic"), feature_names=NAMES, feature_types=["q", "q", "c"],
                                      enable_categorical=True)
        cases = {"gbtree": self.train("binary:logistic", booster="dart"), "gblinear": self.train("binary:logistic", booster="gblinear"), "objective": self.train("binary:logitraw"),
                 "categories": xgboost.train({"objective": "binary:logistic", "max_cat_to_onehot": 1}, categorical, 10)}
        for part, booster in cases.items():
            with self.subTest(part=part):
                done = self.import_model(bytes(booster.save_raw("ubj")))
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(part if part != "gblinear" else "gbtree", done.stderr)

    def test_damaged_files_are_refused(self):
        whole = bytes(self.train("binary:logistic").save_raw("ubj"))
        for content in (b"", b"{", b"{}", os.urandom(300), whole[:len(whole) // 2], whole[:-40], b'{"learner": {"base_score": "'):
            done = self.import_model(content)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertTrue(done.stderr.strip())


LIGHTGBM = {"binary": {}, "cross_entropy": {}, "multiclass": {"num_class": 3}, "regression": {}, "regression_l1": {}, "huber": {}, "fair": {}, "quantile": {"alpha": 0.3}, "mape": {}, "poisson": {},
            "gamma": {}, "tweedie": {}}


class LightGBM(unittest.TestCase):
    """Rows hold zeros, numbers next to zero, categories beyond the known ones and missing values: LightGBM has rules for each."""

    setUp, tool, import_model, predict = Import.setUp, Import.tool, Import.import_model, Import.predict

    @staticmethod
    def rows(seed, count=1200):
        r = np.random.default_rng(seed)
        x = np.column_stack([r.uniform(0, 100, count), r.normal(size=count), r.uniform(size=count), r.integers(0, 70, count), r.choice([0, 0, 1, -1], count) * r.normal(size=count)])
        x[r.random(count) < 0.2, 2] = np.nan
        x[r.random(count) < 0.1, 3] = np.nan
        if seed != 1:
            x[:20, 3] = [-1, -0.5, 0.5, 1e10, 3e9, -3e9, 69, 70, 71, 1000, 31, 32, 33, 63, 64, 65, 0, -0.0, 2.9, 1e300]
            x[20:30, 4] = [0.0, -0.0, 1e-35, -1e-35, 1.1e-35, -1.1e-35, 5e-324, 1e-30, np.nan, 1e300]
            x[30:35] = np.nan
        return x

    def train(self, objective, rounds=25, categories=(3,), **params):
        x = self.rows(1)
        eta = 0.04 * (x[:, 0] - 50) + x[:, 1] + np.nan_to_num(x[:, 2], nan=1) + np.sin(np.nan_to_num(x[:, 3], nan=3)) + x[:, 4]
        y = (eta > 0.5) if objective in ("binary", "cross_entropy") else np.digitize(eta, [0, 1.5]) if objective == "multiclass" else eta - eta.min() + 0.1
        data = lightgbm.Dataset(x, y.astype(float), feature_name=["a", "b", "c", "d", "e"], categorical_feature=list(categories) or "auto",
                                params={"zero_as_missing": params.pop("zero_as_missing", False), "use_missing": params.pop("use_missing", True)})
        return lightgbm.train({"objective": objective, "num_leaves": 31, "learning_rate": 0.2, "verbose": -1, "num_threads": 1, "seed": 1, "max_cat_to_onehot": 2, "min_data_per_group": 5,
                               "cat_smooth": 1, **LIGHTGBM.get(objective, {}), **params}, data, rounds)

    def edges(self, booster):
        """Rows at, next to and around every threshold."""
        rows = []
        for tree in booster.dump_model()["tree_info"]:
            nodes = [tree["tree_structure"]]
            while nodes:
                node = nodes.pop()
                if "threshold" not in node:
                    continue
                nodes += [node["left_child"], node["right_child"]]
                if node["decision_type"] == "<=":
                    for v in (node["threshold"], np.nextafter(node["threshold"], np.inf), np.nextafter(node["threshold"], -np.inf)):
                        rows.append(np.full(5, np.nan))
                        rows[-1][node["split_feature"]] = v
        return np.array(rows[:4000]).reshape(-1, 5)

    def check_bits(self, booster):
        done = self.import_model(booster.model_to_string().encode())
        self.assertEqual(done.returncode, 0, done.stderr)
        x = np.vstack([self.rows(2), self.edges(booster)])
        np.testing.assert_array_equal(self.predict(x), booster.predict(x, num_threads=1).reshape(len(x), -1))

    def test_every_objective_gives_the_same_bits(self):
        for objective in LIGHTGBM:
            with self.subTest(objective=objective):
                self.check_bits(self.train(objective))

    def test_every_way_of_missing_values_forests_and_stumps(self):
        self.check_bits(self.train("binary", zero_as_missing=True))
        self.check_bits(self.train("binary", use_missing=False))
        self.check_bits(self.train("regression", boosting="rf", bagging_freq=1, bagging_fraction=0.6))
        self.check_bits(self.train("binary", boosting="dart", sigmoid=0.7))
        self.check_bits(self.train("regression", rounds=3, min_gain_to_split=1e9))
        self.check_bits(self.train("regression", num_leaves=2))
        self.check_bits(self.train("multiclass", num_leaves=200, min_data_in_leaf=1, max_bin=1000))

    def test_what_is_not_taken_has_a_reason(self):
        text = self.train("binary").model_to_string()
        cases = {"linear": self.train("regression", linear_tree=True, categories=()).model_to_string(), "objective": self.train("multiclassova", num_class=3).model_to_string(),
                 "sqrt": self.train("regression", reg_sqrt=True).model_to_string(), "version": text.replace("version=v4", "version=v9"), "end of trees": text.split("end of trees")[0], "tree": text[:len(text) // 2],
                 "child": text.replace("left_child=", "left_child=0 ", 1), "threshold": text.replace("threshold=", "threshold=nan ", 1), "num_leaves": text.replace("num_leaves=31", "num_leaves=many", 1),
                 "set": text.replace("num_cat=", "num_cat=0\nwas=", 1), "names": text.replace("feature_names=a ", "feature_names=")}
        for part, content in cases.items():
            with self.subTest(part=part):
                done = self.import_model(content.encode())
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(part, done.stderr)


if __name__ == "__main__":
    unittest.main()
