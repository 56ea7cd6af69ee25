"""Two ingest workers share the partitions; one is killed, another joins, states are lost and restored, while payments and labels flow: every payment's features are there once
and are what they must be, and so are the terminals'."""
import os
import shutil
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

RATE = 300  # payments a second
LABEL_DELAY_US = 7 * DAY_US


def publish(p, payments, rows):
    """In order, at a rate that the workers keep up with; labels right behind."""
    out = producer()
    began = time.monotonic()
    for i, row in enumerate(rows):
        key = ("default/" + row["customer_id"]).encode()
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), key)
        out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(row, LABEL_DELAY_US)), key)
        out.poll(0)
        ahead = i / RATE - (time.monotonic() - began)
        if ahead > 0.05:
            time.sleep(ahead)
    assert out.flush(120) == 0, "the test's own records were not all delivered"


def sources(p, view):
    return {(r["source_partition"], r["source_offset"]) for r in feature_records(p, view)}


def wait_for_features(p, count):
    for view in ("customer", "terminal"):
        try:
            wait_for("%s features of %d records" % (view, count), lambda: len(sources(p, view)) >= count, 120, 1)
        finally:
            print("%s: %d of %d sources" % (view, len(sources(p, view)), count))


def shares(p, instances):
    """How many records of the events topic each instance has taken."""
    return [sum(v for (name, labels), v in p.metrics("ingest", i).items() if name == "weir_worker_records_total" and ("topic", p.topic("events")) in labels) for i in instances]


def check_terminals(p, payments):
    """Each label's terminal features, corrections considered: those of the labels before it by event time."""
    by_terminal = collections.defaultdict(list)
    for row in payments.rows:
        by_terminal[row["terminal_id"]].append(row)
    stored = query('SELECT count(record_transaction_id), count(DISTINCT record_transaction_id) FROM "%s".features_terminal' % p.name)[0]
    assert stored == (len(payments.rows), len(payments.rows)), "terminal rows offline (rows, distinct): %r" % (stored,)
    wrong = []
    features = dict(offline_features(p, "terminal", ["features_terminal_tx_count_30d"]))
    for terminal, rows in by_terminal.items():
        for row in rows:
            # The windows end `delay` before the event and hold what happened in them.
            end = row["us"] - LABEL_DELAY_US
            want = sum(1 for r in rows if end - 30 * DAY_US < r["us"] <= end)
            if not same(features[row["transaction_id"]], float(want)):
                wrong.append((terminal, row["transaction_id"], features[row["transaction_id"]], want))
    assert not wrong, "%d labels whose terminal's count is wrong (terminal, label, found, expected): %r" % (len(wrong), wrong[:5])


def check_offline(p, payments):
    rows = offline_features(p, "customer", ["features_customer_amount_mean_30d", "features_customer_tx_count_7d"])
    expected = payments.expected()
    assert len(rows) == len(expected), "%d rows offline, %d payments" % (len(rows), len(expected))
    for identity, mean, count in rows:
        want = expected.pop(identity)
        assert same(mean, want["customer_amount_mean_30d"]) and same(count, want["customer_tx_count_7d"]), identity


def lose_state_and_interrupt_its_restore(p):
    """A worker without its state reads it from the changelog; told to stop in the middle of that, it must not take the half for the whole."""
    for instance in ("0", "1", "2"):
        if ("ingest", instance) in p.processes:
            assert p.kill("ingest", instance, signal.SIGTERM) == 0
        shutil.rmtree(os.path.join(p.dir, "state", p.name, "ingest-" + instance), ignore_errors=True)
    for twentieths in range(12):
        process = p.start("ingest", "0", wait=False)
        wait_for("ingest to listen", lambda: process.poll() is not None or answers(process.port), 30, 0.01)
        time.sleep(twentieths / 20)
        assert p.kill("ingest", "0", signal.SIGTERM) == 0, tail(process.log_path)
    with open(process.log_path) as log:
        print("interrupted %d of 12 starts while restoring" % log.read().count("stopped while restoring"))


def answers(port):
    try:
        return get("http://127.0.0.1:%d/healthz" % port)[0] == 200
    except OSError:
        return False


def main():
    payments = Payments(12000, seed=11, customers=60, days=50)
    third = len(payments.rows) // 3
    with Pipeline() as p:
        p.start("store")
        p.start("ingest", "0")
        p.start("ingest", "1")
        publisher = threading.Thread(target=publish, args=(p, payments, payments.rows[: 2 * third]))
        publisher.start()
        time.sleep(7)
        both = shares(p, ["0", "1"])
        assert all(both), "records of the events topic taken by each ingest: %r" % (both,)
        p.kill("ingest", "0")
        print("one of two killed after", both, "records")
        time.sleep(3)
        p.start("ingest", "2")
        time.sleep(3)
        p.start("ingest", "0")
        print("a third joined, the killed one came back")
        publisher.join()
        wait_for_features(p, 2 * third)
        lose_state_and_interrupt_its_restore(p)
        p.start("ingest", "0")
        p.start("ingest", "1")
        publish(p, payments, payments.rows[2 * third:])
        wait_for_features(p, len(payments.rows))
        repeats = check_features(p, payments)
        rekeyed = len(read_all(p.topic("repartition.terminal")))
        assert rekeyed > 0, "no label went through the repartition topic"
        for table in ("customer", "terminal"):
            wait_for("%s rows offline" % table, lambda: query('SELECT count(record_transaction_id) FROM "%s".features_%s' % (p.name, table))[0][0] >= len(payments.rows), 120, 1)
        check_offline(p, payments)
        check_terminals(p, payments)
        letters = read_all(p.topic("deadletter"))
        assert not letters, "%d records in the dead letters, first: %r" % (len(letters), letters[0].headers())
    print("ok: %d payments once, %d records re-keyed, %d feature records repeated for readers to drop" % (len(payments.rows), rekeyed, repeats))


main()
