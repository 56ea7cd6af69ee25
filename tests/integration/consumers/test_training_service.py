"""Training runs as a service, over real Kafka and PostgreSQL: limits per host and overall hold with three workers and six requests; a run goes on elsewhere when its worker is killed, frozen or
told to stop, when its own process dies or the database's connections are cut; it is cancelled in the middle of a fit, by command and by event, and while it waits; its time and memory are
limited; trouble that may pass is tried again after waits that grow, what is wrong is not."""
import contextlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

START, RUNS, SLOW_ROUNDS = "2024-03-01", 6, 6000
SETTINGS = {"WEIR_TRAIN_RUNS_PER_HOST": "2", "WEIR_TRAIN_RUNS_OVERALL": "3", "WEIR_TRAIN_LEASE": "4s", "WEIR_TRAIN_RETRY": "1s", "WEIR_TRAIN_RETRY_MOST": "4s"}
HOSTS = {"0": "east", "1": "east", "2": "west"}


def slow(spec):
    """A first candidate that takes seconds, and a quick one."""
    short_training(spec)
    spec["partitions"] = 1
    quick, boosted = spec["training"]["candidates"][:2]
    boosted["params"] = {"rounds": SLOW_ROUNDS, "max_depth": 6, "eta": 0.01}
    spec["training"]["candidates"] = [boosted, quick]
    spec["training"]["champion"], spec["training"]["challenger"] = quick["name"], boosted["name"]


@contextlib.contextmanager
def locked(table):
    """Nobody else can read the table."""
    import psycopg2
    connection = psycopg2.connect(PG)
    try:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE" % table)
            yield
    finally:
        connection.close()


def is_stored(p, count):
    offsets = dict(query("SELECT topic, sum(next_offset) FROM weir.sink_offsets WHERE pipeline = '%s' GROUP BY topic" % p.name))
    still, is_stored.seen = getattr(is_stored, "seen", None) == offsets, offsets
    return still and all(offsets.get(p.topic(t), 0) >= count for t in ("labels", "features.customer", "features.terminal"))


def fill(p):
    payments = Payments(6000)
    p.start("store")
    p.start("ingest")
    out = producer()
    for row in payments.rows:
        key = ("default/" + row["customer_id"]).encode()
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), key)
        out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(row, 2 * DAY_US)), key)
        out.poll(0)
    assert out.flush(60) == 0
    wait_for("the payments to be stored", lambda: is_stored(p, len(payments.rows)), 90, 1)
    for worker in ("store", "ingest"):
        assert p.kill(worker, sig=signal.SIGTERM) == 0


def start(p, instance="0", **settings):
    os.environ.update(SETTINGS, WEIR_TRAIN_HOST=HOSTS[instance], **settings)
    p.start("train", instance)
    for name in settings:
        del os.environ[name]


def ask(p, number=1, train_from=START, **fields):
    """Requests by event; their ids."""
    out, topic, ids = producer(), "weir.training.requests", []
    for _ in range(number):
        ids.append("%s-%x" % (p.name, random.getrandbits(40)))
        first = datetime.datetime.fromisoformat(train_from + "T00:00:00+00:00") if train_from else None
        value = {"request_id": ids[-1], "pipeline": p.name, "reason": "test", "requested_at": datetime.datetime.now(datetime.timezone.utc), "train_from": first, "as_of": None,
                 "continue_version": None, "cancel_run": None, **fields}
        for copy in range(2):  # what comes twice is one run
            out.produce(topic, p.encode(topic, value), p.name.encode())
    assert out.flush(60) == 0
    return ids


def run_of(request):
    return query("SELECT r.id, r.status, r.detail FROM weir.runs r JOIN weir.run_queue q ON q.run_id = r.id WHERE q.request_id = '%s'" % request)


def attempts(request, columns="attempt, outcome, error"):
    return query("SELECT %s FROM weir.run_attempts a JOIN weir.run_queue q USING (run_id) WHERE request_id = '%s' AND a.step = 'fit' ORDER BY attempt" % (columns, request))


