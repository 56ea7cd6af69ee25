"""Plugins with operators: the one of docs/examples gives the values of Python's statistics in a pipeline, in every kind of window; what is no plugin, or a wrong one, is refused with what is
wrong with it."""
import copy
import csv
import datetime
import io
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLUGINS = pathlib.Path(os.environ["WEIR_BUILD"]) / "plugins"
EXAMPLE = str(PLUGINS / "geometric_mean.so")
DAY_US = 86_400_000_000
EPOCH = datetime.datetime(1970, 1, 1)
START_US = 1_600_000_000_000_000
FEATURES = [
    {"name": "g_3d", "op": "geometric_mean", "of": "amount", "window": "3d"},
    {"name": "g_last", "op": "geometric_mean", "of": "amount", "window": {"last": 4}},
    {"name": "g_all", "op": "geometric_mean", "of": "amount", "window": "all"},
    {"name": "g_tiles", "op": "geometric_mean", "of": "amount", "window": {"sliding": "4d", "tile": "1d"}},
    {"name": "g_offset", "op": "geometric_mean", "of": "amount", "offset": 2, "window": "3d"},
]


def pipeline(plugins, features=FEATURES):
    spec = json.loads((ROOT / "pipelines" / "fraud.json").read_text())
    spec["views"] = [{**spec["views"][0], "features": copy.deepcopy(features)}]
    for section in ("$schema", "labels", "training", "rollout", "serving", "triggers"):
        spec.pop(section, None)
    spec["source"]["aliases"] = {}
    spec["plugins"] = plugins
    return spec


