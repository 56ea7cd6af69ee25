"""Models that several processes fit together: on a matrix, the same as one process fits and as the Python xgboost package fits, within tolerances; then `weir train PIPELINE --workers N` over a real stack:
registered, explained, killed in the middle, joined from another process, made again to the byte.

Tolerances. Where columns have no more values than bins and nothing is drawn, scores differ by less than 1e-5: sums are added in another order. Where they have more, thresholds come from merged sketches:
a row between an old and a new threshold may have
quite another score, but those of two thirds of the rows and more differ by less than 0.05, AUC on rows that nobody was fitted on by less than 0.003. Against the package: AUC by less than 0.005 (its sketch is another one too)."""
import glob
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from weirtest import *  # noqa: E402,F403
from trainingtest import done, environment, scores, table_of, wait_stored  # noqa: E402

import numpy as np  # noqa: E402
import xgboost  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

MODELS_TOOL = os.path.join(os.environ.get("WEIR_BUILD", os.path.join(ROOT, "build")), "weir_tool_models")
START, ENTITIES, DAYS = "2024-03-01", 300, 12
ROWS, COLUMNS, TEST_ROWS = 40000, 12, 10000


# ---- matrices ----
class Matrix:
    def __init__(self, folder, values):
        random = np.random.default_rng(3)
        x = random.random((ROWS + TEST_ROWS, COLUMNS))
        if values:
            x = np.floor(x * values) / values
        margin = 4 * (x[:, 0] > 0.6) + 3 * x[:, 1] * x[:, 2] + np.sin(6 * x[:, 3]) - 3
        y = (random.random(len(x)) < 1 / (1 + np.exp(-margin))).astype(float)
        x[random.random(x.shape) < 0.02] = np.nan
        self.folder, self.x, self.y, self.test_x, self.test_y = folder, x[:ROWS], y[:ROWS], x[ROWS:], y[ROWS:]
        self.paths = {}
        for name, array in (("x", self.x), ("y", self.y), ("test", self.test_x)):
            self.paths[name] = os.path.join(folder, name)
            np.ascontiguousarray(array, "<f8").tofile(self.paths[name])

    def fit(self, algorithm, workers, **params):
        """By so many processes, 0: by one that is not distributed. The artifact and its scores of the test rows."""
        artifact, out = (os.path.join(self.folder, name) for name in ("artifact", "scores"))
        command = ["together", str(workers), "10"] if workers else ["fit_task"]
        data = [str(COLUMNS), self.paths["x"], self.paths["y"], artifact]
        subprocess.run([MODELS_TOOL, *command, "binary", "0", "-", algorithm, json.dumps(params), "42", "1", *data], check=True)
        subprocess.run([MODELS_TOOL, "predict", artifact, self.paths["test"], out], check=True)
        with open(artifact, "rb") as f:
            return f.read(), np.fromfile(out, "<f8")

    def package(self, rounds, **params):
        theirs = {"objective": "binary:logistic", "base_score": 0.5, "tree_method": "hist", "nthread": 1, "seed": 42, "reg_lambda": 1, "min_child_weight": 2, "learning_rate": 0.1, "max_depth": 4} | params
        return xgboost.train(theirs, xgboost.DMatrix(self.x, self.y), rounds).predict(xgboost.DMatrix(self.test_x))

    def auc(self, found):
        return roc_auc_score(self.test_y, found)


def test_as_one(folder):
    for values in (100, 0):
        matrix = Matrix(folder, values)
        for name, algorithm, params in (("all rows", "xgboost", {"rounds": 40, "subsample": 1, "colsample_bytree": 1, "max_bin": 256}), ("drawn", "xgboost", {"rounds": 40, "max_bin": 256}),
                                        ("forest", "random_forest", {"trees": 20, "max_depth": 8, "max_bin": 256})):
            drawn = name != "all rows"
            _, one = matrix.fit(algorithm, 1 if drawn else 0, **params)
            _, alone = matrix.fit(algorithm, 0, **params)
            for workers in (2, 3):
                artifact, several = matrix.fit(algorithm, workers, **params)
                again, _ = matrix.fit(algorithm, workers, **params)
                assert artifact == again, "the same fit again gives other bytes"
                differs, auc = np.abs(several - one), abs(matrix.auc(several) - matrix.auc(one))
                print("%s, %s values a column, %d workers: scores differ by %.2g at most, %.2g in the median; AUC %.5f, of one %.5f, of a process alone %.5f" %
                      (name, values or ROWS, workers, differs.max(), np.median(differs), matrix.auc(several), matrix.auc(one), matrix.auc(alone)))
                assert auc < 0.003 and abs(matrix.auc(several) - matrix.auc(alone)) < 0.01
                assert differs.max() < 1e-5 if values and not drawn else np.quantile(differs, 2 / 3) < 0.05, differs.max()
            if not drawn:
                theirs = matrix.package(40, max_bin=256)
                print("  the package %s: AUC %.5f, scores differ by %.2g in the median" % (xgboost.__version__, matrix.auc(theirs), np.median(np.abs(theirs - several))))
                assert abs(matrix.auc(theirs) - matrix.auc(several)) < 0.005


