"""Checks at work: what they reject is in the dead letters, what they mark carries their names into the offline store, and all of it is counted, also for records under a wrong key."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403


def change(spec):
    profile = {"columns": [{"name": "amount", "missing_share": 0, "bins": {"edges": [1000000], "shares": [0, 1]}}]}
    path = os.path.join(tempfile.mkdtemp(prefix="weir-test-"), "quality.json")
    with open(path, "w") as file:
        json.dump(profile, file)
    spec["checks"] = [
        {"name": "sold once", "unique": ["terminal_id", "amount"], "within": "1h"},
        {"name": "jump", "rule": "amount <= 100 * previous.amount", "severity": "mark"},
        {"name": "large", "column": "amount", "max": 5000, "severity": "mark"},
        {"name": "round", "rule": "amount % 100 != 0", "severity": "warn"},
        {"name": "terminal", "column": "terminal_id", "matches": "[0-9a-z]+"},
        {"freshness": "1h"},
        {"name": "amounts", "distribution": {"column": "amount", "profile": path, "records": 100}},
    ]


def main():
    payments = Payments(100)
    with Pipeline(change) as p:
        p.start()
        events = p.topic("events")
        out = producer()
        own = {}  # transaction: [event, marks or None, check that rejects or None]

        def publish(name, amount, terminal, seconds, marks=None, rejected=None, key=None):
            event = payments.event(payments.rows[0])
            event.update(transaction_id=name, customer_id="c1", terminal_id=terminal, amount=amount, tx_time=event["tx_time"] + datetime.timedelta(seconds=seconds))
            out.produce(events, p.encode(events, event), key or b"default/c1")
            out.flush()
            own[name] = (marks, rejected)
            rejects = lambda: sum(v for (n, labels), v in p.metrics().items() if n == "weir_ingest_events_total" and ("outcome", "rejected") in labels)
            features = lambda: sum(v for (n, labels), v in p.metrics().items() if n == "weir_ingest_features_total" and ("view", "customer") in labels)
            want = sum(1 for m, r in own.values() if not r)
            if rejected:
                wait_for("the rejection of %s" % name, lambda: rejects() >= sum(1 for m, r in own.values() if r), 30, 0.01)
            else:
                wait_for("features of %s" % name, lambda: features() >= want, 30, 0.01)

        publish("a", 10.5, "t1", 0)
        publish("b", 10.5, "t1", 1800, rejected="sold once")
        publish("c", 10.5, "t1", 3601)
        publish("d", 10.5, "t1", 1801, rejected="sold once", key=b"default/other")  # late, and under a wrong key: its owner decides
        publish("e", 6001.5, "t1", 3700, marks="jump,large")
        publish("f", 6100.0, "t1", 3800, marks="large")
        publish("g", 20.5, "T-1", 3900, rejected="terminal")
        publish("h", 30.5, "t2", 3900, key=b"rubbish")

        letters = wait_for("the dead letters", lambda: (lambda r: len(r) >= 3 and r)([m for m in read_all(p.topic("deadletter")) if dict(m.headers())["weir.source.topic"].decode() == events]))
        said = sorted((p.decode(events, m.value())["transaction_id"], dict(m.headers())["weir.error.message"].decode()) for m in letters)
        print(said)
        assert [name for name, _ in said] == ["b", "d", "g"]
        for name, message in said:
            assert message.startswith(own[name][1] + ":"), message
        assert all(dict(m.headers())["weir.error.class"] == b"check" for m in letters)

        rows = wait_for("marks in the offline store", lambda: (lambda r: len(r) >= 5 and r)(dict(query('SELECT record_transaction_id, marks FROM "%s".features_customer' % p.name))))
        assert rows == {name: marks for name, (marks, rejected) in own.items() if not rejected}, rows
        env = dict(os.environ, WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))
        subprocess.run([BINARY, "features", "profile", p.path, "--out-dir", p.dir, "--columns", "amount,terminal_id,customer_amount_mean_1d"], env=env, cwd=ROOT, check=True)
        with open(os.path.join(p.dir, "quality.json")) as file:
            quality = json.load(file)
        columns = {c["name"]: c for c in quality["columns"]}
        assert quality["rows"] == 5 and list(columns) == ["entity", "event_time", "terminal_id", "amount", "customer_amount_mean_1d"], quality
        assert columns["amount"]["max"] == 6100 and columns["terminal_id"]["top"][0] == {"value": "t1", "count": 4}
        assert quality["coverage"]["entities"] == 1 and quality["coverage"]["records_max"] == 5
        for i in range(100):
            out.produce(events, p.encode(events, dict(payments.event(payments.rows[0]), transaction_id="x%d" % i, customer_id="d%d" % i, amount=1.5 + i)), b"default/d%d" % i)
        out.flush()

        def count(name, **labels):
            return sum(v for (n, found), v in p.metrics().items() if n == name and set(labels.items()) <= found)

        failures = lambda check: count("weir_ingest_checks_total", check=check)
        wait_for("the stream's checks", lambda: failures("amounts") >= 1 and failures("freshness") >= 1, 30)
        assert [failures(c) for c in ("sold once", "jump", "large", "round", "terminal")] == [2, 1, 2, 1, 1]
        assert count("weir_ingest_check_failing", check="freshness") == 1 and count("weir_ingest_check_value", check="amounts") > 0.25
        assert count("weir_ingest_freshness_seconds", topic=events) > 86400
    print("ok")


main()
