"""Scheduled batches over real PostgreSQL: two schedulers do each due time once, a killed one's run is finished by the other, what was missed is one run, what is broken fails and says why; the champion,
a version and `latest` by name through `weir score`."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import psycopg2  # noqa: E402

INPUTS = ["x%d" % i for i in range(6)]


def rows(count, seed):
    r = np.random.default_rng(seed)
    frame = pd.DataFrame(r.normal(size=(count, len(INPUTS))), columns=INPUTS)
    frame["y"] = (frame["x0"] + frame["x1"] + r.normal(size=count) > 0).astype(int)
    return frame


def weir(p, *args, code=0):
    env = dict(os.environ, WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"), WEIR_STATE_DIR=os.path.join(p.dir, "state"))
    done = subprocess.run([BINARY, *map(str, args)], cwd=p.dir, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
    return done


def fit(p, depth):
    """An artifact, and its digest."""
    rows(2000, 1).to_parquet(os.path.join(p.dir, "train.parquet"))
    spec = {"data": {"source": "train.parquet", "target_columns": ["y"]}, "models": {"xgboost": {"enabled": True, "hyperparameters": {"n_estimators": 20, "max_depth": depth}}},
            "training": {"primary_metric": "roc_auc", "cross_validation": {"enabled": False}}, "persistence": {"model_registry_path": "fitted-%d" % depth},
            "evaluation": {"generate_plots": False, "prediction_intervals": False, "model_comparison": False}}
    with open(os.path.join(p.dir, "train.json"), "w") as f:
        json.dump(spec, f)
    weir(p, "train", "train.json")
    folder = os.path.join(p.dir, "fitted-%d" % depth, "xgboost", "latest")
    with open(os.path.join(folder, "metadata.json")) as f:
        return os.path.join(folder, "model.weirmodel"), json.load(f)["digest"]


def register(p, model, version, artifact, digest, alias=None, threshold=None):
    """As a training run would, without one."""
    os.makedirs(os.path.join(p.dir, "objects", "models"), exist_ok=True)
    shutil.copy(artifact, os.path.join(p.dir, "objects", "models", digest + ".weirmodel"))
    signature = json.dumps({"inputs": [{"name": n, "type": "double"} for n in INPUTS], "task": "binary", **({"threshold": threshold} if threshold else {})})
    with psycopg2.connect(PG) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO weir.runs (id, pipeline, status, request, code_version) VALUES (%s, %s, 'succeeded', '{}', '') ON CONFLICT DO NOTHING", ("run-" + p.name, p.name))
        cursor.execute("INSERT INTO weir.model_versions (pipeline, model, version, algorithm, run_id, digest, artifact_path, feature_hash, dataset_digest, signature, semver) VALUES "
                       "(%s, %s, %s, 'xgboost', %s, %s, %s, '', '', %s, %s)", (p.name, model, version, "run-" + p.name, digest, "models/%s.weirmodel" % digest, signature, [version, 0, 0]))
        if alias:
            cursor.execute("INSERT INTO weir.aliases (pipeline, alias, model, version) VALUES (%s, %s, %s, %s)", (p.name, alias, model, version))


def runs(p, batch):
    found = query("SELECT due_at, status, missed, rows, rejected, model, version, message, attempts, out FROM weir.batch_runs WHERE pipeline = '%s' AND batch = '%s' ORDER BY due_at" % (p.name, batch))
    return [dict(zip(("due_at", "status", "missed", "rows", "rejected", "model", "version", "message", "attempts", "out"), r)) for r in found]


def batches(folder):
    def change(spec):
        spec["serving"] = {"batches": [
            {"name": "minutely", "schedule": "* * * * *", "file": folder + "/in.parquet", "out": folder + "/minutely-%Y%m%d-%H%M.parquet", "columns": ["id"]},
            {"name": "named", "schedule": "* * * * *", "time_zone": "Asia/Kolkata", "file": folder + "/in*.csv", "out": folder + "/named-%H%M.csv", "errors": folder + "/errors-%H%M.csv",
             "model": spec["pipeline"] + "-boosted", "version": "1"},
            {"name": "broken", "schedule": "* * * * *", "file": folder + "/lacks.csv", "out": folder + "/broken.csv"},
            {"name": "unheard", "schedule": "0 0 29 2 *", "file": folder + "/in.csv", "out": folder + "/unheard.csv", "catch_up": "none"}]}
    return change


def by_name(p, folder):
    """Which version: the champion's threshold is its own."""
    expected = {}
    for args, version in (((), 2), (("--version", "champion"), 2), (("--model", p.name + "-boosted"), 2), (("--model", p.name + "-boosted", "--version", "latest"), 2),
                          (("--model", p.name + "-boosted", "--version", "1"), 1), (("--model", p.name + "-boosted", "--version", "1.0.0"), 1)):
        said = json.loads(weir(p, "score", p.path, "--file", folder + "/in.parquet", "--out", folder + "/by-name.parquet", *args, "--output", "json").stdout)
        assert (said["version"], said["rows"]) == (version, 3000), (args, said)
        found = pd.read_parquet(folder + "/by-name.parquet")
        assert set(found["version"]) == {version} and set(found["model"]) == {p.name + "-boosted"}
        threshold = 0.8 if version == 2 else json.load(open(p.path))["serving"].get("threshold", 0.5)
        assert list(found["decision"]) == list(found["score"] >= threshold), args
        assert expected.setdefault(version, list(found["score"])) == list(found["score"])
    assert expected[1] != expected[2]
    assert "no challenger" in weir(p, "score", p.path, "--file", folder + "/in.parquet", "--out", folder + "/n.csv", "--version", "challenger", code=1).stderr
    assert "1.0.0" in weir(p, "score", p.path, "--file", folder + "/in.parquet", "--out", folder + "/n.csv", "--model", p.name + "-boosted", "--version", "7", code=1).stderr
    return expected


