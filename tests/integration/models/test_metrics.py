"""Metrics and curves against scikit-learn and their definitions: within 1e-12 relative, with and without weights."""

import ctypes
import math
import tempfile
import unittest
import warnings

import numpy as np
from sklearn import metrics
from sklearn.calibration import calibration_curve

import native

NAMES = ["task", "metrics", "metrics_regression", "metrics_classes", "metrics_decisions", "outcomes", "curves", "evaluate"]
SOURCES = [f"models/{name}.c" for name in NAMES] + ["core/clock.c", "core/err.c", "core/mem.c", "core/plugin.c"]
BINARY, MULTICLASS, REGRESSION = range(3)
DOUBLE, DOUBLES = ctypes.c_double, ctypes.POINTER(ctypes.c_double)


class Outcomes(ctypes.Structure):
    _fields_ = [("row_count", ctypes.c_int64), ("class_count", ctypes.c_int), ("label", DOUBLES), ("score", DOUBLES), ("weight", DOUBLES), ("threshold", DOUBLE), ("k", ctypes.c_int64)]


class ClassMetrics(ctypes.Structure):
    _fields_ = [(name, DOUBLE) for name in ("support", "precision", "recall", "f1", "auc")]


class Classes(ctypes.Structure):
    _fields_ = [("rows", ctypes.c_int64), ("class_count", ctypes.c_int),
                *[(name, DOUBLE) for name in ("accuracy", "precision_macro", "recall_macro", "f1_macro", "precision_weighted", "recall_weighted", "f1_weighted", "log_loss", "auc_macro", "cohen_kappa")],
                ("confusion", DOUBLES), ("classes", ctypes.POINTER(ClassMetrics))]


class Point(ctypes.Structure):
    _fields_ = [("x", DOUBLE), ("y", DOUBLE), ("threshold", DOUBLE)]


class Curve(ctypes.Structure):
    _fields_ = [("points", ctypes.POINTER(Point)), ("count", ctypes.c_int), ("area", DOUBLE)]


class Bin(ctypes.Structure):
    _fields_ = [("low", DOUBLE), ("high", DOUBLE), ("rows", ctypes.c_int64), ("weight", DOUBLE), ("mean_score", DOUBLE), ("positive_share", DOUBLE)]


class Calibration(ctypes.Structure):
    _fields_ = [("bins", Bin * 1000), ("count", ctypes.c_int), ("expected_error", DOUBLE), ("maximum_error", DOUBLE)]


class Choice(ctypes.Structure):
    _fields_ = [(name, DOUBLE) for name in ("threshold", "cost", "false_positive", "false_negative")]


def doubles(array):
    return None if array is None else array.ctypes.data_as(DOUBLES)


class Case:
    """Arrays that outlive their pointers."""

    def __init__(self, label, score, weight=None, classes=0, threshold=0.5, k=0):
        self.held = [None if a is None else np.ascontiguousarray(a, np.float64) for a in (label, score, weight)]
        self.outcomes = Outcomes(len(label), classes, *map(doubles, self.held), threshold, k)


