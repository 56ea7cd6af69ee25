"""`weir train PIPELINE --budget` over a real stack: a search from payments in the offline store to a version in the registry. Searches are ended early, killed and gone on
with; what was tried before a kill is tried once and counts once."""
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
    assert version["digest"] == kept["digest"] and version["run_id"] == run, version
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


def test_first(p):
    record = search(p, "--budget", "60s", "--trials", str(TRIALS), "--train-from", TRAIN_FROM)
    kept, metrics = check_version(p, record)
    result = step(record, "search")["result"]
    assert (result["trials"], result["ended"]) == (TRIALS, "trials"), result
    assert [t[0] for t in trials(p, record["id"])] == list(range(TRIALS))
    assert kept["alias"] == "champion" and aliases(p) == {"champion": (kept["model"], 1)}, kept
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
    # going on with a job that has ended changes nothing, nor does asking for it with another file
    search(p, "--resume", run)
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
        for test in (test_first, test_stopped, test_killed, test_baseline):
            began = time.monotonic()
            test(p)
            print("%s: %.1f s" % (test.__name__, time.monotonic() - began), flush=True)


main()
