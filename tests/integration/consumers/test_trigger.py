"""Schedules and triggers over real Kafka and PostgreSQL: two schedulers of which one is killed -9 fire each due time once; every question whether to train gets one answer, whoever dies meanwhile."""
import datetime
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

MISSED = 300  # minutes that no scheduler ran


def triggers(spec):
    spec["triggers"] = {
        "schedules": [{"name": "often", "cron": "* * * * *", "action": "drift", "catch_up": "all"}, {"name": "latest", "cron": "* * * * *", "action": "drift"},
                      {"name": "never", "cron": "0 0 29 2 *"}],
        "drift": {}, "performance": {}, "policy": {"cool_down": "1h"},
    }


def weir(p, *args, code=0):
    done = subprocess.run([BINARY, *args], cwd=ROOT, capture_output=True, text=True, timeout=60, env=dict(os.environ, WEIR_STATE_DIR=os.path.join(p.dir, "state")))
    assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout


def schedules(p):
    first = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0) - datetime.timedelta(minutes=MISSED)
    import psycopg2
    with psycopg2.connect(PG) as connection, connection.cursor() as cursor:
        for name in ("often", "latest"):
            cursor.execute("INSERT INTO weir.schedules VALUES (%s, %s, '* * * * *', 'UTC', %s)", (p.name, name, first))
    for instance in ("0", "1"):
        p.start("schedule", instance, wait=False)
    wait_for("the first firings", lambda: query("SELECT FROM weir.schedule_firings WHERE pipeline = '%s'" % p.name), 60, 0.02)
    p.kill("schedule", "0")
    told = lambda: query("SELECT count(*) FILTER (WHERE sent_at IS NOT NULL), count(*) FROM weir.schedule_firings WHERE pipeline = '%s' AND schedule = 'often'" % p.name)[0]
    wait_for("all firings to be told", lambda: (lambda t: t[0] == t[1] >= MISSED)(told()), 90, 0.2)
    fired = own_events(p, "weir.schedule", told_twice_differs=True)
    often = sorted(e["due_at"] for e in fired if e["schedule"] == "often")
    expected = [first + datetime.timedelta(minutes=i + 1) for i in range(len(often))]
    assert often == expected, (len(often), often[:3], expected[:3])
    latest = [e for e in fired if e["schedule"] == "latest"]
    assert 1 <= len(latest) <= 5 and sum(e["missed"] + 1 for e in latest) >= MISSED, latest  # a minute may pass meanwhile
    assert not [e for e in fired if e["schedule"] == "never"]
    assert p.kill("schedule", "1", signal.SIGTERM) == 0
    print("%d firings, each once" % len(often))


def decisions(p):
    return json.loads(weir(p, "trigger", p.path, "--list", "100", "--output", "json"))


def drift(p, out, identity, severity="high", age=datetime.timedelta(), tenant=None):
    at = datetime.datetime.now(datetime.timezone.utc) - age
    event = {"drift_id": identity, "pipeline": p.name, "at": at, "kind": "features", "tenant": tenant, "window_from": at, "window_to": at, "reference": "window", "rows": 1, "reference_rows": 1,
             "columns": 10, "drifted": 4, "share": 0.4, "severity": severity, "false_alarm_rate": 0.01, "detail": '{"columns": []}'}
    out.produce("weir.drift", p.encode("weir.drift", event), p.name.encode())
    assert out.flush(30) == 0


def decide(p):
    from confluent_kafka.schema_registry import Schema
    with open(os.path.join(ROOT, "schemas", "drift.avsc")) as f:
        p.registry.register_schema("weir.drift-value", Schema(f.read(), "AVRO"))
    out = producer()
    p.start("trigger")
    drift(p, out, "low", "low")
    drift(p, out, "one", "critical", tenant="acme")  # the champion is that of all tenants
    drift(p, out, "old", age=datetime.timedelta(days=2))
    drift(p, out, "first")
    drift(p, out, "second")
    drift(p, out, "first")  # again
    out.produce("weir.drift", b"rubbish of " + p.name.encode(), p.name.encode())
    out.flush(30)
    wait_for("three decisions", lambda: len(decisions(p)) == 3, 60, 0.5)
    p.kill("trigger")
    p.start("trigger")
    weir(p, "trigger", p.path, "--train", "the sensors were changed")
    wait_for("the fourth", lambda: len(decisions(p)) >= 4, 60, 0.5)
    found = {d["cause_id"] if d["cause"] == "drift" else d["cause"]: d for d in decisions(p)}
    assert found["old"]["decision"] == "wait" and "hours old" in found["old"]["why"], found
    assert found["first"]["decision"] == "train" and found["second"]["decision"] == "wait" and "not been fitted" in found["second"]["why"], found
    assert found["manual"]["decision"] == "train" and found["manual"]["evidence"] == {"why": "the sensors were changed"}, found
    assert len(found) == 4 and "one" not in found, found
    wait_for("the events", lambda: len(own_events(p, "weir.training.decisions")) == 4, 60, 0.5)
    told = {d["decision_id"]: d for d in own_events(p, "weir.training.decisions")}
    assert {d["decision_id"]: d["decision"] == "train" for d in found.values()} == {i: d["train"] for i, d in told.items()}
    requests = own_events(p, "weir.training.requests")
    assert sorted(r["request_id"] for r in requests) == sorted(i for i, d in told.items() if d["train"]), requests
    assert {r["reason"] for r in requests} == {"drift", "manual"}
    rejected = {dict(m.headers())["weir.source.offset"] for m in read_all(p.topic("deadletter")) if m.value() == b"rubbish of " + p.name.encode()}
    assert len(rejected) == 1, rejected  # twice where the worker was killed before it committed
    assert "did you mean" in subprocess.run([BINARY, "trigger", p.path, "--lst", "3"], capture_output=True, text=True, cwd=ROOT).stderr
    print("4 questions, 4 answers")


def after_reset(p):
    """What was asked of the pipeline before it was reset is not asked again, though it stands in the topics still."""
    assert p.kill("trigger", sig=signal.SIGTERM) == 0
    weir(p, "reset", p.path)
    weir(p, "topics", "create", p.path)
    p.start("trigger")
    weir(p, "trigger", p.path, "--train", "begin anew")
    wait_for("an answer", lambda: decisions(p), 60, 0.5)
    time.sleep(2)
    assert [d["evidence"] for d in decisions(p)] == [{"why": "begin anew"}], decisions(p)
    print("nothing is left of what was asked before")


def main():
    with Pipeline(triggers) as p:
        weir(p, "migrate")
        weir(p, "topics", "create", p.path)
        schedules(p)
        decide(p)
        after_reset(p)
    for table in ("schedules", "schedule_firings", "training_decisions"):
        assert not query("SELECT FROM weir.%s WHERE pipeline = '%s'" % (table, p.name)), "weir reset left rows in weir.%s" % table


if __name__ == "__main__":
    main()
