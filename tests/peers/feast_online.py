"""Online reads of one entity × 30 features: Weir embedded and over HTTP, Feast's get_online_features in its own process with SQLite and with Redis.

    ./run peers feast [--entities N] [--calls N] [--rounds N] [--rate R]

Weir's features are computed from simulated payments by `weir ingest` and read from `weir serve`; Feast's stores hold the same values of the same entities, float64. Rounds of all
alternate; medians are printed. Over HTTP: reads/s of one keep-alive connection that asks again as soon as it is answered, and of eight; then latency at a fixed rate, counted
from when a read was due."""
import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile

os.environ["FEAST_USAGE"] = os.environ["FEAST_TELEMETRY"] = "False"
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from weirtest import *  # noqa: E402,F403

import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType  # noqa: E402
from feast.repo_config import RepoConfig  # noqa: E402
from feast.types import Float64  # noqa: E402

FEATURES = ["amount_%s_%s" % (a, w) for a in ("count", "mean", "min", "max", "std") for w in ("1h", "1d", "3d", "7d", "14d", "30d")]
REFERENCES = ["customer:" + f for f in FEATURES]


def thirty_features(spec):
    """The customer view with five aggregates over six windows, as in tests/bench/online.c."""
    view = next(v for v in spec["views"] if v["name"] == "customer")
    view["features"] = [{"name": f, "op": f.split("_")[1], "window": f.split("_")[2], **({} if "count" in f else {"of": "amount"})} for f in FEATURES]
    spec["views"] = [view]
    for section in ("training", "rollout", "serving"):
        spec.pop(section, None)


def post(port, body):
    request = urllib.request.Request("http://127.0.0.1:%d/get-online-features" % port, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())


class Redis:
    """A server of its own, in memory, on a free port of loopback."""

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL)

        def up():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("redis-server", up, 10)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def feast_store(folder, name, online, rows):
    """A Feast store that holds the rows."""
    source = os.path.join(folder, "rows.parquet")
    rows.to_parquet(source)
    store = FeatureStore(config=RepoConfig(project="bench", provider="local", registry={"path": os.path.join(folder, name + ".registry"), "cache_ttl_seconds": 0},
                                           offline_store={"type": "file"}, online_store=online, entity_key_serialization_version=3))
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    batch = FileSource(name="batch", path=source, timestamp_field="event_timestamp")
    store.apply([customer, batch, FeatureView(name="customer", entities=[customer], schema=[Field(name=f, dtype=Float64) for f in FEATURES], source=batch)])
    store.write_to_online_store("customer", rows)
    return store


def read_feast(store, ids):
    """reads/s."""
    begun = time.perf_counter()
    for i in ids:
        store.get_online_features(features=REFERENCES, entity_rows=[{"customer_id": i}]).to_dict()
    return len(ids) / (time.perf_counter() - begun)


def read_http(port, rate, reads, connections, bodies):
    command = [os.environ["WEIR_BENCH_ONLINE"], "http", str(port), str(rate), str(reads), str(connections), bodies]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=180).stdout)


def read_embedded(entities):
    """{mode: (p50, p99)} in µs."""
    text = subprocess.run([os.environ["WEIR_BENCH_ONLINE"], "embedded", str(entities)], check=True, capture_output=True, text=True, timeout=300).stdout
    return {m[0].strip(): (float(m[1]), float(m[2])) for m in re.findall(r"^  (.+?) +p50 +([\d.]+) us +p99 +([\d.]+) us", text, re.M)}


