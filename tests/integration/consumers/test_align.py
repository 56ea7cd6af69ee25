"""A backlog whose partitions hold very different numbers of records of the same months: what is re-keyed from all of them is as if it had been read in order of event time. Nothing is
late, values are those of a recomputation, and records that cannot be read, or whose time is wrong, stop nobody. Then more is written, by a fast producer, while the worker
reads; and records of now, which wait for nobody."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

WEIGHTS = (1000, 100, 10, 3)  # of the partitions
LABEL_DELAY_US = 7 * DAY_US
HOUR_US = 3_600_000_000
UNREADABLE = collections.Counter(decode=50)


def lateness(spec):
    for feed in ("source", "labels"):
        spec[feed]["allowed_lateness"] = "1h"


def partition_of(row):
    """Every terminal's labels are in all partitions."""
    return random.Random(row["transaction_id"]).choices(range(len(WEIGHTS)), WEIGHTS)[0]


def write(p, payments, rows, one_by_one):
    """A backlog: each partition alone, the sparsest last. Or all of them in order of time, as fast as it goes."""
    out, topic = producer(), p.topic("labels")
    for row in rows if one_by_one else sorted(rows, key=partition_of):
        out.produce(topic, p.encode(topic, payments.label(row, LABEL_DELAY_US)), ("default/" + row["customer_id"]).encode(), partition_of(row))
        out.poll(0)
    assert out.flush(60) == 0


def write_what_is_wrong(p, payments):
    """In the densest partition, among the others: nothing that can be read, and a label that says it is of weeks later. Its terminal has no other."""
    out, topic = producer(), p.topic("labels")
    wrong = dict(payments.rows[0], transaction_id="wrong", terminal_id="alone", tx_time=at(payments.rows[-1]["us"]), us=payments.rows[-1]["us"])
    out.produce(topic, p.encode(topic, payments.label(wrong, LABEL_DELAY_US)), b"default/x", 0)
    for _ in range(UNREADABLE["decode"]):
        out.produce(topic, b"no label", b"default/x", 0)
    assert out.flush(60) == 0


def counts(rows):
    """{transaction_id: labels of its terminal in the 30 days that ended 7 days before}"""
    by_terminal = collections.defaultdict(list)
    for row in rows:
        by_terminal[row["terminal_id"]].append(row["us"])
    out = {}
    for row in rows:
        times, end = by_terminal[row["terminal_id"]], row["us"] - LABEL_DELAY_US
        out[row["transaction_id"]] = float(bisect.bisect_right(times, end) - bisect.bisect_right(times, end - 30 * DAY_US))
    return out


def check(p, rows):
    """All have their features, the counts are those of a recomputation, and the dead letters are what cannot be read."""
    wait_for("features of %d labels, or what should not be refused" % len(rows), lambda: refused(p) - UNREADABLE or taken(p) > len(rows), 120, 0.5)
    assert refused(p) == UNREADABLE, "dead letters: %r" % refused(p)
    features, origin, _ = newest_features(p, "terminal")
    found = {record["transaction_id"]: features[source]["terminal_tx_count_30d"] for source, record in origin.items()}
    found.pop("wrong")
    expected = counts(rows)
    differ = [(i, found.get(i), want) for i, want in expected.items() if found.get(i) != want]
    assert not differ and len(found) == len(expected), "%d of %d counts differ (label, found, expected): %r" % (len(differ), len(expected), differ[:5])


def refused(p):
    """How many records by class; a worker that is killed may tell of one twice."""
    headers = [dict(m.headers()) for m in read_all(p.topic("deadletter"))]
    return collections.Counter(c.decode() for c, _, _ in {tuple(h["weir." + name] for name in ("error.class", "source.partition", "source.offset")) for h in headers})


def taken(p):
    return len(newest_features(p, "terminal")[0])


def handed_out(p):
    """Records of the labels topic that the worker has taken since it started."""
    return sum(v for (name, labels), v in p.metrics("ingest").items() if name == "weir_ingest_events_total" and ("topic", p.topic("labels")) in labels)


def live_records_wait_for_nobody(p):
    """Two labels, of now and of half a day before, in partitions of which the others are at their end."""
    out, topic, before = producer(), p.topic("labels"), handed_out(p)
    now = micros(datetime.datetime.now(datetime.timezone.utc))
    for i, us in enumerate((now - 12 * HOUR_US, now)):
        row = {"tenant": "default", "transaction_id": "live%d" % i, "tx_time": at(us), "us": us, "customer_id": "1", "terminal_id": "live%d" % i, "fraud": False}
        label = p.encode(topic, dict({k: row[k] for k in ("tenant", "transaction_id", "tx_time", "customer_id", "terminal_id", "fraud")}, labelled_at=at(us), scenario=None))
        out.produce(topic, label, b"default/1", i)
        out.flush(10)
        began = time.monotonic()
        wait_for("label %d" % i, lambda: handed_out(p) > before + i, 10, 0.01)
        print("a label of %d hours ago was taken after %.2f s" % ((12, 0)[i], time.monotonic() - began))


def main():
    payments = Payments(30000, seed=5, customers=200, terminals=20, days=90)
    half = len(payments.rows) // 2
    with Pipeline(lateness) as p:
        p.start("ingest")  # makes the topics and their schemas
        p.kill("ingest", sig=signal.SIGTERM)
        write(p, payments, payments.rows[:half // 2], False)
        write_what_is_wrong(p, payments)
        write(p, payments, payments.rows[half // 2:half], False)
        p.start("ingest")
        wait_for("some of the backlog", lambda: handed_out(p) > half // 4, 60, 0.01)
        p.kill("ingest")
        print("killed in the backlog")
        p.start("ingest")
        check(p, payments.rows[:half])
        write(p, payments, payments.rows[half:], True)
        check(p, payments.rows)
        live_records_wait_for_nobody(p)
    print("ok: %d labels in partitions as dense as %s, none late" % (len(payments.rows), ":".join(map(str, WEIGHTS))))


main()
