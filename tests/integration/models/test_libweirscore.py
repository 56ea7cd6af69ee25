"""libweirscore as other programs use it: built from its own files alone, called from C and from Python (the examples of docs/), against the scores of Weir and of XGBoost's own package.

Scores are compared as bits. Reads WEIR_BUILD (default build) for the tools that fit and export."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import xgboost

sys.path.insert(0, str(Path(__file__).parent))
from test_export import CHAINS, COLUMNS, MODELS, ROOT, Fitted, edges, make_labels, make_rows  # noqa: E402

EMBED = ROOT / "docs/examples/embed"


def csv_of(names, x):
    lines = [",".join(names)] + [",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in x]
    return "\n".join(lines) + "\n"


def numbers(text):
    lines = text.strip().split("\n")
    return lines[0].split(","), np.array([[float(v) for v in line.split(",")] for line in lines[1:]])


HOEFFDING = {"grace_period": 20, "tie_threshold": 0.9}


class HoeffdingTree:
    """The tree of an artifact's body, scored as models/hoeffding.c describes it and not as its code does."""

    def __init__(self, artifact, p, k):
        body = np.frombuffer(artifact[24 + int.from_bytes(artifact[12:16], "little"):-32][8:], dtype="<f8")
        count, self.p, self.k = int(body[0]), p, k
        self.nodes = body[1:1 + 6 * count].reshape(count, 6)
        leaves = iter(body[1 + 6 * count:].reshape(-1, 3 + 2 * k + 2 * p + 3 * p * k))
        self.leaves = {i: next(leaves) for i in range(count) if not self.nodes[i, 2]}
        self.bayes = sum(leaf[2] > leaf[1] for leaf in self.leaves.values())

    def score(self, row):
        at = 0
        while self.nodes[at, 2]:
            column, threshold, left, right, missing_left, _ = self.nodes[at]
            x = row[int(column)]
            at = int(left if (missing_left if np.isnan(x) else x <= threshold) else right)
        leaf, p, k = self.leaves[at], self.p, self.k
        weights = leaf[3:3 + k] + leaf[3 + k:3 + 2 * k]
        shares = weights / weights.sum() if weights.sum() else np.full(k, 1 / k)
        if leaf[2] <= leaf[1]:
            return shares
        low, high = leaf[3 + 2 * k:3 + 2 * k + 2 * p].reshape(p, 2).T
        weight, mean, squares = leaf[3 + 2 * k + 2 * p:].reshape(p, k, 3).transpose(2, 0, 1)
        used = ~np.isnan(row) & (low < high)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance, away = np.where(weight > 1, squares / (weight - 1), 0), row[:, None] - mean
            density = np.where(variance > 0, -(np.log(variance) + away**2 / variance) / 2, np.where(away == 0, 0, -np.inf))
            likely = np.log(shares) + np.where(weight > 0, density, -np.inf)[used].sum(axis=0)
        if not np.isfinite(likely.max()):
            return shares
        e = np.exp(likely - likely.max())
        return e / e.sum()