def scheduled(p, folder, expected):
    first = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0) - datetime.timedelta(minutes=90)
    with psycopg2.connect(PG) as connection, connection.cursor() as cursor:
        for name, zone in (("minutely", "UTC"), ("named", "Asia/Kolkata"), ("broken", "UTC")):
            cursor.execute("INSERT INTO weir.schedules VALUES (%s, %s, '* * * * *', %s, %s)", (p.name, "batch/" + name, zone, first))
    assert "batch" in weir(p, "schedule", p.path, "--next", "1").stdout
    for instance in ("0", "1"):
        p.start("schedule", instance, wait=False)
    wait_for("a run of each", lambda: all(any(r["status"] == "succeeded" for r in runs(p, b)) for b in ("minutely", "named")), 120, 0.3)
    wait_for("the broken one", lambda: any(r["status"] == "failed" for r in runs(p, "broken")), 60, 0.3)
    done = runs(p, "minutely")
    assert done[0]["missed"] >= 88 and sum(r["missed"] + 1 for r in done) <= 95, done  # once for all of them
    assert done[0]["rows"] == 3000 and done[0]["rejected"] == 0 and done[0]["version"] == 2 and done[0]["attempts"] == 1, done
    assert done[0]["out"] == done[0]["due_at"].astimezone(datetime.timezone.utc).strftime(folder + "/minutely-%Y%m%d-%H%M.parquet"), done
    found = pd.read_parquet(done[0]["out"])
    assert list(found)[:2] == ["id", "score"] and list(found["score"]) == expected[2]
    named = runs(p, "named")[0]
    local = (named["due_at"].astimezone(datetime.timezone.utc) + datetime.timedelta(hours=5, minutes=30)).strftime("%H%M")
    assert (named["rows"], named["rejected"], named["version"]) == (3000, 1, 1) and "found 'much', expected a number" in named["message"], named
    assert len(pd.read_csv(folder + "/named-%s.csv" % local)) == 2999 and len(pd.read_csv(folder + "/errors-%s.csv" % local)) == 1
    broken = runs(p, "broken")[0]
    assert "x3" in broken["message"] and not os.path.exists(folder + "/broken.csv"), broken
    shown = json.loads(weir(p, "schedule", p.path, "--runs", "--output", "json").stdout)
    told = {(r["batch"], r["due_at"]): r for r in shown}
    assert len(told) == len(shown) >= 3 and [r["due_at"] for r in shown] == sorted((r["due_at"] for r in shown), reverse=True), shown
    assert told["broken", broken["due_at"].astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")]["message"] == broken["message"], shown
    assert "x3" in weir(p, "schedule", p.path, "--runs").stdout
    assert "one of them" in weir(p, "schedule", p.path, "--runs", "--next", "1", code=2).stderr
    metrics = {}
    for instance in ("0", "1"):
        for (name, labels), value in p.metrics("schedule", instance).items():
            key = (name, dict(labels).get("outcome"))
            metrics[key] = metrics.get(key, 0) + value
    assert metrics["weir_batch_runs_total", "succeeded"] >= 2 and metrics["weir_batch_runs_total", "failed"] >= 1, metrics
    assert metrics["weir_batch_rows_total", "rejected"] >= 1 and metrics["weir_batch_run_seconds_count", None] >= 3, metrics
    assert not runs(p, "unheard")
    print("two schedulers, each due time once")


def killed(p, folder):
    """One is killed in the middle of a run, which the other finishes when the lease is over."""
    pd.concat([rows(3000, 2).assign(id=range(3000))] * 400).to_parquet(folder + "/in.parquet")
    running = wait_for("a run of the large file", lambda: query(
        "SELECT due_at::text, worker FROM weir.batch_runs WHERE pipeline = '%s' AND batch = 'minutely' AND status = 'running' AND attempts = 1" % p.name), 150, 0.02)
    due, worker = running[0]
    instance = worker.split("/")[1]
    p.kill("schedule", instance)
    state = lambda: query("SELECT status, attempts, rows, worker FROM weir.batch_runs WHERE pipeline = '%s' AND batch = 'minutely' AND due_at = '%s'" % (p.name, due))[0]
    if state()[0] == "running":
        with psycopg2.connect(PG) as connection, connection.cursor() as cursor:  # as if a minute had passed
            cursor.execute("UPDATE weir.batch_runs SET lease_until = clock_timestamp() WHERE pipeline = %s AND worker = %s AND status = 'running'", (p.name, worker))
        wait_for("the other to finish it", lambda: state()[0] == "succeeded", 240, 0.5)
        status, attempts, count, by = state()
        assert attempts == 2 and by != worker and count == 1200000, state()
    other = "1" if instance == "0" else "0"
    assert p.kill("schedule", other, signal.SIGTERM, 120) == 0
    assert not query("SELECT FROM weir.batch_runs WHERE pipeline = '%s' AND status = 'running'" % p.name), "a scheduler that stops gives back what it has"
    print("a killed run is finished by the other")


def main():
    folder = tempfile.mkdtemp(prefix="weir-batches-")
    with Pipeline(batches(folder)) as p:
        weir(p, "migrate")
        register(p, p.name + "-boosted", 1, *fit(p, 2))
        register(p, p.name + "-boosted", 2, *fit(p, 4), alias="champion", threshold=0.8)
        frame = rows(3000, 2)
        frame.assign(id=range(3000)).to_parquet(folder + "/in.parquet")
        text = frame.astype({"x2": object})
        text.loc[11, "x2"] = "much"
        text.to_csv(folder + "/in.csv", index=False)
        frame.drop(columns="x3").to_csv(folder + "/lacks.csv", index=False)
        expected = by_name(p, folder)
        scheduled(p, folder, expected)
        killed(p, folder)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
