"""How soon an event can be read: at a steady rate, from when a payment was due to when its features record is on the topic, and to when `weir serve` answers with it.

    ./run peers visible [--rate N] [--seconds N] [--rounds N]

The payments are those of stream/paced.c: event time is when they were due, so the event time in an answer says how late it is. The reader asks for a few customers again and
again; what it sees is late by up to one of its own round trips, which is printed. Both figures are of the same run."""
import argparse
import http.client
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from weirtest import *  # noqa: E402,F403

WARM_S, WATCHED = 5, 10


def only_customer(spec):
    """The customer view with its six windows, and labels that nobody writes."""
    spec["views"] = spec["views"][:1]
    for section in ("training", "rollout", "serving"):
        spec.pop(section, None)


def watch(port, seconds):
    """(seconds from due to seen, seconds of a round trip) of the watched customers' payments, while they last."""
    body = json.dumps({"features": ["customer:customer_tx_count_1d"], "entities": {"customer_id": [str(i) for i in range(WATCHED)]}})
    connection, newest, late, trips = http.client.HTTPConnection("127.0.0.1", port), [None] * WATCHED, [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        connection.request("POST", "/get-online-features", body, {"Content-Type": "application/json"})
        times = json.loads(connection.getresponse().read())["results"][1]["event_timestamps"]
        seen = time.time()
        trips.append(time.monotonic() - begun)
        for i, text in enumerate(times):
            if newest[i] not in (None, text):
                late.append(seen - datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())
            newest[i] = text
        time.sleep(0.0005)
    return late, trips


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def round_of(pipeline, port, schema_id, rate, seconds):
    paced = subprocess.Popen([os.path.join(os.environ["WEIR_PEERS_DIR"], "paced"), BROKERS, pipeline.topic("events"), pipeline.topic("features.customer"), str(schema_id),
                              str(rate), str(seconds), str(WARM_S), "weir"], stdout=subprocess.PIPE, text=True)
    time.sleep(2 + WARM_S)
    late, trips = watch(port, seconds - WARM_S)
    out, _ = paced.communicate(timeout=120)
    assert paced.returncode == 0 and late, "paced ended with %s, %d payments were seen" % (paced.returncode, len(late))
    record = json.loads(out)
    return {"record p50": record["p50_ms"], "record p99": record["p99_ms"], "read p50": percentile(late, 0.5) * 1e3, "read p99": percentile(late, 0.99) * 1e3,
            "trip p50": percentile(trips, 0.5) * 1e3, "trip p99": percentile(trips, 0.99) * 1e3, "seen": len(late), "missing": record["missing"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("rate", 20000), ("seconds", 15), ("rounds", 5)):
        parser.add_argument("--" + name, type=int, default=value)
    options = parser.parse_args()
    with Pipeline(only_customer) as pipeline:
        pipeline.start("ingest")
        port = pipeline.start("serve").port
        schema_id = pipeline.registry.get_latest_version(pipeline.topic("events") + "-value").schema_id
        rounds = [round_of(pipeline, port, schema_id, options.rate, options.seconds) for _ in range(options.rounds)]
    print("%d events/s, medians of %d rounds, ms" % (options.rate, options.rounds))
    for what, name in (("record", "features record on the topic"), ("read", "visible to an online read"), ("trip", "round trip of the reader")):
        print("  %-30s p50 %7.1f   p99 %7.1f" % (name, *(statistics.median(r["%s %s" % (what, p)] for r in rounds) for p in ("p50", "p99"))))
    print("  %d payments watched, %d records missing" % (sum(r["seen"] for r in rounds), sum(r["missing"] for r in rounds)))


if __name__ == "__main__":
    main()