def ended(request, status, timeout_s=120):
    """Waits until the run is over, so and not otherwise; its id and detail."""
    over = lambda: [r for r in run_of(request) if r[1] in ("succeeded", "failed", "cancelled")]
    ((run, found, detail),) = wait_for("the run of request %s to be over" % request, over, timeout_s)
    assert found == status, (found, detail, attempts(request))
    return run, detail


def under_way(p, request, what="boosted"):
    """Waits until the run is in the middle of the slow fit: its process id's worker, (run, instance, worker's process id)."""
    sql = "SELECT run_id, split_part(worker, '/', 2), split_part(worker, '/', 3)::int FROM weir.run_attempts JOIN weir.run_queue USING (run_id) " \
          "WHERE request_id = '%s' AND ended_at IS NULL AND progress ->> 'what' LIKE '%%%s'" % (request, what)
    return wait_for("the run to fit", lambda: query(sql), 90, 0.05)[0]


def process_of(worker):
    """The process that a worker has started for its run."""
    children = lambda: [int(c) for task in os.listdir("/proc/%d/task" % worker) for c in open("/proc/%d/task/%s/children" % (worker, task)).read().split()]
    return wait_for("the process of a run", children, 10)[0]


def lives(pid):
    try:
        return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def command(p, *arguments, code=0):
    done = subprocess.run([BINARY, "train", p.path, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def digests(detail):
    return sorted((v["name"], v["digest"]) for v in detail["versions"])


def events_of(p, run):
    return [(e["status"], json.loads(e["detail"])) for e in own_events(p, "weir.training.runs") if e["run_id"] == run]


def most_at_once(spans):
    """The greatest number of half-open spans that share a moment."""
    changes = sorted([(a, 1) for a, _ in spans] + [(b, -1) for _, b in spans])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def test_limits(p):
    """Returns the digests that every run of these days must come to."""
    requests = ask(p, RUNS)
    details = [ended(r, "succeeded", 300)[1] for r in requests]
    spans = query("SELECT host, started_at, ended_at, outcome FROM weir.run_attempts JOIN weir.run_queue USING (run_id) WHERE pipeline = '%s'" % p.name)
    assert len(spans) == 2 * RUNS and {s[3] for s in spans} == {"done"}, spans
    overall = most_at_once([s[1:3] for s in spans])
    by_host = {host: most_at_once([s[1:3] for s in spans if s[0] == host]) for host in ("east", "west")}
    assert overall == 3 and all(n <= 2 for n in by_host.values()), (overall, by_host)
    assert len({tuple(digests(d)) for d in details}) == 1, "runs of the same days came to different versions"
    wait_for("events of the runs", lambda: all(events_of(p, run_of(r)[0][0])[-1:] and events_of(p, run_of(r)[0][0])[-1][0] == "succeeded" for r in requests), 30, 1)
    for request in requests:
        told = events_of(p, run_of(request)[0][0])
        statuses = [s for i, (s, _) in enumerate(told) if i == 0 or s != told[i - 1][0]]
        assert statuses == ["queued", "running", "awaiting_labels", "succeeded"], statuses
        assert any("progress" in d for s, d in told if s == "running"), told
    waits = [m for i in HOSTS for (n, _), m in p.metrics("train", i).items() if n == "weir_train_wait_seconds_count"]
    assert sum(waits) == 2 * RUNS, waits
    print("%d runs by %d workers: at most %d at once, by host %s" % (RUNS, len(HOSTS), overall, by_host))
    return digests(details[0])


def test_priority(p):
    (request,) = ask(p)
    run, _, worker = under_way(p, request)
    child = process_of(worker)
    for task in os.listdir("/proc/%d/task" % child):
        nice = int(open("/proc/%d/task/%s/stat" % (child, task)).read().rsplit(")", 1)[1].split()[16])
        assert nice == min(19, os.getpriority(os.PRIO_PROCESS, worker) + 10), nice
        assert os.sched_getscheduler(int(task)) == os.SCHED_BATCH
    assert open("/proc/%d/oom_score_adj" % child).read().strip() == "1000"
    listed = {r["id"]: r for r in json.loads(command(p, "--runs", "--output", "json"))}
    assert listed[run]["status"] == "running" and listed[run]["attempts"] == 1 and listed[run]["left_s"] is not None and listed[run]["limit_s"] > 0, listed[run]
    assert listed[run]["progress"]["of"] == 3 and run in command(p, "--runs")
    return request, run, child


def test_worker_dies(p, expected):
    """Killed, frozen, told to stop: another goes on and comes to the same."""
    for sig, outcome in ((signal.SIGKILL, "lost"), (signal.SIGSTOP, "lost"), (signal.SIGTERM, "interrupted")):
        (request,) = ask(p)
        run, instance, worker = under_way(p, request)
        child = process_of(worker)
        if sig == signal.SIGSTOP:
            p.processes["train", instance].send_signal(sig)
        else:
            p.kill("train", instance, sig)
        wait_for("its process to end", lambda: not lives(child), 120, 0.05)  # at once, but for a frozen worker's, which does its work and is not heard
        _, detail = ended(request, "succeeded")
        if sig == signal.SIGSTOP:
            p.processes["train", instance].send_signal(signal.SIGCONT)
            wait_for("the frozen worker to see that the run is another's", lambda: "taken over" in open(p.processes["train", instance].log_path).read(), 30)
        else:
            start(p, instance)
        assert digests(detail) == expected, (detail, expected)
        assert [a[1] for a in attempts(request)] == [outcome, "done"], attempts(request)
        print("worker gets %s: run was done by another, after attempts %s" % (sig.name, [a[1] for a in attempts(request)]))


def test_cancel(p):
    request, run, child = test_priority(p)
    began = time.monotonic()
    assert "its worker ends it" in command(p, "--cancel", run, "--reason", "not needed any more")
    _, detail = ended(request, "cancelled")
    assert detail["cancelled"]["reason"] == "not needed any more" and not lives(child), detail
    took = time.monotonic() - began
    assert "is over already" in command(p, "--cancel", run, code=1)
    command(p, "--cancel", "run-of-nobody", code=1)
    (request,) = ask(p)
    by_event = under_way(p, request)[0]
    (asking,) = ask(p, cancel_run=by_event)
    assert "request " + asking == ended(request, "cancelled")[1]["cancelled"]["by"] and not run_of(asking)
    wait_for("the event", lambda: [s for s, _ in events_of(p, by_event)][-1:] == ["cancelled"], 30)
    assert [a[1] for a in attempts(request)] == ["cancelled"]
    print("cancelled in the middle of a fit: over after %.1f s; by event too" % took)


def test_trouble_that_passes(p, expected):
    # the run's own process dies
    (request,) = ask(p)
    os.kill(process_of(under_way(p, request)[2]), signal.SIGKILL)
    assert digests(ended(request, "succeeded")[1]) == expected
    (first, second) = attempts(request, "outcome, error, extract(epoch FROM ended_at)::float8, extract(epoch FROM started_at)::float8")
    assert first[0] == "transient" and "signal 9" in first[1] and second[0] == "done" and second[3] - first[2] >= 0.5, (first, second)

    # the object folder cannot be written, twice; a second run is cancelled while it waits
    models = os.path.join(p.dir, "objects", "models")
    os.rename(models, models + "-away")
    open(models, "w").close()
    requests = ask(p, 2)
    wait_for("two attempts", lambda: len(attempts(requests[0])) >= 2 and attempts(requests[0])[1][1], 90)
    run = run_of(requests[1])[0][0]
    command(p, "--cancel", run)
    ended(requests[1], "cancelled")
    os.remove(models)
    os.rename(models + "-away", models)
    assert digests(ended(requests[0], "succeeded")[1]) == expected
    found = attempts(requests[0], "outcome, error, extract(epoch FROM ended_at)::float8, extract(epoch FROM started_at)::float8")
    assert {a[0] for a in found[:-1]} == {"transient"} and "models" in found[0][1], found
    waits = [b[3] - a[2] for a, b in zip(found, found[1:])]
    assert all(w >= min(4, 2 ** i) / 2 for i, w in enumerate(waits)), waits
    told = [d for s, d in events_of(p, run_of(requests[0])[0][0]) if s == "queued" and d]
    assert [d["attempt"] for d in told] == list(range(1, len(found))) and all(d["retry_in_seconds"] > 0 for d in told), told
    retries = sum(v for i in HOSTS for (n, _), v in p.metrics("train", i).items() if n == "weir_train_retries_total")
    assert retries >= len(waits), retries

    # its connection to the database is cut while it reads; then everybody's, again and again
    with locked('"%s".features_customer' % p.name):
        (request,) = ask(p)
        blocked = lambda: query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%%s%%features_customer%%'" % p.name)
        wait_for("the run to read", blocked, 60, 0.05)
        wait_for("its first attempt to end", lambda: attempts(request)[0][1], 30)
    for _ in range(20):
        query("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'weir' AND pid <> pg_backend_pid()")
        time.sleep(0.1)
    assert digests(ended(request, "succeeded")[1]) == expected
    found = attempts(request)
    assert found[0][1] == "transient" and "PostgreSQL" in found[0][2] and found[-1][1] == "done", found
    print("trouble that passes: waits of %s s, then done; cut connections: attempts %s" % (["%.1f" % w for w in waits], [a[1] for a in found]))


def test_what_is_wrong(p):
    (request,) = ask(p, train_from="1999-01-01")
    run, detail = ended(request, "failed")
    ((number, outcome, error),) = attempts(request)
    assert outcome == "failed" and error == detail["error"] and "1999" in error, (outcome, detail)
    alerts = lambda: [e for e in own_events(p, "weir.alerts") if e["name"] == "WeirTrainingFailed"]
    (alert,) = wait_for("an alert", alerts, 30, 1)
    assert alert["state"] == "firing" and run in alert["summary"] and error in alert["summary"], alert
    ended(ask(p)[0], "succeeded")
    wait_for("the end of the alert", lambda: [a["state"] for a in alerts()] == ["firing", "resolved"], 30, 1)
    print("what is wrong is tried once: %s" % error)


def test_time_and_memory(p):
    for instance in HOSTS:
        assert p.kill("train", instance, signal.SIGTERM) == 0
    start(p, "0", WEIR_TRAIN_TIME_LIMIT="2s")
    (request,) = ask(p)
    _, detail = ended(request, "failed")
    assert "time limit" in detail["error"] and [a[1] for a in attempts(request)] == ["timed_out"], (detail, attempts(request))
    assert p.metrics("train")["weir_train_timeouts_total", frozenset([("pipeline", p.name)])] == 1
    assert p.kill("train", "0", signal.SIGTERM) == 0

    # what was fitted before the pipeline's own limit counts
    spec = json.loads(json.dumps(p.spec))
    spec["training"]["candidates"].reverse()
    spec["training"]["max_training_time_minutes"] = 2 / 60
    with open(p.path, "w") as f:
        json.dump(spec, f)
    start(p)
    _, detail = ended(ask(p)[0], "succeeded")
    assert [v["name"] for v in detail["versions"]] == [spec["training"]["candidates"][0]["name"]] and detail["not_fitted"] == [spec["training"]["candidates"][1]["name"]], detail
    assert p.kill("train", "0", signal.SIGTERM) == 0

    start(p, "0", WEIR_TRAIN_MEMORY_MIB="6", WEIR_TRAIN_ATTEMPTS="2")
    (request,) = ask(p)
    _, detail = ended(request, "failed")
    assert [a[1] for a in attempts(request)] == ["transient"] * 2 and "MiB of memory" in detail["error"], attempts(request)
    assert p.processes["train", "0"].poll() is None, "the worker went with its run"
    print("limits: time ended a run, memory another: %s" % detail["error"])


def main():
    with Pipeline(slow) as p:
        fill(p)
        for instance in HOSTS:
            start(p, instance)
        expected = test_limits(p)
        test_cancel(p)
        test_worker_dies(p, expected)
        test_trouble_that_passes(p, expected)
        test_what_is_wrong(p)
        test_time_and_memory(p)


main()