def random_binary(rng, rows, decimals):
    label = (rng.random(rows) < 0.3).astype(float)
    return label, np.round(np.clip(rng.beta(2, 3, rows) + 0.2 * label, 0, 1), decimals)


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.library = native.load(cls.scratch.name, SOURCES)
        cls.library.weir_model_metric_find.restype = ctypes.c_void_p

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def measure(self, task, name, case):
        value = DOUBLE()
        metric = ctypes.c_void_p(self.library.weir_model_metric_find(task, name.encode()))
        self.assertTrue(metric, name)
        self.assertEqual(self.library.weir_model_metric_measure(metric, ctypes.byref(case.outcomes), ctypes.byref(value), None), 0, name)
        return value.value

    def assert_near(self, found, expected, what):
        if math.isnan(expected):
            self.assertTrue(math.isnan(found), what)
        else:
            self.assertLessEqual(abs(found - expected), 1e-12 * max(abs(expected), 1e-3), (what, found, expected))

    def test_regression(self):
        rng = np.random.default_rng(1)
        for rows in (2, 3, 50, 1001):
            for weighted in (False, True):
                label = np.round(rng.normal(1000, 5, rows), 1)
                score = np.round(label + rng.normal(0.5, 2, rows), 1)
                label[rng.random(rows) < 0.1] = 0
                weight = rng.integers(0, 4, rows) + rng.random(rows) if weighted else None
                w = np.ones(rows) if weight is None else weight
                case, given = Case(label, score, weight), {"sample_weight": weight}
                expected = {
                    "rmse": metrics.root_mean_squared_error(label, score, **given),
                    "mae": metrics.mean_absolute_error(label, score, **given),
                    "mape": metrics.mean_absolute_percentage_error(label[label != 0], score[label != 0], sample_weight=w[label != 0]),
                    "smape": np.average(2 * abs(label - score) / (abs(label) + abs(score)), weights=w),
                    "r2": metrics.r2_score(label, score, **given),
                    "median_absolute_error": metrics.median_absolute_error(label, score, **given),
                    "max_error": metrics.max_error(label, score),
                    "explained_variance": metrics.explained_variance_score(label, score, **given),
                }
                for name, value in expected.items():
                    self.assert_near(self.measure(REGRESSION, name, case), value, (name, rows, weighted))

    def test_classes(self):
        rng = np.random.default_rng(2)
        for rows, classes in ((20, 3), (200, 4), (999, 7)):
            for decimals in (1, 12):
                for weighted in (False, True):
                    score = np.round(rng.dirichlet(np.ones(classes), rows), decimals)
                    score[:, 0] += 1 - score.sum(axis=1)
                    score = np.clip(score, 0, 1)
                    label = np.where(rng.random(rows) < 0.5, score.argmax(axis=1), rng.integers(0, classes, rows))
                    weight = rng.integers(1, 4, rows) + rng.random(rows) if weighted else None
                    self.compare_classes(label, score, weight, classes)

    def compare_classes(self, label, score, weight, classes):
        case, called, given = Case(label, score, weight, classes), score.argmax(axis=1), {"sample_weight": weight}
        expected = {"accuracy": metrics.accuracy_score(label, called, **given), "f1_micro": metrics.f1_score(label, called, average="micro", **given),
                    "cohen_kappa": metrics.cohen_kappa_score(label, called, **given),
                    "auc_ovr_macro": np.mean([metrics.roc_auc_score(label == c, score[:, c], **given) for c in range(classes)])}
        if np.allclose(score.sum(axis=1), 1, atol=1e-9):
            expected["log_loss"] = metrics.log_loss(label, score, labels=range(classes), **given)
        for average in ("macro", "weighted"):
            for name, function in (("precision", metrics.precision_score), ("recall", metrics.recall_score), ("f1", metrics.f1_score)):
                expected[f"{name}_{average}"] = function(label, called, average=average, zero_division=0, **given)
        for name, value in expected.items():
            self.assert_near(self.measure(MULTICLASS, name, case), value, name)
        result = Classes()
        self.assertEqual(self.library.weir_measure_classes(ctypes.byref(case.outcomes), ctypes.byref(result), None), 0)
        confusion = metrics.confusion_matrix(label, called, labels=range(classes), **given)
        np.testing.assert_allclose(np.ctypeslib.as_array(result.confusion, (classes, classes)), confusion, rtol=1e-12)
        one_by_one = metrics.precision_recall_fscore_support(label, called, labels=range(classes), zero_division=0, **given)
        for c in range(classes):
            for name, values in zip(("precision", "recall", "f1", "support"), one_by_one):
                self.assert_near(getattr(result.classes[c], name), values[c], (name, c))
        self.library.weir_metrics_classes_done(ctypes.byref(result))

    def test_binary(self):
        rng = np.random.default_rng(3)
        for decimals in (1, 12):
            label, score = random_binary(rng, 500, decimals)
            weight, called = rng.random(500), score >= 0.5
            plain, weighed = Case(label, score, k=40), Case(label, score, weight)
            expected = {"roc_auc": metrics.roc_auc_score(label, score), "average_precision": metrics.average_precision_score(label, score), "f1": metrics.f1_score(label, called),
                        "precision": metrics.precision_score(label, called), "recall": metrics.recall_score(label, called), "accuracy": metrics.accuracy_score(label, called),
                        "log_loss": metrics.log_loss(label, score), "brier": metrics.brier_score_loss(label, score),
                        "balanced_accuracy": metrics.balanced_accuracy_score(label, called), "mcc": metrics.matthews_corrcoef(label, called)}
            for name, value in expected.items():
                self.assert_near(self.measure(BINARY, name, plain), value, name)
            self.assert_near(self.measure(BINARY, "balanced_accuracy", weighed), metrics.balanced_accuracy_score(label, called, sample_weight=weight), "balanced accuracy")
            self.assert_near(self.measure(BINARY, "mcc", weighed), metrics.matthews_corrcoef(label, called, sample_weight=weight), "mcc")
            at = np.sort(score)[-40]  # rows that tie at the 40th place count by their mean
            sure, tied = score > at, score == at
            hits = label[sure].sum() + (40 - sure.sum()) * label[tied].mean()
            self.assert_near(self.measure(BINARY, "precision_at_k", plain), hits / 40, "precision at k")

    def curve(self, function, case, points):
        curve = Curve()
        self.assertEqual(function(ctypes.byref(case.outcomes), points, ctypes.byref(curve), None), 0)
        found = np.array([(p.x, p.y, p.threshold) for p in curve.points[: curve.count]]).T
        area = curve.area
        self.library.weir_curve_done(ctypes.byref(curve))
        return found, area

    def test_curves(self):
        rng = np.random.default_rng(4)
        for rows, decimals in ((30, 12), (3000, 2), (20000, 12)):
            for weighted in (False, True):
                label, score = random_binary(rng, rows, decimals)
                weight = rng.random(rows) if weighted else None
                case = Case(label, score, weight)
                (x, y, threshold), area = self.curve(self.library.weir_roc_curve, case, 100_000)
                fpr, tpr, thresholds = metrics.roc_curve(label, score, sample_weight=weight)
                self.assert_near(area, metrics.auc(fpr, tpr), "area of the ROC")
                np.testing.assert_allclose(np.interp(threshold[:0:-1], thresholds[:0:-1], tpr[:0:-1]), y[:0:-1], rtol=1e-9, atol=1e-9)
                precision, recall, _ = metrics.precision_recall_curve(label, score, sample_weight=weight)
                for points in (50, 200):
                    (x, y, threshold), _ = self.curve(self.library.weir_roc_curve, case, points)
                    self.assertLessEqual(len(x), points)
                    self.assertLess(abs(np.trapezoid(y, x) - metrics.auc(fpr, tpr)), 1e-3)
                    self.assertEqual([x[0], y[0], threshold[0], x[-1], y[-1]], [0, 0, math.inf, 1, 1])
                    known = set(zip(np.round(precision, 9), np.round(recall, 9)))
                    (x, y, _), area = self.curve(self.library.weir_precision_recall_curve, case, points)
                    ap = metrics.average_precision_score(label, score, sample_weight=weight)
                    self.assert_near(area, ap, "average precision")
                    self.assertLessEqual(len(x), points)
                    self.assertLess(abs(np.trapezoid(y, x) + np.trapezoid(precision, recall)), 1e-3)
                    self.assertTrue(set(zip(np.round(y, 9), np.round(x, 9))) <= known)

    def test_calibration(self):
        rng = np.random.default_rng(5)
        for rows in (100, 1000):
            for bins in (5, 10):
                for strategy, kind in (("uniform", 0), ("quantile", 1)):
                    label, score = random_binary(rng, rows, 2 if kind == 0 else 12)
                    score[score == 1] -= 1e-9 * rng.random((score == 1).sum())  # equal counts are scikit-learn's only without ties
                    result = Calibration()
                    case = Case(label, score)
                    self.assertEqual(self.library.weir_calibrate(ctypes.byref(case.outcomes), kind, bins, ctypes.byref(result), None), 0)
                    share, mean = calibration_curve(label, score, n_bins=bins, strategy=strategy)
                    found = result.bins[: result.count]
                    np.testing.assert_allclose([b.positive_share for b in found], share, rtol=1e-12)
                    np.testing.assert_allclose([b.mean_score for b in found], mean, rtol=1e-12)
                    self.assertEqual(sum(b.rows for b in found), rows)
                    counts = np.array([b.rows for b in found])
                    self.assert_near(result.expected_error, (counts * abs(share - mean)).sum() / rows, "expected calibration error")

    def test_threshold_by_cost(self):
        rng = np.random.default_rng(6)
        for alarm, miss in ((1, 1), (1, 20), (5, 1), (1, 0), (0, 1)):
            label, score = random_binary(rng, 400, 2)
            weight = rng.random(400)
            choice, case = Choice(), Case(label, score, weight)
            self.assertEqual(self.library.weir_threshold_by_cost(ctypes.byref(case.outcomes), DOUBLE(alarm), DOUBLE(miss), ctypes.byref(choice), None), 0)
            costs = {t: alarm * weight[(score >= t) & (label == 0)].sum() + miss * weight[(score < t) & (label == 1)].sum() for t in [*np.unique(score), np.nextafter(score.max(), 2)]}
            self.assert_near(choice.cost, min(costs.values()), "least cost")
            self.assertLess(costs[choice.threshold], min(costs.values()) + 1e-9)


if __name__ == "__main__":
    with warnings.catch_warnings(action="ignore"):
        unittest.main()
