"""The drift worker over real Kafka and PostgreSQL: simulated payments whose amounts grow from the middle on. Windows before that have no drift, windows at the end are high and raise one alert; of two workers one
is killed -9 in the middle, and still every judged window has exactly its records. Then the same question on demand."""
import collections
import datetime
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

DAYS, FIRST = 16, datetime.datetime(2024, 3, 4, tzinfo=datetime.timezone.utc)  # a Monday
WINDOW, TRAINED_TO = 2, 7
COLUMNS = ["amount", "tx_during_night", "customer_amount_mean_1d", "terminal_tx_count_1d"]
UNSTEADY = {"terminal_tx_count_1d"}  # payments reach terminals re-keyed, from all partitions: in a burst what is first computed depends on their order


def triggers(spec):
    spec["training"]["columns"] = COLUMNS
    for feature in next(v for v in spec["views"] if v["name"] == "terminal")["features"]:
        feature.pop("delay", None)  # else its counts begin a week after the payments, which is drift
    spec["triggers"] = {"drift": {"every": "1d", "window": "%dd" % WINDOW, "min_rows": 200}}


def weir(p, *args, code=0):
    env = dict(os.environ, WEIR_STATE_DIR=os.path.join(p.dir, "state"), WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))
    done = subprocess.run([BINARY, *args], cwd=ROOT, capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout


def day(n):
    return FIRST + datetime.timedelta(days=n)


def champion(p):
    """A version that was trained on days 1 to 6."""
    import psycopg2
    lineage = json.dumps({"window": {"train_from": day(1).isoformat().replace("+00:00", "Z"), "train_to": day(TRAINED_TO).isoformat().replace("+00:00", "Z")}})
    with psycopg2.connect(PG) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO weir.model_versions (pipeline, model, version, algorithm, digest, artifact_path, feature_hash, dataset_digest, lineage, semver) "
                       "VALUES (%s, 'm', 1, 'logistic', 'd', 'models/none', 'f', 's', %s, '{1,0,0}')", (p.name, lineage))
        cursor.execute("INSERT INTO weir.aliases (pipeline, alias, model, version) VALUES (%s, 'champion', 'm', 1)", (p.name,))


def counted(p, instance):
    return sum(v for (name, _), v in p.metrics("drift", instance).items() if name == "weir_drift_records_total")


def publish(p):
    weir(p, "migrate")
    weir(p, "topics", "create", p.path)
    p.start("ingest")
    p.start("store")
    weir(p, "simulate", p.path, "--domain", "fraud", "--entities", "300", "--days", str(DAYS), "--start", FIRST.date().isoformat(), "--drift", "2", "--seed", "7")
    sent = sum(1 for _ in read_all(p.topic("events")))
    stored = lambda view: query("SELECT count(*) FROM pg_tables WHERE schemaname = '%s' AND tablename = 'features_%s'" % (p.name, view))[0][0] and query(
        "SELECT count(*) FROM \"%s\".features_%s WHERE version = seq" % (p.name, view))[0][0]
    wait_for("all features to be stored", lambda: stored("customer") == stored("terminal") == sent, 120, 0.5)
    return sent


def results(p, kind="features"):
    return query("SELECT window_from, window_to, severity, records, reference, drift_id, detail FROM weir.drift_results WHERE pipeline = '%s' AND kind = '%s' ORDER BY window_to" % (p.name, kind))


def watch(p):
    """Two workers; one is killed before it has stored anything, the other after it has."""
    p.start("drift", "0")
    p.start("drift", "1")
    wait_for("the first worker to count", lambda: counted(p, "0") > 0, 60, 0.05)
    p.kill("drift", "0")
    wait_for("the second worker to store", lambda: query("SELECT FROM weir.drift_slots WHERE pipeline = '%s'" % p.name), 120, 0.05)
    p.kill("drift", "1")
    p.start("drift", "2")
    wait_for("the last window", lambda: (lambda r: r and r[-1][1] >= day(DAYS))(results(p)), 180, 0.5)


