"""`weir train FILE.json` and `weir infer`: a training file as it is published for scikit-learn, XGBoost and Spark, with its paths changed only, from the rows to predictions by the versions it leaves.

Needs WEIR_BINARY (./run test sets it) and no services. Predictions are compared with NumPy, the ONNX exports with onnxruntime. Reads WEIR_TEST_DATA (default ../shared/data) for hours of a
real road; without it that part is skipped."""
import copy
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

if not os.environ.get("WEIR_BINARY"):
    print("skipped: WEIR_BINARY not set; ./run test sets it")
    sys.exit(77)

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import pandas as pd  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DATA = os.environ.get("WEIR_TEST_DATA") or os.path.join(ROOT, "..", "shared", "data")
METRO = os.path.join(DATA, "traffic", "metro_i94_2012-2017.csv.gz")
ROWS, TEST_ROWS = 300, 30

PUBLISHED = """{
  "data": {
    "source": "hdfs://namenode:9000/processed_features",
    "format": "parquet",
    "train_ratio": 0.7,
    "val_ratio": 0.2,
    "test_ratio": 0.1,
    "feature_columns": ["auto_detect"],
    "target_columns": ["traffic_volume", "avg_speed"],
    "time_column": "timestamp"
  },
  "models": {
    "linear_regression": {
      "enabled": true,
      "hyperparameters": {
        "fit_intercept": true,
        "normalize": false
      },
      "hyperparameter_tuning": true,
      "hyperparameter_grid": {
        "fit_intercept": [true, false],
        "normalize": [true, false]
      }
    },
    "random_forest": {
      "enabled": true,
      "hyperparameters": {
        "n_estimators": 100,
        "max_depth": 10,
        "random_state": 42
      },
      "hyperparameter_tuning": true,
      "hyperparameter_grid": {
        "n_estimators": [50, 100, 200],
        "max_depth": [5, 10, 15, null]
      }
    }
  },
  "training": {
    "primary_metric": "rmse",
    "cross_validation": {
      "enabled": true,
      "folds": 5,
      "shuffle": true,
      "random_state": 42
    },
    "parallel_training": true,
    "max_training_time_minutes": 120
  },
  "evaluation": {
    "metrics": ["rmse", "mae", "mape", "r2"],
    "generate_plots": true,
    "prediction_intervals": true,
    "residual_analysis": true,
    "model_comparison": true
  },
  "persistence": {
    "save_models": true,
    "versioning_strategy": "semantic",
    "model_registry_path": "model_registry",
    "hdfs_model_path": "hdfs://namenode:9000/models",
    "export_formats": ["pickle", "onnx", "pmml"]
  }
}"""


def rows():
    draw = np.random.default_rng(7)
    at = pd.date_range("2024-01-01", periods=ROWS, freq="h")
    hour, rain = at.hour.to_numpy(), draw.exponential(1, ROWS) * (draw.random(ROWS) < 0.2)
    volume = 2000 + 900 * np.sin((hour - 8) / 24 * 2 * np.pi) - 60 * rain + draw.normal(0, 80, ROWS)
    speed = 70 - volume / 100 - 3 * rain + draw.normal(0, 1, ROWS)
    return pd.DataFrame({"timestamp": at, "hour": hour, "rain": rain, "busy": volume > 2500, "traffic_volume": volume, "avg_speed": speed})


def with_paths(source, models):
    spec = json.loads(PUBLISHED)
    spec["data"]["source"] = source
    spec["persistence"]["hdfs_model_path"] = models
    return spec


def bytes_of(path):
    with open(path, "rb") as f:
        return f.read()


def lines_of(path):
    return bytes_of(path).decode().splitlines()


