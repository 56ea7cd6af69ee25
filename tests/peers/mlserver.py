"""The same XGBoost model behind the Open Inference Protocol v2, one row a request in JSON, by the same client: Weir's serve worker and MLServer.

    ./run peers mlserver [--rounds N] [--seconds N] [--rate R]

100 trees of depth 6 on 30 numeric columns, fitted by the xgboost package on made rows and saved once: MLServer serves that file, Weir imports it into a pipeline of this script's own. Both must give
the library's scores first: Weir to the bit, MLServer within 1e-6 (it answers in float32). Then each in turn, on one connection and on eight, each of which asks again as soon as it is answered.
MLServer scores in its own process (parallel_workers 0) and in a worker process (1), without gzip, metrics, access log and debugging: the faster of both is the peer.
Goal: 20 times its requests/s, with a lower p99. Exits with 0 where it is met on one connection and on eight, else 1."""
import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile

os.environ["OMP_NUM_THREADS"] = "1"
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration", "consumers"))
from test_rollout import *  # noqa: E402,F403

import numpy as np  # noqa: E402
import xgboost  # noqa: E402

COLUMNS = ["f%d" % i for i in range(30)]
FIT_ROWS, ROWS, TREES, DEPTH = 20_000, 1000, 100, 6
TOLERANCE, GOAL = 1e-6, 20
MODEL, CONNECTIONS = "rows-boosted", (1, 8)


def fit(folder):
    """The file of the model, rows that it has not seen, and the library's scores of them."""
    draw = np.random.default_rng(11)
    x = draw.normal(size=(FIT_ROWS + ROWS, len(COLUMNS))).astype(np.float32)
    odds = x @ draw.normal(size=len(COLUMNS)) + 2 * x[:, 0] * x[:, 1] - 1.5 * np.abs(x[:, 2])
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.1, "seed": 11}, xgboost.DMatrix(x[:FIT_ROWS], odds[:FIT_ROWS] > 0), TREES)
    path = os.path.join(folder, "model.json")
    booster.save_model(path)
    return path, x[FIT_ROWS:], booster.inplace_predict(x[FIT_ROWS:])


def write_schema(path, name, columns):
    at = {"type": "long", "logicalType": "timestamp-micros"}
    fields = [{"name": "id", "type": "string"}, {"name": "at", "type": at}] + [{"name": c, "type": "double"} for c in columns]
    with open(path, "w") as f:
        json.dump({"type": "record", "name": name, "fields": fields}, f)
    return path


def rows_pipeline(folder):
    """Events with 30 numbers, which the model takes as they are. Nothing is learnt from the labels: training only says what a model may be."""
    rows, labels = (write_schema(os.path.join(folder, name + ".avsc"), name, columns) for name, columns in (("row", COLUMNS), ("label", ["y"])))

    def change(spec):
        spec["source"] = {"topic": spec["source"]["topic"], "schema": rows, "key": ["id"], "time": "at"}
        spec["labels"] = {"topic": spec["labels"]["topic"], "schema": labels, "key": ["id"], "time": "at", "column": "y", "join": ["id", "id"]}
        spec["views"] = [{"name": "rows", "entity": ["id"], "ttl": "1d", "features": [{"name": "row_count", "op": "count", "window": "1d"}]}]
        spec["training"].update(target="y", columns=COLUMNS, candidates=[{"name": MODEL, "algorithm": "xgboost"}])
        for section in ("checks", "triggers", "rollout"):
            del spec[section]
        del spec["training"]["champion"], spec["training"]["challenger"]

    return change


