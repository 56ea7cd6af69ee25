"""How fast decisions reach everybody: a rollout worker and two scorers on a real stack, in milliseconds, medians and 99 % quantiles. Times are those of the events, of the database's clock and of the workers' logs,
which are one machine's clock.

  decision  from a request on weir.rollouts to the change that it makes, committed (and to the event that tells it)
  swap      from the commit of an alias's move to each scorer serving the version
  breach    from the batch that breaks a guard to the rollback committed, told, and every scorer without the version
"""
import datetime
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration", "consumers"))
from test_rollout import *  # noqa: E402,F403

SWAPS, ASKS, BREACHES = 50, 50, 10
SCORERS = ("0", "1")


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def log_of(p, instance, message):
    """Lines of a scorer's log with this message."""
    with open(p.processes["score", instance].log_path) as f:
        lines = [json.loads(line) for line in f if line.startswith("{")]
    return [line for line in lines if line["message"] == message and "error" not in line]


def show(what, values):
    values = sorted(values)
    print("%-44s %9.2f ms median %9.2f ms p99 %9.2f ms greatest, of %d" % (what, values[len(values) // 2], values[min(len(values) - 1, len(values) * 99 // 100)], values[-1], len(values)), flush=True)


def ms(later, earlier):
    return (later - earlier).total_seconds() * 1000


def wait_served(p, arm, version, moved):
    """Times at which each scorer served it after the move."""
    def served():
        times = [[when(line["time"]) for line in log_of(p, i, "serving") if line["arm"] == arm and line["version"] == version and when(line["time"]) >= moved] for i in SCORERS]
        return times if all(times) else None
    return [times[0] for times in wait_for("version %d as %s" % (version, arm), served, 30, 0.05)]


def swaps(p, model):
    took = []
    for i in range(SWAPS):
        version = (GOOD, FLAT)[i % 2]
        alias(p, "champion", model, version)
        moved = query("SELECT moved_at FROM weir.aliases WHERE pipeline = '%s' AND alias = 'champion'" % p.name)[0][0]
        took += [ms(at, moved) for at in wait_served(p, "champion", version, moved)]
    show("alias moved, until a scorer serves it", took)
    slowest = sorted(range(len(took)), key=lambda i: -took[i])[:4]
    print("    slowest moves: %s" % ", ".join("no. %d %.0f ms" % (i // len(SCORERS) + 1, took[i]) for i in slowest))
    show("alias moved, until all scorers serve it", [max(took[i:i + len(SCORERS)]) for i in range(0, len(took), len(SCORERS))])


def asks(p, model):
    alias(p, "champion", model, GOOD)
    weir(p, "rollout", p.path, "--start", "%s:%d" % (model, TWIN))
    out, topic = producer(), "weir.rollouts"
    p.registry.get_latest_version(topic + "-value")
    for i in range(1 + ASKS):  # the first one connects the producer
        event = {"event_id": "%s/bench/%d" % (p.name, i), "rollout_id": "", "pipeline": p.name, "at": datetime.datetime.now(datetime.timezone.utc), "type": ("ask.pause", "ask.resume")[i % 2], "state": "",
                 "champion": None, "challenger": None, "share": 0.0, "actor": "bench", "reason": "", "evidence": "{}", "arms": "[]", "shadow": False}
        out.produce(topic, p.encode(topic, event), p.name.encode(), headers={"ce_id": event["event_id"]})
        out.flush(10)
        wait_for("the answer", lambda: query("SELECT FROM weir.rollout_events WHERE event_id = '%s' AND answer = 'done'" % event["event_id"]), 30, 0.02)
    rows = query("SELECT event_id, at FROM weir.rollout_events WHERE pipeline = '%s' AND type LIKE 'ask.%%' AND actor = 'bench' ORDER BY at" % p.name)
    made = query("SELECT at, sent_at FROM weir.rollout_events WHERE pipeline = '%s' AND type IN ('paused', 'resumed') ORDER BY at" % p.name)
    asked = {e["event_id"]: e["at"] for e in own_events(p, topic) if e["actor"] == "bench" and e["type"].startswith("ask.")}
    assert len(rows) == len(made) == 1 + ASKS, (len(rows), len(made))
    show("asked, until it is decided", [ms(m[0], asked[r[0]]) for r, m in zip(rows[1:], made[1:])])
    show("decided, until the event is acknowledged", [ms(m[1], m[0]) for m in made[1:]])
    weir(p, "rollout", p.path, "--abort")
    wait_for("the alias to go", lambda: "challenger" not in aliases(p), 30, 0.2)


def breaches(p, source, model):
    committed, told, gone = [], [], []
    for i in range(BREACHES):
        weir(p, "rollout", p.path, "--start", "%s:%d" % (model, HUGE))
        started = query("SELECT max(started_at) FROM weir.rollouts WHERE pipeline = '%s'" % p.name)[0][0]
        wait_served(p, "challenger", HUGE, query("SELECT moved_at FROM weir.aliases WHERE pipeline = '%s' AND alias = 'challenger'" % p.name)[0][0])
        source.publish(200)
        row = wait_for("the rollback", lambda: query("SELECT at, sent_at FROM weir.rollout_events WHERE pipeline = '%s' AND type = 'rolled_back' AND at > '%s' AND sent_at IS NOT NULL" % (p.name, started)), 30, 0.05)[0]
        broke = min(when(line["time"]) for s in SCORERS for line in log_of(p, s, "the challenger broke a guard and is not used any more") if when(line["time"]) > started)
        committed.append(ms(row[0], broke))
        told.append(ms(row[1], broke))
        gone.append(max(ms(at, broke) for at in wait_served(p, "challenger", 0, broke)))
        wait_for("the alias to go", lambda: "challenger" not in aliases(p), 30, 0.1)
    show("guard broken, until rolled back", committed)
    show("guard broken, until the rollback is published", told)
    show("guard broken, until no scorer holds the version", gone)


def main():
    payments = Payments(12000, seed=7, days=24)
    with Pipeline(spec_of) as p:
        p.spec["rollout"]["automatic"] = False
        with open(p.path, "w") as f:
            json.dump(p.spec, f)
        for worker in WORKERS:
            p.start(worker, wait=False)
        p.start("score", "1", wait=False)
        for worker in WORKERS:
            p.wait_ready(worker)
        p.wait_ready("score", "1")
        source = Source(p, payments)
        source.publish(5000)
        wait_for("features of the first payments", lambda: len(feature_records(p)) >= 5000, 60, 0.5)
        time.sleep(2)
        train(p, at(payments.rows[0]["us"] // DAY_US * DAY_US).strftime("%Y-%m-%d"))
        amount = lambda slope: lambda mean, scale: (-slope * (120 - mean[0]) / scale[0], [slope] + [0.0] * (len(mean) - 1))
        for number, form in {GOOD: amount(8), TWIN: amount(8), HUGE: beyond, FLAT: lambda mean, _: (-2.3, [0.0] * len(mean))}.items():
            model = make_version(p, number, form)
        swaps(p, model)
        asks(p, model)
        breaches(p, source, model)


if __name__ == "__main__":
    main()
