"""`weir score --file`: scores of files of every format against XGBoost's own from PyPI, bit for bit; rows that are none, kills, a file larger than the memory that it may have, real customers.

Needs WEIR_BINARY (./run test sets it) and no services. Reads WEIR_TEST_DATA (default ../shared/data) for real data; without it that part is skipped."""
import json
import os
import pty
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

if not os.environ.get("WEIR_BINARY"):
    print("skipped: WEIR_BINARY not set; ./run test sets it")
    sys.exit(77)

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import xgboost  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DATA = os.environ.get("WEIR_TEST_DATA") or os.path.join(ROOT, "..", "shared", "data")
CHURN = os.path.join(DATA, "churn", "telco_churn.csv")
INPUTS = ["x%d" % i for i in range(8)]
SANITIZED = b"__asan_init" in open(os.environ["WEIR_BINARY"], "rb").read()


class Folder:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="weir-score-")

    def path(self, name):
        return os.path.join(self.dir, name)

    def weir(self, *args, code=0, **more):
        done = subprocess.run([os.environ["WEIR_BINARY"], *map(str, args)], cwd=self.dir, capture_output=True, text=True, timeout=600, **more)
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        return done

    def score(self, file, out, *args, code=0, **more):
        return self.weir("score", "--model-file", self.model, "--file", self.path(file), "--out", self.path(out), *args, code=code, **more)

    def train(self, file, target, model="xgboost", **hyperparameters):
        spec = {"data": {"source": self.path(file), "target_columns": target}, "models": {model: {"enabled": True, "hyperparameters": hyperparameters}},
                "training": {"primary_metric": hyperparameters.pop("metric", "rmse"), "cross_validation": {"enabled": False}},
                "evaluation": {"generate_plots": False, "prediction_intervals": False, "model_comparison": False, "residual_analysis": False},
                "persistence": {"model_registry_path": self.path("models-" + file)}}
        with open(self.path("train.json"), "w") as f:
            json.dump(spec, f)
        self.weir("train", self.path("train.json"))
        return self.path("models-%s/%s/latest/model.weirmodel" % (file, model))


def rows(count, seed):
    r = np.random.default_rng(seed)
    x = r.normal(size=(count, len(INPUTS)))
    x[r.random(x.shape) < 0.03] = np.nan
    frame = pd.DataFrame(x, columns=INPUTS)
    frame.insert(0, "id", ["%07d" % i for i in range(count)])
    frame["note"] = [None if i % 7 == 0 else 'it said "yes, %d"\nand went' % i if i % 5 == 0 else "ä%d" % i for i in range(count)]
    frame["at"] = pd.Timestamp("2024-03-01") + pd.to_timedelta(np.arange(count), unit="s")
    frame["y"] = (np.nan_to_num(x[:, 0] * x[:, 1] + x[:, 2]) + r.normal(size=count) > 0).astype(int)
    return frame


def booster(model):
    """XGBoost's own, from the body of the artifact."""
    with open(model, "rb") as f:
        artifact = f.read()
    header_len, = struct.unpack("<I", artifact[12:16])
    body_len, = struct.unpack("<Q", artifact[16 + header_len:24 + header_len])
    found = xgboost.Booster()
    found.load_model(bytearray(artifact[24 + header_len:24 + header_len + body_len]))
    return found


def same_bits(test, found, expected):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    test.assertEqual(found.shape, expected.shape)
    differ = np.flatnonzero(found.view(np.int64) != expected.view(np.int64))
    test.assertEqual(len(differ), 0, (differ[:5], found[differ[:5]], expected[differ[:5]]))


folder = None


def setUpModule():
    global folder
    folder = Folder()
    rows(4000, 1)[INPUTS + ["y"]].to_parquet(folder.path("train.parquet"))
    folder.model = folder.train("train.parquet", ["y"], n_estimators=60, max_depth=6, metric="roc_auc")
    folder.frame = rows(12345, 2)
    folder.frame.to_parquet(folder.path("rows.parquet"), row_group_size=3000)
    folder.frame.to_csv(folder.path("rows.csv"), index=False)
    with open(folder.path("rows.jsonl"), "w") as f:  # pandas writes ten digits
        for row in folder.frame.drop(columns="at").itertuples(index=False):
            f.write(json.dumps({k: None if v is None or v != v else v for k, v in row._asdict().items()}) + "\n")
    folder.expected = booster(folder.model).predict(xgboost.DMatrix(folder.frame[INPUTS].to_numpy(np.float32), feature_names=INPUTS)).astype(np.float64)


