"""`weir features rebuild`: features are added to a pipeline that has run, payments keep coming meanwhile, the rebuild is killed and run again; in the end every row, value or correction,
old or new, has the bits that it has in a pipeline that had the features from the start."""
import copy, os, shutil, signal, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from weirtest import BINARY, ROOT, Payments, Pipeline, feature_records, json, producer, query, read_all, wait_for  # noqa: E402

payments = Payments(1200, customers=25, terminals=15, days=3)
PARTS = 6
ADDED = {"customer": [{"name": "amount_sum_ever", "op": "sum", "of": "amount", "window": "all"},
                      {"name": "amount_squares_1d", "op": "sum", "of": "amount * amount", "window": "1d"},
                      {"name": "amount_mean_last_9", "op": "mean", "of": "amount", "window": {"last": 9}},
                      {"name": "large_2d", "op": "count", "where": "amount > 50", "window": "2d"}],
         "terminal": [{"name": "labelled_ever", "op": "count", "window": "all"}, {"name": "frauds_2d", "op": "sum", "of": "fraud", "window": "2d"}]}


def parts():
    """Half a day each: those in order, then those that come late."""
    size = len(payments.rows) // PARTS
    for k in range(PARTS):
        rows = payments.rows[k * size:(k + 1) * size]
        yield [r for i, r in enumerate(rows) if i % 9], [r for i, r in enumerate(rows) if i % 9 == 0]


def publish(p, rows):
    out = producer()
    for row in rows:
        key = ("default/" + row["customer_id"]).encode()
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), key)
        out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(row)), key)
    assert out.flush(60) == 0


def rows_of(p, view):
    """All rows with everything in them; floats as the shortest text that gives the same bits."""
    columns = [c for c, in query("SELECT column_name FROM information_schema.columns WHERE table_schema = '%s' AND table_name = 'features_%s' ORDER BY 1" % (p.name, view))]
    listed = ", ".join('"%s"::text' % c for c in columns)
    return columns, sorted(query('SELECT source_partition, source_offset, version, %s FROM "%s".features_%s' % (listed, p.name, view)))


def settle(p, count):
    for view in ("customer", "terminal"):
        wait_for("%d rows of %s" % (count, view), lambda: query('SELECT count(*) FROM "%s".features_%s WHERE seq = version' % (p.name, view))[0][0] == count, 60, 0.1)


def restart(p, spec):
    for worker in ("ingest", "store"):
        if (worker, "0") in p.processes:
            assert p.kill(worker, sig=signal.SIGTERM) == 0
    with open(p.path, "w") as f:
        json.dump(spec, f)
    p.start("store")
    p.start("ingest")


def rebuild(p, **more):
    return subprocess.Popen([BINARY, "features", "rebuild", p.path], cwd=ROOT, stderr=subprocess.PIPE, text=True, **more)


def finish(process, code=0):
    said = process.communicate(timeout=120)[1]
    assert process.returncode == code, said
    return said


def drain(p):
    """Corrections, too, are offline."""
    for view in ("customer", "terminal"):
        count = len({(r["source_partition"], r["source_offset"], r["version"]) for r in feature_records(p, view)})
        wait_for("all of %s offline" % view, lambda: query('SELECT count(*) FROM "%s".features_%s' % (p.name, view))[0][0] >= count, 60, 0.2)


def run(changed_at):
    """changed_at: the part before which the features come."""
    with Pipeline() as p:
        old = copy.deepcopy(p.spec)
        for view in p.spec["views"]:
            view["features"] = view["features"] + ADDED[view["name"]]
        restart(p, p.spec if changed_at is None else old)
        count = 0
        for k, (in_order, late) in enumerate(parts()):
            if k == changed_at:
                with open(p.path, "w") as f:
                    json.dump(p.spec, f)
                assert "stop them" in finish(rebuild(p), code=1)
                assert p.kill("ingest", sig=signal.SIGTERM) == 0
                publish(p, in_order)  # they wait
                killed = rebuild(p)
                wait_for("fences", lambda: len(query("SELECT 1 FROM weir.sink_offsets WHERE pipeline = '%s' AND sink = 'store.epoch' AND next_offset >= 2" % p.name)) or killed.poll() is not None, 60, 0.01)
                killed.kill()
                killed.communicate()
                said = finish(rebuild(p))
                print(said.strip())
                restart(p, p.spec)
            else:
                publish(p, in_order)
            count += len(in_order)
            settle(p, count)
            if k == PARTS - 2 and changed_at is not None:  # what another machine makes of the topic
                assert p.kill("ingest", sig=signal.SIGTERM) == 0
                shutil.rmtree(os.path.join(p.dir, "state", p.name, "ingest-0"))
                p.start("ingest")
            publish(p, late)
            count += len(late)
            settle(p, count)
        drain(p)
        assert not read_all(p.topic("deadletter"))
        return rows_of(p, "customer"), rows_of(p, "terminal")


def newest(table):
    columns, rows = table
    kept = [i + 3 for i, c in enumerate(columns) if c.startswith("features_") or c == "record_transaction_id"]
    values = {}
    for row in rows:
        values[row[:2]] = [row[i] for i in kept if columns[i - 3].startswith("features_")]
    return values


expected, got = run(None), run(3)
assert expected[0][0] == got[0][0], (expected[0][0], got[0][0])
corrections = len(got[0][1]) - len(payments.rows)
assert corrections > 50, corrections
different = [(a, b) for a, b in zip(expected[0][1], got[0][1]) if a != b]
assert not different and len(expected[0][1]) == len(got[0][1]), "%d rows, expected %d; %d differ, first %r" % (len(got[0][1]), len(expected[0][1]), len(different), different[:1])
# A terminal's labels come through several partitions, and their order of arrival is not always the same; the values that hold are.
a, b = newest(expected[1]), newest(got[1])
assert a.keys() == b.keys() and len(a) == len(payments.rows)
wrong = [s for s in a if a[s] != b[s]]
assert not wrong, "%d of %d, first %r: %r, expected %r" % (len(wrong), len(a), wrong[0], b[wrong[0]], a[wrong[0]])
print("ok: %d rows, %d of them corrections" % (len(got[0][1]), corrections))
