"""Killed, restarted, cut off from the broker and from the database while payments flow: at the end every payment has its features once in the online and the offline store."""
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

OUTAGE_S = 20


def publish(p, payments, done):
    """In order, about 250 payments a second, labels right behind (their lateness is event time, not ours)."""
    out = producer()
    try:
        for i, row in enumerate(payments.rows):
            key = ("default/" + row["customer_id"]).encode()
            out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), key)
            out.produce(p.topic("labels"), p.encode(p.topic("labels"), payments.label(row)), key)
            if i % 25 == 24:
                out.poll(0)
                time.sleep(0.1)
        assert out.flush(120) == 0, "the test's own records were not all delivered"
    finally:
        done.set()


def outage(service):
    """The service is really stopped, and started again 20 s later."""
    run = os.path.join(ROOT, "run")
    subprocess.run([run, "down", service], check=True, stdout=subprocess.DEVNULL)
    time.sleep(OUTAGE_S)
    subprocess.run([run, "up", service], check=True, stdout=subprocess.DEVNULL)


def check_offline(p, payments):
    rows = offline_features(p, "customer", ["features_customer_amount_mean_30d", "features_customer_tx_count_7d"])
    expected = payments.expected()
    assert len(rows) == len(expected), "%d rows offline, %d payments" % (len(rows), len(expected))
    for identity, mean, count in rows:
        want = expected.pop(identity)
        assert same(mean, want["customer_amount_mean_30d"]) and same(count, want["customer_tx_count_7d"]), identity
    labels = query('SELECT count(*), count(DISTINCT transaction_id) FROM "%s".labels' % p.name)[0]
    assert labels == (len(payments.rows), len(payments.rows)), "labels offline (rows, distinct): %r" % (labels,)
    terminals = query('SELECT count(record_transaction_id), count(DISTINCT record_transaction_id) FROM "%s".features_terminal' % p.name)[0]
    assert terminals == (len(payments.rows), len(payments.rows)), "terminal rows offline (rows, distinct): %r" % (terminals,)


def main():
    need("WEIR_STACK_DIR")
    payments = Payments(20000, customers=60)
    with Pipeline() as p:
        p.start()
        done = threading.Event()
        publisher = threading.Thread(target=publish, args=(p, payments, done))
        publisher.start()
        for pause in (3, 4, 2):
            time.sleep(pause)
            p.kill()
            p.start()
        print("killed three times")
        time.sleep(2)
        code = p.kill(sig=signal.SIGTERM)
        assert code == 0, "SIGTERM gave exit code %d" % code
        p.start()
        print("terminated once, cleanly")
        for service in ("postgres", "kafka"):
            outage(service)
            assert p.processes["run", "0"].poll() is None, "weir did not survive the outage of %s" % service
            print("%s was away for %d s" % (service, OUTAGE_S))
        publisher.join()
        assert done.is_set()
        try:
            wait_for("features of all payments", lambda: count_sources(p) >= len(payments.rows), 180, 2)
        finally:
            print("sources with features: %d of %d" % (count_sources(p), len(payments.rows)))
        repeats = check_features(p, payments)
        wait_for("the offline store", lambda: query('SELECT count(record_transaction_id) FROM "%s".features_customer' % p.name)[0][0] >= len(payments.rows)
                 and query('SELECT count(record_transaction_id) FROM "%s".features_terminal' % p.name)[0][0] >= len(payments.rows), 120, 1)
        check_offline(p, payments)
        wait_for("readiness after the outages", lambda: get("http://127.0.0.1:%d/readyz" % p.processes["run", "0"].port)[0] == 200, 60)
        check_online(p, payments)
        letters = read_all(p.topic("deadletter"))
        letters = [m for m in letters if not dict(m.headers())["weir.source.topic"].startswith(b"weir.")]  # topics that all pipelines share hold other tests' bad records
        assert not letters, "%d records in the dead letters, first: %r" % (len(letters), letters[0].headers())
    print("ok: %d payments once in both stores, %d feature records repeated for readers to drop" % (len(payments.rows), repeats))


def count_sources(p):
    return len({(r["source_partition"], r["source_offset"]) for r in feature_records(p)})


main()