def tearDownModule():
    shutil.rmtree(folder.dir)


def read(path):
    if path.endswith(".parquet"):
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype={"id": str}) if path.endswith(".csv") else pd.read_json(path, lines=True, dtype={"id": str}, precise_float=True)


class Scores(unittest.TestCase):
    def test_every_format_gives_xgboosts_bits_in_the_order_of_the_rows(self):
        for source in ("rows.parquet", "rows.csv", "rows.jsonl"):
            for out in ("out.parquet", "out.csv", "out.jsonl"):
                with self.subTest(source=source, out=out):
                    done = folder.score(source, out, "--part-rows", "5000", "--threads", "3")
                    self.assertIn("12345 rows", done.stdout)
                    self.assertEqual(done.stderr, "")  # no progress in a pipe
                    found = read(folder.path(out))
                    self.assertEqual(list(found["id"]), list(folder.frame["id"]))
                    self.assertEqual([n or None for n in found["note"].fillna("")], list(folder.frame["note"].replace({np.nan: None})))
                    if out.endswith(".jsonl"):
                        with open(folder.path(out)) as f:
                            found["score"] = [json.loads(line)["score"] for line in f]
                    same_bits(self, found["score"], folder.expected)
                    self.assertEqual(list(found["decision"].astype(bool)), list(folder.expected >= 0.5))
                    self.assertEqual(set(found["model"]), {"xgboost"})
                    self.assertEqual(found["error"].notna().sum(), 0)
        self.assertEqual([n for n in os.listdir(folder.dir) if n.startswith(".")], [])

    def test_columns_of_csv_have_types_in_parquet_that_hold_every_value(self):
        folder.score("rows.csv", "typed.parquet")
        schema = pq.read_schema(folder.path("typed.parquet"))
        self.assertEqual(schema.field("id").type, pa.string())  # leading zeros are of a name
        self.assertEqual(schema.field("x0").type, pa.float64())
        self.assertEqual(schema.field("y").type, pa.int64())
        self.assertTrue(pa.types.is_timestamp(schema.field("at").type))
        self.assertEqual(pq.ParquetFile(folder.path("typed.parquet")).metadata.row_group(0).column(0).compression, "ZSTD")
        late = folder.frame[INPUTS].assign(n=["1"] * 12000 + ["1.5"] * 345, d=["2024-03-01"] * 12344 + ["soon"])
        late = pd.concat([late, late, late])  # what is other lies behind the sample by which types are guessed
        late.iloc[0, late.columns.get_loc("n")] = "2"
        late.to_csv(folder.path("late.csv"), index=False)
        folder.score("late.csv", "late.parquet")
        found = pd.read_parquet(folder.path("late.parquet"))
        self.assertEqual(found["n"].sum(), 2 + 3 * 12000 - 1 + 3 * 345 * 1.5)
        self.assertEqual(list(found["d"]), list(late["d"]))

    def test_chosen_columns_prefix_and_threshold(self):
        done = folder.score("rows.csv", "few.csv", "--columns", "id,y", "--prefix", "model_", "--threshold", "0.9", "--output", "json")
        self.assertEqual(json.loads(done.stdout)["rows"], 12345)
        found = read(folder.path("few.csv"))
        self.assertEqual(list(found), ["id", "y", "model_score", "model_decision", "model_model", "model_version", "model_error"])
        self.assertEqual(list(found["model_decision"]), list(folder.expected >= 0.9))
        folder.score("few.csv", "again.csv", "--columns", "nothing", code=1)
        folder.weir("score", "--model-file", folder.model, "--file", folder.path("rows.parquet"), "--out", folder.path("plain.xyz"), code=2)
        folder.weir("score", "--model-file", folder.model, "--file", folder.path("rows.parquet"), "--out", folder.path("plain.xyz"), "--out-format", "csv")
        same_bits(self, read_csv(folder.path("plain.xyz"))["score"], folder.expected)

    def test_a_folder_of_files_is_one_input(self):
        os.mkdir(folder.path("many"))
        for i in range(4):
            folder.frame[i * 3000:(i + 1) * 3000].to_parquet(folder.path("many/part-%d.parquet" % i))
        folder.score("many", "many.parquet", "--part-rows", "4096")
        same_bits(self, read(folder.path("many.parquet"))["score"], folder.expected[:12000])

    def test_a_file_without_rows_gives_one_without_rows(self):
        folder.frame[:0].to_csv(folder.path("none.csv"), index=False)
        folder.score("none.csv", "none-out.csv")
        with open(folder.path("none-out.csv")) as f:
            self.assertEqual(f.read(), ",".join(list(folder.frame) + ["score", "decision", "model", "version", "error"]) + "\n")


