"""A search whose trials are taken by several train workers, over real Kafka and PostgreSQL. A worker is killed -9 in the middle of a trial, then the leader is, and goes on; another worker is
told to stop.
Every trial ends, none is lost and none counts twice."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

TOOL = os.path.join(os.environ.get("WEIR_BUILD", "build"), "weir_tool_search")
TRIALS, LEASE_S, STUDY = 20, 2, "search"
SPACE = {"algorithm": ["xgboost"], "rounds": {"int": [250, 400]}, "max_depth": {"int": [3, 6]}, "eta": {"float": [0.01, 0.3], "log": True}}


def lead(p, worker):
    env = dict(os.environ, WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))
    log = open(os.path.join(p.dir, "leader.log"), "ab")
    return subprocess.Popen([TOOL, p.path, STUDY, "2024-03-01", "2024-03-21", str(TRIALS), "300", str(LEASE_S), json.dumps(SPACE), "roc_auc", worker], env=env, cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=log, text=True)


def trials(p, columns, where="true"):
    return query("SELECT %s FROM weir.trials WHERE pipeline = '%s' AND %s ORDER BY number" % (columns, p.name, where))


def runs_by(p, process):
    return trials(p, "number", "state = 'running' AND worker LIKE '%%/%d'" % process.pid)


def is_stored(p, count):
    """Labels and features of so many payments are in the offline store, and nothing has come since the last look."""
    offsets = dict(query("SELECT topic, sum(next_offset) FROM weir.sink_offsets WHERE pipeline = '%s' GROUP BY topic" % p.name))
    still, is_stored.seen = getattr(is_stored, "seen", None) == offsets, offsets
    return still and all(offsets.get(p.topic(t), 0) >= count for t in ("labels", "features.customer", "features.terminal"))


def main():
    payments = Payments(3000)
    with Pipeline(lambda spec: spec.update(partitions=1)) as p:
        p.start("store")
        p.start("ingest")
        out = producer()
        for row in payments.rows:
            key = ("default/" + row["customer_id"]).encode()
            out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), key)
            out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(row, 2 * DAY_US)), key)
            out.poll(0)
        assert out.flush(60) == 0
        wait_for("the payments to be stored", lambda: is_stored(p, len(payments.rows)), 60, 1)
        for instance in ("0", "1"):
            p.start("train", instance)
        first = lead(p, "first")
        workers = [p.processes["train", i] for i in ("0", "1")]
        wait_for("both workers to run trials", lambda: all(trials(p, "number", "worker LIKE '%%/%d'" % w.pid) for w in workers), 60, 0.05)

        wait_for("a worker to end a trial", lambda: trials(p, "number", "state <> 'running' AND worker LIKE '%%/%d'" % workers[0].pid), 60, 0.02)

        # a worker dies in the middle of a trial
        lost = wait_for("a trial under way", lambda: runs_by(p, workers[1]), 30, 0.01)[0][0]
        p.kill("train", "1")
        if not runs_by(p, workers[1]):  # it ended in the moment before
            lost = None
        # so does the leader: its workers stop when its lease is over, and the search goes on when it is back
        first.kill()
        first.wait()
        wait_for("the helper to see that the leader is gone", lambda: not trials(p, "number", "state = 'running' AND lease_until > clock_timestamp()"), 60, 0.1)
        helped = lambda: open(workers[0].log_path).read().count("helped with a search")
        wait_for("the helper to stop", lambda: helped() == 1, 30)
        before = len(trials(p, "number", "state <> 'running'"))
        time.sleep(1)
        assert len(trials(p, "number", "state <> 'running'")) == before < TRIALS, "trials went on without a leader"
        second = lead(p, "second")

        # the worker comes back with the leader; told to stop in the middle of a trial it gives it back at once
        mine = "state = 'running' AND worker LIKE '%%/%d'" % workers[0].pid
        given_back, attempts = wait_for("the worker to come back with the leader", lambda: trials(p, "number, attempts", mine + " AND lease_until > clock_timestamp()"), 60, 0.01)[0]
        began = time.monotonic()
        code = p.kill("train", "0", signal.SIGTERM)
        took = time.monotonic() - began
        assert code == 0 and took < 20, (code, took)
        assert not runs_by(p, workers[0]) or trials(p, "number", "state = 'running' AND lease_until <= clock_timestamp() AND number = %d" % given_back), "its trial was not given back"
        output, _ = second.communicate(timeout=240)
        assert second.returncode == 0, tail(os.path.join(p.dir, "leader.log"))
        board = json.loads(output)

        rows = trials(p, "number, state, attempts, worker, note, objectives")
        assert [r[0] for r in rows] == list(range(TRIALS)), rows
        assert all(r[1] in ("complete", "pruned") for r in rows), rows
        assert board["ended"] == "trials" and board["trials"] == TRIALS and board["failed"] == 0, board
        assert board["pruned"] == sum(r[1] == "pruned" for r in rows)
        numbers = [l["trial"] for l in board["leaders"] if l["trial"] is not None]
        assert sorted(numbers) == [r[0] for r in rows if r[1] == "complete"], (numbers, rows)
        assert any("ensemble" in l["spec"] for l in board["leaders"])
        means = {r[0]: r[5][0] for r in rows if r[5]}
        for leader in board["leaders"]:
            assert len(leader["folds"]) == 3 and None not in leader["folds"], leader
            if leader["trial"] is not None:
                assert abs(leader["mean"] - means[leader["trial"]]) < 1e-12
        if lost is not None:
            again = rows[lost]
            assert again[2] >= 2 and not again[3].endswith("/%d" % workers[1].pid), again
        by = collections.Counter(r[3].rsplit("/", 1)[-1] for r in rows)
        assert by["second"] and by[str(workers[0].pid)], by
        assert rows[given_back][2] <= attempts, "the attempt that was given back counts"  # one that the dead left may have been theirs before
        reports = query("SELECT number, count(*) FROM weir.trial_reports WHERE pipeline = '%s' GROUP BY number" % p.name)
        assert all(count <= 3 for _, count in reports), reports

        # an invitation to a study that is over changes nothing
        third = lead(p, "third")
        output, _ = third.communicate(timeout=120)
        assert third.returncode == 0 and json.loads(output)["trials"] == TRIALS
        assert len(trials(p, "number")) == TRIALS
        print("%d trials by %s; the killed worker's trial %s, the one given back %s in %.1f s; best %.4f" % (TRIALS, dict(by), lost, given_back, took, board["leaders"][0]["mean"]))



main()