def serve_payments(pipeline, entities):
    """Simulated payments through ingest into the replica of serve: (port, the values of the first entities as a frame)."""
    subprocess.run([BINARY, "simulate", pipeline.path, "--domain", "fraud", "--entities", str(entities), "--days", "31"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    pipeline.start("ingest")
    port = pipeline.start("serve").port
    ids = [str(i) for i in range(entities)]
    last = []

    def settled():
        answer = post(port, {"features": REFERENCES, "entities": {"customer_id": ids}})
        last.append(answer)
        del last[:-2]
        return len(last) == 2 and last[0] == last[1] and answer["results"][1]["statuses"].count("PRESENT") > 0.9 * entities

    wait_for("the replica to settle", settled, 120, every_s=3)
    columns = dict(zip(last[-1]["metadata"]["feature_names"], last[-1]["results"]))
    frame = pd.DataFrame({name: column["values"] for name, column in columns.items()})
    frame["event_timestamp"] = pd.to_datetime(columns[FEATURES[0]]["event_timestamps"], utc=True)
    return port, frame[[s == "PRESENT" for s in columns[FEATURES[0]]["statuses"]]].reset_index(drop=True)


def check(store, rows):
    """Both hold the same."""
    row = rows.iloc[len(rows) // 2]
    got = store.get_online_features(features=REFERENCES, entity_rows=[{"customer_id": row["customer_id"]}]).to_dict()
    for f in FEATURES:
        assert got[f][0] == row[f] or (got[f][0] is None and row[f] != row[f]), (f, got[f], row[f])


def measure(options, port, rows, stores, bodies):
    ids = list(rows["customer_id"])
    rates = {name: [] for name in list(stores) + ["http, 1 connection", "http, 8 connections"]}
    paced, draw = [], random.Random(1)
    for _ in range(options.rounds):
        for name, store in stores.items():
            read_feast(store, ids[:20])
            rates[name].append(read_feast(store, [draw.choice(ids) for _ in range(options.calls)]))
        for connections in (1, 8):
            name = "http, %d connection%s" % (connections, "s" if connections > 1 else "")
            rates[name].append(read_http(port, 0, 20000, connections, bodies)["reads_per_s"])
        paced.append(read_http(port, options.rate, options.rate * options.seconds, 16, bodies))
    return {name: statistics.median(values) for name, values in rates.items()}, paced


def show(options, rates, embedded, paced):
    rates["embedded, newest"] = 1e6 / embedded["newest"][0]
    rates["embedded, at time"] = 1e6 / embedded["at time"][0]
    feasts = [n for n in rates if n.startswith("feast")]
    print("\n%-22s %14s" % ("1 entity × 30 features", "reads/s") + "".join("%18s" % ("÷ " + n) for n in feasts))
    for name, rate in rates.items():
        print("%-22s %14.0f" % (name, rate) + "".join("%18.1f" % (rate / rates[n]) for n in feasts))
    middle = {k: statistics.median(p[k] for p in paced) for k in paced[0]}
    print("\nHTTP at %d reads/s for %d s, medians of %d rounds: p50 %.0f µs, p90 %.0f µs, p99 %.0f µs, p99.9 %.0f µs; p99 of each round: %s; p99 of how late the client sent: %.0f µs" % (
        options.rate, options.seconds, options.rounds, middle["p50_us"], middle["p90_us"], middle["p99_us"], middle["p999_us"], ", ".join("%.0f" % p["p99_us"] for p in paced), middle["sent_late_p99_us"]))
    print("embedded, %d entities: " % options.entities + "; ".join("%s p50 %.2f µs, p99 %.2f µs" % (m, *v) for m, v in embedded.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value, what in (("entities", 5000, "customers"), ("calls", 500, "reads of Feast in a round"), ("rounds", 5, "of all"), ("rate", 10000, "reads/s of the fixed rate"),
                              ("seconds", 10, "of the fixed rate")):
        parser.add_argument("--" + name, type=int, default=value, help="%s (%d)" % (what, value))
    options = parser.parse_args()
    redis = Redis()
    try:
        with Pipeline(thirty_features) as pipeline, tempfile.TemporaryDirectory() as folder:
            port, rows = serve_payments(pipeline, options.entities)
            bodies = os.path.join(folder, "bodies")
            with open(bodies, "w") as f:
                for i in rows["customer_id"]:
                    f.write(json.dumps({"features": REFERENCES, "entities": {"customer_id": [i]}}) + "\n")
            stores = {"feast sqlite": feast_store(folder, "sqlite", {"type": "sqlite", "path": os.path.join(folder, "online.db")}, rows),
                      "feast redis": feast_store(folder, "redis", {"type": "redis", "connection_string": "127.0.0.1:%d" % redis.port}, rows)}
            for store in stores.values():
                check(store, rows)
            pipeline.kill("ingest", sig=signal.SIGTERM)
            rates, paced = measure(options, port, rows, stores, bodies)
            show(options, rates, read_embedded(options.entities), paced)
    finally:
        redis.stop()


if __name__ == "__main__":
    main()
