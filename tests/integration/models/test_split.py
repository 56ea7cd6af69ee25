"""Plans of folds against scikit-learn: the same rows for KFold, StratifiedKFold, TimeSeriesSplit; the guarantees of GroupKFold; purging against López de Prado's own steps."""

import ctypes
import json
import tempfile
import unittest
import warnings

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

import native

SOURCES = ["models/split.c", "models/split_plan.c", "core/conf.c", "core/conf_text.c", "core/conf_docs.c", "core/clock.c", "core/err.c", "core/mem.c"]
NONE, TRAIN, VALIDATION, TEST = range(4)
TYPES = {"label": np.float64, "time_us": np.int64, "label_until_us": np.int64, "group": np.uint32, "tenant": np.uint32}


class Rows(ctypes.Structure):
    _fields_ = [("row_count", ctypes.c_int64), *[(name, ctypes.c_void_p) for name in TYPES]]


class Fold(ctypes.Structure):
    _fields_ = [("tenant", ctypes.c_uint32), ("train_count", ctypes.c_int64), ("validation_count", ctypes.c_int64), ("test_count", ctypes.c_int64)]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("action", ctypes.c_int), ("where", ctypes.c_char_p), ("message", ctypes.c_char * 512)]


class Splits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.library = native.load(cls.scratch.name, SOURCES, ["cjson"])
        cls.library.cJSON_Parse.restype = ctypes.c_void_p

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def folds(self, split, row_count, **arrays):
        """Indices of (train, test) for every fold."""
        held = {name: np.ascontiguousarray(values, TYPES[name]) for name, values in arrays.items()}
        rows = Rows(row_count, *[held[name].ctypes.data if name in held else None for name in TYPES])
        settings, plan, error = ctypes.create_string_buffer(1024), ctypes.c_void_p(), Error()
        parsed = ctypes.c_void_p(self.library.cJSON_Parse(json.dumps(split).encode()))
        status = self.library.weir_split_from_json(parsed, b"$", settings, ctypes.byref(error))
        self.library.cJSON_Delete(parsed)
        self.assertEqual(status, 0, error.message)
        self.assertEqual(self.library.weir_split_plan_new(settings, ctypes.byref(rows), ctypes.byref(plan), ctypes.byref(error)), 0, error.message)
        result = []
        for fold in range(self.library.weir_split_plan_folds(plan)):
            role, counts = np.zeros(row_count, np.uint8), Fold()
            status = self.library.weir_split_plan_roles(plan, fold, role.ctypes.data_as(ctypes.c_void_p), ctypes.byref(counts), ctypes.byref(error))
            self.assertEqual(status, 0, error.message)
            result.append((np.flatnonzero(role == TRAIN), np.flatnonzero(role == TEST)))
        self.library.weir_split_plan_free(plan)
        return result

    def assert_same(self, got, expected):
        expected = list(expected)
        self.assertEqual(len(got), len(expected))
        for (train, test), (expected_train, expected_test) in zip(got, expected):
            np.testing.assert_array_equal(train, expected_train)
            np.testing.assert_array_equal(test, expected_test)

    def test_k_fold(self):
        for rows in (5, 7, 100, 1003):
            for folds in (2, 3, 5):
                self.assert_same(self.folds({"scheme": "k_fold", "folds": folds, "shuffle": False}, rows), KFold(folds).split(np.zeros(rows)))

    def test_stratified_k_fold(self):
        rng = np.random.default_rng(1)
        for rows in (12, 100, 1003):
            for folds in (2, 3, 5):
                for classes in (1, 2, 7):
                    label = np.minimum(rng.integers(0, classes, rows), rng.integers(0, classes, rows)) * 3 - 4
                    if max(np.unique(label, return_counts=True)[1]) < folds:
                        continue  # scikit-learn refuses
                    with warnings.catch_warnings(action="ignore"):  # that a class has fewer rows than there are folds
                        expected = list(StratifiedKFold(folds).split(np.zeros(rows), label))
                    self.assert_same(self.folds({"scheme": "stratified_k_fold", "folds": folds, "shuffle": False}, rows, label=label), expected)

    def test_grouped_k_fold(self):
        rng = np.random.default_rng(2)
        for folds in (2, 3, 5):
            group = np.minimum(rng.integers(0, 60, 1000), rng.integers(0, 60, 1000)) * 11
            got = self.folds({"scheme": "grouped_k_fold", "folds": folds}, 1000, group=group)
            np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in got])), np.arange(1000))
            for train, test in got:
                self.assertFalse(set(group[train]) & set(group[test]))
            # the same greedy method: the sizes of the folds agree, whatever the order of equal groups
            self.assertEqual([len(test) for _, test in got], [len(test) for _, test in GroupKFold(folds).split(group, groups=group)])

    def test_walk_forward(self):
        rng = np.random.default_rng(3)
        for rows in (50, 101):
            for folds in (2, 5):
                for gap in (0, 3):
                    for longest, test in ((None, None), (10, None), (None, 4), (10, 4)):
                        split = {"scheme": "walk_forward", "folds": folds, "gap_rows": gap}
                        if longest:
                            split |= {"rolling": True, "train_rows": longest}
                        if test:
                            split["test_rows"] = test
                        time = rng.permutation(rows)  # rows come in any order
                        order = np.argsort(time)
                        expected = TimeSeriesSplit(folds, max_train_size=longest, test_size=test, gap=gap).split(np.zeros(rows))
                        expected = [(np.sort(order[train]), np.sort(order[tested])) for train, tested in expected]
                        self.assert_same(self.folds(split, rows, time_us=time * 1000), expected)

    def test_purged_k_fold(self):
        """getTrainTimes of the book (snippet 7.1) on the block's interval, and an embargo after it."""
        rng = np.random.default_rng(4)
        time = np.sort(rng.choice(10**6, 500, replace=False))
        until = time + rng.integers(0, 50_000, 500)
        for embargo in (0, 20_000):
            got = self.folds({"scheme": "purged_k_fold", "folds": 5, "embargo": f"{embargo // 1000}ms"}, 500, time_us=time, label_until_us=until)
            for fold, test in enumerate(np.array_split(np.arange(500), 5)):
                first, known = time[test[0]], until[test].max() + embargo
                begins = (first <= time) & (time <= known)
                ends = (first <= until) & (until <= known)
                holds = (time <= first) & (known <= until)
                np.testing.assert_array_equal(got[fold][1], test)
                np.testing.assert_array_equal(got[fold][0], np.flatnonzero(~(begins | ends | holds)))


if __name__ == "__main__":
    unittest.main()