# ---- a pipeline ----
def candidates(spec):
    short_training(spec, "6d", "2d")
    name, spec["partitions"] = spec["pipeline"], 2
    boosted = {"rounds": 60, "max_depth": 5}
    spec["training"].update(champion=name + "-boosted", challenger=name + "-forest", preprocessing=[{"impute": "median"}])
    spec["training"]["candidates"] = [{"name": name + "-boosted", "algorithm": "xgboost", "params": boosted, "class_weight": "balanced"}, {"name": name + "-long", "algorithm": "xgboost", "params": {"rounds": 300}},
                                      {"name": name + "-forest", "algorithm": "random_forest", "params": {"trees": 20}, "workers": 2}, {"name": name + "-logistic", "algorithm": "logistic"}]


def watermarks(topic):
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "none"})
    parts = consumer.list_topics(topic).topics[topic].partitions
    found = [(part, consumer.get_watermark_offsets(TopicPartition(topic, part))[1]) for part in parts]
    consumer.close()
    return found


def command(p, *args):
    return [BINARY, "train", p.path, "--train-from", START, "--output", "json", *args]


def run(p, *args, code=0, token=None):
    env = environment(p) | ({"WEIR_TRAINING_TOKEN": token} if token else {})
    ended = subprocess.run(command(p, *args), env=env, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == code, "%s: exit %d, expected %d\n%s\n%s" % (" ".join(args), ended.returncode, code, ended.stdout, ended.stderr)
    return json.loads(ended.stdout) if not code else ended.stderr


def version_of(run_json):
    (version,) = run_json["detail"]["versions"]
    return version


def test_registered(p):
    """One version, whose lineage says how many workers fitted it; measured on the test days; the same run made again gives the same bytes."""
    name = p.name + "-boosted"
    two, one = (run(p, "--workers", n, "--model", name) for n in ("2", "1"))
    assert two["status"] == "succeeded" and two["request"]["workers"] == 2 and two["detail"]["workers_lost"] == 0, two
    version = version_of(two)
    ((lineage, metrics),) = query("SELECT lineage, metrics FROM weir.model_versions WHERE pipeline = '%s' AND digest = '%s'" % (p.name, version["digest"]))
    assert lineage["workers"] == 2 and lineage["spec"]["workers"] == 2 and metrics["auc_roc"] == version["metrics"]["auc_roc"]
    print("two workers: AUC %.5f, one %.5f" % (version["metrics"]["auc_roc"], version_of(one)["metrics"]["auc_roc"]))
    assert abs(version["metrics"]["auc_roc"] - version_of(one)["metrics"]["auc_roc"]) < 0.03, "few frauds in two days"
    # the scores of the artifact are finite, and it is an ordinary one
    values, label, _, _ = table_of(p)
    found = scores(p, version["artifact_path"], values[label.notna()])
    assert np.isfinite(found).all() and roc_auc_score(label[label.notna()], found) > 0.7
    again = done(p, BINARY, "lineage", "reproduce", p.path, "--run", two["id"])
    assert version["digest"][:12] in again, again
    assert query("SELECT model FROM weir.aliases WHERE pipeline = '%s' AND alias = 'champion'" % p.name) == [(name,)]


def test_killed(p):
    """kill -9 of a worker after the first checkpoint: the group goes on from it and ends with the bytes of an undisturbed run. Then of the leader: the next run goes on where it was."""
    name, checkpoints = p.name + "-long", os.path.join(p.dir, "objects", "checkpoints")
    undisturbed = version_of(run(p, "--workers", "2", "--model", name))["digest"]

    def begin():
        process = subprocess.Popen(command(p, "--workers", "2", "--model", name), env=environment(p), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # under its own name: while it is written it has another
        wait_for("a checkpoint", lambda: glob.glob(checkpoints + "/" + 64 * "[0-9a-f]") or process.poll() is not None, timeout_s=120, every_s=0.01)
        assert process.poll() is None, process.communicate()
        return process

    def children(pid):
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(child) for child in f.read().split()]

    process = begin()
    workers = children(process.pid)
    assert len(workers) == 2, workers
    os.kill(workers[1], signal.SIGKILL)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert version_of(json.loads(out))["digest"] == undisturbed and json.loads(out)["detail"]["workers_lost"] == 1, err
    assert "begins anew" in err and not os.listdir(checkpoints), err

    process = begin()
    workers = children(process.pid)
    process.kill()
    process.communicate()
    wait_for("the workers to end", lambda: not any(os.path.exists("/proc/%d" % worker) for worker in workers))
    ended = subprocess.run(command(p, "--workers", "2", "--model", name), env=environment(p), cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0 and "a checkpoint of an earlier run is there" in ended.stderr, ended.stderr
    assert version_of(json.loads(ended.stdout))["digest"] == undisturbed
    print("killed worker, killed leader: the bytes of the undisturbed run")

    process = begin()
    workers = children(process.pid)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0 and "asked to stop" in err, err
    wait_for("the workers to end", lambda: not any(os.path.exists("/proc/%d" % worker) for worker in workers))


def test_joined(p):
    """A worker that was started by hand, with the token; one without it, and garbage, do not disturb."""
    name, port = p.name + "-boosted", str(free_port())
    join = [BINARY, "train", "--join", "127.0.0.1:" + port, "--wait", "60s"]
    helper = subprocess.Popen(join, env=environment(p) | {"WEIR_TRAINING_TOKEN": "of-the-house"}, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    stranger = subprocess.Popen(join, env=environment(p) | {"WEIR_TRAINING_TOKEN": "guessed"}, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    joined = run(p, "--workers", "2", "--remote", "1", "--listen", "127.0.0.1:" + port, "--model", name, token="of-the-house")
    assert helper.wait(60) == 0, helper.stderr.read()
    assert stranger.wait(120) != 0 and "token" in stranger.stderr.read()
    helper.stderr.close()
    stranger.stderr.close()
    assert version_of(joined)["digest"] == version_of(run(p, "--workers", "2", "--model", name))["digest"]


def test_refused(p):
    for args, words in ((("--workers", "2", "--model", p.name + "-logistic"), "those of xgboost and random_forest they can"), (("--workers", "2", "--model", "none"), "there is no candidate 'none'"),
                        (("--workers", "2", "--budget", "1m"), "--workers fits one candidate here"), (("--remote", "1"), "go with --workers"), (("--workers", "2", "--remote", "1"), "token"),
                        (("--workers", "65"), "64")):
        found = run(p, *args, code=2)
        assert words in found, found


def test_worker(p):
    """The train worker does it for a candidate that says so in the pipeline's file."""
    p.start("train")
    ended = json.loads(done(p, *command(p)))
    versions = {version["name"]: version for version in ended["detail"]["versions"]}
    ((lineage,),) = query("SELECT lineage FROM weir.model_versions WHERE pipeline = '%s' AND digest = '%s'" % (p.name, versions[p.name + "-forest"]["digest"]))
    assert lineage["workers"] == 2 and len(versions) == 4
    assert versions[p.name + "-forest"]["digest"] == version_of(run(p, "--workers", "2", "--model", p.name + "-forest"))["digest"]


def main():
    with tempfile.TemporaryDirectory() as folder:
        test_as_one(folder)
    with Pipeline(candidates) as p:
        p.start("ingest")
        p.start("store")
        done(p, BINARY, "simulate", p.path, "--domain", "fraud", "--entities", str(ENTITIES), "--days", str(DAYS), "--start", START)
        wait_stored(p, sum(offset for _, offset in watermarks(p.topic("events"))))
        p.kill("ingest", sig=signal.SIGTERM)
        p.kill("store", sig=signal.SIGTERM)
        test_refused(p)
        test_registered(p)
        test_killed(p)
        test_joined(p)
        test_worker(p)


main()
