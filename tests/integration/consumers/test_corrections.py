"""Late payments correct the values after them; states are evicted and restored; workers are killed between and in checkpoints; a former owner goes on writing. In the end every
value, corrections considered, is the one that a computation over everything in order of event time gives, online and offline."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

DISORDER_US = 20 * 3600 * 1_000_000  # within the pipeline's allowed lateness


def publish(p, payments, rows):
    """In small pieces: what comes in one batch is put in order, and needs no correction."""
    out = producer()
    for i, row in enumerate(rows):
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), ("default/" + row["customer_id"]).encode())
        if i % 100 == 99:
            assert out.flush(60) == 0
            time.sleep(0.01)
    assert out.flush(60) == 0


def values(p):
    return [r for r in feature_records(p) if r["record"] is not None]


def wait_for_values(p, count):
    wait_for("values of %d payments" % count, lambda: len(values(p)) >= count, 90, 0.5)


def check_offline(p, payments):
    columns = ["customer_amount_mean_30d", "customer_tx_count_7d"]
    want = payments.expected()
    rows = lambda: offline_features(p, "customer", ["features_" + c for c in columns])
    wait_for("rows offline", lambda: len(rows()) >= len(want), 60, 0.5)
    wrong = lambda: [r for r in rows() if not all(same(v, want[r[0]][c]) for v, c in zip(r[1:], columns))]
    wait_for("corrections offline", lambda: not wrong(), 60, 0.5)
    versions = query('SELECT count(*), count(record_transaction_id) FROM "%s".features_customer' % p.name)[0]
    assert versions[1] == len(want) and versions[0] > versions[1], "rows offline, values among them: %r" % (versions,)
    return versions[0] - versions[1]


def write_as_former_owner(p):
    """Values of the epoch before this one, behind the fence: of a source that does not exist, and of the next arrival number of a real one."""
    topic = p.topic("features.customer")
    records = values(p)
    newest = {r["key"]: r for r in records}
    out, schema = producer(), p.registry.get_latest_version(topic + "-value").schema.schema_str
    partitions = {m.key().decode(): m.partition() for m in read_all(topic) if m.value() is not None}
    epochs = {}
    for r in records:
        epochs[partitions[r["key"]]] = max(r["epoch"], epochs.get(partitions[r["key"]], 0))
    assert min(epochs.values()) >= 1 and schema, epochs
    for i, (key, record) in enumerate(sorted(newest.items())):
        fake = {k: v for k, v in record.items() if k != "key"}
        fake.update(epoch=epochs[partitions[key]] - 1, seq=record["seq"] + 1, version=record["seq"] + 1, source_offset=10_000_000 + i)
        fake["record"] = dict(record["record"], amount=1e6)
        out.produce(topic, p.encode(topic, fake), key.encode(), partition=partitions[key])
    assert out.flush(30) == 0
    return len(newest)


def main():
    os.environ.update(WEIR_MEMORY_MIB="1", WEIR_CHECKPOINT_MS="150")
    draw = random.Random(3)
    payments = Payments(9000, seed=5, customers=400, days=20)
    order = sorted(payments.rows, key=lambda r: r["us"] + draw.random() * DISORDER_US)
    third = len(order) // 3
    with Pipeline() as p:
        p.start("store")
        p.start("ingest")
        publish(p, payments, order[:third])
        for pause in (0.1, 0.35, 0.2):
            time.sleep(pause)
            p.kill("ingest")
            p.start("ingest")
        wait_for_values(p, third)
        print("killed three times over the first third")

        fakes = write_as_former_owner(p)
        publish(p, payments, order[third:2 * third])
        wait_for_values(p, 2 * third)
        p.kill("ingest")
        shutil.rmtree(os.path.join(p.dir, "state", p.name, "ingest-0"))
        p.start("ingest")
        print("%d values of a former owner written, the state lost and restored" % fakes)

        publish(p, payments, order[2 * third:])
        wait_for_values(p, len(order))
        repeats = check_features(p, payments)
        corrections = sum(r["record"] is None for r in feature_records(p))
        assert corrections > 100, "%d corrections" % corrections
        offline = check_offline(p, payments)

        # The same consumer group from the beginning: everything again is known again.
        assert p.kill("ingest", sig=signal.SIGTERM) == 0
        rewind(p)
        before = len(feature_records(p))
        p.start("ingest")
        duplicates = lambda: sum(v for (name, labels), v in p.metrics("ingest").items() if name == "weir_ingest_events_total" and ("outcome", "duplicate") in labels)
        wait_for("everything to be read again", lambda: duplicates() >= len(order), 60, 0.5)
        assert len(feature_records(p)) == before, "reading everything again gave records"
        letters = read_all(p.topic("deadletter"))
        assert not letters, "%d records in the dead letters, first: %r" % (len(letters), letters[0].headers())
    print("ok: %d payments, %d corrections (%d offline), %d repeats, %d duplicates known" % (len(order), corrections, offline, repeats, len(order)))


def rewind(p):
    group = Consumer({"bootstrap.servers": BROKERS, "group.id": "weir.ingest." + p.name, "enable.auto.commit": False})
    try:
        topic = p.topic("events")
        partitions = group.list_topics(topic, 10).topics[topic].partitions
        group.commit(offsets=[TopicPartition(topic, i, 0) for i in partitions], asynchronous=False)
    finally:
        group.close()


main()