def check_windows(p, sent):
    by_day = collections.Counter()
    for record in feature_records(p):
        if record["record"] is not None:
            by_day[(record["event_time"] - FIRST).days] += 1
    assert sum(by_day.values()) == sent
    found = results(p)
    for window_from, window_to, severity, records, reference, _, detail in found:
        inside = sum(by_day[d] for d in range((window_from - FIRST).days, (window_to - FIRST).days))
        assert records == inside, "%s to %s: %d records, expected %d" % (window_from, window_to, records, inside)
        if window_to <= day(TRAINED_TO):
            assert severity == "skipped" and "before the training period" in detail["why"], (window_to, severity, detail)
            continue
        drifted = {c["name"] for c in detail["columns"] if c["drifted"]}
        assert reference == "training:m/1"
        calm, last = day(1) <= window_from and window_to <= day(DAYS // 2), window_from >= day(DAYS - WINDOW)
        assert not calm or severity in ("none", "low") and drifted <= UNSTEADY, (window_from, severity, drifted)
        assert not last or severity in ("high", "critical"), (window_from, severity)
    ends = [r[1] for r in found]
    assert ends == sorted(set(ends)) and ends[0] == day(WINDOW) and (ends[-1] - day(DAYS)).days in (0, 1), ends
    offsets = query("SELECT stream, sum(next_offset) FROM weir.drift_offsets WHERE pipeline = '%s' AND stream LIKE 'features/%%' GROUP BY 1" % p.name)
    assert len(offsets) == 2, offsets
    print("%d windows, each with its records: %s" % (len(found), " ".join(r[2] for r in found)))


def check_events(p):
    told = [e for e in own_events(p, "weir.drift") if e["kind"] == "features"]
    assert sorted(e["drift_id"] for e in told) == sorted(r[5] for r in results(p) if r[2] != "skipped"), told
    last = told[-1]
    columns = {c["name"]: c for c in json.loads(last["detail"])["columns"]}
    assert set(columns) == set(COLUMNS) and columns["amount"]["drifted"] and columns["customer_amount_mean_1d"]["drifted"], columns
    assert not columns["tx_during_night"]["drifted"], columns
    assert last["columns"] == 4 and last["share"] == last["drifted"] / 4 and last["tenant"] is None
    alerts = [a for a in own_events(p, "weir.alerts") if a["alert_id"] == "%s/drift/features" % p.name]
    assert alerts and alerts[0]["state"] == "firing" and alerts[0]["name"] == "WeirDrift", alerts
    assert len({(a["state"], a["severity"]) for a in alerts}) == len(alerts), alerts  # changes only
    kinds = {r[0] for r in query("SELECT DISTINCT kind FROM weir.drift_results WHERE pipeline = '%s'" % p.name)}
    assert {"features", "labels"} <= kinds, kinds
    print("%d events, %d alerts" % (len(told), len(alerts)))


def ask(p):
    """What the command says is what the worker said."""
    at = lambda n: day(n).date().isoformat()
    for n in range(1, DAYS // 2 - WINDOW + 1):
        calm = json.loads(weir(p, "drift", p.path, "--current", "%s..%s" % (at(n), at(n + WINDOW)), "--output", "json"))
        assert {c["name"] for c in calm["columns"] if c["drifted"]} <= UNSTEADY, (n, calm)
    page = os.path.join(p.dir, "drift.html")
    grown = json.loads(weir(p, "drift", p.path, "--current", "%s..%s" % (at(DAYS - 2), at(DAYS)), "--report", page, "--output", "json", code=1))
    assert calm["reference"] == "training:m/1", calm
    by_end = {r[1]: r for r in results(p)}
    assert grown["current_records"] == by_end[day(DAYS)][3] and grown["severity"] == by_end[day(DAYS)][2], grown
    with open(page) as f:
        text = f.read()
    assert "customer_amount_mean_1d" in text and "http" not in text and text.count("<svg") >= 3
    weir(p, "drift", p.path, "--reference", "%s..%s" % (at(1), at(7)), "--current", "%s..%s" % (at(2), at(4)), "--columns", "amount,tx_during_night")
    assert "no range" in subprocess.run([BINARY, "drift", p.path, "--current", "%s..%s" % (at(4), at(2))], capture_output=True, text=True, cwd=ROOT).stderr
    print("asked on demand")


def main():
    with Pipeline(triggers) as p:
        sent = publish(p)
        champion(p)
        watch(p)
        check_windows(p, sent)
        wait_for("everything to be told", lambda: not query("SELECT FROM weir.drift_results WHERE pipeline = '%s' AND sent_at IS NULL" % p.name), 60, 0.5)
        check_events(p)
        ask(p)
    for table in ("drift_offsets", "drift_slots", "drift_references", "drift_results"):
        assert not query("SELECT FROM weir.%s WHERE pipeline = '%s'" % (table, p.name)), "weir reset left rows in weir.%s" % table


if __name__ == "__main__":
    main()
