"""The models module against scikit-learn and the Python xgboost package, on the real card transactions.

Features are computed here with pandas by the recipe of the Fraud Detection Handbook; the C code gets the same matrices through tests/tools/models.c.
Logistic regression must have the same coefficients and scores, metrics the same values; forests and boosted trees draw random numbers, so their quality is compared over several weeks.
Reads WEIR_TEST_DATA (default ../shared/data) and WEIR_BUILD (default build)."""

import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import pandas as pd
import xgboost
from sklearn import metrics
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("WEIR_TEST_DATA", ROOT.parent / "shared" / "data")) / "fraud"
TOOL = Path(os.environ.get("WEIR_BUILD", ROOT / "build")) / "weir_tool_models"
DAY_US = 86_400_000_000
WEEKS = ["2018-05-08", "2018-05-12", "2018-05-15", "2018-05-20"]
COLUMNS = (["amount", "weekend", "night"] + [f"customer_{what}_{w}" for w in (1, 7, 30) for what in ("count", "mean")]
           + [f"terminal_{what}_{w}" for w in (1, 7, 30) for what in ("count", "rate")])


def window_sums(group, time_us, values, from_us, to_us):
    """Sums of values over the rows of the same group with time in (t - from_us, t - to_us]. Rows are ordered by group and time."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    out = np.empty(len(values))
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    for start, end in zip(starts, np.append(starts[1:], len(group))):
        t = time_us[start:end]
        low = start + np.searchsorted(t, t - from_us, side="right")
        high = start + np.searchsorted(t, t - to_us, side="right")
        out[start:end] = total[high] - total[low]
    return out


def load_transactions():
    """Every transaction with its features, in order of time."""
    frame = pd.concat([pd.read_parquet(f) for f in sorted(DATA.glob("*.parquet"))])
    frame.columns = [c.lower() for c in frame.columns]
    frame["time_us"] = frame["tx_datetime"].astype("datetime64[us]").astype("int64")
    frame["amount"] = frame["tx_amount"].astype(float)
    frame["weekend"] = (frame["tx_datetime"].dt.day_of_week >= 5).astype(float)
    frame["night"] = (frame["tx_datetime"].dt.hour <= 6).astype(float)
    frame["customer"] = np.unique(frame["customer_id"].astype("int64"), return_inverse=True)[1].astype("uint32")
    for entity, of, name, delay in (("customer_id", "amount", "mean", 0), ("terminal_id", "tx_fraud", "rate", 7)):
        frame = frame.sort_values([entity, "time_us", "transaction_id"], kind="stable")
        group, time = frame[entity].to_numpy(), frame["time_us"].to_numpy()
        prefix = entity.split("_")[0]
        for days in (1, 7, 30):
            span = ((days + delay) * DAY_US, delay * DAY_US)
            count = window_sums(group, time, np.ones(len(frame)), *span)
            total = window_sums(group, time, frame[of].to_numpy(float), *span)
            frame[f"{prefix}_count_{days}"] = count
            frame[f"{prefix}_{name}_{days}"] = np.divide(total, count, out=np.zeros(len(frame)), where=count > 0)
    return frame.sort_values(["time_us", "transaction_id"], kind="stable").reset_index(drop=True)


def handbook_split(frame, start):
    """get_train_test_set of the handbook, with 7 days each of training, delay and test."""
    day = (frame["time_us"] - pd.Timestamp(start).value // 1000) // DAY_US
    train = frame[(day >= 0) & (day < 7)]
    known = set(train.loc[train["tx_fraud"] == 1, "customer"])
    test = []
    for d in range(7):
        known |= set(frame.loc[(day == 7 + d - 1) & (frame["tx_fraud"] == 1), "customer"])
        rows = frame[day == 14 + d]
        test.append(rows[~rows["customer"].isin(known)])
    return train, pd.concat(test)


def card_precision(test, scores, k):
    """card_precision_top_k of the handbook with detected cards removed; equal scores by customer number."""
    frame = pd.DataFrame({"day": test["time_us"].to_numpy() // DAY_US, "customer": test["customer"].to_numpy(), "score": scores, "fraud": test["tx_fraud"].to_numpy()})
    detected, by_day = set(), []
    for _, rows in frame.groupby("day"):
        cards = rows[~rows["customer"].isin(detected)].groupby("customer")[["score", "fraud"]].max()
        top = cards.sort_values("score", ascending=False, kind="stable").head(k)
        found = set(top[top["fraud"] == 1].index)
        detected |= found
        by_day.append(len(found) / k)
    return np.mean(by_day)


class Weir:
    """The C code, called through its tool in a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def put(self, name, array, dtype="<f8"):
        path = self.folder / name
        np.ascontiguousarray(array, dtype=dtype).tofile(path)
        return str(path)

    def run(self, *args):
        done = subprocess.run([str(TOOL), *map(str, args)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{args[0]}: {done.stderr}")
        return done.stdout

    def fit(self, algorithm, x, y, seed=42, threads=2, **params):
        artifact = self.folder / f"{algorithm}.model"
        self.run("fit", algorithm, json.dumps(params), seed, threads, x.shape[1], self.put("x", x), self.put("y", y), artifact)
        return artifact

    def predict(self, artifact, x):
        out = self.folder / "scores"
        self.run("predict", artifact, self.put("x", x), out)
        return np.fromfile(out, dtype="<f8")

    def evaluate(self, test, scores, threshold=0.5, k=100):
        customers = test["customer"].to_numpy()
        return json.loads(self.run("evaluate", repr(float(threshold)), k, int(customers.max()) + 1, self.put("s", scores), self.put("y", test["tx_fraud"]),
                                   self.put("t", test["time_us"], "<i8"), self.put("e", customers, "<u4")))


def read_artifact(path):
    """Header and body, by the drawing in models/model.c."""
    data = path.read_bytes()
    assert data[:8] == b"WEIRMOD1" and hashlib.sha256(data[:-32]).digest() == data[-32:]
    version, header_len = struct.unpack_from("<II", data, 8)
    (body_len,) = struct.unpack_from("<Q", data, 16 + header_len)
    assert version == 1 and 24 + header_len + body_len + 32 == len(data)
    return json.loads(data[16:16 + header_len]), data[24 + header_len:-32]


@unittest.skipUnless(DATA.is_dir(), f"no card transactions in {DATA}: set WEIR_TEST_DATA")
class Oracle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.frame = load_transactions()
        cls.splits = {week: handbook_split(cls.frame, week) for week in WEEKS}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.weir = Weir(folder.name)

    def xy(self, week):
        train, test = self.splits[week]
        return train[COLUMNS].to_numpy(), train["tx_fraud"].to_numpy(float), test[COLUMNS].to_numpy(), test["tx_fraud"].to_numpy(float)

    def check_logistic(self, x, y, x_test, l2):
        artifact = self.weir.fit("logistic", x, y, l2=l2)
        reference = make_pipeline(SimpleImputer(strategy="mean"), StandardScaler(), LogisticRegression(C=1 / l2, solver="newton-cholesky", tol=1e-12, max_iter=1000)).fit(x, y)
        header, body = read_artifact(artifact)
        self.assertEqual((header["algorithm"], header["params"]["l2"], header["seed"]), ("logistic", l2, 42))
        numbers = np.frombuffer(body[8:], dtype="<f8")
        mean, scale, coefficient = numbers[1:].reshape(3, -1)
        model, scaler = reference[2], reference[1]
        np.testing.assert_allclose(mean, reference[0].statistics_, rtol=1e-11)
        np.testing.assert_allclose(scale, scaler.scale_, rtol=1e-11)
        np.testing.assert_allclose(coefficient, model.coef_[0], rtol=0, atol=1e-6)
        self.assertAlmostEqual(numbers[0], model.intercept_[0], delta=1e-6)
        np.testing.assert_allclose(self.weir.predict(artifact, x_test), reference.predict_proba(x_test)[:, 1], rtol=0, atol=1e-6)

    def test_logistic_regression_is_that_of_scikit_learn(self):
        x, y, x_test, _ = self.xy("2018-05-15")
        for l2 in (0.01, 1.0, 100.0):
            self.check_logistic(x, y, x_test, l2)

    def test_missing_values_take_the_mean_and_a_constant_column_does_no_harm(self):
        x, y, x_test, _ = self.xy("2018-05-08")
        random = np.random.default_rng(1)
        x, x_test = x.copy(), x_test.copy()
        x[random.random(x.shape) < 0.1] = np.nan
        x_test[random.random(x_test.shape) < 0.1] = np.nan
        x[:, 2] = x_test[:, 2] = 0.1
        self.check_logistic(x, y, x_test, 1.0)

    def test_metrics_are_those_of_scikit_learn_and_the_handbook(self):
        x, y, x_test, y_test = self.xy("2018-05-12")
        test = self.splits["2018-05-12"][1]
        exact = self.weir.predict(self.weir.fit("logistic", x, y), x_test)
        for scores in (exact, np.round(exact, 2), np.full(len(exact), 0.25)):  # few and many ties
            best = float(self.weir.run("threshold", self.weir.put("s", scores), self.weir.put("y", y_test)))
            precision, recall, thresholds = metrics.precision_recall_curve(y_test, scores)
            f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
            for threshold in (0.5, best):
                called = scores >= threshold
                expected = {
                    "auc_roc": metrics.roc_auc_score(y_test, scores), "average_precision": metrics.average_precision_score(y_test, scores),
                    "f1": metrics.f1_score(y_test, called), "precision": metrics.precision_score(y_test, called, zero_division=0),
                    "recall": metrics.recall_score(y_test, called), "accuracy": metrics.accuracy_score(y_test, called),
                    "log_loss": metrics.log_loss(y_test, scores), "brier": metrics.brier_score_loss(y_test, scores)}
                got = self.weir.evaluate(test, scores, threshold)
                self.assertEqual((got["rows"], got["positives"]), (len(y_test), int(y_test.sum())))
                for name, value in expected.items():
                    self.assertAlmostEqual(got[name], value, delta=1e-12, msg=name)
            self.assertAlmostEqual(metrics.f1_score(y_test, scores >= best), f1.max(), delta=1e-12)
            for k in (1, 100, 100_000):
                self.assertEqual(self.weir.evaluate(test, scores, k=k)["card_precision"], card_precision(test, scores, k))

    def test_known_positives_are_left_out_as_in_the_handbook(self):
        for week, (_, test) in self.splits.items():
            start = pd.Timestamp(week).value // 1000
            keep = self.weir.folder / "keep"
            self.weir.run("exclude", start, start + 7 * DAY_US, 7, start + 14 * DAY_US, start + 21 * DAY_US, int(self.frame["customer"].max()) + 1,
                          self.weir.put("t", self.frame["time_us"], "<i8"), self.weir.put("y", self.frame["tx_fraud"]), self.weir.put("e", self.frame["customer"], "<u4"), keep)
            kept = self.frame.index[np.fromfile(keep, dtype=bool)]
            self.assertEqual(set(kept), set(test.index))

    def compare(self, algorithm, reference, least):
        """Means over the weeks of test AUC, average precision and card precision: not below the reference's by 0.01, nor below `least`."""
        results = []
        for week in WEEKS:
            x, y, x_test, y_test = self.xy(week)
            test = self.splits[week][1]
            got = self.weir.evaluate(test, self.weir.predict(self.weir.fit(algorithm, x, y), x_test))
            theirs = reference(x, y, x_test)
            results.append([got["auc_roc"], metrics.roc_auc_score(y_test, theirs), got["average_precision"], metrics.average_precision_score(y_test, theirs),
                            got["card_precision"], card_precision(test, theirs, 100)])
            print(algorithm, week, "AUC %.4f (%.4f)  AP %.4f (%.4f)  CP@100 %.4f (%.4f)" % tuple(results[-1]), file=sys.stderr)
        means = np.mean(results, axis=0)
        for mine, theirs, floor in zip(means[::2], means[1::2], least):
            self.assertGreaterEqual(mine, max(theirs - 0.01, floor))

    def test_logistic_regression_reaches_the_figures_of_the_handbook(self):
        def reference(x, y, t):
            return make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y).predict_proba(t)[:, 1]

        self.compare("logistic", reference, (0.87, 0.57, 0.26))

    def test_forest_is_as_good_as_that_of_scikit_learn(self):
        def reference(x, y, t):
            return RandomForestClassifier(100, random_state=0, n_jobs=2).fit(x, y).predict_proba(t)[:, 1]

        self.compare("random_forest", reference, (0.86, 0.65, 0.27))

    def test_boosted_trees_are_as_good_as_those_of_the_python_package(self):
        def reference(x, y, t):
            model = xgboost.XGBClassifier(n_estimators=150, max_depth=4, learning_rate=0.1, min_child_weight=2, subsample=0.8, colsample_bytree=0.8, max_bin=1024,
                                          tree_method="hist", n_jobs=2, random_state=7)
            return model.fit(x, y).predict_proba(t)[:, 1]

        self.compare("xgboost", reference, (0.86, 0.65, 0.27))

    def test_tree_scores_are_those_of_the_python_package(self):
        x, y, x_test, _ = self.xy("2018-05-15")
        for algorithm in ("xgboost", "random_forest"):
            artifact = self.weir.fit(algorithm, x, y, threads=1)
            scores = self.weir.predict(artifact, x_test)
            booster = xgboost.Booster(model_file=bytearray(read_artifact(artifact)[1]))
            expected = booster.predict(xgboost.DMatrix(x_test.astype("f4"), feature_names=[f"c{i}" for i in range(x.shape[1])]))
            np.testing.assert_array_equal(scores.astype("f4"), np.clip(expected, 0, 1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
