"""Algorithms of every task against scikit-learn and the Python xgboost package, on scikit-learn's bundled data sets, with missing values, a constant column and weights.

Tolerances: coefficients of linear and ridge 1e-8 relative, of lasso and elastic net 1e-6; probabilities of the multinomial logistic regression 1e-6; predictions of boosted trees and forests 1e-6 of
the scale of the labels, which are float32 there; support vector regression 1e-3 of that scale. Reads WEIR_BUILD (default build); the C code is called through tests/tools/models.c."""

import json
import os
import tempfile
import unittest

import numpy as np
import xgboost
from sklearn import datasets
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
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


def standardised(x, weight):
    """What SimpleImputer and StandardScaler make of x, whose rows count as often as they weigh."""
    rows = np.repeat(np.arange(len(x)), weight.astype(int))
    imputer = SimpleImputer(strategy="mean").fit(x[rows])
    scaler = StandardScaler().fit(imputer.transform(x[rows]))
    return scaler.transform(imputer.transform(x)), imputer.statistics_, scaler.scale_


class LinearRegressions(Case):
    def check(self, algorithm, reference, tolerance, x=None, **params):
        for weight in (None, self.weight):
            x = with_gaps(self.x) if x is None else x
            z, mean, scale = standardised(x, np.ones(len(x)) if weight is None else weight)
            reference.fit(z, self.y, sample_weight=weight)
            artifact = self.weir.fit_task("regression", algorithm, x, self.y, weight, **params)
            body = read_artifact(artifact)[1]
            self.assertEqual(body[:8], b"LINREG01")
            numbers = np.frombuffer(body[8:], dtype="<f8")
            my_mean, my_scale, coefficient = numbers[1:].reshape(3, -1)
            np.testing.assert_allclose(my_mean, mean, rtol=1e-11)
            np.testing.assert_allclose(my_scale, scale, rtol=1e-11)
            np.testing.assert_allclose(coefficient, reference.coef_, rtol=0, atol=tolerance * np.abs(reference.coef_).max())
            self.assertAlmostEqual(numbers[0], reference.intercept_, delta=tolerance * np.abs(self.y).max())
            np.testing.assert_allclose(self.weir.predict(artifact, x), reference.predict(z), rtol=0, atol=tolerance * np.abs(self.y).max())

    def test_least_squares_is_that_of_scikit_learn(self):
        self.check("linear", LinearRegression(), 1e-8)

    def test_dependent_columns_have_the_solution_of_least_norm(self):
        x = np.column_stack([self.x, self.x[:, 2], self.x[:, 3] - 2 * self.x[:, 4], np.full(len(self.x), 3.0)])
        self.check("linear", LinearRegression(), 1e-8, x=x)

    def test_more_columns_than_rows_have_the_solution_of_least_norm(self):
        random = np.random.default_rng(5)
        self.x, self.y, self.weight = random.normal(size=(60, 200)), random.normal(size=60), random.integers(1, 4, 60).astype(float)
        self.check("linear", LinearRegression(), 1e-8, x=self.x)

    def test_least_squares_without_intercept_is_that_of_scikit_learn(self):
        x = np.column_stack([self.x, np.full(len(self.x), 3.0)])
        for weight in (None, self.weight):
            artifact = self.weir.fit_task("regression", "linear", x, self.y, weight, intercept=False)
            reference = LinearRegression(fit_intercept=False).fit(x, self.y, sample_weight=weight)
            body = np.frombuffer(read_artifact(artifact)[1][8:], dtype="<f8")
            _, scale, coefficient = body[1:].reshape(3, -1)
            np.testing.assert_allclose(coefficient / scale, reference.coef_, rtol=1e-8)
            np.testing.assert_allclose(self.weir.predict(artifact, x), reference.predict(x), rtol=1e-8)

    def test_more_rows_than_a_chunk_are_as_good(self):
        random = np.random.default_rng(3)
        self.x = random.normal(size=(5000, 30)) * 10.0 ** random.integers(-6, 6, 30) + random.normal(size=30) * 100
        self.y = self.x @ (random.normal(size=30) / self.x.std(axis=0)) + random.normal(size=5000) + 1000
        self.weight = random.integers(0, 3, 5000).astype(float)
        self.check("linear", LinearRegression(), 1e-8, x=self.x)
        self.check("ridge", Ridge(alpha=10), 1e-8, x=self.x, alpha=10)

    def test_ridge_is_that_of_scikit_learn(self):
        for alpha in (1e-3, 1.0, 1e3):
            self.check("ridge", Ridge(alpha=alpha), 1e-8, alpha=alpha)

    def test_lasso_is_that_of_scikit_learn(self):
        for alpha in (0.01, 1.0, 10.0):
            self.check("lasso", Lasso(alpha=alpha, tol=1e-12, max_iter=1_000_000), 1e-6, alpha=alpha, tol=1e-13, max_iterations=1_000_000)

    def test_elastic_net_is_that_of_scikit_learn(self):
        for alpha, ratio in ((0.01, 0.1), (1.0, 0.5), (10.0, 0.9)):
            reference = ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-12, max_iter=1_000_000)
            self.check("elastic_net", reference, 1e-6, alpha=alpha, l1_ratio=ratio, tol=1e-13, max_iterations=1_000_000)