class Embedded(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.library, cls.program = Path(cls.folder.name) / "libweirscore.so", Path(cls.folder.name) / "score"
        sources = sorted(map(str, (ROOT / "models/scorer").glob("*.c")))
        strict = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
        subprocess.run(["cc", *strict, "-shared", "-fPIC", "-fvisibility=hidden", f"-I{ROOT}", "-o", cls.library, *sources, "-lm"], check=True)
        subprocess.run(["cc", *strict, f"-I{ROOT}/models/scorer", "-o", cls.program, EMBED / "score.c", f"-L{cls.folder.name}", "-lweirscore", f"-Wl,-rpath,{cls.folder.name}"], check=True)
        cls.x = make_rows(2, ["Rain", "Clear", "Fog"])[:150]
        cls.train = make_rows(1, ["Rain", "Clear"])
        cls.columns = COLUMNS
        cls.names = [c["name"] for c in COLUMNS]

    def fit(self, algorithm, task, params, chain):
        return Fitted(algorithm, task, params, chain, self.columns, self.train, make_labels(self.train, task))

    def extreme(self):
        x = self.x[:6].copy()
        x[:, 0] = [1e300, -1e300, 3.4028235677973366e38, 5e-324, 0.0, -0.0]
        return x

    def by_c(self, model, x):
        done = subprocess.run([self.program, model], input=csv_of(self.names, x), capture_output=True, text=True, check=True)
        return numbers(done.stdout)

    def by_python(self, model, x):
        done = subprocess.run([sys.executable, EMBED / "score.py", self.library, model], input=csv_of(self.names, x), capture_output=True, text=True, check=True)
        return numbers(done.stdout)

    def test_both_examples_give_every_model_s_scores_to_the_bit(self):
        for algorithm, task, params in MODELS:
            for name, chain in CHAINS.items():
                with self.subTest(algorithm=algorithm, task=task, params=params, chain=name):
                    if chain is None:
                        chain = [{"encode": "ordinal", "columns": ["weather", "grade"]}]  # categories must become numbers
                    fitted = self.fit(algorithm, task, params, chain)
                    x = np.vstack([self.x, self.extreme(), edges(fitted, len(self.names))[:400]]) if name == "plain" and algorithm in ("xgboost", "random_forest") else self.x
                    expected, model = fitted.predict(x), fitted.export("score")
                    for found in (self.by_c(model, x), self.by_python(model, x)):
                        np.testing.assert_array_equal(found[1], expected)
                    self.assertEqual(len(found[0]), 3 if task == "multiclass" else 1)

    def test_hoeffding_trees_score_as_they_are_described(self):
        for task, k in (("binary", 2), ("multiclass", 3)):
            with self.subTest(task=task):
                fitted = Fitted("hoeffding_tree", task, HOEFFDING, None, [{"name": n, "kind": "number"} for n in self.names], self.train, make_labels(self.train, task))
                tree = HoeffdingTree(fitted.path("artifact").read_bytes(), len(self.names), k)
                self.assertTrue(len(tree.leaves) > 4 and 0 < tree.bayes < len(tree.leaves))
                x = np.vstack([self.x, self.extreme()])
                expected, model = fitted.predict(x), fitted.export("score")
                own = np.array([tree.score(row) for row in x])
                np.testing.assert_allclose(expected, own[:, 1:] if k == 2 else own, rtol=1e-9, atol=1e-300)
                for found in (self.by_c(model, x), self.by_python(model, x)):
                    np.testing.assert_array_equal(found[1], expected)

    def test_several_in_one(self):
        members = [self.fit("xgboost", "regression", {"rounds": 5}, CHAINS["one_hot"]), self.fit("ridge", "regression", {}, CHAINS["ordinal"])]
        both = Fitted.several("weighted", members, [0.25, 0.75])
        expected = 0.25 * members[0].predict(self.x) + 0.75 * members[1].predict(self.x)
        np.testing.assert_array_equal(self.by_c(both.export("score"), self.x)[1], expected)

    def test_xgboost_s_own_package_gives_the_same_bits(self):
        columns = [{"name": n, "kind": "number"} for n in self.names]
        fitted = Fitted("xgboost", "regression", {"rounds": 40, "max_depth": 6}, None, columns, self.train, make_labels(self.train, "regression"))
        artifact = fitted.path("artifact").read_bytes()
        header = int.from_bytes(artifact[12:16], "little")
        booster = xgboost.Booster(model_file=bytearray(artifact[24 + header:-32]))
        x = np.vstack([self.x, self.extreme(), edges(fitted, len(self.names))])
        narrow = x.clip(-3.4028234663852886e38, 3.4028234663852886e38).astype(np.float32)
        expected = booster.predict(xgboost.DMatrix(narrow), output_margin=True, validate_features=False)
        np.testing.assert_array_equal(self.by_c(fitted.export("score"), x)[1][:, 0], expected.astype(float))

    def test_what_is_no_model_is_refused_with_its_reason(self):
        fitted = self.fit("ridge", "regression", {}, CHAINS["one_hot"])
        model = fitted.export("score")
        damaged = bytearray(model.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        for content, reason in ((bytes(damaged), "digest"), (b"WEIRMOD1" + bytes(200), "WEIRSCR1"), (b"", "empty"), (bytes(damaged[:-9]), "bytes")):
            fitted.path("bad").write_bytes(content)
            done = subprocess.run([self.program, fitted.path("bad")], input="a\n", capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn(reason, done.stderr)
        done = subprocess.run([self.program, model], input="amount\n1\n", capture_output=True, text=True)
        self.assertIn("there is no column rate", done.stderr)


if __name__ == "__main__":
    unittest.main()
