"""A worker that lost its partitions without knowing it writes its fence into the features topics, behind which the rightful owner's values are void: the owner notices at its next
checkpoint, takes a new epoch and sends again what was not committed. Nothing is lost, and nothing is there twice."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from weirtest import *  # noqa: E402,F403


def send(p, payments, rows):
    out = producer()
    for row in rows:
        out.produce(p.topic("events"), p.encode(p.topic("events"), payments.event(row)), ("default/" + row["customer_id"]).encode())
    assert out.flush(60) == 0


def stale_fence(p, epoch):
    """Of an epoch above the owner's: what the last owner's successor would write."""
    out = producer()
    for partition in range(p.spec["partitions"]):
        out.produce(p.topic("features.customer"), None, b"", partition, headers=[("weir.epoch", str(epoch).encode())])
    assert out.flush(60) == 0


def main():
    payments = Payments(3000, customers=40)
    stored = lambda: query('SELECT count(*) FROM "%s".features_customer WHERE seq = version' % p.name)[0][0]
    with Pipeline() as p:
        p.start("ingest")
        p.start("store")
        send(p, payments, payments.rows[:1000])
        wait_for("the first payments", lambda: stored() == 1000, 60, 0.5)
        for i, epoch in ((1, 7), (2, 70)):
            stale_fence(p, epoch)
            send(p, payments, payments.rows[1000 * i:1000 * (i + 1)])
            wait_for("payments behind a stale fence", lambda: stored() >= 1000 * (i + 1), 60, 0.5)
        rows = query('SELECT record_transaction_id, features_customer_tx_count_7d, features_customer_amount_mean_30d FROM "%s".features_customer WHERE seq = version' % p.name)
        expected = payments.expected()
        assert len(rows) == len(expected) == len({r[0] for r in rows}), "%d rows, %d payments" % (len(rows), len(expected))
        for identity, count, mean in rows:
            assert same(count, expected[identity]["customer_tx_count_7d"]) and same(mean, expected[identity]["customer_amount_mean_30d"]), identity
    print("ok: %d payments once, two stale fences" % len(rows))


main()
