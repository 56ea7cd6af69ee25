"""Scoring on Kafka on a real stack, an ingest and a score worker with a boosted champion of the fraud pipeline, broker and clients on the same cores. ./run bench scoring runs it.

  prediction  at a steady rate, from when a payment is due to when its prediction is read from the topic: medians of rounds of p50 and p99
  drain       features records that wait, to predictions that are acknowledged: predictions a second, with one arm and with two
  soak        with --soak MINUTES instead of all that: at a steady rate, minute by minute: p50 and p99, and memory and descriptors of the workers, which must not grow
  HTTP        one row by entity id, lookup included
  start       a serve worker, from its first instruction to ready; and what it, and the score worker, have in memory
"""
import argparse
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration", "consumers"))
from test_rollout import *  # noqa: E402,F403

WARM_S = 5


def scoring_spec(spec):
    short_training(spec)
    spec["rollout"] = {"salt": spec["pipeline"], "challenger_share": 0.5}


def total(p, name, worker="score"):
    return sum(value for (metric, _), value in p.metrics(worker).items() if metric == name)


def paced(p, rate, seconds):
    schema_id = p.registry.get_latest_version(p.topic("events") + "-value").schema_id
    done = subprocess.run([os.path.join(os.environ["WEIR_PEERS_DIR"], "paced"), BROKERS, p.topic("events"), p.topic("predictions"), str(schema_id), str(rate), str(seconds), str(WARM_S), "prediction"],
                          capture_output=True, text=True, timeout=60 + 2 * seconds)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def latency(p, rate, seconds, rounds):
    found = [paced(p, rate, seconds) for _ in range(rounds)]
    print("payment due to prediction read, at %d/s: p50 %.2f ms, p99 %.2f ms (medians of %d rounds; p99 of each: %s); %d missing"
          % (rate, statistics.median(f["p50_ms"] for f in found), statistics.median(f["p99_ms"] for f in found), rounds, ", ".join("%.1f" % f["p99_ms"] for f in found), sum(f["missing"] for f in found)), flush=True)


