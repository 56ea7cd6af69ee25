"""Store workers move closed days to files by themselves (`compact_after`): each row is in PostgreSQL or in one file, whichever of two workers did it, and history is the same; rows that come for
a day later make a further part; where files cannot be written the stream goes on, and that is counted."""
import csv
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from weirtest import *  # noqa: E402,F403

COUNT, DAYS = 900, 6


def change(spec):
    spec["compact_after"] = "2d"
    spec["source"]["allowed_lateness"] = "30d"
    for section in ("training", "rollout", "serving"):
        spec.pop(section, None)


def send(p, payments, rows):
    out, topic = producer(), p.topic("events")
    for row in rows:
        out.produce(topic, key=("default/" + row["customer_id"]).encode(), value=p.encode(topic, payments.event(row)))
    assert out.flush(60) == 0


def in_postgres(p):
    return query('SELECT count(*) FROM "%s".features_customer' % p.name)[0][0]


def files(p):
    """{(day, part): rows} of the customer view."""
    sql = "SELECT day, part, rows FROM weir.offline_files WHERE pipeline = '%s' AND table_name = 'features_customer'"
    return {(day, part): rows for day, part, rows in query(sql % p.name)}


def total(p, name, instances):
    return sum(v for i in instances for (n, _), v in p.metrics("store", i).items() if n == name)


def features(p, *arguments):
    env = dict(os.environ, WEIR_OBJECTS_DIR=os.path.join(p.dir, "objects"), WEIR_STATE_DIR=os.path.join(p.dir, "state"))
    done = subprocess.run([BINARY, "features", arguments[0], p.path, *arguments[1:]], env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def history(p):
    """Features of all payments, by their customer and time."""
    out = os.path.join(p.dir, "history.csv")
    features(p, "history", "--out", out, "--features", "customer_tx_count_7d,customer_amount_mean_7d")
    with open(out, newline="") as f:
        rows = list(csv.DictReader(f))
    by_payment = {(r["customer_id"], r["event_time"]): (float(r["customer_tx_count_7d"]), float(r["customer_amount_mean_7d"])) for r in rows}
    assert len(by_payment) == len(rows)
    return by_payment


def check_values(found, payments, rows):
    expected = payments.expected(rows)
    wanted = {(r["customer_id"], r["us"]): expected[r["transaction_id"]] for r in rows}
    assert len(found) == len(wanted) == len(rows)
    for (customer, time_text), (count, mean) in found.items():
        want = wanted[customer, micros(datetime.datetime.fromisoformat(time_text + "+00:00"))]
        assert same(count, want["customer_tx_count_7d"]) and same(mean, want["customer_amount_mean_7d"]), (customer, time_text, count, mean, want)


def restart(p, instances):
    """A worker looks for closed days when it starts, then every hour."""
    for instance in instances:
        assert p.kill("store", instance, signal.SIGTERM) == 0
    for instance in instances:
        p.start("store", instance)


def check_moved(p, payments):
    """By two workers at once; the second finds the first at it, or nothing to do."""
    before = history(p)
    assert len(before) == COUNT - 1 and not files(p) and in_postgres(p) == COUNT - 1
    restart(p, ("0", "1"))
    wait_for("closed days to be files", lambda: in_postgres(p) == 0, 60)
    assert sum(files(p).values()) == COUNT - 1 and {part for _, part in files(p)} == {1}, files(p)
    wait_for("it to be counted", lambda: total(p, "weir_store_compacted_rows_total", ("0", "1")) == COUNT - 1, 30)
    assert total(p, "weir_store_compacted_partitions_total", ("0", "1")) == len(files(p)) and total(p, "weir_store_compaction_errors_total", ("0", "1")) == 0
    assert history(p) == before


def check_further_part(p, payments):
    """One that comes late, for a day that is a file."""
    late = payments.rows[COUNT // 2]
    send(p, payments, [late])
    wait_for("the late payment", lambda: in_postgres(p) > 0, 30)
    rows = in_postgres(p)  # and corrections of values after it
    restart(p, ("0", "1"))
    wait_for("a further part", lambda: in_postgres(p) == 0, 60)
    parts = files(p)
    assert sum(n for (_, part), n in parts.items() if part == 2) == rows and (late["tx_time"].date(), 2) in parts, parts
    check_values(history(p), payments, payments.rows)


def check_readers(p, payments):
    """Others that read records: a profile, and a rebuild of the states, from which ingest goes on."""
    features(p, "profile", "--columns", "amount,customer_id", "--out-dir", p.dir)
    with open(os.path.join(p.dir, "quality.json")) as f:
        profile = json.load(f)
    amount = next(c for c in profile["columns"] if c["name"] == "amount")
    amounts = [r["amount"] for r in payments.rows]
    assert profile["rows"] == COUNT and (amount["min"], amount["max"]) == (min(amounts), max(amounts)), (profile["rows"], amount)
    assert p.kill("ingest", sig=signal.SIGTERM) == 0
    print(features(p, "rebuild").strip())
    p.start("ingest")


def check_failure(p, payments):
    """Where the files should go is no folder."""
    folder = os.path.join(p.dir, "objects", p.name)
    os.rename(folder, folder + ".away")
    open(folder, "w").close()
    more = [dict(row, transaction_id="again" + row["transaction_id"], us=row["us"] + 1000, tx_time=at(row["us"] + 1000)) for row in payments.rows[-20:]]
    send(p, payments, more[:10])
    wait_for("ten more", lambda: in_postgres(p) >= 10, 30)
    restart(p, ("0",))
    wait_for("the failure to be counted", lambda: total(p, "weir_store_compaction_errors_total", ("0",)) == 1, 30)
    send(p, payments, more[10:])
    wait_for("the stream to go on", lambda: in_postgres(p) >= 20, 30)
    os.remove(folder)
    os.rename(folder + ".away", folder)
    restart(p, ("0",))
    wait_for("the rest to be files", lambda: in_postgres(p) == 0, 60)
    check_values(history(p), payments, sorted(payments.rows + more, key=lambda r: r["us"]))


def main():
    payments = Payments(COUNT, seed=3, days=DAYS)
    with Pipeline(change) as p:
        p.start("ingest")
        p.start("store", "0")
        p.start("store", "1")
        send(p, payments, payments.rows[: COUNT // 2] + payments.rows[COUNT // 2 + 1 :])
        wait_for("rows in PostgreSQL", lambda: in_postgres(p) == COUNT - 1, 60)
        check_moved(p, payments)
        check_further_part(p, payments)
        check_readers(p, payments)
        p.kill("store", "1", signal.SIGTERM)
        check_failure(p, payments)
    print("ok: %d rows moved to files and read from there" % (COUNT + 20))


main()