def read_csv(path):
    return pd.read_csv(path)


class Rejected(unittest.TestCase):
    def setUp(self):
        text = folder.frame.astype({n: object for n in INPUTS})
        text.loc[17, "x3"] = "a lot"
        text.loc[9000, "x5"] = "inf"
        text.loc[12344, "x0"] = "1,5"
        text.to_csv(folder.path("bad.csv"), index=False)
        self.good = np.ones(len(text), bool)
        self.good[[17, 9000, 12344]] = False

    def test_they_stay_in_their_place_with_the_reason(self):
        done = folder.weir("score", "fraud", "--model-file", self.plain_model(), "--file", folder.path("bad.csv"), "--out", folder.path("kept.csv"), code=1)
        self.assertIn("3 of 12345 rows", done.stderr)
        self.assertIn("row 18: column 'x3': found 'a lot', expected a number", done.stderr)
        self.assertIn("row 9001: column 'x5': found inf, expected a finite number", done.stderr)
        found = read(folder.path("kept.csv"))
        self.assertEqual(len(found), 12345)
        self.assertEqual(list(np.flatnonzero(found["error"].notna())), [17, 9000, 12344])
        self.assertTrue(found["score"][~self.good].isna().all() and found["decision"][~self.good].isna().all())
        same_bits(self, found["score"][self.good], folder.expected[self.good])

    def plain_model(self):
        """Away from metadata.json, which says that an infinite number is a missing one, as it was in training."""
        shutil.copy(folder.model, folder.path("plain.weirmodel"))
        return folder.path("plain.weirmodel")

    def test_or_in_a_file_of_their_own(self):
        done = folder.weir("score", "--model-file", self.plain_model(), "--file", folder.path("bad.csv"), "--out", folder.path("good.parquet"), "--errors",
                           folder.path("errors.csv"), code=1)
        self.assertIn("12342 rows", done.stdout)
        found, errors = read(folder.path("good.parquet")), read(folder.path("errors.csv"))
        self.assertNotIn("error", found)
        same_bits(self, found["score"], folder.expected[self.good])
        self.assertEqual(list(errors["row"]), [18, 9001, 12345])
        self.assertEqual(errors["x0"][2], "1,5")
        self.assertIn("'1,5', expected a number", errors["error"][2])

    def test_what_is_wrong_with_the_whole_is_said_before_any_work(self):
        folder.frame.drop(columns="x4").to_csv(folder.path("lacks.csv"), index=False)
        folder.frame.assign(x4=pd.Timestamp("2024-03-01")).to_parquet(folder.path("times.parquet"))
        folder.frame.assign(Score=1).to_parquet(folder.path("named.parquet"))
        with open(folder.path("broken.csv"), "w") as f:
            f.write(",".join(INPUTS) + "\n" + "1,2,3,4,5,6,7,8\n" * 50000 + "1,2,3\n")
        for name, words in (("lacks.csv", "x4"), ("times.parquet", "column 'x4' holds TIMESTAMP"), ("named.parquet", "column 'score' already"), ("broken.csv", "50002"),
                            ("nowhere.csv", "No such file")):
            with self.subTest(name):
                done = folder.score(name, "never.csv", code=1)
                self.assertIn(words, done.stderr)
                self.assertIn(name, done.stderr)
                self.assertFalse(os.path.exists(folder.path("never.csv")))
        self.assertIn("cannot be written at the same time", folder.score("rows.csv", "rows.csv", code=2).stderr)
        self.assertIn("--out is missing", folder.weir("score", "--model-file", folder.model, "--file", folder.path("rows.csv"), code=2).stderr)
        self.assertIn("needs the name of a pipeline", folder.weir("score", "--file", folder.path("rows.csv"), code=2).stderr)


