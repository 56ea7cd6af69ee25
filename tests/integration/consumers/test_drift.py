"""The drift worker over real Kafka and PostgreSQL: simulated payments whose amounts grow from the middle on. Windows before that have no drift, windows at the end are high and raise one alert; of two workers one
is killed -9 in the middle, and still every judged window has exactly its records, of each tenant and of all. One of three tenants changes for some days: it is told, and nobody else. Then
the same question on demand."""
import collections
import datetime
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

DAYS, FIRST = 16, datetime.datetime(2024, 3, 4, tzinfo=datetime.timezone.utc)  # a Monday
WINDOW, TRAINED_TO = 2, 5
SUDDEN, SHARE = range(5, 8), 60  # days on which one tenant is another, payments a day of the small tenants
TENANTS = ["calm", "default", "sudden"]
COLUMNS = ["amount", "tx_during_night", "customer_amount_mean_1d", "terminal_tx_count_1d"]
UNSTEADY = {"terminal_tx_count_1d"}  # payments reach terminals re-keyed, from all partitions: in a burst what is first computed depends on their order


def triggers(spec):
    spec["training"]["columns"] = COLUMNS
    for feature in next(v for v in spec["views"] if v["name"] == "terminal")["features"]:
        feature.pop("delay", None)  # else its counts begin a week after the payments, which is drift
    spec["triggers"] = {"drift": {"every": "1d", "window": "%dd" % WINDOW, "min_rows": 100, "tenants": 3}}


