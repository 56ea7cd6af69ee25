"""Algorithms of every task against scikit-learn and the Python xgboost package, on scikit-learn's bundled data sets, with missing values, a constant column and weights.

Tolerances: coefficients of linear and ridge 1e-8 relative, of lasso and elastic net 1e-6; probabilities of the multinomial logistic regression 1e-6; predictions of boosted trees and forests 1e-6 of
the scale of the labels, which are float32 there. Reads WEIR_BUILD (default build); the C code is called through tests/tools/models.c."""

import json
import os
import tempfile
import unittest

import numpy as np
import xgboost
from sklearn import datasets
from test_oracle import Weir, read_artifact


class TaskWeir(Weir):
    def fit_task(self, task, algorithm, x, y, weight=None, classes=0, seed=42, threads=1, **params):
        artifact = self.folder / f"{algorithm}.model"
        weights = "-" if weight is None else self.put("w", weight)
        self.run("fit_task", task, classes, weights, algorithm, json.dumps(params), seed, threads, x.shape[1], self.put("x", x), self.put("y", y), artifact)
        return artifact


def with_gaps(x, seed=1):
    """A tenth of the values missing, and a column that does not vary."""
    random = np.random.default_rng(seed)
    x = np.column_stack([x, np.full(len(x), 0.1)])
    x[random.random(x.shape) < 0.1] = np.nan
    return x


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.weir = TaskWeir(folder.name)
        random = np.random.default_rng(2)
        self.x, self.y = datasets.load_diabetes(return_X_y=True, scaled=False)
        self.weight = random.integers(0, 4, len(self.y)).astype(float)
        self.classes_x, self.classes_y = datasets.load_wine(return_X_y=True)
        order = random.permutation(len(self.classes_y))
        self.classes_x, self.classes_y = self.classes_x[order], self.classes_y[order].astype(float)
        self.classes_weight = random.integers(1, 4, len(self.classes_y)).astype(float)


class Boosting(Case):
    """Without sampling nothing is drawn, so that the package must give the same trees. Its version is newer than the C library's: base_score is given explicitly."""

    def check(self, task, objective, x, y, weight, base_score, classes=0, **extra):
        params = {"max_depth": 3, "eta": 0.3, "min_child_weight": 1, "subsample": 1, "colsample_bytree": 1, "l2": 2, "gamma": 0.5, "max_bin": 512} | extra
        artifact = self.weir.fit_task(task, "xgboost", x, y, weight, classes, rounds=20, **params)
        theirs = {"objective": objective, "base_score": base_score, "tree_method": "hist", "reg_lambda": params["l2"], "learning_rate": params["eta"], "nthread": 1}
        theirs |= {name: params[name] for name in ("max_depth", "min_child_weight", "gamma", "max_bin")}
        theirs |= {"num_class": classes} if classes else {}
        theirs |= {"scale_pos_weight": extra["scale_pos_weight"]} if "scale_pos_weight" in extra else {}
        booster = xgboost.train(theirs, xgboost.DMatrix(x, y, weight=weight), 20)
        expected = booster.predict(xgboost.DMatrix(x))
        got = self.weir.predict(artifact, x).reshape(expected.shape)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * max(1, np.abs(y).max()))
        header, _ = read_artifact(artifact)
        self.assertEqual((header["task"], header["class_count"]), (task, {"binary": 2, "multiclass": classes, "regression": 0}[task]))

    def test_regression_is_that_of_the_package(self):
        for weight in (None, self.weight):
            self.check("regression", "reg:squarederror", with_gaps(self.x), self.y, weight, np.average(self.y, weights=weight))

    def test_several_classes_are_those_of_the_package(self):
        for weight in (None, self.classes_weight):
            self.check("multiclass", "multi:softprob", with_gaps(self.classes_x), self.classes_y, weight, 0.5, classes=3)

    def test_positive_weights_are_those_of_the_package(self):
        self.check("binary", "binary:logistic", with_gaps(self.classes_x), (self.classes_y == 1).astype(float), self.classes_weight, 0.5, scale_pos_weight=2.5)

    def test_early_stopping_keeps_the_rounds_that_the_package_keeps(self):
        for task, objective, x, y, classes in (("regression", "reg:squarederror", self.x, self.y, 0), ("multiclass", "multi:softprob", self.classes_x, self.classes_y, 3)):
            held = int(np.floor(0.25 * len(y)))
            fitted, valid = slice(0, len(y) - held), slice(len(y) - held, None)
            artifact = self.weir.fit_task(task, "xgboost", x, y, None, classes, rounds=300, eta=0.3, max_depth=4, subsample=1, colsample_bytree=1, min_child_weight=1,
                                          early_stopping_rounds=7, validation_share=0.25)
            theirs = {"objective": objective, "base_score": y[fitted].mean() if not classes else 0.5, "tree_method": "hist", "max_bin": 1024, "learning_rate": 0.3, "max_depth": 4, "nthread": 1}
            theirs |= {"num_class": classes} if classes else {}
            booster = xgboost.train(theirs, xgboost.DMatrix(x[fitted], y[fitted]), 300, evals=[(xgboost.DMatrix(x[valid], y[valid]), "valid")], early_stopping_rounds=7, verbose_eval=False)
            self.assertLess(booster.best_iteration, 290)
            expected = booster.predict(xgboost.DMatrix(x), iteration_range=(0, booster.best_iteration + 1))
            got = self.weir.predict(artifact, x).reshape(expected.shape)
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * max(1, np.abs(y).max()))
            kept = xgboost.Booster(model_file=bytearray(read_artifact(artifact)[1]))
            self.assertEqual(kept.num_boosted_rounds(), booster.best_iteration + 1)

    def test_a_forest_of_one_full_tree_is_that_of_the_package(self):
        x = with_gaps(self.x)
        artifact = self.weir.fit_task("regression", "random_forest", x, self.y, self.weight, trees=1, max_depth=5, subsample=1, colsample_bynode=1, max_bin=512)
        theirs = {"objective": "reg:squarederror", "base_score": np.average(self.y, weights=self.weight), "tree_method": "hist", "max_bin": 512, "max_depth": 5, "reg_lambda": 0,
                  "learning_rate": 1, "nthread": 1}
        expected = xgboost.train(theirs, xgboost.DMatrix(x, self.y, weight=self.weight), 1).predict(xgboost.DMatrix(x))
        np.testing.assert_allclose(self.weir.predict(artifact, x), expected, rtol=0, atol=1e-6 * self.y.max())


if __name__ == "__main__":
    unittest.main(verbosity=2)