class Interrupted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        big = pd.concat([folder.frame.drop(columns=["note", "at"])] * 40, ignore_index=True)
        big.to_csv(folder.path("big.csv"), index=False)
        big.to_parquet(folder.path("big.parquet"))
        cls.expected = np.tile(folder.expected, 40)

    def begin(self, source, out):
        args = [os.environ["WEIR_BINARY"], "score", "--model-file", folder.model, "--file", folder.path(source), "--out", folder.path(out), "--part-rows", "20000"]
        return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until_parts(self, process, out, count):
        parts = folder.path(".%s.parts/part-%06d.parquet" % (out, count))
        while not os.path.exists(parts):
            self.assertIsNone(process.poll(), "it ended before it could be stopped")
            time.sleep(0.002)

    def test_a_killed_job_goes_on_and_gives_the_same_rows(self):
        for source in ("big.csv", "big.parquet"):
            with self.subTest(source):
                out = "killed-%s.parquet" % source
                process = self.begin(source, out)
                self.until_parts(process, out, 3)
                process.kill()
                process.communicate()
                self.assertFalse(os.path.exists(folder.path(out)))
                done = folder.score(source, out, "--part-rows", "20000", "--output", "json")
                self.assertIn("goes on behind row", done.stderr)
                self.assertGreaterEqual(json.loads(done.stdout)["resumed"], 60000)
                folder.score(source, "whole.parquet", "--part-rows", "20000")
                self.assertTrue(pq.read_table(folder.path(out)).equals(pq.read_table(folder.path("whole.parquet"))))
                same_bits(self, read(folder.path(out))["score"], self.expected)

    def test_ctrl_c_keeps_what_is_finished_and_leaves_no_half_file(self):
        process = self.begin("big.csv", "stopped.csv")
        self.until_parts(process, "stopped.csv", 1)
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, complaints)
        self.assertIn("the same command goes on", complaints)
        self.assertFalse(os.path.exists(folder.path("stopped.csv")))
        again = self.begin("big.csv", "stopped.csv")
        self.until_parts(again, "stopped.csv", 2)
        self.assertIn("another process", folder.score("big.csv", "stopped.csv", "--part-rows", "20000", code=1).stderr)
        output, complaints = again.communicate(timeout=600)
        self.assertEqual(again.returncode, 0, complaints)
        self.assertIn("goes on behind row", complaints)
        same_bits(self, read(folder.path("stopped.csv"))["score"], self.expected)

    def test_another_input_begins_anew_and_says_so(self):
        shutil.copy(folder.path("big.parquet"), folder.path("changes.parquet"))
        process = self.begin("changes.parquet", "changed.csv")
        self.until_parts(process, "changed.csv", 2)
        process.kill()
        process.communicate()
        folder.frame.to_parquet(folder.path("changes.parquet"))
        done = folder.score("changes.parquet", "changed.csv", "--part-rows", "20000")
        self.assertIn("begins anew: the input has changed", done.stderr)
        same_bits(self, read(folder.path("changed.csv"))["score"], folder.expected)

    def test_a_terminal_sees_progress(self):
        leader, follower = pty.openpty()
        process = subprocess.Popen([os.environ["WEIR_BINARY"], "score", "--model-file", folder.model, "--file", folder.path("big.parquet"), "--out", folder.path("seen.parquet")],
                                   stdout=subprocess.PIPE, stderr=follower)
        os.close(follower)
        seen = b""
        try:
            while data := os.read(leader, 65536):
                seen += data
        except OSError:  # the other side is closed
            pass
        process.communicate(timeout=600)
        os.close(leader)
        self.assertIn(b"of %d rows" % (40 * 12345), seen)
        self.assertIn(b"s left", seen)

    @unittest.skipIf(SANITIZED, "the sanitizer's own memory would be measured")
    def test_a_file_larger_than_memory(self):
        """Several times what the process may have in all: text, where nothing is known of the rows before they are read."""
        limit_mib, copies = 700, 28
        with open(folder.path("big.csv"), "rb") as f:
            head = f.readline()
            body = f.read()
        with open(folder.path("huge.csv"), "wb") as f:
            f.write(head)
            for _ in range(copies):
                f.write(body)
        size = os.path.getsize(folder.path("huge.csv"))
        self.assertGreater(size, 3 * limit_mib << 20)
        process = subprocess.Popen([os.environ["WEIR_BINARY"], "score", "--model-file", folder.model, "--file", folder.path("huge.csv"), "--out", folder.path("huge.parquet"),
                                    "--columns", "id", "--max-memory-mib", "256"], stdout=subprocess.PIPE, text=True)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        self.assertEqual(process.returncode, 0)
        self.assertLess(usage.ru_maxrss, limit_mib << 10)
        self.assertEqual(pq.ParquetFile(folder.path("huge.parquet")).metadata.num_rows, copies * 40 * 12345)
        os.remove(folder.path("huge.csv"))
        os.remove(folder.path("huge.parquet"))