def weir(p, *args, code=0):
    env = dict(os.environ, WEIR_STATE_DIR=os.path.join(p.dir, "state"), WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"))
    done = subprocess.run([BINARY, *args], cwd=ROOT, capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout


def day(n):
    return FIRST + datetime.timedelta(days=n)


def champion(p):
    """A version that was trained on days 1 to 4."""
    import psycopg2
    lineage = json.dumps({"window": {"train_from": day(1).isoformat().replace("+00:00", "Z"), "train_to": day(TRAINED_TO).isoformat().replace("+00:00", "Z")}})
    with psycopg2.connect(PG) as connection, connection.cursor() as cursor:
        for identity, alert in (("old", None), ("told", "resolved")):  # results of a tenant of two months ago: only what was told stays
            cursor.execute("INSERT INTO weir.drift_results (drift_id, pipeline, kind, cause, window_from, window_to, severity, records, false_alarm_rate, alert, sent_at, tenant) "
                           "VALUES (%s, %s, 'features', 'window', %s, %s, 'none', 1, 0.01, %s, now(), 'gone')", (p.name + identity, p.name, day(-62), day(-60), alert))
        cursor.execute("INSERT INTO weir.model_versions (pipeline, model, version, algorithm, digest, artifact_path, feature_hash, dataset_digest, lineage, semver) "
                       "VALUES (%s, 'm', 1, 'logistic', 'd', 'models/none', 'f', 's', %s, '{1,0,0}')", (p.name, lineage))
        cursor.execute("INSERT INTO weir.aliases (pipeline, alias, model, version) VALUES (%s, 'champion', 'm', 1)", (p.name,))


def counted(p, instance):
    return sum(v for (name, _), v in p.metrics("drift", instance).items() if name == "weir_drift_records_total")


def add_tenants(path):
    """Two small tenants beside the simulated one: "calm" stays as it is, payments of "sudden" are larger for some days."""
    draw = random.Random(5)
    with open(path) as f:
        lines = f.readlines()
    like = json.loads(lines[0])
    assert like["tenant"] == "default" and like["labelled_at"], like
    for tenant in ("calm", "sudden"):
        for n in range(DAYS * SHARE):
            at = day(n // SHARE) + datetime.timedelta(seconds=draw.randrange(86400))
            amount = round(draw.gauss(80 if tenant == "sudden" and n // SHARE in SUDDEN else 60, 10), 2)
            own = {"tenant": tenant, "transaction_id": "%s-%d" % (tenant, n), "tx_time": at.strftime("%F %T"), "customer_id": str(draw.randrange(30)), "terminal_id": str(draw.randrange(20)),
                   "amount": amount, "labelled_at": (at + datetime.timedelta(days=7)).strftime("%F %T"), "fraud": False}
            assert set(own) <= set(like), like
            lines.append(json.dumps({**like, **own}) + "\n")
    with open(path, "w") as f:
        f.writelines(lines)


def publish(p):
    weir(p, "migrate")
    weir(p, "topics", "create", p.path)
    p.start("ingest")
    p.start("store")
    payments = os.path.join(p.dir, "payments.jsonl")
    weir(p, "simulate", p.path, "--domain", "fraud", "--entities", "300", "--days", str(DAYS), "--start", FIRST.date().isoformat(), "--drift", "2", "--seed", "7", "--out", payments)
    add_tenants(payments)
    weir(p, "replay", p.path, "--file", payments)
    sent = sum(1 for _ in read_all(p.topic("events")))
    stored = lambda view: query("SELECT count(*) FROM pg_tables WHERE schemaname = '%s' AND tablename = 'features_%s'" % (p.name, view))[0][0] and query(
        "SELECT count(*) FROM \"%s\".features_%s WHERE version = seq" % (p.name, view))[0][0]
    wait_for("all features to be stored", lambda: stored("customer") == stored("terminal") == sent, 120, 0.5)
    return sent


def results(p, kind="features", tenant=None):
    of = "tenant = '%s'" % tenant if tenant else "tenant IS NULL"
    return query("SELECT window_from, window_to, severity, records, reference, drift_id, detail FROM weir.drift_results WHERE pipeline = '%s' AND kind = '%s' AND %s ORDER BY window_to" % (p.name, kind, of))


def drifted(detail):
    return {c["name"] for c in detail["columns"] if c["drifted"]}


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
        assert reference == "training:m/1"
        calm, last = day(1) <= window_from and window_to <= day(DAYS // 2), window_from >= day(DAYS - WINDOW)
        assert not calm or severity in ("none", "low") and drifted(detail) <= UNSTEADY, (window_from, severity, drifted(detail))
        assert not last or severity in ("high", "critical"), (window_from, severity)
    ends = [r[1] for r in found]
    assert ends == sorted(set(ends)) and ends[0] == day(WINDOW) and (ends[-1] - day(DAYS)).days in (0, 1), ends
    offsets = query("SELECT stream, sum(next_offset) FROM weir.drift_offsets WHERE pipeline = '%s' AND stream LIKE 'features/%%' GROUP BY 1" % p.name)
    assert len(offsets) == 2, offsets
    print("%d windows, each with its records: %s" % (len(found), " ".join(r[2] for r in found)))


def check_tenants(p):
    """Every window that was judged was judged for each tenant, of which it has the records; on its days "sudden" is told and the others are not."""
    by_day = collections.Counter((r["tenant"], (r["event_time"] - FIRST).days) for r in feature_records(p) if r["record"] is not None)
    judged = {r[1]: r for r in results(p) if r[2] != "skipped"}
    assert {r[0] for r in query("SELECT tenant FROM weir.drift_tenants WHERE pipeline = '%s'" % p.name)} == set(TENANTS)
    told, seen = collections.Counter(), 0
    for tenant in TENANTS:
        found = results(p, tenant=tenant)
        full = [end for end, r in judged.items() if sum(by_day[tenant, d] for d in range((r[0] - FIRST).days, (r[1] - FIRST).days)) >= 100]
        assert [r[1] for r in found] == sorted(full), (tenant, found)
        for window_from, window_to, severity, records, reference, drift_id, detail in found:
            inside = sum(by_day[tenant, d] for d in range((window_from - FIRST).days, (window_to - FIRST).days))
            assert records == inside, "%s, %s to %s: %d records, expected %d" % (tenant, window_from, window_to, records, inside)
            assert reference == "training:m/1" and drift_id == judged[window_to][5] + "-" + tenant and abs(detail["alpha"] - 0.01 / 3) < 1e-12, (reference, drift_id, detail["alpha"])
            told[tenant] += severity in ("high", "critical")
            changed = window_from >= day(SUDDEN[0]) and window_to <= day(SUDDEN[-1] + 1)
            seen += changed
            if tenant == "sudden" and changed:
                assert severity in ("high", "critical") and {"amount", "customer_amount_mean_1d"} <= drifted(detail), (window_to, severity, drifted(detail))
            elif tenant == "calm" or changed:
                assert drifted(detail) <= UNSTEADY, (tenant, window_to, drifted(detail))
    assert seen >= 3 and told["sudden"] and told["default"] and not told["calm"], (seen, told)
    gauge = {dict(labels)["outcome"]: v for (name, labels), v in p.metrics("drift", "2").items() if name == "weir_drift_tenants" and dict(labels)["kind"] == "features"}
    assert sum(gauge.values()) == 3 and gauge["high"] + gauge["critical"] >= 1, gauge  # of the newest window
    print("windows told by tenant: %s" % dict(told))


def check_tenant_events(p):
    told = [e for e in own_events(p, "weir.drift") if e["tenant"]]
    rows = {r[0]: r for r in query("SELECT drift_id, kind, reference, tenant FROM weir.drift_results WHERE pipeline = '%s' AND tenant IS NOT NULL AND severity <> 'skipped'" % p.name)}
    assert sorted(e["drift_id"] for e in told) == sorted(i for i, r in rows.items() if r[3] != "gone"), told
    assert p.name + "told" in rows and p.name + "old" not in rows, rows
    rows = [r for r in rows.values() if r[3] != "gone"]
    assert {(r[1], r[3]) for r in rows} == {(kind, tenant) for kind in ("features", "labels") for tenant in TENANTS}, rows
    assert all(r[2].startswith("window:" if r[1] == "labels" else "training:") for r in rows), rows
    assert all(e["false_alarm_rate"] <= 0.01 / 2 for e in told if e["kind"] == "features")
    states = collections.defaultdict(list)
    for alert in own_events(p, "weir.alerts"):
        states[alert["alert_id"].partition("/drift/features/")[2]].append(alert)
    assert "calm" not in states and [a["state"] for a in states["sudden"]][0] == "firing", states
    assert [a["state"] for a in states["sudden"]][-1] == "resolved", states["sudden"]
    assert "tenant sudden" in states["sudden"][0]["summary"] and json.loads(states["sudden"][0]["detail"])["tenant"] == "sudden", states["sudden"]


def check_events(p):
    told = [e for e in own_events(p, "weir.drift") if e["kind"] == "features" and e["tenant"] is None]
    assert sorted(e["drift_id"] for e in told) == sorted(r[5] for r in results(p) if r[2] != "skipped"), told
    last = told[-1]
    columns = {c["name"]: c for c in json.loads(last["detail"])["columns"]}
    assert set(columns) == set(COLUMNS) and columns["amount"]["drifted"] and columns["customer_amount_mean_1d"]["drifted"], columns
    assert not columns["tx_during_night"]["drifted"], columns
    assert last["columns"] == 4 and last["share"] == last["drifted"] / 4 and last["tenant"] is None
    alerts = [a for a in own_events(p, "weir.alerts") if a["alert_id"] == "%s/drift/features" % p.name]
    assert alerts and alerts[0]["state"] == "firing" and alerts[0]["name"] == "WeirDrift", alerts
    said = [(a["state"], a["severity"]) for a in alerts]
    assert all(a != b for a, b in zip(said, said[1:])), alerts  # changes only
    kinds = {r[0] for r in query("SELECT DISTINCT kind FROM weir.drift_results WHERE pipeline = '%s'" % p.name)}
    assert {"features", "labels"} <= kinds, kinds
    print("%d events, %d alerts" % (len(told), len(alerts)))


def ask(p):
    """What the command says is what the worker said."""
    at = lambda n: day(n).date().isoformat()
    for n in range(1, DAYS // 2 - WINDOW + 1):
        calm = json.loads(weir(p, "drift", p.path, "--current", "%s..%s" % (at(n), at(n + WINDOW)), "--output", "json"))
        assert drifted(calm) <= UNSTEADY, (n, calm)
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
    for tenant, code in (("sudden", 1), ("calm", 0)):
        one = json.loads(weir(p, "drift", p.path, "--tenant", tenant, "--current", "%s..%s" % (at(SUDDEN[0]), at(SUDDEN[-1] + 1)), "--output", "json", code=code))
        assert one["reference_records"] == (TRAINED_TO - 1) * SHARE and one["current_records"] == len(SUDDEN) * SHARE, one
    weir(p, "drift", p.path, "--tenant", "nobody", "--current", "%s..%s" % (at(1), at(3)), code=1)
    print("asked on demand")


def main():
    with Pipeline(triggers) as p:
        sent = publish(p)
        champion(p)
        watch(p)
        check_windows(p, sent)
        wait_for("everything to be told", lambda: not query("SELECT FROM weir.drift_results WHERE pipeline = '%s' AND sent_at IS NULL" % p.name), 60, 0.5)
        check_events(p)
        check_tenants(p)
        check_tenant_events(p)
        ask(p)
    for table in ("drift_offsets", "drift_slots", "drift_references", "drift_results", "drift_tenants"):
        assert not query("SELECT FROM weir.%s WHERE pipeline = '%s'" % (table, p.name)), "weir reset left rows in weir.%s" % table


if __name__ == "__main__":
    main()