class Folder:
    """A folder with rows, a file and what comes of it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="weir-training-file-")
        os.makedirs(self.path("features"))
        self.rows = rows()
        self.rows.to_parquet(self.path("features", "part-0.parquet"))

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def spec(self):
        return with_paths(self.path("features"), self.path("models"))

    def write(self, spec, name="config.json"):
        with open(self.path(name), "w") as f:
            json.dump(spec, f)
        return self.path(name)

    def start(self, *args):
        return subprocess.Popen([os.environ["WEIR_BINARY"], *args], cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def weir(self, *args, code=0):
        done = subprocess.run([os.environ["WEIR_BINARY"], *args], cwd=self.dir, capture_output=True, text=True)
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        return done

    def read(self, *parts):
        with open(self.path(*parts)) as f:
            return json.load(f)


def small(folder):
    """Few points, for what is not about the search."""
    spec = folder.spec()
    spec["models"]["random_forest"]["hyperparameter_grid"] = {"n_estimators": [5, 10]}
    spec["training"]["cross_validation"]["folds"] = 2
    return spec


class Published(unittest.TestCase):
    """The file as it is published, once."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.config = cls.folder.write(cls.folder.spec())
        cls.done = cls.folder.weir("train", cls.config)
        cls.job = glob.glob(cls.folder.path("ml_training_results", "ml_pipeline_*"))[0]
        cls.results = cls.folder.read(cls.job, "results.json")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder.dir)

    def test_results_have_the_published_structure(self):
        r = self.results
        self.assertEqual(list(r), ["pipeline_id", "status", "data_preparation", "model_training", "model_evaluation", "model_persistence", "final_report", "pipeline_duration"])
        self.assertRegex(r["pipeline_id"], r"^ml_pipeline_\d{10}$")
        self.assertEqual((r["status"], os.path.basename(self.job)), ("completed", r["pipeline_id"]))
        self.assertGreater(r["pipeline_duration"], 0)
        d = r["data_preparation"]
        self.assertEqual((d["rows"], d["train_rows"], d["validation_rows"], d["test_rows"]), (ROWS, 210, 60, TEST_ROWS))
        self.assertEqual((d["targets"], [i["name"] for i in d["inputs"]]), (["traffic_volume", "avg_speed"], ["hour", "rain", "busy"]))
        # normalize changes nothing of least squares: two of the four points are the same.
        self.assertEqual((r["model_training"]["trials"], r["model_training"]["failed"], r["model_training"]["ended"]), (2 + 12, 0, "space"))

    def test_what_has_no_effect_is_said(self):
        self.assertIn("pickle is Python's", self.done.stderr)
        self.assertIn("normalize", self.done.stderr)

    def test_the_summary_names_versions_and_report(self):
        for words in ("RANK", "by target", "registered  random_forest version 1.0.0", "no pmml", "report.html"):
            self.assertIn(words, self.done.stdout)

    def test_the_report_is_one_page_with_both_targets(self):
        with open(os.path.join(self.job, "report.html"), encoding="utf-8") as f:
            page = f.read()
        self.assertTrue(page.endswith("</html>\n") and "<svg" in page and "<script" not in page)
        report = self.folder.read(self.job, "report.json")
        self.assertEqual([t["name"] for t in report["regression"]["targets"]], ["traffic_volume", "avg_speed"])
        self.assertEqual({m["name"] for m in report["models"]}, {"random_forest", "linear_regression"})

    def test_the_layout_is_the_published_one(self):
        for model in ("random_forest", "linear_regression"):
            version = self.folder.path("models", model, "v1.0.0")
            self.assertEqual(os.readlink(self.folder.path("models", model, "latest")), "v1.0.0")
            for name in ("model.weirmodel", "model.onnx", "metadata.json", "artifacts/report.html", "artifacts/report.json", "artifacts/quality.json", "artifacts/leaderboard.json"):
                self.assertTrue(os.path.getsize(os.path.join(version, name)), name)
            metadata = self.folder.read(version, "metadata.json")
            self.assertEqual([e["format"] for e in metadata["exports_left_out"]], ["pmml"])  # two targets
            self.assertEqual(metadata["lineage"]["run_id"], self.results["pipeline_id"])
        self.assertEqual({v["model"]: v["version"] for v in self.results["model_persistence"]["versions"]}, {"random_forest": "1.0.0", "linear_regression": "1.0.0"})
        for name in ("model_registry.json", "global_metrics.json"):
            self.assertTrue(os.path.exists(self.folder.path("models", name)))

    def predict(self, model, rows, form):
        rows.to_csv(self.folder.path("new.csv"), index=False)
        out = self.folder.path("out." + form)
        said = json.loads(self.folder.weir("infer", self.folder.path("models"), model, "--file", self.folder.path("new.csv"), "--out", out, "--output", "json").stdout)
        self.assertEqual(said["rows"], len(rows))
        return {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": lambda f: pd.read_json(f, lines=bytes_of(f)[:1] == b"{")}[form](out)

    def test_predictions_of_test_rows_have_the_metrics_that_were_told(self):
        test = self.folder.rows.tail(TEST_ROWS)
        for model in self.results["model_evaluation"]["models"]:
            found = self.predict(model["model"], test.drop(columns=["traffic_volume", "avg_speed"]), "parquet")
            told, each = model["metrics"], []
            for target in ("traffic_volume", "avg_speed"):
                error = test[target].to_numpy() - found["prediction_" + target].to_numpy()
                each.append(np.sqrt(np.mean(error**2)))
                self.assertAlmostEqual(told["rmse_" + target], each[-1], delta=1e-9 * each[-1])
                self.assertAlmostEqual(told["mae_" + target], np.abs(error).mean(), delta=1e-9 * each[-1])
            self.assertAlmostEqual(told["rmse"], np.mean(each), delta=1e-9 * told["rmse"])
        best = min(self.results["model_training"]["leaderboard"], key=lambda leader: leader["mean"])
        self.assertEqual(self.results["model_evaluation"]["best_model"], best["name"])
        report = self.folder.read(self.job, "report.json")
        self.assertAlmostEqual(report["models"][0]["metrics"]["rmse"]["value"], self.results["model_evaluation"]["models"][0]["metrics"]["rmse_traffic_volume"], places=9)

    def test_every_form_of_output_has_the_same_predictions_and_onnx_too(self):
        test = self.folder.rows.tail(TEST_ROWS)
        names = ["prediction_traffic_volume", "prediction_avg_speed"]
        found = [self.predict("linear_regression", test, form)[names].to_numpy() for form in ("parquet", "csv", "json")]
        np.testing.assert_allclose(found[1], found[0], rtol=1e-12)
        np.testing.assert_allclose(found[2], found[0], rtol=1e-12)
        session = onnxruntime.InferenceSession(self.folder.path("models", "linear_regression", "latest", "model.onnx"))
        first = session.get_inputs()
        values = test[["hour", "rain", "busy"]].to_numpy(dtype=np.float64)
        kind = {"tensor(float)": np.float32, "tensor(double)": np.float64}
        if len(first) == 1:
            feed = {first[0].name: values.astype(kind[first[0].type])}
        else:
            feed = {i.name: values[:, [k]].astype(kind[i.type]) for k, i in enumerate(first)}
        onnx = np.column_stack([np.asarray(o).reshape(TEST_ROWS, -1) for o in session.run(None, feed)])
        np.testing.assert_allclose(onnx[:, :2], found[0], rtol=1e-5)

    def test_rows_without_a_column_are_refused(self):
        self.folder.rows.drop(columns=["rain"]).to_csv(self.folder.path("lacks.csv"), index=False)
        done = self.folder.weir("infer", self.folder.path("models"), "random_forest", "--file", self.folder.path("lacks.csv"), "--out", self.folder.path("lacks.csv"), code=2)
        self.assertIn("cannot be written at the same time", done.stderr)
        done = self.folder.weir("infer", self.folder.path("models"), "random_forest", "--file", self.folder.path("lacks.csv"), "--out", self.folder.path("no.csv"), code=1)
        self.assertIn("rain", done.stderr)
        self.assertFalse(os.path.exists(self.folder.path("no.csv")))

    def test_an_unknown_model_or_version_is_named(self):
        for args, words in ((("forest",), "no model 'forest'"), (("random_forest", "--version", "2.0.0"), "1.0.0")):
            done = self.folder.weir("infer", self.folder.path("models"), *args, "--file", self.folder.path("features"), "--out", self.folder.path("no.csv"), code=1)
            self.assertIn(words, done.stderr)


class Runs(unittest.TestCase):
    def setUp(self):
        self.folder = Folder()
        self.addCleanup(shutil.rmtree, self.folder.dir)

    def jobs(self, out="ml_training_results"):
        return sorted(glob.glob(self.folder.path(out, "ml_pipeline_*")))

    def test_the_same_again_writes_no_new_version(self):
        config = self.folder.write(small(self.folder))
        said = [json.loads(self.folder.weir("train", config, "--output", "json", "--out", "runs").stdout) for _ in range(2)]
        self.assertEqual(len(self.jobs("runs")), 2)
        self.assertNotEqual(said[0]["pipeline_id"], said[1]["pipeline_id"])
        digests = [{v["model"]: (v["version"], v["digest"]) for v in s["model_persistence"]["versions"]} for s in said]
        self.assertEqual(digests[0], digests[1])
        self.assertEqual({v[0] for v in digests[0].values()}, {"1.0.0"})
        for name in os.listdir(self.jobs("runs")[0]):
            if name.endswith(".weirmodel"):
                first, second = (bytes_of(os.path.join(job, name)) for job in self.jobs("runs"))
                self.assertEqual(first, second, name)
        spec = small(self.folder)
        spec["models"]["random_forest"]["hyperparameter_grid"]["n_estimators"] = [3]
        again = json.loads(self.folder.weir("train", self.folder.write(spec), "--output", "json", "--out", "runs").stdout)
        self.assertEqual({v["model"]: v["version"] for v in again["model_persistence"]["versions"]}, {"random_forest": "1.1.0", "linear_regression": "1.0.0"})

    def test_a_killed_search_goes_on_with_the_points_that_it_has(self):
        config = self.folder.write(self.folder.spec())
        process = self.folder.start("train", config)
        lines = 0
        for _ in range(1200):
            found = glob.glob(self.folder.path("ml_training_results", "*", "trials.jsonl"))
            lines = bytes_of(found[0]).count(b"\n") if found else 0
            if lines >= 3:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.assertGreaterEqual(lines, 3)
        with open(found[0], "a") as f:
            f.write('{"spec": {"targ')  # cut off in the middle
        before = lines_of(found[0])[:3]
        (job,) = self.jobs()
        self.assertEqual(self.folder.read(job, "job.json")["status"], "running")
        said = json.loads(self.folder.weir("train", config, "--resume", "latest", "--output", "json").stdout)
        self.assertEqual((said["pipeline_id"], said["status"], said["model_training"]["trials"]), (os.path.basename(job), "completed", 14))
        self.assertEqual(self.jobs(), [job])
        after = lines_of(found[0])
        self.assertEqual((after[:3], len(after)), (before, 14))  # each point once
        steps = {s["name"]: s["attempts"] for s in self.folder.read(job, "job.json")["steps"]}
        self.assertEqual((steps["search"], steps["quality"]), (2, 1))
        # What a search without an interruption leaves.
        fresh = json.loads(self.folder.weir("train", config, "--out", "fresh", "--output", "json").stdout)
        self.assertEqual([(m["name"], m["mean"]) for m in fresh["model_training"]["leaderboard"]], [(m["name"], m["mean"]) for m in said["model_training"]["leaderboard"]])
        self.assertEqual([v["digest"] for v in fresh["model_persistence"]["versions"]], [v["digest"] for v in said["model_persistence"]["versions"]])

    def test_another_file_does_not_go_on_with_a_job(self):
        spec = small(self.folder)
        self.folder.weir("train", self.folder.write(spec))
        spec["training"]["random_state"] = 7
        done = self.folder.weir("train", self.folder.write(spec), "--resume", "latest", code=1)
        self.assertIn("another request", done.stderr)
        done = self.folder.weir("train", self.folder.write(spec), "--resume", "ml_pipeline_1", code=1)
        self.assertIn("there is no job 'ml_pipeline_1'", done.stderr)

    def test_the_best_so_far_is_taken_on_an_interrupt(self):
        process = self.folder.start("train", self.folder.write(self.folder.spec()), "--output", "json")
        for _ in range(1200):
            found = glob.glob(self.folder.path("ml_training_results", "*", "trials.jsonl"))
            if found and bytes_of(found[0]).count(b"\n") >= 3:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, complaints = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0, complaints)
        said = json.loads(out)
        self.assertEqual((said["status"], said["model_training"]["ended"]), ("completed", "cancelled"))
        self.assertLess(len(said["model_training"]["leaderboard"]), 14)
        self.assertTrue(os.path.exists(self.folder.path("models", "random_forest", "latest", "model.weirmodel")))

    def test_mistakes_are_named_by_path(self):
        def changed(section, key, value):
            spec = copy.deepcopy(small(self.folder))
            spec[section][key] = value
            return spec

        forest = changed("models", "random_forest", {"hyperparameters": {"n_estimator": 10}})
        for spec, words in ((changed("data", "sauce", "x"), "$.data.sauce"), (forest, "$.models.random_forest.hyperparameters.n_estimator"), (changed("data", "train_ratio", 0.9), "$.data"),
                            (changed("data", "source", "hdfs://namenode:9000/x"), "$.data"), (changed("data", "target_columns", ["traffic_volum"]), "traffic_volume"),
                            (changed("training", "primary_metric", "rsme"), "did you mean 'rmse'"), (changed("persistence", "export_formats", ["onxx"]), "$.persistence.export_formats[0]")):
            done = self.folder.weir("train", self.folder.write(spec, "wrong.json"), code=2)
            self.assertIn(words, done.stderr)
            self.assertIn("wrong.json", done.stderr)
        done = self.folder.weir("train", self.folder.write(small(self.folder)), "--budget", "5m", code=2)
        self.assertIn("--budget", done.stderr)

    def test_a_job_that_fails_says_so_in_its_results(self):
        spec = small(self.folder)
        spec["data"]["source"] = self.folder.path("nowhere")
        done = self.folder.weir("train", self.folder.write(spec), code=1)
        self.assertIn("--resume ml_pipeline_", done.stderr)
        (job,) = self.jobs()
        said = self.folder.read(job, "results.json")
        self.assertEqual(said["status"], "failed")
        self.assertIn("nowhere", said["error"])
        self.assertEqual([said[k] for k in ("data_preparation", "model_training", "model_evaluation", "model_persistence", "final_report")], [None] * 5)
        # The rows come, and the job goes on.
        shutil.copytree(self.folder.path("features"), self.folder.path("nowhere"))
        said = json.loads(self.folder.weir("train", self.folder.path("config.json"), "--resume", said["pipeline_id"], "--output", "json").stdout)
        self.assertEqual(said["status"], "completed")
        self.assertNotIn("error", said)

    def test_environments_and_parts_that_are_not_asked_for(self):
        spec = small(self.folder)
        spec["environments"] = {"quick": {"models": {"random_forest": {"enabled": False}}, "persistence": {"save_models": False},
                                          "evaluation": {"generate_plots": False, "prediction_intervals": False, "metrics": ["r2"]}}}
        said = json.loads(self.folder.weir("train", self.folder.write(spec), "--environment", "quick", "--output", "json").stdout)
        self.assertEqual(said["model_persistence"], {"store": None, "versions": []})
        self.assertFalse(os.path.exists(self.folder.path("models")))
        (job,) = self.jobs()
        self.assertFalse(os.path.exists(os.path.join(job, "report.html")))
        self.assertIn("none", self.folder.read(job, "report.json")["regression"]["intervals"])
        (model,) = said["model_evaluation"]["models"]
        self.assertEqual(set(model["metrics"]), {"r2", "r2_traffic_volume", "r2_avg_speed"})

    def test_classes_of_a_csv_file(self):
        table = self.folder.rows.drop(columns=["avg_speed"])
        table["busy"] = np.where(table["busy"], "yes", "no")
        table.drop(columns=["traffic_volume"]).to_csv(self.folder.path("busy.csv"), index=False)
        spec = small(self.folder)
        spec["data"].update(source=self.folder.path("busy.csv"), format="auto", target_columns=["busy"])
        spec["models"] = {"logistic_regression": {}, "random_forest": {"hyperparameters": {"n_estimators": 10, "random_state": 1}}}
        spec["training"]["primary_metric"] = "f1"
        spec["evaluation"]["metrics"] = ["f1", "accuracy", "roc_auc"]
        said = json.loads(self.folder.weir("train", self.folder.write(spec), "--output", "json").stdout)
        self.assertEqual(said["data_preparation"]["task"], "binary")
        told = {m["model"]: m["metrics"] for m in said["model_evaluation"]["models"]}["random_forest"]
        out = self.folder.path("busy-out.csv")
        self.folder.weir("infer", self.folder.path("models"), "random_forest", "--file", self.folder.path("busy.csv"), "--out", out)
        found = pd.read_csv(out).tail(TEST_ROWS)
        actual = table["busy"].tail(TEST_ROWS) == "yes"
        self.assertAlmostEqual((found["prediction"].astype(str).str.lower() == actual.astype(str).str.lower().to_numpy()).mean(), told["accuracy"], places=12)

    @unittest.skipUnless(os.path.exists(METRO), "no data of a real road")
    def test_hours_of_a_real_road(self):
        spec = small(self.folder)
        spec["data"].update(source=METRO, format="csv", target_columns=["traffic_volume", "temp"], time_column="date_time")
        spec["models"] = {"linear_regression": {}, "random_forest": {"hyperparameters": {"n_estimators": 5, "max_depth": 5}}}
        said = json.loads(self.folder.weir("train", self.folder.write(spec), "--output", "json").stdout)
        self.assertEqual(said["status"], "completed")
        self.assertGreater(said["data_preparation"]["rows"], 30000)
        self.assertTrue(os.path.exists(self.folder.path(said["final_report"]["page"])))


if __name__ == "__main__":
    unittest.main(verbosity=2)
