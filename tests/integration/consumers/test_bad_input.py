"""Whatever is published, a worker goes on: what can be taken is taken, the rest is in the dead letters, bytes unchanged, with the reason."""
import datetime
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CONTRACT = ["weir.error.class", "weir.error.message", "weir.source.topic", "weir.source.partition", "weir.source.offset", "weir.source.timestamp", "weir.attempt"]


def bad_records(p, good):
    """(value, key, expected class)"""
    topic = p.topic("events")
    event = dict(good, transaction_id="bad")
    encoded = p.encode(topic, event)
    future = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)
    return [
        (b"this is not Avro", b"default/1", "decode"),
        (b"", b"default/1", "decode"),
        (None, b"default/1", "decode"),
        (encoded[:-3], b"default/1", "decode"),
        (encoded + b"\0", b"default/1", "decode"),
        (b"\0" + struct.pack(">I", 99999999) + encoded[5:], b"default/1", "schema"),
        (p.encode(topic, dict(event, amount=-5.0)), b"default/1", "check"),
        (p.encode(topic, dict(event, amount=float("nan"))), b"default/1", "check"),
        (p.encode(topic, dict(event, tx_time=future)), b"default/1", "future"),
        (p.encode(topic, dict(event, terminal_id="x" * 70000)), b"default/1", "oversize"),
        (p.encode(topic, dict(event, customer_id="c" * 600)), b"default/1", "key"),
        (b"\xff" * 900000, b"\x00\xff\xfe", "oversize"),
        (p.encode(topic, dict(event, tx_time=good["tx_time"] - datetime.timedelta(days=300))), b"default/%s" % good["customer_id"].encode(), "late"),
    ]


def check_requests(p):
    """Training requests that nobody can work on: in the dead letters too, and the worker goes on."""
    topic = "weir.training.requests"
    good = {"request_id": p.name, "pipeline": p.name, "reason": "test", "requested_at": datetime.datetime.now(datetime.timezone.utc), "train_from": None, "as_of": None}
    far = (1 << 63) - 1  # microseconds; datetime has no such year, so the bytes are made by hand
    zigzag = lambda n: (n << 1) ^ (n >> 63)

    def varint(n):
        n, out = zigzag(n), b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    near = p.encode(topic, dict(good, as_of=at(0)))
    place = next(i for i, (a, b) in enumerate(zip(near, p.encode(topic, good))) if a != b)  # of as_of: which branch, then the time
    assert near[place:place + 2] == varint(1) + varint(0)
    bad = [p.encode(topic, dict(good, request_id="")), p.encode(topic, dict(good, request_id="x" * 500)), near[:place + 1] + varint(far) + near[place + 2:]]
    out = producer()
    for value in bad:
        out.produce(topic, value, p.name.encode())
    out.flush()
    own = lambda: [m for m in read_all(p.topic("deadletter")) if m.value() in bad]
    letters = wait_for("the rejected requests", lambda: (lambda r: len(r) >= len(bad) and r)(own()), 30)
    for letter in letters:
        headers = dict(letter.headers())
        assert headers["weir.error.class"] == b"check", headers
        print("request   %s" % headers["weir.error.message"].decode())


def main():
    payments = Payments(400)
    with Pipeline() as p:
        p.start()
        events = p.topic("events")
        out = producer()
        bad = bad_records(p, payments.event(payments.rows[-1]))
        taken = lambda: sum(v for (name, labels), v in p.metrics().items() if name == "weir_ingest_features_total" and ("view", "customer") in labels)
        for i, row in enumerate(payments.rows):
            # Keys: right, none, somebody else's, rubbish: all must end with the owner.
            key = [("default/" + row["customer_id"]).encode(), None, b"default/77", b"\xff\x00rubbish"][i % 4]
            if i % 30 == 15 and i // 30 < len(bad) - 1:
                value, bad_key, _ = bad[i // 30]
                out.produce(events, value, bad_key, headers=[("traceparent", TRACE)])
            if i % 4 == 1:
                out.flush()
                wait_for("features of the payments before %d" % i, lambda: taken() >= i, 30, 0.005)
            out.produce(events, p.encode(events, payments.event(row)), key)
            if i % 4:
                # Through another's partition it may be overtaken by what is published after it; waiting keeps the order that the expected values have.
                out.flush()
                wait_for("features of payment %d" % i, lambda: taken() >= i + 1, 30, 0.005)
        out.flush()
        wait_for("all payments to have features", lambda: taken() >= len(payments.rows))
        out.produce(events, bad[-1][0], bad[-1][1], headers=[("traceparent", TRACE)])
        out.flush()
        # What others left on the control topics may be unreadable here too; it is not what this test sent.
        own = lambda: [m for m in read_all(p.topic("deadletter")) if dict(m.headers())["weir.source.topic"].decode() == events]
        letters = wait_for("the dead letters", lambda: (lambda r: len(r) >= len(bad) and r)(own()))
        assert len(letters) == len(bad), "%d dead letters, expected %d" % (len(letters), len(bad))
        open_cases = list(bad)
        for letter in letters:
            headers = dict(letter.headers())
            for name in CONTRACT + ["traceparent"]:
                assert headers.get(name), "a dead letter without header %s: %r" % (name, headers)
            case = next((c for c in open_cases if c[0] == letter.value() and c[1] == letter.key()), None)
            assert case, "a dead letter whose bytes nobody sent: %r %r" % (letter.key(), headers)
            open_cases.remove(case)
            found = headers["weir.error.class"].decode()
            assert found == case[2], "class %s, expected %s: %s" % (found, case[2], headers["weir.error.message"].decode())
            assert headers["weir.source.topic"].decode() == events
            print("%-9s %s" % (found, headers["weir.error.message"].decode()))
        repeats = check_features(p, payments)
        assert repeats == 0, "%d features came twice although nothing failed" % repeats
        counted = lambda: sum(v for (name, labels), v in p.metrics().items() if name == "weir_worker_deadletters_total" and ("worker", "ingest") in labels)
        wait_for("the count of dead letters, told at a checkpoint", lambda: counted() >= len(bad), 30)
        assert counted() == len(bad), "metrics count %g dead letters, there are %d" % (counted(), len(bad))
        check_requests(p)
    print("ok: %d payments, %d rejected" % (len(payments.rows), len(bad)))


main()
