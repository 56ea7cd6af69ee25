"""Count and mean of the amount over 1, 7 and 30 days for each customer, by Quix Streams: stateful apply over its RocksDB state, changelog on.

Arguments: brokers, input topic, output topic, group, at-least-once or exactly-once, linger ms, state directory."""
import io
import struct
import sys
from array import array
from bisect import bisect_right

import fastavro
from quixstreams import Application, message_context

brokers, source, target, group, guarantee, linger_ms, state_dir = sys.argv[1:8]
DAY = 86_400_000_000
SCHEMA = fastavro.parse_schema({"type": "record", "name": "T", "fields": [{"name": n, "type": t} for n, t in (
    ("tenant", "string"), ("transaction_id", "string"), ("tx_time", "long"), ("customer_id", "string"), ("terminal_id", "string"), ("amount", "double"))]})
SIX = struct.Struct("<6d")

app = Application(broker_address=brokers, consumer_group=group, auto_offset_reset="earliest", commit_interval=5, state_dir=state_dir, loglevel="WARNING",
                  processing_guarantee=guarantee, consumer_extra_config={"queued.min.messages": 200000},
                  producer_extra_config={"linger.ms": int(linger_ms), "queue.buffering.max.messages": 1000000, "batch.num.messages": 10000})


def put_long(v):
    u, out = (v << 1) ^ (v >> 63), bytearray()
    while u > 0x7f:
        out.append(u & 0x7f | 0x80)
        u >>= 7
    out.append(u)
    return bytes(out)


def features(value, key, timestamp, headers, state):
    event = fastavro.schemaless_reader(io.BytesIO(value[5:]), SCHEMA)
    time, times, amounts = event["tx_time"], array("q"), array("d")
    old = state.get_bytes("ring")
    if old is not None:
        half = len(old) // 2
        times.frombytes(old[:half])
        amounts.frombytes(old[half:])
    at = bisect_right(times, time)
    times.insert(at, time)
    amounts.insert(at, event["amount"])
    drop = bisect_right(times, times[-1] - 30 * DAY)
    del times[:drop], amounts[:drop]
    state.set_bytes("ring", times.tobytes() + amounts.tobytes())
    end = at - drop + 1
    values = []
    for days in (1, 7, 30):
        first = bisect_right(times, time - days * DAY, 0, end)
        values += [end - first, sum(amounts[first:end]) / (end - first)]
    source_of = message_context()
    return b"".join((b"\0\0\0\0\2", put_long(len(key)), key, put_long(time), put_long(source_of.partition), put_long(source_of.offset), SIX.pack(*values)))


frame = app.dataframe(app.topic(source, key_deserializer="bytes", value_deserializer="bytes"))
frame = frame.apply(features, stateful=True, metadata=True)
frame.to_topic(app.topic(target, key_serializer="bytes", value_serializer="bytes"))
app.run()
