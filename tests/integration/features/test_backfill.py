"""`weir features backfill`: killed and run again every record is there once; what follows live continues exactly where it ends, so that backfill + live equals live only, bit for
bit; a backfill behind live records is refused."""
import csv, os, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from weirtest import BINARY, ROOT, Payments, Pipeline, check_features, newest_features, query, read_all, wait_for, PG  # noqa: E402
import psycopg2  # noqa: E402
import psycopg2.extras  # noqa: E402

COUNT, CUT = 4000, 2500
payments = Payments(COUNT)


def write(pipeline, name, rows):
    path = os.path.join(pipeline.dir, name)
    with open(path, "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["tenant", "transaction_id", "tx_time", "customer_id", "terminal_id", "amount"])
        for row in rows:
            out.writerow([row["tenant"], row["transaction_id"], row["tx_time"].isoformat(), row["customer_id"], row["terminal_id"], repr(row["amount"])])
    return path


def weir(*args, **more):
    return subprocess.run([BINARY] + list(args), cwd=ROOT, capture_output=True, text=True, **more)


def sent(pipeline):
    return read_all(pipeline.topic("events"))


def features(pipeline):
    pipeline.start("ingest")
    wait_for("features of all payments", lambda: len(newest_features(pipeline)[1]) == COUNT, timeout_s=120, every_s=1)
    newest, origin, _ = newest_features(pipeline)
    return {record["transaction_id"]: newest[source] for source, record in origin.items()}


def backfilled():
    with Pipeline() as p:
        path = write(p, "past.csv", payments.rows[:CUT])
        command = [BINARY, "features", "backfill", p.path, "--from", path]
        assert weir("migrate").returncode == 0
        first = subprocess.Popen(command + ["--rate", "1500"], cwd=ROOT)
        wait_for("a part to be published", lambda: query("SELECT 1 FROM weir.backfills WHERE pipeline = '%s'" % p.name) and len(sent(p)) > 300, timeout_s=20)
        first.kill()
        first.wait()
        time.sleep(0.5)
        there = len(sent(p))
        assert 300 < there < CUT, there
        done = weir("features", "backfill", p.path, "--from", path)
        assert done.returncode == 0, done.stderr
        assert "%d events" % (CUT - there) in done.stderr and "%d by runs before" % there in done.stderr, done.stderr
        records = sent(p)
        assert len(records) == CUT and len({r.value() for r in records}) == CUT
        assert all(dict(r.headers())["weir.backfill"] == b"history" for r in records)
        handover = {int(line.split()[1]): int(line.split()[2]) for line in done.stdout.splitlines() if line.split()[0] == p.topic("events")}
        assert sum(handover.values()) == CUT
        again = weir("features", "backfill", p.path, "--from", path)
        assert again.returncode == 0 and "was done before" in again.stderr and again.stdout == done.stdout, again.stderr
        assert weir("replay", p.path, "--file", write(p, "live.csv", payments.rows[CUT:])).returncode == 0
        for record in sent(p):
            assert (record.offset() < handover[record.partition()]) == bool(record.headers()), "the handover is not exact"
        other = weir("features", "backfill", p.path, "--from", path, "--name", "other")
        assert other.returncode != 0 and "--beside-live" in other.stderr, other.stderr
        got = features(p)
        check_features(p, payments)
        return got


def live():
    with Pipeline() as p:
        assert weir("replay", p.path, "--file", write(p, "all.csv", payments.rows)).returncode == 0
        return features(p)


def tabled():
    """The first half from a table with names of its own, the second from a file."""
    with Pipeline() as p:
        table = p.name + ".past_payments"
        connection = psycopg2.connect(PG)
        with connection, connection.cursor() as c:
            c.execute('CREATE SCHEMA "%s"; CREATE TABLE %s (tenant text, transaction_id varchar(40), at timestamptz, customer_id bigint, terminal_id bigint, amount double precision)' % (p.name, table))
            psycopg2.extras.execute_values(c, "INSERT INTO %s VALUES %%s" % table, [
                [r["tenant"], r["transaction_id"], r["tx_time"], int(r["customer_id"]), int(r["terminal_id"]), r["amount"]] for r in payments.rows[:CUT]])
        connection.close()
        missing = weir("features", "backfill", p.path, "--from", p.name + ".nothing")
        assert missing.returncode != 0 and "there is no table" in missing.stderr, missing.stderr
        done = weir("features", "backfill", p.path, "--from", table, "--from", write(p, "rest.csv", payments.rows[CUT:]), "--map", "at=tx_time")
        assert done.returncode == 0 and "%d events" % COUNT in done.stderr, done.stderr
        return features(p)


def archived():
    """From the topics of another pipeline, whose partitions end at different times; the cut leaves the rest to live records."""
    with Pipeline() as old, Pipeline() as p:
        cut = payments.rows[CUT]["tx_time"]
        assert weir("replay", old.path, "--file", write(old, "all.csv", payments.rows)).returncode == 0
        for wrong, why in ((["topic:nowhere"], "nowhere"), (["topic:" + p.topic("events")], "own topic"), (["topic:" + old.topic("events"), "past.csv"], "expected either"),
                           (["topic:a", "topic:b"], "expected one")):
            refused = weir("features", "backfill", p.path, *sum((["--from", w] for w in wrong), []))
            assert refused.returncode != 0 and why in refused.stderr, refused.stderr
        command = ["features", "backfill", p.path, "--from", "topic:" + old.topic("events"), "--until", cut.isoformat()]
        done = weir(*command)
        before = [row for row in payments.rows if row["tx_time"] < cut]
        assert done.returncode == 0 and "%d events" % len(before) in done.stderr, done.stderr
        assert "was done before" in weir(*command).stderr
        assert len({r.value() for r in sent(p)}) == len(sent(p)) == len(before)
        assert weir("replay", p.path, "--file", write(p, "live.csv", [row for row in payments.rows if row["tx_time"] >= cut])).returncode == 0
        got = features(p)
        check_features(p, payments)
        return got


expected = live()
assert backfilled() == expected
assert tabled() == expected
assert archived() == expected
print("ok")