class Kinds(unittest.TestCase):
    def test_classes_and_targets_have_columns_of_their_own(self):
        frame = folder.frame.head(3000)
        kinds = np.array(["calm", "rough", "wild"])[(frame["x0"].fillna(0) > 0).to_numpy(int) + (frame["x1"].fillna(0) > 0).to_numpy(int)]
        frame[INPUTS].assign(sea=kinds).to_parquet(folder.path("sea.parquet"))
        model = folder.train("sea.parquet", ["sea"], n_estimators=10, max_depth=3, metric="f1_macro")
        folder.weir("score", "--model-file", model, "--file", folder.path("sea.parquet"), "--out", folder.path("seas.parquet"))
        found = pd.read_parquet(folder.path("seas.parquet"))
        self.assertEqual(list(found)[len(INPUTS) + 1:], ["score_calm", "score_rough", "score_wild", "prediction", "model", "version", "error"])
        expected = booster(model).predict(xgboost.DMatrix(frame[INPUTS].to_numpy(np.float32), feature_names=INPUTS))
        np.testing.assert_allclose(found[["score_calm", "score_rough", "score_wild"]], expected, rtol=1e-6)
        self.assertEqual(list(found["prediction"]), list(np.array(["calm", "rough", "wild"])[expected.argmax(1)]))
        frame[INPUTS].assign(a=frame["x0"].fillna(0), b=frame["x1"].fillna(0)).to_parquet(folder.path("two.parquet"))
        model = folder.train("two.parquet", ["a", "b"], "random_forest", n_estimators=5, max_depth=4)
        folder.weir("score", "--model-file", model, "--file", folder.path("rows.csv"), "--out", folder.path("two-out.parquet"), "--columns", "id")
        found = pd.read_parquet(folder.path("two-out.parquet"))
        self.assertEqual(list(found), ["id", "score_a", "score_b", "model", "version", "error"])
        self.assertGreater(np.corrcoef(found["score_a"], folder.frame["x0"].fillna(0))[0, 1], 0.9)

    @unittest.skipUnless(os.path.exists(CHURN), "no churn data")
    def test_real_customers(self):
        """Texts as categories, a number that is a text in some rows, and the same answers as `weir infer`."""
        shutil.copy(CHURN, folder.path("telco.csv"))
        customers = pd.read_csv(CHURN)
        target = [c for c in customers if c.lower() == "churn"]
        self.assertTrue(target)
        model = folder.train("telco.csv", target, n_estimators=50, max_depth=4, metric="roc_auc")
        scored = folder.weir("score", "--model-file", model, "--file", folder.path("telco.csv"), "--out", folder.path("telco.parquet"), "--errors", folder.path("telco-errors.csv"), "--output", "json",
                             code=0)
        folder.weir("infer", folder.path("models-telco.csv"), "xgboost", "--file", folder.path("telco.csv"), "--out", folder.path("telco-infer.parquet"))
        self.assertEqual(json.loads(scored.stdout)["rows"], len(customers))
        found, inferred = pd.read_parquet(folder.path("telco.parquet")), pd.read_parquet(folder.path("telco-infer.parquet"))
        same_bits(self, found["score"], inferred["probability"])
        churned = customers[target[0]].astype(str).str.lower().isin(["yes", "1", "true"]).to_numpy()
        order = found["score"].rank().to_numpy()
        auc = (order[churned].sum() - churned.sum() * (churned.sum() + 1) / 2) / (churned.sum() * (~churned).sum())
        self.assertGreater(auc, 0.83)


if __name__ == "__main__":
    unittest.main()
