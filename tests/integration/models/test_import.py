"""Models that XGBoost's and LightGBM's own packages trained and saved become Weir's: the same bits for every objective, and a reason for what is not taken.

Reads WEIR_BUILD (default build)."""

import ctypes
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import lightgbm
import numpy as np
import pandas
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
        cases = {"gbtree": self.train("binary:logistic", booster="dart"), "gblinear": self.train("binary:logistic", booster="gblinear"), "objective": self.train("binary:logitraw")}
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


class Categories(unittest.TestCase):
    """Models of XGBoost that split by sets of categories: by one at a time, and by parts of all."""

    setUp, tool, import_model, predict = Import.setUp, Import.tool, Import.import_model, Import.predict
    NAMES = ["amount", "shop", "kind", "gaps"]
    SHOPS = 70

    def rows(self, seed, count=1500):
        r = np.random.default_rng(seed)
        x = np.column_stack([r.uniform(0, 100, count), r.integers(0, self.SHOPS, count), r.integers(0, 4, count), r.integers(0, 9, count)]).astype(np.float32)
        for column in (0, 2, 3):
            x[r.random(count) < 0.15, column] = np.nan
        return x

    def labels(self, x, objective):
        eta = np.sin(x[:, 1]) + 0.02 * (np.nan_to_num(x[:, 0], nan=70) - 50) + (np.nan_to_num(x[:, 2], nan=1) == 2) + np.cos(np.nan_to_num(x[:, 3], nan=20))
        return eta > 0.5 if objective.startswith("binary") else np.digitize(eta, [0, 1.2]) if objective.startswith("multi") else eta

    def train(self, objective="reg:squarederror", onehot=1, rounds=25, types=("q", "c", "c", "c"), **params):
        x = self.rows(1)
        if types[0] == "c":
            x[:, 0] = np.floor(x[:, 0])
        data = xgboost.DMatrix(x, self.labels(x, objective), feature_names=self.NAMES, feature_types=list(types), enable_categorical=True)
        params = {"objective": objective, "max_depth": 5, "eta": 0.3, "seed": 1, "max_cat_to_onehot": onehot, **({"num_class": 3} if objective.startswith("multi") else {}), **params}
        return xgboost.train(params, data, rounds)

    def trees(self, booster):
        return json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]

    def odd_rows(self, booster):
        """Every category in every column, then what is none: each with other columns at random; and every threshold of the amounts."""
        r = np.random.default_rng(5)
        odd = [*range(self.SHOPS + 70), 0.5, 1.5, 2.999, 69.5, -0.0, -0.25, -0.999, -1, -1e9, 1e3, 65536, 2.0**24 - 1, 2.0**24, 2.0**24 + 2, 2.0**31, 2.0**32, 2.0**32 + 512, 1e10, 3e38, -3e38, 1e-40, np.nan]
        x = []
        for column in range(4):
            for value in odd:
                for row in self.rows(int(r.integers(1000)), 2):
                    row[column] = value
                    x.append(row)
        for tree in self.trees(booster):
            for column, value, kind in zip(tree["split_indices"], tree["split_conditions"], tree["split_type"]):
                if kind == 0 and column == 0:
                    for near in (np.float32(value), np.nextafter(np.float32(value), np.float32(np.inf)), np.nextafter(np.float32(value), np.float32(-np.inf))):
                        row = self.rows(int(r.integers(1000)), 1)[0]
                        row[0] = near
                        x.append(row)
        return np.array(x[:6000], dtype=np.float32)

    def check_bits(self, booster, formats=("json", "ubj")):
        x = np.vstack([self.rows(1), self.rows(2), self.odd_rows(booster)])
        expected = booster.inplace_predict(x).astype(float).reshape(len(x), -1)
        if expected.shape[1] > 1:  # as in Import
            expected = expected / np.array([sum(row) for row in expected])[:, None]
        for format in formats:
            done = self.import_model(bytes(booster.save_raw(format)))
            self.assertEqual(done.returncode, 0, done.stderr)
            np.testing.assert_array_equal(self.predict(x), expected)
            np.testing.assert_array_equal(np.vstack([self.predict(x[i:i + 1]) for i in range(0, len(x), 997)]), expected[::997])

    def test_one_category_or_sets_of_them_give_the_same_bits(self):
        for objective in ("binary:logistic", "multi:softprob", "reg:squarederror"):
            for onehot in (1, 100):
                with self.subTest(objective=objective, onehot=onehot):
                    booster = self.train(objective, onehot)
                    sizes = [size for tree in self.trees(booster) for size in tree["categories_sizes"]]
                    self.assertGreater(len(sizes), 50)
                    (self.assertGreater if onehot == 1 else self.assertEqual)(max(sizes), 1)
                    self.check_bits(booster)

    def test_trees_of_every_shape_and_columns_split_in_both_ways(self):
        self.check_bits(self.train(num_parallel_tree=4, subsample=0.6), ("ubj",))
        self.check_bits(self.train(grow_policy="lossguide", max_leaves=60, max_depth=0), ("json",))
        self.check_bits(self.train(max_depth=1, types=("q", "c", "q", "q")), ("ubj",))
        self.check_bits(self.train(max_depth=12, min_child_weight=0, gamma=0.1, tree_method="approx"), ("ubj",))
        self.check_bits(self.train(types=("c", "c", "c", "c")), ("ubj",))

    def test_a_file_of_its_own_scores_the_same_without_weir(self):
        booster = self.train("binary:logistic")
        self.assertEqual(self.import_model(bytes(booster.save_raw("ubj"))).returncode, 0)
        done = self.tool("export", "export", self.folder / "artifact", "score", self.folder / "file.score")
        self.assertEqual(done.returncode, 0, done.stderr)
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-ffp-contract=off", f"-I{ROOT}", "-o", self.folder / "lib.so", *sorted((ROOT / "models/scorer").glob("*.c")), "-lm"], check=True)
        library = ctypes.CDLL(str(self.folder / "lib.so"))
        model, message = ctypes.c_void_p(), ctypes.create_string_buffer(512)
        self.assertEqual(library.weirscore_open(str(self.folder / "file.score").encode(), ctypes.byref(model), message, ctypes.c_size_t(512)), 0, message.value)
        x = self.odd_rows(booster).astype(np.float64)
        scores = np.empty(len(x))
        library.weirscore_score(model, x.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(x)), scores.ctypes.data_as(ctypes.c_void_p))
        library.weirscore_close(model)
        np.testing.assert_array_equal(scores, booster.inplace_predict(x.astype(np.float32)).astype(float))

    def test_explanations_are_those_of_the_library(self):
        booster = self.train(onehot=3)
        self.assertEqual(self.import_model(bytes(booster.save_raw("ubj"))).returncode, 0)
        x = self.rows(3, 60)
        x.astype("<f8").tofile(self.folder / "x")
        done = self.tool("export", "explain", self.folder / "artifact", self.folder / "x", self.folder / "values")
        self.assertEqual(done.returncode, 0, done.stderr)
        data = xgboost.DMatrix(x, feature_names=self.NAMES, feature_types=["q", "c", "c", "c"], enable_categorical=True)
        np.testing.assert_allclose(np.fromfile(self.folder / "values").reshape(len(x), -1), booster.predict(data, pred_contribs=True), atol=2e-5)

    def test_formats_without_sets_say_so(self):
        self.assertEqual(self.import_model(bytes(self.train().save_raw("ubj"))).returncode, 0)
        for format in ("onnx", "pmml", "json"):
            done = self.tool("export", "export", self.folder / "artifact", format, self.folder / "out")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("sets of categories", done.stderr)

    def test_categories_of_a_data_frame_are_taken_only_where_they_are_their_codes(self):
        x = self.rows(1)
        for kind, categories in {"codes": range(4), "texts": ["app", "shop", "web", "none"], "numbers": [10, 20, 30, 40], "order": [1, 0, 2, 3]}.items():
            with self.subTest(kind=kind):
                frame = pandas.DataFrame({"amount": x[:, 0], "kind": pandas.Categorical([categories[int(k)] for k in np.nan_to_num(x[:, 2])], categories=categories)})
                booster = xgboost.train({"max_depth": 4, "max_cat_to_onehot": 1}, xgboost.DMatrix(frame, self.labels(x, "reg"), enable_categorical=True), 5)
                for format in ("json", "ubj"):
                    done = self.import_model(bytes(booster.save_raw(format)))
                    if kind == "codes":
                        self.assertEqual(done.returncode, 0, done.stderr)
                        np.testing.assert_array_equal(self.predict(x[:, [0, 2]])[:, 0], booster.predict(xgboost.DMatrix(x[:, [0, 2]], feature_names=["amount", "kind"], feature_types=["q", "c"])).astype(float))
                    else:
                        self.assertEqual(done.returncode, 1)
                        self.assertIn("categories of column 'kind' are texts, or numbers other than 0, 1, 2", done.stderr)

    def test_damaged_sets_are_refused_by_name(self):
        model = json.loads(bytes(self.train(rounds=3).save_raw("json")))
        tree = model["learner"]["gradient_booster"]["model"]["trees"][1]
        whole = {name: list(tree[name]) for name in ("categories", "categories_nodes", "categories_segments", "categories_sizes", "split_type")}
        self.assertGreater(len(whole["categories_nodes"]), 2)
        nodes, segments, sizes, categories, types = (whole[name] for name in ("categories_nodes", "categories_segments", "categories_sizes", "categories", "split_type"))
        cases = [("categories_segments", [10**6, *segments[1:]]), ("categories_segments", [-1, *segments[1:]]), ("categories_segments", segments[:-1]), ("categories_segments", segments + [0]),
                 ("categories_segments", [segments[0], segments[1] + 1, *segments[2:]]), ("categories_sizes", sizes[:-1] + [sizes[-1] + 1]), ("categories_sizes", sizes[:-1] + [2**40]),
                 ("categories_sizes", sizes[:-1] + [0]), ("categories_sizes", sizes[:-1] + [-1]), ("categories_sizes", sizes[:-1]), ("categories_nodes", [nodes[1], nodes[0], *nodes[2:]]),
                 ("categories_nodes", [nodes[0], nodes[0], *nodes[2:]]), ("categories_nodes", nodes[:-1] + [10**6]), ("categories_nodes", [-1, *nodes[1:]]), ("categories_nodes", []),
                 ("categories", [-1, *categories[1:]]), ("categories", [2**24, *categories[1:]]), ("categories", [0.5, *categories[1:]]), ("categories", categories + [1]), ("categories", "none"),
                 ("split_type", [0] * len(types)), ("split_type", types[:-1]), ("split_type", [7, *types[1:]])]
        for name, values in cases:
            with self.subTest(name=name, values=str(values)[:60]):
                tree.update(whole)
                tree[name] = values
                done = self.import_model(json.dumps(model, separators=(",", ":")).encode())
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(name if name != "split_type" else ("split_type" if len(values) < len(types) else "categories_nodes"), done.stderr)
        tree.update(whole)
        done = self.import_model(json.dumps(model, separators=(",", ":")).encode())
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_bytes_changed_anywhere_among_the_sets_do_no_harm(self):
        whole = bytes(self.train(rounds=2, max_depth=3).save_raw("ubj"))
        r = np.random.default_rng(7)
        begin, end = whole.index(b"categories"), whole.index(b"default_left")
        for i in range(40):
            changed = bytearray(whole)
            changed[int(r.integers(begin, end))] = int(r.integers(256))
            done = self.import_model(bytes(changed))
            self.assertIn(done.returncode, (0, 1), done.stderr)
            self.assertNotIn("AddressSanitizer", done.stderr)


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
