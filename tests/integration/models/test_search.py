"""`weir train PIPELINE --budget` over a real stack: a search from payments in the offline store to a version in the registry. Searches are ended early, killed and gone on
with; what was tried before a kill is tried once and counts once. A train worker runs all the while, and leaves the searches' runs alone."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
from weirtest import *  # noqa: E402,F403
from trainingtest import environment, rows_of, scores, wait_stored  # noqa: E402

from sklearn.metrics import brier_score_loss, roc_auc_score  # noqa: E402

TRAIN_FROM, TRIALS = "2024-03-01", 8
FILES = {"job.json", "quality.json", "leaderboard.json", "1.weirmodel", "report.json", "report.html"}


def small(spec):
    """Few days, fast trials, and a baseline of prod that nothing reaches."""
    short_training(spec, "10d", "4d")
    spec["partitions"] = 1
    spec["training"]["experiment"] = "/{pipeline}/{tenant}/searches of {use_case}"
    spec["training"].update(metric="roc_auc", baseline={"dev": 0.5, "aut": 0.6, "prod": 0.99999}, threads=1, validation={"scheme": "stratified_k_fold", "folds": 3, "shuffle": True})
    space = {"algorithm": ["logistic", "xgboost"], "xgboost.rounds": {"int": [20, 60], "when": {"algorithm": ["xgboost"]}},
             "xgboost.max_depth": {"int": [2, 5], "when": {"algorithm": ["xgboost"]}}, "logistic.l2": {"float": [0.01, 100], "log": True, "when": {"algorithm": ["logistic"]}}}
    spec["training"]["tuning"] = {"space": space}
    spec["training"]["candidates"] = [dict(c, params={"rounds": 40}) if c["algorithm"] == "xgboost" else c for c in spec["training"]["candidates"][:2]]


def start(p, *args, path=None):
    return subprocess.Popen([BINARY, "train", path or p.path, *args, "--output", "json"], env=environment(p), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process, code=0, timeout_s=120):
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == code, "exit %d, expected %d\n%s\n%s" % (process.returncode, code, out, err)
    return json.loads(out) if code == 0 or out.startswith("{") else err


def search(p, *args, code=0):
    return end(start(p, *args), code)


def folder(p, run):
    return os.path.join(p.dir, "objects", "runs", run)


def read(p, run, name):
    with open(os.path.join(folder(p, run), name)) as f:
        return json.load(f)


def step(record, name):
    return next(s for s in record["steps"] if s["name"] == name)


def trials(p, run, where="true"):
    return query("SELECT number, state, params::text, objectives, attempts FROM weir.trials WHERE pipeline = '%s' AND study = '%s' AND %s ORDER BY number" % (p.name, run, where))


def newest_run(p):
    rows = query("SELECT id FROM weir.runs WHERE pipeline = '%s' ORDER BY started_at DESC LIMIT 1" % p.name)
    return rows[0][0] if rows else None


def run_status(run):
    return query("SELECT status FROM weir.runs WHERE id = '%s'" % run)[0][0]


def aliases(p):
    return dict((alias, (model, version)) for alias, model, version in query("SELECT alias, model, version FROM weir.aliases WHERE pipeline = '%s'" % p.name))


def listed(p, command, *args):
    done = subprocess.run([BINARY, "models", command, p.name, *args, "--output", "json"], env=environment(p), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_version(p, record):
    """The version of an ended search: files, registry, and metrics that scikit-learn finds too on the scores of the artifact that was registered."""
    run = record["id"]
    assert record["status"] == "succeeded" and all(s["status"] == "done" for s in record["steps"]), record
    assert FILES <= set(os.listdir(folder(p, run))), os.listdir(folder(p, run))
    (kept,) = step(record, "persist")["result"]["versions"]
    assert kept["model"] == p.name + "-auto"
    version = listed(p, "show", kept["model"], "--version", str(kept["version"]))
    assert version["digest"] == kept["digest"] and version["run_id"] <= run, version  # equal bytes stay the version of the run that first made them; ids are in order of time
    assert kept["version"] in [v["version"] for v in listed(p, "list", kept["model"])]
    _, (x, truth, _) = rows_of(p, step(record, "data")["result"])
    ((path,),) = query("SELECT artifact_path FROM weir.model_versions WHERE pipeline = '%s' AND model = '%s' AND version = %d" % (p.name, kept["model"], kept["version"]))
    score = scores(p, path, x)
    found, board = version["metrics"], read(p, run, "leaderboard.json")
    expected = {"auc_roc": roc_auc_score(truth, score), "brier": brier_score_loss(truth, score)}
    for name, value in expected.items():
        assert abs(found[name] - value) < 1e-9, (name, found[name], value)
    report = read(p, run, "report.json")
    assert sum(e["winner"] for e in board) == 1 and report["models"][0]["metrics"]["roc_auc"]["value"] == found["auc_roc"]
    assert report["kept"]["versions"] == [kept] and run_status(run) == "succeeded"
    return kept, found


def logged(table, run):
    return {row[0]: row[1] for row in query("SELECT name, value FROM weir.%s WHERE run_id = '%s'" % (table, run))}


def check_tracked(p, run, kept, metrics):
    """The run is one of the experiment that the file names, with what was asked, what it registered, and every complete trial as a step of the metric that was searched by."""
    rows = query("SELECT experiment, model FROM weir.experiment_runs WHERE run_id = '%s'" % run)
    assert rows == [("/%s/all/searches of default" % p.name, kept["model"])], rows
    params, numbers, tags = logged("run_params", run), logged("run_metrics", run), logged("run_tags", run)
    assert params["request.kind"] == "search" and params["request.training.metric"] == "roc_auc" and params[kept["model"] + ".algorithm"], params
    assert {name: value for name, value in metrics.items() if isinstance(value, (int, float))}.items() <= numbers.items(), (metrics, numbers)
    assert numbers["search.trials"] == len(trials(p, run)) and numbers["data.seconds"] > 0 and tags["use_case"] == "default" and tags["reason"] == "search"
    found = query("SELECT step, value FROM weir.run_metric_steps WHERE run_id = '%s' AND name = 'trial.roc_auc' ORDER BY step" % run)
    complete = trials(p, run, "state = 'complete'")
    assert [f[0] for f in found] == [t[0] for t in complete] and len(found) >= 3, found
    assert all(abs(f[1] - t[3][0]) < 1e-14 for f, t in zip(found, complete)), found  # numbers go through JSON, which keeps all digits but the last bit
    sets = dict(query("SELECT context, digest FROM weir.run_datasets WHERE run_id = '%s'" % run))
    data = step(read(p, run, "job.json"), "quality")["result"]
    assert sets == {"train": data["train"]["digest"], "test": data["test"]["digest"]}, sets
    files = query("SELECT kind, path FROM weir.run_artifacts WHERE run_id = '%s' ORDER BY kind" % run)
    assert files[1] == ("report", "runs/%s/report.html" % run) and kept["digest"] in files[0][1], files


def test_first(p):
    record = search(p, "--budget", "60s", "--trials", str(TRIALS), "--train-from", TRAIN_FROM)
    kept, metrics = check_version(p, record)
    result = step(record, "search")["result"]
    assert (result["trials"], result["ended"]) == (TRIALS, "trials"), result
    assert [t[0] for t in trials(p, record["id"])] == list(range(TRIALS))
    assert kept["alias"] == "champion" and aliases(p) == {"champion": (kept["model"], 1)}, kept
    check_tracked(p, record["id"], kept, metrics)
    assert metrics["auc_roc"] > 0.8, metrics  # amounts above 120 are frauds


def test_stopped(p):
    """SIGTERM ends the search, not the job: what is best so far is judged and registered."""
    known = newest_run(p)
    process = start(p, "--budget", "120s", "--train-from", "2024-03-02")  # other rows: another model than the champion
    run = wait_for("the search to begin", lambda: (r := newest_run(p)) != known and r)
    wait_for("three trials", lambda: len(trials(p, run, "state <> 'running'")) >= 3)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    record = end(process)
    assert record["id"] == run and step(record, "search")["result"]["ended"] == "cancelled" and step(record, "search")["result"]["trials"] >= 3, record
    kept, _ = check_version(p, record)
    print("stopped in %.1f s with %d trials" % (time.monotonic() - began, step(record, "search")["result"]["trials"]))
    assert kept["alias"] == "challenger" and aliases(p)["challenger"] == (kept["model"], kept["version"]), kept


def test_killed(p):
    """kill -9, then --resume: a changed file is refused, the same one goes on."""
    count = 14
    known = newest_run(p)
    process = start(p, "--budget", "120s", "--trials", str(count), "--train-from", TRAIN_FROM)
    run = wait_for("the search to begin", lambda: (r := newest_run(p)) != known and r)
    wait_for("four trials", lambda: len(trials(p, run, "state <> 'running'")) >= 4, every_s=0.01)
    process.kill()
    process.wait()
    before = {t[0]: t for t in trials(p, run, "state <> 'running'")}
    assert 4 <= len(before) < count, "the search was over before it could be killed"
    assert read(p, run, "job.json")["status"] == "running"

    changed = os.path.join(p.dir, "changed.json")
    with open(changed, "w") as f:
        json.dump(dict(p.spec, training=dict(p.spec["training"], seed=7)), f)
    assert "was begun with another request" in end(start(p, "--resume", run, path=changed), 1)
    assert run_status(run) == "running", "a job that was refused was touched"
    err = end(start(p, "--resume", "run-none"), 1)
    assert "there is no job 'run-none' to go on with" in err, err

    versions = len(listed(p, "list", p.name + "-auto"))
    record = search(p, "--resume", run)
    check_version(p, record)
    after = trials(p, run)
    assert record["id"] == run and [t[0] for t in after] == list(range(count)), after
    assert all(t[1] in ("complete", "pruned", "failed") for t in after)
    assert all(after[number] == trial for number, trial in before.items()), "a trial that was done was done again"
    assert step(record, "search")["result"]["trials"] == count
    assert step(record, "quality")["attempts"] == 1 and step(record, "search")["attempts"] == 2
    assert len(listed(p, "list", p.name + "-auto")) <= versions + 1
    (kept,) = step(record, "persist")["result"]["versions"]
    found = logged("run_metrics", run)
    assert found["search.trials"] == count and query("SELECT count(*) FROM weir.experiment_runs WHERE run_id = '%s'" % run) == [(1,)]
    # going on with a job that has ended changes nothing, nor does asking for it with another file
    search(p, "--resume", run)
    assert {k: v for k, v in logged("run_metrics", run).items() if k != "data.seconds"} == {k: v for k, v in found.items() if k != "data.seconds"}  # rows are read again
    end(start(p, "--resume", run, path=changed), 1)
    assert trials(p, run) == after and len(listed(p, "list", p.name + "-auto")) <= versions + 1 and run_status(run) == "succeeded"
    print("killed after %d trials, %d in the end" % (len(before), count))


def test_baseline(p):
    """Registered, but no alias moves: the answer is no."""
    held = aliases(p)
    record = search(p, "--budget", "60s", "--trials", "2", "--train-from", TRAIN_FROM, "--environment", "prod", code=1)
    result = step(record, "persist")["result"]
    assert result["baseline"] == 0.99999 and result["reaches_baseline"] is False and "alias" not in result["versions"][0], result
    assert aliases(p) == held
    # going on with it asks the same of it
    search(p, "--resume", record["id"], code=1)
    assert "was begun with another request" in end(start(p, "--resume", record["id"], "--environment", "dev"), 1)
    assert aliases(p) == held
    err = end(start(p, "--budget", "60s", "--environment", "moon"), 2)
    assert "there is no environment 'moon', expected dev, aut or prod" in err, err


def test_wrong_use(p):
    """Refused with what was found and what was expected; none starts a worker or a run."""
    run, held = newest_run(p), aliases(p)
    for args, words in ((("--trials", "5"), "go with --budget or --resume"), (("--share",), "go with --budget or --resume"), (("--environment", "dev"), "goes with --budget or --resume"),
                        (("--budget", "0"), 'found "0", expected a duration'), (("--budget", "abc"), 'found "abc", expected a duration'), (("--budget", "9s", "--trials", "-1"), "expected a whole number from 0"),
                        (("--now", "--budget", "9s"), "--now asks a running worker"), (("--resume", run, "--budget", "9s"), "--resume keeps to what the search began with"),
                        (("--resume", "../" + run), "is no name of a search"), (("--resume", "run-" + 60 * "a"), "is no name of a search")):
        err = end(start(p, *args), 2)
        assert words in err, (args, err)
    assert newest_run(p) == run and aliases(p) == held


def main():
    payments = Payments(4000, days=20)
    with Pipeline(small) as p:
        p.start("store")
        p.start("ingest")
        out = producer()
        for row in payments.rows:
            key = ("default/" + row["customer_id"]).encode()
            out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), key)
            out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(row, 2 * DAY_US)), key)
            out.poll(0)
        assert out.flush(60) == 0
        wait_stored(p, len(payments.rows))
        p.start("train")  # it fits runs that were left "running", but only those that were asked of it
        for test in (test_first, test_stopped, test_killed, test_baseline, test_wrong_use):
            began = time.monotonic()
            test(p)
            print("%s: %.1f s" % (test.__name__, time.monotonic() - began), flush=True)
        models = {v["model"] for v in json.loads(subprocess.run([BINARY, "models", "list", p.name, "--output", "json"], env=environment(p), cwd=ROOT, capture_output=True, text=True).stdout)}
        assert models == {p.name + "-auto"}, models


main()