def run(program, spec, *arguments, folder=None):
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=folder) as file:
        json.dump(spec, file)
        file.flush()
        return subprocess.run([*program, file.name, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def check(spec, *arguments, folder=None):
    return run([os.environ["WEIR_BINARY"], "check"], spec, *arguments, folder=folder)


def payments():
    """Of one customer; one of them is 0, which has no logarithm."""
    draw, us, rows = random.Random(4), START_US, []
    for i in range(60):
        us += draw.randrange(DAY_US) // 1000 * 1000
        rows.append((us, 0.0 if i == 30 else round(draw.lognormvariate(3, 2), 2)))
    return rows


def expected(rows, i):
    """By statistics.geometric_mean over the values of each window; None where one is not above 0."""
    t = rows[i][0]

    def mean(values, offset=0):
        return statistics.geometric_mean([v + offset for v in values]) - offset if all(v + offset > 0 for v in values) else None

    upto = rows[: i + 1]
    back = lambda us: [v for at, v in upto if at > us]
    return {
        "g_3d": mean(back(t - 3 * DAY_US)),
        "g_last": mean([v for _, v in upto[-4:]]),
        "g_all": mean([v for _, v in upto]),
        "g_tiles": mean(back((t - 4 * DAY_US) // DAY_US * DAY_US)),  # its far edge moved back to a whole day
        "g_offset": mean(back(t - 3 * DAY_US), 2),
    }


class Example(unittest.TestCase):
    def test_its_values_in_a_pipeline(self):
        rows = payments()
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            out = csv.writer(file)
            out.writerow(["tenant", "transaction_id", "tx_time", "customer_id", "terminal_id", "amount"])
            for i, (us, amount) in enumerate(rows):
                out.writerow(["default", "t%d" % i, EPOCH + datetime.timedelta(microseconds=us), "c", "1", repr(amount)])
            file.flush()
            answer = run([PLUGINS.parent / "weir_tool_pipeline_features"], pipeline([EXAMPLE]), file.name)
        self.assertEqual((answer.returncode, answer.stderr), (0, ""))
        got = list(csv.DictReader(io.StringIO(answer.stdout)))
        self.assertEqual(len(got), len(rows))
        nulls = 0
        for i, row in enumerate(got):
            for name, value in expected(rows, i).items():
                nulls += value is None
                with self.subTest(row=i, feature=name):
                    if value is None:
                        self.assertEqual(row[name], "")
                    else:
                        self.assertTrue(math.isclose(float(row[name]), value, rel_tol=1e-12, abs_tol=1e-12), (row[name], value))
        self.assertGreater(nulls, 30)

    def test_its_names_and_parameters_are_checked_like_others(self):
        answer = check(pipeline([EXAMPLE]))
        self.assertEqual((answer.returncode, answer.stderr), (0, ""))
        self.assertIn(" geometric_mean of amount (offset 2) over 3d ", answer.stdout)
        for change, words in (({"op": "geometric_men"}, 'did you mean "geometric_mean"?'), ({"offset": -1}, "offset"), ({"ofset": 1}, 'did you mean "offset"?')):
            answer = check(pipeline([EXAMPLE], [{**FEATURES[0], **change}]))
            self.assertEqual(answer.returncode, 2, answer.stdout)
            self.assertIn(words, answer.stderr)

    def test_a_path_is_relative_to_the_pipeline_file_and_may_stand_twice(self):
        self.assertEqual(check(pipeline(["geometric_mean.so", EXAMPLE]), folder=PLUGINS).returncode, 0)

    def test_without_it_there_is_no_such_operator(self):
        answer = check(pipeline([]))
        self.assertEqual(answer.returncode, 2)
        self.assertIn('"geometric_mean" is no operator', answer.stderr)


class Refused(unittest.TestCase):
    def test_what_is_wrong_is_said(self):
        for name, words in (
            ("wrong_abi.so", "operator of_tomorrow has ABI 2, expected 1"),
            ("no_function.so", "it has none of the functions "),
            ("name_clash.so", "there is an operator mean already"),
            ("incomplete.so", "operator unexplained lacks a text (doc, formula, unit, edges or source)"),
            ("none.so", "cannot be loaded"),
        ):
            answer = check(pipeline([EXAMPLE, str(PLUGINS / name)]))
            with self.subTest(name):
                self.assertEqual((answer.returncode, answer.stdout), (2, ""), answer.stderr)
                self.assertIn("$.plugins[1]: plugin %s" % (PLUGINS / name), answer.stderr)
                self.assertIn(words, answer.stderr)


class Models(unittest.TestCase):
    """Algorithms of a plugin in a pipeline file, and plugins of the environment."""

    CENTROID = str(PLUGINS / "nearest_centroid.so")

    def spec(self, plugins, params):
        spec = json.loads((ROOT / "pipelines" / "fraud.json").read_text())
        spec["training"]["candidates"] = [{"name": "fraud-centroid", "algorithm": "nearest_centroid", "params": params}]
        for key in ("champion", "challenger"):
            spec["training"].pop(key, None)
        return {**spec, "plugins": plugins}

    def test_a_candidate_may_be_of_a_plugin(self):
        answer = check(self.spec([self.CENTROID], {"sharpness": 2}))
        self.assertEqual((answer.returncode, answer.stderr), (0, ""))
        self.assertRegex(answer.stdout, r"fraud-centroid +nearest_centroid +champion")
        answer = check(self.spec([self.CENTROID], {"sharpnes": 2}))
        self.assertEqual(answer.returncode, 2)
        self.assertIn("sharpness", answer.stderr)

    def test_the_environment_names_plugins_too(self):
        spec = self.spec([], {})
        answer = check(spec)
        self.assertEqual(answer.returncode, 2)
        self.assertIn("nearest_centroid", answer.stderr)
        self.assertEqual(check(spec, "--plugins", self.CENTROID).returncode, 0)
        with unittest.mock.patch.dict(os.environ, {"WEIR_PLUGINS": self.CENTROID + "," + str(PLUGINS / "pinball.so")}):
            self.assertEqual(check(spec).returncode, 0)
        answer = check(spec, "--plugins", str(PLUGINS / "algorithm_abi.so"))
        self.assertEqual(answer.returncode, 2)
        self.assertIn("algorithm of_yesterday has ABI 2, expected 3", answer.stderr)


if __name__ == "__main__":
    unittest.main()