def drain(p, count, what):
    """While nobody scores, ingest makes features records; then they are scored."""
    p.kill("score", sig=signal.SIGTERM)
    before = total(p, "weir_ingest_records_total", "ingest")
    done = subprocess.run([os.path.join(os.environ["WEIR_PEERS_DIR"], "paced"), BROKERS, p.topic("events"), p.topic("features.customer"),
                           str(p.registry.get_latest_version(p.topic("events") + "-value").schema_id), str(40000), str(count // 40000), "0", "weir"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    made = total(p, "weir_ingest_records_total", "ingest") - before
    p.start("score")
    began, first, samples = time.monotonic(), None, []
    while time.monotonic() - began < 120:
        scored = total(p, "weir_score_predictions_total")
        samples.append((time.monotonic(), scored))
        if scored and first is None:
            first = samples[-1]
        if scored >= made * 0.98:
            break
        time.sleep(0.05)
    rate = (samples[-1][1] - first[1]) / max(samples[-1][0] - first[0], 1e-9)
    print("%s: %d of %d records scored, %.0f predictions/s, %d MiB in memory" % (what, samples[-1][1], made, rate, memory_mib(p.processes["score", "0"].pid)), flush=True)
    return rate


def memory_mib(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def soak(p, rate, minutes):
    """The first fifth fills caches and rings; after that nothing may grow by a tenth, least squares over the minutes."""
    rows = []
    for minute in range(minutes):
        found = paced(p, rate, 55)
        held = {w: (memory_mib(p.processes[w, "0"].pid), descriptors(p.processes[w, "0"].pid)) for w in ("ingest", "score")}
        rows.append((found["p50_ms"], found["p99_ms"], *held["ingest"], *held["score"]))
        print("minute %d: p50 %.2f ms, p99 %.2f ms; ingest %.0f MiB, %d descriptors; score %.0f MiB, %d descriptors; %d missing" % (minute + 1, *rows[-1], found["missing"]), flush=True)
        assert not found["missing"]
    kept = rows[len(rows) // 5:]
    names = ("p50", "p99", "memory of ingest", "descriptors of ingest", "memory of score", "descriptors of score")
    middle, failed = (len(kept) - 1) / 2, []
    for i, name in enumerate(names):
        mean = statistics.mean(r[i] for r in kept)
        slope = sum((m - middle) * (r[i] - mean) for m, r in enumerate(kept)) / max(sum((m - middle) ** 2 for m in range(len(kept))), 1)
        growth = slope * (len(kept) - 1) / mean
        print("%s: %.2f on average, %+.1f %% over the time" % (name, mean, 100 * growth), flush=True)
        if growth > 0.1 and name != "p99":  # which one busy minute moves
            failed.append(name)
    assert not failed, "these grew: %s" % ", ".join(failed)


def over_http(p, payments, rate, seconds):
    """One row by entity id a request: as fast as 8 connections go, and at a steady rate."""
    process = p.start("serve")
    body = os.path.join(p.dir, "requests")
    with open(body, "w") as f:
        for row in payments.rows[:1000]:
            inputs = [("customer_id", "BYTES", row["customer_id"]), ("terminal_id", "BYTES", row["terminal_id"]), ("amount", "FP64", row["amount"]), ("tx_time", "BYTES", at(row["us"]).isoformat())]
            f.write(json.dumps({"inputs": [{"name": n, "datatype": t, "shape": [1], "data": [v]} for n, t, v in inputs]}) + "\n")
    for what, arguments in (("8 connections", ("0", "200000", "8")), ("%d/s on 16 connections" % rate, (str(rate), str(rate * seconds), "16"))):
        done = subprocess.run([os.path.join(os.environ["WEIR_BUILD"], "weir_bench_online"), "http", str(process.port), *arguments, body, "/v2/models/%s/infer" % p.name], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        print("HTTP, one row by entity id, %s: %.0f/s, p50 %.0f us, p99 %.0f us, 99.9 %% %.0f us; the client sent %.0f us late at p99"
              % (what, found["reads_per_s"], found["p50_us"], found["p99_us"], found["p999_us"], found["sent_late_p99_us"]), flush=True)
    p.kill("serve", sig=signal.SIGTERM)


def start(p, times):
    took = []
    for _ in range(times):
        began = time.monotonic()
        process = p.start("serve", wait=False)
        ready = False
        while not ready and time.monotonic() - began < 60:
            try:
                ready = get("http://127.0.0.1:%d/v2/health/ready" % process.port)[0] == 200
            except OSError:
                pass
            time.sleep(0.002)
        took.append((time.monotonic() - began) * 1e3)
        held = memory_mib(process.pid)
        p.kill("serve", sig=signal.SIGTERM)
    print("serve: ready after %.0f ms (median of %d), %.0f MiB in memory" % (statistics.median(took), times, held), flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name, value in (("rate", 20000), ("seconds", 15), ("rounds", 3), ("records", 1000000), ("starts", 5), ("soak", 0)):
        parser.add_argument("--" + name, type=int, default=value)
    o = parser.parse_args()
    payments = Payments(6000, seed=7, days=24)
    with Pipeline(scoring_spec) as p:
        for worker in ("ingest", "store", "train", "score"):
            p.start(worker, wait=worker != "score")
        source = Source(p, payments)
        source.publish(5000)
        wait_for("features of the first payments", lambda: len(feature_records(p)) >= 5000, 60, 0.5)
        time.sleep(2)
        train(p, at(payments.rows[0]["us"] // DAY_US * DAY_US).strftime("%Y-%m-%d"))
        boosted = next(c["name"] for c in p.spec["training"]["candidates"] if c["algorithm"] == "xgboost")
        alias(p, "champion", boosted, 1)
        p.wait_ready("score")
        for worker in ("store", "train"):
            p.kill(worker, sig=signal.SIGTERM)
        if o.soak:
            soak(p, o.rate, o.soak)
            return
        latency(p, o.rate, o.seconds, o.rounds)
        two = drain(p, o.records, "two arms")
        p.spec["rollout"]["challenger_share"] = 0
        with open(p.path, "w") as f:
            json.dump(p.spec, f)
        one = drain(p, o.records, "one arm")
        print("two arms cost %.0f %% over one" % (100 * (one / two - 1)))
        start(p, o.starts)
        p.kill("score", sig=signal.SIGTERM)
        p.kill("ingest", sig=signal.SIGTERM)
        over_http(p, payments, 10000, o.seconds)


if __name__ == "__main__":
    main()