class MLServer:
    """A server of its own on free ports of loopback."""

    def __init__(self, folder, model, workers):
        self.folder, self.port = os.path.join(folder, "mlserver-%d" % workers), free_port()
        os.makedirs(self.folder)
        settings = {"host": "127.0.0.1", "http_port": self.port, "grpc_port": free_port(), "metrics_endpoint": None, "parallel_workers": workers, "debug": False, "gzip_enabled": False}
        for name, content in (("settings.json", settings), ("model-settings.json", {"name": MODEL, "implementation": "mlserver_xgboost.XGBoostModel", "parameters": {"uri": model}})):
            with open(os.path.join(self.folder, name), "w") as f:
                json.dump(content, f)
        self.log = os.path.join(self.folder, "log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([os.path.join(os.path.dirname(sys.executable), "mlserver"), "start", self.folder], stdout=log, stderr=log, cwd=self.folder)

    def wait(self):
        def ready():
            assert self.process.poll() is None, "MLServer ended with %s:\n%s" % (self.process.returncode, tail(self.log))
            try:
                return get("http://127.0.0.1:%d/v2/models/%s/ready" % (self.port, MODEL))[0] == 200
            except OSError:
                return False

        wait_for("MLServer to be ready", ready, 120, 0.3)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def serve(p, model):
    """A serve worker whose champion is the imported model: its port. Aliases reach it by way of a train worker, which is stopped again."""
    p.start("train")
    weir(p, "models", "import", p.path, MODEL, "--file", model, "--columns", ",".join(COLUMNS))
    alias(p, "champion", MODEL, 1)
    port = p.start("serve").port
    wait_for("the champion to be served", lambda: get("http://127.0.0.1:%d/v2/health/ready" % port)[0] == 200)
    p.kill("train", sig=signal.SIGTERM)
    return port


def write_requests(folder, rows):
    path = os.path.join(folder, "requests")
    with open(path, "w") as f:
        for row in rows:
            f.write(json.dumps({"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, len(COLUMNS)], "data": [float(v) for v in row]}]}) + "\n")
    return path


def scores_of(port, requests):
    """The first output of each answer."""
    scores = []
    with open(requests) as f:
        for body in f:
            request = urllib.request.Request("http://127.0.0.1:%d/v2/models/%s/infer" % (port, MODEL), data=body.encode(), headers={"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as response:
                scores.append(json.loads(response.read())["outputs"][0]["data"][0])
    return np.array(scores)


def check(ports, requests, wanted):
    """Everybody gives the library's scores."""
    for name, port in ports.items():
        off = np.abs(scores_of(port, requests) - wanted.astype(float)).max()
        most = 0 if name == "weir" else TOLERANCE
        assert off <= most, "%s is off by %g" % (name, off)
        print("%s: %d scores, off by at most %g (allowed: %g)" % (name, len(wanted), off, most), flush=True)


def load(port, rate, count, connections, requests):
    command = [os.environ["WEIR_BENCH_ONLINE"], "http", str(port), str(rate), str(count), str(connections), requests, "/v2/models/%s/infer" % MODEL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def measure(options, ports, requests):
    """{(contender, connections): what each round found}; a short run before each says how many requests fill the time."""
    found = {}
    for _ in range(options.rounds):
        for connections in CONNECTIONS:
            for name, port in ports.items():
                short = load(port, 0, 300, connections, requests)
                found.setdefault((name, connections), []).append(load(port, 0, int(short["reads_per_s"] * options.seconds) + 1, connections, requests))
    return found


def median_of(rounds):
    return {what: statistics.median(r[what] for r in rounds) for what in rounds[0]}


def report(found):
    middle, met = {key: median_of(rounds) for key, rounds in found.items()}, []
    print("\n%-28s %11s %12s %10s %10s   requests/s of each round" % ("", "connections", "requests/s", "p50 us", "p99 us"))
    for (name, connections), m in sorted(middle.items(), key=lambda item: item[0][1]):
        print("%-28s %11d %12.0f %10.0f %10.0f   %s" % (name, connections, m["reads_per_s"], m["p50_us"], m["p99_us"], ", ".join("%.0f" % r["reads_per_s"] for r in found[name, connections])))
    for connections in CONNECTIONS:
        own = middle["weir", connections]
        peers = {name: m for (name, c), m in middle.items() if c == connections and name != "weir"}
        best = max(peers, key=lambda name: peers[name]["reads_per_s"])
        ratio, lower = own["reads_per_s"] / peers[best]["reads_per_s"], own["p99_us"] < min(m["p99_us"] for m in peers.values())
        each = [w["reads_per_s"] / b["reads_per_s"] for w, b in zip(found["weir", connections], found[best, connections])]
        met.append(ratio >= GOAL and lower)
        print("%d connection%s: %.1f times the requests/s of %s (by round: %s), p99 %s: the goal is %s" % (
            connections, "s" if connections > 1 else "", ratio, best, ", ".join("%.1f" % r for r in each), "lower" if lower else "not lower", "met" if met[-1] else "missed"))
    return all(met)


def show_paced(options, port, requests):
    m = median_of([load(port, options.rate, options.rate * options.seconds, 16, requests) for _ in range(options.rounds)])
    print("Weir at %d requests/s on 16 connections: %.0f/s, p50 %.0f us, p99 %.0f us, 99.9 %% %.0f us; the client sent %.0f us late at p99"
          % (options.rate, m["reads_per_s"], m["p50_us"], m["p99_us"], m["p999_us"], m["sent_late_p99_us"]), flush=True)


def compare(options, ports, requests, wanted):
    check(ports, requests, wanted)
    met = report(measure(options, ports, requests))
    show_paced(options, ports["weir"], requests)
    print("MLServer %s, mlserver-xgboost %s, xgboost %s; %s; %d trees of depth %d, %d columns, %d rows in turn; medians of %d rounds of %d s" % (
        *(importlib.metadata.version(n) for n in ("mlserver", "mlserver-xgboost", "xgboost")), subprocess.run([BINARY, "--version"], capture_output=True, text=True).stdout.strip(),
        TREES, DEPTH, len(COLUMNS), ROWS, options.rounds, options.seconds))
    return met


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value, what in (("rounds", 3, "of all"), ("seconds", 5, "of each measurement"), ("rate", 10000, "requests/s of the steady rate")):
        parser.add_argument("--" + name, type=int, default=value, help="%s (%d)" % (what, value))
    options = parser.parse_args()
    servers = {}
    with tempfile.TemporaryDirectory() as folder:
        model, rows, wanted = fit(folder)
        try:
            with Pipeline(rows_pipeline(folder)) as p:
                for workers in (0, 1):
                    servers["mlserver, parallel_workers %d" % workers] = MLServer(folder, model, workers)
                for server in servers.values():
                    server.wait()
                ports = {"weir": serve(p, model), **{name: server.port for name, server in servers.items()}}
                met = compare(options, ports, write_requests(folder, rows), wanted)
        finally:
            for server in servers.values():
                server.stop()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