class Logistic(Case):
    def check(self, x, y, weight, classes, l2):
        z, _, _ = standardised(x, np.ones(len(x)) if weight is None else weight)
        task = "multiclass" if classes > 2 else "binary"
        solver = "newton-cg" if classes > 2 else "newton-cholesky"
        reference = LogisticRegression(C=1 / l2, solver=solver, tol=1e-12, max_iter=100_000).fit(z, y, sample_weight=weight)
        artifact = self.weir.fit_task(task, "logistic", x, y, weight, classes, l2=l2)
        expected = reference.predict_proba(z) if classes > 2 else reference.predict_proba(z)[:, 1]
        np.testing.assert_allclose(self.weir.predict(artifact, x).reshape(expected.shape), expected, rtol=0, atol=1e-6)

    def test_several_classes_are_those_of_scikit_learn(self):
        for l2 in (0.01, 1.0, 100.0):
            for weight in (None, self.classes_weight):
                self.check(with_gaps(self.classes_x), self.classes_y, weight, 3, l2)

    def test_ten_classes_of_digits_are_those_of_scikit_learn(self):
        x, y = datasets.load_digits(return_X_y=True)
        self.check(x, y.astype(float), None, 10, 1.0)

    def test_weights_of_a_binary_task_are_those_of_scikit_learn(self):
        for l2 in (0.01, 1.0, 100.0):
            self.check(with_gaps(self.classes_x), (self.classes_y == 1).astype(float), self.classes_weight, 2, l2)


class SupportVectors(Case):
    def test_every_kernel_is_that_of_scikit_learn(self):
        x = with_gaps(self.x)
        z, _, _ = standardised(x, np.ones(len(x)))
        for kernel, params in (("linear", {}), ("poly", {"degree": 2, "coef0": 1.0}), ("poly", {}), ("rbf", {"gamma": 0.2}), ("rbf", {}), ("sigmoid", {"gamma": 0.05, "coef0": -0.5})):
            for c, epsilon in ((1.0, 0.1), (20.0, 5.0)):
                artifact = self.weir.fit_task("regression", "svr", x, self.y, kernel=kernel, c=c, epsilon=epsilon, **params)
                reference = SVR(kernel=kernel, C=c, epsilon=epsilon, **params).fit(z, self.y)
                np.testing.assert_allclose(self.weir.predict(artifact, x), reference.predict(z), rtol=0, atol=1e-3 * np.ptp(self.y))


if __name__ == "__main__":
    unittest.main(verbosity=2)
