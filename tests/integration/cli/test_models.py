"""`weir models …` on a database of its own: lists, compares, promotes by the rules of environments, goes back, exports, deletes.

Needs WEIR_BINARY, WEIR_BUILD and WEIR_PG_URL (./run test sets them); skipped without a database."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

missing = [n for n in ("WEIR_BINARY", "WEIR_BUILD", "WEIR_PG_URL") if not os.environ.get(n)]
if missing:
    print("skipped: %s not set; ./run test sets it" % ", ".join(missing))
    sys.exit(77)

import psycopg2  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
ROWS = 200


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="weir-models-")
        cls.database = "weir_test_models_%d" % os.getpid()
        cls.server = psycopg2.connect(os.environ["WEIR_PG_URL"])
        cls.server.autocommit = True
        with cls.server.cursor() as cursor:
            cursor.execute("CREATE DATABASE %s" % cls.database)
        cls.url = urllib.parse.urlparse(os.environ["WEIR_PG_URL"])._replace(path="/" + cls.database).geturl()
        cls.env = dict(os.environ, WEIR_PG_URL=cls.url, WEIR_OBJECTS_DIR=os.path.join(cls.dir, "objects"))
        subprocess.run([os.environ["WEIR_BINARY"], "migrate"], env=cls.env, cwd=ROOT, check=True, capture_output=True)
        os.makedirs(cls.env["WEIR_OBJECTS_DIR"])
        draw = random.Random(1)
        values = [draw.gauss(0, 1) for _ in range(ROWS * 2)]
        cls.write("values", values)
        cls.write("labels", [float(values[2 * i] + values[2 * i + 1] > 0) for i in range(ROWS)])

    @classmethod
    def tearDownClass(cls):
        with cls.server.cursor() as cursor:
            cursor.execute("DROP DATABASE %s" % cls.database)
        shutil.rmtree(cls.dir)

    @classmethod
    def write(cls, name, numbers):
        with open(os.path.join(cls.dir, name), "wb") as f:
            f.write(struct.pack("<%dd" % len(numbers), *numbers))

    def setUp(self):
        self.pipeline = "m%x" % random.getrandbits(40)

    def weir(self, *args, code=0):
        done = subprocess.run([os.environ["WEIR_BINARY"], "models", *args], env=self.env, cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(done.returncode, code, "%s\n%s\n%s" % (args, done.stdout, done.stderr))
        return done

    def listed(self, *args):
        return json.loads(self.weir("list", self.pipeline, *args, "--output", "json").stdout)

    def sql(self, text, *args):
        with contextlib.closing(psycopg2.connect(self.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(text, args)
            return cursor.fetchall() if cursor.description else None

    def champion(self, alias="champion"):
        found = [v for v in self.listed() if alias in v["aliases"]]
        return (found[0]["model"], found[0]["version"]) if found else None

    def add(self, version, semver, metrics, algorithm="logistic", seed=1, model="risk", signature=("a", "b"), pipeline=None):
        """A version with a real artifact."""
        relative = "models/%s-%d.weirmodel" % (model, version)
        path = os.path.join(self.env["WEIR_OBJECTS_DIR"], self.pipeline, relative)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        subprocess.run([os.path.join(os.environ["WEIR_BUILD"], "weir_tool_models"), "fit", algorithm, json.dumps({"l2": version} if algorithm == "logistic" else {}), str(seed), "1", "2", "values", "labels", path], cwd=self.dir, check=True)
        with open(path, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        self.sql("INSERT INTO weir.model_versions (pipeline, model, version, semver, algorithm, digest, artifact_path, feature_hash, dataset_digest, metrics, signature, lineage)"
                 " VALUES (%s, %s, %s, string_to_array(%s, '.')::int[], %s, %s, %s, 'f', 'd', %s, %s, %s)", pipeline or self.pipeline, model, version, semver, algorithm, digest,
                 self.pipeline + "/" + relative, json.dumps(metrics), json.dumps({"inputs": [{"name": n, "type": "double"} for n in signature]}),
                 json.dumps({"params": {"l2": seed}, "dataset": {"rows": ROWS}}))
        return path

    def pipeline_file(self, training):
        with open(os.path.join(ROOT, "pipelines", "fraud.json")) as f:
            spec = json.load(f)
        spec["pipeline"] = self.pipeline
        for feed in ("source", "labels"):
            spec[feed]["topic"] = spec[feed]["topic"].replace("fraud", self.pipeline, 1)
        spec["training"].update(training)
        path = os.path.join(self.dir, self.pipeline + ".json")
        with open(path, "w") as f:
            json.dump(spec, f)
        return path

    # ---- list, show, compare ----
    def test_the_list_shows_the_metrics_that_versions_have(self):
        self.add(1, "1.0.0", {"rmse": 2.5, "r2": 0.75, "rows": 100, "fit_seconds": 3})
        self.add(2, "1.0.1", {"rmse": 2.25, "r2": 0.8, "mape": None})
        table = self.weir("list", self.pipeline).stdout
        header, *rows = table.splitlines()
        self.assertEqual(header.split(), ["MODEL", "VERSION", "SEMVER", "ALGORITHM", "ALIASES", "R2", "RMSE", "CREATED", "DIGEST"])
        self.assertEqual(len(rows), 2)
        self.assertIn("1.0.1", rows[0])
        self.assertIn("0.8000", rows[0])
        self.assertEqual([v["semver"] for v in self.listed("risk")], ["1.0.1", "1.0.0"])

    def test_a_version_is_named_in_every_way(self):
        self.add(1, "1.0.0", {})
        self.add(2, "1.1.0", {})
        self.weir("promote", self.pipeline, "risk", "--version", "1.0.0")
        for name, number in (("1", 1), ("1.0.0", 1), ("v1.1.0", 2), ("latest", 2), ("champion", 1)):
            self.assertEqual(json.loads(self.weir("show", self.pipeline, "risk", "--version", name, "--output", "json").stdout)["version"], number)
        self.assertEqual(json.loads(self.weir("show", self.pipeline, "risk", "--output", "json").stdout)["version"], 2)
        self.assertIn("it has 1 (1.0.0), 2 (1.1.0)", self.weir("show", self.pipeline, "risk", "--version", "7", code=1).stderr)

    def test_two_versions_side_by_side(self):
        self.add(1, "1.0.0", {"auc_roc": 0.75, "f1": 0.5})
        self.add(2, "2.0.0", {"auc_roc": 0.875, "brier": 0.1}, seed=2, signature=("a", "c"))
        self.weir("promote", self.pipeline, "risk", "--version", "1")
        comparison = json.loads(self.weir("compare", self.pipeline, "risk", "--output", "json").stdout)  # the newest with the champion
        self.assertEqual((comparison["a"]["semver"], comparison["b"]["semver"]), ("1.0.0", "2.0.0"))
        rows = {(r["what"], r["name"]): r for r in comparison["rows"]}
        self.assertEqual(rows["metric", "auc_roc"]["change"], 0.125)
        self.assertEqual((rows["metric", "f1"]["b"], rows["metric", "f1"]["change"]), (None, "other"))
        self.assertEqual(rows["metric", "brier"]["b"], 0.1)
        self.assertEqual(rows["parameter", "l2"]["change"], 1)
        self.assertNotIn("change", rows["column", "a"])
        self.assertEqual((rows["column", "b"]["b"], rows["column", "c"]["a"]), (None, None))
        self.assertGreater(rows["version", "artifact_bytes"]["a"], 100)
        table = self.weir("compare", self.pipeline, "risk", "--version", "2", "--with", "1.0.0").stdout
        self.assertIn("risk 1 (1.0.0)", table.splitlines()[0])
        self.add(1, "1.0.0", {}, model="other")
        self.weir("compare", self.pipeline, "risk", "--with", "other:latest")

    # ---- aliases ----
    def test_an_environment_takes_what_reached_its_baseline(self):
        path = self.pipeline_file({"metric": "roc_auc", "baseline": {"dev": 0.7, "aut": 0.8, "prod": 0.85}})
        self.add(1, "1.0.0", {"auc_roc": 0.82})
        self.add(2, "1.0.1", {"auc_roc": 0.86})
        self.weir("promote", path, "risk", "--version", "1", "--environment", "aut")
        self.assertEqual(self.champion("aut"), ("risk", 1))
        refused = self.weir("promote", path, "risk", "--version", "1", "--environment", "prod", code=1)
        self.assertIn("roc_auc is 0.82; prod needs at least 0.85", refused.stderr)
        self.assertIsNone(self.champion("prod"))
        self.weir("promote", path, "risk", "--version", "2", "--alias", "champion", "--environment", "prod")
        self.assertEqual(self.champion(), ("risk", 2))
        self.weir("promote", path, "risk", "--version", "1", "--alias", "prod", "--force", "--reason", "hotfix", "--actor", "eve")
        ((verdict, reason, actor),) = self.sql("SELECT verdict, reason, actor FROM weir.alias_history WHERE pipeline = %s AND alias = 'prod'", self.pipeline)
        self.assertEqual((verdict["forced"], verdict["passed"], verdict["value"], reason, actor), (True, False, 0.82, "hotfix", "eve"))
        self.weir("promote", path, "risk", "--environment", "production", code=2)
        self.assertIn("the rule of prod", self.weir("promote", self.pipeline, "risk", "--environment", "prod", code=2).stderr)  # a name without a file

    def test_models_without_a_pipeline_have_the_rule_of_f1(self):
        space = "cat." + self.pipeline
        self.add(1, "1.0.0", {"test_f1": 0.84}, pipeline=space)
        self.weir("promote", space, "risk", "--environment", "aut")
        self.assertIn("f1 is 0.84", self.weir("promote", space, "risk", "--environment", "prod", code=1).stderr)

    def test_going_back_twice(self):
        for number in (1, 2, 3):
            self.add(number, "1.0.%d" % number, {})
            self.weir("promote", self.pipeline, "risk", "--version", str(number))
        self.assertIn("is again risk version 2", self.weir("rollback", self.pipeline).stderr)
        self.assertEqual(self.champion(), ("risk", 2))
        self.weir("rollback", self.pipeline)
        self.assertEqual(self.champion(), ("risk", 1))
        self.assertIn("nothing to go back to", self.weir("rollback", self.pipeline, code=1).stderr)
        self.assertIn("never moved", self.weir("rollback", self.pipeline, "--alias", "prod", code=1).stderr)

    def test_of_many_who_promote_at_once_the_history_is_a_chain(self):
        for number in range(1, 7):
            self.add(number, "1.0.%d" % number, {})
        run = lambda number: subprocess.run([os.environ["WEIR_BINARY"], "models", "promote", self.pipeline, "risk", "--version", str(number)], env=self.env, cwd=ROOT, capture_output=True, text=True)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            done = list(pool.map(run, range(1, 7)))
        told = [d for d in done if d.returncode]
        for d in told:
            self.assertIn("expected", d.stderr)
        moves = self.sql("SELECT from_version, to_version FROM weir.alias_history WHERE pipeline = %s ORDER BY id", self.pipeline)
        self.assertEqual(len(moves), 6 - len(told))
        self.assertEqual([m[0] for m in moves], [None] + [m[1] for m in moves][:-1])

    # ---- export, delete ----
    def test_exports(self):
        path = self.add(1, "1.0.0", {"auc_roc": 0.9})
        out = os.path.join(self.dir, self.pipeline + ".weirmodel")
        self.weir("export", self.pipeline, "risk", "--out", out)
        with open(out, "rb") as a, open(path, "rb") as b:
            self.assertEqual(a.read(), b.read())
        for form, start in (("json", b"{"), ("pmml", b"<?xml"), ("onnx", b"\x08")):
            out = os.path.join(self.dir, "%s.%s" % (self.pipeline, form))
            self.weir("export", self.pipeline, "risk", "--format", form, "--out", out)
            with open(out, "rb") as f:
                self.assertTrue(f.read().startswith(start), form)
        self.weir("export", self.pipeline, "risk", code=2)

    def test_what_is_not_the_registered_model_is_not_exported(self):
        path, other = self.add(1, "1.0.0", {}), self.add(2, "1.0.1", {})
        out, folder = os.path.join(self.dir, self.pipeline + ".out"), os.path.join(self.dir, self.pipeline + "-refused")
        with open(path, "rb") as f:
            whole = f.read()
        with open(other, "rb") as f:
            swapped = f.read()
        for damaged, words in ((whole[:200], "claims"), (b"", "artifact"), (whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:], "checksum"), (swapped, "is another model"),
                               (None, "No such file")):
            if damaged is None:
                os.remove(path)
            else:
                with open(path, "wb") as f:
                    f.write(damaged)
            for to in (("--out", out), ("--layout", folder)):
                told = self.weir("export", self.pipeline, "risk", "--version", "1", *to, code=1).stderr
                self.assertIn(words, told)
                self.assertIn(os.path.basename(path), told)
        self.assertFalse(os.path.exists(out) or os.path.exists(folder))

    def test_an_export_goes_through_a_pipe_and_over_no_device(self):
        path = self.add(1, "1.0.0", {})
        pipe = os.path.join(self.dir, self.pipeline + ".pipe")
        os.mkfifo(pipe)
        with concurrent.futures.ThreadPoolExecutor(1) as pool, open(path, "rb") as f:
            read = pool.submit(pathlib.Path(pipe).read_bytes)
            self.weir("export", self.pipeline, "risk", "--out", pipe)
            self.assertEqual(read.result(30), f.read())
        self.assertTrue(stat.S_ISFIFO(os.lstat(pipe).st_mode))
        if os.path.exists("/dev/full"):
            link = os.path.join(self.dir, self.pipeline + ".full")
            os.symlink("/dev/full", link)
            self.assertIn("No space left on device", self.weir("export", self.pipeline, "risk", "--out", link, code=3).stderr)
            self.assertTrue(os.path.islink(link))
        self.assertIn("is a folder, expected a file", self.weir("export", self.pipeline, "risk", "--out", self.dir, code=2).stderr)

    def test_a_folder_of_models(self):
        folder = os.path.join(self.dir, self.pipeline + "-models")
        self.add(1, "1.0.0", {"auc_roc": 0.9})
        self.add(2, "1.1.0", {"auc_roc": 0.8}, seed=3)
        for version in ("2", "1"):
            self.weir("export", self.pipeline, "risk", "--version", version, "--layout", folder)
        self.assertEqual(sorted(os.listdir(os.path.join(folder, "risk", "v1.0.0"))), ["artifacts", "metadata.json", "model.json", "model.onnx", "model.pmml", "model.score", "model.weirmodel"])
        self.assertEqual(os.readlink(os.path.join(folder, "risk", "latest")), "v1.1.0")
        with open(os.path.join(folder, "risk", "latest", "metadata.json")) as f:
            metadata = json.load(f)
        self.assertEqual((metadata["version"], metadata["number"], metadata["feature_columns"], metadata["not_exported"]), ("1.1.0", 2, ["a", "b"], {}))
        with open(os.path.join(folder, "global_metrics.json")) as f:
            self.assertEqual(json.load(f)["metrics"]["auc_roc"]["max"], {"value": 0.9, "model": "risk", "version": "1.0.0"})

    def imported(self, names, library="xgboost", **params):
        """A model of the fraud pipeline's features, or of others, as XGBoost or LightGBM save it."""
        import lightgbm
        import numpy
        import xgboost
        draw = numpy.random.default_rng(1)
        x = draw.normal(size=(300, len(names)))
        y = (x[:, 0] + draw.normal(size=300) > 0).astype(float)
        path = os.path.join(self.dir, "%s-%s-%s%s" % (self.pipeline, "-".join(names), library, "-".join(params)))
        if library == "xgboost":
            model = xgboost.train({"objective": "binary:logistic", **params}, xgboost.DMatrix(x, y, feature_names=names), 5)
            pathlib.Path(path).write_bytes(bytes(model.save_raw("json")))
        else:
            lightgbm.train({"objective": "binary", "verbose": -1, **params}, lightgbm.Dataset(x, y, feature_name=names), 5).save_model(path)
        return path

    def test_models_from_elsewhere_become_versions_past_the_gate(self):
        pipeline, names = self.pipeline_file({}), ["amount", "customer_tx_count_1d"]
        told = self.weir("import", pipeline, "theirs", "--file", self.imported(names), "--threshold", "0.3")
        self.assertEqual(told.stdout, "version 1 of theirs is registered\n")
        self.assertRegex(told.stderr, r"compiled scores equal xgboost's to the bit on 2048 random rows, \d+ thresholds with their neighbours and \d+ splits")
        self.weir("import", pipeline, "theirs", "--file", self.imported(names, "lightgbm"))
        self.assertIn('--threshold: found "much"', self.weir("import", pipeline, "theirs", "--file", "none", "--threshold", "much", code=2).stderr)
        self.weir("promote", self.pipeline, "theirs", "--version", "2", "--alias", "challenger")
        versions = {v["version"]: v for v in self.listed()}
        self.assertEqual({n: (v["algorithm"], v["aliases"]) for n, v in versions.items()}, {1: ("xgboost", []), 2: ("lightgbm", ["challenger"])})
        self.assertEqual(([i["name"] for i in versions[1]["signature"]["inputs"]], versions[1]["signature"]["threshold"], versions[1]["lineage"]["gate"]["random_rows"]), (names, 0.3, 2048))
        out = os.path.join(self.dir, self.pipeline + ".score")
        self.weir("export", self.pipeline, "theirs", "--version", "2", "--format", "score", "--out", out)
        self.assertEqual(pathlib.Path(out).read_bytes()[:8], b"WEIRSCR1")
        self.weir("import", pipeline, "theirs", "--file", self.imported(names))
        self.assertEqual(len(self.listed()), 2, "the same model again is the version that it is")

    def test_columns_of_an_imported_model_are_named_in_one_word_or_in_many(self):
        pipeline, names = self.pipeline_file({}), ["amount", "customer_tx_count_1d"]
        for model, flags in (("one", ["--columns", ",".join(names)]), ("many", [f for n in names for f in ("--columns", n)])):
            with self.subTest(model=model):
                self.weir("import", pipeline, model, "--file", self.imported(["x", "y"]), *flags)
                version = json.loads(self.weir("show", self.pipeline, model, "--output", "json").stdout)
                self.assertEqual([i["name"] for i in version["signature"]["inputs"]], names)

    def test_models_that_do_not_fit_the_pipeline_are_refused(self):
        pipeline = self.pipeline_file({})
        for path, flags, part, code in ((self.imported(["amount", "height"]), [], "takes column 'height', which is none of $.training.columns", 2),
                                        (self.imported(["amount", "b"]), ["--columns", "amount"], "1 columns are named, the model has 2", 2),
                                        (self.imported(["amount"], objective="reg:squarederror"), [], "the model is regression, the pipeline's training is binary", 2),
                                        (os.path.join(self.dir, "values"), [], "values: ", 1), (os.path.join(self.dir, "none"), [], "none", 1)):
            with self.subTest(part=part):
                self.assertIn(part, self.weir("import", pipeline, "theirs", "--file", path, *flags, code=code).stderr)
        self.assertIn("import needs --file", self.weir("import", pipeline, "theirs", code=2).stderr)
        self.assertEqual(self.listed(), [])

    def test_a_version_in_use_is_not_deleted(self):
        path = self.add(1, "1.0.0", {})
        other = self.add(2, "1.0.1", {})
        self.weir("promote", self.pipeline, "risk", "--version", "1")
        self.assertIn("is champion", self.weir("delete", self.pipeline, "risk", "--version", "1", code=1).stderr)
        self.assertTrue(os.path.exists(path))
        self.assertIn("needs --version", self.weir("delete", self.pipeline, "risk", code=2).stderr)
        self.weir("delete", self.pipeline, "risk", "--version", "1.0.1", "--reason", "old")
        self.assertFalse(os.path.exists(other))
        self.assertEqual([v["version"] for v in self.listed()], [1])
        events = self.sql("SELECT type, payload->>'reason' FROM weir.outbox WHERE pipeline = %s ORDER BY id", self.pipeline)
        self.assertEqual(events, [("alias.moved", "by hand"), ("version.deleted", "old")])


if __name__ == "__main__":
    unittest.main()
